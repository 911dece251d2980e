//! Disaster recovery: plans of ordered steps, drills that rehearse them, and what a run showed.
use super::Objectives;
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What a step of a plan does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DrAction {
    /// Choose the moment, and the backup and the WAL that lead there.
    ChoosePoint,
    /// Write the files to an empty directory.
    Restore,
    /// Start the copy and replay WAL; it stays read-only.
    Start,
    /// End recovery: the copy takes writes.
    Promote,
    /// Look inside: tables, chosen statements; in a drill every page and index.
    Check,
    /// Lead the applications to the copy: a hook of the host, or a connection string for people.
    Switch,
    /// Tell people through the channels of alerts.
    Notify,
}

impl DrAction {
    /// All of them, in the order of the plan that is made by itself.
    pub const ALL: [Self; 7] =
        [Self::ChoosePoint, Self::Restore, Self::Start, Self::Promote, Self::Check, Self::Switch, Self::Notify];

    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChoosePoint => "choose_point",
            Self::Restore => "restore",
            Self::Start => "start",
            Self::Promote => "promote",
            Self::Check => "check",
            Self::Switch => "switch",
            Self::Notify => "notify",
        }
    }

    /// Name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ChoosePoint => "Choose the point",
            Self::Restore => "Restore the files",
            Self::Start => "Start and replay WAL",
            Self::Promote => "Promote",
            Self::Check => "Check",
            Self::Switch => "Switch",
            Self::Notify => "Notify",
        }
    }
}

impl FromStr for DrAction {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|it| it.as_str() == text).ok_or_else(|| {
            format!("'{text}' is not a step; use choose_point, restore, start, promote, check, switch or notify")
        })
    }
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DrStep {
    /// What it does.
    pub action: DrAction,
    /// An execution waits before it until an administrator approves. A drill does not wait.
    #[serde(default)]
    pub approval: bool,
    /// `switch`: name of a hook that the host's configuration holds; never run in a drill.
    #[serde(default)]
    pub hook: Option<String>,
    /// `switch`: what applications are to connect to; `{host}` and `{port}` become those of the copy.
    #[serde(default)]
    pub connection: Option<String>,
    /// `notify`: what is said besides the figures.
    #[serde(default)]
    pub message: Option<String>,
    /// How a person takes the step back, shown when a run is aborted or fails after it.
    #[serde(default)]
    pub rollback: String,
}

/// What a plan says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DrPlanSpec {
    /// Name, one of its cluster.
    pub name: String,
    /// In order.
    pub steps: Vec<DrStep>,
    /// When it is rehearsed to the newest moment: five fields of cron in the cluster's time zone.
    #[serde(default)]
    pub test: Option<String>,
    /// When it is rehearsed to a random moment from the recovery kit alone.
    #[serde(default)]
    pub full_test: Option<String>,
}

impl DrPlanSpec {
    /// The plan of a cluster of which nobody wrote one.
    pub fn standard() -> Self {
        let step = |action, approval, rollback: &str| DrStep {
            action,
            approval,
            hook: None,
            connection: (action == DrAction::Switch).then(|| "host={host} port={port}".to_owned()),
            message: None,
            rollback: rollback.to_owned(),
        };
        Self {
            name: "standard".to_owned(),
            steps: vec![
                step(DrAction::ChoosePoint, false, ""),
                step(DrAction::Restore, false, "Remove the directory of the copy."),
                step(DrAction::Start, false, "Stop the copy with pg_ctl; nothing else knows of it yet."),
                step(
                    DrAction::Promote,
                    true,
                    "Stop the copy; begin anew for another moment. What was written to it is lost.",
                ),
                step(DrAction::Check, false, ""),
                step(
                    DrAction::Switch,
                    true,
                    "Lead the applications back to the old address, after what they wrote to the copy was saved.",
                ),
                step(DrAction::Notify, false, ""),
            ],
            test: None,
            full_test: None,
        }
    }

