//! Distinct users: sets of a day, united here. PostgreSQL counts distinct texts at a few million a second; numbers in sets
//! are united at some hundred million.
use crate::{
    AnalyticsError, DAY_MS, HOUR_MS,
    counts::Dimension,
    filter::{Only, SeriesFilter, bind_only},
    floor,
    plan::Known,
    series::users_by_under,
};
use catalog::Tenant;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use std::collections::{BTreeMap, HashMap};

/// The users of one day by one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DaySet {
    pub(crate) day: i64,
    /// Empty for all.
    pub(crate) key: String,
    pub(crate) users: Vec<u32>,
}

/// Sets of a range. A day and key may come twice, from the roll-up and from rows that are not rolled up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sets {
    pub(crate) days: Vec<DaySet>,
    /// Users from here on have no number in the database: only rows that are not rolled up tell of them.
    pub(crate) unknown_from: u32,
    lowest: u32,
    width: usize,
}

/// Whether it matters on which day of a range a user came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Days {
    Apart,
    /// Sets of up to 30 days come as one, of no day: rows cost the driver more than their numbers do. A user may be in one several times.
    Together,
}

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

/// Numbers of four bytes, the highest first.
pub(crate) fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|it| u32::from_be_bytes([it[0], it[1], it[2], it[3]])).collect()
}

const fn key(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::All | Dimension::EventType => "''",
        Dimension::Plugin => "r.plugin_id::text",
        Dimension::Country => "coalesce(r.country::text, '')",
    }
}

/// Days, by their beginnings, with $2 and $3 as the range.
const DAYS: &str = "day >= (to_timestamp($2::int8 / 1000.0) AT TIME ZONE 'UTC')::date AND day < (to_timestamp($3::int8 / 1000.0) AT TIME ZONE 'UTC')::date";

