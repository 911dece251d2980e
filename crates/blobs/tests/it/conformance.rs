//! What every store must do. Each check has its own corner of the store.
use crate::{Leftovers, bytes, eventually_empty, keys};
use blobs::{BlobError, BlobStore, Bytes};
use domain::ErrorKind;
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

const MIB: usize = 1024 * 1024;

/// Runs all checks on an empty store.
pub async fn all(store: Arc<dyn BlobStore>, leftovers: Leftovers) {
    let it = store.as_ref();
    assert!(keys(it, "").await.is_empty(), "the suite begins with an empty store");
    an_object_is_written_once(it).await;
    a_name_is_given_to_exactly_one_of_many(&store).await;
    put_replaces(it).await;
    an_empty_object_is_an_object(it).await;
    ranges_are_exact_or_an_error(it).await;
    what_is_not_there_is_told(it).await;
    deleting_twice_is_fine(it).await;
    a_listing_is_complete_and_in_order(it).await;
    a_prefix_is_text_and_not_a_directory(it).await;
    names_that_are_not_safe_are_refused(it).await;
    a_small_object_written_in_parts(it).await;
    an_empty_object_written_in_parts(it).await;
    a_large_object_written_in_odd_parts(it).await;
    a_writer_replaces_nothing(it).await;
    an_unfinished_object_leaves_nothing(it, &leftovers).await;
    eventually_empty(&leftovers).await;
    assert!(!it.describe().is_empty());
}

async fn an_object_is_written_once(store: &dyn BlobStore) {
    let data = bytes(100_000);
    store.put_new("once/a", data.clone()).await.unwrap();
    let again = store.put_new("once/a", Bytes::from_static(b"other")).await.unwrap_err();
    assert!(matches!(&again, BlobError::Exists { key } if key == "once/a"), "{again}");
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert!(!again.is_retryable());
    // The same bytes are no excuse: whoever wrote them was not this call.
    assert!(matches!(store.put_new("once/a", data.clone()).await, Err(BlobError::Exists { .. })));
    assert_eq!(store.get("once/a").await.unwrap(), data);
    let info = store.head("once/a").await.unwrap().unwrap();
    assert_eq!((info.key.as_str(), info.size), ("once/a", 100_000));
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    assert!((now - info.modified.0).abs() < 60_000, "{} and {now}", info.modified.0);
    assert_eq!(store.list("once/").await.unwrap(), vec![info]);
}

async fn a_name_is_given_to_exactly_one_of_many(store: &Arc<dyn BlobStore>) {
    for round in 0..4 {
        let key = format!("race/{round}/one");
        let tries = (0..8).map(|number: u8| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { store.put_new(&key, vec![number; 10_000].into()).await.map(|()| number) })
        });
        let mut won = Vec::new();
        for one in futures::future::join_all(tries).await {
            match one.unwrap() {
                Ok(number) => won.push(number),
                Err(error) => assert!(matches!(error, BlobError::Exists { .. }), "{error}"),
            }
        }
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(store.get(&key).await.unwrap(), vec![won[0]; 10_000]);
    }
}

