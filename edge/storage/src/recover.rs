//! Opens a journal: finds where it ends, tells a torn tail from damage, and makes what is left safe to go on from.
//!
//! Every frame says up to where the journal was durable when it was written. A bad frame above the highest such place was
//! never acknowledged: it and what follows is dropped. Below it something that was acknowledged is gone: damage.
use crate::folder::DataFolder;
use crate::frame::{FrameKind, HEADER, Parsed, START_BODY, StartBody, frame_size, parse, read_start};
use crate::prepare::READY;
use crate::scan::{Scan, Start, scan};
use crate::segment::{FIRST_FRAME, Place, Seeds, draft_path, header_fault, list, segment_path, spare_path};
use crate::shared::{NotReady, Ready, Seal, Segment, Settings, Shared, State};
use faultline_host::{Disk, File};
use faultline_model::{Hlc, Position};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

/// What opening a journal found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Where the next record goes.
    pub next: Position,
    /// The last stamp given.
    pub stamp: Hlc,
    /// The process before this one ended cleanly.
    pub clean: bool,
    /// What a crash had torn: never acknowledged, now dropped.
    pub torn: Option<Torn>,
}

/// The tail that a crash tore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub path: PathBuf,
    /// Where the journal ends now.
    pub byte: u64,
    /// Frames dropped that were whole, behind the torn one.
    pub frames: u64,
}

/// Why a journal does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The disk refused. Retry after fixing rights or freeing space.
    #[error("cannot open the journal: {what} {}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bytes are not what was written, below what was acknowledged. Nothing was changed. Do not retry.
    #[error(
        "the journal is damaged in {} at byte {byte}: {what}; restore the data folder from a copy, or keep it for `faultline verify`",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where its first bad frame begins.
        byte: u64,
        /// What is wrong there.
        what: String,
    },
    /// The journal ends before a record that another store knows to be durable. Do not retry.
    #[error(
        "the journal ends before {expected}, but the data folder says that record {expected} was durable; restore the folder from a copy"
    )]
    Short {
        /// The record that is missing.
        expected: Position,
    },
    /// The settings cannot work.
    #[error("{what}")]
    Settings {
        /// Which, and what would.
        what: String,
    },
    /// No room for a first segment.
    #[error("no room for the journal in {}: {needed} bytes are needed; free disk space or choose another folder", path.display())]
    Full {
        /// The folder.
        path: PathBuf,
        /// What must be free.
        needed: u64,
    },
}

/// One segment file while the end is looked for.
struct Candidate {
    generation: u64,
    file: Arc<dyn File>,
    size: u64,
    start: Option<Start>,
    /// Only of the newest ones.
    scan: Option<Scan>,
}

/// Where the journal ends, and which files hold it.
struct Survey {
    kept: Vec<Candidate>,
    dropped: Vec<Candidate>,
    empty: Vec<Candidate>,
    spares: Vec<u64>,
    drafts: Vec<u64>,
    next: u64,
    stamp: Hlc,
    /// Highest place that was proven durable.
    proven: Place,
    clean: bool,
    torn: Option<Torn>,
}

pub(crate) fn open(
    folder: &DataFolder,
    settings: Settings,
    at_least: Option<Position>,
) -> Result<(Shared, Recovered), OpenError> {
    check(settings)?;
    let journal = folder.path.join("journal");
    let io = |what| {
        let path = journal.clone();
        move |source| OpenError::Io { path, what, source }
    };
    folder.disk.create_dir_all(&journal).map_err(io("creating"))?;
    let mut survey = survey(folder, &journal, true)?;
    survey.check_end(at_least)?;
    survey.drop_other_sizes(settings.segment_size);
    survey.repair(&*folder.disk, &journal).map_err(io("repairing the end of"))?;
    let (shared, recovered) = survey.finish(folder, journal.clone(), settings);
    match shared.ensure_ready(READY, settings.limit) {
        Ok(()) => {}
        // It can still be read and trimmed; writers are told that it is full.
        Err(NotReady::Full) if !shared.state().segments.is_empty() => {}
        Err(NotReady::Full) => {
            return Err(OpenError::Full { path: journal, needed: READY as u64 * settings.segment_size });
        }
        Err(NotReady::Stopped(reason)) => return Err(io("preparing")(io::Error::other(reason))),
    }
    Ok((shared, recovered))
}

