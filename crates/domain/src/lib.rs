//! The words of Holdfast: ids, units, roles, readings of a monitored cluster, and the wire types that the pages
//! and the JSON API serve. Pure: no I/O, no clock; it compiles for the browser too.

pub mod alert;
pub mod audit;
pub mod error;
pub mod format;
pub mod reading;
pub mod role;
pub mod sql_tokens;
pub mod units;
pub mod view;

pub use error::ErrorKind;
pub use role::{Permission, Role};
pub use units::{Lsn, Timestamp};
