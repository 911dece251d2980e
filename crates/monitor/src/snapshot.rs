//! From what is known to what is shown: the one immutable picture that pages, API, events and metrics read.
use crate::{cadence::Cadence, pages, state::State};
use analysis::{
    activity, attention,
    health::{HealthInput, HealthTracker},
    indexes, latency, locks, replication, setup,
    statements::StatementDelta,
    tables,
};
use control::{ClusterConfig, ClusterSnapshot, connecting};
use domain::{
    Timestamp,
    reading::{CollectorKind, CollectorState, CollectorStatus, ServerRole},
    view::{
        Availability, CacheView, ClusterCost, ClusterState, ClusterSummary, Dashboard, HealthWeights, HostPage,
        IndexesPage, IoRow, LatencySource, LatencyView, LocksPage, Metric, SlowQuery, ThroughputView, WaitLoad,
    },
};
use std::sync::Arc;
use store::Sample;

/// Slow statements on the dashboard.
const SLOW_AT_MOST: usize = 10;

/// Before the first tick.
pub(crate) fn first(config: &ClusterConfig, cadence: Cadence) -> ClusterSnapshot {
    make(&mut State::new(cadence), config, cadence, 1_000.0, HealthWeights::default(), Timestamp(0))
}

/// The picture at `at`.
pub(crate) fn make(
    state: &mut State,
    config: &ClusterConfig,
    cadence: Cadence,
    slow_ms: f64,
    weights: HealthWeights,
    at: Timestamp,
) -> ClusterSnapshot {
    let up = state.connection == ClusterState::Up;
    let running = state.activity.as_ref().filter(|_| up).map(|(_, reading)| activity::running(reading));
    let window = state.database_window.sum();
    let hit = state.database_window.hit_percent();
    let totals = state.statement_window.totals();
    let all_ms = totals.iter().map(|row| row.total_ms).sum::<f64>();
    let slow = slow_queries(&totals, state, all_ms, slow_ms);
    let slow_ms_sum = totals.iter().filter(|row| row.mean_ms() >= slow_ms).map(|row| row.total_ms).sum::<f64>();
    let connections = state
        .activity
        .as_ref()
        .zip(state.server.as_ref())
        .filter(|_| up)
        .map(|((_, reading), server)| activity::connections(reading, server));
    let provider = state.server.as_ref().and_then(|server| server.provider);
    let is_standby = state.server.as_ref().is_some_and(|server| server.role == ServerRole::Standby);
    let mut replicas = state.replicas.views().to_vec();
    if is_standby {
        replicas.extend(state.replication.as_ref().and_then(replication::of_standby));
    }
    let index_totals = state.indexes.collected_at.map(|_| indexes::totals(&state.indexes));
    let index_bytes = state.indexes.rows.iter().map(|row| row.bytes).sum::<i64>();
    let mut statuses = state.collectors.statuses(at);
    hidden_from_role(state, &mut statuses);
    let failed = statuses.iter().filter(|it| match it.state {
        CollectorState::Failed { .. } | CollectorState::NoPermission { .. } => true,
        CollectorState::Unsupported { .. } => it.name.is_expected(),
        CollectorState::Pending | CollectorState::Fresh | CollectorState::Stale => false,
    });
    let has_statements = state.statement_window.covered_seconds() > 0.0;
    let input = HealthInput {
        unreachable: state.connection.reason().map(str::to_owned),
        failed_collectors: failed.map(|it| it.name.as_str().to_owned()).collect(),
        connections_percent: connections.as_ref().map(|it| it.utilization_percent),
        idle_in_transaction: running.map(|it| it.idle_in_transaction),
        longest_query_seconds: running.map(|it| it.longest_query_seconds.unwrap_or(0.0)),
        slow_time_percent: has_statements.then(|| if all_ms > 0.0 { 100.0 * slow_ms_sum / all_ms } else { 0.0 }),
        slow_threshold_ms: slow_ms,
        blocked_sessions: running.map(|it| it.blocked_sessions),
        longest_wait_seconds: locks::longest(&state.locks),
        deadlocks: (window.seconds > 0.0).then_some(window.deadlocks),
        replicas: state.replication.is_some().then(|| replicas.clone()),
        inactive_slots: state
            .replication
            .as_ref()
            .map(|reading| count(reading.slots.iter().filter(|slot| !slot.active))),
        // Idle is not ill: without enough blocks there is nothing to judge, and the ratio counts as good.
        cache_hit_percent: if window.seconds > 0.0 { Some(hit.unwrap_or(100.0)) } else { None },
        temp_bytes_per_second: (window.seconds > 0.0).then(|| window.temp_bytes as f64 / window.seconds),
        xid_age: state
            .database
            .as_ref()
            .and_then(|(_, reading)| reading.rows.iter().filter_map(|row| row.oldest_id_age()).max()),
        oldest_transaction_seconds: running.map(|it| it.oldest_transaction_seconds.unwrap_or(0.0)),
        horizon_age: state
            .vacuum
            .as_ref()
            .map(|reading| reading.horizon.iter().map(|holder| holder.age).max().unwrap_or(0)),
        bloated_tables: state.tables.as_ref().map(|reading| {
            count(reading.rows.iter().filter(|it| it.dead_rows > 10_000 && it.dead_rows * 5 > tables::live_rows(it)))
        }),
        recovery: state.recovery.clone(),
        is_standby,
        archiver_failing: state.wal.as_ref().map(|_| state.archiver_failing.unwrap_or(false)),
        wasted_index_percent: index_totals
            .as_ref()
            .map(|it| if index_bytes > 0 { 100.0 * it.wasted_bytes as f64 / index_bytes as f64 } else { 0.0 }),
        wasted_index_bytes: index_totals.as_ref().map(|it| it.wasted_bytes),
        sequence_percent: state
            .tables
            .as_ref()
            .map(|reading| reading.sequences.iter().map(|it| it.used_percent).fold(0.0, f64::max)),
        disk_percent: state.host.fullest().and_then(|row| row.used_percent),
    };
    let mut tracker = std::mem::take::<HealthTracker>(&mut state.health_tracker);
    let health = tracker.score(&input, weights, at);
    state.health_tracker = tracker;
    state.health = Some(health.clone());
    let latency = latency_of(state, &totals).filter(|_| up);
    let measured = up && window.seconds > 0.0;
    let dashboard = Dashboard {
        cluster: summary(state, config),
        sequence: state.sequence,
        collected_at: state.collected_at,
        age_seconds: None,
        interval_seconds: cadence.tick.as_secs_f64(),
        attention: attention::list(&health, &input, index_totals.as_ref(), running.as_ref(), provider),
        health,
        connections,
        latency,
        throughput: measured.then(|| ThroughputView {
            transactions_per_second: (window.commits + window.rollbacks) as f64 / window.seconds,
            rollbacks_per_second: window.rollbacks as f64 / window.seconds,
        }),
        cache: measured.then_some(CacheView { hit_ratio_percent: hit, window_seconds: window.seconds }),
        replication: replicas,
        slow_queries: slow,
        indexes: index_totals,
        waits: average_load(state),
        blocked_sessions: running.map(|it| it.blocked_sessions),
        longest_query_seconds: running.and_then(|it| it.longest_query_seconds),
        oldest_transaction_seconds: running.and_then(|it| it.oldest_transaction_seconds),
        databases_bytes: state.databases_bytes,
        wal_bytes_per_second: state.wal_rate.filter(|_| up),
        temp_bytes_per_second: measured.then(|| window.temp_bytes as f64 / window.seconds),
        pools: None,
        alerts: None,
        backup: None,
        collectors: statuses,
    };
    let mut backends =
        state.activity.as_ref().map(|(read_at, reading)| activity::page(reading, *read_at)).unwrap_or_default();
    backends.sequence = state.sequence;
    backends.cluster = config.id.clone();
    let evictions = &state.evictions;
    let evictions_per_hour = evictions.front().filter(|_| evictions.len() > 1).map(|(first, _)| {
        let hours = first.elapsed().as_secs_f64() / 3_600.0;
        evictions.iter().skip(1).map(|it| it.1).sum::<i64>() as f64 / hours.max(1e-9)
    });
    let pages = pages::make(state, &config.id);
    let watching = watching(state);
    ClusterSnapshot {
        watching,
        connections: pages.connections,
        tables: pages.tables,
        columns: state.columns.clone(),
        replication: pages.replication,
        settings: pages.settings,
        maintenance: pages.maintenance,
        indexes: Arc::new(IndexesPage {
            cluster: config.id.clone(),
            sequence: state.sequence,
            availability: availability(state, CollectorKind::Indexes),
            ..IndexesPage::clone(&state.indexes)
        }),
        activity: Arc::new(backends),
        locks: Arc::new(LocksPage {
            cluster: config.id.clone(),
            sequence: state.sequence,
            collected_at: state.collectors.collected_at(CollectorKind::Locks),
            age_seconds: None,
            availability: availability(state, CollectorKind::Locks),
            waiters: locks::waiters(&state.locks),
            roots: count(state.locks.iter().filter(|node| node.depth == 0)),
            longest_wait_seconds: locks::longest(&state.locks),
            nodes: state.locks.clone(),
            snapshots: Vec::new(),
        }),
        locks_worst: state.lock_episode.now(at).map(Arc::new),
        setup: setup::checklist(&state.connection, state.server.as_ref()),
        statements: availability(state, CollectorKind::Statements),
        evictions_per_hour,
        host: Arc::new(HostPage {
            cluster: config.id.clone(),
            sequence: state.sequence,
            ..HostPage::clone(&state.host)
        }),
        log: availability(state, CollectorKind::Log),
        auto_explain: state.auto_explain.clone(),
        provider,
        dashboard,
    }
}

