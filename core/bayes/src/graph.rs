//! A factor graph: variables and non-negative tables whose product, divided by its sum, is the distribution.
//!
//! What a Markov network is, and what a Bayesian network becomes when its arcs are forgotten. `ln P(e)` is `ln` of the sum over
//! all states that agree with the evidence: a probability where the factors are conditional tables, else the partition function.
use alloc::borrow::Cow;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::{InferenceError, NetworkError};
use crate::evidence::Evidence;
use crate::factor::{FREE, Factor};
use crate::limits::{STATES_MAX, TABLE_ENTRIES_MAX, VARIABLES_MAX};
use crate::network::VarId;
use crate::tree::Tree;

/// Variables numbered from 0, and factors over them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FactorGraph {
    cards: Vec<u32>,
    factors: Vec<Factor<'static>>,
}

impl FactorGraph {
    /// No variables, no factors.
    pub fn new() -> FactorGraph {
        FactorGraph::default()
    }

    /// Adds a variable of so many states.
    ///
    /// Fails with no states, over [`STATES_MAX`], and with more than [`VARIABLES_MAX`] variables.
    pub fn variable(&mut self, states: usize) -> Result<VarId, NetworkError> {
        let too_large = |what, found: usize, bound: usize| NetworkError::TooLarge {
            what,
            found: found as u64,
            bound: bound as u64,
        };
        if states == 0 {
            return Err(NetworkError::NoStates { variable: format!("#{}", self.cards.len()) });
        }
        if states > STATES_MAX {
            return Err(too_large("states of one variable", states, STATES_MAX));
        }
        if self.cards.len() == VARIABLES_MAX {
            return Err(too_large("variables", VARIABLES_MAX + 1, VARIABLES_MAX));
        }
        self.cards.push(states as u32);
        Ok(VarId(self.cards.len() as u32 - 1))
    }

    /// Multiplies a table into the distribution.
    ///
    /// - `table`: one finite, non-negative number per combination of states of `scope`, row-major, the last variable fastest.
    ///
    /// Fails on an unknown or repeated variable, a wrong size, over [`TABLE_ENTRIES_MAX`], and on any other number.
    pub fn factor(&mut self, scope: &[VarId], table: &[f64]) -> Result<(), NetworkError> {
        let factor = self.factors.len();
        let expected = self.size(scope)?;
        if table.len() != expected {
            return Err(NetworkError::WrongFactorSize { factor, found: table.len(), expected });
        }
        if let Some(entry) = table.iter().position(|value| !(value.is_finite() && *value >= 0.0)) {
            return Err(NetworkError::BadWeight { factor, entry, value: table[entry] });
        }
        let scope = scope.iter().map(|v| v.0).collect();
        self.factors.push(Factor { scope, table: Cow::Owned(table.to_vec()) });
        Ok(())
    }

    /// Entries of a table over `scope`, were it the next factor.
    pub(crate) fn size(&self, scope: &[VarId]) -> Result<usize, NetworkError> {
        let mut size: u64 = 1;
        for (at, &variable) in scope.iter().enumerate() {
            let unknown = || NetworkError::UnknownVariable { name: format!("#{}", variable.0) };
            size = size.saturating_mul(u64::from(*self.cards.get(variable.index()).ok_or_else(unknown)?));
            if scope[..at].contains(&variable) {
                return Err(NetworkError::RepeatedVariable { factor: self.factors.len(), variable });
            }
        }
        if size > TABLE_ENTRIES_MAX as u64 {
            return Err(NetworkError::TooLarge {
                what: "entries of one table",
                found: size,
                bound: TABLE_ENTRIES_MAX as u64,
            });
        }
        Ok(size as usize)
    }

    /// Number of variables.
    pub fn len(&self) -> usize {
        self.cards.len()
    }

    /// Whether there are no variables.
    pub fn is_empty(&self) -> bool {
        self.cards.is_empty()
    }

    /// States of a variable. Panics when the id is not of this graph.
    pub fn states(&self, variable: VarId) -> usize {
        self.cards[variable.index()] as usize
    }

    /// All variables, in order.
    pub fn variables(&self) -> impl ExactSizeIterator<Item = VarId> {
        (0..self.cards.len() as u32).map(VarId)
    }

    /// Each factor's variables and table, in the order added.
    pub fn factors(&self) -> impl ExactSizeIterator<Item = (Vec<VarId>, &[f64])> {
        self.factors.iter().map(|factor| (factor.scope.iter().map(|&v| VarId(v)).collect(), &*factor.table))
    }

    /// Compiles the exact junction tree, for any evidence. A variable in no factor is uniform.
    ///
    /// Fails as [`Tree::compile`] does, and with [`InferenceError::Impossible`] when the product is zero everywhere.
    pub fn compile(&self, bound: u64) -> Result<Tree, InferenceError> {
        self.compile_given(&Evidence::new(), bound)
    }

    /// As [`FactorGraph::compile`], with evidence built in: observed variables are cut out first, which can make a tree far
    /// smaller. The tree still takes further evidence.
    ///
    /// Fails on evidence that does not fit, too.
    pub fn compile_given(&self, evidence: &Evidence, bound: u64) -> Result<Tree, InferenceError> {
        evidence.check(&self.cards)?;
        let observed = evidence.states(self.cards.len());
        let factors = self.given(evidence, &observed);
        Tree::from_factors(self.cards.clone(), &factors, observed, bound)
    }

    /// The factors with evidence built in; a variable that is left in none gets one that says nothing.
    pub(crate) fn given<'a>(&'a self, evidence: &'a Evidence, observed: &[u32]) -> Vec<Factor<'a>> {
        let cut = |factor: &'a Factor| Factor::cut(&self.cards, factor.scope.clone(), &factor.table, observed);
        let mut factors: Vec<Factor> = self.factors.iter().map(cut).collect();
        factors.extend(evidence.soft());
        let mut lonely: Vec<bool> = observed.iter().map(|&state| state == FREE).collect();
        for &v in factors.iter().flat_map(|factor| &factor.scope) {
            lonely[v as usize] = false;
        }
        for v in (0..lonely.len()).filter(|&v| lonely[v]) {
            factors.push(Factor { scope: vec![v as u32], table: Cow::Owned(vec![1.0; self.cards[v] as usize]) });
        }
        factors
    }
}
