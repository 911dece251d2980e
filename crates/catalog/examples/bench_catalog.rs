//! Measures the catalogue and the pools on a primary and a standby of its own; `script/bench catalog` runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use catalog::{Catalog, PluginChange, PluginFilter, Sort, Tenant};
use domain::view::SearchMode;
use migration::{IdpMigrator, MigratorTrait as _};
use pool::{Histogram, PoolSettings, Pools, Reader, Scope, Work};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const CLIENTS: u64 = 64;
const WRITES_PER_SECOND: u32 = 50;
/// Of clients that do something else between two questions, as people and pages do.
const PAUSE: Duration = Duration::from_millis(50);

fn row(name: &str, histogram: &Histogram, spent: Option<(Spent, Duration)>) {
    let snapshot = histogram.snapshot();
    let at = |share| snapshot.quantile_ms(share).unwrap_or(f64::NAN);
    print!("{name:<68} {:>9} {:>9.2} {:>9.2} {:>9.2}", snapshot.count(), at(0.5), at(0.95), at(0.99));
    if let Some((spent, took)) = spent {
        let each = |ticks: u64| ticks as f64 * 10.0 / snapshot.count() as f64;
        let rate = snapshot.count() as f64 / took.as_secs_f64();
        print!(" {rate:>9.0} {:>10.3} {:>10.3}", each(spent.server), each(spent.client));
    }
    println!();
}

/// Processor time in ticks of 10 ms: of the servers and their sessions, and of this process.
#[derive(Clone, Copy)]
struct Spent {
    server: u64,
    client: u64,
}

impl Spent {
    fn now(postmasters: &[u64]) -> Self {
        let mut spent = Self { server: 0, client: 0 };
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            let Some((pid, rest)) = stat.split_once(' ') else { continue };
            let Some((_, rest)) = rest.rsplit_once(") ") else { continue };
            let fields = rest.split(' ').collect::<Vec<_>>();
            let number = |i: usize| fields.get(i).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
            let ticks = number(11) + number(12);
            if pid.parse() == Ok(std::process::id()) {
                spent.client += ticks;
            } else if pid.parse().is_ok_and(|pid| postmasters.contains(&pid)) {
                // What its sessions that ended had spent.
                spent.server += ticks + number(13) + number(14);
            } else if postmasters.contains(&number(1)) {
                spent.server += ticks;
            }
        }
        spent
    }

    fn since(self, before: Self) -> Self {
        Self { server: self.server - before.server, client: self.client - before.client }
    }
}

/// `clients` at once, each `rounds` times.
async fn load<F, W>(name: &str, postmasters: &[u64], clients: u64, rounds: u64, work: W)
where
    W: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    load_with_pauses(name, postmasters, (clients, rounds), Duration::ZERO, work).await;
}

