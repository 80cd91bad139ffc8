//! OTLP metrics: what is common to their kinds; gauges, sums and explicit-bucket histograms, as the samples that Prometheus
//! makes of them.
//!
//! Source: opentelemetry-proto `metrics/v1/metrics.proto`, and for the samples
//! prometheus/storage/remote/otlptranslator/prometheusremotewrite, v3.15.
use super::resource::Origin;
use super::{messages, quoted, resource_of, time_works};
use crate::any;
use crate::attributes::{Attributes, Occurrences};
use crate::budget::Budget;
use crate::events::PointFlags;
use crate::exemplar::{self, Exemplar, Wrong};
use crate::keys::Part;
use crate::limits;
use crate::metadata::Spelling;
use crate::naming::{self, MetricKind};
use crate::reject::{Reason, Rejects};
use crate::sink::{Metric, Sink, Value};
use crate::wire::{Fields, Malformed, Wire, packed_fixed64};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;
use faultline_model::Millis;

/// The bits that Prometheus gives a NaN that means "this series ended".
pub(crate) const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;
const NO_RECORDED_VALUE: u64 = 1;

/// Walks an `ExportMetricsServiceRequest`.
pub(crate) fn walk<'a>(plain: &'a [u8], sink: &mut impl Sink<'a>, rejects: &mut Rejects) -> Result<(), Malformed> {
    let (bounds, counts) = (Vec::new(), Vec::new());
    let budget = Budget::new();
    let mut walk = Walk { sink, rejects, budget, identity_size: 0, name_size: 0, newest: None, bounds, counts };
    let (mut resources, mut told) = (0, BTreeSet::new());
    messages(plain, 1, |message| {
        let bytes = resource_of(message)?;
        let (origin, fault) = Origin::read(bytes)?;
        let fault = fault.or((resources == limits::RESOURCES).then_some(Reason::TooManyResources));
        if fault.is_none() {
            resources += 1;
            walk.sink.resource(&origin);
            walk.identity_size = origin.identity_size();
        }
        walk.newest = None;
        messages(message, 2, |scope| messages(scope, 2, |metric| walk.metric(metric, fault)))?;
        let Some(newest) = walk.newest.filter(|_| origin.has_target_info()) else {
            return Ok(());
        };
        match origin.check()? {
            Err(reason) => walk.rejects.add(Reason::TargetInfo, 1, || {
                format!("target_info of service {}: {}", origin.printable(), reason.word())
            }),
            // A collector sends one resource many times over in a body.
            Ok(_) if !told.insert((bytes, newest)) => {}
            Ok(size) => match walk.budget.take(1, size + walk.identity_size) {
                Ok(()) => walk.sink.target_info(&origin, newest),
                Err(reason) => walk.rejects.add(Reason::TargetInfo, 1, || reason.word().into()),
            },
        }
        Ok(())
    })
}

/// `Err`: the body is not protobuf. `Ok(Err)`: this point cannot be taken.
pub(super) type Refused = Result<Result<(), Reason>, Malformed>;

pub(super) struct Walk<'w, S> {
    pub(super) sink: &'w mut S,
    rejects: &'w mut Rejects,
    pub(super) budget: Budget,
    /// Bytes that the resource at hand adds to each label set.
    pub(super) identity_size: usize,
    /// Bytes that the metric at hand adds to each label set.
    pub(super) name_size: usize,
    /// Time of the newest point of the resource at hand.
    pub(super) newest: Option<Millis>,
    // Buckets of the histogram point at hand, kept to save allocations.
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

/// The kinds of data that a metric can hold, by field number.
#[derive(Clone, Copy, PartialEq)]
enum Data {
    Gauge = 5,
    Sum = 7,
    Histogram = 9,
    ExponentialHistogram = 10,
    Summary = 11,
}

