//! PostgreSQL 13 and 14, also where neither is installed: the catalogue's statements over views of a newer server that have the
//! columns of those versions and no others. How those servers themselves behave is shown by the tests of reading, which run on
//! each that is found (`script/setup --test` fetches them where it can).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::{Probe, sql};
use domain::reading::ExtensionState;
use sqlx::{Connection as _, PgConnection};
use std::collections::HashSet;

/// Views and their columns on 13; a view without columns is not there.
const ON_13: &[(&str, &str)] = &[
    (
        "pg_stat_activity",
        "datid datname pid leader_pid usesysid usename application_name client_addr client_hostname client_port backend_start \
         xact_start query_start state_change wait_event_type wait_event state backend_xid backend_xmin query backend_type",
    ),
    (
        "pg_stat_database",
        "datid datname numbackends xact_commit xact_rollback blks_read blks_hit tup_returned tup_fetched tup_inserted \
         tup_updated tup_deleted conflicts temp_files temp_bytes deadlocks checksum_failures checksum_last_failure \
         blk_read_time blk_write_time stats_reset",
    ),
    (
        "pg_stat_user_tables",
        "relid schemaname relname seq_scan seq_tup_read idx_scan idx_tup_fetch n_tup_ins n_tup_upd n_tup_del n_tup_hot_upd \
         n_live_tup n_dead_tup n_mod_since_analyze n_ins_since_vacuum last_vacuum last_autovacuum last_analyze \
         last_autoanalyze vacuum_count autovacuum_count analyze_count autoanalyze_count",
    ),
    ("pg_stat_user_indexes", "relid indexrelid schemaname relname indexrelname idx_scan idx_tup_read idx_tup_fetch"),
    (
        "pg_locks",
        "locktype database relation page tuple virtualxid transactionid classid objid objsubid virtualtransaction pid mode \
         granted fastpath",
    ),
    (
        "pg_replication_slots",
        "slot_name plugin slot_type datoid database temporary active active_pid xmin catalog_xmin restart_lsn \
         confirmed_flush_lsn wal_status safe_wal_size",
    ),
    (
        "pg_stat_wal_receiver",
        "pid status receive_start_lsn receive_start_tli written_lsn flushed_lsn received_tli last_msg_send_time \
         last_msg_receipt_time latest_end_lsn latest_end_time slot_name sender_host sender_port conninfo",
    ),
    (
        "pg_stat_replication",
        "pid usesysid usename application_name client_addr client_hostname client_port backend_start backend_xmin state \
         sent_lsn write_lsn flush_lsn replay_lsn write_lag flush_lag replay_lag sync_priority sync_state reply_time",
    ),
    (
        "pg_stat_bgwriter",
        "checkpoints_timed checkpoints_req checkpoint_write_time checkpoint_sync_time buffers_checkpoint buffers_clean \
         maxwritten_clean buffers_backend buffers_backend_fsync buffers_alloc stats_reset",
    ),
    (
        "pg_stat_database_conflicts",
        "datid datname confl_tablespace confl_lock confl_snapshot confl_bufferpin confl_deadlock",
    ),
    // Without its lists of values: their type is none that a view of ours may have, and nothing of the catalogue reads them.
    (
        "pg_stats",
        "schemaname tablename attname inherited null_frac avg_width n_distinct most_common_freqs correlation \
         most_common_elem_freqs elem_count_histogram",
    ),
    ("pg_stat_wal", ""),
    ("pg_stat_progress_copy", ""),
    (
        "pg_stat_statements",
        "userid dbid queryid query plans total_plan_time calls total_exec_time min_exec_time max_exec_time mean_exec_time \
         stddev_exec_time rows shared_blks_hit shared_blks_read shared_blks_dirtied shared_blks_written local_blks_hit \
         local_blks_read local_blks_dirtied local_blks_written temp_blks_read temp_blks_written blk_read_time \
         blk_write_time wal_records wal_fpi wal_bytes",
    ),
];

/// What 14 added to them.
const ADDED_BY_14: &[(&str, &str)] = &[
    ("pg_stat_activity", "query_id"),
    (
        "pg_stat_database",
        "session_time active_time idle_in_transaction_time sessions sessions_abandoned sessions_fatal sessions_killed",
    ),
    ("pg_locks", "waitstart"),
    ("pg_replication_slots", "two_phase"),
    (
        "pg_stat_wal",
        "wal_records wal_fpi wal_bytes wal_buffers_full wal_write wal_sync wal_write_time wal_sync_time stats_reset",
    ),
    (
        "pg_stat_progress_copy",
        "pid datid datname relid command type bytes_processed bytes_total tuples_processed tuples_excluded",
    ),
    ("pg_stat_statements", "toplevel"),
];

/// Functions that came after 13.
const NEWER_FUNCTIONS: [&str; 8] = [
    "pg_get_wal_replay_pause_state",
    "pg_stat_have_stats",
    "pg_get_wal_resource_managers",
    "pg_ls_logicalsnapdir",
    "pg_ls_replslotdir",
    "pg_input_is_valid",
    "date_bin(",
    "pg_get_replication_slots_stats",
];

