//! `holdfast serve` killed in the middle of its work: nothing is lost, nothing half-made is listed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bench;
mod jobs;
mod plans;
