//! Marks leave out nothing that is an answer, and spare the rows that are none.
use crate::{A, World, migrating, until};
use catalog::{Catalog, PluginFilter, Sort, Tenant};
use migration::{IdpMigrator, MigratorTrait as _};
use std::collections::BTreeSet;

/// Plugins of every kind of text; the description of the last is long enough to set nearly every mark.
const ODD: &str = r"
    INSERT INTO tenants (slug, name) VALUES ('a', 'A'), ('b', 'B');
    INSERT INTO plugins (tenant_id, name, display_name, description, category, owner, keywords, tags)
    SELECT t, 'odd-' || n, display_name, description, 'docs', 'o', keywords, tags FROM generate_series(1, 2) t, (VALUES
        (1, 'Größe Äpfel ÖLIG', 'misst', ARRAY['größe', 'ÜBER'], ARRAY['Tier 1', '']),
        (2, '日本語 プラグイン', '説明', ARRAY['日本'], ARRAY['東京']),
        (3, 'x', '', '{}', '{}'),
        (4, 'ab-cd.ef/gh foo@example.org https://example.org/path?q=1', '<b class=''x''>bold</b> 3.14 -7 1e9', ARRAY['a b', 'c''d'], ARRAY['\']),
        (5, 'emoji 🦀 crab', '𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ﬁne e' || U&'\0301' || 'clair', ARRAY['🦀'], ARRAY['🦀🦀']),
        (6, 'Long', (SELECT string_agg(md5(i::text), ' ') FROM generate_series(1, 120) i), ARRAY['k'], ARRAY['t'])) AS odd (n, display_name, description, keywords, tags);
    ANALYZE";

async fn ids(catalog: &Catalog, filter: &PluginFilter) -> BTreeSet<i64> {
    let mut found = Vec::new();
    // Each in a statement of its own shape.
    for sort in [Sort::Name, Sort::HealthDown, Sort::Relevance] {
        let page = catalog.plugins(A, filter, sort, None, 200).await.unwrap();
        found.push(page.plugins.iter().map(|plugin| plugin.id.parse().unwrap()).collect::<BTreeSet<_>>());
    }
    found.push(catalog.ids(A, filter, 100).await.unwrap().into_iter().collect());
    assert!(found.iter().all(|one| *one == found[0]), "{filter:?}: {found:?}");
    found.swap_remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_row_holds_it_is_found_by() {
    for install in test_support::versions() {
        let version = install.version.clone();
        let cluster = test_support::private_cluster_of(install, &[]).await;
        let world = World::empty(cluster.server.url("postgres")).await;
        world.sql(ODD).await;
        let catalog = world.catalog().await;
        let mut asked = 0;
        // Every beginning of every word, one and two at a time, beside the rows that have them by PostgreSQL's own word.
        let words = world.texts("SELECT DISTINCT left(word, n) FROM plugins, unnest(tsvector_to_array(search)) word, generate_series(1, 6) n WHERE word NOT LIKE '________________%' ORDER BY 1").await;
        for query in words.iter().cloned().chain(words.windows(2).map(|two| two.join(" "))) {
            let filter = PluginFilter { query: Some(query.clone()), ..Default::default() };
            let tsquery = query
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(|word| format!("'{}':*", word.to_lowercase()))
                .collect::<Vec<_>>()
                .join(" & ");
            if tsquery.is_empty() {
                continue;
            }
            let by_hand = world.ids(&format!("tenant_id = 1 AND search @@ $${tsquery}$$::tsquery")).await;
            if by_hand.is_empty() {
                continue;
            }
            assert_eq!(ids(&catalog, &filter).await, by_hand, "'{query}' on {version}");
            asked += 1;
        }
        assert!(asked > 100, "{asked} questions on {version}");
        for (column, count) in [("tags", 5), ("keywords", 6)] {
            let values = world
                .texts(&format!("SELECT DISTINCT one FROM plugins, unnest({column}) one WHERE one IS NOT NULL"))
                .await;
            assert!(values.len() >= count, "{values:?}");
            for value in values {
                let list = vec![value.clone()];
                let filter = if column == "tags" {
                    PluginFilter { tags: list, ..Default::default() }
                } else {
                    PluginFilter { keywords: list, ..Default::default() }
                };
                let by_hand = world.ids(&format!("tenant_id = 1 AND {column} @> ARRAY[$q${value}$q$]")).await;
                assert!(!by_hand.is_empty());
                assert_eq!(ids(&catalog, &filter).await, by_hand, "{column} '{value}' on {version}");
            }
        }
        // What is NULL in a list takes no mark from the others: a row without marks would never be found.
        let marks =
            "SELECT bit_count(plugin_marks(to_tsvector('simple', 'swift'), ARRAY[NULL, 'k'], ARRAY['t', NULL]))";
        assert!(world.number(marks).await >= 4, "{version}");
    }
}

/// Twenty tenants with a thousand plugins each, whose rows lie far apart.
const MANY: &str = "
    INSERT INTO tenants (slug, name) SELECT 't' || n, 'T' FROM generate_series(1, 20) n;
    INSERT INTO plugins (tenant_id, name, display_name, description, category, owner, keywords, tags, health_score)
    SELECT n % 20 + 1, (ARRAY['swift', 'quiet', 'amber', 'solid'])[k % 4 + 1] || '-' || (ARRAY['pipeline', 'tracer', 'vault', 'broker', 'meter'])[k / 4 % 5 + 1] || '-' || n, 'Plugin', 'Keeps things in order',
        (ARRAY['ci-cd', 'docs', 'security'])[k / 20 % 3 + 1], 'team-' || k % 40, ARRAY['k' || k % 50], ARRAY['tier-' || k / 60 % 3], k * 37 % 101
    FROM (SELECT n, n / 20 AS k FROM generate_series(0, 19999) n) AS n";

#[tokio::test(flavor = "multi_thread")]
async fn only_rows_that_may_be_answers_are_read() {
    for install in test_support::versions() {
        let version = install.version.clone();
        let cluster = test_support::private_cluster_of(install, &[("autovacuum", "off")]).await;
        let world = World::empty(cluster.server.url("postgres")).await;
        world.sql(MANY).await;
        world.sql("VACUUM ANALYZE plugins").await;
        let filter = |query: Option<&str>, tag: &str| PluginFilter {
            query: query.map(str::to_owned),
            categories: if query.is_none() { vec!["docs".to_owned()] } else { Vec::new() },
            tags: if tag.is_empty() { Vec::new() } else { vec![tag.to_owned()] },
            health_min: query.is_none().then_some(20),
            ..Default::default()
        };
        for (filter, sort, found) in [
            (filter(None, "tier-1"), Sort::HealthDown, 50),
            (filter(None, "tier-0"), Sort::HealthUp, 50),
            (filter(None, "tier-9"), Sort::HealthDown, 0),
            (filter(Some("swift pipe"), ""), Sort::Relevance, 50),
            (filter(Some("amber vau"), "tier-1"), Sort::Name, 16),
        ] {
            world.sql("SELECT pg_stat_reset()").await;
            let catalog = world.catalog().await;
            // Each as another tenant: whatever is remembered was not for it.
            for tenant in 1..=20 {
                let page = catalog.plugins(Tenant(tenant), &filter, sort, None, 50).await.unwrap();
                assert!(page.plugins.len().abs_diff(found) <= 2, "{}: {filter:?}", page.plugins.len());
            }
            // A session tells its figures when it ends.
            drop(catalog);
            until("the figures are there", async || {
                world.number("SELECT coalesce(sum(idx_scan), 0)::int8 FROM pg_stat_user_indexes WHERE indexrelname = 'idx_plugins_tenant_marks'").await >= 20
            })
            .await;
            let rows = world.number("SELECT (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int8 FROM pg_stat_user_tables WHERE relname = 'plugins'").await;
            // Those shown, the one after them, and those that share their marks; not the thousand that each tenant has.
            assert!(rows <= 20 * 100, "{rows} rows were read for {filter:?} {sort:?} on {version}");
            assert!(rows >= 20 * found as i64, "{rows}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_from_before_get_their_marks_and_lose_them_again() {
    for install in test_support::versions() {
        let version = install.version.clone();
        let cluster = test_support::private_cluster_of(install, &[]).await;
        let url = cluster.server.url("postgres");
        let database = migrating(&url).await;
        let before = IdpMigrator::migrations().iter().position(|it| it.name().ends_with("_marks")).unwrap() as u32;
        IdpMigrator::up(&database, Some(before)).await.unwrap();
        let all = IdpMigrator::migrations().len() as u32;
        let world = World { superuser_url: url.clone(), url };
        world.sql(ODD).await;
        let index = "SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid = to_regclass";
        for _ in 0..2 {
            IdpMigrator::up(&database, None).await.unwrap();
            assert_eq!(
                world.number("SELECT count(*) FROM plugins WHERE marks = 0::bit(256) OR marks IS NULL").await,
                0
            );
            assert_eq!(world.number(&format!("{index}('idx_plugins_tenant_marks')")).await, 1, "{version}");
            assert_eq!(world.number(&format!("{index}('idx_plugins_tenant_health')")).await, 0, "{version}");
            // The index alone can answer from now on.
            let seen = "SELECT (relallvisible = relpages AND relpages > 0)::int::int8 FROM pg_class WHERE oid = 'plugins'::regclass";
            assert_eq!(world.number(seen).await, 1, "{version}");
            IdpMigrator::down(&database, Some(all - before)).await.unwrap();
            assert_eq!(world.number(&format!("{index}('idx_plugins_tenant_health')")).await, 1, "{version}");
            assert_eq!(world.number("SELECT count(*) FROM plugins").await, 12, "{version}");
        }
    }
}
