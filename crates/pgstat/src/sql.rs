//! The catalogue: every statement sent to a monitored cluster. Each begins with a marker, so that a DBA sees whose it
//! is and we can leave ourselves out. Values are cast to types that the driver decodes.
mod explain;

use crate::Probe;
pub(crate) use explain::*;

pub(crate) const PROBE: &str = "/* holdfast:probe */ SELECT current_setting('server_version_num')::int AS version_num, \
 (SELECT extversion FROM pg_extension WHERE extname = 'pg_stat_statements') AS statements_version, \
 (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements') AS statements_schema, \
 (SELECT setting ~ '(^|[ ,])\"?pg_stat_statements\"?([ ,]|$)' FROM pg_settings WHERE name = 'shared_preload_libraries') AS preloaded, \
 EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements') AS available, \
 (pg_has_role(current_user, 'pg_monitor', 'USAGE') OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)) AS has_pg_monitor, \
 has_function_privilege('pg_control_checkpoint()', 'EXECUTE') AND has_function_privilege('pg_control_system()', 'EXECUTE') AS may_read_control, \
 ARRAY(SELECT rolname::text FROM pg_roles WHERE rolname IN ('rds_superuser', 'azure_pg_admin', 'alloydbsuperuser', \
 'cloudsqlsuperuser', 'supabase_admin', 'neon_superuser') \
 AND NOT (SELECT own.rolsuper FROM pg_roles own WHERE own.rolname = current_user)) AS provider_roles, \
 to_regproc('pg_catalog.aurora_version') IS NOT NULL AS has_aurora_version, \
 current_database()::text AS database";

pub(crate) const PROBE_COLUMNS: &str = "/* holdfast:probe columns */ SELECT c.relname || '.' || a.attname AS name \
 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
 WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relname IN ('pg_stat_statements', 'pg_stat_statements_info', 'pg_stat_wal', \
 'pg_stat_activity', 'pg_stat_bgwriter', 'pg_stat_checkpointer', 'pg_stat_user_indexes', 'pg_stat_user_tables', 'pg_locks', \
 'pg_replication_slots', 'pg_stat_wal_receiver', 'pg_stat_database', 'pg_stat_io', 'pg_stat_progress_copy') AND c.relkind = 'v'";

/// Timeline and identifier need `EXECUTE` on functions that only `pg_monitor` and superusers have by default.
pub(crate) fn server(probe: &Probe) -> String {
    let control = if probe.may_read_control {
        "(SELECT timeline_id FROM pg_control_checkpoint())::int8 AS timeline, (SELECT system_identifier FROM pg_control_system())::text AS system_identifier"
    } else {
        "NULL::int8 AS timeline, NULL::text AS system_identifier"
    };
    format!(
        "/* holdfast:server */ SELECT current_setting('server_version_num')::int AS version_num, \
         split_part(current_setting('server_version'), ' ', 1) AS version, pg_is_in_recovery() AS in_recovery, \
         (extract(epoch FROM pg_postmaster_start_time()) * 1000)::int8 AS started_at, \
         (extract(epoch FROM clock_timestamp()) * 1000)::int8 AS clock, \
         (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text AS lsn, \
         current_setting('max_connections')::int8 AS max_connections, \
         current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8 \
         - coalesce(current_setting('reserved_connections', true)::int8, 0) AS usable_connections, \
         (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used_connections, \
         current_user::text AS role_name, current_setting('track_io_timing')::bool AS track_io_timing, \
         (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls, {control}"
    )
}

pub(crate) fn database(with_sizes: bool) -> String {
    // Templates too: a server stops for their ids as for any other's. pg_database_size walks the directory: asked for seldom, and only where CONNECT or pg_read_all_stats allows it.
    let bytes = if with_sizes {
        "CASE WHEN has_database_privilege(d.oid, 'CONNECT') OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') \
         THEN pg_database_size(d.oid) END"
    } else {
        "NULL::int8"
    };
    format!(
        "/* holdfast:database */ SELECT d.oid::int8 AS oid, d.datname::text AS name, s.numbackends::int8 AS backends, s.xact_commit, \
         s.xact_rollback, s.blks_read, s.blks_hit, s.tup_returned, s.tup_fetched, s.tup_inserted, s.tup_updated, s.tup_deleted, \
         s.conflicts, s.temp_files, s.temp_bytes, s.deadlocks, s.checksum_failures, s.blk_read_time AS blk_read_ms, \
         s.blk_write_time AS blk_write_ms, age(d.datfrozenxid)::int8 AS xid_age, mxid_age(d.datminmxid)::int8 AS multixact_age, {bytes} AS bytes, \
         (extract(epoch FROM s.stats_reset) * 1000)::int8 AS stats_reset \
         FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid ORDER BY d.oid"
    )
}

/// `pg_blocking_pids` takes all partitions of the lock manager: asked only for backends that wait for a lock.
pub(crate) fn activity(probe: &Probe) -> String {
    let query_id = probe.column("pg_stat_activity", "query_id", "a.query_id::text", "text");
    format!(
        "/* holdfast:activity */ SELECT a.pid, (extract(epoch FROM a.backend_start) * 1000)::int8 AS started_at, a.leader_pid, a.datname::text AS database, a.usename::text AS \"user\", \
         coalesce(a.application_name, '') AS application, host(a.client_addr) AS client_address, coalesce(a.backend_type, '') AS backend_type, \
         a.state, a.wait_event_type, a.wait_event, {query_id} AS query_id, \
         extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_seconds, \
         extract(epoch FROM clock_timestamp() - a.query_start)::float8 AS query_seconds, \
         extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS state_seconds, \
         age(a.backend_xmin)::int8 AS xmin_age, left(a.query, 1000) AS query, \
         CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE '{{}}'::int4[] END AS blocked_by \
         FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid()"
    )
}

