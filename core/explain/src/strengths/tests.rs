//! What the network says of mechanisms against enumerating them, and habits learned from incidents drawn with known ones.
use super::*;
use crate::infer::{compile, infer};
use crate::model::{Arc, Model, Var};

/// SplitMix64: the same draws everywhere.
struct Draw(u64);

impl Draw {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, end: usize) -> usize {
        (self.unit() * end as f64) as usize
    }
}

fn var(role: Role, base: f64, causes: &[(usize, f64)]) -> Var {
    let arc = |&(cause, strength): &(usize, f64)| Arc { cause, strength, share: None, flows: false, edge: Some(0) };
    let causes = causes.iter().map(arc).collect();
    Var { role, base, causes, nats: 0.0, taught: 0.0, on: false, own: None }
}

/// A few faults and what they degrade, with up to four causes each; something known of most.
fn drawn(draw: &mut Draw) -> Model {
    let faults = 1 + draw.below(3);
    let mut vars: Vec<Var> = (0..faults).map(|at| var(Role::Fault(at), 0.05 + 0.4 * draw.unit(), &[])).collect();
    for node in 0..2 + draw.below(2) {
        let mut causes: Vec<(usize, f64)> = Vec::new();
        for cause in 0..vars.len() {
            if causes.len() < 4 && draw.unit() < 0.7 {
                causes.push((cause, if draw.unit() < 0.1 { 1.0 } else { draw.unit() }));
            }
        }
        vars.push(var(Role::Degraded(node), 0.2 * draw.unit(), &causes));
    }
    for var in &mut vars {
        match draw.below(4) {
            0 if !var.causes.is_empty() => var.on = true,
            1 | 2 => var.nats = 8.0 * draw.unit() - 4.0,
            _ => {}
        }
    }
    Model { targets: Vec::from([vars.len() - 1]), vars, ..Model::default() }
}

/// P(cause on and its mechanism fired | e) of every arc, over all states of faults, leaks and mechanisms; none where that cannot be.
fn enumerated(model: &Model) -> Option<Vec<Vec<f64>>> {
    let bits: usize = model.vars.iter().map(|var| 1 + var.causes.len()).sum();
    assert!(bits <= 20, "{bits} bits");
    let mut fired: Vec<Vec<f64>> = model.vars.iter().map(|var| vec![0.0; var.causes.len()]).collect();
    let mut all = 0.0;
    for world in 0..1_u32 << bits {
        let (mut weight, mut bit, mut on) = (1.0, 0, Vec::new());
        let mut acts: Vec<(usize, usize)> = Vec::new();
        let mut toss = |p: f64, weight: &mut f64| {
            let heads = world >> bit & 1 == 1;
            bit += 1;
            *weight *= if heads { p } else { 1.0 - p };
            heads
        };
        for (at, var) in model.vars.iter().enumerate() {
            let mut is = toss(var.base, &mut weight);
            for (place, arc) in var.causes.iter().enumerate() {
                let acts_now = toss(arc.strength, &mut weight) && on[arc.cause];
                is |= acts_now;
                acts.extend(acts_now.then_some((at, place)));
            }
            weight *= if var.on {
                f64::from(u8::from(is))
            } else if is {
                float::exp(var.nats)
            } else {
                1.0
            };
            on.push(is);
        }
        all += weight;
        acts.into_iter().for_each(|(at, place)| fired[at][place] += weight);
    }
    (all > 0.0).then(|| fired.into_iter().map(|fired| fired.into_iter().map(|it| it / all).collect()).collect())
}

#[test]
fn mechanisms_fired_as_often_as_enumeration_says() {
    let mut compared = 0;
    for case in 0..150 {
        let model = drawn(&mut Draw(case));
        let Some(expected) = enumerated(&model) else { continue };
        let compiled = compile(model, true);
        let answer = infer(&compiled);
        let effects: Vec<usize> = (0..expected.len()).filter(|&at| !answer.model.vars[at].causes.is_empty()).collect();
        let found = fired(&answer, &effects, 0.0).expect("it is small");
        for (&effect, found) in effects.iter().zip(&found) {
            for (found, expected) in found.iter().zip(&expected[effect]) {
                assert!((found - expected).abs() < 1e-9, "case {case}, variable {effect}: {found} for {expected}");
                compared += 1;
            }
        }
    }
    assert!(compared > 500, "{compared}");
}

/// Calls between four services, caller and callee: a row of three, and two ways to the last.
const CALLS: [(usize, usize); 4] = [(1, 0), (2, 1), (3, 1), (3, 2)];

