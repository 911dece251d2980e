//! Conditions and time zones beside a count of the rows by PostgreSQL.
use crate::world::{A, DAY, HOUR, World, at, event, metric, now, roll_up};
use analytics::{Analytics, AnalyticsError, Batch, Measure, SeriesFilter, SeriesQuestion, TopBy};
use domain::view::Bucket;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::collections::BTreeMap;

/// Rolled up but for what came last.
async fn filled() -> (World, Analytics, i64) {
    let world = World::new().await;
    world.sql("UPDATE plugins SET environment = 'staging' WHERE id = 2").await;
    let analytics = world.analytics();
    let now = now();
    let base = now - now % HOUR;
    let some = |n: i64, step: i64| -> Batch {
        let moment = |i: i64| base - (i * step * 7_919) % (60 * DAY) - i % 997;
        Batch {
            key: None,
            events: (0..n)
                .map(|i| {
                    let (kind, country) = (["view", "install"][i as usize % 2], ["DE", "FR", "US"][i as usize % 3]);
                    event(&format!("{step}-{i}"), i % 3 + 1, kind, &format!("u{}", i % 7), country, moment(i))
                })
                .collect(),
            metrics: (0..n).map(|i| metric(i % 3 + 1, "cpu", i as f64, moment(i))).collect(),
        }
    };
    analytics.ingest(A, &some(900, 100_003)).await.unwrap();
    roll_up(&analytics).await;
    analytics.ingest(A, &some(60, 300_007)).await.unwrap();
    (world, analytics, base)
}

