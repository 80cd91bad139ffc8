//! Occurrences of alerts of late, as they were decided and as they are held to have been.
use super::KEPT_MS;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::facts::{AlertState, Late, Stretch, Transition};
use faultline_model::{AlertId, Labels, Millis, Occurrence, Table, canonical_struct, freeze_by_copy};
use faultline_rules::{ActiveAlert, UnitKey};

/// Most of them that are remembered, of all rules together.
pub const OCCURRENCES_MAX: usize = 4_096;

/// Most stretches of one in which it was unknown that are told apart.
const UNKNOWN_MAX: usize = 8;
/// The end of what goes on.
const FOR_EVER: Millis = Millis(i64::MAX);

/// An occurrence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub unit: UnitKey,
    pub alert: AlertId,
    pub labels: Labels,
    /// As it was told; nothing of one that was missed.
    pub occurrence: Option<Occurrence>,
    /// As it was decided.
    pub told: Option<Stretch>,
    /// As it was said to be last: by decisions and by revisions.
    pub said: Option<Stretch>,
    /// As it would have been, as far as is known: what is looked at again goes on from this.
    pub believed: Option<Stretch>,
    /// Whether it was said that late samples change nothing, and nothing else since.
    pub confirmed: bool,
    /// Of one that was revised: for what.
    pub late: Option<Late>,
    /// Stretches in which it was unknown, in time, ends included; one that goes on ends at the end of time.
    pub unknown: Vec<(Millis, Millis)>,
}
canonical_struct!(Row { unit, alert, labels, occurrence, told, said, believed, confirmed, late; unknown });
freeze_by_copy!(Row);

impl Row {
    /// The first instant of any of its forms, and the last; no last one where it goes on.
    pub fn span(&self) -> (Millis, Option<Millis>) {
        let all = || [self.told, self.said, self.believed].into_iter().flatten();
        let begin = all().map(|it| it.active_at).min().unwrap_or(Millis(i64::MAX));
        let open = all().any(|it| it.resolved_at.is_none());
        (begin, all().filter_map(|it| it.resolved_at).max().filter(|_| !open))
    }

    /// What an answer is held against: as it is believed to have been, or, of one that is not, as it was told.
    pub fn held(&self) -> Option<Stretch> {
        self.believed.or(self.told)
    }

    /// Notes whether a transition makes it unknown, or known again.
    fn note_unknown(&mut self, it: &Transition) {
        if let Some(last) = self.unknown.last_mut().filter(|_| it.from == AlertState::Unknown) {
            last.1 = it.at;
        }
        if it.to == AlertState::Unknown {
            // Of a source that comes and goes the last ones are one.
            let from = if self.unknown.len() == UNKNOWN_MAX { self.unknown.pop().map(|it| it.0) } else { None };
            self.unknown.push((from.unwrap_or(it.at), FOR_EVER));
        }
    }

    /// Whether that has an instant in common with these.
    pub fn meets(&self, from: Millis, to: Millis) -> bool {
        self.held().is_some_and(|it| it.meets(from, to))
    }
}

/// Whether it had begun by an instant and not ended.
pub(crate) fn open_at(it: &Stretch, at: Millis) -> bool {
    it.active_at <= at && it.resolved_at.is_none_or(|end| end > at)
}

/// All that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Occurrences {
    pub rows: Table<Row>,
    // Derived.
    of_alert: BTreeMap<AlertId, Vec<u32>>,
    over: BTreeSet<(Millis, u32)>,
}

/// What a transition was to them.
pub(crate) enum Noted {
    /// As any other.
    Plain,
    /// Of one that late samples changed: what comes of that is to be looked at again, from here on.
    Diverged(Millis, Late),
    /// Of one that is not remembered.
    Unknown,
}

