//! Alerts for people: listing them, taking them on, keeping them quiet.
use crate::{Actor, ControlError, ControlPlane, error::page_limit, now};
use domain::{
    Permission, Timestamp,
    alert::AlertState,
    view::{
        Acknowledgement, AlertCounts, AlertDetail, AlertEventView, AlertView, AlertsPage, AlertsParams, DeliveryView,
        Silence,
    },
};
use serde_json::json;
use std::collections::HashMap;
use store::{
    AckRow, AlertEventRow, AlertFilter, AlertPhase, AlertRepo, AlertRow, ChannelRepo, DeliveryRepo, DeliveryRow,
    SilenceRow,
};

/// The longest silence: a week. What should be quiet for longer is a rule that should be off, or a blackout.
const LONGEST_SILENCE_SECONDS: u32 = 7 * 86_400;
const LONGEST_NOTE: usize = 500;

impl ControlPlane {
    /// Alerts that are open, or with the state `resolved` those that are over. Open ones come all at once.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Invalid`].
    pub async fn alerts_list(
        &self,
        actor: &Actor,
        params: &AlertsParams,
        cursor: Option<&str>,
        limit: u64,
    ) -> Result<AlertsPage, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let cluster = params.cluster.as_deref();
        if let Some(id) = cluster {
            self.clusters().find(Some(id))?;
        }
        if let Some(rule) = params.rule.as_deref().filter(|rule| analysis::alerts::rule(rule).is_none()) {
            let message = format!("there is no rule '{rule}'; the list of rules names them");
            return Err(ControlError::field("rule", message));
        }
        page_limit(limit, 500)?;
        if params.state != Some(AlertState::Resolved) {
            let mut rows = self.alerts().open(cluster, now());
            rows.retain(|alert| params.matches(alert));
            return Ok(AlertsPage { rows, next_cursor: None });
        }
        let before_id = cursor
            .map(|cursor| {
                cursor
                    .parse()
                    .map_err(|_| ControlError::field("cursor", "take the cursor from 'next_cursor' of the page before"))
            })
            .transpose()?;
        let filter = AlertFilter {
            cluster: params.cluster.clone(),
            rule: params.rule.clone(),
            severity: params.severity,
            search: params.search.clone(),
            before_id,
        };
        let rows = AlertRepo(self.store().db()).past(&filter, limit).await?;
        let next_cursor = rows.last().filter(|_| rows.len() as u64 == limit).map(|row| row.id.to_string());
        Ok(AlertsPage { rows: rows.iter().map(|row| view(row, now())).collect(), next_cursor })
    }

    /// How many are open, by severity.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn alerts_count(&self, actor: &Actor, cluster: Option<&str>) -> Result<AlertCounts, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        Ok(self.alerts().counts(cluster, now()))
    }

    /// One alert with its story.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn alert_get(&self, actor: &Actor, id: &str) -> Result<AlertDetail, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let number = number(id)?;
        let row = match self.alerts().find(number) {
            Some(row) => row,
            None => AlertRepo(self.store().db()).get(number).await?.ok_or_else(|| missing(id))?,
        };
        let events = AlertRepo(self.store().db()).events(number).await?;
        let names = self.channel_names().await?;
        let deliveries = DeliveryRepo(self.store().db()).of_alert(number).await?;
        Ok(AlertDetail {
            alert: view(&row, now()),
            events: events.into_iter().map(event_view).collect(),
            deliveries: deliveries.iter().map(|row| delivery_view(row, &names)).collect(),
        })
    }

    /// Takes an alert on: nobody is told of it any more unless it gets worse. Without an end it counts until the alert
    /// is over.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Conflict`] when it is over, [`ControlError::Invalid`].
    pub async fn alert_acknowledge(
        &self,
        actor: &Actor,
        id: &str,
        note: &str,
        until: Option<Timestamp>,
    ) -> Result<AlertView, ControlError> {
        const ACTION: &str = "alert_acknowledge";
        self.authorize_audited(actor, Permission::AlertAcknowledge, ACTION, ("alert", id)).await?;
        let note = checked_note(note)?;
        let at = now();
        if until.is_some_and(|until| until <= at) {
            return Err(ControlError::field(
                "until",
                "an acknowledgement ends in the future, or without this when the alert is over",
            ));
        }
        let row = self.open_alert(id)?;
        let ack = AckRow { by: who(actor), at, note, until, severity: row.severity };
        let after = json!({ "rule": row.rule, "object": row.object, "severity": row.severity, "note": ack.note, "until": ack.until });
        self.change_alert(
            actor,
            ACTION,
            &row,
            "acknowledged",
            &ack.note,
            (None, Some(after)),
            Change::Ack(Some(ack.clone())),
        )
        .await
    }

    /// Gives an alert back: whoever is to be told is told again when it gets worse.
    ///
    /// # Errors
    /// As [`Self::alert_acknowledge`].
    pub async fn alert_unacknowledge(&self, actor: &Actor, id: &str) -> Result<AlertView, ControlError> {
        const ACTION: &str = "alert_unacknowledge";
        self.authorize_audited(actor, Permission::AlertAcknowledge, ACTION, ("alert", id)).await?;
        let row = self.open_alert(id)?;
        let before = row.ack.as_ref().map(|ack| json!({ "by": ack.by, "note": ack.note }));
        self.change_alert(actor, ACTION, &row, "unacknowledged", "", (before, None), Change::Ack(None)).await
    }

    /// Keeps an alert quiet for some seconds, at most a week; 0 takes the silence back.
    ///
    /// # Errors
    /// As [`Self::alert_acknowledge`].
    pub async fn alert_silence(
        &self,
        actor: &Actor,
        id: &str,
        note: &str,
        seconds: u32,
    ) -> Result<AlertView, ControlError> {
        const ACTION: &str = "alert_silence";
        self.authorize_audited(actor, Permission::AlertAcknowledge, ACTION, ("alert", id)).await?;
        let note = checked_note(note)?;
        if seconds > LONGEST_SILENCE_SECONDS {
            return Err(ControlError::field(
                "seconds",
                "a silence lasts for at most a week (604800 s); switch the rule off, or make a blackout",
            ));
        }
        let row = self.open_alert(id)?;
        let silence = (seconds > 0).then(|| SilenceRow {
            by: who(actor),
            note: note.clone(),
            until: now().plus_ms(i64::from(seconds) * 1_000),
        });
        let after = silence
            .as_ref()
            .map(|it| json!({ "rule": row.rule, "object": row.object, "note": it.note, "until": it.until }));
        let kind = if silence.is_some() { "silenced" } else { "unsilenced" };
        self.change_alert(actor, ACTION, &row, kind, &note, (None, after), Change::Silence(silence)).await
    }

    /// Changes listeners are told of: of all clusters, as they come.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn alerts_subscribe(
        &self,
        actor: &Actor,
    ) -> Result<tokio::sync::broadcast::Receiver<std::sync::Arc<domain::view::AlertLive>>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        Ok(self.alerts().subscribe())
    }

    fn open_alert(&self, id: &str) -> Result<AlertRow, ControlError> {
        self.alerts().find(number(id)?).ok_or_else(|| missing(id))
    }

    #[allow(clippy::too_many_arguments)] // one change of one alert, with its audit row
    async fn change_alert(
        &self,
        actor: &Actor,
        action: &str,
        row: &AlertRow,
        kind: &str,
        note: &str,
        audit: (Option<serde_json::Value>, Option<serde_json::Value>),
        change: Change,
    ) -> Result<AlertView, ControlError> {
        let at = now();
        let id = row.id.to_string();
        let transaction = self.store().begin().await?;
        let repo = AlertRepo(&transaction);
        let Some(stored) = repo.get(row.id).await? else {
            return Err(ControlError::Conflict("this alert is not written down yet; try again in a moment".to_owned()));
        };
        if stored.phase == AlertPhase::Resolved {
            return Err(ControlError::Conflict("this alert is over".to_owned()));
        }
        match &change {
            Change::Ack(ack) => repo.set_ack(row.id, ack.as_ref()).await?,
            Change::Silence(silence) => repo.set_silence(row.id, silence.as_ref()).await?,
        }
        let event = AlertEventRow {
            id: self.alerts().next_id(at),
            alert_id: row.id,
            at,
            kind: kind.to_owned(),
            severity: row.severity,
            actor: Some(who(actor)),
            note: note.to_owned(),
        };
        repo.insert_events(&[event]).await?;
        self.audit_in(&transaction, actor, action, ("alert", &id), audit).await?;
        self.store().commit(transaction).await?;
        let mut changed = row.clone();
        match change {
            Change::Ack(ack) => {
                changed.ack = ack.clone();
                self.alerts().set_ack(row.id, ack);
            }
            Change::Silence(silence) => {
                changed.silence = silence.clone();
                self.alerts().set_silence(row.id, silence);
            }
        }
        self.alerts().changed(&row.cluster_id, at);
        Ok(view(&changed, at))
    }

    pub(super) async fn channel_names(&self) -> Result<HashMap<i64, String>, ControlError> {
        let channels = ChannelRepo(self.store().db()).list().await?;
        Ok(channels.into_iter().map(|channel| (channel.id, channel.name)).collect())
    }
}

