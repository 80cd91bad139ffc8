//! Evidence of an incident: the part of the graph that can explain it, before and now, as plain values.
use super::Graph;
use super::edges::Edge;
use super::kinds::Novelty;
use super::limits::{EVIDENCE_NODES, SECONDS, SUSPECTS, WINDOW};
use super::lines::{Asked, Missing};
use super::meters::{EdgeMeasured, ServiceMeasured};
use super::seconds::{Amounts, Served};
use super::services::{self, Service};
use super::turns::Turn;
use super::windows::{LATENCY, Means, mean_ms, share, signal_shift};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_detect::{Baseline, Noise};
use faultline_model::facts::{
    ChangeEvidence, Coverage, EdgeEvidence, Evidence, NodeEvidence, Shift, Signal, Telemetry,
};
use faultline_model::{ChangeEvent, IncidentId, Millis, float};

/// Least length of the window that `seen` covers, in seconds.
const SEEN_LEAST: i64 = 3;
/// A service that reported is silent after so many ms without a word,
const SILENT_LEAST: i64 = 15_000;
/// or so many of its usual gaps.
const SILENT_GAPS: f64 = 5.0;
/// From this |z| on a signal counts for the onset of a node.
const ONSET_Z: f64 = 3.0;
/// Windows of metrics that `seen` covers at most: the newest since the onset.
const WINDOWS_SEEN: usize = 4;
/// How long before the onset a kind of log record may have come anew and still be news, in ms: alerts come after their causes.
const NOVELTY_BEFORE: i64 = 120_000;
/// Requests that are looked at, at least, where as many came since the onset.
const SPARSE_REQUESTS: f64 = 10.0;
/// Suspects come after all that is linked.
const SUSPECT_HOPS: u32 = u32::MAX;
/// How long sampled spans make all rates doubtful, in ms.
const SAMPLED_MS: i64 = 3_600_000;

/// What is to be explained.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The incident.
    pub incident: IncidentId,
    /// Counts the explanations asked for it, from 1.
    pub revision: u64,
    /// Rule time now.
    pub at: Millis,
    /// When it is thought to have begun.
    pub onset: Millis,
    /// Longest look back of what counts as now, in ms; at most two minutes are kept.
    pub window_ms: i64,
    /// Services whose objective is violated, in name order.
    pub targets: &'a [&'a str],
    /// Firing alerts: the service and the alert's name; in order, each once.
    pub alerts: &'a [(&'a str, &'a str)],
    /// Recent changes, of any service.
    pub changes: &'a [ChangeEvent],
}

