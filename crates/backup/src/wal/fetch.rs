//! `restore_command`: one file of `pg_wal`, or the certainty that it does not exist.
use crate::{BackupError, create::read_control, format::layout::WalPieceName, repo::Repository, restore::RECOVERY_END};
use domain::Lsn;
use pgphysical::wal::{WalFileName, WalSegment};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// Segments fetched ahead of the one that was asked for.
const AHEAD: u64 = 4;
/// Where they wait, in the data directory's `pg_wal`; the server removes unknown files there never, so we do.
const AHEAD_DIRECTORY: &str = "holdfast-ahead";

/// So often a segment whose pieces vanish is looked at again.
const LOOKS: usize = 4;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It is there, fsynced.
    Delivered,
    /// The repository was reached, and has neither it nor anything later on its timeline.
    Absent,
}

/// Delivers the file `name` to `to` for the cluster in `data`.
///
/// # Errors
/// Whenever it is not certain that the file does not exist: recovery must stop then, and never end early.
pub async fn fetch(repository: &Repository, data: &Path, name: &str, to: &Path) -> Result<Fetched, BackupError> {
    let (_, control) = read_control(&data.join("global/pg_control"))?;
    let (system, size) = (control.system_identifier, control.wal_segment_size);
    let segment = match WalFileName::parse(name, size) {
        Some(WalFileName::History(timeline)) => {
            return match repository.history_file(system, timeline).await? {
                Some(content) => deliver(to, &content).map(|()| Fetched::Delivered),
                None => Ok(Fetched::Absent),
            };
        }
        Some(WalFileName::Segment(segment)) => segment,
        Some(WalFileName::Partial(_) | WalFileName::BackupHistory(_)) => return Ok(Fetched::Absent),
        None => {
            return Err(BackupError::Invalid(format!(
                "'{name}' is not a file that PostgreSQL asks for; use restore_command = 'holdfast wal fetch %f %p'"
            )));
        }
    };
    let ahead = data.join("pg_wal").join(AHEAD_DIRECTORY);
    let waiting = ahead.join(name);
    if waiting.metadata().is_ok_and(|it| it.len() == u64::from(size)) && std::fs::rename(&waiting, to).is_ok() {
        return Ok(Fetched::Delivered);
    }
    let pieces = repository.wal_pieces(system, segment.timeline).await?;
    let content = assemble(repository, system, &pieces, segment, size).await?;
    let Some(mut content) = content else {
        // Behind the target nothing is needed, also when later WAL is there: the server only reads ahead.
        if recovery_end(data).is_some_and(|end| segment.start(size) >= end) {
            return Ok(Fetched::Absent);
        }
        // Something later is there: a hole. To say "absent" would end recovery before the data that exists.
        if let Some(later) = pieces.iter().find(|piece| piece.start >= segment.start(size)) {
            return Err(BackupError::Failed(format!(
                "WAL {name} is missing in the repository although WAL from {} on is there: recovery cannot pass this hole; choose a target before {}",
                later.start,
                segment.start(size)
            )));
        }
        let _ = std::fs::remove_dir_all(&ahead);
        return Ok(Fetched::Absent);
    };
    if content.len() < size as usize {
        let covered = Lsn(segment.start(size).0 + content.len() as u64);
        let enough = recovery_end(data).is_some_and(|end| covered >= end);
        if !enough && let Some(later) = pieces.iter().find(|piece| piece.start >= segment.end(size)) {
            return Err(BackupError::Failed(format!(
                "WAL {name} is there only up to {} although WAL from {} on is there: recovery cannot pass this hole",
                Lsn(segment.start(size).0 + content.len() as u64),
                later.start
            )));
        }
        // The last seconds before the end: replay stops where the records do.
        content.resize(size as usize, 0);
        return deliver(to, &content).map(|()| Fetched::Delivered);
    }
    deliver(to, &content)?;
    prefetch(repository, system, &pieces, segment, size, &ahead).await;
    Ok(Fetched::Delivered)
}

/// Where recovery was told to stop, when it was told a position.
fn recovery_end(data: &Path) -> Option<Lsn> {
    std::fs::read_to_string(data.join(RECOVERY_END)).ok()?.trim().parse().ok()
}

/// Reads the next segments while the server replays this one. Best effort: what fails is asked for again.
async fn prefetch(
    repository: &Repository,
    system: u64,
    pieces: &[WalPieceName],
    after: WalSegment,
    size: u32,
    ahead: &Path,
) {
    let wanted = (1..=AHEAD).map(|step| WalSegment { number: after.number + step, ..after });
    let wanted = wanted.filter(|segment| {
        super::covered_until(pieces.get(first_at(pieces, *segment, size)..).unwrap_or_default(), segment.start(size))
            >= segment.end(size)
            && !ahead.join(segment.file_name(size)).exists()
    });
    let wanted = wanted.collect::<Vec<_>>();
    if wanted.is_empty() || std::fs::create_dir_all(ahead).is_err() {
        return;
    }
    let fetches = wanted.into_iter().map(|segment| async move {
        if let Ok(Some(content)) = assemble(repository, system, pieces, segment, size).await
            && content.len() == size as usize
        {
            let _ = deliver(&ahead.join(segment.file_name(size)), &content);
        }
    });
    futures::future::join_all(fetches).await;
}

