//! What `step` freezes for an explanation: all that a verdict may rest on, so that anyone can recompute it.
use super::lessons::{EventCount, Learnt};
use super::strengths::Strengths;
use super::verdict::Tally;
use crate::ids::IncidentId;
use crate::time::Millis;
use crate::{canonical_enum, canonical_struct};
use alloc::string::String;
use alloc::vec::Vec;

/// Frozen evidence of one incident. Nodes are in name order; edges in `(client, server)` order.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The incident.
    pub incident: IncidentId,
    /// Counts the explanations asked for this incident, from 1.
    pub revision: u64,
    /// Rule time at which it was frozen.
    pub at: Millis,
    /// Earliest onset among the incident's alerts and the anomalies beside them.
    pub onset: Millis,
    /// Length of the windows that `now` figures cover, in ms.
    pub window: i64,
    /// Services of the incident's part of the graph.
    pub nodes: Vec<NodeEvidence>,
    /// Calls between them, client to server.
    pub edges: Vec<EdgeEvidence>,
    /// Indices of the nodes whose objective is violated: those with a firing alert on errors, latency or traffic.
    pub targets: Vec<u32>,
    /// Changes on these services in the last hours.
    pub changes: Vec<ChangeEvidence>,
    /// What could not be seen.
    pub coverage: Coverage,
    /// What closed incidents have taught about events like those here; none before the first was.
    pub learnt: Option<Learnt>,
    /// The model by which it is to be explained: 0 is that of engine versions up to 8, 1 that of version 9, 2 that of version 10, 3 that of version 11, 4 that of version 12 on.
    pub model: u32,
    /// What came of first causes of incidents that were closed here, by posterior; empty where none was.
    pub reliability: Vec<Tally>,
    /// Hosts on which two or more of the services run, in name order.
    pub hosts: Vec<HostEvidence>,
    /// How strongly the calls here pass trouble on, as far as that was learned; none before any was, and of models before 4.
    pub strengths: Option<Strengths>,
}
canonical_struct!(Evidence {
    incident,
    revision,
    at,
    onset,
    window,
    nodes,
    edges,
    targets,
    changes,
    coverage;
    learnt,
    model,
    reliability,
    hosts,
    strengths
});

/// A host, and what runs on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostEvidence {
    /// Its name, as its services' resources tell it.
    pub name: String,
    /// Services that run on it, in node order.
    pub services: Vec<Placed>,
}
canonical_struct!(HostEvidence { name, services });

/// A service on a host.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Placed {
    /// Index in `nodes`.
    pub node: u32,
    /// On how many hosts it runs, this one included.
    pub of: u32,
}
canonical_struct!(Placed { node, of });

/// A quantity before and now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shift {
    /// What the baseline expects, in the quantity's unit.
    pub expected: f64,
    /// Mean over the incident's window, in the quantity's unit.
    pub seen: f64,
    /// Robust z-score of `seen`, signed; 0 where there is no baseline yet.
    pub z: f64,
    /// Requests behind `seen`.
    pub count: f64,
}
canonical_struct!(Shift { expected, seen, z, count });

impl Shift {
    /// `seen - expected`.
    pub fn rise(&self) -> f64 {
        self.seen - self.expected
    }
}

/// How a service is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Telemetry {
    /// It sends its own telemetry.
    #[default]
    Reporting,
    /// It did, and has stopped.
    Silent,
    /// It never has: only its callers tell of it.
    Peer,
}
canonical_enum!(Telemetry { Reporting = 1, Silent = 2, Peer = 3 });

