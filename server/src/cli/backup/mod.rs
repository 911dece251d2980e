//! `holdfast backup`.

mod daily;
mod export;
mod keep;
mod record;
mod test;
mod test_restore;

use super::{
    Failure,
    audited::{allowed, begun, ended},
    long::long,
    print,
};
use crate::{config::Config, repository::RepositoryArgs};
use backup::{BackupType, CreateOptions, Hold, Progress, Repository, SourceKind, Summary};
use clap::{Args, Subcommand, ValueEnum};
use domain::format;
use pgphysical::replication::ConnInfo;
use secrecy::ExposeSecret as _;
use std::sync::Arc;

/// Backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Take a backup.
    Create {
        #[command(flatten)]
        source: SourceArgs,
        /// full, or incremental: only changed pages are stored, and yet it is complete.
        #[arg(long = "type", default_value = "incremental")]
        kind: Kind,
        /// Read the data directory here, or have the server send it; the first when it can be read.
        #[arg(long = "source", value_name = "local|remote")]
        from: Option<From>,
        /// Processor budget: cores (2, 0.5) or a share of this machine's (25%). So many threads read, compress and encrypt,
        /// and they pause so that the whole process stays within it. Without it two threads, without pauses.
        #[arg(long, value_name = "CORES|PERCENT%", value_parser = budget)]
        cpu: Option<f64>,
        /// zstd level, 1 to 19.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=19))]
        level: i32,
        /// Wait for a checkpoint spread over minutes instead of asking for one at once.
        #[arg(long)]
        spread_checkpoint: bool,
    },
    /// List all backups, oldest first.
    List {
        /// List those that were expired and can still be recalled.
        #[arg(long)]
        expired: bool,
    },
    /// Show one backup.
    Show {
        /// Its id; the newest without it.
        id: Option<String>,
    },
    /// Read, decrypt and check every byte of a backup and its WAL.
    Verify {
        /// Its id; the newest without it.
        id: Option<String>,
        /// All backups.
        #[arg(long, conflicts_with = "id")]
        all: bool,
        /// For every day: of each cluster the newest backup and one of the older ones in turn, every byte, so that each
        /// backup is read again once in as many days as there are older ones; and the WAL of the whole recovery window
        /// without an undeclared hole.
        #[arg(long, conflicts_with_all = ["id", "all"])]
        daily: bool,
    },
    /// Restore a backup to a private copy, start it, count its rows, ask the chosen statements, check it with PostgreSQL's own
    /// programs, throw it away: what the restore tests of 'holdfast serve' do.
    TestRestore(test_restore::TestRestoreArgs),
    /// Check that a backup could be taken and WAL be streamed: storage, key, server, rights, replication slot.
    Test {
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Write a backup as pg_basebackup would have: tar archives or a data directory, with a manifest for pg_verifybackup.
    Export(export::ExportArgs),
    /// Keep a backup, whatever retention says.
    Hold(keep::HoldArgs),
    /// Give a held backup back to retention.
    Release {
        /// Its id.
        id: String,
    },
    /// Remove what retention does not keep; shows what it would do unless --yes.
    ///
    /// In two steps: an expired backup is no longer listed, and can be recalled; its objects go in a run after the grace
    /// time. Backups that are being restored, verified or exported stay whole.
    Expire(keep::ExpireArgs),
    /// Take the expiry of a backup back, as long as its objects are there.
    Recall {
        /// Its id, from 'holdfast backup list --expired'.
        id: String,
    },
}

/// Which server.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Id of a configured cluster; the first without it.
    #[arg(long, value_name = "ID")]
    cluster: Option<String>,
}

/// How a backup is made.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// Everything anew.
    Full,
    /// What changed.
    Incremental,
}

/// Where the files come from.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum From {
    /// The data directory.
    Local,
    /// The server.
    Remote,
}

/// A server that backups are taken of, as it is configured.
struct Source {
    info: ConnInfo,
    /// The physical replication slot of its stream.
    slot: String,
    /// Whether 'holdfast serve' streams its WAL.
    streams: bool,
}

impl SourceArgs {
    /// The server's address, as the role that backs up.
    ///
    /// # Errors
    /// When no cluster of that id is configured (2).
    pub fn conninfo(&self) -> Result<ConnInfo, Failure> {
        Ok(self.source()?.info)
    }

