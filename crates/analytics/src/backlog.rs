//! What waits to be done, so that it can be told that analytics falls behind.
use crate::{Analytics, AnalyticsError, archive::due, error::said};
use catalog::platform_scope;
use domain::Timestamp;
use pool::{Reader, Work};
use sqlx::Row as _;

/// All figures are of all tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Hours, of events and of metrics, that are marked to be rolled up.
    pub marked_hours: i64,
    /// The oldest of these hours.
    pub oldest_marked: Option<Timestamp>,
    /// The mark that came first: as long as it is the same, it waits.
    pub first_mark: Option<i64>,
    /// Months past retention, of events and of metrics, that the live tables still have.
    pub months_due: i64,
    /// Erasures that have not reached the archive.
    pub erasures_pending: i64,
    /// Rows in no month's partition; as statistics count them, but never none where there is one.
    pub rows_without_partition: i64,
}

const COUNTS: &str = "SELECT
    (SELECT count(*) FROM (SELECT DISTINCT kind, hour FROM analytics_dirty) AS marked),
    (SELECT (extract(epoch FROM min(hour)) * 1000)::int8 FROM analytics_dirty),
    (SELECT min(id) FROM analytics_dirty),
    (SELECT count(*) FROM analytics_erasures WHERE state = 'pending'),
    (SELECT coalesce(sum(greatest(pg_stat_get_live_tuples(to_regclass(parent || '_default')), 1)), 0)::int8
        FROM unnest(ARRAY['plugin_analytics', 'plugin_metrics']) AS parent WHERE EXISTS (SELECT FROM analytics_strays(parent)))";

impl Analytics {
    /// What waits now.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn backlog(&self) -> Result<Backlog, AnalyticsError> {
        let retention_days = self.retention_days;
        self.pools
            .read_primary(&platform_scope(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = reader.connection()?;
                    let row = sqlx::query(COUNTS).fetch_one(&mut *connection).await?;
                    let months = due(connection, crate::now(), retention_days).await?.len();
                    Ok::<_, AnalyticsError>(Backlog {
                        marked_hours: row.try_get(0)?,
                        oldest_marked: row.try_get::<Option<i64>, _>(1)?.map(Timestamp),
                        first_mark: row.try_get(2)?,
                        erasures_pending: row.try_get(3)?,
                        rows_without_partition: row.try_get(4)?,
                        months_due: i64::try_from(months).unwrap_or(i64::MAX),
                    })
                })
            })
            .await
            .map_err(said)
    }
}
