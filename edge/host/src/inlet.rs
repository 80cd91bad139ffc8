//! The bounded queue between sockets and the loop, and the way an answer takes back.
//!
//! The limits count everything that is not yet answered: being read, being decoded, waiting or under way, so that memory
//! stays flat whatever is sent. Past them a sender is told when to come back, before its body costs a decoder's time. The loop blocks on a condition variable and is woken only when it
//! sleeps, which keeps system calls off the hot way.
mod room;

pub use room::{ReadingRoom, Room};

use faultline_formats::{Decoded, Reject};
use faultline_model::{Kind, Position};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How much may be under way at once. Our own records (controls, replies, ticks) may use all of it, telemetry all but a
/// sixteenth, so that a flood of telemetry cannot keep out a verdict or an operator.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of bodies, as received and inflated, and of decoded events.
    pub bytes: usize,
    /// Records.
    pub count: usize,
    /// Bytes of bodies that are still being read, beside `bytes`.
    pub reading: usize,
    /// What a refused sender is told to wait.
    pub retry_after: Duration,
}

impl Limits {
    /// Telemetry's share of one of the limits.
    fn telemetry(whole: usize) -> usize {
        whole - whole / 16
    }

    /// Telemetry's share of the bytes.
    fn telemetry_bytes(&self) -> usize {
        Limits::telemetry(self.bytes)
    }
}

/// What a sender learns once its record is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where the record stands.
    pub at: Position,
    /// What only `step` could refuse.
    pub rejects: Vec<Reject>,
}

/// Why a record was not taken. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Too much is under way. Send it again after the delay.
    #[error("too much is under way; retry in {} ms", retry_after.as_millis())]
    Full {
        /// When to come back.
        retry_after: Duration,
    },
    /// The journal has no room on disk. Send it again after the delay; an operator may have to make room.
    #[error("the journal's disk space is used up; retry in {} ms", retry_after.as_millis())]
    DiskFull {
        /// When to come back.
        retry_after: Duration,
    },
    /// It can never be taken: send less at once.
    #[error("{size} bytes in one request exceed the {limit} bytes that may be under way")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The most there may be.
        limit: usize,
    },
    /// The process is stopping. Whether the record was kept is not known: send it again.
    #[error("the server is stopping")]
    Stopping,
}

/// A queue within `limits`: the ends for sources and for the loop.
pub fn inlet(limits: Limits) -> (Inlet, Intake) {
    let shared = Arc::new(Shared {
        limits,
        state: Mutex::new(State {
            queue: VecDeque::new(),
            bytes: 0,
            count: 0,
            reading: 0,
            sleeping: false,
            stopping: false,
        }),
        arrived: Condvar::new(),
    });
    (Inlet { shared: Arc::clone(&shared) }, Intake { shared })
}

/// Where sources hand records in. Clones feed the same queue.
#[derive(Clone)]
pub struct Inlet {
    shared: Arc<Shared>,
}

impl Inlet {
    /// Hands in a record; resolves when it is durable, or says why it is not taken.
    pub async fn submit(&self, decoded: Decoded) -> Result<Answer, Refused> {
        self.offer(decoded)?.await
    }

    /// Hands in a record for which there is room already, and resolves as [`Inlet::submit`] does. Refused where it weighs
    /// more than was reserved and there is no room for the difference.
    pub async fn submit_in(&self, room: Room, decoded: Decoded) -> Result<Answer, Refused> {
        self.offer_in(room, decoded)?.await
    }

    /// Hands in a record without waiting for its answer.
    pub fn offer(&self, decoded: Decoded) -> Result<Pending, Refused> {
        let size = weight(&decoded);
        self.shared.admit(size, matches!(decoded.payload.kind, Kind::Telemetry { .. }))?;
        self.push(Room { size, shared: Arc::clone(&self.shared) }, decoded)
    }

    fn offer_in(&self, mut room: Room, decoded: Decoded) -> Result<Pending, Refused> {
        room.correct(weight(&decoded))?;
        self.push(room, decoded)
    }

    fn push(&self, room: Room, decoded: Decoded) -> Result<Pending, Refused> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.shared.lock();
        if state.stopping {
            // The room takes the lock when it goes.
            drop(state);
            return Err(Refused::Stopping);
        }
        state.queue.push_back(Submitted { decoded, reply: Reply { sender: Some(sender), room } });
        let wake = std::mem::take(&mut state.sleeping);
        drop(state);
        if wake {
            self.shared.arrived.notify_one();
        }
        Ok(Pending { receiver })
    }

    /// Refuses everything from now on; what is already queued is still taken. [`Intake::take_group`] then returns at once.
    pub fn stop(&self) {
        self.shared.lock().stopping = true;
        self.shared.arrived.notify_all();
    }

    /// Bytes and records under way now.
    pub fn load(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.bytes, state.count)
    }
}

/// An answer to come: a future, or [`Pending::wait`] on a thread outside the runtime.
pub struct Pending {
    receiver: oneshot::Receiver<Result<Answer, Refused>>,
}

