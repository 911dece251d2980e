//! The list of statements: filtered, sorted, cut into pages, with a rest so that the shares add up.
use crate::sqltext;
use domain::{
    Timestamp,
    reading::StatementKey,
    view::{OtherRow, QueriesParams, QueryFlag, QueryKind, QueryRow, QuerySort},
};

/// One statement over the range, before it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementSum {
    /// Key.
    pub key: StatementKey,
    /// Our id.
    pub statement_id: i64,
    /// Whole normalised text.
    pub text: std::sync::Arc<str>,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// First seen by us.
    pub first_seen_at: Timestamp,
    /// Calls.
    pub calls: i64,
    /// Time.
    pub total_ms: f64,
    /// Sum of squared deviations from the mean.
    pub m2: f64,
    /// Longest since the entry was made.
    pub max_ms: f64,
    /// Rows.
    pub rows: i64,
    /// Blocks from the cache.
    pub shared_blks_hit: i64,
    /// Blocks read.
    pub shared_blks_read: i64,
    /// Temporary blocks written.
    pub temp_blks_written: i64,
    /// WAL.
    pub wal_bytes: i64,
}

/// PostgreSQL's block size but for those who compiled their own.
pub const BLOCK_BYTES: i64 = 8_192;
/// Characters of a statement in a list.
const TEXT_CHARS: usize = 400;

/// From this change of the mean on a statement has become slower, and did not merely vary.
const REGRESSED_PERCENT: f64 = 50.0;

/// What a page is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryList {
    /// The rows, without sparkline; beside each our id.
    pub rows: Vec<(i64, QueryRow)>,
    /// The rest.
    pub other: OtherRow,
    /// Statements that match.
    pub matching: i64,
    /// Over the threshold.
    pub slow: i64,
    /// Time of all statements, matching or not.
    pub total_ms: f64,
    /// For the next page.
    pub next_cursor: Option<String>,
}

/// Filters, sorts and cuts.
pub fn list(
    all: &[StatementSum],
    params: &QueriesParams,
    window_seconds: f64,
    slow_ms: f64,
    new_since: Timestamp,
) -> QueryList {
    let total_ms = all.iter().map(|sum| sum.total_ms).sum::<f64>();
    let all_calls = all.iter().map(|sum| sum.calls).sum::<i64>();
    let words = params.search.as_deref().unwrap_or_default().to_lowercase();
    let words = words.split_whitespace().collect::<Vec<_>>();
    let mut matching = all
        .iter()
        .filter(|sum| matches(sum, params, &words, slow_ms))
        .map(|sum| (sort_value(sum, params.sort), sum))
        .collect::<Vec<_>>();
    let order = |a: &(Value, &StatementSum), b: &(Value, &StatementSum)| {
        let by_value = if params.descending { b.0.compare(&a.0) } else { a.0.compare(&b.0) };
        by_value.then_with(|| a.1.key.cmp(&b.1.key))
    };
    matching.sort_by(order);
    let count = matching.len();
    // The cursor is the key of the last row: stable as long as that statement is there, else the list begins anew.
    let start = params
        .cursor
        .as_deref()
        .and_then(|cursor| cursor.parse::<StatementKey>().ok())
        .and_then(|key| matching.iter().position(|(_, sum)| sum.key == key))
        .map_or(0, |last| last + 1);
    let shown = matching.iter().skip(start).take(params.limit as usize).map(|(_, sum)| *sum).collect::<Vec<_>>();
    let next_cursor = (start + shown.len() < count).then(|| shown.last().map(|sum| sum.key.to_string())).flatten();
    let rows = shown
        .iter()
        .map(|sum| (sum.statement_id, row(sum, total_ms, window_seconds, slow_ms, new_since)))
        .collect::<Vec<_>>();
    let (calls, ms) =
        (shown.iter().map(|sum| sum.calls).sum::<i64>(), shown.iter().map(|sum| sum.total_ms).sum::<f64>());
    let other_ms = (total_ms - ms).max(0.0);
    QueryList {
        other: OtherRow {
            statements: to_i64(all.len() - shown.len()),
            calls: all_calls - calls,
            total_ms: other_ms,
            total_percent: percent(other_ms, total_ms),
        },
        rows,
        matching: to_i64(count),
        slow: to_i64(all.iter().filter(|sum| mean(sum) >= slow_ms).count()),
        total_ms,
        next_cursor,
    }
}

