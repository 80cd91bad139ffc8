//! Simulated estates: random services that call one another, one or two faults, and the evidence that would be frozen.
//!
//! The steady state is computed from first principles (time-outs, retries, callers that give up early or carry on without an
//! answer), not from the model under test. Decoys are in every estate: a deploy on a bystander, a victim louder than the
//! culprit, a service that never reports, and one whose telemetry dies while it works.
use faultline_model::facts::{
    ChangeEvidence, Coverage, EdgeEvidence, Evidence, HostEvidence, NodeEvidence, Placed, Shift, Telemetry,
};
use faultline_model::{Millis, float};

/// xorshift64*: the same draws everywhere.
#[derive(Clone)]
pub(crate) struct Draw(pub u64);

impl Draw {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((self.bits() >> 33) as usize) % end
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Normal, by the sum of twelve.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Its own work takes many times as long.
    Slow,
    /// Its own requests fail.
    Errors,
    /// It takes work and never finishes it; its process still reports.
    Stopped,
    /// It is gone: connections are refused, and it reports nothing.
    Crash,
    /// The host that it runs on is overloaded: all that run there take several times as long.
    Host,
}

/// Services on a host, on average.
const PER_HOST: usize = 6;

/// How long a caller waits, in ms, and how often it tries.
const TIMEOUT: f64 = 800.0;
const TRIES: usize = 3;
/// Window of the evidence, in seconds.
const WINDOW: f64 = 30.0;

#[derive(Clone)]
struct Call {
    to: usize,
    share: f64,
    asynchronous: bool,
    /// Whether the caller carries on without an answer.
    tolerated: bool,
    /// Whether the caller neither waits for it nor fails with it: hidden behind longer work, answered from a cache.
    loose: bool,
    retries: bool,
}

#[derive(Clone)]
struct Service {
    work: f64,
    failing: f64,
    calls: Vec<Call>,
    telemetry: Telemetry,
    /// Nobody instruments it; what it calls is declared.
    dark: bool,
}

pub(crate) struct Estate {
    services: Vec<Service>,
    entries: Vec<(usize, f64)>,
    /// The host of each service.
    hosts: Vec<usize>,
}

/// What each service and call does on average.
#[derive(Clone, Default)]
struct Flow {
    arrivals: f64,
    served: f64,
    latency: f64,
    own_time: f64,
    errors: f64,
    own_errors: f64,
    /// Per call: attempts a second, mean time of one, share of attempts that fail.
    calls: Vec<(f64, f64, f64)>,
}

impl Estate {
    /// Callers have lower indices than their callees.
    pub(crate) fn draw(draw: &mut Draw, count: usize) -> Estate {
        let mut services: Vec<Service> = (0..count)
            .map(|_| Service {
                work: float::exp(draw.normal() * 0.7 + 2.0),
                failing: draw.between(0.0, 0.003),
                calls: Vec::new(),
                telemetry: Telemetry::Reporting,
                dark: false,
            })
            .collect();
        let fronts = 1 + count / 15;
        for index in fronts..count {
            // Everyone is called by someone before it, near or far; some by several.
            let callers = 1 + draw.below(3);
            for _ in 0..callers {
                let from = if draw.below(3) == 0 { draw.below(index) } else { index - 1 - draw.below(index.min(8)) };
                if services[from].calls.len() < 5 && services[from].calls.iter().all(|call| call.to != index) {
                    let call = Call {
                        to: index,
                        share: draw.between(0.2, 1.0),
                        asynchronous: draw.below(12) == 0,
                        tolerated: draw.below(8) == 0,
                        loose: false,
                        retries: draw.below(3) > 0,
                    };
                    services[from].calls.push(call);
                }
            }
        }
        for service in &mut services[fronts..] {
            if service.calls.is_empty() && draw.below(5) == 0 {
                service.telemetry = Telemetry::Peer;
            }
        }
        let entries = (0..fronts).map(|index| (index, draw.between(5.0, 60.0))).collect();
        // From a stream of its own: an estate is what it was before there were hosts.
        let mut hosts = Draw(draw.0 ^ 0x5eed_1057);
        let hosts = (0..count).map(|_| hosts.below(count.div_ceil(PER_HOST))).collect();
        Estate { services, entries, hosts }
    }

