//! Single requests to a bucket.
use super::{
    config::{ANSWER, S3Config, timeouts},
    error::{is_conflict, is_not_implemented, status},
};
use crate::{BlobError, BlobInfo, key::is_valid};
use aws_sdk_s3::{
    Client,
    config::{Builder, http::HttpResponse},
    error::SdkError,
    operation::{get_object::GetObjectOutput, put_object::PutObjectError},
    primitives::DateTime,
};
use bytes::{Bytes, BytesMut};
use domain::Timestamp;
use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    time::Duration,
};

/// Under this name each write leaves a number of its own with the object. A write whose answer was lost and that was sent
/// again is refused by what it wrote itself, and this tells.
const MARK: &str = "holdfast-write";
/// Whether conditions are kept is tried out with objects up to so many bytes: they are sent twice.
const PROBE: usize = 256 * 1024;
/// How often a read that broke off is begun again, and a write that met another.
const AGAIN: u32 = 3;
/// The first pause before that; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// A slow line still moves so many bytes in a second.
const SLOWEST: u64 = 128 * 1024;
/// Writes up to so many bytes need no time of their own.
const SMALL: u64 = 1024 * 1024;

/// Whether the store keeps to `If-None-Match: *`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conditions {
    Unknown,
    Kept,
    NotKept,
}

/// A bucket, and what was learned about it.
pub(super) struct Bucket {
    pub(super) client: Client,
    pub(super) name: String,
    /// Before every name; empty or with a slash at its end.
    base: String,
    pub(super) description: String,
    /// It has answered once as a bucket that exists.
    seen: AtomicBool,
    conditions: AtomicU8,
}

/// An object, and the mark of the write that made it.
pub(super) struct Found {
    pub(super) info: BlobInfo,
    mark: Option<String>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("at", &self.description).field("conditions", &self.conditions()).finish()
    }
}

impl Bucket {
    pub(super) fn new(config: S3Config) -> Result<Self, BlobError> {
        Ok(Self {
            client: config.client(|name| std::env::var(name).ok())?,
            base: config.base()?,
            description: config.describe(),
            name: config.bucket,
            seen: AtomicBool::new(false),
            conditions: AtomicU8::new(0),
        })
    }

    pub(super) fn conditions(&self) -> Conditions {
        match self.conditions.load(Ordering::Relaxed) {
            1 => Conditions::Kept,
            2 => Conditions::NotKept,
            _ => Conditions::Unknown,
        }
    }

    fn learned(&self, kept: bool) {
        if !kept && self.conditions() != Conditions::NotKept {
            tracing::warn!(store = %self.description, "the store does not keep to If-None-Match; objects are looked for before they are written");
        }
        self.conditions.store(if kept { 1 } else { 2 }, Ordering::Relaxed);
    }

    pub(super) fn full(&self, key: &str) -> String {
        format!("{}{key}", self.base)
    }

    /// Writes or replaces.
    pub(super) async fn put(&self, key: &str, data: Bytes) -> Result<(), BlobError> {
        self.send_put(key, data, &new_mark(), false).await.map_err(|error| self.put_failed(key, error))
    }

    /// Writes what must not be there.
    pub(super) async fn put_new(&self, key: &str, data: Bytes) -> Result<(), BlobError> {
        let conditions = self.conditions();
        // A store that neither keeps conditions nor says so would replace: until it is known, look before.
        if conditions != Conditions::Kept && self.head(key).await?.is_some() {
            return Err(BlobError::Exists { key: key.to_owned() });
        }
        if conditions == Conditions::NotKept {
            return self.put(key, data).await;
        }
        let mark = new_mark();
        match self.send_put_new(key, &data, &mark).await {
            Ok(()) => {
                if conditions == Conditions::Unknown && data.len() <= PROBE {
                    self.probe(key, data, &mark).await;
                }
                Ok(())
            }
            Err(error) if is_not_implemented(&error) => {
                if conditions == Conditions::Kept && self.head(key).await?.is_some() {
                    return Err(BlobError::Exists { key: key.to_owned() });
                }
                self.put(key, data).await?;
                self.learned(false);
                Ok(())
            }
            Err(error) if status(&error) == Some(412) => {
                self.learned(true);
                if self.is_marked(key, &mark).await? {
                    return Ok(());
                }
                Err(BlobError::Exists { key: key.to_owned() })
            }
            Err(error) => Err(self.put_failed(key, error)),
        }
    }

