//! What time it is: the machine's answer, or a test's.
use faultline_model::Millis;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall clock and stopwatch.
pub trait Clock: Send + Sync {
    /// Wall time in ms since 1970 UTC. May go back; whoever needs order uses the journal's stamps.
    fn now(&self) -> Millis;

    /// Time since a fixed instant of this process; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Err(before) => Millis(i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms)),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that a test sets.
#[derive(Debug, Default)]
pub struct ManualClock {
    time: Mutex<(Millis, Duration)>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Millis) -> ManualClock {
        ManualClock { time: Mutex::new((now, Duration::ZERO)) }
    }

    /// Moves both clocks ahead.
    pub fn advance(&self, by: Duration) {
        let mut time = self.time.lock().expect("no holder panics");
        time.0 = time.0.plus(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
        time.1 += by;
    }

    /// Sets the wall clock, back too; the stopwatch stands still.
    pub fn set(&self, now: Millis) {
        self.time.lock().expect("no holder panics").0 = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.time.lock().expect("no holder panics").0
    }

    fn monotonic(&self) -> Duration {
        self.time.lock().expect("no holder panics").1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stopwatch_ignores_a_wall_clock_that_is_set_back() {
        let clock = ManualClock::at(Millis(1_000));
        clock.advance(Duration::from_millis(250));
        clock.set(Millis(10));
        assert_eq!((clock.now(), clock.monotonic()), (Millis(10), Duration::from_millis(250)));
        let clock = SystemClock::default();
        assert!(clock.now() > Millis(1_500_000_000_000));
        assert!(clock.monotonic() <= clock.monotonic());
    }
}
