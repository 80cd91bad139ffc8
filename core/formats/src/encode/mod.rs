//! The other way: bodies for tests, the simulated estate and benchmarks; answers for senders; alerts for Alertmanager.
mod alertmanager;
mod answers;
mod otlp;
mod remote_write;
pub(crate) mod wire;

pub use alertmanager::{Alert, alerts};
pub use answers::{answer, answer_json, status, status_json};
pub use otlp::{
    Attributes, Data, HistogramPoint, Log, Metric, Number, NumberPoint, ResourceLogs, ResourceMetrics, ResourceSpans,
    Span, Value, logs, metrics, traces,
};
pub use remote_write::{write_request, write_request_with_exemplars, write_request_with_histograms};

extern crate std;

use alloc::vec::Vec;
use faultline_model::Encoding;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::Write;

/// `plain` under a content encoding; gzip at its fastest level, as senders run it.
pub fn compress(plain: &[u8], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Identity => plain.to_vec(),
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(plain).and_then(|()| encoder.finish()).expect("memory takes what it is given")
        }
        Encoding::Zstd => compress_to_vec(plain, CompressionLevel::Fastest),
        Encoding::Snappy => snap::raw::Encoder::new().compress_vec(plain).expect("below Snappy's 4 GiB"),
    }
}
