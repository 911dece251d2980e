//! Tests of `recovery.rs`.
#![allow(clippy::unwrap_used)]
use super::*;

const MIB: u64 = 1 << 20;

fn backup(at: i64, start: u64, stop: u64) -> BackupPoint {
    BackupPoint {
        stopped_at: Timestamp(at),
        timeline: 1,
        start: Lsn(start * MIB),
        stop: Lsn(stop * MIB),
        segment_bytes: 16 * MIB,
    }
}

fn wal(timeline: u32, start: u64, end: u64, at: i64) -> WalPoint {
    WalPoint { timeline, start: Lsn(start * MIB), end: Lsn(end * MIB), stored_at: Timestamp(at) }
}

#[test]
fn one_chain_of_wal_is_one_interval_over_all_its_backups() {
    let holdings = Holdings {
        backups: vec![backup(10, 17, 18), backup(20, 33, 34)],
        wal: vec![wal(1, 32, 48, 25), wal(1, 16, 32, 15), wal(1, 48, 50, 30)],
        ..Holdings::default()
    };
    let (intervals, gaps) = holdings.window();
    assert_eq!(intervals.len(), 1);
    assert_eq!((intervals[0].from.0, intervals[0].to.0, intervals[0].to_lsn), (10, 30, Lsn(50 * MIB)));
    assert_eq!(gaps, []);
    // Everything the server wrote is there: the window reaches to now although nothing new came.
    let idle = Holdings { complete_at: Some((Timestamp(99), Lsn(50 * MIB))), ..holdings.clone() };
    assert_eq!(idle.window().0[0].to.0, 99);
    let behind = Holdings { complete_at: Some((Timestamp(99), Lsn(51 * MIB))), ..holdings };
    assert_eq!(behind.window().0[0].to.0, 30);
}

#[test]
fn the_end_of_each_backup_lies_in_its_interval_although_its_wal_was_stored_before() {
    let holdings = Holdings {
        backups: vec![backup(10, 17, 18), backup(20, 19, 20)],
        wal: vec![wal(1, 16, 32, 9)],
        ..Holdings::default()
    };
    let (intervals, _) = holdings.window();
    assert_eq!(intervals.len(), 1);
    assert_eq!((intervals[0].from.0, intervals[0].to.0), (10, 20));
}

#[test]
fn a_declared_gap_parts_the_window_until_the_next_backup_ended() {
    let mut holdings = Holdings {
        backups: vec![backup(10, 17, 18)],
        wal: vec![wal(1, 16, 32, 15), wal(1, 64, 80, 40)],
        gaps: vec![GapPoint {
            timeline: 1,
            start: Lsn(32 * MIB),
            end: Lsn(64 * MIB),
            declared_at: Timestamp(35),
            reason: "slot lost".into(),
        }],
        ..Holdings::default()
    };
    let (intervals, gaps) = holdings.window();
    assert_eq!((intervals.len(), gaps.len(), gaps[0].to, gaps[0].declared), (1, 1, None, true));
    holdings.backups.push(backup(38, 65, 66));
    let (intervals, gaps) = holdings.window();
    assert_eq!((intervals.len(), intervals[1].from.0, intervals[1].to.0), (2, 38, 40));
    assert_eq!((gaps[0].from.0, gaps[0].to, gaps[0].reason.as_str()), (15, Some(Timestamp(38)), "slot lost"));
    // Nobody declared it: it is still no continuous time.
    holdings.gaps.clear();
    assert!(!holdings.window().1[0].declared);
}

