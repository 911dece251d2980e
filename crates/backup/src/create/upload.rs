//! Objects that are written while they grow: a blocking thread seals, a task uploads. At most two parts wait, so memory
//! stays bounded and a slow store slows the reading.
use crate::{BackupError, format::object::HEADER_SIZE};
use blobs::{BlobStore, Bytes};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::{sync::mpsc, task::JoinHandle};

/// Bytes of one part.
const PART_SIZE: usize = 8 << 20;

enum Message {
    Begin(String),
    Part(Bytes),
    End,
}

/// Keys of the objects that one try began: until its commit nobody else names them.
pub type Written = Arc<Mutex<Vec<String>>>;

/// Bytes and objects that arrived.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uploaded {
    /// Bytes.
    pub bytes: u64,
    /// Objects.
    pub objects: u64,
}

/// The blocking side.
#[derive(Debug)]
pub struct Uploader {
    sender: mpsc::Sender<Message>,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}

/// The uploading task has ended; its result says why.
#[derive(Clone, Copy, Debug)]
pub struct UploadEnded;

impl Uploader {
    /// Starts the task. Its result comes when the uploader is dropped, or with the first error.
    pub fn start(store: Arc<dyn BlobStore>, written: Written) -> (Self, JoinHandle<Result<Uploaded, BackupError>>) {
        let (sender, receiver) = mpsc::channel(2);
        let task = tokio::spawn(upload(store, written, receiver));
        (Self { sender, buffer: Vec::new() }, task)
    }

    /// Begins an object with its header.
    ///
    /// # Errors
    /// [`UploadEnded`].
    pub fn begin(&mut self, key: String, header: &[u8; HEADER_SIZE]) -> Result<(), UploadEnded> {
        self.sender.blocking_send(Message::Begin(key)).map_err(|_| UploadEnded)?;
        self.push(header)
    }

    /// The next bytes of it.
    ///
    /// # Errors
    /// [`UploadEnded`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), UploadEnded> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART_SIZE {
            let part = std::mem::replace(&mut self.buffer, Vec::with_capacity(PART_SIZE + (1 << 20)));
            self.sender.blocking_send(Message::Part(part.into())).map_err(|_| UploadEnded)?;
        }
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`UploadEnded`].
    pub fn end(&mut self) -> Result<(), UploadEnded> {
        let part = std::mem::take(&mut self.buffer);
        self.sender.blocking_send(Message::Part(part.into())).map_err(|_| UploadEnded)?;
        self.sender.blocking_send(Message::End).map_err(|_| UploadEnded)
    }
}

async fn upload(
    store: Arc<dyn BlobStore>,
    written: Written,
    mut receiver: mpsc::Receiver<Message>,
) -> Result<Uploaded, BackupError> {
    let mut uploaded = Uploaded::default();
    let mut writer = None;
    while let Some(message) = receiver.recv().await {
        match message {
            Message::Begin(key) => {
                writer = Some(store.writer(&key).await?);
                written.lock().unwrap_or_else(PoisonError::into_inner).push(key);
            }
            Message::Part(bytes) => {
                if let Some(writer) = writer.as_mut() {
                    writer.write(bytes).await?;
                }
            }
            Message::End => {
                if let Some(writer) = writer.take() {
                    uploaded.bytes += writer.finish().await?;
                    uploaded.objects += 1;
                }
            }
        }
    }
    // The sealing side gave up in the middle of an object.
    if let Some(writer) = writer {
        writer.abort().await;
    }
    Ok(uploaded)
}
