//! Histograms of one series as bytes: what changes from one to the next. Chunks of the recent store are these.
//!
//! For each histogram, in rising time:
//! - the change of the distance in time, in ms (the first distance is from 0): zigzag, then base 128, lowest group first;
//! - one byte: 0 for a stale marker, 1 for a histogram as a whole, 2 for one with the layout of the histogram before: everything
//!   but its numbers, which are zero count, count, sum, the positive counts and the negative ones;
//! - of a whole one its size (base 128) and its canonical bytes;
//! - of one like the one before, for each number the exclusive or of its bits with those of the number before: where it is not
//!   0, one byte, 16 times the number of its leading zero bytes plus the number of bytes that follow, these without its
//!   trailing zero bytes, highest first; where it is 0, one byte 0, and how many more such follow (base 128).
//!
//! Most buckets rest from one scrape to the next, so that a histogram of a hundred buckets takes some dozens of bytes. One
//! spelling for each list; [`unpack_onto`] refuses all others.
use super::{Buckets, Histogram};
use crate::codec::Canonical;
use crate::float;
use crate::packed::varint;
use crate::sample::HistogramSample;
use crate::time::Millis;
use alloc::sync::Arc;
use alloc::vec::Vec;

const STALE: u8 = 0;
const WHOLE: u8 = 1;
const LIKE: u8 = 2;

/// What the next histogram is told from.
#[derive(Clone, Debug, Default)]
pub struct Packer {
    time: i64,
    distance: i64,
    before: Option<Arc<Histogram>>,
}

impl Packer {
    /// Appends a histogram, later than those before it, to the bytes of those.
    pub fn push(&mut self, sample: &HistogramSample, bytes: &mut Vec<u8>) {
        let step = sample.time.0.wrapping_sub(self.time);
        let change = step.wrapping_sub(self.distance);
        (self.time, self.distance) = (sample.time.0, step);
        put((change << 1 ^ change >> 63) as u64, bytes);
        let Some(histogram) = &sample.histogram else { return bytes.push(STALE) };
        match &self.before {
            Some(before) if same_layout(before, histogram) => {
                bytes.push(LIKE);
                put_numbers(before, histogram, bytes);
            }
            _ => {
                let whole = histogram.to_bytes();
                bytes.push(WHOLE);
                put(whole.len() as u64, bytes);
                bytes.extend_from_slice(&whole);
            }
        }
        self.before = Some(histogram.clone());
    }

    /// Counts, spans and bounds of the histogram that it holds to tell the next from.
    pub fn held(&self) -> usize {
        let side = |side: &Buckets| side.len() + side.spans().len();
        self.before.as_ref().map_or(0, |h| side(&h.positive) + side(&h.negative) + h.bounds.len())
    }
}

/// The histograms, in rising time, as bytes.
pub fn pack(samples: &[HistogramSample]) -> Vec<u8> {
    let (mut bytes, mut packer) = (Vec::new(), Packer::default());
    samples.iter().for_each(|sample| packer.push(sample, &mut bytes));
    bytes
}

/// Appends the histograms of bytes that [`pack`] made, and says whether they are such; where not, what was appended is no
/// sample of anybody's.
///
/// - `most`: how many there may be: a few bytes can stand for a histogram of many buckets.
pub fn unpack_onto(bytes: &[u8], most: usize, samples: &mut Vec<HistogramSample>) -> bool {
    append(bytes, most, samples).is_some()
}

