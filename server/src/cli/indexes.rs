//! `holdfast indexes review`: the guide's `db:review-indexes`.

use super::{
    Failure, print,
    work::{self, WorkArgs, failed},
};
use analysis::{indexes, tables};
use clap::{Args, Subcommand};
use control::now;
use domain::{
    format,
    view::{IndexAdvice, IndexFinding, IndexSuggestion, IndexesPage},
};
use serde::Serialize;

/// What to look at.
#[derive(Debug, Subcommand)]
pub enum IndexesCommand {
    /// Say which indexes are unused, duplicate or invalid, which foreign keys lack one, and which indexes would help the
    /// statements that run. Nothing is made or dropped.
    Review(ReviewArgs),
}

/// Which.
#[derive(Debug, Args)]
pub struct ReviewArgs {
    #[command(flatten)]
    work: WorkArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    cluster: String,
    from: String,
    indexes: IndexesPage,
    advice: IndexAdvice,
}

/// Runs it.
pub async fn run(command: IndexesCommand, json: bool) -> Result<(), Failure> {
    let IndexesCommand::Review(args) = command;
    let work = work::read(&args.work).await?;
    let cluster = &work.cluster;
    let server = cluster.server().await.map_err(failed)?;
    let reading = cluster.indexes().await.map_err(failed)?;
    let name = format!("{} only; standbys are not asked", work.cluster_id);
    let nodes = [indexes::Node { name: &name, reading: &reading, started_at: server.started_at }];
    let mut page = indexes::page(&nodes, None, &[], indexes::Rules::default(), now());
    page.cluster.clone_from(&work.cluster_id);
    let table_reading = cluster.tables().await.map_err(failed)?;
    let table_page = tables::page(&table_reading, None, None, &[], now());
    let statements = work.statements.iter().map(|it| it.work.clone()).collect();
    let review =
        monitor::review(cluster, &work.cluster_id, statements, work.total_ms, work.window_seconds, &table_page.rows)
            .await
            .map_err(failed)?;
    let report = Report { cluster: work.cluster_id, from: work.said, indexes: page, advice: review.advice };
    if json {
        print(&serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print(&text(&report));
    }
    Ok(())
}

fn text(report: &Report) -> String {
    let page = &report.indexes;
    let mut lines = vec![format!(
        "{}: {}, {} could be given back",
        report.cluster,
        format::counted(page.rows.len(), "index", "indexes"),
        format::bytes(page.wasted_bytes as f64)
    )];
    for row in &page.rows {
        for finding in &row.findings {
            let (kind, evidence, sql, undo) = match finding {
                IndexFinding::Unused { evidence, drop_sql, undo_sql } => ("unused", evidence, drop_sql, Some(undo_sql)),
                IndexFinding::Duplicate { evidence, drop_sql, undo_sql, .. } => {
                    ("duplicate", evidence, drop_sql, Some(undo_sql))
                }
                IndexFinding::Invalid { evidence, rebuild_sql } => ("invalid", evidence, rebuild_sql, None),
            };
            lines.push(format!(
                "\n  {kind:<10} {}.{}.{} ({})\n    {evidence}\n    {}{}",
                row.database,
                row.schema,
                row.name,
                format::bytes(row.bytes as f64),
                sql.replace('\n', "\n    "),
                undo.map_or_else(String::new, |undo| format!("\n    undo: {}", undo.replace('\n', " ")))
            ));
        }
    }
    for key in &page.missing_foreign_keys {
        lines.push(format!(
            "\n  no index   {}.{}.{}, {}\n    {}\n    {}\n    undo: {}",
            key.database,
            key.schema,
            key.table,
            key.constraint,
            key.evidence,
            key.create_sql,
            key.undo_sql.replace('\n', " ")
        ));
    }
    if report.advice.suggestions.is_empty() {
        lines.push(format!(
            "\n  no index would save a third of the cost of a statement ({} looked at, {})",
            report.advice.statements, report.from
        ));
    } else {
        lines.push(format!(
            "\n  from {} {}:",
            format::counted(report.advice.statements, "statement", "statements"),
            report.from
        ));
        lines.push(suggestions(&report.advice.suggestions));
    }
    lines.extend(report.advice.left_out.iter().map(|(reason, count)| format!("  not looked at, {count}: {reason}")));
    lines.join("\n")
}

/// Suggestions as text.
pub fn suggestions(all: &[IndexSuggestion]) -> String {
    let one = |it: &IndexSuggestion| {
        format!(
            "\n  would help {}.{}.{} ({}): {:.1} % of all time, {}\n    {}\n    {}\n    {}\n    undo: {}",
            it.database,
            it.schema,
            it.table,
            it.columns.join(", "),
            it.benefit_percent,
            it.basis.label(),
            it.evidence,
            it.cost,
            it.create_sql.replace('\n', "\n    "),
            it.undo_sql.replace('\n', " ")
        )
    };
    all.iter().map(one).collect::<Vec<_>>().join("\n")
}
