//! Reading maps and frames by reference.
use crate::{
    BackupError,
    format::{
        ObjectId,
        crypto::{ObjectKind, Sealer},
        layout,
        manifest::MapRef,
        map::FileMap,
        object::{self, FrameRef, HEADER_SIZE, Header, ObjectError, TAIL_SIZE, open_frame},
    },
    repo::Repository,
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// The sealer for an object whose bytes are read in parts.
///
/// # Errors
/// What the store says, or what is wrong with the header.
pub(crate) async fn sealer_for(
    repository: &Repository,
    key: &str,
    id: ObjectId,
    kind: ObjectKind,
) -> Result<Sealer, BackupError> {
    let bytes = repository.store().get_range(key, 0, HEADER_SIZE as u64).await?;
    let opened = || {
        let header = Header::decode(&bytes)?;
        if header.object != id {
            return Err(ObjectError::Misplaced(header.object.to_string()));
        }
        repository.sealer_of(&header, kind)
    };
    match opened().map_err(BackupError::object(key)) {
        Err(error) if error.is_unknown_key() => {
            repository.reread_keys().await?;
            opened().map_err(BackupError::object(key))
        }
        other => other,
    }
}

/// Checks what is needed for no page and yet must be as it was written: the end of an object, whose list of frames must
/// cover it without a hole and have the frames that are used.
///
/// # Errors
/// What the store says, or what is wrong.
pub(crate) async fn check_end(
    repository: &Repository,
    key: &str,
    sealer: &Sealer,
    used: impl IntoIterator<Item = FrameRef>,
) -> Result<(), BackupError> {
    let store = repository.store();
    let size = store.head(key).await?.map_or(0, |info| info.size);
    let bad = BackupError::object(key);
    let Some(tail_at) = size.checked_sub(TAIL_SIZE as u64) else {
        return Err(bad(ObjectError::Truncated("it has no end mark")));
    };
    let tail = store.get_range(key, tail_at, TAIL_SIZE as u64).await?;
    let (at, length) = match object::read_tail(&tail, size) {
        Ok(place) => place,
        Err(error) => return Err(bad(error)),
    };
    let sealed = store.get_range(key, at, u64::from(length)).await?;
    let frames = match object::open_footer(sealer, sealed.to_vec(), at) {
        Ok(frames) => frames,
        Err(error) => return Err(bad(error)),
    };
    let listed = |frame: &FrameRef| frames.get(frame.frame as usize).is_some_and(|(place, _)| place == frame);
    match used.into_iter().all(|frame| listed(&frame)) {
        true => Ok(()),
        false => Err(bad(ObjectError::Malformed("its index does not have a frame that a map names"))),
    }
}

/// Reads maps of one lineage; keeps the last frames, because neighbours stand together.
#[derive(Debug)]
pub(crate) struct MapReader<'a> {
    repository: &'a Repository,
    system: u64,
    lineage: ObjectId,
    sealers: HashMap<ObjectId, Sealer>,
    frames: VecDeque<KeptFrame>,
}

/// A frame by its object and place.
type KeptFrame = ((ObjectId, FrameRef), Arc<Vec<u8>>);
const FRAMES_KEPT: usize = 8;

impl<'a> MapReader<'a> {
    pub fn new(repository: &'a Repository, system: u64, lineage: ObjectId) -> Self {
        Self { repository, system, lineage, sealers: HashMap::new(), frames: VecDeque::new() }
    }

    pub async fn read(&mut self, place: MapRef) -> Result<FileMap, BackupError> {
        let key = layout::map(self.system, self.lineage, place.object);
        let wanted = (place.object, place.frame);
        let frame = match self.frames.iter().find(|(known, _)| *known == wanted) {
            Some((_, frame)) => frame.clone(),
            None => {
                let sealer = match self.sealers.get(&place.object) {
                    Some(sealer) => sealer.clone(),
                    None => {
                        let sealer = sealer_for(self.repository, &key, place.object, ObjectKind::Map).await?;
                        self.sealers.insert(place.object, sealer.clone());
                        sealer
                    }
                };
                let (offset, length) = (u64::from(place.frame.offset), u64::from(place.frame.sealed));
                let bytes = self.repository.store().get_range(&key, offset, length).await?;
                let plain = open_frame(&sealer, u64::from(place.frame.frame), bytes.to_vec())
                    .map_err(BackupError::object(&key))?;
                let frame = Arc::new(plain);
                if self.frames.len() >= FRAMES_KEPT {
                    self.frames.pop_front();
                }
                self.frames.push_back((wanted, frame.clone()));
                frame
            }
        };
        let start = place.start as usize;
        frame
            .get(start..start.saturating_add(place.length as usize))
            .and_then(|bytes| FileMap::decode(bytes).ok())
            .ok_or_else(|| BackupError::malformed(&key, "a map in it cannot be read"))
    }
}
