//! The service on real clusters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerts;
mod drills;
mod service;
mod support;
