//! Laws: how bodies are cut changes nothing, a checkpoint anywhere changes nothing, hostile spans find an end.
use crate::traces::{World, body};
use faultline_model::table::PageBytes;
use faultline_model::{Millis, Reader, Writer};
use faultline_observe::Graph;
use faultline_observe::graph::limits;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Generator(u64);

impl Generator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Some minutes of a small estate: spans of whole and broken traces in any order, logs, versions, silence.
fn estate(seed: u64) -> Vec<(Millis, Vec<String>)> {
    let mut g = Generator(seed);
    let names = ["web", "shop", "pay", "mail", "stock"];
    let mut lines = Vec::new();
    let mut late: Vec<(i64, String)> = Vec::new();
    for step in 0..600_i64 {
        let at = step * 300;
        let (mut now, mut logs) = (Vec::new(), Vec::new());
        for _ in 0..g.below(6) {
            let (trace, fail) = (g.below(1 << 40), if g.below(9) == 0 { " !" } else { "" });
            let (a, b) = (names[g.below(5) as usize], names[g.below(5) as usize]);
            let kind = [("client", "server"), ("client", "server"), ("producer", "consumer")][g.below(3) as usize];
            let ms = g.below(400);
            let mut spans = vec![
                format!("{a} server {trace}:1<0 0+{}{fail} version={}", ms + 20, step / 250),
                format!("{a} internal {trace}:2<1 1+{}", ms + 15),
                format!("{a} {} {trace}:3<2 2+{}{fail} peer=p{} name=n{}", kind.0, ms + 10, g.below(4), g.below(40)),
                format!("{b} {} {trace}:4<3 900+{ms}{fail}", kind.1),
            ];
            // Log records come in bodies of their own.
            logs.push(format!("{b} log {} line={}", g.below(25), g.below(6)));
            (0..spans.len()).for_each(|i| spans.swap(i, g.0 as usize % (i + 1)));
            for span in spans {
                match g.below(8) {
                    0 => {}
                    1 => late.push((at + g.below(40_000) as i64, span)),
                    _ => now.push(span),
                }
            }
        }
        late.sort();
        while late.first().is_some_and(|(due, _)| *due <= at) {
            now.push(late.remove(0).1);
        }
        lines.extend([(Millis(at), logs), (Millis(at), now)]);
    }
    lines
}

