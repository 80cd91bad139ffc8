//! From signs and shares to the network: which variables there are, what causes them, how strongly.
//!
//! Only what can have caused a violation is in it: from the violated services backwards, along calls that explain at least
//! [`SHARE_MIN`] of the caller's excess, and along traffic that stays away. That keeps it small where the graph is large.
use crate::channels::{Channels, FAR, LOGS, OWN_ERRORS, RESOURCE, SELF_TIME, STOPPED, Signs, Symptom, WITHHELD};
use crate::clean::Scene;
use crate::config::{
    ARCS_MAX, CHANGE_BOOST, CHANGE_DECAY, CHANGE_SLACK, DEADLINE_DISCOUNT, DEPLOY_BOOST, DROP_MIN, FAULT_TROUBLES,
    HOST_PART, HOST_PASSES, HOST_PRIOR, KINDS, KINDS_0, LAG_STEP_MAX, LAG_STEPS, LEAK, LEAK_LOAD, LEAK_TROUBLE,
    LINK_PASSES, LINK_PRIOR, LOGGED, NARROW_PARENTS, OWN, PASSES, PEER_CALLER, PEER_PENALTY, PRIOR, RETRY_DISCOUNT,
    SHARE_MIN, SHARE_UNKNOWN, UNLINKED, UNSEEN, Z_GATE,
};
use crate::cycles::{self, Link};
use crate::flow::{Flows, Share};
use crate::likelihood::{logistic, logit, mixture, nats};
use crate::model::{Arc, Model, Role, Var};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use faultline_model::facts::{ChangeEvidence, Telemetry};
use faultline_model::float;

/// Builds the network.
pub(crate) fn build(scene: &Scene, channels: &Channels, flows: &Flows) -> Model {
    let mut draft = Draft {
        scene,
        channels,
        flows,
        vars: Vec::new(),
        places: BTreeMap::new(),
        unseen: flows.unseen && !scene.first,
        doubtful: doubtful(scene, channels),
    };
    let mut targets = Vec::new();
    let clear = nats(Z_GATE);
    for &target in &scene.targets {
        if draft.has_lost(target) {
            targets.push(draft.place(Role::Lost(target)));
        }
        let symptoms = &channels.nodes[target].degraded;
        if symptoms.iter().any(|&(symptom, nats)| symptom != Symptom::Unserved && nats >= clear) {
            targets.push(draft.place(Role::Degraded(target)));
        }
    }
    // Violated in a way that is not to be seen: all that is known is that an alert says so.
    let unseen = targets.is_empty();
    if unseen {
        targets.extend(scene.targets.iter().map(|&target| draft.place(Role::Degraded(target))));
    }
    let mut next = 0;
    while next < draft.vars.len() {
        draft.vars[next].causes = draft.causes(draft.vars[next].role);
        next += 1;
        if next == draft.vars.len() {
            // How all fare that run on a host tells of it, whether a violated service needs them or not.
            draft.place_neighbours();
        }
    }
    for &target in &targets {
        if unseen && !scene.first {
            draft.vars[target].nats = UNSEEN;
        } else {
            draft.vars[target].on = true;
        }
    }
    arrange(draft.vars, targets)
}

/// Hosts on which two or more services are bad, or show something of their own: only these are worth a thought, and widen the network.
fn doubtful(scene: &Scene, channels: &Channels) -> BTreeSet<usize> {
    let clear = nats(Z_GATE);
    let is_bad = |node: &&usize| {
        let signs = &channels.nodes[**node];
        let own =
            [SELF_TIME, FAR, OWN_ERRORS, STOPPED, WITHHELD, RESOURCE].into_iter().filter_map(|kind| signs.own[kind]);
        let seen = signs.degraded.iter().map(|&(_, nats)| nats);
        seen.chain(own).any(|nats| nats >= clear)
    };
    let hosts = scene.hosts.iter().enumerate();
    hosts.filter(|(_, host)| host.services.iter().filter(is_bad).count() >= 2).map(|(at, _)| at).collect()
}

struct Draft<'a> {
    scene: &'a Scene<'a>,
    channels: &'a Channels,
    flows: &'a Flows,
    vars: Vec<Var>,
    places: BTreeMap<(u8, usize), usize>,
    /// Whether no violation is to be seen.
    unseen: bool,
    /// Hosts that may be at fault.
    doubtful: BTreeSet<usize>,
}

