//! Random expressions over random series, asked of a Prometheus and of us.
//!
//! A seed gives one expression and three instants; 250 seeds that follow each other share the series of one world. Worlds
//! lie one behind the other in the past, as a storage wants what it is sent. Order within a vector is not compared.
use crate::promql::answer::{Answer, Kind, ours};
use crate::promql::prometheus::Prometheus;
use faultline_model::Millis;
use faultline_promql::Features;
use faultline_promqltest::random::Random;
use faultline_promqltest::world::{LENGTH_MS, world};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

/// Seeds that share the series of one world.
const OF_A_WORLD: u64 = 250;
/// Begin of the first world: 13 September 2020.
const BEGIN: Millis = Millis(1_599_998_400_000);
/// Between the begins of two worlds, so that none sees another's samples; a whole part of the storage's block of 2 h.
const APART_MS: i64 = 3_600_000;
/// Instants at which each expression is asked for.
const INSTANTS: usize = 3;

/// An expression whose answers differ.
#[derive(Debug)]
pub struct Difference {
    seed: u64,
    expression: String,
    at: Millis,
    kind: Kind,
    ours: Answer,
    theirs: Answer,
}

/// What has been compared.
#[derive(Debug, Default)]
pub struct Counts {
    /// Expressions.
    pub expressions: u64,
    /// Questions that both answered with at least one value.
    pub with_values: u64,
    /// Questions that both answered with an empty vector.
    pub empty: u64,
    /// Questions on which both fail.
    pub failed: u64,
    /// Questions with warnings or infos, the same from both.
    pub annotated: u64,
    /// Questions whose answers differ.
    pub differ: u64,
    /// The same by how they differ.
    by_kind: BTreeMap<Kind, u64>,
    took: Duration,
}

/// Asks both `count` expressions and tells of every difference.
///
/// - `features`: what both have switched on.
///
/// Fails where the Prometheus does not start or does not take the series.
pub fn run(
    features: Features,
    first_seed: u64,
    count: u64,
    tell: &mut dyn FnMut(&Difference),
) -> Result<Counts, Box<dyn Error>> {
    let prometheus = Prometheus::start(features)?;
    let (began, mut counts, mut seed) = (Instant::now(), Counts::default(), first_seed);
    while seed < first_seed + count {
        let number = seed / OF_A_WORLD;
        let end = ((number + 1) * OF_A_WORLD).min(first_seed + count);
        let base = BEGIN.plus(number as i64 * APART_MS);
        let store = world(&mut Random::new(!number), base, &number.to_string());
        prometheus.write(&store)?;
        for seed in seed..end {
            let mut random = Random::settled(seed);
            let expression = random.expression(base);
            counts.expressions += 1;
            for _ in 0..INSTANTS {
                // Quarters of a second: others may come out a millisecond early from the float that the API takes.
                let at = base.plus(random.below((LENGTH_MS as usize + 400_000) / 250) as i64 * 250);
                let (ours, theirs) = (ours(&expression, features, at, &store), prometheus.ask(&expression, at)?);
                if let Some(kind) = counts.count(&ours, &theirs) {
                    tell(&Difference { seed, expression: expression.clone(), at, kind, ours, theirs });
                }
            }
        }
        seed = end;
    }
    counts.took = began.elapsed();
    Ok(counts)
}

impl Counts {
    fn count(&mut self, ours: &Answer, theirs: &Answer) -> Option<Kind> {
        let kind = ours.differs(theirs);
        if let Some(kind) = kind {
            self.differ += 1;
            *self.by_kind.entry(kind).or_default() += 1;
            return Some(kind);
        }
        match ours {
            Answer::Failed(_) => self.failed += 1,
            Answer::Is { values, notes, .. } => {
                self.with_values += u64::from(!values.is_empty());
                self.empty += u64::from(values.is_empty());
                self.annotated += u64::from(!notes.is_empty());
            }
        }
        None
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { expressions, with_values, empty, failed, annotated, differ, by_kind, took } = self;
        write!(
            f,
            "{expressions} expressions at {INSTANTS} instants each: {with_values} equal values, {empty} empty from both, \
             {failed} errors from both, {annotated} of them annotated; {differ} differ {by_kind:?}; {:.1} s",
            took.as_secs_f64()
        )
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { seed, expression, at, kind, ours, theirs } = self;
        write!(f, "seed {seed} at {}: {kind:?}: {expression}\n    ours: {ours}\n    theirs: {theirs}", at.0)
    }
}
