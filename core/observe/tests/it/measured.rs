//! Evidence from a mesh's metrics and from declared calls, whatever the step at which they come.
use faultline_model::facts::{EdgeEvidence, Evidence, NodeEvidence, Telemetry};
use faultline_model::{Canonical, EffectId, HashSeed, Labels, Millis, Sample, Writer, table::PageBytes};
use faultline_observe::{Closed, Graph, Question};
use std::collections::BTreeMap;

/// A mesh in which `web` calls `shop`, scraped every `step` seconds: counters by series, and the graph that reads them.
struct Mesh {
    graph: Graph,
    step: i64,
    at: i64,
    counters: BTreeMap<(&'static str, &'static str, &'static str), f64>,
}

/// What happens in one step: requests, failures and mean latency in ms as the caller and the callee see them.
#[derive(Clone, Copy)]
struct Step {
    requests: f64,
    failed: f64,
    client_ms: f64,
    server_ms: f64,
}

const CALM: Step = Step { requests: 600.0, failed: 0.0, client_ms: 12.0, server_ms: 10.0 };

impl Mesh {
    fn new(step: i64) -> Mesh {
        Mesh { graph: Graph::new(HashSeed(7)), step, at: 1_000, counters: BTreeMap::new() }
    }

    fn advance(&mut self, seconds: i64) {
        self.at += seconds;
        self.graph.advance(Millis(self.at * 1000), &mut Closed::default());
    }

    fn rise(&mut self, metric: &'static str, reporter: &'static str, code: &'static str, by: f64) {
        let value = self.counters.entry((metric, reporter, code)).or_default();
        *value += by;
        let labels = Labels::new([
            ("__name__", metric),
            ("reporter", reporter),
            ("source_workload", "web"),
            ("destination_workload", "shop"),
            ("response_code", code),
        ]);
        let (sample, now) = (Sample::new(Millis(self.at * 1000), *value), Millis(self.at * 1000));
        let series = labels.key(HashSeed(1)).0 as u32;
        self.graph.measure(series, sample, now, || &labels, &mut Vec::new());
    }

    fn scrape(&mut self, step: Step) {
        self.advance(self.step);
        for (reporter, ms) in [("source", step.client_ms), ("destination", step.server_ms)] {
            self.rise("istio_requests_total", reporter, "200", step.requests - step.failed);
            self.rise("istio_requests_total", reporter, "503", step.failed);
            self.rise("istio_request_duration_milliseconds_sum", reporter, "200", ms * step.requests);
        }
    }

    fn freeze(&self, ago: i64) -> Evidence {
        self.graph.freeze(&Question {
            incident: EffectId::default(),
            revision: 1,
            at: Millis(self.at * 1000),
            onset: Millis((self.at - ago) * 1000),
            window_ms: 60_000,
            targets: &["web"],
            alerts: &[("web", "Slow")],
            changes: &[],
        })
    }

