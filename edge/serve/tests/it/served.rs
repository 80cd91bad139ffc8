//! A router over a small store, and one function to ask it.
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use faultline_formats::encode::{self, ResourceSpans, Span};
use faultline_formats::{Exemplar, MetricType, SpanKind, SpanStatus, decode};
use faultline_host::{AwayReason, Inlet, Intake, Limits, ManualClock, TurnedAway, inlet};
use faultline_model::facts::*;
use faultline_model::{
    AlertId, ChangeEvent, Clock, Digest, EffectId, Encoding, Evaluation, EventTime, Format, HashSeed, IncidentId, Kind,
    Labels, Millis, Occurrence, Payload, Position, Sample, SourceId, TenantId,
};
use faultline_promql::Features;
use faultline_serve::*;
use http_body_util::BodyExt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// Rule time of the snapshot: 2026-11-21T00:54:16.050Z.
pub const NOW: i64 = 1_795_222_456_050;

/// What is asked, and the loop's end of the inlet.
pub struct Served {
    pub store: Store,
    pub router: Router,
    pub intake: Option<Intake>,
    pub inlet: Inlet,
}

/// An answer.
pub struct Answer {
    pub status: StatusCode,
    pub kind: String,
    pub covers: String,
    pub retry_after: String,
    pub text: String,
}

pub fn served(store: Store) -> Served {
    let (inlet, intake) =
        inlet(Limits { bytes: 1 << 20, count: 32, reading: 1 << 20, retry_after: Duration::from_millis(1_500) });
    let clock = Arc::new(ManualClock::at(Millis(NOW)));
    let router = router(
        store.clone(),
        inlet.clone(),
        Arc::new(HashSeed(1).into()),
        clock,
        Features::NONE,
        Arc::new(|| Err("r.yml:3: it is broken".into())),
    );
    Served { store, router, intake: Some(intake), inlet }
}

impl Served {
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, kind: &str, body: &str) -> Answer {
        self.ask(Request::post(path).header("content-type", kind).body(Body::from(body.to_owned())).unwrap()).await
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let header = |name| response.headers().get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
        let (kind, covers, retry_after) = (header("content-type"), header("x-faultline-covers"), header("retry-after"));
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, kind, covers, retry_after, text: String::from_utf8(body.to_vec()).unwrap() }
    }
}

pub fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

pub fn at(offset: u64) -> Position {
    Position { partition: 0, offset }
}

pub fn effect(offset: u64, ordinal: u32) -> EffectId {
    EffectId { cause: at(offset), ordinal }
}

pub fn transition(alert: u8, to: AlertState, ms: i64) -> Transition {
    let service = ["gateway", "payments"][usize::from(alert % 2)];
    Transition {
        alert: AlertId([alert; 16]),
        occurrence: Occurrence { began: at(10), ordinal: 0 },
        from: AlertState::Pending,
        to,
        at: Millis(NOW + ms),
        active_at: Millis(NOW + ms - 1_000),
        group: "red.yml;red".into(),
        name: "TooManyErrors".into(),
        labels: Labels::new([
            ("alertname", "TooManyErrors"),
            ("service", service),
            ("evil", "<b>\"\\\r\nX-Evil: 1\u{7f}"),
        ]),
        annotations: vec![("summary".into(), format!("{service} fails"))],
        value: 0.25,
        imported: false,
        dry_run: false,
    }
}

pub fn incident(id: IncidentId, phase: IncidentPhase, alerts: &[u8], ms: i64) -> IncidentUpdate {
    IncidentUpdate {
        id,
        phase,
        at: Millis(NOW + ms),
        opened_at: Millis(NOW),
        alerts: alerts.iter().map(|alert| AlertId([*alert; 16])).collect(),
        entities: vec!["gateway".into(), "payments".into()],
        alert_names: vec!["TooManyErrors".into()],
        merged_into: (phase == IncidentPhase::Merged).then(|| effect(11, 2)),
        imported: false,
    }
}

