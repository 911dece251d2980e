//! `BASE_BACKUP`. Up to 14 the server sends one copy for each tablespace, from 15 on a single one with marks in it; both
//! become the same events.
use super::conninfo::DEFAULT_SILENCE;
use super::{
    ReplicationConnection, ReplicationError,
    connection::{Rows, row},
};
use bytes::{Buf as _, Bytes};
use domain::Lsn;
use std::{collections::VecDeque, time::Duration};

const OPERATION: &str = "receiving a base backup";
/// The checkpoint before it may be spread over many minutes.
const BEGIN_PATIENCE: Duration = Duration::from_secs(3_600);
/// A disk may be slow, but not for so long without a byte.
const DATA_PATIENCE: Duration = Duration::from_secs(600);

/// What the backup is to be like.
#[derive(Clone, Debug)]
pub struct BaseBackupOptions {
    /// Shown in the server's log and label.
    pub label: String,
    /// Begin with a checkpoint at once.
    pub fast: bool,
    /// Sizes of tablespaces are estimated first.
    pub progress: bool,
    /// A manifest is sent.
    pub manifest: bool,
    /// Limit, KiB a second.
    pub max_rate_kib: Option<u32>,
    /// `tablespace_map` is sent instead of links.
    pub tablespace_map: bool,
    /// The server checks page checksums.
    pub verify_checksums: bool,
    /// The server waits until its WAL is archived.
    pub wait: bool,
}

/// One tablespace of a backup; the main data directory has neither oid nor path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tablespace {
    /// Oid.
    pub oid: Option<u32>,
    /// Where it is.
    pub path: Option<String>,
    /// Estimated size.
    pub size_kib: Option<i64>,
}

/// What the server sends.
#[derive(Debug)]
pub enum BackupEvent {
    /// An archive begins: `base.tar` or `OID.tar`.
    Archive {
        /// Its name.
        name: String,
        /// The tablespace's directory.
        path: Option<String>,
    },
    /// Bytes of the archive or the manifest.
    Data(Bytes),
    /// From here on the data is the manifest.
    Manifest,
    /// Bytes done so far.
    Progress(u64),
    /// All is sent.
    End {
        /// Where the backup ends.
        stop: Lsn,
        /// On which timeline.
        timeline: u32,
    },
}

/// A base backup as it comes.
#[derive(Debug)]
pub struct BaseBackupStream {
    connection: ReplicationConnection,
    start: (Lsn, u32),
    tablespaces: Vec<Tablespace>,
    /// Archives that will come, for servers up to 14.
    expected: VecDeque<BackupEvent>,
    marked: bool,
}

impl ReplicationConnection {
    /// Starts a base backup.
    ///
    /// # Errors
    /// See [`ReplicationError`].
    pub async fn base_backup(mut self, options: &BaseBackupOptions) -> Result<BaseBackupStream, ReplicationError> {
        let marked = self.server_version() >= 150_000;
        self.send_query(&statement(options, marked), OPERATION).await?;
        // A shorter limit that was asked for holds for the data.
        let silence = std::mem::replace(&mut self.silence, BEGIN_PATIENCE);
        let start = position(&self.rows().await?)?;
        self.silence = if silence == DEFAULT_SILENCE { DATA_PATIENCE } else { silence };
        let tablespaces = self
            .rows()
            .await?
            .into_iter()
            .map(|row| {
                let mut row = row.into_iter();
                Tablespace {
                    oid: row.next().flatten().and_then(|oid| oid.parse().ok()),
                    path: row.next().flatten(),
                    size_kib: row.next().flatten().and_then(|size| size.parse().ok()),
                }
            })
            .collect::<Vec<_>>();
        let mut expected = VecDeque::new();
        if !marked {
            for one in &tablespaces {
                let name = one.oid.map_or_else(|| "base.tar".to_owned(), |oid| format!("{oid}.tar"));
                expected.push_back(BackupEvent::Archive { name, path: one.path.clone() });
            }
            if options.manifest {
                expected.push_back(BackupEvent::Manifest);
            }
        }
        Ok(BaseBackupStream { connection: self, start, tablespaces, expected, marked })
    }

    /// One result set.
    async fn rows(&mut self) -> Result<Rows, ReplicationError> {
        let mut rows = Rows::new();
        loop {
            let message = self.answer(OPERATION).await?;
            match message.tag {
                b'T' => rows.clear(),
                b'D' => rows.push(row(OPERATION, &message.body)?),
                b'C' => return Ok(rows),
                other => return Err(ReplicationError::protocol(OPERATION, format!("message '{}'", other as char))),
            }
        }
    }
}

