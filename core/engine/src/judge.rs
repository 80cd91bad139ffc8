//! Rules and the series they read: selections kept per selector, touches handed on.
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use faultline_model::facts::{RulesInForce, RulesRefused, Transition};
use faultline_model::table::PageBytes;
use faultline_model::{CodecError, HistogramSample, Labels, Millis, Position, Reader, RuleFiles, Sample, TenantId};
use faultline_observe::series::{Applied, NO_SOURCE, SeriesStore};
use faultline_observe::sources::Sources;
use faultline_promql::{Matcher, SeriesView};
use faultline_rules::{Explained, RuleSeries, Rules, SelectorId, Sight};

/// Recording rules feed `stream` rules feed recording rules: so many rounds, then the grid sees to the rest.
const ROUNDS_MAX: usize = 8;

/// The rules in force and what their selectors match.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) rules: Rules,
    // Derived from the rules.
    selections: Selections,
}

/// Selections by selector and back; selectors that match the same series share one.
#[derive(Debug, Default)]
struct Selections {
    of_selector: BTreeMap<SelectorId, u32>,
    told: BTreeMap<u32, Vec<SelectorId>>,
}

impl Default for Judge {
    fn default() -> Self {
        Judge { rules: Rules::new(TenantId(0)), selections: Selections::default() }
    }
}

impl Judge {
    /// The rules that [`Rules::write_rest`] wrote; what they read is for [`Judge::select`] to say.
    pub(crate) fn read(r: &mut Reader<'_>, pages: &mut PageBytes) -> Result<Self, CodecError> {
        Ok(Judge { rules: Rules::read(r, pages)?, selections: Selections::default() })
    }

    /// Puts rule files into force, or says why not; then what was in force stays.
    #[expect(clippy::too_many_arguments, reason = "the engine's parts, borrowed one by one")]
    pub(crate) fn load(
        &mut self,
        files: &RuleFiles,
        now: Millis,
        cause: Position,
        series: &mut SeriesStore,
        sources: &Sources,
        applied: &mut Applied,
        out: &mut Vec<Transition>,
    ) -> Result<RulesInForce, RulesRefused> {
        let mut access = Access::new(series, sources, applied, &self.selections, now);
        let counts = self.rules.load(files, now, cause, &mut access, out)?;
        self.select(series);
        Ok(counts)
    }

    /// Registers what the rules' selectors read.
    pub(crate) fn select(&mut self, series: &mut SeriesStore) {
        series.clear_selections();
        self.selections = Selections::default();
        let mut same: Vec<(Vec<Matcher>, i64, bool, Vec<SelectorId>)> = Vec::new();
        let mut by_text: BTreeMap<alloc::string::String, usize> = BTreeMap::new();
        for selector in self.rules.selectors() {
            let text = alloc::format!("{:?}", selector.matchers);
            let at = *by_text.entry(text).or_insert_with(|| {
                same.push((selector.matchers.clone(), 0, false, Vec::new()));
                same.len() - 1
            });
            let it = &mut same[at];
            it.1 = it.1.max(selector.history_ms);
            it.2 |= selector.stream;
            it.3.push(selector.id);
            if selector.stream {
                self.selections.told.entry(at as u32).or_default().push(selector.id);
            }
            self.selections.of_selector.insert(selector.id, at as u32);
        }
        for (number, (matchers, keep, told, _)) in same.iter().enumerate() {
            assert_eq!(series.select(matchers, *keep, *told) as usize, number, "selections are numbered in order");
        }
    }

    /// The selection of a selector.
    pub(crate) fn selection(&self, selector: SelectorId) -> Option<u32> {
        self.selections.of_selector.get(&selector).copied()
    }

    /// Runs what is due at `at`.
    pub(crate) fn advance(
        &mut self,
        at: Millis,
        cause: Position,
        series: &mut SeriesStore,
        sources: &Sources,
        applied: &mut Applied,
        out: &mut Vec<Transition>,
    ) {
        let mut access = Access::new(series, sources, applied, &self.selections, at);
        self.rules.advance(at, cause, &mut access, out);
    }

    /// Looks closely at the rules of a name.
    pub(crate) fn explain(
        &self,
        name: &str,
        asked: &[Matcher],
        at: Millis,
        series: &mut SeriesStore,
        sources: &Sources,
    ) -> Vec<Explained> {
        let (applied, selections) = (&mut Applied::default(), &self.selections);
        let access = Access::new(series, sources, applied, selections, at);
        self.rules.explain(name, asked, at, &access)
    }

