//! Samples that come late: past instants of rules are looked at again outside, and what that changes is decided.
//!
//! `step` rewrites nothing. It notes which instants of which alerting rules a late sample was missing from, waits for a moment for
//! others to come, and asks what those instants give now ([`Revise`]). The answer (`docs/formats/revisited.md`) is held against
//! what was said so far of the occurrences there: each that was touched is confirmed, revised, retracted or missed, and the ledger
//! says so with what came late. Nobody is told anew of the past. docs/design/0011-revisions.md has the whole of it.
//!
//! - `occurrences`: what was decided and said of late, bounded.
//! - `late`: which instants a late sample touches.
//! - `compare`: an answer against what was said.
mod compare;
mod late;
mod occurrences;

use occurrences::Occurrences;

use crate::effect::{Ask, Emitter};
use crate::engine::Engine;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use faultline_model::facts::{Asked, Decision, Late, Transition, Unrevised};
use faultline_model::table::PageBytes;
use faultline_model::{
    Canonical, CodecError, Digest, EffectId, Millis, Occurred, Reader, Table, Writer, canonical_struct,
};
use faultline_rules::{RuleSet, Unit, UnitKey};
use occurrences::{Noted, OCCURRENCES_MAX, Row};

/// A sample that is this much older than rule time came late, in ms; instants see those that are not as they come.
pub const LATE_MS: i64 = 60_000;
/// What came late is asked about once nothing more has come for this long, in ms.
const SETTLE_MS: i64 = 10_000;
/// Or after this long.
const SETTLE_MAX_MS: i64 = 60_000;
/// How often it is looked whether there is something to ask, in ms.
const LOOK_MS: i64 = 1_000;
/// What lies further back is not looked at again, in ms.
const KEPT_MS: i64 = 24 * 3_600_000;
/// Most rules that wait to be looked at again.
const TOUCHED_MAX: usize = 1_024;
/// Most stretches without evaluations that are remembered.
const GAPS_MAX: usize = 32;
/// Most occurrences of one rule that are compared at once.
pub const COMPARED_MAX: usize = 512;
/// Name of the table of occurrences.
const TABLE: &str = "occurrences";

/// What past instants of an alerting rule give now: a question to the recent store.
#[derive(Clone, Debug, PartialEq)]
pub struct Revise {
    /// What the ledger has the digest of.
    pub asked: Revisit,
    /// The rule, or the rules of that name, alone.
    pub rules: RuleSet,
}

/// The question.
#[derive(Clone, Debug, PartialEq)]
pub struct Revisit {
    /// `file;group`.
    pub group: alloc::string::String,
    /// The alert's name.
    pub name: alloc::string::String,
    /// The first instant, or before it.
    pub from: Millis,
    /// The last.
    pub until: Millis,
    /// Stretches in which nothing ran, the first instant excluded.
    pub gaps: Vec<(Millis, Millis)>,
    /// What was active before the first instant.
    pub active: Vec<Occurred>,
    /// Stretches in which alerts of it were unknown, ends included: what sends their series was silent then.
    pub unknown: Vec<(Millis, Millis)>,
}
canonical_struct!(Revisit { group, name, from, until, gaps, active; unknown });

/// Instants of a rule that late samples were missing from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Touched {
    /// The first and the last.
    pub from: Millis,
    pub to: Millis,
    /// Rule time at which the first of the samples came, and the last.
    pub begun: Millis,
    pub newest: Millis,
    pub late: Late,
}
canonical_struct!(Touched { from, to, begun, newest, late });

impl Touched {
    fn add(&mut self, other: &Touched) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.newest = self.newest.max(other.newest);
        self.late.add(&other.late);
    }
}

/// A question that is not answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Revising {
    pub id: EffectId,
    pub asked: Revisit,
    pub touched: Touched,
}
canonical_struct!(Revising { id, asked, touched });

