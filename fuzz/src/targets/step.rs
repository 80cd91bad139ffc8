//! Hostile records through the engine: what `replay` and `verify` do with a journal that anyone may have written.
//!
//! An input is a list of records, each any bytes at all or something small and well formed, so that alerts, incidents and
//! explanations happen too. Nothing may panic, and the laws of `step` hold: batches and restarts change nothing.
use crate::Target;
use crate::input::{Input, part};
use bytes::Bytes;
use faultline_engine::{Ask, Effect, Effects, Engine, Revisit};
use faultline_formats::encode::{self, Log, ResourceLogs, ResourceSpans, Span};
use faultline_formats::{Record, SpanKind, SpanStatus, decode};
use faultline_model::facts::{Stretch, Verdict};
use faultline_model::*;
use faultline_rules::BUILTIN;
use std::collections::BTreeMap;

/// The target.
pub const TARGET: Target = Target { name: "step", size_max: 4 << 10, run, seeds };

/// Keys every hash of foreign bytes here.
pub const SEED: HashSeed = HashSeed(3);
const START: Millis = Millis(1_700_000_000_000);
const RECORDS_MAX: usize = 48;
/// Rule time that an input's records may take together, in ms, less the gaps: rules are evaluated every second of it.
const SPAN_MS: i64 = 15 * 60_000;
/// A step at least this long is a gap, whose instants the engine skips.
const GAP_MS: i64 = 86_400_000;
/// How far time goes on before a record, in ms.
const STEPS_MS: [i64; 10] = [0, 1, 100, 500, 1_000, 1_000, 5_000, 15_000, 300_000, GAP_MS];
const RULES: [&str; 4] = [
    "groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: A\n    expr: m0 > 3\n    labels: {service: s0}\n  - record: r\n    expr: sum(m0)\n",
    "groups:\n- name: g\n  interval: 5s\n  rules:\n  - alert: A\n    expr: m0 > 1\n    for: 2s\n    keep_firing_for: 3s\n    labels: {service: s1}\n    annotations: {d: '{{ query \"m1\" | first | value }}'}\n  - alert: B\n    expr: absent(m2)\n",
    BUILTIN,
    "groups: []\n",
];

fn run(bytes: &[u8]) {
    let mut engine = Engine::new(SEED);
    let (records, effects) = replay(&mut engine, bytes);
    let state = engine.checkpoint();

    let mut batched = Engine::new(SEED);
    let mut together = Effects::default();
    batched.step(&records, &mut together);
    assert!(
        batched.checkpoint() == state,
        "a batch changes the state: {:?}",
        batched.checkpoint().first_difference(&state)
    );
    // As text: a NaN is not equal to itself.
    let same = together == effects || format!("{together:?}") == format!("{effects:?}");
    assert!(same, "a batch changes the effects");

    let (before, after) = records.split_at(records.len() / 2);
    let mut first = Engine::new(SEED);
    first.step(before, &mut Effects::default());
    let mut second = Engine::restore(first.checkpoint()).expect("our own state is taken up");
    second.step(after, &mut Effects::default());
    let restarted = second.checkpoint();
    assert!(restarted == state, "a restart changes the state: {:?}", restarted.first_difference(&state));
}

/// Steps over the records that `bytes` stand for, one by one; answers to asks come where the bytes say so.
pub fn replay(engine: &mut Engine, bytes: &[u8]) -> (Vec<Record>, Effects) {
    let (mut input, mut records, mut all) = (Input(bytes), Vec::new(), Effects::default());
    let next = engine.last().map_or(1, |last| last.offset + 1);
    let mut now = engine.now().max(START);
    let (mut asked, mut lacks, mut span): (_, Lacks, _) = (None, None, 0);
    let mut past: Past = None;
    for offset in (next..).take(RECORDS_MAX) {
        if input.is_empty() {
            break;
        }
        let (op, time) = (input.byte(), input.byte());
        let step = STEPS_MS[usize::from(time) % STEPS_MS.len()];
        if step >= GAP_MS || span + step <= SPAN_MS {
            now = now.plus(step);
            span += step % GAP_MS;
        }
        let payload = payload(op, now, asked, lacks, &past, &mut input);
        let at = Position { partition: 0, offset };
        let record = Record { at, stamp: Hlc(0).next(now), decoded: decode(payload, SEED) };
        let mut effects = Effects::default();
        engine.step(std::slice::from_ref(&record), &mut effects);
        for effect in &effects.list {
            if let Effect::Ask(id, _) = effect {
                asked = Some(*id);
            }
            if let Effect::Ask(id, Ask::Recall(recall)) = effect {
                lacks = Some((*id, Digest::of(&recall.to_bytes())));
            }
            if let Effect::Ask(id, Ask::Revise(revise)) = effect {
                past = Some((*id, revise.asked.clone()));
            }
        }
        records.push(record);
        all.list.extend(effects.list);
    }
    (records, all)
}

