//! Tests of `engine.rs`: who is told what, and when, over the story of one alert.
#![allow(clippy::unwrap_used)]
use super::*;
use domain::alert::Severity::{Critical, Warning};
use notify::MessageKind::{Firing, Raised, Resolved};
use store::{AckRow, AlertRuleRow, BlackoutRow, SilenceRow};

/// A cluster that is looked at each ten seconds.
struct Story {
    book: AlertBook,
    at: i64,
}

/// As shipped: a warning above 80 (clear at 75), critical above 90 (clear at 85), after 30 s; over after 60 s.
const RULE: &str = "connections_high";

impl Story {
    fn new() -> Self {
        Self { book: AlertBook::empty(), at: 0 }
    }

    /// One look, `None` when nothing can be read; what people are told at it.
    fn look(&mut self, percent: Option<f64>) -> Vec<(MessageKind, Severity)> {
        self.at += 10_000;
        let reading =
            percent.map_or(Reading::Unknown, |percent| Reading::Known(vec![Observed::whole(percent, "so much")]));
        let readings = BTreeMap::from([(RULE, reading)]);
        let changes = self.book.step("main", &readings, Timestamp(self.at), 1, 10_000);
        changes.tells.iter().map(|tell| (tell.kind, tell.alert.severity)).collect()
    }

    fn looks(&mut self, percent: f64, times: usize) -> Vec<(MessageKind, Severity)> {
        (0..times).flat_map(|_| self.look(Some(percent))).collect()
    }

    fn id(&self) -> i64 {
        let inner = self.book.lock();
        let mut open = inner.open.values().filter(|entry| entry.row.rule == RULE);
        open.next().unwrap().row.id
    }

    fn take_on(&self, severity: Severity, until: Option<Timestamp>) {
        let at = Timestamp(self.at);
        let ack = AckRow { by: "ada".to_owned(), at, note: "on it".to_owned(), until, severity };
        self.book.set_ack(self.id(), Some(ack));
    }
}

#[test]
fn whoever_took_it_on_is_told_again_when_it_is_worse_or_the_time_is_over_and_nobody_twice() {
    let mut story = Story::new();
    assert_eq!(story.looks(85.0, 3), []);
    assert_eq!(story.looks(85.0, 1), [(Firing, Warning)]);
    story.take_on(Warning, None);
    assert_eq!(story.looks(85.0, 5), []);
    // Worse than what was taken on.
    assert_eq!(story.looks(95.0, 4), [(Raised, Critical)]);
    story.take_on(Critical, Some(Timestamp(story.at + 25_000)));
    assert_eq!(story.looks(95.0, 2), []);
    assert_eq!(story.looks(95.0, 1), [(Firing, Critical)]);
    // Better and worse again is the same trouble: it was told as what it is.
    assert_eq!(story.looks(80.0, 8), []);
    assert_eq!(story.looks(95.0, 8), []);
    // What is not seen ends nothing, however long it lasts.
    assert!((0..60).all(|_| story.look(None).is_empty()));
    let open = story.book.open(Some("main"), Timestamp(story.at));
    assert!(open.len() == 1 && open[0].no_data_since.is_some(), "{open:?}");
    let told = story.looks(10.0, 12);
    assert_eq!(told.iter().map(|it| it.0).collect::<Vec<_>>(), [Resolved]);
    assert_eq!(story.book.open(Some("main"), Timestamp(story.at)), []);
}

#[test]
fn what_nobody_was_told_of_needs_no_end_and_what_goes_on_after_a_silence_is_told() {
    let mut story = Story::new();
    // Pending only: it comes to nothing.
    assert_eq!(story.looks(85.0, 2), []);
    assert_eq!(story.looks(10.0, 3), []);
    assert_eq!(story.book.open(None, Timestamp(story.at)), []);

    assert_eq!(story.looks(85.0, 3), []);
    let silence = |until| SilenceRow { by: "ada".to_owned(), note: "known".to_owned(), until: Timestamp(until) };
    story.book.set_silence(story.id(), Some(silence(story.at + 35_000)));
    // Raised in silence, told when that is over.
    assert_eq!(story.looks(85.0, 3), []);
    assert_eq!(story.looks(85.0, 1), [(Firing, Warning)]);
    // Silenced once more: its end is told all the same.
    story.book.set_silence(story.id(), Some(silence(story.at + 3_600_000)));
    assert_eq!(story.looks(10.0, 7), [(Resolved, Warning)]);

    // Raised and over in silence: nobody hears of it.
    assert_eq!(story.looks(85.0, 3), []);
    story.book.set_silence(story.id(), Some(silence(story.at + 3_600_000)));
    assert_eq!(story.looks(85.0, 1), []);
    assert_eq!(story.looks(10.0, 8), []);
    assert_eq!(story.book.open(None, Timestamp(story.at)), []);
}

