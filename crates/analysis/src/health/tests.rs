//! Tests of `health.rs`.
use super::*;
use proptest::prelude::*;

fn score(input: &HealthInput) -> Health {
    HealthTracker::default().score(input, HealthWeights::default(), Timestamp(0))
}

fn healthy() -> HealthInput {
    HealthInput {
        connections_percent: Some(40.0),
        idle_in_transaction: Some(0),
        longest_query_seconds: Some(1.0),
        slow_time_percent: Some(0.0),
        slow_threshold_ms: 1_000.0,
        blocked_sessions: Some(0),
        deadlocks: Some(0),
        replicas: Some(vec![]),
        inactive_slots: Some(0),
        cache_hit_percent: Some(99.0),
        temp_bytes_per_second: Some(0.0),
        xid_age: Some(1_000),
        oldest_transaction_seconds: Some(1.0),
        horizon_age: Some(1_000),
        bloated_tables: Some(0),
        archiver_failing: Some(false),
        wasted_index_percent: Some(0.0),
        wasted_index_bytes: Some(0),
        sequence_percent: Some(0.0),
        recovery: Some(vec![]),
        ..HealthInput::default()
    }
}

fn any_input() -> impl Strategy<Value = HealthInput> {
    let f = |max: f64| proptest::option::of(0.0..max);
    let n = |max: i64| proptest::option::of(0..max);
    (
        (f(120.0), n(20), f(5_000.0), f(100.0), n(20), f(500.0), n(20)),
        (
            f(100.0),
            f(1e9),
            n(2_000_000_000),
            f(100_000.0),
            n(50),
            proptest::option::of(any::<bool>()),
            f(100.0),
            n(1 << 40),
            n(200_000_000),
        ),
        proptest::collection::vec("[a-z]{3,8}", 0..8),
    )
        .prop_map(|(a, b, failed_collectors)| HealthInput {
            failed_collectors,
            connections_percent: a.0,
            idle_in_transaction: a.1,
            longest_query_seconds: a.2,
            slow_time_percent: a.3,
            blocked_sessions: a.4,
            longest_wait_seconds: a.5,
            deadlocks: a.6,
            cache_hit_percent: b.0,
            temp_bytes_per_second: b.1,
            xid_age: b.2,
            oldest_transaction_seconds: b.3,
            bloated_tables: b.4,
            archiver_failing: b.5,
            wasted_index_percent: b.6,
            wasted_index_bytes: b.7,
            horizon_age: b.8,
            ..HealthInput::default()
        })
}

/// Points moved from one part to another, as far as both allow it.
fn any_weights() -> impl Strategy<Value = HealthWeights> {
    proptest::collection::vec((0usize..10, 0usize..10, 0u8..=40), 0..20).prop_map(|moves| {
        let mut points = HealthWeights::COMPONENTS.map(|component| HealthWeights::default().of(component));
        for (from, to, some) in moves {
            let some = some.min(points[from]).min(HealthWeights::MOST - points[to]);
            if from != to {
                points[from] -= some;
                points[to] += some;
            }
        }
        let of = |name: &str| {
            let at = HealthWeights::COMPONENTS.iter().position(|component| component.as_str() == name)?;
            Some(points[at].to_string())
        };
        HealthWeights::read(of).unwrap_or_default()
    })
}

