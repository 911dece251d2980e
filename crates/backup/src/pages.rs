//! Reading files in order, window by window: frames that several windows share are kept, neighbours in a pack are read in
//! one go. Memory is bounded by the frames kept and those of one call.
use crate::{
    BackupError,
    format::{
        ObjectId,
        crypto::{ObjectKind, Sealer},
        layout,
        map::{FileMap, Fingerprinter, WINDOW_PAGES, WINDOW_SIZE},
        object::{FrameRef, open_frame},
    },
    maps::sealer_for,
    repo::Repository,
};
use pgphysical::page::PAGE_SIZE;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

type Frame = (ObjectId, FrameRef);

/// Bytes of frames kept between calls.
const KEPT_BYTES: usize = 32 << 20;
/// Frames nearer than this are read in one go.
const JOIN_GAP: u64 = 64 << 10;
/// Largest read.
const READ_LIMIT: u64 = 8 << 20;

#[derive(Debug, Default)]
struct Kept {
    frames: HashMap<Frame, Arc<Vec<u8>>>,
    /// Oldest first.
    order: VecDeque<Frame>,
    bytes: usize,
}

impl Kept {
    fn insert(&mut self, frame: Frame, content: Arc<Vec<u8>>) {
        self.bytes += content.len();
        if self.frames.insert(frame, content).is_none() {
            self.order.push_back(frame);
        }
        while self.bytes > KEPT_BYTES
            && let Some(old) = self.order.pop_front()
        {
            self.bytes -= self.frames.remove(&old).map_or(0, |content| content.len());
        }
    }
}

/// Reads pages of one lineage.
#[derive(Debug)]
pub(crate) struct PageReader {
    repository: Repository,
    system: u64,
    lineage: ObjectId,
    fingerprinter: Fingerprinter,
    sealers: tokio::sync::Mutex<HashMap<ObjectId, Sealer>>,
    kept: Mutex<Kept>,
}

impl PageReader {
    pub fn new(repository: &Repository, system: u64, lineage: ObjectId) -> Self {
        Self {
            repository: repository.clone(),
            system,
            lineage,
            fingerprinter: Fingerprinter(repository.fingerprint_key()),
            sealers: tokio::sync::Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// The bytes of some windows of a file, each page compared with its fingerprint.
    ///
    /// # Errors
    /// What the store says, or damage.
    pub async fn windows(&self, map: &FileMap, range: Range<usize>) -> Result<Vec<u8>, BackupError> {
        let mut wanted = BTreeSet::new();
        for window in map.windows.get(range.clone()).unwrap_or_default() {
            for page in 0..window.fingerprints.len() {
                if let Some((piece, _)) = window.place(page) {
                    wanted.insert((map.packs[piece.pack as usize], piece.frame));
                }
            }
        }
        let frames = self.frames(wanted).await?;
        let start = (range.start * WINDOW_SIZE) as u64;
        let end = map.size.min((range.end * WINDOW_SIZE) as u64);
        let mut out = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(0)];
        for (number, window) in map.windows.get(range).unwrap_or_default().iter().enumerate() {
            for (page, fingerprint) in window.fingerprints.iter().enumerate() {
                let Some((piece, from)) = window.place(page) else { continue };
                let at = (number * WINDOW_PAGES + page) * PAGE_SIZE;
                let pack = map.packs[piece.pack as usize];
                let length = PAGE_SIZE.min(out.len().saturating_sub(at));
                let content = frames.get(&(pack, piece.frame)).and_then(|frame| frame.get(from..from + length));
                match content {
                    Some(content) if self.fingerprinter.page(content) == *fingerprint => {
                        out[at..at + length].copy_from_slice(content);
                    }
                    _ => {
                        let key = layout::pack(self.system, self.lineage, pack);
                        return Err(BackupError::malformed(&key, "a page in it is not the page that was backed up"));
                    }
                }
            }
        }
        Ok(out)
    }

    async fn frames(&self, wanted: BTreeSet<Frame>) -> Result<BTreeMap<Frame, Arc<Vec<u8>>>, BackupError> {
        let mut found = BTreeMap::new();
        let mut missing = Vec::new();
        {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            for frame in wanted {
                match kept.frames.get(&frame) {
                    Some(content) => _ = found.insert(frame, content.clone()),
                    None => missing.push(frame),
                }
            }
        }
        let mut reads: Vec<(ObjectId, u64, u64, Vec<FrameRef>)> = Vec::new();
        // Sorted by pack and frame, and so by place.
        for (pack, frame) in missing {
            let (offset, end) = (u64::from(frame.offset), u64::from(frame.offset) + u64::from(frame.sealed));
            match reads.last_mut() {
                Some((last, from, until, frames))
                    if *last == pack && offset <= *until + JOIN_GAP && end - *from <= READ_LIMIT =>
                {
                    *until = end;
                    frames.push(frame);
                }
                _ => reads.push((pack, offset, end, vec![frame])),
            }
        }
        let fetched = futures::future::try_join_all(reads.into_iter().map(|read| self.fetch(read))).await?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (frame, content) in fetched.into_iter().flatten() {
            kept.insert(frame, content.clone());
            found.insert(frame, content);
        }
        Ok(found)
    }

    async fn fetch(
        &self,
        (pack, from, until, frames): (ObjectId, u64, u64, Vec<FrameRef>),
    ) -> Result<Vec<(Frame, Arc<Vec<u8>>)>, BackupError> {
        let key = layout::pack(self.system, self.lineage, pack);
        let sealer = {
            let mut sealers = self.sealers.lock().await;
            match sealers.get(&pack) {
                Some(sealer) => sealer.clone(),
                None => {
                    let sealer = sealer_for(&self.repository, &key, pack, ObjectKind::Pack).await?;
                    sealers.insert(pack, sealer.clone());
                    sealer
                }
            }
        };
        let bytes = self.repository.store().get_range(&key, from, until - from).await?;
        let open = move || {
            let one = |frame: FrameRef| {
                let start = usize::try_from(u64::from(frame.offset) - from).unwrap_or(usize::MAX);
                let sealed = bytes.get(start..start.saturating_add(frame.sealed as usize)).unwrap_or_default();
                let plain = open_frame(&sealer, u64::from(frame.frame), sealed.to_vec())?;
                Ok(((pack, frame), Arc::new(plain)))
            };
            frames.into_iter().map(one).collect::<Result<Vec<_>, _>>().map_err(BackupError::object(&key))
        };
        tokio::task::spawn_blocking(open).await.map_err(|error| BackupError::Failed(error.to_string()))?
    }
}
