//! Time series.
use crate::{
    Analytics, AnalyticsError, DAY_MS, HOUR_MS,
    error::said,
    floor,
    plan::{Known, Plan, Tier},
    rollup::{Kind, MINUTES_KEPT_MS},
};
use catalog::Tenant;
use domain::{
    Timestamp,
    view::{AnalyticsMeasure, AnalyticsPoint, AnalyticsSeries, Bucket},
};
use pool::{Reader, Work};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use std::collections::BTreeMap;

/// Buckets of one answer.
const MOST_POINTS: i64 = 3_000;
/// The longest range, in days.
const LONGEST_DAYS: i64 = 800;

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Events counted.
    Events,
    /// Distinct users.
    Users,
    /// Samples of the metric of this name.
    Metric(String),
}

/// Which events or samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesFilter {
    /// Only of this plugin.
    pub plugin: Option<i64>,
    /// Only of this type; not for metrics and users.
    pub event_type: Option<String>,
    /// Only from this country; not for metrics.
    pub country: Option<String>,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesQuestion {
    /// What.
    pub measure: Measure,
    /// Of which.
    pub filter: SeriesFilter,
    /// First moment, included.
    pub from: Timestamp,
    /// Last moment, excluded.
    pub to: Timestamp,
    /// Length of a bucket; `None` chooses one.
    pub bucket: Option<Bucket>,
}

/// Checks a range and gives it in milliseconds.
pub(crate) fn range(from: Timestamp, to: Timestamp) -> Result<(i64, i64), AnalyticsError> {
    if from >= to {
        return Err(AnalyticsError::invalid("to", "'to' must be after 'from'"));
    }
    if to.0 - from.0 > LONGEST_DAYS * DAY_MS {
        return Err(AnalyticsError::invalid("from", format!("a range has at most {LONGEST_DAYS} days")));
    }
    Ok((from.0, to.0))
}

/// What is not rolled up, and from when on there are rows.
pub(crate) async fn known(
    connection: &mut PgConnection,
    kind: Kind,
    from: i64,
    to: i64,
) -> Result<Known, AnalyticsError> {
    let row = sqlx::query("SELECT (SELECT CASE WHEN raw_from > '-infinity' THEN (extract(epoch FROM raw_from) * 1000)::int8 ELSE 0 END FROM analytics_state WHERE kind = $1), coalesce((SELECT array_agg(DISTINCT (extract(epoch FROM hour) * 1000)::int8) FROM analytics_dirty WHERE kind = $1 AND hour >= to_timestamp($2 / 1000.0) AND hour < to_timestamp($3 / 1000.0)), '{}')")
        .bind(kind.as_str())
        .bind(floor(from, DAY_MS))
        .bind(to)
        .fetch_one(connection)
        .await?;
    Ok(Known {
        raw_from: row.try_get::<Option<i64>, _>(0)?.unwrap_or_default(),
        dirty: row.try_get::<Vec<i64>, _>(1)?.into_iter().collect(),
        minutes_from: floor(crate::now().0 - MINUTES_KEPT_MS, HOUR_MS) + HOUR_MS,
    })
}

/// Where rows are gone, a range begins and ends at a whole hour: there is nothing finer.
pub(crate) const fn snap(from: i64, known: &Known) -> i64 {
    if from < known.raw_from { floor(from, HOUR_MS) } else { from }
}

/// Counted events of a plan, by tier: columns `at`, `plugin_id`, `event_type`, `country`, `n`. $1 is the tenant, $2 to $9
/// the pieces of raw, minute, hour and day. Every piece is a condition of an index.
pub(crate) fn events_of_plan() -> String {
    let piece = |from: u32| format!("unnest(${from}::int8[], ${}::int8[]) AS piece (f, t)", from + 1);
    let within =
        |time: &str| format!("{time} >= to_timestamp(piece.f / 1000.0) AND {time} < to_timestamp(piece.t / 1000.0)");
    let mut sql = format!(
        "SELECT r.\"timestamp\" AS at, r.plugin_id, r.event_type, coalesce(r.country::text, '') AS country, 1::int8 AS n FROM {} JOIN plugin_analytics r ON {} WHERE r.tenant_id = $1",
        piece(2),
        within("r.\"timestamp\"")
    );
    for (tier, from) in [("minute", 4), ("hour", 6), ("day", 8)] {
        sql += &format!(
            " UNION ALL SELECT r.bucket, r.plugin_id, r.event_type, r.country, r.events FROM {} JOIN analytics_events_{tier} r ON {} WHERE r.tenant_id = $1",
            piece(from),
            within("r.bucket")
        );
    }
    sql
}

