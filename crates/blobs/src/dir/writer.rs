//! A file written in parts.
use super::{
    blocking,
    files::{Place, Publish, Temporary},
};
use crate::{BlobError, BlobWriter};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// Small parts are joined up to so many bytes: each write is a trip to another thread.
const JOINED: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct DirWriter {
    place: Arc<Place>,
    key: String,
    /// `None` once a write has failed or was given up half way.
    file: Option<Temporary>,
    waiting: BytesMut,
    size: u64,
}

impl DirWriter {
    pub(super) fn new(place: Arc<Place>, key: String, file: Temporary) -> Self {
        Self { place, key, file: Some(file), waiting: BytesMut::new(), size: 0 }
    }

    fn take(&mut self) -> Result<Temporary, BlobError> {
        self.file.take().ok_or_else(|| BlobError::WriterFailed { key: self.key.clone() })
    }

    async fn store(&mut self, parts: [Bytes; 2]) -> Result<(), BlobError> {
        let mut file = self.take()?;
        let place = self.place.clone();
        let file = blocking(move || {
            for part in &parts {
                file.write(&place, part)?;
            }
            Ok(file)
        })
        .await?;
        self.file = Some(file);
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for DirWriter {
    async fn write(&mut self, part: Bytes) -> Result<(), BlobError> {
        self.size += part.len() as u64;
        if self.waiting.len() + part.len() < JOINED {
            self.waiting.extend_from_slice(&part);
            return if self.file.is_some() { Ok(()) } else { self.take().map(drop) };
        }
        let waiting = self.waiting.split().freeze();
        self.store([waiting, part]).await
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, BlobError> {
        let mut file = self.take()?;
        let waiting = self.waiting.split().freeze();
        let (place, key) = (self.place.clone(), self.key.clone());
        blocking(move || {
            file.write(&place, &waiting)?;
            place.publish(file, &key, Publish::New)
        })
        .await?;
        Ok(self.size)
    }

    async fn abort(mut self: Box<Self>) {
        if let Some(file) = self.file.take() {
            // That it runs is enough: dropping the file removes it.
            let _ = tokio::task::spawn_blocking(move || drop(file)).await;
        }
    }
}
