//! Canonical bytes as a value: where two of them differ, and how they read.
use faultline_model::{CodecError, Reader};
use std::fmt::{self, Write};

/// Deepest nesting believed.
const DEPTH_MAX: u32 = 64;

/// A canonical value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Uint(u64),
    Int(i64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Value>),
    Bool(bool),
    Null,
    /// The bits of a float: equal values are equal bits.
    Float(u64),
}

impl Value {
    /// Reads a value that fills `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Value, CodecError> {
        let mut r = Reader::new(bytes);
        let value = Value::read(bytes, &mut r, 0)?;
        if r.left() == 0 { Ok(value) } else { Err(CodecError::Trailing { count: r.left() }) }
    }

    fn read(bytes: &[u8], r: &mut Reader<'_>, depth: u32) -> Result<Value, CodecError> {
        if depth > DEPTH_MAX {
            return Err(r.invalid("value of so few levels"));
        }
        Ok(match bytes.get(r.at()).map_or(0, |first| first >> 5) {
            0 => Value::Uint(r.uint()?),
            1 => Value::Int(r.int()?),
            2 => Value::Bytes(r.bytes()?.to_vec()),
            3 => Value::Text(r.text()?.to_string()),
            4 => Value::Array((0..r.array()?).map(|_| Value::read(bytes, r, depth + 1)).collect::<Result<_, _>>()?),
            _ if r.null()? => Value::Null,
            _ => match r.bool() {
                Ok(value) => Value::Bool(value),
                Err(_) => Value::Float(r.float()?.to_bits()),
            },
        })
    }

    /// The items of an array, none of anything else.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// The way to the first place where two values differ, and what each has there; nothing of an array that is shorter.
    pub fn first_difference<'a>(
        &'a self,
        other: &'a Value,
    ) -> Option<(Vec<usize>, Option<&'a Value>, Option<&'a Value>)> {
        let (Value::Array(mine), Value::Array(theirs)) = (self, other) else {
            return (self != other).then_some((Vec::new(), Some(self), Some(other)));
        };
        let at = (0..mine.len().max(theirs.len())).find(|&at| mine.get(at) != theirs.get(at))?;
        let (mut way, a, b) = match (mine.get(at), theirs.get(at)) {
            (Some(a), Some(b)) => a.first_difference(b).expect("they differ"),
            (a, b) => (Vec::new(), a, b),
        };
        way.insert(0, at);
        Some((way, a, b))
    }
}

/// Diagnostic notation (RFC 8949 section 8).
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Uint(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Bytes(bytes) => {
                f.write_str("h'")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_char('\'')
            }
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Array(items) => {
                f.write_char('[')?;
                for (at, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if at > 0 { ", " } else { "" })?;
                }
                f.write_char(']')
            }
            Value::Bool(value) => write!(f, "{value}"),
            Value::Null => f.write_str("null"),
            Value::Float(bits) => match f64::from_bits(*bits) {
                value if value.is_nan() => f.write_str("NaN"),
                value if value.is_infinite() => f.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" }),
                value => write!(f, "{value:?}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_model::Writer;

    fn bytes(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut w = Writer::default();
        write(&mut w);
        w.into_bytes()
    }

    #[test]
    fn every_value_reads_in_diagnostic_notation() {
        let all = bytes(|w| {
            w.array(10);
            w.uint(u64::MAX);
            w.int(-7);
            w.bytes(&[0, 255]);
            w.text("a \"b\"\u{1b}");
            w.array(0);
            w.bool(true);
            w.null();
            w.float(1.5);
            w.float(f64::NAN);
            w.float(f64::NEG_INFINITY);
        });
        let text = Value::from_bytes(&all).expect("just written").to_string();
        let expected = r#"[18446744073709551615, -7, h'00ff', "a \"b\"\u{1b}", [], true, null, 1.5, NaN, -Infinity]"#;
        assert_eq!(text, expected);
        for cut in 0..all.len() {
            assert!(Value::from_bytes(&all[..cut]).is_err(), "{cut}");
        }
        // 100 arrays in each other.
        assert!(Value::from_bytes(&[&[0x81; 100][..], &[0]].concat()).is_err());
    }

    #[test]
    fn the_first_difference_is_found() {
        let read = |items: &[&[u64]]| {
            let inner = |items: &[u64]| Value::Array(items.iter().map(|&item| Value::Uint(item)).collect());
            Value::Array(items.iter().map(|items| inner(items)).collect())
        };
        let mine = read(&[&[1, 2], &[3, 4]]);
        let check = |other: Value, way: Option<&[usize]>, said: &str| {
            let found = mine.first_difference(&other);
            assert_eq!(found.as_ref().map(|(way, ..)| &way[..]), way);
            let of = |value: Option<&Value>| value.map_or("nothing".to_string(), Value::to_string);
            assert_eq!(found.map_or(String::new(), |(_, a, b)| format!("{} {}", of(a), of(b))), said);
        };
        check(read(&[&[1, 2], &[3, 4]]), None, "");
        check(read(&[&[1, 2], &[3, 5]]), Some(&[1, 1]), "4 5");
        check(read(&[&[1, 2]]), Some(&[1]), "[3, 4] nothing");
        check(read(&[&[1, 2, 9], &[7]]), Some(&[0, 2]), "nothing 9");
        check(Value::Null, Some(&[]), "[[1, 2], [3, 4]] null");
    }
}