/// Without `pg_monitor` the views answer, and leave out what other roles do: a reading that succeeded is not whole.
fn hidden_from_role(state: &State, statuses: &mut [CollectorStatus]) {
    let Some(server) = state.server.as_ref().filter(|server| !server.has_pg_monitor) else { return };
    for status in statuses.iter_mut().filter(|it| {
        matches!(it.name, CollectorKind::Activity | CollectorKind::Replication) && it.state == CollectorState::Fresh
    }) {
        status.state = CollectorState::NoPermission {
            reason: format!(
                "the role '{}' is no member of pg_monitor: what other roles do is hidden from it",
                server.role_name
            ),
            cure: Some(format!("GRANT pg_monitor TO \"{}\";", server.role_name)),
        };
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).unwrap_or(i64::MAX)
}

fn summary(state: &State, config: &ClusterConfig) -> ClusterSummary {
    ClusterSummary {
        role: state.server.as_ref().map(|server| server.role),
        server_version: state.server.as_ref().map(|server| server.version.clone()),
        started_at: state.server.as_ref().map(|server| server.started_at),
        state: state.connection.clone(),
        ..connecting(config)
    }
}

pub(crate) fn availability(state: &State, kind: CollectorKind) -> Availability {
    match state.collectors.state(kind) {
        Some(CollectorState::Unsupported { reason, cure } | CollectorState::NoPermission { reason, cure }) => {
            Availability::Missing {
                reason: reason.clone(),
                cure: cure.iter().flat_map(|cure| cure.lines()).map(str::to_owned).collect(),
            }
        }
        Some(CollectorState::Failed { reason }) if state.collectors.collected_at(kind).is_none() => {
            Availability::Missing { reason: reason.clone(), cure: Vec::new() }
        }
        Some(CollectorState::Pending) | None => Availability::Collecting,
        Some(_) => Availability::Ready,
    }
}

