//! Lines of log records: how many requests a service serves from one record of a line to the next, and which lines stay away.
//!
//! Code that throws, or returns too early, no longer reaches what it wrote after that. Where nothing else tells (no status, no line that is
//! new), what is missing does. The clock is the service's own work: a line that came with every request or two, and not once in the last
//! eighty while others still did, is missing; one of a quiet night is not.
//!
//! - A gap is counted in requests that arrived between two records of a line; records of one instant make none.
//! - The chance of a gap falls off by the largest of three lengths, which are all the mean gap where chance alone makes them: that mean,
//!   how long one waits from any instant (the mean square over twice the mean: Feller, "An Introduction to Probability Theory", volume II,
//!   XI.4), and the longest over `ln n + 0.577` of `n` gaps (Gumbel). So lines that come in bursts, by a daily job, or in batches of
//!   their sender are given the time they take.
//! - A line is not missing where the service has written nothing since, where an operation of the service has not been asked since,
//!   or where the same words now come from another place: that is a release.
//!
//! Limits: seen is a line that stays away altogether, of all instances of a service; and only where server spans tell of requests. A level
//! of logging that is changed while it runs looks the same.
use super::index::mix;
use super::keyed::{About, Keyed};
use super::limits::LOG_LINES;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use faultline_model::{Millis, canonical_struct, float, freeze_by_copy};

/// Gaps of a line from which on it is known how long they are.
const GAPS_LEAST: u32 = 10;
/// Gaps after which old ones count half.
const GAPS_HALVE: u32 = 1_024;
/// How long before the onset a line may have come last and be missed since, in ms: alerts come after their causes.
const MISSED_BEFORE: i64 = 300_000;
/// An operation that was asked last so many ms from a line's last record, or the service's usual time between two bodies, may be what wrote it.
const BESIDE: i64 = 2_000;
/// The longest such time, in ms.
const BESIDE_MOST: i64 = 10_000;
/// Euler's constant: the longest of `n` exponential gaps is about `ln n` and this many means long.
const EULER: f64 = 0.577;

/// Requests of a service, counted so that those of one instant do not hang on the order in which they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Those that arrived before `at`.
    before: u64,
    at: Millis,
    /// Those that arrived at `at`.
    now: u64,
}
canonical_struct!(Work { before, at, now });

impl Work {
    /// A request arrived at `at`, which does not fall.
    pub fn count(&mut self, at: Millis) {
        if at != self.at {
            (self.before, self.at, self.now) = (self.before + self.now, at, 0);
        }
        self.now += 1;
    }

    /// How many arrived before `at`.
    pub fn until(&self, at: Millis) -> u64 {
        self.before + if at > self.at { self.now } else { 0 }
    }
}

/// A record that was written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// By which service.
    pub service: u32,
    /// Its words.
    pub kind: u64,
    /// Its words and its place in the code; 0 is none.
    pub line: u64,
    /// Requests that the service had been asked by then.
    pub asked: u64,
}

/// One line of one service.
#[derive(Clone, Debug)]
pub struct Line {
    service: u32,
    kind: u64,
    line: u64,
    first: Millis,
    last: Millis,
    /// Requests that the service had been asked when it came last.
    asked: u64,
    /// How many gaps there were, how long together, their squares together, and the longest.
    gaps: u32,
    between: u64,
    squares: u64,
    longest: u64,
}
canonical_struct!(Line { service, kind, line, first, last, asked, gaps, between, squares, longest });
freeze_by_copy!(Line);

impl Line {
    fn came(&mut self, asked: u64, at: Millis) {
        let gap = asked.saturating_sub(self.asked);
        if gap > 0 {
            if self.gaps >= GAPS_HALVE {
                (self.gaps, self.between, self.squares) = (self.gaps / 2, self.between / 2, self.squares / 2);
                // What was longest once need not be for ever.
                self.longest -= self.longest / 4;
            }
            (self.gaps, self.between) = (self.gaps + 1, self.between.saturating_add(gap));
            self.squares = self.squares.saturating_add(gap.saturating_mul(gap));
            self.longest = self.longest.max(gap);
        }
        (self.asked, self.last) = (asked, at);
    }

    /// How many records of it chance would have brought in `requests`.
    fn expected(&self, requests: u64) -> f64 {
        let (gaps, between) = (f64::from(self.gaps), self.between as f64);
        let waited = self.squares as f64 / (2.0 * between);
        let rare = self.longest as f64 / (float::ln(gaps) + EULER);
        requests as f64 / float::max(between / gaps, float::max(waited, rare))
    }
}

impl About for Line {
    const TABLE: &'static str = "log-lines";
    const MOST: usize = LOG_LINES;

