//! Tests of `rules.rs`.
#![allow(clippy::unwrap_used)]
use super::*;
use domain::alert::{
    RuleKind::Notice,
    Severity::{Critical, Info, Warning},
};
use std::collections::BTreeSet;

#[test]
fn every_shipped_rule_is_one_of_its_kind_and_passes_its_own_check() {
    let keys = RULES.iter().map(|rule| rule.key).collect::<BTreeSet<_>>();
    assert_eq!(keys.len(), RULES.len());
    for rule in RULES {
        assert_eq!(rule.check(&rule.default_settings()), Ok(()), "{}", rule.key);
        assert!(!rule.title.is_empty() && rule.about.ends_with('.'), "{}", rule.key);
        assert_eq!(rule.kind == Notice, rule.lasts_seconds > 0, "{}", rule.key);
    }
}

#[test]
fn the_guides_thresholds_are_shipped() {
    let shown = |key: &str, severity| {
        let rule = rule(key).unwrap();
        let settings = rule.default_settings();
        let level = settings.levels.iter().find(|level| level.severity == severity).unwrap();
        rule.show_threshold(level)
    };
    assert_eq!(shown("connections_high", Critical), "> 90 %");
    assert_eq!(shown("query_long", Critical), "> 30 s");
    assert_eq!(shown("cache_hit_low", Warning), "< 90 %");
    assert_eq!(shown("replication_lag", Warning), "> 5 s");
    assert_eq!(rule("slow_statements_new").unwrap().levels[0].0, Info);
    assert_eq!(rule("backup_finished").unwrap().levels[0].0, Info);
}

#[test]
fn settings_that_make_no_sense_are_refused_by_field() {
    let rule = rule("connections_high").unwrap();
    let with = |change: fn(&mut RuleSettings)| {
        let mut settings = rule.default_settings();
        change(&mut settings);
        rule.check(&settings).unwrap_err().0
    };
    assert_eq!(with(|it| it.levels.clear()), "levels");
    assert_eq!(with(|it| it.levels.reverse()), "levels");
    assert_eq!(with(|it| it.levels[0].clear = 81.0), "clear");
    assert_eq!(with(|it| it.levels[0].threshold = f64::NAN), "levels");
    assert_eq!(with(|it| it.levels[1].threshold = 70.0), "clear");
    assert_eq!(with(|it| it.levels[1].threshold = 190.0), "levels");
    assert_eq!(with(|it| it.for_seconds = 100_000), "for_seconds");
}
