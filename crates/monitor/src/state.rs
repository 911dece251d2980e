//! What is known of one cluster between ticks.
use crate::{cadence::Cadence, collector::Collectors, disk, log_samples::LogNames};
use analysis::{
    durations::DurationWindow,
    health::HealthTracker,
    indexes::{Previous, Recorded, RecordedBlocks},
    locks::Episode,
    rates::DatabaseWindow,
    replication::Replicas,
    statements::{StatementDelta, StatementTracker, StatementWindow},
    tables,
};
use domain::{
    Lsn, Timestamp,
    reading::{
        ActivityReading, BloatEstimate, DatabaseReading, IndexReading, IoReading, KnownStandby, LogPosition,
        ReplicationReading, ServerReading, SettingsReading, StatementCounters, StatementKey, TableCounters,
        TableReading, VacuumReading, WalReading,
    },
    view::{
        ClusterState, ColumnsKept, Health, HostPage, IndexesPage, IoRow, LockNode, LockSnapshot, TablesPage, WaitLoad,
        WalView,
    },
};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// Figures on the dashboard are of the last five minutes.
pub(crate) const WINDOW_SECONDS: f64 = 300.0;

/// Names of statements that are kept beyond those that the server has: one that comes back needs its text again.
const NAMES_BEYOND: usize = 10_000;

/// What the watches share: readings of indexes that other clusters add theirs to, as a primary's scans are not all scans.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) indexes: Mutex<HashMap<String, NodeIndexes>>,
    /// Directories of this machine that are being asked for their room.
    pub(crate) disks: disk::Asking,
    /// Cluster and name of standbys of which a person has said, here or to another server, that they will not come back, until
    /// its watch has taken them out.
    gone_for_good: Mutex<Vec<(String, String)>>,
    /// By cluster the standbys that the store knew at our start, until its watch has taken them; `None` before they are read.
    known_standbys: Mutex<Option<HashMap<String, Vec<KnownStandby>>>>,
}

