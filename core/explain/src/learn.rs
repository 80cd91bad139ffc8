//! What closed incidents teach: for each type of event, how much it speaks for the service that tells of it, for those that this one
//! calls, and for those that call it.
//!
//! The model is a conditional logit over the services of an incident: `P(cause = v) = softmax_v(w . x_v)`, where `x_v` are the logarithms
//! of one plus the counts of events, by type: `v`'s own, their mean over `v`'s callers, and their mean over its callees. The weights are those
//! that make the causes that operators confirmed most probable, less a penalty ([`PENALTY`]) on each weight squared, as if every
//! part of `x` had a spread of one. So the problem is convex, has one answer, and few lessons give small weights.
//!
//! Limits: an incident has one cause; types that were in no lesson say nothing; what was learned of one estate says nothing of another.
//! Source: McFadden, "Conditional logit analysis of qualitative choice behavior", 1974; algorithms.md 1.4.
use crate::descent::least;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::facts::{Candidate, EventWeight, Evidence, Lesson, Lessons, Telemetry, Weights};
use faultline_model::float;

/// Penalty on a squared weight (A: 3 to 10, its middle).
const PENALTY: f64 = 5.0;
/// Types of events with weights: those of most lessons.
pub const TYPES_MAX: usize = 1_024;
/// Types of events in one lesson: those that most services tell of.
const TYPES_OF_LESSON: usize = 256;
/// Pairs of service and type in one lesson, about; each service keeps its share, the most frequent.
const COUNTS_OF_LESSON: usize = 2_048;
/// The least that a service's share is.
const COUNTS_LEAST: usize = 4;
/// Calls in one lesson, the first in order of caller and callee.
const CALLS_OF_LESSON: usize = 2_048;
/// Largest part of the gradient at the end, per lesson.
const TOLERANCE: f64 = 1e-9;

/// Own events, callers', callees'.
const SIDES: usize = 3;

/// An incident as a lesson, but for its cause, which is 0 until somebody says it.
pub fn lesson(evidence: &Evidence) -> Lesson {
    let count = evidence.nodes.len();
    let share = (COUNTS_OF_LESSON / count.max(1)).max(COUNTS_LEAST);
    let mut told: Vec<Vec<(String, u32)>> = Vec::with_capacity(count);
    let mut spread: BTreeMap<String, u32> = BTreeMap::new();
    for node in &evidence.nodes {
        let events = node.events.iter().map(|event| (event_type("event", &event.name), event.count));
        let alerts = node.alerts.iter().map(|alert| (event_type("alert", alert), 1));
        let mut own: Vec<(String, u32)> = events.chain(alerts).filter(|(_, count)| *count > 0).collect();
        own.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        own.dedup_by(|a, b| a.0 == b.0);
        own.truncate(share);
        for (name, _) in &own {
            *spread.entry(name.clone()).or_default() += 1;
        }
        told.push(own);
    }
    let types = most(spread, TYPES_OF_LESSON);
    let candidates = told.into_iter().zip(&evidence.nodes).map(|(own, node)| {
        let place = |name: &String| types.binary_search(name).ok().map(|place| place as u32);
        let mut events: Vec<(u32, u32)> = own.iter().filter_map(|(name, count)| Some((place(name)?, *count))).collect();
        events.sort();
        events.dedup_by_key(|(place, _)| *place);
        Candidate { heard: node.telemetry != Telemetry::Peer, events }
    });
    let candidates = candidates.collect();
    let inside = |index: u32| (index as usize) < count;
    let calls = evidence.edges.iter().map(|edge| (edge.client, edge.server));
    let calls: BTreeSet<(u32, u32)> =
        calls.filter(|&(client, server)| client != server && inside(client) && inside(server)).collect();
    Lesson { types, candidates, calls: calls.into_iter().take(CALLS_OF_LESSON).collect(), cause: 0 }
}

/// A type of event: its sort and its name.
fn event_type(sort: &str, name: &str) -> String {
    [sort, ":", name].concat()
}

/// The names that occur most, in name order.
fn most(spread: BTreeMap<String, u32>, limit: usize) -> Vec<String> {
    let mut names: Vec<(String, u32)> = spread.into_iter().collect();
    names.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    names.truncate(limit);
    let mut names: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
    names.sort();
    names
}

/// Learns the weights. Pure and total: the same lessons give the same bytes; a lesson whose cause is none of its services is passed over.
pub fn learn(lessons: &Lessons) -> Weights {
    let taken = lessons.lessons.iter().filter(|lesson| (lesson.cause as usize) < lesson.candidates.len());
    let taken: Vec<&Lesson> = taken.map(|lesson| &**lesson).collect();
    let mut spread: BTreeMap<String, u32> = BTreeMap::new();
    for name in taken.iter().flat_map(|lesson| &lesson.types) {
        *spread.entry(name.clone()).or_default() += 1;
    }
    let types = most(spread, TYPES_MAX);
    let place = |name: &str| types.binary_search_by(|known| known.as_str().cmp(name)).ok();
    let views: Vec<View> = taken.iter().map(|lesson| View::new(lesson, place)).collect();
    let scales = scales(&views, types.len());
    let size = SIDES * types.len();
    let tolerance = TOLERANCE * views.len().max(1) as f64;
    let mut weights = vec![0.0; size];
    let found = least(size, tolerance, |scaled, gradient| {
        weights.iter_mut().zip(scaled.iter().zip(&scales)).for_each(|(weight, (x, scale))| *weight = x * scale);
        let mut value = 0.0;
        for (view, lesson) in views.iter().zip(&taken) {
            value += view.surprise(&weights, lesson.cause as usize, gradient);
        }
        for (gradient, (x, scale)) in gradient.iter_mut().zip(scaled.iter().zip(&scales)) {
            *gradient = *gradient * scale + PENALTY * x;
            value += 0.5 * PENALTY * x * x;
        }
        value
    });
    let weight = |side: usize, at: usize| found[side * types.len() + at] * scales[side * types.len() + at];
    let events = types.iter().enumerate().map(|(at, name)| EventWeight {
        name: name.clone(),
        own: weight(0, at),
        callers: weight(1, at),
        callees: weight(2, at),
    });
    Weights { lessons: views.len() as u64, events: events.collect() }
}

