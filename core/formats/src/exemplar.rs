//! Exemplars: single observations with labels of their own, such as a trace's id, beside the points of their series.
//!
//! They are for readers, and nothing decides by them: one that cannot be taken is counted and costs no point, nor does one that is
//! not well formed make its body so.
//!
//! Source: prompb `types.proto` and `io/prometheus/write/v2/types.proto`; opentelemetry-proto `metrics/v1/metrics.proto`, and
//! `getPromExemplars` in prometheus/storage/remote/otlptranslator/prometheusremotewrite/helper.go, v3.15; what is refused:
//! `validateExemplar` of tsdb/exemplar.go.
use crate::any::Pair;
use crate::attributes::Occurrences;
use crate::limits;
use crate::otlp::{nanos, time_works};
use crate::reject::Reason;
use crate::wire::{Fields, Malformed, packed_varint};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::{Labels, Millis, SeriesKey, float};

/// One observation.
#[derive(Clone, Debug)]
pub struct Exemplar {
    /// When, in the sender's own time.
    pub time: Millis,
    /// What was observed; NaNs are the canonical one.
    pub value: f64,
    /// What tells of it, at most [`limits::EXEMPLAR_CHARS`] characters together.
    pub labels: Labels,
}

impl PartialEq for Exemplar {
    /// Values are compared by their bits: decoding twice gives equal exemplars, NaN or not.
    fn eq(&self, other: &Exemplar) -> bool {
        let bits = |it: &Exemplar| (it.time, it.value.to_bits());
        bits(self) == bits(other) && self.labels == other.labels
    }
}

/// An exemplar of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct ExemplarPoint {
    /// Which series, in this sender's spelling: where it may have native histograms or floats, the key of its floats.
    pub key: SeriesKey,
    /// What was observed.
    pub exemplar: Exemplar,
}

impl ExemplarPoint {
    /// About what it takes in memory, in bytes.
    pub fn size(&self) -> usize {
        size_of::<ExemplarPoint>() + self.exemplar.labels.size()
    }
}

/// Why one is not taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wrong {
    pub reason: Reason,
    pub what: &'static str,
}

type Taken<T> = Result<T, Wrong>;

fn bad<T>(what: &'static str) -> Taken<T> {
    Err(Wrong { reason: Reason::BadExemplar, what })
}

impl From<Malformed> for Wrong {
    fn from(fault: Malformed) -> Wrong {
        Wrong { reason: Reason::BadExemplar, what: fault.what }
    }
}

/// An exemplar's own labels in the making.
#[derive(Default)]
struct Own<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    chars: usize,
}

impl<'a> Own<'a> {
    fn add(&mut self, name: &'a [u8], value: &'a [u8]) -> Taken<()> {
        let (Ok(name), Ok(value)) = (core::str::from_utf8(name), core::str::from_utf8(value)) else {
            return bad("a label is not UTF-8");
        };
        // As in Prometheus, no value is no label, and counts for nothing.
        if value.is_empty() {
            return Ok(());
        }
        self.chars += name.chars().count() + value.chars().count();
        if self.chars > limits::EXEMPLAR_CHARS {
            return Err(Wrong { reason: Reason::ExemplarTooLong, what: "its labels have more than 128 characters" });
        }
        if name.is_empty() {
            return bad("a label has no name");
        }
        self.pairs.push((name, value));
        Ok(())
    }

    fn at(mut self, ms: i64, value: f64) -> Taken<Exemplar> {
        if !time_works(ms) {
            return bad("its time is out of range");
        }
        self.pairs.sort();
        let Some(labels) = Labels::from_sorted(&self.pairs) else { return bad("a label is given twice") };
        Ok(Exemplar { time: Millis(ms), value: float::canonical(value), labels })
    }
}

