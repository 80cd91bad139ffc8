//! The newest samples of one series, rising in time, in one contiguous slice.
use alloc::boxed::Box;
use alloc::vec::Vec;
use faultline_model::{Canonical, CodecError, Millis, Reader, Sample, Writer, canonical_struct, packed};
use faultline_promql::Marks;

/// Most samples kept of one series: an hour at five a second. Past it the ring is thinned.
pub const SAMPLES_MAX: usize = 18_000;
/// `keep` of a series that nobody reads: only its newest two samples are kept.
pub const UNREAD: i64 = -1;
/// How far back an instant selector looks for a sample, in ms: Prometheus' lookback.
pub const LOOKBACK_MS: i64 = 300_000;
/// A ring of so many samples has marks: below it they are looked for as fast.
const MARKED: usize = 128;
/// Room for so many samples more than twice those held is given back.
const SLACK: usize = 4;

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is the newest.
    Newest,
    /// It was put among or before newer ones.
    Inserted,
    /// It came too late for anything that reads the ring, and within the lookback: only the recent store takes it.
    Late,
    /// The same sample was there.
    Duplicate,
    /// Another value was there for the same time: the first one stays, as in Prometheus.
    Conflict,
    /// It came later than the lookback, and nothing reads that far back.
    TooOld,
}

/// Samples in rising time. Holds what lies within `keep` ms of rule time and the newest one before that, which is what an
/// instant selector reads there; and always the newest two. No sample that came is missing between those that it holds,
/// but for those that were thinned out, and one of which it holds fewer than two never had more: so it can be told from
/// when on a range that was not read so far is covered.
///
/// Memory: at most 16 bytes for each of twice its samples and [`SLACK`] more, as of its last change, and marks. Room is never part
/// of the state: what a ring does depends on its samples alone. From [`Ring::freeze`] to [`Ring::thaw`] nothing is given
/// back, and a change among samples that were there copies those that stay.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    // A prefix of `head` samples is dead: dropped, and not yet moved over.
    samples: Vec<Sample>,
    head: u32,
    // A prefix of `fixed` samples, dead or not, stays where it is: an image reads it.
    fixed: u32,
    // Of the samples, where there are many.
    marks: Option<Box<Marks>>,
}

/// A ring's samples when it was frozen: where they stand, or, so few that a place in the ring would cost more, themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stood {
    Few([Sample; 2], usize),
    Place { head: u32, end: u32 },
}

impl Ring {
    /// The samples, oldest first.
    #[inline]
    pub fn samples(&self) -> &[Sample] {
        &self.samples[self.head as usize..]
    }

    /// What is known of them, where there are many.
    #[inline]
    pub fn marks(&self) -> Option<&Marks> {
        self.marks.as_deref()
    }