/// The network with these habits; the services' own faults come first.
fn network(habits: &[f64; 4]) -> Model {
    let mut vars: Vec<Var> = (0..4).map(|at| var(Role::Fault(at), 0.15, &[])).collect();
    for node in 0..4 {
        let below = CALLS.iter().zip(habits).filter(|((client, _), _)| *client == node);
        let mut causes = Vec::from([(node, 0.95)]);
        causes.extend(below.map(|((_, server), habit)| (4 + server, *habit)));
        vars.push(var(Role::Degraded(node), 0.02, &causes));
    }
    Model { vars, ..Model::default() }
}

/// An incident drawn with habits as in `truth`, as who has others in mind sees it: every other service is watched, and one
/// that is and is degraded brings the incident; of half the others there is a sign, right nine times of ten. None where nothing is noticed.
fn incident(draw: &mut Draw, truth: &[f64; 4], believed: &[f64; 4]) -> Option<Model> {
    let mut on: Vec<bool> = Vec::new();
    for var in &network(truth).vars {
        let mut is = draw.unit() < var.base;
        for arc in &var.causes {
            is |= draw.unit() < arc.strength && on[arc.cause];
        }
        on.push(is);
    }
    let mut model = network(believed);
    for (at, degraded) in on.into_iter().enumerate().skip(4) {
        let (watched, told) = (draw.unit() < 0.5, draw.unit() < 0.5);
        let sign = if draw.unit() < 0.9 { degraded } else { !degraded };
        let var = &mut model.vars[at];
        match (watched, degraded) {
            (true, true) => {
                var.on = true;
                model.targets.push(at);
            }
            (true, false) => var.nats = -20.0,
            (false, _) if told => var.nats = if sign { float::ln(9.0) } else { -float::ln(9.0) },
            (false, _) => {}
        }
    }
    (!model.targets.is_empty()).then_some(model)
}

#[test]
fn habits_come_near_those_that_incidents_were_drawn_with() {
    let truth = [0.9, 0.1, 0.7, 0.3];
    // Mean errors before and after so many incidents, of ten histories.
    let mut errors: Vec<(f64, [f64; 4])> = Vec::new();
    let incidents = [0, 30, 300, 1_000];
    for incidents in incidents {
        let (mut error, mut found) = (0.0, [0.0; 4]);
        for seed in 0..10 {
            let mut draw = Draw(77 + seed);
            let mut sums = [(0.0, 0.0); 4];
            let mut closed = 0;
            while closed < incidents {
                let believed = sums.map(|(degraded, passed)| strength(degraded, passed));
                let Some(model) = incident(&mut draw, &truth, &believed) else { continue };
                closed += 1;
                let compiled = compile(model, true);
                let answer = infer(&compiled);
                let teaches = noticed_without(answer.model);
                let fired = fired(&answer, &[5, 6, 7], 0.0).expect("it is small");
                let of = [fired[0][1], fired[1][1], fired[2][1], fired[2][2]];
                for ((sum, fired), (client, server)) in sums.iter_mut().zip(of).zip(CALLS) {
                    if teaches[4 + client] {
                        sum.0 += answer.posteriors[4 + server];
                        sum.1 += fired;
                    }
                }
            }
            for (at, (degraded, passed)) in sums.into_iter().enumerate() {
                let habit = strength(degraded, passed);
                error += (habit - truth[at]).abs() / 40.0;
                found[at] += habit / 10.0;
            }
        }
        errors.push((error, found));
    }
    let near = errors.iter().zip([0.3, 0.25, 0.14, 0.1]).all(|((error, _), most)| *error <= most);
    assert!(near, "after {incidents:?} incidents, for {truth:?}: {errors:?}");
}

#[test]
fn a_habit_is_the_usual_one_until_something_was_seen_and_never_certain() {
    assert_eq!(strength(0.0, 0.0), USUAL);
    assert!(strength(2.0, 2.0) > USUAL && strength(2.0, 0.0) < USUAL);
    for (degraded, passed) in [(1e9, 0.0), (1e9, 1e9), (f64::NAN, 0.0), (0.0, f64::NAN), (-5.0, 1e300)] {
        let habit = strength(degraded, passed);
        assert!((HABIT_MIN..=HABIT_MAX).contains(&habit), "{habit} of {passed} in {degraded}");
    }
    // What is learned meets what one incident shows: nothing learned changes no bit, a usual habit next to nothing.
    let habits = Habits { version: 3, calls: BTreeMap::from([((0, 1), USUAL), ((0, 2), 0.9), ((0, 3), 0.05)]) };
    for explained in [0.05, 0.5, 0.731, 1.0] {
        let strength = |server: usize| habits.strength(0, server, Some(explained));
        assert_eq!(strength(9), PASSES * explained);
        assert!((strength(1) - strength(9)).abs() < 1e-12);
        assert!(strength(2) > strength(9) && strength(3) < strength(9));
    }
    assert_eq!([1, 2, 3, 9].map(|server| habits.strength(0, server, None)), [USUAL, USUAL, 0.05, USUAL]);
}
