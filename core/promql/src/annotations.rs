//! Warnings and infos of an evaluation: what is probably not meant, though it has a value.
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;
use core::ops::Range;

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
    places: BTreeMap<(Level, String), Range<usize>>,
    left_out: u64,
    muted: bool,
}

/// One annotation. It prints as Prometheus prints it, without the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation<'a> {
    /// How much it matters.
    pub level: Level,
    /// What it says, in Prometheus' words.
    pub text: &'a str,
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

    /// Whether nothing is kept, so that nothing need be looked for.
    pub(crate) fn is_muted(&self) -> bool {
        self.muted
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
        self.places.iter().map(|((level, text), at)| Annotation { level: *level, text, at: at.clone() })
    }

    /// How many were left out because there were too many.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Takes in those of another evaluation of the same expression, for instance at another instant.
    pub fn merge(&mut self, others: Annotations) {
        for ((level, text), at) in others.places {
            self.add(level, text, at);
        }
        self.left_out += others.left_out;
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>, at: impl Into<Range<usize>>) {
        self.add(Level::Warning, text.into(), at.into());
    }

    pub(crate) fn info(&mut self, text: impl Into<String>, at: impl Into<Range<usize>>) {
        self.add(Level::Info, text.into(), at.into());
    }

    /// Where a text is about several places, the last of them is told, as in Prometheus.
    fn add(&mut self, level: Level, text: String, at: Range<usize>) {
        if self.muted {
            return;
        }
        let full = self.places.len() >= TEXTS_MAX;
        let key = (level, text);
        match self.places.get_mut(&key) {
            Some(place) => *place = at,
            None if full => self.left_out += 1,
            None => {
                self.places.insert(key, at);
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
    fn there_is_a_bound() {
        let mut all = Annotations::default();
        (0..TEXTS_MAX + 5).for_each(|i| all.info(format!("{i}"), 0..1));
        all.info("7", 2..3);
        assert_eq!((all.iter().count(), all.left_out()), (TEXTS_MAX, 5));
    }
}
