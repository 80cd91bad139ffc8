//! A journal with everything in it that a journal can hold, made the same each time.
use faultline::explainer::{answer, weights};
use faultline::recaller;
use faultline::reviser;
use faultline::world::{control, own};
use faultline_engine::{Ask, Checkpoint, Effect, Effects, Engine};
use faultline_estate::{Estate, Fault, Outgoing, Story};
use faultline_formats::encode::{self, Data, Metric, Number, NumberPoint, ResourceMetrics, Value};
use faultline_formats::{Decoded, Record, decode};
use faultline_host::Random;
use faultline_model::facts::Decision;
use faultline_model::{
    Canonical, ChangeEvent, Clock, Control, EffectId, Encoding, Evaluation, EventTime, Feedback, Format, Genesis,
    HashSeed, Hlc, Kind, Labels, Millis, Payload, Position, RuleFile, RuleFiles, Sample, Setting, SourceId, SourceName,
    TenantId,
};
use faultline_serve::recent::{Limits, Recent};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

/// Keys the hashes of this journal.
pub const SEED: HashSeed = HashSeed(0x5eed);
const START: Millis = Millis(1_700_000_000_000);
/// Estate time imported, and live before and after the process was down.
const IMPORT_S: i64 = 90;
const LIVE_S: i64 = 80;
const AFTER_S: i64 = 20;
const DOWN_S: i64 = 1_200;
/// The fault begins this long into the live part.
const ONSET_S: i64 = 30;
/// Estate time of each further stretch, where the environment asks for a longer journal.
const MORE_S: i64 = 80;

/// Events that a longer journal than usual is to hold: set by who wants figures, not by any run of all tests.
pub fn events_wanted() -> Option<u64> {
    let wanted = std::env::var("FAULTLINE_LAWS_EVENTS").ok()?;
    Some(wanted.parse().expect("FAULTLINE_LAWS_EVENTS is a number of events"))
}

/// Rules beside the built-in ones: every kind of timer and both evaluations.
const RULES: &str = r#"
groups:
- name: grid
  interval: 5s
  rules:
  - record: depth:avg
    expr: avg by (service_name) (service_queue_depth)
  - alert: Deep
    expr: depth:avg > 4
    for: 5s
    labels: {severity: info}
    annotations: {summary: "{{ $labels.service_name }} holds {{ $value }}"}
  - alert: Gone
    expr: absent_over_time(never_sent[1m])
    for: 10s
  - alert: SlowTail
    expr: histogram_quantile(0.9, sum by (le, service_name) (rate(traces_span_metrics_duration_milliseconds_bucket[30s]))) > 250
    keep_firing_for: 7s
- name: quick
  interval: 1s
  rules:
  - alert: Busy
    expr: rate(traces_span_metrics_calls_total{span_kind="SPAN_KIND_SERVER"}[10s]) > 8
    for: 3s
  - alert: Odd
    expr: odd_gauge > 50
  - alert: Logged
    expr: topk(2, sum by (service_name) (increase(odd_total[30s]))) > 3
"#;

/// The journal, and the reference: what one engine made of it, record by record.
pub struct Written {
    pub records: Vec<Record>,
    pub last_state: Checkpoint,
    decided: Vec<Decision>,
    effects: Vec<u8>,
    events: u64,
    /// Where each record's effects end.
    ends: Vec<usize>,
}

impl Written {
    /// Bytes of the effects of some records.
    pub fn effects_of(&self, records: Range<usize>) -> &[u8] {
        let end = |record: usize| if record == 0 { 0 } else { self.ends[record - 1] };
        &self.effects[end(records.start)..end(records.end)]
    }

    /// Points, log records and spans in its bodies, damaged ones left out.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Everything that was decided, in order.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.decided.iter()
    }
}

