//! The service on real clusters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerts;
mod cancel;
mod committed;
mod copies;
mod drills;
mod executions;
mod full;
mod keys;
mod late;
mod outages;
mod over;
mod pressure;
mod promises;
mod removal;
mod scheduled;
// More of it is used there than here.
#[allow(dead_code)]
#[path = "../../../blobs/tests/it/server.rs"]
mod server;
mod service;
mod support;
mod takeover;
mod told;

type Leftovers = std::sync::Arc<dyn Fn() -> Vec<String> + Send + Sync>;
