//! The state machine of one alert: pending, firing at a severity, over.
//!
//! Each level of a rule is a switch of its own with hysteresis: it goes on after the threshold was breached for long
//! enough, and off after the value was at `clear` or better for long enough; between the two lies a band in which
//! nothing changes. The alert is as bad as the worst level that is on.
//!
//! Time is evidence, not the clock: only what lies between two looks counts, and never more than `max_gap_ms` of it. A
//! clock that jumps, a pause of ours or a restart neither raises nor ends anything by itself. What is not seen changes
//! nothing: an alert never ends because its figure is missing.
use domain::{
    Timestamp,
    alert::{Comparison, Level, RuleSettings, Severity},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a look at one object gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seen {
    /// A value; one that is no number counts as not read.
    Value(f64),
    /// The object is not there any more, and that is known: better than any threshold.
    Gone,
    /// It could not be read.
    NoData,
}

/// Where an alert stands by its values alone; what people said of it is not decided here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is wrong.
    Idle,
    /// Breached, not yet for long enough.
    Pending,
    /// Raised.
    Firing(Severity),
}

impl Phase {
    /// The severity, when it is raised.
    pub const fn severity(self) -> Option<Severity> {
        match self {
            Self::Firing(severity) => Some(severity),
            Self::Idle | Self::Pending => None,
        }
    }
}

/// One level's switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Switch {
    on: bool,
    /// For how long the opposite was seen without interruption; `None` when it was not.
    against_ms: Option<u64>,
}

/// What is remembered of one alert between looks; it is kept in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    switches: BTreeMap<Severity, Switch>,
    last_at: Option<Timestamp>,
    /// Since when it cannot be read.
    pub no_data_since: Option<Timestamp>,
}

/// What a look changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Before.
    pub before: Phase,
    /// After.
    pub after: Phase,
    /// The figure went missing (`true`) or came back (`false`).
    pub no_data: Option<bool>,
}

impl Tracked {
    /// Raised, with nothing else known: for a state that cannot be read any more.
    pub fn firing(severity: Severity) -> Self {
        let on = Switch { on: true, against_ms: None };
        Self { switches: [(severity, on)].into(), ..Self::default() }
    }

    /// After a pause of ours: the evidence is kept, the time in between is none.
    #[must_use]
    pub fn resumed(self) -> Self {
        Self { last_at: None, ..self }
    }

    /// Whether evidence is being gathered, for the begin or for the end: it changes with each look.
    pub fn is_counting(&self) -> bool {
        self.switches.values().any(|switch| switch.against_ms.is_some())
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        let worst = self.switches.iter().rev().find(|(_, switch)| switch.on);
        match worst {
            Some((severity, _)) => Phase::Firing(*severity),
            None if self.switches.values().any(|switch| switch.against_ms.is_some()) => Phase::Pending,
            None => Phase::Idle,
        }
    }

    /// Takes one look into account.
    pub fn step(
        &mut self,
        settings: &RuleSettings,
        comparison: Comparison,
        seen: Seen,
        at: Timestamp,
        max_gap_ms: u64,
    ) -> Step {
        let before = self.phase();
        let seen = match seen {
            Seen::Value(value) if !value.is_finite() => Seen::NoData,
            seen => seen,
        };
        if seen == Seen::NoData {
            let began = self.no_data_since.is_none().then_some(true);
            self.no_data_since.get_or_insert(at);
            // The time in between proves nothing for either side.
            self.last_at = None;
            return Step { before, after: before, no_data: began };
        }
        let ended = self.no_data_since.take().map(|_| false);
        let passed = self.last_at.map_or(0, |last| u64::try_from(at.0.saturating_sub(last.0)).unwrap_or(0));
        let passed = passed.min(max_gap_ms);
        self.last_at = Some(at);
        // A level that was taken out of the rule is off.
        self.switches.retain(|severity, _| settings.levels.iter().any(|level| level.severity == *severity));
        for level in &settings.levels {
            let switch = self.switches.entry(level.severity).or_default();
            let (against, needed_s) = if switch.on {
                (is_clear(level, comparison, seen), settings.clear_for_seconds)
            } else {
                (is_breach(level, comparison, seen), settings.for_seconds)
            };
            if !against {
                switch.against_ms = None;
                continue;
            }
            let held = switch.against_ms.map_or(0, |held| held.saturating_add(passed));
            if held >= u64::from(needed_s) * 1_000 {
                *switch = Switch { on: !switch.on, against_ms: None };
            } else {
                switch.against_ms = Some(held);
            }
        }
        Step { before, after: self.phase(), no_data: ended }
    }
}

