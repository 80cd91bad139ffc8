//! Edges: who calls whom, what the client saw of it, what is expected, and the series of the servicegraph connector.
use super::limits::{DERIVED_EDGES, EDGES, SWEEP, outlived};
use super::meters::EdgeMeasured;
use super::seconds::{Called, Seconds};
use super::services::Services;
use super::tally::{Blocks, Derived, Naming, Tally};
use super::turns::{Changed, Turn};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use faultline_detect::Baseline;
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{CodecError, Millis, Reader, Table, Writer, canonical_struct, freeze_by_copy};

/// What is expected of calls from one service to another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Calls per window.
    pub traffic: Baseline,
    /// Mean latency as the client sees it, in ms.
    pub latency: Baseline,
    /// Share of failed calls.
    pub errors: Baseline,
    /// Mean of the client's time less the server's, in ms.
    pub gap: Baseline,
}
canonical_struct!(Expected { traffic, latency, errors, gap });

/// The two tallies of an edge: requests with the client's times, failures with the server's.
#[derive(Clone, Debug)]
struct Tallies {
    client: Tally,
    server: Tally,
}
canonical_struct!(Tallies { client, server });

/// Calls from one service to another.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The caller.
    pub client: u32,
    /// The callee.
    pub server: u32,
    /// Whether a message lies between them.
    pub asynchronous: bool,
    /// Since when it is known.
    pub since: Millis,
    /// When a call was last seen.
    pub used: Millis,
    /// What the client saw in the last seconds.
    pub seconds: Seconds<Called>,
    /// What is expected.
    pub expected: Expected,
    // Whether it was first known without any telemetry of the server's: part of the series' labels, so it stays.
    stand_in: bool,
    tallies: Option<Tallies>,
    /// What metrics say of it.
    pub measured: Option<Box<EdgeMeasured>>,
    /// Whether it was declared: then it stays, whether or not calls are seen.
    pub declared: bool,
}
canonical_struct!(Edge { client, server, asynchronous, since, used, seconds, expected, stand_in, tallies; measured, declared });
freeze_by_copy!(Edge);

/// Name of the table.
pub const TABLE: &str = "edges";

/// All edges.
#[derive(Debug, Default)]
pub struct Edges {
    rows: Table<Edge>,
    // (client, server, asynchronous) and (server, client).
    callees: BTreeMap<(u32, u32, bool), u32>,
    callers: BTreeSet<(u32, u32)>,
    derived: usize,
    changed: Changed,
}

impl Edge {
    /// Whether spans have told of calls on it.
    pub fn is_traced(&self) -> bool {
        self.seconds.any()
    }
}

impl Edges {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// One past the highest id.
    pub fn end(&self) -> u32 {
        self.rows.end()
    }

    /// The edge, or nothing where the id is free.
    pub fn try_get(&self, id: u32) -> Option<&Edge> {
        self.rows.get(id)
    }

    /// The edge for changing.
    pub fn get_mut(&mut self, id: u32) -> &mut Edge {
        self.rows.row_mut(id)
    }

    /// The edge between two services, made when it is new; none where the table is full.
    pub fn find_or_insert(
        &mut self,
        (client, server, asynchronous): (u32, u32, bool),
        at: Millis,
        services: &Services,
        blocks: &mut Blocks,
    ) -> Option<u32> {
        if let Some(&id) = self.callees.get(&(client, server, asynchronous)) {
            return Some(id);
        }
        if self.rows.len() >= EDGES {
            return None;
        }
        let tallies = (self.derived < DERIVED_EDGES)
            .then(|| Tallies { client: Tally::new(blocks.take()), server: Tally::new(blocks.take()) });
        self.derived += usize::from(tallies.is_some());
        let (seconds, expected) = (Seconds::default(), Expected::default());
        let stand_in = services.get(server).is_peer();
        let (measured, declared) = (None, false);
        let edge = Edge {
            client,
            server,
            asynchronous,
            since: at,
            used: at,
            seconds,
            expected,
            stand_in,
            tallies,
            measured,
            declared,
        };
        let id = self.rows.insert(edge);
        self.callees.insert((client, server, asynchronous), id);
        self.callers.insert((server, client));
        // A tally is born changed, so that its counter is sent before its first call.
        if self.rows.get(id).is_some_and(|edge| edge.tallies.is_some()) {
            self.changed.push(id, server);
        }
        Some(id)
    }

    /// The edge of calls that wait for their answers, where there is one.
    pub fn find(&self, client: u32, server: u32) -> Option<u32> {
        self.callees.get(&(client, server, false)).copied()
    }

