//! Closure, reverse closure, circles, plans.
use crate::{A, World};
use catalog::{CatalogError, Wanted};
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn closures_circles_and_plans_of_a_real_catalogue() {
    let world = World::new().await;
    let catalog = world.catalog().await;
    // 58 needs 29 at its installed version, which needs 14: 29 is not installed, and its newest version needs nothing.
    let names = |graph: &domain::view::DependencyGraph| {
        graph.nodes.iter().map(|node| (node.name.clone(), node.depth)).collect::<Vec<_>>()
    };
    let graph = catalog.dependency_graph(A, 58, false).await.unwrap();
    assert_eq!(names(&graph), [("plugin-58".to_owned(), 0), ("plugin-29".to_owned(), 1)]);
    assert_eq!(graph.nodes[0].version.as_deref(), Some("1.1.0"));
    assert!(graph.cycles.is_empty() && graph.missing.is_empty());
    let graph = catalog.dependency_graph(A, 14, true).await.unwrap();
    assert_eq!(names(&graph), [("plugin-14".to_owned(), 0), ("plugin-28".to_owned(), 1), ("plugin-56".to_owned(), 2)]);

    // 59 needs 29 and that 14, which is installed and does.
    let plan = catalog.plan_change(A, &[Wanted { id: 59, range: Some("^1".to_owned()) }]).await.unwrap();
    let said = plan.steps.iter().map(|step| format!("{} {} {}", step.action, step.name, step.to)).collect::<Vec<_>>();
    assert_eq!(said, ["keep plugin-14 1.1.0", "install plugin-29 1.1.0", "install plugin-59 1.1.0"]);

    // 28 is installed and needs 14 at ^1: 14 cannot go to 2.
    let plan = catalog.plan_change(A, &[Wanted { id: 14, range: Some("^2".to_owned()) }]).await.unwrap();
    assert!(!plan.possible);
    let text = plan.explanation.join("; ");
    assert!(text.contains("plugin-28 1.1.0 is installed") && text.contains("needs plugin-14 ^1"), "{text}");

    // A circle through three.
    world
        .sql("INSERT INTO plugin_dependencies (plugin_version_id, depends_on_id, version_range) SELECT v.id, d.on_id, '*' FROM (VALUES (2, 4), (4, 6), (6, 2)) AS d (id, on_id) JOIN plugin_versions v ON v.plugin_id = d.id AND v.version = '1.1.0'; SELECT pg_notify('holdfast_catalog', '1')")
        .await;
    crate::until("the circle is named", async || {
        let graph = catalog.dependency_graph(A, 4, false).await.unwrap();
        graph.cycles == [["plugin-2", "plugin-4", "plugin-6", "plugin-2"].map(str::to_owned).to_vec()]
    })
    .await;
    assert!(matches!(catalog.dependency_graph(A, 61, false).await, Err(CatalogError::NotFound(_))));
    let wrong = catalog.plan_change(A, &[Wanted { id: 1, range: Some("banana".to_owned()) }]).await.unwrap_err();
    assert!(wrong.to_string().contains("'banana' is not a version range"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closure_of_five_hundred_is_whole() {
    let world = World::new().await;
    world
        .sql("INSERT INTO plugins (tenant_id, name, display_name, category, owner) SELECT 1, 'big-' || n, 'Big', 'docs', 'o' FROM generate_series(1, 500) n ORDER BY n;
            INSERT INTO plugin_versions (plugin_id, version) SELECT id, '1.0.0' FROM plugins WHERE name LIKE 'big-%';
            INSERT INTO plugin_dependencies (plugin_version_id, depends_on_id, version_range)
            SELECT v.id, q.id, '^1' FROM plugins p JOIN plugin_versions v ON v.plugin_id = p.id JOIN plugins q ON q.tenant_id = 1 AND q.name IN ('big-' || substr(p.name, 5)::int * 2, 'big-' || substr(p.name, 5)::int * 2 + 1, 'big-' || substr(p.name, 5)::int + 7) WHERE p.name LIKE 'big-%'")
        .await;
    let catalog = world.catalog().await;
    let id = world.number("SELECT id FROM plugins WHERE name = 'big-1'").await;
    let graph = catalog.dependency_graph(A, id, false).await.unwrap();
    let names = graph.nodes.iter().map(|node| node.name.clone()).collect::<BTreeSet<_>>();
    assert_eq!(names.len(), 500);
    let plan = catalog.plan_change(A, &[Wanted { id, range: None }]).await.unwrap();
    assert!(plan.possible && plan.steps.len() == 500);
    // What is needed stands before what needs it.
    let place = |id: &str| plan.steps.iter().position(|step| step.id == id).unwrap();
    for node in &graph.nodes {
        for need in &node.needs {
            assert!(place(&need.id) < place(&node.id), "{} before {}", need.id, node.id);
        }
    }
}
