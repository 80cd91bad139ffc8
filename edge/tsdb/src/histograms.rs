//! Chunks of native histograms, of whole numbers and of floats, with or without the times at which they began.
//!
//! All histograms of a chunk have the layout that its beginning tells. Source: `histogram.go`, `float_histogram.go`, `histogram_meta.go`,
//! `histogram_st.go` of Prometheus' tsdb/chunkenc.
use crate::bits::{Bits, Xor};
use crate::floats::{STALE_NAN, time_of};
use crate::starts::Starts;
use faultline_model::histogram::{Buckets, CUSTOM_SCHEMA, HistogramError, ResetHint, SCHEMA_MAX, SCHEMA_MIN};
use faultline_model::{Histogram, HistogramSample};
use std::sync::Arc;

/// Finest of the schemas that Prometheus reserves and brings down to [`SCHEMA_MAX`] as it reads.
const SCHEMA_RESERVED_MAX: i64 = 52;

/// How a chunk begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// Number of samples (u16), flags (u8).
    Plain,
    /// Flags (2 bits), number of samples (14 bits), where starts are (u8).
    WithStarts,
}

/// What all histograms of a chunk have in common.
struct Layout {
    hint: ResetHint,
    schema: i64,
    zero_threshold: f64,
    positive: Vec<i32>,
    negative: Vec<i32>,
    bounds: Arc<[f64]>,
}

/// What a chunk's header says: how many samples, whether they are no counters, and where starts are.
struct Begun<'a> {
    count: u16,
    hint: ResetHint,
    starts: Starts,
    bits: Bits<'a>,
}

fn begun(chunk: &[u8], header: Header) -> Option<Begun<'_>> {
    let ([a, b, c], rest) = chunk.split_first_chunk::<3>()?;
    let (count, flags, starts) = match header {
        Header::Plain => (u16::from_be_bytes([*a, *b]), *c, 0),
        Header::WithStarts => (u16::from_be_bytes([*a & 0x3f, *b]), *a, *c),
    };
    // Of counters nothing is known: the chunk before may have gone. Rules then compare, which says the same.
    let hint = if flags >> 6 == 0b11 { ResetHint::Gauge } else { ResetHint::Unknown };
    Some(Begun { count, hint, starts: Starts::of(starts), bits: Bits::new(rest) })
}

impl Layout {
    fn read(bits: &mut Bits<'_>, hint: ResetHint) -> Option<Layout> {
        let zero_threshold = match bits.bits(8)? {
            0 => 0.0,
            255 => bits.float()?,
            // 0.5 times two to the power of (n - 243).
            n => f64::from_bits((n + 1023 - 244) << 52),
        };
        let schema = bits.varbit()?;
        let (positive, negative) = (places(bits)?, places(bits)?);
        let mut bounds = Vec::new();
        if schema == i64::from(CUSTOM_SCHEMA) {
            for _ in 0..bits.unsigned_varbit()? {
                bounds.push(match bits.unsigned_varbit()? {
                    0 => bits.float()?,
                    n => (n - 1) as f64 / 1000.0,
                });
            }
        }
        let known = schema == i64::from(CUSTOM_SCHEMA) || (SCHEMA_MIN.into()..=SCHEMA_RESERVED_MAX).contains(&schema);
        let all = Layout { hint, schema, zero_threshold, positive, negative, bounds: bounds.into() };
        // Each bucket takes a bit at least.
        (known && all.positive.len() + all.negative.len() <= bits.left()).then_some(all)
    }

    /// A histogram; nothing of one that nobody may store.
    fn histogram(&self, numbers: [f64; 3], positive: &[f64], negative: &[f64]) -> Option<Arc<Histogram>> {
        let [count, zero_count, sum] = numbers;
        let side = |places: &[i32], counts: &[f64]| Buckets::new(places.iter().copied().zip(counts.iter().copied()));
        let parts = Histogram {
            hint: self.hint,
            schema: self.schema as i8,
            zero_threshold: self.zero_threshold,
            zero_count,
            count,
            sum,
            positive: side(&self.positive, positive),
            negative: side(&self.negative, negative),
            bounds: self.bounds.clone(),
        };
        let parts = if self.schema > SCHEMA_MAX.into() { parts.coarser(SCHEMA_MAX) } else { parts };
        let histogram = parts.bounded().ok()?.canonical();
        match histogram.validate() {
            // What rules record may be a difference.
            Ok(()) | Err(HistogramError::NegativeCount) => Some(Arc::new(histogram)),
            Err(_) => None,
        }
    }
}