    /// Services of which what their host does to them can be seen.
    fn hosted(&self, host: usize) -> Vec<usize> {
        let reports =
            |&index: &usize| self.hosts[index] == host && self.services[index].telemetry == Telemetry::Reporting;
        (0..self.services.len()).filter(reports).collect()
    }

    /// Makes as many calls loose as said, and as many of the services between others are dark.
    #[allow(dead_code, reason = "not every binary draws such estates")]
    pub(crate) fn vary(&mut self, draw: &mut Draw, loose: f64, dark: f64) {
        let fronts = self.entries.len();
        for (index, service) in self.services.iter_mut().enumerate() {
            service.calls.iter_mut().for_each(|call| call.loose = draw.unit() < loose);
            if index >= fronts && !service.calls.is_empty() && draw.unit() < dark {
                (service.dark, service.telemetry) = (true, Telemetry::Peer);
            }
        }
    }

    /// Every call by its ends, and whether it passes trouble on.
    #[allow(dead_code, reason = "not every binary asks")]
    pub(crate) fn passes(&self) -> Vec<(String, String, bool)> {
        let name = |index: usize| format!("s{index:03}");
        let all = self.services.iter().enumerate();
        all.flat_map(|(at, it)| it.calls.iter().map(move |call| (name(at), name(call.to), !call.loose))).collect()
    }

    /// The steady state with some services at fault.
    fn flows(&self, faults: &[(usize, Kind, f64)]) -> Vec<Flow> {
        let count = self.services.len();
        let fault = |index: usize| faults.iter().find(|fault| fault.0 == index);
        let mut flows = vec![Flow::default(); count];
        // One attempt from below: (mean time, share failed), as callers see it; and calls made per request.
        let mut answer = vec![(0.0, 0.0); count];
        let mut made = vec![Vec::new(); count];
        for index in (0..count).rev() {
            let service = &self.services[index];
            let (mut work, mut own_errors, mut answers) = (service.work, service.failing, true);
            match fault(index) {
                Some((_, Kind::Slow, size)) => work *= 5.0 + 25.0 * size,
                Some((_, Kind::Host, size)) => work *= 4.0 + 6.0 * size,
                Some((_, Kind::Errors, size)) => own_errors = 0.3 + 0.65 * size,
                Some((_, Kind::Stopped | Kind::Crash, _)) => answers = false,
                None => {}
            }
            // Fails half way through its own work, before it calls anyone.
            let mut alive = 1.0 - own_errors;
            let mut time = work * (0.5 + 0.5 * alive);
            let mut waited = 0.0;
            for call in &service.calls {
                let (latency, failing) = answer[call.to];
                let late = 1.0 - float::exp(-float::pow(latency / TIMEOUT, 4.0));
                let one = (1.0 - late) * float::min(latency, TIMEOUT) + late * TIMEOUT;
                let failed = failing + (1.0 - failing) * late;
                let (mut attempts, mut still) = (1.0, failed);
                if call.retries {
                    for _ in 1..TRIES {
                        attempts += still;
                        still *= failed;
                    }
                }
                let calls = alive * call.share;
                if call.asynchronous {
                    made[index].push((calls, 1.0, 0.0));
                    continue;
                }
                made[index].push((calls * attempts, one, failed));
                if call.loose {
                    continue;
                }
                waited += calls * attempts * one;
                if !call.tolerated {
                    alive *= 1.0 - call.share * still;
                }
            }
            time += waited;
            let flow = &mut flows[index];
            flow.latency = time;
            flow.own_time = time - waited;
            flow.errors = 1.0 - alive;
            flow.own_errors = own_errors;
            answer[index] = match fault(index) {
                Some((_, Kind::Crash, _)) => (1.0, 1.0),
                Some((_, Kind::Stopped, _)) => (1e6, 1.0),
                _ => (time, 1.0 - alive),
            };
            if !answers {
                made[index] = service.calls.iter().map(|_| (0.0, 0.0, 0.0)).collect();
            }
        }
        for &(index, rate) in &self.entries {
            flows[index].arrivals += rate;
        }
        for index in 0..count {
            let finishes = !matches!(fault(index), Some((_, Kind::Stopped | Kind::Crash, _)));
            flows[index].served = if finishes { flows[index].arrivals } else { 0.0 };
            let arrivals = flows[index].arrivals;
            for (call, &(per_request, one, failed)) in self.services[index].calls.iter().zip(&made[index]) {
                flows[index].calls.push((arrivals * per_request, one, failed));
                flows[call.to].arrivals += arrivals * per_request;
            }
        }
        flows
    }
}

