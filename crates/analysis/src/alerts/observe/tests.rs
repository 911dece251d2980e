//! Tests of `observe.rs`.
#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use domain::Timestamp;

fn fresh() -> Vec<CollectorStatus> {
    CollectorKind::ALL
        .map(|name| CollectorStatus {
            name,
            state: CollectorState::Fresh,
            collected_at: Some(Timestamp(0)),
            age_seconds: Some(0.0),
            duration_ms: None,
            interval_seconds: 30.0,
        })
        .into()
}

fn facts<'a>(connection: &'a ClusterState, collectors: &'a [CollectorStatus], scope: &'a Scope) -> Facts<'a> {
    Facts {
        connection,
        collectors,
        scope,
        clock: None,
        connections_percent: Some(50.0),
        connections: Some((50, 100)),
        activity: None,
        longest_lock_wait_seconds: None,
        replicas: &[],
        replication: None,
        database: None,
        sequences: None,
        horizon: None,
        deadlocks: Some(0),
        cache_hit_percent: None,
        archiver_failing: None,
        evictions_per_hour: None,
        disks: None,
    }
}

fn active(pid: i32, seconds: f64, query: &str) -> Backend {
    Backend {
        pid,
        backend_type: "client backend".into(),
        state: Some("active".into()),
        user: Some("app".into()),
        query: Some(query.into()),
        query_seconds: Some(seconds),
        ..Backend::default()
    }
}

#[test]
fn an_unreachable_server_is_known_and_everything_else_of_it_is_not() {
    let (collectors, scope) = (fresh(), Scope::default());
    let down = ClusterState::Unreachable { reason: "connection refused".into(), since: Timestamp(0) };
    let readings = observe(&facts(&down, &collectors, &scope));
    for (rule, reading) in &readings {
        match *rule {
            "cluster_unreachable" => {
                let Reading::Known(seen) = reading else { panic!("{reading:?}") };
                assert_eq!((seen[0].value, seen[0].detail.as_deref()), (Some(1.0), Some("connection refused")));
            }
            _ => assert_eq!(*reading, Reading::Unknown, "{rule}"),
        }
    }
    assert_eq!(
        observe(&facts(&ClusterState::Connecting, &collectors, &scope))["cluster_unreachable"],
        Reading::Unknown
    );
}

#[test]
fn a_clock_is_off_by_what_no_slow_answer_explains() {
    let (collectors, scope) = (fresh(), Scope::default());
    let seen = |ahead_ms, within_ms| {
        let clock = Some(ClockSkew { ahead_ms, within_ms });
        let reading = observe(&Facts { clock, ..facts(&ClusterState::Up, &collectors, &scope) }).remove("clock_skew");
        let Some(Reading::Known(seen)) = &reading else { panic!("{reading:?}") };
        (seen[0].value, seen[0].measured.clone())
    };
    assert_eq!(seen(-5_000, 5), (Some(4.995), "5.00 s behind ours".to_owned()));
    assert_eq!(seen(5_000, 6_000), (Some(0.0), "5.00 s ahead of ours".to_owned()));
    let threshold = crate::alerts::rule("clock_skew").unwrap().default_settings().levels[0].threshold;
    assert!(
        seen(2_100, 5).0.is_some_and(|seconds| seconds > threshold)
            && seen(1_900, 5).0.is_some_and(|seconds| seconds < threshold)
    );
}

#[test]
fn a_collector_that_fails_takes_its_own_rules_along_and_no_others() {
    let (mut collectors, scope) = (fresh(), Scope::default());
    let database = collectors.iter_mut().find(|it| it.name == CollectorKind::Database).unwrap();
    database.state = CollectorState::Stale;
    let readings = observe(&facts(&ClusterState::Up, &collectors, &scope));
    assert_eq!(readings["deadlocks"], Reading::Unknown);
    assert!(matches!(readings["connections_high"], Reading::Known(_)));
    // Nothing to judge is not the same as not known.
    assert_eq!(observe(&facts(&ClusterState::Up, &fresh(), &scope))["cache_hit_low"], Reading::Known(vec![]));
}

