//! Blocks of a Prometheus TSDB, written: even samples of numbers, no more than a benchmark needs.
//!
//! Source: `tsdb/docs/format` in Prometheus' repository. That they are right is shown by our reader of them, and by Prometheus itself,
//! whose answers are compared with ours.
use crate::Outcome;
use faultline_model::{Labels, Millis};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

const INDEX_MAGIC: u32 = 0xBAAA_D700;
const CHUNKS_MAGIC: u32 = 0x85BD_40DD;
/// Samples of a chunk.
const CHUNK: usize = 120;
/// A chunk's kind: XOR.
const XOR: u8 = 1;

/// A block that is being written. Its index is made at the end.
pub struct Writer {
    folder: PathBuf,
    name: String,
    span: (Millis, Millis),
    chunks: BufWriter<File>,
    /// Place of the next chunk.
    at: u64,
    series: Vec<(Labels, Vec<Place>)>,
    samples: u64,
}

/// A chunk's first and last time, and its place.
struct Place {
    first: i64,
    last: i64,
    at: u64,
}

impl Writer {
    /// Begins block `number` in a folder of blocks, for samples from `begin` to before `end`.
    pub fn new(blocks: &Path, number: u32, begin: Millis, end: Millis) -> Outcome<Writer> {
        // A ULID: 26 characters, of which the first ten are a time.
        let name = format!("01{number:024}");
        let folder = blocks.join(&name);
        let open = || -> io::Result<BufWriter<File>> {
            fs::create_dir_all(folder.join("chunks"))?;
            let mut chunks = BufWriter::with_capacity(1 << 20, File::create(folder.join("chunks/000001"))?);
            chunks.write_all(&CHUNKS_MAGIC.to_be_bytes())?;
            chunks.write_all(&[1, 0, 0, 0])?;
            Ok(chunks)
        };
        let chunks = open().map_err(|error| format!("cannot write a block in {}: {error}", folder.display()))?;
        Ok(Writer { folder, name, span: (begin, end), chunks, at: 8, series: Vec::new(), samples: 0 })
    }

    /// Adds a series, which must follow the one before in label order: a value each `step_ms` from `first` on.
    pub fn add(&mut self, labels: &Labels, first: Millis, step_ms: i64, values: &[f64]) -> Outcome<()> {
        assert!(self.series.last().is_none_or(|(before, _)| before < labels), "series come in label order");
        let (mut places, mut time) = (Vec::new(), first.0);
        for values in values.chunks(CHUNK) {
            let mut bytes = vec![XOR];
            xor(time, step_ms, values, &mut bytes);
            let mut whole = Vec::with_capacity(bytes.len() + 8);
            put(&mut whole, bytes.len() as u64 - 1);
            whole.extend_from_slice(&bytes);
            whole.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
            let last = time + (values.len() as i64 - 1) * step_ms;
            places.push(Place { first: time, last, at: self.at });
            self.at += whole.len() as u64;
            // A place has 32 bits.
            if self.at > u64::from(u32::MAX) {
                return Err("a block of Prometheus would be beyond 4 GiB: choose fewer series".into());
            }
            self.chunks.write_all(&whole).map_err(|error| self.failed(&error))?;
            time = last + step_ms;
        }
        self.samples += values.len() as u64;
        self.series.push((labels.clone(), places));
        Ok(())
    }

    /// Writes the rest. Returns the bytes of chunks and index.
    pub fn finish(mut self) -> Outcome<u64> {
        self.chunks.flush().map_err(|error| self.failed(&error))?;
        let index = index(&self.series);
        let chunks: usize = self.series.iter().map(|(_, places)| places.len()).sum();
        let meta = serde_json::json!({
            "ulid": self.name, "version": 1, "minTime": self.span.0.0, "maxTime": self.span.1.0,
            "stats": { "numSamples": self.samples, "numSeries": self.series.len(), "numChunks": chunks },
            "compaction": { "level": 1, "sources": [self.name] },
        });
        let write =
            |name: &str, bytes: &[u8]| fs::write(self.folder.join(name), bytes).map_err(|error| self.failed(&error));
        write("index", &index)?;
        write("meta.json", meta.to_string().as_bytes())?;
        Ok(self.at + index.len() as u64)
    }

    fn failed(&self, error: &io::Error) -> String {
        format!("cannot write a block in {}: {error}", self.folder.display())
    }
}

