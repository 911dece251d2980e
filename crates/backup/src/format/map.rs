//! Where the pages of one file are: for each window of 1 MiB the fingerprints of its pages and the pieces that hold
//! them. A map says everything about the file as of its backup; no other backup's map is needed.
use super::{ObjectId, binary::Reader, object::FrameRef};
use pgphysical::page::PAGE_SIZE;

/// Pages of a window.
pub const WINDOW_PAGES: usize = 128;
/// Bytes of a window.
pub const WINDOW_SIZE: usize = WINDOW_PAGES * PAGE_SIZE;
/// A window is written whole when it would have more pieces than this.
pub const PIECES_LIMIT: usize = 5;
/// The fingerprint of a page of zeros, which is stored nowhere.
pub const ZERO_PAGE: u64 = 0;
const SIZE_LIMIT: u64 = 1 << 50;

/// Some pages of a window, one after the other in a frame of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which pack, as index into [`FileMap::packs`].
    pub pack: u32,
    /// Which frame of it.
    pub frame: FrameRef,
    /// First byte in the frame's plain content.
    pub start: u32,
    /// Bit n: page n of the window is in it.
    pub pages: u128,
}

/// One mebibyte of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// One for each page; the last page of the file may be short.
    pub fingerprints: Vec<u64>,
    /// Oldest first; a page counts as it stands in the newest piece that has it.
    pub pieces: Vec<Piece>,
}

/// The map of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileMap {
    /// Bytes of the file.
    pub size: u64,
    /// Packs that the pieces are in.
    pub packs: Vec<ObjectId>,
    /// One for each mebibyte begun.
    pub windows: Vec<Window>,
}

impl Window {
    /// The piece and the place in its frame for page `page`; `None` for a page of zeros.
    pub fn place(&self, page: usize) -> Option<(&Piece, usize)> {
        if self.fingerprints.get(page).is_none_or(|it| *it == ZERO_PAGE) {
            return None;
        }
        let bit = 1_u128 << page;
        let piece = self.pieces.iter().rev().find(|piece| piece.pages & bit != 0)?;
        let before = (piece.pages & (bit - 1)).count_ones() as usize;
        Some((piece, piece.start as usize + before * PAGE_SIZE))
    }

    /// Drops pieces that no page needs any more.
    pub fn prune(&mut self) {
        let mut wanted = 0_u128;
        for (page, fingerprint) in self.fingerprints.iter().enumerate() {
            if *fingerprint != ZERO_PAGE {
                wanted |= 1 << page;
            }
        }
        let mut kept = Vec::with_capacity(self.pieces.len());
        for piece in self.pieces.drain(..).rev() {
            if piece.pages & wanted != 0 {
                wanted &= !piece.pages;
                kept.push(piece);
            }
        }
        kept.reverse();
        self.pieces = kept;
    }
}

/// A map that cannot be: cut, or its numbers contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadMap;

impl FileMap {
    /// As bytes; see `docs/repository-format.md`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.packs.len()).unwrap_or(u32::MAX).to_le_bytes());
        for pack in &self.packs {
            out.extend_from_slice(&pack.0);
        }
        for window in &self.windows {
            out.push(u8::try_from(window.pieces.len()).unwrap_or(u8::MAX));
            for fingerprint in &window.fingerprints {
                out.extend_from_slice(&fingerprint.to_le_bytes());
            }
            for piece in &window.pieces {
                for number in [piece.pack, piece.frame.frame, piece.frame.offset, piece.frame.sealed, piece.start] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
                out.extend_from_slice(&piece.pages.to_le_bytes());
            }
        }
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`BadMap`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BadMap> {
        let cut = |_| BadMap;
        let mut reader = Reader(bytes);
        let size = reader.u64().map_err(cut)?;
        let pack_count = reader.u32().map_err(cut)?;
        if size > SIZE_LIMIT {
            return Err(BadMap);
        }
        let packs = reader
            .take((pack_count as usize).checked_mul(16).ok_or(BadMap)?)
            .map_err(cut)?
            .as_chunks::<16>()
            .0
            .iter()
            .map(|id| ObjectId(*id))
            .collect::<Vec<_>>();
        let pages = size.div_ceil(PAGE_SIZE as u64);
        let count = size.div_ceil(WINDOW_SIZE as u64);
        let mut windows = Vec::with_capacity(usize::try_from(count.min(bytes.len() as u64 / 9 + 1)).unwrap_or(0));
        for index in 0..count {
            let here = (pages - index * WINDOW_PAGES as u64).min(WINDOW_PAGES as u64) as usize;
            let pieces = reader.array::<1>().map_err(cut)?[0];
            let fingerprints =
                reader.take(here * 8).map_err(cut)?.as_chunks::<8>().0.iter().map(|it| u64::from_le_bytes(*it));
            let mut window = Window { fingerprints: fingerprints.collect(), pieces: Vec::new() };
            let mut covered = 0_u128;
            for _ in 0..pieces {
                let mut number = || reader.u32().map_err(cut);
                let pack = number()?;
                let frame = FrameRef { frame: number()?, offset: number()?, sealed: number()? };
                let start = number()?;
                let piece = Piece { pack, frame, start, pages: reader.u128().map_err(cut)? };
                if pack >= pack_count || piece.pages == 0 {
                    return Err(BadMap);
                }
                covered |= piece.pages;
                window.pieces.push(piece);
            }
            for (page, fingerprint) in window.fingerprints.iter().enumerate() {
                if *fingerprint != ZERO_PAGE && covered & (1 << page) == 0 {
                    return Err(BadMap);
                }
            }
            windows.push(window);
        }
        if reader.0.is_empty() { Ok(Self { size, packs, windows }) } else { Err(BadMap) }
    }

