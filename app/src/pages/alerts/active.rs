//! What is open: the worst first, and what one can do about it.

use super::{class, hidden, moment};
use crate::{
    components::{Icon, Panel, Spark},
    scope::{Scope, address},
    server_fns::AlertsData,
    zone::Local as _,
};
use domain::{
    alert::AlertState,
    view::{AlertDetail, AlertView},
};
use leptos::prelude::*;

#[component]
pub(super) fn Active(data: AlertsData) -> impl IntoView {
    let AlertsData { open, detail, sparks, may_acknowledge, filter, narrow, .. } = data;
    let (pending, raised): (Vec<_>, Vec<_>) = open.into_iter().partition(|it| it.state == AlertState::Pending);
    let none = raised.is_empty();
    let spark = move |id: &str| sparks.iter().find(|it| it.0 == id).map(|it| it.1.clone()).unwrap_or_default();
    let rows = raised.into_iter().map(move |alert| {
        let values = spark(&alert.id);
        view! { <Row alert values may_acknowledge /> }
    });
    let waiting = pending.len();
    view! {
        {detail.map(|detail| view! { <Story detail /> })}
        <Panel title="Open" flush=true>
            <div class="laid-out" inner_html=filter></div>
            <ul class="alerts">{rows.collect_view()}</ul>
            {none.then(|| view! { <p class="fine"><Icon name="check" />{if narrow { "Nothing that is raised matches." } else { "Nothing is raised." }}</p> })}
        </Panel>
        {(waiting > 0).then(|| view! {
            <Panel title="Pending" note="breached, not yet for long enough" flush=true>
                <ul class="alerts">{pending.into_iter().map(|alert| view! { <Row alert values=Vec::new() may_acknowledge=false /> }).collect_view()}</ul>
            </Panel>
        })}
    }
}

#[component]
fn Row(alert: AlertView, values: Vec<Option<f64>>, may_acknowledge: bool) -> impl IntoView {
    let scope = Scope::get();
    let (id, page) = (alert.id.clone(), alert.page.clone());
    let cluster = alert.cluster.clone();
    let story = address("/alerts", &[("id", id.clone()), ("cluster", cluster.clone())], None);
    let state = alert.state;
    let badge = (!matches!(state, AlertState::Firing | AlertState::Pending))
        .then(|| view! { <span class="badge">{state.label()}</span> });
    let said = said(&alert);
    let object = (!alert.object.is_empty()).then(|| view! { <code>{alert.object.clone()}</code> });
    let values_shown = if alert.threshold.is_empty() {
        alert.measured.clone()
    } else {
        format!("{} ({})", alert.measured, alert.threshold)
    };
    let acknowledged = alert.acknowledged.is_some();
    view! {
        <li class=format!("alert {}", alert.severity)>
            <span class=format!("badge {}", class(alert.severity))><Icon name="warn" />{alert.severity.as_str()}</span>
            <div class="what">
                <p><a href=story>{alert.title.clone()}</a>" "{object}" "{badge}</p>
                <p class="figures"><strong>{values_shown}</strong><span class="muted">{format!(" {cluster}, since ")}{moment(alert.since)}</span></p>
                {alert.detail.clone().map(|detail| view! { <p class="detail">{detail}</p> })}
                {said.map(|said| view! { <p class="muted">{said}</p> })}
            </div>
            <Spark values />
            <div class="actions">
                <a class="btn" href=move || scope.link(&page)>"Look"<span class="sr">{format!(": {}", alert.title)}</span></a>
                {may_acknowledge.then(|| view! { <Actions id cluster acknowledged /> })}
            </div>
        </li>
    }
}

#[component]
fn Actions(id: String, cluster: String, acknowledged: bool) -> impl IntoView {
    let (give_back, silence) = (id.clone(), id.clone());
    let (give_back_cluster, silence_cluster) = (cluster.clone(), cluster.clone());
    let durations =
        [("", "until it is over"), ("3600", "for 1 hour"), ("14400", "for 4 hours"), ("86400", "for 1 day")];
    view! {
        {if acknowledged {
            view! {
                <form method="post" action="/alerts/unacknowledge">{hidden("id", give_back)}{hidden("cluster", give_back_cluster)}<button class="btn">"Give back"</button></form>
            }.into_any()
        } else {
            view! {
                <details class="act"><summary class="btn primary">"Acknowledge"</summary>
                    <form class="stack" method="post" action="/alerts/acknowledge">
                        {hidden("id", id)}{hidden("cluster", cluster)}
                        <label>"Note"<input name="note" maxlength="500" placeholder="what you do about it" /></label>
                        <label>"It counts"<select name="seconds">{durations.into_iter().map(|(value, label)| view! { <option value=value>{label}</option> }).collect_view()}</select></label>
                        <div><button class="btn primary">"Take it on"</button></div>
                    </form>
                </details>
            }.into_any()
        }}
        <details class="act"><summary class="btn">"Silence"</summary>
            <form class="stack" method="post" action="/alerts/silence">
                {hidden("id", silence)}{hidden("cluster", silence_cluster)}
                <label>"For"<select name="seconds">
                    <option value="900">"15 minutes"</option><option value="3600">"1 hour"</option><option value="14400">"4 hours"</option><option value="86400">"1 day"</option><option value="604800">"1 week"</option><option value="0">"no longer: end it"</option>
                </select></label>
                <label>"Why"<input name="note" maxlength="500" /></label>
                <div><button class="btn primary">"Keep it quiet"</button></div>
            </form>
        </details>
    }
}

/// Who did what about it.
fn said(alert: &AlertView) -> Option<String> {
    let note = |note: &str| if note.is_empty() { String::new() } else { format!(": {note}") };
    match alert.state {
        AlertState::Acknowledged => alert.acknowledged.as_ref().map(|ack| {
            let until = ack.until.map_or_else(String::new, |until| format!(", until {}", until.local()));
            format!("{} has it since {}{until}{}", ack.by, ack.at.local(), note(&ack.note))
        }),
        AlertState::Silenced => alert.silenced.as_ref().map(|silence| {
            format!("kept quiet by {} until {}{}", silence.by, silence.until.local(), note(&silence.note))
        }),
        AlertState::Suppressed => alert.suppressed_by.as_ref().map(|reason| format!("blackout: {reason}")),
        AlertState::NoData => alert
            .no_data_since
            .map(|since| format!("not read since {}: it is not known whether it still holds", since.local())),
        _ => None,
    }
}

/// What happened to one alert, and who was told.
#[component]
fn Story(detail: AlertDetail) -> impl IntoView {
    let AlertDetail { alert, events, deliveries } = detail;
    let object = if alert.object.is_empty() { String::new() } else { format!(" ({})", alert.object) };
    let events = events.into_iter().map(|event| {
        let text = [event.actor.map(|actor| format!("by {actor}")).unwrap_or_default(), event.note].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
        view! { <li>{moment(event.at)}<span class=format!("badge {}", class(event.severity))>{event.kind.replace('_', " ")}</span><span>{text}</span></li> }
    });
    let messages = deliveries.into_iter().map(|message| {
        view! { <li>{moment(message.created_at)}<span class="badge">{message.state.clone()}</span><span>{format!("{} to {}", message.kind, message.channel)}{message.last_error.map(|error| format!(": {error}"))}</span></li> }
    });
    view! {
        <Panel title=format!("{}{object}", alert.title) span="c12" note=format!("{} on {}, {}", alert.severity, alert.cluster, alert.state.label()) flush=true>
            <ul class="events">{events.collect_view()}{messages.collect_view()}</ul>
        </Panel>
    }
}