/// One service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeEvidence {
    /// Its name.
    pub entity: String,
    /// How it is seen.
    pub telemetry: Telemetry,
    /// Requests served, per second.
    pub traffic: Shift,
    /// Mean latency as it saw it, in ms.
    pub latency: Shift,
    /// Mean latency less what its callees took, in ms per request.
    pub self_time: Shift,
    /// Failed requests as a share of all, as it saw them.
    pub errors: Shift,
    /// Failed requests that no failed call of its own explains, as a share of all.
    pub own_errors: Shift,
    /// Error log records per second.
    pub error_logs: Shift,
    /// When it is thought to have left its baseline; none where it has not.
    pub onset: Option<Millis>,
    /// Names of its firing alerts, in name order.
    pub alerts: Vec<String>,
    /// Time between two of its figures where they come by scrape, in ms; 0 where they are of spans.
    pub step: i64,
    /// Kinds of log records that it had not written before, since shortly before the onset; those that warn count three times.
    pub new_logs: Shift,
    /// Resources that its instances use, each once, in the order of [`Resource`]: of several instances the one furthest off.
    pub resources: Vec<ResourceEvidence>,
    /// Events that it told of since shortly before the onset, in name order.
    pub events: Vec<EventCount>,
    /// The most overdue line of its log: how many records of it the requests since its last one should have brought, and of how many lines
    /// it is the most overdue (`count`); 0 where none is.
    pub missing_logs: Shift,
}
// Evidence from before engine version 8 has none of the last five, from before version 9 not the last three, from before version 12 not the last.
canonical_struct!(NodeEvidence {
    entity,
    telemetry,
    traffic,
    latency,
    self_time,
    errors,
    own_errors,
    error_logs,
    onset,
    alerts;
    step,
    new_logs,
    resources,
    events,
    missing_logs
});

/// What an instance of a service uses of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Processor time, in cores.
    Cpu,
    /// Processor time as a share of its limit.
    CpuShare,
    /// Memory that cannot be reclaimed at once, in bytes.
    Memory,
    /// The same as a share of its limit.
    MemoryShare,
    /// Time for which it was kept from running, in s per s.
    Throttled,
    /// Times that it was started anew, per window.
    Restarts,
}
canonical_enum!(Resource { Cpu = 1, CpuShare = 2, Memory = 3, MemoryShare = 4, Throttled = 5, Restarts = 6 });

impl Resource {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Cpu | Resource::CpuShare => "CPU",
            Resource::Memory | Resource::MemoryShare => "memory",
            Resource::Throttled => "CPU throttling",
            Resource::Restarts => "restarts",
        }
    }
}

/// A resource before and now.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceEvidence {
    /// Which.
    pub resource: Resource,
    /// The instance: pod and container, or the scraped instance.
    pub instance: String,
    /// How much of it is used, in the resource's unit; `count` are the windows behind `seen`.
    pub used: Shift,
    /// The most that it may use, in the resource's unit; 0 where that is not known.
    pub limit: f64,
}
canonical_struct!(ResourceEvidence { resource, instance, used, limit });

/// Calls from one service to another, as the client saw them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EdgeEvidence {
    /// Index of the caller in `nodes`.
    pub client: u32,
    /// Index of the callee in `nodes`.
    pub server: u32,
    /// Calls per second.
    pub traffic: Shift,
    /// Mean latency as the client saw it, in ms.
    pub latency: Shift,
    /// Failed calls as a share of all, as the client saw them.
    pub errors: Shift,
    /// Client's latency less the server's, in ms: the way between them. `count` 0 where only one side reports.
    pub gap: Shift,
    /// Whether the callee works on a message after the caller has gone on (a queue): latency does not flow back.
    pub asynchronous: bool,
    /// Whether nobody counts these calls: they were declared, and the figures of both ends stand in for theirs.
    pub unmeasured: bool,
}
canonical_struct!(EdgeEvidence { client, server, traffic, latency, errors, gap, asynchronous; unmeasured });

/// A change on a service.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeEvidence {
    /// Index in `nodes`.
    pub node: u32,
    /// `deploy`, `config`, ...
    pub kind: String,
    /// What was changed.
    pub title: String,
    /// When.
    pub at: Millis,
}
canonical_struct!(ChangeEvidence { node, kind, title, at });

/// What could not be seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Services that only their callers tell of, in name order.
    pub unseen: Vec<String>,
    /// Services that have stopped sending, in name order.
    pub silent: Vec<String>,
    /// Share of server spans whose client span was never seen, 0 to 1.
    pub unpaired: f64,
    /// Whether any span carried a sampling threshold or flag that makes rates unknown.
    pub sampled: bool,
    /// Nodes left out because the part of the graph was larger than the bound.
    pub left_out: u64,
}
canonical_struct!(Coverage { unseen, silent, unpaired, sampled, left_out });
