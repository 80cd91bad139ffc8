//! Conditioning: where the tree does not fit, a tree per combination of states of a few variables, the answers added up.
//!
//! Exact, and as large as one of the trees; the time is multiplied by the number of combinations. Which variables: again and
//! again the one whose going takes most out of the tree, until what is left fits.
use alloc::vec;
use alloc::vec::Vec;

use crate::cliques::Forest;
use crate::error::InferenceError;
use crate::evidence::Evidence;
use crate::factor::{FREE, Factor};
use crate::network::VarId;
use crate::posteriors::Posteriors;
use crate::tree::Tree;
use crate::triangulate::{Search, best};

/// - `factors`: cut down to what is `observed`. `cases_max`: combinations tried at most.
/// - Returns the posteriors and the number of combinations; `None` when more would be needed.
///
/// Fails with [`InferenceError::Impossible`] when no combination is possible.
pub(crate) fn solve(
    cards: &[u32],
    factors: &[Factor],
    observed: &[u32],
    targets: &[VarId],
    bound: u64,
    cases_max: u64,
) -> Result<Option<(Posteriors, u64)>, InferenceError> {
    let Some((set, forest)) = cutset(cards, factors, bound, cases_max) else { return Ok(None) };
    let mut states = vec![0u32; set.len()];
    let (mut count, mut sum) = (0, Sum::new(cards));
    loop {
        let mut fixed = observed.to_vec();
        for (&v, &state) in set.iter().zip(&states) {
            fixed[v as usize] = state;
        }
        let cut: Vec<Factor> = factors.iter().map(|f| Factor::cut(cards, f.scope.clone(), &f.table, &fixed)).collect();
        match Tree::on_forest(cards.to_vec(), &cut, fixed, forest.clone())
            .and_then(|tree| tree.propagate_for(&Evidence::new(), targets))
        {
            Ok(found) => sum.add(&found, targets),
            Err(InferenceError::Impossible) => {}
            Err(other) => return Err(other),
        }
        count += 1;
        let Some(next) = (0..set.len()).find(|&at| states[at] + 1 < cards[set[at] as usize]) else { break };
        states[..next].fill(0);
        states[next] += 1;
    }
    Ok(Some((sum.total(targets)?, count)))
}

/// Variables whose states, once given, leave a tree within `bound`, and its cliques; none when their combinations pass `cases_max`.
fn cutset(cards: &[u32], factors: &[Factor], bound: u64, cases_max: u64) -> Option<(Vec<u32>, Forest)> {
    let mut gone = vec![false; cards.len()];
    let (mut set, mut cases) = (Vec::new(), 1u64);
    loop {
        let scopes: Vec<Vec<u32>> =
            factors.iter().map(|f| f.scope.iter().copied().filter(|&v| !gone[v as usize]).collect()).collect();
        let scopes: Vec<&[u32]> = scopes.iter().map(|scope| &scope[..]).collect();
        let mut alive = vec![false; cards.len()];
        scopes.iter().copied().flatten().for_each(|&v| alive[v as usize] = true);
        if let Ok(forest) = best(cards, &alive, &scopes, bound, Search::Thorough) {
            return Some((set, forest));
        }
        // What each variable's going takes out of the tables, of a tree that may be far over the bound.
        let steps = crate::triangulate::outline(cards, &alive, &scopes);
        let mut saves = vec![0.0; cards.len()];
        for clique in &steps {
            let entries: f64 = clique.iter().map(|&v| f64::from(cards[v as usize])).product();
            for &v in clique {
                saves[v as usize] += entries - entries / f64::from(cards[v as usize]);
            }
        }
        let worth = |v: u32| saves[v as usize] / libm::log(f64::from(cards[v as usize]));
        let free = (0..cards.len() as u32).filter(|&v| alive[v as usize] && cards[v as usize] > 1);
        let chosen = free.reduce(|a, b| if worth(b) > worth(a) { b } else { a })?;
        cases = cases.saturating_mul(u64::from(cards[chosen as usize]));
        if cases > cases_max {
            return None;
        }
        gone[chosen as usize] = true;
        set.push(chosen);
    }
}

/// Posteriors of several cases, weighted by the cases' probabilities.
struct Sum {
    posteriors: Posteriors,
    /// `ln` of what the sums were divided by: that of the likeliest case so far.
    scale: f64,
    weight: f64,
}

impl Sum {
    fn new(cards: &[u32]) -> Sum {
        Sum { posteriors: Posteriors::empty(cards), scale: f64::NEG_INFINITY, weight: 0.0 }
    }

    fn add(&mut self, found: &Posteriors, targets: &[VarId]) {
        let log = found.log_evidence;
        if log > self.scale {
            let shrink = libm::exp(self.scale - log);
            self.weight *= shrink;
            self.posteriors.values.iter_mut().for_each(|value| *value *= shrink);
            self.scale = log;
        }
        let weight = libm::exp(log - self.scale);
        self.weight += weight;
        for &target in targets {
            let marginal = found.marginal(target).expect("asked for");
            self.posteriors.add(target, weight, marginal);
        }
    }

    fn total(mut self, targets: &[VarId]) -> Result<Posteriors, InferenceError> {
        if self.weight == 0.0 {
            return Err(InferenceError::Impossible);
        }
        self.posteriors.log_evidence = self.scale + libm::log(self.weight);
        for &target in targets {
            self.posteriors.normalise(target);
        }
        Ok(self.posteriors)
    }
}

/// Kept beside the code that relies on it: a state index is never the mark of a free variable.
const _: () = assert!(crate::limits::STATES_MAX < FREE as usize);
