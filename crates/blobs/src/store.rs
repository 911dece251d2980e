//! What every kind of store can do.
use crate::BlobError;
use async_trait::async_trait;
use bytes::Bytes;
use domain::Timestamp;

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its name below the store's root.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the store's clock; on S3 in whole seconds.
    pub modified: Timestamp,
}

/// A place for objects. Any error may also be [`BlobError::InvalidKey`] before anything is asked, and
/// [`BlobError::Unavailable`], [`BlobError::Timeout`], [`BlobError::Throttled`], [`BlobError::Denied`] or
/// [`BlobError::Io`] as the store has it; that the store does not answer is never told as "there is none".
#[async_trait]
pub trait BlobStore: std::fmt::Debug + Send + Sync {
    /// Writes an object that must not exist yet; it is durable when this returns.
    ///
    /// # Errors
    /// [`BlobError::Exists`] when it is there; [`BlobError::NoSpace`].
    async fn put_new(&self, key: &str, data: Bytes) -> Result<(), BlobError>;

    /// Writes or replaces an object; readers see the old or the new one. For the few objects that ever change.
    ///
    /// # Errors
    /// [`BlobError::NoSpace`].
    async fn put(&self, key: &str, data: Bytes) -> Result<(), BlobError>;

    /// Starts an object written in parts. It does not exist before it is finished.
    ///
    /// # Errors
    /// As the store has it.
    async fn writer(&self, key: &str) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// The whole object.
    ///
    /// # Errors
    /// [`BlobError::NotFound`]; [`BlobError::Truncated`] when fewer bytes came than announced.
    async fn get(&self, key: &str) -> Result<Bytes, BlobError>;

    /// Exactly `length` bytes from `offset` on.
    ///
    /// # Errors
    /// [`BlobError::NotFound`]; [`BlobError::Truncated`] when the object ends before.
    async fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Bytes, BlobError>;

    /// Size and time of an object, `None` when there is none.
    ///
    /// # Errors
    /// As the store has it.
    async fn head(&self, key: &str) -> Result<Option<BlobInfo>, BlobError>;

    /// All objects whose names begin with `prefix`, in the order of their names' bytes.
    ///
    /// # Errors
    /// As the store has it.
    async fn list(&self, prefix: &str) -> Result<Vec<BlobInfo>, BlobError>;

    /// Deletes an object; that there is none is fine.
    ///
    /// # Errors
    /// As the store has it.
    async fn delete(&self, key: &str) -> Result<(), BlobError>;

    /// Keeps a little room back for [`Self::give_up_reserve`], where deleting needs room and there is enough. Repeating it
    /// costs next to nothing. A store that has no end does nothing.
    ///
    /// # Errors
    /// [`BlobError::NoSpace`].
    async fn keep_reserve(&self) -> Result<(), BlobError> {
        Ok(())
    }

    /// Gives that room up, for whoever frees more by it; whether there was any.
    ///
    /// # Errors
    /// As the store has it.
    async fn give_up_reserve(&self) -> Result<bool, BlobError> {
        Ok(false)
    }

    /// The store for people: `directory /backups` or `s3://bucket/prefix at https://…`. No secrets.
    fn describe(&self) -> String;
}

/// An object in the making. When it is dropped unfinished, nothing remains; on S3 that is done in the background.
#[async_trait]
pub trait BlobWriter: std::fmt::Debug + Send {
    /// Adds bytes at the end; any number.
    ///
    /// # Errors
    /// [`BlobError::NoSpace`], or as the store has it. The object cannot be finished after an error.
    async fn write(&mut self, part: Bytes) -> Result<(), BlobError>;

    /// Makes the object exist, durable when this returns. Gives its size in bytes.
    ///
    /// # Errors
    /// [`BlobError::Exists`] when another has written it meanwhile; nothing is left then.
    async fn finish(self: Box<Self>) -> Result<u64, BlobError>;

    /// Gives the object up and removes what was written.
    async fn abort(self: Box<Self>);
}
