//! The junction tree against brute force on random small networks.
use faultline_bayes::{InferenceError, Network, Posteriors, Tree};

use crate::brute;
use crate::random::{Finding, Plan, Random, evidence};

const BOUND: u64 = 1 << 20;

pub fn marginals(network: &Network, posteriors: &Posteriors) -> Vec<Vec<f64>> {
    network.variables().map(|v| posteriors.marginal(v).expect("asked for").to_vec()).collect()
}

/// Largest distance between two lists of marginals.
pub fn distance(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, |worst, error| if error > worst { error } else { worst })
}

#[test]
fn equals_brute_force() {
    let (mut impossible, mut possible) = (0, 0);
    for case in 0..400 {
        let mut random = Random::new(case);
        let plan = Plan::random(&mut random, 8);
        let network = plan.build();
        let tree = Tree::compile(&network, BOUND).expect("small");
        // Several questions to one tree: nothing may stay behind from the question before.
        for _ in 0..3 {
            let findings = plan.findings(&mut random);
            let found = tree.propagate(&evidence(&network, &findings));
            let Some(brute) = brute::solve(&plan, &findings) else {
                assert_eq!(found, Err(InferenceError::Impossible), "case {case}");
                let evidence = evidence(&network, &findings);
                assert_eq!(tree.most_probable(&evidence), Err(InferenceError::Impossible), "case {case}");
                assert_eq!(network.log_probability(&evidence, BOUND), Err(InferenceError::Impossible), "case {case}");
                impossible += 1;
                continue;
            };
            let found = found.unwrap_or_else(|error| panic!("case {case}: {error}, total {}", brute.total));
            let error = distance(&marginals(&network, &found), &brute.marginals);
            assert!(error < 1e-12, "case {case}: marginals differ by {error:e}");
            let log = libm::log(brute.total) + brute.log_scale;
            assert!((found.log_evidence() - log).abs() < 1e-12 * (1.0 + log.abs()), "case {case}: ln P(e)");
            possible += 1;

            // The likeliest assignment is as likely as the best of all, and its own probability is the one stated.
            let best = tree.most_probable(&evidence(&network, &findings)).expect("possible");
            let states: Vec<usize> = network.variables().map(|v| best.state(v).expect("of the network")).collect();
            let mut stated = network.log_joint(&states);
            for (v, finding) in &findings {
                match finding {
                    Finding::State(state) => assert_eq!(states[*v], *state),
                    Finding::Likelihood(values) => stated += libm::log(values[states[*v]]),
                }
            }
            assert!((best.log_probability() - stated).abs() < 1e-12 * (1.0 + stated.abs()), "case {case}: MPE");
            assert!((stated - log - libm::log(brute.best)).abs() < 1e-12 * (1.0 + log.abs()), "case {case}: MPE");

            // Pruned to a question's needs, the network answers the same.
            let targets: Vec<_> = network.variables().filter(|_| random.chance(0.4)).collect();
            let pruned = network.marginals(&evidence(&network, &findings), &targets, BOUND).expect("possible");
            let all = marginals(&network, &found);
            let expected: Vec<Vec<f64>> = targets.iter().map(|target| all[target.index()].clone()).collect();
            assert!(distance(&pruned, &expected) < 1e-12, "case {case}: pruned");
            let pruned = network.log_probability(&evidence(&network, &findings), BOUND).expect("possible");
            assert!((pruned - log).abs() < 1e-12 * (1.0 + log.abs()), "case {case}: pruned ln P(e)");
        }
    }
    // Both kinds must be drawn often, or the test says little.
    assert!(impossible > 30 && possible > 800, "{impossible} impossible, {possible} possible");
}

#[test]
fn targets_only_equal_all() {
    for case in 0..100 {
        let mut random = Random::new(1000 + case);
        let plan = Plan::random(&mut random, 8);
        let network = plan.build();
        let tree = Tree::compile(&network, BOUND).expect("small");
        let evidence = evidence(&network, &plan.findings(&mut random));
        let Ok(all) = tree.propagate(&evidence) else { continue };
        let targets: Vec<_> = network.variables().filter(|_| random.chance(0.3)).collect();
        let some = tree.propagate_for(&evidence, &targets).expect("possible");
        assert_eq!(some.log_evidence(), all.log_evidence());
        for v in network.variables() {
            match targets.contains(&v) {
                true => assert!(
                    distance(&[some.marginal(v).unwrap().to_vec()], &[all.marginal(v).unwrap().to_vec()]) < 1e-13
                ),
                false => assert_eq!(some.marginal(v), None),
            }
        }
    }
}