impl Graph {
    /// Freezes what is known of an incident's part of the graph.
    ///
    /// That part is the targets, all that they call directly or not, their callers, and the neighbours of what is
    /// anomalous among these; at most [`EVIDENCE_NODES`] services, nearest first, then the most anomalous. Of targets that no
    /// telemetry names there are as many beside them, in name order.
    pub fn freeze(&self, question: &Question<'_>) -> Evidence {
        let to = self.next.map_or(question.at.0.div_euclid(1000), Turn::second);
        let cap = (question.window_ms / 1000).clamp(SEEN_LEAST, SECONDS);
        let from = question.onset.0.div_euclid(1000).clamp(to - cap, to - SEEN_LEAST);
        let (near, left_out) = self.near(question, from, to);
        let mut nodes: Vec<NodeEvidence> = near.iter().map(|&id| self.node_evidence(id, from, to, question)).collect();
        let since = Millis(from.saturating_mul(1000)).min(question.onset).plus(-NOVELTY_BEFORE);
        let novelty = self.kinds.novelty(since, question.at.plus(1));
        let mut told = self.events.since(since);
        let missing = self.missing(&near, question);
        for (node, id) in nodes.iter_mut().zip(&near) {
            if let Some(&Novelty { expected, seen, count }) = novelty.get(id) {
                let z = (seen - expected) / float::sqrt(expected + 1.0);
                node.new_logs = Shift { expected, seen, z, count };
            }
            if let Some(&Missing { expected, lines }) = missing.get(id) {
                node.missing_logs = Shift { expected, seen: 0.0, z: -float::sqrt(expected), count: lines };
            }
            node.resources = self.resources.evidence(*id, since);
            node.events = told.remove(id).unwrap_or_default();
        }
        // What an alert names and no telemetry does is a node, too: nothing is known of it.
        let mut unknown = question.targets.iter().filter(|name| self.services.find(name).is_none());
        for &name in unknown.by_ref().take(EVIDENCE_NODES) {
            let alerts = alerts_of(name, question.alerts);
            nodes.push(NodeEvidence {
                entity: name.to_string(),
                telemetry: Telemetry::Peer,
                alerts,
                ..Default::default()
            });
        }
        let left_out = left_out + unknown.count() as u64;
        nodes.sort_by(|a, b| a.entity.cmp(&b.entity));
        nodes.dedup_by(|a, b| a.entity == b.entity);
        let hosts = self.host_evidence(&nodes, question.onset);
        let index_of =
            |name: &str| nodes.binary_search_by(|node| node.entity.as_str().cmp(name)).ok().map(|i| i as u32);
        let names = |telemetry: Telemetry| {
            nodes.iter().filter(|node| node.telemetry == telemetry).map(|node| node.entity.clone()).collect()
        };
        let mut targets: Vec<u32> = question.targets.iter().filter_map(|name| index_of(name)).collect();
        targets.sort();
        targets.dedup();
        let mut changes: Vec<ChangeEvidence> = question
            .changes
            .iter()
            .filter_map(|change| {
                let node = index_of(&change.entity)?;
                Some(ChangeEvidence { node, kind: change.kind.clone(), title: change.title.clone(), at: change.at })
            })
            .collect();
        changes.sort_by(|a, b| (a.at, a.node, &a.kind, &a.title).cmp(&(b.at, b.node, &b.kind, &b.title)));
        Evidence {
            incident: question.incident,
            revision: question.revision,
            at: question.at,
            onset: question.onset,
            window: (to - from) * 1000,
            edges: self.edge_evidence(&near, (from, to), question.onset, index_of),
            coverage: Coverage {
                unseen: names(Telemetry::Peer),
                silent: names(Telemetry::Silent),
                unpaired: self.unpaired(),
                sampled: self.rates_unknown(question.at),
                left_out,
            },
            nodes,
            targets,
            changes,
            learnt: None,
            model: 0,
            reliability: Vec::new(),
            hosts,
            strengths: None,
        }
    }

    /// Lines of log records that stay away, of the services `near`. Where spans are sampled, more of them need not be more requests.
    fn missing(&self, near: &[u32], question: &Question<'_>) -> BTreeMap<u32, Missing> {
        if !self.notes_lines || self.rates_unknown(question.at) {
            return BTreeMap::new();
        }
        let mut is_near = alloc::vec![false; self.services.end() as usize];
        near.iter().for_each(|&id| is_near[id as usize] = true);
        let asked = Asked {
            near: &|id| is_near[id as usize],
            onset: question.onset,
            written: &|id| self.services.get(id).written,
            pace: &|id| self.services.get(id).pace,
        };
        self.lines.missing(&asked, |services| self.operations.asked(services))
    }

    /// What a verdict on the whole graph would lack at `now`.
    pub fn lacks(&self, now: Millis) -> Coverage {
        let (unpaired, sampled) = (self.unpaired(), self.rates_unknown(now));
        let mut lacks = Coverage { unpaired, sampled, ..Coverage::default() };
        for (name, id) in self.services.by_name() {
            match self.telemetry(id, now) {
                Telemetry::Reporting => {}
                Telemetry::Silent => lacks.silent.push(name.to_string()),
                Telemetry::Peer => lacks.unseen.push(name.to_string()),
            }
        }
        lacks
    }

    /// Share of server spans for which no client span came, of late.
    fn unpaired(&self) -> f64 {
        self.called.unpaired as f64 / self.called.all.max(1) as f64
    }

    /// Whether sampled spans make rates doubtful at `now`.
    fn rates_unknown(&self, now: Millis) -> bool {
        self.sampled_at.is_some_and(|at| now.since(at) <= SAMPLED_MS)
    }

    /// How a service is seen at `now`.
    pub(super) fn telemetry(&self, id: u32, now: Millis) -> Telemetry {
        let service = self.services.get(id);
        let Some(reported) = service.reported else {
            return if self.resources.tell_of(id, now) { Telemetry::Reporting } else { Telemetry::Peer };
        };
        // Nobody was heard of while nothing was received.
        let reported = reported.max(Millis(self.resumed().saturating_mul(1000)));
        let patience = float::max(SILENT_LEAST as f64, SILENT_GAPS * service.pace);
        if now.since(reported) as f64 > patience { Telemetry::Silent } else { Telemetry::Reporting }
    }

