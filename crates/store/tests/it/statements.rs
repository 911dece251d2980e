//! Statements and what they did.
use domain::{
    Timestamp,
    reading::{StatementKey, StatementText},
};
use store::{StatementRepo, StatementSampleRow, Store};

on_both_databases!(
    a_statement_keeps_its_first_text_and_is_found_by_its_key,
    totals_add_up_and_the_variance_of_the_whole_follows_from_the_parts,
    buckets_begin_after_from_and_end_with_to,
    more_statements_than_one_insert_takes_are_kept,
    what_is_old_is_removed,
    statements_are_found_by_a_word_of_their_text,
);

fn text(queryid: i64, query: &str) -> StatementText {
    let key = StatementKey { dbid: 16_384, userid: u32::MAX, queryid, toplevel: queryid % 2 == 0 };
    StatementText { key, database: "shop".into(), user: "app".into(), query: query.into() }
}

fn sample(statement_id: i64, calls: i64, total_ms: f64, m2: f64) -> StatementSampleRow {
    StatementSampleRow {
        statement_id,
        calls,
        total_ms,
        m2,
        max_ms: total_ms,
        rows: calls * 2,
        shared_blks_hit: 3,
        shared_blks_read: 4,
        temp_blks_written: 5,
        wal_bytes: 6,
    }
}

async fn statements_are_found_by_a_word_of_their_text(store: Store) {
    let statements = StatementRepo(store.db());
    let texts = [
        text(1, "SELECT * FROM Order_Lines"),
        text(2, "SELECT * FROM orderXlines"),
        text(3, "SELECT 100 % 7"),
        StatementText { database: "other".into(), ..text(4, "SELECT * FROM order_lines") },
    ];
    statements.insert_texts("main", &texts, Timestamp(1)).await.unwrap();
    let found = async |word: &str| {
        let found = statements.mentioning("main", "shop", word, 9).await.unwrap();
        let mut found = found.into_iter().map(|it| it.text.key.queryid).collect::<Vec<_>>();
        found.sort_unstable();
        found
    };
    assert_eq!(found("order_lines").await, [1], "an underscore is one, and another database is another");
    assert_eq!(found("%").await, [3]);
    assert_eq!(found("select").await, [1, 2, 3]);
    assert_eq!(statements.mentioning("main", "shop", "select", 2).await.unwrap().len(), 2);
    assert!(statements.mentioning("none", "shop", "select", 2).await.unwrap().is_empty());
}

async fn ids(store: &Store, number: i64) -> Vec<i64> {
    let statements = StatementRepo(store.db());
    let texts = (0..number).map(|id| text(id, "SELECT $1")).collect::<Vec<_>>();
    statements.insert_texts("main", &texts, Timestamp(1)).await.unwrap();
    let mut records = statements.list("main").await.unwrap();
    records.sort_by_key(|record| record.text.key.queryid);
    records.iter().map(|record| record.id).collect()
}

async fn a_statement_keeps_its_first_text_and_is_found_by_its_key(store: Store) {
    let statements = StatementRepo(store.db());
    let first = text(i64::MIN, "SELECT \0 'grün'");
    statements.insert_texts("main", std::slice::from_ref(&first), Timestamp(1)).await.unwrap();
    statements
        .insert_texts("main", &[StatementText { query: "other".into(), ..first.clone() }], Timestamp(2))
        .await
        .unwrap();
    let record = statements.find("main", first.key).await.unwrap().unwrap();
    assert_eq!(
        record.text,
        StatementText { query: "SELECT   'grün'".into(), ..first.clone() },
        "PostgreSQL cannot keep the character 0"
    );
    assert_eq!((record.first_seen_at, record.last_seen_at), (Timestamp(1), Timestamp(2)));
    let nested = StatementKey { toplevel: !first.key.toplevel, ..first.key };
    assert_eq!(statements.find("main", nested).await.unwrap(), None);
    assert_eq!(statements.find("other", first.key).await.unwrap(), None);
    assert_eq!(statements.list("main").await.unwrap(), [record]);
}

