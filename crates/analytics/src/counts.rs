//! Events counted over a plan: each piece from the smallest table that knows what is asked.
use crate::{
    AnalyticsError,
    filter::{Only, SeriesFilter, bind_only},
    plan::{Plan, Tier},
    zone::Zone,
};
use catalog::Tenant;
use domain::view::Bucket;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

/// What events are told apart by. The names are those of the totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    All,
    Plugin,
    EventType,
    Country,
}

impl Dimension {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Plugin => "plugin",
            Self::EventType => "event_type",
            Self::Country => "country",
        }
    }

    /// The key in a table that has every dimension as a column.
    const fn column(self) -> &'static str {
        match self {
            Self::All => "''",
            Self::Plugin => "plugin_id::text",
            Self::EventType => "event_type",
            Self::Country => "country",
        }
    }
}

/// One count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The bucket's start; 0 without buckets.
    pub(crate) at: i64,
    /// Empty for [`Dimension::All`].
    pub(crate) key: String,
    pub(crate) events: i64,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count<'a> {
    pub(crate) bucket: Option<Bucket>,
    pub(crate) by: Dimension,
    pub(crate) filter: &'a SeriesFilter,
    /// Whose buckets.
    pub(crate) zone: &'a Zone,
    /// Without buckets: what comes from this moment on is told apart from what was before. `at` is it, or 0.
    pub(crate) since: Option<i64>,
}

/// Where a tier's counts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Rows,
    /// Rows brought back from the archive.
    Restored,
    /// Every dimension is a column.
    Tier(&'static str),
    HourTotal,
    /// One dimension.
    DayTotal(Dimension),
}

impl Count<'_> {
    fn filters(&self) -> Vec<Only> {
        self.filter.all()
    }

    fn source(&self, tier: Tier) -> Source {
        let mut needed = self.filters().iter().map(Only::dimension).collect::<Vec<_>>();
        needed.push(self.by);
        needed.retain(|it| *it != Dimension::All);
        needed.dedup();
        match (tier, needed.as_slice()) {
            (Tier::Raw, _) => Source::Rows,
            (Tier::Restored, _) => Source::Restored,
            (Tier::Hour, []) => Source::HourTotal,
            (Tier::Day, []) => Source::DayTotal(Dimension::All),
            (Tier::Day, [one]) => Source::DayTotal(*one),
            (Tier::Minute, _) => Source::Tier("minute"),
            (Tier::Hour, _) => Source::Tier("hour"),
            (Tier::Day, _) => Source::Tier("day"),
        }
    }

    /// $1 is the tenant, $2 and $3 the pieces, then the filters, then the moment that parts them. Each piece is looked up by
    /// itself, which `OFFSET 0` keeps so: a join over pieces was planned as a scan of all that the tenant has.
    ///
    /// The counts come as three lists, because a row of its own for each costs the driver more than counting it costs the server.
    fn sql(&self, source: Source) -> String {
        let (table, time, key, events) = match source {
            Source::Rows => ("plugin_analytics", "r.\"timestamp\"", self.by.column(), "1::int8"),
            Source::Restored => ("analytics_restored.plugin_analytics", "r.\"timestamp\"", self.by.column(), "1::int8"),
            Source::Tier("minute") => ("analytics_events_minute", "r.bucket", self.by.column(), "r.events"),
            Source::Tier("hour") => ("analytics_events_hour", "r.bucket", self.by.column(), "r.events"),
            Source::Tier(_) => ("analytics_events_day", "r.bucket", self.by.column(), "r.events"),
            Source::HourTotal => ("analytics_events_hour_total", "r.bucket", "''", "r.events"),
            Source::DayTotal(_) => ("analytics_events_day_total", "r.bucket", self.total_key(), "r.events"),
        };
        let key = match (source, key) {
            (Source::Rows | Source::Restored, "country") => "coalesce(r.country::text, '')",
            (_, key) => key,
        };
        let mut conditions = String::new();
        for (n, only) in (4..).zip(self.filters()) {
            conditions += &match source {
                Source::DayTotal(_) => only.key_sql(n),
                Source::Rows | Source::Restored => only.sql("coalesce(r.country::text, '')", n),
                _ => only.sql("r.country", n),
            };
        }
        if let Source::DayTotal(dimension) = source {
            conditions += &format!(" AND r.dimension = '{}'", dimension.as_str());
        }
        let at = match (self.bucket, self.since) {
            (Some(bucket), _) => format!("(date_part('epoch', {}) * 1000)::int8", self.zone.start_sql(bucket, "e.at")),
            (None, Some(_)) => {
                let since = 4 + self.filters().len();
                format!("CASE WHEN piece.f >= ${since}::int8 THEN ${since}::int8 ELSE 0 END")
            }
            (None, None) => "0::int8".to_owned(),
        };
        format!(
            "SELECT array_agg(c.at), array_agg(c.key), array_agg(c.n) FROM (SELECT {at} AS at, e.key AS key, sum(e.n)::int8 AS n FROM unnest($2::int8[], $3::int8[]) AS piece (f, t) CROSS JOIN LATERAL (SELECT {time} AS at, {key} AS key, {events} AS n FROM {table} r WHERE r.tenant_id = $1 AND {time} >= to_timestamp(piece.f / 1000.0) AND {time} < to_timestamp(piece.t / 1000.0){conditions} OFFSET 0) AS e GROUP BY 1, 2) AS c"
        )
    }

    /// A filter of the same dimension leaves one key.
    const fn total_key(&self) -> &'static str {
        if matches!(self.by, Dimension::All) { "''" } else { "r.key" }
    }
}

