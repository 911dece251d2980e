//! An incident put there on purpose: somebody drops the slot while its reader is away, and WAL is lost.
use crate::estate::BACKUP;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use std::time::Duration;

/// The reader of the slot cannot sign in for a moment; meanwhile the slot is dropped and its WAL goes. What is lost
/// cannot be restored, and the time bar says so.
///
/// # Errors
/// What the server says; the reader may sign in again in any case.
pub async fn lose_wal(superuser_url: &str, slot: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(superuser_url).await?;
    connection.execute(AssertSqlSafe(format!("ALTER ROLE {BACKUP} NOLOGIN"))).await?;
    let lost = lose(&mut connection, slot).await;
    connection.execute(AssertSqlSafe(format!("ALTER ROLE {BACKUP} LOGIN"))).await?;
    lost
}

async fn lose(connection: &mut PgConnection, slot: &str) -> Result<(), sqlx::Error> {
    for _ in 0..100 {
        let active: Option<i32> = sqlx::query_scalar(
            "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL",
        )
        .bind(slot)
        .fetch_optional(&mut *connection)
        .await?
        .flatten();
        let Some(pid) = active else { break };
        sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut *connection).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sqlx::query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1")
        .bind(slot)
        .execute(&mut *connection)
        .await?;
    // A segment is removed at the second checkpoint after it was left.
    for _ in 0..3 {
        connection.execute("SELECT pg_logical_emit_message(false, 'demo', repeat('x', 100000))").await?;
        connection.execute("SELECT pg_switch_wal()").await?;
        connection.execute("CHECKPOINT").await?;
    }
    Ok(())
}
