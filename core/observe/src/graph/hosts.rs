//! Where services run: on which hosts, as the resources of their telemetry tell (`k8s.node.name`, else `host.name`).
//!
//! What two services share that never call each other is mostly the host: a neighbour that takes all of its processor, a disk or a link
//! that fails. So a host is a cause of its own in a verdict (Sherlock's shared components; Bahl et al., SIGCOMM 2007).
//!
//! A resource costs a look-up; its row is written once in [`REFRESH`].
use super::Graph;
use super::index::mix;
use super::keyed::{About, Keyed};
use super::limits::{HOSTED, HOSTS_OF_SERVICE, NAME_SIZE, PLACEMENTS};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::facts::{HostEvidence, NodeEvidence, Placed};
use faultline_model::{Millis, canonical_struct, float, freeze_by_copy};

/// How far behind the time of a placement may be, in ms.
const REFRESH: i64 = 10_000;
/// How long before an onset a service may last have told of a host and still count as running there, in ms: a host that is down tells
/// nothing any more.
const STAYS: i64 = 900_000;

/// A service on a host.
#[derive(Clone, Debug)]
pub struct Placement {
    service: u32,
    host: String,
    last: Millis,
}
canonical_struct!(Placement { service, host, last });
freeze_by_copy!(Placement);

impl About for Placement {
    const TABLE: &'static str = "hosts";
    const MOST: usize = PLACEMENTS;

    fn hash(&self, seed: u64) -> u64 {
        mix(seed, u64::from(self.service), super::events::key(&self.host, seed))
    }

    fn service(&self) -> u32 {
        self.service
    }

    fn used(&self) -> Millis {
        self.last
    }
}

/// All services on all hosts.
pub type Hosts = Keyed<Placement>;

impl Hosts {
    /// Notes that a service tells at rule time `at` that it runs on `host`; false where there is no room for one more host, or its
    /// name is too long.
    #[must_use]
    pub fn note(&mut self, service: u32, host: &str, at: Millis) -> bool {
        let hash = mix(self.seed(), u64::from(service), super::events::key(host, self.seed()));
        match self.find(hash, |it| it.service == service && it.host == host) {
            Some(row) if at.since(self.get(row).last) < REFRESH => {}
            Some(row) => self.row_mut(row).last = at,
            None if self.is_full() || host.len() > NAME_SIZE => return false,
            None => {
                self.insert(Placement { service, host: host.into(), last: at });
            }
        }
        true
    }

    /// The services on each host, of those told of since `from`, with the number of hosts of each. Who runs on more than
    /// [`HOSTS_OF_SERVICE`] is left out: no host of so many makes it slow.
    fn since(&self, from: Millis) -> BTreeMap<&str, BTreeMap<u32, u32>> {
        let mut of: BTreeMap<u32, u32> = BTreeMap::new();
        let told = || self.iter().map(|(_, it)| it).filter(|it| it.last >= from);
        told().for_each(|it| *of.entry(it.service).or_default() += 1);
        let mut hosts: BTreeMap<&str, BTreeMap<u32, u32>> = BTreeMap::new();
        for it in told().filter(|it| of[&it.service] <= HOSTS_OF_SERVICE) {
            hosts.entry(&it.host).or_default().insert(it.service, of[&it.service]);
        }
        hosts
    }
}

impl Graph {
    /// Services beside those of `near` that run on a host on which two or more services are off their baselines, one of `near` among
    /// them: how they fare tells whether it is the host. The furthest off first, at most [`HOSTED`].
    pub(super) fn hosted_beside(&self, near: &BTreeSet<u32>, onset: Millis, strength: impl Fn(u32) -> f64) -> Vec<u32> {
        if self.hosts.is_empty() {
            return Vec::new();
        }
        let is_off = |id: &&u32| self.services.get(**id).is_anomalous();
        let mut beside: BTreeSet<u32> = BTreeSet::new();
        for services in self.hosts.since(onset.plus(-STAYS)).values() {
            let off: Vec<&u32> = services.keys().filter(is_off).collect();
            if off.len() >= 2 && off.iter().any(|id| near.contains(id)) {
                beside.extend(services.keys().filter(|id| !near.contains(id)));
            }
        }
        let name = |id: u32| &self.services.get(id).entity;
        let mut beside: Vec<(f64, u32)> = beside.into_iter().map(|id| (strength(id), id)).collect();
        beside.sort_by(|a, b| float::order(b.0, a.0).then_with(|| name(a.1).cmp(name(b.1))));
        beside.truncate(HOSTED);
        beside.into_iter().map(|(_, id)| id).collect()
    }

