//! Work of the command line: without service or store.
use crate::work::{Ended, Work};
use domain::view::{JobKind, JobProgress};
use std::{fs, path::Path, sync::Arc};

/// Work of the command line, and how far it is.
#[derive(Clone, Debug)]
pub struct Alone(pub(crate) Arc<Work>);

impl Alone {
    /// `sink` hears each line of its log.
    pub fn new(kind: JobKind, sink: fn(&str)) -> Self {
        Self(Arc::new(Work::alone(kind, sink)))
    }

    /// How far it is.
    pub fn progress(&self) -> JobProgress {
        self.0.progress()
    }

    /// Stops it, as soon as it looks.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

/// What lies in the directory of a copy would be thrown away with it.
pub(crate) fn must_be_empty(directory: &Path, what: &str) -> Result<(), String> {
    let occupied = fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(format!("{} is not empty; {what} needs an empty directory", directory.display()));
    }
    Ok(())
}

/// Why there is no result.
pub(crate) fn reason(ended: Ended) -> String {
    match ended {
        Ended::Failed(reason) => reason,
        Ended::Cancelled => "stopped".to_owned(),
    }
}
