//! How a figure stands to the same figure of an earlier time.

/// By how many percent the mean of `now` is above that of `before`; `None` when either has no value or `before` is zero.
pub fn between(now: &[Option<f64>], before: &[Option<f64>]) -> Option<f64> {
    let (now, before) = (mean(now)?, mean(before)?);
    (before.abs() > f64::EPSILON).then(|| 100.0 * (now - before) / before.abs())
}

/// By how much a figure grows in a day, from (day, value), ascending: the last against the first. `None` where they are
/// less than half a day apart: an hour multiplied says nothing.
pub fn per_day(points: &[(f64, f64)]) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    let days = last.0 - first.0;
    (days >= 0.5).then(|| (last.1 - first.1) / days)
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let (sum, count) = values.iter().flatten().fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use super::{between, per_day};

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

    #[test]
    fn growth_needs_half_a_day() {
        assert_eq!(per_day(&[(1.0, 100.0), (2.0, 900.0), (3.0, 140.0)]), Some(20.0));
        assert_eq!(per_day(&[(1.0, 100.0), (1.1, 900.0)]), None);
        assert_eq!(per_day(&[]), None);
    }
}
