//! What destroys or replaces wants the password again: at each of its doors, a few times only, and of a token its scope.
use super::{PASSWORD, Site, ask, body, sign_in, site};
use axum::{
    body::Body,
    http::{Request, header},
};
use control::Actor;
use domain::Role;

/// Method, route and what is sent beside the name and the password.
const DOORS: &[(&str, &str, &str)] = &[
    ("POST", "/api/v1/clusters/main/expire", ""),
    ("DELETE", "/api/v1/clusters/main/backups/999", ""),
    ("POST", "/api/v1/clusters/main/restores", r#""restore":{},"#),
    ("PUT", "/api/v1/clusters/main/objectives", r#""rpo_seconds":5,"rto_seconds":900,"#),
    ("POST", "/api/v1/clusters/main/repository-keys", ""),
    ("POST", "/api/v1/clusters/main/repository-keys/rotate", ""),
    ("POST", "/api/v1/clusters/main/repository-keys/1/remove", ""),
    (
        "POST",
        "/api/v1/clusters/main/dr-plans",
        r#""plan":{"name":"x","steps":[{"action":"choose_point"},{"action":"restore"},{"action":"start"},{"action":"promote"}]},"#,
    ),
    (
        "PUT",
        "/api/v1/clusters/main/dr-plans/999",
        r#""plan":{"name":"x","steps":[{"action":"choose_point"},{"action":"restore"},{"action":"start"},{"action":"promote"}]},"#,
    ),
    ("POST", "/api/v1/clusters/main/dr-plans/999/remove", ""),
    ("POST", "/api/v1/clusters/main/dr-plans/999/executions", ""),
];

async fn knock(
    site: &Site,
    door: &(&str, &str, &str),
    who: (header::HeaderName, &str),
    password: &str,
) -> (u16, serde_json::Value) {
    let (method, uri, rest) = door;
    let request = Request::builder()
        .method(*method)
        .uri(*uri)
        .header(who.0, who.1)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(format!(r#"{{{rest}"confirm":"main","password":"{password}"}}"#)))
        .unwrap();
    let response = ask(site, request).await;
    (response.status().as_u16(), body(response).await)
}

async fn refusals(site: &Site, reason: &str) -> usize {
    let filter = store::AuditFilter { outcome: Some("refused".to_owned()), ..store::AuditFilter::default() };
    let rows = site.control.audit_list(&Actor::cli(), filter, None, 500).await.unwrap().rows;
    rows.iter().filter(|row| row.after.as_ref().is_some_and(|it| it["reason"] == reason)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_opens_no_door_and_is_told_by_its_field() {
    for door in DOORS {
        let site = site().await;
        let cookie = sign_in(&site, "admin").await;
        let (status, problem) = knock(&site, door, (header::COOKIE, &cookie), "wrong").await;
        assert_eq!((status, problem["errors"][0]["field"].as_str()), (400, Some("password")), "{door:?}: {problem}");
        assert_eq!(refusals(&site, "wrong password").await, 1, "{door:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_the_password_at_a_door_is_throttled_as_at_the_sign_in() {
    let site = site().await;
    let cookie = sign_in(&site, "admin").await;
    let mut last = 0;
    for _ in 0..12 {
        last = knock(&site, &DOORS[0], (header::COOKIE, &cookie), "wrong").await.0;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    // Now the right one does not help either.
    assert_eq!(knock(&site, &DOORS[0], (header::COOKIE, &cookie), PASSWORD).await.0, 429);
    assert_eq!(refusals(&site, "throttled").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_the_scope_opens_no_door() {
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "admin", Role::Admin, None).await.unwrap();
    let bearer = format!("Bearer {token}");
    for door in DOORS {
        let (status, problem) = knock(&site, door, (header::AUTHORIZATION, &bearer), "").await;
        assert_eq!(status, 403, "{door:?}: {problem}");
    }
    let filter = store::AuditFilter { outcome: Some("refused".to_owned()), ..store::AuditFilter::default() };
    let rows = site.control.audit_list(&Actor::cli(), filter, None, 500).await.unwrap().rows;
    assert_eq!(rows.len(), DOORS.len(), "{rows:#?}");
}

/// Server functions read alone: whatever changes something goes through a form or the API, whose refusals the matrix shows.
#[test]
fn no_server_function_changes_anything() {
    for (path, method) in leptos::server_fn::axum::server_fn_paths() {
        assert_eq!(method.as_str(), "GET", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_page_for_a_browser_and_a_problem_for_a_program() {
    let site = site().await;
    let cookie = sign_in(&site, "viewer").await;
    let start = |accept: &str| {
        let request = Request::post("/backups/start").header(header::COOKIE, &cookie).header(header::ACCEPT, accept);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body(Body::from("cluster=main&kind=full")).unwrap()
    };
    let shown = ask(&site, start("text/html,application/xhtml+xml,*/*;q=0.8")).await;
    assert_eq!(shown.status().as_u16(), 403);
    assert_eq!(shown.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    let policy = shown.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script"), "{policy}");
    let id = shown.headers()["x-request-id"].to_str().unwrap().to_owned();
    let page = axum::body::to_bytes(shown.into_body(), 1 << 20).await.unwrap();
    let page = String::from_utf8_lossy(&page);
    for part in ["<h1>Not allowed</h1>", "the permission 'backup_operate'", id.as_str()] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let told = ask(&site, start("*/*")).await;
    assert_eq!(told.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(body(told).await["type"], "forbidden");
}
