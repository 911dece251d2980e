//! Alerts: which rules there are, what they look at, and the state machine that decides when one is raised and when it
//! is over. Pure: what was seen and when is passed in, what follows is returned.
//!
//! The path: [`observe`] turns readings into values by rule and object; [`machine`] holds each value against the
//! rule's levels; whoever calls (`monitor`) keeps the state and tells people. [`preview`] runs the same machine over
//! recorded figures, so that it cannot promise what the engine would not do.

pub mod baseline;
pub mod blackout;
pub mod machine;
pub mod observe;
pub mod preview;
pub mod rules;

pub use machine::{Phase, Seen, Step, Tracked};
pub use observe::{Facts, Observed, Reading, Scope};
pub use rules::{RULES, Rule, rule};
