//! When to try again: waits that double, with jitter, so that many processes do not come back in one moment.
use rand::Rng as _;
use std::time::Duration;

/// Failures in a row and the wait that follows from them. Zero failures is a closed circuit; while it is open nothing is
/// sent to the server but one probe after each wait.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits from `first`, doubling, to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// Failures in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// It went well.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed; how long to wait before the next attempt: between half and the whole of the doubled wait.
    pub fn fail(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_begin_anew() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(first, longest);
        let mut whole = first;
        for n in 1..40 {
            let wait = backoff.fail();
            assert!(wait >= whole / 2 && wait <= whole, "{n}: {wait:?} of {whole:?}");
            assert_eq!(backoff.failures(), n);
            whole = (whole * 2).min(longest);
        }
        backoff.reset();
        assert!(backoff.fail() <= first);
    }
}
