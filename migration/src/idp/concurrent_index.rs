//! Building an index while the table is written to.
//!
//! `CREATE INDEX CONCURRENTLY` cannot run in a transaction and not on a partitioned table. There the parent's index is
//! made empty (`ON ONLY`), each partition's concurrently, and then attached: the parent's becomes valid with the last.
use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use sea_orm_migration::prelude::*;

/// One index.
pub struct ConcurrentIndex {
    pub name: &'static str,
    pub table: &'static str,
    /// What stands after the table's name: `(a, b DESC)`, `USING gin (c)`.
    pub definition: &'static str,
}

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

impl ConcurrentIndex {
    /// Builds it; what is there already and valid stays, what a build before left over is built anew.
    pub async fn build(&self, db: &SchemaManagerConnection<'_>) -> Result<(), DbErr> {
        let partitions = names(db, "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass ORDER BY 1", self.table).await?;
        if partitions.is_empty() {
            return self.build_on(db, self.name, self.table).await;
        }
        db.execute_unprepared(&format!(
            "CREATE INDEX IF NOT EXISTS {} ON ONLY {} {}",
            self.name, self.table, self.definition
        ))
        .await?;
        let attached = names(db, "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass($1)", self.name).await?;
        for partition in partitions {
            let name = format!("{partition}_{}", self.name.trim_start_matches("idx_plugin_"));
            if attached.contains(&name) {
                continue;
            }
            self.build_on(db, &name, &partition).await?;
            db.execute_unprepared(&format!("ALTER INDEX {} ATTACH PARTITION {name}", self.name)).await?;
        }
        Ok(())
    }

    async fn build_on(&self, db: &SchemaManagerConnection<'_>, name: &str, table: &str) -> Result<(), DbErr> {
        let invalid = names(db, "SELECT indexrelid::regclass::text AS name FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid", name).await?;
        if !invalid.is_empty() {
            db.execute_unprepared(&format!("DROP INDEX CONCURRENTLY {name}")).await?;
        }
        db.execute_unprepared(&format!(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} {}",
            self.definition
        ))
        .await?;
        Ok(())
    }

    /// Drops it. A partitioned index cannot be dropped concurrently.
    pub async fn drop(&self, db: &SchemaManagerConnection<'_>) -> Result<(), DbErr> {
        let partitioned = names(
            db,
            "SELECT relname::text AS name FROM pg_class WHERE oid = to_regclass($1) AND relkind = 'I'",
            self.name,
        )
        .await?;
        let how = if partitioned.is_empty() { "CONCURRENTLY " } else { "" };
        db.execute_unprepared(&format!("DROP INDEX {how}IF EXISTS {}", self.name)).await?;
        Ok(())
    }
}

async fn names(db: &SchemaManagerConnection<'_>, sql: &str, argument: &str) -> Result<Vec<String>, DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [argument.into()]);
    Ok(Name::find_by_statement(statement).all(db).await?.into_iter().map(|row| row.name).collect())
}
