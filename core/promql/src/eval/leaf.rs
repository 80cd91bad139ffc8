//! What is read of one series: the same code for the grid and for a stream.
use super::Evaluator;
use super::chain::{Base, Step};
use super::names::{check_unique, without_metadata};
use super::remarks;
use super::subquery::Points;
use crate::expr::{At, Extent, Kind, Node, Span};
use crate::function::Func;
use crate::histogram::is_reset;
use crate::range::{
    Marks, RangeFunc, Starts, Stretch, Subject, Window, extended, extended_mixed, histograms_within, keeps_name,
    seconds, starts, within,
};
use crate::{Annotations, Element, EvalError, Selector, SeriesView};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::histogram::ResetHint;
use faultline_model::{Histogram, Labels, Millis, Number, Sample};

/// What is read of the samples of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Read {
    /// The newest value within the look-back.
    Value,
    /// Its time, in s.
    Time,
    /// When it began to be counted, in s; 0 where that is not known.
    Start,
    /// A function of the stretch.
    Stretch(RangeFunc),
}

impl Read {
    /// What is read of the newest sample, of which it is not known when it began to be counted.
    #[inline]
    pub(super) fn newest(self, sample: &Sample) -> Option<f64> {
        match self {
            Read::Time => Some(seconds(sample.time())),
            Read::Start => None,
            Read::Value | Read::Stretch(_) => Some(sample.value()),
        }
    }

    /// Whether the result is no longer the metric that was read.
    pub(crate) fn drops_name(self) -> bool {
        match self {
            Read::Value => false,
            Read::Time | Read::Start => true,
            Read::Stretch(range) => !keeps_name(range.func),
        }
    }
}

/// What is read, when, and what is done to it.
pub(crate) struct Leaf<'a> {
    pub(crate) read: Read,
    pub(crate) steps: &'a [Step],
    pub(crate) window: Window,
    /// Whether what lies beyond the window counts, and how far it is looked for.
    pub(crate) extent: Extent,
    lookback_ms: i64,
    /// Where what is read stands, for annotations.
    pub(crate) at: Span,
    /// Whether floats take the long way too: a step says something of them.
    long_way: bool,
    /// Whether histograms are read without their buckets: with what these say of resets from one to the next.
    alone: bool,
}

impl<'a> Leaf<'a> {
    /// The leaf of a selector at an instant.
    pub(crate) fn new(read: Read, steps: &'a [Step], selector: &Selector, at: Millis, lookback_ms: i64) -> Leaf<'a> {
        let window = window(selector, at, lookback_ms);
        let extent = match (read, selector.extent) {
            (Read::Value, Extent::Smoothed) | (Read::Stretch(_), _) => selector.extent,
            _ => Extent::Within,
        };
        let long_way = steps.iter().any(|step| step.trims());
        Leaf { read, steps, window, extent, lookback_ms, at: Span::default(), long_way, alone: false }
    }

    /// The same, of what stands at a place in the text.
    ///
    /// - `alone`: whether histograms are read without their buckets.
    pub(super) fn annotated(self, at: Span, alone: bool) -> Leaf<'a> {
        Leaf { at, alone, ..self }
    }

    /// After which time and up to which this looks at samples.
    pub(super) fn span(&self) -> (Millis, Millis) {
        let Window { start, end, .. } = self.window;
        match self.extent {
            Extent::Within => (start, end),
            extent => reach(self.window, extent, self.read, self.lookback_ms),
        }
    }

    /// What is read of a series before any step, and how many samples that touched.
    #[inline]
    fn read(&self, series: SeriesView<'_>, scratch: &mut Vec<Sample>) -> (Option<f64>, u64) {
        let Window { start, end, .. } = self.window;
        let samples = series.samples;
        if self.extent != Extent::Within {
            return self.read_extended(samples, scratch);
        }
        if let Read::Stretch(range) = self.read {
            let (points, marks) = live(within(samples, start, end), series.marks, scratch);
            return (range.value(points, self.window, marks), points.len() as u64);
        }
        let newest = match samples.last() {
            Some(last) if last.time() <= end => Some(last),
            _ => samples[..samples.partition_point(|s| s.time() <= end)].last(),
        };
        match newest.filter(|s| s.time() > start && !s.is_stale()) {
            Some(sample) => (self.read.newest(sample), 1),
            None => (None, 0),
        }
    }