fn append(mut bytes: &[u8], most: usize, samples: &mut Vec<HistogramSample>) -> Option<()> {
    let begun = samples.len();
    let (mut time, mut distance) = (0_i64, 0_i64);
    let mut before: Option<Arc<Histogram>> = None;
    while !bytes.is_empty() {
        let (change, rest) = varint(bytes)?;
        distance = distance.wrapping_add((change >> 1) as i64 ^ -((change & 1) as i64));
        time = time.wrapping_add(distance);
        let (&kind, rest) = rest.split_first()?;
        let histogram = match kind {
            STALE => {
                bytes = rest;
                None
            }
            WHOLE => {
                let (size, rest) = varint(rest)?;
                let (whole, rest) = rest.split_at_checked(usize::try_from(size).ok()?)?;
                bytes = rest;
                let histogram = Histogram::from_bytes(whole).ok()?;
                // It would have been told from the one before.
                Some(histogram).filter(|it| before.as_ref().is_none_or(|before| !same_layout(before, it))).map(Some)?
            }
            LIKE => {
                let (histogram, rest) = like(before.as_deref()?, rest)?;
                bytes = rest;
                Some(histogram)
            }
            _ => return None,
        };
        let histogram = histogram.map(Arc::new);
        before = histogram.clone().or(before);
        let rises = samples[begun..].last().is_none_or(|last| last.time.0 < time);
        if !rises || samples.len() - begun == most {
            return None;
        }
        samples.push(HistogramSample { time: Millis(time), histogram });
    }
    Some(())
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    let bits = |a: &[f64], b: &[f64]| a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()));
    (a.hint, a.schema, a.zero_threshold.to_bits()) == (b.hint, b.schema, b.zero_threshold.to_bits())
        && a.positive.spans() == b.positive.spans()
        && a.negative.spans() == b.negative.spans()
        && (Arc::ptr_eq(&a.bounds, &b.bounds) || bits(&a.bounds, &b.bounds))
}

/// What a layout does not say, in a fixed order.
fn numbers(histogram: &Histogram) -> impl Iterator<Item = f64> + '_ {
    let Histogram { zero_count, count, sum, positive, negative, .. } = histogram;
    [*zero_count, *count, *sum].into_iter().chain(positive.counts().iter().chain(negative.counts()).copied())
}

fn put_numbers(before: &Histogram, histogram: &Histogram, bytes: &mut Vec<u8>) {
    let mut rest = 0_u64;
    let put_rest = |rest: &mut u64, bytes: &mut Vec<u8>| {
        if *rest > 0 {
            bytes.push(0);
            put(*rest - 1, bytes);
        }
        *rest = 0;
    };
    for (before, number) in numbers(before).zip(numbers(histogram)) {
        let other = number.to_bits() ^ before.to_bits();
        if other == 0 {
            rest += 1;
            continue;
        }
        put_rest(&mut rest, bytes);
        let (leading, trailing) = (other.leading_zeros() / 8, other.trailing_zeros() / 8);
        let count = 8 - leading - trailing;
        bytes.push((leading << 4 | count) as u8);
        bytes.extend_from_slice(&(other << (8 * leading)).to_be_bytes()[..count as usize]);
    }
    put_rest(&mut rest, bytes);
}

/// A histogram with the layout of `before`, and the bytes behind it.
fn like<'a>(before: &Histogram, mut bytes: &'a [u8]) -> Option<(Histogram, &'a [u8])> {
    let (mut resting, mut rested) = (0_u64, false);
    let mut next = |before: f64| {
        if resting > 0 {
            resting -= 1;
            return Some(before);
        }
        let (&head, rest) = bytes.split_first()?;
        if head == 0 {
            let (more, rest) = varint(rest)?;
            // Two runs would have been one.
            if core::mem::replace(&mut rested, true) {
                return None;
            }
            (resting, bytes) = (more, rest);
            return Some(before);
        }
        rested = false;
        let (leading, count) = (usize::from(head >> 4), usize::from(head & 15));
        let fits = count >= 1 && leading + count <= 8;
        let part = rest.get(..count).filter(|part| fits && part[0] != 0 && part[count - 1] != 0)?;
        let mut word = [0; 8];
        word[leading..leading + count].copy_from_slice(part);
        bytes = &rest[count..];
        let number = f64::from_bits(before.to_bits() ^ u64::from_be_bytes(word));
        // Other NaNs than ours.
        Some(number).filter(|number| float::canonical(*number).to_bits() == number.to_bits())
    };
    let (zero_count, count, sum) = (next(before.zero_count)?, next(before.count)?, next(before.sum)?);
    let mut side = |before: &Buckets| -> Option<Buckets> {
        let counts = before.counts().iter().map(|count| next(*count)).collect::<Option<Vec<f64>>>()?;
        Buckets::checked(before.spans().to_vec(), counts)
    };
    let (positive, negative) = (side(&before.positive)?, side(&before.negative)?);
    let bounds = before.bounds.clone();
    let (hint, schema, zero_threshold) = (before.hint, before.schema, before.zero_threshold);
    let histogram = Histogram { hint, schema, zero_threshold, zero_count, count, sum, positive, negative, bounds };
    (resting == 0).then_some((histogram, bytes))
}