enum Change {
    Ack(Option<AckRow>),
    Silence(Option<SilenceRow>),
}

fn number(id: &str) -> Result<i64, ControlError> {
    id.parse().map_err(|_| missing(id))
}

fn missing(id: &str) -> ControlError {
    ControlError::not_found("open alert", id, "it is over, or never was; the list of alerts shows all")
}

pub(super) fn who(actor: &Actor) -> String {
    actor.identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default()
}

/// What people write: one paragraph.
pub(super) fn checked_note(note: &str) -> Result<String, ControlError> {
    let note = note.trim();
    if note.chars().count() > LONGEST_NOTE {
        return Err(ControlError::field("note", format!("a note has at most {LONGEST_NOTE} characters")));
    }
    Ok(note.to_owned())
}

/// Where an alert stands with everything that people said of it.
fn state(row: &AlertRow, at: Timestamp) -> AlertState {
    let taken_on =
        row.ack.as_ref().is_some_and(|ack| ack.severity >= row.severity && ack.until.is_none_or(|until| until > at));
    match row.phase {
        AlertPhase::Resolved => AlertState::Resolved,
        AlertPhase::Pending => AlertState::Pending,
        AlertPhase::Firing if taken_on => AlertState::Acknowledged,
        AlertPhase::Firing if row.silence.as_ref().is_some_and(|silence| silence.until > at) => AlertState::Silenced,
        AlertPhase::Firing if row.suppressed_by.is_some() => AlertState::Suppressed,
        AlertPhase::Firing if row.no_data_since.is_some() => AlertState::NoData,
        AlertPhase::Firing => AlertState::Firing,
    }
}

