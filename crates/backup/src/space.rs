//! Room on a file system.
use std::path::Path;

/// Bytes that are free for others than root where `directory` is; `None` when that cannot be told.
pub fn free_bytes(directory: &Path) -> Option<u64> {
    let space = nix::sys::statvfs::statvfs(directory).ok()?;
    Some(space.blocks_available() * space.fragment_size())
}

/// Share of the file system where `directory` is that is used, in percent, as `df` counts it: what is reserved for root
/// is neither used nor free. `None` when that cannot be told.
pub fn used_percent(directory: &Path) -> Option<f64> {
    let space = nix::sys::statvfs::statvfs(directory).ok()?;
    let (used, free) = (space.blocks().saturating_sub(space.blocks_free()), space.blocks_available());
    let all = used.saturating_add(free);
    (all > 0).then(|| used as f64 / all as f64 * 100.0)
}
