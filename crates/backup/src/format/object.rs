//! One object: a clear header, sealed frames, a sealed footer that lists them, a clear tail that says where the footer
//! is. Frames can be read alone; a whole object is checked against its footer, so a cut at a frame's end is noticed.
use super::{
    ObjectId,
    binary::Reader,
    crypto::{FOOTER, ObjectKind, Sealer, TAG_SIZE},
};

/// First bytes of every object.
pub const MAGIC: &[u8; 8] = b"HOLDFAST";
/// Bytes of the clear header.
pub const HEADER_SIZE: usize = 64;
/// Bytes of the clear tail.
pub const TAIL_SIZE: usize = 16;
/// No frame claims more bytes than this before compression: a hostile one must not exhaust our memory.
const FRAME_LIMIT: usize = 64 << 20;
/// Frames are filled up to this.
pub const FRAME_TARGET: usize = 1 << 20;
/// Threads that make the frames of one object.
const THREADS_LIMIT: usize = 4;
const TAIL_MAGIC: &[u8; 4] = b"HFE1";

/// The clear header of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it holds.
    pub kind: ObjectKind,
    /// Sealed with AES-256-GCM; only tagged otherwise.
    pub encrypted: bool,
    /// Which data key; zeros without encryption.
    pub key_id: [u8; 8],
    /// Its id.
    pub object: ObjectId,
    /// The repository it belongs to.
    pub repository: [u8; 16],
}

/// Where a frame stands in its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct FrameRef {
    /// Counted from zero.
    pub frame: u32,
    /// First byte of the sealed frame in the object.
    pub offset: u32,
    /// Bytes of the sealed frame.
    pub sealed: u32,
}

/// What is wrong with the bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// No object of ours.
    #[error("it does not begin as an object of a Holdfast repository does")]
    NotOurs,
    /// Written by a newer program.
    #[error("it has format version {0}; this program reads up to 1: use a newer Holdfast")]
    Version(u8),
    /// Another object stands here.
    #[error("it is another object than its name says ({0}): objects were exchanged or renamed")]
    Misplaced(String),
    /// Sealed under a key that is not there.
    #[error("it is sealed with key {0}, which this repository key does not give")]
    UnknownKey(String),
    /// Cut.
    #[error("it is cut: {0}")]
    Truncated(&'static str),
    /// A frame's tag does not fit.
    #[error("frame {0} was changed or damaged: its authentication tag does not fit")]
    Damaged(String),
    /// Authentic but unreadable.
    #[error("{0}")]
    Malformed(&'static str),
}

impl Header {
    /// As bytes.
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8] = 1;
        bytes[9] = self.kind as u8;
        bytes[10] = u8::from(self.encrypted);
        bytes[12..20].copy_from_slice(&self.key_id);
        bytes[20..36].copy_from_slice(&self.object.0);
        bytes[36..52].copy_from_slice(&self.repository);
        bytes
    }

    /// From bytes.
    ///
    /// # Errors
    /// See [`ObjectError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ObjectError> {
        let bytes: &[u8; HEADER_SIZE] = bytes.first_chunk().ok_or(ObjectError::Truncated("no whole header"))?;
        if &bytes[..8] != MAGIC {
            return Err(ObjectError::NotOurs);
        }
        if bytes[8] != 1 {
            return Err(ObjectError::Version(bytes[8]));
        }
        if bytes[52..].iter().any(|b| *b != 0) || bytes[11] != 0 || bytes[10] > 1 {
            return Err(ObjectError::Malformed("its header has bits that this format does not know"));
        }
        let array = |range: std::ops::Range<usize>| {
            let mut out = [0; 16];
            out.copy_from_slice(&bytes[range]);
            out
        };
        let mut key_id = [0; 8];
        key_id.copy_from_slice(&bytes[12..20]);
        Ok(Self {
            kind: ObjectKind::from_byte(bytes[9]).ok_or(ObjectError::Malformed("it is of an unknown kind"))?,
            encrypted: bytes[10] == 1,
            key_id,
            object: ObjectId(array(20..36)),
            repository: array(36..52),
        })
    }
}

