//! Differences of cumulative counters that survive resets.

/// What a counter did between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta<T> {
    /// Growth; after a reset the growth since the reset. Never negative.
    pub value: T,
    /// The counter was reset in between: some of its growth was lost.
    pub reset: bool,
}

/// The growth of an integer counter.
pub const fn of(before: i64, after: i64, reset: bool) -> Delta<i64> {
    if reset || after < before {
        Delta { value: if after > 0 { after } else { 0 }, reset: true }
    } else {
        Delta { value: after - before, reset: false }
    }
}

/// The growth of a floating-point counter.
pub fn of_float(before: f64, after: f64, reset: bool) -> Delta<f64> {
    if reset || after < before {
        Delta { value: after.max(0.0), reset: true }
    } else {
        Delta { value: after - before, reset: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn growth_adds_up_between_resets_and_is_never_negative(steps in proptest::collection::vec((0i64..1_000_000, proptest::bool::weighted(0.1)), 1..60)) {
            let (mut counter, mut before, mut sum, mut truth) = (0i64, 0i64, 0i64, 0i64);
            for (growth, reset) in steps {
                if reset { counter = 0; }
                counter += growth;
                truth += growth;
                let delta = of(before, counter, reset);
                prop_assert!(delta.value >= 0);
                sum += delta.value;
                before = counter;
            }
            // Every reset was told, so nothing is lost.
            prop_assert_eq!(sum, truth);
        }

        #[test]
        fn an_untold_reset_is_seen_when_the_counter_falls(before in 1i64..i64::MAX, after in 0i64..1_000) {
            let delta = of(before, after, false);
            prop_assert!(delta.value >= 0);
            prop_assert_eq!(delta.reset, after < before);
        }
    }
}
