//! What rules remember between instants, and its canonical bytes.
use crate::alert::Alert;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::table::{Freeze, Kept, When};
use faultline_model::{
    Canonical, CodecError, Labels, Millis, Number, Occurrence, Position, Reader, Writer, canonical_enum,
    canonical_struct,
};
use faultline_promql::{Expr, Stream, StreamImage};

/// Timers of alerts of `stream` rules: when, the rule's number, the alert's labels.
pub(crate) type Timers = BTreeSet<(Millis, u32, Labels)>;

/// A group's place on its grid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupState {
    /// The instant it is evaluated at next.
    pub next: Millis,
    /// The instant it was evaluated at last.
    pub last: Option<Millis>,
    /// Instants passed over.
    pub missed: u64,
}
canonical_struct!(GroupState { next, last, missed });

/// Whether a rule could be evaluated last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It has not been evaluated yet.
    #[default]
    Unknown,
    /// It could.
    Ok,
    /// It could not.
    Err,
}
canonical_enum!(Health { Unknown = 0, Ok = 1, Err = 2 });

/// How a rule has fared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Of the last evaluation.
    pub health: Health,
    /// Why the last evaluation failed; nothing where it did not.
    pub last_error: Option<String>,
    /// When it was evaluated last.
    pub last_at: Option<Millis>,
    /// Evaluations at grid instants.
    pub evaluations: u64,
    /// Evaluations at samples.
    pub touches: u64,
    /// Evaluations of either sort that failed.
    pub failures: u64,
}
canonical_struct!(Record { health, last_error, last_at, evaluations, touches, failures });

impl Record {
    /// Notes how an evaluation ended.
    pub(crate) fn note(&mut self, at: Millis, result: Result<(), String>) {
        self.last_at = Some(at);
        self.failures += u64::from(result.is_err());
        self.health = if result.is_ok() { Health::Ok } else { Health::Err };
        self.last_error = result.err();
    }
}

/// An element of a stream's result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub value: Number,
    /// Labels of the alert that it raises; nothing until they were made.
    pub alert: Option<Labels>,
}
canonical_struct!(Held { value, alert });

/// Whether samples move a rule that is to be evaluated at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not yet: the stream has not read all of its series, and one sample tells nothing of the others.
    Unread,
    /// They do.
    Follows,
    /// Not now: a selector found histograms, which streams do not follow. Looked at again at each instant of the grid.
    Grid,
}

/// As the flag whether the stream has read its series; on the grid as null.
impl Canonical for Standing {
    fn write(&self, w: &mut Writer) {
        match self {
            Standing::Unread => w.bool(false),
            Standing::Follows => w.bool(true),
            Standing::Grid => w.null(),
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match r.null()? {
            true => Standing::Grid,
            false if r.bool()? => Standing::Follows,
            false => Standing::Unread,
        })
    }
}

/// A rule that is evaluated at each sample.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub standing: Standing,
    pub stream: Stream,
    /// The stream's result; none while it stands on the grid.
    pub elements: Kept<Labels, Held>,
}

/// What a rule remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleState {
    /// Active alerts by their labels, external ones left out.
    pub alerts: Kept<Labels, Alert>,
    /// Series that the last evaluation appended to.
    pub appended: Kept<Labels, ()>,
    /// Where the rule is evaluated at each sample.
    pub live: Option<Live>,
    /// The first instant at which all that the rule reads is there; until then it is not evaluated.
    pub unknown_until: Option<Millis>,
    /// Of a recording rule: when it first appended anything, or did so again after it was unknown. Nothing where no
    /// sample of its series can be missing.
    pub written_from: Option<Millis>,
    pub record: Record,
    /// Alerts that began and ended at one record: nothing once another record comes, so not written.
    pub ended: Ended,
}

/// How often alerts became active at a record that have ended at it again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    at: Position,
    counts: BTreeMap<Labels, u32>,
}

impl Ended {
    /// What an alert that becomes active at a record is called.
    pub fn next(&self, began: Position, labels: &Labels) -> Occurrence {
        let known = self.counts.get(labels).filter(|_| self.at == began);
        Occurrence { began, ordinal: known.copied().unwrap_or(0) }
    }

    /// Notes that an alert ended at a record.
    pub fn note(&mut self, at: Position, labels: &Labels, occurrence: Occurrence) {
        if occurrence.began != at {
            return;
        }
        if self.at != at {
            *self = Ended { at, counts: BTreeMap::new() };
        }
        self.counts.insert(labels.clone(), occurrence.ordinal + 1);
    }
}

impl RuleState {
    /// Whether the rule has a stream that follows its series.
    pub fn follows(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.standing == Standing::Follows)
    }

    /// Whether samples and timers move the rule's alerts.
    pub fn is_ready(&self) -> bool {
        self.unknown_until.is_none() && self.follows()
    }

    /// Whether the rule follows its series and there is nothing to say of it: no element, no alert, no series of its own.
    pub fn is_idle(&self) -> bool {
        let is_empty = self.alerts.is_empty() && self.appended.is_empty();
        is_empty && self.is_ready() && self.live.as_ref().is_some_and(|live| live.elements.is_empty())
    }
}