/// A drawn case.
pub(crate) struct Case {
    pub evidence: Evidence,
    pub culprits: Vec<String>,
}

/// Draws an estate of `count` services with one fault of each of `kinds`, until something is violated by it.
pub(crate) fn case(seed: u64, count: usize, kinds: &[Kind]) -> Case {
    let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    loop {
        let estate = Estate::draw(&mut draw, count);
        if let Some(case) = estate.broken(&mut draw, kinds) {
            return case;
        }
    }
}

impl Estate {
    /// One fault of each of `kinds`; none where nothing is violated by it.
    pub(crate) fn broken(&self, draw: &mut Draw, kinds: &[Kind]) -> Option<Case> {
        let before = self.flows(&[]);
        let suspects: Vec<usize> =
            (self.entries.len()..self.services.len()).filter(|&index| before[index].served > 1.0).collect();
        if suspects.len() < 2 * kinds.len() {
            return None;
        }
        let mut faults: Vec<(usize, Kind, f64)> = Vec::new();
        for &kind in kinds {
            let index = suspects[draw.below(suspects.len())];
            if kind == Kind::Host {
                let (hosted, size) = (self.hosted(self.hosts[index]), draw.unit());
                if hosted.len() >= 2 {
                    faults.extend(hosted.into_iter().map(|index| (index, kind, size)));
                }
                continue;
            }
            // A peer has no process of its own that could go on reporting or stop to.
            let peer = self.services[index].telemetry == Telemetry::Peer;
            if faults.iter().all(|fault| fault.0 != index) && !(peer && kind == Kind::Crash) {
                faults.push((index, kind, draw.unit()));
            }
        }
        if faults.len() < kinds.len() {
            return None;
        }
        freeze(self, &before, &self.flows(&faults), &faults, draw)
    }
}