    /// Services of the incident's part of the graph, and how many more there are.
    fn near(&self, question: &Question<'_>, from: i64, to: i64) -> (Vec<u32>, u64) {
        let mut distance: BTreeMap<u32, u32> = BTreeMap::new();
        let mut queue: Vec<u32> = question.targets.iter().filter_map(|name| self.services.find(name)).collect();
        queue.iter().for_each(|&id| {
            distance.insert(id, 0);
        });
        let callers: Vec<u32> = queue.iter().flat_map(|&id| self.edges.callers(id)).collect();
        let lonely = |id: u32| !self.services.get(id).serves && self.edges.callees(id).next().is_none();
        let blind = self.notes_use && queue.iter().all(|&id| lonely(id));
        let mut next = 0;
        while let Some(&id) = queue.get(next) {
            next += 1;
            let hops = distance[&id] + 1;
            for (callee, _) in self.edges.callees(id) {
                distance.entry(callee).or_insert_with(|| {
                    queue.push(callee);
                    hops
                });
            }
        }
        for caller in callers {
            distance.entry(caller).or_insert(1);
        }
        let strength: BTreeMap<u32, f64> =
            distance.keys().map(|&id| (id, self.strength(self.services.get(id), from, to))).collect();
        let anomalous =
            |id: u32| self.services.get(id).is_anomalous() || strength[&id] >= faultline_detect::watch::RAISE;
        let around: Vec<(u32, u32)> = distance
            .iter()
            .filter(|&(&id, _)| anomalous(id))
            .flat_map(|(&id, &hops)| {
                let callees = self.edges.callees(id).map(|(callee, _)| callee);
                callees.chain(self.edges.callers(id)).map(move |neighbour| (neighbour, hops + 1))
            })
            .collect();
        for (id, hops) in around {
            distance.entry(id).or_insert(hops);
        }
        if blind {
            for id in self.suspects(&distance, from, to) {
                distance.insert(id, SUSPECT_HOPS);
            }
        } else {
            let near = distance.keys().copied().collect();
            let off = |id: u32| self.strength(self.services.get(id), from, to);
            for id in self.hosted_beside(&near, question.onset, off) {
                distance.insert(id, SUSPECT_HOPS);
            }
        }
        let strength =
            |id: u32| strength.get(&id).copied().unwrap_or_else(|| self.strength(self.services.get(id), from, to));
        let mut ranked: Vec<(u32, f64, u32)> = distance.iter().map(|(&id, &hops)| (hops, strength(id), id)).collect();
        let name = |id: u32| &self.services.get(id).entity;
        ranked.sort_by(|a, b| a.0.cmp(&b.0).then(float::order(b.1, a.1)).then_with(|| name(a.2).cmp(name(b.2))));
        let left_out = ranked.len().saturating_sub(EVIDENCE_NODES) as u64;
        ranked.truncate(EVIDENCE_NODES);
        let mut ids: Vec<u32> = ranked.into_iter().map(|(_, _, id)| id).collect();
        ids.sort();
        (ids, left_out)
    }

    /// Services that are off their baselines now, the furthest first: where nobody knows what the violated services depend on, they
    /// may be why.
    fn suspects(&self, known: &BTreeMap<u32, u32>, from: i64, to: i64) -> Vec<u32> {
        let since = Millis(from.saturating_mul(1000)).plus(-NOVELTY_BEFORE);
        let off = |id: u32| {
            let resources = self.resources.evidence(id, since);
            let of_use = resources.iter().fold(0.0, |most, it| float::max(most, it.used.z));
            float::max(self.strength(self.services.get(id), from, to), of_use)
        };
        // Of thousands of services a few are off: only these are looked at closely.
        let is_off = |id: u32| self.services.get(id).is_anomalous() || self.resources.is_off(id);
        let others = self.services.by_name().filter(|&(_, id)| !known.contains_key(&id) && is_off(id));
        let mut others: Vec<(f64, &str, u32)> = others.map(|(name, id)| (off(id), name, id)).collect();
        others.retain(|(off, ..)| *off >= faultline_detect::watch::RAISE);
        others.sort_by(|a, b| float::order(b.0, a.0).then(a.1.cmp(b.1)));
        others.truncate(SUSPECTS);
        others.into_iter().map(|(.., id)| id).collect()
    }

