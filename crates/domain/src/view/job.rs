//! Long work: what it is, how far it is, what came of it.
use super::{DrReport, DrWaiting, ProofView};
use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// A full or incremental backup.
    Backup,
    /// Every byte of a backup is read and checked.
    Verify,
    /// A private copy is restored, started, checked and thrown away.
    RestoreTest,
    /// A restore that stays.
    Restore,
    /// What retention does not keep is removed.
    Expire,
    /// A plan for disasters is rehearsed.
    Drill,
    /// A plan for disasters is carried out.
    Execution,
}

impl JobKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Backup, Self::Verify, Self::RestoreTest, Self::Restore, Self::Expire, Self::Drill, Self::Execution];

    /// Somebody waits for it while a database is down: it goes before what a schedule asks for.
    pub const fn is_urgent(self) -> bool {
        matches!(self, Self::Restore | Self::Execution)
    }

    /// Name in the store, on the wire and in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::RestoreTest => "restore_test",
            Self::Restore => "restore",
            Self::Expire => "expire",
            Self::Drill => "drill",
            Self::Execution => "execution",
        }
    }

    /// Name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Backup => "Backup",
            Self::Verify => "Verification",
            Self::RestoreTest => "Restore test",
            Self::Restore => "Restore",
            Self::Expire => "Retention",
            Self::Drill => "Drill",
            Self::Execution => "Execution of a plan",
        }
    }
}

impl FromStr for JobKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            format!(
                "'{text}' is not a kind of job; use backup, verify, restore_test, restore, expire, drill or execution"
            )
        })
    }
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its turn.
    Queued,
    /// A server works on it.
    Running,
    /// Done.
    Succeeded,
    /// Not done; the reason is told.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Name in the store and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Nothing will change any more.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl FromStr for JobState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not a state of a job"))
    }
}

/// One step of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobStep {
    /// In a few words.
    pub name: String,
    /// When it began; `None`: not yet.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// How long it took, without waiting for an approval; `None` until it is done.
    pub seconds: Option<f64>,
    /// What came of it.
    pub detail: String,
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobProgress {
    /// All steps; the first without a duration is the present one.
    pub steps: Vec<JobStep>,
    /// Bytes of this step that are done.
    pub done_bytes: Option<u64>,
    /// Bytes of this step.
    pub total_bytes: Option<u64>,
    /// Mean of this step.
    pub bytes_per_second: Option<f64>,
    /// Of this step, by its mean.
    pub remaining_seconds: Option<f64>,
    /// It waits, and for what.
    pub paused: Option<String>,
    /// It waits for a person's approval.
    #[serde(default)]
    pub waiting: Option<DrWaiting>,
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum JobResult {
    /// A backup.
    Backup {
        /// Its id.
        id: String,
        /// `full` or `incremental`.
        kind: String,
        /// Bytes written to the repository.
        stored_bytes: u64,
        /// Pages with wrong checksums in the source.
        damaged_pages: u64,
    },
    /// A verification.
    Verify {
        /// The backup.
        id: String,
        /// Bytes read, decrypted and checked.
        checked_bytes: u64,
        /// Pages compared with their fingerprints.
        pages: u64,
        /// What is wrong.
        problems: Vec<String>,
    },
    /// A restore test.
    RestoreTest(ProofView),
    /// A restore.
    Restore {
        /// Where the cluster is.
        directory: String,
        /// Port on 127.0.0.1, when it was started.
        port: Option<u16>,
        /// From this backup.
        backup: String,
        /// Until here, for people.
        target: String,
        /// Seconds from the begin of the job until all files were there; absent of a result from before this was kept.
        #[serde(default)]
        files_seconds: Option<f64>,
        /// Seconds from the begin of the job until it could be used; absent when nobody started it here: WAL is still to be
        /// replayed then, and how long that takes is not known. With no `port` and no `files_seconds`, as in a result from
        /// before those were kept, it is the time until all files were there.
        #[serde(default)]
        rto_seconds: Option<f64>,
        /// What was lost when it began, as [`ProofView::rpo_seconds`] has it; only of one to the latest moment that was
        /// started here. A chosen moment is itself the loss that was decided on: what came after it is left out on purpose,
        /// so that nothing is measured, and the last transaction tells how near the copy is to it.
        #[serde(default)]
        rpo_seconds: Option<f64>,
        /// The last transaction that was replayed.
        last_commit_at: Option<Timestamp>,
        /// Bytes of pages written.
        written_bytes: u64,
        /// Bytes that were there already (delta).
        kept_bytes: u64,
        /// What to do next.
        next: String,
        /// Checks and what they found.
        checks: Vec<String>,
        /// What was looked at and proves neither good nor bad, with why.
        #[serde(default)]
        unproved: Vec<String>,
        /// What is wrong.
        problems: Vec<String>,
    },
    /// Retention.
    Expire {
        /// Backups that went.
        removed: Vec<String>,
        /// Objects that went.
        objects: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A drill, or the execution of a plan.
    DrRun(Box<DrReport>),
}

/// One line of a job's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobLogLine {
    /// When.
    pub at: Timestamp,
    /// What.
    pub line: String,
}

/// A copy that a restore started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobCopy {
    /// Where it is.
    pub directory: String,
    /// Its server runs.
    pub runs: bool,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobView {
    /// Id.
    pub id: String,
    /// Id of the cluster.
    pub cluster: String,
    /// What is done.
    pub kind: JobKind,
    /// Where it is.
    pub state: JobState,
    /// What exactly, for people.
    pub title: String,
    /// By whom; `schedule` for the schedule.
    pub requested_by: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it was begun first.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// Which try; 0 before the first.
    pub attempt: i64,
    /// Somebody asked to stop it.
    pub cancel_requested: bool,
    /// How far it is.
    pub progress: JobProgress,
    /// Why it failed.
    pub error: Option<String>,
    /// What came of it.
    pub result: Option<JobResult>,
    /// The copy that a restore started, while it is on the host that was asked; only when one job was asked for.
    #[serde(default)]
    pub copy: Option<JobCopy>,
    /// Its log; only when one job was asked for.
    pub log: Vec<JobLogLine>,
}

/// A `job` event of `GET /api/database/stream`: a job has another state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobLive {
    /// Id.
    pub id: String,
    /// Id of the cluster.
    pub cluster: String,
    /// What is done.
    pub kind: JobKind,
    /// Where it is now.
    pub state: JobState,
    /// What exactly, for people.
    pub title: String,
}

/// A page of jobs, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobsPage {
    /// The jobs, without logs.
    pub rows: Vec<JobView>,
    /// For the next page.
    pub next_cursor: Option<String>,
}
