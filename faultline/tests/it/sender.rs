//! Small groups of records with time passing between them: enough for alerts, incidents, changes and anchors.
use crate::node::SEED;
use faultline::world::{control, own};
use faultline_formats::encode::{self, Data, Metric, Number, NumberPoint, ResourceMetrics, Value};
use faultline_formats::{Decoded, decode};
use faultline_host::{Clock as _, ManualClock, Random};
use faultline_model::{
    Canonical, ChangeEvent, Clock, Control, Encoding, Evaluation, EventTime, Format, Kind, Millis, Payload, RuleFile,
    RuleFiles, SourceId, TenantId,
};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const START: Millis = Millis(1_700_000_000_000);

const RULES: &str = r#"
groups:
- name: quick
  interval: 5s
  rules:
  - alert: High
    expr: level > 50
    labels: {service: "{{ $labels.which }}"}
  - alert: Often
    expr: rate(done_total[30s]) > 2
    for: 2s
"#;

/// What the assertion planted in the engine looks for.
pub const MARK: &str = "planted assertion";

/// Who sends, and the clock that goes on as it does.
pub struct Sender {
    pub clock: Arc<ManualClock>,
    pub random: Random,
    /// One body in so many breaks the engine; 0 for none.
    pub broken: u64,
    step: i64,
}

impl Sender {
    pub fn new(seed: u64) -> Sender {
        Sender { clock: Arc::new(ManualClock::at(START)), random: Random::seeded(seed), broken: 0, step: 0 }
    }

    /// The next group of a few small bodies; the first loads the rules.
    pub fn group(&mut self) -> Vec<Decoded> {
        if self.step == 0 {
            self.step = 1;
            let file = RuleFile { name: "own.yml".into(), text: RULES.into() };
            let files = RuleFiles {
                files: vec![file],
                default_evaluation: Evaluation::Stream,
                default_interval: 5_000,
                ..RuleFiles::default()
            };
            return vec![control(Control::Rules, files.to_bytes(), SEED)];
        }
        let size = 1 + self.random.below(4);
        (0..size).map(|_| self.body()).collect()
    }

    /// Any body.
    pub fn body(&mut self) -> Decoded {
        self.step += 1;
        self.clock.advance(Duration::from_millis(self.random.below(9_000)));
        let now = self.clock.now();
        if self.broken > 0 && self.random.below(self.broken) == 0 {
            return self.breaking();
        }
        match self.random.below(12) {
            0 => own(Kind::Tick, Vec::new(), SEED),
            1 => self.change(now),
            _ => self.telemetry(now),
        }
    }

    /// An announced change: one leaf each.
    pub fn change(&mut self, now: Millis) -> Decoded {
        let change = ChangeEvent {
            entity: "pay".into(),
            kind: "deploy".into(),
            title: format!("release {}", self.step),
            version: String::new(),
            at: now,
            by: String::new(),
        };
        control(Control::Change, change.to_bytes(), SEED)
    }

    /// Telemetry that breaks the engine, after it was taken.
    pub fn breaking(&mut self) -> Decoded {
        self.step += 1;
        self.of(self.clock.now(), MARK.into())
    }

    fn telemetry(&mut self, now: Millis) -> Decoded {
        let which = format!("s{}", self.random.below(3));
        self.of(now, which)
    }

    /// One sample of each of many series that no rule reads.
    pub fn wide(&mut self, series: Range<u32>) -> Decoded {
        let time = EventTime(self.clock.now().0 * 1_000_000);
        let point = |number: u32| NumberPoint {
            attributes: vec![("n".into(), Value::Text(number.to_string()))],
            time,
            value: Number::Int(1),
        };
        let data = Data::Gauge(series.map(point).collect());
        telemetry(vec![Metric { name: "wide".into(), unit: String::new(), data }])
    }

    fn of(&mut self, now: Millis, which: String) -> Decoded {
        let point = |value| NumberPoint {
            attributes: vec![("which".into(), Value::Text(which.clone()))],
            time: EventTime(now.0 * 1_000_000),
            value: Number::Int(value),
        };
        let level = point(self.random.below(100) as i64);
        let done = point(self.step * 20);
        let metric = |name: &str, data| Metric { name: name.into(), unit: String::new(), data };
        let sum = Data::Sum { points: vec![done], delta: false, monotonic: true };
        telemetry(vec![metric("level", Data::Gauge(vec![level])), metric("done", sum)])
    }
}

/// A body of metrics of one service.
fn telemetry(metrics: Vec<Metric>) -> Decoded {
    let resource = vec![("service.name".into(), Value::Text("pay".into()))];
    let body = encode::metrics(&[ResourceMetrics { resource, metrics }]);
    let kind = Kind::Telemetry {
        source: SourceId([1; 16]),
        format: Format::OtlpMetrics,
        encoding: Encoding::Identity,
        clock: Clock::Live,
    };
    decode(Payload { tenant: TenantId(0), kind, body: body.into() }, SEED)
}
