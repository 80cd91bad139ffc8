//! Rule files: what Prometheus reads is read, what it refuses is refused with its line.
use faultline_model::{Evaluation, RuleFile, RuleFiles};
use faultline_rules::{RuleError, RuleKind, RuleSet, parse};
use std::path::{Path, PathBuf};

fn set(text: &str) -> RuleFiles {
    RuleFiles { files: vec![RuleFile { name: "t.yml".into(), text: text.into() }], ..RuleFiles::default() }
}

fn read(text: &str) -> Result<RuleSet, RuleError> {
    parse(&set(text))
}

/// `text` is the list of a group's rules.
fn rules(text: &str) -> String {
    let indented: String = text.lines().map(|l| format!("      {l}\n")).collect();
    format!("groups:\n  - name: g\n    rules:\n{indented}")
}

#[test]
fn what_prometheus_refuses_is_refused_with_its_line() {
    // The first dozen are Prometheus' own bad files (model/rulefmt/testdata), retold.
    let cases: &[(String, u64, &str)] = &[
        (rules("- record: yolo\n  expr: rate(hi)"), 5, "could not parse expression"),
        (rules("- alert: hola\n  expr: 1\n  annotation: {a: b}"), 6, "field annotation not found"),
        ("groups:\n  - name: yolo\n  - name: yolo".into(), 3, "groupname: \"yolo\" is repeated"),
        (rules("- record: hola\n  expr: 1\n  labels:\n    __name__: x"), 7, "invalid label name: __name__"),
        (rules("- record: a{b=\"c\"}\n  expr: 1"), 4, "braces present"),
        (rules("- expr: 1"), 4, "one of 'record' or 'alert' must be set"),
        (rules("- record: ylo"), 4, "field 'expr' must be set"),
        (rules("- record: Hi\n  alert: Hello\n  expr: 1"), 4, "only one of 'record' and 'alert'"),
        (rules("- record: Hello\n  expr: 1\n  for: 1m"), 4, "invalid field 'for' in recording rule"),
        (rules("- record: Hello\n  expr: 1\n  keep_firing_for: 1m"), 4, "invalid field 'keep_firing_for'"),
        (rules("- record: Hello\n  expr: 1\n  annotations: {a: b}"), 4, "invalid field 'annotations'"),
        ("groups:\n  - rules: []".into(), 2, "Groupname must not be empty"),
        ("group:\n  - name: a".into(), 1, "field group not found in the file"),
        ("groups:\n  - name: a\n    evaluation: stream".into(), 3, "field evaluation not found in a group"),
        ("groups:\n  - name: a\n    interval: 5".into(), 3, "not a valid duration string: \"5\""),
        ("groups:\n  - name: a\n    interval: 1x".into(), 3, "unknown unit \"x\""),
        ("groups:\n  - name: a\n    limit: many".into(), 3, "is not a whole number"),
        ("groups:\n  - name: a\n    interval: [1s]".into(), 3, "must be a text, not a list"),
        ("groups:\n  name: a".into(), 2, "must be a list, not a mapping"),
        ("- name: a".into(), 1, "must be a mapping of names to values, not a list"),
        (rules("- alert: a\n  expr: 1\n  for: -5m"), 6, "not a valid duration string"),
        (rules("- alert: a\n  expr: 1\n  labels: {\"\": x}"), 6, "invalid label name"),
        (rules("- alert: a\n  expr: 1\n  annotations:\n    s: \"{{ $nope }}\""), 7, "undefined variable \"$nope\""),
        (rules("- alert: a\n  expr: 1\n  annotations:\n    s: \"{{ nope }}\""), 7, "function \"nope\" not defined"),
        (rules("- alert: a\n  expr: 1\n  labels:\n    s: \"{{ if }}\""), 7, "missing value for if"),
        (rules("- alert: a\n  expr: |\n    up ==\n    == 1"), 7, "could not parse expression"),
        (rules("- alert: a\n  alert: b\n  expr: 1"), 5, "already set on line 4"),
        ("groups:\n  - name: \"a".into(), 2, "not YAML"),
        ("groups: [\n".into(), 2, "not YAML"),
        ("groups:\n\t- name: a".into(), 2, "not YAML"),
        ("groups: *nope".into(), 1, "not YAML"),
        ("groups: &a [*a]".into(), 1, "an alias stands inside the value that it names"),
        (format!("groups: {}{}", "[".repeat(40), "]".repeat(40)), 1, "nested more than 32 deep"),
    ];
    for (text, line, reason) in cases {
        match read(text) {
            Err(e) => assert!(
                e.line == *line && e.reason.contains(reason) && e.file == "t.yml",
                "{text}\nline {line}: {reason}\n{e}"
            ),
            Ok(_) => panic!("{text}\nwas read, expected: {reason}"),
        }
    }
}

#[test]
fn what_prometheus_reads_is_read() {
    let cases = [
        (String::new(), 0),
        ("# nothing\n".into(), 0),
        ("groups:\n".into(), 0),
        ("groups: []\n---\nnot: read\n".into(), 0),
        ("\u{feff}groups: []".into(), 0),
        (rules("- record: hola\n  expr: 1\n  labels:\n    ins-tance: localhost"), 1),
        (rules("- alert: hola\n  expr: 1\n  annotations:\n    ins-tance: localhost"), 1),
        (rules("- alert: hola\n  expr: 1\n  for: 0\n  labels: {n: 5, b: true, x: ~}"), 1),
        (rules("- alert: a\n  expr: 1\n- alert: a\n  expr: 1"), 2),
        // It fails at each evaluation, but it is a rule.
        (rules("- alert: a\n  expr: up[5m]"), 1),
        (
            rules(
                "- &x\n  alert: a\n  expr: &e up\n  labels: &l {s: c}\n- record: b\n  expr: *e\n- <<: *x\n  alert: c\n- alert: d\n  expr: *e\n  labels:\n    <<: *l\n    t: u",
            ),
            4,
        ),
    ];
    for (text, count) in cases {
        let set = read(&text).unwrap_or_else(|e| panic!("{text}\n{e}"));
        assert_eq!(set.groups.iter().map(|g| g.rules.len()).sum::<usize>(), count, "{text}");
    }
}

