//! Filters, search, pages and facets, beside counting by hand.
use crate::{A, B, World};
use catalog::{Catalog, PluginFilter, Sort};
use domain::view::{Plugin, SearchMode};
use std::collections::BTreeSet;

async fn all(catalog: &Catalog, filter: &PluginFilter, sort: Sort, limit: u32) -> Vec<Plugin> {
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = catalog.plugins(A, filter, sort, cursor.as_deref(), limit).await.unwrap();
        assert!(page.plugins.len() <= limit as usize);
        found.extend(page.plugins.clone());
        match &page.next_cursor {
            Some(next) => cursor = Some(next.clone()),
            None => return found,
        }
    }
}

fn text(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_pages_and_facets_agree_with_counting_by_hand() {
    let world = World::new().await;
    let catalog = world.catalog().await;
    let everything = all(&catalog, &PluginFilter::default(), Sort::Name, 200).await;
    assert_eq!(everything.len(), 60);
    type Test = fn(&Plugin) -> bool;
    let cases: Vec<(PluginFilter, Test)> = vec![
        (PluginFilter { categories: text(&["docs", "security"]), ..Default::default() }, |p| p.category != "ci-cd"),
        (PluginFilter { statuses: text(&["failed"]), ..Default::default() }, |p| p.status == "failed"),
        (PluginFilter { environments: text(&["staging"]), ..Default::default() }, |p| p.environment == "staging"),
        (PluginFilter { owners: text(&["team-1"]), ..Default::default() }, |p| p.owner == "team-1"),
        (PluginFilter { tags: text(&["tier-2"]), ..Default::default() }, |p| p.tags.contains(&"tier-2".to_owned())),
        (PluginFilter { keywords: text(&["common", "k3"]), ..Default::default() }, |p| {
            p.keywords.contains(&"k3".to_owned())
        }),
        (PluginFilter { health_min: Some(10), health_max: Some(20), ..Default::default() }, |p| {
            (10..=20).contains(&p.health_score)
        }),
        (PluginFilter { installed: Some(true), enabled: Some(false), ..Default::default() }, |p| {
            p.installed && !p.enabled
        }),
        (PluginFilter { query: Some("trac".to_owned()), owners: text(&["team-2"]), ..Default::default() }, |p| {
            p.display_name.contains("Tracer") && p.owner == "team-2"
        }),
        (PluginFilter { query: Some("ALPHA k4".to_owned()), ..Default::default() }, |p| {
            p.keywords.contains(&"k4".to_owned())
        }),
    ];
    for (filter, test) in cases {
        let wanted = everything.iter().filter(|p| test(p)).map(|p| p.id.clone()).collect::<BTreeSet<_>>();
        assert!(!wanted.is_empty(), "{filter:?}");
        for sort in [Sort::HealthDown, Sort::HealthUp, Sort::Name, Sort::UpdatedDown, Sort::Relevance] {
            for limit in [1, 7, 200] {
                let found = all(&catalog, &filter, sort, limit).await;
                // Every row once, in whichever pages.
                assert_eq!(found.len(), wanted.len(), "{filter:?} {sort:?} {limit}");
                assert_eq!(found.iter().map(|p| p.id.clone()).collect::<BTreeSet<_>>(), wanted, "{filter:?}");
                let sorted = match sort {
                    Sort::HealthDown => found.is_sorted_by(|a, b| a.health_score >= b.health_score),
                    Sort::HealthUp => found.is_sorted_by(|a, b| a.health_score <= b.health_score),
                    Sort::Name => found.is_sorted_by(|a, b| a.name <= b.name),
                    Sort::UpdatedDown => found.is_sorted_by(|a, b| a.updated_at >= b.updated_at),
                    Sort::Relevance => true,
                };
                assert!(sorted, "{filter:?} {sort:?}");
            }
        }
        let facets = catalog.facets(A, &filter).await.unwrap();
        assert_eq!(facets.total as usize, wanted.len(), "{filter:?}");
        for list in [&facets.categories, &facets.statuses, &facets.environments, &facets.owners] {
            assert_eq!(list.iter().map(|it| it.count).sum::<i64>() as usize, wanted.len(), "{filter:?}: {list:?}");
        }
        let tier_1 = facets.tags.iter().find(|it| it.value == "tier-1").map_or(0, |it| it.count);
        let by_hand = everything.iter().filter(|p| test(p) && p.tags.contains(&"tier-1".to_owned())).count();
        assert_eq!(tier_1 as usize, by_hand);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn search_forgives_typing_errors_and_says_when_it_cannot() {
    let world = World::new().await;
    let catalog = world.catalog().await;
    let filter = |query: &str| PluginFilter { query: Some(query.to_owned()), ..Default::default() };
    let page = catalog.plugins(A, &filter("Tracr"), Sort::Relevance, None, 10).await.unwrap();
    assert_eq!(page.search, SearchMode::Similar);
    assert!(page.plugins.len() >= 5 && page.plugins[0].display_name.contains("Tracer"), "{page:?}");
    assert!(page.message.as_ref().unwrap().contains("similar"));
    // The next page goes on in the same way.
    let next = page.next_cursor.clone().unwrap();
    let second = catalog.plugins(A, &filter("Tracr"), Sort::Relevance, Some(&next), 10).await.unwrap();
    assert_eq!(second.search, SearchMode::Similar);
    assert!(second.plugins.iter().all(|p| !page.plugins.iter().any(|q| q.id == p.id)));
    assert!(catalog.facets(A, &filter("Tracr")).await.unwrap().total >= 15);
    // What stands in it is never an operator.
    for odd in ["a' OR 1=1 --", "!!!", "'", "\\", "a & | b", "x:*", "\u{0}", "日本"] {
        let page = catalog.plugins(A, &filter(odd), Sort::Relevance, None, 10).await;
        assert!(page.is_ok() || odd == "\u{0}", "{odd}: {page:?}");
    }
    for wrong in ["", "w", "w.x.1", "w.1.abc", "q.1.1", "w.1.'; DROP TABLE plugins"] {
        let error = catalog.plugins(A, &filter("tracer"), Sort::HealthDown, Some(wrong), 10).await.unwrap_err();
        assert!(error.to_string().contains("next_cursor"), "{wrong}: {error}");
    }

    world.sql("DROP EXTENSION pg_trgm; SELECT pg_notify('holdfast_catalog', '1')").await;
    crate::until("it is said", async || {
        let page = catalog.plugins(A, &filter("Tracr"), Sort::Relevance, None, 10).await.unwrap();
        page.search == SearchMode::WordsOnly && page.message.as_ref().unwrap().contains("CREATE EXTENSION pg_trgm")
    })
    .await;
    // Words are found all the same.
    assert_eq!(
        catalog.plugins(A, &filter("tracer"), Sort::Relevance, None, 10).await.unwrap().search,
        SearchMode::Words
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_stable_while_rows_come_and_go() {
    let world = World::new().await;
    let catalog = world.catalog().await;
    let filter = PluginFilter::default();
    let first = catalog.plugins(B, &filter, Sort::Name, None, 20).await.unwrap();
    world
        .sql("INSERT INTO plugins (tenant_id, name, display_name, category, owner) VALUES (2, 'plugin-0', 'Early', 'docs', 'o'); DELETE FROM plugins WHERE id = 61; SELECT pg_notify('holdfast_catalog', '2')")
        .await;
    let second = catalog.plugins(B, &filter, Sort::Name, first.next_cursor.as_deref(), 200).await.unwrap();
    let ids = |plugins: &[Plugin]| plugins.iter().map(|p| p.id.clone()).collect::<BTreeSet<_>>();
    assert!(ids(&first.plugins).is_disjoint(&ids(&second.plugins)));
    assert_eq!(first.plugins.len() + second.plugins.len(), 60, "what was there all the time came once");
    let details = catalog.plugin(B, 62).await.unwrap();
    assert_eq!((details.versions.len(), details.operations.len(), details.metrics.len()), (3, 1, 1));
    assert_eq!(details.metrics[0].last, 62.0);
}