/// Reads an `Exemplar` of remote write 1.0.
pub(crate) fn of_remote_write(message: &[u8]) -> Taken<Exemplar> {
    let (mut own, mut value, mut time) = (Own::default(), 0.0, 0);
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => {
                let (name, text) = crate::remote_write::label(field.bytes()?)?;
                own.add(name, text)?;
            }
            2 => value = f64::from_bits(field.fixed64()?),
            3 => time = field.varint()? as i64,
            _ => {}
        }
    }
    own.at(time, value)
}

/// Reads an `Exemplar` of remote write 2.0.
pub(crate) fn of_remote_write2<'a>(message: &[u8], symbol: impl Fn(u64) -> Option<&'a [u8]>) -> Taken<Exemplar> {
    let (mut refs, mut value, mut time) = (Vec::new(), 0.0, 0);
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            // A name has a character, and so has a value that counts; of those that do not count there may be some, too.
            1 => packed_varint(field, |index| {
                if refs.len() <= 2 * limits::EXEMPLAR_CHARS {
                    refs.push(index);
                }
            })?,
            2 => value = f64::from_bits(field.fixed64()?),
            3 => time = field.varint()? as i64,
            _ => {}
        }
    }
    let mut own = Own::default();
    for pair in refs.chunks(2) {
        let known = match *pair {
            [name, value] => symbol(name).zip(symbol(value)),
            _ => None,
        };
        let Some((name, value)) = known else { return bad("a label has no symbol") };
        own.add(name, value)?;
    }
    own.at(time, value)
}

/// Reads an `Exemplar` of OTLP: its ids, and its filtered attributes where all of them fit.
pub(crate) fn of_otlp(message: &[u8]) -> Taken<Exemplar> {
    let (mut trace, mut span, mut value, mut time) = (&[][..], &[][..], None, 0);
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            2 => time = field.fixed64()?,
            3 => value = Some(f64::from_bits(field.fixed64()?)),
            4 => span = field.bytes()?,
            5 => trace = field.bytes()?,
            6 => value = Some(field.fixed64()? as i64 as f64),
            _ => {}
        }
    }
    let (mut own, mut room, mut texts) = (Own::default(), [0; 48], Vec::new());
    let (of_trace, of_span) = room.split_at_mut(32);
    for (name, id, text) in [("trace_id", trace, of_trace), ("span_id", span, of_span)] {
        if !id.is_empty() && id.len() * 2 != text.len() {
            return bad("an id has the wrong size");
        }
        if id.iter().any(|byte| *byte != 0) {
            own.add(name.as_bytes(), hex(id, text))?;
        }
    }
    filtered(message, own.chars, &mut texts)?;
    for (key, text) in &texts {
        // The trace's own id goes before an attribute of that name, the first of several before the others.
        if !key.is_empty() && own.pairs.iter().all(|(name, _)| name != key) {
            own.add(key.as_bytes(), text.as_bytes())?;
        }
    }
    let Some(value) = value else { return bad("it has no value") };
    own.at(nanos(time).map_or(0, |time| time / 1_000_000), value)
}

/// Writes bytes as lower-case hexadecimal into room for twice as many.
fn hex<'a>(bytes: &[u8], out: &'a mut [u8]) -> &'a [u8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    out
}

/// Names and texts of the filtered attributes, where all of them fit behind so many characters; else none.
fn filtered<'a>(message: &'a [u8], mut chars: usize, out: &mut Vec<(&'a str, String)>) -> Taken<()> {
    let mut items = Occurrences::new(message, 7);
    while let Some(item) = items.next()? {
        let Pair { key, value } = Pair::read(item)?;
        let Ok(key) = core::str::from_utf8(key) else { return bad("a label is not UTF-8") };
        let mut fits = key.len() <= limits::NAME_SIZE && value.size() <= limits::VALUE_SIZE;
        if fits && value.check(0).is_err() {
            return bad("an attribute is not UTF-8, or nests too deep");
        }
        let mut text = String::new();
        if fits {
            value.append(&mut text);
            chars += key.chars().count() + text.chars().count();
            fits = chars <= limits::EXEMPLAR_CHARS;
        }
        if !fits {
            out.clear();
            return Ok(());
        }
        out.push((key, text));
    }
    Ok(())
}
