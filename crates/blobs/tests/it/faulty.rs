//! The store that fails as it is told.
use crate::{bytes, conformance, directory::leftovers};
use blobs::{
    BlobError, BlobStore, DirStore,
    faulty::{Fault, FaultyStore, Operation, Rule},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

fn store() -> (TempDir, FaultyStore) {
    let directory = tempfile::Builder::new().prefix("holdfast-test-").tempdir().unwrap();
    let store = FaultyStore::new(Arc::new(DirStore::create(directory.path()).unwrap()));
    (directory, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_fault_it_is_a_store_like_any_other() {
    let (directory, store) = store();
    conformance::all(Arc::new(store), leftovers(directory.path())).await;
}

#[tokio::test]
async fn rules_choose_by_call_key_and_number() {
    let (_directory, store) = store();
    store.add(Rule::new(Fault::Throttled).on(Operation::PutNew).key("wal/").nth(2));
    store.put_new("packs/1", bytes(1)).await.unwrap();
    store.put_new("wal/1", bytes(1)).await.unwrap();
    let error = store.put_new("wal/2", bytes(1)).await.unwrap_err();
    assert!(matches!(error, BlobError::Throttled { .. }) && error.is_retryable(), "{error}");
    store.put_new("wal/2", bytes(1)).await.unwrap();
    store.add(Rule::new(Fault::Unavailable).on(Operation::List).times(2));
    for _ in 0..2 {
        assert!(matches!(store.list("").await, Err(BlobError::Unavailable { .. })));
    }
    assert_eq!(store.list("").await.unwrap().len(), 3);
    assert_eq!(store.count(Operation::PutNew), 4);
    assert_eq!(store.count(Operation::Get), 0);
    assert_eq!(store.counts().into_iter().collect::<Vec<_>>(), [(Operation::PutNew, 4), (Operation::List, 3)]);
    store.reset_counts();
    assert!(store.counts().is_empty());
    store.add(Rule::new(Fault::Timeout));
    assert!(matches!(store.head("packs/1").await, Err(BlobError::Timeout { .. })));
    store.heal();
    assert!(store.head("packs/1").await.unwrap().is_some());
}

#[tokio::test]
async fn a_lost_answer_is_a_write_that_was_done() {
    let (_directory, store) = store();
    store.add(Rule::new(Fault::AnswerLost).nth(1));
    assert!(matches!(store.put_new("a", bytes(9)).await, Err(BlobError::Unavailable { .. })));
    assert_eq!(store.get("a").await.unwrap(), bytes(9));
    store.heal();
    store.add(Rule::new(Fault::AnswerLost).on(Operation::Finish));
    let mut writer = store.writer("b").await.unwrap();
    writer.write(bytes(7)).await.unwrap();
    assert!(writer.finish().await.is_err());
    assert_eq!(store.get("b").await.unwrap(), bytes(7));
    store.add(Rule::new(Fault::AnswerLost).on(Operation::Delete));
    assert!(store.delete("b").await.is_err());
    assert_eq!(store.head("b").await.unwrap(), None);
}

#[tokio::test]
async fn a_cut_object_reads_short() {
    let (_directory, store) = store();
    store.put_new("a", bytes(1_000)).await.unwrap();
    store.add(Rule::new(Fault::Truncated).key("a"));
    assert_eq!(store.get("a").await.unwrap(), bytes(1_000).slice(..500));
    assert_eq!(store.get_range("a", 100, 400).await.unwrap(), bytes(1_000).slice(100..500));
    let error = store.get_range("a", 400, 200).await.unwrap_err();
    assert!(matches!(error, BlobError::Truncated { wanted: 200, got: 100, .. }), "{error}");
}

#[tokio::test]
async fn a_full_store_and_a_slow_one() {
    let (directory, store) = store();
    store.add(Rule::new(Fault::NoSpace).on(Operation::Write).nth(2));
    let mut writer = store.writer("a").await.unwrap();
    writer.write(bytes(10)).await.unwrap();
    assert!(matches!(writer.write(bytes(10)).await, Err(BlobError::NoSpace { .. })));
    drop(writer);
    store.add(Rule::new(Fault::NoSpace).on(Operation::Finish));
    let mut writer = store.writer("a").await.unwrap();
    writer.write(bytes(10)).await.unwrap();
    assert!(matches!(writer.finish().await, Err(BlobError::NoSpace { .. })));
    assert_eq!(store.head("a").await.unwrap(), None);
    assert!(leftovers(directory.path())().is_empty());
    store.heal();
    store.add(Rule::new(Fault::Slow(Duration::from_millis(150))).on(Operation::Put));
    let start = Instant::now();
    store.put("b", bytes(1)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(150));
}
