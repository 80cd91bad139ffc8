//! A block's index: symbols, and series with the places of their chunks.
//!
//! Source: `docs/format/index.md` and `index/index.go` of Prometheus' tsdb. Only the table of contents, the symbols and the series are
//! read; postings are for look-ups, and everything is wanted here. Versions 1 to 3, as Prometheus reads.
use crate::TsdbError;
use crate::pages::{Left, Pages, u32_of};
use faultline_host::Disk;
use faultline_model::Labels;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: u32 = 0xBAAA_D700;
/// Bytes of magic and version.
const HEADER: u64 = 5;
/// Size of the table of contents, in bytes: six places and a check sum.
const CONTENTS: u64 = 52;
/// Symbols between two whose places are kept.
const STRIDE: u32 = 32;
/// Most bytes of a series: labels are at most some KiB, and a chunk takes about ten.
const SERIES_MAX: u64 = 64 << 20;
/// Bytes read at once to check the symbols.
const PIECE: usize = 256 << 10;

/// What is kept of an index: 8 bytes for each 32 symbols.
#[derive(Debug)]
pub struct Index {
    path: PathBuf,
    version: u8,
    /// Where series begin and end.
    series: (u64, u64),
    /// Where symbols begin and end.
    symbols: (u64, u64),
    count: u32,
    places: Vec<u64>,
}

/// A chunk as the index tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkPlace {
    /// Time of its first sample, in ms.
    pub first: i64,
    /// Time of its last sample.
    pub last: i64,
    /// Number of the chunk file in the upper half, place in it in the lower.
    pub reference: u64,
}

/// A series as the index tells of it.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// What tombstones call it.
    pub reference: u64,
    /// Numbers of its labels' symbols.
    pub symbols: Vec<(u32, u32)>,
    /// Its chunks.
    pub chunks: Vec<ChunkPlace>,
}

impl Index {
    /// Opens and checks all but the series, which are checked as they are read.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Index, TsdbError> {
        let mut pages = Pages::new(disk.open_read(path)?)?;
        let size = pages.size();
        if size < HEADER + CONTENTS {
            return Err(TsdbError::damaged("its index is too short"));
        }
        let header = pages.up_to(0, HEADER as usize)?;
        let version = header[4];
        if u32_of(header) != MAGIC {
            return Err(TsdbError::damaged("its index does not begin as one"));
        }
        if !(1..=3).contains(&version) {
            return Err(TsdbError::Unknown(format!("its index has version {version}, known are 1 to 3")));
        }
        let contents = pages.exactly(size - CONTENTS, CONTENTS, size)?;
        let (body, check) = contents.split_at(48);
        if crc32c::crc32c(body) != u32_of(check) {
            return Err(TsdbError::damaged("the check sum of its index's table of contents does not fit"));
        }
        let mut left = Left(body);
        let [symbols, series, label_indices, _, postings, _] = [(); 6].map(|()| left.u64().unwrap_or(0));
        // What follows the series, of what is there.
        let behind = [label_indices, postings].into_iter().find(|place| *place >= series).unwrap_or(0);
        if symbols < HEADER || series < symbols || behind > size - CONTENTS || behind < series {
            return Err(TsdbError::damaged("parts of its index do not follow each other"));
        }
        let mut index = Index {
            path: path.to_path_buf(),
            version,
            series: (series, behind),
            symbols: (0, 0),
            count: 0,
            places: Vec::new(),
        };
        index.read_symbols(&mut pages, symbols, series)?;
        Ok(index)
    }

    fn read_symbols(&mut self, pages: &mut Pages, at: u64, end: u64) -> Result<(), TsdbError> {
        let size = u64::from(u32_of(pages.exactly(at, 4, end)?));
        let (body, behind) = (at + 4, at + 4 + size);
        let check = u32_of(pages.exactly(behind, 4, end)?);
        let (mut sum, mut place) = (0, body);
        while place < behind {
            let bytes = pages.exactly(place, (behind - place).min(PIECE as u64), behind)?;
            sum = crc32c::crc32c_append(sum, bytes);
            place += bytes.len() as u64;
        }
        if sum != check || size < 4 {
            return Err(TsdbError::damaged("the check sum of its index's symbols does not fit"));
        }
        self.count = u32_of(pages.exactly(body, 4, behind)?);
        self.symbols = (body + 4, behind);
        if self.version == 1 {
            return Ok(());
        }
        let mut place = body + 4;
        for number in 0..self.count {
            if number % STRIDE == 0 {
                self.places.push(place);
            }
            let (size, text) = pages.varint(place, behind)?;
            place = text
                .checked_add(size)
                .filter(|end| *end <= behind)
                .ok_or(TsdbError::damaged("a symbol is too long"))?;
        }
        Ok(())
    }

    /// The series, in label order.
    pub fn walk(self: &Arc<Index>, disk: &dyn Disk, symbol_bytes: usize) -> Result<Walk, TsdbError> {
        let open = || -> Result<Pages, TsdbError> { Pages::new(disk.open_read(&self.path)?) };
        let symbols = Symbols { pages: open()?, held: HashMap::new(), bytes: 0, most: symbol_bytes };
        Ok(Walk { at: self.series.0, pages: open()?, symbols, index: self.clone() })
    }
}

