//! The words of alerting: how bad, which side of a threshold, what state, what a rule is set to.
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How bad; each is worse than the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing to do now.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// All, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The name in the store, on the wire and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not a severity; use info, warning or critical"))
    }
}

/// On which side of the threshold a value breaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// Greater is worse.
    Above,
    /// Smaller is worse.
    Below,
}

impl Comparison {
    /// `above` or `below`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }
    /// The sign: `>` or `<`.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::Below => "<",
        }
    }
}

/// Where an alert stands. What is not measured any more is `NoData` and stays open: it never ends by silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// The threshold is breached, not yet for long enough.
    Pending,
    /// Raised.
    Firing,
    /// Raised, and somebody has taken it on.
    Acknowledged,
    /// Raised, and nobody is to be told until a moment.
    Silenced,
    /// Raised within a blackout: nobody is told while that lasts.
    Suppressed,
    /// Raised, and its figure cannot be read now: it is not known whether it still holds.
    NoData,
    /// Over.
    Resolved,
}

impl AlertState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Firing,
        Self::Acknowledged,
        Self::Silenced,
        Self::Suppressed,
        Self::NoData,
        Self::Resolved,
    ];

    /// The name on the wire and on pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Acknowledged => "acknowledged",
            Self::Silenced => "silenced",
            Self::Suppressed => "suppressed",
            Self::NoData => "no_data",
            Self::Resolved => "resolved",
        }
    }
    /// For people: `no data`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoData => "no data",
            other => other.as_str(),
        }
    }
}

impl FromStr for AlertState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not a state; use one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// One severity of a rule: it is raised beyond `threshold` and over at `clear`, which lies on the better side of it.
/// Between the two nothing changes: that is the hysteresis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// How bad it then is.
    pub severity: Severity,
    /// Raised when the value lies beyond it.
    pub threshold: f64,
    /// Over when the value is here or better.
    pub clear: f64,
}

/// What a rule is set to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// Whether it is asked at all.
    pub enabled: bool,
    /// Its severities, the mildest first; at least one.
    pub levels: Vec<Level>,
    /// How long the threshold must be breached before it is raised.
    pub for_seconds: u32,
    /// How long it must be better than `clear` before it is over.
    pub clear_for_seconds: u32,
}

impl RuleSettings {
    /// From the fields of a form: `enabled` (anything but empty), for each severity its threshold and `…_clear`
    /// (the threshold without it), `severity` for rules without a figure, `for_seconds`, `clear_for_seconds`.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn read(field: impl Fn(&str) -> Option<String>) -> Result<Self, (String, String)> {
        let text = |name: &str| field(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let number = |name: &str| {
            let wrong = || (name.to_owned(), format!("{}: a number is needed", name.replace('_', " ")));
            text(name).map(|text| text.parse::<f64>().map_err(|_| wrong())).transpose()
        };
        let seconds = |name: &str| {
            let wrong = || (name.to_owned(), "a whole number of seconds is needed".to_owned());
            text(name).map_or(Ok(0), |text| text.parse::<u32>().map_err(|_| wrong()))
        };
        let mut levels = Vec::new();
        for severity in Severity::ALL {
            let Some(threshold) = number(severity.as_str())? else { continue };
            let clear = number(&format!("{severity}_clear"))?.unwrap_or(threshold);
            levels.push(Level { severity, threshold, clear });
        }
        if let (true, Some(severity)) = (levels.is_empty(), text("severity")) {
            let severity = severity.parse().map_err(|message| ("severity".to_owned(), message))?;
            levels.push(Level { severity, threshold: 0.5, clear: 0.5 });
        }
        Ok(Self {
            enabled: text("enabled").is_some(),
            levels,
            for_seconds: seconds("for_seconds")?,
            clear_for_seconds: seconds("clear_for_seconds")?,
        })
    }
}

/// For which clusters a rule is set; the narrowest that there is holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleScope {
    /// All that have no setting of their own and none of their group's.
    All,
    /// Those of a group that have none of their own.
    Group(String),
    /// One, by its id.
    Cluster(String),
}

impl RuleScope {
    /// By what is named: all without a cluster and a group, `None` with both.
    pub fn of(cluster: Option<String>, group: Option<String>) -> Option<Self> {
        match (cluster, group) {
            (None, None) => Some(Self::All),
            (None, Some(group)) => Some(Self::Group(group)),
            (Some(cluster), None) => Some(Self::Cluster(cluster)),
            (Some(_), Some(_)) => None,
        }
    }

    /// The id of the cluster, where it is for one.
    pub fn cluster(&self) -> Option<&str> {
        if let Self::Cluster(id) = self { Some(id) } else { None }
    }

    /// The group, where it is for one.
    pub fn group(&self) -> Option<&str> {
        if let Self::Group(group) = self { Some(group) } else { None }
    }
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// A figure against thresholds.
    Figure,
    /// Something that is so or is not.
    Condition,
    /// Something that happened: it is told once and ends by itself.
    Notice,
}

/// How a message reaches people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// JSON by HTTP POST, signed.
    Webhook,
    /// A Slack incoming webhook.
    Slack,
    /// E-mail by SMTP.
    Email,
}

impl ChannelKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Webhook, Self::Slack, Self::Email];

    /// The name in the store and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Email => "email",
        }
    }
}

impl FromStr for ChannelKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not a kind of channel; use webhook, slack or email"))
    }
}

/// How the connection to an SMTP server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// Plain at first, then TLS or nothing (port 587).
    #[default]
    Starttls,
    /// TLS from the first byte (port 465).
    Tls,
    /// Not at all; no password is sent this way but to the own machine.
    None,
}

impl SmtpSecurity {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starttls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }
}

impl FromStr for SmtpSecurity {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Starttls, Self::Tls, Self::None]
            .into_iter()
            .find(|security| security.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not known; use starttls, tls or none"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_from_a_form_and_what_is_wrong_is_named() {
        let read = |fields: &[(&str, &str)]| {
            RuleSettings::read(|name| fields.iter().find(|field| field.0 == name).map(|field| field.1.to_owned()))
        };
        let settings = read(&[
            ("enabled", "on"),
            ("warning", "80"),
            ("warning_clear", "75"),
            ("critical", " 90 "),
            ("for_seconds", "30"),
        ])
        .unwrap();
        assert!(settings.enabled && settings.for_seconds == 30 && settings.clear_for_seconds == 0);
        let levels = settings.levels.iter().map(|it| (it.severity, it.threshold, it.clear)).collect::<Vec<_>>();
        assert_eq!(levels, [(Severity::Warning, 80.0, 75.0), (Severity::Critical, 90.0, 90.0)]);
        assert_eq!(read(&[("severity", "critical")]).unwrap().levels[0].severity, Severity::Critical);
        assert_eq!(read(&[("warning", "much")]).unwrap_err().0, "warning");
        assert_eq!(read(&[("for_seconds", "-1")]).unwrap_err().0, "for_seconds");
        assert_eq!(read(&[("severity", "bad")]).unwrap_err().0, "severity");
    }
}
