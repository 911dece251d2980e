//! What the server is asked around a backup.
use super::read_control;
use crate::{
    BackupError,
    format::manifest::{CapturedFile, ClusterFacts, TablespaceFacts},
};
use pgphysical::replication::ReplicationConnection;
use std::path::{Path, PathBuf};

/// What the server says before a backup.
#[derive(Debug)]
pub(super) struct Server {
    pub facts: ClusterFacts,
    pub data_directory: Option<PathBuf>,
    pub in_recovery: bool,
    pub captured: Vec<CapturedFile>,
}

pub(super) fn cell(rows: &[Vec<Option<String>>]) -> Option<String> {
    rows.first()?.first()?.clone()
}

pub(super) async fn look_at_server(sql: &mut ReplicationConnection) -> Result<Server, BackupError> {
    let row = sql
        .query(
            "SELECT s.system_identifier, s.catalog_version_no, c.data_page_checksum_version, i.bytes_per_wal_segment, \
             i.database_block_size, pg_is_in_recovery(), current_setting('data_directory'), i.wal_block_size \
             FROM pg_control_system() s, pg_control_init() i, pg_control_init() c",
        )
        .await?;
    let row =
        row.first().ok_or_else(|| BackupError::Failed("the server says nothing of its control file".to_owned()))?;
    let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
    let bad = |what: &str| BackupError::Failed(format!("the server's {what} cannot be read"));
    if text(4) != "8192" {
        return Err(BackupError::Invalid(format!(
            "the cluster has pages of {} bytes; Holdfast backs up those of 8192",
            text(4)
        )));
    }
    if text(7) != "8192" {
        return Err(BackupError::Invalid(format!(
            "the cluster has WAL pages of {} bytes; Holdfast archives those of 8192",
            text(7)
        )));
    }
    let version = sql.server_version();
    if version < 130_000 {
        return Err(BackupError::Invalid(
            "the server is older than PostgreSQL 13, which Holdfast does not back up".to_owned(),
        ));
    }
    let facts = ClusterFacts {
        // pg_control_system gives it as a signed number.
        system_identifier: text(0).parse::<i64>().map_err(|_| bad("system identifier"))?.cast_unsigned(),
        version,
        catalog_version: text(1).parse().map_err(|_| bad("catalogue version"))?,
        wal_segment_size: text(3).parse().map_err(|_| bad("WAL segment size"))?,
        checksums: text(2) != "0",
    };
    let (in_recovery, directory) = (text(5) == "t", PathBuf::from(text(6)));
    let data_directory = is_data_directory(&directory, facts.system_identifier).then_some(directory);
    let captured = capture(sql).await;
    Ok(Server { facts, data_directory, in_recovery, captured })
}

/// Asked after the backup has begun: what is made later comes with the WAL, what was made before must be read.
pub(super) async fn tablespaces(sql: &mut ReplicationConnection) -> Result<Vec<TablespaceFacts>, BackupError> {
    let rows = sql
        .query("SELECT oid, pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid")
        .await?;
    let listed = rows.into_iter().filter_map(|row| {
        let mut row = row.into_iter();
        let oid = row.next()??.parse().ok()?;
        Some(TablespaceFacts { oid, location: row.next()?? })
    });
    Ok(listed.collect())
}

/// The directory is readable here and is that cluster's: the path alone may name another machine's.
fn is_data_directory(directory: &Path, system: u64) -> bool {
    read_control(&directory.join("global/pg_control")).is_ok_and(|(_, control)| control.system_identifier == system)
}

/// Configuration files outside the data directory, as Debian keeps them; without them a restore does not start.
async fn capture(sql: &mut ReplicationConnection) -> Vec<CapturedFile> {
    let listed = sql
        .query(
            "SELECT DISTINCT f.path, pg_read_file(f.path) FROM (SELECT current_setting('config_file') UNION SELECT current_setting('hba_file') \
             UNION SELECT current_setting('ident_file') UNION SELECT sourcefile FROM pg_file_settings WHERE sourcefile IS NOT NULL) f(path) \
             WHERE f.path NOT LIKE current_setting('data_directory') || '/%'",
        )
        .await;
    match listed {
        Ok(rows) => rows
            .into_iter()
            .filter_map(|row| {
                let mut row = row.into_iter();
                Some(CapturedFile { path: row.next()??, content: row.next()?? })
            })
            .collect(),
        Err(error) => {
            tracing::warn!(%error, "configuration files outside the data directory are not in the backup: the role may not read them (pg_read_server_files)");
            Vec::new()
        }
    }
}
