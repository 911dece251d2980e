//! A statement in a row of a table.

use crate::{scope::Scope, sql::highlighted};
use leptos::prelude::*;

/// Cut to the width of its cell. It leads to its page where that is known; `j` and `k` stop at it in any case.
pub fn statement(text: String, id: Option<String>) -> AnyView {
    statement_or_words(text, id, false)
}

/// As [`statement`]; words that stand in for a text that is not known are no SQL.
pub fn statement_or_words(text: String, id: Option<String>, stands_in: bool) -> AnyView {
    let cut = text.chars().take(160).collect::<String>();
    let shown = if stands_in { cut.into_any() } else { highlighted(&cut).into_any() };
    match id {
        Some(id) => {
            let scope = Scope::get();
            let path = format!("/database/queries/{id}");
            view! { <a class="sql" data-row href=move || scope.link(&path) title=text>{shown}</a> }.into_any()
        }
        None => view! { <span class="sql" data-row tabindex="-1" title=text>{shown}</span> }.into_any(),
    }
}
