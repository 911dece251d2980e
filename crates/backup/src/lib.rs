//! The backup engine: an encrypted repository, page-level backups, WAL, restore. See `docs/repository-format.md` for
//! the format and `ARCHITECTURE.md` for where this stands.

pub mod create;
mod error;
mod expire;
pub mod export;
pub mod format;
#[doc(hidden)]
pub mod fuzzing;
mod hold;
mod keys;
mod lease;
mod maps;
mod pages;
mod record;
mod repo;
pub mod restore;
pub mod retention;
mod space;
mod tar;
mod verify;
pub mod wal;

pub use create::{Confirm, CreateOptions, Progress, create};
pub use error::BackupError;
pub use export::{ExportFormat, ExportOptions, Exported, export};
pub use format::manifest::{BackupType, SourceKind, Summary};
pub use hold::Hold;
pub use keys::{KeySlot, KeySource};
pub use lease::Lease;
pub use record::Record;
pub use repo::{Catalogue, Manifest, Repository, RepositoryFile};
pub use space::{free_bytes, used_percent};
pub use verify::{Verified, verify};
