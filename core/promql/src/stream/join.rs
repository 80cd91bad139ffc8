//! Arithmetic and comparison between two vectors.
use super::{Delta, Side};
use crate::eval::{Join, Pair, Said, signature};
use crate::expr::{BinOp, Binary, Matching, Span};
use crate::{Element, EvalError};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use faultline_model::{Labels, Number};

#[derive(Clone, Debug)]
pub(super) struct Joined {
    op: BinOp,
    bool: bool,
    matching: Matching,
    at: Span,
    pairs: BTreeMap<Labels, Matched>,
    /// How many elements each side has: with none on one side, nothing is compared and nothing can be wrong.
    left: usize,
    right: usize,
}

/// The elements of one signature, and what came of them.
#[derive(Clone, Debug, Default)]
struct Matched {
    pair: Pair,
    output: BTreeMap<Labels, Number>,
    error: Option<EvalError>,
}

impl Matched {
    fn compute(&mut self, join: &Join<'_>, signature: &Labels) {
        let mut output = Vec::new();
        let result = if join.loses_part_of(signature) { Err(super::map::loses_metadata()) } else { Ok(()) };
        let result = result
            .and_then(|()| join.unique(signature, &self.pair))
            .and_then(|()| join.apply(signature, &self.pair, &mut output, &mut Said::muted()));
        self.error = result.err();
        let output = if self.error.is_some() { Vec::new() } else { output };
        self.output = output.into_iter().map(|e| (e.labels, e.value.canonical())).collect();
    }
}

impl Joined {
    pub(super) fn new(b: &Binary, at: Span) -> Joined {
        let matching = b.matching.clone();
        Joined { op: b.op, bool: b.bool, matching, at, pairs: BTreeMap::new(), left: 0, right: 0 }
    }

    /// Whether results have no longer the metric's name.
    pub(super) fn drops_name(&self) -> bool {
        Join { op: self.op, bool: self.bool, matching: &self.matching, at: self.at, delays_names: false }.drops_name()
    }

    /// Whether something stands in for what is missing on one side.
    pub(super) fn fills(&self) -> bool {
        !self.matching.fill.is_none()
    }

    /// Fails if what is compared cannot be matched.
    fn check(&self) -> Result<(), EvalError> {
        if (self.left == 0 || self.right == 0) && self.matching.fill.is_none() {
            return Ok(());
        }
        let join = Join { op: self.op, bool: self.bool, matching: &self.matching, at: self.at, delays_names: false };
        // In the order in which the grid finds them.
        let several = |(labels, matched): (&Labels, &Matched)| join.unique(labels, &matched.pair).err();
        let first = self.pairs.values().find_map(|matched| matched.error.clone());
        first.map_or(Ok(()), |first| Err(self.pairs.iter().find_map(several).unwrap_or(first)))
    }

    pub(super) fn feed(&mut self, side: Side, deltas: &[Delta], found: &mut Vec<Delta>) -> Result<(), EvalError> {
        let join = Join { op: self.op, bool: self.bool, matching: &self.matching, at: self.at, delays_names: false };
        let (mut failed, mut appeared) = (false, false);
        for delta in deltas {
            let key = signature(&self.matching, &delta.labels);
            let matched = self.pairs.entry(key.clone()).or_default();
            let (held, count) = match side {
                Side::Left => (&mut matched.pair.left, &mut self.left),
                Side::Right => (&mut matched.pair.right, &mut self.right),
            };
            match (held.binary_search_by(|(labels, _)| labels.cmp(&delta.labels)), &delta.new) {
                (Ok(place), Some(x)) => held[place].1 = x.clone(),
                (Ok(place), None) => {
                    held.remove(place);
                    *count -= 1;
                }
                (Err(place), Some(x)) => {
                    held.insert(place, (delta.labels.clone(), x.clone()));
                    *count += 1;
                    appeared |= *count == 1;
                }
                (Err(_), None) => {}
            }
            let before = core::mem::take(&mut matched.output);
            matched.compute(&join, &key);
            failed |= matched.error.is_some();
            let gone = before.iter().filter(|(labels, _)| !matched.output.contains_key(*labels));
            found.extend(gone.filter_map(|(labels, old)| Delta::between(labels, Some(old.clone()), None)));
            let now = matched.output.iter();
            found.extend(
                now.filter_map(|(labels, x)| Delta::between(labels, before.get(labels).cloned(), Some(x.clone()))),
            );
            if matched.pair.left.is_empty() && matched.pair.right.is_empty() {
                self.pairs.remove(&key);
            }
        }
        // What was wrong before fails every evaluation already, unless a side was empty until now.
        if failed || appeared {
            self.check()?;
        }
        Ok(())
    }

    pub(super) fn rebuild(&mut self, inputs: Vec<(Side, Element)>) -> Result<(), EvalError> {
        (self.left, self.right) = (0, 0);
        self.pairs.clear();
        for (side, Element { labels, value }) in inputs {
            let pair = &mut self.pairs.entry(signature(&self.matching, &labels)).or_default().pair;
            let (held, count) = match side {
                Side::Left => (&mut pair.left, &mut self.left),
                Side::Right => (&mut pair.right, &mut self.right),
            };
            held.push((labels, value));
            *count += 1;
        }
        let join = Join { op: self.op, bool: self.bool, matching: &self.matching, at: self.at, delays_names: false };
        for (signature, matched) in &mut self.pairs {
            matched.pair.left.sort_by(|a, b| a.0.cmp(&b.0));
            matched.pair.right.sort_by(|a, b| a.0.cmp(&b.0));
            matched.compute(&join, signature);
        }
        self.check()
    }

    pub(super) fn output(&self) -> Vec<Element> {
        let all = self.pairs.values().flat_map(|matched| &matched.output);
        all.map(|(labels, value)| Element { labels: labels.clone(), value: value.clone() }).collect()
    }
}
