//! Those who send: small bodies of every kind, sent again, twice, out of order, and given up before the answer.
//!
//! A sender that persists sends a body until it is acknowledged, as OpenTelemetry's collector does; one that has gone away
//! has done with what it sent.
use bytes::Bytes;
use faultline::world::control;
use faultline_formats::encode::{self, Data, Metric, Number, NumberPoint, ResourceMetrics, ResourceSpans, Span, Value};
use faultline_formats::{Decoded, SpanKind, SpanStatus, decode};
use faultline_host::{Answer, Clock as _, Inlet, ManualClock, Pending, Refused};
use faultline_model::{
    Canonical, ChangeEvent, Clock, Control, Encoding, Evaluation, EventTime, Format, HashSeed, Kind, Millis, Payload,
    RuleFile, RuleFiles, Setting, SourceId, TenantId,
};
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// How many senders there are.
pub const SENDERS: u64 = 4;
/// Most bodies that a sender remembers.
const KEPT: usize = 64;

/// The services that call one another, in this order.
const SERVICES: [&str; 4] = ["front", "pay", "book", "core"];

const RULES: [&str; 3] = [
    r#"
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
"#,
    r#"
groups:
- name: quick
  interval: 5s
  rules:
  - alert: High
    expr: level > 70
    labels: {service: "{{ $labels.which }}"}
  - record: level:sum
    expr: sum(level)
- name: slow
  interval: 30s
  rules:
  - alert: Sum
    expr: level:sum > 90
    for: 10s
    labels: {service: pay}
  - alert: Peak
    expr: max_over_time(level[40s]) > 98
    labels: {service: pay}
"#,
    "groups: [this is no rule file",
];

/// On the grid in all of them: its past is looked at again.
const PAST: &str = r#"
- name: past
  interval: 10s
  rules:
  - alert: Highest
    expr: level > 90
    for: 5s
    labels: {service: pay}
"#;

/// One sender.
struct Sender {
    source: SourceId,
    bodies: Vec<Sent>,
    /// Places in `bodies` whose answer is awaited.
    waiting: Vec<(usize, Pending)>,
    /// Places in `bodies` that were refused or never answered.
    again: Vec<usize>,
}

#[derive(Clone)]
struct Sent {
    format: Format,
    body: Bytes,
    acknowledged: bool,
    /// How often it was handed in, and how often of these it was refused for good.
    offers: u64,
    refusals: u64,
    /// The sender went away: nobody waits for it any more.
    given_up: bool,
}

/// All of them.
pub struct Senders {
    senders: Vec<Sender>,
    /// Records of our own that are not telemetry and whose answer is awaited.
    operators: Vec<(Decoded, Pending)>,
    seed: HashSeed,
    step: i64,
    /// Refusals, by why.
    pub full: u64,
    /// Refused because the disk is full.
    pub disk_full: u64,
}

/// Something that was acknowledged.
pub struct Acknowledged {
    /// The answer.
    pub answer: Answer,
    /// What was sent.
    pub payload: Payload,
}

impl Senders {
    /// Senders that have sent nothing.
    pub fn new(seed: HashSeed) -> Senders {
        let sender = |number: u64| Sender {
            source: SourceId([number as u8 + 1; 16]),
            bodies: Vec::new(),
            waiting: Vec::new(),
            again: Vec::new(),
        };
        Senders {
            senders: (0..SENDERS).map(sender).collect(),
            operators: Vec::new(),
            seed,
            step: 0,
            full: 0,
            disk_full: 0,
        }
    }

    /// A sender sends something new.
    pub fn send(&mut self, who: u64, kind: u64, value: u64, clock: &ManualClock, inlet: &Inlet) {
        self.step += 1;
        let now = clock.now();
        let (format, body) = match kind {
            0 | 1 => (Format::OtlpMetrics, metrics(value, self.step, now)),
            2 => (Format::OtlpTraces, spans(value, self.step as u64, now)),
            _ => (Format::OtlpMetrics, vec![0x0a, 0xff, value as u8, (value >> 8) as u8, self.step as u8]),
        };
        let sender = &mut self.senders[(who % SENDERS) as usize];
        sender.bodies.push(Sent {
            format,
            body: body.into(),
            acknowledged: false,
            offers: 0,
            refusals: 0,
            given_up: false,
        });
        let place = sender.bodies.len() - 1;
        self.offer(who, place, inlet);
    }