    /// Lets `stream` rules react to the samples in `applied.touches`, which it empties.
    pub(crate) fn touch(
        &mut self,
        at: Millis,
        cause: Position,
        series: &mut SeriesStore,
        sources: &Sources,
        applied: &mut Applied,
        out: &mut Vec<Transition>,
    ) {
        for _ in 0..ROUNDS_MAX {
            let mut touches = core::mem::take(&mut applied.touches);
            if touches.is_empty() {
                return;
            }
            // A series may have got many samples: its ring holds them all, so once is enough.
            touches.sort();
            touches.dedup();
            let (series, applied, selections) = (&mut *series, &mut *applied, &self.selections);
            let access = Access::new(series, sources, applied, selections, at);
            for touches in touches.chunk_by(|a, b| a.selection == b.selection) {
                let told = self.selections.told.get(&touches[0].selection).map_or(&[][..], |told| told);
                let all: Vec<u32> = touches.iter().map(|touch| touch.series).collect();
                access.series.fetch(&all);
                self.rules.touch_all(told, &all, at, cause, &access, out);
            }
        }
        if !applied.touches.is_empty() {
            applied.touches.clear();
            self.rules.read_again();
        }
    }
}

/// What the rules see of the series.
struct Access<'a> {
    series: &'a mut SeriesStore,
    sources: &'a Sources,
    applied: &'a mut Applied,
    selections: &'a Selections,
    now: Millis,
    /// By selection, series that rules appended to a moment ago: those that read them at the same instant are told later.
    appended: BTreeMap<u32, BTreeSet<u32>>,
}

impl<'a> Access<'a> {
    fn new(
        series: &'a mut SeriesStore,
        sources: &'a Sources,
        applied: &'a mut Applied,
        selections: &'a Selections,
        now: Millis,
    ) -> Self {
        let mut access = Access { series, sources, applied, selections, now, appended: BTreeMap::new() };
        access.note(0);
        access
    }

    /// Notes who is to be told of samples from the `first` touch on.
    fn note(&mut self, first: usize) {
        for touch in &self.applied.touches[first..] {
            self.appended.entry(touch.selection).or_default().insert(touch.series);
        }
    }
}

impl RuleSeries for Access<'_> {
    fn begun(&self) -> bool {
        self.series.counts().accepted > 0
    }

    fn whole_since(&self, matchers: &[Matcher]) -> Option<Millis> {
        self.series.whole_since(matchers)
    }

    fn select(&self, id: SelectorId, visit: &mut dyn FnMut(SeriesView<'_>)) {
        let selection = self.selections.of_selector.get(&id).expect("every selector was registered");
        self.series.members(*selection, visit);
    }

    fn select_some(&self, id: SelectorId, numbers: &BTreeSet<u32>, visit: &mut dyn FnMut(SeriesView<'_>)) {
        let selection = self.selections.of_selector.get(&id).expect("every selector was registered");
        let appended = self.appended.get(selection).into_iter().flatten().filter(|id| !numbers.contains(id));
        for &number in numbers.iter().chain(appended) {
            if self.series.is_member(number, *selection) {
                visit(self.series.view(number));
            }
        }
    }

    fn query(&self, matchers: &[Matcher], visit: &mut dyn FnMut(SeriesView<'_>)) {
        for id in self.series.find(matchers) {
            visit(self.series.view(id));
        }
    }

    fn silent(&self, id: SelectorId, sight: Sight, visit: &mut dyn FnMut(&Labels)) {
        let selection = self.selections.of_selector.get(&id).expect("every selector was registered");
        crate::silent::silent(self.series, self.sources, *selection, sight, self.now, visit);
    }

    fn is_down(&self, series: u32) -> bool {
        let is_sent = self.series.heard(series).0 != NO_SOURCE;
        is_sent && crate::silent::is_down(self.series, &self.series.view(series), self.now)
    }

    fn view(&self, series: u32) -> SeriesView<'_> {
        self.series.view(series)
    }

    fn append(&mut self, labels: &Labels, sample: Sample) {
        let before = self.applied.touches.len();
        self.series.append(labels, sample, self.now, self.applied);
        self.note(before);
    }

    fn append_histogram(&mut self, labels: &Labels, sample: HistogramSample) {
        let before = self.applied.touches.len();
        self.series.append_histogram(labels, sample, self.now, self.applied);
        self.note(before);
    }
}
