//! Rules that are set for a group of clusters: by the API, by the form, and what the pages say.

use super::{SETTINGS, ask, body, site_with};
use axum::{
    body::Body,
    http::{Request, header},
    response::Response,
};
use control::{Actor, ClusterConfig};
use domain::Role;

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_set_for_the_clusters_of_a_group_and_the_narrowest_setting_holds() {
    let config = |id: &str, group: Option<&str>| ClusterConfig {
        id: id.to_owned(),
        name: id.to_owned(),
        standby_of: None,
        group: group.map(str::to_owned),
    };
    let site =
        site_with(vec![config("east", Some("shops")), config("west", Some("shops")), config("bank", None)]).await;
    let (_, token) = site.control.token_create(&Actor::cli(), "admin", Role::Admin, None).await.unwrap();
    let send = async |method: &str, uri: &str, kind: &str, sent: &str| -> Response {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(sent.to_owned()))
            .unwrap();
        ask(&site, request).await
    };
    let api = async |method: &str, of: &str| {
        let uri = format!("/api/v1/alert-rules/deadlocks?{of}");
        send(method, &uri, "application/json", if method == "PUT" { SETTINGS } else { "" }).await
    };
    let page = async |path: &str| {
        let bytes = axum::body::to_bytes(send("GET", path, "text/plain", "").await.into_body(), 4 << 20).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let sources = async || {
        let mut sources = Vec::new();
        for cluster in ["east", "west", "bank"] {
            let uri = format!("/api/v1/alert-rules?cluster={cluster}");
            let rules = body(send("GET", &uri, "application/json", "").await).await;
            let rule = rules.as_array().unwrap().iter().find(|rule| rule["key"] == "deadlocks").unwrap().clone();
            sources.push(rule["source"].as_str().unwrap().to_owned());
        }
        sources
    };
    assert_eq!(sources().await, ["default", "default", "default"]);
    assert_eq!(api("PUT", "group=shops").await.status(), 204);
    assert_eq!(sources().await, ["group", "group", "default"]);
    assert_eq!(api("PUT", "").await.status(), 204, "for all");
    assert_eq!(api("PUT", "cluster=east").await.status(), 204);
    assert_eq!(sources().await, ["cluster", "group", "all_clusters"]);
    let shown = page("/alerts?tab=rules&cluster=west").await;
    assert!(shown.contains("set for the group shops") && shown.contains("value=\"group\""), "{shown}");
    let estate = page("/estate").await;
    assert!(estate.contains("<th scope=\"col\">Group") && estate.contains("<td>shops"), "{estate}");
    // By the form of the page.
    let kind = "application/x-www-form-urlencoded";
    let reset = send("POST", "/alerts/rule/reset", kind, "rule=deadlocks&cluster=west&group=shops&scope=group").await;
    assert_eq!(reset.status(), 303);
    assert_eq!(sources().await, ["cluster", "all_clusters", "all_clusters"]);
    assert_eq!(api("DELETE", "group=shops").await.status(), 404, "it is taken back already");
    for none in ["group=", "cluster="] {
        assert_eq!(api("DELETE", none).await.status(), 404, "{none} names nothing, and not all");
    }
    assert_eq!(sources().await, ["cluster", "all_clusters", "all_clusters"]);
    let unknown = body(api("PUT", "group=banks").await).await;
    assert!(unknown.to_string().contains("known are: shops"), "{unknown}");
}
