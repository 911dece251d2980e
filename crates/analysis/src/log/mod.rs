//! Statements and plans that the server writes into its log, read from each of its formats.
mod csv;
mod plan_text;
mod prefix;

use domain::{
    Timestamp,
    reading::{LogFormat, LogReading},
};
use serde_json::{Map, Value, json};

/// One statement in the log, with its literals: whoever keeps it masks it.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: f64,
    /// Role, when the log says it.
    pub user: Option<String>,
    /// Database, when the log says it.
    pub database: Option<String>,
    /// Application, when the log says it.
    pub application: Option<String>,
    /// Address of the client, when the log says it.
    pub client: Option<String>,
    /// Fingerprint of the server, when the log says it.
    pub query_id: Option<i64>,
    /// What was sent.
    pub text: String,
    /// Number of parameters that were bound.
    pub parameters: u32,
    /// As `EXPLAIN (FORMAT JSON)` writes a plan, when `auto_explain` wrote one.
    pub plan: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Record {
    said: prefix::Said,
    message: String,
    detail: String,
}

/// The statements that were logged with their text, in the order of the log. `at` is the moment of the reading: what the
/// log says in a zone of its own is put beside it.
pub fn read(reading: &LogReading, at: Timestamp) -> Vec<LogEntry> {
    let records = match reading.format {
        LogFormat::Stderr => of_stderr(&reading.text, &reading.line_prefix),
        LogFormat::Csv => csv::records(&reading.text).filter_map(of_csv).collect(),
        LogFormat::Json => reading.text.lines().filter_map(of_json).collect(),
    };
    records.into_iter().filter_map(|record| entry(record, at)).collect()
}

/// A record begins at the beginning of a line; what goes on begins with a tab.
fn of_stderr(text: &str, line_prefix: &str) -> Vec<Record> {
    const MARK: &str = "LOG:  duration: ";
    let mut records: Vec<Record> = Vec::new();
    // Whether what goes on belongs to the last record, and to which part of it.
    let (mut within, mut in_detail) = (false, false);
    for line in text.lines() {
        if let Some(more) = line.strip_prefix('\t') {
            if within && let Some(last) = records.last_mut() {
                let part = if in_detail { &mut last.detail } else { &mut last.message };
                part.push('\n');
                part.push_str(more);
            }
        } else if let Some(at) = line.find(MARK) {
            let said = prefix::read(line_prefix, &line[..at]);
            let message = line[at + "LOG:  ".len()..].to_owned();
            records.push(Record { said, message, detail: String::new() });
            (within, in_detail) = (true, false);
        } else if within && let Some(at) = line.find("DETAIL:  ") {
            if let Some(last) = records.last_mut() {
                last.detail = line[at + "DETAIL:  ".len()..].to_owned();
            }
            in_detail = true;
        } else {
            within = false;
        }
    }
    records
}

fn of_csv(fields: Vec<String>) -> Option<Record> {
    let field = |at: usize| fields.get(at).filter(|text| !text.is_empty()).cloned();
    if fields.get(11).is_none_or(|severity| severity != "LOG") {
        return None;
    }
    Some(Record {
        said: prefix::Said {
            time: field(0),
            user: field(1),
            database: field(2),
            client: field(4).and_then(|from| client(&from)),
            application: field(22),
            query_id: field(25).and_then(|id| id.parse().ok()).filter(|id| *id != 0),
        },
        message: field(13)?,
        detail: field(14).unwrap_or_default(),
    })
}

fn of_json(line: &str) -> Option<Record> {
    // Most lines are of something else, and reading all of them costs.
    if !line.contains("\"message\":\"duration: ") {
        return None;
    }
    let value: Map<String, Value> = serde_json::from_str(line).ok()?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    Some(Record {
        said: prefix::Said {
            time: text("timestamp"),
            user: text("user"),
            database: text("dbname"),
            client: text("remote_host"),
            application: text("application_name"),
            query_id: value.get("query_id").and_then(Value::as_i64).filter(|id| *id != 0),
        },
        message: text("message")?,
        detail: text("detail").unwrap_or_default(),
    })
}

/// `10.0.0.7:5432` and `[local]`.
fn client(from: &str) -> Option<String> {
    if from == "[local]" { Some(from.to_owned()) } else { Some(from.rsplit_once(':')?.0.to_owned()) }
}

