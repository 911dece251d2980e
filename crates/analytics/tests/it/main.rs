//! Analytics on a real database, as an ordinary role.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod archive;
mod backlog;
mod filters;
mod ingest;
mod rollups;
mod world;
