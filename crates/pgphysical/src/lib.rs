//! PostgreSQL below SQL. For now: finding installed versions and running local clusters for the demo and the tests.
//! The replication protocol, pages, the control file and WAL come with the backup engine.

mod cluster;
mod error;
mod install;
mod os_user;
mod process;

pub use cluster::{ClusterOptions, LocalCluster, ShutdownMode};
pub use error::ClusterError;
pub use install::Install;
pub use os_user::OsUser;
