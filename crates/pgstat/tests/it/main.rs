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

/// Short limits, so that a test of a silent peer ends soon.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(2),
    statement: Duration::from_secs(2),
    lock: Duration::from_secs(1),
    deadline: Duration::from_secs(3),
};

fn cluster(url: &str) -> Cluster {
    Cluster::new(Target::parse(url).unwrap(), LIMITS)
}
