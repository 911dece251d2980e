//! Which version is the newest: by its number, not by the day of its release.
use crate::{A, World};
use catalog::{BulkMode, BulkOperation, BulkRequest};
use std::collections::BTreeMap;

/// In the order of semantic versions, but for pre-releases, which come before all releases.
const ORDERED: [&str; 14] = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "3.0.0-rc.1",
    "1.0.0",
    "1.4.9",
    "1.4.10",
    "1.10.0",
    "2.0.0",
    "18446744073709551615.0.0",
];

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_in_the_order_of_versions() {
    let world = World::new().await;
    // The last one comes first and so is the oldest: by its date and its id the order is the other way round.
    let list = ORDERED.iter().rev().map(|it| format!("'{it}'")).collect::<Vec<_>>().join(", ");
    world
        .sql(&format!("DELETE FROM plugin_versions WHERE plugin_id = 1; INSERT INTO plugin_versions (plugin_id, version) SELECT 1, unnest(ARRAY[{list}, 'banana', '1.2'])"))
        .await;
    let sorted = world
        .texts(
            "SELECT version FROM plugin_versions WHERE plugin_id = 1 AND version_key IS NOT NULL ORDER BY version_key",
        )
        .await;
    assert_eq!(sorted, ORDERED);
    let releases = ORDERED.iter().skip(8).map(|it| semver::Version::parse(it).unwrap());
    assert!(releases.is_sorted());
    assert!(ORDERED.iter().take(8).map(|it| semver::Version::parse(it).unwrap()).is_sorted());
    assert_eq!(
        world.number("SELECT count(*) FROM plugin_versions WHERE plugin_id = 1 AND version_key IS NULL").await,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_port_is_not_the_newest_and_a_pre_release_only_where_nothing_else_is() {
    let world = World::new().await;
    // Both released after 2.0.0; 3 has nothing but a pre-release and what is no version at all.
    world
        .sql("INSERT INTO plugin_versions (plugin_id, version, released_at) SELECT p, v, now() FROM (VALUES (1, '1.4.9'), (1, '3.0.0-rc.1'), (2, '1.4.9')) AS x (p, v); UPDATE plugins SET installed_version = '2.0.0' WHERE id = 2;
            DELETE FROM plugin_versions WHERE plugin_id = 3; INSERT INTO plugin_versions (plugin_id, version) VALUES (3, '0.1.0-beta.2'), (3, '0.1.0-beta.11'), (3, 'banana')")
        .await;
    let catalog = world.catalog().await;
    let request = |operation, plugins: &[i64]| BulkRequest {
        operation,
        mode: BulkMode::Each,
        plugins: plugins.iter().copied().collect(),
        add_tags: Vec::new(),
        remove_tags: Vec::new(),
        versions: BTreeMap::new(),
    };
    let run =
        async |key: &str, request: &BulkRequest| catalog.bulk_run(A, key, "ada", request, &|_, _| {}).await.unwrap();
    assert_eq!(run("i", &request(BulkOperation::Install, &[1, 3])).await.done, 2);
    assert_eq!(run("u", &request(BulkOperation::Upgrade, &[2])).await.unchanged, 1, "1.4.9 is no upgrade of 2.0.0");
    assert_eq!(
        world.texts("SELECT installed_version FROM plugins WHERE id IN (1, 2, 3) ORDER BY id").await,
        ["2.0.0", "2.0.0", "0.1.0-beta.11"]
    );
    let details = catalog.plugin(A, 1).await.unwrap();
    let versions = details.versions.iter().map(|it| it.version.as_str()).collect::<Vec<_>>();
    assert_eq!(versions, ["2.0.0", "1.4.9", "1.1.0", "1.0.0", "3.0.0-rc.1"]);
    // What is not installed is looked at by its newest version.
    assert_eq!(catalog.dependency_graph(A, 5, false).await.unwrap().nodes[0].version.as_deref(), Some("2.0.0"));
}