impl Shared {
    /// What the store knew of standbys at our start.
    pub(crate) fn know_standbys(&self, known: HashMap<String, Vec<KnownStandby>>) {
        *self.known_standbys.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    /// Those of a cluster; `None` before they are read.
    pub(crate) fn take_known_standbys(&self, cluster: &str) -> Option<Vec<KnownStandby>> {
        let mut all = self.known_standbys.lock().unwrap_or_else(PoisonError::into_inner);
        all.as_mut().map(|all| all.remove(cluster).unwrap_or_default())
    }

    /// A standby of a cluster will not come back.
    pub(crate) fn forget_standby(&self, cluster: &str, name: &str) {
        let mut all = self.gone_for_good.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((cluster.to_owned(), name.to_owned()));
    }

    /// Those of a cluster that were said since the last look.
    pub(crate) fn take_gone_for_good(&self, cluster: &str) -> Vec<String> {
        let mut all = self.gone_for_good.lock().unwrap_or_else(PoisonError::into_inner);
        all.extract_if(.., |(of, _)| of == cluster).map(|(_, name)| name).collect()
    }
}

/// The newest index reading of one server.
#[derive(Clone, Debug)]
pub(crate) struct NodeIndexes {
    pub(crate) standby_of: Option<String>,
    pub(crate) reading: Arc<IndexReading>,
    pub(crate) started_at: Timestamp,
}

/// Everything of one cluster.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) sequence: u64,
    /// What is wrong with its backups, when it has some.
    pub(crate) recovery: Option<Vec<domain::view::RecoveryProblem>>,
    pub(crate) connection: ClusterState,
    pub(crate) collectors: Collectors,
    pub(crate) collected_at: Option<Timestamp>,
    pub(crate) tick_ms: f64,
    pub(crate) samples_skipped: u64,
    pub(crate) server: Option<ServerReading>,
    pub(crate) activity: Option<(Timestamp, ActivityReading)>,
    pub(crate) database: Option<(Instant, DatabaseReading)>,
    pub(crate) databases_bytes: Option<i64>,
    /// By oid: read less often than the counters.
    pub(crate) database_sizes: BTreeMap<u32, i64>,
    pub(crate) sizes_read: Option<Instant>,
    pub(crate) database_window: DatabaseWindow,
    pub(crate) statements_read: Option<Instant>,
    pub(crate) statement_tracker: StatementTracker,
    pub(crate) statement_window: StatementWindow,
    /// Up to where the log was read, and when.
    pub(crate) log_read: Option<(Instant, LogPosition)>,
    pub(crate) durations: DurationWindow,
    pub(crate) log_names: LogNames,
    /// Why no plans come from the log.
    pub(crate) auto_explain: Option<String>,
    pub(crate) statement_names: HashMap<StatementKey, (Arc<str>, String, String)>,
    pub(crate) unnamed: HashSet<StatementKey>,
    /// Of those that have a name here: the store lacks their texts, and they are to be read again.
    pub(crate) lost_texts: HashSet<StatementKey>,
    pub(crate) evictions: VecDeque<(Instant, i64)>,
    pub(crate) load: VecDeque<(f64, Vec<WaitLoad>)>,
    /// The trees of the last look.
    pub(crate) locks: Vec<LockNode>,
    pub(crate) lock_episode: Episode,
    /// Graphs of waiting that is over, to be recorded.
    pub(crate) lock_snapshots: Vec<LockSnapshot>,
    /// The most sessions that waited at one look since the last tick.
    pub(crate) most_blocked: Option<i64>,
    pub(crate) replication: Option<ReplicationReading>,
    pub(crate) replicas: Replicas,
    pub(crate) wal: Option<(Instant, WalReading)>,
    pub(crate) wal_rate: Option<f64>,
    pub(crate) archiver_failing: Option<bool>,
    pub(crate) last_lsn: Option<(Instant, Lsn)>,
    pub(crate) tables: Option<TableReading>,
    pub(crate) tables_read: Option<Instant>,
    pub(crate) tables_before: Option<tables::Previous>,
    pub(crate) tables_page: Arc<TablesPage>,
    /// When the sizes of tables were last recorded.
    pub(crate) tables_recorded: Option<Instant>,
    /// Sizes of tables, to be recorded.
    pub(crate) table_sizes: Vec<(String, i64)>,
    pub(crate) bloat: Vec<BloatEstimate>,
    pub(crate) bloat_read: Option<Instant>,
    /// Columns of the larger tables.
    pub(crate) columns: Arc<ColumnsKept>,
    pub(crate) columns_read: Option<Instant>,
    pub(crate) vacuum: Option<VacuumReading>,
    pub(crate) wal_view: Option<WalView>,
    /// Checkpoints by the clock and asked for, an hour, between the last two readings.
    pub(crate) checkpoints_per_hour: Option<(f64, f64)>,
    pub(crate) io: Option<(Instant, IoReading)>,
    pub(crate) io_rows: Vec<IoRow>,
    pub(crate) indexes_read: Option<Instant>,
    pub(crate) indexes_before: Option<Previous>,
    pub(crate) indexes: Arc<IndexesPage>,
    /// Scans as they were last recorded, and when.
    pub(crate) index_scans_recorded: Option<(Instant, Recorded)>,
    /// Blocks of indexes as they were last recorded.
    pub(crate) index_blocks_recorded: Option<RecordedBlocks>,
    /// Sizes of indexes, their scans and their share of blocks in shared buffers in an hour, to be recorded.
    pub(crate) index_sizes: Vec<(String, i64)>,
    pub(crate) index_scans: Vec<(String, f64)>,
    pub(crate) index_hits: Vec<(String, f64)>,
    pub(crate) index_bloat: Vec<BloatEstimate>,
    pub(crate) index_bloat_read: Option<Instant>,
    pub(crate) settings: Option<SettingsReading>,
    /// Where the files of the server lie, or why that cannot be read; asked only of one on this machine.
    pub(crate) places: Option<Result<Vec<pgstat::Place>, String>>,
    pub(crate) host: Arc<HostPage>,
    pub(crate) health_tracker: HealthTracker,
    pub(crate) health: Option<Health>,
    /// The last interval's statements, to be recorded.
    pub(crate) fresh_statements: Option<(f64, Vec<StatementDelta>)>,
    /// Until when no texts of statements are read.
    pub(crate) texts_rest: Option<Instant>,
    /// The latencies of the same calls by class, until they are recorded: each call counts once.
    pub(crate) fresh_latencies: Option<Vec<u64>>,
}

