//! `faultline rules explain`: why an alert fires, or does not, at any instant that the journal reaches.
//!
//! The engine is made again as it was: from a checkpoint before the place asked for, record by record. Where a sample or a
//! transition came from is a record's position, so that anyone can look it up.
mod words;

use super::history::transition;
use crate::cli::{ExplainArgs, Output};
use crate::keys;
use crate::replay::{Place, Progress, interrupts};
use crate::replayed::{Mode, Replay, Watch};
use crate::start::Origin;
use faultline_engine::{Effect, Effects};
use faultline_formats::Record;
use faultline_host::{Disk, RealDisk};
use faultline_ledger::{Fact, LedgerEntry};
use faultline_model::facts::{AlertState, Decision, Transition};
use faultline_model::{Canonical, Control, Digest, EffectId, Hlc, Kind, Labels, Millis, Position};
use faultline_promql::{MatchOp, Matcher};
use faultline_rules::{Explained, agree};
use faultline_storage::{DataFolder, LedgerReader, SegmentJournal};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most leaves of the ledger that are read for what an alert did before, the newest first: about half a second.
const LEAVES_MAX: u64 = 100_000;
/// Most of its transitions that are told.
const TRANSITIONS_MAX: usize = 20;

/// Transitions, and by which effects they were told.
type Told = Vec<(EffectId, Transition)>;

/// All there is to say.
struct Story {
    name: String,
    asked: Vec<Matcher>,
    /// The last record looked at, and rule time after it.
    last: Option<Position>,
    at: Millis,
    /// Rules of the name; none where there are none.
    rules: Vec<Explained>,
    /// Names of all rules, for who mistyped one.
    names: BTreeSet<String>,
    /// Digest of the rules record in force, and where it stands, as far as the ledger was read.
    version: (Digest, Option<Position>),
    /// What the alert did, oldest first.
    transitions: Told,
    /// Records that brought the samples told of.
    brought: BTreeMap<(Labels, Millis), Position>,
}

/// Explains; with `--not-fired` exit code 1 where it does fire.
pub fn run(args: &ExplainArgs) -> Result<ExitCode, Box<dyn Error>> {
    let (name, asked) = named(&args.alert)?;
    let story = tell(args, name, asked)?;
    if story.rules.is_empty() {
        return Err(unknown(&story).into());
    }
    match args.folder.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&words::json(&story))?),
        Output::Table => print!("{}", words::text(&story, args.not_fired)),
    }
    let fires = active(&story).any(|alert| alert.state == AlertState::Firing);
    Ok(ExitCode::from(u8::from(args.not_fired && fires)))
}

/// Active alerts that agree with what was asked about.
fn active(story: &Story) -> impl Iterator<Item = &faultline_rules::ActiveAlert> {
    let alerting = story.rules.iter().filter_map(|it| it.rule.alerting.as_ref());
    alerting.flat_map(|it| &it.alerts).filter(|alert| agree(&story.asked, &alert.labels))
}

/// What is asked about: a rule's name, or a selector such as `Name{service="pay"}`.
pub(super) fn named(text: &str) -> Result<(String, Vec<Matcher>), Box<dyn Error>> {
    if !text.contains('{') {
        return Ok((text.to_string(), Vec::new()));
    }
    let what = "say which alert, such as HighErrors or 'HighErrors{service=\"pay\"}'";
    let expr = faultline_promql::parse(text).map_err(|error| format!("{text}: {error}; {what}"))?;
    let selector = expr.series_selector().ok_or_else(|| format!("{text} is no alert; {what}"))?;
    let mut matchers = selector.matchers.clone();
    let place = matchers.iter().position(|it| it.name == "__name__" && it.op == MatchOp::Equal);
    let name = matchers.remove(place.ok_or_else(|| format!("{text} names no alert; {what}"))?);
    Ok((name.value.to_string(), matchers))
}

