//! How long an explanation takes: `cargo run --release -p faultline-explain --example speed`.
//!
//! Prints the median and the slowest of many simulated estates per size.
#![allow(clippy::disallowed_types, reason = "a measurement reads a clock")]
#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/estate.rs"]
mod estate;

use estate::{Kind, case};
use faultline_explain::explain;
use std::time::{Duration, Instant};

fn main() {
    for (count, cases) in [(12, 100), (50, 100), (100, 60), (400, 40), (1_000, 40)] {
        let mut times: Vec<Duration> = Vec::new();
        let (mut ladder, mut alone) = (0, 0);
        for seed in 0..cases {
            let kind = [Kind::Slow, Kind::Errors, Kind::Stopped, Kind::Crash][seed as usize % 4];
            let case = case(seed, count, &[kind]);
            explain(&case.evidence);
            let start = Instant::now();
            let verdict = explain(&case.evidence);
            times.push(start.elapsed());
            ladder += usize::from(verdict.method.starts_with("narrowed"));
            alone += usize::from(verdict.what_ifs.is_empty());
        }
        times.sort();
        let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{count} services: median {median:?}, slowest {slowest:?}, narrowed {ladder}, without what-ifs {alone} of {cases}"
        );
    }
}
