//! Servers that send the same series twice, as a highly available pair of Prometheus does: one of each cluster is heard, and
//! another takes over once that one has been silent for a while.
//!
//! Labels and times are those of Mimir's and Cortex' high-availability tracker, so that senders set up for these need no change:
//! <https://grafana.com/docs/mimir/latest/configure/configure-high-availability-deduplication/>. There it decides by request,
//! here by sample: a body may hold series of several replicas.
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_model::{Labels, Millis, canonical_struct};

/// Silence after which another replica is heard: Mimir's `ha_tracker_failover_timeout`.
pub const FAILOVER_MS: i64 = 30_000;
/// Most replicas of all clusters together. Once there are so many, it all begins anew: names that change for ever cost no memory.
pub const REPLICAS_MAX: usize = 4096;
/// The number of samples without a replica label: all of them are heard.
pub const ALONE: u32 = 0;

/// Which labels name the cluster and the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaLabels {
    /// Name of the label that both of a pair share; a series without it belongs to the cluster `""`.
    pub cluster: String,
    /// Name of the label in which they differ, and which is taken away. `""` for: nothing is a replica.
    pub replica: String,
}
canonical_struct!(ReplicaLabels { cluster, replica });

impl Default for ReplicaLabels {
    /// `cluster` and `__replica__`, the defaults of Mimir.
    fn default() -> ReplicaLabels {
        ReplicaLabels { cluster: "cluster".to_string(), replica: "__replica__".to_string() }
    }
}

/// One sender of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    cluster: u32,
    name: String,
}
canonical_struct!(Member { cluster, name });

/// What one cluster is heard from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cluster {
    name: String,
    /// Number of the member that is heard, and rule time of its last sample.
    elected: u32,
    heard: Millis,
}
canonical_struct!(Cluster { name, elected, heard });

/// Counts since the journal began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicaCounts {
    /// Samples left out because another replica is heard.
    pub unheard: u64,
    /// How often another replica took over.
    pub failovers: u64,
}
canonical_struct!(ReplicaCounts { unheard, failovers });

/// All clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    labels: ReplicaLabels,
    members: Vec<Member>,
    clusters: Vec<Cluster>,
    counts: ReplicaCounts,
}
canonical_struct!(Replicas { labels, members, clusters, counts });

impl Replicas {
    /// The labels that name clusters and replicas.
    pub fn labels(&self) -> &ReplicaLabels {
        &self.labels
    }

    /// Counts since the journal began.
    pub fn counts(&self) -> ReplicaCounts {
        self.counts
    }

    /// The clusters, each with the replica that is heard.
    pub fn elected(&self) -> BTreeMap<&str, &str> {
        let name = |cluster: &Cluster| &*self.members[cluster.elected as usize - 1].name;
        self.clusters.iter().map(|cluster| (&*cluster.name, name(cluster))).collect()
    }

    /// Changes the labels; what is known of replicas is forgotten.
    pub fn set_labels(&mut self, labels: ReplicaLabels) {
        *self = Replicas { labels, counts: self.counts, ..Replicas::default() };
    }

    /// Whether there are [`REPLICAS_MAX`]: [`Replicas::forget`] is due after this record. Until then new ones are heard.
    pub fn is_full(&self) -> bool {
        self.members.len() >= REPLICAS_MAX
    }

    /// Forgets every replica: numbers begin anew.
    pub fn forget(&mut self) {
        self.set_labels(self.labels.clone());
    }

    /// The number of the replica that sends a series, or [`ALONE`], and the series' own labels. A replica not yet known
    /// gets a number, and is heard where it is the first of its cluster. Beyond [`REPLICAS_MAX`] it is [`ALONE`].
    pub fn tell(&mut self, labels: Labels, now: Millis) -> (u32, Labels) {
        let name = labels.get(&self.labels.replica);
        if self.labels.replica.is_empty() || name.is_empty() {
            return (ALONE, labels);
        }
        let cluster = self.labels.cluster.clone();
        let number = self.number(labels.get(&cluster), name, now);
        (number, labels.filter(|name| name != self.labels.replica))
    }

    /// What [`Replicas::tell`] has told of such a series: nothing where its replica is not known.
    pub fn told(&self, labels: Labels) -> Option<(u32, Labels)> {
        let name = labels.get(&self.labels.replica);
        if self.labels.replica.is_empty() || name.is_empty() {
            return Some((ALONE, labels));
        }
        let cluster = labels.get(&self.labels.cluster);
        let place = self.clusters.iter().position(|it| it.name == cluster)? as u32;
        let member = self.members.iter().position(|it| it.cluster == place && it.name == name)?;
        Some((member as u32 + 1, labels.filter(|name| name != self.labels.replica)))
    }

