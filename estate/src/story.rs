//! What goes wrong, when, and what is there to mislead.
use crate::plan::{Plan, Role, SITES, below, unit};
use faultline_host::Random;
use faultline_model::{ChangeEvent, Millis};

/// Kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Accepts work and completes none: its callers run into their time-outs and try again.
    Silent,
    /// Its own work takes many times as long.
    Latency,
    /// Fails a share of its requests at once.
    Errors,
    /// A release makes it slow or lets requests fail, while another, harmless release goes out beside it.
    Deploy,
    /// Its process ends, is started again, and ends again: connections to it are refused meanwhile, and it tells nothing.
    Crash,
    /// It runs out of processor time and memory and becomes slower and slower.
    Resources,
    /// Two services go wrong at once, each in its own way.
    Two,
    /// Goes wrong in a service that never sends telemetry.
    Unseen,
    /// A host is overloaded: all that runs there becomes slow.
    Host,
    /// Nothing goes wrong.
    None,
}

impl Fault {
    /// All that go wrong, in the order in which they are told.
    pub const ALL: [Fault; 9] = [
        Fault::Silent,
        Fault::Latency,
        Fault::Errors,
        Fault::Deploy,
        Fault::Crash,
        Fault::Resources,
        Fault::Two,
        Fault::Unseen,
        Fault::Host,
    ];

    /// The word in outputs.
    pub fn word(self) -> &'static str {
        match self {
            Fault::Silent => "silent",
            Fault::Latency => "latency",
            Fault::Errors => "errors",
            Fault::Deploy => "deploy",
            Fault::Crash => "crash",
            Fault::Resources => "resources",
            Fault::Two => "two",
            Fault::Unseen => "unseen",
            Fault::Host => "host",
            Fault::None => "none",
        }
    }
}

/// What is wrong with one service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// It takes work and finishes none.
    Stuck,
    /// Its own work takes this many times as long.
    Slow(f64),
    /// This share of its requests fails.
    Failing(f64),
    /// It is down but for moments after each start.
    Crashing,
    /// Its own work takes up to this many times as long, as it runs out of processor time and memory.
    Exhausted(f64),
}

/// A service at fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Culprit {
    /// Index into the plan's services.
    pub service: usize,
    /// What is wrong with it.
    pub trouble: Trouble,
}

/// How long a crashed process stays down before each start, in ms: the waits of the kubelet, which double.
const DOWN_MS: [f64; 3] = [10_000.0, 20_000.0, 40_000.0];
/// How long it then works until it crashes again, in ms.
const UP_MS: f64 = 3_000.0;
/// How long it takes until a resource is used up, in ms.
const EXHAUSTION_MS: f64 = 15_000.0;

impl Trouble {
    /// Whether a process in this trouble is down so many ms after the onset.
    pub fn is_down(self, since_ms: f64) -> bool {
        if self != Trouble::Crashing || since_ms < 0.0 {
            return false;
        }
        let mut at = since_ms;
        for start in 0.. {
            let down = DOWN_MS[usize::min(start, DOWN_MS.len() - 1)];
            if at < down {
                return true;
            }
            at -= down;
            if at < UP_MS {
                return false;
            }
            at -= UP_MS;
        }
        false
    }

