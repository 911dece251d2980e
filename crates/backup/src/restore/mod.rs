//! Restoring: plan, check the place, write the pages, and last what lets the server start.
mod place;
mod plan;
mod write;

pub use plan::{RestorePlan, RestoreRequest, Target, plan};

use crate::{
    BackupError,
    create::Progress,
    format::manifest::Summary,
    lease::Lease,
    repo::{Manifest, Repository},
};
use pgphysical::control::ControlFile;
use place::Place;
pub(crate) use place::owner;
use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// How a restore is done.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// The new data directory.
    pub to: PathBuf,
    /// The directory may hold an older state of the same cluster: only pages that differ are fetched.
    pub delta: bool,
    /// New places of tablespaces, by oid or old place.
    pub tablespaces: Vec<(String, PathBuf)>,
    /// Parts fetched at once.
    pub workers: usize,
    /// Who shall own the files, when we are root; the owner of the directory, else `postgres`, when `None`.
    pub owner: Option<String>,
    /// `restore_command`; `None` leaves WAL to the caller.
    pub restore_command: Option<String>,
    /// `promote`, `pause` or `shutdown` when the target is reached.
    pub action: String,
    /// Whether the target itself is replayed.
    pub inclusive: bool,
    /// Changes that keep the copy from acting on the world: no archiving, no subscriptions, no listening.
    pub tame: bool,
}

/// What was done.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Restored {
    /// Bytes of pages written.
    pub written_bytes: u64,
    /// Bytes that were there already (delta).
    pub kept_bytes: u64,
    /// Bytes read from the repository.
    pub fetched_bytes: u64,
    /// Files that were in the way (delta).
    pub removed_files: u64,
}

/// Where the control file waits until all else is done.
const CONTROL_ASIDE: &str = "global/pg_control.holdfast";

/// Holds the position at which recovery stops, for `wal fetch`.
pub(crate) const RECOVERY_END: &str = "holdfast.recovery-end";

/// In the directory while a restore is under way; such a directory may be restored into again.
pub(crate) const MARK: &str = "holdfast.restoring";

/// Restores by a plan.
///
/// # Errors
/// See [`BackupError`]. After a failure the server does not start there; the same command goes on where it stopped.
pub async fn restore(
    repository: &Repository,
    plan: &RestorePlan,
    manifest: &Manifest,
    options: &RestoreOptions,
    progress: &Arc<Progress>,
) -> Result<Restored, BackupError> {
    let lease = Lease::share(repository, &plan.backup, "restore").await?;
    let done = restore_leased(repository, plan, manifest, options, progress).await;
    if let Some(lease) = lease {
        lease.release().await;
    }
    done
}

async fn restore_leased(
    repository: &Repository,
    plan: &RestorePlan,
    manifest: &Manifest,
    options: &RestoreOptions,
    progress: &Arc<Progress>,
) -> Result<Restored, BackupError> {
    let place = Place::check(&plan.backup, options)?;
    // Held until the end, whatever that is.
    let _mark = begin(&place.root, &plan.backup.id)?;
    let mut restored = write::files(repository, manifest, &place, options, progress).await?;
    let root = place.root.clone();
    let control_path = root.join("global/pg_control");
    // Without its checkpoint nobody can start the copy without its label, and so without recovery.
    let aside = root.join(CONTROL_ASIDE);
    let control = fs::read(&aside).map_err(BackupError::io("read", &aside))?;
    let invalid = ControlFile::without_checkpoint(&control)
        .map_err(|source| BackupError::Control { path: control_path.clone(), source })?;
    for (name, content) in captured_files(&plan.backup) {
        write_small(&place, &root.join(name), content.as_bytes())?;
    }
    write_small(&place, &root.join("recovery.signal"), b"")?;
    // The server reads ahead of its target: what is missing behind it must not stop it.
    match plan.stops_at {
        Some(end) => write_small(&place, &root.join(RECOVERY_END), end.to_string().as_bytes())?,
        None => _ = fs::remove_file(root.join(RECOVERY_END)),
    }
    restored.removed_files += place.configure_recovery(&recovery_settings(plan, options), options.tame)?;
    if let Some(map) = place.tablespace_map() {
        // The server makes the links anew from this at its start.
        write_small(&place, &root.join("tablespace_map"), map.as_bytes())?;
    }
    fs::remove_file(&aside).map_err(BackupError::io("remove", &aside))?;
    place.sync_all()?;
    // Last: the place is startable from here on.
    write_small(&place, &control_path, &invalid)?;
    fs::remove_file(root.join(MARK)).map_err(BackupError::io("remove", root.join(MARK)))?;
    place.sync_all()?;
    Ok(restored)
}

