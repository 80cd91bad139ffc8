//! The answer to a question: posterior distributions and ln P(e).
use alloc::sync::Arc;
use alloc::vec::Vec;

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
