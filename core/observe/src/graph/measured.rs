//! Windows of figures that come by scrape: as long as the step at which they come, from ten seconds to an hour.
//!
//! A window lies around the instants of its scrapes (from half a step before to half a step after), so that a scrape that is
//! a little early or late stays in its own. What one scrape brings counts in the window in which it came, whole: it is of
//! the step before it. After missed scrapes it covers several steps and counts as one of them.
use super::limits::{STEP_LEAST, STEP_MOST, WINDOWS};
use super::seconds::Amounts;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use faultline_model::{Canonical, CodecError, Millis, Reader, Writer};

/// Steps in a row that are longer than the usual before they are the usual.
const LONGER: u32 = 64;

/// One window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window<A> {
    /// Its end.
    pub end: Millis,
    /// What came in it.
    pub amounts: A,
    /// How many increases came: without any, nobody said anything.
    pub told: u32,
}

/// The open window and the last [`WINDOWS`] closed ones, oldest first. The default has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Windows<A> {
    step: i64,
    longer: u32,
    open: Window<A>,
    closed: VecDeque<Window<A>>,
}

/// What a new sample of a counter brings to the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing: it is of a time that is closed.
    Late,
    /// It counts in the open window, divided by so many ms and multiplied by the step, where that is not the usual.
    Counts,
    /// The same after missed scrapes: one of so many steps.
    Share(i64),
}

impl<A: Amounts> Windows<A> {
    /// Length of a window, in ms; 0 before the second scrape.
    pub fn step(&self) -> i64 {
        self.step
    }

    /// The open window's amounts, for adding to.
    pub fn add(&mut self, amounts: &A) {
        self.open.amounts.add(amounts);
        self.open.told += 1;
    }

    /// Closed windows and, where anything came in it, the open one; newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Window<A>> {
        let open = core::iter::once(&self.open).filter(|window| window.told > 0);
        open.chain(self.closed.iter().rev())
    }

    /// Takes note of a sample at `at`, `apart` ms after the one before it of its series. Windows that end before it are
    /// closed and appended to `out`; with another step all that was known starts anew, and `anew` says so.
    pub fn arrive(&mut self, at: Millis, apart: i64, out: &mut Vec<Window<A>>) -> (Arrival, bool) {
        if !(1..=STEP_MOST).contains(&apart) {
            return (Arrival::Late, false);
        }
        let apart = apart.max(STEP_LEAST);
        let long = apart * 2 > self.step * 3;
        self.longer = if long { self.longer + 1 } else { 0 };
        let anew = self.step == 0 || apart * 4 < self.step * 3 || self.longer > LONGER;
        if anew {
            *self = Windows { step: apart, ..Windows::default() };
            self.open.end = at.plus(apart / 2);
        }
        if at <= self.open.end.plus(-self.step) {
            return (Arrival::Late, anew);
        }
        self.close(at, out);
        let steps = (apart + self.step / 2) / self.step;
        (if long && !anew && steps > 1 { Arrival::Share(steps) } else { Arrival::Counts }, anew)
    }

    /// Closes the windows that end before `at` and appends them to `out`: at most as many as are kept.
    pub fn close(&mut self, at: Millis, out: &mut Vec<Window<A>>) {
        if self.step == 0 || self.open.end >= at {
            return;
        }
        let steps = (at.since(self.open.end) + self.step - 1) / self.step;
        for _ in 0..steps.min(WINDOWS as i64) {
            let end = self.open.end.plus(self.step);
            let window = core::mem::replace(&mut self.open, Window { end, ..Window::default() });
            if self.closed.len() == WINDOWS {
                self.closed.pop_front();
            }
            self.closed.push_back(window);
            out.push(window);
        }
        self.open.end = self.open.end.plus(self.step * (steps - steps.min(WINDOWS as i64)));
    }

    /// When the open window is over although nothing has closed it: half a step after the scrape that should have.
    pub fn overdue(&self) -> Option<Millis> {
        (self.step > 0).then(|| self.open.end.plus(self.step))
    }
}