fn unknown(story: &Story) -> String {
    let Story { name, at, names, .. } = story;
    let close = |it: &&String| it.to_lowercase().contains(&name.to_lowercase()) || name.contains(it.as_str());
    let close: Vec<&str> = names.iter().filter(close).map(String::as_str).take(5).collect();
    match close.is_empty() {
        true => format!("no rule is called {name} at {at}; `faultline replay` tells which rules were in force"),
        false => format!("no rule is called {name} at {at}; there is {}", close.join(", ")),
    }
}

fn tell(args: &ExplainArgs, name: String, asked: Vec<Matcher>) -> Result<Story, Box<dyn Error>> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let folder = DataFolder::inspect(disk.clone(), &args.folder.data)?;
    let inspection = SegmentJournal::inspect(&folder, None)?;
    let (segments, end) = (inspection.segments, inspection.recovered);
    let to = args.at.map(|it| it.resolved(end.stamp));
    let reader = || segments.reader();
    let origin = match to {
        None => Origin::latest(&folder, &reader),
        Some(Place::At(place)) => Origin::before(&folder, &reader, place),
        Some(Place::Time(time)) => Origin::earlier(&folder, &reader, time),
        Some(Place::Back(_)) => unreachable!("it was resolved"),
    };
    let interrupted = interrupts()?;
    let progress = || Progress::new(end.next, end.stamp.millis(), to);

    let mut replay = Replay::of(&origin, Mode::Records)?;
    let begun = replay.last;
    let mut until =
        Until { to, progress: progress(), interrupted: interrupted.clone(), transitions: Vec::new(), rules: None };
    let result = replay.run(&origin, &mut until);
    until.progress.clear();
    result?;
    if interrupted.load(Ordering::Relaxed) {
        return Err("interrupted".into());
    }
    if let (Some(begun), Some(to)) = (begun, to)
        && to.is_passed(begun, Hlc((replay.engine.now().0.max(0) as u64) << 16))
    {
        return Err(
            format!("records up to {begun} ({}) are trimmed; ask about a later place", replay.engine.now()).into()
        );
    }
    let digest = Digest::of(&replay.engine.rule_files().to_bytes());
    let rules = replay.engine.explain_rules(&name, &asked);
    let names = replay
        .engine
        .overview()
        .groups
        .into_iter()
        .flat_map(|group| group.rules.clone())
        .map(|rule| rule.name.to_string());
    let is_asked = |it: &Transition| it.name == name && agree(&asked, &it.labels);
    let ledger =
        LedgerReader::new(disk, &args.folder.data.join(keys::LEDGER_FOLDER), keys::read_verifier(&args.folder.data)?);
    let (mut transitions, rules_at) = before(&ledger, begun, digest, is_asked)?;
    transitions.extend(until.transitions.into_iter().filter(|(_, it)| is_asked(it)));
    transitions.drain(..transitions.len().saturating_sub(TRANSITIONS_MAX));

    let told = |it: &Explained| it.parts.iter().filter_map(|part| part.reads.clone()).collect::<Vec<_>>();
    let reads: Vec<faultline_rules::Reads> = rules.iter().flat_map(told).collect();
    let shown = reads.iter().flat_map(|it| it.first.iter().map(|series| series.labels.clone())).collect();
    // A window's samples may come before the checkpoint; the newest of a series that has none in it does not matter.
    let from = reads.iter().map(|it| it.stretch.0).min();
    let brought = match (from, replay.last) {
        (Some(from), Some(last)) => {
            let origin = Origin::earlier(&folder, &reader, from);
            sources(&origin, shown, last, progress(), interrupted)?
        }
        _ => BTreeMap::new(),
    };
    Ok(Story {
        names: names.collect(),
        last: replay.last,
        at: replay.engine.now(),
        rules,
        version: (digest, until.rules.or(rules_at)),
        transitions,
        brought,
        name,
        asked,
    })
}

