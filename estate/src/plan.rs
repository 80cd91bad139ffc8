//! Who calls whom: the services of the estate and what a request does in each.
use faultline_host::Random;

/// What a service is for in the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes requests from people.
    Front,
    /// Works in the cloud.
    Cloud,
    /// The gateway to the mainframe.
    Gateway,
    /// Runs on the mainframe.
    Mainframe,
    /// Sends no telemetry at all: only its callers tell of it.
    Mute,
}

/// One service.
#[derive(Clone, Debug)]
pub struct Service {
    /// `service.name`.
    pub name: String,
    /// Index of its site.
    pub site: usize,
    /// What it is for.
    pub role: Role,
    /// Index of the host that it runs on.
    pub host: usize,
    /// Median of its own work per request, in ms.
    pub work_ms: f64,
    /// Share of requests that fail for no reason.
    pub failing: f64,
    /// Whom it calls, one after the other.
    pub calls: Vec<Call>,
}

/// One call of a service.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Index of the callee.
    pub to: usize,
    /// Share of requests that make it.
    pub share: f64,
    /// Whether the request goes on without an answer: the callee's work does not hold it up.
    pub asynchronous: bool,
}

/// The whole estate.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Names of the sites.
    pub sites: Vec<String>,
    /// Names of the hosts: one at each site, and the mainframe.
    pub hosts: Vec<String>,
    /// How far each site's clock is ahead, in ms.
    pub skew_ms: Vec<i64>,
    /// The services; callees have higher indices than their callers, so there are no cycles.
    pub services: Vec<Service>,
    /// Requests per second at each front.
    pub front_rate: f64,
}

/// Sites of the demo.
pub const SITES: usize = 12;
const CITIES: [&str; 20] = [
    "frankfurt",
    "london",
    "zurich",
    "newyork",
    "singapore",
    "tokyo",
    "sydney",
    "paris",
    "madrid",
    "toronto",
    "mumbai",
    "dubai",
    "seoul",
    "milan",
    "vienna",
    "oslo",
    "lisbon",
    "warsaw",
    "dublin",
    "santiago",
];

