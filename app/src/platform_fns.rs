//! What the pages of the platform are made from. The server alone renders them, so these are no server functions: no
//! address leads to them but the pages' own.

use crate::{
    AppError,
    server_fns::{asking, form, told},
};
use control::{Actor, ControlPlane, PluginFilter, PluginQuery};
use domain::{
    Permission, Timestamp,
    view::{
        BulkReport, BulkStatus, FacetValue, Facets, OperationRow, PluginDependencies, PluginDetails, PluginsPage,
        TenantView,
    },
};
use serde::{Deserialize, Serialize};

/// Parameters of the pages that are no condition.
const OURS: [&str; 17] = [
    "cluster",
    "database",
    "range",
    "from",
    "to",
    "compare",
    "view",
    "begins",
    "error",
    "done",
    "graph",
    "for",
    "operation",
    "mode",
    "plugin",
    "all",
    "tags",
];
/// Most plugins of one operation.
pub const MOST_CHOSEN: u32 = 100_000;

/// Whose plugins they are and what the reader may do with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whose {
    /// The tenant.
    pub tenant: TenantView,
    /// The reader chose it, and may choose another.
    pub chosen: bool,
    /// The reader may change plugins.
    pub may_manage: bool,
}

/// The list, or what stands in its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PluginsData {
    /// The platform cannot be worked with: why, and what mends it.
    Missing(String, Vec<String>),
    /// The reader belongs to no tenant and has chosen none.
    Choose(Vec<TenantView>, String),
    /// The list.
    Page(Box<Listed>),
}

/// A page of plugins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Whose.
    pub whose: Whose,
    /// The rows.
    pub page: PluginsPage,
    /// Counts: of each kind without its own conditions, so that alternatives are seen.
    pub facets: Facets,
    /// The address's parameters.
    pub pairs: Vec<(String, String)>,
    /// Now.
    pub now: Timestamp,
}

/// One plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detailed {
    /// Whose.
    pub whose: Whose,
    /// The plugin.
    pub details: PluginDetails,
    /// What it needs, what needs it, what an update would do.
    pub dependencies: PluginDependencies,
    /// What was done with it.
    pub operations: Vec<OperationRow>,
    /// Where older ones begin.
    pub next_cursor: Option<String>,
    /// What needs it is shown, rather than what it needs.
    pub reverse: bool,
    /// For which versions the plan is made.
    pub range: String,
    /// Stands for carrying out this plan, however often its form is sent.
    pub key: String,
    /// Now.
    pub now: Timestamp,
}

/// What an operation on many would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Previewed {
    /// Whose.
    pub whose: Whose,
    /// The plan, or why there is none.
    pub plan: Result<BulkReport, String>,
    /// install, enable, …
    pub operation: String,
    /// How many plugins.
    pub count: usize,
    /// Which plugins, as [`write_ids`] has them.
    pub plugins: String,
    /// The parameters by which they were chosen: each by its id, or all of some conditions.
    pub chosen: Vec<(String, String)>,
    /// There were more, which are left out.
    pub more: bool,
    /// Tags to add and, with a minus in front, to remove.
    pub tags: String,
    /// Stands for this one operation, however often its form is sent.
    pub key: String,
}

/// How an operation stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Followed {
    /// Whose.
    pub whose: Whose,
    /// The operation.
    pub status: BulkStatus,
}

fn value(pairs: &[(String, String)], name: &str) -> String {
    pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.trim().to_owned()).unwrap_or_default()
}

pub(crate) async fn whose(control: &ControlPlane, actor: &Actor, tenant: Option<&str>) -> Result<Whose, AppError> {
    Ok(Whose {
        tenant: told(control.tenant_get(actor, tenant).await)?,
        chosen: actor.may(Permission::TenantChoose),
        may_manage: actor.may(Permission::PlatformManage),
    })
}

