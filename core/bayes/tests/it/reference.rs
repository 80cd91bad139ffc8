//! Published networks against reference answers: run with `FAULTLINE_BN_DATA` naming the folder that holds them.
//!
//! The networks are not ours to ship. Their folder has `networks/<name>.bif` and `reference/<name>.json[.zst]` with queries:
//! evidence, the natural logarithm of its probability, and the marginals of all variables.
use std::io::Read;
use std::path::Path;

use faultline_bayes::{Evidence, Tree, bif};
use serde_json::Value;

#[test]
fn published_networks() {
    let Some(folder) = std::env::var_os("FAULTLINE_BN_DATA") else {
        println!("SKIPPED: FAULTLINE_BN_DATA does not name a folder of networks and reference answers");
        return;
    };
    let folder = Path::new(&folder);
    let mut files: Vec<_> = std::fs::read_dir(folder.join("networks"))
        .expect("networks")
        .map(|file| file.expect("a file").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no networks");
    for file in files {
        let name = file.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let network = bif::parse(&std::fs::read_to_string(&file).expect("text")).expect("a network");
        let tree = Tree::compile(&network, 1 << 27).expect("within a gigabyte");
        let (mut worst, mut worst_log, mut queries) = (0.0, 0.0, 0);
        for query in reference(folder, &name)["queries"].as_array().expect("queries") {
            let mut evidence = Evidence::new();
            for (variable, state) in query["evidence"].as_object().expect("evidence") {
                let id = network.var(variable).expect("a variable");
                evidence.observe(id, network.state(id, state.as_str().expect("text")).expect("a state"));
            }
            let found = tree.propagate(&evidence).expect("possible");
            let error = (found.log_evidence() - query["log_prob_evidence"].as_f64().expect("a number")).abs();
            worst_log = if error > worst_log { error } else { worst_log };
            let marginals = query["marginals"].as_object().expect("marginals");
            assert_eq!(marginals.len(), network.len());
            for (variable, expected) in marginals {
                let found = found.marginal(network.var(variable).expect("a variable")).expect("asked for");
                let expected = expected.as_array().expect("numbers");
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(expected) {
                    let error = (found - expected.as_f64().expect("a number")).abs();
                    worst = if error > worst { error } else { worst };
                }
            }
            queries += 1;
        }
        println!("{name}: {queries} queries, marginals within {worst:.1e}, ln P(e) within {worst_log:.1e}");
        assert!(worst < 1e-12 && worst_log < 1e-11, "{name}");
    }
}

fn reference(folder: &Path, name: &str) -> Value {
    if let Ok(text) = std::fs::read(folder.join(format!("reference/{name}.json"))) {
        return serde_json::from_slice(&text).expect("JSON");
    }
    let packed = std::fs::File::open(folder.join(format!("reference/{name}.json.zst"))).expect("a reference");
    let mut text = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(packed).expect("zstd").read_to_end(&mut text).expect("whole frames");
    serde_json::from_slice(&text).expect("JSON")
}
