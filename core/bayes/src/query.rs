//! One question to a network without a tree to keep: only what the question needs is compiled.
//!
//! Variables that neither the targets nor the evidence descend to are *barren* and drop out; variables that the evidence
//! separates from the targets (d-separation) drop out too; observed variables are cut out of the tables before the tree is
//! built. All three leave the answer as it is and can make an intractable network easy. For many questions with changing
//! evidence, a [`Tree`] compiled once is faster.
//! Source: Shachter, "Bayes-Ball: the rational pastime", UAI 1998.
use alloc::vec;
use alloc::vec::Vec;

use crate::error::InferenceError;
use crate::evidence::{Evidence, Finding};
use crate::factor::Factor;
use crate::network::{Network, VarId};
use crate::tree::Tree;

impl Network {
    /// The posteriors of `targets`, in their order, from what is relevant to them.
    ///
    /// - `bound`: as for [`Tree::compile`], but counted over the relevant part only.
    ///
    /// Fails as [`Tree::compile`] and [`Tree::propagate`] do. Evidence that is impossible but irrelevant to the targets goes
    /// unnoticed; [`Network::log_probability`] sees all of it.
    pub fn marginals(
        &self,
        evidence: &Evidence,
        targets: &[VarId],
        bound: u64,
    ) -> Result<Vec<Vec<f64>>, InferenceError> {
        let cards = self.cards();
        evidence.check(&cards)?;
        let count = cards.len();
        if let Some(&variable) = targets.iter().find(|target| target.index() >= count) {
            return Err(InferenceError::UnknownVariable { variable, count });
        }
        let tree = self.relevant(cards, evidence, &self.requisite(evidence, targets), bound)?;
        let posteriors = tree.propagate_for(&Evidence::new(), targets)?;
        Ok(targets.iter().map(|&v| posteriors.marginal(v).expect("asked for").to_vec()).collect())
    }

    /// `ln P(e)`, from the evidence and its ancestors alone.
    ///
    /// - `bound`: as for [`Tree::compile`], but counted over the relevant part only.
    ///
    /// Fails as [`Tree::compile`] does, on evidence that does not fit, and with [`InferenceError::Impossible`] when `P(e)` is 0.
    pub fn log_probability(&self, evidence: &Evidence, bound: u64) -> Result<f64, InferenceError> {
        let cards = self.cards();
        evidence.check(&cards)?;
        let keep = self.ancestral(evidence.variables());
        Ok(self.relevant(cards, evidence, &keep, bound)?.log_total)
    }

    /// The tree of the variables kept, evidence built in.
    fn relevant(
        &self,
        cards: Vec<u32>,
        evidence: &Evidence,
        keep: &[bool],
        bound: u64,
    ) -> Result<Tree, InferenceError> {
        let observed = evidence.states(cards.len());
        let mut factors = self.factors(&observed, keep);
        factors.extend(evidence.soft().filter(|factor| keep[factor.scope[0] as usize]));
        Tree::from_factors(cards, &factors, observed, bound)
    }

    /// Variables and their ancestors: all that is not barren to them.
    pub(crate) fn ancestral(&self, variables: impl Iterator<Item = VarId>) -> Vec<bool> {
        let mut keep = vec![false; self.len()];
        let mut stack: Vec<VarId> = variables.collect();
        while let Some(v) = stack.pop() {
            if !core::mem::replace(&mut keep[v.index()], true) {
                stack.extend(self.parents(v));
            }
        }
        keep
    }

    /// Whose tables can change the targets' posteriors, by bouncing a ball from the targets along the arcs.
    fn requisite(&self, evidence: &Evidence, targets: &[VarId]) -> Vec<bool> {
        let mut children: Vec<Vec<VarId>> = vec![Vec::new(); self.len()];
        for v in self.variables() {
            for &parent in self.parents(v) {
                children[parent.index()].push(v);
            }
        }
        let (mut up, mut down) = (vec![false; self.len()], vec![false; self.len()]);
        let mut visits: Vec<(VarId, bool)> = targets.iter().map(|&v| (v, true)).collect();
        while let Some((v, from_child)) = visits.pop() {
            let (hard, soft) = match evidence.get(v) {
                Some(Finding::State(_)) => (true, false),
                Some(Finding::Likelihood(_)) => (false, true),
                None => (false, false),
            };
            // An observation stops the ball from its children and throws back the ball from its parents. A likelihood is
            // an observed child that is not drawn: it lets both through and also throws back.
            let to_parents = if from_child { !hard } else { hard || soft };
            if to_parents && !core::mem::replace(&mut up[v.index()], true) {
                visits.extend(self.parents(v).iter().map(|&parent| (parent, true)));
            }
            if !hard && !core::mem::replace(&mut down[v.index()], true) {
                visits.extend(children[v.index()].iter().map(|&child| (child, false)));
            }
        }
        up
    }

    /// The tables of the variables kept, cut down to what is observed.
    pub(crate) fn factors(&self, observed: &[u32], keep: &[bool]) -> Vec<Factor<'_>> {
        let cards = self.cards();
        let kept = self.variables().filter(|v| keep[v.index()]);
        kept.map(|v| {
            let scope = self.parents(v).iter().copied().chain([v]).map(|v| v.0).collect();
            Factor::cut(&cards, scope, self.table(v), observed)
        })
        .collect()
    }
}
