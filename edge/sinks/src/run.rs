//! The thread of one sink: leaves in, cursor kept.
use faultline_host::Clock;
use faultline_ledger::{Fact, LedgerEntry};
use faultline_model::facts::Decision;
use faultline_model::{Canonical, EffectId};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Leaves read at once.
const READ_MAX: usize = 256;
/// Least time between two writes of the cursor while leaves keep coming.
const SAVE_EVERY: Duration = Duration::from_millis(200);
/// Longest sleep: a thread that waits for nothing still looks this often.
const IDLE: Duration = Duration::from_secs(1);
/// Sleep after the ledger refused, or had not yet on disk what it no longer holds in memory.
const UNREADABLE: Duration = Duration::from_millis(20);

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

/// A receiver of decisions. Called by one thread; may block, which holds up nobody else.
pub trait Sink: Send {
    /// The name in our logs.
    fn name(&self) -> &str;

    /// Called once, before all else.
    ///
    /// - `next_leaf`: where reading goes on; `None` for a new sink, which reads the ledger from its beginning and tells of
    ///   what is so today, not of what has been.
    fn begin(&mut self, next_leaf: Option<u64>);

    /// Takes a decision, in leaf order; imported ones never come. Must not block: what it leads to is done in `work`.
    fn take(&mut self, leaf: u64, id: EffectId, decision: Decision, clock: &dyn Clock);

    /// Does what is due now: called when every leaf that could be read has been taken, and when the returned pause is over.
    fn work(&mut self, clock: &dyn Clock) -> Result<Pause, Ended>;

    /// Where to read on after a restart so that nothing is lost; at most `next_leaf`, the leaf to be read next.
    fn resume_at(&self, next_leaf: u64) -> u64;
}

/// How long a sink has nothing to do unless a leaf comes; `None` for ever.
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

/// What a sink has done so far, for metrics and status: shared with the sink's thread.
#[derive(Debug, Default)]
pub struct Counters {
    /// Alerts, or lines, that the receiver has taken.
    pub delivered: AtomicU64,
    /// Requests that failed and are tried again.
    pub retried: AtomicU64,
    /// Alerts that the receiver refused (4xx).
    pub refused: AtomicU64,
    /// Alerts for which there was no room.
    pub shed: AtomicU64,
    /// Alerts kept now: firing, or resolved and still re-sent.
    pub kept: AtomicU64,
    /// Whether the last delivery failed, as 0 or 1.
    pub down: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
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
    loop {
        match runner.turn() {
            Ok(pause) if leaves.wait(runner.next_leaf, pause) => runner.breathe(),
            Ok(_) => break,
            Err(ended) => {
                tracing::warn!("{ended}");
                return Ok(());
            }
        }
    }
    // What came before the stop still goes out, once.
    if let Err(ended) = runner.turn() {
        tracing::warn!("{ended}");
    }
    runner.save();
    Ok(())
}

/// One sink's way through the ledger.
pub(crate) struct Runner<'a> {
    leaves: &'a dyn Leaves,
    cursor: &'a mut dyn Cursor,
    sink: &'a mut dyn Sink,
    clock: &'a dyn Clock,
    pub(crate) next_leaf: u64,
    saved: Option<u64>,
    saved_at: Duration,
    /// Everything that the ledger held at the start has been read.
    caught_up: bool,
    unreadable: bool,
}

impl<'a> Runner<'a> {
    pub(crate) fn begin(
        leaves: &'a dyn Leaves,
        cursor: &'a mut dyn Cursor,
        sink: &'a mut dyn Sink,
        clock: &'a dyn Clock,
    ) -> Result<Runner<'a>, RunError> {
        let saved = cursor.load().map_err(|source| RunError::Cursor { sink: sink.name().to_owned(), source })?;
        sink.begin(saved);
        let (next_leaf, saved_at) = (saved.unwrap_or(0), clock.monotonic());
        Ok(Runner { leaves, cursor, sink, clock, next_leaf, saved, saved_at, caught_up: false, unreadable: false })
    }

    /// Takes every leaf that can be read, does what is due, and says how long there is nothing to do.
    pub(crate) fn turn(&mut self) -> Result<Duration, Ended> {
        let end = self.leaves.end();
        self.unreadable = false;
        while self.next_leaf < end && !self.unreadable {
            match self.leaves.read(self.next_leaf, READ_MAX) {
                Ok(batch) if batch.is_empty() => self.unreadable = true,
                Ok(batch) => batch.iter().for_each(|leaf| self.take(leaf)),
                Err(reason) => {
                    tracing::warn!("sink {} cannot read leaf {}: {reason}", self.sink.name(), self.next_leaf);
                    self.unreadable = true;
                }
            }
        }
        self.caught_up |= self.next_leaf >= end;
        // Until then an alert may look as if it fired that has long been resolved.
        let pause = if self.caught_up { self.sink.work(self.clock)? } else { None };
        let now = self.clock.monotonic();
        if self.caught_up && now.saturating_sub(self.saved_at) >= SAVE_EVERY {
            self.save();
        }
        // Leaves that could not be saved for are saved for soon, if none comes.
        let idle = if self.saved == Some(self.sink.resume_at(self.next_leaf)) { IDLE } else { SAVE_EVERY };
        Ok(pause.unwrap_or(idle).min(idle))
    }

    fn take(&mut self, leaf: &[u8]) {
        let number = self.next_leaf;
        self.next_leaf += 1;
        match LedgerEntry::from_bytes(leaf).map(|entry| entry.fact) {
            Ok(Fact::Decided { id, decision }) if !imported(&decision) => {
                self.sink.take(number, id, decision, self.clock);
            }
            Ok(Fact::Decided { .. } | Fact::Sealed { .. }) => {}
            Ok(Fact::Digested { id, .. }) => {
                tracing::warn!("sink {} cannot tell of decision {id}: too large for leaf {number}", self.sink.name());
            }
            Err(error) => tracing::warn!("sink {} cannot read leaf {number}: {error}", self.sink.name()),
        }
    }

    fn save(&mut self) {
        let at = self.sink.resume_at(self.next_leaf);
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

    /// Sleeps a little where the ledger could not be read although it says there are leaves, lest the thread spin.
    fn breathe(&self) {
        if self.unreadable {
            std::thread::sleep(UNREADABLE);
        }
    }
}

/// Whether a decision rests on imported data: those reach no sink.
fn imported(decision: &Decision) -> bool {
    match decision {
        Decision::Alert(transition) => transition.imported,
        Decision::Incident(update) => update.imported,
        _ => false,
    }
}
