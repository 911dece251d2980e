//! When and how plugins are used: hours of the week, active users, cohorts that come again, plugins used together.
use crate::{
    Analytics, AnalyticsError, DAY_MS,
    error::said,
    floor,
    plan::{Plan, Tier},
    rollup::Kind,
    series::{USERS, dirty_pieces, events_of_plan, known, range, snap},
    top::plugin_names,
};
use catalog::Tenant;
use domain::{
    Timestamp,
    view::{ActiveUsers, Bucket, CoUse, Cohort, HourOfWeek, UsagePatterns},
};
use pool::{Reader, Work};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use std::collections::HashMap;

/// Plugins among which pairs are looked for: those with most users.
const CO_USE_PLUGINS: i64 = 25;
/// Pairs told.
const CO_USE_PAIRS: i64 = 12;
/// Days before the first whose users count into its month.
const LOOK_BACK_DAYS: i64 = 29;
/// Weeks of cohorts.
const COHORT_WEEKS: i64 = 12;

impl Analytics {
    /// Patterns of use in a range, which is taken by whole days.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn usage_patterns(
        &self,
        tenant: Tenant,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<UsagePatterns, AnalyticsError> {
        let (from, to) = range(from, to)?;
        let (from, to) = (floor(from, DAY_MS), floor(to + DAY_MS - 1, DAY_MS));
        self.pools
            .read(&tenant.scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move { patterns(reader.connection()?, tenant, from, to).await })
            })
            .await
            .map_err(said)
    }
}

async fn patterns(
    connection: &mut PgConnection,
    tenant: Tenant,
    from: i64,
    to: i64,
) -> Result<UsagePatterns, AnalyticsError> {
    // Cohorts look further back than the range: who was seen before is not new.
    let week = 7 * DAY_MS;
    let earliest = (from - LOOK_BACK_DAYS * DAY_MS).min(to - (COHORT_WEEKS + 1) * week);
    let known = known(&mut *connection, Kind::Events, earliest, to).await?;
    let from = snap(from, &known);
    let hours = hours(&mut *connection, tenant, &Plan::make(from, to, Bucket::Hour, &known)).await?;
    let raw = |begin: i64| dirty_pieces(&known, begin, to);

    let begin = from - LOOK_BACK_DAYS * DAY_MS;
    // A user counts from a day on for 1, 7 or 30 days, or until the day on which they come again: so nobody is counted
    // twice, and one pass over users and days is enough.
    let first = "(to_timestamp($6::int8 / 1000.0) AT TIME ZONE 'UTC')::date";
    let end = "(to_timestamp($3::int8 / 1000.0) AT TIME ZONE 'UTC')::date";
    let sql = format!(
        "WITH u AS MATERIALIZED (SELECT DISTINCT day, user_id FROM ({USERS}) AS u), n AS MATERIALIZED (SELECT day, lead(day) OVER (PARTITION BY user_id ORDER BY day) AS again FROM u), d AS (SELECT day, 1 AS daily, 1 AS weekly, 1 AS monthly FROM n UNION ALL SELECT day + 1, -1, 0, 0 FROM n UNION ALL SELECT least(again, day + 7), 0, -1, 0 FROM n UNION ALL SELECT least(again, day + 30), 0, 0, -1 FROM n UNION ALL SELECT g::date, 0, 0, 0 FROM generate_series({first}::timestamp, {end}::timestamp, interval '1 day') AS g), s AS (SELECT day, sum(sum(daily)) OVER (ORDER BY day) AS daily, sum(sum(weekly)) OVER (ORDER BY day) AS weekly, sum(sum(monthly)) OVER (ORDER BY day) AS monthly FROM d GROUP BY day) SELECT (extract(epoch FROM day::timestamp AT TIME ZONE 'UTC') * 1000)::int8, daily::int8, weekly::int8, monthly::int8 FROM s WHERE day >= {first} AND day < {end} ORDER BY 1"
    );
    let pieces = raw(begin);
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(begin)
        .bind(to)
        .bind(pieces.0)
        .bind(pieces.1)
        .bind(from)
        .fetch_all(&mut *connection)
        .await?;
    let active_users = rows
        .iter()
        .map(|row| {
            Ok(ActiveUsers {
                day: Timestamp(row.try_get(0)?),
                daily: row.try_get(1)?,
                weekly: row.try_get(2)?,
                monthly: row.try_get(3)?,
            })
        })
        .collect::<Result<_, AnalyticsError>>()?;
    let cohorts = cohorts(&mut *connection, tenant, earliest, to, raw(earliest)).await?;
    let co_use = co_use(connection, tenant, from, to, raw(from)).await?;
    Ok(UsagePatterns { from: Timestamp(from), to: Timestamp(to), hours, active_users, cohorts, co_use })
}

