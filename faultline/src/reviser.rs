//! The thread that says what past instants of rules give with what came late: they are evaluated over the recent store, and the answer
//! goes back into the journal as a record.
//!
//! What is done at each instant is what the engine does at it ([`Trial`]); of `stream` groups the samples are gone through one after
//! the other (`streamed`). What a rule reads that other rules recorded, or `ALERTS`,
//! stands as it was recorded. Nobody can recompute an answer once the records are trimmed that it was made from: `verify` reports
//! it as attested.
mod streamed;

use faultline_engine::{COMPARED_MAX, Revise, Revisit};
use faultline_model::facts::{AlertState, Stretch, Transition};
use faultline_model::{AlertId, Canonical, Digest, Evaluation, Labels, Millis, Occurred, Revisited};
use faultline_promql::{EvalError, Options, Selector, SeriesView, Source, evaluate, evaluate_columns};
use faultline_rules::{Came, Trial};
use faultline_serve::recent::select::{Points, Want};
use faultline_serve::recent::{Recent, SelectError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most samples that are held at once, of all selectors of a rule: 64 MiB.
const SAMPLES_MAX: usize = 4 << 20;
/// Most values, of series at instants, that a rule may be evaluated over.
const VALUES_MAX: usize = 200_000_000;
/// Values that are evaluated at once.
const TOGETHER: usize = 1 << 20;
/// Why a past instant cannot be looked at again.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error("the recent store lacks samples from before {0}")]
    Lacks(Millis),
    #[error("the recent store cannot be read: {0}")]
    Store(#[from] SelectError),
    #[error("it reads more than {SAMPLES_MAX} samples, or {VALUES_MAX} values")]
    TooMuch,
    #[error("it gives more than {COMPARED_MAX} occurrences of alerts")]
    TooMany,
    #[error("a label's template asks `query`")]
    Queries,
    #[error("two rules of its name raise the same alert")]
    Twice,
    #[error("the server stops")]
    Stops,
}

/// The series of a rule's selectors.
struct Held {
    selectors: Vec<Vec<(Labels, Points)>>,
}

impl Held {
    fn read(recent: &Recent, trial: &Trial, from: Millis, until: Millis) -> Result<Held, Unknown> {
        let offset = trial.group().query_offset_ms;
        let (mut selectors, mut left) = (Vec::new(), SAMPLES_MAX);
        for selector in trial.rule().expr.selectors() {
            let history = selector.history_ms().unwrap_or(i64::MAX / 4);
            let back = history.saturating_add(Options::default().lookback_ms).saturating_add(offset.max(0));
            let from = from.plus(back.saturating_neg());
            // What a negative offset asks for was there if it was there at the instant.
            let to = until.plus((-offset).max(0));
            let mut selected = recent.select(&selector.matchers, from, to, Want::All)?;
            if recent.whole_since() > from {
                return Err(Unknown::Lacks(recent.whole_since()));
            }
            let mut all = Vec::new();
            for index in 0..selected.len() {
                let mut points = Points::default();
                selected.points(index, &mut points)?;
                let count = points.samples.len() + points.histograms.len();
                left = left.checked_sub(count).ok_or(Unknown::TooMuch)?;
                if count > 0 {
                    all.push((selected.labels(index).clone(), points));
                }
            }
            selectors.push(all);
        }
        Ok(Held { selectors })
    }

    fn series(&self) -> usize {
        self.selectors.iter().map(Vec::len).sum()
    }
}

impl Source for Held {
    fn select(&self, index: usize, _: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        for (id, (labels, Points { samples, histograms })) in (0..).zip(&self.selectors[index]) {
            visit(SeriesView { id, labels, samples, histograms, starts: None, marks: None });
        }
    }
}

/// Occurrences by alert, of one alert in time.
type Found = BTreeMap<AlertId, (Labels, Vec<Stretch>)>;

fn take(found: &mut Found, it: &Transition) {
    let (_, stretches) = found.entry(it.alert).or_insert_with(|| (it.labels.clone(), Vec::new()));
    if it.from == AlertState::Ok {
        // Several of one sample are one.
        stretches.pop_if(|last| last.active_at == it.active_at);
        stretches.push(Stretch { active_at: it.active_at, fired_at: None, resolved_at: None });
    }
    let Some(last) = stretches.last_mut() else { return };
    match it.to {
        AlertState::Firing => drop(last.fired_at.get_or_insert(it.at)),
        AlertState::Ok => last.resolved_at = Some(it.at),
        AlertState::Pending | AlertState::Unknown => {}
    }
}

/// What one rule's alerts would have been; those that are active at the start are of one rule each, and end at once in others.
fn occurrences(recent: &Recent, trial: Trial, it: &Revisit, stops: &AtomicBool) -> Result<Found, Unknown> {
    let held = Held::read(recent, &trial, it.from, it.until)?;
    match trial.group().evaluation {
        Evaluation::Grid => on_grid(trial, &held, it, stops),
        Evaluation::Stream => streamed::occurrences(&trial, held, it, stops),
    }
}

fn on_grid(mut trial: Trial, held: &Held, it: &Revisit, stops: &AtomicBool) -> Result<Found, Unknown> {
    let instants = trial.instants_but(it.from, it.until, &it.gaps);
    let series = held.series().max(1);
    if instants.len().saturating_mul(series) > VALUES_MAX {
        return Err(Unknown::TooMuch);
    }
    let mut found = Found::new();
    for Occurred { alert, labels, stretch } in &it.active {
        if trial.resume(*alert, labels, stretch.active_at, stretch.fired_at.is_some()) {
            found.insert(*alert, (labels.clone(), vec![*stretch]));
        }
    }
    let (mut came, offset) = (Came::default(), trial.group().query_offset_ms);
    for instants in instants.chunks((TOGETHER / series).max(1)) {
        let seen: Vec<Millis> = instants.iter().map(|at| at.plus(-offset)).collect();
        let options = Options { samples_max: u64::MAX, ..Options::default() };
        let cancelled = || stops.load(Ordering::Relaxed);
        let columns = match trial.rule().expr.is_of_its_instant() {
            true => None,
            false => evaluate_columns(&trial.rule().expr, &seen, held, &options, &cancelled).map_or_else(
                |error| if error == EvalError::Cancelled { Some(Err(Unknown::Stops)) } else { None },
                |columns| Some(Ok(columns)),
            ),
        };
        match columns {
            Some(columns) => trial.take_columns(instants, &columns?, &mut came),
            // What fails at one instant fails as a whole.
            None => {
                for at in instants {
                    let value = evaluate(&trial.rule().expr, at.plus(-offset), held, &Options::default());
                    trial.take(*at, value.map_err(|error| error.to_string()), &mut came);
                    if cancelled() {
                        return Err(Unknown::Stops);
                    }
                }
            }
        }
        came.transitions.drain(..).for_each(|it| take(&mut found, &it));
        if found.values().map(|(_, all)| all.len()).sum::<usize>() > COMPARED_MAX {
            return Err(Unknown::TooMany);
        }
    }
    if came.queried.get() { Err(Unknown::Queries) } else { Ok(found) }
}

fn all(recent: &Recent, it: &Revise, stops: &AtomicBool) -> Result<Vec<Occurred>, Unknown> {
    let mut all = Found::new();
    for trial in Trial::all(it.rules.clone()) {
        for (alert, (labels, stretches)) in occurrences(recent, trial, &it.asked, stops)? {
            let active = it.asked.active.iter().any(|known| known.alert == alert);
            match all.entry(alert) {
                std::collections::btree_map::Entry::Vacant(place) => drop(place.insert((labels, stretches))),
                // The rule that raises it has it for longer.
                std::collections::btree_map::Entry::Occupied(mut place) if active => {
                    let length = |all: &[Stretch]| {
                        (all.len(), all.last().and_then(|it| it.resolved_at).unwrap_or(Millis(i64::MAX)))
                    };
                    if length(&stretches) > length(&place.get().1) {
                        place.insert((labels, stretches));
                    }
                }
                std::collections::btree_map::Entry::Occupied(_) => return Err(Unknown::Twice),
            }
        }
    }
    if all.values().map(|(_, all)| all.len()).sum::<usize>() > 2 * COMPARED_MAX {
        return Err(Unknown::TooMany);
    }
    let occurred = |(alert, (labels, stretches)): (AlertId, (Labels, Vec<Stretch>))| {
        stretches.into_iter().map(move |stretch| Occurred { alert, labels: labels.clone(), stretch })
    };
    Ok(all.into_iter().flat_map(occurred).collect())
}

/// The record that answers, in canonical bytes; nothing where the server stops before it is known.
pub fn answer(recent: &Recent, it: &Revise, stops: &AtomicBool) -> Option<Vec<u8>> {
    let question = Digest::of(&it.asked.to_bytes());
    let answer = match all(recent, it, stops) {
        Ok(occurrences) => Revisited { question, reason: String::new(), occurrences },
        Err(Unknown::Stops) => return None,
        Err(error) => {
            let reason = crate::render::chain(&error);
            tracing::warn!(
                group = it.asked.group,
                alert = it.asked.name,
                reason,
                "what samples that came late change is unknown"
            );
            Revisited { question, reason, occurrences: Vec::new() }
        }
    };
    Some(answer.to_bytes())
}
