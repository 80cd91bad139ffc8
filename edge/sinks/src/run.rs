//! The thread of one sink: leaves in, cursor kept.
use faultline_host::Clock;
use faultline_ledger::{Fact, LedgerEntry};
use faultline_model::facts::Decision;
use faultline_model::{Canonical, EffectId, mutant};
use std::io;
use std::time::Duration;

/// Leaves read at once: a bundle of the ledger's.
const READ_MAX: usize = 256;
/// Least time between two writes of the cursor while leaves keep coming.
const SAVE_EVERY: Duration = Duration::from_millis(200);
/// Longest sleep: a thread that waits for nothing still looks this often.
const IDLE: Duration = Duration::from_secs(1);
/// Sleep after the ledger refused, or had not yet on disk what it no longer holds in memory.
const UNREADABLE: Duration = Duration::from_millis(20);
/// How long leaves may be unreadable before they are passed over.
const PASS_AFTER: Duration = Duration::from_secs(60);
/// Longest that deliveries go on after a stop; a request under way may end later by its own limit.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Where decisions come from: the ledger's leaves, each in `faultline_ledger::LedgerEntry`'s canonical bytes.
pub trait Leaves: Send + Sync {
    /// Leaves number `from` and on, at most `max`; empty where none can be read yet.
    fn read(&self, from: u64, max: usize) -> Result<Vec<Box<[u8]>>, String>;

    /// Blocks until there is a leaf number `from`, `longest` is over or Faultline stops; false when it stops: no leaf comes
    /// after those that can be read now.
    fn wait(&self, from: u64, longest: Duration) -> bool;

    /// Number of the next leaf to come.
    fn end(&self) -> u64;
}

/// A sink's durable place in the ledger.
pub trait Cursor: Send {
    /// Number of the first leaf still to be read; `None` for a sink that is new.
    fn load(&self) -> io::Result<Option<u64>>;

    /// Keeps `next_leaf`; a crash may bring back an older one.
    fn save(&mut self, next_leaf: u64) -> io::Result<()>;
}

/// A receiver of decisions. Called by one thread, its own: it may block, which holds up nobody else.
pub trait Sink: Send {
    /// The name in our logs.
    fn name(&self) -> &str;

    /// Called once, before all else.
    ///
    /// - `next_leaf`: where reading goes on; `None` for a new sink, which reads the ledger from its beginning and tells of
    ///   what is so today, not of what has been.
    fn begin(&mut self, next_leaf: Option<u64>);

    /// Takes a decision, in leaf order; imported ones never come.
    fn take(&mut self, leaf: u64, id: EffectId, decision: Decision, clock: &dyn Clock);

    /// Does a bounded part of what is due now: called when every leaf that could be read has been taken, and when the
    /// returned pause is over. Not called before all that the ledger held at the start has been taken.
    fn work(&mut self, clock: &dyn Clock) -> Result<Pause, Ended>;

    /// Where to read on after a restart so that nothing is lost; at most `next_leaf`, the leaf to be read next.
    fn resume_at(&self, next_leaf: u64) -> u64;
}

/// How long a sink has nothing to do unless a leaf comes: zero to be called again at once, `None` for ever.
pub type Pause = Option<Duration>;

/// A sink cannot go on, and nothing is to be done about it: its pipe is closed.
#[derive(Debug, thiserror::Error)]
#[error("sink {sink} ends: {reason}")]
pub struct Ended {
    /// The sink's name.
    pub sink: String,
    /// Why.
    pub reason: String,
}

/// Why a sink could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The cursor cannot be read: where to go on is not known. Retry after repairing the data folder.
    #[error("cannot read the cursor of sink {sink}")]
    Cursor {
        /// The sink's name.
        sink: String,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
}

/// Runs a sink on this thread until Faultline stops or the sink ends.
///
/// Decisions are handed over in leaf order. The cursor is saved when there is nothing to do and at most every 200 ms while
/// there is, always after the delivery that it stands for: a crash repeats, it never loses.
pub fn run(
    leaves: &dyn Leaves,
    cursor: &mut dyn Cursor,
    sink: &mut dyn Sink,
    clock: &dyn Clock,
) -> Result<(), RunError> {
    let mut runner = Runner::begin(leaves, cursor, sink, clock)?;
    if let Err(ended) = runner.until_stopped() {
        tracing::warn!("{ended}");
    }
    Ok(())
}

/// One sink's way through the ledger, turn by turn: [`run`] without the waiting, for the simulation.
pub struct Runner<'a> {
    leaves: &'a dyn Leaves,
    cursor: &'a mut dyn Cursor,
    sink: &'a mut dyn Sink,
    clock: &'a dyn Clock,
    next_leaf: u64,
    saved: Option<u64>,
    saved_at: Duration,
    /// Everything that the ledger held at the start has been read.
    caught_up: bool,
    /// The ledger has leaves that could not be read in this turn.
    unreadable: bool,
    /// Since when the ledger has answered with errors, on the stopwatch.
    failing_since: Option<Duration>,
}