    /// Hosts on which two or more of `nodes` run. What an alert names as a host does is told of it, too.
    pub(super) fn host_evidence(&self, nodes: &[NodeEvidence], onset: Millis) -> Vec<HostEvidence> {
        if self.hosts.is_empty() {
            return Vec::new();
        }
        let index = |id: &u32| {
            let entity = &self.services.get(*id).entity;
            nodes.binary_search_by(|node| node.entity.cmp(entity)).ok().map(|node| node as u32)
        };
        let hosts = self.hosts.since(onset.plus(-STAYS)).into_iter().filter_map(|(name, services)| {
            let mut services: Vec<Placed> =
                services.iter().filter_map(|(id, &of)| Some(Placed { node: index(id)?, of })).collect();
            if services.len() < 2 {
                return None;
            }
            let itself = nodes.binary_search_by(|node| node.entity.as_str().cmp(name)).ok();
            services.extend(itself.map(|node| Placed { node: node as u32, of: 1 }));
            services.sort_by_key(|placed| placed.node);
            services.dedup_by_key(|placed| placed.node);
            Some(HostEvidence { name: name.into(), services })
        });
        hosts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use faultline_model::table::PageBytes;
    use faultline_model::{Reader, Writer};

    #[test]
    fn services_are_told_by_the_hosts_that_they_last_ran_on() {
        let mut hosts = Hosts::new(7);
        let at = |s: i64| Millis(s * 1_000);
        for (service, host, s) in [(1, "a", 0), (2, "a", 1_000), (1, "b", 1_000), (3, "b", 1_001), (3, "b", 1_020)] {
            assert!(hosts.note(service, host, at(s)));
        }
        assert!(!hosts.note(1, &"x".repeat(NAME_SIZE + 1), at(1_020)), "too long a name");
        let told = |hosts: &Hosts, from: i64| -> Vec<(String, Vec<(u32, u32)>)> {
            let hosts = hosts.since(at(from)).into_iter();
            hosts.map(|(host, services)| (host.into(), services.into_iter().collect())).collect()
        };
        let all = [("a".into(), [(1, 2), (2, 1)].into()), ("b".into(), [(1, 2), (3, 1)].into())];
        assert_eq!(told(&hosts, 0), all);
        assert_eq!(told(&hosts, 1), [("a".into(), [(2, 1)].into()), ("b".into(), [(1, 1), (3, 1)].into())]);

        let mut w = Writer::default();
        hosts.write(&mut w);
        let (bytes, mut pages) = (w.into_bytes(), PageBytes::of([(Hosts::TABLE, hosts.table())]));
        let mut read = Hosts::read(&mut Reader::new(&bytes), &mut pages, 7).expect("it was just written");
        assert_eq!(told(&read, 0), all);
        read.forget(&[1]);
        assert_eq!(told(&read, 0), [("a".into(), [(2, 1)].into()), ("b".into(), [(3, 1)].into())]);
    }

    #[test]
    fn who_runs_everywhere_is_on_no_host() {
        let mut hosts = Hosts::new(7);
        for host in 0..=HOSTS_OF_SERVICE {
            assert!(hosts.note(1, &format!("{host}"), Millis(0)) && hosts.note(2, "0", Millis(0)));
        }
        let told = hosts.since(Millis(0));
        assert_eq!(told.into_iter().collect::<Vec<_>>(), [("0", BTreeMap::from([(2, 1)]))]);
    }
}
