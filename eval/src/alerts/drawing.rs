//! Input series for one rule: label sets that its selectors meet and its joins bring together, values quiet, in trouble, quiet again.
//!
//! Nothing here looks at a name: what guides it is the expression's matchers, constants, ranges and labels.
use crate::alerts::course::{Course, Regime, regime, written};
use crate::alerts::subject::{Subject, Wanted, meets};
use crate::alerts::word;
use faultline::rules::play::Setting;
use faultline_model::{Labels, Millis, Sample, labels};
use faultline_promql::notation::Entry;
use faultline_promql::{Features, Matcher};
use faultline_promqltest::random::Random;
use faultline_promqltest::store::Store;
use std::collections::BTreeMap;

/// Most evaluations of one play, about.
const STEPS_MAX: i64 = 160;
/// Most samples of a series, about.
const SAMPLES_MAX: i64 = 6_000;
/// How long an instant selector finds the last sample.
const LOOKBACK_MS: i64 = 300_000;
const STEPS: [i64; 9] = [15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000];
const BEGIN: Millis = Millis(1_700_000_000_000);

/// Series, and when rules are evaluated over them.
#[derive(Debug)]
pub struct Drawing {
    /// When the first step is.
    pub start: Millis,
    /// Between two evaluations, in ms.
    pub step_ms: i64,
    /// Between two samples, in ms.
    pub sample_ms: i64,
    /// Evaluations.
    pub steps: i64,
    /// Where the trouble begins and ends, in ms from the start.
    pub trouble: (i64, i64),
    series: Vec<(Labels, Vec<Entry>)>,
}

/// What a drawing is made of: change a part, and the rest stays.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Gives labels and times.
    seed: u64,
    /// Quiet and in trouble, for each that is wanted.
    regimes: Vec<(Regime, Regime)>,
}

impl Plan {
    /// Any.
    pub fn new(subject: &Subject, random: &mut Random) -> Plan {
        Plan { seed: random.below(1 << 30) as u64, regimes: regimes(subject, random) }
    }

    /// The same but for some of its values, now and then also its labels and times.
    pub fn changed(&self, subject: &Subject, random: &mut Random) -> Plan {
        let (mut plan, other) = (self.clone(), Plan::new(subject, random));
        if random.chance(25) {
            plan.seed = other.seed;
        }
        for (own, other) in plan.regimes.iter_mut().zip(other.regimes) {
            // Of one in three.
            match random.below(9) {
                0 => own.0 = other.0,
                1 => own.1 = other.1,
                2 => *own = other,
                _ => {}
            }
        }
        plan
    }
}

impl Drawing {
    /// What a plan gives; nothing where no label values meet some selector.
    pub fn of(subject: &Subject, plan: &Plan) -> Option<Drawing> {
        let (random, regimes) = (&mut Random::new(plan.seed), &plan.regimes);
        let mut drawing = times(subject, random);
        let entities = entities(subject, random);
        let windows: Vec<Window> = entities.iter().map(|_| Window::of(&drawing, subject, random)).collect();
        let policy = Policy::of(subject, random);
        let mut found: BTreeMap<Labels, Vec<Entry>> = BTreeMap::new();
        for (wanted, (quiet, trouble)) in subject.wants.iter().zip(regimes) {
            for (entity, window) in entities.iter().zip(&windows) {
                let Some(labels) = policy.labels(subject, wanted, entity, random) else { continue };
                // Buckets of one histogram, or series that a pattern takes with another value.
                let scale = 1.0 + random.below(3) as f64;
                for (labels, share) in policy.variants(subject, wanted, &labels, random) {
                    let entries = || drawing.entries(*quiet, *trouble, window, share * scale);
                    found.entry(labels).or_insert_with(entries);
                }
            }
        }
        let served = |wanted: &Wanted| found.keys().any(|labels| meets(&wanted.matchers, labels));
        if !subject.wants.iter().all(served) {
            return None;
        }
        drawing.series = found.into_iter().collect();
        Some(drawing)
    }

    /// The play of it.
    pub fn setting(&self) -> Setting {
        Setting {
            start: self.start,
            step_ms: self.step_ms,
            sample_ms: self.sample_ms,
            order: Vec::new(),
            external_labels: Vec::new(),
            external_url: String::new(),
            features: Features::default(),
        }
    }

    /// Series and their values, as promtool's files write them.
    pub fn inputs(&self) -> Vec<(String, String)> {
        self.series.iter().map(|(labels, entries)| (labels.to_string(), written(entries))).collect()
    }

    /// The same in memory.
    pub fn store(&self) -> Store {
        let mut store = Store::default();
        for (labels, entries) in &self.series {
            let at = |place: usize| self.start.plus(place as i64 * self.sample_ms);
            let samples = entries.iter().enumerate().filter_map(|(place, entry)| match entry {
                Entry::Float(x) => Some(Sample::new(at(place), *x)),
                Entry::Stale => Some(Sample::stale(at(place))),
                Entry::Missing | Entry::Histogram { .. } => None,
            });
            store.add(labels.clone(), samples.collect());
        }
        store
    }