    /// What is read of a stretch whose ends count too.
    #[cold]
    fn read_extended(&self, samples: &[Sample], scratch: &mut Vec<Sample>) -> (Option<f64>, u64) {
        let window = self.window;
        let (points, _) = live(reached(samples, window, self.extent, self.read, self.lookback_ms), None, scratch);
        let value = match self.read {
            Read::Stretch(range) => range.value_extended(points, window, self.extent),
            _ => extended::instant(points, window.end),
        };
        (value, points.len() as u64)
    }

    /// What is read of samples of which it is known when they began to be counted.
    fn read_started(
        &self,
        series: SeriesView<'_>,
        starts: Starts<'_>,
        scratch: &mut Vec<Sample>,
        notes: &mut Annotations,
    ) -> (Option<f64>, u64) {
        let Window { start, end, .. } = self.window;
        match self.read {
            Read::Start => {
                let newest = series.samples[..series.samples.partition_point(|s| s.time() <= end)].last();
                let newest = newest.filter(|s| s.time() > start && !s.is_stale());
                (newest.map(|s| seconds(starts::of(starts, s.time()))), newest.iter().len() as u64)
            }
            Read::Stretch(range) if range.looks_at_starts() && self.extent == Extent::Within => {
                let (points, _) = live(within(series.samples, start, end), series.marks, scratch);
                let rises = matches!(range.func, Func::Rate | Func::Increase);
                if rises && starts::overlap(starts, points.iter().map(Sample::time)) {
                    Subject { metric: series.labels.name(), at: self.at }.overlap(notes);
                }
                (range.value_started(points, starts, self.window), points.len() as u64)
            }
            _ => self.read(series, scratch),
        }
    }

    /// What is read of the floats of a series.
    fn read_floats(
        &self,
        series: SeriesView<'_>,
        scratch: &mut Vec<Sample>,
        notes: &mut Annotations,
    ) -> (Option<f64>, u64) {
        match series.starts {
            Some(starts) => self.read_started(series, starts, scratch, notes),
            None => self.read(series, scratch),
        }
    }

    /// What is read of a series, whatever it holds.
    #[cold]
    fn read_mixed(
        &self,
        series: SeriesView<'_>,
        scratch: &mut Vec<Sample>,
        notes: &mut Annotations,
    ) -> (Option<Number>, u64) {
        let Window { start, end, .. } = self.window;
        if self.extent != Extent::Within {
            return self.read_extended_mixed(series, scratch, notes);
        }
        let Read::Stretch(range) = self.read else {
            let newest = series.histograms[..series.histograms.partition_point(|s| s.time <= end)].last();
            let float = series.samples[..series.samples.partition_point(|s| s.time() <= end)].last();
            let Some(newest) = newest.filter(|h| float.is_none_or(|s| s.time() < h.time)) else {
                let (value, touched) = self.read_floats(series, scratch, notes);
                return (value.map(Number::Float), touched);
            };
            return match &newest.histogram {
                Some(_) if newest.time <= start => (None, 0),
                Some(histogram) if self.read == Read::Time => (Some(seconds(newest.time).into()), cost(histogram)),
                Some(histogram) if self.read == Read::Start => {
                    let start = series.starts.map(|starts| seconds(starts::of(starts, newest.time)));
                    (start.map(Number::Float), cost(histogram))
                }
                Some(histogram) if self.alone => {
                    let told = told(&histograms_within(series.histograms, start, end).collect::<Vec<_>>());
                    (told.into_iter().last().map(Number::Histogram), cost(histogram))
                }
                Some(histogram) => (Some(Number::Histogram(Arc::clone(histogram))), cost(histogram)),
                None => (None, 0),
            };
        };
        let mut histograms: Vec<(Millis, &Arc<Histogram>)> = histograms_within(series.histograms, start, end).collect();
        let told = if self.alone { told(&histograms) } else { Vec::new() };
        histograms.iter_mut().zip(&told).for_each(|((_, histogram), told)| *histogram = told);
        if histograms.is_empty() {
            let (value, touched) = self.read_floats(series, scratch, notes);
            return (value.map(Number::Float), touched);
        }
        let (floats, _) = live(within(series.samples, start, end), None, scratch);
        let starts = series.starts.unwrap_or_default();
        let stretch = Stretch { floats, histograms: &histograms, starts, window: self.window };
        let touched = floats.len() as u64 + histograms.iter().map(|(_, h)| cost(h)).sum::<u64>();
        let subject = Subject { metric: series.labels.name(), at: self.at };
        (range.value_mixed(stretch, subject, notes), touched)
    }

