//! Which indexes are unused, duplicate or invalid, and which foreign keys lack one; with the evidence and the SQL.
//!
//! An index without scans is not one that may be dropped: it may stand behind a constraint, be used on a standby, or
//! the counters may be young. Each of these is looked at, and said.
use domain::{
    Timestamp, format,
    reading::{BloatEstimate, ForeignKey, IndexCounters, IndexReading},
    view::{
        Availability, DuplicateKind, IndexFinding, IndexRow, IndexTab, IndexTotals, IndexesPage, MissingForeignKey,
    },
};
use std::collections::HashMap;

/// One server of the cluster with its reading.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Name for the evidence.
    pub name: &'a str,
    /// Its reading.
    pub reading: &'a IndexReading,
    /// Counters cannot be older than the server's start when it lost them in a crash.
    pub started_at: Timestamp,
}

/// What the rules are tuned by.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Counters younger than this say nothing about use.
    pub counting_at_least_seconds: f64,
    /// Smaller indexes are not worth a word.
    pub unused_at_least_bytes: i64,
    /// Foreign keys of smaller tables are left out.
    pub foreign_key_at_least_rows: f64,
}

/// A use that comes by the day has been seen by then.
const A_WEEK: f64 = 7.0 * 86_400.0;

impl Default for Rules {
    fn default() -> Self {
        // pganalyze waits 35 days; we say how long we have counted and let the reader judge, from an hour on.
        Self {
            counting_at_least_seconds: 3_600.0,
            unused_at_least_bytes: 64 * 1_024,
            foreign_key_at_least_rows: 1_000.0,
        }
    }
}

/// Scans of all nodes by name of the index, as they were last recorded, for the scans of the hour between.
pub type Recorded = HashMap<String, i64>;

/// Rates since the reading before, by (database, oid).
pub type Previous = HashMap<(String, u32), (i64, i64)>;

/// Scans and table writes of each index, to be handed to the next [`page`].
pub fn remember(reading: &IndexReading) -> Previous {
    reading.rows.iter().map(|row| ((row.database.clone(), row.oid), (row.scans, row.table_writes))).collect()
}

/// Scans in an hour since they were last recorded, of the `most` largest indexes, and what to remember for the next time.
/// A counter that fell began anew: of such an index nothing is said this time.
pub fn scans_per_hour(
    page: &IndexesPage,
    recorded: Option<(&Recorded, f64)>,
    most: usize,
) -> (Vec<(String, f64)>, Recorded) {
    let rows = page.rows.iter().filter(|row| row.bytes > 0).take(most);
    let rate = |row: &IndexRow| {
        let (recorded, seconds) = recorded?;
        let before = *recorded.get(&row.key)?;
        let risen = row.scans >= before && seconds > 0.0;
        risen.then(|| (row.key.clone(), (row.scans - before) as f64 * 3_600.0 / seconds))
    };
    let rates = rows.clone().filter_map(rate).collect();
    (rates, rows.map(|row| (row.key.clone(), row.scans)).collect())
}

/// Blocks from shared buffers and from elsewhere by name of the index, as they were last recorded.
pub type RecordedBlocks = HashMap<String, (i64, i64)>;

/// Of the blocks that were touched since they were last recorded, how many were found in shared buffers, in percent, for the
/// `most` largest indexes of the server itself; and what to remember for the next time. Nothing is said of an index that
/// was not touched, nor of one whose counters fell.
pub fn hit_percents(
    page: &IndexesPage,
    reading: &IndexReading,
    recorded: Option<&RecordedBlocks>,
    most: usize,
) -> (Vec<(String, f64)>, RecordedBlocks) {
    let key = |index: &IndexCounters| format!("{}.{}", index.database, qualified(index));
    let blocks = reading.rows.iter().map(|index| (key(index), (index.blks_hit, index.blks_read)));
    let blocks = blocks.collect::<RecordedBlocks>();
    let rows = page.rows.iter().filter(|row| row.bytes > 0).take(most);
    let percent = |row: &IndexRow| {
        let ((hit, read), (hit_before, read_before)) = (blocks.get(&row.key)?, recorded?.get(&row.key)?);
        let (hit, read) = (hit - hit_before, read - read_before);
        let percent = crate::rates::hit_percent(hit, read).filter(|_| hit >= 0 && read >= 0)?;
        Some((row.key.clone(), percent))
    };
    let percents = rows.clone().filter_map(percent).collect();
    (percents, rows.filter_map(|row| Some((row.key.clone(), *blocks.get(&row.key)?))).collect())
}

