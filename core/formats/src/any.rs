//! OTLP's attributes: `KeyValue` and `AnyValue`, and the text that Prometheus makes of a value.
//!
//! Source: opentelemetry-proto `common/v1/common.proto`; the text is what `pcommon.Value.AsString` of the collector gives,
//! because that is what Prometheus' OTLP endpoint stores.
use crate::gofloat;
use crate::limits;
use crate::wire::{Fields, Malformed, Wire};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// An attribute as it stands on the wire; neither half is checked to be UTF-8.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    pub key: &'a [u8],
    pub value: Any<'a>,
}

/// An `AnyValue`; what nests is still unread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Any<'a> {
    #[default]
    Empty,
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    List(&'a [u8]),
    Map(&'a [u8]),
    Bytes(&'a [u8]),
}

/// Why a value cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Malformed(Malformed),
    TooDeep,
    BadUtf8,
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Fault {
        Fault::Malformed(malformed)
    }
}

impl<'a> Pair<'a> {
    /// Reads a `KeyValue`.
    #[inline(always)]
    pub fn read(bytes: &'a [u8]) -> Result<Pair<'a>, Malformed> {
        let mut pair = Pair { key: &[], value: Any::Empty };
        let mut fields = Fields::new(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => pair.key = value.bytes()?,
                2 => pair.value = Any::read(value.bytes()?)?,
                _ => {}
            }
        }
        Ok(pair)
    }
}

impl<'a> Any<'a> {
    /// Reads an `AnyValue`.
    #[inline(always)]
    pub fn read(bytes: &'a [u8]) -> Result<Any<'a>, Malformed> {
        let mut any = Any::Empty;
        let mut fields = Fields::new(bytes);
        while let Some((number, value)) = fields.next()? {
            any = match number {
                1 => Any::Text(value.bytes()?),
                2 => Any::Bool(value.varint()? != 0),
                3 => Any::Int(value.varint()? as i64),
                4 => Any::Double(f64::from_bits(value.fixed64()?)),
                5 => Any::List(value.bytes()?),
                6 => Any::Map(value.bytes()?),
                7 => Any::Bytes(value.bytes()?),
                _ => any,
            };
        }
        Ok(any)
    }

    /// The value's bytes where it is text.
    pub fn text(self) -> Option<&'a [u8]> {
        if let Any::Text(text) = self { Some(text) } else { None }
    }

    /// Size on the wire, near enough to hold against a limit.
    pub fn size(self) -> usize {
        match self {
            Any::Text(bytes) | Any::Bytes(bytes) | Any::List(bytes) | Any::Map(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// Size that the text of the value cannot pass: JSON escapes make six characters of one, base64 four of three.
    #[inline(always)]
    pub fn text_size_max(self) -> usize {
        match self {
            Any::Text(text) => text.len(),
            Any::Bytes(bytes) => bytes.len() * 2 + 4,
            Any::List(bytes) | Any::Map(bytes) => bytes.len() * 6,
            // The longest double in this form has 25 characters.
            _ => 32,
        }
    }

    /// Whether [`Any::append`] will work: all text is UTF-8, all of it well formed, nothing too deep.
    pub fn check(self, depth: usize) -> Result<(), Fault> {
        if depth > limits::DEPTH {
            return Err(Fault::TooDeep);
        }
        match self {
            Any::Text(text) => utf8(text),
            Any::List(list) => each(list, |item| Any::read(item)?.check(depth + 1)),
            Any::Map(map) => each(map, |item| {
                let pair = Pair::read(item)?;
                utf8(pair.key)?;
                pair.value.check(depth + 1)
            }),
            _ => Ok(()),
        }
    }

    /// Appends the value's text; the value has passed [`Any::check`].
    pub fn append(self, out: &mut String) {
        match self {
            Any::Text(text) => out.push_str(str(text)),
            Any::Double(value) => gofloat::append_es6(value, out),
            Any::Bytes(bytes) => append_base64(bytes, out),
            Any::Empty => {}
            Any::Bool(_) | Any::Int(_) => {
                let _ = self.append_json(out);
            }
            Any::List(_) | Any::Map(_) => {
                let start = out.len();
                // Go's encoder gives nothing at all where a number has no JSON form.
                if self.append_json(out).is_err() {
                    out.truncate(start);
                }
            }
        }
    }

    fn append_json(self, out: &mut String) -> Result<(), NoJson> {
        match self {
            // Go keeps empty bytes as no slice at all, and prints that as null.
            Any::Empty | Any::Bytes([]) => out.push_str("null"),
            Any::Text(text) => append_json_text(str(text), out),
            Any::Bool(value) => out.push_str(if value { "true" } else { "false" }),
            Any::Int(value) => {
                let _ = write!(out, "{value}");
            }
            Any::Double(value) if !value.is_finite() => return Err(NoJson),
            Any::Double(value) => gofloat::append_es6(value, out),
            Any::Bytes(bytes) => {
                out.push('"');
                append_base64(bytes, out);
                out.push('"');
            }
            Any::List(list) => {
                out.push('[');
                let mut items = Items { fields: Fields::new(list) };
                for (i, item) in items.by_ref().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    Any::read(item).unwrap_or_default().append_json(out)?;
                }
                out.push(']');
            }
            Any::Map(map) => {
                let pairs = Items { fields: Fields::new(map) }.filter_map(|item| Pair::read(item).ok());
                let mut pairs: Vec<Pair<'_>> = pairs.collect();
                // Go prints maps in key order and keeps the last value of a key.
                pairs.sort_by(|a, b| a.key.cmp(b.key));
                out.push('{');
                let mut first = true;
                for (i, pair) in pairs.iter().enumerate() {
                    if pairs.get(i + 1).is_some_and(|next| next.key == pair.key) {
                        continue;
                    }
                    if !core::mem::take(&mut first) {
                        out.push(',');
                    }
                    append_json_text(str(pair.key), out);
                    out.push(':');
                    pair.value.append_json(out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

/// A number without a JSON form: NaN or an infinity.
struct NoJson;

/// Elements of an `ArrayValue` or `KeyValueList` that has been checked.
struct Items<'a> {
    fields: Fields<'a>,
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Ok(Some((number, value))) = self.fields.next() {
            if let (1, Wire::Bytes(bytes)) = (number, value) {
                return Some(bytes);
            }
        }
        None
    }
}

fn each(list: &[u8], mut visit: impl FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut fields = Fields::new(list);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            visit(value.bytes()?)?;
        }
    }
    Ok(())
}

#[inline(always)]
pub(crate) fn utf8(bytes: &[u8]) -> Result<(), Fault> {
    if core::str::from_utf8(bytes).is_ok() { Ok(()) } else { Err(Fault::BadUtf8) }
}

/// Text that has been checked; anything else reads as empty instead of panicking.
pub(crate) fn str(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or("")
}

pub(crate) fn append_json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            // Go escapes these two although JSON does not ask for it: old JavaScript takes them for line ends.
            '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// RFC 4648 section 4, padded.
fn append_base64(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
        for i in 0..4 {
            let sextet = (word >> (18 - 6 * i)) as usize & 63;
            out.push(if i <= chunk.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_follows_rfc_4648_section_10() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut out = String::new();
            append_base64(bytes.as_bytes(), &mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn depth_is_bounded() {
        // An AnyValue (kind list) inside an ArrayValue inside an AnyValue ...
        let mut any: Vec<u8> = [0x10, 0x01].into();
        for depth in 0..28 {
            let fault = Any::read(&any).unwrap().check(0);
            assert_eq!(fault, if depth <= limits::DEPTH { Ok(()) } else { Err(Fault::TooDeep) }, "{depth}");
            let mut list: Vec<u8> = [0x0a, any.len() as u8].into();
            list.extend(&any);
            any = [0x2a, list.len() as u8].into();
            any.extend(list);
        }
    }
}
