//! Writing a block: under another name first, synced, then renamed.
use super::bytes::{put, put_signed};
use super::table::{Run, frame};
use super::{
    BETWEEN, BlockError, FOOTER, GROUP, HEADER, MAGIC, NUMBERS_VERSION, Purpose, Summary, TERMS, VERSION, Whole,
};
use crate::recent::chunk::{CHUNK_SAMPLES, Chunk, ChunkKind, Item};
use crate::recent::window;
use faultline_host::{Disk, File};
use faultline_model::{Labels, Millis, Position};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Bytes handed to the disk at once.
const WRITE: usize = 256 << 10;

/// A block's series, in label order, each with at least one chunk, in the order of their first samples.
pub type Written = Vec<(Labels, Vec<Chunk>)>;

/// Samples in rising time as chunks, for whoever writes blocks of what was never in memory: none crosses from one window to the
/// next.
pub fn chunks<T: Item>(samples: &[T]) -> Vec<Chunk> {
    let windows = samples.chunk_by(|a, b| window(a.time()) == window(b.time()));
    windows.flat_map(|window| window.chunks(usize::from(CHUNK_SAMPLES))).map(Chunk::of).collect()
}

/// The end of a file that is written.
pub(super) struct Out<'a> {
    pub file: &'a Arc<dyn File>,
    pub at: u64,
    pub waiting: Vec<u8>,
}

impl Out<'_> {
    pub fn place(&self) -> u64 {
        self.at + self.waiting.len() as u64
    }

    pub fn full(&mut self) -> io::Result<()> {
        if self.waiting.len() < WRITE { Ok(()) } else { self.write() }
    }

    pub fn write(&mut self) -> io::Result<()> {
        self.file.write_at(&self.waiting, self.at)?;
        // One sync of all of it would hold up the journal's.
        self.file.hasten(self.at, self.waiting.len() as u64);
        self.at += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

/// Writes a file as a whole: after a crash it is there with all it holds, or it is not there.
pub fn write_block(
    disk: &dyn Disk,
    path: &Path,
    purpose: Purpose,
    covers: Position,
    series: &Written,
) -> Result<Summary, BlockError> {
    write(disk, path, |file| content(file, purpose, covers, None, series))
}

/// Writes what is in memory, and what is known of the whole store, in the same way.
pub fn write_head(
    disk: &dyn Disk,
    path: &Path,
    covers: Position,
    whole: Whole,
    series: &Written,
) -> Result<Summary, BlockError> {
    write(disk, path, |file| content(file, Purpose::Head, covers, Some(whole), series))
}

fn write(
    disk: &dyn Disk,
    path: &Path,
    content: impl FnOnce(&Arc<dyn File>) -> io::Result<Summary>,
) -> Result<Summary, BlockError> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    let new = path.with_extension("new");
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let file = disk.create(&new)?;
    let written = content(&file).and_then(|summary| {
        file.sync_data()?;
        disk.rename(&new, path)?;
        Ok(summary)
    });
    match written {
        Ok(summary) => {
            disk.sync_dir(folder)?;
            Ok(summary)
        }
        Err(error) => {
            // Gives its room back to a full disk; where even that fails, the next try removes it.
            drop(disk.remove(&new));
            Err(error.into())
        }
    }
}

fn content(
    file: &Arc<dyn File>,
    purpose: Purpose,
    covers: Position,
    whole: Option<Whole>,
    series: &Written,
) -> io::Result<Summary> {
    let of_numbers = |chunk: &Chunk| chunk.kind == ChunkKind::Numbers;
    let only_numbers = series.iter().flat_map(|(_, chunks)| chunks).all(of_numbers);
    let version = if only_numbers { NUMBERS_VERSION } else { VERSION };
    let mut out = Out { file, at: 0, waiting: header(version, purpose, covers, whole) };
    let mut places = Vec::with_capacity(series.len().div_ceil(GROUP));
    for group in series.chunks(GROUP) {
        places.push(out.place());
        for chunk in group.iter().flat_map(|(_, chunks)| chunks) {
            out.waiting.extend_from_slice(&chunk.bytes);
            out.full()?;
        }
    }
    let (groups_at, directory) = (out.place(), groups(&mut out, series, &places)?);
    let mut lists = Lists::default();
    (0_u32..).zip(series).for_each(|(number, (labels, _))| lists.add(number, labels));
    let chunks = || series.iter().flat_map(|(_, chunks)| chunks);
    let summary = Summary {
        purpose,
        covers,
        whole,
        first: chunks().map(|chunk| chunk.first).min().unwrap_or(Millis(0)),
        last: chunks().map(|chunk| chunk.last).max().unwrap_or(Millis(0)),
        series: series.len() as u32,
        chunks: chunks().count() as u64,
        samples: chunks().map(|chunk| u64::from(chunk.count)).sum(),
        size: 0,
    };
    finish(out, groups_at, &directory, &lists, summary)
}

