//! `faultline replay`: the journal once more, without side effects, and what was decided or would have been.
mod place;
mod progress;
mod tally;

pub use place::Place;
pub use progress::Progress;

use crate::cli::{Output, ReplayArgs};
use crate::replayed::{Mode, Replay, ReplayError, Watch};
use crate::rule_files::{BUILTIN_NAME, tried};
use crate::start::Origin;
use faultline_engine::Effects;
use faultline_formats::Record;
use faultline_host::{Disk, RealDisk, SystemClock};
use faultline_ledger::{Fact, LedgerEntry};
use faultline_model::{Canonical, Hlc, Position, RuleFile, RuleFiles};
use faultline_sinks::{Sink, Stdout, stdout};
use faultline_storage::{DataFolder, SegmentJournal};
use serde_json::json;
use std::error::Error;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tally::{Comparison, Tally};

/// Longest sleep while pacing: so soon it ends when told to.
const NAP: Duration = Duration::from_millis(50);

/// Prints each decision as it is taken again; nothing leaves, nothing is written.
pub fn run(args: &ReplayArgs) -> Result<ExitCode, Box<dyn Error>> {
    let rules = other_rules(args)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let folder = DataFolder::inspect(disk, &args.folder.data)?;
    let inspection = SegmentJournal::inspect(&folder, None)?;
    let (segments, end) = (inspection.segments, inspection.recovered);
    let (from, to) = (args.stretch.from, args.stretch.to);
    let (from, to) = (from.map(|it| it.resolved(end.stamp)), to.map(|it| it.resolved(end.stamp)));

    let reader = || segments.reader();
    let origin = match (from, &rules) {
        // Other rules are to have seen all there is: a checkpoint's rings hold what the journal's rules read.
        (None, _) | (_, Some(_)) => Origin::oldest(&folder, &reader),
        (Some(Place::At(place)), _) => Origin::before(&folder, &reader, place),
        (Some(Place::Time(time)), _) => Origin::earlier(&folder, &reader, time),
        (Some(Place::Back(_)), _) => unreachable!("it was resolved"),
    };
    let mut replay = Replay::of(&origin, rules.map_or(Mode::Checked, Mode::Under))?;
    let now = replay.engine.now();
    if let (Some(begun), Some(from)) = (replay.last, from)
        && from.is_reached(begun, Hlc((now.0.max(0) as u64) << 16))
    {
        return Err(format!("records up to {begun} ({now}) are trimmed; begin after it").into());
    }
    let compared = !args.rules.is_empty();
    if let (true, Some(oldest)) = (compared, replay.oldest) {
        eprintln!("records below {oldest} are trimmed: longer ranges of these rules see less at first");
    }
    let mut show = Show {
        from,
        to,
        sink: Stdout::of_process(args.folder.output == Output::Json),
        clock: SystemClock::default(),
        here: Tally::default(),
        there: Tally::default(),
        told: None,
        speed: args.speed,
        progress: Progress::new(end.next, end.stamp.millis(), to),
        interrupted: interrupts()?,
        records: 0,
        ended: None,
    };
    let result = replay.run(&origin, &mut show);
    show.progress.clear();
    let _closed = show.sink.work(&show.clock);
    if let Some(Ending::Closed) = show.ended {
        // Nobody reads any more.
        return Ok(ExitCode::SUCCESS);
    }
    let comparison = compared.then(|| Comparison::of(&show.here, &show.there));
    match args.folder.output {
        Output::Table => eprint!("{}", in_text(&replay, &show, comparison.as_ref())),
        Output::Json => println!("{}", in_json(&replay, &show, comparison.as_ref())),
    }
    match result {
        Err(error @ ReplayError::Differs(_)) => {
            Err(format!("{error}; the journal was changed or another release wrote it: see `faultline verify`").into())
        }
        other => other.map(|()| ExitCode::SUCCESS).map_err(Into::into),
    }
}

/// The rules to take instead of the journal's.
fn other_rules(args: &ReplayArgs) -> Result<Option<RuleFiles>, Box<dyn Error>> {
    if args.rules.is_empty() {
        return Ok(None);
    }
    let mut builtin = Vec::new();
    if !args.no_builtin_rules {
        builtin.push(RuleFile { name: BUILTIN_NAME.into(), text: faultline_rules::BUILTIN.into() });
    }
    tried(builtin, &args.rules, args.features.set()).map(Some)
}

/// Set at the first Ctrl-C.
pub fn interrupts() -> Result<Arc<AtomicBool>, Box<dyn Error>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let (runtime, flag) =
        (tokio::runtime::Builder::new_current_thread().enable_all().build()?, Arc::clone(&interrupted));
    crate::run::spawn("interrupts", move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            flag.store(true, Ordering::Relaxed);
        }
    })?;
    Ok(interrupted)
}

/// Why it ended before its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Ctrl-C.
    Interrupted,
    /// Whoever read the lines is gone.
    Closed,
}