async fn rows<T>(world: &World, sql: String) -> Vec<T>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    let mut connection = PgConnection::connect(&world.superuser_url).await.unwrap();
    sqlx::query_as(AssertSqlSafe(sql.clone()))
        .fetch_all(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn filters() -> Vec<(SeriesFilter, &'static str)> {
    let none = SeriesFilter::default;
    vec![
        (none(), "true"),
        (SeriesFilter { plugin: Some(1), ..none() }, "plugin_id = 1"),
        (SeriesFilter { environment: Some("staging".to_owned()), ..none() }, "plugin_id = 2"),
        (SeriesFilter { environment: Some("production".to_owned()), plugin: Some(2), ..none() }, "false"),
        (SeriesFilter { country: Some("FR".to_owned()), ..none() }, "country = 'FR'"),
        (SeriesFilter { event_type: Some("install".to_owned()), ..none() }, "event_type = 'install'"),
        (
            SeriesFilter {
                environment: Some("production".to_owned()),
                country: Some("DE".to_owned()),
                event_type: Some("view".to_owned()),
                plugin: None,
            },
            "plugin_id IN (1, 3) AND country = 'DE' AND event_type = 'view'",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_of_any_zone_and_condition_are_exact() {
    let (world, analytics, base) = filled().await;
    let mut tiers = BTreeMap::<String, i64>::new();
    // Two of them change their clocks within most ranges of 60 days of the year; the last two are not whole hours away.
    for zone in ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/St_Johns", "Asia/Kathmandu"] {
        for (bucket, days) in [(Bucket::Hour, 5), (Bucket::Day, 50), (Bucket::Week, 60), (Bucket::Month, 60)] {
            for (filter, condition) in filters() {
                let (from, to) = (base - days * DAY - 7 * HOUR / 3, base - HOUR / 2);
                let question = SeriesQuestion {
                    measure: Measure::Events,
                    filter,
                    from: at(from),
                    to: at(to),
                    bucket: Some(bucket),
                    time_zone: Some(zone.to_owned()),
                };
                let series = analytics.series(A, &question).await.unwrap();
                let counted = series.points.iter().filter(|it| it.count > 0).map(|it| (it.at.0, it.count));
                let naive: Vec<(i64, i64)> = rows(&world, format!("SELECT (extract(epoch FROM date_trunc('{bucket}', \"timestamp\", '{zone}')) * 1000)::int8, count(*) FROM plugin_analytics WHERE tenant_id = 1 AND \"timestamp\" >= to_timestamp({from} / 1000.0) AND \"timestamp\" < to_timestamp({to} / 1000.0) AND {condition} GROUP BY 1 ORDER BY 1")).await;
                assert_eq!(counted.collect::<Vec<_>>(), naive, "{question:?}");
                assert!(series.points.windows(2).all(|pair| pair[0].at < pair[1].at) && series.time_zone == zone);
                for tier in series.tiers {
                    *tiers.entry(format!("{} {} {}", zone == "UTC", bucket, tier.tier)).or_default() += tier.seconds;
                }
            }
        }
        let question = SeriesQuestion {
            measure: Measure::Metric("cpu".to_owned()),
            filter: SeriesFilter { environment: Some("production".to_owned()), ..SeriesFilter::default() },
            from: at(base - 40 * DAY),
            to: at(base),
            bucket: Some(Bucket::Day),
            time_zone: Some(zone.to_owned()),
        };
        let series = analytics.series(A, &question).await.unwrap();
        let points = series.points.iter().filter(|it| it.count > 0);
        let points = points.map(|it| (it.at.0, it.count, it.sum.unwrap_or_default().round() as i64));
        let naive: Vec<(i64, i64, i64)> = rows(&world, format!("SELECT (extract(epoch FROM date_trunc('day', \"timestamp\", '{zone}')) * 1000)::int8, count(*), round(sum(value))::int8 FROM plugin_metrics WHERE plugin_id IN (1, 3) AND \"timestamp\" >= to_timestamp({} / 1000.0) AND \"timestamp\" < to_timestamp({base} / 1000.0) GROUP BY 1 ORDER BY 1", base - 40 * DAY)).await;
        assert_eq!(points.collect::<Vec<_>>(), naive, "{zone}");
    }
    // Days of UTC are read by day; those of a zone by hour, weeks of it by day where a day lies within.
    assert!(tiers["true day day"] > 0 && !tiers.contains_key("false day day"), "{tiers:?}");
    assert!(tiers["false day hour"] > 0 && tiers["false week day"] > 0 && tiers["false hour raw"] > 0, "{tiers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_users_and_hours_keep_to_the_conditions() {
    let (world, analytics, base) = filled().await;
    // Whole days: users are kept by them.
    let (from, to) = (base - base % DAY - 20 * DAY, base - base % DAY);
    let within = format!(
        "tenant_id = 1 AND \"timestamp\" >= to_timestamp({from} / 1000.0) AND \"timestamp\" < to_timestamp({to} / 1000.0)"
    );
    for (filter, condition) in filters() {
        let span = (at(from), at(to));
        let users = condition.replace(" AND event_type = 'view'", "").replace("event_type = 'install'", "true");
        for (by, column) in [(TopBy::Plugins, "plugin_id::text"), (TopBy::Countries, "country::text")] {
            let naive: Vec<(String, i64, i64)> = rows(&world, format!("SELECT {column}, count(*) FILTER (WHERE {condition}), count(DISTINCT user_id) FROM plugin_analytics WHERE {within} AND {users} GROUP BY 1 HAVING count(*) FILTER (WHERE {condition}) > 0 ORDER BY 2 DESC, 1")).await;
            let earlier: Vec<(String, i64)> = rows(&world, format!("SELECT coalesce({column}, ''), count(*) FROM plugin_analytics WHERE tenant_id = 1 AND \"timestamp\" >= to_timestamp({} / 1000.0) AND \"timestamp\" < to_timestamp({from} / 1000.0) AND {condition} GROUP BY 1", from - (to - from))).await;
            // All, and the first two: each has its own users, although those of the others are not read.
            for limit in [100, 2] {
                let top = analytics.top(A, by, &filter, span, limit).await.unwrap();
                let told = top.rows.iter().map(|it| (it.key.clone(), it.events, it.users)).collect::<Vec<_>>();
                assert_eq!(told, naive[..limit.min(naive.len())], "{filter:?} {column}, {limit} of them");
                assert_eq!(top.previous, earlier.iter().map(|it| it.1).sum::<i64>(), "{filter:?} {column}");
                for row in &top.rows {
                    let before = earlier.iter().find(|it| it.0 == row.key).map_or(0, |it| it.1);
                    assert_eq!(row.previous, before, "{filter:?} {column} {}", row.key);
                }
            }
        }
        let geography = analytics.geography(A, &filter, span).await.unwrap();
        let events: Vec<(i64,)> =
            rows(&world, format!("SELECT count(*) FROM plugin_analytics WHERE {within} AND {condition}")).await;
        assert_eq!(geography.countries.iter().map(|it| it.events).sum::<i64>(), events[0].0, "{filter:?}");
        for zone in ["UTC", "Asia/Kolkata"] {
            let patterns = analytics.usage_patterns(A, &filter, span, Some(zone)).await.unwrap();
            let told = patterns.hours.iter().filter(|it| it.events > 0);
            let mut told = told.map(|it| (i64::from(it.weekday), i64::from(it.hour), it.events)).collect::<Vec<_>>();
            told.sort_unstable();
            let naive: Vec<(i64, i64, i64)> = rows(&world, format!("SELECT extract(isodow FROM \"timestamp\" AT TIME ZONE '{zone}')::int8, extract(hour FROM \"timestamp\" AT TIME ZONE '{zone}')::int8, count(*) FROM plugin_analytics WHERE {within} AND {condition} GROUP BY 1, 2 ORDER BY 1, 2")).await;
            assert_eq!(told, naive, "{filter:?} {zone}");
            let daily = patterns.active_users.iter().map(|it| (it.day.0, it.daily)).filter(|it| it.1 > 0);
            let naive: Vec<(i64, i64)> = rows(&world, format!("SELECT (extract(epoch FROM date_trunc('day', \"timestamp\", 'UTC')) * 1000)::int8, count(DISTINCT user_id) FROM plugin_analytics WHERE {within} AND {users} GROUP BY 1 ORDER BY 1")).await;
            assert_eq!(daily.collect::<Vec<_>>(), naive, "{filter:?}");
        }
        if filter.event_type.is_none() {
            let question = SeriesQuestion {
                measure: Measure::Users,
                filter: filter.clone(),
                from: at(from),
                to: at(to),
                bucket: Some(Bucket::Week),
                time_zone: None,
            };
            let series = analytics.series(A, &question).await.unwrap();
            let counted = series.points.iter().filter(|it| it.count > 0).map(|it| (it.at.0, it.count));
            let naive: Vec<(i64, i64)> = rows(&world, format!("SELECT (extract(epoch FROM date_trunc('week', \"timestamp\", 'UTC')) * 1000)::int8, count(DISTINCT user_id) FROM plugin_analytics WHERE {within} AND {condition} GROUP BY 1 ORDER BY 1")).await;
            assert_eq!(counted.collect::<Vec<_>>(), naive, "{filter:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_exactly_is_refused_by_field() {
    let (world, analytics, base) = filled().await;
    let question = |bucket: Bucket, zone: &str| SeriesQuestion {
        measure: Measure::Events,
        filter: SeriesFilter::default(),
        from: at(base - 30 * DAY),
        to: at(base - 29 * DAY),
        bucket: Some(bucket),
        time_zone: Some(zone.to_owned()),
    };
    let refused = async |question: &SeriesQuestion| match analytics.series(A, question).await {
        Err(AnalyticsError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&question(Bucket::Day, "Nowhere/Land")).await, "time_zone");
    assert_eq!(refused(&question(Bucket::Day, "'; SELECT 1")).await, "time_zone");
    let users = SeriesQuestion { measure: Measure::Users, ..question(Bucket::Day, "Europe/Berlin") };
    assert_eq!(refused(&users).await, "time_zone");
    let filter = SeriesFilter { environment: Some("moon".to_owned()), ..SeriesFilter::default() };
    assert_eq!(refused(&SeriesQuestion { filter, ..question(Bucket::Day, "UTC") }).await, "environment");
    // Where rows are gone only hours of UTC are left.
    world.sql(&format!("UPDATE analytics_state SET raw_from = to_timestamp({} / 1000.0)", base - 10 * DAY)).await;
    assert_eq!(refused(&question(Bucket::Hour, "Asia/Kolkata")).await, "time_zone");
    assert_eq!(refused(&question(Bucket::Minute, "UTC")).await, "bucket");
    assert_eq!(analytics.series(A, &question(Bucket::Hour, "Europe/Berlin")).await.unwrap().points.len(), 24);
    // Where hours are gone too only days of UTC are left, and nobody knows who came.
    let old = |bucket: Bucket, zone: &str| SeriesQuestion {
        from: at(base - 500 * DAY + HOUR / 2),
        to: at(base - 499 * DAY + HOUR / 2),
        ..question(bucket, zone)
    };
    assert_eq!(refused(&old(Bucket::Hour, "UTC")).await, "bucket");
    assert_eq!(refused(&old(Bucket::Day, "Europe/Berlin")).await, "time_zone");
    assert_eq!(refused(&SeriesQuestion { measure: Measure::Users, ..old(Bucket::Day, "UTC") }).await, "from");
    let days = analytics.series(A, &old(Bucket::Day, "UTC")).await.unwrap();
    assert_eq!((days.from.0 % DAY, days.to.0 % DAY, days.points.len()), (0, 0, 1), "{days:?}");
    let none = SeriesFilter::default();
    let patterns = async |to: i64| analytics.usage_patterns(A, &none, (at(base - 500 * DAY), at(to)), None).await;
    match patterns(base - 450 * DAY).await {
        Err(AnalyticsError::Invalid { field, .. }) => assert_eq!(field, "to"),
        other => panic!("{other:?}"),
    }
    let kept = patterns(base).await.unwrap();
    assert!(kept.from.0 > base - 402 * DAY && kept.from.0 % DAY == 0, "{}", kept.from);
    assert_eq!(kept.active_users.first().map(|it| it.day), Some(kept.from));
}

/// Of a tenant with many plugins a question about one goes through that one's entries, not through all of them in the time.
#[tokio::test(flavor = "multi_thread")]
async fn one_plugin_of_many_is_read_by_its_own_index() {
    let world = World::new().await;
    // A new platform has hours to look at: what stands in the tiers counts after that.
    let analytics = world.analytics();
    roll_up(&analytics).await;
    let (until, hours) = (now() / HOUR * HOUR, 240);
    let bucket = format!("to_timestamp(({until} - h * {HOUR}) / 1000.0)");
    let many = format!("generate_series(1, 300) p CROSS JOIN generate_series(1, {hours}) h");
    world.sql(&format!("INSERT INTO analytics_metrics_hour (tenant_id, metric_name, bucket, plugin_id, samples, value_sum, value_min, value_max, bins, bin_samples) SELECT 1, 'cpu', {bucket}, p, 1, p, p, p, ARRAY[analytics_bin(p)], ARRAY[1] FROM {many}")).await;
    world.sql(&format!("INSERT INTO analytics_events_hour (tenant_id, bucket, plugin_id, event_type, events) SELECT 1, {bucket}, p, 'view', p FROM {many}")).await;
    world.sql("VACUUM ANALYZE analytics_metrics_hour, analytics_events_hour").await;
    for measure in [Measure::Metric("cpu".to_owned()), Measure::Events] {
        let question = SeriesQuestion {
            measure,
            filter: SeriesFilter { plugin: Some(2), ..SeriesFilter::default() },
            from: at(until - hours * HOUR),
            to: at(until),
            bucket: Some(Bucket::Hour),
            time_zone: None,
        };
        let series = analytics.series(A, &question).await.unwrap();
        assert_eq!(series.points.len() as i64, hours);
        let each = if question.measure == Measure::Events { 2 } else { 1 };
        assert!(
            series.points.iter().all(|it| it.count == each),
            "{:?} {:?} {:?}",
            question.measure,
            series.tiers,
            series.points.len()
        );
        assert!(series.points.iter().all(|it| it.sum.is_none_or(|sum| sum == 2.0)));
    }
    // Sessions tell what they used when they end.
    drop(analytics);
    let scans = async |index: &str| {
        world
            .number(&format!(
                "SELECT coalesce(sum(idx_scan), 0)::int8 FROM pg_stat_user_indexes WHERE indexrelname = '{index}'"
            ))
            .await
    };
    for table in ["analytics_metrics_hour", "analytics_events_hour"] {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while scans(&format!("idx_{table}_plugin")).await == 0 {
            let keyed = scans(&format!("{table}_pkey")).await;
            assert!(
                std::time::Instant::now() < until,
                "{table}: its index by plugin was not used, its key {keyed} times"
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(scans(&format!("{table}_pkey")).await, 0, "{table}");
    }
}