    fn hash(&self, seed: u64) -> u64 {
        mix(seed, u64::from(self.service), self.line)
    }

    fn service(&self) -> u32 {
        self.service
    }

    fn used(&self) -> Millis {
        self.last
    }
}

/// All lines.
pub type Lines = Keyed<Line>;

/// What stays away of a service's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Missing {
    /// How many records of the most overdue line should have come.
    pub expected: f64,
    /// How many lines it is the most overdue of.
    pub lines: f64,
}

/// What is asked of lines: those of which services, since when, and what these did.
pub struct Asked<'a> {
    /// Whether a service is looked at.
    pub near: &'a dyn Fn(u32) -> bool,
    /// When the incident began.
    pub onset: Millis,
    /// Requests that a service had been asked when it last wrote anything.
    pub written: &'a dyn Fn(u32) -> u64,
    /// Usual time between two bodies of a service, in ms.
    pub pace: &'a dyn Fn(u32) -> f64,
}

impl Lines {
    /// Notes a record at rule time `at`, which does not fall.
    pub fn note(&mut self, written: Written, at: Millis) {
        let Written { service, kind, line, asked } = written;
        if line == 0 {
            return;
        }
        let hash = mix(self.seed(), u64::from(service), line);
        if let Some(row) = self.find(hash, |it| (it.service, it.line) == (service, line)) {
            self.row_mut(row).came(asked, at);
        } else if !self.is_full() {
            // Where there is no room nothing is missing: evidence is lacking, never wrong.
            let (first, last) = (at, at);
            self.insert(Line { service, kind, line, first, last, asked, gaps: 0, between: 0, squares: 0, longest: 0 });
        }
    }

