//! Telling people: webhook, Slack, e-mail. One message, one attempt, and an error that says in plain words what went
//! wrong and whether trying again makes sense. When and how often is decided by whoever calls.
//!
//! What a receiver can rely on: the same message may arrive twice (it is sent again when the answer was lost) and then
//! carries the same key; the body is signed with the time, so that neither can be changed or replayed later.

mod email;
mod error;
mod message;
mod web;

pub use error::SendError;
pub use message::{Message, MessageKind};
pub use web::{KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature};

use domain::{
    Timestamp,
    alert::{ChannelKind, SmtpSecurity},
};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// How long one attempt may take, connecting included.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Where a channel leads, with its secrets. It is only ever kept sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Destination {
    /// JSON by HTTP POST.
    Webhook {
        /// Where to.
        url: String,
        /// Key of the signature.
        signing_key: String,
    },
    /// A Slack incoming webhook.
    Slack {
        /// The address, which is its own password.
        url: String,
    },
    /// E-mail.
    Email {
        /// SMTP server.
        host: String,
        /// Its port.
        port: u16,
        /// TLS.
        security: SmtpSecurity,
        /// Account there, when it needs one.
        username: Option<String>,
        /// Its password.
        password: Option<String>,
        /// Sender.
        from: String,
        /// Receivers.
        to: Vec<String>,
    },
}

impl Destination {
    /// Kind.
    pub const fn kind(&self) -> ChannelKind {
        match self {
            Self::Webhook { .. } => ChannelKind::Webhook,
            Self::Slack { .. } => ChannelKind::Slack,
            Self::Email { .. } => ChannelKind::Email,
        }
    }

    /// Where it leads, without what is secret.
    pub fn target(&self) -> String {
        let host = |url: &str| {
            let parsed = url::Url::parse(url).ok();
            parsed.and_then(|url| {
                let host = url.host_str()?.to_owned();
                Some(url.port().map_or(host.clone(), |port| format!("{host}:{port}")))
            })
        };
        match self {
            Self::Webhook { url, .. } | Self::Slack { url } => host(url).unwrap_or_default(),
            Self::Email { host, port, to, .. } => format!("{} by {host}:{port}", to.join(", ")),
        }
    }

    /// What is wrong with it, by field.
    ///
    /// # Errors
    /// The field and what is allowed.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        match self {
            Self::Webhook { url, .. } | Self::Slack { url } => {
                let parsed = url::Url::parse(url)
                    .map_err(|_| ("url", "an address begins with https:// (or http://)".to_owned()))?;
                if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
                    return Err(("url", "an address begins with https:// (or http://)".to_owned()));
                }
                if !parsed.username().is_empty() || parsed.password().is_some() {
                    return Err(("url", "leave name and password out of the address; messages are signed".to_owned()));
                }
                Ok(())
            }
            Self::Email { .. } => email::check(self),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({} {})", self.kind().as_str(), self.target())
    }
}

/// Sends messages; cheap to clone.
#[derive(Clone, Debug)]
pub struct Notifier {
    web: web::Client,
    time_limit: Duration,
}

impl Notifier {
    /// With the certificates that this machine trusts.
    pub fn new() -> Self {
        Self { web: web::Client::new(), time_limit: TIME_LIMIT }
    }

    /// With another limit than [`TIME_LIMIT`].
    #[must_use]
    pub fn with_time_limit(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }

    /// One attempt, at most as long as the limit. `at` is the time that is signed.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, to: &Destination, message: &Message, at: Timestamp) -> Result<(), SendError> {
        let attempt = async {
            match to {
                Destination::Webhook { url, signing_key } => self.web.webhook(url, signing_key, message, at).await,
                Destination::Slack { url } => self.web.slack(url, message).await,
                Destination::Email { .. } => email::send(to, message).await,
            }
        };
        tokio::time::timeout(self.time_limit, attempt).await.unwrap_or_else(|_| {
            let seconds = self.time_limit.as_secs_f64();
            Err(SendError::later(format!("{} did not answer within {seconds} s", to.target())))
        })
    }
}

impl Default for Notifier {
    fn default() -> Self {
        Self::new()
    }
}