    fn entries(&self, quiet: Regime, trouble: Regime, window: &Window, scale: f64) -> Vec<Entry> {
        let mut course = Course::at(100.0);
        let count = self.steps * self.step_ms / self.sample_ms + 1;
        let one = |place: i64| {
            let passed = place * self.sample_ms;
            let regime = if window.holds(passed) { trouble } else { quiet };
            let now_s = self.start.plus(passed).0 as f64 / 1000.0;
            course.next(scaled(regime, scale), now_s, self.sample_ms as f64 / 1000.0)
        };
        (0..count).map(one).collect()
    }
}

/// Levels are the same for all, so that equalities hold; what grows does so at its own pace.
fn scaled(regime: Regime, by: f64) -> Regime {
    match regime {
        Regime::Grows(rate) => Regime::Grows(rate * by),
        Regime::Resets { rate, samples } => Regime::Resets { rate: rate * by, samples },
        // A bucket that holds nothing.
        Regime::Level(_) if by == 0.0 => Regime::Level(0.0),
        same => same,
    }
}

/// Times that make the rule's waits and ranges pass, in bounded numbers of samples and steps.
fn times(subject: &Subject, random: &mut Random) -> Drawing {
    let reach = subject.wants.iter().map(|it| it.history_ms.min(7 * 86_400_000)).max().unwrap_or(0);
    let shortest = subject.wants.iter().map(|it| it.range_ms).filter(|ms| *ms > 0).min();
    let rest = reach + LOOKBACK_MS;
    let (before, during, after) =
        (if random.chance(70) { rest } else { LOOKBACK_MS }, subject.waits_ms + rest, rest + subject.waits_ms);
    let length = before + during + after;
    let fits = |ms: &&i64| length / **ms <= STEPS_MAX;
    let least = STEPS.iter().position(|ms| fits(&ms)).unwrap_or(STEPS.len() - 1);
    let step_ms = STEPS[(least + random.below(2)).clamp(if random.chance(60) { 2 } else { 0 }, STEPS.len() - 1)];
    // At least three samples in each range, and never so far apart that they are lost.
    let longest = shortest.map_or(60_000, |ms| (ms / 3).clamp(5_000, 60_000));
    let sample_ms = *random.pick(&[longest, longest / 2, 15_000]).min(&longest);
    let sample_ms = (sample_ms.max(length / SAMPLES_MAX) / 1000 * 1000).clamp(5_000, 120_000);
    let up = |ms: i64| (ms / step_ms + 2) * step_ms;
    let trouble = (up(before), up(before) + up(during));
    let start = BEGIN.plus(random.below(1_000_000) as i64 * 1000);
    Drawing { start, step_ms, sample_ms, steps: (trouble.1 + up(after)) / step_ms, trouble, series: Vec::new() }
}

/// When one entity is in trouble, in ms from the start.
struct Window {
    from: i64,
    to: i64,
    /// In trouble and not by turns, for so long each.
    turns: Option<i64>,
}

impl Window {
    fn of(drawing: &Drawing, subject: &Subject, random: &mut Random) -> Window {
        let (from, to) = drawing.trouble;
        let later = from + random.below(4) as i64 * drawing.step_ms;
        match random.below(10) {
            0 => Window { from: to, to, turns: None },
            1 => Window { from: later, to: later + subject.waits_ms / 2 + drawing.step_ms, turns: None },
            2 => Window { from, to, turns: Some((1 + random.below(5) as i64) * drawing.step_ms) },
            3 => Window { from: later, to, turns: None },
            _ => Window { from, to, turns: None },
        }
    }

    fn holds(&self, passed: i64) -> bool {
        let within = (self.from..self.to).contains(&passed);
        within && self.turns.is_none_or(|each| ((passed - self.from) / each) % 2 == 0)
    }
}

/// Values of labels, for each of what is observed: `instance` tells them apart.
fn entities(subject: &Subject, random: &mut Random) -> Vec<BTreeMap<String, String>> {
    let own: Vec<bool> = subject.labels.iter().map(|name| name == "instance" || random.chance(50)).collect();
    let count = 1 + random.below(3);
    let mut one = |number: usize| {
        let mut values = BTreeMap::new();
        for (name, own) in subject.labels.iter().zip(&own) {
            let usual = if *own { format!("v{number}") } else { "v".into() };
            values.insert(name.clone(), shared(subject, name, usual, random));
        }
        values
    };
    (0..count).map(&mut one).collect()
}

