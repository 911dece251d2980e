//! One plugin: added, changed, removed. The change, its operation and its audit row are one transaction.
use crate::{
    Catalog, CatalogError, Tenant,
    bulk::{BulkMode, BulkOperation, BulkRequest},
    details::details,
    error::said,
    listen::CHANNEL,
    solve::requirement,
};
use domain::view::{Plugin, PluginDetails};
use pool::{Work, Writer};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet};

const STATUSES: [&str; 5] = ["active", "inactive", "installing", "failed", "deprecated"];
const ENVIRONMENTS: [&str; 3] = ["production", "staging", "development"];
/// Most words in a list, most things that one version needs.
const MOST_WORDS: usize = 50;
const MOST_NEEDS: usize = 200;

/// A plugin to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPlugin {
    /// Unique within the tenant: lower-case letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// For people; the name when empty.
    pub display_name: String,
    /// What it does.
    pub description: String,
    /// What kind it is of.
    pub category: String,
    /// The team that looks after it.
    pub owner: String,
    /// production, staging or development.
    pub environment: String,
    /// Words it is found by.
    pub keywords: Vec<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// Its first version, so that it can be installed.
    pub version: Option<NewVersion>,
}

/// A version to be released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewVersion {
    /// A semantic version.
    pub version: String,
    /// What is new.
    pub changelog: String,
    /// What it needs.
    pub dependencies: Vec<NewDependency>,
}

/// What a version needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDependency {
    /// Id of the plugin.
    pub plugin: i64,
    /// Which versions do, like `^1.2`.
    pub range: String,
    /// It works without, too.
    pub optional: bool,
}

/// What to change; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginChange {
    /// For people.
    pub display_name: Option<String>,
    /// What it does.
    pub description: Option<String>,
    /// What kind it is of.
    pub category: Option<String>,
    /// The team that looks after it.
    pub owner: Option<String>,
    /// production, staging or development.
    pub environment: Option<String>,
    /// active, inactive, installing, failed or deprecated.
    pub status: Option<String>,
    /// Words it is found by.
    pub keywords: Option<Vec<String>>,
    /// Labels.
    pub tags: Option<Vec<String>>,
    /// A further version.
    pub version: Option<NewVersion>,
    /// Only when it was last changed at this moment, in milliseconds since 1970.
    pub unchanged_since_ms: Option<i64>,
}

fn text(field: &'static str, text: &str, longest: usize, may_be_empty: bool) -> Result<(), CatalogError> {
    if (text.trim().is_empty() && !may_be_empty) || text.len() > longest || text.contains('\0') {
        let least = u8::from(!may_be_empty);
        return Err(CatalogError::invalid(field, format!("{field} has {least} to {longest} bytes")));
    }
    Ok(())
}

fn one_of(field: &'static str, text: &str, allowed: &[&str]) -> Result<(), CatalogError> {
    if allowed.contains(&text) {
        return Ok(());
    }
    Err(CatalogError::invalid(field, format!("{field} is one of {}", allowed.join(", "))))
}

fn words(field: &'static str, words: &[String]) -> Result<(), CatalogError> {
    if words.len() > MOST_WORDS
        || words.iter().any(|word| word.trim().is_empty() || word.len() > 60 || word.contains('\0'))
    {
        return Err(CatalogError::invalid(field, format!("{field} are at most {MOST_WORDS} of 1 to 60 bytes each")));
    }
    Ok(())
}

impl NewVersion {
    fn check(&self) -> Result<(), CatalogError> {
        Version::parse(&self.version).map_err(|error| {
            CatalogError::invalid("version", format!("'{}' is not a version like 1.4.2: {error}", self.version))
        })?;
        text("changelog", &self.changelog, 10_000, true)?;
        if self.dependencies.len() > MOST_NEEDS {
            return Err(CatalogError::invalid("dependencies", format!("a version needs at most {MOST_NEEDS} plugins")));
        }
        let mut seen = BTreeSet::new();
        for need in &self.dependencies {
            requirement(&need.range).map_err(|error| {
                CatalogError::invalid("range", format!("'{}' is not a version range like ^1.2: {error}", need.range))
            })?;
            if !seen.insert(need.plugin) {
                return Err(CatalogError::invalid("dependencies", format!("plugin {} is named twice", need.plugin)));
            }
        }
        Ok(())
    }
}

impl NewPlugin {
    fn check(&self) -> Result<(), CatalogError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.len() > 80 || !self.name.chars().all(plain) {
            return Err(CatalogError::invalid(
                "name",
                "a name has 1 to 80 lower-case letters, digits, '-', '_' and '.'",
            ));
        }
        text("display_name", &self.display_name, 120, true)?;
        text("description", &self.description, 4_000, true)?;
        text("category", &self.category, 60, false)?;
        text("owner", &self.owner, 120, false)?;
        one_of("environment", &self.environment, &ENVIRONMENTS)?;
        words("keywords", &self.keywords)?;
        words("tags", &self.tags)?;
        self.version.as_ref().map_or(Ok(()), NewVersion::check)
    }
}