/// Active sessions only, without texts and ages, and the position: asked each second, in one call.
pub(crate) fn sessions(probe: &Probe) -> String {
    let query_id = probe.column("pg_stat_activity", "query_id", "a.query_id::text", "text");
    format!(
        "/* holdfast:sessions */ SELECT p.lsn, a.datname::text AS database, a.usename::text AS \"user\", coalesce(a.application_name, '') AS application, \
         host(a.client_addr) AS client_address, a.backend_type, a.state, a.wait_event_type, a.wait_event, {query_id} AS query_id \
         FROM (SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_lsn()::text END AS lsn) p LEFT JOIN pg_stat_activity a \
         ON a.pid <> pg_backend_pid() AND (a.state IN ('active', 'fastpath function call') OR a.backend_type = 'autovacuum worker') \
         AND a.backend_type IN ('client backend', 'parallel worker', 'autovacuum worker')"
    )
}

pub(crate) fn locks(probe: &Probe) -> String {
    let waited =
        probe.column("pg_locks", "waitstart", "extract(epoch FROM clock_timestamp() - l.waitstart)::float8", "float8");
    format!(
        "/* holdfast:locks */ SELECT l.pid, l.locktype AS lock_type, l.mode, {waited} AS wait_seconds, pg_blocking_pids(l.pid) AS blocked_by, \
         (SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
          WHERE c.oid = l.relation AND l.database IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))) AS relation, \
         l.relation::int8 AS relation_oid, (SELECT d.datname::text FROM pg_database d WHERE d.oid = l.database) AS database \
         FROM pg_locks l WHERE NOT l.granted AND l.pid IS NOT NULL"
    )
}

/// All rows and no texts: the texts lie in a file that would be read whole for each call. What holds for all of them is on
/// each row: a question of its own would be a call more.
pub(crate) fn statements(probe: &Probe) -> String {
    let view = "pg_stat_statements";
    let schema = &probe.statements_schema;
    let toplevel = if probe.has(view, "toplevel") { "s.toplevel" } else { "true" };
    let read_time = if probe.has(view, "shared_blk_read_time") { "s.shared_blk_read_time" } else { "s.blk_read_time" };
    let write_time =
        if probe.has(view, "shared_blk_write_time") { "s.shared_blk_write_time" } else { "s.blk_write_time" };
    let since = probe.column(view, "stats_since", "(extract(epoch FROM s.stats_since) * 1000)::int8", "int8");
    // In 13 there is none.
    let info = if probe.has("pg_stat_statements_info", "dealloc") {
        format!(
            "(SELECT dealloc, (extract(epoch FROM stats_reset) * 1000)::int8 AS stats_reset FROM {schema}.pg_stat_statements_info)"
        )
    } else {
        "(SELECT NULL::int8 AS dealloc, NULL::int8 AS stats_reset)".to_owned()
    };
    format!(
        "/* holdfast:statements */ SELECT s.dbid::int8 AS dbid, s.userid::int8 AS userid, s.queryid, {toplevel} AS toplevel, s.calls, \
         s.total_exec_time AS total_ms, s.stddev_exec_time AS stddev_ms, s.max_exec_time AS max_ms, s.rows, s.shared_blks_hit, s.shared_blks_read, \
         s.shared_blks_dirtied, s.shared_blks_written, s.temp_blks_read, s.temp_blks_written, {read_time} AS blk_read_ms, {write_time} AS blk_write_ms, \
         s.wal_bytes::int8 AS wal_bytes, {since} AS stats_since, i.dealloc, i.stats_reset \
         FROM {info} i LEFT JOIN {schema}.pg_stat_statements(false) s ON true"
    )
}

/// What is kept of a text: more is read by nobody, and thousands of long ones are a gigabyte.
const TEXT_CHARS: u32 = 10_000;

/// The text loader: the one place that reads texts, and only those of ids not yet known.
pub(crate) fn statement_texts(probe: &Probe, queryids: &[i64]) -> String {
    let toplevel = if probe.has("pg_stat_statements", "toplevel") { "s.toplevel" } else { "true" };
    let ids = queryids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    format!(
        "/* holdfast:statement texts */ SELECT s.dbid::int8 AS dbid, s.userid::int8 AS userid, s.queryid, {toplevel} AS toplevel, \
         coalesce(d.datname::text, s.dbid::text) AS database, coalesce(r.rolname::text, s.userid::text) AS \"user\", left(s.query, {TEXT_CHARS}) AS query \
         FROM {}.pg_stat_statements(true) s LEFT JOIN pg_database d ON d.oid = s.dbid LEFT JOIN pg_roles r ON r.oid = s.userid \
         WHERE s.queryid = ANY ('{{{ids}}}'::int8[])",
        probe.statements_schema
    )
}

pub(crate) const DATABASES: &str = "/* holdfast:databases */ SELECT d.datname::text AS name, \
 (extract(epoch FROM s.stats_reset) * 1000)::int8 AS stats_reset FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid \
 WHERE d.datallowconn AND NOT d.datistemplate AND has_database_privilege(d.oid, 'CONNECT') ORDER BY d.datname = current_database() DESC, d.datname";

/// Relations somebody holds an exclusive lock on; looking into them would wait.
const LOCKED: &str = "locked AS MATERIALIZED (SELECT relation FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL \
 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

