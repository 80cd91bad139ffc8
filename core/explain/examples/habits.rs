//! What learned strengths of calls are worth: `cargo run --release -p faultline-explain --example habits`.
//!
//! Estates are drawn, in each incidents are closed with their causes, and fresh incidents of the same estate are explained with what was
//! learned and without. Prints how often the first cause is the culprit, and the Brier score of its posterior.
#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/estate.rs"]
mod estate;

use estate::{Case, Draw, Estate, Kind};
use faultline_explain::{explain, strength};
use faultline_model::facts::{Strength, Strengths};
use std::collections::BTreeMap;

const ESTATES: u64 = 40;
const FRESH: usize = 25;
const KINDS: [Kind; 4] = [Kind::Slow, Kind::Errors, Kind::Stopped, Kind::Crash];

/// Sums of what was seen of each call.
type Seen = BTreeMap<(String, String), (f64, f64)>;

#[derive(Clone, Copy, Default)]
struct Score {
    cases: f64,
    first: f64,
    known: f64,
    wrong: f64,
    brier: f64,
}

fn put(case: &mut Case, seen: &Seen, version: u64) {
    let nodes = &case.evidence.nodes;
    let calls = case.evidence.edges.iter().filter_map(|edge| {
        let name = |at: u32| nodes[at as usize].entity.clone();
        let &(degraded, passed) = seen.get(&(name(edge.client), name(edge.server)))?;
        Some(Strength { client: edge.client, server: edge.server, passes: strength(degraded, passed) })
    });
    case.evidence.strengths = Some(Strengths { version, calls: calls.collect() });
}

fn judge(case: &Case, score: &mut Score) {
    let verdict = explain(&case.evidence);
    let Some(first) = verdict.causes.first() else { return };
    let right = case.culprits.contains(&first.entity);
    score.cases += 1.0;
    score.first += f64::from(u8::from(right));
    score.known += f64::from(u8::from(!verdict.unknown));
    score.wrong += f64::from(u8::from(!verdict.unknown && !right));
    let off = first.posterior - f64::from(u8::from(right));
    score.brier += off * off;
}

fn main() {
    for (name, loose, dark) in [
        ("usual estates", 0.0, 0.0),
        ("a third of the calls loose", 0.33, 0.0),
        ("a third of the services dark", 0.0, 0.33),
        ("a third loose, a third dark", 0.33, 0.33),
    ] {
        for closed in [10, 60, 200] {
            let (mut without, mut with) = (Score::default(), Score::default());
            // Of calls that are loose, and of others: how many were learned, and the sum of their strengths.
            let mut learned = [(0.0, 0.0); 2];
            for seed in 0..ESTATES {
                let mut draw = Draw((seed + 31_000).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                let count = 20 + draw.below(30);
                let mut estate = Estate::draw(&mut draw, count);
                estate.vary(&mut draw, loose, dark);
                let mut seen = Seen::new();
                let (mut lessons, mut tries) = (0, 0);
                while lessons < closed && tries < 20 * closed {
                    tries += 1;
                    let Some(mut case) = estate.broken(&mut draw, &[KINDS[tries % 4]]) else { continue };
                    put(&mut case, &seen, lessons as u64);
                    let verdict = explain(&case.evidence);
                    let right = verdict.causes.first().is_some_and(|it| case.culprits.contains(&it.entity));
                    lessons += 1;
                    for it in verdict.passed.into_iter().filter(|_| right) {
                        let sums = seen.entry((it.client, it.server)).or_default();
                        (sums.0, sums.1) = (sums.0 + it.degraded, sums.1 + it.passed);
                    }
                }
                let truth = estate.passes();
                for ((client, server), &(degraded, passed)) in &seen {
                    let Some(passes) = truth.iter().find(|it| it.0 == *client && it.1 == *server) else { continue };
                    let (count, sum) = &mut learned[usize::from(passes.2)];
                    (*count, *sum) = (*count + 1.0, *sum + strength(degraded, passed));
                }
                let (mut fresh, mut tries) = (0, 0);
                let mut draw = Draw((seed + 35_000).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                while fresh < FRESH && tries < 20 * FRESH {
                    tries += 1;
                    // Every third has two causes.
                    let kinds = [KINDS[tries % 4], KINDS[tries / 4 % 4]];
                    let kinds = if tries % 3 == 0 { &kinds[..] } else { &kinds[..1] };
                    let Some(mut case) = estate.broken(&mut draw, kinds) else { continue };
                    fresh += 1;
                    judge(&case, &mut without);
                    put(&mut case, &seen, lessons as u64);
                    judge(&case, &mut with);
                }
            }
            let told = |it: Score| {
                format!(
                    "first {:.3}, named {:.3}, wrongly {:.4}, Brier {:.4}",
                    it.first / it.cases,
                    it.known / it.cases,
                    it.wrong / it.cases,
                    it.brier / it.cases
                )
            };
            let [loose, tight] = learned.map(|(count, sum): (f64, f64)| {
                if count > 0.0 { format!("{count} of mean {:.2}", sum / count) } else { "none".to_string() }
            });
            println!(
                "{name}, {closed} closed, {} fresh; learned of loose calls: {loose}; of others: {tight}",
                without.cases
            );
            println!("    without: {}\n    with:    {}", told(without), told(with));
        }
    }
}
