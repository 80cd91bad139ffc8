//! One span: what it says of its service, of the call it is one side of, and of its parent's own time.
//!
//! A call counts on its edge as early as its callee is known: at once where such calls have only ever gone one way or the
//! server has come first, when the server comes, or after the wait, by memory or by the peer that the client names. A
//! guess that turns out wrong is taken back in the second in which that is learned.
use super::limits::{DEPTH, DURATION_NS, WAITING};
use super::operations::{Call, kind_status};
use super::pending::{NONE, Role, Waiting};
use super::seconds::{Amounts, Called, Served};
use super::{Graph, HALVE};
use alloc::string::ToString;
use faultline_formats::{SpanEvent, SpanKind, SpanStatus};
use faultline_model::Millis;

/// A span with its service and texts.
pub struct Span<'a> {
    pub service: u32,
    pub name: &'a str,
    pub peer: &'a str,
    pub event: &'a SpanEvent,
}

/// A stretch of time covered by a call, in the sender's ns, and how long of it counts.
#[derive(Clone, Copy)]
struct Cover {
    duration: i64,
    first: i64,
    last: i64,
    failed: bool,
}

impl Graph {
    /// Takes one span in.
    pub(super) fn span(&mut self, span: &Span<'_>, at: Millis) {
        let event = span.event;
        let duration = event.end.0.saturating_sub(event.start.0).clamp(0, DURATION_NS);
        let failed = event.status == SpanStatus::Error;
        let asynchronous = matches!(event.kind, SpanKind::Producer | SpanKind::Consumer);
        let role = match event.kind {
            SpanKind::Server | SpanKind::Consumer => Role::Server,
            SpanKind::Client | SpanKind::Producer => Role::Client,
            // What starts a trace in a service that nobody calls is its request.
            SpanKind::Internal if event.parent == 0 && !self.services.get(span.service).serves => Role::Server,
            SpanKind::Internal | SpanKind::Unspecified => Role::Inner,
        };
        let row = self.node(event.trace, event.id, at);
        let node = self.pending.get_mut(row);
        if node.role != Role::Unknown {
            self.counts.repeated += 1;
            return;
        }
        (node.parent, node.role, node.service) = (event.parent, role, span.service);
        (node.duration, node.failed, node.asynchronous) = (duration, failed, asynchronous);
        let (service, name, name_key) = (span.service, span.name, event.name_key);
        let call = Call { service, name, name_key, kind_status: kind_status(event.kind, event.status), duration };
        if !self.operations.count(&call, at, &mut self.services, &mut self.blocks) {
            self.counts.operations_refused += 1;
        }
        match role {
            Role::Server => self.server(row, event.kind != SpanKind::Internal, at),
            Role::Client => self.client(row, span, duration, at),
            _ => self.inner(row, at),
        }
    }

    /// The node of a span id; makes room by giving up the one that is missed least.
    fn node(&mut self, trace: u128, id: u64, at: Millis) -> u32 {
        if let Some(row) = self.pending.find(trace, id) {
            return row;
        }
        while self.pending.is_full() {
            let oldest = self.pending.oldest().expect("a full table has an oldest row");
            self.counts.early += 1;
            self.expire(oldest, at);
        }
        self.pending.find_or_insert(trace, id, at)
    }

    fn second(&mut self, service: u32, at: Millis) -> &mut Served {
        self.services.get_mut(service).seconds.at(at.0.div_euclid(1000))
    }

    /// A request served.
    fn server(&mut self, row: u32, serves: bool, at: Millis) {
        let node = self.pending.get(row);
        let (trace, parent, service, duration, failed) =
            (node.trace(), node.parent, node.service, node.duration, node.failed);
        let served = Served {
            requests: 1,
            failed: i64::from(failed),
            own_failed: i64::from(failed && !node.child_failed),
            total_ns: duration,
            self_ns: duration - node.covered(),
            error_logs: 0,
        };
        let waiting = Waiting { service, duration, failed, asynchronous: node.asynchronous };
        let it = self.services.get_mut(service);
        it.seconds.at(at.0.div_euclid(1000)).add(&served);
        it.serves |= serves;
        if self.notes_lines {
            it.work.count(at);
        }
        // Its children have most likely come before it or come with it.
        self.pending.settle(row, at);
        if parent == 0 {
            return;
        }
        self.called.all += 1;
        if self.called.all >= HALVE {
            (self.called.all, self.called.unpaired) = (self.called.all / 2, self.called.unpaired / 2);
        }
        let parent = self.node(trace, parent, at);
        let node = self.pending.get_mut(parent);
        match node.role {
            Role::Client => self.pair(parent, waiting, at),
            Role::Unknown if node.waiting.len() < WAITING => node.waiting.push(waiting),
            _ => self.called.unpaired += 1,
        }
    }