fn refs(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

#[test]
fn bodies_may_be_cut_anywhere() {
    for seed in 1..4 {
        let (mut whole, mut cut, mut g) = (World::new(), World::new(), Generator(seed));
        for (at, lines) in estate(seed) {
            whole.observe(&body(&refs(&lines)), at);
            let mut rest = &lines[..];
            // An empty part would be a body of its own that says nothing.
            while !rest.is_empty() {
                let (part, left) = rest.split_at(1 + g.below(rest.len() as u64) as usize);
                cut.observe(&body(&refs(part)), at);
                rest = left;
            }
        }
        assert!(state(&mut whole.graph) == state(&mut cut.graph), "state of seed {seed} depends on how bodies are cut");
        assert_eq!(whole.closed.samples, cut.closed.samples, "seed {seed}");
    }
}

fn state(graph: &mut Graph) -> (Vec<u8>, PageBytes) {
    let mut w = Writer::default();
    graph.write_rest(&mut w);
    (w.into_bytes(), PageBytes::of(graph.tables()))
}

#[test]
fn a_checkpoint_anywhere_changes_nothing() {
    let (mut whole, mut resumed) = (World::new(), World::new());
    for (i, (at, lines)) in estate(9).into_iter().enumerate() {
        whole.observe(&body(&refs(&lines)), at);
        resumed.observe(&body(&refs(&lines)), at);
        if i % 17 == 0 {
            let (rest, pages) = state(&mut resumed.graph);
            resumed.graph = Graph::read(&mut Reader::new(&rest), &mut pages.clone()).expect("it was just written");
            assert!(state(&mut resumed.graph) == (rest, pages), "step {i} reads back as it was written");
        }
    }
    whole.advance(Millis(400_000));
    resumed.advance(Millis(400_000));
    assert_eq!(whole.closed.samples, resumed.closed.samples);
    assert_eq!(whole.closed.anomalies, resumed.closed.anomalies);
    assert_eq!(whole.closed.changes, resumed.closed.changes);
    assert!(!whole.closed.changes.is_empty() && state(&mut whole.graph) == state(&mut resumed.graph));
    // What waited is gone, whatever became of it.
    assert_eq!(whole.graph.sizes().pending, 0);
}

/// Random names and ids, wild times, parents that are their own children.
#[test]
fn hostile_spans_find_an_end() {
    let (mut world, mut g) = (World::new(), Generator(5));
    let kinds = ["server", "client", "producer", "consumer", "internal"];
    for step in 0..60 {
        let lines: Vec<String> = (0..4000)
            .map(|_| {
                let (kind, service) = (kinds[g.below(5) as usize], g.below(1 << 14));
                let (id, parent) = (1 + g.below(20), g.below(20));
                let (start, ms) = (g.below(1 << 40), g.below(1 << 42));
                let (trace, peer, name) = (g.below(1 << 16), g.next(), g.next());
                format!("s{service} {kind} {trace}:{id}<{parent} {start}+{ms} peer=p{peer} name={name}")
            })
            .collect();
        world.observe(&body(&refs(&lines)), Millis(step * 100));
        world.closed = Default::default();
    }
    let (sizes, counts) = (world.graph.sizes(), world.graph.counts());
    assert_eq!((sizes.services, sizes.operations), (limits::SERVICES, limits::OPERATION_ROWS));
    assert!(sizes.pending <= limits::PENDING && sizes.edges <= limits::EDGES, "{sizes:?}");
    assert!(counts.services_refused > 0 && counts.operations_refused > 0 && counts.repeated > 0, "{counts:?}");
    // Two days later all of it is forgotten, and its series are ended.
    world.graph.skip(Millis(200_000_000));
    world.advance(Millis(200_120_000));
    let sizes = world.graph.sizes();
    assert_eq!((sizes.services, sizes.edges, sizes.operations, sizes.pending), (0, 0, 0, 0));
}

/// Small ids and small seeds, as tests and simple tracers draw them, spread as well as random ones: were they to share a
/// hash, this would take minutes.
#[test]
fn small_ids_are_found_quickly() {
    for seed in 0..4 {
        let mut graph = Graph::new(faultline_model::HashSeed(seed));
        for step in 0..40_u64 {
            let lines: Vec<String> =
                (0..500).map(|i| format!("web client {}:1<0 0+1 name=n{}", 1 + step * 500 + i, i % 3)).collect();
            graph.observe(&body(&refs(&lines)), Millis(0));
        }
        assert_eq!(graph.sizes().pending, 20_000);
    }
}

/// One service with more span names than fit: the rest share one series per kind and status.
#[test]
fn too_many_operations_share_one() {
    let mut world = World::new();
    let lines: Vec<String> = (0..500).map(|i| format!("web server {i}:1<0 0+1 name=n{i}")).collect();
    world.observe(&body(&refs(&lines)), Millis(0));
    world.observe(&body(&["- server 1:1<0 0+1", "- log 1"]), Millis(1));
    world.advance(Millis(1000));
    let series = world.series();
    let calls: Vec<_> = series.iter().filter(|(name, _)| name.contains("calls_total")).collect();
    assert_eq!(calls.len(), limits::OPERATIONS_OF_SERVICE as usize + 1);
    assert_eq!(calls.iter().find(|(name, _)| name.contains("(other)")).map(|(_, value)| **value), Some(300.0));
    assert_eq!((world.graph.counts().operations_refused, world.graph.counts().nameless), (300, 2));
}