pub fn verdict(incident: IncidentId, revision: u64, entity: &str, ms: i64) -> Verdict {
    let cause = |entity: &str, posterior| Cause {
        entity: entity.into(),
        kind: "stopped".into(),
        posterior,
        responsibility: posterior,
        share: 0.5,
        onset: Some(Millis(NOW - 2_500)),
        path: vec![PathStep { client: "gateway".into(), server: entity.into(), explained: 0.75, lag: Some(40) }],
        evidence: vec![Contribution { what: "traffic 40/s -> 0/s (z -38)".into(), nats: 12.5 }],
    };
    Verdict {
        incident,
        revision,
        at: Millis(NOW + ms),
        unknown: false,
        calibrated: false,
        causes: vec![cause(entity, 0.9375), cause("gateway", 0.03125)],
        summary: format!("{entity} stopped"),
        why_not_second: "gateway's own work is as usual".into(),
        method: "junction tree, 9 variables, 40 entries".into(),
        unseen: vec!["ledger-db is seen by its callers only".into()],
        what_ifs: Vec::new(),
        checks: Vec::new(),
        passed: Vec::new(),
        reliability: Some(Box::new(Reliability {
            elsewhere: Tally { cases: 4, right: 2 },
            here: Tally { cases: 1, right: 1 },
            cases_elsewhere: 72,
            cases_here: 3,
            low: 0.25,
            high: 0.875,
        })),
    }
}

pub fn change(entity: &str, ms: i64) -> ChangeEvent {
    let (kind, title, version, by) = ("deploy".into(), "roll out".into(), "1.2".into(), String::new());
    ChangeEvent { entity: entity.into(), kind, title, version, at: Millis(NOW + ms), by }
}

/// A small book: an anomaly, two alerts, an incident, two verdicts, two changes; and rules, sources, series, rejects.
pub fn small_book() -> Served {
    let store = Store::default();
    let anomaly = |entity: &str, ms| Anomaly {
        entity: entity.into(),
        signal: Signal::Traffic,
        at: Millis(NOW + ms),
        onset: Millis(NOW + ms - 500),
        expected: 40.0,
        seen: 0.0,
        z: -38.0,
    };
    let unknown = UnknownRule { group: "red.yml;red".into(), rule: "Slow".into(), until: Millis(NOW + 300_000) };
    let in_force = RulesInForce {
        digest: Digest([7; 32]),
        groups: 1,
        alerts: 2,
        records: 1,
        unknown_count: 1,
        unknown: vec![unknown],
    };
    let id = effect(11, 2);
    for (n, (effect, ms, decision)) in [
        (effect(1, 0), -9_000, Decision::Rules(in_force)),
        (effect(5, 0), -5_000, Decision::Change(change("mainframe", -5_000))),
        (effect(6, 0), -5_000, Decision::Change(change("elsewhere", -5_000))),
        (effect(7, 0), -1_500, Decision::Anomaly(anomaly("mainframe", -1_500))),
        (effect(11, 0), 0, Decision::Alert(transition(0, AlertState::Firing, 0))),
        (effect(11, 2), 0, Decision::Incident(incident(id, IncidentPhase::Opened, &[0], 0))),
        (effect(12, 0), 10, Decision::Verdict(verdict(id, 1, "payments", 0))),
        (effect(13, 0), 20, Decision::Alert(transition(1, AlertState::Firing, 20))),
        (effect(13, 1), 20, Decision::Incident(incident(id, IncidentPhase::Grew, &[0, 1], 20))),
        (effect(14, 0), 30, Decision::Verdict(verdict(id, 2, "mainframe", 20))),
    ]
    .into_iter()
    .enumerate()
    {
        store.decided(effect, 100 + n as u64, Some(Millis(NOW + ms)), &decision);
    }
    series(&store);
    request(&store);
    let source = SourceId([3; 16]);
    let decoded = faultline_formats::decode(
        faultline_model::Payload {
            tenant: Default::default(),
            kind: faultline_model::Kind::Telemetry {
                source,
                format: faultline_model::Format::RemoteWrite1,
                encoding: faultline_model::Encoding::Snappy,
                clock: faultline_model::Clock::Live,
            },
            body: vec![0xff; 9_000].into(),
        },
        HashSeed(1),
    );
    store.rejected(at(8), Some(source), &decoded.rejects, Some(decoded.payload.body.clone()));
    store.refused(at(9), Some(source), "cardinality", 3);
    let turned = |reason, size, start: &'static [u8]| TurnedAway {
        listener: "otlp-http",
        peer: IpAddr::from([10, 0, 0, 7]),
        reason,
        detail: "send smaller \"batches\"".into(),
        size,
        start: start.into(),
    };
    store.turned_away(Millis(NOW - 2_000), turned(AwayReason::TooLarge, Some(200 << 20), b""));
    store.turned_away(Millis(NOW - 1_000), turned(AwayReason::ContentType, None, b"{}"));
    store.turned_away(Millis(NOW), turned(AwayReason::TooLarge, Some(300 << 20), b"\x0a\xff"));
    tell(
        &store,
        &[
            (MetricType::Counter, "hits_total", "Requests.", ""),
            (MetricType::Gauge, "up", "Whether it is there.", ""),
            (MetricType::Gauge, "up", "Whether it answers.", "answers"),
            (MetricType::Histogram, "gone_seconds", "Of no series.", "seconds"),
        ],
    );
    store.publish(view(14));
    served(store)
}