#[test]
fn the_same_statement_in_many_sessions_is_one_object_and_what_is_long_by_intent_is_none() {
    let scope = Scope { roles: ["batch".to_owned()].into(), applications: ["pg_dump".to_owned()].into() };
    let reading = ActivityReading {
        rows: vec![
            active(1, 40.0, "SELECT * FROM t WHERE a = 1"),
            active(2, 70.0, "SELECT * FROM t WHERE a = 22"),
            active(3, 50.0, "/* holdfast:no-alert */ SELECT 1"),
            active(4, 50.0, "VACUUM t"),
            Backend { user: Some("batch".into()), ..active(5, 50.0, "SELECT 2 FROM batch") },
            Backend { application: "pg_dump".into(), ..active(6, 50.0, "SELECT 3 FROM dump") },
            Backend { backend_type: "walsender".into(), ..active(7, 50.0, "START_REPLICATION") },
            active(8, 0.2, "SELECT 4 FROM quick"),
            active(9, 35.0, "SELECT 'holdfast:no-alert' FROM not_a_comment"),
        ],
        hidden: 0,
    };
    let (collectors, up) = (fresh(), ClusterState::Up);
    let readings = observe(&Facts { activity: Some(&reading), ..facts(&up, &collectors, &scope) });
    let Reading::Known(mut seen) = readings["query_long"].clone() else { panic!("known") };
    seen.sort_by(|a, b| b.value.unwrap().total_cmp(&a.value.unwrap()));
    assert_eq!(seen.iter().map(|it| it.value.unwrap()).collect::<Vec<_>>(), [70.0, 35.0]);
    assert!(seen[0].measured.contains("2 sessions"), "{}", seen[0].measured);
    assert!(seen[0].detail.as_deref().unwrap().contains("a = ?"), "{:?}", seen[0].detail);
}

#[test]
fn a_wait_is_as_old_as_the_wait_and_not_as_the_statement() {
    let mut waiting = active(1, 600.0, "UPDATE t SET a = 1");
    waiting.wait_event_type = Some("Lock".into());
    let reading = ActivityReading { rows: vec![waiting], hidden: 0 };
    let (collectors, scope, up) = (fresh(), Scope::default(), ClusterState::Up);
    let readings = observe(&Facts {
        activity: Some(&reading),
        longest_lock_wait_seconds: Some(0.2),
        ..facts(&up, &collectors, &scope)
    });
    let Reading::Known(seen) = &readings["sessions_blocked"] else { panic!("known") };
    assert_eq!(seen[0].value, Some(0.2));
}

#[test]
fn multixacts_run_out_as_transactions_do() {
    let row = |name: &str, xid: i64, multixact: i64| domain::reading::DatabaseCounters {
        name: name.into(),
        xid_age: Some(xid),
        multixact_age: Some(multixact),
        ..Default::default()
    };
    let database = DatabaseReading { rows: vec![row("template0", 5, 7), row("shop", 6, 1_700_000_000)] };
    let (collectors, scope, up) = (fresh(), Scope::default(), ClusterState::Up);
    let readings = observe(&Facts { database: Some(&database), ..facts(&up, &collectors, &scope) });
    let Reading::Known(seen) = &readings["xid_age"] else { panic!("known") };
    assert_eq!(seen[0].value, Some(1.7e9));
    assert!(seen[0].measured.contains("multixacts in shop"), "{}", seen[0].measured);
}

#[test]
fn the_oldest_holder_of_the_horizon_is_named_and_each_prepared_transaction_has_its_alert() {
    let holder = |source: &str, id: &str, age: i64, seconds: Option<f64>| HorizonHolder {
        source: source.into(),
        id: id.into(),
        detail: "app in shop".into(),
        age,
        seconds,
    };
    let holders = [
        holder("slot", "left", 12_000_000, None),
        holder("prepared transaction", "one", 7, Some(400.0)),
        holder("backend", "4711", 5, Some(0.1)),
        holder("prepared transaction", "two", 3, Some(2.0)),
    ];
    let (collectors, scope, up) = (fresh(), Scope::default(), ClusterState::Up);
    let known = |holders: &[HorizonHolder], rule: &str| match &observe(&Facts {
        horizon: Some(holders),
        ..facts(&up, &collectors, &scope)
    })[rule]
    {
        Reading::Known(seen) => seen.clone(),
        Reading::Unknown => panic!("{rule} is known"),
    };
    let held = known(&holders, "horizon_held");
    assert_eq!((held[0].value, held[0].detail.as_deref()), (Some(1.2e7), Some("slot left (app in shop)")));
    let prepared = known(&holders, "prepared_transaction_old");
    assert_eq!(
        prepared.iter().map(|it| (it.object.as_str(), it.value)).collect::<Vec<_>>(),
        [("one", Some(400.0)), ("two", Some(2.0))]
    );
    // Nobody holds anything: that is known, and ends both.
    assert_eq!(known(&[], "horizon_held")[0].value, Some(0.0));
    assert_eq!(known(&[], "prepared_transaction_old"), []);
    let missing = observe(&facts(&up, &collectors, &scope));
    assert_eq!(
        (&missing["horizon_held"], &missing["prepared_transaction_old"]),
        (&Reading::Unknown, &Reading::Unknown)
    );
}

