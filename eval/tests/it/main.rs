//! Integration tests: the language and the rules beside a real Prometheus and its promtool.
mod alerts;
mod bn;

use faultline_eval::promql::{prometheus::services, random};
use faultline_promql::{Feature, Features};

/// A sample of what `cargo xtask eval promql --random 100000` asks.
#[test]
fn random_expressions_have_the_values_of_prometheus() {
    if services(&["need", "prometheus"]).expect("xtask runs").trim() != "yes" {
        return;
    }
    let additions = Features::additions();
    for features in [additions, additions.with(Feature::DelayedNameRemoval)] {
        let mut differences = Vec::new();
        let counts = random::run(features, 1, 300, &mut |difference| differences.push(difference.to_string()));
        let counts = counts.expect("a run");
        eprintln!("{counts}");
        assert!(differences.is_empty(), "{}\n{counts}", differences.join("\n"));
        assert!(counts.with_values > 300 && counts.failed > 10, "{counts}");
    }
}