fn position(rows: &Rows) -> Result<(Lsn, u32), ReplicationError> {
    let cell = |at: usize| rows.first().and_then(|row| row.get(at)?.as_deref()).unwrap_or_default();
    cell(0)
        .parse()
        .ok()
        .zip(cell(1).parse().ok())
        .ok_or_else(|| ReplicationError::protocol(OPERATION, format!("no position in {rows:?}")))
}

fn statement(options: &BaseBackupOptions, marked: bool) -> String {
    let label = options.label.replace('\'', "''");
    if marked {
        let mut parts = vec![format!("LABEL '{label}'")];
        parts.push(format!("CHECKPOINT '{}'", if options.fast { "fast" } else { "spread" }));
        parts.push(format!("PROGRESS {}", options.progress));
        parts.push(format!("WAIT {}", options.wait));
        parts.push(format!("TABLESPACE_MAP {}", options.tablespace_map));
        parts.push(format!("VERIFY_CHECKSUMS {}", options.verify_checksums));
        parts.push(format!("MANIFEST '{}'", if options.manifest { "yes" } else { "no" }));
        if let Some(rate) = options.max_rate_kib {
            parts.push(format!("MAX_RATE {}", rate.clamp(32, 1_048_576)));
        }
        return format!("BASE_BACKUP ({})", parts.join(", "));
    }
    let mut text = format!("BASE_BACKUP LABEL '{label}'");
    let mut add = |wanted: bool, word: &str| {
        if wanted {
            text.push(' ');
            text.push_str(word);
        }
    };
    add(options.progress, "PROGRESS");
    add(options.fast, "FAST");
    add(!options.wait, "NOWAIT");
    if let Some(rate) = options.max_rate_kib {
        add(true, &format!("MAX_RATE {}", rate.clamp(32, 1_048_576)));
    }
    add(options.tablespace_map, "TABLESPACE_MAP");
    add(!options.verify_checksums, "NOVERIFY_CHECKSUMS");
    add(true, if options.manifest { "MANIFEST 'yes'" } else { "MANIFEST 'no'" });
    text
}

impl BaseBackupStream {
    /// Where replay begins, and on which timeline.
    pub const fn start(&self) -> (Lsn, u32) {
        self.start
    }

    /// All tablespaces; the main one is last.
    pub fn tablespaces(&self) -> &[Tablespace] {
        &self.tablespaces
    }

    /// The next event.
    ///
    /// # Errors
    /// See [`ReplicationError`].
    pub async fn next(&mut self) -> Result<BackupEvent, ReplicationError> {
        loop {
            let message = self.connection.answer(OPERATION).await?;
            match message.tag {
                // A copy begins.
                b'H' => {
                    if let Some(event) = self.expected.pop_front() {
                        return Ok(event);
                    }
                }
                b'd' if self.marked => return marked(message.body),
                b'd' => return Ok(BackupEvent::Data(message.body)),
                b'c' => {}
                // The end position comes as a result set.
                b'T' => {}
                b'D' => {
                    let (stop, timeline) = position(&vec![row(OPERATION, &message.body)?])?;
                    // The server says so after its own checks only: until then the backup is not good.
                    while self.connection.answer(OPERATION).await?.tag != b'Z' {}
                    return Ok(BackupEvent::End { stop, timeline });
                }
                b'C' => {}
                other => return Err(ReplicationError::protocol(OPERATION, format!("message '{}'", other as char))),
            }
        }
    }
}

pub(super) fn marked(mut body: Bytes) -> Result<BackupEvent, ReplicationError> {
    let cut = || ReplicationError::protocol(OPERATION, "a cut message");
    if body.is_empty() {
        return Err(cut());
    }
    match body.get_u8() {
        b'n' => {
            let mut texts = body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
            let name = texts.next().filter(|name| !name.is_empty()).ok_or_else(cut)?;
            Ok(BackupEvent::Archive { name, path: texts.next().filter(|path| !path.is_empty()) })
        }
        b'm' => Ok(BackupEvent::Manifest),
        b'd' => Ok(BackupEvent::Data(body)),
        b'p' if body.len() >= 8 => Ok(BackupEvent::Progress(body.get_u64())),
        other => Err(ReplicationError::protocol(OPERATION, format!("a mark '{}'", other as char))),
    }
}
