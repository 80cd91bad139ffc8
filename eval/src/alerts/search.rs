//! Drawings tried until one makes the rule's alert fire and resolve.
use crate::alerts::drawing::Drawing;
use crate::alerts::played::{Played, play};
use crate::alerts::subject::Subject;
use faultline_model::RuleFile;
use faultline_promql::{Options, Value, evaluate};
use faultline_promqltest::random::Random;
use std::fmt;

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

/// Tries so many drawings of a seed.
pub fn find(subject: &Subject, file: &RuleFile, seed: u64, tries: u32) -> Result<Found, Missed> {
    let mut furthest = Missed::Labels;
    for tried in 1..=tries {
        // Neither the rule's number nor the seed alone: rules of one shape shall not all get the same.
        let mut random = Random::new(seed << 40 ^ (subject.number as u64) << 24 ^ u64::from(tried));
        let missed = match Drawing::of(subject, &mut random) {
            None => Missed::Labels,
            Some(drawing) => match promising(subject, &drawing) {
                Err(missed) => missed,
                Ok(()) => match play(file, &drawing).map_err(Missed::Fails) {
                    Ok(played) if played.fires_and_resolves(subject) => return Ok(Found { drawing, played, tried }),
                    Ok(_) => Missed::Waits,
                    Err(missed) => missed,
                },
            },
        };
        furthest = furthest.max(missed);
    }
    Err(furthest)
}

/// Whether the expression holds somewhere in the trouble, and no longer at the end: cheap to see, but for rules that read others.
fn promising(subject: &Subject, drawing: &Drawing) -> Result<(), Missed> {
    if subject.chained {
        return Ok(());
    }
    let store = drawing.store();
    let options = Options { subquery_step_ms: drawing.step_ms, ..Options::default() };
    let holds = |passed: i64| match evaluate(&subject.expr, drawing.start.plus(passed), &store, &options) {
        Ok(Value::Vector(elements)) => Ok(!elements.is_empty()),
        Ok(_) => Ok(true),
        Err(error) => Err(Missed::Fails(error.to_string())),
    };
    let (from, to) = drawing.trouble;
    let looks = [to - drawing.step_ms, from + drawing.step_ms, (from + to) / 2, from + (to - from) / 4];
    let on_step = |passed: i64| passed / drawing.step_ms * drawing.step_ms;
    let mut held = false;
    for passed in looks {
        held = held || holds(on_step(passed))?;
    }
    match held {
        false => Err(Missed::Empty),
        true if holds(drawing.steps * drawing.step_ms)? => Err(Missed::Always),
        true => Ok(()),
    }
}