#[test]
fn what_vanished_behind_the_last_backup_is_a_gap_unless_it_is_on_its_way() {
    let open = |pieces: &[WalPoint], complete_at: Option<(Timestamp, Lsn)>| {
        let backups = vec![backup(10, 17, 18)];
        let holdings = Holdings { backups, wal: pieces.to_vec(), complete_at, ..Holdings::default() };
        let (intervals, gaps) = holdings.window();
        assert_eq!((intervals.len(), intervals[0].to.0, intervals[0].to_lsn), (1, 15, Lsn(32 * MIB)));
        gaps
    };
    let first = wal(1, 16, 32, 15);
    let streamed = |durable: u64| Some((Timestamp(90), Lsn(durable * MIB)));
    // The stream has brought everything, and a piece of it is not there any more.
    let gaps = open(&[first, wal(1, 48, 64, 40), wal(1, 64, 80, 50)], streamed(80));
    assert_eq!((gaps.len(), gaps[0].to, gaps[0].declared), (1, None, false), "{gaps:?}");
    assert_eq!((gaps[0].start_lsn, gaps[0].end_lsn), (Lsn(32 * MIB), Some(Lsn(48 * MIB))));
    assert!(gaps[0].reason.contains("deleted"), "{gaps:?}");
    // A backup under way has brought its own WAL, and the stream is to bring the rest.
    let brought = [first, wal(1, 64, 80, 50)];
    assert_eq!(open(&brought, None), []);
    // Nobody streams, and the archive goes on without what is missing.
    let archived = |at: i64| open(&[first, wal(1, 48, 64, 50), wal(1, 64, 80, 50 + at)], None).len();
    assert_eq!((archived(600_000), archived(600_001)), (0, 1));
    // Another timeline's WAL says nothing of this one.
    assert_eq!(open(&[first, wal(2, 64, 80, 50)], streamed(80)), []);
}

#[test]
fn a_backup_without_its_wal_is_no_moment_to_restore() {
    let holdings = Holdings { backups: vec![backup(10, 17, 40)], wal: vec![wal(1, 16, 32, 15)], ..Holdings::default() };
    let (intervals, gaps) = holdings.window();
    assert_eq!(intervals, []);
    assert_eq!((gaps.len(), gaps[0].from.0, gaps[0].to, gaps[0].start_lsn), (1, 10, None, Lsn(17 * MIB)), "{gaps:?}");
    assert!(gaps[0].reason.contains("was deleted there"), "{gaps:?}");
    // Without a backup nothing is promised.
    assert_eq!(Holdings { backups: Vec::new(), ..holdings }.window(), (Vec::new(), Vec::new()));
}

#[test]
fn the_window_goes_on_over_a_promotion() {
    let holdings = Holdings {
        backups: vec![backup(10, 17, 18)],
        wal: vec![wal(1, 16, 32, 15), wal(1, 32, 40, 20), wal(2, 32, 48, 30)],
        switches: vec![Switch { from: 1, to: 2, at: Lsn(40 * MIB) }],
        ..Holdings::default()
    };
    let (intervals, _) = holdings.window();
    assert_eq!((intervals.len(), intervals[0].timeline, intervals[0].to.0), (1, 2, 30));
}

#[test]
fn a_hole_that_a_cluster_was_brought_back_from_is_none_of_its_own() {
    let gap = |at: u64| GapPoint {
        timeline: 1,
        start: Lsn(at * MIB),
        end: Lsn(64 * MIB),
        declared_at: Timestamp(20),
        reason: "slot lost".into(),
    };
    let holdings = |at| Holdings {
        backups: vec![backup(10, 17, 18)],
        wal: vec![wal(1, 16, 48, 15), wal(1, 64, 80, 25), wal(2, 16, 32, 30)],
        gaps: vec![gap(at)],
        switches: vec![Switch { from: 1, to: 2, at: Lsn(20 * MIB) }],
        ..Holdings::default()
    };
    let (intervals, gaps) = holdings(48).window();
    assert_eq!((intervals.len(), intervals[0].timeline, intervals[0].to.0), (1, 2, 30));
    assert_eq!(gaps, []);
    // One that its new timeline has.
    let mut own = holdings(32);
    own.gaps[0].timeline = 2;
    assert_eq!(own.window().1.len(), 1);
    // Brought back once more, to before the timeline with the hole: what is now comes from the first one.
    own.wal.push(wal(3, 16, 32, 40));
    own.switches = vec![Switch { from: 1, to: 3, at: Lsn(18 * MIB) }];
    let (intervals, gaps) = own.window();
    assert_eq!((intervals.len(), intervals[0].timeline, gaps), (1, 3, Vec::new()));
}

