//! What a body says, in the order in which it says it.
use crate::exemplar::ExemplarPoint;
use crate::metadata::Metadata;
use crate::reject::Reject;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use faultline_model::{BodyDigest, EventTime, Histogram, Hlc, Millis, Payload, Position, SeriesKey};

/// A payload and what was made of it. A pure function of the payload and the journal's seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// As received; what the journal keeps.
    pub payload: Payload,
    /// Of the body as received.
    pub digest: BodyDigest,
    /// The inflated body, one of JSON rewritten in protobuf; empty where it cannot be inflated. [`Text`]s point into it.
    pub plain: Bytes,
    /// What it says; empty for control records, replies and ticks.
    pub events: Events,
    /// What of it was not taken, in order of first appearance.
    pub rejects: Vec<Reject>,
}

impl Decoded {
    /// The text at `text`, which is one of this body's.
    pub fn text(&self, text: Text) -> &str {
        crate::any::str(&self.plain[text.start as usize..][..text.size as usize])
    }
}

/// A record of the journal with its decoded form: the unit of atomicity and of ordering.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place.
    pub at: Position,
    /// When the journal's writer took it.
    pub stamp: Hlc,
    /// What it is.
    pub decoded: Decoded,
}

/// The events of a body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// Samples, in the order of the body. A histogram's are its sum, its count and its buckets in rising order; the
    /// `target_info` sample of a resource follows the resource's others.
    pub points: Vec<Point>,
    /// Native histograms, in the order of the body.
    pub histograms: Vec<NativePoint>,
    /// Exemplars, in the order of the body.
    pub exemplars: Vec<ExemplarPoint>,
    /// Where it says what of its metrics beside their points.
    pub metadata: Metadata,
    /// One per `ResourceMetrics`, `ResourceLogs` or `ResourceSpans` whose items can be taken; remote write has none.
    pub resources: Vec<Resource>,
    /// Log records.
    pub logs: Vec<LogEvent>,
    /// Spans.
    pub spans: Vec<SpanEvent>,
}

impl Events {
    /// How many points, log records and spans there are.
    pub fn count(&self) -> u64 {
        (self.points.len() + self.histograms.len() + self.logs.len() + self.spans.len()) as u64
    }
}

/// One sample of one series. `key` is a keyed hash of what names the series in these bytes; labels are built only for
/// keys that the engine has not seen ([`crate::label_sets`]), which is what makes the hot path cheap.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Which series, in this sender's spelling.
    pub key: SeriesKey,
    /// When, in the sender's own time.
    pub time: Millis,
    /// The value; NaNs are the canonical one, 0 where the flags say stale.
    pub value: f64,
    /// Its index among the body's points, histograms included.
    pub place: u32,
    /// What else is known of it.
    pub flags: PointFlags,
}

/// A native histogram of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct NativePoint {
    /// Which series, in this sender's spelling.
    pub key: SeriesKey,
    /// When, in the sender's own time.
    pub time: Millis,
    /// The histogram; nothing where the series ended here.
    pub histogram: Option<Arc<Histogram>>,
    /// Its index among the body's points, floats included.
    pub place: u32,
}

impl NativePoint {
    /// About what it takes in memory, in bytes.
    pub fn size(&self) -> usize {
        let parts = |h: &Histogram| {
            let buckets = [&h.positive, &h.negative].into_iter().map(|side| side.len() + side.spans().len());
            size_of::<Histogram>() + 8 * (buckets.sum::<usize>() + h.bounds.len())
        };
        size_of::<NativePoint>() + self.histogram.as_deref().map_or(0, parts)
    }
}

impl PartialEq for Point {
    /// Values are compared by their bits: decoding twice gives equal points, NaN or not.
    fn eq(&self, other: &Point) -> bool {
        let bits = |point: &Point| (point.key, point.time, point.value.to_bits(), point.place, point.flags);
        bits(self) == bits(other)
    }
}

/// Facts about a point, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PointFlags(u8);

