//! Frozen evidence of small traces: edges, self time, gaps, peers, silence, anomalies.
use crate::traces::{World, body};
use faultline_model::facts::{Evidence, Signal, Telemetry};
use faultline_model::{ChangeEvent, EffectId, Millis};
use faultline_observe::Question;
use std::fmt::Write;

fn freeze(world: &World, at: i64, onset: i64, targets: &[&str]) -> Evidence {
    let alerts: Vec<(&str, &str)> = targets.iter().map(|t| (*t, "Slow")).collect();
    let change = |entity: &str| ChangeEvent {
        entity: entity.into(),
        kind: "deploy".into(),
        title: "2.0".into(),
        version: "2.0".into(),
        at: Millis(5),
        by: String::new(),
    };
    world.graph.freeze(&Question {
        incident: EffectId::default(),
        revision: 1,
        at: Millis(at),
        onset: Millis(onset),
        window_ms: 120_000,
        targets,
        alerts: &alerts,
        changes: &[change("shop"), change("elsewhere")],
    })
}

/// What was seen, as text: one line per node and edge.
fn seen(evidence: &Evidence) -> String {
    let mut text = String::new();
    for n in &evidence.nodes {
        let (rps, ms, own, err) = (n.traffic.count, n.latency.seen, n.self_time.seen, n.errors.seen);
        write!(text, "{} {rps} {ms} self {own} errors {err} own {}", n.entity, n.own_errors.seen).expect("text");
        writeln!(text, "{}", if n.telemetry == Telemetry::Peer { " peer" } else { "" }).expect("text");
    }
    for e in &evidence.edges {
        let name = |i: u32| &evidence.nodes[i as usize].entity;
        let arrow = if e.asynchronous { "~>" } else { "->" };
        write!(text, "{}{arrow}{} {} {}", name(e.client), name(e.server), e.traffic.count, e.latency.seen)
            .expect("text");
        writeln!(text, " errors {} gap {} of {}", e.errors.seen, e.gap.seen, e.gap.count).expect("text");
    }
    text
}

fn check(what: &str, lines: &str, end: i64, expected: &str) {
    let world = World::run(lines, end);
    let found = seen(&freeze(&world, end, 0, &["web"]));
    let expected: String = expected.lines().map(|line| format!("{}\n", line.trim())).collect();
    assert_eq!(found, expected, "{what}");
}