/// Who used what on which day, days that are not rolled up from their rows: columns `day`, `user_id`, `plugin_id`,
/// `country`. $1 tenant, $2 first day's beginning, $3 the end, $4 and $5 the pieces of raw.
pub(crate) const USERS: &str = "SELECT day, user_id, plugin_id, country FROM analytics_user_days WHERE tenant_id = $1 AND day >= (to_timestamp($2::int8 / 1000.0) AT TIME ZONE 'UTC')::date AND day < (to_timestamp($3::int8 / 1000.0) AT TIME ZONE 'UTC')::date UNION SELECT (r.\"timestamp\" AT TIME ZONE 'UTC')::date, r.user_id, r.plugin_id, coalesce(r.country::text, '') FROM unnest($4::int8[], $5::int8[]) AS piece (f, t) JOIN plugin_analytics r ON r.\"timestamp\" >= to_timestamp(piece.f / 1000.0) AND r.\"timestamp\" < to_timestamp(piece.t / 1000.0) WHERE r.tenant_id = $1 AND r.user_id IS NOT NULL";

/// Hours that are not rolled up, as pieces.
pub(crate) fn dirty_pieces(known: &Known, from: i64, to: i64) -> (Vec<i64>, Vec<i64>) {
    let mut pieces: Vec<(i64, i64)> = Vec::new();
    for hour in known.dirty.range(from..to) {
        match pieces.last_mut() {
            Some(last) if last.1 == *hour => last.1 = hour + HOUR_MS,
            _ => pieces.push((*hour, hour + HOUR_MS)),
        }
    }
    pieces.into_iter().unzip()
}

impl Analytics {
    /// A time series, exact up to the moment of asking.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn series(&self, tenant: Tenant, question: &SeriesQuestion) -> Result<AnalyticsSeries, AnalyticsError> {
        let (from, to) = range(question.from, question.to)?;
        let users = question.measure == Measure::Users;
        let least = if users { Bucket::Day } else { Bucket::Minute };
        let bucket = question.bucket.unwrap_or_else(|| choose(to - from).max(least));
        if bucket < least {
            return Err(AnalyticsError::invalid("bucket", "users are counted by day, week or month"));
        }
        if users && question.filter.event_type.is_some() {
            return Err(AnalyticsError::invalid("event_type", "users are not kept by type of event; leave it out"));
        }
        if matches!(question.measure, Measure::Metric(_))
            && (question.filter.event_type.is_some() || question.filter.country.is_some())
        {
            return Err(AnalyticsError::invalid(
                "event_type",
                "a metric has neither type nor country; filter by plugin only",
            ));
        }
        if (to - from) / (bucket.seconds() * 1_000) > MOST_POINTS {
            return Err(AnalyticsError::invalid(
                "bucket",
                format!("that is more than {MOST_POINTS} buckets; choose a longer bucket or a shorter range"),
            ));
        }
        self.pools
            .read(&tenant.scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move { ask(reader.connection()?, tenant, question, bucket, from, to).await })
            })
            .await
            .map_err(said)
    }
}

fn choose(length: i64) -> Bucket {
    if length <= 10_800_000 {
        Bucket::Minute
    } else if length <= 604_800_000 {
        Bucket::Hour
    } else if length <= 10_368_000_000 {
        Bucket::Day
    } else {
        Bucket::Week
    }
}

