//! Bytes a sample and samples a second of the recent store, and what a query over it takes: `cargo run --release --example recent`.
use faultline_host::{Disk, RealDisk};
use faultline_model::{Labels, Millis, Sample};
use faultline_promql::{MatchOp, Matcher, Options, SeriesView, Source, evaluate, parse};
use faultline_serve::recent::select::{Points, Want};
use faultline_serve::recent::{Limits, Recent};
use std::sync::Arc;
use std::time::Instant;

const SERIES: u32 = 10_000;
const STEP_MS: i64 = 15_000;
const ROUNDS: i64 = 4 * 240;

struct From<'a>(&'a Recent, Millis);

impl Source for From<'_> {
    fn select(&self, _: usize, selector: &faultline_promql::Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        let (from, want) = match selector.range {
            0 => (self.1.plus(-300_000), Want::Newest),
            range => (self.1.plus(-range), Want::All),
        };
        let mut found = self.0.select(&selector.matchers, from, self.1, want).expect("it reads");
        let mut points = Points::default();
        for index in 0..found.len() {
            found.points(index, &mut points).expect("it reads");
            let (id, labels) = (found.id(index), found.labels(index));
            let Points { samples, histograms } = &points;
            visit(SeriesView { id, labels, samples, histograms, starts: None, marks: None });
        }
    }
}

/// A counter, a gauge of few values and one of many, in turn.
fn value(series: u32, round: i64) -> f64 {
    let noise = ((u64::from(series) * 2_654_435_761) ^ (round as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 40;
    match series % 3 {
        0 => (round * i64::from(series % 50 + 1)) as f64,
        1 => (noise % 5) as f64,
        _ => noise as f64 / 1_000.0,
    }
}

fn main() {
    let folder = std::env::temp_dir().join(format!("faultline-recent-{}", std::process::id()));
    let recent = Recent::new(Limits::default());
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    recent.open(disk, &folder).expect("a folder");
    let labels = |i: u32| {
        let name = ["requests_total", "level", "temperature"][i as usize % 3].to_owned();
        let pairs =
            [("__name__", name), ("instance", format!("10.0.{}.{}", i / 250, i % 250)), ("job", "bench".into())];
        Labels::new(pairs)
    };
    recent.accept((0..SERIES).map(|i| (i, labels(i))).collect(), &[], &[], &[]);
    let start = 1_700_000_000_000_i64 / 7_200_000 * 7_200_000;
    let (mut spent, mut writing) = (0.0, 0.0);
    for round in 0..ROUNDS {
        let at = Millis(start + round * STEP_MS);
        let body: Vec<_> = (0..SERIES).map(|i| (i, Sample::new(at, value(i, round)))).collect();
        let begun = Instant::now();
        recent.accept(Vec::new(), &body, &[], &[]);
        spent += begun.elapsed().as_secs_f64();
        if round % 20 == 0 {
            let (before, begun) = (recent.fill(), Instant::now());
            let kept = recent.keep().expect("there is room");
            if kept.written > 0 {
                writing += begun.elapsed().as_secs_f64();
                let after = recent.fill();
                let samples = u64::from(SERIES) * 480;
                println!(
                    "{:.2} bytes a sample in memory; a block of {samples} samples: {:.2} bytes each, {:.2} s",
                    before.bytes as f64 / (u64::from(SERIES) * (round as u64 + 1)) as f64,
                    after.block_bytes as f64 / samples as f64,
                    writing
                );
            }
        }
    }
    println!("{:.2} M samples/s taken in", f64::from(SERIES) * ROUNDS as f64 / spent / 1e6);
    let now = Millis(start + (ROUNDS - 1) * STEP_MS);
    for text in [
        "level",
        "sum by (job) (level)",
        "sum(rate(requests_total[1h]))",
        "sum by (instance) (rate(requests_total[4h]))",
    ] {
        let expr = parse(text).expect("PromQL");
        let mut took: Vec<f64> = (0..15)
            .map(|_| {
                let begun = Instant::now();
                evaluate(&expr, now, &From(&recent, now), &Options::default()).expect("a value");
                begun.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        took.sort_by(f64::total_cmp);
        println!("{:>8.2} ms median of 15: {text}", took[7]);
    }
    let all = [Matcher::new("job", MatchOp::Equal, "bench").expect("no pattern")];
    let begun = Instant::now();
    let mut found = recent.select(&all, Millis(0), now, Want::All).expect("it reads");
    let (mut points, mut count) = (Points::default(), 0);
    for index in 0..found.len() {
        found.points(index, &mut points).expect("it reads");
        count += points.samples.len();
    }
    println!("{:>8.2} ns a sample read of {count}", begun.elapsed().as_secs_f64() * 1e9 / count as f64);
    let begun = Instant::now();
    recent.keep_head().expect("there is room");
    println!("{:>8.2} ms to write down what is in memory, {:?}", begun.elapsed().as_secs_f64() * 1e3, recent.fill());
    std::fs::remove_dir_all(&folder).expect("it is ours");
}