/// Every bit of `effects`, so that equal bytes are equal effects, NaNs included.
pub fn effect_bytes(effects: &Effects) -> Vec<u8> {
    let mut out = Vec::new();
    for effect in &effects.list {
        match effect {
            Effect::Decided(id, decision) => {
                out.push(1);
                out.extend(id.to_bytes());
                out.extend(decision.to_bytes());
            }
            Effect::Rejected(rejected) => {
                out.push(2);
                out.extend(format!("{rejected:?}").into_bytes());
            }
            Effect::Accepted(accepted) => {
                out.push(3);
                for (id, labels) in &accepted.created {
                    out.extend(id.to_le_bytes());
                    out.extend(labels.to_bytes());
                }
                out.push(4);
                for (id, sample) in &accepted.samples {
                    out.extend(id.to_le_bytes());
                    out.extend(sample.to_bytes());
                }
                if !accepted.histograms.is_empty() {
                    out.push(7);
                }
                for (id, sample) in &accepted.histograms {
                    out.extend(id.to_le_bytes());
                    out.extend(sample.to_bytes());
                }
                out.push(5);
                accepted.evicted.iter().for_each(|id| out.extend(id.to_le_bytes()));
            }
            Effect::Ask(id, Ask::Explain(evidence)) => {
                out.push(6);
                out.extend(id.to_bytes());
                out.extend(evidence.to_bytes());
            }
            Effect::Ask(id, Ask::Learn(lessons)) => {
                out.push(10);
                out.extend(id.to_bytes());
                lessons.lessons.iter().for_each(|lesson| out.extend(lesson.to_bytes()));
            }
            Effect::Ask(id, Ask::Hash(at)) => {
                out.push(7);
                out.extend(id.to_bytes());
                out.extend(at.to_bytes());
            }
            Effect::Ask(id, Ask::Recall(asked)) => {
                out.push(8);
                out.extend(id.to_bytes());
                out.extend(asked.to_bytes());
            }
            Effect::Ask(id, Ask::Revise(it)) => {
                out.push(9);
                out.extend(id.to_bytes());
                out.extend(it.asked.to_bytes());
                out.extend(format!("{:?}", it.rules).into_bytes());
            }
        }
    }
    out
}

/// Makes the journal: replies are answers to what its own engine asked.
pub fn written() -> Written {
    let mut writer = Writer {
        engine: Engine::new(SEED),
        stamp: Hlc::default(),
        wall: START,
        out: Written {
            records: Vec::new(),
            last_state: Engine::new(SEED).checkpoint(),
            decided: Vec::new(),
            effects: Vec::new(),
            events: 0,
            ends: Vec::new(),
        },
        random: Random::seeded(11),
        asks: VecDeque::new(),
        recent: Recent::new(Limits::default()),
        sent: VecDeque::new(),
    };
    writer.begin();
    let onset = START.plus((IMPORT_S + ONSET_S) * 1_000);
    let mut estate = Estate::new(Story::demo(1, Fault::Silent, onset), START);
    for step in 1..=IMPORT_S / 10 {
        let bodies = estate.advance(START.plus(step * 10_000));
        writer.send_all(&bodies, Clock::Import);
    }
    writer.wall = START.plus(IMPORT_S * 1_000);
    writer.live(&mut estate, LIVE_S);
    // The process was down for longer than instants are caught up.
    writer.wall = writer.wall.plus(DOWN_S * 1_000);
    writer.push(control(Control::Started, Vec::new(), SEED));
    estate.advance(writer.wall);
    writer.live(&mut estate, AFTER_S);
    while events_wanted().is_some_and(|wanted| writer.out.events() < wanted) {
        writer.live(&mut estate, MORE_S);
    }
    writer.out.last_state = writer.engine.checkpoint();
    writer.out
}

struct Writer {
    engine: Engine,
    stamp: Hlc,
    wall: Millis,
    out: Written,
    random: Random,
    /// Asked, and how many records later the answer comes.
    asks: VecDeque<(usize, EffectId, Vec<u8>)>,
    recent: Recent,
    /// Bodies of a while ago, to be sent again.
    sent: VecDeque<Payload>,
}

