//! Joint posteriors of a variable and its parents against adding up every assignment.
use faultline_bayes::{Evidence, InferenceError, Network, Session, Tree, VarId};

use crate::brute;
use crate::random::{Finding, Plan, Random, evidence};

const BOUND: u64 = 1 << 20;

/// `ln` of the weight of each assignment of `family` beside the findings; minus infinity for one that cannot be.
fn weights(plan: &Plan, findings: &[(usize, Finding)], family: &[usize]) -> Vec<f64> {
    let size: usize = family.iter().map(|&v| plan.cards[v]).product();
    let mut weights = Vec::with_capacity(size);
    for mut row in 0..size {
        let mut states = vec![0; family.len()];
        for at in (0..family.len()).rev() {
            states[at] = row % plan.cards[family[at]];
            row /= plan.cards[family[at]];
        }
        let mut given: Vec<(usize, Finding)> =
            findings.iter().filter(|(v, _)| !family.contains(v)).map(|(v, it)| (*v, it.clone())).collect();
        let mut own = 0.0;
        for (&v, &state) in family.iter().zip(&states) {
            given.push((v, Finding::State(state)));
            for (_, finding) in findings.iter().filter(|(other, _)| *other == v) {
                own += match finding {
                    Finding::State(seen) if *seen == state => 0.0,
                    Finding::State(_) => f64::NEG_INFINITY,
                    Finding::Likelihood(values) => libm::log(values[state]),
                };
            }
        }
        let rest = brute::solve(plan, &given).map_or(f64::NEG_INFINITY, |it| libm::log(it.total) + it.log_scale);
        weights.push(own + rest);
    }
    weights
}

#[test]
fn families_are_those_of_brute_force() {
    let (mut compared, mut observed) = (0, 0);
    for case in 0..200 {
        let mut random = Random::new(9000 + case);
        let plan = Plan::random(&mut random, 7);
        let network = plan.build();
        let tree = Tree::compile(&network, BOUND).expect("small");
        let mut session = Session::new(&tree);
        // Asked a second time, with other evidence, it knows no less.
        for _ in 0..2 {
            let findings = plan.findings(&mut random);
            let families: Vec<Vec<usize>> =
                (0..plan.cards.len()).map(|v| plan.parents[v].iter().copied().chain([v]).collect()).collect();
            let asked: Vec<Vec<VarId>> = families
                .iter()
                .map(|family| family.iter().map(|v| network.var(&format!("v{v}")).expect("declared")).collect())
                .collect();
            let found = match session.joints(&evidence(&network, &findings), &asked) {
                Ok(found) => found,
                Err(InferenceError::Impossible) => continue,
                Err(error) => panic!("case {case}: {error}"),
            };
            for (family, found) in families.iter().zip(found) {
                let expected = weights(&plan, &findings, family);
                let most = expected.iter().copied().fold(f64::NEG_INFINITY, |a: f64, b| if b > a { b } else { a });
                let expected: Vec<f64> = expected.iter().map(|ln| libm::exp(ln - most)).collect();
                let sum: f64 = expected.iter().sum();
                let found = found.expect("a family is in one clique");
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected / sum).abs() < 1e-10, "case {case}: {found} for {}", expected / sum);
                }
                compared += 1;
                observed +=
                    usize::from(findings.iter().any(|(v, it)| family.contains(v) && matches!(it, Finding::State(_))));
            }
        }
    }
    assert!(compared > 500 && observed > 100, "{compared} families, {observed} with an observed variable");
}

#[test]
fn what_no_clique_holds_is_not_told() {
    let mut builder = Network::builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| builder.variable(name, 2).expect("a new name"));
    builder.cpt(a, &[], &[0.5, 0.5]).expect("a table");
    builder.cpt(b, &[a], &[0.9, 0.1, 0.2, 0.8]).expect("a table");
    builder.cpt(c, &[b], &[0.9, 0.1, 0.2, 0.8]).expect("a table");
    let network = builder.build().expect("acyclic");
    let tree = Tree::compile(&network, BOUND).expect("small");
    let found =
        Session::new(&tree).joints(&Evidence::new(), &[vec![a, c], vec![c, b], Vec::new()]).expect("no evidence");
    assert_eq!((&found[0], &found[2]), (&None, &Some(vec![1.0])));
    let joint = found[1].as_ref().expect("an arc is in one clique");
    assert!((joint[3] - 0.45 * 0.8).abs() < 1e-12, "{joint:?}");
}