async fn hours(connection: &mut PgConnection, tenant: Tenant, plan: &Plan) -> Result<Vec<HourOfWeek>, AnalyticsError> {
    let sql = format!(
        "SELECT extract(isodow FROM at AT TIME ZONE 'UTC')::int4, extract(hour FROM at AT TIME ZONE 'UTC')::int4, sum(n)::int8 FROM ({}) AS e GROUP BY 1, 2",
        events_of_plan()
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(tenant.0);
    for tier in Tier::ALL {
        let (from, to) = plan.of(tier);
        query = query.bind(from).bind(to);
    }
    let rows = query.fetch_all(connection).await?;
    let mut counted = HashMap::new();
    for row in &rows {
        counted.insert((row.try_get::<i32, _>(0)?, row.try_get::<i32, _>(1)?), row.try_get::<i64, _>(2)?);
    }
    Ok((1..=7)
        .flat_map(|weekday| (0..24).map(move |hour| (weekday, hour)))
        .map(|(weekday, hour)| HourOfWeek {
            weekday,
            hour,
            events: counted.get(&(weekday, hour)).copied().unwrap_or_default(),
        })
        .collect())
}

async fn cohorts(
    connection: &mut PgConnection,
    tenant: Tenant,
    from: i64,
    to: i64,
    raw: (Vec<i64>, Vec<i64>),
) -> Result<Vec<Cohort>, AnalyticsError> {
    // The first week of each user over all that is kept, not over the range alone.
    let sql = format!(
        "WITH u AS MATERIALIZED (SELECT DISTINCT user_id, date_trunc('week', day::timestamp) AS week FROM ({USERS}) AS u), f AS (SELECT user_id, least(min(week), (SELECT date_trunc('week', min(d.day)::timestamp) FROM analytics_user_days d WHERE d.tenant_id = $1 AND d.user_id = u.user_id)) AS first FROM u GROUP BY 1) SELECT (extract(epoch FROM f.first AT TIME ZONE 'UTC') * 1000)::int8, (extract(epoch FROM u.week AT TIME ZONE 'UTC') * 1000)::int8, count(*) FROM u JOIN f USING (user_id) GROUP BY 1, 2 ORDER BY 1, 2"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(from)
        .bind(to)
        .bind(raw.0)
        .bind(raw.1)
        .fetch_all(connection)
        .await?;
    let week = 7 * DAY_MS;
    // 1970-01-01 was a Thursday; weeks begin on Monday.
    let monday = |at: i64| floor(at + 3 * DAY_MS, week) - 3 * DAY_MS;
    let (last, first_shown) = (monday(to - 1), monday(to - 1) - (COHORT_WEEKS - 1) * week);
    let mut cohorts: Vec<Cohort> = Vec::new();
    for row in &rows {
        let (first, seen, users): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if first < first_shown || seen < first {
            continue;
        }
        if cohorts.last().is_none_or(|it| it.week.0 != first) {
            let weeks = usize::try_from((last - first) / week + 1).unwrap_or(1);
            cohorts.push(Cohort { week: Timestamp(first), users: 0, seen: vec![0; weeks] });
        }
        let Some(cohort) = cohorts.last_mut() else { continue };
        let after = usize::try_from((seen - first) / week).unwrap_or_default();
        if let Some(slot) = cohort.seen.get_mut(after) {
            *slot = users;
        }
        if after == 0 {
            cohort.users = users;
        }
    }
    Ok(cohorts)
}

async fn co_use(
    connection: &mut PgConnection,
    tenant: Tenant,
    from: i64,
    to: i64,
    raw: (Vec<i64>, Vec<i64>),
) -> Result<Vec<CoUse>, AnalyticsError> {
    let sql = format!(
        "WITH u AS MATERIALIZED (SELECT DISTINCT user_id, plugin_id FROM ({USERS}) AS u), most AS MATERIALIZED (SELECT plugin_id, count(*) AS users FROM u GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $6), few AS MATERIALIZED (SELECT u.user_id, u.plugin_id FROM u JOIN most USING (plugin_id)) SELECT a.plugin_id, b.plugin_id, count(*) AS users, count(*) * 100.0::float8 / (min(ma.users) + min(mb.users) - count(*)) AS overlap FROM few a JOIN few b ON b.user_id = a.user_id AND b.plugin_id > a.plugin_id JOIN most ma ON ma.plugin_id = a.plugin_id JOIN most mb ON mb.plugin_id = b.plugin_id GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY overlap DESC, users DESC, 1, 2 LIMIT $7"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(from)
        .bind(to)
        .bind(raw.0)
        .bind(raw.1)
        .bind(CO_USE_PLUGINS)
        .bind(CO_USE_PAIRS)
        .fetch_all(&mut *connection)
        .await?;
    let pairs = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))
        .collect::<Result<Vec<(i64, i64, i64, f64)>, AnalyticsError>>()?;
    let ids = pairs.iter().flat_map(|pair| [pair.0, pair.1]).collect::<Vec<_>>();
    let names = plugin_names(connection, tenant, &ids).await?;
    let name = |id: i64| names.get(&id).cloned().unwrap_or_else(|| format!("removed plugin {id}"));
    Ok(pairs
        .into_iter()
        .map(|(one, other, users, overlap_percent)| CoUse {
            plugin_id: one.to_string(),
            plugin: name(one),
            with_id: other.to_string(),
            with: name(other),
            users,
            overlap_percent,
        })
        .collect())
}
