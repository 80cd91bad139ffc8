//! `faultline rules test` over promtool's own test data: which files pass is what its `unittest_test.go` says.
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/unit_tests")
}

fn ours(file: &str, options: &[&str]) -> (bool, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_faultline"))
        .args(["rules", "test", "-o", "json"])
        .args(options)
        .arg(folder().join(file))
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    (output.status.success(), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}: {text}")))
}

/// Whether each file passes, and what is said where it does not.
const FILES: &[(&str, &[&str], Result<(), &str>)] = &[
    ("unittest.yml", &[], Ok(())),
    ("long-period.yml", &[], Ok(())),
    ("at-modifier-test.yml", &[], Ok(())),
    ("negative-offset-test.yml", &[], Ok(())),
    ("no-test-group-interval.yml", &[], Ok(())),
    ("start-time-test.yml", &[], Ok(())),
    ("bad-input-series.yml", &[], Err("input series")),
    ("bad-promql.yml", &[], Err("many-to-many")),
    ("bad-rules-error-test.yml", &[], Err("rule: joined, time: 0s, err: found duplicate series")),
    ("bad-rules-syntax-test.yml", &[], Err("bad-rules-syntax.yml:")),
    ("failing.yml", &[], Err("expected and not firing")),
    ("rules_run.yml", &[], Err("wrong test")),
    ("rules_run.yml", &["--run", "correct"], Ok(())),
    ("rules_run.yml", &["--run", "wrong"], Err("time: 0s")),
    ("rules_run_fuzzy.yml", &["--run", "correct"], Ok(())),
    ("rules_run_fuzzy.yml", &["--run", "wrong"], Err("time: 0s")),
    ("rules_run_no_fuzzy.yml", &[], Err("time: 0s")),
];

#[test]
fn files_of_promtool_go_as_they_go_there() {
    for (file, options, expected) in FILES {
        let (passed, report) = ours(file, options);
        let text = serde_json::to_string_pretty(&report).expect("it is JSON");
        match expected {
            Ok(()) => assert!(passed && report["failed"] == 0, "{file} {options:?}: {text}"),
            Err(words) => {
                assert!(!passed && report["failed"] != 0, "{file} {options:?}: {text}");
                assert!(text.contains(words), "{file} {options:?}: {text}");
            }
        }
    }
}
