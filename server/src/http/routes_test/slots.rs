//! A replication slot that nobody reads, on a real cluster: that its WAL may go, and that it is gone, is told as an alert and
//! in `/metrics`, and is over when the slot is dropped.
use super::{Site, ask, site};
use axum::{
    body::{Body, to_bytes},
    http::{Request, header},
};
use control::{Actor, ClusterConfig};
use domain::{
    Role,
    alert::{AlertState, Severity},
};
use monitor::{Monitor, Watched};
use pgstat::Target;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Rule and severity of what is told of the slot beside its being left alone, and whether `/metrics` says it is at risk.
type Seen = (Vec<(String, Severity)>, Option<String>);

async fn seen(site: &Site, token: &str) -> Seen {
    let open = site.control.alerts().open(Some("main"), control::now());
    let of_slot = open.into_iter().filter(|it| {
        it.object == "stuck"
            && it.state == AlertState::Firing
            && ["slot_unreserved", "slot_lost"].contains(&it.rule.as_str())
    });
    let request = Request::get("/metrics").header(header::AUTHORIZATION, format!("Bearer {token}"));
    let response = ask(site, request.body(Body::empty()).unwrap()).await;
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let sample = "holdfast_replication_slot_at_risk{cluster=\"main\",slot=\"stuck\"} ";
    let at_risk = text.lines().find_map(|line| line.strip_prefix(sample)).map(str::to_owned);
    (of_slot.map(|it| (it.rule, it.severity)).collect(), at_risk)
}

async fn until(site: &Site, token: &str, alerts: &[(&str, Severity)], at_risk: Option<&str>) {
    let wanted = (
        alerts.iter().map(|(rule, severity)| ((*rule).to_owned(), *severity)).collect::<Vec<_>>(),
        at_risk.map(str::to_owned),
    );
    let begun = Instant::now();
    loop {
        let seen = seen(site, token).await;
        if seen == wanted {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(200), "{wanted:?} did not come, but {seen:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_at_risk_is_told_before_it_is_lost_and_is_over_with_the_slot() {
    let cluster = test_support::private_cluster(&[("max_slot_wal_keep_size", "16MB")]).await;
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "scraper", Role::Viewer, None).await.unwrap();
    let watched = Watched {
        config: ClusterConfig { id: "main".to_owned(), name: "main".to_owned(), standby_of: None, group: None },
        target: Target::parse(&cluster.server.url("postgres")).unwrap(),
    };
    let stop = CancellationToken::new();
    let monitor = Monitor::start(&site.control, vec![watched], Duration::from_secs(1), &stop);
    cluster.execute("postgres", "SELECT pg_create_physical_replication_slot('stuck', true)").await;
    until(&site, &token, &[], Some("0")).await;

    // More WAL than may be kept for it: the next checkpoint takes it.
    for _ in 0..4 {
        cluster
            .execute("postgres", "SELECT pg_logical_emit_message(true, 'test', 'more'); SELECT pg_switch_wal()")
            .await;
    }
    until(&site, &token, &[("slot_unreserved", Severity::Warning)], Some("1")).await;
    cluster.execute("postgres", "CHECKPOINT").await;
    until(&site, &token, &[("slot_lost", Severity::Critical)], Some("1")).await;
    cluster.execute("postgres", "SELECT pg_drop_replication_slot('stuck')").await;
    until(&site, &token, &[], None).await;
    stop.cancel();
    monitor.join().await;
}
