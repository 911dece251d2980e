//! No question of one tenant shows another's row: through every function of the catalogue, and in plain SQL as the role
//! that the catalogue works as.
use crate::{A, B, World};
use catalog::{BulkMode, BulkOperation, BulkRequest, CatalogError, PluginFilter, Sort, Wanted};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::collections::BTreeMap;

const TABLES: [&str; 10] = [
    "tenants",
    "plugins",
    "plugin_versions",
    "plugin_dependencies",
    "plugin_operations",
    "plugin_metrics",
    "plugin_analytics",
    "audit_logs",
    "plugin_bulks",
    "plugin_bulk_items",
];

#[tokio::test(flavor = "multi_thread")]
async fn in_plain_sql_a_tenant_is_alone() {
    let world = World::new().await;
    let catalog = world.catalog().await;
    let request = BulkRequest {
        operation: BulkOperation::Tag,
        mode: BulkMode::Atomic,
        plugins: [61].into(),
        add_tags: vec!["x".to_owned()],
        remove_tags: Vec::new(),
        versions: BTreeMap::new(),
    };
    catalog.bulk_run(B, "b", "test", &request, &|_, _| {}).await.unwrap();

    let mut connection = PgConnection::connect(&world.url).await.unwrap();
    let count = async |connection: &mut PgConnection, sql: String| {
        sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql)).fetch_one(connection).await
    };
    // Without a role the login sees nothing at all.
    assert!(count(&mut connection, "SELECT count(*) FROM plugins".to_owned()).await.is_err());
    connection.execute("BEGIN; SET LOCAL ROLE holdfast_tenant").await.unwrap();
    for table in TABLES {
        assert_eq!(count(&mut connection, format!("SELECT count(*) FROM {table}")).await.unwrap(), 0, "{table}");
    }
    connection.execute("SET LOCAL holdfast.tenant_id = '1'").await.unwrap();
    for table in TABLES {
        let id = if table == "tenants" { "id" } else { "tenant_id" };
        let own = count(&mut connection, format!("SELECT count(*) FROM {table}")).await.unwrap();
        let by_hand = world.number(&format!("SELECT count(*) FROM {table} WHERE {id} = 1")).await;
        assert_eq!(own, by_hand, "{table}");
        assert!(own > 0 || table.starts_with("plugin_bulk"), "{table}");
        let other = world.number(&format!("SELECT count(*) FROM {table} WHERE {id} = 2")).await;
        assert!(other > 0, "{table}");
    }
    // Views, partitions, functions, joins, EXISTS and aggregates of its own making see no more.
    for sql in [
        "SELECT count(*) FROM v_active_plugins WHERE tenant_id <> 1",
        "SELECT count(*) FROM v_plugin_performance_summary WHERE plugin_id > 60",
        "SELECT count(*) FROM plugins WHERE id > 60 OR true AND tenant_id = 2",
        "SELECT count(*) FROM plugin_metrics m LEFT JOIN plugins p ON p.id = m.plugin_id WHERE m.plugin_id > 60",
        "SELECT coalesce(max(id), 0) / 61 FROM plugins",
        "SELECT count(*) FROM (SELECT (SELECT name FROM plugins q WHERE q.id = n) AS name FROM generate_series(61, 120) n) s WHERE name IS NOT NULL",
    ] {
        assert_eq!(count(&mut connection, sql.to_owned()).await.unwrap(), 0, "{sql}");
    }
    connection.execute("ROLLBACK").await.unwrap();
    for sql in [
        "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid WHERE c.relname LIKE 'plugin_analytics%' AND has_table_privilege('holdfast_tenant', c.oid, 'SELECT')",
        "SELECT count(*) FROM pg_roles WHERE rolname IN ('holdfast_tenant', 'holdfast_platform', 'idp_api') AND (rolbypassrls OR rolsuper)",
    ] {
        assert_eq!(world.number(sql).await, 0, "{sql}");
    }
    for table in TABLES {
        let forced = format!(
            "SELECT (relrowsecurity AND relforcerowsecurity)::int::int8 FROM pg_class WHERE oid = '{table}'::regclass"
        );
        assert_eq!(world.number(&forced).await, 1, "{table}");
    }

    // It cannot write into another tenant, nor move a row there.
    for sql in [
        "INSERT INTO plugins (tenant_id, name, display_name, category, owner) VALUES (2, 'x', 'x', 'x', 'x')",
        "UPDATE plugins SET tenant_id = 2 WHERE id = 1",
        "INSERT INTO plugin_operations (plugin_id, environment, operation_type, status, started_by) VALUES (61, 'p', 'install', 'failed', 'x')",
        "INSERT INTO plugin_operations (plugin_id, tenant_id, environment, operation_type, status, started_by) VALUES (61, 2, 'p', 'install', 'failed', 'x')",
        "INSERT INTO audit_logs (tenant_id, actor, action, object_kind, object_id) VALUES (2, 'x', 'x', 'x', 'x')",
        "DELETE FROM audit_logs",
        "UPDATE audit_logs SET actor = 'x'",
        "DELETE FROM tenants",
        "ALTER TABLE plugins DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON plugins",
    ] {
        connection.execute("BEGIN; SET LOCAL ROLE holdfast_tenant; SET LOCAL holdfast.tenant_id = '1'").await.unwrap();
        let error = connection.execute(sql).await.expect_err(sql);
        let code = error.as_database_error().and_then(|it| it.code()).unwrap_or_default().into_owned();
        assert!(["42501", "23502"].contains(&code.as_str()), "{sql}: {code}");
        connection.execute("ROLLBACK").await.unwrap();
    }
    for sql in ["UPDATE plugins SET owner = 'x' WHERE id > 60", "DELETE FROM plugins WHERE id > 60"] {
        connection.execute("BEGIN; SET LOCAL ROLE holdfast_tenant; SET LOCAL holdfast.tenant_id = '1'").await.unwrap();
        assert_eq!(connection.execute(sql).await.unwrap().rows_affected(), 0, "{sql}");
        connection.execute("ROLLBACK").await.unwrap();
    }
    // The tenant ends with the transaction.
    let left: Option<String> = sqlx::query_scalar("SELECT nullif(current_setting('holdfast.tenant_id', true), '')")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(left, None);
}