/// Arrays are built anew: `int2vector` and `oidvector` begin at 0, which the driver does not take.
pub(crate) fn indexes(probe: &Probe) -> String {
    let last_scan = probe.column(
        "pg_stat_user_indexes",
        "last_idx_scan",
        "(extract(epoch FROM s.last_idx_scan) * 1000)::int8",
        "int8",
    );
    format!(
        "/* holdfast:indexes */ WITH {LOCKED} SELECT n.nspname::text AS schema, t.relname::text AS \"table\", c.relname::text AS name, \
         i.indexrelid::int8 AS oid, i.indrelid::int8 AS table_oid, pg_get_indexdef(i.indexrelid) AS definition, am.amname::text AS method, \
         c.relpages::int8 * current_setting('block_size')::int8 AS bytes, greatest(t.reltuples, 0)::float8 AS table_rows, \
         ARRAY(SELECT unnest(i.indkey::int2[])) AS key, i.indnkeyatts AS key_columns, ARRAY(SELECT unnest(i.indclass::oid[])::int8) AS classes, ARRAY(SELECT unnest(i.indcollation::oid[])::int8) AS collations, \
         ARRAY(SELECT unnest(i.indoption::int2[])) AS options, pg_get_expr(i.indpred, i.indrelid) AS predicate, pg_get_expr(i.indexprs, i.indrelid) AS expressions, \
         i.indisunique AS \"unique\", i.indisprimary AS \"primary\", i.indisvalid AS valid, i.indisready AS ready, i.indisreplident AS replica_identity, \
         EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid) AS backs_constraint, c.relkind = 'I' AS partitioned, \
         (SELECT pn.nspname || '.' || pc.relname FROM pg_inherits h JOIN pg_class pc ON pc.oid = h.inhparent \
          JOIN pg_namespace pn ON pn.oid = pc.relnamespace WHERE h.inhrelid = i.indexrelid LIMIT 1) AS parent, \
         EXISTS (SELECT 1 FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid) AS building, \
         coalesce(s.idx_scan, 0) AS scans, coalesce(s.idx_tup_read, 0) AS rows_read, coalesce(s.idx_tup_fetch, 0) AS rows_fetched, \
         {last_scan} AS last_scan, coalesce(io.idx_blks_hit, 0) AS blks_hit, coalesce(io.idx_blks_read, 0) AS blks_read, \
         coalesce(st.n_tup_ins + st.n_tup_del + st.n_tup_upd - st.n_tup_hot_upd, 0) AS table_writes \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am am ON am.oid = c.relam \
         LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = i.indexrelid LEFT JOIN pg_statio_user_indexes io ON io.indexrelid = i.indexrelid \
         LEFT JOIN pg_stat_user_tables st ON st.relid = i.indrelid \
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg_temp%' \
         AND i.indrelid NOT IN (SELECT relation FROM locked) AND i.indexrelid NOT IN (SELECT relation FROM locked) ORDER BY c.relpages DESC"
    )
}

/// A foreign key is indexed when a valid, whole index leads with its columns, in any order (splinter's rule 0001).
pub(crate) fn foreign_keys() -> String {
    format!(
        "/* holdfast:foreign keys */ WITH {LOCKED} SELECT n.nspname::text AS schema, t.relname::text AS \"table\", k.conname::text AS name, \
         pg_get_constraintdef(k.oid) AS definition, \
         ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(attnum, place) \
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place) AS columns, \
         (SELECT rn.nspname || '.' || r.relname FROM pg_class r JOIN pg_namespace rn ON rn.oid = r.relnamespace WHERE r.oid = k.confrelid) AS \"references\", \
         greatest(t.reltuples, 0)::float8 AS table_rows, t.relpages::int8 * current_setting('block_size')::int8 AS table_bytes, \
         EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL \
          AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] <@ k.conkey) AS indexed \
         FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
         WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid NOT IN (SELECT relation FROM locked) ORDER BY t.relpages DESC"
    )
}

pub(crate) const TABLES: &str = "/* holdfast:tables */ SELECT n.nspname::text AS schema, c.relname::text AS name, c.oid::int8 AS oid, \
 (SELECT pn.nspname || '.' || pc.relname FROM pg_inherits h JOIN pg_class pc ON pc.oid = h.inhparent \
  JOIN pg_namespace pn ON pn.oid = pc.relnamespace WHERE h.inhrelid = c.oid LIMIT 1) AS parent, \
 greatest(c.relpages, 0)::int8 * current_setting('block_size')::int8 AS heap_bytes, \
 coalesce((SELECT t.relpages FROM pg_class t WHERE t.oid = c.reltoastrelid), 0)::int8 * current_setting('block_size')::int8 AS toast_bytes, \
 coalesce((SELECT sum(greatest(ic.relpages, 0)) FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = c.oid), 0)::int8 \
 * current_setting('block_size')::int8 AS index_bytes, greatest(c.reltuples, 0)::float8 AS rows, s.n_live_tup AS live_rows, s.n_dead_tup AS dead_rows, \
 s.seq_scan AS seq_scans, s.seq_tup_read AS seq_rows_read, coalesce(s.idx_scan, 0) AS index_scans, s.n_tup_ins AS inserted, s.n_tup_upd AS updated, \
 s.n_tup_hot_upd AS hot_updated, s.n_tup_del AS deleted, s.n_mod_since_analyze AS changed_since_analyze, \
 (extract(epoch FROM greatest(s.last_vacuum, s.last_autovacuum)) * 1000)::int8 AS last_vacuum, \
 (extract(epoch FROM greatest(s.last_analyze, s.last_autoanalyze)) * 1000)::int8 AS last_analyze, \
 CASE WHEN c.relkind IN ('r', 'm') THEN age(c.relfrozenxid)::int8 END AS xid_age, coalesce(s.n_ins_since_vacuum, 0) AS inserted_since_vacuum, \
 coalesce(c.reloptions, '{}'::text[]) AS options \
 FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY c.relpages DESC";

