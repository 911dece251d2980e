//! A plan as `auto_explain` writes it by default, as text, put into the form of `EXPLAIN (FORMAT JSON)`.
use serde_json::{Map, Value, json};

const JOINS: [&str; 8] = [
    " Left Join",
    " Right Join",
    " Full Join",
    " Semi Join",
    " Anti Join",
    " Right Semi Join",
    " Right Anti Join",
    " Join",
];

struct Node {
    /// Column of its arrow; the top has none.
    column: usize,
    map: Map<String, Value>,
    children: Vec<Value>,
}

/// The tree and the settings that the lines tell of; `None` when they are no plan.
pub(super) fn read(text: &str) -> Option<Value> {
    let mut open: Vec<Node> = Vec::new();
    let mut settings = Map::new();
    let mut label: Option<String> = None;
    for line in text.lines() {
        let content = line.trim_start();
        let column = line.len() - content.len();
        let (arrow, content) = match content.strip_prefix("->") {
            Some(rest) => (true, rest.trim_start()),
            None => (false, content),
        };
        if (arrow || open.is_empty())
            && let Some(map) = head(content)
        {
            let column = if arrow { column } else { 0 };
            while open.len() > 1 && open.last().is_some_and(|last| last.column >= column) {
                close(&mut open);
            }
            let mut map = map;
            if let Some(label) = label.take() {
                map.insert("Subplan Name".to_owned(), Value::from(label));
            }
            open.push(Node { column, map, children: Vec::new() });
        } else if open.is_empty() {
            return None;
        } else if column == 0 {
            // What follows the tree: settings, JIT, triggers.
            if let Some(list) = content.strip_prefix("Settings: ") {
                settings.extend(list.split(", ").filter_map(|pair| {
                    let (name, value) = pair.split_once(" = ")?;
                    Some((name.to_owned(), Value::from(value.trim_matches('\''))))
                }));
            } else {
                break;
            }
        } else if content.starts_with("InitPlan ") || content.starts_with("SubPlan ") || content.starts_with("CTE ") {
            label = Some(content.split(" (").next().unwrap_or(content).to_owned());
        } else if let Some((key, value)) = content.split_once(": ")
            && is_kept(key)
            // A property stands two columns right of its node's own text; those of an outer node have been seen before.
            && let Some(node) = open.last_mut()
        {
            let value = if key == "Sort Method" { value.split("  ").next().unwrap_or(value) } else { value };
            let value = value.parse::<i64>().map_or_else(|_| Value::from(value), Value::from);
            node.map.entry(key).or_insert(value);
        }
    }
    while open.len() > 1 {
        close(&mut open);
    }
    let top = finish(open.pop()?);
    let mut whole = Map::new();
    whole.insert("Plan".to_owned(), top);
    if !settings.is_empty() {
        whole.insert("Settings".to_owned(), Value::Object(settings));
    }
    Some(Value::Object(whole))
}

/// The rest of a node's lines says nothing that is shown.
fn is_kept(key: &str) -> bool {
    crate::plan::is_shown(key) || key == "Rows Removed by Join Filter"
}

fn close(open: &mut Vec<Node>) {
    let Some(done) = open.pop() else { return };
    let done = finish(done);
    if let Some(parent) = open.last_mut() {
        parent.children.push(done);
    }
}

fn finish(node: Node) -> Value {
    let mut map = node.map;
    if !node.children.is_empty() {
        map.insert("Plans".to_owned(), Value::Array(node.children));
    }
    Value::Object(map)
}

