//! Taking one backup away, whatever the rules of retention say of it.
use super::{ExpireParams, JobParams, engine};
use crate::{Actor, Confirmation, ControlError, ControlPlane};
use backup::retention::{ExpirePlan, plan_removal};
use domain::{
    ErrorKind, Permission, Timestamp,
    view::{JobView, RecoveryInterval, RemovalPlanView},
};
use serde_json::json;

impl ControlPlane {
    /// What the removal of a backup would take with it and why it would be refused. Nothing is changed.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn backup_removal_plan(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
    ) -> Result<RemovalPlanView, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        let (_, slot) = self.protected(cluster)?;
        let catalogue = slot.catalogue.load_full();
        let one = catalogue.backups.iter().find(|one| one.id == id);
        let one = one.ok_or_else(|| ControlError::not_found("backup", id, "the list of backups shows all"))?;
        let retention = &slot.config.retention;
        let mut view = RemovalPlanView {
            backup: id.to_owned(),
            recallable_hours: retention.grace_hours.unwrap_or(24),
            others_of_lineage: catalogue.backups.iter().filter(|it| it.lineage == one.lineage && it.id != id).count()
                as u64,
            ..RemovalPlanView::default()
        };
        let ends = catalogue.backups.iter().filter(|it| it.id != id).map(|it| it.stopped_at).collect::<Vec<_>>();
        (view.lost_from, view.lost_to) = lost(&catalogue.intervals, &ends, one.stopped_at).unzip();
        match self.removal(cluster, id).await {
            Ok(plan) => {
                view.objects = plan.objects.len() as u64;
                view.bytes = plan.bytes;
                view.wal_before = plan.wal_before;
            }
            Err(error) if error.kind() == ErrorKind::Conflict => view.refusals.push(error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(view)
    }

    async fn removal(&self, cluster: Option<&str>, id: &str) -> Result<ExpirePlan, ControlError> {
        let (_, slot) = self.protected(cluster)?;
        let repository = slot.repository().await?;
        let Some(system) = slot.catalogue.load().system else {
            return Err(ControlError::Conflict("the repository holds nothing of this cluster yet".to_owned()));
        };
        plan_removal(&repository, system, &slot.config.retention, id).await.map_err(engine)
    }

    /// Takes a backup off the list, soon; its objects go when its grace time is over. The typed name is the cluster's id.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::Conflict`] with why it must stay.
    pub async fn backup_remove(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        id: &str,
        confirmation: &Confirmation,
    ) -> Result<JobView, ControlError> {
        const ACTION: &str = "backup_remove";
        self.authorize_audited(actor, Permission::BackupExpire, ACTION, ("backup", id)).await?;
        let (name, slot) = self.protected_audited(actor, ACTION, ("backup", id), cluster).await?;
        self.confirm(actor, ACTION, ("backup", id), name, confirmation).await?;
        let same = |before: &JobParams| matches!(before, JobParams::Expire(it) if it.remove.as_deref() == Some(id));
        if let Some(job) = self.job_asked_before(actor, ACTION, Some(name), same).await? {
            return Ok(job);
        }
        let catalogue = slot.catalogue.load_full();
        let allowed = async {
            let one = catalogue.backups.iter().find(|one| one.id == id);
            let one = one.ok_or_else(|| ControlError::not_found("backup", id, "the list of backups shows all"))?;
            self.removal(Some(name), id).await.map(|_| one)
        };
        let one = self.told(actor, ACTION, ("backup", id), allowed.await).await?;
        let before = json!({
            "backup": id,
            "kind": one.kind.to_string(),
            "lineage": one.lineage.to_string(),
            "stopped_at": one.stopped_at,
            "stored_bytes": one.stats.stored_bytes,
        });
        let params = ExpireParams { only: Some(vec![id.to_owned()]), remove: Some(id.to_owned()) };
        self.job_ask(actor, ACTION, Some(name), JobParams::Expire(params), Some(before)).await
    }
}

/// Moments that could be restored from no other backup: from its end to the end of the next one, when no earlier one
/// reaches them. `others` are the ends of all others, oldest first.
fn lost(intervals: &[RecoveryInterval], others: &[Timestamp], end: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let interval = intervals.iter().find(|it| it.from <= end && end <= it.to)?;
    let inside = |at: &&Timestamp| interval.from <= **at && **at <= interval.to;
    if others.iter().filter(inside).any(|at| *at <= end) {
        return None;
    }
    let until = others.iter().filter(inside).find(|at| **at > end).copied();
    Some((end, until.unwrap_or(interval.to)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Lsn;

    #[test]
    fn what_no_other_backup_reaches_is_lost() {
        let interval = |from, to| RecoveryInterval {
            from: Timestamp(from),
            to: Timestamp(to),
            from_lsn: Lsn(1),
            to_lsn: Lsn(2),
            timeline: 1,
        };
        let intervals = [interval(100, 500), interval(700, 900)];
        let at = |times: &[i64]| times.iter().copied().map(Timestamp).collect::<Vec<_>>();
        let moments = |others: &[i64], end| lost(&intervals, &at(others), Timestamp(end)).map(|it| (it.0.0, it.1.0));
        assert_eq!(moments(&[300, 700], 100), Some((100, 300)), "the first of an interval: up to the next");
        assert_eq!(moments(&[100, 700], 300), None, "an earlier one reaches all that this one does");
        assert_eq!(moments(&[100, 300], 700), Some((700, 900)), "none other is behind the gap");
        assert_eq!(moments(&[], 600), None, "it reaches nothing as it is");
    }
}
