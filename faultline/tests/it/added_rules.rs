//! A rule added or edited live, through the whole engine: once it is known it has, bit for bit, the value that it would
//! have had, had it been in force before the first sample. Samples come late, early, out of order and not at all on the way.
use crate::journal::SEED;
use faultline::world::{control, own};
use faultline_engine::{Effect, Effects, Engine};
use faultline_formats::{Decoded, Record, decode, encode};
use faultline_host::Random;
use faultline_model::{
    Canonical, Clock, Control, Encoding, Evaluation, Format, Hlc, Kind, Labels, Millis, Payload, Position, RuleFile,
    RuleFiles, Sample, SourceId, TenantId,
};
use std::collections::{BTreeMap, BTreeSet};

pub const START: Millis = Millis(1_700_000_000_000);
/// Further than any chain of the rules looks back.
pub const REACH_MS: i64 = 60_000;
/// Recording rules first: they stay the same or are added, since what an edited one wrote before stays what it was.
pub const RULES: [&str; 12] = [
    "{record: total, expr: sum(x)}",
    "{record: steep, expr: 'rate(c[20s])'}",
    "{alert: High, expr: 'max_over_time(x[15s]) > 5'}",
    "{alert: Rate, expr: 'rate(c[40s]) > 0.2'}",
    "{alert: Few, expr: 'count_over_time(x[30s]) < 8'}",
    "{alert: Gone, expr: 'absent_over_time(y[20s])'}",
    "{alert: Now, expr: x > 3}",
    "{alert: All, expr: sum by (i) (x) + 1 > 3}",
    "{alert: Before, expr: x offset 25s > 3}",
    "{alert: Total, expr: 'avg_over_time(total[25s]) > 1'}",
    "{alert: Steep, expr: 'max_over_time(steep[15s]) > 0.1'}",
    "{alert: Sub, expr: 'max_over_time(rate(c[10s])[20s:5s]) > 0'}",
];

/// An engine, and what its recording rules wrote.
struct Run {
    engine: Engine,
    names: BTreeMap<u32, Labels>,
    written: Vec<(Labels, Sample)>,
    count: u64,
    stamp: Hlc,
}

type Values = BTreeSet<(String, Labels, i64, u64)>;

impl Run {
    fn new() -> Run {
        let run = (Engine::new(SEED), BTreeMap::new(), Vec::new());
        Run { engine: run.0, names: run.1, written: run.2, count: 0, stamp: Hlc::default() }
    }

    fn push(&mut self, wall: Millis, decoded: Decoded) {
        self.stamp = self.stamp.next(wall);
        let at = Position { partition: 0, offset: self.count };
        self.count += 1;
        let mut effects = Effects::default();
        self.engine.step(&[Record { at, stamp: self.stamp, decoded }], &mut effects);
        for effect in effects.list {
            let Effect::Accepted(accepted) = effect else { continue };
            self.names.extend(accepted.created);
            let named = accepted.samples.into_iter().map(|(id, sample)| (self.names[&id].clone(), sample));
            self.written.extend(named.filter(|(labels, _)| matches!(labels.name(), "total" | "steep")));
        }
    }

    /// Rules that are known and were evaluated after `loaded`.
    fn known(&mut self, loaded: Millis) -> BTreeSet<String> {
        let rules = self.engine.overview().groups.into_iter().flat_map(|group| group.rules.clone());
        let known = rules.filter(|r| r.unknown_until.is_none() && r.record.last_at.is_some_and(|at| at > loaded));
        known.map(|rule| rule.name.to_string()).collect()
    }

    /// What some rules hold, and what they recorded since.
    fn values(&mut self, of: &BTreeSet<String>, since: Millis) -> Values {
        let groups = self.engine.overview().groups;
        let alerts = groups.into_iter().flat_map(|group| group.rules.clone()).filter_map(|rule| rule.alerting);
        let held = alerts.flat_map(|alerting| alerting.alerts).filter(|a| of.contains(&a.name));
        let recorded = self.written.iter().rev().take_while(|(_, sample)| sample.time() >= since);
        // What was not there before needs no marker that it has gone.
        let recorded = recorded.filter(|(labels, sample)| of.contains(labels.name()) && !sample.is_stale());
        held.map(|a| (a.name, a.labels, 0, a.value.to_bits()))
            .chain(recorded.map(|(l, s)| (l.name().to_string(), l.clone(), s.time().0, s.value().to_bits())))
            .collect()
    }
}

