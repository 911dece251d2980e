//! Forms of the alerts page. They work without JavaScript; each answers with a redirect to the tab it came from, with
//! what was done or what is wrong in the address.

use super::{
    App,
    actor::{Asking, encode},
    problem::Problem,
};
use axum::{
    Form,
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use control::{ControlError, alerts::NewBlackout};
use domain::{
    ErrorKind, Timestamp,
    alert::{ChannelKind, RuleScope, RuleSettings, Severity, SmtpSecurity},
    view::ChannelSpec,
};
use serde::Deserialize;
use std::{collections::HashMap, str::FromStr};

/// Back to a tab: done, or with the sentence that says why not.
fn back<T>(
    outcome: Result<T, ControlError>,
    tab: &str,
    cluster: &str,
    done: impl FnOnce(T) -> String,
) -> Result<Response, Problem> {
    let mut address = format!("/alerts?tab={tab}");
    if !cluster.is_empty() {
        address.push_str(&format!("&cluster={}", encode(cluster)));
    }
    match outcome {
        Ok(value) => address.push_str(&format!("&done={}", encode(&done(value)))),
        Err(error) => match error.kind() {
            ErrorKind::Internal | ErrorKind::Unavailable | ErrorKind::Forbidden => return Err(error.into()),
            _ => address.push_str(&format!("&error={}", encode(&error.to_string()))),
        },
    }
    Ok(Redirect::to(&address).into_response())
}

/// An empty field is none.
fn some(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn parsed<T: FromStr>(field: &str, text: &str) -> Result<T, ControlError>
where
    T::Err: std::fmt::Display,
{
    text.trim().parse().map_err(|error: T::Err| ControlError::field(field, format!("{field}: {error}")))
}

/// What `<input type="datetime-local">` sends, which has no zone: here it is UTC, as everywhere on the pages.
fn moment(field: &str, text: &str) -> Result<Timestamp, ControlError> {
    let text = text.trim();
    let with_seconds = if text.matches(':').count() == 1 { format!("{text}:00Z") } else { format!("{text}Z") };
    Timestamp::parse_rfc3339(text)
        .or_else(|| Timestamp::parse_rfc3339(&with_seconds))
        .ok_or_else(|| ControlError::field(field, "write a moment like 2026-11-29T02:00 (UTC)"))
}

#[derive(Debug, Deserialize)]
pub struct OneAlert {
    id: String,
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    note: String,
    /// Seconds; empty or 0 is without an end.
    #[serde(default)]
    seconds: String,
}

/// `POST /alerts/acknowledge`
pub async fn acknowledge(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<OneAlert>,
) -> Result<Response, Problem> {
    let seconds = form.seconds.trim().parse::<u32>().unwrap_or(0);
    let until = (seconds > 0).then(|| control::now().plus_ms(i64::from(seconds) * 1_000));
    let outcome = app.control.alert_acknowledge(&actor, &form.id, &form.note, until).await;
    back(outcome, "active", &form.cluster, |_| "acknowledged".to_owned())
}

/// `POST /alerts/unacknowledge`
pub async fn unacknowledge(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<OneAlert>,
) -> Result<Response, Problem> {
    let outcome = app.control.alert_unacknowledge(&actor, &form.id).await;
    back(outcome, "active", &form.cluster, |_| "unacknowledged".to_owned())
}

/// `POST /alerts/silence`
pub async fn silence(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<OneAlert>,
) -> Result<Response, Problem> {
    let outcome = match parsed::<u32>("seconds", &form.seconds) {
        Ok(seconds) => app.control.alert_silence(&actor, &form.id, &form.note, seconds).await,
        Err(error) => Err(error),
    };
    back(outcome, "active", &form.cluster, |_| "silenced".to_owned())
}

/// The fields of a rule's form: `rule`, `cluster`, `group`, `scope` (`cluster`, `group` or `all`), and those of [`RuleSettings::read`].
type Fields = HashMap<String, String>;

fn field<'a>(form: &'a Fields, name: &str) -> &'a str {
    form.get(name).map(String::as_str).unwrap_or_default()
}

fn scope(form: &Fields) -> RuleScope {
    match field(form, "scope") {
        "all" => RuleScope::All,
        "group" => RuleScope::Group(field(form, "group").trim().to_owned()),
        _ => some(field(form, "cluster")).map_or(RuleScope::All, RuleScope::Cluster),
    }
}

/// `POST /alerts/rule`
pub async fn rule_set(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let outcome = match RuleSettings::read(|name| form.get(name).cloned()) {
        Ok(settings) => app.control.alert_rule_set(&actor, &scope(&form), field(&form, "rule"), settings).await,
        Err((name, message)) => Err(ControlError::field(&name, message)),
    };
    back(outcome, "rules", field(&form, "cluster"), |()| "rule".to_owned())
}

/// `POST /alerts/rule/reset`
pub async fn rule_reset(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<Fields>,
) -> Result<Response, Problem> {
    let outcome = app.control.alert_rule_reset(&actor, &scope(&form), field(&form, "rule")).await;
    back(outcome, "rules", field(&form, "cluster"), |()| "rule_reset".to_owned())
}

#[derive(Debug, Default, Deserialize)]
pub struct BlackoutForm {
    #[serde(default)]
    id: String,
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    reason: String,
    /// Id of a cluster; empty is all.
    #[serde(default)]
    only_cluster: String,
    #[serde(default)]
    only_rule: String,
    #[serde(default)]
    starts_at: String,
    #[serde(default)]
    ends_at: String,
    #[serde(default)]
    cron: String,
    #[serde(default)]
    duration_minutes: String,
}

