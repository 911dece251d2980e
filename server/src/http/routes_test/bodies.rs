//! How large a body may be.
use super::{ask, body, site};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use control::Actor;
use domain::Role;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_plugins_are_taken_whatever_their_ids_and_nothing_else_is_that_large() {
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "admin", Role::Admin, None).await.unwrap();
    let post = |uri: &str, sent: String| {
        Request::post(uri)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(sent))
            .unwrap()
    };
    let ids = (0..100_000_i64).map(|n| i64::MAX - n).collect::<Vec<_>>();
    let plugins = ids.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(", ");
    let versions = ids.iter().map(|id| format!("\"{id}\": \"10.20.30\"")).collect::<Vec<_>>().join(", ");
    let sent = format!(r#"{{"operation":"install","plugins":[{plugins}],"versions":{{{versions}}}}}"#);
    assert!(sent.len() > 5 << 20);
    // Nobody here has a platform: it was read whole, and is refused for that.
    let answer = ask(&site, post("/api/v1/plugins/bulk?tenant=acme", sent.clone())).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let blanks = " ".repeat((8 << 20) + 1 - sent.len());
    for (uri, sent) in [
        ("/api/v1/plugins/bulk?tenant=acme", sent.clone() + &blanks),
        ("/api/v1/plugins?tenant=acme", sent.clone()),
        ("/api/v1/analytics/events?tenant=acme", sent),
    ] {
        let answer = ask(&site, post(uri, sent)).await;
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE, "{uri}");
        assert!(body(answer).await["detail"].as_str().unwrap().contains("8 MiB"), "{uri}");
    }
}
