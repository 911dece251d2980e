//! E-mail by SMTP: in the clear, by STARTTLS and in TLS from the start.
use super::message;
use domain::{Timestamp, alert::SmtpSecurity};
use notify::{Destination, Notifier};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{path::Path, process::Command, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

/// When a server speaks TLS.
#[derive(Clone)]
enum Tls {
    Never,
    /// When it is asked to, and before that it takes nothing.
    Starttls(TlsAcceptor),
    FromTheStart(TlsAcceptor),
}

/// An SMTP server as small as the protocol allows. `refuse` answers RCPT with 550.
async fn smtp(refuse: bool, tls: Tls) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (tell, tls) = (tell.clone(), tls.clone());
            tokio::spawn(async move {
                match tls {
                    Tls::Never => {
                        stream.write_all(b"220 ready\r\n").await.unwrap();
                        converse(stream, refuse, &tell).await;
                    }
                    Tls::FromTheStart(tls) => {
                        let Ok(mut stream) = tls.accept(stream).await else { return };
                        stream.write_all(b"220 ready\r\n").await.unwrap();
                        stream.flush().await.unwrap();
                        converse(stream, refuse, &tell).await;
                    }
                    Tls::Starttls(tls) => {
                        stream.write_all(b"220 ready\r\n").await.unwrap();
                        let Some(stream) = until_starttls(stream).await else { return };
                        if let Ok(stream) = tls.accept(stream).await {
                            converse(stream, refuse, &tell).await;
                        }
                    }
                }
            });
        }
    });
    (port, told)
}

/// Takes nothing but STARTTLS; the stream is to be encrypted then.
async fn until_starttls<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Option<S> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
        let command = line.trim_end().to_uppercase();
        let answer = match command.split(' ').next().unwrap_or_default() {
            "EHLO" => "250-smtp.test\r\n250 STARTTLS\r\n",
            "STARTTLS" => "220 go on\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "530 STARTTLS first\r\n",
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        if command == "STARTTLS" {
            return Some(stream.into_inner());
        }
        line.clear();
    }
    None
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: S, refuse: bool, tell: &mpsc::UnboundedSender<String>) {
    let mut stream = BufReader::new(stream);
    let (mut line, mut mail, mut in_data) = (String::new(), String::new(), false);
    while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
        let command = line.trim_end().to_uppercase();
        let answer = if in_data {
            if line.trim_end() == "." {
                in_data = false;
                let _ = tell.send(std::mem::take(&mut mail));
                "250 queued\r\n"
            } else {
                mail.push_str(&line);
                ""
            }
        } else if command.starts_with("EHLO") {
            "250-smtp.test\r\n250 AUTH PLAIN\r\n"
        } else if command.starts_with("AUTH") {
            // \0ada\0secret
            if line.contains("AGFkYQBzZWNyZXQ=") { "235 in\r\n" } else { "535 no\r\n" }
        } else if command.starts_with("RCPT") && refuse {
            "550 no such mailbox\r\n"
        } else if command.starts_with("DATA") {
            in_data = true;
            "354 go on\r\n"
        } else if command.starts_with("QUIT") {
            "221 bye\r\n"
        } else {
            "250 ok\r\n"
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        line.clear();
    }
}

pub fn destination(port: u16, security: SmtpSecurity, password: Option<&str>) -> Destination {
    Destination::Email {
        host: "127.0.0.1".into(),
        port,
        security,
        username: password.map(|_| "ada".into()),
        password: password.map(str::to_owned),
        from: "Holdfast <holdfast@example.org>".into(),
        to: vec!["dba@example.org".into(), "ops@example.org".into()],
    }
}

fn email(port: u16, password: Option<&str>) -> Destination {
    destination(port, SmtpSecurity::None, password)
}

#[tokio::test]
async fn an_email_arrives_with_subject_text_and_an_id_of_its_own() {
    let (port, mut told) = smtp(false, Tls::Never).await;
    Notifier::new().send(&email(port, Some("secret")), &message(), Timestamp(0)).await.unwrap();
    let mail = told.recv().await.unwrap();
    for part in [
        "Subject: CRITICAL Shop: Connection slots are running out (92.1 %, > 90 %)",
        "Message-ID: <1-firing-critical-2-3@holdfast>",
        "To: dba@example.org, ops@example.org",
        "https://holdfast.example/alerts",
    ] {
        assert!(mail.contains(part), "{part} is not in {mail}");
    }
}

