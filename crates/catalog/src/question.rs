//! The questions of discovery in SQL: what rows, in which order, read as few as can be.
use crate::{CatalogError, PluginFilter, Sort, Tenant, marks::marks};
use domain::view::Plugin;
use pool::Question;

/// From which similarity of words on a name is taken for a mistyped one.
const SIMILAR: f32 = 0.3;
/// The column of the default order.
const HEALTH: &str = "health_score";
const NAME: &str = "name";
/// In milliseconds. Not `extract`, which computes in decimals: that takes 0.02 ms longer for a page.
const CREATED: &str = "(date_part('epoch', created_at) * 1000)::int8";
const UPDATED: &str = "(date_part('epoch', updated_at) * 1000)::int8";
const COLUMNS: &str = "id, name, display_name, description, category, status, environment, owner, keywords, tags, is_installed, is_enabled, installed_version, health_score, cpu_usage, memory_usage";

pub(crate) fn columns() -> String {
    format!("{COLUMNS}, {CREATED} AS created_ms, {UPDATED} AS updated_ms")
}

/// The same as values of a sheet ([`Question::sheet`]), where none may be NULL.
const LISTED: [&str; 18] = [
    "id",
    "name",
    "display_name",
    "description",
    "category",
    "status",
    "environment",
    "owner",
    "coalesce(keywords, '{}')",
    "coalesce(tags, '{}')",
    "is_installed",
    "is_enabled",
    "coalesce('=' || installed_version, '')",
    "health_score",
    "cpu_usage",
    "memory_usage",
    CREATED,
    UPDATED,
];

/// How the text is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Nothing,
    Words,
    Similar,
}

/// Where a page begins: after the row with this key and id.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) similar: bool,
    pub(crate) id: i64,
    pub(crate) key: String,
}

impl Cursor {
    pub(crate) fn parse(text: &str) -> Result<Self, CatalogError> {
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

    pub(crate) fn text(&self) -> String {
        format!("{}.{}.{}", if self.similar { 's' } else { 'w' }, self.id, self.key)
    }
}

/// What a page is sorted by.
pub(crate) struct Order {
    key: &'static str,
    /// Its type, for the cursor.
    kind: &'static str,
    /// The largest first.
    down: bool,
}

impl Order {
    pub(crate) fn of(sort: Sort, look: Look) -> Self {
        let (key, kind, down) = match (sort, look) {
            (Sort::Relevance, Look::Words) => ("rank", "float4", true),
            (_, Look::Similar) => ("rank", "float4", true),
            (Sort::HealthDown | Sort::Relevance, _) => (HEALTH, "int2", true),
            (Sort::HealthUp, _) => (HEALTH, "int2", false),
            (Sort::Name, _) => (NAME, "text", false),
            (Sort::UpdatedDown, _) => ("updated_at", "timestamptz", true),
        };
        Self { key, kind, down }
    }

    /// The key of a plugin, where that is shown of it anyway; in other orders it is a column of its own, the last.
    pub(crate) fn shown(&self, plugin: &Plugin) -> Option<String> {
        match self.key {
            HEALTH => Some(plugin.health_score.to_string()),
            NAME => Some(plugin.name.clone()),
            _ => None,
        }
    }

    fn push(&self, sql: &mut Question) {
        let direction = if self.down { "DESC" } else { "ASC" };
        sql.push(format!(" ORDER BY {key} {direction}, id {direction}", key = self.key));
    }

    /// Only what comes after the cursor.
    fn push_after(&self, sql: &mut Question, after: &Cursor) {
        let than = if self.down { '<' } else { '>' };
        sql.push(format!("({}, id) {than} (", self.key)).push_bind(after.key.clone());
        sql.push(format!("::text::{}, ", self.kind)).push_bind(after.id).push(")");
    }
}

/// Which rows of an order.
#[derive(Clone, Copy)]
struct Page<'a> {
    order: &'a Order,
    after: Option<&'a Cursor>,
    rows: u32,
}

