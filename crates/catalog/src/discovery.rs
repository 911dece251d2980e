//! Finding plugins: filters, search, order, pages and facets.
use crate::{Catalog, CatalogError, PluginFilter, Sort, Tenant, error::said};
use domain::{
    Timestamp,
    view::{FacetValue, Facets, Plugin, PluginsPage, SearchMode},
};
use pool::{Reader, Work};
use sqlx::{PgConnection, Postgres, QueryBuilder, Row as _, postgres::PgRow};
use std::sync::Arc;

/// Most rows of a page.
const LONGEST_PAGE: u32 = 200;
/// From which similarity of words on a name is taken for a mistyped one.
const SIMILAR: f32 = 0.3;
const MILLISECONDS: &str = "(extract(epoch FROM created_at) * 1000)::int8 AS created_ms, (extract(epoch FROM updated_at) * 1000)::int8 AS updated_ms";
pub(crate) const COLUMNS: &str = "id, name, display_name, description, category, status, environment, owner, keywords, tags, is_installed, is_enabled, installed_version, health_score, cpu_usage, memory_usage";
const NO_TRIGRAMS: &str = "nothing has these words; similar ones cannot be looked for, because the extension pg_trgm is missing: run CREATE EXTENSION pg_trgm (package postgresql-contrib)";

pub(crate) fn columns() -> String {
    format!("{COLUMNS}, {MILLISECONDS}")
}

pub(crate) fn plugin(row: &PgRow) -> Result<Plugin, sqlx::Error> {
    Ok(Plugin {
        id: row.try_get::<i64, _>("id")?.to_string(),
        name: row.try_get("name")?,
        display_name: row.try_get("display_name")?,
        description: row.try_get("description")?,
        category: row.try_get("category")?,
        status: row.try_get("status")?,
        environment: row.try_get("environment")?,
        owner: row.try_get("owner")?,
        keywords: row.try_get("keywords")?,
        tags: row.try_get("tags")?,
        installed: row.try_get("is_installed")?,
        enabled: row.try_get("is_enabled")?,
        installed_version: row.try_get("installed_version")?,
        health_score: row.try_get("health_score")?,
        cpu_percent: row.try_get("cpu_usage")?,
        memory_bytes: row.try_get("memory_usage")?,
        created_at: Timestamp(row.try_get("created_ms")?),
        updated_at: Timestamp(row.try_get("updated_ms")?),
    })
}

/// How the text is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Nothing,
    Words,
    Similar,
}

/// Where a page begins: after the row with this key and id.
#[derive(Debug)]
struct Cursor {
    similar: bool,
    id: i64,
    key: String,
}

impl Cursor {
    fn parse(text: &str) -> Result<Self, CatalogError> {
        let parsed = || {
            let mut parts = text.splitn(3, '.');
            let similar = match parts.next()? {
                "w" => false,
                "s" => true,
                _ => return None,
            };
            Some(Self { similar, id: parts.next()?.parse().ok()?, key: parts.next()?.to_owned() })
        };
        parsed().ok_or_else(|| CatalogError::invalid("cursor", "take the cursor from 'next_cursor' of the page before"))
    }

    fn text(&self) -> String {
        format!("{}.{}.{}", if self.similar { 's' } else { 'w' }, self.id, self.key)
    }
}

impl Catalog {
    /// A page of the plugins that the filter lets through. `limit` is 1 to 200.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn plugins(
        &self,
        tenant: Tenant,
        filter: &PluginFilter,
        sort: Sort,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Arc<PluginsPage>, CatalogError> {
        filter.check()?;
        let limit = limit.clamp(1, LONGEST_PAGE);
        let after = cursor.map(Cursor::parse).transpose()?;
        let question = (filter, sort, cursor, limit);
        let load = self.load_plugins(tenant, filter, sort, after.as_ref(), limit);
        self.cache.get(tenant, "plugins", &question, load).await
    }

    async fn load_plugins(
        &self,
        tenant: Tenant,
        filter: &PluginFilter,
        sort: Sort,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<PluginsPage, CatalogError> {
        let session = self.cache.session(tenant);
        self.pools
            .read_after(&tenant.scope(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                Box::pin(async move { page(reader.connection()?, tenant, filter, sort, after, limit).await })
            })
            .await
            .map_err(said)
    }

    /// How the plugins that the filter lets through divide.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn facets(&self, tenant: Tenant, filter: &PluginFilter) -> Result<Arc<Facets>, CatalogError> {
        filter.check()?;
        let session = self.cache.session(tenant);
        let load = async {
            self.pools
                .read_after(&tenant.scope(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                    Box::pin(async move { facets(reader.connection()?, tenant, filter).await })
                })
                .await
                .map_err(said)
        };
        self.cache.get(tenant, "facets", filter, load).await
    }
}

