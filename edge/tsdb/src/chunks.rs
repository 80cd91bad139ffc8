//! A block's chunk files.
//!
//! Source: `docs/format/chunks.md` and `chunks/chunks.go` of Prometheus' tsdb.
use crate::histograms::{Header, Sink};
use crate::index::ChunkPlace;
use crate::pages::{Pages, u32_of};
use crate::{Points, TsdbError, floats, histograms};
use faultline_host::Disk;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: u32 = 0x85BD_40DD;
/// Bytes of magic, version and padding.
const HEADER: u64 = 8;
/// Longest chunk that is read, in bytes: Prometheus cuts at about one KiB, and a histogram takes some KiB.
const CHUNK_MAX: u64 = 16 << 20;

/// The chunk files of a block, of which one is open.
pub struct Chunks {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    names: Names,
    open: Option<(u64, Pages)>,
}

/// Names of chunk files by their number.
pub type Names = Arc<BTreeMap<u64, String>>;

/// The chunk files in a folder.
pub fn names(disk: &dyn Disk, folder: &Path) -> Result<Names, TsdbError> {
    let all = disk.list(folder)?.into_iter();
    Ok(Arc::new(all.filter_map(|name| Some((name.parse().ok()?, name))).collect()))
}

impl Chunks {
    pub fn new(disk: Arc<dyn Disk>, folder: PathBuf, names: Names) -> Chunks {
        Chunks { disk, folder, names, open: None }
    }

    /// The file of a number, once it begins as one.
    fn file(&mut self, number: u64) -> Result<&mut Pages, TsdbError> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != number) {
            self.open = None;
            // Chunks count them from 0, their names from 1. Where one is missing the next is not taken for it.
            let name = self.names.get(&(number + 1)).ok_or(TsdbError::damaged("a chunk file is missing"))?;
            let mut pages = Pages::new(self.disk.open_read(&self.folder.join(name))?)?;
            let header = pages.up_to(0, HEADER as usize)?;
            if header.len() < HEADER as usize || u32_of(header) != MAGIC {
                return Err(TsdbError::damaged("a chunk file does not begin as one"));
            }
            if header[4] != 1 {
                return Err(TsdbError::Unknown(format!("a chunk file has version {}, known is 1", header[4])));
            }
            self.open = Some((number, pages));
        }
        Ok(&mut self.open.as_mut().expect("it is open now").1)
    }

    /// Appends what a chunk holds; what was appended where it fails is nobody's.
    pub fn read(&mut self, place: &ChunkPlace, points: &mut Points) -> Result<(), TsdbError> {
        let at = place.reference & u64::from(u32::MAX);
        let pages = self.file(place.reference >> 32)?;
        let end = pages.size();
        let (size, body) = pages.varint(at, end)?;
        if size > CHUNK_MAX {
            return Err(TsdbError::damaged("a chunk is too long"));
        }
        // Kind (u8), data, check sum of both (u32).
        let bytes = pages.exactly(body, size + 5, end)?;
        let (bytes, check) = bytes.split_at(size as usize + 1);
        if crc32c::crc32c(bytes) != u32_of(check) {
            return Err(TsdbError::damaged("the check sum of a chunk does not fit"));
        }
        let (kind, data) = (bytes[0], &bytes[1..]);
        let mut sink = Sink { samples: &mut points.histograms, refused: &mut points.refused };
        let read = match kind {
            1 => floats::xor(data, &mut points.samples),
            2 => histograms::wholes(data, Header::Plain, &mut sink),
            3 => histograms::floats(data, Header::Plain, &mut sink),
            4 => floats::xor2(data, &mut points.samples),
            5 => histograms::wholes(data, Header::WithStarts, &mut sink),
            6 => histograms::floats(data, Header::WithStarts, &mut sink),
            0xff => return Err(TsdbError::Unknown("a chunk is downsampled by Thanos".into())),
            kind => return Err(TsdbError::Unknown(format!("a chunk has encoding {kind}, known are 1 to 6"))),
        };
        read.ok_or(TsdbError::damaged("a chunk does not hold what it says"))
    }
}