/// The evidence, or nothing where no alert would fire because of every fault.
fn freeze(
    estate: &Estate,
    before: &[Flow],
    after: &[Flow],
    faults: &[(usize, Kind, f64)],
    draw: &mut Draw,
) -> Option<Case> {
    let count = estate.services.len();
    let crashed = |index: usize| faults.iter().any(|fault| fault.0 == index && fault.1 == Kind::Crash);
    let onset = Millis(1_000_000_000);
    let name = |index: usize| format!("s{index:03}");
    // One that works but whose telemetry dies, and one victim that shouts.
    let mute = draw.below(count);
    let mute = (faults.iter().all(|fault| fault.0 != mute)
        && estate.services[mute].telemetry == Telemetry::Reporting
        && estate.entries.iter().all(|entry| entry.0 != mute))
    .then_some(mute);
    let hurt: Vec<usize> = (0..count)
        .filter(|&index| {
            faults.iter().all(|fault| fault.0 != index) && after[index].errors > before[index].errors + 0.05
        })
        .collect();
    let loud = (!hurt.is_empty()).then(|| hurt[draw.below(hurt.len())]);

    let mut nodes = Vec::new();
    let mut targets = Vec::new();
    for index in 0..count {
        let service = &estate.services[index];
        let telemetry = match service.telemetry {
            Telemetry::Peer => Telemetry::Peer,
            _ if crashed(index) || mute == Some(index) => Telemetry::Silent,
            other => other,
        };
        let (was, is) = (&before[index], &after[index]);
        let mut node = NodeEvidence { entity: name(index), telemetry, ..NodeEvidence::default() };
        let served = if telemetry == Telemetry::Reporting { is.served } else { 0.0 };
        if telemetry != Telemetry::Peer {
            node.traffic = rate(draw, was.served, served);
        }
        if telemetry == Telemetry::Reporting {
            let requests = served * WINDOW;
            node.latency = time(draw, was.latency, is.latency, requests);
            let backoff = if loud == Some(index) { 1.0 + draw.between(0.5, 2.0) } else { 1.0 };
            node.self_time = time(draw, was.own_time, is.own_time * backoff, requests);
            node.errors = share(draw, was.errors, is.errors, requests);
            node.own_errors = share(draw, was.own_errors, float::min(is.own_errors, is.errors), requests);
            let shouts = if loud == Some(index) { 20.0 } else { 1.0 };
            node.error_logs = rate(draw, was.errors * was.served, is.errors * served * shouts);
        }
        let (errors, latency) = (node.errors.seen > 0.05, node.latency.seen > 3.0 * node.latency.expected + 20.0);
        let lost =
            telemetry == Telemetry::Reporting && node.traffic.seen < 0.4 * node.traffic.expected && was.served > 2.0;
        for (fires, alert) in [(errors, "ErrorRatioHigh"), (latency, "LatencyHigh"), (lost, "TrafficLost")] {
            if fires {
                node.alerts.push(alert.to_string());
            }
        }
        if !node.alerts.is_empty() {
            targets.push(index as u32);
            node.onset = Some(onset.plus(draw.below(4_000) as i64));
        }
        nodes.push(node);
    }
    // Every fault hurts somebody besides itself.
    let reaches = |from: usize, to: usize| {
        let (mut seen, mut stack) = (vec![false; count], vec![from]);
        while let Some(at) = stack.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                let calls = estate.services[at].calls.iter();
                stack.extend(
                    calls.filter(|call| !call.asynchronous && !call.tolerated && !call.loose).map(|call| call.to),
                );
            }
        }
        seen[to]
    };
    let hurts = |fault: &(usize, Kind, f64)| {
        targets.iter().any(|&target| target as usize != fault.0 && reaches(target as usize, fault.0))
    };
    let (shared, own): (Vec<_>, Vec<_>) = faults.iter().partition(|fault| fault.1 == Kind::Host);
    if !own.into_iter().all(hurts) || !(shared.is_empty() || shared.into_iter().any(hurts)) {
        return None;
    }
    let mut edges = Vec::new();
    for index in 0..count {
        if estate.services[index].dark {
            let calls = estate.services[index].calls.iter().map(|call| EdgeEvidence {
                client: index as u32,
                server: call.to as u32,
                asynchronous: call.asynchronous,
                unmeasured: true,
                ..EdgeEvidence::default()
            });
            edges.extend(calls);
        }
        if nodes[index].telemetry == Telemetry::Peer {
            continue;
        }
        // A silent client's calls are remembered, not seen.
        let told = nodes[index].telemetry == Telemetry::Reporting;
        for (call, (was, is)) in
            estate.services[index].calls.iter().zip(before[index].calls.iter().zip(&after[index].calls))
        {
            let is = if told { *is } else { (0.0, 0.0, 0.0) };
            let calls = is.0 * WINDOW;
            let paired = nodes[call.to].telemetry == Telemetry::Reporting
                && told
                && after[call.to].served > 0.0
                && !call.asynchronous;
            edges.push(EdgeEvidence {
                client: index as u32,
                server: call.to as u32,
                traffic: rate(draw, was.0, is.0),
                latency: if call.asynchronous { Shift::default() } else { time(draw, was.1, is.1, calls) },
                errors: if call.asynchronous { Shift::default() } else { share(draw, was.2, is.2, calls) },
                gap: if paired { time(draw, 0.5, 0.5, calls) } else { Shift::default() },
                asynchronous: call.asynchronous,
                unmeasured: false,
            });
        }
    }
    for fault in faults {
        if nodes[fault.0].onset.is_none() {
            nodes[fault.0].onset = Some(onset.plus(draw.below(2_000) as i64));
        }
    }
    // A deploy on a bystander, half a minute before.
    let decoy = (0..8).map(|_| draw.below(count)).find(|decoy| faults.iter().all(|fault| fault.0 != *decoy));
    let changes = decoy.map(|decoy| ChangeEvidence {
        node: decoy as u32,
        kind: "deploy".to_string(),
        title: "routine release".to_string(),
        at: onset.plus(-30_000),
    });
    let evidence = Evidence {
        incident: Default::default(),
        revision: 1,
        at: onset.plus(30_000),
        onset,
        window: 1_000 * WINDOW as i64,
        nodes,
        edges,
        targets,
        changes: changes.into_iter().collect(),
        coverage: Coverage::default(),
        learnt: None,
        model: 4,
        reliability: Vec::new(),
        hosts: hosts(estate),
        strengths: None,
    };
    let culprit = |fault: &(usize, Kind, f64)| match fault.1 {
        Kind::Host => format!("h{:03}", estate.hosts[fault.0]),
        _ => name(fault.0),
    };
    let mut culprits: Vec<String> = faults.iter().map(culprit).collect();
    culprits.dedup();
    Some(Case { evidence, culprits })
}

