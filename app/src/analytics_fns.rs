//! What the page of analytics is made from. The server alone renders it, so this is no server function.

use crate::{
    AppError,
    platform_fns::{Whose, whose},
    server_fns::{asking, form, told},
    zone,
};
use control::{
    ControlError,
    analytics::{Measure, SeriesFilter, SeriesQuestion, TopBy},
};
use domain::{
    Permission, Timestamp,
    view::{AnalyticsGeography, AnalyticsSeries, AnalyticsTop, Bucket, TenantView, UsagePatterns},
};
use serde::{Deserialize, Serialize};

/// Days that can be chosen.
pub const DAYS: [i64; 3] = [7, 30, 90];
const DAY_MS: i64 = 86_400_000;
/// Longest range in days, as the questions have it.
const LONGEST_DAYS: i64 = 800;

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

/// What the address asks for; it is the state of the page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Days up to now; `None` with two days of one's own.
    pub days: Option<i64>,
    /// First and last day of one's own range, like `2026-11-24`, in the zone.
    pub between: Option<(String, String)>,
    /// Only of this plugin, by its id.
    pub plugin: Option<String>,
    /// Only of plugins of this environment.
    pub environment: Option<String>,
    /// Only of this type.
    pub event_type: Option<String>,
    /// Only from this country.
    pub country: Option<String>,
    /// Whose days and hours.
    pub zone: String,
}

impl Asked {
    fn read(pairs: &[(String, String)]) -> Result<Self, ControlError> {
        let value = |name: &str| {
            pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.trim().to_owned()).filter(|it| !it.is_empty())
        };
        let days = value("days").and_then(|text| text.parse().ok()).filter(|days| DAYS.contains(days)).unwrap_or(30);
        let between = match (value("from"), value("to")) {
            (None, None) => None,
            (Some(from), Some(to)) => Some((from, to)),
            (Some(_), None) => return Err(ControlError::field("to", "name the last day too, like to=2026-11-24")),
            (None, Some(_)) => return Err(ControlError::field("from", "name the first day too, like from=2026-11-01")),
        };
        Ok(Self {
            days: between.is_none().then_some(days),
            between,
            plugin: value("plugin"),
            environment: value("environment"),
            event_type: value("event_type"),
            country: value("country"),
            zone: value("zone").unwrap_or_else(|| "UTC".to_owned()),
        })
    }

    /// As an address has it, without what is as it is anyway.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        pairs.extend(self.days.map(|days| ("days", days.to_string())));
        if let Some((from, to)) = &self.between {
            pairs.extend([("from", from.clone()), ("to", to.clone())]);
        }
        for (name, value) in [
            ("plugin", &self.plugin),
            ("environment", &self.environment),
            ("event_type", &self.event_type),
            ("country", &self.country),
        ] {
            pairs.extend(value.clone().map(|value| (name, value)));
        }
        if self.zone != "UTC" {
            pairs.push(("zone", self.zone.clone()));
        }
        pairs
    }

    fn filter(&self) -> Result<SeriesFilter, ControlError> {
        let plugin = self.plugin.as_deref().map(|text| {
            text.parse().map_err(|_| ControlError::field("plugin", format!("'{text}' is not the id of a plugin")))
        });
        Ok(SeriesFilter {
            plugin: plugin.transpose()?,
            environment: self.environment.clone(),
            event_type: self.event_type.clone(),
            country: self.country.clone(),
        })
    }

    /// Whole days of the zone, the last one up to now: the first bar is as wide as the others.
    fn span(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), ControlError> {
        let unknown = || {
            ControlError::field("zone", format!("'{}' is no time zone; name one like Europe/Berlin or UTC", self.zone))
        };
        let Some((from, to)) = &self.between else {
            let days = self.days.unwrap_or(30) - 1;
            return Ok((zone::days_before(&self.zone, now, days).ok_or_else(unknown)?, now));
        };
        zone::today(&self.zone, now).ok_or_else(unknown)?;
        let start = |field: &'static str, day: &str| {
            zone::day_start(&self.zone, day)
                .ok_or_else(|| ControlError::field(field, format!("'{day}' is no day like 2026-11-24")))
        };
        let (first, last) = (start("from", from)?, start("to", to)?);
        if first > last || first >= now {
            return Err(ControlError::field("from", "the first day must not be after the last, nor still to come"));
        }
        let end = zone::days_before(&self.zone, last, -1).ok_or_else(unknown)?.min(now);
        if end.0 - first.0 > LONGEST_DAYS * DAY_MS {
            return Err(ControlError::field("from", format!("a range has at most {LONGEST_DAYS} days")));
        }
        Ok((first, end))
    }
}

