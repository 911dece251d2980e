//! `holdfast restore`.

use super::{
    Failure,
    audited::{allowed, begun, ended},
    long::long,
    print, tablespaces,
};
use crate::repository::RepositoryArgs;
use backup::{
    Progress,
    restore::{self, RestoreOptions, RestoreRequest, Target},
};
use clap::{Args, ValueEnum};
use domain::{Lsn, format};
use std::{path::PathBuf, sync::Arc};

/// What to restore, until when, and where.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The new data directory.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Until the last commit before this moment, with offset: 2026-11-24T02:00:00Z.
    #[arg(long, value_name = "TIME", group = "target")]
    time: Option<String>,
    /// Until this position.
    #[arg(long, value_name = "LSN", group = "target")]
    lsn: Option<Lsn>,
    /// Until this transaction.
    #[arg(long, value_name = "XID", group = "target")]
    xid: Option<u64>,
    /// Until this point, made by pg_create_restore_point.
    #[arg(long, value_name = "NAME", group = "target")]
    name: Option<String>,
    /// Only until the copy is consistent.
    #[arg(long, group = "target")]
    immediate: bool,
    /// Stop before the target instead of behind it.
    #[arg(long)]
    exclusive: bool,
    /// Which backup; the newest that fits without it.
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    /// Which cluster, by its system identifier, when the repository holds several.
    #[arg(long, value_name = "SYSTEM")]
    cluster: Option<u64>,
    /// Which timeline; the newest without it.
    #[arg(long)]
    timeline: Option<u32>,
    /// Say what would be done and do nothing.
    #[arg(long)]
    plan: bool,
    /// The directory holds a stopped copy of the same cluster: fetch only what differs.
    #[arg(long)]
    delta: bool,
    /// A tablespace's new place: OID=DIR or OLD=DIR. May be repeated.
    #[arg(long, value_name = "OID=DIR")]
    tablespace: Vec<String>,
    /// Reads at once.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    cpu: u16,
    /// Who owns the files, when this runs as root.
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
    /// What the server does at the target.
    #[arg(long, default_value = "promote")]
    action: Action,
    /// Keep the copy from acting on the world: no archiving, no replication, no preloaded libraries.
    #[arg(long)]
    tame: bool,
    /// Write no restore_command; WAL is brought by other means.
    #[arg(long)]
    no_restore_command: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Action {
    Promote,
    Pause,
    Shutdown,
}

impl RestoreArgs {
    fn target(&self) -> Result<Target, Failure> {
        Ok(match (&self.time, self.lsn, self.xid, &self.name, self.immediate) {
            (Some(text), ..) => Target::time(text)?,
            (_, Some(lsn), ..) => Target::Lsn(lsn),
            (_, _, Some(xid), ..) => Target::Xid(xid),
            (_, _, _, Some(name), _) => Target::Name(name.clone()),
            (.., true) => Target::Immediate,
            _ => Target::Latest,
        })
    }
}

