//! E-mail by SMTP.
use crate::{Destination, Message, SendError, TIME_LIMIT};
use domain::alert::SmtpSecurity;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::{Mailbox, Message as Mail, header::ContentType},
    transport::smtp::{authentication::Credentials, extension::ClientId},
};
use std::{error::Error as _, io, net::IpAddr};

pub(crate) fn check(destination: &Destination) -> Result<(), (&'static str, String)> {
    let Destination::Email { host, port, security, username, password, from, to } = destination else { return Ok(()) };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(("host", "name the SMTP server, like smtp.example.org".to_owned()));
    }
    if *port == 0 {
        return Err(("port", "an SMTP server listens on 587 (STARTTLS), 465 (TLS) or 25".to_owned()));
    }
    if mailbox(from).is_none() {
        return Err((
            "from",
            "a sender looks like holdfast@example.org or 'Holdfast <holdfast@example.org>'".to_owned(),
        ));
    }
    if to.is_empty() || to.len() > 50 {
        return Err(("to", "name 1 to 50 receivers".to_owned()));
    }
    if let Some(wrong) = to.iter().find(|to| mailbox(to).is_none()) {
        return Err(("to", format!("'{wrong}' is no e-mail address")));
    }
    if username.is_some() != password.is_some() {
        return Err(("password", "an account needs both name and password".to_owned()));
    }
    if password.is_some() && *security == SmtpSecurity::None && !is_loopback(host) {
        return Err(("security", "a password is not sent without TLS; choose starttls or tls".to_owned()));
    }
    Ok(())
}

fn mailbox(text: &str) -> Option<Mailbox> {
    text.parse().ok()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(crate) async fn send(destination: &Destination, message: &Message) -> Result<(), SendError> {
    let Destination::Email { host, port, security, username, password, from, to } = destination else { return Ok(()) };
    let unusable = |what: &str| SendError::permanent(format!("'{what}' is no e-mail address"));
    let mut mail = Mail::builder()
        .from(mailbox(from).ok_or_else(|| unusable(from))?)
        .subject(message.subject())
        // The same message sent twice is shown once by most readers.
        .message_id(Some(format!("<{}@holdfast>", message.key)))
        .header(ContentType::TEXT_PLAIN);
    for receiver in to {
        mail = mail.to(mailbox(receiver).ok_or_else(|| unusable(receiver))?);
    }
    let mail = mail.body(message.text()).map_err(|error| SendError::permanent(error.to_string()))?;
    let builder = match security {
        SmtpSecurity::Starttls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host),
        SmtpSecurity::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(host),
        SmtpSecurity::None => Ok(AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)),
    };
    let mut builder = builder
        .map_err(|error| SendError::permanent(format!("{host}: {error}")))?
        .port(*port)
        .hello_name(ClientId::Domain("holdfast".to_owned()))
        .timeout(Some(TIME_LIMIT));
    if let (Some(username), Some(password)) = (username, password) {
        builder = builder.credentials(Credentials::new(username.clone(), password.clone()));
    }
    let transport: AsyncSmtpTransport<Tokio1Executor> = builder.build();
    transport.send(mail).await.map(drop).map_err(|error| failed(host, *port, *security, &error))
}

fn failed(host: &str, port: u16, security: SmtpSecurity, error: &lettre::transport::smtp::Error) -> SendError {
    let server = format!("{host}:{port}");
    let said = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect::<String>();
    if let Some(code) = error.status() {
        let code = code.to_string();
        return match code.as_str() {
            "535" | "530" | "534" => {
                SendError::permanent(format!("{server} refuses the account: check name and password ({said})"))
            }
            "550" | "551" | "553" => SendError::permanent(format!("{server} refuses an address ({said})")),
            _ if error.is_permanent() => SendError::permanent(format!("{server} refuses the message ({said})")),
            _ => SendError::later(format!("{server} cannot take the message now ({said})")),
        };
    }
    if let Some(rustls::Error::InvalidCertificate(_)) = of_handshake(error) {
        return SendError::later(format!(
            "{server}: its certificate is not accepted ({said}); it must be made for the name {host}, by an authority that \
             this machine trusts"
        ));
    }
    if error.is_tls() || of_handshake(error).is_some() || (error.is_client() && security == SmtpSecurity::Starttls) {
        let cure = match security {
            SmtpSecurity::Starttls => {
                "does it offer STARTTLS on this port, with a certificate that this machine trusts?"
            }
            SmtpSecurity::Tls => "does it speak TLS on this port, with a certificate that this machine trusts?",
            SmtpSecurity::None => "",
        };
        return SendError::later(format!("{server}: no TLS ({said}); {cure}"));
    }
    SendError::later(format!("{server} is not reached ({said})"))
}

/// What rustls said, when it was the handshake that failed: to lettre that is a connection like any other, and it wraps one
/// error into another.
fn of_handshake(error: &lettre::transport::smtp::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(one) = next {
        if let Some(said) = one.downcast_ref::<rustls::Error>() {
            return Some(said);
        }
        // The source of an `io::Error` is that of what it holds: what it holds itself would be passed over.
        next = match one.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(held) => Some(held),
            None => one.source(),
        };
    }
    None
}
