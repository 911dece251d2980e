//! What can be restored, from what, and how well that is proved.
use super::{Availability, JobView};
use crate::{Lsn, Timestamp};
use serde::{Deserialize, Serialize};

/// What a restore test showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProofView {
    /// The backup.
    pub backup: String,
    /// When it ended.
    pub at: Timestamp,
    /// Nothing was wrong.
    pub ok: bool,
    /// Bytes restored; 0 when it failed before all files were written.
    pub bytes: u64,
    /// WAL that was there to replay.
    pub wal_bytes: u64,
    /// Seconds to look up in the repository what is restored; 0 for a test of a version that did not measure it.
    #[serde(default)]
    pub plan_seconds: f64,
    /// Seconds to write the files; 0 when it failed before their end.
    pub restore_seconds: f64,
    /// Seconds of replay and promotion; 0 when it failed before their end.
    pub recovery_seconds: f64,
    /// Seconds of the checks; 0 when it failed before their end.
    pub check_seconds: f64,
    /// Plan, restore and recovery: the measured recovery time; 0 when the test came to no copy that could be used.
    pub rto_seconds: f64,
    /// What would have been lost when the test began: the age of the newest transaction in the copy, at most what the
    /// stream had still to bring, at least the heartbeats of the source that the copy does not have. `None` when the copy
    /// was not replayed to the end, or nothing measured it.
    pub rpo_seconds: Option<f64>,
    /// What was checked and found good.
    pub checks: Vec<String>,
    /// What was looked at and proves neither good nor bad, with why.
    #[serde(default)]
    pub unproved: Vec<String>,
    /// What is wrong; the first is why the test failed.
    pub problems: Vec<String>,
}

impl ProofView {
    /// The measured recovery time; `None` when the test came to no copy that could be used.
    pub fn measured_rto(&self) -> Option<f64> {
        Some(self.rto_seconds).filter(|seconds| *seconds > 0.0)
    }
}

/// What a verification showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerifiedView {
    /// When it ended.
    pub at: Timestamp,
    /// Bytes read and checked.
    pub checked_bytes: u64,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// One backup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BackupRow {
    /// Its id.
    pub id: String,
    /// `full` or `incremental`.
    pub kind: String,
    /// The independent set of objects it belongs to.
    pub lineage: String,
    /// The backup an incremental was compared with.
    pub parent: Option<String>,
    /// `local` or `remote`.
    pub source: String,
    /// The source was a standby.
    pub from_standby: bool,
    /// Version of the server.
    pub server_version: String,
    /// Begin.
    pub started_at: Timestamp,
    /// End: the first moment that can be restored from it.
    pub stopped_at: Timestamp,
    /// Timeline.
    pub timeline: u32,
    /// Replay begins here.
    pub start_lsn: Lsn,
    /// Consistent from here.
    pub stop_lsn: Lsn,
    /// Size of the cluster.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// Bytes read from the source.
    pub read_bytes: u64,
    /// Bytes of new and changed pages.
    pub changed_bytes: u64,
    /// Bytes written to the repository.
    pub stored_bytes: u64,
    /// How long it took.
    pub duration_seconds: f64,
    /// Pages whose checksum was judged.
    pub checked_pages: u64,
    /// Pages with wrong checksums in the source.
    pub damaged_pages: u64,
    /// The newest verification.
    pub verified: Option<VerifiedView>,
    /// The newest restore test, sound or failed.
    pub proof: Option<ProofView>,
}

/// A time in which each moment can be restored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryInterval {
    /// First moment: a backup ended.
    pub from: Timestamp,
    /// Last moment: its WAL is in the repository.
    pub to: Timestamp,
    /// WAL position of `from`.
    pub from_lsn: Lsn,
    /// WAL position of `to`.
    pub to_lsn: Lsn,
    /// Timeline of `to`.
    pub timeline: u32,
}

/// A time of which no moment can be restored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryGap {
    /// After this moment.
    pub from: Timestamp,
    /// Up to this moment; `None`: there is no backup after it yet.
    pub to: Option<Timestamp>,
    /// First missing byte.
    pub start_lsn: Lsn,
    /// First byte there is again, when known.
    pub end_lsn: Option<Lsn>,
    /// Why.
    pub reason: String,
    /// It was declared by the stream, and not only found.
    pub declared: bool,
}

