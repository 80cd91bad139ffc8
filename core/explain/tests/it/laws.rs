//! What holds for every verdict: names do not matter, numbers add up, and flat evidence is called flat.
use crate::estate::{Case, Draw, Kind, case};
use faultline_explain::explain;
use faultline_model::facts::{Evidence, NodeEvidence, Shift, Verdict};
use faultline_model::{Canonical, Millis, float};

const KINDS: [Kind; 5] = [Kind::Slow, Kind::Errors, Kind::Stopped, Kind::Crash, Kind::Host];

fn cases() -> impl Iterator<Item = Case> {
    (500..540).map(|seed| case(seed, 10 + Draw(seed).below(40), &[KINDS[seed as usize % 5]]))
}

fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-9, 1.0 - 1e-9);
    float::ln(p / (1.0 - p))
}

#[test]
fn a_verdict_is_whole() {
    for case in cases() {
        let verdict = explain(&case.evidence);
        let name = |index: u32| &case.evidence.nodes[index as usize].entity;
        assert!((1..=5).contains(&verdict.causes.len()) && !verdict.summary.is_empty());
        // How far to trust it is told of a cause that is named, by its posterior.
        let known = verdict.reliability.as_ref();
        assert_eq!(known.is_some(), !verdict.unknown);
        assert!(known.is_none_or(|it| it.low <= it.high && it.elsewhere.right <= it.elsewhere.cases));
        assert_eq!(verdict.calibrated, known.is_some_and(|it| it.elsewhere.cases >= 10));
        assert_eq!(verdict.why_not_second.is_empty(), verdict.causes.len() < 2);
        for cause in &verdict.causes {
            assert!((0.0..=1.0).contains(&cause.posterior) && (0.0..=1.0).contains(&cause.share), "{cause:?}");
            assert!((0.0..=cause.posterior).contains(&cause.responsibility), "{cause:?}");
            // The contributions and the rate of faults are the posterior's log-odds, nothing left over.
            let sum: f64 = cause.evidence.iter().map(|it| it.nats).sum();
            let rate = if cause.kind == "host" { 0.002 } else { 0.02 };
            assert!((sum + logit(rate) - logit(cause.posterior)).abs() < 1e-6, "{cause:?}");
            assert!(cause.evidence.windows(2).all(|pair| pair[0].nats >= pair[1].nats));
            // A path leads from a violated service to the cause along calls that exist.
            if let (Some(first), Some(last)) = (cause.path.first(), cause.path.last()) {
                let violated = |entity: &String| case.evidence.targets.iter().any(|&target| name(target) == entity);
                assert!(violated(&first.client) || violated(&first.server), "{cause:?}");
                let hosts = case.evidence.hosts.iter().filter(|host| host.name == cause.entity);
                let mut ends: Vec<&String> = hosts.flat_map(|host| &host.services).map(|it| name(it.node)).collect();
                ends.push(&cause.entity);
                assert!(ends.contains(&&last.client) || ends.contains(&&last.server), "{cause:?}");
            }
            for step in &cause.path {
                let exists = |edge: &faultline_model::facts::EdgeEvidence| {
                    name(edge.client) == &step.client && name(edge.server) == &step.server
                };
                assert!(case.evidence.edges.iter().any(exists), "{step:?}");
                assert!((0.0..=1.0).contains(&step.explained));
            }
        }
        assert_eq!(explain(&case.evidence), verdict);
        assert_eq!(Verdict::from_bytes(&verdict.to_bytes()).as_ref(), Ok(&verdict));
    }
}

/// Every entity under another name, and so in another order.
fn renamed(evidence: &Evidence, draw: &mut Draw) -> (Evidence, Vec<(String, String)>) {
    let mut names: Vec<(String, String)> =
        evidence.nodes.iter().map(|node| (format!("x{:016x}", draw.bits()), node.entity.clone())).collect();
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|&a, &b| names[a].0.cmp(&names[b].0));
    let place = |old: u32| order.iter().position(|&at| at == old as usize).expect("a permutation") as u32;
    let mut other = evidence.clone();
    other.nodes =
        order.iter().map(|&at| NodeEvidence { entity: names[at].0.clone(), ..evidence.nodes[at].clone() }).collect();
    for edge in &mut other.edges {
        (edge.client, edge.server) = (place(edge.client), place(edge.server));
    }
    other.edges.sort_by_key(|edge| (edge.client, edge.server));
    other.targets = evidence.targets.iter().map(|&target| place(target)).collect();
    other.targets.sort();
    for placed in other.hosts.iter_mut().flat_map(|host| &mut host.services) {
        placed.node = place(placed.node);
    }
    other.changes.iter_mut().for_each(|change| change.node = place(change.node));
    names.sort();
    (other, names)
}

