//! How far a backup is, and the word from outside to wait or to stop.
use crate::BackupError;
use pgphysical::replication::ReplicationError;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Counts that a progress display reads while the work goes on.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes to do; grows no more once the files are listed.
    pub total: AtomicU64,
    /// Bytes done, whether read or found unchanged.
    pub done: AtomicU64,
    /// Bytes read from the source.
    pub read: AtomicU64,
    /// Bytes of new or changed pages.
    pub changed: AtomicU64,
    /// Pages whose checksum was judged.
    pub checked_pages: AtomicU64,
    /// Set from outside to stop.
    pub cancelled: AtomicBool,
    /// Set from outside to wait: nothing is read meanwhile.
    pub paused: AtomicBool,
}

impl Progress {
    /// A second attempt counts from zero.
    pub(crate) fn start_again(&self) {
        for counter in [&self.total, &self.done, &self.read, &self.changed, &self.checked_pages] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Only for threads that may block.
    pub(super) fn wait_while_paused(&self) {
        while self.paused.load(Ordering::Relaxed) && !self.cancelled.load(Ordering::Relaxed) {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// Ends when somebody says stop.
    pub(super) async fn until_cancelled(&self) {
        while !self.cancelled.load(Ordering::Relaxed) {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// The server's answer, unless somebody says stop while it is waited for: one that never comes must hold up nobody.
    pub(super) async fn unless_stopped<T>(
        &self,
        asked: impl Future<Output = Result<T, ReplicationError>>,
    ) -> Result<T, BackupError> {
        tokio::select! {
            answer = asked => Ok(answer?),
            () = self.until_cancelled() => Err(BackupError::Cancelled),
        }
    }

    /// Cancels when whoever waits for the end goes away without it: the threads that read would wait for ever in a pause.
    pub(super) fn cancel_on_drop(self: &Arc<Self>) -> CancelOnDrop {
        CancelOnDrop(Some(self.clone()))
    }

    pub(crate) fn add(counter: &AtomicU64, bytes: u64) {
        counter.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// See [`Progress::cancel_on_drop`].
#[must_use]
pub(super) struct CancelOnDrop(Option<Arc<Progress>>);

impl CancelOnDrop {
    /// It came to its end.
    pub(super) fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            progress.cancelled.store(true, Ordering::Relaxed);
        }
    }
}
