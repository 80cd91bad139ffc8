//! What each service shows: symptoms that may have come from elsewhere, and signs of a fault of its own.
//!
//! Every sign is a log-likelihood ratio in nats; none where it was not measured, for what was not seen speaks neither way. An
//! effect that is too small in its own unit to matter counts for little however many standard deviations it is: this gate
//! does more for the ranking than the choice of any statistic.
use crate::clean::{Edge, Quantity, Scene};
use crate::config::{
    CALLER_WIDE, CALLER_WIDE_0, COUNT_MIN, DROP_BLIND, DROP_MIN, GAP_SHAPE, HEARSAY, IMMATERIAL, NATS_MAX, NEW_LOGS,
    NEW_LOGS_0, NEW_LOGS_EACH, NEW_LOGS_LEAST_0, RISE_ERRORS, RISE_MS, SELF_SHARE, SILENT_FAILING, SILENT_UNSEEN,
    SILENT_WORKING, Z_GATE,
};
use crate::likelihood::{clamp, mixture, nats};
use crate::resources;
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::facts::Telemetry;
use faultline_model::float;

/// Signs of a service's own fault, in the order of [`crate::config::KINDS`].
pub(crate) const SELF_TIME: usize = 0;
/// Slow to reach: callers wait longer than it works.
pub(crate) const FAR: usize = 1;
/// Requests that fail without a failed call to explain it.
pub(crate) const OWN_ERRORS: usize = 2;
/// Work that is taken and not finished.
pub(crate) const STOPPED: usize = 3;
/// Calls that it no longer makes although it serves.
pub(crate) const WITHHELD: usize = 4;
/// Error logs: they go with a fault of any kind.
pub(crate) const LOGS: usize = 5;
/// It uses too much of a resource, or was started anew.
pub(crate) const RESOURCE: usize = 6;

/// What shows that a service is degraded, as it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symptom {
    /// Its requests take long.
    Slow,
    /// Its requests fail.
    Failing,
    /// Its callers wait long for it.
    CalledSlow,
    /// Its callers' calls fail.
    CalledFailing,
    /// More is asked of it than it answers.
    Unserved,
}

/// What one service shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signs {
    /// Each measured symptom of being degraded, in nats.
    pub degraded: Vec<(Symptom, f64)>,
    /// Signs of a fault of its own, in nats, not yet less what its calls explain.
    pub own: [Option<f64>; 7],
    /// That traffic it should have had is missing, in nats.
    pub lost: Option<f64>,
    /// Share of its expected traffic that is missing, 0 to 1.
    pub drop: f64,
    /// Share of what is asked of it that it does not finish, 0 to 1; none where its callers do not say.
    pub unserved: Option<f64>,
    /// Whether they are weighed by the first model.
    pub first: bool,
}

impl Signs {
    /// How much it looks degraded, in nats: the mean ratio over the symptoms measured, for a fault shows in some and not in all.
    pub fn degraded_nats(&self) -> f64 {
        match self.degraded.len() {
            0 => 0.0,
            count => {
                let weight = 1.0 / count as f64;
                mixture(&self.degraded.iter().map(|&(_, nats)| (weight, nats)).collect::<Vec<_>>()).0
            }
        }
    }

    /// Nats of one symptom where it was measured.
    pub fn symptom(&self, which: Symptom) -> Option<f64> {
        self.degraded.iter().find(|(symptom, _)| *symptom == which).map(|&(_, nats)| nats)
    }
}

/// What all services and the ways between them show.
#[derive(Clone, Debug)]
pub(crate) struct Channels {
    pub nodes: Vec<Signs>,
    /// Per edge: that the way itself is at fault, in nats; none where that is no question of its own.
    pub links: Vec<Option<f64>>,
}

