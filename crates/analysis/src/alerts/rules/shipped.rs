//! The rules that are shipped. Thresholds follow the guide where it names one; for the others see the comment of each.
use super::Rule;
use crate::setup::CLOCK_OFF_SECONDS;
use domain::{
    alert::{
        Comparison::{Above, Below},
        RuleKind::{Condition, Figure, Notice},
        Severity::{Critical, Info, Warning},
    },
    view::Metric,
};

const GIB: f64 = 1_073_741_824.0;
/// On from anything greater than nothing.
const YES: f64 = 0.5;

const BASE: Rule = Rule {
    key: "",
    title: "",
    about: "",
    kind: Figure,
    comparison: Above,
    unit: "",
    object: None,
    metric: None,
    page: "/database",
    levels: &[],
    for_seconds: 0,
    clear_for_seconds: 0,
    lasts_seconds: 0,
};

/// All rules, in the order in which they are shown.
pub const RULES: &[Rule] = &[
    Rule {
        key: "cluster_unreachable",
        title: "The server is not reached",
        about: "No connection, or it refuses ours. All other alerts of the cluster keep their state meanwhile.",
        kind: Condition,
        levels: &[(Critical, YES, YES)],
        // One lost packet is no outage; the page says at once that it is not reached.
        for_seconds: 10,
        ..BASE
    },
    Rule {
        key: "connections_high",
        title: "Connection slots are running out",
        about: "Client backends of the slots that ordinary roles can use. At 100 % nobody else gets in.",
        unit: "%",
        metric: Some(Metric::ConnectionsPercent),
        page: "/database/connections",
        levels: &[(Warning, 80.0, 75.0), (Critical, 90.0, 85.0)],
        for_seconds: 30,
        clear_for_seconds: 60,
        ..BASE
    },
    Rule {
        key: "query_long",
        title: "A statement runs for long",
        about: "The longest running statement of each kind. Vacuum, index builds, copies, base backups, walsenders and \
                statements that carry the comment holdfast:no-alert are left out, and so are roles and applications \
                named in the configuration.",
        unit: "s",
        object: Some("statement"),
        metric: Some(Metric::LongestQuerySeconds),
        page: "/database/activity",
        levels: &[(Critical, 30.0, 30.0)],
        ..BASE
    },
    Rule {
        key: "sessions_blocked",
        title: "Sessions wait for a lock",
        about: "The longest wait for a heavyweight lock. Waits of milliseconds are ordinary; half a minute is not.",
        unit: "s",
        page: "/database/locks",
        levels: &[(Warning, 30.0, 30.0), (Critical, 300.0, 300.0)],
        ..BASE
    },
    Rule {
        key: "idle_in_transaction",
        title: "A session is idle in a transaction",
        about: "It keeps its locks and holds back vacuum while it does nothing.",
        unit: "s",
        page: "/database/activity",
        levels: &[(Warning, 300.0, 300.0)],
        ..BASE
    },
    Rule {
        key: "transaction_old",
        title: "An old transaction holds back vacuum",
        about: "Rows that died after it began cannot be removed until it ends.",
        unit: "s",
        page: "/database/activity",
        levels: &[(Warning, 1_800.0, 1_800.0)],
        ..BASE
    },
    Rule {
        key: "horizon_held",
        title: "Vacuum cannot remove dead rows",
        about: "Age in transactions of the oldest row versions that somebody may still need: a session, a slot, a prepared \
                transaction, or a standby with hot_standby_feedback. Tables and indexes grow until it lets go. As old as \
                autovacuum_freeze_max_age (200 M as shipped) not even forced vacuums get on.",
        metric: Some(Metric::HorizonAge),
        page: "/database/maintenance",
        levels: &[(Warning, 10_000_000.0, 8_000_000.0), (Critical, 200_000_000.0, 190_000_000.0)],
        for_seconds: 60,
        ..BASE
    },
    Rule {
        key: "prepared_transaction_old",
        title: "A prepared transaction is neither committed nor rolled back",
        about: "It belongs to no session: it keeps its locks and holds back vacuum over restarts, until somebody says COMMIT \
                PREPARED or ROLLBACK PREPARED.",
        unit: "s",
        object: Some("prepared transaction"),
        page: "/database/maintenance",
        levels: &[(Warning, 300.0, 300.0)],
        ..BASE
    },
    Rule {
        key: "deadlocks",
        title: "Deadlocks",
        about: "Transactions that PostgreSQL had to abort in the last five minutes.",
        page: "/database/activity",
        levels: &[(Warning, 0.0, 0.0)],
        ..BASE
    },
    Rule {
        key: "cache_hit_low",
        title: "Few blocks are found in shared buffers",
        about: "Shared-buffer hit ratio over five minutes, when enough blocks were touched to say something.",
        comparison: Below,
        unit: "%",
        metric: Some(Metric::CacheHitPercent),
        page: "/database/performance#queries",
        levels: &[(Warning, 90.0, 92.0)],
        for_seconds: 60,
        clear_for_seconds: 60,
        ..BASE
    },
    Rule {
        key: "load_unusual",
        title: "More than is usual at this hour",
        about: "Active sessions, transactions and the 95th percentile of latency over five minutes, each beside what it was \
                at this time of the day in the last fourteen days, in standard deviations. It takes seven days of history.",
        unit: "σ",
        object: Some("figure"),
        page: "/database",
        // By chance alone four deviations come once in many years; a working day is not chance alone.
        levels: &[(Info, 4.0, 2.0)],
        for_seconds: 600,
        clear_for_seconds: 300,
        ..BASE
    },
    Rule {
        key: "replication_lag",
        title: "A standby is behind",
        about: "Time since the primary passed what the standby has replayed; right also when idle and across clocks.",
        unit: "s",
        object: Some("standby"),
        metric: Some(Metric::ReplicationLagSeconds),
        page: "/database/replication",
        levels: &[(Warning, 5.0, 3.0), (Critical, 60.0, 30.0)],
        for_seconds: 30,
        clear_for_seconds: 30,
        ..BASE
    },
    Rule {
        key: "replica_disconnected",
        title: "A standby is gone",
        about: "A standby that streamed before does not any more; it is missed until it is back or given up on the replication page.",
        kind: Condition,
        object: Some("standby"),
        page: "/database/replication",
        levels: &[(Critical, YES, YES)],
        for_seconds: 30,
        ..BASE
    },
    Rule {
        key: "slot_inactive",
        title: "A slot that nobody uses keeps WAL",
        about: "WAL is kept for it until the disk is full, or until its limit when max_slot_wal_keep_size is set.",
        kind: Condition,
        object: Some("slot"),
        page: "/database/replication",
        levels: &[(Warning, YES, YES)],
        for_seconds: 300,
        ..BASE
    },
    Rule {
        key: "slot_retained",
        title: "A slot keeps much WAL",
        about: "WAL that cannot be removed because of the slot.",
        unit: "B",
        object: Some("slot"),
        metric: Some(Metric::SlotRetainedBytes),
        page: "/database/replication",
        levels: &[(Warning, GIB, 0.8 * GIB), (Critical, 10.0 * GIB, 8.0 * GIB)],
        for_seconds: 60,
        ..BASE
    },
    Rule {
        key: "slot_unreserved",
        title: "A slot is about to lose its WAL",
        about: "wal_status is unreserved: the next checkpoint may remove what the slot still needs.",
        kind: Condition,
        object: Some("slot"),
        page: "/database/replication",
        levels: &[(Warning, YES, YES)],
        ..BASE
    },
    Rule {
        key: "slot_lost",
        title: "A slot has lost its WAL",
        about: "wal_status is lost: whoever reads it must be built anew.",
        kind: Condition,
        object: Some("slot"),
        page: "/database/replication",
        levels: &[(Critical, YES, YES)],
        ..BASE
    },
    Rule {
        key: "archiver_failing",
        title: "WAL is not archived",
        about: "archive_command or archive_library fails: nothing can be restored beyond the last archived segment, and \
                WAL piles up on the disk.",
        kind: Condition,
        page: "/database/maintenance",
        levels: &[(Critical, YES, YES)],
        for_seconds: 60,
        ..BASE
    },
    Rule {
        key: "xid_age",
        title: "Transaction ids are running out",
        about: "Age of the oldest unfrozen transaction or multixact: half of what there is, and the age at which vacuum stops being \
                careful (vacuum_failsafe_age).",
        metric: Some(Metric::XidAge),
        page: "/database/maintenance",
        levels: &[(Warning, 1_000_000_000.0, 950_000_000.0), (Critical, 1_600_000_000.0, 1_500_000_000.0)],
        ..BASE
    },
    Rule {
        key: "sequence_running_out",
        title: "A sequence runs out",
        about: "Part of a sequence's range that is used. When nothing is left, nextval fails and so does every insert that \
                needs it. Seen of sequences that the monitoring role may use or read.",
        unit: "%",
        object: Some("sequence"),
        page: "/database/tables",
        levels: &[(Warning, 80.0, 80.0), (Critical, 95.0, 95.0)],
        ..BASE
    },
    Rule {
        key: "disk_full",
        title: "A file system of the server fills up",
        about: "Used share of the file systems of the data directory, of WAL and of tablespaces. Without room the server stops \
                with its next segment of WAL. Seen where the server runs on the machine of Holdfast.",
        unit: "%",
        object: Some("file system"),
        metric: Some(Metric::DiskUsedPercent),
        page: "/database/tables",
        levels: &[(Warning, 85.0, 83.0), (Critical, 95.0, 93.0)],
        for_seconds: 60,
        clear_for_seconds: 60,
        ..BASE
    },
    Rule {
        key: "checksum_failures",
        title: "Pages fail their checksum",
        about: "PostgreSQL read a page that is not what was written: disk, memory or controller. Counted since the \
                statistics were reset.",
        object: Some("database"),
        levels: &[(Critical, 0.0, 0.0)],
        ..BASE
    },
    Rule {
        key: "collector_failing",
        title: "Some figures cannot be read",
        about: "A collector fails or lacks a right: what it should see is not watched.",
        kind: Condition,
        object: Some("collector"),
        page: "/database#panel-collectors",
        levels: &[(Warning, YES, YES)],
        for_seconds: 120,
        ..BASE
    },
    Rule {
        key: "clock_skew",
        title: "The server's clock is not ours",
        about: "How far the clock of the server is from that of Holdfast's machine, beyond what a slow answer may explain. \
                Commits, logs and the moment of a restore are by the server's clock, figures and alerts by ours; between \
                servers whose clocks differ the lag in seconds is wrong.",
        unit: "s",
        page: "/start",
        levels: &[(Warning, CLOCK_OFF_SECONDS, CLOCK_OFF_SECONDS / 2.0)],
        for_seconds: 60,
        clear_for_seconds: 60,
        ..BASE
    },
    Rule {
        key: "statements_evicted",
        title: "pg_stat_statements forgets statements",
        about: "Entries evicted per hour: raise pg_stat_statements.max, or totals are not whole.",
        page: "/database/performance#queries",
        levels: &[(Info, 1_000.0, 500.0)],
        for_seconds: 600,
        clear_for_seconds: 600,
        ..BASE
    },
    Rule {
        key: "split_brain",
        title: "Two servers take writes",
        about: "The platform's primary and its replica both say that they are the primary. The pools write to neither \
                until one of them is a standby again.",
        kind: Condition,
        page: "/database/connections",
        levels: &[(Critical, YES, YES)],
        ..BASE
    },
    Rule {
        key: "pools_oversized",
        title: "The pools may ask for more than the server gives",
        about: "The sum of the platform's pools is more than the server has slots for ordinary roles.",
        kind: Condition,
        page: "/database/connections",
        levels: &[(Warning, YES, YES)],
        for_seconds: 60,
        ..BASE
    },
    Rule {
        key: "restarted",
        title: "The server was restarted",
        about: "pg_postmaster_start_time changed.",
        kind: Notice,
        levels: &[(Warning, YES, YES)],
        lasts_seconds: 3_600,
        ..BASE
    },
    Rule {
        key: "role_changed",
        title: "The server changed its role",
        about: "A primary became a standby or the reverse: a failover, wanted or not.",
        kind: Notice,
        levels: &[(Warning, YES, YES)],
        lasts_seconds: 86_400,
        ..BASE
    },
    Rule {
        key: "slow_statements_new",
        title: "New slow statements",
        about: "Statements that were slow in the last quarter of an hour and never in the seven days before, in one \
                message.",
        kind: Notice,
        page: "/database/performance#queries",
        levels: &[(Info, YES, YES)],
        lasts_seconds: 86_400,
        ..BASE
    },
    Rule {
        key: "backup_finished",
        title: "A backup is complete",
        about: "Told once for each.",
        kind: Notice,
        object: Some("backup"),
        page: "/backups",
        levels: &[(Info, YES, YES)],
        lasts_seconds: 86_400,
        ..BASE
    },
    Rule {
        key: "backup_failed",
        title: "A backup failed",
        about: "The last attempt did not end well; over when a later one does.",
        kind: Condition,
        page: "/backups",
        levels: &[(Critical, YES, YES)],
        ..BASE
    },
    Rule {
        key: "backup_overdue",
        title: "There is no recent backup",
        about: "Age of the last good backup against half as long again as its schedule promises: 1 is exactly that old. \
                No backup at all counts as 2. Full backups are looked at for themselves where incrementals are scheduled \
                too.",
        object: Some("backup"),
        page: "/backups",
        levels: &[(Critical, 1.0, 1.0)],
        // The first is begun as soon as cluster and repository are reached.
        for_seconds: 120,
        ..BASE
    },
    Rule {
        key: "wal_behind",
        title: "WAL reaches the repository late",
        about: "Age of the oldest WAL that is not in the repository: what a disaster now would lose.",
        unit: "s",
        page: "/backups",
        levels: &[(Warning, 300.0, 120.0), (Critical, 1_800.0, 600.0)],
        for_seconds: 60,
        ..BASE
    },
    Rule {
        key: "wal_gap",
        title: "WAL is missing, or no backup leads to it",
        about: "WAL is not in the repository: the server removed it before it was archived, or it was deleted there. Or all \
                backups are of a timeline that the cluster has left, as when a standby that was behind took over. There are \
                moments that cannot be restored until the next backup, which is begun by itself.",
        kind: Condition,
        page: "/backups",
        levels: &[(Critical, YES, YES)],
        ..BASE
    },
    Rule {
        key: "rpo_exceeded",
        title: "More would be lost now than the RPO allows",
        about: "The age of the oldest WAL that is not in the repository against the recovery point objective of this \
                cluster: 1 is exactly the objective.",
        page: "/recovery",
        levels: &[(Critical, 1.0, 0.8)],
        for_seconds: 5,
        ..BASE
    },
    Rule {
        key: "repository_unreachable",
        title: "The repository of backups is not reached",
        about: "It cannot be read, so nothing can be backed up or restored. All that is known of its content keeps its \
                state meanwhile.",
        kind: Condition,
        page: "/backups",
        levels: &[(Critical, YES, YES)],
        ..BASE
    },
    Rule {
        key: "repository_full",
        title: "The repository's file system is nearly full",
        about: "Used share of the file system that holds the repository, as df counts it. A store that is no directory \
                here tells no room.",
        unit: "%",
        page: "/backups",
        levels: &[(Warning, 90.0, 88.0), (Critical, 97.0, 95.0)],
        ..BASE
    },
    Rule {
        key: "repository_room",
        title: "The repository has little room for the next full backup",
        about: "Size of the newest full backup in the repository over the room that is left: from 1 on the next does not \
                fit.",
        page: "/backups",
        levels: &[(Warning, 0.5, 0.45), (Critical, 1.0, 0.9)],
        ..BASE
    },
    Rule {
        key: "verification_failed",
        title: "A backup is damaged, or could not be verified",
        about: "Verification found bytes that are not what was written, or could not be done. Over when a later one finds \
                the backup whole, or when it is gone.",
        kind: Condition,
        object: Some("backup"),
        page: "/backups",
        levels: &[(Critical, YES, YES)],
        ..BASE
    },
    Rule {
        key: "restore_test_failed",
        title: "A restore test failed",
        about: "The last test did not bring the backup up, or its checks found something; over when a later one does.",
        kind: Condition,
        page: "/recovery",
        levels: &[(Critical, YES, YES)],
        ..BASE
    },
    Rule {
        key: "restore_test_overdue",
        title: "No restore was proved lately",
        about: "Age of the newest sound restore test against half as long again as its schedule promises: 1 is exactly \
                that old. Before the first one the age of the oldest backup counts.",
        page: "/recovery",
        levels: &[(Warning, 1.0, 1.0)],
        ..BASE
    },
    Rule {
        key: "drill_failed",
        title: "A drill failed",
        about: "The last drill of a plan did not come to its end, found something, or took longer than the objectives \
                allow; over when a later one goes well, or when the plan is gone.",
        kind: Condition,
        object: Some("drill"),
        page: "/recovery/plans",
        levels: &[(Critical, YES, YES)],
        ..BASE
    },
    Rule {
        key: "drill_overdue",
        title: "No drill went well lately",
        about: "Age of the newest sound drill of a plan against half as long again as its calendar promises: 1 is exactly \
                that old. Before the first the age of the plan counts.",
        object: Some("drill"),
        page: "/recovery/plans",
        levels: &[(Warning, 1.0, 1.0)],
        ..BASE
    },
    Rule {
        key: "drill_finished",
        title: "A drill is done",
        about: "Told once for each drill whose plan has a step that tells.",
        kind: Notice,
        object: Some("drill"),
        page: "/recovery/plans",
        levels: &[(Info, YES, YES)],
        lasts_seconds: 86_400,
        ..BASE
    },
    Rule {
        key: "plan_waits",
        title: "The execution of a recovery plan waits for an approval",
        about: "An administrator approves the next step, or aborts, on the page of the job.",
        kind: Condition,
        page: "/recovery/plans",
        levels: &[(Critical, YES, YES)],
        ..BASE
    },
    Rule {
        key: "plan_executed",
        title: "A recovery plan is carried out",
        about: "Told once for each execution whose plan has a step that tells, with what applications connect to.",
        kind: Notice,
        object: Some("execution"),
        page: "/recovery/plans",
        levels: &[(Critical, YES, YES)],
        lasts_seconds: 86_400,
        ..BASE
    },
    Rule {
        key: "rto_forecast",
        title: "A restore now would take longer than the RTO allows",
        about: "Forecast by the rates that restore tests and drills measured, against the recovery time objective of this \
                cluster: 1 is exactly the objective.",
        page: "/recovery",
        levels: &[(Warning, 1.0, 0.95)],
        ..BASE
    },
    Rule {
        key: "analytics_behind",
        title: "Roll-ups of analytics fall behind",
        about: "How long the oldest change of rows waits to be rolled up, which takes some seconds: questions read the rows \
                of these hours, more slowly, and months past their time are not archived.",
        unit: "s",
        page: "/analytics",
        // A heap of old days after an import is worked off within that time.
        levels: &[(Warning, 900.0, 60.0)],
        ..BASE
    },
];
