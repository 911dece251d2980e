//! A table's page has its columns from the snapshot, with statistics where the monitoring role may see them.
use super::{PATIENCE, Watching, is_up, with_statements};
use control::Actor;
use domain::view::{Range, TableDetail};
use std::time::{Duration, Instant};

async fn detail(watching: &Watching, key: &str) -> TableDetail {
    let begun = Instant::now();
    loop {
        let found = watching.control.table_get(&Actor::system(), None, key, Range::Minutes15).await;
        if let Ok(detail) = found
            && !detail.columns.is_empty()
        {
            return detail;
        }
        assert!(begun.elapsed() < PATIENCE, "no columns of {key}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_stand_on_the_page_of_a_table_and_what_is_hidden_says_what_would_show_it() {
    let cluster = with_statements(&[]).await;
    let tables = "CREATE TABLE open (id int PRIMARY KEY, state text NOT NULL DEFAULT 'new'); \
                  INSERT INTO open SELECT g, CASE WHEN g % 4 < 3 THEN 'verysecret' ELSE 'new' END FROM generate_series(1, 4000) g; \
                  CREATE TABLE closed (a int); INSERT INTO closed VALUES (1); ANALYZE open; ANALYZE closed; \
                  CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT pg_monitor TO watcher; GRANT SELECT ON open TO watcher";
    cluster.execute("postgres", tables).await;
    let watching = Watching::start(&cluster.server.url_as("watcher", "w", "postgres")).await;
    watching.until("up", is_up).await;

    let open = detail(&watching, "postgres.public.open").await;
    assert!(open.columns_at.is_some() && open.columns_missing.is_none(), "{open:?}");
    let [id, state] = open.columns.as_slice() else { panic!("{open:?}") };
    assert_eq!((id.name.as_str(), id.n_distinct, id.has_statistics), ("id", Some(-1.0), Some(true)), "{id:?}");
    assert!(state.not_null && state.default.as_deref() == Some("?::text"), "{state:?}");
    assert_eq!((state.most_common_values, state.statistics_target), (Some(2), 100), "{state:?}");
    assert!(state.most_common_fraction.is_some_and(|it| (it - 0.75).abs() < 0.05), "{state:?}");
    assert!(!serde_json::to_string(&open.columns).unwrap().contains("verysecret"), "{open:?}");

    let closed = detail(&watching, "postgres.public.closed").await;
    let column = &closed.columns[0];
    assert_eq!((column.data_type.as_str(), column.has_statistics, column.n_distinct), ("integer", None, None));
    assert!(column.statistics_missing.as_deref().is_some_and(|it| it.contains("GRANT SELECT")), "{column:?}");
    watching.end().await;
}
