//! Readings: what one collector saw in one monitored cluster at one moment, as PostgreSQL reported it.
//!
//! Counters are cumulative, as in the views they come from; turning them into rates is the work of `analysis`.
//! A field that this server, version or role cannot give is `None`, never zero.
mod activity;
mod advice;
mod collector;
mod database;
mod index;
mod log;
mod maintenance;
mod provider;
mod replication;
mod server;
mod session;
mod statement;
mod table;
mod wal;

pub use activity::{ActivityReading, Backend, LockReading, LockWait};
pub use advice::{AdviceColumn, AdviceTable};
pub use collector::{CollectorKind, CollectorState, CollectorStatus};
pub use database::{DatabaseCounters, DatabaseReading};
pub use index::{ForeignKey, IndexCounters, IndexReading};
pub use log::{LogFormat, LogPosition, LogReading, LogSettings};
pub use maintenance::{HorizonHolder, IoCounters, IoReading, Progress, TempFiles, VacuumReading};
pub use provider::Provider;
pub use replication::{Conflicts, KnownStandby, ReplicationReading, Sender, Slot, StandbyState, WalReceiver};
pub use server::{ClockSkew, ExtensionState, ServerReading, ServerRole, Setting, SettingsReading};
pub use session::{SessionBucket, SessionKey, SessionReading};
pub use statement::{StatementCounters, StatementKey, StatementReading, StatementText};
pub use table::{BloatEstimate, ColumnReading, ColumnStatistics, SequenceUse, TableCounters, TableReading};
pub use wal::{ArchiverCounters, CheckpointCounters, WalCounters, WalReading};
