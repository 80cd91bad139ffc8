//! What watches pass over is as if each rule had looked: rules beside the same rules whose watches are given up before each batch.
use crate::dice::Dice;
use crate::store::{Store, labels};
use faultline_model::facts::Transition;
use faultline_model::table::PageBytes;
use faultline_model::{Evaluation, Labels, Millis, Position, RuleFile, RuleFiles, Sample, TenantId, Writer};
use faultline_rules::{Rules, SelectorId};
use std::collections::BTreeMap;

/// Of every way in which a batch or an instant may be passed over: elements that few series give, sums far from what they ask for and close to
/// it, sums that are alike, means, numbers that fall; and some that may not.
const RULES: &str = "groups:
- name: g
  interval: 5s
  rules:
  - {alert: High, expr: x > 90, for: 7s}
  - {alert: Higher, expr: x >= 95}
  - {alert: Low, expr: x < 3}
  - {alert: Between, expr: x * 2 + 1 > 180}
  - {alert: Rate, expr: 'rate(c[20s]) > 40', for: 5s}
  - {alert: Faster, expr: 'rate(c[20s]) > 45', labels: {l: '{{ if gt $value 46.0 }}a{{ end }}'}}
  - {alert: Sum, expr: 'sum by (job) (rate(c[20s])) > 250', for: 5s}
  - {alert: SumMore, expr: 'sum by (job) (rate(c[20s])) > 1000'}
  - {alert: SumOther, expr: 'sum without (i) (rate(c[20s])) > 400'}
  - {alert: SumSlow, expr: 'sum by (job) (rate(c[20s])) < 9'}
  - {alert: SumSlower, expr: 'sum by (job) (rate(c[20s])) < 6', for: 3s}
  - {alert: Mean, expr: 'avg by (job) (x) > 60'}
  - {alert: Fall, expr: 'sum(x) < 900'}
  - {alert: Most, expr: 'max by (job) (x) > 97'}
- name: h
  interval: 7s
  rules:
  - {alert: SumToo, expr: 'sum by (job) (rate(c[20s])) > 250'}
  - {record: 'job:x:sum', expr: 'sum by (job) (x)'}
  - {alert: Recorded, expr: 'job:x:sum > 600'}
  - {alert: Pair, expr: 'sum by (job) (x) / count by (job) (x) > 60'}
";
const SERIES: usize = 40;

struct World {
    rules: Rules,
    store: Store,
    out: Vec<Transition>,
    /// Whether watches are given up before each batch.
    looks: bool,
}

impl World {
    fn new(looks: bool) -> World {
        let files = vec![RuleFile { name: "t.yml".into(), text: RULES.into() }];
        World::of(RuleFiles { files, default_evaluation: Evaluation::Stream, ..RuleFiles::default() }, looks)
    }

    fn of(files: RuleFiles, looks: bool) -> World {
        let (mut rules, mut store, mut out) = (Rules::new(TenantId(0)), Store::default(), Vec::new());
        rules.load(&files, Millis(0), Position::default(), &mut store, &mut out).expect("good rules");
        store.serve(&rules);
        World { rules, store, out, looks }
    }

    fn step_to(&mut self, to: Millis) {
        while let Some(due) = self.rules.due().filter(|due| *due <= to) {
            self.rules.advance(due, Position::default(), &mut self.store, &mut self.out);
        }
    }

    /// Samples of one instant, shown to rules as the engine shows them.
    fn batch(&mut self, at: Millis, samples: &[(Labels, Sample)]) {
        self.step_to(at.plus(-1));
        let mut told: BTreeMap<Vec<SelectorId>, Vec<u32>> = BTreeMap::new();
        for (labels, sample) in samples {
            let (selectors, series) = self.store.push(labels, *sample);
            told.entry(selectors).or_default().push(series);
        }
        for (selectors, mut series) in told {
            series.sort();
            if self.looks {
                self.rules.read_again();
            }
            self.rules.touch_all(&selectors, &series, at, Position::default(), &self.store, &mut self.out);
        }
    }

    fn state(&mut self) -> (Vec<u8>, PageBytes) {
        let mut w = Writer::default();
        self.rules.write_rest(&mut w);
        (w.into_bytes(), PageBytes::of(self.rules.tables()))
    }
}