impl<'a, S: Sink<'a>> Walk<'_, S> {
    /// A `Metric`; `fault` is the reason for which its resource's points cannot be taken.
    fn metric(&mut self, message: &'a [u8], fault: Option<Reason>) -> Result<(), Malformed> {
        let (mut name, mut unit, mut help, mut data) = (&[][..], &[][..], &[][..], None);
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            let kind = match number {
                1 => {
                    name = value.bytes()?;
                    continue;
                }
                2 => {
                    help = if let Wire::Bytes(text) = value { text } else { help };
                    continue;
                }
                3 => {
                    unit = value.bytes()?;
                    continue;
                }
                5 => Data::Gauge,
                7 => Data::Sum,
                9 => Data::Histogram,
                10 => Data::ExponentialHistogram,
                11 => Data::Summary,
                _ => continue,
            };
            if data.replace((kind, value.bytes()?)).is_some() {
                return Err(Malformed { what: "a metric has two kinds of data", left: fields.left().len() });
            }
        }
        let Some((data, points)) = data else {
            self.rejects.add(fault.unwrap_or(Reason::UnknownKind), 1, || quoted("metric", name));
            return Ok(());
        };
        let Shape { count, temporality, monotonic } = shape(points)?;
        let refused = match fault.or(refuse_data(data, temporality)) {
            None => refuse_name(name, unit),
            refused => refused,
        };
        if let Some(reason) = refused {
            self.rejects.add(reason, count, || quoted("metric", name));
            return Ok(());
        }
        let kind = match data {
            Data::Sum if monotonic => MetricKind::Counter,
            Data::Sum => MetricKind::Sum,
            Data::Histogram => MetricKind::Histogram,
            Data::ExponentialHistogram => MetricKind::Exponential,
            Data::Summary => MetricKind::Summary,
            _ => MetricKind::Gauge,
        };
        let delta = matches!(data, Data::Sum | Data::Histogram) && temporality == DELTA;
        let metric = Metric { name: any::str(name), unit: any::str(unit), kind, delta };
        if naming_fails(&metric) {
            self.rejects.add(Reason::EmptyName, count, || quoted("metric", name));
            return Ok(());
        }
        self.sink.metric(&metric);
        if let Err(reason) = self.sink.metadata(Spelling::Otlp(kind, delta), metric.name, metric.unit, help) {
            self.rejects.add(reason, 1, || quoted("metadata of metric", name));
        }
        // Units grow to words and parts to `_bucket`; the bound of a bucket, or a quantile, may print as 326 digits.
        self.name_size =
            name.len() + unit.len() + if matches!(data, Data::Histogram | Data::Summary) { 352 } else { 32 };
        let flags = if delta { PointFlags::DELTA } else { PointFlags::NONE };
        messages(points, 1, |point| {
            let refused = match data {
                Data::Histogram => self.histogram(point, flags)?,
                Data::ExponentialHistogram => self.exponential(point)?,
                Data::Summary => self.summary(point)?,
                _ => self.number(point, flags, data)?,
            };
            if let Err(reason) = refused {
                self.rejects.add(reason, 1, || quoted("metric", name));
            }
            Ok(())
        })
    }

    /// A `NumberDataPoint`.
    #[inline(always)]
    fn number(&mut self, message: &'a [u8], mut flags: PointFlags, data: Data) -> Refused {
        let (mut attributes, mut time, mut number) = (Attributes::new(message, 7), 0, None);
        let mut exemplars = false;
        let mut fields = Fields::new(message);
        let mut before = message.len();
        while let Some((field, value)) = fields.next()? {
            let after = fields.left().len();
            match field {
                3 => time = value.fixed64()?,
                4 => number = Some(f64::from_bits(value.fixed64()?)),
                5 => exemplars = true,
                6 => number = Some(value.fixed64()? as i64 as f64),
                7 => {
                    value.bytes()?;
                    attributes.note(before, after);
                }
                8 if value.varint()? & NO_RECORDED_VALUE != 0 => flags = flags.with(PointFlags::STALE),
                _ => {}
            }
            before = after;
        }
        let (time, size) = match named(&attributes, time, self.identity_size + self.name_size)? {
            Ok(named) => named,
            Err(reason) => return Ok(Err(reason)),
        };
        if number.is_some_and(|number| number.to_bits() == STALE_NAN) {
            flags = flags.with(PointFlags::STALE);
        }
        if number.is_none() && !flags.has(PointFlags::STALE) {
            return Ok(Err(Reason::NoValue));
        }
        if let Err(reason) = self.budget.take(1, size) {
            return Ok(Err(reason));
        }
        self.newest = self.newest.max(Some(time));
        self.sink.attributes(&attributes);
        self.sink.sample(Part::Value, Value { time, value: number.unwrap_or(0.0), flags });
        // Of gauges Prometheus takes none.
        if exemplars && data == Data::Sum && !flags.has(PointFlags::STALE) {
            self.exemplars(Occurrences::new(message, 5), size, &[], Part::Value);
        }
        Ok(Ok(()))
    }

    /// The exemplars of a point that was taken.
    ///
    /// - `size`: of the labels of its series.
    /// - `bounds`: of its buckets, rising; an exemplar belongs to the first that holds it, and to none below that of the one before,
    ///   as in Prometheus. One above all of them belongs to `last`.
    #[cold]
    pub(super) fn exemplars(&mut self, mut items: Occurrences<'a>, size: usize, mut bounds: &[f64], last: Part) {
        if !self.sink.wants_exemplars() {
            return;
        }
        loop {
            let read = match items.next() {
                Ok(Some(message)) => exemplar::of_otlp(message),
                // One that is no message; nor is any behind it looked at.
                Err(_) => return self.rejects.add(Reason::BadExemplar, 1, || "exemplar: it is no message".into()),
                Ok(None) => return,
            };
            let taken = read.and_then(|exemplar: Exemplar| {
                let no_room = |reason| Wrong { reason, what: "there is no room for more" };
                self.budget.take_exemplar(size).map_err(no_room)?;
                while bounds.first().is_some_and(|bound| exemplar.value > *bound) {
                    bounds = &bounds[1..];
                }
                self.sink.exemplar(bounds.first().map_or(last, |bound| Part::Bucket(*bound)), exemplar);
                Ok(())
            });
            if let Err(Wrong { reason, what }) = taken {
                self.rejects.add(reason, 1, || format!("exemplar: {what}"));
            }
        }
    }

    /// A `HistogramDataPoint`: its sum if it has one, its count, its buckets summed upwards, and `+Inf`.
    fn histogram(&mut self, message: &'a [u8], mut flags: PointFlags) -> Refused {
        let (mut attributes, mut time, mut count, mut sum) = (Attributes::new(message, 9), 0, 0, None);
        let mut exemplars = false;
        let (bounds, counts) = (&mut self.bounds, &mut self.counts);
        bounds.clear();
        counts.clear();
        let mut fields = Fields::new(message);
        let mut before = message.len();
        while let Some((field, value)) = fields.next()? {
            let after = fields.left().len();
            match field {
                3 => time = value.fixed64()?,
                4 => count = value.fixed64()?,
                5 => sum = Some(f64::from_bits(value.fixed64()?)),
                6 => fill(value, counts, |bits| bits)?,
                7 => fill(value, bounds, f64::from_bits)?,
                8 => exemplars = true,
                9 => {
                    value.bytes()?;
                    attributes.note(before, after);
                }
                10 if value.varint()? & NO_RECORDED_VALUE != 0 => flags = flags.with(PointFlags::STALE),
                _ => {}
            }
            before = after;
        }
        let (time, size) = match named(&attributes, time, self.identity_size + self.name_size)? {
            Ok(named) => named,
            Err(reason) => return Ok(Err(reason)),
        };
        // Some senders spell out the last bound, which the format leaves unsaid; its count is the whole count anyway.
        if bounds.last() == Some(&f64::INFINITY) {
            bounds.pop();
        }
        if bounds.iter().any(|bound| !bound.is_finite()) || bounds.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Ok(Err(Reason::BadBounds));
        }
        bounds.truncate(counts.len());
        let samples = bounds.len() + 2 + usize::from(sum.is_some());
        if let Err(reason) = self.budget.take(samples, size) {
            return Ok(Err(reason));
        }
        self.newest = self.newest.max(Some(time));
        let sink = &mut *self.sink;
        sink.attributes(&attributes);
        if let Some(value) = sum {
            sink.sample(Part::Sum, Value { time, value, flags });
        }
        sink.sample(Part::Count, Value { time, value: count as f64, flags });
        let mut total = 0u64;
        for (bound, count) in bounds.iter().zip(counts) {
            total = total.wrapping_add(*count);
            sink.sample(Part::Bucket(*bound), Value { time, value: total as f64, flags });
        }
        sink.sample(Part::Bucket(f64::INFINITY), Value { time, value: count as f64, flags });
        if exemplars && !flags.has(PointFlags::STALE) {
            let bounds = core::mem::take(&mut self.bounds);
            self.exemplars(Occurrences::new(message, 8), size, &bounds, Part::Bucket(f64::INFINITY));
            self.bounds = bounds;
        }
        Ok(Ok(()))
    }
}

