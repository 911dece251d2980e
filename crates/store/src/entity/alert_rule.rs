//! Settings of rules that are not as shipped.
use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_rule")]
pub struct Model {
    #[sea_orm(primary_key)]
    /// Id.
    pub id: i64,
    /// For which cluster; empty for all, and for those of a group.
    pub cluster_id: String,
    /// For the clusters of which group; empty for one cluster, and for all.
    pub group_name: String,
    /// Key of the rule.
    pub rule: String,
    #[sea_orm(column_type = "Text")]
    /// A `domain::alert::RuleSettings`, JSON.
    pub settings: String,
    /// Who.
    pub updated_by: String,
    /// When.
    pub updated_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
