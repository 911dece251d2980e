//! What is asked for and not done, and what is changed, as the audit log has it: also where there is no such cluster.
use super::{PLAN_WRONG_NAME, Site, WRONG_NAME, ask, body, site, site_of};
use axum::{
    body::Body,
    http::{Request, header},
};
use control::{Actor, BackupParams, BackupWanted, Catalogue, Confirmation, JobParams};
use domain::{
    Lsn, Role, Timestamp,
    view::{AuditEntry, DrPlanSpec, JobProgress, JobState, Objectives, RecoveryInterval},
};
use serde_json::{Value, json};
use std::sync::Arc;
use store::JobRepo;

/// Use case, method, what follows the cluster in the address, and what is sent.
const ASKED: &[(&str, &str, &str, &str)] = &[
    ("backup_start", "POST", "backups", r#"{"kind":"full"}"#),
    ("backup_verify", "POST", "backups/999/verify", ""),
    ("backup_test_restore", "POST", "backups/999/test-restore", "{}"),
    ("backup_remove", "DELETE", "backups/999", WRONG_NAME),
    ("expire", "POST", "expire", WRONG_NAME),
    ("restore_start", "POST", "restores", r#"{"restore":{},"confirm":"another","password":"x"}"#),
    ("objectives_set", "PUT", "objectives", r#"{"rpo_seconds":5,"rto_seconds":900,"confirm":"another"}"#),
    ("repository_key_add", "POST", "repository-keys", WRONG_NAME),
    ("repository_key_rotate", "POST", "repository-keys/rotate", WRONG_NAME),
    ("repository_key_remove", "POST", "repository-keys/1/remove", WRONG_NAME),
    ("dr_plan_create", "POST", "dr-plans", PLAN_WRONG_NAME),
    ("dr_plan_set", "PUT", "dr-plans/999", PLAN_WRONG_NAME),
    ("dr_plan_remove", "POST", "dr-plans/999/remove", WRONG_NAME),
    ("dr_drill_start", "POST", "dr-plans/999/drills", r#"{"kind":"test"}"#),
    ("dr_execute", "POST", "dr-plans/999/executions", WRONG_NAME),
];

/// Rows of one use case with one outcome, the newest first.
async fn rows(site: &Site, action: &str, outcome: &str) -> Vec<AuditEntry> {
    let filter = store::AuditFilter {
        action: Some(action.to_owned()),
        outcome: Some(outcome.to_owned()),
        ..store::AuditFilter::default()
    };
    site.control.audit_list(&Actor::cli(), filter, None, 50).await.unwrap().rows
}

async fn admin(site: &Site) -> String {
    let scopes = vec!["restore".to_owned()];
    let made = site.control.token_create_scoped(&Actor::cli(), "admin", Role::Admin, None, scopes, None).await;
    let (_, token) = made.unwrap();
    format!("Bearer {token}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_cluster_that_is_not_backed_up_or_not_there_leaves_a_row() {
    let site = site_of(&["main", "other"]).await;
    let bearer = admin(&site).await;
    for (action, method, rest, sent) in ASKED {
        let clusters =
            [("other", 409, "cluster 'other' is not backed up"), ("nowhere", 404, "there is no cluster 'nowhere'")];
        for (before, (cluster, status, reason)) in clusters.into_iter().enumerate() {
            let request = Request::builder()
                .method(*method)
                .uri(format!("/api/v1/clusters/{cluster}/{rest}"))
                .header(header::AUTHORIZATION, &bearer)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(*sent))
                .unwrap();
            assert_eq!(ask(&site, request).await.status().as_u16(), status, "{action} of {cluster}");
            let refused = rows(&site, action, "refused").await;
            assert_eq!(refused.len(), before + 1, "{action} of {cluster}: {refused:#?}");
            let told = refused[0].after.as_ref().unwrap()["reason"].as_str().unwrap();
            assert!(told.starts_with(reason), "{action} of {cluster}: {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_under_the_idempotency_key_of_one_is_refused_and_told() {
    let site = site().await;
    let bearer = admin(&site).await;
    let start = async |kind: &str| {
        let request = Request::post("/api/v1/clusters/main/backups")
            .header(header::AUTHORIZATION, &bearer)
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", "night")
            .body(Body::from(format!(r#"{{"kind":"{kind}"}}"#)))
            .unwrap();
        let response = ask(&site, request).await;
        (response.status().as_u16(), body(response).await)
    };
    let (status, first) = start("full").await;
    assert_eq!(status, 202, "{first}");
    let (status, again) = start("full").await;
    assert_eq!((status, &again["id"]), (202, &first["id"]), "{again}");
    assert!(rows(&site, "backup_start", "refused").await.is_empty(), "the same request is no other");
    let (status, problem) = start("incremental").await;
    assert_eq!(status, 409, "{problem}");
    let refused = rows(&site, "backup_start", "refused").await;
    assert_eq!((refused.len(), refused[0].object_id.as_str()), (1, "main"), "{refused:#?}");
    let reason = refused[0].after.as_ref().unwrap()["reason"].as_str().unwrap();
    assert!(reason.contains("Idempotency-Key"), "{reason}");
}

/// Whether a row says it, among other things; `null`: it says nothing.
fn says(found: Option<&Value>, wanted: &Value) -> bool {
    match (found, wanted.as_object()) {
        (None, None) => true,
        (Some(found), Some(wanted)) => wanted.iter().all(|(name, value)| found[name] == *value),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_is_told_as_it_was_and_as_it_is() {
    let site = site().await;
    let (control, actor) = (&site.control, Actor::cli());
    let confirmed = Confirmation { name: "main".to_owned(), password: String::new() };
    let to = Timestamp(5_000);
    let interval = RecoveryInterval { from: Timestamp(1_000), to, from_lsn: Lsn(1), to_lsn: Lsn(2), timeline: 1 };
    let known = Catalogue { intervals: vec![interval], ..Catalogue::default() };
    control.recovery().slot("main").unwrap().catalogue.store(Arc::new(known));

    for rpo_seconds in [5.0, 7.0] {
        let to = Objectives { rpo_seconds, rto_seconds: 900.0 };
        control.objectives_set(&actor, None, to, &confirmed).await.unwrap();
    }
    let spec = DrPlanSpec::standard();
    let plan = control.dr_plan_create(&actor, None, spec.clone(), &confirmed).await.unwrap().id;
    let spec = DrPlanSpec { name: "move".to_owned(), ..spec };
    control.dr_plan_set(&actor, None, &plan, spec, &confirmed).await.unwrap();
    control.dr_plan_remove(&actor, None, &plan, &confirmed).await.unwrap();

    // One is done, as a server does it; one is asked for by a schedule; one is stopped before its turn.
    control.backup_start(&actor, None, BackupWanted::Full).await.unwrap();
    let row = JobRepo(control.store().db()).claim("here/1/1", 60_000).await.unwrap().unwrap();
    assert!(control.job_finish(&row, JobState::Succeeded, &JobProgress::default(), None, None).await.unwrap());
    let params = JobParams::Backup(BackupParams { kind: BackupWanted::Incremental });
    let due = async |moment: &str, params: JobParams| {
        control.job_schedule("main", params, moment.to_owned(), "schedule").await
    };
    assert!(due("hourly 1", params.clone()).await.unwrap());
    // An hour later it waits still: it is what is due by then, too.
    assert!(!due("hourly 2", params).await.unwrap());
    let waits = control.backup_start(&actor, None, BackupWanted::Full).await.unwrap();
    control.job_cancel(&actor, &waits.id).await.unwrap();

    let expected = [
        ("objectives_set", json!({ "rpo_seconds": 5.0 }), json!({ "rpo_seconds": 7.0 })),
        ("dr_plan_create", Value::Null, json!({ "name": "standard" })),
        ("dr_plan_set", json!({ "name": "standard" }), json!({ "name": "move" })),
        ("dr_plan_remove", json!({ "name": "move" }), Value::Null),
        ("backup_start", json!({ "restorable_to": to }), json!({ "what": { "do": "backup", "kind": "full" } })),
        ("job_schedule", json!({ "restorable_to": to }), json!({ "what": { "do": "backup", "kind": "incremental" } })),
        ("backup_finish", json!({ "state": "running", "attempt": 1 }), json!({ "state": "succeeded" })),
        ("job_cancel", json!({ "state": "queued" }), json!({ "cancel_requested": true })),
    ];
    for (action, before, after) in expected {
        let row = rows(&site, action, "ok").await.into_iter().next().unwrap_or_else(|| panic!("no row of {action}"));
        assert!(says(row.before.as_ref(), &before) && says(row.after.as_ref(), &after), "{row:#?}");
    }
    assert_eq!(control.audit_verify(&actor).await.unwrap().broken, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_not_added_is_no_success_in_the_audit_log() {
    let site = site().await;
    let confirmation = control::Confirmation { name: "main".to_owned(), password: String::new() };
    // What failed may be asked for again under its name.
    let named = Actor { idempotency_key: Some("one code".to_owned()), ..Actor::cli() };
    for _ in 0..2 {
        let error = site.control.repository_key_add(&named, None, "safe", &confirmation).await.unwrap_err();
        assert!(!error.to_string().contains("shown once"), "the repository is away: {error}");
    }
    let count = async |outcome: &str, action: &str| {
        let filter = store::AuditFilter { outcome: Some(outcome.to_owned()), ..store::AuditFilter::default() };
        let page = site.control.audit_list(&Actor::cli(), filter, None, 500).await.unwrap();
        page.rows.iter().filter(|row| row.action == action).count()
    };
    assert_eq!(count("ok", "repository_key_add_asked").await, 2);
    assert_eq!(count("ok", "repository_key_add").await, 0);
    assert_eq!(count("failed", "repository_key_add").await, 2);
}
