//! A day of all blocks, series by series, as blocks of ours.
use super::Failure;
use super::plan::DAY_MS;
use super::report::Progress;
use crate::render::chain;
use faultline_host::Disk;
use faultline_model::{Labels, Millis};
use faultline_serve::recent::block::{Stream, Summary, chunks};
use faultline_tsdb::{Block, Cursor, Next, Points};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of what tells of a block that is written, past which another is begun.
const HELD_MAX: usize = 192 << 20;
/// Bytes of symbols held, all blocks of a day together.
const SYMBOLS: usize = 64 << 20;
/// Parts of blocks that cannot be read, told of by name.
const NAMED: usize = 10;

/// What all days need.
pub struct Work<'a> {
    pub disk: &'a Arc<dyn Disk>,
    /// Where blocks go.
    pub folder: &'a Path,
    pub interrupted: &'a AtomicBool,
    pub progress: &'a Progress,
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    /// Blocks written, and their bytes.
    pub blocks: u64,
    pub bytes: u64,
    /// The most series of a day.
    pub series_max: u64,
    /// Numbers written, native histograms written; stale markers among them.
    pub samples: u64,
    pub histograms: u64,
    /// Samples of a time of which there was one.
    pub repeats: u64,
    /// Chunks that cannot be read, and the first of them.
    pub chunks_failed: u64,
    pub failed: Vec<String>,
    /// Series, each once a day, whose labels are none that could be.
    pub series_refused: u64,
    /// Histograms that nobody may store.
    pub histograms_refused: u64,
}

impl Outcome {
    /// Takes in what came of another day.
    pub fn add(&mut self, other: Outcome) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
        self.series_max = self.series_max.max(other.series_max);
        self.samples += other.samples;
        self.histograms += other.histograms;
        self.repeats += other.repeats;
        self.chunks_failed += other.chunks_failed;
        self.failed.extend(other.failed);
        self.failed.sort();
        self.failed.truncate(NAMED);
        self.series_refused += other.series_refused;
        self.histograms_refused += other.histograms_refused;
    }

    /// Whether nothing was left out.
    pub fn is_whole(&self) -> bool {
        self.chunks_failed + self.series_refused + self.histograms_refused == 0
    }
}

/// Where reading a block is.
struct Part<'a> {
    block: &'a Block,
    cursor: Cursor,
    /// The series that is next; nothing at the end.
    labels: Option<Labels>,
}

impl Part<'_> {
    fn next(&mut self, outcome: &mut Outcome) -> Result<(), Failure> {
        loop {
            let next = self.cursor.advance();
            // Its index was whole when it was looked at.
            let changed = |error| format!("{} has changed meanwhile: {}", self.block.folder().display(), chain(&error));
            match next.map_err(changed)? {
                Next::Series(labels) => self.labels = Some(labels),
                Next::End => self.labels = None,
                Next::NoLabels => {
                    outcome.series_refused += 1;
                    continue;
                }
            }
            return Ok(());
        }
    }

    fn read(&mut self, from: Millis, points: &mut Points, outcome: &mut Outcome) {
        self.cursor.read(points, |place, error| {
            // It lies in the day before, too, which told of it.
            if place.first < from.0 {
                return;
            }
            outcome.chunks_failed += 1;
            if outcome.failed.len() < NAMED {
                let (file, at) = ((place.reference >> 32) + 1, place.reference & u64::from(u32::MAX));
                let folder = self.block.folder().display();
                outcome.failed.push(format!("{folder}/chunks/{file:06} byte {at}: {}", chain(&error)));
            }
        });
    }
}

/// Writes what blocks have of a day.
///
/// - `number`: of the day among all that are written.
pub fn write(work: &Work<'_>, day: i64, number: u64, blocks: &[&Block]) -> Result<Outcome, Failure> {
    let (from, to) = (Millis(day * DAY_MS), Millis((day + 1) * DAY_MS));
    let (mut outcome, mut parts) = (Outcome::default(), Vec::new());
    for block in blocks {
        let cursor = block.series(from, to, SYMBOLS / blocks.len());
        let cursor = cursor.map_err(|error| format!("cannot read {}: {}", block.folder().display(), chain(&error)))?;
        let mut part = Part { block, cursor, labels: None };
        part.next(&mut outcome)?;
        parts.push(part);
    }
    let (mut points, mut open, mut written) = (Points::default(), None::<Stream>, 0_u64);
    let failed = |error| format!("cannot write {}: {}", work.folder.display(), chain(&error));
    let mut ended = |stream: Stream, outcome: &mut Outcome| -> Result<(), Failure> {
        let Summary { size, .. } = stream.finish().map_err(failed)?;
        (outcome.blocks, outcome.bytes) = (outcome.blocks + 1, outcome.bytes + size);
        written += 1;
        Ok(())
    };
    while let Some(labels) = parts.iter().filter_map(|part| part.labels.as_ref()).min().cloned() {
        if work.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted: nothing was written".into());
        }
        points.samples.clear();
        points.histograms.clear();
        for part in parts.iter_mut().filter(|part| part.labels.as_ref() == Some(&labels)) {
            part.read(from, &mut points, &mut outcome);
            part.next(&mut outcome)?;
        }
        outcome.repeats += tidy(&mut points.samples, |sample| sample.time());
        outcome.repeats += tidy(&mut points.histograms, |sample| sample.time);
        let (samples, histograms) = (points.samples.len() as u64, points.histograms.len() as u64);
        work.progress.done(samples + histograms, from);
        let mut packed = chunks(&points.samples);
        if histograms > 0 {
            packed.extend(chunks(&points.histograms));
            // Sorting keeps numbers before histograms of the same instant.
            packed.sort_by_key(|chunk| chunk.first);
        }
        if packed.is_empty() {
            continue;
        }
        if open.as_ref().is_some_and(|stream| stream.held() > HELD_MAX) {
            ended(open.take().expect("it is open"), &mut outcome)?;
        }
        let stream = match &mut open {
            Some(stream) => stream,
            None => {
                // Blocks are read in the order of their names; none is of so many parts.
                let path = work.folder.join(format!("block-{:016x}", number << 16 | outcome.blocks));
                open.insert(Stream::create(work.disk.clone(), &path).map_err(failed)?)
            }
        };
        stream.push(&labels, &packed).map_err(failed)?;
        outcome.series_max += 1;
        (outcome.samples, outcome.histograms) = (outcome.samples + samples, outcome.histograms + histograms);
    }
    if let Some(stream) = open {
        ended(stream, &mut outcome)?;
    }
    outcome.histograms_refused = points.refused;
    Ok(outcome)
}

/// Brings samples into rising time, of two of one time the first, and says how many there were too many.
fn tidy<T>(all: &mut Vec<T>, time: impl Fn(&T) -> Millis) -> u64 {
    if all.is_sorted_by(|a, b| time(a) < time(b)) {
        return 0;
    }
    let before = all.len();
    all.sort_by_key(|one| time(one));
    all.dedup_by_key(|one| time(one));
    (before - all.len()) as u64
}