proptest! {
    #[test]
    fn the_lines_are_the_score(input in any_input()) {
        let health = score(&input);
        let lost = health.lines.iter().map(|line| u32::from(line.points)).sum::<u32>();
        prop_assert_eq!(u32::from(health.score) + lost, 100);
        prop_assert!(health.lines.iter().all(|line| line.points > 0));
        for component in [HealthComponent::Connections, HealthComponent::Locks, HealthComponent::Maintenance, HealthComponent::Availability] {
            let of = health.lines.iter().filter(|line| line.component == component).map(|line| line.points).sum::<u8>();
            prop_assert!(of <= HealthWeights::default().of(component));
        }
    }

    #[test]
    fn worse_never_scores_better(input in any_input(), worse in 0.0f64..120.0) {
        let mut other = input.clone();
        other.connections_percent = Some(input.connections_percent.unwrap_or(0.0).max(worse));
        other.xid_age = Some(input.xid_age.unwrap_or(0) + 100_000_000);
        other.cache_hit_percent = input.cache_hit_percent.map(|percent| percent * 0.9);
        prop_assert!(score(&other).score <= score(&input).score);
    }

    #[test]
    fn each_figure_alone_never_scores_better_when_it_is_worse(input in any_input(), more in 0.0f64..1e6, which in 0usize..13) {
        let mut worse = input.clone();
        let add = |value: Option<f64>, by: f64| value.map(|value| value + by);
        let count = |value: Option<i64>, by: f64| value.map(|value| value.saturating_add(by as i64));
        match which {
            0 => worse.connections_percent = add(input.connections_percent, more),
            1 => worse.idle_in_transaction = count(input.idle_in_transaction, more),
            2 => worse.longest_query_seconds = add(input.longest_query_seconds, more),
            3 => worse.slow_time_percent = add(input.slow_time_percent, more),
            4 => worse.longest_wait_seconds = add(input.longest_wait_seconds, more),
            5 => worse.deadlocks = count(input.deadlocks, more),
            6 => worse.cache_hit_percent = add(input.cache_hit_percent, -more),
            7 => worse.temp_bytes_per_second = add(input.temp_bytes_per_second, more),
            8 => worse.xid_age = count(input.xid_age, more * 1_000.0),
            9 => worse.oldest_transaction_seconds = add(input.oldest_transaction_seconds, more),
            10 => worse.bloated_tables = count(input.bloated_tables, more),
            11 => worse.horizon_age = count(input.horizon_age, more * 1_000.0),
            _ => worse.failed_collectors.push("another".to_owned()),
        }
        prop_assert!(score(&worse).score <= score(&input).score, "{}", which);
    }

    #[test]
    fn a_critical_alert_caps_the_score_and_the_lines_are_still_the_score(input in any_input(), disaster: bool) {
        let mut tracker = HealthTracker::default();
        let plain = tracker.score(&input, HealthWeights::default(), Timestamp(0));
        let mut capped = plain.clone();
        let rule = if disaster { "xid_age" } else { "connections_high" };
        tracker.cap(&mut capped, &[(rule.to_owned(), "It is so".to_owned())], Timestamp(1));
        let limit = if disaster { 30 } else { 40 };
        prop_assert!(capped.score <= limit);
        prop_assert_eq!(capped.score, plain.score.min(if disaster { 30 } else { 40 }));
        let lost = capped.lines.iter().map(|line| u32::from(line.points)).sum::<u32>();
        prop_assert_eq!(u32::from(capped.score) + lost, 100);
        prop_assert_eq!(capped.band, Band::of(capped.score));
        let mut again = plain.clone();
        tracker.cap(&mut again, &[], Timestamp(2));
        prop_assert_eq!(again, plain);
    }

    /// What holds for the shipped weights holds for every set of weights that is allowed.
    #[test]
    fn the_properties_hold_for_all_weights(input in any_input(), weights in any_weights(), worse in 0.0f64..120.0) {
        prop_assert_eq!(weights.check(), Ok(()));
        let of = |input: &HealthInput| HealthTracker::default().score(input, weights, Timestamp(0));
        let health = of(&input);
        let lost = health.lines.iter().map(|line| u32::from(line.points)).sum::<u32>();
        prop_assert_eq!(u32::from(health.score) + lost, 100);
        prop_assert!(health.lines.iter().all(|line| line.points > 0));
        for component in HealthWeights::COMPONENTS {
            let lost = health.lines.iter().filter(|line| line.component == component).map(|line| u32::from(line.points)).sum::<u32>();
            prop_assert!(lost <= u32::from(weights.of(component)), "{}", component.as_str());
        }
        let mut other = input.clone();
        other.connections_percent = Some(input.connections_percent.unwrap_or(0.0).max(worse));
        other.xid_age = Some(input.xid_age.unwrap_or(0) + 100_000_000);
        other.cache_hit_percent = input.cache_hit_percent.map(|percent| percent * 0.9);
        other.blocked_sessions = input.blocked_sessions.map(|count| count + 1);
        other.failed_collectors.push("another".to_owned());
        prop_assert!(of(&other).score <= health.score);
        // A breach of a part that counts is never free.
        let broken = HealthInput { connections_percent: Some(99.0), ..input.clone() };
        let costs = of(&broken).lines.iter().any(|line| line.component == HealthComponent::Connections);
        prop_assert_eq!(costs, weights.connections > 0);
        let down = of(&HealthInput { unreachable: Some("gone".to_owned()), ..input });
        prop_assert_eq!(down.score, 0);
    }

    #[test]
    fn ignorance_lowers_the_coverage(input in any_input()) {
        let mut other = input.clone();
        other.blocked_sessions = None;
        let (known, unknown) = (score(&input), score(&other));
        prop_assert!(unknown.coverage_percent <= known.coverage_percent);
    }
}

