//! Plans of statements: read from `EXPLAIN (FORMAT JSON)`, literals masked at once, judged, hashed, written as text,
//! compared.
mod findings;

pub use findings::{Known, findings, judge};

use crate::sqltext;
use domain::view::{PlanComparison, PlanNode};
use serde_json::{Map, Value};

/// A plan as read: nothing of it holds a literal any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The tree, without findings.
    pub root: PlanNode,
    /// Planner settings that differ from the built-in ones.
    pub settings: Vec<(String, String)>,
    /// The JSON, masked and without the lists of columns.
    pub json: String,
    /// Hash of its shape: 16 hexadecimal digits.
    pub hash: String,
}

/// Lines of a text that are compared at most.
const LINES: usize = 600;

/// Values of these keys are names and words of EXPLAIN's own; all other text is masked.
const NAMES: [&str; 27] = [
    "Node Type",
    "Strategy",
    "Partial Mode",
    "Parent Relationship",
    "Subplan Name",
    "Join Type",
    "Scan Direction",
    "Relation Name",
    "Schema",
    "Alias",
    "Index Name",
    "CTE Name",
    "Function Name",
    "Operation",
    "Command",
    "Custom Plan Provider",
    "Tuplestore Name",
    "Conflict Resolution",
    "Conflict Arbiter Indexes",
    "Sort Method",
    "Sort Space Type",
    "Cache Mode",
    "Group Name",
    "Sampling Method",
    "Table Function Name",
    "Query Identifier",
    "Disabled",
];

/// Shown on a node, in this order.
const DETAILS: [&str; 22] = [
    "Index Cond",
    "Recheck Cond",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
    "Filter",
    "One-Time Filter",
    "TID Cond",
    "Order By",
    "Sort Key",
    "Presorted Key",
    "Group Key",
    "Cache Key",
    "Run Condition",
    "Function Call",
    "Conflict Resolution",
    "Conflict Filter",
    "Remote SQL",
    "Workers Planned",
    "Subplans Removed",
    "Sort Method",
    "Rows Removed by Filter",
];

/// Whether a node shows this property.
pub(crate) fn is_shown(key: &str) -> bool {
    DETAILS.contains(&key)
}

/// Part of what a plan is recognised by.
const HASHED: [&str; 12] = [
    "Index Cond",
    "Recheck Cond",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
    "Filter",
    "One-Time Filter",
    "Order By",
    "Sort Key",
    "Presorted Key",
    "Group Key",
    "Cache Key",
];

/// Reads what EXPLAIN answered.
///
/// # Errors
/// When it is not what EXPLAIN writes.
pub fn read(json: &str) -> Result<Plan, String> {
    let mut value: Value = serde_json::from_str(json).map_err(|error| format!("the plan cannot be read: {error}"))?;
    mask(&mut value);
    let json = serde_json::to_string_pretty(&value).unwrap_or_default();
    let whole = value.get(0).and_then(Value::as_object).ok_or("the plan cannot be read: it is not a list of one")?;
    let top = whole.get("Plan").and_then(Value::as_object).ok_or("the plan cannot be read: it has no 'Plan'")?;
    let mut root = node(top);
    let whole_cost = root.total_cost;
    assign(&mut root, whole_cost, whole_cost);
    let settings = whole.get("Settings").and_then(Value::as_object).map(|settings| {
        let ours = ["plan_cache_mode", "search_path"];
        settings
            .iter()
            .filter(|(name, _)| !ours.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), text_of(value)))
            .collect()
    });
    let hash = format!("{:016x}", hash(top, false));
    Ok(Plan { root, settings: settings.unwrap_or_default(), json, hash })
}

/// Masks every text that is not a name, and leaves out the lists of columns.
fn mask(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(map) => {
            map.remove("Output");
            for (key, inner) in map.iter_mut() {
                if key == "Settings" || NAMES.contains(&key.as_str()) {
                    continue;
                }
                match inner {
                    Value::String(text) => *text = sqltext::mask_literals(text),
                    Value::Array(items) => {
                        for item in items {
                            match item {
                                Value::String(text) => *text = sqltext::mask_literals(text),
                                other => mask(other),
                            }
                        }
                    }
                    other => mask(other),
                }
            }
        }
        _ => {}
    }
}