pub(crate) fn inspect(folder: &DataFolder, at_least: Option<Position>) -> Result<(Shared, Recovered), OpenError> {
    let journal = folder.path.join("journal");
    let survey = survey(folder, &journal, false)?;
    survey.check_end(at_least)?;
    Ok(survey.finish(folder, journal, Settings::within(u64::MAX)))
}

fn check(settings: Settings) -> Result<(), OpenError> {
    let Settings { segment_size, limit } = settings;
    let what = if !segment_size.is_multiple_of(4096) || !(16 << 10..=1 << 30).contains(&segment_size) {
        format!(
            "a journal segment of {segment_size} bytes will not do: it takes a multiple of 4096 from 16384 to 1073741824"
        )
    } else if limit / segment_size < 4 {
        format!("a journal limit of {limit} bytes is too small: it takes at least {}", 4 * segment_size)
    } else {
        return Ok(());
    };
    Err(OpenError::Settings { what })
}

fn survey(folder: &DataFolder, journal: &Path, write: bool) -> Result<Survey, OpenError> {
    let (disk, id) = (&*folder.disk, folder.journal_id());
    let seeds = Seeds::new(id);
    let [generations, spares, drafts] =
        list(disk, journal).map_err(|source| OpenError::Io { path: journal.to_path_buf(), what: "listing", source })?;
    let mut candidates = Vec::new();
    for generation in generations {
        let path = segment_path(journal, generation);
        let read = || {
            let file = if write { disk.open_write(&path)? } else { disk.open_read(&path)? };
            Candidate::read(file, generation, id, seeds)
        };
        let io = |source| OpenError::Io { path: path.clone(), what: "reading", source };
        // The header is durable before the file has this name: whatever else crashed, it is whole.
        candidates.push(read().map_err(io)?.map_err(|what| OpenError::Damaged {
            path: path.clone(),
            byte: 0,
            what,
        })?);
    }
    // From the newest back, until everything before is known to be durable.
    let (mut first, mut highest) = (candidates.len(), Place::default());
    while first > 0 {
        first -= 1;
        let candidate = &mut candidates[first];
        let scanned = scan(&*candidate.file, seeds, candidate.generation).map_err(|source| OpenError::Io {
            path: segment_path(journal, candidate.generation),
            what: "reading",
            source,
        })?;
        highest = highest.max(scanned.highest);
        let enough = scanned.start.is_some_and(|start| highest >= start.previous);
        candidate.scan = Some(scanned);
        if enough {
            break;
        }
    }
    cut(candidates, first, highest, journal, spares).map(|survey| Survey { drafts, ..survey })
}

impl Candidate {
    /// Reads header and first frame; `Err` inside says what is wrong with the header.
    fn read(file: Arc<dyn File>, generation: u64, id: [u8; 16], seeds: Seeds) -> io::Result<Result<Candidate, String>> {
        let mut bytes = vec![0; FIRST_FRAME as usize + frame_size(START_BODY) as usize];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        let size = file.size()?;
        let block = &bytes[..read.min(FIRST_FRAME as usize)];
        if let Some(fault) = header_fault(block, id, seeds, generation, size) {
            return Ok(Err(fault));
        }
        let rest = &bytes[block.len()..];
        let start = match parse(rest, seeds, Place { generation, byte: FIRST_FRAME }) {
            Parsed::Frame(header) if header.kind == FrameKind::Start => {
                let start = |StartBody { previous, sealed }| Start {
                    next: header.offset,
                    stamp: header.stamp,
                    previous,
                    sealed,
                };
                read_start(&rest[HEADER..HEADER + header.size as usize]).map(start)
            }
            _ => None,
        };
        Ok(Ok(Candidate { generation, file, size, start, scan: None }))
    }

    fn scan(&self) -> &Scan {
        self.scan.as_ref().expect("the newest segments are scanned")
    }

