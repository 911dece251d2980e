//! PostgreSQL below SQL: finding installed versions and running local clusters, the control file, pages and their
//! checksums, names and headers of WAL, the replication protocol.

mod cluster;
pub mod control;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod install;
mod os_user;
pub mod page;
mod process;
pub mod replication;
pub mod wal;
mod wal_record;

pub use cluster::{ClusterOptions, LocalCluster, ShutdownMode};
pub use error::ClusterError;
pub use install::Install;
pub use os_user::OsUser;
pub use wal_record::{Moment, MomentKind, WalScan, WalScanner, scan_wal};
