//! Room kept back for the time when there is none: to delete, an expiry must write first (its lease, its tombstones).
use super::files::{Place, Publish};
use crate::{BlobError, key::TEMPORARY};
use nix::sys::statvfs::statvfs;
use std::{fs, io, path::PathBuf};

/// Enough for the lease, the clock and the tombstones of some thousand backups.
const BYTES: usize = 4 << 20;
/// It is kept only where it takes no more than this share of the room.
const SHARE: u64 = 16;

impl Place {
    /// Below `tmp/`, which is never listed; it does not end as unfinished objects do, so that it is not swept with them.
    fn reserve(&self) -> PathBuf {
        self.root.join(TEMPORARY).join("reserve")
    }

    /// Writes it unless it is there or there is little room. Random bytes: a file system that compresses or looks for
    /// equal blocks would keep no room for zeros.
    pub(super) fn keep_reserve(&self) -> Result<(), BlobError> {
        let path = self.reserve();
        let free = statvfs(&self.root).map(|it| it.blocks_available().saturating_mul(it.fragment_size()));
        if path.exists() || free.is_ok_and(|free| free < SHARE.saturating_mul(BYTES as u64)) {
            return Ok(());
        }
        let mut bytes = vec![0; BYTES];
        rand::RngCore::fill_bytes(&mut rand::rng(), &mut bytes);
        let mut file = self.temporary()?;
        file.write(self, &bytes)?;
        self.publish(file, &format!("{TEMPORARY}/reserve"), Publish::Replace)
    }

    /// Removes it; whether it was there.
    pub(super) fn give_up_reserve(&self) -> Result<bool, BlobError> {
        let path = self.reserve();
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("delete", &path)(error)),
        }
    }
}
