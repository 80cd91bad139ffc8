//! What goes wrong, when, and what is there to mislead.
use crate::plan::{Plan, Role, below, unit};
use faultline_host::Random;
use faultline_model::{ChangeEvent, Millis};

/// Kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Accepts work and completes none: its callers run into their time-outs and try again.
    Silent,
    /// Its own work takes this many times as long.
    Latency,
    /// Fails a share of its requests at once.
    Errors,
    /// Nothing goes wrong.
    None,
}

impl Fault {
    /// The word in outputs.
    pub fn word(self) -> &'static str {
        match self {
            Fault::Silent => "silent",
            Fault::Latency => "latency",
            Fault::Errors => "errors",
            Fault::None => "none",
        }
    }
}

/// What really happened; the server never sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// The service at fault; none for [`Fault::None`].
    pub culprit: Option<String>,
    /// What went wrong.
    pub fault: Fault,
    /// When it began.
    pub onset: Millis,
}

/// A run of the estate.
#[derive(Clone, Debug)]
pub struct Story {
    /// The estate.
    pub plan: Plan,
    /// What goes wrong.
    pub fault: Fault,
    /// Where, as an index into the plan's services.
    pub culprit: usize,
    /// When.
    pub onset: Millis,
    /// Times the culprit's own work takes as long, under [`Fault::Latency`].
    pub slower: f64,
    /// Share of requests that fail, under [`Fault::Errors`].
    pub failing: f64,
    /// Changes that were announced around the onset; none of them is to blame.
    pub decoys: Vec<ChangeEvent>,
    /// Drives every draw of the run.
    pub seed: u64,
}

impl Story {
    /// The demo: the SWIFT gateway malfunctions at `onset`, or what the fault asks for happens in one of the services
    /// that its story needs.
    pub fn demo(seed: u64, fault: Fault, onset: Millis) -> Story {
        let mut random = Random::seeded(seed);
        let plan = Plan::consortium(&mut random);
        let culprit = match fault {
            Fault::Latency => plan.find("core-banking"),
            Fault::Errors => plan.find("fraud"),
            Fault::Silent | Fault::None => plan.find("swift-gateway"),
        };
        Story::of(plan, fault, culprit.expect("the consortium has it"), onset, seed, &mut random)
    }

    /// A story nobody has seen: names, culprit and size drawn from the seed.
    pub fn drawn(seed: u64, fault: Fault, onset: Millis) -> Story {
        let mut random = Random::seeded(seed ^ 0x5eed_0000_0000_0000);
        let plan = Plan::consortium(&mut random).renamed(&mut random);
        let suspects = plan.suspects();
        let culprit = suspects[below(&mut random, suspects.len())];
        Story::of(plan, fault, culprit, onset, seed, &mut random)
    }

    fn of(plan: Plan, fault: Fault, culprit: usize, onset: Millis, seed: u64, random: &mut Random) -> Story {
        // A deploy on a service that has nothing to do with it, some seconds before the onset.
        let innocent: Vec<usize> = (0..plan.services.len())
            .filter(|&i| i != culprit && !matches!(plan.services[i].role, Role::Mute | Role::Gateway))
            .collect();
        let decoy = innocent[below(random, innocent.len())];
        let decoys = vec![ChangeEvent {
            entity: plan.services[decoy].name.clone(),
            kind: "deploy".into(),
            title: "routine release".into(),
            version: "2.4.1".into(),
            at: onset.plus(-5_000),
            by: "pipeline".into(),
        }];
        let slower = 12.0 + 18.0 * unit(random);
        let failing = 0.4 + 0.5 * unit(random);
        Story { plan, fault, culprit, onset, slower, failing, decoys, seed }
    }

    /// What really happens.
    pub fn truth(&self) -> Truth {
        let culprit = (self.fault != Fault::None).then(|| self.plan.services[self.culprit].name.clone());
        Truth { culprit, fault: self.fault, onset: self.onset }
    }
}
