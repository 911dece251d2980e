//! `holdfast queries slow` and `queries review`: what the guide's `db:analyze-slow-queries` and
//! `db:query-optimization-review` ask for.

use super::{
    Failure, print,
    work::{self, Statement, Work, WorkArgs, failed},
};
use crate::config::Config;
use analysis::{plan, sqltext, tables};
use clap::{Args, Subcommand};
use control::now;
use domain::{
    format,
    view::{IndexSuggestion, PlanFinding},
};
use serde::Serialize;

/// What to look at.
#[derive(Debug, Subcommand)]
pub enum QueriesCommand {
    /// List the statements whose mean time is over SLOW_QUERY_THRESHOLD, the slowest first.
    Slow(SlowArgs),
    /// Plan the statements that cost most, and say what stands out and which indexes would help.
    Review(ReviewArgs),
}

/// How many.
#[derive(Debug, Args)]
pub struct SlowArgs {
    #[command(flatten)]
    work: WorkArgs,
    /// Statements at most.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Mean time in milliseconds from which a statement is slow; SLOW_QUERY_THRESHOLD without it.
    #[arg(long)]
    threshold_ms: Option<f64>,
}

/// How many.
#[derive(Debug, Args)]
pub struct ReviewArgs {
    #[command(flatten)]
    work: WorkArgs,
    /// Statements at most.
    #[arg(long, default_value_t = 10)]
    limit: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    database: String,
    user: String,
    query: String,
    calls: i64,
    mean_ms: f64,
    max_ms: f64,
    total_ms: f64,
    total_percent: f64,
    rows_per_call: f64,
    temp_bytes: i64,
    /// When Holdfast first saw it; none from the server's own counters.
    first_seen_at: Option<domain::Timestamp>,
}

