//! Native histograms as remote write sends them, and how counts that a sender makes up become one.
//!
//! Source: prompb `types.proto` and `io/prometheus/write/v2/types.proto`, whose `Histogram` has the same fields; what is refused:
//! `Validate` of model/histogram, Prometheus 3.15.
use crate::limits;
use crate::otlp::metrics::STALE_NAN;
use crate::otlp::time_works;
use crate::reject::Reason;
use crate::wire::{Fields, Malformed, Wire, packed_fixed64, packed_varint};
use alloc::vec::Vec;
use faultline_model::histogram::{BUCKETS_MAX, Buckets, CUSTOM_SCHEMA, ResetHint, SCHEMA_MAX, SCHEMA_MIN};
use faultline_model::{Histogram, Millis};

/// Finest of the schemas that Prometheus reserves and brings down to [`SCHEMA_MAX`] on receipt.
const SCHEMA_RESERVED_MAX: i64 = 52;

/// A histogram and its time; or why it is refused.
pub(crate) type Taken<T> = Result<T, Reason>;

/// One side as sent.
#[derive(Default)]
struct Side {
    spans: Vec<(i64, u64)>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
    /// More than is read.
    more: bool,
}

/// Reads a remote write `Histogram`; stale where its sum is Prometheus' stale marker.
pub(crate) fn read(message: &[u8]) -> Result<Taken<(Millis, Option<Histogram>)>, Malformed> {
    let (mut positive, mut negative, mut bounds) = (Side::default(), Side::default(), Vec::new());
    let (mut count, mut zero, mut float) = ((0, 0.0), (0, 0.0), false);
    let (mut sum, mut schema, mut zero_threshold, mut hint, mut time) = (0, 0, 0.0, 0, 0);
    let mut more = false;
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => (count.0, float) = (value.varint()?, false),
            2 => (count.1, float) = (f64::from_bits(value.fixed64()?), true),
            3 => sum = value.fixed64()?,
            4 => schema = zigzag(value.varint()?),
            5 => zero_threshold = f64::from_bits(value.fixed64()?),
            6 => zero.0 = value.varint()?,
            7 => zero.1 = f64::from_bits(value.fixed64()?),
            8 => negative.span(value.bytes()?)?,
            9 => negative.deltas(value)?,
            10 => negative.counts(value)?,
            11 => positive.span(value.bytes()?)?,
            12 => positive.deltas(value)?,
            13 => positive.counts(value)?,
            14 => hint = value.varint()?,
            15 => time = value.varint()? as i64,
            16 => packed_fixed64(value, |bits| {
                more |= bounds.len() > BUCKETS_MAX;
                if bounds.len() <= BUCKETS_MAX {
                    bounds.push(f64::from_bits(bits));
                }
            })?,
            _ => {}
        }
    }
    if !time_works(time) {
        return Ok(Err(Reason::TimeOutOfRange));
    }
    if more || positive.more || negative.more {
        return Ok(Err(Reason::TooManyBuckets));
    }
    let (stale, sum) = (sum == STALE_NAN, f64::from_bits(sum));
    let sides = if float {
        positive.floats().and_then(|positive| Ok((positive, negative.floats()?)))
    } else {
        whole(&positive, &negative, count.0, zero.0, sum)
    };
    let (positive, negative) = match sides {
        Ok(sides) => sides,
        Err(reason) => return Ok(Err(reason)),
    };
    let (count, zero_count) = if float { (count.1, zero.1) } else { (count.0 as f64, zero.0 as f64) };
    let hint = match hint {
        1 => ResetHint::Reset,
        3 => ResetHint::Gauge,
        // What a sender says went on is compared nevertheless: a sample may be missing between the two.
        _ => ResetHint::Unknown,
    };
    let parts = Histogram {
        hint,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive,
        negative,
        bounds: bounds.into(),
        schema: 0,
    };
    Ok(checked(parts, schema).map(|histogram| (Millis(time), (!stale).then_some(histogram))))
}

