//! Prometheus remote write 2.0: `io.prometheus.write.v2.Request`.
//!
//! Source: prompb `io/prometheus/write/v2/types.proto`; "Prometheus Remote-Write 2.0 specification". Exemplars, metadata and start
//! times are passed over.
use super::{Check, sample};
use crate::budget::Budget;
use crate::keys::Part;
use crate::limits;
use crate::native;
use crate::otlp::time_works;
use crate::reject::{Reason, Rejects, printable};
use crate::sink::Sink;
use crate::wire::{Fields, Malformed, packed_varint};
use alloc::format;
use alloc::vec::Vec;

/// Walks a `Request`. Its symbols are read first, wherever they stand.
pub(crate) fn walk<'a>(plain: &'a [u8], sink: &mut impl Sink<'a>, rejects: &mut Rejects) -> Result<(), Malformed> {
    let (mut fields, mut symbols) = (Fields::new(plain), Vec::new());
    while let Some((number, value)) = fields.next()? {
        match number {
            4 if symbols.len() == limits::SYMBOLS => {
                return Err(Malformed { what: "there are too many symbols", left: fields.left().len() });
            }
            4 => symbols.push(value.bytes()?),
            // Those of 1.0: a sender that names the wrong message loses nothing silently.
            1..=3 => {
                let what = "this is prometheus.WriteRequest, not io.prometheus.write.v2.Request";
                return Err(Malformed { what, left: fields.left().len() });
            }
            _ => {}
        }
    }
    let (mut fields, mut budget) = (Fields::new(plain), Budget::new());
    let mut scratch = Scratch { refs: Vec::new(), labels: Vec::new(), check: Check::default() };
    while let Some((number, value)) = fields.next()? {
        if number == 5 {
            series(value.bytes()?, &symbols, sink, rejects, &mut budget, &mut scratch)?;
        }
    }
    Ok(())
}

/// Room kept from one series to the next.
struct Scratch<'a> {
    refs: Vec<u64>,
    labels: Vec<(&'a [u8], &'a [u8])>,
    check: Check<'a>,
}

/// A `TimeSeries`. Its labels are read first, wherever they stand.
fn series<'a>(
    message: &'a [u8],
    symbols: &[&'a [u8]],
    sink: &mut impl Sink<'a>,
    rejects: &mut Rejects,
    budget: &mut Budget,
    scratch: &mut Scratch<'a>,
) -> Result<(), Malformed> {
    let Scratch { refs, labels, check } = scratch;
    refs.clear();
    labels.clear();
    let mut items = 0;
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            // One more pair than there may be labels is enough to refuse them.
            1 => packed_varint(value, |index| {
                if refs.len() < 2 * limits::LABELS + 2 {
                    refs.push(index);
                }
            })?,
            2 | 3 => items += 1,
            _ => {}
        }
    }
    let symbol = |index: u64| usize::try_from(index).ok().and_then(|index| symbols.get(index).copied());
    let known = refs.chunks(2).map(|pair| match *pair {
        [name, value] => Some((symbol(name)?, symbol(value)?)),
        _ => None,
    });
    let complete = known.map(|pair| pair.map(|pair| labels.push(pair))).all(|known| known.is_some());
    check.begin();
    labels.iter().for_each(|(name, value)| check.label(name, value, name.len() + value.len()));
    let (name, checked) = check.end();
    let detail = || format!("series of metric \"{}\"", printable(name));
    let size = match checked {
        Ok(size) if complete => size,
        Ok(_) => {
            rejects.add(Reason::BadSymbol, items, detail);
            return Ok(());
        }
        Err(reason) => {
            rejects.add(if complete { reason } else { Reason::BadSymbol }, items, detail);
            return Ok(());
        }
    };
    sink.labels(labels);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        let refused = match number {
            2 => {
                let value = sample(value.bytes()?)?;
                if time_works(value.time.0) {
                    budget.take(1, size).map(|()| sink.sample(Part::Value, value))
                } else {
                    Err(Reason::TimeOutOfRange)
                }
            }
            3 => native::read(value.bytes()?)?.and_then(|(time, histogram)| {
                budget.take_histogram(histogram.as_ref(), size)?;
                sink.histogram(time, histogram);
                Ok(())
            }),
            _ => Ok(()),
        };
        if let Err(reason) = refused {
            rejects.add(reason, 1, detail);
        }
    }
    Ok(())
}