    /// A call made.
    fn client(&mut self, row: u32, span: &Span<'_>, duration: i64, at: Millis) {
        let (event, service) = (span.event, span.service);
        let (first, last) = (event.start.0, event.end.0);
        let failed = event.status == SpanStatus::Error;
        self.cover(event.trace, event.parent, Cover { duration, first, last, failed }, at);
        let node = self.pending.get(row);
        if node.has_children() && node.waiting.is_empty() {
            // A call inside a call is one call: the inner one is answered.
            self.pending.settle(row, at);
            return;
        }
        let peer_key = if span.peer.is_empty() { 0 } else { self.key(span.peer) };
        let prediction = self.predictions.kind(service, span.peer, peer_key, event.name_key, at);
        self.pending.get_mut(row).prediction = prediction.unwrap_or(NONE);
        let waiting = core::mem::take(&mut self.pending.get_mut(row).waiting);
        if waiting.is_empty() {
            if let Some(callee) = prediction.and_then(|row| self.predictions.get(row).certain()) {
                self.charge(row, callee, at);
                if failed {
                    self.count_unanswered(row);
                }
            }
            return;
        }
        waiting.into_iter().for_each(|server| self.pair(row, server, at));
    }

    /// A span within a service: passes the time of calls below it on.
    fn inner(&mut self, row: u32, at: Millis) {
        let node = self.pending.get(row);
        let (first, last) = node.hull();
        let cover = Cover { duration: node.covered(), first, last, failed: node.child_failed };
        let (trace, parent, has_children) = (node.trace(), node.parent, node.has_children());
        self.pending.settle(row, at);
        if has_children {
            self.cover(trace, parent, cover, at);
        }
    }

    /// A call below `parent` covers part of its time; what that changes is passed on upwards within the service.
    fn cover(&mut self, trace: u128, mut parent: u64, mut cover: Cover, at: Millis) {
        for _ in 0..DEPTH {
            if parent == 0 {
                return;
            }
            let row = self.node(trace, parent, at);
            let node = self.pending.get_mut(row);
            let (before, excused) = (node.covered(), node.child_failed);
            node.cover(cover.duration, cover.first, cover.last);
            node.child_failed |= cover.failed;
            let more = node.covered() - before;
            match node.role {
                Role::Unknown => return,
                Role::Client => return self.nested(row, at),
                Role::Server => {
                    let own_failed = -i64::from(node.failed && node.child_failed && !excused);
                    let service = node.service;
                    self.second(service, at).add(&Served { self_ns: -more, own_failed, ..Served::default() });
                    return;
                }
                Role::Inner => {
                    parent = node.parent;
                    cover.duration = more;
                }
            }
        }
    }

    /// A call turns out to hold another: it was not the one that is answered.
    fn nested(&mut self, row: u32, at: Millis) {
        if !self.pending.get(row).paired {
            self.discharge(row, at);
            self.pending.settle(row, at);
        }
    }

    /// A client and its server have found each other.
    fn pair(&mut self, row: u32, server: Waiting, at: Millis) {
        let node = self.pending.get(row);
        let (client, first, prediction) = (node.service, !node.paired, node.prediction);
        let (duration, failed) = (node.duration, node.failed || server.failed);
        if prediction != NONE {
            self.predictions.learn(prediction, server.service, |id| self.services.get(id).is_peer(), at);
        }
        let node = self.pending.get_mut(row);
        (node.paired, node.asynchronous) = (true, node.asynchronous || server.asynchronous);
        let key = (client, server.service, node.asynchronous);
        let counted_on = if node.counted { node.charged } else { NONE };
        self.pending.settle(row, at);
        if first {
            self.charge(row, server.service, at);
        }
        let Some(edge) = self.edges.find_or_insert(key, at, &self.services, &mut self.blocks) else { return };
        let gap = Called { pairs: 1, gap_ns: duration - server.duration, ..Called::default() };
        // A message waits in a queue between the two: no gap, and the second consumer of one message is no second call.
        if first && !key.2 {
            self.edges.get_mut(edge).seconds.at(at.0.div_euclid(1000)).add(&gap);
        }
        if !self.pending.get(row).counted || !first {
            self.edges.complete(edge, first.then_some(duration), Some(server.duration), failed);
            self.pending.get_mut(row).counted = true;
        } else if counted_on == edge {
            self.edges.answered(edge, server.duration);
        }
    }

