//! Exponential histograms and summaries, as the samples that Prometheus makes of them.
//!
//! Source: opentelemetry-proto `metrics/v1/metrics.proto`; `exponentialToNativeHistogram` and `addSummaryDataPoints` in
//! prometheus/storage/remote/otlptranslator/prometheusremotewrite, v3.15.
use super::metrics::{Refused, Walk, named};
use crate::attributes::{Attributes, Occurrences};
use crate::events::PointFlags;
use crate::keys::Part;
use crate::limits;
use crate::native::{adds_up, checked, push, zigzag};
use crate::reject::Reason;
use crate::sink::{Sink, Value};
use crate::wire::{Fields, Malformed, packed_varint};
use alloc::vec::Vec;
use faultline_model::Histogram;
use faultline_model::histogram::{Buckets, SCHEMA_MAX, SCHEMA_MIN};

/// How far the zero bucket reaches; what the sender says of it is not looked at, as in Prometheus.
const ZERO_THRESHOLD: f64 = 1e-128;
/// The flag "no recorded value".
const GONE: u64 = 1;

/// One side's buckets: without gaps, the first at `offset`.
#[derive(Default)]
struct Dense {
    offset: i64,
    counts: Vec<u64>,
    more: bool,
}

impl Dense {
    fn read(message: &[u8]) -> Result<Dense, Malformed> {
        let mut side = Dense::default();
        let mut fields = Fields::new(message);
        while let Some((field, value)) = fields.next()? {
            match field {
                // Of 32 bits, as protobuf reads it.
                1 => side.offset = i64::from(zigzag(value.varint()? & u64::from(u32::MAX)) as i32),
                2 => packed_varint(value, |count| {
                    side.more |= side.counts.len() >= limits::BUCKETS_READ;
                    if !side.more {
                        side.counts.push(count);
                    }
                })?,
                _ => {}
            }
        }
        Ok(side)
    }

    /// The buckets, `2^down` of them merged into one. Bucket 0 of OTLP begins at 1, that of Prometheus ends there.
    fn buckets(&self, down: u32) -> Result<Buckets, Reason> {
        let mut buckets = Buckets::default();
        let mut open: Option<(i64, u64)> = None;
        for (i, &count) in (0..).zip(&self.counts) {
            let index = ((self.offset + i) >> down.min(63)) + 1;
            match &mut open {
                Some((at, sum)) if *at == index => *sum = sum.checked_add(count).ok_or(Reason::BadHistogram)?,
                _ => {
                    if let Some((at, sum)) = open.replace((index, count)) {
                        push(&mut buckets, at, sum as f64)?;
                    }
                }
            }
        }
        if let Some((at, sum)) = open {
            push(&mut buckets, at, sum as f64)?;
        }
        Ok(buckets)
    }
}