/// Key columns and expressions, and included columns, as a definition has them.
pub fn columns(definition: &str) -> (Vec<String>, Vec<String>) {
    let after_method = definition.find(" USING ").map_or(definition, |at| &definition[at..]);
    let Some((keys, rest)) = bracketed(after_method) else { return (Vec::new(), Vec::new()) };
    let included = rest.trim_start().strip_prefix("INCLUDE").and_then(bracketed).map(|(list, _)| list);
    (keys, included.unwrap_or_default())
}

/// What stands in the first brackets, at its commas, and what comes after.
fn bracketed(text: &str) -> Option<(Vec<String>, &str)> {
    let begin = text.find('(')?;
    let (mut depth, mut quoted, mut parts, mut from) = (0, None, Vec::new(), begin + 1);
    for (i, c) in text.char_indices().skip_while(|(i, _)| *i < begin) {
        match (quoted, c) {
            (Some(quote), c) if c == quote => quoted = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quoted = Some(c),
            (None, '(') => depth += 1,
            (None, ',') if depth == 1 => {
                parts.push(text[from..i].trim().to_owned());
                from = i + 1;
            }
            (None, ')') => {
                depth -= 1;
                if depth == 0 {
                    parts.push(text[from..i].trim().to_owned());
                    return Some((parts, &text[i + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}

/// The page: `nodes[0]` is the server looked at, the others are its standbys, whose scans are added. `bloat` is what was
/// last estimated of the larger ones.
pub fn page(
    nodes: &[Node<'_>],
    previous: Option<(&Previous, f64)>,
    bloat: &[BloatEstimate],
    rules: Rules,
    at: Timestamp,
) -> IndexesPage {
    let Some(main) = nodes.first() else { return IndexesPage::default() };
    let estimates = bloat.iter().map(|it| ((it.database.as_str(), it.oid), it)).collect::<HashMap<_, _>>();
    let mut elsewhere = HashMap::<(&str, &str, &str), Vec<(&str, i64, Option<Timestamp>)>>::new();
    for node in nodes.iter().skip(1) {
        for row in &node.reading.rows {
            let of = elsewhere.entry((&row.database, &row.schema, &row.name)).or_default();
            of.push((node.name, row.scans, row.last_scan));
        }
    }
    let others = |row: &IndexCounters| {
        let found = elsewhere.get(&(row.database.as_str(), row.schema.as_str(), row.name.as_str()));
        found.cloned().unwrap_or_default()
    };
    let scans_of = |row: &IndexCounters| row.scans + others(row).iter().map(|it| it.1).sum::<i64>();
    // A partitioned index is used when one of its partitions is.
    let mut family = HashMap::<(&str, String), i64>::new();
    for row in &main.reading.rows {
        if let Some(parent) = &row.parent {
            *family.entry((&row.database, parent.clone())).or_default() += scans_of(row);
        }
    }
    let counting_since = counting_since(nodes);
    let counted = counting_since.map_or(0.0, |since| at.seconds_since(since));
    let all = &main.reading.rows;
    let mut rows = all
        .iter()
        .map(|index| {
            let scans =
                scans_of(index) + family.get(&(index.database.as_str(), qualified(index))).copied().unwrap_or(0);
            let mut findings = Vec::new();
            findings.extend(invalid(index));
            findings.extend(duplicate(index, all));
            if findings.is_empty() && counted >= rules.counting_at_least_seconds {
                findings.extend(unused(index, scans, nodes.len(), counted, rules));
            }
            let rate = |now: i64, pick: fn(&(i64, i64)) -> i64| {
                let (previous, seconds) = previous?;
                let before = pick(previous.get(&(index.database.clone(), index.oid))?);
                (seconds > 0.0 && now >= before).then(|| (now - before) as f64 / seconds)
            };
            let elsewhere = others(index);
            let own = (nodes.len() > 1).then(|| (main.name.to_owned(), index.scans));
            let node_scans = own.into_iter().chain(elsewhere.iter().map(|it| (it.0.to_owned(), it.1)));
            IndexRow {
                key: format!("{}.{}", index.database, qualified(index)),
                node_scans: node_scans.collect(),
                last_seen_rising: None,
                bloat_estimate_bytes: estimates
                    .get(&(index.database.as_str(), index.oid))
                    .and_then(|estimate| crate::index_bloat::bytes(estimate)),
                database: index.database.clone(),
                schema: index.schema.clone(),
                table: index.table.clone(),
                name: index.name.clone(),
                definition: index.definition.clone(),
                method: index.method.clone(),
                bytes: index.bytes,
                scans,
                scans_per_second: rate(index.scans, |it| it.0),
                last_scan: elsewhere.iter().map(|it| it.2).chain([index.last_scan]).flatten().max(),
                rows_read: index.rows_read,
                rows_fetched: index.rows_fetched,
                hit_percent: crate::rates::hit_percent(index.blks_hit, index.blks_read),
                table_writes_per_second: rate(index.table_writes, |it| it.1),
                labels: labels(index),
                findings,
            }
        })
        .collect::<Vec<_>>();
    rows.sort_by(|a, b| {
        b.bytes.cmp(&a.bytes).then_with(|| (&a.database, &a.schema, &a.name).cmp(&(&b.database, &b.schema, &b.name)))
    });
    let missing_foreign_keys = missing_foreign_keys(&main.reading.foreign_keys, rules);
    let mut page = IndexesPage {
        cluster: String::new(),
        sequence: 0,
        collected_at: Some(at),
        nodes: nodes.iter().map(|node| node.name.to_owned()).collect(),
        counting_since,
        wasted_bytes: 0,
        put_aside: 0,
        rows,
        missing_foreign_keys,
        counts: Vec::new(),
        skipped: main.reading.skipped.clone(),
        availability: Availability::Ready,
    };
    count(&mut page);
    page
}

/// Adds up what is found, anew.
fn count(page: &mut IndexesPage) {
    page.counts = IndexTab::ALL
        .map(|tab| match tab {
            IndexTab::MissingForeignKey => page.missing_foreign_keys.len(),
            tab => page.rows.iter().filter(|row| is_on(row, tab)).count(),
        })
        .map(|count| i64::try_from(count).unwrap_or(i64::MAX))
        .into();
    page.wasted_bytes = page.rows.iter().filter(|row| !row.findings.is_empty()).map(|row| row.bytes).sum();
}

/// The stable name of a finding about an index, by which it is put aside.
pub fn finding_key(row: &IndexRow, finding: &IndexFinding) -> String {
    let kind = match finding {
        IndexFinding::Unused { .. } => "unused",
        IndexFinding::Duplicate { .. } => "duplicate",
        IndexFinding::Invalid { .. } => "invalid",
    };
    format!("{kind}:{}.{}.{}", row.database, row.schema, row.name)
}

/// The stable name of a foreign key without an index.
pub fn foreign_key_key(key: &MissingForeignKey) -> String {
    format!("missing_foreign_key:{}.{}.{}.{}", key.database, key.schema, key.table, key.constraint)
}

/// Leaves the indexes and keys of one database and counts again.
pub fn only_of(page: &mut IndexesPage, database: &str) {
    page.rows.retain(|row| row.database == database);
    page.missing_foreign_keys.retain(|key| key.database == database);
    page.skipped.retain(|skipped| skipped.0 == database);
    count(page);
}

/// Takes out what was put aside and counts again.
pub fn without(page: &mut IndexesPage, put_aside: impl Fn(&str) -> bool) {
    let mut gone = 0;
    for row in &mut page.rows {
        let findings = std::mem::take(&mut row.findings);
        let before = findings.len();
        row.findings = findings.into_iter().filter(|finding| !put_aside(&finding_key(row, finding))).collect();
        gone += before - row.findings.len();
    }
    let before = page.missing_foreign_keys.len();
    page.missing_foreign_keys.retain(|key| !put_aside(&foreign_key_key(key)));
    gone += before - page.missing_foreign_keys.len();
    page.put_aside = i64::try_from(gone).unwrap_or(i64::MAX);
    count(page);
}

/// Whether an index is shown on a tab.
pub fn is_on(row: &IndexRow, tab: IndexTab) -> bool {
    match tab {
        IndexTab::All => true,
        IndexTab::Unused => row.findings.iter().any(|it| matches!(it, IndexFinding::Unused { .. })),
        IndexTab::Duplicate => row.findings.iter().any(|it| matches!(it, IndexFinding::Duplicate { .. })),
        IndexTab::Invalid => row.findings.iter().any(|it| matches!(it, IndexFinding::Invalid { .. })),
        IndexTab::MissingForeignKey => false,
    }
}

/// The figures of the dashboard.
pub fn totals(page: &IndexesPage) -> IndexTotals {
    let count = |tab: IndexTab| {
        IndexTab::ALL.iter().position(|it| *it == tab).and_then(|i| page.counts.get(i)).copied().unwrap_or(0)
    };
    IndexTotals {
        unused: count(IndexTab::Unused),
        duplicate: count(IndexTab::Duplicate),
        invalid: count(IndexTab::Invalid),
        missing_foreign_key: count(IndexTab::MissingForeignKey),
        wasted_bytes: page.wasted_bytes,
    }
}

/// When counting began on the node that began last: `stats_reset`, or the server's start where it was never reset.
fn counting_since(nodes: &[Node<'_>]) -> Option<Timestamp> {
    nodes
        .iter()
        .map(|node| node.reading.stats_reset.iter().filter_map(|(_, reset)| *reset).max().unwrap_or(node.started_at))
        .max()
}

fn qualified(index: &IndexCounters) -> String {
    format!("{}.{}", index.schema, index.name)
}

fn labels(index: &IndexCounters) -> Vec<String> {
    [
        (index.primary, "primary"),
        (index.unique && !index.primary, "unique"),
        (index.backs_constraint && !index.primary, "constraint"),
        (index.predicate.is_some(), "partial"),
        (index.expressions.is_some(), "expression"),
        (index.replica_identity, "replica identity"),
        (index.partitioned, "partitioned"),
        (!index.valid && !index.building, "invalid"),
        (index.building, "building"),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .map(|(_, label)| label.to_owned())
    .collect()
}

/// Something depends on it, whatever its scans.
fn is_needed(index: &IndexCounters) -> bool {
    index.primary || index.unique || index.backs_constraint || index.replica_identity
}

fn invalid(index: &IndexCounters) -> Option<IndexFinding> {
    // The parent of a partitioned index is invalid until all partitions have one: no failed build.
    (!index.valid && !index.building && !index.partitioned).then(|| IndexFinding::Invalid {
        evidence: format!(
            "A concurrent build of {} failed or was stopped: it is kept up by every write and serves no query.",
            index.name
        ),
        rebuild_sql: format!("{}\n{}", drop_sql(index), create_sql(index)),
    })
}

fn unused(index: &IndexCounters, scans: i64, nodes: usize, counted: f64, rules: Rules) -> Option<IndexFinding> {
    // Partitions are judged by their parent: a parent has no scans of its own but those of its partitions.
    if scans > 0 || is_needed(index) || !index.valid || index.building || index.parent.is_some() {
        return None;
    }
    if !index.partitioned && index.bytes < rules.unused_at_least_bytes {
        return None;
    }
    let on = if nodes == 1 {
        "on this server; standbys that Holdfast does not watch are not counted".to_owned()
    } else {
        format!("on {nodes} servers")
    };
    Some(IndexFinding::Unused {
        evidence: format!(
            "0 scans in {} {on}. It is not unique and backs no constraint.{}",
            format::duration_s(counted),
            if counted < A_WEEK {
                " That is too short to know: what runs by the week or month may need it."
            } else {
                ""
            }
        ),
        drop_sql: drop_sql(index),
        undo_sql: create_sql(index),
    })
}

fn duplicate(index: &IndexCounters, all: &[IndexCounters]) -> Option<IndexFinding> {
    if is_needed(index) || !index.valid || index.building || index.parent.is_some() {
        return None;
    }
    let others = all.iter().filter(|other| {
        other.database == index.database
            && other.table_oid == index.table_oid
            && other.oid != index.oid
            && other.valid
            && !other.building
    });
    let (how, other) = others
        .filter_map(|other| covers(other, index).map(|how| (how, other)))
        // Of two alike one is reported: the younger, unless the other is needed anyway.
        .filter(|(how, other)| *how == DuplicateKind::Prefix || is_needed(other) || other.oid < index.oid)
        .min_by_key(|(how, other)| (*how == DuplicateKind::Prefix, other.oid))?;
    let evidence = match how {
        DuplicateKind::Exact => format!("{} has the same columns, order and operator classes.", other.name),
        DuplicateKind::Prefix => format!(
            "The columns are the first ones of {}, which serves the same searches; it is larger, so a scan may read a little more.",
            other.name
        ),
    };
    Some(IndexFinding::Duplicate {
        how,
        covered_by: qualified(other),
        evidence,
        drop_sql: drop_sql(index),
        undo_sql: create_sql(index),
    })
}

/// Whether `other` can do all that `index` does.
fn covers(other: &IndexCounters, index: &IndexCounters) -> Option<DuplicateKind> {
    let columns = usize::try_from(index.key_columns).unwrap_or(0);
    let comparable = other.method == index.method
        && other.predicate == index.predicate
        && index.expressions.is_none()
        && other.expressions.is_none()
        && other.key_columns >= index.key_columns
        && columns > 0;
    if !comparable {
        return None;
    }
    let same = |a: &[i16], b: &[i16]| a.get(..columns).is_some_and(|a| b.get(..columns) == Some(a));
    let same_oids = |a: &[u32], b: &[u32]| a.get(..columns).is_some_and(|a| b.get(..columns) == Some(a));
    if !same(&index.key, &other.key)
        || !same(&index.options, &other.options)
        || !same_oids(&index.classes, &other.classes)
        || !same_oids(&index.collations, &other.collations)
    {
        return None;
    }
    // Included columns serve index-only scans: the other must have them too.
    let included = index.key.get(columns..).unwrap_or_default();
    if !included.iter().all(|column| other.key.contains(column)) {
        return None;
    }
    if other.key_columns == index.key_columns {
        return Some(DuplicateKind::Exact);
    }
    // Only a btree can be searched by its first columns; a GIN index searches each column alone.
    (index.method == "btree").then_some(DuplicateKind::Prefix)
}

fn missing_foreign_keys(keys: &[ForeignKey], rules: Rules) -> Vec<MissingForeignKey> {
    let mut missing = keys
        .iter()
        .filter(|key| !key.indexed && key.table_rows >= rules.foreign_key_at_least_rows)
        .map(|key| {
            let columns = key.columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ");
            let name = format!("{}_{}_idx", key.table, key.columns.join("_")).chars().take(63).collect::<String>();
            MissingForeignKey {
                database: key.database.clone(),
                schema: key.schema.clone(),
                table: key.table.clone(),
                constraint: key.name.clone(),
                definition: key.definition.clone(),
                table_rows: key.table_rows,
                table_bytes: key.table_bytes,
                evidence: format!(
                    "Each DELETE from {} or change of its key reads all {} rows of {} to look for references, holding a lock meanwhile.",
                    key.references,
                    format::count(key.table_rows),
                    key.table
                ),
                create_sql: format!("CREATE INDEX CONCURRENTLY {} ON {}.{} ({columns});", quote(&name), quote(&key.schema), quote(&key.table)),
                undo_sql: format!("DROP INDEX CONCURRENTLY {}.{};", quote(&key.schema), quote(&name)),
            }
        })
        .collect::<Vec<_>>();
    missing.sort_by(|a, b| b.table_bytes.cmp(&a.table_bytes).then_with(|| a.constraint.cmp(&b.constraint)));
    missing
}

/// A partitioned index can only be dropped as a whole and under a lock.
fn drop_sql(index: &IndexCounters) -> String {
    let name = format!("{}.{}", quote(&index.schema), quote(&index.name));
    if index.partitioned {
        format!("SET lock_timeout = '2s'; -- a partitioned index cannot be dropped concurrently\nDROP INDEX {name};")
    } else {
        format!("DROP INDEX CONCURRENTLY {name};")
    }
}

fn create_sql(index: &IndexCounters) -> String {
    let definition = index.definition.trim_end_matches(';');
    if index.partitioned {
        return format!(
            "{definition}; -- on a large table: ON ONLY the parent, then CONCURRENTLY on each partition, then ALTER INDEX … ATTACH PARTITION"
        );
    }
    let concurrently = ["CREATE UNIQUE INDEX ", "CREATE INDEX "]
        .iter()
        .find_map(|head| definition.strip_prefix(head).map(|rest| format!("{head}CONCURRENTLY {rest};")));
    concurrently.unwrap_or_else(|| format!("{definition};"))
}

/// Quotes a name where it must be.
pub fn quote(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && domain::sql_tokens::tokens(name)
            .first()
            .is_some_and(|(kind, _)| *kind == domain::sql_tokens::TokenKind::Name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests;