/// Sequences that run out: the range is the type's or what the sequence was given. The last value is NULL for whoever may
/// not use the sequence. The worst of each database are enough.
pub(crate) const SEQUENCES: &str = "/* holdfast:sequences */ SELECT schemaname::text AS schema, sequencename::text AS name, last_value, used_percent \
 FROM (SELECT s.*, (100 * CASE WHEN s.increment_by > 0 THEN s.last_value::numeric - s.min_value ELSE s.max_value::numeric - s.last_value END \
  / nullif(s.max_value::numeric - s.min_value, 0))::float8 AS used_percent FROM pg_sequences s WHERE NOT s.cycle) s \
 WHERE used_percent >= 50 ORDER BY used_percent DESC LIMIT 20";

/// Whether statistics of columns may be read below `pg_stats`: that view shows those of columns whose values our role may
/// read too, which a monitoring role should not. A grant of everything in `pg_statistic` but the values is enough for us.
pub(crate) const STATISTICS_RIGHT: &str = "/* holdfast:statistics right */ SELECT coalesce(bool_and(has_column_privilege( \
 'pg_catalog.pg_statistic', c, 'SELECT')), false) AS granted FROM unnest(string_to_array( \
 'starelid,staattnum,stainherit,stanullfrac,stawidth,stadistinct,stakind1,stakind2,stakind3,stakind4,stakind5,stanumbers1,stanumbers2,stanumbers3,stanumbers4,stanumbers5', ',')) c";

/// What we use of `pg_stats`, without its rules of who sees what. Kind 1 are the most common values, kind 3 the correlation.
const STATISTICS: &str = "(SELECT n.nspname AS schemaname, c.relname AS tablename, a.attname, s.stainherit AS inherited, \
 s.stanullfrac AS null_frac, s.stawidth AS avg_width, s.stadistinct AS n_distinct, \
 CASE 1 WHEN s.stakind1 THEN s.stanumbers1 WHEN s.stakind2 THEN s.stanumbers2 WHEN s.stakind3 THEN s.stanumbers3 \
  WHEN s.stakind4 THEN s.stanumbers4 WHEN s.stakind5 THEN s.stanumbers5 END AS most_common_freqs, \
 CASE 3 WHEN s.stakind1 THEN s.stanumbers1[1] WHEN s.stakind2 THEN s.stanumbers2[1] WHEN s.stakind3 THEN s.stanumbers3[1] \
  WHEN s.stakind4 THEN s.stanumbers4[1] WHEN s.stakind5 THEN s.stanumbers5[1] END AS correlation \
 FROM pg_catalog.pg_statistic s JOIN pg_catalog.pg_class c ON c.oid = s.starelid \
 JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = s.staattnum \
 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT a.attisdropped) ";

/// A statement of this catalogue with its statistics of columns from `pg_statistic`, where that was granted.
pub(crate) fn with_statistics(sql: &str, granted: bool) -> String {
    if granted { sql.replace("pg_stats ", STATISTICS) } else { sql.to_owned() }
}

/// What tables would take if they were packed: rows, and widths of columns from the planner's statistics, which only
/// those who may read a table can see. Small tables are left out: a page more or less says nothing of them.
pub(crate) const BLOAT: &str = "/* holdfast:bloat */ SELECT c.oid::int8 AS oid, greatest(c.reltuples, 0)::float8 AS rows, c.relpages::int8 AS pages, \
 current_setting('block_size')::int8 AS block_bytes, \
 coalesce((SELECT substr(o, 12)::int8 FROM unnest(c.reloptions) o WHERE o LIKE 'fillfactor=%'), 100) AS fillfactor, \
 CASE WHEN w.seen = (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) THEN w.bytes END AS row_bytes \
 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
 LEFT JOIN LATERAL (SELECT count(*) AS seen, sum((1 - t.null_frac) * t.avg_width)::float8 AS bytes FROM pg_stats t \
  WHERE t.schemaname = n.nspname AND t.tablename = c.relname AND NOT t.inherited) w ON true \
 WHERE c.relkind IN ('r', 'm') AND c.relpages >= 128 AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%' \
 ORDER BY c.relpages DESC LIMIT 1000";

/// What btree indexes would take if they were packed: entries, and widths of their keys. Columns have their statistics
/// with the table, expressions with the index. As with tables, small ones are left out.
pub(crate) const INDEX_BLOAT: &str = "/* holdfast:index bloat */ SELECT c.oid::int8 AS oid, greatest(c.reltuples, 0)::float8 AS rows, c.relpages::int8 AS pages, \
 current_setting('block_size')::int8 AS block_bytes, \
 coalesce((SELECT substr(o, 12)::int8 FROM unnest(c.reloptions) o WHERE o LIKE 'fillfactor=%'), 90) AS fillfactor, \
 CASE WHEN w.seen = i.indnatts THEN w.bytes END AS row_bytes \
 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid \
 JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am m ON m.oid = c.relam \
 LEFT JOIN LATERAL (SELECT count(*) AS seen, sum(p.bytes)::float8 AS bytes FROM ( \
  SELECT (1 - s.null_frac) * s.avg_width AS bytes FROM unnest(i.indkey::int2[]) k(attnum) \
   JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum \
   JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = t.relname AND s.attname = a.attname AND NOT s.inherited WHERE k.attnum > 0 \
  UNION ALL SELECT (1 - s.null_frac) * s.avg_width FROM pg_stats s \
   WHERE i.indexprs IS NOT NULL AND s.schemaname = n.nspname AND s.tablename = c.relname AND NOT s.inherited) p) w ON true \
 WHERE m.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid AND c.relpages >= 128 \
 AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%' \
 ORDER BY c.relpages DESC LIMIT 1000";

/// So many tables of a database are looked into for their columns, the largest first, and so many columns.
pub(crate) const COLUMN_TABLES: usize = 200;
pub(crate) const COLUMNS: usize = 5_000;