impl<'a, S: Sink<'a>> Walk<'_, S> {
    /// An `ExponentialHistogramDataPoint`: a native histogram.
    pub(super) fn exponential(&mut self, message: &'a [u8]) -> Refused {
        let (mut attributes, mut time, mut count, mut sum) = (Attributes::new(message, 1), 0, 0, 0.0);
        let (mut scale, mut zero, mut gone) = (0, 0, false);
        let mut exemplars = false;
        let (mut positive, mut negative) = (Dense::default(), Dense::default());
        let mut fields = Fields::new(message);
        let mut before = message.len();
        while let Some((field, value)) = fields.next()? {
            let after = fields.left().len();
            match field {
                1 => {
                    value.bytes()?;
                    attributes.note(before, after);
                }
                3 => time = value.fixed64()?,
                4 => count = value.fixed64()?,
                5 => sum = f64::from_bits(value.fixed64()?),
                6 => scale = i64::from(zigzag(value.varint()? & u64::from(u32::MAX)) as i32),
                7 => zero = value.fixed64()?,
                8 => positive = Dense::read(value.bytes()?)?,
                9 => negative = Dense::read(value.bytes()?)?,
                10 => gone = value.varint()? & GONE != 0,
                11 => exemplars = true,
                _ => {}
            }
            before = after;
        }
        let (time, size) = match named(&attributes, time, self.identity_size + self.name_size)? {
            Ok(named) => named,
            Err(reason) => return Ok(Err(reason)),
        };
        let histogram = if gone {
            None
        } else {
            match native([positive, negative], scale, count, zero, sum) {
                Ok(histogram) => Some(histogram),
                Err(reason) => return Ok(Err(reason)),
            }
        };
        if let Err(reason) = self.budget.take_histogram(histogram.as_ref(), size) {
            return Ok(Err(reason));
        }
        self.newest = self.newest.max(Some(time));
        self.sink.attributes(&attributes);
        self.sink.histogram(time, histogram);
        if exemplars && !gone {
            self.exemplars(Occurrences::new(message, 11), size, &[], Part::Native);
        }
        Ok(Ok(()))
    }

    /// A `SummaryDataPoint`: its sum, its count, its quantiles.
    pub(super) fn summary(&mut self, message: &'a [u8]) -> Refused {
        let (mut attributes, mut time, mut count, mut sum) = (Attributes::new(message, 7), 0, 0, 0.0);
        let (mut flags, mut quantiles, mut number) = (PointFlags::NONE, Vec::new(), 0);
        let mut fields = Fields::new(message);
        let mut before = message.len();
        while let Some((field, value)) = fields.next()? {
            let after = fields.left().len();
            match field {
                3 => time = value.fixed64()?,
                4 => count = value.fixed64()?,
                5 => sum = f64::from_bits(value.fixed64()?),
                6 => {
                    let quantile = quantile(value.bytes()?)?;
                    number += 1;
                    if number <= limits::POINTS {
                        quantiles.push(quantile);
                    }
                }
                7 => {
                    value.bytes()?;
                    attributes.note(before, after);
                }
                8 if value.varint()? & GONE != 0 => flags = PointFlags::STALE,
                _ => {}
            }
            before = after;
        }
        let (time, size) = match named(&attributes, time, self.identity_size + self.name_size)? {
            Ok(named) => named,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Err(reason) = self.budget.take(number + 2, size) {
            return Ok(Err(reason));
        }
        self.newest = self.newest.max(Some(time));
        self.sink.attributes(&attributes);
        self.sink.sample(Part::Sum, Value { time, value: sum, flags });
        self.sink.sample(Part::Count, Value { time, value: count as f64, flags });
        for (quantile, value) in quantiles {
            self.sink.sample(Part::Quantile(quantile), Value { time, value, flags });
        }
        Ok(Ok(()))
    }
}

/// A `ValueAtQuantile`.
fn quantile(message: &[u8]) -> Result<(f64, f64), Malformed> {
    let mut pair = (0.0, 0.0);
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => pair.0 = f64::from_bits(value.fixed64()?),
            2 => pair.1 = f64::from_bits(value.fixed64()?),
            _ => {}
        }
    }
    Ok(pair)
}

fn native(sides: [Dense; 2], scale: i64, count: u64, zero: u64, sum: f64) -> Result<Histogram, Reason> {
    if scale < i64::from(SCHEMA_MIN) {
        return Err(Reason::BadSchema);
    }
    if sides.iter().any(|side| side.more) {
        return Err(Reason::TooManyBuckets);
    }
    if !adds_up(sides.iter().flat_map(|side| &side.counts), zero, count, sum) {
        return Err(Reason::BadHistogram);
    }
    let schema = scale.min(i64::from(SCHEMA_MAX));
    // A scale has 32 bits.
    let [positive, negative] = sides.map(|side| side.buckets((scale - schema) as u32));
    let parts = Histogram {
        zero_threshold: ZERO_THRESHOLD,
        zero_count: zero as f64,
        count: count as f64,
        sum,
        positive: positive?,
        negative: negative?,
        ..Histogram::default()
    };
    checked(parts, schema)
}
