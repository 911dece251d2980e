//! What the list of indexes asks for.
#[cfg(feature = "ssr")]
use super::{asking, panels::layout::Ask, told};
use crate::AppError;
use domain::view::Availability;
use leptos::{prelude::*, server_fn::codec::GetUrl};
use serde::{Deserialize, Serialize};

/// The list, laid out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexesData {
    /// Whether it can be read.
    pub availability: Availability,
    /// After the title.
    pub note: String,
    /// On the button that leads to the advice.
    pub advice: String,
    /// Where the API has it as CSV.
    pub csv: String,
    /// The tabs and the picker of a database, as HTML of ours.
    pub tabs: String,
    /// What the tab holds, as HTML of ours.
    pub list: String,
}

/// Indexes, by the page's own address.
#[server(endpoint = "indexes", input = GetUrl)]
pub async fn load_indexes(search: String) -> Result<IndexesData, AppError> {
    use crate::{pages::index_list, scope::address, zone::Local as _};
    use domain::format;
    let (control, actor) = asking()?;
    let ask = told(Ask::read(control, actor, "performance", &search))?;
    let page = told(ask.control.indexes_list(&ask.actor, ask.id(), ask.get("database")).await)?;
    let since = page.counting_since.map_or_else(String::new, |at| format!(", scans counted since {}", at.local()));
    let databases = told(ask.control.databases_list(&ask.actor, ask.id()))?;
    let mut csv = vec![("format", "csv".to_owned())];
    csv.extend(ask.get("database").map(|database| ("database", database.to_owned())));
    Ok(IndexesData {
        note: format!(
            "could give back {} on {}{since}",
            format::bytes(page.wasted_bytes as f64),
            page.nodes.join(" and ")
        ),
        advice: if page.put_aside > 0 { format!("Advice, {} put aside", page.put_aside) } else { "Advice".to_owned() },
        csv: address(&format!("/api/v1/clusters/{}/indexes", page.cluster), &csv, None),
        tabs: index_list::tabs(&ask, &page, &databases),
        list: index_list::list(&ask, &page),
        availability: page.availability,
    })
}
