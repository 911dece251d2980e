//! The health score: 100 less the points of all lines, and never a point without a line.
//!
//! A figure that is not applicable (no standby) has no rule to break. A figure that is not known (its collector
//! failed) costs nothing either, but lowers the coverage, which is shown beside the score: ignorance is not health.
use domain::{
    Timestamp, format,
    view::{Band, Health, HealthComponent, HealthLine, HealthWeights, RecoveryProblem, ReplicaState, ReplicaView},
};
use std::collections::BTreeMap;

/// Version of the rules.
pub const VERSION: u32 = 4;

/// What the score is made of. `None` is "not known".
#[derive(Clone, Debug, Default)]
pub struct HealthInput {
    /// Why the server is not reached; the score is 0 then.
    pub unreachable: Option<String>,
    /// Collectors that failed or lack a right, by name.
    pub failed_collectors: Vec<String>,
    /// Connection slots used.
    pub connections_percent: Option<f64>,
    /// Sessions idle in a transaction for more than five minutes.
    pub idle_in_transaction: Option<i64>,
    /// Longest running statement.
    pub longest_query_seconds: Option<f64>,
    /// Share of the statements' time spent in slow ones.
    pub slow_time_percent: Option<f64>,
    /// The threshold for that.
    pub slow_threshold_ms: f64,
    /// Sessions that wait for a lock.
    pub blocked_sessions: Option<i64>,
    /// The longest of those waits.
    pub longest_wait_seconds: Option<f64>,
    /// Deadlocks in the window.
    pub deadlocks: Option<i64>,
    /// Standbys; empty when there is none.
    pub replicas: Option<Vec<ReplicaView>>,
    /// Slots that keep WAL and are not in use.
    pub inactive_slots: Option<i64>,
    /// What is wrong with backups and restore tests; `None` when no backups are known: not set up here, or not looked at yet.
    pub recovery: Option<Vec<RecoveryProblem>>,
    /// It is a standby: its primary is what is backed up.
    pub is_standby: bool,
    /// Shared-buffer hit ratio, when enough blocks were touched.
    pub cache_hit_percent: Option<f64>,
    /// Temporary files.
    pub temp_bytes_per_second: Option<f64>,
    /// Oldest transaction id.
    pub xid_age: Option<i64>,
    /// Oldest open transaction.
    pub oldest_transaction_seconds: Option<f64>,
    /// Age in transactions of the oldest row versions that vacuum must keep, whoever holds them.
    pub horizon_age: Option<i64>,
    /// Tables with more dead than a fifth of their rows.
    pub bloated_tables: Option<i64>,
    /// Archiver failures since the last reading.
    pub archiver_failing: Option<bool>,
    /// Size of unused, duplicate and invalid indexes of the size of all.
    pub wasted_index_percent: Option<f64>,
    /// The same in bytes.
    pub wasted_index_bytes: Option<i64>,
    /// Of the sequence that is used up most; zero when none is by half.
    pub sequence_percent: Option<f64>,
    /// Used share of the fullest file system; `None` also where the machine cannot be seen, which is no failure.
    pub disk_percent: Option<f64>,
}

/// Remembers since when each line is there.
#[derive(Clone, Debug, Default)]
pub struct HealthTracker {
    since: BTreeMap<String, Timestamp>,
}

/// Points by a line that is 0 up to `none`, full from `full` on.
fn ramp(value: f64, none: f64, full: f64, points: u8) -> u8 {
    let share = ((value - none) / (full - none)).clamp(0.0, 1.0);
    // A breach is never free: the first step over the threshold costs a point.
    if share <= 0.0 { 0 } else { (share * f64::from(points)).round().max(1.0) as u8 }
}

struct Lines<'a> {
    at: Timestamp,
    since: &'a mut BTreeMap<String, Timestamp>,
    lines: Vec<HealthLine>,
    weights: HealthWeights,
    known: u32,
    asked: u32,
}

impl Lines<'_> {
    /// One rule: `points` gives the loss and the words for the measured value; `None` when it is not known.
    #[allow(clippy::too_many_arguments)] // the columns of a rule
    fn rule(
        &mut self,
        component: HealthComponent,
        rule: &str,
        title: &str,
        threshold: &str,
        page: &str,
        points: Option<(u8, String)>,
    ) {
        // A part without weight is not judged: it neither costs points nor is missed.
        if self.weights.of(component) == 0 {
            self.since.remove(rule);
            return;
        }
        self.asked += 1;
        let Some((points, measured)) = points else { return };
        self.known += 1;
        let points = weighed(points, component, self.weights);
        if points == 0 {
            self.since.remove(rule);
            return;
        }
        let since = *self.since.entry(rule.to_owned()).or_insert(self.at);
        self.lines.push(HealthLine {
            component,
            rule: rule.to_owned(),
            title: title.to_owned(),
            points,
            measured,
            threshold: threshold.to_owned(),
            since,
            page: page.to_owned(),
        });
    }
}