fn slow_queries(totals: &[StatementDelta], state: &State, all_ms: f64, slow_ms: f64) -> Vec<SlowQuery> {
    let mut slow = totals.iter().filter(|row| row.mean_ms() >= slow_ms).collect::<Vec<_>>();
    slow.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
    let query = |row: &&StatementDelta| {
        let (text, _, _) = state.statement_names.get(&row.key)?;
        (!analysis::sqltext::is_own(text)).then(|| SlowQuery {
            id: row.key.to_string(),
            fingerprint: row.key.queryid.to_string(),
            query: text.to_string(),
            calls: row.calls,
            mean_ms: row.mean_ms(),
            max_ms: Some(row.max_ms),
            total_percent: if all_ms > 0.0 { 100.0 * row.total_ms / all_ms } else { 0.0 },
        })
    };
    slow.iter().filter_map(query).take(SLOW_AT_MOST).collect()
}

fn average_load(state: &State) -> Vec<WaitLoad> {
    let samples = state.load.len().max(1) as f64;
    let Some((_, first)) = state.load.front() else { return Vec::new() };
    let sum = |class: &str| {
        state
            .load
            .iter()
            .flat_map(|it| &it.1)
            .filter(|it| it.class == class)
            .map(|it| it.average_active_sessions)
            .sum::<f64>()
    };
    first
        .iter()
        .map(|it| WaitLoad { class: it.class.clone(), average_active_sessions: sum(&it.class) / samples })
        .collect()
}

