//! How long to wait before a server that did not answer is tried again.
use std::time::Duration;

/// Doubles from the first delay to a ceiling and is spread by up to a quarter, so that a hundred servers that went
/// away together do not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    ceiling: Duration,
    failures: u32,
}

impl Backoff {
    /// Delays from `first` to `ceiling`.
    pub const fn new(first: Duration, ceiling: Duration) -> Self {
        Self { first, ceiling, failures: 0 }
    }

    /// It answered.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// It did not; `spread` is between 0 and 1.
    pub fn next(&mut self, spread: f64) -> Duration {
        let doubled = self.first.saturating_mul(1u32 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.ceiling).mul_f64(1.0 - 0.25 * spread.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_ceiling_and_begin_anew_after_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let delays = (0..8).map(|_| backoff.next(0.0).as_secs()).collect::<Vec<_>>();
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.next(1.0), Duration::from_millis(750));
        for _ in 0..100 {
            assert!(backoff.next(0.5) <= Duration::from_secs(30));
        }
    }
}
