//! Database load: average active sessions, taken apart in one of several ways.
use super::{Range, TimeSeries};
use crate::reading::CollectorStatus;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What the load is taken apart by; part of the address: `?by=query`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LoadBy {
    /// Class of what is waited for.
    #[default]
    Wait,
    /// What exactly is waited for.
    Event,
    /// Statement.
    Query,
    /// Role.
    User,
    /// Database.
    Database,
    /// Application.
    Application,
    /// Address of the client.
    Host,
}

impl LoadBy {
    /// All, in the order of the buttons.
    pub const ALL: [Self; 7] =
        [Self::Wait, Self::Event, Self::Query, Self::User, Self::Database, Self::Application, Self::Host];

    /// The value in the address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Event => "event",
            Self::Query => "query",
            Self::User => "user",
            Self::Database => "database",
            Self::Application => "application",
            Self::Host => "host",
        }
    }
}

impl fmt::Display for LoadBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LoadBy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|by| by.as_str() == text).ok_or_else(|| {
            format!("'{text}' is not a way to take the load apart; use {}", Self::ALL.map(Self::as_str).join(", "))
        })
    }
}

/// One statement's part of the load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoadRow {
    /// `queryid` as text; `None` for sessions whose statement the server does not name.
    pub fingerprint: Option<String>,
    /// Id for `/queries/{id}`, when the statement is known.
    pub id: Option<String>,
    /// Its text on one line, or what stands in for it.
    pub query: String,
    /// `query` is words about a statement whose text is not known, and no SQL.
    #[serde(default)]
    pub stands_in: bool,
    /// Average active sessions in it.
    pub average_active_sessions: f64,
    /// Of all load.
    pub percent: f64,
    /// Wait class and its average active sessions, the most first.
    pub waits: Vec<(String, f64)>,
}

/// Load over a range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoadPage {
    /// Id of the cluster.
    pub cluster: String,
    /// How far back.
    pub range: Range,
    /// What it is taken apart by.
    pub by: LoadBy,
    /// Average active sessions over time; beyond the seven largest lines the rest is `Other`.
    pub series: TimeSeries,
    /// The statements that make most of it.
    pub top: Vec<LoadRow>,
    /// Processors of its machine, when they are configured (`cpus`) or the machine is ours.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// Average over the range.
    pub average_active_sessions: f64,
    /// Samples the figures rest on.
    pub samples: i64,
    /// Samples that were due and not taken.
    pub skipped: i64,
    /// State and age of the sampler.
    pub sampler: Option<CollectorStatus>,
}