/// Columns of the largest tables with the planner's statistics of each, where our role may see them: of the lists of values
/// only how long they are and how frequent the first is. A partitioned table is as large as its partitions. Statistics are
/// looked up table by table, which is what `OFFSET 0` keeps apart: joined as a whole the view would be read whole. Before 17
/// `pg_get_expr` looks at all names of a table for each expression, which takes milliseconds where it has a thousand columns.
/// What stands in their place has its number in words: figures in expressions are masked later.
pub(crate) fn columns(granted: bool) -> String {
    // With the grant no right on the column and no row security stands before its statistics.
    let (readable, row_security) = if granted {
        ("true", "false")
    } else {
        ("coalesce(has_column_privilege(x.oid, x.attnum, 'SELECT'), false)", "x.row_security")
    };
    let sql = format!(
        "/* holdfast:columns */ WITH {LOCKED}, largest AS MATERIALIZED (SELECT c.oid, n.nspname, c.relname, c.relnatts, c.relkind = 'p' AS partitioned, \
          c.relrowsecurity AND row_security_active(c.oid) AS row_security, \
          greatest(c.relpages, 0) + CASE WHEN c.relkind = 'p' THEN coalesce((SELECT sum(greatest(k.relpages, 0)) FROM pg_inherits h \
           JOIN pg_class k ON k.oid = h.inhrelid WHERE h.inhparent = c.oid), 0) ELSE 0 END AS pages \
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
          WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%' \
          AND c.oid NOT IN (SELECT relation FROM locked) ORDER BY pages DESC, c.oid LIMIT {COLUMN_TABLES}), \
         shown AS MATERIALIZED (SELECT l.*, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod) AS data_type, a.attnotnull, a.attidentity, \
          a.attgenerated, a.attstattarget FROM largest l JOIN pg_attribute a ON a.attrelid = l.oid AND a.attnum > 0 AND NOT a.attisdropped \
          ORDER BY l.pages DESC, l.oid, a.attnum LIMIT {COLUMNS}), \
         statistics AS MATERIALIZED (SELECT l.oid, s.* FROM largest l CROSS JOIN LATERAL (SELECT t.attname, true AS seen, \
          t.n_distinct::float8 AS n_distinct, t.null_frac::float8 AS null_fraction, t.avg_width AS width, t.correlation::float8 AS correlation, \
          cardinality(t.most_common_freqs) AS most_common, t.most_common_freqs[1]::float8 AS most_common_fraction \
          FROM pg_stats t WHERE t.schemaname = l.nspname AND t.tablename = l.relname AND t.inherited = l.partitioned OFFSET 0) s) \
         SELECT x.oid::int8 AS oid, x.nspname::text AS schema, x.relname::text AS \"table\", x.partitioned, x.attname::text AS name, x.data_type, \
         x.attnotnull AS not_null, CASE WHEN d.oid IS NULL THEN NULL WHEN x.relnatts <= 300 THEN left(pg_get_expr(d.adbin, d.adrelid), 200) \
          ELSE '(not read: more than three hundred columns)' END AS expression, x.attidentity::text AS identity, \
         x.attgenerated::text AS generated, nullif(x.attstattarget, -1)::int4 AS target, \
         current_setting('default_statistics_target')::int4 AS default_target, \
         {readable} AS readable, {row_security} AS row_security, coalesce(s.seen, false) AS seen, \
         s.n_distinct, s.null_fraction, s.width, s.correlation, s.most_common, s.most_common_fraction \
         FROM shown x LEFT JOIN pg_attrdef d ON d.adrelid = x.oid AND d.adnum = x.attnum \
         LEFT JOIN statistics s ON s.oid = x.oid AND s.attname = x.attname ORDER BY x.pages DESC, x.oid, x.attnum"
    );
    with_statistics(&sql, granted)
}

/// Limits of freezing, and temporary files being written, which only `pg_monitor` may list. Those of every tablespace:
/// `temp_tablespaces` puts them elsewhere. `pg_global` has none, and its directory would be the default one's again.
pub(crate) fn freeze(with_temp: bool) -> String {
    let (columns, temp) = if with_temp {
        (
            "t.files, t.bytes",
            " FROM (SELECT count(*) AS files, coalesce(sum(f.size), 0)::int8 AS bytes FROM pg_tablespace s \
             CROSS JOIN LATERAL pg_ls_tmpdir(s.oid) f WHERE s.spcname <> 'pg_global') t",
        )
    } else {
        ("NULL::int8 AS files, NULL::int8 AS bytes", "")
    };
    format!(
        "/* holdfast:freeze */ SELECT (SELECT max(mxid_age(datminmxid))::int8 FROM pg_database) AS multixact_age, \
         current_setting('autovacuum_freeze_max_age')::int8 AS freeze_max_age, \
         current_setting('autovacuum_multixact_freeze_max_age')::int8 AS multixact_freeze_max_age, {columns}{temp}"
    )
}

/// Who keeps dead rows from being removed. Sessions may be thousands: the oldest are enough. All others are listed, because
/// whoever is left out would be taken for gone.
pub(crate) const HORIZON: &str = "/* holdfast:horizon */ SELECT h.source, h.id, h.detail, h.age, h.seconds FROM ( \
 (SELECT 'backend' AS source, pid::text AS id, concat_ws(', ', nullif(application_name, ''), state) AS detail, age(backend_xmin)::int8 AS age, \
  extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds \
  FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND backend_type <> 'walsender' \
  ORDER BY age(backend_xmin) DESC LIMIT 20) \
 UNION ALL SELECT 'slot', slot_name::text, slot_type, greatest(age(xmin), age(catalog_xmin))::int8, NULL::float8 FROM pg_replication_slots \
  WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL \
 UNION ALL SELECT 'prepared transaction', gid, concat_ws(' in ', owner, database), age(transaction)::int8, \
  extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts \
 UNION ALL SELECT 'standby', application_name, state, age(backend_xmin)::int8, NULL::float8 FROM pg_stat_replication WHERE backend_xmin IS NOT NULL \
 ) h WHERE h.age IS NOT NULL ORDER BY h.age DESC";

