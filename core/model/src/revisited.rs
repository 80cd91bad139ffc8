//! What past instants of an alerting rule give with what came late (`docs/formats/revisited.md`).
use crate::canonical_struct;
use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::facts::Stretch;
use crate::ids::{AlertId, Digest};
use crate::labels::Labels;
use alloc::string::String;
use alloc::vec::Vec;

/// Version of this layout.
pub const FORMAT: u16 = 1;

/// An answer: one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revisited {
    /// Digest of the question in canonical bytes.
    pub question: Digest,
    /// Why nothing can be said, in words; empty where it can.
    pub reason: String,
    /// What would have been: by alert, of one alert in time.
    pub occurrences: Vec<Occurred>,
}

/// An occurrence of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurred {
    /// The alert.
    pub alert: AlertId,
    /// Labels as they leave.
    pub labels: Labels,
    /// When.
    pub stretch: Stretch,
}
canonical_struct!(Occurred { alert, labels, stretch });

impl Occurred {
    /// Whether each is sound, and they come by alert, of one alert one after the other.
    pub fn are_in_order(all: &[Occurred]) -> bool {
        let follow = |a: &Occurred, b: &Occurred| {
            let ended = a.stretch.resolved_at.is_some_and(|end| end <= b.stretch.active_at);
            a.alert < b.alert || a.alert == b.alert && ended && a.stretch.active_at < b.stretch.active_at
        };
        all.iter().all(|it| it.stretch.is_sound()) && all.windows(2).all(|pair| follow(&pair[0], &pair[1]))
    }
}

impl Canonical for Revisited {
    fn write(&self, w: &mut Writer) {
        w.array(4);
        FORMAT.write(w);
        self.question.write(w);
        self.reason.write(w);
        self.occurrences.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array_of(4)?;
        let newer = r.invalid("answer of format 1");
        if u16::read(r)? != FORMAT {
            return Err(newer);
        }
        let question = Canonical::read(r)?;
        let refused = r.invalid("occurrences in order, or why there are none");
        let (reason, occurrences) = (String::read(r)?, Vec::<Occurred>::read(r)?);
        let is_one = reason.is_empty() || occurrences.is_empty();
        if is_one && Occurred::are_in_order(&occurrences) {
            Ok(Revisited { question, reason, occurrences })
        } else {
            Err(refused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;
    use alloc::vec;

    #[test]
    fn an_answer_has_one_form() {
        let one = |active: i64, fired: Option<i64>, end: Option<i64>| Occurred {
            alert: AlertId::of_parts(&[b"a"]),
            labels: Labels::new([("alertname", "A")]),
            stretch: Stretch { active_at: Millis(active), fired_at: fired.map(Millis), resolved_at: end.map(Millis) },
        };
        let answer = |reason: &str, occurrences| {
            Revisited { question: Digest::of(b"q"), reason: reason.into(), occurrences }.to_bytes()
        };
        let good = answer("", vec![one(1, None, Some(2)), one(2, Some(3), None)]);
        assert_eq!(Revisited::from_bytes(&good).map(|it| it.to_bytes()), Ok(good.clone()));
        let mut newer = good;
        newer[1] = 2;
        let hostile = [
            newer,
            answer("no", vec![one(1, None, None)]),
            answer("", vec![one(1, None, None), one(2, None, None)]),
            answer("", vec![one(2, None, None), one(1, None, Some(1))]),
            answer("", vec![one(2, Some(1), None)]),
            answer("", vec![one(2, Some(4), Some(3))]),
            answer("", vec![one(2, None, Some(1))]),
        ];
        for (number, bytes) in hostile.iter().enumerate() {
            assert!(Revisited::from_bytes(bytes).is_err(), "{number} is taken");
        }
    }
}