/// Compresses (or not, when that gains less than a twentieth) and seals: codec, plain length, body, tag.
pub fn seal_frame(sealer: &Sealer, frame: u64, plain: &[u8], compressor: &mut Compressor) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() / 2 + 64);
    let length = u32::try_from(plain.len()).unwrap_or(u32::MAX);
    match compressor.compress(plain) {
        Some(body) if body.len() < plain.len() - plain.len() / 20 => {
            out.push(1);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(body);
        }
        _ => {
            out.push(0);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(plain);
        }
    }
    sealer.seal(frame, &mut out);
    out
}

/// Opens what [`seal_frame`] made.
///
/// # Errors
/// [`ObjectError::Damaged`], or [`ObjectError::Malformed`] for authentic bytes that make no sense.
pub fn open_frame(sealer: &Sealer, frame: u64, mut sealed: Vec<u8>) -> Result<Vec<u8>, ObjectError> {
    let name = || if frame == FOOTER { "index".to_owned() } else { frame.to_string() };
    sealer.open(frame, &mut sealed).map_err(|_| ObjectError::Damaged(name()))?;
    let mut reader = Reader(&sealed);
    let cut = |_| ObjectError::Malformed("a frame is too short");
    let codec = reader.array::<1>().map_err(cut)?[0];
    let length = reader.u32().map_err(cut)? as usize;
    if length > FRAME_LIMIT {
        return Err(ObjectError::Malformed("a frame claims to be larger than any is"));
    }
    match codec {
        0 if reader.0.len() == length => {
            sealed.drain(..5);
            Ok(sealed)
        }
        1 => {
            let plain = DECOMPRESSOR
                .with_borrow_mut(|kept| match kept {
                    Some(kept) => kept.decompress(reader.0, length),
                    None => zstd::bulk::decompress(reader.0, length),
                })
                .map_err(|_| ObjectError::Malformed("a frame does not decompress"))?;
            if plain.len() == length { Ok(plain) } else { Err(ObjectError::Malformed("a frame has another length")) }
        }
        0 => Err(ObjectError::Malformed("a frame has another length")),
        _ => Err(ObjectError::Malformed("a frame is compressed in a way this program does not know")),
    }
}

thread_local! {
    /// One context a thread: to make one takes as long as a small frame.
    static DECOMPRESSOR: std::cell::RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        std::cell::RefCell::new(zstd::bulk::Decompressor::new().ok());
}

/// A zstd context kept over many frames.
pub struct Compressor {
    inner: Option<zstd::bulk::Compressor<'static>>,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl Compressor {
    /// `level` of zstd, 1 to 19.
    pub fn new(level: i32) -> Self {
        Self { inner: zstd::bulk::Compressor::new(level).ok(), buffer: Vec::new() }
    }

    fn compress(&mut self, plain: &[u8]) -> Option<&[u8]> {
        let bound = zstd::zstd_safe::compress_bound(plain.len());
        if self.buffer.len() < bound {
            self.buffer.resize(bound, 0);
        }
        let length = self.inner.as_mut()?.compress_to_buffer(plain, self.buffer.as_mut_slice()).ok()?;
        self.buffer.get(..length)
    }
}

/// Builds an object frame by frame. The caller sends the bytes on as they come.
#[derive(Debug)]
pub struct ObjectBuilder {
    sealer: Sealer,
    compressor: Compressor,
    frames: Vec<(u32, u32, u32)>,
    position: u64,
}

impl ObjectBuilder {
    /// Begins an object; the header is the first thing to send.
    pub fn new(sealer: Sealer, level: i32) -> Self {
        Self { sealer, compressor: Compressor::new(level), frames: Vec::new(), position: HEADER_SIZE as u64 }
    }

