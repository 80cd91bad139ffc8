//! What the estate's agents send: OTLP bodies per site, with each site's own clock.
use crate::plan::Role;
use crate::requests::{Finished, Requests, Side};
use crate::story::Story;
use faultline_formats::encode::{
    self, Data, Log, Metric, Number, NumberPoint, ResourceLogs, ResourceMetrics, ResourceSpans, Span, Value,
};
use faultline_formats::{SpanKind, SpanStatus};
use faultline_model::{ChangeEvent, EventTime, Format, Millis};

/// How often each service's own metrics are sent, in ms.
const METRICS_EVERY_MS: i64 = 10_000;

/// A body on its way from an agent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Index of the site whose agent sends it.
    pub site: usize,
    /// What it is.
    pub format: Format,
    /// Its bytes, not compressed.
    pub body: Vec<u8>,
    /// How many events are in it.
    pub events: usize,
}

/// The estate at work: time moves, bodies come out.
#[derive(Debug)]
pub struct Estate {
    story: Story,
    requests: Requests,
    now: Millis,
    next_request: Vec<f64>,
    pending: Vec<Finished>,
    metrics_due: Millis,
    served: Vec<u64>,
    announced: usize,
}

impl Estate {
    /// The estate of a story, beginning at `start`.
    pub fn new(story: Story, start: Millis) -> Estate {
        let mut requests = Requests::new(story.seed);
        let fronts = story.plan.services.iter().filter(|s| s.role == Role::Front).count();
        let next_request = (0..fronts).map(|_| start.0 as f64 + requests.gap_ms(story.plan.front_rate)).collect();
        let served = vec![0; story.plan.services.len()];
        Estate {
            story,
            requests,
            now: start,
            next_request,
            pending: Vec::new(),
            metrics_due: start,
            served,
            announced: 0,
        }
    }

    /// The story.
    pub fn story(&self) -> &Story {
        &self.story
    }

    /// Moves the fault, and the changes announced around it, to another instant, which is still to come.
    pub fn begin_fault_at(&mut self, onset: Millis) {
        let by = onset.since(self.story.onset);
        self.story.onset = onset;
        self.story.changes.iter_mut().for_each(|change| change.at = change.at.plus(by));
    }

