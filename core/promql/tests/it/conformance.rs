//! Evaluation against Prometheus' conformance scripts.
use crate::corpus;
use faultline_promqltest::script::{self, Names};

/// Evaluations that pass, all shared scripts together, with names dropped in the end and at once. Only ever raised.
const PASSED_MIN: [(Names, usize); 2] = [(Names::InTheEnd, 2112), (Names::AtOnce, 2106)];

/// Scripts that ship with the sources, so that every checkout has some; `data/NOTICE` says whose they are.
#[test]
fn shipped_scripts_pass() {
    for (name, text, passed) in [
        ("at_modifier", include_str!("data/at_modifier.test"), 78),
        ("collision", include_str!("data/collision.test"), 2),
        ("found", include_str!("data/found.test"), 58),
        ("info", include_str!("data/info.test"), 70),
        ("literals", include_str!("data/literals.test"), 25),
        ("name_label_dropping", include_str!("data/name_label_dropping.test"), 22),
        ("operators", include_str!("data/operators.test"), 142),
        ("range_queries", include_str!("data/range_queries.test"), 18),
        ("selectors", include_str!("data/selectors.test"), 31),
        ("staleness", include_str!("data/staleness.test"), 17),
        ("start_timestamps", include_str!("data/start_timestamps.test"), 26),
        ("subquery", include_str!("data/subquery.test"), 34),
    ] {
        for names in [Names::InTheEnd, Names::AtOnce] {
            let outcome = script::run(text, names);
            assert!(outcome.failed.is_empty(), "{name}, {names:?}\n{}", outcome.failed.join("\n"));
            assert!(outcome.passed >= passed, "{name}: only {} passed: {:?}", outcome.passed, outcome.skipped);
            assert!(names == Names::AtOnce || outcome.skipped.is_empty(), "{name}: {:?}", outcome.skipped);
        }
    }
    let outcome = script::run(include_str!("data/found_at_once.test"), Names::AtOnce);
    assert_eq!((outcome.passed, outcome.failed), (1, Vec::new()));
}

#[test]
fn shared_scripts_pass() {
    let Some(folder) = corpus::shared("promqltest") else { return };
    for (names, passed_min) in PASSED_MIN {
        let (mut failed, mut passed, mut total) = (Vec::new(), 0, 0);
        for file in corpus::files(&folder, "test") {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let outcome = script::run(&std::fs::read_to_string(&file).expect("a readable file"), names);
            let skipped: usize = outcome.skipped.values().sum();
            eprintln!(
                "{name}: {} of {} passed, {skipped} skipped {:?}",
                outcome.passed,
                outcome.total(),
                outcome.skipped
            );
            failed.extend(outcome.failed.iter().map(|failure| format!("{name} {failure}")));
            passed += outcome.passed;
            total += outcome.total();
        }
        eprintln!("{names:?}: {passed} of {total} passed");
        assert!(failed.is_empty(), "{names:?}: {} failed\n{}", failed.len(), failed.join("\n"));
        assert!(passed >= passed_min, "{names:?}: only {passed} passed");
    }
}
