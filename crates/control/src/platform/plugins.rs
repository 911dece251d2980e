//! Plugins of a tenant: found, looked at, added, changed, removed.
use crate::{Actor, Confirmation, ControlError, ControlPlane, FieldError, error::page_limit};
use catalog::{NewPlugin, PluginChange, PluginFilter, Sort, Wanted};
use domain::{
    Permission,
    view::{
        ChangePlan, DependencyGraph, Facets, OperationRow, Plugin, PluginDependencies, PluginDetails, PluginsPage,
        rows_of_page,
    },
};
use serde_json::{Value, json};
use std::sync::Arc;
use store::Outcome;

/// Rows of a page that names no number.
const ROWS: u32 = 50;
/// Most rows of a page.
const ROWS_AT_MOST: u64 = 200;

/// A question for plugins, as it stands in an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginQuery {
    /// Name or id of the tenant.
    pub tenant: Option<String>,
    /// Conditions.
    pub filter: PluginFilter,
    /// Order.
    pub sort: Sort,
    /// Where the page begins.
    pub cursor: Option<String>,
    /// Most rows.
    pub limit: u32,
}

impl PluginQuery {
    /// From the pairs of a query string. Lists are given by repeating a name. Names in `ignored` are somebody else's.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] names the parameter.
    pub fn read(pairs: &[(String, String)], ignored: &[&str]) -> Result<Self, ControlError> {
        let mut query = Self { limit: ROWS, ..Self::default() };
        let mut fields = Vec::new();
        for (name, value) in pairs {
            let value = value.trim();
            if value.is_empty() || ignored.contains(&name.as_str()) {
                continue;
            }
            if let Err(message) = query.set(name, value) {
                fields.push(FieldError { field: name.clone(), message });
            }
        }
        match fields.first() {
            None => Ok(query),
            Some(first) => Err(ControlError::Invalid { message: first.message.clone(), fields }),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let flag = |value: &str| match value {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(format!("{name} is true or false")),
        };
        let health = |value: &str| value.parse().map(Some).map_err(|_| format!("{name} is a number from 0 to 100"));
        let filter = &mut self.filter;
        match name {
            "tenant" => self.tenant = Some(value.to_owned()),
            "q" => filter.query = Some(value.to_owned()),
            "category" => filter.categories.push(value.to_owned()),
            "status" => filter.statuses.push(value.to_owned()),
            "environment" => filter.environments.push(value.to_owned()),
            "owner" => filter.owners.push(value.to_owned()),
            "tag" => filter.tags.push(value.to_owned()),
            "keyword" => filter.keywords.push(value.to_owned()),
            "health_min" => filter.health_min = health(value)?,
            "health_max" => filter.health_max = health(value)?,
            "installed" => filter.installed = flag(value)?,
            "enabled" => filter.enabled = flag(value)?,
            "sort" => self.sort = value.parse().map_err(|error: catalog::CatalogError| error.to_string())?,
            "cursor" => self.cursor = Some(value.to_owned()),
            "limit" => {
                self.limit = value.parse().map_err(|_| "limit is the rows of a page, a number")?;
                rows_of_page(u64::from(self.limit), ROWS_AT_MOST)?;
            }
            _ => {
                return Err(format!(
                    "'{name}' is not a parameter; there are tenant, q, category, status, environment, owner, tag, keyword, health_min, health_max, installed, enabled, sort, cursor, limit"
                ));
            }
        }
        Ok(())
    }
}

/// An id from an address; what is none belongs to no plugin.
pub(super) fn plugin_id(text: &str) -> Result<i64, ControlError> {
    text.parse().map_err(|_| ControlError::not_found("plugin", text, ""))
}

impl ControlPlane {
    /// A page of plugins.
    ///
    /// # Errors
    /// Those of [`Self::platform_for`]; [`ControlError::Invalid`] by field.
    pub async fn plugins_list(&self, actor: &Actor, query: &PluginQuery) -> Result<Arc<PluginsPage>, ControlError> {
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, query.tenant.as_deref()).await?;
        Ok(catalog.plugins(tenant, &query.filter, query.sort, query.cursor.as_deref(), query.limit).await?)
    }

