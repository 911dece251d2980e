use crate::world::{A, B, DAY, HOUR, World, at, event, metric, now, roll_up};
use analytics::{Analytics, Batch, Measure, SeriesFilter, SeriesQuestion, TopBy};
use domain::view::Bucket;
use proptest::prelude::*;
use sqlx::{Connection as _, Executor as _, PgConnection};

/// The roll-ups beside a count of the rows: how many lines differ, over all tiers.
/// Where rows are archived there is nothing to count; a value that is no number is counted by nobody.
pub const DIFFERENCES: &str = "
    WITH f AS (SELECT max(raw_from) AS since FROM analytics_state),
    e AS (SELECT tenant_id, \"timestamp\" AS at, plugin_id, event_type, coalesce(country::text, '') AS country, user_id FROM plugin_analytics, f WHERE \"timestamp\" >= since),
    m AS (SELECT plugin_metrics.* FROM plugin_metrics, f WHERE \"timestamp\" >= since AND value < 'Infinity'),
    naive AS (
        SELECT 'hour' AS tier, tenant_id, date_trunc('hour', at, 'UTC') AS bucket, plugin_id, event_type, country, count(*)::int8 AS n FROM e GROUP BY 1, 2, 3, 4, 5, 6
        UNION ALL SELECT 'day', tenant_id, date_trunc('day', at, 'UTC'), plugin_id, event_type, country, count(*) FROM e GROUP BY 1, 2, 3, 4, 5, 6
        UNION ALL SELECT 'minute', tenant_id, date_trunc('minute', at, 'UTC'), plugin_id, event_type, country, count(*) FROM e WHERE at >= date_trunc('hour', now()) - interval '46 hours' GROUP BY 1, 2, 3, 4, 5, 6),
    kept AS (
        SELECT 'hour' AS tier, tenant_id, bucket, plugin_id, event_type, country, events AS n FROM analytics_events_hour, f WHERE bucket >= since
        UNION ALL SELECT 'day', tenant_id, bucket, plugin_id, event_type, country, events FROM analytics_events_day, f WHERE bucket >= since
        UNION ALL SELECT 'minute', tenant_id, bucket, plugin_id, event_type, country, events FROM analytics_events_minute WHERE bucket >= date_trunc('hour', now()) - interval '46 hours'),
    naive_users AS (SELECT DISTINCT tenant_id, (at AT TIME ZONE 'UTC')::date AS day, user_id, plugin_id, country FROM e WHERE user_id IS NOT NULL),
    kept_users AS (SELECT tenant_id, day, user_id, plugin_id, country FROM analytics_user_days, f WHERE day::timestamp AT TIME ZONE 'UTC' >= since),
    naive_metrics AS (
        SELECT tier, tenant_id, date_trunc(tier, \"timestamp\", 'UTC') AS bucket, plugin_id, metric_name, count(*)::int8 AS n, round(sum(value)::numeric, 3) AS s, min(value) AS lo, max(value) AS hi
        FROM m, (VALUES ('hour'), ('day')) AS t (tier) GROUP BY 1, 2, 3, 4, 5),
    kept_metrics AS (
        SELECT 'hour' AS tier, tenant_id, bucket, plugin_id, metric_name, samples, round(value_sum::numeric, 3), value_min, value_max FROM analytics_metrics_hour, f WHERE bucket >= since
        UNION ALL SELECT 'day', tenant_id, bucket, plugin_id, metric_name, samples, round(value_sum::numeric, 3), value_min, value_max FROM analytics_metrics_day, f WHERE bucket >= since),
    naive_bins AS (SELECT tenant_id, date_trunc('day', \"timestamp\", 'UTC') AS bucket, plugin_id, metric_name, analytics_bin(value) AS bin, count(*)::int8 AS n FROM m GROUP BY 1, 2, 3, 4, 5),
    kept_bins AS (SELECT tenant_id, bucket, plugin_id, metric_name, bin, n FROM f, analytics_metrics_day, unnest(bins, bin_samples) AS u (bin, n) WHERE bucket >= since),
    naive_totals AS (
        SELECT 'hour' AS tier, tenant_id, 'all' AS dimension, date_trunc('hour', at, 'UTC') AS bucket, '' AS key, count(*)::int8 AS n FROM e GROUP BY 1, 2, 3, 4, 5
        UNION ALL SELECT 'day', tenant_id, dimension, date_trunc('day', at, 'UTC'), key, count(*) FROM e, LATERAL (VALUES ('all', ''), ('plugin', plugin_id::text), ('event_type', event_type), ('country', country)) AS x (dimension, key) GROUP BY 1, 2, 3, 4, 5),
    kept_totals AS (
        SELECT 'hour' AS tier, tenant_id, 'all' AS dimension, bucket, '' AS key, events AS n FROM analytics_events_hour_total, f WHERE bucket >= since
        UNION ALL SELECT 'day', tenant_id, dimension, bucket, key, events FROM analytics_events_day_total, f WHERE bucket >= since),
    naive_metric_totals AS (SELECT tenant_id, date_trunc('day', \"timestamp\", 'UTC') AS bucket, metric_name, count(*)::int8 AS n, round(sum(value)::numeric, 3) AS s, min(value) AS lo, max(value) AS hi FROM m GROUP BY 1, 2, 3),
    kept_metric_totals AS (SELECT tenant_id, bucket, metric_name, samples, round(value_sum::numeric, 3), value_min, value_max FROM analytics_metrics_day_total, f WHERE bucket >= since),
    naive_bin_totals AS (SELECT tenant_id, date_trunc('day', \"timestamp\", 'UTC') AS bucket, metric_name, analytics_bin(value) AS bin, count(*)::int8 AS n FROM m GROUP BY 1, 2, 3, 4),
    kept_bin_totals AS (SELECT tenant_id, bucket, metric_name, bin, n FROM f, analytics_metrics_day_total, unnest(bins, bin_samples) AS u (bin, n) WHERE bucket >= since),
    naive_known AS (SELECT tenant_id, user_id, min(day) AS first_day FROM analytics_user_days GROUP BY 1, 2),
    kept_known AS (SELECT tenant_id, user_id, first_day FROM analytics_users),
    naive_sets AS (SELECT DISTINCT tenant_id, dimension, day, key, user_id FROM naive_users, LATERAL (VALUES ('all', ''), ('plugin', plugin_id::text), ('country', country)) AS x (dimension, key)),
    kept_sets AS (SELECT s.tenant_id, s.dimension, s.day, s.key, u.user_id FROM f CROSS JOIN analytics_user_sets s CROSS JOIN LATERAL generate_series(1, octet_length(s.users), 4) AS i CROSS JOIN LATERAL (SELECT ('x' || encode(substring(s.users FROM i FOR 4), 'hex'))::bit(32)::int4 AS number) AS one LEFT JOIN analytics_users u ON u.tenant_id = s.tenant_id AND u.number = one.number WHERE s.day::timestamp AT TIME ZONE 'UTC' >= since)
    SELECT (SELECT count(*) FROM ((TABLE naive EXCEPT TABLE kept) UNION ALL (TABLE kept EXCEPT TABLE naive)) AS d)
        + (SELECT count(*) FROM ((TABLE naive_users EXCEPT TABLE kept_users) UNION ALL (TABLE kept_users EXCEPT TABLE naive_users)) AS d)
        + (SELECT count(*) FROM ((TABLE naive_metrics EXCEPT TABLE kept_metrics) UNION ALL (TABLE kept_metrics EXCEPT TABLE naive_metrics)) AS d)
        + (SELECT count(*) FROM ((TABLE naive_bins EXCEPT TABLE kept_bins) UNION ALL (TABLE kept_bins EXCEPT TABLE naive_bins)) AS d)
        + (SELECT count(*) FROM ((TABLE naive_totals EXCEPT TABLE kept_totals) UNION ALL (TABLE kept_totals EXCEPT TABLE naive_totals)) AS d)
        + (SELECT count(*) FROM ((TABLE naive_metric_totals EXCEPT TABLE kept_metric_totals) UNION ALL (TABLE kept_metric_totals EXCEPT TABLE naive_metric_totals)) AS d)
        + (SELECT count(*) FROM ((TABLE naive_bin_totals EXCEPT TABLE kept_bin_totals) UNION ALL (TABLE kept_bin_totals EXCEPT TABLE naive_bin_totals)) AS d)
        + (SELECT count(*) FROM ((TABLE naive_known EXCEPT TABLE kept_known) UNION ALL (TABLE kept_known EXCEPT TABLE naive_known)) AS d)
        + (SELECT count(*) FROM ((TABLE naive_sets EXCEPT TABLE kept_sets) UNION ALL (TABLE kept_sets EXCEPT TABLE naive_sets)) AS d)
        + (SELECT count(*) - count(DISTINCT number) FROM analytics_users)";

/// The sets beside the days of users, of all days, also those whose rows are archived.
pub const SETS_DIFFER: &str = "
    WITH naive AS (SELECT DISTINCT tenant_id, dimension, day, key, user_id FROM analytics_user_days, LATERAL (VALUES ('all', ''), ('plugin', plugin_id::text), ('country', country)) AS x (dimension, key)),
    kept AS (SELECT s.tenant_id, s.dimension, s.day, s.key, u.user_id FROM analytics_user_sets s CROSS JOIN LATERAL generate_series(1, octet_length(s.users), 4) AS i CROSS JOIN LATERAL (SELECT ('x' || encode(substring(s.users FROM i FOR 4), 'hex'))::bit(32)::int4 AS number) AS one LEFT JOIN analytics_users u ON u.tenant_id = s.tenant_id AND u.number = one.number)
    SELECT count(*) FROM ((TABLE naive EXCEPT TABLE kept) UNION ALL (TABLE kept EXCEPT TABLE naive)) AS d";

#[derive(Clone, Debug)]
enum Deed {
    /// Events by number (which is their id), so that numbers that come again are duplicates; hours back; metrics.
    Batch {
        tenant: bool,
        events: Vec<(u16, u16, u8, u8)>,
        metrics: Vec<(u16, u8, i16)>,
    },
    RollUp,
    /// A roll-up whose server process is killed in the middle.
    Killed,
    /// Rows that go.
    Delete(u8),
    /// Written past us, in a transaction that stays open over a roll-up.
    Open(u16),
    /// Two at once.
    Both,
}

fn deed() -> impl Strategy<Value = Deed> {
    let event = (0..300_u16, 0..1_500_u16, 0..3_u8, 0..5_u8);
    let metric = (0..1_500_u16, 0..3_u8, -50..5_000_i16);
    prop_oneof![
        6 => (any::<bool>(), prop::collection::vec(event, 0..40), prop::collection::vec(metric, 1..20)).prop_map(|(tenant, events, metrics)| Deed::Batch { tenant, events, metrics }),
        3 => Just(Deed::RollUp),
        1 => Just(Deed::Killed),
        1 => (0..5_u8).prop_map(Deed::Delete),
        1 => (0..1_500_u16).prop_map(Deed::Open),
        1 => Just(Deed::Both),
    ]
}

async fn act(world: &World, analytics: &Analytics, deed: &Deed, base: i64) {
    match deed {
        Deed::Batch { tenant, events, metrics } => {
            let (tenant, first) = if *tenant { (A, 1) } else { (B, 4) };
            let batch = Batch {
                key: None,
                events: events
                    .iter()
                    .map(|(id, hours, plugin, user)| {
                        let kind = ["view", "install"][usize::from(*id) % 2];
                        event(
                            &format!("e{id}"),
                            first + i64::from(*plugin),
                            kind,
                            &format!("u{user}"),
                            ["DE", "FR", "US"][usize::from(*user) % 3],
                            base - i64::from(*hours) * HOUR + i64::from(*id) * 7_001,
                        )
                    })
                    .collect(),
                metrics: metrics
                    .iter()
                    .map(|(hours, plugin, value)| {
                        metric(
                            first + i64::from(*plugin),
                            "cpu",
                            f64::from(*value),
                            base - i64::from(*hours) * HOUR + i64::from(*value).abs() * 100,
                        )
                    })
                    .collect(),
            };
            analytics.ingest(tenant, &batch).await.unwrap();
        }
        Deed::RollUp => {
            analytics.roll_up().await.unwrap();
        }
        Deed::Killed => {
            let rolling = tokio::spawn({
                let analytics = analytics.clone();
                async move { analytics.roll_up().await }
            });
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'idp_api' AND datname = current_database() AND state <> 'idle'").await;
            // Lost or not: what counts is what stands there afterwards.
            let _ = rolling.await.unwrap();
        }
        Deed::Delete(user) => {
            world.sql(&format!("DELETE FROM plugin_analytics WHERE user_id = 'u{user}' AND plugin_id IN (1, 4); UPDATE plugin_metrics SET value = value + 1 WHERE plugin_id = 2 AND value < {user}")).await;
        }
        Deed::Open(hours) => {
            let mut open = PgConnection::connect(&world.superuser_url).await.unwrap();
            open.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!("BEGIN; INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, user_id, \"timestamp\") SELECT 1, 1, 'view', 'open', now() - make_interval(hours => {hours})")))).await.unwrap();
            analytics.roll_up().await.unwrap();
            open.execute("COMMIT").await.unwrap();
        }
        Deed::Both => {
            let (one, other) = (analytics.clone(), world.analytics());
            let (one, other) = tokio::join!(one.roll_up(), other.roll_up());
            one.unwrap();
            other.unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 0, ..ProptestConfig::default() })]
    /// Late and duplicate events, killed and concurrent roll-ups, writers that commit late, rows that go.
    #[test]
    fn roll_ups_equal_a_recount(deeds in prop::collection::vec(deed(), 5..25)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let analytics = world.analytics();
            let base = now() - HOUR;
            for deed in &deeds {
                act(&world, &analytics, deed, base).await;
                // Before all is rolled up, answers are exact all the same.
                let counted = world.number("SELECT count(*) FROM plugin_analytics WHERE tenant_id = 1").await;
                let series = analytics.series(A, &SeriesQuestion { measure: Measure::Events, filter: SeriesFilter::default(), from: at(base - 64 * DAY), to: at(base + DAY), bucket: Some(Bucket::Day), time_zone: None }).await.unwrap();
                assert_eq!(series.points.iter().map(|it| it.count).sum::<i64>(), counted, "{deed:?} {:?}", series.tiers);
            }
            roll_up(&analytics).await;
            assert_eq!(world.number(DIFFERENCES).await, 0, "{deeds:?}");
            assert_eq!(world.number("SELECT count(*) FROM analytics_dirty").await, 0);
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_rows_whatever_the_bucket_and_the_range() {
    let world = World::new().await;
    let analytics = world.analytics();
    let base = now();
    world.sql("INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, user_id, country, \"timestamp\") SELECT n % 6 + 1, n % 6 / 3 + 1, (ARRAY['view', 'install'])[n % 2 + 1], 'u' || n % 37, (ARRAY['DE', 'FR', NULL])[n % 3 + 1], now() - n * interval '7 minutes' FROM generate_series(0, 12000) n;
        INSERT INTO plugin_metrics (plugin_id, metric_name, value, \"timestamp\") SELECT n % 6 + 1, 'cpu', n % 1000, now() - n * interval '7 minutes' FROM generate_series(0, 12000) n").await;
    roll_up(&analytics).await;
    world.sql("INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, user_id, country, \"timestamp\") SELECT 1, 1, 'view', 'late', 'DE', now() - n * interval '30 hours' FROM generate_series(0, 20) n").await;
    for (bucket, from, to) in [
        (Bucket::Day, base - 40 * DAY - 12_345, base),
        (Bucket::Hour, base - 30 * DAY, base - 777_777),
        (Bucket::Minute, base - 60 * HOUR, base - 30 * HOUR + 1),
        (Bucket::Week, base - 57 * DAY, base),
        (Bucket::Month, base - 55 * DAY, base + 1),
    ] {
        for filter in [
            SeriesFilter::default(),
            SeriesFilter {
                plugin: Some(1),
                event_type: Some("view".to_owned()),
                country: Some("DE".to_owned()),
                environment: None,
            },
        ] {
            let question = SeriesQuestion {
                measure: Measure::Events,
                filter: filter.clone(),
                from: at(from),
                to: at(to),
                bucket: Some(bucket),
                time_zone: None,
            };
            let series = analytics.series(A, &question).await.unwrap();
            let condition = if filter.plugin.is_some() {
                "AND plugin_id = 1 AND event_type = 'view' AND country = 'DE'"
            } else {
                ""
            };
            for point in series
                .points
                .iter()
                .filter(|it| it.count > 0)
                .chain(&series.points[..1])
                .chain(&series.points[series.points.len() - 1..])
            {
                let counted = world.number(&format!("SELECT count(*) FROM plugin_analytics WHERE tenant_id = 1 {condition} AND \"timestamp\" >= to_timestamp({from} / 1000.0) AND \"timestamp\" < to_timestamp({to} / 1000.0) AND date_trunc('{bucket}', \"timestamp\", 'UTC') = to_timestamp({} / 1000.0)", point.at.0)).await;
                assert_eq!(point.count, counted, "{bucket} {:?}", point.at);
                if bucket == Bucket::Minute {
                    break;
                }
            }
            let all = world.number(&format!("SELECT count(*) FROM plugin_analytics WHERE tenant_id = 1 {condition} AND \"timestamp\" >= to_timestamp({from} / 1000.0) AND \"timestamp\" < to_timestamp({to} / 1000.0)")).await;
            assert_eq!(series.points.iter().map(|it| it.count).sum::<i64>(), all, "{bucket} {:?}", series.tiers);
            let coarse = series.tiers.iter().any(|it| it.tier == if bucket >= Bucket::Day { "day" } else { "hour" });
            assert!(coarse || bucket == Bucket::Minute, "{bucket} {:?}", series.tiers);
        }
        let question = SeriesQuestion {
            measure: Measure::Metric("cpu".to_owned()),
            filter: SeriesFilter { plugin: Some(2), ..Default::default() },
            from: at(from),
            to: at(to),
            bucket: Some(bucket),
            time_zone: None,
        };
        let series = analytics.series(A, &question).await.unwrap();
        let sum = world.number(&format!("SELECT coalesce(sum(value), 0)::int8 FROM plugin_metrics WHERE plugin_id = 2 AND \"timestamp\" >= to_timestamp({from} / 1000.0) AND \"timestamp\" < to_timestamp({to} / 1000.0)")).await;
        assert_eq!(series.points.iter().filter_map(|it| it.sum).sum::<f64>(), sum as f64, "{bucket}");
    }
    let users = SeriesQuestion {
        measure: Measure::Users,
        filter: SeriesFilter::default(),
        from: at(base - 10 * DAY),
        to: at(base),
        bucket: Some(Bucket::Day),
        time_zone: None,
    };
    let users = analytics.series(A, &users).await.unwrap();
    for point in &users.points {
        let counted = world.number(&format!("SELECT count(DISTINCT user_id) FROM plugin_analytics WHERE tenant_id = 1 AND date_trunc('day', \"timestamp\", 'UTC') = to_timestamp({} / 1000.0)", point.at.0)).await;
        assert_eq!(point.count, counted, "{:?}", point.at);
    }
    // Lists, places, patterns.
    let top =
        analytics.top(A, TopBy::Plugins, &SeriesFilter::default(), (at(base - 30 * DAY), at(base)), 10).await.unwrap();
    assert_eq!(top.rows.len(), 3);
    assert_eq!(top.events, top.rows.iter().map(|it| it.events).sum::<i64>());
    assert_eq!(top.rows[0].label, "plugin-1");
    assert!(top.previous > 0 && top.rows[0].users > 10, "{top:?}");
    let geography = analytics.geography(A, &SeriesFilter::default(), (at(base - 30 * DAY), at(base))).await.unwrap();
    assert_eq!(geography.countries.iter().map(|it| it.events).sum::<i64>(), top.events);
    assert!(geography.countries.iter().any(|it| it.country.is_empty()), "not known is told");
    let patterns =
        analytics.usage_patterns(A, &SeriesFilter::default(), (at(base - 30 * DAY), at(base)), None).await.unwrap();
    assert_eq!(patterns.hours.len(), 168);
    let from = patterns.from.0;
    let counted = world.number(&format!("SELECT count(*) FROM plugin_analytics WHERE tenant_id = 1 AND \"timestamp\" >= to_timestamp({from} / 1000.0)")).await;
    assert_eq!(patterns.hours.iter().map(|it| it.events).sum::<i64>(), counted);
    for day in &patterns.active_users {
        for (span, told) in [(1, day.daily), (7, day.weekly), (30, day.monthly)] {
            let counted = world.number(&format!("SELECT count(DISTINCT user_id) FROM plugin_analytics WHERE tenant_id = 1 AND \"timestamp\" < to_timestamp({0} / 1000.0) + interval '1 day' AND \"timestamp\" >= to_timestamp({0} / 1000.0) - interval '{1} days'", day.day.0, span - 1)).await;
            assert_eq!(told, counted, "{span} days to {:?}", day.day);
        }
    }
    assert!(
        !patterns.cohorts.is_empty()
            && patterns.cohorts.iter().all(|it| it.seen[0] == it.users && it.seen.iter().all(|seen| *seen <= it.users)),
        "{:?}",
        patterns.cohorts
    );
    let pair = &patterns.co_use[0];
    let both = world.number(&format!("SELECT count(*) FROM (SELECT user_id FROM plugin_analytics WHERE \"timestamp\" >= to_timestamp({from} / 1000.0) AND plugin_id = {} INTERSECT SELECT user_id FROM plugin_analytics WHERE \"timestamp\" >= to_timestamp({from} / 1000.0) AND plugin_id = {}) AS b", pair.plugin_id, pair.with_id)).await;
    assert_eq!(pair.users, both);
}

/// A day is counted anew by way of its hours: were these gone, what is erased would take the rest of its day with it.
#[tokio::test(flavor = "multi_thread")]
async fn hours_stay_as_long_as_their_rows() {
    let world = World::new().await;
    let analytics = world.analytics();
    world.sql("INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, user_id, \"timestamp\") SELECT 1, 1, 'view', u, date_trunc('day', now(), 'UTC') - interval '420 days' + h * interval '1 hour' FROM (VALUES ('ada', 5), ('bob', 9)) AS v (u, h); INSERT INTO plugin_metrics (plugin_id, metric_name, value, \"timestamp\") VALUES (1, 'cpu', 1, now() - interval '420 days')").await;
    roll_up(&analytics).await;
    let hours = "SELECT (SELECT count(*) FROM analytics_events_hour) + (SELECT count(*) FROM analytics_events_hour_total) + (SELECT count(*) FROM analytics_metrics_hour)";
    assert_eq!(world.number(hours).await, 5);
    analytics.clear_out().await.unwrap();
    assert_eq!(world.number(hours).await, 5, "their rows are live");
    world.sql("DELETE FROM plugin_analytics WHERE user_id = 'ada'").await;
    roll_up(&analytics).await;
    let days = "SELECT sum(events)::int8 FROM analytics_events_day";
    assert_eq!(world.number(days).await, 1, "the other's event counts");
    // Archived, they go, and the days stay.
    world.sql("UPDATE analytics_state SET raw_from = date_trunc('month', now(), 'UTC')").await;
    analytics.clear_out().await.unwrap();
    assert_eq!((world.number(hours).await, world.number(days).await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_roll_up_shows_another_tenants_rows() {
    let world = World::new().await;
    let analytics = world.analytics();
    world.sql("INSERT INTO plugin_analytics (plugin_id, tenant_id, event_type, user_id, country, \"timestamp\") SELECT n % 6 + 1, n % 6 / 3 + 1, 'view', 'u', 'DE', now() - n * interval '1 minute' FROM generate_series(0, 300) n; INSERT INTO plugin_metrics (plugin_id, metric_name, value) SELECT n, 'cpu', 1 FROM generate_series(1, 6) n; INSERT INTO analytics_restored.plugin_analytics (plugin_id, tenant_id, event_type) VALUES (1, 1, 'x'), (4, 2, 'x'); INSERT INTO analytics_restored.plugin_metrics (plugin_id, tenant_id, metric_name, value) VALUES (1, 1, 'x', 1), (4, 2, 'x', 1); INSERT INTO analytics_batches VALUES (1, 'k', 'h', '{}'), (2, 'k', 'h', '{}')").await;
    roll_up(&analytics).await;
    let mut tenant = PgConnection::connect(&world.url).await.unwrap();
    tenant.execute("BEGIN; SET LOCAL ROLE holdfast_tenant; SET LOCAL holdfast.tenant_id = '1'").await.unwrap();
    for table in [
        "analytics_events_minute",
        "analytics_events_hour",
        "analytics_events_day",
        "analytics_metrics_minute",
        "analytics_metrics_hour",
        "analytics_metrics_day",
        "analytics_user_days",
        "analytics_events_hour_total",
        "analytics_events_day_total",
        "analytics_metrics_day_total",
        "analytics_users",
        "analytics_user_sets",
        "analytics_batches",
        "analytics_restored.plugin_analytics",
        "analytics_restored.plugin_metrics",
    ] {
        let all = world.number(&format!("SELECT count(DISTINCT tenant_id) FROM {table}")).await;
        let (seen, others): (i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT count(*), count(*) FILTER (WHERE tenant_id <> 1) FROM {table}"
        )))
        .fetch_one(&mut tenant)
        .await
        .unwrap();
        assert!(all == 2 && seen > 0 && others == 0, "{table}: {all} {seen} {others}");
        let forced = world.number(&format!("SELECT (relrowsecurity AND relforcerowsecurity)::int::int8 FROM pg_class WHERE oid = '{table}'::regclass")).await;
        assert_eq!(forced, 1, "{table}");
    }
    tenant.execute("ROLLBACK").await.unwrap();
    for table in ["analytics_archives", "analytics_erasures", "analytics_home"] {
        tenant.execute("BEGIN; SET LOCAL ROLE holdfast_tenant; SET LOCAL holdfast.tenant_id = '1'").await.unwrap();
        let refused = tenant.execute(sqlx::AssertSqlSafe(format!("SELECT * FROM {table}"))).await.is_err();
        assert!(refused, "{table}");
        tenant.execute("ROLLBACK").await.unwrap();
    }
    // The same question of both, and a plugin of the other.
    for (of, plugin) in [(A, 4), (B, 1)] {
        let question = SeriesQuestion {
            measure: Measure::Events,
            filter: SeriesFilter { plugin: Some(plugin), ..Default::default() },
            from: at(now() - DAY),
            to: at(now()),
            bucket: Some(Bucket::Hour),
            time_zone: None,
        };
        assert_eq!(analytics.series(of, &question).await.unwrap().points.iter().map(|it| it.count).sum::<i64>(), 0);
    }
}
