//! Prometheus remote write 1.0: `prometheus.WriteRequest`.
//!
//! Source: prometheus/prompb `remote.proto` and `types.proto`; "Prometheus Remote-Write 1.0 specification".
pub(crate) mod v2;

use crate::any;
use crate::attributes::Attributes;
use crate::budget::Budget;
use crate::events::PointFlags;
use crate::exemplar::{self, Exemplar, Wrong};
use crate::keys::Part;
use crate::limits;
use crate::metadata::{MetricType, Spelling};
use crate::native;
use crate::otlp::metrics::STALE_NAN;
use crate::otlp::time_works;
use crate::reject::{Reason, Rejects, printable};
use crate::sink::{Sink, Value};
use crate::wire::{Fields, Malformed, Wire};
use alloc::format;
use alloc::vec::Vec;
use faultline_model::labels::NAME;
use faultline_model::{LabelsBuilder, Millis};

/// Walks a `WriteRequest`.
pub(crate) fn walk<'a>(plain: &'a [u8], sink: &mut impl Sink<'a>, rejects: &mut Rejects) -> Result<(), Malformed> {
    let (mut fields, mut budget, mut scratch) = (Fields::new(plain), Budget::new(), Check::default());
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, value) => series(value.bytes()?, sink, rejects, &mut budget, &mut scratch)?,
            (3, Wire::Bytes(message)) => metadata(message, sink, rejects),
            _ => {}
        }
    }
    Ok(())
}

/// A `MetricMetadata`. What is wrong with it costs nothing else.
fn metadata<'a>(message: &'a [u8], sink: &mut impl Sink<'a>, rejects: &mut Rejects) {
    let (mut kind, mut name, mut help, mut unit) = (0, &[][..], &[][..], &[][..]);
    let mut read = || -> Result<(), Malformed> {
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => kind = value.varint()?,
                2 => name = value.bytes()?,
                4 => help = value.bytes()?,
                5 => unit = value.bytes()?,
                _ => {}
            }
        }
        Ok(())
    };
    let read = read().map_err(|_| Reason::BadMetadata);
    let taken = read.and_then(|()| tell(Spelling::Family(MetricType::of_number(kind)), name, unit, help, sink));
    if let Err(reason) = taken {
        rejects.add(reason, 1, || format!("metadata of metric \"{}\"", printable(name)));
    }
}

/// Hands on help, type and unit of a metric.
fn tell<'a>(spelling: Spelling, name: &[u8], unit: &[u8], help: &[u8], sink: &mut impl Sink<'a>) -> Result<(), Reason> {
    let (Ok(name), Ok(unit)) = (core::str::from_utf8(name), core::str::from_utf8(unit)) else {
        return Err(Reason::BadMetadata);
    };
    if name.is_empty() || name.len() + unit.len() > limits::NAME_SIZE {
        return Err(Reason::BadMetadata);
    }
    sink.metadata(spelling, name, unit, help)
}

/// Counts what is wrong with exemplars of a series.
fn refuse(rejects: &mut Rejects, reason: Reason, count: u64, name: &[u8], what: &str) {
    rejects.add(reason, count, || format!("exemplar of metric \"{}\": {what}", printable(name)));
}

/// Takes an exemplar, where there is room, of a series whose labels have `size`.
fn take_exemplar<'a>(
    read: Result<Exemplar, Wrong>,
    size: usize,
    budget: &mut Budget,
    sink: &mut impl Sink<'a>,
) -> Result<(), Wrong> {
    let exemplar = read?;
    budget.take_exemplar(size).map_err(|reason| Wrong { reason, what: "there is no room for more" })?;
    sink.exemplar(Part::Value, exemplar);
    Ok(())
}