/// What late rules lack: the question and its digest.
type Lacks = Option<(EffectId, Digest)>;
/// What was asked about past instants.
type Past = Option<(EffectId, Revisit)>;

fn payload(op: u8, now: Millis, asked: Option<EffectId>, lacks: Lacks, past: &Past, input: &mut Input<'_>) -> Payload {
    let clock = if op & 16 == 0 { Clock::Live } else { Clock::Import };
    let source = SourceId([op >> 5; 16]);
    let telemetry = |format| Kind::Telemetry { source, format, encoding: Encoding::Identity, clock };
    let (kind, body) = match op % 16 {
        number @ 0..=3 => {
            let format = Format::from_number(1 + number).expect("four formats");
            (telemetry(format), input.part().to_vec())
        }
        4 => (telemetry(Format::RemoteWrite1), samples(now, input)),
        5 | 6 => (telemetry(Format::OtlpTraces), spans(now, input)),
        7 => (telemetry(Format::OtlpLogs), logs(now, input)),
        8 => {
            let choice = input.byte();
            let text = match choice % 8 {
                number @ 0..=3 => RULES[usize::from(number)].to_string(),
                _ => String::from_utf8_lossy(input.part()).into_owned(),
            };
            let evaluation = if choice & 128 == 0 { Evaluation::Grid } else { Evaluation::Stream };
            let files = vec![RuleFile { name: "f.yml".into(), text }];
            let files = RuleFiles { files, default_evaluation: evaluation, ..RuleFiles::default() };
            (Kind::Control(Control::Rules), files.to_bytes())
        }
        9 => {
            let name = ["limits.series", "anchor.bytes", "nope"][input.below(3)];
            let setting = Setting { name: name.into(), value: input.short().to_string() };
            (Kind::Control(Control::Setting), setting.to_bytes())
        }
        10 => {
            let text = |input: &mut Input<'_>| format!("s{}", input.byte() % 8);
            let change = ChangeEvent {
                entity: text(input),
                kind: "deploy".into(),
                title: text(input),
                version: String::new(),
                at: now.plus(i64::from(input.byte() as i8) * 1_000),
                by: String::new(),
            };
            (Kind::Control(Control::Change), change.to_bytes())
        }
        11 => {
            let control = Control::from_number(input.byte() % 9).expect("nine kinds");
            (Kind::Control(control), input.part().to_vec())
        }
        12 if op & 64 != 0 && past.is_some() => {
            let (id, asked) = past.as_ref().expect("just seen");
            (Kind::Reply(*id), revisited(asked, input).to_bytes())
        }
        12 if op & 32 != 0 => {
            let (id, question) = lacks.unwrap_or_default();
            (Kind::Reply(id), recalled(now, question, input).to_bytes())
        }
        12 => (Kind::Reply(asked.unwrap_or_default()), verdict(now, asked.unwrap_or_default()).to_bytes()),
        13 => (Kind::Reply(asked.unwrap_or_default()), input.part().to_vec()),
        14 => (Kind::Tick, Vec::new()),
        _ => (Kind::Control(Control::Started), Vec::new()),
    };
    Payload { tenant: TenantId(0), kind, body: Bytes::from(body) }
}

/// Up to 16 samples: which series, which value, how long ago.
fn samples(now: Millis, input: &mut Input<'_>) -> Vec<u8> {
    let count = input.byte() % 16;
    let rows: Vec<(Labels, [Sample; 1])> = (0..count)
        .map(|_| {
            let (series, value, ago) = (input.byte(), input.byte(), input.byte());
            let labels = Labels::new([
                ("__name__", format!("m{}", series % 4)),
                ("service", format!("s{}", series / 4 % 4)),
                ("i", format!("{}", series / 16)),
            ]);
            let time = now.plus(-i64::from(ago as i8) * 500);
            let sample = match value {
                255 => Sample::stale(time),
                254 => Sample::new(time, f64::NAN),
                253 => Sample::new(time, f64::INFINITY),
                value => Sample::new(time, f64::from(value) / 8.0),
            };
            (labels, [sample])
        })
        .collect();
    encode::write_request(rows.iter().map(|(labels, samples)| (labels, &samples[..])))
}

