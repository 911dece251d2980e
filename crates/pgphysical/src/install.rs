//! Finding installed PostgreSQL programs.
use crate::ClusterError;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// Versions that a cluster is run with.
const SUPPORTED: std::ops::RangeInclusive<u32> = 15..=18;

/// Versions that can be watched.
const WATCHED: std::ops::RangeInclusive<u32> = 13..=18;

/// One installed PostgreSQL with the programs to make and run a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// The folder of `initdb`, `postgres`, `pg_basebackup`.
    pub bin_dir: PathBuf,
    /// Major version: 15.
    pub major: u32,
    /// Version as it calls itself: `15.18`.
    pub version: String,
}

impl Install {
    /// One for each major version found, the newest first. `HOLDFAST_PG_BIN` (folders separated by `:`) goes first,
    /// then `PATH`, Debian's and Red Hat's folders, and the packages of PyPI and npm unpacked in the tool folder
    /// (`HOLDFAST_TOOLS`); `HOLDFAST_PG_ONLY` replaces all of these. An install without `pg_basebackup` is taken only when there is no complete one.
    pub fn discover() -> Vec<Self> {
        Self::discover_among(&SUPPORTED)
    }

    /// As [`Self::discover`], with the versions that are only watched: nothing is backed up or run with them.
    pub fn discover_watched() -> Vec<Self> {
        Self::discover_among(&WATCHED)
    }

    fn discover_among(majors: &std::ops::RangeInclusive<u32>) -> Vec<Self> {
        let mut found = BTreeMap::<u32, Self>::new();
        for bin_dir in candidates() {
            let Some(install) = Self::look(&bin_dir) else { continue };
            if !majors.contains(&install.major) {
                continue;
            }
            match found.get(&install.major) {
                Some(other) if other.is_complete() || !install.is_complete() => {}
                _ => {
                    found.insert(install.major, install);
                }
            }
        }
        found.into_values().rev().collect()
    }

    /// The one to use when nobody chose: the newest complete one.
    ///
    /// # Errors
    /// [`ClusterError::NoInstall`] says where was looked.
    pub fn best() -> Result<Self, ClusterError> {
        Self::discover().into_iter().find(Self::is_complete).ok_or_else(|| ClusterError::NoInstall {
            looked: "HOLDFAST_PG_BIN, PATH, /usr/lib/postgresql, /usr/pgsql-*, the tool folder".to_owned(),
        })
    }

    /// What is in one folder, whatever its version.
    fn look(bin_dir: &Path) -> Option<Self> {
        if !bin_dir.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(bin_dir.join("postgres")).arg("--version").output().ok()?;
        // postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.split_whitespace().nth(2)?.to_owned();
        let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        Some(Self { bin_dir: bin_dir.to_owned(), major, version })
    }

    /// Whether a standby can be made with it.
    pub fn is_complete(&self) -> bool {
        self.bin_dir.join("pg_basebackup").is_file()
    }

    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// Whether the server has the files of an extension.
    pub fn has_extension(&self, name: &str) -> bool {
        // SHAREDIR lies beside bin in the packages of npm and PyPI, and elsewhere in Debian's.
        let file = format!("extension/{name}.control");
        let share = [
            self.bin_dir.join("../share"),
            self.bin_dir.join("../share/postgresql"),
            PathBuf::from(format!("/usr/share/postgresql/{}", self.major)),
        ];
        share.iter().any(|share| share.join(&file).is_file())
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    // For those who must not get any other, and for the tests.
    if let Some(only) = std::env::var_os("HOLDFAST_PG_ONLY") {
        return std::env::split_paths(&only).collect();
    }
    for variable in ["HOLDFAST_PG_BIN", "PATH"] {
        if let Some(value) = std::env::var_os(variable) {
            folders.extend(std::env::split_paths(&value));
        }
    }
    folders.extend(children("/usr/lib/postgresql", "bin"));
    folders.extend(WATCHED.map(|major| PathBuf::from(format!("/usr/pgsql-{major}/bin"))));
    folders.extend(["/usr/local/pgsql/bin", "/opt/homebrew/bin"].map(PathBuf::from));
    let tools = tool_folder().join("postgresql");
    for inside in ["bin", "pginstall/bin", "native/bin"] {
        folders.extend(children(&tools, inside));
    }
    folders
}

/// `HOLDFAST_TOOLS`, or the same place where `script/setup` puts what it fetches.
fn tool_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("HOLDFAST_TOOLS") {
        return folder.into();
    }
    if nix::unistd::Uid::effective().is_root() {
        return "/var/cache/holdfast".into();
    }
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .unwrap_or_else(|| "/tmp".into())
        .join("holdfast")
}

fn children(folder: impl AsRef<Path>, inside: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found =
        entries.flatten().map(|entry| entry.path().join(inside)).filter(|path| path.is_dir()).collect::<Vec<_>>();
    found.sort();
    found
}