    /// The first second that counts as now of a service that is asked a request every few seconds: so many more of them since the onset that
    /// some come, as far as they are kept.
    fn sparse(&self, requests: &Baseline, from: i64, onset: Millis, to: i64) -> i64 {
        let per_second = requests.level() / WINDOW as f64;
        if !self.notes_use || !requests.is_warm() || per_second <= 0.0 {
            return from;
        }
        let needed = float::ceil(float::min(SPARSE_REQUESTS / per_second, SECONDS as f64)) as i64;
        let earliest = onset.0.div_euclid(1000).max(to - SECONDS);
        from.min((to - needed).max(earliest))
    }

    /// Largest |z| of a service's signals now.
    fn strength(&self, service: &Service, from: i64, to: i64) -> f64 {
        let signals = self.signals(service, from, to);
        signals.iter().fold(0.0, |most, shift| float::max(most, float::abs(shift.z)))
    }

    /// Traffic, latency, errors and error logs of a service in the seconds `from..to`.
    fn signals(&self, service: &Service, from: i64, to: i64) -> [Shift; 4] {
        if let Some(measured) = service.measured() {
            let [traffic, latency, errors] = measured_signals(measured, Millis(from.saturating_mul(1000)));
            let logs = service.seconds.sum(from, to).error_logs;
            return [traffic, latency, errors, rate(&service.expected.error_logs, logs, (to - from) as f64)];
        }
        let (served, expected) = (service.seconds.sum(from, to), &service.expected);
        let seconds = (to - from) as f64;
        let means = Means::of(&served);
        let requests = |from: i64| service.seconds.sum(from, to).requests;
        [
            self.traffic(&expected.traffic, requests, from, to),
            shift(&expected.latency, LATENCY, means.as_ref().map(|means| (means.latency, means.count))),
            shift(&expected.errors, Noise::Share, means.as_ref().map(|means| (means.errors, means.count))),
            rate(&expected.error_logs, served.error_logs, seconds),
        ]
    }

    /// Traffic in the seconds `from..to`, of which `count` gives that since a second. What came while nothing was received is not
    /// missing: where too few seconds are left, traffic has not moved.
    fn traffic(&self, expected: &Baseline, count: impl Fn(i64) -> i64, from: i64, to: i64) -> Shift {
        let seen_from = from.max(self.resumed());
        let shift = rate(expected, count(seen_from), (to - seen_from).max(1) as f64);
        if to - seen_from >= SEEN_LEAST { shift } else { Shift { seen: shift.expected, z: 0.0, ..shift } }
    }

    fn node_evidence(&self, id: u32, from: i64, to: i64, question: &Question<'_>) -> NodeEvidence {
        let service = self.services.get(id);
        if let Some(measured) = service.measured() {
            return self.measured_evidence(id, measured, to, question);
        }
        let from = self.sparse(&service.expected.traffic, paced(service, from, to), question.onset, to);
        let [traffic, latency, errors, error_logs] = self.signals(service, from, to);
        let means = Means::of(&service.seconds.sum(from, to));
        let expected = &service.expected;
        let of = |baseline: &Baseline, noise, value: fn(&Means) -> f64| {
            shift(baseline, noise, means.as_ref().map(|means| (value(means), means.count)))
        };
        NodeEvidence {
            entity: service.entity.clone(),
            telemetry: self.telemetry(id, question.at),
            traffic,
            latency,
            self_time: of(&expected.self_time, LATENCY, |means| means.self_time),
            errors,
            own_errors: of(&expected.own_errors, Noise::Share, |means| means.own_errors),
            error_logs,
            onset: node_onset(service, &[traffic, latency, errors, error_logs], to),
            alerts: alerts_of(&service.entity, question.alerts),
            step: 0,
            ..NodeEvidence::default()
        }
    }

    /// Evidence of a service that metrics tell of and spans do not. Its own part of time and errors is not measured.
    fn measured_evidence(&self, id: u32, measured: &ServiceMeasured, to: i64, question: &Question<'_>) -> NodeEvidence {
        let service = self.services.get(id);
        let [traffic, latency, errors] = measured_signals(measured, question.onset);
        let logs = service.seconds.sum(to - SEEN_LEAST, to).error_logs;
        NodeEvidence {
            entity: service.entity.clone(),
            telemetry: self.telemetry(id, question.at),
            traffic,
            latency,
            errors,
            error_logs: rate(&service.expected.error_logs, logs, SEEN_LEAST as f64),
            onset: measured_onset(measured),
            alerts: alerts_of(&service.entity, question.alerts),
            step: measured.windows.step(),
            ..NodeEvidence::default()
        }
    }

