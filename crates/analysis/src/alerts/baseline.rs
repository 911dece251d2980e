//! What is usual for a figure at this time of the day, learnt from the days before: a server that is busy every morning is
//! not unusual in the morning, and a quiet one may be.

/// Days that are looked back on.
pub const DAYS: usize = 14;
/// Hours of history that [`Usual::of`] looks at.
pub const HOURS: usize = 24 * DAYS + 1;
/// Fewer days say nothing of what is usual.
const DAYS_AT_LEAST: usize = 7;
/// What hardly ever changes is not unusual by a hair: its deviation counts as this part of the mean at least.
const LEAST_PART: f64 = 0.1;

/// What is usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// Mean of the days.
    pub mean: f64,
    /// Standard deviation of the days about it.
    pub deviation: f64,
    /// Of so many days.
    pub days: usize,
}

impl Usual {
    /// From means of hours, the newest first: `hours[0]` ends now, `hours[24]` ended a day ago. Of each day the hour before
    /// this time of the day and the one after it count. `None` where too few days have figures.
    pub fn of(hours: &[Option<f64>]) -> Option<Self> {
        let of_day = |day: usize| {
            let near = [24 * day - 1, 24 * day].map(|hour| hours.get(hour).copied().flatten());
            let known = near.into_iter().flatten().collect::<Vec<_>>();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        let days = (1..=DAYS).filter_map(of_day).collect::<Vec<_>>();
        if days.len() < DAYS_AT_LEAST {
            return None;
        }
        let mean = days.iter().sum::<f64>() / days.len() as f64;
        let squares = days.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        Some(Self { mean, deviation: (squares / (days.len() - 1) as f64).sqrt(), days: days.len() })
    }

    /// How many deviations `value` is above the mean, and nothing when it is not above it. `least` is the smallest deviation
    /// that matters, in the unit of the figure.
    pub fn above(&self, value: f64, least: f64) -> f64 {
        let deviation = self.deviation.max(self.mean.abs() * LEAST_PART).max(least);
        ((value - self.mean) / deviation).max(0.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Busy around this time of each day, and quiet at all others.
    fn mornings() -> Vec<Option<f64>> {
        (0..HOURS).map(|hour| Some(if matches!(hour % 24, 23 | 0) { 100.0 } else { 1.0 })).collect()
    }

    #[test]
    fn what_comes_every_day_at_this_time_is_usual_and_at_another_it_is_not() {
        let hours = mornings();
        let usual = Usual::of(&hours).unwrap();
        assert_eq!(usual, Usual { mean: 100.0, deviation: 0.0, days: DAYS });
        assert_eq!(usual.above(103.0, 0.5), 0.3, "a tenth of the mean is one deviation at least");
        assert_eq!(usual.above(3.0, 0.5), 0.0, "less than usual is not above it");
        // Six hours before that time.
        let usual = Usual::of(&hours[6..]).unwrap();
        assert_eq!((usual.mean, usual.days), (1.0, DAYS - 1));
        assert_eq!(usual.above(100.0, 0.5), 198.0);
    }

    #[test]
    fn days_that_vary_make_room_and_few_days_say_nothing() {
        // 10 and 30 by turns: 20 on average, give or take about 10.
        let varying = |days: usize| {
            let mut hours = vec![None; HOURS];
            for day in 1..=days {
                hours[24 * day] = Some(if day % 2 == 0 { 10.0 } else { 30.0 });
            }
            Usual::of(&hours)
        };
        let usual = varying(14).unwrap();
        assert!((usual.mean - 20.0).abs() < 1e-9 && (10.0..11.0).contains(&usual.deviation), "{usual:?}");
        assert!(usual.above(50.0, 0.5) < 3.0);
        assert_eq!(varying(7).map(|usual| usual.days), Some(7));
        assert_eq!(varying(6), None);
        assert_eq!(Usual::of(&[]), None);
    }
}