    /// Whether a replica is the one that is heard; nothing changes by the question.
    pub fn is_heard(&self, replica: u32) -> bool {
        let Some(index) = replica.checked_sub(1) else { return true };
        self.clusters[self.members[index as usize].cluster as usize].elected == replica
    }

    fn number(&mut self, cluster: &str, name: &str, now: Millis) -> u32 {
        let (known, next) = (self.clusters.iter().position(|it| it.name == cluster), self.members.len() as u32 + 1);
        let place = known.unwrap_or(self.clusters.len()) as u32;
        if let Some(member) = self.members.iter().position(|it| it.cluster == place && it.name == name) {
            return member as u32 + 1;
        }
        if self.is_full() {
            return ALONE;
        }
        if known.is_none() {
            self.clusters.push(Cluster { name: cluster.to_string(), elected: next, heard: now });
        }
        self.members.push(Member { cluster: place, name: name.to_string() });
        next
    }

    /// Whether a sample of a replica counts, at rule time `now`: one left out is counted.
    #[inline]
    pub fn hears(&mut self, replica: u32, now: Millis) -> bool {
        replica == ALONE || self.elects(replica, now)
    }

    fn elects(&mut self, replica: u32, now: Millis) -> bool {
        let cluster = &mut self.clusters[self.members[replica as usize - 1].cluster as usize];
        if cluster.elected != replica {
            if now.since(cluster.heard) < FAILOVER_MS {
                self.counts.unheard += 1;
                return false;
            }
            cluster.elected = replica;
            self.counts.failovers += 1;
        }
        cluster.heard = now;
        true
    }

    /// Whether what was read fits together.
    pub fn is_sound(&self) -> bool {
        let member = |it: &Member| (it.cluster as usize) < self.clusters.len();
        let cluster = |(number, it): (u32, &Cluster)| {
            let elected = (it.elected as usize).checked_sub(1).and_then(|place| self.members.get(place));
            elected.is_some_and(|elected| elected.cluster == number)
        };
        self.members.len() <= REPLICAS_MAX && self.members.iter().all(member) && (0..).zip(&self.clusters).all(cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(cluster: &str, replica: &str) -> Labels {
        Labels::new([("__name__", "up"), ("cluster", cluster), ("__replica__", replica), ("job", "a")])
    }

    /// Who sends at which second, and whether it is heard.
    fn check(sent: &[(i64, &str, &str, bool)]) -> Replicas {
        let mut replicas = Replicas::default();
        for &(second, cluster, replica, heard) in sent {
            let now = Millis(second * 1_000);
            let (number, rest) = replicas.tell(labels(cluster, replica), now);
            assert_eq!(rest.get("__replica__"), "");
            assert_eq!((rest.get("cluster"), rest.get("job")), (cluster, "a"));
            assert_eq!(replicas.hears(number, now), heard, "{replica} of {cluster} at {second} s");
            assert!(replicas.is_sound());
        }
        replicas
    }

    #[test]
    fn one_of_a_cluster_is_heard_until_it_falls_silent() {
        let replicas = check(&[
            (0, "eu", "a", true),
            (1, "eu", "b", false),
            (1, "us", "b", true),
            (15, "eu", "a", true),
            (44, "eu", "b", false),
            // 30 s after the last sample of `a`.
            (45, "eu", "b", true),
            (46, "eu", "a", false),
            (60, "eu", "b", true),
            (80, "us", "a", true),
        ]);
        assert_eq!(replicas.counts(), ReplicaCounts { unheard: 3, failovers: 2 });
        assert_eq!(replicas.elected(), BTreeMap::from([("eu", "b"), ("us", "a")]));
    }

    #[test]
    fn without_the_label_all_are_heard() {
        let mut replicas = Replicas::default();
        let plain = Labels::new([("__name__", "up"), ("cluster", "eu")]);
        assert_eq!(replicas.tell(plain.clone(), Millis(0)), (ALONE, plain));
        assert!(replicas.hears(ALONE, Millis(0)));
        let off = ReplicaLabels { replica: String::new(), ..ReplicaLabels::default() };
        replicas.set_labels(off);
        assert_eq!(replicas.tell(labels("eu", "a"), Millis(0)), (ALONE, labels("eu", "a")));
    }

    #[test]
    fn names_that_change_for_ever_cost_no_memory() {
        let mut replicas = Replicas::default();
        for i in 0..3 * REPLICAS_MAX {
            // A body may bring any number before anybody forgets.
            if i % 1000 == 0 && replicas.is_full() {
                replicas.forget();
            }
            let (number, rest) = replicas.tell(labels("eu", &i.to_string()), Millis(0));
            assert!(rest.get("__replica__").is_empty() && (number != ALONE || replicas.is_full()));
        }
        assert!(replicas.is_sound() && replicas.members.len() <= REPLICAS_MAX);
    }
}