#[test]
fn of_a_standby_that_is_gone_the_lag_is_not_known() {
    let (collectors, scope, up) = (fresh(), Scope::default(), ClusterState::Up);
    let replicas = [
        ReplicaView { name: "a".into(), state: ReplicaState::Disconnected, lag_seconds: Some(900.0), lag_bytes: None },
        ReplicaView { name: "b".into(), state: ReplicaState::Streaming, lag_seconds: Some(0.1), lag_bytes: Some(8) },
    ];
    let replication = ReplicationReading::default();
    let facts = Facts { replicas: &replicas, replication: Some(&replication), ..facts(&up, &collectors, &scope) };
    let readings = observe(&facts);
    let values = |rule: &str| match &readings[rule] {
        Reading::Known(seen) => seen.iter().map(|it| it.value).collect::<Vec<_>>(),
        Reading::Unknown => vec![],
    };
    assert_eq!(values("replication_lag"), [None, Some(0.1)]);
    assert_eq!(values("replica_disconnected"), [Some(1.0), Some(0.0)]);
}

#[test]
fn each_rule_of_slots_sees_its_own_trouble_and_a_slot_in_use_is_none() {
    const RULES_OF_SLOTS: [&str; 4] = ["slot_inactive", "slot_retained", "slot_unreserved", "slot_lost"];
    let slot = |name: &str, active: bool, status: Option<&str>, retained: Option<i64>| domain::reading::Slot {
        name: name.into(),
        active,
        wal_status: status.map(str::to_owned),
        retained_bytes: retained,
        ..Default::default()
    };
    let replication = ReplicationReading {
        slots: vec![
            slot("healthy", true, Some("reserved"), Some(0)),
            slot("left", false, Some("reserved"), Some(16)),
            slot("behind", true, Some("extended"), Some(5 << 30)),
            slot("endangered", true, Some("unreserved"), Some(6 << 30)),
            // Its WAL is gone: what is kept for it is not known.
            slot("gone", false, Some("lost"), None),
            // A slot that was never used keeps nothing.
            slot("new", false, None, None),
        ],
        ..ReplicationReading::default()
    };
    let (collectors, scope, up) = (fresh(), Scope::default(), ClusterState::Up);
    let readings = observe(&Facts { replication: Some(&replication), ..facts(&up, &collectors, &scope) });
    let seen = |rule: &str| match &readings[rule] {
        Reading::Known(seen) => seen.clone(),
        Reading::Unknown => panic!("{rule} is known"),
    };
    for rule in RULES_OF_SLOTS {
        // Each slot is named, so that what is well again ends its alert.
        assert_eq!(
            seen(rule).iter().map(|it| it.object.as_str()).collect::<Vec<_>>(),
            ["healthy", "left", "behind", "endangered", "gone", "new"],
            "{rule}"
        );
    }
    let hit = |rule: &str| {
        let hit = seen(rule).into_iter().filter(|it| it.value == Some(1.0));
        hit.map(|it| (it.object, it.measured)).collect::<Vec<_>>()
    };
    let of = |object: &str, measured: &str| (object.to_owned(), measured.to_owned());
    assert_eq!(hit("slot_inactive"), [of("left", "not in use"), of("gone", "not in use"), of("new", "not in use")]);
    assert_eq!(hit("slot_unreserved"), [of("endangered", "unreserved")]);
    assert_eq!(hit("slot_lost"), [of("gone", "lost")]);
    for rule in ["slot_inactive", "slot_unreserved", "slot_lost"] {
        let healthy = seen(rule).remove(0);
        assert_eq!((healthy.value, healthy.measured.as_str()), (Some(0.0), ""), "{rule}");
    }
    let retained = seen("slot_retained");
    assert_eq!(
        retained.iter().map(|it| it.value).collect::<Vec<_>>(),
        [Some(0.0), Some(16.0), Some((5_i64 << 30) as f64), Some((6_i64 << 30) as f64), None, None]
    );
    assert_eq!(retained[2].measured, format::bytes((5_i64 << 30) as f64));
    assert_eq!(retained[4].measured, "");

    // No slot at all is known: every alert of one ends.
    let none = ReplicationReading::default();
    let readings = observe(&Facts { replication: Some(&none), ..facts(&up, &collectors, &scope) });
    for rule in RULES_OF_SLOTS {
        assert_eq!(readings[rule], Reading::Known(vec![]), "{rule}");
    }
    // Without the reading, or with an old one, nothing is known and nothing ends.
    let missing = observe(&facts(&up, &collectors, &scope));
    let mut stale = fresh();
    let status = stale.iter_mut().find(|it| it.name == CollectorKind::Replication).unwrap();
    status.state = CollectorState::Stale;
    let old = observe(&Facts { replication: Some(&replication), ..facts(&up, &stale, &scope) });
    for rule in RULES_OF_SLOTS {
        assert_eq!((&missing[rule], &old[rule]), (&Reading::Unknown, &Reading::Unknown), "{rule}");
    }
}
