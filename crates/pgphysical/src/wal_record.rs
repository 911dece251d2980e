//! Records of the write-ahead log, as far as a restore wants to know of them: whether they are whole, and the moments at
//! which recovery can stop. Layout after `src/include/access/xlogrecord.h` and `xlog_internal.h` of PostgreSQL 13 to 18.
use domain::Lsn;

/// Bytes of a page of WAL; PostgreSQL's default.
const WAL_PAGE: usize = 8_192;
const SHORT_HEADER: usize = 24;
const LONG_HEADER: usize = 40;
const RECORD_HEADER: usize = 24;
/// No record is longer (`XLogRecordMaxSize`).
const RECORD_LIMIT: usize = 1_020 << 20;
/// So much of a record's body is looked into; what we want stands at the beginning.
const BODY_KEPT: usize = 256;
/// Microseconds between 1970 and PostgreSQL's 2000-01-01.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// A record at which recovery can stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Where the record begins; `recovery_target_lsn` set to it stops behind the record.
    pub start: Lsn,
    /// Where the record ends.
    pub end: Lsn,
    /// Its time, microseconds since 1970.
    pub at_us: i64,
    /// What happened.
    pub kind: MomentKind,
}

/// What happened at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MomentKind {
    /// The transaction committed.
    Commit(u32),
    /// The transaction was rolled back; a time target stops at it too.
    Abort(u32),
    /// The transaction was prepared for a commit in two phases; no target stops at it, but one behind it must have it.
    Prepare(u32),
    /// `pg_create_restore_point`.
    RestorePoint(String),
}

/// What was found in some WAL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalScan {
    /// Moments, by their place.
    pub moments: Vec<Moment>,
    /// Whole records with a good checksum.
    pub records: u64,
    /// Behind the last of them.
    pub end: Lsn,
    /// A record or page that cannot be: where and why. The end of the WAL is none.
    pub broken: Option<(Lsn, &'static str)>,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|it| it.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|it| it.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|it| it.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// A record that is being put together over pages.
#[derive(Debug, Default)]
struct Open {
    start: Lsn,
    total: usize,
    seen: usize,
    header: [u8; RECORD_HEADER],
    body: Vec<u8>,
    crc: u32,
}

impl Open {
    fn take(&mut self, bytes: &[u8]) {
        let head = RECORD_HEADER.saturating_sub(self.seen).min(bytes.len());
        if head > 0 {
            self.header[self.seen..self.seen + head].copy_from_slice(&bytes[..head]);
        }
        let body = &bytes[head..];
        self.crc = crc32c::crc32c_append(self.crc, body);
        let room = BODY_KEPT.saturating_sub(self.body.len()).min(body.len());
        self.body.extend_from_slice(&body[..room]);
        self.seen += bytes.len();
    }

    fn is_good(&self) -> bool {
        crc32c::crc32c_append(self.crc, &self.header[..20]) == u32_at(&self.header, 20)
    }

    fn moment(&self, end: Lsn) -> Option<Moment> {
        const XLOG: u8 = 0;
        const XACT: u8 = 1;
        let (xid, info, manager) = (u32_at(&self.header, 4), self.header[16], self.header[17]);
        let kind = match (manager, info & 0x70) {
            (XACT, 0x00 | 0x30) => MomentKind::Commit(xid),
            (XACT, 0x10) => MomentKind::Prepare(xid),
            (XACT, 0x20 | 0x40) => MomentKind::Abort(xid),
            (XLOG, 0x70) if info & 0xF0 == 0x70 => MomentKind::RestorePoint(String::new()),
            _ => return None,
        };
        let data = main_data(&self.body)?;
        // `xl_xact_prepare` has its time behind a magic number, its length, the transaction and the database.
        let time_at = if matches!(kind, MomentKind::Prepare(_)) { 16 } else { 0 };
        let at_us =
            u64_at(data, time_at).cast_signed().checked_add(POSTGRES_EPOCH_US).filter(|_| data.len() >= time_at + 8)?;
        let kind = match kind {
            MomentKind::RestorePoint(_) => {
                let name = data.get(8..)?.split(|byte| *byte == 0).next()?;
                MomentKind::RestorePoint(String::from_utf8_lossy(&name[..name.len().min(64)]).into_owned())
            }
            other => other,
        };
        Some(Moment { start: self.start, end, at_us, kind })
    }
}

/// The main data of a record without blocks.
fn main_data(body: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        match *body.get(at)? {
            // Origin; the transaction above.
            253 => at += 3,
            252 => at += 5,
            255 => return body.get(at + 2..),
            254 => return body.get(at + 5..),
            _ => return None,
        }
    }
}