/// A value of a label that as many selectors as possible take, since what they select is often joined.
fn shared(subject: &Subject, name: &str, usual: String, random: &mut Random) -> String {
    let asked = |wanted: &&Wanted| wanted.matchers.iter().any(|it| it.name == name);
    let askers: Vec<&Wanted> = subject.wants.iter().filter(asked).collect();
    if askers.is_empty() {
        return usual;
    }
    let takes = |it: &&&Wanted, value: &str| it.matchers.iter().all(|m| m.name != name || m.matches(value));
    let count = |value: &String| askers.iter().filter(|it| takes(it, value)).count();
    let mut values = vec![usual.clone()];
    for _ in 0..3 {
        let own: Vec<&Matcher> = random.pick(&askers).matchers.iter().filter(|it| it.name == name).collect();
        values.extend(word::that_meets(&own, &usual, random));
    }
    let best = values.iter().map(count).max().unwrap_or(0);
    values.into_iter().find(|value| count(value) == best).expect("one is the best")
}

/// Quiet and in trouble, for each that is wanted; some alike, since comparisons are often of the same.
fn regimes(subject: &Subject, random: &mut Random) -> Vec<(Regime, Regime)> {
    let absent = if subject.asks_absence { 35 } else { 8 };
    let mut drawn: Vec<(Regime, Regime)> = Vec::new();
    for _ in &subject.wants {
        let mut draw = |place: fn(&(Regime, Regime)) -> Regime, drawn: &[(Regime, Regime)]| match drawn {
            [.., last] if random.chance(40) => place(last),
            _ => regime(random, &subject.constants, absent),
        };
        let trouble = draw(|it| it.1, &drawn);
        let quiet = draw(|it| it.0, &drawn);
        let same = random.chance(15);
        drawn.push((if same { trouble } else { quiet }, trouble));
    }
    drawn
}

/// Which labels series have in a drawing.
struct Policy {
    /// Labels that stand at all, unless a matcher asks for them.
    kept: Vec<String>,
    /// Whether a label that other selectors ask for stands, too.
    foreign: bool,
}

impl Policy {
    fn of(subject: &Subject, random: &mut Random) -> Policy {
        let share = |name: &str| if subject.joins.contains(name) { 92 } else { 75 };
        // What is made of nothing (`absent`, `vector`) has no labels, and meets only what has none either.
        let none = random.chance(6);
        let kept = subject.labels.iter().filter(|name| !none && random.chance(share(name))).cloned().collect();
        Policy { kept, foreign: random.chance(50) }
    }

    /// The labels of the series that stands for an entity; nothing where no value meets the matchers.
    fn labels(
        &self,
        subject: &Subject,
        wanted: &Wanted,
        entity: &BTreeMap<String, String>,
        random: &mut Random,
    ) -> Option<Labels> {
        let mut builder = Labels::default().to_builder();
        let names = subject.labels.iter().map(|name| &**name).chain([labels::NAME]);
        for name in names {
            let own: Vec<&Matcher> = wanted.matchers.iter().filter(|it| it.name == name).collect();
            let usual = entity.get(name).map_or("", |value| value);
            let asked = || subject.wants.iter().any(|it| it.matchers.iter().any(|m| m.name == name));
            if !own.is_empty() {
                builder.set(name, &word::that_meets(&own, usual, random)?);
            } else if self.kept.iter().any(|kept| kept == name) && (self.foreign || !asked()) {
                builder.set(name, usual);
            }
        }
        Some(builder.build())
    }

    /// The series, and now and then one or two beside it with other values that the matchers take or do not take; of a
    /// histogram its buckets. With each how its growth compares to the first's.
    fn variants(&self, subject: &Subject, wanted: &Wanted, labels: &Labels, random: &mut Random) -> Vec<(Labels, f64)> {
        if wanted.buckets {
            return buckets(subject, labels, random);
        }
        let mut all = vec![(labels.clone(), 1.0)];
        let free: Vec<&Matcher> = wanted.matchers.iter().filter(|it| it.name != labels::NAME).collect();
        if !free.is_empty() && random.chance(30) {
            let name = &random.pick(&free).name;
            let own: Vec<&Matcher> = free.iter().copied().filter(|it| it.name == *name).collect();
            let value = if random.chance(60) { word::that_meets(&own, "", random) } else { Some("another".into()) };
            if let Some(value) = value {
                let mut builder = labels.to_builder();
                builder.set(name, &value);
                all.push((builder.build(), 0.5));
            }
        }
        all
    }
}

/// The buckets of a classic histogram about one of the expression's numbers; all that is observed falls into one of them.
fn buckets(subject: &Subject, labels: &Labels, random: &mut Random) -> Vec<(Labels, f64)> {
    let c = if subject.constants.is_empty() { 1.0 } else { random.pick(&subject.constants).abs().max(1e-3) };
    let bounds = [c * 0.1, c * 0.5, c, c * 2.0, c * 10.0, f64::INFINITY];
    let falls = random.below(bounds.len());
    let bucket = |(place, bound): (usize, &f64)| {
        let le = if bound.is_infinite() { "+Inf".into() } else { bound.to_string() };
        let mut builder = labels.to_builder();
        builder.set("le", &le);
        (builder.build(), if place >= falls { 1.0 } else { 0.0 })
    };
    bounds.iter().enumerate().map(bucket).collect()
}
