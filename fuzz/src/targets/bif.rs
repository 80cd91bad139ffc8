//! Networks in BIF, and in UAI's format where the first word says so: read, compiled where they are small, and asked.
use crate::Target;
use faultline_bayes::{Evidence, Tree, VarId, bif, uai};

/// The target.
pub const TARGET: Target = Target { name: "bif", size_max: 4 << 10, run, seeds };

/// Table entries of the trees that are compiled.
const BOUND: u64 = 1 << 12;

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.starts_with("MARKOV") || text.starts_with("BAYES") {
        return run_uai(text);
    }
    let network = match bif::parse(text) {
        Ok(network) => network,
        Err(error) => return assert_eq!(bif::parse(text).err().map(|e| e.to_string()), Some(error.to_string())),
    };
    let Ok(tree) = Tree::compile(&network, BOUND) else { return };
    ask(&tree, network.variables(), &Evidence::new());
}

/// A network, and after a line `EVID` the evidence put to it.
fn run_uai(text: &str) {
    let (model, evidence) = text.split_once("\nEVID").unwrap_or((text, "0"));
    let evidence = uai::parse_evidence(evidence).unwrap_or_default();
    match uai::parse(model) {
        Ok(uai::Model::Bayes(network)) => {
            let Ok(tree) = Tree::compile(&network, BOUND) else { return };
            ask(&tree, network.variables(), &evidence);
        }
        Ok(uai::Model::Markov(graph)) => {
            let Ok(tree) = graph.compile(BOUND) else { return };
            ask(&tree, graph.variables(), &evidence);
        }
        Err(error) => assert_eq!(uai::parse(model).err().map(|e| e.to_string()), Some(error.to_string())),
    }
}

fn ask(tree: &Tree, variables: impl Iterator<Item = VarId>, evidence: &Evidence) {
    let Ok(posteriors) = tree.propagate(evidence) else { return };
    for variable in variables {
        let Some(marginal) = posteriors.marginal(variable) else { continue };
        let sum: f64 = marginal.iter().sum();
        assert!((sum - 1.0).abs() < 1e-9, "probabilities sum to {sum}");
        assert!(marginal.iter().all(|p| (0.0..=1.0 + 1e-9).contains(p)), "{marginal:?}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "network unknown {\n}\nvariable a {\n  type discrete [ 2 ] { yes, no };\n}\nvariable b {\n  type discrete [ 3 ] { lo, mid, hi };\n}\nprobability ( a ) {\n  table 0.2, 0.8;\n}\nprobability ( b | a ) {\n  (yes) 0.1, 0.2, 0.7;\n  (no) 0.5, 0.25, 0.25;\n}\n",
        "network \"x\" { property version 1; }\n// c\nvariable v { type discrete[2]{\"0\" \"1\"}; property p = 1; }\n/* d */ probability(v) { default 0.5 0.5; }\n",
        "variable a{type discrete[1]{x};}variable b{type discrete[2]{x,y};}probability(b|a){table 1e-3,0.999;}probability(a){table 1.0;}",
        "MARKOV\n3\n2 2 3\n2\n2 0 1\n2 1 2\n4\n4 2.4 1 0\n6\n2.25 3.25 3.75 0 0 10\nEVID 1 2 1",
        "BAYES 2 2 2 2 1 0 2 0 1 2 0.4 0.6 4 1 0 1e-200 1",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
