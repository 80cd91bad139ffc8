//! Bodies of log records and of spans: what requests through the estate leave behind.
use super::population::{Population, resource, service_name};
use super::random::Random;
use super::template::{LogPlaces, Marks, Places, SpanPlaces, Template, mark};
use faultline_formats::encode::{self, Attributes, Log, ResourceLogs, ResourceSpans, Span, Value};
use faultline_formats::{SpanKind, SpanStatus};
use faultline_model::EventTime;

/// Log records, and spans, in a body.
pub const RECORDS: usize = 512;
/// Spans of a trace: four services, each called and calling, the last at work within itself.
const TRACE: usize = 8;
/// Log texts differ in more than their request's number: this many ways.
const TEXTS: u32 = 300;
/// Where a text's request number stands before it is known.
const REQUEST: &[u8; 16] = b"@@@@@@@@@@@@@@@@";
/// One span in this many tells of an error.
const ERROR_EVERY: u32 = 200;

/// A body of log records.
pub fn logs(population: &Population, random: &mut Random) -> Template {
    let mut services: Vec<u32> = (0..RECORDS).map(|_| random.below(population.services)).collect();
    services.sort_unstable();
    let mut resources: Vec<ResourceLogs> = Vec::new();
    for (i, service) in services.iter().enumerate() {
        if i == 0 || services[i - 1] != *service {
            resources.push(ResourceLogs { resource: resource(*service), logs: Vec::new() });
        }
        let (text, luck) = (random.below(TEXTS), random.below(100));
        let request = std::str::from_utf8(REQUEST).expect("ASCII");
        resources.last_mut().expect("pushed above").logs.push(Log {
            time: EventTime(mark(2 * i) as i64),
            observed: EventTime(mark(2 * i + 1) as i64),
            severity: if luck == 0 {
                17
            } else if luck < 6 {
                13
            } else {
                9
            },
            body: format!(
                "step {text} of request {request} done: posted to ledger {} for node {}",
                text % 7,
                text % 40
            ),
            attributes: pairs([
                ("thread.name", format!("worker-{}", text % 16)),
                ("code.function", format!("step_{text}")),
            ]),
            event: String::new(),
        });
    }
    let bytes = encode::logs(&resources);
    let mut marks = Marks::new(&bytes);
    let place = |i| {
        let (time, request) = (marks.fixed64(mark(2 * i)), marks.next(REQUEST));
        LogPlaces { time, request, observed: marks.fixed64(mark(2 * i + 1)) }
    };
    Template { events: RECORDS as u32, places: Places::Logs((0..RECORDS).map(place).collect()), bytes }
}

/// A body of spans: whole traces, grouped by service.
pub fn spans(population: &Population, random: &mut Random) -> Template {
    let mut drafts = Vec::with_capacity(RECORDS);
    for trace in 0..RECORDS / TRACE {
        // Each service calls one of three others: a graph of a few calls per service, as estates have.
        let mut path = [random.below(population.services); TRACE / 2];
        for hop in 1..path.len() {
            path[hop] = (path[hop - 1] * 3 + 1 + random.below(3)) % population.services;
        }
        let error = random.below(ERROR_EVERY / TRACE as u32) == 0;
        drafts.extend((0..TRACE).map(|depth| Draft { service: path[depth / 2], trace, depth, path, error }));
    }
    drafts.sort_by_key(|draft| draft.service);
    let mut resources: Vec<ResourceSpans> = Vec::new();
    for (i, draft) in drafts.iter().enumerate() {
        if i == 0 || drafts[i - 1].service != draft.service {
            resources.push(ResourceSpans { resource: resource(draft.service), spans: Vec::new() });
        }
        resources.last_mut().expect("pushed above").spans.push(draft.span(i));
    }
    let bytes = encode::traces(&resources);
    let mut marks = Marks::new(&bytes);
    let place = |(i, draft): (usize, &Draft)| SpanPlaces {
        trace: marks.next(&trace_mark(i).to_be_bytes()),
        id: marks.next(&mark(5 * i + 1).to_be_bytes()),
        parent: (draft.depth > 0).then(|| marks.next(&mark(5 * i + 2).to_be_bytes())),
        start: marks.fixed64(mark(5 * i + 3)),
        end: marks.fixed64(mark(5 * i + 4)),
        trace_index: draft.trace as u32,
        depth: draft.depth as u8,
    };
    let places = drafts.iter().enumerate().map(place).collect();
    Template { events: RECORDS as u32, places: Places::Spans(places), bytes }
}

/// A span before it is encoded.
struct Draft {
    service: u32,
    trace: usize,
    depth: usize,
    path: [u32; TRACE / 2],
    error: bool,
}

impl Draft {
    fn span(&self, i: usize) -> Span {
        let (kind, attributes) = match self.depth {
            // The last service does not call on.
            depth if depth == TRACE - 1 => (SpanKind::Internal, pairs([("code.function", "settle".to_owned())])),
            depth if depth % 2 == 0 => (
                SpanKind::Server,
                pairs([("http.route", "/v1/transfers/{id}".to_owned()), ("http.request.method", "POST".to_owned())]),
            ),
            depth => {
                let peer = service_name(self.path[depth / 2 + 1]);
                (SpanKind::Client, pairs([("peer.service", peer), ("http.request.method", "POST".to_owned())]))
            }
        };
        Span {
            trace: trace_mark(i),
            id: mark(5 * i + 1),
            parent: if self.depth > 0 { mark(5 * i + 2) } else { 0 },
            state: String::new(),
            flags: 0x101,
            name: format!("POST /v1/transfers/{}", self.service % 5),
            kind,
            start: EventTime(mark(5 * i + 3) as i64),
            end: EventTime(mark(5 * i + 4) as i64),
            // An error at the bottom is told all the way up.
            status: if self.error { SpanStatus::Error } else { SpanStatus::Unset },
            attributes,
        }
    }
}

fn trace_mark(i: usize) -> u128 {
    u128::from(mark(5 * i)) << 64 | u128::from(mark(5 * i))
}

fn pairs<const N: usize>(pairs: [(&str, String); N]) -> Attributes {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), Value::Text(value))).collect()
}
