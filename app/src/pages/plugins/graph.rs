//! What a plugin needs, or what needs it, drawn in columns by distance: an SVG of the server's, with a link in each node.

use domain::{format, view::DependencyGraph};
use leptos::prelude::*;
use std::collections::{BTreeMap, HashMap};

const WIDTH: i32 = 168;
const HEIGHT: i32 = 40;
const COLUMN: i32 = WIDTH + 64;
const ROW: i32 = HEIGHT + 14;
const EDGE: i32 = 12;
/// Nodes drawn; the nearest come first. The table below the picture has all of them.
const MOST: usize = 60;
/// Characters of a name that fit.
const NAME: usize = 22;

/// Nodes in their order, the place of each, width and height.
type Places<'a> = (Vec<usize>, HashMap<&'a str, (i32, i32)>, i32, i32);

/// Where each node stands: column by distance, rows so that few lines cross.
fn places(graph: &DependencyGraph, reverse: bool) -> Places<'_> {
    let shown = (0..graph.nodes.len().min(MOST)).collect::<Vec<_>>();
    let mut columns = BTreeMap::<u32, Vec<usize>>::new();
    for i in &shown {
        columns.entry(graph.nodes[*i].depth).or_default().push(*i);
    }
    let mut rows = HashMap::<&str, f64>::new();
    let tallest = columns.values().map(Vec::len).max().unwrap_or(1);
    let mut at = HashMap::new();
    for (column, nodes) in &columns {
        // Beside the middle of what it hangs on.
        let middle = |i: &usize| {
            let node = &graph.nodes[*i];
            let beside = if reverse {
                node.needs.iter().filter_map(|need| rows.get(need.id.as_str())).copied().collect::<Vec<_>>()
            } else {
                let needs_it = |other: &&domain::view::GraphNode| other.needs.iter().any(|need| need.id == node.id);
                let before = graph.nodes.iter().filter(|other| other.depth < node.depth).filter(needs_it);
                before.filter_map(|other| rows.get(other.id.as_str())).copied().collect()
            };
            beside.iter().sum::<f64>() / beside.len().max(1) as f64
        };
        let mut order = nodes.iter().map(|i| (middle(i), *i)).collect::<Vec<_>>();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let first = (tallest - order.len()) as f64 / 2.0;
        for (n, (_, i)) in order.iter().enumerate() {
            let row = first + n as f64;
            rows.insert(graph.nodes[*i].id.as_str(), row);
            let x = EDGE + i32::try_from(*column).unwrap_or(0) * COLUMN;
            at.insert(graph.nodes[*i].id.as_str(), (x, EDGE + (row * f64::from(ROW)) as i32));
        }
    }
    let last = columns.keys().max().copied().unwrap_or(0);
    let width = 2 * EDGE + i32::try_from(last).unwrap_or(0) * COLUMN + WIDTH;
    let height = 2 * EDGE + i32::try_from(tallest).unwrap_or(1) * ROW - (ROW - HEIGHT);
    (shown, at, width, height)
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let cut = text.chars().take(most - 1).collect::<String>();
    format!("{cut}…")
}