/// A number in base 128, lowest group first.
fn put(mut left: u64, bytes: &mut Vec<u8>) {
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

#[cfg(test)]
mod tests {
    use super::super::{CUSTOM_SCHEMA, ResetHint};
    use super::*;

    fn at(time: i64, histogram: Histogram) -> HistogramSample {
        HistogramSample { time: Millis(time), histogram: Some(Arc::new(histogram)) }
    }

    fn stale(time: i64) -> HistogramSample {
        HistogramSample { time: Millis(time), histogram: None }
    }

    /// A hundred buckets, of which a few grow from one to the next.
    fn growing(n: i64) -> Histogram {
        let count = |i: i32| 10.0 + (n / (1 + i64::from(i) % 30)) as f64;
        let positive = Buckets::new((0..100).map(|i| (i, count(i))));
        let count = positive.counts().iter().sum();
        Histogram { schema: 3, count, sum: count * 1.25, positive, ..Histogram::default() }
    }

    fn custom(counts: [f64; 3]) -> Histogram {
        let positive = Buckets::new((0..).zip(counts));
        Histogram { schema: CUSTOM_SCHEMA, positive, bounds: [1.0, 2.0].into(), ..Histogram::default() }
    }

    fn all() -> Vec<HistogramSample> {
        let nan = Histogram { sum: float::NAN, zero_count: -0.0, hint: ResetHint::Gauge, ..growing(7) };
        Vec::from([
            at(-5, growing(1)),
            at(1_000, growing(1)),
            at(2_000, growing(9)),
            stale(2_500),
            at(3_000, growing(30)),
            at(4_000, custom([1.0, 2.0, 3.0])),
            at(4_001, custom([1.5, 2.0, 3.0])),
            at(9_000, custom([0.0, 2.0, 3.0])),
            at(i64::MAX, nan),
        ])
    }

    fn unpacked(bytes: &[u8]) -> Option<Vec<HistogramSample>> {
        let mut samples = Vec::new();
        unpack_onto(bytes, 1_000, &mut samples).then_some(samples)
    }

    #[test]
    fn histograms_survive_their_bytes() {
        for count in 0..=all().len() {
            let bytes = pack(&all()[..count]);
            // By their bytes: a NaN is not equal to itself.
            let again = unpacked(&bytes).expect("they were packed");
            assert_eq!((again.to_bytes(), again.len()), (all()[..count].to_vec().to_bytes(), count));
            assert!(!unpack_onto(&bytes, count.wrapping_sub(1), &mut Vec::new()) || count == 0);
        }
        let many: Vec<HistogramSample> = (0..120).map(|n| at(n * 15_000, growing(n))).collect();
        let bytes = pack(&many);
        assert_eq!(unpacked(&bytes).as_deref(), Some(&many[..]));
        assert!(bytes.len() < 120 * 80 + 2_000, "{} bytes", bytes.len());
    }

    /// Each list has one spelling: whatever reads, reads back to the same bytes.
    #[test]
    fn other_spellings_are_refused() {
        let good = pack(&all());
        let mut read = 0;
        for place in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[place / 8] ^= 1 << (place % 8);
            if let Some(samples) = unpacked(&bytes) {
                read += 1;
                assert_eq!(pack(&samples), bytes, "bit {place}");
            }
        }
        assert!(read > 100, "some of them are other lists: {read}");
        for size in 0..good.len() {
            assert!(unpacked(&good[..size]).is_none_or(|samples| pack(&samples) == good[..size]));
        }
        // The same histogram twice as a whole; one like none; a kind that there is not; a time that does not rise; two runs.
        let one = pack(&all()[..1]);
        let twice = [&one[..], &[2], &one[1..]].concat();
        let runs = [&one[..], &[20, LIKE, 0, 50, 0, 51]].concat();
        let whole = [&one[..], &[20, LIKE, 0, 102]].concat();
        assert!(unpacked(&whole).is_some());
        for bad in [&twice[..], &runs, &[2, LIKE, 0, 2], &[2, 3], &[2, STALE, 1, STALE], &[0x80, 0, STALE]] {
            assert!(unpacked(bad).is_none(), "{bad:02x?}");
        }
    }
}
