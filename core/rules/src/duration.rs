//! Prometheus' durations: `1h30m`, `500ms`, `0`.
use alloc::format;
use alloc::string::{String, ToString};

/// Units, largest first, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads a duration, in nanoseconds. Source: `model.ParseDuration` of prometheus/common v0.71; the messages are its own.
pub fn parse_ns(text: &str) -> Result<i64, String> {
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("empty duration string".to_string());
    }
    let invalid = || format!("not a valid duration string: {text:?}");
    let out_of_range = || "duration out of range".to_string();
    let (mut rest, mut total, mut next_unit) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |i| digits + i);
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        let name = &rest[digits..unit];
        if name.is_empty() {
            return Err(invalid());
        }
        let Some(place) = UNITS.iter().position(|(n, _)| *n == name) else {
            return Err(format!("unknown unit {name:?} in duration {text:?}"));
        };
        if place < next_unit {
            return Err(invalid());
        }
        next_unit = place + 1;
        let ns = number.checked_mul(UNITS[place].1 * 1_000_000).ok_or_else(out_of_range)?;
        total = total.checked_add(ns).ok_or_else(out_of_range)?;
        rest = &rest[unit..];
    }
    i64::try_from(total).map_err(|_| out_of_range())
}

/// Reads a duration that may be negative, in nanoseconds.
pub fn parse_signed_ns(text: &str) -> Result<i64, String> {
    match text.strip_prefix('-') {
        Some(positive) => parse_ns(positive).map(|ns| -ns),
        None => parse_ns(text),
    }
}

/// Prints milliseconds as Prometheus prints a duration, `1h30m`. Source: `Duration.String` of prometheus/common.
pub fn print_ms(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_string();
    }
    let mut out = if ms < 0 { "-".to_string() } else { String::new() };
    let mut left = ms.unsigned_abs();
    for (name, unit) in UNITS {
        // Years and weeks only where nothing is left over: 90d is easier to read than 12w6d.
        let exact = matches!(name, "y" | "w");
        if left >= unit && (!exact || left.is_multiple_of(unit)) {
            out.push_str(&format!("{}{name}", left / unit));
            left %= unit;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_in_prometheus() {
        for (text, ms, printed) in [
            ("0", 0, "0s"),
            ("0w", 0, "0s"),
            ("0s", 0, "0s"),
            ("324ms", 324, "324ms"),
            ("3s", 3000, "3s"),
            ("5m", 300_000, "5m"),
            ("1h", 3_600_000, "1h"),
            ("4d", 345_600_000, "4d"),
            ("4d1h", 349_200_000, "4d1h"),
            ("14d", 1_209_600_000, "2w"),
            ("3w2d1h", 1_990_800_000, "23d1h"),
            ("10y", 315_360_000_000, "10y"),
        ] {
            assert_eq!((parse_ns(text), print_ms(ms)), (Ok(ms * 1_000_000), printed.to_string()), "{text}");
        }
        for text in ["", "1", "1y1m1d", "-1w", "1.5d", "d", "294y", "200y10400w", "107675d", "2584200h", "5 m", "1m1m"]
        {
            assert!(parse_ns(text).is_err(), "{text}");
        }
        assert_eq!(parse_signed_ns("-5m"), Ok(-300_000_000_000));
    }
}
