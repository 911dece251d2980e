//! Remembered answers: one load for many callers, never old to the writer, soon new to others.
use crate::{A, World, until};
use catalog::{BulkMode, BulkOperation, BulkRequest, Catalog, PluginFilter, Sort};
use pool::{PoolSettings, Pools};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

fn tag(add: &str, plugins: BTreeSet<i64>) -> BulkRequest {
    BulkRequest {
        operation: BulkOperation::Tag,
        mode: BulkMode::Atomic,
        plugins,
        add_tags: vec![add.to_owned()],
        remove_tags: Vec::new(),
        versions: BTreeMap::new(),
    }
}

async fn tags(catalog: &Catalog, id: i64) -> Vec<String> {
    catalog.plugin(A, id).await.unwrap().plugin.tags.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_are_one_load_and_a_writer_sees_what_it_wrote() {
    let world = World::new().await;
    let catalog = world.catalog().await;
    let before = catalog.cache_stats();
    let callers = (0..50).map(|_| {
        let catalog = catalog.clone();
        tokio::spawn(async move { catalog.plugins(A, &PluginFilter::default(), Sort::Name, None, 50).await.unwrap() })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert_eq!(caller.await.unwrap().plugins.len(), 50);
    }
    let after = catalog.cache_stats();
    assert_eq!((after.misses - before.misses, after.hits - before.hits), (1, 49));

    // Each of eight writers reads its own plugin after each write, while readers keep filling the cache.
    let stop = tokio_util::sync::CancellationToken::new();
    let readers = (0..4).map(|_| {
        let (catalog, stop) = (catalog.clone(), stop.clone());
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                for id in 1..=8 {
                    tags(&catalog, id).await;
                }
            }
        })
    });
    let readers = readers.collect::<Vec<_>>();
    let writers = (1..=8_i64).map(|id| {
        let catalog = catalog.clone();
        tokio::spawn(async move {
            for round in 0..15 {
                let word = format!("w{round}");
                let key = format!("{id}/{round}");
                catalog.bulk_run(A, &key, "test", &tag(&word, [id].into()), &|_, _| {}).await.unwrap();
                assert!(tags(&catalog, id).await.contains(&word), "plugin {id} round {round}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    stop.cancel();
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_hears_of_it_and_a_lagging_replica_does_not_fill_the_cache() {
    let cluster = test_support::private_cluster(&[]).await;
    let world = World { superuser_url: cluster.server.url("postgres"), url: cluster.server.url("postgres") };
    let mut options = sea_orm::ConnectOptions::new(world.url.clone());
    options.max_connections(1).sqlx_logging(false);
    let migrating = sea_orm::Database::connect(options).await.unwrap();
    <migration::IdpMigrator as migration::MigratorTrait>::up(&migrating, None).await.unwrap();
    world.sql(crate::SEED).await;
    let standby = cluster.standby("standby").await;
    let settings = PoolSettings {
        min: 0,
        primary_max: 6,
        replica_max: 6,
        probe_interval: Duration::from_millis(100),
        ..PoolSettings::new(world.url.clone(), Some(standby.url("postgres").into()))
    };
    let process = async || {
        let catalog = Catalog::new(Pools::start(settings.clone()).unwrap(), world.url.clone().into());
        until("it listens and has both servers", async || {
            let nodes = catalog.pools().snapshot().nodes;
            catalog.cache_stats().listening && nodes[1].state.as_str() == "replica"
        })
        .await;
        catalog
    };
    let (one, two) = (process().await, process().await);
    assert_eq!(tags(&two, 1).await, ["tier-1"]);
    // Listening began at a position that the replica reaches in a moment; each question is a new one.
    let mut id = 1;
    until("reads go to the replica", async || {
        id += 1;
        // After the sixtieth there is none, which is an answer too.
        let _ = two.plugin(A, id).await;
        two.pools().snapshot().routing.replica_reads >= 1
    })
    .await;

    // The replica stands still from here on.
    let mut paused = PgConnection::connect(&standby.url("postgres")).await.unwrap();
    paused.execute("SELECT pg_wal_replay_pause()").await.unwrap();
    one.bulk_run(A, "k", "test", &tag("news", [1].into()), &|_, _| {}).await.unwrap();
    assert!(tags(&one, 1).await.contains(&"news".to_owned()), "the writer reads by way of the primary");
    until("the other process sees it", async || tags(&two, 1).await.contains(&"news".to_owned())).await;
    assert!(two.pools().snapshot().routing.primary_reads_own_write >= 1);
    assert!(two.cache_stats().invalidations >= 1);
    paused.execute("SELECT pg_wal_replay_resume()").await.unwrap();

    // While nothing is heard, nothing is remembered.
    world
        .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%holdfast_catalog%' AND pid <> pg_backend_pid()")
        .await;
    until("it listens again", async || two.cache_stats().listening).await;
    assert!(tags(&two, 1).await.contains(&"news".to_owned()));
}