/// Runs `holdfast restore`.
pub async fn run(args: RestoreArgs, repository_args: &RepositoryArgs, json: bool) -> Result<(), Failure> {
    let tablespaces = tablespaces::moved(&args.tablespace)?;
    let planned = async {
        let target = args.target()?;
        let repository = repository_args.open().await?;
        let (system, backup, timeline) = (args.cluster, args.backup.clone(), args.timeline);
        let request = RestoreRequest { system, backup, target, timeline };
        let (plan, manifest) = restore::plan(&repository, &request).await?;
        Ok::<_, Failure>((repository, plan, manifest))
    };
    let planned = planned.await;
    let planned = if args.plan { planned } else { allowed(repository_args, "restore_start", None, planned).await };
    let (repository, plan, manifest) = planned?;
    if args.plan || !json {
        print(&if json { serde_json::to_string(&plan).map_err(Failure::failed)? } else { describe(&plan) });
    }
    if args.plan {
        return Ok(());
    }
    let restore_command = match args.no_restore_command {
        true => None,
        false => {
            Some(format!("{} wal fetch %f %p", repository_args.command_line(repository.file().encryption != "none")?))
        }
    };
    let options = RestoreOptions {
        to: std::path::absolute(&args.to)
            .map_err(|error| Failure::usage(format!("--to {}: {error}", args.to.display())))?,
        delta: args.delta,
        tablespaces,
        workers: usize::from(args.cpu),
        owner: args.owner.clone(),
        restore_command,
        action: match args.action {
            Action::Promote => "promote",
            Action::Pause => "pause",
            Action::Shutdown => "shutdown",
        }
        .to_owned(),
        inclusive: !args.exclusive,
        tame: args.tame,
    };
    let progress = Arc::new(Progress::default());
    let work = async { Ok(restore::restore(&repository, &plan, &manifest, &options, &progress).await?) };
    let what = serde_json::json!({
        "do": "restore",
        "backup": plan.backup.id,
        "target": shown(&plan.target),
        "directory": options.to.display().to_string(),
        "delta": options.delta,
    });
    let before = control::lies_in(&options.to);
    begun(repository_args, "restore_start", None, Some(before), serde_json::json!({ "what": what })).await;
    let since = std::time::Instant::now();
    let done = long("restore", json, &progress, work).await;
    let seconds = since.elapsed().as_secs_f64();
    let made = |restored: &restore::Restored| {
        serde_json::json!({
            "directory": options.to.display().to_string(),
            "written_bytes": restored.written_bytes,
        })
    };
    let restored = ended(repository_args, "restore_finish", None, done, made).await?;
    print(&if json {
        serde_json::json!({"plan": plan, "restored": restored, "seconds": seconds}).to_string()
    } else {
        format!(
            "restored into {} in {}: {} written, {} were there already, {} read\n{}",
            options.to.display(),
            format::duration_s(seconds),
            format::bytes(restored.written_bytes as f64),
            format::bytes(restored.kept_bytes as f64),
            format::bytes(restored.fetched_bytes as f64),
            how_to_start(plan.backup.cluster.major(), &options.to)
        )
    });
    Ok(())
}

/// Files of one major version are refused by the programs of every other.
fn how_to_start(major: u32, data: &std::path::Path) -> String {
    let found = pgphysical::Install::discover().into_iter().find(|it| it.major == major);
    match found {
        Some(install) => format!("start it: {} -D {} start", install.program("pg_ctl").display(), data.display()),
        None => format!(
            "it is of PostgreSQL {major}, which is not installed here, and no other major version starts it: install that, then pg_ctl -D {} start",
            data.display()
        ),
    }
}

fn shown(target: &Target) -> String {
    match target {
        Target::Latest => "the end of the WAL".to_owned(),
        Target::Immediate => "the end of the backup".to_owned(),
        Target::Time(text, _) => text.clone(),
        Target::Lsn(lsn) => lsn.to_string(),
        Target::Xid(xid) => format!("transaction {xid}"),
        Target::Name(name) => format!("restore point '{name}'"),
    }
}

fn describe(plan: &restore::RestorePlan) -> String {
    let target = shown(&plan.target);
    let mut text = format!(
        "backup   {} ({}, ended {})\ntarget   {target}, timeline {}\nfiles    {} in {}\nWAL      up to {} to replay; there without a hole up to {}",
        plan.backup.id,
        plan.backup.kind,
        plan.backup.stopped_at.to_human(),
        plan.timeline,
        format::bytes(plan.bytes as f64),
        format::thousands(plan.files.cast_signed()),
        format::bytes(plan.wal_bytes as f64),
        plan.wal_until
    );
    if let Some(at) = plan.last_commit {
        text += &format!("\n         the last commit in it is of {}", at.to_human());
    }
    for note in &plan.notes {
        text += &format!("\nnote     {note}");
    }
    text
}
