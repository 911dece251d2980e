//! Figures over time, as the API has them once they are rolled up.

use super::{Site, ask, body, site};
use axum::{
    body::Body,
    http::{Request, header},
    response::Response,
};
use control::Actor;
use domain::{
    Role, Timestamp,
    view::{Event, EventKind, Metric},
};
use std::collections::HashMap;
use store::{EventRepo, History, MetricRepo, Sample, prune, roll_up};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

async fn get(site: &Site, token: &str, path: &str) -> Response {
    let get = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
    ask(site, get.body(Body::empty()).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_samples_and_counters_that_began_anew_are_told_once_history_is_rolled_up() {
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    let store = site.control.store();
    let begin = (control::now().0 - 48 * HOUR).div_euclid(HOUR) * HOUR;
    let mut series = HashMap::new();
    for minute in (0..120).filter(|minute| !(61..69).contains(minute)) {
        let samples = [Sample { metric: Metric::CallsPerSecond, label: String::new(), value: 5.0, histogram: None }];
        let at = Timestamp(begin + minute * MINUTE);
        MetricRepo(store.db()).insert("main", at, &samples, &mut series).await.unwrap();
    }
    let reset = Event::new(Timestamp(begin + 100 * MINUTE), EventKind::StatsReset, "reset".to_owned());
    EventRepo(store.db()).insert("main", &[reset]).await.unwrap();
    roll_up(store, Timestamp(begin + 2 * HOUR), 2 * MINUTE).await.unwrap();
    prune(store, History::Metrics, 0, Timestamp(begin + 2 * HOUR)).await.unwrap();

    // A step is a minute: the parts that begin with the 61st and the 66th lack samples.
    let (from, to) = (Timestamp(begin).to_rfc3339(), Timestamp(begin + 2 * HOUR).to_rfc3339());
    let path = format!("/api/v1/clusters/main/history/calls_per_second?from={from}&to={to}");
    let told = body(get(&site, &token, &path).await).await;
    assert_eq!(told["series"][0]["gaps"], serde_json::json!([60, 65]), "{told}");
    assert_eq!(told["resets"], serde_json::json!([100]), "{told}");
    let csv = get(&site, &token, &format!("{path}&format=csv")).await;
    let csv = axum::body::to_bytes(csv.into_body(), 1 << 20).await.unwrap();
    let csv = String::from_utf8_lossy(&csv).into_owned();
    let lines = csv.lines().collect::<Vec<_>>();
    assert_eq!((lines.len(), lines[0]), (121, "time,calls_per_second,gap,reset"));
    for (place, end) in [(55, ",5,false,false"), (60, ",5,true,false"), (65, ",5,true,false"), (100, ",5,false,true")] {
        assert!(lines[place + 1].ends_with(end), "{place}: {}", lines[place + 1]);
    }
}
