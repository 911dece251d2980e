//! The alert engine on real clusters and stores, through faults: what is told, to whom, and that nothing is lost or told
//! twice over restarts and outages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use auth::SealingKey;
use control::{
    Actor, ClusterConfig, Clusters, ControlPlane,
    alerts::{Alerting, NewBlackout, Notice, Observed},
    now,
};
use domain::{
    alert::{AlertState, Level, RuleScope, RuleSettings, Severity},
    view::{AlertDetail, AlertView, Metric, ReplicaState, ReplicaView},
};
use monitor::{Monitor, Watched, first_snapshot};
use pgstat::Target;
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use store::{AlertFilter, AlertRepo, DeliveryRepo, MetricRepo, Sample, Store};
use test_support::{
    ChaosProxy, Weather,
    webhooks::{self, Got, receiver},
};
use tokio_util::sync::CancellationToken;

const INTERVAL: Duration = Duration::from_secs(1);
/// Long, so that a machine that is busy with other things fails nothing: who waits for what comes does not wait so long.
const PATIENCE: Duration = Duration::from_secs(200);

struct Watching {
    control: ControlPlane,
    stop: CancellationToken,
    monitor: Monitor,
}

/// A Holdfast over a store and one cluster; started again on the same store it is a restart.
async fn start(store_url: &str, cluster_url: &str, key: &SealingKey) -> Watching {
    let store = Store::connect(store_url).await.unwrap();
    store.migrate().await.unwrap();
    let config = ClusterConfig { id: "main".to_owned(), name: "Shop".to_owned(), standby_of: None, group: None };
    let watched = Watched { config: config.clone(), target: Target::parse(cluster_url).unwrap() };
    let clusters = Clusters::new(vec![config], |config| first_snapshot(config, INTERVAL));
    let control = ControlPlane::new(store, clusters, 500.0).await.unwrap();
    control.alerts().configure(Alerting {
        address: "https://holdfast.example".to_owned(),
        key: Some(key.clone()),
        ..Alerting::default()
    });
    let stop = CancellationToken::new();
    let monitor = Monitor::start(&control, vec![watched], INTERVAL, &stop);
    Watching { control, stop, monitor }
}

impl Watching {
    fn open(&self) -> Vec<AlertView> {
        self.control.alerts().open(None, now())
    }

    fn alert(&self, rule: &str) -> Option<AlertView> {
        self.open().into_iter().find(|alert| alert.rule == rule)
    }

