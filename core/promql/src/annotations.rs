//! Warnings and infos of an evaluation: what is probably not meant, though it has a value.
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::ops::Range;
use faultline_model::{Millis, float};

/// Most different texts that one evaluation keeps. More are only counted.
const TEXTS_MAX: usize = 200;

/// How much an annotation matters. Warnings come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is probably wrong.
    Warning,
    /// Something may be wrong.
    Info,
}

/// The annotations of an evaluation, each text once, in a fixed order: warnings, then infos, each by their texts.
///
/// Memory: at most 200 texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    places: BTreeMap<(Level, String), Place>,
    left_out: u64,
    muted: bool,
}

/// Where the cause of a text stands, and more of it where there is more to say.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    at: Range<usize>,
    repaired: Option<Repaired>,
}

impl Eq for Place {}

/// How classic histograms were repaired whose counts fell from one bucket to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Repaired {
    /// The first instant and the last.
    pub(crate) times: (Millis, Millis),
    /// The least and the greatest upper bound of a bucket whose count was raised.
    pub(crate) bounds: (f64, f64),
    /// The most by which a count was raised.
    pub(crate) difference: f64,
    /// How many histograms there were.
    pub(crate) count: u64,
}

impl Repaired {
    fn merged(self, other: Repaired) -> Repaired {
        Repaired {
            times: (self.times.0.min(other.times.0), self.times.1.max(other.times.1)),
            bounds: (float::min(self.bounds.0, other.bounds.0), float::max(self.bounds.1, other.bounds.1)),
            difference: float::max(self.difference, other.difference),
            count: self.count + other.count,
        }
    }
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repaired { times, bounds, difference, count } = self;
        let (least, most) = (float::general(bounds.0), float::general(bounds.1));
        let difference = two_digits(*difference);
        let second = |time: Millis| Millis(time.0 / 1000 * 1000).to_string().replace(".000Z", "Z");
        let (from, to) = (second(times.0), second(times.1));
        write!(
            f,
            "from buckets {least} to {most}, with a max diff of {difference}, over {count} samples from {from} to {to}"
        )
    }
}

/// A number as Go's `%.2g` prints it.
fn two_digits(x: f64) -> String {
    if !x.is_finite() {
        return float::general(x);
    }
    let text = format!("{x:.1e}");
    let (mantissa, exponent) = text.split_once('e').expect("written with an exponent");
    let exponent: i32 = exponent.parse().expect("a number just written");
    if (-4..2).contains(&exponent) {
        return float::general(text.parse().expect("a number just written"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", mantissa.strip_suffix(".0").unwrap_or(mantissa), exponent.unsigned_abs())
}

/// One annotation. It prints as Prometheus prints it, without the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation<'a> {
    /// How much it matters.
    pub level: Level,
    /// What it says, in Prometheus' words.
    pub text: Cow<'a, str>,
    /// Bytes of the expression's text that it is about.
    pub at: Range<usize>,
}

impl fmt::Display for Annotation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Warning => "warning",
            Level::Info => "info",
        };
        write!(f, "PromQL {level}: {}", self.text)
    }
}

impl Annotations {
    /// What keeps nothing: for evaluations whose annotations nobody reads.
    pub(crate) fn muted() -> Annotations {
        Annotations { muted: true, ..Annotations::default() }
    }

    /// An empty one beside this one, to be merged into it.
    pub(crate) fn beside(&self) -> Annotations {
        Annotations { muted: self.muted, ..Annotations::default() }
    }

    /// Whether anybody reads them.
    pub(crate) fn listens(&self) -> bool {
        !self.muted
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Annotation<'_>> {
        self.places.iter().map(|((level, text), place)| {
            let text = match &place.repaired {
                None => Cow::Borrowed(&**text),
                Some(repaired) => Cow::Owned(format!("{text}, {repaired}")),
            };
            Annotation { level: *level, text, at: place.at.clone() }
        })
    }

    /// How many were left out because there were too many.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Takes in those of another evaluation of the same expression, for instance at another instant.
    pub fn merge(&mut self, others: Annotations) {
        for ((level, text), place) in others.places {
            self.add(level, text, place);
        }
        self.left_out += others.left_out;
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>, at: impl Into<Range<usize>>) {
        self.add(Level::Warning, text.into(), Place { at: at.into(), repaired: None });
    }

    pub(crate) fn info(&mut self, text: impl Into<String>, at: impl Into<Range<usize>>) {
        self.add(Level::Info, text.into(), Place { at: at.into(), repaired: None });
    }

    /// An info of histograms that were repaired.
    pub(crate) fn repaired(&mut self, text: impl Into<String>, at: impl Into<Range<usize>>, repaired: Repaired) {
        self.add(Level::Info, text.into(), Place { at: at.into(), repaired: Some(repaired) });
    }

    /// Where a text is about several places, the last of them is told, as in Prometheus; of repairs the first.
    fn add(&mut self, level: Level, text: String, place: Place) {
        if self.muted {
            return;
        }
        let full = self.places.len() >= TEXTS_MAX;
        let key = (level, text);
        match self.places.get_mut(&key) {
            Some(held) => match (&mut held.repaired, place.repaired) {
                (Some(all), Some(more)) => *all = all.merged(more),
                _ => *held = place,
            },
            None if full => self.left_out += 1,
            None => {
                self.places.insert(key, place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn each_text_once_warnings_first() {
        let mut all = Annotations::default();
        all.info("b", 1..2);
        all.warn("c", 3..4);
        all.info("a", 5..6);
        all.info("b", 7..8);
        let mut more = Annotations::default();
        more.warn("c", 9..10);
        all.merge(more);
        let found: Vec<_> = all.iter().map(|a| (a.to_string(), a.at.start)).collect();
        let expected = [("PromQL warning: c", 9), ("PromQL info: a", 5), ("PromQL info: b", 7)];
        assert_eq!(found, expected.map(|(text, at)| (text.to_string(), at)));
    }

    #[test]
    fn repairs_of_one_text_are_one() {
        let repaired = |time: i64, bounds, difference| Repaired {
            times: (Millis(time), Millis(time)),
            bounds,
            difference,
            count: 1,
        };
        let mut all = Annotations::default();
        all.repaired("fixed", 3..4, repaired(61_999, (0.5, 1.0), 123.0));
        all.repaired("fixed", 5..6, repaired(1_000, (1.0, f64::INFINITY), 0.125));
        let found: Vec<_> = all.iter().map(|a| (a.to_string(), a.at.start)).collect();
        let expected = "PromQL info: fixed, from buckets 0.5 to +Inf, with a max diff of 1.2e+02, over 2 samples from \
            1970-01-01T00:00:01Z to 1970-01-01T00:01:01Z";
        assert_eq!(found, [(expected.to_string(), 3)]);
        // Against Go: `fmt.Sprintf("%.2g", x)`.
        for (x, text) in [(10.0, "10"), (0.000_123_4, "0.00012"), (99.6, "1e+02"), (2.0, "2"), (1e-7, "1e-07")] {
            assert_eq!(two_digits(x), text);
        }
    }

    #[test]
    fn there_is_a_bound() {
        let mut all = Annotations::default();
        (0..TEXTS_MAX + 5).for_each(|i| all.info(format!("{i}"), 0..1));
        all.info("7", 2..3);
        assert_eq!((all.iter().count(), all.left_out()), (TEXTS_MAX, 5));
    }
}