/// Reads WAL that begins at `start`, the beginning of a page. A record that began before is passed over; one that is cut at
/// the end is not counted.
pub fn scan_wal(bytes: &[u8], start: Lsn, segment_size: u32) -> WalScan {
    let mut scanner = WalScanner::new(segment_size);
    scanner.feed(bytes, start);
    scanner.finish()
}

/// Reads WAL segment by segment, so that records which cross from one into the next are looked at too.
#[derive(Debug)]
pub struct WalScanner {
    scan: WalScan,
    open: Option<Open>,
    begun: bool,
    segment: u64,
}

impl WalScanner {
    /// For WAL in segments of so many bytes.
    pub fn new(segment_size: u32) -> Self {
        Self { scan: WalScan::default(), open: None, begun: false, segment: u64::from(segment_size.max(1 << 20)) }
    }

    /// Reads on: the whole next segment, or at first or last a part of one that begins with a page. Nothing more is read
    /// behind a broken record.
    pub fn feed(&mut self, bytes: &[u8], start: Lsn) {
        if self.scan.broken.is_some() {
            return;
        }
        if !self.begun {
            self.scan.end = start;
        }
        let mut page_at = 0;
        while let Some(page) =
            bytes.get(page_at..bytes.len().min(page_at + WAL_PAGE)).filter(|it| it.len() >= SHORT_HEADER)
        {
            let address = Lsn(start.0.wrapping_add(page_at as u64));
            match self.page(page, address) {
                After::NextPage => page_at += WAL_PAGE,
                After::NextSegment => {
                    let next = (address.0 / self.segment + 1) * self.segment;
                    page_at = usize::try_from(next.saturating_sub(start.0)).unwrap_or(usize::MAX);
                }
                After::End => return,
            }
        }
    }

    /// Whether a record began that goes on behind what was read.
    pub const fn is_within_a_record(&self) -> bool {
        self.open.is_some()
    }

    /// What was found.
    pub fn finish(self) -> WalScan {
        self.scan
    }

    fn page(&mut self, page: &[u8], address: Lsn) -> After {
        let (magic, info) = (u16_at(page, 0), u16_at(page, 2));
        if magic == 0 && u64_at(page, 8) == 0 {
            return After::End;
        }
        if !(0xD106..=0xD1FF).contains(&magic) {
            self.scan.broken = Some((address, "no WAL page begins there"));
            return After::End;
        }
        // Of a recycled segment: the WAL ends before.
        if u64_at(page, 8) != address.0 {
            return After::End;
        }
        let header = if info & 0x0002 != 0 { LONG_HEADER } else { SHORT_HEADER };
        let continued = info & 0x0001 != 0;
        let mut at = header;
        let rest = u32_at(page, 16) as usize;
        match (self.open.take(), continued) {
            (Some(mut record), true) => {
                if record.total - record.seen != rest {
                    self.scan.broken = Some((address, "a record goes on with another length than it began with"));
                    return After::End;
                }
                let here = page.get(at..page.len().min(at + rest)).unwrap_or_default();
                record.take(here);
                at += here.len();
                if record.seen < record.total {
                    if page.len() < WAL_PAGE {
                        return After::End;
                    }
                    self.open = Some(record);
                } else if !self.close(&record, Lsn(address.0 + at as u64)) {
                    return After::End;
                }
            }
            // What began before our first byte, or a record that the server gave up.
            (None, true) if !self.begun || rest > 0 => at = at.saturating_add(rest),
            _ => {}
        }
        self.begun = true;
        while self.open.is_none() {
            at = at.next_multiple_of(8);
            if at + 8 > page.len() {
                break;
            }
            let total = u32_at(page, at) as usize;
            if total == 0 {
                // Behind a switch of segments, or at the end.
                return After::NextSegment;
            }
            if !(RECORD_HEADER..=RECORD_LIMIT).contains(&total) {
                self.scan.broken = Some((Lsn(address.0 + at as u64), "a record has a length that none has"));
                return After::End;
            }
            let mut record = Open { start: Lsn(address.0 + at as u64), total, ..Open::default() };
            let here = &page[at..page.len().min(at + total)];
            record.take(here);
            at += here.len();
            if record.seen < total {
                self.open = Some(record);
            } else if !self.close(&record, Lsn(address.0 + at as u64)) {
                return After::End;
            }
        }
        After::NextPage
    }

    fn close(&mut self, record: &Open, end: Lsn) -> bool {
        if !record.is_good() {
            self.scan.broken = Some((record.start, "a record has a wrong checksum"));
            return false;
        }
        self.scan.records += 1;
        self.scan.end = end;
        self.scan.moments.extend(record.moment(end));
        true
    }
}