/// One row.
pub fn row(sum: &StatementSum, total_ms: f64, window_seconds: f64, slow_ms: f64, new_since: Timestamp) -> QueryRow {
    let mean_ms = mean(sum);
    let blocks = sum.shared_blks_hit + sum.shared_blks_read;
    let flags = [
        (mean_ms >= slow_ms, QueryFlag::Slow),
        (sum.first_seen_at > new_since, QueryFlag::New),
        (sum.temp_blks_written > 0, QueryFlag::Temp),
        (blocks > 1_000 && sum.shared_blks_read * 2 > blocks, QueryFlag::ColdReads),
    ];
    QueryRow {
        id: sum.key.to_string(),
        fingerprint: sum.key.queryid.to_string(),
        query: sqltext::one_line(&sum.text, TEXT_CHARS),
        kind: sqltext::kind(&sum.text),
        database: sum.database.clone(),
        user: sum.user.clone(),
        calls: sum.calls,
        calls_per_second: if window_seconds > 0.0 { sum.calls as f64 / window_seconds } else { 0.0 },
        total_ms: sum.total_ms,
        total_percent: percent(sum.total_ms, total_ms),
        mean_ms,
        stddev_ms: (sum.calls > 1).then(|| stddev(sum)),
        max_ms: Some(sum.max_ms),
        rows_per_call: sum.rows as f64 / sum.calls.max(1) as f64,
        hit_percent: crate::rates::hit_percent(sum.shared_blks_hit, sum.shared_blks_read),
        read_bytes: sum.shared_blks_read * BLOCK_BYTES,
        temp_bytes: sum.temp_blks_written * BLOCK_BYTES,
        wal_bytes: sum.wal_bytes,
        mean_change_percent: None,
        spark: Vec::new(),
        flags: flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).collect(),
    }
}

/// Says by how much the mean changed, and whether that stands out.
pub fn compare(row: &mut QueryRow, earlier_mean_ms: f64) {
    if earlier_mean_ms <= 0.0 {
        return;
    }
    let percent = 100.0 * (row.mean_ms - earlier_mean_ms) / earlier_mean_ms;
    row.mean_change_percent = Some(percent);
    if percent >= REGRESSED_PERCENT {
        row.flags.push(QueryFlag::Regressed);
    }
}

fn matches(sum: &StatementSum, params: &QueriesParams, words: &[&str], slow_ms: f64) -> bool {
    let wanted = |filter: &Option<String>, value: &str| {
        filter.as_deref().is_none_or(|filter| filter.is_empty() || filter == value)
    };
    wanted(&params.database, &sum.database)
        && wanted(&params.user, &sum.user)
        && params.kind.is_none_or(|kind: QueryKind| sqltext::kind(&sum.text) == kind)
        && params.min_calls.is_none_or(|least| sum.calls >= i64::from(least))
        && (!params.slow_only || mean(sum) >= slow_ms)
        && (!params.hide_monitoring || !sqltext::is_own(&sum.text))
        && (words.is_empty() || {
            let text = format!("{} {} {} {}", sum.text.to_lowercase(), sum.database, sum.user, sum.key);
            words.iter().all(|word| text.contains(word))
        })
}

enum Value {
    Number(f64),
    Text(String),
}

impl Value {
    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => std::cmp::Ordering::Equal,
        }
    }
}

fn sort_value(sum: &StatementSum, sort: QuerySort) -> Value {
    let blocks = sum.shared_blks_hit + sum.shared_blks_read;
    Value::Number(match sort {
        QuerySort::Total => sum.total_ms,
        QuerySort::Calls => sum.calls as f64,
        QuerySort::Mean => mean(sum),
        QuerySort::Stddev => stddev(sum),
        QuerySort::Max => sum.max_ms,
        QuerySort::Rows => sum.rows as f64 / sum.calls.max(1) as f64,
        // Not applicable sorts after everything else in either direction would surprise: it counts as 101 %.
        QuerySort::Hit => {
            if blocks > 0 {
                100.0 * sum.shared_blks_hit as f64 / blocks as f64
            } else {
                101.0
            }
        }
        QuerySort::Temp => sum.temp_blks_written as f64,
        QuerySort::Wal => sum.wal_bytes as f64,
        QuerySort::Database => return Value::Text(sum.database.clone()),
        QuerySort::User => return Value::Text(sum.user.clone()),
        QuerySort::Query => return Value::Text(sqltext::one_line(&sum.text, TEXT_CHARS).to_lowercase()),
    })
}

