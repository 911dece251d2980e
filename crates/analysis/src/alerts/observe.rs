//! From readings to values by rule and object.
//!
//! What could not be read is [`Reading::Unknown`] for the whole rule, or a value of `None` for one object; an object
//! that a known reading does not name is gone. The difference decides: only what is known can end an alert.
use super::rules::RULES;
use crate::activity;
use domain::{
    format,
    reading::{
        ActivityReading, Backend, ClockSkew, CollectorKind, CollectorState, CollectorStatus, DatabaseReading,
        HorizonHolder, ReplicationReading, SequenceUse,
    },
    view::{ClusterState, DiskRow, ReplicaState, ReplicaView},
};
use std::collections::{BTreeMap, BTreeSet};

/// One object's value.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Which object; empty for the whole cluster.
    pub object: String,
    /// Its value; `None` when it could not be read.
    pub value: Option<f64>,
    /// The value for people; empty lets the rule's unit say it.
    pub measured: String,
    /// More of it, literals masked.
    pub detail: Option<String>,
}

impl Observed {
    /// A value of the whole cluster.
    pub fn whole(value: f64, measured: impl Into<String>) -> Self {
        Self { object: String::new(), value: Some(value), measured: measured.into(), detail: None }
    }

    /// A value of one object.
    pub fn of(object: impl Into<String>, value: f64, measured: impl Into<String>) -> Self {
        Self { object: object.into(), ..Self::whole(value, measured) }
    }
}

/// What a rule saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Nothing: its collector failed, is old, or the server is not reached.
    Unknown,
    /// These objects; any other is gone.
    Known(Vec<Observed>),
}

/// Whose statements are left out of `query_long`: batch work that is long by intent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Roles.
    pub roles: BTreeSet<String>,
    /// Values of `application_name`.
    pub applications: BTreeSet<String>,
}

/// Everything that the rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Whether it is reached.
    pub connection: &'a ClusterState,
    /// State of each collector.
    pub collectors: &'a [CollectorStatus],
    /// Whose long statements are left out.
    pub scope: &'a Scope,
    /// How the server's clock stands to ours.
    pub clock: Option<ClockSkew>,
    /// Client backends of the usable slots.
    pub connections_percent: Option<f64>,
    /// The same in numbers, for people.
    pub connections: Option<(i64, i64)>,
    /// Backends.
    pub activity: Option<&'a ActivityReading>,
    /// The longest wait for a heavyweight lock: of the lock, not of the statement that waits.
    pub longest_lock_wait_seconds: Option<f64>,
    /// Standbys.
    pub replicas: &'a [ReplicaView],
    /// Slots.
    pub replication: Option<&'a ReplicationReading>,
    /// Cumulative counters.
    pub database: Option<&'a DatabaseReading>,
    /// Sequences that are half used up.
    pub sequences: Option<&'a [SequenceUse]>,
    /// Who keeps dead rows from being removed, the oldest first; all prepared transactions are among them.
    pub horizon: Option<&'a [HorizonHolder]>,
    /// Whether there is a window to judge, and its deadlocks.
    pub deadlocks: Option<i64>,
    /// Shared-buffer hit ratio; `None` when too few blocks were touched.
    pub cache_hit_percent: Option<f64>,
    /// Whether archiving fails.
    pub archiver_failing: Option<bool>,
    /// Entries evicted from `pg_stat_statements` per hour.
    pub evictions_per_hour: Option<f64>,
    /// File systems of the server, where they can be seen.
    pub disks: Option<&'a [DiskRow]>,
}

impl Facts<'_> {
    fn is_up(&self) -> bool {
        *self.connection == ClusterState::Up
    }

    /// Whether what this collector gave is recent.
    fn has(&self, kind: CollectorKind) -> bool {
        self.is_up() && self.collectors.iter().any(|it| it.name == kind && it.state == CollectorState::Fresh)
    }
}

/// Statements that carry this in a comment raise nothing.
pub const NO_ALERT: &str = "holdfast:no-alert";

