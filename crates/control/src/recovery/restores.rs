//! Restoring: the plan that is shown, and the order to do it.
use super::{Catalogue, JobParams, Slot, engine, lies_in, running_in};
use crate::{Actor, Confirmation, ControlError, ControlPlane, now};
use backup::restore::{self, RestoreRequest, Target};
use domain::{
    Lsn, Permission, Timestamp,
    view::{JobView, RestorePlanView},
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Until where, as a person writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetAsk {
    /// `latest`, `immediate`, `time`, `lsn`, `xid` or `name`.
    pub kind: String,
    /// The moment, position, transaction or name.
    pub value: String,
}

impl TargetAsk {
    /// For people.
    pub fn label(&self) -> String {
        match self.kind.as_str() {
            "immediate" => "the end of the backup".to_owned(),
            "time" => self.value.clone(),
            "lsn" => format!("position {}", self.value),
            "xid" => format!("transaction {}", self.value),
            "name" => format!("restore point '{}'", self.value),
            _ => "the end of the WAL".to_owned(),
        }
    }

    /// For the engine.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] says how to write it.
    pub fn target(&self) -> Result<Target, ControlError> {
        let wrong = |message: String| ControlError::field("target", message);
        let value = self.value.trim();
        match self.kind.as_str() {
            "" | "latest" => Ok(Target::Latest),
            "immediate" => Ok(Target::Immediate),
            "time" => Target::time(value).map_err(|error| wrong(error.to_string())),
            "lsn" => value.parse::<Lsn>().map(Target::Lsn).map_err(|error| wrong(error.to_string())),
            "xid" => value.parse().map(Target::Xid).map_err(|_| wrong(format!("'{value}' is not a transaction id"))),
            "name" if value.is_empty() => Err(wrong("give the name of the restore point".to_owned())),
            "name" => Ok(Target::Name(value.to_owned())),
            other => Err(wrong(format!("'{other}' is not a target; use latest, immediate, time, lsn, xid or name"))),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreAsk {
    /// Until where.
    pub target: TargetAsk,
    /// Stop before the target instead of behind it.
    pub exclusive: bool,
    /// The backup; the best for the target when `None`.
    pub backup: Option<String>,
    /// The timeline; the newest when `None`.
    pub timeline: Option<u32>,
    /// Where to; a new directory below the configured one when empty.
    pub directory: String,
    /// The directory is a stopped cluster that is brought to the wanted state.
    pub delta: bool,
    /// Start it beside the original, tamed, on a free port of the loopback. Not with `delta`: whoever runs that cluster
    /// starts it.
    pub start: bool,
}

/// What a restore job does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreParams {
    /// Until where.
    pub target: TargetAsk,
    /// Stop before the target.
    pub exclusive: bool,
    /// From this backup.
    pub backup: String,
    /// The timeline that was planned.
    pub timeline: u32,
    /// The directory: of the whole copy (its data in `data`), or the data directory itself with `delta`.
    pub directory: PathBuf,
    /// Over a stopped cluster.
    pub delta: bool,
    /// Start it.
    pub start: bool,
}

impl RestoreParams {
    /// The data directory.
    pub fn data_directory(&self) -> PathBuf {
        if self.delta { self.directory.clone() } else { self.directory.join("data") }
    }
}

impl ControlPlane {
    /// What a restore would do, how long it would take and why it would be refused. Nothing is changed.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] for a target that cannot be reached, with the nearest that can.
    pub async fn restore_plan(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        ask: &RestoreAsk,
    ) -> Result<RestorePlanView, ControlError> {
        self.authorize(actor, Permission::BackupRead)?;
        Ok(self.planned(cluster, ask).await?.1)
    }

    pub(super) async fn planned(
        &self,
        cluster: Option<&str>,
        ask: &RestoreAsk,
    ) -> Result<(RestoreParams, RestorePlanView), ControlError> {
        let (id, slot) = self.protected(cluster)?;
        let request = RestoreRequest {
            system: slot.catalogue.load().system,
            backup: ask.backup.clone().filter(|backup| !backup.is_empty()),
            target: ask.target.target()?,
            timeline: ask.timeline,
        };
        if let Target::Time(text, at) = &request.target
            && *at > now()
        {
            return Err(ControlError::field("target", format!("{text} is in the future")));
        }
        let repository = slot.repository().await?;
        let (plan, _) = restore::plan(&repository, &request).await.map_err(engine)?;
        let directory = directory(slot, id, ask)?;
        let params = RestoreParams {
            target: ask.target.clone(),
            exclusive: ask.exclusive,
            backup: plan.backup.id.clone(),
            timeline: plan.timeline,
            directory: directory.clone(),
            delta: ask.delta,
            start: ask.start,
        };
        let free_bytes = free_bytes(&directory);
        let mut refusals = refusals(&params.data_directory(), ask.delta);
        if ask.start && ask.delta {
            refusals.push(format!(
                "a cluster that is restored over is started by whoever runs it, not here: ask for it without start, then pg_ctl -D {} start",
                params.directory.display()
            ));
        }
        if let Target::Time(text, at) = &request.target {
            refusals.extend(not_in_the_window(&slot.catalogue.load(), plan.timeline, text, *at));
        }
        if let Some(free) = free_bytes.filter(|free| !ask.delta && *free < plan.bytes) {
            refusals.push(format!(
                "{} has {} free; the restore needs {}",
                directory.display(),
                domain::format::bytes(free as f64),
                domain::format::bytes(plan.bytes as f64)
            ));
        }
        if !params.start && slot.config.restore_command.is_none() {
            refusals.push("whoever starts it needs a restore_command with a key file: set BACKUP_ENCRYPTION_KEY_PATH, or have it started here".to_owned());
        }
        let proofs = self.proofs(id).await?;
        let expected = analysis::recovery::forecast(plan.bytes, plan.wal_bytes, &proofs);
        let view = RestorePlanView {
            cluster: id.to_owned(),
            target: ask.target.label(),
            backup: plan.backup.id.clone(),
            backup_kind: plan.backup.kind.to_string(),
            backup_stopped_at: plan.backup.stopped_at,
            timeline: plan.timeline,
            bytes: plan.bytes,
            files: plan.files,
            wal_bytes: plan.wal_bytes,
            wal_until: plan.wal_until,
            last_commit_at: plan.last_commit,
            expected_seconds: expected.map(|it| it.seconds),
            rto_seconds: Some(self.objectives(slot).await?.rto_seconds),
            directory: params.data_directory().display().to_string(),
            free_bytes,
            notes: plan.notes,
            refusals,
        };
        Ok((params, view))
    }

    /// Restores, soon. The typed name is the cluster's id.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] with why the plan is refused.
    pub async fn restore_start(
        &self,
        actor: &Actor,
        cluster: Option<&str>,
        ask: &RestoreAsk,
        confirmation: &Confirmation,
    ) -> Result<JobView, ControlError> {
        let object = cluster.unwrap_or_default().to_owned();
        self.authorize_audited(actor, Permission::RestoreExecute, "restore_start", ("cluster", &object)).await?;
        let place = self.protected_audited(actor, "restore_start", ("cluster", &object), cluster).await?;
        let id = place.0.to_owned();
        self.confirm(actor, "restore_start", ("cluster", &id), &id, confirmation).await?;
        let same = |before: &JobParams| matches!(before, JobParams::Restore(params) if self.is_of(params, &id, ask));
        if let Some(job) = self.job_asked_before(actor, "restore_start", cluster, same).await? {
            return Ok(job);
        }
        let allowed = async {
            let (params, view) = self.planned(cluster, ask).await?;
            match view.refusals.into_iter().next() {
                Some(refusal) => Err(ControlError::Conflict(refusal)),
                None => Ok(params),
            }
        };
        let params = self.told(actor, "restore_start", ("cluster", &id), allowed.await).await?;
        let before = lies_in(&params.data_directory());
        self.job_ask(actor, "restore_start", cluster, JobParams::Restore(Box::new(params)), Some(before)).await
    }

    /// Whether a job's parameters came of this request. What the request leaves open was chosen then.
    fn is_of(&self, params: &RestoreParams, cluster: &str, ask: &RestoreAsk) -> bool {
        let named = !ask.directory.trim().is_empty();
        let slot = self.inner.recovery.slot(cluster);
        let to = slot.and_then(|slot| directory(slot, cluster, ask).ok());
        params.target == ask.target
            && (params.exclusive, params.delta, params.start) == (ask.exclusive, ask.delta, ask.start)
            && ask.backup.as_ref().is_none_or(|id| id.is_empty() || *id == params.backup)
            && ask.timeline.is_none_or(|timeline| timeline == params.timeline)
            && (!named || to.as_ref() == Some(&params.directory))
    }
}

/// Where it goes. What an administrator of the web page may overwrite is decided by whoever configures the host.
fn directory(slot: &Slot, cluster: &str, ask: &RestoreAsk) -> Result<PathBuf, ControlError> {
    let wrong = |message: String| Err(ControlError::field("directory", message));
    let root = &slot.config.restore_directory;
    let text = ask.directory.trim();
    if text.is_empty() {
        if ask.delta {
            return wrong("say which stopped cluster is restored over".to_owned());
        }
        let stamp = now().to_rfc3339().chars().filter(char::is_ascii_alphanumeric).take(15).collect::<String>();
        return Ok(root.join(format!("{cluster}-{stamp}")));
    }
    let path = Path::new(text);
    let plain =
        path.components().all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::RootDir));
    if ask.delta {
        if slot.config.restore_over.iter().any(|allowed| allowed == path) {
            return Ok(path.to_owned());
        }
        let allowed = slot.config.restore_over.iter().map(|it| it.display().to_string()).collect::<Vec<_>>();
        return wrong(if allowed.is_empty() {
            "no cluster may be restored over: list its data directory in restore_over of [cluster.backup]".to_owned()
        } else {
            format!("only these may be restored over: {}", allowed.join(", "))
        });
    }
    // A single name is one below the configured directory.
    let full = if path.is_absolute() { path.to_owned() } else { root.join(path) };
    if !plain || full == *root || !full.starts_with(root) {
        return wrong(format!("restores go to a new directory below {}", root.display()));
    }
    Ok(full)
}

/// Why a moment of a timeline cannot be restored, as far as the window tells. That is of what led to the newest timeline: of
/// one that was left the engine alone knows, and has agreed.
fn not_in_the_window(catalogue: &Catalogue, timeline: u32, text: &str, at: Timestamp) -> Option<String> {
    if catalogue.timeline.is_some_and(|newest| newest != timeline) {
        return None;
    }
    if let Some(gap) = catalogue.gaps.iter().find(|gap| gap.from < at && gap.to.is_none_or(|to| at < to)) {
        return Some(format!("{text} is in a gap of the WAL: {}", gap.reason));
    }
    let last = catalogue.intervals.last().filter(|last| at > last.to)?;
    Some(format!(
        "the WAL in the repository reaches to {}; choose an earlier moment, or the end of the WAL",
        last.to.to_human()
    ))
}

/// What the engine will refuse too, said before the password is asked for.
fn refusals(data: &Path, delta: bool) -> Vec<String> {
    let shown = data.display();
    let is_empty = std::fs::read_dir(data).map_or(true, |mut entries| entries.next().is_none());
    let mut found = Vec::new();
    if let Some(pid) = running_in(data) {
        found.push(format!(
            "a server runs in {shown} (process {pid}): stop it first; a running server is never restored over"
        ));
    } else if !is_empty && !delta {
        found.push(format!("{shown} is not empty: choose another directory"));
    } else if is_empty && delta {
        found.push(format!("{shown} holds no cluster to be restored over"));
    }
    found
}

/// Room on the file system of the nearest directory that is there.
fn free_bytes(directory: &Path) -> Option<u64> {
    let there = directory.ancestors().find(|path| path.is_dir())?;
    backup::free_bytes(there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::view::{RecoveryGap, RecoveryInterval};

    #[test]
    fn a_gap_of_what_led_to_the_newest_timeline_refuses_no_moment_of_one_that_was_left() {
        let interval = |from, to| RecoveryInterval {
            from: Timestamp(from),
            to: Timestamp(to),
            from_lsn: Lsn(1),
            to_lsn: Lsn(2),
            timeline: 2,
        };
        let gap = RecoveryGap {
            from: Timestamp(200),
            to: Some(Timestamp(500)),
            start_lsn: Lsn(2),
            end_lsn: None,
            reason: "the slot was dropped".to_owned(),
            declared: true,
        };
        let catalogue = Catalogue {
            intervals: vec![interval(100, 200), interval(500, 900)],
            gaps: vec![gap],
            timeline: Some(2),
            ..Catalogue::default()
        };
        let refused = |timeline, at| not_in_the_window(&catalogue, timeline, "then", Timestamp(at));
        assert_eq!(refused(2, 300), Some("then is in a gap of the WAL: the slot was dropped".to_owned()));
        assert!(refused(2, 901).is_some_and(|why| why.contains("reaches to")));
        assert_eq!((refused(2, 150), refused(2, 600)), (None, None));
        for at in [300, 901] {
            assert_eq!(refused(1, at), None, "{at}");
        }
    }
}
