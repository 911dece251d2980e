//! PostgreSQL's streaming replication protocol, as far as physical backups need it: base backups and WAL. Our own thin
//! client on `postgres-protocol`, because tokio-postgres has no replication mode (docs/adr/0009-replication-client.md).
mod base_backup;
mod connection;
mod conninfo;
mod error;
mod tls;
mod wal_stream;

pub use base_backup::{BackupEvent, BaseBackupOptions, BaseBackupStream, Tablespace};
pub use connection::{Identity, ReplicationConnection, Rows};
pub use conninfo::{ConnInfo, TlsMode};
pub use error::ReplicationError;
pub use wal_stream::{WalEvent, WalStream};
