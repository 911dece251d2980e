//! Where one comes to first, by the number of clusters; and an unchanged dashboard, which is not sent again.
use super::{ask, site, site_of};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use control::Actor;
use domain::Role;

#[tokio::test(flavor = "multi_thread")]
async fn several_clusters_are_begun_with_side_by_side() {
    let home = async |clusters: &[&str]| {
        let site = site_of(clusters).await;
        let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
        let get = |path| Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        let to = ask(&site, get("/").body(Body::empty()).unwrap()).await.headers()[header::LOCATION].clone();
        let page = ask(&site, get("/estate").body(Body::empty()).unwrap()).await;
        let page = axum::body::to_bytes(page.into_body(), 1 << 20).await.unwrap();
        (to.to_str().unwrap().to_owned(), String::from_utf8_lossy(&page).into_owned())
    };
    assert_eq!(home(&["main"]).await.0, "/database");
    assert_eq!(home(&[]).await.0, "/start");
    let (to, page) = home(&["main", "other"]).await;
    assert_eq!(to, "/estate");
    for cluster in ["main", "other"] {
        assert!(page.contains(&format!("href=\"/database/locks?cluster={cluster}\"")), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cluster_the_overview_leads_to_the_steps() {
    let site = site_of(&[]).await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    let get = |path| {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        request.header(header::ACCEPT, "text/html").body(Body::empty())
    };
    let led = ask(&site, get("/database").unwrap()).await;
    assert_eq!((led.status(), led.headers()[header::LOCATION].to_str().unwrap()), (StatusCode::FOUND, "/start"));
    let page = ask(&site, get("/start").unwrap()).await;
    let page = axum::body::to_bytes(page.into_body(), 1 << 20).await.unwrap();
    let page = String::from_utf8_lossy(&page);
    for command in ["GRANT pg_monitor TO holdfast_monitor;", "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;"] {
        assert!(page.contains(command), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_dashboard_is_not_sent_again() {
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    let get = || Request::get("/api/database/dashboard").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let first = ask(&site, get().body(Body::empty()).unwrap()).await;
    let tag = first.headers()[header::ETAG].clone();
    let second = ask(&site, get().header(header::IF_NONE_MATCH, tag).body(Body::empty()).unwrap()).await;
    assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
}
