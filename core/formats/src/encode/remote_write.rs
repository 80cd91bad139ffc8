//! Remote write 1.0 requests.
use super::wire::Message;
use crate::otlp::metrics::STALE_NAN;
use alloc::vec::Vec;
use faultline_model::{Labels, Sample};

/// A `WriteRequest`, not yet compressed: senders put it into a Snappy block.
pub fn write_request<'a>(series: impl IntoIterator<Item = (&'a Labels, &'a [Sample])>) -> Vec<u8> {
    let mut out = Message::default();
    for (labels, samples) in series {
        out.message(1, |message| {
            for (name, value) in labels.iter() {
                message.message(1, |label| {
                    label.bytes(1, name.as_bytes());
                    label.bytes(2, value.as_bytes());
                });
            }
            for sample in samples {
                message.message(2, |m| {
                    m.fixed64(1, if sample.is_stale() { STALE_NAN } else { sample.value().to_bits() });
                    m.varint(2, sample.time().0 as u64);
                });
            }
        });
    }
    out.into_bytes()
}