impl PointFlags {
    /// An ordinary value.
    pub const NONE: PointFlags = PointFlags(0);
    /// The series ended here: OTLP's "no recorded value", Prometheus' stale marker.
    pub const STALE: PointFlags = PointFlags(1);
    /// The value is a change since the point before (OTLP's delta temporality), to be accumulated by the engine.
    pub const DELTA: PointFlags = PointFlags(2);

    /// Whether all of `other`'s facts hold.
    pub fn has(self, other: PointFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of facts.
    #[must_use]
    pub fn with(self, other: PointFlags) -> PointFlags {
        PointFlags(self.0 | other.0)
    }
}

/// A stretch of [`Decoded::plain`] that is UTF-8; empty where the sender said nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Offset of its first byte.
    pub start: u32,
    /// Its size in bytes.
    pub size: u32,
}

/// Who the items that name it come from. Attributes that are not text read as empty here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// Keyed hash of all attributes as spelled.
    pub key: u64,
    /// `service.name`.
    pub service: Text,
    /// `service.instance.id`.
    pub instance: Text,
    /// `service.namespace`.
    pub namespace: Text,
    /// `service.version`.
    pub version: Text,
    /// Where it runs: `k8s.node.name`, else `host.name`.
    pub host: Text,
}

/// One log record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// Index into [`Events::resources`].
    pub resource: u32,
    /// When it happened, or when it was observed where that is not known.
    pub time: EventTime,
    /// OTLP's severity number, 1 to 24; 0 where it is unset or unknown.
    pub severity: u8,
    /// Which kind of record it is: keyed hash of its text without what changes; 0 where it has no text.
    pub kind: u64,
    /// The same together with the place in the code that its text names, where it names one; 0 where it has no text.
    pub line: u64,
    /// The name of the event that it tells of; empty where it is an ordinary record.
    pub event: Text,
}

/// One span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpanEvent {
    /// Index into [`Events::resources`].
    pub resource: u32,
    /// Trace id, big-endian; not 0.
    pub trace: u128,
    /// Span id, big-endian; not 0.
    pub id: u64,
    /// The parent's span id; 0 for a root.
    pub parent: u64,
    /// When it began.
    pub start: EventTime,
    /// When it ended; a sender's clock may put that before the start.
    pub end: EventTime,
    /// Its side of a call.
    pub kind: SpanKind,
    /// How it went.
    pub status: SpanStatus,
    /// Its name.
    pub name: Text,
    /// Keyed hash of its name.
    pub name_key: u64,
    /// Whom it calls: the first of [`crate::PEER_ATTRIBUTES`] that it carries.
    pub peer: Text,
    /// How it was sampled.
    pub sampled: Sampling,
}

/// OTLP's `SpanKind`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpanKind {
    /// Unset or unknown.
    #[default]
    Unspecified,
    /// Within one service.
    Internal,
    /// Serves a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends a message.
    Producer,
    /// Receives a message.
    Consumer,
}

/// OTLP's `StatusCode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpanStatus {
    /// Not said: taken as no error.
    #[default]
    Unset,
    /// Said to be right.
    Ok,
    /// Said to be an error.
    Error,
}

/// How a span came to be sent at all.
///
/// Source: OpenTelemetry, "TraceState: Probability Sampling" (`ot=th:`), and W3C Trace Context 3.2.2.5 (trace flags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Rejection threshold, below 2^56: of that many in 2^56 traces nothing was sent. 0 where it is not said.
    pub threshold: u64,
    /// Whether the threshold was said.
    pub said: bool,
    /// The `sampled` trace flag.
    pub flag: bool,
}

impl Sampling {
    /// How many spans this one stands for, at least 1.
    pub fn weight(self) -> f64 {
        const ALL: u64 = 1 << 56;
        // Both are exact in a double or rounded once; the quotient is rounded once more, the same everywhere.
        ALL as f64 / (ALL - self.threshold.min(ALL - 1)) as f64
    }
}
