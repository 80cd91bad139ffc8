//! Loopy belief propagation: messages between factors and variables, as if there were no loops. Not exact.
//!
//! All messages are computed from those of the round before (so that no order is preferred), half the old and half the new one
//! is taken (which calms most oscillations), and the number of rounds is fixed from above. On a graph without loops it comes to
//! rest at the exact answer. Memory: two vectors of states per factor and variable in it.
//!
//! A message of zeros alone can only come of evidence that is impossible: what messages rule out is ruled out.
//! Source: Murphy, Weiss, Jordan, "Loopy belief propagation for approximate inference: an empirical study", UAI 1999; for
//! ln P(e): Yedidia, Freeman, Weiss, "Constructing free-energy approximations", IEEE Trans. Information Theory 51(7), 2005.
use alloc::vec;
use alloc::vec::Vec;

use crate::error::InferenceError;
use crate::factor::Factor;
use crate::limits::ROUNDS_MAX;
use crate::network::VarId;
use crate::posteriors::Posteriors;
use crate::solver::{Answer, Method, is_free};

/// Share of the old message that is kept.
const DAMPING: f64 = 0.5;
/// Messages that move less than this have come to rest.
const REST: f64 = 1e-12;

/// One variable of one factor.
struct Edge {
    variable: usize,
    to_variable: Vec<f64>,
    to_factor: Vec<f64>,
}

/// - `factors`: cut down to what is `observed`.
///
/// Fails with [`InferenceError::Impossible`] when a message of zeros shows that.
pub(crate) fn solve(
    cards: &[u32],
    factors: &[Factor],
    observed: &[u32],
    targets: &[VarId],
) -> Result<Answer, InferenceError> {
    let mut graph = Graph::new(cards, factors);
    let (mut rounds, mut settled) = (0, false);
    while rounds < ROUNDS_MAX && !settled {
        settled = graph.round()? < REST;
        rounds += 1;
    }
    let mut posteriors = Posteriors::empty(cards);
    posteriors.log_evidence = graph.log_total()?;
    for &target in targets {
        let state = observed[target.index()];
        let mut marginal = vec![0.0; cards[target.index()] as usize];
        if is_free(observed, target.0) {
            marginal = graph.belief(target.index(), None)?.0;
        } else {
            marginal[state as usize] = 1.0;
        }
        posteriors.set(target, &marginal);
    }
    Ok(Answer { posteriors, method: Method::Messages { rounds, settled } })
}

struct Graph<'a> {
    cards: &'a [u32],
    factors: &'a [Factor<'a>],
    edges: Vec<Edge>,
    /// Edges by factor (in order of its scope) and by variable.
    of_factor: Vec<Vec<usize>>,
    of_variable: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    fn new(cards: &'a [u32], factors: &'a [Factor<'a>]) -> Graph<'a> {
        let (mut edges, mut of_factor, mut of_variable) = (Vec::new(), Vec::new(), vec![Vec::new(); cards.len()]);
        for table in factors {
            let first = edges.len();
            for &v in &table.scope {
                let (variable, states) = (v as usize, cards[v as usize] as usize);
                of_variable[variable].push(edges.len());
                let even = vec![1.0 / states as f64; states];
                edges.push(Edge { variable, to_variable: even.clone(), to_factor: even });
            }
            of_factor.push((first..edges.len()).collect());
        }
        Graph { cards, factors, edges, of_factor, of_variable }
    }

    /// One round; returns the largest change of a number in a message.
    fn round(&mut self) -> Result<f64, InferenceError> {
        let mut moved = 0.0;
        for at in 0..self.edges.len() {
            let (to_factor, _) = self.belief(self.edges[at].variable, Some(at))?;
            self.edges[at].to_factor = to_factor;
        }
        for factor in 0..self.factors.len() {
            for (at, mut fresh) in self.of_factor[factor].clone().into_iter().zip(self.sums(factor)) {
                normalise(&mut fresh)?;
                for (old, new) in self.edges[at].to_variable.iter_mut().zip(fresh) {
                    // Damping must not keep alive what is ruled out.
                    let mixed = if new == 0.0 { 0.0 } else { DAMPING * *old + (1.0 - DAMPING) * new };
                    let change = (mixed - *old).abs();
                    moved = if change > moved { change } else { moved };
                    *old = mixed;
                }
            }
        }
        Ok(moved)
    }

    /// What all factors but one say of a variable, adding up to 1, and `ln` of what it was divided by.
    fn belief(&self, variable: usize, but: Option<usize>) -> Result<(Vec<f64>, f64), InferenceError> {
        let mut product = vec![1.0; self.cards[variable] as usize];
        let mut log = 0.0;
        for &at in self.of_variable[variable].iter().filter(|&&at| Some(at) != but) {
            for (value, &said) in product.iter_mut().zip(&self.edges[at].to_variable) {
                *value *= said;
            }
            log += normalise(&mut product)?;
        }
        log += normalise(&mut product)?;
        Ok((product, log))
    }

    /// Per variable of a factor: the sum over all others of its table, weighted by what they say.
    fn sums(&self, factor: usize) -> Vec<Vec<f64>> {
        let edges = &self.of_factor[factor];
        let mut sums: Vec<Vec<f64>> = edges.iter().map(|&at| vec![0.0; self.edges[at].to_factor.len()]).collect();
        let (mut states, mut before) = (vec![0usize; edges.len()], vec![1.0; edges.len() + 1]);
        for &weight in self.factors[factor].table.iter() {
            if weight > 0.0 {
                for (place, &at) in edges.iter().enumerate() {
                    before[place + 1] = before[place] * self.edges[at].to_factor[states[place]];
                }
                let mut after = weight;
                for (place, &at) in edges.iter().enumerate().rev() {
                    sums[place][states[place]] += before[place] * after;
                    after *= self.edges[at].to_factor[states[place]];
                }
            }
            for place in (0..edges.len()).rev() {
                states[place] += 1;
                if states[place] < self.edges[edges[place]].to_factor.len() {
                    break;
                }
                states[place] = 0;
            }
        }
        sums
    }

    /// Bethe's estimate of `ln` of the sum over all states.
    fn log_total(&self) -> Result<f64, InferenceError> {
        let mut log = 0.0;
        for (factor, edges) in self.of_factor.iter().enumerate() {
            let whole: f64 = match edges.first() {
                Some(&first) => {
                    let sums = &self.sums(factor)[0];
                    sums.iter().zip(&self.edges[first].to_factor).map(|(sum, said)| sum * said).sum()
                }
                None => self.factors[factor].table[0],
            };
            if whole == 0.0 {
                return Err(InferenceError::Impossible);
            }
            log += libm::log(whole);
        }
        for (variable, edges) in self.of_variable.iter().enumerate().filter(|(_, edges)| !edges.is_empty()) {
            log += self.belief(variable, None)?.1;
            for &at in edges {
                let edge = &self.edges[at];
                let both: f64 = edge.to_variable.iter().zip(&edge.to_factor).map(|(a, b)| a * b).sum();
                if both == 0.0 {
                    return Err(InferenceError::Impossible);
                }
                log -= libm::log(both);
            }
        }
        Ok(log)
    }
}

/// Divides by the sum; returns its `ln`.
fn normalise(values: &mut [f64]) -> Result<f64, InferenceError> {
    let sum: f64 = values.iter().sum();
    if sum == 0.0 {
        return Err(InferenceError::Impossible);
    }
    values.iter_mut().for_each(|value| *value /= sum);
    Ok(libm::log(sum))
}
