//! `printf`: Go's `fmt.Sprintf` over the values a template has, its marks for misuse (`%!d(float64=1.5)`) included.
use super::number::exact;
use super::value::{Value, bounded};
use super::{TEXT_MAX, quote};
use alloc::format;
use alloc::string::{String, ToString};

#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

/// The text of `format` with `values` in it. Fails only where the result is too long.
pub(super) fn printf(format: &str, values: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = format;
    let mut used = 0;
    while let Some(percent) = rest.find('%') {
        out.push_str(&rest[..percent]);
        rest = &rest[percent + 1..];
        let flags = flags(&mut rest);
        let Some(verb) = rest.chars().next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        rest = &rest[verb.len_utf8()..];
        match (verb, values.get(used)) {
            ('%', _) => out.push('%'),
            (_, None) => out.push_str(&format!("%!{verb}(MISSING)")),
            (_, Some(value)) => {
                used += 1;
                let text = one(value, verb, &flags)?;
                pad(&text, value, verb, &flags, &mut out);
            }
        }
        bounded(&out)?;
    }
    out.push_str(rest);
    if used < values.len() {
        out.push_str("%!(EXTRA ");
        for (i, value) in values[used..].iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            match value {
                Value::Nothing => out.push_str("<nil>"),
                value => {
                    out.push_str(value.type_name());
                    out.push('=');
                    value.print(&mut out)?;
                }
            }
        }
        out.push(')');
    }
    bounded(&out)?;
    Ok(out)
}

fn flags(rest: &mut &str) -> Flags {
    let mut flags = Flags::default();
    while let Some(c) = rest.chars().next() {
        match c {
            '-' => flags.minus = true,
            '+' => flags.plus = true,
            '#' => flags.sharp = true,
            ' ' => flags.space = true,
            '0' => flags.zero = true,
            _ => break,
        }
        *rest = &rest[1..];
    }
    flags.width = digits(rest).unwrap_or(0);
    if let Some(after) = rest.strip_prefix('.') {
        *rest = after;
        flags.precision = Some(digits(rest).unwrap_or(0));
    }
    flags
}

/// A number at the start of `rest`, held just above the longest text allowed.
fn digits(rest: &mut &str) -> Option<usize> {
    let size = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, after) = rest.split_at(size);
    *rest = after;
    (size > 0).then(|| number.parse().unwrap_or(usize::MAX).min(TEXT_MAX + 1))
}

/// The value by the verb, without padding.
fn one(value: &Value, verb: char, flags: &Flags) -> Result<String, String> {
    let plain = |value: &Value| {
        let mut text = String::new();
        value.print(&mut text).map(|()| text)
    };
    // `%+v` is about the names of fields, not about signs.
    let flags = &Flags { plus: flags.plus && verb != 'v', ..*flags };
    Ok(match (verb, value) {
        ('T', value) => value.type_name().to_string(),
        ('t', Value::Bool(_)) => plain(value)?,
        ('v' | 'd', Value::Int(n)) => signed(n.to_string(), flags),
        ('b', Value::Int(n)) => signed(radix(*n, 2), flags),
        ('o', Value::Int(n)) => signed(radix(*n, 8), flags),
        ('x', Value::Int(n)) => signed(radix(*n, 16), flags),
        ('X', Value::Int(n)) => signed(radix(*n, 16), flags).to_uppercase(),
        ('c', Value::Int(n)) => character(*n).to_string(),
        ('q', Value::Int(n)) => format!("'{}'", character(*n)),
        ('U', Value::Int(n)) => format!("U+{n:04X}"),
        ('e' | 'E' | 'f' | 'F', Value::Float(x)) => signed(exact(*x, verb, Some(flags.precision.unwrap_or(6))), flags),
        ('g' | 'G', Value::Float(x)) => signed(exact(*x, verb, flags.precision), flags),
        ('v', Value::Float(x)) => signed(exact(*x, 'g', flags.precision), flags),
        ('s' | 'v', Value::Text(text) | Value::Html(text)) if flags.sharp && verb == 'v' => quote(text),
        ('s' | 'v', Value::Text(text) | Value::Html(text)) => match flags.precision {
            Some(count) => text.chars().take(count).collect(),
            None => text.to_string(),
        },
        ('q', Value::Text(text) | Value::Html(text)) => match flags.precision {
            Some(count) => quote(&text.chars().take(count).collect::<String>()),
            None => quote(text),
        },
        ('x', Value::Text(text) | Value::Html(text)) => text.bytes().map(|b| format!("{b:02x}")).collect(),
        ('X', Value::Text(text) | Value::Html(text)) => text.bytes().map(|b| format!("{b:02X}")).collect(),
        ('s', Value::Time(_) | Value::Duration(_) | Value::Labels(_)) | ('v', _) => plain(value)?,
        (verb, Value::Nothing) => format!("%!{verb}(<nil>)"),
        (verb, value) => format!("%!{verb}({}={})", value.type_name(), plain(value)?),
    })
}

fn character(n: i64) -> char {
    u32::try_from(n).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
}

fn radix(n: i64, radix: u32) -> String {
    let sign = if n < 0 { "-" } else { "" };
    let n = n.unsigned_abs();
    match radix {
        2 => format!("{sign}{n:b}"),
        8 => format!("{sign}{n:o}"),
        _ => format!("{sign}{n:x}"),
    }
}

/// With the sign that `+` and blank ask for.
fn signed(text: String, flags: &Flags) -> String {
    let infinite = text == "+Inf" && !flags.plus;
    match text.as_bytes().first() {
        Some(b'+') if infinite && flags.space => text.replacen('+', " ", 1),
        Some(b'+' | b'-') => text,
        _ if flags.plus => format!("+{text}"),
        _ if flags.space => format!(" {text}"),
        _ => text,
    }
}

fn pad(text: &str, value: &Value, verb: char, flags: &Flags, out: &mut String) {
    let missing = flags.width.saturating_sub(text.chars().count());
    let numeric = match value {
        Value::Int(_) => true,
        Value::Float(x) => x.is_finite(),
        _ => false,
    };
    if flags.minus {
        out.push_str(text);
        out.extend(core::iter::repeat_n(' ', missing));
    } else if flags.zero && (numeric && verb != 'q' && verb != 'c' || matches!(value, Value::Text(_)) && verb != 'q') {
        let (sign, digits) = text.split_at(usize::from(numeric && text.starts_with(['+', '-', ' '])));
        out.push_str(sign);
        out.extend(core::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        out.extend(core::iter::repeat_n(' ', missing));
        out.push_str(text);
    }
}
