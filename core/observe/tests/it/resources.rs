//! Evidence from what containers use: of each instance, against its own past, also where nobody knows who calls whom.
use faultline_model::facts::{Evidence, NodeEvidence, Resource, ResourceEvidence, Telemetry};
use faultline_model::{EffectId, HashSeed, Labels, Millis, Sample, Writer, table::PageBytes};
use faultline_observe::{Closed, Graph, Question};
use std::collections::BTreeMap;

/// Containers that are scraped every `step` seconds.
struct Pods {
    graph: Graph,
    step: i64,
    at: i64,
    seconds: BTreeMap<&'static str, f64>,
}

/// A pod of each of two workloads, one of them with two.
const PODS: [&str; 3] = ["cart-866bd68c97-xcqfx", "cart-866bd68c97-zv8dt", "db-0"];

impl Pods {
    fn new(step: i64) -> Pods {
        Pods { graph: Graph::new(HashSeed(7)), step, at: 1_000_000, seconds: BTreeMap::new() }
    }

    fn send(&mut self, metric: &str, pod: &str, value: f64) {
        let (at, job) = (Millis(self.at * 1000), "kubelet");
        let labels = Labels::new([("__name__", metric), ("pod", pod), ("container", "app"), ("job", job)]);
        let series = labels.key(HashSeed(1)).0 as u32;
        self.graph.measure(series, Sample::new(at, value), at, || &labels, &mut Vec::new());
    }

    /// One scrape: cores that each pod has used since the last, and its memory.
    fn scrape(&mut self, cores: [f64; 3], bytes: f64) {
        self.at += self.step;
        self.graph.advance(Millis(self.at * 1000), &mut Closed::default());
        for (pod, cores) in PODS.into_iter().zip(cores) {
            let seconds = self.seconds.entry(pod).or_default();
            *seconds += cores * self.step as f64;
            let seconds = *seconds;
            self.send("container_cpu_usage_seconds_total", pod, seconds);
            self.send("container_memory_working_set_bytes", pod, bytes);
            self.send("container_spec_memory_limit_bytes", pod, 4e9);
        }
    }

    fn freeze(&self, targets: &[&str], ago: i64) -> Evidence {
        self.graph.freeze(&Question {
            incident: EffectId::default(),
            revision: 1,
            at: Millis(self.at * 1000),
            onset: Millis((self.at - ago) * 1000),
            window_ms: 60_000,
            targets,
            alerts: &[],
            changes: &[],
        })
    }
}

fn node<'a>(evidence: &'a Evidence, name: &str) -> Option<&'a NodeEvidence> {
    evidence.nodes.iter().find(|node| node.entity == name)
}

fn used(node: &NodeEvidence, resource: Resource) -> &ResourceEvidence {
    node.resources.iter().find(|it| it.resource == resource).expect("it is measured")
}

#[test]
fn the_instance_that_rose_is_told_whatever_the_step() {
    for step in [1, 15, 60] {
        let mut pods = Pods::new(step);
        (0..30 * 60 / step.min(60)).for_each(|_| pods.scrape([0.1, 0.2, 0.5], 1e9));
        (0..(120 / step)).for_each(|_| pods.scrape([0.1, 0.95, 0.5], 1e9));
        let evidence = pods.freeze(&["cart"], 119);
        let cart = node(&evidence, "cart").expect("its pods tell of it");
        let cpu = used(cart, Resource::Cpu);
        assert_eq!((&*cpu.instance, cpu.limit), ("cart-866bd68c97-zv8dt/app", 0.0), "{step}");
        assert!((cpu.used.expected - 0.2).abs() < 0.02 && (cpu.used.seen - 0.95).abs() < 0.02, "{step}: {cpu:?}");
        assert!(cpu.used.z > 10.0 && cart.telemetry == Telemetry::Reporting);
        let memory = used(cart, Resource::Memory);
        assert!(memory.limit == 4e9 && memory.used.z.abs() < 1.0 && (memory.used.seen - 1e9).abs() < 1e6, "{memory:?}");
        // The other workload is as ever, and nothing says that it has to do with it.
        assert!(node(&evidence, "db").is_none());
    }
}

#[test]
fn where_nobody_knows_what_is_called_those_that_are_off_their_baselines_are_suspects() {
    let mut pods = Pods::new(60);
    (0..40).for_each(|_| pods.scrape([0.1, 0.2, 0.5], 1e9));
    assert!(pods.freeze(&["somebody noticed"], 60).nodes.iter().all(|node| node.resources.is_empty()));
    (0..2).for_each(|_| pods.scrape([0.1, 0.2, 3.0], 1e9));
    let evidence = pods.freeze(&["somebody noticed"], 60);
    let names: Vec<&str> = evidence.nodes.iter().map(|node| &*node.entity).collect();
    assert_eq!(names, ["db", "somebody noticed"]);
    assert!(used(node(&evidence, "db").expect("it is there"), Resource::Cpu).used.z > 10.0);
}

#[test]
fn a_counter_that_begins_anew_and_a_series_of_another_id_go_on() {
    let mut pods = Pods::new(60);
    (0..40).for_each(|_| pods.scrape([0.1, 0.2, 0.5], 1e9));
    // The container is started anew: its counter begins at 0.
    pods.seconds.insert("db-0", 0.0);
    (0..4).for_each(|_| pods.scrape([0.1, 0.2, 0.5], 1e9));
    let evidence = pods.freeze(&["db"], 180);
    let cpu = used(node(&evidence, "db").expect("its pods tell of it"), Resource::Cpu);
    assert!((cpu.used.seen - 0.5).abs() < 0.01 && cpu.used.z.abs() < 1.0, "{cpu:?}");
    let (mut w, pages) = (Writer::default(), PageBytes::of(pods.graph.tables()));
    pods.graph.write_rest(&mut w);
    let bytes = w.into_bytes();
    let mut pages = pages;
    let read = Graph::read(&mut faultline_model::Reader::new(&bytes), &mut pages).expect("it was just written");
    pods.graph = read;
    assert_eq!(pods.freeze(&["db"], 180).nodes, evidence.nodes);
    pods.scrape([0.1, 0.2, 0.5], 1e9);
    assert!(used(node(&pods.freeze(&["db"], 120), "db").expect("it is known"), Resource::Cpu).used.z.abs() < 1.0);
}

#[test]
fn of_old_engines_nothing_is_read() {
    let mut pods = Pods::new(60);
    pods.graph.note_use(false);
    (0..40).for_each(|_| pods.scrape([0.1, 0.2, 0.5], 1e9));
    assert!(node(&pods.freeze(&["db"], 60), "db").is_none_or(|db| db.resources.is_empty()));
    assert!(pods.graph.sizes().services == 0);
}