/// One page, and a row more when there is a next: for [`Asker::sheet`](pool::Asker::sheet).
pub(crate) fn page_question(
    tenant: Tenant,
    filter: &PluginFilter,
    sort: Sort,
    look: Look,
    after: Option<&Cursor>,
    limit: u32,
) -> Question {
    let order = Order::of(sort, look);
    let mut columns = LISTED.to_vec();
    match order.key {
        HEALTH | NAME => {}
        // A time is written with all its digits, so that the cursor is the row's own value.
        "updated_at" => columns.push("to_json(updated_at) #>> '{}'"),
        _ => columns.push("rank"),
    }
    Question::sheet(&columns, |sql| push_page(sql, &order, (tenant, filter, look), after, limit + 1))
}

fn push_page(
    sql: &mut Question,
    order: &Order,
    (tenant, filter, look): (Tenant, &PluginFilter, Look),
    after: Option<&Cursor>,
    rows: u32,
) {
    sql.push(format!("SELECT {COLUMNS}, created_at, updated_at, rank FROM (SELECT p.*, "));
    match look {
        Look::Words => {
            // In a question of its own it is read once, and not once a row.
            sql.push("ts_rank(search, (SELECT ").push_bind(filter.tsquery().unwrap_or_default()).push("::tsquery))");
        }
        Look::Similar => {
            push_similarity(sql, filter);
        }
        Look::Nothing => {
            sql.push("0::float4");
        }
    }
    sql.push(" AS rank FROM ");
    let by_health = (order.key == HEALTH).then_some(Page { order, after, rows });
    let mut after = after;
    if found(sql, tenant, filter, look, by_health) {
        after = None;
    }
    if look == Look::Similar {
        // Once a row: OFFSET keeps it from being computed for the condition and again for the order.
        sql.push(" OFFSET 0) AS p WHERE rank >= ").push_bind(SIMILAR);
        after.iter().for_each(|after| order.push_after(sql.push(" AND "), after));
    } else {
        sql.push(") AS p");
        after.iter().for_each(|after| order.push_after(sql.push(" WHERE "), after));
    }
    order.push(sql);
    sql.push(format!(" LIMIT {rows}"));
}

fn push_similarity(sql: &mut Question, filter: &PluginFilter) {
    sql.push("word_similarity(").push_bind(filter.query.clone().unwrap_or_default());
    sql.push(", name || ' ' || display_name)");
}

/// What stands after FROM, and the conditions, for the rows `p` that the filter lets through; in a search for similar words
/// what is similar enough is left to the caller. `true` when the order by health and its cursor are in it already.
///
/// Where the filter leaves out much, the rows are first chosen from the index with the marks alone, and only those are read
/// (docs/adr/0059-marks.md): rows of one tenant lie far apart. What the marks only suspect, the row is asked. LIMIT or OFFSET
/// keeps the two steps apart: 18 would make them one.
///
/// The tenant stands there too, though the policy asks for it in any case: it is what the planner counts rows by.
fn found(sql: &mut Question, tenant: Tenant, filter: &PluginFilter, look: Look, by_health: Option<Page<'_>>) -> bool {
    let marks = marks(filter, look);
    let few = marks.is_some() || !filter.owners.is_empty();
    if !few && (by_health.is_none() || !filter.is_narrow()) {
        sql.push("plugins AS p WHERE tenant_id = ").push_bind(tenant.0);
        in_index(sql, filter);
        in_row(sql, filter, look);
        return false;
    }
    sql.push("(SELECT id AS chosen, health_score AS chosen_health FROM plugins WHERE tenant_id = ").push_bind(tenant.0);
    if let Some(marks) = marks {
        // The other way round, `marks | $n = marks`, the marks of each entry are unpacked twice.
        sql.push(" AND marks & ").push_bind(marks).push(" = ").push_last();
    }
    in_index(sql, filter);
    let row_decides = look == Look::Words || !filter.tags.is_empty() || !filter.keywords.is_empty();
    match by_health {
        Some(page) => {
            page.after.iter().for_each(|after| page.order.push_after(sql.push(" AND "), after));
            page.order.push(sql);
            // Where all that are chosen are shown, the planner is told how few that is: it would read all rows of the tenant.
            sql.push(if row_decides { " OFFSET 0".to_owned() } else { format!(" LIMIT {}", page.rows) });
        }
        None => {
            sql.push(" OFFSET 0");
        }
    }
    // The equal health tells the planner that the order of the first step is the order of the page.
    sql.push(") AS c JOIN plugins AS p ON p.id = chosen AND health_score = chosen_health WHERE tenant_id = ");
    sql.push_bind(tenant.0);
    in_row(sql, filter, look);
    by_health.is_some()
}

