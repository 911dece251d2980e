//! Finding plugins: filters, search, order, pages and facets.
use crate::{
    Catalog, CatalogError, PluginFilter, Sort, Tenant,
    error::said,
    question::{Cursor, Look, Order, facets_question, look, page_question},
};
use domain::{
    Timestamp,
    view::{FacetValue, Facets, Plugin, PluginsPage, SearchMode},
};
use pool::{Asker, Fields, Question, Sheet, Work};
use sqlx::{Row as _, postgres::PgRow};
use std::sync::Arc;

/// Most rows of a page.
const LONGEST_PAGE: u32 = 200;
const NO_TRIGRAMS: &str = "nothing has these words; similar ones cannot be looked for, because the extension pg_trgm is missing: run CREATE EXTENSION pg_trgm (package postgresql-contrib)";

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
        keywords: words(row, "keywords")?,
        tags: words(row, "tags")?,
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

/// As [`plugin`], of a row of a sheet.
fn listed(fields: &mut Fields<'_>) -> Result<Plugin, sqlx::Error> {
    Ok(Plugin {
        id: fields.text()?.to_owned(),
        name: fields.text()?.to_owned(),
        display_name: fields.text()?.to_owned(),
        description: fields.text()?.to_owned(),
        category: fields.text()?.to_owned(),
        status: fields.text()?.to_owned(),
        environment: fields.text()?.to_owned(),
        owner: fields.text()?.to_owned(),
        keywords: fields.words()?,
        tags: fields.words()?,
        installed: fields.flag()?,
        enabled: fields.flag()?,
        installed_version: fields.optional()?.map(str::to_owned),
        health_score: fields.parsed()?,
        cpu_percent: fields.parsed()?,
        memory_bytes: fields.parsed()?,
        created_at: Timestamp(fields.parsed()?),
        updated_at: Timestamp(fields.parsed()?),
    })
}

/// A list of words. A database of another's making may have NULL for it, or in it: one such row must not cost the page.
pub(crate) fn words(row: &PgRow, column: &str) -> Result<Vec<String>, sqlx::Error> {
    let words = row.try_get::<Option<Vec<Option<String>>>, _>(column)?.unwrap_or_default();
    Ok(words.into_iter().flatten().collect())
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
            .ask(&tenant.asking(), &session, |asker: &mut Asker, _: Work<'_, '_>| {
                Box::pin(async move { page(asker, tenant, filter, sort, after, limit).await })
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
                .ask(&tenant.asking(), &session, |asker: &mut Asker, _: Work<'_, '_>| {
                    Box::pin(async move { facets(asker, tenant, filter).await })
                })
                .await
                .map_err(said)
        };
        self.cache.get(tenant, "facets", filter, load).await
    }
}

async fn page(
    asker: &mut Asker,
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
    let found = select(asker, tenant, filter, sort, look, after, limit).await?;
    if look == Look::Words && found.rows() == 0 && after.is_none() {
        if !has_trigrams(asker).await? {
            return Ok(PluginsPage {
                plugins: Vec::new(),
                next_cursor: None,
                search: SearchMode::WordsOnly,
                message: Some(NO_TRIGRAMS.to_owned()),
            });
        }
        let found = select(asker, tenant, filter, sort, Look::Similar, None, limit).await?;
        let message = (found.rows() > 0).then(|| "nothing has these words; these are similar".to_owned());
        return answer(&found, sort, Look::Similar, limit, message);
    }
    answer(&found, sort, look, limit, None)
}

fn answer(
    found: &Sheet,
    sort: Sort,
    look: Look,
    limit: u32,
    message: Option<String>,
) -> Result<PluginsPage, CatalogError> {
    let shown = found.rows().min(limit as usize);
    let mut plugins = Vec::with_capacity(shown);
    let mut next_cursor = None;
    for row in 0..shown {
        let mut fields = found.row(row);
        let plugin = listed(&mut fields)?;
        if row + 1 == shown && found.rows() > shown {
            let key = match Order::of(sort, look).shown(&plugin) {
                Some(key) => key,
                None => fields.text()?.to_owned(),
            };
            let cursor = Cursor { similar: look == Look::Similar, id: found.row(row).parsed()?, key };
            next_cursor = Some(cursor.text());
        }
        plugins.push(plugin);
    }
    let search = match look {
        Look::Nothing => SearchMode::None,
        Look::Words => SearchMode::Words,
        Look::Similar => SearchMode::Similar,
    };
    Ok(PluginsPage { plugins, next_cursor, search, message })
}

async fn select(
    asker: &mut Asker,
    tenant: Tenant,
    filter: &PluginFilter,
    sort: Sort,
    look: Look,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Sheet, CatalogError> {
    match asker.sheet(&page_question(tenant, filter, sort, look, after, limit)).await {
        // A cursor that was made up.
        Err(sqlx::Error::Database(error)) if after.is_some() && error.code().is_some_and(|it| it.starts_with("22")) => {
            Err(CatalogError::invalid("cursor", "take the cursor from 'next_cursor' of the page before"))
        }
        found => Ok(found?),
    }
}

async fn has_trigrams(asker: &mut Asker) -> Result<bool, CatalogError> {
    let rows = asker.ask(&Question::new("SELECT to_regprocedure('word_similarity(text, text)') IS NOT NULL")).await?;
    Ok(rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?)
}

async fn facets(asker: &mut Asker, tenant: Tenant, filter: &PluginFilter) -> Result<Facets, CatalogError> {
    let mut look = look(filter);
    let mut found = count(asker, tenant, filter, look).await?;
    if look == Look::Words && found.total == 0 && has_trigrams(asker).await? {
        look = Look::Similar;
        found = count(asker, tenant, filter, look).await?;
    }
    Ok(found)
}

async fn count(asker: &mut Asker, tenant: Tenant, filter: &PluginFilter, look: Look) -> Result<Facets, CatalogError> {
    let mut facets = Facets {
        total: 0,
        categories: Vec::new(),
        statuses: Vec::new(),
        environments: Vec::new(),
        owners: Vec::new(),
        tags: Vec::new(),
        keywords: Vec::new(),
    };
    for row in asker.ask(&facets_question(tenant, filter, look)).await? {
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