/// The list by the page's own address.
pub async fn load_plugins(search: String) -> Result<PluginsData, AppError> {
    let (control, actor) = asking()?;
    let state = told(control.platform_state(&actor))?;
    if let Some(message) = state.message() {
        return Ok(PluginsData::Missing(message, state.cure()));
    }
    let pairs = form(&search);
    let query = told(PluginQuery::read(&pairs, &OURS))?;
    if query.tenant.is_none() && actor.may(Permission::TenantChoose) {
        let begins = value(&pairs, "begins");
        return Ok(PluginsData::Choose(told(control.tenants_list(&actor, &begins).await)?, begins));
    }
    let page = told(control.plugins_list(&actor, &query).await)?;
    Ok(PluginsData::Page(Box::new(Listed {
        whose: whose(&control, &actor, query.tenant.as_deref()).await?,
        facets: facets(&control, &actor, &query).await?,
        page: page.as_ref().clone(),
        pairs,
        now: control::now(),
    })))
}

/// A kind of facet: whether it is conditioned, without its condition, its counts.
type Kind = (fn(&mut PluginFilter) -> &mut Vec<String>, fn(&mut Facets) -> &mut Vec<FacetValue>);

async fn facets(control: &ControlPlane, actor: &Actor, query: &PluginQuery) -> Result<Facets, AppError> {
    const KINDS: [Kind; 4] = [
        (|it| &mut it.categories, |it| &mut it.categories),
        (|it| &mut it.statuses, |it| &mut it.statuses),
        (|it| &mut it.environments, |it| &mut it.environments),
        (|it| &mut it.owners, |it| &mut it.owners),
    ];
    let mut found = told(control.plugins_facets(actor, query).await)?.as_ref().clone();
    for (conditions, counts) in KINDS {
        let mut wider = query.clone();
        if std::mem::take(conditions(&mut wider.filter)).is_empty() {
            continue;
        }
        let mut other = told(control.plugins_facets(actor, &wider).await)?.as_ref().clone();
        *counts(&mut found) = std::mem::take(counts(&mut other));
    }
    Ok(found)
}

/// One plugin by the page's own address.
pub async fn load_plugin(id: String, search: String) -> Result<Detailed, AppError> {
    let (control, actor) = asking()?;
    let pairs = form(&search);
    let tenant = Some(value(&pairs, "tenant")).filter(|text| !text.is_empty());
    let tenant = tenant.as_deref();
    let details = told(control.plugin_get(&actor, tenant, &id).await)?;
    let range = value(&pairs, "for");
    let asked = Some(range.as_str()).filter(|range| !range.is_empty());
    let dependencies = told(control.plugin_dependencies(&actor, tenant, &id, asked).await)?;
    let cursor = Some(value(&pairs, "cursor")).filter(|text| !text.is_empty());
    let (operations, next_cursor) = told(control.plugin_operations(&actor, tenant, &id, cursor.as_deref(), 20).await)?;
    Ok(Detailed {
        whose: whose(&control, &actor, tenant).await?,
        details: details.as_ref().clone(),
        dependencies,
        operations,
        next_cursor,
        reverse: value(&pairs, "graph") == "needed-by",
        range,
        key: told(auth::new_secret().map_err(control::ControlError::Auth))?,
        now: control::now(),
    })
}