impl PluginChange {
    fn check(&self) -> Result<(), CatalogError> {
        for (field, value, longest, may_be_empty) in [
            ("display_name", &self.display_name, 120, false),
            ("description", &self.description, 4_000, true),
            ("category", &self.category, 60, false),
            ("owner", &self.owner, 120, false),
        ] {
            if let Some(value) = value {
                text(field, value, longest, may_be_empty)?;
            }
        }
        if let Some(environment) = &self.environment {
            one_of("environment", environment, &ENVIRONMENTS)?;
        }
        if let Some(status) = &self.status {
            one_of("status", status, &STATUSES)?;
        }
        for (field, list) in [("keywords", &self.keywords), ("tags", &self.tags)] {
            if let Some(list) = list {
                words(field, list)?;
            }
        }
        self.version.as_ref().map_or(Ok(()), NewVersion::check)?;
        let empty = Self { unchanged_since_ms: self.unchanged_since_ms, ..Self::default() };
        if *self == empty {
            return Err(CatalogError::invalid("body", "name at least one field to change"));
        }
        Ok(())
    }
}

impl Catalog {
    /// Adds a plugin, not installed.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] when the tenant has one of that name.
    pub async fn plugin_create(
        &self,
        tenant: Tenant,
        by: &str,
        new: &NewPlugin,
    ) -> Result<PluginDetails, CatalogError> {
        new.check()?;
        let session = self.cache.session(tenant);
        let done = self
            .pools
            .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move { create(writer.connection()?, tenant, by, new).await })
            })
            .await;
        self.cache.changed(tenant);
        done.map_err(said)
    }

    /// Changes a plugin; the plugin before and after.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`]; [`CatalogError::Conflict`] when somebody else changed it since.
    pub async fn plugin_change(
        &self,
        tenant: Tenant,
        by: &str,
        id: i64,
        change: &PluginChange,
    ) -> Result<(Plugin, PluginDetails), CatalogError> {
        change.check()?;
        let session = self.cache.session(tenant);
        let done = self
            .pools
            .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move { update(writer.connection()?, tenant, by, id, change).await })
            })
            .await;
        self.cache.changed(tenant);
        done.map_err(said)
    }

    /// Removes a plugin; what it was.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`]; [`CatalogError::Conflict`] when another one needs it.
    pub async fn plugin_delete(&self, tenant: Tenant, by: &str, id: i64) -> Result<Plugin, CatalogError> {
        let session = self.cache.session(tenant);
        let done = self
            .pools
            .write(&tenant.scope(), &session, |writer: &mut Writer, _: Work<'_, '_>| {
                Box::pin(async move { delete(writer.connection()?, tenant, by, id).await })
            })
            .await;
        self.cache.changed(tenant);
        done.map_err(said)
    }
}

async fn create(
    connection: &mut PgConnection,
    tenant: Tenant,
    by: &str,
    new: &NewPlugin,
) -> Result<PluginDetails, CatalogError> {
    let display_name = if new.display_name.trim().is_empty() { &new.name } else { &new.display_name };
    let id = sqlx::query_scalar::<_, i64>("INSERT INTO plugins (tenant_id, name, display_name, description, category, owner, environment, keywords, tags, status) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'inactive') ON CONFLICT (tenant_id, name) DO NOTHING RETURNING id")
        .bind(tenant.0)
        .bind(&new.name)
        .bind(display_name)
        .bind(&new.description)
        .bind(&new.category)
        .bind(&new.owner)
        .bind(&new.environment)
        .bind(&new.keywords)
        .bind(&new.tags)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(id) = id else {
        return Err(CatalogError::Conflict(format!("there is a plugin '{}' already; choose another name", new.name)));
    };
    if let Some(version) = &new.version {
        release(connection, tenant, id, version).await?;
    }
    note(connection, tenant, by, "create", id, json!({ "name": new.name })).await?;
    details(connection, tenant, id).await
}

