//! Bodies in, readable lines out.
use bytes::Bytes;
use faultline_formats::{Decoded, PointFlags, decode, label_sets};
use faultline_model::{Clock, Encoding, Format, HashSeed, Kind, Labels, Payload, SourceId, TenantId};

/// The seed of every test.
pub const SEED: HashSeed = HashSeed(0x5eed);

/// Decodes a body as a source would.
pub fn decoded(format: Format, encoding: Encoding, body: impl Into<Bytes>) -> Decoded {
    let kind = Kind::Telemetry { source: SourceId::default(), format, encoding, clock: Clock::Live };
    decode(Payload { tenant: TenantId(0), kind, body: body.into() }, SEED)
}

/// A metrics body as it is.
pub fn metrics(body: impl Into<Bytes>) -> Decoded {
    decoded(Format::OtlpMetrics, Encoding::Identity, body)
}

/// Labels of all points, histograms left out.
pub fn all_labels(decoded: &Decoded) -> Vec<Labels> {
    let places: Vec<u32> = decoded.events.points.iter().map(|point| point.place).collect();
    label_sets(decoded, &places)
}

/// Rejects as `word=count`, in order.
pub fn rejects(decoded: &Decoded) -> String {
    let words: Vec<String> =
        decoded.rejects.iter().map(|reject| format!("{}={}", reject.reason.word(), reject.count)).collect();
    words.join(" ")
}

/// Points as `labels value@time flags`.
pub fn lines(decoded: &Decoded) -> Vec<String> {
    let labels = all_labels(decoded);
    let points = decoded.events.points.iter().zip(labels);
    points
        .map(|(point, labels)| {
            let stale = if point.flags.has(PointFlags::STALE) { " stale" } else { "" };
            let delta = if point.flags.has(PointFlags::DELTA) { " delta" } else { "" };
            format!("{labels} {}@{}{stale}{delta}", point.value, point.time.0)
        })
        .collect()
}