/// What there is to know for all that.
#[derive(Debug)]
pub(crate) struct Revisions {
    /// Whether late samples are noted at all: older engines did not.
    pub on: bool,
    /// Whether those that rules of `stream` groups read are.
    pub streams: bool,
    kept: Kept,
    pub occurrences: Occurrences,
    // Derived from the rules in force, and what they read.
    units: BTreeMap<UnitKey, Unit>,
    /// By selection: which units read it, and the first and the last instant after a sample, in ms.
    reads: Vec<Vec<(UnitKey, i64, i64)>>,
}

/// What is in no table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept {
    /// Nothing from before is looked at again.
    since: Millis,
    /// Units of which less is known.
    later: Vec<(UnitKey, Millis)>,
    gaps: Vec<(Millis, Millis)>,
    /// Since when missing data means something; nothing while it does not.
    absence_since: Option<Millis>,
    touched: Vec<(UnitKey, Touched)>,
    asked: Option<Revising>,
    look_at: Millis,
    /// Samples that came late.
    pub late: u64,
    /// What is beside the pages of the table; empty where there is none.
    rows: Box<[u8]>,
}
canonical_struct!(Kept { since, later, gaps, absence_since, touched, asked, look_at, late, rows });

impl Default for Revisions {
    fn default() -> Self {
        Revisions {
            on: true,
            streams: true,
            kept: Kept::default(),
            occurrences: Occurrences::default(),
            units: BTreeMap::new(),
            reads: Vec::new(),
        }
    }
}

impl Revisions {
    /// What is written beside the table.
    pub fn write_kept(&self) -> Kept {
        let mut rows = Writer::default();
        if self.occurrences.rows.end() > 0 {
            self.occurrences.rows.write_rest(&mut rows);
        }
        Kept { rows: rows.into_bytes().into(), ..self.kept.clone() }
    }

    /// Reads the table beside what was written.
    pub fn read(kept: Kept, pages: &mut PageBytes) -> Result<Revisions, CodecError> {
        let mut r = Reader::new(&kept.rows);
        let rows = if kept.rows.is_empty() { Table::default() } else { Table::read(&mut r, TABLE, pages)? };
        if r.left() > 0 {
            return Err(CodecError::Trailing { count: r.left() });
        }
        let kept = Kept { rows: Box::default(), ..kept.clone() };
        Ok(Revisions { kept, occurrences: Occurrences::of(rows), ..Revisions::default() })
    }