/// Indices of the buckets of one side.
fn places(bits: &mut Bits<'_>) -> Option<Vec<i32>> {
    let (mut all, mut index) = (Vec::new(), 0_i64);
    for i in 0..bits.unsigned_varbit()? {
        let (length, offset) = (bits.unsigned_varbit()?, bits.varbit()?);
        // Each bucket takes a bit at least, so that a few bytes cannot ask for much memory.
        if (i > 0 && offset < 0) || length > bits.left() as u64 || all.len() > bits.left() {
            return None;
        }
        index = index.checked_add(offset)?;
        for _ in 0..length {
            all.push(i32::try_from(index).ok().filter(|index| index.abs() <= Buckets::INDEX_MAX)?);
            index += 1;
        }
    }
    Some(all)
}

/// Where histograms go.
pub struct Sink<'a> {
    pub samples: &'a mut Vec<HistogramSample>,
    /// How many are histograms that nobody may store.
    pub refused: &'a mut u64,
}

impl Sink<'_> {
    fn push(&mut self, time: i64, stale: bool, histogram: impl FnOnce() -> Option<Arc<Histogram>>) -> Option<()> {
        let time = time_of(time)?;
        if stale {
            self.samples.push(HistogramSample { time, histogram: None });
            return Some(());
        }
        match histogram() {
            Some(histogram) => self.samples.push(HistogramSample { time, histogram: Some(histogram) }),
            None => *self.refused += 1,
        }
        Some(())
    }
}

/// A whole number whose distance to the one before changes little.
#[derive(Clone, Copy, Default)]
struct Whole {
    now: i64,
    distance: i64,
}

impl Whole {
    fn next(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.distance = self.distance.wrapping_add(bits.varbit()?);
        self.now = self.now.wrapping_add(self.distance);
        Some(())
    }
}

/// Appends the histograms of a chunk of whole numbers; nothing is told where it is none.
pub fn wholes(chunk: &[u8], header: Header, sink: &mut Sink<'_>) -> Option<()> {
    let Begun { count, hint, starts, mut bits } = begun(chunk, header)?;
    if count == 0 {
        return Some(());
    }
    let layout = Layout::read(&mut bits, hint)?;
    let first = |bits: &mut Bits<'_>| Some(Whole { now: bits.varbit()?, distance: 0 });
    let mut time = first(&mut bits)?;
    let mut counts = [0; 2];
    for count in &mut counts {
        *count = bits.unsigned_varbit()? as i64;
    }
    let mut counts = counts.map(|now| Whole { now, distance: 0 });
    let mut sum = Xor::of(bits.bits(64)?);
    let mut buckets = Vec::new();
    for _ in 0..layout.positive.len() + layout.negative.len() {
        buckets.push(first(&mut bits)?);
    }
    for i in 0..count {
        if i > 0 {
            time.next(&mut bits)?;
            counts[0].next(&mut bits)?;
            counts[1].next(&mut bits)?;
            sum.next(&mut bits)?;
            if sum.bits != STALE_NAN {
                for bucket in &mut buckets {
                    bucket.next(&mut bits)?;
                }
            }
        }
        sink.push(time.now, sum.bits == STALE_NAN, || {
            let numbers = [counts[0].now as u64 as f64, counts[1].now as u64 as f64, sum.value()];
            let (positive, negative) = buckets.split_at(layout.positive.len());
            layout.histogram(numbers, &added(positive), &added(negative))
        })?;
        starts.skip(&mut bits, i)?;
    }
    Some(())
}

/// Each bucket is told as the difference to the one before.
fn added(buckets: &[Whole]) -> Vec<f64> {
    let mut now = 0_i64;
    let each = buckets.iter().map(|bucket| {
        now = now.wrapping_add(bucket.now);
        now as f64
    });
    each.collect()
}

/// Appends the histograms of a chunk of floats; nothing is told where it is none.
pub fn floats(chunk: &[u8], header: Header, sink: &mut Sink<'_>) -> Option<()> {
    let Begun { count, hint, starts, mut bits } = begun(chunk, header)?;
    if count == 0 {
        return Some(());
    }
    let layout = Layout::read(&mut bits, hint)?;
    let mut time = Whole { now: bits.varbit()?, distance: 0 };
    let mut numbers = Vec::new();
    for _ in 0..3 + layout.positive.len() + layout.negative.len() {
        numbers.push(Xor::of(bits.bits(64)?));
    }
    for i in 0..count {
        if i > 0 {
            time.next(&mut bits)?;
            for number in &mut numbers[..3] {
                number.next(&mut bits)?;
            }
            if numbers[2].bits != STALE_NAN {
                for number in &mut numbers[3..] {
                    number.next(&mut bits)?;
                }
            }
        }
        sink.push(time.now, numbers[2].bits == STALE_NAN, || {
            let all: Vec<f64> = numbers.iter().map(Xor::value).collect();
            let (positive, negative) = all[3..].split_at(layout.positive.len());
            layout.histogram([all[0], all[1], all[2]], positive, negative)
        })?;
        starts.skip(&mut bits, i)?;
    }
    Some(())
}
