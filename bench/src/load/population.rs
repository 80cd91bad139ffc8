//! The series: who sends them, what they are called, and how popular each is.
use super::random::Random;
use faultline_formats::encode::{Attributes, Value};

/// Series that differ in nothing but `replica`.
pub const REPLICAS: u32 = 10;
/// Services of the estate.
const SERVICES_MAX: u32 = 500;
const SITES: u32 = 12;
const REGIONS: u32 = 5;
/// Services of a team.
const TEAM: u32 = 10;
/// Exponent of the Zipf law by which series are chosen.
const EXPONENT: f64 = 1.05;
/// Remainder by 2 of the number of a metric that is a gauge; the others are counters.
pub const GAUGE: u32 = 0;

/// All series of a run: services times metrics times replicas, numbered in that order.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    /// How many.
    pub series: u32,
    /// How many services they spread over.
    pub services: u32,
    /// How many metrics a service has; even ones are gauges, odd ones counters.
    pub metrics: u32,
}

/// A number's place: which service, metric and replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub service: u32,
    pub metric: u32,
    pub replica: u32,
}

/// Sets of series of one metric that a rule may select, from one series to a thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One replica of one service: 1 series.
    Replica,
    /// One service: 10.
    Service,
    /// The ten services of a team: 100.
    Team,
    /// A site: about 417.
    Site,
    /// A region: 1,000.
    Region,
}

impl Population {
    /// A population of `series` series.
    pub fn new(series: u32) -> Population {
        let services = (series / 200).clamp(1, SERVICES_MAX);
        Population { series, services, metrics: series.div_ceil(services * REPLICAS) }
    }

    /// What a number stands for.
    pub fn place(&self, id: u32) -> Place {
        let (rest, replica) = (id / REPLICAS, id % REPLICAS);
        Place { service: rest / self.metrics, metric: rest % self.metrics, replica }
    }

    /// The name that a metric bears in OTLP.
    pub fn metric(&self, metric: u32) -> String {
        let kind = if metric % 2 == GAUGE { "level" } else { "work" };
        format!("bench.{kind}.{metric:03}")
    }

    /// The name that its series bear in rules.
    pub fn series_name(&self, metric: u32) -> String {
        let total = if metric % 2 == GAUGE { "" } else { "_total" };
        self.metric(metric).replace('.', "_") + total
    }

    /// Label matchers for the series of a metric within the scope around `id`.
    pub fn matchers(&self, id: u32, scope: Scope) -> String {
        let Place { service, replica, .. } = self.place(id);
        match scope {
            Scope::Replica => format!("job=\"{}\",replica=\"{}\"", job(service), replica_name(replica)),
            Scope::Service => format!("job=\"{}\"", job(service)),
            Scope::Team => format!("team=\"{}\"", team(service)),
            Scope::Site => format!("site=\"{}\"", site(service)),
            Scope::Region => format!("region=\"{}\"", region(service)),
        }
    }

    /// Attributes of a point besides its service's: 3 of where it is, 1 of which it is.
    pub fn attributes(&self, id: u32) -> Attributes {
        let Place { service, replica, .. } = self.place(id);
        let pairs = [
            ("replica", replica_name(replica)),
            ("site", site(service)),
            ("region", region(service)),
            ("team", team(service)),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), Value::Text(value))).collect()
    }

    /// The series that one of several senders sends, with how often each is chosen relative to the others.
    ///
    /// A service sends all it has through one sender, as a service behind a collector does: what one series says stays in
    /// order. Popularity has nothing to do with numbers: the most popular series are of all services and metrics.
    pub fn of_sender(&self, sender: u32, senders: u32) -> Vec<(u32, f64)> {
        let mut ranked: Vec<u32> = (0..self.series).collect();
        let mut random = Random(0x5eed);
        for i in (1..self.series).rev() {
            ranked.swap(i as usize, random.below(i + 1) as usize);
        }
        let own = ranked.into_iter().zip(1_u32..).filter(|(id, _)| self.place(*id).service % senders == sender);
        own.map(|(id, rank)| (id, f64::from(rank).powf(-EXPONENT))).collect()
    }
}

/// A service's resource. Nothing but its names, since more would add a `target_info` sample to each body.
pub fn resource(service: u32) -> Attributes {
    let pairs = [("service.name", service_name(service)), ("service.namespace", "bank".to_owned())];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), Value::Text(value))).collect()
}

/// `service.name`.
pub fn service_name(service: u32) -> String {
    format!("svc-{service:03}")
}

fn job(service: u32) -> String {
    format!("bank/{}", service_name(service))
}

fn replica_name(replica: u32) -> String {
    format!("r{replica}")
}

fn site(service: u32) -> String {
    format!("site-{:02}", service % SITES)
}

fn region(service: u32) -> String {
    format!("region-{}", service / 2 % REGIONS)
}

fn team(service: u32) -> String {
    format!("team-{:02}", service / TEAM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn senders_share_out_every_series_once() {
        for (series, senders) in [(1000, 1), (1000, 3), (100_000, 8)] {
            let population = Population::new(series);
            let all: Vec<u32> = (0..senders).flat_map(|s| population.of_sender(s, senders)).map(|(id, _)| id).collect();
            assert_eq!(all.len(), series as usize);
            assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), series as usize);
        }
    }

    #[test]
    fn popularity_is_zipf_over_all_senders_together() {
        let population = Population::new(100_000);
        let mut weights: Vec<f64> = (0..8).flat_map(|s| population.of_sender(s, 8)).map(|(_, weight)| weight).collect();
        weights.sort_by(|a, b| b.total_cmp(a));
        for (rank, expected) in [(1_usize, 1.0), (10, 0.0891), (1000, 7.08e-4), (100_000, 5.62e-6)] {
            assert!((weights[rank - 1] / expected - 1.0).abs() < 0.01, "rank {rank}: {}", weights[rank - 1]);
        }
    }

    #[test]
    fn the_estate_has_the_sizes_of_the_workload() {
        let standard = Population::new(100_000);
        assert_eq!((standard.services, standard.metrics), (500, 20));
        let million = Population::new(1_000_000);
        assert_eq!((million.services, million.metrics), (500, 200));
        assert_eq!(standard.place(99_999), Place { service: 499, metric: 19, replica: 9 });
    }
}