    /// The table, by its name.
    pub fn tables(&mut self) -> [(&'static str, &mut dyn faultline_model::table::Paged); 1] {
        [(TABLE, &mut self.occurrences.rows)]
    }

    /// Samples that came late.
    pub fn late(&self) -> u64 {
        self.kept.late
    }

    /// Forgets all: nothing from before `now` is looked at again.
    pub fn begin(&mut self, now: Millis) {
        self.occurrences.forget(|_| true);
        let Kept { late, .. } = self.kept;
        self.kept = Kept { since: now, late, ..Kept::default() };
    }

    /// Nothing ran from `from` to `to`.
    pub fn passed_over(&mut self, from: Millis, to: Millis) {
        if !self.on || to <= from.max(self.kept.since) {
            return;
        }
        let gaps = &mut self.kept.gaps;
        if gaps.len() == GAPS_MAX {
            let (_, end) = gaps.remove(0);
            self.kept.since = self.kept.since.max(end);
        }
        self.kept.gaps.push((from, to));
    }

    /// Nothing of a unit from before `from` is looked at again.
    fn raise(&mut self, unit: &UnitKey, from: Millis, now: Millis) {
        let later = &mut self.kept.later;
        match later.binary_search_by(|(known, _)| known.cmp(unit)) {
            Ok(place) => later[place].1 = later[place].1.max(from),
            Err(place) => {
                later.insert(place, (unit.clone(), from));
                if later.len() > 2 * TOUCHED_MAX {
                    later.retain(|(_, from)| now.since(*from) <= KEPT_MS);
                }
            }
        }
    }

    /// Since when a unit can be looked at again.
    fn since(&self, unit: &UnitKey, now: Millis) -> Millis {
        let later = self.kept.later.binary_search_by(|(known, _)| known.cmp(unit));
        let later = later.map_or(self.kept.since, |place| self.kept.later[place].1);
        later.max(self.kept.since).max(now.plus(-KEPT_MS))
    }

    /// Remembers an occurrence, as far as there is room.
    fn remember(&mut self, row: Row, now: Millis) {
        let unit = row.unit.clone();
        match self.occurrences.add(row, now) {
            Ok(None) => {}
            Ok(Some((of, end))) => self.raise(&of, end.plus(1), now),
            Err(()) => self.raise(&unit, now, now),
        }
    }

    /// Takes a transition that was decided.
    pub fn note(&mut self, it: &Transition, now: Millis) {
        let unit = (it.group.clone(), it.name.clone());
        if !self.on || !self.units.contains_key(&unit) {
            return;
        }
        match self.occurrences.note(it) {
            Noted::Plain => {}
            Noted::Diverged(from, late) => {
                self.touch(unit, Touched { from, to: it.at, begun: now, newest: now, late });
            }
            Noted::Unknown if it.from == faultline_model::facts::AlertState::Ok => self.remember(Row::begun(it), now),
            Noted::Unknown => self.raise(&unit, now, now),
        }
    }

    /// Notes that a unit is to be looked at again; false where too many wait already.
    fn touch(&mut self, unit: UnitKey, it: Touched) -> bool {
        let touched = &mut self.kept.touched;
        match touched.binary_search_by(|(known, _)| known.cmp(&unit)) {
            Ok(place) => touched[place].1.add(&it),
            Err(_) if touched.len() == TOUCHED_MAX => return false,
            Err(place) => touched.insert(place, (unit, it)),
        }
        true
    }

    /// The question with this id, if it is not answered.
    pub fn take_asked(&mut self, id: EffectId) -> Option<Revising> {
        self.kept.asked.take_if(|it| it.id == id)
    }

    fn ask(&self, rules: &faultline_rules::Rules) -> Option<(EffectId, Ask)> {
        let Revising { id, asked, .. } = self.kept.asked.as_ref()?;
        let unit = self.units.get(&(asked.group.clone(), asked.name.clone()))?;
        Some((*id, Ask::Revise(Box::new(Revise { asked: asked.clone(), rules: rules.unit_set(unit) }))))
    }
}

impl Engine {
    /// The question that is not answered.
    pub(crate) fn revising(&self) -> Option<(EffectId, Ask)> {
        self.revisions.ask(&self.judge.rules)
    }

    /// Samples that come late for `stream` groups are noted from `now` on, or no more: nothing of these from before is looked at
    /// again, and alerts of theirs that are active are remembered.
    pub(crate) fn switch_stream_revisions(&mut self, now: Millis) {
        let units = self.judge.rules.units(true);
        let is_streamed = |key: &UnitKey| units.get(key).is_some_and(|unit| unit.streams);
        self.revisions.occurrences.forget(is_streamed);
        self.read_by();
        let streams: Vec<UnitKey> = self.revisions.units.keys().filter(|key| is_streamed(key)).cloned().collect();
        streams.iter().for_each(|key| self.revisions.raise(key, now, now));
        let active = self.judge.rules.active_of_units(self.revisions.streams);
        let active = active.filter(|it| is_streamed(&(it.group.clone(), it.name.clone())));
        let active: Vec<Row> = active.map(|it| Row::active(&it, now)).collect();
        active.into_iter().for_each(|row| self.revisions.remember(row, now));
    }

    /// Nothing from before `now` is looked at again; alerts that are active are remembered.
    pub(crate) fn begin_revisions(&mut self, now: Millis) {
        if !self.revisions.on {
            return;
        }
        self.revisions.begin(now);
        let active: Vec<Row> =
            self.judge.rules.active_of_units(self.revisions.streams).map(|it| Row::active(&it, now)).collect();
        active.into_iter().for_each(|row| self.revisions.remember(row, now));
    }

