//! Channels: making, changing, trying and removing them. What is secret in one is sealed and never shown again.
use super::list::{delivery_view, who};
use crate::{Actor, ControlError, ControlPlane, now};
use auth::SealingKey;
use domain::{
    Permission,
    alert::{ChannelKind, Severity},
    view::{ChannelSpec, ChannelTest, ChannelView, DeliveryView},
};
use notify::{Destination, Message, MessageKind, Notifier};
use serde_json::json;
use std::collections::HashMap;
use store::{ChannelRepo, ChannelRow, DeliveryRepo, Outcome, StoreError};

impl ControlPlane {
    /// All channels by name, without their secrets.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn channels_list(&self, actor: &Actor) -> Result<Vec<ChannelView>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let rows = ChannelRepo(self.store().db()).list().await?;
        let counts = DeliveryRepo(self.store().db()).counts().await?;
        let counts = counts.into_iter().map(|it| ((it.channel_id, it.state), it.number)).collect::<HashMap<_, _>>();
        let count = |id: i64, state: &str| {
            counts.get(&(id, state.to_owned())).and_then(|number| u32::try_from(*number).ok()).unwrap_or(0)
        };
        Ok(rows
            .into_iter()
            .map(|row| {
                let (waiting, dead) = (count(row.id, "waiting"), count(row.id, "dead"));
                view(row, waiting, dead)
            })
            .collect())
    }

    /// Makes a channel. For a webhook without a key one is made: it is the second part of the answer, told this once.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] by field, [`ControlError::Conflict`] when the name is taken.
    pub async fn channel_create(
        &self,
        actor: &Actor,
        spec: ChannelSpec,
    ) -> Result<(ChannelView, Option<String>), ControlError> {
        const ACTION: &str = "channel_create";
        self.authorize_audited(actor, Permission::AlertManage, ACTION, ("channel", &spec.name)).await?;
        let (destination, made_key) = destination(&spec, None)?;
        let row = ChannelRow {
            id: 0,
            name: self.checked(&spec)?,
            kind: spec.kind,
            target: destination.target(),
            min_severity: spec.min_severity,
            clusters: spec.clusters.clone(),
            enabled: spec.enabled,
            sealed: self.seal(&destination)?,
            created_by: who(actor),
            created_at: now(),
            last_sent_at: None,
            last_error: None,
        };
        let transaction = self.store().begin().await?;
        let row = ChannelRepo(&transaction).insert(&row).await.map_err(taken)?;
        self.audit_in(&transaction, actor, ACTION, ("channel", &row.name), (None, Some(told(&row)))).await?;
        self.store().commit(transaction).await?;
        Ok((view(row, 0, 0), made_key))
    }

    /// Changes a channel; a secret that is left out stays.
    ///
    /// # Errors
    /// As [`Self::channel_create`], and [`ControlError::NotFound`].
    pub async fn channel_set(&self, actor: &Actor, id: &str, spec: ChannelSpec) -> Result<ChannelView, ControlError> {
        const ACTION: &str = "channel_set";
        self.authorize_audited(actor, Permission::AlertManage, ACTION, ("channel", id)).await?;
        let before = self.channel(id).await?;
        if spec.kind != before.kind {
            return Err(ControlError::field("kind", "a channel stays what it is; make another one"));
        }
        let (destination, _) = destination(&spec, Some(self.opened(&before)?))?;
        let row = ChannelRow {
            name: self.checked(&spec)?,
            target: destination.target(),
            min_severity: spec.min_severity,
            clusters: spec.clusters.clone(),
            enabled: spec.enabled,
            sealed: self.seal(&destination)?,
            ..before.clone()
        };
        let transaction = self.store().begin().await?;
        ChannelRepo(&transaction).update(&row).await.map_err(taken)?;
        self.audit_in(&transaction, actor, ACTION, ("channel", &row.name), (Some(told(&before)), Some(told(&row))))
            .await?;
        self.store().commit(transaction).await?;
        Ok(view(row, 0, 0))
    }

    /// Switches a channel on or off.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn channel_enable(&self, actor: &Actor, id: &str, enabled: bool) -> Result<(), ControlError> {
        const ACTION: &str = "channel_enable";
        self.authorize_audited(actor, Permission::AlertManage, ACTION, ("channel", id)).await?;
        let before = self.channel(id).await?;
        let row = ChannelRow { enabled, ..before.clone() };
        let transaction = self.store().begin().await?;
        ChannelRepo(&transaction).update(&row).await?;
        let change = (Some(json!({ "enabled": before.enabled })), Some(json!({ "enabled": enabled })));
        self.audit_in(&transaction, actor, ACTION, ("channel", &row.name), change).await?;
        Ok(self.store().commit(transaction).await?)
    }

    /// Removes a channel with its messages.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn channel_delete(&self, actor: &Actor, id: &str) -> Result<(), ControlError> {
        const ACTION: &str = "channel_delete";
        self.authorize_audited(actor, Permission::AlertManage, ACTION, ("channel", id)).await?;
        let row = self.channel(id).await?;
        let transaction = self.store().begin().await?;
        ChannelRepo(&transaction).delete(row.id).await?;
        self.audit_in(&transaction, actor, ACTION, ("channel", &row.name), (Some(told(&row)), None)).await?;
        Ok(self.store().commit(transaction).await?)
    }

    /// Sends one message to a channel, now, and says in plain words how that went.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; a message that does not arrive is the answer, not an error.
    pub async fn channel_test(&self, actor: &Actor, id: &str) -> Result<ChannelTest, ControlError> {
        const ACTION: &str = "channel_test";
        self.authorize_audited(actor, Permission::AlertManage, ACTION, ("channel", id)).await?;
        let row = self.channel(id).await?;
        let destination = self.opened(&row)?;
        let at = now();
        let message = Message {
            key: format!("test-{}-{}", row.id, at.0),
            kind: MessageKind::Test,
            severity: Severity::Info,
            cluster: String::new(),
            cluster_name: "Holdfast".to_owned(),
            alert: None,
            rule: "test".to_owned(),
            object: String::new(),
            title: format!("A test of the channel '{}'", row.name),
            detail: Some(format!("{} asked for it. If you can read this, alerts arrive here.", who(actor))),
            measured: String::new(),
            threshold: String::new(),
            since: at,
            resolved_at: None,
            url: format!("{}/alerts?tab=channels", self.alerts().alerting().address),
        };
        let sent = Notifier::new().send(&destination, &message, at).await;
        let repo = ChannelRepo(self.store().db());
        let test = match &sent {
            Ok(()) => {
                repo.note(row.id, Some(now()), None).await?;
                let how = match row.kind {
                    ChannelKind::Webhook => "took the message",
                    ChannelKind::Slack => "took the message; it should show in the channel now",
                    ChannelKind::Email => {
                        "took the message for delivery; look into the mailbox, and the spam folder too"
                    }
                };
                ChannelTest { ok: true, message: format!("{} {how}.", row.target) }
            }
            Err(error) => {
                repo.note(row.id, None, Some(&error.to_string())).await?;
                ChannelTest { ok: false, message: error.to_string() }
            }
        };
        let outcome = if test.ok { Outcome::Ok } else { Outcome::Failed };
        self.audit_outcome(actor, ACTION, ("channel", &row.name), outcome, Some(json!({ "result": test.message })))
            .await?;
        Ok(test)
    }

    /// The newest messages of a channel, or of all.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn deliveries_list(
        &self,
        actor: &Actor,
        channel: Option<&str>,
    ) -> Result<Vec<DeliveryView>, ControlError> {
        self.authorize(actor, Permission::MonitoringRead)?;
        let channel = match channel {
            Some(id) => Some(self.channel(id).await?.id),
            None => None,
        };
        let names = self.channel_names().await?;
        let rows = DeliveryRepo(self.store().db()).newest(channel, 50).await?;
        Ok(rows.iter().map(|row| delivery_view(row, &names)).collect())
    }

    /// Tries the messages of a channel that were given up again; how many.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn channel_retry(&self, actor: &Actor, id: &str) -> Result<u64, ControlError> {
        const ACTION: &str = "channel_retry";
        self.authorize_audited(actor, Permission::AlertManage, ACTION, ("channel", id)).await?;
        let row = self.channel(id).await?;
        let transaction = self.store().begin().await?;
        let revived = DeliveryRepo(&transaction).revive(row.id, now()).await?;
        let after = Some(json!({ "messages": revived }));
        self.audit_in(&transaction, actor, ACTION, ("channel", &row.name), (None, after)).await?;
        self.store().commit(transaction).await?;
        self.alerts().poke();
        Ok(revived)
    }

    /// Where a channel leads, for whoever sends.
    ///
    /// # Errors
    /// [`ControlError::Auth`] when what is sealed cannot be opened.
    pub fn channel_destination(&self, row: &ChannelRow) -> Result<Destination, ControlError> {
        self.opened(row)
    }

    async fn channel(&self, id: &str) -> Result<ChannelRow, ControlError> {
        let missing = || ControlError::not_found("channel", id, "the list of channels shows all");
        let number = id.parse().map_err(|_| missing())?;
        ChannelRepo(self.store().db()).get(number).await?.ok_or_else(missing)
    }

    fn checked(&self, spec: &ChannelSpec) -> Result<String, ControlError> {
        let name = spec.name.trim();
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            return Err(ControlError::field("name", "a channel has a name of 1 to 64 characters"));
        }
        for id in &spec.clusters {
            if self.clusters().find(Some(id)).is_err() {
                return Err(ControlError::field("clusters", format!("there is no cluster '{id}'")));
            }
        }
        Ok(name.to_owned())
    }

    fn sealing_key(&self) -> Result<&SealingKey, ControlError> {
        self.alerts().alerting().key.as_ref().ok_or_else(|| {
            ControlError::Conflict("there is no installation key: set HOLDFAST_KEY_PATH and start again".to_owned())
        })
    }

    /// Bound to what it is for, not to a row: the id is not known before the row is written.
    fn seal(&self, destination: &Destination) -> Result<String, ControlError> {
        let text = serde_json::to_string(destination)
            .map_err(|error| ControlError::Conflict(format!("the channel cannot be written down: {error}")))?;
        self.sealing_key()?.seal(SEALED, &text).map_err(ControlError::Auth)
    }

    fn opened(&self, row: &ChannelRow) -> Result<Destination, ControlError> {
        // What is wrong with a key can be mended by whoever reads this, so it is told.
        let failed =
            |error: String| ControlError::Conflict(format!("the channel '{}' cannot be used: {error}", row.name));
        let text = self.sealing_key()?.open(SEALED, &row.sealed).map_err(|error| failed(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
    }
}

const SEALED: &str = "alert_channel";

/// From what somebody wrote, and what was there before for the secrets they left out; the key that was made.
fn destination(spec: &ChannelSpec, before: Option<Destination>) -> Result<(Destination, Option<String>), ControlError> {
    let given =
        |value: &Option<String>| value.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let needed = |field: &str, what: &str| ControlError::field(field, what);
    let mut made_key = None;
    let destination = match spec.kind {
        ChannelKind::Webhook => {
            let (old_url, old_key) = match before {
                Some(Destination::Webhook { url, signing_key }) => (Some(url), Some(signing_key)),
                _ => (None, None),
            };
            let url = given(&spec.url)
                .or(old_url)
                .ok_or_else(|| needed("url", "enter the address that takes the messages"))?;
            let signing_key = match given(&spec.signing_key).or(old_key) {
                Some(key) if key.len() < 16 => {
                    return Err(ControlError::field(
                        "signing_key",
                        "a key has at least 16 characters; leave it empty and one is made",
                    ));
                }
                Some(key) => key,
                None => made_key.insert(auth::new_secret().map_err(ControlError::Auth)?).clone(),
            };
            Destination::Webhook { url, signing_key }
        }
        ChannelKind::Slack => {
            let old = match before {
                Some(Destination::Slack { url }) => Some(url),
                _ => None,
            };
            let url = given(&spec.url).or(old);
            Destination::Slack {
                url: url.ok_or_else(|| needed("url", "enter the address of the incoming webhook, from Slack"))?,
            }
        }
        ChannelKind::Email => {
            let old = match before {
                Some(Destination::Email { password, .. }) => password,
                _ => None,
            };
            let username = given(&spec.username);
            let password = given(&spec.password).or(old).filter(|_| username.is_some());
            Destination::Email {
                host: given(&spec.host).ok_or_else(|| needed("host", "name the SMTP server, like smtp.example.org"))?,
                port: spec.port.unwrap_or(match spec.security {
                    domain::alert::SmtpSecurity::Tls => 465,
                    domain::alert::SmtpSecurity::Starttls => 587,
                    domain::alert::SmtpSecurity::None => 25,
                }),
                security: spec.security,
                username,
                password,
                from: given(&spec.from).ok_or_else(|| needed("from", "name the sender, like holdfast@example.org"))?,
                to: spec.to.iter().map(|to| to.trim().to_owned()).filter(|to| !to.is_empty()).collect(),
            }
        }
    };
    destination.check().map_err(|(field, message)| ControlError::field(field, message))?;
    Ok((destination, made_key))
}

fn taken(error: StoreError) -> ControlError {
    match error {
        StoreError::Exists { .. } => ControlError::Conflict(error.to_string()),
        error => ControlError::Store(error),
    }
}

fn told(row: &ChannelRow) -> serde_json::Value {
    json!({
        "name": row.name, "kind": row.kind, "target": row.target, "min_severity": row.min_severity,
        "clusters": row.clusters, "enabled": row.enabled, "secret": "***",
    })
}

fn view(row: ChannelRow, waiting: u32, dead: u32) -> ChannelView {
    ChannelView {
        id: row.id.to_string(),
        name: row.name,
        kind: row.kind,
        target: row.target,
        min_severity: row.min_severity,
        clusters: row.clusters,
        enabled: row.enabled,
        created_by: row.created_by,
        created_at: row.created_at,
        last_sent_at: row.last_sent_at,
        last_error: row.last_error,
        waiting,
        dead,
    }
}