/// Index of the first piece that reaches into the segment.
fn first_at(pieces: &[WalPieceName], segment: WalSegment, size: u32) -> usize {
    pieces.iter().position(|piece| piece.end > segment.start(size)).unwrap_or(pieces.len())
}

/// The segment's bytes from its beginning as far as the pieces go without a hole; `None` when its first byte is missing.
///
/// A stream puts the pieces of a segment together when the segment is over and removes them: who listed them before looks
/// again.
pub(crate) async fn assemble(
    repository: &Repository,
    system: u64,
    pieces: &[WalPieceName],
    segment: WalSegment,
    size: u32,
) -> Result<Option<Vec<u8>>, BackupError> {
    let mut outcome = join(repository, system, pieces, segment, size).await;
    for _ in 0..LOOKS {
        if !outcome.as_ref().is_err_and(BackupError::is_gone) {
            break;
        }
        let pieces = repository.wal_pieces(system, segment.timeline).await?;
        outcome = join(repository, system, &pieces, segment, size).await;
    }
    outcome
}

async fn join(
    repository: &Repository,
    system: u64,
    pieces: &[WalPieceName],
    segment: WalSegment,
    size: u32,
) -> Result<Option<Vec<u8>>, BackupError> {
    let (start, end) = (segment.start(size), segment.end(size));
    let mut out = Vec::new();
    for piece in pieces.iter().filter(|piece| piece.start < end && piece.end > start) {
        let at = Lsn(start.0 + out.len() as u64);
        if piece.start > at || piece.end <= at {
            continue;
        }
        let bytes = repository.read_piece(system, piece).await?;
        let from = usize::try_from(at.0 - piece.start.0).unwrap_or(usize::MAX);
        let until = usize::try_from(piece.end.min(end).0 - piece.start.0).unwrap_or(0);
        out.extend_from_slice(bytes.get(from..until).unwrap_or_default());
        if out.len() >= size as usize {
            break;
        }
    }
    Ok((!out.is_empty()).then_some(out))
}

fn deliver(to: &Path, content: &[u8]) -> Result<(), BackupError> {
    let temporary = PathBuf::from(format!("{}.holdfast", to.display()));
    let mut file = std::fs::File::create(&temporary).map_err(BackupError::io("create", &temporary))?;
    file.write_all(content).map_err(BackupError::io("write", &temporary))?;
    file.sync_all().map_err(BackupError::io("flush", &temporary))?;
    std::fs::rename(&temporary, to).map_err(BackupError::io("rename to", to))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn pieces_that_are_put_together_while_they_are_read_are_found_again() {
        const SIZE: u32 = 1 << 20;
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn blobs::BlobStore> =
            Arc::new(blobs::DirStore::create(&directory.path().join("repository")).unwrap());
        let repository = Repository::init(store.clone(), None).await.unwrap();
        let segment = WalSegment { timeline: 1, number: 3 };
        let start = segment.start(SIZE);
        // Pages that say where they are, as WAL does.
        let mut wal = vec![0; SIZE as usize];
        for (number, page) in wal.chunks_mut(8_192).enumerate() {
            page[..2].copy_from_slice(&0xD110_u16.to_le_bytes());
            page[8..16].copy_from_slice(&(start.0 + number as u64 * 8_192).to_le_bytes());
        }
        let half = wal.len() / 2;
        repository.write_piece(7, 1, start, &wal[..half]).await.unwrap();
        repository.write_piece(7, 1, Lsn(start.0 + half as u64), &wal[half..]).await.unwrap();
        let listed = repository.wal_pieces(7, 1).await.unwrap();
        assert_eq!(listed.len(), 2);
        repository.write_piece(7, 1, start, &wal).await.unwrap();
        for piece in &listed {
            store.delete(&crate::format::layout::wal_piece(7, 1, piece.start, piece.end, piece.id)).await.unwrap();
        }
        let found = assemble(&repository, 7, &listed, segment, SIZE).await.unwrap().unwrap();
        assert!(found == wal);
        // In no list any more: not there, and `fetch` asks whether anything later is.
        for piece in repository.wal_pieces(7, 1).await.unwrap() {
            store.delete(&crate::format::layout::wal_piece(7, 1, piece.start, piece.end, piece.id)).await.unwrap();
        }
        assert_eq!(assemble(&repository, 7, &listed, segment, SIZE).await.unwrap(), None);
    }
}