async fn put_replaces(store: &dyn BlobStore) {
    store.put("replaced", bytes(5_000)).await.unwrap();
    store.put("replaced", Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(store.get("replaced").await.unwrap(), "new");
    assert_eq!(store.head("replaced").await.unwrap().unwrap().size, 3);
}

async fn an_empty_object_is_an_object(store: &dyn BlobStore) {
    store.put_new("empty/a", Bytes::new()).await.unwrap();
    assert!(matches!(store.put_new("empty/a", Bytes::new()).await, Err(BlobError::Exists { .. })));
    assert_eq!(store.head("empty/a").await.unwrap().unwrap().size, 0);
    assert!(store.get("empty/a").await.unwrap().is_empty());
    assert!(store.get_range("empty/a", 0, 0).await.unwrap().is_empty());
    assert!(matches!(store.get_range("empty/a", 0, 1).await, Err(BlobError::Truncated { wanted: 1, got: 0, .. })));
}

async fn ranges_are_exact_or_an_error(store: &dyn BlobStore) {
    let data = bytes(3 * MIB + 17);
    let size = data.len() as u64;
    store.put_new("ranges", data.clone()).await.unwrap();
    for (offset, length) in [(0, 1), (0, 8_192), (4_095, 8_194), (size - 1, 1), (1_000_003, 1_500_000), (0, size)] {
        let got = store.get_range("ranges", offset, length).await.unwrap();
        assert_eq!(got, data.slice(offset as usize..(offset + length) as usize), "{offset}+{length}");
    }
    assert!(store.get_range("ranges", 5, 0).await.unwrap().is_empty());
    for (offset, length, there) in [
        (size - 1, 2, 1),
        (size - 100, 1_000, 100),
        (size, 1, 0),
        (size + 10, 5, 0),
        (0, size + 1, size),
        (0, 1 << 50, size),
        (1, u64::MAX, size - 1),
        (u64::MAX - 1, 1, 0),
    ] {
        let error = store.get_range("ranges", offset, length).await.unwrap_err();
        match &error {
            BlobError::Truncated { key, wanted, got } => {
                assert_eq!((key.as_str(), *wanted), ("ranges", length));
                assert_eq!(*got, there, "{offset}+{length}");
            }
            other => panic!("{offset}+{length}: {other}"),
        }
        assert!(!error.is_retryable());
    }
}

async fn what_is_not_there_is_told(store: &dyn BlobStore) {
    assert_eq!(store.head("missing/a").await.unwrap(), None);
    let error = store.get("missing/a").await.unwrap_err();
    assert!(matches!(&error, BlobError::NotFound { key } if key == "missing/a"), "{error}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for length in [0, 1] {
        assert!(matches!(store.get_range("missing/a", 0, length).await, Err(BlobError::NotFound { .. })));
    }
    assert!(store.list("missing/").await.unwrap().is_empty());
}

async fn deleting_twice_is_fine(store: &dyn BlobStore) {
    store.put_new("deleted/deep/a", Bytes::from_static(b"a")).await.unwrap();
    store.put_new("deleted/b", Bytes::from_static(b"b")).await.unwrap();
    store.delete("deleted/deep/a").await.unwrap();
    store.delete("deleted/deep/a").await.unwrap();
    store.delete("deleted/never").await.unwrap();
    assert_eq!(store.head("deleted/deep/a").await.unwrap(), None);
    assert_eq!(keys(store, "deleted/").await, ["deleted/b"]);
    store.put_new("deleted/deep/a", Bytes::from_static(b"again")).await.unwrap();
    assert_eq!(store.get("deleted/deep/a").await.unwrap(), "again");
}

async fn a_listing_is_complete_and_in_order(store: &dyn BlobStore) {
    let mut wanted = (0..1_150).map(|n| format!("many/{:02}/{n:05}", n % 7)).collect::<Vec<_>>();
    stream::iter(wanted.clone())
        .map(|key| async move { store.put(&key, Bytes::from(key.clone())).await })
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    wanted.sort();
    let found = store.list("many/").await.unwrap();
    assert_eq!(found.iter().map(|it| it.key.clone()).collect::<Vec<_>>(), wanted);
    assert!(found.iter().all(|it| it.size == it.key.len() as u64 && it.modified.0 > 0));
    assert_eq!(keys(store, "many/03/").await.len(), wanted.iter().filter(|it| it.starts_with("many/03/")).count());
}

async fn a_prefix_is_text_and_not_a_directory(store: &dyn BlobStore) {
    for key in ["text/ab/c", "text/a-b", "text/a/b", "text/a.b", "text/abc", "text/b", "textual"] {
        store.put_new(key, Bytes::from_static(b"x")).await.unwrap();
    }
    assert_eq!(keys(store, "text/a").await, ["text/a-b", "text/a.b", "text/a/b", "text/ab/c", "text/abc"]);
    assert_eq!(keys(store, "text/a/").await, ["text/a/b"]);
    assert_eq!(keys(store, "text/ab").await, ["text/ab/c", "text/abc"]);
    assert_eq!(keys(store, "text").await.len(), 7);
    assert_eq!(keys(store, "text/b").await, ["text/b"]);
    assert!(keys(store, "text/b/").await.is_empty());
}

async fn names_that_are_not_safe_are_refused(store: &dyn BlobStore) {
    let refused = |result: Result<(), BlobError>, key: &str| match result {
        Err(error @ BlobError::InvalidKey { .. }) => assert_eq!(error.kind(), ErrorKind::Invalid),
        other => panic!("'{key}': {other:?}"),
    };
    for key in
        ["", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", "./a", "a b", "a\nb", "ä", "tmp/x", "a?b", "a%2fb"]
    {
        refused(store.put_new(key, Bytes::new()).await, key);
        refused(store.put(key, Bytes::new()).await, key);
        refused(store.get(key).await.map(drop), key);
        refused(store.get_range(key, 0, 1).await.map(drop), key);
        refused(store.head(key).await.map(drop), key);
        refused(store.delete(key).await, key);
        refused(store.writer(key).await.map(drop), key);
    }
    for prefix in ["/", "../", "a/../b", "a b"] {
        refused(store.list(prefix).await.map(drop), prefix);
    }
}

async fn a_small_object_written_in_parts(store: &dyn BlobStore) {
    let data = bytes(70_000);
    let mut writer = store.writer("parts/small").await.unwrap();
    for part in data.chunks(1_013) {
        writer.write(Bytes::copy_from_slice(part)).await.unwrap();
        writer.write(Bytes::new()).await.unwrap();
    }
    assert_eq!(store.head("parts/small").await.unwrap(), None, "it is not there before it is finished");
    assert_eq!(writer.finish().await.unwrap(), 70_000);
    assert_eq!(store.get("parts/small").await.unwrap(), data);
}

async fn an_empty_object_written_in_parts(store: &dyn BlobStore) {
    assert_eq!(store.writer("parts/empty").await.unwrap().finish().await.unwrap(), 0);
    assert_eq!(store.head("parts/empty").await.unwrap().unwrap().size, 0);
}

async fn a_large_object_written_in_odd_parts(store: &dyn BlobStore) {
    let data = bytes(40 * MIB + 3);
    let mut writer = store.writer("parts/large").await.unwrap();
    let mut rest = data.clone();
    for size in [1, 7 * MIB + 1, 3, 16 * MIB, 20_000, 9 * MIB - 5, 1_000_003].into_iter().cycle() {
        writer.write(rest.split_to(size.min(rest.len()))).await.unwrap();
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(store.head("parts/large").await.unwrap(), None, "it is not there before it is finished");
    assert_eq!(writer.finish().await.unwrap(), data.len() as u64);
    assert!(store.get("parts/large").await.unwrap() == data, "the large object differs");
    let edge = 16 * MIB as u64 - 5;
    assert_eq!(store.get_range("parts/large", edge, 10).await.unwrap(), data.slice(16 * MIB - 5..16 * MIB + 5));
    // One that ends with a part.
    let data = bytes(32 * MIB);
    let mut writer = store.writer("parts/whole").await.unwrap();
    writer.write(data.clone()).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), data.len() as u64);
    assert!(store.get("parts/whole").await.unwrap() == data, "the object of whole parts differs");
}

async fn a_writer_replaces_nothing(store: &dyn BlobStore) {
    for (key, size) in [("taken/small", 1_000), ("taken/large", 17 * MIB)] {
        let mut writer = store.writer(key).await.unwrap();
        writer.write(bytes(size)).await.unwrap();
        store.put_new(key, Bytes::from_static(b"first")).await.unwrap();
        let error = writer.finish().await.unwrap_err();
        assert!(matches!(error, BlobError::Exists { .. }), "{error}");
        assert_eq!(store.get(key).await.unwrap(), "first");
    }
}

async fn an_unfinished_object_leaves_nothing(store: &dyn BlobStore, leftovers: &Leftovers) {
    for size in [0, 1_000, 20 * MIB, 50 * MIB] {
        let mut dropped = store.writer("unfinished/dropped").await.unwrap();
        let mut aborted = store.writer("unfinished/aborted").await.unwrap();
        dropped.write(bytes(size)).await.unwrap();
        aborted.write(bytes(size)).await.unwrap();
        drop(dropped);
        aborted.abort().await;
        eventually_empty(leftovers).await;
        assert!(keys(store, "unfinished/").await.is_empty());
    }
    // Given up in the middle of a call.
    let mut writer = store.writer("unfinished/cancelled").await.unwrap();
    let part = bytes(40 * MIB);
    // On a busy machine a store can be done with the parts before we look; so often in a row it cannot.
    let mut given_up = false;
    for _ in 0..20 {
        given_up = futures::poll!(writer.write(part.clone())).is_pending();
        if given_up {
            break;
        }
    }
    assert!(given_up, "nothing takes that many bytes at once");
    assert!(matches!(writer.finish().await, Err(BlobError::WriterFailed { .. })));
    // What was on its way arrives first.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    eventually_empty(leftovers).await;
    assert!(keys(store, "unfinished/").await.is_empty());
}
