//! Excess-flow attribution: which share of a service's excess each of its calls explains.
//!
//! Means add up: if a request of `v` makes `k` calls to `u`, then `k` times the rise of those calls is the part of `v`'s own
//! rise that `u` explains. Retries need nothing special: they raise `k`. The shares of a service and its own part sum to at most
//! one, so following them from the violated service leads where the excess begins, past louder victims.
use crate::channels::{Channels, Symptom, errors_z, latency_z};
use crate::clean::{Edge, Scene};
use crate::config::{DROP_MIN, RISE_ERRORS, RISE_MS, Z_GATE};
use crate::likelihood::{clamp, nats};
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::float;

/// Which part of the caller's excess a call explains, 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    /// Of what is in excess at the caller, weighed by how clearly each is.
    pub all: f64,
    /// Of its latency.
    pub slow: f64,
    /// Of its failures and of what it does not finish.
    pub failing: f64,
}

/// All shares.
#[derive(Clone, Debug)]
pub(crate) struct Flows {
    /// Per edge; none where the caller's excess or the call cannot be measured.
    pub edges: Vec<Option<Share>>,
    /// Per service: the part of its excess measured as its own, 0 to 1; none where it is not measured.
    pub own: Vec<Option<f64>>,
    /// Per service: what its calls explain together.
    pub calls: Vec<Share>,
    /// Whether no violated service's excess is to be seen.
    pub unseen: bool,
}

/// Attributes every service's excess to its calls.
pub(crate) fn attribute(scene: &Scene, channels: &Channels) -> Flows {
    let count = scene.nodes.len();
    // A violated service whose excess is not to be seen suffers from what we do not measure. Where that holds of all of them, what
    // they suffer from need not show in between either.
    let unseen = scene.targets.iter().all(|&target| !Excess::of(scene, channels, target).any());
    let mut flows = Flows {
        edges: vec![None; scene.edges.len()],
        own: vec![None; count],
        calls: vec![Share::default(); count],
        unseen,
    };
    for index in 0..count {
        let excess = Excess::of(scene, channels, index);
        let is_target = scene.targets.binary_search(&index).is_ok();
        if !excess.measured || ((is_target || unseen) && !excess.any()) {
            continue;
        }
        flows.own[index] = excess.own(scene, index);
        for (edge, call) in scene.waits_for(index) {
            let share = excess.share(scene, call);
            flows.edges[edge] = Some(share);
            let calls = &mut flows.calls[index];
            calls.all = clamp(calls.all + share.all, 0.0, 1.0);
            calls.slow = clamp(calls.slow + share.slow, 0.0, 1.0);
            calls.failing = clamp(calls.failing + share.failing, 0.0, 1.0);
        }
    }
    flows
}

/// What is in excess at one service, and how clearly, from 0 to 1.
struct Excess {
    measured: bool,
    slow: f64,
    failing: f64,
    unserved: f64,
}

impl Excess {
    fn of(scene: &Scene, channels: &Channels, index: usize) -> Excess {
        let (node, signs) = (&scene.nodes[index], &channels.nodes[index]);
        let clear = |z: Option<f64>, matters: bool| {
            z.filter(|&z| z >= Z_GATE && matters).map_or(0.0, |z| float::max(nats(z), 0.0))
        };
        let slow = clear(latency_z(&node.latency), node.latency.rise() >= RISE_MS);
        let failing = clear(errors_z(&node.errors), node.errors.rise() >= RISE_ERRORS);
        let unserved = signs.symptom(Symptom::Unserved).map_or(0.0, |nats| float::max(nats, 0.0));
        let most = float::max(slow, float::max(failing, unserved));
        let weigh = |nats: f64| if most > 0.0 { nats / most } else { 0.0 };
        let measured = node.reports() && (node.latency.measured() || node.errors.measured() || unserved > 0.0);
        Excess { measured, slow: weigh(slow), failing: weigh(failing), unserved: weigh(unserved) }
    }

    fn any(&self) -> bool {
        self.slow > 0.0 || self.failing > 0.0 || self.unserved > 0.0
    }

    fn own(&self, scene: &Scene, index: usize) -> Option<f64> {
        let node = &scene.nodes[index];
        let slow = (self.slow > 0.0 && node.self_time.measured())
            .then(|| self.slow * part(node.self_time.rise(), node.latency.rise()));
        let failing = (self.failing > 0.0 && node.own_errors.measured())
            .then(|| self.failing * part(node.own_errors.rise(), node.errors.rise()));
        match (slow, failing) {
            (Some(slow), Some(failing)) => Some(float::max(slow, failing)),
            (slow, failing) => slow.or(failing),
        }
    }

    fn share(&self, scene: &Scene, call: &Edge) -> Share {
        let (client, server) = (&scene.nodes[call.client], &scene.nodes[call.server]);
        let per_request = |calls: f64, requests: f64| {
            if calls > 0.0 && requests > 0.0 { clamp(calls / requests, 0.0, 1e3) } else { 0.0 }
        };
        // Where nobody counts the calls, all that the callee serves stands for them: an upper bound where it has other callers.
        let calls = if call.unmeasured { &server.traffic } else { &call.traffic };
        let before = per_request(calls.expected, client.traffic.expected);
        let now = per_request(calls.seen, client.traffic.seen);
        let (before, now) = match (before > 0.0, now > 0.0) {
            (true, true) => (before, now),
            (true, false) => (before, before),
            (false, true) => (now, now),
            (false, false) => (1.0, 1.0),
        };
        let latency = if call.latency.measured() { call.latency } else { server.latency };
        let errors = if call.errors.measured() { call.errors } else { server.errors };
        let mut share = Share::default();
        if self.slow > 0.0 && latency.measured() {
            share.slow = part(now * latency.seen - before * latency.expected, client.latency.rise());
        }
        if self.failing > 0.0 && errors.measured() {
            share.failing = part(now * errors.rise(), client.errors.rise());
        }
        let mut hanging = 0.0;
        if self.unserved > 0.0 {
            // Callers that wait in vain finish little themselves: what fails or takes longer than it did holds them up.
            let late = latency_z(&latency).is_some_and(|z| z >= Z_GATE) && latency.seen > 0.0;
            let late = if late { clamp(1.0 - latency.expected / latency.seen, 0.0, 1.0) } else { 0.0 };
            let failed = if errors.measured() { clamp(errors.rise(), 0.0, 1.0) } else { 0.0 };
            hanging = float::min(before, 1.0) * float::max(late, failed);
            hanging = if hanging >= DROP_MIN { hanging } else { 0.0 };
        }
        let weighed = [self.slow * share.slow, self.failing * share.failing, self.unserved * hanging];
        share.all = weighed.into_iter().fold(0.0, float::max);
        share.failing = float::max(share.failing, hanging);
        share
    }
}

/// `part / whole` within 0 and 1; 0 where nothing rose.
fn part(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { clamp(part / whole, 0.0, 1.0) } else { 0.0 }
}
