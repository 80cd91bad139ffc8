//! The service graph: services, the calls between them, and what both do, from spans and log records.
//!
//! Spans count at rule time, when they arrive: senders' clocks may be wrong, so only durations of theirs are used, each
//! of one clock. Everything is summed in whole numbers per second; seconds close into series, ten of them into the
//! windows that baselines judge. What arrives late corrects the second in which it arrives, never a closed one.
//!
//! - `pairing`: one span at a time: requests, calls, self time, peers.
//! - `windows`: closed windows against baselines: anomalies.
//! - `freeze`: evidence of an incident.
mod declared;
mod edges;
mod events;
mod freeze;
mod hosts;
mod index;
mod keyed;
mod kinds;
pub mod limits;
mod lines;
mod measured;
mod meters;
mod operations;
mod pairing;
mod pending;
mod predictions;
mod resources;
mod seconds;
mod services;
mod state;
mod tally;
mod turns;
mod windows;

pub use freeze::Question;
pub use tally::Derived;

use alloc::vec::Vec;
use edges::Edges;
use events::NamedEvents;
use faultline_formats::{Decoded, LogEvent};
use faultline_model::facts::Anomaly;
use faultline_model::{ChangeEvent, HashSeed, Millis, SeriesKey, canonical_struct};
use hosts::Hosts;
use kinds::LogKinds;
use limits::{RESUME, SWEEP};
use lines::{Lines, Written};
use meters::Meters;
use operations::Operations;
use pairing::Span;
use pending::{NONE, Pending};
use predictions::Predictions;
use resources::Resources;
use services::Services;
use tally::Blocks;
use turns::Turn;

/// What could not be taken in, since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Spans and log records without a `service.name` that can be kept.
    pub nameless: u64,
    /// Spans and log records of services for which there was no room.
    pub services_refused: u64,
    /// Calls between services for which there was no room.
    pub edges_refused: u64,
    /// Spans without series of their own.
    pub operations_refused: u64,
    /// Spans seen twice within their wait: counted once.
    pub repeated: u64,
    /// Spans given up before their wait was over, for want of room.
    pub early: u64,
    /// Calls that nobody answered and that name no peer.
    pub unanswered: u64,
    /// Series of standard metrics for which there was no room.
    pub meters_refused: u64,
    /// Events whose name is too long or for which there was no room.
    pub events_refused: u64,
    /// Hosts whose name is too long or for which there was no room.
    pub hosts_refused: u64,
}
canonical_struct!(Counts {
    nameless,
    services_refused,
    edges_refused,
    operations_refused,
    repeated,
    early,
    unanswered;
    meters_refused,
    events_refused,
    hosts_refused
});

/// What the closing of seconds and windows gives.
#[derive(Debug, Default)]
pub struct Closed {
    /// Samples of span metrics, service-graph series and log counts.
    pub samples: Vec<Derived>,
    /// Signals that have left their baselines.
    pub anomalies: Vec<Anomaly>,
    /// Versions of services not seen before.
    pub changes: Vec<ChangeEvent>,
}

/// Server spans that name a parent: all of them, and those whose client was never seen. Halved now and then, so that
/// the share follows.
#[derive(Clone, Copy, Debug, Default)]
struct CalledSpans {
    all: u64,
    unpaired: u64,
}
canonical_struct!(CalledSpans { all, unpaired });

/// Server spans after which old ones count half.
const HALVE: u64 = 100_000;

/// Services and calls, as known at this moment.
#[derive(Debug)]
pub struct Graph {
    seed: u64,
    /// The first turn that is not over; none before the first event.
    next: Option<Turn>,
    /// Windows that begin before this second say nothing about missing traffic.
    judged_from: i64,
    services: Services,
    edges: Edges,
    operations: Operations,
    predictions: Predictions,
    pending: Pending,
    blocks: Blocks,
    changes: Vec<ChangeEvent>,
    called: CalledSpans,
    sampled_at: Option<Millis>,
    meters: Meters,
    kinds: LogKinds,
    lines: Lines,
    resources: Resources,
    /// Whether resources and events are read, and how often a kind of log record came.
    notes_use: bool,
    /// Whether verdicts say what would be and what to check, and processes' own metrics are read.
    looks_ahead: bool,
    /// Whether kinds of log records are noted.
    notes_kinds: bool,
    /// Whether hosts are noted.
    notes_hosts: bool,
    /// Whether lines of log records are noted, and the requests between them.
    notes_lines: bool,
    events: NamedEvents,
    hosts: Hosts,
    counts: Counts,
    /// Service of each resource of the body at hand.
    body: Vec<u32>,
}

