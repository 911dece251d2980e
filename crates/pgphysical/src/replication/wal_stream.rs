//! `START_REPLICATION PHYSICAL`.
use super::{
    ReplicationConnection, ReplicationError,
    connection::{quoted, row, server_error},
};
use bytes::{Buf as _, Bytes, BytesMut};
use domain::Lsn;
use postgres_protocol::message::frontend::CopyData;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const OPERATION: &str = "streaming WAL";
/// Microseconds between 1970 and PostgreSQL's 2000-01-01.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What the server sends.
#[derive(Debug)]
pub enum WalEvent {
    /// WAL.
    Data {
        /// Position of the first byte.
        start: Lsn,
        /// The server had written up to here.
        server_end: Lsn,
        /// When it was sent, milliseconds since 1970 by the server's clock.
        sent_at_ms: i64,
        /// The bytes.
        bytes: Bytes,
    },
    /// The server is there.
    Keepalive {
        /// It had written up to here.
        server_end: Lsn,
        /// It wants an answer, or it ends the connection.
        reply_requested: bool,
    },
    /// The timeline was left: the server was promoted, or its primary was.
    EndOfTimeline {
        /// The next timeline and where it begins.
        next: Option<(u32, Lsn)>,
        /// The connection takes commands again.
        connection: ReplicationConnection,
    },
}

/// WAL as it comes.
#[derive(Debug)]
pub struct WalStream {
    connection: Option<ReplicationConnection>,
}

impl ReplicationConnection {
    /// Starts to receive WAL.
    ///
    /// # Errors
    /// [`ReplicationError::WalRemoved`] when the server no longer has it.
    pub async fn start_physical(
        mut self,
        slot: Option<&str>,
        start: Lsn,
        timeline: u32,
    ) -> Result<WalStream, ReplicationError> {
        let slot = slot.map(|name| format!("SLOT {} ", quoted(name))).unwrap_or_default();
        self.send_query(&format!("START_REPLICATION {slot}PHYSICAL {start} TIMELINE {timeline}"), OPERATION).await?;
        let message = self.answer(OPERATION).await?;
        match message.tag {
            b'W' => Ok(WalStream { connection: Some(self) }),
            // The timeline ends exactly here: a result set instead of a stream.
            b'T' => Err(ReplicationError::protocol(OPERATION, "the timeline ends where it was asked to begin")),
            other => Err(ReplicationError::protocol(OPERATION, format!("message '{}'", other as char))),
        }
    }
}

impl WalStream {
    fn connection(&mut self) -> Result<&mut ReplicationConnection, ReplicationError> {
        self.connection.as_mut().ok_or_else(|| ReplicationError::closed(OPERATION))
    }

    /// The next event. May be dropped while waiting; nothing is lost.
    ///
    /// # Errors
    /// See [`ReplicationError`].
    pub async fn next(&mut self) -> Result<WalEvent, ReplicationError> {
        loop {
            let message = self.connection()?.answer(OPERATION).await?;
            match message.tag {
                b'd' => {
                    if let Some(event) = parse(message.body)? {
                        return Ok(event);
                    }
                }
                b'c' => {
                    let mut connection = self.connection.take().ok_or_else(|| ReplicationError::closed(OPERATION))?;
                    connection.send(&[b'c', 0, 0, 0, 4], OPERATION).await?;
                    let next = after_copy(&mut connection).await?;
                    return Ok(WalEvent::EndOfTimeline { next, connection });
                }
                other => return Err(ReplicationError::protocol(OPERATION, format!("message '{}'", other as char))),
            }
        }
    }

    /// Says how far we are; the slot keeps what is behind `flushed`.
    ///
    /// # Errors
    /// [`ReplicationError::Lost`].
    pub async fn send_status(
        &mut self,
        written: Lsn,
        flushed: Lsn,
        applied: Lsn,
        reply: bool,
    ) -> Result<(), ReplicationError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let mut status = Vec::with_capacity(34);
        status.push(b'r');
        for position in [written, flushed, applied] {
            status.extend_from_slice(&position.0.to_be_bytes());
        }
        status.extend_from_slice(&(i64::try_from(now).unwrap_or(i64::MAX) - POSTGRES_EPOCH_US).to_be_bytes());
        status.push(u8::from(reply));
        let mut out = BytesMut::new();
        CopyData::new(status.as_slice()).map_err(|error| ReplicationError::protocol(OPERATION, error))?.write(&mut out);
        self.connection()?.send(&out, OPERATION).await
    }

    /// Ends the stream in good order.
    ///
    /// # Errors
    /// [`ReplicationError::Lost`].
    pub async fn stop(mut self) -> Result<(), ReplicationError> {
        let Some(mut connection) = self.connection.take() else { return Ok(()) };
        connection.send(&[b'c', 0, 0, 0, 4], OPERATION).await?;
        let drained = async {
            // What was under way still comes before the server's own end.
            while connection.answer(OPERATION).await?.tag != b'Z' {}
            Ok::<_, ReplicationError>(())
        };
        // The server may be busy; closing the connection ends the stream as well.
        let _ = tokio::time::timeout(STOP_TIMEOUT, drained).await;
        Ok(())
    }
}

/// After the end of a timeline: the next one and where it begins.
async fn after_copy(connection: &mut ReplicationConnection) -> Result<Option<(u32, Lsn)>, ReplicationError> {
    let mut next = None;
    loop {
        let message = connection.message(OPERATION).await?;
        match message.tag {
            b'D' => {
                let values = row(OPERATION, &message.body)?;
                let text = |at: usize| values.get(at).and_then(Option::as_deref).unwrap_or_default();
                next = text(0).parse().ok().zip(text(1).parse().ok());
            }
            b'E' => return Err(server_error(OPERATION, &message.body)),
            b'Z' => return Ok(next),
            _ => {}
        }
    }
}

pub(super) fn parse(mut body: Bytes) -> Result<Option<WalEvent>, ReplicationError> {
    let cut = || ReplicationError::protocol(OPERATION, "a cut message");
    if body.is_empty() {
        return Err(cut());
    }
    match body.get_u8() {
        b'w' if body.len() >= 24 => Ok(Some(WalEvent::Data {
            start: Lsn(body.get_u64()),
            server_end: Lsn(body.get_u64()),
            sent_at_ms: body.get_i64().saturating_add(POSTGRES_EPOCH_US) / 1_000,
            bytes: body,
        })),
        b'k' if body.len() >= 17 => {
            let server_end = Lsn(body.get_u64());
            body.advance(8);
            Ok(Some(WalEvent::Keepalive { server_end, reply_requested: body.get_u8() != 0 }))
        }
        b'w' | b'k' => Err(cut()),
        _ => Ok(None),
    }
}
