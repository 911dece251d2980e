//! What is wrong with a request is said by the name of the field, with what is allowed.
use super::{SETTINGS, ask, body, site};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use control::Actor;
use domain::Role;

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_answered_by_name_with_what_is_allowed() {
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "admin", Role::Admin, None).await.unwrap();
    let cases = [
        ("GET", "/api/v1/clusters/main/queries?sort=speed", "", 400, "sort"),
        ("GET", "/api/v1/clusters/main/queries?limit=0", "", 400, "limit"),
        // Refused everywhere, and changed nowhere in silence.
        ("GET", "/api/v1/clusters/main/queries?limit=501", "", 400, "limit"),
        ("GET", "/api/v1/clusters/main/queries?min_calls=-1", "", 400, "min_calls"),
        ("GET", "/api/v1/jobs?limit=0", "", 400, "limit"),
        ("GET", "/api/v1/jobs?limit=201", "", 400, "limit"),
        ("GET", "/api/v1/audit?limit=0", "", 400, "limit"),
        ("GET", "/api/v1/audit?limit=501", "", 400, "limit"),
        ("GET", "/api/v1/alerts?limit=0", "", 400, "limit"),
        ("GET", "/api/v1/clusters/main/backups?limit=0", "", 400, "limit"),
        ("GET", "/api/v1/clusters/main/drills?limit=201", "", 400, "limit"),
        ("GET", "/api/v1/plugins?limit=0", "", 400, "limit"),
        ("GET", "/api/v1/plugins/7/operations?limit=201", "", 400, "limit"),
        ("GET", "/api/v1/analytics/top?limit=101", "", 400, "limit"),
        ("GET", "/api/v1/clusters/main/queries?colour=red", "", 400, "colour"),
        ("GET", "/api/v1/clusters/main/queries?cursor=x", "", 400, "cursor"),
        ("GET", "/api/v1/clusters/main/queries?format=xml", "", 400, "format"),
        ("GET", "/api/v1/clusters/main/history/speed", "", 400, "metric"),
        ("GET", "/api/v1/clusters/main/waits?by=colour", "", 400, "by"),
        ("GET", "/api/v1/clusters/main/activity/samples?at=yesterday", "", 400, "at"),
        ("GET", "/api/v1/clusters/main/activity/samples?at=2999-01-01T00:00:00Z", "", 400, "at"),
        ("GET", "/api/v1/clusters/main/activity/samples?moment=2026-01-01T00:00:00Z", "", 400, "moment"),
        ("GET", "/api/v1/clusters/main/indexes/a.b.c?range=1y", "", 400, "range"),
        ("GET", "/api/v1/jobs?state=lost", "", 400, "state"),
        ("GET", "/api/v1/clusters/main/backups?cursor=yesterday", "", 400, "cursor"),
        ("GET", "/api/v1/clusters/main/backups?page=2", "", 400, "page"),
        ("GET", "/api/v1/clusters/main/drills?cursor=yesterday", "", 400, "cursor"),
        ("GET", "/api/v1/alerts?state=lost", "", 400, "state"),
        ("GET", "/api/v1/alerts?severity=high", "", 400, "severity"),
        ("GET", "/api/v1/alerts?rule=no_such_rule", "", 400, "rule"),
        ("GET", "/api/v1/alerts?format=xml", "", 400, "format"),
        ("GET", "/api/v1/clusters/main/history/active_sessions?range=1y", "", 400, "range"),
        ("GET", "/api/v1/clusters/main/history/active_sessions?from=2026-01-01T00:00:00Z", "", 400, "to"),
        ("GET", "/api/v1/clusters/main/queries?from=2026-01-01T02:00:00Z&to=2026-01-01T01:00:00Z", "", 400, "to"),
        ("GET", "/api/v1/clusters/main/waits?from=yesterday&to=2026-01-01T01:00:00Z", "", 400, "from"),
        ("GET", "/api/v1/clusters/main/waits?from=2026-01-01T00:00:00Z&to=2999-01-01T00:00:00Z", "", 400, "to"),
        (
            "GET",
            "/api/v1/clusters/main/history/health_score?from=2001-01-01T00:00:00Z&to=2001-01-01T01:00:00Z",
            "",
            400,
            "from",
        ),
        ("GET", "/api/v1/audit?since=yesterday", "", 400, "since"),
        ("GET", "/api/database/dashboard?clutser=main", "", 400, "clutser"),
        ("POST", "/api/v1/users", r#"{"name":"x","role":"root","password":"a long password"}"#, 400, "role"),
        ("POST", "/api/v1/users", r#"{"name":"x","role":"viewer","password":"short"}"#, 400, "password"),
        (
            "POST",
            "/api/v1/users",
            r#"{"name":"x","role":"viewer","password":"a long password","email":"x"}"#,
            400,
            "email",
        ),
        ("POST", "/api/v1/users", r#"{"role":"viewer","password":"a long password"}"#, 400, "name"),
        ("POST", "/api/v1/tokens", r#"{"name":"x","role":"viewer","expires_in_days":0}"#, 400, "expires_in_days"),
        ("PUT", "/api/v1/alert-rules/connections_high?cluster=main&group=shops", SETTINGS, 400, "group"),
    ];
    for (method, uri, sent, status, field) in cases {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(sent))
            .unwrap();
        let response = ask(&site, request).await;
        assert_eq!(response.status().as_u16(), status, "{method} {uri} {sent}");
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let problem = body(response).await;
        assert_eq!(
            (problem["type"].as_str(), problem["instance"].as_str()),
            (Some("invalid"), Some(id.as_str())),
            "{problem}"
        );
        assert_eq!(problem["errors"][0]["field"].as_str(), Some(field), "{method} {uri} {sent}: {problem}");
    }
    // Whoever may not ask is told that, and not what the question lacks: a viewer who belongs to no tenant may choose none.
    let (_, viewer) = site.control.token_create(&Actor::cli(), "viewer", Role::Viewer, None).await.unwrap();
    for uri in ["/api/v1/plugins/7/operations?limit=201", "/api/v1/analytics/top?limit=101"] {
        let request = Request::get(uri).header(header::AUTHORIZATION, format!("Bearer {viewer}"));
        let response = ask(&site, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{uri}");
    }
    let nobody = Request::put("/api/v1/alert-rules/connections_high?group=shops")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(SETTINGS))
        .unwrap();
    assert_eq!(ask(&site, nobody).await.status(), StatusCode::NOT_FOUND, "no cluster is in that group");
    let big = Request::post("/api/v1/users")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(vec![b' '; 2 << 20]))
        .unwrap();
    assert_eq!(ask(&site, big).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