impl BlackoutForm {
    fn wanted(&self) -> Result<NewBlackout, ControlError> {
        let cron = some(&self.cron);
        let minutes = some(&self.duration_minutes).map(|text| parsed::<u32>("duration_seconds", &text)).transpose()?;
        Ok(NewBlackout {
            reason: self.reason.clone(),
            cluster: some(&self.only_cluster),
            rule: some(&self.only_rule),
            starts_at: some(&self.starts_at).map_or_else(|| Ok(control::now()), |text| moment("starts_at", &text))?,
            ends_at: moment("ends_at", &self.ends_at)?,
            duration_seconds: minutes.filter(|_| cron.is_some()).map(|minutes| minutes.saturating_mul(60)),
            cron,
        })
    }
}

/// `POST /alerts/blackout`
pub async fn blackout_create(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<BlackoutForm>,
) -> Result<Response, Problem> {
    // Rights first: whoever may not is not told what is wrong with the form.
    let outcome = match form.wanted() {
        Ok(new) => app.control.blackout_create(&actor, new).await,
        Err(error) if actor.may(domain::Permission::AlertManage) => Err(error),
        Err(_) => app.control.blackout_create(&actor, nothing()).await,
    };
    back(outcome, "blackouts", &form.cluster, |_| "blackout".to_owned())
}

fn nothing() -> NewBlackout {
    NewBlackout {
        reason: String::new(),
        cluster: None,
        rule: None,
        starts_at: Timestamp(0),
        ends_at: Timestamp(0),
        cron: None,
        duration_seconds: None,
    }
}

/// `POST /alerts/blackout/end`
pub async fn blackout_end(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<BlackoutForm>,
) -> Result<Response, Problem> {
    let outcome = app.control.blackout_end(&actor, &form.id).await;
    back(outcome, "blackouts", &form.cluster, |()| "blackout_end".to_owned())
}

#[derive(Debug, Default, Deserialize)]
pub struct ChannelForm {
    #[serde(default)]
    id: String,
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    signing_key: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    port: String,
    #[serde(default)]
    security: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    from: String,
    /// Separated by commas.
    #[serde(default)]
    to: String,
    #[serde(default)]
    min_severity: String,
    #[serde(default)]
    only_cluster: String,
    /// `on` or `off`, for the switch.
    #[serde(default)]
    enabled: String,
}

impl ChannelForm {
    fn spec(&self) -> Result<ChannelSpec, ControlError> {
        let kind = parsed::<ChannelKind>("kind", &self.kind)?;
        Ok(ChannelSpec {
            name: self.name.clone(),
            kind,
            url: some(&self.url),
            signing_key: some(&self.signing_key),
            host: some(&self.host),
            port: some(&self.port).map(|text| parsed("port", &text)).transpose()?,
            security: some(&self.security).map_or(Ok(SmtpSecurity::default()), |text| parsed("security", &text))?,
            username: some(&self.username),
            password: some(&self.password),
            from: some(&self.from),
            to: self.to.split(',').filter_map(some_str).collect(),
            min_severity: some(&self.min_severity)
                .map_or(Ok(Severity::Warning), |text| parsed("min_severity", &text))?,
            clusters: some(&self.only_cluster).into_iter().collect(),
            enabled: true,
        })
    }
}

fn some_str(text: &str) -> Option<String> {
    some(text)
}

/// `POST /alerts/channel`
pub async fn channel_create(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<ChannelForm>,
) -> Result<Response, Problem> {
    let outcome = match form.spec() {
        // A key made by us would have to be shown once, and an address is no place for it: the browser keeps those.
        Ok(spec) if spec.kind == ChannelKind::Webhook && spec.signing_key.is_none() => Err(ControlError::field(
            "signing_key",
            "a webhook needs a key by which its messages are signed: 16 characters or more, known to the receiver too",
        )),
        Ok(spec) => app.control.channel_create(&actor, spec).await,
        Err(error) => Err(error),
    };
    back(outcome, "channels", &form.cluster, |_| "channel".to_owned())
}

/// `POST /alerts/channel/enable`
pub async fn channel_enable(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<ChannelForm>,
) -> Result<Response, Problem> {
    let outcome = app.control.channel_enable(&actor, &form.id, form.enabled == "on").await;
    back(outcome, "channels", &form.cluster, |()| "channel".to_owned())
}

/// `POST /alerts/channel/delete`
pub async fn channel_delete(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<ChannelForm>,
) -> Result<Response, Problem> {
    let outcome = app.control.channel_delete(&actor, &form.id).await;
    back(outcome, "channels", &form.cluster, |()| "channel_delete".to_owned())
}

/// `POST /alerts/channel/test`
pub async fn channel_test(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<ChannelForm>,
) -> Result<Response, Problem> {
    let outcome = match app.control.channel_test(&actor, &form.id).await {
        Ok(test) if test.ok => Ok(test.message),
        Ok(test) => Err(ControlError::Conflict(test.message)),
        Err(error) => Err(error),
    };
    back(outcome, "channels", &form.cluster, |message| format!("test:{message}"))
}

/// `POST /alerts/channel/retry`
pub async fn channel_retry(
    State(app): State<App>,
    Asking(actor): Asking,
    Form(form): Form<ChannelForm>,
) -> Result<Response, Problem> {
    let outcome = app.control.channel_retry(&actor, &form.id).await;
    back(outcome, "channels", &form.cluster, |_| "channel_retry".to_owned())
}