    /// What is read of a stretch whose ends count too, whatever it holds.
    #[cold]
    fn read_extended_mixed(
        &self,
        series: SeriesView<'_>,
        scratch: &mut Vec<Sample>,
        notes: &mut Annotations,
    ) -> (Option<Number>, u64) {
        let (after, until) = self.span();
        let mut histograms: Vec<_> = histograms_within(series.histograms, after, until).collect();
        let resets = matches!(self.read, Read::Stretch(range) if range.func == Func::Resets);
        if histograms.is_empty() && !(resets && series.starts.is_some()) {
            let (value, touched) = self.read(series, scratch);
            return (value.map(Number::Float), touched);
        }
        let told = if self.alone { told(&histograms) } else { Vec::new() };
        histograms.iter_mut().zip(&told).for_each(|((_, histogram), told)| *histogram = told);
        let (floats, _) = live(within(series.samples, after, until), None, scratch);
        let starts = series.starts.unwrap_or_default();
        let stretch = Stretch { floats, histograms: &histograms, starts, window: self.window };
        let touched = floats.len() as u64 + histograms.iter().map(|(_, h)| cost(h)).sum::<u64>();
        let subject = Subject { metric: series.labels.name(), at: self.at };
        let value = match self.read {
            Read::Stretch(range) => range.value_extended_mixed(stretch, self.extent, subject, notes),
            _ => extended_mixed::instant(stretch, subject, notes),
        };
        (value, touched)
    }

    /// What is read before any step of a series that can hold floats alone, and how many samples that touched; nothing where more
    /// must be known of it.
    #[inline]
    pub(crate) fn read_float(&self, series: SeriesView<'_>, scratch: &mut Vec<Sample>) -> Option<(Option<f64>, u64)> {
        if !series.histograms.is_empty() || self.long_way || series.starts.is_some() {
            return None;
        }
        Some(self.read(series, scratch))
    }

    /// The same after all steps.
    #[inline]
    pub(crate) fn float(&self, series: SeriesView<'_>, scratch: &mut Vec<Sample>) -> Option<(Option<f64>, u64)> {
        let (value, touched) = self.read_float(series, scratch)?;
        Some((value.and_then(|x| self.steps.iter().try_fold(x, |x, step| step.apply(x))), touched))
    }

    /// The value of a series after all steps, and how many samples that touched.
    #[inline]
    pub(crate) fn value(
        &self,
        series: SeriesView<'_>,
        scratch: &mut Vec<Sample>,
        notes: &mut Annotations,
    ) -> (Option<Number>, u64) {
        if let Some((value, touched)) = self.float(series, scratch) {
            return (value.map(Number::Float), touched);
        }
        let (value, touched) = self.read_mixed(series, scratch, notes);
        (value.and_then(|x| self.steps.iter().try_fold(x, |x, step| step.apply_number(x, notes))), touched)
    }
}