    /// Begins another object with the same buffers.
    pub fn restart(&mut self, sealer: Sealer) {
        self.sealer = sealer;
        self.frames.clear();
        self.position = HEADER_SIZE as u64;
    }

    /// Bytes so far, the header included.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Seals one frame; send the bytes next.
    pub fn frame(&mut self, plain: &[u8]) -> (FrameRef, Vec<u8>) {
        let sealed = seal_frame(&self.sealer, self.frames.len() as u64, plain, &mut self.compressor);
        (self.note(sealed.len(), plain.len()), sealed)
    }

    /// Lists the next frame.
    fn note(&mut self, sealed: usize, plain: usize) -> FrameRef {
        let narrow = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let place = FrameRef {
            frame: narrow(self.frames.len()),
            offset: u32::try_from(self.position).unwrap_or(u32::MAX),
            sealed: narrow(sealed),
        };
        self.frames.push((place.offset, place.sealed, narrow(plain)));
        self.position += sealed as u64;
        place
    }

    /// Footer and tail; the last bytes of the object.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(4 + self.frames.len() * 12);
        plain.extend_from_slice(&u32::try_from(self.frames.len()).unwrap_or(u32::MAX).to_le_bytes());
        for (offset, sealed, length) in &self.frames {
            plain.extend_from_slice(&offset.to_le_bytes());
            plain.extend_from_slice(&sealed.to_le_bytes());
            plain.extend_from_slice(&length.to_le_bytes());
        }
        let mut out = seal_frame(&self.sealer, FOOTER, &plain, &mut self.compressor);
        let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&self.position.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(TAIL_MAGIC);
        out
    }
}

/// A whole object in memory. The frames of a large one, a segment of WAL for example, are made on several threads.
pub fn encode_object(header: &Header, sealer: Sealer, level: i32, content: &[u8]) -> Vec<u8> {
    let chunks = content.chunks(FRAME_TARGET).collect::<Vec<_>>();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_LIMIT).min(chunks.len() / 2);
    let mut builder = ObjectBuilder::new(sealer, level);
    let mut out = header.encode().to_vec();
    if threads < 2 {
        for chunk in chunks {
            out.extend(builder.frame(chunk).1);
        }
    } else {
        let sealer = &builder.sealer;
        let seal = |from: usize| {
            let mut compressor = Compressor::new(level);
            let mine = chunks.iter().enumerate().skip(from).step_by(threads);
            mine.map(|(number, chunk)| seal_frame(sealer, number as u64, chunk, &mut compressor)).collect::<Vec<_>>()
        };
        let sealed = std::thread::scope(|scope| {
            let others = (1..threads).map(|from| scope.spawn(move || seal(from))).collect::<Vec<_>>();
            let mut sealed = vec![seal(0)];
            // A thread that panicked is done again here, and panics here.
            sealed.extend(others.into_iter().enumerate().map(|(at, one)| one.join().unwrap_or_else(|_| seal(at + 1))));
            sealed.into_iter().map(Vec::into_iter).collect::<Vec<_>>()
        });
        let mut sealed = sealed;
        for (number, chunk) in chunks.iter().enumerate() {
            let Some(frame) = sealed[number % threads].next() else { break };
            builder.note(frame.len(), chunk.len());
            out.extend(frame);
        }
    }
    out.extend(builder.finish());
    out
}

/// Where the footer of an object of `size` bytes is, from its last [`TAIL_SIZE`] bytes: its offset and its length.
///
/// # Errors
/// [`ObjectError::Truncated`].
pub fn read_tail(tail: &[u8], size: u64) -> Result<(u64, u32), ObjectError> {
    let no_mark = ObjectError::Truncated("it has no end mark");
    let Some(tail_at) = size.checked_sub(TAIL_SIZE as u64).filter(|at| *at >= HEADER_SIZE as u64) else {
        return Err(no_mark);
    };
    let mut tail = Reader(tail);
    let (Ok(at), Ok(length)) = (tail.u64(), tail.u32()) else { return Err(no_mark) };
    if tail.0 != TAIL_MAGIC {
        return Err(no_mark);
    }
    if at < HEADER_SIZE as u64 || at.checked_add(u64::from(length)) != Some(tail_at) || (length as usize) < TAG_SIZE {
        return Err(ObjectError::Truncated("its index is out of place"));
    }
    Ok((at, length))
}

