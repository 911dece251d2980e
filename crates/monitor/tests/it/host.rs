//! The machine of a server on this one: its file systems are seen, recorded, and judged; and what a rule would have done is
//! tried on what was recorded.
use super::{PATIENCE, Watching, is_up, with_statements};
use control::Actor;
use domain::view::{Availability, Metric, Range};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn the_disks_of_a_server_here_are_seen_with_the_rights_of_pg_monitor() {
    let cluster = with_statements(&[]).await;
    cluster.execute("postgres", "CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher").await;
    let watching = Watching::start(&cluster.server.url_as("watcher", "w", "postgres")).await;
    watching.until("up", is_up).await;
    let begun = Instant::now();
    let page = loop {
        let page = watching.control.host_get(&Actor::system(), None).await.unwrap();
        if page.availability == Availability::Ready && !page.disks.is_empty() {
            break page;
        }
        assert!(begun.elapsed() < PATIENCE, "{page:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let data = page.disks.iter().find(|row| row.place == "data").unwrap();
    assert_eq!(data.path, cluster.server.data_dir().display().to_string());
    assert!(data.used_percent.is_some_and(|percent| (0.0..=100.0).contains(&percent)), "{data:?}");
    assert!(data.full.is_none() && data.full_missing.is_some(), "a forecast needs days: {data:?}");
    assert!(page.load.is_some() && page.cpus.is_some());
    let begun = Instant::now();
    loop {
        let history = watching
            .control
            .history_get(&Actor::system(), None, Metric::DiskUsedPercent, Range::Minutes15)
            .await
            .unwrap();
        if history.series.iter().any(|line| line.name == "data" && line.values.iter().any(Option::is_some)) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{history:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_tried_on_what_every_rule_saw() {
    use analysis::alerts::rule;
    let cluster = with_statements(&[]).await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    watching.until("up", is_up).await;
    use sqlx::{Connection as _, Executor as _};
    let mut idle = sqlx::PgConnection::connect(&cluster.server.url("postgres")).await.unwrap();
    idle.execute("BEGIN").await.unwrap();
    idle.execute("SELECT 1").await.unwrap();
    let preview = async |key: &str, threshold: f64| {
        let mut settings = rule(key).unwrap().default_settings();
        for level in &mut settings.levels {
            (level.threshold, level.clear) = (threshold, threshold);
        }
        settings.for_seconds = 0;
        watching.control.alert_rule_preview(&Actor::system(), None, key, &settings).await.unwrap()
    };
    // As shipped (five minutes) it would not have been raised, with a threshold of nothing it would: it sits idle all the time.
    let begun = Instant::now();
    loop {
        let tried = preview("idle_in_transaction", 0.0).await;
        if tried.unavailable.is_none() && tried.fired >= 1 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{tried:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(preview("idle_in_transaction", 300.0).await.fired, 0);
    // A condition too, and what tells of something that happened has nothing to try on.
    assert_eq!(preview("archiver_failing", 0.5).await.unavailable, None);
    let notice = preview("restarted", 0.5).await.unavailable.unwrap();
    assert!(notice.starts_with("No history of this kind is kept"), "{notice}");
    watching.end().await;
}

/// Weights that somebody sets are in force with the next score, and taken back with the one after.
#[tokio::test(flavor = "multi_thread")]
async fn weights_of_the_score_are_in_force_at_once() {
    use domain::view::{HealthComponent, HealthWeights, RuleSource};
    let cluster = with_statements(&[]).await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    watching.until("up", is_up).await;
    // A slot that nobody uses costs points of replication.
    cluster.execute("postgres", "SELECT pg_create_physical_replication_slot('unused', true)").await;
    let lost = |it: &domain::view::Dashboard| {
        it.health
            .lines
            .iter()
            .filter(|line| line.component == HealthComponent::Replication)
            .map(|line| line.points)
            .sum::<u8>()
    };
    watching.until("points of replication", |it| lost(it) > 0).await;
    let actor = Actor::cli();
    let wrong = HealthWeights { replication: 0, ..HealthWeights::default() };
    assert!(watching.control.health_weights_set(&actor, Some("main"), wrong).await.is_err());
    let without = HealthWeights { locks: 22, replication: 0, ..HealthWeights::default() };
    watching.control.health_weights_set(&actor, Some("main"), without).await.unwrap();
    watching.until("no points of replication", |it| lost(it) == 0).await;
    let set = watching.control.health_weights_get(&actor, None).await.unwrap();
    assert_eq!((set.source, set.weights), (RuleSource::Cluster, without));
    watching.control.health_weights_reset(&actor, Some("main")).await.unwrap();
    watching.until("points again", |it| lost(it) > 0).await;
    watching.end().await;
}