/// Conditions that an index with the marks answers.
fn in_index(sql: &mut Question, filter: &PluginFilter) {
    for (column, values) in [
        ("category", &filter.categories),
        ("status", &filter.statuses),
        ("environment", &filter.environments),
        ("owner", &filter.owners),
    ] {
        match values.as_slice() {
            [] => {}
            // A list is taken apart anew for each entry of the index: a tenth of all that a page of a thousand plugins costs.
            [one] => {
                sql.push(format!(" AND {column} = ")).push_bind(one.clone());
            }
            _ => {
                sql.push(format!(" AND {column} = ANY(")).push_bind(values.clone()).push(")");
            }
        }
    }
    for (condition, value) in [("health_score >= ", filter.health_min), ("health_score <= ", filter.health_max)] {
        if let Some(value) = value {
            sql.push(" AND ").push(condition).push_bind(value);
        }
    }
    for (condition, value) in [("is_installed = ", filter.installed), ("is_enabled = ", filter.enabled)] {
        if let Some(value) = value {
            sql.push(" AND ").push(condition).push_bind(value);
        }
    }
}

/// Conditions that only the row answers.
fn in_row(sql: &mut Question, filter: &PluginFilter, look: Look) {
    for (column, values) in [("tags", &filter.tags), ("keywords", &filter.keywords)] {
        if !values.is_empty() {
            sql.push(format!(" AND {column} @> ")).push_bind(values.clone());
        }
    }
    if look == Look::Words {
        sql.push(" AND search @@ (SELECT ").push_bind(filter.tsquery().unwrap_or_default()).push("::tsquery)");
    }
}

/// The ids of the plugins that a filter finds by words, the smallest first.
pub(crate) fn ids_question(tenant: Tenant, filter: &PluginFilter, most: u32) -> Question {
    let mut sql = Question::new("SELECT id FROM ");
    found(&mut sql, tenant, filter, look(filter), None);
    sql.push(" ORDER BY id LIMIT ").push_bind(i64::from(most));
    sql
}

/// How the plugins that the filter lets through divide.
pub(crate) fn facets_question(tenant: Tenant, filter: &PluginFilter, look: Look) -> Question {
    let mut sql =
        Question::new("WITH found AS MATERIALIZED (SELECT category, status, environment, owner, tags, keywords FROM ");
    found(&mut sql, tenant, filter, look, None);
    if look == Look::Similar {
        sql.push(" AND ");
        push_similarity(&mut sql, filter);
        sql.push(" >= ").push_bind(SIMILAR);
    }
    sql.push(
        ") SELECT 'total' AS facet, NULL AS value, count(*) AS n FROM found
        UNION ALL SELECT CASE WHEN grouping(category) = 0 THEN 'category' WHEN grouping(status) = 0 THEN 'status' WHEN grouping(environment) = 0 THEN 'environment' ELSE 'owner' END,
            coalesce(category, status, environment, owner), count(*) FROM found GROUP BY GROUPING SETS (category, status, environment, owner)
        UNION ALL (SELECT 'tag', t, count(*) FROM found, unnest(tags) t WHERE t IS NOT NULL GROUP BY t ORDER BY 3 DESC, 2 LIMIT 20)
        UNION ALL (SELECT 'keyword', k, count(*) FROM found, unnest(keywords) k WHERE k IS NOT NULL GROUP BY k ORDER BY 3 DESC, 2 LIMIT 20)
        ORDER BY n DESC, value",
    );
    sql
}

/// By words, when there are any.
pub(crate) fn look(filter: &PluginFilter) -> Look {
    if filter.tsquery().is_some() { Look::Words } else { Look::Nothing }
}
