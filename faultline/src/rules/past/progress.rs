//! How far a trial is, on a terminal.
use faultline_model::Millis;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two looks at the progress.
const EVERY: Duration = Duration::from_millis(250);

/// One line, written again and again.
pub struct Progress {
    shown: bool,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    told: Instant,
    samples: u64,
    /// The piece under way: its start, its share of all, and how many units are done.
    at: Millis,
    before: f64,
    share: f64,
    done: usize,
}

impl Progress {
    /// Nothing is done yet.
    pub fn new() -> Progress {
        let (began, shown) = (Instant::now(), std::io::stderr().is_terminal());
        let state = State { told: began, samples: 0, at: Millis(0), before: 0.0, share: 0.0, done: 0 };
        Progress { shown, began, state: Mutex::new(state) }
    }

    /// A piece begins, of so many ms of all.
    pub fn at(&self, at: Millis, (from, to): (Millis, Millis), piece_ms: i64) {
        let all = to.since(from).max(1) as f64;
        let mut state = self.state.lock().expect("no holder panics");
        (state.at, state.before, state.done) = (at, at.since(from) as f64 / all, 0);
        state.share = piece_ms as f64 / all;
    }

    /// A unit of so many is done with the piece.
    pub fn done(&self, samples: u64, units: usize) {
        let mut state = self.state.lock().expect("no holder panics");
        state.samples += samples;
        state.done += 1;
        if !self.shown || state.told.elapsed() < EVERY {
            return;
        }
        state.told = Instant::now();
        let percent = 100.0 * (state.before + state.share * state.done as f64 / units.max(1) as f64);
        let rate = state.samples as f64 / self.began.elapsed().as_secs_f64().max(1e-9);
        eprint!("\r{percent:3.0} %  {} samples  {rate:.0} samples/s  {}\u{1b}[K", state.samples, state.at);
    }

    /// Takes the line off the terminal.
    pub fn clear(&self) {
        if self.shown {
            eprint!("\r\u{1b}[K");
        }
    }
}
