//! OTLP as JSON, rewritten as the protobuf message that says the same: one walk then reads both.
//!
//! Source: OpenTelemetry protocol specification, "JSON Protobuf Encoding": names in lower camel case, 64-bit numbers as text or numbers,
//! trace and span ids in hexadecimal, enumerations as numbers, unknown members passed over. Fields come in the order of their
//! numbers and are left out at their default, as the official encoders write them: so keys of series are the same, too.
use crate::encode::wire::Message;
use crate::limits;
use crate::wire::Malformed;
use alloc::string::String;
use alloc::vec::Vec;

/// Depth to which JSON may nest: a list in an attribute takes three levels for each of its own.
const DEPTH: usize = 128;

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Base64,
    Hex,
    Bool,
    Unsigned,
    Signed,
    Zigzag,
    Fixed64,
    SignedFixed64,
    Fixed32,
    Double,
    Message(&'static [Field]),
}

/// A field of a message: its name in JSON, number, kind, whether it is there at its default, too, and whether it is a list.
struct Field(&'static str, u32, Kind, Presence);

#[derive(Clone, Copy, PartialEq)]
enum Presence {
    /// Left out at its default.
    Plain,
    /// There or not.
    Said,
    /// Any number of them.
    List,
    /// For readers alone, and left out at its default: what does not read is passed over.
    Aside,
    /// Any number of them, for readers alone: one that does not read becomes an empty one.
    Asides,
}

use Kind::{Base64, Bool, Double, Fixed32, Fixed64, Hex, Signed, SignedFixed64, Text, Unsigned, Zigzag};
use Presence::{Aside, Asides, List, Plain, Said};

static METRICS: [Field; 1] = [Field("resourceMetrics", 1, Kind::Message(&RESOURCE_METRICS), List)];
static LOGS: [Field; 1] = [Field("resourceLogs", 1, Kind::Message(&RESOURCE_LOGS), List)];
static TRACES: [Field; 1] = [Field("resourceSpans", 1, Kind::Message(&RESOURCE_SPANS), List)];
static RESOURCE_METRICS: [Field; 2] = [
    Field("resource", 1, Kind::Message(&RESOURCE), Said),
    Field("scopeMetrics", 2, Kind::Message(&SCOPE_METRICS), List),
];
static RESOURCE_LOGS: [Field; 2] =
    [Field("resource", 1, Kind::Message(&RESOURCE), Said), Field("scopeLogs", 2, Kind::Message(&SCOPE_LOGS), List)];
static RESOURCE_SPANS: [Field; 2] =
    [Field("resource", 1, Kind::Message(&RESOURCE), Said), Field("scopeSpans", 2, Kind::Message(&SCOPE_SPANS), List)];
static SCOPE_METRICS: [Field; 1] = [Field("metrics", 2, Kind::Message(&METRIC), List)];
static SCOPE_LOGS: [Field; 1] = [Field("logRecords", 2, Kind::Message(&LOG), List)];
static SCOPE_SPANS: [Field; 1] = [Field("spans", 2, Kind::Message(&SPAN), List)];
static RESOURCE: [Field; 1] = [Field("attributes", 1, Kind::Message(&PAIR), List)];
static PAIR: [Field; 2] = [Field("key", 1, Text, Plain), Field("value", 2, Kind::Message(&ANY), Said)];
static ANY: [Field; 7] = [
    Field("stringValue", 1, Text, Said),
    Field("boolValue", 2, Bool, Said),
    Field("intValue", 3, Signed, Said),
    Field("doubleValue", 4, Double, Said),
    Field("arrayValue", 5, Kind::Message(&VALUES), Said),
    Field("kvlistValue", 6, Kind::Message(&PAIRS), Said),
    Field("bytesValue", 7, Base64, Said),
];
static VALUES: [Field; 1] = [Field("values", 1, Kind::Message(&ANY), List)];
static PAIRS: [Field; 1] = [Field("values", 1, Kind::Message(&PAIR), List)];
static METRIC: [Field; 8] = [
    Field("name", 1, Text, Plain),
    Field("description", 2, Text, Aside),
    Field("unit", 3, Text, Plain),
    Field("gauge", 5, Kind::Message(&SUM), Said),
    Field("sum", 7, Kind::Message(&SUM), Said),
    Field("histogram", 9, Kind::Message(&HISTOGRAM), Said),
    Field("exponentialHistogram", 10, Kind::Message(&EXPONENTIAL), Said),
    Field("summary", 11, Kind::Message(&SUMMARY), Said),
];
static SUM: [Field; 3] = [
    Field("dataPoints", 1, Kind::Message(&NUMBER), List),
    Field("aggregationTemporality", 2, Unsigned, Plain),
    Field("isMonotonic", 3, Bool, Plain),
];
static HISTOGRAM: [Field; 2] = [
    Field("dataPoints", 1, Kind::Message(&HISTOGRAM_POINT), List),
    Field("aggregationTemporality", 2, Unsigned, Plain),
];
static EXPONENTIAL: [Field; 2] = [
    Field("dataPoints", 1, Kind::Message(&EXPONENTIAL_POINT), List),
    Field("aggregationTemporality", 2, Unsigned, Plain),
];
static SUMMARY: [Field; 1] = [Field("dataPoints", 1, Kind::Message(&SUMMARY_POINT), List)];
static NUMBER: [Field; 6] = [
    Field("timeUnixNano", 3, Fixed64, Plain),
    Field("asDouble", 4, Double, Said),
    Field("exemplars", 5, Kind::Message(&EXEMPLAR), Asides),
    Field("asInt", 6, SignedFixed64, Said),
    Field("attributes", 7, Kind::Message(&PAIR), List),
    Field("flags", 8, Unsigned, Plain),
];
static HISTOGRAM_POINT: [Field; 8] = [
    Field("timeUnixNano", 3, Fixed64, Plain),
    Field("count", 4, Fixed64, Plain),
    Field("sum", 5, Double, Said),
    Field("bucketCounts", 6, Fixed64, List),
    Field("explicitBounds", 7, Double, List),
    Field("exemplars", 8, Kind::Message(&EXEMPLAR), Asides),
    Field("attributes", 9, Kind::Message(&PAIR), List),
    Field("flags", 10, Unsigned, Plain),
];
static EXPONENTIAL_POINT: [Field; 10] = [
    Field("attributes", 1, Kind::Message(&PAIR), List),
    Field("timeUnixNano", 3, Fixed64, Plain),
    Field("count", 4, Fixed64, Plain),
    Field("sum", 5, Double, Said),
    Field("scale", 6, Zigzag, Plain),
    Field("zeroCount", 7, Fixed64, Plain),
    Field("positive", 8, Kind::Message(&BUCKETS), Said),
    Field("negative", 9, Kind::Message(&BUCKETS), Said),
    Field("flags", 10, Unsigned, Plain),
    Field("exemplars", 11, Kind::Message(&EXEMPLAR), Asides),
];
static EXEMPLAR: [Field; 6] = [
    Field("timeUnixNano", 2, Fixed64, Plain),
    Field("asDouble", 3, Double, Said),
    Field("spanId", 4, Hex, Plain),
    Field("traceId", 5, Hex, Plain),
    Field("asInt", 6, SignedFixed64, Said),
    Field("filteredAttributes", 7, Kind::Message(&PAIR), List),
];
static BUCKETS: [Field; 2] = [Field("offset", 1, Zigzag, Plain), Field("bucketCounts", 2, Unsigned, List)];
static SUMMARY_POINT: [Field; 6] = [
    Field("timeUnixNano", 3, Fixed64, Plain),
    Field("count", 4, Fixed64, Plain),
    Field("sum", 5, Double, Plain),
    Field("quantileValues", 6, Kind::Message(&QUANTILE), List),
    Field("attributes", 7, Kind::Message(&PAIR), List),
    Field("flags", 8, Unsigned, Plain),
];
static QUANTILE: [Field; 2] = [Field("quantile", 1, Double, Plain), Field("value", 2, Double, Plain)];
static LOG: [Field; 4] = [
    Field("timeUnixNano", 1, Fixed64, Plain),
    Field("severityNumber", 2, Unsigned, Plain),
    Field("observedTimeUnixNano", 11, Fixed64, Plain),
    Field("eventName", 12, Text, Aside),
];
static SPAN: [Field; 11] = [
    Field("traceId", 1, Hex, Plain),
    Field("spanId", 2, Hex, Plain),
    Field("traceState", 3, Text, Plain),
    Field("parentSpanId", 4, Hex, Plain),
    Field("name", 5, Text, Plain),
    Field("kind", 6, Unsigned, Plain),
    Field("startTimeUnixNano", 7, Fixed64, Plain),
    Field("endTimeUnixNano", 8, Fixed64, Plain),
    Field("attributes", 9, Kind::Message(&PAIR), List),
    Field("status", 15, Kind::Message(&STATUS), Said),
    Field("flags", 16, Fixed32, Plain),
];
static STATUS: [Field; 1] = [Field("code", 3, Unsigned, Plain)];

/// Rewrites an `ExportMetricsServiceRequest`.
pub(crate) fn metrics(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    rewrite(text, &METRICS)
}

/// Rewrites an `ExportLogsServiceRequest`.
pub(crate) fn logs(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    rewrite(text, &LOGS)
}

/// Rewrites an `ExportTraceServiceRequest`.
pub(crate) fn traces(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    rewrite(text, &TRACES)
}

fn rewrite(text: &[u8], fields: &'static [Field]) -> Result<Vec<u8>, Malformed> {
    let Ok(text) = core::str::from_utf8(text) else {
        return Err(Malformed { what: "it is not UTF-8", left: text.len() });
    };
    let mut reader = Reader { text, at: 0 };
    let out = reader.message(fields, 0)?;
    reader.space();
    if reader.at < text.len() { Err(reader.fault("something follows the message")) } else { Ok(out) }
}

/// The text and how far it is read. `at` is between two characters.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// A number as written, or a text that holds one.
struct Digits<'a>(alloc::borrow::Cow<'a, str>);