    /// What stays away, of the services asked about of which anything does.
    ///
    /// - `operations`: tells when each operation of these services was asked last; asked only where a line is overdue.
    pub fn missing(
        &self,
        asked: &Asked<'_>,
        operations: impl FnOnce(&BTreeSet<u32>) -> BTreeMap<u32, Vec<Millis>>,
    ) -> BTreeMap<u32, Missing> {
        let since = asked.onset.plus(-MISSED_BEFORE);
        let (mut known, mut new) = (BTreeMap::<u32, u32>::new(), BTreeSet::new());
        let mut overdue: Vec<(&Line, f64)> = Vec::new();
        for (_, it) in self.iter().filter(|(_, it)| (asked.near)(it.service)) {
            if it.first >= since {
                new.insert((it.service, it.kind, it.line));
            }
            if it.gaps < GAPS_LEAST {
                continue;
            }
            *known.entry(it.service).or_default() += 1;
            let requests = (asked.written)(it.service).saturating_sub(it.asked);
            let expected = it.expected(requests);
            // Less than one record may stay away any day.
            if it.last >= since && expected > 1.0 {
                overdue.push((it, expected));
            }
        }
        if overdue.is_empty() {
            return BTreeMap::new();
        }
        let last = operations(&overdue.iter().map(|(it, _)| it.service).collect());
        let mut missing: BTreeMap<u32, Missing> = BTreeMap::new();
        for (it, expected) in overdue {
            let beside = BESIDE + ((asked.pace)(it.service) as i64).clamp(0, BESIDE_MOST);
            let not_asked = last.get(&it.service).into_iter().flatten().any(|at| at.since(it.last).abs() <= beside);
            let of_kind = (it.service, it.kind, 0)..=(it.service, it.kind, u64::MAX);
            if not_asked || new.range(of_kind).any(|&(.., line)| line != it.line) {
                continue;
            }
            let of = missing.entry(it.service).or_default();
            of.lines = f64::from(known[&it.service]);
            of.expected = float::max(of.expected, expected);
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use faultline_model::table::PageBytes;
    use faultline_model::{Reader, Writer};

    const SECOND: i64 = 1_000;

    /// A service asked a request a second, for so many seconds, that writes line 1 at each, line 2 at every third, line 3 in bursts of ten
    /// after every fortieth; from `fails` on, line 1 alone.
    fn played(seconds: i64, fails: i64) -> (Lines, Work) {
        let (mut lines, mut work) = (Lines::new(7), Work::default());
        for s in 0..seconds {
            let at = Millis(s * SECOND);
            work.count(at);
            let mut note = |line| lines.note(Written { service: 4, kind: line, line, asked: work.until(at) }, at);
            note(1);
            if s < fails {
                (0..i64::from(s % 3 == 0)).for_each(|_| note(2));
                (0..i64::from(s % 50 > 39)).for_each(|_| note(3));
            }
        }
        (lines, work)
    }

    fn missing(lines: &Lines, onset: i64, written: u64, operations: &[i64]) -> Option<Missing> {
        let asked = Asked {
            near: &|service| service == 4,
            onset: Millis(onset * SECOND),
            written: &|_| written,
            pace: &|_| 0.0,
        };
        let last = |of: &BTreeSet<u32>| {
            assert_eq!(of.iter().copied().collect::<Vec<_>>(), [4]);
            BTreeMap::from([(4, operations.iter().map(|s| Millis(s * SECOND)).collect())])
        };
        lines.missing(&asked, last).remove(&4)
    }

    #[test]
    fn a_line_that_no_longer_comes_with_the_work_is_missing() {
        for (fails, onset, operations, expected) in [
            // As ever, also between two bursts.
            (600, 560, vec![599], None),
            // Ten seconds, half a minute and a minute without the one of every third.
            (590, 560, vec![599], Some(3.0)),
            (570, 565, vec![599], Some(10.0)),
            (540, 545, vec![599], Some(20.0)),
            // An operation has not been asked since: it wrote it. The bursts are overdue, too, of which two at most have not come.
            (540, 545, vec![599, 538], Some(6.0)),
            (540, 545, vec![599, 538, 500], None),
            (540, 545, vec![599, 420], Some(20.0)),
            // Gone long before the incident.
            (100, 545, vec![599], None),
        ] {
            let (lines, work) = played(600, fails);
            let found = missing(&lines, onset, work.until(Millis(599 * SECOND)), &operations);
            assert_eq!(found.map(|it| float::floor(it.expected)), expected, "{fails} {found:?}");
            assert!(found.is_none_or(|it| it.lines == 3.0), "{found:?}");
            // A service that writes nothing at all any more, or is not asked, misses no line of its own.
            assert_eq!(missing(&lines, onset, 500, &[]), None, "{fails}");
        }
    }

    #[test]
    fn words_that_now_come_from_another_place_are_not_missed() {
        let (mut lines, work) = played(600, 540);
        let written = work.until(Millis(599 * SECOND));
        lines.note(Written { service: 4, kind: 3, line: 30, asked: written }, Millis(590 * SECOND));
        assert_eq!(missing(&lines, 545, written, &[599]).map(|it| float::floor(it.expected)), Some(20.0));
        lines.note(Written { service: 4, kind: 2, line: 20, asked: written }, Millis(590 * SECOND));
        assert_eq!(missing(&lines, 545, written, &[599]), None);
        lines.note(Written { service: 4, kind: 9, line: 0, asked: written }, Millis(590 * SECOND));
        assert_eq!(lines.iter().count(), 5, "a record without a text is of no line");
    }

    #[test]
    fn what_is_kept_reads_back_and_has_an_end() {
        let (mut lines, work) = played(600, 540);
        let written = work.until(Millis(599 * SECOND));
        let (mut w, before) = (Writer::default(), missing(&lines, 545, written, &[599]));
        lines.write(&mut w);
        let (bytes, mut pages) = (w.into_bytes(), PageBytes::of([(Lines::TABLE, lines.table())]));
        let mut read = Lines::read(&mut Reader::new(&bytes), &mut pages, 7).expect("it was just written");
        assert_eq!(missing(&read, 545, written, &[599]), before);
        for line in 0..LOG_LINES as u64 + 5 {
            read.note(Written { service: 5, kind: line + 1, line: line + 1, asked: 1 }, Millis(599 * SECOND));
        }
        assert_eq!(read.iter().count(), LOG_LINES);
        read.forget(&[5]);
        assert_eq!(read.iter().count(), 3);
        read.sweep(0, 1, Millis(60 * 3_600 * SECOND));
        assert!(read.iter().next().is_none());
    }

    #[test]
    fn old_gaps_count_less_than_new_ones() {
        let (mut lines, mut asked) = (Lines::new(7), 0);
        let mut note = |gap| {
            asked += gap;
            lines.note(Written { service: 4, kind: 1, line: 1, asked }, Millis(asked as i64));
        };
        note(1);
        note(1_000_000);
        (0..200_000).for_each(|_| note(1));
        let (_, it) = lines.iter().next().expect("a line");
        assert!(it.gaps <= GAPS_HALVE && it.longest < 10 && it.expected(50) > 25.0, "{it:?}");
    }

    #[test]
    fn requests_of_one_instant_count_after_it() {
        let mut work = Work::default();
        [1, 1, 2, 5, 5, 5].into_iter().for_each(|s| work.count(Millis(s)));
        for (at, expected) in [(2, 3), (5, 3), (6, 6)] {
            assert_eq!(work.until(Millis(at)), expected, "{at}");
        }
    }
}
