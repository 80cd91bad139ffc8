//! The answer to a question: posterior distributions and ln P(e).
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::axes;
use crate::network::VarId;

/// Posterior marginals and the probability of the evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Posteriors {
    pub(crate) values: Vec<f64>,
    pub(crate) offsets: Arc<[u32]>,
    pub(crate) known: Vec<bool>,
    pub(crate) log_evidence: f64,
}

impl Posteriors {
    /// Of no variable yet.
    pub(crate) fn empty(cards: &[u32]) -> Posteriors {
        let mut offsets = vec![0u32];
        for &card in cards {
            offsets.push(offsets[offsets.len() - 1] + card);
        }
        let values = vec![0.0; offsets[cards.len()] as usize];
        Posteriors { values, offsets: offsets.into(), known: vec![false; cards.len()], log_evidence: 0.0 }
    }

    pub(crate) fn set(&mut self, variable: VarId, marginal: &[f64]) {
        self.of(variable).copy_from_slice(marginal);
    }

    pub(crate) fn add(&mut self, variable: VarId, weight: f64, marginal: &[f64]) {
        self.of(variable).iter_mut().zip(marginal).for_each(|(sum, value)| *sum += weight * value);
    }

    pub(crate) fn normalise(&mut self, variable: VarId) {
        let values = self.of(variable);
        let sum = axes::total(values);
        values.iter_mut().for_each(|value| *value /= sum);
    }

    fn of(&mut self, variable: VarId) -> &mut [f64] {
        let at = variable.index();
        self.known[at] = true;
        &mut self.values[self.offsets[at] as usize..self.offsets[at + 1] as usize]
    }

    /// `P(variable | e)` per state, summing to 1; `None` for a variable that was not asked for.
    pub fn marginal(&self, variable: VarId) -> Option<&[f64]> {
        if !*self.known.get(variable.index())? {
            return None;
        }
        Some(&self.values[self.offsets[variable.index()] as usize..self.offsets[variable.index() + 1] as usize])
    }

    /// `ln P(e)`; with soft evidence, `ln` of the expected product of likelihoods.
    pub fn log_evidence(&self) -> f64 {
        self.log_evidence
    }
}
