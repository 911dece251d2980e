//! Time series.
use crate::{
    Analytics, AnalyticsError, DAY_MS, HOUR_MS, buckets,
    counts::{Count, Dimension, counted},
    error::said,
    filter::{Only, SeriesFilter, bind_only},
    floor, metrics,
    plan::{Known, Plan},
    rollup::{HOURS_KEPT_DAYS, Kind, MINUTES_KEPT_MS},
    users::{Days, Sets, day_sizes, dirty_pieces},
    zone::Zone,
};
use catalog::Tenant;
use domain::{
    Timestamp,
    view::{AnalyticsMeasure, AnalyticsPoint, AnalyticsSeries, Bucket, RestoredSpan},
};
use pool::{Reader, Work};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use std::collections::{BTreeMap, HashMap};

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
    /// Whose hours, days, weeks and months: a name like `Europe/Berlin`. UTC without one; users are kept by days of UTC only.
    pub time_zone: Option<String>,
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
    let row = sqlx::query("SELECT (SELECT CASE WHEN raw_from > '-infinity' THEN (extract(epoch FROM raw_from) * 1000)::int8 ELSE 0 END FROM analytics_state WHERE kind = $1), coalesce((SELECT array_agg(DISTINCT (extract(epoch FROM hour) * 1000)::int8) FROM analytics_dirty WHERE kind = $1 AND hour >= to_timestamp($2 / 1000.0) AND hour < to_timestamp($3 / 1000.0)), '{}'), coalesce((SELECT array_agg((extract(epoch FROM begins) * 1000)::int8 ORDER BY begins, ends) FROM analytics_restored.spans WHERE kind = $1), '{}'), coalesce((SELECT array_agg((extract(epoch FROM ends) * 1000)::int8 ORDER BY begins, ends) FROM analytics_restored.spans WHERE kind = $1), '{}')")
        .bind(kind.as_str())
        .bind(floor(from, DAY_MS))
        .bind(to)
        .fetch_one(connection)
        .await?;
    let raw_from = row.try_get::<Option<i64>, _>(0)?.unwrap_or_default();
    let restored: (Vec<i64>, Vec<i64>) = (row.try_get(2)?, row.try_get(3)?);
    Ok(Known {
        raw_from,
        restored: united(restored.0.into_iter().zip(restored.1), raw_from),
        dirty: row.try_get::<Vec<i64>, _>(1)?.into_iter().collect(),
        minutes_from: floor(crate::now().0 - MINUTES_KEPT_MS, HOUR_MS) + HOUR_MS,
        hours_from: users_from().min(raw_from),
    })
}

/// From which day on it is kept who used what.
pub(crate) fn users_from() -> i64 {
    floor(crate::now().0 - HOURS_KEPT_DAYS * DAY_MS, DAY_MS)
}

/// Spans in order, those that touch as one, up to where there are rows anyway.
fn united(spans: impl Iterator<Item = (i64, i64)>, raw_from: i64) -> Vec<(i64, i64)> {
    let mut united: Vec<(i64, i64)> = Vec::new();
    for (from, to) in spans.map(|span| (span.0, span.1.min(raw_from))).filter(|span| span.0 < span.1) {
        match united.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => united.push((from, to)),
        }
    }
    united
}

/// Where rows are gone and were not brought back, a range begins and ends at a whole hour, or at a whole day where hours are gone
/// too: there is nothing finer.
pub(crate) fn snap(at: i64, known: &Known) -> i64 {
    let length = if at < known.hours_from { DAY_MS } else { HOUR_MS };
    let start = floor(at, length);
    if at < known.raw_from && !known.is_restored(start, (start + length).min(known.raw_from)) { start } else { at }
}

