//! Which indexes would help the statements that run: candidates from their conditions, weighed by the planner's
//! statistics, judged by costs. What the planner says with a hypothetical index decides where it can be asked; else the
//! cost is estimated here, and labelled so.
mod choose;
mod cost;

pub use choose::{Trial, Weighed, choose, hypothetical};
pub use cost::{estimate, guess, size_bytes};

use crate::parse::{Block, Column, Relation, Shape, Test};
use domain::reading::{AdviceColumn, AdviceTable, IndexCounters};
use std::collections::BTreeSet;

/// What the rules are tuned by.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Smaller tables are read as a whole in no time.
    pub table_at_least_rows: f64,
    /// As above, in pages of 8 KiB.
    pub table_at_least_pages: f64,
    /// A statement is helped when it loses this part of its cost, in percent (dexter asks for 50).
    pub saving_at_least_percent: f64,
    /// Key columns of a suggestion.
    pub columns_at_most: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            table_at_least_rows: 5_000.0,
            table_at_least_pages: 64.0,
            saving_at_least_percent: 30.0,
            columns_at_most: 3,
        }
    }
}

/// When an index finds this few rows, a further column gains nothing.
const FEW_ROWS: f64 = 20.0;
/// Distinct values that the planner assumes without statistics.
const UNKNOWN_DISTINCT: f64 = 200.0;
/// An index to be tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Place of the table in the list it came from.
    pub table: usize,
    /// Key columns with `true` for descending.
    pub columns: Vec<(String, bool)>,
    /// Those that are compared for equality are first; so many are.
    pub equal: usize,
    /// The rest gives the order that is asked for, with a LIMIT.
    pub ordered: bool,
    /// One of the equal ones is a column of a join.
    pub joined: bool,
}

/// The candidates of one statement. Nothing is returned that an index serves already, or for tables that are small.
pub fn candidates(shape: &Shape, tables: &[AdviceTable], indexes: &[IndexCounters], rules: Rules) -> Vec<Candidate> {
    let mut found = BTreeSet::new();
    for block in &shape.blocks {
        for source in 0..block.sources.len() {
            let Some(place) = table_of(block, source, tables) else { continue };
            let Some(table) = tables.get(place) else { continue };
            if table.rows < rules.table_at_least_rows || table.pages < rules.table_at_least_pages {
                continue;
            }
            for candidate in of_source(block, source, place, table, tables, rules) {
                if !is_covered(&candidate, table, indexes) {
                    found.insert(candidate);
                }
            }
        }
    }
    found.into_iter().collect()
}

/// The table that a relation means: by its schema, else the one of that name, else that of `public`.
pub fn find(relation: &Relation, tables: &[AdviceTable]) -> Option<usize> {
    let named = |it: &&(usize, &AdviceTable)| {
        it.1.name == relation.name && relation.schema.as_ref().is_none_or(|schema| *schema == it.1.schema)
    };
    let all = tables.iter().enumerate().collect::<Vec<_>>();
    let found = all.iter().filter(named).collect::<Vec<_>>();
    match found.as_slice() {
        [one] => Some(one.0),
        several => several.iter().find(|it| it.1.schema == "public").map(|it| it.0),
    }
}

fn table_of(block: &Block, source: usize, tables: &[AdviceTable]) -> Option<usize> {
    find(&block.sources.get(source)?.relation, tables)
}

/// The source that a column belongs to.
fn source_of(block: &Block, column: &Column, tables: &[AdviceTable]) -> Option<usize> {
    match &column.of {
        Some(of) => block.sources.iter().position(|source| source.alias == *of),
        None => {
            let has = |place: usize| {
                table_of(block, place, tables)
                    .and_then(|table| tables.get(table))
                    .is_some_and(|table| table.columns.iter().any(|it| it.name == column.name))
            };
            let mut places = (0..block.sources.len()).filter(|place| has(*place));
            let first = places.next();
            if places.next().is_some() { None } else { first }
        }
    }
}