    /// What is wrong with the order or the content of its steps, by field.
    ///
    /// # Errors
    /// The field and what is allowed.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        const STEPS_AT_MOST: usize = 30;
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > 80 {
            return Err(("name", "a plan needs a name of at most 80 characters".to_owned()));
        }
        if self.steps.len() > STEPS_AT_MOST {
            return Err(("steps", format!("at most {STEPS_AT_MOST} steps")));
        }
        let actions = self.steps.iter().map(|step| step.action).collect::<Vec<_>>();
        if actions.get(..3) != Some(&[DrAction::ChoosePoint, DrAction::Restore, DrAction::Start]) {
            return Err(("steps", "a plan begins with choose_point, restore and start, in this order".to_owned()));
        }
        let rest = actions.get(3..).unwrap_or_default();
        if rest.iter().any(|it| matches!(it, DrAction::ChoosePoint | DrAction::Restore | DrAction::Start)) {
            return Err(("steps", "choose_point, restore and start stand once, at the beginning".to_owned()));
        }
        let promote = rest.iter().position(|it| *it == DrAction::Promote);
        if promote.is_none() || rest.iter().filter(|it| **it == DrAction::Promote).count() > 1 {
            return Err(("steps", "promote stands once: without it the copy takes no writes".to_owned()));
        }
        if rest.iter().position(|it| *it == DrAction::Switch) < promote && rest.contains(&DrAction::Switch) {
            return Err(("steps", "switch comes after promote: applications need a copy that takes writes".to_owned()));
        }
        for step in &self.steps {
            let label = step.action.as_str();
            let has = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
            match step.action {
                DrAction::Switch if has(&step.hook) == has(&step.connection) => {
                    return Err(("steps", "switch has either a hook or a connection string".to_owned()));
                }
                DrAction::Switch | DrAction::Notify => {}
                _ if has(&step.hook) || has(&step.connection) || has(&step.message) => {
                    return Err(("steps", format!("{label} has no hook, connection string or message")));
                }
                _ => {}
            }
            let longest = [
                step.hook.as_deref(),
                step.connection.as_deref(),
                step.message.as_deref(),
                Some(step.rollback.as_str()),
            ];
            if longest.into_iter().flatten().any(|text| text.len() > 2_000) {
                return Err(("steps", format!("a text of {label} is longer than 2000 bytes")));
            }
        }
        Ok(())
    }
}

/// One plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrPlanView {
    /// Id.
    pub id: String,
    /// Id of the cluster.
    pub cluster: String,
    /// What it says.
    pub plan: DrPlanSpec,
    /// SHA-256 of what it says; it stands in the evidence of each run.
    pub hash: String,
    /// By whom it was changed last.
    pub changed_by: String,
    /// When.
    pub changed_at: Timestamp,
    /// The next drills to the newest moment.
    pub next_test: Vec<Timestamp>,
    /// The next drills from the recovery kit.
    pub next_full_test: Vec<Timestamp>,
}

/// What kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DrKind {
    /// A drill to the newest moment.
    Test,
    /// A drill to a random moment, from the recovery kit alone, on an empty directory.
    FullTest,
    /// In earnest.
    Execution,
}

impl DrKind {
    const ALL: [Self; 3] = [Self::Test, Self::FullTest, Self::Execution];

    /// Name in the store and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::FullTest => "full_test",
            Self::Execution => "execution",
        }
    }

    /// Name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Test => "Drill",
            Self::FullTest => "Full drill",
            Self::Execution => "Execution",
        }
    }
}

impl FromStr for DrKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not a kind of run; use test or full_test"))
    }
}

/// How a step of a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrStepReport {
    /// What it did.
    pub action: DrAction,
    /// `done`, `failed`, `aborted`, `not reached`.
    pub state: String,
    /// When it began; `None` when it was not reached.
    pub started_at: Option<Timestamp>,
    /// How long it took, without waiting for people.
    pub seconds: Option<f64>,
    /// How long it waited for an approval.
    pub waited_seconds: Option<f64>,
    /// Who approved or aborted.
    pub decided_by: Option<String>,
    /// What that person noted.
    pub note: Option<String>,
    /// What came of it.
    pub detail: String,
    /// How it is taken back.
    pub rollback: String,
}

