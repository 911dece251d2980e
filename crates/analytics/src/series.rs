//! Time series.
use crate::{
    Analytics, AnalyticsError, DAY_MS, HOUR_MS,
    buckets::{start, starts},
    counts::{Count, Dimension, counted},
    error::said,
    floor, metrics,
    plan::{Known, Plan},
    rollup::{Kind, MINUTES_KEPT_MS},
    users::{Sets, day_sizes, dirty_pieces},
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

/// Who used what on which day, days that are not rolled up from their rows: columns `day`, `user_id`, `plugin_id`,
/// `country`. $1 tenant, $2 first day's beginning, $3 the end, $4 and $5 the pieces of raw.
const USERS: &str = "SELECT day, user_id, plugin_id, country FROM analytics_user_days WHERE tenant_id = $1 AND day >= (to_timestamp($2::int8 / 1000.0) AT TIME ZONE 'UTC')::date AND day < (to_timestamp($3::int8 / 1000.0) AT TIME ZONE 'UTC')::date UNION SELECT (r.\"timestamp\" AT TIME ZONE 'UTC')::date, r.user_id, r.plugin_id, coalesce(r.country::text, '') FROM unnest($4::int8[], $5::int8[]) AS piece (f, t) JOIN plugin_analytics r ON r.\"timestamp\" >= to_timestamp(piece.f / 1000.0) AND r.\"timestamp\" < to_timestamp(piece.t / 1000.0) WHERE r.tenant_id = $1 AND r.user_id IS NOT NULL";

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
        Measure::Events => {
            let count = Count { bucket: Some(bucket), by: Dimension::All, filter: &question.filter };
            let mut points = BTreeMap::new();
            for one in counted(connection, tenant, &plan, &count).await? {
                points.entry(one.at).or_insert_with(|| empty(one.at)).count += one.events;
            }
            (points, plan.tiers())
        }
        Measure::Metric(name) => {
            let of = (name.as_str(), question.filter.plugin);
            (metrics::points(connection, tenant, of, bucket, &plan, &known).await?, plan.tiers())
        }
        Measure::Users => {
            let days = Plan::make(from, to, Bucket::Day, &known);
            (users(connection, tenant, question, bucket, (from, to), &known).await?, days.tiers())
        }
    };
    // Buckets without a row.
    let points =
        starts(bucket, from, to).into_iter().map(|at| points.remove(&at).unwrap_or_else(|| empty(at))).collect();
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

async fn users(
    connection: &mut PgConnection,
    tenant: Tenant,
    question: &SeriesQuestion,
    bucket: Bucket,
    (from, to): (i64, i64),
    known: &Known,
) -> Result<BTreeMap<i64, AnalyticsPoint>, AnalyticsError> {
    let (dimension, key) = match (&question.filter.plugin, &question.filter.country) {
        (None, None) => (Dimension::All, String::new()),
        (Some(plugin), None) => (Dimension::Plugin, plugin.to_string()),
        (None, Some(country)) => (Dimension::Country, country.clone()),
        (Some(plugin), Some(country)) => {
            return users_of_both(connection, tenant, (*plugin, country), bucket, (from, to), known).await;
        }
    };
    let mut counts = BTreeMap::new();
    // A day's users are the size of its set; several days, and what is not rolled up, must be united.
    let mut united = (from, to);
    if bucket == Bucket::Day {
        counts = day_sizes(&mut *connection, tenant, (dimension, &key), (from, to)).await?;
        let mut dirty = known.dirty.range(from..to);
        let (first, last) = (dirty.next().copied(), dirty.next_back().copied());
        let Some(first) = first else { return Ok(as_points(counts)) };
        united = (floor(first, DAY_MS), floor(last.unwrap_or(first), DAY_MS) + DAY_MS);
    }
    let sets = Sets::load(connection, tenant, (dimension, Some(&key)), united, known).await?;
    counts.extend(sets.united(|day, _| start(bucket, day)).into_iter().map(|(at, users)| (at, users.count())));
    Ok(as_points(counts))
}

fn as_points(counts: BTreeMap<i64, i64>) -> BTreeMap<i64, AnalyticsPoint> {
    counts.into_iter().map(|(at, count)| (at, AnalyticsPoint { count, ..empty(at) })).collect()
}

/// There is no set of both dimensions: it is counted from the days of users.
async fn users_of_both(
    connection: &mut PgConnection,
    tenant: Tenant,
    (plugin, country): (i64, &str),
    bucket: Bucket,
    (from, to): (i64, i64),
    known: &Known,
) -> Result<BTreeMap<i64, AnalyticsPoint>, AnalyticsError> {
    let sql = format!(
        "SELECT (extract(epoch FROM date_trunc($6, day::timestamp) AT TIME ZONE 'UTC') * 1000)::int8, count(DISTINCT user_id) FROM ({USERS}) AS u WHERE plugin_id = $7 AND country = $8 GROUP BY 1"
    );
    let (raw_from, raw_to) = dirty_pieces(known, from, to);
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(from)
        .bind(to)
        .bind(raw_from)
        .bind(raw_to)
        .bind(bucket.as_str())
        .bind(plugin)
        .bind(country)
        .fetch_all(connection)
        .await?;
    let counts =
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, AnalyticsError>>()?;
    Ok(as_points(counts))
}
