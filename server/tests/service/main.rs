//! `holdfast serve` killed, frozen or asked to end in the middle of its work: nothing is lost, nothing half-made is listed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bench;
mod ending;
mod frozen;
mod jobs;
mod killed;
mod memory;
mod plans;
mod shown;
mod two;
