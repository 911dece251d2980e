//! Changing many plugins: all or none, or each by itself; once, however often it is sent.
//!
//! *Atomic* is one transaction with the record of the operation in it: after a kill there is either all of it or nothing.
//! *Each* is a transaction for some hundred items with their outcomes: after a kill the same key goes on with the rest.
//! Within such a transaction a savepoint keeps one bad item from taking the others with it.
use crate::{
    Catalog, CatalogError, Tenant,
    bulk_status::{check_key, other_request},
    error::said,
    listen::CHANNEL,
    versions::NEWEST,
};
use domain::view::{BulkReport, PlannedChange, RefusedItem};
use pool::{Reader, Work, Writer};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    str::FromStr,
};

/// Most items of one operation.
const MOST_ITEMS: usize = 100_000;
/// Items of one transaction when each is by itself.
const CHUNK: usize = 500;
/// Items of one statement when all are in one transaction.
const BATCH: usize = 5_000;
/// Problems listed in a report.
const MOST_PROBLEMS: i64 = 100;
/// Plugins whose change a plan shows.
const MOST_CHANGES: usize = 200;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkOperation {
    /// Install the newest version.
    Install,
    /// Enable what is installed.
    Enable,
    /// Disable.
    Disable,
    /// Go to the newest version.
    Upgrade,
    /// Add and remove tags.
    Tag,
    /// Remove from the catalogue.
    Delete,
}

impl BulkOperation {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Install, Self::Enable, Self::Disable, Self::Upgrade, Self::Tag, Self::Delete];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Upgrade => "upgrade",
            Self::Tag => "tag",
            Self::Delete => "delete",
        }
    }
}

impl FromStr for BulkOperation {
    type Err = CatalogError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|it| it.as_str() == text).ok_or_else(|| {
            CatalogError::invalid("operation", "operation is install, enable, disable, upgrade, tag or delete")
        })
    }
}

/// What one bad item does to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkMode {
    /// All or none.
    Atomic,
    /// Each by itself.
    Each,
}

impl BulkMode {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Atomic => "atomic",
            Self::Each => "each",
        }
    }
}

impl FromStr for BulkMode {
    type Err = CatalogError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "atomic" => Ok(Self::Atomic),
            "each" => Ok(Self::Each),
            _ => Err(CatalogError::invalid("mode", "mode is atomic or each")),
        }
    }
}

/// An operation on many plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkRequest {
    /// What.
    pub operation: BulkOperation,
    /// How.
    pub mode: BulkMode,
    /// On which; at most 100,000, in any order.
    pub plugins: BTreeSet<i64>,
    /// Tags to add.
    pub add_tags: Vec<String>,
    /// Tags to remove.
    pub remove_tags: Vec<String>,
}

impl BulkRequest {
    pub(crate) fn check(&self) -> Result<(), CatalogError> {
        if self.plugins.is_empty() || self.plugins.len() > MOST_ITEMS {
            return Err(CatalogError::invalid("plugins", format!("name 1 to {MOST_ITEMS} plugins")));
        }
        let tags = self.add_tags.iter().chain(&self.remove_tags);
        if (self.operation == BulkOperation::Tag) == (tags.clone().count() == 0) {
            return Err(CatalogError::invalid(
                "tags",
                "tags are added or removed by the operation tag, and only by it",
            ));
        }
        if tags.clone().any(|tag| tag.is_empty() || tag.len() > 60) || tags.count() > 50 {
            return Err(CatalogError::invalid("tags", "a tag has 1 to 60 bytes, and at most 50 are changed at once"));
        }
        Ok(())
    }