impl Writer {
    /// Appends a record and steps over it.
    fn push(&mut self, decoded: Decoded) {
        self.stamp = self.stamp.next(self.wall);
        let at = Position { partition: 0, offset: self.out.records.len() as u64 };
        let record = Record { at, stamp: self.stamp, decoded };
        let mut effects = Effects::default();
        self.engine.step(std::slice::from_ref(&record), &mut effects);
        self.out.effects.extend(effect_bytes(&effects));
        self.out.ends.push(self.out.effects.len());
        let due = self.out.records.len() + 9;
        for effect in effects.list {
            match effect {
                Effect::Ask(id, Ask::Explain(evidence)) => self.asks.push_back((due, id, answer(&evidence))),
                Effect::Ask(id, Ask::Learn(lessons)) => self.asks.push_back((due, id, weights(&lessons))),
                Effect::Ask(id, Ask::Recall(asked)) => {
                    // What was accepted while the answer is on its way may be in it, too.
                    let records = recaller::answer(&self.recent, &asked);
                    self.asks.extend(records.into_iter().map(|body| (due, id, body)));
                }
                Effect::Ask(id, Ask::Revise(asked)) => {
                    let body = reviser::answer(&self.recent, &asked, &AtomicBool::new(false));
                    self.asks.push_back((due, id, body.expect("nobody stops it")));
                }
                Effect::Accepted(it) => self.recent.accept(it.created, &it.samples, &it.histograms, &it.evicted),
                Effect::Ask(id, Ask::Hash(_)) => {
                    let state = self.engine.checkpoint().digest();
                    self.engine.thaw();
                    self.asks.push_back((due, id, Some(state).to_bytes()));
                }
                Effect::Decided(_, decision) => self.out.decided.push(decision),
                _ => {}
            }
        }
        self.out.events += record.decoded.events.count();
        self.out.records.push(record);
        if self.asks.front().is_some_and(|(due, ..)| *due <= self.out.records.len()) {
            let (_, id, body) = self.asks.pop_front().expect("just seen");
            self.push(own(Kind::Reply(id), body, SEED));
        }
    }

    fn begin(&mut self) {
        let genesis = Genesis { format: 1, journal: [7; 16], seed: SEED, created: START };
        self.push(control(Control::Genesis, genesis.to_bytes(), SEED));
        self.push(control(Control::EngineVersion, faultline_engine::ENGINE_VERSION.to_bytes(), SEED));
        self.push(control(Control::Started, Vec::new(), SEED));
        for site in 0..12 {
            let name = SourceName { id: source(site), listener: "otlp-http".into(), peer: format!("10.0.0.{site}") };
            self.push(control(Control::Source, name.to_bytes(), SEED));
        }
        self.rules(RULES);
    }

    fn rules(&mut self, own: &str) {
        let builtin = RuleFile { name: "builtin.yml".into(), text: include_str!("golden/laws.rules.yml").into() };
        let own = RuleFile { name: "own.yml".into(), text: own.into() };
        let files = RuleFiles {
            files: vec![builtin, own],
            default_evaluation: Evaluation::Stream,
            groups: vec![("grid".into(), Evaluation::Grid)],
            external_labels: vec![("cluster".into(), "test".into())],
            default_interval: 5_000,
            ..RuleFiles::default()
        };
        self.push(control(Control::Rules, files.to_bytes(), SEED));
    }

