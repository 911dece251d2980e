//! Reading monitored clusters: the only crate that holds SQL for them.
//!
//! At most five connections are held for each cluster, with limits that the server itself enforces, in read-only
//! sessions. What a server offers is found by looking at its columns, not at its version alone.

mod analyze;
mod cluster;
mod collect;
mod error;
mod explain;
mod kept;
mod link;
#[cfg(test)]
mod old_versions;
mod probe;
mod signal;
mod sql;
mod target;

pub use analyze::Analyzed;
pub use cluster::{Cluster, Limits};
pub use collect::Place;
pub use error::PgstatError;
pub use explain::{ExplainError, Explainer};
pub use probe::Probe;
pub use signal::{SignalError, Signalled};
pub use target::Target;
