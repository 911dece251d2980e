//! Items of a batch: each is read and checked by itself, so that one wrong item is named and the others are taken.
use domain::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write as _;

/// How far ahead of our clock a sender's may be.
const AHEAD_MS: i64 = 600_000;
/// Bytes of an event's properties as JSON.
const MOST_PROPERTIES: usize = 8_192;

/// Between which moments an item may lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) now: Timestamp,
    pub(crate) oldest: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventItem {
    id: Option<String>,
    plugin_id: String,
    #[serde(rename = "type")]
    event_type: String,
    at: Timestamp,
    user: Option<String>,
    country: Option<String>,
    #[serde(default)]
    properties: Option<serde_json::Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricItem {
    plugin_id: String,
    name: String,
    value: f64,
    at: Timestamp,
}

/// An event as a line of COPY, and its moment.
pub(crate) fn event(index: u32, item: &Value, accepted: Accepted, line: &mut String) -> Result<Timestamp, String> {
    let item = EventItem::deserialize(item).map_err(|error| wrong(&error))?;
    let plugin = plugin(&item.plugin_id)?;
    word("type", &item.event_type)?;
    accepted.check(item.at)?;
    for (name, value, most) in [("id", &item.id, 128), ("user", &item.user, 200)] {
        if let Some(text) = value
            && (text.is_empty() || text.chars().count() > most || text.chars().any(char::is_control))
        {
            return Err(format!("{name}: 1 to {most} characters, none of them a control character"));
        }
    }
    if let Some(country) = &item.country
        && (country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        return Err("country: two capital letters of ISO 3166, like DE".to_owned());
    }
    let properties = serde_json::to_string(&item.properties.unwrap_or_default()).unwrap_or_else(|_| "{}".to_owned());
    if properties.len() > MOST_PROPERTIES {
        return Err(format!("properties: at most {MOST_PROPERTIES} bytes as JSON"));
    }
    if properties.contains("\\u0000") {
        return Err("properties: no character U+0000".to_owned());
    }
    // Writing to a String cannot fail.
    let _ = write!(line, "{index}\t");
    field(line, item.id.as_deref());
    let _ = write!(line, "{plugin}\t");
    field(line, Some(&item.event_type));
    field(line, item.user.as_deref());
    field(line, item.country.as_deref());
    field(line, Some(&properties));
    let _ = writeln!(line, "{}", item.at.0);
    Ok(item.at)
}

/// As [`event`].
pub(crate) fn metric(index: u32, item: &Value, accepted: Accepted, line: &mut String) -> Result<Timestamp, String> {
    let item = MetricItem::deserialize(item).map_err(|error| wrong(&error))?;
    let plugin = plugin(&item.plugin_id)?;
    word("name", &item.name)?;
    accepted.check(item.at)?;
    if !item.value.is_finite() || item.value.abs() > 1e300 {
        return Err("value: a number between -1e300 and 1e300".to_owned());
    }
    let _ = write!(line, "{index}\t{plugin}\t");
    field(line, Some(&item.name));
    let _ = writeln!(line, "{:?}\t{}", item.value, item.at.0);
    Ok(item.at)
}

fn wrong(error: &serde_json::Error) -> String {
    // Without the place, which would be that in the item's own text.
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

fn plugin(text: &str) -> Result<i64, String> {
    text.parse()
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| "plugin_id: the id of a plugin as text, like \"42\"".to_owned())
}

fn word(name: &str, text: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.:-".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
        return Err(format!("{name}: 1 to 64 of a-z, 0-9, _ . : -"));
    }
    Ok(())
}

/// A field of COPY's text format and the tab behind it.
fn field(line: &mut String, text: Option<&str>) {
    match text {
        None => line.push_str("\\N"),
        Some(text) => {
            for c in text.chars() {
                match c {
                    '\\' => line.push_str("\\\\"),
                    '\t' => line.push_str("\\t"),
                    '\n' => line.push_str("\\n"),
                    '\r' => line.push_str("\\r"),
                    c => line.push(c),
                }
            }
        }
    }
    line.push('\t');
}

impl Accepted {
    fn check(self, at: Timestamp) -> Result<(), String> {
        if at.0 > self.now.0 + AHEAD_MS {
            return Err(format!("at: {at} is more than ten minutes in the future; correct the sender's clock"));
        }
        if at < self.oldest {
            return Err(format!(
                "at: {at} is before {}, from where on events are kept here; older ones cannot be added",
                self.oldest
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    const ACCEPTED: Accepted = Accepted { now: Timestamp(1_800_000_000_000), oldest: Timestamp(1_790_000_000_000) };

    #[test]
    fn each_wrong_item_is_told_what_is_allowed() {
        let good = json!({"plugin_id": "1", "type": "view", "at": "2027-01-15T08:00:00Z"});
        assert_eq!(event(0, &good, ACCEPTED, &mut String::new()), Ok(Timestamp(1_800_000_000_000)));
        for (name, value, said) in [
            ("plugin_id", json!(1), "string"),
            ("plugin_id", json!("x"), "as text"),
            ("type", json!("View it"), "a-z"),
            ("at", json!("yesterday"), "RFC 3339"),
            ("at", json!("2027-01-15T08:10:01Z"), "future"),
            ("at", json!("2020-01-01T00:00:00Z"), "older ones"),
            ("country", json!("de"), "capital"),
            ("user", json!(""), "1 to 200"),
            ("id", json!("a\u{0}b"), "control"),
            ("properties", json!({"a": "\u{0}"}), "U+0000"),
            ("properties", json!({"a": "x".repeat(9_000)}), "8192"),
            ("colour", json!("red"), "colour"),
        ] {
            let mut item = good.clone();
            item[name] = value;
            let error = event(0, &item, ACCEPTED, &mut String::new()).unwrap_err();
            assert!(error.contains(said), "{name}: {error}");
        }
    }

    #[test]
    fn text_is_escaped_for_copy() {
        let mut line = String::new();
        field(&mut line, Some("a\tb\\c\nd"));
        field(&mut line, None);
        assert_eq!(line, "a\\tb\\\\c\\nd\t\\N\t");
    }
}
