//! All rules of a tenant: what is due, what is evaluated when, and what a new set of files changes.
use crate::alert::timer;
use crate::cover::Lacking;
use crate::file::parse;
use crate::grid::{instant_after, instant_at_or_before, offset_ms};
use crate::judge::Judge;
use crate::quiet::Quiet;
use crate::series::{RuleSelector, RuleSeries, SelectorId};
use crate::set::{RuleKind, RuleSet};
use crate::state::{GroupState, Held, Live, RuleState, Standing, Timers, read_timers, write_timers};
use crate::view::GroupView;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::facts::{AlertState, RulesInForce, RulesRefused, Transition};
use faultline_model::table::{PageBytes, Paged};
use faultline_model::{
    Canonical, CodecError, Digest, Evaluation, Labels, Millis, Position, Reader, RuleFiles, Sample, Table, TenantId,
    Writer,
};
use faultline_promql::{Aside, Batch, EvalError, Options, Readings, Stream};

/// The rules in force and all that they remember. Driven by the engine; it knows neither clocks nor series of its own.
///
/// Rule time must not fall between calls. Transitions come in time order; of one instant in the order of groups, rules
/// and alert labels.
#[derive(Debug)]
pub struct Rules {
    pub(crate) tenant: TenantId,
    files: RuleFiles,
    pub(crate) set: RuleSet,
    /// One per group of the set.
    pub(crate) groups: Vec<GroupState>,
    /// One per rule of the set, groups after one another: a rule's number is its id here.
    pub(crate) rules: States,
    /// Group and place within it of each rule.
    pub(crate) places: Vec<(usize, usize)>,
    /// Next instants, by time and group.
    grid: BTreeSet<(Millis, usize)>,
    pub(crate) timers: Timers,
    pub(crate) suspended: bool,
    pub(crate) options: Options,
    /// What they lacked when they came into force, until somebody is told.
    pub(crate) lacking: Vec<Lacking>,
    /// Of each group what was shown last, unless it changed since: derived.
    pub(crate) shown: Vec<Option<Arc<GroupView>>>,
    /// What samples passed over: derived.
    pub(crate) quiet: Quiet,
}

/// What rules remember, a rule a page: one may have 100,000 elements and the next none.
pub(crate) type States = Table<RuleState, 1>;
/// Name of the states' table.
const TABLE: &str = "rules";

impl Rules {
    /// No rules yet.
    pub fn new(tenant: TenantId) -> Rules {
        Rules {
            tenant,
            files: RuleFiles::default(),
            set: RuleSet::default(),
            groups: Vec::new(),
            rules: States::default(),
            places: Vec::new(),
            grid: BTreeSet::new(),
            timers: Timers::new(),
            suspended: false,
            options: Options::default(),
            lacking: Vec::new(),
            shown: Vec::new(),
            quiet: Quiet::default(),
        }
    }

    /// The rule files in force.
    pub fn files(&self) -> &RuleFiles {
        &self.files
    }

    /// Puts a set of rule files in force in place of the one before.
    ///
    /// Rules of the same group and name keep their alerts, whatever else was edited; alerts of rules that are gone end
    /// here, and their series get stale markers. A group whose interval changed, and a new one, is evaluated first at
    /// its next instant after `at`. A rule whose ranges are not covered is *unknown* until they are: it is not evaluated,
    /// and its alerts stay as they are. A refused set changes nothing.
    pub fn load(
        &mut self,
        files: &RuleFiles,
        at: Millis,
        cause: Position,
        series: &mut dyn RuleSeries,
        out: &mut Vec<Transition>,
    ) -> Result<RulesInForce, RulesRefused> {
        let digest = Digest::of(&files.to_bytes());
        let set = parse(files).map_err(|e| RulesRefused { digest, file: e.file, line: e.line, reason: e.reason })?;
        self.tell_all_passed();
        let mut old = core::mem::replace(self, Rules::of(self.tenant, files.clone(), set));
        self.suspended = old.suspended;
        let carried = self.carry(&old, at, series.begun());
        // What samples told rules that were unknown, or read less, is not known.
        self.read_again();
        self.cover(&old, at, series);
        self.set_timers(at);
        for (number, state) in old.rules.iter().filter(|(number, _)| !carried.contains(&(*number as usize))) {
            let judge = old.judge(number as usize, cause);
            for (labels, alert) in state.alerts.iter() {
                out.push(judge.transition(labels, alert, alert.shown(), AlertState::Ok, at));
            }
            for labels in state.appended.keys() {
                series.append(labels, Sample::stale(at));
            }
        }
        // The same table: it may be frozen.
        let fresh = core::mem::replace(&mut self.rules, core::mem::take(&mut old.rules));
        self.rules.replace_rows(fresh);
        let count = |alerts: bool| {
            let rules = self.set.groups.iter().flat_map(|g| &g.rules);
            rules.filter(|r| matches!(r.kind, RuleKind::Alert(_)) == alerts).count() as u64
        };
        let (unknown, unknown_count) = self.unknown();
        let groups = self.set.groups.len() as u64;
        Ok(RulesInForce { digest, groups, alerts: count(true), records: count(false), unknown_count, unknown })
    }

