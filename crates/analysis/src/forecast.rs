//! Where a size will be: a straight line through its history, with the interval that the scatter around it allows.
use domain::view::{DiskForecast, Forecast};

/// Fewer points say nothing about the scatter.
const POINTS_AT_LEAST: usize = 8;
/// A month ahead from an hour of history would be a guess.
const HISTORY_AT_LEAST_DAYS: f64 = 2.0;
/// Sizes that follow each other closely are no new evidence: they are thinned to about this many.
const POINTS_AT_MOST: usize = 40;

/// By least squares from (day, bytes), ascending; the interval is the prediction interval at 95 %.
///
/// # Errors
/// Why there is too little to go by.
pub fn line(points: &[(f64, f64)], ahead_days: f64) -> Result<Forecast, String> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Err("no size is kept yet".to_owned());
    };
    let history_days = last.0 - first.0;
    if history_days < HISTORY_AT_LEAST_DAYS {
        return Err(format!(
            "a forecast needs at least {HISTORY_AT_LEAST_DAYS:.0} days of history; there are {history_days:.1}"
        ));
    }
    let step = points.len().div_ceil(POINTS_AT_MOST).max(1);
    // From the newest backwards, so that the last one counts.
    let thinned = points.iter().rev().step_by(step).copied().collect::<Vec<_>>();
    if thinned.len() < POINTS_AT_LEAST {
        return Err(format!("a forecast needs at least {POINTS_AT_LEAST} sizes; there are {}", thinned.len()));
    }
    let n = thinned.len() as f64;
    let (mean_x, mean_y) =
        (thinned.iter().map(|it| it.0).sum::<f64>() / n, thinned.iter().map(|it| it.1).sum::<f64>() / n);
    let sxx = thinned.iter().map(|it| (it.0 - mean_x).powi(2)).sum::<f64>();
    let sxy = thinned.iter().map(|it| (it.0 - mean_x) * (it.1 - mean_y)).sum::<f64>();
    if sxx <= 0.0 {
        return Err("all sizes are of one moment".to_owned());
    }
    let slope = sxy / sxx;
    let at = |x: f64| mean_y + slope * (x - mean_x);
    let rest = thinned.iter().map(|it| (it.1 - at(it.0)).powi(2)).sum::<f64>() / (n - 2.0);
    let x = last.0 + ahead_days;
    let half = student_t95(n - 2.0) * (rest * (1.0 + 1.0 / n + (x - mean_x).powi(2) / sxx)).sqrt();
    let bytes = at(x);
    Ok(Forecast {
        days: ahead_days,
        bytes_per_day: slope,
        bytes: bytes.max(0.0),
        low_bytes: (bytes - half).max(0.0),
        high_bytes: (bytes + half).max(0.0),
        history_days,
    })
}

/// Further ahead nobody plans, and no straight line holds.
const HORIZON_DAYS: f64 = 3_650.0;

/// When a share in percent that grows along (day, percent) reaches 100, with the interval at 95 %.
///
/// # Errors
/// Why there is too little to go by.
pub fn full(points: &[(f64, f64)]) -> Result<DiskForecast, String> {
    let now = line(points, 0.0)?;
    // Each end of the interval is reached by halving: a bend is at most where the interval widens.
    let reached = |value: &dyn Fn(&Forecast) -> f64| {
        let is_full = |days: f64| line(points, days).is_ok_and(|it| value(&it) >= 100.0);
        if !is_full(HORIZON_DAYS) {
            return None;
        }
        let (mut low, mut high) = (0.0, HORIZON_DAYS);
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            if is_full(middle) { high = middle } else { low = middle }
        }
        Some(high)
    };
    let grows = now.bytes_per_day > 0.0;
    Ok(DiskForecast {
        percent_per_day: now.bytes_per_day,
        days: grows.then(|| reached(&|it| it.bytes)).flatten(),
        earliest_days: grows.then(|| reached(&|it| it.high_bytes)).flatten(),
        latest_days: grows.then(|| reached(&|it| it.low_bytes)).flatten(),
        history_days: now.history_days,
    })
}

/// The two-sided 95 % quantile of Student's distribution, by the expansion of Cornish and Fisher: within half a percent
/// from six degrees of freedom.
fn student_t95(degrees: f64) -> f64 {
    let z: f64 = 1.959_964;
    let (z3, z5, z7) = (z.powi(3), z.powi(5), z.powi(7));
    z + (z3 + z) / (4.0 * degrees)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * degrees.powi(2))
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * degrees.powi(3))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_quantile_is_that_of_the_tables() {
        for (degrees, truth) in [(6.0, 2.447), (10.0, 2.228), (30.0, 2.042)] {
            assert!((student_t95(degrees) - truth).abs() < 0.012, "{degrees}: {}", student_t95(degrees));
        }
    }

    #[test]
    fn too_little_history_is_said_so() {
        assert!(line(&[], 30.0).is_err());
        let hour = (0..100).map(|i| (f64::from(i) / 2_400.0, 1.0)).collect::<Vec<_>>();
        assert!(line(&hour, 30.0).unwrap_err().contains("2 days"));
        assert!(line(&[(0.0, 1.0), (5.0, 2.0)], 30.0).unwrap_err().contains("8 sizes"));
    }

    #[test]
    fn a_disk_that_fills_says_when_and_one_that_does_not_says_never() {
        let filling = (0..60)
            .map(|i| (f64::from(i) / 4.0, 50.0 + f64::from(i) / 4.0 + f64::from(i % 3) * 0.2))
            .collect::<Vec<_>>();
        // At 64.8 % after 14.75 days, one point a day.
        let found = full(&filling).unwrap();
        assert!((found.percent_per_day - 1.0).abs() < 0.02, "{found:?}");
        let (days, earliest, latest) = (found.days.unwrap(), found.earliest_days.unwrap(), found.latest_days.unwrap());
        assert!((days - 35.2).abs() < 0.7 && earliest < days && days < latest, "{found:?}");
        let emptying = filling.iter().map(|(day, percent)| (*day, 100.0 - percent)).collect::<Vec<_>>();
        let found = full(&emptying).unwrap();
        assert_eq!((found.days, found.earliest_days, found.latest_days), (None, None, None));
        assert!(full(&filling[..4]).is_err());
    }

    proptest! {
        #[test]
        fn a_straight_line_goes_on_and_scatter_only_widens_the_interval(start in 0f64..1e12, slope in 0f64..1e9, noise in proptest::collection::vec(-1f64..1.0, 60)) {
            let clean = (0..60).map(|i| (f64::from(i) / 4.0, start + slope * f64::from(i) / 4.0)).collect::<Vec<_>>();
            let exact = line(&clean, 30.0).unwrap();
            let truth = start + slope * (59.0 / 4.0 + 30.0);
            prop_assert!((exact.bytes - truth).abs() <= 1e-6 * truth.max(1.0));
            let noisy = clean.iter().zip(&noise).map(|(point, noise)| (point.0, point.1 + noise * 1e8)).collect::<Vec<_>>();
            let wide = line(&noisy, 30.0).unwrap();
            prop_assert!(wide.low_bytes <= wide.bytes && wide.bytes <= wide.high_bytes);
            prop_assert!(wide.high_bytes - wide.low_bytes + 1.0 >= exact.high_bytes - exact.low_bytes);
        }
    }
}
