//! What happens on the way to a bucket.
use crate::{
    bytes, eventually_empty,
    server::{ACCESS_KEY, BUCKET, SECRET_KEY, Server, Trouble},
};
use blobs::{BlobError, BlobStore, Bytes, S3Config, S3Store};
use http::Method;
use std::{
    fs,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

const MIB: usize = 1024 * 1024;
const ALWAYS: u32 = u32::MAX;

/// A store that has found out what the server is like.
async fn settled(server: &Server) -> S3Store {
    let store = server.store().await;
    store.put_new("settled", bytes(1)).await.unwrap();
    server.take_log();
    store
}

#[tokio::test]
async fn a_store_in_trouble_for_a_moment_is_asked_again() {
    let server = Server::start().await;
    let store = settled(&server).await;
    for (number, trouble) in [
        Trouble::Answer(503, "SlowDown"),
        Trouble::Answer(500, "InternalError"),
        Trouble::Answer(503, ""),
        Trouble::Reset,
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("k/{number}");
        server.take_log();
        server.trouble(Method::PUT, "/k/", trouble, 2);
        store.put_new(&key, bytes(1_000)).await.unwrap();
        let log = server.take_log();
        assert_eq!(log.len(), 3, "{trouble:?}: {log:?}");
        server.trouble(Method::GET, "/k/", trouble, 1);
        server.trouble(Method::HEAD, "/k/", trouble, 1);
        server.trouble(Method::GET, "list-type", trouble, 1);
        assert_eq!(store.get(&key).await.unwrap(), bytes(1_000), "{trouble:?}");
        assert_eq!(store.head(&key).await.unwrap().unwrap().size, 1_000, "{trouble:?}");
        assert_eq!(store.list("k/").await.unwrap().len(), number + 1, "{trouble:?}");
        assert_eq!(server.take_log().len(), 6, "{trouble:?}");
    }
    server.trouble(Method::DELETE, "/k/", Trouble::Reset, 1);
    store.delete("k/0").await.unwrap();
    assert_eq!(store.head("k/0").await.unwrap(), None);
}

#[tokio::test]
async fn a_store_in_lasting_trouble_is_told_as_such() {
    let server = Server::start().await;
    let store = settled(&server).await;
    fs::write(server.file("a"), "x").unwrap();
    server.trouble(Method::GET, "/a", Trouble::Answer(503, "SlowDown"), ALWAYS);
    let error = store.get("a").await.unwrap_err();
    assert!(matches!(error, BlobError::Throttled { .. }) && error.is_retryable(), "{error:?}");
    assert_eq!(server.take_log().len(), 4, "four tries, not more");
    server.heal();
    for trouble in [Trouble::Answer(500, "InternalError"), Trouble::Reset, Trouble::Answer(502, "")] {
        server.trouble(Method::HEAD, "/a", trouble, ALWAYS);
        let error = store.head("a").await.unwrap_err();
        assert!(matches!(error, BlobError::Unavailable { .. }) && error.is_retryable(), "{error:?}");
        assert!(error.to_string().contains("s3://backups at http"), "{error}");
        server.heal();
    }
    assert_eq!(store.get("a").await.unwrap(), "x");
}

#[tokio::test]
async fn each_refusal_has_its_words() {
    let server = Server::start().await;
    let store = settled(&server).await;
    for (status, code, word, kind) in [
        (403, "AccessDenied", "access_key", "Denied"),
        (403, "", "403", "no code"),
        (403, "RequestTimeTooSkewed", "clock", "Denied"),
        (400, "ExpiredToken", "renew", "Denied"),
        (403, "InvalidObjectState", "archived", "Denied"),
        (301, "PermanentRedirect", "region", "InvalidConfig"),
        (400, "AuthorizationHeaderMalformed", "region", "InvalidConfig"),
        (404, "NoSuchBucket", "create it", "InvalidConfig"),
        (507, "XMinioStorageFull", "space", "NoSpace"),
        (418, "Teapot", "418 Teapot", "Protocol"),
    ] {
        server.trouble(Method::GET, "/a", Trouble::Answer(status, code), 1);
        let error = store.get("a").await.unwrap_err();
        let shown = format!("{error:?}");
        assert!(error.to_string().contains(word), "{status} {code}: {error}");
        assert!(
            shown.starts_with(kind) || kind == "no code" && shown.starts_with("Denied"),
            "{status} {code}: {shown}"
        );
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_known_as_ours() {
    let server = Server::start().await;
    let store = settled(&server).await;
    server.trouble(Method::PUT, "/a", Trouble::LostAnswer, 1);
    store.put_new("a", bytes(1_000)).await.unwrap();
    let log = server.take_log();
    assert_eq!(log.len(), 3, "sent, sent again and refused, looked at: {log:?}");
    assert_eq!(store.get("a").await.unwrap(), bytes(1_000));
    // The same bytes by another are not ours.
    assert!(matches!(store.put_new("a", bytes(1_000)).await, Err(BlobError::Exists { .. })));
    // Neither with the first write to a store.
    let fresh = server.store().await;
    server.trouble(Method::PUT, "/b", Trouble::LostAnswer, 1);
    fresh.put_new("b", bytes(10)).await.unwrap();
    assert!(matches!(fresh.put_new("b", bytes(10)).await, Err(BlobError::Exists { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completed_upload_whose_answer_was_lost_is_known_as_ours() {
    let server = Server::start().await;
    let store = settled(&server).await;
    for (key, trouble) in
        [("a", Trouble::LostAnswer), ("b", Trouble::ErrorIn200), ("c", Trouble::Answer(500, "InternalError"))]
    {
        server.trouble(Method::POST, "uploadId", trouble, 1);
        let mut writer = store.writer(key).await.unwrap();
        writer.write(bytes(20 * MIB)).await.unwrap();
        let size = writer.finish().await.unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
        assert_eq!(size, 20 * MIB as u64);
        assert!(store.get(key).await.unwrap() == bytes(20 * MIB), "{trouble:?}");
    }
    eventually_empty(&server.leftovers()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_fails_is_taken_back() {
    let server = Server::start().await;
    let store = settled(&server).await;
    for (method, part) in [(Method::PUT, "partNumber=2"), (Method::POST, "uploadId")] {
        for trouble in [Trouble::Answer(403, "AccessDenied"), Trouble::Reset, Trouble::ErrorIn200] {
            if method == Method::PUT && trouble == Trouble::ErrorIn200 {
                continue;
            }
            server.trouble(method.clone(), part, trouble, ALWAYS);
            let mut writer = store.writer("a").await.unwrap();
            let mut result = writer.write(bytes(20 * MIB)).await;
            if result.is_ok() {
                result = writer.write(bytes(20 * MIB)).await;
            }
            match result {
                Ok(()) => assert!(writer.finish().await.is_err(), "{method} {trouble:?}"),
                Err(_) => assert!(matches!(writer.finish().await, Err(BlobError::WriterFailed { .. }))),
            }
            server.heal();
            eventually_empty(&server.leftovers()).await;
            assert_eq!(store.head("a").await.unwrap(), None, "{method} {trouble:?}");
        }
    }
}

#[tokio::test]
async fn a_part_that_breaks_off_is_sent_again() {
    let server = Server::start().await;
    let store = settled(&server).await;
    server.trouble(Method::PUT, "partNumber=1", Trouble::Reset, 1);
    server.trouble(Method::PUT, "partNumber=2", Trouble::LostAnswer, 1);
    server.trouble(Method::PUT, "partNumber=3", Trouble::Answer(503, "SlowDown"), 1);
    let mut writer = store.writer("a").await.unwrap();
    writer.write(bytes(40 * MIB)).await.unwrap();
    writer.finish().await.unwrap();
    assert!(store.get("a").await.unwrap() == bytes(40 * MIB));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_read_again_and_never_given_short() {
    let server = Server::start().await;
    let store = settled(&server).await;
    let data = bytes(300_000);
    store.put_new("a", data.clone()).await.unwrap();
    for keep in [0, 1, 100_000] {
        server.trouble(Method::GET, "/a", Trouble::CutBody(keep), 2);
        assert_eq!(store.get("a").await.unwrap(), data, "{keep}");
        server.trouble(Method::GET, "/a", Trouble::CutBody(keep), 2);
        assert_eq!(store.get_range("a", 1_000, 200_000).await.unwrap(), data.slice(1_000..201_000), "{keep}");
    }
    server.trouble(Method::GET, "/a", Trouble::CutBody(100_000), ALWAYS);
    for result in [store.get("a").await, store.get_range("a", 0, 200_000).await] {
        let error = result.unwrap_err();
        assert!(matches!(error, BlobError::Unavailable { .. }) && error.is_retryable(), "{error:?}");
    }
    // What came before the break is enough.
    assert_eq!(store.get_range("a", 5, 10).await.unwrap(), data.slice(5..15));
}

#[tokio::test]
async fn a_store_that_sends_the_whole_object_for_a_range_is_understood() {
    let server = Server::start().await;
    let store = settled(&server).await;
    let data = bytes(200_000);
    store.put_new("a", data.clone()).await.unwrap();
    server.trouble(Method::GET, "/a", Trouble::IgnoreRange, ALWAYS);
    for (offset, length) in [(0, 10), (70_000, 80_001), (199_999, 1), (0, 200_000)] {
        let got = store.get_range("a", offset, length).await.unwrap();
        assert_eq!(got, data.slice(offset as usize..(offset + length) as usize), "{offset}+{length}");
    }
    for (offset, length, there) in [(199_990, 20, 10), (200_000, 1, 0), (500_000, 1, 0)] {
        match store.get_range("a", offset, length).await.unwrap_err() {
            BlobError::Truncated { got, wanted, .. } => assert_eq!((got, wanted), (there, length)),
            other => panic!("{other}"),
        }
    }
}

fn config(endpoint: String) -> S3Config {
    S3Config {
        bucket: BUCKET.into(),
        region: "us-east-1".into(),
        endpoint: Some(endpoint),
        path_style: true,
        access_key: Some(ACCESS_KEY.into()),
        secret_key: Some(SECRET_KEY.into()),
        ..S3Config::default()
    }
}

#[tokio::test]
async fn a_store_that_nobody_answers_for_is_unavailable_soon() {
    // Nobody listens.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    // Packets are lost: the queue of this one is full.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let lost = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(one)) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(lost)).await {
        waiting.push(one);
        assert!(waiting.len() < 20, "the queue does not fill");
    }
    for (endpoint, limit) in [
        (format!("http://{closed}"), 30),
        (format!("https://{closed}"), 30),
        (format!("http://{lost}"), 60),
        ("http://no-such-host.invalid".to_owned(), 60),
    ] {
        let store = S3Store::open(config(endpoint.clone())).await.unwrap();
        let start = Instant::now();
        let error = store.head("a").await.unwrap_err();
        assert!(matches!(error, BlobError::Unavailable { .. } | BlobError::Timeout { .. }), "{endpoint}: {error:?}");
        eprintln!("{:?} {error}", start.elapsed());
        assert!(error.is_retryable());
        assert!(error.to_string().contains(&endpoint) && error.to_string().contains("network"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(limit), "{endpoint}: {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn something_that_is_no_store_has_no_objects_to_miss() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let web = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 8_192]).await;
            let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    let store = S3Store::open(config(endpoint)).await.unwrap();
    for error in [
        store.head("a").await.map(drop).unwrap_err(),
        store.get("a").await.map(drop).unwrap_err(),
        store.list("").await.map(drop).unwrap_err(),
        store.put_new("a", Bytes::new()).await.unwrap_err(),
    ] {
        assert!(!matches!(error, BlobError::NotFound { .. }), "{error}");
        assert!(error.to_string().contains("endpoint"), "{error}");
    }
    web.abort();
}
