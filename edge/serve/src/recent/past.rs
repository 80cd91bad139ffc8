//! Blocks read without a store: a folder of a server's, running or not, or of an import. Nothing is written, renamed or removed.
use super::block::{Block, BlockError, Place, Reading, is_key_of, labels_of};
use super::blocks::HEAD_FILE;
use super::chunk::{ChunkKind, Item};
use super::matching::Known;
use super::select::{Points, tidied};
use faultline_host::Disk;
use faultline_model::{Labels, Millis};
use faultline_promql::Matcher;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A folder whose files go while it is opened is listed so often.
const LISTED_MAX: usize = 5;

/// A file that is missing from a past, and what is missing with it.
#[derive(Debug)]
pub struct Missing {
    /// The file.
    pub path: PathBuf,
    /// Why it cannot be read.
    pub error: BlockError,
    /// Times of its first and last sample, where it still says so.
    pub span: Option<(Millis, Millis)>,
}

/// The blocks of a folder, and what was in memory at the last stop or checkpoint.
pub struct Past {
    /// Oldest first, the head last: of two samples of one time the first counts.
    blocks: Vec<(Block, AtomicBool)>,
    missing: Mutex<Vec<Missing>>,
}

/// A series of a past, with what of it lies within the stretch that was asked for.
#[derive(Clone, Debug)]
pub struct PastSeries {
    /// Its labels.
    pub labels: Labels,
    parts: Vec<(u32, Place)>,
}

/// Where a reader is in each block. To be kept from one series to the next.
pub struct Cursor(Vec<Reading>);

impl Past {
    /// Opens what is in a folder. Fails where the folder cannot be read; files that cannot are [`Past::missing`].
    pub fn open(disk: &dyn Disk, folder: &Path) -> io::Result<Past> {
        for _ in 1..LISTED_MAX {
            if let Some(past) = Past::listed(disk, folder, false)? {
                return Ok(past);
            }
        }
        Ok(Past::listed(disk, folder, true)?.expect("whatever is gone"))
    }

    /// Opens what is listed in a folder; nothing where a server that runs has removed some of it meanwhile: what it held may be in a
    /// block that was not there yet.
    ///
    /// - `anyway`: whether to go on without.
    fn listed(disk: &dyn Disk, folder: &Path, anyway: bool) -> io::Result<Option<Past>> {
        let (mut blocks, mut missing) = (Vec::new(), Vec::new());
        for name in disk.list(folder)? {
            let is_block = name.strip_prefix("block-").is_some_and(|number| u64::from_str_radix(number, 16).is_ok());
            if !is_block && name != HEAD_FILE {
                continue;
            }
            let path = folder.join(&name);
            match Block::open(disk, &path) {
                Ok(block) => blocks.push((block, AtomicBool::new(true))),
                Err(BlockError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                    if !anyway {
                        return Ok(None);
                    }
                }
                Err(error) => missing.push(Missing { path, error, span: None }),
            }
        }
        Ok(Some(Past { blocks, missing: Mutex::new(missing) }))
    }