impl Graph {
    /// Empty; `seed` is the journal's.
    pub fn new(seed: HashSeed) -> Graph {
        // Spread over all bits: a seed near a sender's small ids would cancel them in the folded multiply.
        let seed = SeriesKey::of(b"graph", seed).0 as u64;
        Graph {
            seed,
            next: None,
            judged_from: i64::MIN,
            services: Services::default(),
            edges: Edges::default(),
            operations: Operations::new(seed),
            predictions: Predictions::new(seed),
            pending: Pending::new(seed),
            blocks: Blocks::default(),
            changes: Vec::new(),
            called: CalledSpans::default(),
            sampled_at: None,
            meters: Meters::default(),
            kinds: LogKinds::new(seed),
            lines: Lines::new(seed),
            resources: Resources::new(seed),
            notes_use: true,
            looks_ahead: true,
            notes_kinds: true,
            notes_hosts: true,
            notes_lines: true,
            events: NamedEvents::new(seed),
            hosts: Hosts::new(seed),
            counts: Counts::default(),
            body: Vec::new(),
        }
    }

    /// Whether kinds of log records are noted from here on: older engines did not.
    pub fn note_kinds(&mut self, notes: bool) {
        self.notes_kinds = notes;
    }

    /// Whether resources and events are read from here on, and how often kinds of log records come: older engines did none of it.
    pub fn note_use(&mut self, notes: bool) {
        self.notes_use = notes;
    }

    /// Whether verdicts from here on say what would be without a cause and what to check next, and OpenTelemetry's metrics of processes
    /// are read: older engines did neither.
    pub fn look_ahead(&mut self, ahead: bool) {
        self.looks_ahead = ahead;
    }

    /// Whether it is noted from here on which hosts services run on: older engines did not.
    pub fn note_hosts(&mut self, notes: bool) {
        self.notes_hosts = notes;
    }

    /// Whether it is noted from here on which lines of log records come with requests, and evidence says which stay away: older engines
    /// did neither.
    pub fn note_lines(&mut self, notes: bool) {
        self.notes_lines = notes;
    }

    /// Takes a body's spans and log records in, at rule time `at`: the stamp live, event time on import.
    ///
    /// `at` does not fall, and [`Graph::advance`] has been called for all that was due by then. Durations are the
    /// sender's own; a body cut in two at the same instant leaves the same state.
    pub fn observe(&mut self, decoded: &Decoded, at: Millis) {
        let events = &decoded.events;
        if events.resources.is_empty() {
            return;
        }
        let second = at.0.div_euclid(1000);
        self.begin(at);
        let mut body = core::mem::take(&mut self.body);
        // Metrics alone show that a service lives, but make no node: what neither calls nor serves explains nothing.
        let makes_nodes = !(events.spans.is_empty() && events.logs.is_empty());
        for resource in &events.resources {
            let (service, version) = (decoded.text(resource.service), decoded.text(resource.version));
            let id = self.resource(service, version, makes_nodes, at);
            if id != NONE && resource.host.size > 0 && self.notes_hosts {
                let taken = self.hosts.note(id, decoded.text(resource.host), at);
                self.counts.hosts_refused += u64::from(!taken);
            }
            body.push(id);
        }
        for log in &events.logs {
            match body[log.resource as usize] {
                NONE => self.refuse(decoded.text(events.resources[log.resource as usize].service)),
                service => {
                    self.services.log_record(service, log.severity, second, &mut self.blocks);
                    if self.notes_kinds {
                        self.kinds.note(service, log.kind, log.severity, self.notes_use, at);
                    }
                    if self.notes_lines {
                        self.note_line(service, log, at);
                    }
                    if log.event.size > 0 && self.notes_use {
                        let name = decoded.text(log.event);
                        let taken = self.events.note(service, name, events::key(name, self.seed), at);
                        self.counts.events_refused += u64::from(!taken);
                    }
                }
            }
        }
        for span in &events.spans {
            let service = body[span.resource as usize];
            if service == NONE {
                self.refuse(decoded.text(events.resources[span.resource as usize].service));
                continue;
            }
            if span.sampled.said && span.sampled.threshold > 0 {
                self.sampled_at = Some(at);
            }
            let (name, peer) = (decoded.text(span.name), decoded.text(span.peer));
            self.span(&Span { service, name, peer, event: span }, at);
        }
        body.clear();
        self.body = body;
    }

    /// Notes which line a log record is of, where the service was asked anything before: the requests are its clock.
    fn note_line(&mut self, service: u32, log: &LogEvent, at: Millis) {
        let asked = self.services.get(service).work.until(at);
        if asked == 0 {
            return;
        }
        self.services.get_mut(service).written = asked;
        self.lines.note(Written { service, kind: log.kind, line: log.line, asked }, at);
    }

    /// Something arrived at `at`.
    fn begin(&mut self, at: Millis) {
        let turn = Turn::of(at);
        assert!(turn >= *self.next.get_or_insert(turn), "what was before {at} is closed");
    }

    /// The service of a resource, noted as alive; [`NONE`] where it has no name or no room.
    fn resource(&mut self, name: &str, version: &str, makes_nodes: bool, at: Millis) -> u32 {
        let known = self.services.find(name);
        let id = known.or_else(|| if makes_nodes { self.services.find_or_insert(name, at) } else { None });
        let Some(id) = id else { return NONE };
        self.services.reported(id, at);
        if let Some(change) = self.services.version(id, version, at) {
            self.changes.push(change);
        }
        id
    }

