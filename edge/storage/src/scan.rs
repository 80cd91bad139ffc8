//! Reads one whole segment: its valid frames from the front, and whatever else in it is still valid behind a gap.
use crate::frame::{
    FrameKind, HEADER, Header, Parsed, StartBody, frame_size, may_begin, parse, parse_header, read_start, split_leaves,
};
use crate::segment::{FIRST_FRAME, Place, Seeds};
use faultline_host::File;
use faultline_ledger::LedgerEntry;
use faultline_model::Hlc;
use std::io;

/// What a segment holds.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Its first frame, if that is valid.
    pub start: Option<Start>,
    /// Where the valid frames from the front end.
    pub end: u64,
    /// The record that comes next, and the last stamp, at `end`.
    pub next: u64,
    pub stamp: Hlc,
    /// What stands at `end`; `None`: nothing, as a writer leaves it.
    pub fault: Option<&'static str>,
    /// Valid frames from the front.
    pub frames: u64,
    /// Valid headers behind `end`, and those of them whose body is valid too.
    pub strays: u64,
    pub whole_strays: u64,
    /// Highest place that any valid header, also a stray, calls durable.
    pub highest: Place,
    /// The last frame says that everything before it is durable: a clean stop.
    pub clean: bool,
    /// The newest segment about which a leaf up to `end` states something.
    pub sealed: u64,
}

/// The start frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// The segment's first record.
    pub next: u64,
    /// The last stamp before it.
    pub stamp: Hlc,
    /// Where the segment before this one ended.
    pub previous: Place,
    /// The newest segment whose leaf stands before this one.
    pub sealed: u64,
}

impl Scan {
    /// Nothing was ever written here, or nothing of it is left.
    pub fn is_empty(&self) -> bool {
        self.frames + self.strays == 0 && self.fault.is_none()
    }
}

/// Scans the whole of `file`.
pub(crate) fn scan(file: &dyn File, seeds: Seeds, generation: u64) -> io::Result<Scan> {
    let mut bytes = vec![0; usize::try_from(file.size()?).expect("a segment fits in memory")];
    let size = file.read_at(&mut bytes, 0)?;
    bytes.truncate(size);
    let mut scan = Scan {
        start: None,
        end: FIRST_FRAME,
        next: 0,
        stamp: Hlc(0),
        fault: None,
        frames: 0,
        strays: 0,
        whole_strays: 0,
        highest: Place::default(),
        clean: false,
        sealed: 0,
    };
    walk(&mut scan, &bytes, seeds, generation);
    strays(&mut scan, &bytes, seeds, generation);
    Ok(scan)
}

/// Follows the frames from the front while each is valid and continues the one before it.
fn walk(scan: &mut Scan, bytes: &[u8], seeds: Seeds, generation: u64) {
    loop {
        let place = Place { generation, byte: scan.end };
        let rest = bytes.get(scan.end as usize..).unwrap_or_default();
        let header = match parse(rest, seeds, place) {
            Parsed::Frame(header) => header,
            Parsed::Nothing => return,
            Parsed::Cut(_) => return scan.fault = Some("a frame reaches past the end of the file"),
            Parsed::Bad(what) => return scan.fault = Some(what),
        };
        if header.kind == FrameKind::Start && scan.end == FIRST_FRAME {
            let Some(StartBody { previous, sealed }) = read_start(&rest[HEADER..HEADER + header.size as usize]) else {
                return scan.fault = Some("the start frame is too short");
            };
            scan.start = Some(Start { next: header.offset, stamp: header.stamp, previous, sealed });
            (scan.next, scan.stamp) = (header.offset, header.stamp);
        } else if scan.start.is_none() || !continues(&header, scan.next, scan.stamp) {
            return scan.fault = Some("a frame does not continue the one before it");
        }
        if header.kind == FrameKind::Record {
            (scan.next, scan.stamp) = (header.offset + 1, header.stamp);
        }
        if header.kind == FrameKind::Leaves {
            let leaves = split_leaves(&rest[HEADER..HEADER + header.size as usize]).unwrap_or_default();
            let sealed = leaves.into_iter().filter_map(LedgerEntry::sealed_in).map(|sealed| sealed.segment);
            scan.sealed = sealed.fold(scan.sealed, u64::max);
        }
        scan.clean = header.kind == FrameKind::Proof && header.proven == place;
        scan.highest = scan.highest.max(header.proven);
        scan.frames += 1;
        scan.end += frame_size(header.size as usize);
    }
}

/// Whether a frame may follow when `next` is the next record's offset and `stamp` the last one's.
pub(crate) fn continues(header: &Header, next: u64, stamp: Hlc) -> bool {
    let stamp_fits = if header.kind == FrameKind::Record { header.stamp > stamp } else { header.stamp == stamp };
    header.offset == next && stamp_fits && header.kind != FrameKind::Start
}

/// Looks for valid headers behind the end: what a torn write or damage left of later frames.
fn strays(scan: &mut Scan, bytes: &[u8], seeds: Seeds, generation: u64) {
    let mut at = scan.end as usize;
    while at + HEADER <= bytes.len() {
        if !may_begin(&bytes[at..]) {
            at += 8;
            continue;
        }
        match parse_header(&bytes[at..], seeds, Place { generation, byte: at as u64 }) {
            Ok(header) => {
                scan.strays += 1;
                scan.highest = scan.highest.max(header.proven);
                // A body may hold anything, also bytes that look like frames; skip it where it is whole.
                let whole =
                    matches!(parse(&bytes[at..], seeds, Place { generation, byte: at as u64 }), Parsed::Frame(_));
                scan.whole_strays += u64::from(whole);
                at += if whole { frame_size(header.size as usize) as usize } else { HEADER };
            }
            Err(_) => at += 8,
        }
    }
}
