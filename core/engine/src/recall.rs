//! Rules that came late: what they lack is asked of the recent store, and its answer goes back into the rings.
//!
//! `step` keeps of each series what the rules in force read, so a rule that is added reads ranges that nobody kept. The recent
//! store kept what `step` accepted: it is asked once for all that a set of rules lacks, and answers in records
//! (`docs/formats/recalled.md`) that are taken in as they come. With the last of them rules whose ranges are covered are no
//! longer unknown. Whatever else comes, or nothing, leaves them unknown until time has covered their ranges.
use crate::effect::{Ask, Emitter};
use crate::engine::Engine;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_formats::Reason;
use faultline_model::facts::{Asked, Decision};
use faultline_model::{
    Canonical, CodecError, Digest, EffectId, Millis, Reader, Recalled, RecalledPart, Writer, canonical_struct,
};
use faultline_observe::ring::LOOKBACK_MS;
use faultline_promql::Matcher;
use faultline_rules::Lacking;

/// Most selectors of one question. Rules from the first on that has one more wait for time to cover their ranges.
const SELECTORS_MAX: usize = 4_096;

/// What rules lack that have come into force: a question to the recent store.
#[derive(Clone, Debug, PartialEq)]
pub struct Recall {
    /// Rule time at which they did. Samples of the record that brought them, and of those before it, are asked for.
    pub at: Millis,
    /// What they lack, each selector once, in the order in which rules read them.
    pub wanted: Vec<Wanted>,
}
canonical_struct!(Recall { at, wanted });

/// A stretch of the series of a selector.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Which series.
    pub matchers: Vec<Matcher>,
    /// The first instant.
    pub from: Millis,
    /// The last instant that may be missing: later samples are there.
    pub to: Millis,
}
canonical_struct!(Wanted { matchers, from, to });

/// A question that is not answered, or not to its end.
#[derive(Debug, PartialEq)]
pub(crate) struct Recalling {
    pub(crate) id: EffectId,
    question: Recall,
    /// Number of the record of the answer that comes next.
    next: u32,
    /// Rules from this number on are not helped.
    rules_end: u32,
    /// For each selector since when it is whole; nothing where the answer has not said it, or there was no room.
    whole: Vec<Option<Millis>>,
    /// Selectors for whose series there was no room.
    failed: Vec<u32>,
    // Derived.
    digest: Digest,
}

impl Recalling {
    pub(crate) fn ask(&self) -> (EffectId, Ask) {
        (self.id, Ask::Recall(Box::new(self.question.clone())))
    }
}

impl Canonical for Recalling {
    fn write(&self, w: &mut Writer) {
        w.array(6);
        self.id.write(w);
        self.question.write(w);
        self.next.write(w);
        self.rules_end.write(w);
        self.whole.write(w);
        self.failed.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array_of(6)?;
        let (id, question) = (EffectId::read(r)?, Recall::read(r)?);
        let digest = Digest::of(&question.to_bytes());
        let (next, rules_end) = (Canonical::read(r)?, Canonical::read(r)?);
        let refused = r.invalid("state of an answer");
        let (whole, failed) = (Vec::read(r)?, Vec::read(r)?);
        let it = Recalling { id, question, next, rules_end, whole, failed, digest };
        if it.whole.len() == it.question.wanted.len() { Ok(it) } else { Err(refused) }
    }
}

/// What tells selectors apart.
fn name(matchers: &[Matcher]) -> String {
    alloc::format!("{matchers:?}")
}