fn of_source(
    block: &Block,
    source: usize,
    place: usize,
    table: &AdviceTable,
    tables: &[AdviceTable],
    rules: Rules,
) -> Vec<Candidate> {
    let column = |name: &str| table.columns.iter().find(|it| it.name == name && it.sortable);
    let (mut equal, mut joined, mut ranges) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for predicate in &block.predicates {
        if source_of(block, &predicate.column, tables) != Some(source) || column(&predicate.column.name).is_none() {
            continue;
        }
        let name = predicate.column.name.clone();
        match &predicate.test {
            Test::Equal => {
                equal.insert(name);
            }
            // Against the same table it is no search; against an outer query's column it is a search by a known value.
            Test::Join(other) => match source_of(block, other, tables) {
                Some(same) if same == source => {}
                _ => {
                    joined.insert(name);
                }
            },
            Test::Range => {
                ranges.insert(name);
            }
        }
    }
    joined.retain(|name| !equal.contains(name));
    ranges.retain(|name| !equal.contains(name));
    let order = order_of(block, source, tables, table);
    let mut found = Vec::new();
    if !equal.is_empty() {
        found.extend(search(place, table, &equal, None, &ranges, &order, rules));
    }
    for name in &joined {
        found.extend(search(place, table, &equal, Some(name), &ranges, &[], rules));
    }
    if equal.is_empty() {
        // A range alone, and the order of a LIMIT alone.
        if joined.is_empty() {
            found.extend(ranges.iter().map(|name| Candidate {
                table: place,
                columns: vec![(name.clone(), false)],
                equal: 0,
                ordered: false,
                joined: false,
            }));
        }
        if !order.is_empty() && block.sources.len() == 1 {
            let columns = order.iter().take(rules.columns_at_most).cloned().collect::<Vec<_>>();
            if columns.len() == order.len() {
                found.push(Candidate { table: place, columns: plain(columns), equal: 0, ordered: true, joined: false });
            }
        }
    }
    found
}

/// The order that is asked for with a LIMIT, if all of it is of this source.
fn order_of(block: &Block, source: usize, tables: &[AdviceTable], table: &AdviceTable) -> Vec<(String, bool)> {
    if !block.limited {
        return Vec::new();
    }
    let all = block.order_by.iter().map(|(column, descending)| {
        let ours = source_of(block, column, tables) == Some(source);
        let sortable = table.columns.iter().any(|it| it.name == column.name && it.sortable);
        (ours && sortable).then(|| (column.name.clone(), *descending))
    });
    all.collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// All descending is read backwards: no DESC is needed.
fn plain(columns: Vec<(String, bool)>) -> Vec<(String, bool)> {
    if columns.iter().all(|it| it.1) { columns.into_iter().map(|it| (it.0, false)).collect() } else { columns }
}

/// An index that is searched by equality, and goes on with the order or one range.
fn search(
    place: usize,
    table: &AdviceTable,
    equal: &BTreeSet<String>,
    join: Option<&String>,
    ranges: &BTreeSet<String>,
    order: &[(String, bool)],
    rules: Rules,
) -> Option<Candidate> {
    let mut columns = equal.iter().chain(join).collect::<Vec<_>>();
    // The most selective first: it alone serves other statements too.
    columns.sort_by(|a, b| distinct(table, b).total_cmp(&distinct(table, a)).then_with(|| a.cmp(b)));
    let mut key = Vec::<String>::new();
    let mut rows = table.rows;
    for name in columns {
        // What is joined must be in it, or it is no index for the join.
        let needed = join == Some(name);
        if !needed && (key.len() >= rules.columns_at_most || rows <= FEW_ROWS) {
            continue;
        }
        rows /= distinct(table, name);
        key.push(name.clone());
    }
    if let Some(join) = join
        && let Some(at) = key.iter().position(|name| name == join)
        && key.len() > rules.columns_at_most
    {
        key.swap(0, at);
        key.truncate(rules.columns_at_most);
    }
    let count = key.len();
    let mut out = key.into_iter().map(|name| (name, false)).collect::<Vec<_>>();
    let mut ordered = false;
    let rest = order.iter().filter(|it| !equal.contains(&it.0)).cloned().collect::<Vec<_>>();
    if !rest.is_empty() && count + rest.len() <= rules.columns_at_most + 1 && count == equal.len() && rows > FEW_ROWS {
        out.extend(plain(rest));
        ordered = true;
    } else if rows > FEW_ROWS
        && let Some(range) = ranges.iter().max_by(|a, b| distinct(table, a).total_cmp(&distinct(table, b)))
    {
        out.push((range.clone(), false));
    } else if rows > 0.2 * table.rows {
        // It would find most of the table.
        return None;
    }
    Some(Candidate { table: place, columns: out, equal: count, ordered, joined: join.is_some() })
}

fn column<'a>(table: &'a AdviceTable, name: &str) -> Option<&'a AdviceColumn> {
    table.columns.iter().find(|it| it.name == name)
}

