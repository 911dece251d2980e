//! Settings of rules that are not as shipped, and blackouts.
use crate::{
    StoreError,
    entity::{alert_blackout, alert_rule},
};
use domain::{
    Timestamp,
    alert::{RuleScope, RuleSettings},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    sea_query::OnConflict,
};

/// What a rule is set to, for one cluster, a group of them or all.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRuleRow {
    /// For which clusters.
    pub scope: RuleScope,
    /// Key of the rule.
    pub rule: String,
    /// What it is set to.
    pub settings: RuleSettings,
    /// Who.
    pub updated_by: String,
    /// When.
    pub updated_at: Timestamp,
}

/// Settings over a connection or a transaction.
#[derive(Debug)]
pub struct AlertRuleRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> AlertRuleRepo<'_, C> {
    /// All.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<AlertRuleRow>, StoreError> {
        let rows = alert_rule::Entity::find().order_by_asc(alert_rule::Column::Id).all(self.0).await;
        rows.map_err(StoreError::query("list settings of rules"))?
            .into_iter()
            .map(|row| {
                let settings = serde_json::from_str(&row.settings)
                    .map_err(|error| StoreError::Damaged { what: "setting of a rule", detail: error.to_string() })?;
                let named = |text: String| Some(text).filter(|text| !text.is_empty());
                let scope = RuleScope::of(named(row.cluster_id), named(row.group_name)).ok_or_else(|| {
                    let detail = "it is for a cluster and a group at once".to_owned();
                    StoreError::Damaged { what: "setting of a rule", detail }
                })?;
                Ok(AlertRuleRow {
                    scope,
                    rule: row.rule,
                    settings,
                    updated_by: row.updated_by,
                    updated_at: Timestamp(row.updated_at),
                })
            })
            .collect()
    }

    /// Sets one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set(&self, row: &AlertRuleRow) -> Result<(), StoreError> {
        use alert_rule::Column as C;
        let settings = serde_json::to_string(&row.settings)
            .map_err(|error| StoreError::Damaged { what: "setting of a rule", detail: error.to_string() })?;
        let model = alert_rule::ActiveModel {
            cluster_id: Set(row.scope.cluster().unwrap_or_default().to_owned()),
            group_name: Set(row.scope.group().unwrap_or_default().to_owned()),
            rule: Set(row.rule.clone()),
            settings: Set(settings),
            updated_by: Set(row.updated_by.clone()),
            updated_at: Set(row.updated_at.0),
            ..Default::default()
        };
        let mut conflict = OnConflict::columns([C::ClusterId, C::GroupName, C::Rule]);
        conflict.update_columns([C::Settings, C::UpdatedBy, C::UpdatedAt]);
        alert_rule::Entity::insert(model)
            .on_conflict(conflict)
            .exec_without_returning(self.0)
            .await
            .map(drop)
            .map_err(StoreError::query("set a rule"))
    }

    /// Takes one back; whether there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete(&self, scope: &RuleScope, rule: &str) -> Result<bool, StoreError> {
        let deleted = alert_rule::Entity::delete_many()
            .filter(alert_rule::Column::ClusterId.eq(scope.cluster().unwrap_or_default()))
            .filter(alert_rule::Column::GroupName.eq(scope.group().unwrap_or_default()))
            .filter(alert_rule::Column::Rule.eq(rule))
            .exec(self.0)
            .await;
        deleted.map(|result| result.rows_affected > 0).map_err(StoreError::query("take back a setting of a rule"))
    }
}

/// A time in which nobody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlackoutRow {
    /// Id; not read by [`BlackoutRepo::insert`].
    pub id: i64,
    /// Why.
    pub reason: String,
    /// Only this cluster.
    pub cluster_id: Option<String>,
    /// Only this rule.
    pub rule: Option<String>,
    /// From.
    pub starts_at: Timestamp,
    /// To.
    pub ends_at: Timestamp,
    /// Recurring: when each window begins.
    pub cron: Option<String>,
    /// Recurring: how long each lasts.
    pub duration_seconds: Option<u32>,
    /// Made by.
    pub created_by: String,
    /// Made.
    pub created_at: Timestamp,
}

/// Blackouts over a connection or a transaction.
#[derive(Debug)]
pub struct BlackoutRepo<'a, C>(pub &'a C);

impl<C: ConnectionTrait> BlackoutRepo<'_, C> {
    /// All, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<BlackoutRow>, StoreError> {
        let rows = alert_blackout::Entity::find().order_by_desc(alert_blackout::Column::Id).all(self.0).await;
        Ok(rows.map_err(StoreError::query("list blackouts"))?.into_iter().map(blackout).collect())
    }

    /// One by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: i64) -> Result<Option<BlackoutRow>, StoreError> {
        let row = alert_blackout::Entity::find_by_id(id).one(self.0).await;
        Ok(row.map_err(StoreError::query("find a blackout"))?.map(blackout))
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert(&self, new: &BlackoutRow) -> Result<BlackoutRow, StoreError> {
        let row = alert_blackout::ActiveModel {
            reason: Set(new.reason.clone()),
            cluster_id: Set(new.cluster_id.clone()),
            rule: Set(new.rule.clone()),
            starts_at: Set(new.starts_at.0),
            ends_at: Set(new.ends_at.0),
            cron: Set(new.cron.clone()),
            duration_seconds: Set(new.duration_seconds.map(i64::from)),
            created_by: Set(new.created_by.clone()),
            created_at: Set(new.created_at.0),
            ..Default::default()
        };
        let row = alert_blackout::Entity::insert(row).exec_with_returning(self.0).await;
        row.map(blackout).map_err(StoreError::query("add a blackout"))
    }

    /// Removes one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete(&self, id: i64) -> Result<(), StoreError> {
        let deleted = alert_blackout::Entity::delete_by_id(id).exec(self.0).await;
        deleted.map(drop).map_err(StoreError::query("remove a blackout"))
    }

    /// Removes those that ended before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let deleted = alert_blackout::Entity::delete_many()
            .filter(alert_blackout::Column::EndsAt.lt(before.0))
            .exec(self.0)
            .await;
        deleted.map(|result| result.rows_affected).map_err(StoreError::query("remove old blackouts"))
    }
}

fn blackout(row: alert_blackout::Model) -> BlackoutRow {
    BlackoutRow {
        id: row.id,
        reason: row.reason,
        cluster_id: row.cluster_id,
        rule: row.rule,
        starts_at: Timestamp(row.starts_at),
        ends_at: Timestamp(row.ends_at),
        cron: row.cron,
        duration_seconds: row.duration_seconds.and_then(|seconds| u32::try_from(seconds).ok()),
        created_by: row.created_by,
        created_at: Timestamp(row.created_at),
    }
}