    fn edge_evidence(
        &self,
        near: &[u32],
        (from, to): (i64, i64),
        onset: Millis,
        index_of: impl Fn(&str) -> Option<u32>,
    ) -> Vec<EdgeEvidence> {
        let mut edges = Vec::new();
        for &client in near {
            let service = self.services.get(client);
            let from = self.sparse(&service.expected.traffic, paced(service, from, to), onset, to);
            for (server, edge) in self.edges.callees(client) {
                // A service that calls itself explains nothing by that.
                if server == client {
                    continue;
                }
                let ends = (index_of(&service.entity), index_of(&self.services.get(server).entity));
                let (Some(client), Some(server)) = ends else { continue };
                let edge = self.edges.try_get(edge).expect("edges in the index exist");
                if !edge.is_traced() {
                    if let Some(measured) = &edge.measured {
                        edges.push(EdgeEvidence { client, server, ..measured_edge(measured, onset) });
                        continue;
                    }
                    if edge.declared {
                        edges.push(EdgeEvidence { client, server, unmeasured: true, ..EdgeEvidence::default() });
                        continue;
                    }
                }
                let calls = |from: i64| edge.seconds.sum(from, to).calls;
                let traffic = self.traffic(&edge.expected.traffic, calls, from, to);
                edges.push(EdgeEvidence { client, server, traffic, ..edge_shifts(edge, from, to) });
            }
        }
        edges.sort_by_key(|edge| (edge.client, edge.server, edge.asynchronous));
        edges
    }
}

/// The newest windows that end after the onset, the last one at least, as one; and how many there are.
fn seen<A: Amounts>(windows: &super::measured::Windows<A>, onset: Millis) -> (A, f64) {
    let mut newest = windows.newest().filter(|window| window.told > 0).take(WINDOWS_SEEN);
    let (mut sum, mut count) = (A::default(), 0.0);
    if let Some(first) = newest.next() {
        (sum, count) = (first.amounts, 1.0);
    }
    for window in newest.take_while(|window| window.end > onset) {
        sum.add(&window.amounts);
        count += 1.0;
    }
    (sum, count)
}

/// Events per second against a baseline of events per window of `step` ms, over `count` windows.
fn measured_rate(baseline: &Baseline, events: i64, count: f64, step: i64) -> Shift {
    let (events, seconds) = (float::max(events as f64, 0.0), step as f64 / 1000.0);
    if count <= 0.0 || seconds <= 0.0 {
        return Shift::default();
    }
    let seen = events / count;
    let expected = if baseline.is_warm() { baseline.level() } else { seen };
    let z = baseline.score(Noise::Count, seen, count).z;
    Shift { expected: expected / seconds, seen: seen / seconds, z, count: events }
}

/// Traffic, latency and errors by metrics.
fn measured_signals(measured: &ServiceMeasured, onset: Millis) -> [Shift; 3] {
    let ServiceMeasured { windows, expected } = measured;
    let (served, count): (Served, f64) = seen(windows, onset);
    let means = Means::of(&served);
    [
        measured_rate(&expected.traffic, served.requests, count, windows.step()),
        shift(&expected.latency, LATENCY, means.as_ref().map(|means| (means.latency, means.count))),
        shift(&expected.errors, Noise::Share, means.as_ref().map(|means| (means.errors, means.count))),
    ]
}

/// When the stretch of windows off their baselines began that lasts until now; none where the newest is as usual.
fn measured_onset(measured: &ServiceMeasured) -> Option<Millis> {
    let services::Expected { latency, errors, traffic, .. } = &measured.expected;
    let off = |served: &Served| {
        let of_means = Means::of(served).is_some_and(|means| {
            latency.score(LATENCY, means.latency, means.count).z >= ONSET_Z
                || errors.score(Noise::Share, means.errors, means.count).z >= ONSET_Z
        });
        of_means || traffic.score(Noise::Count, served.requests as f64, 1.0).z <= -ONSET_Z
    };
    let told = measured.windows.newest().filter(|window| window.told > 0);
    told.take_while(|window| off(&window.amounts)).last().map(|window| window.end.plus(-measured.windows.step()))
}

