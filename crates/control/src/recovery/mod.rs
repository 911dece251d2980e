//! Backup and recovery: what is configured, what is known of each repository, and the use cases on it.
//!
//! As with monitoring, a page view reaches neither the cluster nor the repository: it reads a catalogue that the
//! `recovery` room keeps fresh. Only plans and changes open the repository.
mod confirm;
mod copies;
mod data_directory;
mod dr;
mod job_watch;
mod jobs;
mod manage;
mod overview;
mod rebuild;
mod removal;
mod restores;

pub use confirm::Confirmation;
pub use copies::Copies;
pub use data_directory::{lies_in, running_in};
pub use dr::DrSchedule;
pub use jobs::{
    BackupParams, BackupWanted, DrillParams, ExecutionParams, ExpireParams, JobParams, RestoreTestParams, VerifyParams,
};
pub use rebuild::{Rebuilt, RebuiltBackup, command_record};
pub use restores::{RestoreAsk, RestoreParams, TargetAsk};

use crate::{Actor, ControlError, ControlPlane};
use arc_swap::ArcSwap;
use backup::{KeySlot, Repository, RepositoryFile, Summary, retention::Retention, wal::SlotLimits};
use domain::{
    Timestamp,
    view::{
        BackupView, DrRunRow, JobKind, JobState, Objectives, RecoveryGap, RecoveryInterval, RecoveryProblem,
        RestoreForecast, ScheduleView, WalStreamView,
    },
};
use futures::future::BoxFuture;
use pgphysical::replication::ConnInfo;
use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::{Mutex, Notify};

/// Opens a repository; the key is read then and not before.
#[derive(Clone)]
pub struct OpenRepository(pub Arc<dyn Fn() -> BoxFuture<'static, Result<Repository, String>> + Send + Sync>);

impl fmt::Debug for OpenRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenRepository")
    }
}

/// What a schedule starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleKind {
    /// A full backup.
    Full,
    /// An incremental one.
    Incremental,
    /// The newest backup is verified.
    Verify,
    /// The newest backup is restored and checked.
    RestoreTest,
    /// Retention is applied.
    Expire,
}

impl ScheduleKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Full, Self::Incremental, Self::Verify, Self::RestoreTest, Self::Expire];

    /// Name in the configuration and in schedule keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::Verify => "verify",
            Self::RestoreTest => "restore_test",
            Self::Expire => "expire",
        }
    }

    /// Name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "Full backup",
            Self::Incremental => "Incremental backup",
            Self::Verify => "Verification",
            Self::RestoreTest => "Restore test",
            Self::Expire => "Retention",
        }
    }
}

/// When something is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleConfig {
    /// What.
    pub kind: ScheduleKind,
    /// Five fields.
    pub cron: String,
}

/// A cluster that is backed up, as configured.
#[derive(Clone, Debug)]
pub struct Protected {
    /// Id of the cluster.
    pub cluster: String,
    /// The server, as a role that may back up and replicate.
    pub source: ConnInfo,
    /// The repository, for people.
    pub place: String,
    /// Opens it.
    pub open: OpenRepository,
    /// `restore_command` for a cluster that somebody else will start; `None` when no key file could stand in it.
    pub restore_command: Option<String>,
    /// A superuser of the cluster, for the checks of a copy.
    pub superuser: String,
    /// Schedules.
    pub schedules: Vec<ScheduleConfig>,
    /// IANA name of their time zone.
    pub time_zone: String,
    /// A scheduled start is late by up to so much, the same for one cluster and kind.
    pub jitter: Duration,
    /// What is kept.
    pub retention: Retention,
    /// What is promised, unless it was changed on the page.
    pub objectives: Objectives,
    /// WAL is streamed by us.
    pub stream: bool,
    /// The replication slot.
    pub slot: String,
    /// A message with the time is written to the WAL so often, so that a quiet database has a commit record.
    pub heartbeat: Option<Duration>,
    /// When the slot is given up, so that the server's disk does not fill.
    pub slot_limits: SlotLimits,
    /// Threads of a backup and of a restore.
    pub workers: usize,
    /// Restores go below this directory.
    pub restore_directory: PathBuf,
    /// Stopped clusters that may be restored over.
    pub restore_over: Vec<PathBuf>,
    /// The repository, when it is a directory here: its room is watched.
    pub repository_directory: Option<PathBuf>,
    /// Restore tests are done below this directory.
    pub test_directory: PathBuf,
    /// `DATABASE: SELECT …`: each must give `true`, or a figure that is shown.
    pub probes: Vec<String>,
    /// The catalogue is read anew so often.
    pub refresh: Duration,
    /// What the host does for disaster recovery.
    pub disaster: Disaster,
}