/// Shared services: name, role, median work in ms, calls by name with their share.
type Shared = (&'static str, Role, f64, &'static [(&'static str, f64)]);

const SHARED: [Shared; 16] = [
    ("auth", Role::Cloud, 4.0, &[("customer", 0.3)]),
    ("statement", Role::Cloud, 12.0, &[("accounts", 1.0)]),
    ("card-auth", Role::Cloud, 6.0, &[("fraud", 0.6), ("accounts", 1.0)]),
    ("sanctions", Role::Cloud, 9.0, &[("customer", 0.5)]),
    ("fraud", Role::Cloud, 11.0, &[("risk", 1.0), ("customer", 0.4)]),
    ("limits", Role::Cloud, 3.0, &[("accounts", 0.4)]),
    ("fx", Role::Cloud, 5.0, &[("fx-feed", 0.5)]),
    ("swift-gateway", Role::Gateway, 8.0, &[("mq-bridge", 1.0)]),
    ("accounts", Role::Cloud, 5.0, &[("core-banking", 0.5)]),
    ("risk", Role::Cloud, 7.0, &[]),
    ("fx-feed", Role::Mute, 6.0, &[]),
    ("mq-bridge", Role::Mainframe, 3.0, &[("core-banking", 1.0)]),
    ("core-banking", Role::Mainframe, 14.0, &[("ledger-db", 1.0)]),
    ("ledger-db", Role::Mainframe, 6.0, &[]),
    ("customer", Role::Cloud, 4.0, &[]),
    ("notify", Role::Cloud, 5.0, &[]),
];

/// Calls of a site's front and of its payments service: name, share, asynchronous. `payments` is the site's own.
const FRONT_CALLS: [(&str, f64); 4] = [("auth", 0.9), ("payments", 0.7), ("card-auth", 0.3), ("statement", 0.2)];
const PAYMENT_CALLS: [(&str, f64, bool); 6] = [
    ("limits", 0.8, false),
    ("fraud", 0.7, false),
    ("sanctions", 0.6, false),
    ("fx", 0.4, false),
    ("swift-gateway", 0.8, false),
    ("notify", 0.3, true),
];

impl Plan {
    /// The banking consortium: 12 sites, 40 services. The seed draws cities, clocks and small differences of speed.
    pub fn consortium(random: &mut Random) -> Plan {
        Plan::of_sites(random, SITES)
    }

    /// The same with more sites, each with two services of its own: `2 * sites + 16` in all.
    pub fn of_sites(random: &mut Random, sites: usize) -> Plan {
        let mut cities: Vec<String> = CITIES.iter().map(ToString::to_string).collect();
        cities.extend((CITIES.len()..sites).map(|number| format!("branch{number}")));
        let sites: Vec<String> = (0..sites).map(|_| cities.swap_remove(below(random, cities.len()))).collect();
        let skew_ms = sites.iter().map(|_| (unit(random) * 300.0 - 150.0) as i64).collect();
        let mut services = Vec::new();
        let shared = sites.len() * 2;
        let index_of = |name: &str| {
            shared + SHARED.iter().position(|(n, ..)| *n == name).expect("every call names a shared service")
        };
        for (site, city) in sites.iter().enumerate() {
            let calls = FRONT_CALLS
                .iter()
                .map(|&(name, share)| {
                    let to = if name == "payments" { sites.len() + site } else { index_of(name) };
                    Call { to, share, asynchronous: false }
                })
                .collect();
            services.push(Service {
                name: format!("web-{city}"),
                site,
                role: Role::Front,
                host: site,
                work_ms: 6.0,
                failing: 0.001,
                calls,
            });
        }
        for (site, city) in sites.iter().enumerate() {
            let calls = PAYMENT_CALLS
                .iter()
                .map(|&(name, share, asynchronous)| Call { to: index_of(name), share, asynchronous })
                .collect();
            let name = format!("payments-{city}");
            services.push(Service { name, site, role: Role::Cloud, host: site, work_ms: 8.0, failing: 0.002, calls });
        }
        for (number, (name, role, work_ms, calls)) in SHARED.into_iter().enumerate() {
            // The mainframe and its gateway stand at the first site, the others are spread.
            let site = if matches!(role, Role::Mainframe | Role::Gateway) { 0 } else { number % sites.len() };
            let calls =
                calls.iter().map(|&(to, share)| Call { to: index_of(to), share, asynchronous: false }).collect();
            let host = if role == Role::Mainframe { sites.len() } else { site };
            services.push(Service { name: name.to_string(), site, role, host, work_ms, failing: 0.001, calls });
        }
        for service in &mut services {
            service.work_ms *= 0.7 + 0.6 * unit(random);
        }
        // Many sites are small ones.
        let front_rate = if sites.len() > SITES { 0.5 } else { 2.0 };
        let hosts = sites.iter().map(|city| format!("node-{city}")).chain(["lpar-1".to_string()]).collect();
        Plan { sites, hosts, skew_ms, services, front_rate }
    }

    /// The same estate under names drawn anew: whoever keys on a name fails here.
    pub fn renamed(mut self, random: &mut Random) -> Plan {
        for service in &mut self.services {
            service.name = format!("s{:08x}", random.bits() as u32);
        }
        self.hosts = (0..self.hosts.len()).map(|host| format!("h{host:04}")).collect();
        self
    }

    /// Services on a host that send telemetry.
    pub fn hosted(&self, host: usize) -> Vec<usize> {
        let tells = |&at: &usize| self.services[at].host == host && self.services[at].role != Role::Mute;
        (0..self.services.len()).filter(tells).collect()
    }

    /// Hosts that can be at fault and be seen to be: three services or more run there, one of which others need.
    pub fn suspected_hosts(&self) -> Vec<usize> {
        let needed: Vec<usize> = self.suspects().into_iter().map(|at| self.services[at].host).collect();
        (0..self.hosts.len()).filter(|host| self.hosted(*host).len() >= 3 && needed.contains(host)).collect()
    }

    /// The service of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.services.iter().position(|service| service.name == name)
    }

    /// Whether some caller waits for its answers.
    pub fn is_waited_for(&self, service: usize) -> bool {
        self.services.iter().flat_map(|caller| &caller.calls).any(|call| call.to == service && !call.asynchronous)
    }

    /// Services that can be at fault and be seen to be: they are called, and take part in some share of requests.
    pub fn suspects(&self) -> Vec<usize> {
        let mut load = vec![0.0; self.services.len()];
        for (index, service) in self.services.iter().enumerate() {
            if service.role == Role::Front {
                load[index] = self.front_rate;
            }
            for call in &service.calls {
                load[call.to] += load[index] * call.share;
            }
        }
        let called = |&i: &usize| !matches!(self.services[i].role, Role::Front | Role::Mute) && load[i] >= 4.0;
        (0..self.services.len()).filter(called).collect()
    }
}

/// A whole number in `0..end`.
pub(crate) fn below(random: &mut Random, end: usize) -> usize {
    random.below(end as u64) as usize
}

/// A number in `0..1`, of 53 random bits.
pub(crate) fn unit(random: &mut Random) -> f64 {
    (random.bits() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_consortium_has_its_sites_and_no_cycle() {
        let plan = Plan::consortium(&mut Random::seeded(1));
        assert_eq!((plan.sites.len(), plan.services.len()), (12, 40));
        let names: std::collections::BTreeSet<&str> = plan.services.iter().map(|s| &*s.name).collect();
        assert_eq!(names.len(), 40);
        assert!(plan.skew_ms.iter().any(|&ms| ms > 50) && plan.skew_ms.iter().any(|&ms| ms < -50));
        for start in 0..plan.services.len() {
            let (mut seen, mut stack) = (vec![false; 40], vec![start]);
            while let Some(at) = stack.pop() {
                for call in &plan.services[at].calls {
                    assert_ne!(call.to, start, "{} calls itself", plan.services[start].name);
                    if !std::mem::replace(&mut seen[call.to], true) {
                        stack.push(call.to);
                    }
                }
            }
        }
        assert!(plan.suspects().len() >= 8, "{:?}", plan.suspects());
    }
}