pub fn rules(evaluation: Evaluation, mut choose: impl FnMut(&str) -> Option<String>) -> Decoded {
    let mut text = String::from("groups:\n- name: g\n  interval: 5s\n  rules:\n  - {alert: Stays, expr: never > 0}\n");
    RULES.iter().filter_map(|rule| choose(rule)).for_each(|rule| text.push_str(&format!("  - {rule}\n")));
    let files = vec![RuleFile { name: "t.yml".into(), text }];
    let files = RuleFiles { files, default_evaluation: evaluation, ..RuleFiles::default() };
    control(Control::Rules, files.to_bytes(), SEED)
}

/// A body of some samples.
pub fn body(random: &mut Random, now: Millis, counts: &mut [f64; 3], names: &[&str]) -> Decoded {
    let mut all = BTreeMap::new();
    for _ in 0..=random.below(3) {
        let i = random.below(3) as usize;
        counts[i] += random.below(9) as f64;
        let name = names[random.below(names.len() as u64) as usize];
        let value = if name == "c" { counts[i] } else { random.below(10) as f64 };
        let time = now.plus([0, 0, 0, -1_300, -9_000, -33_000, 4_000, 900][random.below(8) as usize]);
        let sample = if random.below(12) == 0 { Sample::stale(time) } else { Sample::new(time, value) };
        all.insert(Labels::new([("__name__", name), ("i", &*i.to_string())]), [sample]);
    }
    let body = encode::write_request(all.iter().map(|(labels, samples)| (labels, &samples[..])));
    let kind = Kind::Telemetry {
        source: SourceId([1; 16]),
        format: Format::RemoteWrite1,
        encoding: Encoding::Snappy,
        clock: Clock::Live,
    };
    let body = encode::compress(&body, Encoding::Snappy).into();
    decode(Payload { tenant: TenantId(0), kind, body }, SEED)
}

/// Says how many rules were unknown at first.
fn check(seed: u64, evaluation: Evaluation) -> usize {
    let mut random = Random::seeded(seed);
    let (mut whole, mut added) = (Run::new(), Run::new());
    let full = || rules(evaluation, |rule| Some(rule.into()));
    whole.push(START, full());
    let some = rules(evaluation, |rule| match random.below(3) {
        0 => Some(rule.into()),
        1 if rule.starts_with("{alert") => Some(format!("{}, expr: 'x > 1'}}", rule.split(',').next().unwrap())),
        _ => None,
    });
    added.push(START, some);
    let loaded = START.plus(1_000 + random.below(60_000) as i64);
    let (mut now, mut counts, mut unknown, mut pending) = (START, [0.0_f64; 3], 0, true);
    while now < loaded.plus(2 * REACH_MS) {
        now = now.plus(random.below(1_500) as i64 + 1);
        if pending && now > loaded {
            whole.push(loaded, own(Kind::Tick, Vec::new(), SEED));
            added.push(loaded, full());
            let rules = added.engine.overview().groups.into_iter().flat_map(|group| group.rules.clone());
            unknown = rules.filter(|rule| rule.unknown_until.is_some()).count();
            pending = false;
        }
        let names = if now < loaded { &["x", "c", "y"][..] } else { &["x", "c"] };
        // At grid instants a stream and the grid agree; between them a stream keeps what it found at the last sample.
        while let Some(due) = added.engine.overview().groups.iter().map(|g| g.next_at).find(|due| *due < now) {
            for run in [&mut whole, &mut added] {
                run.push(due, own(Kind::Tick, Vec::new(), SEED));
            }
            if added.engine.now() < due {
                break; // Rule time begins with the first telemetry.
            }
            if !pending {
                let of = added.known(loaded);
                let what = format!("seed {seed}, {evaluation:?}, {} ms after the load", due.since(loaded));
                assert_eq!(whole.values(&of, due), added.values(&of, due), "{what}");
            }
        }
        let decoded = body(&mut random, now, &mut counts, names);
        for run in [&mut whole, &mut added] {
            run.push(now, decoded.clone());
        }
        if random.below(10) == 0 {
            let checkpoint = added.engine.checkpoint();
            added.engine = Engine::restore(checkpoint).expect("just written");
        }
    }
    assert_eq!(added.known(loaded).len(), RULES.len() + 1, "seed {seed}: all are known in the end");
    unknown
}

#[test]
fn once_known_a_rule_added_live_is_as_one_from_the_start() {
    let kinds = [Evaluation::Grid, Evaluation::Stream];
    let unknown: usize = (0..25).flat_map(|seed| kinds.map(|kind| check(seed, kind))).sum();
    println!("{unknown} rules were unknown at first");
    assert!(unknown > 100, "{unknown}: most loads leave something unknown");
}