impl Pending {
    /// Blocks until the answer is there. Not to be called on a thread of an async runtime.
    pub fn wait(self) -> Result<Answer, Refused> {
        self.receiver.blocking_recv().unwrap_or(Err(Refused::Stopping))
    }
}

impl Future for Pending {
    type Output = Result<Answer, Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(context).map(|answer| answer.unwrap_or(Err(Refused::Stopping)))
    }
}

/// Where the loop takes groups. Dropping it refuses everything, also what is queued.
pub struct Intake {
    shared: Arc<Shared>,
}

impl Intake {
    /// Takes what is queued, in order, as one group; blocks for up to `wait` while there is nothing.
    ///
    /// - `max_bytes`: of bodies as received; one record may exceed it alone.
    /// - `max_count`: records, at least 1.
    /// - Returns an empty group when the time is over, or at once when the inlet is stopped and empty.
    pub fn take_group(&self, wait: Duration, max_bytes: usize, max_count: usize) -> Vec<Submitted> {
        let deadline = Instant::now() + wait;
        let mut state = self.shared.lock();
        while state.queue.is_empty() && !state.stopping {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.sleeping = true;
            state = self.shared.arrived.wait_timeout(state, left).expect("no holder panics").0;
        }
        state.sleeping = false;
        let (mut bytes, mut count) = (0, 0);
        for submitted in state.queue.iter().take(max_count.max(1)) {
            bytes += submitted.decoded.payload.body.len();
            if count > 0 && bytes > max_bytes {
                break;
            }
            count += 1;
        }
        state.queue.drain(..count).collect()
    }

    /// Whether the inlet is stopped and everything queued was taken.
    pub fn finished(&self) -> bool {
        let state = self.shared.lock();
        state.stopping && state.queue.is_empty()
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopping = true;
        let queue = std::mem::take(&mut state.queue);
        // Replies take the lock when they go.
        drop(state);
        drop(queue);
    }
}

/// A record on its way, with the way back.
pub struct Submitted {
    /// The record.
    pub decoded: Decoded,
    /// Where its answer goes.
    pub reply: Reply,
}

/// The right to answer once. Dropped without an answer, the sender is told [`Refused::Stopping`].
pub struct Reply {
    sender: Option<oneshot::Sender<Result<Answer, Refused>>>,
    room: Room,
}

impl Reply {
    /// Answers; a sender that has gone away is no error.
    pub fn send(mut self, answer: Result<Answer, Refused>) {
        if let Some(sender) = self.sender.take() {
            let _gone = sender.send(answer);
        }
    }

    /// What a sender is told when the journal has no room: [`Refused::DiskFull`] with this inlet's delay.
    pub fn disk_full(self) {
        let retry_after = self.room.shared.limits.retry_after;
        self.send(Err(Refused::DiskFull { retry_after }));
    }
}

struct Shared {
    limits: Limits,
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    queue: VecDeque<Submitted>,
    /// Of everything not yet answered, and of what room is held for.
    bytes: usize,
    /// Of everything not yet answered, and of what room is held for.
    count: usize,
    /// Of bodies being read.
    reading: usize,
    /// The loop waits on `arrived` and nobody has woken it yet.
    sleeping: bool,
    stopping: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Takes room for a record of `size` bytes, of telemetry's share or of the whole.
    fn admit(&self, size: usize, telemetry: bool) -> Result<(), Refused> {
        let limits = &self.limits;
        let share = |whole: usize| if telemetry { Limits::telemetry(whole) } else { whole };
        if size > share(limits.bytes) {
            return Err(Refused::TooLarge { size, limit: share(limits.bytes) });
        }
        let mut state = self.lock();
        if state.stopping {
            return Err(Refused::Stopping);
        }
        if state.count >= share(limits.count) || state.bytes + size > share(limits.bytes) {
            return Err(Refused::Full { retry_after: limits.retry_after });
        }
        state.bytes += size;
        state.count += 1;
        Ok(())
    }
}