/// How a tenant's plugins were used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysed {
    /// Whose.
    pub whose: Whose,
    /// What was asked for.
    pub asked: Asked,
    /// Days of the range, begun ones too.
    pub days: i64,
    /// The name of the plugin that is filtered by.
    pub plugin: Option<String>,
    /// Types of events of the range without a filter: what can be chosen.
    pub all_types: Vec<String>,
    /// Countries of the range without a filter.
    pub all_countries: Vec<String>,
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
    let asked = told(Asked::read(&pairs))?;
    let filter = told(asked.filter())?;
    let now = control::now();
    let span = told(asked.span(now))?;
    let days = (span.1.0 - span.0.0 + DAY_MS - 1) / DAY_MS;
    let bucket = Some(match days {
        ..=7 => Bucket::Hour,
        8..=120 => Bucket::Day,
        _ => Bucket::Week,
    });
    let question = SeriesQuestion {
        measure: Measure::Events,
        filter: filter.clone(),
        from: span.0,
        to: span.1,
        bucket,
        time_zone: Some(asked.zone.clone()),
    };
    let top = async |by: TopBy, filter: &SeriesFilter, rows: usize| {
        told(control.analytics_top(&actor, tenant, (by, filter), span, rows).await)
    };
    let none = SeriesFilter::default();
    let keys = |top: AnalyticsTop| top.rows.into_iter().map(|row| row.key).collect::<Vec<_>>();
    let plugins = top(TopBy::Plugins, &filter, 10).await?;
    let plugin = match &asked.plugin {
        Some(id) => {
            let named = plugins.rows.iter().find(|row| row.key == *id).map(|row| row.label.clone());
            Some(named.unwrap_or_else(|| format!("plugin {id}")))
        }
        None => None,
    };
    Ok(AnalyticsData::Page(Box::new(Analysed {
        whose: whose(&control, &actor, tenant).await?,
        days,
        plugin,
        all_types: keys(top(TopBy::EventTypes, &none, 50).await?),
        all_countries: keys(top(TopBy::Countries, &none, 100).await?),
        series: told(control.analytics_series(&actor, tenant, &question).await)?,
        plugins,
        types: top(TopBy::EventTypes, &filter, 8).await?,
        geography: told(control.analytics_geography(&actor, tenant, &filter, span).await)?,
        patterns: told(
            control.analytics_usage_patterns(&actor, tenant, &filter, span, Some(asked.zone.as_str())).await,
        )?,
        asked,
        now,
    })))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn asked(search: &str) -> Result<Asked, ControlError> {
        Asked::read(&form(search))
    }

    #[test]
    fn an_address_is_read_and_written_again() {
        for text in [
            "days=30",
            "from=2026-11-01&to=2026-11-03&plugin=7&environment=staging&event_type=view&country=DE&zone=Europe/Berlin",
        ] {
            let read = asked(text).unwrap();
            let written = read.pairs().into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
            assert_eq!(written.join("&"), text);
        }
        assert_eq!(asked("days=8&zone=&plugin=").unwrap().pairs(), [("days", "30".to_owned())]);
        assert!(asked("from=2026-11-01").is_err());
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        let now = at("2026-11-24T10:00:00Z");
        let span = |text: &str| asked(text).unwrap().span(now);
        assert_eq!(span("days=7").unwrap(), (at("2026-11-18T00:00:00Z"), now));
        assert_eq!(span("days=7&zone=Asia/Kolkata").unwrap(), (at("2026-11-17T18:30:00Z"), now));
        let berlin = "from=2026-10-24&to=2026-10-25&zone=Europe/Berlin";
        assert_eq!(span(berlin).unwrap(), (at("2026-10-23T22:00:00Z"), at("2026-10-25T23:00:00Z")));
        assert_eq!(span("from=2026-11-24&to=2026-11-30").unwrap().1, now, "what is to come is left out");
        for wrong in [
            "from=2026-11-03&to=2026-11-01",
            "from=2026-12-01&to=2026-12-02",
            "from=yesterday&to=2026-11-01",
            "from=2020-01-01&to=2026-11-01",
            "zone=Nowhere/Land",
        ] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
