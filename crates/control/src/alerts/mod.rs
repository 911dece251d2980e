//! Alerts: the book of what is open, the engine that keeps it, and the use cases on it.
//!
//! # How another part of Holdfast feeds alerts
//!
//! The cluster's own figures are looked at by `monitor` at each tick. Whoever knows something else of a cluster (the
//! backup service, say) tells the book, and the engine does the rest at the next tick: thresholds as they are set for
//! that cluster, how long it must last, blackouts, people told, the end told too. Two calls, neither of which waits for
//! anything or fails:
//!
//! ```no_run
//! # fn of(control: &control::ControlPlane) {
//! use control::alerts::{Notice, Observed};
//! use std::time::Duration;
//!
//! // What is so, again and again, as often as one's own loop comes round; all objects of the rule at once, since one
//! // that is not named is over. After `good_for` without a new call it counts as not known: what is open stays open.
//! let age = vec![Observed::whole(1.4, "34 h old, at most 24 h")];
//! control.alerts().observe("main", "backup_overdue", age, Duration::from_secs(300));
//! control.alerts().observe("main", "backup_failed", vec![Observed::whole(0.0, "")], Duration::from_secs(300));
//!
//! // What happened, once; the object makes it one and the same, so that telling it twice changes nothing.
//! let done = Notice::new("backup_finished", "20261125T020000F", "12.1 GiB in 3 min 20 s");
//! control.alerts().notice("main", done);
//! # }
//! ```
//!
//! The rule must be in [`analysis::alerts::RULES`], which also says its unit and default thresholds; a condition is 1
//! while it holds and 0 while it does not. A cluster that is not configured is ignored.

mod blackouts;
mod book;
mod channels;
mod engine;
mod list;
mod message;
mod rules;
mod worst;

pub use analysis::alerts::{Observed, Reading, Scope};
pub use blackouts::NewBlackout;
pub use book::{AlertBook, Alerting, Notice};
pub use engine::{Changes, Tell};
pub use list::view;
pub use message::deliveries;

/// The recorded figure that holds what a rule looks at.
pub fn metric(rule: &str) -> Option<domain::view::Metric> {
    analysis::alerts::rule(rule).and_then(|rule| rule.metric)
}