#[test]
fn a_backup_of_what_was_left_leads_to_nothing_that_was_written_since() {
    let mut holdings = Holdings {
        backups: vec![backup(10, 17, 18), backup(20, 33, 34)],
        wal: vec![wal(1, 16, 48, 25), wal(2, 16, 80, 40)],
        switches: vec![Switch { from: 1, to: 2, at: Lsn(20 * MIB) }],
        ..Holdings::default()
    };
    let (intervals, _) = holdings.window();
    assert_eq!((intervals.len(), intervals[0].timeline, intervals[0].from.0, intervals[0].to.0), (1, 2, 10, 40));
    // The one that led there is expired: the other does not stand in for it.
    holdings.backups.remove(0);
    let (intervals, gaps) = holdings.window();
    assert!(intervals.is_empty());
    // All that was written since cannot be restored, and that is told.
    assert_eq!((gaps.len(), gaps[0].from.0, gaps[0].to, gaps[0].start_lsn), (1, 40, None, Lsn(20 * MIB)), "{gaps:?}");
    assert!(gaps[0].reason.contains("leads to timeline 2") && gaps[0].reason.contains("of timeline 1"), "{gaps:?}");
    holdings.backups.push(BackupPoint { timeline: 2, ..backup(45, 65, 66) });
    let (intervals, gaps) = holdings.window();
    assert_eq!((intervals.len(), intervals[0].from.0, gaps), (1, 45, Vec::new()));
}

fn proof(bytes: u64, seconds: f64, wal: u64, replay: f64) -> ProofView {
    ProofView {
        backup: String::new(),
        at: Timestamp(0),
        ok: true,
        bytes,
        wal_bytes: wal,
        plan_seconds: 0.0,
        restore_seconds: seconds,
        recovery_seconds: replay,
        check_seconds: 0.0,
        rto_seconds: seconds + replay,
        rpo_seconds: None,
        checks: Vec::new(),
        unproved: Vec::new(),
        problems: Vec::new(),
    }
}

#[test]
fn a_forecast_comes_from_measured_rates_and_from_nothing_else() {
    assert_eq!(forecast(1_000, 1_000, &[]), None);
    let failed = ProofView { ok: false, ..proof(1_000, 1.0, 0, 0.0) };
    assert_eq!(forecast(1_000, 1_000, &[failed]), None);
    let forecast = forecast(1_000 * MIB, 60 * MIB, &[proof(100 * MIB, 1.0, 30 * MIB, 1.0)])
        .map(|it| (it.restore_seconds, it.replay_seconds, it.seconds));
    assert_eq!(forecast, Some((10.0, 2.0, 12.0)));
}

#[test]
fn the_plan_is_a_part_of_the_forecast_and_does_not_grow_with_the_cluster() {
    let measured = |plan_seconds: f64| ProofView { plan_seconds, ..proof(100 * MIB, 1.0, 30 * MIB, 1.0) };
    // The newest counts, and one that failed is none.
    let failed = ProofView { ok: false, plan_seconds: 9.0, ..proof(0, 0.0, 0, 0.0) };
    let told = forecast(1_000 * MIB, 60 * MIB, &[failed, measured(3.0), measured(5.0)]).unwrap();
    assert_eq!((told.plan_seconds, told.restore_seconds, told.replay_seconds, told.seconds), (3.0, 10.0, 2.0, 15.0));
    assert!(told.basis.starts_with("plan 3.00 s, restore 100"), "{}", told.basis);
    let unmeasured = forecast(MIB, 0, &[measured(0.0)]).unwrap();
    assert!(unmeasured.basis.starts_with("restore "), "{}", unmeasured.basis);
}

#[test]
fn the_start_of_a_server_is_not_taken_for_replay() {
    // One MiB took as long as a server's start: alone it gives a careful rate, and says so.
    let little = proof(100 * MIB, 1.0, MIB, 0.5);
    let careful = forecast(100 * MIB, 200 * MIB, std::slice::from_ref(&little)).unwrap();
    assert_eq!(careful.replay_seconds, 100.0);
    assert!(careful.basis.contains("from little WAL"), "{}", careful.basis);
    // Beside a proof that replayed 100 MiB in two seconds and a half it is the start, and two seconds are replay.
    let known = forecast(100 * MIB, 200 * MIB, &[little, proof(100 * MIB, 1.0, 100 * MIB, 2.5)]).unwrap();
    assert_eq!(known.replay_seconds, 4.5);
    assert!(!known.basis.contains("little"), "{}", known.basis);
}

