//! Written scenes: `tests/golden/verdicts.txt`. Rewrite with `UPDATE=1 cargo test -p faultline-explain`.
//!
//! `<service>: <signal> <before> -> <now> z <score> ...` states what is unusual; everything not stated is calm: 10 requests a second, 20 ms of which
//! 10 its own, no errors. `<client> -> <server>: ...` is a call, calm unless stated. Words: `traffic latency self errors own logs gap`, and
//! `silent peer async cold onset <seconds>`. `violated` and `deploy <service> <seconds before>` say the rest.
use faultline_explain::explain;
use faultline_model::facts::{ChangeEvidence, Coverage, EdgeEvidence, Evidence, NodeEvidence, Shift, Telemetry};
use faultline_model::{IncidentId, Millis};
use std::fmt::Write as _;

const ONSET: Millis = Millis(1_000_000);

fn calm(level: f64) -> Shift {
    Shift { expected: level, seen: level * 1.01, z: 0.2, count: 300.0 }
}

fn signals(words: &[&str], known: &mut [(&str, &mut Shift)]) -> Vec<String> {
    let number = |word: &str| word.parse::<f64>().unwrap_or_else(|_| panic!("not a number: {word}"));
    let mut rest = Vec::new();
    let mut at = 0;
    while at < words.len() {
        match known.iter_mut().find(|(name, _)| *name == words[at]) {
            Some((_, shift)) => {
                assert_eq!((words[at + 2], words[at + 4]), ("->", "z"), "{words:?}");
                let (expected, seen) = (number(words[at + 1]), number(words[at + 3]));
                **shift =
                    Shift { expected, seen, z: number(words[at + 5]), count: if seen > 0.0 { 300.0 } else { 0.0 } };
                at += 6;
            }
            None => {
                rest.push(words[at].to_string());
                at += 1;
            }
        }
    }
    rest
}

fn scene(lines: &[&str]) -> Evidence {
    let mut nodes: Vec<NodeEvidence> = Vec::new();
    let mut edges = Vec::new();
    let mut violated: Vec<String> = Vec::new();
    let mut changes = Vec::new();
    for line in lines {
        if let Some(rest) = line.strip_prefix("violated ") {
            violated = rest.split_whitespace().map(String::from).collect();
        } else if let Some(rest) = line.strip_prefix("deploy ") {
            let (name, seconds) = rest.split_once(' ').expect("a service and seconds");
            changes.push((name.to_string(), seconds.parse::<i64>().expect("seconds")));
        } else if let Some((head, rest)) = line.split_once(':') {
            let words: Vec<&str> = rest.split_whitespace().collect();
            match head.split_once(" -> ") {
                Some((client, server)) => {
                    let mut edge = EdgeEvidence {
                        traffic: calm(10.0),
                        latency: calm(21.0),
                        errors: calm(0.0),
                        gap: calm(1.0),
                        ..EdgeEvidence::default()
                    };
                    for word in signals(
                        &words,
                        &mut [
                            ("traffic", &mut edge.traffic),
                            ("latency", &mut edge.latency),
                            ("errors", &mut edge.errors),
                            ("gap", &mut edge.gap),
                        ],
                    ) {
                        assert_eq!(word, "async");
                        edge.asynchronous = true;
                    }
                    edges.push((client.to_string(), server.to_string(), edge));
                }
                None => {
                    let mut node = NodeEvidence {
                        entity: head.to_string(),
                        traffic: calm(10.0),
                        latency: calm(20.0),
                        self_time: calm(10.0),
                        errors: calm(0.0),
                        own_errors: calm(0.0),
                        error_logs: calm(0.0),
                        ..NodeEvidence::default()
                    };
                    let rest = signals(
                        &words,
                        &mut [
                            ("traffic", &mut node.traffic),
                            ("latency", &mut node.latency),
                            ("self", &mut node.self_time),
                            ("errors", &mut node.errors),
                            ("own", &mut node.own_errors),
                            ("logs", &mut node.error_logs),
                        ],
                    );
                    let mut rest = rest.iter().map(|word| &**word);
                    while let Some(word) = rest.next() {
                        match word {
                            "onset" => {
                                let seconds: f64 = rest.next().expect("seconds").parse().expect("seconds");
                                node.onset = Some(ONSET.plus((seconds * 1e3) as i64));
                            }
                            "silent" | "peer" => {
                                let expected = node.traffic.expected;
                                node = NodeEvidence { entity: node.entity, ..NodeEvidence::default() };
                                node.telemetry = if word == "peer" { Telemetry::Peer } else { Telemetry::Silent };
                                if word == "silent" {
                                    node.traffic = Shift { expected, seen: 0.0, z: -30.0, count: 0.0 };
                                }
                            }
                            "cold" => node = NodeEvidence { entity: node.entity, ..NodeEvidence::default() },
                            other => panic!("no such word: {other}"),
                        }
                    }
                    nodes.push(node);
                }
            }
        }
    }
    nodes.sort_by(|a, b| a.entity.cmp(&b.entity));
    let place =
        |name: &str| nodes.iter().position(|node| node.entity == name).unwrap_or_else(|| panic!("no {name}")) as u32;
    let mut edges: Vec<EdgeEvidence> = edges
        .into_iter()
        .map(|(client, server, edge)| EdgeEvidence { client: place(&client), server: place(&server), ..edge })
        .collect();
    edges.sort_by_key(|edge| (edge.client, edge.server));
    let mut targets: Vec<u32> = violated.iter().map(|name| place(name)).collect();
    targets.sort();
    let changes = changes.iter().map(|(name, seconds)| ChangeEvidence {
        node: place(name),
        kind: "deploy".into(),
        title: "release 7".into(),
        at: ONSET.plus(-1000 * seconds),
    });
    Evidence {
        incident: IncidentId::default(),
        revision: 1,
        at: ONSET.plus(30_000),
        onset: ONSET,
        window: 30_000,
        changes: changes.collect(),
        nodes,
        edges,
        targets,
        coverage: Coverage::default(),
        learnt: None,
        model: 4,
        reliability: Vec::new(),
        hosts: Vec::new(),
        strengths: None,
    }
}