/// `Index Scan using t_pkey on t x  (cost=0.15..8.17 rows=1 width=4) (actual time=0.01..0.02 rows=1 loops=1)`.
fn head(content: &str) -> Option<Map<String, Value>> {
    let (title, figures) = content.split_once("  (cost=")?;
    let (costs, actual) = figures.split_once(')')?;
    let mut words = costs.split(' ');
    let (startup, total) = words.next()?.split_once("..")?;
    let mut map = kind(title);
    number(&mut map, "Startup Cost", startup);
    number(&mut map, "Total Cost", total);
    for word in words {
        match word.split_once('=') {
            Some(("rows", rows)) => number(&mut map, "Plan Rows", rows),
            Some(("width", width)) => {
                if let Ok(width) = width.parse::<i64>() {
                    map.insert("Plan Width".to_owned(), json!(width));
                }
            }
            _ => {}
        }
    }
    let actual = actual.trim();
    if let Some(seen) = actual.strip_prefix("(actual ").and_then(|rest| rest.split(')').next()) {
        for word in seen.split(' ') {
            let (key, value) = match word.split_once('=') {
                Some(("rows", rows)) => ("Actual Rows", rows),
                Some(("loops", loops)) => ("Actual Loops", loops),
                _ => continue,
            };
            number(&mut map, key, value);
        }
    } else if actual.starts_with("(never executed)") {
        map.insert("Actual Rows".to_owned(), json!(0.0));
        map.insert("Actual Loops".to_owned(), json!(0.0));
    }
    Some(map)
}

fn number(map: &mut Map<String, Value>, key: &str, text: &str) {
    if let Ok(value) = text.parse::<f64>() {
        map.insert(key.to_owned(), json!(value));
    }
}