/// A row as people see it.
pub fn view(row: &AlertRow, at: Timestamp) -> AlertView {
    AlertView {
        id: row.id.to_string(),
        cluster: row.cluster_id.clone(),
        rule: row.rule.clone(),
        object: row.object.clone(),
        title: row.title.clone(),
        detail: row.detail.clone(),
        severity: row.severity,
        state: state(row, at),
        value: row.value,
        measured: row.measured.clone(),
        threshold: row.threshold.clone(),
        since: row.fired_at.unwrap_or(row.started_at),
        started_at: row.started_at,
        fired_at: row.fired_at,
        resolved_at: row.resolved_at,
        no_data_since: row.no_data_since,
        acknowledged: row.ack.as_ref().map(|ack| Acknowledgement {
            by: ack.by.clone(),
            at: ack.at,
            note: ack.note.clone(),
            until: ack.until,
        }),
        silenced: row.silence.as_ref().map(|silence| Silence {
            by: silence.by.clone(),
            note: silence.note.clone(),
            until: silence.until,
        }),
        suppressed_by: row.suppressed_by.clone(),
        sequence: row.sequence,
        page: row.page.clone(),
    }
}

fn event_view(row: AlertEventRow) -> AlertEventView {
    AlertEventView { at: row.at, kind: row.kind, severity: row.severity, actor: row.actor, note: row.note }
}

pub(super) fn delivery_view(row: &DeliveryRow, channels: &HashMap<i64, String>) -> DeliveryView {
    DeliveryView {
        id: row.id.to_string(),
        channel: channels.get(&row.channel_id).cloned().unwrap_or_default(),
        kind: row.kind.clone(),
        subject: row.subject.clone(),
        state: row.state.clone(),
        attempts: row.attempts,
        created_at: row.created_at,
        next_at: Some(row.next_at).filter(|_| matches!(row.state.as_str(), "waiting" | "sending")),
        sent_at: row.sent_at,
        last_error: row.last_error.clone(),
    }
}