    /// Puts a call on the edge to `callee`, and takes it off the one that carried it before.
    fn charge(&mut self, row: u32, callee: u32, at: Millis) {
        let node = self.pending.get(row);
        let key = (node.service, callee, node.asynchronous);
        let edge = self.edges.find_or_insert(key, at, &self.services, &mut self.blocks);
        if edge == Some(node.charged) {
            self.touch(node.charged, at);
            return;
        }
        self.discharge(row, at);
        let Some(edge) = edge else {
            self.counts.edges_refused += 1;
            return;
        };
        self.pending.get_mut(row).charged = edge;
        self.touch(edge, at);
        self.account(row, edge, 1, at);
        if self.services.get(callee).is_peer() {
            // Nobody will answer: its series need not wait.
            self.count_unanswered(row);
        }
    }

    /// Counts a call in the series of the edge that carries it without waiting for the server's half. So does a failed one whose
    /// callee is certain: a server that is gone never answers, and its callers' failures must not be known only after the wait.
    fn count_unanswered(&mut self, row: u32) {
        let node = self.pending.get_mut(row);
        if node.charged != NONE && !core::mem::replace(&mut node.counted, true) {
            self.edges.complete(node.charged, Some(node.duration), None, node.failed);
        }
    }

    fn discharge(&mut self, row: u32, at: Millis) {
        let edge = core::mem::replace(&mut self.pending.get_mut(row).charged, NONE);
        if edge != NONE {
            self.account(row, edge, -1, at);
        }
    }

    /// An edge and what it joins are in use.
    fn touch(&mut self, edge: u32, at: Millis) {
        let edge = self.edges.get_mut(edge);
        edge.used = at;
        let (client, server) = (edge.client, edge.server);
        self.services.get_mut(client).used = at;
        self.services.get_mut(server).used = at;
    }

    /// Adds a call to an edge, or takes it back; a peer serves what its callers see of it.
    fn account(&mut self, row: u32, edge: u32, sign: i64, at: Millis) {
        let node = self.pending.get(row);
        let (failed, duration) = (sign * i64::from(node.failed), sign * node.duration);
        let edge = self.edges.get_mut(edge);
        let server = edge.server;
        let called = Called { calls: sign, failed, client_ns: duration, ..Called::default() };
        edge.seconds.at(at.0.div_euclid(1000)).add(&called);
        if self.services.get(server).is_peer() {
            let served = Served {
                requests: sign,
                failed,
                own_failed: failed,
                total_ns: duration,
                self_ns: duration,
                error_logs: 0,
            };
            self.second(server, at).add(&served);
        }
    }

    /// A node's wait is over, or there is no room for it any more: takes it out.
    pub(super) fn expire(&mut self, row: u32, at: Millis) {
        let node = self.pending.get(row);
        self.called.unpaired += node.waiting.len() as u64;
        if node.role == Role::Client && !node.paired && !node.has_children() {
            self.unanswered(row, at);
        }
        self.pending.remove(row);
    }

    /// A call that no server has answered.
    fn unanswered(&mut self, row: u32, at: Millis) {
        if self.pending.get(row).charged == NONE {
            match self.unanswered_callee(row, at) {
                Some(callee) => self.charge(row, callee, at),
                None => self.counts.unanswered += 1,
            }
        }
        self.count_unanswered(row);
    }

    /// Who a call went to that nobody answered: by memory, or the peer that the client names.
    fn unanswered_callee(&mut self, row: u32, at: Millis) -> Option<u32> {
        let prediction = self.pending.get(row).prediction;
        if prediction == NONE {
            return None;
        }
        let known = self.predictions.get(prediction);
        if let Some(callee) = known.likeliest() {
            return Some(callee);
        }
        let peer = known.peer.to_string();
        let callee = self.services.find_or_insert(&peer, at)?;
        self.predictions.learn(prediction, callee, |id| self.services.get(id).is_peer(), at);
        Some(callee)
    }
}
