//! What senders say of metrics: help, type and unit, by family.
use faultline_formats::{MetricType, Told};
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;

/// Metrics of which something is kept.
pub const METRICS_MAX: usize = 100_000;
/// Different things kept of one metric, newest.
pub const EACH_MAX: usize = 10;
/// Bytes of all texts together.
pub const BYTES_MAX: usize = 64 << 20;
/// Spellings that are remembered; then all are looked at anew.
const SEEN_MAX: usize = 1 << 20;

/// How much there is, and what was passed, each counted once for each spelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetadataCounts {
    /// Metrics of which something is kept.
    pub metrics: usize,
    /// Different things kept of them.
    pub entries: usize,
    /// Bytes of their texts.
    pub bytes: usize,
    /// Passed for want of room.
    pub full: u64,
    /// Given up for newer ones of the same metric.
    pub replaced: u64,
    /// Help that was cut.
    pub cut: u64,
    /// Bodies that were not looked at, because too many waited.
    pub bodies_passed: u64,
}

/// One thing that is said of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub kind: MetricType,
    pub unit: Box<str>,
    pub help: Box<str>,
}

impl About {
    fn size(&self) -> usize {
        self.unit.len() + self.help.len()
    }
}

/// By family, in the order in which it came.
pub(crate) struct Metadata {
    families: BTreeMap<Box<str>, Vec<About>>,
    /// Hashes of what was said as it was said.
    seen: HashSet<u64>,
    /// Of those hashes; drawn, so that nobody can make two meet.
    seed: u64,
    metrics_max: usize,
    bytes_max: usize,
    counts: MetadataCounts,
}

impl Default for Metadata {
    fn default() -> Metadata {
        Metadata::of_at_most(METRICS_MAX, BYTES_MAX)
    }
}

impl Metadata {
    fn of_at_most(metrics_max: usize, bytes_max: usize) -> Metadata {
        let (families, seen, counts) = Default::default();
        Metadata { families, seen, seed: RandomState::new().hash_one(0), metrics_max, bytes_max, counts }
    }

    /// Takes in what is said of a metric, where it is new.
    pub fn add(&mut self, told: &Told<'_>) {
        if self.seen.len() == SEEN_MAX {
            self.seen.clear();
        }
        if !self.seen.insert(told.key(self.seed)) {
            return;
        }
        let Some(family) = told.family() else { return };
        self.counts.cut += u64::from(told.cut);
        let about = About { kind: told.kind(), unit: told.unit().into(), help: told.help.into() };
        let known = self.families.get(&*family);
        if known.is_some_and(|known| known.contains(&about)) {
            return;
        }
        let size = about.size() + if known.is_none() { family.len() } else { 0 };
        let room = known.is_some() || self.families.len() < self.metrics_max;
        if !room || self.counts.bytes + size > self.bytes_max {
            self.counts.full += 1;
            return;
        }
        self.counts.bytes += size;
        let list = self.families.entry(family.into()).or_default();
        list.push(about);
        self.counts.entries += 1;
        if list.len() > EACH_MAX {
            self.counts.bytes -= list.remove(0).size();
            self.counts.entries -= 1;
            self.counts.replaced += 1;
        }
    }

    /// Counts a body that is not looked at.
    pub fn pass(&mut self) {
        self.counts.bodies_passed += 1;
    }

    /// What is said of one metric.
    pub fn of(&self, family: &str) -> Option<(Box<str>, Vec<About>)> {
        self.families.get_key_value(family).map(|(family, list)| (family.clone(), list.clone()))
    }

    /// The next families behind `after`, at most `most`.
    pub fn page(&self, after: Option<&str>, most: usize) -> Vec<(Box<str>, Vec<About>)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.families.range::<str, _>((start, Bound::Unbounded));
        rest.take(most).map(|(family, list)| (family.clone(), list.clone())).collect()
    }

    /// How much there is.
    pub fn counts(&self) -> MetadataCounts {
        MetadataCounts { metrics: self.families.len(), ..self.counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_formats::{Decoded, decode, encode};
    use faultline_model::{Clock, Encoding, Format, HashSeed, Kind, Labels, Payload, SourceId, TenantId};

    fn decoded(metadata: &[(MetricType, &str, &str, &str)]) -> Decoded {
        let plain = encode::write_request_with_exemplars([] as [(&Labels, &[_], &[_]); 0], metadata);
        let (source, format, encoding) = (SourceId::default(), Format::RemoteWrite1, Encoding::Identity);
        let kind = Kind::Telemetry { source, format, encoding, clock: Clock::Live };
        decode(Payload { tenant: TenantId(0), kind, body: plain.into() }, HashSeed(7))
    }

    fn add(to: &mut Metadata, metadata: &[(MetricType, &str, &str, &str)]) {
        let decoded = decoded(metadata);
        assert_eq!(decoded.rejects, []);
        decoded.events.metadata.iter(&decoded.plain).for_each(|told| to.add(&told));
    }

    #[test]
    fn of_one_metric_the_newest_ten_are_kept() {
        let mut metadata = Metadata::default();
        let helps: Vec<String> = (0..13).map(|i| format!("Help {i}.")).collect();
        for help in &helps {
            add(&mut metadata, &[(MetricType::Counter, "a_total", help.as_str(), ""); 2]);
        }
        // One that was given up does not come back: else two senders of eleven would never be done.
        add(&mut metadata, &[(MetricType::Counter, "a_total", &helps[0], "")]);
        let (_, list) = metadata.of("a_total").expect("it is there");
        assert_eq!(list.iter().map(|about| &*about.help).collect::<Vec<_>>(), helps[3..]);
        let counts = metadata.counts();
        assert_eq!((counts.metrics, counts.entries, counts.replaced, counts.full), (1, 10, 3, 0));
        assert_eq!(counts.bytes, "a_total".len() + helps[3..].iter().map(String::len).sum::<usize>());
    }

    #[test]
    fn what_has_no_room_is_counted_once() {
        let mut metadata = Metadata::of_at_most(2, 20);
        for _ in 0..2 {
            add(&mut metadata, &[(MetricType::Gauge, "a", "1234", "s"), (MetricType::Gauge, "b", "1234", "s")]);
            add(&mut metadata, &[(MetricType::Gauge, "c", "", ""), (MetricType::Gauge, "a", "123456789", "")]);
        }
        let counts = metadata.counts();
        assert_eq!((counts.metrics, counts.entries, counts.bytes, counts.full), (2, 2, 12, 2));
        let names = |page: Vec<(Box<str>, _)>| page.into_iter().map(|(name, _)| name.into()).collect::<Vec<String>>();
        assert_eq!(names(metadata.page(None, 1)), ["a"]);
        assert_eq!(names(metadata.page(Some("a"), 5)), ["b"]);
        assert!(metadata.of("c").is_none());
    }
}