/// The views tell relations by oid; only those of the connected database have a name here.
pub(crate) fn progress(probe: &Probe) -> String {
    let copy = if probe.has("pg_stat_progress_copy", "bytes_processed") {
        " UNION ALL SELECT 'COPY', p.pid, p.datid, p.relid, concat_ws(' ', p.command, p.type), p.bytes_processed, p.bytes_total, 'bytes' FROM pg_stat_progress_copy p"
    } else {
        ""
    };
    format!(
        "/* holdfast:progress */ SELECT x.command, x.pid, d.datname::text AS database, x.phase, x.done, x.total, x.unit, \
         CASE WHEN x.relid = 0 THEN NULL WHEN d.datname = current_database() THEN \
          coalesce((SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = x.relid), x.relid::text) \
          ELSE x.relid::text END AS relation, \
         extract(epoch FROM clock_timestamp() - a.query_start)::float8 AS seconds FROM ( \
         SELECT 'VACUUM' AS command, p.pid, p.datid, p.relid, p.phase, p.heap_blks_scanned AS done, p.heap_blks_total AS total, 'blocks' AS unit FROM pg_stat_progress_vacuum p \
         UNION ALL SELECT p.command, p.pid, p.datid, p.relid, p.phase, p.blocks_done, p.blocks_total, 'blocks' FROM pg_stat_progress_create_index p \
         UNION ALL SELECT 'ANALYZE', p.pid, p.datid, p.relid, p.phase, p.sample_blks_scanned, p.sample_blks_total, 'blocks' FROM pg_stat_progress_analyze p \
         UNION ALL SELECT p.command, p.pid, p.datid, p.relid, p.phase, p.heap_blks_scanned, p.heap_blks_total, 'blocks' FROM pg_stat_progress_cluster p \
         UNION ALL SELECT 'BASE BACKUP', p.pid, 0::oid, 0::oid, p.phase, p.backup_streamed, p.backup_total, 'bytes' FROM pg_stat_progress_basebackup p{copy}) x \
         LEFT JOIN pg_database d ON d.oid = x.datid LEFT JOIN pg_stat_activity a ON a.pid = x.pid ORDER BY seconds DESC NULLS LAST"
    )
}

/// Before 18 operations had one size; since then each has its bytes, and WAL has rows too.
pub(crate) fn io(probe: &Probe) -> Option<String> {
    let bytes = if probe.has("pg_stat_io", "read_bytes") {
        "read_bytes::int8 AS read_bytes, write_bytes::int8 AS write_bytes, extend_bytes::int8 AS extend_bytes"
    } else if probe.has("pg_stat_io", "op_bytes") {
        "(reads * op_bytes)::int8 AS read_bytes, (writes * op_bytes)::int8 AS write_bytes, (extends * op_bytes)::int8 AS extend_bytes"
    } else {
        return probe.has("pg_stat_bgwriter", "buffers_backend").then(|| IO_BEFORE_16.to_owned());
    };
    Some(format!(
        "/* holdfast:io */ SELECT backend_type, object, context, {bytes}, read_time AS read_ms, write_time AS write_ms, hits, evictions, fsyncs, \
         (extract(epoch FROM stats_reset) * 1000)::int8 AS stats_reset FROM pg_stat_io \
         WHERE coalesce(reads, 0) + coalesce(writes, 0) + coalesce(extends, 0) + coalesce(hits, 0) > 0 ORDER BY 1, 2, 3"
    ))
}

/// Before `pg_stat_io`: who wrote, all sessions taken together and what they extended files by among it, and what was read in
/// each database, by its own counters with its own resets.
const IO_BEFORE_16: &str = "/* holdfast:io */ SELECT x.* FROM (SELECT current_setting('block_size')::int8 AS bytes) b CROSS JOIN LATERAL ( \
 SELECT 'checkpointer' AS backend_type, 'relation' AS object, 'normal' AS context, NULL::int8 AS read_bytes, \
  w.buffers_checkpoint * b.bytes AS write_bytes, NULL::int8 AS extend_bytes, NULL::float8 AS read_ms, NULL::float8 AS write_ms, \
  NULL::int8 AS hits, NULL::int8 AS evictions, NULL::int8 AS fsyncs, (extract(epoch FROM w.stats_reset) * 1000)::int8 AS stats_reset \
  FROM pg_stat_bgwriter w \
 UNION ALL SELECT 'background writer', 'relation', 'normal', NULL, w.buffers_clean * b.bytes, NULL, NULL, NULL, NULL, NULL, NULL, \
  (extract(epoch FROM w.stats_reset) * 1000)::int8 FROM pg_stat_bgwriter w \
 UNION ALL SELECT 'all sessions', 'relation', 'normal', NULL, w.buffers_backend * b.bytes, NULL, NULL, NULL, NULL, NULL, \
  w.buffers_backend_fsync, (extract(epoch FROM w.stats_reset) * 1000)::int8 FROM pg_stat_bgwriter w \
 UNION ALL SELECT 'all sessions', coalesce('database ' || d.datname, 'shared tables'), 'normal', d.blks_read * b.bytes, NULL, NULL, \
  d.blk_read_time, d.blk_write_time, d.blks_hit, NULL, NULL, (extract(epoch FROM d.stats_reset) * 1000)::int8 FROM pg_stat_database d) x \
 WHERE coalesce(x.read_bytes, 0) + coalesce(x.write_bytes, 0) + coalesce(x.hits, 0) > 0 ORDER BY 1, 2, 3";

pub(crate) const CONFLICTS: &str = "/* holdfast:conflicts */ SELECT sum(confl_tablespace)::int8 AS tablespace, sum(confl_lock)::int8 AS lock, \
 sum(confl_snapshot)::int8 AS snapshot, sum(confl_bufferpin)::int8 AS buffer_pin, sum(confl_deadlock)::int8 AS deadlock FROM pg_stat_database_conflicts";