/// A lesson's services with their events by type, and whose events bear on whom.
pub(crate) struct View {
    /// By service: types and `ln(1 + count)`.
    own: Vec<Vec<(usize, f64)>>,
    /// By service: those of its callers, and of its callees, that send telemetry of their own.
    sides: [Vec<Vec<usize>>; 2],
    /// Number of types.
    types: usize,
}

impl View {
    /// - `place`: the index of a type that has a weight.
    pub fn new(lesson: &Lesson, place: impl Fn(&str) -> Option<usize>) -> View {
        let places: Vec<Option<usize>> = lesson.types.iter().map(|name| place(name)).collect();
        let of = |candidate: &Candidate| -> Vec<(usize, f64)> {
            let known = candidate.events.iter().filter_map(|&(event, count)| {
                Some((*places.get(event as usize)?.as_ref()?, float::ln(1.0 + f64::from(count))))
            });
            known.collect()
        };
        let count = lesson.candidates.len();
        let mut sides = [vec![Vec::new(); count], vec![Vec::new(); count]];
        for &(client, server) in &lesson.calls {
            let (client, server) = (client as usize, server as usize);
            if client >= count || server >= count {
                continue;
            }
            if lesson.candidates[client].heard {
                sides[0][server].push(client);
            }
            if lesson.candidates[server].heard {
                sides[1][client].push(server);
            }
        }
        let types = places.iter().flatten().map(|place| place + 1).max().unwrap_or(0);
        View { own: lesson.candidates.iter().map(of).collect(), sides, types }
    }

    /// What a service's events come to under the weights of one side.
    fn sum(&self, node: usize, weights: &[f64]) -> f64 {
        self.own[node].iter().map(|&(event, x)| weights[event] * x).sum()
    }

    /// `w . x` of each service.
    ///
    /// - `weights`: those of all types, side by side.
    pub fn scores(&self, weights: &[f64]) -> Vec<f64> {
        let types = weights.len() / SIDES;
        assert!(self.types <= types, "every type has its place");
        let sums = |side: usize| -> Vec<f64> {
            (0..self.own.len()).map(|node| self.sum(node, &weights[side * types..(side + 1) * types])).collect()
        };
        let mut scores = sums(0);
        for (side, near) in self.sides.iter().enumerate() {
            let sums = sums(side + 1);
            for (score, near) in scores.iter_mut().zip(near) {
                *score += near.iter().map(|&other| sums[other]).sum::<f64>() / near.len().max(1) as f64;
            }
        }
        scores
    }

    /// Minus the logarithm of the probability of `cause`; adds its gradient.
    fn surprise(&self, weights: &[f64], cause: usize, gradient: &mut [f64]) -> f64 {
        let scores = self.scores(weights);
        let high = scores.iter().fold(f64::NEG_INFINITY, |high, score| float::max(high, *score));
        let mut shares: Vec<f64> = scores.iter().map(|score| float::exp(score - high)).collect();
        let all: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= all);
        let surprise = float::ln(all) + high - scores[cause];
        // What is left of each service's share, less what it should have had.
        shares[cause] -= 1.0;
        let types = weights.len() / SIDES;
        let mut add = |side: usize, node: usize, amount: f64| {
            for &(event, x) in &self.own[node] {
                gradient[side * types + event] += amount * x;
            }
        };
        for (node, &rest) in shares.iter().enumerate() {
            add(0, node, rest);
        }
        for (side, near) in self.sides.iter().enumerate() {
            let mut passed = vec![0.0; shares.len()];
            for (near, rest) in near.iter().zip(&shares) {
                near.iter().for_each(|&other| passed[other] += rest / near.len() as f64);
            }
            passed.into_iter().enumerate().for_each(|(node, amount)| add(side + 1, node, amount));
        }
        surprise
    }
}

/// One over the spread of each part of `x` over all services of all lessons; 0 where it never differs.
fn scales(views: &[View], types: usize) -> Vec<f64> {
    let (mut sums, mut squares) = (vec![0.0; SIDES * types], vec![0.0; SIDES * types]);
    let mut count = 0.0;
    let mut mean = vec![0.0; types];
    for view in views {
        count += view.own.len() as f64;
        let mut note = |side: usize, event: usize, x: f64| {
            sums[side * types + event] += x;
            squares[side * types + event] += x * x;
        };
        for own in &view.own {
            own.iter().for_each(|&(event, x)| note(0, event, x));
        }
        for (side, near) in view.sides.iter().enumerate() {
            for near in near {
                let mut touched: Vec<usize> = Vec::new();
                for &(event, x) in near.iter().flat_map(|&other| &view.own[other]) {
                    if mean[event] == 0.0 {
                        touched.push(event);
                    }
                    mean[event] += x;
                }
                for event in touched {
                    note(side + 1, event, mean[event] / near.len() as f64);
                    mean[event] = 0.0;
                }
            }
        }
    }
    let spread = |at: usize| {
        let mean = sums[at] / float::max(count, 1.0);
        let variance = squares[at] / float::max(count, 1.0) - mean * mean;
        // Below this, rounding alone could be it.
        if variance > 1e-12 { 1.0 / float::sqrt(variance) } else { 0.0 }
    };
    (0..SIDES * types).map(spread).collect()
}