/// The reading of each rule that looks at the cluster itself. Rules that others feed (backups) are not among them.
pub fn observe(facts: &Facts<'_>) -> BTreeMap<&'static str, Reading> {
    use CollectorKind as C;
    let mut readings = BTreeMap::new();
    let mut add = |key: &'static str, known: Option<Vec<Observed>>| {
        debug_assert!(RULES.iter().any(|rule| rule.key == key), "{key}");
        readings.insert(key, known.map_or(Reading::Unknown, Reading::Known));
    };
    let when =
        |kinds: &[C], observed: Option<Vec<Observed>>| observed.filter(|_| kinds.iter().all(|kind| facts.has(*kind)));

    add("cluster_unreachable", unreachable(facts.connection));
    add(
        "connections_high",
        when(
            &[C::Activity, C::Server],
            facts.connections_percent.map(|percent| {
                let (used, usable) = facts.connections.unwrap_or_default();
                vec![Observed::whole(percent, format!("{} %, {used} of {usable}", format::percent(percent)))]
            }),
        ),
    );
    // Seen without the server: a disk that is full is what it may have stopped of.
    add(
        "disk_full",
        facts.disks.map(|disks| {
            let free = |row: &DiskRow| {
                row.free_bytes.map_or_else(String::new, |free| format!(", {} free", format::bytes(free as f64)))
            };
            let seen = |row: &DiskRow| Observed {
                object: row.place.clone(),
                value: row.used_percent,
                measured: row
                    .used_percent
                    .map_or_else(String::new, |percent| format!("{} %{}", format::percent(percent), free(row))),
                detail: Some(row.path.clone()),
            };
            disks.iter().map(seen).collect()
        }),
    );
    let running = facts.activity.map(activity::running);
    add("query_long", when(&[C::Activity], facts.activity.map(|reading| long_queries(reading, facts.scope))));
    add(
        "sessions_blocked",
        when(
            &[C::Activity, C::Locks],
            running.map(|it| {
                let seconds = facts.longest_lock_wait_seconds.unwrap_or(0.0);
                vec![Observed::whole(
                    seconds,
                    format!("{} waiting, {}", it.blocked_sessions, format::duration_s(seconds)),
                )]
            }),
        ),
    );
    add(
        "idle_in_transaction",
        when(
            &[C::Activity],
            running.map(|it| {
                let seconds = it.longest_idle_in_transaction_seconds.unwrap_or(0.0);
                vec![Observed::whole(seconds, format::duration_s(seconds))]
            }),
        ),
    );
    add(
        "transaction_old",
        when(
            &[C::Activity],
            running.map(|it| {
                let seconds = it.oldest_transaction_seconds.unwrap_or(0.0);
                vec![Observed::whole(seconds, format::duration_s(seconds))]
            }),
        ),
    );
    add("horizon_held", when(&[C::Vacuum], facts.horizon.map(horizon)));
    add("prepared_transaction_old", when(&[C::Vacuum], facts.horizon.map(prepared)));
    add(
        "deadlocks",
        when(
            &[C::Database],
            facts.deadlocks.map(|count| vec![Observed::whole(count as f64, format!("{count} in five minutes"))]),
        ),
    );
    // Too few blocks to judge: that is known, and nothing is wrong.
    add(
        "cache_hit_low",
        when(
            &[C::Database],
            facts.deadlocks.map(|_| {
                facts
                    .cache_hit_percent
                    .iter()
                    .map(|percent| Observed::whole(*percent, format!("{} %", format::percent(*percent))))
                    .collect()
            }),
        ),
    );
    add("replication_lag", when(&[C::Replication], facts.replication.map(|_| lags(facts.replicas))));
    add(
        "replica_disconnected",
        when(
            &[C::Replication],
            facts.replication.map(|_| {
                let gone = |it: &ReplicaView| it.state == ReplicaState::Disconnected;
                facts.replicas.iter().map(|it| yes_or_no(&it.name, gone(it), "disconnected")).collect()
            }),
        ),
    );
    let slots = || facts.replication.map(|it| it.slots.as_slice());
    add(
        "slot_inactive",
        when(
            &[C::Replication],
            slots().map(|slots| slots.iter().map(|slot| yes_or_no(&slot.name, !slot.active, "not in use")).collect()),
        ),
    );
    add(
        "slot_retained",
        when(
            &[C::Replication],
            slots().map(|slots| {
                let retained = |slot: &domain::reading::Slot| {
                    let bytes = slot.retained_bytes.map(|bytes| bytes as f64);
                    Observed {
                        value: bytes,
                        ..Observed::of(slot.name.as_str(), 0.0, bytes.map(format::bytes).unwrap_or_default())
                    }
                };
                slots.iter().map(retained).collect()
            }),
        ),
    );
    for (rule, status) in [("slot_unreserved", "unreserved"), ("slot_lost", "lost")] {
        add(
            rule,
            when(
                &[C::Replication],
                slots().map(|slots| {
                    slots
                        .iter()
                        .map(|slot| yes_or_no(&slot.name, slot.wal_status.as_deref() == Some(status), status))
                        .collect()
                }),
            ),
        );
    }
    add(
        "archiver_failing",
        when(&[C::Wal], facts.archiver_failing.map(|failing| vec![yes_or_no("", failing, "the last attempt failed")])),
    );
    let databases = || facts.database.map(|it| it.rows.as_slice());
    add(
        "xid_age",
        when(
            &[C::Database],
            databases().map(|rows| {
                let ages = |row: &'_ domain::reading::DatabaseCounters| {
                    [(row.xid_age, "transactions"), (row.multixact_age, "multixacts")]
                        .map(|(age, of)| age.map(|age| (age, of, row.name.clone())))
                };
                let oldest = rows.iter().flat_map(ages).flatten().max();
                oldest
                    .map(|(age, of, name)| {
                        Observed::whole(age as f64, format!("{} {of} in {name}", format::count(age as f64)))
                    })
                    .into_iter()
                    .collect()
            }),
        ),
    );
    add(
        "sequence_running_out",
        when(
            &[C::Tables],
            facts.sequences.map(|sequences| {
                let used = |it: &SequenceUse| {
                    let measured = format!("{} % used, at {}", format::percent(it.used_percent), it.last_value);
                    Observed::of(it.key.as_str(), it.used_percent, measured)
                };
                sequences.iter().map(used).collect()
            }),
        ),
    );
    add(
        "checksum_failures",
        when(
            &[C::Database],
            databases().map(|rows| {
                let failures = |row: &domain::reading::DatabaseCounters| {
                    row.checksum_failures.map(|count| {
                        Observed::of(row.name.as_str(), count as f64, format::counted(count, "page", "pages"))
                    })
                };
                rows.iter().filter_map(failures).collect()
            }),
        ),
    );
    add("collector_failing", facts.is_up().then(|| facts.collectors.iter().map(collector).collect()));
    let skew = |clock: ClockSkew| vec![Observed::whole(clock.at_least_seconds(), clock.to_human())];
    add("clock_skew", when(&[C::Server], facts.clock.map(skew)));
    add(
        "statements_evicted",
        when(
            &[C::Statements],
            // Of a time too short for a rate nothing is known, as after a start.
            facts
                .evictions_per_hour
                .map(|rate| vec![Observed::whole(rate, format!("{} an hour", format::count(rate)))]),
        ),
    );
    readings
}