    /// The rules that each unit has now, to be held against those of after.
    pub(crate) fn unit_sets(&self) -> BTreeMap<UnitKey, RuleSet> {
        let rules = &self.judge.rules;
        let units = if self.revisions.on { rules.units(self.revisions.streams) } else { BTreeMap::new() };
        units.into_iter().map(|(key, unit)| (key, rules.unit_set(&unit))).collect()
    }

    /// Other rules are in force than `before`: of those that changed nothing from before now can be looked at again.
    pub(crate) fn rules_changed(&mut self, before: &BTreeMap<UnitKey, RuleSet>, emit: &mut Emitter<'_>) {
        self.read_by();
        if !self.revisions.on {
            return;
        }
        let (now, rules) = (self.now, &self.judge.rules);
        let is_same = |key: &UnitKey, unit: &Unit| before.get(key).is_some_and(|it| *it == rules.unit_set(unit));
        let (mut same, mut raised) = (Vec::new(), Vec::new());
        for (key, unit) in &self.revisions.units {
            let unknown = rules.unit_unknown_until(unit);
            if is_same(key, unit) {
                same.push(key.clone());
                raised.extend(unknown.map(|until| (key.clone(), until)));
            } else {
                raised.push((key.clone(), unknown.map_or(now, |until| until.max(now))));
            }
        }
        let is_same = |key: &UnitKey| same.binary_search(key).is_ok();
        self.revisions.occurrences.forget(|key| !is_same(key));
        let active: Vec<Row> = rules
            .active_of_units(self.revisions.streams)
            .filter(|it| !is_same(&(it.group.clone(), it.name.clone())))
            .map(|it| Row::active(&it, now))
            .collect();
        self.revisions.kept.later.retain(|(key, _)| is_same(key));
        raised.iter().for_each(|(key, from)| self.revisions.raise(key, *from, now));
        active.into_iter().for_each(|row| self.revisions.remember(row, now));
        let kept = &mut self.revisions.kept;
        let mut gone: Vec<(UnitKey, Touched)> = kept.touched.extract_if(.., |(key, _)| !is_same(key)).collect();
        if let Some(asked) = kept.asked.take_if(|it| !is_same(&(it.asked.group.clone(), it.asked.name.clone()))) {
            gone.push(((asked.asked.group, asked.asked.name), asked.touched));
        }
        for (key, touched) in gone {
            unrevised(key, touched, "its rules changed before it could be looked at again".to_string(), emit);
        }
    }

    /// Which units read which selection.
    pub(crate) fn read_by(&mut self) {
        let revisions = &mut self.revisions;
        revisions.units = self.judge.rules.units(revisions.streams);
        revisions.reads.clear();
        for (key, unit) in &revisions.units {
            for reads in &unit.reads {
                let Some(selection) = self.judge.selection(reads.selector) else { continue };
                let place = selection as usize;
                revisions.reads.resize(revisions.reads.len().max(place + 1), Vec::new());
                revisions.reads[place].push((key.clone(), reads.first_ms, reads.last_ms));
            }
        }
    }

    /// Asks about the next rule that waits, if nothing is asked and its samples have settled. Called after each record.
    pub(crate) fn look_again(&mut self, emit: &mut Emitter<'_>) {
        let (now, settled) = (self.now, self.settled);
        let kept = &mut self.revisions.kept;
        if !self.revisions.on || !self.live {
            return;
        }
        if settled != kept.absence_since.is_some() {
            kept.absence_since = settled.then_some(now);
        }
        if kept.asked.is_some() || kept.touched.is_empty() || now < kept.look_at {
            return;
        }
        kept.look_at = now.plus(LOOK_MS);
        let (units, rules) = (&self.revisions.units, &self.judge.rules);
        let is_ready = |(key, it): &(UnitKey, Touched)| {
            let Some(unit) = units.get(key) else { return true };
            // What the newest of them changes of now is seen at an instant first.
            let since = if now.since(it.begun) >= SETTLE_MAX_MS { it.begun } else { it.newest };
            let waited = now.since(it.newest) >= SETTLE_MS || now.since(it.begun) >= SETTLE_MAX_MS;
            waited && rules.unit_last(unit) > Some(since) && (settled || !unit.asks_absence)
        };
        let ready = kept.touched.iter().enumerate().filter(|(_, it)| is_ready(it));
        let Some((place, _)) = ready.min_by_key(|(_, (_, it))| it.begun) else { return };
        let (key, touched) = kept.touched.remove(place);
        self.ask_revision(key, touched, emit);
    }