/// Reads every sign.
pub(crate) fn read(scene: &Scene) -> Channels {
    let gaps = Gaps::new(scene);
    let spent = |node: usize| {
        float::max(scene.nodes[node].self_time.rise(), 0.0) * float::max(scene.nodes[node].traffic.seen, 0.0)
    };
    let spent_all: f64 = (0..scene.nodes.len()).map(spent).sum();
    let mut nodes: Vec<Signs> = (0..scene.nodes.len())
        .map(|index| {
            let node = &scene.nodes[index];
            let mut signs = Signs { first: scene.first, ..Signs::default() };
            let calls = seen_by_callers(scene, index, &gaps);
            signs.work(scene, index, &calls);
            // What a service that lost its work says of the rest is about the part that still works.
            let blind = signs.drop >= DROP_BLIND || !node.reports();
            for (symptom, value) in [(Symptom::Slow, latency(&node.latency)), (Symptom::Failing, errors(&node.errors))]
            {
                signs.degraded.extend(value.filter(|&nats| !blind || nats > 0.0).map(|nats| (symptom, nats)));
            }
            signs.degraded.extend(calls.slow.map(|nats| (Symptom::CalledSlow, nats)));
            signs.degraded.extend(calls.failing.map(|nats| (Symptom::CalledFailing, nats)));

            signs.own[SELF_TIME] = latency_z(&node.self_time).map(|z| {
                let large = spent(index) > SELF_SHARE * spent_all;
                nats(if large || z < 0.0 { z } else { z * IMMATERIAL })
            });
            signs.own[FAR] = gaps.nodes[index].map(nats);
            signs.own[OWN_ERRORS] = errors(&node.own_errors);
            let logs = node.error_logs;
            let more = (logs.known && logs.based && logs.rise() > 0.0).then(|| float::max(nats(logs.z), 0.0));
            // What is new and what is missing are not each other's reason, other than a fault.
            let fresh = [novelty(&node.new_logs, scene.first), missing(&node.missing_logs)];
            let fresh = fresh.into_iter().flatten().reduce(|a, b| float::min(a + b, NATS_MAX));
            signs.own[RESOURCE] = resources::sign(node).filter(|_| !scene.first);
            signs.own[LOGS] = more.into_iter().chain(fresh).reduce(float::max);
            signs
        })
        .collect();
    if !scene.first {
        hearsay(scene, &mut nodes);
    }
    Channels { nodes, links: gaps.links.iter().map(|z| z.map(nats)).collect() }
}

/// Callers write of what fails below them: where a callee's log records speak, too, less of a caller's are its own.
fn hearsay(scene: &Scene, nodes: &mut [Signs]) {
    let told: Vec<f64> = nodes.iter().map(|signs| float::max(signs.own[LOGS].unwrap_or(0.0), 0.0)).collect();
    for (index, signs) in nodes.iter_mut().enumerate() {
        let below = scene.waits_for(index).map(|(_, call)| told[call.server]).fold(0.0, float::max);
        if let Some(own) = signs.own[LOGS].as_mut().filter(|own| **own > 0.0) {
            *own *= 1.0 - HEARSAY * clamp(below / *own, 0.0, 1.0);
        }
    }
}

/// Robust z of a latency, small where the effect is; none where nothing was measured.
pub(crate) fn latency_z(quantity: &Quantity) -> Option<f64> {
    let matters = quantity.rise() >= RISE_MS;
    (quantity.measured() && quantity.based).then_some(if matters {
        quantity.z
    } else {
        float::min(quantity.z, quantity.z * IMMATERIAL)
    })
}

/// The same for a share of failed requests.
pub(crate) fn errors_z(quantity: &Quantity) -> Option<f64> {
    let matters = quantity.rise() >= RISE_ERRORS;
    (quantity.measured() && quantity.based).then_some(if matters {
        quantity.z
    } else {
        float::min(quantity.z, quantity.z * IMMATERIAL)
    })
}

/// How much new kinds of log records speak for a fault, in nats, from how many deviations of chance they are: none without any.
fn novelty(fresh: &Quantity, first: bool) -> Option<f64> {
    if first {
        let usual = float::max(fresh.expected, NEW_LOGS_LEAST_0);
        let ratio = fresh.seen * float::ln((usual + NEW_LOGS_0) / usual) - NEW_LOGS_0;
        return (fresh.known && fresh.seen > 0.0).then(|| clamp(ratio, 0.0, NATS_MAX));
    }
    let more = fresh.seen - float::max(fresh.expected, 0.0);
    let ratio = NEW_LOGS + NEW_LOGS_EACH * more;
    (fresh.known && fresh.seen > 0.0).then(|| clamp(ratio, 0.0, NATS_MAX))
}

/// How much a line of its log that stays away speaks for a fault of a service, in nats: by how little chance such a gap has, where
/// any of its lines could be the one; none where none is overdue.
fn missing(overdue: &Quantity) -> Option<f64> {
    let gap = GAP_SHAPE * float::ln(1.0 + overdue.expected / GAP_SHAPE);
    let lines = float::ln(float::max(overdue.count, 1.0));
    (overdue.known && overdue.expected > 0.0).then(|| clamp(gap - lines, 0.0, NATS_MAX))
}