fn unreachable(connection: &ClusterState) -> Option<Vec<Observed>> {
    match connection {
        ClusterState::Connecting => None,
        ClusterState::Up => Some(vec![yes_or_no("", false, "")]),
        ClusterState::Unreachable { reason, .. } | ClusterState::Refused { reason, .. } => {
            let short = reason.chars().take(200).collect::<String>();
            Some(vec![Observed { detail: Some(short), ..yes_or_no("", true, connection.as_str()) }])
        }
    }
}

fn yes_or_no(object: &str, yes: bool, measured: &str) -> Observed {
    Observed::of(object, f64::from(u8::from(yes)), if yes { measured } else { "" })
}

fn collector(status: &CollectorStatus) -> Observed {
    let (failing, reason) = match &status.state {
        CollectorState::Failed { reason } | CollectorState::NoPermission { reason, .. } => (true, Some(reason.clone())),
        CollectorState::Pending
        | CollectorState::Fresh
        | CollectorState::Stale
        | CollectorState::Unsupported { .. } => (false, None),
    };
    Observed {
        detail: reason,
        ..yes_or_no(status.name.as_str(), failing, status.state.as_str().replace('_', " ").as_str())
    }
}

/// The oldest holder; nobody at all holds nothing.
fn horizon(holders: &[HorizonHolder]) -> Vec<Observed> {
    let Some(oldest) = holders.iter().max_by_key(|holder| holder.age) else {
        return vec![Observed::whole(0.0, "nothing is held")];
    };
    let age = oldest.age as f64;
    let detail = if oldest.detail.is_empty() { String::new() } else { format!(" ({})", oldest.detail) };
    vec![Observed {
        detail: Some(format!("{} {}{detail}", oldest.source, oldest.id)),
        ..Observed::whole(age, format!("{} transactions", format::count(age)))
    }]
}

