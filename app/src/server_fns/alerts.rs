//! What the alerts page asks for.

#[cfg(feature = "ssr")]
use super::{asking, form, told};
use crate::AppError;
use domain::{
    alert::RuleSettings,
    view::{
        AlertCounts, AlertDetail, AlertView, AlertsPage, BlackoutView, ChannelView, DeliveryView, RulePreview, RuleView,
    },
};
use leptos::{prelude::*, server_fn::codec::GetUrl};
use serde::{Deserialize, Serialize};

/// One tab of the alerts page; what other tabs show is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertsData {
    /// Which tab.
    pub tab: String,
    /// Id of the cluster that rules are shown of.
    pub cluster: String,
    /// All clusters: id and name.
    pub clusters: Vec<(String, String)>,
    /// Whether the reader may take alerts on.
    pub may_acknowledge: bool,
    /// Whether the reader may change rules, blackouts and channels.
    pub may_manage: bool,
    /// Open alerts in numbers.
    pub counts: AlertCounts,
    /// What the list is narrowed by: a form, as HTML of ours.
    pub filter: String,
    /// Something narrows it.
    pub narrow: bool,
    /// Where the alerts before those shown are.
    pub older: Option<String>,
    /// Open alerts.
    pub open: Vec<AlertView>,
    /// The last hour of an alert's figure, by id.
    pub sparks: Vec<(String, Vec<Option<f64>>)>,
    /// The one that the address names, with its story.
    pub detail: Option<AlertDetail>,
    /// What is over.
    pub past: AlertsPage,
    /// Rules.
    pub rules: Vec<RuleView>,
    /// What the rule that the address names would have done.
    pub preview: Option<RulePreview>,
    /// With these settings.
    pub draft: Option<RuleSettings>,
    /// Channels.
    pub channels: Vec<ChannelView>,
    /// Their newest messages.
    pub deliveries: Vec<DeliveryView>,
    /// Blackouts.
    pub blackouts: Vec<BlackoutView>,
}

/// One tab of the alerts page, by the page's own address.
#[server(endpoint = "alerts", input = GetUrl)]
pub async fn load_alerts(search: String) -> Result<AlertsData, AppError> {
    use crate::{pages::alert_filter, scope::address};
    use domain::{
        Permission,
        alert::AlertState,
        view::{AlertsParams, Range},
    };
    /// More lines than a person compares cost more than they show.
    const SPARKS: usize = 20;
    let (control, actor) = asking()?;
    let pairs = form(&search);
    let value =
        |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone()).filter(|it| !it.is_empty());
    let only = value("cluster");
    let params = AlertsParams::read(value).map_err(|(field, message)| control::ControlError::field(&field, message));
    let clusters = told(control.clusters_list(&actor))?;
    let cluster = only.clone().or_else(|| clusters.first().map(|it| it.id.clone())).unwrap_or_default();
    let mut data = AlertsData {
        tab: value("tab").unwrap_or_else(|| "active".to_owned()),
        clusters: clusters.iter().map(|it| (it.id.clone(), it.name.clone())).collect(),
        may_acknowledge: actor.may(Permission::AlertAcknowledge),
        may_manage: actor.may(Permission::AlertManage),
        counts: told(control.alerts_count(&actor, only.as_deref()))?,
        ..AlertsData::default()
    };
    // Other tabs have parameters of these names for themselves.
    let params =
        if matches!(data.tab.as_str(), "active" | "history") { told(params)? } else { AlertsParams::default() };
    match data.tab.as_str() {
        "history" => {
            let cursor = value("cursor");
            let params = AlertsParams { state: Some(AlertState::Resolved), ..params };
            data.past = told(control.alerts_list(&actor, &params, cursor.as_deref(), 50).await)?;
            data.older = data.past.next_cursor.as_ref().map(|cursor| {
                let own = params.pairs().into_iter().filter(|pair| pair.0 != "state");
                let more = [("tab", "history".to_owned()), ("cursor", cursor.clone())];
                address("/alerts", &own.chain(more).collect::<Vec<_>>(), None)
            });
            (data.filter, data.narrow) = (alert_filter::form(&params, true, &data.clusters), params.is_narrow());
        }
        "rules" => {
            if let Some(rule) = value("rule") {
                let settings =
                    RuleSettings::read(value).map_err(|(field, message)| control::ControlError::field(&field, message));
                let settings = told(settings)?;
                data.preview = Some(told(control.alert_rule_preview(&actor, Some(&cluster), &rule, &settings).await)?);
                data.draft = Some(settings);
            }
            data.rules = told(control.alert_rules_list(&actor, Some(&cluster)).await)?;
        }
        "channels" => {
            data.channels = told(control.channels_list(&actor).await)?;
            data.deliveries = told(control.deliveries_list(&actor, None).await)?;
        }
        "blackouts" => {
            data.blackouts = told(control.blackouts_list(&actor).await)?;
            data.rules = told(control.alert_rules_list(&actor, Some(&cluster)).await)?;
        }
        _ => {
            // Those that are over have a tab of their own.
            let params = AlertsParams { state: params.state.filter(|it| *it != AlertState::Resolved), ..params };
            data.open = told(control.alerts_list(&actor, &params, None, 500).await)?.rows;
            (data.filter, data.narrow) = (alert_filter::form(&params, false, &data.clusters), params.is_narrow());
            for alert in data.open.iter().take(SPARKS) {
                let Some(metric) = control::alerts::metric(&alert.rule) else { continue };
                let history = told(control.history_get(&actor, Some(&alert.cluster), metric, Range::Hour1).await)?;
                let line = history.series.into_iter().find(|line| line.name == alert.object || alert.object.is_empty());
                data.sparks.extend(line.map(|line| (alert.id.clone(), line.values)));
            }
            if let Some(id) = value("id") {
                data.detail = Some(told(control.alert_get(&actor, &id).await)?);
            }
        }
    }
    data.cluster = cluster;
    Ok(data)
}