fn latency(quantity: &Quantity) -> Option<f64> {
    latency_z(quantity).map(nats)
}

fn errors(quantity: &Quantity) -> Option<f64> {
    errors_z(quantity).map(nats)
}

/// A service as those see it who wait for its answers, in nats.
struct Called {
    slow: Option<f64>,
    failing: Option<f64>,
}

impl Called {
    fn works(&self) -> bool {
        self.slow.or(self.failing).is_some() && ![self.slow, self.failing].into_iter().flatten().any(|nats| nats > 0.0)
    }

    fn suffers(&self) -> bool {
        [self.slow, self.failing].into_iter().flatten().any(|nats| nats > 0.0)
    }
}

fn seen_by_callers(scene: &Scene, index: usize, gaps: &Gaps) -> Called {
    let callers = || {
        let edges = scene.nodes[index].called.iter().map(|&edge| (edge, &scene.edges[edge]));
        edges.filter(|(edge, it)| {
            !it.asynchronous && scene.nodes[it.client].reports() && !gaps.callers[scene.edges[*edge].client]
        })
    };
    let weighted = |read: fn(&Edge) -> Option<f64>| {
        let seen: Vec<(f64, f64)> =
            callers().filter_map(|(_, edge)| Some((read(edge)?, float::max(edge.traffic.seen, 0.0)))).collect();
        most(seen)
    };
    Called { slow: weighted(|edge| latency(&edge.latency)), failing: weighted(|edge| errors(&edge.errors)) }
}

/// What most callers say: the median by weight, or the worst of at most two.
fn most(mut seen: Vec<(f64, f64)>) -> Option<f64> {
    seen.sort_by(|a, b| float::order(a.0, b.0));
    if seen.len() <= 2 {
        return seen.last().map(|&(value, _)| value);
    }
    let half = seen.iter().map(|&(_, weight)| weight).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    for &(value, weight) in &seen {
        sum += weight;
        if sum >= half {
            return Some(value);
        }
    }
    None
}

impl Signs {
    /// Traffic: what was expected, what is asked for, what is finished, and what is passed on.
    fn work(&mut self, scene: &Scene, index: usize, calls: &Called) {
        let node = &scene.nodes[index];
        let own = node.traffic;
        let asked = scene.nodes[index].called.iter().map(|&edge| &scene.edges[edge]);
        let asked: Vec<&Edge> = asked.filter(|edge| edge.traffic.known && scene.nodes[edge.client].reports()).collect();
        let expected_calls: f64 = asked.iter().map(|edge| float::max(edge.traffic.expected, 0.0)).sum();
        let seen_calls: f64 = asked.iter().map(|edge| float::max(edge.traffic.seen, 0.0)).sum();
        let enough =
            |quantity: &Quantity| quantity.known && quantity.based && quantity.expected * scene.window_s >= COUNT_MIN;
        if enough(&own) {
            let served = clamp(own.seen / own.expected, 0.0, 1e6);
            self.drop = clamp(1.0 - served, 0.0, 1.0);
            let missing = if self.drop >= DROP_MIN { -own.z } else { float::min(-own.z, -own.z * IMMATERIAL) };
            self.lost = Some(nats(missing));
            let mut clear = 0.0;
            if expected_calls >= 0.5 * own.expected {
                // Calls of callers that do not report may hide what was served, never what was asked: a lower bound.
                let usual = float::min(own.expected / expected_calls, 1.0);
                let asked = seen_calls * usual;
                // The same requests are counted on both sides, so the two differ by less than their own noise.
                let requests = asked * scene.window_s;
                let noise = 0.5 * float::sqrt(requests) + 0.05 * requests + 1.0;
                clear = (requests - own.seen * scene.window_s) / noise;
                let share = if asked > 0.0 { clamp(1.0 - own.seen / asked, 0.0, 1.0) } else { 0.0 };
                self.unserved = Some(share * clamp(clear / Z_GATE, 0.0, 1.0));
            }
            let score = match self.unserved {
                Some(unserved) if unserved >= DROP_BLIND => float::max(clear, missing),
                Some(unserved) if unserved >= DROP_MIN => clear,
                Some(_) => float::min(clear, clear * IMMATERIAL),
                None => missing,
            };
            let stopped = nats(score);
            // Where nobody says whether it was still asked, a loss is no sign: the load may have gone elsewhere.
            self.own[STOPPED] = Some(if self.unserved.is_none() { float::min(stopped, 0.0) } else { stopped });
            if self.unserved.is_some_and(|unserved| unserved >= DROP_MIN) {
                self.degraded.push((Symptom::Unserved, stopped));
            }
            if node.reports() && served >= DROP_MIN {
                self.own[WITHHELD] = withheld(scene, index, served).map(nats);
            }
        }
        // Starved of work a service is quiet too: silence counts only where something was asked of it.
        if node.telemetry == Telemetry::Silent && self.unserved.unwrap_or(1.0) >= DROP_MIN {
            // What it served is not known, only that nothing was told: the figures of its traffic add nothing.
            self.own[STOPPED] = Some(if calls.suffers() { SILENT_FAILING } else { SILENT_UNSEEN });
        }
        let answers = node.called.iter().any(|&edge| scene.edges[edge].asynchronous);
        if calls.works()
            && !answers
            && self.own[STOPPED].is_some_and(|nats| nats > SILENT_WORKING)
            && self.unserved.unwrap_or(1.0) >= DROP_MIN
        {
            // Its callers get their answers: only its telemetry went missing.
            self.own[STOPPED] = Some(SILENT_WORKING);
            self.degraded.retain(|(symptom, _)| *symptom != Symptom::Unserved);
            self.lost = None;
            self.unserved = Some(0.0);
        }
    }
}

