//! Who uses a table: the statements that name it, and its indexes; and its columns.
use crate::{ControlError, ControlPlane, monitoring, now};
use analysis::{parse, sqltext};
use domain::view::{
    ColumnsKept, Compare, IndexFinding, IndexRow, IndexesPage, Range, TableColumn, TableIndex, TableRow, TableStatement,
};
use std::collections::{HashMap, HashSet};
use store::StatementRepo;

/// Texts that are parsed at most: a name such as `id` is in all of them.
const PARSED: u64 = 1_000;
/// Statements in the answer.
const STATEMENTS: usize = 25;
/// A line of a list.
const LINE: usize = 400;

impl ControlPlane {
    /// Statements that ran in the range and name the table, by what they cost. A view, or a function's body, that names it
    /// is not looked into.
    pub(crate) async fn statements_of_table(
        &self,
        cluster: &str,
        table: &TableRow,
        range: Range,
        sequence: u64,
    ) -> Result<Vec<TableStatement>, ControlError> {
        // Sizes are kept for longer than statements.
        if monitoring::known(range, now(), monitoring::STATEMENT_DAYS).is_err() {
            return Ok(Vec::new());
        }
        let loaded = self.load(cluster, range, Compare::Off, sequence).await?;
        let ran = loaded.sums.iter().filter(|sum| sum.calls > 0).map(|sum| (sum.key, sum)).collect::<HashMap<_, _>>();
        let all = loaded.sums.iter().map(|sum| sum.total_ms).sum::<f64>();
        let repo = StatementRepo(self.inner.store.db());
        let mut found = Vec::new();
        // Statements name the table whose partition it is. A name within a name finds the same texts twice.
        let mut records = repo.mentioning(cluster, &table.database, &table.name, PARSED).await?;
        if let Some((_, name)) = parent(table) {
            records.extend(repo.mentioning(cluster, &table.database, name, PARSED).await?);
            let mut seen = HashSet::new();
            records.retain(|record| seen.insert(record.id));
        }
        for record in records {
            let Some(sum) = ran.get(&record.text.key) else { continue };
            let Some(how) = how(&record.text.query, table) else { continue };
            found.push(TableStatement {
                id: record.text.key.to_string(),
                query: sqltext::one_line(&record.text.query, LINE),
                how: how.to_owned(),
                calls: sum.calls,
                total_ms: sum.total_ms,
                mean_ms: sum.total_ms / sum.calls as f64,
                total_percent: if all > 0.0 { 100.0 * sum.total_ms / all } else { 0.0 },
            });
        }
        found.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms).then_with(|| a.id.cmp(&b.id)));
        found.truncate(STATEMENTS);
        Ok(found)
    }
}

/// Schema and name of the table whose partition it is.
fn parent(table: &TableRow) -> Option<(&str, &str)> {
    table.parent.as_deref()?.split_once('.')
}

/// What a statement does with a table; `None` when it does not name it, or is of a kind that has no plan.
fn how(query: &str, table: &TableRow) -> Option<&'static str> {
    let shape = parse::shape(query).ok()?;
    let names = [Some((table.schema.as_str(), table.name.as_str())), parent(table)];
    let same = |it: &parse::Relation| {
        let one = |(schema, name): &(&str, &str)| it.name == *name && it.schema.as_ref().is_none_or(|of| of == schema);
        names.iter().flatten().any(one)
    };
    if shape.changes.as_ref().is_some_and(same) {
        return Some("changes");
    }
    shape.relations.iter().any(same).then_some("reads")
}

/// The indexes of a table.
pub(crate) fn indexes_of_table(page: &IndexesPage, table: &TableRow) -> Vec<TableIndex> {
    let own =
        |row: &&IndexRow| (&row.database, &row.schema, &row.table) == (&table.database, &table.schema, &table.name);
    let found = |finding: &IndexFinding| match finding {
        IndexFinding::Unused { .. } => Some("unused".to_owned()),
        IndexFinding::Duplicate { .. } => Some("duplicate".to_owned()),
        // A label says so too.
        IndexFinding::Invalid { .. } => None,
    };
    let one = |row: &IndexRow| TableIndex {
        key: row.key.clone(),
        name: row.name.clone(),
        definition: row.definition.clone(),
        bytes: row.bytes,
        scans: row.scans,
        labels: row.labels.iter().cloned().chain(row.findings.iter().filter_map(found)).collect(),
    };
    page.rows.iter().filter(own).map(one).collect()
}

/// The columns of a table, or why there are none.
pub(crate) fn columns_of_table(kept: &ColumnsKept, table: &TableRow) -> (Vec<TableColumn>, Option<String>) {
    if let Some(columns) = kept.tables.get(&table.key) {
        return (columns.clone(), None);
    }
    let skipped = kept.skipped.iter().find(|(database, _)| *database == table.database);
    let why = match (skipped, &kept.failed, kept.collected_at) {
        (Some((database, reason)), _, _) => format!("the columns of the database {database} are not read: {reason}"),
        (None, Some(reason), _) => format!("columns could not be read: {reason}"),
        (None, None, None) => "columns are not read yet: they come with the first reading of the tables".to_owned(),
        (None, None, Some(_)) => {
            "columns are read seldom (each hour with the ordinary interval), of the 200 largest tables of a database: this \
             one is smaller, or newer than the last reading, or was locked at it"
                .to_owned()
        }
    };
    (Vec::new(), Some(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_columns_says_why() {
        let table = TableRow { key: "shop.public.orders".into(), database: "shop".into(), ..TableRow::default() };
        let why = |kept: &ColumnsKept| columns_of_table(kept, &table).1.unwrap_or_default();
        let mut kept = ColumnsKept::default();
        assert!(why(&kept).contains("not read yet"));
        kept.failed = Some("canceled".into());
        assert!(why(&kept).ends_with("canceled"));
        (kept.failed, kept.collected_at) = (None, Some(domain::Timestamp(1)));
        assert!(why(&kept).contains("200 largest"));
        kept.skipped.push(("shop".into(), "no CONNECT".into()));
        assert!(why(&kept).contains("no CONNECT"));
        kept.tables.insert(table.key.clone(), vec![TableColumn::default()]);
        assert_eq!(columns_of_table(&kept, &table), (vec![TableColumn::default()], None));
    }

    #[test]
    fn a_statement_is_of_a_table_when_it_names_it_and_not_when_a_word_is_alike() {
        let table = TableRow { schema: "public".into(), name: "orders".into(), ..TableRow::default() };
        for (query, expected) in [
            ("SELECT * FROM orders WHERE id = $1", Some("reads")),
            ("SELECT * FROM Public.Orders o JOIN lines l ON l.order_id = o.id", Some("reads")),
            ("UPDATE orders SET state = $1", Some("changes")),
            ("INSERT INTO archive SELECT * FROM orders", Some("reads")),
            ("SELECT * FROM other.orders", None),
            ("SELECT orders FROM lines", None),
            ("SELECT * FROM orders_old", None),
            ("WITH orders AS (SELECT $1) SELECT * FROM orders", None),
            ("VACUUM orders", None),
        ] {
            assert_eq!(how(query, &table), expected, "{query}");
        }
        let partition = TableRow {
            schema: "public".into(),
            name: "orders_2026".into(),
            parent: Some("public.orders".into()),
            ..TableRow::default()
        };
        assert_eq!(how("SELECT * FROM orders WHERE id = $1", &partition), Some("reads"));
        assert_eq!(how("SELECT * FROM other.orders", &partition), None);
    }
}