#[test]
fn small_traces_give_the_figures_computed_by_hand() {
    check(
        "a call: edge, gap and self time",
        "@0.1 web client 1:2<1 10+60
         @0.1 web server 1:1<0 0+100
         @0.2 shop server 1:3<2 900+45",
        3000,
        "shop 1 45 self 45 errors 0 own 0
         web 1 100 self 40 errors 0 own 0
         web->shop 1 60 errors 0 gap 15 of 1",
    );
    check(
        "every order of arrival gives the same, some seconds apart",
        "@0.1 shop server 1:3<2 900+45
         @1.1 web server 1:1<0 0+100
         @2.1 web client 1:2<1 10+60",
        3000,
        "shop 1 45 self 45 errors 0 own 0
         web 1 100 self 40 errors 0 own 0
         web->shop 1 60 errors 0 gap 15 of 1",
    );
    check(
        "calls side by side count once, calls in a row add up, within internal spans too",
        "@0.1 web client 1:3<2 10+50
         @0.1 web client 1:4<2 15+45
         @0.1 web internal 1:2<1 5+60
         @0.1 web client 1:5<1 70+20
         @0.1 web server 1:1<0 0+100
         @0.1 shop server 1:6<3 0+40
         @0.1 shop server 1:7<4 0+40
         @0.1 shop server 1:8<5 0+20",
        3000,
        // 10..60 and 70..90 are covered: 70 of 100 ms.
        "shop 3 33.333333333333336 self 33.333333333333336 errors 0 own 0
         web 1 100 self 30 errors 0 own 0
         web->shop 3 38.333333333333336 errors 0 gap 5 of 3",
    );
    check(
        "a failure is its own unless a call of its own failed; late children too",
        "@0.1 web server 1:1<0 0+10 !
         @0.2 web server 2:1<0 0+10 !
         @0.3 web client 2:2<1 1+8 !
         @0.3 shop server 2:3<2 1+8 !",
        3000,
        "shop 1 8 self 8 errors 1 own 1
         web 2 10 self 6 errors 1 own 0.5
         web->shop 1 8 errors 1 gap 0 of 1",
    );
    check(
        "a queue: no gap, no latency back",
        "@0.1 web producer 1:2<1 1+2
         @0.1 web server 1:1<0 0+10
         @0.5 mail consumer 1:3<2 500+30
         @0.6 audit consumer 1:4<2 500+10",
        3000,
        // One message is one call of the producer's, to the first that works on it.
        "audit 1 10 self 10 errors 0 own 0
         mail 1 30 self 30 errors 0 own 0
         web 1 10 self 8 errors 0 own 0
         web~>audit 0 0 errors 0 gap 0 of 0
         web~>mail 1 2 errors 0 gap 0 of 0",
    );
    check(
        "a call within a call is answered once",
        "@0.1 web client 1:3<2 2+6 peer=shop:80
         @0.1 web client 1:2<1 1+8 peer=rpc
         @0.1 web server 1:1<0 0+10
         @0.1 shop server 1:4<3 2+5",
        40_000,
        "shop 1 5 self 5 errors 0 own 0
         web 1 10 self 2 errors 0 own 0
         web->shop 1 6 errors 0 gap 1 of 1",
    );
    check(
        "a service that nobody calls serves its roots",
        "@0.1 web internal 1:1<0 0+10
         @0.1 web internal 1:2<1 0+5",
        3000,
        "web 1 10 self 10 errors 0 own 0",
    );
    check(
        "an unanswered peer is a node of its callers' words; one without a name is nobody",
        "@0.1 web client 1:2<1 1+8 peer=db !
         @0.2 web client 2:2<1 1+8",
        40_000,
        "db 1 8 self 8 errors 1 own 1 peer
         web 0 0 self 0 errors 0 own 0
         web->db 1 8 errors 1 gap 0 of 0",
    );
}

/// A killed callee sends nothing: its callers' failures still count on its edge, at once, by memory.
#[test]
fn a_killed_callee_keeps_its_edge() {
    let mut lines = String::new();
    for i in 0..20 {
        writeln!(lines, "@{i}.1 web client {i}:2<1 0+10 peer=shop.local\n@{i}.2 shop server {i}:3<2 0+8")
            .expect("text");
    }
    for i in 20..30 {
        writeln!(lines, "@{i}.1 web client {i}:2<1 0+1 peer=shop.local !").expect("text");
    }
    let world = World::run(&lines, 30_000);
    let evidence = freeze(&world, 30_000, 20_000, &["web"]);
    assert_eq!(
        seen(&evidence).lines().last(),
        // No server has told of these calls: the gap is the one that is expected.
        Some("web->shop 10 1 errors 1 gap 2 of 0"),
        "{}",
        seen(&evidence)
    );
    for i in 30..50 {
        writeln!(lines, "@{i}.1 web internal {i}:2<1 0+1").expect("text");
    }
    let evidence = freeze(&World::run(&lines, 50_000), 50_000, 20_000, &["web"]);
    let telemetry: Vec<_> = evidence.nodes.iter().map(|n| (n.entity.as_str(), n.telemetry)).collect();
    assert_eq!(telemetry, [("shop", Telemetry::Silent), ("web", Telemetry::Reporting)]);
    assert_eq!(evidence.coverage.silent, ["shop"]);
}

