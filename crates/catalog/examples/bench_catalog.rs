//! Measures the catalogue and the pools on a primary and a standby of its own; `script/bench catalog` runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use catalog::{Catalog, PluginFilter, Sort, Tenant};
use migration::{IdpMigrator, MigratorTrait as _};
use pool::{Histogram, PoolSettings, Pools, Reader, Scope, Work};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const CLIENTS: u64 = 64;

fn row(name: &str, histogram: &Histogram) {
    let snapshot = histogram.snapshot();
    let at = |share| snapshot.quantile_ms(share).unwrap_or(f64::NAN);
    println!("{name:<58} {:>9} {:>9.2} {:>9.2} {:>9.2}", snapshot.count(), at(0.5), at(0.95), at(0.99));
}

/// `CLIENTS` at once, each `rounds` times.
async fn load<F, W>(name: &str, rounds: u64, work: W)
where
    W: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    let (histogram, work) = (Arc::new(Histogram::default()), Arc::new(work));
    let clients = (0..CLIENTS).map(|client| {
        let (histogram, work) = (histogram.clone(), work.clone());
        tokio::spawn(async move {
            for round in 0..rounds {
                let begun = Instant::now();
                work(client * 7_919 + round * 104_729).await;
                histogram.record(begun.elapsed());
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    row(name, &histogram);
}

#[tokio::main]
async fn main() {
    let plugins = std::env::args().nth(1).map_or(100_000, |text| text.parse::<u64>().expect("plugins: a number"));
    let tenants = (plugins / 100).clamp(1, 1_000);
    let cluster = test_support::private_cluster(&[("max_connections", "200"), ("shared_buffers", "256MB")]).await;
    let url = cluster.server.url("postgres");
    let mut options = sea_orm::ConnectOptions::new(url.clone());
    options.max_connections(1).sqlx_logging(false);
    let migrating = sea_orm::Database::connect(options).await.unwrap();
    IdpMigrator::up(&migrating, None).await.unwrap();
    let begun = Instant::now();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for sql in [
        format!("INSERT INTO tenants (slug, name) SELECT 't' || n, 'T' FROM generate_series(1, {tenants}) n"),
        format!("INSERT INTO plugins (tenant_id, name, display_name, description, category, owner, keywords, tags, health_score, is_installed, installed_version) SELECT n % {tenants} + 1, (ARRAY['swift','quiet','amber','solid'])[n % 4 + 1] || '-' || (ARRAY['pipeline','tracer','vault','broker','meter'])[n % 5 + 1] || '-' || n, 'Plugin ' || n, 'Keeps things in order', (ARRAY['ci-cd','docs','security'])[n % 3 + 1], 'team-' || n % 40, ARRAY['k' || n % 50], ARRAY['tier-' || n % 3], n % 101, true, '1.0.0' FROM generate_series(0, {plugins} - 1) n"),
        "INSERT INTO plugin_versions (plugin_id, tenant_id, version) SELECT id, tenant_id, '1.0.0' FROM plugins".to_owned(),
        // Each of the first five hundred of tenant 1 needs the two after it.
        "INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT 1, 'deep-' || n, 'Deep', 'docs', 'o' FROM generate_series(1, 500) n; INSERT INTO plugin_versions (plugin_id, version) SELECT id, '1.0.0' FROM plugins WHERE name LIKE 'deep-%'; INSERT INTO plugin_dependencies (plugin_version_id, depends_on_id, version_range) SELECT v.id, q.id, '^1' FROM plugins p JOIN plugin_versions v ON v.plugin_id = p.id JOIN plugins q ON q.tenant_id = 1 AND q.name IN ('deep-' || substr(p.name, 6)::int * 2, 'deep-' || substr(p.name, 6)::int * 2 + 1) WHERE p.name LIKE 'deep-%'".to_owned(),
        "VACUUM ANALYZE".to_owned(),
    ] {
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    }
    let deep: i64 =
        sqlx::query_scalar("SELECT id FROM plugins WHERE name = 'deep-1'").fetch_one(&mut connection).await.unwrap();
    println!("{plugins} plugins, {tenants} tenants, {CLIENTS} clients; made in {:.0} s", begun.elapsed().as_secs_f64());
    let standby = cluster.standby("standby").await;
    let settings = PoolSettings::new(url.clone(), Some(standby.url("postgres").into()));
    let pools = Pools::start(settings).unwrap();
    while pools.snapshot().nodes[1].state.as_str() != "replica" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It cannot listen, so it remembers nothing: every answer is the database's.
    let nowhere = "postgres://nobody@127.0.0.1:1/nothing".to_owned();
    let catalog = Catalog::new(pools.clone(), nowhere.into());
    let remembering = Catalog::new(pools.clone(), url.clone().into());
    while !remembering.cache_stats().listening {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{:<58} {:>9} {:>9} {:>9} {:>9}", "", "n", "p50 ms", "p95 ms", "p99 ms");

    let of = move |n: u64| Tenant((n % tenants) as i64 + 1);
    let asked = catalog.clone();
    load("discovery, three filters, one page of 50", 40, move |n| {
        let catalog = asked.clone();
        async move {
            let filter = PluginFilter {
                categories: vec!["docs".to_owned()],
                tags: vec![format!("tier-{}", n % 3)],
                health_min: Some(20),
                ..Default::default()
            };
            catalog.plugins(of(n), &filter, Sort::HealthDown, None, 50).await.unwrap();
        }
    })
    .await;
    let asked = catalog.clone();
    load("search by words, by relevance", 40, move |n| {
        let catalog = asked.clone();
        async move {
            let filter = PluginFilter { query: Some("swift pipe".to_owned()), ..Default::default() };
            catalog.plugins(of(n), &filter, Sort::Relevance, None, 50).await.unwrap();
        }
    })
    .await;
    let asked = remembering.clone();
    load("discovery, remembered answers", 200, move |n| {
        let catalog = asked.clone();
        async move {
            catalog.plugins(of(n % 20), &PluginFilter::default(), Sort::HealthDown, None, 50).await.unwrap();
        }
    })
    .await;

    let histogram = Histogram::default();
    for _ in 0..50 {
        let begun = Instant::now();
        assert_eq!(catalog.dependency_graph(Tenant(1), deep, false).await.unwrap().nodes.len(), 500);
        histogram.record(begun.elapsed());
    }
    row("closure of 500 plugins, one client", &histogram);

    // The same transaction over a connection of one's own, and by way of the pools.
    let (direct, routed) = (Histogram::default(), Histogram::default());
    let mut own = PgConnection::connect(&standby.url("postgres")).await.unwrap();
    for _ in 0..3_000 {
        let begun = Instant::now();
        own.execute(sqlx::raw_sql("BEGIN READ ONLY; SELECT pg_last_wal_replay_lsn()::text")).await.unwrap();
        sqlx::query("SELECT count(*) FROM plugin_versions WHERE plugin_id < 2000").fetch_one(&mut own).await.unwrap();
        own.execute(sqlx::raw_sql("ROLLBACK; SELECT pg_advisory_unlock_all()")).await.unwrap();
        direct.record(begun.elapsed());
        let begun = Instant::now();
        pools
            .read(&Scope::default(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    sqlx::query("SELECT count(*) FROM plugin_versions WHERE plugin_id < 2000")
                        .fetch_one(reader.connection()?)
                        .await?;
                    Ok::<_, pool::PoolError>(())
                })
            })
            .await
            .unwrap();
        routed.record(begun.elapsed());
    }
    row("a read transaction, direct", &direct);
    row("a read transaction, routed", &routed);
    let mean = |histogram: &Histogram| histogram.snapshot().sum_seconds() / histogram.snapshot().count() as f64;
    println!("routed / direct, mean: {:.3}", mean(&routed) / mean(&direct));
    println!("{:?}", pools.snapshot().routing);
}
