//! `holdfast wal`: the commands that PostgreSQL calls, and streaming.

use super::{Failure, backup::SourceArgs, failure::complain};
use crate::repository::RepositoryArgs;
use backup::wal::{Fetched, StreamOptions, StreamStatus};
use clap::Subcommand;
use domain::Lsn;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Write-ahead log.
#[derive(Debug, Subcommand)]
pub enum WalCommand {
    /// Stream WAL into the repository, seconds after it was written, until Ctrl-C.
    Stream {
        #[command(flatten)]
        source: SourceArgs,
        /// The physical replication slot; made when it is not there.
        #[arg(long, default_value = "holdfast")]
        slot: String,
        /// Seconds between two pieces while something is written.
        #[arg(long, default_value_t = 2.0)]
        every: f64,
    },
    /// Archive one file: archive_command = 'holdfast --repo … wal push %p'.
    Push {
        /// The file, as PostgreSQL names it by %p.
        path: PathBuf,
    },
    /// Fetch one file: restore_command = 'holdfast --repo … wal fetch %f %p'.
    Fetch {
        /// Its name (%f).
        name: String,
        /// Where to put it (%p).
        to: PathBuf,
    },
}

/// Recovery must stop at this: PostgreSQL takes every code up to 125 for "not there" and would end recovery early.
const STOP_RECOVERY: u8 = 126;

/// Runs `holdfast wal …`. Exit codes of `push`: 0 durable, 1 try again. Of `fetch`: 0 delivered, 1 certainly not there,
/// 126 anything else.
pub async fn run(command: WalCommand, args: &RepositoryArgs, json: bool) -> ExitCode {
    match command {
        WalCommand::Stream { source, slot, every } => match stream(args, &source, slot, every, json).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        },
        WalCommand::Push { path } => {
            let pushed = async {
                // %p is relative to the data directory, which is the working directory of archive_command.
                let data = path.parent().and_then(Path::parent).filter(|it| !it.as_os_str().is_empty());
                let data = data.map_or_else(|| PathBuf::from("."), Path::to_owned);
                Ok(backup::wal::push(&args.open().await?, &data, &path).await?)
            };
            match pushed.await {
                Ok(()) => ExitCode::SUCCESS,
                Err::<(), Failure>(failure) => {
                    let _ = failure.report();
                    ExitCode::FAILURE
                }
            }
        }
        WalCommand::Fetch { name, to } => {
            let fetched = async { Ok(backup::wal::fetch(&args.open().await?, Path::new("."), &name, &to).await?) };
            match fetched.await {
                Ok(Fetched::Delivered) => ExitCode::SUCCESS,
                Ok(Fetched::Absent) => ExitCode::from(1),
                Err::<_, Failure>(failure) => {
                    let _ = failure.report();
                    complain(
                        "recovery stops here rather than end before the data; mend the cause and start the server again: it goes on",
                    );
                    ExitCode::from(STOP_RECOVERY)
                }
            }
        }
    }
}

async fn stream(
    args: &RepositoryArgs,
    source: &SourceArgs,
    slot: String,
    every: f64,
    json: bool,
) -> Result<(), Failure> {
    if !(0.1..=300.0).contains(&every) {
        return Err(Failure::usage("--every is a number of seconds from 0.1 to 300"));
    }
    let info = source.conninfo()?.with_application_name("holdfast wal stream");
    let repository = args.open().await?;
    let options = StreamOptions { slot, every: Duration::from_secs_f64(every), give_up_after: None };
    let (status, stop) = (Arc::new(StreamStatus::default()), CancellationToken::new());
    let work = backup::wal::stream(&repository, &info, &options, &status, &stop);
    tokio::pin!(work);
    let mut tick = tokio::time::interval(Duration::from_secs(10));
    loop {
        tokio::select! {
            done = &mut work => return Ok(done?),
            _ = tokio::signal::ctrl_c() => stop.cancel(),
            _ = tick.tick() => {
                let at = |counter: &std::sync::atomic::AtomicU64| Lsn(counter.load(Ordering::Relaxed));
                let (durable, server) = (at(&status.durable), at(&status.server));
                if json {
                    super::print(&serde_json::json!({"durable": durable, "received": at(&status.received), "server": server, "behind_bytes": server.bytes_since(durable).max(0)}).to_string());
                } else if durable.0 > 0 {
                    tracing::info!(%durable, %server, "WAL is in the repository");
                }
            }
        }
    }
}