fn node(map: &Map<String, Value>) -> PlanNode {
    let text = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| map.get(key).and_then(Value::as_f64);
    let node_type = text("Node Type").unwrap_or_else(|| "?".to_owned());
    let relation = text("Relation Name").map(|name| match text("Schema") {
        Some(schema) => format!("{schema}.{name}"),
        None => name,
    });
    let named = relation.clone().or_else(|| text("CTE Name")).or_else(|| text("Function Name"));
    let alias = text("Alias").filter(|alias| map.get("Relation Name").and_then(Value::as_str) != Some(alias));
    let details = DETAILS.iter().filter_map(|key| {
        let value = map.get(*key)?;
        let shown = text_of(value);
        let says_nothing = shown.is_empty() || *key == "Subplans Removed" && shown == "0";
        (!says_nothing).then(|| ((*key).to_owned(), shown))
    });
    let mut out = PlanNode {
        title: title(map, &node_type),
        relation: named,
        alias,
        index: text("Index Name"),
        subplan: text("Subplan Name"),
        startup_cost: number("Startup Cost").unwrap_or(0.0),
        total_cost: number("Total Cost").unwrap_or(0.0),
        own_cost: 0.0,
        own_percent: 0.0,
        rows: number("Plan Rows").unwrap_or(0.0),
        width: map.get("Plan Width").and_then(Value::as_i64).unwrap_or(0),
        actual_rows: number("Actual Rows"),
        loops: number("Actual Loops"),
        details: details.collect(),
        findings: Vec::new(),
        children: Vec::new(),
        node_type,
    };
    if let Some(children) = map.get("Plans").and_then(Value::as_array) {
        out.children = children.iter().filter_map(Value::as_object).map(node).collect();
    }
    out
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(", "),
        Value::Null | Value::Object(_) => String::new(),
        other => other.to_string(),
    }
}

/// As EXPLAIN's text names the node.
fn title(map: &Map<String, Value>, node_type: &str) -> String {
    let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut title = match node_type {
        "ModifyTable" => text("Operation").to_owned(),
        "Aggregate" => match text("Strategy") {
            "Hashed" => "HashAggregate".to_owned(),
            "Sorted" => "GroupAggregate".to_owned(),
            "Mixed" => "MixedAggregate".to_owned(),
            _ => "Aggregate".to_owned(),
        },
        "SetOp" => format!("{}SetOp {}", if text("Strategy") == "Hashed" { "Hash" } else { "" }, text("Command")),
        other => other.to_owned(),
    };
    let join = text("Join Type");
    if !join.is_empty() && join != "Inner" {
        title = match node_type {
            "Nested Loop" => format!("Nested Loop {join} Join"),
            other => format!("{} {join} Join", other.trim_end_matches(" Join")),
        };
    }
    if text("Scan Direction") == "Backward" {
        title.push_str(" Backward");
    }
    let partial = text("Partial Mode");
    if partial == "Partial" || partial == "Finalize" {
        title = format!("{partial} {title}");
    }
    if map.get("Parallel Aware").and_then(Value::as_bool) == Some(true) {
        title = format!("Parallel {title}");
    }
    title
}

/// Shares the cost out: what a node is charged for less what its children are. The inner side of a nested loop runs once
/// for each outer row, and below a LIMIT only part of the cost is ever paid.
fn assign(node: &mut PlanNode, charged: f64, whole: f64) {
    let scale = if node.total_cost > 0.0 { charged / node.total_cost } else { 0.0 };
    let mut left = charged;
    let outer_rows = node.children.first().map_or(1.0, |child| child.rows.max(1.0));
    let loops = node.node_type == "Nested Loop";
    for (i, child) in node.children.iter_mut().enumerate() {
        let runs = if loops && i == 1 { outer_rows } else { 1.0 };
        let share = (child.total_cost * runs * scale).min(left).max(0.0);
        assign(child, share, whole);
        left -= share;
    }
    node.own_cost = left.max(0.0);
    node.own_percent = if whole > 0.0 { 100.0 * node.own_cost / whole } else { 0.0 };
}