/// Where to read on behind a page.
enum After {
    NextPage,
    NextSegment,
    End,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A page with one commit record.
    fn commit(start: Lsn, xid: u32, time: i64) -> Vec<u8> {
        let mut page = vec![0; WAL_PAGE];
        page[..2].copy_from_slice(&0xD110_u16.to_le_bytes());
        page[2..4].copy_from_slice(&2_u16.to_le_bytes());
        page[8..16].copy_from_slice(&start.0.to_le_bytes());
        let mut body = vec![255, 8];
        body.extend_from_slice(&time.to_le_bytes());
        let mut header = [0; RECORD_HEADER];
        header[..4].copy_from_slice(&((RECORD_HEADER + body.len()) as u32).to_le_bytes());
        header[4..8].copy_from_slice(&xid.to_le_bytes());
        header[17] = 1;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&body), &header[..20]);
        header[20..].copy_from_slice(&crc.to_le_bytes());
        page[LONG_HEADER..LONG_HEADER + RECORD_HEADER].copy_from_slice(&header);
        page[LONG_HEADER + RECORD_HEADER..LONG_HEADER + RECORD_HEADER + body.len()].copy_from_slice(&body);
        page
    }

    #[test]
    fn a_commit_is_read_and_a_changed_one_is_noticed() {
        let start = Lsn(3 << 24);
        let page = commit(start, 77, 1_000_000);
        let scan = scan_wal(&page, start, 16 << 20);
        assert_eq!((scan.records, &scan.broken), (1, &None));
        assert_eq!(scan.moments[0].kind, MomentKind::Commit(77));
        assert_eq!(scan.moments[0].at_us, POSTGRES_EPOCH_US + 1_000_000);
        let mut changed = page.clone();
        changed[LONG_HEADER + RECORD_HEADER + 4] ^= 1;
        assert!(scan_wal(&changed, start, 16 << 20).broken.is_some());
        // The same bytes of another place are a recycled segment, and no WAL.
        assert_eq!(scan_wal(&page, Lsn(4 << 24), 16 << 20).records, 0);
    }

    /// A record over the end of a segment is seen when the segments are fed in turn, and only then.
    #[test]
    fn a_record_that_crosses_segments_is_checked() {
        const SEGMENT: u32 = 1 << 20;
        let start = Lsn(u64::from(SEGMENT) * 5 - WAL_PAGE as u64);
        let body = vec![7_u8; WAL_PAGE];
        let mut header = [0; RECORD_HEADER];
        header[..4].copy_from_slice(&((RECORD_HEADER + body.len()) as u32).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&body), &header[..20]);
        header[20..].copy_from_slice(&crc.to_le_bytes());
        let record = [header.as_slice(), body.as_slice()].concat();
        let page = |address: Lsn, info: u16, rest: usize, content: &[u8]| {
            let mut page = vec![0; WAL_PAGE];
            page[..2].copy_from_slice(&0xD110_u16.to_le_bytes());
            page[2..4].copy_from_slice(&info.to_le_bytes());
            page[8..16].copy_from_slice(&address.0.to_le_bytes());
            page[16..20].copy_from_slice(&(rest as u32).to_le_bytes());
            let at = if info & 2 != 0 { LONG_HEADER } else { SHORT_HEADER };
            page[at..at + content.len()].copy_from_slice(content);
            page
        };
        let (first, second) = record.split_at(WAL_PAGE - SHORT_HEADER);
        let next = Lsn(start.0 + WAL_PAGE as u64);
        let (before, mut after) = (page(start, 0, 0, first), page(next, 3, second.len(), second));
        let scan = |after: &[u8]| {
            let mut scanner = WalScanner::new(SEGMENT);
            scanner.feed(&before, start);
            scanner.feed(after, next);
            scanner.finish()
        };
        let whole = scan(&after);
        assert_eq!((whole.records, &whole.broken), (1, &None));
        assert_eq!(whole.end, Lsn(next.0 + (LONG_HEADER + second.len()) as u64));
        assert_eq!(scan_wal(&after, next, SEGMENT).records, 0);
        after[LONG_HEADER] ^= 1;
        assert_eq!(scan(&after).broken, Some((Lsn(start.0 + SHORT_HEADER as u64), "a record has a wrong checksum")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_scanner_fall_over(flips in prop::collection::vec((0_usize..2 * WAL_PAGE, any::<u8>()), 0..40), cut in 0_usize..=2 * WAL_PAGE) {
            let start = Lsn(3 << 24);
            let mut bytes = [commit(start, 1, 5), commit(Lsn(start.0 + WAL_PAGE as u64), 2, 6)].concat();
            for (at, value) in flips { bytes[at] = value; }
            let _ = scan_wal(&bytes[..cut], start, 16 << 20);
        }
    }
}