async fn update(
    connection: &mut PgConnection,
    tenant: Tenant,
    by: &str,
    id: i64,
    change: &PluginChange,
) -> Result<(Plugin, PluginDetails), CatalogError> {
    lock(connection, tenant, id).await?;
    let before = details(connection, tenant, id).await?.plugin;
    if change.unchanged_since_ms.is_some_and(|at| at != before.updated_at.0) {
        return Err(CatalogError::Conflict(format!(
            "'{}' was changed at {}, after you read it; read it again",
            before.name,
            before.updated_at.to_rfc3339()
        )));
    }
    sqlx::query("UPDATE plugins SET display_name = coalesce($3, display_name), description = coalesce($4, description), category = coalesce($5, category), owner = coalesce($6, owner), environment = coalesce($7, environment), status = coalesce($8, status), keywords = coalesce($9, keywords), tags = coalesce($10, tags), updated_at = clock_timestamp() WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.0)
        .bind(id)
        .bind(&change.display_name)
        .bind(&change.description)
        .bind(&change.category)
        .bind(&change.owner)
        .bind(&change.environment)
        .bind(&change.status)
        .bind(&change.keywords)
        .bind(&change.tags)
        .execute(&mut *connection)
        .await?;
    if let Some(version) = &change.version {
        release(connection, tenant, id, version).await?;
    }
    let changed = serde_json::to_value(change).unwrap_or_default();
    let detail = changed
        .as_object()
        .map(|fields| fields.iter().filter(|field| !field.1.is_null()).map(|it| it.0.clone()).collect::<Vec<_>>());
    note(connection, tenant, by, "change", id, json!({ "fields": detail })).await?;
    Ok((before, details(connection, tenant, id).await?))
}

async fn delete(connection: &mut PgConnection, tenant: Tenant, by: &str, id: i64) -> Result<Plugin, CatalogError> {
    lock(connection, tenant, id).await?;
    let before = details(connection, tenant, id).await?.plugin;
    let request = BulkRequest {
        operation: BulkOperation::Delete,
        mode: BulkMode::Atomic,
        plugins: BTreeSet::from([id]),
        add_tags: Vec::new(),
        remove_tags: Vec::new(),
        versions: BTreeMap::new(),
    };
    let verdicts = crate::bulk::verdicts(connection, &request, &[id], &[id]).await?;
    if let Some(reason) = verdicts.iter().find_map(|verdict| verdict.said.strip_prefix("refused: ")) {
        return Err(CatalogError::Conflict(format!(
            "'{}' cannot be removed: {reason}; remove that first, or both together by a bulk operation",
            before.name
        )));
    }
    sqlx::query("DELETE FROM plugins WHERE tenant_id = $1 AND id = $2")
        .bind(tenant.0)
        .bind(id)
        .execute(&mut *connection)
        .await?;
    note(connection, tenant, by, "delete", id, json!({ "name": before.name })).await?;
    Ok(before)
}

async fn lock(connection: &mut PgConnection, tenant: Tenant, id: i64) -> Result<(), CatalogError> {
    sqlx::query("SELECT FROM plugins WHERE tenant_id = $1 AND id = $2 FOR UPDATE")
        .bind(tenant.0)
        .bind(id)
        .fetch_optional(connection)
        .await?
        .map(drop)
        .ok_or_else(|| CatalogError::NotFound(id.to_string()))
}

/// A version with what it needs. What it names must be the tenant's own: a foreign key would not say so.
async fn release(connection: &mut PgConnection, tenant: Tenant, id: i64, new: &NewVersion) -> Result<(), CatalogError> {
    let version = sqlx::query_scalar::<_, i64>("INSERT INTO plugin_versions (tenant_id, plugin_id, version, changelog) VALUES ($1, $2, $3, $4) ON CONFLICT (plugin_id, version) DO NOTHING RETURNING id")
        .bind(tenant.0)
        .bind(id)
        .bind(&new.version)
        .bind(&new.changelog)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(version) = version else {
        return Err(CatalogError::Conflict(format!(
            "version {} is there already; a version is never changed",
            new.version
        )));
    };
    let (mut ids, mut ranges, mut optional) = (Vec::new(), Vec::new(), Vec::new());
    for need in &new.dependencies {
        ids.push(need.plugin);
        ranges.push(need.range.as_str());
        optional.push(need.optional);
    }
    let unknown = sqlx::query_scalar::<_, i64>("SELECT u.id FROM unnest($1::int8[]) AS u (id) WHERE u.id = $3 OR NOT EXISTS (SELECT FROM plugins p WHERE p.tenant_id = $2 AND p.id = u.id) LIMIT 1")
        .bind(&ids)
        .bind(tenant.0)
        .bind(id)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(unknown) = unknown {
        let message = if unknown == id {
            "a plugin cannot need itself".to_owned()
        } else {
            format!("there is no plugin '{unknown}' that it could need")
        };
        return Err(CatalogError::invalid("dependencies", message));
    }
    sqlx::query("INSERT INTO plugin_dependencies (tenant_id, plugin_version_id, depends_on_id, version_range, optional) SELECT $1, $2, * FROM unnest($3::int8[], $4::text[], $5::bool[])")
        .bind(tenant.0)
        .bind(version)
        .bind(&ids)
        .bind(&ranges)
        .bind(&optional)
        .execute(connection)
        .await?;
    Ok(())
}

/// The audit row, and the word to other processes: both come with the commit.
async fn note(
    connection: &mut PgConnection,
    tenant: Tenant,
    by: &str,
    action: &str,
    id: i64,
    detail: Value,
) -> Result<(), CatalogError> {
    sqlx::query("INSERT INTO audit_logs (tenant_id, actor, action, object_kind, object_id, detail) VALUES ($1, $2, 'plugin.' || $3, 'plugin', $4, $5::jsonb)")
        .bind(tenant.0)
        .bind(by)
        .bind(action)
        .bind(id.to_string())
        .bind(detail.to_string())
        .execute(&mut *connection)
        .await?;
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(tenant.0.to_string()).execute(connection).await?;
    Ok(())
}