fn series(store: &Store) {
    let labels =
        |name: &str, instance: &str| Labels::new([("__name__", name), ("instance", instance), ("evil", "<&>\"\n")]);
    let created = vec![(0, labels("up", "b")), (1, labels("up", "a")), (2, labels("hits_total", "a"))];
    let mut samples = Vec::new();
    for second in 0..60 {
        let time = Millis(NOW - 59_000 + second * 1_000);
        samples.push((0, Sample::new(time, 1.0)));
        samples.push((2, Sample::new(time, second as f64 * 2.0)));
    }
    samples.push((1, Sample::new(Millis(NOW - 10_000), f64::NAN)));
    store.accepted(created, samples, Vec::new(), Vec::new());
    let exemplar =
        |ms, value, trace| Exemplar { time: Millis(NOW + ms), value, labels: Labels::new([("trace_id", trace)]) };
    let of_first = [exemplar(-2_500, 0.25, "0af7651916cd43dd8448eb211c80319c"), exemplar(-1_000, f64::INFINITY, "b")];
    let late = exemplar(-9_000, 1.0, "c");
    let all = of_first.into_iter().chain([late]).map(|it| (0, it)).chain([(9, exemplar(0, 1.0, "d"))]);
    store.exemplars_of(all.collect(), 2);
}

/// Requests that `gateway` made of `payments`: four within two minutes, one of which failed.
fn request(store: &Store) {
    let span = |id: u64, ago_ms: i64, ms: i64, status| Span {
        trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_3190 + u128::from(id),
        id,
        parent: 0,
        state: String::new(),
        flags: 1,
        name: "POST /charge".into(),
        kind: SpanKind::Server,
        start: EventTime((NOW - ago_ms) * 1_000_000),
        end: EventTime((NOW - ago_ms + ms) * 1_000_000),
        status,
        attributes: Vec::new(),
    };
    let spans = vec![
        span(1, 70_000, 20, SpanStatus::Unset),
        span(2, 9_000, 40, SpanStatus::Unset),
        span(3, 8_000, 2_310, SpanStatus::Ok),
        span(4, 7_000, 30, SpanStatus::Error),
    ];
    let called = Span {
        kind: SpanKind::Client,
        attributes: vec![("peer.service".into(), "payments".into())],
        ..span(5, 8_010, 2_330, SpanStatus::Unset)
    };
    let of = |service: &str, spans| ResourceSpans { resource: vec![("service.name".into(), service.into())], spans };
    let plain = encode::traces(&[of("payments", spans), of("gateway", vec![called])]);
    let kind = Kind::Telemetry {
        source: SourceId::default(),
        format: Format::OtlpTraces,
        encoding: Encoding::Identity,
        clock: Clock::Live,
    };
    let decoded = decode(Payload { tenant: TenantId(0), kind, body: plain.into() }, HashSeed(7));
    store.said(&decoded.events, &decoded.plain);
}

