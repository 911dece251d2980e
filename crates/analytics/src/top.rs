//! What is used most.
use crate::{
    Analytics, AnalyticsError,
    counts::{Count, Dimension, counted},
    error::said,
    filter::SeriesFilter,
    plan::{Known, Plan},
    rollup::Kind,
    series::{known, range, snap},
    users::users_by,
    zone::Zone,
};
use catalog::Tenant;
use domain::{
    Timestamp,
    view::{AnalyticsTop, Bucket, TopRow},
};
use pool::{Reader, Work};
use sqlx::{PgConnection, Row as _};
use std::{collections::HashMap, str::FromStr};

/// By what a top list is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopBy {
    /// By plugin.
    Plugins,
    /// By type of event.
    EventTypes,
    /// By country.
    Countries,
}

impl TopBy {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plugins => "plugins",
            Self::EventTypes => "event_types",
            Self::Countries => "countries",
        }
    }

    const fn dimension(self) -> Dimension {
        match self {
            Self::Plugins => Dimension::Plugin,
            Self::EventTypes => Dimension::EventType,
            Self::Countries => Dimension::Country,
        }
    }
}

impl FromStr for TopBy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Plugins, Self::EventTypes, Self::Countries]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| "by is plugins, event_types or countries".to_owned())
    }
}

/// Events of a range by key.
pub(crate) async fn events_by(
    connection: &mut PgConnection,
    tenant: Tenant,
    by: Dimension,
    filter: &SeriesFilter,
    plan: &Plan,
) -> Result<HashMap<String, i64>, AnalyticsError> {
    let count = Count { bucket: None, by, filter, zone: &Zone::utc(), since: None };
    let mut events = HashMap::new();
    for one in counted(connection, tenant, plan, &count).await? {
        *events.entry(one.key).or_default() += one.events;
    }
    Ok(events)
}

/// Events of two ranges by key, those before `parted` and those after: asked together, because each statement has its price.
async fn events_before_and_after(
    connection: &mut PgConnection,
    tenant: Tenant,
    (by, filter): (Dimension, &SeriesFilter),
    (before, parted, to): (i64, i64, i64),
    known: &Known,
) -> Result<[HashMap<String, i64>; 2], AnalyticsError> {
    // No piece lies in both.
    let mut plan = Plan::make(before, parted, Bucket::Day, known);
    plan.pieces.extend(Plan::make(parted, to, Bucket::Day, known).pieces);
    let count = Count { bucket: None, by, filter, zone: &Zone::utc(), since: Some(parted) };
    let (mut then, mut now) = (HashMap::<String, i64>::new(), HashMap::<String, i64>::new());
    for one in counted(connection, tenant, &plan, &count).await? {
        let events = if one.at == parted { &mut now } else { &mut then };
        *events.entry(one.key).or_default() += one.events;
    }
    Ok([then, now])
}

impl Analytics {
    /// The `limit` keys with most events, beside the equally long range before. Users are those of all types of
    /// events, whatever the filter says of these.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn top(
        &self,
        tenant: Tenant,
        by: TopBy,
        filter: &SeriesFilter,
        (from, to): (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<AnalyticsTop, AnalyticsError> {
        let (from, to) = range(from, to)?;
        filter.check()?;
        self.pools
            .read(&tenant.asking(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move { top(reader.connection()?, tenant, (by, filter), (from, to), limit).await })
            })
            .await
            .map_err(said)
    }
}

async fn top(
    connection: &mut PgConnection,
    tenant: Tenant,
    (by, filter): (TopBy, &SeriesFilter),
    (from, to): (i64, i64),
    limit: usize,
) -> Result<AnalyticsTop, AnalyticsError> {
    let before = from - (to - from);
    let known = known(&mut *connection, Kind::Events, before, to).await?;
    let (before, from, to) = (snap(before, &known), snap(from, &known), snap(to, &known));
    let dimension = by.dimension();
    let [then, now] =
        events_before_and_after(&mut *connection, tenant, (dimension, filter), (before, from, to), &known).await?;
    let (events, previous) = (now.values().sum::<i64>(), then.values().sum::<i64>());
    let mut keys = now.into_iter().collect::<Vec<_>>();
    keys.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
    keys.truncate(limit);
    let users = match by {
        TopBy::EventTypes => HashMap::new(),
        // A large tenant has thousands of plugins, of which ten are shown.
        _ => {
            let shown = keys.iter().map(|key| key.0.clone()).collect::<Vec<_>>();
            users_by(&mut *connection, tenant, (dimension, filter, Some(&shown)), (from, to), &known).await?
        }
    };
    let mut names = HashMap::new();
    if by == TopBy::Plugins {
        let ids = keys.iter().filter_map(|key| key.0.parse::<i64>().ok()).collect::<Vec<_>>();
        names = plugin_names(connection, tenant, &ids).await?;
    }
    let rows = keys
        .into_iter()
        .map(|(key, count)| TopRow {
            label: match by {
                TopBy::Plugins => key
                    .parse()
                    .ok()
                    .and_then(|id: i64| names.get(&id).cloned())
                    .unwrap_or_else(|| format!("removed plugin {key}")),
                TopBy::Countries if key.is_empty() => "not known".to_owned(),
                _ => key.clone(),
            },
            events: count,
            previous: then.get(&key).copied().unwrap_or_default(),
            users: users.get(&key).copied().unwrap_or_default(),
            share_percent: if events > 0 { count as f64 * 100.0 / events as f64 } else { 0.0 },
            key,
        })
        .collect();
    Ok(AnalyticsTop { by: by.as_str().to_owned(), from: Timestamp(from), to: Timestamp(to), events, previous, rows })
}

/// Display names of plugins.
pub(crate) async fn plugin_names(
    connection: &mut PgConnection,
    tenant: Tenant,
    ids: &[i64],
) -> Result<HashMap<i64, String>, AnalyticsError> {
    let rows = sqlx::query("SELECT id, name FROM plugins WHERE tenant_id = $1 AND id = ANY ($2)")
        .bind(tenant.0)
        .bind(ids)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