    /// Share of a resource that is used up so many ms after the onset, 0 to 1.
    pub fn used_up(self, since_ms: f64) -> f64 {
        if matches!(self, Trouble::Exhausted(_)) { (since_ms / EXHAUSTION_MS).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Times the service's own work takes as long so many ms after the onset.
    pub fn slower(self, since_ms: f64) -> f64 {
        match self {
            Trouble::Slow(times) => times,
            Trouble::Exhausted(times) => 1.0 + (times - 1.0) * self.used_up(since_ms),
            _ => 1.0,
        }
    }

    /// In words, for people who check a verdict.
    pub fn words(self) -> String {
        match self {
            Trouble::Stuck => "it takes work and finishes none".into(),
            Trouble::Slow(times) => format!("its own work takes {times:.0} times as long"),
            Trouble::Failing(share) => format!("{:.0} % of its requests fail", share * 100.0),
            Trouble::Crashing => "its process ends, again after each start".into(),
            Trouble::Exhausted(times) => {
                format!("it runs out of processor time and memory, its work takes up to {times:.0} times as long")
            }
        }
    }
}

/// What really happened; the server never sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// The services at fault, or the host; none for [`Fault::None`].
    pub culprits: Vec<String>,
    /// What went wrong.
    pub fault: Fault,
    /// When it began.
    pub onset: Millis,
}

impl Truth {
    /// Whether this service was at fault.
    pub fn blames(&self, service: &str) -> bool {
        self.culprits.iter().any(|culprit| culprit == service)
    }
}

/// A run of the estate.
#[derive(Clone, Debug)]
pub struct Story {
    /// The estate.
    pub plan: Plan,
    /// What goes wrong.
    pub fault: Fault,
    /// Where, and how; nowhere under [`Fault::None`].
    pub culprits: Vec<Culprit>,
    /// When.
    pub onset: Millis,
    /// Changes that are announced around the onset. Only under [`Fault::Deploy`] one of them is to blame.
    pub changes: Vec<ChangeEvent>,
    /// Drives every draw of the run.
    pub seed: u64,
}

/// What a service's version is before and after a release.
pub const VERSIONS: [&str; 2] = ["2.4.0", "2.4.1"];

impl Story {
    /// The demo: the SWIFT gateway malfunctions at `onset`, or what the fault asks for happens in one of the services
    /// that its story needs.
    pub fn demo(seed: u64, fault: Fault, onset: Millis) -> Story {
        let mut random = Random::seeded(seed);
        let plan = Plan::consortium(&mut random);
        let culprits: &[&str] = match fault {
            Fault::Silent | Fault::None => &["swift-gateway"],
            Fault::Latency => &["core-banking"],
            Fault::Errors => &["fraud"],
            Fault::Deploy => &["sanctions"],
            Fault::Crash => &["auth"],
            Fault::Resources => &["accounts"],
            Fault::Two => &["ledger-db", "risk"],
            Fault::Unseen => &["fx-feed"],
            Fault::Host => &["fraud"],
        };
        let mut culprits: Vec<usize> =
            culprits.iter().map(|name| plan.find(name).expect("the consortium has it")).collect();
        if fault == Fault::Host {
            culprits = plan.hosted(plan.services[culprits[0]].host);
        }
        Story::of(plan, fault, culprits, onset, seed, &mut random)
    }

    /// A story nobody has seen: names, culprits and size drawn from the seed.
    pub fn drawn(seed: u64, fault: Fault, onset: Millis) -> Story {
        Story::drawn_of(seed, fault, onset, SITES)
    }

    /// The same in an estate of so many sites.
    pub fn drawn_of(seed: u64, fault: Fault, onset: Millis, sites: usize) -> Story {
        let mut random = Random::seeded(seed ^ 0x5eed_0000_0000_0000);
        let mut plan = Plan::of_sites(&mut random, sites).renamed(&mut random);
        let mut suspects = plan.suspects();
        if fault == Fault::Unseen {
            // Of one that sends nothing and that nobody waits for, nobody could know.
            suspects.retain(|&at| plan.is_waited_for(at));
        }
        if fault == Fault::Host {
            let hosts = plan.suspected_hosts();
            let hosted = plan.hosted(hosts[below(&mut random, hosts.len())]);
            return Story::of(plan, fault, hosted, onset, seed, &mut random);
        }
        let mut culprits = vec![suspects.swap_remove(below(&mut random, suspects.len()))];
        if fault == Fault::Two {
            culprits.push(suspects.swap_remove(below(&mut random, suspects.len())));
        }
        if fault == Fault::Unseen {
            plan.services[culprits[0]].role = Role::Mute;
        }
        Story::of(plan, fault, culprits, onset, seed, &mut random)
    }