impl State {
    pub(crate) fn new(cadence: Cadence) -> Self {
        Self {
            sequence: 0,
            recovery: None,
            connection: ClusterState::Connecting,
            collectors: Collectors::new(cadence, Instant::now()),
            collected_at: None,
            tick_ms: 0.0,
            samples_skipped: 0,
            server: None,
            activity: None,
            database: None,
            databases_bytes: None,
            database_sizes: BTreeMap::new(),
            sizes_read: None,
            database_window: DatabaseWindow::new(WINDOW_SECONDS),
            statements_read: None,
            statement_tracker: StatementTracker::default(),
            statement_window: StatementWindow::new(WINDOW_SECONDS),
            log_read: None,
            durations: DurationWindow::new(WINDOW_SECONDS),
            log_names: LogNames::default(),
            auto_explain: None,
            statement_names: HashMap::new(),
            unnamed: HashSet::new(),
            lost_texts: HashSet::new(),
            evictions: VecDeque::new(),
            load: VecDeque::new(),
            locks: Vec::new(),
            lock_episode: Episode::default(),
            lock_snapshots: Vec::new(),
            most_blocked: None,
            replication: None,
            replicas: Replicas::default(),
            wal: None,
            wal_rate: None,
            archiver_failing: None,
            last_lsn: None,
            tables: None,
            tables_read: None,
            tables_before: None,
            tables_page: Arc::new(TablesPage {
                availability: domain::view::Availability::Collecting,
                ..TablesPage::default()
            }),
            tables_recorded: None,
            table_sizes: Vec::new(),
            bloat: Vec::new(),
            bloat_read: None,
            columns: Arc::default(),
            columns_read: None,
            vacuum: None,
            wal_view: None,
            checkpoints_per_hour: None,
            io: None,
            io_rows: Vec::new(),
            indexes_read: None,
            indexes_before: None,
            indexes: Arc::new(IndexesPage {
                availability: domain::view::Availability::Collecting,
                ..IndexesPage::default()
            }),
            index_scans_recorded: None,
            index_blocks_recorded: None,
            index_sizes: Vec::new(),
            index_scans: Vec::new(),
            index_hits: Vec::new(),
            index_bloat: Vec::new(),
            index_bloat_read: None,
            settings: None,
            places: None,
            host: Arc::default(),
            health_tracker: HealthTracker::default(),
            health: None,
            fresh_statements: None,
            fresh_latencies: None,
            texts_rest: None,
        }
    }

    /// The tables that were read last, of all databases.
    pub(crate) fn known_tables(&self) -> &[TableCounters] {
        self.tables.as_ref().map(|it| it.rows.as_slice()).unwrap_or_default()
    }

    /// Another server, or the same after a crash: nothing before compares with what comes.
    pub(crate) fn forget_rates(&mut self) {
        self.database = None;
        self.database_window.clear();
        self.wal = None;
        self.wal_rate = None;
        self.last_lsn = None;
        self.indexes_before = None;
        self.index_scans_recorded = None;
        self.index_blocks_recorded = None;
        self.tables_before = None;
        self.wal_view = None;
        self.checkpoints_per_hour = None;
        self.io = None;
        self.io_rows.clear();
        self.load.clear();
        self.log_read = None;
        self.durations.clear();
    }

    /// Statements whose texts are to be read: those without a name, and those whose text the store lacks, `lost` being the
    /// ones that were not told before.
    pub(crate) fn unknown(&mut self, rows: &[StatementCounters], lost: HashSet<StatementKey>) -> Vec<StatementKey> {
        self.lost_texts.extend(lost);
        // What has no name is asked for without that.
        self.lost_texts.retain(|key| self.statement_names.contains_key(key));
        let known = |key: &StatementKey| {
            (self.statement_names.contains_key(key) && !self.lost_texts.contains(key)) || self.unnamed.contains(key)
        };
        rows.iter().map(|row| row.key).filter(|key| !known(key)).collect()
    }

