//! Lists of words as another hand may have written them.
use crate::{A, World, migrating};
use catalog::{BulkMode, BulkOperation, BulkRequest, PluginFilter, Sort};
use migration::{IdpMigrator, MigratorTrait as _};
use std::collections::{BTreeMap, BTreeSet};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_list_of_words_is_mended_once_and_then_refused() {
    let world = World { superuser_url: test_support::database().await.url, url: String::new() };
    let migrating = migrating(&world.superuser_url).await;
    let place = IdpMigrator::migrations().iter().position(|it| it.name() == "m20261129_000941_whole_words").unwrap();
    IdpMigrator::up(&migrating, Some(u32::try_from(place).unwrap())).await.unwrap();
    world
        .sql("INSERT INTO tenants (slug, name) VALUES ('a', 'A');
            INSERT INTO plugins (tenant_id, name, display_name, category, owner, keywords, tags)
            VALUES (1, 'a', 'A', 'c', 'o', ARRAY['x', NULL, 'y'], ARRAY[['1', '2'], ['3', NULL]]), (1, 'b', 'B', 'c', 'o', '{}', ARRAY[NULL])")
        .await;
    IdpMigrator::up(&migrating, None).await.unwrap();
    assert_eq!(
        world.texts("SELECT name || keywords::text || tags::text FROM plugins ORDER BY name").await,
        ["a{x,y}{1,2,3}", "b{}{}"]
    );
    for wrong in ["keywords = ARRAY['x', NULL]", "tags = ARRAY[['x']]", "tags = ARRAY[NULL]"] {
        let refused = format!(
            "DO $$ BEGIN UPDATE plugins SET {wrong}; RAISE 'it was taken'; EXCEPTION WHEN check_violation THEN NULL; END $$"
        );
        world.sql(&refused).await;
    }
    // And back, and again.
    let later = u32::try_from(IdpMigrator::migrations().len() - place).unwrap();
    IdpMigrator::down(&migrating, Some(later)).await.unwrap();
    IdpMigrator::up(&migrating, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_such_row_does_not_cost_the_page() {
    let world = World::new().await;
    world
        .sql("ALTER TABLE plugins DROP CONSTRAINT plugins_keywords_are_words, DROP CONSTRAINT plugins_tags_are_words;
            UPDATE plugins SET keywords = ARRAY['k1', NULL, 'common'] WHERE id = 7; UPDATE plugins SET tags = ARRAY[NULL]::text[] WHERE id = 8; UPDATE plugins SET tags = ARRAY[NULL, 'tier-9'] WHERE id = 9")
        .await;
    let catalog = world.catalog().await;
    let page = catalog.plugins(A, &PluginFilter::default(), Sort::Name, None, 200).await.unwrap();
    let lists = |id: &str| {
        let plugin = page.plugins.iter().find(|plugin| plugin.id == id).unwrap();
        (plugin.keywords.join(","), plugin.tags.join(","))
    };
    assert_eq!(page.plugins.len(), 60);
    assert_eq!(lists("7").0, "k1,common");
    assert_eq!((lists("8").1.as_str(), lists("9").1.as_str()), ("", "tier-9"));
    let facets = catalog.facets(A, &PluginFilter::default()).await.unwrap();
    assert_eq!(facets.total, 60, "what has no word is no total: {facets:?}");
    assert!(facets.tags.iter().any(|tag| tag.value == "tier-9" && tag.count == 1), "{facets:?}");
    assert_eq!(catalog.plugin(A, 9).await.unwrap().plugin.tags, ["tier-9"]);
    let request = BulkRequest {
        operation: BulkOperation::Tag,
        mode: BulkMode::Each,
        plugins: BTreeSet::from([7, 8, 9]),
        add_tags: vec!["new".to_owned()],
        remove_tags: Vec::new(),
        versions: BTreeMap::new(),
    };
    let plan = catalog.bulk_plan(A, &request).await.unwrap();
    assert_eq!(plan.changes[1].after, "new", "{plan:?}");
    let done = catalog.bulk_run(A, "w", "t", &request, &|_, _| {}).await.unwrap();
    assert_eq!(done.done, 3, "{done:?}");
    assert_eq!(
        world.texts("SELECT tags::text FROM plugins WHERE id IN (8, 9) ORDER BY id").await,
        ["{new}", "{new,tier-9}"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_what_the_details_show() {
    let world = World::new().await;
    // The page reads its answer from one text and by position, the details read theirs by name. What parts the values of the text
    // stands in one of them, too.
    world
        .sql(r#"UPDATE plugins SET description = E'ä "quoted" \\ back {a,b} NULL\n\tend\x1f', keywords = ARRAY['a,b', '{c}', 'say "d"', E'back\\slash', '', 'NULL', 'null', ' e ', 'ä€'], tags = '{}', cpu_usage = 0.1, memory_usage = 9007199254740993, created_at = '1969-12-31 23:59:59.5Z' WHERE id = 7;
            UPDATE plugins SET cpu_usage = 'NaN', installed_version = NULL WHERE id = 8;
            UPDATE plugins SET name = 'plugin 9, "the ninth"', cpu_usage = 3.4e38, installed_version = '', created_at = created_at + interval '0.123456 seconds' WHERE id = 9"#)
        .await;
    let catalog = world.catalog().await;
    for sort in [Sort::HealthDown, Sort::HealthUp, Sort::Name, Sort::UpdatedDown] {
        let (mut cursor, mut seen) = (None, 0);
        loop {
            let page = catalog.plugins(A, &PluginFilter::default(), sort, cursor.as_deref(), 7).await.unwrap();
            for listed in &page.plugins {
                let details = catalog.plugin(A, listed.id.parse().unwrap()).await.unwrap();
                // NaN is not equal to itself.
                assert_eq!(format!("{listed:?}"), format!("{:?}", details.plugin), "{sort:?}");
            }
            seen += page.plugins.len();
            cursor = page.next_cursor.clone();
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, 60, "{sort:?}");
    }
    let page = catalog.plugins(A, &PluginFilter::default(), Sort::Name, None, 200).await.unwrap();
    let seventh = page.plugins.iter().find(|plugin| plugin.id == "7").unwrap();
    assert_eq!(seventh.keywords, ["a,b", "{c}", "say \"d\"", "back\\slash", "", "NULL", "null", " e ", "ä€"]);
    assert_eq!((seventh.memory_bytes, seventh.created_at.0), (9_007_199_254_740_993, -500));
}