    fn of(plan: Plan, fault: Fault, services: Vec<usize>, onset: Millis, seed: u64, random: &mut Random) -> Story {
        // A release of a service that has nothing to do with it, some seconds before the onset.
        let innocent: Vec<usize> = (0..plan.services.len())
            .filter(|i| !services.contains(i) && !matches!(plan.services[*i].role, Role::Mute | Role::Gateway))
            .collect();
        let mut decoy = innocent[below(random, innocent.len())];
        let slower = 12.0 + 18.0 * unit(random);
        let failing = 0.4 + 0.5 * unit(random);
        let mut drawn = || match below(random, 3) {
            0 => Trouble::Stuck,
            1 => Trouble::Slow(slower),
            _ => Trouble::Failing(failing),
        };
        let troubles = match fault {
            Fault::Silent => vec![Trouble::Stuck],
            Fault::Latency => vec![Trouble::Slow(slower)],
            Fault::Errors => vec![Trouble::Failing(failing)],
            Fault::Crash => vec![Trouble::Crashing],
            Fault::Resources => vec![Trouble::Exhausted(slower)],
            Fault::Two => vec![drawn(), drawn()],
            Fault::Unseen => vec![drawn()],
            // Each gets a part of the processor, so none is as slow as by a fault of its own.
            Fault::Host => vec![Trouble::Slow(slower / 2.0); services.len()],
            Fault::None => Vec::new(),
            // What tests let through: not so bad as to be seen at once.
            Fault::Deploy => {
                vec![if below(random, 2) == 0 { Trouble::Slow(slower / 2.0) } else { Trouble::Failing(failing / 2.0) }]
            }
        };
        let release = |service: usize, before_ms: i64| ChangeEvent {
            entity: plan.services[service].name.clone(),
            kind: "deploy".into(),
            title: "routine release".into(),
            version: VERSIONS[1].into(),
            at: onset.plus(-before_ms),
            by: "pipeline".into(),
        };
        let mut changes = Vec::new();
        if fault == Fault::Deploy {
            // The harmless release is of a neighbour: one that calls the culprit or is called by it.
            let culprit = services[0];
            let calls = |from: usize, to: usize| plan.services[from].calls.iter().any(|call| call.to == to);
            let near: Vec<usize> =
                innocent.into_iter().filter(|&other| calls(other, culprit) || calls(culprit, other)).collect();
            if !near.is_empty() {
                decoy = near[below(random, near.len())];
            }
            changes.push(release(culprit, 3_000));
        }
        changes.push(release(decoy, 5_000));
        changes.sort_by_key(|change| change.at);
        let culprits = services.into_iter().zip(troubles).map(|(service, trouble)| Culprit { service, trouble });
        Story { fault, culprits: culprits.collect(), onset, changes, seed, plan }
    }

    /// What is wrong with a service at an instant in ms, and for how many ms it has been so.
    pub fn trouble(&self, service: usize, at_ms: f64) -> Option<(Trouble, f64)> {
        let since = at_ms - self.onset.0 as f64;
        let culprit = self.culprits.iter().find(|culprit| culprit.service == service && since >= 0.0)?;
        Some((culprit.trouble, since))
    }

    /// Whether a service's process is down at an instant in ms.
    pub fn is_down(&self, service: usize, at_ms: f64) -> bool {
        self.trouble(service, at_ms).is_some_and(|(trouble, since)| trouble.is_down(since))
    }

    /// Which release of a service runs.
    pub fn version(&self, service: usize, at: Millis) -> &'static str {
        let name = &self.plan.services[service].name;
        VERSIONS[usize::from(self.changes.iter().any(|change| change.entity == *name && change.at <= at))]
    }

    /// What really happens.
    pub fn truth(&self) -> Truth {
        let services = self.culprits.iter().map(|culprit| &self.plan.services[culprit.service]);
        let mut culprits: Vec<String> = match self.fault {
            Fault::Host => services.map(|service| self.plan.hosts[service.host].clone()).collect(),
            _ => services.map(|service| service.name.clone()).collect(),
        };
        culprits.dedup();
        let culprits = culprits.into_iter();
        Truth { culprits: culprits.collect(), fault: self.fault, onset: self.onset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crashed_process_comes_up_for_moments_at_ever_longer_intervals() {
        let down = |s: f64| Trouble::Crashing.is_down(s * 1_000.0);
        for (s, expected) in [
            (-1.0, false),
            (0.0, true),
            (9.9, true),
            (10.1, false),
            (13.1, true),
            (32.9, true),
            (33.1, false),
            (36.1, true),
        ] {
            assert_eq!(down(s), expected, "{s}");
        }
        assert!(!Trouble::Stuck.is_down(1.0));
    }

    #[test]
    fn each_kind_of_fault_has_its_culprits() {
        for (fault, culprits) in Fault::ALL.into_iter().map(|fault| (fault, 1 + usize::from(fault == Fault::Two))) {
            for seed in 1..=20 {
                for story in [Story::drawn(seed, fault, Millis(0)), Story::demo(seed, fault, Millis(0))] {
                    let truth = story.truth();
                    assert_eq!(truth.culprits.len(), culprits, "{fault:?}");
                    let blamed = story.changes.iter().filter(|change| truth.blames(&change.entity)).count();
                    assert_eq!((blamed, story.changes.len()), if fault == Fault::Deploy { (1, 2) } else { (0, 1) });
                    let mute = story.plan.services[story.culprits[0].service].role == Role::Mute;
                    assert_eq!(mute, fault == Fault::Unseen);
                }
            }
        }
        assert!(Story::drawn(1, Fault::None, Millis(0)).truth().culprits.is_empty());
    }
}