    /// The same request has the same hash: a key is not used for two.
    pub(crate) fn hash(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(&text).iter().fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// What is to be said of each item, before anything is done: `done` is "will be".
    fn verdicts(&self) -> String {
        let refused = match self.operation {
            BulkOperation::Install => format!(
                "WHEN p.is_installed THEN 'unchanged' WHEN newest.version IS NULL THEN 'refused: it has no version to install'
                 WHEN {NEEDED} IS NOT NULL THEN 'refused: it needs ' || {NEEDED} || ', which is not installed: install that too'"
            ),
            BulkOperation::Upgrade => format!(
                "WHEN NOT p.is_installed THEN 'refused: it is not installed' WHEN newest.version IS NULL OR newest.version = p.installed_version THEN 'unchanged'
                 WHEN {NEEDED} IS NOT NULL THEN 'refused: its newest version needs ' || {NEEDED} || ', which is not installed'"
            ),
            BulkOperation::Enable => {
                "WHEN p.is_enabled THEN 'unchanged' WHEN NOT p.is_installed THEN 'refused: it is not installed: install it first'".to_owned()
            }
            BulkOperation::Disable => format!(
                "WHEN NOT p.is_enabled THEN 'unchanged' WHEN {NEEDING} IS NOT NULL THEN 'refused: ' || {NEEDING} || ' needs it and is enabled'"
            ),
            BulkOperation::Tag => "WHEN p.tags @> $3 AND NOT p.tags && $4 THEN 'unchanged'".to_owned(),
            BulkOperation::Delete => {
                format!("WHEN {NEEDING_AT_ALL} IS NOT NULL THEN 'refused: ' || {NEEDING_AT_ALL} || ' needs it'")
            }
        };
        format!(
            "SELECT u.id, CASE WHEN p.id IS NULL THEN 'refused: there is no such plugin' {refused} ELSE 'done' END AS verdict
             FROM unnest($1::int8[]) AS u (id) LEFT JOIN plugins p ON p.id = u.id LEFT JOIN LATERAL ({NEWEST}) AS newest ON true
             WHERE $2::int8[] IS NOT NULL AND $3::text[] IS NOT NULL AND $4::text[] IS NOT NULL ORDER BY u.id"
        )
    }

    /// Changes the plugins of `$1`.
    fn change(&self) -> String {
        match self.operation {
            BulkOperation::Install | BulkOperation::Upgrade => format!(
                "UPDATE plugins AS q SET is_installed = true, status = 'active', updated_at = now(), installed_version = (SELECT n.version FROM plugins p CROSS JOIN LATERAL ({NEWEST}) AS n WHERE p.id = q.id) WHERE q.id = ANY($1)"
            ),
            BulkOperation::Enable => {
                "UPDATE plugins SET is_enabled = true, status = 'active', updated_at = now() WHERE id = ANY($1)".to_owned()
            }
            BulkOperation::Disable => {
                "UPDATE plugins SET is_enabled = false, status = 'inactive', updated_at = now() WHERE id = ANY($1)".to_owned()
            }
            BulkOperation::Tag => "UPDATE plugins SET updated_at = now(), tags = (SELECT coalesce(array_agg(DISTINCT t ORDER BY t), '{}') FROM unnest(tags || $2::text[]) t WHERE t <> ALL($3::text[])) WHERE id = ANY($1)".to_owned(),
            BulkOperation::Delete => "DELETE FROM plugins WHERE id = ANY($1)".to_owned(),
        }
    }
}

/// Something needed that is neither installed nor part of the operation (`$2`).
const NEEDED: &str = "(SELECT min(n.name) FROM plugin_dependencies d JOIN plugins n ON n.id = d.depends_on_id WHERE d.plugin_version_id = newest.id AND NOT d.optional AND NOT n.is_installed AND n.id <> ALL($2))";
const NEEDING: &str = "(SELECT min(n.name) FROM plugin_dependencies d JOIN plugin_versions v ON v.id = d.plugin_version_id JOIN plugins n ON n.id = v.plugin_id WHERE d.depends_on_id = p.id AND NOT d.optional AND n.is_enabled AND v.version = n.installed_version AND n.id <> ALL($2))";
const NEEDING_AT_ALL: &str = "(SELECT min(n.name) FROM plugin_dependencies d JOIN plugin_versions v ON v.id = d.plugin_version_id JOIN plugins n ON n.id = v.plugin_id WHERE d.depends_on_id = p.id AND NOT d.optional AND n.id <> ALL($2))";

/// A plugin as far as operations touch it.
struct Stand {
    name: String,
    installed: Option<String>,
    is_installed: bool,
    is_enabled: bool,
    tags: Vec<String>,
    newest: Option<String>,
}

async fn states(connection: &mut PgConnection, ids: &[i64]) -> Result<BTreeMap<i64, Stand>, CatalogError> {
    let sql = format!(
        "SELECT p.id, p.name, p.installed_version, p.is_installed, p.is_enabled, p.tags, newest.version FROM plugins p LEFT JOIN LATERAL ({NEWEST}) AS newest ON true WHERE p.id = ANY($1)"
    );
    // The text is ours; the ids are bound.
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let stand = Stand {
                name: row.try_get("name")?,
                installed: row.try_get("installed_version")?,
                is_installed: row.try_get("is_installed")?,
                is_enabled: row.try_get("is_enabled")?,
                tags: row.try_get("tags")?,
                newest: row.try_get("version")?,
            };
            Ok((row.try_get("id")?, stand))
        })
        .collect()
}

