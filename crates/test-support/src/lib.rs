//! Real servers for the tests of all crates; a development dependency only.
//!
//! A cluster is shared by the tests of one process and each test gets a database of its own, cloned from a template.
//! Servers end and their files go with the process, however it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot have its server must fail loudly

mod busy;
mod chaos;
mod clusters;
mod mutate;
mod room;
mod skipped;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod tracer;
pub mod webhooks;

pub use busy::Busy;
pub use chaos::{ChaosProxy, Weather};
pub use clusters::{
    PLATFORM_SETTINGS, TestCluster, TestDatabase, cluster, database, private_cluster, private_cluster_of,
    served_versions, sqlite_url, versions, watched_versions,
};
pub use mutate::{mutate, peak_memory};
pub use pgphysical::{
    ClusterOptions, Install, LocalCluster, ShutdownMode,
    replication::{ConnInfo, ReplicationConnection},
};
pub use room::Room;
pub use skipped::skipped;
