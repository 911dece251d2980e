//! `holdfast backup export`.

use super::{Failure, find, to_json};
use crate::{
    cli::{
        audited::{allowed, begun, ended},
        long::long,
        print, tablespaces,
    },
    repository::RepositoryArgs,
};
use backup::{ExportFormat, ExportOptions, Progress};
use clap::{Args, ValueEnum};
use domain::format;
use std::{path::PathBuf, sync::Arc, time::Instant};

/// What is exported, where and how.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Its id; the newest without it.
    id: Option<String>,
    /// An empty directory, or one that is not there yet.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// tar: base.tar, OID.tar for each tablespace, pg_wal.tar. plain: a data directory.
    #[arg(long, default_value = "tar")]
    format: Format,
    /// A tablespace's new place: OID=DIR or OLD=DIR; for --format plain each needs one. May be repeated.
    #[arg(long, value_name = "OID=DIR")]
    tablespace: Vec<String>,
    /// Reads at once.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=16))]
    cpu: u16,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Tar,
    Plain,
}

/// Runs `holdfast backup export`.
pub async fn run(args: &RepositoryArgs, export_args: &ExportArgs, json: bool) -> Result<(), Failure> {
    const ACTION: &str = "backup_export";
    let tablespaces = tablespaces::moved(&export_args.tablespace)?;
    let to = std::path::absolute(&export_args.to)
        .map_err(|error| Failure::usage(format!("--to {}: {error}", export_args.to.display())))?;
    let asked = async {
        let repository = args.open().await?;
        let one = find(&repository, export_args.id.as_deref()).await?;
        Ok::<_, Failure>((repository, one))
    };
    let asked = asked.await;
    let (repository, one) = allowed(args, ACTION, None, asked).await?;
    let options = ExportOptions {
        to,
        format: match export_args.format {
            Format::Tar => ExportFormat::Tar,
            Format::Plain => ExportFormat::Plain,
        },
        tablespaces,
        workers: usize::from(export_args.cpu),
    };
    let progress = Arc::new(Progress::default());
    // What leaves the repository is no longer sealed: who took it and where to stands in the log.
    let what = serde_json::json!({ "do": "export", "backup": one.id, "directory": options.to.display().to_string() });
    begun(args, ACTION, None, None, serde_json::json!({ "what": what })).await;
    let since = Instant::now();
    let work = async { Ok(backup::export(&repository, &one, &options, &progress).await?) };
    let done = long("export", json, &progress, work).await;
    let made = |done: &backup::Exported| serde_json::json!({ "backup": done.id, "bytes": done.bytes });
    let done = ended(args, "export_finish", None, done, made).await?;
    print(&if json {
        to_json(&done)?
    } else {
        let check = match options.format {
            ExportFormat::Tar if one.cluster.major() < 18 => {
                "unpack it and check it with pg_verifybackup (tar archives themselves from PostgreSQL 18 on)".to_owned()
            }
            ExportFormat::Tar => format!("check it: pg_verifybackup --no-parse-wal {}", options.to.display()),
            ExportFormat::Plain => format!("check it: pg_verifybackup {}", options.to.display()),
        };
        let mut text = format!(
            "exported {} to {} in {}: {} in {} and {}\n{check}",
            done.id,
            options.to.display(),
            format::duration_s(since.elapsed().as_secs_f64()),
            format::bytes(done.bytes as f64),
            format::counted(done.files, "file", "files"),
            format::counted(done.wal_segments, "WAL segment", "WAL segments"),
        );
        for path in &done.left_out {
            text += &format!("\nnot in it, as pg_basebackup does not take it either: {path}");
        }
        text
    });
    Ok(())
}