impl BulkRequest {
    /// In words: what it is and what it would be.
    fn change_of(&self, stand: &Stand, id: i64, verdict: &str) -> PlannedChange {
        let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "no version".to_owned());
        let installed = if stand.is_installed { version(&stand.installed) } else { "not installed".to_owned() };
        let enabled = |is: bool| if is { "enabled" } else { "disabled" }.to_owned();
        let (before, after) = match self.operation {
            BulkOperation::Install | BulkOperation::Upgrade => (installed, version(&stand.newest)),
            BulkOperation::Enable => (enabled(stand.is_enabled), enabled(true)),
            BulkOperation::Disable => (enabled(stand.is_enabled), enabled(false)),
            BulkOperation::Tag => {
                let mut tags = stand.tags.iter().chain(&self.add_tags).cloned().collect::<BTreeSet<_>>();
                tags.retain(|tag| !self.remove_tags.contains(tag));
                (stand.tags.join(", "), tags.into_iter().collect::<Vec<_>>().join(", "))
            }
            BulkOperation::Delete => (installed, "removed".to_owned()),
        };
        let (outcome, reason) = verdict.split_once(": ").map_or((verdict, None), |(a, b)| (a, Some(b)));
        let after = if outcome == "done" { after } else { before.clone() };
        PlannedChange {
            id: id.to_string(),
            name: stand.name.clone(),
            outcome: outcome.to_owned(),
            reason: reason.map(str::to_owned),
            before,
            after,
        }
    }
}

/// Told how many of how many items are through.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Send + Sync);

impl Catalog {
    /// What the operation would do. Nothing is changed.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn bulk_plan(&self, tenant: Tenant, request: &BulkRequest) -> Result<BulkReport, CatalogError> {
        request.check()?;
        let session = self.cache.session(tenant);
        let ids = &request.plugins.iter().copied().collect::<Vec<_>>();
        let (verdicts, states) = self
            .pools
            .read_after(&tenant.scope(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = reader.connection()?;
                    let verdicts = verdicts(connection, request, ids, ids).await?;
                    let first = ids.iter().copied().take(MOST_CHANGES).collect::<Vec<_>>();
                    Ok::<_, CatalogError>((verdicts, states(connection, &first).await?))
                })
            })
            .await
            .map_err(said)?;
        let changes = verdicts
            .iter()
            .take(MOST_CHANGES)
            .filter_map(|(id, verdict)| Some(request.change_of(states.get(id)?, *id, verdict)))
            .collect();
        Ok(BulkReport { changes, ..tally(request, None, "planned", &verdicts) })
    }

    /// Does it, once for each key of the tenant: a repeated call goes on where the first was cut off, or tells what it
    /// did.
    ///
    /// # Errors
    /// [`CatalogError`]; items that are refused or fail are in the report. After
    /// [`pool::PoolError::CommitUnknown`] repeat it with the same key.
    pub async fn bulk_run(
        &self,
        tenant: Tenant,
        key: &str,
        by: &str,
        request: &BulkRequest,
        progress: Progress<'_>,
    ) -> Result<BulkReport, CatalogError> {
        request.check()?;
        check_key(key)?;
        let done = match request.mode {
            BulkMode::Atomic => self.run_atomic(tenant, key, by, request, progress).await,
            BulkMode::Each => self.run_each(tenant, key, by, request, progress).await,
        };
        // In any case: what failed may have been committed.
        self.cache.changed(tenant);
        done.map_err(said)
    }

    async fn run_atomic(
        &self,
        tenant: Tenant,
        key: &str,
        by: &str,
        request: &BulkRequest,
        progress: Progress<'_>,
    ) -> Result<BulkReport, CatalogError> {
        let ids = &request.plugins.iter().copied().collect::<Vec<_>>();
        let session = self.cache.session(tenant);
        self.pools
            .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = writer.connection()?;
                    let (bulk, repeated) = begin(connection, tenant, key, by, request).await?;
                    if repeated {
                        return report(connection, bulk, true).await;
                    }
                    lock(connection, ids).await?;
                    let verdicts = verdicts(connection, request, ids, ids).await?;
                    let refused = verdicts.iter().any(|(_, verdict)| verdict.starts_with("refused"));
                    let will = verdicts.iter().filter(|(_, verdict)| verdict == "done").map(|(id, _)| *id);
                    let will = if refused { Vec::new() } else { will.collect::<Vec<_>>() };
                    for (i, batch) in will.chunks(BATCH).enumerate() {
                        change(connection, tenant, by, request, batch).await?;
                        progress((i * BATCH + batch.len()).min(ids.len()), ids.len());
                    }
                    let kept = verdicts.iter().filter(|(_, verdict)| !refused || verdict != "done");
                    record(connection, tenant, bulk, kept).await?;
                    finish(connection, tenant, bulk, if refused { "refused" } else { "done" }).await?;
                    progress(ids.len(), ids.len());
                    report(connection, bulk, false).await
                })
            })
            .await
    }

    async fn run_each(
        &self,
        tenant: Tenant,
        key: &str,
        by: &str,
        request: &BulkRequest,
        progress: Progress<'_>,
    ) -> Result<BulkReport, CatalogError> {
        let ids = &request.plugins.iter().copied().collect::<Vec<_>>();
        let session = self.cache.session(tenant);
        let (bulk, repeated) = self
            .pools
            .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move { begin(writer.connection()?, tenant, key, by, request).await })
            })
            .await?;
        for (i, chunk) in ids.chunks(CHUNK).enumerate() {
            let over = self
                .pools
                .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                    Box::pin(async move {
                        let connection = writer.connection()?;
                        run_chunk(connection, tenant, by, request, bulk, ids, chunk).await
                    })
                })
                .await?;
            if over {
                break;
            }
            self.cache.changed(tenant);
            progress((i * CHUNK + chunk.len()).min(ids.len()), ids.len());
        }
        self.pools
            .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move {
                    let connection = writer.connection()?;
                    finish(connection, tenant, bulk, "done").await?;
                    report(connection, bulk, repeated).await
                })
            })
            .await
    }
}

