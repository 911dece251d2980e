//! A bucket on a real S3 server.
use crate::{
    bytes, conformance, keys,
    server::{Conditions, SECRET_KEY, Server},
};
use blobs::{BlobError, BlobStore, Bytes, S3Config, S3Store};
use domain::ErrorKind;
use std::{fs, sync::Arc};

const MIB: usize = 1024 * 1024;

fn count(log: &[String], start: &str) -> usize {
    log.iter().filter(|line| line.starts_with(start)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_does_what_every_store_does() {
    let server = Server::start().await;
    conformance::all(Arc::new(server.store().await), server.leftovers()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_in_a_bucket_is_a_store_of_its_own() {
    let server = Server::start().await;
    let under =
        async |prefix: &str| S3Store::open(S3Config { prefix: prefix.into(), ..server.config() }).await.unwrap();
    let (one, two) = (under("/one/deep/").await, under("one/dee").await);
    one.put_new("a", Bytes::from_static(b"1")).await.unwrap();
    two.put_new("a", Bytes::from_static(b"2")).await.unwrap();
    assert_eq!(fs::read(server.file("one/deep/a")).unwrap(), b"1");
    assert_eq!(one.get("a").await.unwrap(), "1");
    assert_eq!((keys(&one, "").await, keys(&two, "").await), (vec!["a".to_owned()], vec!["a".to_owned()]));
    assert_eq!(one.describe(), format!("s3://backups/one/deep at http://{}", server.address));
    conformance::all(Arc::new(under("three").await), server.leftovers()).await;
}

#[tokio::test]
async fn a_small_object_is_one_request_and_a_large_one_is_sent_in_equal_parts() {
    let server = Server::start().await;
    let store = server.store().await;
    // What the store is like is found out with the first write.
    store.put_new("first", bytes(10)).await.unwrap();
    assert_eq!(
        server.take_log().iter().map(|line| line.split('?').next().unwrap()).collect::<Vec<_>>(),
        ["HEAD /backups/first", "GET /backups", "PUT /backups/first", "PUT /backups/first"]
            .map(|it| if it == "GET /backups" { "GET /backups/" } else { it })
    );
    store.put_new("second", bytes(10)).await.unwrap();
    let mut writer = store.writer("third").await.unwrap();
    writer.write(bytes(7 * MIB)).await.unwrap();
    writer.finish().await.unwrap();
    let log = server.take_log();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log.iter().all(|line| line.starts_with("PUT") && line.ends_with("if-none-match")), "{log:?}");
    let mut writer = store.writer("large").await.unwrap();
    for _ in 0..41 {
        writer.write(bytes(MIB)).await.unwrap();
    }
    writer.finish().await.unwrap();
    let log = server.take_log();
    assert_eq!((count(&log, "PUT"), count(&log, "POST"), log.len()), (3, 2, 5), "{log:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_conditions_is_asked_before_each_write() {
    for (status, code) in [(501, "NotImplemented"), (400, "NotImplemented")] {
        let server = Server::with(Conditions::Refused(status, code)).await;
        written_once_without_conditions(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_ignores_conditions_is_found_out() {
    let server = Server::with(Conditions::Ignored).await;
    written_once_without_conditions(&server).await;
}

async fn written_once_without_conditions(server: &Server) {
    fs::write(server.file("there"), "before").unwrap();
    let store = server.store().await;
    // The very first write must not replace either.
    assert!(matches!(store.put_new("there", bytes(3)).await, Err(BlobError::Exists { .. })));
    assert_eq!(store.get("there").await.unwrap(), "before");
    let mut writer = store.writer("there").await.unwrap();
    writer.write(bytes(17 * MIB)).await.unwrap();
    assert!(matches!(writer.finish().await, Err(BlobError::Exists { .. })));
    store.put_new("a", bytes(3)).await.unwrap();
    assert!(matches!(store.put_new("a", bytes(4)).await, Err(BlobError::Exists { .. })));
    server.take_log();
    store.put_new("b", bytes(3)).await.unwrap();
    let log = server.take_log();
    assert_eq!((count(&log, "HEAD"), count(&log, "PUT"), log.len()), (1, 1, 2), "it is known by now: {log:?}");
    assert!(!log.iter().any(|line| line.ends_with("if-none-match")), "{log:?}");
    let mut writer = store.writer("large").await.unwrap();
    writer.write(bytes(17 * MIB)).await.unwrap();
    writer.finish().await.unwrap();
    assert!(store.get("large").await.unwrap() == bytes(17 * MIB));
    let mut writer = store.writer("there").await.unwrap();
    writer.write(bytes(17 * MIB)).await.unwrap();
    assert!(matches!(writer.finish().await, Err(BlobError::Exists { .. })));
    assert_eq!(store.get("there").await.unwrap(), "before");
    crate::eventually_empty(&server.leftovers()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_the_first_write_to_a_store_that_refuses_conditions() {
    let server = Server::with(Conditions::Refused(501, "NotImplemented")).await;
    let store = server.store().await;
    let mut writer = store.writer("large").await.unwrap();
    writer.write(bytes(17 * MIB)).await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), 17 * MIB as u64);
    assert!(store.get("large").await.unwrap() == bytes(17 * MIB));
}

#[tokio::test]
async fn wrong_keys_are_told_apart() {
    let server = Server::start().await;
    for (config, word) in [
        (S3Config { secret_key: Some("wrong".to_owned().into()), ..server.config() }, "secret_key"),
        (S3Config { access_key: Some("NOBODY".into()), ..server.config() }, "access_key"),
    ] {
        let store = S3Store::open(config).await.unwrap();
        let errors = [
            store.put_new("a", bytes(1)).await.unwrap_err(),
            store.put("a", bytes(1)).await.unwrap_err(),
            store.get("a").await.unwrap_err(),
            store.head("a").await.unwrap_err(),
            store.list("").await.unwrap_err(),
            store.delete("a").await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, BlobError::Denied { .. }), "{error:?}");
            assert_eq!(error.kind(), ErrorKind::Forbidden);
            assert!(!error.is_retryable());
            let text = error.to_string();
            assert!(text.contains(word) && text.contains("s3://backups at http"), "{text}");
            assert!(!text.contains(SECRET_KEY) && !text.contains("wrong"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_not_an_empty_one() {
    let server = Server::start().await;
    let store = S3Store::open(S3Config { bucket: "missing".into(), ..server.config() }).await.unwrap();
    let errors = [
        store.head("a").await.unwrap_err(),
        store.get("a").await.unwrap_err(),
        store.get_range("a", 0, 1).await.unwrap_err(),
        store.list("").await.unwrap_err(),
        store.delete("a").await.unwrap_err(),
        store.put_new("a", bytes(1)).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("no bucket 'missing'"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
