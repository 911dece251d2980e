//! Changing many plugins: all or none, or each by itself; once, however often it is sent.
//!
//! *Atomic* is one transaction with the record of the operation in it: after a kill there is either all of it or nothing.
//! *Each* is a transaction for some hundred items with their outcomes: after a kill the same key goes on with the rest.
//! Within such a transaction a savepoint keeps one bad item from taking the others with it.
mod fit;
mod plan;
mod report;
mod request;
mod run;
mod stand;
mod verdicts;

pub(crate) use report::report;
pub use request::{BulkMode, BulkOperation, BulkRequest};
pub(crate) use verdicts::verdicts;
