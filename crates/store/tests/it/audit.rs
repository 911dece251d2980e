//! The hash chain of the audit log.
use domain::Timestamp;
use sea_orm::ConnectionTrait as _;
use store::{AuditFilter, AuditRepo, NewAudit, Outcome, Store};

on_both_databases!(
    an_empty_log_verifies,
    rows_appended_by_many_tasks_at_once_make_one_chain,
    a_change_and_its_row_are_rolled_back_together,
    a_changed_row_is_named,
    a_removed_row_is_named,
    a_forged_row_at_the_end_is_named,
    the_first_of_several_broken_rows_is_named,
    a_chain_longer_than_one_batch_verifies_and_exports_completely,
    rows_are_filtered_and_paged_the_newest_first,
);

fn row(n: usize) -> NewAudit {
    NewAudit {
        at: Timestamp(1_000 + i64::try_from(n).unwrap()),
        actor_kind: "user".into(),
        actor_id: format!("user-{}", n % 3),
        source: "page".into(),
        address: n.is_multiple_of(2).then(|| "127.0.0.1".to_owned()),
        action: "users.role_set".into(),
        object_kind: "user".into(),
        object_id: n.to_string(),
        outcome: if n.is_multiple_of(2) { Outcome::Ok } else { Outcome::Refused },
        before: None,
        after: Some(serde_json::json!({ "role": "grün 'x'", "n": n })),
        request_id: None,
    }
}

async fn append(store: &Store, number: usize) {
    let transaction = store.begin().await.unwrap();
    for n in 0..number {
        AuditRepo(&transaction).append(row(n)).await.unwrap();
    }
    store.commit(transaction).await.unwrap();
}

async fn tamper(store: &Store, sql: &str) {
    assert_eq!(store.db().execute_unprepared(sql).await.unwrap().rows_affected(), 1, "{sql}");
}

async fn broken(store: &Store) -> Option<String> {
    let verdict = AuditRepo(store.db()).verify().await.unwrap();
    assert_eq!(verdict.broken.is_some(), verdict.head.is_none(), "{verdict:?}");
    verdict.broken
}

async fn an_empty_log_verifies(store: Store) {
    let verdict = AuditRepo(store.db()).verify().await.unwrap();
    assert_eq!((verdict.rows, verdict.broken, verdict.head), (0, None, None));
}

async fn rows_appended_by_many_tasks_at_once_make_one_chain(store: Store) {
    let tasks = (0..8).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut sequence = Vec::new();
            for n in 0..10 {
                let transaction = store.begin().await.unwrap();
                sequence.push(AuditRepo(&transaction).append(row(task * 10 + n)).await.unwrap());
                store.commit(transaction).await.unwrap();
            }
            sequence
        })
    });
    let mut sequence = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        sequence.extend(task.await.unwrap());
    }
    sequence.sort_unstable();
    assert_eq!(sequence, (1..=80).collect::<Vec<_>>());
    let verdict = AuditRepo(store.db()).verify().await.unwrap();
    assert_eq!((verdict.rows, verdict.broken), (80, None));
    assert_eq!(
        verdict.head,
        Some(AuditRepo(store.db()).list(&AuditFilter::default(), 1).await.unwrap().remove(0).hash)
    );
}

async fn a_change_and_its_row_are_rolled_back_together(store: Store) {
    append(&store, 1).await;
    let transaction = store.begin().await.unwrap();
    assert_eq!(AuditRepo(&transaction).append(row(1)).await.unwrap(), 2);
    drop(transaction);
    append(&store, 1).await;
    let verdict = AuditRepo(store.db()).verify().await.unwrap();
    assert_eq!((verdict.rows, verdict.broken), (2, None), "the position of the rolled back row is used again");
}

async fn a_changed_row_is_named(store: Store) {
    for (column, value) in
        [("actor_id", "'eve'"), ("at", "0"), ("outcome", "'ok'"), ("address", "'10.0.0.1'"), ("after", "NULL")]
    {
        append(&store, 6).await;
        tamper(&store, &format!("UPDATE audit_log SET {column} = {value} WHERE seq = 4")).await;
        assert_eq!(broken(&store).await.as_deref(), Some("row 4 was changed"), "{column}");
        store.db().execute_unprepared("DELETE FROM audit_log").await.unwrap();
    }
}