#[test]
fn each_problem_has_its_rule_and_a_sound_cluster_has_none() {
    let objectives = Objectives { rpo_seconds: 60.0, rto_seconds: 900.0 };
    let sound = ProtectionInput {
        free_bytes: Some(100),
        next_full_bytes: Some(10),
        backup_age_seconds: Some(100.0),
        backup_every_seconds: Some(3_600.0),
        streams: true,
        wal_lag_seconds: Some(1.0),
        test_age_seconds: Some(10.0),
        test_every_seconds: Some(604_800.0),
        forecast_seconds: Some(100.0),
        ..ProtectionInput::default()
    };
    assert_eq!(problems(&sound, objectives), []);
    let rules = |input: ProtectionInput| problems(&input, objectives).into_iter().map(|it| it.rule).collect::<Vec<_>>();
    for (input, rule) in [
        (ProtectionInput { repository_error: Some("denied".into()), ..sound.clone() }, "repository_unreachable"),
        (ProtectionInput { backup_age_seconds: None, ..sound.clone() }, "backup_overdue"),
        (ProtectionInput { backup_age_seconds: Some(9_000.0), ..sound.clone() }, "backup_overdue"),
        (
            ProtectionInput { full_age_seconds: Some(9_000.0), full_every_seconds: Some(3_600.0), ..sound.clone() },
            "backup_overdue",
        ),
        (ProtectionInput { backup_error: Some("x".into()), ..sound.clone() }, "backup_failed"),
        (ProtectionInput { wal_lag_seconds: Some(61.0), ..sound.clone() }, "wal_behind"),
        (ProtectionInput { wal_error: Some("x".into()), ..sound.clone() }, "wal_behind"),
        (ProtectionInput { open_gap: Some("x".into()), ..sound.clone() }, "wal_gap"),
        (ProtectionInput { open_gap: Some("x".into()), nothing_restorable: true, ..sound.clone() }, "wal_gap"),
        (ProtectionInput { free_bytes: Some(11), ..sound.clone() }, "repository_room"),
        (ProtectionInput { test_age_seconds: Some(1e6), ..sound.clone() }, "restore_test_overdue"),
        (ProtectionInput { test_age_seconds: None, ..sound.clone() }, "restore_test_overdue"),
        (ProtectionInput { test_problem: Some("x".into()), ..sound.clone() }, "restore_test_failed"),
        (ProtectionInput { verify_error: Some("x".into()), ..sound.clone() }, "verification_failed"),
        (ProtectionInput { verdicts: vec![("a".into(), Some("x".into()))], ..sound.clone() }, "verification_failed"),
        (ProtectionInput { forecast_seconds: Some(901.0), ..sound.clone() }, "rto_forecast"),
    ] {
        assert_eq!(rules(input), [rule]);
    }
}

#[test]
fn a_verification_that_could_not_be_done_is_no_damage_and_a_whole_backup_mends_no_other() {
    let objectives = Objectives { rpo_seconds: 60.0, rto_seconds: 900.0 };
    let found = |verify_error: Option<&str>, verdicts: &[(&str, Option<&str>)]| {
        let verdicts = verdicts.iter().map(|(id, it)| ((*id).to_owned(), it.map(str::to_owned))).collect();
        let verify_error = verify_error.map(str::to_owned);
        let input =
            ProtectionInput { backup_age_seconds: Some(100.0), verify_error, verdicts, ..ProtectionInput::default() };
        problems(&input, objectives).into_iter().map(|it| (it.severity, it.message)).collect::<Vec<_>>()
    };
    let away = found(Some("no answer"), &[("old", None), ("new", None)]);
    assert_eq!(away, [("warning".into(), "The last verification could not be done: no answer".into())]);
    let damaged = found(None, &[("old", Some("a byte")), ("new", None)]);
    assert_eq!(damaged, [("critical".into(), "Backup old in the repository is damaged: a byte".into())]);
}
