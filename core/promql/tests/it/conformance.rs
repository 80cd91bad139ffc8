//! Evaluation against Prometheus' conformance scripts.
use crate::corpus;
use faultline_promqltest::script;

/// Evaluations that pass, all shared scripts together. Only ever raised.
const PASSED_MIN: usize = 2108;

/// Scripts that ship with the sources, so that every checkout has some; `data/NOTICE` says whose they are.
#[test]
fn shipped_scripts_pass() {
    for (name, text, passed) in [
        ("at_modifier", include_str!("data/at_modifier.test"), 78),
        ("literals", include_str!("data/literals.test"), 25),
        ("selectors", include_str!("data/selectors.test"), 31),
        ("operators", include_str!("data/operators.test"), 142),
        ("found", include_str!("data/found.test"), 59),
    ] {
        let outcome = script::run(text);
        assert!(outcome.failed.is_empty(), "{name}\n{}", outcome.failed.join("\n"));
        assert!(outcome.passed >= passed, "{name}: only {} passed: {:?}", outcome.passed, outcome.skipped);
    }
}

#[test]
fn shared_scripts_pass() {
    let Some(folder) = corpus::shared("promqltest") else { return };
    let (mut failed, mut passed, mut total) = (Vec::new(), 0, 0);
    for file in corpus::files(&folder, "test") {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let outcome = script::run(&std::fs::read_to_string(&file).expect("a readable file"));
        let skipped: usize = outcome.skipped.values().sum();
        eprintln!("{name}: {} of {} passed, {skipped} skipped {:?}", outcome.passed, outcome.total(), outcome.skipped);
        failed.extend(outcome.failed.iter().map(|failure| format!("{name} {failure}")));
        passed += outcome.passed;
        total += outcome.total();
    }
    eprintln!("all: {passed} of {total} passed");
    assert!(failed.is_empty(), "{} failed\n{}", failed.len(), failed.join("\n"));
    assert!(passed >= PASSED_MIN, "only {passed} passed");
}
