//! Measures ingest beside plain COPY, roll-ups, and 30-day questions on a server of its own; `script/bench analytics` runs
//! it. Arguments: metric rows (default 5,000,000), events (default 1,000,000), tenants (default 100).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use analytics::{Analytics, Batch, Measure, SeriesFilter, SeriesQuestion, TopBy};
use catalog::Tenant;
use domain::{Timestamp, view::Bucket};
use migration::{IdpMigrator, MigratorTrait as _};
use pool::{Histogram, PoolSettings, Pools};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::{
    fmt::Write as _,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const CLIENTS: i64 = 16;
const DAY: i64 = 86_400_000;
const BATCH: i64 = 10_000;

fn row(name: &str, histogram: &Histogram, processor_ms: f64) {
    let snapshot = histogram.snapshot();
    let at = |share| snapshot.quantile_ms(share).unwrap_or(f64::NAN);
    let each = processor_ms / snapshot.count() as f64;
    println!("{name:<58} {:>9} {:>9.2} {:>9.2} {:>9.2} {each:>9.2}", snapshot.count(), at(0.5), at(0.95), at(0.99));
}

/// Processor time so far of the server's processes and of ours, in milliseconds: it says what something costs, also on a
/// machine that does other things. Sessions that ended are in it.
fn processor_ms(postmaster: &str) -> f64 {
    let ticks = |text: &str, from: usize, fields: usize| {
        let rest = text.rsplit_once(')').map_or("", |it| it.1);
        rest.split(' ').skip(from).take(fields).filter_map(|it| it.parse::<f64>().ok()).sum::<f64>()
    };
    let stat = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let mut sum = ticks(&stat("self"), 12, 2) + ticks(&stat(postmaster), 12, 4);
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let text = stat(&entry.file_name().to_string_lossy());
        if text.rsplit_once(')').is_some_and(|it| it.1.split(' ').nth(2) == Some(postmaster)) {
            sum += ticks(&text, 12, 2);
        }
    }
    sum * 10.0
}

fn rate(name: &str, rows: i64, took: Duration, processor_ms: f64) -> f64 {
    let rate = rows as f64 / took.as_secs_f64();
    println!(
        "{name:<58} {rows:>9} rows {:>7.2} s {rate:>9.0} rows/s {:>8.2} s of processor",
        took.as_secs_f64(),
        processor_ms / 1_000.0
    );
    rate
}

