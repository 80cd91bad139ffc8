//! Evidence made safe to compute with: every index in range, every number finite, every call once.
use crate::config::COUNT_MIN;
use crate::events::Taught;
use crate::likelihood::clamp;
use crate::strengths::Habits;
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::facts::{ChangeEvidence, Evidence, NodeEvidence, ResourceEvidence, Shift, Telemetry};
use faultline_model::{Millis, float};

/// A quantity before and now; unknown where it was not measured or made no sense.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quantity {
    /// Whether anything below holds.
    pub known: bool,
    /// Whether there is a baseline to compare with.
    pub based: bool,
    pub expected: f64,
    pub seen: f64,
    pub z: f64,
    pub count: f64,
}

impl Quantity {
    pub fn new(shift: &Shift) -> Quantity {
        let finite = [shift.expected, shift.seen, shift.z, shift.count].iter().all(|x| x.is_finite());
        if !finite {
            return Quantity::default();
        }
        let hold = |x: f64| clamp(x, -1e12, 1e12);
        let (expected, seen) = (hold(shift.expected), hold(shift.seen));
        Quantity {
            known: true,
            // A score of exactly 0 is how "no baseline yet" is written; nothing at all, as ever, needs none.
            based: shift.z != 0.0 || (expected == 0.0 && seen == 0.0),
            expected,
            seen,
            z: clamp(shift.z, -1e6, 1e6),
            count: clamp(shift.count, 0.0, 1e12),
        }
    }

    /// Whether enough requests stand behind it.
    pub fn measured(&self) -> bool {
        self.known && self.count >= COUNT_MIN
    }

    pub fn rise(&self) -> f64 {
        self.seen - self.expected
    }
}

/// One service.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    pub name: &'a str,
    pub telemetry: Telemetry,
    pub traffic: Quantity,
    pub latency: Quantity,
    pub self_time: Quantity,
    pub errors: Quantity,
    pub own_errors: Quantity,
    pub error_logs: Quantity,
    /// Kinds of log records never met before, weighed by severity.
    pub new_logs: Quantity,
    /// The most overdue line of its log, and of how many.
    pub missing_logs: Quantity,
    pub resources: &'a [ResourceEvidence],
    pub onset: Option<Millis>,
    /// Time between two of its figures, in ms; 0 where they come all the time.
    pub step: f64,
    /// Calls that it makes and calls that it gets, as indices of `edges`.
    pub calls: Vec<usize>,
    pub called: Vec<usize>,
    /// Hosts that it runs on, as indices of `hosts`, and the share of it that runs there.
    pub hosts: Vec<(usize, f64)>,
}

/// One kind of call between two different services.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub client: usize,
    pub server: usize,
    pub traffic: Quantity,
    pub latency: Quantity,
    pub errors: Quantity,
    pub gap: Quantity,
    pub asynchronous: bool,
    /// Nobody counts its calls.
    pub unmeasured: bool,
}

/// What several services run on.
#[derive(Clone, Debug)]
pub(crate) struct Host<'a> {
    pub name: &'a str,
    /// Nodes, ascending.
    pub services: Vec<usize>,
}

/// The part of the graph that is explained.
#[derive(Clone, Debug)]
pub(crate) struct Scene<'a> {
    pub nodes: Vec<Node<'a>>,
    pub edges: Vec<Edge>,
    /// Those on which several run.
    pub hosts: Vec<Host<'a>>,
    /// In index order.
    pub targets: Vec<usize>,
    pub changes: Vec<(usize, &'a ChangeEvidence)>,
    pub onset: Millis,
    /// Length of a window, in seconds, above 0.
    pub window_s: f64,
    /// Whether it is explained by the first model ([`Evidence::model`]).
    pub first: bool,
    /// Whether what would be and what to check are part of the verdict: from the third model on.
    pub looks_ahead: bool,
    /// Whether hosts are causes, too, and networks are soon given up that do not fit: from the fifth model on.
    pub knows_hosts: bool,
    /// What closed incidents teach.
    pub taught: Taught,
    /// How strongly calls pass trouble on, as far as that was learned.
    pub habits: Habits,
}

