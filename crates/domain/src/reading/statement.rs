//! `pg_stat_statements`.
use crate::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// What makes a row of `pg_stat_statements` one and the same over time.
/// Written `dbid.userid.queryid` and `.n` appended for statements inside functions; a string on the wire, because
/// `queryid` does not fit a JavaScript number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatementKey {
    /// Database.
    pub dbid: u32,
    /// Role.
    pub userid: u32,
    /// Fingerprint.
    pub queryid: i64,
    /// Sent by a client (true) or run inside a function (14+).
    pub toplevel: bool,
}

impl fmt::Display for StatementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}{}", self.dbid, self.userid, self.queryid, if self.toplevel { "" } else { ".n" })
    }
}

impl FromStr for StatementKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "a statement id looks like 16384.10.-4192837465; take it from the list of queries".to_owned();
        let (rest, toplevel) = match text.strip_suffix(".n") {
            Some(rest) => (rest, false),
            None => (text, true),
        };
        let mut parts = rest.splitn(3, '.');
        let mut next = || parts.next().ok_or_else(wrong);
        let (dbid, userid, queryid) = (next()?, next()?, next()?);
        Ok(Self {
            dbid: dbid.parse().map_err(|_| wrong())?,
            userid: userid.parse().map_err(|_| wrong())?,
            queryid: queryid.parse().map_err(|_| wrong())?,
            toplevel,
        })
    }
}

impl Serialize for StatementKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StatementKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Cumulative counters of one statement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatementCounters {
    /// Which statement.
    pub key: StatementKey,
    /// Times executed.
    pub calls: i64,
    /// Total execution time.
    pub total_ms: f64,
    /// Population standard deviation of the execution time over all calls so far.
    pub stddev_ms: f64,
    /// Longest execution so far.
    pub max_ms: f64,
    /// Rows returned or affected.
    pub rows: i64,
    /// Shared blocks found in the cache.
    pub shared_blks_hit: i64,
    /// Shared blocks read.
    pub shared_blks_read: i64,
    /// Shared blocks dirtied.
    pub shared_blks_dirtied: i64,
    /// Shared blocks written.
    pub shared_blks_written: i64,
    /// Temporary blocks read.
    pub temp_blks_read: i64,
    /// Temporary blocks written.
    pub temp_blks_written: i64,
    /// Time reading blocks (needs `track_io_timing`).
    pub blk_read_ms: f64,
    /// Time writing blocks (needs `track_io_timing`).
    pub blk_write_ms: f64,
    /// WAL generated.
    pub wal_bytes: i64,
    /// When this entry was made (17+).
    pub stats_since: Option<Timestamp>,
}

impl StatementCounters {
    /// An entry as it was before its statement ran: what the first reading of a new one is compared with.
    pub const fn zero(key: StatementKey) -> Self {
        Self {
            key,
            calls: 0,
            total_ms: 0.0,
            stddev_ms: 0.0,
            max_ms: 0.0,
            rows: 0,
            shared_blks_hit: 0,
            shared_blks_read: 0,
            shared_blks_dirtied: 0,
            shared_blks_written: 0,
            temp_blks_read: 0,
            temp_blks_written: 0,
            blk_read_ms: 0.0,
            blk_write_ms: 0.0,
            wal_bytes: 0,
            stats_since: None,
        }
    }
}

/// All statements at one moment: never limited before it is diffed, or the totals lie.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatementReading {
    /// The entries.
    pub rows: Vec<StatementCounters>,
    /// `pg_stat_statements_info.dealloc` (14+): evictions so far.
    pub dealloc: Option<i64>,
    /// `pg_stat_statements_info.stats_reset` (14+).
    pub stats_reset: Option<Timestamp>,
    /// Entries whose id is hidden from our role.
    pub hidden: i64,
}

/// The normalised text of one statement, fetched once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementText {
    /// Which statement.
    pub key: StatementKey,
    /// Database name.
    pub database: String,
    /// Role name.
    pub user: String,
    /// Text with `$1`, `$2`… in place of constants (utility statements keep theirs).
    pub query: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_key_reads_back_what_it_writes() {
        for key in [
            StatementKey { dbid: 16_384, userid: 10, queryid: i64::MIN, toplevel: true },
            StatementKey { dbid: 0, userid: u32::MAX, queryid: i64::MAX, toplevel: false },
        ] {
            assert_eq!(key.to_string().parse::<StatementKey>().unwrap(), key);
        }
        for wrong in ["", "1", "1.2", "1.2.x", "1.2.3.x", "-1.2.3", "1.2.3.n.n"] {
            assert!(wrong.parse::<StatementKey>().is_err(), "{wrong}");
        }
    }
}