    /// The index of a pack in [`Self::packs`], added when it is new.
    pub fn pack_index(&mut self, pack: ObjectId) -> u32 {
        let at = self.packs.iter().rposition(|it| *it == pack).unwrap_or_else(|| {
            self.packs.push(pack);
            self.packs.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Rebuilds [`Self::packs`] with only those that a piece names.
    pub fn forget_unused_packs(&mut self) {
        let old = std::mem::take(&mut self.packs);
        let mut new_index = vec![None; old.len()];
        for window in &mut self.windows {
            for piece in &mut window.pieces {
                let slot = &mut new_index[piece.pack as usize];
                let index = *slot.get_or_insert_with(|| {
                    self.packs.push(old[piece.pack as usize]);
                    u32::try_from(self.packs.len() - 1).unwrap_or(u32::MAX)
                });
                piece.pack = index;
            }
        }
    }
}

/// Computes the fingerprints of pages.
#[derive(Clone, Debug)]
pub struct Fingerprinter(pub [u8; 32]);

impl Fingerprinter {
    /// Of a page, which may be short at the end of a file. [`ZERO_PAGE`] exactly for a whole page of zeros.
    pub fn page(&self, page: &[u8]) -> u64 {
        if page.len() == PAGE_SIZE && is_zero(page) {
            return ZERO_PAGE;
        }
        let hash = blake3::keyed_hash(&self.0, page);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(first).max(1)
    }

    /// Of all pages of a window.
    pub fn window(&self, bytes: &[u8]) -> Vec<u64> {
        bytes.chunks(PAGE_SIZE).map(|page| self.page(page)).collect()
    }
}

fn is_zero(page: &[u8]) -> bool {
    page.as_chunks::<16>().0.iter().all(|chunk| u128::from_ne_bytes(*chunk) == 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_whole_page_of_zeros_has_the_zero_fingerprint() {
        let maker = Fingerprinter([1; 32]);
        assert_eq!(maker.page(&[0; PAGE_SIZE]), ZERO_PAGE);
        assert_ne!(maker.page(&[0; PAGE_SIZE - 1]), ZERO_PAGE);
        let mut page = [0; PAGE_SIZE];
        page[PAGE_SIZE - 1] = 1;
        assert_ne!(maker.page(&page), ZERO_PAGE);
    }

    proptest! {
        #[test]
        fn a_map_comes_back(pages in 1_usize..300, short in 0_u64..8_192, pieces in 1_usize..4) {
            let size = (pages * PAGE_SIZE) as u64 - short;
            let mut map = FileMap { size, packs: vec![ObjectId([1; 16]), ObjectId([2; 16])], windows: Vec::new() };
            let mut left = pages;
            while left > 0 {
                let here = left.min(WINDOW_PAGES);
                left -= here;
                map.windows.push(Window {
                    fingerprints: (0..here as u64).collect(),
                    pieces: (0..pieces).map(|n| Piece { pack: n as u32 % 2, frame: FrameRef { frame: 1, offset: 64, sealed: 99 }, start: 7, pages: u128::MAX }).collect(),
                });
            }
            let mut bytes = Vec::new();
            map.encode(&mut bytes);
            prop_assert_eq!(FileMap::decode(&bytes).unwrap(), map);
            for cut in 0..bytes.len().min(100) {
                prop_assert!(FileMap::decode(&bytes[..bytes.len() - 1 - cut]).is_err());
            }
        }
        #[test]
        fn no_bytes_make_the_decoder_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = FileMap::decode(&bytes);
        }
        /// Deltas over deltas against a plain array of what each page holds.
        #[test]
        fn the_newest_piece_wins(layers in prop::collection::vec(any::<u128>(), 1..6)) {
            let mut window = Window { fingerprints: vec![9; WINDOW_PAGES], pieces: Vec::new() };
            let mut naive = vec![0_u32; WINDOW_PAGES];
            for (number, pages) in std::iter::once(u128::MAX).chain(layers).enumerate() {
                if pages == 0 { continue; }
                window.pieces.push(Piece { pack: 0, frame: FrameRef { frame: number as u32, offset: 0, sealed: 0 }, start: 0, pages });
                for (page, holder) in naive.iter_mut().enumerate() {
                    if pages & (1 << page) != 0 { *holder = number as u32; }
                }
            }
            window.prune();
            for (page, holder) in naive.iter().enumerate() {
                let (piece, place) = window.place(page).unwrap();
                prop_assert_eq!(piece.frame.frame, *holder);
                let rank = (0..page).filter(|before| piece.pages & (1 << before) != 0).count();
                prop_assert_eq!(place, rank * PAGE_SIZE);
            }
        }
    }
}