fn distinct(table: &AdviceTable, name: &str) -> f64 {
    let distinct = column(table, name).and_then(|it| it.n_distinct).unwrap_or(UNKNOWN_DISTINCT);
    let number = if distinct < 0.0 { -distinct * table.rows } else { distinct };
    number.clamp(1.0, table.rows.max(1.0))
}

/// Rows that are read through an index with this many leading columns compared for equality.
fn rows_by(table: &AdviceTable, names: &[&str]) -> f64 {
    names.iter().fold(table.rows, |rows, name| rows / distinct(table, name)).max(1.0)
}

/// Whether a valid, whole btree index does it already, or finds so few rows that another gains nothing.
fn is_covered(candidate: &Candidate, table: &AdviceTable, indexes: &[IndexCounters]) -> bool {
    let number = |name: &str| column(table, name).map(|it| it.number);
    let equal = candidate.columns.iter().take(candidate.equal).filter_map(|it| number(&it.0)).collect::<BTreeSet<_>>();
    let rest = candidate.columns.iter().skip(candidate.equal).filter_map(|it| number(&it.0)).collect::<Vec<_>>();
    let usable = |index: &&IndexCounters| {
        index.table_oid == table.oid
            && index.method == "btree"
            && index.valid
            && index.predicate.is_none()
            && index.expressions.is_none()
    };
    indexes.iter().filter(usable).any(|index| {
        let keys = usize::try_from(index.key_columns).unwrap_or(0);
        let key = index.key.get(..keys).unwrap_or_default();
        let leading = key.iter().take_while(|number| equal.contains(number)).count();
        if leading == equal.len() && key.get(leading..).unwrap_or_default().starts_with(&rest) {
            // An order must also be the same way round, or all of it the other.
            let ways = |wanted: bool| {
                candidate.columns.iter().skip(candidate.equal).enumerate().all(|(i, it)| {
                    let descending = index.options.get(leading + i).is_some_and(|option| option & 1 == 1);
                    (descending == it.1) == wanted
                })
            };
            if !candidate.ordered || ways(true) || ways(false) {
                return true;
            }
        }
        if index.unique && leading == key.len() && leading > 0 {
            return true;
        }
        let names = key
            .iter()
            .take(leading)
            .filter_map(|number| table.columns.iter().find(|it| it.number == *number))
            .map(|it| it.name.as_str())
            .collect::<Vec<_>>();
        leading > 0 && rows_by(table, &names) <= 5.0 * FEW_ROWS
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::parse::shape;
    use domain::view::{AdviceBasis, PlanNode};

    fn table(name: &str, rows: f64, columns: &[(&str, f64)]) -> AdviceTable {
        AdviceTable {
            oid: 1,
            schema: "public".to_owned(),
            name: name.to_owned(),
            rows,
            pages: rows / 50.0,
            columns: columns
                .iter()
                .enumerate()
                .map(|(i, (name, distinct))| AdviceColumn {
                    number: i16::try_from(i + 1).unwrap(),
                    name: (*name).to_owned(),
                    sortable: true,
                    n_distinct: Some(*distinct),
                    null_fraction: Some(0.0),
                    width: Some(8),
                    correlation: Some(0.0),
                })
                .collect(),
            ..AdviceTable::default()
        }
    }

    fn orders() -> AdviceTable {
        table("orders", 1e6, &[("id", -1.0), ("customer_id", 10_000.0), ("status", 4.0), ("at", -1.0)])
    }

    fn index(key: &[i16], unique: bool) -> IndexCounters {
        IndexCounters {
            table_oid: 1,
            method: "btree".to_owned(),
            key: key.to_vec(),
            key_columns: i16::try_from(key.len()).unwrap(),
            options: vec![0; key.len()],
            valid: true,
            unique,
            ..IndexCounters::default()
        }
    }

    fn found(sql: &str, tables: &[AdviceTable], indexes: &[IndexCounters]) -> Vec<String> {
        candidates(&shape(sql).unwrap(), tables, indexes, Rules::default())
            .iter()
            .map(|it| {
                format!(
                    "{}({})",
                    tables[it.table].name,
                    it.columns
                        .iter()
                        .map(|c| format!("{}{}", c.0, if c.1 { "-" } else { "" }))
                        .collect::<Vec<_>>()
                        .join(",")
                )
            })
            .collect()
    }

    #[test]
    fn conditions_make_candidates_and_the_selective_column_leads() {
        let tables = [orders()];
        assert_eq!(found("SELECT * FROM orders WHERE customer_id = $1", &tables, &[]), ["orders(customer_id)"]);
        assert_eq!(
            found("SELECT * FROM orders o WHERE o.status = $1 AND o.customer_id = $2 AND at > $3", &tables, &[]),
            ["orders(customer_id,status,at)"]
        );
        assert_eq!(
            found("SELECT * FROM orders WHERE status = $1 ORDER BY at DESC LIMIT 10", &tables, &[]),
            ["orders(status,at)"]
        );
        assert_eq!(found("SELECT * FROM orders ORDER BY at DESC, id LIMIT $1", &tables, &[]), ["orders(at-,id)"]);
        // Without a LIMIT all must be sorted anyway; a quarter of the table is read quicker as a whole.
        assert_eq!(found("SELECT * FROM orders ORDER BY at", &tables, &[]), Vec::<String>::new());
        assert_eq!(found("SELECT * FROM orders WHERE status = $1", &tables, &[]), Vec::<String>::new());
        // An id finds one row: nothing more is needed.
        assert_eq!(
            found("SELECT * FROM orders WHERE id = $1 AND status = $2 AND customer_id = $3", &tables, &[]),
            ["orders(id)"]
        );
    }

    #[test]
    fn joins_make_candidates_on_the_side_that_is_searched() {
        let tables = [orders(), AdviceTable { oid: 2, ..table("customers", 2_000.0, &[("id", -1.0), ("city", 50.0)]) }];
        assert_eq!(
            found("SELECT * FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.city = $1", &tables, &[]),
            ["orders(customer_id)"],
            "the other table is small"
        );
        assert_eq!(
            found(
                "SELECT 1 FROM customers c WHERE EXISTS (SELECT 1 FROM orders WHERE orders.customer_id = c.id)",
                &tables,
                &[]
            ),
            ["orders(customer_id)"]
        );
        assert_eq!(found("SELECT 1 FROM orders WHERE id = customer_id", &tables, &[]), Vec::<String>::new());
    }

    #[test]
    fn nothing_is_suggested_for_what_is_small_or_covered() {
        let sql = "SELECT * FROM orders WHERE customer_id = $1 AND status = $2";
        assert_eq!(
            found(sql, &[table("orders", 400.0, &[("customer_id", 100.0), ("status", 4.0)])], &[]),
            Vec::<String>::new()
        );
        let tables = [orders()];
        assert_eq!(found(sql, &tables, &[]), ["orders(customer_id,status)"]);
        // In any order, as the first of more, and when the first column alone finds few rows.
        for key in [vec![2, 3], vec![3, 2], vec![2, 3, 4], vec![2]] {
            assert_eq!(found(sql, &tables, &[index(&key, false)]), Vec::<String>::new(), "{key:?}");
        }
        let partial = IndexCounters { predicate: Some("status = 1".to_owned()), ..index(&[2, 3], false) };
        let invalid = IndexCounters { valid: false, ..index(&[2, 3], false) };
        let elsewhere = IndexCounters { table_oid: 9, ..index(&[2, 3], false) };
        assert_eq!(
            found(sql, &tables, &[partial, invalid, elsewhere, index(&[4, 2, 3], false)]),
            ["orders(customer_id,status)"]
        );
        // The order must fit as well.
        let order = "SELECT * FROM orders WHERE status = $1 ORDER BY at DESC LIMIT 5";
        assert_eq!(found(order, &tables, &[index(&[3, 4], false)]), Vec::<String>::new());
        assert_eq!(found(order, &tables, &[index(&[3], false)]), ["orders(status,at)"]);
    }

    fn trial(statement: usize, columns: &[&str], before: f64, after: f64) -> Trial {
        Trial {
            statement,
            candidate: Candidate {
                table: 0,
                columns: columns.iter().map(|it| ((*it).to_owned(), false)).collect(),
                equal: columns.len(),
                ordered: false,
                joined: false,
            },
            basis: AdviceBasis::Hypopg,
            before,
            after,
            bytes: Some(1 << 20),
        }
    }

    #[test]
    fn few_indexes_are_chosen_for_many_statements() {
        let statements = [60.0, 30.0, 5.0].map(|total_percent| Weighed {
            id: "1.2.3".to_owned(),
            query: "q".to_owned(),
            calls: 1,
            total_percent,
        });
        let trials = [
            trial(0, &["customer_id"], 1_000.0, 20.0),
            trial(0, &["customer_id", "status"], 1_000.0, 10.0),
            trial(1, &["customer_id", "status"], 1_000.0, 10.0),
            trial(1, &["customer_id"], 1_000.0, 400.0),
            trial(2, &["at"], 1_000.0, 900.0),
        ];
        let chosen = choose("shop", &trials, &statements, &[orders()], |_| Some(3.0), Rules::default());
        let names = chosen.iter().map(|it| it.columns.join(",")).collect::<Vec<_>>();
        // One serves both; a tenth saved is no reason for an index.
        assert_eq!(names, ["customer_id,status"]);
        assert!((chosen[0].benefit_percent - (60.0 * 0.99 + 30.0 * 0.99)).abs() < 0.01);
        assert_eq!(
            chosen[0].create_sql,
            "CREATE INDEX CONCURRENTLY orders_customer_id_status_idx ON public.orders (customer_id, status);"
        );
        assert_eq!(chosen[0].undo_sql, "DROP INDEX CONCURRENTLY public.orders_customer_id_status_idx;");
        assert_eq!(chosen[0].key, "index:shop.public.orders(customer_id,status)");
    }

    #[test]
    fn a_partitioned_table_gets_a_script_that_does_not_lock() {
        let mut metrics = table("Metrics", 1e6, &[("a", 1_000.0)]);
        metrics.partitioned = true;
        metrics.partitions = vec![("public".to_owned(), "m1".to_owned()), ("old".to_owned(), "m2".to_owned())];
        let chosen = choose(
            "d",
            &[trial(0, &["a"], 100.0, 1.0)],
            &[Weighed { id: String::new(), query: String::new(), calls: 1, total_percent: 1.0 }],
            &[metrics],
            |_| None,
            Rules::default(),
        );
        let lines = chosen[0].create_sql.lines().collect::<Vec<_>>();
        assert_eq!(lines[0], "CREATE INDEX \"Metrics_a_idx\" ON ONLY public.\"Metrics\" (a);");
        assert_eq!(lines[1], "CREATE INDEX CONCURRENTLY m1_0_a_idx ON public.m1 (a);");
        assert_eq!(lines[4], "ALTER INDEX public.\"Metrics_a_idx\" ATTACH PARTITION old.m2_1_a_idx;");
    }

    #[test]
    fn an_estimate_replaces_the_scan_by_a_search() {
        let scan = |cost: f64| PlanNode {
            node_type: "Seq Scan".to_owned(),
            relation: Some("public.orders".to_owned()),
            total_cost: cost,
            own_cost: cost,
            rows: 100.0,
            ..PlanNode::default()
        };
        let one = trial(0, &["customer_id"], 0.0, 0.0).candidate;
        let after = estimate(&scan(32_500.0), &one, &orders()).unwrap();
        assert!(after < 700.0, "{after}");
        let other = PlanNode { relation: Some("public.order".to_owned()), ..scan(1.0) };
        assert_eq!(estimate(&other, &one, &orders()), None);
        let (before, after) = guess(&one, &orders());
        assert!(before > 30_000.0 && after < 700.0);
    }
}