/// What the ledger holds of causes up to `begun`: transitions asked for, oldest first, and where the rules came into force.
fn before(
    ledger: &LedgerReader,
    begun: Option<Position>,
    digest: Digest,
    is_asked: impl Fn(&Transition) -> bool,
) -> Result<(Told, Option<Position>), Box<dyn Error>> {
    let (mut transitions, mut rules) = (Told::new(), None);
    let (Some(head), Some(begun)) = (ledger.head()?, begun) else { return Ok((transitions, rules)) };
    let mut next = head.size.saturating_sub(LEAVES_MAX);
    while next < head.size {
        let leaves = ledger.leaves(head, next, LEAVES_MAX as usize)?;
        if leaves.is_empty() {
            break;
        }
        next += leaves.len() as u64;
        for leaf in leaves {
            let Ok(LedgerEntry { fact: Fact::Decided { id, decision }, .. }) = LedgerEntry::from_bytes(&leaf) else {
                continue;
            };
            match decision {
                Decision::Alert(it) if id.cause <= begun && is_asked(&it) => transitions.push((id, it)),
                Decision::Rules(it) if id.cause <= begun && it.digest == digest => rules = Some(id.cause),
                _ => {}
            }
        }
    }
    Ok((transitions, rules))
}

/// Steps up to a place, and notes what alerts do.
struct Until {
    to: Option<Place>,
    progress: Progress,
    interrupted: Arc<AtomicBool>,
    transitions: Told,
    rules: Option<Position>,
}

impl Watch for Until {
    fn next(&mut self, at: Position, stamp: Hlc) -> ControlFlow<()> {
        let over = self.to.is_some_and(|to| to.is_passed(at, stamp)) || self.interrupted.load(Ordering::Relaxed);
        if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn stepped(&mut self, record: &Record, effects: Effects) {
        self.progress.record(record);
        if record.decoded.payload.kind == Kind::Control(Control::Rules)
            && effects.decisions().any(|(_, it)| matches!(it, Decision::Rules(_)))
        {
            self.rules = Some(record.at);
        }
        let transitions = effects.decisions().filter_map(|(id, it)| Some((id, transition(it)?.clone())));
        self.transitions.extend(transitions);
    }

    fn leaves(&mut self, _: u64, _: &[Box<[u8]>]) {}
}

/// Which record brought each sample of the series told of, from `origin` to `last`.
fn sources(
    origin: &Origin<'_>,
    shown: BTreeSet<Labels>,
    last: Position,
    progress: Progress,
    interrupted: Arc<AtomicBool>,
) -> Result<BTreeMap<(Labels, Millis), Position>, Box<dyn Error>> {
    let mut replay = Replay::of(origin, Mode::Records)?;
    let mut brought = Brought { shown, ids: BTreeMap::new(), found: BTreeMap::new(), last, progress, interrupted };
    replay.engine.each_series(&mut |view| brought.know(view.id, view.labels));
    let result = replay.run(origin, &mut brought);
    brought.progress.clear();
    result?;
    Ok(brought.found)
}

struct Brought {
    shown: BTreeSet<Labels>,
    ids: BTreeMap<u32, Labels>,
    found: BTreeMap<(Labels, Millis), Position>,
    last: Position,
    progress: Progress,
    interrupted: Arc<AtomicBool>,
}

impl Brought {
    fn know(&mut self, id: u32, labels: &Labels) {
        if self.shown.contains(labels) {
            self.ids.insert(id, labels.clone());
        }
    }
}

impl Watch for Brought {
    fn next(&mut self, at: Position, _: Hlc) -> ControlFlow<()> {
        if at > self.last || self.interrupted.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn stepped(&mut self, record: &Record, effects: Effects) {
        self.progress.record(record);
        for effect in effects.list {
            let Effect::Accepted(accepted) = effect else { continue };
            accepted.evicted.iter().for_each(|id| drop(self.ids.remove(id)));
            accepted.created.iter().for_each(|(id, labels)| self.know(*id, labels));
            let floats = accepted.samples.iter().map(|(id, sample)| (*id, sample.time()));
            for (id, time) in floats.chain(accepted.histograms.iter().map(|(id, sample)| (*id, sample.time))) {
                if let Some(labels) = self.ids.get(&id) {
                    self.found.entry((labels.clone(), time)).or_insert(record.at);
                }
            }
        }
    }

    fn leaves(&mut self, _: u64, _: &[Box<[u8]>]) {}
}
