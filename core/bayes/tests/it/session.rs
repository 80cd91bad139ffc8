//! A session asked again and again answers as if each question were the first, to the bit.
use faultline_bayes::{InferenceError, Session, Tree, VarId};

use crate::random::{Finding, Plan, Random, evidence};

const BOUND: u64 = 1 << 20;

#[test]
fn every_answer_is_that_of_a_first_question() {
    let (mut impossible, mut saved) = (0, 0);
    for case in 0..300 {
        let mut random = Random::new(5000 + case);
        let plan = Plan::random(&mut random, 10);
        let network = plan.build();
        let tree = Tree::compile(&network, BOUND).expect("small");
        let mut session = Session::new(&tree);
        let mut findings: Vec<(usize, Finding)> = Vec::new();
        for _ in 0..12 {
            change(&mut random, &plan, &mut findings);
            let evidence = evidence(&network, &findings);
            let targets: Vec<VarId> = network.variables().filter(|_| random.chance(0.3)).collect();
            let (found, expected) = match random.chance(0.5) {
                true => (session.propagate(&evidence), tree.propagate(&evidence)),
                false => (session.propagate_for(&evidence, &targets), tree.propagate_for(&evidence, &targets)),
            };
            let visits = session.visits();
            if found == Err(InferenceError::Impossible) {
                impossible += 1;
            } else if visits.distributed < tree.cliques() / 2 {
                saved += 1;
            }
            assert_eq!(bits(&network, &found), bits(&network, &expected), "case {case}");
        }
    }
    assert!(impossible > 30 && saved > 300, "{impossible} impossible, {saved} saved");
}

/// One finding more, other or less; now and then nothing, or a tiny likelihood that f64 tables cannot take.
fn change(random: &mut Random, plan: &Plan, findings: &mut Vec<(usize, Finding)>) {
    let v = random.below(plan.cards.len());
    findings.retain(|(other, _)| *other != v);
    match random.below(5) {
        0 => {}
        1 | 2 => findings.push((v, Finding::State(random.below(plan.cards[v])))),
        3 => findings.push((v, Finding::Likelihood((0..plan.cards[v]).map(|_| random.unit()).collect()))),
        _ => {
            let values = (0..plan.cards[v]).map(|_| if random.chance(0.5) { 1e-250 } else { 1.0 }).collect();
            findings.push((v, Finding::Likelihood(values)));
        }
    }
}

fn bits(
    network: &faultline_bayes::Network,
    answer: &Result<faultline_bayes::Posteriors, InferenceError>,
) -> Result<Vec<Option<Vec<u64>>>, InferenceError> {
    let found = answer.as_ref().map_err(Clone::clone)?;
    let marginal = |v| found.marginal(v).map(|values| values.iter().map(|value| value.to_bits()).collect());
    let log = Some(vec![found.log_evidence().to_bits()]);
    Ok(network.variables().map(marginal).chain([log]).collect())
}

/// A chain of 200: what changes at its end is told to the root and back, what is asked at the other end is not made up twice.
#[test]
fn only_what_changed_works() {
    let mut builder = faultline_bayes::Network::builder();
    let ids: Vec<VarId> = (0..200).map(|v| builder.variable(&v.to_string(), 2).expect("new")).collect();
    builder.cpt(ids[0], &[], &[0.5, 0.5]).expect("valid");
    for pair in ids.windows(2) {
        builder.cpt(pair[1], &[pair[0]], &[0.9, 0.1, 0.2, 0.8]).expect("valid");
    }
    let network = builder.build().expect("acyclic");
    let tree = Tree::compile(&network, BOUND).expect("small");
    let mut session = Session::new(&tree);
    let mut evidence = faultline_bayes::Evidence::new();
    evidence.observe(ids[10], 1).observe(ids[190], 1);
    session.propagate(&evidence).expect("possible");
    let first = session.visits();
    session.propagate(&evidence).expect("possible");
    assert_eq!((session.visits().collected, session.visits().distributed), (0, 0), "nothing changed");
    // Beyond an observed variable nothing can be heard of.
    evidence.observe(ids[5], 0);
    session.propagate(&evidence).expect("possible");
    let second = session.visits();
    assert!(second.distributed * 4 < first.distributed, "{second:?} of {first:?}");
}