    /// How many samples there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.samples.len() - self.head as usize
    }

    /// Keeps the samples where they are, so that they can be written as they are now.
    pub(crate) fn freeze(&mut self) -> Stood {
        let none = Sample::stale(Millis(0));
        match *self.samples() {
            [] => Stood::Few([none; 2], 0),
            [one] => Stood::Few([one, none], 1),
            [one, two] => Stood::Few([one, two], 2),
            _ => {
                self.fixed = self.samples.len() as u32;
                Stood::Place { head: self.head, end: self.fixed }
            }
        }
    }

    /// Writes the samples as they stood.
    pub(crate) fn write_image(&self, stood: &Stood, w: &mut Writer) {
        let samples = match stood {
            Stood::Few(samples, count) => &samples[..*count],
            Stood::Place { head, end } => &self.samples[*head as usize..*end as usize],
        };
        w.bytes(&packed::pack(samples));
    }

    /// Nobody needs the samples as they stood any more.
    pub(crate) fn thaw(&mut self) {
        self.fixed = 0;
        self.give_back();
    }

    /// Moves the samples out of the fixed prefix, behind it, before one of them changes.
    #[cold]
    fn unfix(&mut self) {
        let head = self.samples.len();
        self.samples.extend_from_within(self.head as usize..);
        self.head = head as u32;
    }

    /// Adds a sample at rule time `now`, dropping what is too old to be read.
    ///
    /// - `keep`: how far back from rule time the series is read, in ms, or [`UNREAD`].
    #[inline]
    pub fn push(&mut self, sample: Sample, now: Millis, keep: i64) -> Pushed {
        let horizon = horizon(now, keep);
        if let Some(last) = self.samples.last() {
            if sample.time() <= last.time() {
                return self.insert(sample, now, keep);
            }
            if self.samples.len() == 2 && self.head == 0 && self.fixed == 0 && last.time() <= horizon {
                // Most series of an estate are read by no range: they stay at two samples and one small allocation.
                self.samples[0] = self.samples[1];
                self.samples[1] = sample;
                return Pushed::Newest;
            }
        }
        self.expire(horizon);
        if self.samples.len() == self.samples.capacity() {
            self.make_room();
        }
        let before = self.samples.last().copied();
        self.samples.push(sample);
        self.mark(before, sample, None);
        Pushed::Newest
    }

    /// Takes a sample that came between these two to the marks.
    #[inline]
    fn mark(&mut self, before: Option<Sample>, sample: Sample, after: Option<Sample>) {
        match &mut self.marks {
            Some(marks) => marks.inserted(before, sample, after),
            None => self.mark_all(),
        }
    }

    #[inline]
    fn mark_all(&mut self) {
        self.marks = (self.len() >= MARKED).then(|| Box::new(Marks::of(self.samples())));
    }

    /// Drops samples that nothing reads any more at rule time `now`, but never the newest two. Returns how many.
    pub fn trim(&mut self, now: Millis, keep: i64) -> usize {
        let before = self.len();
        // Like a push, which leaves one beside the sample that it adds.
        let Some(newest) = self.samples.pop() else { return 0 };
        self.expire(horizon(now, keep));
        self.samples.push(newest);
        before - self.len()
    }

    /// Drops every sample whose successor is at or before the horizon too, but never the newest.
    #[inline]
    fn expire(&mut self, horizon: Millis) {
        let live = self.samples();
        let mut dead = 0;
        while dead + 1 < live.len() && live[dead + 1].time() <= horizon {
            dead += 1;
        }
        if dead > 0 {
            self.head += dead as u32;
            self.begins();
            self.give_back();
        }
    }

    /// Samples at the front went.
    #[inline]
    fn begins(&mut self) {
        let Some(marks) = &mut self.marks else { return };
        match self.samples.get(self.head as usize) {
            Some(first) if self.samples.len() - self.head as usize >= MARKED / 2 => marks.begins(first.time()),
            _ => self.marks = None,
        }
    }

    /// Gives up every second sample or more, evenly in time: the first and the last stay, and those at least a certain
    /// gap after the last that stayed. So the span stays, and with it what a rate, an increase or a delta over it is; the
    /// resolution falls. Returns how many went: at least one of three or more, and all but `len / 2 + 2` of many.
    pub fn thin(&mut self) -> usize {
        let before = self.len();
        if before < 3 {
            return 0;
        }
        if self.head < self.fixed {
            self.unfix();
        }
        let (head, last) = (self.head as usize, self.samples.len() - 1);
        let span = self.samples[last].time().since(self.samples[head].time());
        let gap = (2 * span as u64).div_ceil(before as u64) as i64;
        let first = if self.fixed > 0 { head } else { 0 };
        let (mut end, mut kept) = (first + 1, self.samples[head].time());
        self.samples[first] = self.samples[head];
        for i in head + 1..last {
            let sample = self.samples[i];
            if sample.time().since(kept) >= gap {
                (self.samples[end], kept) = (sample, sample.time());
                end += 1;
            }
        }
        // A few samples may lie that far apart already: then the newest takes the place of the one before it.
        end -= usize::from(end + 1 - first == before);
        self.samples[end] = self.samples[last];
        self.samples.truncate(end + 1);
        self.head = first as u32;
        self.mark_all();
        self.give_back();
        before - self.len()
    }

    /// Makes room for one more: over the dead prefix if a quarter is dead, so that a sample is moved three times at most
    /// on average, or by growing by a half.
    #[cold]
    fn make_room(&mut self) {
        if self.fixed > 0 {
            self.samples.reserve_exact((self.samples.len() / 2).max(2));
        } else if self.head as usize * 4 >= self.samples.len().max(1) {
            self.samples.drain(..self.head as usize);
            self.head = 0;
        } else {
            self.resize();
        }
    }

    /// Gives back what is far too much room.
    #[inline]
    fn give_back(&mut self) {
        if self.fixed == 0 && self.samples.capacity() > 2 * self.len() + SLACK {
            self.resize();
        }
    }

    #[cold]
    fn resize(&mut self) {
        let live = self.samples();
        let mut samples = Vec::with_capacity((live.len() + live.len() / 2).max(2));
        samples.extend_from_slice(live);
        (self.samples, self.head) = (samples, 0);
    }

    /// Puts samples of before those that are there in front of them: of `older`, rising, those before `before` whose times are
    /// not there. Then drops what is too old to be read at rule time `now`.
    pub(crate) fn recall(&mut self, older: &[Sample], before: Millis, now: Millis, keep: i64) {
        let live = self.samples();
        let end = live.partition_point(|sample| sample.time() < before);
        let older = &older[..older.partition_point(|sample| sample.time() < before)];
        let front = merged(&live[..end], older, Sample::time);
        if front.len() == end {
            return;
        }
        if self.head < self.fixed {
            self.unfix();
        }
        let head = self.head as usize;
        self.samples.splice(head..head + end, front);
        self.mark_all();
        self.expire(horizon(now, keep));
        self.give_back();
    }

    #[cold]
    fn insert(&mut self, sample: Sample, now: Millis, keep: i64) -> Pushed {
        let live = self.samples();
        let at = live.partition_point(|s| s.time() < sample.time());
        let next = live[at];
        if next.time() == sample.time() {
            // Bits, not values: a repeated NaN is a duplicate too.
            let same = next.is_stale() == sample.is_stale() && next.value().to_bits() == sample.value().to_bits();
            return if same { Pushed::Duplicate } else { Pushed::Conflict };
        }
        let horizon = horizon(now, keep);
        let late = next.time() <= horizon || sample.time() <= horizon.plus(-LOOKBACK_MS);
        let (drops, adds) = (late && at > 0, !late || live.len() == 1);
        let before = at.checked_sub(1).map(|i| live[i]);
        if (drops || adds) && self.head < self.fixed {
            self.unfix();
        }
        let head = self.head as usize;
        if drops {
            // Those before it are not read either. Without it they would look as if nothing had come after them.
            self.samples[head + at - 1] = sample;
            self.head += at as u32 - 1;
            self.begins();
            self.give_back();
        } else if adds && self.head > self.fixed && at < self.len() / 2 {
            // Nearer to the front: those before it move into the dead prefix.
            self.samples.copy_within(head..head + at, head - 1);
            self.samples[head - 1 + at] = sample;
            self.head -= 1;
        } else if adds {
            if self.samples.len() == self.samples.capacity() {
                self.make_room();
            }
            self.samples.insert(self.head as usize + at, sample);
        }
        if adds || drops {
            self.mark(before.filter(|_| adds), sample, Some(next));
        }
        if late {
            return if sample.time() > now.plus(-LOOKBACK_MS) { Pushed::Late } else { Pushed::TooOld };
        }
        // One sample far ahead would otherwise put off every trim until its time has come.
        self.expire(horizon);
        Pushed::Inserted
    }
}