/// The list of frames in a sealed footer that stands at `at`: where each is and its plain length.
///
/// # Errors
/// See [`ObjectError`].
pub fn open_footer(sealer: &Sealer, sealed: Vec<u8>, at: u64) -> Result<Vec<(FrameRef, u32)>, ObjectError> {
    let plain = open_frame(sealer, FOOTER, sealed)?;
    let mut reader = Reader(&plain);
    let malformed = |_| ObjectError::Malformed("its index is cut");
    let count = reader.u32().map_err(malformed)?;
    let mut frames = Vec::with_capacity(count.min(1 << 20) as usize);
    let mut position = HEADER_SIZE as u64;
    for frame in 0..count {
        let place =
            FrameRef { frame, offset: reader.u32().map_err(malformed)?, sealed: reader.u32().map_err(malformed)? };
        if u64::from(place.offset) != position {
            return Err(ObjectError::Malformed("its index has a hole"));
        }
        position += u64::from(place.sealed);
        frames.push((place, reader.u32().map_err(malformed)?));
    }
    if position != at {
        return Err(ObjectError::Malformed("its index does not cover it"));
    }
    Ok(frames)
}

/// The footer's list of frames of a whole object.
///
/// # Errors
/// See [`ObjectError`].
pub fn read_footer(sealer: &Sealer, bytes: &[u8]) -> Result<Vec<(FrameRef, u32)>, ObjectError> {
    let tail = bytes.last_chunk::<TAIL_SIZE>().ok_or(ObjectError::Truncated("it has no end mark"))?;
    let (at, length) = read_tail(tail, bytes.len() as u64)?;
    let start = usize::try_from(at).map_err(|_| ObjectError::Truncated("its index is out of place"))?;
    let sealed = bytes.get(start..start.saturating_add(length as usize)).unwrap_or_default();
    open_footer(sealer, sealed.to_vec(), at)
}

