//! Which events: the conditions of a question, in SQL.
use crate::{AnalyticsError, counts::Dimension};
use sqlx::{Postgres, postgres::PgArguments, query::Query};

/// Which events or samples; all that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesFilter {
    /// Only of this plugin.
    pub plugin: Option<i64>,
    /// Only of plugins of this environment, as they are now.
    pub environment: Option<String>,
    /// Only of this type; not for metrics and users.
    pub event_type: Option<String>,
    /// Only from this country; not for metrics.
    pub country: Option<String>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    Plugin(i64),
    Environment(String),
    EventType(String),
    Country(String),
}

impl Only {
    /// What a table must tell apart for it.
    pub(crate) const fn dimension(&self) -> Dimension {
        match self {
            Self::Plugin(_) | Self::Environment(_) => Dimension::Plugin,
            Self::EventType(_) => Dimension::EventType,
            Self::Country(_) => Dimension::Country,
        }
    }

    /// The value as text.
    pub(crate) fn value(&self) -> String {
        match self {
            Self::Plugin(id) => id.to_string(),
            Self::Environment(text) | Self::EventType(text) | Self::Country(text) => text.clone(),
        }
    }

    /// Of a table `r` with a column for each dimension; `$1` is the tenant, `$n` the value.
    pub(crate) fn sql(&self, country: &str, n: usize) -> String {
        match self {
            Self::Plugin(_) => format!(" AND r.plugin_id = ${n}::text::int8"),
            Self::Environment(_) => format!(
                " AND r.plugin_id = ANY (ARRAY(SELECT p.id FROM plugins p WHERE p.tenant_id = $1 AND p.environment = ${n}::text))"
            ),
            Self::EventType(_) => format!(" AND r.event_type = ${n}::text"),
            Self::Country(_) => format!(" AND {country} = ${n}::text"),
        }
    }

    /// Of a table with one dimension, whose value is `r.key`.
    pub(crate) fn key_sql(&self, n: usize) -> String {
        match self {
            Self::Environment(_) => format!(
                " AND r.key = ANY (ARRAY(SELECT p.id::text FROM plugins p WHERE p.tenant_id = $1 AND p.environment = ${n}::text))"
            ),
            _ => format!(" AND r.key = ${n}::text"),
        }
    }
}

impl SeriesFilter {
    pub(crate) fn all(&self) -> Vec<Only> {
        let mut all = self.of_users();
        all.extend(self.event_type.clone().map(Only::EventType));
        all
    }

    /// Those that are known of users, too.
    pub(crate) fn of_users(&self) -> Vec<Only> {
        let mut all = Vec::new();
        all.extend(self.plugin.map(Only::Plugin));
        all.extend(self.environment.clone().map(Only::Environment));
        all.extend(self.country.clone().map(Only::Country));
        all
    }

    pub(crate) fn check(&self) -> Result<(), AnalyticsError> {
        const ENVIRONMENTS: [&str; 3] = ["production", "staging", "development"];
        if self.environment.as_deref().is_some_and(|it| !ENVIRONMENTS.contains(&it)) {
            return Err(AnalyticsError::invalid(
                "environment",
                format!("environment is one of {}", ENVIRONMENTS.join(", ")),
            ));
        }
        for (field, text) in [("event_type", &self.event_type), ("country", &self.country)] {
            if text.as_ref().is_some_and(|text| text.len() > 64 || text.contains('\0')) {
                return Err(AnalyticsError::invalid(field, format!("{field} has at most 64 bytes")));
            }
        }
        Ok(())
    }
}

/// Binds the values of conditions, in their order.
pub(crate) fn bind_only<'q>(
    mut query: Query<'q, Postgres, PgArguments>,
    only: &[Only],
) -> Query<'q, Postgres, PgArguments> {
    for one in only {
        query = query.bind(one.value());
    }
    query
}
