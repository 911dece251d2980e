//! Readings from real clusters, as the roles people have and in the weather they get.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod busy;
mod columns;
mod horizon;
mod plans;
mod readings;
mod signals;
mod trouble;

use pgstat::{Cluster, Limits, Target};
use std::time::Duration;

/// Long enough for a machine that is busy with other things.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(10),
    statement: Duration::from_secs(20),
    lock: Duration::from_secs(1),
    deadline: Duration::from_secs(25),
};

fn cluster(url: &str) -> Cluster {
    Cluster::new(Target::parse(url).unwrap(), LIMITS)
}