#[test]
fn within_each_window_of_a_recurring_blackout_nobody_is_told_and_what_goes_on_after_it_is() {
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    // Sundays at 02:00 for half an hour; the 29th of November 2026 is one.
    let row = BlackoutRow {
        id: 1,
        reason: "vacuum full".to_owned(),
        cluster_id: None,
        rule: Some(RULE.to_owned()),
        starts_at: at("2026-11-25T00:00:00Z"),
        ends_at: at("2027-11-25T00:00:00Z"),
        cron: Some("0 2 * * 0".to_owned()),
        duration_seconds: Some(1_800),
        created_by: "ada".to_owned(),
        created_at: at("2026-11-25T00:00:00Z"),
    };
    let mut story = Story::new();
    let window = super::super::book::window(&row).unwrap();
    story.book.lock().blackouts = vec![(row, window)];
    for sunday in ["2026-11-29T02:00:00Z", "2026-12-06T02:00:00Z"] {
        story.at = at(sunday).0;
        // Twenty-nine minutes of it, and nobody is told; it is open and says why it is quiet.
        assert_eq!(story.looks(85.0, 174), [], "{sunday}");
        let open = story.book.open(Some("main"), Timestamp(story.at));
        assert_eq!(open[0].suppressed_by.as_deref(), Some("vacuum full"));
        assert_eq!(story.looks(85.0, 6), [(Firing, Warning)], "{sunday}");
        assert_eq!(story.looks(10.0, 7), [(Resolved, Warning)], "{sunday}");
    }
    // On any other day it is told at once.
    story.at = at("2026-12-07T02:00:00Z").0;
    assert_eq!(story.looks(85.0, 4), [(Firing, Warning)]);
}

#[test]
fn values_that_swing_around_the_threshold_are_one_alert() {
    let mut story = Story::new();
    let mut told = Vec::new();
    // Each swing is within the hysteresis: above 80, then not better than 75.
    for turn in 0..200 {
        told.extend(story.look(Some(if turn % 7 < 5 { 82.0 } else { 77.0 })));
    }
    assert_eq!(told, [(Firing, Warning)]);
    // Swings that are shorter than the rule waits raise nothing at all.
    let mut calm = Story::new();
    for turn in 0..200 {
        assert_eq!(calm.look(Some(if turn % 2 == 0 { 99.0 } else { 10.0 })), []);
    }
}

#[test]
fn of_the_settings_of_a_rule_the_narrowest_holds() {
    use domain::alert::RuleScope;
    let set = |scope: &RuleScope| AlertRuleRow {
        scope: scope.clone(),
        rule: RULE.to_owned(),
        settings: RuleSettings { enabled: true, levels: Vec::new(), for_seconds: 0, clear_for_seconds: 0 },
        updated_by: "ada".to_owned(),
        updated_at: Timestamp(0),
    };
    let groups = [("main", "shops"), ("other", "shops"), ("bank", "banks")];
    let book = AlertBook::of(groups.map(|(id, group)| (id.to_owned(), group.to_owned())).into());
    let holds = |cluster: &str| book.lock().setting(cluster, RULE).map(|row| row.scope.clone());
    assert_eq!(holds("main"), None, "as shipped");
    let (own, shops) = (RuleScope::Cluster("main".to_owned()), RuleScope::Group("shops".to_owned()));
    // A group that is called as a cluster is another thing.
    let namesake = RuleScope::Group("bank".to_owned());
    book.lock().overrides = [&own, &RuleScope::All, &namesake, &shops].map(set).into();
    assert_eq!(holds("main"), Some(own));
    assert_eq!(holds("other"), Some(shops));
    assert_eq!(holds("bank"), Some(RuleScope::All));
    assert_eq!(holds("alone"), Some(RuleScope::All));
}