/// Who shares a host with somebody, how many each runs on, and not for ever; an alert that is named like a host is of it.
#[test]
fn evidence_tells_which_services_share_a_host() {
    let mut lines = String::new();
    for (i, host) in ["a", "b"].into_iter().enumerate() {
        writeln!(lines, "@0.1 web client {i}:2<1 0+10 host={host}\n@0.1 shop server {i}:3<2 0+8 host=a").expect("text");
        writeln!(lines, "@0.1 shop client {i}:4<3 0+5 host=a\n@0.1 db server {i}:5<4 0+4 host=b").expect("text");
    }
    lines.push_str("@0.3 lone server 9:6<1 0+1 host=b\n@0.3 elsewhere server 9:7<1 0+1 host=c");
    let hosts = |evidence: &Evidence| -> Vec<String> {
        let name = |node: u32| &evidence.nodes[node as usize].entity;
        let placed = |it: &faultline_model::facts::Placed| format!("{} {}", name(it.node), it.of);
        let line = |services: Vec<String>, host: &str| format!("{host}: {}", services.join(", "));
        let hosts = evidence.hosts.iter();
        hosts.map(|host| line(host.services.iter().map(placed).collect(), &host.name)).collect()
    };
    let world = World::run(&lines, 3_000);
    assert_eq!(hosts(&freeze(&world, 3_000, 0, &["web"])), ["a: shop 1, web 2", "b: db 1, web 2"]);
    assert_eq!(hosts(&freeze(&world, 3_000, 0, &["b", "web"])), ["a: shop 1, web 2", "b: b 1, db 1, web 2"]);
    assert!(hosts(&freeze(&world, 3_000, 901_000, &["web"])).is_empty(), "told of too long ago");
    for (notes, expected) in [(true, 1), (false, 0)] {
        let mut world = World::new();
        world.graph.note_hosts(notes);
        world.observe(&body(&["web client 1:2<1 0+10 host=a", "shop server 1:3<2 0+8 host=a"]), Millis(100));
        assert_eq!(freeze(&world, 3_000, 0, &["web"]).hosts.len(), expected, "an older engine notes none");
    }
}

/// A wrong guess is taken back: the same peer name leads to two services.
#[test]
fn a_guess_that_turns_out_wrong_is_taken_back() {
    let lines = "@0.1 web client 1:2<1 0+10 peer=localhost
         @0.2 shop server 1:3<2 0+8
         @1.1 web client 2:2<1 0+30 peer=localhost
         @2.1 mail server 2:3<2 0+20";
    check(
        "the second call counts for mail alone",
        lines,
        3000,
        "mail 1 20 self 20 errors 0 own 0
         shop 1 8 self 8 errors 0 own 0
         web 0 0 self 0 errors 0 own 0
         web->mail 1 30 errors 0 gap 10 of 1
         web->shop 1 10 errors 0 gap 2 of 1",
    );
}

#[test]
fn evidence_covers_the_targets_part_of_the_graph() {
    let mut lines = String::new();
    // load -> web -> shop -> db; other -> shop; far -> other. Edges are all there are.
    for (i, (client, server)) in
        [("load", "web"), ("web", "shop"), ("shop", "db"), ("other", "shop"), ("far", "other")].iter().enumerate()
    {
        writeln!(lines, "@0.1 {client} client {i}:2<1 0+10\n@0.1 {server} server {i}:3<2 0+8").expect("text");
    }
    lines.push_str("@0.2 web server 99:5<4 0+1 sampled");
    let world = World::run(&lines, 3000);
    let evidence = freeze(&world, 3000, 0, &["nowhere", "web"]);
    let names: Vec<&str> = evidence.nodes.iter().map(|n| n.entity.as_str()).collect();
    assert_eq!(names, ["db", "load", "nowhere", "shop", "web"]);
    assert_eq!((evidence.targets, evidence.window), (vec![2, 4], 3000));
    assert_eq!(evidence.changes.iter().map(|c| (c.node, c.title.as_str())).collect::<Vec<_>>(), [(3, "2.0")]);
    assert_eq!(evidence.nodes[4].alerts, ["Slow"]);
    assert!(evidence.coverage.sampled && evidence.coverage.unseen == ["nowhere"]);
    let mut callers = Vec::new();
    world.graph.callers("shop", &mut |name| callers.push(name.to_string()));
    assert_eq!(callers, ["other", "web"]);
    let mut callees = Vec::new();
    world.graph.callees("shop", &mut |name| callees.push(name.to_string()));
    assert_eq!(callees, ["db"]);
    // The server span of trace 99 names a client that is never seen.
    let later = World::run(&lines, 40_000);
    let share = freeze(&later, 40_000, 0, &["web"]).coverage.unpaired;
    assert_eq!(share, 1.0 / 6.0);
    let lacks = later.graph.lacks(Millis(40_000));
    assert_eq!((lacks.unpaired, lacks.sampled), (share, true), "what a verdict now would lack says so, too");
}

