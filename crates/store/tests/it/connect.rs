//! Opening a store that is not there, and what is told of it.
use domain::ErrorKind;
use store::{Store, StoreError};

#[tokio::test]
async fn an_unknown_kind_of_url_is_refused_without_its_password() {
    let error = Store::connect("mysql://ada:s3cret@db.example/x").await.unwrap_err();
    assert!(matches!(error, StoreError::Url { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_down_is_told_in_one_line_without_the_password() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = Store::connect(&format!("postgres://ada:s3cret@127.0.0.1:{free}/x")).await.unwrap_err();
    assert!(matches!(error, StoreError::Connect { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.contains("s3cret") && text.contains("HOLDFAST_STORE_URL"), "{text}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().join("below/a/file/store.sqlite");
    let error = Store::connect(&format!("sqlite:{}", path.display())).await.unwrap_err();
    assert!(error.to_string().contains("below/a/file"), "{error}");
}

#[tokio::test]
async fn missing_directories_of_a_sqlite_file_are_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("var/lib/store.sqlite");
    let store = crate::migrated(&format!("sqlite:{}", path.display())).await;
    assert!(path.is_file() && !store.is_postgres());
}

#[tokio::test]
async fn what_was_committed_is_there_after_the_store_is_opened_again() {
    let (url, _directory) = test_support::sqlite_url();
    let store = crate::migrated(&url).await;
    let transaction = store.begin().await.unwrap();
    store::SetupLinkRepo(&transaction).replace("hash", domain::Timestamp(1), domain::Timestamp(9)).await.unwrap();
    store.commit(transaction).await.unwrap();
    drop(store);
    let again = crate::migrated(&url).await;
    assert!(store::SetupLinkRepo(again.db()).consume("hash", domain::Timestamp(2)).await.unwrap());
}