    fn is_empty(&self) -> bool {
        self.scan.as_ref().is_some_and(Scan::is_empty)
    }
}

/// Finds the end among `candidates`, of which those from `first` on are scanned.
fn cut(
    candidates: Vec<Candidate>,
    first: usize,
    highest: Place,
    journal: &Path,
    spares: Vec<u64>,
) -> Result<Survey, OpenError> {
    let damaged = |generation, byte, what: &str| OpenError::Damaged {
        path: segment_path(journal, generation),
        byte,
        what: what.to_string(),
    };
    // Empty ones were made ready and never used, wherever they stand in the row.
    let (unused, mut candidates): (Vec<Candidate>, Vec<Candidate>) =
        candidates.into_iter().partition(Candidate::is_empty);
    // How many segments are whole and linked, from the front.
    let mut kept = 0;
    let mut before: Option<&Candidate> = None;
    for candidate in &candidates {
        let linked = match (candidate.start, before) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(start), Some(before)) => match &before.scan {
                Some(scan) => {
                    let end = Place { generation: before.generation, byte: scan.end };
                    (start.previous, start.next, start.stamp) == (end, scan.next, scan.stamp)
                }
                // Not scanned: durable as a whole, so only the row is checked; reading checks the rest.
                None => {
                    start.previous.generation == before.generation
                        && (FIRST_FRAME..=before.size).contains(&start.previous.byte)
                }
            },
        };
        if !linked {
            break;
        }
        (kept, before) = (kept + 1, Some(candidate));
    }
    // Before the first scanned segment all is durable, and so is its own first frame.
    if first > 0 && kept <= first {
        let what = "its first frame does not follow the segment before it";
        return Err(damaged(candidates[kept].generation, FIRST_FRAME, what));
    }
    let rest = candidates.split_off(kept);
    let end = candidates
        .last()
        .map(|last| Place { generation: last.generation, byte: last.scan.as_ref().map_or(0, |s| s.end) });
    if highest > end.unwrap_or_default() {
        // Something that was acknowledged is gone: in the last linked segment, or in the one that should follow.
        let culprit = candidates.last().filter(|last| last.scan().fault.is_some() || rest.is_empty());
        let (generation, byte, what) = match (culprit, rest.first()) {
            (Some(last), _) => (last.generation, last.scan().end, last.scan().fault.unwrap_or("a frame is missing")),
            (None, Some(next)) if next.start.is_none() => {
                (next.generation, FIRST_FRAME, next.scan().fault.unwrap_or("its first frame is missing"))
            }
            (None, _) => {
                let end = end.unwrap_or_default();
                (end.generation, end.byte, "frames are missing before the next segment")
            }
        };
        return Err(damaged(generation, byte, what));
    }
    let last = candidates.last().map(Candidate::scan);
    let frames = last.map_or(0, |scan| scan.whole_strays)
        + rest.iter().map(|candidate| candidate.scan().frames + candidate.scan().whole_strays).sum::<u64>();
    let tears = last.is_some_and(|scan| scan.fault.is_some() || scan.strays > 0) || !rest.is_empty();
    let from = end.or(rest.first().map(|first| Place { generation: first.generation, byte: FIRST_FRAME }));
    let path = |generation| segment_path(journal, generation);
    let torn = from.filter(|_| tears).map(|from| Torn { path: path(from.generation), byte: from.byte, frames });
    Ok(Survey {
        next: last.map_or(0, |scan| scan.next),
        stamp: last.map_or(Hlc(0), |scan| scan.stamp),
        clean: last.is_some_and(|scan| scan.clean) && torn.is_none(),
        proven: highest,
        kept: candidates,
        dropped: rest,
        empty: unused,
        spares,
        drafts: Vec::new(),
        torn,
    })
}

impl Survey {
    fn check_end(&self, at_least: Option<Position>) -> Result<(), OpenError> {
        match at_least {
            Some(expected) if expected.offset >= self.next => Err(OpenError::Short { expected }),
            _ => Ok(()),
        }
    }

