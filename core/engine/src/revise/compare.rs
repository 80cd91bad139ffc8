//! What would have been, held against what was said: a decision for each occurrence that late samples touch.
use super::occurrences::{Row, open_at};
use super::{COMPARED_MAX, LATE_MS, Revising, Touched, unrevised};
use crate::effect::Emitter;
use crate::engine::Engine;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_formats::Reason;
use faultline_model::facts::{Decision, Outcome, Revision, Stretch};
use faultline_model::{AlertId, Canonical, Digest, Labels, Millis, Occurred, Revisited};
use faultline_rules::UnitKey;

/// Characters of a reason that are kept.
const REASON_MAX: usize = 300;

/// What one alert was, and what it would have been.
#[derive(Default)]
struct Both {
    /// Occurrences by their numbers, in time.
    rows: Vec<u32>,
    found: Vec<Occurred>,
}

/// An answer as it is looked at.
struct Look {
    key: UnitKey,
    touched: Touched,
    until: Millis,
    /// Times that differ by no more are the same, in ms: of samples that come as they should instants see some later.
    tolerance_ms: i64,
    dry_run: bool,
}

impl Engine {
    /// Takes the answer of the recent store. What does not answer the question changes nothing.
    pub(crate) fn take_revisited(&mut self, it: Revising, body: &[u8], emit: &mut Emitter<'_>) {
        let answer = Revisited::from_bytes(body).ok().filter(|answer| is_of(answer, &it));
        let Some(Revisited { reason, occurrences, .. }) = answer else {
            emit.reject(Reason::BadRecord, 1, "it does not answer what was asked about past instants");
            self.revisions.kept.asked = Some(it);
            return;
        };
        // The next rule need not wait.
        self.revisions.kept.look_at = self.now;
        let key = (it.asked.group, it.asked.name);
        if !reason.is_empty() {
            let reason = reason.chars().take(REASON_MAX).collect::<String>();
            return unrevised(key, it.touched, reason, emit);
        }
        let Some(unit) = self.revisions.units.get(&key) else { return };
        let (tolerance_ms, dry_run) = (LATE_MS + unit.interval_ms, unit.dry_run);
        let look = Look { key, touched: it.touched, until: it.asked.until, tolerance_ms, dry_run };
        self.compare(&look, it.asked.from, occurrences, emit);
    }

    fn compare(&mut self, look: &Look, from: Millis, occurrences: Vec<Occurred>, emit: &mut Emitter<'_>) {
        let mut all: BTreeMap<AlertId, Both> = BTreeMap::new();
        let rows = self.revisions.occurrences.rows.iter();
        for (id, row) in rows.filter(|(_, row)| row.unit == look.key && row.meets(from, look.until)) {
            all.entry(row.alert).or_default().rows.push(id);
        }
        occurrences.into_iter().for_each(|it| all.entry(it.alert).or_default().found.push(it));
        let mut missed = Vec::new();
        for (alert, Both { mut rows, found }) in all {
            rows.sort_by_key(|id| (self.begin(*id), *id));
            let told = self.revisions.occurrences.told_at(alert, look.until);
            let mut found: Vec<Occurred> = found;
            for it in &mut found {
                // Where the engine has it end, or not begin, with what came by then, it did.
                if it.stretch.resolved_at.is_none() && told.is_none() {
                    it.stretch.resolved_at = Some(look.until);
                }
            }
            let (mut rows, mut found) = (rows.into_iter().peekable(), found.into_iter().peekable());
            loop {
                let (row, it) = match (rows.peek(), found.peek()) {
                    (None, None) => break,
                    (Some(id), Some(it)) if self.row(*id).meets(it.stretch.active_at, end(&it.stretch)) => {
                        (rows.next(), found.next())
                    }
                    (Some(id), Some(it)) if Some(it.stretch.active_at) < self.begin(*id) => (None, found.next()),
                    (Some(_), _) => (rows.next(), None),
                    (None, Some(_)) => (None, found.next()),
                };
                match row {
                    Some(id) => self.hold_against(id, it.map(|it| it.stretch), told, look, emit),
                    None => missed.extend(it.and_then(|it| look.missed(alert, it, told, emit))),
                }
            }
        }
        missed.into_iter().for_each(|row| self.revisions.remember(row, self.now));
    }

    fn begin(&self, id: u32) -> Option<Millis> {
        self.row(id).held().map(|it| it.active_at)
    }

    fn row(&self, id: u32) -> &Row {
        self.revisions.occurrences.rows.get(id).expect("it was listed")
    }