impl Side {
    fn span(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let (mut offset, mut length) = (0, 0);
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => offset = zigzag(value.varint()?),
                2 => length = value.varint()?,
                _ => {}
            }
        }
        self.more |= self.spans.len() >= limits::BUCKETS_READ;
        if !self.more {
            self.spans.push((offset, length));
        }
        Ok(())
    }

    fn deltas(&mut self, value: Wire<'_>) -> Result<(), Malformed> {
        packed_varint(value, |delta| {
            self.more |= self.deltas.len() >= limits::BUCKETS_READ;
            if !self.more {
                self.deltas.push(zigzag(delta));
            }
        })
    }

    fn counts(&mut self, value: Wire<'_>) -> Result<(), Malformed> {
        packed_fixed64(value, |bits| {
            self.more |= self.counts.len() >= limits::BUCKETS_READ;
            if !self.more {
                self.counts.push(f64::from_bits(bits));
            }
        })
    }

    /// The buckets where the counts are floats.
    fn floats(&self) -> Taken<Buckets> {
        // Prometheus takes a count that is no number, too; nothing that is computed of it means anything.
        if !self.deltas.is_empty() || self.counts.iter().any(|count| count.is_nan() || *count < 0.0) {
            return Err(Reason::BadHistogram);
        }
        place(&self.spans, &self.counts, |count| count)
    }

    /// The counts where they are whole numbers, each sent as the difference to the one before.
    fn wholes(&self) -> Taken<Vec<u64>> {
        let mut last = 0_i64;
        let each = self.deltas.iter().map(|delta| {
            last = last.checked_add(*delta).filter(|count| *count >= 0).ok_or(Reason::BadHistogram)?;
            Ok(last as u64)
        });
        if self.counts.is_empty() { each.collect() } else { Err(Reason::BadHistogram) }
    }
}

/// Both sides of a histogram in whole numbers, which must add up.
fn whole(positive: &Side, negative: &Side, count: u64, zero: u64, sum: f64) -> Taken<(Buckets, Buckets)> {
    let (up, down) = (positive.wholes()?, negative.wholes()?);
    if !adds_up(up.iter().chain(&down), zero, count, sum) {
        return Err(Reason::BadHistogram);
    }
    Ok((place(&positive.spans, &up, |n| n as f64)?, place(&negative.spans, &down, |n| n as f64)?))
}

/// Whether buckets hold as many observations as are said to be there. One that is no number is in no bucket, and makes the sum none.
pub(crate) fn adds_up<'a>(counts: impl Iterator<Item = &'a u64>, zero: u64, count: u64, sum: f64) -> bool {
    let all = counts.fold(u128::from(zero), |all, count| all + u128::from(*count));
    if sum.is_nan() { all <= u128::from(count) } else { all == u128::from(count) }
}

/// Counts at the places that spans say: how far behind the one before, how many.
fn place<T: Copy>(spans: &[(i64, u64)], counts: &[T], number: impl Fn(T) -> f64) -> Taken<Buckets> {
    let (mut buckets, mut counts, mut index) = (Buckets::default(), counts.iter(), 0_i64);
    for (i, (offset, length)) in spans.iter().enumerate() {
        if i > 0 && *offset < 0 {
            return Err(Reason::BadHistogram);
        }
        index = index.saturating_add(*offset);
        for _ in 0..*length {
            let Some(&count) = counts.next() else { return Err(Reason::BadHistogram) };
            push(&mut buckets, index, number(count))?;
            index += 1;
        }
    }
    if counts.next().is_some() { Err(Reason::BadHistogram) } else { Ok(buckets) }
}

/// Appends a bucket whose index may be anything.
pub(crate) fn push(buckets: &mut Buckets, index: i64, count: f64) -> Taken<()> {
    let held = i64::from(-Buckets::INDEX_MAX)..=i64::from(Buckets::INDEX_MAX);
    if count != 0.0 && !held.contains(&index) {
        return Err(Reason::BadHistogram);
    }
    // Empty ones are left out, wherever they are.
    buckets.push(index.clamp(*held.start(), *held.end()) as i32, count);
    Ok(())
}

/// The histogram in a schema that is kept, with no more buckets than are kept, where a sender may send it.
///
/// - `schema`: as sent; finer ones than are kept are brought down.
pub(crate) fn checked(parts: Histogram, schema: i64) -> Taken<Histogram> {
    let fine = (i64::from(SCHEMA_MAX) + 1..=SCHEMA_RESERVED_MAX).contains(&schema);
    let known = schema == i64::from(CUSTOM_SCHEMA) || (i64::from(SCHEMA_MIN)..=i64::from(SCHEMA_MAX)).contains(&schema);
    if !fine && !known {
        return Err(Reason::BadSchema);
    }
    let mut histogram = Histogram { schema: schema as i8, ..parts };
    if fine {
        if !histogram.bounds.is_empty() {
            return Err(Reason::BadHistogram);
        }
        histogram = histogram.coarser(SCHEMA_MAX);
    }
    let histogram = histogram.bounded().map_err(|_| Reason::TooManyBuckets)?;
    let no_number = histogram.count.is_nan() || histogram.zero_count.is_nan();
    if no_number || histogram.validate().is_err() { Err(Reason::BadHistogram) } else { Ok(histogram) }
}

/// A signed number as protobuf's `sint32` and `sint64` spell it.
pub(crate) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