/// Checks every byte of an object and gives `each` frame's content in order.
///
/// # Errors
/// See [`ObjectError`].
pub fn read_object(
    sealer: &Sealer,
    bytes: &[u8],
    mut each: impl FnMut(&[u8]) -> Result<(), ObjectError>,
) -> Result<(), ObjectError> {
    for (place, length) in read_footer(sealer, bytes)? {
        let start = place.offset as usize;
        let sealed = bytes.get(start..start + place.sealed as usize).ok_or(ObjectError::Truncated("a frame is cut"))?;
        let plain = open_frame(sealer, u64::from(place.frame), sealed.to_vec())?;
        if plain.len() != length as usize {
            return Err(ObjectError::Malformed("a frame has another length than its index says"));
        }
        each(&plain)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{super::crypto::Secret, *};
    use proptest::prelude::*;

    fn parts(encrypted: bool) -> (Header, Sealer) {
        let secret = Secret::from_bytes([7; 32]);
        let header = Header {
            kind: ObjectKind::Manifest,
            encrypted,
            key_id: if encrypted { secret.key_id() } else { [0; 8] },
            object: ObjectId([3; 16]),
            repository: [9; 16],
        };
        let sealer = Sealer::new(encrypted.then_some(&secret), &header.repository, header.object, header.kind);
        (header, sealer)
    }

    fn content(sealer: &Sealer, bytes: &[u8]) -> Result<Vec<u8>, ObjectError> {
        let mut out = Vec::new();
        read_object(sealer, bytes, |frame| {
            out.extend_from_slice(frame);
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn an_object_of_several_frames_comes_back() {
        for encrypted in [true, false] {
            let (header, sealer) = parts(encrypted);
            let plain = (0..2_500_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect::<Vec<_>>();
            let bytes = encode_object(&header, sealer.clone(), 1, &plain);
            assert_eq!(Header::decode(&bytes).unwrap(), header);
            assert_eq!(content(&sealer, &bytes).unwrap(), plain);
        }
    }

    #[test]
    fn a_cut_at_the_end_of_a_frame_is_noticed() {
        let (header, sealer) = parts(true);
        let bytes = encode_object(&header, sealer.clone(), 1, &vec![5; 3 << 20]);
        let frames = read_footer(&sealer, &bytes).unwrap();
        assert_eq!(frames.len(), 3);
        let (second, _) = frames[1];
        let cut = &bytes[..(second.offset + second.sealed) as usize];
        assert!(matches!(content(&sealer, cut), Err(ObjectError::Truncated(_))));
    }

    #[test]
    fn frames_that_changed_places_are_noticed() {
        let (header, sealer) = parts(true);
        let mut plain = vec![0; 2 << 20];
        rand::Rng::fill(&mut rand::rng(), &mut plain[..]);
        let mut bytes = encode_object(&header, sealer.clone(), 1, &plain);
        let frames = read_footer(&sealer, &bytes).unwrap();
        let size = frames[0].0.sealed as usize;
        assert_eq!(size, frames[1].0.sealed as usize);
        let (a, b) = bytes[HEADER_SIZE..].split_at_mut(size);
        a.swap_with_slice(&mut b[..size]);
        assert_eq!(content(&sealer, &bytes), Err(ObjectError::Damaged("0".to_owned())));
    }

    #[test]
    fn another_objects_bytes_are_refused() {
        let (header, sealer) = parts(true);
        let bytes = encode_object(&header, sealer, 1, b"hello");
        let secret = Secret::from_bytes([7; 32]);
        for other in [
            Sealer::new(Some(&secret), &[9; 16], ObjectId([4; 16]), ObjectKind::Manifest),
            Sealer::new(Some(&secret), &[8; 16], ObjectId([3; 16]), ObjectKind::Manifest),
            Sealer::new(Some(&secret), &[9; 16], ObjectId([3; 16]), ObjectKind::Commit),
        ] {
            assert!(matches!(content(&other, &bytes), Err(ObjectError::Damaged(_))));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_is_sealed_opens(plain in prop::collection::vec(any::<u8>(), 0..5_000), encrypted: bool) {
            let (header, sealer) = parts(encrypted);
            prop_assert_eq!(content(&sealer, &encode_object(&header, sealer.clone(), 3, &plain)).unwrap(), plain);
        }
        #[test]
        fn a_flipped_bit_anywhere_behind_the_header_is_noticed(plain in prop::collection::vec(any::<u8>(), 0..3_000), at: prop::sample::Index, bit in 0..8_u8, encrypted: bool) {
            let (header, sealer) = parts(encrypted);
            let mut bytes = encode_object(&header, sealer.clone(), 3, &plain);
            let place = HEADER_SIZE + at.index(bytes.len() - HEADER_SIZE);
            bytes[place] ^= 1 << bit;
            prop_assert!(content(&sealer, &bytes).is_err());
        }
        #[test]
        fn a_cut_anywhere_is_noticed(plain in prop::collection::vec(any::<u8>(), 0..3_000), at: prop::sample::Index) {
            let (header, sealer) = parts(true);
            let bytes = encode_object(&header, sealer.clone(), 3, &plain);
            prop_assert!(content(&sealer, &bytes[..at.index(bytes.len())]).is_err());
        }
        #[test]
        fn no_bytes_make_the_reader_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (_, sealer) = parts(false);
            let _ = Header::decode(&bytes);
            let _ = content(&sealer, &bytes);
        }
    }
}