    /// Rules of a set with nothing remembered and no place on the grid yet.
    pub(crate) fn of(tenant: TenantId, files: RuleFiles, set: RuleSet) -> Rules {
        let mut rules = Rules { files, ..Rules::new(tenant) };
        for (g, group) in set.groups.iter().enumerate() {
            rules.places.extend((0..group.rules.len()).map(|r| (g, r)));
        }
        rules.set = set;
        rules
    }

    /// Takes over what `old` remembers of rules that are still there; says which rules of `old` those are.
    ///
    /// - `begun`: whether there are series that a stream without its own would have to read first.
    pub(crate) fn carry(&mut self, old: &Rules, at: Millis, begun: bool) -> BTreeSet<usize> {
        let mut carried = BTreeSet::new();
        let mut free: BTreeMap<_, VecDeque<usize>> = BTreeMap::new();
        for (number, &(b, r)) in old.places.iter().enumerate() {
            let rule = &old.set.groups[b].rules[r];
            free.entry((b, &*rule.name, rule.kind == RuleKind::Record)).or_default().push_back(number);
        }
        let groups = old.set.groups.iter().enumerate().map(|(b, group)| ((&*group.file, &*group.name), b));
        let groups: BTreeMap<_, usize> = groups.collect();
        for (g, group) in self.set.groups.iter().enumerate() {
            let before = groups.get(&(&*group.file, &*group.name)).copied();
            let offset = offset_ms(&group.file, &group.name, group.interval_ms);
            let mut state = GroupState { next: instant_after(at, offset, group.interval_ms), last: None, missed: 0 };
            if let Some(b) = before {
                let same = old.set.groups[b].interval_ms == group.interval_ms;
                state =
                    if same { old.groups[b].clone() } else { GroupState { next: state.next, ..old.groups[b].clone() } };
            }
            self.grid.insert((state.next, g));
            self.groups.push(state);
            for rule in &group.rules {
                // The first of a name takes the first of that name, the second the second, as in Prometheus.
                // Alerts of a group that was tried only were told to nobody, and those of one that is now must end for everybody.
                let is_same = |b: &usize| rule.kind == RuleKind::Record || old.set.groups[*b].dry_run == group.dry_run;
                let key = before.filter(is_same).map(|b| (b, &*rule.name, rule.kind == RuleKind::Record));
                let number = key.and_then(|key| free.get_mut(&key)).and_then(|numbers| numbers.pop_front());
                let mut state = number.map(|n| old.state(n).clone()).unwrap_or_default();
                carried.extend(number);
                let same_text = number.is_some_and(|n| {
                    let (b, r) = old.places[n];
                    old.set.groups[b].rules[r].text == rule.text
                });
                let kept = state.live.take().filter(|_| same_text);
                let standing = if begun { Standing::Unread } else { Standing::Follows };
                state.live = live(group, rule).ok().map(|fresh| kept.unwrap_or(Live { standing, ..fresh }));
                self.rules.insert(state);
            }
        }
        carried
    }

    /// Sets the timers of alerts that were taken over. A rule that is unknown, or has yet to read its series, has none:
    /// time moves its alerts when it is evaluated.
    fn set_timers(&mut self, at: Millis) {
        for ((number, state), &(g, r)) in self.rules.iter().zip(&self.places) {
            let RuleKind::Alert(alerting) = &self.set.groups[g].rules[r].kind else { continue };
            if !state.is_ready() {
                continue;
            }
            let due = |(labels, alert)| {
                timer(alert, alerting).filter(|due| *due > at).map(|due| (due, number, Clone::clone(labels)))
            };
            self.timers.extend(state.alerts.iter().filter_map(due));
        }
    }

    /// What a rule remembers.
    pub(crate) fn state(&self, number: usize) -> &RuleState {
        self.rules.get(number as u32).expect("every rule has a state")
    }

    /// The same for changing.
    pub(crate) fn state_mut(&mut self, number: usize) -> &mut RuleState {
        self.look_at(number);
        self.changes(self.places[number].0);
        self.rules.row_mut(number as u32)
    }

