//! Names and headers of WAL segments, and the histories of timelines.
use domain::Lsn;
use std::fmt;

/// Number of a timeline: counts up with each promotion.
pub type Timeline = u32;

/// A WAL segment file: its timeline and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalSegment {
    /// Timeline.
    pub timeline: Timeline,
    /// Position divided by the segment size.
    pub number: u64,
}

/// What `archive_command` and `restore_command` may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalFileName {
    /// `000000010000000000000002`.
    Segment(WalSegment),
    /// `000000010000000000000002.partial`: the last segment of a timeline that was left.
    Partial(WalSegment),
    /// `00000002.history`.
    History(Timeline),
    /// `000000010000000000000002.00000028.backup`: says where a base backup began.
    BackupHistory(String),
}

impl WalSegment {
    /// The segment that holds `at`.
    pub const fn containing(timeline: Timeline, at: Lsn, segment_size: u32) -> Self {
        Self { timeline, number: at.0 / segment_size as u64 }
    }
    /// Its first byte.
    pub const fn start(self, segment_size: u32) -> Lsn {
        Lsn(self.number * segment_size as u64)
    }
    /// The byte after its last.
    pub const fn end(self, segment_size: u32) -> Lsn {
        Lsn((self.number + 1) * segment_size as u64)
    }
    /// As PostgreSQL names the file.
    pub fn file_name(self, segment_size: u32) -> String {
        let per_id = 0x1_0000_0000_u64 / u64::from(segment_size.max(1));
        format!("{:08X}{:08X}{:08X}", self.timeline, self.number / per_id, self.number % per_id)
    }
}

fn hex8(text: &str) -> Option<u32> {
    (text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)))
        .then(|| u32::from_str_radix(text, 16).ok())
        .flatten()
}

impl WalFileName {
    /// Reads a name (no directory).
    pub fn parse(name: &str, segment_size: u32) -> Option<Self> {
        if !name.is_ascii() || name.len() < 8 || segment_size == 0 {
            return None;
        }
        if let Some(stem) = name.strip_suffix(".history") {
            return hex8(stem).map(Self::History);
        }
        let (stem, rest) = name.split_at_checked(24)?;
        let per_id = 0x1_0000_0000_u64 / u64::from(segment_size);
        let low = u64::from(hex8(&stem[16..])?);
        if low >= per_id {
            return None;
        }
        let segment = WalSegment { timeline: hex8(&stem[..8])?, number: u64::from(hex8(&stem[8..16])?) * per_id + low };
        match rest {
            "" => Some(Self::Segment(segment)),
            ".partial" => Some(Self::Partial(segment)),
            _ => {
                let offset = rest.strip_prefix('.')?.strip_suffix(".backup")?;
                hex8(offset).map(|_| Self::BackupHistory(name.to_owned()))
            }
        }
    }
}

/// Why a piece of WAL is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalPageError {
    /// Too short to carry a header.
    Short,
    /// No WAL page begins here.
    Magic(u16),
    /// The page is from another place: a recycled segment, or a file under another's name.
    Address(Lsn),
    /// The page is from a timeline later than the segment's.
    Timeline(Timeline),
    /// The segment belongs to another cluster.
    System(u64),
    /// The segments of that cluster have another size.
    SegmentSize(u32),
}

impl fmt::Display for WalPageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(f, "it is too short to hold a WAL page"),
            Self::Magic(found) => write!(f, "no WAL page begins there (magic number {found:04X})"),
            Self::Address(found) => write!(f, "its first page belongs to {found}"),
            Self::Timeline(found) => write!(f, "its first page is of timeline {found}"),
            Self::System(found) => write!(f, "it is of the cluster with system identifier {found}"),
            Self::SegmentSize(found) => write!(f, "its cluster has WAL segments of {found} bytes"),
        }
    }
}

/// Checks the long header at the beginning of a segment (`XLogLongPageHeaderData`).
///
/// # Errors
/// See [`WalPageError`].
pub fn check_segment_start(
    bytes: &[u8],
    segment: WalSegment,
    segment_size: u32,
    system_identifier: u64,
) -> Result<(), WalPageError> {
    if bytes.len() < 40 {
        return Err(WalPageError::Short);
    }
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let magic = u16_at(0);
    // 0xD106 is PostgreSQL 13, 0xD118 is 18; later versions count on.
    if !(0xD106..=0xD1FF).contains(&magic) || u16_at(2) & 0x0002 == 0 {
        return Err(WalPageError::Magic(magic));
    }
    if u64_at(8) != segment.start(segment_size).0 {
        return Err(WalPageError::Address(Lsn(u64_at(8))));
    }
    // A segment copied at a promotion begins with pages of the parent.
    if u32_at(4) > segment.timeline {
        return Err(WalPageError::Timeline(u32_at(4)));
    }
    if u64_at(24) != system_identifier {
        return Err(WalPageError::System(u64_at(24)));
    }
    if u32_at(32) != segment_size {
        return Err(WalPageError::SegmentSize(u32_at(32)));
    }
    Ok(())
}

/// Bytes of a WAL page; PostgreSQL's default.
const WAL_PAGE: u64 = 8_192;

