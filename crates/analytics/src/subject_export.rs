//! Everything that is held on a person, as one JSON document that is written piece by piece: however much that is, only a piece of
//! it and one object of the archive are in memory.
use crate::{
    Analytics, AnalyticsError,
    archive::listed,
    rollup::Kind,
    subject::{candidates, check},
};
use backup::Repository;
use catalog::Tenant;
use futures::TryStreamExt as _;
use pool::PoolError;
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// Bytes that are gathered before they are sent.
const PIECE: usize = 1 << 16;
/// What was gathered is sent after this time in any case: whoever waits sees that it goes on.
const AT_LEAST_EVERY: Duration = Duration::from_secs(5);

/// A piece must be taken within this time.
const TAKEN_WITHIN: Duration = Duration::from_secs(120);

/// By list of the document. $1 is the subject, $2 the tenant or NULL.
const LISTS: [(&str, &str); 8] = [
    (
        "events",
        "SELECT to_jsonb(a)::text FROM tenants t JOIN plugin_analytics a ON a.tenant_id = t.id WHERE a.user_id = $1 AND ($2::int8 IS NULL OR t.id = $2) ORDER BY a.\"timestamp\"",
    ),
    (
        "user_days",
        "SELECT to_jsonb(a)::text FROM analytics_user_days a WHERE user_id = $1 AND ($2::int8 IS NULL OR tenant_id = $2) ORDER BY day",
    ),
    (
        "users",
        "SELECT to_jsonb(a)::text FROM tenants t JOIN analytics_users a ON a.tenant_id = t.id WHERE a.user_id = $1 AND ($2::int8 IS NULL OR t.id = $2) ORDER BY a.tenant_id",
    ),
    (
        "operations",
        "SELECT to_jsonb(a)::text FROM plugin_operations a WHERE started_by = $1 AND ($2::int8 IS NULL OR tenant_id = $2) ORDER BY started_at",
    ),
    (
        "bulk_operations",
        "SELECT to_jsonb(a)::text FROM plugin_bulks a WHERE (started_by = $1 OR cancel_asked_by = $1) AND ($2::int8 IS NULL OR tenant_id = $2) ORDER BY created_at",
    ),
    (
        "plugins",
        "SELECT to_jsonb(a)::text FROM (SELECT id, tenant_id, name, display_name, owner, created_at, updated_at FROM plugins) AS a WHERE owner = $1 AND ($2::int8 IS NULL OR tenant_id = $2) ORDER BY id",
    ),
    (
        "audit_rows",
        "SELECT to_jsonb(a)::text FROM audit_logs a WHERE (actor = $1 OR object_kind IN ('user', 'subject') AND object_id = $1) AND ($2::int8 IS NULL OR tenant_id = $2) ORDER BY \"timestamp\"",
    ),
    (
        "restored_events",
        "SELECT to_jsonb(a)::text FROM analytics_restored.plugin_analytics a WHERE user_id = $1 AND ($2::int8 IS NULL OR tenant_id = $2) ORDER BY \"timestamp\"",
    ),
];

/// The document as it is written.
struct Document<'a> {
    to: &'a Sender<String>,
    piece: String,
    sent: Instant,
}

impl Document<'_> {
    async fn put(&mut self, text: &str) -> Result<(), AnalyticsError> {
        self.piece.push_str(text);
        if self.piece.len() >= PIECE { self.send().await } else { Ok(()) }
    }

    /// Sends what was gathered when the last piece was sent long ago.
    async fn go_on(&mut self) -> Result<(), AnalyticsError> {
        if self.sent.elapsed() >= AT_LEAST_EVERY { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<(), AnalyticsError> {
        self.sent = Instant::now();
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.piece);
        // Whoever asked has gone away, or reads too slowly: a transaction is open meanwhile.
        match self.to.send_timeout(piece, TAKEN_WITHIN).await {
            Ok(()) => Ok(()),
            Err(_) => Err(AnalyticsError::Conflict("the export was cut off: nobody took it any more".to_owned())),
        }
    }

    async fn list(
        &mut self,
        connection: &mut PgConnection,
        (name, sql): (&str, &'static str),
        tenant: Option<Tenant>,
        subject: &str,
    ) -> Result<(), AnalyticsError> {
        self.put(&format!(",\"{name}\":[")).await?;
        let mut rows = sqlx::query_scalar::<_, String>(sql).bind(subject).bind(tenant.map(|it| it.0)).fetch(connection);
        let mut first = true;
        while let Some(row) = rows.try_next().await.map_err(PoolError::Sql)? {
            if !std::mem::take(&mut first) {
                self.put(",").await?;
            }
            self.put(&row).await?;
            self.go_on().await?;
        }
        self.put("]").await
    }
}

impl Analytics {
    /// Sends everything that is held on a subject as one JSON document: live tables, roll-ups, the platform's audit log, the
    /// archive. The tables are read as they are at one moment. The last member is `"complete": true`; what ends without it is cut off.
    ///
    /// # Errors
    /// [`AnalyticsError`], also when nobody receives any more; the document is cut off then.
    pub async fn subject_export(
        &self,
        tenant: Option<Tenant>,
        subject: &str,
        repository: Option<&Repository>,
        to: &Sender<String>,
    ) -> Result<(), AnalyticsError> {
        check(subject)?;
        let mut connection = self.long_connection().await?;
        let mut transaction = connection.begin().await.map_err(PoolError::Sql)?;
        transaction
            .execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .await
            .map_err(PoolError::Sql)?;
        let mut document = Document { to, piece: String::new(), sent: Instant::now() };
        let head =
            json!({ "subject": subject, "tenant_id": tenant.map(|it| it.0.to_string()), "exported_at": crate::now() });
        document.put(head.to_string().trim_end_matches('}')).await?;
        for list in LISTS {
            document.list(&mut transaction, list, tenant, subject).await?;
        }
        transaction.rollback().await.map_err(PoolError::Sql)?;
        match repository {
            None => document.put(",\"archived_events\":null").await?,
            Some(repository) => self.archived(&mut document, repository, tenant, subject).await?,
        }
        document.put(",\"complete\":true}").await?;
        document.send().await
    }

    async fn archived(
        &self,
        document: &mut Document<'_>,
        repository: &Repository,
        tenant: Option<Tenant>,
        subject: &str,
    ) -> Result<(), AnalyticsError> {
        document.put(",\"archived_events\":[").await?;
        let home = self.home().await?;
        let sets = listed(repository, &home).await?;
        let mut first = true;
        for (set, objects) in candidates(&sets, tenant) {
            for object in objects {
                let table = crate::archive::read_object(repository, &home, Kind::Events, set, object).await?;
                for row in 0..table.rows() {
                    if table.is_of(row, subject) && tenant.is_none_or(|it| table.tenant(row) == Some(it.0)) {
                        if !std::mem::take(&mut first) {
                            document.put(",").await?;
                        }
                        document.put(&table.json(row).to_string()).await?;
                    }
                }
                document.go_on().await?;
            }
        }
        document.put("]").await
    }
}
