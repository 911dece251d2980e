//! Faults of backup and recovery on the way to a person: seen by the service, told to the book, raised and ended by the
//! engine of the monitor.
use crate::support::{Bench, PACE, listed, over, sql, succeeded, until};
use control::{Actor, BackupWanted, ControlPlane, now};
use domain::{
    alert::{AlertState, Level, RuleScope, RuleSettings, Severity},
    view::{AlertView, AlertsParams, HealthComponent, HealthLine, JobKind},
};

pub fn alert(control: &ControlPlane, rule: &str) -> Option<AlertView> {
    let open = control.alerts().open(Some("main"), now());
    open.into_iter().find(|alert| alert.rule == rule && alert.state != AlertState::Pending)
}

pub async fn raised(control: &ControlPlane, rule: &str) -> AlertView {
    until(&format!("the alert {rule}"), async || alert(control, rule)).await
}

pub async fn ended(control: &ControlPlane, rule: &str) {
    until(&format!("the end of the alert {rule}"), async || alert(control, rule).is_none().then_some(())).await;
}

/// How the alert came to stand among those that are over: the kinds of what happened to it, the first first.
pub async fn resolved(control: &ControlPlane, alert: &AlertView) -> Vec<String> {
    let actor = Actor::cli();
    let over =
        AlertsParams { state: Some(AlertState::Resolved), rule: Some(alert.rule.clone()), ..AlertsParams::default() };
    until(&format!("the end of the alert {}", alert.rule), async || {
        let past = control.alerts_list(&actor, &over, None, 50).await.unwrap().rows;
        past.iter().any(|it| it.id == alert.id).then_some(())
    })
    .await;
    let story = control.alert_get(&actor, &alert.id).await.unwrap().events;
    story.into_iter().map(|event| event.kind).collect()
}

/// What backups cost of the score now.
fn lost(control: &ControlPlane) -> Option<HealthLine> {
    let lines = control.dashboard_get(&Actor::cli(), None).unwrap().health.lines;
    lines.into_iter().find(|line| line.component == HealthComponent::Backups)
}

/// A setting of this cluster: one severity from that value on, at once. As shipped a test would wait for minutes, or for
/// years where a schedule is one of years.
pub async fn set(control: &ControlPlane, rule: &str, severity: Severity, threshold: f64) {
    let levels = vec![Level { severity, threshold, clear: threshold }];
    let settings = RuleSettings { enabled: true, levels, for_seconds: 0, clear_for_seconds: 0 };
    control.alert_rule_set(&Actor::cli(), &RuleScope::Cluster("main".to_owned()), rule, settings).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_with_backups_is_raised_and_ends_with_its_cause() {
    let bench = Bench::new().await;
    let (control, mut running) = bench.watched(PACE).await;
    let actor = Actor::cli();

    // The first backup is told of once, as what it is.
    let finished = raised(&control, "backup_finished").await;
    assert_eq!((finished.severity, finished.object.is_empty()), (Severity::Info, false), "{finished:#?}");
    assert!(finished.measured.starts_with("full backup of "), "{finished:#?}");
    until("the stream", async || (control.recovery().slots()[0].wal.load().state == "streaming").then_some(())).await;
    for rule in ["repository_unreachable", "backup_failed", "wal_gap", "verification_failed", "restore_test_failed"] {
        assert!(alert(&control, rule).is_none(), "{rule} on a sound cluster");
    }
    until("the whole score", async || lost(&control).is_none().then_some(())).await;

    // The directory of the repository is cut off under the running service.
    let (there, away) = (bench.path("repository"), bench.path("repository-away"));
    std::fs::rename(&there, &away).unwrap();
    sql(&bench.url(), "INSERT INTO orders SELECT n, 'not in the repository' FROM generate_series(6000, 9000) n").await;
    let unreachable = raised(&control, "repository_unreachable").await;
    assert_eq!(unreachable.severity, Severity::Critical);
    let line = until("the points that it costs", async || {
        lost(&control).filter(|line| line.measured.starts_with("The repository cannot be read"))
    })
    .await;
    assert!(line.rule == "backups" && line.points > 0, "{line:#?}");
    let failed = over(&control, &control.backup_start(&actor, None, BackupWanted::Incremental).await.unwrap().id).await;
    assert!(failed.error.is_some(), "{failed:#?}");
    let told = raised(&control, "backup_failed").await;
    assert!(told.detail.is_some(), "it says why: {told:#?}");
    // Objectives of the test are a minute; a second's is exceeded at once.
    std::fs::rename(&away, &there).unwrap();
    ended(&control, "repository_unreachable").await;
    // Being reached again makes no failed backup good: a later one does.
    assert!(alert(&control, "backup_failed").is_some());
    succeeded(&control, &control.backup_start(&actor, None, BackupWanted::Incremental).await.unwrap()).await;
    ended(&control, "backup_failed").await;
    until("the points again", async || lost(&control).is_none().then_some(())).await;

    // A byte of the repository is changed: verification says so, and the alert names the backup.
    let newest = listed(&control, 2).await.remove(0).id;
    let manifest = manifest_of(&there, &newest);
    let sound = std::fs::read(&manifest).unwrap();
    let mut bad = sound.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&manifest, bad).unwrap();
    let verified = control.backup_verify(&actor, None, Some(newest.clone())).await.unwrap();
    over(&control, &verified.id).await;
    let damaged = raised(&control, "verification_failed").await;
    assert!(damaged.object == newest || damaged.object.is_empty(), "{damaged:#?}");
    assert_eq!(damaged.severity, Severity::Critical);
    std::fs::write(&manifest, sound).unwrap();
    succeeded(&control, &control.backup_verify(&actor, None, Some(newest)).await.unwrap()).await;
    ended(&control, "verification_failed").await;

    // Whoever stops watching ends nothing: with the service gone the feed dries up, and what is open stays open.
    let jobs = control.jobs_list(&actor, None, Some(JobKind::Backup), None, None, 10).await.unwrap();
    assert!(jobs.rows.len() >= 3);
    running.end().await;
}

fn manifest_of(repository: &std::path::Path, backup: &str) -> std::path::PathBuf {
    let clusters = std::fs::read_dir(repository.join("clusters")).unwrap().flatten();
    clusters
        .map(|cluster| cluster.path().join("backups").join(backup).join("manifest"))
        .find(|path| path.exists())
        .unwrap()
}