/// Counts events over a plan; a bucket and key may come several times, once from each tier.
pub(crate) async fn counted(
    connection: &mut PgConnection,
    tenant: Tenant,
    plan: &Plan,
    count: &Count<'_>,
) -> Result<Vec<Counted>, AnalyticsError> {
    let mut all = Vec::new();
    for tier in Tier::ALL {
        let (from, to) = plan.of(tier);
        if from.is_empty() {
            continue;
        }
        let sql = count.sql(count.source(tier));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(tenant.0).bind(from).bind(to);
        let mut query = bind_only(query, &count.filters());
        if let (None, Some(since)) = (count.bucket, count.since) {
            query = query.bind(since);
        }
        let row = query.fetch_one(&mut *connection).await?;
        // Of nothing there is no list.
        let moments = row.try_get::<Option<Vec<i64>>, _>(0)?.unwrap_or_default();
        let keys = row.try_get::<Option<Vec<String>>, _>(1)?.unwrap_or_default();
        let events = row.try_get::<Option<Vec<i64>>, _>(2)?.unwrap_or_default();
        all.extend(moments.into_iter().zip(keys).zip(events).map(|((at, key), events)| {
            let at = count.bucket.map_or(at, |bucket| count.zone.start(bucket, at));
            Counted { at, key, events }
        }));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_table_that_knows_it_is_read() {
        let none = SeriesFilter::default();
        let plugin = SeriesFilter { plugin: Some(7), ..SeriesFilter::default() };
        let environment = SeriesFilter { environment: Some("staging".to_owned()), ..SeriesFilter::default() };
        let two = SeriesFilter { plugin: Some(7), country: Some("DE".to_owned()), ..SeriesFilter::default() };
        for (filter, by, tier, source) in [
            (&none, Dimension::All, Tier::Day, Source::DayTotal(Dimension::All)),
            (&none, Dimension::All, Tier::Hour, Source::HourTotal),
            (&none, Dimension::All, Tier::Minute, Source::Tier("minute")),
            (&none, Dimension::Country, Tier::Day, Source::DayTotal(Dimension::Country)),
            (&none, Dimension::Country, Tier::Hour, Source::Tier("hour")),
            (&plugin, Dimension::All, Tier::Day, Source::DayTotal(Dimension::Plugin)),
            (&plugin, Dimension::Plugin, Tier::Day, Source::DayTotal(Dimension::Plugin)),
            (&plugin, Dimension::Country, Tier::Day, Source::Tier("day")),
            (&environment, Dimension::All, Tier::Day, Source::DayTotal(Dimension::Plugin)),
            (&environment, Dimension::Country, Tier::Day, Source::Tier("day")),
            (&two, Dimension::All, Tier::Day, Source::Tier("day")),
            (&none, Dimension::All, Tier::Raw, Source::Rows),
        ] {
            assert_eq!(
                Count { bucket: None, by, filter, zone: &Zone::utc(), since: None }.source(tier),
                source,
                "{filter:?} {by:?} {tier:?}"
            );
        }
    }
}