    fn bytes(&mut self) -> (Vec<u8>, PageBytes) {
        let mut w = Writer::default();
        self.graph.write_rest(&mut w);
        (w.into_bytes(), PageBytes::of(self.graph.tables()))
    }
}

fn parts(evidence: &Evidence) -> (&NodeEvidence, &NodeEvidence, &EdgeEvidence) {
    let node = |name: &str| evidence.nodes.iter().find(|node| node.entity == name).expect("it is known");
    (node("web"), node("shop"), evidence.edges.first().expect("there is a call"))
}

#[test]
fn a_step_of_any_length_gives_the_figures_and_tells_what_rose() {
    for step in [15, 60, 300] {
        let mut mesh = Mesh::new(step);
        (0..40).for_each(|_| mesh.scrape(CALM));
        mesh.scrape(Step { failed: 60.0, client_ms: 212.0, server_ms: 110.0, ..CALM });
        let evidence = mesh.freeze(1);
        let (web, shop, call) = parts(&evidence);
        let about = |x: f64, y: f64| (x - y).abs() < 1e-6;
        assert!(about(shop.latency.seen, 110.0) && shop.latency.z > 10.0, "{step}: {shop:?}");
        assert!(about(shop.latency.expected, 10.0) && about(shop.errors.seen, 0.1) && shop.errors.z > 5.0);
        assert!(about(shop.traffic.seen, 600.0 / step as f64) && about(shop.traffic.expected, shop.traffic.seen));
        assert_eq!((shop.telemetry, shop.step, web.step), (Telemetry::Reporting, step * 1000, 0));
        assert_eq!(shop.onset, Some(Millis((mesh.at * 1000) - step * 500)), "{step}");
        assert!(about(call.latency.seen, 212.0) && about(call.gap.seen, 102.0) && about(call.gap.expected, 2.0));
        assert!(call.gap.z > 10.0 && about(call.errors.seen, 0.1) && call.traffic.count == 600.0 && !call.unmeasured);
    }
}

#[test]
fn several_windows_since_the_onset_are_seen_as_one_and_quiet_ones_are_no_news() {
    let mut mesh = Mesh::new(60);
    (0..40).for_each(|_| mesh.scrape(CALM));
    let loud = Step { server_ms: 30.0, ..CALM };
    (0..3).for_each(|_| mesh.scrape(loud));
    let evidence = mesh.freeze(121);
    assert_eq!(parts(&evidence).1.latency.count, 1800.0);
    // Nothing more comes: what was seen last stays, and then the service is silent.
    mesh.advance(200);
    assert_eq!(parts(&mesh.freeze(300)).1.telemetry, Telemetry::Reporting);
    mesh.advance(200);
    assert_eq!(parts(&mesh.freeze(300)).1.telemetry, Telemetry::Silent);
}

#[test]
fn a_declared_call_without_figures_is_evidence_and_goes_when_it_is_declared_no_more() {
    let mut mesh = Mesh::new(60);
    assert_eq!(mesh.graph.declare("web -> shop\n\n  shop -> a database \n", Millis(0)), Ok(()));
    assert_eq!(mesh.graph.declared(), "shop -> a database\nweb -> shop");
    let evidence = mesh.freeze(10);
    let shape: Vec<(u32, u32, bool)> = evidence.edges.iter().map(|e| (e.client, e.server, e.unmeasured)).collect();
    assert_eq!(shape, [(1, 0, true), (2, 1, true)]);
    // What is measured of a call wins.
    (0..3).for_each(|_| mesh.scrape(CALM));
    assert!(mesh.freeze(10).edges.iter().any(|edge| !edge.unmeasured && edge.latency.seen == 12.0));
    for (text, refused) in [
        ("web shop", "written"),
        ("web -> ", "written"),
        (&*"a -> b\n".repeat(10_001), "10,000"),
        (&*"x".repeat((1 << 20) + 1), "1 MiB"),
    ] {
        let error = mesh.graph.declare(text, Millis(mesh.at * 1000)).expect_err("it is refused");
        assert!(error.contains(refused), "{error}");
    }
    assert_eq!(mesh.graph.declared(), "shop -> a database\nweb -> shop");
    assert_eq!(mesh.graph.declare("", Millis(mesh.at * 1000)), Ok(()));
    assert_eq!(mesh.graph.declared(), "");
}

#[test]
fn what_is_read_back_goes_on_as_it_would_have() {
    let mut mesh = Mesh::new(60);
    let (mut before, _) = mesh.bytes();
    assert_eq!(before.remove(0), 0x8d, "without metrics a state is as it was");
    mesh.graph.declare("web -> shop", Millis(0)).expect("it is well");
    (0..20).for_each(|_| mesh.scrape(CALM));
    let (bytes, mut pages) = mesh.bytes();
    assert_eq!(bytes[0], 0x8f);
    let graph = Graph::read(&mut faultline_model::Reader::new(&bytes), &mut pages).expect("it was just written");
    let mut other = Mesh { graph, counters: mesh.counters.clone(), ..Mesh::new(60) };
    other.at = mesh.at;
    for mesh in [&mut mesh, &mut other] {
        mesh.scrape(Step { server_ms: 40.0, ..CALM });
    }
    assert_eq!(mesh.freeze(1).to_bytes(), other.freeze(1).to_bytes());
    assert!(parts(&mesh.freeze(1)).1.latency.z > 3.0);
    assert_eq!(mesh.bytes().0, other.bytes().0);
}
