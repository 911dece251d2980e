//! The engine on real clusters of every PostgreSQL found: backups under load, restores to every kind of target, damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod damage;
mod expire;
mod export;
mod faults;
mod parsers;
mod repository;
mod restore;
mod support;
mod targets;
mod wal;
