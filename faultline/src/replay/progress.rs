//! How far a walk over the journal is.
use super::Place;
use faultline_formats::Record;
use faultline_model::{Millis, Position};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Between two looks at the progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// How far it is, on a terminal.
pub struct Progress {
    shown: bool,
    end: Position,
    /// The time at which it ends, and that of the first record.
    until: Millis,
    first: Option<(Position, Millis)>,
    /// Where the end is a record before the journal's.
    by_record: bool,
    events: u64,
    began: Instant,
    last: Instant,
}

impl Progress {
    /// Of a walk that ends at `to`, or where the journal ends: before record `next`, at the time `stamp`.
    pub fn new(next: Position, stamp: Millis, to: Option<Place>) -> Progress {
        let (end, until) = match to {
            Some(Place::At(at)) => (at.min(next), stamp),
            Some(Place::Time(time)) => (next, time.min(stamp)),
            _ => (next, stamp),
        };
        let (began, by_record) = (Instant::now(), !matches!(to, Some(Place::Time(_))));
        let shown = std::io::stderr().is_terminal();
        Progress { shown, end, until, first: None, by_record, events: 0, began, last: began }
    }

    /// A record was passed.
    pub fn record(&mut self, record: &Record) {
        self.events += record.decoded.events.count();
        if !self.shown || self.last.elapsed() < PROGRESS_EVERY {
            return;
        }
        self.last = Instant::now();
        let (at, time) = (record.at, record.stamp.millis());
        let (first, first_time) = *self.first.get_or_insert((at, time));
        let (done, all) = match self.by_record {
            true => ((at.offset - first.offset) as f64, self.end.offset.saturating_sub(first.offset) as f64),
            false => (time.since(first_time) as f64, self.until.since(first_time) as f64),
        };
        let percent = (100.0 * done / all.max(1.0)).min(100.0);
        let rate = self.events as f64 / self.began.elapsed().as_secs_f64().max(1e-9);
        eprint!("\r{percent:3.0} %  {} events  {rate:.0} events/s  {time}\u{1b}[K", self.events);
    }

    /// How long it has been.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Takes its line off the terminal.
    pub fn clear(&self) {
        if self.shown {
            eprint!("\r\u{1b}[K");
        }
    }
}