/// A record of the recent store's answer: its number, whether it is the last, and samples as rising as they come.
fn recalled(now: Millis, question: Digest, input: &mut Input<'_>) -> Recalled {
    let (number, how) = (input.byte(), input.byte());
    let mut all: BTreeMap<Labels, BTreeMap<Millis, Sample>> = BTreeMap::new();
    for _ in 0..input.byte() % 32 {
        let (series, value, ago) = (input.byte(), input.byte(), input.byte());
        let labels = Labels::new([
            ("__name__", format!("m{}", series % 4)),
            ("service", format!("s{}", series / 4 % 4)),
            ("i", format!("{}", series / 16)),
        ]);
        let time = now.plus(-i64::from(ago as i8) * 2_000);
        let sample = if value == 255 { Sample::stale(time) } else { Sample::new(time, f64::from(value) / 8.0) };
        all.entry(labels).or_default().insert(time, sample);
    }
    let series = all.into_iter().map(|(labels, samples)| RecalledSeries {
        labels,
        samples: samples.values().filter(|sample| sample.value() < 16.0).copied().collect(),
        histograms: samples
            .iter()
            .filter(|(_, sample)| sample.value() >= 16.0)
            .map(|(time, sample)| {
                let histogram = Histogram { count: sample.value(), zero_count: sample.value(), ..Histogram::default() };
                HistogramSample { time: *time, histogram: Some(histogram.into()) }
            })
            .collect(),
    });
    let since = now.plus(-i64::from(how >> 2) * 10_000);
    let part =
        RecalledPart { selector: u32::from(how & 2 != 0), since, complete: how & 128 == 0, series: series.collect() };
    Recalled { question, number: number.into(), last: how & 1 != 0, parts: vec![part] }
}

/// An answer about past instants: of what was active and of other alerts, at any time, in order where the bytes say so.
fn revisited(asked: &Revisit, input: &mut Input<'_>) -> Revisited {
    let how = input.byte();
    let mut occurrences = Vec::new();
    for _ in 0..how % 8 {
        let (which, begin, fired, end) = (input.byte(), input.byte(), input.byte(), input.byte());
        let at = |byte: u8| asked.from.plus(i64::from(byte) * 2_000);
        let active = asked.active.get(usize::from(which % 4));
        let labels = Labels::new([("alertname", &*asked.name), ("service", &*format!("s{}", which % 4))]);
        occurrences.push(Occurred {
            alert: active.map_or(AlertId::of_parts(&[&[which]]), |it| it.alert),
            labels: active.map_or(labels, |it| it.labels.clone()),
            stretch: Stretch {
                active_at: at(begin),
                fired_at: (fired & 1 != 0).then(|| at(fired)),
                resolved_at: (end & 1 != 0).then(|| at(end)),
            },
        });
    }
    occurrences.sort_by_key(|it| (it.alert, it.stretch.active_at));
    let reason = if how & 128 != 0 { "no".into() } else { String::new() };
    Revisited { question: Digest::of(&asked.to_bytes()), reason, occurrences }
}

/// Up to 32 calls between eight services: who calls whom, how often, how long it takes and how it ends.
fn spans(now: Millis, input: &mut Input<'_>) -> Vec<u8> {
    let mut resources: Vec<ResourceSpans> = (0..8)
        .map(|s| ResourceSpans {
            resource: vec![("service.name".into(), (&*format!("s{s}")).into())],
            spans: Vec::new(),
        })
        .collect();
    let count = input.byte() % 32;
    for call in 0..u64::from(count) {
        let (pair, how) = (input.byte(), input.byte());
        let (caller, callee) = (usize::from(pair % 8), usize::from(pair / 8 % 8));
        let end = now.0 * 1_000_000 + i64::from(how >> 4) * 1_000;
        let start = end - (1 << (how % 16)) * 100_000;
        let status = if pair & 64 == 0 { SpanStatus::Unset } else { SpanStatus::Error };
        let trace = (now.0 as u128) << 8 | u128::from(call + 1);
        let kinds = if pair & 128 == 0 {
            [SpanKind::Client, SpanKind::Server]
        } else {
            [SpanKind::Producer, SpanKind::Consumer]
        };
        for (side, (service, kind)) in [caller, callee].into_iter().zip(kinds).enumerate() {
            // Now and then one half of a call never comes.
            if how == 255 && side == 1 {
                continue;
            }
            resources[service].spans.push(Span {
                trace,
                id: 2 * call + 1 + side as u64,
                parent: if side == 0 { 0 } else { 2 * call + 1 },
                state: String::new(),
                flags: 1,
                name: format!("op{}", how % 3),
                kind,
                start: EventTime(start),
                end: EventTime(end),
                status,
                attributes: Vec::new(),
            });
        }
    }
    resources.retain(|resource| !resource.spans.is_empty());
    encode::traces(&resources)
}