/// What watching this cluster costs it, by its own statistics.
fn watching(state: &State) -> ClusterCost {
    let role = state.server.as_ref().map(|server| server.role_name.as_str());
    let connections = state.activity.as_ref().filter(|_| role.is_some()).map(|(_, reading)| {
        // The one that asks does not see itself.
        1 + count(reading.rows.iter().filter(|row| row.application == "holdfast" && row.user.as_deref() == role))
    });
    let ours = state.fresh_statements.as_ref().map(|(seconds, rows)| {
        let all = rows.iter().map(|row| row.total_ms).sum::<f64>();
        let is_ours = |key| state.statement_names.get(key).is_some_and(|(_, _, user)| Some(user.as_str()) == role);
        let (calls, ms) = rows
            .iter()
            .filter(|row| is_ours(&row.key))
            .fold((0, 0.0), |sum, row| (sum.0 + row.calls, sum.1 + row.total_ms));
        (
            calls as f64 / seconds.max(1e-9),
            ms / seconds.max(1e-9),
            if all > 0.0 { Some(100.0 * ms / all) } else { None },
        )
    });
    ClusterCost {
        connections,
        calls_per_second: ours.map(|it| it.0),
        database_ms_per_second: ours.map(|it| it.1),
        database_percent: ours.and_then(|it| it.2),
        ticks_skipped: state.collectors.ticks_skipped(),
        samples_skipped: state.samples_skipped,
        tick_ms: state.tick_ms,
    }
}

