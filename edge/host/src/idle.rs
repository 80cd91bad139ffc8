//! Threads that run only when no other wants a processor.
use crate::machine::yield_to_others;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

const NAME: &str = "faultline-idle";
/// How often it is looked whether such threads get a turn.
const EVERY: Duration = Duration::from_millis(100);
/// One that waits longer for it starves.
const STARVES: Duration = Duration::from_millis(100);

type Job = Box<dyn FnOnce() + Send>;

/// A few threads that run only while no other wants their processor: one that wakes takes it at once. For work beside what must not
/// wait for a millisecond: from a thread that merely yields ([`yield_to_others`]) others get the processor once its slice of one to
/// three is over. Not for work that holds for long a lock that others want.
///
/// On a machine that is busy for good such threads would hardly go on. So one of them does nothing but look how late it wakes: while
/// that is a tenth of a second, work is done on threads that merely yield, what was begun before is begun there once more, and what is
/// done first counts. Where the system knows no idle threads, these merely yield, too.
///
/// Source: sched(7), `SCHED_IDLE`, which needs no privilege and which a thread does not leave again without one.
pub struct WhenIdle {
    jobs: Sender<Job>,
    watch: Arc<Watch>,
}

impl WhenIdle {
    /// Starts the threads, which end with this.
    ///
    /// - `threads`: pieces of work at one time; further ones wait.
    /// - Errors: the system has no more threads.
    pub fn start(threads: usize) -> io::Result<WhenIdle> {
        let (jobs, queue) = channel();
        let (queue, watch) = (Arc::new(Mutex::new(queue)), Arc::new(Watch::new()));
        for _ in 0..threads {
            let queue = queue.clone();
            Builder::new().name(NAME.into()).spawn(move || {
                become_idle();
                while let Some(job) = next(&queue) {
                    job();
                }
            })?;
        }
        let looks = Arc::downgrade(&watch);
        Builder::new().name(NAME.into()).spawn(move || {
            become_idle();
            Watch::look(&looks);
        })?;
        Ok(WhenIdle { jobs, watch })
    }

    /// Does work on one of them and waits for it. Where it panics this does, too.
    ///
    /// - `work`: may be done twice.
    pub fn run<T: Send + 'static>(&self, work: impl Fn() -> T + Send + Sync + 'static) -> T {
        let (work, (done_in, done)) = (Arc::new(work), sync_channel(2));
        let job = || -> Job {
            let (work, done_in) = (Arc::downgrade(&work), done_in.clone());
            // Nobody waits any more for what is not there.
            Box::new(move || {
                if let Some(work) = work.upgrade() {
                    let _late = done_in.send(catch_unwind(AssertUnwindSafe(|| work())));
                }
            })
        };
        let ended = |done: thread::Result<T>| done.unwrap_or_else(|broke| resume_unwind(broke));
        if !self.starves() {
            self.jobs.send(job()).expect("the threads live as long as this");
            while !self.starves() {
                if let Ok(done) = done.recv_timeout(STARVES) {
                    return ended(done);
                }
            }
        }
        let job = job();
        let beside = Builder::new().spawn(|| {
            yield_to_others();
            job();
        });
        match beside {
            Ok(_) => ended(done.recv().expect("a job sends what came of it")),
            // The system has no more threads.
            Err(_) => work(),
        }
    }

    fn starves(&self) -> bool {
        self.watch.starves(self.watch.begun.elapsed())
    }
}

fn next(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    queue.lock().expect("no holder panics").recv().ok()
}

#[cfg(target_os = "linux")]
fn become_idle() {
    use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let this = thread_priority::thread_native_id();
    if thread_priority::set_thread_priority_and_policy(this, ThreadPriority::Min, idle).is_err() {
        yield_to_others();
    }
}

#[cfg(not(target_os = "linux"))]
fn become_idle() {
    yield_to_others();
}

/// What the thread that looks saw.
struct Watch {
    begun: Instant,
    /// When it is to wake, in microseconds since the beginning.
    due: AtomicU64,
    /// Whether it woke late the last time.
    late: AtomicBool,
}

impl Watch {
    fn new() -> Watch {
        Watch { begun: Instant::now(), due: AtomicU64::new(u64::MAX), late: AtomicBool::new(false) }
    }

    /// Looks until nobody wants to know.
    fn look(watch: &Weak<Watch>) {
        while let Some(it) = watch.upgrade() {
            it.sleeps(it.begun.elapsed());
            thread::sleep(EVERY);
            it.woke(it.begun.elapsed());
        }
    }

    fn sleeps(&self, now: Duration) {
        self.due.store((now + EVERY).as_micros() as u64, Ordering::Relaxed);
    }

    fn woke(&self, now: Duration) {
        self.late.store(self.lateness(now) > STARVES, Ordering::Relaxed);
    }

    fn lateness(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_micros(self.due.load(Ordering::Relaxed)))
    }

    /// Whether it is late, or was the last time.
    fn starves(&self, now: Duration) -> bool {
        self.late.load(Ordering::Relaxed) || self.lateness(now) > STARVES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wakes_late_starves_until_it_wakes_in_time() {
        let (watch, ms) = (Watch::new(), Duration::from_millis);
        assert!(!watch.starves(ms(0)), "it never slept");
        watch.sleeps(ms(10));
        for (at, starves) in [(10, false), (110, false), (210, false), (211, true)] {
            assert_eq!(watch.starves(ms(at)), starves, "{at}");
        }
        watch.woke(ms(900));
        assert!(watch.starves(ms(901)), "it woke late");
        watch.sleeps(ms(901));
        assert!(watch.starves(ms(950)), "late the last time");
        watch.woke(ms(1002));
        assert!(!watch.starves(ms(1002)), "in time");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_is_done_by_an_idle_thread_or_where_those_starve_by_one_that_yields() {
        use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy, thread_schedule_policy};
        let threads = WhenIdle::start(1).unwrap();
        let policy = || thread_schedule_policy().ok();
        threads.watch.late.store(true, Ordering::Relaxed);
        assert_eq!(threads.run(policy), Some(ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other)));
        // The thread that looks may set it again on a busy machine, then for as long as that lasts.
        let idle = Some(ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle));
        let mut tries = (0..600).map(|_| thread::sleep(Duration::from_millis(50)));
        while threads.run(policy) != idle {
            assert!(tries.next().is_some(), "no thread was idle");
        }
    }

    #[test]
    fn what_waits_for_a_thread_that_starves_is_begun_once_more() {
        let threads = WhenIdle::start(1).unwrap();
        let free = Arc::new(AtomicBool::new(false));
        let until_free = {
            let free = free.clone();
            move || {
                while !free.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| threads.run(until_free));
            let second = scope.spawn(|| threads.run(|| 7));
            // The one thread is taken by now, or machine and thread are slow and nothing is shown.
            thread::sleep(Duration::from_millis(50));
            let mut tries = 0..10_000;
            while !second.is_finished() && tries.next().is_some() {
                threads.watch.late.store(true, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
            let beside = second.is_finished();
            free.store(true, Ordering::Relaxed);
            assert!(beside, "it waited for the first");
            assert_eq!(second.join().unwrap(), 7);
        });
    }

    #[test]
    fn a_panic_is_the_callers_and_the_thread_goes_on() {
        let threads = WhenIdle::start(1).unwrap();
        let broken = catch_unwind(AssertUnwindSafe(|| threads.run(|| panic!("of the work"))));
        assert_eq!(broken.unwrap_err().downcast_ref(), Some(&"of the work"));
        assert_eq!(threads.run(|| 7), 7);
    }
}