fn entry(record: Record, at: Timestamp) -> Option<LogEntry> {
    let rest = record.message.strip_prefix("duration: ")?;
    let (number, rest) = rest.split_once(" ms")?;
    let duration_ms = number.parse::<f64>().ok().filter(|ms| ms.is_finite() && *ms >= 0.0)?;
    let rest = rest.trim_start();
    let mut query_id = record.said.query_id;
    let (text, plan) = if let Some(text) = rest.strip_prefix("statement: ") {
        (text.to_owned(), None)
    } else if let Some(step) = rest.strip_prefix("execute ") {
        // The name of a portal or a prepared statement stands before the text.
        (step.split_once(": ")?.1.to_owned(), None)
    } else {
        let (text, mut plan) = planned(rest.strip_prefix("plan:")?.trim_start_matches('\n'))?;
        // Of a statement within a function the line would name the one outside.
        query_id = plan.as_object_mut().and_then(|whole| whole.remove("Query Identifier")?.as_i64());
        (text, Some(Value::Array(vec![plan]).to_string()))
    };
    let Record { said, detail, .. } = record;
    Some(LogEntry {
        at: said.time.as_deref().and_then(|time| moment(time, at)).unwrap_or(at),
        duration_ms,
        user: said.user,
        database: said.database,
        application: said.application,
        client: said.client,
        query_id,
        text,
        parameters: parameters(&detail),
        plan,
    })
}

/// The statement and the plan that `auto_explain` wrote, as text or as JSON; other formats are left out.
fn planned(body: &str) -> Option<(String, Value)> {
    if body.starts_with('{') {
        let mut whole: Map<String, Value> = serde_json::from_str(body).ok()?;
        let text = whole.remove("Query Text")?.as_str()?.to_owned();
        whole.retain(|key, _| matches!(key.as_str(), "Plan" | "Settings" | "Query Identifier"));
        return whole.contains_key("Plan").then_some((text, Value::Object(whole)));
    }
    let body = body.strip_prefix("Query Text: ")?;
    let is_top = |line: &str| !line.starts_with(' ') && line.contains("  (cost=") && line.contains(" width=");
    let mut at = 0;
    let mut lines = body.split_inclusive('\n');
    // The first line is of the statement whatever it holds.
    at += lines.next()?.len();
    let mut end = at;
    for line in lines {
        if is_top(line) {
            let mut plan = plan_text::read(&body[at..])?;
            if let Some(id) = body[at..].lines().find_map(|line| line.strip_prefix("Query Identifier: "))
                && let (Some(whole), Ok(id)) = (plan.as_object_mut(), id.trim().parse::<i64>())
            {
                whole.insert("Query Identifier".to_owned(), json!(id));
            }
            return Some((body[..end].trim_end().to_owned(), plan));
        }
        at += line.len();
        if !line.starts_with("Query Parameters: ") {
            end = at;
        }
    }
    None
}

/// `parameters: $1 = '42', $2 = NULL`: how many there are.
fn parameters(detail: &str) -> u32 {
    let Some((_, list)) = detail.split_once("arameters: ") else { return 0 };
    let tokens = domain::sql_tokens::tokens(list);
    let highest = tokens
        .iter()
        .filter(|(kind, _)| *kind == domain::sql_tokens::TokenKind::Parameter)
        .filter_map(|(_, token)| token.trim_start_matches('$').parse::<u32>().ok());
    highest.max().unwrap_or(0).min(65_535)
}

/// `2026-11-29 15:33:05.123 CET`, or seconds since 1970. The name of a zone says little: what is written was written a
/// moment before it was read, so the distance to that moment is the zone's, in steps of a quarter of an hour.
fn moment(written: &str, read_at: Timestamp) -> Option<Timestamp> {
    const QUARTER_MS: i64 = 900_000;
    if let Ok(seconds) = written.parse::<f64>() {
        return Some(Timestamp((seconds * 1_000.0) as i64).min(read_at));
    }
    let date_and_time = written.get(..19)?;
    let local = Timestamp::parse_rfc3339(&format!("{}Z", date_and_time.replacen(' ', "T", 1)))?;
    let ms =
        written.get(19..23).and_then(|rest| rest.strip_prefix('.')).and_then(|ms| ms.parse::<i64>().ok()).unwrap_or(0);
    let local = local.plus_ms(ms);
    let zone = ((local.0 - read_at.0) as f64 / QUARTER_MS as f64).round() as i64 * QUARTER_MS;
    Some(local.plus_ms(-zone).min(read_at))
}

/// Writes the schema of each table into a plan that names tables alone, where there is one table of that name.
pub fn with_schemas(plan: &str, schema_of: impl Fn(&str) -> Option<String>) -> String {
    fn walk(map: &mut Map<String, Value>, schema_of: &dyn Fn(&str) -> Option<String>) {
        if !map.contains_key("Schema")
            && let Some(schema) = map.get("Relation Name").and_then(Value::as_str).and_then(schema_of)
        {
            map.insert("Schema".to_owned(), Value::from(schema));
        }
        if let Some(Value::Array(children)) = map.get_mut("Plans") {
            children.iter_mut().filter_map(Value::as_object_mut).for_each(|child| walk(child, schema_of));
        }
    }
    let Ok(mut value) = serde_json::from_str::<Value>(plan) else { return plan.to_owned() };
    if let Some(top) = value.get_mut(0).and_then(|whole| whole.get_mut("Plan")).and_then(Value::as_object_mut) {
        walk(top, &schema_of);
    }
    value.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
