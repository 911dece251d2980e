//! Objects as files below a directory.
mod files;
mod reserve;
mod tree;
mod writer;

use crate::{BlobError, BlobInfo, BlobStore, BlobWriter, key};
use async_trait::async_trait;
use bytes::Bytes;
use files::{Place, Publish};
use std::{path::Path, sync::Arc};

/// A directory of this machine, or one mounted on it.
///
/// An object is written to `tmp/`, synced, and then linked to its name, and the directory is synced: so it is either
/// there whole or not at all, also after a power cut. Files are 0600 and directories 0700.
#[derive(Clone, Debug)]
pub struct DirStore {
    place: Arc<Place>,
}

impl DirStore {
    /// Opens the store in an existing directory, and removes from its `tmp/` what nobody has written to for a day.
    ///
    /// # Errors
    /// [`BlobError::InvalidConfig`] when there is no such directory; [`BlobError::Denied`]; [`BlobError::Io`].
    pub fn open(root: &Path) -> Result<Self, BlobError> {
        let place = Place::open(root)?;
        place.remove_stale();
        Ok(Self { place: Arc::new(place) })
    }

    /// Opens the store, and makes its directory when there is none.
    ///
    /// # Errors
    /// [`BlobError::Denied`]; [`BlobError::NoSpace`]; [`BlobError::Io`].
    pub fn create(root: &Path) -> Result<Self, BlobError> {
        Place::create(root)?;
        Self::open(root)
    }

    async fn write(&self, key: &str, data: Bytes, publish: Publish) -> Result<(), BlobError> {
        key::check(key)?;
        let (place, key) = (self.place.clone(), key.to_owned());
        blocking(move || {
            let mut file = place.temporary()?;
            file.write(&place, &data)?;
            place.publish(file, &key, publish)
        })
        .await
    }
}

#[async_trait]
impl BlobStore for DirStore {
    async fn put_new(&self, key: &str, data: Bytes) -> Result<(), BlobError> {
        self.write(key, data, Publish::New).await
    }

    async fn put(&self, key: &str, data: Bytes) -> Result<(), BlobError> {
        self.write(key, data, Publish::Replace).await
    }

    async fn writer(&self, key: &str) -> Result<Box<dyn BlobWriter>, BlobError> {
        key::check(key)?;
        let place = self.place.clone();
        let file = blocking(move || place.temporary()).await?;
        Ok(Box::new(writer::DirWriter::new(self.place.clone(), key.to_owned(), file)))
    }

    async fn get(&self, key: &str) -> Result<Bytes, BlobError> {
        key::check(key)?;
        let (place, key) = (self.place.clone(), key.to_owned());
        blocking(move || place.read(&key, None)).await
    }

    async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, BlobError> {
        key::check(key)?;
        let (place, key) = (self.place.clone(), key.to_owned());
        blocking(move || place.read(&key, Some((offset, length)))).await
    }

    async fn head(&self, key: &str) -> Result<Option<BlobInfo>, BlobError> {
        key::check(key)?;
        let (place, key) = (self.place.clone(), key.to_owned());
        blocking(move || place.head(&key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<BlobInfo>, BlobError> {
        key::check_prefix(prefix)?;
        let (place, prefix) = (self.place.clone(), prefix.to_owned());
        blocking(move || place.list(&prefix)).await
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        key::check(key)?;
        let (place, key) = (self.place.clone(), key.to_owned());
        blocking(move || place.delete(&key)).await
    }

    async fn keep_reserve(&self) -> Result<(), BlobError> {
        let place = self.place.clone();
        blocking(move || place.keep_reserve()).await
    }

    async fn give_up_reserve(&self) -> Result<bool, BlobError> {
        let place = self.place.clone();
        blocking(move || place.give_up_reserve()).await
    }

    fn describe(&self) -> String {
        self.place.describe()
    }
}

/// Runs work on files off the threads that serve.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(BlobError::Unavailable {
            operation: "work on files",
            store: "the directory".into(),
            reason: error.to_string(),
            source: Some(error.into()),
        })
    })
}
