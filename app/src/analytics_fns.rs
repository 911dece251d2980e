//! What the page of analytics is made from. The server alone renders it, so this is no server function.

use crate::{
    AppError,
    platform_fns::{Whose, whose},
    server_fns::{asking, form, told},
};
use control::analytics::{Measure, SeriesFilter, SeriesQuestion, TopBy};
use domain::{
    Permission, Timestamp,
    view::{AnalyticsGeography, AnalyticsSeries, AnalyticsTop, Bucket, TenantView, UsagePatterns},
};
use serde::{Deserialize, Serialize};

/// Days that can be chosen.
pub const DAYS: [i64; 3] = [7, 30, 90];
const DAY_MS: i64 = 86_400_000;

/// The page, or what stands in its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AnalyticsData {
    /// The platform cannot be worked with: why, and what mends it.
    Missing(String, Vec<String>),
    /// The reader belongs to no tenant and has chosen none.
    Choose(Vec<TenantView>, String),
    /// The page.
    Page(Box<Analysed>),
}

/// How a tenant's plugins were used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysed {
    /// Whose.
    pub whose: Whose,
    /// Days of the range.
    pub days: i64,
    /// Events over time.
    pub series: AnalyticsSeries,
    /// Plugins.
    pub plugins: AnalyticsTop,
    /// Types of events.
    pub types: AnalyticsTop,
    /// Countries.
    pub geography: AnalyticsGeography,
    /// Hours, users, cohorts, co-use.
    pub patterns: UsagePatterns,
    /// Now.
    pub now: Timestamp,
}

/// By the page's own address.
pub async fn load_analytics(search: String) -> Result<AnalyticsData, AppError> {
    let (control, actor) = asking()?;
    let state = told(control.platform_state(&actor))?;
    if let Some(message) = state.message() {
        return Ok(AnalyticsData::Missing(message, state.cure()));
    }
    let pairs = form(&search);
    let value =
        |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.trim()).filter(|it| !it.is_empty());
    let tenant = value("tenant");
    if tenant.is_none() && actor.may(Permission::TenantChoose) {
        let begins = value("begins").unwrap_or_default();
        return Ok(AnalyticsData::Choose(told(control.tenants_list(&actor, begins).await)?, begins.to_owned()));
    }
    let days = value("days").and_then(|text| text.parse().ok()).filter(|days| DAYS.contains(days)).unwrap_or(30);
    let now = control::now();
    // Whole days up to now: the first bar is as wide as the others.
    let from = Timestamp(now.0 - now.0.rem_euclid(DAY_MS) - (days - 1) * DAY_MS);
    let span = (from, now);
    let bucket = Some(if days <= 7 { Bucket::Hour } else { Bucket::Day });
    let question = SeriesQuestion { measure: Measure::Events, filter: SeriesFilter::default(), from, to: now, bucket };
    Ok(AnalyticsData::Page(Box::new(Analysed {
        whose: whose(&control, &actor, tenant).await?,
        days,
        series: told(control.analytics_series(&actor, tenant, &question).await)?,
        plugins: told(control.analytics_top(&actor, tenant, TopBy::Plugins, span, 10).await)?,
        types: told(control.analytics_top(&actor, tenant, TopBy::EventTypes, span, 8).await)?,
        geography: told(control.analytics_geography(&actor, tenant, span).await)?,
        patterns: told(control.analytics_usage_patterns(&actor, tenant, span).await)?,
        now,
    })))
}
