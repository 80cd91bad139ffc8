//! Remote write 1.0 requests.
use super::wire::Message;
use crate::exemplar::Exemplar;
use crate::metadata::MetricType;
use crate::otlp::metrics::STALE_NAN;
use alloc::vec::Vec;
use faultline_model::histogram::{Buckets, ResetHint};
use faultline_model::{Histogram, HistogramSample, Labels, Millis, Sample};

/// A `WriteRequest`, not yet compressed: senders put it into a Snappy block.
pub fn write_request<'a>(series: impl IntoIterator<Item = (&'a Labels, &'a [Sample])>) -> Vec<u8> {
    write_request_with_histograms(series.into_iter().map(|(labels, samples)| (labels, samples, &[][..])))
}

/// The same of series that have native histograms, too; those are sent as float histograms.
pub fn write_request_with_histograms<'a>(
    series: impl IntoIterator<Item = (&'a Labels, &'a [Sample], &'a [HistogramSample])>,
) -> Vec<u8> {
    let mut out = Message::default();
    for (labels, samples, histograms) in series {
        out.message(1, |message| {
            write_labels(message, labels);
            write_samples(message, samples);
            for sample in histograms {
                message.message(4, |m| histogram(m, sample.time, sample.histogram.as_deref()));
            }
        });
    }
    out.into_bytes()
}

/// The same of series that have exemplars, too, and of metrics with their type, name, help and unit.
pub fn write_request_with_exemplars<'a>(
    series: impl IntoIterator<Item = (&'a Labels, &'a [Sample], &'a [Exemplar])>,
    metadata: &[(MetricType, &str, &str, &str)],
) -> Vec<u8> {
    let mut out = Message::default();
    for (labels, samples, exemplars) in series {
        out.message(1, |message| {
            write_labels(message, labels);
            write_samples(message, samples);
            for exemplar in exemplars {
                message.message(3, |m| {
                    write_labels(m, &exemplar.labels);
                    m.fixed64(2, exemplar.value.to_bits());
                    m.varint(3, exemplar.time.0 as u64);
                });
            }
        });
    }
    for (kind, name, help, unit) in metadata {
        out.message(3, |m| {
            m.varint(1, *kind as u64);
            m.bytes(2, name.as_bytes());
            m.bytes(4, help.as_bytes());
            m.bytes(5, unit.as_bytes());
        });
    }
    out.into_bytes()
}

fn write_labels(message: &mut Message, labels: &Labels) {
    for (name, value) in labels.iter() {
        message.message(1, |label| {
            label.bytes(1, name.as_bytes());
            label.bytes(2, value.as_bytes());
        });
    }
}

fn write_samples(message: &mut Message, samples: &[Sample]) {
    for sample in samples {
        message.message(2, |m| {
            m.fixed64(1, if sample.is_stale() { STALE_NAN } else { sample.value().to_bits() });
            m.varint(2, sample.time().0 as u64);
        });
    }
}

/// `prometheus.Histogram` (`prompb/types.proto` of Prometheus 3.15); without a value it is a stale marker.
fn histogram(m: &mut Message, time: Millis, value: Option<&Histogram>) {
    let none = Histogram::default();
    let h = value.unwrap_or(&none);
    m.some_fixed64(2, h.count.to_bits());
    m.fixed64(3, if value.is_some() { h.sum.to_bits() } else { STALE_NAN });
    m.varint(4, zigzag(h.schema.into()));
    m.fixed64(5, h.zero_threshold.to_bits());
    m.some_fixed64(7, h.zero_count.to_bits());
    for (buckets, spans_at, counts_at) in [(&h.negative, 8, 10), (&h.positive, 11, 13)] {
        spans(m, spans_at, buckets);
        m.packed_fixed64(counts_at, buckets.counts().iter().map(|count| count.to_bits()));
    }
    let hint = match h.hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    };
    m.varint(14, hint);
    m.varint(15, time.0 as u64);
    m.packed_fixed64(16, h.bounds.iter().map(|bound| bound.to_bits()));
}

/// Each span by how far it lies behind the end of the one before, the first by its index.
fn spans(m: &mut Message, number: u32, buckets: &Buckets) {
    let mut end = 0;
    for span in buckets.spans() {
        let start = i64::from(span.start);
        m.message(number, |m| {
            m.varint(1, zigzag(start - end));
            m.varint(2, span.length.into());
        });
        end = start + i64::from(span.length);
    }
}

fn zigzag(x: i64) -> u64 {
    ((x << 1) ^ (x >> 63)) as u64
}