fn write_all<T: Canonical + Clone>(items: &Kept<Labels, T>, when: When, w: &mut Writer) {
    w.array(items.len_at(when));
    items.each(when, &mut |labels, item| {
        w.array(2);
        labels.write(w);
        item.write(w);
    });
}

/// A sorted list without doubles, as it was written; any other is refused.
fn rising<T: Canonical + Ord + Clone>(r: &mut Reader<'_>) -> Result<Vec<T>, CodecError> {
    let error = r.invalid("sorted list");
    let items = Vec::<T>::read(r)?;
    if items.windows(2).all(|pair| pair[0] < pair[1]) { Ok(items) } else { Err(error) }
}

fn read_map<T: Canonical>(r: &mut Reader<'_>) -> Result<BTreeMap<Labels, T>, CodecError> {
    let error = r.invalid("sorted map");
    let items = Vec::<(Labels, T)>::read(r)?;
    if !items.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return Err(error);
    }
    Ok(items.into_iter().collect())
}

/// What a rule remembered, beside its maps, which keep what they were themselves.
#[derive(Debug)]
pub(crate) struct RuleImage {
    record: Record,
    unknown_until: Option<Millis>,
    written_from: Option<Millis>,
    live: Option<(Standing, StreamImage)>,
}

impl Freeze for RuleState {
    type Image = RuleImage;

    fn freeze(&mut self) -> RuleImage {
        self.alerts.freeze();
        self.appended.freeze();
        let live = self.live.as_mut().map(|live| {
            live.elements.freeze();
            (live.standing, live.stream.freeze())
        });
        let record = self.record.clone();
        RuleImage { record, unknown_until: self.unknown_until, written_from: self.written_from, live }
    }

    fn write_row(&self, image: Option<&RuleImage>, w: &mut Writer) {
        let when = if image.is_some() { When::Frozen } else { When::Now };
        w.array(if self.live.is_some() { 8 } else { 5 });
        write_all(&self.alerts, when, w);
        w.array(self.appended.len_at(when));
        self.appended.each(when, &mut |labels, _| labels.write(w));
        image.map_or(&self.record, |image| &image.record).write(w);
        image.map_or(self.unknown_until, |image| image.unknown_until).write(w);
        image.map_or(self.written_from, |image| image.written_from).write(w);
        if let Some(live) = &self.live {
            // Whether a rule has a stream changes with the rules only, and then another row takes its place.
            let image = image.and_then(|image| image.live.as_ref());
            image.map_or(live.standing, |(standing, _)| *standing).write(w);
            live.stream.write(image.map(|(_, stream)| stream), w);
            write_all(&live.elements, when, w);
        }
    }

    fn thaw(&mut self) {
        self.alerts.thaw();
        self.appended.thaw();
        if let Some(live) = &mut self.live {
            live.elements.thaw();
            live.stream.thaw();
        }
    }
}

impl RuleState {
    /// - `live`: whether the rule in force is one that is evaluated at each sample.
    pub fn read(r: &mut Reader<'_>, expr: &Expr, live: bool) -> Result<RuleState, CodecError> {
        r.array_of(if live { 8 } else { 5 })?;
        let alerts = read_map(r)?.into();
        let appended: BTreeMap<Labels, ()> = rising(r)?.into_iter().map(|labels| (labels, ())).collect();
        let record = Record::read(r)?;
        let (unknown_until, written_from) = (Canonical::read(r)?, Canonical::read(r)?);
        let ended = Ended::default();
        let mut state =
            RuleState { alerts, appended: appended.into(), live: None, unknown_until, written_from, record, ended };
        if live {
            let standing = Standing::read(r)?;
            state.live = Some(Live { standing, stream: Stream::read(expr, r)?, elements: read_map(r)?.into() });
        }
        Ok(state)
    }
}

pub(crate) fn write_timers(timers: &Timers, w: &mut Writer) {
    w.array(timers.len());
    for (at, rule, labels) in timers {
        w.array(3);
        at.write(w);
        rule.write(w);
        labels.write(w);
    }
}

pub(crate) fn read_timers(r: &mut Reader<'_>) -> Result<Timers, CodecError> {
    let count = r.array()?;
    let mut timers = Timers::new();
    for _ in 0..count {
        r.array_of(3)?;
        let error = r.invalid("sorted timers");
        let timer = (Millis::read(r)?, u32::read(r)?, Labels::read(r)?);
        if timers.last().is_some_and(|last| *last >= timer) {
            return Err(error);
        }
        timers.insert(timer);
    }
    Ok(timers)
}