/// What an operation would do, by the page's own address: `plugin` repeated, or `all` with the list's conditions.
pub async fn load_preview(search: String) -> Result<Previewed, AppError> {
    use control::{BulkRequest, ControlError};
    let (control, actor) = asking()?;
    let pairs = form(&search);
    let query = told(PluginQuery::read(&pairs, &OURS))?;
    let tenant = query.tenant.as_deref();
    let operation = value(&pairs, "operation");
    let tags = value(&pairs, "tags");
    let mut plugins = pairs
        .iter()
        .filter(|pair| pair.0 == "plugin")
        .filter_map(|pair| pair.1.parse::<i64>().ok())
        .collect::<std::collections::BTreeSet<_>>();
    let mut more = false;
    let all = value(&pairs, "all") == "on";
    let of_choice = |name: &str| if all { name == "all" || !OURS.contains(&name) } else { name == "plugin" };
    let chosen = pairs.iter().filter(|(name, value)| name != "tenant" && !value.is_empty() && of_choice(name));
    let chosen = chosen.cloned().collect();
    if all {
        let found = told(control.plugins_matching(&actor, tenant, &query.filter, MOST_CHOSEN + 1).await)?;
        more = found.len() > MOST_CHOSEN as usize;
        plugins = found.into_iter().take(MOST_CHOSEN as usize).collect();
    }
    let whose = whose(&control, &actor, tenant).await?;
    let (count, ids) = (plugins.len(), write_ids(&plugins));
    let plan = if operation == "tag" && tags.is_empty() {
        // The page asks for them.
        Err(String::new())
    } else {
        match operation.parse::<control::BulkOperation>() {
            Ok(operation) => {
                let (add_tags, remove_tags) = read_tags(&tags);
                let mode = control::BulkMode::Each;
                let versions = std::collections::BTreeMap::new();
                let request = BulkRequest { operation, mode, plugins, add_tags, remove_tags, versions };
                match control.plugin_bulk_plan(&actor, tenant, &request).await {
                    Ok(plan) => Ok(plan),
                    Err(ControlError::Invalid { message, .. }) => Err(message),
                    Err(error) => return told(Err(error)),
                }
            }
            Err(error) => Err(ControlError::from(error).to_string()),
        }
    };
    let key = told(auth::new_secret().map_err(ControlError::Auth))?;
    Ok(Previewed { whose, plan, operation, count, plugins: ids, chosen, more, tags, key })
}

/// Ids in a form's field: each as its distance from the one before, so that a hundred thousand have room in a body of one
/// mebibyte. A comma would be three bytes there; a full stop is one.
pub fn write_ids(ids: &std::collections::BTreeSet<i64>) -> String {
    let mut before = 0;
    let mut text = String::new();
    for id in ids {
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&(id - before).to_string());
        before = *id;
    }
    text
}

/// What [`write_ids`] wrote, or ids with commas between them; in the order in which they stand there.
pub fn read_ids(text: &str) -> Option<Vec<i64>> {
    if text.contains(',') {
        return text.split(',').map(str::trim).filter(|id| !id.is_empty()).map(|id| id.parse().ok()).collect();
    }
    let mut before = 0_i64;
    let distances = text.split('.').map(str::trim).filter(|one| !one.is_empty());
    distances
        .map(|one| {
            before = before.checked_add(one.parse().ok()?)?;
            Some(before)
        })
        .collect()
}

/// `new -old` in words: what is added and what is removed.
pub fn read_tags(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut add, mut remove) = (Vec::new(), Vec::new());
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        match word.strip_prefix('-') {
            Some(word) => remove.push(word.to_owned()),
            None => add.push(word.trim_start_matches('+').to_owned()),
        }
    }
    (add, remove)
}

/// How an operation stands.
pub async fn load_bulk(key: String, search: String) -> Result<Followed, AppError> {
    let (control, actor) = asking()?;
    let tenant = Some(value(&form(&search), "tenant")).filter(|text| !text.is_empty());
    let status = told(control.plugin_bulk_get(&actor, tenant.as_deref(), &key).await)?;
    Ok(Followed { whose: whose(&control, &actor, tenant.as_deref()).await?, status })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_ids_have_room_in_a_form() {
        // As far apart as those of one of a thousand tenants.
        let ids = (0..100_000_i64).map(|n| n * 1_000 + n % 7).collect::<std::collections::BTreeSet<_>>();
        let text = write_ids(&ids);
        assert!(text.len() < 600_000, "{}", text.len());
        assert_eq!(read_ids(&text).unwrap(), ids.into_iter().collect::<Vec<_>>());
        assert_eq!(read_ids("7, 3,12"), Some(vec![7, 3, 12]));
        assert_eq!((read_ids("7"), read_ids(""), read_ids("7.x")), (Some(vec![7]), Some(vec![]), None));
        assert_eq!(read_ids("9223372036854775807.1"), None);
    }
}