impl<'a> Scene<'a> {
    pub fn new(evidence: &'a Evidence) -> Scene<'a> {
        let count = evidence.nodes.len();
        let mut nodes: Vec<Node> = evidence.nodes.iter().map(Node::new).collect();
        let inside = |index: u32| usize::try_from(index).ok().filter(|&index| index < count);
        let mut edges: Vec<Edge> = Vec::new();
        for edge in &evidence.edges {
            let (Some(client), Some(server)) = (inside(edge.client), inside(edge.server)) else { continue };
            if client != server {
                edges.push(Edge {
                    client,
                    server,
                    traffic: Quantity::new(&edge.traffic),
                    latency: Quantity::new(&edge.latency),
                    errors: Quantity::new(&edge.errors),
                    gap: Quantity::new(&edge.gap),
                    asynchronous: edge.asynchronous,
                    unmeasured: edge.unmeasured,
                });
            }
        }
        // A pair may call in both ways, by answer and by message; twice in one way is the sender's mistake, and the first counts.
        edges.sort_by_key(|edge| (edge.client, edge.server, edge.asynchronous));
        edges.dedup_by_key(|edge| (edge.client, edge.server, edge.asynchronous));
        for (index, edge) in edges.iter().enumerate() {
            nodes[edge.client].calls.push(index);
            nodes[edge.server].called.push(index);
        }
        let mut hosts: Vec<Host> = Vec::new();
        for host in evidence.hosts.iter().filter(|_| evidence.model >= 4) {
            let mut placed: Vec<(usize, u32)> =
                host.services.iter().filter_map(|placed| Some((inside(placed.node)?, placed.of))).collect();
            placed.sort();
            placed.dedup_by_key(|(node, _)| *node);
            if placed.len() >= 2 {
                for &(node, of) in &placed {
                    nodes[node].hosts.push((hosts.len(), 1.0 / f64::from(of.max(1))));
                }
                hosts.push(Host { name: &host.name, services: placed.into_iter().map(|(node, _)| node).collect() });
            }
        }
        let mut targets: Vec<usize> = evidence.targets.iter().filter_map(|&target| inside(target)).collect();
        targets.sort();
        targets.dedup();
        let changes = evidence.changes.iter().filter_map(|change| Some((inside(change.node)?, change))).collect();
        let window_s = clamp(evidence.window as f64 / 1000.0, 0.001, 86_400.0);
        Scene {
            nodes,
            edges,
            hosts,
            targets,
            changes,
            onset: evidence.onset,
            window_s,
            first: evidence.model == 0,
            looks_ahead: evidence.model >= 2,
            knows_hosts: evidence.model >= 4,
            taught: Taught::new(evidence),
            habits: Habits::new(evidence),
        }
    }

    /// Whether nobody knows what any violated service depends on: spans would tell, also that it calls nobody.
    pub fn is_blind(&self) -> bool {
        if self.first {
            return false;
        }
        let traced = |node: &Node| node.telemetry != Telemetry::Peer && node.step == 0.0;
        self.targets.iter().map(|&target| &self.nodes[target]).all(|node| node.calls.is_empty() && !traced(node))
    }

    /// Services that are neither violated nor known to call one that is.
    pub fn suspects(&self) -> impl Iterator<Item = usize> {
        let suffers = |&(index, node): &(usize, &Node)| {
            let calls_target = |&edge: &usize| self.targets.binary_search(&self.edges[edge].server).is_ok();
            self.targets.binary_search(&index).is_ok() || node.calls.iter().any(calls_target)
        };
        self.nodes.iter().enumerate().filter(move |it| !suffers(it)).map(|(index, _)| index)
    }

    /// Calls that wait for their answer, of which `node` is the client.
    pub fn waits_for(&self, node: usize) -> impl Iterator<Item = (usize, &Edge)> {
        self.nodes[node].calls.iter().map(|&edge| (edge, &self.edges[edge])).filter(|(_, edge)| !edge.asynchronous)
    }
}

impl<'a> Node<'a> {
    fn new(node: &'a NodeEvidence) -> Node<'a> {
        let mut traffic = Quantity::new(&node.traffic);
        if node.telemetry == Telemetry::Silent && traffic.known {
            // What a silent service served last is not what it serves now.
            traffic.seen = 0.0;
            traffic.z = float::min(traffic.z, 0.0);
        }
        Node {
            name: &node.entity,
            telemetry: node.telemetry,
            traffic,
            latency: Quantity::new(&node.latency),
            self_time: Quantity::new(&node.self_time),
            errors: Quantity::new(&node.errors),
            own_errors: Quantity::new(&node.own_errors),
            error_logs: Quantity::new(&node.error_logs),
            new_logs: Quantity::new(&node.new_logs),
            missing_logs: Quantity::new(&node.missing_logs),
            resources: &node.resources,
            onset: node.onset,
            step: clamp(node.step as f64, 0.0, 86_400_000.0),
            calls: vec![],
            called: vec![],
            hosts: vec![],
        }
    }

    /// Whether only an alert names it: a host, a job without traces, or the alert itself.
    pub fn is_unheard_of(&self) -> bool {
        self.telemetry == Telemetry::Peer && self.calls.is_empty() && self.called.is_empty()
    }

    /// Whether what it says of itself is of now.
    pub fn reports(&self) -> bool {
        self.telemetry == Telemetry::Reporting
    }
}
