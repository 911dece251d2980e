//! `holdfast stats analyze`: the guide's `db:analyze-stats`. ANALYZE where statistics are stale, one table after the other,
//! waiting for no lock.

use super::{
    Failure, print, serve,
    work::{failed, source},
};
use crate::config::Config;
use clap::{Args, Subcommand};
use domain::{format, reading::TableCounters};
use pgstat::{Analyzed, Cluster, Limits};
use serde::Serialize;
use std::time::{Duration, Instant};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum StatsCommand {
    /// Run ANALYZE on the tables that were never analyzed or have changed much since.
    Analyze(AnalyzeArgs),
}

/// Which tables.
#[derive(Debug, Args)]
pub struct AnalyzeArgs {
    /// Id of the cluster; the first one without it.
    #[arg(long)]
    cluster: Option<String>,
    /// Rows changed since the last ANALYZE, in percent of the table, from which its statistics are stale.
    #[arg(long, default_value_t = 10.0)]
    changed_percent: f64,
    /// Longest time for one table, in seconds.
    #[arg(long, default_value_t = 600)]
    timeout_seconds: u64,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// As few changed rows as this are not worth it (`autovacuum_analyze_threshold`).
const AT_LEAST_ROWS: i64 = 50;

#[derive(Debug, Serialize)]
struct Row {
    table: String,
    rows: f64,
    changed: i64,
    reason: String,
    /// `planned`, `done`, `locked`, `not_ours`, `failed`.
    outcome: &'static str,
    seconds: Option<f64>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    cluster: String,
    dry_run: bool,
    tables: usize,
    stale: Vec<Row>,
    /// Databases that could not be read.
    skipped: Vec<(String, String)>,
}

/// Why a table's statistics are stale; `None` when they are not.
fn stale(table: &TableCounters, percent: f64) -> Option<String> {
    if table.last_analyze.is_none() {
        let something = table.rows > 0.0 || table.live_rows > 0 || table.heap_bytes > 0;
        return something.then(|| "never analyzed".to_owned());
    }
    let rows = table.rows.max(table.live_rows as f64).max(1.0);
    let changed = 100.0 * table.changed_since_analyze as f64 / rows;
    (table.changed_since_analyze >= AT_LEAST_ROWS && changed >= percent)
        .then(|| format!("{} rows, {changed:.0} %, changed since", format::count(table.changed_since_analyze as f64)))
}

/// Runs it; fails when a stale table could not be analyzed.
pub async fn run(command: StatsCommand, json: bool) -> Result<(), Failure> {
    let StatsCommand::Analyze(args) = command;
    if !(0.0..=10_000.0).contains(&args.changed_percent) {
        return Err(Failure::usage("--changed-percent is a percentage, 0 or more"));
    }
    serve::log("error,sqlx=error");
    let source = source(Config::load()?, args.cluster.as_deref())?;
    let id = source.watched.config.id.clone();
    let cluster = Cluster::new(source.watched.target, Limits::default());
    if cluster.server().await.map_err(failed)?.role == domain::reading::ServerRole::Standby {
        return Err(Failure::failed(format!("'{id}' is a standby: statistics are renewed on its primary")));
    }
    let reading = cluster.tables().await.map_err(failed)?;
    let mut wanted = reading
        .rows
        .iter()
        .filter_map(|table| stale(table, args.changed_percent).map(|reason| (table, reason)))
        .collect::<Vec<_>>();
    wanted.sort_by_key(|it| std::cmp::Reverse(it.0.changed_since_analyze));
    let mut report = Report {
        cluster: id,
        dry_run: args.dry_run,
        tables: reading.rows.len(),
        stale: Vec::new(),
        skipped: reading.skipped.clone(),
    };
    for (table, reason) in wanted {
        let name = format!("{}.{}.{}", table.database, table.schema, table.name);
        let began = Instant::now();
        let (outcome, error) = if args.dry_run {
            ("planned", None)
        } else {
            let limit = Duration::from_secs(args.timeout_seconds.clamp(1, 86_400));
            match cluster.analyze(&table.database, &table.schema, &table.name, limit).await {
                Ok(Analyzed::Done) => ("done", None),
                Ok(Analyzed::Locked) => {
                    ("locked", Some("somebody holds a lock on it; run this again later".to_owned()))
                }
                Ok(Analyzed::NotOurs) => (
                    "not_ours",
                    Some(format!(
                        "the role \"{}\" does not own it: run this with a URL of its owner, or GRANT pg_maintain (17 and later)",
                        cluster.target().role()
                    )),
                ),
                Err(error) => ("failed", Some(error.to_string())),
            }
        };
        let seconds = (!args.dry_run).then(|| began.elapsed().as_secs_f64());
        let row = Row {
            table: name,
            rows: table.rows,
            changed: table.changed_since_analyze,
            reason,
            outcome,
            seconds,
            error,
        };
        if !json {
            print(&line(&row));
        }
        report.stale.push(row);
    }
    let missed = report.stale.iter().filter(|row| row.outcome != "done" && row.outcome != "planned").count();
    if json {
        print(&serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        let verb = if args.dry_run { "would be analyzed" } else { "had stale statistics" };
        print(&format!("{}: {} of {} tables {verb}", report.cluster, report.stale.len(), report.tables));
        for (database, reason) in &report.skipped {
            print(&format!("  not read: {database}: {reason}"));
        }
    }
    if missed == 0 {
        Ok(())
    } else {
        Err(Failure::failed(format!("{} could not be analyzed", format::counted(missed, "table", "tables"))))
    }
}

fn line(row: &Row) -> String {
    let took = row.seconds.map_or_else(String::new, |seconds| format!(" in {}", format::duration_s(seconds)));
    let error = row.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
    format!("  {:<8} {} ({}){took}{error}", row.outcome, row.table, row.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_stale_when_much_has_changed() {
        let table = |changed: i64| TableCounters {
            rows: 1_000.0,
            changed_since_analyze: changed,
            last_analyze: Some(domain::Timestamp(1)),
            ..TableCounters::default()
        };
        assert_eq!(stale(&table(99), 10.0), None);
        assert!(stale(&table(100), 10.0).is_some());
        // Of a small table a few rows are much, and still few.
        assert_eq!(stale(&TableCounters { rows: 10.0, ..table(40) }, 10.0), None);
        assert_eq!(stale(&TableCounters { last_analyze: None, ..table(0) }, 10.0).as_deref(), Some("never analyzed"));
        assert_eq!(stale(&TableCounters::default(), 10.0), None, "empty");
    }
}