impl<'a> Reader<'a> {
    #[cold]
    fn fault(&self, what: &'static str) -> Malformed {
        Malformed { what, left: self.text.len() - self.at }
    }

    fn space(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    /// The next byte that is no space; 0 at the end.
    fn peek(&mut self) -> u8 {
        self.space();
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Malformed> {
        if self.eat(byte) { Ok(()) } else { Err(self.fault(what)) }
    }

    fn word(&mut self, word: &str) -> bool {
        self.space();
        let found = self.text[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// Calls `each` at every value of a list.
    fn list(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        self.expect(b'[', "a list was expected")?;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if !self.eat(b',') {
                return self.expect(b']', "a list does not end");
            }
        }
    }

    /// Calls `each` with the name of every member of an object, at its value.
    fn object(&mut self, mut each: impl FnMut(&mut Self, &str) -> Result<(), Malformed>) -> Result<(), Malformed> {
        self.expect(b'{', "an object was expected")?;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            self.expect(b':', "a member has no value")?;
            each(self, &name)?;
            if !self.eat(b',') {
                return self.expect(b'}', "an object does not end");
            }
        }
    }

    fn message(&mut self, fields: &'static [Field], depth: usize) -> Result<Vec<u8>, Malformed> {
        if depth == DEPTH {
            return Err(self.fault("objects are nested too deep"));
        }
        // Each field's bytes, to be put in the order of their numbers.
        let mut parts: Vec<(u32, Vec<u8>)> = Vec::new();
        self.object(|reader, name| {
            let Some(Field(_, number, kind, presence)) = fields.iter().find(|field| field.0 == name) else {
                return reader.skip(depth + 1);
            };
            if reader.word("null") {
                return Ok(());
            }
            let mut out = Message::default();
            match (presence, kind) {
                (Aside, _) => {
                    let at = reader.at;
                    if reader.field(&mut out, *number, *kind, Plain, depth + 1).is_err() {
                        (reader.at, out) = (at, Message::default());
                        reader.skip(depth + 1)?;
                    }
                }
                (Asides, _) if reader.peek() != b'[' => return reader.skip(depth + 1),
                (Asides, _) => reader.list(|reader| {
                    let (at, mut one) = (reader.at, Message::default());
                    if reader.field(&mut one, *number, *kind, Said, depth + 2).is_err() {
                        reader.at = at;
                        reader.skip(depth + 2)?;
                        one = Message::default();
                        one.some_bytes(*number, &[]);
                    }
                    out.append(&one);
                    Ok(())
                })?,
                (List, Kind::Message(_)) => {
                    reader.list(|reader| reader.field(&mut out, *number, *kind, Said, depth + 1))?;
                }
                (List, _) => {
                    let mut packed = Vec::new();
                    reader.list(|reader| {
                        let mut one = Message::default();
                        reader.field(&mut one, *number, *kind, Said, depth + 1)?;
                        // Without the tag, which takes one byte: no list has a number above 15.
                        packed.extend_from_slice(&one.into_bytes()[1..]);
                        reader.bound(packed.len())
                    })?;
                    if !packed.is_empty() {
                        out.bytes(*number, &packed);
                    }
                }
                _ => reader.field(&mut out, *number, *kind, *presence, depth + 1)?,
            }
            let bytes = out.into_bytes();
            reader.bound(bytes.len())?;
            parts.push((*number, bytes));
            Ok(())
        })?;
        parts.sort_by_key(|part| part.0);
        Ok(parts.into_iter().flat_map(|part| part.1).collect())
    }

    fn bound(&self, size: usize) -> Result<(), Malformed> {
        if size > limits::PLAIN_SIZE { Err(self.fault("the message is too large")) } else { Ok(()) }
    }

    /// Writes one value.
    fn field(
        &mut self,
        out: &mut Message,
        number: u32,
        kind: Kind,
        presence: Presence,
        depth: usize,
    ) -> Result<(), Malformed> {
        let said = presence == Said;
        match kind {
            Text => {
                let text = self.string()?;
                bytes(out, number, text.as_bytes(), said);
            }
            Base64 | Hex => {
                let text = self.string()?;
                let read = if matches!(kind, Hex) { hex(&text) } else { base64(&text) };
                let read = read.ok_or_else(|| self.fault("text that should be bytes is not"))?;
                bytes(out, number, &read, said);
            }
            Bool => {
                let value = self.word("true");
                if !value && !self.word("false") {
                    return Err(self.fault("true or false was expected"));
                }
                varint(out, number, u64::from(value), said);
            }
            Unsigned => {
                let value = self.unsigned()?;
                varint(out, number, value, said);
            }
            Signed => {
                let value = self.signed()?;
                varint(out, number, value as u64, said);
            }
            Zigzag => {
                let value = i32::try_from(self.signed()?).map_err(|_| self.fault("a number is out of range"))?;
                varint(out, number, u64::from((value << 1 ^ value >> 31) as u32), said);
            }
            Fixed64 => {
                let value = self.unsigned()?;
                fixed64(out, number, value, said);
            }
            SignedFixed64 => {
                let value = self.signed()?;
                fixed64(out, number, value as u64, said);
            }
            Fixed32 => {
                let value = self.unsigned()?;
                let value = u32::try_from(value).map_err(|_| self.fault("a number is out of range"))?;
                if said || value != 0 {
                    out.fixed32(number, value);
                }
            }
            Double => {
                let Digits(digits) = self.digits()?;
                let value = match &*digits {
                    "NaN" => f64::NAN,
                    "Infinity" => f64::INFINITY,
                    "-Infinity" => f64::NEG_INFINITY,
                    digits
                        if digits
                            .bytes()
                            .all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) =>
                    {
                        digits.parse().map_err(|_| self.fault("a number does not read"))?
                    }
                    _ => return Err(self.fault("a number does not read")),
                };
                fixed64(out, number, f64::to_bits(value), said);
            }
            Kind::Message(fields) => {
                let message = self.message(fields, depth)?;
                out.some_bytes(number, &message);
            }
        }
        Ok(())
    }

    /// A number, or a text that holds one.
    fn digits(&mut self) -> Result<Digits<'a>, Malformed> {
        if self.peek() == b'"' {
            return self.string().map(Digits);
        }
        let rest = &self.text[self.at..];
        let size =
            rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')).count();
        self.at += size;
        if size == 0 { Err(self.fault("a number was expected")) } else { Ok(Digits(rest[..size].into())) }
    }

