//! Many texts in order, each once, in two allocations: a label may have a million values, and a selector as many series.
use super::block::{in_label_order, key, pairs_of};
use faultline_model::Labels;
use std::cmp::Ordering;
use std::sync::Arc;

/// What both kinds are: runs, most of them in order, one after the other. What a run has that one before had is not taken in again.
#[derive(Clone, Debug)]
struct Runs {
    all: Vec<u8>,
    ends: Vec<usize>,
    order: fn(&[u8], &[u8]) -> Ordering,
    /// Whether they have yet to be put in order.
    mixed: bool,
    /// How many runs before this one left, in order, and how many of them come before what was added last.
    known: usize,
    passed: usize,
}

impl Runs {
    fn new(order: fn(&[u8], &[u8]) -> Ordering) -> Runs {
        Runs { all: Vec::new(), ends: Vec::new(), order, mixed: false, known: 0, passed: 0 }
    }

    fn text(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start..self.ends[index]]
    }

    /// Another run begins.
    fn begin(&mut self) {
        self.settle();
        (self.known, self.passed) = (self.ends.len(), 0);
    }

    /// Adds one. Most come in order, and one after itself.
    fn add(&mut self, text: &[u8]) {
        while self.passed < self.known {
            match (self.order)(self.text(self.passed), text) {
                Ordering::Less => self.passed += 1,
                Ordering::Equal => return,
                Ordering::Greater => break,
            }
        }
        if let Some(last) = self.ends.len().checked_sub(1) {
            match (self.order)(self.text(last), text) {
                Ordering::Less => {}
                Ordering::Equal => return,
                Ordering::Greater => self.mixed = true,
            }
        }
        self.all.extend_from_slice(text);
        self.ends.push(self.all.len());
    }

    /// Puts them in order, each once.
    fn settle(&mut self) {
        if !self.mixed {
            return;
        }
        let mut all: Vec<&[u8]> = (0..self.ends.len()).map(|index| self.text(index)).collect();
        // Runs that are in order are merged.
        all.sort_by(|a, b| (self.order)(a, b));
        let mut settled = Runs::new(self.order);
        all.into_iter().for_each(|text| settled.add(text));
        *self = settled;
    }
}

/// Texts in order, each once.
#[derive(Clone, Debug)]
pub struct Texts(Runs);

impl Default for Texts {
    fn default() -> Texts {
        Texts(Runs::new(<[u8]>::cmp))
    }
}

impl Texts {
    /// Texts of another source follow.
    pub(super) fn begin(&mut self) {
        self.0.begin();
    }

    /// Adds one.
    pub(super) fn add(&mut self, text: &str) {
        self.0.add(text.as_bytes());
    }

    /// Adds what another source has, in order.
    pub(super) fn add_all(&mut self, others: Arc<Texts>) {
        if self.is_empty() {
            *self = Arc::unwrap_or_clone(others);
        } else {
            self.begin();
            (0..others.len()).for_each(|index| self.0.add(others.0.text(index)));
        }
    }

    /// Bytes of memory, about.
    pub(super) fn size(&self) -> usize {
        self.0.all.capacity() + self.0.ends.capacity() * size_of::<usize>()
    }

    /// All of them, in order.
    pub(super) fn settled(mut self) -> Texts {
        self.0.settle();
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| std::str::from_utf8(self.0.text(index)).expect("added as text"))
    }
}

/// Label sets in label order, each once.
#[derive(Clone, Debug)]
pub struct LabelSets {
    keys: Runs,
    room: Vec<u8>,
}

impl Default for LabelSets {
    fn default() -> LabelSets {
        LabelSets { keys: Runs::new(in_label_order), room: Vec::new() }
    }
}

impl LabelSets {
    /// Those of another source follow.
    pub(super) fn begin(&mut self) {
        self.keys.begin();
    }

    /// Adds one.
    pub(super) fn add(&mut self, labels: &Labels) {
        key(labels, &mut self.room);
        self.keys.add(&self.room);
    }

    /// Adds one by its key, which must be that of labels.
    pub(super) fn add_key(&mut self, key: &[u8]) {
        self.keys.add(key);
    }

    /// All of them, in order.
    pub(super) fn settled(mut self) -> LabelSets {
        self.keys.settle();
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.ends.is_empty()
    }

    /// The names and values of each, in order: bytes of texts.
    pub fn iter(&self) -> impl Iterator<Item = impl Iterator<Item = (&[u8], &[u8])> + Clone> {
        (0..self.len()).map(|index| pairs_of(self.keys.text(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_in_order_and_once() {
        for (runs, expected) in [
            (&[&[][..]][..], &[][..]),
            (&[&["a", "a", "b"]], &["a", "b"]),
            (&[&["b", "c", "a", "b", "", "a"]], &["", "a", "b", "c"]),
            (&[&["b", "c", "b", "c", "d"]], &["b", "c", "d"]),
            (&[&["b", "c"], &["b", "c"]], &["b", "c"]),
            (&[&["b", "d"], &["a", "b", "c", "d", "e"], &["c", "a", "f", "a"]], &["a", "b", "c", "d", "e", "f"]),
            (&[&["d", "b", "d"], &[], &["b", "d", "b"]], &["b", "d"]),
        ] {
            let mut texts = Texts::default();
            for run in runs {
                texts.begin();
                run.iter().for_each(|text| texts.add(text));
            }
            let texts = texts.settled();
            assert_eq!((texts.iter().collect::<Vec<_>>(), texts.is_empty()), (expected.to_vec(), expected.is_empty()));
        }
    }

    #[test]
    fn label_sets_stand_in_label_order() {
        let labels = [
            &[("a", "1")][..],
            &[("a", "1"), ("b", "")],
            &[("a", "1"), ("b", "x")],
            &[("a", "1\u{10ffff}")],
            &[("a", "10"), ("b", "x")],
            &[("ab", "1")],
            &[],
        ]
        .map(|pairs| Labels::new(pairs.iter().copied()));
        let mut expected = labels.to_vec();
        expected.sort();
        expected.dedup();
        let mut sets = LabelSets::default();
        for run in [&labels[2..5], &labels, &labels[..3]] {
            sets.begin();
            run.iter().rev().for_each(|labels| sets.add(labels));
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a text");
        let sets = sets.settled();
        let found: Vec<Labels> =
            sets.iter().map(|pairs| Labels::new(pairs.map(|(name, value)| (text(name), text(value))))).collect();
        assert_eq!((found, sets.len()), (expected, 6));
    }
}
