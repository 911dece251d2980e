//! A restore test: the backup is restored to a private, tamed copy, started, recovered and checked by PostgreSQL's own
//! programs, and thrown away. What it took is the measured recovery time.
use crate::{
    BackupError,
    create::{Progress, read_control},
    lease::Lease,
    repo::{Manifest, Repository},
    restore::{self, RestoreOptions, RestorePlan},
};
use pgphysical::{
    ClusterOptions, Install, LocalCluster, ShutdownMode,
    replication::{ConnInfo, ReplicationConnection},
};
use serde::Serialize;
use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// How a restore test is done.
#[derive(Clone, Debug)]
pub struct ProofOptions {
    /// An empty directory, removed afterwards.
    pub directory: PathBuf,
    /// `restore_command`.
    pub restore_command: String,
    /// A superuser of the cluster.
    pub superuser: String,
    /// Reads at once.
    pub workers: usize,
    /// Longest time that replay may take.
    pub recovery_timeout: Duration,
}

/// What was proved and how long each step took.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// The backup.
    pub backup: String,
    /// PostgreSQL that started it.
    pub version: String,
    /// Seconds to write the files.
    pub restore_seconds: f64,
    /// Seconds from the start of the server until it took writes.
    pub recovery_seconds: f64,
    /// Seconds of the checks.
    pub check_seconds: f64,
    /// Databases whose tables and indexes were read by `pg_amcheck`.
    pub databases: Vec<String>,
    /// Page checksums were read by `pg_checksums`.
    pub checksums: bool,
    /// What was found wrong; empty when all is well.
    pub problems: Vec<String>,
}

/// Restores, starts, checks, throws away.
///
/// # Errors
/// When the test could not be done. What is wrong with the copy is in the result.
pub async fn test_restore(
    repository: &Repository,
    plan: &RestorePlan,
    manifest: &Manifest,
    options: &ProofOptions,
    progress: &Arc<Progress>,
) -> Result<Proof, BackupError> {
    // Longer than the restore's own: recovery reads WAL until it ends.
    let lease = Lease::share(repository, &plan.backup, "test-restore").await?;
    let done = prove(repository, plan, manifest, options, progress).await;
    if let Some(lease) = lease {
        lease.release().await;
    }
    if let Err(error) = fs::remove_dir_all(&options.directory)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, directory = %options.directory.display(), "the copy of a restore test was not removed whole");
    }
    done
}

async fn prove(
    repository: &Repository,
    plan: &RestorePlan,
    manifest: &Manifest,
    options: &ProofOptions,
    progress: &Arc<Progress>,
) -> Result<Proof, BackupError> {
    let major = plan.backup.cluster.major();
    let install = Install::discover().into_iter().find(|it| it.major == major).ok_or_else(|| {
        BackupError::Invalid(format!(
            "the backup is of PostgreSQL {major}, which is not installed here; a restore test starts it: install postgresql-{major} or set HOLDFAST_PG_BIN"
        ))
    })?;
    let data = options.directory.join("data");
    let restore_options = RestoreOptions {
        to: data.clone(),
        delta: false,
        // Beside the copy: the original's places are taken.
        tablespaces: plan
            .backup
            .tablespaces
            .iter()
            .map(|it| (it.oid.to_string(), options.directory.join(format!("tablespace-{}", it.oid))))
            .collect(),
        workers: options.workers,
        owner: None,
        restore_command: Some(options.restore_command.clone()),
        action: "promote".to_owned(),
        inclusive: true,
        tame: true,
    };
    let begun = Instant::now();
    restore::restore(repository, plan, manifest, &restore_options, progress).await?;
    let restore_seconds = begun.elapsed().as_secs_f64();

    let (_, control) = read_control(&data.join("global/pg_control"))?;
    let cluster_options =
        ClusterOptions { start_timeout: options.recovery_timeout, ..ClusterOptions::new(install.clone(), "") }
            // A hot standby refuses to go below what the original had.
            .setting("max_connections", control.max_connections)
            .setting("max_worker_processes", control.max_worker_processes)
            .setting("max_wal_senders", control.max_wal_senders)
            .setting("max_prepared_transactions", control.max_prepared_transactions)
            .setting("max_locks_per_transaction", control.max_locks_per_transaction)
            .setting("shared_buffers", "64MB")
            .setting("fsync", "off")
            .setting("autovacuum", "off");
    // Only through the socket in a directory of the server's own; nobody else reaches the copy.
    for (name, content) in [
        ("postgresql.conf", "include_if_exists = 'holdfast.conf'\n"),
        ("pg_hba.conf", "local all all trust\n"),
        ("pg_ident.conf", ""),
    ] {
        let path = data.join(name);
        let existed = path.exists();
        fs::write(&path, content).map_err(BackupError::io("write", &path))?;
        if !existed {
            let owner = fs::metadata(&data).map_err(BackupError::io("look at", &data))?;
            let (user, group) =
                (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
            std::os::unix::fs::chown(&path, Some(user), Some(group)).map_err(BackupError::io("give away", &path))?;
        }
    }
    let begun = Instant::now();
    let mut server = LocalCluster::start_in(&options.directory, cluster_options).await?;
    let connect = async |database: &str| {
        let url = format!(
            "postgres://{}@localhost:{}/{database}?host={}",
            options.superuser,
            server.port(),
            server.socket_dir().display()
        );
        ReplicationConnection::connect_sql(&ConnInfo::parse(&url)?, database).await
    };
    let mut sql = connect("postgres").await?;
    loop {
        let rows = sql.query("SELECT pg_is_in_recovery()").await?;
        if rows.first().and_then(|row| row.first()?.as_deref()) == Some("f") {
            break;
        }
        if begun.elapsed() > options.recovery_timeout {
            return Err(BackupError::Failed(format!(
                "recovery did not end in time; the server's last words: {}",
                server.log_tail(3)
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let recovery_seconds = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let mut problems = Vec::new();
    let names = sql.query("SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1").await?;
    let databases = names.into_iter().filter_map(|row| row.into_iter().next()?).collect::<Vec<_>>();
    let (port, socket) = (server.port().to_string(), server.socket_dir());
    let arguments = [
        OsStr::new("--all"),
        OsStr::new("--install-missing"),
        OsStr::new("--heapallindexed"),
        OsStr::new("--host"),
        socket.as_os_str(),
        OsStr::new("--port"),
        OsStr::new(&port),
        OsStr::new("--username"),
        OsStr::new(&options.superuser),
    ];
    if let Err(error) = server.run_program("pg_amcheck", &arguments).await {
        problems.push(error.to_string());
    }
    drop(sql);
    server.stop(ShutdownMode::Fast).await?;
    let checksums = plan.backup.cluster.checksums;
    if checksums
        && let Err(error) =
            server.run_program("pg_checksums", &[OsStr::new("--check"), OsStr::new("-D"), data.as_os_str()]).await
    {
        problems.push(error.to_string());
    }
    Ok(Proof {
        backup: plan.backup.id.clone(),
        version: install.version,
        restore_seconds,
        recovery_seconds,
        check_seconds: begun.elapsed().as_secs_f64(),
        databases,
        checksums,
        problems,
    })
}
