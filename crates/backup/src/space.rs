//! Room on a file system.
use std::path::Path;

/// Bytes that are free for others than root where `directory` is; `None` when that cannot be told.
pub fn free_bytes(directory: &Path) -> Option<u64> {
    let space = nix::sys::statvfs::statvfs(directory).ok()?;
    Some(space.blocks_available() * space.fragment_size())
}
