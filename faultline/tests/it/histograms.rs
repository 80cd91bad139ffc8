//! Native histograms through the whole engine: in by OTLP, recorded by one rule, alerted on by another, on the grid and in streams,
//! and the same after a restore anywhere.
use crate::journal::SEED;
use faultline::world::control;
use faultline_engine::{Effect, Effects, Engine};
use faultline_formats::{Decoded, Record, decode};
use faultline_model::facts::Decision;
use faultline_model::{
    Canonical, Clock, Control, Encoding, Evaluation, Format, Hlc, Kind, Millis, Payload, Position, RuleFile, RuleFiles,
    SourceId, TenantId,
};

const START: Millis = Millis(1_700_000_000_000);
const RULES: &str = "groups:\n- name: g\n  interval: 5s\n  rules:\n  \
    - {record: 'job:took', expr: 'sum(rate(took_seconds[30s]))'}\n  \
    - {alert: Slow, expr: 'histogram_quantile(0.9, sum(rate(took_seconds[30s]))) > 4'}\n  \
    - {alert: SlowRecorded, expr: 'histogram_quantile(0.9, job:took) > 4'}\n  \
    - {alert: Many, expr: 'histogram_count(took_seconds) > 50'}\n  \
    - {alert: Never, expr: 'histogram_count(took_seconds) > 150'}\n";

/// A body of exponential histograms of two instances: so many of 1 to 2 s, so many of 8 to 16 s.
fn body(at: Millis, quick: u64, slow: u64) -> Decoded {
    let points = ["a", "b"].map(|instance| {
        format!(
            r#"{{"attributes":[{{"key":"i","value":{{"stringValue":"{instance}"}}}}],"timeUnixNano":"{}000000",
               "count":"{}","sum":{},"scale":0,"positive":{{"offset":0,"bucketCounts":["{quick}","0","0","{slow}"]}}}}"#,
            at.0,
            quick + slow,
            quick + 8 * slow,
        )
    });
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"took","unit":"s","exponentialHistogram":
           {{"aggregationTemporality":2,"dataPoints":[{}]}}}}]}}]}}]}}"#,
        points.join(",")
    );
    let (source, encoding, clock) = (SourceId([1; 16]), Encoding::Identity, Clock::Live);
    let kind = Kind::Telemetry { source, format: Format::OtlpMetricsJson, encoding, clock };
    let decoded = decode(Payload { tenant: TenantId(0), kind, body: text.into() }, SEED);
    assert_eq!((decoded.events.histograms.len(), &decoded.rejects[..]), (2, &[][..]));
    decoded
}

/// Rules, then two minutes of which the second is slow.
fn records(evaluation: Evaluation) -> Vec<Record> {
    let files = vec![RuleFile { name: "t.yml".into(), text: RULES.into() }];
    let files = RuleFiles { files, default_evaluation: evaluation, ..RuleFiles::default() };
    let mut all = vec![(START, control(Control::Rules, files.to_bytes(), SEED))];
    let (mut quick, mut slow) = (0, 0);
    for second in 1..=120 {
        let at = START.plus(second * 1000);
        (quick, slow) = if second <= 60 { (quick + 1, slow) } else { (quick, slow + 1) };
        all.push((at, body(at, quick, slow)));
    }
    let mut stamp = Hlc::default();
    let numbered = all.into_iter().zip(0..).map(|((at, decoded), offset)| {
        stamp = stamp.next(at);
        Record { at: Position { partition: 0, offset }, stamp, decoded }
    });
    numbered.collect()
}

/// Alerts by name with the second at which they began to fire, and how many histograms were accepted, those recorded included.
fn outcome(effects: &Effects) -> (Vec<(String, i64)>, usize) {
    let alerts = effects.decisions().filter_map(|(_, decision)| match decision {
        Decision::Alert(alert) => Some((alert.name.clone(), alert.at.since(START) / 1000)),
        _ => None,
    });
    let accepted = effects.list.iter().map(|effect| match effect {
        Effect::Accepted(accepted) => accepted.histograms.iter().filter(|(_, it)| !it.is_stale()).count(),
        _ => 0,
    });
    (alerts.collect(), accepted.sum())
}

fn check(evaluation: Evaluation, names: &[&str], first: std::ops::RangeInclusive<i64>) {
    let records = records(evaluation);
    let (mut whole, mut effects) = (Engine::new(SEED), Effects::default());
    whole.step(&records, &mut effects);
    let (alerts, accepted) = outcome(&effects);
    let mut found: Vec<&str> = alerts.iter().map(|(name, _)| &**name).collect();
    found.sort();
    found.dedup();
    assert_eq!(found, names, "{evaluation:?}");
    let slow = alerts.iter().find(|(name, _)| name == "Slow").expect("it fires").1;
    assert!(first.contains(&slow), "{evaluation:?}: {alerts:?}");
    assert!(accepted > 2 * 120 + 20, "those of two instances, and those recorded: {accepted}");
    for cut in [1, 30, 61, 75, 110] {
        let (mut part, mut effects) = (Engine::new(SEED), Effects::default());
        part.step(&records[..cut], &mut effects);
        let mut part = Engine::restore(part.checkpoint()).expect("just written");
        part.step(&records[cut..], &mut effects);
        assert_eq!(part.checkpoint().first_difference(&whole.checkpoint()), None, "{evaluation:?} cut at {cut}");
        assert_eq!(outcome(&effects), outcome_of(&records), "{evaluation:?} cut at {cut}");
    }
}

fn outcome_of(records: &[Record]) -> (Vec<(String, i64)>, usize) {
    let (mut engine, mut effects) = (Engine::new(SEED), Effects::default());
    engine.step(records, &mut effects);
    outcome(&effects)
}

#[test]
fn rules_over_native_histograms_fire() {
    let names = ["Many", "Slow", "SlowRecorded"];
    // A tenth of 30 s slow: 3 s after the first slow one, and before the next instant of the grid.
    check(Evaluation::Grid, &names, 61..=70);
    check(Evaluation::Stream, &names, 61..=66);
}