impl Engine {
    /// Asks for what the rules lack that came into force a moment ago. What an earlier set lacked is no longer wanted.
    pub(crate) fn ask_recall(&mut self, emit: &mut Emitter<'_>) {
        let lacking = self.judge.rules.take_lacking();
        self.recalling = None;
        // Before the first live record rule time is not the stamps', and an answer would bring them.
        if lacking.is_empty() || !self.recalls || !self.live {
            return;
        }
        let (mut wanted, mut known): (Vec<Wanted>, BTreeMap<String, usize>) = (Vec::new(), BTreeMap::new());
        let mut rules_end = u32::MAX;
        for Lacking { rule, matchers, history_ms, until } in lacking {
            let from = self.now.plus(history_ms.saturating_add(LOOKBACK_MS).saturating_neg());
            let place = *known.entry(name(&matchers)).or_insert(wanted.len());
            if place == SELECTORS_MAX {
                rules_end = rule;
                break;
            }
            match wanted.get_mut(place) {
                Some(it) => it.from = it.from.min(from),
                None => wanted.push(Wanted { matchers, from, to: until }),
            }
        }
        let question = Recall { at: self.now, wanted };
        let digest = Digest::of(&question.to_bytes());
        let id = emit.decide(Decision::Asked(Asked { kind: "recall".to_string(), input: digest }));
        let whole = alloc::vec![None; question.wanted.len()];
        let recalling = Recalling { id, question, next: 0, rules_end, whole, failed: Vec::new(), digest };
        emit.ask(id, recalling.ask().1);
        self.recalling = Some(recalling);
    }

    /// Takes a record of the answer. An answer begun anew, as a start has it, may begin anew here; else its records come in
    /// their order and once.
    pub(crate) fn take_recalled(&mut self, mut it: Recalling, body: &[u8], emit: &mut Emitter<'_>) {
        let Ok(Recalled { question, number, last, parts }) = Recalled::from_bytes(body) else {
            emit.reject(Reason::BadRecord, 1, "the answer of the recent store does not read");
            self.recalling = Some(it);
            return;
        };
        if question != it.digest || number != it.next && number != 0 {
            emit.reject(Reason::BadRecord, 1, "the record is not the next one of the recent store's answer");
            self.recalling = Some(it);
            return;
        }
        if number == 0 {
            it.whole.fill(None);
            it.failed.clear();
        }
        it.next = number.saturating_add(1);
        let mut strangers = 0;
        for part in parts {
            match it.question.wanted.get(part.selector as usize) {
                Some(wanted) => {
                    let (room, refused) = self.put_back(wanted, &part);
                    strangers += refused;
                    if !room {
                        it.failed.push(part.selector);
                    }
                    if part.complete && !it.failed.contains(&part.selector) {
                        it.whole[part.selector as usize] = Some(part.since.max(wanted.from));
                    }
                }
                None => strangers += part.series.len() as u64,
            }
        }
        // No rule was told of what was put back.
        self.judge.rules.read_again();
        emit.reject(Reason::BadRecord, strangers, "the recent store's answer has series that nobody asked for");
        if last {
            self.no_longer_unknown(&it);
        } else {
            self.recalling = Some(it);
        }
        self.deliver(emit);
    }

    /// Puts the series of a part before what rings hold. Says whether there was room for all, and how many were not asked for.
    fn put_back(&mut self, wanted: &Wanted, part: &RecalledPart) -> (bool, u64) {
        let (mut room, mut strangers) = (true, 0);
        for series in &part.series {
            if !wanted.matchers.iter().all(|m| m.matches(series.labels.get(&m.name))) {
                strangers += 1;
            } else if room {
                room = self.series.recall(series, part.since.max(wanted.from), self.now, &mut self.applied);
            }
        }
        (room, strangers)
    }

    /// Rules whose ranges are covered by now are no longer unknown.
    fn no_longer_unknown(&mut self, it: &Recalling) {
        let wanted = it.question.wanted.iter().zip(&it.whole);
        let known: BTreeMap<String, Option<Millis>> =
            wanted.map(|(wanted, whole)| (name(&wanted.matchers), *whole)).collect();
        self.judge.rules.recalled(self.now, &|id, matchers, history_ms| match known.get(&name(matchers)) {
            _ if id.rule >= it.rules_end => None,
            // Before the store's first sample one may be missing that an instant selector would still see.
            Some(whole) => whole.map(|since| since.plus(history_ms.saturating_add(LOOKBACK_MS))),
            // It was covered when it came into force.
            None => Some(Millis(i64::MIN)),
        });
    }
}
