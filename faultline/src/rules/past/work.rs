//! What one unit of rules makes of one piece of time.
use super::plan::{Unit, back_ms};
use super::source::{Chosen, Given, PieceSource};
use faultline_model::facts::Transition;
use faultline_model::{Labels, Millis, labels};
use faultline_promql::{EvalError, Options, Selector, SeriesView, Source, evaluate, evaluate_columns};
use faultline_rules::{Appended, Came, RuleKind, RuleSet, Trial};
use faultline_serve::recent::past::Past;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most bytes of values that one unit holds: of so many instants at once as make them.
const ROWS_BYTES: usize = 192 << 20;
/// Bytes of a value, once as read and once as computed.
const VALUE: usize = 16;
/// Series that one selector may find.
const SERIES_MAX: usize = 1_000_000;

/// What there is to read, the same for all units.
pub struct World<'a> {
    pub past: &'a Past,
    /// Names of series that the rules record, each with the labels that its rules set.
    pub recorded: BTreeMap<&'a str, Vec<&'a [(String, String)]>>,
    pub interrupted: &'a AtomicBool,
}

/// What came of a unit.
#[derive(Default)]
pub struct Done {
    /// With the number of the rule, in the order of time and rules.
    pub transitions: Vec<(Millis, usize, Transition)>,
    /// What its rules appended.
    pub appended: Given,
    /// Samples read.
    pub samples: u64,
    /// Evaluations of a rule at an instant.
    pub evaluations: u64,
    /// Selectors that found something, by rule and place.
    pub found: Vec<(usize, usize)>,
}

/// A rule whose selectors find too much, or whose labels ask for what is not there.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Narrow the matchers.
    #[error("{0}: a selector matches more than {SERIES_MAX} series; name a metric or more labels")]
    TooMany(String),
    /// Templates see no series here.
    #[error(
        "{0}: a label's template asks `query`, which a history of blocks cannot answer; leave --history out, or the query"
    )]
    Queries(String),
}