/// What is known of the hosts: who reports tells where it runs.
fn hosts(estate: &Estate) -> Vec<HostEvidence> {
    let last = estate.hosts.iter().max().map_or(0, |last| last + 1);
    let hosts = (0..last).map(|host| {
        let services = estate.hosted(host).into_iter().map(|index| Placed { node: index as u32, of: 1 });
        HostEvidence { name: format!("h{host:03}"), services: services.collect() }
    });
    hosts.filter(|host| host.services.len() >= 2).collect()
}

/// A rate with Poisson noise and its robust score.
fn rate(draw: &mut Draw, before: f64, now: f64) -> Shift {
    let noisy = |draw: &mut Draw, rate: f64| float::max(rate + float::sqrt(rate / WINDOW) * draw.normal(), 0.0);
    let (expected, seen) = (before * (1.0 + 0.02 * draw.normal()), noisy(draw, now));
    let deviation = float::max(float::sqrt(before / WINDOW + 0.0025 * before * before), 0.01);
    Shift { expected, seen, z: (seen - expected) / deviation, count: (seen * WINDOW).round() }
}

/// A mean time.
fn time(draw: &mut Draw, before: f64, now: f64, requests: f64) -> Shift {
    if requests < 1.0 {
        return Shift { expected: before, ..Shift::default() };
    }
    let noise = 0.35 / float::sqrt(requests) + 0.03;
    let (expected, seen) =
        (before * (1.0 + 0.03 * draw.normal()), float::max(now * (1.0 + noise * draw.normal()), 0.0));
    let deviation = float::max(before * (0.05 + 0.35 / float::sqrt(requests)), 0.05);
    Shift { expected, seen, z: (seen - expected) / deviation, count: requests.round() }
}

/// A share of failed requests.
fn share(draw: &mut Draw, before: f64, now: f64, requests: f64) -> Shift {
    if requests < 1.0 {
        return Shift { expected: before, ..Shift::default() };
    }
    let noise = float::sqrt(float::max(now * (1.0 - now) / requests, 0.0));
    let seen = (now + noise * draw.normal()).clamp(0.0, 1.0);
    let deviation = float::max(float::sqrt((before + 0.001) / requests), 0.002);
    Shift { expected: before, seen, z: (seen - before) / deviation, count: requests.round() }
}
