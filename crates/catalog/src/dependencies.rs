//! What a plugin needs, what needs it, and where that goes in circles.
use crate::{Catalog, CatalogError, Tenant, details::need, error::said, versions::CURRENT_VERSION};
use domain::view::{DependencyGraph, GraphNode};
use pool::{Reader, Work};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

impl Catalog {
    /// Everything that a plugin needs, at the versions that are installed, else the newest; or, `reverse`, everything
    /// that needs it.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub async fn dependency_graph(
        &self,
        tenant: Tenant,
        id: i64,
        reverse: bool,
    ) -> Result<Arc<DependencyGraph>, CatalogError> {
        let session = self.cache.session(tenant);
        let load = async {
            self.pools
                .read_after(&tenant.scope(), &session, |reader: &mut Reader, _: Work<'_, '_>| {
                    Box::pin(async move { graph(reader.connection()?, id, reverse).await })
                })
                .await
                .map_err(said)
        };
        self.cache.get(tenant, "dependency_graph", &(id, reverse), load).await
    }
}

async fn graph(connection: &mut PgConnection, id: i64, reverse: bool) -> Result<DependencyGraph, CatalogError> {
    // UNION leaves out what was reached before, so that a circle ends.
    let step = if reverse {
        format!(
            "SELECT p.id FROM reached r JOIN plugin_dependencies d ON d.depends_on_id = r.id JOIN plugin_versions w ON w.id = d.plugin_version_id JOIN plugins p ON p.id = w.plugin_id CROSS JOIN LATERAL ({CURRENT_VERSION}) AS current WHERE current.id = d.plugin_version_id"
        )
    } else {
        format!(
            "SELECT d.depends_on_id FROM reached r JOIN plugins p ON p.id = r.id CROSS JOIN LATERAL ({CURRENT_VERSION}) AS current JOIN plugin_dependencies d ON d.plugin_version_id = current.id"
        )
    };
    let sql = format!(
        "WITH RECURSIVE reached AS (SELECT $1::int8 AS id UNION {step})
        SELECT p.id, p.name AS own_name, p.is_installed, current.version, d.depends_on_id, n.name, d.version_range, d.optional
        FROM reached r JOIN plugins p ON p.id = r.id LEFT JOIN LATERAL ({CURRENT_VERSION}) AS current ON true
        LEFT JOIN plugin_dependencies d ON d.plugin_version_id = current.id LEFT JOIN plugins n ON n.id = d.depends_on_id
        ORDER BY p.id, d.depends_on_id"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_all(connection).await?;
    let mut nodes = BTreeMap::<i64, GraphNode>::new();
    let mut missing = Vec::new();
    for row in &rows {
        let own: i64 = row.try_get("id")?;
        let name: String = row.try_get("own_name")?;
        let version: Option<String> = row.try_get("version")?;
        let installed = row.try_get("is_installed")?;
        let node = nodes.entry(own).or_insert_with(|| GraphNode {
            id: own.to_string(),
            name: name.clone(),
            version: version.clone(),
            installed,
            depth: 0,
            needs: Vec::new(),
        });
        if row.try_get::<Option<i64>, _>("depends_on_id")?.is_some() {
            let needed = need(row)?;
            if needed.name.is_none() && !needed.optional {
                missing.push(format!("{name} needs plugin {}, which is not there", needed.id));
            }
            node.needs.push(needed);
        }
    }
    if !nodes.contains_key(&id) {
        return Err(CatalogError::NotFound(id.to_string()));
    }
    let edges = nodes
        .iter()
        .map(|(own, node)| {
            let to = node.needs.iter().filter_map(|need| need.id.parse().ok()).filter(|to| nodes.contains_key(to));
            (*own, to.collect::<Vec<i64>>())
        })
        .collect::<BTreeMap<_, _>>();
    let depths = depths(id, &edges, reverse);
    let cycles = cycles(&edges)
        .into_iter()
        .map(|circle| circle.iter().filter_map(|id| nodes.get(id)).map(|node| node.name.clone()).collect())
        .collect();
    let mut nodes = nodes.into_iter().collect::<Vec<_>>();
    for (own, node) in &mut nodes {
        node.depth = depths.get(own).copied().unwrap_or(0);
    }
    nodes.sort_by(|a, b| (a.1.depth, &a.1.name).cmp(&(b.1.depth, &b.1.name)));
    Ok(DependencyGraph { nodes: nodes.into_iter().map(|(_, node)| node).collect(), cycles, missing })
}

/// Steps from `start`, along the edges or against them.
fn depths(start: i64, edges: &BTreeMap<i64, Vec<i64>>, reverse: bool) -> HashMap<i64, u32> {
    let mut against = HashMap::<i64, Vec<i64>>::new();
    for (from, to) in edges {
        for to in to {
            if reverse {
                against.entry(*to).or_default().push(*from);
            } else {
                against.entry(*from).or_default().push(*to);
            }
        }
    }
    let mut depths = HashMap::from([(start, 0)]);
    let mut queue = VecDeque::from([start]);
    while let Some(from) = queue.pop_front() {
        let depth = depths.get(&from).copied().unwrap_or(0) + 1;
        for to in against.get(&from).into_iter().flatten() {
            if let std::collections::hash_map::Entry::Vacant(entry) = depths.entry(*to) {
                entry.insert(depth);
                queue.push_back(*to);
            }
        }
    }
    depths
}

/// One circle for each strongly connected part, the smallest id first. Without recursion: a chain may be long.
pub(crate) fn cycles(edges: &BTreeMap<i64, Vec<i64>>) -> Vec<Vec<i64>> {
    let mut circles = Vec::new();
    for part in strong_parts(edges) {
        let inside = |id: &i64| part.binary_search(id).is_ok();
        let first = part[0];
        // The shortest way from the first back to itself, within the part.
        let mut from = HashMap::<i64, i64>::new();
        let mut queue = VecDeque::from([first]);
        'search: while let Some(at) = queue.pop_front() {
            for to in edges.get(&at).into_iter().flatten().filter(|to| inside(to)) {
                if *to == first {
                    let mut circle = vec![first];
                    let mut back = at;
                    while back != first {
                        circle.push(back);
                        back = from.get(&back).copied().unwrap_or(first);
                    }
                    circle.push(first);
                    circle.reverse();
                    circles.push(circle);
                    break 'search;
                }
                if !from.contains_key(to) {
                    from.insert(*to, at);
                    queue.push_back(*to);
                }
            }
        }
    }
    circles
}