impl Draft<'_> {
    /// The variable of this role, made when first asked for.
    fn place(&mut self, role: Role) -> usize {
        let key = match role {
            Role::Fault(node) => (0, node),
            Role::Link(edge) => (1, edge),
            Role::Degraded(node) => (2, node),
            Role::Lost(node) => (3, node),
            Role::Host(host) => (4, host),
            Role::Trouble(node) => (5, node),
        };
        if let Some(&place) = self.places.get(&key) {
            return place;
        }
        let place = self.vars.len();
        self.places.insert(key, place);
        let signs = |node: usize| &self.channels.nodes[node];
        let (base, nats, own) = match role {
            Role::Fault(node) => {
                let (own, beside) = self.shown(node);
                let nats = if self.suffers(node) { beside } else { own + beside };
                (logistic(prior(self.scene, node).iter().sum()), nats, None)
            }
            Role::Trouble(node) => (LEAK_TROUBLE, self.shown(node).0, None),
            Role::Host(_) => (HOST_PRIOR, 0.0, None),
            Role::Link(edge) => (LINK_PRIOR, self.channels.links[edge].unwrap_or(0.0), None),
            Role::Degraded(node) => {
                // What does not show where it is suffered need not show on the way there.
                let nats = signs(node).degraded_nats();
                (LEAK, if self.unseen { float::max(nats, 0.0) } else { nats }, self.flows.own[node])
            }
            Role::Lost(node) => {
                // Where nobody says what was asked, the load may have gone elsewhere.
                let leak = if signs(node).unserved.is_some() { LEAK } else { LEAK_LOAD };
                (leak, signs(node).lost.unwrap_or(0.0), None)
            }
        };
        let taught = role.node().map_or(0.0, |node| self.scene.taught.nats(node));
        self.vars.push(Var { role, base, causes: Vec::new(), nats, taught, on: false, own });
        place
    }

    /// What a service shows that its host may be behind, and what tells of itself alone, its log records and what was learned, in nats.
    fn shown(&self, node: usize) -> (f64, f64) {
        let (total, _) = fault_nats(&self.channels.nodes[node], &self.flows.calls[node]);
        let taught = self.scene.taught.nats(node);
        if self.suffers(node) {
            let (own, logs) = parts_of_trouble(&self.channels.nodes[node], &self.flows.calls[node]);
            return (own, logs + taught);
        }
        (total, taught)
    }

    /// Whether a service runs on a host that may be at fault.
    fn suffers(&self, node: usize) -> bool {
        self.scene.nodes[node].hosts.iter().any(|(host, _)| self.doubtful.contains(host))
    }

    /// What makes a service bad by itself: its fault, or, where a host may be it too, its trouble.
    fn bad(&self, node: usize) -> Role {
        if self.suffers(node) { Role::Trouble(node) } else { Role::Fault(node) }
    }

    fn has_lost(&self, node: usize) -> bool {
        let signs = &self.channels.nodes[node];
        signs.drop >= DROP_MIN && signs.lost.is_some_and(|nats| nats > 0.0)
    }

    /// Trouble of what runs on the hosts that there are.
    fn place_neighbours(&mut self) {
        let hosts: Vec<usize> =
            (0..self.scene.hosts.len()).filter(|host| self.places.contains_key(&(4, *host))).collect();
        for node in hosts.into_iter().flat_map(|host| self.scene.hosts[host].services.clone()) {
            self.place(Role::Trouble(node));
        }
    }

    fn causes(&mut self, role: Role) -> Vec<Arc> {
        let mut arcs = match role {
            Role::Fault(_) | Role::Link(_) | Role::Host(_) => Vec::new(),
            Role::Trouble(node) => self.troubling(node),
            Role::Degraded(node) => self.degrading(node),
            Role::Lost(node) => self.losing(node),
        };
        // One cause may act in two ways (by answer and by message); it counts once, by the stronger.
        arcs.sort_by(|a, b| a.cause.cmp(&b.cause).then(float::order(b.strength, a.strength)));
        arcs.dedup_by_key(|arc| arc.cause);
        arcs
    }

    fn troubling(&mut self, node: usize) -> Vec<Arc> {
        let mut arcs = Vec::from([self.arc(Role::Fault(node), FAULT_TROUBLES, None, None, false)]);
        for &(host, share) in &self.scene.nodes[node].hosts {
            if self.doubtful.contains(&host) {
                let strength = HOST_PASSES * (HOST_PART + (1.0 - HOST_PART) * share);
                arcs.push(self.arc(Role::Host(host), strength, None, None, false));
            }
        }
        arcs
    }

    fn degrading(&mut self, node: usize) -> Vec<Arc> {
        let scene = self.scene;
        let mut arcs = Vec::from([self.arc(self.bad(node), OWN, None, None, false)]);
        for (edge, call) in scene.waits_for(node) {
            let share = self.flows.edges[edge].map(|share| share.all);
            let explained = share.unwrap_or(SHARE_UNKNOWN);
            if explained < SHARE_MIN {
                continue;
            }
            let strength = scene.habits.strength(node, call.server, share) * self.lag(node, call.server);
            let link = self.channels.links[edge].is_some();
            arcs.push(self.arc(Role::Degraded(call.server), strength, share, Some(edge), !link));
            if link {
                arcs.push(self.arc(Role::Link(edge), LINK_PASSES * explained, share, Some(edge), true));
            }
        }
        if scene.is_blind() && scene.targets.binary_search(&node).is_ok() {
            for suspect in scene.suspects() {
                let strength = UNLINKED * self.lag(node, suspect);
                arcs.push(self.arc(Role::Degraded(suspect), strength, None, None, false));
            }
        }
        // All that is known of a peer comes from its callers; with one caller, the caller may be what looks bad.
        let callers = &scene.nodes[node].called;
        if let (Telemetry::Peer, [edge]) = (scene.nodes[node].telemetry, &callers[..]) {
            arcs.push(self.arc(self.bad(scene.edges[*edge].client), PEER_CALLER, None, None, false));
        }
        arcs
    }

    fn losing(&mut self, node: usize) -> Vec<Arc> {
        let scene = self.scene;
        let unserved = self.channels.nodes[node].unserved;
        let kept = float::max(unserved.unwrap_or(SHARE_UNKNOWN), SHARE_MIN);
        let mut arcs = Vec::from([
            self.arc(self.bad(node), OWN * kept, None, None, false),
            self.arc(Role::Degraded(node), PASSES * kept, Some(unserved.unwrap_or(1.0)), None, true),
        ]);
        let own = &scene.nodes[node].traffic;
        for &edge in &scene.nodes[node].called {
            let call = &scene.edges[edge];
            let share = -call.traffic.rise() / float::max(-own.rise(), f64::MIN_POSITIVE);
            let share = crate::likelihood::clamp(share, 0.0, 1.0);
            if !call.traffic.known || share < SHARE_MIN {
                continue;
            }
            let lag = self.lag(node, call.client);
            if self.has_lost(call.client) {
                arcs.push(self.arc(Role::Lost(call.client), PASSES * share * lag, Some(share), Some(edge), true));
            } else {
                arcs.push(self.arc(Role::Degraded(call.client), PASSES * share * lag, Some(share), Some(edge), true));
                arcs.push(self.arc(self.bad(call.client), OWN * share * lag, Some(share), Some(edge), false));
            }
        }
        arcs
    }

    fn arc(&mut self, cause: Role, strength: f64, share: Option<f64>, edge: Option<usize>, flows: bool) -> Arc {
        Arc { cause: self.place(cause), strength, share, edge, flows }
    }

    /// Damps an effect that began before its cause; never forbids it, for onsets are estimates.
    fn lag(&self, effect: usize, cause: usize) -> f64 {
        let (scene, at) = (self.scene, (effect, cause));
        let (Some(effect), Some(cause)) = (scene.nodes[effect].onset, scene.nodes[cause].onset) else {
            return 1.0;
        };
        let step = float::max(scene.nodes[at.0].step, scene.nodes[at.1].step);
        let spread = LAG_STEPS * float::max(float::min(scene.window_s * 1000.0, LAG_STEP_MAX), step);
        let later = effect.since(cause) as f64;
        float::min(logistic((later + spread) / spread) / logistic(1.0), 1.0)
    }
}

