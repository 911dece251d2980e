//! Failures of replication connections, each with what to do next.
use domain::ErrorKind;

/// Why a replication connection does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    /// The URL cannot be used.
    #[error("the connection URL cannot be used: {0}")]
    Url(String),
    /// The server is not reached.
    #[error("cannot connect to {target}: {source}; is the server running and reachable?")]
    Connect {
        /// Host and port.
        target: String,
        /// Why.
        source: std::io::Error,
    },
    /// TLS was asked for and does not come about.
    #[error("TLS with {target} failed: {reason}")]
    Tls {
        /// Host and port.
        target: String,
        /// Why.
        reason: String,
    },
    /// Name or password are wrong, or a method is not known.
    #[error("{user} cannot sign in: {reason}")]
    SignIn {
        /// The role.
        user: String,
        /// Why.
        reason: String,
    },
    /// The server refused.
    #[error("{operation}: {message}{}", hint(.detail))]
    Server {
        /// What was tried.
        operation: &'static str,
        /// SQLSTATE.
        code: String,
        /// The server's words.
        message: String,
        /// Detail and hint.
        detail: String,
    },
    /// WAL that was asked for is gone.
    #[error("the server has removed WAL that was asked for: {message}")]
    WalRemoved {
        /// The server's words.
        message: String,
    },
    /// The connection ended.
    #[error("the connection was lost while {operation}: {source}")]
    Lost {
        /// What was under way.
        operation: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// No answer in time.
    #[error("the server did not answer within {seconds} s while {operation}")]
    Timeout {
        /// What was under way.
        operation: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// An answer that makes no sense.
    #[error("the server's answer while {operation} is not understood: {what}")]
    Protocol {
        /// What was under way.
        operation: &'static str,
        /// What came.
        what: String,
    },
}

fn hint(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

impl ReplicationError {
    /// The server ended the connection.
    pub fn closed(operation: &'static str) -> Self {
        Self::Lost { operation, source: std::io::ErrorKind::UnexpectedEof.into() }
    }

    pub(super) fn protocol(operation: &'static str, what: impl ToString) -> Self {
        Self::Protocol { operation, what: what.to_string() }
    }

    /// From the server's error message.
    pub(super) fn server(operation: &'static str, code: String, message: String, detail: String) -> Self {
        if message.contains("has already been removed") || (code == "55000" && message.contains("can no longer")) {
            return Self::WalRemoved { message };
        }
        let advice = match code.as_str() {
            "28000" if message.contains("pg_hba.conf") => {
                "add a line for 'replication' and this role to pg_hba.conf and reload"
            }
            "42501" | "28000" => {
                "give the role REPLICATION, and for backups EXECUTE on pg_backup_start and pg_backup_stop or pg_read_all_settings"
            }
            "53300" => "raise max_wal_senders or end another replication connection",
            "53400" => "raise max_replication_slots or drop a slot that nobody needs",
            "55006" => "another program uses this slot; stop it or take another slot name",
            _ => "",
        };
        let detail = [detail.as_str(), advice].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join("; ");
        Self::Server { operation, code, message, detail }
    }

    /// Something of that name exists already.
    pub fn is_exists(&self) -> bool {
        matches!(self, Self::Server { code, .. } if code == "42710")
    }

    /// Waiting may help.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Lost { .. } | Self::Timeout { .. } => true,
            // Starting up, shutting down, too many connections, slot still held by the last connection.
            Self::Server { code, .. } => {
                code.starts_with("57P")
                    || code.starts_with("08")
                    || matches!(code.as_str(), "53300" | "55006" | "55000")
            }
            _ => false,
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Url(_) | Self::SignIn { .. } => ErrorKind::Invalid,
            Self::Server { code, .. } if code == "42710" => ErrorKind::Conflict,
            _ => ErrorKind::Unavailable,
        }
    }
}
