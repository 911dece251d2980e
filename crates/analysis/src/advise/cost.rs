//! What a statement costs with an index, where no planner can be asked.
use super::{Candidate, column, rows_by};
use domain::{reading::AdviceTable, view::PlanNode};

/// Part of the rows that a range finds when nothing is known of it: PostgreSQL's own guess.
const RANGE: f64 = 0.333;
/// Rows that a LIMIT asks for when its number is a parameter.
const LIMIT_ROWS: f64 = 100.0;
/// Costs of the planner by default; an estimate need not be better than that.
const RANDOM_PAGE: f64 = 4.0;
const CPU_TUPLE: f64 = 0.01;
const CPU_INDEX: f64 = 0.005;

/// Size to expect, in bytes: rows of the key's width, packed to nine tenths.
pub fn size_bytes(candidate: &Candidate, table: &AdviceTable) -> i64 {
    let width = candidate
        .columns
        .iter()
        .map(|it| f64::from(column(table, &it.0).and_then(|it| it.width).unwrap_or(8)))
        .sum::<f64>();
    let entry = ((width + 8.0) / 8.0).ceil() * 8.0 + 4.0;
    // Equal keys share one entry (13+): a third is left of a column with few values.
    let shared = if rows_by(table, &candidate.columns.iter().map(|it| it.0.as_str()).collect::<Vec<_>>()) > 20.0 {
        0.35
    } else {
        1.0
    };
    ((table.rows * entry * shared / 0.9).max(8_192.0)) as i64
}

/// What a plan without HypoPG would cost with the index: the part of it that reads the table is replaced by what an index
/// scan costs. `None` when nothing in it reads the table as a whole.
pub fn estimate(root: &PlanNode, candidate: &Candidate, table: &AdviceTable) -> Option<f64> {
    let mut saved = 0.0;
    let mut seen = false;
    walk(root, 1.0, candidate, table, &mut saved, &mut seen);
    seen.then(|| (root.total_cost - saved).max(0.01 * root.total_cost).max(1.0))
}

/// `outer` is the number of rows for which the node is, or could be, searched.
fn walk(node: &PlanNode, outer: f64, candidate: &Candidate, table: &AdviceTable, saved: &mut f64, seen: &mut bool) {
    let names = candidate.columns.iter().take(candidate.equal).map(|it| it.0.as_str()).collect::<Vec<_>>();
    if node.node_type == "Seq Scan" && is_of(node, table) {
        *seen = true;
        let ranged = candidate.columns.len() > candidate.equal && !candidate.ordered;
        let mut rows = rows_by(table, &names) * if ranged { RANGE } else { 1.0 };
        if candidate.ordered {
            rows = rows.min(LIMIT_ROWS);
        }
        let parts = table.partitions.len().max(1) as f64;
        let lead =
            candidate.columns.first().and_then(|it| column(table, &it.0)).and_then(|it| it.correlation).unwrap_or(0.0);
        let searches = if candidate.joined { outer } else { 1.0 };
        *saved += (node.own_cost - searches * scan(table, rows, lead) / parts).max(0.0);
        return;
    }
    if node.node_type == "Sort" && candidate.ordered && node.children.iter().any(|child| reads(child, table)) {
        *saved += node.own_cost;
    }
    let join = node.node_type.ends_with("Join") || node.node_type == "Nested Loop";
    for (i, child) in node.children.iter().enumerate() {
        let other = node.children.get(1 - i.min(1)).map_or(1.0, |other| other.rows.max(1.0));
        walk(child, if join { other } else { outer }, candidate, table, saved, seen);
    }
}

fn is_of(node: &PlanNode, table: &AdviceTable) -> bool {
    let Some(relation) = node.relation.as_deref() else { return false };
    let is =
        |schema: &str, name: &str| relation.strip_prefix(schema).and_then(|rest| rest.strip_prefix('.')) == Some(name);
    is(&table.schema, &table.name) || table.partitions.iter().any(|(schema, name)| is(schema, name))
}

fn reads(node: &PlanNode, table: &AdviceTable) -> bool {
    is_of(node, table) || node.children.iter().any(|child| reads(child, table))
}

/// Cost of an index scan of some rows: pages in random order as far as the column is not in the order of the disk.
fn scan(table: &AdviceTable, rows: f64, correlation: f64) -> f64 {
    let random = rows.min(table.pages);
    let ordered = (rows / table.rows.max(1.0) * table.pages).max(1.0);
    let square = correlation * correlation;
    let pages = square * ordered + (1.0 - square) * random;
    let descent = table.rows.max(2.0).log2() * 0.0025 + 2.0 * RANDOM_PAGE;
    descent + pages * RANDOM_PAGE + rows * (CPU_TUPLE + CPU_INDEX)
}

/// What a statement costs without any plan: its table is read as a whole.
pub fn guess(candidate: &Candidate, table: &AdviceTable) -> (f64, f64) {
    let names = candidate.columns.iter().take(candidate.equal).map(|it| it.0.as_str()).collect::<Vec<_>>();
    let ranged = candidate.columns.len() > candidate.equal && !candidate.ordered;
    let rows = rows_by(table, &names) * if ranged { RANGE } else { 1.0 };
    let rows = if candidate.ordered { rows.min(LIMIT_ROWS) } else { rows };
    (table.pages + table.rows * (CPU_TUPLE + 0.0025), scan(table, rows, 0.0))
}
