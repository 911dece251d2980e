//! Indexes that a review must find: unused, duplicate, covered by a longer one, invalid. Foreign keys without an index
//! are in the schema as it is.

use crate::DemoError;
use sqlx::{Executor as _, PgConnection};

/// Each with what it is an example of.
const INDEXES: [&str; 5] = [
    // Nothing asks for it.
    "CREATE INDEX IF NOT EXISTS idx_plugins_memory_usage ON plugins (memory_usage)",
    "CREATE INDEX IF NOT EXISTS idx_plugin_operations_error ON plugin_operations (error) WHERE error IS NOT NULL",
    // The same as the guide's.
    "CREATE INDEX IF NOT EXISTS idx_audit_logs_timestamp ON audit_logs (\"timestamp\" DESC)",
    // A prefix of the guide's.
    "CREATE INDEX IF NOT EXISTS idx_plugins_tenant ON plugins (tenant_id)",
    // Wide, and asked for by nobody.
    "CREATE INDEX IF NOT EXISTS idx_plugin_versions_changelog ON plugin_versions (changelog, released_at)",
];

/// Makes them.
pub async fn make(connection: &mut PgConnection) -> Result<(), DemoError> {
    for index in INDEXES {
        connection.execute(index).await?;
    }
    // Display names repeat, so that the build fails and leaves an invalid index behind, as it does in real life.
    let failed = connection
        .execute(
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS idx_plugins_display_name_unique ON plugins (display_name)",
        )
        .await;
    match failed {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}