/// Checks that the WAL in `bytes` stands at `start`: every page header in it names its own place. Pages of zeros, behind
/// a switch of segments, say nothing.
///
/// # Errors
/// The place that the first wrong header names.
pub fn check_pages(bytes: &[u8], start: Lsn) -> Result<(), Lsn> {
    let mut at = usize::try_from(start.0.wrapping_neg() % WAL_PAGE).unwrap_or(0);
    while let Some(header) = bytes.get(at..at + 16) {
        let magic = u16::from_le_bytes([header[0], header[1]]);
        let mut address = [0; 8];
        address.copy_from_slice(&header[8..16]);
        let address = u64::from_le_bytes(address);
        if (magic != 0 || address != 0) && address != start.0 + at as u64 {
            return Err(Lsn(address));
        }
        at += WAL_PAGE as usize;
    }
    Ok(())
}

/// What a segment's long header says: system identifier and segment size. For a segment whose cluster is not known yet.
pub fn segment_identity(bytes: &[u8]) -> Option<(u64, u32)> {
    let magic = u16::from_le_bytes(bytes.get(0..2)?.try_into().ok()?);
    let info = u16::from_le_bytes(bytes.get(2..4)?.try_into().ok()?);
    if !(0xD106..=0xD1FF).contains(&magic) || info & 0x0002 == 0 {
        return None;
    }
    let system = u64::from_le_bytes(bytes.get(24..32)?.try_into().ok()?);
    let size = u32::from_le_bytes(bytes.get(32..36)?.try_into().ok()?);
    (size.is_power_of_two() && (1 << 20..=1 << 30).contains(&size)).then_some((system, size))
}

/// One line of a history file: the timeline was left at this position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineStep {
    /// Timeline that was left.
    pub timeline: Timeline,
    /// Where its successor begins.
    pub end: Lsn,
}

/// The way from the first timeline to this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineHistory {
    /// The timeline itself.
    pub timeline: Timeline,
    /// Its ancestors, oldest first.
    pub ancestors: Vec<TimelineStep>,
}

impl TimelineHistory {
    /// A timeline without ancestors.
    pub const fn root(timeline: Timeline) -> Self {
        Self { timeline, ancestors: Vec::new() }
    }

    /// Reads `NNNNNNNN.history`. Comments and empty lines are passed over.
    pub fn parse(timeline: Timeline, text: &str) -> Option<Self> {
        let mut ancestors = Vec::<TimelineStep>::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let step = TimelineStep { timeline: words.next()?.parse().ok()?, end: words.next()?.parse().ok()? };
            if ancestors.last().is_some_and(|last| last.timeline >= step.timeline) || step.timeline >= timeline {
                return None;
            }
            ancestors.push(step);
        }
        Some(Self { timeline, ancestors })
    }

    /// Whether position `at` of timeline `timeline` is on this way.
    pub fn contains(&self, timeline: Timeline, at: Lsn) -> bool {
        timeline == self.timeline || self.ancestors.iter().any(|step| step.timeline == timeline && at <= step.end)
    }

    /// The timeline on which the byte at `at` stands.
    pub fn timeline_at(&self, at: Lsn) -> Timeline {
        self.ancestors.iter().find(|step| at < step.end).map_or(self.timeline, |step| step.timeline)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_postgresqls() {
        let segment = WalSegment { timeline: 11, number: 0x1_0000_0002 / 16 * 2 };
        let name = segment.file_name(16 << 20);
        assert_eq!(WalFileName::parse(&name, 16 << 20), Some(WalFileName::Segment(segment)));
        assert_eq!(WalFileName::parse("0000000B.history", 16 << 20), Some(WalFileName::History(11)));
        assert_eq!(WalFileName::parse("0000000b.history", 16 << 20), None);
        // Only 256 segments of 16 MiB make 4 GiB.
        assert_eq!(WalFileName::parse("000000010000000000000100", 16 << 20), None);
        assert!(matches!(
            WalFileName::parse("000000010000000000000002.00000028.backup", 16 << 20),
            Some(WalFileName::BackupHistory(_))
        ));
        assert_eq!(WalFileName::parse("../../../etc/passwd000000", 16 << 20), None);
    }

    #[test]
    fn a_history_says_which_timeline_holds_a_position() {
        let history =
            TimelineHistory::parse(3, "1\t0/5000000\tno recovery target specified\n\n2\t0/7000100\tbefore\n").unwrap();
        assert_eq!(history.timeline_at("0/4FFFFFF".parse().unwrap()), 1);
        assert_eq!(history.timeline_at("0/5000000".parse().unwrap()), 2);
        assert_eq!(history.timeline_at("0/7000100".parse().unwrap()), 3);
        assert!(history.contains(1, "0/5000000".parse().unwrap()));
        assert!(!history.contains(1, "0/5000001".parse().unwrap()));
        assert_eq!(TimelineHistory::parse(2, "2\t0/5000000\tx"), None);
    }

    proptest! {
        #[test]
        fn any_segment_name_comes_back(timeline in 1_u32.., number in 0_u64..(1 << 40), power in 20_u32..=30) {
            let size = 1_u32 << power;
            let per_id = 0x1_0000_0000_u64 / u64::from(size);
            prop_assume!(number / per_id <= u64::from(u32::MAX));
            let segment = WalSegment { timeline, number };
            prop_assert_eq!(WalFileName::parse(&segment.file_name(size), size), Some(WalFileName::Segment(segment)));
        }
        #[test]
        fn no_text_makes_the_parsers_fall_over(name in ".{0,60}", text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = WalFileName::parse(&name, 16 << 20);
            let _ = TimelineHistory::parse(7, &text);
            let _ = segment_identity(&bytes);
            let _ = check_segment_start(&bytes, WalSegment { timeline: 1, number: 1 }, 16 << 20, 1);
        }
    }
}
