//! A receiver of webhooks that keeps what it got, and the channel to it.
use domain::{
    alert::{ChannelKind, Severity, SmtpSecurity},
    view::ChannelSpec,
};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

/// The messages, in the order in which they came.
pub type Got = Arc<Mutex<Vec<Value>>>;

/// What a channel to such a receiver is made of: it is told what is of that severity or a higher one.
pub fn channel(name: &str, url: &str, min_severity: Severity) -> ChannelSpec {
    ChannelSpec {
        name: name.to_owned(),
        kind: ChannelKind::Webhook,
        url: Some(url.to_owned()),
        signing_key: None,
        host: None,
        port: None,
        security: SmtpSecurity::default(),
        username: None,
        password: None,
        from: None,
        to: Vec::new(),
        min_severity,
        clusters: Vec::new(),
        enabled: true,
    }
}

/// Answers each request by the next of `answers` and then by the last; 0 never answers. Its address, and what it got.
pub async fn receiver(answers: &'static [u16]) -> (String, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let got = Got::default();
    let tell = got.clone();
    tokio::spawn(async move {
        let mut next = 0;
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answers[next.min(answers.len() - 1)];
            next += 1;
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let (mut length, mut line) = (0, String::new());
                while stream.read_line(&mut line).await.unwrap_or(0) > 2 {
                    if let Some(text) = line.to_lowercase().strip_prefix("content-length: ") {
                        length = text.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).await.unwrap();
                tell.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                if answer == 0 {
                    std::future::pending::<()>().await;
                }
                let text = format!("HTTP/1.1 {answer} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = stream.get_mut().write_all(text.as_bytes()).await;
            });
        }
    });
    (url, got)
}