/// The points of a rule are written for the shipped weights: with another weight they grow or shrink as it does. What costs
/// something goes on to cost a point at least.
fn weighed(points: u8, component: HealthComponent, weights: HealthWeights) -> u8 {
    let (set, shipped) = (weights.of(component), HealthWeights::default().of(component));
    if points == 0 || set == shipped {
        return points;
    }
    (f64::from(points) * f64::from(set) / f64::from(shipped)).round().clamp(1.0, 100.0) as u8
}

impl HealthTracker {
    /// The score at `at`, by weights that passed their check.
    pub fn score(&mut self, input: &HealthInput, weights: HealthWeights, at: Timestamp) -> Health {
        if let Some(reason) = &input.unreachable {
            let since = *self.since.entry("unreachable".to_owned()).or_insert(at);
            let line = HealthLine {
                component: HealthComponent::Availability,
                rule: "unreachable".to_owned(),
                title: "The server is not reached".to_owned(),
                points: 100,
                measured: reason.clone(),
                threshold: "an answer".to_owned(),
                since,
                page: "/database".to_owned(),
            };
            return Health {
                score: 0,
                band: Band::Critical,
                coverage_percent: 0.0,
                lines: vec![line],
                version: VERSION,
            };
        }
        self.since.remove("unreachable");
        let mut lines = Lines { at, since: &mut self.since, lines: Vec::new(), weights, known: 0, asked: 0 };
        rules(&mut lines, input);
        let Lines { mut lines, known, asked, .. } = lines;
        hold_ceilings(&mut lines, weights);
        lines.sort_by(|a, b| b.points.cmp(&a.points).then(a.rule.cmp(&b.rule)));
        let lost = lines.iter().map(|line| u32::from(line.points)).sum::<u32>();
        let score = 100 - u8::try_from(lost).unwrap_or(100).min(100);
        let coverage_percent = 100.0 * f64::from(known) / f64::from(asked.max(1));
        Health { score, band: Band::of(score), coverage_percent, lines, version: VERSION }
    }
}

/// The best score while a critical alert is open.
const CRITICAL_AT_MOST: u8 = 40;
/// The same for what destroys data or leaves none to go back to.
const DISASTER_AT_MOST: u8 = 30;
const DISASTERS: [&str; 4] = ["xid_age", "checksum_failures", "backup_overdue", "verification_failed"];

impl HealthTracker {
    /// A critical alert that is open caps the score, whether somebody has taken it on or not: being known does not make
    /// it well. What it costs beyond the other lines is a line of its own, so that the lines stay the score.
    pub fn cap(&mut self, health: &mut Health, critical: &[(String, String)], at: Timestamp) {
        const RULE: &str = "alert_critical";
        if critical.is_empty() {
            self.since.remove(RULE);
            return;
        }
        let disaster = critical.iter().any(|(rule, _)| DISASTERS.contains(&rule.as_str()));
        let most = if disaster { DISASTER_AT_MOST } else { CRITICAL_AT_MOST };
        let since = *self.since.entry(RULE.to_owned()).or_insert(at);
        if health.score <= most {
            return;
        }
        let names = critical.iter().map(|(_, title)| title.as_str()).take(3).collect::<Vec<_>>().join("; ");
        let more = critical.len().saturating_sub(3);
        health.lines.push(HealthLine {
            component: HealthComponent::Alerts,
            rule: RULE.to_owned(),
            title: "A critical alert is open".to_owned(),
            points: health.score - most,
            measured: if more > 0 { format!("{names}, and {more} more") } else { names },
            threshold: format!("none; at most {most} while there is one"),
            since,
            page: "/alerts".to_owned(),
        });
        health.lines.sort_by(|a, b| b.points.cmp(&a.points).then(a.rule.cmp(&b.rule)));
        health.score = most;
        health.band = Band::of(most);
    }
}

