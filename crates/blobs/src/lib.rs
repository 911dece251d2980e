//! Objects in a directory or an S3 bucket: written once and durable, read whole or in ranges, listed, deleted.
//! One trait, [`BlobStore`], so that a repository is the same on both.

mod dir;
mod error;
#[cfg(feature = "faulty")]
pub mod faulty;
mod key;
mod s3;
mod store;

pub use bytes::Bytes;
pub use dir::DirStore;
pub use error::BlobError;
pub use s3::{S3Config, S3Store};
pub use store::{BlobInfo, BlobStore, BlobWriter};