/// The picture. `address` leads to a plugin.
pub fn picture(graph: &DependencyGraph, reverse: bool, address: impl Fn(&str) -> String) -> AnyView {
    let (shown, at, width, height) = places(graph, reverse);
    let circle =
        |a: &str, b: &str| graph.cycles.iter().any(|names| names.windows(2).any(|pair| pair[0] == a && pair[1] == b));
    let mut lines = Vec::new();
    for i in &shown {
        let node = &graph.nodes[*i];
        let Some((x, y)) = at.get(node.id.as_str()) else { continue };
        for need in &node.needs {
            let Some((to_x, to_y)) = at.get(need.id.as_str()) else { continue };
            let back = need.name.as_deref().is_some_and(|name| circle(&node.name, name));
            // From the side that faces the other one.
            let (from, to) = if to_x >= x { (x + WIDTH, *to_x) } else { (*x, to_x + WIDTH) };
            let (from_y, to_y) = (y + HEIGHT / 2, to_y + HEIGHT / 2);
            let bend = (from + to) / 2;
            let class = match (back, need.optional) {
                (true, _) => "edge circle",
                (false, true) => "edge optional",
                (false, false) => "edge",
            };
            let title = format!(
                "{} needs {} {}{}",
                node.name,
                need.name.as_deref().unwrap_or("a plugin that is not there"),
                need.range,
                if need.optional { ", optional" } else { "" }
            );
            lines.push(view! { <path class=class d=format!("M{from} {from_y}C{bend} {from_y} {bend} {to_y} {to} {to_y}")><title>{title}</title></path> }.into_any());
        }
    }
    let nodes = shown
        .iter()
        .filter_map(|i| {
            let node = &graph.nodes[*i];
            let (x, y) = at.get(node.id.as_str()).copied()?;
            let class = match (node.depth, node.installed) {
                (0, _) => "node own",
                (_, true) => "node",
                (_, false) => "node absent",
            };
            let version = match (&node.version, node.installed) {
                (Some(version), true) => version.clone(),
                (Some(version), false) => format!("{version}, not installed"),
                (None, _) => "no version".to_owned(),
            };
            Some(
                view! {
                    <a href=address(&node.id) class=class>
                        <title>{node.name.clone()}</title>
                        <rect x=x.to_string() y=y.to_string() width=WIDTH.to_string() height=HEIGHT.to_string() rx="7" />
                        <text class="name" x=(x + 11).to_string() y=(y + 17).to_string()>{shortened(&node.name, NAME)}</text>
                        <text x=(x + 11).to_string() y=(y + 31).to_string()>{version}</text>
                    </a>
                }
                .into_any(),
            )
        })
        .collect::<Vec<_>>();
    let label = format!(
        "{} in {}",
        format::counted(graph.nodes.len(), "plugin", "plugins"),
        format::counted(graph.nodes.iter().map(|node| node.depth).max().unwrap_or(0), "step", "steps")
    );
    let left_out = graph.nodes.len().saturating_sub(MOST);
    let left_out = (left_out > 0).then(|| {
        view! { <p class="muted">{format!("The nearest {MOST} are drawn; {left_out} more are in the list.")}</p> }
    });
    view! {
        <div class="scroll graph" tabindex="0" role="region" aria-label="Dependency graph">
            <svg width=width.to_string() height=height.to_string() viewBox=format!("0 0 {width} {height}") role="group" aria-label=label>{lines}{nodes}</svg>
        </div>
        {left_out}
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::view::{Dependency, GraphNode};

    fn node(id: &str, depth: u32, needs: &[&str]) -> GraphNode {
        GraphNode {
            id: id.to_owned(),
            name: format!("p{id}"),
            version: Some("1.0.0".to_owned()),
            installed: true,
            depth,
            needs: needs
                .iter()
                .map(|id| Dependency {
                    id: (*id).to_owned(),
                    name: Some(format!("p{id}")),
                    range: "^1".to_owned(),
                    optional: false,
                })
                .collect(),
        }
    }

    #[test]
    fn nobody_stands_on_another_and_columns_follow_the_distance() {
        let graph = DependencyGraph {
            nodes: vec![node("1", 0, &["2", "3"]), node("2", 1, &["4"]), node("3", 1, &["4"]), node("4", 2, &["1"])],
            cycles: vec![vec!["p1".to_owned(), "p2".to_owned(), "p4".to_owned(), "p1".to_owned()]],
            missing: Vec::new(),
        };
        let (_, at, width, height) = places(&graph, false);
        assert!(at["1"].0 < at["2"].0 && at["2"].0 < at["4"].0 && at["2"].0 == at["3"].0);
        assert!((at["2"].1 - at["3"].1).abs() >= HEIGHT);
        assert!(at.values().all(|(x, y)| *x >= 0 && x + WIDTH <= width && *y >= 0 && y + HEIGHT <= height));
        let html = picture(&graph, false, |id| format!("/plugins/{id}")).to_html();
        assert_eq!(html.matches("class=\"edge circle\"").count(), 3, "{html}");
        assert!(html.contains("/plugins/4") && !html.contains("style="), "{html}");
    }
}
