//! Prometheus remote write 2.0: `io.prometheus.write.v2.Request`.
//!
//! Source: prompb `io/prometheus/write/v2/types.proto`; "Prometheus Remote-Write 2.0 specification". Start times are passed over.
use super::{Check, refuse, sample, take_exemplar, tell};
use crate::budget::Budget;
use crate::exemplar;
use crate::keys::Part;
use crate::limits;
use crate::metadata::{MetricType, Spelling};
use crate::native;
use crate::otlp::time_works;
use crate::reject::{Reason, Rejects, printable};
use crate::sink::{Sink, text_in};
use crate::wire::{Fields, Malformed, Wire, packed_varint};
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
    let (refs, labels, check) = (Vec::new(), Vec::new(), Check::default());
    let mut scratch = Scratch { refs, labels, check, told: [Row::default(); TOLD] };
    while let Some((number, value)) = fields.next()? {
        if number == 5 {
            series(plain, value.bytes()?, &symbols, sink, rejects, &mut budget, &mut scratch)?;
        }
    }
    Ok(())
}

/// Room kept from one series to the next.
struct Scratch<'a> {
    refs: Vec<u64>,
    labels: Vec<(&'a [u8], &'a [u8])>,
    check: Check<'a>,
    /// What was told of metrics lately, each at a place of its own or in place of another: every series says it again.
    told: [Row; TOLD],
}

/// Metrics of which it is remembered what was told.
const TOLD: usize = 256;

/// What a series says of its metric: where the metric's name stands, and what else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    name: u32,
    kind: u64,
    help: u64,
    unit: u64,
}

impl Row {
    /// Reads a `Metadata`.
    fn read(name: u32, message: &[u8]) -> Result<Row, Malformed> {
        let mut row = Row { name, ..Row::default() };
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => row.kind = value.varint()?,
                3 => row.help = value.varint()?,
                4 => row.unit = value.varint()?,
                _ => {}
            }
        }
        Ok(row)
    }

    fn says_something(&self) -> bool {
        (self.kind, self.help, self.unit) != (0, 0, 0)
    }

    fn place(&self) -> usize {
        (self.name as usize ^ self.help as usize) % TOLD
    }
}

/// What a series says of its metric, unless it was just told. What is wrong with it costs nothing else.
fn metadata<'a>(
    row: Result<Row, Malformed>,
    name: &[u8],
    symbols: &[&'a [u8]],
    sink: &mut impl Sink<'a>,
    rejects: &mut Rejects,
    told: &mut [Row; TOLD],
) {
    let row = match row {
        Ok(row) if !row.says_something() || told[row.place()] == row => return,
        row => row.map_err(|_| Reason::BadMetadata),
    };
    let symbol = |index: u64| {
        let found = usize::try_from(index).ok().and_then(|index| symbols.get(index).copied());
        found.ok_or(Reason::BadMetadata)
    };
    let taken = row.and_then(|row| {
        told[row.place()] = row;
        let spelling = Spelling::Series(MetricType::of_number(row.kind));
        tell(spelling, name, symbol(row.unit)?, symbol(row.help)?, sink)
    });
    if let Err(reason) = taken {
        rejects.add(reason, 1, || format!("metadata of metric \"{}\"", printable(name)));
    }
}

/// A `TimeSeries`. Its labels are read first, wherever they stand.
fn series<'a>(
    plain: &'a [u8],
    message: &'a [u8],
    symbols: &[&'a [u8]],
    sink: &mut impl Sink<'a>,
    rejects: &mut Rejects,
    budget: &mut Budget,
    scratch: &mut Scratch<'a>,
) -> Result<(), Malformed> {
    let Scratch { refs, labels, check, told } = scratch;
    refs.clear();
    labels.clear();
    let (mut items, mut exemplars, mut about) = (0, 0, &[][..]);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            4 => exemplars += 1,
            5 => about = if let Wire::Bytes(message) = value { message } else { about },
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
        refused => {
            rejects.add(refused.err().filter(|_| complete).unwrap_or(Reason::BadSymbol), items, detail);
            refuse(rejects, Reason::BadExemplar, exemplars, name, "its series is refused");
            return Ok(());
        }
    };
    if !about.is_empty() {
        metadata(Row::read(text_in(plain, name).start, about), name, symbols, sink, rejects, told);
    }
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
            4 if sink.wants_exemplars() => {
                if let Wire::Bytes(message) = value
                    && let Err(wrong) = take_exemplar(exemplar::of_remote_write2(message, symbol), size, budget, sink)
                {
                    refuse(rejects, wrong.reason, 1, name, wrong.what);
                }
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(reason) = refused {
            rejects.add(reason, 1, detail);
        }
    }
    Ok(())
}