    fn ask_revision(&mut self, key: UnitKey, touched: Touched, emit: &mut Emitter<'_>) {
        let (now, revisions) = (self.now, &mut self.revisions);
        let Some(unit) = revisions.units.get(&key) else { return };
        if unit.is_fixed {
            let why = "a selector reads at a fixed instant, however far back".to_string();
            return unrevised(key, touched, why, emit);
        }
        let absence = if unit.asks_absence { revisions.kept.absence_since.unwrap_or(now) } else { Millis(i64::MIN) };
        let since = revisions.since(&key, now).max(absence);
        let mut rest = touched;
        if rest.from < since {
            let why = format!("what was decided before {since} is not remembered, or was decided by other rules");
            let gone = Touched { to: rest.to.min(since.plus(-1)), ..rest.clone() };
            unrevised(key.clone(), gone, why, emit);
            rest.from = since;
        }
        let until = self.judge.rules.unit_last(unit).unwrap_or(Millis(i64::MIN)).min(now);
        if rest.from > rest.to.min(until) {
            return;
        }
        let mut from = rest.from.plus(-unit.keep_firing_for_ms).max(since);
        if unit.streams {
            // A stream begins with all of its series, at an instant.
            from = unit.instant_at_or_before(from);
            from = if from < since { from.plus(unit.interval_ms) } else { from };
            if from > until {
                return;
            }
        }
        let rows = || revisions.occurrences.rows.iter().map(|(_, row)| row).filter(|row| row.unit == key);
        let is_unknown = |alert| revisions.occurrences.open(alert).is_none();
        let unknown = self.judge.rules.unit_active(unit).any(is_unknown);
        if unknown || rows().filter(|row| row.meets(from, now)).count() > COMPARED_MAX {
            let why = format!("of {OCCURRENCES_MAX} occurrences remembered it has too many, or not all");
            return unrevised(key, rest, why, emit);
        }
        let mut active: Vec<Occurred> = rows().filter_map(|row| row.active_before(from)).collect();
        active.sort_by_key(|it| (it.alert, it.stretch.active_at));
        active.dedup_by_key(|it| it.alert);
        let gaps = revisions.kept.gaps.iter().filter(|(_, end)| *end >= from).copied().collect();
        let mut unknown: Vec<(Millis, Millis)> =
            rows().flat_map(|row| &row.unknown).filter(|it| it.0 <= until && it.1 >= from).copied().collect();
        unknown.sort();
        unknown.dedup();
        let asked = Revisit { group: key.0, name: key.1, from, until, gaps, active, unknown };
        let id =
            emit.decide(Decision::Asked(Asked { kind: "revise".to_string(), input: Digest::of(&asked.to_bytes()) }));
        revisions.kept.asked = Some(Revising { id, asked, touched: rest });
        if let Some((id, ask)) = self.revising() {
            emit.ask(id, ask);
        }
    }
}

impl Row {
    /// The occurrence as it stood before an instant, if it was active then.
    fn active_before(&self, at: Millis) -> Option<Occurred> {
        let it = self.believed.filter(|it| it.active_at < at && it.resolved_at.is_none_or(|end| end >= at))?;
        let fired_at = it.fired_at.filter(|fired| *fired < at);
        let stretch = faultline_model::facts::Stretch { fired_at, resolved_at: None, ..it };
        Some(Occurred { alert: self.alert, labels: self.labels.clone(), stretch })
    }
}

/// Decides that nobody can say what would have been.
fn unrevised(key: UnitKey, touched: Touched, reason: alloc::string::String, emit: &mut Emitter<'_>) {
    let Touched { from, to, late, .. } = touched;
    emit.decide(Decision::Unrevised(Unrevised { group: key.0, name: key.1, from, to, reason, late }));
}
