//! Drawings tried until one makes the rule's alert fire and resolve.
use crate::alerts::drawing::{Drawing, Plan};
use crate::alerts::played::{Played, play};
use crate::alerts::subject::Subject;
use faultline_model::RuleFile;
use faultline_promql::{Expr, Options, Value, evaluate};
use faultline_promqltest::random::Random;
use std::fmt;

/// Drawings after which the search begins anew: changing what leads nowhere leads nowhere.
const ANEW_AFTER: u32 = 150;

/// How far the drawing came that came furthest, of those that were not enough.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missed {
    /// No label values were found that meet a selector.
    Labels,
    /// The expression fails, or another rule of the file does on the same series.
    Fails(String),
    /// The expression never holds.
    Empty,
    /// It holds, and does not cease to.
    Always,
    /// It holds, and the alert does not fire and resolve: it never fires, or the other way round.
    Waits,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missed::Labels => f.write_str("no label values were found that meet its selectors"),
            Missed::Fails(why) => write!(f, "its evaluation fails: {why}"),
            Missed::Empty => f.write_str("its expression never holds"),
            Missed::Always => f.write_str("its expression holds always, once it does"),
            Missed::Waits => f.write_str("its expression holds and ceases to, and the alert does not fire and resolve"),
        }
    }
}

/// A drawing that makes the alert fire and resolve.
#[derive(Debug)]
pub struct Found {
    /// Series and times.
    pub drawing: Drawing,
    /// What came of them.
    pub played: Played,
    /// Which of the seed's drawings it is, from 1.
    pub tried: u32,
}

/// Tries so many drawings of a seed: each is the best so far with a few things changed, best being where most parts of the
/// expression hold; now and then it begins anew.
pub fn find(subject: &Subject, file: &RuleFile, seed: u64, tries: u32) -> Result<Found, Missed> {
    let mut random = Random::new(seed << 32 ^ subject.number as u64);
    let mut furthest = Missed::Labels;
    let mut best: Option<(Missed, usize, Plan)> = None;
    for tried in 1..=tries {
        if tried % ANEW_AFTER == 0 {
            best = None;
        }
        let plan = match &best {
            Some((_, _, plan)) if random.chance(65) => plan.changed(subject, &mut random),
            _ => Plan::new(subject, &mut random),
        };
        let (missed, parts) = match Drawing::of(subject, &plan) {
            None => (Missed::Labels, 0),
            Some(drawing) => match promising(subject, &drawing) {
                Err(missed) => missed,
                Ok(()) => match play(file, &drawing) {
                    Ok(played) if played.fires_and_resolves(subject) => return Ok(Found { drawing, played, tried }),
                    Ok(_) => (Missed::Waits, 0),
                    Err(why) => (Missed::Fails(why), 0),
                },
            },
        };
        furthest = furthest.max(missed.clone());
        if best.as_ref().is_none_or(|(stage, count, _)| (&missed, parts) >= (stage, *count)) {
            best = Some((missed, parts, plan));
        }
    }
    Err(furthest)
}

/// Whether the expression holds somewhere in the trouble, and no longer at the end: cheap to see, but for rules that read others.
/// Where it does not, with how many of its parts do.
fn promising(subject: &Subject, drawing: &Drawing) -> Result<(), (Missed, usize)> {
    if subject.chained {
        return Ok(());
    }
    let store = drawing.store();
    let options = Options { subquery_step_ms: drawing.step_ms, ..Options::default() };
    let value = |expr: &Expr, passed: i64| match evaluate(expr, drawing.start.plus(passed), &store, &options) {
        Ok(Value::Vector(elements)) => Ok(!elements.is_empty()),
        Ok(_) => Ok(true),
        Err(error) => Err((Missed::Fails(error.to_string()), 0)),
    };
    let holds = |passed: i64| value(&subject.expr, passed);
    let (from, to) = drawing.trouble;
    let looks = [to - drawing.step_ms, from + drawing.step_ms, (from + to) / 2, from + (to - from) / 4];
    let on_step = |passed: i64| passed / drawing.step_ms * drawing.step_ms;
    let mut held = false;
    for passed in looks {
        held = held || holds(on_step(passed))?;
    }
    match held {
        false => {
            let at = on_step(to - drawing.step_ms);
            let parts = subject.parts.iter().filter(|part| value(part, at).unwrap_or(false)).count();
            Err((Missed::Empty, parts))
        }
        true if holds(drawing.steps * drawing.step_ms)? => Err((Missed::Always, 0)),
        true => Ok(()),
    }
}