impl Protected {
    /// A transaction is written so often that the age of the newest one in the repository tells what is missing there.
    pub const fn writes_heartbeat(&self) -> bool {
        self.stream && self.heartbeat.is_some()
    }
}

/// What the host's configuration says of disaster recovery: an administrator of the page chooses among it.
#[derive(Clone, Debug)]
pub struct Disaster {
    /// Commands that a plan may name, by name.
    pub hooks: BTreeMap<String, String>,
    /// Opens the repository by the recovery code of the kit alone, or why that cannot be done.
    pub kit: Result<OpenRepository, String>,
    /// `listen_addresses` of a copy that a plan brings up in earnest.
    pub listen: String,
    /// Its port; a free one when `None`.
    pub port: Option<u16>,
    /// The host's name in connection strings.
    pub host: String,
    /// Variables by which another machine finds the repository, for the printed kit.
    pub found_by: Vec<String>,
}

impl Default for Disaster {
    fn default() -> Self {
        Self {
            hooks: BTreeMap::new(),
            kit: Err("give the file with the recovery code as recovery_kit in [backup] of holdfast.toml".to_owned()),
            listen: "127.0.0.1".to_owned(),
            port: None,
            host: "127.0.0.1".to_owned(),
            found_by: Vec::new(),
        }
    }
}

/// What the repository holds of a cluster, as it was last read.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// When it was read; `None` before the first time.
    pub read_at: Option<Timestamp>,
    /// The cluster's identity; `None` until the server was asked or a backup was seen.
    pub system: Option<u64>,
    /// Why it cannot be read now; all else is of the last time then.
    pub error: Option<String>,
    /// The repository.
    pub file: Option<RepositoryFile>,
    /// What opens it.
    pub keys: Vec<KeySlot>,
    /// Oldest first.
    pub backups: Vec<Summary>,
    /// Oldest first.
    pub intervals: Vec<RecoveryInterval>,
    /// Oldest first.
    pub gaps: Vec<RecoveryGap>,
    /// The newest timeline of which there is WAL: intervals and gaps are of what led to it.
    pub timeline: Option<u32>,
    /// Bytes of this cluster.
    pub stored_bytes: Option<u64>,
    /// Room left.
    pub free_bytes: Option<u64>,
    /// WAL from the newest backup's start to the end of the newest interval.
    pub wal_since_backup: u64,
}

/// What follows from it, for the dashboard, the score and alerts.
#[derive(Clone, Debug, Default)]
pub struct ProtectionStatus {
    /// For the dashboard.
    pub backup: Option<BackupView>,
    /// A restore to now.
    pub forecast: Option<RestoreForecast>,
    /// What is wrong.
    pub problems: Vec<RecoveryProblem>,
    /// The newest drill of each plan and kind.
    pub drills: Vec<DrRunRow>,
    /// End of the newest verification that was not stopped, and whether it was done and found nothing wrong.
    pub verified: Option<(Timestamp, bool)>,
    /// What is promised.
    pub objectives: Option<Objectives>,
    /// Jobs in the store by kind and state; none of what is left out.
    pub jobs: Vec<(JobKind, JobState, u64)>,
    /// Schedules with their next runs.
    pub schedules: Vec<ScheduleView>,
    /// Since when nothing was known; `None` before the first judgement.
    pub judged_at: Option<Timestamp>,
}