/// Tarjan's algorithm with a stack of its own; parts of more than one, and those that need themselves, sorted.
fn strong_parts(edges: &BTreeMap<i64, Vec<i64>>) -> Vec<Vec<i64>> {
    let (mut index, mut low) = (HashMap::<i64, usize>::new(), HashMap::<i64, usize>::new());
    let (mut stack, mut on_stack) = (Vec::new(), std::collections::HashSet::new());
    let mut parts = Vec::new();
    for root in edges.keys() {
        if index.contains_key(root) {
            continue;
        }
        let mut work = vec![(*root, 0)];
        while let Some((at, next)) = work.pop() {
            if next == 0 {
                low.insert(at, index.len());
                index.insert(at, index.len());
                stack.push(at);
                on_stack.insert(at);
            }
            if let Some(to) = edges.get(&at).and_then(|to| to.get(next)) {
                work.push((at, next + 1));
                if !index.contains_key(to) {
                    work.push((*to, 0));
                } else if on_stack.contains(to) {
                    let lowest = low[&at].min(index[to]);
                    low.insert(at, lowest);
                }
                continue;
            }
            if low[&at] == index[&at] {
                let mut part = Vec::new();
                while let Some(one) = stack.pop() {
                    on_stack.remove(&one);
                    part.push(one);
                    if one == at {
                        break;
                    }
                }
                let itself = edges.get(&at).is_some_and(|to| to.contains(&at));
                if part.len() > 1 || itself {
                    part.sort_unstable();
                    parts.push(part);
                }
            }
            if let Some((before, _)) = work.last() {
                let lowest = low[before].min(low[&at]);
                low.insert(*before, lowest);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn circles_are_found_and_named() {
        let edges =
            BTreeMap::from([(1, vec![2]), (2, vec![3, 4]), (3, vec![1]), (4, vec![5]), (5, vec![5]), (6, vec![1])]);
        let mut found = cycles(&edges);
        found.sort();
        assert_eq!(found, [vec![1, 2, 3, 1], vec![5, 5]]);
        assert!(cycles(&BTreeMap::from([(1, vec![2, 3]), (2, vec![3]), (3, vec![])])).is_empty());
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let edges = (0..200_000).map(|n| (n, vec![n + 1])).collect::<BTreeMap<i64, _>>();
        assert!(cycles(&edges).is_empty());
    }

    proptest! {
        #[test]
        fn whoever_can_reach_itself_is_in_a_part(list in prop::collection::vec((0_i64..12, 0_i64..12), 0..40)) {
            let mut edges = BTreeMap::<i64, Vec<i64>>::new();
            for (from, to) in &list { edges.entry(*from).or_default().push(*to); edges.entry(*to).or_default(); }
            let parts = strong_parts(&edges).concat();
            for start in edges.keys() {
                let mut seen = std::collections::HashSet::new();
                let mut todo = edges[start].clone();
                while let Some(at) = todo.pop() { if seen.insert(at) { todo.extend(&edges[&at]); } }
                prop_assert_eq!(seen.contains(start), parts.contains(start), "{}", start);
            }
        }
    }
}
