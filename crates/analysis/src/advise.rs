//! Which indexes would help the statements that run: candidates from their conditions, weighed by the planner's
//! statistics, judged by costs. What the planner says with a hypothetical index decides where it can be asked; else the
//! cost is estimated here, and labelled so.
use crate::{
    indexes::quote,
    parse::{Block, Column, Relation, Shape, Test},
};
use domain::{
    format,
    reading::{AdviceColumn, AdviceTable, IndexCounters},
    view::{AdviceBasis, HelpedStatement, IndexSuggestion, PlanNode},
};
use std::collections::{BTreeMap, BTreeSet};

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
/// Part of the rows that a range finds when nothing is known of it: PostgreSQL's own guess.
const RANGE: f64 = 0.333;
/// Rows that a LIMIT asks for when its number is a parameter.
const LIMIT_ROWS: f64 = 100.0;
/// Costs of the planner by default; an estimate need not be better than that.
const RANDOM_PAGE: f64 = 4.0;
const CPU_TUPLE: f64 = 0.01;
const CPU_INDEX: f64 = 0.005;

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::parse::shape;

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
