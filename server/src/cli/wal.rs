//! `holdfast wal`: the commands that PostgreSQL calls, and streaming.

use super::{Failure, backup::SourceArgs, failure::complain, interrupts::Interrupts};
use crate::{repository::RepositoryArgs, size::size};
use backup::wal::{Fetched, SlotLimits, StreamOptions, StreamStatus};
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
    /// Stream WAL into the repository, seconds after it was written, until Ctrl-C or SIGTERM.
    Stream {
        #[command(flatten)]
        source: SourceArgs,
        /// The physical replication slot; made when it is not there.
        #[arg(long, default_value = "holdfast")]
        slot: String,
        /// Seconds between two pieces while something is written.
        #[arg(long, default_value_t = 2.0)]
        every: f64,
        /// Write a message with the time into the WAL so often, so that a quiet database too can be restored to any moment.
        #[arg(long, value_name = "SECONDS")]
        heartbeat: Option<f64>,
        /// Drop the slot when it keeps more WAL on the server than this (512MB, 20GB). What the server removes then is lost,
        /// and a new backup is needed; without it the slot stays, and the server's disk may fill while the repository is
        /// away.
        #[arg(long, value_name = "SIZE", value_parser = size)]
        drop_slot_above: Option<u64>,
        /// Drop the slot when the server's disk has less room than this; known only on the server's machine.
        #[arg(long, value_name = "SIZE", value_parser = size)]
        drop_slot_below_free: Option<u64>,
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
        WalCommand::Stream { source, slot, every, heartbeat, drop_slot_above, drop_slot_below_free } => {
            let limits = SlotLimits { most_kept: drop_slot_above, least_free: drop_slot_below_free };
            match stream(args, &source, slot, every, heartbeat, limits, json).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => failure.report(),
            }
        }
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
    heartbeat: Option<f64>,
    limits: SlotLimits,
    json: bool,
) -> Result<(), Failure> {
    if !(0.1..=300.0).contains(&every) {
        return Err(Failure::usage("--every is a number of seconds from 0.1 to 300"));
    }
    if heartbeat.is_some_and(|it| !(0.5..=3_600.0).contains(&it)) {
        return Err(Failure::usage("--heartbeat is a number of seconds from 0.5 to 3600"));
    }
    let info = source.conninfo()?.with_application_name("holdfast wal stream");
    let repository = args.open().await?;
    let options = StreamOptions {
        slot,
        every: Duration::from_secs_f64(every),
        give_up_after: None,
        heartbeat: heartbeat.map(Duration::from_secs_f64),
        limits,
    };
    let (status, stop) = (Arc::new(StreamStatus::default()), CancellationToken::new());
    let work = backup::wal::stream(&repository, &info, &options, &status, &stop);
    tokio::pin!(work);
    let mut interrupts = Interrupts::listen();
    let mut tick = tokio::time::interval(Duration::from_secs(10));
    loop {
        tokio::select! {
            done = &mut work => return Ok(done?),
            () = interrupts.next() => stop.cancel(),
            _ = tick.tick() => {
                let at = |counter: &std::sync::atomic::AtomicU64| Lsn(counter.load(Ordering::Relaxed));
                let (durable, server) = (at(&status.durable), at(&status.server));
                if json {
                    let known = |lsn: Lsn| (lsn.0 > 0).then_some(lsn);
                    super::print(&serde_json::json!({
                        "at": super::backup::now(),
                        "durable": known(durable),
                        "received": known(at(&status.received)),
                        "server": known(server),
                        "behind_bytes": known(server).map(|server| server.bytes_since(durable).max(0)),
                        "objects": status.objects.load(Ordering::Relaxed),
                        "heartbeat_at": status.heartbeat_at(),
                        "slot": status.slot(),
                        "slot_given_up": status.given_up(),
                        "error": status.error(),
                    }).to_string());
                } else if let Some(reason) = status.given_up() {
                    tracing::error!(reason, "the slot was given up: take a new backup");
                } else if durable.0 > 0 {
                    tracing::info!(%durable, %server, "WAL is in the repository");
                }
            }
        }
    }
}