impl<'a> World<'a> {
    pub fn new(past: &'a Past, set: &'a RuleSet, interrupted: &'a AtomicBool) -> World<'a> {
        let mut recorded: BTreeMap<&str, Vec<&[(String, String)]>> = BTreeMap::new();
        let rules = set.groups.iter().flat_map(|group| &group.rules);
        for rule in rules.filter(|rule| rule.kind == RuleKind::Record) {
            recorded.entry(&rule.name).or_default().push(&rule.labels);
        }
        World { past, recorded, interrupted }
    }

    /// Whether a series of the past is one that the rules make themselves, or say of alerts.
    fn is_made_anew(&self, series: &Labels) -> bool {
        let name = series.name();
        let sets = |own: &&[(String, String)]| own.iter().all(|(n, value)| n == labels::NAME || series.get(n) == value);
        name == "ALERTS"
            || name == "ALERTS_FOR_STATE"
            || self.recorded.get(name).is_some_and(|all| all.iter().any(sets))
    }

    fn chosen<'g>(
        &self,
        trial: &Trial,
        selector: &Selector,
        given: &[&'g Given],
        ends: (Millis, Millis),
    ) -> Option<Chosen<'g>> {
        let from = ends.0.plus(back_ms(selector, trial).saturating_neg());
        let mut series = self.past.select(&selector.matchers, from, ends.1, SERIES_MAX)?;
        series.retain(|it| !self.is_made_anew(&it.labels));
        Some(Chosen::new(series, selector, given, from, ends.1))
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

/// Tries a unit's rules at their instants within `from..=to`.
///
/// - `own`: what its rules appended before, where they read it themselves; what is added to it now.
/// - `given`: what the units that it reads appended.
pub fn unit(
    world: &World<'_>,
    unit: &Unit,
    trials: &mut [Trial],
    own: &mut Given,
    given: &[&Given],
    (from, to): (Millis, Millis),
) -> Result<Done, WorkError> {
    let mut done = Done::default();
    let instants: Vec<Vec<Millis>> = trials.iter().map(|trial| trial.instants(from.max(unit.begin), to)).collect();
    let mut chosen = Vec::new();
    for (place, (trial, instants)) in trials.iter().zip(&instants).enumerate() {
        let (Some(first), Some(last)) = (instants.first(), instants.last()) else {
            chosen.push(Vec::new());
            continue;
        };
        let offset = trial.group().query_offset_ms;
        let mut all = Vec::new();
        for (index, selector) in trial.rule().expr.selectors().iter().enumerate() {
            // What a negative offset asks for is there if it was there at the instant.
            let ends = (first.plus(-offset), last.plus(-offset).max(*last));
            let one = world.chosen(trial, selector, given, ends).ok_or_else(|| WorkError::TooMany(named(trial)))?;
            if one.len() > 0 {
                done.found.push((unit.rules[place], index));
            }
            all.push(one);
        }
        chosen.push(all);
    }
    let mut came = Came::default();
    match (unit.by_steps, &mut *trials) {
        (false, [trial]) => {
            let series: usize = chosen[0].iter().map(Chosen::len).sum();
            let together = (ROWS_BYTES / (VALUE * series.max(1))).max(1);
            let piece = Piece { world, chosen: &chosen[0], instants: &instants[0] };
            for places in instants[0].chunks(together) {
                piece.columns(trial, places, &mut came, &mut done);
                taken(&mut came, unit.rules[0], trial, &mut done)?;
                done.appended.extend_by(std::mem::take(&mut came.appended));
            }
        }
        _ => {
            by_steps(world, unit, trials, own, &chosen, &instants, &mut done)?;
            for (rule, trial) in unit.rules.iter().zip(&*trials) {
                for (index, selector) in trial.rule().expr.selectors().iter().enumerate() {
                    if own.keys().any(|labels| meets(labels, selector)) {
                        done.found.push((*rule, index));
                    }
                }
            }
        }
    }
    Ok(done)
}

fn named(trial: &Trial) -> String {
    format!("{}: {}", trial.group().key(), trial.rule().name)
}

fn taken(came: &mut Came, rule: usize, trial: &Trial, done: &mut Done) -> Result<(), WorkError> {
    if came.queried.get() {
        return Err(WorkError::Queries(named(trial)));
    }
    done.transitions.extend(came.transitions.drain(..).map(|it| (it.at, rule, it)));
    Ok(())
}

/// One rule's share of a piece.
struct Piece<'a> {
    world: &'a World<'a>,
    chosen: &'a [Chosen<'a>],
    instants: &'a [Millis],
}

impl Piece<'_> {
    /// A source for a part of the instants.
    fn source(&self, part: &[Millis]) -> PieceSource<'_> {
        let cut = (part[0].since(self.instants[0]), self.instants[self.instants.len() - 1].since(part[part.len() - 1]));
        PieceSource::new(self.world.past, self.chosen.iter().collect(), cut)
    }

    /// Evaluates at many instants at once; where that fails, which it does where one of them does, at one after the other.
    fn columns(&self, trial: &mut Trial, instants: &[Millis], came: &mut Came, done: &mut Done) {
        if self.world.is_interrupted() {
            return;
        }
        let (source, offset) = (self.source(instants), trial.group().query_offset_ms);
        let options = Options { samples_max: u64::MAX, ..Options::default() };
        let seen: Vec<Millis> = instants.iter().map(|at| at.plus(-offset)).collect();
        let stop = || self.world.is_interrupted();
        let columns = evaluate_columns(&trial.rule().expr, &seen, &source, &options, &stop);
        done.samples += source.read.get();
        match columns {
            Ok(columns) => {
                done.evaluations += instants.len() as u64;
                trial.take_columns(instants, &columns, came);
            }
            Err(EvalError::Cancelled) => {}
            Err(_) if instants.len() > 1 && !source.fits() => {
                let (left, right) = instants.split_at(instants.len() / 2);
                self.columns(trial, left, came, done);
                self.columns(trial, right, came, done);
            }
            Err(_) => {
                let source = self.source(instants);
                source.hold();
                for at in instants {
                    let value = evaluate(&trial.rule().expr, at.plus(-offset), &source, &Options::default());
                    trial.take(*at, value.map_err(|error| error.to_string()), came);
                }
                done.samples += source.read.get();
                done.evaluations += instants.len() as u64;
            }
        }
    }
}

