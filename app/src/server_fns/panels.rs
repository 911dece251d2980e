//! Pages made of panels: which there are, and what each of them is asked with.
use crate::{AppError, panels::PanelPage};
use leptos::{prelude::*, server_fn::codec::GetUrl};

#[cfg(feature = "ssr")]
mod connections;
#[cfg(feature = "ssr")]
mod cost;
#[cfg(feature = "ssr")]
mod disks;
#[cfg(feature = "ssr")]
pub mod layout;
#[cfg(feature = "ssr")]
mod maintenance;
#[cfg(feature = "ssr")]
mod pools;
#[cfg(feature = "ssr")]
mod replication;
#[cfg(feature = "ssr")]
mod settings;
#[cfg(feature = "ssr")]
mod tables;

/// A page by its name and its own address.
#[server(endpoint = "panels", input = GetUrl)]
pub async fn load_panels(page: String, search: String) -> Result<PanelPage, AppError> {
    let (control, actor) = super::asking()?;
    let ask = super::told(layout::Ask::read(control, actor, &page, &search))?;
    let made = match page.as_str() {
        "connections" => connections::page(&ask).await,
        "cost" => cost::page(&ask).await,
        "maintenance" => maintenance::page(&ask).await,
        "replication" => replication::page(&ask).await,
        "settings" => settings::page(&ask).await,
        "tables" => tables::page(&ask).await,
        _ => Err(control::ControlError::not_found("page", &page, "")),
    };
    super::told(made)
}
