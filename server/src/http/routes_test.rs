//! Every route asked by everybody: {anonymous, viewer, operator, admin, a viewer's token}. A route without a row here
//! fails the test, and so does a row without a route.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod audit;
mod bad_input;
mod bodies;
mod confirm;
mod first_page;
mod history;
mod job_stream;
mod live_stream;
mod metrics;
mod monitoring_pages;
mod rule_groups;
mod sessions;
mod slots;

use super::{App, plain, router};
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use control::{Actor, ClusterConfig, Clusters, ControlPlane};
use domain::Role;
use std::{collections::BTreeSet, time::Duration};
use store::Store;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Method, route, what is sent, and the status for anonymous, viewer, operator, admin, viewer's token.
type Row = (&'static str, &'static str, &'static str, [u16; 5]);

const READ: [u16; 5] = [401, 200, 200, 200, 200];
const ADMIN: [u16; 5] = [401, 403, 403, 200, 403];
const PAGE: [u16; 5] = [303, 200, 200, 200, 200];
const ANYBODY: [u16; 5] = [200; 5];

/// Nobody here belongs to a tenant, and there is no platform: whoever may choose a tenant gets as far as that.
const TENANT: [u16; 5] = [401, 403, 503, 503, 403];

const SETTINGS: &str = r#"{"enabled":true,"levels":[{"severity":"warning","threshold":5,"clear":2}],"for_seconds":0,"clear_for_seconds":0}"#;

const WEIGHTS: &str = r#"{"availability":15,"connections":12,"latency":12,"locks":10,"replication":12,"cache":7,"maintenance":12,"wal":6,"capacity":6,"backups":8}"#;

const ROWS: &[Row] = &[
    ("GET", "/api/database/dashboard", "", READ),
    ("GET", "/api/database/stream", "", READ),
    ("GET", "/api/v1/clusters", "", READ),
    ("GET", "/api/v1/estate", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/queries", "", READ),
    // There is no statement yet.
    ("GET", "/api/v1/clusters/{cluster}/queries/{id}", "", [401, 404, 404, 404, 404]),
    ("GET", "/api/v1/clusters/{cluster}/queries/{id}/history", "", [401, 404, 404, 404, 404]),
    ("GET", "/api/v1/clusters/{cluster}/queries/{id}/plan", "", [401, 404, 404, 404, 404]),
    ("POST", "/api/v1/clusters/{cluster}/queries/{id}/explain", "", [401, 403, 404, 404, 403]),
    ("GET", "/api/v1/clusters/{cluster}/index-advice", "", READ),
    // Nobody watches here, and there is nothing to put aside.
    ("POST", "/api/v1/clusters/{cluster}/index-advice/review", "", [401, 403, 503, 503, 403]),
    (
        "POST",
        "/api/v1/clusters/{cluster}/advice-dismissals",
        r#"{"key":"index:a.b.c(d)","reason":"mine"}"#,
        [401, 403, 404, 404, 403],
    ),
    ("DELETE", "/api/v1/clusters/{cluster}/advice-dismissals", "", [401, 403, 404, 404, 403]),
    ("GET", "/api/v1/clusters/{cluster}/indexes", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/indexes/{index}", "", [401, 404, 404, 404, 404]),
    ("GET", "/api/v1/clusters/{cluster}/activity", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/activity/samples", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/waits", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/connections", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/host", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/tables", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/tables/{table}", "", [401, 404, 404, 404, 404]),
    ("GET", "/api/v1/clusters/{cluster}/replication", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/settings", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/maintenance", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/cost", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/locks", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/locks/{id}", "", [401, 404, 404, 404, 404]),
    // Nobody watches here: an operator gets as far as that.
    (
        "POST",
        "/api/v1/clusters/{cluster}/backends/{pid}/cancel",
        r#"{"started_at":"2026-01-01T00:00:00Z"}"#,
        [401, 403, 503, 503, 403],
    ),
    (
        "POST",
        "/api/v1/clusters/{cluster}/backends/{pid}/terminate",
        r#"{"started_at":"2026-01-01T00:00:00Z"}"#,
        [401, 403, 400, 400, 403],
    ),
    // There is no standby.
    ("POST", "/api/v1/clusters/{cluster}/standbys/forget", r#"{"name":"nobody"}"#, [401, 403, 404, 404, 403]),
    ("GET", "/api/v1/clusters/{cluster}/history/{metric}", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/events", "", READ),
    ("POST", "/api/v1/clusters/{cluster}/events", r#"{"title":"shop 4.2.0"}"#, [401, 403, 201, 201, 403]),
    ("GET", "/api/v1/alerts", "", READ),
    // There is no alert yet, no channel and no blackout.
    ("GET", "/api/v1/alerts/{id}", "", [401, 404, 404, 404, 404]),
    ("POST", "/api/v1/alerts/{id}/acknowledge", r#"{"note":"mine"}"#, [401, 403, 404, 404, 403]),
    ("DELETE", "/api/v1/alerts/{id}/acknowledge", "", [401, 403, 404, 404, 403]),
    ("POST", "/api/v1/alerts/{id}/silence", r#"{"seconds":60}"#, [401, 403, 404, 404, 403]),
    ("GET", "/api/v1/alert-rules", "", READ),
    ("PUT", "/api/v1/alert-rules/{rule}", SETTINGS, [401, 403, 403, 204, 403]),
    ("DELETE", "/api/v1/alert-rules/{rule}", "", [401, 403, 403, 204, 403]),
    ("POST", "/api/v1/alert-rules/{rule}/preview", SETTINGS, READ),
    ("GET", "/api/v1/health-weights", "", READ),
    ("PUT", "/api/v1/health-weights", WEIGHTS, [401, 403, 403, 204, 403]),
    ("DELETE", "/api/v1/health-weights", "", [401, 403, 403, 204, 403]),
    ("GET", "/database/score", "", PAGE),
    ("POST", "/database/score", "cluster=&locks=many", [303, 403, 403, 303, 403]),
    ("POST", "/database/score/reset", "scope=all", [303, 403, 403, 303, 403]),
    ("GET", "/api/v1/blackouts", "", READ),
    (
        "POST",
        "/api/v1/blackouts",
        r#"{"reason":"upgrade","starts_at":"2999-01-01T02:00:00Z","ends_at":"2999-01-01T04:00:00Z"}"#,
        [401, 403, 403, 201, 403],
    ),
    ("DELETE", "/api/v1/blackouts/{id}", "", [401, 403, 403, 404, 403]),
    ("GET", "/api/v1/channels", "", READ),
    (
        "POST",
        "/api/v1/channels",
        r#"{"name":"hook","kind":"webhook","url":"http://127.0.0.1:9/hook","min_severity":"critical"}"#,
        [401, 403, 403, 201, 403],
    ),
    (
        "PUT",
        "/api/v1/channels/{id}",
        r#"{"name":"hook","kind":"webhook","min_severity":"critical"}"#,
        [401, 403, 403, 404, 403],
    ),
    ("DELETE", "/api/v1/channels/{id}", "", [401, 403, 403, 404, 403]),
    ("POST", "/api/v1/channels/{id}/test", "", [401, 403, 403, 404, 403]),
    ("POST", "/api/v1/channels/{id}/retry", "", [401, 403, 403, 404, 403]),
    ("GET", "/api/v1/channels/{id}/deliveries", "", [401, 404, 404, 404, 404]),
    ("GET", "/alerts", "", PAGE),
    ("GET", "/fn/alerts", "search=", READ),
    ("POST", "/alerts/acknowledge", "id=999", [303, 403, 303, 303, 403]),
    ("POST", "/alerts/unacknowledge", "id=999", [303, 403, 303, 303, 403]),
    ("POST", "/alerts/silence", "id=999&seconds=60", [303, 403, 303, 303, 403]),
    ("POST", "/alerts/rule", "rule=deadlocks&enabled=on&warning=0", [303, 403, 403, 303, 403]),
    ("POST", "/alerts/rule/reset", "rule=deadlocks", [303, 403, 403, 303, 403]),
    ("POST", "/alerts/blackout", "reason=x&ends_at=2999-01-01T02:00", [303, 403, 403, 303, 403]),
    ("POST", "/alerts/blackout/end", "id=999", [303, 403, 403, 303, 403]),
    ("POST", "/alerts/channel", "name=x&kind=slack&url=http://127.0.0.1:9", [303, 403, 403, 303, 403]),
    ("POST", "/alerts/channel/enable", "id=999", [303, 403, 403, 303, 403]),
    ("POST", "/alerts/channel/delete", "id=999", [303, 403, 403, 303, 403]),
    ("POST", "/alerts/channel/test", "id=999", [303, 403, 403, 303, 403]),
    ("POST", "/alerts/channel/retry", "id=999", [303, 403, 403, 303, 403]),
    ("GET", "/api/v1/clusters/{cluster}/recovery", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/recovery-window", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/backups", "", READ),
    ("POST", "/api/v1/clusters/{cluster}/backups", r#"{"kind":"full"}"#, [401, 403, 202, 202, 403]),
    // There is no backup yet, and the repository cannot be opened.
    ("GET", "/api/v1/clusters/{cluster}/backups/{id}", "", [401, 404, 404, 404, 404]),
    ("GET", "/api/v1/clusters/{cluster}/backups/{id}/removal-plan", "", [401, 404, 404, 404, 404]),
    ("DELETE", "/api/v1/clusters/{cluster}/backups/{id}", WRONG_NAME, [401, 403, 403, 400, 403]),
    ("POST", "/api/v1/clusters/{cluster}/backups/{id}/verify", "", [401, 403, 404, 404, 403]),
    ("POST", "/api/v1/clusters/{cluster}/backups/{id}/test-restore", "{}", [401, 403, 404, 404, 403]),
    ("GET", "/api/v1/clusters/{cluster}/expire-plan", "", [401, 409, 409, 409, 409]),
    ("POST", "/api/v1/clusters/{cluster}/expire", WRONG_NAME, [401, 403, 403, 400, 403]),
    ("POST", "/api/v1/clusters/{cluster}/restores/plan", "{}", [401, 409, 409, 409, 409]),
    (
        "POST",
        "/api/v1/clusters/{cluster}/restores",
        r#"{"restore":{},"confirm":"another","password":"x"}"#,
        [401, 403, 403, 400, 403],
    ),
    (
        "PUT",
        "/api/v1/clusters/{cluster}/objectives",
        r#"{"rpo_seconds":5,"rto_seconds":900,"confirm":"another"}"#,
        [401, 403, 403, 400, 403],
    ),
    ("POST", "/api/v1/clusters/{cluster}/repository-keys", WRONG_NAME, [401, 403, 403, 400, 403]),
    ("POST", "/api/v1/clusters/{cluster}/repository-keys/rotate", WRONG_NAME, [401, 403, 403, 400, 403]),
    ("POST", "/api/v1/clusters/{cluster}/repository-keys/{id}/remove", WRONG_NAME, [401, 403, 403, 400, 403]),
    ("GET", "/api/v1/clusters/{cluster}/dr-plans", "", READ),
    ("POST", "/api/v1/clusters/{cluster}/dr-plans", PLAN_WRONG_NAME, [401, 403, 403, 400, 403]),
    // There is no plan yet and no run: the service makes the standard plan, and it does not run here.
    ("GET", "/api/v1/clusters/{cluster}/dr-plans/{id}", "", [401, 404, 404, 404, 404]),
    ("PUT", "/api/v1/clusters/{cluster}/dr-plans/{id}", PLAN_WRONG_NAME, [401, 403, 403, 400, 403]),
    ("POST", "/api/v1/clusters/{cluster}/dr-plans/{id}/remove", WRONG_NAME, [401, 403, 403, 400, 403]),
    ("GET", "/api/v1/clusters/{cluster}/dr-plans/{id}/dry-run", "", [401, 404, 404, 404, 404]),
    ("POST", "/api/v1/clusters/{cluster}/dr-plans/{id}/drills", r#"{"kind":"test"}"#, [401, 403, 404, 404, 403]),
    ("POST", "/api/v1/clusters/{cluster}/dr-plans/{id}/executions", WRONG_NAME, [401, 403, 403, 400, 403]),
    ("GET", "/api/v1/clusters/{cluster}/drills", "", READ),
    ("GET", "/api/v1/clusters/{cluster}/drills/{id}", "", [401, 404, 404, 404, 404]),
    ("GET", "/api/v1/clusters/{cluster}/drills/{id}/evidence", "", [401, 404, 404, 404, 404]),
    ("POST", "/api/v1/jobs/{id}/copy/remove", WRONG_NAME, [401, 403, 403, 404, 403]),
    ("POST", "/api/v1/jobs/{id}/decision", r#"{"step":3,"approve":false}"#, [401, 403, 403, 404, 403]),
    ("GET", "/api/v1/jobs", "", READ),
    ("GET", "/api/v1/jobs/{id}", "", [401, 404, 404, 404, 404]),
    ("GET", "/api/v1/jobs/{id}/stream", "", [401, 404, 404, 404, 404]),
    ("POST", "/api/v1/jobs/{id}/cancel", "", [401, 403, 404, 404, 403]),
    ("GET", "/api/v1/platform", "", READ),
    ("GET", "/api/v1/tenants", "", TENANT),
    ("GET", "/api/v1/plugins", "", TENANT),
    ("GET", "/api/v1/plugins/facets", "", TENANT),
    ("POST", "/api/v1/plugins", r#"{"name":"x","category":"docs","owner":"me"}"#, TENANT),
    ("GET", "/api/v1/plugins/{id}", "", TENANT),
    ("PATCH", "/api/v1/plugins/{id}", r#"{"owner":"you"}"#, TENANT),
    ("DELETE", "/api/v1/plugins/{id}", "", TENANT),
    ("GET", "/api/v1/plugins/{id}/dependencies", "", TENANT),
    ("GET", "/api/v1/plugins/{id}/operations", "", TENANT),
    ("POST", "/api/v1/plugins/bulk", r#"{"operation":"enable","plugins":["1"]}"#, TENANT),
    ("GET", "/api/v1/plugins/bulk/{key}", "", TENANT),
    ("POST", "/api/v1/plugins/bulk/{key}/cancel", "", TENANT),
    ("GET", "/api/v1/analytics/timeseries", "", TENANT),
    ("GET", "/api/v1/analytics/top", "", TENANT),
    ("GET", "/api/v1/analytics/geography", "", TENANT),
    ("GET", "/api/v1/analytics/usage-patterns", "", TENANT),
    ("POST", "/api/v1/analytics/events", r#"{"events":[]}"#, TENANT),
    // About all tenants, for whoever belongs to none.
    ("GET", "/api/v1/subjects/{subject}", "", [401, 403, 403, 503, 403]),
    ("GET", "/api/v1/subjects/{subject}/export", "", [401, 403, 403, 503, 403]),
    ("POST", "/api/v1/subjects/{subject}/erase", r#"{"confirm":"somebody"}"#, [401, 403, 403, 503, 403]),
    ("GET", "/api/v1/erasures", "", [401, 403, 403, 503, 403]),
    ("GET", "/api/v1/me", "", READ),
    ("GET", "/api/v1/users", "", ADMIN),
    // The name is taken: an admin gets as far as that.
    (
        "POST",
        "/api/v1/users",
        r#"{"name":"viewer","role":"viewer","password":"a long password"}"#,
        [401, 403, 403, 409, 403],
    ),
    ("PATCH", "/api/v1/users/{name}", r#"{"disabled":false}"#, [401, 403, 403, 404, 403]),
    ("GET", "/api/v1/tokens", "", ADMIN),
    ("POST", "/api/v1/tokens", r#"{"name":"ci","role":"viewer","expires_in_days":1}"#, [401, 403, 403, 201, 403]),
    ("DELETE", "/api/v1/tokens/{id}", "", [401, 403, 403, 404, 403]),
    ("GET", "/api/v1/audit", "", ADMIN),
    ("GET", "/api/v1/audit/verify", "", ADMIN),
    ("GET", "/api/v1/audit/export", "", ADMIN),
    ("GET", "/api/docs", "", READ),
    ("GET", "/api/openapi.json", "", READ),
    // Not bound to the loopback here.
    ("GET", "/metrics", "", READ),
    ("GET", "/healthz", "", ANYBODY),
    ("GET", "/readyz", "", ANYBODY),
    ("GET", "/favicon.ico", "", ANYBODY),
    ("GET", "/assets/{*path}", "", [404; 5]),
    ("GET", "/", "", [303; 5]),
    ("GET", "/login", "", ANYBODY),
    ("GET", "/setup", "", ANYBODY),
    ("GET", "/estate", "", PAGE),
    ("GET", "/start", "", PAGE),
    ("GET", "/audit", "", [303, 403, 403, 200, 403]),
    ("GET", "/database", "", PAGE),
    ("GET", "/database/performance", "", PAGE),
    ("GET", "/database/queries/{id}", "", [303, 404, 404, 404, 404]),
    ("GET", "/database/queries/{id}/plan", "", [303, 404, 404, 404, 404]),
    ("GET", "/database/advice", "", PAGE),
    ("GET", "/database/index", "name=shop.public.nothing", [303, 404, 404, 404, 404]),
    ("GET", "/database/activity", "", PAGE),
    ("GET", "/database/locks", "", PAGE),
    ("GET", "/database/connections", "", PAGE),
    ("GET", "/database/tables", "", PAGE),
    ("GET", "/database/replication", "", PAGE),
    ("GET", "/database/settings", "", PAGE),
    ("GET", "/database/maintenance", "", PAGE),
    ("GET", "/database/cost", "", PAGE),
    ("GET", "/account", "", PAGE),
    // What cannot be done here is told on the page.
    ("GET", "/plugins", "", PAGE),
    ("GET", "/analytics", "", PAGE),
    ("GET", "/plugins/{id}", "", [303, 403, 503, 503, 403]),
    ("GET", "/plugins/bulk", "operation=enable&plugin=1", [303, 403, 503, 503, 403]),
    ("GET", "/plugins/bulk/{key}", "", [303, 403, 503, 503, 403]),
    ("POST", "/plugins/bulk", "operation=enable&plugins=1&key=k", [303, 403, 503, 503, 403]),
    ("POST", "/plugins/bulk/cancel", "key=k", [303, 403, 503, 503, 403]),
    ("GET", "/backups", "", PAGE),
    ("GET", "/backups/retention", "", [303, 409, 409, 409, 409]),
    ("GET", "/backups/{id}", "", [303, 404, 404, 404, 404]),
    ("GET", "/recovery", "", PAGE),
    ("GET", "/recovery/restore", "", PAGE),
    ("GET", "/jobs", "", PAGE),
    ("GET", "/jobs/{id}", "", [303, 404, 404, 404, 404]),
    ("GET", "/fn/recovery", "", READ),
    ("GET", "/fn/backup", "id=1.2.3", [401, 404, 404, 404, 404]),
    ("GET", "/fn/jobs", "search=", READ),
    ("GET", "/fn/job", "id=1.2.3", [401, 404, 404, 404, 404]),
    ("GET", "/recovery/plans", "", PAGE),
    ("GET", "/fn/dr", "search=", READ),
    ("GET", "/fn/restore_plan", "search=", READ),
    ("GET", "/fn/expire_plan", "", [401, 409, 409, 409, 409]),
    ("GET", "/fn/frame", "", READ),
    ("GET", "/fn/overview", "range=1h&by=", READ),
    ("GET", "/fn/queries", "search=", READ),
    ("GET", "/fn/query", "id=1.2.3&range=1h", [401, 404, 404, 404, 404]),
    ("GET", "/fn/query_plan", "id=1.2.3", [401, 404, 404, 404, 404]),
    ("GET", "/fn/index_advice", "", READ),
    ("GET", "/fn/indexes", "search=", READ),
    ("GET", "/fn/activity", "search=", READ),
    ("GET", "/fn/locks", "", READ),
    ("GET", "/fn/panels", "page=tables&search=", READ),
    ("POST", "/login", "name=viewer&password=wrong", [303; 5]),
    ("POST", "/setup", "token=wrong&name=mallory&password=a+long+password", [303; 5]),
    ("POST", "/theme", "theme=dark", [303; 5]),
    ("POST", "/zone", "zone=server", [303; 5]),
    ("POST", "/columns", "table=queries&last=4&shown=2", [303; 5]),
    ("POST", "/database/backends/cancel", "pid=7&started_at=2026-01-01T00:00:00Z", [303, 403, 303, 303, 403]),
    ("POST", "/database/backends/terminate", "pid=7&started_at=2026-01-01T00:00:00Z", [303, 403, 303, 303, 403]),
    ("POST", "/database/standbys/forget", "name=nobody", [303, 403, 303, 303, 403]),
    ("POST", "/database/queries/explain", "id=1.2.3", [303, 403, 303, 303, 403]),
    ("POST", "/database/advice/dismiss", "key=index:a.b.c(d)&reason=mine", [303, 403, 303, 303, 403]),
    ("POST", "/database/advice/restore", "key=index:a.b.c(d)", [303, 403, 303, 303, 403]),
    ("POST", "/database/advice/review", "", [303, 403, 303, 303, 403]),
    ("POST", "/backups/start", "kind=full", [303, 403, 303, 303, 403]),
    ("POST", "/backups/verify", "id=nothing", [303, 403, 303, 303, 403]),
    ("POST", "/backups/test", "", [303, 403, 303, 303, 403]),
    ("POST", "/backups/expire", "confirm=another", [303, 403, 403, 303, 403]),
    ("POST", "/backups/remove", "id=999&confirm=another", [303, 403, 403, 303, 403]),
    ("POST", "/backups/kit", "confirm=another", [303, 403, 403, 303, 403]),
    ("POST", "/backups/keys/rotate", "confirm=another", [303, 403, 403, 303, 403]),
    ("POST", "/backups/keys/remove", "id=1&confirm=another", [303, 403, 403, 303, 403]),
    ("POST", "/recovery/restore", "kind=latest&confirm=another", [303, 403, 403, 303, 403]),
    ("POST", "/recovery/objectives", "rpo_seconds=1&rto_seconds=1&confirm=another", [303, 403, 403, 303, 403]),
    ("POST", "/jobs/cancel", "id=999", [303, 403, 303, 303, 403]),
    ("POST", "/jobs/copy/remove", "id=999&confirm=another", [303, 403, 403, 303, 403]),
    ("POST", "/recovery/plans/drill", "plan=999", [303, 403, 303, 303, 403]),
    ("POST", "/recovery/plans/execute", "plan=999&confirm=another", [303, 403, 403, 303, 403]),
    ("POST", "/recovery/plans/save", "name=x&confirm=another", [303, 403, 403, 303, 403]),
    ("POST", "/recovery/plans/remove", "plan=999&confirm=another", [303, 403, 403, 303, 403]),
    ("POST", "/jobs/decide", "id=999&step=3&kind=approve&confirm=another", [303, 403, 403, 303, 403]),
    ("POST", "/account/password", "current=wrong&password=another+password", [303, 303, 303, 303, 403]),
    // Last: it ends the sessions.
    ("POST", "/logout", "", [303; 5]),
];

/// The name that was typed is not the cluster's.
const WRONG_NAME: &str = r#"{"confirm":"another","password":"x"}"#;

const PASSWORD: &str = "correct horse battery";

/// A plan with nothing wrong but that name.
const PLAN_WRONG_NAME: &str = r#"{"confirm":"another","password":"x","plan":{"name":"x","steps":[{"action":"choose_point"},{"action":"restore"},{"action":"start"},{"action":"promote"}]}}"#;

struct Site {
    router: Router,
    control: ControlPlane,
    _directory: tempfile::TempDir,
}

/// Backed up to a repository that is away: what asks for it is told so.
fn protected() -> control::Protected {
    let settings = "repository = \"/nowhere/repository\"\nkey_file = \"/nowhere/key\"";
    let general = toml::from_str(settings).unwrap();
    let found = crate::protection::FileBackup::protect(None, &general, "main", "postgres://watch@localhost/x", false);
    found.unwrap().unwrap()
}

async fn site() -> Site {
    site_of(&["main"]).await
}

async fn site_of(clusters: &[&str]) -> Site {
    let config =
        |id: &&str| ClusterConfig { id: (*id).to_owned(), name: (*id).to_owned(), standby_of: None, group: None };
    site_with(clusters.iter().map(config).collect()).await
}

async fn site_with(clusters: Vec<ClusterConfig>) -> Site {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::connect(&format!("sqlite://{}", directory.path().join("store.db").display())).await.unwrap();
    store.migrate().await.unwrap();
    let clusters = Clusters::new(clusters, |config| monitor::first_snapshot(config, Duration::from_secs(30)));
    let recovery = control::Recovery::new(vec![protected()]);
    let control = ControlPlane::with_recovery(store, clusters, 1_000.0, recovery).await.unwrap();
    let key = Some(auth::SealingKey::random().unwrap());
    control.alerts().configure(control::alerts::Alerting { key, ..control::alerts::Alerting::default() });
    for role in Role::ALL {
        control.user_add(&Actor::cli(), role.as_str(), role, PASSWORD).await.unwrap();
    }
    let router = router(App::new(control.clone(), false, false, CancellationToken::new()));
    Site { router, control, _directory: directory }
}

async fn ask(site: &Site, request: Request<Body>) -> axum::response::Response {
    tokio::time::timeout(Duration::from_secs(200), site.router.clone().oneshot(request))
        .await
        .expect("an answer")
        .unwrap()
}

async fn sign_in(site: &Site, name: &str) -> String {
    let request = Request::post("/login")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(format!("name={name}&password={}", PASSWORD.replace(' ', "+"))))
        .unwrap();
    let response = ask(site, request).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()[header::LOCATION], "/database");
    response.headers()[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
}

/// A route's address with something in each of its places.
fn address(method: &str, route: &str, sent: &str) -> String {
    let path = route
        .replace("{cluster}", "main")
        .replace("{metric}", "active_sessions")
        .replace("{id}", if route.contains("/queries/") { "1.2.3" } else { "999" })
        .replace("{rule}", "deadlocks")
        .replace("{key}", "a-key")
        .replace("{subject}", "somebody")
        .replace("{name}", "nobody")
        .replace("{pid}", "7")
        .replace("{table}", "shop.public.nothing")
        .replace("{index}", "shop.public.nothing")
        .replace("{*path}", "0/nothing.js");
    if method == "GET" && !sent.is_empty() { format!("{path}?{sent}") } else { path }
}

fn served() -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::new();
    let document = serde_json::to_value(crate::openapi::api().1).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            routes.insert((method.to_uppercase(), path.clone()));
        }
    }
    for route in plain() {
        routes.insert((route.method.to_owned(), route.path.to_owned()));
    }
    for route in leptos_axum::generate_route_list(app::App) {
        routes.insert(("GET".to_owned(), route.path().to_owned()));
    }
    for (path, method) in leptos::server_fn::axum::server_fn_paths() {
        routes.insert((method.to_string(), path.to_owned()));
    }
    routes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_everybody_as_the_matrix_says() {
    let site = site().await;
    let cookies = [sign_in(&site, "viewer").await, sign_in(&site, "operator").await, sign_in(&site, "admin").await];
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();

    let rows = ROWS.iter().map(|row| (row.0.to_owned(), row.1.to_owned())).collect::<BTreeSet<_>>();
    assert_eq!(served().difference(&rows).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "routes without a row");
    assert_eq!(rows.difference(&served()).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "rows without a route");

    let mut wrong = Vec::new();
    for (method, route, sent, expected) in ROWS {
        for (who, status) in ["anonymous", "viewer", "operator", "admin", "token"].into_iter().zip(expected) {
            let made = || {
                let request = Request::builder().method(*method).uri(address(method, route, sent));
                let request = match who {
                    "anonymous" => request,
                    "token" => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
                    role => request.header(
                        header::COOKIE,
                        &cookies[Role::ALL.iter().position(|one| one.as_str() == role).unwrap()],
                    ),
                };
                let kind = if sent.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
                let body = if *method == "GET" { Body::empty() } else { Body::from(*sent) };
                request.header(header::CONTENT_TYPE, kind).body(body).unwrap()
            };
            let mut response = ask(&site, made()).await;
            // Each test has a runtime of its own, the executor of pages is one for the process: what it hands to a runtime
            // that ends with its test is never answered. A server has one runtime.
            if *method == "GET" && response.status().as_u16() == 503 {
                eprintln!("{route} as {who} was not answered; it is asked again");
                response = ask(&site, made()).await;
            }
            if response.status().as_u16() != *status {
                wrong.push(format!("{method} {route} as {who}: {} instead of {status}", response.status().as_u16()));
            }
            let headers = response.headers();
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{method} {route}");
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            let loose = policy.contains(" 'unsafe-eval'") || policy.contains("script-src 'self' 'unsafe-inline'");
            assert!(policy.contains("frame-ancestors 'none'") && !loose, "{method} {route}: {policy}");
            if route.starts_with("/api/") && response.status().as_u16() >= 400 {
                assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json", "{method} {route}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // Every refusal left its row, and the chain holds.
    let filter = store::AuditFilter { outcome: Some("refused".to_owned()), ..store::AuditFilter::default() };
    let refused = site.control.audit_list(&Actor::cli(), filter, None, 500).await.unwrap();
    let count = |action: &str| refused.rows.iter().filter(|row| row.action == action).count();
    for action in
        ["users_list", "user_add", "tokens_list", "token_create", "token_revoke", "audit_verify", "audit_export"]
    {
        assert_eq!(count(action), 3, "{action} was refused to viewer, operator and token");
    }
    assert_eq!(count("audit_list"), 6, "it was refused to viewer, operator and token, by the page and by the API");
    for action in [
        "expire",
        "backup_remove",
        "restore_start",
        "objectives_set",
        "repository_key_add",
        "repository_key_rotate",
        "repository_key_remove",
        "dr_execute",
        "dr_plan_create",
        "dr_plan_remove",
    ] {
        assert_eq!(
            count(action),
            8,
            "{action} was refused to viewer, operator and token, and to the admin who typed another name, by the form and by the API"
        );
    }
    for action in [
        "backend_cancel",
        "backend_terminate",
        "standby_forget",
        "query_explain",
        "index_review",
        "advice_dismiss",
        "advice_restore",
    ] {
        assert_eq!(count(action), 4, "{action} was refused to viewer and token, by the form and by the API");
    }
    assert_eq!(count("backup_start"), 4, "it was refused to viewer and token, by the form and by the API");
    for action in ["backup_verify", "backup_test_restore", "dr_drill_start", "job_cancel", "restore_copy_remove"] {
        assert_eq!(
            count(action),
            8,
            "{action} was refused to whoever may not, and to the others because there is no such thing, by the form and by the API"
        );
    }
    for action in ["dr_plan_set", "dr_approve", "dr_abort"] {
        assert_eq!(count(action), 4, "{action} was refused to everybody, by the one door that was tried");
    }
    assert!(count("session_sign_in") >= 1 && count("setup_complete") == 5);
    assert_eq!(site.control.audit_verify(&Actor::cli()).await.unwrap().broken, None);
}

async fn body(response: axum::response::Response) -> serde_json::Value {
    serde_json::from_slice(&axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap()
}

#[test]
fn every_alert_leads_to_a_page_that_there_is() {
    for rule in analysis::alerts::RULES {
        let path = rule.page.split('#').next().unwrap();
        assert!(ROWS.iter().any(|row| row.0 == "GET" && row.1 == path), "{}: {}", rule.key, rule.page);
    }
}