/// Texts of symbols, those of late kept.
struct Symbols {
    pages: Pages,
    held: HashMap<u32, Box<[u8]>>,
    bytes: usize,
    most: usize,
}

impl Symbols {
    /// The symbol of a number.
    fn text(&mut self, index: &Index, number: u32) -> Result<&[u8], TsdbError> {
        const UNKNOWN: TsdbError = TsdbError::Damaged("a series has a symbol that is not there");
        // In version 1 a symbol is named by its place, later ones by their number.
        let (page, skip) = if index.version == 1 { (number, 0) } else { (number / STRIDE, number % STRIDE) };
        if !self.held.contains_key(&page) {
            let (at, end) = if index.version == 1 {
                let at = u64::from(number);
                if at < index.symbols.0 || at >= index.symbols.1 {
                    return Err(UNKNOWN);
                }
                let (size, text) = self.pages.varint(at, index.symbols.1)?;
                (at, text.saturating_add(size))
            } else if number < index.count {
                let next = index.places.get(page as usize + 1).copied();
                (index.places[page as usize], next.unwrap_or(index.symbols.1))
            } else {
                return Err(UNKNOWN);
            };
            let bytes: Box<[u8]> = self.pages.exactly(at, end - at, index.symbols.1)?.into();
            if self.bytes + bytes.len() > self.most {
                self.held.clear();
                self.bytes = 0;
            }
            self.bytes += bytes.len() + size_of::<(u32, Box<[u8]>)>();
            self.held.insert(page, bytes);
        }
        let mut left = Left(&self.held[&page]);
        for _ in 0..skip {
            left.number().and_then(|size| left.bytes(size as usize)).ok_or(UNKNOWN)?;
        }
        left.number().and_then(|size| left.bytes(size as usize)).ok_or(UNKNOWN)
    }
}

/// A way through the series of an index.
pub struct Walk {
    index: Arc<Index>,
    pages: Pages,
    symbols: Symbols,
    at: u64,
}

impl Walk {
    /// Reads the next series over `entry`; false at the end.
    pub fn advance(&mut self, entry: &mut Entry) -> Result<bool, TsdbError> {
        let (_, end) = self.index.series;
        // Entries are padded with zeros, and none is empty.
        while self.at < end && self.pages.exactly(self.at, 1, end)?[0] == 0 {
            self.at += 1;
        }
        if self.at >= end {
            return Ok(false);
        }
        let at = self.at;
        let (size, body) = self.pages.varint(at, end)?;
        if size > SERIES_MAX {
            return Err(TsdbError::damaged("a series of its index is too long"));
        }
        let bytes = self.pages.exactly(body, size.saturating_add(4), end)?;
        let (bytes, check) = bytes.split_at(size as usize);
        if crc32c::crc32c(bytes) != u32_of(check) {
            return Err(TsdbError::damaged("the check sum of a series of its index does not fit"));
        }
        self.at = body + size + 4;
        entry.reference = if self.index.version == 1 { at } else { at / 16 };
        parse(bytes, entry).ok_or(TsdbError::damaged("a series of its index is none"))?;
        Ok(true)
    }

    /// The labels of a series; nothing where they are none that could be: unsorted, empty, no text.
    pub fn labels(&mut self, entry: &Entry) -> Result<Option<Labels>, TsdbError> {
        let mut texts = Vec::with_capacity(entry.symbols.len() * 2);
        for (name, value) in &entry.symbols {
            for number in [*name, *value] {
                match std::str::from_utf8(self.symbols.text(&self.index, number)?) {
                    Ok(text) => texts.push(text.to_string()),
                    Err(_) => return Ok(None),
                }
            }
        }
        let pairs: Vec<(&str, &str)> = texts.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1])).collect();
        Ok(Labels::from_sorted(&pairs))
    }
}

fn parse(bytes: &[u8], entry: &mut Entry) -> Option<()> {
    let mut left = Left(bytes);
    entry.symbols.clear();
    entry.chunks.clear();
    for _ in 0..left.number()? {
        let pair = (u32::try_from(left.number()?).ok()?, u32::try_from(left.number()?).ok()?);
        entry.symbols.push(pair);
    }
    let (mut time, mut reference) = (0_i64, 0_u64);
    for i in 0..left.number()? {
        // Chunks that overlap are told by differences that wrap.
        let first = if i == 0 { left.signed()? } else { time.wrapping_add(left.number()? as i64) };
        let last = first.wrapping_add(left.number()? as i64);
        if first > last {
            return None;
        }
        reference = if i == 0 { left.number()? } else { reference.wrapping_add_signed(left.signed()?) };
        entry.chunks.push(ChunkPlace { first, last, reference });
        time = last;
    }
    Some(())
}
