//! What rules saw, as one value each: recorded, so that settings can be tried on it later.
use super::AlertBook;
use analysis::alerts::{RULES, Reading, Rule};
use domain::alert::{Comparison, RuleKind};
use std::collections::BTreeMap;

impl AlertBook {
    /// The worst value of each rule that no recorded figure holds. Notices have none, and rules of which nothing is known
    /// are left out: a gap stays a gap.
    pub fn worst(&self, cluster: &str, readings: &BTreeMap<&'static str, Reading>) -> Vec<(&'static str, f64)> {
        let inner = self.lock();
        let recorded = |rule: &&Rule| rule.metric.is_none() && rule.kind != RuleKind::Notice;
        RULES
            .iter()
            .filter(recorded)
            .filter_map(|rule| {
                let fed = match readings.get(rule.key) {
                    Some(_) => None,
                    None => Self::fed(&inner, cluster, rule.key),
                };
                worst(rule.comparison, fed.as_ref().or_else(|| readings.get(rule.key))?).map(|value| (rule.key, value))
            })
            .collect()
    }
}

fn worst(comparison: Comparison, reading: &Reading) -> Option<f64> {
    let Reading::Known(observed) = reading else { return None };
    let values = observed.iter().map(|it| it.value);
    match comparison {
        // No object at all is nothing wrong; one that could not be read might be anything.
        Comparison::Above => values.into_iter().try_fold(0.0, |worst: f64, value| Some(worst.max(value?))),
        Comparison::Below => values.into_iter().flatten().min_by(f64::total_cmp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use analysis::alerts::Observed;

    #[test]
    fn the_worst_object_is_the_rules_value_and_what_is_not_known_is_none() {
        let known = |values: &[Option<f64>]| {
            Reading::Known(
                values.iter().map(|value| Observed { value: *value, ..Observed::of("x", 0.0, "") }).collect(),
            )
        };
        assert_eq!(worst(Comparison::Above, &known(&[Some(1.0), Some(3.0)])), Some(3.0));
        assert_eq!(worst(Comparison::Above, &known(&[])), Some(0.0));
        assert_eq!(worst(Comparison::Above, &known(&[Some(1.0), None])), None);
        assert_eq!(worst(Comparison::Below, &known(&[Some(90.0), Some(80.0)])), Some(80.0));
        assert_eq!(worst(Comparison::Below, &known(&[])), None);
        assert_eq!(worst(Comparison::Above, &Reading::Unknown), None);
    }

    #[test]
    fn rules_with_a_figure_of_their_own_are_not_recorded_twice() {
        let book = AlertBook::default();
        let readings = RULES.iter().map(|rule| (rule.key, Reading::Known(Vec::new()))).collect();
        let found = book.worst("main", &readings);
        assert!(found.iter().any(|(key, value)| *key == "deadlocks" && *value == 0.0));
        assert!(found.iter().any(|(key, _)| *key == "archiver_failing"));
        assert!(!found.iter().any(|(key, _)| matches!(*key, "connections_high" | "disk_full" | "restarted")));
    }
}
