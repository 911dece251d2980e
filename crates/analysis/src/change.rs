//! How a figure stands to the same figure of an earlier time.

/// By how many percent the mean of `now` is above that of `before`; `None` when either has no value or `before` is zero.
pub fn between(now: &[Option<f64>], before: &[Option<f64>]) -> Option<f64> {
    let (now, before) = (mean(now)?, mean(before)?);
    (before.abs() > f64::EPSILON).then(|| 100.0 * (now - before) / before.abs())
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let (sum, count) = values.iter().flatten().fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn means_are_compared_and_gaps_left_out() {
        assert_eq!(between(&[Some(12.0), None, Some(18.0)], &[None, Some(10.0)]), Some(50.0));
        assert_eq!(between(&[Some(5.0)], &[Some(10.0)]), Some(-50.0));
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        assert_eq!(between(&[None], &[Some(1.0)]), None);
        assert_eq!(between(&[Some(1.0)], &[]), None);
        assert_eq!(between(&[Some(1.0)], &[Some(0.0)]), None);
    }
}
