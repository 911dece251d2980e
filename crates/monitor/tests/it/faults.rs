//! More that goes wrong: the store is away, no connection is left, statistics are reset, the extension is dropped, a
//! standby stands still or is cut off.
use super::{ChaosProxy, PATIENCE, Watching, Weather, is_up, state, with_statements};
use control::Actor;
use domain::{
    reading::{CollectorKind, CollectorState},
    view::{ClusterState, EventKind, Metric, Range, ReplicaState, ReplicationPage},
};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::time::{Duration, Instant};
use store::{History, MetricRepo, StatementRepo, Store, TierRepo};
use test_support::{ConnInfo, ReplicationConnection, Room};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_for_a_while_loses_nothing_and_stops_no_tick() {
    let cluster = with_statements(&[]).await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    watching.until("up", is_up).await;
    // Somebody holds the file for longer than a writer waits for another (10 s): writing fails and is tried again.
    let path = watching.directory.path().join("store.sqlite");
    let other = Store::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
    let holding = other.begin().await.unwrap();
    let before = watching.dashboard().sequence;
    let held = Instant::now();
    while held.elapsed() < Duration::from_secs(13) || watching.dashboard().sequence < before + 8 {
        assert!(held.elapsed() < PATIENCE, "ticks do not go on: {before} to {}", watching.dashboard().sequence);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let during = watching.dashboard().sequence;
    drop(holding);
    // Every tick of the time without a store is there in the end.
    let begun = Instant::now();
    loop {
        let samples = MetricRepo(watching.control.store().db());
        let (from, to) = (control::now().plus_ms(-600_000), control::now());
        let rows = samples.history("main", Metric::HealthScore, from, to, 1).await.unwrap().len();
        if rows as u64 >= during {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{rows} of {during} ticks are kept");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let cost = watching.control.cost_get(&Actor::system(), None).unwrap();
    assert_eq!(cost.process.store.dropped, 0);
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_connection_taken_the_watching_goes_on() {
    let cluster = with_statements(&[("max_connections", "12"), ("superuser_reserved_connections", "2")]).await;
    cluster
        .execute(
            "postgres",
            "CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher; CREATE ROLE app LOGIN PASSWORD 'a'",
        )
        .await;
    let watching = Watching::start(&cluster.server.url_as("watcher", "w", "postgres")).await;
    watching.until("all collectors", |it| it.collectors.iter().all(super::is_well)).await;
    let app = cluster.server.url_as("app", "a", "postgres");
    let mut taken = Vec::new();
    while let Ok(connection) = PgConnection::connect(&app).await {
        taken.push(connection);
        assert!(taken.len() < 20);
    }
    let before = watching.dashboard().sequence;
    watching
        .until("full and still watched", |it| {
            it.sequence > before + 4
                && is_up(it)
                && it.connections.as_ref().is_some_and(|one| one.utilization_percent >= 80.0)
                && state(it, CollectorKind::Statements) == CollectorState::Fresh
        })
        .await;
    let page = watching.control.connections_get(&Actor::system(), None, None).unwrap();
    let users = page.groups.iter().find(|group| group.by == "user").unwrap();
    assert_eq!(users.rows[0].name, "app");
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_statistics_are_told_and_a_dropped_extension_stops_nothing_else() {
    let cluster = with_statements(&[]).await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    watching.until("rates", |it| is_up(it) && it.throughput.is_some()).await;
    cluster.execute("postgres", "SELECT pg_stat_reset(); SELECT pg_stat_statements_reset()").await;
    watching.until_event(EventKind::StatsReset).await;
    let calls = watching.control.history_get(&Actor::system(), None, Metric::CallsPerSecond, Range::Minutes15).await;
    let values = calls.unwrap().series.into_iter().flat_map(|line| line.values).flatten().collect::<Vec<_>>();
    assert!(values.iter().all(|value| *value >= 0.0), "{values:?}");

    cluster.execute("postgres", "DROP EXTENSION pg_stat_statements").await;
    watching
        .until("unsupported, and nothing else", |it| {
            matches!(state(it, CollectorKind::Statements), CollectorState::Unsupported { .. })
                && is_up(it)
                && state(it, CollectorKind::Activity) == CollectorState::Fresh
        })
        .await;
    cluster.execute("postgres", "CREATE EXTENSION pg_stat_statements").await;
    watching.until("fresh again", |it| state(it, CollectorKind::Statements) == CollectorState::Fresh).await;
    watching.end().await;
}

async fn replication(watching: &Watching, what: &str, condition: impl Fn(&ReplicationPage) -> bool) -> ReplicationPage {
    let begun = Instant::now();
    loop {
        let page = watching.control.replication_get(&Actor::system(), None).unwrap();
        if condition(&page) {
            return page.as_ref().clone();
        }
        assert!(begun.elapsed() < PATIENCE, "{what} did not come: {page:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_of_a_standby_is_true_while_idle_paused_and_cut() {
    let cluster = with_statements(&[]).await;
    let standby = cluster.standby("replica1").await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    let first = |page: &ReplicationPage| page.standbys.first().cloned();

    // Idle: everything is replayed, nothing is written; checkpoints and the like end soon.
    let idle =
        replication(&watching, "idle", |page| first(page).is_some_and(|it| it.state == ReplicaState::Idle)).await;
    assert_eq!(first(&idle).unwrap().lag_seconds, Some(0.0));
    assert!(idle.slots.iter().any(|slot| slot.name == "replica1" && slot.active), "{idle:?}");

    // Paused while the primary writes: behind by the time since, to a second or two.
    let mut there = PgConnection::connect(&standby.url("postgres")).await.unwrap();
    there.execute("SELECT pg_wal_replay_pause()").await.unwrap();
    let begun = Instant::now();
    while there.fetch_one("SELECT 1 WHERE pg_get_wal_replay_pause_state() = 'paused'").await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "replay is not paused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster
        .execute("postgres", "CREATE TABLE written (a int); INSERT INTO written SELECT generate_series(1, 1000)")
        .await;
    let written = control::now();
    let behind = replication(&watching, "behind", |page| {
        first(page).is_some_and(|it| it.lag_seconds.is_some_and(|seconds| seconds > 4.0))
    })
    .await;
    // As it was when it was read.
    let truth = behind.collected_at.unwrap().seconds_since(written);
    let lag = first(&behind).unwrap().lag_seconds.unwrap();
    // Positions are a tick apart.
    assert!(lag <= truth + 2.0 && lag >= truth - 4.0, "{lag} s said, {truth} s true");
    assert!(first(&behind).unwrap().replay_bytes.is_some_and(|bytes| bytes > 0), "{behind:?}");
    there.execute("SELECT pg_wal_replay_resume()").await.unwrap();
    replication(&watching, "caught up", |page| first(page).is_some_and(|it| it.lag_seconds == Some(0.0))).await;

    let person = Actor::cli();
    let forget = || watching.control.standby_forget(&person, None, "replica1");
    assert_eq!(forget().await.unwrap_err().kind(), domain::ErrorKind::Conflict, "it is there");

    // Cut: seen before and gone is disconnected, never 0.
    drop(there);
    drop(standby);
    let cut = replication(&watching, "disconnected", |page| {
        first(page).is_some_and(|it| it.state == ReplicaState::Disconnected)
    })
    .await;
    assert!(first(&cut).unwrap().lag_seconds.is_some_and(|seconds| seconds > 0.0), "{cut:?}");
    assert!(first(&cut).unwrap().gone_since.is_some(), "{cut:?}");
    assert!(cut.slots.iter().any(|slot| slot.name == "replica1" && !slot.active), "{cut:?}");

    // It is missed until a person says that it will not come back.
    forget().await.unwrap();
    replication(&watching, "given up", |page| page.standbys.is_empty()).await;
    let rows = watching.control.audit_list(&Actor::cli(), store::AuditFilter::default(), None, 10).await.unwrap().rows;
    let row = rows.iter().find(|row| row.action == "standby_forget").unwrap();
    assert!(row.object_id.ends_with("/replica1") && row.outcome == "ok", "{row:?}");
    // Where another server on the same store hears it.
    let heard = watching.control.standbys_given_up(domain::Timestamp(0)).await.unwrap();
    assert_eq!(heard, [(row.seq, row.object_id.clone())], "once, and not the try that was refused");
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_and_what_it_costs_is_shown() {
    let cluster = with_statements(&[]).await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    watching.until("up", is_up).await;
    let begun = Instant::now();
    let cost = loop {
        let cost = watching.control.cost_get(&Actor::system(), None).unwrap();
        let process = &cost.process;
        if process.cpu_percent.is_some() && process.store.bytes.is_some() && cost.watching.calls_per_second.is_some() {
            break cost;
        }
        assert!(begun.elapsed() < PATIENCE, "{cost:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(cost.process.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
    assert!(cost.watching.connections.is_some_and(|held| (1..=5).contains(&held)), "{:?}", cost.watching);
    assert!(cost.process.store.tiers.iter().any(|tier| tier.name == "metrics, each tick"), "{:?}", cost.process.store);
    let begun = Instant::now();
    while TierRepo(watching.control.store().db()).size(History::Metrics, 0).await.unwrap().number == 0 {
        assert!(begun.elapsed() < PATIENCE, "no tick is written down");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    watching.end().await;
}

/// A text is read once. One that the store lacks all the same, however it came to, is read again: without it nothing that its
/// statement does could be kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_the_store_lacks_is_read_again() {
    let cluster = with_statements(&[]).await;
    cluster.execute("postgres", "SELECT 1 AS first_of_all").await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    let statements = StatementRepo(watching.control.store().db());
    let stored = async |word: &str| !statements.mentioning("main", "postgres", word, 1).await.unwrap().is_empty();
    let begun = Instant::now();
    while !stored("first_of_all").await {
        assert!(begun.elapsed() < PATIENCE, "no text is kept");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(statements.forget(control::now().plus_ms(60_000)).await.unwrap() > 0);
    // The text of another has the recorder look which there are. By its name alone a column makes no other statement.
    cluster.execute("postgres", "SELECT 2, 3 AS one_more").await;
    let begun = Instant::now();
    while !stored("first_of_all").await || !stored("one_more").await {
        assert!(begun.elapsed() < PATIENCE, "the text did not come again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    watching.end().await;
}

/// A server of many databases is looked into as far as the limit goes. One that refuses stops no other, and whatever is
/// left out is named.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_databases_those_that_are_left_out_are_named() {
    let cluster = with_statements(&[]).await;
    cluster.execute("postgres", "CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher").await;
    for i in 0..22 {
        cluster.execute("postgres", &format!("CREATE DATABASE d{i:02} TEMPLATE template0")).await;
    }
    cluster.execute("d01", "CREATE TABLE seen (a int PRIMARY KEY)").await;
    // Nobody but a superuser gets in.
    cluster.execute("postgres", "ALTER DATABASE d00 CONNECTION LIMIT 0").await;
    let watching = Watching::start(&cluster.server.url_as("watcher", "w", "postgres")).await;
    watching.until("all collectors", |it| it.collectors.iter().all(super::is_well)).await;
    let page = watching.control.indexes_list(&Actor::system(), None, None).await.unwrap();
    assert!(page.rows.iter().any(|row| row.database == "d01" && row.name == "seen_pkey"), "{page:?}");
    let skipped = page.skipped.iter().map(|it| it.0.as_str()).collect::<Vec<_>>();
    // Twenty are looked into: postgres and the first nineteen of the others.
    for name in ["d00", "d19", "d20", "d21"] {
        assert!(skipped.contains(&name), "{name} in {:?}", page.skipped);
    }
    assert_eq!(skipped.len(), 4, "{:?}", page.skipped);
    let refused = page.skipped.iter().find(|it| it.0 == "d00").unwrap();
    assert!(refused.1.contains("too many connections"), "{refused:?}");
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_meanwhile_is_told_with_its_grant_and_comes_back() {
    let cluster = with_statements(&[]).await;
    cluster.execute("postgres", "CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher").await;
    let watching = Watching::start(&cluster.server.url_as("watcher", "w", "postgres")).await;
    watching.until("all collectors", |it| it.collectors.iter().all(super::is_well)).await;
    cluster.execute("postgres", "REVOKE pg_monitor FROM watcher").await;
    let lacks = |it: &domain::view::Dashboard| {
        it.collectors.iter().any(|one| {
            matches!(&one.state, CollectorState::NoPermission { cure: Some(cure), .. } if cure.contains("GRANT pg_monitor"))
        })
    };
    let told = watching.until("the missing right", lacks).await;
    assert!(told.health.lines.iter().any(|line| line.rule == "collectors_failing"), "{:?}", told.health);
    cluster.execute("postgres", "GRANT pg_monitor TO watcher").await;
    watching.until("all collectors again", |it| it.collectors.iter().all(super::is_well)).await;
    watching.end().await;
}

/// More statements than `pg_stat_statements.max`: the server forgets some, and that totals are not whole is said.
#[tokio::test(flavor = "multi_thread")]
async fn forgotten_statements_are_counted() {
    let cluster = with_statements(&[("pg_stat_statements.max", "100")]).await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    watching.until("rates", |it| is_up(it) && it.throughput.is_some()).await;
    let mut connection = PgConnection::connect(&cluster.server.url("postgres")).await.unwrap();
    let begun = Instant::now();
    loop {
        // Each list of another length is another statement.
        for n in 1..160 {
            let columns = vec!["1"; n].join(", ");
            connection.execute(sqlx::AssertSqlSafe(format!("SELECT {columns}"))).await.unwrap();
        }
        let page =
            watching.control.queries_top(&Actor::system(), &domain::view::QueriesParams::default()).await.unwrap();
        if page.evictions_per_hour.is_some_and(|rate| rate > 0.0) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{:?}", page.evictions_per_hour);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    watching.end().await;
}

/// A backup holds a replication connection without streaming. Taken for a standby it would be gone once the backup is over:
/// a critical alert, and a lag that grows for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_walsender_that_streams_nothing_is_no_standby() {
    let cluster = with_statements(&[]).await;
    let watching = Watching::start(&cluster.server.url("postgres")).await;
    watching.until("up", is_up).await;
    let info = ConnInfo::parse(&cluster.server.url("postgres")).unwrap().with_application_name("a backup");
    let held = ReplicationConnection::connect(&info).await.unwrap();
    let before = watching.dashboard().sequence;
    let during = watching.until("readings", |it| it.sequence > before + 4).await;
    assert_eq!(during.replication, []);
    drop(held);
    watching.end().await;
}

/// The file system under our own store is full: watching goes on, what waits is bounded and not lost, and once there is
/// room everything is written by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_store_stops_no_tick_and_loses_nothing_within_the_bound() {
    let outer = tempfile::tempdir().unwrap();
    let Some(room) = Room::mount_or_skip(&outer.path().join("room"), "12m") else { return };
    let cluster = with_statements(&[]).await;
    let (store, filler) = (outer.path().join("room/store.sqlite"), outer.path().join("room/filler"));
    let store_url = format!("sqlite://{}?mode=rwc", store.display());
    let url = cluster.server.url("postgres");
    let watching = Watching::start_over(&store_url, tempfile::tempdir().unwrap(), &[("main", &url, None)]).await;
    watching.until("up", is_up).await;
    room.fill("filler");
    let full = watching.dashboard().sequence;
    // So long that what is written would not fit into what the file has free.
    let during = watching.until("ticks with a full disk", |it| it.sequence >= full + 15).await;
    assert!(is_up(&during), "the server is watched all the while");
    let queued = || watching.control.cost_get(&Actor::system(), None).unwrap().process.store.queued;
    let begun = Instant::now();
    while queued() < 5 {
        assert!(begun.elapsed() < PATIENCE, "nothing waits: {:?}", queued());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // A page that asks the store answers from what is there, or says that it cannot; it does not hang.
    let asked = Instant::now();
    let _ = watching.control.history_get(&Actor::system(), None, Metric::HealthScore, Range::Minutes15).await;
    assert!(asked.elapsed() < Duration::from_secs(60), "{:?}", asked.elapsed());
    std::fs::remove_file(filler).unwrap();
    let freed = watching.dashboard().sequence;
    let begun = Instant::now();
    loop {
        let samples = MetricRepo(watching.control.store().db());
        let (from, to) = (control::now().plus_ms(-600_000), control::now());
        let rows = samples.history("main", Metric::HealthScore, from, to, 1).await.map_or(0, |rows| rows.len());
        if rows as u64 >= freed {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{rows} of {freed} ticks are kept");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let begun = Instant::now();
    while queued() > 2 {
        assert!(begun.elapsed() < PATIENCE, "{:?} wait", queued());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(watching.control.cost_get(&Actor::system(), None).unwrap().process.store.dropped, 0);
    watching.end().await;
}

/// `pg_hba.conf` begins to reject us. What is open would go on: it is ended, as at the next failover. The state is named with
/// the line that mends it, and once that is there we are back within an interval, not after a long wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_reject_of_pg_hba_is_told_with_its_cure_and_over_within_an_interval() {
    let cluster = with_statements(&[]).await;
    cluster.execute("postgres", "CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher").await;
    let started = Instant::now();
    let watching = Watching::start(&cluster.server.url_as("watcher", "w", "postgres")).await;
    watching.until("up", is_up).await;
    // On this machine, with what it has to do just now.
    let soon = Duration::from_secs(4) + 3 * started.elapsed();
    let file = cluster.server.data_dir().join("pg_hba.conf");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("host all watcher all reject\n{before}")).unwrap();
    cluster.execute("postgres", "SELECT pg_reload_conf()").await;
    cluster
        .execute("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'watcher'")
        .await;
    let begun = Instant::now();
    let refused = watching.until("refused", |it| matches!(it.cluster.state, ClusterState::Refused { .. })).await;
    assert!(begun.elapsed() < soon, "noticed after {:?}", begun.elapsed());
    assert_eq!(refused.health.score, 0);
    let reason = refused.cluster.state.reason().unwrap();
    assert!(reason.contains("pg_hba.conf rejects") && reason.contains("watcher"), "{reason}");
    let told = || {
        let list = watching.control.setup_list(&Actor::system()).unwrap();
        list[0].1.iter().find(|item| item.key == "setup_connected").cloned().unwrap()
    };
    let cure = told().sql.unwrap();
    assert!(cure.contains("pg_hba.conf") && cure.contains("host postgres watcher 127.0.0.1/32"), "{cure}");
    // For longer than a doubling back-off would take to grow far out of an interval.
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert!(matches!(watching.dashboard().cluster.state, ClusterState::Refused { .. }));
    std::fs::write(&file, before).unwrap();
    cluster.execute("postgres", "SELECT pg_reload_conf()").await;
    let mended = Instant::now();
    watching.until("up again", is_up).await;
    assert!(mended.elapsed() < soon, "back after {:?}", mended.elapsed());
    assert_eq!(told().level, "good");
    watching.until_event(EventKind::Up).await;
    watching.end().await;
}

/// Everything we ask takes longer than the interval: ticks are left out, counted and shown, nothing piles up on the server,
/// and when it is quick again there is no burst to make up for them.
#[tokio::test(flavor = "multi_thread")]
async fn too_slow_for_its_interval_it_leaves_ticks_out_and_says_how_many() {
    let cluster = with_statements(&[]).await;
    let proxy = ChaosProxy::start(cluster.server.port()).await;
    let own = cluster.server.url("postgres");
    let url = own.replace(&format!(":{}/", cluster.server.port()), &format!(":{}/", proxy.port()));
    let watching = Watching::start(&url).await;
    watching.until("up", |it| is_up(it) && it.throughput.is_some()).await;
    let cost = || watching.control.cost_get(&Actor::system(), None).unwrap().watching.clone();
    let skipped = cost().ticks_skipped;
    proxy.set(Weather::Slow(Duration::from_millis(250)));
    let begun = Instant::now();
    let mut counting = PgConnection::connect(&own).await.unwrap();
    while cost().ticks_skipped < skipped + 3 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", cost());
        // Never more of ours at once than is promised, and never two statements of one collector.
        let held: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast'")
            .fetch_one(&mut counting)
            .await
            .unwrap();
        assert!(held <= 5, "{held} connections of ours");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let slow = watching.dashboard();
    assert!(is_up(&slow), "slow is not gone: {:?}", slow.cluster.state);
    assert!(cost().tick_ms > 1_000.0, "{:?}", cost());
    // A sample is one question and one answer: these take longer than the second to the next.
    proxy.set(Weather::Slow(Duration::from_millis(600)));
    while cost().samples_skipped == 0 {
        assert!(begun.elapsed() < PATIENCE, "samples of sessions are left out too, and counted: {:?}", cost());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    proxy.set(Weather::Fair);
    watching.until("quick again", |it| it.sequence > slow.sequence + 2).await;
    let (before, from) = (watching.dashboard().sequence, Instant::now());
    // At least four seconds, in which a burst would show, and two ticks.
    while from.elapsed() < Duration::from_secs(4) || watching.dashboard().sequence < before + 2 {
        assert!(from.elapsed() < PATIENCE, "no more ticks");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ticks = watching.dashboard().sequence - before;
    assert!(ticks as f64 <= from.elapsed().as_secs_f64() + 2.0, "{ticks} ticks: none is made up for");
    watching.end().await;
}

/// What the server says of the time is 90 s off: `clock_timestamp()` is another function for a while. What asks is let in anew
/// each time, since a prepared statement keeps to the function that it began with.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_told_and_so_is_one_that_is_right_again() {
    let cluster = with_statements(&[]).await;
    cluster.execute("postgres", "CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher").await;
    let watching = Watching::start(&cluster.server.url_as("watcher", "w", "postgres")).await;
    let told = || {
        let list = watching.control.setup_list(&Actor::system()).unwrap();
        list[0].1.iter().find(|item| item.key == "setup_clock").cloned().unwrap()
    };
    let anew = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'watcher'";
    watching.until("a clock like ours", |_| told().level == "good").await;
    let wrong = "ALTER FUNCTION pg_catalog.clock_timestamp() RENAME TO true_clock_timestamp; \
                 CREATE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE \
                 AS $$ SELECT pg_catalog.true_clock_timestamp() - interval '90 s' $$";
    cluster.execute("postgres", wrong).await;
    cluster.execute("postgres", anew).await;
    watching.until("a clock that is behind", |_| told().level == "warning").await;
    let title = told().title;
    assert!(title.starts_with("Its clock is 1 min") && title.ends_with("behind ours"), "{title}");
    let right = "DROP FUNCTION pg_catalog.clock_timestamp(); \
                 ALTER FUNCTION pg_catalog.true_clock_timestamp() RENAME TO clock_timestamp";
    cluster.execute("postgres", right).await;
    cluster.execute("postgres", anew).await;
    watching.until("a clock like ours again", |_| told().level == "good").await;
    watching.end().await;
}
