//! WAL for a copy of ours, handed over through a directory: its `restore_command` leaves a note with the name it wants
//! and waits for the file. So neither key nor credentials stand in the copy's configuration, the copy's user need not
//! be able to read the repository, and an outage is waited for here.
use backup::{Repository, wal::Fetched};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_millis(15);
/// An outage of the repository may last so many seconds before recovery stops; it goes on at the next try.
const PATIENCE_SECONDS: u32 = 120;

/// `%f` and `%p` follow. 126: recovery must stop; every code below would be taken for the end of the WAL.
const SCRIPT: &str = r#"#!/bin/sh
# written by Holdfast; ends with the process that wrote it
d=$(dirname "$0"); n=$1
rm -f "$d/$n.absent" "$d/$n.failed"
: > "$d/$n.want" || exit 126
while :; do
  if [ -e "$d/$n.ready" ]; then mv "$d/$n.ready" "$2" && exit 0; exit 126; fi
  if [ -e "$d/$n.absent" ]; then rm -f "$d/$n.absent"; exit 1; fi
  if [ -e "$d/$n.failed" ]; then exit 126; fi
  if [ ! -e "$d/open" ]; then exit 126; fi
  sleep 0.02
done
"#;

/// Hands WAL to one copy.
#[derive(Debug)]
pub(crate) struct WalServer {
    directory: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<()>,
    error: Arc<Mutex<Option<String>>>,
    at_end: Arc<AtomicBool>,
}

impl WalServer {
    /// Serves the cluster in `data` from `directory`, which is made.
    pub fn start(repository: &Repository, data: &Path, directory: &Path) -> std::io::Result<Self> {
        // What a killed predecessor left is of no use.
        let _ = fs::remove_dir_all(directory);
        fs::create_dir_all(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
        let owner = fs::metadata(data)?;
        let ids = (owner.uid(), owner.gid());
        for (name, text) in [("fetch", SCRIPT), ("open", "")] {
            let path = directory.join(name);
            fs::write(&path, text)?;
            give(&path, ids)?;
        }
        give(directory, ids)?;
        let (stop, error) = (CancellationToken::new(), Arc::new(Mutex::new(None)));
        let at_end = Arc::new(AtomicBool::new(false));
        let server = Serving {
            repository: repository.clone(),
            data: data.to_owned(),
            directory: directory.to_owned(),
            ids,
            stop: stop.clone(),
            error: error.clone(),
            at_end: at_end.clone(),
        };
        Ok(Self { directory: directory.to_owned(), stop, task: tokio::spawn(server.run()), error, at_end })
    }

    /// `restore_command`.
    pub fn command(&self) -> String {
        let path = self.directory.join("fetch").display().to_string().replace('\'', r"'\''").replace('%', "%%");
        format!("/bin/sh '{path}' %f %p")
    }

    /// Everything that is there was asked for: the last segment was asked for again, or the next is not there.
    pub fn is_at_end(&self) -> bool {
        self.at_end.load(Ordering::Relaxed)
    }

    /// Why a file could not be handed over, when it could not.
    pub fn error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for WalServer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn give(path: &Path, (user, group): (u32, u32)) -> std::io::Result<()> {
    let there = fs::metadata(path)?;
    if (there.uid(), there.gid()) == (user, group) { Ok(()) } else { chown(path, Some(user), Some(group)) }
}

struct Serving {
    repository: Repository,
    data: PathBuf,
    directory: PathBuf,
    ids: (u32, u32),
    stop: CancellationToken,
    error: Arc<Mutex<Option<String>>>,
    at_end: Arc<AtomicBool>,
}

/// A segment, not a history or a backup label.
fn is_segment(name: &str) -> bool {
    name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Serving {
    async fn run(self) {
        let mut last = String::new();
        while !self.stop.is_cancelled() {
            for name in self.wanted() {
                // A note is taken once: the command leaves another when it asks again.
                let _ = fs::remove_file(self.directory.join(format!("{name}.want")));
                let done = self.hand_over(&name).await;
                if is_segment(&name) {
                    let nothing_new = matches!(done, Ok(Fetched::Absent)) || name == last;
                    self.at_end.store(nothing_new, Ordering::Relaxed);
                    last.clone_from(&name);
                }
                let ending = match done {
                    Ok(Fetched::Delivered) => continue,
                    Ok(Fetched::Absent) => "absent",
                    Err(error) => {
                        tracing::warn!(error, name, "WAL for a copy could not be fetched");
                        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        "failed"
                    }
                };
                let path = self.directory.join(format!("{name}.{ending}"));
                if let Err(error) = fs::write(&path, "").and_then(|()| give(&path, self.ids)) {
                    tracing::warn!(%error, name, "a copy could not be told of its WAL");
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn wanted(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".want")?.to_owned()))
            .collect()
    }

    async fn hand_over(&self, name: &str) -> Result<Fetched, String> {
        let part = self.directory.join(format!("{name}.part"));
        let mut tries = 0;
        let fetched = loop {
            match backup::wal::fetch(&self.repository, &self.data, name, &part).await {
                Ok(fetched) => break fetched,
                Err(error) if error.is_damage() || tries >= PATIENCE_SECONDS => return Err(error.to_string()),
                Err(backup::BackupError::Blob(error)) if error.is_retryable() => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return Err(error.to_string()),
            }
        };
        if fetched == Fetched::Delivered {
            let ready = self.directory.join(format!("{name}.ready"));
            give(&part, self.ids).and_then(|()| fs::rename(&part, &ready)).map_err(|error| error.to_string())?;
        }
        Ok(fetched)
    }
}