/// As [`load`], with a pause between two questions of a client.
async fn load_with_pauses<F, W>(
    name: &str,
    postmasters: &[u64],
    (clients, rounds): (u64, u64),
    pause: Duration,
    work: W,
) where
    W: Fn(u64) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    let (histogram, work) = (Arc::new(Histogram::default()), Arc::new(work));
    let (before, begun) = (Spent::now(postmasters), Instant::now());
    let clients = (0..clients).map(|client| {
        let (histogram, work) = (histogram.clone(), work.clone());
        tokio::spawn(async move {
            // Not all at the same moment.
            tokio::time::sleep(pause * (client % 64) as u32 / 64).await;
            for round in 0..rounds {
                let asked = Instant::now();
                work(client * 7_919 + round * 104_729).await;
                histogram.record(asked.elapsed());
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    row(name, &histogram, Some((Spent::now(postmasters).since(before), begun.elapsed())));
}

/// The process that a session's server began as.
async fn postmaster(url: &str) -> u64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn ready(pools: &Pools) {
    while pools.snapshot().nodes[1].state.as_str() != "replica" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::main]
async fn main() {
    let plugins = std::env::args().nth(1).map_or(100_000, |text| text.parse::<u64>().expect("plugins: a number"));
    let tenants = (plugins / 100).clamp(1, 1_000);
    let cluster = test_support::private_cluster(&test_support::PLATFORM_SETTINGS).await;
    let url = cluster.server.url("postgres");
    let mut options = sea_orm::ConnectOptions::new(url.clone());
    options.max_connections(1).sqlx_logging(false);
    let migrating = sea_orm::Database::connect(options).await.unwrap();
    IdpMigrator::up(&migrating, None).await.unwrap();
    let begun = Instant::now();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for sql in [
        format!("INSERT INTO tenants (slug, name) SELECT 't' || n, 'T' FROM generate_series(1, {tenants}) n"),
        // The k-th of each tenant: what one is found by says nothing of the other, and every tenant has all of it. The rows of
        // a tenant lie far apart, as they do when tenants add plugins in turn.
        format!("INSERT INTO plugins (tenant_id, name, display_name, description, category, owner, keywords, tags, health_score, is_installed, installed_version) SELECT n % {tenants} + 1, (ARRAY['swift','quiet','amber','solid'])[k % 4 + 1] || '-' || (ARRAY['pipeline','tracer','vault','broker','meter'])[k / 4 % 5 + 1] || '-' || n, 'Plugin ' || n, 'Keeps things in order', (ARRAY['ci-cd','docs','security'])[k / 20 % 3 + 1], 'team-' || k % 40, ARRAY['k' || k % 50], ARRAY['tier-' || k / 60 % 3], k * 37 % 101, true, '1.0.0' FROM (SELECT n, n / {tenants} AS k FROM generate_series(0, {plugins} - 1) n) AS n"),
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
    let mut settings = PoolSettings::new(url.clone(), Some(standby.url("postgres").into()));
    if let Some(most) = std::env::var("HOLDFAST_BENCH_CONNECTIONS").ok().and_then(|text| text.parse::<u32>().ok()) {
        settings.replica_max = most;
    }
    let pools = Pools::start(settings.clone()).unwrap();
    ready(&pools).await;
    // It cannot listen, so it remembers nothing: every answer is the database's.
    let nowhere = "postgres://nobody@127.0.0.1:1/nothing".to_owned();
    let catalog = Catalog::new(pools.clone(), nowhere.clone().into());
    let remembering = Catalog::new(pools.clone(), url.clone().into());
    while !remembering.cache_stats().listening {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let postmasters = [postmaster(&url).await, postmaster(&standby.url("postgres")).await];
    let postmasters = postmasters.as_slice();
    println!(
        "{:<68} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10}",
        "", "n", "p50 ms", "p95 ms", "p99 ms", "per s", "server ms", "client ms"
    );

    // A tenant has enough of each that every question is answered by a full page.
    let large = plugins >= 1_000 * tenants;
    let of = move |n: u64| Tenant((n % tenants) as i64 + 1);
    let three = |n: u64| PluginFilter {
        categories: vec!["docs".to_owned()],
        tags: vec![format!("tier-{}", n % 3)],
        health_min: Some(20),
        ..Default::default()
    };
    // More sessions than processors share these: what turns give beside none.
    let most = settings.replica_max;
    let without = Pools::start(PoolSettings { concurrency: Some(most), ..settings.clone() }).unwrap();
    ready(&without).await;
    let without = (CLIENTS, most, Catalog::new(without, nowhere.into()));
    let turns = pools.snapshot().nodes[1].slots.unwrap().concurrency;
    let all = [1, 4, 16, CLIENTS].map(|clients| (clients, turns, catalog.clone()));
    // Long enough that what a session learns at its first questions is not what is measured.
    for (clients, most, asked) in all.iter().chain([&without]).cloned() {
        let name = format!("discovery, three filters, one page of 50, {clients} clients, {most} at once");
        load(&name, postmasters, clients, 16_000 / clients, move |n| {
            let catalog = asked.clone();
            async move {
                let page = catalog.plugins(of(n), &three(n), Sort::HealthDown, None, 50).await.unwrap();
                assert!(!large || page.plugins.len() == 50);
            }
        })
        .await;
    }
    let asked = catalog.clone();
    let name = format!("the same, {CLIENTS} clients that pause {} ms between questions", PAUSE.as_millis());
    load_with_pauses(&name, postmasters, (CLIENTS, 200), PAUSE, move |n| {
        let catalog = asked.clone();
        async move {
            catalog.plugins(of(n), &three(n), Sort::HealthDown, None, 50).await.unwrap();
        }
    })
    .await;
    for (name, query, mode, rounds) in [
        ("search by words, by relevance", "swift pipe", SearchMode::Words, 300),
        ("search by words that nothing has: similar ones", "swift pipr", SearchMode::Similar, 20),
    ] {
        for (clients, most, asked) in [all[0].clone(), all[3].clone(), without.clone()] {
            load(&format!("{name}, {clients} clients, {most} at once"), postmasters, clients, rounds, move |n| {
                let catalog = asked.clone();
                async move {
                    let filter = PluginFilter { query: Some(query.to_owned()), ..Default::default() };
                    let page = catalog.plugins(of(n), &filter, Sort::Relevance, None, 50).await.unwrap();
                    assert!(!large || (page.plugins.len() == 50 && page.search == mode));
                }
            })
            .await;
        }
    }
    let asked = catalog.clone();
    let name = format!("search by words, {CLIENTS} clients that pause {} ms", PAUSE.as_millis());
    load_with_pauses(&name, postmasters, (CLIENTS, 200), PAUSE, move |n| {
        let catalog = asked.clone();
        async move {
            let filter = PluginFilter { query: Some("swift pipe".to_owned()), ..Default::default() };
            catalog.plugins(of(n), &filter, Sort::Relevance, None, 50).await.unwrap();
        }
    })
    .await;
    let asked = catalog.clone();
    load("facets of three filters", postmasters, CLIENTS, 40, move |n| {
        let catalog = asked.clone();
        async move {
            let facets = catalog.facets(of(n), &three(n)).await.unwrap();
            assert!(!large || facets.total > 50);
        }
    })
    .await;
    let asked = catalog.clone();
    load("facets of all plugins of a tenant", postmasters, CLIENTS, 20, move |n| {
        let catalog = asked.clone();
        async move {
            assert!(catalog.facets(of(n), &PluginFilter::default()).await.unwrap().total > 0);
        }
    })
    .await;
    let asked = catalog.clone();
    load("details of a plugin", postmasters, CLIENTS, 40, move |n| {
        let catalog = asked.clone();
        async move {
            let id = (n * 31 % plugins) as i64 + 1;
            catalog.plugin(Tenant((id - 1) % tenants as i64 + 1), id).await.unwrap();
        }
    })
    .await;
    // As the product serves it: what was asked before is remembered until its tenant's plugins change. Each was asked once.
    for n in 0..3 * tenants {
        remembering.plugins(of(n), &three(n), Sort::HealthDown, None, 50).await.unwrap();
    }
    let (writer, written) = (remembering.clone(), Arc::new(AtomicU64::new(0)));
    let (counted, before) = (written.clone(), remembering.cache_stats());
    let writing = tokio::spawn(async move {
        let mut often = tokio::time::interval(Duration::from_secs(1) / WRITES_PER_SECOND);
        loop {
            often.tick().await;
            let number = counted.fetch_add(1, Ordering::Relaxed);
            let id = (number * 7_919 % plugins) as i64 + 1;
            let change = PluginChange { description: Some(format!("Change {number}")), ..Default::default() };
            writer.plugin_change(Tenant((id - 1) % tenants as i64 + 1), "bench", id, &change).await.unwrap();
        }
    });
    let asked = remembering.clone();
    // With pauses: who only takes from memory would leave no processor for whoever writes.
    let pause = PAUSE / 5;
    let name = format!("3,000 questions as served, {WRITES_PER_SECOND} changes/s, pauses of {} ms", pause.as_millis());
    load_with_pauses(&name, postmasters, (CLIENTS, 2_000), pause, move |n| {
        let catalog = asked.clone();
        async move {
            let page = catalog.plugins(of(n), &three(n), Sort::HealthDown, None, 50).await.unwrap();
            assert!(!large || page.plugins.len() == 50);
        }
    })
    .await;
    writing.abort();
    let after = remembering.cache_stats();
    println!(
        "  of them {} answered from memory, {} by the database; {} changes written",
        after.hits - before.hits,
        after.misses - before.misses,
        written.load(Ordering::Relaxed)
    );
    let asked = remembering.clone();
    load("discovery, remembered answers", postmasters, CLIENTS, 200, move |n| {
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
    row("closure of 500 plugins, one client", &histogram, None);

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
    row("a read transaction, direct", &direct, None);
    row("a read transaction, routed", &routed, None);
    let mean = |histogram: &Histogram| histogram.snapshot().sum_seconds() / histogram.snapshot().count() as f64;
    println!("routed / direct, mean: {:.3}", mean(&routed) / mean(&direct));
    println!("{:?}", pools.snapshot().routing);
}
