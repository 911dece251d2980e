//! What is told.
use domain::{Timestamp, alert::Severity};
use serde::{Deserialize, Serialize};

/// Why a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageKind {
    /// An alert was raised.
    Firing,
    /// One that was told is worse now.
    Raised,
    /// One that was told is over.
    Resolved,
    /// Something happened; nothing will follow.
    Notice,
    /// Somebody tries the channel.
    Test,
}

impl MessageKind {
    /// The name in the store and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Raised => "raised",
            Self::Resolved => "resolved",
            Self::Notice => "notice",
            Self::Test => "test",
        }
    }
}

/// One message. Its JSON is what a webhook receives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The same for the same message, however often it is sent.
    pub key: String,
    /// Why.
    pub kind: MessageKind,
    /// How bad.
    pub severity: Severity,
    /// Id of the cluster.
    pub cluster: String,
    /// Its name.
    pub cluster_name: String,
    /// Id of the alert; `None` for a test.
    pub alert: Option<String>,
    /// Key of the rule.
    pub rule: String,
    /// What it is about; empty for the whole cluster.
    pub object: String,
    /// The rule's sentence.
    pub title: String,
    /// More of it.
    pub detail: Option<String>,
    /// The value.
    pub measured: String,
    /// What it is compared with.
    pub threshold: String,
    /// Raised.
    pub since: Timestamp,
    /// Over.
    pub resolved_at: Option<Timestamp>,
    /// Where to look.
    pub url: String,
}

impl Message {
    /// In one line: `CRITICAL shop: Connection slots are running out (92 %, > 90 %)`.
    pub fn subject(&self) -> String {
        let head = match self.kind {
            MessageKind::Resolved => "RESOLVED".to_owned(),
            MessageKind::Test => "TEST".to_owned(),
            _ => self.severity.as_str().to_uppercase(),
        };
        let object = if self.object.is_empty() { String::new() } else { format!(" {}", self.object) };
        let values = [self.measured.as_str(), self.threshold.as_str()];
        let values = values.into_iter().filter(|value| !value.is_empty()).collect::<Vec<_>>().join(", ");
        let values = if values.is_empty() { values } else { format!(" ({values})") };
        // A line break in a subject would be another header.
        format!("{head} {}: {}{object}{values}", self.cluster_name, self.title)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(200)
            .collect()
    }

    /// As text for people, with everything that is known.
    pub fn text(&self) -> String {
        let mut lines = vec![self.title.clone(), String::new()];
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                lines.push(format!("{name:<10} {value}"));
            }
        };
        add("Cluster", &self.cluster_name);
        add("About", &self.object);
        add("Severity", self.severity.as_str());
        add("Value", &self.measured);
        add("Threshold", &self.threshold);
        add("Since", &self.since.to_human());
        add("Over", &self.resolved_at.map(Timestamp::to_human).unwrap_or_default());
        if let Some(detail) = &self.detail {
            lines.extend([String::new(), detail.clone()]);
        }
        lines.extend([String::new(), self.url.clone()]);
        lines.join("\n")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn message(kind: MessageKind) -> Message {
        Message {
            key: "1-firing-critical-2".into(),
            kind,
            severity: Severity::Critical,
            cluster: "main".into(),
            cluster_name: "Shop <&>".into(),
            alert: Some("1".into()),
            rule: "connections_high".into(),
            object: String::new(),
            title: "Connection slots are running out".into(),
            detail: Some("50 of them\nidle".into()),
            measured: "92.1 %".into(),
            threshold: "> 90 %".into(),
            since: Timestamp(1_795_485_600_000),
            resolved_at: None,
            url: "https://holdfast.example/alerts?cluster=main".into(),
        }
    }

    #[test]
    fn a_subject_is_one_line_with_what_one_needs_at_night() {
        let mut one = message(MessageKind::Firing);
        assert_eq!(one.subject(), "CRITICAL Shop <&>: Connection slots are running out (92.1 %, > 90 %)");
        one.title = "a\r\nBcc: all@example.org".into();
        assert!(!one.subject().contains(['\r', '\n']));
        assert!(message(MessageKind::Resolved).subject().starts_with("RESOLVED "));
        assert!(one.text().contains("Threshold  > 90 %") && one.text().ends_with("cluster=main"));
    }
}
