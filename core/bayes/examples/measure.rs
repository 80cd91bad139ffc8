//! Measures exactness and speed on published networks: `cargo run --release -p faultline-bayes --example measure -- DIR [NAME...]`.
//!
//! DIR holds `networks/<name>.bif` and `reference/<name>.json[.zst]` with, per query, evidence and exact answers (for all
//! variables, and ln P(e)). Printed per network: the tree, compile time, worst errors over all queries, and the median over
//! queries of the fastest of some runs of "all marginals and ln P(e)", one thread, tree already built.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a measurement reads a clock")]
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use faultline_bayes::{Evidence, Network, Tree, bif};

/// 1 GiB of tables: the measured networks are the limit, not the default for incidents.
const BOUND: u64 = 1 << 27;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((folder, wanted)) = arguments.split_first() else {
        eprintln!("usage: measure DIR [NAME...]");
        std::process::exit(2);
    };
    let mut names: Vec<String> = wanted.to_vec();
    if names.is_empty() {
        let entries = std::fs::read_dir(Path::new(folder).join("networks")).expect("DIR has a folder networks");
        let files = entries.map(|entry| entry.expect("a readable entry").path());
        names = files.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect();
        names.sort();
    }
    println!(
        "{:<11} {:>5} {:>6} {:>9} {:>5} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "network",
        "nodes",
        "bound",
        "entries",
        "width",
        "compile ms",
        "query ms",
        "slowest",
        "prior ms",
        "marginals",
        "ln P(e)"
    );
    for name in &names {
        measure(Path::new(folder), name);
    }
}

fn measure(folder: &Path, name: &str) {
    let text = std::fs::read_to_string(folder.join(format!("networks/{name}.bif"))).expect("a readable network");
    let network = bif::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let reference = reference(folder, name);
    let started = Instant::now();
    let tree = match Tree::compile(&network, BOUND) {
        Ok(tree) => tree,
        Err(error) => return println!("{name:<11} {error}"),
    };
    let compiled = started.elapsed().as_secs_f64();
    let (mut marginal_error, mut log_error, mut times) = (0.0_f64, 0.0_f64, Vec::new());
    for query in reference["queries"].as_array().expect("queries") {
        let evidence = evidence(&network, query);
        let runs = (0.02 / compiled.max(1e-5)).clamp(3.0, 200.0) as usize;
        let mut fastest = f64::INFINITY;
        let mut answer = None;
        for _ in 0..runs {
            let started = Instant::now();
            answer = Some(tree.propagate(&evidence).expect("possible evidence"));
            fastest = fastest.min(started.elapsed().as_secs_f64());
        }
        times.push(fastest);
        let answer = answer.expect("at least one run");
        let expected = query["log_prob_evidence"].as_f64().expect("a number");
        log_error = log_error.max((answer.log_evidence() - expected).abs());
        for (variable, expected) in query["marginals"].as_object().expect("marginals") {
            let found = answer.marginal(network.var(variable).expect("a variable")).expect("all were asked for");
            for (found, expected) in found.iter().zip(expected.as_array().expect("a list")) {
                marginal_error = marginal_error.max((found - expected.as_f64().expect("a number")).abs());
            }
        }
    }
    let prior = times[0];
    times.sort_by(f64::total_cmp);
    println!(
        "{name:<11} {:>5} {:>6} {:>9} {:>5} {:>10.3} {:>10.4} {:>10.4} {:>10.4} {:>10.1e} {:>10.1e}",
        network.len(),
        format!("2^{}", BOUND.ilog2()),
        tree.entries(),
        tree.width(),
        compiled * 1e3,
        times[times.len() / 2] * 1e3,
        times[times.len() - 1] * 1e3,
        prior * 1e3,
        marginal_error,
        log_error
    );
}

fn reference(folder: &Path, name: &str) -> serde_json::Value {
    let plain = folder.join(format!("reference/{name}.json"));
    if let Ok(text) = std::fs::read(&plain) {
        return serde_json::from_slice(&text).expect("JSON");
    }
    let packed = std::fs::File::open(folder.join(format!("reference/{name}.json.zst"))).expect("a reference");
    let mut text = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(packed).expect("zstd").read_to_end(&mut text).expect("whole frames");
    serde_json::from_slice(&text).expect("JSON")
}

fn evidence(network: &Network, query: &serde_json::Value) -> Evidence {
    let mut evidence = Evidence::new();
    for (variable, state) in query["evidence"].as_object().expect("evidence") {
        let id = network.var(variable).expect("a variable");
        evidence.observe(id, network.state(id, state.as_str().expect("a state")).expect("a state of the variable"));
    }
    evidence
}
