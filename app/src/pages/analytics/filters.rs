//! What the page is narrowed to, and whose days it shows: a form whose answer is an address.

use super::super::tenant;
use super::{lists::country, with};
use crate::{
    analytics_fns::{Analysed, Asked},
    zone,
};
use leptos::prelude::*;

/// Zones to choose from beside the reader's own; any other can be typed.
const ZONES: [&str; 12] = [
    "UTC",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Athens",
    "Asia/Dubai",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
    "America/Sao_Paulo",
    "America/New_York",
    "America/Los_Angeles",
];
const ENVIRONMENTS: [&str; 3] = ["production", "staging", "development"];

/// Whether not all events are shown.
pub fn is_narrowed(asked: &Asked) -> bool {
    asked.plugin.is_some() || asked.environment.is_some() || asked.event_type.is_some() || asked.country.is_some()
}

/// A choice of one or all; what was chosen is there also when nothing has it.
fn choice(
    name: &'static str,
    label: &'static str,
    chosen: Option<&String>,
    values: Vec<(String, String)>,
) -> impl IntoView + use<> {
    let mut values = values;
    if let Some(chosen) = chosen.filter(|chosen| !values.iter().any(|it| it.0 == **chosen)) {
        values.push((chosen.clone(), chosen.clone()));
    }
    let options = values
        .into_iter()
        .map(|(value, text)| {
            let selected = chosen == Some(&value);
            view! { <option value=value selected=selected>{text}</option> }
        })
        .collect_view();
    view! { <label>{label}<select name=name><option value="">"All"</option>{options}</select></label> }
}

/// The form, and what is left out of it: the plugin, which is chosen from the list.
pub fn filters(data: &Analysed) -> impl IntoView + use<> {
    let asked = &data.asked;
    let same = |text: &String| (text.clone(), text.clone());
    let environments = ENVIRONMENTS.iter().map(|it| same(&(*it).to_owned())).collect();
    let types = data.all_types.iter().map(same).collect();
    let countries = data.all_countries.iter().filter(|it| !it.is_empty()).map(|it| (it.clone(), country(it))).collect();
    let whose = data.whose.chosen.then(|| {
        let slug = data.whose.tenant.slug.clone();
        view! { <input type="hidden" name="tenant" value=slug /> }
    });
    let days = asked.days.map(|days| view! { <input type="hidden" name="days" value=days.to_string() /> });
    let plugin = asked.plugin.clone().map(|id| view! { <input type="hidden" name="plugin" value=id /> });
    let only = data.plugin.clone().map(|name| {
        let href = with(data, &Asked { plugin: None, ..asked.clone() });
        view! { <a class="chip on" href=href title="Show all plugins">{name}<small>"×"</small></a> }
    });
    let mine = zone::name();
    let zones = std::iter::once(mine.as_str())
        .chain(ZONES.into_iter().filter(|it| *it != mine))
        .map(|it| view! { <option value=it.to_owned()></option> })
        .collect_view();
    let (from, to) = asked.between.clone().unwrap_or_default();
    let clear = (is_narrowed(asked) || asked.between.is_some() || asked.zone != "UTC").then(|| {
        let href = with(data, &Asked { days: Some(30), zone: "UTC".to_owned(), ..Asked::default() });
        view! { <a class="btn" href=href>"Clear"</a> }
    });
    view! {
        <form class="toolbar analytics-filters" method="get" action="/analytics" aria-label="Conditions">
            {whose}
            {tenant::place_fields()}
            {days}
            {plugin}
            {only}
            {choice("environment", "Environment", asked.environment.as_ref(), environments)}
            {choice("event_type", "Event", asked.event_type.as_ref(), types)}
            {choice("country", "Country", asked.country.as_ref(), countries)}
            <label>"From day"<input type="date" name="from" value=from /></label>
            <label>"To day"<input type="date" name="to" value=to /></label>
            <label>"Time zone"<input name="zone" list="zones" value=asked.zone.clone() maxlength="60" /></label>
            <datalist id="zones">{zones}</datalist>
            <button class="btn primary">"Show"</button>
            {clear}
        </form>
    }
}
