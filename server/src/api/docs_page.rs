//! The OpenAPI document as one HTML page. A viewer from npm would be megabytes of script for what is a list.

use serde_json::Value;
use std::fmt::Write as _;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:2rem 1rem;color:#1b1f24;background:#fff}\
h1{font-size:1.5rem}h2{font-size:1.05rem;margin:2.2rem 0 .3rem}code,pre{font:13px/1.45 ui-monospace,monospace}\
.m{display:inline-block;min-width:4.2em;font-weight:600;color:#0b57c2}table{border-collapse:collapse;width:100%;margin:.4rem 0}\
td,th{text-align:left;vertical-align:top;border-bottom:1px solid #d9dee5;padding:.25rem .6rem .25rem 0}th{font-weight:600}\
pre{background:#f4f6f8;padding:.8rem;overflow:auto;border-radius:6px}nav a{margin-right:1rem}\
@media(prefers-color-scheme:dark){body{color:#e4e8ee;background:#14171c}.m{color:#7db1ff}td,th{border-color:#333a44}pre{background:#1e232a}a{color:#9cc3ff}}";

/// The page.
pub fn page(document: &utoipa::openapi::OpenApi) -> String {
    let document = serde_json::to_value(document).unwrap_or_default();
    let mut out = String::new();
    let _ = write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>Holdfast API</title><style>{STYLE}</style><main><h1>Holdfast API</h1><p>{}</p><nav><a href=/api/openapi.json>openapi.json</a><a href=/database>Dashboard</a></nav><pre>curl -H 'Authorization: Bearer hf_…' http://127.0.0.1:3000/api/database/dashboard</pre>",
        escape(text(&document["info"]["description"]))
    );
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let _ = write!(
                out,
                "<h2><span class=m>{}</span><code>{}</code></h2><p>{}</p>",
                method.to_uppercase(),
                escape(path),
                escape(text(&operation["summary"]))
            );
            parameters(&mut out, operation);
            responses(&mut out, operation);
        }
    }
    out.push_str("<h1>Shapes</h1>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let _ = write!(
            out,
            "<h2 id='{0}'><code>{0}</code></h2><p>{1}</p>",
            escape(name),
            escape(text(&schema["description"]))
        );
        fields(&mut out, schema);
        for part in ["allOf", "oneOf"] {
            for one in schema[part].as_array().into_iter().flatten() {
                fields(&mut out, one);
            }
        }
    }
    out.push_str("</main></html>");
    out
}

fn parameters(out: &mut String, operation: &Value) {
    let Some(parameters) = operation["parameters"].as_array().filter(|all| !all.is_empty()) else { return };
    out.push_str("<table><tr><th>Parameter<th>In<th>Meaning</tr>");
    for one in parameters {
        let _ = write!(
            out,
            "<tr><td><code>{}</code><td>{}<td>{}</tr>",
            escape(text(&one["name"])),
            escape(text(&one["in"])),
            escape(text(&one["description"]))
        );
    }
    out.push_str("</table>");
}

fn responses(out: &mut String, operation: &Value) {
    out.push_str("<table><tr><th>Answer<th>Meaning<th>Shape</tr>");
    for (status, one) in operation["responses"].as_object().into_iter().flatten() {
        let shape = one["content"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(_, content)| shape(&content["schema"]))
            .next()
            .unwrap_or_default();
        let _ = write!(out, "<tr><td>{status}<td>{}<td>{shape}</tr>", escape(text(&one["description"])));
    }
    out.push_str("</table>");
}

fn fields(out: &mut String, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else {
        if let Some(values) = schema["enum"].as_array() {
            let list = values
                .iter()
                .filter_map(Value::as_str)
                .map(|value| format!("<code>{}</code>", escape(value)))
                .collect::<Vec<_>>()
                .join(" ");
            let _ = write!(out, "<p>{list}</p>");
        }
        return;
    };
    out.push_str("<table><tr><th>Field<th>Type<th>Meaning</tr>");
    for (name, one) in properties {
        let _ = write!(
            out,
            "<tr><td><code>{}</code><td>{}<td>{}</tr>",
            escape(name),
            shape(one),
            escape(text(&one["description"]))
        );
    }
    out.push_str("</table>");
}

fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href='#{0}'>{0}</a>", escape(name));
    }
    for part in ["oneOf", "allOf", "anyOf"] {
        if let Some(all) = schema[part].as_array() {
            return all.iter().map(shape).filter(|one| !one.is_empty()).collect::<Vec<_>>().join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", shape(&schema["items"])),
        Value::String(kind) => escape(kind),
        Value::Array(kinds) => kinds
            .iter()
            .filter_map(Value::as_str)
            .map(|kind| if kind == "array" { format!("list of {}", shape(&schema["items"])) } else { escape(kind) })
            .collect::<Vec<_>>()
            .join(" or "),
        _ => String::new(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}
