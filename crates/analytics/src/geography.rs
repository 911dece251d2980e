//! Where use comes from.
use crate::{
    Analytics, AnalyticsError,
    counts::Dimension,
    error::said,
    filter::SeriesFilter,
    plan::Plan,
    rollup::Kind,
    series::{known, range, snap},
    top::events_by,
    users::users_by,
};
use catalog::Tenant;
use domain::{
    Timestamp,
    view::{AnalyticsGeography, Bucket, CountryRow},
};
use pool::{Reader, Work};

impl Analytics {
    /// Events and users by country. Users are those of all types of events, whatever the filter says of these.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub async fn geography(
        &self,
        tenant: Tenant,
        filter: &SeriesFilter,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<AnalyticsGeography, AnalyticsError> {
        let (from, to) = range(from, to)?;
        filter.check()?;
        let ((from, to), counts, users) = self
            .pools
            .read(&tenant.asking(), |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = reader.connection()?;
                    let known = known(&mut *connection, Kind::Events, from, to).await?;
                    let (from, to) = (snap(from, &known), snap(to, &known));
                    let plan = Plan::make(from, to, Bucket::Day, &known);
                    let counts = events_by(&mut *connection, tenant, Dimension::Country, filter, &plan).await?;
                    let users =
                        users_by(connection, tenant, (Dimension::Country, filter, None), (from, to), &known).await?;
                    Ok::<_, AnalyticsError>(((from, to), counts, users))
                })
            })
            .await
            .map_err(said)?;
        let all = counts.values().sum::<i64>().max(1) as f64;
        let mut countries = counts
            .into_iter()
            .map(|(country, events)| CountryRow {
                users: users.get(&country).copied().unwrap_or_default(),
                share_percent: events as f64 * 100.0 / all,
                country,
                events,
            })
            .collect::<Vec<_>>();
        countries.sort_by(|a, b| (b.events, &a.country).cmp(&(a.events, &b.country)));
        Ok(AnalyticsGeography { from: Timestamp(from), to: Timestamp(to), countries })
    }
}