    /// A sender sends something once more.
    pub fn again(&mut self, who: u64, back: u64, inlet: &Inlet) {
        let count = self.senders[(who % SENDERS) as usize].bodies.len();
        if let Some(place) = count.checked_sub(1 + (back as usize % KEPT)) {
            self.offer(who, place, inlet);
        }
    }

    /// A sender goes away: what it waits for it will never know.
    pub fn gone(&mut self, who: u64) {
        let sender = &mut self.senders[(who % SENDERS) as usize];
        for (place, _) in std::mem::take(&mut sender.waiting) {
            sender.bodies[place].given_up = true;
        }
    }

    /// A sender sends what was refused or never answered.
    pub fn retry(&mut self, who: u64, inlet: &Inlet) {
        let places = std::mem::take(&mut self.senders[(who % SENDERS) as usize].again);
        for place in places {
            if !self.senders[(who % SENDERS) as usize].bodies[place].acknowledged {
                self.offer(who, place, inlet);
            }
        }
    }

    fn offer(&mut self, who: u64, place: usize, inlet: &Inlet) {
        let sender = &mut self.senders[(who % SENDERS) as usize];
        let sent = &sender.bodies[place];
        let (format, encoding, clock) = (sent.format, Encoding::Identity, Clock::Live);
        let kind = Kind::Telemetry { source: sender.source, format, encoding, clock };
        let decoded = decode(Payload { tenant: TenantId(0), kind, body: sent.body.clone() }, self.seed);
        match inlet.offer(decoded) {
            Ok(pending) => {
                sender.bodies[place].offers += 1;
                sender.waiting.push((place, pending));
            }
            Err(_) => {
                self.full += 1;
                sender.again.push(place);
            }
        }
    }

    /// An operator does something.
    pub fn operate(&mut self, kind: u64, value: u64, clock: &ManualClock, inlet: &Inlet) {
        self.step += 1;
        let record = match kind {
            0 => control(Control::Rules, rules(value).to_bytes(), self.seed),
            1 => {
                let setting = Setting { name: "limits.series".into(), value: (40 + value % 100).to_string() };
                control(Control::Setting, setting.to_bytes(), self.seed)
            }
            _ => {
                let change = ChangeEvent {
                    entity: SERVICES[(value % 4) as usize].into(),
                    kind: "deploy".into(),
                    title: format!("release {}", self.step),
                    version: String::new(),
                    at: clock.now(),
                    by: String::new(),
                };
                control(Control::Change, change.to_bytes(), self.seed)
            }
        };
        if let Ok(pending) = inlet.offer(record.clone()) {
            self.operators.push((record, pending));
        }
    }

    /// Looks for answers: gives what was acknowledged, and puts aside what is to be sent again.
    ///
    /// - `cleared`: what is refused for want of room cannot be on the disk.
    pub fn answers(&mut self, cleared: bool) -> Vec<Acknowledged> {
        let mut acknowledged = Vec::new();
        for sender in &mut self.senders {
            for (place, mut pending) in std::mem::take(&mut sender.waiting) {
                let sent = &mut sender.bodies[place];
                match poll(&mut pending) {
                    None => sender.waiting.push((place, pending)),
                    Some(Ok(answer)) => {
                        sent.acknowledged = true;
                        let (format, encoding, clock) = (sent.format, Encoding::Identity, Clock::Live);
                        let kind = Kind::Telemetry { source: sender.source, format, encoding, clock };
                        let payload = Payload { tenant: TenantId(0), kind, body: sent.body.clone() };
                        acknowledged.push(Acknowledged { answer, payload });
                    }
                    Some(Err(refused)) => {
                        let full = matches!(refused, Refused::DiskFull { .. });
                        self.disk_full += u64::from(full);
                        sent.refusals += u64::from(full && cleared);
                        sender.again.push(place);
                    }
                }
            }
        }
        for (record, mut pending) in std::mem::take(&mut self.operators) {
            match poll(&mut pending) {
                None => self.operators.push((record, pending)),
                Some(Ok(answer)) => acknowledged.push(Acknowledged { answer, payload: record.payload }),
                // An operator sees that it failed, and looks again.
                Some(Err(_)) => {}
            }
        }
        acknowledged
    }

