//! One connection in replication mode (or a plain one for simple queries): start-up, TLS, sign-in, messages.
use super::{ConnInfo, ReplicationError, conninfo::TlsMode, tls};
use bytes::{Buf as _, Bytes, BytesMut};
use domain::Lsn;
use postgres_protocol::{
    authentication::{md5_hash, sasl},
    message::frontend,
};
use std::{collections::HashMap, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// Longest message that is taken; a row of WAL or of a backup is far shorter.
const MESSAGE_LIMIT: usize = 64 << 20;
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);
/// Room for input is made in steps of this: a length that a server only claims must not cost memory.
const INPUT_STEP: usize = 256 << 10;

/// One message: its tag and its body.
#[derive(Debug)]
pub(super) struct Message {
    pub tag: u8,
    pub body: Bytes,
}

/// A connection that speaks the replication protocol.
pub struct ReplicationConnection {
    transport: Box<dyn Transport>,
    input: BytesMut,
    parameters: HashMap<String, String>,
    /// Longest time that the server may be silent while something is waited for.
    pub(super) silence: Duration,
}

impl std::fmt::Debug for ReplicationConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplicationConnection")
    }
}

/// What `IDENTIFY_SYSTEM` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Unique to the cluster and its physical copies.
    pub system_identifier: u64,
    /// Current timeline.
    pub timeline: u32,
    /// WAL is flushed up to here.
    pub flush: Lsn,
}

/// Rows of text; `None` is NULL.
pub type Rows = Vec<Vec<Option<String>>>;

impl ReplicationConnection {
    /// Connects for physical replication.
    ///
    /// # Errors
    /// See [`ReplicationError`].
    pub async fn connect(info: &ConnInfo) -> Result<Self, ReplicationError> {
        Self::open(info, &[("replication", "true")]).await
    }

    /// Connects to a database for simple queries.
    ///
    /// # Errors
    /// See [`ReplicationError`].
    pub async fn connect_sql(info: &ConnInfo, database: &str) -> Result<Self, ReplicationError> {
        // A backup's session must not be ended for being idle.
        let options = "-c statement_timeout=0 -c idle_session_timeout=0 -c search_path=pg_catalog";
        match Self::open(info, &[("database", database), ("options", options)]).await {
            // idle_session_timeout came with 14.
            Err(ReplicationError::Server { code, message, .. })
                if code == "42704" && message.contains("idle_session") =>
            {
                Self::open(
                    info,
                    &[("database", database), ("options", "-c statement_timeout=0 -c search_path=pg_catalog")],
                )
                .await
            }
            other => other,
        }
    }

    async fn open(info: &ConnInfo, more: &[(&str, &str)]) -> Result<Self, ReplicationError> {
        let seconds = info.connect_timeout.as_secs();
        let opened = tokio::time::timeout(info.connect_timeout, Self::open_unbounded(info, more)).await;
        opened.unwrap_or(Err(ReplicationError::Timeout { operation: "connecting", seconds }))
    }

    async fn open_unbounded(info: &ConnInfo, more: &[(&str, &str)]) -> Result<Self, ReplicationError> {
        let target = format!("{}:{}", info.host, info.port);
        let failed = |source| ReplicationError::Connect { target: target.clone(), source };
        let (transport, binding, is_private): (Box<dyn Transport>, _, bool) = if info.host.starts_with('/') {
            let path = format!("{}/.s.PGSQL.{}", info.host, info.port);
            (Box::new(UnixStream::connect(path).await.map_err(failed)?), None, true)
        } else {
            let stream = TcpStream::connect((info.host.as_str(), info.port)).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            keep_alive(&stream);
            match info.tls {
                TlsMode::Disable => (Box::new(stream), None, info.is_here()),
                mode => {
                    let (transport, binding, encrypted) = tls::negotiate(stream, info, mode).await?;
                    (transport, binding, encrypted || info.is_here())
                }
            }
        };
        let mut connection = Self {
            transport,
            input: BytesMut::with_capacity(64 << 10),
            parameters: HashMap::new(),
            silence: info.silence_limit,
        };
        let mut startup = BytesMut::new();
        let fixed = [
            ("user", info.user.as_str()),
            ("application_name", info.application_name.as_str()),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO"),
        ];
        frontend::startup_message(fixed.into_iter().chain(more.iter().copied()), &mut startup)
            .map_err(|error| ReplicationError::Url(error.to_string()))?;
        connection.send(&startup, "connecting").await?;
        connection.sign_in(info, binding, is_private).await?;
        Ok(connection)
    }

