//! How strongly each call passes trouble on: what was learned of it goes into the network, and what the network saw of it comes out.
//!
//! The problem: some callers do not feel it when a callee fails, others always do, and before anything was learned every call is taken to
//! be alike. What is learned of a call is its *habit*: P(the caller is degraded by it | the callee is), whatever one incident shows of
//! it. The share of the caller's excess that the call explains is evidence of this incident, so both are joined as odds: a habit as
//! usual ([`USUAL`]) leaves the strength as the share says, and where no share is measured the strength is the habit, or the usual one if that is less.
//!
//! The E step of expectation maximisation is here: with each verdict that names a cause go, for the calls whose callee is degraded,
//! P(it is | e) and P(it is and the call's mechanism fired | e). They are exact: read off the joint posterior of each link of the
//! noisy-OR's chain, in which that mechanism is the only thing hidden. A call that was made to a degraded callee and explains nothing of
//! what its caller shows has not fired. The M step ([`strength`]) is a ratio of sums of both.
//!
//! Incidents are a choice of what happened: had a call not passed trouble on, there might be none. So a call teaches only where a violated
//! service that is not behind its caller would have brought the incident anyway; whether it passed on is then no part of the choice.
//!
//! Limits: nothing is told of networks without a junction tree; leaks and faults of ways are not learned.
//! Sources: Dempster, Laird and Rubin, JRSS B 39(1), 1977; Diez, "Parameter adjustment in Bayes networks: the generalized noisy OR-gate", UAI 1993; algorithms.md 1.6.
use crate::channels::Channels;
use crate::clean::Scene;
use crate::config::{COUNT_MIN, HABIT_MAX, HABIT_MIN, HABIT_WEIGHT, LEAK, PASSES, SHARE_MIN, SHARE_UNKNOWN};
use crate::flow::Flows;
use crate::infer::Answer;
use crate::likelihood::{clamp, logistic, logit};
use crate::model::{Model, Role};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use faultline_bayes::VarId;
use faultline_model::facts::{Evidence, Passed};
use faultline_model::float;

/// The first model that learns them.
pub(crate) const MODEL: u32 = 4;
/// Calls that a verdict tells of: those whose callees are most surely degraded.
const CALLS_MAX: usize = 32;
/// Belief in a callee's trouble below which its calls are not told of: they would teach next to nothing.
const DEGRADED_MIN: f64 = 0.1;
/// The habit that is assumed of any call: how much passes where nothing is measured.
const USUAL: f64 = PASSES * SHARE_UNKNOWN;

/// The habit that follows from what was seen of a call. Pure.
///
/// - `degraded`: sum of P(callee degraded), each fading with age; `passed`: of P(callee degraded and that passed on), the same way.
/// - Returns a probability; without anything seen the usual one.
pub fn strength(degraded: f64, passed: f64) -> f64 {
    let whole = HABIT_WEIGHT + float::max(degraded, 0.0);
    clamp((HABIT_WEIGHT * USUAL + float::max(passed, 0.0)) / whole, HABIT_MIN, HABIT_MAX)
}

/// What was learned of the calls of an incident.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habits {
    version: u64,
    /// By caller and callee.
    calls: BTreeMap<(usize, usize), f64>,
}

impl Habits {
    pub fn new(evidence: &Evidence) -> Habits {
        let Some(learned) = evidence.strengths.as_ref().filter(|_| evidence.model >= MODEL) else {
            return Habits::default();
        };
        let sound = learned.calls.iter().filter(|call| call.passes.is_finite());
        let calls = sound
            .map(|call| ((call.client as usize, call.server as usize), clamp(call.passes, HABIT_MIN, HABIT_MAX)))
            .collect();
        Habits { version: learned.version, calls }
    }

    /// P(the caller is degraded by the call | the callee is degraded), onsets aside.
    ///
    /// - `share`: of the caller's excess that the call explains, 0 to 1; none where that is not measured.
    pub fn strength(&self, client: usize, server: usize, share: Option<f64>) -> f64 {
        let usual = PASSES * share.unwrap_or(SHARE_UNKNOWN);
        match (self.calls.get(&(client, server)), share) {
            (None, _) => usual,
            (Some(&habit), Some(_)) => logistic(logit(usual) + logit(habit) - logit(USUAL)),
            // Believing more of what cannot be seen takes blame from the caller itself, and cost more verdicts than it mended.
            (Some(&habit), None) => float::min(habit, USUAL),
        }
    }