    /// Some seconds of the estate, a burst each, with what goes wrong on the way.
    fn live(&mut self, estate: &mut Estate, seconds: i64) {
        let (began, fresh) = (self.wall, self.out.records.len());
        for step in 1..=seconds {
            self.wall = began.plus(step * 1_000);
            let bodies = estate.advance(self.wall);
            self.send_all(&bodies, Clock::Live);
            for change in estate.changes() {
                self.push(control(Control::Change, change.to_bytes(), SEED));
            }
            self.odd(step);
            self.close(step);
            if step % 2 == 0 {
                self.wall = self.wall.plus(100);
                self.push(own(Kind::Tick, Vec::new(), SEED));
            }
            match (step, fresh > 1_500) {
                // The longer range is not covered: that rule is unknown for a while, as is the one that reads a series recorded anew.
                (40, _) => self.rules(
                    &RULES
                        .replace("> 8", "> 9")
                        .replace("- alert: Gone", "- alert: Lost")
                        .replace("odd_total[30s]", "odd_total[1m]")
                        .replace("record: depth:avg", "record: depth:mean")
                        .replace("expr: depth:avg", "expr: avg_over_time(depth:mean[20s])"),
                ),
                (50, _) => self.rules("groups:\n- name: broken\n  rules:\n  - alert: X\n    expr: sum(((\n"),
                (60, _) => self.bad_records(),
                (70, _) => {
                    let setting = Setting { name: "limits.series".into(), value: "2500".into() };
                    self.push(control(Control::Setting, setting.to_bytes(), SEED));
                    // States are asked for now and then.
                    let setting = Setting { name: "anchor.bytes".into(), value: "300000".into() };
                    self.push(control(Control::Setting, setting.to_bytes(), SEED));
                }
                (10, true) => self.rules(RULES),
                _ => {}
            }
        }
    }

    /// Bodies of the estate; now and then one is damaged, compressed, or sent again.
    fn send_all(&mut self, bodies: &[Outgoing], clock: Clock) {
        for outgoing in bodies {
            let (encoding, mut body) = match self.random.below(4) {
                0 => (Encoding::Gzip, encode::compress(&outgoing.body, Encoding::Gzip)),
                1 => (Encoding::Zstd, encode::compress(&outgoing.body, Encoding::Zstd)),
                _ => (Encoding::Identity, outgoing.body.clone()),
            };
            if self.random.below(40) == 0 {
                let at = self.random.below(body.len() as u64) as usize;
                body[at] ^= 1 << self.random.below(8);
            }
            if self.random.below(60) == 0 {
                body.truncate(self.random.below(body.len() as u64) as usize);
            }
            let kind = Kind::Telemetry { source: source(outgoing.site), format: outgoing.format, encoding, clock };
            self.send(Payload { tenant: TenantId(0), kind, body: body.into() });
            if self.random.below(25) == 0 && self.sent.len() > 20 {
                let again = self.sent[self.random.below(20) as usize].clone();
                self.send(again);
            }
        }
    }

    fn send(&mut self, payload: Payload) {
        self.sent.push_back(payload.clone());
        if self.sent.len() > 40 {
            self.sent.pop_front();
        }
        self.push(decode(payload, SEED));
    }

    /// Events of some services, and now and then an operator who says what an incident's cause was: rightly, a second time, of a
    /// service that it does not know, and of an incident that never was.
    fn close(&mut self, step: i64) {
        let time = EventTime(self.wall.0 * 1_000_000);
        let service = ["fraud", "ledger", "odd"][step as usize % 3];
        let event = if step % 4 == 0 { "x".repeat(500) } else { format!("event.{}", step % 5) };
        let (observed, severity, body, attributes) = (time, 9, String::new(), Vec::new());
        let logs = vec![encode::Log { time, observed, severity, body, attributes, event }];
        let resource = vec![("service.name".into(), Value::Text(service.into()))];
        let body = encode::logs(&[encode::ResourceLogs { resource, logs }]);
        let (source, format) = (source(98), Format::OtlpLogs);
        let kind = Kind::Telemetry { source, format, encoding: Encoding::Identity, clock: Clock::Live };
        self.send(Payload { tenant: TenantId(0), kind, body: body.into() });
        let newest = self.out.decided.iter().rev().find_map(|decision| match decision {
            Decision::Verdict(verdict) => Some((verdict.incident, verdict.causes.first()?.entity.clone())),
            _ => None,
        });
        let Some((incident, cause)) = newest.filter(|_| step % 10 == 0) else { return };
        let never = EffectId { cause: Position { partition: 0, offset: 1 }, ordinal: 99 };
        for (incident, cause) in
            [(incident, "nobody".into()), (incident, cause.clone()), (incident, cause), (never, "fraud".into())]
        {
            let feedback = Feedback { incident, cause, note: "seen".into(), at: self.wall, by: "test".into() };
            self.push(control(Control::Feedback, feedback.to_bytes(), SEED));
        }
    }