/// SHA-256 of what a run rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrHashes {
    /// Of the plan.
    pub plan: String,
    /// Of the backup's commit object, as it lies in the repository.
    pub backup_commit: Option<String>,
    /// Of its manifest object, which names and authenticates all of its packs.
    pub backup_manifest: Option<String>,
    /// Hash of the newest row of the audit log when the report was made; `None` for a run without a store.
    pub audit_head: Option<String>,
    /// Its position.
    pub audit_seq: Option<i64>,
}

/// Everything a run showed: the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrReport {
    /// Version of this document.
    pub format: u32,
    /// What kind of run.
    pub kind: DrKind,
    /// The run; `None` for one of the command line.
    pub job: Option<String>,
    /// Id of the plan; `None` for the plan that is made by itself.
    pub plan_id: Option<String>,
    /// The plan as it was run.
    pub plan: DrPlanSpec,
    /// Id of the cluster, as configured; its system identifier where there is no configuration.
    pub cluster: String,
    /// System identifier of the cluster.
    pub system_identifier: Option<String>,
    /// Where the repository is.
    pub repository: String,
    /// Its id.
    pub repository_id: String,
    /// Opened by the recovery code alone; nothing was known but what the repository holds.
    pub from_recovery_kit: bool,
    /// The host it was done on.
    pub host: String,
    /// Version of Holdfast.
    pub version: String,
    /// Begin.
    pub started_at: Timestamp,
    /// End.
    pub finished_at: Timestamp,
    /// All steps were done and nothing was found wrong.
    pub ok: bool,
    /// What is wrong.
    pub problems: Vec<String>,
    /// What was checked and found good.
    pub checks: Vec<String>,
    /// What was looked at and proves neither good nor bad, with why.
    #[serde(default)]
    pub unproved: Vec<String>,
    /// The moment, for people.
    pub target: String,
    /// The backup.
    pub backup: Option<String>,
    /// Along this timeline.
    pub timeline: Option<u32>,
    /// Bytes of all files.
    pub bytes: u64,
    /// WAL that was there to replay.
    pub wal_bytes: u64,
    /// Seconds to write the files.
    pub restore_seconds: f64,
    /// Seconds of start, replay and promotion.
    pub recovery_seconds: f64,
    /// Seconds of the checks.
    pub check_seconds: f64,
    /// From the begin until the copy took writes, waiting for people included; `None` when it came to none.
    pub rto_seconds: Option<f64>,
    /// Of which it waited for people.
    pub waited_seconds: f64,
    /// What would have been lost at the begin; only when all WAL was replayed, and something measured it.
    pub rpo_seconds: Option<f64>,
    /// The newest transaction in the copy.
    pub last_commit_at: Option<Timestamp>,
    /// What was promised then.
    pub objectives: Option<Objectives>,
    /// The steps.
    pub steps: Vec<DrStepReport>,
    /// Where the copy is, when it stayed.
    pub directory: Option<String>,
    /// What applications connect to, when it stayed.
    pub connection: Option<String>,
    /// What of the original's configuration a copy that takes over has here, and what stays different, with why.
    #[serde(default)]
    pub configuration: Vec<String>,
    /// What a person does next or takes back.
    pub next: Vec<String>,
    /// What all of it rests on.
    pub hashes: DrHashes,
}

impl DrReport {
    /// Whether the time objective was kept; `None` without one or without a measurement.
    pub fn rto_kept(&self) -> Option<bool> {
        Some(self.rto_seconds? <= self.objectives?.rto_seconds)
    }

    /// Whether the point objective was kept.
    pub fn rpo_kept(&self) -> Option<bool> {
        Some(self.rpo_seconds? <= self.objectives?.rpo_seconds)
    }
}

