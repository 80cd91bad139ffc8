//! Rules tried on blocks of samples, without an engine: many instants at once, rules beside each other on all cores.
//!
//! Time goes by in pieces of at most a day. In each, rules are evaluated over columns (`faultline_promql::evaluate_columns`), those
//! that others read first, and their values go through the alerts of `faultline_rules`. Rules that read each other in a circle, or
//! what is not there yet at an instant, go by instant. Memory: on each core 192 MiB of values and at most 256 MiB of samples that
//! are read more than once; 512 MiB of recorded series that other rules read; 40 bytes for each chunk that a rule reads of a piece.
mod plan;
mod progress;
mod source;
mod work;

use super::firings::Firings;
use crate::replay::Place;
use faultline_model::facts::Transition;
use faultline_model::{Evaluation, Millis, RuleFiles};
use faultline_rules::{Trial, parse};
use faultline_serve::recent::WINDOW_MS;
use faultline_serve::recent::past::Past;
use plan::Unit;
use progress::Progress;
use source::Given;
use std::collections::BTreeSet;
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use work::{Done, Grow, WorkError, World};

/// Longest piece of time.
const PIECE_MS: i64 = 12 * WINDOW_MS;
/// Bytes of recorded series of one piece, at about which pieces become shorter.
const RECORDED_BYTES: usize = 512 << 20;

/// A folder of blocks and a stretch of time.
pub struct Stretch<'a> {
    /// The folder.
    pub folder: &'a Path,
    /// When firings begin to count; the oldest sample where it is absent.
    pub from: Option<Place>,
    /// Where it ends.
    pub to: Option<Place>,
}

/// What was tried.
#[derive(Default)]
pub struct Tried {
    /// When alerts fired.
    pub firings: Firings,
    /// Where firings began to count, and the end.
    pub span: (Millis, Millis),
    /// Files read.
    pub blocks: usize,
    /// Samples read; those that two pieces need count twice.
    pub samples: u64,
    /// Evaluations of a rule at an instant.
    pub evaluations: u64,
    /// Files that could not be read: path, why, and what is missing with it.
    pub missing: Vec<(PathBuf, String)>,
    /// Selectors that found no series at any time: rule, selector.
    pub idle: Vec<(String, String)>,
    /// Rules that failed: how often, of how many evaluations, and why the last time.
    pub failed: Vec<(String, u64, u64, String)>,
    /// Ctrl-C ended it early.
    pub interrupted: bool,
}

/// A unit with what it remembers.
struct Standing {
    trials: Vec<Trial>,
    own: Given,
}

/// Runs rules over a stretch of blocks.
pub fn under(rules: RuleFiles, stretch: &Stretch<'_>, interrupted: &AtomicBool) -> Result<Tried, Box<dyn Error>> {
    let folder = stretch.folder;
    let past = Past::open(&faultline_host::RealDisk, folder);
    let past = past.map_err(|error| format!("cannot read the folder of blocks {}: {error}", folder.display()))?;
    let none = || match past.missing().first() {
        Some(it) => format!("no block in {} can be read: {}: {}", folder.display(), it.path.display(), it.error),
        None => format!("no blocks of samples are in {}; name a data folder's `recent`", folder.display()),
    };
    let (first, last) = past.span().ok_or_else(none)?;
    let (from, to) = (time(stretch.from, last)?.unwrap_or(first), time(stretch.to, last)?.unwrap_or(last));
    if from > to || from > last || to < first {
        return Err(format!("nothing is there from {from} to {to}: the blocks hold {first} to {last}").into());
    }
    let (from, to) = (from.max(first), to.min(last));
    let files = RuleFiles { default_evaluation: Evaluation::Grid, groups: Vec::new(), ..rules };
    let set = parse(&files).map_err(|error| format!("{}:{}: {}", error.file, error.line, error.reason))?;
    let mut trials = Trial::all(set.clone());
    let units = plan::units(&trials, &set, first, from);
    units.iter().filter(|unit| unit.kept_ms.is_some() || unit.by_steps).for_each(|unit| {
        unit.rules.iter().for_each(|rule| trials[*rule].show());
    });
    let standing = |unit: &Unit| {
        let trials = unit.rules.iter().map(|rule| trials[*rule].clone()).collect();
        Mutex::new(Standing { trials, own: Given::new() })
    };
    let mut run = Run {
        world: World::new(&past, &set, interrupted),
        standing: units.iter().map(standing).collect(),
        given: units.iter().map(|_| Given::new()).collect(),
        found: BTreeSet::new(),
        progress: Progress::new(),
        tried: Tried { span: (from, to), blocks: past.len(), ..Tried::default() },
        units,
    };
    let ended = run.all(to);
    run.progress.clear();
    ended?;
    let Run { mut tried, standing, found, units, .. } = run;
    for (unit, standing) in units.iter().zip(standing) {
        let standing = standing.into_inner().expect("no holder panics");
        for (number, trial) in unit.rules.iter().zip(&standing.trials) {
            tried.tell(*number, trial, &found);
        }
    }
    tried.missing = past.missing().iter().map(|it| (it.path.clone(), missing(it))).collect();
    tried.interrupted = interrupted.load(Ordering::Relaxed);
    Ok(tried)
}

fn missing(it: &faultline_serve::recent::past::Missing) -> String {
    let why = crate::render::chain(&it.error);
    match it.span {
        Some((first, last)) => format!("{why}; what it held from {first} to {last} is missing"),
        None => format!("{why}; what it held is missing"),
    }
}

