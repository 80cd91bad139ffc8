//! Laws of the rules over many random stories: grid and stream agree, a checkpoint changes nothing.
use crate::dice::Dice;
use crate::store::labels;
use crate::story::Story;
use faultline_model::facts::AlertState;
use faultline_model::{Millis, Sample};
use std::collections::BTreeSet;

const RULES: &str = "groups:
- name: g
  interval: 5s
  rules:
  - {alert: High, expr: x > 5, for: 7s}
  - {alert: Now, expr: x > 7, keep_firing_for: 6s}
  - {alert: Rate, expr: 'rate(c[20s]) > 1', for: 5s, labels: {l: '{{ if gt $value 2.0 }}a{{ end }}'}}
  - {alert: Sum, expr: 'sum by (i) (x) > 6'}
  - {alert: Gone, expr: 'absent(x)', for: 3s}
end
";

fn play(seed: u64, stream: bool, restless: bool) -> Story {
    let mut story = Story::new(restless);
    let option = if stream { "rules stream\n" } else { "rules\n" };
    story.tell(&format!("{option}{RULES}"));
    let start = story.rules.groups()[0].next_at;
    let mut dice = Dice(seed);
    let mut out = String::new();
    let mut counts = [0.0_f64; 3];
    let mut at = start;
    for _ in 0..150 {
        at = at.plus(dice.roll(1500) as i64 + 1);
        let i = dice.roll(3) as usize;
        let series = labels(&format!("{}{{i=\"{i}\"}}", ["x", "c"][dice.roll(2) as usize]));
        counts[i] += dice.roll(9) as f64;
        let sample = match (series.name(), dice.roll(12)) {
            (_, 0) => Sample::stale(at),
            ("x", _) => Sample::new(at, dice.roll(10) as f64),
            _ => Sample::new(at, counts[i]),
        };
        if restless {
            story.tell("show groups");
        }
        story.sample(at, &series, sample, &mut out);
    }
    story.step_to(at.plus(20_000), &mut out);
    story
}

#[test]
fn a_checkpoint_at_any_place_and_the_rest_equal_the_whole() {
    for seed in 0..10 {
        for stream in [false, true] {
            let (whole, parts) = (play(seed, stream, false), play(seed, stream, true));
            // The commands between are counted as records: compare all but the occurrence.
            let told = |s: &Story| {
                s.all.iter().map(|t| (t.alert, t.from, t.to, t.at, t.active_at, t.value.to_bits())).collect::<Vec<_>>()
            };
            assert_eq!(told(&whole), told(&parts), "seed {seed}, stream {stream}");
            assert!(!whole.all.is_empty(), "seed {seed}: something happens");
        }
    }
}

/// What the expression of a grid rule found at its last instant, a stream rule without `for` holds there too.
#[test]
fn at_grid_instants_stream_and_grid_hold_the_same_elements() {
    for seed in 0..20 {
        let (grid, stream) = (play(seed, false, false), play(seed, true, false));
        let held = |s: &Story| -> BTreeSet<_> {
            s.rules
                .active()
                .filter(|a| a.keep_firing_since.is_none())
                .map(|a| (a.name, a.labels, a.value.to_bits()))
                .collect()
        };
        assert_eq!(held(&grid), held(&stream), "seed {seed}");
    }
}

/// No transition is lost or doubled: each alert goes from where it was, and stream is never later than the grid.
#[test]
fn transitions_of_an_alert_follow_on_one_another() {
    for seed in 0..20 {
        for stream in [false, true] {
            let story = play(seed, stream, false);
            let mut last = Millis(i64::MIN);
            let (mut states, mut begun) = (std::collections::BTreeMap::new(), BTreeSet::new());
            for t in &story.all {
                assert!(t.at >= last, "seed {seed}: time order");
                last = t.at;
                let first = t.from != AlertState::Ok || begun.insert((t.alert, t.occurrence));
                assert!(first, "seed {seed}: {t:?} began there already");
                let state = states.insert(t.alert, t.to).unwrap_or(AlertState::Ok);
                assert!(state == t.from && t.from != t.to, "seed {seed}: {t:?} after {state:?}");
            }
            let active: Vec<_> = story.rules.active().map(|a| (a.alert, a.state)).collect();
            states.retain(|_, state| *state != AlertState::Ok);
            assert_eq!(active.iter().copied().collect::<std::collections::BTreeMap<_, _>>(), states, "seed {seed}");
        }
    }
}