    async fn sign_in(
        &mut self,
        info: &ConnInfo,
        binding: Option<Vec<u8>>,
        is_private: bool,
    ) -> Result<(), ReplicationError> {
        const OPERATION: &str = "signing in";
        let refused = |reason: String| ReplicationError::SignIn { user: info.user.clone(), reason };
        let password = || {
            info.password.as_deref().ok_or_else(|| {
                refused(
                    "the server asks for a password and none was given; put it into the URL, PGPASSWORD or ~/.pgpass"
                        .to_owned(),
                )
            })
        };
        let mut scram = None;
        let mut proved = false;
        loop {
            let mut message = self.message(OPERATION).await?;
            let mut out = BytesMut::new();
            match message.tag {
                b'R' => {
                    if message.body.len() < 4 {
                        return Err(ReplicationError::protocol(OPERATION, "a cut request"));
                    }
                    match message.body.get_u32() {
                        // Whoever asked for a proof must give its own: a stranger in the server's place has none.
                        0 if scram.is_some() && !proved => {
                            return Err(refused("the server did not prove that it knows the password: it is not who it seems".to_owned()));
                        }
                        0 => continue,
                        3 if !is_private => {
                            return Err(refused("the server asks for the password in clear text over a connection that is not encrypted; use scram-sha-256, or sslmode=require".to_owned()));
                        }
                        3 => frontend::password_message(password()?.as_bytes(), &mut out),
                        5 if message.body.len() >= 4 => {
                            let salt = [message.body[0], message.body[1], message.body[2], message.body[3]];
                            let hash = md5_hash(info.user.as_bytes(), password()?.as_bytes(), salt);
                            frontend::password_message(hash.as_bytes(), &mut out)
                        }
                        10 => {
                            let offered = message.body.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>();
                            let plus = offered.iter().any(|name| name == sasl::SCRAM_SHA_256_PLUS);
                            let (mechanism, channel) = match &binding {
                                Some(hash) if plus => (sasl::SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(hash.clone())),
                                Some(_) => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
                                None => (sasl::SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
                            };
                            let exchange = sasl::ScramSha256::new(password()?.as_bytes(), channel);
                            let sent = frontend::sasl_initial_response(mechanism, exchange.message(), &mut out);
                            scram = Some(exchange);
                            sent
                        }
                        step @ (11 | 12) => {
                            let exchange = scram.as_mut().filter(|_| !proved).ok_or_else(|| ReplicationError::protocol(OPERATION, "SASL out of turn"))?;
                            let done = if step == 11 { exchange.update(&message.body) } else { exchange.finish(&message.body) };
                            done.map_err(|error| refused(format!("the password does not fit or the server is not who it seems: {error}")))?;
                            if step == 12 {
                                proved = true;
                                continue;
                            }
                            frontend::sasl_response(exchange.message(), &mut out)
                        }
                        other => return Err(refused(format!("the server asks for sign-in method {other}, which Holdfast does not know; use scram-sha-256"))),
                    }
                    .map_err(|error| ReplicationError::protocol(OPERATION, error))?;
                    self.send(&out, OPERATION).await?;
                }
                b'E' => {
                    return Err(match server_error(OPERATION, &message.body) {
                        ReplicationError::Server { code, message, .. } if code == "28P01" => {
                            refused(format!("{message}; correct the password in the URL, PGPASSWORD or ~/.pgpass"))
                        }
                        other => other,
                    });
                }
                b'S' => self.parameter(&message.body),
                b'Z' => return Ok(()),
                b'K' | b'N' | b'v' => {}
                other => return Err(ReplicationError::protocol(OPERATION, format!("message '{}'", other as char))),
            }
        }
    }

    fn parameter(&mut self, body: &[u8]) {
        let mut parts = body.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            self.parameters.insert(name, value);
        }
    }

    /// `server_version_num`, for example 150008; zero when the server did not say.
    pub fn server_version(&self) -> u32 {
        let text = self.parameters.get("server_version").map_or("", String::as_str);
        let text = text.split_whitespace().next().unwrap_or_default();
        let number =
            |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().unwrap_or(0);
        let mut parts = text.split('.').map(number);
        parts.next().unwrap_or(0) * 10_000 + parts.next().unwrap_or(0)
    }

    pub(super) async fn send(&mut self, bytes: &[u8], operation: &'static str) -> Result<(), ReplicationError> {
        let lost = |source| ReplicationError::Lost { operation, source };
        let seconds = self.silence.as_secs();
        let sent = tokio::time::timeout(self.silence, async {
            self.transport.write_all(bytes).await.map_err(lost)?;
            self.transport.flush().await.map_err(lost)
        });
        sent.await.unwrap_or(Err(ReplicationError::Timeout { operation, seconds }))
    }