fn meets(labels: &Labels, selector: &Selector) -> bool {
    selector.matchers.iter().all(|m| m.matches(labels.get(&m.name)))
}

/// What is there at an instant, for rules that read each other.
struct Step<'a> {
    source: &'a PieceSource<'a>,
    own: &'a Given,
}

impl Source for Step<'_> {
    fn select(&self, index: usize, selector: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        let own: Vec<(&Labels, &Appended)> = self.own.iter().filter(|(labels, _)| meets(labels, selector)).collect();
        self.source.visit(index, &own, visit);
    }
}

/// Tries rules at one instant after the other, in the order in which a server does.
fn by_steps(
    world: &World<'_>,
    unit: &Unit,
    trials: &mut [Trial],
    own: &mut Given,
    chosen: &[Vec<Chosen<'_>>],
    instants: &[Vec<Millis>],
    done: &mut Done,
) -> Result<(), WorkError> {
    let mut all: Vec<(Millis, usize)> = Vec::new();
    for (place, instants) in instants.iter().enumerate() {
        all.extend(instants.iter().map(|at| (*at, place)));
    }
    all.sort();
    let mut parts = Vec::from([&all[..]]);
    while let Some(part) = parts.pop() {
        let (Some((first, _)), Some((last, _))) = (part.first(), part.last()) else { break };
        let mut sources = Vec::new();
        for (chosen, instants) in chosen.iter().zip(instants) {
            let ends = instants.first().zip(instants.last());
            let cut = ends.map_or((0, 0), |(from, to)| (first.since(*from).max(0), to.since(*last).max(0)));
            sources.push(PieceSource::new(world.past, chosen.iter().collect(), cut));
        }
        if part.len() > 1 && !sources.iter().all(PieceSource::fits) {
            let (left, right) = part.split_at(part.len() / 2);
            parts.extend([right, left]);
            continue;
        }
        sources.iter().for_each(PieceSource::hold);
        for &(at, place) in part {
            if world.is_interrupted() {
                return Ok(());
            }
            let (trial, source) = (&mut trials[place], &sources[place]);
            source.now.set(at);
            let seen = at.plus(-trial.group().query_offset_ms);
            let value = evaluate(&trial.rule().expr, seen, &Step { source, own }, &Options::default());
            let mut came = Came::default();
            trial.take(at, value.map_err(|error| error.to_string()), &mut came);
            taken(&mut came, unit.rules[place], trial, done)?;
            for (labels, appended) in came.appended {
                let there = own.entry(labels.clone()).or_default();
                let newest = newest(there);
                let newer = Appended {
                    samples: appended.samples.into_iter().filter(|it| Some(it.time()) > newest).collect(),
                    histograms: appended.histograms.into_iter().filter(|it| Some(it.time) > newest).collect(),
                };
                there.samples.extend(&newer.samples);
                there.histograms.extend(newer.histograms.iter().cloned());
                done.appended.extend_by(Given::from([(labels, newer)]));
            }
        }
        done.evaluations += part.len() as u64;
        done.samples += sources.iter().map(|source| source.read.get()).sum::<u64>();
    }
    Ok(())
}

fn newest(it: &Appended) -> Option<Millis> {
    it.samples.last().map(|it| it.time()).max(it.histograms.last().map(|it| it.time))
}

/// Series that grow.
pub trait Grow {
    /// Appends what came to each series.
    fn extend_by(&mut self, came: Given);
    /// Forgets samples before a time, and series without any.
    fn forget_before(&mut self, time: Millis);
}

impl Grow for Given {
    fn extend_by(&mut self, came: Given) {
        for (labels, mut came) in came {
            let there = self.entry(labels).or_default();
            there.samples.append(&mut came.samples);
            there.histograms.append(&mut came.histograms);
        }
    }

    fn forget_before(&mut self, time: Millis) {
        self.retain(|_, it| {
            it.samples.drain(..it.samples.partition_point(|sample| sample.time() < time));
            it.histograms.drain(..it.histograms.partition_point(|sample| sample.time < time));
            !it.samples.is_empty() || !it.histograms.is_empty()
        });
    }
}