/// All of an edge but its ends, by metrics.
fn measured_edge(measured: &EdgeMeasured, onset: Millis) -> EdgeEvidence {
    let EdgeMeasured { windows, expected } = measured;
    let (reported, count) = seen(windows, onset);
    let (calls, failed, ns) = reported.calls();
    let some = |value: f64| (calls > 0).then_some((value, calls as f64));
    EdgeEvidence {
        traffic: measured_rate(&expected.traffic, calls, count, windows.step()),
        latency: shift(&expected.latency, LATENCY, some(mean_ms(ns, calls.max(1)))),
        errors: shift(&expected.errors, Noise::Share, some(share(failed, calls))),
        gap: shift(&expected.gap, LATENCY, reported.gap()),
        ..EdgeEvidence::default()
    }
}

/// A sender that delivers every few seconds is judged over two deliveries at least.
fn paced(service: &Service, from: i64, to: i64) -> i64 {
    let least = (float::ceil(service.pace * 2.0 / 1000.0) as i64).clamp(SEEN_LEAST, SECONDS);
    from.min(to - least)
}

/// All of an edge but its ends and its traffic.
fn edge_shifts(edge: &Edge, from: i64, to: i64) -> EdgeEvidence {
    let (called, expected) = (edge.seconds.sum(from, to), &edge.expected);
    let calls = called.calls.max(0);
    let some = |count: i64, value: f64| (count > 0).then_some((value, count as f64));
    EdgeEvidence {
        latency: shift(&expected.latency, LATENCY, some(calls, mean_ms(called.client_ns, calls.max(1)))),
        errors: shift(&expected.errors, Noise::Share, some(calls, share(called.failed, calls))),
        gap: shift(&expected.gap, LATENCY, some(called.pairs, mean_ms(called.gap_ns, called.pairs.max(1)))),
        asynchronous: edge.asynchronous,
        ..EdgeEvidence::default()
    }
}

/// A mean or share and its count against its baseline; what was not seen has not moved.
fn shift(baseline: &Baseline, noise: Noise, seen: Option<(f64, f64)>) -> Shift {
    let Some((seen, count)) = seen else {
        return Shift { expected: baseline.level(), seen: baseline.level(), z: 0.0, count: 0.0 };
    };
    // Where nothing is expected yet, nothing has risen.
    let expected = if baseline.is_warm() { baseline.level() } else { seen };
    Shift { expected, seen, z: baseline.score(noise, seen, count).z, count }
}

/// Events per second against a baseline of events per window.
fn rate(baseline: &Baseline, count: i64, seconds: f64) -> Shift {
    let (count, part) = (float::max(count as f64, 0.0), seconds / WINDOW as f64);
    let seen = count / seconds;
    let expected = if baseline.is_warm() { baseline.level() / WINDOW as f64 } else { seen };
    Shift { expected, seen, z: baseline.score(Noise::Count, count / part, part).z, count }
}

/// When the first of a service's signals that are off their baselines now left them.
fn node_onset(service: &Service, shifts: &[Shift; 4], to: i64) -> Option<Millis> {
    let watches = &service.watches;
    let watches = [&watches.traffic, &watches.latency, &watches.errors, &watches.error_logs];
    let signals = [Signal::Traffic, Signal::Latency, Signal::Errors, Signal::ErrorLogs];
    (0..4)
        .filter(|&i| float::abs(shifts[i].z) >= ONSET_Z)
        .filter_map(|i| {
            let told = watches[i].is_active().then_some(watches[i].since);
            let Some(shifted) = signal_shift(service, signals[i], shifts[i].z, to) else { return told };
            // The watch outlives its trouble by some windows: what it tells began this only if nothing usual lies between.
            let same = told.filter(|&since| shifted.usual_until.is_none_or(|until| until <= since));
            shifted.lasts.then(|| same.unwrap_or(shifted.start))
        })
        .min()
}

/// Names of an entity's alerts.
fn alerts_of(entity: &str, alerts: &[(&str, &str)]) -> Vec<String> {
    let first = alerts.partition_point(|(of, _)| *of < entity);
    alerts[first..].iter().take_while(|(of, _)| *of == entity).map(|(_, name)| name.to_string()).collect()
}