/// Of everything in the schemas, also what a later migration adds.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_tenant_may_touch_is_under_a_policy() {
    let world = World::new().await;
    let of_ours = "c.relnamespace IN ('public'::regnamespace, 'analytics_restored'::regnamespace)";
    let table = format!("{of_ours} AND c.relkind IN ('r', 'p', 'm', 'f')");
    let touched = "(has_any_column_privilege('holdfast_tenant', c.oid, 'SELECT, INSERT, UPDATE') OR has_table_privilege('holdfast_tenant', c.oid, 'DELETE, TRUNCATE, TRIGGER'))";
    let knows_tenant = "(c.relname = 'tenants' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))";
    let policy =
        "EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND 'holdfast_tenant'::regrole = ANY (p.polroles))";
    let name = "SELECT c.oid::regclass::text FROM pg_class c WHERE";
    let wrong: [(&str, String, &[&str]); 7] = [
        (
            "has rows of tenants and no policy",
            format!("{name} {table} AND {touched} AND {knows_tenant} AND NOT (c.relrowsecurity AND {policy})"),
            &[],
        ),
        (
            "tells of no tenant",
            format!("{name} {table} AND {touched} AND NOT {knows_tenant} ORDER BY 1"),
            &["analytics_restored.spans", "analytics_state"],
        ),
        // The trigger writes it as the owner, whoever the writer is; it has hours and no content.
        (
            "is not forced on its owner",
            format!("{name} {table} AND {touched} AND c.relrowsecurity AND NOT c.relforcerowsecurity"),
            &["analytics_dirty"],
        ),
        (
            "is a view that asks as its owner",
            format!("{name} {of_ours} AND c.relkind = 'v' AND {touched} AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false)"),
            &[],
        ),
        (
            "belongs to one of the roles",
            format!("{name} {of_ours} AND c.relowner IN ('holdfast_tenant'::regrole, 'holdfast_platform'::regrole)"),
            &[],
        ),
        (
            "is a policy that does not ask for the tenant, or is everybody's",
            "SELECT p.polrelid::regclass::text || ' ' || p.polname FROM pg_policy p WHERE 0 = ANY (p.polroles) OR 'holdfast_tenant'::regrole = ANY (p.polroles) AND NOT (pg_get_expr(p.polqual, p.polrelid) LIKE '%current_tenant()%' AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid) LIKE '%current_tenant()%', true))".to_owned(),
            &[],
        ),
        // The functions of triggers cannot be called.
        (
            "is a function with its owner's rights that a tenant may call",
            "SELECT f.oid::regprocedure::text FROM pg_proc f WHERE f.pronamespace = 'public'::regnamespace AND f.prosecdef AND f.prorettype <> 'trigger'::regtype AND has_function_privilege('holdfast_tenant', f.oid, 'EXECUTE')".to_owned(),
            &[],
        ),
    ];
    for (what, sql, allowed) in wrong {
        assert_eq!(world.texts(&sql).await, allowed, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_catalogue_and_its_cache_too() {
    let world = World::new().await;
    let catalog = world.catalog().await;
    let filter = PluginFilter { query: Some("keeps".to_owned()), ..Default::default() };
    // The same question of both tenants, twice, so that the second answer comes from memory.
    for _ in 0..2 {
        for (tenant, word, ids) in [(A, "alpha", 1..=60), (B, "beta", 61..=120)] {
            let page = catalog.plugins(tenant, &filter, Sort::Name, None, 200).await.unwrap();
            assert_eq!(page.plugins.len(), 60);
            for plugin in &page.plugins {
                assert!(plugin.description.contains(word) && ids.contains(&plugin.id.parse().unwrap()), "{plugin:?}");
            }
            assert_eq!(catalog.facets(tenant, &PluginFilter::default()).await.unwrap().total, 60);
        }
        assert!(catalog.plugin(B, 61).await.is_ok());
        assert!(matches!(catalog.plugin(A, 61).await, Err(CatalogError::NotFound(_))));
        assert!(catalog.operations(A, 61, None, 10).await.unwrap().is_empty());
        assert!(matches!(catalog.dependency_graph(A, 61, true).await, Err(CatalogError::NotFound(_))));
        assert!(matches!(
            catalog.plan_change(A, &[Wanted { id: 61, range: None }]).await,
            Err(CatalogError::NotFound(_))
        ));
    }
    assert!(catalog.cache_stats().hits >= 4, "{:?}", catalog.cache_stats());

    // A bulk operation on both tenants' plugins changes its own.
    for (i, operation) in BulkOperation::ALL.into_iter().enumerate() {
        let tag = (operation == BulkOperation::Tag).then(|| "seen".to_owned());
        let request = BulkRequest {
            operation,
            mode: BulkMode::Each,
            plugins: [1, 61].into(),
            add_tags: tag.into_iter().collect(),
            remove_tags: Vec::new(),
            versions: BTreeMap::new(),
        };
        let planned = catalog.bulk_plan(A, &request).await.unwrap();
        assert!(
            planned.problems.iter().any(|it| it.id == "61" && it.reason == "there is no such plugin"),
            "{planned:?}"
        );
        let report = catalog.bulk_run(A, &format!("key-{i}"), "test", &request, &|_, _| {}).await.unwrap();
        assert!(report.problems.iter().any(|it| it.id == "61" && it.reason == "there is no such plugin"), "{report:?}");
    }
    assert_eq!(
        world
            .number("SELECT count(*) FROM plugins WHERE id = 61 AND NOT is_installed AND tags = ARRAY['tier-1']")
            .await,
        1
    );
    assert_eq!(world.number("SELECT count(*) FROM plugins WHERE tenant_id = 2").await, 60);
    // The key of one tenant is not the other's.
    let request = BulkRequest {
        operation: BulkOperation::Disable,
        mode: BulkMode::Atomic,
        plugins: [64].into(),
        add_tags: Vec::new(),
        remove_tags: Vec::new(),
        versions: BTreeMap::new(),
    };
    assert!(!catalog.bulk_run(B, "key-0", "test", &request, &|_, _| {}).await.unwrap().repeated);
}