/// Histograms without their buckets, but with what these say of resets.
fn told(histograms: &[(Millis, &Arc<Histogram>)]) -> Vec<Arc<Histogram>> {
    let mut all = Vec::with_capacity(histograms.len());
    for (i, (_, now)) in histograms.iter().enumerate() {
        let hint = match i.checked_sub(1).map(|before| histograms[before].1) {
            Some(before) if now.hint == ResetHint::Unknown => {
                if is_reset(before, now) {
                    ResetHint::Reset
                } else {
                    ResetHint::NotReset
                }
            }
            _ => now.hint,
        };
        let Histogram { schema, count, sum, .. } = ***now;
        all.push(Arc::new(Histogram { hint, schema, count, sum, ..Histogram::default() }));
    }
    all
}

/// Where annotations about what a function of a stretch reads say that it stands.
///
/// As in Prometheus: where the first argument stands, which a subquery that has been evaluated has no place for any more.
pub(super) fn place(args: &[Node]) -> Span {
    let first = args[0].unwrapped();
    if matches!(first.kind, Kind::Subquery(_)) { Span::default() } else { first.span }
}

/// What touching a histogram counts as, in samples.
pub(super) fn cost(histogram: &Histogram) -> u64 {
    (1 + histogram.positive.len() + histogram.negative.len()) as u64
}

/// The stretch that a selector reads at an instant.
pub(crate) fn window(selector: &Selector, at: Millis, lookback_ms: i64) -> Window {
    let end = At::resolve(selector.at, at).plus(selector.offset.saturating_neg());
    let size = if selector.range > 0 { selector.range } else { lookback_ms };
    Window { start: end.plus(size.saturating_neg()), end, at }
}

/// The samples that a window whose ends count may need.
fn reached(samples: &[Sample], window: Window, extent: Extent, read: Read, lookback_ms: i64) -> &[Sample] {
    let (after, until) = reach(window, extent, read, lookback_ms);
    within(samples, after, until)
}

/// After which time and up to which they lie.
fn reach(window: Window, extent: Extent, read: Read, lookback_ms: i64) -> (Millis, Millis) {
    // The window of an instant selector is a look-back long already.
    let back = if matches!(read, Read::Stretch(_)) { lookback_ms } else { 0 };
    let ahead = if extent == Extent::Smoothed { lookback_ms } else { 0 };
    (window.start.plus(-back), window.end.plus(ahead))
}

/// The samples without stale markers, copied only if there are any; and their marks, where these are of the samples given.
pub(super) fn live<'s>(
    samples: &'s [Sample],
    marks: Option<&'s Marks>,
    scratch: &'s mut Vec<Sample>,
) -> (&'s [Sample], Option<&'s Marks>) {
    let none_stale = marks.and_then(|marks| marks.none_stale(samples));
    if none_stale.unwrap_or_else(|| !samples.iter().any(Sample::is_stale)) {
        return (samples, marks);
    }
    scratch.clear();
    scratch.extend(samples.iter().filter(|s| !s.is_stale()));
    (scratch, None)
}

/// Fails where a stretch whose ends count is given to a function that has no use for them.
pub(crate) fn check_extent(of: &Node, selectors: &[Selector], func: Func) -> Result<(), EvalError> {
    let Kind::Range(index) = of.bare().kind else { return Ok(()) };
    let extent = selectors[index].extent;
    let (allowed, name) = (extended::allowed(extent), func.signature().name);
    if extent == Extent::Within || allowed.contains(&name) {
        return Ok(());
    }
    let (modifier, allowed) = (modifier(extent), allowed.join(", "));
    let message = format!("{modifier} modifier can only be used with: {allowed} - not with {name}");
    Err(EvalError::Parameter { message })
}

/// How the language writes that the ends of a stretch count.
fn modifier(extent: Extent) -> &'static str {
    if extent == Extent::Anchored { "anchored" } else { "smoothed" }
}

