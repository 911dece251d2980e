//! The directory that is restored into: what may be there, who owns it, and that all of it is on disk in the end.
use super::{MARK, RestoreOptions};
use crate::{BackupError, create::read_control, format::manifest::Summary};
use nix::unistd::{Gid, Uid, User, chown};
use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

const BEGIN: &str = "# recovery by Holdfast; may go once the server was promoted";
const END: &str = "# end of recovery by Holdfast";

#[derive(Debug)]
pub(super) struct Place {
    pub root: PathBuf,
    /// By oid.
    pub tablespaces: HashMap<u32, PathBuf>,
    owner: Option<(Uid, Gid)>,
}

impl Place {
    /// Refuses before anything is changed.
    pub fn check(backup: &Summary, options: &RestoreOptions) -> Result<Self, BackupError> {
        let root = &options.to;
        let owner = owner(root, options.owner.as_deref())?;
        let mut place = Self { root: root.clone(), tablespaces: HashMap::new(), owner };
        place.check_directory(root, backup, options, true)?;
        let mut remap = options.tablespaces.clone();
        for tablespace in &backup.tablespaces {
            let at =
                remap.iter().position(|(from, _)| *from == tablespace.oid.to_string() || *from == tablespace.location);
            let target = at.map_or_else(|| PathBuf::from(&tablespace.location), |at| remap.swap_remove(at).1);
            if !target.is_absolute() {
                return Err(BackupError::Invalid(format!(
                    "the tablespace's place {} must be an absolute path",
                    target.display()
                )));
            }
            place.check_directory(&target, backup, options, false)?;
            place.tablespaces.insert(tablespace.oid, target);
        }
        if let Some((from, _)) = remap.first() {
            return Err(BackupError::Invalid(format!(
                "the backup has no tablespace '{from}'; 'holdfast backup show' lists them"
            )));
        }
        let needed = backup.stats.bytes;
        for directory in std::iter::once(root).chain(place.tablespaces.values()) {
            make_directory(directory)?;
            place.own(directory)?;
        }
        let space = nix::sys::statvfs::statvfs(root).map_err(|error| BackupError::Io {
            operation: "ask for the free space of",
            path: root.clone(),
            source: error.into(),
        })?;
        let free = space.blocks_available() * space.fragment_size();
        if !options.delta && place.tablespaces.is_empty() && free < needed {
            return Err(BackupError::Invalid(format!(
                "{} has {} MiB free; the backup needs {} MiB and its WAL more",
                root.display(),
                free >> 20,
                needed >> 20
            )));
        }
        Ok(place)
    }

