//! What there is, not what it was: label sets, names and values of series with samples in a stretch of time.
use super::block::value_of;
use super::matching::Known;
use super::select::SERIES_MAX;
use super::{Recent, SelectError};
use faultline_model::{Labels, Millis};
use faultline_promql::Matcher;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Texts in order, each once, in two allocations: a label may have a million values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Texts {
    all: String,
    ends: Vec<usize>,
    /// Whether they have yet to be put in order.
    mixed: bool,
}

impl Texts {
    /// Adds one. Most come in order, and one after itself.
    fn add(&mut self, text: &str) {
        let last = self.ends.len().checked_sub(1).map(|last| self.text(last));
        if last == Some(text) {
            return;
        }
        self.mixed |= last.is_some_and(|last| last > text);
        self.all.push_str(text);
        self.ends.push(self.all.len());
    }

    fn text(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start..self.ends[index]]
    }

    /// Puts them in order, each once.
    fn settled(self) -> Texts {
        if !self.mixed {
            return self;
        }
        let mut all: Vec<&str> = self.iter().collect();
        all.sort();
        let mut settled = Texts::default();
        all.into_iter().for_each(|text| settled.add(text));
        settled
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.text(index))
    }
}

impl Recent {
    /// Names of labels of series with samples within `from..=to`, or about; of those that all of one of `sets` accept, where
    /// there are any.
    pub fn label_names(&self, sets: &[Vec<Matcher>], from: Millis, to: Millis) -> Result<Vec<String>, SelectError> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut add = |name: &str| {
            if !names.contains(name) {
                names.insert(name.to_owned());
            }
        };
        for set in sets {
            self.series(set, from, to)?.iter().flat_map(Labels::names).for_each(&mut add);
        }
        if sets.is_empty() {
            if self.head_overlaps(from, to) {
                self.index.names().iter().for_each(|(name, _)| add(name));
            }
            for block in self.blocks.within(from, to) {
                let read = block.pairs(|name, _| {
                    add(name);
                    ControlFlow::Continue(())
                });
                read.map_err(|error| self.blocks.refused(&block, error))?;
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Values of a label, by the rules of [`Recent::label_names`].
    pub fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        from: Millis,
        to: Millis,
    ) -> Result<Texts, SelectError> {
        let mut values = Texts::default();
        for set in sets {
            self.add_values(name, set, from, to, &mut values)?;
        }
        if sets.is_empty() {
            if self.head_overlaps(from, to) {
                self.index.values(name, |_| true).iter().for_each(|(value, _)| values.add(value));
            }
            for block in self.blocks.within(from, to) {
                let read = block.values(name, |value| {
                    values.add(value);
                    ControlFlow::Continue(())
                });
                read.map_err(|error| self.blocks.refused(&block, error))?;
            }
        }
        Ok(values.settled())
    }

    /// Adds the values of a label that series have which all matchers accept. Of what a block has no label sets are made.
    fn add_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        from: Millis,
        to: Millis,
        values: &mut Texts,
    ) -> Result<(), SelectError> {
        // Memory first, as in `select`.
        for labels in self.labels_in_memory(matchers, from, to)? {
            Some(labels.get(name)).filter(|value| !value.is_empty()).into_iter().for_each(|value| values.add(value));
        }
        for block in self.blocks.within(from, to) {
            let (mut known, mut count) = (Known::new(matchers), 0);
            let read = block.each_candidate(matchers, from, to, &mut |key, _| {
                let mut wrong = None;
                let value = |name: &str| value_of(key, name);
                let accepted = known.accept_by(|name| {
                    value(name).unwrap_or_else(|error| {
                        wrong = Some(error);
                        ""
                    })
                });
                match wrong {
                    Some(error) => return Err(error),
                    None if !accepted => return Ok(ControlFlow::Continue(())),
                    None => count += 1,
                }
                Some(value(name)?).filter(|value| !value.is_empty()).into_iter().for_each(|value| values.add(value));
                Ok(if count > SERIES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            });
            read.map_err(|error| self.blocks.refused(&block, error))?;
            if count > SERIES_MAX {
                return Err(SelectError::TooMany);
            }
        }
        Ok(())
    }

    fn head_overlaps(&self, from: Millis, to: Millis) -> bool {
        if from > to {
            return false;
        }
        let (newest, oldest) = {
            let head = self.read();
            (head.newest, head.oldest)
        };
        from <= newest && to >= oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_in_order_and_once() {
        for (added, expected) in [
            (&[][..], &[][..]),
            (&["a", "a", "b"], &["a", "b"]),
            (&["b", "c", "a", "b", "", "a"], &["", "a", "b", "c"]),
            (&["b", "c", "b", "c", "d"], &["b", "c", "d"]),
        ] {
            let mut texts = Texts::default();
            added.iter().for_each(|text| texts.add(text));
            let texts = texts.settled();
            assert_eq!((texts.iter().collect::<Vec<_>>(), texts.is_empty()), (expected.to_vec(), expected.is_empty()));
        }
    }
}