/// What is said of metrics, as remote write 1.0 says it.
fn tell(store: &Store, metadata: &[(MetricType, &str, &str, &str)]) {
    let plain = encode::write_request_with_exemplars([] as [(&Labels, &[_], &[_]); 0], metadata);
    let (source, format, encoding) = (SourceId::default(), Format::RemoteWrite1, Encoding::Identity);
    let kind = Kind::Telemetry { source, format, encoding, clock: Clock::Live };
    let decoded = decode(Payload { tenant: TenantId(0), kind, body: plain.into() }, HashSeed(7));
    store.said(&decoded.events, &decoded.plain);
}

pub fn view(offset: u64) -> View {
    let rule = Rule {
        name: "TooManyErrors".into(),
        query: "errors > 0.1".into(),
        hold_ms: 2_000,
        labels: [("severity".into(), "page".into())].into(),
        annotations: [("summary".into(), "{{ $labels.service }} fails".into())].into(),
        health: Health::Ok,
        ..Rule::default()
    };
    let record = Rule {
        kind: RuleKind::Record,
        name: "x:y".into(),
        query: "sum(up)".into(),
        health: Health::Failed,
        last_error: "too many".into(),
        why_grid: "topk() cannot be evaluated incrementally".into(),
        ..Rule::default()
    };
    let slow = Rule {
        name: "Slow".into(),
        query: "avg_over_time(seconds[5m]) > 1".into(),
        unknown_until: Some(Millis(NOW + 300_000)),
        ..Rule::default()
    };
    let group = RuleGroup {
        file: "red.yml".into(),
        name: "red".into(),
        interval_ms: 1_000,
        evaluation: Evaluation::Stream,
        dry_run: false,
        last_evaluation: Some(Millis(NOW)),
        rules: vec![rule, record, slow],
    };
    let alert = ActiveAlert {
        id: AlertId([0; 16]),
        group: 0,
        rule: 0,
        state: AlertState::Firing,
        labels: Labels::new([("alertname", "TooManyErrors"), ("service", "gateway"), ("severity", "page")]),
        annotations: vec![("summary".into(), "gateway fails".into())],
        active_at: Millis(NOW - 1_000),
        value: 0.25,
        unknown_until: None,
        silent_since: None,
    };
    let kept = ActiveAlert {
        rule: 2,
        labels: Labels::new([("alertname", "Slow")]),
        unknown_until: Some(Millis(NOW + 300_000)),
        silent_since: Some(Millis(NOW - 60_000)),
        ..alert.clone()
    };
    let source = SourceStatus {
        id: SourceId([3; 16]),
        listener: "otlp-grpc".into(),
        peer: "127.0.0.1".into(),
        points: 121,
        heard: true,
        newest: Some(Millis(NOW)),
        lag_ms: Some(250),
        ..SourceStatus::default()
    };
    View {
        covers: at(offset),
        at: Millis(NOW),
        ready: true,
        version: "0.1.0".into(),
        started: Millis(NOW - 60_000),
        groups: Arc::new(vec![group.into()]),
        alerts: Arc::new(vec![alert, kept]),
        sources: Arc::new(vec![source]),
        counts: Counts {
            records: 15,
            points: 121,
            series: 3,
            samples_held: 9,
            samples_thinned: 4,
            replica_samples_dropped: 6,
            replica_failovers: 1,
            leaves: 110,
            tree_size: 110,
            ..Counts::default()
        },
        elected: vec![("eu".into(), "prometheus-1".into())],
        lacks: Coverage { unseen: vec!["ledger-db".into()], unpaired: 0.25, ..Coverage::default() },
        stages: vec![Stage { name: "journal", bounds_s: vec![0.001, 0.01], counts: vec![5, 2, 1], sum_s: 0.5 }],
        ..View::default()
    }
}
