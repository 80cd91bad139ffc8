//! Times and durations as clients write them.
use faultline_model::Millis;

/// The earliest and the latest time that Prometheus writes, for "always".
const ALWAYS: [&str; 2] = ["-292273086-05-16T16:47:06Z", "292277025-08-18T07:12:54.999999999Z"];
/// Units of durations, largest first, and their lengths in ms.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A time as Prometheus takes it: seconds since 1970 with decimals, or RFC 3339. Its error is in Prometheus' words.
pub fn prometheus(text: &str) -> Result<Millis, String> {
    let time = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Some(Millis((seconds * 1000.0).round() as i64)),
        Ok(_) => None,
        Err(_) if text == ALWAYS[0] => Some(Millis(i64::MIN)),
        Err(_) if text == ALWAYS[1] => Some(Millis(i64::MAX)),
        Err(_) => Millis::parse(text),
    };
    time.ok_or_else(|| format!("cannot parse {text:?} to a valid timestamp"))
}

/// A duration as Prometheus takes it, in ms: seconds with decimals, or `1h30m`. Its error is in Prometheus' words.
///
/// Source: Prometheus, `web/api/v1/api.go`, `parseDuration`; `common/model`, `ParseDuration`.
pub fn duration_ms(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        let nanoseconds = seconds * 1e9;
        if nanoseconds.is_nan() || !(i64::MIN as f64..=i64::MAX as f64).contains(&nanoseconds) {
            return Err(format!("cannot parse {text:?} to a valid duration. It overflows int64"));
        }
        return Ok((seconds * 1000.0) as i64);
    }
    units(text).ok_or_else(|| format!("cannot parse {text:?} to a valid duration"))
}

fn units(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let (mut left, mut total, mut units) = (text, 0_i64, &UNITS[..]);
    while !left.is_empty() {
        let digits = left.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = left[..digits].parse().ok()?;
        left = &left[digits..];
        let letters = left.bytes().take_while(u8::is_ascii_alphabetic).count();
        let place = units.iter().position(|(name, _)| *name == &left[..letters])?;
        // Each unit once, the larger first. Nanoseconds must fit, as in Go.
        total = total.checked_add(count.checked_mul(units[place].1)?)?;
        total.checked_mul(1_000_000)?;
        (left, units) = (&left[letters..], &units[place + 1..]);
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_prometheus_reads_them() {
        assert_eq!(prometheus("1700000000.0504"), Ok(Millis(1_700_000_000_050)));
        assert_eq!(prometheus("2026-11-21T00:54:16Z"), Ok(Millis(1_795_222_456_000)));
        assert_eq!(prometheus(ALWAYS[1]), Ok(Millis(i64::MAX)));
        assert!(prometheus("NaN").is_err());
        assert_eq!(prometheus("abc"), Err("cannot parse \"abc\" to a valid timestamp".into()));
    }

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        for (text, ms) in [
            ("15", Some(15_000)),
            ("0.25", Some(250)),
            ("-1", Some(-1_000)),
            ("1h30m", Some(5_400_000)),
            ("1d", Some(86_400_000)),
            ("2w1ms", Some(1_209_600_001)),
            ("0", Some(0)),
            ("", None),
            ("1m1h", None),
            ("1s1s", None),
            ("5x", None),
            ("-5m", None),
            ("99999999y", None),
            ("1e20", None),
        ] {
            assert_eq!(duration_ms(text).ok(), ms, "{text}");
        }
    }
}
