//! Rule files: read, put in force, run over a few series, and their state written and read back.
use crate::Target;
use crate::small::{NOW, Series};
use faultline_model::table::PageBytes;
use faultline_model::{Evaluation, Millis, Position, Reader, RuleFile, RuleFiles, TenantId, Writer};
use faultline_promql::Features;
use faultline_rules::{Rules, parse};

/// The target.
pub const TARGET: Target = Target { name: "rules", size_max: 6 << 10, run, seeds };

fn run(bytes: &[u8]) {
    let (Some((&choice, _)), text) = (bytes.split_first(), bytes.get(1..).unwrap_or_default()) else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let files = RuleFiles {
        files: vec![RuleFile { name: "f.yml".into(), text: text.into() }],
        default_evaluation: if choice % 2 == 0 { Evaluation::Grid } else { Evaluation::Stream },
        features: Features::additions().names().map(str::to_string).collect(),
        ..RuleFiles::default()
    };
    let set = parse(&files);
    assert!(set == parse(&files), "the same file reads the same");
    let (mut series, mut out) = (Series::default(), Vec::new());
    let mut rules = Rules::new(TenantId(0));
    let loaded = rules.load(&files, NOW, Position::default(), &mut series, &mut out);
    assert_eq!(loaded.is_ok(), set.is_ok());
    if loaded.is_err() {
        return;
    }
    series.selectors = rules.selectors();
    for ms in [0, 1, 60_000, 120_000] {
        rules.advance(NOW.plus(ms), Position::default(), &mut series, &mut out);
    }
    let (rest, pages) = written(&mut rules);
    let mut again = Rules::read(&mut Reader::new(&rest), &mut pages.clone()).expect("what is written reads back");
    assert!(written(&mut again) == (rest, pages), "state is written back byte for byte");
    // All alerts end, whatever they were.
    rules
        .load(&RuleFiles::default(), Millis(NOW.0 + 120_000), Position::default(), &mut series, &mut out)
        .expect("no rules");
    assert_eq!(rules.active().count(), 0);
}

fn written(rules: &mut Rules) -> (Vec<u8>, PageBytes) {
    let mut w = Writer::default();
    rules.write_rest(&mut w);
    (w.into_bytes(), PageBytes::of(rules.tables()))
}

fn seeds() -> Vec<Vec<u8>> {
    const ALL: &str = "groups:\n- name: g\n  interval: 15s\n  limit: 9\n  query_offset: 1s\n  labels: {team: x}\n  rules:\n  - record: a:b\n    expr: sum(a)\n    labels: {l: '1'}\n  - alert: A\n    expr: a > 1\n    for: 1m\n    keep_firing_for: 2m\n    labels: {severity: page, v: '{{ $value }}'}\n    annotations:\n      summary: '{{ $labels.i }} is {{ $value | humanize }}'\n";
    const ANCHORS: &str = "groups:\n- &g {name: a, rules: [{alert: X, expr: |-\n    up\n    == 0, annotations: {d: \"{{ query \\\"a\\\" | first | value }}\"}}]}\n- {<<: *g, name: b}\n";
    // Not the built-in rules, which change with the product: `step` has them.
    let texts = [ALL, ANCHORS, "groups: []\n---\nx: y\n", "\u{feff}groups:\n  - name: \"a\"\n    rules: ~\n"];
    texts.iter().flat_map(|text| (0..2).map(|choice| [&[choice], text.as_bytes()].concat())).collect()
}
