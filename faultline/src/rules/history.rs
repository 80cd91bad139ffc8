//! What rules would have done with what the journal holds, or did: nothing is written, told or asked.
use super::firings::Firings;
use super::past::{self, Tried};
use crate::replay::{Place, Progress, interrupts};
use crate::replayed::{Mode, Replay, Watch};
use crate::start::Origin;
use faultline_engine::Effects;
use faultline_formats::Record;
use faultline_host::{Disk, RealDisk};
use faultline_ledger::{Fact, LedgerEntry};
use faultline_model::facts::{Decision, Transition};
use faultline_model::{Canonical, Hlc, Millis, Position, RuleFiles};
use faultline_storage::{DataFolder, SegmentJournal};
use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A stretch of a journal.
pub struct Stretch<'a> {
    /// The data folder.
    pub data: &'a Path,
    /// Where firings begin to count; the oldest record where it is absent.
    pub from: Option<Place>,
    /// Where it ends.
    pub to: Option<Place>,
}

/// What was found in a stretch.
pub struct History {
    /// Under the rules that were tried.
    pub tried: Firings,
    /// As the journal holds them.
    pub held: Firings,
    /// Rule time of the first record that counts and of the last.
    pub span: (Millis, Millis),
    /// What was read.
    pub read: Read,
    /// How long it took, in s.
    pub seconds: f64,
    /// Ctrl-C ended it early.
    pub interrupted: bool,
}

/// Where a history comes from.
pub enum Read {
    /// From the journal, by the engine.
    Journal {
        /// Records in the stretch.
        records: u64,
        /// Events in them.
        events: u64,
        /// Records below this one are trimmed: long ranges see less at first.
        trimmed_below: Option<Position>,
    },
    /// From blocks of samples.
    Blocks(Box<Tried>),
}

/// Runs `rules` over a stretch of blocks, on the grid.
pub fn under_blocks(rules: RuleFiles, stretch: &past::Stretch<'_>) -> Result<History, Box<dyn Error>> {
    let begun = Instant::now();
    let mut tried = past::under(rules, stretch, &*interrupts()?)?;
    Ok(History {
        tried: std::mem::take(&mut tried.firings),
        held: Firings::default(),
        span: tried.span,
        seconds: begun.elapsed().as_secs_f64(),
        interrupted: tried.interrupted,
        read: Read::Blocks(Box::new(tried)),
    })
}

/// Runs `rules` over a stretch, in place of those that were in force.
pub fn under(rules: RuleFiles, stretch: &Stretch<'_>) -> Result<History, Box<dyn Error>> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let folder = DataFolder::inspect(disk, stretch.data)?;
    let inspection = SegmentJournal::inspect(&folder, None)?;
    let (segments, end) = (inspection.segments, inspection.recovered);
    let (from, to) = (stretch.from.map(|it| it.resolved(end.stamp)), stretch.to.map(|it| it.resolved(end.stamp)));
    let reader = || segments.reader();
    // Other rules are to have seen all there is: a checkpoint's rings hold what the journal's rules read.
    let origin = Origin::oldest(&folder, &reader);
    let mut replay = Replay::of(&origin, Mode::Under(rules))?;
    let mut collect = Collect {
        from,
        to,
        tried: Firings::default(),
        held: Firings::default(),
        span: None,
        first: None,
        records: 0,
        events: 0,
        progress: Progress::new(end.next, end.stamp.millis(), to),
        interrupted: interrupts()?,
    };
    let result = replay.run(&origin, &mut collect);
    collect.progress.clear();
    result?;
    Ok(History {
        span: collect.span.ok_or("nothing is there from the place asked for")?,
        read: Read::Journal { records: collect.records, events: collect.events, trimmed_below: replay.oldest },
        seconds: collect.progress.elapsed().as_secs_f64(),
        interrupted: collect.interrupted.load(Ordering::Relaxed),
        tried: collect.tried,
        held: collect.held,
    })
}

struct Collect {
    from: Option<Place>,
    to: Option<Place>,
    tried: Firings,
    held: Firings,
    span: Option<(Millis, Millis)>,
    first: Option<Position>,
    records: u64,
    events: u64,
    progress: Progress,
    interrupted: Arc<AtomicBool>,
}

impl Watch for Collect {
    fn next(&mut self, at: Position, stamp: Hlc) -> ControlFlow<()> {
        if self.to.is_some_and(|to| to.is_passed(at, stamp)) || self.interrupted.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if self.first.is_none() && self.from.is_none_or(|from| from.is_reached(at, stamp)) {
            self.first = Some(at);
        }
        ControlFlow::Continue(())
    }

    fn stepped(&mut self, record: &Record, effects: Effects) {
        self.progress.record(record);
        if self.first.is_none() {
            return;
        }
        self.records += 1;
        self.events += record.decoded.events.count();
        let now = record.stamp.millis();
        self.span = Some(self.span.map_or((now, now), |(from, _)| (from, now)));
        let transitions = effects.decisions().filter_map(|(_, decision)| transition(decision));
        for transition in transitions {
            self.tried.take(transition);
            // On import rule time is not the stamp's.
            self.span = self.span.map(|(from, to)| (from.min(transition.at), to));
        }
    }

    fn leaves(&mut self, _: u64, leaves: &[Box<[u8]>]) {
        let Some(first) = self.first else { return };
        for leaf in leaves {
            if let Ok(LedgerEntry { fact: Fact::Decided { id, decision }, .. }) = LedgerEntry::from_bytes(leaf)
                && id.cause >= first
                && let Some(transition) = transition(&decision)
            {
                self.held.take(transition);
            }
        }
    }
}

/// What a decision says of an alert, if it does.
pub(super) fn transition(decision: &Decision) -> Option<&Transition> {
    match decision {
        Decision::Alert(transition) => Some(transition),
        _ => None,
    }
}