    /// Samples that no well-meaning sender sends: not numbers, far times, late, twice, conflicting, stale.
    fn odd(&mut self, step: i64) {
        let now = self.wall.0;
        let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e308, 60.0, 5.0];
        let value = values[self.random.below(values.len() as u64) as usize];
        let times =
            [now, now - 700, now - 45_000, now - 4_000_000, now + 30_000, now + 3_600_000, 0, 9_223_372_036_854];
        let time = times[self.random.below(times.len() as u64) as usize];
        let point = |attribute: &str, time: i64, value| NumberPoint {
            attributes: vec![("which".into(), Value::Text(attribute.into()))],
            time: EventTime(time.saturating_mul(1_000_000)),
            value,
        };
        let metric = |name: &str, data| Metric { name: name.into(), unit: String::new(), data };
        let gauge = vec![
            point("a", time, Number::Double(value)),
            point("a", now, Number::Double(step as f64)),
            point("a", now, Number::Double(step as f64 + 0.5)),
            point("b", now, if step % 5 == 0 { Number::Gone } else { Number::Int(step) }),
            point(&format!("new-{}", step / 3), now, Number::Int(1)),
        ];
        let sum =
            |delta, value| Data::Sum { points: vec![point("s", now, Number::Int(value))], delta, monotonic: true };
        let resource = vec![("service.name".into(), Value::Text("odd".into()))];
        let metrics = vec![
            metric("odd.gauge", Data::Gauge(gauge)),
            metric("odd", sum(false, step * 2 % 70)),
            metric("delta", sum(true, 3)),
        ];
        let body = encode::metrics(&[ResourceMetrics { resource, metrics }]);
        let kind = |format, encoding| Kind::Telemetry { source: source(99), format, encoding, clock: Clock::Live };
        let kind_otlp = kind(Format::OtlpMetrics, Encoding::Identity);
        self.send(Payload { tenant: TenantId(0), kind: kind_otlp, body: body.into() });
        let labels = Labels::new([
            ("__name__", "written"),
            ("job", "node"),
            ("step", if step % 2 == 0 { "even" } else { "odd" }),
        ]);
        let samples =
            [Sample::new(Millis(now - 1_000), value), Sample::new(Millis(now), 1.5), Sample::stale(Millis(now + 1))];
        let body = encode::write_request([(&labels, &samples[..if step % 7 == 0 { 3 } else { 2 }])]);
        let body = encode::compress(&body, Encoding::Snappy);
        let kind_written = kind(Format::RemoteWrite1, Encoding::Snappy);
        self.send(Payload { tenant: TenantId(0), kind: kind_written, body: body.into() });
    }

    /// Records of our own that do not read, or answer nothing.
    fn bad_records(&mut self) {
        for kind in [Control::Rules, Control::Setting, Control::Change, Control::Source, Control::Feedback] {
            self.push(control(kind, vec![0xff, 1, 2], SEED));
        }
        let setting = Setting { name: "no.such".into(), value: "1".into() };
        self.push(control(Control::Setting, setting.to_bytes(), SEED));
        let id = EffectId { cause: Position { partition: 0, offset: 3 }, ordinal: 77 };
        self.push(own(Kind::Reply(id), vec![1, 2, 3], SEED));
        if let Some((_, id, _)) = self.asks.pop_front() {
            self.push(own(Kind::Reply(id), b"no verdict".to_vec(), SEED));
        }
        let change = ChangeEvent {
            entity: "fraud".into(),
            kind: "flag".into(),
            title: "a flag is set".into(),
            version: String::new(),
            at: self.wall,
            by: "test".into(),
        };
        self.push(control(Control::Change, change.to_bytes(), SEED));
        let late = Kind::Telemetry {
            source: source(1),
            format: Format::OtlpMetrics,
            encoding: Encoding::Identity,
            clock: Clock::Import,
        };
        let body = encode::metrics(&[]);
        self.send(Payload { tenant: TenantId(0), kind: late, body: body.into() });
    }
}

fn source(site: usize) -> SourceId {
    SourceId([site as u8; 16])
}