fn mean(sum: &StatementSum) -> f64 {
    sum.total_ms / sum.calls.max(1) as f64
}

fn stddev(sum: &StatementSum) -> f64 {
    (sum.m2.max(0.0) / sum.calls.max(1) as f64).sqrt()
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(queryid: i64, text: &str, calls: i64, total_ms: f64) -> StatementSum {
        StatementSum {
            key: StatementKey { dbid: 1, userid: 1, queryid, toplevel: true },
            statement_id: queryid,
            text: text.into(),
            database: "shop".into(),
            user: if queryid % 2 == 0 { "api".into() } else { "worker".into() },
            first_seen_at: Timestamp(0),
            calls,
            total_ms,
            m2: 0.0,
            max_ms: total_ms,
            rows: calls,
            shared_blks_hit: 90,
            shared_blks_read: 10,
            temp_blks_written: 0,
            wal_bytes: 0,
        }
    }

    fn statements(count: i64) -> Vec<StatementSum> {
        (1..=count).map(|i| sum(i, &format!("SELECT {i} FROM t{i}"), i, (i * 7 % 13) as f64 * 10.0)).collect()
    }

    proptest! {
        #[test]
        fn pages_show_every_statement_once_and_shares_add_up(count in 1i64..60, limit in 1u32..20, descending: bool, sort in 0usize..12) {
            let all = statements(count);
            let mut params = QueriesParams { limit, descending, sort: QuerySort::ALL[sort], ..QueriesParams::default() };
            let mut seen = Vec::new();
            loop {
                let page = list(&all, &params, 60.0, 1_000.0, Timestamp(0));
                let shares = page.rows.iter().map(|row| row.1.total_percent).sum::<f64>() + page.other.total_percent;
                prop_assert!(page.total_ms == 0.0 || (shares - 100.0).abs() < 1e-6);
                prop_assert_eq!(page.rows.len() as i64 + page.other.statements, count);
                seen.extend(page.rows.iter().map(|row| row.0));
                params.cursor = page.next_cursor;
                if params.cursor.is_none() { break; }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (1..=count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_mean_that_is_half_as_long_again_is_marked_and_an_earlier_one_of_nothing_says_nothing() {
        let changed = |earlier| {
            let mut row = row(&sum(1, "SELECT 1", 10, 150.0), 150.0, 60.0, 1_000.0, Timestamp(0));
            compare(&mut row, earlier);
            (row.mean_change_percent, row.flags.contains(&QueryFlag::Regressed))
        };
        assert_eq!(changed(10.0), (Some(50.0), true));
        assert_eq!(changed(12.0), (Some(25.0), false));
        assert_eq!(changed(0.0), (None, false));
    }

    #[test]
    fn filters_narrow_the_list_and_not_the_total() {
        let mut all = statements(10);
        all.push(sum(11, "/* holdfast:activity */ SELECT 1", 5, 50.0));
        all.push(sum(12, "INSERT INTO t3 VALUES ($1)", 1, 5_000.0));
        let count = |params: QueriesParams| list(&all, &params, 60.0, 1_000.0, Timestamp(0)).matching;
        assert_eq!(count(QueriesParams::default()), 11);
        assert_eq!(count(QueriesParams { hide_monitoring: false, ..QueriesParams::default() }), 12);
        assert_eq!(count(QueriesParams { search: Some("T3 select".into()), ..QueriesParams::default() }), 1);
        assert_eq!(count(QueriesParams { kind: Some(QueryKind::Dml), ..QueriesParams::default() }), 1);
        assert_eq!(count(QueriesParams { slow_only: true, ..QueriesParams::default() }), 1);
        assert_eq!(count(QueriesParams { user: Some("api".into()), ..QueriesParams::default() }), 6);
        assert_eq!(count(QueriesParams { user: Some("nobody".into()), ..QueriesParams::default() }), 0);
        assert_eq!(count(QueriesParams { min_calls: Some(9), ..QueriesParams::default() }), 2);
        let one = list(&all, &QueriesParams { limit: 1, ..QueriesParams::default() }, 60.0, 1_000.0, Timestamp(0));
        assert_eq!((one.rows[0].0, one.rows[0].1.flags.as_slice()), (12, [QueryFlag::Slow].as_slice()));
    }
}
