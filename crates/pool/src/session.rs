//! What a user's session wrote last, so that it reads its own writes.
use domain::Lsn;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The newest write position of a session; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Session {
    written: Arc<AtomicU64>,
}

impl Session {
    /// A session that takes up where another process or request left it.
    pub fn at(lsn: Lsn) -> Self {
        Self { written: Arc::new(AtomicU64::new(lsn.0)) }
    }

    /// Its reads must see everything up to here; `None` before the first write.
    pub fn written(&self) -> Option<Lsn> {
        Some(self.written.load(Ordering::Acquire)).filter(|lsn| *lsn > 0).map(Lsn)
    }

    /// A write ended at `lsn`.
    pub fn wrote(&self, lsn: Lsn) {
        self.written.fetch_max(lsn.0, Ordering::AcqRel);
    }
}
