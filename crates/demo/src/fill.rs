//! Many distinct statements in `pg_stat_statements`, for measuring what reading them costs.

use crate::DemoError;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// Runs `n` statements that differ, each about `bytes` long.
///
/// # Errors
/// [`DemoError::Sql`].
pub async fn fill_statements(url: &str, n: u32, bytes: u32) -> Result<(), DemoError> {
    let mut connection = PgConnection::connect(url).await?;
    // A comment inside the statement is kept in its text. Constants and names are folded away when statements are told
    // apart, operators are not: the number is written in pluses and minuses.
    let padding = "x".repeat(usize::try_from(bytes).unwrap_or(0).saturating_sub(120));
    for i in 0..n {
        let terms = (0..20).map(|bit| if i >> bit & 1 == 1 { " + 1" } else { " - 1" }).collect::<String>();
        let sql = format!("SELECT /* {padding} */ 1{terms} AS filled_{i}");
        connection.execute(AssertSqlSafe(sql)).await?;
        if i % 500 == 499 {
            tracing::info!(filled = i + 1, of = n, "filling pg_stat_statements");
        }
    }
    Ok(())
}