impl Sets {
    /// The sets of whole days by a dimension, perhaps of some keys only.
    pub(crate) async fn load(
        connection: &mut PgConnection,
        tenant: Tenant,
        (dimension, only, apart): (Dimension, Option<&[String]>, Days),
        (from, to): (i64, i64),
        known: &Known,
    ) -> Result<Self, AnalyticsError> {
        // In an order, so that the server puts one set together after the other and not all at once.
        let (columns, groups) = match apart {
            Days::Apart => ("(date_part('epoch', day::timestamp AT TIME ZONE 'UTC') * 1000)::int8, key, users", ""),
            Days::Together => {
                ("0::int8, key, string_agg(users, '' ORDER BY day)", " GROUP BY key, (day - date '2000-01-01') / 30")
            }
        };
        let sql = format!(
            "SELECT {columns} FROM analytics_user_sets WHERE tenant_id = $1 AND dimension = $4 AND {DAYS} AND ($5::text[] IS NULL OR key = ANY ($5)){groups}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.0)
            .bind(from)
            .bind(to)
            .bind(dimension.as_str())
            .bind(only)
            .fetch_all(&mut *connection)
            .await?;
        let mut days = Vec::with_capacity(rows.len());
        for row in &rows {
            days.push(DaySet { day: row.try_get(0)?, key: row.try_get(1)?, users: numbers(row.try_get(2)?) });
        }
        let pieces = dirty_pieces(known, from, to);
        let fresh =
            if pieces.0.is_empty() { Vec::new() } else { fresh(connection, tenant, (dimension, only), pieces).await? };
        Ok(Self::new(days, fresh))
    }

    /// As [`Self::load`], under conditions: there are no sets of them, so they are made of the days of users.
    pub(crate) async fn under(
        connection: &mut PgConnection,
        tenant: Tenant,
        (dimension, apart): (Dimension, Days),
        only: &[Only],
        (from, to): (i64, i64),
        known: &Known,
    ) -> Result<Self, AnalyticsError> {
        if only.is_empty() {
            return Self::load(connection, tenant, (dimension, None, apart), (from, to), known).await;
        }
        let conditions = (4..).zip(only).map(|(n, one)| one.sql("r.country", n)).collect::<String>();
        let sql = format!(
            "SELECT (extract(epoch FROM r.day::timestamp AT TIME ZONE 'UTC') * 1000)::int8, {}, string_agg(int4send(u.number), '') FROM analytics_user_days r JOIN analytics_users u ON u.tenant_id = r.tenant_id AND u.user_id = r.user_id WHERE r.tenant_id = $1 AND {DAYS}{conditions} GROUP BY 1, 2",
            key(dimension)
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(tenant.0).bind(from).bind(to);
        let mut days = Vec::new();
        for row in &bind_only(query, only).fetch_all(&mut *connection).await? {
            days.push(DaySet { day: row.try_get(0)?, key: row.try_get(1)?, users: numbers(row.try_get(2)?) });
        }
        let pieces = dirty_pieces(known, from, to);
        let fresh = if pieces.0.is_empty() {
            Vec::new()
        } else {
            fresh_under(connection, tenant, (dimension, None, only), pieces).await?
        };
        Ok(Self::new(days, fresh))
    }

    /// Unites days with what rows tell: day, key, name, number where there is one.
    fn new(mut days: Vec<DaySet>, fresh: Vec<(i64, String, String, Option<u32>)>) -> Self {
        let all = days.iter().flat_map(|it| it.users.iter().copied()).chain(fresh.iter().filter_map(|it| it.3));
        let (mut lowest, mut highest) = (u32::MAX, 0);
        for number in all {
            lowest = lowest.min(number);
            highest = highest.max(number);
        }
        let unknown_from = highest.saturating_add(1);
        let lowest = lowest.min(unknown_from);
        let mut names = HashMap::new();
        let mut added: BTreeMap<(i64, String), Vec<u32>> = BTreeMap::new();
        for (day, key, name, number) in fresh {
            let next = unknown_from.saturating_add(u32::try_from(names.len()).unwrap_or(u32::MAX));
            let number = number.unwrap_or_else(|| *names.entry(name).or_insert(next));
            added.entry((day, key)).or_default().push(number);
        }
        days.extend(added.into_iter().map(|((day, key), users)| DaySet { day, key, users }));
        let width = (unknown_from - lowest) as usize + names.len();
        Self { days, unknown_from, lowest, width }
    }

    /// The place of a user in a table that holds all of the range.
    pub(crate) const fn place(&self, number: u32) -> usize {
        (number - self.lowest) as usize
    }

    /// The number of the first place.
    pub(crate) const fn lowest(&self) -> u32 {
        self.lowest
    }

    /// Places that there are.
    pub(crate) const fn width(&self) -> usize {
        self.width
    }

    /// The sets united by what `group` says of a day and key.
    pub(crate) fn united<G: Ord>(&self, group: impl Fn(i64, &str) -> G) -> BTreeMap<G, Users> {
        let mut united: BTreeMap<G, Users> = BTreeMap::new();
        for set in &self.days {
            let users = united.entry(group(set.day, &set.key)).or_insert_with(|| Users::none(self.width));
            for number in &set.users {
                users.add(self.place(*number));
            }
        }
        united
    }
}

/// A set of places, a bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Users(Vec<u64>);

impl Users {
    fn none(width: usize) -> Self {
        Self(vec![0; width.div_ceil(64)])
    }

    fn add(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    pub(crate) fn count(&self) -> i64 {
        self.0.iter().map(|word| i64::from(word.count_ones())).sum()
    }

    /// Users that are in both.
    pub(crate) fn common(&self, other: &Self) -> i64 {
        self.0.iter().zip(&other.0).map(|(a, b)| i64::from((a & b).count_ones())).sum()
    }
}

/// Users of rows that are not rolled up.
async fn fresh(
    connection: &mut PgConnection,
    tenant: Tenant,
    (dimension, only): (Dimension, Option<&[String]>),
    pieces: (Vec<i64>, Vec<i64>),
) -> Result<Vec<(i64, String, String, Option<u32>)>, AnalyticsError> {
    fresh_under(connection, tenant, (dimension, only, &[]), pieces).await
}

async fn fresh_under(
    connection: &mut PgConnection,
    tenant: Tenant,
    (dimension, keys, only): (Dimension, Option<&[String]>, &[Only]),
    (from, to): (Vec<i64>, Vec<i64>),
) -> Result<Vec<(i64, String, String, Option<u32>)>, AnalyticsError> {
    let conditions = (5..).zip(only).map(|(n, one)| one.sql("coalesce(r.country::text, '')", n)).collect::<String>();
    let sql = format!(
        "SELECT e.day, e.key, e.user_id, u.number FROM (SELECT DISTINCT (extract(epoch FROM date_bin('1 day', r.at, timestamptz 'epoch')) * 1000)::int8 AS day, r.key, r.user_id FROM unnest($2::int8[], $3::int8[]) AS piece (f, t) CROSS JOIN LATERAL (SELECT r.\"timestamp\" AS at, {} AS key, r.user_id FROM plugin_analytics r WHERE r.tenant_id = $1 AND r.\"timestamp\" >= to_timestamp(piece.f / 1000.0) AND r.\"timestamp\" < to_timestamp(piece.t / 1000.0) AND r.user_id IS NOT NULL{conditions} OFFSET 0) AS r WHERE $4::text[] IS NULL OR r.key = ANY ($4)) AS e LEFT JOIN analytics_users u ON u.tenant_id = $1 AND u.user_id = e.user_id",
        key(dimension)
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(tenant.0).bind(from).bind(to).bind(keys);
    let rows = bind_only(query, only).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let number: Option<i32> = row.try_get(3)?;
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, number.and_then(|it| u32::try_from(it).ok())))
        })
        .collect()
}

