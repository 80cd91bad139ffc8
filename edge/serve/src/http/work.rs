//! What takes long beside what must not wait: evaluations and look-ups, few at a time.
use super::Api;
use super::answer::PromError;
use crate::store::Store;
use faultline_host::{WhenIdle, thread_time};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::{block_in_place, spawn_blocking};

/// Evaluations and look-ups at a time.
const AT_ONCE: usize = 2;
/// How long one waits for others to end.
const WAIT: Duration = Duration::from_secs(1);
/// What may be had of a processor on the spot, at once and then every second.
const BURST: Duration = Duration::from_millis(200);
const A_SECOND: Duration = Duration::from_millis(20);

/// How much a piece of work may read where it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Share {
    /// What takes less long than to be handed to another thread.
    Little,
    /// Everything.
    All,
}

/// What holds queries back.
pub(super) struct Queries {
    permits: Arc<Semaphore>,
    spent: Mutex<Spent>,
    /// Started when first wanted.
    threads: OnceLock<Option<WhenIdle>>,
}

impl Default for Queries {
    fn default() -> Queries {
        let spent = Spent { level: Duration::ZERO, at: Instant::now() };
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        Queries { permits, spent: Mutex::new(spent), threads: OnceLock::new() }
    }
}

impl Queries {
    /// Does it here where little was spent here of late; none where that was not so, or it takes more than little. Most of what is asked
    /// takes less long than to be handed to a thread and back; but who asks on and on must not hold up detection.
    fn here<T>(&self, work: impl FnOnce(Share) -> Option<T>) -> Option<T> {
        if !self.spent(Duration::ZERO) {
            return None;
        }
        let begun = thread_time();
        let done = work(Share::Little);
        self.spent(thread_time().saturating_sub(begun));
        done
    }

    /// Does it on a thread that runs when no other does, and waits for it.
    fn elsewhere<T: Send + 'static>(&self, work: impl Fn(Share) -> Option<T> + Send + Sync + 'static) -> Option<T> {
        match self.threads.get_or_init(|| WhenIdle::start(AT_ONCE).ok()) {
            Some(threads) => threads.run(move || work(Share::All)),
            // The system has no more.
            None => work(Share::All),
        }
    }

    /// Adds what was spent on the spot, and says whether more may be.
    fn spent(&self, more: Duration) -> bool {
        self.spent.lock().expect("no holder panics").add(more, Instant::now()) < BURST
    }
}

/// Time spent on the spot, as it wears off.
struct Spent {
    level: Duration,
    at: Instant,
}

impl Spent {
    /// What counts now.
    fn add(&mut self, more: Duration, now: Instant) -> Duration {
        let gone = now.saturating_duration_since(self.at).mul_f64(A_SECOND.as_secs_f64());
        *self = Spent { level: self.level.saturating_sub(gone) + more, at: now };
        self.level
    }
}

impl Api {
    /// Does what may take long where it holds up no other answer, few at a time.
    ///
    /// - `work`: where it would read more than its share it gives nothing, and is done again elsewhere, twice even.
    pub(super) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Fn(&Store, Share) -> Option<T> + Send + Sync + 'static,
    ) -> Result<T, PromError> {
        let store = self.store.clone();
        let work = move |share| work(&store, share);
        // Little is little enough for a thread that has other connections: no other is woken for it.
        let broke = || PromError::internal("what was asked broke the server's work on it; this is our fault".into());
        let here = catch_unwind(AssertUnwindSafe(|| self.queries.here(&work))).map_err(|_| broke())?;
        if let Some(done) = here {
            return Ok(done);
        }
        let permit = tokio::time::timeout(WAIT, Arc::clone(&self.queries.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(PromError::unavailable("too many queries at once; ask again".into()));
        };
        let api = self.clone();
        let work = move || {
            let _held = permit;
            catch_unwind(AssertUnwindSafe(|| api.queries.elsewhere(work))).ok().flatten()
        };
        let done = match Handle::current().runtime_flavor() {
            // There is no other thread to leave this one's other tasks to.
            RuntimeFlavor::CurrentThread => spawn_blocking(work).await.ok().flatten(),
            _ => block_in_place(work),
        };
        done.ok_or_else(broke)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_wears_off() {
        let (begun, ms) = (Instant::now(), Duration::from_millis);
        let mut spent = Spent { level: Duration::ZERO, at: begun };
        // When, what was spent, and what counts then.
        for (at, more, counts) in [(0, 150, 150), (0, 100, 250), (1000, 0, 230), (3500, 0, 180), (60_000, 5, 5)] {
            assert_eq!(spent.add(ms(more), begun + ms(at)).as_millis(), counts, "at {at} ms");
        }
    }

    #[test]
    fn work_is_done_here_where_it_is_little_until_that_was_much() {
        let queries = Queries::default();
        let here = std::thread::current().id();
        let on = |least| {
            let work = move |share| (share >= least).then(|| std::thread::current().id());
            queries.here(work).or_else(|| queries.elsewhere(work))
        };
        assert_eq!(on(Share::Little), Some(here));
        assert_ne!(on(Share::All), Some(here), "it reads more");
        queries.spent(Duration::from_secs(60));
        assert_ne!(on(Share::Little), Some(here), "much was spent");
    }
}