    /// Moves true time to `to` and returns what agents send for it: spans that ended, errors logged, metrics due.
    pub fn advance(&mut self, to: Millis) -> Vec<Outgoing> {
        for front in 0..self.next_request.len() {
            while self.next_request[front] < to.0 as f64 {
                let start = self.next_request[front];
                self.requests.run(&self.story, front, start, &mut self.pending);
                self.next_request[front] = start + self.requests.gap_ms(self.story.plan.front_rate);
            }
        }
        self.now = to;
        let (mut ended, pending): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|span| span.end_ms <= to.0 as f64);
        self.pending = pending;
        ended.sort_by(|a, b| a.service.cmp(&b.service).then(a.end_ms.total_cmp(&b.end_ms)).then(a.id.cmp(&b.id)));
        let mut out = Vec::new();
        for site in 0..self.story.plan.sites.len() {
            self.spans_of(site, &ended, &mut out);
            self.logs_of(site, &ended, &mut out);
        }
        for span in &ended {
            self.served[span.service] += u64::from(matches!(span.side, Side::Server | Side::Consumer));
        }
        if to >= self.metrics_due {
            self.metrics_due = to.plus(METRICS_EVERY_MS);
            (0..self.story.plan.sites.len()).for_each(|site| self.metrics_of(site, &mut out));
        }
        out
    }

    /// Changes announced since the last call.
    pub fn changes(&mut self) -> Vec<ChangeEvent> {
        let due = self.story.changes.iter().filter(|change| change.at <= self.now).count();
        self.story.changes[std::mem::replace(&mut self.announced, due).min(due)..due].to_vec()
    }

    /// A service's resource: what the OpenTelemetry SDKs say of themselves.
    fn resource(&self, service: usize) -> Vec<(String, Value)> {
        let it = &self.story.plan.services[service];
        let site = &self.story.plan.sites[it.site];
        let text = |name: &str, value: &str| (name.to_string(), Value::Text(value.to_string()));
        vec![
            text("service.name", &it.name),
            text("service.instance.id", &format!("{}-{site}-0", it.name)),
            text("service.version", self.story.version(service, self.now)),
            text("cloud.availability_zone", site),
            text("host.name", &self.story.plan.hosts[it.host]),
        ]
    }

    /// Time as the site's clock shows it.
    fn skewed(&self, site: usize, ms: f64) -> EventTime {
        EventTime(((ms + self.story.plan.skew_ms[site] as f64) * 1e6) as i64)
    }

    /// Services of a site that send telemetry, each with its spans among `ended`.
    fn by_service<'a>(&'a self, site: usize, ended: &'a [Finished]) -> impl Iterator<Item = (usize, &'a [Finished])> {
        ended.chunk_by(|a, b| a.service == b.service).filter_map(move |spans| {
            let service = spans[0].service;
            (self.story.plan.services[service].site == site).then_some((service, spans))
        })
    }

    fn spans_of(&self, site: usize, ended: &[Finished], out: &mut Vec<Outgoing>) {
        let mut events = 0;
        let resources: Vec<ResourceSpans> = self
            .by_service(site, ended)
            .map(|(service, spans)| {
                events += spans.len();
                let spans = spans.iter().map(|span| self.span(site, span)).collect();
                ResourceSpans { resource: self.resource(service), spans }
            })
            .collect();
        if events > 0 {
            out.push(Outgoing { site, format: Format::OtlpTraces, body: encode::traces(&resources), events });
        }
    }

    fn span(&self, site: usize, span: &Finished) -> Span {
        let peer = span.peer.map(|peer| &self.story.plan.services[peer].name);
        let attributes = peer.map(|name| ("peer.service".to_string(), Value::Text(name.clone()))).into_iter().collect();
        let kind = match span.side {
            Side::Server => SpanKind::Server,
            Side::Client => SpanKind::Client,
            Side::Producer => SpanKind::Producer,
            Side::Consumer => SpanKind::Consumer,
        };
        Span {
            trace: span.trace,
            id: span.id,
            parent: span.parent,
            state: String::new(),
            flags: 1,
            name: match span.side {
                Side::Server | Side::Consumer => "handle".to_string(),
                Side::Client | Side::Producer => format!("call {}", peer.map_or("", |name| name)),
            },
            kind,
            start: self.skewed(site, span.start_ms),
            end: self.skewed(site, span.end_ms),
            status: if span.failed { SpanStatus::Error } else { SpanStatus::Unset },
            attributes,
        }
    }

    fn logs_of(&self, site: usize, ended: &[Finished], out: &mut Vec<Outgoing>) {
        const ERROR: u8 = 17;
        let mut events = 0;
        let resources: Vec<ResourceLogs> = self
            .by_service(site, ended)
            .filter_map(|(service, spans)| {
                let failed = spans.iter().filter(|span| span.failed && span.side == Side::Server);
                let logs: Vec<Log> = failed
                    .map(|span| Log {
                        time: self.skewed(site, span.end_ms),
                        observed: self.skewed(site, span.end_ms),
                        severity: ERROR,
                        body: "request failed".to_string(),
                        attributes: Vec::new(),
                        event: String::new(),
                    })
                    .collect();
                events += logs.len();
                (!logs.is_empty()).then(|| ResourceLogs { resource: self.resource(service), logs })
            })
            .collect();
        if events > 0 {
            out.push(Outgoing { site, format: Format::OtlpLogs, body: encode::logs(&resources), events });
        }
    }

    fn metrics_of(&self, site: usize, out: &mut Vec<Outgoing>) {
        let time = self.skewed(site, self.now.0 as f64);
        let gauge = |name: &str, unit: &str, value: f64| {
            let point = NumberPoint { attributes: Vec::new(), time, value: Number::Double(value) };
            Metric { name: name.to_string(), unit: unit.to_string(), data: Data::Gauge(vec![point]) }
        };
        let services = self.story.plan.services.iter().enumerate();
        let now = self.now.0 as f64;
        let resources: Vec<ResourceMetrics> = services
            .filter(|(_, service)| service.site == site && service.role != Role::Mute)
            .filter(|(index, _)| !self.story.is_down(*index, now))
            .map(|(index, service)| {
                let served = self.served[index] as f64;
                // Slow, bounded movement that is the service's own, without a draw: metrics must not move the requests.
                let wave = libm::sin(self.now.0 as f64 / 600_000.0 + index as f64);
                let used_up = self.story.trouble(index, now).map_or(0.0, |(trouble, since)| trouble.used_up(since));
                let metrics = vec![
                    gauge("process.cpu.utilization", "1", 0.3 + 0.05 * wave + 0.63 * used_up),
                    gauge("process.memory.usage", "By", 4e8 + 2e7 * wave + served % 1e5 + 1.4e9 * used_up),
                    gauge("service.queue.depth", "{request}", (2.0 + 2.0 * wave + service.work_ms / 10.0).max(0.0)),
                ];
                ResourceMetrics { resource: self.resource(index), metrics }
            })
            .collect();
        let events = resources.len() * 3;
        if events > 0 {
            out.push(Outgoing { site, format: Format::OtlpMetrics, body: encode::metrics(&resources), events });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::Fault;

    const START: Millis = Millis(1_700_000_000_000);

    fn spans(fault: Fault, seconds: i64) -> (Story, Vec<Finished>) {
        let story = Story::demo(1, fault, START.plus(seconds * 500));
        let (mut requests, mut out) = (Requests::new(1), Vec::new());
        for i in 0..seconds * 20 {
            requests.run(&story, (i % 12) as usize, (START.0 + i * 50) as f64, &mut out);
        }
        (story, out)
    }

    #[test]
    fn the_same_story_gives_the_same_bytes() {
        let run = || {
            let mut estate = Estate::new(Story::demo(3, Fault::Errors, START.plus(5_000)), START);
            (1..=40).flat_map(|i| estate.advance(START.plus(i * 250))).map(|o| o.body).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn a_silent_gateway_ends_no_span_and_its_callers_try_again() {
        let (story, out) = spans(Fault::Silent, 60);
        let after = |span: &&Finished| span.start_ms >= story.onset.0 as f64 + 3000.0;
        let gateway = story.culprits[0].service;
        assert_eq!(out.iter().filter(after).filter(|s| s.service == gateway).count(), 0);
        let calls = |s: &&Finished| s.peer == Some(gateway);
        let (before, during): (Vec<_>, Vec<_>) =
            out.iter().filter(calls).partition(|s| s.start_ms < story.onset.0 as f64);
        assert!(during.iter().all(|s| s.failed));
        assert!(during.len() as f64 > 1.5 * before.len() as f64, "{} against {}", during.len(), before.len());
        let bridge = story.plan.find("mq-bridge").expect("the consortium has it");
        assert_eq!(out.iter().filter(after).filter(|s| s.service == bridge).count(), 0, "the mainframe's work stops");
    }

    #[test]
    fn a_crashed_service_tells_nothing_and_its_callers_are_refused_at_once() {
        let (story, out) = spans(Fault::Crash, 60);
        let down = |span: &&Finished| (0.0..9_000.0).contains(&(span.start_ms - story.onset.0 as f64));
        let crashed = story.culprits[0].service;
        assert!(!out.iter().filter(down).any(|span| span.service == crashed));
        let calls: Vec<_> = out.iter().filter(down).filter(|span| span.peer == Some(crashed)).collect();
        assert!(calls.len() > 100 && calls.iter().all(|span| span.failed && span.end_ms - span.start_ms < 3.0));
        let up = out.iter().filter(|s| s.service == crashed && s.start_ms > story.onset.0 as f64).count();
        assert!(up > 0, "it comes up between");
    }

    #[test]
    fn who_sends_nothing_sends_no_calls_either() {
        for seed in 1..=10 {
            let story = Story::drawn(seed, Fault::Unseen, START);
            let (mut requests, mut out) = (Requests::new(seed), Vec::new());
            (0..200).for_each(|i| requests.run(&story, i % 12, (START.0 + i as i64 * 50) as f64, &mut out));
            let unseen = story.culprits[0].service;
            assert!(out.iter().all(|span| span.service != unseen) && out.iter().any(|span| span.peer == Some(unseen)));
        }
    }

    #[test]
    fn nothing_goes_wrong_without_a_fault() {
        let (_, out) = spans(Fault::None, 60);
        let failed = out.iter().filter(|s| s.failed).count() as f64 / out.len() as f64;
        assert!(failed < 0.02, "{failed}");
    }
}
