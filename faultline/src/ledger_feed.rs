//! The ledger's way out: leaves that are durable in the journal go to sinks at once and into tiles soon after.
use crate::tiles::Group;
use faultline_ledger::Head;
use faultline_storage::{LedgerError, LedgerReader};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// Leaves kept in memory for sinks that keep up; those that do not read the tiles.
const TAIL_MAX: usize = 16_384;
/// Groups of leaves that may wait for the tiles.
const DEPTH: usize = 256;

/// Leaves on their way to sinks and tiles.
pub struct LedgerFeed {
    tail: Mutex<Tail>,
    arrived: Condvar,
    /// Nobody else would bring about what is waited for: the simulation steps everything on one thread.
    alone: AtomicBool,
    tiles: SyncSender<Group>,
    reader: LedgerReader,
}

struct Tail {
    leaves: VecDeque<Box<[u8]>>,
    end: u64,
    head: Option<Head>,
    stopped: bool,
}

impl LedgerFeed {
    /// A feed whose next leaf is number `end`, and what those who keep tiles ([`crate::tiles::Tiles`]) read.
    pub fn new(end: u64, head: Option<Head>, reader: LedgerReader) -> (LedgerFeed, Receiver<Group>) {
        let (tiles, receiver) = sync_channel(DEPTH);
        let tail = Mutex::new(Tail { leaves: VecDeque::new(), end, head, stopped: false });
        (LedgerFeed { tail, arrived: Condvar::new(), alone: AtomicBool::new(false), tiles, reader }, receiver)
    }

    /// From now on nothing waits: what is not so yet is not going to be.
    pub fn never_wait(&self) {
        self.alone.store(true, Ordering::Relaxed);
    }

    /// How long is left of a wait until `deadline`.
    fn left(&self, deadline: Instant) -> Duration {
        if self.alone.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        deadline.saturating_duration_since(Instant::now())
    }

    /// Takes leaves that are durable in the journal. Panics on a gap.
    pub fn push(&self, group: Group) {
        let Group { first, leaves, .. } = &group;
        let mut tail = self.lock();
        assert_eq!(*first, tail.end, "leaves come in order");
        for leaf in leaves {
            if tail.leaves.len() == TAIL_MAX {
                tail.leaves.pop_front();
            }
            tail.leaves.push_back(leaf.clone());
        }
        tail.end += leaves.len() as u64;
        drop(tail);
        self.arrived.notify_all();
        // The thread that keeps the tiles ends only with an error that stops the process.
        let _ended = self.tiles.send(group);
    }

    /// Number of leaves taken.
    pub fn taken(&self) -> u64 {
        self.lock().end
    }

    /// The head published last.
    pub fn head(&self) -> Option<Head> {
        self.lock().head
    }

    /// Leaves `from..`, at most `max`; empty where there is none yet.
    pub fn read(&self, from: u64, max: usize) -> Result<Vec<Box<[u8]>>, LedgerError> {
        let head = {
            let tail = self.lock();
            let oldest = tail.end - tail.leaves.len() as u64;
            if from >= oldest {
                let skip = usize::try_from(from - oldest).unwrap_or(usize::MAX);
                return Ok(tail.leaves.iter().skip(skip).take(max).cloned().collect());
            }
            tail.head
        };
        // Older than memory holds: in the tiles, or about to be.
        head.map_or(Ok(Vec::new()), |head| self.reader.leaves(head, from, max))
    }

    /// Blocks until there is a leaf number `from`, the time is over, or the feed has stopped; says whether it goes on.
    pub fn wait(&self, from: u64, longest: Duration) -> bool {
        let deadline = Instant::now() + longest;
        let mut tail = self.lock();
        while tail.end <= from && !tail.stopped {
            let left = self.left(deadline);
            if left.is_zero() {
                break;
            }
            tail = self.arrived.wait_timeout(tail, left).expect("no holder panics").0;
        }
        !tail.stopped
    }

    /// Blocks until a signed head covers the first `leaves` leaves, or the time is over; says whether one does.
    pub fn published(&self, leaves: u64, longest: Duration) -> bool {
        let deadline = Instant::now() + longest;
        let mut tail = self.lock();
        while tail.head.map_or(0, |head| head.size) < leaves {
            let left = self.left(deadline);
            if left.is_zero() {
                return false;
            }
            tail = self.arrived.wait_timeout(tail, left).expect("no holder panics").0;
        }
        true
    }

    /// Tells sinks that no leaf will come any more.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.arrived.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tail> {
        self.tail.lock().expect("no holder panics")
    }

    /// Whether sinks were told that no leaf will come any more.
    pub fn has_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// A head was published.
    pub fn set_head(&self, head: Head) {
        self.lock().head = Some(head);
        self.arrived.notify_all();
    }
}
