//! SQL as text with its keywords marked, for reading. It never becomes markup by itself.
use domain::sql_tokens::{TokenKind, tokens};
use leptos::prelude::*;

/// How a token is set off; neighbours that are not are one piece.
fn class(kind: TokenKind) -> Option<&'static str> {
    match kind {
        TokenKind::Keyword => Some("kw"),
        TokenKind::Comment => Some("sql-comment"),
        _ => None,
    }
}

/// Pieces of a statement, and how each is set off.
fn pieces(text: &str) -> Vec<(String, Option<&'static str>)> {
    let mut out = Vec::<(String, Option<&'static str>)>::new();
    for (kind, token) in tokens(text) {
        match (out.last_mut(), class(kind)) {
            (Some((text, None)), None) => text.push_str(token),
            (_, class) => out.push((token.to_owned(), class)),
        }
    }
    out
}

/// A statement with its keywords and comments marked.
pub fn highlighted(text: &str) -> impl IntoView + use<> {
    pieces(text)
        .into_iter()
        .map(|(text, class)| match class {
            Some(class) => view! { <span class=class>{text}</span> }.into_any(),
            None => text.into_any(),
        })
        .collect_view()
}

#[cfg(test)]
mod tests {
    #[test]
    fn pieces_make_up_the_text() {
        let text = "SELECT p.* FROM plugins p WHERE p.\"order\" = $1 -- ünïcode";
        let pieces = super::pieces(text);
        assert_eq!(pieces.iter().map(|piece| piece.0.as_str()).collect::<String>(), text);
        let marked = pieces.iter().filter_map(|(text, class)| Some((text.as_str(), (*class)?))).collect::<Vec<_>>();
        assert_eq!(marked, [("SELECT", "kw"), ("FROM", "kw"), ("WHERE", "kw"), ("-- ünïcode", "sql-comment")]);
    }
}
