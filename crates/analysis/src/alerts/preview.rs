//! What a rule would have done over recorded figures, by the same machine that the engine runs.
use super::machine::{Phase, Seen, Tracked};
use domain::{
    Timestamp,
    alert::{Comparison, RuleSettings},
    view::PreviewAlert,
};

/// The alerts that the values of one object would have made, the oldest first. A `None` is a moment without a figure.
pub fn run(
    settings: &RuleSettings,
    comparison: Comparison,
    object: &str,
    values: impl IntoIterator<Item = (Timestamp, Option<f64>)>,
    max_gap_ms: u64,
) -> Vec<PreviewAlert> {
    let mut tracked = Tracked::default();
    let mut alerts = Vec::new();
    let mut open: Option<PreviewAlert> = None;
    for (at, value) in values {
        let step = tracked.step(settings, comparison, value.map_or(Seen::NoData, Seen::Value), at, max_gap_ms);
        match (step.after, &mut open) {
            (Phase::Firing(severity), Some(alert)) => alert.severity = alert.severity.max(severity),
            (Phase::Firing(severity), None) => {
                open = Some(PreviewAlert { object: object.to_owned(), severity, from: at, to: None });
            }
            (Phase::Idle | Phase::Pending, Some(_)) => {
                alerts.extend(open.take().map(|alert| PreviewAlert { to: Some(at), ..alert }));
            }
            (Phase::Idle | Phase::Pending, None) => {}
        }
    }
    alerts.extend(open);
    alerts
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::alert::{Level, Severity};

    #[test]
    fn each_excursion_counts_once_however_often_it_touches_the_threshold() {
        let settings = RuleSettings {
            enabled: true,
            levels: vec![Level { severity: Severity::Warning, threshold: 80.0, clear: 75.0 }],
            for_seconds: 60,
            clear_for_seconds: 0,
        };
        let minutes = [70, 82, 82, 79, 81, 79, 70, 82, 70, 82, 82, 82];
        let values = minutes
            .iter()
            .enumerate()
            .map(|(i, value)| (Timestamp(i64::try_from(i).unwrap_or(0) * 60_000), Some(f64::from(*value))));
        let alerts = run(&settings, Comparison::Above, "", values, 120_000);
        let minute = |at: Timestamp| at.0 / 60_000;
        assert_eq!(
            alerts.iter().map(|it| (minute(it.from), it.to.map(minute))).collect::<Vec<_>>(),
            [(2, Some(6)), (10, None)]
        );
    }
}
