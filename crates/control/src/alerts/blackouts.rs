//! Blackouts: making, listing and ending them.
use super::book;
use crate::{Actor, ControlError, ControlPlane, now};
use domain::{Permission, Timestamp, view::BlackoutView};
use serde_json::json;
use store::{BlackoutRepo, BlackoutRow};

/// A blackout to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBlackout {
    /// Why.
    pub reason: String,
    /// Only this cluster.
    pub cluster: Option<String>,
    /// Only this rule.
    pub rule: Option<String>,
    /// From.
    pub starts_at: Timestamp,
    /// To; a recurring one ends here too.
    pub ends_at: Timestamp,
    /// Recurring: when each window begins.
    pub cron: Option<String>,
    /// Recurring: how long each lasts.
    pub duration_seconds: Option<u32>,
}

/// The longest single blackout: a month. The longest recurring one: two years.
const LONGEST_ONCE_MS: i64 = 31 * 86_400_000;
const LONGEST_RECURRING_MS: i64 = 731 * 86_400_000;

impl ControlPlane {
    /// All blackouts, the newest first.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn blackouts_list(&self, actor: &Actor) -> Result<Vec<BlackoutView>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let at = now();
        Ok(BlackoutRepo(self.store().db()).list().await?.iter().map(|row| view(row, at)).collect())
    }

    /// Makes one.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`] by field.
    pub async fn blackout_create(&self, actor: &Actor, new: NewBlackout) -> Result<BlackoutView, ControlError> {
        const ACTION: &str = "blackout_create";
        self.authorize_audited(actor, Permission::AlertManage, ACTION, ("blackout", "")).await?;
        let reason = super::list::checked_note(&new.reason)?;
        if reason.is_empty() {
            return Err(ControlError::field("reason", "say why nobody is to be told"));
        }
        if let Some(id) = new.cluster.as_deref() {
            self.clusters().find(Some(id))?;
        }
        if let Some(key) = new.rule.as_deref() {
            super::rules::known(key)?;
        }
        let at = now();
        if new.ends_at <= at {
            return Err(ControlError::field("ends_at", "a blackout ends in the future"));
        }
        let longest = if new.cron.is_some() { LONGEST_RECURRING_MS } else { LONGEST_ONCE_MS };
        if new.ends_at.0.saturating_sub(new.starts_at.0) > longest {
            return Err(ControlError::field(
                "ends_at",
                "a blackout lasts for at most a month, a recurring one for two years",
            ));
        }
        let row = BlackoutRow {
            id: 0,
            reason,
            cluster_id: new.cluster,
            rule: new.rule,
            starts_at: new.starts_at,
            ends_at: new.ends_at,
            cron: new.cron.map(|cron| cron.split_whitespace().collect::<Vec<_>>().join(" ")),
            duration_seconds: new.duration_seconds,
            created_by: super::list::who(actor),
            created_at: at,
        };
        book::window(&row).map_err(|(field, message)| ControlError::field(field, message))?;
        let transaction = self.store().begin().await?;
        let row = BlackoutRepo(&transaction).insert(&row).await?;
        self.audit_in(&transaction, actor, ACTION, ("blackout", &row.id.to_string()), (None, Some(told(&row)))).await?;
        self.store().commit(transaction).await?;
        self.refresh_alerts().await?;
        Ok(view(&row, at))
    }

    /// Ends one before its time: it is removed, and what goes on is told.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn blackout_end(&self, actor: &Actor, id: &str) -> Result<(), ControlError> {
        const ACTION: &str = "blackout_end";
        self.authorize_audited(actor, Permission::AlertManage, ACTION, ("blackout", id)).await?;
        let missing = || ControlError::not_found("blackout", id, "the list of blackouts shows all");
        let number = id.parse().map_err(|_| missing())?;
        let transaction = self.store().begin().await?;
        let row = BlackoutRepo(&transaction).get(number).await?.ok_or_else(missing)?;
        BlackoutRepo(&transaction).delete(number).await?;
        self.audit_in(&transaction, actor, ACTION, ("blackout", id), (Some(told(&row)), None)).await?;
        self.store().commit(transaction).await?;
        self.refresh_alerts().await
    }
}

fn told(row: &BlackoutRow) -> serde_json::Value {
    json!({
        "reason": row.reason, "cluster": row.cluster_id, "rule": row.rule, "starts_at": row.starts_at,
        "ends_at": row.ends_at, "cron": row.cron, "duration_seconds": row.duration_seconds,
    })
}

fn view(row: &BlackoutRow, at: Timestamp) -> BlackoutView {
    let window = book::window(row).ok();
    BlackoutView {
        id: row.id.to_string(),
        reason: row.reason.clone(),
        cluster: row.cluster_id.clone(),
        rule: row.rule.clone(),
        starts_at: row.starts_at,
        ends_at: row.ends_at,
        cron: row.cron.clone(),
        duration_seconds: row.duration_seconds,
        created_by: row.created_by.clone(),
        created_at: row.created_at,
        active: window.as_ref().is_some_and(|window| window.current(at).is_some()),
        next_at: window.and_then(|window| window.next(at)),
    }
}