/// Prints what is decided from `from` to `to`, and counts it.
struct Show {
    from: Option<Place>,
    to: Option<Place>,
    sink: Stdout<std::io::Stdout>,
    clock: SystemClock,
    here: Tally,
    /// What the journal holds of the same records.
    there: Tally,
    /// The first record told of, its stamp and when that was.
    told: Option<(Position, Hlc, Instant)>,
    speed: Option<f64>,
    progress: Progress,
    interrupted: Arc<AtomicBool>,
    /// Records told of.
    records: u64,
    ended: Option<Ending>,
}

impl Show {
    /// Waits until a record stamped `stamp` is due.
    fn pace(&mut self, stamp: Hlc) {
        let (Some(speed), Some((_, first, began))) = (self.speed, self.told) else { return };
        let due = stamp.millis().since(first.millis()) as f64 / 1e3 / speed;
        // Out of range is centuries.
        let due = Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX);
        while let Some(left) = due.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
            if self.sink.work(&self.clock).is_err() {
                self.ended = Some(Ending::Closed);
            }
            if self.ended.is_some() || self.interrupted.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(left.min(NAP));
        }
    }
}

impl Watch for Show {
    fn next(&mut self, at: Position, stamp: Hlc) -> ControlFlow<()> {
        if self.to.is_some_and(|to| to.is_passed(at, stamp)) {
            return ControlFlow::Break(());
        }
        if self.told.is_none() && self.from.is_none_or(|from| from.is_reached(at, stamp)) {
            self.told = Some((at, stamp, Instant::now()));
        }
        self.pace(stamp);
        if self.interrupted.load(Ordering::Relaxed) {
            self.ended = Some(Ending::Interrupted);
        }
        if self.ended.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn stepped(&mut self, record: &Record, effects: Effects) {
        self.progress.record(record);
        if self.told.is_none() {
            return;
        }
        self.records += 1;
        let mut decided = false;
        for (id, decision) in effects.decisions() {
            self.here.count(decision);
            // Not a sink of this process: it keeps no cursor, so no leaf has a number.
            self.sink.take(0, id, decision.clone(), &self.clock);
            decided = true;
        }
        if decided && self.sink.work(&self.clock).is_err() {
            self.ended = Some(Ending::Closed);
        }
    }

    fn leaves(&mut self, _: u64, leaves: &[Box<[u8]>]) {
        let Some((first, ..)) = self.told else { return };
        for leaf in leaves {
            if let Ok(LedgerEntry { fact: Fact::Decided { id, decision }, .. }) = LedgerEntry::from_bytes(leaf)
                && id.cause >= first
            {
                self.there.count(&decision);
            }
        }
    }
}

fn in_text(replay: &Replay, show: &Show, comparison: Option<&Comparison>) -> String {
    let seconds = show.progress.elapsed().as_secs_f64();
    let tally = |tally: &Tally| {
        let Tally { fired, resolved, incidents, verdicts, .. } = tally;
        format!("{fired} alerts fired, {resolved} resolved, {incidents} incidents opened, {verdicts} verdicts")
    };
    let mut text = format!(
        "replayed {} records, {} events in {seconds:.1} s ({:.0} events/s), up to {} ({})\n",
        replay.records,
        replay.events,
        replay.events as f64 / seconds.max(1e-9),
        replay.last.map_or("nothing".to_string(), |last| last.to_string()),
        replay.engine.now(),
    );
    if show.ended == Some(Ending::Interrupted) {
        text.insert_str(0, "interrupted: so far\n");
    }
    match (show.told, comparison) {
        (None, _) => text.push_str("nothing is there from the place asked for\n"),
        (Some((first, ..)), None) => {
            text.push_str(&format!("from {first} on: {} records, {}\n", show.records, tally(&show.here)));
        }
        (Some((first, ..)), Some(it)) => {
            text.push_str(&format!("from {first} on: {} records\n", show.records));
            text.push_str(&format!("  these rules   {}\n  the journal   {}\n", tally(&show.here), tally(&show.there)));
            let Comparison { same, moved, only_here, only_there, examples } = it;
            text.push_str(&format!(
                "firings: {same} the same, {moved} at another time, {only_here} only here, {only_there} only there\n"
            ));
            // Telemetry names alerts; a name must not steer the reader's terminal.
            examples.iter().for_each(|example| text.push_str(&format!("  {}\n", stdout::visible(example))));
            text.push_str(&format!(
                "verdicts are left out under other rules; {} answers in the journal were passed over\n",
                replay.passed_over
            ));
        }
    }
    text
}

fn in_json(replay: &Replay, show: &Show, comparison: Option<&Comparison>) -> String {
    let seconds = show.progress.elapsed().as_secs_f64();
    let mut all = json!({
        "kind": "summary",
        "from": show.told.map(|(first, ..)| first.to_string()),
        "to": replay.last.map(|last| last.to_string()),
        "replayed": { "records": replay.records, "events": replay.events, "seconds": seconds },
        "records": show.records,
        "decided": show.here,
        "interrupted": show.ended == Some(Ending::Interrupted),
    });
    if let Some(comparison) = comparison {
        all["journal"] = json!(show.there);
        all["compared"] = json!(comparison);
        all["answers_passed_over"] = replay.passed_over.into();
    }
    all.to_string()
}
