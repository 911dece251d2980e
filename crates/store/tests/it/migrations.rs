//! Migrations up, down and up again.
use migration::{MigratorTrait as _, StoreMigrator};
use sea_orm::{ConnectionTrait as _, Statement};
use store::{Store, StoreError};

on_both_databases!(
    the_schema_goes_up_down_and_up_again,
    migrating_a_current_schema_changes_nothing,
    each_migration_can_be_taken_back_alone,
    a_store_of_a_newer_version_is_refused_by_name,
);

async fn tables(store: &Store) -> Vec<String> {
    let sql = if store.is_postgres() {
        "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    } else {
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1"
    };
    let rows = store.db().query_all_raw(Statement::from_string(store.db().get_database_backend(), sql)).await.unwrap();
    rows.iter()
        .map(|row| row.try_get::<String>("", "name").unwrap())
        .filter(|name| name != "seaql_migrations")
        .collect()
}

const ALL: &[&str] = &[
    "account",
    "advice_dismissal",
    "alert",
    "alert_blackout",
    "alert_channel",
    "alert_delivery",
    "alert_event",
    "alert_rule",
    "api_token",
    "audit_log",
    "dr_decision",
    "dr_plan",
    "dr_run",
    "event",
    "health_weights",
    "job",
    "job_log",
    "known_standby",
    "lock_snapshot",
    "login_throttle",
    "metric_rollup",
    "metric_sample",
    "metric_series",
    "query_plan",
    "recovery_objective",
    "session",
    "session_bucket",
    "session_count",
    "session_name",
    "setup_link",
    "statement_log_sample",
    "statement_rollup",
    "statement_sample",
    "statement_text",
    "tier_mark",
];

async fn the_schema_goes_up_down_and_up_again(store: Store) {
    assert_eq!(tables(&store).await, ALL);
    StoreMigrator::down(store.db(), None).await.unwrap();
    assert_eq!(tables(&store).await, [""; 0], "down leaves a table");
    assert_eq!(store.migrate().await.unwrap(), StoreMigrator::migrations().len());
    assert_eq!(tables(&store).await, ALL);
    assert_eq!(store.pending_migrations().await.unwrap(), 0);
}

async fn migrating_a_current_schema_changes_nothing(store: Store) {
    assert_eq!(store.migrate().await.unwrap(), 0);
    store.ping().await.unwrap();
}

async fn each_migration_can_be_taken_back_alone(store: Store) {
    let number = StoreMigrator::migrations().len();
    for down in 1..=number {
        StoreMigrator::down(store.db(), Some(1)).await.unwrap();
        assert_eq!(store.pending_migrations().await.unwrap(), down);
    }
    for _ in 0..number {
        StoreMigrator::up(store.db(), Some(1)).await.unwrap();
    }
    assert_eq!(tables(&store).await, ALL);
}

async fn a_store_of_a_newer_version_is_refused_by_name(store: Store) {
    store
        .db()
        .execute_unprepared(
            "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_from_the_future', 0)",
        )
        .await
        .unwrap();
    let error = store.migrate().await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Newer { migration } if migration == "m29991231_000001_from_the_future"),
        "{error}"
    );
    assert_eq!(tables(&store).await, ALL, "a refused migration left the schema alone");
}