#[tokio::main]
async fn main() {
    let argument = |n, default| std::env::args().nth(n).map_or(default, |text| text.parse::<i64>().expect("a number"));
    let (metrics, events, tenants) = (argument(1, 5_000_000), argument(2, 1_000_000), argument(3, 100));
    let settings = [test_support::PLATFORM_SETTINGS.as_slice(), &[("max_wal_size", "4GB"), ("fsync", "on")]].concat();
    let cluster = test_support::private_cluster(&settings).await;
    let url = cluster.server.url("postgres");
    let postmaster = cluster.server.postmaster_pid().unwrap_or_default().to_string();
    let mut options = sea_orm::ConnectOptions::new(url.clone());
    options.max_connections(1).sqlx_logging(false);
    let migrating = sea_orm::Database::connect(options).await.unwrap();
    IdpMigrator::up(&migrating, None).await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let analytics = Analytics::new(
        Pools::start(PoolSettings {
            min: 1,
            // A busy machine is slow to take connections; that is not what is measured.
            connect_timeout: Duration::from_secs(30),
            acquire_timeout: Duration::from_secs(60),
            work_timeout: Duration::from_secs(600),
            statement_timeout: Duration::from_secs(600),
            ..PoolSettings::new(url.clone(), None)
        })
        .unwrap(),
        90,
    );
    let begun = Instant::now();
    for sql in [
        format!("INSERT INTO tenants (slug, name) SELECT 't' || n, 'T' FROM generate_series(1, {tenants}) n"),
        format!(
            "INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT t, 'p-' || n, 'P', 'docs', 'o' FROM generate_series(1, {tenants}) t, generate_series(1, 20) n ORDER BY t, n"
        ),
        // Sixty days, in the order of time; twenty plugins of each tenant, a third of all events is the first tenant's. Each
        // user has a country and uses every plugin in every way.
        format!(
            "INSERT INTO plugin_metrics (tenant_id, plugin_id, metric_name, value, \"timestamp\") SELECT n % {tenants} + 1, (n % {tenants}) * 20 + n / {tenants} % 20 + 1, (ARRAY['cpu_usage', 'memory_usage', 'latency_ms'])[n / 7 % 3 + 1], n % 1000, now() - interval '60 days' * (1 - n::float8 / {metrics}) FROM generate_series(0::bigint, {metrics} - 1) n"
        ),
        format!(
            "INSERT INTO plugin_analytics (tenant_id, plugin_id, event_type, user_id, country, event_id, \"timestamp\") SELECT t, (t - 1) * 20 + (h & 1023) % 20 + 1, (ARRAY['view', 'install', 'invoke', 'configure'])[(h >> 10 & 3) + 1], 'user-' || n * 7919 % 5000, (ARRAY['DE', 'US', 'FR', 'GB', 'IN'])[n % 5 + 1], 'seed-' || n, now() - interval '60 days' * (1 - n::float8 / {events}) FROM generate_series(0::bigint, {events} - 1) n, LATERAL (SELECT CASE WHEN n % 3 = 0 THEN 1 ELSE n % {tenants} + 1 END AS t, hashint8(n) & 1048575 AS h) t"
        ),
        "VACUUM ANALYZE".to_owned(),
    ] {
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    }
    println!(
        "{metrics} metric rows and {events} events of {tenants} tenants over 60 days; made in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    let (begun, used) = (Instant::now(), processor_ms(&postmaster));
    loop {
        let done = analytics.roll_up().await.unwrap();
        if done.days == 0 {
            break;
        }
    }
    rate(
        "roll-up of everything, three tiers, totals, users",
        metrics + events,
        begun.elapsed(),
        processor_ms(&postmaster) - used,
    );
    connection.execute("VACUUM ANALYZE").await.unwrap();
    let sizes: (i64, i64, i64) = sqlx::query_as("SELECT coalesce(sum(pg_total_relation_size(c.oid)) FILTER (WHERE relname ~ '^plugin_(metrics|analytics)_'), 0)::int8 / 1048576, coalesce(sum(pg_total_relation_size(c.oid)) FILTER (WHERE relname ~ '^analytics_'), 0)::int8 / 1048576, (SELECT count(*) FROM analytics_metrics_hour) FROM pg_class c WHERE relkind = 'r'").fetch_one(&mut connection).await.unwrap();
    println!("rows with their indexes {} MiB, roll-ups {} MiB, of them {} hours of metrics", sizes.0, sizes.1, sizes.2);

    // Ingest, a batch at a time on one connection each way: the rows as they come, and the same with all that we do.
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    connection.execute("CREATE UNLOGGED TABLE nothing (n int); CREATE TABLE plain (LIKE plugin_analytics INCLUDING ALL); CREATE UNIQUE INDEX ON plain (tenant_id, event_id) WHERE event_id IS NOT NULL; CREATE TABLE bare (LIKE plugin_analytics)").await.unwrap();
    let batches = 20;
    let mut rates = Vec::new();
    for (name, table) in
        [("COPY into a table without any index", "bare"), ("COPY into a table with the same indexes", "plain")]
    {
        let statement = format!(
            "COPY {table} (plugin_id, tenant_id, event_type, user_id, country, properties, \"timestamp\", event_id) FROM STDIN"
        );
        let (begun, used) = (Instant::now(), processor_ms(&postmaster));
        for batch in 0..batches {
            let mut lines = String::new();
            for n in 0..BATCH {
                let at = Timestamp(now - n * 300).to_rfc3339();
                writeln!(lines, "{}\t1\tview\tuser-{}\tDE\t{{}}\t{at}\tc{batch}-{n}", n % 20 + 1, n % 500).unwrap();
            }
            let mut sink = connection.copy_in_raw(&statement).await.unwrap();
            sink.send(lines.as_bytes()).await.unwrap();
            sink.finish().await.unwrap();
        }
        rates.push(rate(name, batches * BATCH, begun.elapsed(), processor_ms(&postmaster) - used));
    }
    let made = (0..batches)
        .map(|batch| Batch {
            key: Some(format!("batch-{batch}")),
            events: (0..BATCH).map(|n| serde_json::json!({"id": format!("b{batch}-{n}"), "plugin_id": (n % 20 + 1).to_string(), "type": "view", "user": format!("user-{}", n % 500), "country": "DE", "at": Timestamp(now - n * 300)})).collect(),
            metrics: Vec::new(),
        })
        .collect::<Vec<_>>();
    let (begun, used) = (Instant::now(), processor_ms(&postmaster));
    for batch in &made {
        assert_eq!(analytics.ingest(Tenant(1), batch).await.unwrap().accepted, BATCH as u64);
    }
    rates.push(rate(
        "ingest: checked, once by id, of the tenant, marked",
        batches * BATCH,
        begun.elapsed(),
        processor_ms(&postmaster) - used,
    ));
    let (begun, used) = (Instant::now(), processor_ms(&postmaster));
    for batch in &made {
        let again = Batch { key: None, ..batch.clone() };
        assert_eq!(analytics.ingest(Tenant(1), &again).await.unwrap().duplicates, BATCH as u64);
    }
    rate(
        "ingest of the same again: all are duplicates",
        batches * BATCH,
        begun.elapsed(),
        processor_ms(&postmaster) - used,
    );
    println!("ingest / COPY with the same indexes: {:.2}", rates[2] / rates[1]);
    let (begun, used) = (Instant::now(), processor_ms(&postmaster));
    while analytics.roll_up().await.unwrap().days > 0 {}
    rate("roll-up of what came in", batches * BATCH, begun.elapsed(), processor_ms(&postmaster) - used);

    println!(
        "{:<58} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "30 days, one tenant each", "n", "p50 ms", "p95 ms", "p99 ms", "cpu ms"
    );
    let (from, to) = (Timestamp(now - 30 * DAY), Timestamp(now));
    let series = |measure: Measure, bucket: Bucket| SeriesQuestion {
        measure,
        filter: SeriesFilter::default(),
        from,
        to,
        bucket: Some(bucket),
        time_zone: None,
    };
    for (what, at_once) in (0..8).flat_map(|what| [(what, 1), (what, CLIENTS)]) {
        let histogram = std::sync::Arc::new(Histogram::default());
        let name = [
            "events by day",
            "events by hour",
            "metric with percentiles by day",
            "metric by hour, one plugin",
            "users by day",
            "top plugins, beside the 30 days before",
            "geography",
            "usage patterns",
        ][what];
        let clients = (0..at_once).map(|client| {
            let (analytics, histogram) = (analytics.clone(), histogram.clone());
            let one = series(Measure::Events, Bucket::Day);
            let two = series(Measure::Events, Bucket::Hour);
            let three = series(Measure::Metric("cpu_usage".to_owned()), Bucket::Day);
            let mut four = series(Measure::Metric("cpu_usage".to_owned()), Bucket::Hour);
            let five = series(Measure::Users, Bucket::Day);
            tokio::spawn(async move {
                // The first round is not measured: connections are made in it, and each prepares its statements.
                for round in 0..13 {
                    // Every fourth asks as the largest tenant.
                    let tenant = if round % 4 == 0 { 1 } else { (client * 13 + round * 7) % tenants + 1 };
                    four.filter.plugin = Some((tenant - 1) * 20 + 3);
                    let tenant = Tenant(tenant);
                    let begun = Instant::now();
                    match what {
                        0 => drop(analytics.series(tenant, &one).await.unwrap()),
                        1 => drop(analytics.series(tenant, &two).await.unwrap()),
                        2 => drop(analytics.series(tenant, &three).await.unwrap()),
                        3 => drop(analytics.series(tenant, &four).await.unwrap()),
                        4 => drop(analytics.series(tenant, &five).await.unwrap()),
                        5 => drop(
                            analytics
                                .top(tenant, TopBy::Plugins, &SeriesFilter::default(), (from, to), 10)
                                .await
                                .unwrap(),
                        ),
                        6 => drop(analytics.geography(tenant, &SeriesFilter::default(), (from, to)).await.unwrap()),
                        _ => drop(
                            analytics.usage_patterns(tenant, &SeriesFilter::default(), (from, to), None).await.unwrap(),
                        ),
                    }
                    if round > 0 {
                        histogram.record(begun.elapsed());
                    }
                }
            })
        });
        let used = processor_ms(&postmaster);
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        // The round that is not measured is in it: a thirteenth.
        let name = format!("{name}, {at_once} at once");
        row(&name, &histogram, (processor_ms(&postmaster) - used) * 12.0 / 13.0);
    }
}
