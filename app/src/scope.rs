//! What a page is about: cluster, database, range and what it is compared with. All stand in the address, so that a pasted
//! link shows the same page.

use crate::zone;
use domain::view::{Compare, Range};
use leptos::prelude::*;
use leptos_router::hooks::{use_location, use_query_map};

/// Cluster, database and range of the page.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Id of the cluster; `None` is the first.
    pub cluster: Memo<Option<String>>,
    /// Name of the database that lists are narrowed to; `None` is all of them.
    pub database: Memo<Option<String>>,
    /// How far back; what one comes back to while the address has a wrong one.
    pub range: Memo<Range>,
    /// What one comes back to from a range of two moments.
    pub live: Memo<Range>,
    /// What the address says of the range, right or wrong: the server says what is wrong with it.
    pub asked: Memo<String>,
    /// Which earlier time is set beside it.
    pub compare: Memo<Compare>,
}

impl Scope {
    /// From the address.
    pub fn from_address() -> Self {
        let query = use_query_map();
        let named = |name: &'static str| {
            Memo::new(move |_| query.with(|query| query.get(name)).filter(|value| !value.is_empty()))
        };
        let (cluster, database) = (named("cluster"), named("database"));
        let live = Memo::new(move |_| {
            let text = query.with(|query| query.get("range"));
            text.and_then(|text| text.parse().ok()).filter(|live| Range::ALL.contains(live)).unwrap_or_default()
        });
        let range = Memo::new(move |_| query.with(|query| Range::read(|name| query.get(name))).unwrap_or(live.get()));
        let asked = Memo::new(move |_| {
            let get = |name: &str| query.with(|query| query.get(name)).unwrap_or_default();
            let (range, from, to) = (get("range"), get("from"), get("to"));
            match (range.is_empty(), from.is_empty() && to.is_empty()) {
                (_, false) => format!("{from}/{to}"),
                (false, true) => range,
                (true, true) => Range::default().to_string(),
            }
        });
        let compare = Memo::new(move |_| {
            query.with(|query| query.get("compare")).and_then(|text| text.parse().ok()).unwrap_or_default()
        });
        Self { cluster, database, range, live, asked, compare }
    }

    /// The one of this page.
    pub fn get() -> Self {
        use_context::<Self>().unwrap_or_else(Self::from_address)
    }

    /// The range in a sentence.
    pub fn phrase(self) -> String {
        match self.range.get() {
            Range::Between { from, to } => zone::between(from, to),
            range => range.phrase().to_owned(),
        }
    }

    /// As [`Self::link`], for what is rendered once.
    pub fn link_untracked(self, path: &str) -> String {
        untrack(|| self.link(path))
    }

    /// Cluster and database, as an address has them.
    pub fn place(self) -> Vec<(&'static str, String)> {
        let both = [("cluster", self.cluster), ("database", self.database)];
        both.into_iter().filter_map(|(name, value)| Some((name, value.get()?))).collect()
    }

    /// An address within the same cluster, database and range.
    pub fn link(self, path: &str) -> String {
        let (path, hash) = path.split_once('#').map_or((path, None), |(path, hash)| (path, Some(hash)));
        let mut pairs = self.place();
        pairs.extend(self.range.get().pairs(self.live.get()));
        let compare = self.compare.get();
        if compare != Compare::Off {
            pairs.push(("compare", compare.to_string()));
        }
        address(path, &pairs, hash)
    }
}

/// A path, its parameters and its fragment.
pub fn address(path: &str, pairs: &[(&str, String)], hash: Option<&str>) -> String {
    let mut out = path.to_owned();
    for (i, (name, value)) in pairs.iter().enumerate() {
        out.push(if i == 0 && !path.contains('?') { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        out.push_str(&encode(value));
    }
    if let Some(hash) = hash {
        out.push('#');
        out.push_str(hash);
    }
    out
}

/// Percent-encodes a value of a query.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// This page's address with one parameter changed; the fragment is left to the caller. It reads nothing but what lasts as long as
/// the router: see [`crate::components::answered`].
pub fn with_param(
    name: &'static str,
    value: Option<String>,
) -> impl Fn() -> String + Clone + Send + Sync + 'static + use<> {
    let location = use_location();
    // Not `use_query_map`, which makes a memo of its own.
    let query = location.query;
    move || {
        let mut pairs = query.with(|query| {
            query
                .latest_values()
                .filter(|(key, _)| *key != name && *key != "cursor")
                // A range that ends now takes the place of one of two moments.
                .filter(|(key, _)| name != "range" || !(*key == "from" || *key == "to"))
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect::<Vec<(String, String)>>()
        });
        if let Some(value) = &value {
            pairs.push((name.to_owned(), value.clone()));
        }
        let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.clone())).collect::<Vec<_>>();
        address(&location.pathname.get(), &pairs, None)
    }
}

/// Hidden fields of a form with method GET: what stands in the address but for `except`, which a field of the form sets.
pub fn kept_params(except: &'static str) -> impl IntoView + use<> {
    let kept = use_query_map().with_untracked(|query| {
        let pairs = query.latest_values().filter(|(name, _)| *name != except);
        pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect::<Vec<_>>()
    });
    kept.into_iter().map(|(name, value)| view! { <input type="hidden" name=name value=value /> }).collect_view()
}

/// The theme that the reader chose; `None` follows the system.
pub fn theme() -> Option<&'static str> {
    match cookie("theme")?.as_str() {
        "light" => Some("light"),
        "dark" => Some("dark"),
        _ => None,
    }
}

/// What this browser keeps under a name.
pub fn cookie(name: &str) -> Option<String> {
    cookies().split(';').find_map(|cookie| {
        let (key, value) = cookie.trim().split_once('=')?;
        (key == name).then(|| value.to_owned())
    })
}

#[cfg(feature = "ssr")]
fn cookies() -> String {
    use_context::<http::request::Parts>()
        .and_then(|parts| {
            parts.headers.get(http::header::COOKIE).and_then(|value| value.to_str().ok()).map(str::to_owned)
        })
        .unwrap_or_default()
}

#[cfg(not(feature = "ssr"))]
fn cookies() -> String {
    use wasm_bindgen::JsCast as _;
    // `document.cookie` through Reflect: web-sys has it on HtmlDocument only, which is not otherwise needed.
    let document = document();
    js_sys::Reflect::get(document.unchecked_ref(), &"cookie".into())
        .ok()
        .and_then(|value| value.as_string())
        .unwrap_or_default()
}
