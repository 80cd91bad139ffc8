//! Posteriors by adding up every assignment: slow, and too simple to be wrong in the same way.
use crate::random::{Finding, Plan};

pub struct Brute {
    pub marginals: Vec<Vec<f64>>,
    /// The likeliest assignment's weight, relative to `total`.
    pub best: f64,
    /// The evidence's probability, with each likelihood divided by its largest number.
    pub total: f64,
    /// `ln` of what the likelihoods were divided by.
    pub log_scale: f64,
}

/// `None` when the evidence has probability zero.
pub fn solve(plan: &Plan, findings: &[(usize, Finding)]) -> Option<Brute> {
    let count = plan.cards.len();
    let mut log_scale = 0.0;
    let mut weights: Vec<Vec<f64>> = plan.cards.iter().map(|&card| vec![1.0; card]).collect();
    for (v, finding) in findings {
        match finding {
            Finding::State(state) => {
                weights[*v] = vec![0.0; plan.cards[*v]];
                weights[*v][*state] = 1.0;
            }
            Finding::Likelihood(values) => {
                let most = values.iter().copied().fold(0.0, |a: f64, b| if b > a { b } else { a });
                if most == 0.0 {
                    return None;
                }
                log_scale += libm::log(most);
                weights[*v] = values.iter().map(|value| value / most).collect();
            }
        }
    }
    let mut marginals: Vec<Vec<f64>> = plan.cards.iter().map(|&card| vec![0.0; card]).collect();
    let (mut total, mut best) = (0.0, 0.0);
    let mut states = vec![0; count];
    loop {
        let mut weight = 1.0;
        for v in 0..count {
            let row = plan.parents[v].iter().fold(0, |row, &p| row * plan.cards[p] + states[p]);
            weight *= plan.tables[v][row * plan.cards[v] + states[v]] * weights[v][states[v]];
        }
        total += weight;
        best = if weight > best { weight } else { best };
        for v in 0..count {
            marginals[v][states[v]] += weight;
        }
        let Some(next) = (0..count).find(|&v| states[v] + 1 < plan.cards[v]) else { break };
        states[..next].fill(0);
        states[next] += 1;
    }
    if total == 0.0 {
        return None;
    }
    for value in marginals.iter_mut().flatten() {
        *value /= total;
    }
    Some(Brute { marginals, best: best / total, total, log_scale })
}