impl<'a> Runner<'a> {
    /// Starts a sink from its cursor.
    pub fn begin(
        leaves: &'a dyn Leaves,
        cursor: &'a mut dyn Cursor,
        sink: &'a mut dyn Sink,
        clock: &'a dyn Clock,
    ) -> Result<Runner<'a>, RunError> {
        let mut saved = cursor.load().map_err(|source| RunError::Cursor { sink: sink.name().to_owned(), source })?;
        if let Some(next_leaf) = saved.filter(|next_leaf| *next_leaf > leaves.end()) {
            let (name, end) = (sink.name(), leaves.end());
            tracing::warn!("sink {name} has read {next_leaf} leaves of a ledger that holds {end}: it begins anew");
            saved = None;
        }
        sink.begin(saved);
        Ok(Runner {
            leaves,
            cursor,
            sink,
            clock,
            next_leaf: saved.unwrap_or(0),
            saved,
            saved_at: clock.monotonic(),
            caught_up: false,
            unreadable: false,
            failing_since: None,
        })
    }

    /// Whether everything that the ledger held at the start has been read: from then on a new sink tells of every decision.
    pub fn has_caught_up(&self) -> bool {
        self.caught_up
    }

    fn until_stopped(&mut self) -> Result<(), Ended> {
        loop {
            let pause = self.turn()?;
            if !self.leaves.wait(self.next_leaf, pause) {
                break;
            }
            if self.unreadable {
                // `wait` came back at once: there are leaves.
                std::thread::sleep(UNREADABLE);
            }
        }
        // What came before the stop still goes out, if the receiver takes it without delay.
        let stopped_at = self.clock.monotonic();
        while self.turn()?.is_zero() && self.clock.monotonic().saturating_sub(stopped_at) < DRAIN_MAX {}
        self.save();
        Ok(())
    }

    /// Takes every leaf that can be read, does a part of what is due, and says how long there is nothing to do.
    pub fn turn(&mut self) -> Result<Duration, Ended> {
        let end = self.leaves.end();
        self.unreadable = false;
        while self.next_leaf < end && !self.unreadable {
            match self.leaves.read(self.next_leaf, READ_MAX) {
                Ok(batch) => {
                    self.unreadable = batch.is_empty();
                    self.failing_since = None;
                    batch.iter().for_each(|leaf| self.take(leaf));
                }
                Err(reason) => {
                    self.unreadable = true;
                    self.note_failure(&reason, end);
                }
            }
        }
        self.caught_up |= self.next_leaf >= end;
        // Until then an alert may look as if it fired that has long been resolved.
        let pause = if self.caught_up { self.sink.work(self.clock)? } else { None };
        if self.caught_up && self.clock.monotonic().saturating_sub(self.saved_at) >= SAVE_EVERY {
            self.save();
        }
        let idle = if self.saved == Some(self.sink.resume_at(self.next_leaf)) { IDLE } else { SAVE_EVERY };
        Ok(pause.unwrap_or(idle).min(idle))
    }

    /// A damaged page of the ledger must not silence what comes after it: after a while it is passed over.
    fn note_failure(&mut self, reason: &str, end: u64) {
        let (name, from, now) = (self.sink.name(), self.next_leaf, self.clock.monotonic());
        match self.failing_since {
            None => {
                tracing::warn!("sink {name} cannot read leaf {from} and tries again: {reason}");
                self.failing_since = Some(now);
            }
            Some(since) if now.saturating_sub(since) >= PASS_AFTER => {
                let page = READ_MAX as u64;
                self.next_leaf = ((from / page + 1) * page).min(end);
                let to = self.next_leaf;
                tracing::error!("sink {name} passes over leaves {from}..{to}, decisions in them stay untold: {reason}");
            }
            Some(_) => {}
        }
    }

    fn take(&mut self, leaf: &[u8]) {
        let number = self.next_leaf;
        self.next_leaf += 1;
        match LedgerEntry::from_bytes(leaf).map(|entry| entry.fact) {
            Ok(Fact::Decided { id, decision }) if !is_silent(&decision) => {
                self.sink.take(number, id, decision, self.clock);
            }
            Ok(Fact::Decided { .. } | Fact::Sealed(_)) => {}
            Ok(Fact::Digested { id, .. }) => {
                tracing::warn!("sink {} cannot tell of decision {id}: too large for leaf {number}", self.sink.name());
            }
            Err(error) => tracing::warn!("sink {} cannot read leaf {number}: {error}", self.sink.name()),
        }
    }

    fn save(&mut self) {
        let at = self.sink.resume_at(self.next_leaf) + u64::from(mutant!("cursor one leaf ahead"));
        self.saved_at = self.clock.monotonic();
        if self.saved == Some(at) {
            return;
        }
        match self.cursor.save(at) {
            Ok(()) => self.saved = Some(at),
            // The older cursor stands: a restart would repeat, which is harmless.
            Err(error) => tracing::warn!("cannot save the cursor of sink {}: {error}", self.sink.name()),
        }
    }
}

/// Whether a decision is for the ledger alone: it rests on imported data, or its rule is tried only.
fn is_silent(decision: &Decision) -> bool {
    match decision {
        Decision::Alert(transition) => transition.is_silent(),
        Decision::Incident(update) => update.imported,
        _ => false,
    }
}
