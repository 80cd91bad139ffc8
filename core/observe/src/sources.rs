//! Who sends, how much, and how far their time has come: per-source watermarks.
//!
//! A watermark is the newest event time that a source has sent. A time that lies more than ten minutes in the future is
//! counted and does not move it, so that one wrong clock does not poison what is judged by the whole; a source that has
//! been quiet for five minutes does not hold the whole back.
use alloc::collections::BTreeMap;
use alloc::string::String;
use faultline_formats::{Decoded, Scope};
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{
    Canonical, CodecError, Kind, Millis, Reader, SourceId, SourceName, Table, Writer, freeze_by_copy,
};

/// How far ahead of rule time an event may lie and still be believed, in ms.
pub const AHEAD_MAX_MS: i64 = 600_000;
/// A source without a body for this long is idle, in ms.
pub const IDLE_MS: i64 = 300_000;
/// A source without a body for this long was silent: once it is back, it may take as long again to say all that it says, in ms.
const BACK_MS: i64 = IDLE_MS / 2;
/// How long a start waits for the sources it knew, in ms.
pub const CATCH_UP_MS: i64 = 120_000;
/// Sources that are kept apart; what others send is counted under [`OVERFLOW`].
pub const SOURCES: usize = 10_000;
/// Stands for every source for which there is no room.
pub const OVERFLOW: SourceId = SourceId([0xff; 16]);

/// One source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// Who it is.
    pub id: SourceId,
    /// Listener and peer in words; `""` until its name has come.
    pub listener: String,
    /// The peer's principal or address.
    pub peer: String,
    /// Rule time of its first and its latest body.
    pub first: Millis,
    /// Rule time of its latest body.
    pub latest: Millis,
    /// Newest event time that is believed; none before the first.
    pub watermark: Option<Millis>,
    /// Bodies applied.
    pub bodies: u64,
    /// Bodies sent again, not applied.
    pub retries: u64,
    /// Points in them.
    pub points: u64,
    /// Log records in them.
    pub logs: u64,
    /// Spans in them.
    pub spans: u64,
    /// Items in them that the decoder refused.
    pub rejects: u64,
    /// Events whose time lay too far ahead to be believed.
    pub future: u64,
    // Whether absence waits for it after a start.
    awaited: bool,
    /// Rule time of its first body since it was last silent.
    since: Millis,
}

/// Since when it speaks is written where that is not since its first body, as in states from before engine version 5.
impl Canonical for Source {
    fn write(&self, w: &mut Writer) {
        let was_silent = self.since != self.first;
        w.array(14 + usize::from(was_silent));
        self.id.write(w);
        self.listener.write(w);
        self.peer.write(w);
        self.first.write(w);
        self.latest.write(w);
        self.watermark.write(w);
        self.bodies.write(w);
        self.retries.write(w);
        self.points.write(w);
        self.logs.write(w);
        self.spans.write(w);
        self.rejects.write(w);
        self.future.write(w);
        self.awaited.write(w);
        if was_silent {
            self.since.write(w);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let refused = r.invalid("source");
        let fields = r.array()?;
        if !(14..=15).contains(&fields) {
            return Err(refused);
        }
        let mut source = Source {
            id: Canonical::read(r)?,
            listener: Canonical::read(r)?,
            peer: Canonical::read(r)?,
            first: Canonical::read(r)?,
            latest: Canonical::read(r)?,
            watermark: Canonical::read(r)?,
            bodies: Canonical::read(r)?,
            retries: Canonical::read(r)?,
            points: Canonical::read(r)?,
            logs: Canonical::read(r)?,
            spans: Canonical::read(r)?,
            rejects: Canonical::read(r)?,
            future: Canonical::read(r)?,
            awaited: Canonical::read(r)?,
            since: Millis(0),
        };
        source.since = if fields == 15 { Canonical::read(r)? } else { source.first };
        // One value has one form.
        if fields == 15 && source.since == source.first { Err(refused) } else { Ok(source) }
    }
}
freeze_by_copy!(Source);

impl Source {
    /// How far its time is behind `now`, in ms; none before its first event. Negative where its clock is ahead.
    pub fn lag_ms(&self, now: Millis) -> Option<i64> {
        self.watermark.map(|watermark| now.since(watermark))
    }

    /// Whether it has been quiet for long.
    pub fn is_idle(&self, now: Millis) -> bool {
        now.since(self.latest) > IDLE_MS
    }
}

/// Name of the rows' table.
const TABLE: &str = "sources";

/// All sources.
#[derive(Debug, Default)]
pub struct Sources {
    rows: Table<Source>,
    by_id: BTreeMap<SourceId, u32>,
    awaited: usize,
    /// Whether it is not noted who sends what, nor since when a silent source speaks again: engines before version 5 did not.
    passes_silence: bool,
}

impl Sources {
    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Sources in id order.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.by_id.values().filter_map(|&row| self.rows.get(row))
    }

    /// Takes a source's name in.
    pub fn name(&mut self, name: SourceName) {
        let row = self.row(name.id, Millis(0));
        let source = self.rows.row_mut(row);
        if source.id != OVERFLOW {
            (source.listener, source.peer) = (name.listener, name.peer);
        }
    }

