//! What is known about variables: a state seen (hard) or a likelihood per state (soft).
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::InferenceError;
use crate::factor::{FREE, Factor};
use crate::network::VarId;

/// What is known about one variable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Finding {
    State(u32),
    Likelihood(Vec<f64>),
}

/// At most one finding per variable, kept in id order: the order of entry cannot matter.
///
/// Checked against a network when it is used, so that one set can be put to several networks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    findings: BTreeMap<VarId, Finding>,
}

impl Evidence {
    /// Nothing known.
    pub fn new() -> Evidence {
        Evidence::default()
    }

    /// Hard evidence: `variable` is in the state of index `state`. Replaces what was known about it.
    pub fn observe(&mut self, variable: VarId, state: usize) -> &mut Evidence {
        // An index past u32 is past every variable's states too, and is refused as such.
        self.findings.insert(variable, Finding::State(u32::try_from(state).unwrap_or(u32::MAX)));
        self
    }

    /// Soft evidence: an observation of probability `likelihood[s]` when `variable` is in state `s`; only ratios matter to
    /// posteriors, and the size counts in ln P(e). Replaces what was known about it.
    pub fn likelihood(&mut self, variable: VarId, likelihood: &[f64]) -> &mut Evidence {
        self.findings.insert(variable, Finding::Likelihood(likelihood.to_vec()));
        self
    }

    /// The same evidence without what is known about `variable`, for leave-one-out questions.
    pub fn without(&self, variable: VarId) -> Evidence {
        let mut rest = self.clone();
        rest.findings.remove(&variable);
        rest
    }

    /// Takes back what is known about `variable`.
    pub fn forget(&mut self, variable: VarId) -> &mut Evidence {
        self.findings.remove(&variable);
        self
    }

    /// The variables that something is known about, in id order.
    pub fn variables(&self) -> impl Iterator<Item = VarId> {
        self.findings.keys().copied()
    }

    /// What is observed: variable and index of its state, in id order.
    pub fn observations(&self) -> impl Iterator<Item = (VarId, usize)> {
        self.findings.iter().filter_map(|(&variable, finding)| match finding {
            Finding::State(state) => Some((variable, *state as usize)),
            Finding::Likelihood(_) => None,
        })
    }

    /// What is weighed: variable and a number per state, in id order.
    pub fn likelihoods(&self) -> impl Iterator<Item = (VarId, &[f64])> {
        self.findings.iter().filter_map(|(&variable, finding)| match finding {
            Finding::Likelihood(values) => Some((variable, &values[..])),
            Finding::State(_) => None,
        })
    }

    /// Variables about which the two say different things, in id order.
    pub(crate) fn differs(&self, other: &Evidence) -> Vec<VarId> {
        let mut all: Vec<VarId> = self.variables().chain(other.variables()).collect();
        all.sort();
        all.dedup();
        all.retain(|v| self.findings.get(v) != other.findings.get(v));
        all
    }

    pub(crate) fn is_hard(&self, variable: VarId) -> bool {
        matches!(self.get(variable), Some(Finding::State(_)))
    }

    pub(crate) fn findings(&self) -> impl Iterator<Item = (VarId, &Finding)> {
        self.findings.iter().map(|(&variable, finding)| (variable, finding))
    }

    /// Per variable its observed state, or [`FREE`]. Findings on variables past `count` are left out.
    pub(crate) fn states(&self, count: usize) -> Vec<u32> {
        let mut states = vec![FREE; count];
        for (variable, finding) in &self.findings {
            if let (Finding::State(state), Some(place)) = (finding, states.get_mut(variable.index())) {
                *place = *state;
            }
        }
        states
    }

    /// The likelihoods, as factors.
    pub(crate) fn soft(&self) -> impl Iterator<Item = Factor<'_>> {
        self.findings.iter().filter_map(|(variable, finding)| match finding {
            Finding::Likelihood(values) => Some(Factor { scope: vec![variable.0], table: Cow::Borrowed(values) }),
            Finding::State(_) => None,
        })
    }

    pub(crate) fn get(&self, variable: VarId) -> Option<&Finding> {
        self.findings.get(&variable)
    }

    /// Checks every finding against the variables' state counts. A likelihood of zeros only is impossible evidence.
    pub(crate) fn check(&self, cards: &[u32]) -> Result<(), InferenceError> {
        for (&variable, finding) in &self.findings {
            let count = cards.len();
            let &states = cards.get(variable.index()).ok_or(InferenceError::UnknownVariable { variable, count })?;
            match finding {
                Finding::State(state) if *state >= states => {
                    return Err(InferenceError::UnknownState { variable, state: *state, states });
                }
                Finding::State(_) => {}
                Finding::Likelihood(values) => {
                    let usable = values.iter().all(|value| value.is_finite() && *value >= 0.0);
                    if values.len() != states as usize || !usable {
                        return Err(InferenceError::BadLikelihood { variable, found: values.len(), states });
                    }
                    if values.iter().all(|value| *value == 0.0) {
                        return Err(InferenceError::Impossible);
                    }
                }
            }
        }
        Ok(())
    }
}
