//! How long `Store::accepted` takes per sample, alone and beside readers: `cargo run --release --example accepted`.
use faultline_model::{Labels, Millis, Sample};
use faultline_serve::{Store, View};
use std::time::Instant;

const BODY: usize = 1_000;

fn main() {
    println!("series     samples  new series ns each  ns/sample");
    for series in [1_000_u32, 100_000, 1_000_000] {
        let store = Store::default();
        let labels = |i: u32| {
            let pairs =
                [("__name__", format!("metric_{}", i % 500)), ("instance", i.to_string()), ("job", "bench".into())];
            (i, Labels::new(pairs))
        };
        let created: Vec<_> = (0..series).map(labels).collect();
        let begun = Instant::now();
        store.accepted(created, Vec::new(), Vec::new(), Vec::new());
        let creation = begun.elapsed().as_nanos() as f64 / f64::from(series);
        store.publish(View::default());

        // Bodies of a thousand samples; each series once per round, in an order that no cache foresees.
        let rounds = (20_000_000 / series).clamp(4, 600);
        let mut spent = 0;
        for round in 0..rounds {
            let mut place = 0_u64;
            for _ in 0..series as usize / BODY {
                let body: Vec<(u32, Sample)> = (0..BODY)
                    .map(|_| {
                        place = (place + 514_229) % u64::from(series);
                        (place as u32, Sample::new(Millis(i64::from(round) * 1_000), 1.0))
                    })
                    .collect();
                let begun = Instant::now();
                store.accepted(Vec::new(), body, Vec::new(), Vec::new());
                spent += begun.elapsed().as_nanos();
            }
        }
        let samples = u64::from(rounds) * u64::from(series);
        println!("{series:>7} {samples:>11} {creation:>19.0} {:>10.1}", spent as f64 / samples as f64);
    }
}