    fn source(&self) -> Result<Source, Failure> {
        let config = Config::load()?;
        let found =
            config.clusters.iter().find(|one| self.cluster.as_ref().is_none_or(|id| *id == one.watched.config.id));
        let source = found.ok_or_else(|| match &self.cluster {
            Some(id) => Failure::usage(format!("no cluster '{id}' is configured; 'holdfast config' lists them")),
            None => Failure::usage("no cluster is configured; set DATABASE_URL or write holdfast.toml"),
        })?;
        // The role that watches need not be the one that may back up.
        match config.protected.iter().find(|it| it.cluster == source.watched.config.id) {
            Some(it) => Ok(Source { info: it.source.clone(), slot: it.slot.clone(), streams: it.stream }),
            None => Ok(Source {
                info: ConnInfo::parse(source.url.expose_secret())?,
                slot: "holdfast".to_owned(),
                streams: true,
            }),
        }
    }
}

/// Cores: a number, or a share of the machine's.
fn budget(text: &str) -> Result<f64, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|it| it.is_finite() && *it > 0.0);
    let cores = match text.trim().strip_suffix('%') {
        Some(share) => {
            let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            number(share).filter(|share| *share <= 100.0).map(|share| share / 100.0 * all as f64)
        }
        None => number(text),
    };
    cores
        .filter(|cores| *cores <= 256.0)
        .ok_or_else(|| format!("'{text}' is neither a number of cores like 0.5 or 2 nor a share like 25%"))
}

