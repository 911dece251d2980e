//! From an alert to the messages about it, one for each channel that wants to hear of it.
use super::{book::Alerting, engine::Tell};
use notify::{Message, MessageKind};
use std::collections::{BTreeMap, BTreeSet};
use store::{AlertRow, ChannelRow, NewDelivery};

/// The messages that follow from what is to be told. `told` names, by alert, the channels that were told of its begin:
/// they and no others are told of its end.
pub fn deliveries(
    tells: &[Tell],
    channels: &[ChannelRow],
    told: &BTreeMap<i64, BTreeSet<i64>>,
    cluster_name: impl Fn(&str) -> String,
    alerting: &Alerting,
) -> Vec<NewDelivery> {
    let mut told = told.clone();
    let mut new = Vec::new();
    for tell in tells {
        let row = &tell.alert;
        let told = told.entry(row.id).or_default();
        for channel in channels {
            let wanted = match tell.kind {
                MessageKind::Resolved => told.contains(&channel.id),
                _ => channel.wants(&row.cluster_id, row.severity),
            };
            if !wanted {
                continue;
            }
            told.insert(channel.id);
            // The moment makes a second begin after an acknowledgement ended another message than the first.
            let key = format!("{}-{}-{}-{}-{}", row.id, tell.kind.as_str(), row.severity, tell.at.0, channel.id);
            let message = message(tell.kind, row, key.clone(), cluster_name(&row.cluster_id), alerting);
            new.push(NewDelivery {
                key,
                channel_id: channel.id,
                alert_id: Some(row.id),
                kind: tell.kind.as_str().to_owned(),
                subject: message.subject(),
                payload: serde_json::to_string(&message).unwrap_or_default(),
                at: tell.at,
            });
        }
    }
    new
}

fn message(kind: MessageKind, row: &AlertRow, key: String, cluster_name: String, alerting: &Alerting) -> Message {
    Message {
        key,
        kind,
        severity: row.severity,
        cluster: row.cluster_id.clone(),
        cluster_name,
        alert: Some(row.id.to_string()),
        rule: row.rule.clone(),
        object: row.object.clone(),
        title: row.title.clone(),
        detail: row.detail.clone(),
        measured: row.measured.clone(),
        threshold: row.threshold.clone(),
        since: row.fired_at.unwrap_or(row.started_at),
        resolved_at: row.resolved_at,
        url: format!("{}/alerts?cluster={}&id={}", alerting.address, row.cluster_id, row.id),
    }
}