/// Both, rising in time; of two of one time that of `first`.
pub(crate) fn merged<T: Clone>(first: &[T], second: &[T], time: impl Fn(&T) -> Millis) -> Vec<T> {
    let mut all = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.iter().peekable(), second.iter().peekable());
    while let Some(it) = first.peek() {
        all.extend(second.next_if(|other| time(other) < time(it)).cloned());
        if second.peek().is_none_or(|other| time(other) >= time(it)) {
            second.next_if(|other| time(other) == time(it));
            all.extend(first.next().cloned());
        }
    }
    all.extend(second.cloned());
    all
}

/// The time before which only the newest sample is read.
#[inline]
pub(crate) fn horizon(now: Millis, keep: i64) -> Millis {
    if keep == UNREAD { Millis(i64::MAX) } else { now.plus(-keep) }
}

impl Canonical for Ring {
    fn write(&self, w: &mut Writer) {
        w.bytes(&packed::pack(self.samples()));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let refused = r.invalid("ring of samples");
        let samples = packed::unpack(r.bytes()?).ok_or(refused)?;
        let mut ring = Ring { samples, ..Ring::default() };
        ring.mark_all();
        Ok(ring)
    }
}

/// Counts of what became of samples since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleCounts {
    /// Applied.
    pub accepted: u64,
    /// Left out because the same sample was there.
    pub duplicates: u64,
    /// Refused because another value was there for the same time.
    pub conflicts: u64,
    /// Refused because they came later than the lookback.
    pub too_old: u64,
    /// Refused because their time lies too far ahead of rule time.
    pub future: u64,
    /// Refused because there are too many series.
    pub cardinality: u64,
    /// Accepted, and given up again before their time to keep a ring or all rings within bounds.
    pub thinned: u64,
}
canonical_struct!(SampleCounts { accepted, duplicates, conflicts, too_old, future, cardinality, thinned });

#[cfg(test)]
mod tests;