async fn ask(
    connection: &mut PgConnection,
    tenant: Tenant,
    question: &SeriesQuestion,
    bucket: Bucket,
    from: i64,
    to: i64,
) -> Result<AnalyticsSeries, AnalyticsError> {
    let kind = if matches!(question.measure, Measure::Metric(_)) { Kind::Metrics } else { Kind::Events };
    let known = known(&mut *connection, kind, from, to).await?;
    let (from, to) = (snap(from, &known), snap(to, &known));
    let (from, to) = if question.measure == Measure::Users {
        (floor(from, DAY_MS), floor(to + DAY_MS - 1, DAY_MS))
    } else {
        (from, to)
    };
    let plan = Plan::make(from, to, bucket, &known);
    let (mut points, tiers) = match &question.measure {
        Measure::Events => (events(&mut *connection, tenant, question, bucket, &plan).await?, plan.tiers()),
        Measure::Metric(name) => (metric(&mut *connection, tenant, question, name, bucket, &plan).await?, plan.tiers()),
        Measure::Users => {
            let days = Plan::make(from, to, Bucket::Day, &known);
            (users(&mut *connection, tenant, question, bucket, (from, to), &known).await?, days.tiers())
        }
    };
    // Buckets without a row.
    let all: Vec<i64> = sqlx::query_scalar(
        "SELECT (extract(epoch FROM b) * 1000)::int8 FROM generate_series(date_trunc($1, to_timestamp($2 / 1000.0), 'UTC') AT TIME ZONE 'UTC', (to_timestamp($3 / 1000.0) - interval '1 microsecond') AT TIME ZONE 'UTC', ('1 ' || $1)::interval) AS s, LATERAL (SELECT s AT TIME ZONE 'UTC' AS b) AS b",
    )
    .bind(bucket.as_str())
    .bind(from)
    .bind(to)
    .fetch_all(connection)
    .await?;
    let points = all.into_iter().map(|at| points.remove(&at).unwrap_or_else(|| empty(at))).collect();
    let (measure, metric) = match &question.measure {
        Measure::Events => (AnalyticsMeasure::Events, None),
        Measure::Users => (AnalyticsMeasure::Users, None),
        Measure::Metric(name) => (AnalyticsMeasure::Metric, Some(name.clone())),
    };
    Ok(AnalyticsSeries { measure, metric, bucket, from: Timestamp(from), to: Timestamp(to), tiers, points })
}

const fn empty(at: i64) -> AnalyticsPoint {
    AnalyticsPoint { at: Timestamp(at), count: 0, sum: None, min: None, max: None, p50: None, p95: None, p99: None }
}

async fn events(
    connection: &mut PgConnection,
    tenant: Tenant,
    question: &SeriesQuestion,
    bucket: Bucket,
    plan: &Plan,
) -> Result<BTreeMap<i64, AnalyticsPoint>, AnalyticsError> {
    let sql = format!(
        "SELECT (extract(epoch FROM date_trunc($10, at, 'UTC')) * 1000)::int8, sum(n)::int8 FROM ({}) AS e WHERE ($11::int8 IS NULL OR plugin_id = $11) AND ($12::text IS NULL OR event_type = $12) AND ($13::text IS NULL OR country = $13) GROUP BY 1",
        events_of_plan()
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(tenant.0);
    for tier in Tier::ALL {
        let (from, to) = plan.of(tier);
        query = query.bind(from).bind(to);
    }
    let rows = query
        .bind(bucket.as_str())
        .bind(question.filter.plugin)
        .bind(&question.filter.event_type)
        .bind(&question.filter.country)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let at: i64 = row.try_get(0)?;
            Ok((at, AnalyticsPoint { count: row.try_get(1)?, ..empty(at) }))
        })
        .collect()
}

async fn users(
    connection: &mut PgConnection,
    tenant: Tenant,
    question: &SeriesQuestion,
    bucket: Bucket,
    (from, to): (i64, i64),
    known: &Known,
) -> Result<BTreeMap<i64, AnalyticsPoint>, AnalyticsError> {
    let sql = format!(
        "SELECT (extract(epoch FROM date_trunc($6, day::timestamp) AT TIME ZONE 'UTC') * 1000)::int8, count(DISTINCT user_id) FROM ({USERS}) AS u WHERE ($7::int8 IS NULL OR plugin_id = $7) AND ($8::text IS NULL OR country = $8) GROUP BY 1"
    );
    let (raw_from, raw_to) = dirty_pieces(known, from, to);
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(from)
        .bind(to)
        .bind(raw_from)
        .bind(raw_to)
        .bind(bucket.as_str())
        .bind(question.filter.plugin)
        .bind(&question.filter.country)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let at: i64 = row.try_get(0)?;
            Ok((at, AnalyticsPoint { count: row.try_get(1)?, ..empty(at) }))
        })
        .collect()
}

