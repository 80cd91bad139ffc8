//! Random series of every kind, for [`Random::expression`] to be asked of.
//!
//! Floats with gaps, stale markers and odd values (`a`), counters with resets (`b`), gauges (`c`), classic histograms
//! (`lat_bucket`), native ones that count (`h`), that do not (`g`), with bounds of their own (`n`), series that change between
//! floats and histograms (`m`), and `target_info`.
use crate::random::Random;
use crate::script::stored;
use crate::store::Store;
use faultline_model::histogram::{Buckets, CUSTOM_SCHEMA, ResetHint};
use faultline_model::{Histogram, HistogramSample, Labels, Millis, Sample};
use std::sync::Arc;

/// How long the series last, in ms.
pub const LENGTH_MS: i64 = 1_800_000;

/// Series of one seed from `base` on; each has a label `w` with `tag`, so that worlds can lie in one storage.
pub fn world(random: &mut Random, base: Millis, tag: &str) -> Store {
    let mut store = Store::default();
    for (name, i, j) in all("abc") {
        if random.chance(60) {
            let samples = match name {
                "a" => times(random, base).into_iter().map(|at| random.sample(at)).collect(),
                "b" => counter(random, base),
                _ => times(random, base).into_iter().map(|at| Sample::new(at, gauge(random))).collect(),
            };
            store.add(labels(random, name, tag, &[("i", i), ("j", j)]), samples);
        }
    }
    for (name, i, j) in all("hgnm") {
        if random.chance(35) {
            let labels = labels(random, name, tag, &[("i", i), ("j", j)]);
            let (floats, histograms) = native(random, base, name);
            store.add(labels.clone(), floats);
            store.add_histograms(labels, histograms);
        }
    }
    for i in ["0", "1", "2"] {
        classic(random, base, tag, i, &mut store);
        let info = Labels::new([
            ("__name__", "target_info"),
            ("instance", "x"),
            ("job", *random.pick(&["p", "q"])),
            ("version", i),
            ("w", tag),
        ]);
        if store.view(&info).is_none() {
            let samples = times(random, base).into_iter().map(|at| Sample::new(at, 1.0)).collect();
            store.add(info, samples);
        }
    }
    store
}

/// Every name with every `i` and `j`.
fn all(names: &'static str) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    const DIGITS: [&str; 3] = ["0", "1", "2"];
    let each = (0..names.len()).map(move |at| &names[at..=at]);
    each.flat_map(|name| DIGITS.into_iter().flat_map(move |i| DIGITS.into_iter().map(move |j| (name, i, j))))
}

fn labels(random: &mut Random, name: &str, tag: &str, more: &[(&str, &str)]) -> Labels {
    let mut builder = Labels::new([("__name__", name), ("w", tag)]).to_builder();
    more.iter().for_each(|(name, value)| {
        builder.set(name, value);
    });
    if random.chance(30) {
        builder.set("k", random.pick::<&str>(&["u", "v"]));
    }
    if random.chance(60) {
        builder.set("job", random.pick::<&str>(&["p", "q"])).set("instance", "x");
    }
    builder.build()
}

/// Rising times: of a scrape that is regular or not, with gaps now and then.
fn times(random: &mut Random, base: Millis) -> Vec<Millis> {
    let step = *random.pick(&[10_000, 15_000, 30_000, 60_000]);
    let jitter = if random.chance(50) { 1 } else { 2_000 };
    let mut at = random.below(step) as i64;
    let mut found = Vec::new();
    while at < LENGTH_MS {
        found.push(base.plus(at));
        let gap = if random.chance(3) { 60_000 + random.below(500_000) as i64 } else { 0 };
        at += step as i64 + random.below(jitter) as i64 + gap;
    }
    found
}

fn gauge(random: &mut Random) -> f64 {
    if random.chance(50) { random.below(6) as f64 } else { random.below(100_000) as f64 / 7.0 - 3_000.0 }
}

