//! What is promised and not kept, on the way to a person and back: drills that are overdue, a restore that would take
//! too long.
use crate::{
    alerts::{alert, ended, raised},
    drills::ready,
    support::{Bench, PACE, confirmed, over, sql, stored, succeeded, until},
};
use blobs::faulty::{Fault, Operation, Rule};
use control::{Actor, BackupWanted, ControlPlane, now};
use domain::view::{DrKind, DrPlanSpec, JobKind, JobState, Objectives};
use recovery::Pace;
use std::time::Duration;
use store::DrRepo;

fn is_told(control: &ControlPlane, rule: &str) -> bool {
    control.recovery().slots()[0].status.load().problems.iter().any(|it| it.rule == rule)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_that_its_calendar_promised_and_that_did_not_go_well_is_overdue_until_one_does() {
    let bench = Bench::new().await;
    let (control, mut running) = bench.watched(PACE).await;
    let actor = Actor::cli();
    ready(&bench, &control).await;
    // Without a calendar nothing is promised.
    assert!(!is_told(&control, "drill_overdue") && alert(&control, "drill_overdue").is_none());

    // Promised daily for three days, and what the calendar starts by itself finds a table missing.
    sql(&bench.url(), "ALTER TABLE orders RENAME TO lost").await;
    stored(&bench, &control).await;
    let spec = DrPlanSpec { name: "daily".to_owned(), test: Some("0 0 * * *".to_owned()), ..DrPlanSpec::standard() };
    let before = now().plus_ms(-3 * 86_400_000);
    let plan = DrRepo(control.store().db()).plan_add("main", &spec, "ada", before).await.unwrap().unwrap().to_string();
    let told = raised(&control, "drill_overdue").await;
    assert_eq!(told.object, "drill of plan 'daily'", "{told:#?}");
    assert!(told.measured.contains("at most"), "{told:#?}");
    assert!(is_told(&control, "drill_overdue"));
    let by_calendar = until("the drill of the calendar", async || {
        let jobs = control.jobs_list(&actor, None, Some(JobKind::Drill), None, None, 10).await.unwrap();
        jobs.rows.into_iter().find(|job| job.requested_by == "calendar")
    })
    .await;
    assert_eq!(over(&control, &by_calendar.id).await.state, JobState::Failed);
    raised(&control, "drill_failed").await;
    assert!(alert(&control, "drill_overdue").is_some(), "a drill that failed is not the one that was promised");

    sql(&bench.url(), "ALTER TABLE lost RENAME TO orders").await;
    stored(&bench, &control).await;
    succeeded(&control, &control.dr_drill_start(&actor, None, &plan, DrKind::Test).await.unwrap()).await;
    for rule in ["drill_overdue", "drill_failed"] {
        ended(&control, rule).await;
        assert!(!is_told(&control, rule), "{rule}");
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_would_take_too_long_is_told_and_an_incremental_is_brought_forward() {
    let bench = Bench::new().await;
    let pace = Pace { forecast_pause: Duration::from_secs(5), ..PACE };
    let (control, mut running) = bench.watched(pace).await;
    let actor = Actor::cli();
    let plan = ready(&bench, &control).await;
    let slot = &control.recovery().slots()[0];
    // Nothing was measured yet, so nothing is forecast.
    assert!(slot.status.load().forecast.is_none() && alert(&control, "rto_forecast").is_none());
    succeeded(&control, &control.dr_drill_start(&actor, None, &plan, DrKind::Test).await.unwrap()).await;
    succeeded(&control, &control.backup_start(&actor, None, BackupWanted::Incremental).await.unwrap()).await;
    let measured = until("a forecast after the drill and the backup", async || {
        let status = slot.status.load_full();
        status.forecast.clone().filter(|_| slot.catalogue.load().backups.len() == 2)
    })
    .await;
    // The next backup waits until the alert was seen, which it would end.
    bench.faulty.add(Rule::new(Fault::Held).on(Operation::Writer).key("/packs/"));
    // Promised as it is now and a little more: then WAL comes.
    let to = Objectives { rpo_seconds: 3_600.0, rto_seconds: (measured.seconds * 1.1 + 2.0).ceil() };
    control.objectives_set(&actor, None, to, &confirmed()).await.unwrap();
    for round in 0.. {
        // WAL alone: with more rows the files would take longer too, and the backup would not end the alert.
        let fill = "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000000)) FROM generate_series(1, 4)";
        sql(&bench.url(), fill).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let forecast = slot.status.load().forecast.clone().unwrap();
        if forecast.seconds > to.rto_seconds {
            assert!(forecast.restore_seconds < to.rto_seconds, "{forecast:?}");
            break;
        }
        assert!(round < 80, "{forecast:?} does not grow");
    }
    let told = raised(&control, "rto_forecast").await;
    assert!(told.measured.starts_with("restore now: ") && told.measured.contains("limit"), "{told:#?}");
    assert!(is_told(&control, "rto_forecast"));
    bench.faulty.heal();
    // Nobody asked for it.
    let brought = until("the backup that is brought forward", async || {
        let jobs = control.jobs_list(&actor, None, Some(JobKind::Backup), None, None, 10).await.unwrap();
        jobs.rows.into_iter().find(|job| job.requested_by == "forecast above the RTO")
    })
    .await;
    let brought = succeeded(&control, &brought).await;
    assert_eq!(brought.title, "Incremental backup");
    ended(&control, "rto_forecast").await;
    let forecast = slot.status.load().forecast.clone().unwrap();
    assert!(forecast.seconds < to.rto_seconds && !is_told(&control, "rto_forecast"), "{forecast:?}");
    running.end().await;
}
