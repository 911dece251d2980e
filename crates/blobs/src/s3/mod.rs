//! Objects in a bucket of S3, or of a store that speaks its language.
mod bucket;
mod config;
mod error;
mod upload;
mod writer;

use crate::{BlobError, BlobInfo, BlobStore, BlobWriter, key};
use async_trait::async_trait;
use bucket::Bucket;
use bytes::Bytes;
pub use config::S3Config;
use std::sync::Arc;

/// A bucket, or what lies below a prefix in it.
///
/// A request is tried four times in all; reading is begun again when it breaks off. An object is written once by
/// `If-None-Match: *`. Whether the store knows that is found out with the first such write: where it does not, the object
/// is looked for before, which leaves a short moment in which two writers of one name do not see each other.
#[derive(Clone, Debug)]
pub struct S3Store {
    bucket: Arc<Bucket>,
}

impl S3Store {
    /// Checks the configuration and takes the keys from it, or else from `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`
    /// and `AWS_SESSION_TOKEN`. Sends nothing yet.
    ///
    /// # Errors
    /// [`BlobError::InvalidConfig`].
    // Async although nothing is awaited: other sources of credentials must ask somebody.
    #[allow(clippy::unused_async)]
    pub async fn open(config: S3Config) -> Result<Self, BlobError> {
        Ok(Self { bucket: Arc::new(Bucket::new(config)?) })
    }
}

#[async_trait]
impl BlobStore for S3Store {
    async fn put_new(&self, key: &str, data: Bytes) -> Result<(), BlobError> {
        key::check(key)?;
        self.bucket.put_new(key, data).await
    }

    async fn put(&self, key: &str, data: Bytes) -> Result<(), BlobError> {
        key::check(key)?;
        self.bucket.put(key, data).await
    }

    async fn writer(&self, key: &str) -> Result<Box<dyn BlobWriter>, BlobError> {
        key::check(key)?;
        Ok(Box::new(writer::S3Writer::new(self.bucket.clone(), key.to_owned())))
    }

    async fn get(&self, key: &str) -> Result<Bytes, BlobError> {
        key::check(key)?;
        self.bucket.get(key, None).await
    }

    async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, BlobError> {
        key::check(key)?;
        self.bucket.get(key, Some((offset, length))).await
    }

    async fn head(&self, key: &str) -> Result<Option<BlobInfo>, BlobError> {
        key::check(key)?;
        Ok(self.bucket.head(key).await?.map(|found| found.info))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<BlobInfo>, BlobError> {
        key::check_prefix(prefix)?;
        self.bucket.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        key::check(key)?;
        self.bucket.delete(key).await
    }

    fn describe(&self) -> String {
        self.bucket.description.clone()
    }
}