async fn metric(
    connection: &mut PgConnection,
    tenant: Tenant,
    question: &SeriesQuestion,
    name: &str,
    bucket: Bucket,
    plan: &Plan,
) -> Result<BTreeMap<i64, AnalyticsPoint>, AnalyticsError> {
    let piece = |from: u32| format!("unnest(${from}::int8[], ${}::int8[]) AS piece (f, t)", from + 1);
    let within =
        |time: &str| format!("{time} >= to_timestamp(piece.f / 1000.0) AND {time} < to_timestamp(piece.t / 1000.0)");
    let of = "r.tenant_id = $1 AND r.metric_name = $11 AND ($12::int8 IS NULL OR r.plugin_id = $12)";
    let mut rows_of = format!(
        "SELECT r.\"timestamp\" AS at, 1::int8 AS samples, r.value AS value_sum, r.value AS value_min, r.value AS value_max, ARRAY[analytics_bin(r.value)] AS bins, ARRAY[1::int8] AS bin_samples FROM {} JOIN plugin_metrics r ON {} WHERE {of} AND r.value > '-Infinity' AND r.value < 'Infinity'",
        piece(2),
        within("r.\"timestamp\"")
    );
    for (tier, from) in [("minute", 4), ("hour", 6), ("day", 8)] {
        rows_of += &format!(
            " UNION ALL SELECT r.bucket, r.samples, r.value_sum, r.value_min, r.value_max, r.bins, r.bin_samples FROM {} JOIN analytics_metrics_{tier} r ON {} WHERE {of}",
            piece(from),
            within("r.bucket")
        );
    }
    // The bins of a bucket are merged apart from its sums: a join over them would count each row once a bin.
    let sql = format!(
        "WITH m AS MATERIALIZED (SELECT date_trunc($10, at, 'UTC') AS b, samples, value_sum, value_min, value_max, bins, bin_samples FROM ({rows_of}) AS r), h AS (SELECT b, bin, sum(n)::int8 AS n FROM m CROSS JOIN LATERAL unnest(bins, bin_samples) AS u (bin, n) GROUP BY 1, 2), g AS (SELECT b, array_agg(bin ORDER BY bin) AS bins, array_agg(n ORDER BY bin) AS counts FROM h GROUP BY 1), a AS (SELECT b, sum(samples)::int8 AS samples, sum(value_sum) AS value_sum, min(value_min) AS value_min, max(value_max) AS value_max FROM m GROUP BY 1) SELECT (extract(epoch FROM b) * 1000)::int8, samples, value_sum, value_min, value_max, bins, counts FROM a JOIN g USING (b)"
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(tenant.0);
    for tier in Tier::ALL {
        let (from, to) = plan.of(tier);
        query = query.bind(from).bind(to);
    }
    let rows = query.bind(bucket.as_str()).bind(name).bind(question.filter.plugin).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let at: i64 = row.try_get(0)?;
            let (min, max): (f64, f64) = (row.try_get(3)?, row.try_get(4)?);
            let (bins, counts): (Vec<i16>, Vec<i64>) = (row.try_get(5)?, row.try_get(6)?);
            let quantile = |share: f64| quantile(&bins, &counts, share).map(|value| value.clamp(min, max));
            let point = AnalyticsPoint {
                at: Timestamp(at),
                count: row.try_get(1)?,
                sum: row.try_get(2)?,
                min: Some(min),
                max: Some(max),
                p50: quantile(0.5),
                p95: quantile(0.95),
                p99: quantile(0.99),
            };
            Ok((at, point))
        })
        .collect()
}

/// The middle of the bin in which the share is reached; `analytics_bin` of the schema is its counterpart.
fn quantile(bins: &[i16], counts: &[i64], share: f64) -> Option<f64> {
    let total: i64 = counts.iter().sum();
    let wanted = ((total as f64 * share).ceil() as i64).max(1);
    let mut seen = 0;
    for (bin, count) in bins.iter().zip(counts) {
        seen += count;
        if seen >= wanted {
            let power = f64::from(bin.abs()) - 430.0;
            let middle = 1.05_f64.powf(power) * (1.0 + 1.0 / 1.05) / 2.0;
            return Some(if *bin == 0 { 0.0 } else { middle.copysign(f64::from(*bin)) });
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// As the schema's function.
    fn bin(value: f64) -> i16 {
        if value.abs() < 1e-9 {
            return 0;
        }
        let power = (value.abs().ln() / 1.05_f64.ln()).ceil() + 430.0;
        power.min(16_000.0).copysign(value) as i16
    }

    #[test]
    fn a_quantile_is_within_its_bin() {
        let mut values = (1..=10_000).map(|n| f64::from(n).powf(1.7) / 100.0 - 20.0).collect::<Vec<_>>();
        values.sort_by(f64::total_cmp);
        let mut counted = BTreeMap::new();
        for value in &values {
            *counted.entry(bin(*value)).or_insert(0_i64) += 1;
        }
        let (bins, counts): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
        for share in [0.01, 0.5, 0.95, 0.99, 1.0] {
            let exact = values[((values.len() as f64 * share).ceil() as usize).max(1) - 1];
            let read = quantile(&bins, &counts, share).unwrap();
            assert!((read - exact).abs() <= exact.abs() * 0.0256, "{share}: {read} for {exact}");
        }
        assert_eq!(quantile(&[], &[], 0.5), None);
    }
}
