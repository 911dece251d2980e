//! Alerts, their rules, blackouts, and the channels by which people are told.
use crate::{
    Timestamp,
    alert::{AlertState, ChannelKind, Comparison, RuleKind, RuleSettings, Severity, SmtpSecurity},
    view::Metric,
};
use serde::{Deserialize, Serialize};

/// Who has taken an alert on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they said.
    pub note: String,
    /// Until when it counts; `None` is until the alert is over.
    pub until: Option<Timestamp>,
}

/// That nobody is to be told of an alert for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Silence {
    /// Who asked for it.
    pub by: String,
    /// What they said.
    pub note: String,
    /// Its end; there always is one.
    pub until: Timestamp,
}

/// One alert, from the breach to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertView {
    /// Id.
    pub id: String,
    /// Id of the cluster.
    pub cluster: String,
    /// Key of the rule: `connections_high`.
    pub rule: String,
    /// What in the cluster it is about: a standby, a slot, a statement; empty for the whole.
    pub object: String,
    /// The rule's sentence.
    pub title: String,
    /// More of it, literals masked.
    pub detail: Option<String>,
    /// How bad it is now, or was at its worst when it is over.
    pub severity: Severity,
    /// Where it stands.
    pub state: AlertState,
    /// The last value; `None` for what has none.
    pub value: Option<f64>,
    /// The same for people: `92.4 %`.
    pub measured: String,
    /// What it is compared with: `> 90 %`.
    pub threshold: String,
    /// Raised, or first breached while it is pending.
    pub since: Timestamp,
    /// First breached.
    pub started_at: Timestamp,
    /// Raised.
    pub fired_at: Option<Timestamp>,
    /// Over.
    pub resolved_at: Option<Timestamp>,
    /// Since when its figure is missing.
    pub no_data_since: Option<Timestamp>,
    /// Who has taken it on.
    pub acknowledged: Option<Acknowledgement>,
    /// Until when it is kept quiet.
    pub silenced: Option<Silence>,
    /// The blackout that keeps it quiet.
    pub suppressed_by: Option<String>,
    /// Number of the snapshot that raised it.
    pub sequence: u64,
    /// Where to look.
    pub page: String,
}

/// What happened to an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertEventView {
    /// When.
    pub at: Timestamp,
    /// `fired`, `raised`, `lowered`, `no_data`, `data_back`, `acknowledged`, `unacknowledged`, `silenced`, `unsilenced`,
    /// `withdrawn`, `resolved`.
    pub kind: String,
    /// Severity after it.
    pub severity: Severity,
    /// Who did it; `None` when it happened by itself.
    pub actor: Option<String>,
    /// The value, or what somebody said.
    pub note: String,
}

/// One alert with its story.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertDetail {
    /// The alert.
    pub alert: AlertView,
    /// What happened, the oldest first.
    pub events: Vec<AlertEventView>,
    /// Messages about it, the oldest first.
    pub deliveries: Vec<DeliveryView>,
}

/// A page of alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertsPage {
    /// Open ones by severity, then the oldest first; over ones the newest first.
    pub rows: Vec<AlertView>,
    /// For the next page.
    pub next_cursor: Option<String>,
}

/// How many are open, by severity; pending ones are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertCounts {
    /// Critical.
    pub critical: u32,
    /// Warning.
    pub warning: u32,
    /// Info.
    pub info: u32,
}

impl AlertCounts {
    /// Counts what is raised and not over.
    pub fn of<'a>(alerts: impl IntoIterator<Item = &'a AlertView>) -> Self {
        let mut counts = Self::default();
        for alert in alerts.into_iter().filter(|it| !matches!(it.state, AlertState::Pending | AlertState::Resolved)) {
            match alert.severity {
                Severity::Critical => counts.critical += 1,
                Severity::Warning => counts.warning += 1,
                Severity::Info => counts.info += 1,
            }
        }
        counts
    }
}

/// Where the settings of a rule come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RuleSource {
    /// As shipped.
    Default,
    /// Set for all clusters.
    AllClusters,
    /// Set for the clusters of its group.
    Group,
    /// Set for this cluster.
    Cluster,
}