/// A restore that was proved, or that failed when it was to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProvenRestore {
    /// The moment that was restored, or was to be, as near as it is known.
    pub moment: Timestamp,
    /// What was shown.
    pub proof: ProofView,
    /// The job.
    pub job: String,
}

/// The stream of WAL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WalStreamView {
    /// `streaming`, `interrupted`, `elsewhere` (another process has the stream), `off`.
    pub state: String,
    /// The server has written up to here.
    pub server_lsn: Option<Lsn>,
    /// In the repository up to here.
    pub durable_lsn: Option<Lsn>,
    /// Not in the repository yet.
    pub lag_bytes: Option<i64>,
    /// Age of the oldest byte that is not in the repository; 0 when all is.
    pub lag_seconds: Option<f64>,
    /// The last heartbeat that was written into the source, by the source's clock; `None` without heartbeats.
    #[serde(default)]
    pub heartbeat_at: Option<Timestamp>,
    /// What is wrong.
    pub error: Option<String>,
}

/// Continuous intervals, gaps, proofs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryWindow {
    /// Oldest first.
    pub intervals: Vec<RecoveryInterval>,
    /// Oldest first.
    pub gaps: Vec<RecoveryGap>,
    /// Oldest first.
    pub proofs: Vec<ProvenRestore>,
    /// The stream.
    pub wal: WalStreamView,
    /// When the repository was read.
    pub read_at: Option<Timestamp>,
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Objectives {
    /// Most seconds of work that may be lost.
    pub rpo_seconds: f64,
    /// Most seconds a restore may take.
    pub rto_seconds: f64,
}

/// How long a restore to now would take, from measured rates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestoreForecast {
    /// In all.
    pub seconds: f64,
    /// To look up in the repository what is restored, as the newest sound restore test measured it.
    #[serde(default)]
    pub plan_seconds: f64,
    /// To write the files.
    pub restore_seconds: f64,
    /// To replay the WAL.
    pub replay_seconds: f64,
    /// WAL to replay.
    pub wal_bytes: u64,
    /// What the rates come from.
    pub basis: String,
}

/// One schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScheduleView {
    /// What it starts, for people.
    pub name: String,
    /// Cron expression.
    pub cron: String,
    /// IANA name.
    pub time_zone: String,
    /// The next runs.
    pub next: Vec<Timestamp>,
}

/// One way to open the repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeySlotView {
    /// Id.
    pub id: String,
    /// `file`, `passphrase` or `recovery`.
    pub kind: String,
    /// What it is for.
    pub label: String,
    /// Made.
    pub created_at: Timestamp,
}

/// The repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RepositoryView {
    /// Where it is.
    pub place: String,
    /// Its id.
    pub id: Option<String>,
    /// `aes-256-gcm` or `none`.
    pub encryption: Option<String>,
    /// Bytes of this cluster in it.
    pub stored_bytes: Option<u64>,
    /// Room left, when the store can tell.
    pub free_bytes: Option<u64>,
    /// Why it cannot be read now.
    pub error: Option<String>,
    /// What opens it.
    pub keys: Vec<KeySlotView>,
}

/// Everything about backup and recovery of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryOverview {
    /// Id of the cluster.
    pub cluster: String,
    /// Its name.
    pub cluster_name: String,
    /// Whether backups are set up.
    pub availability: Availability,
    /// Now, by the server's clock.
    pub now: Timestamp,
    /// Backups, the newest first.
    pub backups: Vec<BackupRow>,
    /// What can be restored.
    pub window: RecoveryWindow,
    /// What is promised.
    pub objectives: Option<Objectives>,
    /// How long a restore to now would take.
    pub forecast: Option<RestoreForecast>,
    /// Schedules.
    pub schedules: Vec<ScheduleView>,
    /// What retention keeps, rule by rule.
    pub retention: Vec<String>,
    /// The repository.
    pub repository: RepositoryView,
    /// The newest jobs.
    pub jobs: Vec<JobView>,
    /// What is wrong, the worst first: level (`critical`, `warning`), sentence.
    pub problems: Vec<RecoveryProblem>,
}

