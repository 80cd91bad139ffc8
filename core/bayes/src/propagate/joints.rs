//! Posteriors of several variables together, where one clique holds them: what learning a table from incomplete cases asks for.
//!
//! After a pass in which everything was asked for, a clique's table, scaled by its separator's posterior over its own message, is
//! `P(clique | e)`; a sum over the rest of it is the answer. No further pass is needed.
//! Source: Lauritzen, "The EM algorithm for graphical association models with missing data", Computational Statistics & Data
//! Analysis 19(2), 1995.
use alloc::vec;
use alloc::vec::Vec;

use crate::axes::{self, Axes};
use crate::cliques::ROOT;
use crate::error::InferenceError;
use crate::evidence::Evidence;
use crate::factor::FREE;
use crate::network::VarId;
use crate::propagate::{Joint, Session, State};
use crate::question::{Question, Slice};
use crate::weight::Weight;

impl Session<'_> {
    /// `P(family | e)` of each family of variables, row-major, the last of its variables fastest, summing to 1; `None` for a family that
    /// no clique holds. A variable and its parents are always in one clique.
    ///
    /// Fails as [`Session::propagate`] does, and on an unknown variable.
    pub fn joints(
        &mut self,
        evidence: &Evidence,
        families: &[Vec<VarId>],
    ) -> Result<Vec<Option<Vec<f64>>>, InferenceError> {
        let count = self.tree.cards.len();
        if let Some(&variable) = families.iter().flatten().find(|variable| variable.index() >= count) {
            return Err(InferenceError::UnknownVariable { variable, count });
        }
        let (_, joints) = self.answer_with(evidence, vec![true; count], families)?;
        Ok(joints)
    }
}

impl<W: Weight> State<W> {
    /// See [`Session::joints`]; everything was asked for and nothing is stale.
    pub(super) fn joints(&self, question: &Question, slices: &[Slice], families: &[Vec<VarId>]) -> Vec<Joint> {
        // Families that follow one another often share a clique.
        let (mut at, mut table) = (ROOT, Vec::new());
        let mut joint = |family: &Vec<VarId>| {
            let free = || family.iter().filter(|v| question.observed[v.index()] == FREE);
            let card = |v: &VarId| question.tree.cards[v.index()] as usize;
            let mut strides = vec![1; family.len()];
            for at in (0..family.len()).rev().skip(1) {
                strides[at] = strides[at + 1] * card(&family[at + 1]);
            }
            let known = family.iter().zip(&strides).filter(|(v, _)| question.observed[v.index()] != FREE);
            let base: usize = known.map(|(v, stride)| question.observed[v.index()] as usize * stride).sum();
            let mut joint = vec![0.0; family.iter().map(card).product()];
            // Of what is not observed, the first eliminated has its home where all of them meet.
            let Some(home) = free().map(|v| question.tree.forest.home[v.index()]).max() else {
                joint[base] = 1.0;
                return Some(joint);
            };
            let forest = &question.tree.forest;
            let scope = forest.scope(forest.cliques.get(home as usize)?);
            if !free().all(|v| scope.contains(&v.0)) {
                return None;
            }
            if at != home {
                self.posterior(question, slices, home as usize, &mut table);
                at = home;
            }
            let mut lies = Axes::new();
            for &v in scope.iter().rev().filter(|&&v| question.observed[v as usize] == FREE) {
                let stride = family.iter().position(|other| other.0 == v).map_or(0, |at| strides[at] as u32);
                lies.push(question.tree.cards[v as usize], stride);
            }
            let mut sums = vec![W::ZERO; joint.len()];
            axes::sum_onto(&table, &lies, &mut sums[base..]);
            let whole = axes::total(&sums);
            joint.iter_mut().zip(&sums).for_each(|(value, &sum)| *value = sum.over(whole).value());
            Some(joint)
        };
        families.iter().map(&mut joint).collect()
    }

    /// Fills `table` with `P(clique | e)`, up to a factor, less what is observed.
    fn posterior(&self, question: &Question, slices: &[Slice], at: usize, table: &mut Vec<W>) {
        let (clique, slice) = (&question.tree.forest.cliques[at], &slices[at]);
        let mut scale = match clique.parent {
            ROOT => vec![W::ONE],
            _ => self.separators[at].clone(),
        };
        if let Some(message) = &self.messages[at] {
            let unit = W::ONE.shift(message.power);
            for (scale, &sent) in scale.iter_mut().zip(&message.values) {
                *scale = scale.over(sent.times(unit));
            }
        }
        if slice.dirty {
            table.clone_from(&self.tables[at]);
        } else {
            question.load(clique, slice, table);
        }
        for (row, &scale) in table.chunks_exact_mut(slice.columns).zip(&scale) {
            row.iter_mut().for_each(|value| *value = value.times(scale));
        }
    }
}