    /// Counts a telemetry body at rule time `now` and moves its source's watermark; says which row that is, where it is noted.
    /// Other records are passed over.
    pub fn observe(&mut self, decoded: &Decoded, now: Millis) -> Option<u32> {
        let Kind::Telemetry { source, .. } = decoded.payload.kind else { return None };
        let row = self.arrived(source, now);
        let source = self.rows.row_mut(row);
        let events = &decoded.events;
        source.bodies += 1;
        source.points += (events.points.len() + events.histograms.len()) as u64;
        source.logs += events.logs.len() as u64;
        source.spans += events.spans.len() as u64;
        let refused = decoded.rejects.iter().filter(|reject| reject.reason.scope() != Scope::Shown);
        source.rejects += refused.map(|reject| reject.count).sum::<u64>();
        let points = events.points.iter().map(|point| point.time);
        let histograms = events.histograms.iter().map(|point| point.time);
        let logs = events.logs.iter().map(|log| log.time.millis());
        let spans = events.spans.iter().map(|span| span.end.millis());
        let limit = now.plus(AHEAD_MAX_MS);
        let (mut newest, mut future) = (source.watermark, 0);
        for time in points.chain(histograms).chain(logs).chain(spans) {
            if time > limit {
                future += 1;
            } else if newest.is_none_or(|newest| time > newest) {
                newest = Some(time);
            }
        }
        source.watermark = newest;
        source.future += future;
        (!self.passes_silence).then_some(row)
    }

    /// Whether it says nothing of a series because the source of this row is silent: it has not sent anything for `quiet_ms`, or
    /// did so only a moment ago, and not yet this series.
    ///
    /// - `heard`: rule time of the series' newest sample.
    pub fn is_silent(&self, row: u32, heard: Millis, quiet_ms: i64, now: Millis) -> bool {
        let Some(source) = self.rows.get(row) else { return false };
        let unsaid = || self.back_since(row, now).is_some_and(|since| since > heard);
        now.since(source.latest) >= quiet_ms || unsaid()
    }

    /// Since when the source of this row speaks again; nothing where it was not silent, or has been back for long.
    pub fn back_since(&self, row: u32, now: Millis) -> Option<Millis> {
        let source = self.rows.get(row)?;
        Some(source.since).filter(|since| *since > source.first && now.since(*since) < BACK_MS)
    }

    /// Counts a body that was sent again.
    pub fn retried(&mut self, source: SourceId, now: Millis) {
        let row = self.arrived(source, now);
        self.rows.row_mut(row).retries += 1;
    }

    /// The event time that every source which is not idle has reached; none where there is no such source.
    pub fn watermark(&self, now: Millis) -> Option<Millis> {
        self.rows.iter().filter(|(_, source)| !source.is_idle(now)).filter_map(|(_, source)| source.watermark).min()
    }

    /// Whether it is noted from here on who sends what, and since when a silent source speaks again.
    pub fn heed_silence(&mut self, heeds: bool) {
        self.passes_silence = !heeds;
    }

    /// A process started: absence waits for the sources that were sending when the one before it ended.
    pub fn started(&mut self) {
        let last = self.rows.iter().map(|(_, source)| source.latest).max().unwrap_or_default();
        self.awaited = 0;
        for row in 0..self.rows.end() {
            let Some(source) = self.rows.get(row) else { continue };
            let awaited = source.bodies + source.retries > 0 && !source.is_idle(last);
            self.awaited += usize::from(awaited);
            if source.awaited != awaited {
                self.rows.row_mut(row).awaited = awaited;
            }
        }
    }

    /// Whether absence means something at `now`: every source awaited since the start at `since` has sent again, or
    /// [`CATCH_UP_MS`] have passed.
    pub fn caught_up(&self, since: Millis, now: Millis) -> bool {
        self.awaited == 0 || now.since(since) >= CATCH_UP_MS
    }

    fn arrived(&mut self, id: SourceId, now: Millis) -> u32 {
        let row = self.row(id, now);
        let source = self.rows.row_mut(row);
        let is_new = source.bodies + source.retries == 0;
        if is_new {
            source.first = now;
        }
        if is_new || !self.passes_silence && now.since(source.latest) >= BACK_MS {
            source.since = now;
        }
        source.latest = now;
        self.awaited -= usize::from(core::mem::take(&mut source.awaited));
        row
    }

    /// The row of a source; that of [`OVERFLOW`] where there is no room for another.
    fn row(&mut self, id: SourceId, now: Millis) -> u32 {
        if let Some(&row) = self.by_id.get(&id) {
            return row;
        }
        if self.rows.len() < SOURCES || id == OVERFLOW {
            let row = self.rows.insert(Source { id, latest: now, ..Source::default() });
            self.by_id.insert(id, row);
            return row;
        }
        self.row(OVERFLOW, now)
    }
}

impl Sources {
    /// The rows, by the name of their table: with [`Sources::write_rest`], all of the state.
    pub fn tables(&mut self) -> [(&'static str, &mut dyn Paged); 1] {
        [(TABLE, &mut self.rows)]
    }

    /// Writes what is beside the rows.
    pub fn write_rest(&self, w: &mut Writer) {
        self.rows.write_rest(w);
    }

    /// Reads what is beside the rows from `r` and the rows from `pages`.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes) -> Result<Sources, CodecError> {
        let rows: Table<Source> = Table::read(r, TABLE, pages)?;
        let by_id = rows.iter().map(|(row, source)| (source.id, row)).collect::<BTreeMap<_, _>>();
        let awaited = rows.iter().filter(|(_, source)| source.awaited).count();
        Ok(Sources { rows, by_id, awaited, passes_silence: false })
    }
}
