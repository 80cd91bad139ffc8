//! Blocks that Prometheus wrote, in memory, and what is read of them as text.
use faultline_host::{Disk, MemoryDisk};
use faultline_model::{Histogram, Millis};
use faultline_tsdb::{Block, Meta, Next, Points, TsdbError};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where blocks are in memory.
pub const FOLDER: &str = "block";

/// Folder of a block that `tests/fixtures/blocks.go` wrote.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The files of such a block.
pub fn files(name: &str) -> BTreeMap<String, Vec<u8>> {
    let (mut files, folder) = (BTreeMap::new(), fixture(name));
    for file in ["meta.json", "index", "tombstones"] {
        files.insert(file.to_string(), fs::read(folder.join(file)).expect("it is there"));
    }
    for entry in fs::read_dir(folder.join("chunks")).expect("it is there") {
        let entry = entry.expect("it is there");
        let name = format!("chunks/{}", entry.file_name().to_str().expect("text"));
        files.insert(name, fs::read(entry.path()).expect("it is there"));
    }
    files
}

/// Those files on a disk in memory.
pub fn disk(files: &BTreeMap<String, Vec<u8>>) -> MemoryDisk {
    let disk = MemoryDisk::new(64 << 20);
    disk.create_dir_all(&Path::new(FOLDER).join("chunks")).expect("memory does not fail");
    files.iter().for_each(|(name, content)| disk.set_content(&Path::new(FOLDER).join(name), content));
    disk
}

/// What was read of a block, by series: samples as `blocks.go` prints them.
#[derive(Debug, Default, PartialEq)]
pub struct Read {
    pub series: Vec<(String, Vec<String>)>,
    pub failed: Vec<String>,
    /// Why there is no more.
    pub ended: Option<String>,
}

/// Reads a stretch of a block.
pub fn read(disk: Arc<dyn Disk>, folder: &Path, from: i64, to: i64) -> Result<Read, TsdbError> {
    let block = Block::open(disk.clone(), folder, Meta::read(&*disk, folder)?)?;
    let (mut cursor, mut read) = (block.series(Millis(from), Millis(to), 1 << 10)?, Read::default());
    loop {
        let labels = match cursor.advance() {
            Ok(Next::Series(labels)) => labels,
            Ok(Next::NoLabels) => panic!("there are none such"),
            Ok(Next::End) => return Ok(read),
            Err(error) => {
                read.ended = Some(error.to_string());
                return Ok(read);
            }
        };
        let mut points = Points::default();
        cursor.read(&mut points, |_, error| read.failed.push(error.to_string()));
        assert_eq!(points.refused, 0, "{labels}");
        let name = labels.iter().fold(String::new(), |mut name, (label, value)| {
            let _text = write!(name, " {}", serde_json::json!([label, value]));
            name
        });
        let mut all: Vec<(i64, String)> = Vec::new();
        for sample in &points.samples {
            let bits = if sample.is_stale() { 0x7ff0_0000_0000_0002 } else { sample.value().to_bits() };
            all.push((sample.time().0, format!("{} {bits:x}", sample.time().0)));
        }
        for sample in &points.histograms {
            all.push((sample.time.0, histogram(sample.time.0, sample.histogram.as_deref())));
        }
        all.sort_by_key(|(at, _)| *at);
        if !all.is_empty() {
            read.series.push((name, all.into_iter().map(|(_, line)| line).collect()));
        }
    }
}

fn histogram(at: i64, histogram: Option<&Histogram>) -> String {
    let Some(h) = histogram else { return format!("{at} stale histogram") };
    let gauge = h.hint == faultline_model::histogram::ResetHint::Gauge;
    let [threshold, zero, count, sum] = [h.zero_threshold, h.zero_count, h.count, h.sum].map(f64::to_bits);
    let mut line =
        format!("{at} histogram {} gauge={gauge} zero {threshold:x} {zero:x} count {count:x} sum {sum:x} up", h.schema);
    for (side, word) in [(&h.positive, " down"), (&h.negative, " bounds")] {
        for (index, count) in side.iter() {
            let _text = write!(line, " {index}:{:x}", count.to_bits());
        }
        line.push_str(word);
    }
    for bound in &*h.bounds {
        let _text = write!(line, " {:x}", bound.to_bits());
    }
    line
}

/// What `blocks.go` wrote of a block; every NaN but the stale marker is one.
pub fn expected(name: &str) -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(fixture(&format!("{name}.txt"))).expect("it is there");
    let mut series: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        if line.starts_with(' ') {
            series.push((line.to_string(), Vec::new()));
            continue;
        }
        let (at, rest) = line.split_once(' ').expect("time and value");
        let bits = u64::from_str_radix(rest, 16).ok().filter(|bits| *bits != 0x7ff0_0000_0000_0002);
        let line = match bits.map(f64::from_bits).filter(|value| value.is_nan()) {
            Some(_) => format!("{at} {:x}", faultline_model::float::NAN.to_bits()),
            None => line.to_string(),
        };
        series.last_mut().expect("a series begins").1.push(line);
    }
    series
}
