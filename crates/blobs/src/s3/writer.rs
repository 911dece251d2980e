//! An object written in parts: small ones become one request, large ones a multipart upload.
use super::{bucket::Bucket, upload::Upload};
use crate::{BlobError, BlobWriter};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::{mem, sync::Arc};

/// Bytes of a part. All but the last are equal, as some stores demand; what has no more is sent in one request.
const PART: usize = 16 * 1024 * 1024;
/// Parts of an object, at most.
const MOST_PARTS: u64 = 10_000;

#[derive(Debug)]
pub(super) struct S3Writer {
    bucket: Arc<Bucket>,
    key: String,
    waiting: BytesMut,
    upload: Option<Upload>,
    size: u64,
    /// Also while a call is under way: one that was given up half way must not be followed by another.
    failed: bool,
}

impl S3Writer {
    pub(super) fn new(bucket: Arc<Bucket>, key: String) -> Self {
        Self { bucket, key, waiting: BytesMut::new(), upload: None, size: 0, failed: false }
    }

    fn start(&mut self) -> Result<(), BlobError> {
        if mem::replace(&mut self.failed, true) {
            return Err(BlobError::WriterFailed { key: self.key.clone() });
        }
        Ok(())
    }

    async fn add(&mut self, mut data: Bytes) -> Result<(), BlobError> {
        self.size += data.len() as u64;
        let limit = MOST_PARTS * PART as u64;
        if self.size > limit {
            return Err(BlobError::TooLarge { key: self.key.clone(), limit });
        }
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(PART - self.waiting.len()));
            if piece.len() == PART {
                self.send(piece).await?;
                continue;
            }
            self.waiting.extend_from_slice(&piece);
            if self.waiting.len() == PART {
                let part = self.waiting.split().freeze();
                self.send(part).await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, part: Bytes) -> Result<(), BlobError> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(Upload::begin(self.bucket.clone(), self.key.clone()).await?),
        };
        upload.add(part).await
    }

    async fn complete(&mut self) -> Result<(), BlobError> {
        let rest = mem::take(&mut self.waiting).freeze();
        match &mut self.upload {
            None => self.bucket.put_new(&self.key, rest).await,
            Some(upload) => {
                if !rest.is_empty() {
                    upload.add(rest).await?;
                }
                upload.complete().await
            }
        }
    }

    async fn give_up(&mut self) {
        if let Some(upload) = self.upload.take() {
            upload.abort().await;
        }
    }
}

#[async_trait]
impl BlobWriter for S3Writer {
    async fn write(&mut self, part: Bytes) -> Result<(), BlobError> {
        self.start()?;
        if let Err(error) = self.add(part).await {
            self.give_up().await;
            return Err(error);
        }
        self.failed = false;
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, BlobError> {
        self.start()?;
        if let Err(error) = self.complete().await {
            self.give_up().await;
            return Err(error);
        }
        Ok(self.size)
    }

    async fn abort(mut self: Box<Self>) {
        self.give_up().await;
    }
}
