//! Webhooks and Slack.
use crate::{Message, MessageKind, SendError};
use bytes::Bytes;
use domain::{Timestamp, alert::Severity};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use sha2::Sha256;
use std::{error::Error as _, sync::Arc, time::Duration};

/// Seconds since 1970 at which the message was signed.
pub const TIMESTAMP_HEADER: &str = "x-holdfast-timestamp";
/// `v1=` and the signature in hexadecimal.
pub const SIGNATURE_HEADER: &str = "x-holdfast-signature";
/// The message's key: whoever has seen it before may drop it.
pub const KEY_HEADER: &str = "idempotency-key";

/// Enough for the word of explanation that Slack and others send.
const ANSWER_BYTES: usize = 4_096;

/// HMAC-SHA256 over `timestamp.body` in hexadecimal: what a receiver computes to see that a message is ours and fresh.
pub fn signature(signing_key: &str, timestamp: &str, body: &[u8]) -> String {
    // Any length of key is allowed: it cannot refuse.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(signing_key.as_bytes()) else { return String::new() };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    pub(crate) fn new() -> Self {
        let mut roots = rustls::RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            tracing::warn!("this machine has no trusted certificates (package ca-certificates): https channels fail");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let connector = match tls {
            Ok(tls) => HttpsConnectorBuilder::new()
                .with_tls_config(tls)
                .https_or_http()
                .enable_http1()
                .wrap_connector(connector),
            // The provider has the default versions: it cannot happen, and then only plain HTTP works.
            Err(error) => {
                tracing::error!(%error, "TLS cannot be set up");
                let none = rustls::ClientConfig::builder()
                    .with_root_certificates(rustls::RootCertStore::empty())
                    .with_no_client_auth();
                HttpsConnectorBuilder::new()
                    .with_tls_config(none)
                    .https_or_http()
                    .enable_http1()
                    .wrap_connector(connector)
            }
        };
        // No idle connections: a peer that died in between would cost the next message its first attempt.
        let http = HyperClient::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self { http }
    }

    pub(crate) async fn webhook(
        &self,
        url: &str,
        signing_key: &str,
        message: &Message,
        at: Timestamp,
    ) -> Result<(), SendError> {
        let body = serde_json::to_vec(message).map_err(|error| SendError::permanent(error.to_string()))?;
        let timestamp = (at.0 / 1_000).to_string();
        let signed = format!("v1={}", signature(signing_key, &timestamp, &body));
        let request = Request::post(url)
            .header(TIMESTAMP_HEADER, timestamp)
            .header(SIGNATURE_HEADER, signed)
            .header(KEY_HEADER, &message.key);
        self.post(request, body).await
    }

    pub(crate) async fn slack(&self, url: &str, message: &Message) -> Result<(), SendError> {
        let body = serde_json::to_vec(&slack_body(message)).map_err(|error| SendError::permanent(error.to_string()))?;
        self.post(Request::post(url), body).await
    }

    async fn post(&self, request: http::request::Builder, body: Vec<u8>) -> Result<(), SendError> {
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("Holdfast/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| SendError::permanent(format!("the address cannot be used: {error}")))?;
        let host = request.uri().host().unwrap_or_default().to_owned();
        let response = self.http.request(request).await.map_err(|error| unreached(&host, &error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let said = Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map(|body| body.to_bytes());
        let said = said.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        Err(answered(&host, status, &said))
    }
}

fn unreached(host: &str, error: &hyper_util::client::legacy::Error) -> SendError {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.contains("certificate") {
        return SendError::later(format!("{host} shows a certificate that this machine does not trust: {text}"));
    }
    SendError::later(format!("{host} is not reached: {text}"))
}

/// What others answer is shown to administrators only, short and on one line.
fn answered(host: &str, status: StatusCode, said: &str) -> SendError {
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect::<String>();
    let said = if said.is_empty() || said.starts_with('<') { String::new() } else { format!(": {said}") };
    match status.as_u16() {
        408 | 425 | 429 | 500..=599 => SendError::later(format!("{host} answered {status}{said}")),
        300..=399 => SendError::permanent(format!(
            "{host} answered {status}: enter the address that it leads to; redirects are not followed"
        )),
        401 | 403 => {
            SendError::permanent(format!("{host} refuses the message ({status}){said}; check the address and key"))
        }
        404 | 410 => {
            SendError::permanent(format!("{host} does not know this address ({status}){said}; make a new one there"))
        }
        _ => SendError::permanent(format!("{host} answered {status}{said}")),
    }
}

fn slack_body(message: &Message) -> serde_json::Value {
    // Slack's own rule: these three and no others.
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let color = match (message.kind, message.severity) {
        (MessageKind::Resolved, _) => "#2e7d4f",
        (_, Severity::Critical) => "#c0392b",
        (_, Severity::Warning) => "#b9770e",
        (_, Severity::Info) => "#3465a4",
    };
    let field = |title: &str, value: &str| {
        (!value.is_empty()).then(|| json!({ "title": title, "value": escape(value), "short": true }))
    };
    let fields = [
        field("Cluster", &message.cluster_name),
        field("Severity", message.severity.as_str()),
        field("Value", &message.measured),
        field("Threshold", &message.threshold),
        field("About", &message.object),
        field("Since", &message.since.to_human()),
        field("Over", &message.resolved_at.map(Timestamp::to_human).unwrap_or_default()),
    ];
    json!({
        "text": escape(&message.subject()),
        "attachments": [{
            "color": color,
            "title": escape(&message.title),
            "title_link": message.url,
            "text": message.detail.as_deref().map(escape),
            "fields": fields.into_iter().flatten().collect::<Vec<_>>(),
            "fallback": escape(&message.subject()),
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::message;

    #[test]
    fn the_signature_is_the_one_that_openssl_makes() {
        // printf '1795485600.{"a":1}' | openssl dgst -sha256 -hmac secret
        let made = signature("secret", "1795485600", br#"{"a":1}"#);
        assert_eq!(made, "3ea77907f9d3b5387fc08d70e2f29e2d28cc6ca7e9414306adf3c58b222c577d");
        assert_ne!(made, signature("secret", "1795485601", br#"{"a":1}"#));
    }

    #[test]
    fn slack_gets_no_markup_from_a_name() {
        let body = slack_body(&message(MessageKind::Firing));
        assert!(body["text"].as_str().is_some_and(|text| text.contains("Shop &lt;&amp;&gt;")), "{body}");
        assert_eq!(body["attachments"][0]["fields"][3]["value"], "&gt; 90 %");
    }

    #[test]
    fn what_others_answer_decides_whether_it_is_tried_again() {
        let permanent = |status: u16| {
            StatusCode::from_u16(status).is_ok_and(|status| answered("h", status, "<html>").is_permanent())
        };
        assert_eq!([302, 400, 403, 404, 410].map(permanent), [true; 5]);
        assert_eq!([408, 429, 500, 503].map(permanent), [false; 4]);
    }
}