/// Up to 16 log lines.
fn logs(now: Millis, input: &mut Input<'_>) -> Vec<u8> {
    let count = input.byte() % 16;
    let resource = |input: &mut Input<'_>| {
        let (service, severity) = (input.byte() % 8, input.byte());
        let time = EventTime(now.0 * 1_000_000);
        let log = Log {
            time,
            observed: time,
            severity,
            body: "it fails".into(),
            attributes: Vec::new(),
            event: String::new(),
        };
        ResourceLogs { resource: vec![("service.name".into(), (&*format!("s{service}")).into())], logs: vec![log] }
    };
    let resources: Vec<ResourceLogs> = (0..count).map(|_| resource(input)).collect();
    encode::logs(&resources)
}

fn verdict(at: Millis, incident: IncidentId) -> Verdict {
    Verdict {
        incident,
        revision: 1,
        at,
        unknown: true,
        calibrated: false,
        causes: Vec::new(),
        summary: "not known".into(),
        why_not_second: String::new(),
        method: "none".into(),
        unseen: Vec::new(),
        what_ifs: Vec::new(),
        checks: Vec::new(),
        reliability: None,
        passed: Vec::new(),
    }
}

/// Inputs in which alerts fire, incidents open and explanations are asked for.
pub fn seeds() -> Vec<Vec<u8>> {
    let rules = |choice: u8| vec![8, 0, choice];
    // Calls s0 -> s1 -> s2, quick or slow or failing.
    let calls = |time: u8, how: u8, failed: u8| {
        let mut bytes = vec![5, time, 12];
        (0..6).for_each(|_| bytes.extend([8 | failed, how, 17 | failed, how]));
        bytes
    };
    let samples = |op: u8, time: u8, value: u8| vec![op, time, 3, 0, value, 0, 1, value, 0, 2, 9, 0];
    let tick = |time: u8| vec![14, time];
    let fires = [
        rules(0),
        samples(4, 4, 0),
        tick(6),
        samples(4, 4, 200),
        tick(4),
        tick(4),
        vec![12, 4],
        samples(4, 4, 0),
        tick(6),
    ];
    let stream = [
        rules(129),
        samples(4, 4, 80),
        samples(4, 2, 90),
        tick(4),
        samples(4, 6, 255),
        tick(7),
        vec![13, 4, 3, 0, 1, 2, 3],
    ];
    let mut graph = vec![rules(2)];
    (0..20).for_each(|_| graph.push(calls(4, 3, 0)));
    (0..10).for_each(|_| graph.push(calls(4, 9, 64)));
    graph.extend([tick(4), vec![12, 4], vec![10, 0, 1, 2, 3], tick(8), tick(4)]);
    let import = [
        rules(0),
        samples(20, 4, 200),
        samples(20, 6, 200),
        vec![15, 8],
        samples(4, 4, 200),
        tick(4),
        samples(20, 4, 1),
    ];
    let bounds = [
        vec![9, 0, 0, 0, 2, 0],
        vec![9, 0, 1, 0, 1, 0],
        samples(4, 4, 1),
        samples(36, 4, 2),
        vec![7, 4, 2, 1, 20, 2, 9],
    ];
    let raw = |format: u8, body: &[u8]| [vec![format, 4], part(body), tick(4)].concat();
    const METRICS: &[u8] = include_bytes!("../../../core/formats/tests/fixtures/sdk.bin");
    const TRACES: &[u8] = include_bytes!("../../../core/formats/tests/fixtures/traces.bin");
    const LOGS: &[u8] = include_bytes!("../../../core/formats/tests/fixtures/logs.bin");
    // A rule over a range comes late, and what it lacks in two records, the second one twice.
    let late = b"groups:\n- name: g\n  interval: 5s\n  rules:\n  - alert: A\n    expr: rate(m0[1m]) > 0\n  - alert: B\n    expr: avg_over_time(m1[30s]) > 0\n";
    let mut lacks = vec![rules(3)];
    (0..6).for_each(|i| lacks.push(samples(4, 6, 10 * i)));
    let answer = |number: u8, how: u8| {
        let mut bytes = vec![44, 2, number, how, 12];
        (0..12).for_each(|i| bytes.extend([i % 2, 20 * i, 3 * i]));
        bytes
    };
    lacks.extend([
        [vec![8, 0, 132], part(late)].concat(),
        samples(4, 4, 70),
        answer(0, 64),
        answer(1, 67),
        answer(1, 67),
    ]);
    lacks.extend([tick(6), samples(4, 4, 90), tick(7)]);
    let own_rules = [vec![8, 0, 4], part(RULES[1].as_bytes()), samples(4, 4, 99), tick(7)];
    vec![
        fires.concat(),
        stream.concat(),
        graph.concat(),
        import.concat(),
        bounds.concat(),
        own_rules.concat(),
        lacks.concat(),
        raw(0, METRICS),
        raw(1, LOGS),
        raw(2, TRACES),
        [vec![11, 0, 2], part(b"\x83")].concat(),
    ]
}
