//! Numbers, durations and quoted texts: what they mean and how they are printed.
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use faultline_model::float;

/// A number as Go reads it: decimal, hexadecimal, octal with a leading 0, `Inf` and `NaN` in any case.
pub(crate) fn number(word: &str) -> Option<f64> {
    if word.eq_ignore_ascii_case("inf") {
        return Some(f64::INFINITY);
    }
    if word.eq_ignore_ascii_case("nan") {
        return Some(faultline_model::float::NAN);
    }
    if word.contains("__") || word.ends_with('_') {
        return None;
    }
    let whole = word.replace('_', "");
    if let Some(hex) = whole.strip_prefix("0x").or_else(|| whole.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).ok().map(|n| n as f64);
    }
    if whole.len() > 1 && whole.starts_with('0') && whole.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        return i64::from_str_radix(&whole, 8).ok().map(|n| n as f64);
    }
    // Underscores are for whole numbers only.
    if whole.len() != word.len() && !whole.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Out of range is an error in Go, not infinity.
    whole.parse::<f64>().ok().filter(|n| n.is_finite())
}

/// The units of a duration, largest first, in ms.
const UNITS: &[(&str, i64)] = &[
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Longest duration, in ms: Prometheus counts them in nanoseconds, in 64 bits.
pub(crate) const DURATION_MAX: i64 = i64::MAX / 1_000_000;

/// A duration in ms: each unit at most once, larger ones first.
pub(crate) fn duration(word: &str) -> Result<i64, String> {
    let mut rest = word;
    let mut units = UNITS.iter();
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let letters = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| digits + n);
        let unit = &rest[digits..letters];
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            return Err(format!("unknown unit {unit:?} in duration {word:?}"));
        }
        let Some((_, ms)) = units.find(|(name, _)| *name == unit) else {
            return Err(format!("not a valid duration string: {word:?}"));
        };
        let amount = rest[..digits].parse::<i64>().ok().and_then(|n| n.checked_mul(*ms));
        total = amount
            .and_then(|n| total.checked_add(n))
            .filter(|n| *n <= DURATION_MAX)
            .ok_or_else(|| String::from("duration out of range"))?;
        rest = &rest[letters..];
    }
    Ok(total)
}

/// A duration as Prometheus prints it: years, weeks and days only where they divide it.
pub(crate) fn write_duration(out: &mut impl Write, ms: i64) -> fmt::Result {
    if ms < 0 {
        out.write_str("-")?;
    }
    let mut left = ms.unsigned_abs();
    if left == 0 {
        return out.write_str("0s");
    }
    for (name, unit) in UNITS {
        let (unit, exact) = (unit.unsigned_abs(), matches!(*name, "y" | "w" | "d"));
        if left >= unit && (!exact || left.is_multiple_of(unit)) {
            write!(out, "{}{name}", left / unit)?;
            left %= unit;
        }
    }
    Ok(())
}

/// A number as Go's `FormatFloat(x, 'f', -1, 64)` prints it: shortest digits, never an exponent.
pub(crate) fn format_number(x: f64) -> String {
    match x {
        x if x.is_nan() => "NaN".into(),
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        x => float::decimal(x),
    }
}

/// A number as Go's `%v` prints it: shortest digits, with an exponent where it is large or small.
pub(crate) fn write_short(out: &mut impl Write, x: f64) -> fmt::Result {
    if x == 0.0 || !x.is_finite() || (1e-4..1e21).contains(&libm::fabs(x)) {
        return out.write_str(&format_number(x));
    }
    let text = float::shortest(x);
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    write!(out, "{digits}e{sign}{exponent:0>2}")
}

