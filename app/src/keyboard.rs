//! Keys: `/` to search, `j` and `k` to walk rows, `g` and a letter to go to a page, `?` for the list.

/// Letters after `g`, and where they lead.
pub const PAGES: [(&str, &str, &str); 16] = [
    ("h", "/estate", "Estate"),
    ("o", "/database", "Overview"),
    ("q", "/database/performance#queries", "Queries"),
    ("i", "/database/performance#indexes", "Indexes"),
    ("a", "/database/activity", "Activity"),
    ("l", "/database/locks", "Locks"),
    ("t", "/database/tables", "Tables"),
    ("c", "/database/connections", "Connections"),
    ("r", "/database/replication", "Replication"),
    ("m", "/database/maintenance", "Maintenance"),
    ("s", "/database/settings", "Settings"),
    ("w", "/database/cost", "Own cost"),
    ("e", "/alerts", "Alerts"),
    ("b", "/backups", "Backups"),
    ("y", "/recovery", "Recovery"),
    ("u", "/account", "Account"),
];

/// Listens for the page's whole life. On the server it does nothing.
pub fn listen() {
    #[cfg(feature = "hydrate")]
    browser::listen();
}

#[cfg(feature = "hydrate")]
mod browser {
    use super::PAGES;
    use crate::scope::Scope;
    use leptos::{ev, prelude::*};
    use leptos_router::hooks::use_navigate;
    use wasm_bindgen::JsCast as _;
    use web_sys::{HtmlDialogElement, HtmlElement, KeyboardEvent};

    pub fn listen() {
        let scope = Scope::get();
        let navigate = use_navigate();
        let after_g = StoredValue::new(false);
        let handle = window_event_listener(ev::keydown, move |event: KeyboardEvent| {
            if event.ctrl_key() || event.meta_key() || event.alt_key() || is_typing(&event) {
                return;
            }
            let key = event.key();
            if after_g.get_value() {
                after_g.set_value(false);
                if let Some((_, path, _)) = PAGES.iter().find(|page| page.0 == key) {
                    event.prevent_default();
                    navigate(&untrack(|| scope.link(path)), Default::default());
                }
                return;
            }
            match key.as_str() {
                "g" => after_g.set_value(true),
                "?" => keys(),
                "/" => {
                    if focus("input[type=search]") {
                        event.prevent_default();
                    }
                }
                "j" => walk(1),
                "k" => walk(-1),
                _ => {}
            }
        });
        on_cleanup(move || handle.remove());
    }

    /// Opens or closes the list of keys; Escape closes it by itself.
    fn keys() {
        let found = document().get_element_by_id("keys").and_then(|it| it.dyn_into::<HtmlDialogElement>().ok());
        let Some(dialog) = found else { return };
        if dialog.open() {
            dialog.close();
        } else {
            let _ = dialog.show_modal();
        }
    }

    fn is_typing(event: &KeyboardEvent) -> bool {
        let tag =
            event.target().and_then(|target| target.dyn_into::<HtmlElement>().ok()).map(|element| element.tag_name());
        matches!(tag.as_deref(), Some("INPUT" | "TEXTAREA" | "SELECT"))
    }

    fn visible(selector: &str) -> Vec<HtmlElement> {
        let Ok(found) = document().query_selector_all(selector) else { return Vec::new() };
        (0..found.length())
            .filter_map(|i| found.item(i)?.dyn_into::<HtmlElement>().ok())
            .filter(|element| element.offset_parent().is_some())
            .collect()
    }

    fn focus(selector: &str) -> bool {
        visible(selector).first().is_some_and(|element| element.focus().is_ok())
    }

    /// The focus is the selection: Enter then follows the row's link by itself, where it has one.
    fn walk(step: i32) {
        let rows = visible("[data-row]");
        let active = document().active_element();
        let now = rows.iter().position(|row| active.as_ref().is_some_and(|active| active.is_same_node(Some(row))));
        let next = match now {
            None => 0,
            Some(i) => i32::try_from(i).unwrap_or(0) + step,
        };
        if let Some(row) = usize::try_from(next).ok().and_then(|next| rows.get(next)) {
            let _ = row.focus();
        }
    }
}
