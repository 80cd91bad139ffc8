//! OTLP requests from plain values. Fields stand in the order of their numbers, as the official encoders write them.
use super::wire::Message;
use crate::events::{SpanKind, SpanStatus};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::EventTime;

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Several values.
    List(Vec<Value>),
    /// Named values.
    Map(Attributes),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

/// Names and values, in the order in which they are sent.
pub type Attributes = Vec<(String, Value)>;

/// Metrics of one resource, under one scope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceMetrics {
    /// Who sends them.
    pub resource: Attributes,
    /// Them.
    pub metrics: Vec<Metric>,
}

/// A metric with its points.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Such as `http.server.request.duration`.
    pub name: String,
    /// UCUM, such as `ms` or `By/s`.
    pub unit: String,
    /// Its points.
    pub data: Data,
}

/// What a metric is.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// A value that comes and goes.
    Gauge(Vec<NumberPoint>),
    /// A sum.
    Sum {
        /// Its points.
        points: Vec<NumberPoint>,
        /// Each point says the change since the one before, not the sum since the start.
        delta: bool,
        /// It never falls.
        monotonic: bool,
    },
    /// Counts in buckets.
    Histogram {
        /// Its points.
        points: Vec<HistogramPoint>,
        /// As in [`Data::Sum`].
        delta: bool,
    },
}

/// A number, or the statement that there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// `as_int`.
    Int(i64),
    /// `as_double`.
    Double(f64),
    /// The flag "no recorded value".
    Gone,
}

/// A point of a gauge or sum.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberPoint {
    /// What tells it from the metric's other points.
    pub attributes: Attributes,
    /// When.
    pub time: EventTime,
    /// Its value.
    pub value: Number,
}

/// A point of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramPoint {
    /// What tells it from the metric's other points.
    pub attributes: Attributes,
    /// When.
    pub time: EventTime,
    /// Number of values.
    pub count: u64,
    /// Their sum; left out where values may be negative.
    pub sum: Option<f64>,
    /// Upper bounds of the buckets but the last, rising.
    pub bounds: Vec<f64>,
    /// Number of values in each bucket, one more than bounds.
    pub counts: Vec<u64>,
}

/// Log records of one resource, under one scope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceLogs {
    /// Who sends them.
    pub resource: Attributes,
    /// Them.
    pub logs: Vec<Log>,
}

/// A log record.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// When it happened; 0 where that is not known.
    pub time: EventTime,
    /// When it was seen.
    pub observed: EventTime,
    /// OTLP's severity number.
    pub severity: u8,
    /// Its text.
    pub body: String,
    /// What else it says.
    pub attributes: Attributes,
    /// The name of the event that it tells of; `""` where it is an ordinary record.
    pub event: String,
}

/// Spans of one resource, under one scope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceSpans {
    /// Who sends them.
    pub resource: Attributes,
    /// Them.
    pub spans: Vec<Span>,
}

/// A span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace id.
    pub trace: u128,
    /// Span id.
    pub id: u64,
    /// The parent's id; 0 for a root.
    pub parent: u64,
    /// `tracestate`.
    pub state: String,
    /// W3C trace flags, 1 where sampled.
    pub flags: u32,
    /// Its name.
    pub name: String,
    /// Its side of a call.
    pub kind: SpanKind,
    /// When it began.
    pub start: EventTime,
    /// When it ended.
    pub end: EventTime,
    /// How it went.
    pub status: SpanStatus,
    /// What else it says.
    pub attributes: Attributes,
}

/// An `ExportMetricsServiceRequest`.
pub fn metrics(resources: &[ResourceMetrics]) -> Vec<u8> {
    request(
        resources,
        |it| &it.resource,
        |it, scope| {
            it.metrics.iter().for_each(|metric| scope.message(2, |m| write_metric(metric, m)));
        },
    )
}

/// An `ExportLogsServiceRequest`.
pub fn logs(resources: &[ResourceLogs]) -> Vec<u8> {
    request(
        resources,
        |it| &it.resource,
        |it, scope| {
            it.logs.iter().for_each(|log| scope.message(2, |m| write_log(log, m)));
        },
    )
}

/// An `ExportTraceServiceRequest`.
pub fn traces(resources: &[ResourceSpans]) -> Vec<u8> {
    request(
        resources,
        |it| &it.resource,
        |it, scope| {
            it.spans.iter().for_each(|span| scope.message(2, |m| write_span(span, m)));
        },
    )
}

