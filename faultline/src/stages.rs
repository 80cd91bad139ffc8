//! How long each stage of a group's way takes, for `/metrics`. Measured beside what decides, which never reads it.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Upper bounds of the buckets in µs; one more bucket is for what took longer.
const BOUNDS_US: [u64; 13] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// A stage of a group's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// `step` over a group.
    Step,
    /// Pages of a state that is being written.
    Pages,
    /// The whole turn of the loop, from the group taken to its pages written: as long, nothing else is detected.
    Turn,
    /// The wait until a group is durable.
    Flush,
}

impl Stage {
    const ALL: [(Stage, &'static str); 4] =
        [(Stage::Step, "step"), (Stage::Pages, "pages"), (Stage::Turn, "turn"), (Stage::Flush, "flush")];
}

/// Durations of one stage so far.
#[derive(Debug, Default)]
struct Timing {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

/// Durations of all stages since the start.
#[derive(Debug, Default)]
pub struct Stages([Timing; Stage::ALL.len()]);

impl Stages {
    /// Counts a duration.
    pub fn add(&self, stage: Stage, took: Duration) {
        let timing = &self.0[stage as usize];
        // As Prometheus has it, a bound belongs to its bucket.
        let bucket = BOUNDS_US.partition_point(|&bound| Duration::from_micros(bound) < took);
        timing.counts[bucket].fetch_add(1, Ordering::Relaxed);
        timing.sum_ns.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Does `work` and counts how long it took.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.add(stage, begun.elapsed());
        done
    }

    /// All stages, as the API shows them.
    pub fn shown(&self) -> Vec<faultline_serve::Stage> {
        let shown = |(stage, name): (Stage, &'static str)| {
            let timing = &self.0[stage as usize];
            faultline_serve::Stage {
                name,
                bounds_s: BOUNDS_US.iter().map(|&bound| bound as f64 / 1e6).collect(),
                counts: timing.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
                sum_s: timing.sum_ns.load(Ordering::Relaxed) as f64 / 1e9,
            }
        };
        Stage::ALL.into_iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_the_bucket_whose_bound_is_the_first_not_below_it() {
        let stages = Stages::default();
        let check = |stage, took, name, bound_s: Option<f64>| {
            let before = stages.shown();
            stages.add(stage, took);
            for (before, after) in before.into_iter().zip(stages.shown()) {
                let changed: Vec<usize> =
                    (0..after.counts.len()).filter(|&i| after.counts[i] != before.counts[i]).collect();
                if after.name != name {
                    assert_eq!((changed, after.sum_s), (vec![], before.sum_s), "{name} is counted as {}", after.name);
                    continue;
                }
                assert_eq!(changed.len(), 1);
                assert_eq!(after.bounds_s.get(changed[0]).copied(), bound_s, "{took:?}");
                assert!((after.sum_s - before.sum_s - took.as_secs_f64()).abs() < 1e-9);
            }
        };
        check(Stage::Step, Duration::ZERO, "step", Some(0.0001));
        check(Stage::Turn, Duration::from_micros(100), "turn", Some(0.0001));
        check(Stage::Turn, Duration::from_nanos(100_001), "turn", Some(0.00025));
        check(Stage::Pages, Duration::from_millis(20), "pages", Some(0.02));
        check(Stage::Flush, Duration::from_micros(20_001), "flush", Some(0.05));
        check(Stage::Flush, Duration::from_secs(60), "flush", None);
    }
}
