//! PostgreSQL's streaming replication protocol, as far as physical backups need it: base backups and WAL. Our own thin
//! client on `postgres-protocol`, because tokio-postgres has no replication mode (docs/adr/0009-replication-client.md).
mod base_backup;
mod connection;
mod conninfo;
mod error;
mod tls;
mod wal_stream;

#[doc(hidden)]
pub mod fuzzing {
    //! The parsers of messages, for [`crate::fuzzing`].

    /// Every parser of a message's body.
    pub fn parse_all(bytes: &[u8]) {
        let _ = super::connection::row("testing", bytes);
        let _ = super::connection::server_error("testing", bytes);
        let _ = super::wal_stream::parse(bytes::Bytes::copy_from_slice(bytes));
        let _ = super::base_backup::marked(bytes::Bytes::copy_from_slice(bytes));
    }

    /// Lines of `~/.pgpass`.
    pub fn password_file(text: &str) {
        let _ = super::conninfo::password_line(text, "host", 5_432, "database", "user");
    }
}

pub use base_backup::{BackupEvent, BaseBackupOptions, BaseBackupStream, Tablespace};
pub use connection::{Identity, ReplicationConnection, Rows};
pub use conninfo::{ConnInfo, TlsMode};
pub use error::ReplicationError;
pub use wal_stream::{WalEvent, WalStream};
