//! A multipart upload that is completed or taken back, whatever happens to whoever started it.
use super::{
    bucket::{Bucket, Conditions, mark_name, new_mark, upload_settings},
    error::{is_not_implemented, status},
};
use crate::BlobError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::SdkError,
    operation::complete_multipart_upload::CompleteMultipartUploadError,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use std::{mem, sync::Arc, time::Duration};
use tokio::task::{JoinError, JoinSet};

/// Parts on their way at the same time. Each is held in memory.
const IN_FLIGHT: usize = 2;
/// How long parts on their way are waited for before an upload is taken back: one that arrives later would remain.
const ABORT_WAITS: Duration = Duration::from_secs(10);

type Parts = JoinSet<Result<CompletedPart, BlobError>>;

/// An upload that is taken back when dropped.
pub(super) struct Upload {
    bucket: Arc<Bucket>,
    key: String,
    id: String,
    mark: String,
    on_their_way: Parts,
    done: Vec<CompletedPart>,
    next: i32,
    ended: bool,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("key", &self.key).field("id", &self.id).field("next", &self.next).finish()
    }
}

impl Upload {
    /// Starts an upload.
    pub(super) async fn begin(bucket: Arc<Bucket>, key: String) -> Result<Self, BlobError> {
        let store = bucket.clone();
        // A task of its own: when the caller gives up meanwhile, there is still somebody to take the upload back.
        let started = tokio::spawn(async move {
            let mark = new_mark();
            let output = bucket
                .client
                .create_multipart_upload()
                .bucket(&bucket.name)
                .key(bucket.full(&key))
                .metadata(mark_name(), &mark)
                .send()
                .await
                .map_err(|error| bucket.failed("start to write", None, error))?;
            let id = output.upload_id.filter(|id| !id.is_empty()).ok_or_else(|| BlobError::Protocol {
                operation: "start to write",
                store: bucket.description.clone(),
                answer: "no upload id".into(),
            })?;
            let (on_their_way, done) = (Parts::new(), Vec::new());
            Ok(Self { bucket, key, id, mark, on_their_way, done, next: 1, ended: false })
        });
        started.await.map_err(|error| store.unavailable("start to write", error))?
    }

    /// Sends a part; waits until there is room for one more.
    pub(super) async fn add(&mut self, data: Bytes) -> Result<(), BlobError> {
        while self.on_their_way.len() >= IN_FLIGHT {
            self.arrived().await?;
        }
        let (bucket, key, id, number) = (self.bucket.clone(), self.key.clone(), self.id.clone(), self.next);
        self.next += 1;
        self.on_their_way.spawn(async move {
            let settings = upload_settings(data.len() as u64);
            let output = bucket
                .client
                .upload_part()
                .bucket(&bucket.name)
                .key(bucket.full(&key))
                .upload_id(id)
                .part_number(number)
                .body(data.into())
                .customize()
                .config_override(settings)
                .send()
                .await
                .map_err(|error| bucket.failed("write", None, error))?;
            Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(output.e_tag)
                .set_checksum_crc32(output.checksum_crc32)
                .set_checksum_crc32_c(output.checksum_crc32_c)
                .set_checksum_crc64_nvme(output.checksum_crc64_nvme)
                .set_checksum_sha1(output.checksum_sha1)
                .set_checksum_sha256(output.checksum_sha256)
                .build())
        });
        Ok(())
    }

    /// Waits for one part. `false` when none is on its way.
    async fn arrived(&mut self) -> Result<bool, BlobError> {
        let lost = |error: JoinError| self.bucket.unavailable("write", error);
        match self.on_their_way.join_next().await {
            None => Ok(false),
            Some(part) => {
                let part = part.map_err(lost)??;
                self.done.push(part);
                Ok(true)
            }
        }
    }

    /// Waits for all parts and makes the object exist. After an error the upload is still to be taken back.
    pub(super) async fn complete(&mut self) -> Result<(), BlobError> {
        while self.arrived().await? {}
        self.done.sort_unstable_by_key(CompletedPart::part_number);
        let conditional = match self.bucket.conditions() {
            Conditions::Kept => true,
            unsure => {
                self.must_be_new().await?;
                unsure == Conditions::Unknown
            }
        };
        let mut answer = self.send_complete(conditional).await;
        if conditional && answer.as_ref().is_err_and(is_not_implemented) {
            self.must_be_new().await?;
            answer = self.send_complete(false).await;
        }
        let Err(error) = answer else {
            self.ended = true;
            return Ok(());
        };
        // An answer may have been lost: sent again, the upload is gone or the object is there already, and it is ours.
        // When that cannot be found out, the first error is the one to tell.
        if matches!(self.bucket.is_marked(&self.key, &self.mark).await, Ok(true)) {
            self.ended = true;
            return Ok(());
        }
        Err(match status(&error) {
            Some(412) => BlobError::Exists { key: self.key.clone() },
            _ => self.bucket.failed("finish writing", None, error),
        })
    }

    async fn must_be_new(&self) -> Result<(), BlobError> {
        match self.bucket.head(&self.key).await? {
            Some(_) => Err(BlobError::Exists { key: self.key.clone() }),
            None => Ok(()),
        }
    }

    async fn send_complete(&self, only_new: bool) -> Result<(), SdkError<CompleteMultipartUploadError, HttpResponse>> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.done.clone())).build();
        self.bucket
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket.name)
            .key(self.bucket.full(&self.key))
            .upload_id(&self.id)
            .multipart_upload(parts)
            .set_if_none_match(only_new.then(|| "*".to_owned()))
            .send()
            .await?;
        Ok(())
    }

    /// Takes the upload back and waits for that.
    pub(super) async fn abort(mut self) {
        if let Some(work) = self.take_back() {
            work.await;
        }
    }

    fn take_back(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        if mem::replace(&mut self.ended, true) {
            return None;
        }
        let mut parts = mem::take(&mut self.on_their_way);
        let (bucket, key, id) = (self.bucket.clone(), self.key.clone(), mem::take(&mut self.id));
        Some(async move {
            let all = async { while parts.join_next().await.is_some() {} };
            if tokio::time::timeout(ABORT_WAITS, all).await.is_err() {
                parts.shutdown().await;
            }
            let request =
                bucket.client.abort_multipart_upload().bucket(&bucket.name).key(bucket.full(&key)).upload_id(id);
            match request.send().await {
                Ok(_) => {}
                // Nothing to take back.
                Err(error) if status(&error) == Some(404) => {}
                Err(error) => {
                    let error = bucket.failed("take back an upload", None, error);
                    tracing::warn!(key, %error, "an unfinished upload remains; a rule of the bucket should remove such");
                }
            }
        })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Outside a runtime nothing can be sent any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && let Some(work) = self.take_back()
        {
            runtime.spawn(work);
        }
    }
}