/// Something that is wrong with backup or recovery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryProblem {
    /// Stable key: `backup_overdue`, `backup_failed`, `wal_behind`, `wal_gap`, `repository_unreachable`,
    /// `repository_room`, `restore_test_overdue`, `restore_test_failed`, `verification_failed`, `drill_failed`,
    /// `drill_overdue`, `rto_forecast`.
    pub rule: String,
    /// `critical`, `warning` or `info`.
    pub severity: String,
    /// A sentence.
    pub message: String,
    /// What was measured, for people.
    pub measured: String,
    /// What it is compared with, for people.
    pub threshold: String,
}

/// What a restore would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RestorePlanView {
    /// Id of the cluster.
    pub cluster: String,
    /// Until where, for people.
    pub target: String,
    /// From this backup.
    pub backup: String,
    /// `full` or `incremental`.
    pub backup_kind: String,
    /// When it ended.
    pub backup_stopped_at: Timestamp,
    /// Along this timeline.
    pub timeline: u32,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// WAL to replay at most.
    pub wal_bytes: u64,
    /// WAL is there without a hole up to here.
    pub wal_until: Lsn,
    /// The last transaction that it would hold, as far as that was looked up: for a target by time.
    #[serde(default)]
    pub last_commit_at: Option<Timestamp>,
    /// By measured rates; `None` before the first restore test.
    pub expected_seconds: Option<f64>,
    /// The objective.
    pub rto_seconds: Option<f64>,
    /// Where it would go.
    pub directory: String,
    /// Room there.
    pub free_bytes: Option<u64>,
    /// What a person should know before.
    pub notes: Vec<String>,
    /// Why it would be refused; empty when it would not.
    pub refusals: Vec<String>,
}

/// What retention would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExpirePlanView {
    /// Each backup, the oldest first, with the reasons to keep it; without any it goes.
    pub verdicts: Vec<ExpireVerdict>,
    /// Objects that go.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// WAL before this goes.
    pub wal_before: Option<Lsn>,
    /// The rules.
    pub rules: Vec<String>,
}

/// One line of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExpireVerdict {
    /// The backup.
    pub id: String,
    /// Why it stays; empty: it goes.
    pub reasons: Vec<String>,
}

/// What the removal of one backup would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemovalPlanView {
    /// The backup.
    pub backup: String,
    /// Moments from here on could be restored from no other backup; `None`: all of them can.
    pub lost_from: Option<Timestamp>,
    /// Up to here.
    pub lost_to: Option<Timestamp>,
    /// Other backups of its lineage: what they refer to stays.
    pub others_of_lineage: u64,
    /// Objects that go at once.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// WAL before this goes at once.
    pub wal_before: Option<Lsn>,
    /// It can be recalled for so many hours; then its own objects go.
    pub recallable_hours: u32,
    /// Why it would be refused; empty when it would not.
    pub refusals: Vec<String>,
}

/// A page of backups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BackupsPage {
    /// The newest first.
    pub rows: Vec<BackupRow>,
    /// For the next page; `None` on the last.
    pub next_cursor: Option<String>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::ProofView;

    #[test]
    fn what_a_test_showed_before_it_could_prove_nothing_is_read() {
        let stored = r#"{"backup":"one","at":"2026-11-29T00:00:00Z","ok":true,"bytes":1,"wal_bytes":2,"restore_seconds":1.0,
            "recovery_seconds":1.0,"check_seconds":1.0,"rto_seconds":2.0,"rpo_seconds":3.0,"checks":["good"],"problems":[]}"#;
        let proof = serde_json::from_str::<ProofView>(stored).unwrap();
        assert_eq!((proof.checks.len(), proof.unproved.len(), proof.rpo_seconds), (1, 0, Some(3.0)));
        // Nor did it measure the plan.
        assert_eq!((proof.plan_seconds, proof.measured_rto()), (0.0, Some(2.0)));
        // One that came to no copy measured no recovery time.
        let failed = ProofView { ok: false, rto_seconds: 0.0, ..proof };
        assert_eq!(failed.measured_rto(), None);
    }
}
