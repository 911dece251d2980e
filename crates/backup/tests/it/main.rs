//! The engine on real clusters of every PostgreSQL found: backups under load, restores to every kind of target, damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod corruption;
mod damage;
mod expire;
mod export;
mod faults;
mod oracle;
mod races;
mod repository;
mod restore;
mod retention;
mod s3;
#[allow(dead_code, unreachable_pub)]
#[path = "../../../blobs/tests/it/server.rs"]
mod server;
mod support;
mod targets;
mod wal;

/// What a store keeps besides objects, as the server of the tests of `blobs` tells it.
type Leftovers = std::sync::Arc<dyn Fn() -> Vec<String> + Send + Sync>;
