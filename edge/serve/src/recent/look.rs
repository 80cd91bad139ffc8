//! What there is, not what it was: label sets, names and values of series with samples in a stretch of time.
use super::block::{BETWEEN, BlockError, is_key, labels_of, pairs_of, value_of};
use super::matching::Known;
use super::select::SERIES_MAX;
use super::texts::{LabelSets, Texts};
use super::{Recent, SelectError};
use faultline_model::Millis;
use faultline_promql::Matcher;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Is shown series of blocks by their keys.
type ByKey<'a> = dyn FnMut(bool, &[u8]) -> Result<ControlFlow<()>, BlockError> + 'a;

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
        if sets.is_empty() {
            if self.head_overlaps(from, to) {
                self.index.names().iter().for_each(|(name, _)| add(name));
            }
            for block in self.blocks.within(from, to) {
                block.names(&mut add).map_err(|error| self.blocks.refused(&block, error))?;
            }
        }
        for set in sets {
            for labels in self.labels_in_memory(set, from, to)? {
                labels.names().for_each(&mut add);
            }
            // Series of one metric have mostly the same names.
            let (mut names, mut before) = (Vec::new(), Vec::new());
            self.each_key(set, from, to, &mut |_, key| {
                names.clear();
                pairs_of(key).for_each(|(name, _)| {
                    names.extend_from_slice(name);
                    names.push(BETWEEN);
                });
                if names != before {
                    labels_of(key)?.names().for_each(&mut add);
                    before.clone_from(&names);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(names.into_iter().collect())
    }

    /// Label sets of series with samples within `from..=to`, or about, that all of one of `sets` accept.
    pub fn label_sets(&self, sets: &[Vec<Matcher>], from: Millis, to: Millis) -> Result<LabelSets, SelectError> {
        let mut all = LabelSets::default();
        for set in sets {
            all.begin();
            let most = all.len() + SERIES_MAX;
            for labels in self.labels_in_memory(set, from, to)? {
                all.add(&labels);
            }
            self.each_key(set, from, to, &mut |is_first, key| {
                if is_first {
                    all.begin();
                }
                if !is_key(key) {
                    return Err(BlockError::Damaged("a series has no labels that could be"));
                }
                all.add_key(key);
                Ok(if all.len() > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        Ok(all.settled())
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
                values.add_all(block.values(name).map_err(|error| self.blocks.refused(&block, error))?);
            }
        }
        Ok(values.settled())
    }

    /// Adds the values of a label that series have which all matchers accept.
    fn add_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        from: Millis,
        to: Millis,
        values: &mut Texts,
    ) -> Result<(), SelectError> {
        values.begin();
        // Memory first, as in `select`.
        for labels in self.labels_in_memory(matchers, from, to)? {
            Some(labels.get(name)).filter(|value| !value.is_empty()).into_iter().for_each(|value| values.add(value));
        }
        self.each_key(matchers, from, to, &mut |is_first, key| {
            if is_first {
                values.begin();
            }
            Some(value_of(key, name)?)
                .filter(|value| !value.is_empty())
                .into_iter()
                .for_each(|value| values.add(value));
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Visits the keys of the series of blocks that all matchers accept, of one block after the other: no label sets are made of
    /// them.
    ///
    /// - `visit`: is told whether it is the first of a block; breaks where there are too many.
    fn each_key(
        &self,
        matchers: &[Matcher],
        from: Millis,
        to: Millis,
        visit: &mut ByKey<'_>,
    ) -> Result<(), SelectError> {
        for block in self.blocks.within(from, to) {
            let (mut known, mut count, mut too_many) = (Known::new(matchers), 0, false);
            let read = block.each_candidate(matchers, from, to, &mut |key, _| {
                let mut wrong = None;
                let accepted = known.accept_by(|name| {
                    value_of(key, name).unwrap_or_else(|error| {
                        wrong = Some(error);
                        ""
                    })
                });
                if let Some(error) = wrong {
                    return Err(error);
                }
                if accepted {
                    count += 1;
                    too_many = visit(count == 1, key)?.is_break() || count > SERIES_MAX;
                }
                Ok(if too_many { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            });
            read.map_err(|error| self.blocks.refused(&block, error))?;
            if too_many {
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