#[test]
fn names_do_not_matter() {
    let mut draw = Draw(99);
    for case in cases() {
        let verdict = explain(&case.evidence);
        let (other, names) = renamed(&case.evidence, &mut draw);
        let again = explain(&other);
        let old =
            |name: &String| names.iter().find(|(new, _)| new == name).map_or(name.clone(), |(_, old)| old.clone());
        assert_eq!(
            verdict.causes.iter().map(|cause| (cause.entity.clone(), &cause.kind)).collect::<Vec<_>>(),
            again.causes.iter().map(|cause| (old(&cause.entity), &cause.kind)).collect::<Vec<_>>()
        );
        assert_eq!(verdict.unknown, again.unknown);
        for (cause, other) in verdict.causes.iter().zip(&again.causes) {
            assert!((cause.posterior - other.posterior).abs() < 1e-9 && (cause.share - other.share).abs() < 1e-9);
        }
    }
}

/// Nothing but noise around a violated service: no name deserves belief.
#[test]
fn flat_evidence_is_unknown() {
    let mut wrong = 0;
    for case in cases() {
        let mut evidence = case.evidence;
        let mut draw = Draw(evidence.nodes.len() as u64 + 1);
        let mut calm = |shift: &mut Shift| {
            shift.z = draw.normal() + 1e-3;
            shift.seen = shift.expected * (1.0 + 0.01 * shift.z);
            shift.count = 100.0;
        };
        for node in &mut evidence.nodes {
            let shifts =
                [&mut node.traffic, &mut node.latency, &mut node.self_time, &mut node.errors, &mut node.own_errors];
            shifts.into_iter().for_each(&mut calm);
            calm(&mut node.error_logs);
            node.telemetry = Default::default();
        }
        for edge in &mut evidence.edges {
            [&mut edge.traffic, &mut edge.latency, &mut edge.errors, &mut edge.gap].into_iter().for_each(&mut calm);
        }
        evidence.changes.clear();
        wrong += usize::from(!explain(&evidence).unknown);
    }
    assert_eq!(wrong, 0, "flat evidence convinced");
}

#[test]
fn two_faults_are_both_named() {
    let (mut both, mut one, mut count) = (0, 0, 0);
    for seed in 700..800 {
        let kinds = [KINDS[seed as usize % 4], KINDS[(seed as usize / 4) % 4]];
        let case = case(seed, 20 + Draw(seed).below(40), &kinds);
        let verdict = explain(&case.evidence);
        let leading = |places: usize| {
            case.culprits
                .iter()
                .filter(|culprit| verdict.causes.iter().take(places).any(|cause| cause.entity == **culprit))
                .count()
        };
        count += 1;
        both += usize::from(leading(2) == 2);
        one += usize::from(leading(1) == 1);
    }
    println!("two faults: both in the first two {both}, one of them first {one}, of {count}");
    // Measured: 82 and 98; 84 and 98 where nobody knows what runs where.
    assert!(both * 100 >= count * 78 && one * 100 >= count * 95);
}

#[test]
fn a_change_after_the_onset_is_not_to_blame() {
    for case in cases().take(8) {
        let mut late = case.evidence.clone();
        late.changes.iter_mut().for_each(|change| change.at = Millis(late.onset.0 + 60_000));
        let mut none = case.evidence.clone();
        none.changes.clear();
        let posteriors =
            |evidence: &Evidence| explain(evidence).causes.iter().map(|cause| cause.posterior).collect::<Vec<_>>();
        assert_eq!(posteriors(&late), posteriors(&none));
    }
}