/// A run in the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrRunRow {
    /// Id.
    pub id: String,
    /// Id of the plan.
    pub plan_id: Option<String>,
    /// Name of the plan as it was then.
    pub plan_name: String,
    /// Id of the cluster.
    pub cluster: String,
    /// What kind of run.
    pub kind: DrKind,
    /// Begin.
    pub started_at: Timestamp,
    /// End.
    pub finished_at: Timestamp,
    /// Whether all went well.
    pub ok: bool,
    /// Measured.
    pub rto_seconds: Option<f64>,
    /// Measured.
    pub rpo_seconds: Option<f64>,
    /// What was promised then.
    pub objectives: Option<Objectives>,
    /// Why it did not.
    pub error: Option<String>,
    /// SHA-256 of the evidence as JSON; it stands in the audit log too.
    pub evidence_sha256: Option<String>,
}

/// A run with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrRunView {
    /// In short; `None` while it is under way.
    pub run: Option<DrRunRow>,
    /// The job that does it; `None` for a run of the command line, or when the job is too old to be kept.
    pub job: Option<super::JobView>,
    /// The evidence, when it is over.
    pub report: Option<DrReport>,
}

/// An approval that a run waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrWaiting {
    /// Position of the step, from 0.
    pub step: usize,
    /// What it will do.
    pub action: DrAction,
    /// In words, with what speaks against it.
    pub what: String,
}

/// Plans, history and what can be chosen for them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrOverview {
    /// Id of the cluster.
    pub cluster: String,
    /// Plans.
    pub plans: Vec<DrPlanView>,
    /// The newest runs, the newest first; the list of drills has all.
    pub runs: Vec<DrRunRow>,
    /// Names of the hooks that the host's configuration holds.
    pub hooks: Vec<String>,
    /// Why no drill can be done from the recovery kit; `None` when it can.
    pub full_test_missing: Option<String>,
}

/// A page of drills and executions that are over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrRunsPage {
    /// The newest first.
    pub rows: Vec<DrRunRow>,
    /// For the next page; `None` on the last.
    pub next_cursor: Option<String>,
}

/// What a step would do now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrDryStep {
    /// What it does.
    pub action: DrAction,
    /// In words and figures.
    pub what: String,
    /// By measured rates; `None` where there is none.
    pub expected_seconds: Option<f64>,
    /// It waits for an approval.
    pub approval: bool,
}

/// What a plan would do now; nothing is changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrDryRun {
    /// The plan.
    pub plan: DrPlanView,
    /// Step by step.
    pub steps: Vec<DrDryStep>,
    /// In all, without waiting for people.
    pub expected_seconds: Option<f64>,
    /// What is promised.
    pub objectives: Option<Objectives>,
    /// What a person should know before.
    pub notes: Vec<String>,
    /// Why it would be refused; empty when it would not.
    pub refusals: Vec<String>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_that_is_made_by_itself_is_sound_and_wrong_ones_are_told_by_field() {
        let standard = DrPlanSpec::standard();
        assert_eq!(standard.check(), Ok(()));
        let with = |change: fn(&mut DrPlanSpec)| {
            let mut spec = standard.clone();
            change(&mut spec);
            spec.check().unwrap_err()
        };
        assert_eq!(with(|it| it.name.clear()).0, "name");
        assert!(with(|it| it.steps.swap(1, 2)).1.contains("begins with"));
        assert!(with(|it| it.steps.swap(3, 5)).1.contains("after promote"));
        assert!(with(|it| drop(it.steps.remove(3))).1.contains("promote stands once"));
        assert!(with(|it| it.steps.push(it.steps[1].clone())).1.contains("stand once"));
        assert!(with(|it| it.steps[5].hook = Some("dns".to_owned())).1.contains("either"));
        assert!(with(|it| it.steps[4].message = Some("x".to_owned())).1.contains("check has no"));
        assert!(with(|it| it.steps[0].rollback = "x".repeat(2_001)).1.contains("2000"));
    }
}