/// Score of the call that a service makes least of what it should, given what it serves; none where it makes too few to tell.
fn withheld(scene: &Scene, index: usize, served: f64) -> Option<f64> {
    let calls = scene.nodes[index].calls.iter().map(|&edge| &scene.edges[edge].traffic);
    let enough = calls.filter(|calls| calls.known && calls.based && calls.expected * scene.window_s >= 4.0 * COUNT_MIN);
    let scores = enough.map(|calls| {
        let kept = calls.seen / calls.expected / float::min(served, 1.0);
        // Of what is missing only what it does serve counts: the rest it was not asked for.
        let own = clamp((1.0 - kept) / (1.0 - calls.seen / calls.expected), 0.0, 1.0);
        if 1.0 - kept >= DROP_MIN { -calls.z * own } else { float::min(-calls.z, 0.0) }
    });
    scores.fold(None, |high: Option<f64>, z| Some(high.map_or(z, |high| float::max(high, z))))
}

/// Client's time less server's: ways, callees behind them, and callers to whom everything looks far away.
struct Gaps {
    /// Per service: score of being far from its callers.
    nodes: Vec<Option<f64>>,
    /// Per edge: score of its way, where it stands out among the callee's callers.
    links: Vec<Option<f64>>,
    /// Per service: whether the distance is its own, seen on most of its calls.
    callers: Vec<bool>,
}

impl Gaps {
    fn new(scene: &Scene) -> Gaps {
        let scores: Vec<Option<f64>> =
            scene.edges.iter().map(|edge| latency_z(&edge.gap).filter(|_| !edge.asynchronous)).collect();
        let (mut nodes, mut callers) = (vec![None; scene.nodes.len()], vec![false; scene.nodes.len()]);
        let mut links = vec![None; scene.edges.len()];
        let elevated = |score: f64| score >= Z_GATE;
        for (index, node) in scene.nodes.iter().enumerate() {
            let own: Vec<(f64, f64)> = node.calls.iter().filter_map(|&edge| Some((scores[edge]?, 1.0))).collect();
            let high = own.iter().filter(|(score, _)| elevated(*score)).count();
            let (high, all) = (high as f64, own.len() as f64);
            let wide = if scene.first { high >= CALLER_WIDE_0 * all } else { high > CALLER_WIDE * all };
            if own.len() >= 3 && wide {
                callers[index] = true;
                nodes[index] = most(own);
            }
        }
        for (index, node) in scene.nodes.iter().enumerate().filter(|(index, _)| !callers[*index]) {
            let ways: Vec<(usize, f64)> = node
                .called
                .iter()
                .filter(|&&edge| !callers[scene.edges[edge].client])
                .filter_map(|&edge| Some((edge, scores[edge]?)))
                .collect();
            let high: Vec<&(usize, f64)> = ways.iter().filter(|(_, score)| elevated(*score)).collect();
            if let ([(edge, score)], true) = (&high[..], ways.len() >= 3) {
                links[*edge] = Some(*score);
            }
            nodes[index] = most(ways.into_iter().map(|(_, score)| (score, 1.0)).collect());
        }
        Gaps { nodes, links, callers }
    }
}
