//! Laws that need no oracle: what must not change an answer does not.
use faultline_bayes::{Cause, Evidence, InferenceError, Network, Tree, VarId};

use crate::exact::{distance, marginals};
use crate::random::{Finding, Plan, Random, evidence};

const BOUND: u64 = 1 << 20;

fn solve(plan: &Plan, findings: &[(usize, Finding)]) -> Result<(Vec<Vec<f64>>, f64), InferenceError> {
    let network = plan.build();
    let found = Tree::compile(&network, BOUND)?.propagate(&evidence(&network, findings))?;
    Ok((marginals(&network, &found), found.log_evidence()))
}

/// Calls `check` with random plans, findings and their answer; findings of probability zero are left out.
fn each(seed: u64, mut check: impl FnMut(&mut Random, &Plan, &[(usize, Finding)], &[Vec<f64>], f64)) {
    for case in 0..100 {
        let mut random = Random::new(seed + case);
        let plan = Plan::random(&mut random, 14);
        let findings = plan.findings(&mut random);
        if let Ok((found, log)) = solve(&plan, &findings) {
            check(&mut random, &plan, &findings, &found, log);
        }
    }
}

#[test]
fn same_input_same_bits() {
    each(2000, |_, plan, findings, found, log| {
        let again = solve(plan, findings).expect("as before");
        assert_eq!(again.0, found);
        assert_eq!(again.1.to_bits(), log.to_bits());
    });
}

#[test]
fn entry_order_of_evidence_is_irrelevant() {
    each(3000, |_, plan, findings, found, log| {
        let reversed: Vec<_> = findings.iter().rev().cloned().collect();
        assert_eq!(solve(plan, &reversed), Ok((found.to_vec(), log)));
    });
}

#[test]
fn barren_variables_change_nothing() {
    each(4000, |random, plan, findings, found, log| {
        let mut grown = plan.clone();
        for _ in 0..3 {
            let parents = vec![random.below(grown.cards.len())];
            let table = (0..grown.cards[parents[0]]).flat_map(|_| [0.25, 0.0, 0.75]).collect();
            grown.cards.push(3);
            grown.parents.push(parents);
            grown.tables.push(table);
        }
        let (all, grown_log) = solve(&grown, findings).expect("as before");
        assert!(distance(&all[..found.len()], found) < 1e-12);
        assert!((grown_log - log).abs() < 1e-12 * (1.0 + log.abs()));
    });
}

#[test]
fn ids_do_not_matter() {
    each(5000, |random, plan, findings, found, log| {
        let count = plan.cards.len();
        let mut new_id: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            new_id.swap(i, random.below(i + 1));
        }
        let mut moved = plan.clone();
        for v in 0..count {
            moved.cards[new_id[v]] = plan.cards[v];
            moved.parents[new_id[v]] = plan.parents[v].iter().map(|&p| new_id[p]).collect();
            moved.tables[new_id[v]] = plan.tables[v].clone();
        }
        let moved_findings: Vec<_> = findings.iter().map(|(v, finding)| (new_id[*v], finding.clone())).collect();
        let (all, moved_log) = solve(&moved, &moved_findings).expect("as before");
        let back: Vec<Vec<f64>> = (0..count).map(|v| all[new_id[v]].clone()).collect();
        assert!(distance(&back, found) < 1e-12);
        assert!((moved_log - log).abs() < 1e-12 * (1.0 + log.abs()));
    });
}

#[test]
fn a_likelihood_on_one_state_is_an_observation() {
    each(6000, |_, plan, findings, found, log| {
        let soft: Vec<_> = findings
            .iter()
            .map(|(v, finding)| match finding {
                Finding::State(state) => {
                    let mut likelihood = vec![0.0; plan.cards[*v]];
                    likelihood[*state] = 1.0;
                    (*v, Finding::Likelihood(likelihood))
                }
                soft => (*v, soft.clone()),
            })
            .collect();
        let (all, soft_log) = solve(plan, &soft).expect("as before");
        assert!(distance(&all, found) < 1e-12);
        assert!((soft_log - log).abs() < 1e-12 * (1.0 + log.abs()));
    });
}