async fn a_removed_row_is_named(store: Store) {
    append(&store, 6).await;
    tamper(&store, "DELETE FROM audit_log WHERE seq = 3").await;
    assert_eq!(broken(&store).await.as_deref(), Some("row 3 is missing"));
    tamper(&store, "DELETE FROM audit_log WHERE seq = 1").await;
    assert_eq!(broken(&store).await.as_deref(), Some("row 1 is missing"));
}

async fn a_forged_row_at_the_end_is_named(store: Store) {
    append(&store, 2).await;
    let forged = "INSERT INTO audit_log SELECT 3, at, actor_kind, actor_id, source, address, action, object_kind, object_id, outcome, \
                  before, after, request_id, prev_hash, hash FROM audit_log WHERE seq = 2";
    tamper(&store, forged).await;
    assert_eq!(broken(&store).await.as_deref(), Some("row 3 does not follow row 2"));
    tamper(&store, "UPDATE audit_log SET prev_hash = (SELECT hash FROM audit_log WHERE seq = 2) WHERE seq = 3").await;
    assert_eq!(broken(&store).await.as_deref(), Some("row 3 was changed"));
}

async fn the_first_of_several_broken_rows_is_named(store: Store) {
    append(&store, 6).await;
    tamper(&store, "UPDATE audit_log SET actor_id = 'eve' WHERE seq = 5").await;
    tamper(&store, "UPDATE audit_log SET actor_id = 'eve' WHERE seq = 2").await;
    let verdict = AuditRepo(store.db()).verify().await.unwrap();
    assert_eq!((verdict.rows, verdict.broken.as_deref()), (1, Some("row 2 was changed")));
}

async fn a_chain_longer_than_one_batch_verifies_and_exports_completely(store: Store) {
    append(&store, 1_001).await;
    let verdict = AuditRepo(store.db()).verify().await.unwrap();
    assert_eq!((verdict.rows, verdict.broken), (1_001, None));
    let (mut after, mut exported) = (0, 0);
    loop {
        let page = AuditRepo(store.db()).page_after(after).await.unwrap();
        let Some(last) = page.last() else { break };
        (after, exported) = (last.seq, exported + page.len());
    }
    assert_eq!((after, exported), (1_001, 1_001));
}

async fn rows_are_filtered_and_paged_the_newest_first(store: Store) {
    append(&store, 9).await;
    let log = AuditRepo(store.db());
    let seqs = async |filter: AuditFilter, limit| {
        log.list(&filter, limit).await.unwrap().iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(AuditFilter::default(), 3).await, [9, 8, 7]);
    assert_eq!(seqs(AuditFilter { before_seq: Some(7), ..AuditFilter::default() }, 3).await, [6, 5, 4]);
    assert_eq!(seqs(AuditFilter { actor: Some("user-1".into()), ..AuditFilter::default() }, 9).await, [8, 5, 2]);
    assert_eq!(seqs(AuditFilter { outcome: Some("refused".into()), ..AuditFilter::default() }, 2).await, [8, 6]);
    assert_eq!(seqs(AuditFilter { action: Some("nothing".into()), ..AuditFilter::default() }, 9).await, [0; 0]);
    let of = |object: &str| AuditFilter { object: Some(object.to_owned()), ..AuditFilter::default() };
    assert_eq!(seqs(of("user"), 2).await, [9, 8]);
    assert_eq!(seqs(of("4"), 9).await, [5]);
    assert_eq!(seqs(of("user/4"), 9).await, [5]);
    assert_eq!(seqs(of("token/4"), 9).await, [0; 0]);
    let (since, until) = (Some(Timestamp(1_003)), Some(Timestamp(1_006)));
    assert_eq!(seqs(AuditFilter { since, until, ..AuditFilter::default() }, 9).await, [6, 5, 4]);
    let entry = log.list(&AuditFilter { before_seq: Some(2), ..AuditFilter::default() }, 1).await.unwrap().remove(0);
    assert_eq!(entry.after, Some(serde_json::json!({ "role": "grün 'x'", "n": 0 })));
}