    /// The next message. Safe to be dropped in the middle: what came stays in the buffer.
    pub(super) async fn message(&mut self, operation: &'static str) -> Result<Message, ReplicationError> {
        loop {
            if self.input.len() >= 5 {
                let length = u32::from_be_bytes([self.input[1], self.input[2], self.input[3], self.input[4]]) as usize;
                if !(4..=MESSAGE_LIMIT).contains(&length) {
                    return Err(ReplicationError::protocol(operation, format!("a message of {length} bytes")));
                }
                if self.input.len() > length {
                    let tag = self.input[0];
                    let mut whole = self.input.split_to(length + 1).freeze();
                    whole.advance(5);
                    return Ok(Message { tag, body: whole });
                }
                self.input.reserve((length + 1 - self.input.len()).min(INPUT_STEP));
            }
            let read = tokio::time::timeout(self.silence, self.transport.read_buf(&mut self.input)).await;
            let Ok(read) = read else {
                return Err(ReplicationError::Timeout { operation, seconds: self.silence.as_secs() });
            };
            if read.map_err(|source| ReplicationError::Lost { operation, source })? == 0 {
                return Err(ReplicationError::closed(operation));
            }
        }
    }

    /// The next message that is neither a notice nor a parameter; the server's error as ours.
    pub(super) async fn answer(&mut self, operation: &'static str) -> Result<Message, ReplicationError> {
        loop {
            let message = self.message(operation).await?;
            match message.tag {
                b'N' => {}
                b'S' => self.parameter(&message.body),
                b'E' => return Err(server_error(operation, &message.body)),
                _ => return Ok(message),
            }
        }
    }

    pub(super) async fn send_query(&mut self, sql: &str, operation: &'static str) -> Result<(), ReplicationError> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out).map_err(|error| ReplicationError::protocol(operation, error))?;
        self.send(&out, operation).await
    }

    /// Runs a statement by the simple protocol; the rows of its last result.
    ///
    /// # Errors
    /// See [`ReplicationError`]; [`ReplicationError::Timeout`] after a minute without an answer, except for the start
    /// and the end of a backup, which wait for a checkpoint.
    pub async fn query(&mut self, sql: &str) -> Result<Rows, ReplicationError> {
        let patient = sql.contains("backup_start")
            || sql.contains("start_backup")
            || sql.contains("backup_stop")
            || sql.contains("stop_backup");
        let limit = if patient { Duration::from_secs(3_600) } else { QUERY_TIMEOUT };
        let silence = std::mem::replace(&mut self.silence, limit);
        let run = tokio::time::timeout(limit, self.query_unbounded(sql, "running a statement")).await;
        self.silence = silence;
        run.unwrap_or(Err(ReplicationError::Timeout { operation: "running a statement", seconds: limit.as_secs() }))
    }

    pub(super) async fn query_unbounded(
        &mut self,
        sql: &str,
        operation: &'static str,
    ) -> Result<Rows, ReplicationError> {
        self.send_query(sql, operation).await?;
        let mut rows = Rows::new();
        let mut failed = None;
        loop {
            let message = self.message(operation).await?;
            match message.tag {
                b'T' => rows.clear(),
                b'D' => rows.push(row(operation, &message.body)?),
                b'E' => failed = Some(server_error(operation, &message.body)),
                b'S' => self.parameter(&message.body),
                b'Z' => return failed.map_or(Ok(rows), Err),
                b'C' | b'I' | b'N' => {}
                other => return Err(ReplicationError::protocol(operation, format!("message '{}'", other as char))),
            }
        }
    }

    /// Who the server is and where its WAL ends.
    ///
    /// # Errors
    /// See [`ReplicationError`].
    pub async fn identify_system(&mut self) -> Result<Identity, ReplicationError> {
        const OPERATION: &str = "asking who the server is";
        let rows = self.query("IDENTIFY_SYSTEM").await?;
        let cell = |at: usize| rows.first().and_then(|row| row.get(at)?.as_deref()).unwrap_or_default();
        let parsed = || {
            Some(Identity {
                system_identifier: cell(0).parse().ok()?,
                timeline: cell(1).parse().ok()?,
                flush: cell(2).parse().ok()?,
            })
        };
        parsed().ok_or_else(|| ReplicationError::protocol(OPERATION, format!("{rows:?}")))
    }

    /// A setting's value with its unit, as `SHOW` gives it.
    ///
    /// # Errors
    /// See [`ReplicationError`].
    pub async fn show(&mut self, name: &str) -> Result<String, ReplicationError> {
        let rows = self.query(&format!("SHOW {name}")).await?;
        rows.into_iter()
            .next()
            .and_then(|row| row.into_iter().next().flatten())
            .ok_or_else(|| ReplicationError::protocol("asking for a setting", "no value"))
    }