/// One rule as it is in force for a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuleView {
    /// Key: `connections_high`.
    pub key: String,
    /// The sentence.
    pub title: String,
    /// What it looks at, and why that matters.
    pub about: String,
    /// What kind.
    pub kind: RuleKind,
    /// Which side is bad.
    pub comparison: Comparison,
    /// Unit of value and thresholds: `%`, `s`, `B`, or empty.
    pub unit: String,
    /// What each alert of it is about: `standby`, `slot`, `statement`; `None` for the whole cluster.
    pub object: Option<String>,
    /// The recorded figure that a preview reads; `None` when its history is not kept.
    pub metric: Option<Metric>,
    /// In force.
    pub settings: RuleSettings,
    /// As shipped.
    pub default: RuleSettings,
    /// Where those in force come from.
    pub source: RuleSource,
    /// The group of the cluster, for which the rule can be set too.
    pub group: Option<String>,
    /// Open alerts of it now.
    pub open: u32,
    /// Alerts raised in the last seven days.
    pub fired: u32,
    /// Of those, taken on by somebody.
    pub acknowledged: u32,
    /// Of those, over.
    pub resolved: u32,
}

/// What a rule would have done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulePreview {
    /// Key of the rule.
    pub rule: String,
    /// Days looked at.
    pub days: u32,
    /// Days that hold figures, with a fraction.
    pub covered_days: f64,
    /// How often it would have been raised.
    pub fired: u32,
    /// The longest of them.
    pub longest_seconds: f64,
    /// Whether it would be open at the end.
    pub open_now: bool,
    /// When, the newest first; at most 20.
    pub times: Vec<PreviewAlert>,
    /// Why there is no answer, when there is none.
    pub unavailable: Option<String>,
}

/// One alert that would have been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewAlert {
    /// What it would have been about.
    pub object: String,
    /// At its worst.
    pub severity: Severity,
    /// Raised.
    pub from: Timestamp,
    /// Over; `None` when it would still be open.
    pub to: Option<Timestamp>,
}

/// A time in which nobody is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlackoutView {
    /// Id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Only this cluster; `None` is all.
    pub cluster: Option<String>,
    /// Only this rule; `None` is all.
    pub rule: Option<String>,
    /// From.
    pub starts_at: Timestamp,
    /// To. A recurring one ends here too.
    pub ends_at: Timestamp,
    /// Recurring: when each window begins, as five cron fields in UTC.
    pub cron: Option<String>,
    /// Recurring: how long each window lasts.
    pub duration_seconds: Option<u32>,
    /// Made by.
    pub created_by: String,
    /// Made.
    pub created_at: Timestamp,
    /// In force now.
    pub active: bool,
    /// When the next window begins, or this one when it is in force.
    pub next_at: Option<Timestamp>,
}

/// A way to tell people, without its secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelView {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: ChannelKind,
    /// Where it leads, without what is secret: `hooks.example`, `dba@example.org by smtp.example:587`.
    pub target: String,
    /// Messages from this severity on.
    pub min_severity: Severity,
    /// Only of these clusters; empty is all.
    pub clusters: Vec<String>,
    /// In use.
    pub enabled: bool,
    /// Made by.
    pub created_by: String,
    /// Made.
    pub created_at: Timestamp,
    /// The last message that arrived.
    pub last_sent_at: Option<Timestamp>,
    /// What went wrong at the last attempt, when it did.
    pub last_error: Option<String>,
    /// Messages under way.
    pub waiting: u32,
    /// Messages given up.
    pub dead: u32,
}

/// What a channel is made of. `None` for a secret keeps the present one when a channel is changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChannelSpec {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: ChannelKind,
    /// Webhook and Slack: the address; secret.
    #[serde(default)]
    pub url: Option<String>,
    /// Webhook: the key by which messages are signed; secret. Without one it is made and told once.
    #[serde(default)]
    pub signing_key: Option<String>,
    /// E-mail: SMTP server.
    #[serde(default)]
    pub host: Option<String>,
    /// E-mail: its port.
    #[serde(default)]
    pub port: Option<u16>,
    /// E-mail: TLS.
    #[serde(default)]
    pub security: SmtpSecurity,
    /// E-mail: account at the SMTP server.
    #[serde(default)]
    pub username: Option<String>,
    /// E-mail: its password; secret.
    #[serde(default)]
    pub password: Option<String>,
    /// E-mail: sender.
    #[serde(default)]
    pub from: Option<String>,
    /// E-mail: receivers.
    #[serde(default)]
    pub to: Vec<String>,
    /// Messages from this severity on.
    pub min_severity: Severity,
    /// Only of these clusters; empty is all.
    #[serde(default)]
    pub clusters: Vec<String>,
    /// In use.
    #[serde(default = "yes")]
    pub enabled: bool,
}

const fn yes() -> bool {
    true
}

/// What became of a test message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelTest {
    /// It arrived.
    pub ok: bool,
    /// In plain words, and what to do when it did not.
    pub message: String,
}

