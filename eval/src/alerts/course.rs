//! How the values of a series go: one regime after the other, sample by sample.
use faultline_promql::notation::Entry;
use faultline_promqltest::random::Random;

/// How values go for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Regime {
    /// None.
    Absent {
        /// Whether a stale marker says so first.
        marked: bool,
    },
    /// Always the same.
    Level(f64),
    /// Two values in turn.
    Swings {
        /// The first.
        low: f64,
        /// The second.
        high: f64,
        /// Samples of each.
        samples: usize,
    },
    /// A counter that grows by so much a second.
    Grows(f64),
    /// The same, starting from 0 again and again.
    Resets {
        /// By so much a second.
        rate: f64,
        /// Samples from one start to the next.
        samples: usize,
    },
    /// A gauge that changes by so much a second.
    Drifts(f64),
    /// An instant that lay so many seconds in the past when the regime began, and stays there.
    Happened(f64),
    /// An instant so many seconds away, always; negative in the past.
    Near(f64),
}

/// What a series has come to.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    value: f64,
    regime: Option<Regime>,
    /// Samples under the regime.
    count: usize,
    began_s: f64,
}

impl Course {
    /// A series that stands at a value.
    pub fn at(value: f64) -> Course {
        Course { value, regime: None, count: 0, began_s: 0.0 }
    }

    /// The next sample, at `now_s` seconds since 1970, `step_s` after the one before.
    pub fn next(&mut self, regime: Regime, now_s: f64, step_s: f64) -> Entry {
        if self.regime != Some(regime) {
            (self.regime, self.count, self.began_s) = (Some(regime), 0, now_s);
        }
        let count = self.count;
        self.count += 1;
        self.value = match regime {
            Regime::Absent { marked } => return if marked && count == 0 { Entry::Stale } else { Entry::Missing },
            Regime::Level(x) => x,
            Regime::Swings { low, high, samples } => {
                if (count / samples).is_multiple_of(2) {
                    low
                } else {
                    high
                }
            }
            // Whole thousandths, as counters are told: sums of them are not the same from either end.
            Regime::Grows(rate) | Regime::Drifts(rate) => thousandths(self.value + rate * step_s),
            Regime::Resets { rate, samples } => {
                if count.is_multiple_of(samples) {
                    0.0
                } else {
                    thousandths(self.value + rate * step_s)
                }
            }
            Regime::Happened(ago) => (self.began_s - ago).floor(),
            Regime::Near(ahead) => now_s + ahead,
        };
        Entry::Float(self.value)
    }
}

fn thousandths(x: f64) -> f64 {
    let rounded = (x * 1000.0).round() / 1000.0;
    if rounded.is_finite() { rounded } else { x }
}

/// A regime, of the numbers that the expression names.
///
/// - `absent`: how many of a hundred are absent.
pub fn regime(random: &mut Random, constants: &[f64], absent: usize) -> Regime {
    if random.chance(absent) {
        return Regime::Absent { marked: random.chance(50) };
    }
    let samples = 1 + random.below(4);
    match random.below(20) {
        0..=8 => Regime::Level(number(random, constants)),
        9 => Regime::Swings { low: number(random, constants), high: number(random, constants), samples },
        10..=13 => Regime::Grows(rate(random, constants)),
        14 => Regime::Resets { rate: rate(random, constants), samples: samples + 1 },
        15 => Regime::Drifts(if random.chance(50) { 1.0 } else { -1.0 } * rate(random, constants)),
        16 | 17 => Regime::Happened(number(random, constants).abs()),
        18 => Regime::Near(number(random, constants)),
        _ => Regime::Level(*random.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0])),
    }
}

/// A number at, about or far from one that the expression names.
fn number(random: &mut Random, constants: &[f64]) -> f64 {
    const USUAL: &[f64] = &[0.0, 0.0, 1.0, 1.0, 2.0, 5.0, 100.0, 1e6, 1e12];
    if constants.is_empty() || random.chance(45) {
        return *random.pick(USUAL);
    }
    let c = *random.pick(constants);
    match random.below(9) {
        0 | 1 => c,
        2 => c + 1.0,
        3 => c - 1.0,
        4 => c * 0.5,
        5 => c * 0.9,
        6 => c * 1.1,
        7 => c * 2.0,
        _ => c * 10.0,
    }
}

/// How fast a counter grows, a second.
fn rate(random: &mut Random, constants: &[f64]) -> f64 {
    const USUAL: &[f64] = &[0.0, 0.01, 0.1, 1.0, 10.0, 1000.0];
    if constants.is_empty() || random.chance(40) {
        return *random.pick(USUAL);
    }
    let c = random.pick(constants).abs();
    c * *random.pick(&[0.5, 0.9, 1.1, 2.0, 10.0, 1.0 / 60.0, 2.0 / 60.0, 0.01])
}

/// Values as promtool's files write them.
pub fn written(entries: &[Entry]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut place = 0;
    while let Some(entry) = entries.get(place) {
        let same = |other: &Entry| match (entry, other) {
            (Entry::Float(x), Entry::Float(y)) => x.to_bits() == y.to_bits(),
            _ => entry == other,
        };
        let count = entries[place..].iter().take_while(|other| same(other)).count();
        place += count;
        words.push(match entry {
            // `5x3` is 5 and three more; `_x3` is three in all.
            Entry::Missing => format!("_x{count}"),
            Entry::Stale => vec!["stale"; count].join(" "),
            Entry::Float(x) if x.is_finite() && count > 1 => format!("{x}x{}", count - 1),
            Entry::Float(x) => vec![float(*x); count].join(" "),
            Entry::Histogram { .. } => unreachable!("a course has floats only"),
        });
    }
    words.join(" ")
}

fn float(x: f64) -> String {
    match x {
        f64::INFINITY => "Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        x => x.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_promql::notation;

    #[test]
    fn what_is_written_is_read_back() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let (mut course, mut all) = (Course::at(0.0), Vec::new());
            for _ in 0..6 {
                let regime = regime(&mut random, &[0.05, 3600.0, 1e9], 20);
                all.extend((0..5).map(|n| course.next(regime, 1.7e9 + f64::from(n) * 15.0, 15.0)));
            }
            let text = written(&all);
            let read = notation::entries(&text).expect("entries");
            assert_eq!(format!("{read:?}"), format!("{all:?}"), "{text}");
        }
    }
}
