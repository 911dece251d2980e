//! `backup_manifest`, as `src/backend/backup/backup_manifest.c` writes it and `pg_verifybackup` reads it.
use crate::format::manifest::{ClusterFacts, Entry};
use domain::{Lsn, Timestamp};
use pgphysical::wal::Timeline;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// CRC-32C of a file, the server's default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Checksum(u32);

impl Checksum {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, bytes);
    }
}

/// The manifest as it grows.
#[derive(Debug)]
pub(super) struct BackupManifest {
    text: String,
    first: bool,
}

impl BackupManifest {
    pub fn new(cluster: &ClusterFacts) -> Self {
        // Version 2 came with 17 and names the cluster.
        let text = if cluster.major() >= 17 {
            format!(
                "{{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": {},\n\"Files\": [",
                cluster.system_identifier
            )
        } else {
            "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [".to_owned()
        };
        Self { text, first: true }
    }

    pub fn file(&mut self, entry: &Entry, checksum: Checksum) {
        let separator = if std::mem::take(&mut self.first) { "\n" } else { ",\n" };
        let path = serde_json::Value::from(entry.path.as_str());
        // The server prints the checksum's bytes in memory order.
        let crc = checksum.0.to_le_bytes().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let _ = write!(
            self.text,
            "{separator}{{ \"Path\": {path}, \"Size\": {}, \"Last-Modified\": \"{}\", \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"{crc}\" }}",
            entry.size,
            gmt(entry.modified)
        );
    }

    pub fn finish(mut self, timeline: Timeline, start: Lsn, stop: Lsn) -> String {
        let _ = write!(
            self.text,
            "\n],\n\"WAL-Ranges\": [\n{{ \"Timeline\": {timeline}, \"Start-LSN\": \"{start}\", \"End-LSN\": \"{stop}\" }}\n],\n"
        );
        let sum = Sha256::digest(self.text.as_bytes()).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let _ = writeln!(self.text, "\"Manifest-Checksum\": \"{sum}\"}}");
        self.text
    }
}

/// `2026-11-24 02:00:00 GMT`.
fn gmt(seconds: i64) -> String {
    let text = Timestamp(seconds.saturating_mul(1_000)).to_rfc3339();
    format!("{} GMT", text.get(..19).unwrap_or("1970-01-01T00:00:00").replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_checksums_are_written_as_the_server_does() {
        assert_eq!(gmt(1_700_000_000), "2023-11-14 22:13:20 GMT");
        let mut sum = Checksum::default();
        sum.update(b"1234");
        sum.update(b"56789");
        assert_eq!(sum.0, 0xE306_9283);
    }
}