    /// Of the method; nothing as long as nothing was learned.
    pub fn words(&self) -> String {
        match self.calls.len() {
            0 => String::new(),
            1 => format!("; the strength of 1 call learned, version {}", self.version),
            count => format!("; the strengths of {count} calls learned, version {}", self.version),
        }
    }
}

/// What the network saw of calls, in the order of caller and callee.
pub(crate) fn seen(scene: &Scene, channels: &Channels, flows: &Flows, answer: &Answer) -> Vec<Passed> {
    let model = answer.model;
    let mut calls: BTreeMap<(usize, usize), (f64, f64)> = BTreeMap::new();
    let teaches = noticed_without(model);
    let mut effects: Vec<usize> = Vec::new();
    for (at, var) in model.vars.iter().enumerate() {
        let calls = var.causes.iter().any(|arc| call(model.vars[arc.cause].role, arc.edge).is_some());
        if calls && teaches[at] && matches!(var.role, Role::Degraded(_)) {
            effects.push(at);
        }
    }
    let Some(fired) = fired(answer, &effects, DEGRADED_MIN) else { return Vec::new() };
    for (&effect, fired) in effects.iter().zip(fired) {
        for (arc, fired) in model.vars[effect].causes.iter().zip(fired) {
            if let Some(edge) = call(model.vars[arc.cause].role, arc.edge) {
                let it = &scene.edges[edge];
                calls.insert((it.client, it.server), (answer.posteriors[arc.cause], fired));
            }
        }
    }
    // Calls that explain nothing are not in the network: their callees' trouble was not passed on.
    let mut degraded: Vec<Option<f64>> = vec![None; scene.nodes.len()];
    let mut callers = vec![model.targets.iter().any(|&target| model.vars[target].on); scene.nodes.len()];
    for (at, var) in model.vars.iter().enumerate() {
        if let Role::Degraded(node) = var.role {
            degraded[node] = Some(answer.posteriors[at]);
            callers[node] = teaches[at];
        }
    }
    for (edge, it) in scene.edges.iter().enumerate().filter(|(_, it)| !it.asynchronous) {
        let explains_nothing = flows.edges[edge].is_some_and(|share| share.all < SHARE_MIN);
        let made = it.traffic.known && it.traffic.seen * scene.window_s >= COUNT_MIN;
        if let Some(degraded) = degraded[it.server].filter(|_| explains_nothing && made && callers[it.client]) {
            calls.entry((it.client, it.server)).or_insert((degraded, 0.0));
        }
    }
    // Nor are callers that lead to no violated service: those of which something is to be seen are judged by themselves.
    for node in (0..scene.nodes.len()).filter(|&node| degraded[node].is_none()) {
        let nats = channels.nodes[node].degraded_nats();
        let calls_on = scene.waits_for(node).filter(|&(edge, _)| flows.edges[edge].is_none());
        let calls_on: Vec<(usize, f64)> =
            calls_on.filter_map(|(_, it)| Some((it.server, degraded[it.server]?))).collect();
        if nats == 0.0 || !callers[node] {
            continue;
        }
        let strength = |server: usize| scene.habits.strength(node, server, None);
        let off = calls_on.iter().fold(1.0 - LEAK, |off, &(server, on)| off * (1.0 - strength(server) * on));
        let likely = (1.0 - off) * float::exp(nats) + off;
        for (server, on) in calls_on {
            let passed = on * strength(server) * float::exp(nats) / likely;
            calls.entry((node, server)).or_insert((on, passed));
        }
    }
    let mut told: Vec<((usize, usize), (f64, f64))> =
        calls.into_iter().filter(|(_, (degraded, _))| *degraded >= DEGRADED_MIN).collect();
    told.sort_by(|a, b| float::order(b.1.0, a.1.0).then(a.0.cmp(&b.0)));
    told.truncate(CALLS_MAX);
    told.sort_by_key(|(call, _)| *call);
    let name = |node: usize| scene.nodes[node].name.to_string();
    let told = told.into_iter().map(|((client, server), (degraded, passed))| Passed {
        client: name(client),
        server: name(server),
        degraded,
        passed: float::min(passed, degraded),
    });
    told.collect()
}