/// Runs `holdfast backup …`.
pub async fn run(command: BackupCommand, args: &RepositoryArgs, json: bool) -> Result<(), Failure> {
    match command {
        BackupCommand::Create { source, kind, from, cpu, level, spread_checkpoint } => {
            let options = CreateOptions {
                kind: match kind {
                    Kind::Full => BackupType::Full,
                    Kind::Incremental => BackupType::Incremental,
                },
                source: from.map(|from| match from {
                    From::Local => SourceKind::Local,
                    From::Remote => SourceKind::Remote,
                }),
                workers: cpu.map_or(2, |cores| cores.ceil() as usize),
                cpu,
                fast: !spread_checkpoint,
                ..CreateOptions::default()
            };
            create(args, &source, level, &options, json).await
        }
        BackupCommand::List { expired } => list(&args.open().await?, expired, json).await,
        BackupCommand::Show { id } => {
            let repository = args.open().await?;
            let one = find(&repository, id.as_deref()).await?;
            let holds = holds_of(&repository, &one).await?;
            print(&if json { shown(&one, &holds)?.to_string() } else { describe(&one, &holds) });
            Ok(())
        }
        BackupCommand::Export(export_args) => export::run(args, &export_args, json).await,
        BackupCommand::Hold(hold_args) => keep::hold(args, &hold_args, json).await,
        BackupCommand::Release { id } => keep::release(args, &id, json).await,
        BackupCommand::Recall { id } => keep::recall(args, &id, json).await,
        BackupCommand::Verify { daily: true, .. } => daily::run(args, json).await,
        BackupCommand::Verify { id, all, .. } => verify(args, id.as_deref(), all, json).await,
        BackupCommand::TestRestore(test_args) => test_restore::run(args, test_args, json).await,
        BackupCommand::Test { source } => test::run(args, &source, json).await,
        BackupCommand::Expire(expire_args) => keep::expire(args, &expire_args, json).await,
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(Failure::failed)
}

/// A backup by its id, or the newest.
pub async fn find(repository: &Repository, id: Option<&str>) -> Result<Summary, Failure> {
    let mut all = repository.whole_catalogue().await?;
    let found = match id {
        Some(id) => all.backups.into_iter().find(|one| one.id == id),
        None => all.backups.pop(),
    };
    let names_it = |error: &backup::BackupError| {
        id.is_none_or(|id| error.object_key().is_some_and(|key| key.ends_with(&format!("/{id}/commit"))))
    };
    match (found, all.damaged.into_iter().find(names_it), id) {
        (Some(one), _, _) => Ok(one),
        (None, Some(error), _) => Err(error.into()),
        (None, None, Some(id)) => {
            Err(Failure::missing(format!("there is no backup {id}; 'holdfast backup list' shows them")))
        }
        (None, None, None) => {
            Err(Failure::missing("the repository holds no backup yet; 'holdfast backup create' takes one"))
        }
    }
}

async fn create(
    args: &RepositoryArgs,
    source: &SourceArgs,
    level: i32,
    options: &CreateOptions,
    json: bool,
) -> Result<(), Failure> {
    // As it was asked for; a cluster that is not configured is refused.
    let object = source.cluster.as_deref().map(|id| ("cluster", id));
    let info = allowed(args, "backup_start", object, source.conninfo()).await?;
    let info = info.with_application_name("holdfast backup");
    let mut repository = allowed(args, "backup_start", None, args.open().await).await?;
    repository.level = level;
    allowed(args, "backup_start", None, warn_of_gaps(&repository).await).await?;
    let progress = Arc::new(Progress::default());
    let database = info.database.clone();
    let what = serde_json::json!({ "do": "backup", "kind": options.kind.to_string() });
    begun(args, "backup_start", None, None, serde_json::json!({ "what": what })).await;
    let work = async { Ok(backup::create(&repository, &info, &database, options, &progress).await?) };
    let done = long("backup", json, &progress, work).await;
    let made = |one: &Summary| {
        serde_json::json!({
            "backup": one.id,
            "kind": one.kind.to_string(),
            // An incremental was made from another; a full one from nothing.
            "parent": one.parent,
            "stored_bytes": one.stats.stored_bytes,
            "damaged_pages": one.damaged.len(),
        })
    };
    let summary = ended(args, "backup_finish", None, done, made).await?;
    print(&if json { to_json(&summary)? } else { describe(&summary, &[]) });
    if summary.damaged.is_empty() {
        Ok(())
    } else {
        Err(Failure::failed(format!(
            "the backup is there, but {} wrong checksums, the first is page {} of {}: the database is damaged; keep the last clean backup",
            format::counted(summary.damaged.len(), "page of the source has", "pages of the source have"),
            summary.damaged[0].page,
            summary.damaged[0].path
        )))
    }
}

fn describe(one: &Summary, holds: &[Hold]) -> String {
    let stats = &one.stats;
    let size = |bytes: u64| format::bytes(bytes as f64);
    let mut text = format!(
        "{}\n  {} from {} ({}), PostgreSQL {}.{}, cluster {}\n  {} to {}\n  WAL {} to {} on timeline {}\n  {} in {} files; read {}, changed {}, stored {} in {} objects, {} files unchanged\n  {} pages checked, {} damaged; took {} ({} of processor time)",
        one.id,
        one.kind,
        if one.source == SourceKind::Local { "the data directory" } else { "the server" },
        if one.from_standby { "standby" } else { "primary" },
        one.cluster.major(),
        one.cluster.version % 10_000,
        one.cluster.system_identifier,
        one.started_at.to_human(),
        one.stopped_at.to_human(),
        one.start_lsn,
        one.stop_lsn,
        one.timeline,
        size(stats.bytes),
        format::thousands(stats.files.cast_signed()),
        size(stats.read_bytes),
        size(stats.changed_bytes),
        size(stats.stored_bytes),
        stats.objects,
        format::thousands(stats.unchanged_files.cast_signed()),
        format::thousands(stats.checked_pages.cast_signed()),
        one.damaged.len(),
        format::duration_ms(stats.duration_ms as f64),
        format::duration_ms(stats.cpu_ms as f64),
    );
    for tablespace in &one.tablespaces {
        text += &format!("\n  tablespace {} in {}", tablespace.oid, tablespace.location);
    }
    for page in one.damaged.iter().take(DAMAGED_SHOWN) {
        let how = if page.suspected { "is suspected to be damaged (it could not be read again)" } else { "is damaged" };
        text += &format!("\n  page {} of {} {how}", page.page, page.path);
    }
    if one.damaged.len() > DAMAGED_SHOWN {
        text += &format!("\n  and {} pages more; --json shows all", one.damaged.len() - DAMAGED_SHOWN);
    }
    for hold in holds {
        text += &format!("\n  {}", hold.describe());
    }
    text
}

const DAMAGED_SHOWN: usize = 10;

/// Holds of one backup that still count.
async fn holds_of(repository: &Repository, one: &Summary) -> Result<Vec<Hold>, Failure> {
    let now = now();
    let all = repository.holds(one.cluster.system_identifier).await?;
    Ok(all.into_iter().filter(|hold| hold.backup == one.id && hold.holds_at(now)).collect())
}

/// Now, by this machine's clock.
pub fn now() -> domain::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    domain::Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A backup and its holds.
fn shown(one: &Summary, holds: &[Hold]) -> Result<serde_json::Value, Failure> {
    let mut value = serde_json::to_value(one).map_err(Failure::failed)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("holds".to_owned(), serde_json::to_value(holds).map_err(Failure::failed)?);
    }
    Ok(value)
}

/// What a new backup would mend.
async fn warn_of_gaps(repository: &Repository) -> Result<(), Failure> {
    for system in repository.clusters().await? {
        if let Some(why) = repository.backup_needed(system).await? {
            super::complain(&format!("cluster {system}: {why}"));
        }
    }
    Ok(())
}