impl Occurrences {
    /// Those of a table.
    pub fn of(rows: Table<Row>) -> Occurrences {
        let mut all = Occurrences { rows, ..Occurrences::default() };
        let ids: Vec<u32> = all.rows.iter().map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| all.index(id));
        all
    }

    fn index(&mut self, id: u32) {
        let row = self.rows.get(id).expect("it is there");
        self.of_alert.entry(row.alert).or_default().push(id);
        if let Some(end) = row.span().1 {
            self.over.insert((end, id));
        }
    }

    fn remove(&mut self, id: u32) {
        let row = self.rows.get(id).expect("it is there");
        if let Some(end) = row.span().1 {
            self.over.remove(&(end, id));
        }
        let alert = row.alert;
        if let Some(ids) = self.of_alert.get_mut(&alert) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.of_alert.remove(&alert);
            }
        }
        self.rows.remove(id);
    }

    /// Changes one.
    pub fn change(&mut self, id: u32, change: impl FnOnce(&mut Row)) {
        let row = self.rows.row_mut(id);
        let before = row.span().1;
        change(row);
        let after = row.span().1;
        if before != after {
            before.map(|end| self.over.remove(&(end, id)));
            after.map(|end| self.over.insert((end, id)));
        }
    }

    /// Forgets those of units.
    pub fn forget(&mut self, which: impl Fn(&UnitKey) -> bool) {
        let gone: Vec<u32> = self.rows.iter().filter(|(_, row)| which(&row.unit)).map(|(id, _)| id).collect();
        gone.into_iter().for_each(|id| self.remove(id));
    }

    /// Adds one, for which the oldest that is over may have to go: says of which unit that was, and its end. Without any room it
    /// is not added.
    pub fn add(&mut self, row: Row, now: Millis) -> Result<Option<(UnitKey, Millis)>, ()> {
        while let Some(&(end, id)) = self.over.first().filter(|(end, _)| now.since(*end) > KEPT_MS) {
            debug_assert!(self.rows.get(id).is_some(), "{end} is of one that is there");
            self.remove(id);
        }
        let mut gone = None;
        if self.rows.len() >= OCCURRENCES_MAX {
            let &(end, id) = self.over.first().ok_or(())?;
            gone = self.rows.get(id).map(|row| (row.unit.clone(), end));
            self.remove(id);
        }
        let id = self.rows.insert(row);
        self.index(id);
        Ok(gone)
    }

    /// The one of an alert that goes on as it was told.
    pub fn open(&self, alert: AlertId) -> Option<u32> {
        let ids = self.of_alert.get(&alert)?;
        ids.iter().copied().find(|id| {
            let told = self.rows.get(*id).and_then(|row| row.told);
            told.is_some_and(|told| told.resolved_at.is_none())
        })
    }

    /// The one of an alert that went on at an instant, as it was told.
    pub fn told_at(&self, alert: AlertId, at: Millis) -> Option<Stretch> {
        let all = self.of_alert.get(&alert)?.iter().filter_map(|id| self.rows.get(*id)?.told);
        all.into_iter().find(|told| open_at(told, at))
    }

    /// Takes a transition of one that is open.
    pub fn note(&mut self, it: &Transition) -> Noted {
        if self.open(it.alert).is_none() {
            return Noted::Unknown;
        }
        let mut noted = Noted::Plain;
        let is_open = |id: &u32| self.rows.get(*id).is_some_and(|row| row.span().1.is_none());
        let open: Vec<u32> = self.of_alert.get(&it.alert).into_iter().flatten().copied().filter(is_open).collect();
        for id in open {
            self.change(id, |row| {
                row.note_unknown(it);
                if let Some(late) = &row.late {
                    let (mut from, mut all) = (row.span().0, late.clone());
                    if let Noted::Diverged(other, late) = &noted {
                        from = from.min(*other);
                        all.add(late);
                    }
                    noted = Noted::Diverged(from, all);
                }
                // Of others of the alert that go on it was not said that they end with this one.
                let said = Some(&mut row.said).filter(|_| row.occurrence == Some(it.occurrence));
                let all = [Some(&mut row.told), Some(&mut row.believed), said].into_iter().flatten().flatten();
                for stretch in all.filter(|it| it.resolved_at.is_none()) {
                    match it.to {
                        AlertState::Firing => drop(stretch.fired_at.get_or_insert(it.at)),
                        AlertState::Ok => stretch.resolved_at = Some(it.at),
                        AlertState::Pending | AlertState::Unknown => {}
                    }
                }
            });
        }
        noted
    }
}

impl Row {
    /// One that begins with a transition.
    pub fn begun(it: &Transition) -> Row {
        let fired_at = (it.to == AlertState::Firing).then_some(it.at);
        let stretch = Stretch { active_at: it.active_at, fired_at, resolved_at: None };
        Row::told((it.group.clone(), it.name.clone()), it.alert, it.labels.clone(), it.occurrence, stretch)
    }

    /// One of an alert that is active at rule time `now`: since when it fires nobody knows any more.
    pub fn active(it: &ActiveAlert, now: Millis) -> Row {
        let fired_at = (it.state == AlertState::Firing).then(|| it.active_at.max(now.plus(-1)));
        let stretch = Stretch { active_at: it.active_at, fired_at, resolved_at: None };
        let unit = (it.group.clone(), it.name.clone());
        let unknown = it.silent_since.map(|since| (since, FOR_EVER)).into_iter().collect();
        Row { unknown, ..Row::told(unit, it.alert, it.labels.clone(), it.occurrence, stretch) }
    }

    fn told(unit: (String, String), alert: AlertId, labels: Labels, occurrence: Occurrence, stretch: Stretch) -> Row {
        let [told, said, believed] = [Some(stretch); 3];
        Row {
            unit,
            alert,
            labels,
            occurrence: Some(occurrence),
            told,
            said,
            believed,
            confirmed: false,
            late: None,
            unknown: Vec::new(),
        }
    }

    /// One that was missed.
    ///
    /// - `said`: if it fired, as it was said to have been.
    pub fn missed(
        unit: UnitKey,
        alert: AlertId,
        labels: Labels,
        said: Option<Stretch>,
        believed: Stretch,
        late: Late,
    ) -> Row {
        let (confirmed, believed, late) = (said.is_some(), Some(believed), Some(late));
        Row { unit, alert, labels, occurrence: None, told: None, said, believed, confirmed, late, unknown: Vec::new() }
    }
}
