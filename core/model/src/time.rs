//! Event time as sent, the writer's hybrid logical clock, and milliseconds for rules.
use core::fmt;

/// Nanoseconds since 1970-01-01 UTC, as the sender sent them. Never overwritten, never trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Whole milliseconds, rounded down.
    pub fn millis(self) -> Millis {
        Millis(self.0.div_euclid(1_000_000))
    }
}

/// Milliseconds since 1970-01-01 UTC: rule time and Prometheus' sample time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

impl Millis {
    /// `self + ms`, held at the ends of the range.
    pub fn plus(self, ms: i64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// `self - earlier` in milliseconds, held at the ends of the range.
    pub fn since(self, earlier: Millis) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Millis {
    /// Reads a time in RFC 3339, rounded down to ms; `None` for any other text. [`fmt::Display`] prints one form of it.
    pub fn parse(text: &str) -> Option<Millis> {
        let digits = |range: core::ops::Range<usize>| -> Option<i64> {
            let part = text.get(range)?;
            part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
        };
        let bytes = text.as_bytes();
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if !marks.iter().all(|(at, mark)| bytes.get(*at).is_some_and(|byte| byte.to_ascii_uppercase() == *mark)) {
            return None;
        }
        let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
        let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
        let days = days_from_civil(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?);
        // A 31st of February counts as a day of March, and a month 13 as another year's.
        if civil_from_days(days) != (year, month as u32, day as u32) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut rest = text.get(19..)?;
        let mut ms = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let size = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if size == 0 {
                return None;
            }
            let places = fraction.bytes().take(size).chain(core::iter::repeat(b'0')).take(3);
            ms = places.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'));
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
        Some(Millis(((days * 24 + hour) * 60 + minute - offset_minutes) * 60_000 + second * 1000 + ms))
    }
}

impl fmt::Display for Millis {
    /// RFC 3339 in UTC with milliseconds, `2026-11-20T23:59:59.123Z`; years outside 0..=9999 print as bare milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, in_day) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        if !(0..=9999).contains(&year) {
            return write!(f, "{}ms", self.0);
        }
        let (hour, minute, second) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", in_day % 1000)
    }
}

/// Gregorian date of a count of days since 1970-01-01.
///
/// Source: Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Count of days since 1970-01-01 of a Gregorian date; the inverse of [`civil_from_days`].
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = i64::from(if month > 2 { month - 3 } else { month + 9 });
    let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Hybrid logical clock: `milliseconds << 16 | count`, stamped by the journal's writer and nobody else.
///
/// Source: Kulkarni et al., "Logical Physical Clocks", OPODIS 2014. One writer stamps, so only the send rule is needed:
/// the stamp never goes back, whatever the wall clock does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The stamp that follows `self` when the wall clock shows `wall`; strictly greater than `self`.
    pub fn next(self, wall: Millis) -> Hlc {
        let physical = (wall.0.max(0) as u64) << 16;
        if physical > self.0 { Hlc(physical) } else { Hlc(self.0 + 1) }
    }

    /// The stamp's milliseconds: what rule time is, live.
    pub fn millis(self) -> Millis {
        Millis((self.0 >> 16) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn dates_print_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (9_223_372_036_854, "2262-04-11T23:47:16.854Z"),
        ] {
            assert_eq!(Millis(ms).to_string(), text);
        }
        for day in (-800_000..800_000).step_by(97) {
            let (y, m, d) = civil_from_days(day);
            assert_eq!(days_from_civil(y, m, d), day);
        }
        assert_eq!(Millis(i64::MIN).to_string(), "-9223372036854775808ms");
    }

    #[test]
    fn dates_are_read_as_written() {
        for ms in [0, 951_782_400_000, -1, 1_795_222_456_746, 253_402_300_799_999] {
            assert_eq!(Millis::parse(&Millis(ms).to_string()), Some(Millis(ms)));
        }
        for (text, shown) in [
            ("2026-11-21T00:54:16Z", "2026-11-21T00:54:16.000Z"),
            ("2026-11-21t01:54:16.5+01:00", "2026-11-21T00:54:16.500Z"),
            ("2026-11-20T19:24:16.123999999-05:30", "2026-11-21T00:54:16.123Z"),
            ("2024-02-29T00:00:00z", "2024-02-29T00:00:00.000Z"),
            ("0000-01-01T00:00:00.07Z", "0000-01-01T00:00:00.070Z"),
        ] {
            assert_eq!(Millis::parse(text).map(|time| time.to_string()).as_deref(), Some(shown), "{text}");
        }
        for wrong in [
            "",
            "2026-11-21",
            "2026-11-21T00:54:16",
            "2026-11-21 00:54:16Z",
            "2026-02-29T00:00:00Z",
            "2026-02-30T00:00:00.000Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T00:54:16.Z",
            "2026-11-21T00:54:16+1:00",
            "2026-11-21T00:54:16+24:00",
            "2026-1é-21T00:54:16Z",
            "+026-11-21T00:54:16Z",
            "2026-11-21T00:54:16Zx",
        ] {
            assert_eq!(Millis::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_stamp_rises_even_when_the_clock_falls() {
        let mut stamp = Hlc::default();
        for wall in [5, 5, 3, 900, 0, -7, 901] {
            let next = stamp.next(Millis(wall));
            assert!(next > stamp);
            stamp = next;
        }
        assert_eq!(stamp.millis(), Millis(901));
    }
}
