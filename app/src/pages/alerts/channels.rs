//! Who is told: channels with their state, forms to make one, the newest messages.

use super::{hidden, moment};
use crate::{
    components::{Icon, Panel},
    server_fns::AlertsData,
};
use domain::{alert::Severity, view::ChannelView};
use leptos::prelude::*;

#[component]
pub(super) fn Channels(data: AlertsData) -> impl IntoView {
    let AlertsData { channels, deliveries, clusters, may_manage, .. } = data;
    let none = channels.is_empty();
    let rows = channels.into_iter().map(move |channel| view! { <Row channel may_manage /> });
    let messages = deliveries.into_iter().map(|it| {
        let class = match it.state.as_str() {
            "sent" => "badge good",
            "dead" => "badge critical",
            "waiting" => "badge attention",
            _ => "badge",
        };
        view! {
            <tr>
                <td>{moment(it.created_at)}</td><td>{it.channel}</td><td>{it.subject}</td>
                <td><span class=class>{if it.state == "dead" { "given up".to_owned() } else { it.state }}</span></td>
                <td class="n">{it.attempts}</td><td class="reason">{it.last_error}</td>
            </tr>
        }
    });
    let messages = messages.collect::<Vec<_>>();
    view! {
        <Panel title="Channels" note="messages go to each that wants the severity and the cluster" flush=true>
            <ul class="rules">{rows.collect_view()}</ul>
            {none.then(|| view! { <p class="fine"><Icon name="warn" />"No channel yet: alerts show here and nowhere else."</p> })}
        </Panel>
        {may_manage.then(|| view! { <New clusters /> })}
        {(!messages.is_empty()).then(|| view! {
            <Panel title="Messages" note="the newest fifty" flush=true>
                <div class="scroll" tabindex="0" role="region" aria-label="Messages table">
                    <table>
                        <thead><tr><th scope="col">"Written"</th><th scope="col">"Channel"</th><th scope="col">"Message"</th><th scope="col">"State"</th><th scope="col" class="n">"Attempts"</th><th scope="col">"Last trouble"</th></tr></thead>
                        <tbody>{messages}</tbody>
                    </table>
                </div>
            </Panel>
        })}
    }
}

#[component]
fn Row(channel: ChannelView, may_manage: bool) -> impl IntoView {
    let id = channel.id.clone();
    let action = move |path: &'static str, label: &'static str, enabled: &'static str| {
        view! { <form method="post" action=path>{hidden("id", id.clone())}{hidden("enabled", enabled)}<button class="btn">{label}</button></form> }
    };
    let only = if channel.clusters.is_empty() { "all clusters".to_owned() } else { channel.clusters.join(", ") };
    let dead = channel.dead;
    view! {
        <li class="rule">
            <div class="head">
                <strong>{channel.name.clone()}</strong><span class="badge">{channel.kind.as_str()}</span>
                <span class="badge">{format!("from {} on", channel.min_severity)}</span>
                {(!channel.enabled).then(|| view! { <span class="badge">"off"</span> })}
                {(channel.waiting > 0).then(|| view! { <span class="badge attention">{format!("{} under way", channel.waiting)}</span> })}
                {(dead > 0).then(|| view! { <span class="badge critical">{format!("{dead} given up")}</span> })}
                <span class="muted grow">{format!("{}, {only}", channel.target)}</span>
            </div>
            {channel.last_error.clone().map(|error| view! { <p class="trouble"><Icon name="warn" />{error}</p> })}
            {channel.last_sent_at.map(|at| view! { <p class="muted">"Last message arrived "{moment(at)}</p> })}
            {may_manage.then(|| view! {
                <div class="buttons">
                    {action("/alerts/channel/test", "Send a test", "")}
                    {if channel.enabled { action("/alerts/channel/enable", "Switch off", "off") } else { action("/alerts/channel/enable", "Switch on", "on") }}
                    {(dead > 0).then(|| action("/alerts/channel/retry", "Try again what was given up", ""))}
                    {action("/alerts/channel/delete", "Remove", "")}
                </div>
            })}
        </li>
    }
}

#[component]
fn New(clusters: Vec<(String, String)>) -> impl IntoView {
    let common = move || {
        let clusters = clusters.clone();
        view! {
            <label>"Name"<input name="name" required maxlength="64" /></label>
            <label>"Messages from"<select name="min_severity">{Severity::ALL.into_iter().map(|it| view! { <option value=it.as_str() selected=it == Severity::Warning>{it.as_str()}</option> }).collect_view()}</select></label>
            <label>"Of"<select name="only_cluster"><option value="">"all clusters"</option>{clusters.into_iter().map(|(id, name)| view! { <option value=id>{name}</option> }).collect_view()}</select></label>
        }
    };
    view! {
        <Panel title="New channel" note="what is secret is sealed and never shown again">
            <details class="new"><summary class="btn">"Webhook"</summary>
                <form class="fields" method="post" action="/alerts/channel">
                    {hidden("kind", "webhook")}{common()}
                    <label>"Address"<input name="url" type="url" required placeholder="https://…" autocomplete="off" /></label>
                    <label>"Signing key"<input name="signing_key" type="password" required minlength="16" autocomplete="off" placeholder="openssl rand -base64 32" /></label>
                    <div class="buttons"><button class="btn primary">"Keep webhook"</button></div>
                </form>
            </details>
            <details class="new"><summary class="btn">"Slack"</summary>
                <form class="fields" method="post" action="/alerts/channel">
                    {hidden("kind", "slack")}{common()}
                    <label>"Incoming webhook"<input name="url" type="url" required placeholder="https://hooks.slack.com/services/…" autocomplete="off" /></label>
                    <div class="buttons"><button class="btn primary">"Keep Slack channel"</button></div>
                </form>
            </details>
            <details class="new"><summary class="btn">"E-mail"</summary>
                <form class="fields" method="post" action="/alerts/channel">
                    {hidden("kind", "email")}{common()}
                    <label>"SMTP server"<input name="host" required placeholder="smtp.example.org" /></label>
                    <label>"Port"<input name="port" inputmode="numeric" placeholder="587" /></label>
                    <label>"TLS"<select name="security"><option value="starttls">"STARTTLS"</option><option value="tls">"TLS from the start"</option><option value="none">"none"</option></select></label>
                    <label>"Account"<input name="username" autocomplete="off" /></label>
                    <label>"Password"<input name="password" type="password" autocomplete="off" /></label>
                    <label>"From"<input name="from" required placeholder="holdfast@example.org" /></label>
                    <label>"To, separated by commas"<input name="to" required placeholder="dba@example.org" /></label>
                    <div class="buttons"><button class="btn primary">"Keep e-mail channel"</button></div>
                </form>
            </details>
        </Panel>
    }
}
