//! Times as clients write them.
use faultline_model::Millis;
use faultline_model::time::days_from_civil;

/// A time in RFC 3339, rounded down to ms; `None` for any other text.
pub fn rfc_3339(text: &str) -> Option<Millis> {
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let bytes = text.as_bytes();
    let marks = [(4, b"-"), (7, b"-"), (10, b"T"), (13, b":"), (16, b":")];
    if !marks.iter().all(|(at, mark)| bytes.get(*at).is_some_and(|byte| byte.to_ascii_uppercase() == mark[0])) {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let size = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if size == 0 {
            return None;
        }
        ms = format!("{:0<3}", &fraction[..size.min(3)]).parse().ok()?;
        rest = &fraction[size..];
    }
    let offset_minutes = match rest.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let at = text.len() - 5;
            let (hours, minutes) = (digits(at..at + 2)?, digits(at + 3..at + 5)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let days = days_from_civil(year, month as u32, day as u32);
    Some(Millis(((days * 24 + hour) * 60 + minute - offset_minutes) * 60_000 + second * 1000 + ms))
}

/// A time as Prometheus takes it: seconds since 1970 with decimals, or RFC 3339.
pub fn prometheus(text: &str) -> Option<Millis> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Some(Millis((seconds * 1000.0).round() as i64)),
        Ok(_) => None,
        Err(_) => rfc_3339(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_written() {
        for ms in [0, 951_782_400_000, -1, 1_795_222_456_746, 253_402_300_799_999] {
            assert_eq!(rfc_3339(&Millis(ms).to_string()), Some(Millis(ms)));
        }
        for (text, shown) in [
            ("2026-11-21T00:54:16Z", "2026-11-21T00:54:16.000Z"),
            ("2026-11-21t01:54:16.5+01:00", "2026-11-21T00:54:16.500Z"),
            ("2026-11-20T19:24:16.123999999-05:30", "2026-11-21T00:54:16.123Z"),
            ("2024-02-29T00:00:00z", "2024-02-29T00:00:00.000Z"),
        ] {
            assert_eq!(rfc_3339(text).map(|time| time.to_string()).as_deref(), Some(shown), "{text}");
        }
        for wrong in [
            "",
            "2026-11-21",
            "2026-11-21T00:54:16",
            "2026-11-21 00:54:16Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T00:54:16.Z",
            "2026-11-21T00:54:16+1:00",
            "2026-11-21T00:54:16+24:00",
            "2026-1é-21T00:54:16Z",
            "+026-11-21T00:54:16Z",
            "2026-11-21T00:54:16Zx",
        ] {
            assert_eq!(rfc_3339(wrong), None, "{wrong}");
        }
        assert_eq!(prometheus("1700000000.0504"), Some(Millis(1_700_000_000_050)));
        assert_eq!((prometheus("NaN"), prometheus("abc")), (None, None));
    }
}
