//! Prometheus remote write 1.0: `prometheus.WriteRequest`.
//!
//! Source: prometheus/prompb `remote.proto` and `types.proto`; "Prometheus Remote-Write 1.0 specification".
use crate::any;
use crate::attributes::Attributes;
use crate::budget::Budget;
use crate::events::PointFlags;
use crate::keys::Part;
use crate::limits;
use crate::otlp::metrics::STALE_NAN;
use crate::otlp::time_works;
use crate::reject::{Reason, Rejects, printable};
use crate::sink::{Sink, Value};
use crate::wire::{Fields, Malformed};
use alloc::format;
use alloc::vec::Vec;
use faultline_model::labels::NAME;
use faultline_model::{LabelsBuilder, Millis};

/// Walks a `WriteRequest`.
pub(crate) fn walk<'a>(plain: &'a [u8], sink: &mut impl Sink<'a>, rejects: &mut Rejects) -> Result<(), Malformed> {
    let (mut fields, mut budget, mut scratch) = (Fields::new(plain), Budget::new(), Vec::new());
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            series(value.bytes()?, sink, rejects, &mut budget, &mut scratch)?;
        }
    }
    Ok(())
}

/// A `TimeSeries`. Its labels are read first, wherever they stand.
fn series<'a>(
    message: &'a [u8],
    sink: &mut impl Sink<'a>,
    rejects: &mut Rejects,
    budget: &mut Budget,
    scratch: &mut Vec<&'a [u8]>,
) -> Result<(), Malformed> {
    let (mut labels, mut samples, mut histograms) = (Attributes::new(message, 1), 0, 0);
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
            return Ok(());
        }
    };
    rejects.add(Reason::NativeHistogram, histograms, detail);
    sink.attributes(&labels);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number != 2 {
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
fn label(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
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
fn check<'a>(
    labels: &Attributes<'a>,
    names: &mut Vec<&'a [u8]>,
) -> Result<(&'a [u8], Result<usize, Reason>), Malformed> {
    let (mut items, mut metric, mut size, mut refused) = (labels.items(), &[][..], 0, None);
    let mut rising = true;
    names.clear();
    while let Some(item) = items.next()? {
        let (name, value) = label(item)?;
        size += item.len();
        if name == NAME.as_bytes() {
            metric = value;
        }
        let fault = if name.is_empty() {
            Some(Reason::BadLabelName)
        } else if name.len() > limits::NAME_SIZE || value.len() > limits::VALUE_SIZE {
            Some(Reason::LabelTooLong)
        } else if !item.is_ascii() && any::utf8(name).and_then(|()| any::utf8(value)).is_err() {
            Some(Reason::BadUtf8)
        } else if names.len() == limits::LABELS {
            Some(Reason::TooManyLabels)
        } else {
            rising &= names.last().is_none_or(|last| *last < name);
            names.push(name);
            None
        };
        refused = refused.or(fault);
    }
    // The specification wants labels sorted; senders that do not sort are taken too, but not those that repeat one.
    if !rising {
        names.sort();
        let twice = names.windows(2).any(|pair| pair[0] == pair[1]);
        refused = refused.or(twice.then_some(Reason::DuplicateLabel));
    }
    if size > limits::ATTRIBUTES_SIZE {
        refused = refused.or(Some(Reason::LabelsTooLarge));
    }
    if metric.is_empty() {
        refused = refused.or(Some(Reason::EmptyName));
    } else if metric.len() > limits::NAME_SIZE {
        refused = refused.or(Some(Reason::NameTooLong));
    }
    Ok((metric, refused.map_or(Ok(size), Err)))
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
