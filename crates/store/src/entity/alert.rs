//! Alerts, from the breach to the end.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "alert")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    /// Id, given by us.
    pub id: i64,
    /// Cluster.
    pub cluster_id: String,
    /// Key of the rule.
    pub rule: String,
    #[sea_orm(column_type = "Text")]
    /// What it is about; empty for the whole cluster.
    pub object: String,
    #[sea_orm(column_type = "Text")]
    /// The rule's sentence.
    pub title: String,
    #[sea_orm(column_type = "Text", nullable)]
    /// More of it.
    pub detail: Option<String>,
    /// A `domain::alert::Severity`.
    pub severity: String,
    /// `pending`, `firing`, `resolved`.
    pub phase: String,
    /// Last value.
    pub value: Option<f64>,
    #[sea_orm(column_type = "Text")]
    /// The same for people.
    pub measured: String,
    #[sea_orm(column_type = "Text")]
    /// What it is compared with.
    pub threshold: String,
    /// First breached.
    pub started_at: i64,
    /// Raised.
    pub fired_at: Option<i64>,
    /// Over.
    pub resolved_at: Option<i64>,
    /// Notices: when it ends by itself.
    pub expires_at: Option<i64>,
    /// Since when its figure is missing.
    pub no_data_since: Option<i64>,
    /// Number of the snapshot that raised it.
    pub sequence: i64,
    /// Where to look.
    pub page: String,
    #[sea_orm(column_type = "Text")]
    /// State of the machine, JSON.
    pub machine: String,
    /// The worst severity that people were told.
    pub notified: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    /// The blackout that keeps it quiet.
    pub suppressed_by: Option<String>,
    /// Who has taken it on.
    pub ack_by: Option<String>,
    /// When.
    pub ack_at: Option<i64>,
    #[sea_orm(column_type = "Text", nullable)]
    /// What they said.
    pub ack_note: Option<String>,
    /// Until when.
    pub ack_until: Option<i64>,
    /// How bad it was then.
    pub ack_severity: Option<String>,
    /// Who keeps it quiet.
    pub silence_by: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    /// What they said.
    pub silence_note: Option<String>,
    /// Until when.
    pub silence_until: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
