//! Messages against real servers on the loopback: what arrives, what is said when it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "it/email.rs"]
mod email;

use domain::{
    Timestamp,
    alert::{Severity, SmtpSecurity},
};
use notify::{Destination, KEY_HEADER, Message, MessageKind, Notifier, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature};
use std::{collections::HashMap, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    sync::mpsc,
};

fn message() -> Message {
    Message {
        key: "1-firing-critical-2-3".into(),
        kind: MessageKind::Firing,
        severity: Severity::Critical,
        cluster: "main".into(),
        cluster_name: "Shop".into(),
        alert: Some("1".into()),
        rule: "connections_high".into(),
        object: String::new(),
        title: "Connection slots are running out".into(),
        detail: None,
        measured: "92.1 %".into(),
        threshold: "> 90 %".into(),
        since: Timestamp(1_795_485_600_000),
        resolved_at: None,
        url: "https://holdfast.example/alerts".into(),
    }
}

struct Received {
    head: HashMap<String, String>,
    body: Vec<u8>,
}

/// A web server that gives one answer to everybody; `None` never answers.
async fn web(answer: Option<&'static str>) -> (String, mpsc::UnboundedReceiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut head = HashMap::new();
                let mut line = String::new();
                while stream.read_line(&mut line).await.unwrap() > 2 {
                    if let Some((name, value)) = line.trim().split_once(": ") {
                        head.insert(name.to_lowercase(), value.to_owned());
                    }
                    line.clear();
                }
                let length = head.get("content-length").map_or(0, |text| text.parse().unwrap());
                let mut body = vec![0; length];
                stream.read_exact(&mut body).await.unwrap();
                let _ = tell.send(Received { head, body });
                match answer {
                    Some(answer) => stream.get_mut().write_all(answer.as_bytes()).await.unwrap(),
                    None => std::future::pending::<()>().await,
                }
            });
        }
    });
    (url, told)
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

#[tokio::test]
async fn a_webhook_receives_the_message_signed_with_its_time() {
    let (url, mut told) = web(Some(OK)).await;
    let to = Destination::Webhook { url, signing_key: "0123456789abcdef".into() };
    Notifier::new().send(&to, &message(), Timestamp(1_795_485_601_999)).await.unwrap();
    let received = told.recv().await.unwrap();
    assert_eq!(serde_json::from_slice::<Message>(&received.body).unwrap(), message());
    assert_eq!(received.head[KEY_HEADER], message().key);
    assert_eq!(received.head[TIMESTAMP_HEADER], "1795485601");
    let expected = signature("0123456789abcdef", "1795485601", &received.body);
    assert_eq!(received.head[SIGNATURE_HEADER], format!("v1={expected}"));
    assert_ne!(expected, signature("another key of ours", "1795485601", &received.body));
}

#[tokio::test]
async fn slack_receives_text_and_fields() {
    let (url, mut told) = web(Some(OK)).await;
    Notifier::new().send(&Destination::Slack { url }, &message(), Timestamp(0)).await.unwrap();
    let received = told.recv().await.unwrap();
    let body = serde_json::from_slice::<serde_json::Value>(&received.body).unwrap();
    assert_eq!(body["text"], "CRITICAL Shop: Connection slots are running out (92.1 %, &gt; 90 %)");
    assert!(!received.head.contains_key(SIGNATURE_HEADER));
}

/// For an answer that comes, however busy the machine is.
const ENOUGH: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_goes_wrong_is_said_in_plain_words_with_whether_it_is_worth_trying_again() {
    let send = async |url: String, limit: Duration| {
        let limited = Notifier::new().with_time_limit(limit);
        limited.send(&Destination::Slack { url }, &message(), Timestamp(0)).await.unwrap_err()
    };
    for (answer, said, permanent) in [
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy", "503", false),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\nconnection: close\r\n\r\nno_service", "no_service", true),
        (
            "HTTP/1.1 301 Moved\r\nlocation: https://elsewhere\r\ncontent-length: 0\r\n\r\n",
            "redirects are not followed",
            true,
        ),
    ] {
        let error = send(web(Some(answer)).await.0, ENOUGH).await;
        assert!(error.to_string().contains(said) && error.is_permanent() == permanent, "{error}");
    }
    let slow = send(web(None).await.0, Duration::from_millis(300)).await;
    assert!(slow.to_string().contains("did not answer within 0.3 s") && !slow.is_permanent(), "{slow}");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = send(format!("http://{free}/hook"), ENOUGH).await;
    assert!(refused.to_string().contains("is not reached") && !refused.is_permanent(), "{refused}");
}

#[test]
fn a_destination_is_checked_by_field_and_shows_no_secret() {
    let hook =
        Destination::Webhook { url: "https://hooks.example/s3cret".into(), signing_key: "s3cret s3cret s3cret".into() };
    assert_eq!((hook.check(), hook.target().as_str()), (Ok(()), "hooks.example"));
    assert!(!format!("{hook:?}").contains("s3cret"));
    let field = |to: Destination| to.check().unwrap_err().0;
    for url in ["", "hooks.example", "ftp://hooks.example", "https://name:word@hooks.example"] {
        assert_eq!(field(Destination::Slack { url: url.into() }), "url", "{url}");
    }
    let with = |change: fn(&mut Destination)| {
        let mut to = email::destination(587, SmtpSecurity::None, None);
        change(&mut to);
        field(to)
    };
    assert_eq!(
        with(|to| if let Destination::Email { host, .. } = to {
            host.clear()
        }),
        "host"
    );
    assert_eq!(
        with(|to| if let Destination::Email { to, .. } = to {
            to.clear()
        }),
        "to"
    );
    assert_eq!(
        with(|to| if let Destination::Email { to, .. } = to {
            to[0] = "nobody".into()
        }),
        "to"
    );
    assert_eq!(
        with(|to| if let Destination::Email { from, .. } = to {
            *from = "x\r\nBcc: y".into()
        }),
        "from"
    );
    assert_eq!(
        with(|to| if let Destination::Email { username, .. } = to {
            *username = Some("ada".into())
        }),
        "password"
    );
    let open = with(|to| {
        if let Destination::Email { host, username, password, .. } = to {
            (*host, *username, *password) = ("smtp.example.org".into(), Some("ada".into()), Some("x".into()));
        }
    });
    assert_eq!(open, "security", "no password in the clear");
}