/// Divorced or in one table, a noisy-OR is the same distribution: all marginals and ln P(e), also with multi-state causes.
#[test]
fn divorced_noisy_or_equals_full_table() {
    for case in 0..60 {
        let mut random = Random::new(7000 + case);
        let (count, leak) = (random.below(7), random.unit() * 0.1);
        let build = |random: &mut Random, divorced: bool| -> (Network, Vec<VarId>, VarId) {
            let mut builder = Network::builder();
            let mut causes = Vec::new();
            for v in 0..count {
                let states = 2 + random.below(2);
                let cause = builder.variable(&format!("cause{v}"), states).unwrap();
                let mut prior: Vec<f64> = (0..states).map(|_| 0.05 + random.unit()).collect();
                let sum: f64 = prior.iter().sum();
                prior.iter_mut().for_each(|value| *value /= sum);
                builder.cpt(cause, &[], &prior).unwrap();
                let strengths = (0..states).map(|state| if state == 0 { 0.0 } else { random.unit() }).collect();
                causes.push(Cause { parent: cause, strengths });
            }
            let child = builder.variable("child", 2).unwrap();
            if divorced {
                let added = builder.noisy_or(child, leak, &causes).unwrap();
                assert_eq!(added.len(), count.saturating_sub(2));
            } else {
                builder.noisy_or_full(child, leak, &causes).unwrap();
            }
            (builder.build().unwrap(), causes.iter().map(|cause| cause.parent).collect(), child)
        };
        let answers: Vec<(Vec<Vec<f64>>, f64)> = [true, false]
            .into_iter()
            .map(|divorced| {
                let mut random = Random::new(8000 + case);
                let (network, causes, child) = build(&mut random, divorced);
                let mut evidence = Evidence::new();
                evidence.likelihood(child, &[random.unit(), 5.0]);
                if let Some(&first) = causes.first() {
                    evidence.observe(first, random.below(2));
                }
                let found = Tree::compile(&network, BOUND).unwrap().propagate(&evidence).unwrap();
                let asked = causes.iter().chain([&child]);
                (asked.map(|&v| found.marginal(v).unwrap().to_vec()).collect(), found.log_evidence())
            })
            .collect();
        assert!(distance(&answers[0].0, &answers[1].0) < 1e-12, "case {case}");
        assert!((answers[0].1 - answers[1].1).abs() < 1e-12, "case {case}");
    }
}

/// `do(x)` against its definition: the product without the table of x, x held fixed. Seeing and doing differ by the causes of x.
#[test]
fn intervening_cuts_causes_and_keeps_effects() {
    let mut builder = Network::builder();
    let rain = builder.variable_named("rain", &["no", "yes"]).unwrap();
    let sprinkler = builder.variable_named("sprinkler", &["off", "on"]).unwrap();
    let wet = builder.variable_named("wet", &["no", "yes"]).unwrap();
    builder.cpt(rain, &[], &[0.7, 0.3]).unwrap();
    builder.cpt(sprinkler, &[rain], &[0.6, 0.4, 0.99, 0.01]).unwrap();
    builder.cpt(wet, &[rain, sprinkler], &[1.0, 0.0, 0.1, 0.9, 0.2, 0.8, 0.01, 0.99]).unwrap();
    let network = builder.build().unwrap();
    let done = network.intervene(&[(sprinkler, 1)]).unwrap();
    let found = Tree::compile(&done, BOUND).unwrap().propagate(&Evidence::new()).unwrap();
    assert_eq!(found.marginal(rain), Some(&[0.7, 0.3][..]));
    assert_eq!(found.marginal(sprinkler), Some(&[0.0, 1.0][..]));
    assert!((found.marginal(wet).unwrap()[1] - (0.7 * 0.9 + 0.3 * 0.99)).abs() < 1e-15);
    let mut seen = Evidence::new();
    seen.observe(sprinkler, 1);
    let seen = Tree::compile(&network, BOUND).unwrap().propagate(&seen).unwrap();
    let rain_seen = 0.3 * 0.01 / (0.7 * 0.4 + 0.3 * 0.01);
    assert!((seen.marginal(rain).unwrap()[1] - rain_seen).abs() < 1e-15);
    assert!(network.intervene(&[(rain, 2)]).is_err());
}

/// 600 strong findings one way and 600 the other on one hidden cause: the product underflows f64 by thousands of orders of
/// magnitude, the truth is even odds.
#[test]
fn contradicting_evidence_does_not_underflow() {
    for mixed in [false, true] {
        let mut builder = Network::builder();
        let host = builder.variable("host", 2).unwrap();
        builder.cpt(host, &[], &[0.5, 0.5]).unwrap();
        let mut evidence = Evidence::new();
        for v in 0..1200 {
            let service = builder.variable(&format!("service{v}"), 2).unwrap();
            builder.cpt(service, &[host], &[1.0, 0.0, 0.0, 1.0]).unwrap();
            let up = if mixed { v % 2 == 0 } else { v < 600 };
            evidence.likelihood(service, if up { &[1e-9, 1.0] } else { &[1.0, 1e-9] });
        }
        let network = builder.build().unwrap();
        let found = Tree::compile(&network, BOUND).unwrap().propagate(&evidence).unwrap();
        assert!((found.marginal(host).unwrap()[0] - 0.5).abs() < 1e-12, "{:?}", found.marginal(host));
        let expected = 600.0 * libm::log(1e-9);
        assert!((found.log_evidence() - expected).abs() < 1e-12 * expected.abs(), "{}", found.log_evidence());
    }
}