/// The shape that the three requests share: resource, one scope, items.
fn request<T>(resources: &[T], attributes: impl Fn(&T) -> &Attributes, items: impl Fn(&T, &mut Message)) -> Vec<u8> {
    let mut out = Message::default();
    for resource in resources {
        out.message(1, |message| {
            message.message(1, |m| write_attributes(1, attributes(resource), m));
            message.message(2, |scope| items(resource, scope));
        });
    }
    out.into_bytes()
}

fn write_attributes(number: u32, attributes: &Attributes, out: &mut Message) {
    for (name, value) in attributes {
        out.message(number, |pair| {
            pair.bytes(1, name.as_bytes());
            pair.message(2, |any| write_value(value, any));
        });
    }
}

fn write_value(value: &Value, out: &mut Message) {
    match value {
        Value::Text(text) => out.some_bytes(1, text.as_bytes()),
        Value::Bool(value) => out.some_varint(2, u64::from(*value)),
        Value::Int(value) => out.some_varint(3, *value as u64),
        Value::Double(value) => out.some_fixed64(4, value.to_bits()),
        Value::Bytes(bytes) => out.some_bytes(7, bytes),
        Value::List(items) => out.message(5, |list| {
            items.iter().for_each(|item| list.message(1, |any| write_value(item, any)));
        }),
        Value::Map(pairs) => out.message(6, |map| write_attributes(1, pairs, map)),
    }
}

fn write_metric(metric: &Metric, out: &mut Message) {
    const TEMPORALITY: [u64; 2] = [2, 1];
    out.bytes(1, metric.name.as_bytes());
    out.bytes(3, metric.unit.as_bytes());
    let numbers = |points: &[NumberPoint], data: &mut Message| {
        points.iter().for_each(|point| data.message(1, |m| write_number(point, m)));
    };
    match &metric.data {
        Data::Gauge(points) => out.message(5, |data| numbers(points, data)),
        Data::Sum { points, delta, monotonic } => out.message(7, |data| {
            numbers(points, data);
            data.varint(2, TEMPORALITY[usize::from(*delta)]);
            data.varint(3, u64::from(*monotonic));
        }),
        Data::Histogram { points, delta } => out.message(9, |data| {
            points.iter().for_each(|point| data.message(1, |m| write_histogram(point, m)));
            data.varint(2, TEMPORALITY[usize::from(*delta)]);
        }),
    }
}

fn write_number(point: &NumberPoint, out: &mut Message) {
    out.fixed64(3, point.time.0 as u64);
    match point.value {
        Number::Double(value) => out.some_fixed64(4, value.to_bits()),
        Number::Int(value) => out.some_fixed64(6, value as u64),
        Number::Gone => {}
    }
    write_attributes(7, &point.attributes, out);
    out.varint(8, u64::from(point.value == Number::Gone));
}

fn write_histogram(point: &HistogramPoint, out: &mut Message) {
    out.fixed64(3, point.time.0 as u64);
    out.fixed64(4, point.count);
    if let Some(sum) = point.sum {
        out.some_fixed64(5, sum.to_bits());
    }
    out.packed_fixed64(6, point.counts.iter().copied());
    out.packed_fixed64(7, point.bounds.iter().map(|bound| bound.to_bits()));
    write_attributes(9, &point.attributes, out);
}

fn write_log(log: &Log, out: &mut Message) {
    out.fixed64(1, log.time.0 as u64);
    out.varint(2, u64::from(log.severity));
    out.message(5, |any| any.some_bytes(1, log.body.as_bytes()));
    write_attributes(6, &log.attributes, out);
    out.fixed64(11, log.observed.0 as u64);
    out.bytes(12, log.event.as_bytes());
}

fn write_span(span: &Span, out: &mut Message) {
    out.bytes(1, &span.trace.to_be_bytes());
    out.bytes(2, &span.id.to_be_bytes());
    out.bytes(3, span.state.as_bytes());
    if span.parent != 0 {
        out.bytes(4, &span.parent.to_be_bytes());
    }
    out.bytes(5, span.name.as_bytes());
    out.varint(6, span.kind as u64);
    out.fixed64(7, span.start.0 as u64);
    out.fixed64(8, span.end.0 as u64);
    write_attributes(9, &span.attributes, out);
    if span.status != SpanStatus::Unset {
        out.message(15, |status| status.varint(3, span.status as u64));
    }
    out.fixed32(16, span.flags);
}