fn told(lines: &[&str]) -> String {
    let verdict = explain(&scene(lines));
    let mut out = format!("{}\n", verdict.summary);
    for cause in &verdict.causes {
        let path: Vec<String> = cause
            .path
            .iter()
            .map(|step| format!("{} -> {} {:.0} %", step.client, step.server, step.explained * 100.0))
            .collect();
        let path = if path.is_empty() { String::new() } else { format!("; {}", path.join(", ")) };
        writeln!(out, "{:.2} {} {}, share {:.2}{path}", cause.posterior, cause.entity, cause.kind, cause.share)
            .expect("a string grows");
    }
    writeln!(out, "why: {}", verdict.why_not_second).expect("a string grows");
    for it in &verdict.what_ifs {
        let still: Vec<String> = it.services.iter().map(|it| format!("{} {:.2}", it.entity, it.degraded)).collect();
        let (well, violated, still) = (it.well, it.violated, still.join(", "));
        writeln!(out, "without {}: {well} of {violated} well; {still}", it.entity).expect("a string grows");
    }
    for it in &verdict.checks {
        let (yes, no) = (&it.yes, &it.no);
        write!(out, "check {}: {} Yes, likely by {:.2}: ", it.entity, it.question, it.likely).expect("a string grows");
        write!(out, "{} {:.2}; no: {} {:.2}; ", yes.entity, yes.posterior, no.entity, no.posterior)
            .expect("a string grows");
        writeln!(out, "cuts {:.2}", it.cut).expect("a string grows");
    }
    writeln!(out, "how: {}", verdict.method).expect("a string grows");
    out
}

#[test]
fn scenes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/verdicts.txt");
    let text = std::fs::read_to_string(path).expect("the golden file is there");
    let mut found = String::new();
    for block in text.split("\n\n") {
        let input = block.split("\n----").next().expect("a block has a first part").trim_end();
        if !input.starts_with("==") {
            found.push_str(&format!("{input}\n\n"));
            continue;
        }
        let lines: Vec<&str> = input.lines().skip(1).collect();
        found.push_str(&format!("{input}\n----\n{}\n", told(&lines)));
    }
    let found = format!("{}\n", found.trim_end());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &found).expect("the golden file can be written");
        return;
    }
    assert_eq!(found, text);
}

#[test]
fn what_only_alerts_name_is_not_said_to_be_called() {
    let lines = ["web:", "vendor: peer", "Watchdog: peer", "web -> vendor:", "violated Watchdog"];
    let mut evidence = scene(&lines);
    evidence.coverage.unseen = vec!["Watchdog".into(), "vendor".into()];
    let told = ["seen by their callers only: vendor", "known by their alerts only: Watchdog"];
    assert_eq!(explain(&evidence).unseen, told);
}