/// Ten minutes of calm, then one callee turns slow: told within two windows, with an onset near the truth.
#[test]
fn a_slow_callee_is_an_anomaly_with_its_onset() {
    let mut world = World::new();
    let onset = 600_000;
    for tick in 0..3300_i64 {
        let at = tick * 200;
        let slow = if at >= onset { 300.0 } else { 0.0 };
        // A little noise, the same in every run.
        let shop = 20.0 + (tick * 7919 % 13) as f64 + slow;
        let spans = [
            format!("shop server {tick}:3<2 0+{shop}"),
            format!("web client {tick}:2<1 2+{}", shop + 3.0),
            format!("web server {tick}:1<0 0+{}", shop + 10.0),
        ];
        world.observe(&body(&spans.each_ref().map(|s| s.as_str())), Millis(at));
    }
    world.advance(Millis(660_000));
    let first = |entity: &str| world.closed.anomalies.iter().find(|a| a.entity == entity).expect("an anomaly");
    for entity in ["shop", "web"] {
        let anomaly = first(entity);
        assert_eq!(anomaly.signal, Signal::Latency, "{anomaly:?}");
        assert!(anomaly.at.0 > onset && anomaly.at.0 <= onset + 20_000, "{anomaly:?}");
        assert!((anomaly.onset.0 - onset).abs() <= 1000 && anomaly.z > 8.0, "{anomaly:?}");
    }
    assert_eq!(world.closed.anomalies.len(), 2, "{:?}", world.closed.anomalies);
    let evidence = freeze(&world, 610_000, onset, &["web"]);
    let [shop, web] = &evidence.nodes[..] else { panic!("{evidence:?}") };
    assert!((shop.self_time.rise() - 300.0).abs() < 5.0 && shop.self_time.z > 8.0, "{shop:?}");
    assert!((web.latency.rise() - 300.0).abs() < 5.0 && web.self_time.rise().abs() < 1.0, "{web:?}");
    assert!((evidence.edges[0].latency.rise() - 300.0).abs() < 5.0 && evidence.edges[0].gap.rise().abs() < 1.0);
    assert_eq!(shop.onset.map(|at| (at.0 - onset).abs() <= 1000), Some(true), "{shop:?}");
}

/// Trouble, healed, trouble again before the watch has forgotten the first: the second has its own onset, and what has healed
/// has none.
#[test]
fn healed_trouble_began_nothing() {
    let slow = |at: i64| (600_000..640_000).contains(&at) || at >= 655_000;
    let mut world = World::new();
    for tick in 0..3300_i64 {
        let at = tick * 200;
        let shop = 20.0 + (tick * 7919 % 13) as f64 + if slow(at) { 300.0 } else { 0.0 };
        // From 656 s on web is slow by itself.
        let web = shop + 10.0 + if at >= 656_000 { 500.0 } else { 0.0 };
        let spans = [
            format!("shop server {tick}:3<2 0+{}", if at >= 656_000 { 25.0 } else { shop }),
            format!("web client {tick}:2<1 2+{}", shop + 3.0),
            format!("web server {tick}:1<0 0+{web}"),
        ];
        world.observe(&body(&spans.each_ref().map(|s| s.as_str())), Millis(at));
        let onsets = |onset: i64| -> Vec<Option<i64>> {
            let evidence = freeze(&world, at, onset, &["web"]);
            evidence.nodes.iter().map(|node| node.onset.map(|onset| onset.0)).collect()
        };
        match at {
            630_000 => assert_eq!(onsets(600_000), [Some(600_000), Some(600_000)]),
            // Healed: the watches of both are still active.
            654_000 => assert_eq!(onsets(650_000), [None, None]),
            // Shop's second trouble lasted one second: too short to be one.
            659_800 => assert_eq!(onsets(656_000), [None, Some(655_000)]),
            _ => {}
        }
    }
}