#[test]
fn what_is_passed_over_is_as_if_it_had_been_looked_at() {
    let (mut passed, mut told) = (0, 0);
    for seed in 0..30 {
        let (mut dice, mut worlds) = (Dice(seed), [World::new(false), World::new(true)]);
        let mut at = worlds[0].rules.due().expect("a group has a next instant");
        let mut names: Vec<Labels> =
            (0..SERIES).map(|i| labels(&format!("{}{{i=\"{i}\",job=\"{}\"}}", ["x", "c"][i % 2], i / 2 % 3))).collect();
        let mut values = [0.0_f64; SERIES];
        for step in 0..250 {
            // Now and then nothing comes for some instants, in which rates fall.
            at = at.plus(dice.roll(900) as i64 + 1 + if dice.roll(15) == 0 { 9_000 } else { 0 });
            // Now and then a quiet time, in which hardly anything comes near to what rules ask for.
            let wild = step / 25 % 2 == 1;
            let first = dice.roll(SERIES as u64) as usize;
            let mut samples = Vec::new();
            for i in (first..SERIES).take(1 + dice.roll(12) as usize) {
                values[i] = match (names[i].name(), dice.roll(60)) {
                    ("x", _) => 30.0 + dice.roll(if wild { 70 } else { 20 }) as f64 - if wild { 29.0 } else { 0.0 },
                    (_, 0) => 0.0,
                    _ => values[i] + dice.roll(if wild { 90 } else { 20 }) as f64,
                };
                let stale = dice.roll(if wild { 40 } else { 400 }) == 0;
                let odd = dice.roll(300) == 0;
                let value = if odd { [f64::NAN, f64::INFINITY][dice.roll(2) as usize] } else { values[i] };
                samples.push((names[i].clone(), if stale { Sample::stale(at) } else { Sample::new(at, value) }));
            }
            for world in &mut worlds {
                world.batch(at, &samples);
            }
            passed += worlds[0].rules.passed_over();
            assert_eq!(worlds[1].rules.passed_over(), 0);
            if dice.roll(40) == 0 {
                // A series goes, and another gets its number.
                let i = dice.roll(SERIES as u64) as usize;
                let other = labels(&format!("{}{{i=\"{i}-{step}\",job=\"{}\"}}", names[i].name(), dice.roll(3)));
                for world in &mut worlds {
                    world.store.replace(&names[i], &other);
                }
                names[i] = other;
            }
            let [watched, looked] = &mut worlds;
            // As text: values may be NaN.
            let text = |world: &World| format!("{:?}", (&world.out, world.rules.groups()));
            assert!(text(watched) == text(looked), "seed {seed}, step {step}");
            if dice.roll(8) == 0 {
                assert!(watched.state() == looked.state(), "seed {seed}, step {step}");
            }
        }
        told += worlds[0].out.len();
    }
    assert!(passed > 10_000 && told > 1_000, "{passed} samples passed over, {told} transitions");
}

/// Time alone brings a sum close to its limit, from instant to instant, and a sample takes it past. The limits are such that this
/// happens after any number of instants.
#[test]
fn a_sum_is_known_anew_at_each_instant_that_is_passed_over() {
    let (mut passed, mut told) = (0, 0);
    for limit in (2..80).map(|half| f64::from(half) / 2.0) {
        let rule = format!("{{alert: Slow, expr: 'sum by (job) (rate(c[20s])) < {limit}'}}");
        let text = format!("groups:\n- name: g\n  interval: 5s\n  rules:\n  - {rule}\n");
        let files = vec![RuleFile { name: "t.yml".into(), text }];
        let files = RuleFiles { files, default_evaluation: Evaluation::Stream, ..RuleFiles::default() };
        let mut worlds = [false, true].map(|looks| World::of(files.clone(), looks));
        let at = worlds[0].rules.due().expect("a group has a next instant");
        for second in (0..25).chain([41, 42, 43]) {
            let (at, value) = (at.plus(second * 1000 + 1), second.min(24) as f64 * 20.0);
            for world in &mut worlds {
                // Both rise at first; then there is nothing, and then one that no longer rises.
                let some = if second < 25 { &["1", "2"][..] } else { &["1"] };
                let sample = |i| (labels(&format!("c{{i=\"{i}\",job=\"a\"}}")), Sample::new(at, value));
                world.batch(at, &Vec::from_iter(some.iter().map(sample)));
            }
            assert_eq!(worlds[0].out, worlds[1].out, "limit {limit}, second {second}");
            passed += worlds[0].rules.passed_over();
        }
        let [watched, looked] = &mut worlds;
        assert!(watched.state() == looked.state(), "limit {limit}");
        told += watched.out.len();
    }
    assert!(passed > 500 && told > 50, "{passed} samples passed over, {told} transitions");
}

/// What rules of one selector read is shared where they ask for the same, and the ends of a stretch are part of what they ask for.
#[test]
fn rules_that_differ_by_the_ends_of_their_stretch_share_nothing() {
    let plain = "  - {alert: Plain, expr: 'increase(c[20s]) > 70'}\n";
    let anchored = "  - {alert: Anchored, expr: 'increase(c[20s] anchored) > 70'}\n";
    let features = vec!["promql-extended-range-selectors".into()];
    let play = |rules: String| {
        let text = format!("groups:\n- name: g\n  interval: 5s\n  rules:\n{rules}");
        let files = vec![RuleFile { name: "t.yml".into(), text }];
        let features = features.clone();
        let default_evaluation = Evaluation::Stream;
        let mut world = World::of(RuleFiles { files, features, default_evaluation, ..RuleFiles::default() }, false);
        let (mut dice, mut value) = (Dice(1), 0.0);
        let mut at = world.rules.due().expect("a group has a next instant");
        for _ in 0..300 {
            at = at.plus(dice.roll(4_000) as i64 + 1);
            value += dice.roll(15) as f64;
            world.batch(at, &[(labels("c"), Sample::new(at, value))]);
        }
        let told = world.out.into_iter().filter(|it| it.name == "Anchored");
        told.map(|it| (it.to, it.at, it.value.to_bits())).collect::<Vec<_>>()
    };
    let alone = play(anchored.into());
    assert!(alone.len() > 10);
    assert_eq!(play([plain, anchored].concat()), alone);
}