async fn page(
    connection: &mut PgConnection,
    tenant: Tenant,
    filter: &PluginFilter,
    sort: Sort,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<PluginsPage, CatalogError> {
    let look = match (filter.tsquery(), after) {
        (None, _) => Look::Nothing,
        (Some(_), Some(cursor)) if cursor.similar => Look::Similar,
        (Some(_), _) => Look::Words,
    };
    let rows = select(connection, tenant, filter, sort, look, after, limit).await?;
    if look == Look::Words && rows.is_empty() && after.is_none() {
        if !has_trigrams(connection).await? {
            return Ok(PluginsPage {
                plugins: Vec::new(),
                next_cursor: None,
                search: SearchMode::WordsOnly,
                message: Some(NO_TRIGRAMS.to_owned()),
            });
        }
        let rows = select(connection, tenant, filter, sort, Look::Similar, None, limit).await?;
        let message = (!rows.is_empty()).then(|| "nothing has these words; these are similar".to_owned());
        return answer(&rows, Look::Similar, limit, message);
    }
    answer(&rows, look, limit, None)
}

fn answer(rows: &[PgRow], look: Look, limit: u32, message: Option<String>) -> Result<PluginsPage, CatalogError> {
    let mut next_cursor = None;
    if rows.len() > limit as usize
        && let Some(last) = rows.get(limit as usize - 1)
    {
        let cursor = Cursor { similar: look == Look::Similar, id: last.try_get("id")?, key: last.try_get("sort_key")? };
        next_cursor = Some(cursor.text());
    }
    let plugins = rows.iter().take(limit as usize).map(plugin).collect::<Result<_, _>>()?;
    let search = match look {
        Look::Nothing => SearchMode::None,
        Look::Words => SearchMode::Words,
        Look::Similar => SearchMode::Similar,
    };
    Ok(PluginsPage { plugins, next_cursor, search, message })
}

/// The expression sorted by, its type for the cursor, and whether the largest comes first.
fn order(sort: Sort, look: Look) -> (&'static str, &'static str, bool) {
    match (sort, look) {
        (Sort::Relevance, Look::Words) => ("rank", "float4", true),
        (_, Look::Similar) => ("rank", "float4", true),
        (Sort::HealthDown | Sort::Relevance, _) => ("health_score", "int2", true),
        (Sort::HealthUp, _) => ("health_score", "int2", false),
        (Sort::Name, _) => ("name", "text", false),
        (Sort::UpdatedDown, _) => ("updated_at", "timestamptz", true),
    }
}

async fn select(
    connection: &mut PgConnection,
    tenant: Tenant,
    filter: &PluginFilter,
    sort: Sort,
    look: Look,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Vec<PgRow>, CatalogError> {
    let (key, kind, down) = order(sort, look);
    let mut sql = QueryBuilder::<Postgres>::new("SELECT ");
    sql.push(columns());
    // A time is written with all its digits, so that the cursor is the row's own value.
    sql.push(if key == "updated_at" { ", to_json(updated_at) #>> '{}' AS sort_key FROM (SELECT *, " } else { "" });
    if key != "updated_at" {
        sql.push(format!(", {key}::text AS sort_key FROM (SELECT *, "));
    }
    match look {
        Look::Words => {
            sql.push("ts_rank(search, ").push_bind(filter.tsquery().unwrap_or_default()).push("::tsquery)");
        }
        Look::Similar => {
            sql.push("word_similarity(")
                .push_bind(filter.query.clone().unwrap_or_default())
                .push(", name || ' ' || display_name)");
        }
        Look::Nothing => {
            sql.push("0::float4");
        }
    }
    sql.push(" AS rank FROM plugins) AS p WHERE ");
    conditions(&mut sql, tenant, filter, look);
    if let Some(cursor) = after {
        let than = if down { '<' } else { '>' };
        sql.push(format!(" AND ({key}, id) {than} ("));
        sql.push_bind(cursor.key.clone()).push(format!("::text::{kind}, ")).push_bind(cursor.id).push(")");
    }
    let direction = if down { "DESC" } else { "ASC" };
    sql.push(format!(" ORDER BY {key} {direction}, id {direction} LIMIT {}", limit + 1));
    let rows = sql.build().persistent(false).fetch_all(connection).await;
    match rows {
        // A cursor that was made up.
        Err(sqlx::Error::Database(error)) if after.is_some() && error.code().is_some_and(|it| it.starts_with("22")) => {
            Err(CatalogError::invalid("cursor", "take the cursor from 'next_cursor' of the page before"))
        }
        rows => Ok(rows?),
    }
}

/// The tenant stands there too, though the policy asks for it in any case: as a constant the planner knows how many
/// rows it has.
pub(crate) fn conditions(sql: &mut QueryBuilder<Postgres>, tenant: Tenant, filter: &PluginFilter, look: Look) {
    sql.push("tenant_id = ").push_bind(tenant.0);
    for (column, values) in [
        ("category", &filter.categories),
        ("status", &filter.statuses),
        ("environment", &filter.environments),
        ("owner", &filter.owners),
    ] {
        if !values.is_empty() {
            sql.push(format!(" AND {column} = ANY(")).push_bind(values.clone()).push(")");
        }
    }
    for (column, values) in [("tags", &filter.tags), ("keywords", &filter.keywords)] {
        if !values.is_empty() {
            sql.push(format!(" AND {column} @> ")).push_bind(values.clone());
        }
    }
    if let Some(health) = filter.health_min {
        sql.push(" AND health_score >= ").push_bind(health);
    }
    if let Some(health) = filter.health_max {
        sql.push(" AND health_score <= ").push_bind(health);
    }
    if let Some(installed) = filter.installed {
        sql.push(" AND is_installed = ").push_bind(installed);
    }
    if let Some(enabled) = filter.enabled {
        sql.push(" AND is_enabled = ").push_bind(enabled);
    }
    match look {
        Look::Words => {
            sql.push(" AND search @@ ").push_bind(filter.tsquery().unwrap_or_default()).push("::tsquery");
        }
        Look::Similar => {
            sql.push(" AND word_similarity(")
                .push_bind(filter.query.clone().unwrap_or_default())
                .push(", name || ' ' || display_name) >= ")
                .push_bind(SIMILAR);
        }
        Look::Nothing => {}
    }
}

/// By words, when there are any.
pub(crate) fn look(filter: &PluginFilter) -> Look {
    if filter.tsquery().is_some() { Look::Words } else { Look::Nothing }
}

async fn has_trigrams(connection: &mut PgConnection) -> Result<bool, CatalogError> {
    Ok(sqlx::query_scalar("SELECT to_regprocedure('word_similarity(text, text)') IS NOT NULL")
        .fetch_one(connection)
        .await?)
}

async fn facets(connection: &mut PgConnection, tenant: Tenant, filter: &PluginFilter) -> Result<Facets, CatalogError> {
    let mut look = look(filter);
    let mut found = count(connection, tenant, filter, look).await?;
    if look == Look::Words && found.total == 0 && has_trigrams(connection).await? {
        look = Look::Similar;
        found = count(connection, tenant, filter, look).await?;
    }
    Ok(found)
}

async fn count(
    connection: &mut PgConnection,
    tenant: Tenant,
    filter: &PluginFilter,
    look: Look,
) -> Result<Facets, CatalogError> {
    let mut sql = QueryBuilder::<Postgres>::new(
        "WITH found AS MATERIALIZED (SELECT category, status, environment, owner, tags, keywords FROM plugins WHERE ",
    );
    conditions(&mut sql, tenant, filter, look);
    sql.push(
        ") SELECT 'total' AS facet, NULL AS value, count(*) AS n FROM found
        UNION ALL SELECT CASE WHEN grouping(category) = 0 THEN 'category' WHEN grouping(status) = 0 THEN 'status' WHEN grouping(environment) = 0 THEN 'environment' ELSE 'owner' END,
            coalesce(category, status, environment, owner), count(*) FROM found GROUP BY GROUPING SETS (category, status, environment, owner)
        UNION ALL (SELECT 'tag', t, count(*) FROM found, unnest(tags) t GROUP BY t ORDER BY 3 DESC, 2 LIMIT 20)
        UNION ALL (SELECT 'keyword', k, count(*) FROM found, unnest(keywords) k GROUP BY k ORDER BY 3 DESC, 2 LIMIT 20)
        ORDER BY n DESC, value",
    );
    let mut facets = Facets {
        total: 0,
        categories: Vec::new(),
        statuses: Vec::new(),
        environments: Vec::new(),
        owners: Vec::new(),
        tags: Vec::new(),
        keywords: Vec::new(),
    };
    for row in sql.build().persistent(false).fetch_all(connection).await? {
        let count = row.try_get("n")?;
        let Some(value) = row.try_get::<Option<String>, _>("value")? else {
            facets.total = count;
            continue;
        };
        let list = match row.try_get::<String, _>("facet")?.as_str() {
            "category" => &mut facets.categories,
            "status" => &mut facets.statuses,
            "environment" => &mut facets.environments,
            "owner" if facets.owners.len() >= 20 => continue,
            "owner" => &mut facets.owners,
            "tag" => &mut facets.tags,
            _ => &mut facets.keywords,
        };
        list.push(FacetValue { value, count });
    }
    Ok(facets)
}
