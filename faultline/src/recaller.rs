//! The thread that answers what late rules lack, from the recent store: the answer goes back into the journal, record by record.
//!
//! Nobody can recompute an answer once the records are trimmed that it was made from: `verify` reports it as attested.
use faultline_engine::{Recall, Wanted};
use faultline_model::{Canonical, Digest, Millis, Position, Recalled, RecalledPart, RecalledSeries};
use faultline_serve::recent::select::{Points, Want};
use faultline_serve::recent::{Recent, SelectError};

/// Bytes of a record, or one series more: what `step` takes in between two records of telemetry.
pub const RECORD_BYTES: usize = 8 << 10;
/// Bytes of an answer. What does not fit waits for time to cover it.
pub const ANSWER_BYTES: usize = 4 << 20;
/// Bytes of one series at most: a record that holds it must not hold others up.
const SERIES_BYTES: usize = 128 << 10;
/// Where a selector does not fit, this part of its stretch is tried, and of that again.
const PART: i64 = 4;
/// Bytes that a series is counted as, beside its labels and samples.
const BYTES_EACH: usize = 16;
/// An answer under way.
struct Answer {
    question: Digest,
    left: usize,
    /// Records, the last of them open.
    records: Vec<Vec<RecalledPart>>,
    /// Bytes of the open one.
    size: usize,
}

impl Answer {
    /// Takes in all series of a selector.
    fn add(&mut self, selector: u32, since: Millis, all: Vec<(usize, RecalledSeries)>) {
        let part = |series| RecalledPart { selector, since, complete: false, series };
        let mut begins = true;
        for (size, series) in all {
            if self.size > 0 && self.size + size > RECORD_BYTES {
                self.records.push(Vec::new());
                (self.size, begins) = (0, true);
            }
            let parts = self.records.last_mut().expect("one is open");
            if std::mem::take(&mut begins) {
                parts.push(part(Vec::new()));
            }
            parts.last_mut().expect("just made").series.push(series);
            self.size += size;
            self.left = self.left.saturating_sub(size);
        }
        let parts = self.records.last_mut().expect("one is open");
        if begins {
            parts.push(part(Vec::new()));
        }
        parts.last_mut().expect("just made").complete = true;
    }
}

/// The records of an answer, in canonical bytes: of each selector, in their order, all that the store kept of its series, as far
/// back as it has everything and there is room; and no other selectors. At least one record.
pub fn answer(recent: &Recent, asked: &Recall) -> Vec<Vec<u8>> {
    let question = Digest::of(&asked.to_bytes());
    let mut it = Answer { question, left: ANSWER_BYTES, records: vec![Vec::new()], size: 0 };
    for (selector, wanted) in (0..).zip(&asked.wanted) {
        match kept(recent, wanted, it.left) {
            Ok(Some((since, series))) => it.add(selector, since, series),
            Ok(None) => {}
            Err(error) => {
                let error = crate::render::chain(&error);
                tracing::warn!(%error, "the recent store cannot say what rules lack: they are unknown until it has come anew");
            }
        }
    }
    let last = it.records.len() - 1;
    let record = |(number, parts)| {
        Recalled { question: it.question, number: number as u32, last: number == last, parts }.to_bytes()
    };
    it.records.into_iter().enumerate().map(record).collect()
}

/// A selector's series with their sizes, and since when they are whole.
type Kept = (Millis, Vec<(usize, RecalledSeries)>);

/// As far back as there is everything, and room; nothing where there is nothing that helps.
fn kept(recent: &Recent, wanted: &Wanted, room: usize) -> Result<Option<Kept>, SelectError> {
    let mut since = wanted.from.max(recent.whole_since());
    while since <= wanted.to {
        let series = read(recent, wanted, since, room)?;
        // What was given up while it was read is not in it.
        let whole = recent.whole_since();
        match series {
            Some(series) if whole <= since => return Ok(Some((since, series))),
            Some(_) => since = whole,
            None if wanted.to.since(since) < PART => return Ok(None),
            None => since = wanted.to.plus(-(wanted.to.since(since) / PART)),
        }
    }
    Ok(None)
}

/// Nothing where there is no room.
fn read(
    recent: &Recent,
    wanted: &Wanted,
    since: Millis,
    room: usize,
) -> Result<Option<Vec<(usize, RecalledSeries)>>, SelectError> {
    let mut selected = recent.select(&wanted.matchers, since, wanted.to, Want::All)?;
    let (mut all, mut points, mut left) = (Vec::new(), Points::default(), room);
    for index in 0..selected.len() {
        selected.points(index, &mut points)?;
        if points.is_empty() {
            continue;
        }
        let Points { samples, histograms } = std::mem::take(&mut points);
        let series = RecalledSeries { labels: selected.labels(index).clone(), samples, histograms };
        let size = series.to_bytes().len() + BYTES_EACH;
        if size > SERIES_BYTES || size > left {
            return Ok(None);
        }
        left -= size;
        all.push((size, series));
    }
    Ok(Some(all))
}

/// A start goes on from the state after the record `last`: where the store lacks samples of before, it says nothing about them.
///
/// - `newest`: no sample of before is newer.
pub fn believe(recent: &Recent, last: Option<Position>, newest: Millis) {
    if last.is_some_and(|last| !recent.knows(last)) {
        recent.lacks(newest);
    }
}