#[derive(Debug, Serialize)]
struct Slow {
    cluster: String,
    from: String,
    threshold_ms: f64,
    statements: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Reviewed {
    #[serde(flatten)]
    row: Row,
    /// The nodes that read tables; none when it could not be planned.
    plan: Option<String>,
    cost: Option<f64>,
    findings: Vec<PlanFinding>,
    /// Keys of the suggestions that help it.
    suggestions: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    cluster: String,
    from: String,
    statements: Vec<Reviewed>,
    suggestions: Vec<IndexSuggestion>,
    left_out: Vec<(String, i64)>,
}

/// Runs one.
pub async fn run(command: QueriesCommand, json: bool) -> Result<(), Failure> {
    match command {
        QueriesCommand::Slow(args) => slow(args, json).await,
        QueriesCommand::Review(args) => review(args, json).await,
    }
}

fn row(it: &Statement, all_ms: f64) -> Row {
    let calls = it.work.calls.max(1) as f64;
    Row {
        id: it.work.key.to_string(),
        database: it.work.database.clone(),
        user: it.work.user.clone(),
        query: sqltext::one_line(&it.work.text, 400),
        calls: it.work.calls,
        mean_ms: it.work.total_ms / calls,
        max_ms: it.max_ms,
        total_ms: it.work.total_ms,
        total_percent: if all_ms > 0.0 { 100.0 * it.work.total_ms / all_ms } else { 0.0 },
        rows_per_call: it.rows as f64 / calls,
        temp_bytes: it.temp_bytes,
        first_seen_at: it.first_seen_at,
    }
}

async fn slow(args: SlowArgs, json: bool) -> Result<(), Failure> {
    let threshold_ms = match args.threshold_ms {
        Some(threshold) if threshold >= 0.0 => threshold,
        Some(_) => return Err(Failure::usage("--threshold-ms is a number of milliseconds, 0 or more")),
        None => Config::load()?.slow_threshold_ms,
    };
    let work = work::read(&args.work).await?;
    let mut rows = work
        .statements
        .iter()
        .filter(|it| !sqltext::is_own(&it.work.text))
        .map(|it| row(it, work.total_ms))
        .filter(|row| row.calls > 0 && row.mean_ms >= threshold_ms)
        .collect::<Vec<_>>();
    rows.sort_by(|a, b| b.mean_ms.total_cmp(&a.mean_ms));
    let found = rows.len();
    rows.truncate(args.limit);
    if json {
        let slow = Slow { cluster: work.cluster_id, from: work.said, threshold_ms, statements: rows };
        print(&serde_json::to_string_pretty(&slow).unwrap_or_default());
        return Ok(());
    }
    let mut lines = vec![format!(
        "{}: {found} statements with a mean of {} and more ({})",
        work.cluster_id,
        format::duration_ms(threshold_ms),
        work.said
    )];
    lines.extend(rows.iter().map(line));
    print(&lines.join("\n"));
    Ok(())
}

fn line(row: &Row) -> String {
    let temp = if row.temp_bytes > 0 {
        format!(", {} of temporary files", format::bytes(row.temp_bytes as f64))
    } else {
        String::new()
    };
    format!(
        "\n  {:>9} mean, {:>9} max, {} calls, {:.1} % of all time{temp}\n  {} as {}  [{}]\n    {}",
        format::duration_ms(row.mean_ms),
        format::duration_ms(row.max_ms),
        format::count(row.calls as f64),
        row.total_percent,
        row.database,
        row.user,
        row.id,
        sqltext::one_line(&row.query, 200)
    )
}

async fn review(args: ReviewArgs, json: bool) -> Result<(), Failure> {
    let work = work::read(&args.work).await?;
    let Work { cluster_id, cluster, said, window_seconds, total_ms, statements } = work;
    let settings = cluster.settings().await.map_err(failed)?;
    let reading = cluster.tables().await.map_err(failed)?;
    let page = tables::page(&reading, None, Some(&settings), &[], now());
    let chosen =
        statements.into_iter().filter(|it| !sqltext::is_own(&it.work.text)).take(args.limit).collect::<Vec<_>>();
    let wanted = chosen.iter().map(|it| it.work.clone()).collect();
    let review =
        monitor::review(&cluster, &cluster_id, wanted, total_ms, window_seconds, &page.rows).await.map_err(failed)?;
    let setting =
        |name: &str| settings.rows.iter().find(|row| row.name == name).and_then(|row| row.setting.parse::<f64>().ok());
    let reviewed = chosen.iter().map(|it| {
        let explained = review.plans.iter().find(|plan| plan.0 == it.work.key).map(|plan| &plan.1);
        let read = explained.and_then(|explained| {
            let mut read = plan::read(&explained.json).ok()?;
            let known = plan::Known {
                database: &it.work.database,
                tables: &page.rows,
                work_mem_bytes: setting("work_mem").map(|kib| kib * 1_024.0),
                hash_mem_multiplier: setting("hash_mem_multiplier"),
                method: explained.method,
            };
            plan::judge(&mut read.root, known);
            Some(read)
        });
        let id = it.work.key.to_string();
        let helps = |suggestion: &&IndexSuggestion| suggestion.statements.iter().any(|helped| helped.id == id);
        Reviewed {
            row: row(it, total_ms),
            plan: read.as_ref().map(|read| plan::shape(&read.root)),
            cost: read.as_ref().map(|read| read.root.total_cost),
            findings: read.as_ref().map(|read| plan::findings(&read.root)).unwrap_or_default(),
            suggestions: review.advice.suggestions.iter().filter(helps).map(|it| it.key.clone()).collect(),
        }
    });
    let report = Report {
        cluster: cluster_id,
        from: said,
        statements: reviewed.collect(),
        suggestions: review.advice.suggestions,
        left_out: review.advice.left_out,
    };
    if json {
        print(&serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print(&text(&report));
    }
    Ok(())
}

fn text(report: &Report) -> String {
    let mut lines = vec![format!(
        "{}: the {} statements that cost most ({})",
        report.cluster,
        report.statements.len(),
        report.from
    )];
    for it in &report.statements {
        lines.push(line(&it.row));
        match (&it.plan, it.cost) {
            (Some(plan), Some(cost)) => lines.push(format!("    plan: cost {}, {plan}", format::count(cost))),
            _ => lines.push("    plan: none".to_owned()),
        }
        lines.extend(it.findings.iter().map(|finding| format!("    ! {}: {}", finding.title, finding.detail)));
        lines.extend(it.suggestions.iter().map(|key| format!("    + {key}")));
    }
    if !report.suggestions.is_empty() {
        lines.push(super::indexes::suggestions(&report.suggestions));
    }
    lines.extend(report.left_out.iter().map(|(reason, count)| format!("  not looked at, {count}: {reason}")));
    lines.join("\n")
}
