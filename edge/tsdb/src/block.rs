//! One block: what it says of itself, and its series within a stretch of time.
use crate::chunks::{Chunks, Names, names};
use crate::index::{ChunkPlace, Entry, Index, Walk};
use crate::tombstones::{Tombstones, is_deleted};
use crate::{Points, TsdbError};
use faultline_host::Disk;
use faultline_model::{HistogramSample, Labels, Millis, Sample};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest `meta.json` that is read, in bytes: a block of many tells of each.
const META_MAX: u64 = 16 << 20;

/// What `meta.json` says, as far as it is needed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Its name.
    pub ulid: String,
    /// Version of this file.
    pub version: u32,
    /// Time of its first sample, in ms.
    pub min_time: i64,
    /// Time behind its last sample.
    pub max_time: i64,
    /// How much there is.
    #[serde(default)]
    pub stats: Stats,
    /// How it was made.
    #[serde(default)]
    pub compaction: Compaction,
    /// What Thanos says of it.
    #[serde(default)]
    pub thanos: Thanos,
}

/// How much there is in a block.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    /// How many series.
    pub num_series: u64,
    /// How many samples, in chunks: what was deleted counts.
    pub num_samples: u64,
    /// How many chunks.
    pub num_chunks: u64,
}

/// How a block was made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// Blocks that it is made of, which may not have been removed yet.
    pub parents: Vec<Parent>,
}

/// A block that another is made of.
#[derive(Clone, Debug, Deserialize)]
pub struct Parent {
    /// Its name.
    pub ulid: String,
}

/// What Thanos says of a block.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Thanos {
    /// Labels of who wrote it.
    pub labels: BTreeMap<String, String>,
    /// What was left out.
    pub downsample: Downsample,
}

/// What was left out of a block of Thanos.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Downsample {
    /// Distance of what is left, in ms; 0 where all is.
    pub resolution: i64,
}

/// A block whose symbols and tombstones were checked.
pub struct Block {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    meta: Meta,
    index: Arc<Index>,
    names: Names,
    tombstones: Arc<Tombstones>,
}

/// What is in an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// How many series were read.
    pub series: u64,
    /// How many chunks they have.
    pub chunks: u64,
}

impl Meta {
    /// Reads that of a block.
    pub fn read(disk: &dyn Disk, folder: &Path) -> Result<Meta, TsdbError> {
        let file = disk.open_read(&folder.join("meta.json"))?;
        let size = file.size()?;
        if size > META_MAX {
            return Err(TsdbError::damaged("its meta.json is too long"));
        }
        let mut bytes = vec![0; size as usize];
        let read = file.read_at(&mut bytes, 0)?;
        let meta: Meta = serde_json::from_slice(&bytes[..read]).map_err(|error| TsdbError::Meta(error.to_string()))?;
        match meta.version {
            1 => Ok(meta),
            version => Err(TsdbError::Unknown(format!("its meta.json has version {version}, known is 1"))),
        }
    }
}

impl Block {
    /// Opens a block: its symbols and tombstones are checked, nothing stays open.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, meta: Meta) -> Result<Block, TsdbError> {
        let index = Arc::new(Index::open(&*disk, &folder.join("index"))?);
        let names = names(&*disk, &folder.join("chunks"))?;
        let tombstones = Arc::new(Tombstones::read(&*disk, &folder.join("tombstones"))?);
        Ok(Block { disk, folder: folder.to_path_buf(), meta, index, names, tombstones })
    }

    /// What it says of itself.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the whole index, checks it, and shows each chunk's times.
    ///
    /// - Returns what there is, and why there is no more where the index is damaged.
    pub fn survey(&self, mut visit: impl FnMut(i64, i64)) -> (Survey, Result<(), TsdbError>) {
        let mut survey = Survey::default();
        let mut all = || {
            let (mut walk, mut entry) = (self.index.walk(&*self.disk, 0)?, Entry::default());
            while walk.advance(&mut entry)? {
                survey.series += 1;
                survey.chunks += entry.chunks.len() as u64;
                entry.chunks.iter().for_each(|chunk| visit(chunk.first, chunk.last));
            }
            Ok(())
        };
        let read = all();
        (survey, read)
    }

    /// The series with chunks in `from..to`, in label order.
    ///
    /// - `symbol_bytes`: how much of the symbols may be held in memory.
    pub fn series(&self, from: Millis, to: Millis, symbol_bytes: usize) -> Result<Cursor, TsdbError> {
        Ok(Cursor {
            walk: self.index.walk(&*self.disk, symbol_bytes)?,
            chunks: Chunks::new(self.disk.clone(), self.folder.join("chunks"), self.names.clone()),
            tombstones: self.tombstones.clone(),
            entry: Entry::default(),
            from,
            to,
        })
    }
}

/// A way through the series of a block.
pub struct Cursor {
    walk: Walk,
    chunks: Chunks,
    tombstones: Arc<Tombstones>,
    entry: Entry,
    from: Millis,
    to: Millis,
}

/// What the next series is.
pub enum Next {
    /// One with chunks in the stretch.
    Series(Labels),
    /// One whose labels are none that could be.
    NoLabels,
    /// There is none.
    End,
}

impl Cursor {
    /// Goes on to the next series. After an error there is no more.
    pub fn advance(&mut self) -> Result<Next, TsdbError> {
        while self.walk.advance(&mut self.entry)? {
            let (from, to) = (self.from.0, self.to.0);
            self.entry.chunks.retain(|chunk| chunk.first < to && chunk.last >= from);
            if !self.entry.chunks.is_empty() {
                return Ok(self.walk.labels(&self.entry)?.map_or(Next::NoLabels, Next::Series));
            }
        }
        Ok(Next::End)
    }

    /// Appends what the series that [`Cursor::advance`] found has in the stretch, in the order of its chunks.
    ///
    /// - `failed`: is shown chunks that cannot be read, which are passed over, and why.
    pub fn read(&mut self, points: &mut Points, mut failed: impl FnMut(&ChunkPlace, TsdbError)) {
        let stones = self.tombstones.of(self.entry.reference);
        for place in &self.entry.chunks {
            let begun = (points.samples.len(), points.histograms.len(), points.refused);
            if let Err(error) = self.chunks.read(place, points) {
                points.samples.truncate(begun.0);
                points.histograms.truncate(begun.1);
                points.refused = begun.2;
                failed(place, error);
                continue;
            }
            // A chunk that lies in two stretches tells of what is refused in the first.
            if place.first < self.from.0 {
                points.refused = begun.2;
            }
            let inside = |at: Millis| at >= self.from && at < self.to;
            if !(inside(Millis(place.first)) && inside(Millis(place.last)) && stones.is_empty()) {
                let keep = |at: Millis| inside(at) && !is_deleted(stones, at);
                keep_behind(&mut points.samples, begun.0, |sample: &Sample| keep(sample.time()));
                keep_behind(&mut points.histograms, begun.1, |sample: &HistogramSample| keep(sample.time));
            }
        }
    }
}

/// Removes what `keep` refuses, from a place on.
fn keep_behind<T>(all: &mut Vec<T>, begun: usize, keep: impl Fn(&T) -> bool) {
    let mut number = 0;
    all.retain(|one| {
        number += 1;
        number <= begun || keep(one)
    });
}