/// One cluster's place.
#[derive(Debug)]
pub struct Slot {
    /// As configured.
    pub config: Protected,
    /// What the repository holds.
    pub catalogue: ArcSwap<Catalogue>,
    /// The stream.
    pub wal: ArcSwap<WalStreamView>,
    /// What follows.
    pub status: ArcSwap<ProtectionStatus>,
    /// Told when the catalogue should be read anew.
    pub stale: Notify,
    repository: Mutex<Option<Repository>>,
}

impl Slot {
    /// The opened repository; it is opened once and kept.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] with what to do.
    pub async fn repository(&self) -> Result<Repository, ControlError> {
        let mut kept = self.repository.lock().await;
        if let Some(repository) = kept.as_ref() {
            return Ok(repository.clone());
        }
        let opened = (self.config.open.0)().await.map_err(ControlError::Conflict)?;
        *kept = Some(opened.clone());
        Ok(opened)
    }
}

/// All clusters that are backed up.
#[derive(Debug, Default)]
pub struct Recovery {
    slots: Vec<Slot>,
    /// Reads the calendars of plans; `None` before it is set.
    pub(crate) schedule: Option<DrSchedule>,
    /// Told when a job was asked for.
    pub wanted: Notify,
    copies: Copies,
    /// For those who hear of jobs.
    watch: job_watch::JobWatch,
}

impl Recovery {
    /// Over what is configured.
    pub fn new(configs: Vec<Protected>) -> Self {
        let slots = configs
            .into_iter()
            .map(|config| Slot {
                wal: ArcSwap::from_pointee(WalStreamView {
                    state: if config.stream { "interrupted" } else { "off" }.to_owned(),
                    ..WalStreamView::default()
                }),
                config,
                catalogue: ArcSwap::default(),
                status: ArcSwap::default(),
                stale: Notify::new(),
                repository: Mutex::new(None),
            })
            .collect();
        Self {
            slots,
            schedule: None,
            wanted: Notify::new(),
            copies: Copies::default(),
            watch: job_watch::JobWatch::default(),
        }
    }

    /// Reads the calendars of plans by this.
    #[must_use]
    pub fn with_schedule(mut self, schedule: DrSchedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Copies that restores started here.
    pub const fn copies(&self) -> &Copies {
        &self.copies
    }

    /// All places.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The place of a cluster.
    pub fn slot(&self, cluster: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.config.cluster == cluster)
    }
}

impl ControlPlane {
    /// Clusters that are backed up, for our own background tasks.
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// The cluster's id and place.
    pub(crate) fn protected(&self, cluster: Option<&str>) -> Result<(&str, &Slot), ControlError> {
        let config = self.inner.clusters.find(cluster)?.0;
        let slot = self.inner.recovery.slot(&config.id).ok_or_else(|| {
            let id = &config.id;
            ControlError::Conflict(match &config.standby_of {
                Some(primary) => format!("cluster '{id}' is not backed up: it is a standby of '{primary}', and backups are taken there"),
                None => format!("cluster '{id}' is not backed up: give it a repository in holdfast.toml ([cluster.backup] or BACKUP_STORAGE_PATH)"),
            })
        })?;
        Ok((config.id.as_str(), slot))
    }

    /// As [`Self::protected`], for what changes something: a refusal leaves its row in the audit log.
    pub(crate) async fn protected_audited(
        &self,
        actor: &Actor,
        action: &str,
        object: (&str, &str),
        cluster: Option<&str>,
    ) -> Result<(&str, &Slot), ControlError> {
        self.told(actor, action, object, self.protected(cluster)).await
    }
}

/// An error of the engine, for the person who asked.
pub(crate) fn engine(error: backup::BackupError) -> ControlError {
    match error.kind() {
        domain::ErrorKind::Invalid => ControlError::Invalid { message: error.to_string(), fields: Vec::new() },
        _ => ControlError::Conflict(error.to_string()),
    }
}