/// Writes what follows the groups.
///
/// - `summary`: all but the size, which comes back with it.
pub(super) fn finish(
    mut out: Out<'_>,
    groups_at: u64,
    directory: &[u8],
    lists: &Lists,
    summary: Summary,
) -> io::Result<Summary> {
    let lists_at = out.place();
    let (terms_at, pages) = terms(&mut out, lists)?;
    let directories_at = out.place();
    frame(directory, &mut out.waiting);
    let pages_at = out.place();
    frame(&pages, &mut out.waiting);
    let footer_at = out.place();
    let mut footer = Vec::with_capacity(FOOTER);
    for place in [groups_at, lists_at, terms_at, directories_at, pages_at, footer_at] {
        footer.extend_from_slice(&place.to_le_bytes());
    }
    footer.extend_from_slice(&summary.first.0.to_le_bytes());
    footer.extend_from_slice(&summary.last.0.to_le_bytes());
    footer.extend_from_slice(&summary.chunks.to_le_bytes());
    footer.extend_from_slice(&summary.samples.to_le_bytes());
    footer.extend_from_slice(&summary.series.to_le_bytes());
    footer.resize(FOOTER - 4, 0);
    footer.extend_from_slice(&crc32c::crc32c(&footer).to_le_bytes());
    out.waiting.extend_from_slice(&footer);
    out.write()?;
    Ok(Summary { size: footer_at + FOOTER as u64, ..summary })
}

pub(super) fn header(version: u32, purpose: Purpose, covers: Position, whole: Option<Whole>) -> Vec<u8> {
    let mut header = Vec::with_capacity(WRITE + (WRITE >> 3));
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&version.to_le_bytes());
    header.extend_from_slice(&(purpose as u32).to_le_bytes());
    header.extend_from_slice(&covers.partition.to_le_bytes());
    header.extend_from_slice(&covers.offset.to_le_bytes());
    if let Some(Whole { lacks, next, blocks }) = whole {
        header.push(1);
        header.extend_from_slice(&lacks.0.to_le_bytes());
        header.extend_from_slice(&next.to_le_bytes());
        header.extend_from_slice(&blocks.to_le_bytes());
    }
    header.resize(HEADER - 4, 0);
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    header
}

/// Writes the groups, and returns where each is.
fn groups(out: &mut Out<'_>, series: &Written, places: &[u64]) -> io::Result<Vec<u8>> {
    let (mut directory, mut run, mut name) = (Vec::new(), Run::default(), Vec::new());
    for (group, place) in series.chunks(GROUP).zip(places) {
        directory.extend_from_slice(&out.place().to_le_bytes());
        put(&mut run.bytes, *place);
        for (labels, chunks) in group {
            key(labels, &mut name);
            entry(&mut run, &name, chunks);
        }
        run.take(&mut out.waiting);
        out.full()?;
    }
    Ok(directory)
}

/// Adds a series and its chunks to its group.
pub(super) fn entry(run: &mut Run, name: &[u8], chunks: &[Chunk]) {
    run.key(name);
    put(&mut run.bytes, chunks.len() as u64);
    let mut before = 0;
    for chunk in chunks {
        run.bytes.push(chunk.kind as u8);
        put(&mut run.bytes, u64::from(chunk.count));
        put_signed(&mut run.bytes, chunk.first.0.wrapping_sub(before));
        put(&mut run.bytes, chunk.last.0.wrapping_sub(chunk.first.0) as u64);
        put(&mut run.bytes, chunk.bytes.len() as u64);
        run.bytes.extend_from_slice(&crc32c::crc32c(&chunk.bytes).to_le_bytes());
        before = chunk.last.0;
    }
}

/// Numbers of series by term.
#[derive(Default)]
pub(super) struct Lists {
    by_term: BTreeMap<Vec<u8>, Vec<u32>>,
    term: Vec<u8>,
    /// Bytes of memory, about.
    pub held: usize,
}

impl Lists {
    /// Adds a series, whose number is above those before.
    pub fn add(&mut self, number: u32, labels: &Labels) {
        for (name, value) in labels.iter() {
            term_of(name, value, &mut self.term);
            // Of a list some is room for more.
            self.held += 6;
            match self.by_term.get_mut(&self.term) {
                Some(list) => list.push(number),
                None => {
                    self.held += self.term.len() + 80;
                    self.by_term.insert(self.term.clone(), vec![number]);
                }
            }
        }
    }
}

/// Writes posting lists and terms; returns where the terms begin, and where each page is with its first term.
fn terms(out: &mut Out<'_>, lists: &Lists) -> io::Result<(u64, Vec<u8>)> {
    let lists = &lists.by_term;
    let (mut places, mut body) = (Vec::with_capacity(lists.len()), Vec::new());
    for list in lists.values() {
        places.push(out.place());
        body.clear();
        let mut before = 0;
        for number in list {
            put(&mut body, u64::from(number - before));
            before = *number;
        }
        frame(&body, &mut out.waiting);
        out.full()?;
    }
    let (at, mut pages, mut run) = (out.place(), Vec::new(), Run::default());
    for ((term, list), place) in lists.iter().zip(places) {
        if run.count == 0 {
            put(&mut pages, out.place());
            put(&mut pages, term.len() as u64);
            pages.extend_from_slice(term);
        }
        run.key(term);
        put(&mut run.bytes, list.len() as u64);
        put(&mut run.bytes, place);
        if run.count == TERMS {
            run.take(&mut out.waiting);
            out.full()?;
        }
    }
    if run.count > 0 {
        run.take(&mut out.waiting);
    }
    Ok((at, pages))
}

/// The labels of a series as a key.
pub fn key(labels: &Labels, key: &mut Vec<u8>) {
    key.clear();
    for (name, value) in labels.iter() {
        key.extend_from_slice(name.as_bytes());
        key.push(BETWEEN);
        key.extend_from_slice(value.as_bytes());
        key.push(BETWEEN);
    }
}

/// A name and a value as a key.
pub fn term_of(name: &str, value: &str, term: &mut Vec<u8>) {
    term.clear();
    term.extend_from_slice(name.as_bytes());
    term.push(BETWEEN);
    term.extend_from_slice(value.as_bytes());
}