/// Where this server is, on each line; beside it a sender with the slot that it holds, or one of the two, or neither.
pub(crate) fn replication(probe: &Probe) -> String {
    let view = "pg_replication_slots";
    let inactive = probe.column(view, "inactive_since", "(extract(epoch FROM s.inactive_since) * 1000)::int8", "int8");
    let reason = probe.column(view, "invalidation_reason", "s.invalidation_reason", "text");
    format!(
        "/* holdfast:replication */ SELECT p.*, r.pid AS sender, r.application_name AS name, host(r.client_addr) AS client_address, r.state, r.sync_state, \
         r.sent_lsn::text AS sent_lsn, r.write_lsn::text AS write_lsn, r.flush_lsn::text AS flush_lsn, r.replay_lsn::text AS replay_lsn, \
         extract(epoch FROM r.replay_lag)::float8 AS replay_lag_seconds, s.slot_name::text AS slot_name, s.slot_type, s.active, s.wal_status, \
         s.safe_wal_size AS safe_wal_bytes, {inactive} AS inactive_since, {reason} AS invalidation_reason, \
         pg_wal_lsn_diff(p.written::pg_lsn, s.restart_lsn)::int8 AS retained_bytes FROM (SELECT pg_is_in_recovery() AS in_recovery, \
         (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END)::text AS lsn, \
         (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text AS written, \
         pg_last_wal_receive_lsn()::text AS received_here, pg_last_wal_replay_lsn()::text AS replayed_here, \
         extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 AS last_replay_seconds, \
         CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused) p \
         LEFT JOIN ((SELECT * FROM pg_stat_replication WHERE coalesce(state, '') NOT IN ('startup', 'backup')) r \
         FULL JOIN {view} s ON s.active_pid = r.pid) ON true ORDER BY r.application_name, s.slot_name"
    )
}

pub(crate) fn receiver(probe: &Probe) -> String {
    let flushed = if probe.has("pg_stat_wal_receiver", "flushed_lsn") { "flushed_lsn" } else { "received_lsn" };
    format!(
        "/* holdfast:receiver */ SELECT status, sender_host, {flushed}::text AS flushed_lsn, latest_end_lsn::text AS latest_end_lsn, \
         extract(epoch FROM clock_timestamp() - latest_end_time)::float8 AS latest_end_age_seconds FROM pg_stat_wal_receiver"
    )
}

/// WAL, checkpoints and the archiver: views of one line each, asked at once.
pub(crate) fn wal(probe: &Probe) -> String {
    let (wal, from) = if probe.has("pg_stat_wal", "wal_bytes") {
        (
            "w.wal_records AS records, w.wal_fpi AS full_page_images, w.wal_bytes::int8 AS bytes, w.wal_buffers_full AS buffers_full, \
             (extract(epoch FROM w.stats_reset) * 1000)::int8 AS wal_reset",
            ", pg_stat_wal w",
        )
    } else {
        ("NULL::int8 AS records", "")
    };
    let (checkpoints, view) = if probe.has("pg_stat_checkpointer", "num_timed") {
        (
            "c.num_timed AS timed, c.num_requested AS requested, c.write_time AS write_ms, c.sync_time AS sync_ms, c.buffers_written",
            "pg_stat_checkpointer",
        )
    } else {
        (
            "c.checkpoints_timed AS timed, c.checkpoints_req AS requested, c.checkpoint_write_time AS write_ms, \
             c.checkpoint_sync_time AS sync_ms, c.buffers_checkpoint AS buffers_written",
            "pg_stat_bgwriter",
        )
    };
    format!(
        "/* holdfast:wal */ SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text AS lsn, {wal}, \
         {checkpoints}, (extract(epoch FROM c.stats_reset) * 1000)::int8 AS checkpoints_reset, \
         a.archived_count AS archived, a.failed_count AS failed, (extract(epoch FROM a.last_archived_time) * 1000)::int8 AS last_archived_at, \
         (extract(epoch FROM a.last_failed_time) * 1000)::int8 AS last_failed_at, current_setting('archive_mode') <> 'off' AS enabled \
         FROM {view} c, pg_stat_archiver a{from}"
    )
}

pub(crate) const SETTINGS: &str = "/* holdfast:settings */ SELECT name, setting, unit, boot_val AS boot_value, source, pending_restart \
 FROM pg_settings ORDER BY name COLLATE \"C\"";

/// One backend, as it is asked about before and after a signal.
pub(crate) fn backend(pid: i32) -> String {
    format!(
        "/* holdfast:backend */ SELECT (extract(epoch FROM a.backend_start) * 1000)::int8 AS started_at, coalesce(a.backend_type, '') AS backend_type, \
         a.leader_pid, a.usename::text AS \"user\", coalesce(a.application_name, '') AS application, a.state, left(a.query, 1000) AS query, \
         (extract(epoch FROM a.query_start) * 1000)::int8 AS query_started_at, a.usename = current_user AS same_role \
         FROM pg_stat_activity a WHERE a.pid = {pid}"
    )
}

/// The start time is compared in the same statement: between the look and the signal the pid may have gone to another.
pub(crate) fn signal(function: &str, pid: i32, started_at: i64) -> String {
    format!(
        "/* holdfast:signal */ SELECT {function}(a.pid) AS sent FROM pg_stat_activity a \
         WHERE a.pid = {pid} AND (extract(epoch FROM a.backend_start) * 1000)::int8 = {started_at}"
    )
}