/// About what a record takes in memory, in bytes.
fn weight(decoded: &Decoded) -> usize {
    let events = &decoded.events;
    size_of::<Submitted>()
        + decoded.payload.body.len()
        + decoded.plain.len()
        + size_of_val(&*events.points)
        + events.histograms.iter().map(|point| point.size()).sum::<usize>()
        + events.exemplars.iter().map(|it| it.size()).sum::<usize>()
        + events.metadata.size()
        + size_of_val(&*events.resources)
        + size_of_val(&*events.logs)
        + size_of_val(&*events.spans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use faultline_formats::decode;
    use faultline_model::{Clock, Control, Encoding, Format, HashSeed, Payload, SourceId, TenantId};
    use std::thread;

    pub(super) const LIMITS: Limits =
        Limits { bytes: 1 << 20, count: 32, reading: 1 << 19, retry_after: Duration::from_millis(700) };
    const LONG: Duration = Duration::from_secs(20);

    fn record(kind: Kind, size: usize) -> Decoded {
        let body = Bytes::from(vec![b'x'; size]);
        decode(Payload { tenant: TenantId(0), kind, body }, HashSeed(1))
    }

    pub(super) fn telemetry(size: usize) -> Decoded {
        let (format, encoding, clock) = (Format::RemoteWrite1, Encoding::Identity, Clock::Live);
        record(Kind::Telemetry { source: SourceId([1; 16]), format, encoding, clock }, size)
    }

    pub(super) fn at(offset: u64) -> Answer {
        Answer { at: Position { partition: 0, offset }, rejects: Vec::new() }
    }

    #[test]
    fn groups_keep_order_and_bounds_and_answers_come_back() {
        let (inlet, intake) = inlet(LIMITS);
        let pending: Vec<Pending> = (1..=10).map(|size| inlet.offer(telemetry(size)).unwrap()).collect();
        let sizes = |group: &[Submitted]| group.iter().map(|s| s.decoded.payload.body.len()).collect::<Vec<_>>();
        let first = intake.take_group(LONG, 10, 100);
        assert_eq!(sizes(&first), [1, 2, 3, 4]);
        let second = intake.take_group(LONG, 0, 100);
        assert_eq!(sizes(&second), [5], "one record may exceed the bound alone");
        let third = intake.take_group(LONG, 1_000, 2);
        assert_eq!(sizes(&third), [6, 7]);
        let rest = intake.take_group(LONG, 1_000, 100);
        assert_eq!(sizes(&rest), [8, 9, 10]);
        assert!(intake.take_group(Duration::ZERO, 1_000, 100).is_empty());
        assert_eq!(inlet.load().1, 10, "taken is not answered");
        for (offset, submitted) in first.into_iter().chain(second).chain(third).chain(rest).enumerate() {
            submitted.reply.send(Ok(at(offset as u64)));
        }
        assert_eq!(inlet.load(), (0, 0));
        for (offset, pending) in pending.into_iter().enumerate() {
            assert_eq!(pending.wait(), Ok(at(offset as u64)));
        }
    }

    #[test]
    fn a_flood_is_refused_but_our_own_records_still_pass() {
        let (inlet, intake) = inlet(LIMITS);
        let mut kept = Vec::new();
        let refused = loop {
            match inlet.offer(telemetry(10)) {
                Ok(pending) => kept.push(pending),
                Err(refused) => break refused,
            }
        };
        assert_eq!((kept.len(), refused), (30, Refused::Full { retry_after: LIMITS.retry_after }));
        inlet.offer(record(Kind::Control(Control::Started), 0)).unwrap();
        inlet.offer(record(Kind::Tick, 0)).unwrap();
        assert!(matches!(inlet.offer(record(Kind::Tick, 0)), Err(Refused::Full { .. })));
        // Only an answer makes room, not being taken.
        let mut group = intake.take_group(LONG, usize::MAX, usize::MAX);
        assert!(matches!(inlet.offer(telemetry(10)), Err(Refused::Full { .. })));
        for submitted in group.drain(..3) {
            submitted.reply.disk_full();
        }
        inlet.offer(telemetry(10)).unwrap();
        assert_eq!(kept.remove(0).wait(), Err(Refused::DiskFull { retry_after: LIMITS.retry_after }));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let (inlet, _intake) = inlet(LIMITS);
        assert!(matches!(inlet.offer(telemetry(2 << 20)), Err(Refused::TooLarge { .. })));
        let taken = (0..30).take_while(|_| inlet.offer(telemetry(100_000)).is_ok()).count();
        assert!((3..10).contains(&taken), "{taken}");
        assert!(inlet.load().0 <= LIMITS.bytes);
    }

    #[test]
    fn stopping_drains_and_a_dropped_intake_tells_everyone() {
        let (inlet, intake) = inlet(LIMITS);
        let (kept, lost) = (inlet.offer(telemetry(1)).unwrap(), inlet.offer(telemetry(2)).unwrap());
        inlet.stop();
        assert!(matches!(inlet.offer(telemetry(1)), Err(Refused::Stopping)));
        assert!(!intake.finished());
        let group = intake.take_group(LONG, 1, 1);
        group.into_iter().for_each(|submitted| submitted.reply.send(Ok(at(0))));
        drop(intake);
        assert_eq!((kept.wait(), lost.wait()), (Ok(at(0)), Err(Refused::Stopping)));
        assert_eq!(inlet.load(), (0, 0));
    }

    #[test]
    fn a_sleeping_loop_is_woken_by_a_record_and_by_a_stop() {
        let (inlet, intake) = inlet(LIMITS);
        let loop_thread = thread::spawn(move || {
            let first = intake.take_group(LONG, 100, 100);
            first.into_iter().for_each(|submitted| submitted.reply.send(Ok(at(7))));
            (intake.take_group(LONG, 100, 100).len(), intake.finished())
        });
        thread::sleep(Duration::from_millis(20));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(inlet.submit(telemetry(5))), Ok(at(7)));
        inlet.stop();
        assert_eq!(loop_thread.join().unwrap(), (0, true));
    }
}