fn prepared(holders: &[HorizonHolder]) -> Vec<Observed> {
    let of = |holder: &HorizonHolder| Observed {
        value: holder.seconds,
        detail: Some(holder.detail.clone()).filter(|detail| !detail.is_empty()),
        ..Observed::of(holder.id.as_str(), 0.0, holder.seconds.map(format::duration_s).unwrap_or_default())
    };
    holders.iter().filter(|holder| holder.source == "prepared transaction").map(of).collect()
}

fn lags(replicas: &[ReplicaView]) -> Vec<Observed> {
    let lag = |it: &ReplicaView| {
        // Of one that is gone the lag is not known; that it is gone is another rule's matter.
        let seconds = it.lag_seconds.filter(|_| it.state != ReplicaState::Disconnected);
        let measured = match (seconds, it.lag_bytes) {
            (Some(seconds), Some(bytes)) => format!("{}, {}", format::duration_s(seconds), format::bytes(bytes as f64)),
            (Some(seconds), None) => format::duration_s(seconds),
            (None, _) => String::new(),
        };
        Observed { value: seconds, ..Observed::of(it.name.as_str(), 0.0, measured) }
    };
    replicas.iter().map(lag).collect()
}

/// Running statements, one entry for each kind: fifty sessions in the same statement are one alert.
fn long_queries(reading: &ActivityReading, scope: &Scope) -> Vec<Observed> {
    let mut groups = BTreeMap::<String, Vec<&Backend>>::new();
    for backend in reading.rows.iter().filter(|backend| is_watched(backend, scope)) {
        groups.entry(fingerprint(backend)).or_default().push(backend);
    }
    let group = |(object, mut backends): (String, Vec<&Backend>)| {
        let age = |backend: &Backend| backend.query_seconds.unwrap_or(0.0);
        backends.sort_by(|a, b| age(b).total_cmp(&age(a)));
        let longest = backends.first()?;
        let seconds = age(longest);
        let user = longest.user.as_deref().unwrap_or("unknown");
        let others = if backends.len() > 1 { format!(", {} sessions", backends.len()) } else { String::new() };
        let text = longest.query.as_deref().unwrap_or_default();
        Some(Observed {
            detail: Some(format!(
                "pid {}, role {user}: {}",
                longest.pid,
                crate::sqltext::one_line(&crate::sqltext::mask_literals(text), 300)
            )),
            ..Observed::of(object, seconds, format!("{}{others}", format::duration_s(seconds)))
        })
    };
    groups.into_iter().filter_map(group).collect()
}

fn is_watched(backend: &Backend, scope: &Scope) -> bool {
    backend.backend_type == "client backend"
        && backend.state.as_deref() == Some("active")
        && backend.application != "holdfast"
        // Younger ones are thousands, and no threshold is that low.
        && backend.query_seconds.is_some_and(|seconds| seconds >= 1.0)
        && !activity::is_maintenance(backend)
        && !scope.applications.contains(&backend.application)
        && !backend.user.as_ref().is_some_and(|user| scope.roles.contains(user))
        && !is_tagged(backend.query.as_deref().unwrap_or_default())
}

/// In a comment only: the same words in a literal are data.
fn is_tagged(sql: &str) -> bool {
    sql.contains(NO_ALERT)
        && domain::sql_tokens::tokens(sql)
            .iter()
            .any(|(kind, text)| *kind == domain::sql_tokens::TokenKind::Comment && text.contains(NO_ALERT))
}

/// PostgreSQL's own fingerprint where it gives one, else one of the masked text.
fn fingerprint(backend: &Backend) -> String {
    if let Some(id) = backend.query_id.as_ref().filter(|id| *id != "0") {
        return id.clone();
    }
    // FNV-1a: it must be the same after an upgrade, or an open alert would be raised anew.
    let text = crate::sqltext::mask_literals(backend.query.as_deref().unwrap_or_default());
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("text-{hash:016x}")
}

#[cfg(test)]
mod tests;