async fn totals_add_up_and_the_variance_of_the_whole_follows_from_the_parts(store: Store) {
    let ids = ids(&store, 2).await;
    let statements = StatementRepo(store.db());
    // Calls of 1, 3 and then 5, 7 ms: mean 4, sum of squared deviations 20.
    statements
        .insert_samples(Timestamp(60), 60, &[sample(ids[0], 2, 4.0, 2.0), sample(ids[1], 1, 100.0, 0.0)])
        .await
        .unwrap();
    statements.insert_samples(Timestamp(120), 60, &[sample(ids[0], 2, 12.0, 2.0)]).await.unwrap();
    statements.insert_samples(Timestamp(180), 60, &[sample(ids[0], 0, 0.0, 0.0)]).await.unwrap();
    let totals = statements.totals("main", Timestamp(0), Timestamp(180)).await.unwrap();
    assert_eq!(totals.len(), 2);
    let total = totals.iter().find(|total| total.statement_id == ids[0]).unwrap();
    assert_eq!((total.calls, total.total_ms, total.max_ms, total.row_count), (4, 16.0, 12.0, 8));
    assert_eq!(
        (total.shared_blks_hit, total.shared_blks_read, total.temp_blks_written, total.wal_bytes),
        (6, 8, 10, 12)
    );
    assert_eq!(total.m2 + total.squares - total.total_ms * total.total_ms / total.calls as f64, 20.0);
    assert_eq!(statements.totals("main", Timestamp(60), Timestamp(119)).await.unwrap(), [], "from is exclusive");
    assert_eq!(statements.totals("other", Timestamp(0), Timestamp(180)).await.unwrap(), []);
    let since = statements.covered_since("main", Timestamp(-500), Timestamp(180)).await.unwrap();
    assert_eq!(since, Some(Timestamp(0)), "the begin of the first interval");
    assert_eq!(statements.covered_since("other", Timestamp(0), Timestamp(180)).await.unwrap(), None);
}

async fn buckets_begin_after_from_and_end_with_to(store: Store) {
    let ids = ids(&store, 2).await;
    let statements = StatementRepo(store.db());
    for at in [100, 150, 200, 201, 300] {
        statements
            .insert_samples(Timestamp(at), 50, &[sample(ids[0], 1, 2.0, 0.5), sample(ids[1], 10, 20.0, 0.0)])
            .await
            .unwrap();
    }
    let buckets = statements.buckets(&ids[..1], Timestamp(100), Timestamp(300), 100).await.unwrap();
    let figures =
        buckets.iter().map(|it| (it.statement_id, it.bucket, it.calls, it.m2, it.interval_ms)).collect::<Vec<_>>();
    assert_eq!(figures, [(ids[0], 0, 2, 1.0, 50), (ids[0], 1, 2, 1.0, 50)]);
    let all = statements.buckets_of_all("main", Timestamp(100), Timestamp(300), 100).await.unwrap();
    let figures = all.iter().map(|it| (it.statement_id, it.bucket, it.calls, it.total_ms)).collect::<Vec<_>>();
    assert_eq!(figures, [(0, 0, 22, 44.0), (0, 1, 22, 44.0)]);
    assert_eq!(statements.buckets(&[], Timestamp(100), Timestamp(300), 100).await.unwrap(), []);
    assert_eq!(statements.buckets_of_all("other", Timestamp(100), Timestamp(300), 100).await.unwrap(), []);
}

async fn more_statements_than_one_insert_takes_are_kept(store: Store) {
    let ids = ids(&store, 2_500).await;
    assert_eq!(ids.len(), 2_500);
    let rows = ids.iter().map(|id| sample(*id, 1, 1.0, 0.0)).collect::<Vec<_>>();
    let transaction = store.begin().await.unwrap();
    StatementRepo(&transaction).insert_samples(Timestamp(60), 60, &rows).await.unwrap();
    store.commit(transaction).await.unwrap();
    assert_eq!(StatementRepo(store.db()).totals("main", Timestamp(0), Timestamp(60)).await.unwrap().len(), 2_500);
    assert_eq!(StatementRepo(store.db()).list("main").await.unwrap()[2_499].last_seen_at, Timestamp(60));
}

async fn what_is_old_is_removed(store: Store) {
    let ids = ids(&store, 2).await;
    let statements = StatementRepo(store.db());
    statements
        .insert_samples(Timestamp(10), 10, &[sample(ids[0], 1, 1.0, 0.0), sample(ids[1], 1, 1.0, 0.0)])
        .await
        .unwrap();
    statements.insert_samples(Timestamp(20), 10, &[sample(ids[1], 1, 1.0, 0.0)]).await.unwrap();
    assert_eq!(statements.prune(Timestamp(15)).await.unwrap(), 2);
    assert_eq!(statements.list("main").await.unwrap().iter().map(|record| record.id).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!(statements.totals("main", Timestamp(0), Timestamp(99)).await.unwrap().len(), 1);
}
