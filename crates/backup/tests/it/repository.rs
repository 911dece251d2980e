//! The repository's keys and catalogue.
use backup::{BackupError, KeySource, Repository};
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
