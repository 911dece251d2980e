//! Few indexes for many statements, and the scripts that make them.
use super::{Candidate, Rules, rows_by, size_bytes};
use crate::indexes::quote;
use domain::{
    format,
    reading::AdviceTable,
    view::{AdviceBasis, HelpedStatement, IndexSuggestion},
};
use std::collections::BTreeMap;

/// A candidate with what it does to one statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Which statement.
    pub statement: usize,
    /// Which candidate.
    pub candidate: Candidate,
    /// How the costs were had.
    pub basis: AdviceBasis,
    /// Cost without.
    pub before: f64,
    /// Cost with.
    pub after: f64,
    /// Its size, when the server told it.
    pub bytes: Option<i64>,
}

impl Trial {
    /// Part of the cost that is saved, 0 to 1.
    pub fn saving(&self) -> f64 {
        if self.before > 0.0 { ((self.before - self.after) / self.before).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// A statement as it is weighed.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighed {
    /// Id for `/queries/{id}`.
    pub id: String,
    /// Text on one line.
    pub query: String,
    /// Calls in the window.
    pub calls: i64,
    /// Share of all statements' time.
    pub total_percent: f64,
}

/// Chooses: the index that saves most first, then whatever still helps a statement that none chosen before helps as well.
pub fn choose(
    database: &str,
    trials: &[Trial],
    statements: &[Weighed],
    tables: &[AdviceTable],
    writes: impl Fn(&AdviceTable) -> Option<f64>,
    rules: Rules,
) -> Vec<IndexSuggestion> {
    let mut by_candidate = BTreeMap::<&Candidate, Vec<&Trial>>::new();
    for trial in trials {
        if 100.0 * trial.saving() >= rules.saving_at_least_percent {
            by_candidate.entry(&trial.candidate).or_default().push(trial);
        }
    }
    let share = |trial: &Trial| statements.get(trial.statement).map_or(0.0, |it| it.total_percent);
    // The best saving that a chosen index gives each statement.
    let mut served = BTreeMap::<usize, f64>::new();
    let mut chosen = Vec::new();
    loop {
        let gain = |trials: &[&Trial]| {
            trials
                .iter()
                .map(|it| share(it) * (it.saving() - served.get(&it.statement).copied().unwrap_or(0.0)).max(0.0))
                .sum::<f64>()
        };
        let best = by_candidate
            .iter()
            .map(|(candidate, trials)| (gain(trials), *candidate))
            // Of two that gain alike the one with fewer columns.
            .max_by(|a, b| {
                a.0.total_cmp(&b.0).then_with(|| b.1.columns.len().cmp(&a.1.columns.len())).then_with(|| b.1.cmp(a.1))
            });
        let Some((gained, candidate)) = best else { break };
        let Some(trials) = by_candidate.remove(candidate) else { break };
        let fresh = trials.iter().any(|it| {
            it.saving() - served.get(&it.statement).copied().unwrap_or(0.0) >= rules.saving_at_least_percent / 100.0
        });
        if gained <= 0.0 && !fresh {
            break;
        }
        if !fresh {
            continue;
        }
        for trial in &trials {
            let entry = served.entry(trial.statement).or_insert(0.0);
            *entry = entry.max(trial.saving());
        }
        if let Some(table) = tables.get(candidate.table) {
            chosen.push(suggestion(database, candidate, table, &trials, statements, writes(table), gained));
        }
    }
    chosen
}

fn suggestion(
    database: &str,
    candidate: &Candidate,
    table: &AdviceTable,
    trials: &[&Trial],
    statements: &[Weighed],
    writes: Option<f64>,
    benefit: f64,
) -> IndexSuggestion {
    let columns = candidate
        .columns
        .iter()
        .map(|(name, descending)| format!("{name}{}", if *descending { " DESC" } else { "" }))
        .collect::<Vec<_>>();
    let mut helped = trials
        .iter()
        .filter_map(|trial| {
            let statement = statements.get(trial.statement)?;
            Some(HelpedStatement {
                id: statement.id.clone(),
                query: statement.query.clone(),
                calls: statement.calls,
                total_percent: statement.total_percent,
                cost_before: trial.before,
                cost_after: trial.after,
                saving_percent: 100.0 * trial.saving(),
            })
        })
        .collect::<Vec<_>>();
    helped.sort_by(|a, b| (b.total_percent * b.saving_percent).total_cmp(&(a.total_percent * a.saving_percent)));
    let basis = trials.iter().map(|it| it.basis).min().unwrap_or(AdviceBasis::Guess);
    let size = trials.iter().filter_map(|it| it.bytes).max().unwrap_or_else(|| size_bytes(candidate, table));
    let (create_sql, undo_sql) = script(candidate, table);
    let best = helped.iter().map(|it| it.saving_percent).fold(0.0, f64::max);
    let names = candidate.columns.iter().take(candidate.equal).map(|it| it.0.as_str()).collect::<Vec<_>>();
    let selects = if names.is_empty() {
        String::new()
    } else {
        format!(
            " By {} about {} of {} rows are found.",
            names.join(" and "),
            format::count(rows_by(table, &names)),
            format::count(table.rows)
        )
    };
    let how = match basis {
        AdviceBasis::Hypopg => "The server's planner chooses it when it is there",
        AdviceBasis::Estimate => "The server's plan reads the table as a whole; what an index scan costs is estimated",
        AdviceBasis::Guess => "The statements could not be planned; that the table is read as a whole is assumed",
    };
    let evidence = format!(
        "{how}: {} {} up to {best:.0} % less.{selects}",
        if helped.len() == 1 { "one statement costs".to_owned() } else { format!("{} statements cost", helped.len()) },
        if helped.len() == 1 { "by the planner's measure" } else { "each by the planner's measure" },
    );
    let written = writes.map_or_else(
        || "How much is written into the table is not known yet".to_owned(),
        |rate| format!("{} rows are inserted, changed or deleted a second", format::rate(rate).trim_end_matches("/s")),
    );
    let cost = format!(
        "{written}; each insert and each update that is not HOT writes into it too, and updates of {} can no longer be HOT. It takes about {}.",
        columns.join(", ").replace(" DESC", ""),
        format::bytes(size as f64)
    );
    IndexSuggestion {
        key: format!("index:{database}.{}.{}({})", table.schema, table.name, columns.join(",")),
        database: database.to_owned(),
        schema: table.schema.clone(),
        table: table.name.clone(),
        columns,
        basis,
        benefit_percent: benefit,
        statements: helped,
        table_rows: table.rows,
        table_bytes: (table.pages * 8_192.0) as i64,
        size_bytes: size,
        writes_per_second: writes,
        evidence,
        cost,
        create_sql,
        undo_sql,
        dismissal: None,
    }
}

/// `CREATE INDEX` on each relation that holds rows, for HypoPG.
pub fn hypothetical(candidate: &Candidate, table: &AdviceTable) -> Vec<String> {
    let columns = column_list(candidate);
    let on = |schema: &str, name: &str| format!("CREATE INDEX ON {}.{} ({columns})", quote(schema), quote(name));
    if table.partitioned {
        table.partitions.iter().map(|(schema, name)| on(schema, name)).collect()
    } else {
        vec![on(&table.schema, &table.name)]
    }
}

fn column_list(candidate: &Candidate) -> String {
    let column =
        |(name, descending): &(String, bool)| format!("{}{}", quote(name), if *descending { " DESC" } else { "" });
    candidate.columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// The script and its undo. CONCURRENTLY does not work on a partitioned table: the index is made on each partition and
/// attached, and until all are the parent's is invalid and used by nothing.
fn script(candidate: &Candidate, table: &AdviceTable) -> (String, String) {
    let columns = column_list(candidate);
    let name = |of: &str| {
        let parts = candidate.columns.iter().map(|it| it.0.as_str()).collect::<Vec<_>>().join("_");
        let all = format!("{of}_{parts}_idx");
        // PostgreSQL would cut it off, perhaps in the middle of a character.
        all.char_indices().take_while(|(at, c)| at + c.len_utf8() <= 63).map(|it| it.1).collect::<String>()
    };
    let (schema, of, index) = (quote(&table.schema), quote(&table.name), quote(&name(&table.name)));
    if !table.partitioned {
        return (
            format!("CREATE INDEX CONCURRENTLY {index} ON {schema}.{of} ({columns});"),
            format!("DROP INDEX CONCURRENTLY {schema}.{index};"),
        );
    }
    let mut lines = vec![format!("CREATE INDEX {index} ON ONLY {schema}.{of} ({columns});")];
    for (i, (part_schema, part)) in table.partitions.iter().enumerate() {
        let part_index = quote(&name(&format!("{}_{i}", part.chars().take(40).collect::<String>())));
        let part_schema = quote(part_schema);
        lines.push(format!("CREATE INDEX CONCURRENTLY {part_index} ON {part_schema}.{} ({columns});", quote(part)));
        lines.push(format!("ALTER INDEX {schema}.{index} ATTACH PARTITION {part_schema}.{part_index};"));
    }
    (
        lines.join("\n"),
        format!(
            "SET lock_timeout = '2s'; -- a partitioned index cannot be dropped concurrently\nDROP INDEX {schema}.{index};"
        ),
    )
}