#[tokio::test]
async fn an_email_that_is_refused_says_by_whom_and_why() {
    let (port, _told) = smtp(true, Tls::Never).await;
    let refused = Notifier::new().send(&email(port, None), &message(), Timestamp(0)).await.unwrap_err();
    assert!(refused.is_permanent() && refused.to_string().contains("refuses an address"), "{refused}");
    let (port, _told) = smtp(false, Tls::Never).await;
    let wrong = Notifier::new().send(&email(port, Some("guess")), &message(), Timestamp(0)).await.unwrap_err();
    assert!(wrong.is_permanent() && wrong.to_string().contains("check name and password"), "{wrong}");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let nobody = Notifier::new().send(&email(free, None), &message(), Timestamp(0)).await.unwrap_err();
    assert!(!nobody.is_permanent() && nobody.to_string().contains("is not reached"), "{nobody}");
    // A server that has no STARTTLS gets no message.
    let (port, mut told) = smtp(false, Tls::Never).await;
    let starttls = destination(port, SmtpSecurity::Starttls, None);
    let plain = Notifier::new().send(&starttls, &message(), Timestamp(0)).await.unwrap_err();
    assert!(plain.to_string().contains("STARTTLS"), "{plain}");
    assert!(told.try_recv().is_err());
    // Nor does one that speaks no TLS where TLS is to begin at once.
    let tls = destination(port, SmtpSecurity::Tls, None);
    let plain = Notifier::new().send(&tls, &message(), Timestamp(0)).await.unwrap_err();
    assert!(plain.to_string().contains("does it speak TLS on this port"), "{plain}");
    assert!(told.try_recv().is_err());
}

fn openssl(directory: &Path, arguments: &str) {
    let arguments = arguments.split(' ').collect::<Vec<_>>();
    let done = Command::new("openssl").args(&arguments).current_dir(directory).output().unwrap();
    assert!(done.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A server's certificate for 127.0.0.1 by an authority of its own, whose certificate is `root.crt`.
fn acceptor(directory: &Path) -> TlsAcceptor {
    let key = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(directory, &format!("{key} -x509 -days 30 -subj /CN=root -keyout root.key -out root.crt"));
    openssl(directory, &format!("{key} -subj /CN=smtp.test -keyout server.key -out server.csr"));
    std::fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        directory,
        "x509 -req -in server.csr -CA root.crt -CAkey root.key -CAcreateserial -days 30 -sha256 -extfile names -out server.crt",
    );
    let chain = CertificateDer::pem_file_iter(directory.join("server.crt")).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Run by the next test in a process of its own, which trusts the authority; does nothing otherwise.
#[tokio::test]
async fn sender_that_trusts_the_server() {
    let Ok(ports) = std::env::var("HOLDFAST_TEST_SMTP_PORTS") else { return };
    let (starttls, tls) = ports.split_once(' ').unwrap();
    for (port, security) in [(starttls, SmtpSecurity::Starttls), (tls, SmtpSecurity::Tls)] {
        let to = destination(port.parse().unwrap(), security, Some("secret"));
        Notifier::new().send(&to, &message(), Timestamp(0)).await.unwrap();
    }
}

#[tokio::test]
async fn an_email_goes_in_tls_to_a_server_that_is_trusted_and_to_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let acceptor = acceptor(directory.path());
    let (starttls, mut first) = smtp(false, Tls::Starttls(acceptor.clone())).await;
    let (tls, mut second) = smtp(false, Tls::FromTheStart(acceptor)).await;
    // This process does not know the authority.
    for (port, security) in [(starttls, SmtpSecurity::Starttls), (tls, SmtpSecurity::Tls)] {
        let to = destination(port, security, Some("secret"));
        let error = Notifier::new().send(&to, &message(), Timestamp(0)).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains(&format!("127.0.0.1:{port}: its certificate is not accepted")), "{said}");
        assert!(said.contains("UnknownIssuer") && !error.is_permanent(), "{said}");
    }
    assert!(first.try_recv().is_err() && second.try_recv().is_err(), "nothing was delivered");
    let sender = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "email::sender_that_trusts_the_server", "--nocapture"])
        .env("SSL_CERT_FILE", directory.path().join("root.crt"))
        .env("HOLDFAST_TEST_SMTP_PORTS", format!("{starttls} {tls}"))
        .output()
        .await
        .unwrap();
    let said = [sender.stdout, sender.stderr].concat();
    assert!(sender.status.success(), "{}", String::from_utf8_lossy(&said));
    for told in [&mut first, &mut second] {
        let mail = told.try_recv().unwrap();
        assert!(mail.contains("Subject: CRITICAL Shop"), "{mail}");
    }
}
