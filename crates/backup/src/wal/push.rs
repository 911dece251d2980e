//! `archive_command`: one finished file of `pg_wal`.
use super::covered_until;
use crate::{
    BackupError,
    create::read_control,
    format::{ObjectId, crypto::ObjectKind, layout},
    repo::Repository,
};
use pgphysical::wal::{WalFileName, check_segment_start};
use std::path::Path;

/// Archives the file at `path`, in the `pg_wal` of the data directory `data`. The same file twice is fine; another
/// file of the same name is refused.
///
/// # Errors
/// See [`BackupError`]; PostgreSQL keeps the file and tries again.
pub async fn push(repository: &Repository, data: &Path, path: &Path) -> Result<(), BackupError> {
    let (_, control) = read_control(&data.join("global/pg_control"))?;
    let (system, size) = (control.system_identifier, control.wal_segment_size);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let parsed = WalFileName::parse(name, size).ok_or_else(|| {
        BackupError::Invalid(format!(
            "'{name}' is not a file that PostgreSQL archives; use archive_command = 'holdfast wal push %p'"
        ))
    })?;
    let bytes = std::fs::read(path).map_err(BackupError::io("read", path))?;
    match parsed {
        WalFileName::History(timeline) => repository.write_history(system, timeline, &bytes).await,
        WalFileName::Segment(segment) => {
            if bytes.len() != size as usize {
                return Err(BackupError::Invalid(format!(
                    "{name} has {} bytes; a segment of this cluster has {size}",
                    bytes.len()
                )));
            }
            check_segment_start(&bytes, segment, size, system)
                .map_err(|error| BackupError::Invalid(format!("{name} is not what its name says: {error}")))?;
            let start = segment.start(size);
            let pieces = repository.wal_pieces(system, segment.timeline).await?;
            if covered_until(&pieces, start) >= segment.end(size) {
                let known = super::fetch::assemble(repository, system, &pieces, segment, size).await?;
                if known.as_deref() == Some(bytes.as_slice()) {
                    return Ok(());
                }
                return Err(BackupError::Conflict(format!(
                    "another {name} is in the repository: two servers archive to one place (a copy started without its own repository, or a failed switchover); nothing was overwritten"
                )));
            }
            repository.write_piece(system, segment.timeline, start, &bytes).await?;
            Ok(())
        }
        WalFileName::Partial(segment) => keep(repository, system, segment.timeline, name, &bytes).await,
        WalFileName::BackupHistory(_) => {
            let timeline = u32::from_str_radix(&name[..8], 16).unwrap_or(1);
            keep(repository, system, timeline, name, &bytes).await
        }
    }
}

/// Files that a restore does not need are kept under their own name.
async fn keep(
    repository: &Repository,
    system: u64,
    timeline: u32,
    name: &str,
    bytes: &[u8],
) -> Result<(), BackupError> {
    let prefix = format!("{}other/{timeline:08X}/{name}-", layout::cluster(system));
    for info in repository.store().list(&prefix).await? {
        if repository.read(&info.key, ObjectKind::Wal).await? == bytes {
            return Ok(());
        }
    }
    let id = ObjectId::random();
    repository.write(&format!("{prefix}{id}"), id, ObjectKind::Wal, bytes).await?;
    Ok(())
}