/// Within a component the smaller lines give way; a line that would cost nothing is left out.
fn hold_ceilings(lines: &mut Vec<HealthLine>, weights: HealthWeights) {
    lines.sort_by_key(|line| std::cmp::Reverse(line.points));
    let mut left = BTreeMap::<HealthComponent, u8>::new();
    for line in lines.iter_mut() {
        let left = left.entry(line.component).or_insert_with(|| weights.of(line.component));
        line.points = line.points.min(*left);
        *left -= line.points;
    }
    lines.retain(|line| line.points > 0);
}

fn rules(lines: &mut Lines<'_>, input: &HealthInput) {
    use HealthComponent as C;
    let failed = input.failed_collectors.len();
    let failed_points = (u8::try_from(failed).unwrap_or(u8::MAX).min(5) * 3, input.failed_collectors.join(", "));
    lines.rule(
        C::Availability,
        "collectors_failing",
        "Some figures cannot be read",
        "none",
        "/database#panel-collectors",
        Some(failed_points),
    );

    let connections = input
        .connections_percent
        .map(|percent| (ramp(percent, 80.0, 95.0, 12), format!("{} %", format::percent(percent))));
    lines.rule(
        C::Connections,
        "connections_high",
        "Connection slots are running out",
        "80 %",
        "/database/connections",
        connections,
    );
    let idle = input
        .idle_in_transaction
        .map(|count| (ramp(count as f64, 0.0, 5.0, 6), format::counted(count, "session", "sessions")));
    lines.rule(
        C::Connections,
        "idle_in_transaction",
        "Sessions idle in a transaction",
        "5 min",
        "/database/activity",
        idle,
    );

    let longest =
        input.longest_query_seconds.map(|seconds| (ramp(seconds, 30.0, 300.0, 8), format::duration_s(seconds)));
    lines.rule(C::Latency, "query_long", "A statement runs for long", "30 s", "/database/activity", longest);
    let slow = input
        .slow_time_percent
        .map(|percent| (ramp(percent, 25.0, 90.0, 6), format!("{} % of all time", format::percent(percent))));
    let threshold = format!("25 % in statements over {}", format::duration_ms(input.slow_threshold_ms));
    lines.rule(
        C::Latency,
        "slow_statements",
        "Much time goes into slow statements",
        &threshold,
        "/database/performance#queries",
        slow,
    );

    let waits = input.blocked_sessions.map(|count| {
        let wait = input.longest_wait_seconds.unwrap_or(0.0);
        let points = if count > 0 { ramp(wait, 5.0, 60.0, 10) } else { 0 };
        (points, format!("{count} waiting, {}", format::duration_s(wait)))
    });
    lines.rule(C::Locks, "sessions_blocked", "Sessions wait for a lock", "5 s", "/database/locks", waits);
    let deadlocks = input.deadlocks.map(|count| (ramp(count as f64, 0.0, 5.0, 4), count.to_string()));
    lines.rule(C::Locks, "deadlocks", "Deadlocks in the last minutes", "0", "/database/activity", deadlocks);

    if input.replicas.as_ref().is_none_or(|replicas| !replicas.is_empty()) {
        let lag = input.replicas.as_ref().map(|replicas| {
            let worst = replicas
                .iter()
                .filter(|it| it.state != ReplicaState::Disconnected)
                .filter_map(|it| it.lag_seconds)
                .fold(0.0, f64::max);
            (ramp(worst, 5.0, 60.0, 8), format::duration_s(worst))
        });
        lines.rule(C::Replication, "replication_lag", "A standby is behind", "5 s", "/database/replication", lag);
        let cut = input.replicas.as_ref().map(|replicas| {
            let names = replicas
                .iter()
                .filter(|it| it.state == ReplicaState::Disconnected)
                .map(|it| it.name.as_str())
                .collect::<Vec<_>>();
            (if names.is_empty() { 0 } else { 12 }, names.join(", "))
        });
        lines.rule(
            C::Replication,
            "replica_disconnected",
            "A standby is gone",
            "connected",
            "/database/replication",
            cut,
        );
    }
    let slots =
        input.inactive_slots.map(|count| (ramp(count as f64, 0.0, 2.0, 6), format::counted(count, "slot", "slots")));
    lines.rule(
        C::Replication,
        "slot_inactive",
        "A slot that nobody uses keeps WAL",
        "0",
        "/database/replication",
        slots,
    );

    let cache = input
        .cache_hit_percent
        .map(|percent| (ramp(-percent, -90.0, -60.0, 7), format!("{} %", format::percent(percent))));
    lines.rule(
        C::Cache,
        "cache_hit_low",
        "Few blocks are found in shared buffers",
        "90 %",
        "/database/performance#queries",
        cache,
    );
    let mebibytes = 1_048_576.0;
    let temp = input
        .temp_bytes_per_second
        .map(|rate| (ramp(rate, 10.0 * mebibytes, 200.0 * mebibytes, 4), format!("{}/s", format::bytes(rate))));
    lines.rule(
        C::Cache,
        "temp_files",
        "Sorts and hashes spill to disk",
        "10 MiB/s",
        "/database/performance#queries",
        temp,
    );

    let xid = input
        .xid_age
        .map(|age| (ramp(age as f64, 5e8, 1.6e9, 12), format!("{} transactions", format::count(age as f64))));
    lines.rule(C::Maintenance, "xid_age", "Transaction ids are running out", "500 M", "/database/maintenance", xid);
    let oldest = input
        .oldest_transaction_seconds
        .map(|seconds| (ramp(seconds, 900.0, 14_400.0, 6), format::duration_s(seconds)));
    lines.rule(
        C::Maintenance,
        "transaction_old",
        "An old transaction holds back vacuum",
        "15 min",
        "/database/activity",
        oldest,
    );
    let horizon = input
        .horizon_age
        .map(|age| (ramp(age as f64, 1e7, 1e8, 6), format!("{} transactions", format::count(age as f64))));
    lines.rule(
        C::Maintenance,
        "horizon_held",
        "Vacuum cannot remove dead rows",
        "10 M",
        "/database/maintenance",
        horizon,
    );
    let bloat =
        input.bloated_tables.map(|count| (ramp(count as f64, 0.0, 10.0, 4), format::counted(count, "table", "tables")));
    lines.rule(C::Maintenance, "dead_rows", "Tables with many dead rows", "20 %", "/database/tables", bloat);

    let archiver = input.archiver_failing.map(|failing| (if failing { 6 } else { 0 }, "failing".to_owned()));
    lines.rule(C::Wal, "archiver_failing", "WAL is not archived", "no failures", "/database/maintenance", archiver);

    // A cluster that is not backed up here may be elsewhere: that costs nothing, and is not known. Whoever does not want to
    // be asked takes the weight from backups.
    if input.recovery.is_some() || !input.is_standby {
        for (rule, title, tests, critical, warning) in [
            ("backups", "Backups are not as they should be", false, 8, 3),
            ("restore_tests", "Restores are not proved as they should be", true, 6, 2),
        ] {
            let is_test = |problem: &&RecoveryProblem| {
                (problem.rule.starts_with("restore_test")
                    || problem.rule.starts_with("drill")
                    || problem.rule == "rto_forecast")
                    == tests
            };
            // The worst is the first.
            let worst = input.recovery.as_ref().map(|problems| problems.iter().find(is_test));
            let threshold = worst.flatten().map_or_else(String::new, |it| it.threshold.clone());
            let lost = worst.map(|worst| {
                let points = worst.map_or(0, |it| if it.severity == "critical" { critical } else { warning });
                (points, worst.map_or_else(String::new, |it| it.message.clone()))
            });
            lines.rule(C::Backups, rule, title, &threshold, "/recovery", lost);
        }
    }

    let wasted = input.wasted_index_percent.map(|percent| {
        let bytes = input.wasted_index_bytes.unwrap_or(0);
        // Small databases waste large shares of nothing.
        let points = if bytes < 16 * 1_048_576 { 0 } else { ramp(percent, 5.0, 50.0, 6) };
        (points, format!("{}, {} %", format::bytes(bytes as f64), format::percent(percent)))
    });
    lines.rule(
        C::Capacity,
        "index_waste",
        "Index space serves nothing",
        "5 %",
        "/database/performance#indexes",
        wasted,
    );
    let sequence = input.sequence_percent.map(|percent| {
        let points = if percent < 80.0 { 0 } else { ramp(percent, 75.0, 100.0, 6) };
        (points, format!("{} % of its range", format::percent(percent)))
    });
    // A machine that cannot be seen has no rule to break.
    if let Some(percent) = input.disk_percent {
        let points = if percent < 85.0 { 0 } else { ramp(percent, 80.0, 95.0, 6) };
        let disk = Some((points, format!("{} %", format::percent(percent))));
        lines.rule(C::Capacity, "disk_full", "A file system of the server fills up", "85 %", "/database/tables", disk);
    }
    lines.rule(C::Capacity, "sequence_running_out", "A sequence runs out", "80 %", "/database/tables", sequence);
}

#[cfg(test)]
mod tests;