/// A new version is a change; the first one and one known are not.
#[test]
fn a_new_version_is_a_change() {
    let world = World::run(
        "@0.1 web server 1:1<0 0+1 version=1.0
         @70.1 web server 2:1<0 0+1 version=1.1
         @71.1 web server 3:1<0 0+1 version=1.0
         @200.1 web server 4:1<0 0+1 version=1.1",
        201_000,
    );
    let changes: Vec<_> = world.closed.changes.iter().map(|c| (c.entity.as_str(), c.title.as_str(), c.at.0)).collect();
    assert_eq!(changes, [("web", "service.version 1.0 to 1.1", 70_100)]);
}

/// Two hours of six services with random traffic and log-normal latencies, delivered in batches of five seconds: next to
/// nothing of it is an anomaly.
#[test]
fn calm_noise_is_no_anomaly() {
    let (mut world, mut state) = (World::new(), 1_u64);
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) + 1) as f64 / (1_u64 << 53) as f64
    };
    for batch in 0..7200 / 5 {
        for service in 0..6 {
            // Binomial, about 5 to 40 requests a batch.
            let trials = 10 * (service + 1);
            let lines: Vec<String> = (0..trials)
                .filter_map(|i| {
                    let normal: f64 = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
                    let (ms, fails) = (20.0 * faultline_model::float::exp(0.6 * normal), uniform() < 0.005);
                    let span = format!("s{service} server {batch}{i}:1<0 0+{ms}{}", if fails { " !" } else { "" });
                    (uniform() < 0.7).then_some(span)
                })
                .collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            world.observe(&body(&lines), Millis(batch * 5000 + service * 700));
        }
    }
    // 6 services, 4 signals, 720 windows each.
    assert!(world.closed.anomalies.len() <= 3, "{:#?}", world.closed.anomalies);
}

#[test]
fn a_line_of_the_log_that_stays_away_is_told_where_requests_can_be_counted() {
    // A request a second, at each of which shop writes two lines; in the last half minute only the first.
    let lines = |sampled: &str, last: i64| {
        let mut lines = String::new();
        for s in 1..=180 {
            writeln!(lines, "@{s} shop log 9 line=1").expect("text");
            if s <= 150 {
                writeln!(lines, "@{s} shop log 9 line=2").expect("text");
            }
            let name = if s <= last { "buy" } else { "look" };
            writeln!(lines, "@{s} shop server {s}:1<0 0+10 name={name} {sampled}").expect("text");
        }
        World::run(&lines, 181_000)
    };
    for (sampled, last, expected) in [("", 180, 30.0), ("sampled", 180, 0.0), ("", 150, 0.0)] {
        let evidence = freeze(&lines(sampled, last), 181_000, 152_000, &["shop"]);
        let found = evidence.nodes[0].missing_logs;
        assert_eq!(
            (found.expected, found.count),
            (expected, if expected > 0.0 { 2.0 } else { 0.0 }),
            "{sampled} {last}"
        );
    }
    let mut world = World::new();
    world.graph.note_lines(false);
    (1..40).for_each(|s| world.observe(&body(&["shop server 1:1<0 0+10", "shop log 9 line=1"]), Millis(s * 1_000)));
    (40..80).for_each(|s| world.observe(&body(&["shop server 1:1<0 0+10", "shop log 9 line=2"]), Millis(s * 1_000)));
    assert_eq!(freeze(&world, 80_000, 41_000, &["shop"]).nodes[0].missing_logs.count, 0.0, "an older engine");
}
