//! Every rung of the ladder: the exact ones equal the whole tree, the last says that it is not exact and is so on trees.
use faultline_bayes::limits::TREE_ENTRIES_DEFAULT;
use faultline_bayes::{FactorGraph, InferenceError, Method, Network, Solver, Tree, VarId};

use crate::exact::{distance, marginals};
use crate::random::{Plan, Random, evidence};

#[test]
fn every_exact_rung_equals_the_whole_tree() {
    let mut seen = [0u32; 4];
    for case in 0..400 {
        let mut random = Random::new(7000 + case);
        let plan = Plan::random(&mut random, 12);
        let network = plan.build();
        let tree = Tree::compile(&network, TREE_ENTRIES_DEFAULT).expect("small");
        let bound = [tree.entries(), tree.entries() / 2, 60, 24][random.below(4)];
        let mut solver = match random.chance(0.7) {
            true => Solver::new(network.clone(), bound),
            false => Solver::of_graph(graph(&network), bound),
        };
        let evidence = evidence(&network, &plan.findings(&mut random));
        let targets: Vec<VarId> = network.variables().filter(|_| random.chance(0.3)).collect();
        for some in [false, true] {
            let answer = if some { solver.ask_for(&evidence, &targets) } else { solver.ask(&evidence) };
            let expected = match tree.propagate(&evidence) {
                Ok(expected) => expected,
                Err(error) => {
                    // Messages may not notice; what they do notice is so.
                    let exact = answer.as_ref().map_or(true, |answer| answer.method.is_exact());
                    assert!(!exact || answer == Err(error), "case {case}");
                    continue;
                }
            };
            let answer = answer.unwrap_or_else(|error| panic!("case {case}: {error}"));
            match answer.method {
                Method::Tree => seen[0] += 1,
                Method::Given => seen[1] += 1,
                Method::Apart => seen[2] += 1,
                Method::Cases { count } => {
                    assert!(count > 1);
                    seen[3] += 1;
                }
                _ => continue,
            }
            let (found, all) = (&answer.posteriors, marginals(&network, &expected));
            for v in network.variables().filter(|v| !some || targets.contains(v)) {
                let marginal = found.marginal(v).expect("asked for").to_vec();
                assert!(distance(&[marginal], &[all[v.index()].clone()]) < 1e-12, "case {case}: {:?}", answer.method);
            }
            let (log, exact) = (found.log_evidence(), expected.log_evidence());
            assert!((log - exact).abs() < 1e-11 * (1.0 + exact.abs()), "case {case}: {:?}", answer.method);
        }
    }
    assert!(seen.iter().all(|&count| count > 20), "{seen:?}");
}

/// Where no bound leaves room for a tree, messages answer and say so; without loops they are right.
#[test]
fn messages_say_what_they_are() {
    for case in 0..50 {
        let mut random = Random::new(8000 + case);
        let network = chain_with_leaves(&mut random);
        let tree = Tree::compile(&network, TREE_ENTRIES_DEFAULT).expect("small");
        let mut evidence = faultline_bayes::Evidence::new();
        evidence.observe(VarId::new(29), 1);
        // Not even one variable fits.
        let answer = Solver::of_graph(graph(&network), 1).ask(&evidence).expect("possible");
        let Method::Messages { settled, .. } = answer.method else { panic!("case {case}: {:?}", answer.method) };
        assert!(settled && !answer.method.is_exact());
        let expected = tree.propagate(&evidence).expect("possible");
        let (found, all) = (marginals(&network, &answer.posteriors), marginals(&network, &expected));
        assert!(distance(&found, &all) < 1e-9, "case {case}");
        assert!((answer.posteriors.log_evidence() - expected.log_evidence()).abs() < 1e-9, "case {case}");
    }
}

#[test]
fn evidence_that_does_not_fit_is_refused_on_every_rung() {
    let mut random = Random::new(1);
    let network = chain_with_leaves(&mut random);
    for bound in [1 << 20, 1] {
        let mut solver = Solver::new(network.clone(), bound);
        let mut evidence = faultline_bayes::Evidence::new();
        evidence.observe(VarId::new(3), 2);
        assert!(matches!(solver.ask(&evidence), Err(InferenceError::UnknownState { state: 2, .. })));
        let unknown = solver.ask_for(&faultline_bayes::Evidence::new(), &[VarId::new(99)]);
        assert!(matches!(unknown, Err(InferenceError::UnknownVariable { count: 30, .. })));
    }
}

/// A network without its arcs.
fn graph(network: &Network) -> FactorGraph {
    let mut graph = FactorGraph::new();
    for v in network.variables() {
        graph.variable(network.states(v).len()).expect("within bounds");
    }
    for v in network.variables() {
        let scope: Vec<VarId> = network.parents(v).iter().copied().chain([v]).collect();
        graph.factor(&scope, network.table(v)).expect("a table");
    }
    graph
}

/// 30 binary variables, each a child of the one before or of one further back: no loops.
fn chain_with_leaves(random: &mut Random) -> Network {
    let mut builder = Network::builder();
    let ids: Vec<VarId> = (0..30).map(|v| builder.variable(&v.to_string(), 2).expect("new")).collect();
    builder.cpt(ids[0], &[], &[0.3, 0.7]).expect("valid");
    for v in 1..30 {
        let (a, b) = (0.05 + 0.9 * random.unit(), 0.05 + 0.9 * random.unit());
        let back = if random.chance(0.7) { 1 } else { 1 + random.below(v) };
        builder.cpt(ids[v], &[ids[v - back]], &[a, 1.0 - a, b, 1.0 - b]).expect("valid");
    }
    builder.build().expect("acyclic")
}
