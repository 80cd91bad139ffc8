//! Limits of what is accepted. They belong to the format version: changing one changes what a journal decodes to.

/// Size of a body as received.
pub const BODY_SIZE: usize = 16 << 20;
/// Size of an inflated body.
pub const PLAIN_SIZE: usize = 64 << 20;
/// A body may always inflate to this size, whatever its ratio.
pub const PLAIN_SIZE_FREE: usize = 8 << 20;
/// Beyond [`PLAIN_SIZE_FREE`], how many times its own size a body may inflate to. Telemetry reaches 10 to 100; deflate
/// ends at 1032.
pub const INFLATE_RATIO: usize = 250;
/// Window that a Zstandard frame may ask for (RFC 8878 3.1.1.1.2 recommends 8 MiB).
pub const ZSTD_WINDOW: u64 = 8 << 20;
/// Points that a body may turn into. The usual collector sends 8,192 data points; as histograms of 15 buckets they are
/// 147,000.
pub const POINTS: usize = 1 << 18;
/// Bytes of labels that a body's points may have together, names and `job` counted again for each point.
pub const LABEL_BYTES: usize = 256 << 20;
/// Buckets, spans and bounds of a body's native histograms together.
pub const BUCKETS: usize = 1 << 21;
/// Elements read of a list of buckets, most of which may be empty.
pub const BUCKETS_READ: usize = 1 << 20;
/// Symbols of a remote write 2.0 request.
pub const SYMBOLS: usize = 1 << 20;
/// Exemplars in a body.
pub const EXEMPLARS: usize = 1 << 16;
/// Bytes of labels that a body's exemplars may have together, those of their series counted for each.
pub const EXEMPLAR_BYTES: usize = 64 << 20;
/// Characters of an exemplar's own labels, names and values together (OpenMetrics 1.0, "Exemplars").
pub const EXEMPLAR_CHARS: usize = 128;
/// Metrics of which a body may say help, type and unit.
pub const METADATA: usize = 1 << 16;
/// Size to which a metric's help is cut.
pub const HELP_SIZE: usize = 1 << 10;
/// Log records in a body.
pub const LOGS: usize = 1 << 18;
/// Spans in a body.
pub const SPANS: usize = 1 << 18;
/// Resources in a body.
pub const RESOURCES: usize = 1 << 14;
/// Size of a label's or attribute's name, and of a metric's name, unit included.
pub const NAME_SIZE: usize = 1 << 10;
/// Size of a label's or attribute's value, of a span's name and of a peer's name.
pub const VALUE_SIZE: usize = 16 << 10;
/// Labels of a series.
pub const LABELS: usize = 128;
/// Attributes of an OTLP point: four labels are kept for `__name__`, `job`, `instance` and `le`.
pub const ATTRIBUTES: usize = LABELS - 4;
/// Size of all attributes of a point together, lists and maps as the JSON that they become.
pub const ATTRIBUTES_SIZE: usize = 64 << 10;
/// Depth to which lists and maps in an attribute's value may nest.
pub const DEPTH: usize = 16;
/// Earliest time taken, 1971-01-01: senders that count in the wrong unit, or not at all, land before it.
pub const TIME_MIN: i64 = 31_536_000_000;
/// First time refused, 2200-01-01, in milliseconds.
pub const TIME_END: i64 = 7_258_118_400_000;
/// Size of a reject's detail.
pub const DETAIL_SIZE: usize = 256;