/// Where rows are gone and were not brought back, hours of UTC are the finest: minutes, and buckets of a zone that is half an hour
/// away, cannot be made of them. Where hours are gone too, days of UTC are the finest.
pub(crate) fn finer_than_hours(
    (from, to): (i64, i64),
    bucket: Bucket,
    known: &Known,
    zone: &Zone,
) -> Result<(), AnalyticsError> {
    let by_day = bucket >= Bucket::Day && zone.is_utc();
    if from < known.hours_from && !by_day && !known.is_restored(from, to.min(known.hours_from)) {
        let (field, what) =
            if bucket < Bucket::Day { ("bucket", "choose a longer bucket") } else { ("time_zone", "ask in UTC") };
        return Err(AnalyticsError::invalid(
            field,
            format!(
                "before {} only whole days of UTC are kept: {what}, ask for a later range, or bring the rows back by 'holdfast analytics restore'",
                Timestamp(known.hours_from)
            ),
        ));
    }
    let coarse = bucket > Bucket::Minute && zone.has_whole_hours();
    if coarse || from >= known.raw_from || known.is_restored(from, to.min(known.raw_from)) {
        return Ok(());
    }
    let (field, what) = if bucket == Bucket::Minute {
        ("bucket", "choose a longer bucket".to_owned())
    } else {
        (
            "time_zone",
            format!("ask in UTC or another zone that is whole hours away from it, which {} is not", zone.name),
        )
    };
    Err(AnalyticsError::invalid(
        field,
        format!(
            "before {} only whole hours of UTC are kept: {what}, ask for a later range, or bring the rows back by 'holdfast analytics restore'",
            Timestamp(known.raw_from)
        ),
    ))
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
        question.filter.check()?;
        let users = question.measure == Measure::Users;
        let least = if users { Bucket::Day } else { Bucket::Minute };
        let bucket = question.bucket.unwrap_or_else(|| choose(to - from).max(least));
        if bucket < least {
            return Err(AnalyticsError::invalid("bucket", "users are counted by day, week or month"));
        }
        if users && question.time_zone.as_deref().is_some_and(|zone| zone != "UTC") {
            return Err(AnalyticsError::invalid("time_zone", "users are kept by days of UTC; leave the time zone out"));
        }
        if users && question.filter.event_type.is_some() {
            return Err(AnalyticsError::invalid("event_type", "users are not kept by type of event; leave it out"));
        }
        if users && floor(from, DAY_MS) < users_from() {
            return Err(AnalyticsError::invalid(
                "from",
                format!("who used what is kept from {} on; ask for a later range", Timestamp(users_from())),
            ));
        }
        if matches!(question.measure, Measure::Metric(_))
            && (question.filter.event_type.is_some() || question.filter.country.is_some())
        {
            return Err(AnalyticsError::invalid(
                "event_type",
                "a metric has neither type nor country; filter by plugin or environment only",
            ));
        }
        if (to - from) / (bucket.seconds() * 1_000) > MOST_POINTS {
            return Err(AnalyticsError::invalid(
                "bucket",
                format!("that is more than {MOST_POINTS} buckets; choose a longer bucket or a shorter range"),
            ));
        }
        self.pools
            .read(&tenant.asking(), |reader: &mut Reader, _: Work<'_, '_>| {
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
    let zone = Zone::load(&mut *connection, question.time_zone.as_deref(), from, to).await?;
    let (from, to) = (snap(from, &known), snap(to, &known));
    if question.measure != Measure::Users {
        finer_than_hours((from, to), bucket, &known, &zone)?;
    }
    let (from, to) = if question.measure == Measure::Users {
        (floor(from, DAY_MS), floor(to + DAY_MS - 1, DAY_MS))
    } else {
        (from, to)
    };
    let plan = Plan::of_zone(from, to, bucket, &known, &zone);
    let (mut points, tiers) = match &question.measure {
        Measure::Events => {
            let count =
                Count { bucket: Some(bucket), by: Dimension::All, filter: &question.filter, zone: &zone, since: None };
            let mut points = BTreeMap::new();
            for one in counted(connection, tenant, &plan, &count).await? {
                points.entry(one.at).or_insert_with(|| empty(one.at)).count += one.events;
            }
            (points, plan.tiers())
        }
        Measure::Metric(name) => {
            let of = (name.as_str(), &question.filter);
            (metrics::points(connection, tenant, of, (bucket, &zone), &plan, &known).await?, plan.tiers())
        }
        Measure::Users => {
            let days = Plan::make(from, to, Bucket::Day, &known);
            (users(connection, tenant, question, bucket, (from, to), &known).await?, days.tiers())
        }
    };
    // Buckets without a row.
    let points =
        zone.starts(bucket, from, to).into_iter().map(|at| points.remove(&at).unwrap_or_else(|| empty(at))).collect();
    let (measure, metric) = match &question.measure {
        Measure::Events => (AnalyticsMeasure::Events, None),
        Measure::Users => (AnalyticsMeasure::Users, None),
        Measure::Metric(name) => (AnalyticsMeasure::Metric, Some(name.clone())),
    };
    Ok(AnalyticsSeries {
        measure,
        metric,
        bucket,
        time_zone: zone.name,
        from: Timestamp(from),
        to: Timestamp(to),
        tiers,
        restored: spans(&known, from, to),
        points,
    })
}

/// What of a range was brought back from the archive.
fn spans(known: &Known, from: i64, to: i64) -> Vec<RestoredSpan> {
    let within = known.restored.iter().map(|span| (span.0.max(from), span.1.min(to))).filter(|span| span.0 < span.1);
    within.map(|(from, to)| RestoredSpan { from: Timestamp(from), to: Timestamp(to) }).collect()
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
    let only = question.filter.of_users();
    let (dimension, key) = match only.as_slice() {
        [] => (Dimension::All, String::new()),
        [one @ (Only::Plugin(_) | Only::Country(_))] => (one.dimension(), one.value()),
        _ => return users_of_several(connection, tenant, &only, bucket, (from, to), known).await,
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
    let of = (dimension, Some(std::slice::from_ref(&key)), Days::Apart);
    let sets = Sets::load(connection, tenant, of, united, known).await?;
    counts.extend(sets.united(|day, _| buckets::start(bucket, day)).into_iter().map(|(at, users)| (at, users.count())));
    Ok(as_points(counts))
}

fn as_points(counts: BTreeMap<i64, i64>) -> BTreeMap<i64, AnalyticsPoint> {
    counts.into_iter().map(|(at, count)| (at, AnalyticsPoint { count, ..empty(at) })).collect()
}

/// There is no set of several conditions: it is counted from the days of users.
async fn users_of_several(
    connection: &mut PgConnection,
    tenant: Tenant,
    only: &[Only],
    bucket: Bucket,
    (from, to): (i64, i64),
    known: &Known,
) -> Result<BTreeMap<i64, AnalyticsPoint>, AnalyticsError> {
    let conditions = (7..).zip(only).map(|(n, one)| one.sql("r.country", n)).collect::<String>();
    let sql = format!(
        "SELECT (extract(epoch FROM date_trunc($6, day::timestamp) AT TIME ZONE 'UTC') * 1000)::int8, count(DISTINCT user_id) FROM ({USERS}) AS r WHERE true{conditions} GROUP BY 1"
    );
    let (raw_from, raw_to) = dirty_pieces(known, from, to);
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(from)
        .bind(to)
        .bind(raw_from)
        .bind(raw_to)
        .bind(bucket.as_str());
    let rows = bind_only(query, only).fetch_all(connection).await?;
    let counts =
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, AnalyticsError>>()?;
    Ok(as_points(counts))
}

/// Distinct users of whole days by one dimension, under conditions.
pub(crate) async fn users_by_under(
    connection: &mut PgConnection,
    tenant: Tenant,
    dimension: Dimension,
    only: &[Only],
    (from, to): (i64, i64),
    known: &Known,
) -> Result<HashMap<String, i64>, AnalyticsError> {
    let key = if dimension == Dimension::Plugin { "plugin_id::text" } else { "country" };
    let conditions = (6..).zip(only).map(|(n, one)| one.sql("r.country", n)).collect::<String>();
    let sql = format!("SELECT {key}, count(DISTINCT user_id) FROM ({USERS}) AS r WHERE true{conditions} GROUP BY 1");
    let (raw_from, raw_to) = dirty_pieces(known, from, to);
    let query = sqlx::query(AssertSqlSafe(sql)).bind(tenant.0).bind(from).bind(to).bind(raw_from).bind(raw_to);
    let rows = bind_only(query, only).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