/// Marks a directory as one that is being restored into, by us alone for as long as the file is open: two who write to one
/// directory would make a mixture of it.
fn begin(root: &Path, backup: &str) -> Result<fs::File, BackupError> {
    let path = root.join(MARK);
    let busy = || {
        BackupError::Busy(format!(
            "another restore writes to {}; wait for its end, or restore elsewhere",
            root.display()
        ))
    };
    let mut mark = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(BackupError::io("write", &path))?;
    match mark.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(busy()),
        // Where there are no locks nobody is kept out.
        Err(fs::TryLockError::Error(error)) => {
            tracing::debug!(%error, path = %path.display(), "a directory could not be locked for its restore");
        }
    }
    // The other one may have come to its end, and taken its mark away, since the place was looked at.
    let is_ours =
        |there: fs::Metadata| mark.metadata().is_ok_and(|mark| (mark.dev(), mark.ino()) == (there.dev(), there.ino()));
    if !fs::metadata(&path).is_ok_and(is_ours) {
        return Err(busy());
    }
    mark.set_len(0)
        .and_then(|()| std::io::Write::write_all(&mut mark, format!("{backup}\n").as_bytes()))
        .map_err(BackupError::io("write", &path))?;
    Ok(mark)
}

fn write_small(place: &Place, path: &Path, content: &[u8]) -> Result<(), BackupError> {
    let temporary = path.with_extension("holdfast-new");
    fs::write(&temporary, content).map_err(BackupError::io("write", &temporary))?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))
        .map_err(BackupError::io("set the mode of", &temporary))?;
    place.own(&temporary)?;
    fs::File::open(&temporary).and_then(|file| file.sync_all()).map_err(BackupError::io("flush", &temporary))?;
    fs::rename(&temporary, path).map_err(BackupError::io("rename to", path))
}

/// The settings of recovery, for `postgresql.auto.conf`.
fn recovery_settings(plan: &RestorePlan, options: &RestoreOptions) -> String {
    let mut settings = String::new();
    if let (Target::Time(text, _), Some(_)) = (&plan.target, plan.time_stop) {
        let _ = writeln!(settings, "# Recovery to {text}: the target is its place in the WAL.");
    }
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(settings, "{name} = '{}'", value.replace('\\', "\\\\").replace('\'', "''"));
    };
    if let Some(command) = &options.restore_command {
        set("restore_command", command);
    }
    for (name, value) in plan.settings(options.inclusive) {
        set(name, &value);
    }
    if plan.target != Target::Latest {
        set("recovery_target_action", &options.action);
    }
    // Explicitly: 'latest' may choose a child timeline that a failed experiment left in the archive.
    set("recovery_target_timeline", &plan.timeline.to_string());
    if options.tame {
        // Nothing that was set for the original counts: a tamed copy takes its settings from its starter.
        for (name, value) in [
            ("archive_mode", "off"),
            ("primary_conninfo", ""),
            ("primary_slot_name", ""),
            ("max_logical_replication_workers", "0"),
            ("synchronous_standby_names", ""),
            ("shared_preload_libraries", ""),
            ("ssl", "off"),
        ] {
            set(name, value);
        }
    }
    settings
}

/// Configuration that was outside the data directory.
fn captured_files(backup: &Summary) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for captured in &backup.captured {
        let name = captured.path.rsplit('/').next().unwrap_or_default();
        // The server is started with the data directory alone: its configuration must be there.
        if matches!(name, "postgresql.conf" | "pg_hba.conf" | "pg_ident.conf") {
            files.push((name.to_owned(), moved_settings(&captured.content)));
        } else if !name.is_empty() && name.len() < 200 {
            files.push((format!("captured-{name}"), captured.content.clone()));
        }
    }
    files
}

/// A configuration from elsewhere: its settings that name places there no longer hold.
fn moved_settings(content: &str) -> String {
    const PLACES: [&str; 7] = [
        "data_directory",
        "hba_file",
        "ident_file",
        "external_pid_file",
        "include_dir",
        "include",
        "include_if_exists",
    ];
    let commented = content.lines().map(|line| {
        let name = line.trim_start().split(|c: char| c == '=' || c.is_whitespace()).next().unwrap_or_default();
        if PLACES.contains(&name) { format!("# moved by 'holdfast restore': {line}\n") } else { format!("{line}\n") }
    });
    commented.collect()
}