    fn check_directory(
        &self,
        directory: &Path,
        backup: &Summary,
        options: &RestoreOptions,
        main: bool,
    ) -> Result<(), BackupError> {
        let mut names = match fs::read_dir(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(BackupError::io("list", directory))?,
        };
        if names.next().is_none() {
            return Ok(());
        }
        let shown = directory.display();
        let resuming = self.root.join(MARK).exists();
        if main {
            if let Ok(text) = fs::read_to_string(directory.join("postmaster.pid"))
                && let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok())
                && nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH)
            {
                return Err(BackupError::Conflict(format!(
                    "a server runs in {shown} (process {pid}); stop it, or restore elsewhere"
                )));
            }
            if resuming {
                return Ok(());
            }
            if !options.delta {
                return Err(BackupError::Conflict(format!(
                    "{shown} is not empty; choose another directory, or --delta to bring a stopped copy of the same cluster to the wanted state"
                )));
            }
            if let Ok(version) = fs::read_to_string(directory.join("PG_VERSION"))
                && version.trim() != backup.cluster.major().to_string()
            {
                return Err(BackupError::Conflict(format!(
                    "{shown} holds a cluster of PostgreSQL {}, the backup is of PostgreSQL {}: files of another major version cannot become it; nothing was changed",
                    version.trim(),
                    backup.cluster.major()
                )));
            }
            let (_, control) = read_control(&directory.join("global/pg_control")).map_err(|_| {
                BackupError::Conflict(format!("{shown} is not empty and holds no cluster; nothing was changed"))
            })?;
            if control.system_identifier != backup.cluster.system_identifier {
                return Err(BackupError::Conflict(format!(
                    "{shown} holds another cluster ({}); nothing was changed",
                    control.system_identifier
                )));
            }
        } else if !options.delta && !resuming {
            return Err(BackupError::Conflict(format!(
                "the tablespace's place {shown} is not empty; give a new one by --tablespace OID=DIRECTORY"
            )));
        }
        Ok(())
    }

    /// Where a path of the manifest goes.
    pub fn resolve(&self, path: &str) -> PathBuf {
        if let Some((oid, rest)) =
            path.strip_prefix("pg_tblspc/").map(|rest| rest.split_once('/').unwrap_or((rest, "")))
            && let Some(target) = oid.parse().ok().and_then(|oid: u32| self.tablespaces.get(&oid))
        {
            return if rest.is_empty() { target.clone() } else { target.join(rest) };
        }
        self.root.join(path)
    }

    /// `tablespace_map` with the places as they are now.
    pub fn tablespace_map(&self) -> Option<String> {
        let mut oids = self.tablespaces.keys().collect::<Vec<_>>();
        oids.sort();
        let line = |oid: &&u32| {
            let path = self.tablespaces[*oid].display().to_string();
            format!("{oid} {}\n", path.replace('\\', "\\\\").replace('\n', "\\\n"))
        };
        (!oids.is_empty()).then(|| oids.iter().map(line).collect())
    }

    /// Gives a file to its owner, when we may.
    pub fn own(&self, path: &Path) -> Result<(), BackupError> {
        match self.owner {
            Some((user, group)) => chown(path, Some(user), Some(group)).map_err(|error| BackupError::Io {
                operation: "give away",
                path: path.to_owned(),
                source: error.into(),
            }),
            None => Ok(()),
        }
    }

    /// Writes the settings of recovery behind what `ALTER SYSTEM` left; those of an older restore go.
    pub fn configure_recovery(&self, settings: &str, tame: bool) -> Result<u64, BackupError> {
        let auto = self.root.join("postgresql.auto.conf");
        let text = fs::read_to_string(&auto).unwrap_or_default();
        let text = if tame {
            // Whoever gives the copy the original's configuration finds it there.
            super::write_small(self, &self.root.join("postgresql.auto.conf.restored"), text.as_bytes())?;
            String::new()
        } else {
            text
        };
        let mut kept = String::new();
        let mut ours = false;
        for line in text.lines() {
            ours = (ours || line == BEGIN) && line != END;
            let name = line.trim_start().split(|c: char| c == '=' || c.is_whitespace()).next().unwrap_or_default();
            if ours || line == END {
                continue;
            }
            if name.starts_with("recovery_target") || name == "restore_command" {
                kept.push_str("# replaced by 'holdfast restore': ");
            }
            kept.push_str(line);
            kept.push('\n');
        }
        let all = format!("{kept}{BEGIN}\n{settings}{END}\n");
        super::write_small(self, &auto, all.as_bytes())?;
        let mut removed = 0;
        for name in ["standby.signal", "postmaster.pid", "postmaster.opts"] {
            removed += u64::from(fs::remove_file(self.root.join(name)).is_ok());
        }
        Ok(removed)
    }

    /// Everything to disk: one call for each file system.
    pub fn sync_all(&self) -> Result<(), BackupError> {
        for directory in std::iter::once(&self.root).chain(self.tablespaces.values()) {
            let file = fs::File::open(directory).map_err(BackupError::io("open", directory))?;
            nix::unistd::syncfs(&file).map_err(|error| BackupError::Io {
                operation: "flush the file system of",
                path: directory.clone(),
                source: error.into(),
            })?;
        }
        Ok(())
    }
}

pub(super) fn make_directory(directory: &Path) -> Result<(), BackupError> {
    fs::create_dir_all(directory).map_err(BackupError::io("create", directory))?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
        .map_err(BackupError::io("set the mode of", directory))
}

/// Only root can and must give files away: PostgreSQL refuses files that are not its user's.
pub(crate) fn owner(root: &Path, wanted: Option<&str>) -> Result<Option<(Uid, Gid)>, BackupError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let by_name = |name: &str| User::from_name(name).ok().flatten().map(|user| (user.uid, user.gid));
    if let Some(name) = wanted {
        return by_name(name).map(Some).ok_or_else(|| {
            BackupError::Invalid(format!("there is no user '{name}' on this machine; correct --owner"))
        });
    }
    let here =
        fs::metadata(root).ok().filter(|it| it.uid() != 0).map(|it| (Uid::from_raw(it.uid()), Gid::from_raw(it.gid())));
    here.or_else(|| by_name("postgres")).map(Some).ok_or_else(|| {
        BackupError::Invalid("there is no user 'postgres' on this machine and PostgreSQL refuses to run as root: name the owner by --owner".to_owned())
    })
}