    /// Edges, by id.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Edge)> {
        self.rows.iter()
    }

    /// Edges from a service, by callee.
    pub fn callees(&self, client: u32) -> impl Iterator<Item = (u32, u32)> {
        self.callees.range((client, 0, false)..=(client, u32::MAX, true)).map(|(&(_, server, _), &id)| (server, id))
    }

    /// Services that call one, rising.
    pub fn callers(&self, server: u32) -> impl Iterator<Item = u32> {
        self.callers.range((server, 0)..=(server, u32::MAX)).map(|&(_, client)| client)
    }

    /// Counts a call in the edge's series once all is known of it that will be: as the connector does on completion.
    ///
    /// - `client`: its duration as the client saw it, in ns; none for the second server of one message.
    /// - `server`: its duration as the server saw it, in ns; none where it was never seen.
    pub fn complete(&mut self, id: u32, client: Option<i64>, server: Option<i64>, failed: bool) {
        let edge = self.rows.row_mut(id);
        let Some(tallies) = &mut edge.tallies else { return };
        if !tallies.client.is_changed() && !tallies.server.is_changed() {
            self.changed.push(id, edge.server);
        }
        tallies.client.count(1);
        if let Some(duration) = client {
            tallies.client.observe(duration);
        }
        if let Some(duration) = server {
            tallies.server.observe(duration);
        }
        if failed {
            tallies.server.count(1);
        }
    }

    /// The server's half of a call that has been counted without it; `server` is its duration, in ns.
    pub fn answered(&mut self, id: u32, server: i64) {
        let edge = self.rows.row_mut(id);
        let Some(tallies) = &mut edge.tallies else { return };
        if !tallies.client.is_changed() && !tallies.server.is_changed() {
            self.changed.push(id, edge.server);
        }
        tallies.server.observe(server);
    }

    /// Sends what has changed, and what has not been sent for long, of the rows whose turn it is.
    pub fn send(&mut self, turn: Turn, services: &Services, out: &mut Vec<Derived>) {
        let waits = |t: &Tallies| t.client.is_changed() || t.server.is_changed();
        let unchanged = |id| {
            let edge = self.rows.get(id)?;
            edge.tallies.as_ref().filter(|tallies| !waits(tallies)).map(|_| edge.server)
        };
        let changed = self.changed.take(turn, self.rows.end(), unchanged);
        for &id in &changed {
            let edge = self.rows.row_mut(id);
            let Some(tallies) = &mut edge.tallies else { continue };
            let kind = match (edge.asynchronous, edge.stand_in) {
                (true, _) => "messaging_system",
                (false, true) => "virtual_node",
                (false, false) => "",
            };
            let (client, server) = (&services.get(edge.client).entity, &services.get(edge.server).entity);
            let labels = &[("client", client.as_str()), ("server", server.as_str()), ("connection_type", kind)];
            let naming = |counter, histogram| Naming { labels, counter, histogram, in_seconds: true };
            let (at, all) = (turn.end(), turn.sends_all(id));
            let requests = naming("traces_service_graph_request_total", "traces_service_graph_request_client_seconds");
            tallies.client.send(&requests, at, all, out);
            let failures =
                naming("traces_service_graph_request_failed_total", "traces_service_graph_request_server_seconds");
            tallies.server.send(&failures, at, all, out);
        }
        self.changed.give(turn, changed);
    }

    /// Evicts what has not been used for long among the rows of this second.
    pub fn sweep(&mut self, phase: u32, now: Millis, blocks: &mut Blocks, out: &mut Vec<Derived>) {
        for id in (phase..self.rows.end()).step_by(SWEEP as usize) {
            let used = self.rows.get(id).filter(|edge| !edge.declared).map(|edge| edge.used);
            if used.is_some_and(|used| outlived(used, now, self.rows.len(), EDGES)) {
                self.remove(id, now, blocks, out);
            }
        }
        self.changed.retain(|id| self.rows.get(id).is_some());
    }

    /// Whether any edge touches a service.
    pub fn touches(&self, service: u32) -> bool {
        self.callees(service).next().is_some() || self.callers(service).next().is_some()
    }

    fn remove(&mut self, id: u32, now: Millis, blocks: &mut Blocks, out: &mut Vec<Derived>) {
        let edge = self.rows.get(id).expect("the id is in use").clone();
        self.rows.remove(id);
        self.callees.remove(&(edge.client, edge.server, edge.asynchronous));
        if !self.callees.contains_key(&(edge.client, edge.server, !edge.asynchronous)) {
            self.callers.remove(&(edge.server, edge.client));
        }
        if let Some(tallies) = edge.tallies {
            self.derived -= 1;
            for tally in [tallies.client, tallies.server] {
                tally.end(now, out);
                blocks.give(tally.block());
            }
        }
    }

    /// The rows.
    pub fn table(&mut self) -> &mut dyn Paged {
        &mut self.rows
    }

    /// Appends what is beside them.
    pub fn write(&self, w: &mut Writer) {
        self.rows.write_rest(w);
    }

    /// Reads them back.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes) -> Result<Edges, CodecError> {
        let rows: Table<Edge> = Table::read(r, TABLE, pages)?;
        let mut edges = Edges { rows, ..Edges::default() };
        for (id, edge) in edges.rows.iter() {
            edges.callees.insert((edge.client, edge.server, edge.asynchronous), id);
            edges.callers.insert((edge.server, edge.client));
            if let Some(tallies) = &edge.tallies {
                edges.derived += 1;
                if tallies.client.is_changed() || tallies.server.is_changed() {
                    edges.changed.push(id, edge.server);
                }
            }
        }
        Ok(edges)
    }
}
