//! A place in the journal, as people name it.
use faultline_model::{Hlc, Millis, Position};
use std::str::FromStr;

/// A record, a time, or so long before the journal's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A record.
    At(Position),
    /// A time of the journal's writer.
    Time(Millis),
    /// So many ms before the journal's last record.
    Back(i64),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let back = || Some(faultline_rules::parse_duration_ns(text.strip_prefix('-')?).ok()? / 1_000_000);
        Position::parse(text)
            .map(Place::At)
            .or_else(|| Millis::parse(text).map(Place::Time))
            .or_else(|| back().map(Place::Back))
            .ok_or_else(|| "a place is a record (0/123), a time (2026-11-21T00:54:16Z), or -2h, -90s".to_string())
    }
}

impl Place {
    /// The place where the journal's last stamp is `last`: never [`Place::Back`].
    pub fn resolved(self, last: Hlc) -> Place {
        match self {
            Place::Back(ms) => Place::Time(last.millis().plus(-ms)),
            place => place,
        }
    }

    /// Whether a record is at this place or after it.
    pub fn is_reached(self, at: Position, stamp: Hlc) -> bool {
        match self {
            Place::At(place) => at >= place,
            Place::Time(time) => stamp.millis() >= time,
            Place::Back(_) => false,
        }
    }

    /// Whether a record is after this place.
    pub fn is_passed(self, at: Position, stamp: Hlc) -> bool {
        match self {
            Place::At(place) => at > place,
            Place::Time(time) => stamp.millis() > time,
            Place::Back(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_write_them() {
        let at = |offset| Place::At(Position { partition: 0, offset });
        for (text, expected) in [
            ("0/123", Some(at(123))),
            ("1970-01-01T00:00:01Z", Some(Place::Time(Millis(1_000)))),
            ("-2h", Some(Place::Back(7_200_000))),
            ("-1h30m5s7ms", Some(Place::Back(5_405_007))),
            ("-0", Some(Place::Back(0))),
            ("2h", None),
            ("-", None),
            ("-2", None),
            ("-h", None),
            ("-2x", None),
            ("-99999999999999999d", None),
            ("-9223372036854775807s", None),
            ("123", None),
            ("-é", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Place>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn both_ends_belong_to_a_range() {
        let (end, stamp) = (Position { partition: 0, offset: 9 }, |ms: i64| Hlc((ms as u64) << 16 | 3));
        for place in [Place::At(end), Place::Time(Millis(500)), Place::Back(100).resolved(stamp(600))] {
            let of = |offset, ms| {
                let at = Position { partition: 0, offset };
                (place.is_reached(at, stamp(ms)), place.is_passed(at, stamp(ms)))
            };
            assert_eq!([of(8, 499), of(9, 500), of(10, 501)], [(false, false), (true, false), (true, true)]);
        }
    }
}
