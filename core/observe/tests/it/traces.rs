//! A line of text for a span or a log record, and a world that takes them in.
//!
//! `@1.5 web client 7:3<2 10+80 ! peer=db name=GET version=2 host=a sampled` is: rule time 1.5 s, service, kind, trace 7, span 3,
//! parent 2, start 10 ms and duration 80 ms on the sender's clock; `!` failed. `@1.5 web log 17 line=5` is a log record, of line 5.
use bytes::Bytes;
use faultline_formats::{Decoded, Events, LogEvent, Resource, Sampling, SpanEvent, SpanKind, SpanStatus, Text};
use faultline_model::{
    BodyDigest, Clock, Encoding, EventTime, Format, HashSeed, Kind, Labels, Millis, Payload, SeriesKey, SourceId,
    TenantId,
};
use faultline_observe::graph::Derived;
use faultline_observe::{Closed, Graph};
use std::collections::BTreeMap;

/// Body in the making.
#[derive(Default)]
pub struct Body {
    plain: Vec<u8>,
    events: Events,
    services: Vec<[String; 3]>,
}

impl Body {
    fn text(&mut self, text: &str) -> Text {
        let start = self.plain.len() as u32;
        self.plain.extend_from_slice(text.as_bytes());
        Text { start, size: text.len() as u32 }
    }

    fn resource(&mut self, service: &str, version: &str, host: &str) -> u32 {
        let key = [service, version, host].map(str::to_string);
        if let Some(known) = self.services.iter().position(|known| *known == key) {
            return known as u32;
        }
        self.services.push(key);
        let [service, version, host] = [service, version, host].map(|text| self.text(text));
        self.events.resources.push(Resource { service, version, host, ..Resource::default() });
        self.services.len() as u32 - 1
    }

    /// Adds what a line says, its time left out.
    pub fn add(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let option = |name: &str| words.iter().find_map(|w| w.strip_prefix(name)).unwrap_or("");
        let resource = self.resource(if words[0] == "-" { "" } else { words[0] }, option("version="), option("host="));
        if words[1] == "log" {
            let severity = words[2].parse().expect("a severity");
            let line = option("line=").parse().unwrap_or(0);
            let (time, event) = (EventTime(0), Text::default());
            self.events.logs.push(LogEvent { resource, time, severity, kind: line, line, event });
            return;
        }
        let (trace, rest) = words[2].split_once(':').expect("trace:id<parent");
        let (id, parent) = rest.split_once('<').expect("id<parent");
        let (start, duration) = words[3].split_once('+').expect("start+duration");
        let ns = |ms: &str| (ms.parse::<f64>().expect("milliseconds") * 1e6) as i64;
        let name = if option("name=").is_empty() { words[1] } else { option("name=") };
        let name_key = SeriesKey::of(name.as_bytes(), HashSeed(1)).0 as u64;
        let (name, peer) = (self.text(name), self.text(option("peer=")));
        self.events.spans.push(SpanEvent {
            resource,
            trace: trace.parse().expect("a trace id"),
            id: id.parse().expect("a span id"),
            parent: parent.parse().expect("a span id"),
            start: EventTime(ns(start)),
            end: EventTime(ns(start) + ns(duration)),
            kind: match words[1] {
                "server" => SpanKind::Server,
                "client" => SpanKind::Client,
                "producer" => SpanKind::Producer,
                "consumer" => SpanKind::Consumer,
                "internal" => SpanKind::Internal,
                other => panic!("no such kind: {other}"),
            },
            status: if words.contains(&"!") { SpanStatus::Error } else { SpanStatus::Unset },
            name,
            name_key,
            peer,
            sampled: Sampling {
                threshold: u64::from(words.contains(&"sampled")) << 55,
                said: words.contains(&"sampled"),
                flag: true,
            },
        });
    }

    pub fn decoded(self) -> Decoded {
        let kind = Kind::Telemetry {
            source: SourceId([1; 16]),
            format: Format::OtlpTraces,
            encoding: Encoding::Identity,
            clock: Clock::Live,
        };
        let payload = Payload { tenant: TenantId(0), kind, body: Bytes::new() };
        let (plain, events) = (Bytes::from(self.plain), self.events);
        Decoded { payload, digest: BodyDigest::default(), plain, events, rejects: Vec::new() }
    }
}

pub fn body(lines: &[&str]) -> Decoded {
    let mut body = Body::default();
    lines.iter().for_each(|line| body.add(line));
    body.decoded()
}

/// A graph and what came out of it.
pub struct World {
    pub graph: Graph,
    pub closed: Closed,
}

impl World {
    pub fn new() -> World {
        World { graph: Graph::new(HashSeed(7)), closed: Closed::default() }
    }

    pub fn advance(&mut self, at: Millis) {
        while let Some(due) = self.graph.due().filter(|&due| due <= at) {
            self.graph.advance(due, &mut self.closed);
        }
    }

    pub fn observe(&mut self, decoded: &Decoded, at: Millis) {
        self.advance(at);
        self.graph.observe(decoded, at);
    }

    /// Takes lines in, each with its time, lines of one time as one body, then runs on to `end` ms.
    pub fn run(lines: &str, end: i64) -> World {
        let mut world = World::new();
        let mut bodies: Vec<(Millis, Body)> = Vec::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (time, line) = line.split_once(' ').expect("@time and the rest");
            let at = Millis((time[1..].parse::<f64>().expect("seconds") * 1000.0) as i64);
            if bodies.last().is_none_or(|(last, _)| *last != at) {
                bodies.push((at, Body::default()));
            }
            bodies.last_mut().expect("just made").1.add(line);
        }
        for (at, body) in bodies {
            world.observe(&body.decoded(), at);
        }
        world.advance(Millis(end));
        world
    }

    /// Last value of each series, by its labels as text.
    pub fn series(&self) -> BTreeMap<String, f64> {
        let mut labels: BTreeMap<u32, Labels> = BTreeMap::new();
        let mut series = BTreeMap::new();
        for Derived { id, labels: new, sample } in &self.closed.samples {
            if let Some(new) = new {
                labels.insert(*id, new.clone());
            }
            let name = labels[id].to_string();
            if sample.is_stale() {
                series.remove(&name)
            } else {
                series.insert(name, sample.value())
            };
        }
        series
    }
}