    /// Name and content of a timeline's history file.
    ///
    /// # Errors
    /// See [`ReplicationError`].
    pub async fn timeline_history(&mut self, timeline: u32) -> Result<(String, Vec<u8>), ReplicationError> {
        let rows = self.query(&format!("TIMELINE_HISTORY {timeline}")).await?;
        let mut row = rows.into_iter().next().unwrap_or_default().into_iter();
        match (row.next().flatten(), row.next().flatten()) {
            (Some(name), Some(content)) => Ok((name, content.into_bytes())),
            _ => Err(ReplicationError::protocol("asking for a timeline's history", "no history")),
        }
    }

    /// Makes a physical slot; where its WAL is kept from, when it is reserved.
    ///
    /// # Errors
    /// See [`ReplicationError`]; [`ReplicationError::is_exists`] when there is one of that name.
    pub async fn create_physical_slot(
        &mut self,
        name: &str,
        temporary: bool,
        reserve_wal: bool,
    ) -> Result<Option<Lsn>, ReplicationError> {
        let name = quoted(name);
        let temporary = if temporary { " TEMPORARY" } else { "" };
        let reserve = match (reserve_wal, self.server_version() >= 150_000) {
            (false, _) => "",
            (true, true) => " (RESERVE_WAL)",
            (true, false) => " RESERVE_WAL",
        };
        let rows = self.query(&format!("CREATE_REPLICATION_SLOT {name}{temporary} PHYSICAL{reserve}")).await?;
        Ok(rows.first().and_then(|row| row.get(1)?.as_deref()?.parse().ok()).filter(|lsn: &Lsn| lsn.0 > 0))
    }

    /// From where on the server keeps WAL for a physical slot: what was confirmed to it ends there. `None` when there is no
    /// such slot, or what it kept is lost, and from a server before PostgreSQL 15, which has no word for it.
    ///
    /// # Errors
    /// See [`ReplicationError`].
    pub async fn slot_kept_from(&mut self, name: &str) -> Result<Option<Lsn>, ReplicationError> {
        if self.server_version() < 150_000 {
            return Ok(None);
        }
        let rows = self.query(&format!("READ_REPLICATION_SLOT {}", quoted(name))).await?;
        Ok(rows.first().and_then(|row| row.get(1)?.as_deref()?.parse().ok()).filter(|lsn: &Lsn| lsn.0 > 0))
    }

    /// Drops a slot.
    ///
    /// # Errors
    /// See [`ReplicationError`].
    pub async fn drop_slot(&mut self, name: &str) -> Result<(), ReplicationError> {
        self.query(&format!("DROP_REPLICATION_SLOT {}", quoted(name))).await.map(drop)
    }
}

/// A connection whose other end is gone without a word is noticed by the kernel, also while nothing is to be sent.
fn keep_alive(stream: &TcpStream) {
    use nix::sys::socket::{setsockopt, sockopt};
    let set = [
        setsockopt(stream, sockopt::KeepAlive, &true),
        setsockopt(stream, sockopt::TcpKeepIdle, &30),
        setsockopt(stream, sockopt::TcpKeepInterval, &10),
        setsockopt(stream, sockopt::TcpKeepCount, &3),
    ];
    if let Some(error) = set.into_iter().find_map(Result::err) {
        tracing::debug!(%error, "no TCP keepalive");
    }
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The fields of an error message: tag, text, zero.
pub(super) fn server_error(operation: &'static str, body: &[u8]) -> ReplicationError {
    let mut fields = HashMap::new();
    for field in body.split(|byte| *byte == 0) {
        if let Some((tag, text)) = field.split_first() {
            fields.insert(*tag, String::from_utf8_lossy(text).into_owned());
        }
    }
    let mut take = |tag: u8| fields.remove(&tag).unwrap_or_default();
    let (code, message) = (take(b'C'), take(b'M'));
    let detail = [take(b'D'), take(b'H')].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join("; ");
    ReplicationError::server(operation, code, message, detail)
}

/// A row of text values.
pub(super) fn row(operation: &'static str, body: &[u8]) -> Result<Vec<Option<String>>, ReplicationError> {
    let cut = || ReplicationError::protocol(operation, "a cut row");
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or_else(cut)?;
    let mut values = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        rest = tail;
        let length = i32::from_be_bytes(*length);
        if length < 0 {
            values.push(None);
            continue;
        }
        let (value, tail) = rest.split_at_checked(length.cast_unsigned() as usize).ok_or_else(cut)?;
        rest = tail;
        values.push(Some(String::from_utf8_lossy(value).into_owned()));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = row("testing", &bytes);
            let _ = server_error("testing", &bytes);
        }
    }
}