/// The index of series in label order, version 2.
fn index(series: &[(Labels, Vec<Place>)]) -> Vec<u8> {
    let mut out = INDEX_MAGIC.to_be_bytes().to_vec();
    out.push(2);
    let pairs = || series.iter().flat_map(|(labels, _)| labels.iter());
    let symbols: BTreeSet<&str> = pairs().flat_map(|(name, value)| [name, value]).collect();
    let symbols: BTreeMap<&str, u64> = symbols.into_iter().zip(0..).collect();
    let symbols_at = out.len() as u64;
    let mut body = (symbols.len() as u32).to_be_bytes().to_vec();
    symbols.keys().for_each(|symbol| put_text(&mut body, symbol));
    frame(&mut out, &body);

    let series_at = out.len() as u64;
    // All first, as the pair of nothing.
    let mut postings: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for (labels, places) in series {
        pad(&mut out, 16);
        let reference = (out.len() / 16) as u32;
        body.clear();
        put(&mut body, labels.iter().count() as u64);
        postings.entry(("", "")).or_default().push(reference);
        for (name, value) in labels.iter() {
            put(&mut body, symbols[name]);
            put(&mut body, symbols[value]);
            postings.entry((name, value)).or_default().push(reference);
        }
        put(&mut body, places.len() as u64);
        let mut before: Option<&Place> = None;
        for place in places {
            match before {
                None => put_signed(&mut body, place.first),
                Some(before) => put(&mut body, (place.first - before.last) as u64),
            }
            put(&mut body, (place.last - place.first) as u64);
            match before {
                None => put(&mut body, place.at),
                Some(before) => put_signed(&mut body, place.at as i64 - before.at as i64),
            }
            before = Some(place);
        }
        put(&mut out, body.len() as u64);
        out.extend_from_slice(&body);
        out.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    }

    let postings_at = out.len() as u64;
    let mut table = (postings.len() as u32).to_be_bytes().to_vec();
    for ((name, value), references) in &postings {
        pad(&mut out, 4);
        put(&mut table, 2);
        put_text(&mut table, name);
        put_text(&mut table, value);
        put(&mut table, out.len() as u64);
        body.clear();
        body.extend_from_slice(&(references.len() as u32).to_be_bytes());
        references.iter().for_each(|reference| body.extend_from_slice(&reference.to_be_bytes()));
        frame(&mut out, &body);
    }
    let table_at = out.len() as u64;
    frame(&mut out, &table);
    // Indices of labels, and the table of them, are no longer written.
    let contents: Vec<u8> = [symbols_at, series_at, postings_at, table_at, postings_at, table_at]
        .iter()
        .flat_map(|at| at.to_be_bytes())
        .collect();
    out.extend_from_slice(&contents);
    out.extend_from_slice(&crc32c::crc32c(&contents).to_be_bytes());
    out
}

/// A part of the index between its size and its check sum.
fn frame(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&crc32c::crc32c(body).to_be_bytes());
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, ((number << 1) ^ (number >> 63)) as u64);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// The content of a chunk: values each `step_ms` from `first` on.
fn xor(first: i64, step_ms: i64, values: &[f64], out: &mut Vec<u8>) {
    out.extend_from_slice(&(values.len() as u16).to_be_bytes());
    let (mut bits, mut before) = (Bits::default(), 0_u64);
    // Zeros before and behind the bits that were told last, none so far.
    let mut told: Option<(u32, u32)> = None;
    for (number, value) in values.iter().enumerate() {
        let value = value.to_bits();
        if number == 0 {
            put_signed(out, first);
            out.extend_from_slice(&value.to_be_bytes());
            before = value;
            continue;
        }
        if number == 1 {
            put(out, step_ms as u64);
        } else {
            // The distance is that before.
            bits.put(0, 1, out);
        }
        let change = value ^ before;
        before = value;
        if change == 0 {
            bits.put(0, 1, out);
            continue;
        }
        let (lead, trail) = (change.leading_zeros().min(31), change.trailing_zeros());
        let (lead, trail) = match told {
            Some((old_lead, old_trail)) if lead >= old_lead && trail >= old_trail => {
                bits.put(0b10, 2, out);
                (old_lead, old_trail)
            }
            _ => {
                let size = 64 - lead - trail;
                bits.put(0b11, 2, out);
                bits.put(u64::from(lead), 5, out);
                bits.put(u64::from(size & 63), 6, out);
                told = Some((lead, trail));
                (lead, trail)
            }
        };
        bits.put(change >> trail, 64 - lead - trail, out);
    }
}

/// How many bits of the last byte are free.
#[derive(Default)]
struct Bits {
    free: u32,
}

impl Bits {
    /// Appends the lowest `count` bits of a number, the highest of them first.
    fn put(&mut self, number: u64, mut count: u32, out: &mut Vec<u8>) {
        while count > 0 {
            if self.free == 0 {
                out.push(0);
                self.free = 8;
            }
            let taken = count.min(self.free);
            let part = number >> (count - taken) & ((1 << taken) - 1);
            *out.last_mut().expect("it has a byte") |= (part << (self.free - taken)) as u8;
            (count, self.free) = (count - taken, self.free - taken);
        }
    }
}
