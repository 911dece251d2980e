//! Which room may know which: the directions of ARCHITECTURE.md, read from `cargo metadata`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

/// Each room and all the rooms of ours that it may depend on, directly. A new room needs a line here.
const ALLOWED: [(&str, &[&str]); 24] = [
    ("domain", &[]),
    ("gcm", &[]),
    ("pgconnect", &[]),
    ("analysis", &["domain"]),
    ("migration", &[]),
    ("pgphysical", &["domain"]),
    ("blobs", &["domain"]),
    ("backup", &["blobs", "domain", "gcm", "pgphysical"]),
    ("pgstat", &["domain", "pgconnect"]),
    ("pool", &["domain", "pgconnect"]),
    ("catalog", &["domain", "pgconnect", "pool"]),
    ("analytics", &["backup", "blobs", "catalog", "domain", "pool"]),
    ("store", &["domain", "migration"]),
    ("auth", &["domain", "gcm", "store"]),
    ("notify", &["domain"]),
    (
        "control",
        &["analytics", "analysis", "auth", "backup", "catalog", "domain", "notify", "pgphysical", "pool", "store"],
    ),
    ("monitor", &["analysis", "auth", "control", "domain", "notify", "pgstat", "store"]),
    ("recovery", &["analysis", "backup", "blobs", "control", "domain", "pgphysical", "store"]),
    ("demo", &["domain", "migration", "pgphysical"]),
    ("app", &["analysis", "auth", "control", "domain"]),
    ("frontend", &["app"]),
    (
        "server",
        &[
            "analysis",
            "analytics",
            "app",
            "auth",
            "backup",
            "blobs",
            "catalog",
            "control",
            "demo",
            "domain",
            "migration",
            "monitor",
            "pgphysical",
            "pgstat",
            "pool",
            "recovery",
            "store",
        ],
    ),
    ("test-support", &["domain", "pgphysical"]),
    ("xtask", &[]),
];

fn rooms() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let names = metadata.packages.iter().map(|package| package.name.to_string()).collect::<BTreeSet<_>>();
    let of = |package: &cargo_metadata::Package, dev: bool| {
        package
            .dependencies
            .iter()
            .filter(|it| (it.kind == DependencyKind::Development) == dev && names.contains(&it.name))
            .map(|it| it.name.clone())
            .collect()
    };
    metadata
        .packages
        .iter()
        .map(|package| (package.name.to_string(), (of(package, false), of(package, true))))
        .collect()
}

#[test]
fn every_room_depends_only_on_those_below_it() {
    for (room, (dependencies, _)) in rooms() {
        let allowed = ALLOWED
            .iter()
            .find(|line| line.0 == room)
            .unwrap_or_else(|| panic!("the room '{room}' has no line in ALLOWED"))
            .1;
        let forbidden = dependencies.iter().filter(|one| !allowed.contains(&one.as_str())).collect::<Vec<_>>();
        assert!(forbidden.is_empty(), "'{room}' must not depend on {forbidden:?}");
    }
}

#[test]
fn the_rules_stand_on_no_input_or_output() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    for room in ["domain", "analysis"] {
        let package = metadata.packages.iter().find(|package| package.name.as_str() == room).unwrap();
        for heavy in ["tokio", "sqlx", "sea-orm", "axum", "leptos", "reqwest"] {
            assert!(!package.dependencies.iter().any(|it| it.name == heavy), "'{room}' must not depend on {heavy}");
        }
    }
}

#[test]
fn test_support_reaches_no_program() {
    for (room, (dependencies, _)) in rooms() {
        assert!(!dependencies.contains("test-support"), "'{room}' has test-support outside its tests");
    }
}