/// What must be known of a metric's data before its points are read: it stands behind them on the wire.
struct Shape {
    count: u64,
    temporality: u64,
    monotonic: bool,
}

fn shape(data: &[u8]) -> Result<Shape, Malformed> {
    let mut shape = Shape { count: 0, temporality: 0, monotonic: false };
    let mut fields = Fields::new(data);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, _) => shape.count += 1,
            (2, Wire::Varint(value)) => shape.temporality = value,
            (3, Wire::Varint(value)) => shape.monotonic = value != 0,
            _ => {}
        }
    }
    Ok(shape)
}

fn refuse_data(data: Data, temporality: u64) -> Option<Reason> {
    match data {
        // What changed is no state that a later one could be compared with; Prometheus refuses it, too.
        Data::ExponentialHistogram if temporality != CUMULATIVE => Some(Reason::BadTemporality),
        Data::Sum | Data::Histogram if !matches!(temporality, DELTA | CUMULATIVE) => Some(Reason::BadTemporality),
        _ => None,
    }
}

fn refuse_name(name: &[u8], unit: &[u8]) -> Option<Reason> {
    if name.len() + unit.len() > limits::NAME_SIZE {
        Some(Reason::NameTooLong)
    } else if any::utf8(name).and_then(|()| any::utf8(unit)).is_err() {
        Some(Reason::BadUtf8)
    } else {
        None
    }
}

