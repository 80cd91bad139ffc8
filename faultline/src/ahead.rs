//! The journal read and decoded on other threads, ahead of whoever steps over it.
//!
//! Decoding is pure and needs only the journal's seed, so chunks are decoded in any order and handed on in theirs.
use faultline_formats::{Record, decode};
use faultline_host::{Item, ReadError, Reader};
use faultline_model::{Canonical, Control, Genesis, HashSeed, Kind, Position};
use std::cell::Cell;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Bytes read from the journal at a time: enough that handing over costs nothing, and little, because bodies that were made
/// to grow when inflated may take up to a thousand times as much, in each chunk that waits.
const CHUNK: usize = 128 << 10;
/// Most threads that decode: a few of them keep one engine busy.
const THREADS_MAX: usize = 6;

/// One thing read back, decoded.
pub enum Entry {
    /// A record.
    Record(Box<Record>),
    /// Leaves, as [`Item::Leaves`] has them.
    Leaves {
        /// The last record before them.
        after: Position,
        /// Canonical bytes, in ledger order.
        leaves: Vec<bytes::Bytes>,
    },
}

/// A chunk, or why there is none.
pub type Chunk = Result<Vec<Entry>, ReadError>;

/// A chunk to decode and where it goes.
type Job = (Vec<Item>, HashSeed, Sender<Vec<Entry>>);

/// Calls `take` with everything that `reader` has after record `after`, in order, decoded on other threads. They end when
/// `take` does.
///
/// - `seed`: of the journal, for where its record 0 is not among what is read.
pub fn ahead<T>(
    reader: &mut dyn Reader,
    after: Option<Position>,
    seed: HashSeed,
    take: impl FnOnce(&mut dyn Iterator<Item = Chunk>) -> T,
) -> T {
    if ALONE.get() {
        return take(&mut here(reader, after, seed));
    }
    let threads = thread::available_parallelism().map_or(1, usize::from).clamp(1, THREADS_MAX);
    let (jobs_in, jobs) = channel();
    let jobs = Mutex::new(jobs);
    thread::scope(|scope| {
        let (order_in, order) = sync_channel(threads + 2);
        let named = |name: &str| thread::Builder::new().name(format!("faultline-{name}"));
        let started = "a start can have threads";
        named("read").spawn_scoped(scope, move || read(reader, after, seed, &jobs_in, &order_in)).expect(started);
        for _ in 0..threads {
            named("decode").spawn_scoped(scope, || work(&jobs)).expect(started);
        }
        // Dropped before the threads are waited for: that is what ends them.
        let order: Receiver<Result<Receiver<Vec<Entry>>, ReadError>> = order;
        take(&mut order.into_iter().map(|next| next.map(|chunk| chunk.recv().expect("decoding is total"))))
    })
}

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`, in which whatever is read is decoded on this thread: the simulation has no other.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    let before = ALONE.replace(true);
    let done = work();
    ALONE.set(before);
    done
}

/// Everything after record `after`, read and decoded when it is asked for.
fn here(reader: &mut dyn Reader, mut after: Option<Position>, mut seed: HashSeed) -> impl Iterator<Item = Chunk> {
    std::iter::from_fn(move || match reader.read(after, CHUNK) {
        Ok(items) if items.is_empty() => None,
        Ok(items) => {
            pass(&items, &mut after, &mut seed);
            Some(Ok(items.into_iter().map(|item| entry(item, seed)).collect()))
        }
        Err(error) => Some(Err(error)),
    })
}

/// Where reading goes on behind `items`, and the seed that record 0 gives.
fn pass(items: &[Item], after: &mut Option<Position>, seed: &mut HashSeed) {
    for item in items {
        if let Item::Record(stored) = item {
            *after = Some(stored.at);
            if stored.payload.kind == Kind::Control(Control::Genesis)
                && let Ok(genesis) = Genesis::from_bytes(&stored.payload.body)
            {
                *seed = genesis.seed;
            }
        }
    }
}

fn read(
    reader: &mut dyn Reader,
    mut after: Option<Position>,
    mut seed: HashSeed,
    jobs: &Sender<Job>,
    order: &SyncSender<Result<Receiver<Vec<Entry>>, ReadError>>,
) {
    loop {
        let items = match reader.read(after, CHUNK) {
            Ok(items) if items.is_empty() => return,
            Ok(items) => items,
            Err(error) => {
                let _nobody_listens = order.send(Err(error));
                return;
            }
        };
        pass(&items, &mut after, &mut seed);
        let (done, decoded) = channel();
        if order.send(Ok(decoded)).is_err() || jobs.send((items, seed, done)).is_err() {
            return;
        }
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // Waiting for a job under the lock: the others have nothing to do then either.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((items, seed, done)) = job else { return };
        let _nobody_listens = done.send(items.into_iter().map(|item| entry(item, seed)).collect());
    }
}

fn entry(item: Item, seed: HashSeed) -> Entry {
    match item {
        Item::Record(stored) => Entry::Record(Box::new(Record {
            at: stored.at,
            stamp: stored.stamp,
            decoded: decode(stored.payload, seed),
        })),
        Item::Leaves { after, leaves } => Entry::Leaves { after, leaves },
    }
}
