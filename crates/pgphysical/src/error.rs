//! What can go wrong with a local cluster, and what to do about it.
use domain::ErrorKind;
use std::{io, path::PathBuf};

/// A local cluster could not be found, made, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No usable PostgreSQL.
    #[error(
        "no PostgreSQL 15 to 18 was found (looked in {looked}); install one (Debian: apt-get install postgresql) or set HOLDFAST_PG_BIN to the folder that holds initdb and postgres"
    )]
    NoInstall {
        /// Where was looked.
        looked: String,
    },
    /// We are root, and there is nobody to run PostgreSQL as.
    #[error(
        "PostgreSQL refuses to run as root, and there is no user '{user}' to run it as; create it (useradd --system {user}) or set HOLDFAST_PG_USER"
    )]
    NoUser {
        /// The user looked for.
        user: String,
    },
    /// The unprivileged user cannot get to the directory.
    #[error(
        "the user '{user}', as whom PostgreSQL must run, cannot enter {directory}; choose a directory it can reach, for example --dir /var/tmp/holdfast-demo"
    )]
    NotReachable {
        /// The user.
        user: String,
        /// The first directory it cannot enter.
        directory: PathBuf,
    },
    /// A file or directory of the cluster.
    #[error("{operation} {path}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A PostgreSQL program failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Its name.
        program: &'static str,
        /// The last lines it wrote.
        output: String,
    },
    /// The server ended or was not ready in time.
    #[error("PostgreSQL in {directory} did not start: {log}")]
    NotStarted {
        /// Data directory.
        directory: PathBuf,
        /// The last lines of its log.
        log: String,
    },
    /// The server did not stop in time.
    #[error("PostgreSQL in {directory} (pid {pid}) did not stop within {seconds} s")]
    NotStopped {
        /// Data directory.
        directory: PathBuf,
        /// Postmaster.
        pid: i32,
        /// How long was waited.
        seconds: u64,
    },
    /// Another server uses the directory.
    #[error("another PostgreSQL (pid {pid}) is running in {directory}; stop it first or choose another --dir")]
    Running {
        /// Data directory.
        directory: PathBuf,
        /// Postmaster.
        pid: i32,
    },
    /// The directory belongs to another major version.
    #[error(
        "{directory} was made by PostgreSQL {found}, but {wanted} is to run it; remove the directory or set HOLDFAST_PG_BIN"
    )]
    WrongVersion {
        /// Data directory.
        directory: PathBuf,
        /// `PG_VERSION`.
        found: String,
        /// The install's major version.
        wanted: u32,
    },
}

impl ClusterError {
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }

    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoInstall { .. } | Self::NoUser { .. } | Self::NotReachable { .. } | Self::WrongVersion { .. } => {
                ErrorKind::Invalid
            }
            Self::Running { .. } => ErrorKind::Conflict,
            Self::Io { .. } | Self::Program { .. } | Self::NotStarted { .. } | Self::NotStopped { .. } => {
                ErrorKind::Unavailable
            }
        }
    }
}