fn is_breach(level: &Level, comparison: Comparison, seen: Seen) -> bool {
    match (seen, comparison) {
        (Seen::Value(value), Comparison::Above) => value > level.threshold,
        (Seen::Value(value), Comparison::Below) => value < level.threshold,
        (Seen::Gone | Seen::NoData, _) => false,
    }
}

fn is_clear(level: &Level, comparison: Comparison, seen: Seen) -> bool {
    match (seen, comparison) {
        (Seen::Value(value), Comparison::Above) => value <= level.clear,
        (Seen::Value(value), Comparison::Below) => value >= level.clear,
        (Seen::Gone, _) => true,
        (Seen::NoData, _) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GAP: u64 = 25_000;

    fn settings(for_seconds: u32, clear_for_seconds: u32) -> RuleSettings {
        let level = |severity, threshold, clear| Level { severity, threshold, clear };
        RuleSettings {
            enabled: true,
            levels: vec![level(Severity::Warning, 80.0, 75.0), level(Severity::Critical, 90.0, 85.0)],
            for_seconds,
            clear_for_seconds,
        }
    }

    /// Feeds values ten seconds apart; the phases after each.
    fn run(settings: &RuleSettings, seen: &[Seen]) -> Vec<Phase> {
        let mut tracked = Tracked::default();
        seen.iter()
            .enumerate()
            .map(|(i, seen)| {
                let at = Timestamp(i64::try_from(i).unwrap() * 10_000);
                tracked.step(settings, Comparison::Above, *seen, at, GAP).after
            })
            .collect()
    }

    fn values(values: &[f64]) -> Vec<Seen> {
        values.iter().map(|value| Seen::Value(*value)).collect()
    }

    #[test]
    fn a_breach_is_pending_until_it_has_lasted_and_ends_after_it_was_clear_for_long_enough() {
        use Phase::{Firing, Idle, Pending};
        use Severity::{Critical, Warning};
        let phases =
            run(&settings(20, 10), &values(&[70.0, 81.0, 81.0, 81.0, 95.0, 95.0, 95.0, 80.0, 80.0, 70.0, 70.0]));
        assert_eq!(
            phases,
            [
                Idle,
                Pending,
                Pending,
                Firing(Warning),
                Firing(Warning),
                Firing(Warning),
                Firing(Critical),
                Firing(Critical),
                Firing(Warning),
                Firing(Warning),
                Idle
            ]
        );
        // A breach that does not last comes to nothing.
        assert_eq!(run(&settings(20, 0), &values(&[81.0, 81.0, 79.0, 81.0])), [Pending, Pending, Idle, Pending]);
        // Without a wait it is raised and over at the first look.
        assert_eq!(run(&settings(0, 0), &values(&[91.0, 70.0])), [Firing(Critical), Idle]);
    }

    #[test]
    fn what_is_below_is_judged_the_other_way_round() {
        let settings = RuleSettings {
            enabled: true,
            levels: vec![Level { severity: Severity::Warning, threshold: 90.0, clear: 92.0 }],
            for_seconds: 0,
            clear_for_seconds: 0,
        };
        let mut tracked = Tracked::default();
        let mut phase =
            |value, at| tracked.step(&settings, Comparison::Below, Seen::Value(value), Timestamp(at), GAP).after;
        assert_eq!(phase(90.0, 0), Phase::Idle);
        assert_eq!(phase(89.9, 1), Phase::Firing(Severity::Warning));
        assert_eq!(phase(91.9, 2), Phase::Firing(Severity::Warning));
        assert_eq!(phase(92.0, 3), Phase::Idle);
    }

    #[test]
    fn missing_figures_are_said_once_and_change_nothing_else() {
        let settings = settings(0, 0);
        let mut tracked = Tracked::default();
        let mut step = |seen, at| tracked.step(&settings, Comparison::Above, seen, Timestamp(at), GAP);
        step(Seen::Value(95.0), 0);
        let missing = step(Seen::NoData, 10_000);
        assert_eq!((missing.after, missing.no_data), (Phase::Firing(Severity::Critical), Some(true)));
        assert_eq!(step(Seen::Value(f64::NAN), 20_000).no_data, None);
        let back = step(Seen::Value(95.0), 30_000);
        assert_eq!((back.after, back.no_data), (Phase::Firing(Severity::Critical), Some(false)));
    }

    #[test]
    fn a_clock_that_jumps_neither_raises_nor_ends() {
        let settings = settings(60, 60);
        let mut tracked = Tracked::default();
        let mut step =
            |value, at| tracked.step(&settings, Comparison::Above, Seen::Value(value), Timestamp(at), GAP).after;
        assert_eq!(step(95.0, 0), Phase::Pending);
        // A day forward counts as one gap, a day back as nothing.
        assert_eq!(step(95.0, 86_400_000), Phase::Pending);
        assert_eq!(step(95.0, 10_000), Phase::Pending);
        assert_eq!(step(95.0, 30_000), Phase::Pending);
        assert_eq!(step(95.0, 50_000), Phase::Firing(Severity::Critical));
        assert_eq!(step(10.0, 60_000), Phase::Firing(Severity::Critical));
        assert_eq!(step(10.0, 1_000_000_000), Phase::Firing(Severity::Critical));
    }

    #[test]
    fn a_level_that_was_taken_out_of_the_rule_is_off() {
        let mut tracked = Tracked::default();
        tracked.step(&settings(0, 0), Comparison::Above, Seen::Value(95.0), Timestamp(0), GAP);
        let mut less = settings(0, 0);
        less.levels.pop();
        let step = tracked.step(&less, Comparison::Above, Seen::Value(95.0), Timestamp(1), GAP);
        assert_eq!(step.after, Phase::Firing(Severity::Warning));
    }

    fn any_seen() -> impl Strategy<Value = Seen> {
        prop_oneof![6 => (0.0f64..120.0).prop_map(Seen::Value), 1 => Just(Seen::Gone), 2 => Just(Seen::NoData)]
    }

    fn any_looks() -> impl Strategy<Value = Vec<(Seen, i64)>> {
        proptest::collection::vec((any_seen(), -5_000i64..40_000), 1..60)
    }

    proptest! {
        #[test]
        fn inside_the_hysteresis_nothing_ever_changes(
            start in any_looks(),
            // Between 75 and 80: not better than clear, not worse than the threshold of the warning.
            inside in proptest::collection::vec((75.001f64..=80.0, 0i64..40_000), 1..40),
            for_s in 0u32..60,
            clear_s in 0u32..60,
        ) {
            let settings = RuleSettings { levels: vec![settings(0, 0).levels[0]], ..settings(for_s, clear_s) };
            let mut tracked = Tracked::default();
            let mut at = 0;
            for (seen, step) in start {
                at += step;
                tracked.step(&settings, Comparison::Above, seen, Timestamp(at), GAP);
            }
            let was = tracked.phase().severity();
            for (value, step) in inside {
                at += step;
                let after = tracked.step(&settings, Comparison::Above, Seen::Value(value), Timestamp(at), GAP).after;
                prop_assert_eq!(after.severity(), was);
            }
        }

        #[test]
        fn missing_data_never_ends_and_never_raises(looks in any_looks(), missing in 1usize..50, for_s in 0u32..60, clear_s in 0u32..60) {
            let settings = settings(for_s, clear_s);
            let mut tracked = Tracked::default();
            let mut at = 0;
            for (seen, step) in looks {
                at += step;
                tracked.step(&settings, Comparison::Above, seen, Timestamp(at), GAP);
            }
            let before = tracked.phase();
            for _ in 0..missing {
                at += 30_000;
                let step = tracked.step(&settings, Comparison::Above, Seen::NoData, Timestamp(at), GAP);
                prop_assert_eq!(step.after, before);
            }
        }

        #[test]
        fn the_same_looks_give_the_same_story_also_over_a_restart(looks in any_looks(), cut in 0usize..60, for_s in 0u32..60, clear_s in 0u32..60) {
            let settings = settings(for_s, clear_s);
            let (mut one, mut other) = (Tracked::default(), Tracked::default());
            let mut at = 0;
            for (i, (seen, step)) in looks.into_iter().enumerate() {
                at += step;
                if i == cut {
                    // What the store gives back.
                    let text = serde_json::to_string(&other).unwrap();
                    other = serde_json::from_str(&text).unwrap();
                }
                let a = one.step(&settings, Comparison::Above, seen, Timestamp(at), GAP);
                let b = other.step(&settings, Comparison::Above, seen, Timestamp(at), GAP);
                prop_assert_eq!(a, b);
            }
        }

        #[test]
        fn nothing_is_raised_before_its_time_and_without_a_breach(looks in any_looks(), for_s in 1u32..60) {
            let settings = settings(for_s, 0);
            let mut tracked = Tracked::default();
            let (mut at, mut breached_since) = (0, None);
            for (seen, step) in looks {
                at += step.max(0);
                let outcome = tracked.step(&settings, Comparison::Above, seen, Timestamp(at), GAP);
                breached_since = match seen {
                    Seen::Value(value) if value > 80.0 => breached_since.or(Some(at)),
                    Seen::NoData => breached_since,
                    _ => None,
                };
                if outcome.before.severity().is_none() && outcome.after.severity().is_some() {
                    let since = breached_since.expect("a breach");
                    prop_assert!(at - since >= i64::from(for_s) * 1_000, "{} after {}", for_s, at - since);
                }
            }
        }

        #[test]
        fn nothing_ends_before_its_time_and_without_being_clear(looks in any_looks(), for_s in 0u32..30, clear_s in 1u32..60) {
            let settings = settings(for_s, clear_s);
            let mut tracked = Tracked::default();
            let (mut at, mut clear_since) = (0, None);
            for (seen, step) in looks {
                at += step.max(0);
                let outcome = tracked.step(&settings, Comparison::Above, seen, Timestamp(at), GAP);
                let clear = seen == Seen::Gone || matches!(seen, Seen::Value(value) if value <= 75.0);
                clear_since = match seen {
                    Seen::NoData => clear_since,
                    _ if clear => clear_since.or(Some(at)),
                    _ => None,
                };
                if outcome.before.severity().is_some() && outcome.after.severity().is_none() {
                    let since = clear_since.expect("it is clear");
                    prop_assert!(at - since >= i64::from(clear_s) * 1_000, "{} after {}", clear_s, at - since);
                }
            }
        }

        /// Whatever the values do: between two changes lies at least the time that the rule waits for the second.
        #[test]
        fn an_alert_changes_no_faster_than_its_rule_waits(looks in any_looks(), for_s in 1u32..60, clear_s in 1u32..60) {
            let settings = settings(for_s, clear_s);
            let mut tracked = Tracked::default();
            let mut at = 0;
            let mut changed_at = None::<i64>;
            for (seen, step) in looks {
                at += step.max(0);
                let outcome = tracked.step(&settings, Comparison::Above, seen, Timestamp(at), GAP);
                let (before, after) = (outcome.before.severity().is_some(), outcome.after.severity().is_some());
                if before != after {
                    let waits = i64::from(if after { for_s } else { clear_s }) * 1_000;
                    prop_assert!(changed_at.is_none_or(|last| at - last >= waits), "{} after {:?}", waits, changed_at);
                    changed_at = Some(at);
                }
            }
        }
    }
}