fn naming_fails(metric: &Metric<'_>) -> bool {
    // One letter or digit is enough for a name; only without it is it worth building.
    !metric.name.bytes().any(|byte| byte.is_ascii_alphanumeric())
        && naming::metric(metric.name, metric.unit, metric.kind).is_none()
}

/// When a point was taken, and the size of all that names its series, or why it cannot be taken.
///
/// - `others`: size of what names it beside its attributes.
#[inline(always)]
pub(super) fn named(
    attributes: &Attributes<'_>,
    nanos: u64,
    others: usize,
) -> Result<Result<(Millis, usize), Reason>, Malformed> {
    Ok(match (attributes.check()?, millis(nanos)) {
        (Err(reason), _) => Err(reason),
        (Ok(_), None) => Err(Reason::TimeOutOfRange),
        (Ok(size), Some(time)) => Ok((time, size + others)),
    })
}

#[inline(always)]
fn millis(nanos: u64) -> Option<Millis> {
    let ms = (nanos / 1_000_000) as i64;
    time_works(ms).then_some(Millis(ms))
}

/// Appends a list's elements, up to one more than a body may have points.
fn fill<T>(value: Wire<'_>, out: &mut Vec<T>, convert: impl Fn(u64) -> T) -> Result<(), Malformed> {
    packed_fixed64(value, |bits| {
        if out.len() <= limits::POINTS {
            out.push(convert(bits));
        }
    })
}