    /// Drops names of statements that the server no longer has, once they are many: one that makes new statements all
    /// day would fill our memory with what it has long forgotten itself.
    pub(crate) fn forget_names(&mut self, rows: &[StatementCounters]) {
        let many = self.statement_names.len() > rows.len() + NAMES_BEYOND;
        if !many && self.unnamed.is_empty() {
            return;
        }
        let mut needed = rows.iter().map(|row| row.key).collect::<HashSet<_>>();
        // Evicted before its text was read: when it comes back it is another entry, and that one has a text.
        self.unnamed.retain(|key| needed.contains(key));
        if many {
            // The page shows the window's with their names, also those that were evicted within it.
            needed.extend(self.statement_window.totals().iter().map(|row| row.key));
            self.statement_names.retain(|key, _| needed.contains(key));
            self.log_names.retain(&self.statement_names);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::reading::StatementText;
    use std::time::Duration;

    fn key(queryid: i64) -> StatementKey {
        StatementKey { dbid: 1, userid: 2, queryid, toplevel: true }
    }

    fn counters(queryid: i64) -> StatementCounters {
        StatementCounters { calls: 1, total_ms: 1.0, max_ms: 1.0, rows: 1, ..StatementCounters::zero(key(queryid)) }
    }

    fn delta(queryid: i64) -> StatementDelta {
        StatementDelta { calls: 1, total_ms: 1.0, max_ms: 1.0, rows: 1, ..StatementDelta::zero(key(queryid)) }
    }

    fn learn(state: &mut State, queryid: i64) {
        let query = format!("SELECT {queryid} FROM t_{queryid}");
        let text = StatementText { key: key(queryid), database: "shop".to_owned(), user: "api".to_owned(), query };
        state.log_names.learn(&text);
        state.statement_names.insert(text.key, (text.query.into(), text.database, text.user));
    }

    #[test]
    fn a_text_that_was_lost_is_asked_for_until_it_is_read() {
        let mut state = State::new(Cadence::new(Duration::from_secs(10)));
        learn(&mut state, 1);
        learn(&mut state, 2);
        state.unnamed.insert(key(3));
        let rows = [counters(1), counters(2), counters(3), counters(4)];
        assert_eq!(state.unknown(&rows, HashSet::new()), [key(4)]);
        // Told once; what has no name or is not on the server makes no difference.
        let lost = HashSet::from([key(2), key(3), key(4), key(5)]);
        assert_eq!(state.unknown(&rows, lost), [key(2), key(4)]);
        assert_eq!(state.unknown(&rows, HashSet::new()), [key(2), key(4)], "nothing was read");
        assert!(state.statement_names.contains_key(&key(2)), "its name is shown meanwhile");
        assert_eq!(state.lost_texts, HashSet::from([key(2)]));
        state.lost_texts.remove(&key(2));
        assert_eq!(state.unknown(&rows, HashSet::new()), [key(4)]);
    }

    #[test]
    fn names_of_what_the_server_forgot_do_not_pile_up() {
        let mut state = State::new(Cadence::new(Duration::from_secs(10)));
        state.statement_window.push(10.0, vec![delta(1)]);
        state.unnamed.extend([key(-1), key(-2)]);
        let bound = i64::try_from(NAMES_BEYOND).unwrap_or(i64::MAX);
        for number in 0..bound {
            learn(&mut state, number);
        }
        let rows = [counters(3), counters(-2)];
        state.forget_names(&rows);
        assert_eq!(state.statement_names.len(), NAMES_BEYOND, "as many may wait for their statement to come back");
        assert_eq!(state.unnamed, HashSet::from([key(-2)]), "what is gone is asked for when it comes back");
        for number in bound..bound + 3 {
            learn(&mut state, number);
        }
        state.forget_names(&rows);
        let mut kept = state.statement_names.keys().map(|key| key.queryid).collect::<Vec<_>>();
        kept.sort_unstable();
        assert_eq!(kept, [1, 3], "of the window, and of the reading");
    }
}
