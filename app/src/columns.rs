//! Which columns of a table are shown: kept in the cookie `hide`, written on the document's root, and done by the style
//! sheet, so that a list is the same for the browser's half whatever is hidden.

use crate::components::Icon;
use leptos::prelude::*;

/// Tables whose columns can be chosen.
pub const TABLES: [&str; 3] = ["queries", "indexes", "tables"];

/// For the document's root: which columns stand otherwise than they come, `queries-3 tables-5`, by table and number of the
/// column from 1. Most come shown; those at the end of a menu come hidden.
pub fn hidden() -> String {
    crate::scope::cookie("hide").map(|text| read(&text).join(" ")).unwrap_or_default()
}

/// The entries of the cookie that can be meant.
pub fn read(text: &str) -> Vec<String> {
    let known = |entry: &&str| {
        let Some((table, column)) = entry.split_once('-') else { return false };
        TABLES.contains(&table) && column.parse::<u8>().is_ok_and(|column| (2..=20).contains(&column))
    };
    text.split('.').filter(known).map(str::to_owned).collect()
}

/// The menu beside a table. A form that works without JavaScript; `columns.js` answers each tick at once.
#[component]
pub fn Columns(
    /// One of [`TABLES`].
    table: &'static str,
    /// Names from the second column on, without what HTML would mistake; the first is what a row is about.
    names: Vec<String>,
    /// How many of the last ones come hidden.
    #[prop(optional)]
    extra: usize,
) -> impl IntoView {
    // In the browser it is always the same text, so that new figures never take the focus from a box: `columns.js` sets
    // the ticks when the menu is opened.
    #[cfg(feature = "ssr")]
    let hidden = hidden();
    #[cfg(not(feature = "ssr"))]
    let hidden = String::new();
    let last = names.len() + 1;
    let first_extra = last + 1 - extra;
    // Written as text: names and numbers of ours, and views of it would cost the browser some KiB.
    let mut html = format!(
        "<input type='hidden' name='table' value='{table}'><input type='hidden' name='last' value='{last}'><input type='hidden' name='extra' value='{first_extra}'><ul>"
    );
    for (i, name) in names.into_iter().enumerate() {
        let column = i + 2;
        let shown = (column >= first_extra) == hidden.split(' ').any(|entry| entry == format!("{table}-{column}"));
        let checked = if shown { " checked" } else { "" };
        html +=
            &format!("<li><label><input type='checkbox' name='shown' value='{column}'{checked}>{name}</label></li>");
    }
    html += "</ul><button class='btn no-js'>Show these</button>";
    view! {
        <details class="menu right column-menu">
            <summary class="btn"><Icon name="tables" />"Columns"</summary>
            <form method="post" action="/columns" inner_html=html></form>
        </details>
    }
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::read;

    #[test]
    fn only_entries_that_can_be_meant_are_read() {
        assert_eq!(read("queries-3.tables-14"), ["queries-3", "tables-14"]);
        for wrong in ["", "queries", "queries-1", "queries-99", "plugins-3", "queries-x", "\"><script>-3"] {
            assert!(read(wrong).is_empty(), "{wrong}");
        }
    }
}
