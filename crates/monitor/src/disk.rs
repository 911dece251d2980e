//! File systems and load of the machine that a server runs on, where that is this one. What is asked of the server is only
//! where its files lie; no file of it is opened.
use domain::{
    Timestamp,
    view::{Availability, DiskRow, HostPage},
};
use futures::{FutureExt as _, future::Shared};
use nix::sys::statvfs::statvfs;
use pgstat::Place;
use std::{
    collections::HashMap,
    io::ErrorKind,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::timeout};

/// PostgreSQL has no function for it, and what could be run there with a superuser's rights is not ours to run.
const ELSEWHERE: &str = "the server is on another machine: its file systems cannot be seen from here, and PostgreSQL has no function that tells \
                         how much room is left";

/// A call into a file system of a network whose server is away may not come back. It is waited for so long, once.
const PATIENCE: Duration = Duration::from_secs(2);
const NO_ANSWER: &str = "does not answer";

/// The directories that are being asked. A call that hangs cannot be ended: it keeps its thread, so that there must never be
/// two of one directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asking(Arc<Mutex<HashMap<String, Call>>>);

/// A directory being asked.
#[derive(Clone, Debug)]
struct Call {
    since: Instant,
    answer: Shared<oneshot::Receiver<Seen>>,
}

/// What a directory says.
#[derive(Clone, Debug)]
struct Seen {
    /// Whether it is a data directory.
    there: Result<(), String>,
    space: Result<Space, String>,
}

/// Room in a file system.
#[derive(Clone, Copy, Debug)]
struct Space {
    total_bytes: u64,
    free_bytes: u64,
    used_percent: Option<f64>,
}

impl Asking {
    /// Asks a directory, unless the last question to it is still open.
    fn begin(&self, path: &str, see: impl FnOnce(&str) -> Seen + Send + 'static) -> Call {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(call) = open.get(path) {
            return call.clone();
        }
        let (tell, answer) = oneshot::channel();
        let call = Call { since: Instant::now(), answer: answer.shared() };
        open.insert(path.to_owned(), call.clone());
        let (all, path) = (self.0.clone(), path.to_owned());
        tokio::task::spawn_blocking(move || {
            let seen = see(&path);
            all.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
            // Nobody may be waiting any more.
            let _ = tell.send(seen);
        });
        call
    }
}

impl Call {
    /// The answer; `None` when there is none so long after the question, whoever put it.
    async fn within(self, patience: Duration) -> Option<Seen> {
        let left = patience.saturating_sub(self.since.elapsed());
        timeout(left, self.answer).await.ok()?.ok()
    }
}

/// The picture of the machine; `places` is where the files lie, `None` before it was asked. It takes at most [`PATIENCE`], and no time for what is known to hang.
pub(crate) async fn look(
    asking: &Asking,
    is_local: bool,
    places: Option<&Result<Vec<Place>, String>>,
    at: Timestamp,
) -> HostPage {
    let missing = |reason: String| HostPage {
        availability: Availability::Missing { reason, cure: Vec::new() },
        ..HostPage::default()
    };
    if !is_local {
        return missing(ELSEWHERE.to_owned());
    }
    let places = match places {
        None => return HostPage { availability: Availability::Collecting, ..HostPage::default() },
        Some(Err(reason)) => return missing(format!("where the files of the server lie cannot be read: {reason}")),
        Some(Ok(places)) if places.is_empty() => {
            return missing(
                "the role may not read where the files of the server lie: that needs pg_monitor".to_owned(),
            );
        }
        Some(Ok(places)) => places,
    };
    // All at once: together they take no longer than one.
    let calls = places.iter().map(|place| asking.begin(&place.path, see)).collect::<Vec<_>>();
    let mut answers = Vec::with_capacity(calls.len());
    for call in calls {
        answers.push(call.within(PATIENCE).await);
    }
    // An address of this machine may lead into a container: then the directory is not there, or it is another's. Of one that
    // does not answer nobody knows.
    let data = places.iter().zip(&answers).find(|(place, _)| place.name == "data");
    if let Some((_, Some(Seen { there: Err(reason), .. }))) = data {
        return missing(format!(
            "the server answers at an address of this machine, but {reason}: it runs in a container or behind a forwarded port"
        ));
    }
    HostPage {
        collected_at: Some(at),
        disks: places.iter().zip(&answers).map(|(place, seen)| row(place, seen.as_ref())).collect(),
        load: load(),
        cpus: crate::host::cpus(),
        ..HostPage::default()
    }
}

/// Asks the file system, which may take for ever.
fn see(path: &str) -> Seen {
    Seen { there: is_there(path), space: space(path) }
}

