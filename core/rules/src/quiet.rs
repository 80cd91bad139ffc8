//! Rules that most samples do not move: one look at a batch for several of them.
//!
//! What they passed over stands here until a rule is looked at in any other way; then it is theirs, as if each had looked. So
//! nothing of this is state.
use crate::rules::Rules;
use crate::series::{OfRule, RuleSeries, SelectorId};
use alloc::vec::Vec;
use faultline_model::Millis;
use faultline_promql::{Batch, Readings, Watch};

/// Batches that a watch must have passed over to be worth having been made.
const WORTH: u64 = 2;
/// Batches until a rule is watched again of whose watches none was worth it: twice as many with each, up to so many times.
const DOUBLED_MAX: u32 = 6;
/// Batches that a watch may fail to pass over before it is made anew: it knows too much of what rules gave once.
const FAILED_MAX: u32 = 16;

/// The watches of all rules.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    /// Of each rule the place of its watch, and when it gets one.
    rules: Vec<Place>,
    watches: Vec<Option<Watched>>,
    free: Vec<usize>,
    /// Watches that were shown a batch, and whether they passed it over: empty between batches.
    asked: Vec<(usize, bool)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    watch: Option<usize>,
    /// Whether it was looked at since the watch took in what may move it.
    looked: bool,
    /// Its watches in a row that were not worth it.
    vain: u32,
    /// Batches until the next one is made.
    rest: u32,
}

/// Rules of one selection that one look is enough for.
#[derive(Debug)]
struct Watched {
    watch: Watch,
    rules: Vec<u32>,
    /// Their groups.
    groups: Vec<usize>,
    /// Batches that it passed over since the last one that it did not.
    batches: u64,
    /// Batches that it did not.
    failed: u32,
}

impl Quiet {
    /// Series whose samples a rule passed over and was not told of.
    pub fn passed(&self, rule: usize) -> u64 {
        self.watch(rule).map_or(0, Watch::passed)
    }

    /// The watch that a rule is in.
    pub fn watch(&self, rule: usize) -> Option<&Watch> {
        let place = self.rules.get(rule)?.watch?;
        self.watches[place].as_ref().map(|watched| &watched.watch)
    }

    /// Notes that a rule is looked at; whether its watch goes on, once the rule was told.
    fn note_look(&mut self, rule: usize) -> bool {
        let outlasts = self.watch(rule).is_some_and(Watch::outlasts_looks);
        if outlasts {
            self.rules[rule].looked = true;
        }
        outlasts
    }

    /// A rule is in no watch any more.
    fn leave(&mut self, rule: usize) {
        let Some(place) = self.rules.get_mut(rule).and_then(|of| of.watch.take()) else { return };
        let watched = self.watches[place].as_mut().expect("the watch of a rule");
        watched.rules.retain(|other| *other as usize != rule);
        let of = &mut self.rules[rule];
        of.vain = if watched.batches < WORTH { (of.vain + 1).min(DOUBLED_MAX) } else { 0 };
        of.rest = if of.vain == 0 { 0 } else { 1 << of.vain };
        if watched.rules.is_empty() {
            self.watches[place] = None;
            self.free.push(place);
        }
    }
}

impl Rules {
    /// Shows new samples of series to the watches of rules that select them: which of the rules have to look for themselves.
    pub(crate) fn moved(&mut self, selectors: &[SelectorId], batch: &mut Batch<'_>, at: Millis) -> Vec<SelectorId> {
        self.quiet.rules.resize(self.places.len(), Place::default());
        selectors.iter().for_each(|selector| self.take_in(selector.rule as usize));
        let Rules { quiet: Quiet { rules, watches, asked, .. }, options, shown, .. } = self;
        let mut all = Vec::new();
        for selector in selectors {
            let Some(place) = rules[selector.rule as usize].watch else {
                all.push(*selector);
                continue;
            };
            // Rules of one watch mostly stand together.
            let passes = match asked.iter().rev().find(|(known, _)| *known == place) {
                Some((_, passes)) => *passes,
                None => {
                    let watched = watches[place].as_mut().expect("the watch of a rule");
                    let passes = watched.watch.passes(at, batch, options);
                    if passes {
                        watched.batches += 1;
                        for group in &watched.groups {
                            shown.get_mut(*group).into_iter().for_each(|shown| *shown = None);
                        }
                    }
                    asked.push((place, passes));
                    passes
                }
            };
            if !passes {
                all.push(*selector);
            }
        }
        let mut asked = core::mem::take(&mut self.quiet.asked);
        asked.drain(..).filter(|(_, passes)| !passes).for_each(|(place, _)| self.has_failed(place));
        self.quiet.asked = asked;
        all
    }

    /// A watch did not pass over a batch: its rules will look.
    fn has_failed(&mut self, place: usize) {
        let watched = self.quiet.watches[place].as_mut().expect("the watch of a rule");
        watched.failed += 1;
        if watched.watch.outlasts_looks() && watched.batches >= WORTH && watched.failed < FAILED_MAX {
            watched.batches = 0;
        } else {
            self.give_up(place);
        }
    }

    /// The watch of a rule that was looked at takes in what may move it now, or gives it up.
    fn take_in(&mut self, rule: usize) {
        let Some(Place { watch: Some(place), looked: true, .. }) = self.quiet.rules.get(rule) else { return };
        let state = self.rules.get(rule as u32).expect("every rule has a state");
        let live = state.live.as_ref().filter(|_| state.is_ready());
        let watched = self.quiet.watches[*place].as_mut().expect("the watch of a rule");
        match live.is_some_and(|live| watched.watch.take_in(&live.stream)) {
            true => self.quiet.rules[rule].looked = false,
            false => self.quiet.leave(rule),
        }
    }