/// Finds the operation of this key, or begins it; `true` when it was there.
async fn begin(
    connection: &mut PgConnection,
    tenant: Tenant,
    key: &str,
    by: &str,
    request: &BulkRequest,
) -> Result<(i64, bool), CatalogError> {
    let (total, hash) = (request.plugins.len() as i32, request.hash());
    let made = sqlx::query_scalar::<_, i64>("INSERT INTO plugin_bulks (tenant_id, idempotency_key, request_hash, operation, mode, state, total, started_by, request) VALUES ($1, $2, $3, $4, $5, 'running', $6, $7, $8::jsonb) ON CONFLICT (tenant_id, idempotency_key) DO NOTHING RETURNING id")
        .bind(tenant.0)
        .bind(key)
        .bind(&hash)
        .bind(request.operation.as_str())
        .bind(request.mode.as_str())
        .bind(total)
        .bind(by)
        .bind(serde_json::to_string(request).unwrap_or_default())
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(id) = made {
        return Ok((id, false));
    }
    let (id, first) = sqlx::query_as::<_, (i64, String)>(
        "SELECT id, request_hash FROM plugin_bulks WHERE tenant_id = $1 AND idempotency_key = $2",
    )
    .bind(tenant.0)
    .bind(key)
    .fetch_one(&mut *connection)
    .await?;
    if first != hash {
        return Err(other_request(key));
    }
    Ok((id, true))
}