    /// - `told`: what the engine has active of the alert at the last instant.
    fn hold_against(
        &mut self,
        id: u32,
        found: Option<Stretch>,
        told: Option<Stretch>,
        look: &Look,
        emit: &mut Emitter<'_>,
    ) {
        let row = self.row(id).clone();
        if !row.meets(look.touched.from, look.touched.to) && !found.is_some_and(|it| look.touches(&it)) {
            return;
        }
        let said = row.said.and_then(|it| fired_by(it, look.until));
        let would = found.filter(|it| it.fired_at.is_some());
        let was_told = row.told.is_some_and(|told| told.fired_at.is_some_and(|fired| fired <= look.until));
        let outcome = match (said, would) {
            (None, None) => None,
            (Some(before), Some(after)) if look.is_same(&before, &after, told.is_some()) => Some(Outcome::Confirmed),
            (Some(_), Some(_)) => Some(Outcome::Revised),
            (Some(_), None) => Some(Outcome::Retracted),
            (None, Some(_)) if was_told => Some(Outcome::Revised),
            (None, Some(_)) => Some(Outcome::Missed),
        };
        let after = found.map(|it| carried(it, told));
        // The end of one that was told goes into the ledger by itself, that of another of its alert as a revision.
        let is_told = row.told.is_some_and(|it| open_at(&it, look.until));
        let says = if is_told { after } else { found };
        if let Some(outcome) = outcome.filter(|it| *it != Outcome::Confirmed || !row.confirmed) {
            let labels = row.labels.clone();
            let decided = Revision {
                occurrence: row.occurrence,
                ..look.decided(outcome, row.alert, labels, said, would.and(says))
            };
            emit.decide(Decision::Revision(Box::new(decided)));
        }
        let late = (after != row.told).then(|| look.touched.late.clone());
        let began = row.span().0;
        self.revisions.occurrences.change(id, |row| {
            row.believed = after;
            if !matches!(outcome, None | Some(Outcome::Confirmed)) {
                row.said = says.filter(|it| it.fired_at.is_some());
            }
            row.confirmed |= outcome.is_some();
            row.late = late;
        });
        // What the engine decided since the last instant looked at was by what it had.
        if let Some(late) = self.row(id).late.clone()
            && told.is_some_and(|told| open_at(&told, look.until) && !is_open(&told, look.until))
        {
            let (now, from) = (self.now, found.map_or(began, |it| it.active_at.min(began)));
            self.revisions.touch(look.key.clone(), Touched { from, to: now, begun: now, newest: now, late });
        }
    }
}

impl Look {
    fn touches(&self, it: &Stretch) -> bool {
        it.meets(self.touched.from, self.touched.to)
    }

    /// Whether two stretches that fired are the same but for what instants saw a little later.
    ///
    /// - `goes_on`: whether the alert was active at the last instant: its end may be a little late.
    fn is_same(&self, a: &Stretch, b: &Stretch, goes_on: bool) -> bool {
        let near = |a: Millis, b: Millis| a.since(b).abs() <= self.tolerance_ms;
        let begin = a.fired_at.zip(b.fired_at).is_some_and(|(a, b)| near(a, b));
        let end = |it: &Stretch| it.resolved_at.unwrap_or(self.until);
        begin && (goes_on || a.resolved_at.is_some() == b.resolved_at.is_some()) && near(end(a), end(b))
    }

    fn decided(
        &self,
        outcome: Outcome,
        alert: AlertId,
        labels: Labels,
        before: Option<Stretch>,
        after: Option<Stretch>,
    ) -> Revision {
        Revision {
            outcome,
            alert,
            occurrence: None,
            group: self.key.0.clone(),
            name: self.key.1.clone(),
            labels,
            before,
            after,
            as_of: self.until,
            dry_run: self.dry_run,
            late: self.touched.late.clone(),
        }
    }

    /// An occurrence of which nothing was known.
    fn missed(&self, alert: AlertId, it: Occurred, told: Option<Stretch>, emit: &mut Emitter<'_>) -> Option<Row> {
        let Occurred { labels, stretch, .. } = it;
        if !self.touches(&stretch) {
            return None;
        }
        if stretch.fired_at.is_some() {
            let decided = self.decided(Outcome::Missed, alert, labels.clone(), None, Some(stretch));
            emit.decide(Decision::Revision(Box::new(decided)));
        }
        let (said, late) = (Some(stretch).filter(|it| it.fired_at.is_some()), self.touched.late.clone());
        Some(Row::missed(self.key.clone(), alert, labels, said, carried(stretch, told), late))
    }
}

fn end(it: &Stretch) -> Millis {
    it.resolved_at.unwrap_or(Millis(i64::MAX))
}

/// Whether nothing has become of it since an instant.
fn is_open(it: &Stretch, at: Millis) -> bool {
    it.resolved_at.is_none() && it.fired_at.is_none_or(|fired| fired <= at)
}

/// A stretch as it stood at an instant, if it had fired by then.
fn fired_by(it: Stretch, at: Millis) -> Option<Stretch> {
    it.fired_at.filter(|fired| *fired <= at)?;
    Some(Stretch { resolved_at: it.resolved_at.filter(|end| *end <= at), ..it })
}

/// What goes on of an occurrence, goes on as the engine has it.
fn carried(it: Stretch, told: Option<Stretch>) -> Stretch {
    match (it.resolved_at, told) {
        (None, Some(told)) => {
            let fired_at = it.fired_at.or(told.fired_at.filter(|_| told.active_at == it.active_at));
            Stretch { fired_at, resolved_at: told.resolved_at, ..it }
        }
        _ => it,
    }
}

/// Whether an answer is one to a question.
fn is_of(answer: &Revisited, it: &Revising) -> bool {
    let until = it.asked.until;
    let fits = |one: &Occurred| {
        let Stretch { active_at, fired_at, resolved_at } = one.stretch;
        let newest = resolved_at.max(fired_at).unwrap_or(active_at);
        newest <= until && active_at <= until && one.labels.get("alertname") == it.asked.name
    };
    answer.question == Digest::of(&it.asked.to_bytes())
        && answer.occurrences.len() <= 2 * COMPARED_MAX
        && answer.occurrences.iter().all(fits)
}