/// The words before the figures.
fn kind(title: &str) -> Map<String, Value> {
    let mut map = Map::new();
    let mut set = |key: &str, value: &str| {
        map.insert(key.to_owned(), Value::from(value));
    };
    let (mut node, target) = match title.split_once(" on ") {
        Some((node, target)) => (node, Some(target)),
        None => (title, None),
    };
    let mut parallel = false;
    for (word, key) in [("Partial ", "Partial"), ("Finalize ", "Finalize"), ("Parallel ", ""), ("Async ", "")] {
        if let Some(rest) = node.strip_prefix(word) {
            node = rest;
            if key.is_empty() {
                parallel |= word == "Parallel ";
            } else {
                set("Partial Mode", key);
            }
        }
    }
    if let Some((rest, index)) = node.split_once(" using ") {
        node = rest;
        set("Index Name", index);
    }
    if let Some(rest) = node.strip_suffix(" Backward") {
        node = rest;
        set("Scan Direction", "Backward");
    }
    let named = |target: &str| target.split(' ').next().unwrap_or(target).to_owned();
    match node {
        "Insert" | "Update" | "Delete" | "Merge" => {
            set("Operation", node);
            node = "ModifyTable";
        }
        "HashAggregate" | "GroupAggregate" | "MixedAggregate" => {
            let strategy = match node {
                "HashAggregate" => "Hashed",
                "GroupAggregate" => "Sorted",
                _ => "Mixed",
            };
            set("Strategy", strategy);
            node = "Aggregate";
        }
        _ => {}
    }
    if let Some((method, command)) = node.split_once("SetOp ") {
        set("Strategy", if method == "Hash" { "Hashed" } else { "Sorted" });
        set("Command", command);
        node = "SetOp";
    }
    // The longest first: `Right Semi Join` ends as `Semi Join` does.
    let mut joins = JOINS;
    joins.sort_by_key(|join| std::cmp::Reverse(join.len()));
    let join = joins.iter().find_map(|join| Some((node.strip_suffix(join)?, *join)));
    match join {
        Some((method, join)) if matches!(method, "Hash" | "Merge" | "Nested Loop") => {
            let how = join.trim().trim_end_matches("Join").trim();
            set("Join Type", if how.is_empty() { "Inner" } else { how });
            set(
                "Node Type",
                if method == "Nested Loop" {
                    method
                } else if method == "Hash" {
                    "Hash Join"
                } else {
                    "Merge Join"
                },
            );
        }
        _ => {
            if node == "Nested Loop" {
                set("Join Type", "Inner");
            }
            set("Node Type", node);
        }
    }
    match (node, target) {
        ("Bitmap Index Scan", Some(index)) => set("Index Name", index),
        ("CTE Scan" | "WorkTable Scan", Some(target)) => set("CTE Name", &named(target)),
        ("Function Scan" | "Table Function Scan", Some(target)) => set("Function Name", &named(target)),
        ("Subquery Scan" | "Values Scan" | "Named Tuplestore Scan", Some(target)) => set("Alias", &named(target)),
        (_, Some(target)) => {
            let mut words = target.splitn(2, ' ');
            let name = words.next().unwrap_or_default();
            let alias = words.next().map_or_else(|| name.rsplit('.').next().unwrap_or(name), str::trim);
            match name.split_once('.') {
                Some((schema, name)) => {
                    set("Schema", schema);
                    set("Relation Name", name);
                }
                None => set("Relation Name", name),
            }
            set("Alias", alias);
        }
        (_, None) => {}
    }
    if parallel {
        map.insert("Parallel Aware".to_owned(), Value::from(true));
    }
    map
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::plan;

    const TEXT: &str = "Sort  (cost=40.10..40.15 rows=20 width=8) (actual time=0.310..0.312 rows=2 loops=1)
  Sort Key: o.id
  Sort Method: quicksort  Memory: 25kB
  InitPlan 1 (returns $0)
    ->  Result  (cost=0.00..0.01 rows=1 width=4) (never executed)
  ->  Hash Left Join  (cost=1.09..38.20 rows=20 width=8) (actual time=0.1..0.2 rows=2 loops=1)
        Hash Cond: (o.customer = c.id)
        ->  Index Scan using orders_pkey on public.orders o  (cost=0.15..8.17 rows=1 width=4) (actual rows=2.00 loops=1)
              Index Cond: (id = 42)
              Filter: (note = 'secret: (cost=1'::text)
              Rows Removed by Filter: 7
        ->  Hash  (cost=1.04..1.04 rows=4 width=4)
              Buckets: 1024  Batches: 1  Memory Usage: 9kB
              ->  Parallel Seq Scan on customers c  (cost=0.00..1.04 rows=4 width=4)
Settings: work_mem = '64MB', jit = 'off'
Planning Time: 0.1 ms
";

    #[test]
    fn the_text_of_a_plan_becomes_the_tree() {
        let value = read(TEXT).unwrap();
        let plan = plan::read(&Value::Array(vec![value]).to_string()).unwrap();
        let root = &plan.root;
        assert_eq!((root.title.as_str(), root.total_cost, root.actual_rows), ("Sort", 40.15, Some(2.0)));
        let [init, join] = root.children.as_slice() else { panic!("{root:?}") };
        assert_eq!((init.subplan.as_deref(), init.loops), (Some("InitPlan 1"), Some(0.0)));
        assert_eq!(join.title, "Hash Left Join");
        let [scan, hash] = join.children.as_slice() else { panic!("{join:?}") };
        assert_eq!((scan.relation.as_deref(), scan.index.as_deref()), (Some("public.orders"), Some("orders_pkey")));
        assert_eq!((scan.alias.as_deref(), scan.actual_rows), (Some("o"), Some(2.0)));
        assert!(scan.details.contains(&("Rows Removed by Filter".to_owned(), "7".to_owned())), "{scan:?}");
        assert_eq!(hash.children[0].title, "Parallel Seq Scan");
        assert_eq!(plan.settings.len(), 2);
        assert!(!plan.json.contains("secret") && !plan.json.contains("42"), "{}", plan.json);
    }

    #[test]
    fn what_is_no_plan_is_none() {
        assert_eq!(read("nothing of the kind\n"), None);
        assert_eq!(read(""), None);
        let modify = read("Update on t  (cost=0.00..1.00 rows=0 width=0)\n  ->  Bitmap Heap Scan on t  (cost=0.00..1.00 rows=1 width=6)\n        ->  Bitmap Index Scan on t_b  (cost=0.00..1.00 rows=1 width=0)\n").unwrap();
        let plan = plan::read(&Value::Array(vec![modify]).to_string()).unwrap();
        assert_eq!(plan.root.title, "Update");
        assert_eq!(plan.root.children[0].children[0].index.as_deref(), Some("t_b"));
    }

    #[test]
    fn a_node_tells_what_it_tells_as_json() {
        let insert = read("Insert on t  (cost=0.00..2.00 rows=0 width=0)\n  Conflict Resolution: NOTHING\n  ->  Append  (cost=0.00..1.00 rows=1 width=4)\n        Subplans Removed: 3\n        ->  Seq Scan on t_1  (cost=0.00..1.00 rows=1 width=4)\n").unwrap();
        let root = plan::read(&Value::Array(vec![insert]).to_string()).unwrap().root;
        let of = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        assert_eq!(root.details, of("Conflict Resolution", "NOTHING"));
        assert_eq!(root.children[0].details, of("Subplans Removed", "3"));
    }
}