#[test]
fn every_field_reaches_its_place() {
    let text = "groups:\n- name: g\n  interval: 15s\n  query_offset: 1m\n  limit: 7\n  labels: {team: a, tier: x}\n  rules:\n  \
                - alert: A\n    expr: absent(up)\n    for: 5m\n    keep_firing_for: 1h\n    labels: {tier: \"{{ $value }}\"}\n    \
                annotations: {z: Z, a: A}\n  - record: r\n    expr: sum(up)\n- name: h\n";
    let mut files = set(text);
    files.default_interval = 30_000;
    files.groups = vec![("h".into(), Evaluation::Stream), ("nobody".into(), Evaluation::Stream)];
    files.external_labels = vec![("cluster".into(), "eu".into())];
    let set = parse(&files).expect("a good file");
    let [g, h] = &set.groups[..] else { panic!("two groups") };
    assert_eq!((g.interval_ms, g.query_offset_ms, g.limit, g.evaluation), (15_000, 60_000, 7, Evaluation::Grid));
    assert_eq!((h.interval_ms, h.query_offset_ms, h.limit, h.evaluation), (30_000, 0, 0, Evaluation::Stream));
    assert_eq!((g.key(), set.external_labels.get("cluster")), ("t.yml;g".to_string(), "eu"));
    let [alert, record] = &g.rules[..] else { panic!("two rules") };
    let RuleKind::Alert(alerting) = &alert.kind else { panic!("an alert") };
    assert_eq!((alerting.for_ms, alerting.keep_firing_for_ms), (300_000, 3_600_000));
    assert_eq!(*alert.labels, [("team".to_string(), "a".to_string()), ("tier".into(), "{{ $value }}".into())]);
    assert_eq!(alerting.annotations.iter().map(|(n, t)| (&**n, &**t)).collect::<Vec<_>>(), [("a", "A"), ("z", "Z")]);
    assert!(alert.asks_absence && !record.asks_absence && record.kind == RuleKind::Record);
    assert_eq!((alert.line, record.line), (8, 14));
}

#[test]
fn absence_is_seen_in_the_words_of_the_expression() {
    for (expr, asks) in [
        ("absent(up)", true),
        ("sum(x) or absent_over_time (x[5m])", true),
        ("absent", false),
        ("up unless on (job) down", true),
        ("unlessness > 1", false),
        ("absent_total > 1", false),
        ("up{a=\"absent(x)\"}", false),
        ("up{a='\\'absent(x)'}", false),
        ("up # absent(x)\n > 1", false),
        ("up == 1 and\n  absent\n(x)", true),
    ] {
        let text = rules(&format!(
            "- alert: a\n  expr: |\n{}",
            expr.lines().map(|l| format!("    {l}\n")).collect::<String>()
        ));
        let set = read(&text).unwrap_or_else(|e| panic!("{text}\n{e}"));
        assert_eq!(set.groups[0].rules[0].asks_absence, asks, "{expr}");
    }
}

#[test]
fn bounds_hold() {
    let many = rules(&"- record: a\n  expr: 1\n".repeat(10_001));
    let labels = rules(&format!(
        "- record: a\n  expr: 1\n  labels: {{{}}}",
        (0..129).map(|i| format!("l{i}: x")).collect::<Vec<_>>().join(", ")
    ));
    let huge = format!("# {}\n", "x".repeat(4 << 20));
    // A billion laughs: ten levels of ten aliases each.
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..10 {
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", ")));
    }
    for (text, reason) in [
        (many, "more than 10000 rules"),
        (labels, "more than 128 labels"),
        (huge, "more than 4194304"),
        (bomb, "more than 1000000 values once aliases are followed"),
    ] {
        let error = read(&text).expect_err(reason);
        assert!(error.reason.contains(reason), "{error}");
    }
    let two =
        RuleFiles { files: vec![RuleFile { name: "t.yml".into(), text: String::new() }; 2], ..RuleFiles::default() };
    assert_eq!(parse(&two).map(|s| s.groups.len()), Ok(0), "empty files name no group twice");
}

/// Every real rule file loads: promtool 3.15 accepts all of them.
#[test]
fn real_rule_files_load() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let shared = std::env::var_os("FAULTLINE_DATA").map_or(beside, PathBuf::from).join("alert-rules");
    let mut found = yaml_files(&own);
    assert_eq!(found.len(), 5);
    if shared.is_dir() {
        found.append(&mut yaml_files(&shared));
    } else {
        eprintln!("SKIPPED: no alert-rules in the shared data (set FAULTLINE_DATA to the folder that holds it)");
    }
    let (mut alerts, mut refused) = (0, Vec::new());
    for path in &found {
        match read(&std::fs::read_to_string(path).expect("a readable file")) {
            Ok(set) => alerts += set.groups.iter().map(|g| g.rules.len()).sum::<usize>(),
            Err(e) => refused.push(format!("{}: {e}", path.display())),
        }
    }
    println!("{} files, {alerts} alerts, {} refused", found.len(), refused.len());
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            found.append(&mut yaml_files(&path));
        } else if path.extension().is_some_and(|e| e == "yml") {
            found.push(path);
        }
    }
    found.sort();
    found
}
