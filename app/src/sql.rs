//! SQL as text with its keywords marked, for reading. It never becomes markup by itself.

use leptos::prelude::*;

const KEYWORDS: [&str; 64] = [
    "ALL",
    "ALTER",
    "ANALYZE",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "BEGIN",
    "BETWEEN",
    "BY",
    "CASE",
    "COMMIT",
    "CONCURRENTLY",
    "COPY",
    "CREATE",
    "CROSS",
    "DELETE",
    "DESC",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXISTS",
    "EXPLAIN",
    "FETCH",
    "FOR",
    "FROM",
    "FULL",
    "GRANT",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INDEX",
    "INNER",
    "INSERT",
    "INTO",
    "IS",
    "JOIN",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "RETURNING",
    "RIGHT",
    "SELECT",
    "SET",
    "TABLE",
    "THEN",
    "UNION",
    "UPDATE",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
];
const MORE: [&str; 6] = ["WITH", "RECURSIVE", "UNIQUE", "VACUUM", "REINDEX", "INCLUDE"];

/// Pieces of a statement: text, and whether it is a keyword.
fn pieces(text: &str) -> Vec<(String, bool)> {
    let mut out = Vec::<(String, bool)>::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (piece, keyword) = if word > 0 {
            let upper = rest[..word].to_ascii_uppercase();
            (word, KEYWORDS.contains(&upper.as_str()) || MORE.contains(&upper.as_str()))
        } else {
            (rest.find(|c: char| c.is_ascii_alphanumeric() || c == '_').unwrap_or(rest.len()), false)
        };
        match out.last_mut() {
            Some((text, false)) if !keyword => text.push_str(&rest[..piece]),
            _ => out.push((rest[..piece].to_owned(), keyword)),
        }
        rest = &rest[piece..];
    }
    out
}

/// A statement with its keywords marked.
pub fn highlighted(text: &str) -> impl IntoView + use<> {
    pieces(text)
        .into_iter()
        .map(
            |(text, keyword)| {
                if keyword { view! { <span class="kw">{text}</span> }.into_any() } else { text.into_any() }
            },
        )
        .collect_view()
}

#[cfg(test)]
mod tests {
    #[test]
    fn pieces_make_up_the_text() {
        let text = "SELECT p.* FROM plugins p WHERE p.\"order\" = $1 -- ünïcode";
        let pieces = super::pieces(text);
        assert_eq!(pieces.iter().map(|piece| piece.0.as_str()).collect::<String>(), text);
        assert!(
            pieces.contains(&("SELECT".to_owned(), true))
                && !pieces.iter().any(|piece| piece.0 == "plugins" && piece.1)
        );
    }
}