/// In the order of ids: two operations on the same plugins wait for each other and never in a circle.
async fn lock(connection: &mut PgConnection, ids: &[i64]) -> Result<(), CatalogError> {
    sqlx::query("SELECT count(*) FROM (SELECT id FROM plugins WHERE id = ANY($1) ORDER BY id FOR UPDATE) AS locked")
        .bind(ids)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn verdicts(
    connection: &mut PgConnection,
    request: &BulkRequest,
    ids: &[i64],
    all: &[i64],
) -> Result<Vec<(i64, String)>, CatalogError> {
    // The text is ours; everything else is bound.
    Ok(sqlx::query_as(AssertSqlSafe(request.verdicts()))
        .bind(ids)
        .bind(all)
        .bind(&request.add_tags)
        .bind(&request.remove_tags)
        .persistent(false)
        .fetch_all(connection)
        .await?)
}

/// Changes plugins, and writes the operation and the audit row of each.
async fn change(
    connection: &mut PgConnection,
    tenant: Tenant,
    by: &str,
    request: &BulkRequest,
    ids: &[i64],
) -> Result<(), CatalogError> {
    let name = request.operation.as_str();
    if request.operation != BulkOperation::Delete {
        sqlx::query("INSERT INTO plugin_operations (plugin_id, tenant_id, environment, operation_type, status, started_by, finished_at) SELECT id, tenant_id, environment, $2, 'succeeded', $3, now() FROM plugins WHERE id = ANY($1)")
            .bind(ids)
            .bind(name)
            .bind(by)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("INSERT INTO audit_logs (tenant_id, actor, action, object_kind, object_id) SELECT $2, $3, 'plugin.' || $4, 'plugin', id::text FROM unnest($1::int8[]) AS u (id)")
        .bind(ids)
        .bind(tenant.0)
        .bind(by)
        .bind(name)
        .execute(&mut *connection)
        .await?;
    let mut query = sqlx::query(AssertSqlSafe(request.change())).bind(ids);
    if request.operation == BulkOperation::Tag {
        query = query.bind(&request.add_tags).bind(&request.remove_tags);
    }
    query.persistent(false).execute(connection).await?;
    Ok(())
}

/// The items of a chunk that have no outcome yet; `true` when the operation is over already.
async fn run_chunk(
    connection: &mut PgConnection,
    tenant: Tenant,
    by: &str,
    request: &BulkRequest,
    bulk: i64,
    all: &[i64],
    chunk: &[i64],
) -> Result<bool, CatalogError> {
    // Two callers with one key take turns.
    let state = sqlx::query_scalar::<_, String>("SELECT state FROM plugin_bulks WHERE id = $1 FOR UPDATE")
        .bind(bulk)
        .fetch_one(&mut *connection)
        .await?;
    if state != "running" {
        return Ok(true);
    }
    let left = sqlx::query_scalar::<_, i64>("SELECT u.id FROM unnest($1::int8[]) AS u (id) WHERE NOT EXISTS (SELECT FROM plugin_bulk_items i WHERE i.bulk_id = $2 AND i.plugin_id = u.id) ORDER BY 1")
        .bind(chunk)
        .bind(bulk)
        .fetch_all(&mut *connection)
        .await?;
    if left.is_empty() {
        return Ok(false);
    }
    lock(connection, &left).await?;
    let mut verdicts = verdicts(connection, request, &left, all).await?;
    let will = verdicts.iter().filter(|(_, verdict)| verdict == "done").map(|(id, _)| *id).collect::<Vec<_>>();
    if let Err(error) = attempt(connection, tenant, by, request, &will).await? {
        // One of them is bad: each by itself.
        tracing::debug!(%error, bulk, "a part of a bulk operation is done item by item");
        for (id, verdict) in verdicts.iter_mut().filter(|(_, verdict)| verdict == "done") {
            if let Err(error) = attempt(connection, tenant, by, request, &[*id]).await? {
                *verdict = format!("failed: {error}");
            }
        }
    }
    record(connection, tenant, bulk, verdicts.iter()).await?;
    Ok(false)
}

/// Changes within a savepoint. The outer error is the connection's, the inner one the items'.
async fn attempt(
    connection: &mut PgConnection,
    tenant: Tenant,
    by: &str,
    request: &BulkRequest,
    ids: &[i64],
) -> Result<Result<(), String>, CatalogError> {
    if ids.is_empty() {
        return Ok(Ok(()));
    }
    connection.execute("SAVEPOINT item").await?;
    match change(connection, tenant, by, request, ids).await {
        Ok(()) => {
            connection.execute("RELEASE SAVEPOINT item").await?;
            Ok(Ok(()))
        }
        Err(CatalogError::Pool(pool::PoolError::Sql(sqlx::Error::Database(error))))
            if !error.code().is_some_and(|code| code.starts_with("57") || code.starts_with("40")) =>
        {
            connection.execute("ROLLBACK TO SAVEPOINT item").await?;
            Ok(Err(error.message().to_owned()))
        }
        Err(error) => Err(error),
    }
}

async fn record(
    connection: &mut PgConnection,
    tenant: Tenant,
    bulk: i64,
    verdicts: impl Iterator<Item = &(i64, String)>,
) -> Result<(), CatalogError> {
    let (mut ids, mut outcomes, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for (id, verdict) in verdicts {
        let (outcome, reason) = verdict.split_once(": ").map_or((verdict.as_str(), None), |(a, b)| (a, Some(b)));
        ids.push(*id);
        outcomes.push(outcome);
        reasons.push(reason);
    }
    sqlx::query("INSERT INTO plugin_bulk_items (bulk_id, tenant_id, plugin_id, outcome, reason) SELECT $1, $2, * FROM unnest($3::int8[], $4::text[], $5::text[])")
        .bind(bulk)
        .bind(tenant.0)
        .bind(ids)
        .bind(outcomes)
        .bind(reasons)
        .execute(&mut *connection)
        .await?;
    // Sent with the commit: other processes forget what they remember of the tenant.
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(tenant.0.to_string()).execute(connection).await?;
    Ok(())
}

async fn finish(connection: &mut PgConnection, tenant: Tenant, bulk: i64, state: &str) -> Result<(), CatalogError> {
    sqlx::query(
        "UPDATE plugin_bulks SET state = $3, finished_at = now() WHERE id = $1 AND tenant_id = $2 AND state = 'running'",
    )
    .bind(bulk)
    .bind(tenant.0)
    .bind(state)
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn report(
    connection: &mut PgConnection,
    bulk: i64,
    repeated: bool,
) -> Result<BulkReport, CatalogError> {
    let row = sqlx::query("SELECT operation, mode, state, total::int8 AS total, (SELECT count(*) FROM plugin_bulk_items WHERE bulk_id = $1 AND outcome = 'done') AS done, (SELECT count(*) FROM plugin_bulk_items WHERE bulk_id = $1 AND outcome = 'unchanged') AS unchanged, (SELECT count(*) FROM plugin_bulk_items WHERE bulk_id = $1 AND outcome = 'refused') AS refused, (SELECT count(*) FROM plugin_bulk_items WHERE bulk_id = $1 AND outcome = 'failed') AS failed FROM plugin_bulks WHERE id = $1")
        .bind(bulk)
        .fetch_one(&mut *connection)
        .await?;
    let problems = sqlx::query_as::<_, (i64, String, Option<String>)>("SELECT plugin_id, outcome, reason FROM plugin_bulk_items WHERE bulk_id = $1 AND outcome IN ('refused', 'failed') ORDER BY plugin_id LIMIT $2")
        .bind(bulk)
        .bind(MOST_PROBLEMS)
        .fetch_all(connection)
        .await?;
    let item = |(id, outcome, reason): (i64, String, Option<String>)| RefusedItem {
        id: id.to_string(),
        outcome,
        reason: reason.unwrap_or_default(),
    };
    Ok(BulkReport {
        id: Some(bulk.to_string()),
        operation: row.try_get("operation")?,
        mode: row.try_get("mode")?,
        state: row.try_get("state")?,
        total: row.try_get("total")?,
        done: row.try_get("done")?,
        unchanged: row.try_get("unchanged")?,
        refused: row.try_get("refused")?,
        failed: row.try_get("failed")?,
        problems: problems.into_iter().map(item).collect(),
        repeated,
        changes: Vec::new(),
    })
}

fn tally(request: &BulkRequest, id: Option<i64>, state: &str, verdicts: &[(i64, String)]) -> BulkReport {
    let count = |what: &str| verdicts.iter().filter(|(_, verdict)| verdict.starts_with(what)).count() as i64;
    let problems = verdicts.iter().filter_map(|(id, verdict)| {
        let (outcome, reason) = verdict.split_once(": ")?;
        Some(RefusedItem { id: id.to_string(), outcome: outcome.to_owned(), reason: reason.to_owned() })
    });
    BulkReport {
        id: id.map(|id| id.to_string()),
        operation: request.operation.as_str().to_owned(),
        mode: request.mode.as_str().to_owned(),
        state: state.to_owned(),
        total: verdicts.len() as i64,
        done: count("done"),
        unchanged: count("unchanged"),
        refused: count("refused"),
        failed: 0,
        problems: problems.take(MOST_PROBLEMS as usize).collect(),
        repeated: false,
        changes: Vec::new(),
    }
}
