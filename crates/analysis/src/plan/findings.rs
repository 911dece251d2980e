//! What stands out in a plan: scans of large tables, wrong estimates, work that spills.
use domain::{
    format,
    view::{ExplainMethod, PlanFinding, PlanNode, PlanSeverity, TableRow},
};

/// What a plan is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Database of the statement.
    pub database: &'a str,
    /// Tables of the cluster.
    pub tables: &'a [TableRow],
    /// `work_mem`, when it is known.
    pub work_mem_bytes: Option<f64>,
    /// `hash_mem_multiplier`, when it is known.
    pub hash_mem_multiplier: Option<f64>,
    /// How the plan was had.
    pub method: ExplainMethod,
}

/// Rows from which a table that is read as a whole is worth a word.
const LARGE_ROWS: f64 = 10_000.0;
/// Runs from which the inner side of a nested loop is worth a word.
const MANY_LOOPS: f64 = 1_000.0;
/// A factor between rows expected and seen.
const WRONG_BY: f64 = 10.0;
/// Writes findings into the nodes.
pub fn judge(node: &mut PlanNode, known: Known<'_>) {
    let mut found = Vec::new();
    found.extend(seq_scan(node, known));
    found.extend(statistics(node, known));
    found.extend(nested_loop(node));
    found.extend(memory(node, known));
    found.extend(wrong_estimate(node));
    found.extend(pruned(node, known.method));
    found.sort_by_key(|it| std::cmp::Reverse(it.severity));
    node.findings = found;
    node.children.iter_mut().for_each(|child| judge(child, known));
}

/// Findings of all nodes, the worst first; one that several nodes share is told once.
pub fn findings(root: &PlanNode) -> Vec<PlanFinding> {
    fn walk(node: &PlanNode, all: &mut Vec<PlanFinding>) {
        for finding in &node.findings {
            if !all.contains(finding) {
                all.push(finding.clone());
            }
        }
        node.children.iter().for_each(|child| walk(child, all));
    }
    let mut all = Vec::new();
    walk(root, &mut all);
    all.sort_by_key(|it| std::cmp::Reverse(it.severity));
    all
}

fn finding(severity: PlanSeverity, kind: &str, title: String, detail: String) -> Option<PlanFinding> {
    Some(PlanFinding { severity, kind: kind.to_owned(), title, detail })
}

fn table_of<'a>(node: &PlanNode, known: Known<'a>) -> Option<&'a TableRow> {
    let relation = node.relation.as_deref()?;
    let name = format!("{}.{relation}", known.database);
    known.tables.iter().find(|table| table.key == name)
}

pub(super) fn has<'a>(node: &'a PlanNode, key: &str) -> Option<&'a str> {
    node.details.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

fn seq_scan(node: &PlanNode, known: Known<'_>) -> Option<PlanFinding> {
    if node.node_type != "Seq Scan" {
        return None;
    }
    has(node, "Filter")?;
    let table = table_of(node, known)?;
    if table.rows < LARGE_ROWS || node.rows > 0.1 * table.rows {
        return None;
    }
    finding(
        PlanSeverity::Warning,
        "seq_scan_filter",
        format!("Reads all of {} to find few rows", table.name),
        format!(
            "About {} of {} rows pass the filter ({} of {} are read for {:.1} % of its rows): an index on the filtered columns would read those only.",
            format::count(node.rows),
            format::count(table.rows),
            format::bytes(table.heap_bytes as f64),
            table.name,
            100.0 * node.rows / table.rows
        ),
    )
}