    /// Watches rules from here on that looked at a batch of one selection, where that is likely to be of use.
    pub(crate) fn watch(&mut self, selectors: &[SelectorId]) {
        let mut made: Vec<usize> = Vec::new();
        for selector in selectors {
            let number = selector.rule as usize;
            let of = &mut self.quiet.rules[number];
            if of.rest > 0 || of.watch.is_some() {
                of.rest = of.rest.saturating_sub(1);
                continue;
            }
            let (g, r) = self.places[number];
            let Rules { quiet: Quiet { watches, free, .. }, rules, set, .. } = self;
            let state = rules.get(selector.rule).expect("every rule has a state");
            let Some(live) = state.live.as_ref().filter(|_| state.is_ready()) else { continue };
            let expr = &set.groups[g].rules[r].expr;
            let watch = Watch::of(expr, &live.stream);
            let mut joins = |watch: &Watch| {
                let mut made = made.iter().copied();
                made.find(|place| watches[*place].as_mut().is_some_and(|known| known.watch.join(watch)))
            };
            let mut place = watch.as_ref().and_then(&mut joins);
            if let (None, Some(watch)) = (place, watch) {
                let fresh = free.pop().unwrap_or(watches.len());
                watches.resize_with(watches.len().max(fresh + 1), || None);
                watches[fresh] = Some(Watched { watch, rules: Vec::new(), groups: Vec::new(), batches: 0, failed: 0 });
                made.push(fresh);
                place = Some(fresh);
            }
            let of = &mut self.quiet.rules[number];
            (of.watch, of.looked) = (place, false);
            let Some(place) = place else {
                of.vain = (of.vain + 1).min(DOUBLED_MAX);
                of.rest = 1 << of.vain;
                continue;
            };
            let watched = self.quiet.watches[place].as_mut().expect("the watch of a rule");
            watched.rules.push(selector.rule);
            if watched.groups.last() != Some(&g) {
                watched.groups.push(g);
            }
        }
    }

    /// A rule is about to be looked at, or its state to change: it and all of its watch are told what they passed over.
    #[inline]
    pub(crate) fn look_at(&mut self, rule: usize) {
        if let Some(Place { watch: Some(place), .. }) = self.quiet.rules.get(rule) {
            let place = *place;
            if self.quiet.note_look(rule) { self.tell_passed(place) } else { self.give_up(place) }
        }
    }

    fn give_up(&mut self, place: usize) {
        self.tell_passed(place);
        while let Some(rule) = self.quiet.watches[place].as_ref().and_then(|watched| watched.rules.last()) {
            self.quiet.leave(*rule as usize);
        }
    }

    /// Evaluates rules of one watch that stand one after another, from `number` on and before `end`, at an instant at which nothing
    /// of them changes: how many; none where that is not so, or not known.
    ///
    /// Nothing is told of them and nothing appended, and none stands between them that might append: so it is one look for all.
    pub(crate) fn pass_instant(
        &mut self,
        number: usize,
        end: usize,
        at: Millis,
        readings: &mut Readings,
        series: &dyn RuleSeries,
    ) -> usize {
        let Rules { quiet, rules, options, .. } = self;
        let Some(place) = quiet.rules.get(number).and_then(|of| of.watch) else { return 0 };
        let watched = quiet.watches[place].as_mut().expect("the watch of a rule");
        let all = number..number + watched.rules.len();
        let is_all = watched.rules.iter().map(|rule| *rule as usize).eq(all.clone()) && all.end <= end;
        let is_idle = |number: usize| rules.get(number as u32).is_some_and(|state| state.is_idle());
        if !is_all || !all.clone().all(is_idle) {
            return 0;
        }
        let source = OfRule { rule: number as u32, series };
        if !watched.watch.passes_instant(at, &source, options, readings) {
            return 0;
        }
        watched.batches += 1;
        for rule in &watched.rules {
            let record = &mut rules.row_mut(*rule).record;
            record.evaluations += 1;
            record.note(at, Ok(()));
        }
        watched.rules.len()
    }

    /// A rule is about to read all of its series: it is told how much it passed over, and not what, until [`Rules::has_read_all`].
    pub(crate) fn begins_to_read_all(&mut self, rule: usize) {
        if let Some(place) = self.quiet.rules.get(rule).and_then(|of| of.watch)
            && self.quiet.note_look(rule)
        {
            return self.tell_passed(place);
        }
        let passed = self.quiet.passed(rule);
        if passed > 0 {
            self.rules.row_mut(rule as u32).record.touches += passed;
        }
    }

    /// It did, and is as if it had passed nothing over.
    pub(crate) fn has_read_all(&mut self, rule: usize) {
        if !self.quiet.note_look(rule) {
            self.quiet.leave(rule);
        }
    }

    /// Tells all rules what was passed over: their states are about to be written, or to go.
    pub(crate) fn tell_all_passed(&mut self) {
        (0..self.quiet.watches.len()).for_each(|place| self.tell_passed(place));
    }

    fn tell_passed(&mut self, place: usize) {
        let Some(watched) = self.quiet.watches[place].as_mut().filter(|it| it.watch.is_ahead()) else { return };
        for rule in &watched.rules {
            let state = self.rules.row_mut(*rule);
            state.record.touches += watched.watch.passed();
            if let Some(live) = &mut state.live {
                watched.watch.settle(&mut live.stream);
            }
        }
        watched.watch.settled();
    }

    /// Samples that rules passed over and are yet to be told of, all together.
    pub fn passed_over(&self) -> u64 {
        (0..self.places.len()).map(|rule| self.quiet.passed(rule)).sum()
    }
}
