//! What is past its time in the roll-ups.
use super::{HOURS_KEPT_DAYS, Kind, MINUTES_KEPT_MS, take};
use crate::{Analytics, AnalyticsError, DAY_MS, HOUR_MS, error::said, floor};
use catalog::platform_scope;
use pool::{Session, Work, Writer};

impl Analytics {
    /// Removes minutes, hours, days of users and keys of batches that are past their time.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn clear_out(&self) -> Result<u64, AnalyticsError> {
        let now = crate::now().0;
        let minutes = floor(now - MINUTES_KEPT_MS, HOUR_MS) - HOUR_MS;
        let hours = floor(now - HOURS_KEPT_DAYS * DAY_MS, DAY_MS);
        let batches = now - i64::from(self.retention_days) * DAY_MS;
        self.pools
            .write(&platform_scope(), &Session::default(), |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move {
                    let mut gone = 0;
                    for (sql, until) in [
                        ("DELETE FROM analytics_events_minute WHERE bucket < to_timestamp($1 / 1000.0)", minutes),
                        ("DELETE FROM analytics_metrics_minute WHERE bucket < to_timestamp($1 / 1000.0)", minutes),
                        ("DELETE FROM analytics_events_hour WHERE bucket < least(to_timestamp($1 / 1000.0), (SELECT raw_from FROM analytics_state WHERE kind = 'events'))", hours),
                        ("DELETE FROM analytics_events_hour_total WHERE bucket < least(to_timestamp($1 / 1000.0), (SELECT raw_from FROM analytics_state WHERE kind = 'events'))", hours),
                        ("DELETE FROM analytics_metrics_hour WHERE bucket < least(to_timestamp($1 / 1000.0), (SELECT raw_from FROM analytics_state WHERE kind = 'metrics'))", hours),
                        ("DELETE FROM analytics_batches WHERE created_at < to_timestamp($1 / 1000.0)", batches),
                    ] {
                        gone += sqlx::query(sql).bind(until).execute(writer.connection()?).await?.rows_affected();
                    }
                    let connection = writer.connection()?;
                    // No roll-up brings a user back whom we take for gone; while one runs, it is left for the next time.
                    if !take(&mut *connection, Kind::Events).await? {
                        return Ok(gone);
                    }
                    for sql in [
                        "DELETE FROM analytics_user_days WHERE day < (to_timestamp($1 / 1000.0) AT TIME ZONE 'UTC')::date",
                        "DELETE FROM analytics_user_sets WHERE day < (to_timestamp($1 / 1000.0) AT TIME ZONE 'UTC')::date",
                        // Only users from before can have lost their last day by that.
                        "DELETE FROM analytics_users u WHERE u.first_day < (to_timestamp($1 / 1000.0) AT TIME ZONE 'UTC')::date AND NOT EXISTS (SELECT FROM analytics_user_days d WHERE d.user_id = u.user_id AND d.tenant_id = u.tenant_id)",
                    ] {
                        gone += sqlx::query(sql).bind(hours).execute(&mut *connection).await?.rows_affected();
                    }
                    Ok::<_, AnalyticsError>(gone)
                })
            })
            .await
            .map_err(said)
    }
}
