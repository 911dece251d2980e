//! `#indexes`: what indexes cost and which of them are not worth it. The server lays the list out; the browser holds no
//! code for it.

use crate::{
    columns::Columns,
    components::{Icon, Missing, Panel, answered},
    live::Live,
    scope::{Scope, kept_params},
    server_fns::{IndexesData, load_indexes},
};
use domain::view::Availability;
use leptos::prelude::*;
use leptos_router::hooks::{use_location, use_query_map};

/// Tabs, table, evidence.
#[component]
pub fn Indexes() -> impl IntoView {
    let location = use_location();
    let live = Live::get();
    let data = Resource::new(move || (location.search.get(), live.sequence.get()), |(search, _)| load_indexes(search));
    view! {
        {answered(data, |data| view! { <Loaded data /> })}
    }
}

#[component]
fn Loaded(data: IndexesData) -> impl IntoView {
    match data.availability {
        Availability::Missing { reason, cure } => return view! { <Panel title="Indexes"><Missing reason cure /></Panel> }.into_any(),
        Availability::Collecting => return view! { <Panel title="Indexes"><Missing reason="Collecting: the first reading of the indexes is under way." /></Panel> }.into_any(),
        Availability::Ready => {}
    }
    let scope = Scope::get();
    let filter = use_query_map().with_untracked(|query| query.get("index"));
    view! {
        <section class="panel c12" aria-label="Indexes">
            <header><h2>"Indexes"</h2><span class="note">{data.note}</span></header>
            <div class="toolbar">
                <div class="laid-out" inner_html=data.tabs></div>
                <form class="search narrow" role="search" method="get" action="/database/performance#indexes">
                    <Icon name="search" />
                    <input type="search" name="index" placeholder="Index or table" aria-label="Search indexes" value=filter />
                    {kept_params("index")}
                </form>
                <span class="grow"></span>
                <a class="btn" rel="external" href=move || scope.link("/database/advice")>{data.advice}</a>
                <Columns table="indexes" names=["Table", "Method", "Size", "Scans", "Last used", "Scans/s", "Hit %", "Table writes/s", "Bloat (est.)"].map(str::to_owned).to_vec() />
                <a class="btn" href=data.csv rel="external" download="indexes.csv"><Icon name="download" />"CSV"</a>
            </div>
            <div class="laid-out" inner_html=data.list></div>
        </section>
    }
    .into_any()
}