/// What cannot be read is told after what can, and the command fails.
fn told(damaged: Vec<backup::BackupError>) -> Result<(), Failure> {
    let told = damaged.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    damaged.into_iter().next().map_or(Ok(()), |_| Err(Failure::failed(told)))
}

async fn list(repository: &Repository, expired: bool, json: bool) -> Result<(), Failure> {
    let (mut all, mut holds, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
    for system in repository.clusters().await? {
        if expired {
            all.extend(repository.expired(system).await?);
        } else {
            let catalogue = repository.catalogue(system).await?;
            all.extend(catalogue.backups);
            damaged.extend(catalogue.damaged);
        }
        holds.extend(repository.holds(system).await?);
    }
    all.sort_by(|a, b| (a.stopped_at, &a.id).cmp(&(b.stopped_at, &b.id)));
    if !expired {
        warn_of_gaps(repository).await?;
    }
    let now = now();
    holds.retain(|hold| hold.holds_at(now));
    let held = |one: &Summary| holds.iter().filter(|hold| hold.backup == one.id).cloned().collect::<Vec<_>>();
    if json {
        let all = all.iter().map(|one| shown(one, &held(one))).collect::<Result<Vec<_>, _>>()?;
        print(&serde_json::Value::from(all).to_string());
        return told(damaged);
    }
    let mut text =
        format!("{:<28} {:<12} {:<24} {:>10} {:>10}  {}\n", "id", "type", "ended", "size", "stored", "cluster");
    for one in &all {
        text += &format!(
            "{:<28} {:<12} {:<24} {:>10} {:>10}  {}{}{}\n",
            one.id,
            one.kind,
            one.stopped_at.to_human(),
            format::bytes(one.stats.bytes as f64),
            format::bytes(one.stats.stored_bytes as f64),
            one.cluster.system_identifier,
            if one.damaged.is_empty() { "" } else { "  DAMAGED PAGES" },
            if held(one).is_empty() { "" } else { "  held" },
        );
    }
    print(&text);
    told(damaged)
}

/// How verifications are named in the audit log: as the service names them.
const VERIFY: &str = "backup_verify";
const VERIFY_END: &str = "verify_finish";

async fn verify(args: &RepositoryArgs, id: Option<&str>, all: bool, json: bool) -> Result<(), Failure> {
    let asked = async {
        let repository = args.open().await?;
        let found = match all {
            true => repository.whole_catalogue().await?,
            false => backup::Catalogue { backups: vec![find(&repository, id).await?], damaged: Vec::new() },
        };
        Ok::<_, Failure>((repository, found))
    };
    let object = id.map(|id| ("backup", id));
    let (repository, found) = allowed(args, VERIFY, object, asked.await).await?;
    let what =
        serde_json::json!({ "do": "verify", "backups": found.backups.iter().map(|one| &one.id).collect::<Vec<_>>() });
    begun(args, VERIFY, object, None, serde_json::json!({ "what": what })).await;
    let done = verify_each(&repository, found, json).await;
    let result = |sums: &(usize, u64)| serde_json::json!({ "verified": sums.0, "checked_bytes": sums.1 });
    ended(args, VERIFY_END, object, done, result).await.map(drop)
}

/// How many are sound, and the bytes that were read; fails when one is not.
async fn verify_each(repository: &Repository, found: backup::Catalogue, json: bool) -> Result<(usize, u64), Failure> {
    let backup::Catalogue { backups, damaged } = found;
    let (mut bad, mut checked_bytes) = (0, 0);
    for one in &backups {
        let progress = Arc::new(Progress::default());
        let work = async { Ok(backup::verify(repository, one, &progress).await?) };
        let begun = now();
        let found = long("verify", json, &progress, work).await?;
        record::verified(repository, one, begun, &found).await;
        bad += usize::from(!found.problems.is_empty());
        checked_bytes += found.checked_bytes;
        if json {
            print(&to_json(&found)?);
        } else {
            let verdict = if found.problems.is_empty() { "good" } else { "BAD" };
            print(&format!(
                "{}  {verdict}: {}, {}, {} checked; WAL without a hole up to {}",
                found.id,
                format::counted(found.files, "file", "files"),
                format::counted(found.pages, "page", "pages"),
                format::bytes(found.checked_bytes as f64),
                found.wal_until
            ));
            for problem in &found.problems {
                print(&format!("  {problem}"));
            }
        }
    }
    told(damaged)?;
    if bad == 0 {
        Ok((backups.len(), checked_bytes))
    } else {
        Err(Failure::failed(format!(
            "{bad} of {} cannot be restored whole; take a full backup now",
            format::counted(backups.len(), "backup", "backups")
        )))
    }
}