/// What a quoted text says. Fails with what is wrong in it.
pub(crate) fn unquote(quoted: &str) -> Result<String, String> {
    let quote = quoted.chars().next().unwrap_or_default();
    let inside = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if quote == '`' {
        return Ok(inside.replace('\r', ""));
    }
    let mut out = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '\\' {
            rest = escape(rest, quote, &mut out)?;
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    // Label values are UTF-8 throughout the product, so bytes that are not have nothing to be compared with.
    String::from_utf8(out).map_err(|_| "escape sequence is invalid UTF-8".into())
}

/// Reads what follows a backslash; returns what follows that.
fn escape<'a>(rest: &'a str, quote: char, out: &mut Vec<u8>) -> Result<&'a str, String> {
    let Some(c) = rest.chars().next() else { return Err("escape sequence not terminated".into()) };
    let after = &rest[c.len_utf8()..];
    let simple = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        c if c == quote => quote as u8,
        _ => {
            let (digits, radix, size) = match c {
                '0'..='7' => (rest, 8, 3),
                'x' => (after, 16, 2),
                'u' => (after, 16, 4),
                'U' => (after, 16, 8),
                c => return Err(format!("unknown escape sequence U+{:04X} {c:?}", u32::from(c))),
            };
            let mut value = 0_u32;
            for c in digits.chars().map(Some).chain([None]).take(size) {
                let c = c.ok_or("escape sequence not terminated")?;
                let digit = c
                    .to_digit(radix)
                    .ok_or_else(|| format!("illegal character U+{:04X} {c:?} in escape sequence", u32::from(c)))?;
                value = value.wrapping_mul(radix).wrapping_add(digit);
            }
            if matches!(c, 'u' | 'U') {
                let c = char::from_u32(value).ok_or("escape sequence is an invalid Unicode code point")?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.push(u8::try_from(value).map_err(|_| "escape sequence is an invalid Unicode code point")?);
            }
            return Ok(&digits[size..]);
        }
    };
    out.push(simple);
    Ok(after)
}

/// Prints a text in double quotes, so that [`unquote`] gives it back.
pub(crate) fn write_quoted(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '\u{7}' => out.write_str("\\a")?,
            '\u{8}' => out.write_str("\\b")?,
            '\u{c}' => out.write_str("\\f")?,
            '\u{b}' => out.write_str("\\v")?,
            c if c.is_ascii_control() => write!(out, "\\x{:02x}", u32::from(c))?,
            c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (word, expected) in [
            ("1", Some(1.0)),
            ("1.", Some(1.0)),
            (".5", Some(0.5)),
            ("1e3", Some(1000.0)),
            ("2.3e-2", Some(0.023)),
            ("0x1f", Some(31.0)),
            ("017", Some(15.0)),
            ("08", Some(8.0)),
            ("1_000", Some(1000.0)),
            ("1_0.5", None),
            ("1__0", None),
            ("iNf", Some(f64::INFINITY)),
            ("1e400", None),
        ] {
            assert_eq!(number(word), expected, "{word}");
        }
        assert!(number("nan").is_some_and(f64::is_nan));
    }

    #[test]
    fn durations_are_read_and_printed() {
        for (word, ms) in [
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("1w", 604_800_000),
            ("1y", 31_536_000_000),
            ("300ms", 300),
            ("1m30s500ms", 90_500),
            ("36h", 129_600_000),
        ] {
            assert_eq!(duration(word), Ok(ms));
            let mut out = String::new();
            write_duration(&mut out, ms).expect("writing to a text never fails");
            assert_eq!(out, word);
        }
        for bad in ["1s1m", "5m5m", "1x", "300000000y", "5hs"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quoted_texts_are_read_and_printed() {
        for (quoted, text) in [
            (r#""a\"b""#, "a\"b"),
            (r"'a\'b'", "a'b"),
            ("`a\\n`", "a\\n"),
            (r#""\x41\101\u00e9\U0001F600\t""#, "AA\u{e9}\u{1F600}\t"),
            (r#""\xc3\xa9""#, "\u{e9}"),
        ] {
            assert_eq!(unquote(quoted).as_deref(), Ok(text));
            let mut out = String::new();
            write_quoted(&mut out, text).expect("writing to a text never fails");
            assert_eq!(unquote(&out).as_deref(), Ok(text));
        }
        for bad in [r#""\q""#, r#""\xff""#, r#""\ud800""#, r#""\400""#, r#""\x4""#, r#""\'""#] {
            assert!(unquote(bad).is_err(), "{bad}");
        }
    }
}
