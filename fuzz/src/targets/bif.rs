//! Bayesian networks in BIF: read, compiled where they are small, and asked.
use crate::Target;
use faultline_bayes::{Evidence, Tree, bif};

/// The target.
pub const TARGET: Target = Target { name: "bif", size_max: 4 << 10, run, seeds };

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let network = match bif::parse(text) {
        Ok(network) => network,
        Err(error) => return assert_eq!(bif::parse(text).err().map(|e| e.to_string()), Some(error.to_string())),
    };
    let Ok(tree) = Tree::compile(&network, 1 << 12) else { return };
    let Ok(posteriors) = tree.propagate(&Evidence::new()) else { return };
    for variable in network.variables() {
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
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