fn columns(with_14: bool) -> Vec<(&'static str, Vec<&'static str>)> {
    ON_13
        .iter()
        .map(|(view, columns)| {
            let added = ADDED_BY_14.iter().find(|(name, _)| with_14 && name == view).map_or("", |(_, added)| *added);
            (*view, columns.split_whitespace().chain(added.split_whitespace()).collect())
        })
        .collect()
}

fn probe(version_num: i32, columns: &[(&str, Vec<&str>)]) -> Probe {
    let names = columns.iter().flat_map(|(view, columns)| columns.iter().map(move |column| format!("{view}.{column}")));
    let names = names.collect::<HashSet<_>>();
    let statements = ExtensionState::Installed { version: "1.8".to_owned() };
    Probe::made(version_num, names, statements, "old".to_owned())
}

/// A session that sees the views with these columns and no others.
async fn session(url: &str, columns: &[(&str, Vec<&str>)]) -> PgConnection {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut script = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public; CREATE SCHEMA old;".to_owned();
    for (view, columns) in columns {
        if *view == "pg_stat_statements" {
            let list = columns.join(", ");
            script.push_str(&format!(
                "CREATE VIEW old.shape AS SELECT {list} FROM public.pg_stat_statements(true); \
                 CREATE FUNCTION old.pg_stat_statements(showtext boolean) RETURNS SETOF old.shape LANGUAGE sql \
                 AS $$ SELECT {list} FROM public.pg_stat_statements(showtext) $$;"
            ));
        } else {
            let list = if columns.is_empty() { "1 AS \"not there\"".to_owned() } else { columns.join(", ") };
            let from = if columns.is_empty() { String::new() } else { format!(" FROM pg_catalog.{view}") };
            script.push_str(&format!("CREATE VIEW old.{view} AS SELECT {list}{from};"));
        }
    }
    script.push_str("SET search_path = old, pg_catalog, public;");
    sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut connection).await.unwrap();
    connection
}

/// Everything that is asked of such a server.
fn asked(probe: &Probe) -> Vec<String> {
    let mut all = vec![
        sql::server(probe),
        sql::database(true),
        sql::activity(probe),
        sql::sessions(probe),
        sql::locks(probe),
        sql::statements(probe),
        sql::statement_texts(probe, &[1, -2]),
        sql::indexes(probe),
        sql::columns(false),
        sql::columns(true),
        sql::with_statistics(sql::BLOAT, true),
        sql::with_statistics(sql::INDEX_BLOAT, true),
        sql::with_statistics(sql::ADVICE_COLUMNS, true),
        sql::foreign_keys(),
        sql::freeze(true),
        sql::progress(probe),
        sql::receiver(probe),
        sql::replication(probe),
        sql::log(false, 1 << 20),
        sql::log(true, 1 << 20),
        sql::wal(probe),
        sql::backend(1),
        sql::signal("pg_cancel_backend", 1, 0),
    ];
    all.extend(
        [
            sql::DATABASES,
            sql::TABLES,
            sql::SEQUENCES,
            sql::BLOAT,
            sql::INDEX_BLOAT,
            sql::STATISTICS_RIGHT,
            sql::HORIZON,
            sql::CONFLICTS,
            sql::SETTINGS,
            sql::PLACES,
            sql::ADVICE_TABLES,
            sql::ADVICE_COLUMNS,
            sql::ANALYZE_STATE,
            sql::EXPLAIN_FACTS,
        ]
        .map(str::to_owned),
    );
    all.extend(sql::io(probe));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_needs_no_column_that_13_or_14_lacks() {
    // The views of the oldest server here have all columns that are to be hidden.
    let oldest = test_support::versions().pop().unwrap();
    let cluster = test_support::private_cluster_of(oldest, &[("logging_collector", "on")]).await;
    for (number, version_num) in [13, 14].into_iter().zip([130_000, 140_000]) {
        let database = format!("as_{number}");
        cluster.execute("postgres", &format!("CREATE DATABASE {database}")).await;
        let columns = columns(number == 14);
        let probe = probe(version_num, &columns);
        assert_eq!(probe.has("pg_stat_activity", "query_id"), number == 14);
        assert!(sql::io(&probe).is_some_and(|it| it.contains("pg_stat_bgwriter")));
        let mut connection = session(&cluster.server.url(&database), &columns).await;
        for statement in asked(&probe) {
            for newer in NEWER_FUNCTIONS {
                assert!(!statement.contains(newer), "{newer} is not on {number}: {statement}");
            }
            // With parameters it is only analysed: that is what misses a column.
            let done = if statement.contains("$1") {
                let prepare = format!("PREPARE asked AS {statement}; DEALLOCATE asked");
                sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut connection).await.map(drop)
            } else {
                sqlx::query(sqlx::AssertSqlSafe(statement.clone())).fetch_all(&mut connection).await.map(drop)
            };
            done.unwrap_or_else(|error| panic!("as on {number}: {error}\n{statement}"));
        }
        // The views do hide: what is asked of a newer server fails here.
        let newer = crate::old_versions::probe(
            150_000,
            &[("pg_locks", vec!["waitstart"]), ("pg_stat_user_indexes", vec!["last_idx_scan"])],
        );
        for (statement, hidden) in [(sql::locks(&newer), number == 13), (sql::indexes(&newer), true)] {
            let done = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(&mut connection).await;
            assert_eq!(done.is_err(), hidden, "on {number}: {:?}", done.err());
        }
    }
}
