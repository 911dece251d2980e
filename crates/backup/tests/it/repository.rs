//! The repository's keys and catalogue.
use backup::{
    BackupError, KeySource, Repository,
    format::{ObjectId, crypto::ObjectKind},
};
use blobs::{BlobStore, DirStore};
use std::sync::Arc;

async fn store() -> (Arc<dyn BlobStore>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Arc::new(DirStore::create(&directory.path().join("repository")).unwrap()), directory)
}

#[tokio::test]
async fn a_wrong_key_is_told_apart_from_damage() {
    let (store, directory) = store().await;
    let (key, _) = KeySource::new_file().unwrap();
    Repository::init(store.clone(), Some(&key)).await.unwrap();
    let (other, _) = KeySource::new_file().unwrap();
    assert!(matches!(Repository::open(store.clone(), Some(&other)).await, Err(BackupError::WrongKey(_))));
    assert!(matches!(Repository::open(store.clone(), None).await, Err(BackupError::NoKey)));
    assert!(matches!(Repository::init(store.clone(), Some(&key)).await, Err(BackupError::RepositoryExists(_))));
    Repository::open(store.clone(), Some(&key)).await.unwrap();
    // A changed data key is damage, with the right key; one of its two copies is enough.
    let copies = store.list("epochs/").await.unwrap();
    assert_eq!(copies.len(), 2);
    for (number, copy) in copies.into_iter().enumerate() {
        assert_eq!(Repository::open(store.clone(), Some(&key)).await.is_ok(), number < 2);
        let path = directory.path().join("repository").join(&copy.key);
        let text = std::fs::read_to_string(&path).unwrap();
        let at = text.find("wrapped\": \"").unwrap() + 12;
        let mut bytes = text.into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(Repository::open(store, Some(&key)).await.unwrap_err().is_damage());
}

#[tokio::test]
async fn each_kind_of_key_opens_the_repository_and_the_last_slot_stays() {
    let (store, _directory) = store().await;
    let (key, _) = KeySource::new_file().unwrap();
    let repository = Repository::init(store.clone(), Some(&key)).await.unwrap();
    let (recovery, code) = KeySource::new_recovery().unwrap();
    repository.add_key(&recovery, "paper").await.unwrap();
    let passphrase = KeySource::Passphrase("correct horse".to_owned().into());
    repository.add_key(&passphrase, "head").await.unwrap();
    Repository::open(store.clone(), Some(&passphrase)).await.unwrap();
    let typed = KeySource::parse_recovery(&code.to_lowercase().replace('-', " ")).unwrap();
    Repository::open(store.clone(), Some(&typed)).await.unwrap();
    let wrong = KeySource::Passphrase("correct house".to_owned().into());
    assert!(matches!(Repository::open(store.clone(), Some(&wrong)).await, Err(BackupError::WrongKey(_))));
    // A mistyped letter is noticed before the repository is asked.
    let mistyped =
        code.replacen(code.chars().nth(6).unwrap(), if code.chars().nth(6) == Some('0') { "1" } else { "0" }, 1);
    assert!(matches!(KeySource::parse_recovery(&mistyped), Err(BackupError::BadKey(_))));
    assert_eq!(repository.rotate_key().await.unwrap(), 2);
    let slots = repository.key_slots().await.unwrap();
    assert_eq!(slots.len(), 3);
    for slot in &slots[..2] {
        repository.remove_key(&slot.id.to_string()).await.unwrap();
    }
    assert!(matches!(repository.remove_key(&slots[2].id.to_string()).await, Err(BackupError::Conflict(_))));
}

/// A data key that one process made is found by another that had opened the repository before: reading what is sealed
/// with it, and sealing with it from then on, in each clone of its handle.
#[tokio::test]
async fn a_new_data_key_reaches_a_handle_that_was_open_before() {
    let (store, directory) = store().await;
    let (key, _) = KeySource::new_file().unwrap();
    Repository::init(store.clone(), Some(&key)).await.unwrap();
    let server = Repository::open(store.clone(), Some(&key)).await.unwrap();
    let stream = server.clone();
    let command = Repository::open(store.clone(), Some(&key)).await.unwrap();
    let sealed_with = |of: &Repository| of.new_object(ObjectId::random(), ObjectKind::Gap).0.key_id;
    let first = sealed_with(&server);
    assert!(!server.reread_keys().await.unwrap(), "there is no other yet");

    assert_eq!(command.rotate_key().await.unwrap(), 2);
    let second = sealed_with(&command);
    assert_ne!(second, first, "who made it uses it");
    assert_eq!(sealed_with(&stream), first, "nobody told it");
    command.write("clusters/7/gaps/new", ObjectId::random(), ObjectKind::Gap, b"sealed with the second").await.unwrap();
    // Reading needs it, and so it is found.
    assert_eq!(server.read("clusters/7/gaps/new", ObjectKind::Gap).await.unwrap(), b"sealed with the second");
    assert_eq!([sealed_with(&server), sealed_with(&stream)], [second; 2]);
    stream.write("clusters/7/gaps/own", ObjectId::random(), ObjectKind::Gap, b"by the stream").await.unwrap();
    assert_eq!(command.read("clusters/7/gaps/own", ObjectKind::Gap).await.unwrap(), b"by the stream");

    // Without anything to read a look is enough.
    assert_eq!(command.rotate_key().await.unwrap(), 3);
    assert!(stream.reread_keys().await.unwrap());
    assert_eq!(sealed_with(&server), sealed_with(&command));

    // A key that is gone is still told apart, and what is sealed with another is read.
    command.write("clusters/7/gaps/lost", ObjectId::random(), ObjectKind::Gap, b"x").await.unwrap();
    for name in ["000003", "000003-copy"] {
        std::fs::remove_file(directory.path().join("repository/epochs").join(name)).unwrap();
    }
    let late = Repository::open(store, Some(&key)).await.unwrap();
    let error = late.read("clusters/7/gaps/lost", ObjectKind::Gap).await.unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("does not give"), "{error}");
    assert_eq!(late.read("clusters/7/gaps/new", ObjectKind::Gap).await.unwrap(), b"sealed with the second");
}
