//! What `/metrics` says of a cluster and its protection, and that it is described.
use super::{ask, site};
use axum::{
    body::Body,
    http::{Request, header},
};
use control::Actor;
use domain::{
    Role,
    view::{BackupView, JobKind, JobState, Objectives, RestoreTestView},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_protects_a_cluster_can_be_scraped() {
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    let slot = site.control.recovery().slot("main").unwrap();
    // It came to no copy.
    let failed = RestoreTestView {
        at: domain::Timestamp(4_000),
        ok: false,
        rto_seconds: 0.0,
        plan_seconds: 0.5,
        restore_seconds: 0.0,
        recovery_seconds: 0.0,
        check_seconds: 0.0,
        rpo_seconds: None,
    };
    slot.status.store(std::sync::Arc::new(control::ProtectionStatus {
        backup: Some(BackupView {
            last_full_at: None,
            last_incremental_at: None,
            wal_lag_seconds: None,
            recoverable_from: None,
            recoverable_to: None,
            last_restore_test: Some(failed),
        }),
        verified: Some((domain::Timestamp(5_000), false)),
        objectives: Some(Objectives { rpo_seconds: 60.0, rto_seconds: 900.0 }),
        jobs: vec![(JobKind::Verify, JobState::Failed, 3)],
        judged_at: Some(domain::Timestamp(6_000)),
        ..control::ProtectionStatus::default()
    }));
    slot.catalogue.store(std::sync::Arc::new(control::Catalogue {
        read_at: Some(domain::Timestamp(1)),
        ..control::Catalogue::default()
    }));
    let get = Request::get("/metrics").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let response = ask(&site, get.body(Body::empty()).unwrap()).await;
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for line in [
        "holdfast_restore_test_timestamp_seconds{cluster=\"main\"} 4",
        "holdfast_restore_test_ok{cluster=\"main\"} 0",
        "holdfast_verification_timestamp_seconds{cluster=\"main\"} 5",
        "holdfast_verification_ok{cluster=\"main\"} 0",
        "holdfast_objective_rpo_seconds{cluster=\"main\"} 60",
        "holdfast_objective_rto_seconds{cluster=\"main\"} 900",
        "holdfast_recovery_gaps_open{cluster=\"main\"} 0",
        "holdfast_repository_keys{cluster=\"main\"} 0",
        "holdfast_jobs{cluster=\"main\",kind=\"verify\",state=\"failed\"} 3",
        "holdfast_jobs{cluster=\"main\",kind=\"restore\",state=\"running\"} 0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
    for part in ["rto", "plan", "restore", "recovery", "check"] {
        let name = format!("holdfast_restore_test_{part}_seconds");
        assert!(text.contains(&format!("# HELP {name} ")) && !text.contains(&format!("{name}{{")), "{name}: {text}");
    }
    // What there is can be looked up.
    let written = include_str!("../../../../docs/metrics.md");
    for name in text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()) {
        assert!(written.contains(&format!("| `{name}` |")), "{name} is not in docs/metrics.md");
    }
    for name in [
        "holdfast_backup_last_full_timestamp_seconds",
        "holdfast_restore_test_rpo_seconds",
        "holdfast_replication_slot_at_risk",
    ] {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
}