/// A `TimeSeries`. Its labels are read first, wherever they stand.
fn series<'a>(
    message: &'a [u8],
    sink: &mut impl Sink<'a>,
    rejects: &mut Rejects,
    budget: &mut Budget,
    scratch: &mut Check<'a>,
) -> Result<(), Malformed> {
    let (mut labels, mut samples, mut histograms, mut exemplars) = (Attributes::new(message, 1), 0, 0, 0);
    let mut fields = Fields::new(message);
    let mut before = message.len();
    while let Some((number, value)) = fields.next()? {
        let after = fields.left().len();
        match number {
            1 => {
                value.bytes()?;
                labels.note(before, after);
            }
            2 => samples += 1,
            3 => exemplars += 1,
            4 => histograms += 1,
            _ => {}
        }
        before = after;
    }
    let (name, checked) = check(&labels, scratch)?;
    let detail = || format!("series of metric \"{}\"", printable(name));
    let size = match checked {
        Ok(size) => size,
        Err(reason) => {
            rejects.add(reason, samples + histograms, detail);
            refuse(rejects, Reason::BadExemplar, exemplars, name, "its series is refused");
            return Ok(());
        }
    };
    sink.attributes(&labels);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 4 {
            let taken = native::read(value.bytes()?)?.and_then(|(time, histogram)| {
                budget.take_histogram(histogram.as_ref(), size)?;
                sink.histogram(time, histogram);
                Ok(())
            });
            if let Err(reason) = taken {
                rejects.add(reason, 1, detail);
            }
        }
        if number != 2 {
            if let (3, Wire::Bytes(message), true) = (number, value, sink.wants_exemplars())
                && let Err(wrong) = take_exemplar(exemplar::of_remote_write(message), size, budget, sink)
            {
                refuse(rejects, wrong.reason, 1, name, wrong.what);
            }
            continue;
        }
        let value = sample(value.bytes()?)?;
        if !time_works(value.time.0) {
            rejects.add(Reason::TimeOutOfRange, 1, detail);
        } else if let Err(reason) = budget.take(1, size) {
            rejects.add(reason, 1, detail);
        } else {
            sink.sample(Part::Value, value);
        }
    }
    Ok(())
}

fn sample(message: &[u8]) -> Result<Value, Malformed> {
    let (mut bits, mut time) = (0, 0);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => bits = value.fixed64()?,
            2 => time = value.varint()? as i64,
            _ => {}
        }
    }
    let flags = if bits == STALE_NAN { PointFlags::STALE } else { PointFlags::NONE };
    Ok(Value { time: Millis(time), value: f64::from_bits(bits), flags })
}

/// A `Label`.
#[inline(always)]
pub(crate) fn label(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut name, mut text) = (&[][..], &[][..]);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => name = value.bytes()?,
            2 => text = value.bytes()?,
            _ => {}
        }
    }
    Ok((name, text))
}

/// The metric's name, and the size of the labels where they can be taken. All of them are read, whatever is wrong with one.
fn check<'a>(labels: &Attributes<'a>, check: &mut Check<'a>) -> Result<(&'a [u8], Result<usize, Reason>), Malformed> {
    let mut items = labels.items();
    check.begin();
    while let Some(item) = items.next()? {
        let (name, value) = label(item)?;
        check.label(name, value, item.len());
    }
    Ok(check.end())
}

/// Looks at the labels of one series after another.
#[derive(Debug, Default)]
struct Check<'a> {
    names: Vec<&'a [u8]>,
    metric: &'a [u8],
    size: usize,
    refused: Option<Reason>,
    falls: bool,
}

impl<'a> Check<'a> {
    fn begin(&mut self) {
        self.names.clear();
        (self.metric, self.size, self.refused, self.falls) = (&[], 0, None, false);
    }

    #[inline(always)]
    fn label(&mut self, name: &'a [u8], value: &'a [u8], size: usize) {
        self.size += size;
        if name == NAME.as_bytes() {
            self.metric = value;
        }
        let fault = if name.is_empty() {
            Some(Reason::BadLabelName)
        } else if name.len() > limits::NAME_SIZE || value.len() > limits::VALUE_SIZE {
            Some(Reason::LabelTooLong)
        } else if !(name.is_ascii() && value.is_ascii()) && any::utf8(name).and_then(|()| any::utf8(value)).is_err() {
            Some(Reason::BadUtf8)
        } else if self.names.len() == limits::LABELS {
            Some(Reason::TooManyLabels)
        } else {
            self.falls |= self.names.last().is_some_and(|last| *last >= name);
            self.names.push(name);
            None
        };
        self.refused = self.refused.or(fault);
    }

    fn end(&mut self) -> (&'a [u8], Result<usize, Reason>) {
        let mut refused = self.refused;
        // The specification wants labels sorted; senders that do not sort are taken too, but not those that repeat one.
        if self.falls {
            self.names.sort();
            let twice = self.names.windows(2).any(|pair| pair[0] == pair[1]);
            refused = refused.or(twice.then_some(Reason::DuplicateLabel));
        }
        if self.size > limits::ATTRIBUTES_SIZE {
            refused = refused.or(Some(Reason::LabelsTooLarge));
        }
        if self.metric.is_empty() {
            refused = refused.or(Some(Reason::EmptyName));
        } else if self.metric.len() > limits::NAME_SIZE {
            refused = refused.or(Some(Reason::NameTooLong));
        }
        (self.metric, refused.map_or(Ok(self.size), Err))
    }
}

/// Sets checked labels.
pub(crate) fn set_labels(labels: &Attributes<'_>, out: &mut LabelsBuilder) {
    let mut items = labels.items();
    while let Ok(Some(item)) = items.next() {
        if let Ok((name, value)) = label(item) {
            out.set(any::str(name), any::str(value));
        }
    }
}