    /// How the plugins that a question finds divide.
    ///
    /// # Errors
    /// As [`Self::plugins_list`].
    pub async fn plugins_facets(&self, actor: &Actor, query: &PluginQuery) -> Result<Arc<Facets>, ControlError> {
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, query.tenant.as_deref()).await?;
        Ok(catalog.facets(tenant, &query.filter).await?)
    }

    /// Everything about one plugin.
    ///
    /// # Errors
    /// As [`Self::plugins_list`]; not found, also for another tenant's.
    pub async fn plugin_get(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        id: &str,
    ) -> Result<Arc<PluginDetails>, ControlError> {
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, tenant).await?;
        Ok(catalog.plugin(tenant, plugin_id(id)?).await?)
    }

    /// What was done with a plugin, the newest first, and where the next page begins.
    ///
    /// # Errors
    /// As [`Self::plugin_get`].
    pub async fn plugin_operations(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        id: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<OperationRow>, Option<String>), ControlError> {
        self.may_ask_platform(actor, Permission::PlatformRead)?;
        page_limit(u64::from(limit), ROWS_AT_MOST)?;
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, tenant).await?;
        let id = plugin_id(id)?;
        let before = cursor
            .map(|text| {
                text.parse()
                    .map_err(|_| ControlError::field("cursor", "take the cursor from 'next_cursor' of the page before"))
            })
            .transpose()?;
        // Whether it is there is asked too: an empty list would say so of another tenant's.
        catalog.plugin(tenant, id).await?;
        let rows = catalog.operations(tenant, id, before, limit).await?;
        let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.id.clone());
        Ok((rows, next))
    }

    /// What a plugin needs, what needs it, and what installing or upgrading it to `range` would change.
    ///
    /// # Errors
    /// As [`Self::plugin_get`]; [`ControlError::Invalid`] for a wrong range.
    pub async fn plugin_dependencies(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        id: &str,
        range: Option<&str>,
    ) -> Result<PluginDependencies, ControlError> {
        let (catalog, tenant) = self.platform_for(actor, Permission::PlatformRead, tenant).await?;
        let id = plugin_id(id)?;
        let range = range.map(str::trim).filter(|range| !range.is_empty()).map(str::to_owned);
        let needs = catalog.dependency_graph(tenant, id, false).await?;
        let needed_by = catalog.dependency_graph(tenant, id, true).await?;
        let plan = catalog.plan_change(tenant, &[Wanted { id, range }]).await?;
        Ok(dependencies(&needs, &needed_by, plan))
    }

    /// Adds a plugin.
    ///
    /// # Errors
    /// As [`Self::plugins_list`]; [`ControlError::Platform`] when the name is taken.
    pub async fn plugin_create(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        new: &NewPlugin,
    ) -> Result<PluginDetails, ControlError> {
        let object = ("plugin", new.name.as_str());
        let (catalog, tenant) = self.platform_to_change(actor, tenant, "plugin_create", object).await?;
        let asked = json!({ "tenant": tenant.0, "plugin": new });
        self.audit_outcome(actor, "plugin_create_asked", object, Outcome::Ok, Some(asked)).await?;
        let done = catalog.plugin_create(tenant, &by(actor), new).await;
        let told = done.as_ref().map(|it| json!({ "tenant": tenant.0, "plugin": it.plugin }));
        self.platform_told(actor, "plugin_create", object, told).await?;
        Ok(done?)
    }

    /// Changes a plugin.
    ///
    /// # Errors
    /// As [`Self::plugin_get`]; [`ControlError::Platform`] when it was changed since it was read.
    pub async fn plugin_change(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        id: &str,
        change: &PluginChange,
    ) -> Result<PluginDetails, ControlError> {
        let object = ("plugin", id);
        let (catalog, tenant) = self.platform_to_change(actor, tenant, "plugin_change", object).await?;
        let number = plugin_id(id)?;
        let asked = json!({ "tenant": tenant.0, "change": change });
        self.audit_outcome(actor, "plugin_change_asked", object, Outcome::Ok, Some(asked)).await?;
        let done = catalog.plugin_change(tenant, &by(actor), number, change).await;
        let told =
            done.as_ref().map(|(before, after)| json!({ "tenant": tenant.0, "before": before, "after": after.plugin }));
        self.platform_told(actor, "plugin_change", object, told).await?;
        Ok(done?.1)
    }

    /// Removes a plugin; what it was. Its name, typed, and the password confirm it.
    ///
    /// # Errors
    /// As [`Self::plugin_get`], and what is not confirmed; [`ControlError::Platform`] when another one needs it.
    pub async fn plugin_delete(
        &self,
        actor: &Actor,
        tenant: Option<&str>,
        id: &str,
        confirmation: &Confirmation,
    ) -> Result<Plugin, ControlError> {
        let object = ("plugin", id);
        let (catalog, tenant) = self.platform_to_change(actor, tenant, "plugin_delete", object).await?;
        let number = plugin_id(id)?;
        let name = catalog.plugin(tenant, number).await?.plugin.name.clone();
        self.confirm(actor, "plugin_delete", object, &name, confirmation).await?;
        let asked = json!({ "tenant": tenant.0 });
        self.audit_outcome(actor, "plugin_delete_asked", object, Outcome::Ok, Some(asked)).await?;
        let done = catalog.plugin_delete(tenant, &by(actor), number).await;
        let told = done.as_ref().map(|before| json!({ "tenant": tenant.0, "before": before }));
        self.platform_told(actor, "plugin_delete", object, told).await?;
        Ok(done?)
    }

    /// Writes down what became of a change in the platform's database. That database has its own row in the transaction of
    /// the change; the two databases share none, so here the intention was written before it, and the outcome after.
    pub(super) async fn platform_told(
        &self,
        actor: &Actor,
        action: &str,
        object: (&str, &str),
        done: Result<Value, &catalog::CatalogError>,
    ) -> Result<(), ControlError> {
        use domain::ErrorKind as K;
        let (outcome, detail) = match done {
            Ok(detail) => (Outcome::Ok, detail),
            Err(error) => {
                let refused = matches!(error.kind(), K::Invalid | K::NotFound | K::Conflict | K::Forbidden);
                let outcome = if refused { Outcome::Refused } else { Outcome::Failed };
                (outcome, json!({ "reason": error.to_string() }))
            }
        };
        self.audit_outcome(actor, action, object, outcome, Some(detail)).await
    }
}

/// Who it is written down as in the platform's database.
pub(super) fn by(actor: &Actor) -> String {
    actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default()
}

fn dependencies(needs: &DependencyGraph, needed_by: &DependencyGraph, plan: ChangePlan) -> PluginDependencies {
    PluginDependencies { needs: needs.clone(), needed_by: needed_by.clone(), plan }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PluginQuery, ControlError> {
        let pairs = text
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>();
        PluginQuery::read(&pairs, &["view"])
    }

    #[test]
    fn lists_are_given_by_repeating_and_what_is_wrong_is_named() {
        let query =
            read("category=docs&category=cost&health_min=40&installed=true&sort=name&view=x&q=&limit=20").unwrap();
        assert_eq!(query.filter.categories, ["docs", "cost"]);
        assert_eq!((query.filter.health_min, query.filter.installed, query.limit), (Some(40), Some(true), 20));
        assert_eq!((query.sort, query.filter.query), (Sort::Name, None));
        for (text, field) in [
            ("colour=red", "colour"),
            ("limit=0", "limit"),
            ("health_max=much", "health_max"),
            ("sort=size", "sort"),
            ("enabled=1", "enabled"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.fields()[0].field, field, "{error}");
        }
    }
}