/// By variable: whether a service is known to be violated that it is no cause of, however far off.
fn noticed_without(model: &Model) -> Vec<bool> {
    let mut noticed = vec![false; model.vars.len()];
    for &target in model.targets.iter().filter(|&&target| model.vars[target].on) {
        let mut leads = vec![false; model.vars.len()];
        leads[target] = true;
        // Causes come before their effects.
        for effect in (0..=target).rev() {
            if leads[effect] {
                model.vars[effect].causes.iter().for_each(|arc| leads[arc.cause] = true);
            }
        }
        noticed.iter_mut().zip(leads).for_each(|(noticed, leads)| *noticed |= !leads);
    }
    noticed
}

/// The call by which a callee's trouble comes.
fn call(cause: Role, edge: Option<usize>) -> Option<usize> {
    edge.filter(|_| matches!(cause, Role::Degraded(_)))
}

/// For each of `effects`, P(cause on and its mechanism fired | e) of each of its causes; none without a tree.
///
/// - `least`: of links none of whose causes is on with this probability nothing is asked; theirs are 0.
fn fired(answer: &Answer, effects: &[usize], least: f64) -> Option<Vec<Vec<f64>>> {
    let (model, built) = (answer.model, answer.built?);
    let mut links: Vec<Link> = Vec::new();
    for &effect in effects {
        let causes = &model.vars[effect].causes;
        let ends: Vec<VarId> = built.between[effect].iter().copied().chain([built.ids[effect]]).collect();
        let head = causes.len().min(2);
        links.push(Link { effect, causes: 0..head, before: None, after: ends[0], leak: model.vars[effect].base });
        for (at, cause) in (head..causes.len()).enumerate() {
            let (before, after) = (Some(ends[at]), ends[at + 1]);
            links.push(Link { effect, causes: cause..cause + 1, before, after, leak: 0.0 });
        }
    }
    let causes = |link: &Link| model.vars[link.effect].causes[link.causes.clone()].iter();
    let told = |link: &&Link| causes(link).any(|arc| answer.posteriors[arc.cause] >= least);
    let families: Vec<Vec<VarId>> = links
        .iter()
        .filter(told)
        .map(|link| {
            let causes = causes(link).map(|arc| built.ids[arc.cause]);
            link.before.into_iter().chain(causes).chain([link.after]).collect()
        })
        .collect();
    let mut found: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    let mut joints = answer.joints(&families)?.into_iter();
    for link in &links {
        let strengths: Vec<f64> = causes(link).map(|arc| arc.strength).collect();
        let fired = match told(&link) {
            true => link.fired(&strengths, &joints.next()??),
            false => vec![0.0; strengths.len()],
        };
        found.entry(link.effect).or_default().extend(fired);
    }
    effects.iter().map(|effect| found.remove(effect)).collect()
}

/// One OR of a variable's chain: `after = before OR the leak OR any of its causes fires`.
struct Link {
    effect: usize,
    causes: core::ops::Range<usize>,
    before: Option<VarId>,
    after: VarId,
    leak: f64,
}

impl Link {
    /// P(cause on and fired | e) per cause. Given a link's ends and causes, nothing else tells of its mechanisms.
    ///
    /// - `joint`: `P(before, causes, after | e)`, the last fastest.
    fn fired(&self, strengths: &[f64], joint: &[f64]) -> Vec<f64> {
        let mut fired = vec![0.0; strengths.len()];
        for (row, ends) in joint.chunks_exact(2).enumerate() {
            let on = |at: usize| row >> (strengths.len() - 1 - at) & 1 == 1;
            let before = self.before.is_some() && row >> strengths.len() & 1 == 1;
            let mut off = if before { 0.0 } else { 1.0 - self.leak };
            for (at, strength) in strengths.iter().enumerate() {
                off *= if on(at) { 1.0 - strength } else { 1.0 };
            }
            for (at, strength) in strengths.iter().enumerate() {
                if on(at) && off < 1.0 {
                    fired[at] += ends[1] * strength / (1.0 - off);
                }
            }
        }
        fired
    }
}

#[cfg(test)]
mod tests;