/// The figures of this tick, for history. Nothing is recorded of a server that is not reached but its score: a gap is
/// drawn as a gap.
pub(crate) fn metrics(
    snapshot: &ClusterSnapshot,
    state: &State,
    load: &[WaitLoad],
    latencies: Option<Vec<u64>>,
    rules: &[(&'static str, f64)],
) -> Vec<Sample> {
    let dashboard = &snapshot.dashboard;
    let mut samples = Vec::new();
    let mut add = |metric: Metric, label: &str, value: Option<f64>| {
        samples.extend(value.map(|value| Sample { metric, label: label.to_owned(), value, histogram: None }));
    };
    add(Metric::HealthScore, "", Some(f64::from(dashboard.health.score)));
    // Seen without the server.
    for disk in &snapshot.host.disks {
        add(Metric::DiskUsedPercent, &disk.place, disk.used_percent);
    }
    add(Metric::HostLoad, "", snapshot.host.load);
    for (rule, value) in rules {
        add(Metric::RuleValue, rule, Some(*value));
    }
    if state.connection != ClusterState::Up {
        return samples;
    }
    add(Metric::TickDurationMs, "", Some(state.tick_ms));
    if let Some(connections) = &dashboard.connections {
        add(Metric::ConnectionsUsed, "", Some(connections.used as f64));
        add(Metric::ConnectionsPercent, "", Some(connections.utilization_percent));
        for (name, number) in &connections.by_state {
            add(Metric::ConnectionsByState, name, Some(*number as f64));
        }
    }
    add(Metric::TransactionsPerSecond, "", dashboard.throughput.as_ref().map(|it| it.transactions_per_second));
    add(Metric::RollbacksPerSecond, "", dashboard.throughput.as_ref().map(|it| it.rollbacks_per_second));
    add(Metric::LatencyP50Ms, "", dashboard.latency.as_ref().map(|it| it.p50_ms));
    add(Metric::LatencyP95Ms, "", dashboard.latency.as_ref().map(|it| it.p95_ms));
    add(Metric::LatencyP99Ms, "", dashboard.latency.as_ref().map(|it| it.p99_ms));
    add(Metric::CacheHitPercent, "", dashboard.cache.as_ref().and_then(|it| it.hit_ratio_percent));
    for replica in &dashboard.replication {
        add(Metric::ReplicationLagSeconds, &replica.name, replica.lag_seconds);
        add(Metric::ReplicationLagBytes, &replica.name, replica.lag_bytes.map(|bytes| bytes as f64));
    }
    for wait in load {
        add(Metric::ActiveSessions, &wait.class, Some(wait.average_active_sessions));
    }
    add(Metric::TempBytesPerSecond, "", dashboard.temp_bytes_per_second);
    add(Metric::WalBytesPerSecond, "", dashboard.wal_bytes_per_second);
    add(Metric::DatabaseBytes, "", dashboard.databases_bytes.map(|bytes| bytes as f64));
    // Nothing running for long is a figure too.
    add(
        Metric::LongestQuerySeconds,
        "",
        dashboard.blocked_sessions.map(|_| dashboard.longest_query_seconds.unwrap_or(0.0)),
    );
    // The most of all looks since the last tick: a short spike counts.
    add(Metric::BlockedSessions, "", state.most_blocked.or(dashboard.blocked_sessions).map(|number| number as f64));
    let number = |number: i64| Some(number as f64);
    for (key, bytes) in &state.table_sizes {
        add(Metric::TableBytes, key, number(*bytes));
    }
    for (key, bytes) in &state.index_sizes {
        add(Metric::IndexBytes, key, number(*bytes));
    }
    for (key, scans) in &state.index_scans {
        add(Metric::IndexScansPerHour, key, Some(*scans));
    }
    for (key, percent) in &state.index_hits {
        add(Metric::IndexHitPercent, key, Some(*percent));
    }
    for slot in &snapshot.replication.slots {
        add(Metric::SlotRetainedBytes, &slot.name, slot.retained_bytes.and_then(number));
    }
    for standby in &snapshot.replication.standbys {
        for (part, bytes) in [
            ("send", standby.send_bytes),
            ("write", standby.write_bytes),
            ("flush", standby.flush_bytes),
            ("replay", standby.replay_bytes),
        ] {
            add(Metric::ReplicationPartBytes, &format!("{} {part}", standby.name), bytes.and_then(number));
        }
    }
    let maintenance = &snapshot.maintenance;
    add(Metric::XidAge, "", maintenance.databases.first().and_then(|row| number(row.age)));
    if state.vacuum.is_some() {
        add(Metric::HorizonAge, "", number(maintenance.horizon.first().map_or(0, |holder| holder.age)));
    }
    if let Some((timed, requested)) = state.checkpoints_per_hour {
        add(Metric::CheckpointsPerHour, "by the clock", Some(timed));
        add(Metric::CheckpointsPerHour, "asked for", Some(requested));
    }
    add(Metric::TempFilesBytes, "", maintenance.temp.and_then(|temp| number(temp.bytes)));
    if !maintenance.io.is_empty() {
        let sum = |pick: fn(&IoRow) -> Option<f64>| Some(maintenance.io.iter().filter_map(pick).sum::<f64>());
        add(Metric::IoBytesPerSecond, "read", sum(|row| row.read_bytes_per_second));
        add(Metric::IoBytesPerSecond, "write", sum(|row| row.write_bytes_per_second));
        add(Metric::IoBytesPerSecond, "extend", sum(|row| row.extend_bytes_per_second));
    }
    add(Metric::OwnConnections, "", snapshot.watching.connections.and_then(number));
    for collector in &dashboard.collectors {
        add(Metric::CollectorDurationMs, collector.name.as_str(), collector.duration_ms);
    }
    add(Metric::SamplesSkipped, "", Some(snapshot.watching.samples_skipped as f64));
    if let Some((seconds, rows)) = &state.fresh_statements {
        add(Metric::OwnCallsPerSecond, "", snapshot.watching.calls_per_second);
        add(Metric::OwnDatabaseMs, "", snapshot.watching.database_ms_per_second);
        let (calls, ms) =
            (rows.iter().map(|row| row.calls).sum::<i64>() as f64, rows.iter().map(|row| row.total_ms).sum::<f64>());
        add(Metric::CallsPerSecond, "", Some(calls / seconds.max(1e-9)));
        add(Metric::MeanLatencyMs, "", (calls > 0.0).then(|| ms / calls));
    }
    // The distribution that percentiles of longer times are made of.
    if let Some(mean) = samples.iter_mut().find(|sample| sample.metric == Metric::MeanLatencyMs) {
        mean.histogram = latencies;
    }
    samples
}

/// From the log where it tells, estimated otherwise.
fn latency_of(state: &State, totals: &[StatementDelta]) -> Option<LatencyView> {
    let estimate = latency::estimate(totals, [0.5, 0.95, 0.99]);
    let seconds = state.statement_window.covered_seconds();
    let calls = totals.iter().map(|row| row.calls).sum::<i64>() as f64;
    let per_second = if seconds > 0.0 { calls / seconds } else { 0.0 };
    let measured = state.durations.percentiles(per_second, estimate);
    let (percentiles, source, window_seconds) = match &measured {
        Some(it) => (it.percentiles_ms, it.source, it.seconds),
        None => (estimate?, LatencySource::Estimate, seconds),
    };
    let [p50_ms, p95_ms, p99_ms] = percentiles;
    Some(LatencyView { p50_ms, p95_ms, p99_ms, source, window_seconds, log_from_ms: measured.map(|it| it.from_ms) })
}
