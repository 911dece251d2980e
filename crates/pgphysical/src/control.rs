//! `global/pg_control`: what a cluster says of itself, below SQL. Layout after `src/include/catalog/pg_control.h` of
//! PostgreSQL 13 to 18 on 64-bit little-endian machines.
use domain::Lsn;

/// Size of the file; only the first 512 bytes carry data.
pub const CONTROL_FILE_SIZE: usize = 8_192;
const CHECKPOINT_OFFSET: usize = 32;

/// State of the cluster as the control file has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// `initdb` did not end.
    StartingUp,
    /// Stopped cleanly.
    ShutDown,
    /// A standby stopped cleanly.
    ShutDownInRecovery,
    /// A stop was under way.
    ShuttingDown,
    /// Crash recovery.
    InCrashRecovery,
    /// Archive recovery or standby.
    InArchiveRecovery,
    /// Running (or ended without a clean stop).
    InProduction,
}

/// The parts of the control file that backups and restores need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// Unique to a cluster and its physical copies.
    pub system_identifier: u64,
    /// Version of this layout: 1300 for 13 to 16, 1700 for 17, 1800 for 18.
    pub control_version: u32,
    /// Changes with each incompatible change of the system catalogues.
    pub catalog_version: u32,
    /// See [`ClusterState`].
    pub state: ClusterState,
    /// Place of the latest checkpoint record.
    pub checkpoint: Lsn,
    /// Where recovery from that checkpoint begins.
    pub redo: Lsn,
    /// Its timeline.
    pub timeline: u32,
    /// Recovery must reach this before the copy is consistent (standby copies); zero otherwise.
    pub min_recovery_point: Lsn,
    /// Bytes of a page.
    pub block_size: u32,
    /// Pages of a relation segment file.
    pub segment_blocks: u32,
    /// Bytes of a WAL segment file.
    pub wal_segment_size: u32,
    /// Page checksums are on.
    pub checksums: bool,
    /// `max_connections`, which a hot standby must not go below.
    pub max_connections: i32,
    /// `max_worker_processes`, likewise.
    pub max_worker_processes: i32,
    /// `max_wal_senders`, likewise.
    pub max_wal_senders: i32,
    /// `max_prepared_transactions`, likewise.
    pub max_prepared_transactions: i32,
    /// `max_locks_per_transaction`, likewise.
    pub max_locks_per_transaction: i32,
}

/// Why a control file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlFileError {
    /// Fewer than 512 bytes.
    #[error("pg_control has {0} bytes, at least 512 were expected; the file is cut or is not a control file")]
    Short(usize),
    /// Read while it was written, or damaged.
    #[error("the checksum of pg_control is wrong: it is damaged, or was read while it was being written")]
    Checksum,
    /// A layout that is not known.
    #[error("pg_control has version {0}; Holdfast knows those of PostgreSQL 13 to 18 on little-endian machines")]
    Version(u32),
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|it| it.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|it| it.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Offset of the CRC by layout version.
fn crc_offset(control_version: u32) -> Option<usize> {
    match control_version {
        // 17 changed values, not places.
        1_300 | 1_700 => Some(288),
        1_800 => Some(292),
        _ => None,
    }
}

impl ControlFile {
    /// Reads the bytes of the file.
    ///
    /// # Errors
    /// See [`ControlFileError`]; [`ControlFileError::Checksum`] may pass when the file is read again.
    pub fn parse(bytes: &[u8]) -> Result<Self, ControlFileError> {
        if bytes.len() < 512 {
            return Err(ControlFileError::Short(bytes.len()));
        }
        let control_version = u32_at(bytes, 8);
        let crc_at = crc_offset(control_version).ok_or(ControlFileError::Version(control_version))?;
        if crc32c::crc32c(&bytes[..crc_at]) != u32_at(bytes, crc_at) {
            return Err(ControlFileError::Checksum);
        }
        let state = match u32_at(bytes, 16) {
            1 => ClusterState::ShutDown,
            2 => ClusterState::ShutDownInRecovery,
            3 => ClusterState::ShuttingDown,
            4 => ClusterState::InCrashRecovery,
            5 => ClusterState::InArchiveRecovery,
            6 => ClusterState::InProduction,
            _ => ClusterState::StartingUp,
        };
        let int = |at| u32_at(bytes, at).cast_signed();
        Ok(Self {
            system_identifier: u64_at(bytes, 0),
            control_version,
            catalog_version: u32_at(bytes, 12),
            state,
            checkpoint: Lsn(u64_at(bytes, CHECKPOINT_OFFSET)),
            redo: Lsn(u64_at(bytes, 40)),
            timeline: u32_at(bytes, 48),
            min_recovery_point: Lsn(u64_at(bytes, 136)),
            max_connections: int(180),
            max_worker_processes: int(184),
            max_wal_senders: int(188),
            max_prepared_transactions: int(192),
            max_locks_per_transaction: int(196),
            block_size: u32_at(bytes, 216),
            segment_blocks: u32_at(bytes, 220),
            wal_segment_size: u32_at(bytes, 228),
            checksums: u32_at(bytes, 252) != 0,
        })
    }

    /// The same file with a checkpoint that does not exist: a cluster restored with it cannot start without its
    /// `backup_label`, so nobody can start a copy that would be inconsistent. With the label the server takes the
    /// checkpoint from there and writes a good control file.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn without_checkpoint(bytes: &[u8]) -> Result<Vec<u8>, ControlFileError> {
        let control = Self::parse(bytes)?;
        let crc_at = crc_offset(control.control_version).ok_or(ControlFileError::Version(control.control_version))?;
        let mut changed = bytes.to_vec();
        changed[CHECKPOINT_OFFSET..CHECKPOINT_OFFSET + 8].copy_from_slice(&0xDEAD_BEEF_u64.to_le_bytes());
        let crc = crc32c::crc32c(&changed[..crc_at]);
        changed[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        Ok(changed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Of a cluster made by 17.10 with page checksums and segments of 64 MiB; the figures are what `pg_controldata` said.
    const OF_17: &[u8] = include_bytes!("../tests/data/pg_control_17");

    #[test]
    fn the_control_file_of_17_is_read_and_can_be_disarmed() {
        let control = ControlFile::parse(OF_17).unwrap();
        assert_eq!((control.control_version, control.catalog_version), (1_700, 202_406_281));
        assert_eq!(control.system_identifier, 7_712_962_116_556_373_609);
        assert_eq!(
            (control.state, control.checkpoint, control.redo),
            (ClusterState::ShutDown, Lsn(0x46C_37F8), Lsn(0x46C_37F8))
        );
        assert_eq!((control.timeline, control.min_recovery_point), (1, Lsn(0)));
        assert_eq!((control.block_size, control.segment_blocks, control.wal_segment_size), (8_192, 131_072, 64 << 20));
        assert!(control.checksums);
        assert_eq!(
            [
                control.max_connections,
                control.max_worker_processes,
                control.max_wal_senders,
                control.max_locks_per_transaction
            ],
            [100, 8, 10, 64]
        );
        let without = ControlFile::without_checkpoint(OF_17).unwrap();
        assert_eq!(ControlFile::parse(&without).unwrap().checkpoint, Lsn(0xDEAD_BEEF));
        let mut changed = OF_17.to_vec();
        changed[200] ^= 1;
        assert_eq!(ControlFile::parse(&changed), Err(ControlFileError::Checksum));
    }
}
