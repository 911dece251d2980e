//! Connections of the platform's data layer: a primary and a replica, each with its own bounded set, and the choice
//! between them by what the caller declares to do.
//!
//! The intent is in the type: [`Pools::read`] hands out a [`Reader`], [`Pools::write`] a [`Writer`], [`Pools::ask`] an [`Asker`]. No SQL is parsed to
//! find out where it belongs. A reader's transaction is read-only, on the replica and on the primary, so that a mistake
//! fails with 25006 and never writes.
mod asker;
mod breaker;
mod connect;
mod error;
mod fields;
mod histogram;
mod long;
mod node;
mod pools;
mod probe;
mod question;
mod reads;
mod scope;
mod session;
mod settings;
mod sheet;
mod slots;
mod snapshot;
mod supervise;
mod topology;

pub use asker::Asker;
pub use breaker::Backoff;
pub use error::{PoolError, WorkError};
pub use fields::Fields;
pub use histogram::{Histogram, HistogramSnapshot};
pub use pools::{Pools, Reader, Work, Writer};
pub use question::{Question, Value};
pub use scope::Scope;
pub use session::Session;
pub use settings::PoolSettings;
pub use sheet::Sheet;
pub use snapshot::{NodeSnapshot, NodeState, PoolsSnapshot, Routing, SlotsSnapshot, TimingSnapshot};