/// Distinct users of a range of whole days by key; of `keys` at least, when they are given.
pub(crate) async fn users_by(
    connection: &mut PgConnection,
    tenant: Tenant,
    (dimension, filter, keys): (Dimension, &SeriesFilter, Option<&[String]>),
    (from, to): (i64, i64),
    known: &Known,
) -> Result<HashMap<String, i64>, AnalyticsError> {
    let range = (floor(from, DAY_MS), floor(to + DAY_MS - 1, DAY_MS));
    let only = filter.of_users();
    if !only.is_empty() {
        return users_by_under(connection, tenant, dimension, &only, range, known).await;
    }
    let sets = Sets::load(connection, tenant, (dimension, keys, Days::Together), range, known).await?;
    Ok(sets.united(|_, key| key.to_owned()).into_iter().map(|(key, users)| (key, users.count())).collect())
}

/// How many users each clean day has by one key: read from the sizes of its sets, which are not read themselves.
pub(crate) async fn day_sizes(
    connection: &mut PgConnection,
    tenant: Tenant,
    (dimension, only): (Dimension, &str),
    (from, to): (i64, i64),
) -> Result<BTreeMap<i64, i64>, AnalyticsError> {
    let sql = format!(
        "SELECT (extract(epoch FROM day::timestamp AT TIME ZONE 'UTC') * 1000)::int8, octet_length(users)::int8 / 4 FROM analytics_user_sets WHERE tenant_id = $1 AND dimension = $4 AND {DAYS} AND key = $5"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(from)
        .bind(to)
        .bind(dimension.as_str())
        .bind(only)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_unite_with_rows_of_users_without_a_number() {
        let set = |day: i64, key: &str, users: &[u32]| DaySet { day, key: key.to_owned(), users: users.to_vec() };
        let row = |day: i64, key: &str, name: &str, number| (day, key.to_owned(), name.to_owned(), number);
        let sets = Sets::new(
            vec![set(0, "a", &[100, 107]), set(1, "a", &[107, 300]), set(1, "b", &[300])],
            vec![row(1, "a", "x", None), row(1, "b", "x", None), row(1, "b", "y", None), row(1, "b", "z", Some(100))],
        );
        assert_eq!((sets.unknown_from, sets.place(100), sets.width()), (301, 0, 203));
        let by_key = sets.united(|_, key| key.to_owned());
        assert_eq!(by_key["a"].count(), 4, "100, 107, 300 and x");
        assert_eq!(by_key["b"].count(), 4, "300, x, y and 100");
        assert_eq!(by_key["a"].common(&by_key["b"]), 3, "100, 300 and x");
        assert_eq!(sets.united(|day, _| day)[&1].count(), 5, "107, 300, x, y and 100");
        assert!(Sets::new(Vec::new(), Vec::new()).united(|day, _| day).is_empty());
        assert_eq!(numbers(&[0, 0, 1, 2, 255, 255, 255, 254, 9]), [258, u32::MAX - 1]);
    }

    #[test]
    fn neighbouring_hours_are_one_piece() {
        let known = Known { dirty: [0, HOUR_MS, 5 * HOUR_MS].into(), ..Known::default() };
        assert_eq!(dirty_pieces(&known, 0, DAY_MS), (vec![0, 5 * HOUR_MS], vec![2 * HOUR_MS, 6 * HOUR_MS]));
    }
}