    fn refuse(&mut self, name: &str) {
        let nameless = name.is_empty() || name.len() > limits::NAME_SIZE;
        let count = if nameless { &mut self.counts.nameless } else { &mut self.counts.services_refused };
        *count += 1;
    }

    /// When the next series are sent; none while nothing is known.
    pub fn due(&self) -> Option<Millis> {
        self.next.map(Turn::end)
    }

    /// Sends the series whose turn ends by `at`, closes every second that does, and the windows that end with them.
    pub fn advance(&mut self, at: Millis, out: &mut Closed) {
        while let Some(turn) = self.next.filter(|turn| turn.end() <= at) {
            while let Some(row) = self.pending.expired(turn.end()) {
                self.expire(row, turn.end());
            }
            self.operations.send(turn, &self.services, &mut out.samples);
            self.edges.send(turn, &self.services, &mut out.samples);
            self.services.send(turn, &mut out.samples);
            if turn.is_last() {
                self.close_second(turn.second(), turn.end(), out);
            }
            self.next = Some(turn.next());
        }
    }

    fn close_second(&mut self, second: i64, end: Millis, out: &mut Closed) {
        out.changes.append(&mut self.changes);
        self.close_windows(second, end, &mut out.anomalies);
        self.sweep(second, end, out);
    }

    /// Evicts what has not been used for long. Each row is looked at once in [`SWEEP`] seconds.
    fn sweep(&mut self, second: i64, now: Millis, out: &mut Closed) {
        let (phase, step) = (second.rem_euclid(SWEEP) as u32, SWEEP as usize);
        self.predictions.sweep(phase, step, now);
        self.kinds.sweep(phase, step, now);
        self.lines.sweep(phase, step, now);
        self.resources.sweep(phase, step, now);
        self.events.sweep(phase, step, now);
        self.hosts.sweep(phase, step, now);
        self.operations.sweep(phase, now, &mut self.services, &mut self.blocks, &mut out.samples);
        self.edges.sweep(phase, now, &mut self.blocks, &mut out.samples);
        let gone = self.services.outlived(phase, step, now, |id| self.edges.touches(id));
        if gone.is_empty() {
            return;
        }
        self.predictions.forget_all(&gone);
        self.meters.forget_services(&gone);
        self.kinds.forget(&gone);
        self.lines.forget(&gone);
        self.resources.forget_services(&gone);
        self.events.forget(&gone);
        self.hosts.forget(&gone);
        self.operations.forget(&gone, now, &mut self.blocks, &mut out.samples);
        for &id in &gone {
            self.services.remove(id, now, &mut self.blocks, &mut out.samples);
        }
    }

    /// Passes over the time before `at`: nothing was received then, so nothing in it is closed or judged, and for
    /// [`limits::RESUME`] seconds after it missing traffic proves nothing.
    pub fn skip(&mut self, at: Millis) {
        let turn = Turn::of(at);
        if self.next.is_some_and(|next| next < turn) {
            self.next = Some(turn);
            self.judged_from = turn.second() + RESUME;
        }
    }

    /// The second at which receiving last began again; before it nothing need be missing.
    fn resumed(&self) -> i64 {
        self.judged_from.saturating_sub(RESUME)
    }

    /// Calls `visit` with each service that `entity` calls, in name order.
    pub fn callees(&self, entity: &str, visit: &mut dyn FnMut(&str)) {
        let Some(id) = self.services.find(entity) else { return };
        self.visit(self.edges.callees(id).map(|(server, _)| server).filter(|&server| server != id), visit);
    }

    /// Calls `visit` with each service that calls `entity`, in name order.
    pub fn callers(&self, entity: &str, visit: &mut dyn FnMut(&str)) {
        let Some(id) = self.services.find(entity) else { return };
        self.visit(self.edges.callers(id).filter(|&client| client != id), visit);
    }

    fn visit(&self, ids: impl Iterator<Item = u32>, visit: &mut dyn FnMut(&str)) {
        let mut names: Vec<&str> = ids.map(|id| self.services.get(id).entity.as_str()).collect();
        names.sort();
        names.dedup();
        names.into_iter().for_each(visit);
    }

    /// What could not be taken in.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Sizes: services and peers, edges, span names with series, spans that wait.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            services: self.services.len(),
            edges: self.edges.len(),
            operations: self.operations.len(),
            pending: self.pending.len(),
        }
    }

    /// Keyed hash of a text, for look-ups.
    fn key(&self, text: &str) -> u64 {
        SeriesKey::of(text.as_bytes(), HashSeed(self.seed)).0 as u64
    }
}

/// How much a graph holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Services and peers.
    pub services: usize,
    /// Edges.
    pub edges: usize,
    /// Sets of span metrics.
    pub operations: usize,
    /// Spans that wait.
    pub pending: usize,
}
