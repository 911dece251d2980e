//! Indexes of the events: which came already, and which belong to a span of time.
use super::concurrent_index::ConcurrentIndex;
use sea_orm::{FromQueryResult, Statement};
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Roll-ups read a span of time over all tenants. Events come nearly in the order of time.
const TIME: ConcurrentIndex = ConcurrentIndex {
    name: "idx_plugin_analytics_time",
    table: "plugin_analytics",
    definition: "USING brin (\"timestamp\")",
};

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

async fn partitions(db: &SchemaManagerConnection<'_>) -> Result<Vec<String>, DbErr> {
    let asked = Statement::from_string(
        db.get_database_backend(),
        "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'plugin_analytics'::regclass ORDER BY 1",
    );
    Ok(Name::find_by_statement(asked).all(db).await?.into_iter().map(|row| row.name).collect())
}

/// An event is told by its id within the month of its time. A unique index over all partitions would have to hold the
/// time too, and then the same id with another time would count twice; one on each partition need not.
fn once(partition: &str) -> (String, String) {
    let definition = "(tenant_id, event_id) WHERE event_id IS NOT NULL".to_owned();
    (format!("{partition}_event_id"), definition)
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// `CONCURRENTLY` needs it so; each step is repeatable instead.
    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        TIME.build(db).await?;
        for partition in partitions(db).await? {
            let (name, definition) = once(&partition);
            // One left over by a run that was cut short is invalid.
            let invalid = Statement::from_sql_and_values(
                db.get_database_backend(),
                "SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid",
                [name.clone().into()],
            );
            if Name::find_by_statement(invalid).one(db).await?.is_some() {
                db.execute_unprepared(&format!("DROP INDEX CONCURRENTLY {name}")).await?;
            }
            db.execute_unprepared(&format!(
                "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {partition} {definition}"
            ))
            .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for partition in partitions(db).await? {
            db.execute_unprepared(&format!("DROP INDEX CONCURRENTLY IF EXISTS {}", once(&partition).0)).await?;
        }
        TIME.drop(db).await
    }
}