/// `pg_current_logfile` and `pg_ls_logdir` are open to `pg_monitor`. The directory need not be there without a collector.
/// `auto_explain.log_min_duration` is there when our own session has loaded the library, as every new session does.
/// With `more` what was written after `$2` comes along, while the file is still `$1`; of more than `limit` bytes the newest.
pub(crate) fn log(more: bool, limit: i64) -> String {
    let content = if more {
        format!(
            ", CASE WHEN file = $1::text AND size > $2::int8 AND durations THEN pg_read_binary_file(file, \
             greatest($2::int8, size - {limit}), size - greatest($2::int8, size - {limit})) END AS content"
        )
    } else {
        String::new()
    };
    format!(
        "/* holdfast:log */ SELECT l.*{content} FROM (SELECT f.file, CASE WHEN f.file IS NOT NULL THEN \
         (SELECT size FROM pg_ls_logdir() WHERE name = regexp_replace(f.file, '^.*/', '')) END AS size, \
         s.*, s.min_duration_statement >= 0 OR s.min_duration_sample >= 0 AND s.sample_rate > 0 OR coalesce(s.auto_explain >= 0, false) AS durations, \
         current_setting('log_duration')::bool AS log_duration, current_setting('log_line_prefix') AS line_prefix \
         FROM (SELECT pg_current_logfile() AS file) f, (SELECT \
         max(setting::float8) FILTER (WHERE name = 'log_min_duration_statement') AS min_duration_statement, \
         max(setting::float8) FILTER (WHERE name = 'log_min_duration_sample') AS min_duration_sample, \
         max(setting::float8) FILTER (WHERE name = 'log_statement_sample_rate') AS sample_rate, \
         max(setting::float8) FILTER (WHERE name = 'auto_explain.log_min_duration') AS auto_explain FROM pg_settings \
         WHERE name IN ('log_min_duration_statement', 'log_min_duration_sample', 'log_statement_sample_rate', 'auto_explain.log_min_duration')) s) l"
    )
}

/// Rows of settings that the role may not see are left out rather than refused.
pub(crate) const PLACES: &str = "/* holdfast:places */ SELECT p.name, p.path FROM ( \
 SELECT 1 AS sort, 'data' AS name, (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS path \
 UNION ALL SELECT 2, 'wal', (SELECT setting || '/pg_wal' FROM pg_settings WHERE name = 'data_directory') \
 UNION ALL SELECT 3, 'tablespace ' || spcname, pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) <> '') p \
 WHERE EXISTS (SELECT 1 FROM pg_settings WHERE name = 'data_directory') ORDER BY p.sort, p.name";

/// Bytes of a log file.
pub(crate) fn log_read(file: &str, from: i64, length: i64) -> String {
    let file = file.replace('\'', "''");
    format!("/* holdfast:log */ SELECT pg_read_binary_file('{file}', {from}, {length}) AS content")
}

/// Tables by name, partitioned ones as a whole.
pub(crate) const ADVICE_TABLES: &str = "/* holdfast:advice tables */ SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, \
 c.relkind = 'p' AS partitioned, \
 coalesce(CASE WHEN c.relkind = 'p' THEN (SELECT sum(greatest(l.reltuples, 0)) FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid WHERE t.isleaf) \
  ELSE greatest(c.reltuples, 0) END, 0)::float8 AS rows, \
 coalesce(CASE WHEN c.relkind = 'p' THEN (SELECT sum(greatest(l.relpages, 0)) FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid WHERE t.isleaf) \
  ELSE greatest(c.relpages, 0) END, 0)::float8 AS pages, \
 ARRAY(SELECT ln.nspname::text FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid JOIN pg_namespace ln ON ln.oid = l.relnamespace \
  WHERE c.relkind = 'p' AND t.isleaf AND l.relkind = 'r' ORDER BY t.relid::oid) AS partition_schemas, \
 ARRAY(SELECT l.relname::text FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid \
  WHERE c.relkind = 'p' AND t.isleaf AND l.relkind = 'r' ORDER BY t.relid::oid) AS partition_names \
 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
 WHERE c.relname = ANY($1) AND c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%' \
 ORDER BY c.relpages DESC LIMIT 500";

/// Their columns, with statistics where our role may see them. What has a btree class and is still no key to search by,
/// such as documents, is left out.
pub(crate) const ADVICE_COLUMNS: &str = "/* holdfast:advice columns */ SELECT a.attrelid::int8 AS oid, a.attnum AS number, a.attname::text AS name, \
 (y.typtype = 'e' OR y.typname = 'varchar' OR EXISTS (SELECT 1 FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod \
  WHERE m.amname = 'btree' AND o.opcdefault AND o.opcintype IN (y.oid, y.typbasetype))) \
 AND y.typname NOT IN ('json', 'jsonb', 'xml', 'tsvector', 'tsquery', 'bytea') AS sortable, \
 s.n_distinct::float8 AS n_distinct, s.null_frac::float8 AS null_fraction, s.avg_width AS width, s.correlation::float8 AS correlation \
 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type y ON y.oid = a.atttypid \
 LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname AND s.inherited = (c.relkind = 'p') \
 WHERE a.attrelid IN (SELECT x::oid FROM unnest($1::int8[]) x) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

/// How often a table was analyzed by hand, and whether we may.
pub(crate) const ANALYZE_STATE: &str = "/* holdfast:analyze state */ SELECT coalesce(pg_stat_get_analyze_count(c.oid), 0)::int8 AS times, \
 (pg_has_role(current_user, c.relowner, 'USAGE') OR pg_has_role(current_user, d.datdba, 'USAGE') \
  OR EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = 'pg_maintain' AND pg_has_role(current_user, r.oid, 'USAGE'))) AS ours \
 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_database d ON d.datname = current_database() \
 WHERE n.nspname = $1 AND c.relname = $2";

/// Waits for no lock: a table that somebody holds is left out.
pub(crate) fn analyze(schema: &str, table: &str) -> String {
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    format!("/* holdfast:analyze */ ANALYZE (SKIP_LOCKED) {}.{}", quote(schema), quote(table))
}