/// Terms of the log-odds of a fault before anything is measured: the rate of faults, a recent change, being seen by callers only, and how
/// often it was the cause before.
pub(crate) fn prior(scene: &Scene, node: usize) -> [f64; 4] {
    let change = recent_change(scene, node).map_or(0.0, |(boost, _)| boost);
    let peer = if scene.nodes[node].telemetry == Telemetry::Peer { PEER_PENALTY } else { 0.0 };
    [logit(PRIOR), change, peer, scene.taught.history(node)]
}

/// The change on a service that says most, and what it adds to the log-odds. Changes after the onset did not cause it.
pub(crate) fn recent_change<'a>(scene: &Scene<'a>, node: usize) -> Option<(f64, &'a ChangeEvidence)> {
    let onset = scene.nodes[node].onset.unwrap_or(scene.onset);
    let changes = scene.changes.iter().filter(|(changed, _)| *changed == node);
    let boosts = changes.filter(|(_, change)| onset.since(change.at) >= -CHANGE_SLACK).map(|&(_, change)| {
        let boost = if change.kind == "deploy" { DEPLOY_BOOST } else { CHANGE_BOOST };
        let age = float::max(onset.since(change.at) as f64, 0.0);
        (boost * float::exp(-age / CHANGE_DECAY), change)
    });
    boosts.fold(None, |best, next| match best {
        Some((boost, _)) if boost >= next.0 => best,
        _ => Some(next),
    })
}

