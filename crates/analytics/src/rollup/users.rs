//! Who used what: a row for each user, day, plugin and country, the users' numbers, and from both the sets of a day that
//! questions read.
use super::{Marks, of_day};
use crate::DAY_MS;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

/// $4 as a day.
const DAY: &str = "(to_timestamp($4::int8 / 1000.0) AT TIME ZONE 'UTC')::date";

/// The sets of tenants and days, $1 and $2 (milliseconds). What did not change is not written. Each is looked up by itself,
/// which `OFFSET 0` keeps so: while an old heap is rolled up the planner takes the table for empty and would scan it.
const SETS: &str = "INSERT INTO analytics_user_sets AS t (tenant_id, dimension, day, key, users)
    SELECT tenant_id, dimension, day, key, string_agg(int4send(number), '' ORDER BY number) FROM (
        SELECT DISTINCT d.tenant_id, x.dimension, d.day, x.key, u.number
        FROM unnest($1::int8[], $2::int8[]) AS p (tenant_id, ms)
        CROSS JOIN LATERAL (SELECT * FROM analytics_user_days d WHERE d.tenant_id = p.tenant_id AND d.day = (to_timestamp(p.ms / 1000.0) AT TIME ZONE 'UTC')::date OFFSET 0) AS d
        JOIN analytics_users u ON u.tenant_id = d.tenant_id AND u.user_id = d.user_id
        CROSS JOIN LATERAL (VALUES ('all', ''), ('plugin', d.plugin_id::text), ('country', d.country)) AS x (dimension, key)) AS one
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (tenant_id, dimension, day, key) DO UPDATE SET users = EXCLUDED.users WHERE t.users <> EXCLUDED.users";

/// Sets from which somebody went; a set that is empty now has no row.
const SETS_GONE: &str = "DELETE FROM analytics_user_sets t USING unnest($1::int8[], $2::int8[]) AS p (tenant_id, ms) WHERE t.tenant_id = p.tenant_id AND t.day = (to_timestamp(p.ms / 1000.0) AT TIME ZONE 'UTC')::date";

/// Whose first day this was has another first day now, or none: $1 tenants, $2 the day.
const LOST: &str = "WITH lost AS (SELECT u.tenant_id, u.user_id, (SELECT min(d.day) FROM analytics_user_days d WHERE d.tenant_id = u.tenant_id AND d.user_id = u.user_id) AS day FROM analytics_users u WHERE u.tenant_id = ANY ($1) AND u.first_day = (to_timestamp($2::int8 / 1000.0) AT TIME ZONE 'UTC')::date),
    gone AS (DELETE FROM analytics_users u USING lost WHERE u.tenant_id = lost.tenant_id AND u.user_id = lost.user_id AND lost.day IS NULL)
    UPDATE analytics_users u SET first_day = lost.day FROM lost WHERE u.tenant_id = lost.tenant_id AND u.user_id = lost.user_id AND u.first_day <> lost.day";

/// New rows only add to the sets, so the marked hours are enough. When rows went, the day is made anew.
pub(super) async fn day(connection: &mut PgConnection, marks: &Marks) -> Result<(), sqlx::Error> {
    let (rows, from, to) = if marks.removed {
        (of_day("\"timestamp\""), marks.day, marks.day + DAY_MS)
    } else {
        (super::marked("\"timestamp\""), marks.from, marks.to)
    };
    let mut tenants: Vec<i64> = Vec::new();
    if marks.removed {
        let of_day = of_day("(day::timestamp AT TIME ZONE 'UTC')");
        let sql = format!(
            "WITH gone AS (DELETE FROM analytics_user_days WHERE day = {DAY} AND {of_day} RETURNING tenant_id) SELECT DISTINCT tenant_id FROM gone"
        );
        tenants = ids(connection, sql, marks, from, to).await?;
    }
    // A user is new in the table of users, or was known only from a later day on, or is known.
    let sql = format!(
        "WITH fresh AS (INSERT INTO analytics_user_days (tenant_id, day, user_id, plugin_id, country) SELECT DISTINCT tenant_id, {DAY}, user_id, plugin_id, coalesce(country::text, '') FROM plugin_analytics WHERE user_id IS NOT NULL AND {rows} ON CONFLICT DO NOTHING RETURNING tenant_id, user_id, day),
        one AS (SELECT DISTINCT tenant_id, user_id, day FROM fresh),
        earlier AS (UPDATE analytics_users u SET first_day = one.day FROM one WHERE u.tenant_id = one.tenant_id AND u.user_id = one.user_id AND u.first_day > one.day),
        unknown AS (INSERT INTO analytics_users (tenant_id, user_id, first_day) SELECT one.tenant_id, one.user_id, one.day FROM one WHERE NOT EXISTS (SELECT FROM analytics_users u WHERE u.tenant_id = one.tenant_id AND u.user_id = one.user_id))
        SELECT DISTINCT tenant_id FROM one"
    );
    tenants.extend(ids(connection, sql, marks, from, to).await?);
    tenants.sort_unstable();
    tenants.dedup();
    let days = vec![marks.day; tenants.len()];
    if marks.removed {
        sqlx::query(LOST).bind(&tenants).bind(marks.day).execute(&mut *connection).await?;
        sqlx::query(SETS_GONE).bind(&tenants).bind(&days).execute(&mut *connection).await?;
    }
    sqlx::query(SETS).bind(&tenants).bind(&days).execute(connection).await?;
    Ok(())
}

async fn ids(
    connection: &mut PgConnection,
    sql: String,
    marks: &Marks,
    from: i64,
    to: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(&marks.all)
        .bind(&marks.tenants)
        .bind(&marks.hours)
        .bind(from)
        .bind(to)
        .fetch_all(connection)
        .await
}

/// Forgets a user in all of it, also on days whose rows are archived; gives how many rows of days went. $1 the user, $2
/// the tenant or NULL. The caller holds the roll-ups of events.
pub(crate) async fn forget(connection: &mut PgConnection, user: &str, tenant: Option<i64>) -> Result<u64, sqlx::Error> {
    let rows = sqlx::query("DELETE FROM analytics_user_days WHERE user_id = $1 AND ($2::int8 IS NULL OR tenant_id = $2) RETURNING tenant_id, (extract(epoch FROM day::timestamp AT TIME ZONE 'UTC') * 1000)::int8")
        .bind(user)
        .bind(tenant)
        .fetch_all(&mut *connection)
        .await?;
    let mut pairs = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<Vec<(i64, i64)>, sqlx::Error>>()?;
    pairs.sort_unstable();
    pairs.dedup();
    let (tenants, days): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    sqlx::query("DELETE FROM analytics_users u USING tenants t WHERE u.tenant_id = t.id AND u.user_id = $1 AND ($2::int8 IS NULL OR t.id = $2)")
        .bind(user)
        .bind(tenant)
        .execute(&mut *connection)
        .await?;
    sqlx::query(SETS_GONE).bind(&tenants).bind(&days).execute(&mut *connection).await?;
    sqlx::query(SETS).bind(&tenants).bind(&days).execute(connection).await?;
    Ok(rows.len() as u64)
}