    async fn until(&self, rule: &str, what: &str, condition: impl Fn(Option<&AlertView>) -> bool) -> Option<AlertView> {
        let begun = Instant::now();
        loop {
            let alert = self.alert(rule);
            if condition(alert.as_ref()) {
                return alert;
            }
            assert!(begun.elapsed() < PATIENCE, "{rule}: {what} did not come; open: {:#?}", self.open());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn until_state(&self, rule: &str, state: AlertState) -> AlertView {
        self.until(rule, state.as_str(), |it| it.is_some_and(|it| it.state == state)).await.unwrap()
    }

    async fn until_over(&self, rule: &str) {
        self.until(rule, "the end", |it| it.is_none()).await;
    }

    /// What somebody else observes, again and again as that somebody would.
    fn observe(&self, value: f64) {
        let seen = vec![Observed::whole(value, "as reported")];
        self.control.alerts().observe("main", "backup_failed", seen, Duration::from_secs(60));
    }

    async fn detail(&self, id: &str) -> AlertDetail {
        self.control.alert_get(&Actor::system(), id).await.unwrap()
    }

    async fn webhook(&self, name: &str, url: &str) {
        let spec = webhooks::channel(name, url, Severity::Critical);
        let (channel, key) = self.control.channel_create(&Actor::cli(), spec).await.unwrap();
        assert!(key.is_some_and(|key| key.len() > 40) && !channel.target.contains("hook"), "{channel:?}");
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.monitor.join()).await.expect("it ends when it is told to");
    }
}

fn kinds(detail: &AlertDetail) -> Vec<&str> {
    detail.events.iter().map(|event| event.kind.as_str()).collect()
}

fn settings(threshold: f64, for_seconds: u32) -> RuleSettings {
    RuleSettings {
        enabled: true,
        levels: vec![Level { severity: Severity::Critical, threshold, clear: threshold }],
        for_seconds,
        clear_for_seconds: 0,
    }
}

/// What came so far of what these tests cause.
fn of_ours(got: &Got) -> Vec<Value> {
    got.lock().unwrap().iter().filter(|it| caused(it)).cloned().collect()
}

async fn until_got(got: &Got, what: &str, condition: impl Fn(&[Value]) -> bool) {
    let begun = Instant::now();
    while !condition(&of_ours(got)) {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come: {:?}", got.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Of what these tests cause. The server is shared by all of them, and what one does to it (or a slow machine: "cannot be
/// reached") is rightly told to every channel.
fn caused(message: &Value) -> bool {
    ["backup_failed", "role_changed"].iter().any(|rule| message["rule"] == *rule)
}

fn got_kinds(got: &[Value]) -> Vec<&str> {
    got.iter().filter(|it| caused(it)).map(|it| it["kind"].as_str().unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_lives_through_a_restart_with_its_acknowledgement_and_never_ends_by_missing_data() {
    let database = test_support::database().await;
    let (store_url, _directory) = test_support::sqlite_url();
    let key = SealingKey::random().unwrap();
    let watching = start(&store_url, &database.url, &key).await;
    let mut live = watching.control.alerts_subscribe(&Actor::system()).unwrap();
    watching.observe(1.0);
    let alert = watching.until_state("backup_failed", AlertState::Firing).await;
    assert_eq!((alert.severity, alert.measured.as_str()), (Severity::Critical, "as reported"));
    // Other rules may see something on a server that tests share.
    let told = loop {
        let told = tokio::time::timeout(PATIENCE, live.recv()).await.unwrap().unwrap();
        if told.open.critical > 0 {
            break told;
        }
    };
    assert_eq!(told.cluster, "main");
    let begun = Instant::now();
    loop {
        let dashboard = watching.control.dashboard_get(&Actor::system(), None).unwrap();
        let shown = dashboard.alerts.as_ref().is_some_and(|all| all.iter().any(|it| it.id == alert.id));
        if shown && dashboard.health.score <= 40 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "a critical alert is shown, and caps the score");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // It can be taken on as soon as it is written down, which is a moment after it shows.
    let begun = Instant::now();
    let acknowledged = loop {
        match watching.control.alert_acknowledge(&Actor::cli(), &alert.id, "on it", None).await {
            Ok(alert) => break alert,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(acknowledged.state, AlertState::Acknowledged);
    watching.end().await;

    // After the restart nobody has observed anything yet: it is the same alert, still taken on, and it is not over.
    let watching = start(&store_url, &database.url, &key).await;
    let again =
        watching.until("backup_failed", "no data", |it| it.is_some_and(|it| it.no_data_since.is_some())).await.unwrap();
    assert_eq!((again.id.as_str(), again.state), (alert.id.as_str(), AlertState::Acknowledged));
    assert_eq!(again.acknowledged.as_ref().map(|ack| ack.note.as_str()), Some("on it"));
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(watching.alert("backup_failed").is_some());
    watching.observe(1.0);
    watching.until("backup_failed", "data", |it| it.is_some_and(|it| it.no_data_since.is_none())).await;
    watching.observe(0.0);
    watching.until_over("backup_failed").await;
    let begun = Instant::now();
    let over = domain::view::AlertsParams { state: Some(AlertState::Resolved), ..Default::default() };
    let past = loop {
        let past = watching.control.alerts_list(&Actor::system(), &over, None, 10).await.unwrap().rows;
        if let Some(past) = past.into_iter().find(|it| it.id == alert.id) {
            break past;
        }
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(past.state, AlertState::Resolved);
    let detail = watching.detail(&alert.id).await;
    assert_eq!(kinds(&detail), ["fired", "acknowledged", "no_data", "data_back", "resolved"]);
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_alert_goes_on_after_a_restart_where_it_was() {
    let database = test_support::database().await;
    let (store_url, _directory) = test_support::sqlite_url();
    let key = SealingKey::random().unwrap();
    let watching = start(&store_url, &database.url, &key).await;
    watching.control.alert_rule_set(&Actor::cli(), &RuleScope::All, "backup_failed", settings(0.5, 20)).await.unwrap();
    watching.observe(1.0);
    let pending = watching.until_state("backup_failed", AlertState::Pending).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    watching.end().await;
    let watching = start(&store_url, &database.url, &key).await;
    watching.observe(1.0);
    let begun = Instant::now();
    while !watching.control.alerts().has_looked("main") {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let first_look = now();
    let fired = watching.until_state("backup_failed", AlertState::Firing).await;
    assert_eq!(fired.id, pending.id);
    assert!(fired.fired_at.unwrap().seconds_since(fired.started_at) >= 20.0, "{fired:?}");
    // By the clock of the looks: from nothing it would be 20 s from the first of them on.
    let after = fired.fired_at.unwrap().seconds_since(first_look);
    assert!(after < 15.0, "what had passed before the restart counts: {after} s");
    watching.end().await;
}

/// Only what is seen is back: after a restart of ours a standby that is gone must not look like one that never was.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_gone_is_still_gone_after_a_restart_of_ours() {
    let cluster = test_support::private_cluster(&[]).await;
    let standby = cluster.standby("replica1").await;
    let url = cluster.server.url("postgres");
    let (store_url, _directory) = test_support::sqlite_url();
    let key = SealingKey::random().unwrap();
    let watching = start(&store_url, &url, &key).await;
    watching
        .control
        .alert_rule_set(&Actor::cli(), &RuleScope::All, "replica_disconnected", settings(0.5, 0))
        .await
        .unwrap();
    let dashboard = |watching: &Watching| watching.control.dashboard_get(&Actor::system(), None).unwrap();
    let begun = Instant::now();
    while !dashboard(&watching).replication.iter().any(|it| it.lag_seconds.is_some()) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", dashboard(&watching).replication);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(standby);
    let gone = watching.until_state("replica_disconnected", AlertState::Firing).await;
    assert_eq!(gone.object, "replica1");
    watching.end().await;

    let watching = start(&store_url, &url, &key).await;
    let begun = Instant::now();
    while dashboard(&watching).sequence < 5 || !watching.control.alerts().has_looked("main") {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let still = watching.until_state("replica_disconnected", AlertState::Firing).await;
    assert_eq!((still.id, still.no_data_since), (gone.id, None));
    assert!(dashboard(&watching).replication.iter().any(|it| it.name == "replica1"));

    // Where no alert tells of it, it is missed all the same.
    for rule in ["replica_disconnected", "replication_lag"] {
        let off = RuleSettings { enabled: false, ..settings(0.5, 0) };
        watching.control.alert_rule_set(&Actor::cli(), &RuleScope::All, rule, off).await.unwrap();
        watching.until_over(rule).await;
    }
    watching.end().await;
    let watching = start(&store_url, &url, &key).await;
    let is_missed = |it: &ReplicaView| it.name == "replica1" && it.state == ReplicaState::Disconnected;
    let begun = Instant::now();
    while !dashboard(&watching).replication.iter().any(is_missed) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", dashboard(&watching).replication);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // Given up it stays so, although we end before anything has seen it and its alert is open still.
    watching
        .control
        .alert_rule_set(&Actor::cli(), &RuleScope::All, "replica_disconnected", settings(0.5, 0))
        .await
        .unwrap();
    watching.until_state("replica_disconnected", AlertState::Firing).await;
    watching.control.standby_forget(&Actor::cli(), None, "replica1").await.unwrap();
    watching.end().await;
    let watching = start(&store_url, &url, &key).await;
    let begun = Instant::now();
    while dashboard(&watching).sequence < 5 || !watching.control.alerts().has_looked("main") {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    watching.until_over("replica_disconnected").await;
    assert_eq!(dashboard(&watching).replication, []);
    watching.end().await;
}

/// Nobody says how much is much: ten days before were quiet at this hour.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_far_above_the_same_hour_of_the_days_before_is_told() {
    let cluster = test_support::private_cluster(&[]).await;
    let url = cluster.server.url("postgres");
    let (store_url, _directory) = test_support::sqlite_url();
    let store = Store::connect(&store_url).await.unwrap();
    store.migrate().await.unwrap();
    let mut series = HashMap::new();
    for day in 1..=10 {
        let at = now().plus_ms(-day * 86_400_000 - 600_000);
        // Lines are added up.
        let sample = |label: &str| Sample {
            metric: Metric::ActiveSessions,
            label: label.to_owned(),
            value: 0.25,
            histogram: None,
        };
        MetricRepo(store.db()).insert("main", at, &[sample("CPU"), sample("IO")], &mut series).await.unwrap();
    }
    let watching = start(&store_url, &url, &SealingKey::random().unwrap()).await;
    let levels = vec![Level { severity: Severity::Info, threshold: 4.0, clear: 2.0 }];
    let soon = RuleSettings { levels, ..settings(4.0, 0) };
    watching.control.alert_rule_set(&Actor::cli(), &RuleScope::All, "load_unusual", soon).await.unwrap();
    let mut busy = Vec::new();
    for _ in 0..5 {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        busy.push(tokio::spawn(async move { connection.execute("SELECT pg_sleep(600)").await.map(drop) }));
    }
    let alert = watching.until_state("load_unusual", AlertState::Firing).await;
    // Of the other figures there is no history, and nothing is said.
    assert_eq!((alert.object.as_str(), alert.severity), ("active sessions", Severity::Info));
    assert!(alert.measured.contains(", usually 0.5 at this hour: "), "{alert:?}");
    assert!(alert.detail.as_deref().is_some_and(|detail| detail.starts_with("by 10 of the last days")), "{alert:?}");
    assert!(busy.iter().all(|task| !task.is_finished()));
    watching.end().await;
    busy.into_iter().for_each(|task| task.abort());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_cluster_is_told_and_its_other_alerts_are_kept_without_data() {
    let cluster = test_support::cluster().await;
    let database = test_support::database().await;
    let proxy = ChaosProxy::start(cluster.server.port()).await;
    let url = database.url.replace(&format!(":{}/", cluster.server.port()), &format!(":{}/", proxy.port()));
    let (store_url, _directory) = test_support::sqlite_url();
    let watching = start(&store_url, &url, &SealingKey::random().unwrap()).await;
    let admin = Actor::cli();
    // Any connection at all is too many.
    let main = RuleScope::Cluster("main".to_owned());
    watching.control.alert_rule_set(&admin, &main, "connections_high", settings(0.01, 0)).await.unwrap();
    watching.control.alert_rule_set(&admin, &RuleScope::All, "cluster_unreachable", settings(0.5, 0)).await.unwrap();
    let high = watching.until_state("connections_high", AlertState::Firing).await;
    assert_eq!(high.threshold, "> 0 %");
    proxy.set(Weather::Cut);
    watching.until_state("cluster_unreachable", AlertState::Firing).await;
    let blind = watching.until_state("connections_high", AlertState::NoData).await;
    assert_eq!(blind.id, high.id);
    let health = watching.control.dashboard_get(&Actor::system(), None).unwrap().health;
    assert_eq!(health.score, 0, "unreachable is nought, not the last value");
    proxy.set(Weather::Fair);
    watching.until_over("cluster_unreachable").await;
    let back = watching.until_state("connections_high", AlertState::Firing).await;
    assert_eq!(back.id, high.id, "it never ended");
    // Switched off it is withdrawn.
    let off = RuleSettings { enabled: false, ..settings(0.01, 0) };
    watching.control.alert_rule_set(&admin, &main, "connections_high", off).await.unwrap();
    watching.until_over("connections_high").await;
    watching.control.alert_rule_reset(&admin, &main, "connections_high").await.unwrap();
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_channel_is_told_once_of_the_begin_and_of_the_end_whatever_happens_on_the_way() {
    let database = test_support::database().await;
    let (store_url, _directory) = test_support::sqlite_url();
    let key = SealingKey::random().unwrap();
    let watching = start(&store_url, &database.url, &key).await;
    let (good_url, good) = receiver(&[200]).await;
    // In trouble at first; it is tried again and gets the same message.
    let (flaky_url, flaky) = receiver(&[503, 200]).await;
    let (gone_url, gone) = receiver(&[410]).await;
    // Takes the message and never answers: the others must not wait for it.
    let (mute_url, mute) = receiver(&[0]).await;
    for (name, url) in [("good", &good_url), ("flaky", &flaky_url), ("gone", &gone_url), ("mute", &mute_url)] {
        watching.webhook(name, url).await;
    }
    watching.observe(1.0);
    let alert = watching.until_state("backup_failed", AlertState::Firing).await;
    until_got(&good, "the begin", |got| got_kinds(got) == ["firing"]).await;
    until_got(&flaky, "the second attempt", |got| got_kinds(got) == ["firing", "firing"]).await;
    let sent = flaky.lock().unwrap().clone();
    assert_eq!(sent[0]["key"], sent[1]["key"], "the same message has the same key");
    until_got(&mute, "the attempt that is cut off", |got| !got.is_empty()).await;

    // We end while one of them is in hand; at the next start it is sent again.
    watching.end().await;
    let tried = of_ours(&mute).len();
    let watching = start(&store_url, &database.url, &key).await;
    until_got(&mute, "the message again", |got| got.len() > tried && got[tried]["key"] == got[0]["key"]).await;
    watching.observe(0.0);
    watching.until_over("backup_failed").await;
    until_got(&good, "the end", |got| got_kinds(got) == ["firing", "resolved"]).await;
    until_got(&flaky, "the end", |got| got_kinds(got) == ["firing", "firing", "resolved"]).await;

    // Whoever never got the begin gets no end, and the message given up is there to be seen.
    let gone_channel = watching.control.channels_list(&Actor::system()).await.unwrap();
    let gone_channel = gone_channel.into_iter().find(|channel| channel.name == "gone").unwrap();
    assert_eq!((gone_channel.dead, got_kinds(&gone.lock().unwrap()).len()), (1, 1));
    assert!(gone_channel.last_error.as_deref().unwrap().contains("does not know this address"), "{gone_channel:?}");
    let detail = watching.detail(&alert.id).await;
    let begins = detail.deliveries.iter().filter(|it| it.kind == "firing").count();
    assert_eq!(begins, 4, "one for each channel: {:#?}", detail.deliveries);

    // The test button says so in words.
    let ids = watching.control.channels_list(&Actor::system()).await.unwrap();
    let id = |name: &str| ids.iter().find(|channel| channel.name == name).unwrap().id.clone();
    let works = watching.control.channel_test(&Actor::cli(), &id("good")).await.unwrap();
    assert!(works.ok && works.message.contains("took the message"), "{works:?}");
    let fails = watching.control.channel_test(&Actor::cli(), &id("gone")).await.unwrap();
    assert!(!fails.ok && fails.message.contains("make a new one"), "{fails:?}");
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_is_whoever_is_silenced_or_within_a_blackout_until_that_ends() {
    let database = test_support::database().await;
    let (store_url, _directory) = test_support::sqlite_url();
    let watching = start(&store_url, &database.url, &SealingKey::random().unwrap()).await;
    let (url, got) = receiver(&[200]).await;
    watching.webhook("hook", &url).await;
    let new = NewBlackout {
        reason: "disks are changed".to_owned(),
        cluster: Some("main".to_owned()),
        rule: Some("backup_failed".to_owned()),
        starts_at: now(),
        ends_at: now().plus_ms(3_600_000),
        cron: None,
        duration_seconds: None,
    };
    let blackout = watching.control.blackout_create(&Actor::cli(), new).await.unwrap();
    assert!(blackout.active);
    watching.observe(1.0);
    let alert = watching.until_state("backup_failed", AlertState::Suppressed).await;
    assert_eq!(alert.suppressed_by.as_deref(), Some("disks are changed"));
    // A notice of another rule is told all the same, and once.
    for _ in 0..2 {
        watching.control.alerts().notice("main", Notice::new("role_changed", "now", "primary became standby"));
    }
    watching.until("role_changed", "the notice", |it| it.is_some()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let told = got.lock().unwrap().clone();
    assert!(
        got_kinds(&told).is_empty(),
        "a warning is below what this channel wants, and the alert is suppressed: {told:#?}"
    );
    watching.control.blackout_end(&Actor::cli(), &blackout.id).await.unwrap();
    until_got(&got, "what went on", |got| got_kinds(got) == ["firing"]).await;
    // Silenced after it was told: its end is told all the same.
    watching.control.alert_silence(&Actor::cli(), &alert.id, "known", 600).await.unwrap();
    watching.until_state("backup_failed", AlertState::Silenced).await;
    watching.observe(0.0);
    until_got(&got, "the end", |got| got_kinds(got) == ["firing", "resolved"]).await;
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_while_an_alert_is_raised_has_it_once_when_it_is_back() {
    let cluster = test_support::cluster().await;
    let database = test_support::database().await;
    let records = test_support::database().await;
    let proxy = ChaosProxy::start(cluster.server.port()).await;
    let store_url = records.url.replace(&format!(":{}/", cluster.server.port()), &format!(":{}/", proxy.port()));
    let watching = start(&store_url, &database.url, &SealingKey::random().unwrap()).await;
    watching.observe(0.0);
    let begun = Instant::now();
    while !watching.control.alerts().has_looked("main") {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (url, got) = receiver(&[200]).await;
    watching.webhook("hook", &url).await;
    proxy.set(Weather::Cut);
    watching.observe(1.0);
    // It shows although nothing can be written.
    let first = watching.until_state("backup_failed", AlertState::Firing).await;
    watching.observe(0.0);
    watching.until_over("backup_failed").await;
    watching.observe(1.0);
    let second = watching.until_state("backup_failed", AlertState::Firing).await;
    assert_ne!(first.id, second.id);
    proxy.set(Weather::Fair);
    until_got(&got, "all that happened, in order", |got| got_kinds(got) == ["firing", "resolved", "firing"]).await;
    // Straight from the database, past the proxy.
    let store = Store::connect(&records.url).await.unwrap();
    let past = AlertRepo(store.db()).past(&AlertFilter::default(), 10).await.unwrap();
    let past = past.iter().filter(|row| row.rule == "backup_failed").map(|row| row.id.to_string()).collect::<Vec<_>>();
    assert_eq!(past, [first.id]);
    let open = AlertRepo(store.db()).open().await.unwrap();
    let open = open.iter().filter(|row| row.rule == "backup_failed").map(|row| row.id.to_string()).collect::<Vec<_>>();
    assert_eq!(open, [second.id]);
    let messages = DeliveryRepo(store.db()).newest(None, 10).await.unwrap();
    let caused = messages.iter().filter(|it| it.payload.contains("\"backup_failed\"")).count();
    assert_eq!(caused, 3, "{messages:#?}");
    watching.end().await;
}