/// Signs of a service's own fault, less what its calls explain of them, in the order of [`KINDS`]; 0 where not measured.
pub(crate) fn own_nats(signs: &Signs, calls: &Share) -> [f64; 7] {
    let mut discount = [0.0; 7];
    discount[SELF_TIME] = RETRY_DISCOUNT * calls.failing;
    discount[FAR] = 0.0;
    // Waiting for calls that fail, and making them again, takes processor time and memory.
    discount[RESOURCE] = RETRY_DISCOUNT * calls.failing;
    discount[OWN_ERRORS] = DEADLINE_DISCOUNT * calls.slow;
    for kind in [STOPPED, WITHHELD, LOGS] {
        discount[kind] = calls.all;
    }
    let mut nats = [0.0; 7];
    for kind in 0..nats.len() {
        let value = signs.own[kind].unwrap_or(0.0);
        nats[kind] = if value > 0.0 { value * (1.0 - discount[kind]) } else { value };
    }
    nats
}

/// How much a service's own signs speak for a fault of its own, in nats, and how likely each kind then is.
pub(crate) fn fault_nats(signs: &Signs, calls: &Share) -> (f64, Vec<f64>) {
    let mut nats = own_nats(signs, calls);
    if signs.first {
        return mixture(&KINDS_0.into_iter().zip(nats).collect::<Vec<_>>());
    }
    // Log records go with a fault of any kind: they are no kind of their own.
    let logged = logged(core::mem::take(&mut nats[LOGS]));
    let (total, kinds) = mixture(&KINDS.into_iter().zip(nats).collect::<Vec<_>>());
    (total + logged, kinds)
}

/// The two parts of what [`fault_nats`] gives: what a host may be behind, and log records, which tell what a service met with, its
/// callees' trouble too.
pub(crate) fn parts_of_trouble(signs: &Signs, calls: &Share) -> (f64, f64) {
    let mut without = Signs { own: signs.own, first: signs.first, ..Signs::default() };
    without.own[LOGS] = None;
    let logs = own_nats(signs, calls)[LOGS];
    (fault_nats(&without, calls).0, logged(logs))
}

/// What log records add, in nats: a fault may show in them or not.
pub(crate) fn logged(nats: f64) -> f64 {
    if nats > 0.0 { float::ln(LOGGED * float::exp(nats) + 1.0 - LOGGED) } else { 0.0 }
}

/// Puts causes before effects, leaving out the weakest arcs of cycles, and first, where there are too many, all but the strongest.
fn arrange(mut vars: Vec<Var>, targets: Vec<usize>) -> Model {
    let thinned = vars.iter().map(|var| var.causes.len()).sum::<usize>() > ARCS_MAX;
    if thinned {
        let others: Vec<(Role, f64)> = vars.iter().map(|var| (var.role, var.taught)).collect();
        vars.iter_mut().for_each(|var| var.thin(&others, NARROW_PARENTS));
    }
    let mut links = Vec::new();
    let mut edges = Vec::new();
    for (effect, var) in vars.iter().enumerate() {
        for arc in &var.causes {
            links.push(Link { effect, cause: arc.cause, strength: arc.strength });
            edges.push(arc.edge);
        }
    }
    let left_out = cycles::weakest(vars.len(), &links);
    let mut dropped: Vec<usize> = left_out.iter().filter_map(|&at| edges[at]).collect();
    dropped.sort();
    dropped.dedup();
    let gone: BTreeSet<(usize, usize)> = left_out.iter().map(|&at| (links[at].effect, links[at].cause)).collect();
    let kept: Vec<Link> = links.into_iter().filter(|link| !gone.contains(&(link.effect, link.cause))).collect();
    let order = cycles::order(vars.len(), &kept);
    let mut place = alloc::vec![0; vars.len()];
    order.iter().enumerate().for_each(|(at, &var)| place[var] = at);
    let arranged = order.iter().map(|&var| {
        let mut moved = vars[var].clone();
        moved.causes.retain(|arc| !gone.contains(&(var, arc.cause)));
        moved.causes.iter_mut().for_each(|arc| arc.cause = place[arc.cause]);
        moved
    });
    Model {
        vars: arranged.collect(),
        targets: targets.into_iter().map(|target| place[target]).collect(),
        dropped,
        left_out: 0,
        thinned,
    }
}