/// A cause with prior 1e-200 that one finding speaks against by 1e-200 and another proves: f64 would call this impossible.
#[test]
fn tiny_priors_do_not_underflow() {
    let mut builder = Network::builder();
    let cause = builder.variable("cause", 2).unwrap();
    builder.cpt(cause, &[], &[1.0, 1e-200]).unwrap();
    let mut evidence = Evidence::new();
    for (name, likelihood) in [("against", [1.0, 1e-200]), ("proof", [0.0, 1.0])] {
        let effect = builder.variable(name, 2).unwrap();
        builder.cpt(effect, &[cause], &[1.0, 0.0, 0.0, 1.0]).unwrap();
        evidence.likelihood(effect, &likelihood);
    }
    let network = builder.build().unwrap();
    let tree = Tree::compile(&network, BOUND).unwrap();
    let expected = 2.0 * libm::log(1e-200);
    let found = tree.propagate(&evidence).unwrap();
    assert_eq!(found.marginal(cause), Some(&[0.0, 1.0][..]));
    assert!((found.log_evidence() - expected).abs() < 1e-9);
    assert!((tree.most_probable(&evidence).unwrap().log_probability() - expected).abs() < 1e-9);
    assert!((network.log_probability(&evidence, BOUND).unwrap() - expected).abs() < 1e-9);
}

/// Leave-one-out on one tree: evidence taken back is as if never given.
#[test]
fn evidence_taken_back_leaves_nothing() {
    each(9000, |_, plan, findings, _, _| {
        let network = plan.build();
        let tree = Tree::compile(&network, BOUND).unwrap();
        let all = evidence(&network, findings);
        tree.propagate(&all).unwrap();
        for (left_out, v) in all.variables().enumerate() {
            let rest: Vec<_> =
                findings.iter().enumerate().filter(|(i, _)| *i != left_out).map(|(_, f)| f.clone()).collect();
            let found = tree.propagate(&all.without(v)).expect("less evidence is no less possible");
            assert_eq!(solve(plan, &rest), Ok((marginals(&network, &found), found.log_evidence())));
        }
    });
}

/// Numbers inside a clique that f64 tables cannot hold are kept in wide ones: 1e-400 is not 0.
#[test]
fn conditionals_below_f64_are_not_lost() {
    let mut builder = Network::builder();
    let a = builder.variable("a", 2).expect("new");
    let b = builder.variable("b", 3).expect("new");
    let c = builder.variable("c", 2).expect("new");
    builder.cpt(a, &[], &[1.0, 1e-200]).expect("valid");
    builder.cpt(b, &[], &[1.0, 1e-200, 0.0]).expect("valid");
    builder.cpt(c, &[a, b], &[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.3, 0.7, 0.5, 0.5]).expect("valid");
    let tree = Tree::compile(&builder.build().expect("acyclic"), 100).expect("small");
    let mut session = faultline_bayes::Session::new(&tree);
    for (state, log) in [(1, 2.0 * libm::log(1e-200)), (0, libm::log(1e-200))] {
        let mut evidence = Evidence::new();
        evidence.observe(a, 1).observe(b, state);
        let found = tree.propagate(&evidence).expect("possible");
        assert!((found.log_evidence() - log).abs() < 1e-9, "{}", found.log_evidence());
        let expected = if state == 1 { [0.3, 0.7] } else { [0.5, 0.5] };
        assert!(found.marginal(c).expect("asked for").iter().zip(expected).all(|(p, e)| (p - e).abs() < 1e-12));
        assert_eq!(session.propagate(&evidence), Ok(found));
        let best = tree.most_probable(&evidence).expect("possible").log_probability();
        assert!((best - log - libm::log(if state == 1 { 0.7 } else { 0.5 })).abs() < 1e-9);
    }
    let mut impossible = Evidence::new();
    impossible.observe(b, 2);
    assert_eq!(tree.propagate(&impossible), Err(InferenceError::Impossible));
}
