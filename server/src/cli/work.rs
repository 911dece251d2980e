//! What the commands about statements and indexes work on: the history that 'holdfast serve' keeps in the store, or the
//! server's own counters.

use super::{Failure, serve};
use crate::config::{ClusterSource, Config};
use clap::{Args, ValueEnum};
use control::now;
use domain::view::Range;
use monitor::WorkStatement;
use pgstat::{Cluster, Limits};
use secrecy::ExposeSecret as _;
use std::collections::HashMap;
use store::{StatementRepo, Store};

/// Where figures are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// The store of a running Holdfast when it knows the cluster, else the server.
    Auto,
    /// The store.
    Store,
    /// The counters of the server, since they were reset.
    Server,
}

/// Which cluster, and where figures are from.
#[derive(Debug, Args)]
pub struct WorkArgs {
    /// Id of the cluster; the first one without it.
    #[arg(long)]
    pub cluster: Option<String>,
    /// Where the statements are from: the store of 'holdfast serve', or the counters of the server itself.
    #[arg(long, value_enum, default_value = "auto")]
    pub source: Source,
    /// How far back in the store: 15m, 1h, 6h, 24h, 7d, 30d.
    #[arg(long, default_value = "24h")]
    pub range: Range,
}

/// One statement with what it did.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What a review needs.
    pub work: WorkStatement,
    /// Longest, since the entry was made.
    pub max_ms: f64,
    /// Rows.
    pub rows: i64,
    /// Temporary files.
    pub temp_bytes: i64,
    /// First seen by Holdfast, when it is from the store.
    pub first_seen_at: Option<domain::Timestamp>,
}

/// All statements of a cluster over some time.
#[derive(Debug)]
pub struct Work {
    /// Id of the cluster.
    pub cluster_id: String,
    /// The cluster.
    pub cluster: Cluster,
    /// In words: from where, and over which time.
    pub said: String,
    /// How long.
    pub window_seconds: f64,
    /// Time of all.
    pub total_ms: f64,
    /// The statements, the dearest first.
    pub statements: Vec<Statement>,
}

/// The chosen cluster.
pub fn source(config: Config, id: Option<&str>) -> Result<ClusterSource, Failure> {
    let mut sources = config.clusters;
    if sources.is_empty() {
        return Err(Failure::usage(
            "no cluster is configured: set DATABASE_URL, or add a [[cluster]] to holdfast.toml",
        ));
    }
    let at = match id {
        None => Some(0),
        Some(id) => sources.iter().position(|source| source.watched.config.id == id),
    };
    let missing = || {
        Failure::usage(format!("no cluster '{}' is configured; 'holdfast config' lists them", id.unwrap_or_default()))
    };
    Ok(sources.swap_remove(at.ok_or_else(missing)?))
}

/// Reads what the arguments ask for.
pub async fn read(args: &WorkArgs) -> Result<Work, Failure> {
    serve::log("error,sqlx=error");
    let config = Config::load()?;
    let store_url = config.store_url.clone();
    let source = source(config, args.cluster.as_deref())?;
    let id = source.watched.config.id.clone();
    let cluster = Cluster::new(source.watched.target, Limits::default());
    if args.source != Source::Server {
        match from_store(store_url.expose_secret(), &id, args.range).await {
            Ok(Some((statements, window_seconds))) => {
                let covered = domain::format::duration_s(window_seconds);
                return Ok(work(
                    id,
                    cluster,
                    format!("from the store, {covered} of the last {}", args.range),
                    window_seconds,
                    statements,
                ));
            }
            Ok(None) if args.source == Source::Store => {
                return Err(Failure::failed(format!(
                    "the store knows no statement of '{id}' in the last {}: does 'holdfast serve' run? --source server asks the server itself",
                    args.range
                )));
            }
            Err(error) if args.source == Source::Store => return Err(error),
            _ => {}
        }
    }
    let reading = cluster.statements().await.map_err(failed)?;
    let keys = reading.rows.iter().map(|row| row.key).collect::<Vec<_>>();
    let texts = cluster.statement_texts(&keys).await.map_err(failed)?;
    let mut texts = texts.into_iter().map(|text| (text.key, text)).collect::<HashMap<_, _>>();
    let statements = reading.rows.iter().filter_map(|row| {
        let text = texts.remove(&row.key)?;
        Some(Statement {
            work: WorkStatement {
                key: row.key,
                database: text.database,
                user: text.user,
                text: text.query,
                calls: row.calls,
                total_ms: row.total_ms,
            },
            max_ms: row.max_ms,
            rows: row.rows,
            temp_bytes: row.temp_blks_written * 8_192,
            first_seen_at: None,
        })
    });
    let statements = statements.collect();
    let since = reading.stats_reset.map(|at| now().seconds_since(at).max(0.0));
    let said = match since {
        Some(seconds) => format!("from the server's counters, reset {} ago", domain::format::duration_s(seconds)),
        None => "from the server's counters, since they began".to_owned(),
    };
    Ok(work(id, cluster, said, since.unwrap_or(0.0), statements))
}

fn work(
    cluster_id: String,
    cluster: Cluster,
    said: String,
    window_seconds: f64,
    mut statements: Vec<Statement>,
) -> Work {
    statements.sort_by(|a, b| b.work.total_ms.total_cmp(&a.work.total_ms));
    let total_ms = statements.iter().map(|it| it.work.total_ms).sum();
    Work { cluster_id, cluster, said, window_seconds, total_ms, statements }
}

/// `None` when the store is not there or knows nothing of the cluster. A store that is not there is not made, and none is
/// migrated from here: a running Holdfast may be of another version.
async fn from_store(url: &str, id: &str, range: Range) -> Result<Option<(Vec<Statement>, f64)>, Failure> {
    if let Some(rest) = url.strip_prefix("sqlite:") {
        let file = rest.trim_start_matches("//").split('?').next().unwrap_or_default();
        if !std::path::Path::new(file).exists() {
            return Ok(None);
        }
    }
    let store = Store::connect(url).await?;
    if store.pending_migrations().await? > 0 {
        return Err(Failure::failed("the store is of an older version: run 'holdfast init', or use --source server"));
    }
    let repo = StatementRepo(store.db());
    let to = range.end(now());
    let from = to.plus_ms(-range.ms());
    let totals = repo.totals(id, from, to).await?;
    if totals.is_empty() {
        return Ok(None);
    }
    let mut records = repo.list(id).await?.into_iter().map(|record| (record.id, record)).collect::<HashMap<_, _>>();
    let statements = totals.iter().filter_map(|total| {
        let record = records.remove(&total.statement_id)?;
        Some(Statement {
            work: WorkStatement {
                key: record.text.key,
                database: record.text.database,
                user: record.text.user,
                text: record.text.query,
                calls: total.calls,
                total_ms: total.total_ms,
            },
            max_ms: total.max_ms,
            rows: total.row_count,
            temp_bytes: total.temp_blks_written * 8_192,
            first_seen_at: Some(record.first_seen_at),
        })
    });
    let statements = statements.collect();
    let covered = repo.covered_since(id, from, to).await?;
    Ok(Some((statements, covered.map_or(0.0, |since| to.seconds_since(since)))))
}

/// A cluster's refusal, with the cure where there is one.
pub fn failed(error: pgstat::PgstatError) -> Failure {
    let cure = match &error {
        pgstat::PgstatError::Unsupported { cure: Some(cure), .. }
        | pgstat::PgstatError::NoPermission { cure: Some(cure), .. } => {
            format!("; {}", cure.replace('\n', " "))
        }
        _ => String::new(),
    };
    Failure::failed(format!("{error}{cure}"))
}