fn counter(random: &mut Random, base: Millis) -> Vec<Sample> {
    let times = times(random, base);
    let (whole, mut value) = (random.chance(50), random.below(1000) as f64);
    let sample = |at| {
        match random.below(40) {
            0 => return Sample::stale(at),
            1 => value = 0.0,
            2 => value = random.below(50) as f64,
            _ if whole => value += random.below(30) as f64,
            _ => value += random.below(3000) as f64 / 97.0,
        }
        Sample::new(at, value)
    };
    times.into_iter().map(sample).collect()
}

/// The five buckets of a classic histogram, counted together; now and then one is behind the others.
fn classic(random: &mut Random, base: Millis, tag: &str, i: &str, store: &mut Store) {
    const BOUNDS: [&str; 5] = ["0.1", "0.5", "1", "2.5", "+Inf"];
    let (mut counts, mut samples) = ([0_u64; 5], [const { Vec::new() }; 5]);
    for at in times(random, base) {
        if random.chance(2) {
            counts = [0; 5];
        }
        for _ in 0..random.below(20) {
            let first = random.below(5);
            counts[first..].iter_mut().for_each(|count| *count += 1);
        }
        for (of_bucket, count) in samples.iter_mut().zip(counts) {
            let count = if random.chance(1) { count.saturating_sub(3) } else { count };
            of_bucket.push(Sample::new(at, count as f64));
        }
    }
    for (bound, samples) in BOUNDS.into_iter().zip(samples) {
        store.add(Labels::new([("__name__", "lat_bucket"), ("i", i), ("j", "0"), ("le", bound), ("w", tag)]), samples);
    }
}

/// Samples of a native series, as they come back from a storage.
fn native(random: &mut Random, base: Millis, name: &str) -> (Vec<Sample>, Vec<HistogramSample>) {
    let (mut floats, mut found) = (Vec::new(), Vec::new());
    let mut before: Option<Arc<Histogram>> = None;
    let mut now = empty(random, name);
    for at in times(random, base) {
        if random.chance(1) {
            found.push(HistogramSample { time: at, histogram: None });
            before = None;
            continue;
        }
        if name == "m" && random.chance(30) {
            floats.push(Sample::new(at, gauge(random)));
            before = None;
            continue;
        }
        if random.chance(3) || (name == "g" && random.chance(30)) {
            now = empty(random, name);
        }
        grow(random, &mut now);
        let hint = stored(before.as_deref(), &now).hint;
        let histogram = Arc::new(Histogram { hint, ..now.clone() });
        found.push(HistogramSample { time: at, histogram: Some(Arc::clone(&histogram)) });
        before = Some(histogram);
    }
    (floats, found)
}

fn empty(random: &mut Random, name: &str) -> Histogram {
    let hint = if name == "g" { ResetHint::Gauge } else { ResetHint::Unknown };
    if name == "n" {
        let bounds: &[f64] = random.pick::<&[f64]>(&[&[0.5, 1.0, 2.0, 5.0], &[0.5, 1.0, 2.0, 5.0], &[-1.0, 1.0, 3.0]]);
        return Histogram { hint, schema: CUSTOM_SCHEMA, bounds: bounds.into(), ..Histogram::default() };
    }
    let zero_threshold = *random.pick(&[0.0, 0.001, 0.001, 0.25]);
    Histogram { hint, schema: *random.pick(&[0, 0, 1, 2, -1, 3]), zero_threshold, ..Histogram::default() }
}

/// Some more observations.
fn grow(random: &mut Random, h: &mut Histogram) {
    let custom = h.schema == CUSTOM_SCHEMA;
    for _ in 0..random.below(8) {
        let (count, at) = (1.0 + random.below(4) as f64, random.below(6) as i32);
        h.count += count;
        h.sum += count * (random.below(60) as f64 / 8.0 - if custom { 0.0 } else { 2.0 });
        if custom {
            h.positive = more(&h.positive, at.min(h.bounds.len() as i32), count);
            continue;
        }
        match random.below(8) {
            0 => h.zero_count += count,
            1 | 2 => h.negative = more(&h.negative, at, count),
            _ => h.positive = more(&h.positive, at, count),
        }
    }
}

fn more(buckets: &Buckets, at: i32, count: f64) -> Buckets {
    let mut all: std::collections::BTreeMap<i32, f64> = buckets.iter().collect();
    *all.entry(at).or_default() += count;
    Buckets::new(all)
}
