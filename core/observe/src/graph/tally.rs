//! Counters and a histogram that become series, and which of them have to be sent.
//!
//! A tally owns one block of 20 derived ids: its counter, the histogram's sum, count and 17 cumulative buckets. Labels
//! are built when a series is sent for the first time; a zero one second earlier goes with it, so that `rate` sees the
//! first increase of a counter that is born with it (a first error, say).
use alloc::vec::Vec;
use faultline_model::{Labels, LabelsBuilder, Millis, Sample, canonical_struct};

/// Derived ids of a block.
pub const BLOCK: u32 = 20;
const PARTS: u32 = BLOCK;
const ALL: u64 = (1 << PARTS) - 1;
const HISTOGRAM: u64 = ALL & !1;
/// Buckets of a histogram, the last without bound.
pub const BUCKETS: usize = 17;

/// Upper bounds of the buckets, in ms: the defaults of the OpenTelemetry spanmetrics and servicegraph connectors.
const BOUNDS_MS: [i64; BUCKETS - 1] = [2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000];
const LE_MS: [&str; BUCKETS] = [
    "2", "4", "6", "8", "10", "50", "100", "200", "400", "800", "1000", "1400", "2000", "5000", "10000", "15000",
    "+Inf",
];
const LE_S: [&str; BUCKETS] = [
    "0.002", "0.004", "0.006", "0.008", "0.01", "0.05", "0.1", "0.2", "0.4", "0.8", "1", "1.4", "2", "5", "10", "15",
    "+Inf",
];

/// A sample of a derived series.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// Dense id of the series; given again, with new labels, some time after its stale marker.
    pub id: u32,
    /// Its labels, with the first sample under this id only.
    pub labels: Option<Labels>,
    /// The sample.
    pub sample: Sample,
}

/// Hands out blocks of derived ids, last freed first.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    end: u32,
    free: Vec<u32>,
}
canonical_struct!(Blocks { end, free });

impl Blocks {
    /// A block that nobody has.
    pub fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.end += 1;
            self.end - 1
        })
    }

    /// Gives a block back.
    pub fn give(&mut self, block: u32) {
        self.free.push(block);
    }
}

/// What names the series of a tally.
pub struct Naming<'a> {
    /// Labels that all of its series share.
    pub labels: &'a [(&'a str, &'a str)],
    /// Name of the counter.
    pub counter: &'a str,
    /// Name of the histogram without suffix.
    pub histogram: &'a str,
    /// Whether the histogram is in seconds, not milliseconds.
    pub in_seconds: bool,
}

/// A counter and a histogram of durations.
#[derive(Clone, Debug)]
pub struct Tally {
    counter: u64,
    sum_ns: u64,
    buckets: Vec<u64>,
    block: u32,
    // One bit per part: sent before; changed since it was sent.
    known: u64,
    changed: u64,
}
canonical_struct!(Tally { counter, sum_ns, buckets, block, known, changed });

impl Tally {
    /// All zeros, under the ids of `block`.
    pub fn new(block: u32) -> Tally {
        // The counter is there from the start, so that a ratio has its other half.
        Tally { counter: 0, sum_ns: 0, buckets: [0; BUCKETS].into(), block, known: 0, changed: 1 }
    }

    /// Its block.
    pub fn block(&self) -> u32 {
        self.block
    }

    /// Whether something waits to be sent.
    pub fn is_changed(&self) -> bool {
        self.changed != 0
    }

    /// Adds to the counter.
    pub fn count(&mut self, by: u64) {
        self.counter += by;
        self.changed |= 1;
    }

    /// Adds a duration, in ns, to the histogram.
    pub fn observe(&mut self, duration: i64) {
        let duration = duration.max(0);
        let bucket = BOUNDS_MS.partition_point(|&bound| bound * 1_000_000 < duration);
        self.sum_ns = self.sum_ns.saturating_add(duration as u64);
        self.buckets[bucket] += 1;
        // Cumulative: every bucket from this one on, the sum and the count.
        let fresh = self.known & HISTOGRAM == 0;
        self.changed |= if fresh { HISTOGRAM } else { (ALL >> (bucket + 3) << (bucket + 3)) | 0b110 };
    }

    /// Sends what has changed, at the instant `at`; all that is known when it is its turn.
    pub fn send(&mut self, naming: &Naming<'_>, at: Millis, all: bool, out: &mut Vec<Derived>) {
        let send = if all { self.known | self.changed } else { self.changed };
        let mut cumulative = 0;
        for part in 0..PARTS {
            let bucket = part as usize;
            if part >= 3 {
                cumulative += self.buckets[bucket - 3];
            }
            if send >> part & 1 == 0 {
                continue;
            }
            let value = match part {
                0 => self.counter as f64,
                1 if naming.in_seconds => self.sum_ns as f64 / 1e9,
                1 => self.sum_ns as f64 / 1e6,
                2 => self.buckets.iter().sum::<u64>() as f64,
                _ => cumulative as f64,
            };
            let id = self.block * BLOCK + part;
            if self.known >> part & 1 == 0 {
                let labels = Some(label(naming, part));
                out.push(Derived { id, labels, sample: Sample::new(at.plus(-1000), 0.0) });
            }
            out.push(Derived { id, labels: None, sample: Sample::new(at, value) });
        }
        (self.known, self.changed) = (self.known | send, 0);
    }

    /// Ends its series.
    pub fn end(&self, at: Millis, out: &mut Vec<Derived>) {
        for part in (0..PARTS).filter(|part| self.known >> part & 1 == 1) {
            out.push(Derived { id: self.block * BLOCK + part, labels: None, sample: Sample::stale(at) });
        }
    }
}

fn label(naming: &Naming<'_>, part: u32) -> Labels {
    let mut labels = LabelsBuilder::default();
    for (name, value) in naming.labels {
        labels.set(name, value);
    }
    let suffix = match part {
        0 => return labels.set("__name__", naming.counter).clone().build(),
        1 => "_sum",
        2 => "_count",
        _ => {
            let bounds = if naming.in_seconds { &LE_S } else { &LE_MS };
            labels.set("le", bounds[part as usize - 3]);
            "_bucket"
        }
    };
    let name = alloc::format!("{}{suffix}", naming.histogram);
    labels.set("__name__", &name);
    labels.build()
}
