//! What was learned of events, brought to bear on one incident: evidence on each service, and how often it was the cause before.
use crate::config::{HISTORY_MAX, LEARNT_MAX, LEARNT_MIN};
use crate::learn::{View, lesson};
use crate::likelihood::clamp;
use crate::words::{figure, names};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::facts::{EventWeight, Evidence, Learnt, Lesson};
use faultline_model::float;

/// Events that are named with a piece of evidence.
const NAMED: usize = 3;

/// What was learned that bears on each service; 0 everywhere as long as nothing was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taught {
    /// What it rests on; none as long as nothing was learned.
    learnt: Option<(Lesson, Learnt)>,
    /// By service: how much likelier its events make it than the others', in nats.
    nats: Vec<f64>,
    /// By service: what having been the cause before adds to its log-odds.
    history: Vec<f64>,
    /// By service: how often, fading with age.
    causes: Vec<f64>,
}

impl Taught {
    pub fn new(evidence: &Evidence) -> Taught {
        let count = evidence.nodes.len();
        let Some(learnt) = &evidence.learnt else { return Taught::default() };
        let lesson = lesson(evidence);
        let nats = standing(&scores(&lesson, learnt));
        let mut causes = vec![0.0; count];
        for &(node, often) in &learnt.causes {
            if let Some(place) = causes.get_mut(node as usize) {
                *place = if often.is_finite() { clamp(often, 0.0, 1e6) } else { 0.0 };
            }
        }
        let mean = causes.iter().sum::<f64>() / count.max(1) as f64;
        let history = |often: &f64| clamp(float::ln((often + 1.0) / (mean + 1.0)), -HISTORY_MAX, HISTORY_MAX);
        let history = causes.iter().map(history).collect();
        Taught { learnt: Some((lesson, learnt.clone())), nats, history, causes }
    }

    /// Evidence of a service's events, in nats.
    pub fn nats(&self, node: usize) -> f64 {
        self.nats.get(node).copied().unwrap_or(0.0)
    }

    /// What its history adds to the log-odds of its fault.
    pub fn history(&self, node: usize) -> f64 {
        self.history.get(node).copied().unwrap_or(0.0)
    }

    /// The evidence in words.
    pub fn said(&self, node: usize) -> String {
        let which = if self.nats(node) > 0.0 { "like those at the cause of" } else { "unlike those at the cause of" };
        let Some((lesson, learnt)) = &self.learnt else { return String::new() };
        let told = words(lesson, learnt, node, self.nats(node));
        format!("events {which} {}: {told}", incidents(learnt.weights.lessons))
    }

    /// The history in words.
    pub fn remembered(&self, node: usize) -> String {
        match figure(self.causes[node]) {
            often if often == "0" => "others were the cause of closed incidents".into(),
            often => format!("it was the cause of closed incidents, {often} of late"),
        }
    }
}

fn incidents(count: u64) -> String {
    if count == 1 { "1 closed incident".into() } else { format!("{count} closed incidents") }
}

/// `w . x` of each service.
fn scores(lesson: &Lesson, learnt: &Learnt) -> Vec<f64> {
    let events = &learnt.weights.events;
    if events.is_empty() {
        return vec![0.0; lesson.candidates.len()];
    }
    let places: BTreeMap<&str, usize> = events.iter().enumerate().map(|(at, it)| (it.name.as_str(), at)).collect();
    let view = View::new(lesson, |name| places.get(name).copied());
    let hold = |x: f64| if x.is_finite() { clamp(x, -1e3, 1e3) } else { 0.0 };
    let sides: [fn(&EventWeight) -> f64; 3] = [|it| it.own, |it| it.callers, |it| it.callees];
    let weights: Vec<f64> = sides.iter().flat_map(|side| events.iter().map(move |it| hold(side(it)))).collect();
    view.scores(&weights)
}

/// How much likelier each is than the mean of all others, in nats; 0 where there is no other.
fn standing(scores: &[f64]) -> Vec<f64> {
    let others = scores.len().saturating_sub(1);
    if others == 0 || scores.iter().all(|score| *score == 0.0) {
        return vec![0.0; scores.len()];
    }
    let alone = |node: usize| {
        let rest = || scores.iter().enumerate().filter(|(at, _)| *at != node).map(|(_, score)| *score);
        let high = rest().fold(f64::NEG_INFINITY, float::max);
        let sum: f64 = rest().map(|score| float::exp(score - high)).sum();
        let nats = scores[node] - high - float::ln(sum / others as f64);
        // Where all are equal, rounding is no evidence.
        if float::abs(nats) < 1e-9 { 0.0 } else { clamp(nats, LEARNT_MIN, LEARNT_MAX) }
    };
    (0..scores.len()).map(alone).collect()
}

/// The events that speak most the way of `nats`: of the service itself, of its callers, of its callees.
fn words(lesson: &Lesson, learnt: &Learnt, node: usize, nats: f64) -> String {
    let way = if nats < 0.0 { -1.0 } else { 1.0 };
    let weight = |event: u32| {
        let name = &lesson.types[event as usize];
        learnt.weights.events.iter().find(|it| it.name == *name)
    };
    let mut parts: Vec<(f64, String)> = Vec::new();
    let x = |count: u32| float::ln(1.0 + f64::from(count));
    for &(event, count) in &lesson.candidates[node].events {
        if let Some(weight) = weight(event) {
            parts.push((way * weight.own * x(count), format!("{} x{count}", lesson.types[event as usize])));
        }
    }
    let sides: [(bool, &str); 2] = [(true, "its callers"), (false, "its callees")];
    for (callers, whose) in sides {
        let calls = lesson.calls.iter().filter_map(|&(client, server)| match callers {
            true if server as usize == node => Some(client as usize),
            false if client as usize == node => Some(server as usize),
            _ => None,
        });
        let near: Vec<usize> = calls.filter(|&other| lesson.candidates[other].heard).collect();
        let mut means: BTreeMap<u32, f64> = BTreeMap::new();
        for &(event, count) in near.iter().flat_map(|&other| &lesson.candidates[other].events) {
            *means.entry(event).or_default() += x(count) / near.len() as f64;
        }
        for (event, mean) in means {
            if let Some(it) = weight(event) {
                let weight = if callers { it.callers } else { it.callees };
                parts.push((way * weight * mean, format!("{} at {whose}", lesson.types[event as usize])));
            }
        }
    }
    parts.retain(|(share, _)| *share > 0.0);
    parts.sort_by(|a, b| float::order(b.0, a.0).then_with(|| a.1.cmp(&b.1)));
    parts.truncate(NAMED);
    if parts.is_empty() { "none here".into() } else { names(parts.iter().map(|(_, word)| word.as_str())) }
}
