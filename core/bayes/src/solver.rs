//! All that this crate can do about one question, within a bound on memory, and the word which method it was.
//!
//! The ladder, each rung only where the one before does not fit the bound:
//! 1. [`Method::Tree`]: the junction tree of the whole model, compiled once and kept.
//! 2. [`Method::Given`]: the tree of what the evidence and the targets leave: observed variables cut out, barren ones dropped.
//! 3. [`Method::Apart`]: one tree per target, of what is not separated from it.
//! 4. [`Method::Cases`]: the tree for each combination of states of a few variables that make it narrow; the answers added up.
//! 5. [`Method::Messages`]: loopy belief propagation, which is not exact, and says whether it came to rest.
//!
//! Source: Pearl, "Probabilistic Reasoning in Intelligent Systems", 1988, sections 4.4.2 (conditioning) and 4.4.3.
use alloc::vec;
use alloc::vec::Vec;

use crate::error::InferenceError;
use crate::evidence::Evidence;
use crate::factor::{FREE, Factor};
use crate::graph::FactorGraph;
use crate::limits::CASES_MAX;
use crate::network::{Network, VarId};
use crate::posteriors::Posteriors;
use crate::tree::Tree;
use crate::{cases, loopy};

/// How a question was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Exact: the junction tree of the whole model.
    Tree,
    /// Exact: the junction tree of what evidence and targets leave.
    Given,
    /// Exact: a junction tree per target.
    Apart,
    /// Exact: a junction tree per combination of some variables' states.
    Cases {
        /// How many combinations.
        count: u64,
    },
    /// Not exact: messages round the loops of the factor graph.
    Messages {
        /// How many rounds.
        rounds: u32,
        /// Whether the last round changed nothing to speak of. If not, the answer is a guess.
        settled: bool,
    },
}

impl Method {
    /// Whether the answer is right to rounding.
    pub fn is_exact(self) -> bool {
        !matches!(self, Method::Messages { .. })
    }
}

/// Posteriors, and how they were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Of the variables asked for. With an inexact method `ln P(e)` is Bethe's estimate.
    pub posteriors: Posteriors,
    /// How.
    pub method: Method,
}

/// A model, a bound on memory, and the tree once it was needed.
#[derive(Debug, Clone)]
pub struct Solver {
    model: Model,
    bound: u64,
    /// `None` until a question; then the tree or why there is none.
    whole: Option<Result<Tree, InferenceError>>,
}

#[derive(Debug, Clone)]
enum Model {
    Bayes(Network),
    Markov(FactorGraph),
}

impl Solver {
    /// - `bound`: the most table entries (8 bytes each) that the cliques of one tree may have. A question needs as much again
    ///   while it is answered (three times as much where `f64` would underflow).
    pub fn new(network: Network, bound: u64) -> Solver {
        Solver { model: Model::Bayes(network), bound, whole: None }
    }

    /// As [`Solver::new`], for a factor graph: nothing in it is barren, so the third rung is missing.
    pub fn of_graph(graph: FactorGraph, bound: u64) -> Solver {
        Solver { model: Model::Markov(graph), bound, whole: None }
    }

    /// The whole model's tree, compiled at the first call.
    ///
    /// Fails as [`Tree::compile`] does.
    pub fn tree(&mut self) -> Result<&Tree, InferenceError> {
        let (model, bound) = (&self.model, self.bound);
        let compile = || match model {
            Model::Bayes(network) => Tree::compile(network, bound),
            Model::Markov(graph) => graph.compile(bound),
        };
        self.whole.get_or_insert_with(compile).as_ref().map_err(Clone::clone)
    }

    /// The posteriors of all variables.
    ///
    /// Fails on evidence that does not fit the model, and with [`InferenceError::Impossible`] when its probability is zero; never
    /// for want of memory.
    pub fn ask(&mut self, evidence: &Evidence) -> Result<Answer, InferenceError> {
        let targets: Vec<VarId> = (0..self.model.cards().len() as u32).map(VarId).collect();
        self.ask_for(evidence, &targets)
    }

    /// The posteriors of `targets`.
    ///
    /// Fails as [`Solver::ask`] does, and on an unknown target.
    pub fn ask_for(&mut self, evidence: &Evidence, targets: &[VarId]) -> Result<Answer, InferenceError> {
        let cards = self.model.cards();
        evidence.check(&cards)?;
        let count = cards.len();
        if let Some(&variable) = targets.iter().find(|target| target.index() >= count) {
            return Err(InferenceError::UnknownVariable { variable, count });
        }
        match self.tree() {
            Ok(tree) => {
                let posteriors = tree.propagate_for(evidence, targets)?;
                return Ok(Answer { posteriors, method: Method::Tree });
            }
            Err(InferenceError::TooLarge { .. }) => {}
            Err(other) => return Err(other),
        }
        let observed = evidence.states(count);
        let factors = self.model.factors(evidence, &observed, targets);
        match Tree::from_factors(cards.clone(), &factors, observed.clone(), self.bound) {
            Ok(tree) => {
                let posteriors = tree.propagate_for(&Evidence::new(), targets)?;
                return Ok(Answer { posteriors, method: Method::Given });
            }
            Err(InferenceError::TooLarge { .. }) => {}
            Err(other) => return Err(other),
        }
        if let Some(found) = self.apart(evidence, targets)? {
            return Ok(found);
        }
        match cases::solve(&cards, &factors, &observed, targets, self.bound, CASES_MAX)? {
            Some((posteriors, count)) => Ok(Answer { posteriors, method: Method::Cases { count } }),
            None => loopy::solve(&cards, &factors, &observed, targets),
        }
    }

    /// Target by target; `None` where one of them does not fit.
    fn apart(&self, evidence: &Evidence, targets: &[VarId]) -> Result<Option<Answer>, InferenceError> {
        let Model::Bayes(network) = &self.model else { return Ok(None) };
        let fits = |result| match result {
            Err(InferenceError::TooLarge { .. }) => Ok(None),
            other => other.map(Some),
        };
        let Some(log_evidence) = fits(network.log_probability(evidence, self.bound).map(|log| vec![vec![log]]))? else {
            return Ok(None);
        };
        let mut posteriors = Posteriors::empty(&network.cards());
        posteriors.log_evidence = log_evidence[0][0];
        for &target in targets {
            let Some(found) = fits(network.marginals(evidence, &[target], self.bound))? else { return Ok(None) };
            posteriors.set(target, &found[0]);
        }
        Ok(Some(Answer { posteriors, method: Method::Apart }))
    }
}

impl Model {
    fn cards(&self) -> Vec<u32> {
        match self {
            Model::Bayes(network) => network.cards(),
            Model::Markov(graph) => graph.variables().map(|v| graph.states(v) as u32).collect(),
        }
    }

    /// What evidence and targets leave: cut, and without what is barren.
    fn factors<'a>(&'a self, evidence: &'a Evidence, observed: &[u32], targets: &[VarId]) -> Vec<Factor<'a>> {
        match self {
            Model::Bayes(network) => {
                let keep = network.ancestral(evidence.variables().chain(targets.iter().copied()));
                let mut factors = network.factors(observed, &keep);
                factors.extend(evidence.soft());
                factors
            }
            Model::Markov(graph) => graph.given(evidence, observed),
        }
    }
}

/// Whether a variable is left to be summed over.
pub(crate) fn is_free(observed: &[u32], v: u32) -> bool {
    observed[v as usize] == FREE
}
