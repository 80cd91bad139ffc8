//! What a span costs the graph: `cargo run --release -p faultline-observe --example spans`.
//!
//! 40 services, traces of 13 spans (a root, four calls with their servers, internal spans between), 20,000 spans per
//! second of rule time for two minutes, bodies of 512 spans; then the time of one freeze and the size of the state.
#![allow(clippy::disallowed_types, reason = "a measurement reads the clock; core itself does not")]
use bytes::Bytes;
use faultline_formats::{Decoded, Events, Resource, Sampling, SpanEvent, SpanKind, SpanStatus, Text};
use faultline_model::table::Paged;
use faultline_model::{
    BodyDigest, Clock, EffectId, Encoding, EventTime, Format, HashSeed, Kind, Millis, Payload, SourceId, TenantId,
    Writer,
};
use faultline_observe::{Closed, Graph, Question};
use std::time::{Duration, Instant};

const SERVICES: u32 = 40;
const SPANS_PER_SECOND: u64 = 20_000;
const SECONDS: u64 = 120;
const BODY: usize = 512;

fn trace(number: u64, spans: &mut Vec<SpanEvent>) {
    let mut span = |resource: u64, id: u64, parent: u64, kind: SpanKind, ms: i64| {
        spans.push(SpanEvent {
            resource: (resource % u64::from(SERVICES)) as u32,
            trace: u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | 1,
            id,
            parent,
            start: EventTime(0),
            end: EventTime(ms * 1_000_000),
            kind,
            status: if number.is_multiple_of(200) { SpanStatus::Error } else { SpanStatus::Unset },
            name: Text { start: 0, size: 7 },
            name_key: resource % 5 + 1,
            peer: Text { start: 0, size: 7 },
            sampled: Sampling { threshold: 0, said: false, flag: true },
        });
    };
    for call in 0..4 {
        let (caller, callee) = (number + call / 2, number + call + 1);
        span(callee, 10 + call, 20 + call, SpanKind::Server, 20);
        span(caller, 20 + call, 30 + call, SpanKind::Client, 25);
        span(caller, 30 + call, 1, SpanKind::Internal, 26);
    }
    span(number, 1, 0, SpanKind::Server, 120);
}

fn main() {
    let mut plain = Vec::new();
    let resources: Vec<Resource> = (0..SERVICES)
        .map(|i| {
            let start = plain.len() as u32;
            plain.extend_from_slice(format!("serv{i:03}").as_bytes());
            Resource { service: Text { start, size: 7 }, ..Resource::default() }
        })
        .collect();
    let kind = Kind::Telemetry {
        source: SourceId::default(),
        format: Format::OtlpTraces,
        encoding: Encoding::Identity,
        clock: Clock::Live,
    };
    let payload = Payload { tenant: TenantId(0), kind, body: Bytes::new() };
    let plain = Bytes::from(plain);
    let (mut graph, mut closed) = (Graph::new(HashSeed(1)), Closed::default());
    let (mut observing, mut advancing, mut samples, mut seen) = (Duration::ZERO, Duration::ZERO, 0, 0);
    let (mut number, mut slowest) = (0, Duration::ZERO);
    let bodies_per_second = SPANS_PER_SECOND as usize / BODY;
    for step in 0..SECONDS as usize * bodies_per_second {
        let mut spans = Vec::new();
        while spans.len() < BODY {
            trace(number, &mut spans);
            number += 1;
        }
        seen += spans.len();
        let events = Events { resources: resources.clone(), spans, ..Events::default() };
        let decoded = Decoded {
            payload: payload.clone(),
            digest: BodyDigest::default(),
            plain: plain.clone(),
            events,
            rejects: vec![],
        };
        let at = Millis((step * 1000 / bodies_per_second) as i64);
        while let Some(due) = graph.due().filter(|&due| due <= at) {
            let start = Instant::now();
            graph.advance(due, &mut closed);
            advancing += start.elapsed();
            slowest = slowest.max(start.elapsed());
            samples += closed.samples.len();
            closed.samples.clear();
        }
        let start = Instant::now();
        graph.observe(&decoded, at);
        observing += start.elapsed();
    }
    let per_span = |d: Duration| d.as_nanos() as f64 / seen as f64;
    println!("{seen} spans: {:.0} ns/span to observe", per_span(observing));
    println!("{:.0} ns/span to close seconds, the slowest {slowest:?}, {samples} samples", per_span(advancing));
    println!("{:?} {:?}", graph.sizes(), graph.counts());
    let start = Instant::now();
    let evidence = graph.freeze(&Question {
        incident: EffectId::default(),
        revision: 1,
        at: Millis(SECONDS as i64 * 1000),
        onset: Millis(SECONDS as i64 * 1000 - 30_000),
        window_ms: 120_000,
        targets: &["serv000"],
        alerts: &[],
        changes: &[],
    });
    println!("freeze: {:?}, {} nodes, {} edges", start.elapsed(), evidence.nodes.len(), evidence.edges.len());
    let start = Instant::now();
    println!("state: {} pages, {:?}", pages(&mut graph), start.elapsed());
}

/// Writes all pages and says how many there are.
fn pages(graph: &mut Graph) -> usize {
    let written = |(_, table): (&str, &mut dyn Paged)| {
        let mut w = Writer::default();
        (0..table.page_count()).for_each(|page| table.write_page(page, &mut w));
        table.page_count()
    };
    graph.tables().into_iter().map(written).sum()
}