    /// The process is gone: what is not answered now never will be.
    pub fn cut_off(&mut self) {
        for sender in &mut self.senders {
            let waiting = std::mem::take(&mut sender.waiting);
            sender.again.extend(waiting.into_iter().map(|(place, _)| place));
        }
        self.operators.clear();
    }

    /// Bodies that cannot be in the journal: each time they were sent they were refused.
    pub fn refused(&self) -> BTreeSet<(SourceId, &[u8])> {
        let all = || self.senders.iter().flat_map(|s| s.bodies.iter().map(|sent| (s.source, sent)));
        let key = |(source, sent)| {
            let Sent { body, .. }: &Sent = sent;
            (source, &body[..])
        };
        let (refused, others): (Vec<_>, Vec<_>) = all().partition(|(_, sent)| sent.refusals == sent.offers);
        let others: BTreeSet<_> = others.into_iter().map(key).collect();
        refused.into_iter().map(key).filter(|key| !others.contains(key)).collect()
    }

    /// How many bodies somebody still wants acknowledged.
    pub fn wanted(&self) -> usize {
        let wanted = |sent: &&Sent| !sent.acknowledged && !sent.given_up;
        self.senders.iter().map(|sender| sender.bodies.iter().filter(wanted).count()).sum()
    }

    /// How many answers are awaited.
    pub fn waiting(&self) -> usize {
        self.senders.iter().map(|sender| sender.waiting.len()).sum::<usize>() + self.operators.len()
    }
}

/// The answer, if there is one.
pub fn poll(pending: &mut Pending) -> Option<Result<Answer, Refused>> {
    match pin!(pending).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// The rule files that operator's choice `value` gives.
pub fn rules(value: u64) -> RuleFiles {
    let text = format!("{}{PAST}", RULES[(value % 3) as usize]);
    RuleFiles {
        files: vec![RuleFile { name: "own.yml".into(), text }],
        default_evaluation: Evaluation::Stream,
        groups: ["slow", "past"].map(|group| (group.into(), Evaluation::Grid)).to_vec(),
        default_interval: 5_000,
        ..RuleFiles::default()
    }
}

fn metrics(value: u64, step: i64, now: Millis) -> Vec<u8> {
    // Now and then a time that is late, or ahead.
    let skew = [0, 0, 0, -90_000, -20_000, -400_000, 30_000, 700_000][(value / 100 % 8) as usize];
    let time = EventTime(now.plus(skew).0 * 1_000_000);
    let which = format!("s{}", value % 3);
    let point = |value| NumberPoint {
        attributes: vec![("which".into(), Value::Text(which.clone()))],
        time,
        value: Number::Int(value),
    };
    let metric = |name: &str, data| Metric { name: name.into(), unit: String::new(), data };
    let sum = |delta, value| Data::Sum { points: vec![point(value)], delta, monotonic: true };
    let metrics = vec![
        metric("level", Data::Gauge(vec![point((value % 100) as i64)])),
        metric("done", sum(false, step * 20)),
        metric("delta", sum(true, 1)),
    ];
    let resource = vec![("service.name".into(), Value::Text("pay".into()))];
    encode::metrics(&[ResourceMetrics { resource, metrics }])
}

/// One request through all services, which the one at `value % 8` makes fail.
fn spans(value: u64, step: u64, now: Millis) -> Vec<u8> {
    let (trace, at) = (u128::from(step) << 64 | 7, |ms: i64| EventTime(now.plus(ms).0 * 1_000_000));
    let mut all = Vec::new();
    for (depth, service) in SERVICES.iter().enumerate() {
        let status = if depth as u64 <= value % 8 && value % 8 < 4 { SpanStatus::Error } else { SpanStatus::Ok };
        let id = step * 16 + depth as u64 * 2 + 1;
        let span = |id, parent, kind| Span {
            trace,
            id,
            parent,
            state: String::new(),
            flags: 1,
            name: format!("{service} does"),
            kind,
            start: at(-100 + depth as i64),
            end: at(depth as i64 * -5),
            status,
            attributes: Vec::new(),
        };
        let parent = if depth == 0 { 0 } else { id - 1 };
        let mut spans = vec![span(id, parent, SpanKind::Server)];
        if depth + 1 < SERVICES.len() {
            spans.push(span(id + 1, id, SpanKind::Client));
        }
        let resource = vec![("service.name".into(), Value::Text((*service).into()))];
        all.push(ResourceSpans { resource, spans });
    }
    encode::traces(&all)
}