#[test]
fn a_healthy_server_scores_a_hundred_and_an_unreachable_one_nothing() {
    let health = score(&healthy());
    assert_eq!((health.score, health.band, health.coverage_percent, health.lines.len()), (100, Band::Good, 100.0, 0));
    let down = score(&HealthInput { unreachable: Some("connection refused".into()), ..healthy() });
    assert_eq!((down.score, down.band, down.lines.len()), (0, Band::Critical, 1));
    let unknown = score(&HealthInput { blocked_sessions: None, ..healthy() });
    assert_eq!(unknown.score, 100);
    assert!(unknown.coverage_percent < 100.0);
}

#[test]
fn a_line_keeps_the_moment_since_when_it_is_there() {
    let mut tracker = HealthTracker::default();
    let bad = HealthInput { cache_hit_percent: Some(70.0), ..healthy() };
    let mut at = |input: &HealthInput, at| tracker.score(input, HealthWeights::default(), Timestamp(at));
    at(&bad, 1_000);
    assert_eq!(at(&bad, 9_000).lines[0].since, Timestamp(1_000));
    at(&healthy(), 10_000);
    assert_eq!(at(&bad, 20_000).lines[0].since, Timestamp(20_000));
}

#[test]
fn what_is_wrong_with_backups_costs_points_of_their_part_and_no_more() {
    let problem = |rule: &str, severity: &str| RecoveryProblem {
        rule: rule.to_owned(),
        severity: severity.to_owned(),
        message: format!("{rule} happened"),
        measured: String::new(),
        threshold: "24 h".to_owned(),
    };
    let lost = |problems: Vec<RecoveryProblem>| {
        let health = score(&HealthInput { recovery: Some(problems), ..healthy() });
        let of = health.lines.iter().filter(|line| line.component == HealthComponent::Backups);
        of.map(|line| (line.points, line.measured.clone(), line.threshold.clone())).collect::<Vec<_>>()
    };
    assert_eq!(lost(vec![]), []);
    assert_eq!(
        lost(vec![problem("backup_overdue", "critical")]),
        [(8, "backup_overdue happened".to_owned(), "24 h".to_owned())]
    );
    assert_eq!(lost(vec![problem("restore_test_overdue", "warning")])[0].0, 2);
    for rule in ["restore_test_failed", "drill_failed", "drill_overdue", "rto_forecast"] {
        assert_eq!(lost(vec![problem(rule, "critical")])[0].0, 6, "{rule}");
    }
    // Both at once: the part has its ceiling.
    let both = lost(vec![problem("wal_gap", "critical"), problem("drill_failed", "critical")]);
    assert_eq!(both.iter().map(|line| line.0).sum::<u8>(), HealthWeights::default().of(HealthComponent::Backups));
    // Not backed up here: nothing is lost, and it is not known that all is well. A standby's backups are its primary's, and
    // without weight nobody asks.
    let none = HealthInput { recovery: None, ..healthy() };
    assert_eq!(score(&none).score, score(&healthy()).score);
    assert!(score(&none).coverage_percent < 100.0);
    assert_eq!(score(&HealthInput { is_standby: true, ..none.clone() }).coverage_percent, 100.0);
    let unasked = HealthWeights { backups: 0, ..HealthWeights::default() };
    assert_eq!(HealthTracker::default().score(&none, unasked, Timestamp(0)).coverage_percent, 100.0);
}