/// Whether a data directory lies at `path`. It may be closed to us, as it should be: being refused says that it is there.
fn is_there(path: &str) -> Result<(), String> {
    match std::fs::metadata(Path::new(path).join("PG_VERSION")) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(_) => Err(format!("no data directory is at {path} here")),
    }
}

fn space(path: &str) -> Result<Space, String> {
    match statvfs(Path::new(path)) {
        Ok(space) => {
            // As df counts it: what is kept back for root is neither used nor free.
            let unit = space.fragment_size();
            let (used, free) = (space.blocks().saturating_sub(space.blocks_free()), space.blocks_available());
            let all = used.saturating_add(free);
            Ok(Space {
                total_bytes: all * unit,
                free_bytes: free * unit,
                used_percent: (all > 0).then(|| 100.0 * used as f64 / all as f64),
            })
        }
        Err(nix::errno::Errno::EACCES) => Err("Holdfast may not look into the directory above it".to_owned()),
        Err(error) => Err(error.desc().to_owned()),
    }
}

fn row(place: &Place, seen: Option<&Seen>) -> DiskRow {
    let space = seen.map_or_else(|| Err(NO_ANSWER.to_owned()), |seen| seen.space.clone());
    DiskRow {
        place: place.name.clone(),
        path: place.path.clone(),
        total_bytes: space.as_ref().ok().map(|space| space.total_bytes),
        free_bytes: space.as_ref().ok().map(|space| space.free_bytes),
        used_percent: space.as_ref().ok().and_then(|space| space.used_percent),
        missing: space.err(),
        full: None,
        full_missing: None,
    }
}

fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn place(name: &str, path: &str) -> Place {
        Place { name: name.to_owned(), path: path.to_owned() }
    }

    async fn why(is_local: bool, places: Option<&Result<Vec<Place>, String>>) -> String {
        match look(&Asking::default(), is_local, places, Timestamp(1)).await.availability {
            Availability::Missing { reason, .. } => reason,
            other => format!("{other:?}"),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_seen_says_why() {
        assert!(why(false, None).await.contains("another machine"));
        assert_eq!(why(true, None).await, "Collecting");
        assert!(why(true, Some(&Ok(Vec::new()))).await.contains("pg_monitor"));
        let nowhere = Ok(vec![place("data", "/nowhere/at/all")]);
        assert!(why(true, Some(&nowhere)).await.contains("container"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_data_directory_here_is_measured() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("PG_VERSION"), "15\n").unwrap();
        let path = directory.path().to_str().unwrap();
        let places = Ok(vec![place("data", path), place("tablespace gone", "/nowhere/at/all")]);
        let page = look(&Asking::default(), true, Some(&places), Timestamp(7)).await;
        assert_eq!((page.availability.clone(), page.collected_at), (Availability::Ready, Some(Timestamp(7))));
        let [data, gone] = page.disks.as_slice() else { panic!("{page:?}") };
        let used = data.used_percent.unwrap();
        assert!((0.0..=100.0).contains(&used) && data.free_bytes <= data.total_bytes, "{data:?}");
        assert!(gone.missing.is_some() && gone.used_percent.is_none());
        assert_eq!(page.fullest().map(|row| row.place.as_str()), Some("data"));
        assert!(page.load.is_some_and(|load| load >= 0.0) && page.cpus.is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_directory_that_hangs_is_asked_once_and_waited_for_once() {
        let (asking, patience) = (Asking::default(), Duration::from_secs(1));
        let asked = Arc::new(AtomicU32::new(0));
        let counting = |asked: &Arc<AtomicU32>| {
            let asked = asked.clone();
            move |_: &str| {
                asked.fetch_add(1, Ordering::Relaxed);
                see("/")
            }
        };
        let (release, hanging) = std::sync::mpsc::channel::<()>();
        let begun = Instant::now();
        let hung = asking.begin("/hung", move |_: &str| {
            let _ = hanging.recv();
            see("/")
        });
        assert!(hung.within(patience).await.is_none() && begun.elapsed() >= patience);
        // Known to hang: neither asked again nor waited for, and others answer all the while.
        let begun = Instant::now();
        assert!(asking.begin("/hung", counting(&asked)).within(patience).await.is_none());
        assert!(begun.elapsed() < patience && asked.load(Ordering::Relaxed) == 0);
        assert!(asking.begin("/", see).within(Duration::from_secs(10)).await.is_some());
        assert_eq!(row(&place("wal", "/hung"), None).missing.as_deref(), Some("does not answer"));
        // It answers at last, and is asked anew.
        release.send(()).unwrap();
        while !asking.0.lock().unwrap().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the question stays open");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let seen = asking.begin("/hung", counting(&asked)).within(Duration::from_secs(10)).await;
        assert!(seen.is_some_and(|seen| seen.space.is_ok()) && asked.load(Ordering::Relaxed) == 1);
    }
}