/// The time of a place in a history that ends at `last`.
fn time(place: Option<Place>, last: Millis) -> Result<Option<Millis>, String> {
    match place {
        None => Ok(None),
        Some(Place::Time(time)) => Ok(Some(time)),
        Some(Place::Back(ms)) => Ok(Some(last.plus(-ms))),
        Some(Place::At(at)) => Err(format!("{at} is a record of a journal; with --history name a time, or -2h")),
    }
}

struct Run<'a> {
    world: World<'a>,
    units: Vec<Unit>,
    standing: Vec<Mutex<Standing>>,
    /// What each unit appended, as far back as anybody reads it.
    given: Vec<Given>,
    found: BTreeSet<(usize, usize)>,
    progress: Progress,
    tried: Tried,
}

impl Run<'_> {
    /// Goes through all pieces.
    fn all(&mut self, to: Millis) -> Result<(), WorkError> {
        let mut from = self.units.iter().map(|unit| unit.begin).min().unwrap_or(to);
        let (begin, mut length) =
            (from, if self.units.iter().any(|it| it.kept_ms.is_some()) { WINDOW_MS } else { PIECE_MS });
        while from <= to && !self.world.interrupted.load(Ordering::Relaxed) {
            let end = Millis(from.0.div_euclid(WINDOW_MS) * WINDOW_MS).plus(length - 1).min(to);
            self.progress.at(from, (begin, to), end.since(from));
            let appended = self.piece((from, end))?;
            let fits = appended.saturating_mul(2) <= RECORDED_BYTES;
            length = if fits {
                (2 * length).min(PIECE_MS)
            } else if appended > RECORDED_BYTES {
                length / 2
            } else {
                length
            };
            length = (length / WINDOW_MS).max(1) * WINDOW_MS;
            from = end.plus(1);
        }
        Ok(())
    }

    /// Tries all units on a piece, level by level; says how many bytes were recorded.
    fn piece(&mut self, span: (Millis, Millis)) -> Result<usize, WorkError> {
        let mut transitions = Vec::new();
        let mut appended = 0;
        for level in 0..=self.units.iter().map(|unit| unit.level).max().unwrap_or(0) {
            let units: Vec<usize> = (0..self.units.len()).filter(|unit| self.units[*unit].level == level).collect();
            for (number, done) in self.level(&units, span)? {
                transitions.extend(done.transitions);
                self.found.extend(done.found);
                self.tried.samples += done.samples;
                self.tried.evaluations += done.evaluations;
                if self.units[number].kept_ms.is_some() {
                    appended += done.appended.values().map(|it| it.samples.len() * 16).sum::<usize>();
                    self.given[number].extend_by(done.appended);
                }
            }
        }
        transitions.sort_by_key(|(at, rule, _): &(Millis, usize, Transition)| (*at, *rule));
        let (from, to) = self.tried.span;
        for (_, _, transition) in transitions.iter().filter(|(at, ..)| (from..=to).contains(at)) {
            self.tried.firings.take(transition);
        }
        for ((unit, given), standing) in self.units.iter().zip(&mut self.given).zip(&self.standing) {
            given.forget_before(span.1.plus(unit.kept_ms.unwrap_or(0).saturating_neg()));
            let mut standing = standing.lock().expect("no holder panics");
            let Standing { trials, own } = &mut *standing;
            let selectors =
                trials.iter().flat_map(|it| it.rule().expr.selectors().iter().map(move |s| plan::back_ms(s, it)));
            let back = selectors.max().unwrap_or(0);
            own.forget_before(span.1.plus(back.saturating_neg()));
        }
        Ok(appended)
    }

    /// Tries units that do not read each other, on as many threads as there are cores; in the order of units.
    fn level(&self, units: &[usize], span: (Millis, Millis)) -> Result<Vec<(usize, Done)>, WorkError> {
        let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while let Some(&number) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                let unit = &self.units[number];
                let mut standing = self.standing[number].lock().expect("no holder panics");
                let Standing { trials, own } = &mut *standing;
                let given: Vec<&Given> = unit.reads.iter().map(|read| &self.given[*read]).collect();
                let done = work::unit(&self.world, unit, trials, own, &given, span);
                self.progress.done(done.as_ref().map_or(0, |done| done.samples), self.units.len());
                found.lock().expect("no holder panics").push((number, done));
            }
        };
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(units.len());
        thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        let mut found = found.into_inner().expect("no holder panics");
        found.sort_by_key(|(number, _)| *number);
        found.into_iter().map(|(number, done)| Ok((number, done?))).collect()
    }
}

impl Tried {
    /// Notes how a rule fared.
    fn tell(&mut self, number: usize, trial: &Trial, found: &BTreeSet<(usize, usize)>) {
        let name = format!("{}: {}", trial.group().key(), trial.rule().name);
        for (index, selector) in trial.rule().expr.selectors().iter().enumerate() {
            if !found.contains(&(number, index)) {
                let metric = selector.metric();
                let matchers = &selector.matchers[usize::from(metric.is_some())..];
                let matchers: Vec<String> = matchers.iter().map(ToString::to_string).collect();
                self.idle.push((name.clone(), format!("{}{{{}}}", metric.unwrap_or(""), matchers.join(","))));
            }
        }
        if let Some((failures, why)) = trial.failures() {
            self.failed.push((name, failures, trial.evaluations(), why.to_string()));
        }
    }
}