impl Evaluator<'_> {
    /// The vector of a base that reads series, and of the steps on it.
    pub(super) fn leaf(&mut self, base: Base<'_>, steps: &[Step], at: Millis) -> Result<Vec<Element>, EvalError> {
        match base {
            Base::Instant(index, span) => {
                self.reading = span;
                self.selected(index, Read::Value, steps, at)
            }
            Base::Stamp(index) => self.selected(index, Read::Time, steps, at),
            Base::Start(index) => self.selected(index, Read::Start, steps, at),
            Base::Range { func, args } => {
                let (range, of) = self.range_func(func, args, at)?;
                self.reading = place(args);
                match of.bare().kind {
                    Kind::Range(index) => self.selected(index, Read::Stretch(range), steps, at),
                    _ => self.subqueried(range, of, steps, at),
                }
            }
            Base::Node(_) => unreachable!("a base that reads no series"),
        }
    }

    /// Reads a selector's series.
    fn selected(&mut self, index: usize, read: Read, steps: &[Step], at: Millis) -> Result<Vec<Element>, EvalError> {
        let selector = &self.selectors[index];
        let drops = read.drops_name() || steps.iter().any(|step| step.drops_name());
        if drops && (selector.metric().is_none() || self.delays_names) {
            return self.selected_of_any_metric(index, read, steps, at);
        }
        let alone = self.reads_alone(index);
        let leaf =
            |steps| Leaf::new(read, steps, selector, at, self.options.lookback_ms).annotated(self.reading, alone);
        // What is told of what is read is told of whatever the steps throw away, too.
        let told = self.notes.listens() && matches!(read, Read::Stretch(_));
        let leaf = if told { leaf(&[]) } else { leaf(steps) };
        let allowed = self.options.samples_max.saturating_sub(self.touched);
        let (mut touched, mut found) = (0_u64, Vec::new());
        let (scratch, notes, reading) = (&mut self.scratch, &mut *self.notes, self.reading);
        self.source.select(index, selector, &mut |series| {
            if touched > allowed {
                return;
            }
            let (mut value, count) = leaf.value(series, scratch, notes);
            touched += count;
            if told {
                remarks::read(notes, read, remarks::is_float(&value), series.labels.name(), reading);
                value = value.and_then(|x| steps.iter().try_fold(x, |x, step| step.apply_number(x, notes)));
            }
            if let Some(value) = value {
                let nameless = if drops { without_metadata(series.labels) } else { None };
                found.push(Element { labels: nameless.unwrap_or_else(|| series.labels.clone()), value });
            }
        });
        self.spend(touched)?;
        Ok(found)
    }

    /// Reads a selector's series where dropping the name may make two of them one: those are told apart before any
    /// filter sees them.
    fn selected_of_any_metric(
        &mut self,
        index: usize,
        read: Read,
        steps: &[Step],
        at: Millis,
    ) -> Result<Vec<Element>, EvalError> {
        let selector = &self.selectors[index];
        let leaf = Leaf::new(read, &[], selector, at, self.options.lookback_ms)
            .annotated(self.reading, self.reads_alone(index));
        let allowed = self.options.samples_max.saturating_sub(self.touched);
        let (mut touched, mut found) = (0_u64, Vec::new());
        let (scratch, notes, reading) = (&mut self.scratch, &mut *self.notes, self.reading);
        self.source.select(index, selector, &mut |series| {
            if touched > allowed {
                return;
            }
            let (value, count) = leaf.value(series, scratch, notes);
            touched += count;
            remarks::read(notes, read, remarks::is_float(&value), series.labels.name(), reading);
            found.extend(value.map(|value| Element { labels: series.labels.clone(), value }));
        });
        self.spend(touched)?;
        if read.drops_name() {
            super::names::lose_names(&mut found, self.delays_names)?;
        }
        super::apply(found, steps, self.delays_names, self.notes)
    }

    /// A function of a stretch with its parameters, and the node that it reads.
    pub(super) fn range_func<'n>(
        &mut self,
        func: Func,
        args: &'n [Node],
        at: Millis,
    ) -> Result<(RangeFunc, &'n Node), EvalError> {
        let mut parameters = [0.0; 2];
        let mut of = &args[0];
        let mut given = 0;
        for arg in args {
            if arg.result_type() == crate::Type::Matrix {
                of = arg;
            } else {
                parameters[given] = self.scalar(arg, at)?;
                given += 1;
            }
        }
        let range = RangeFunc { func, parameters };
        check_extent(of, self.selectors, func)?;
        range.check().map(|()| (range, of))
    }

    /// A function of the stretches of a subquery.
    fn subqueried(
        &mut self,
        range: RangeFunc,
        of: &Node,
        steps: &[Step],
        at: Millis,
    ) -> Result<Vec<Element>, EvalError> {
        let mut found = Vec::new();
        let (mut notes, reading) = (self.notes.beside(), self.reading);
        self.stretches(of, at, |labels, stretch| {
            let subject = Subject { metric: labels.name(), at: reading };
            let value = match stretch.histograms {
                [] => range.value(stretch.floats, stretch.window, None).map(Number::Float),
                _ => range.value_mixed(stretch, subject, &mut notes),
            };
            remarks::read(&mut notes, Read::Stretch(range), remarks::is_float(&value), labels.name(), reading);
            found.extend(value.map(|value| Element { labels: labels.clone(), value }));
        })?;
        self.notes.merge(notes);
        if !keeps_name(range.func) {
            super::names::lose_names(&mut found, self.delays_names)?;
        }
        if !self.delays_names {
            check_unique(found.iter().map(|e| &e.labels))?;
        }
        super::apply(found, steps, self.delays_names, self.notes)
    }

    /// Shows every stretch that a range selector or a subquery reads: labels, at least one point.
    pub(super) fn stretches(
        &mut self,
        node: &Node,
        at: Millis,
        mut show: impl FnMut(&Labels, Stretch<'_>),
    ) -> Result<(), EvalError> {
        match &node.bare().kind {
            Kind::Range(index) => {
                let selector = &self.selectors[*index];
                let window = window(selector, at, self.options.lookback_ms);
                let allowed = self.options.samples_max.saturating_sub(self.touched);
                let (mut touched, mut refused) = (0_u64, false);
                let lookback_ms = self.options.lookback_ms;
                let scratch = &mut self.scratch;
                self.source.select(*index, selector, &mut |series| {
                    if touched > allowed {
                        return;
                    }
                    let extended = selector.extent != Extent::Within;
                    let stretch = match extended {
                        false => within(series.samples, window.start, window.end),
                        true => {
                            let read = Read::Stretch(RangeFunc { func: Func::LastOverTime, parameters: [0.0; 2] });
                            let (after, until) = reach(window, selector.extent, read, lookback_ms);
                            refused |= histograms_within(series.histograms, after, until).next().is_some();
                            reached(series.samples, window, selector.extent, read, lookback_ms)
                        }
                    };
                    let (floats, _) = live(stretch, series.marks.filter(|_| !extended), scratch);
                    let ends;
                    let floats = match extended {
                        false => floats,
                        true => {
                            ends = extended::stretch(floats, window, selector.extent == Extent::Smoothed);
                            &ends
                        }
                    };
                    let histograms: Vec<_> = histograms_within(series.histograms, window.start, window.end).collect();
                    touched += floats.len() as u64 + histograms.iter().map(|(_, h)| cost(h)).sum::<u64>();
                    if floats.len() + histograms.len() > 0 {
                        show(series.labels, Stretch { floats, histograms: &histograms, starts: &[], window });
                    }
                });
                self.spend(touched)?;
                if refused {
                    let message = format!("{} modifier is not supported with histograms", modifier(selector.extent));
                    return Err(EvalError::Parameter { message });
                }
                Ok(())
            }
            Kind::Subquery(subquery) => {
                let window = subquery.window(at);
                for (labels, Points { floats, histograms }) in &self.points(subquery, &[window])? {
                    let histograms: Vec<_> = histograms.iter().map(|(time, h)| (*time, h)).collect();
                    show(labels, Stretch { floats, histograms: &histograms, starts: &[], window });
                }
                Ok(())
            }
            _ => unreachable!("checked to be a range vector"),
        }
    }
}