    /// Files that could not be read, so far.
    pub fn missing(&self) -> std::sync::MutexGuard<'_, Vec<Missing>> {
        self.missing.lock().expect("no holder panics")
    }

    /// How many blocks there are.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Times of the first and the last sample; nothing where there is none.
    pub fn span(&self) -> Option<(Millis, Millis)> {
        let all = self.blocks.iter().map(|(block, _)| block.summary()).filter(|it| it.samples > 0);
        let first = all.clone().map(|it| it.first).min()?;
        Some((first, all.map(|it| it.last).max()?))
    }

    /// The most series that a block has.
    pub fn series_max(&self) -> u32 {
        self.blocks.iter().map(|(block, _)| block.summary().series).max().unwrap_or(0)
    }

    /// The series that all matchers accept and that have samples within `from..=to`, or about, in label order; of at most
    /// `most`, else nothing. A block that is damaged is passed over from then on.
    pub fn select(&self, matchers: &[Matcher], from: Millis, to: Millis, most: usize) -> Option<Vec<PastSeries>> {
        let mut all: Vec<PastSeries> = Vec::new();
        for (number, (block, good)) in (0_u32..).zip(&self.blocks) {
            let apart = block.summary().first > to || block.summary().last < from;
            if apart || !good.load(Ordering::Relaxed) {
                continue;
            }
            let mut before = std::mem::take(&mut all).into_iter().peekable();
            let mut is_known = Known::new(matchers);
            let read = block.each_candidate(matchers, from, to, &mut |key, chunks| {
                let parts = chunks.iter().map(|place| (number, *place));
                // Blocks have mostly the same series, which are known by now, one after the other.
                if let Some(mut same) = before.next_if(|older| is_key_of(&older.labels, key)) {
                    same.parts.extend(parts);
                    all.push(same);
                    return Ok(ControlFlow::Continue(()));
                }
                let labels = labels_of(key)?;
                if !is_known.accept(&labels) {
                    return Ok(ControlFlow::Continue(()));
                }
                while let Some(older) = before.next_if(|older| older.labels < labels) {
                    all.push(older);
                }
                match before.next_if(|older| older.labels == labels) {
                    Some(mut same) => {
                        same.parts.extend(parts);
                        all.push(same);
                    }
                    None => all.push(PastSeries { labels, parts: parts.collect() }),
                }
                Ok(if all.len() > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            });
            all.extend(before);
            if let Err(error) = read {
                self.pass_over(number, error);
            }
            if all.len() > most {
                return None;
            }
        }
        Some(all)
    }

    /// To read these series, and no further in any block than they are.
    pub fn cursor<'s>(&self, series: impl IntoIterator<Item = &'s PastSeries>) -> Cursor {
        let mut ends = vec![0; self.blocks.len()];
        for (number, place) in series.into_iter().flat_map(|it| &it.parts) {
            let end: &mut u64 = &mut ends[*number as usize];
            *end = (*end).max(place.end());
        }
        Cursor(ends.into_iter().map(Reading::until).collect())
    }

    /// Puts the samples of a series within `from..=to` into `out`, rising in time, as [`super::Selected::points`] does.
    pub fn read(&self, series: &PastSeries, from: Millis, to: Millis, cursor: &mut Cursor, out: &mut Points) {
        self.read_kind(series, from, to, cursor, &mut out.samples);
        out.histograms.clear();
        if series.parts.iter().any(|(_, place)| place.kind == ChunkKind::Histograms) {
            self.read_kind(series, from, to, cursor, &mut out.histograms);
            out.settle();
        }
    }

    fn read_kind<T: Item>(&self, series: &PastSeries, from: Millis, to: Millis, cursor: &mut Cursor, out: &mut Vec<T>) {
        out.clear();
        let mut rising = true;
        for (number, place) in &series.parts {
            let (block, good) = &self.blocks[*number as usize];
            let apart = place.first > to || place.last < from;
            if place.kind != T::KIND || apart || !good.load(Ordering::Relaxed) {
                continue;
            }
            let begun = out.len();
            if let Err(error) = block.unpack(place, &mut cursor.0[*number as usize], out) {
                out.truncate(begun);
                self.pass_over(*number, error);
            }
            rising &= begun == 0 || begun == out.len() || out[begun - 1].time() < out[begun].time();
        }
        tidied(out, rising, from, to);
    }

    fn pass_over(&self, number: u32, error: BlockError) {
        let (block, good) = &self.blocks[number as usize];
        if good.swap(false, Ordering::Relaxed) {
            let span = Some((block.summary().first, block.summary().last));
            self.missing().push(Missing { path: block.path().to_path_buf(), error, span });
        }
    }
}

impl PastSeries {
    /// How many samples it has within `from..=to`, or some more.
    pub fn count(&self, from: Millis, to: Millis) -> u64 {
        let within = |(_, place): &&(u32, Place)| place.first <= to && place.last >= from;
        self.parts.iter().filter(within).map(|(_, place)| u64::from(place.count)).sum()
    }
}
