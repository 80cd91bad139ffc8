//! How often the first cause is the culprit, over hundreds of estates nobody chose.
use crate::estate::{Draw, Kind, case};
use faultline_explain::explain;

struct Score {
    first: usize,
    top3: usize,
    kind: usize,
    wrong: usize,
    unknown: usize,
    count: usize,
}

fn score(kind: Kind, seeds: std::ops::Range<u64>) -> Score {
    let mut score = Score { first: 0, top3: 0, kind: 0, wrong: 0, unknown: 0, count: 0 };
    for seed in seeds {
        let count = 10 + Draw(seed * 31 + 7).below(51);
        let case = case(seed, count, &[kind]);
        let verdict = explain(&case.evidence);
        let place = verdict.causes.iter().position(|cause| cause.entity == case.culprits[0]);
        score.count += 1;
        score.first += usize::from(place == Some(0));
        score.top3 += usize::from(place.is_some_and(|place| place < 3));
        let word = match kind {
            Kind::Slow => "slow",
            Kind::Errors => "errors",
            Kind::Stopped | Kind::Crash => "stopped",
            Kind::Host => "host",
        };
        score.kind += usize::from(place == Some(0) && verdict.causes[0].kind == word);
        score.unknown += usize::from(verdict.unknown);
        score.wrong += usize::from(!verdict.unknown && place != Some(0));
        if std::env::var_os("SHOW").is_some() && place != Some(0) {
            println!("{kind:?} seed {seed} ({count}): culprit {} at {place:?}: {}", case.culprits[0], verdict.summary);
            println!("    {}", verdict.why_not_second);
        }
    }
    println!(
        "{kind:?}: first {} (with its kind {}) top3 {} unknown {} wrong {} of {}",
        score.first, score.kind, score.top3, score.unknown, score.wrong, score.count
    );
    score
}

#[test]
fn the_culprit_comes_first() {
    // Measured: 199, 197, 198, 185 and 200 first, of 200; 199 and more among the first three; two wrong names told as if they were sure.
    let least = [(Kind::Slow, 190), (Kind::Errors, 190), (Kind::Stopped, 190), (Kind::Crash, 180), (Kind::Host, 193)];
    for (kind, first) in least {
        let score = score(kind, 0..200);
        assert!(score.first >= first && score.top3 >= 196 && score.wrong <= 4, "{kind:?}");
    }
}