    fn unsigned(&mut self) -> Result<u64, Malformed> {
        let Digits(digits) = self.digits()?;
        digits.parse().map_err(|_| self.fault("a number does not read"))
    }

    fn signed(&mut self) -> Result<i64, Malformed> {
        let Digits(digits) = self.digits()?;
        digits.parse().map_err(|_| self.fault("a number does not read"))
    }

    fn string(&mut self) -> Result<alloc::borrow::Cow<'a, str>, Malformed> {
        self.expect(b'"', "a text was expected")?;
        let (text, start) = (self.text, self.at);
        let mut out: Option<String> = None;
        loop {
            let plain = text.as_bytes()[self.at..].iter().take_while(|b| !matches!(b, b'"' | b'\\' | 0..=0x1f)).count();
            let stretch = &text[self.at..self.at + plain];
            self.at += plain;
            if let Some(out) = &mut out {
                out.push_str(stretch);
            }
            match text.as_bytes().get(self.at) {
                Some(b'"') => {
                    let whole = &text[start..self.at];
                    self.at += 1;
                    return Ok(out.map_or(whole.into(), Into::into));
                }
                Some(b'\\') => {
                    let out = out.get_or_insert_with(|| text[start..self.at].into());
                    let c = self.escape()?;
                    out.push(c);
                }
                _ => return Err(self.fault("a text does not end")),
            }
        }
    }

    /// A character behind a backslash.
    fn escape(&mut self) -> Result<char, Malformed> {
        let byte = self.text.as_bytes().get(self.at + 1).copied();
        self.at += 1 + usize::from(byte.is_some_and(|byte| byte.is_ascii()));
        Ok(match byte {
            Some(c @ (b'"' | b'\\' | b'/')) => c as char,
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.unit()?;
                let code = match first {
                    0xd800..0xdc00 if self.text[self.at..].starts_with("\\u") => {
                        self.at += 2;
                        let second = self.unit()?;
                        if !(0xdc00..0xe000).contains(&second) {
                            return Err(self.fault("half a character"));
                        }
                        0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    _ => first,
                };
                char::from_u32(code).ok_or_else(|| self.fault("half a character"))?
            }
            _ => return Err(self.fault("no such escape")),
        })
    }

    fn unit(&mut self) -> Result<u32, Malformed> {
        let digits = self.text.get(self.at..self.at + 4).filter(|four| four.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|four| u32::from_str_radix(four, 16).ok());
        let unit = unit.ok_or_else(|| self.fault("no such escape"))?;
        self.at += 4;
        Ok(unit)
    }

    /// Passes over a value.
    fn skip(&mut self, depth: usize) -> Result<(), Malformed> {
        if depth >= DEPTH {
            return Err(self.fault("objects are nested too deep"));
        }
        match self.peek() {
            b'{' => self.object(|reader, _| reader.skip(depth + 1)),
            b'[' => self.list(|reader| reader.skip(depth + 1)),
            b'"' => self.string().map(|_| ()),
            _ if self.word("true") || self.word("false") || self.word("null") => Ok(()),
            _ => self.digits().map(|_| ()),
        }
    }
}

fn bytes(out: &mut Message, number: u32, value: &[u8], said: bool) {
    if said || !value.is_empty() {
        out.some_bytes(number, value);
    }
}

fn varint(out: &mut Message, number: u32, value: u64, said: bool) {
    if said || value != 0 {
        out.some_varint(number, value);
    }
}

fn fixed64(out: &mut Message, number: u32, value: u64, said: bool) {
    if said || value != 0 {
        out.some_fixed64(number, value);
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(pair).collect()
}

/// Of either alphabet, with or without padding (RFC 4648 4 and 5).
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut word, mut bits) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    Some(out)
}
