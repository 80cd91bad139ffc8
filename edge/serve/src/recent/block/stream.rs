//! Writing a block series by series: chunks go to the file at once, so that memory holds only what tells of them.
use super::bytes::put;
use super::table::Run;
use super::write::{Lists, Out, entry, finish, header, key};
use super::{BlockError, GROUP, HEADER, NUMBERS_VERSION, Purpose, Summary, VERSION};
use crate::recent::chunk::{Chunk, ChunkKind};
use faultline_host::{Disk, File};
use faultline_model::{Labels, Millis, Position};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A block that is being written, under another name until it is whole.
pub struct Stream {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    new: PathBuf,
    file: Arc<dyn File>,
    at: u64,
    waiting: Vec<u8>,
    groups: Vec<u8>,
    /// Where each group is among the groups.
    places: Vec<u64>,
    run: Run,
    lists: Lists,
    name: Vec<u8>,
    before: Option<Labels>,
    summary: Summary,
    histograms: bool,
}

impl Stream {
    /// Begins a block. Fails with `AlreadyExists` where it is there, or another that is being written.
    pub fn create(disk: Arc<dyn Disk>, path: &Path) -> Result<Stream, BlockError> {
        let new = path.with_extension("new");
        let file = disk.create(&new)?;
        let summary = Summary {
            purpose: Purpose::Block,
            covers: Position::default(),
            whole: None,
            first: Millis(i64::MAX),
            last: Millis(i64::MIN),
            series: 0,
            chunks: 0,
            samples: 0,
            size: 0,
        };
        Ok(Stream {
            disk,
            path: path.to_path_buf(),
            new,
            file,
            at: 0,
            // Written anew at the end, when it is known what is in it.
            waiting: header(VERSION, Purpose::Block, Position::default(), None),
            groups: Vec::new(),
            places: Vec::new(),
            run: Run::default(),
            lists: Lists::default(),
            name: Vec::new(),
            before: None,
            summary,
            histograms: false,
        })
    }

    /// Adds a series with at least one chunk, in the order of their first samples, of one instant numbers first.
    ///
    /// Panics where it does not come behind the one before in label order.
    pub fn push(&mut self, labels: &Labels, chunks: &[Chunk]) -> Result<(), BlockError> {
        assert!(self.before.as_ref().is_none_or(|before| before < labels), "{labels} comes too late");
        assert!(!chunks.is_empty(), "{labels} has no samples");
        let mut out = Out { file: &self.file, at: self.at, waiting: std::mem::take(&mut self.waiting) };
        if (self.summary.series as usize).is_multiple_of(GROUP) {
            self.places.push(self.groups.len() as u64);
            put(&mut self.run.bytes, out.place());
        }
        key(labels, &mut self.name);
        entry(&mut self.run, &self.name, chunks);
        self.lists.add(self.summary.series, labels);
        for chunk in chunks {
            out.waiting.extend_from_slice(&chunk.bytes);
            self.histograms |= chunk.kind == ChunkKind::Histograms;
            let it = &mut self.summary;
            (it.first, it.last) = (it.first.min(chunk.first), it.last.max(chunk.last));
            (it.chunks, it.samples) = (it.chunks + 1, it.samples + u64::from(chunk.count));
        }
        let written = out.full();
        (self.at, self.waiting) = (out.at, out.waiting);
        self.summary.series += 1;
        if (self.summary.series as usize).is_multiple_of(GROUP) {
            self.run.take(&mut self.groups);
        }
        self.before = Some(labels.clone());
        Ok(written?)
    }

    /// Bytes of memory that it holds, about.
    pub fn held(&self) -> usize {
        self.groups.len() + self.places.len() * 8 + self.lists.held
    }

    /// Ends the block, which then is there for good.
    pub fn finish(mut self) -> Result<Summary, BlockError> {
        let folder = self.path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
        if self.run.count > 0 {
            self.run.take(&mut self.groups);
        }
        let waiting = std::mem::take(&mut self.waiting);
        let mut out = Out { file: &self.file, at: self.at, waiting };
        let groups_at = out.place();
        let places = self.places.iter().flat_map(|place| (groups_at + place).to_le_bytes());
        let directory: Vec<u8> = places.collect();
        out.write()?;
        let mut groups = std::mem::take(&mut self.groups);
        std::mem::swap(&mut out.waiting, &mut groups);
        out.write()?;
        let summary = finish(out, groups_at, &directory, &self.lists, self.summary)?;
        if !self.histograms {
            let header = header(NUMBERS_VERSION, Purpose::Block, Position::default(), None);
            self.file.write_at(&header[..HEADER], 0)?;
        }
        self.file.sync_data()?;
        self.disk.rename(&self.new, &self.path)?;
        self.disk.sync_dir(folder)?;
        Ok(summary)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Where it became a block there is no such file.
        drop(self.disk.remove(&self.new));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{chunks, write_block};
    use super::*;
    use faultline_host::MemoryDisk;
    use faultline_model::histogram::Buckets;
    use faultline_model::{Histogram, HistogramSample, Sample};

    /// So many series, some of them with histograms.
    fn series(count: i64, histograms: bool) -> Vec<(Labels, Vec<Chunk>)> {
        let one = |number: i64| {
            let labels = Labels::new([("__name__", "m".to_string()), ("n", format!("{number:04}"))]);
            let samples: Vec<Sample> =
                (0..300).map(|i| Sample::new(Millis(i * 60_000 + number), (i % (2 + number)) as f64)).collect();
            let mut all = chunks(&samples);
            if histograms && number % 3 == 0 {
                let histogram = Histogram { positive: Buckets::new([(1, number as f64)]), ..Histogram::default() };
                let histogram = Some(Arc::new(histogram));
                all.extend(chunks(&[HistogramSample { time: Millis(20_000_000), histogram }]));
            }
            (labels, all)
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn a_block_written_series_by_series_is_the_same() {
        for (count, histograms) in [(1, false), (16, false), (17, true), (200, true)] {
            let disk = MemoryDisk::new(16 << 20);
            disk.create_dir_all(Path::new("f")).expect("memory does not fail");
            let (one, other) = (Path::new("f/block-1"), Path::new("f/block-2"));
            let written = series(count, histograms);
            let whole = write_block(&disk, one, Purpose::Block, Position::default(), &written).expect("there is room");
            let mut stream = Stream::create(Arc::new(disk.clone()), other).expect("there is room");
            written.iter().for_each(|(labels, chunks)| stream.push(labels, chunks).expect("there is room"));
            assert_eq!(stream.finish().expect("there is room"), whole);
            assert!(disk.content(one) == disk.content(other), "{count} series");
            assert_eq!(disk.list(Path::new("f")).expect("it is there"), ["block-1", "block-2"]);
        }
    }

    #[test]
    fn a_block_that_is_not_finished_leaves_nothing() {
        for capacity in [1 << 20, 100_000] {
            let disk = MemoryDisk::new(capacity);
            disk.create_dir_all(Path::new("f")).expect("memory does not fail");
            let mut stream = Stream::create(Arc::new(disk.clone()), Path::new("f/block-1")).expect("there is room");
            let full = series(400, false).iter().any(|(labels, chunks)| stream.push(labels, chunks).is_err());
            assert_eq!(full, capacity == 100_000);
            drop(stream);
            assert_eq!(disk.list(Path::new("f")).expect("it is there"), Vec::<String>::new());
        }
    }
}
