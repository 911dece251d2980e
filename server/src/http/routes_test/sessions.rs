//! Sessions and passwords: roles that change, guessing, and requests that another site had made.
use super::{PASSWORD, ask, body, sign_in, site};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use control::Actor;
use domain::Role;

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrator_stays_and_a_changed_role_ends_sessions() {
    let site = site().await;
    let cookie = sign_in(&site, "operator").await;
    let me = |cookie: String| Request::get("/api/v1/me").header(header::COOKIE, cookie).body(Body::empty()).unwrap();
    assert_eq!(body(ask(&site, me(cookie.clone())).await).await["role"], "operator");
    site.control.user_role_set(&Actor::cli(), "operator", Role::Viewer).await.unwrap();
    assert_eq!(ask(&site, me(cookie)).await.status(), StatusCode::UNAUTHORIZED);
    assert!(site.control.user_role_set(&Actor::cli(), "admin", Role::Viewer).await.is_err());
    assert!(site.control.user_disable(&Actor::cli(), "admin", true).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_down_and_said_so() {
    let site = site().await;
    let attempt = || {
        Request::post("/login")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from("name=admin&password=guess"))
            .unwrap()
    };
    let mut last = String::new();
    for _ in 0..6 {
        last = ask(&site, attempt()).await.headers()[header::LOCATION].to_str().unwrap().to_owned();
    }
    assert!(last.contains("too+many+failed+attempts"), "{last}");
    // Nor does the right password help now.
    let right = Request::post("/login")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(format!("name=admin&password={}", PASSWORD.replace(' ', "+"))))
        .unwrap();
    assert!(ask(&site, right).await.headers()[header::LOCATION].to_str().unwrap().contains("error="));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_another_site_is_refused_with_a_session_and_taken_with_a_token() {
    let site = site().await;
    let cookie = sign_in(&site, "admin").await;
    let sent = r#"{"name":"eve","role":"admin","password":"a long password"}"#;
    let foreign = || {
        Request::post("/api/v1/users")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::HOST, "holdfast.example")
            .header(header::ORIGIN, "https://evil.example")
    };
    let response = ask(
        &site,
        foreign().header(header::COOKIE, cookie).header("sec-fetch-site", "cross-site").body(Body::from(sent)).unwrap(),
    )
    .await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let unchanged = site.control.users_list(&Actor::cli()).await.unwrap();
    assert!(!unchanged.iter().any(|account| account.name == "eve"));
}
