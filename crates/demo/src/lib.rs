//! The demo: a primary and a streaming replica of their own, the platform's schema with data that looks real, faults
//! put there on purpose, and a workload that never stops. All of it real PostgreSQL; nothing is simulated.

mod data;
mod error;
mod estate;
mod faults;
mod fill;
mod incident;
mod usage;
mod workload;

pub use data::FIRST_TENANT;
pub use error::DemoError;
pub use estate::{DemoOptions, Estate};
pub use fill::fill_statements;
pub use incident::lose_wal;
pub use workload::Workload;
