//! `/start`: from nothing to the first figures, with the commands to copy.

use super::overview::AttentionPanel;
use crate::{
    components::{CopyButton, Failed, Panel, Skeleton},
    estate_fns::load_setup,
};
use analysis::setup::{PRELOAD_SQL, ROLE_SQL, STATEMENTS_SQL, STATISTICS_SQL, TIMING_SQL};
use domain::view::{Attention, ClusterSummary};
use leptos::prelude::*;
use leptos_meta::Title;

const HBA: &str = "hostssl  all  holdfast_monitor  10.0.0.0/8  scram-sha-256";
const ENVIRONMENT: &str = "export DATABASE_URL='postgres://holdfast_monitor:…@primary.example:5432/app'\nexport READ_REPLICA_URL='postgres://holdfast_monitor:…@replica.example:5432/app'\nholdfast serve";
const FILE: &str = "[[cluster]]\nid = \"orders\"\nname = \"Orders\"\nurl_file = \"/etc/holdfast/orders.url\"";

/// Steps, and how far each configured server is.
#[component]
pub fn Start() -> impl IntoView {
    let data = Resource::new(|| (), |()| load_setup());
    view! {
        <Title text="Getting started" />
        <Transition fallback=|| view! { <Skeleton /> }>
            {move || Suspend::new(async move {
                match data.await {
                    Ok(servers) => view! { <Loaded servers /> }.into_any(),
                    Err(error) => view! { <div class="title"><h1>"Getting started"</h1></div><Failed error /> }.into_any(),
                }
            })}
        </Transition>
    }
}

#[component]
fn Loaded(servers: Vec<(ClusterSummary, Vec<Attention>)>) -> impl IntoView {
    let none = servers.is_empty();
    let statements =
        format!("{PRELOAD_SQL}\n-- restart the server, then in the database to be watched:\n{STATEMENTS_SQL}");
    let servers = servers.into_iter().map(|(cluster, items)| view! { <AttentionPanel title=cluster.name items /> });
    view! {
        <div class="title">
            <h1>"Getting started"</h1>
            <span class="muted">{none.then_some("no cluster is configured yet")}</span>
            <span class="grow"></span>
            <a class="btn" href="/start">"Look again"</a>
        </div>
        <Panel title="To watch a server">
            <ol class="start-steps">
                <li><h3>"Make the role that watches"</h3><p>"As a superuser on the primary. It reads figures of the server, and needs no other right."</p>{code(ROLE_SQL)}</li>
                <li><h3>"Show it what the planner knows"</h3><p>"For estimates of bloat, columns and advice on indexes, in each database: what the planner knows of columns, without a value of them."</p>{code(STATISTICS_SQL)}</li>
                <li><h3>"Have statements counted"</h3><p>"The extension comes with PostgreSQL; on Debian it is in postgresql-contrib. A managed service (RDS, Azure, Cloud SQL, Supabase…) has its own way, told below once Holdfast is let in."</p>{code(&statements)}</li>
                <li><h3>"Have reads and writes timed"</h3><p>"On today's clocks it costs next to nothing."</p>{code(TIMING_SQL)}</li>
                <li><h3>"Let the role in"</h3><p>"In pg_hba.conf, with the address that Holdfast comes from; then SELECT pg_reload_conf();"</p>{code(HBA)}</li>
                <li><h3>"Tell Holdfast"</h3><p>"In its environment, and start it anew:"</p>{code(ENVIRONMENT)}<p>"Or in holdfast.toml, one for each cluster:"</p>{code(FILE)}</li>
            </ol>
            <p class="muted">"The first figures come with the first reading, after at most 30 seconds by default."</p>
        </Panel>
        {servers.collect_view()}
    }
}

fn code(text: &str) -> AnyView {
    let text = text.to_owned();
    view! { <div class="code-block"><pre tabindex="0"><code>{text.clone()}</code></pre><CopyButton text /></div> }
        .into_any()
}