impl<A: Amounts> Canonical for Window<A> {
    fn write(&self, w: &mut Writer) {
        w.array(3);
        self.end.write(w);
        self.amounts.write(w);
        self.told.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array_of(3)?;
        Ok(Window { end: Canonical::read(r)?, amounts: Canonical::read(r)?, told: Canonical::read(r)? })
    }
}

impl<A: Amounts> Canonical for Windows<A> {
    fn write(&self, w: &mut Writer) {
        w.array(3 + self.closed.len());
        self.step.write(w);
        self.longer.write(w);
        self.open.write(w);
        self.closed.iter().for_each(|window| window.write(w));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let refused = r.invalid("windows");
        let count = r.array()?.checked_sub(3).filter(|&count| count <= WINDOWS).ok_or(refused.clone())?;
        let mut windows = Windows { step: r.int()?, longer: Canonical::read(r)?, ..Windows::default() };
        windows.open = Canonical::read(r)?;
        for _ in 0..count {
            windows.closed.push_back(Canonical::read(r)?);
        }
        let sound = windows.step == 0 || (STEP_LEAST..=STEP_MOST).contains(&windows.step);
        if sound { Ok(windows) } else { Err(refused) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::seconds::Served;
    use super::*;

    fn play(scrapes: &[(i64, i64)]) -> (Windows<Served>, Vec<i64>) {
        let (mut windows, mut closed) = (Windows::<Served>::default(), Vec::new());
        for &(at, apart) in scrapes {
            let requests = match windows.arrive(Millis(at * 1000), apart * 1000, &mut closed).0 {
                Arrival::Late => continue,
                Arrival::Counts => apart,
                Arrival::Share(steps) => apart / steps,
            };
            windows.add(&Served { requests, ..Served::default() });
        }
        (windows, closed.iter().map(|window| window.amounts.requests).collect())
    }

    #[test]
    fn each_scrape_fills_one_window_whatever_the_step() {
        for (scrapes, step, closed, open) in [
            // Steady, by the step of the data.
            (&[(60, 60), (120, 60), (180, 60)][..], 60, &[60, 60][..], 60),
            (&[(300, 300), (600, 300), (900, 300)], 300, &[300, 300], 300),
            // Two targets, out of step with one another.
            (&[(60, 60), (80, 60), (120, 60), (140, 60)], 60, &[120], 120),
            // A little early or late.
            (&[(60, 60), (118, 58), (181, 63), (240, 59)], 60, &[60, 58, 63], 59),
            // One scrape missed: its window is empty, and what came after it is of two steps.
            (&[(60, 60), (120, 60), (240, 120), (300, 60)], 60, &[60, 60, 0, 60], 60),
            // Every second: windows of ten.
            (&[(1, 1), (2, 1), (3, 1), (13, 1)], 10, &[3], 1),
            // A step that is shorter after all: what was known starts anew.
            (&[(600, 300), (900, 300), (915, 15), (930, 15)], 15, &[300, 15], 15),
            // Of the past, and of nobody's clock.
            (&[(600, 60), (500, 60), (660, 0), (660, 4_000)], 60, &[], 60),
        ] {
            let (windows, told) = play(scrapes);
            assert_eq!((windows.step(), &told[..]), (step * 1000, closed), "{scrapes:?}");
            assert_eq!(windows.open.amounts.requests, open, "{scrapes:?}");
            let bytes = windows.to_bytes();
            assert_eq!(Windows::<Served>::from_bytes(&bytes), Ok(windows));
        }
    }

    #[test]
    fn a_long_pause_keeps_what_is_kept() {
        let (mut windows, mut closed) = (Windows::<Served>::default(), Vec::new());
        windows.arrive(Millis(60_000), 60_000, &mut closed);
        windows.close(Millis(86_400_000), &mut closed);
        assert_eq!((closed.len(), windows.newest().count()), (WINDOWS, WINDOWS));
        assert!(windows.open.end >= Millis(86_400_000) && windows.open.end < Millis(86_460_000));
    }
}