    /// What was shown of a group is out of date.
    fn changes(&mut self, group: usize) {
        if let Some(shown) = self.shown.get_mut(group) {
            *shown = None;
        }
    }

    fn judge(&self, number: usize, cause: Position) -> Judge<'_> {
        let (g, r) = self.places[number];
        Judge {
            tenant: self.tenant,
            set: &self.set,
            options: &self.options,
            suspended: self.suspended,
            cause,
            group: &self.set.groups[g],
            rule: &self.set.groups[g].rules[r],
            number: number as u32,
        }
    }

    /// The selectors of all rules in force, by rule and place.
    pub fn selectors(&self) -> Vec<RuleSelector> {
        let mut all = Vec::new();
        for (number, &(g, r)) in self.places.iter().enumerate() {
            let (group, rule) = (&self.set.groups[g], &self.set.groups[g].rules[r]);
            for (index, selector) in rule.expr.selectors().iter().enumerate() {
                let own = selector.history_ms();
                let history_ms = own.unwrap_or(selector.range).saturating_add(group.query_offset_ms).max(0);
                all.push(RuleSelector {
                    id: SelectorId { rule: number as u32, index: index as u32 },
                    matchers: selector.matchers.clone(),
                    history_ms,
                    stream: self.state(number).live.is_some(),
                });
            }
        }
        all
    }

    /// While true, rules that ask for absence raise no alert and fire none: after a start, until senders have caught
    /// up. Alerts that are active stay what they are as long as their element is there, and end when it goes.
    pub fn suspend_absence(&mut self, suspended: bool) {
        self.suspended = suspended;
    }

    /// Ends every alert; what still holds begins anew when it is next evaluated.
    pub fn end_alerts(&mut self, at: Millis, cause: Position, out: &mut Vec<Transition>) {
        for number in 0..self.places.len() {
            let mut state = core::mem::take(self.state_mut(number));
            let judge = self.judge(number, cause);
            for (labels, alert) in state.alerts.iter() {
                state.ended.note(cause, labels, alert.occurrence);
                out.push(judge.transition(labels, alert, alert.shown(), AlertState::Ok, at));
            }
            state.alerts.replace(BTreeMap::new());
            if let Some(live) = &mut state.live {
                let loose = |(labels, held): (&Labels, &Held)| (labels.clone(), Held { alert: None, ..held.clone() });
                let elements = live.elements.iter().map(loose).collect();
                live.elements.replace(elements);
            }
            *self.state_mut(number) = state;
        }
        self.timers.clear();
    }

    /// The next grid instant or timer.
    pub fn due(&self) -> Option<Millis> {
        let (grid, timer) = (self.grid.first().map(|(at, _)| *at), self.timers.first().map(|(at, ..)| *at));
        match (grid, timer) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Does what is due at or before `at`, in time order. Of a group's instants only the latest is evaluated; those
    /// before it are counted as missed, as in Prometheus. Called at each [`Rules::due`] in turn, nothing is missed.
    pub fn advance(&mut self, at: Millis, cause: Position, series: &mut dyn RuleSeries, out: &mut Vec<Transition>) {
        self.pass_over_missed(at);
        loop {
            let grid = self.grid.first().copied().filter(|(due, _)| *due <= at);
            let timer = self.timers.first().filter(|(due, ..)| *due <= at);
            match (grid, timer) {
                // At one instant the grid goes first: what it ends does not fire.
                (Some((due, _)), Some((timer, ..))) if *timer < due => self.run_timer(cause, series, out),
                (Some((due, group)), _) => self.run_group(group, due, cause, series, out),
                (None, Some(_)) => self.run_timer(cause, series, out),
                (None, None) => return,
            }
        }
    }

    /// Evaluates the `group`-th group at this instant, whatever its grid says: how unit tests of rules are run.
    pub fn evaluate_group(
        &mut self,
        group: usize,
        at: Millis,
        cause: Position,
        series: &mut dyn RuleSeries,
        out: &mut Vec<Transition>,
    ) {
        // Whoever asks for that need not have told of samples.
        self.read_again();
        self.run_group(group, at, cause, series, out);
    }

    fn pass_over_missed(&mut self, at: Millis) {
        let late: Vec<(Millis, usize)> = self.grid.iter().take_while(|(due, _)| *due <= at).copied().collect();
        for (due, g) in late {
            let group = &self.set.groups[g];
            let latest =
                instant_at_or_before(at, offset_ms(&group.file, &group.name, group.interval_ms), group.interval_ms);
            if latest > due {
                self.groups[g].missed += (latest.since(due) / group.interval_ms) as u64;
                self.plan(g, latest);
            }
        }
    }

    fn plan(&mut self, group: usize, next: Millis) {
        self.grid.remove(&(self.groups[group].next, group));
        self.groups[group].next = next;
        self.changes(group);
        self.grid.insert((next, group));
    }

    fn run_group(
        &mut self,
        g: usize,
        at: Millis,
        cause: Position,
        series: &mut dyn RuleSeries,
        out: &mut Vec<Transition>,
    ) {
        let first = self.places.partition_point(|(group, _)| *group < g);
        let (mut readings, mut next, end) = (Readings::default(), first, first + self.set.groups[g].rules.len());
        self.changes(g);
        while next < end {
            let passed = self.pass_instant(next, end, at, &mut readings, series);
            if passed > 0 {
                next += passed;
                continue;
            }
            let number = next;
            next += 1;
            self.begins_to_read_all(number);
            let mut state = core::mem::take(self.rules.row_mut(number as u32));
            let mut timers = core::mem::take(&mut self.timers);
            state.unknown_until = state.unknown_until.filter(|until| at < *until);
            let judge = self.judge(number, cause);
            if state.unknown_until.is_some() {
                judge.while_unknown(&mut state, at, series);
            } else {
                let appended = !state.appended.is_empty();
                let aside = Aside { watch: self.quiet.watch(number), readings: &mut readings };
                let result = judge.at_instant(&mut state, &mut timers, at, aside, series, out);
                if appended || !state.appended.is_empty() {
                    readings.forget();
                }
                state.record.evaluations += 1;
                state.record.note(at, result);
            }
            self.has_read_all(number);
            *self.state_mut(number) = state;
            self.timers = timers;
        }
        self.groups[g].last = Some(at);
        self.plan(g, at.plus(self.set.groups[g].interval_ms));
    }

    fn run_timer(&mut self, cause: Position, series: &dyn RuleSeries, out: &mut Vec<Transition>) {
        let Some((due, number, labels)) = self.timers.pop_first() else { return };
        let number = number as usize;
        let mut state = core::mem::take(self.state_mut(number));
        let mut timers = core::mem::take(&mut self.timers);
        self.judge(number, cause).time_passed(&mut state, &mut timers, due, labels, series, out);
        *self.state_mut(number) = state;
        self.timers = timers;
    }

    /// Evaluates what new samples of series change, for the rules of `stream` groups that have these selectors, which select the
    /// same. What is due before `at` must have been done.
    ///
    /// Transitions come in the order of the series, of one series in that of the selectors. One rule looks at all series before
    /// the next does: most of them change nothing, and what there is to know of a rule is at hand then.
    pub fn touch_all(
        &mut self,
        selectors: &[SelectorId],
        series: &[u32],
        at: Millis,
        cause: Position,
        access: &dyn RuleSeries,
        out: &mut Vec<Transition>,
    ) {
        let (begun, mut places) = (out.len(), Vec::new());
        let view = |number| access.view(number);
        let mut batch = Batch::new(series, &view);
        let moved = self.moved(selectors, &mut batch, at);
        for selector in &moved {
            let mut next = 0;
            while next < series.len() {
                next += self.touch_some(*selector, &mut batch, next, at, cause, access, out);
                places.resize(out.len() - begun, next);
            }
        }
        self.watch(&moved);
        if selectors.len() > 1 && !places.is_empty() {
            let mut found: Vec<(usize, Transition)> = places.into_iter().zip(out.drain(begun..)).collect();
            found.sort_by_key(|(place, _)| *place);
            out.extend(found.into_iter().map(|(_, transition)| transition));
        }
    }

    /// Series may have got samples that [`Rules::touch_all`] was not told of: at its next instant each rule reads all of its series.
    pub fn read_again(&mut self) {
        for number in 0..self.places.len() {
            if let Some(live) = &mut self.state_mut(number).live {
                live.stream.read_again();
            }
        }
    }

    /// Evaluates what new samples of series of a batch change for one rule, from the `first` on, up to one that changes its result:
    /// how many, at least one.
    #[expect(clippy::too_many_arguments, reason = "one step of one rule, in one place")]
    fn touch_some(
        &mut self,
        selector: SelectorId,
        batch: &mut Batch<'_>,
        first: usize,
        at: Millis,
        cause: Position,
        access: &dyn RuleSeries,
        out: &mut Vec<Transition>,
    ) -> usize {
        let number = selector.rule as usize;
        let (g, r) = self.places[number];
        if !self.state(number).is_ready() {
            return batch.len() - first;
        }
        self.look_at(number);
        self.changes(g);
        let state = self.rules.row_mut(selector.rule);
        let Some(live) = &mut state.live else { return batch.len() - first };
        let (stream, index) = (&mut live.stream, selector.index as usize);
        let (expr, options) = (&self.set.groups[g].rules[r].expr, &self.options);
        let mut changes = Vec::new();
        let (mut taken, mut touched) = stream.touch_some(expr, at, index, batch, first, options, &mut changes);
        if changes.is_empty() && touched.is_ok() && first + taken < batch.len() {
            // The next one takes more than a look.
            touched = stream.touch(expr, at, index, batch.view(first + taken), options, &mut changes);
            taken += 1;
        }
        state.record.touches += taken as u64;
        if changes.is_empty() && touched.is_ok() {
            return taken;
        }
        let series = batch.number(first + taken - 1);
        let mut state = core::mem::take(self.state_mut(number));
        let mut timers = core::mem::take(&mut self.timers);
        let judge = self.judge(number, cause);
        if touched == Err(EvalError::Histograms) {
            judge.fall_back(&mut state, &mut timers);
        } else {
            let changed = judge.changes(&mut state, &mut timers, at, changes, series, access, out);
            state.record.note(at, touched.map_err(|e| e.to_string()).and(changed));
        }
        *self.state_mut(number) = state;
        self.timers = timers;
        taken
    }

    /// Why a rule is evaluated on the grid only, and nothing where each sample counts.
    pub(crate) fn grid_only(&self, number: usize) -> Option<String> {
        match &self.state(number).live {
            Some(live) if live.standing == Standing::Grid => {
                return Some("a selector finds native histograms, which streams do not follow".into());
            }
            Some(_) => return None,
            None => {}
        }
        let (g, r) = self.places[number];
        live(&self.set.groups[g], &self.set.groups[g].rules[r]).err()
    }

    /// What each rule remembers, by the name of its table: with [`Rules::write_rest`], all of the state.
    pub fn tables(&mut self) -> [(&'static str, &mut dyn Paged); 1] {
        self.tell_all_passed();
        [(TABLE, &mut self.rules)]
    }

    /// Writes what is beside the table, the files in force included.
    pub fn write_rest(&self, w: &mut Writer) {
        w.array(6);
        self.tenant.write(w);
        self.files.write(w);
        self.suspended.write(w);
        self.groups.write(w);
        self.rules.write_rest(w);
        write_timers(&self.timers, w);
    }

    /// Reads back what [`Rules::write_rest`] wrote, and the table's pages.
    pub fn read(r: &mut Reader<'_>, pages: &mut PageBytes) -> Result<Rules, CodecError> {
        r.array_of(6)?;
        let tenant = TenantId::read(r)?;
        let error = r.invalid("set of rule files");
        let files = RuleFiles::read(r)?;
        let set = parse(&files).map_err(|_| error)?;
        let mut rules = Rules::of(tenant, files, set);
        rules.suspended = bool::read(r)?;
        let error = r.invalid("state of groups");
        rules.groups = Vec::read(r)?;
        if rules.groups.len() != rules.set.groups.len() {
            return Err(error);
        }
        rules.grid = rules.groups.iter().enumerate().map(|(g, group)| (group.next, g)).collect();
        let error = r.invalid("states of rules");
        rules.rules = States::read_with(r, TABLE, pages, |number, r| {
            let &(g, place) = rules.places.get(number as usize).ok_or(r.invalid("state of a rule"))?;
            let (group, rule) = (&rules.set.groups[g], &rules.set.groups[g].rules[place]);
            RuleState::read(r, &rule.expr, live(group, rule).is_ok())
        })?;
        if rules.rules.len() != rules.places.len() {
            return Err(error);
        }
        let error = r.invalid("timers of rules");
        rules.timers = read_timers(r)?;
        let known = rules.timers.iter().all(|(_, number, _)| (*number as usize) < rules.places.len());
        if known { Ok(rules) } else { Err(error) }
    }
}

/// The incremental form of a rule; where it has none, why.
fn live(group: &crate::Group, rule: &crate::Rule) -> Result<Live, String> {
    if group.evaluation == Evaluation::Grid {
        return Err("the group is evaluated on the grid".into());
    }
    if rule.kind == RuleKind::Record {
        return Err("a recording rule is evaluated on the grid".into());
    }
    if group.query_offset_ms != 0 {
        return Err("the group looks at another time than its own (query_offset)".into());
    }
    let stream = Stream::compile(&rule.expr).map_err(|e| e.to_string())?;
    Ok(Live { standing: Standing::Follows, stream, elements: Default::default() })
}