fn statistics(node: &PlanNode, known: Known<'_>) -> Option<PlanFinding> {
    let table = table_of(node, known)?;
    if table.rows < 1_000.0 && table.heap_bytes < 1 << 20 {
        return None;
    }
    match table.last_analyze {
        None => finding(
            PlanSeverity::Warning,
            "no_statistics",
            format!("{} was never analyzed", table.name),
            format!(
                "The planner guesses: run ANALYZE {}.{};",
                crate::indexes::quote(&table.schema),
                crate::indexes::quote(&table.name)
            ),
        ),
        Some(at) if table.changed_since_analyze as f64 > 0.5 * table.rows.max(1.0) => finding(
            PlanSeverity::Info,
            "stale_statistics",
            format!("Statistics of {} are old", table.name),
            format!(
                "{} rows changed since {}: more than half of the table; run ANALYZE {}.{};",
                format::count(table.changed_since_analyze as f64),
                at.to_human(),
                crate::indexes::quote(&table.schema),
                crate::indexes::quote(&table.name)
            ),
        ),
        Some(_) => None,
    }
}

fn nested_loop(node: &PlanNode) -> Option<PlanFinding> {
    if node.node_type != "Nested Loop" {
        return None;
    }
    let [outer, inner, ..] = node.children.as_slice() else { return None };
    if outer.rows < MANY_LOOPS || matches!(inner.node_type.as_str(), "Materialize" | "Memoize") {
        return None;
    }
    let scan = scan_below(inner)?;
    finding(
        PlanSeverity::Warning,
        "nested_loop",
        format!("Reads {} once for each of {} rows", scan, format::count(outer.rows)),
        "The inner side of the loop has no index to search by: one on the joined columns would end the repeated scans."
            .to_owned(),
    )
}

/// A table that is read as a whole in what runs again and again.
fn scan_below(node: &PlanNode) -> Option<String> {
    if node.node_type == "Seq Scan" {
        return node.relation.clone();
    }
    if matches!(node.node_type.as_str(), "Materialize" | "Memoize" | "Hash") {
        return None;
    }
    node.children.iter().find_map(scan_below)
}

fn memory(node: &PlanNode, known: Known<'_>) -> Option<PlanFinding> {
    let work_mem = known.work_mem_bytes?;
    // A row in memory has a header, and a pointer to it.
    let needed = node.rows * (node.width as f64 + 32.0);
    match node.node_type.as_str() {
        "Sort" if needed > work_mem => finding(
            PlanSeverity::Warning,
            "sort_spill",
            "The sort is expected to go to disk".to_owned(),
            format!(
                "About {} are sorted and work_mem is {}: an index in this order, fewer rows, or more work_mem for this statement keeps it in memory.",
                format::bytes(needed),
                format::bytes(work_mem)
            ),
        ),
        "Hash" if needed > work_mem * known.hash_mem_multiplier.unwrap_or(1.0) => finding(
            PlanSeverity::Info,
            "hash_batches",
            "The hash is expected to go to disk".to_owned(),
            format!(
                "About {} are hashed and {} are allowed (work_mem × hash_mem_multiplier): it is done in batches through temporary files.",
                format::bytes(needed),
                format::bytes(work_mem * known.hash_mem_multiplier.unwrap_or(1.0))
            ),
        ),
        _ => None,
    }
}

fn wrong_estimate(node: &PlanNode) -> Option<PlanFinding> {
    let actual = node.actual_rows?;
    let factor = (actual.max(1.0) / node.rows.max(1.0)).max(node.rows.max(1.0) / actual.max(1.0));
    if factor < WRONG_BY || node.loops == Some(0.0) {
        return None;
    }
    finding(
        PlanSeverity::Warning,
        "misestimate",
        format!("Rows are misjudged by {}×", format::count(factor)),
        format!(
            "{} were expected and {} came: ANALYZE the tables, or give CREATE STATISTICS for columns that depend on each other.",
            format::count(node.rows),
            format::count(actual)
        ),
    )
}

fn pruned(node: &PlanNode, method: ExplainMethod) -> Option<PlanFinding> {
    let removed = has(node, "Subplans Removed")?;
    if method != ExplainMethod::Prepared {
        return None;
    }
    finding(
        PlanSeverity::Info,
        "pruned_by_null",
        format!("{removed} partitions are not shown"),
        "The plan was had with NULL in place of each parameter, and no partition holds NULL: with real values some of them are read.".to_owned(),
    )
}