/// FNV-1a over what the plan does. Partitions come and go: below an Append their names count without digits, and alike
/// ones once.
fn hash(map: &Map<String, Value>, partition: bool) -> u64 {
    let mut state = Fnv::default();
    for key in [
        "Node Type",
        "Strategy",
        "Join Type",
        "Operation",
        "Scan Direction",
        "Partial Mode",
        "Subplan Name",
        "CTE Name",
        "Command",
    ] {
        state.text(key, map.get(key).and_then(Value::as_str).unwrap_or_default());
    }
    for key in ["Schema", "Relation Name", "Index Name"] {
        let name = map.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = if partition { name.chars().filter(|c| !c.is_ascii_digit()).collect() } else { name.to_owned() };
        state.text(key, &name);
    }
    for key in HASHED {
        let value = map.get(key).map(text_of).unwrap_or_default();
        let value = if partition { value.chars().filter(|c| !c.is_ascii_digit()).collect() } else { value };
        state.text(key, &value);
    }
    let append = matches!(map.get("Node Type").and_then(Value::as_str), Some("Append" | "Merge Append"));
    let mut last = None;
    for child in map.get("Plans").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object) {
        let one = hash(child, partition || append);
        if append && last == Some(one) {
            continue;
        }
        last = Some(one);
        state.text("child", &format!("{one:016x}"));
    }
    state.0
}

struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn text(&mut self, key: &str, value: &str) {
        for byte in key.bytes().chain([0]).chain(value.bytes()).chain([1]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The nodes that read tables, in a few words.
pub fn shape(root: &PlanNode) -> String {
    fn walk(node: &PlanNode, out: &mut Vec<String>) {
        if node.relation.is_some() || node.index.is_some() {
            let of = node
                .index
                .as_ref()
                .or(node.relation.as_ref())
                .map_or("", |name| name.rsplit('.').next().unwrap_or(name));
            out.push(format!("{} {of}", node.title));
        } else if node.node_type.contains("Join") || node.node_type == "Nested Loop" {
            out.push(node.title.clone());
        }
        node.children.iter().for_each(|child| walk(child, out));
    }
    let mut parts = Vec::new();
    walk(root, &mut parts);
    let more = parts.len().saturating_sub(6);
    parts.truncate(6);
    let mut out = parts.join(", ");
    if more > 0 {
        out.push_str(&format!(" and {more} more"));
    }
    if out.is_empty() { root.title.clone() } else { out }
}

/// As EXPLAIN writes it.
pub fn text(root: &PlanNode) -> String {
    fn walk(node: &PlanNode, depth: usize, out: &mut String) {
        let indent = if depth == 0 { String::new() } else { " ".repeat(6 * depth - 4) };
        if let Some(subplan) = &node.subplan {
            out.push_str(&format!("{indent}{subplan}\n"));
        }
        let arrow = if depth == 0 { "" } else { "->  " };
        let using = node.index.as_ref().map_or_else(String::new, |index| match node.relation {
            Some(_) => format!(" using {index}"),
            None => format!(" on {index}"),
        });
        let on = node.relation.as_ref().map_or_else(String::new, |relation| format!(" on {relation}"));
        let alias = node.alias.as_ref().map_or_else(String::new, |alias| format!(" {alias}"));
        out.push_str(&format!(
            "{indent}{arrow}{}{using}{on}{alias}  (cost={:.2}..{:.2} rows={:.0} width={})\n",
            node.title, node.startup_cost, node.total_cost, node.rows, node.width
        ));
        let deeper = " ".repeat(6 * depth + 2);
        for (key, value) in &node.details {
            out.push_str(&format!("{deeper}{key}: {value}\n"));
        }
        node.children.iter().for_each(|child| walk(child, depth + 1, out));
    }
    let mut out = String::new();
    walk(root, 0, &mut out);
    out
}

/// Two texts line by line; costs are left out of the comparison, not of the lines.
pub fn compare(before: &PlanNode, after: &PlanNode) -> PlanComparison {
    let (a, b) = (text(before), text(after));
    let a = a.lines().take(LINES).collect::<Vec<_>>();
    let b = b.lines().take(LINES).collect::<Vec<_>>();
    let same = |x: &str, y: &str| bare(x) == bare(y);
    // Longest common subsequence; a plan has some ten lines, at most a few hundred.
    let mut table = vec![vec![0_u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            table[i][j] = if same(a[i], b[j]) { table[i + 1][j + 1] + 1 } else { table[i + 1][j].max(table[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && same(a[i], b[j]) {
            lines.push(("same".to_owned(), b[j].to_owned()));
            i += 1;
            j += 1;
        } else if j >= b.len() || (i < a.len() && table[i + 1][j] >= table[i][j + 1]) {
            lines.push(("before".to_owned(), a[i].to_owned()));
            i += 1;
        } else {
            lines.push(("after".to_owned(), b[j].to_owned()));
            j += 1;
        }
    }
    PlanComparison { lines, costs: (before.total_cost, after.total_cost) }
}

fn bare(line: &str) -> &str {
    line.split("  (cost=").next().unwrap_or(line)
}

/// The relations that a plan reads or changes, with the indexes it uses on them.
pub fn relations(root: &PlanNode) -> Vec<(String, Vec<String>)> {
    fn walk(node: &PlanNode, heap: Option<&str>, out: &mut Vec<(String, Vec<String>)>) {
        // A bitmap index scan names no table: it is that of the heap scan above.
        let relation = node.relation.as_deref().filter(|name| name.contains('.')).or(heap);
        if let Some(relation) = relation {
            let at = match out.iter().position(|(name, _)| name == relation) {
                Some(at) => at,
                None => {
                    out.push((relation.to_owned(), Vec::new()));
                    out.len() - 1
                }
            };
            if let Some(index) = &node.index
                && !out[at].1.contains(index)
            {
                out[at].1.push(index.clone());
            }
        }
        let heap = if node.node_type.starts_with("Bitmap") { relation } else { None };
        node.children.iter().for_each(|child| walk(child, heap, out));
    }
    let mut out = Vec::new();
    walk(root, None, &mut out);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{findings::has, *};
    use domain::view::{ExplainMethod, TableRow};

    const JOIN: &str = r#"[{"Plan":{"Node Type":"Nested Loop","Join Type":"Inner","Startup Cost":0.0,"Total Cost":51000.0,"Plan Rows":5000,"Plan Width":16,"Join Filter":"(a.id = b.a_id)",
      "Output":["a.secret"],"Plans":[
      {"Node Type":"Seq Scan","Parent Relationship":"Outer","Schema":"public","Relation Name":"a","Alias":"x","Startup Cost":0.0,"Total Cost":1000.0,"Plan Rows":5000,"Plan Width":8,"Filter":"((a.mail)::text = 'ada@example.com'::text)"},
      {"Node Type":"Seq Scan","Parent Relationship":"Inner","Schema":"public","Relation Name":"b","Alias":"b","Startup Cost":0.0,"Total Cost":9.0,"Plan Rows":1,"Plan Width":8}]},
      "Settings":{"work_mem":"64MB","plan_cache_mode":"force_generic_plan"}}]"#;

    fn known(tables: &[TableRow]) -> Known<'_> {
        Known {
            database: "shop",
            tables,
            work_mem_bytes: Some(4e6),
            hash_mem_multiplier: Some(2.0),
            method: ExplainMethod::Prepared,
        }
    }

    #[test]
    fn no_literal_stays_anywhere() {
        let plan = read(JOIN).unwrap();
        assert!(!plan.json.contains("ada@example.com") && !plan.json.contains("secret"), "{}", plan.json);
        assert_eq!(has(&plan.root.children[0], "Filter"), Some("((a.mail)::text = ?::text)"));
        assert_eq!(plan.settings, [("work_mem".to_owned(), "64MB".to_owned())]);
    }

    #[test]
    fn cost_is_shared_out_and_adds_up() {
        let plan = read(JOIN).unwrap();
        let [outer, inner] = plan.root.children.as_slice() else { unreachable!() };
        assert_eq!((outer.own_cost, inner.own_cost, plan.root.own_cost), (1_000.0, 45_000.0, 5_000.0));
        // Below a LIMIT only part of the cost is paid.
        let limit = r#"[{"Plan":{"Node Type":"Limit","Startup Cost":0,"Total Cost":5,"Plan Rows":1,"Plan Width":4,"Plans":[{"Node Type":"Seq Scan","Relation Name":"t","Schema":"s","Startup Cost":0,"Total Cost":1000,"Plan Rows":200,"Plan Width":4}]}}]"#;
        let root = read(limit).unwrap().root;
        assert_eq!((root.own_cost, root.children[0].own_cost), (0.0, 5.0));
    }

    #[test]
    fn what_costs_is_found() {
        let row = |name: &str, rows: f64| TableRow {
            key: format!("shop.public.{name}"),
            schema: "public".to_owned(),
            name: name.to_owned(),
            rows,
            heap_bytes: 100 << 20,
            ..TableRow::default()
        };
        let tables = [row("a", 1e6), row("b", 10.0)];
        let mut root = read(JOIN).unwrap().root;
        judge(&mut root, known(&tables));
        let kinds = findings(&root).into_iter().map(|it| it.kind).collect::<Vec<_>>();
        assert_eq!(kinds, ["nested_loop", "seq_scan_filter", "no_statistics", "no_statistics"]);
        // A table of a few rows is read as a whole rightly.
        let small = [row("a", 500.0)];
        let mut root = read(JOIN).unwrap().root;
        judge(&mut root, known(&small));
        assert!(!findings(&root).iter().any(|it| it.kind == "seq_scan_filter"));
    }

    #[test]
    fn the_hash_knows_the_shape_and_not_the_cost() {
        let hash = |json: &str| read(json).unwrap().hash;
        assert_eq!(hash(JOIN), hash(&JOIN.replace("51000.0", "7.0").replace("5000", "1")));
        assert_eq!(hash(JOIN), hash(&JOIN.replace("ada@example.com", "eve@example.com")));
        assert_ne!(hash(JOIN), hash(&JOIN.replace("Nested Loop", "Hash Join")));
        assert_ne!(hash(JOIN), hash(&JOIN.replace("\"Relation Name\":\"b\"", "\"Relation Name\":\"c\"")));
        // A further partition is no other plan.
        let parts = |n: u32| {
            let scans = (0..n).map(|i| format!(r#"{{"Node Type":"Seq Scan","Schema":"s","Relation Name":"m_2026_{i}","Alias":"m_{i}","Filter":"(m_{i}.a = $1)","Startup Cost":0,"Total Cost":1,"Plan Rows":1,"Plan Width":4}}"#)).collect::<Vec<_>>();
            format!(
                r#"[{{"Plan":{{"Node Type":"Append","Startup Cost":0,"Total Cost":9,"Plan Rows":1,"Plan Width":4,"Plans":[{}]}}}}]"#,
                scans.join(",")
            )
        };
        assert_eq!(hash(&parts(3)), hash(&parts(4)));
    }

    #[test]
    fn text_reads_as_explain_writes_and_is_compared() {
        let before = read(JOIN).unwrap().root;
        let text = text(&before);
        assert!(text.starts_with("Nested Loop  (cost=0.00..51000.00 rows=5000 width=16)\n  Join Filter: (a.id = b.a_id)\n  ->  Seq Scan on public.a x  (cost=0.00"), "{text}");
        let after = read(&JOIN.replace(
            "\"Node Type\":\"Seq Scan\",\"Parent Relationship\":\"Inner\"",
            "\"Node Type\":\"Index Scan\",\"Index Name\":\"b_a_id\",\"Parent Relationship\":\"Inner\"",
        ))
        .unwrap()
        .root;
        let diff = compare(&before, &after);
        let changed = diff
            .lines
            .iter()
            .filter(|line| line.0 != "same")
            .map(|line| (line.0.as_str(), bare(line.1.trim())))
            .collect::<Vec<_>>();
        assert_eq!(
            changed,
            [("before", "->  Seq Scan on public.b"), ("after", "->  Index Scan using b_a_id on public.b")]
        );
        assert_eq!(
            relations(&after),
            [("public.a".to_owned(), vec![]), ("public.b".to_owned(), vec!["b_a_id".to_owned()])]
        );
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        for bad in ["", "{}", "[]", "[{}]", "[{\"Plan\":1}]", "null"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