/// One message to one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeliveryView {
    /// Id.
    pub id: String,
    /// Name of the channel.
    pub channel: String,
    /// `firing`, `raised`, `resolved`, `notice`.
    pub kind: String,
    /// In one line.
    pub subject: String,
    /// `waiting`, `sending`, `sent`, `dead`, `dropped`.
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was written down.
    pub created_at: Timestamp,
    /// When it is tried again.
    pub next_at: Option<Timestamp>,
    /// When it arrived.
    pub sent_at: Option<Timestamp>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// An `alert` event of `GET /api/database/stream`: something about the cluster's alerts changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertLive {
    /// Which cluster.
    pub cluster: String,
    /// Grows with each change.
    pub generation: u64,
    /// How many are open now.
    #[serde(flatten)]
    pub open: AlertCounts,
}

/// Which alerts are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertsParams {
    /// Only of this cluster.
    pub cluster: Option<String>,
    /// Only in this state; `None` is all that are open, `resolved` those that are over.
    pub state: Option<AlertState>,
    /// Only of this severity.
    pub severity: Option<Severity>,
    /// Only of this rule, by its key.
    pub rule: Option<String>,
    /// Only with this text in title, object, value or detail.
    pub search: Option<String>,
}

impl AlertsParams {
    /// From parameters of an address: `cluster`, `state` (`open` or one of the states), `severity`, `rule`, `q`; an empty one
    /// is an absent one.
    ///
    /// # Errors
    /// The parameter that is wrong and what is allowed.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, (String, String)> {
        let text = |name: &str| get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let wrong = |field: &str, message: String| (field.to_owned(), message);
        let state = match text("state").as_deref() {
            None | Some("open") => None,
            Some(state) => Some(AlertState::ALL.into_iter().find(|it| it.as_str() == state).ok_or_else(|| {
                let known = AlertState::ALL.map(AlertState::as_str).join(", ");
                wrong("state", format!("'{state}' is not known; use open or one of {known}"))
            })?),
        };
        let severity = text("severity").map(|text| text.parse()).transpose();
        Ok(Self {
            cluster: text("cluster"),
            state,
            severity: severity.map_err(|message| wrong("severity", message))?,
            rule: text("rule"),
            search: text("q"),
        })
    }

    /// The parameters that differ from none.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let pairs = [
            ("cluster", self.cluster.clone()),
            ("state", self.state.map(|state| state.as_str().to_owned())),
            ("severity", self.severity.map(|severity| severity.as_str().to_owned())),
            ("rule", self.rule.clone()),
            ("q", self.search.clone()),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Whether anything but the cluster narrows the list.
    pub const fn is_narrow(&self) -> bool {
        self.severity.is_some()
            || self.rule.is_some()
            || self.search.is_some()
            || !matches!(self.state, None | Some(AlertState::Resolved))
    }

    /// Whether an alert is among those meant.
    pub fn matches(&self, alert: &AlertView) -> bool {
        let has = |word: &str| {
            let word = word.to_lowercase();
            let texts = [Some(&alert.title), Some(&alert.object), Some(&alert.measured), alert.detail.as_ref()];
            texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&word))
        };
        self.cluster.as_ref().is_none_or(|cluster| *cluster == alert.cluster)
            && self.state.is_none_or(|state| state == alert.state)
            && self.severity.is_none_or(|severity| severity == alert.severity)
            && self.rule.as_ref().is_none_or(|rule| *rule == alert.rule)
            && self.search.as_deref().is_none_or(has)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<AlertsParams, (String, String)> {
        AlertsParams::read(|name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()))
    }

    #[test]
    fn what_an_address_asks_for_comes_back_in_it() {
        let params =
            read(&[("state", "no_data"), ("severity", "critical"), ("rule", "deadlocks"), ("q", " shop ")]).unwrap();
        assert_eq!(
            (params.state, params.severity, params.search.as_deref()),
            (Some(AlertState::NoData), Some(Severity::Critical), Some("shop"))
        );
        let pairs = params.pairs();
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>();
        assert_eq!(read(&pairs).unwrap(), params);
        assert_eq!(read(&[("state", "open"), ("q", "")]).unwrap(), AlertsParams::default());
        assert!(params.is_narrow() && !read(&[("state", "resolved"), ("cluster", "main")]).unwrap().is_narrow());
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        assert_eq!(read(&[("state", "lost")]).unwrap_err().0, "state");
        let (field, message) = read(&[("severity", "high")]).unwrap_err();
        assert!(field == "severity" && message.contains("critical"), "{message}");
    }
}
