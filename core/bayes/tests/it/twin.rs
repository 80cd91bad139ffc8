//! Counterfactuals against closed forms, and against what they must agree with.
use faultline_bayes::{Evidence, Network, NetworkError, Tree};

use crate::exact::distance;
use crate::random::{Plan, Random};

const BOUND: u64 = 1 << 20;

/// With nothing seen, what would be is what setting does: the coupling changes no distribution of either world.
#[test]
fn without_evidence_it_is_setting() {
    let mut reached = 0;
    for case in 0..200 {
        let mut random = Random::new(9000 + case);
        let network = Plan::random(&mut random, 7).build();
        let variables: Vec<_> = network.variables().collect();
        let set = variables[random.below(variables.len())];
        let settings = [(set, random.below(network.states(set).len()))];
        let twin = network.twin(&settings).expect("small");
        let both = Tree::compile(twin.network(), BOUND).expect("small").propagate(&Evidence::new()).expect("possible");
        let changed = network.intervene(&settings).expect("known");
        let changed = Tree::compile(&changed, BOUND).expect("small").propagate(&Evidence::new()).expect("possible");
        let as_is = Tree::compile(&network, BOUND).expect("small").propagate(&Evidence::new()).expect("possible");
        for v in network.variables() {
            let there = both.marginal(twin.other(v)).expect("asked for").to_vec();
            assert!(distance(&[there], &[changed.marginal(v).expect("asked for").to_vec()]) < 1e-12, "case {case}");
            let here = both.marginal(v).expect("asked for").to_vec();
            assert!(distance(&[here], &[as_is.marginal(v).expect("asked for").to_vec()]) < 1e-12, "case {case}");
            reached += usize::from(twin.other(v) != v && v != set);
        }
    }
    assert!(reached > 200, "{reached} variables reached");
}

/// Set as it was, everything would have been as it was, whatever else was seen.
#[test]
fn set_as_it_was_nothing_differs() {
    for case in 0..100 {
        let mut random = Random::new(9500 + case);
        let plan = Plan::random(&mut random, 7);
        let network = plan.build();
        let variables: Vec<_> = network.variables().collect();
        let set = variables[random.below(variables.len())];
        let state = random.below(network.states(set).len());
        let twin = network.twin(&[(set, state)]).expect("small");
        let mut evidence = crate::random::evidence(&network, &plan.findings(&mut random));
        evidence.observe(set, state);
        let Ok(found) = Tree::compile(twin.network(), BOUND).expect("small").propagate(&evidence) else { continue };
        for v in network.variables() {
            let (here, there) =
                (found.marginal(v).expect("asked for"), found.marginal(twin.other(v)).expect("asked for"));
            assert!(distance(&[here.to_vec()], &[there.to_vec()]) < 1e-12, "case {case}");
        }
    }
}

/// Probability of necessity under monotonicity: `1 - P(y | x') / P(y | x)` (Tian and Pearl 2000, equation 30).
#[test]
fn probability_of_necessity() {
    for (with, without) in [(0.9, 0.1), (0.5, 0.5), (0.3, 0.02), (1.0, 0.4), (0.7, 0.0)] {
        let mut builder = Network::builder();
        let x = builder.variable("x", 2).expect("new");
        let y = builder.variable("y", 2).expect("new");
        builder.cpt(x, &[], &[0.6, 0.4]).expect("valid");
        builder.cpt(y, &[x], &[1.0 - without, without, 1.0 - with, with]).expect("valid");
        let twin = builder.build().expect("acyclic").twin(&[(x, 0)]).expect("small");
        let mut evidence = Evidence::new();
        evidence.observe(x, 1).observe(y, 1);
        let found = Tree::compile(twin.network(), BOUND).expect("small").propagate(&evidence).expect("possible");
        let necessity = found.marginal(twin.other(y)).expect("asked for")[0];
        assert!((necessity - (1.0 - without / with)).abs() < 1e-12, "{with} {without}: {necessity}");
    }
}

/// The firing squad (Pearl, "Causality", section 7.1.2): a functional model with its chance in a root and in a rifleman's nerves.
/// Had rifleman A not shot, the prisoner who is dead would be alive only if A shot on his own.
#[test]
fn firing_squad() {
    let (p, q) = (0.3, 0.2);
    let mut builder = Network::builder();
    let order = builder.variable("order", 2).expect("new");
    let nerves = builder.variable("nerves", 2).expect("new");
    let a = builder.variable("a", 2).expect("new");
    let b = builder.variable("b", 2).expect("new");
    let dead = builder.variable("dead", 2).expect("new");
    let or = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0];
    builder.cpt(order, &[], &[1.0 - p, p]).expect("valid");
    builder.cpt(nerves, &[], &[1.0 - q, q]).expect("valid");
    builder.cpt(a, &[order, nerves], &or).expect("valid");
    builder.cpt(b, &[order], &[1.0, 0.0, 0.0, 1.0]).expect("valid");
    builder.cpt(dead, &[a, b], &or).expect("valid");
    let network = builder.build().expect("acyclic");
    let twin = network.twin(&[(a, 0)]).expect("small");
    assert_eq!((twin.other(order), twin.other(b)), (order, b), "what does not descend from a is shared");
    let mut evidence = Evidence::new();
    evidence.observe(dead, 1);
    let found = Tree::compile(twin.network(), BOUND).expect("small").propagate(&evidence).expect("possible");
    let alive = found.marginal(twin.other(dead)).expect("asked for")[0];
    assert!((alive - (1.0 - p) * q / (1.0 - (1.0 - p) * (1.0 - q))).abs() < 1e-12, "{alive}");
}

#[test]
fn what_does_not_exist_is_refused() {
    let mut builder = Network::builder();
    let x = builder.variable("x", 2).expect("new");
    builder.cpt(x, &[], &[0.5, 0.5]).expect("valid");
    let network = builder.build().expect("acyclic");
    let state = NetworkError::UnknownState { variable: "x".into(), state: "#2".into() };
    assert_eq!(network.twin(&[(x, 2)]).err(), Some(state));
    assert!(matches!(network.twin(&[(faultline_bayes::VarId::new(9), 0)]), Err(NetworkError::UnknownVariable { .. })));
}