    /// Writes the same bytes to the same name once more: a store that keeps conditions refuses that.
    async fn probe(&self, key: &str, data: Bytes, mark: &str) {
        match self.send_put(key, data, mark, true).await {
            Ok(()) => self.learned(false),
            Err(error) if status(&error) == Some(412) => self.learned(true),
            // Not known yet; the object is there, and the next write tries again.
            Err(error) => tracing::debug!(store = %self.description, %error, "cannot tell whether conditions are kept"),
        }
    }

    async fn send_put_new(
        &self,
        key: &str,
        data: &Bytes,
        mark: &str,
    ) -> Result<(), SdkError<PutObjectError, HttpResponse>> {
        let mut pause = PAUSE;
        for _ in 1..AGAIN {
            match self.send_put(key, data.clone(), mark, true).await {
                Err(error) if is_conflict(&error) => tokio::time::sleep(pause).await,
                other => return other,
            }
            pause *= 2;
        }
        self.send_put(key, data.clone(), mark, true).await
    }

    async fn send_put(
        &self,
        key: &str,
        data: Bytes,
        mark: &str,
        only_new: bool,
    ) -> Result<(), SdkError<PutObjectError, HttpResponse>> {
        let settings = upload_settings(data.len() as u64);
        self.client
            .put_object()
            .bucket(&self.name)
            .key(self.full(key))
            .metadata(MARK, mark)
            .set_if_none_match(only_new.then(|| "*".to_owned()))
            .body(data.into())
            .customize()
            .config_override(settings)
            .send()
            .await?;
        self.seen.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn put_failed(&self, key: &str, error: SdkError<PutObjectError, HttpResponse>) -> BlobError {
        match status(&error) {
            Some(412) => BlobError::Exists { key: key.to_owned() },
            _ => self.failed("write", None, error),
        }
    }

    /// Whether the object there was made by the write of this mark.
    pub(super) async fn is_marked(&self, key: &str, mark: &str) -> Result<bool, BlobError> {
        Ok(self.head(key).await?.is_some_and(|found| found.mark.as_deref() == Some(mark)))
    }

    /// The whole object, or so many bytes of it from an offset on.
    pub(super) async fn get(&self, key: &str, range: Option<(u64, u64)>) -> Result<Bytes, BlobError> {
        if let Some((offset, wanted)) = range
            && (wanted == 0 || offset.checked_add(wanted).is_none_or(|end| i64::try_from(end).is_err()))
        {
            // There is no way to ask for nothing or for more than any store can hold; but is the object there?
            return match self.head(key).await? {
                None => Err(BlobError::NotFound { key: key.to_owned() }),
                Some(_) if wanted == 0 => Ok(Bytes::new()),
                Some(found) => {
                    let got = found.info.size.saturating_sub(offset);
                    Err(BlobError::Truncated { key: key.to_owned(), wanted, got })
                }
            };
        }
        let mut pause = PAUSE;
        for _ in 1..AGAIN {
            match self.get_once(key, range).await? {
                Ok(data) => return Ok(data),
                Err(error) => tracing::debug!(key, %error, "reading broke off; once more"),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.get_once(key, range).await?
    }

    /// The inner error is one of the transfer, which the client does not try again by itself.
    async fn get_once(&self, key: &str, range: Option<(u64, u64)>) -> Result<Result<Bytes, BlobError>, BlobError> {
        let asked = range.map(|(offset, length)| format!("bytes={offset}-{}", offset + (length - 1)));
        let output = match self.client.get_object().bucket(&self.name).key(self.full(key)).set_range(asked).send().await
        {
            Ok(output) => output,
            Err(error) => {
                if let (Some(416), Some((_, wanted))) = (status(&error), range) {
                    return Err(BlobError::Truncated { key: key.to_owned(), wanted, got: 0 });
                }
                return Err(self.missing_or(self.failed("read", Some(key), error)).await);
            }
        };
        self.seen.store(true, Ordering::Relaxed);
        let (skip, wanted) = match range {
            None => (0, output.content_length.and_then(|length| u64::try_from(length).ok())),
            Some((offset, length)) => (self.to_skip(&output, offset)?, Some(length)),
        };
        let data = match self.receive(output, skip, wanted).await {
            Ok(data) => data,
            Err(error) => return Ok(Err(error)),
        };
        let got = data.len() as u64;
        match wanted {
            Some(wanted) if got < wanted => Err(BlobError::Truncated { key: key.to_owned(), wanted, got }),
            _ => Ok(Ok(data)),
        }
    }

    /// Bytes before those asked for: none, or all before the offset when the store sends the whole object.
    fn to_skip(&self, output: &GetObjectOutput, offset: u64) -> Result<u64, BlobError> {
        let Some(sent) = output.content_range() else { return Ok(offset) };
        let start = sent
            .strip_prefix("bytes ")
            .and_then(|rest| rest.split_once('-'))
            .and_then(|(start, _)| start.trim().parse::<u64>().ok());
        match start {
            Some(start) if start <= offset => Ok(offset - start),
            _ => Err(BlobError::Protocol {
                operation: "read",
                store: self.description.clone(),
                answer: format!("the bytes from {offset} on were asked for, '{sent}' came"),
            }),
        }
    }

    /// Receives up to `wanted` bytes after `skip`; holds no more than those.
    async fn receive(&self, output: GetObjectOutput, mut skip: u64, wanted: Option<u64>) -> Result<Bytes, BlobError> {
        let wanted = wanted.unwrap_or(u64::MAX);
        let mut body = output.body;
        let mut data = BytesMut::new();
        while (data.len() as u64) < wanted {
            let Some(mut chunk) = body.try_next().await.map_err(|error| self.unavailable("read", error))? else {
                break;
            };
            let before = skip.min(chunk.len() as u64);
            skip -= before;
            let _ = chunk.split_to(usize::try_from(before).unwrap_or(chunk.len()));
            let room = wanted - data.len() as u64;
            chunk.truncate(usize::try_from(room).unwrap_or(usize::MAX));
            if data.is_empty() && chunk.len() as u64 == wanted {
                return Ok(chunk);
            }
            data.extend_from_slice(&chunk);
        }
        Ok(data.freeze())
    }

    /// Size, time and mark of an object.
    pub(super) async fn head(&self, key: &str) -> Result<Option<Found>, BlobError> {
        match self.client.head_object().bucket(&self.name).key(self.full(key)).send().await {
            Ok(output) => {
                self.seen.store(true, Ordering::Relaxed);
                let info = BlobInfo {
                    key: key.to_owned(),
                    size: output.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or_default(),
                    modified: moment(output.last_modified()),
                };
                Ok(Some(Found { info, mark: output.metadata().and_then(|all| all.get(MARK)).cloned() }))
            }
            Err(error) => match self.missing_or(self.failed("look up", Some(key), error)).await {
                BlobError::NotFound { .. } => Ok(None),
                other => Err(other),
            },
        }
    }

    /// An answer "there is none" may also be about the bucket, or come from something that is no S3 store: it is
    /// believed only when the bucket has been seen.
    async fn missing_or(&self, error: BlobError) -> BlobError {
        if !matches!(error, BlobError::NotFound { .. }) || self.seen.load(Ordering::Relaxed) {
            return error;
        }
        match self.client.list_objects_v2().bucket(&self.name).prefix(&self.base).max_keys(1).send().await {
            Ok(_) => {
                self.seen.store(true, Ordering::Relaxed);
                error
            }
            Err(why) => self.failed("list", None, why),
        }
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<BlobInfo>, BlobError> {
        let mut found = Vec::new();
        let mut pages =
            self.client.list_objects_v2().bucket(&self.name).prefix(self.full(prefix)).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed("list", None, error))?;
            self.seen.store(true, Ordering::Relaxed);
            for object in page.contents() {
                // What is not named as ours is not ours: consoles make objects such as "folder/".
                let Some(key) = object.key().and_then(|key| key.strip_prefix(&self.base)).filter(|key| is_valid(key))
                else {
                    continue;
                };
                found.push(BlobInfo {
                    key: key.to_owned(),
                    size: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
                    modified: moment(object.last_modified()),
                });
            }
        }
        // Not every store lists in order.
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), BlobError> {
        match self.client.delete_object().bucket(&self.name).key(self.full(key)).send().await {
            Ok(_) => Ok(()),
            Err(error) => match self.missing_or(self.failed("delete", Some(key), error)).await {
                BlobError::NotFound { .. } => Ok(()),
                other => Err(other),
            },
        }
    }
}

/// A number that no other write has.
pub(super) fn new_mark() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The name of the mark among an object's metadata.
pub(super) const fn mark_name() -> &'static str {
    MARK
}

/// Time enough for a write of so many bytes over a slow line; sending counts as waiting for the answer.
pub(super) fn upload_settings(bytes: u64) -> Builder {
    if bytes <= SMALL {
        return Builder::new();
    }
    // Rounded, because each pair of limits has its own connections.
    let limit = ANSWER + Duration::from_secs(bytes.next_power_of_two() / SLOWEST);
    Builder::new().timeout_config(timeouts(limit, limit))
}

/// In whole seconds: some listings have milliseconds, but a HEAD never has.
fn moment(at: Option<&DateTime>) -> Timestamp {
    Timestamp(at.map(|at| at.secs().saturating_mul(1_000)).unwrap_or_default())
}