    /// Empty segments of another size go back to the spares, which go when they are looked for.
    fn drop_other_sizes(&mut self, size: u64) {
        let (same, other) = std::mem::take(&mut self.empty).into_iter().partition(|candidate| candidate.size == size);
        self.empty = same;
        self.dropped.extend::<Vec<Candidate>>(other);
    }

    /// Makes what is kept durable, and clears what is dropped so that no later write can make it look valid again.
    fn repair(&mut self, disk: &dyn Disk, journal: &Path) -> io::Result<()> {
        for candidate in &self.dropped {
            disk.rename(&segment_path(journal, candidate.generation), &spare_path(journal, candidate.generation))?;
        }
        for &draft in &self.drafts {
            // What of it reached the disk nobody knows: after a sync that failed, the kernel shows more than there is and takes
            // it for written.
            disk.remove(&draft_path(journal, draft))?;
        }
        // A name that the process before had given may be in the kernel only, and from here on records rely on it.
        disk.sync_dir(journal)?;
        let last = self.kept.len().saturating_sub(1);
        for (index, candidate) in self.kept.iter().enumerate() {
            let Some(scan) = &candidate.scan else { continue };
            let end = Place { generation: candidate.generation, byte: scan.end };
            if end <= self.proven && !(index == last && self.torn.is_some()) {
                continue;
            }
            // The process before may have ended, or its sync failed, with these bytes in the kernel only: written again
            // they are dirty again, and the sync below is about them. So may the frame of a clean stop, which is the last
            // one: whatever is written behind it relies on it.
            let from = if self.proven.generation == candidate.generation { self.proven.byte } else { FIRST_FRAME };
            let mut bytes = vec![0; scan.end.saturating_sub(from) as usize];
            candidate.file.read_at(&mut bytes, from)?;
            if index == last && self.torn.is_some() {
                bytes.resize((candidate.size - from) as usize, 0);
            }
            candidate.file.write_at(&bytes, from)?;
            candidate.file.sync_data()?;
        }
        Ok(())
    }

    fn finish(self, folder: &DataFolder, journal: PathBuf, settings: Settings) -> (Shared, Recovered) {
        let next = Position { partition: 0, offset: self.next };
        let recovered = Recovered { next, stamp: self.stamp, clean: self.clean, torn: self.torn };
        let files = self.kept.iter().chain(&self.dropped).chain(&self.empty).map(|candidate| candidate.generation);
        let next_generation = files.chain(self.spares.iter().copied()).max().map_or(1, |highest| highest + 1);
        // The first frame of the last segment says whose leaves stand before it, the others hold the rest.
        let sealed = self.kept.last().map_or(0, |last| last.scan().sealed.max(last.start.map_or(0, |s| s.sealed)));
        let mut segments: VecDeque<Segment> = VecDeque::new();
        for candidate in self.kept {
            let start = candidate.start.expect("a kept segment has a start frame");
            if let Some(before) = segments.back_mut() {
                before.used = start.previous.byte;
            }
            let used = candidate.scan.as_ref().map_or(0, |scan| scan.end);
            let Candidate { generation, file, size, .. } = candidate;
            // Whatever is kept is durable by now.
            let seal = if generation <= sealed { Seal::Leaf(Place::default()) } else { Seal::Open };
            segments.push_back(Segment { generation, file, size, first: start.next, used, seal });
        }
        let ready =
            self.empty.into_iter().map(|Candidate { generation, file, size, .. }| Ready { generation, file, size });
        let spares: BTreeSet<u64> = self.spares.into_iter().chain(self.dropped.iter().map(|c| c.generation)).collect();
        let proven = segments.back().map(Segment::end).unwrap_or_default();
        let ready = ready.collect();
        let state = State { segments, ready, spares, next_generation, proven, sealed, stopped: None };
        let shared = Shared {
            disk: Arc::clone(&folder.disk),
            folder: journal,
            journal: folder.journal_id(),
            seeds: Seeds::new(folder.journal_id()),
            settings,
            state: Mutex::new(state),
            making: Mutex::new(()),
            wanted: Condvar::new(),
        };
        (shared, recovered)
    }
}
