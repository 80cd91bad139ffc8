//! The explanation of an incident: causes with posteriors, and what each rests on.
use super::strengths::Passed;
use crate::canonical_struct;
use crate::ids::IncidentId;
use crate::time::Millis;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// The answer to an explanation.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The incident.
    pub incident: IncidentId,
    /// The `revision` of the evidence it answers.
    pub revision: u64,
    /// Rule time at which the evidence was frozen.
    pub at: Millis,
    /// No cause deserves belief: `causes` are the best of a flat field.
    pub unknown: bool,
    /// Whether what came of enough first causes of about this posterior is known.
    pub calibrated: bool,
    /// Causes, most responsible first; at most 5.
    pub causes: Vec<Cause>,
    /// One sentence for the person who was paged.
    pub summary: String,
    /// Why the first cause and not the second; `""` with fewer than two.
    pub why_not_second: String,
    /// How it was computed, such as `junction tree, 42 variables, 810 entries`.
    pub method: String,
    /// What could not be seen, in words.
    pub unseen: Vec<String>,
    /// What would be otherwise had a cause been healthy, for each of the first few; evidence of models before 2 has none.
    pub what_ifs: Vec<WhatIf>,
    /// What would be worth knowing next, most telling first; empty where nothing much is open.
    pub checks: Vec<Check>,
    /// What came of first causes of about this posterior; none where no cause deserves belief, and of models before 3.
    pub reliability: Option<Box<Reliability>>,
    /// What it saw of how calls pass trouble on, for learning, in the order of caller and callee; evidence of models before 4 has none.
    pub passed: Vec<Passed>,
}
canonical_struct!(Verdict {
    incident,
    revision,
    at,
    unknown,
    calibrated,
    causes,
    summary,
    why_not_second,
    method,
    unseen;
    what_ifs,
    checks,
    reliability,
    passed,
});

/// Verdicts, and how many of them named the right cause first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub cases: u32,
    /// Of these right.
    pub right: u32,
}
canonical_struct!(Tally { cases, right });

/// How far first causes of about one posterior can be trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct Reliability {
    /// Recorded incidents of other estates, of about this posterior.
    pub elsewhere: Tally,
    /// Incidents of this estate that were closed, of about this posterior.
    pub here: Tally,
    /// Cases of any posterior elsewhere.
    pub cases_elsewhere: u32,
    /// The same here.
    pub cases_here: u32,
    /// The share that is right lies between these, 0 to 1, with a confidence of 90 % (Wilson's interval); 0 and 1 without cases.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}
canonical_struct!(Reliability { elsewhere, here, cases_elsewhere, cases_here, low, high });

/// One candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// The service, the way `client -> server`, or the host.
    pub entity: String,
    /// `slow`, `errors`, `stopped`, `resources` or `unspecified`; `host` where it is what several services run on.
    pub kind: String,
    /// P(own fault | evidence), 0 to 1.
    pub posterior: f64,
    /// Posterior times the strength of the path to the violated service: the ranking key.
    pub responsibility: f64,
    /// Share of the violated service's excess that begins here, 0 to 1.
    pub share: f64,
    /// When it is thought to have begun.
    pub onset: Option<Millis>,
    /// From the violated service to this one.
    pub path: Vec<PathStep>,
    /// What each piece of evidence added, largest first.
    pub evidence: Vec<Contribution>,
}
canonical_struct!(Cause { entity, kind, posterior, responsibility, share, onset, path, evidence });

/// One step of a propagation path.
#[derive(Clone, Debug, PartialEq)]
pub struct PathStep {
    /// The caller, nearer to the violated service.
    pub client: String,
    /// The callee, nearer to the cause.
    pub server: String,
    /// Share of the caller's excess that the callee explains, 0 to 1.
    pub explained: f64,
    /// Onset of the caller less that of the callee, in ms; none where either is not known.
    pub lag: Option<i64>,
}
canonical_struct!(PathStep { client, server, explained, lag });

/// What one piece of evidence added to a candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// In words, with figures: `self time 12 ms -> 410 ms (z 38)`.
    pub what: String,
    /// Log-likelihood ratio in favour, in nats.
    pub nats: f64,
}
canonical_struct!(Contribution { what, nats });

/// What would have been, had one service not been at fault and all else come as it did: a counterfactual.
#[derive(Clone, Debug, PartialEq)]
pub struct WhatIf {
    /// The service that would be healthy.
    pub entity: String,
    /// How many services are violated.
    pub violated: u64,
    /// How many of those would rather be well.
    pub well: u64,
    /// Violated services, the first in line to be violated all the same first; at most 10.
    pub services: Vec<Still>,
}
canonical_struct!(WhatIf { entity, violated, well, services });

/// A violated service in another world.
#[derive(Clone, Debug, PartialEq)]
pub struct Still {
    /// The service.
    pub entity: String,
    /// P(it would be degraded all the same), 0 to 1.
    pub degraded: f64,
}
canonical_struct!(Still { entity, degraded });

/// Something that is not known and would tell much.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What to look at: a service, or the way `client -> server`.
    pub entity: String,
    /// What to find out, as a question that is answered by yes or no.
    pub question: String,
    /// P(yes), 0 to 1.
    pub likely: f64,
    /// Share of the entropy over all causes that the answer is expected to take away, 0 to 1.
    pub cut: f64,
    /// Who then comes first, if the answer is yes.
    pub yes: Leader,
    /// Who then comes first, if it is no.
    pub no: Leader,
}
canonical_struct!(Check { entity, question, likely, cut, yes, no });

/// The first cause after an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Leader {
    /// The cause.
    pub entity: String,
    /// P(own fault | evidence and answer), 0 to 1.
    pub posterior: f64,
}
canonical_struct!(Leader { entity, posterior });
