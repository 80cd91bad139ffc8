//! A selector, what is read of its series, and the steps on that.
use super::Delta;
use super::batch::Batch;
use super::cells::{Cell, Cells};
use super::map::Steps;
use super::readings::{Reading, Readings, Whole};
use crate::eval::{Leaf, Read, Step, may_stay_out};
use crate::expr::Grouping;
use crate::{Annotations, Element, EvalError, Expr, Options, Selector, SeriesView, Source};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use faultline_model::{Millis, Number, Sample, float};

/// What a leaf reads of a series of floats, every NaN with one bit pattern, and how many samples that touched.
#[inline]
fn floated(leaf: &Leaf<'_>, series: SeriesView<'_>, scratch: &mut Vec<Sample>) -> (Option<f64>, u64) {
    let (value, touched) = leaf.float(series, scratch).unwrap_or_else(|| {
        let (value, touched) = leaf.value(series, scratch, &mut Annotations::muted());
        (value.and_then(|value| value.float()), touched)
    });
    (value.map(float::canonical), touched)
}

#[derive(Clone, Debug)]
pub(super) struct LeafOp {
    selector: usize,
    read: Read,
    steps: Steps,
    pub(super) cells: Cells,
    outlook: Outlook,
    scratch: Vec<Sample>,
}

/// Which series may give something else by time alone. Derived: what it spares is read again, so nobody misses it.
#[derive(Clone, Debug)]
enum Outlook {
    /// Any: all have to be read at an instant.
    All,
    /// Not known now: once all were read it is.
    Unread,
    /// Those that give something, and some of the others. No other gives anything before its next sample.
    Open {
        series: BTreeSet<u32>,
        /// Samples that reading all series touches, at most.
        touched: u64,
    },
}

impl Outlook {
    /// A series was read, at a cost of so many samples.
    #[inline]
    fn note(&mut self, id: u32, open: bool, cost: u64) {
        if let Outlook::Open { series, touched } = self {
            if open {
                series.insert(id);
            } else {
                series.remove(&id);
            }
            *touched = touched.saturating_add(cost);
        }
    }

    fn forget(&mut self) {
        if let Outlook::Open { .. } = self {
            *self = Outlook::Unread;
        }
    }
}

/// What a leaf gives at an instant.
pub(super) struct Fresh {
    /// Of series that have a cell.
    values: Vec<(u32, Number)>,
    /// Of the others.
    cells: Vec<(u32, Cell)>,
    outlook: Outlook,
    /// Samples that this touched, or would have, had all series been read: at most.
    pub(super) touched: u64,
}

impl Fresh {
    /// How many elements these are.
    pub(super) fn len(&self) -> usize {
        self.values.len() + self.cells.len()
    }
}

impl LeafOp {
    pub(super) fn new(index: usize, selector: &Selector, read: Read, steps: Steps) -> LeafOp {
        let cells = Cells::new(read.drops_name() || steps.drops_name());
        let outlook = match steps.fixed() {
            Some(fixed) if may_stay_out(read, fixed, selector) => Outlook::Unread,
            _ => Outlook::All,
        };
        LeafOp { selector: index, read, steps, cells, outlook, scratch: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.cells.kept().len()
    }

    fn leaf<'s>(&self, steps: &'s [Step], expr: &Expr, at: Millis, options: &Options) -> Leaf<'s> {
        Leaf::new(self.read, steps, &expr.selectors[self.selector], at, options.lookback_ms)
    }

    /// Series may have got samples that [`LeafOp::touch`] was not told of.
    pub(super) fn read_again(&mut self) {
        self.outlook.forget();
    }

    /// What is read, the steps on it, and which series give something or may by time alone; nothing where that is not known.
    pub(super) fn watched(&self) -> Option<(Read, &[Step], impl Iterator<Item = u32>)> {
        let Outlook::Open { series, .. } = &self.outlook else { return None };
        let given = series.iter().chain(self.cells.kept().keys()).copied();
        Some((self.read, self.steps.fixed()?, given))
    }

    /// What is read, and how it is grouped, where that goes into an aggregation as it is.
    pub(super) fn summed(&self) -> Option<(Read, &Grouping)> {
        let grouping = self.cells.grouping()?;
        self.steps.is_empty().then_some((self.read, grouping))
    }

    /// Samples were passed over whose reading would have touched so many.
    pub(super) fn passed_over(&mut self, count: u64) {
        if let Outlook::Open { touched, .. } = &mut self.outlook {
            *touched = touched.saturating_add(count);
        }
    }

    /// Samples that reading all series touches, at most; nothing where all have to be read to know.
    pub(super) fn spared(&self) -> Option<u64> {
        match &self.outlook {
            Outlook::Open { touched, .. } => Some(*touched),
            _ => None,
        }
    }

    /// Reads all series again that may give something else: what all of them give.
    ///
    /// - `readings`: what others read at this instant.
    pub(super) fn read_all(
        &self,
        expr: &Expr,
        at: Millis,
        source: &dyn Source,
        options: &Options,
        allowed: u64,
        readings: &mut Readings,
    ) -> Result<Fresh, EvalError> {
        let steps = self.steps.at(at, options)?;
        let leaf = self.leaf(&steps, expr, at, options);
        let selector = &expr.selectors[self.selector];
        if let Outlook::All = self.outlook
            && let Some(whole) = readings.whole(&leaf, self.selector, selector, at, source, allowed)
        {
            return self.read_of(&whole, &leaf, expr, source);
        }
        let (mut values, mut cells) = (Vec::with_capacity(self.len()), Vec::new());
        let (mut touched, mut error) = (0_u64, None);
        let (mut scratch, mut notes) = (Vec::new(), Annotations::muted());
        let (mut open, follows) = (Vec::new(), !matches!(self.outlook, Outlook::All));
        let mut visit = |series: SeriesView<'_>| {
            if touched > allowed || error.is_some() {
                return;
            }
            // A stream is of floats: aggregations of histograms are not kept up to date.
            if !series.histograms.is_empty() {
                error = Some(EvalError::Histograms);
                return;
            }
            let (value, count) = leaf.value(series, &mut scratch, &mut notes);
            touched += count;
            if follows && (value.is_some() || !leaf.later(series, &mut scratch).stays_out(&steps)) {
                open.push(series.id);
            }
            let Some(value) = value else { return };
            if self.cells.of(series.id, series.labels).is_some() {
                values.push((series.id, value.canonical()));
                return;
            }
            match self.cells.fresh(series.labels, value) {
                Ok(cell) => cells.push((series.id, cell)),
                Err(e) => error = Some(e),
            }
        };
        match &self.outlook {
            Outlook::Open { series, .. } => source.select_some(self.selector, selector, series, &mut visit),
            _ => source.select(self.selector, selector, &mut visit),
        }
        if let Some(error) = error {
            return Err(error);
        }
        // What was ahead of the window may be within it by now.
        let touched = self.spared().unwrap_or(0).saturating_add(touched);
        let outlook =
            if follows { Outlook::Open { series: open.into_iter().collect(), touched } } else { Outlook::All };
        Ok(Fresh { values, cells, outlook, touched })
    }

    /// What all series give, of which this was read.
    fn read_of(&self, whole: &Whole, leaf: &Leaf<'_>, expr: &Expr, source: &dyn Source) -> Result<Fresh, EvalError> {
        let mut values = Vec::with_capacity(self.len());
        let (mut others, mut held) = (BTreeSet::new(), self.cells.kept().iter().peekable());
        for &Reading { series, place, value } in &whole.values {
            let Some(value) = leaf.steps.iter().try_fold(value, |x, step| step.apply(x)) else { continue };
            while held.next_if(|(id, _)| **id < series).is_some() {}
            match held.next_if(|(id, _)| **id == series) {
                Some((_, cell)) if cell.series.place() == place => {
                    values.push((series, Number::Float(float::canonical(value))));
                }
                _ => {
                    others.insert(series);
                }
            }
        }
        let (mut cells, mut error, mut scratch) = (Vec::new(), None, Vec::new());
        if !others.is_empty() {
            source.select_some(self.selector, &expr.selectors[self.selector], &others, &mut |series| {
                if others.contains(&series.id)
                    && let Some((Some(value), _)) = leaf.float(series, &mut scratch)
                {
                    match self.cells.fresh(series.labels, value.into()) {
                        Ok(cell) => cells.push((series.id, cell)),
                        Err(e) => error = Some(e),
                    }
                }
            });
        }
        match error {
            Some(error) => Err(error),
            None => Ok(Fresh { values, cells, outlook: Outlook::All, touched: whole.touched }),
        }
    }

    /// Takes in what was read of all series: what that changes, what leaves first.
    pub(super) fn take_in(&mut self, fresh: Fresh) -> Vec<Delta> {
        self.outlook = fresh.outlook;
        self.cells.take_in(fresh.values, fresh.cells)
    }

    /// Reads series of a batch again, from the `first` on, as far as that changes no more than values of cells that there are: how many.
    ///
    /// - `changed`: is given each change; whether to go on after it.
    pub(super) fn read_on(
        &mut self,
        expr: &Expr,
        at: Millis,
        batch: &mut Batch<'_>,
        first: usize,
        options: &Options,
        changed: &mut dyn FnMut(Delta) -> bool,
    ) -> usize {
        let Ok(steps) = self.steps.at(at, options) else { return 0 };
        let leaf = Leaf::new(self.read, &steps, &expr.selectors[self.selector], at, options.lookback_ms);
        let place = batch.place(&leaf);
        // Mostly none of them gives anything, as little as before.
        if first == 0
            && let Outlook::Open { series, touched } = &mut self.outlook
            && let Some(span) = batch.span()
            && series.range(span.clone()).next().is_none()
            && self.cells.kept().range(span).next().is_none()
            && let Some(common) = batch.common(place, &leaf)
            && common.touched_most <= options.samples_max
            && common.extremes.stay_out(&steps)
        {
            *touched = touched.saturating_add(common.touched);
            return batch.len();
        }
        let mut next = first;
        while next < batch.len() {
            let Some((value, touched)) = batch.read(place, &leaf, next) else { break };
            if touched > options.samples_max {
                break;
            }
            let value = value.and_then(|x| steps.iter().try_fold(x, |x, step| step.apply(x)));
            let id = batch.number(next);
            let delta = match (self.cells.kept().get(&id), value.map(float::canonical)) {
                (None, None) => None,
                (Some(cell), Some(value)) if cell.series == *batch.view(next).labels => {
                    let is_still = cell.value.float().is_some_and(|held| held.to_bits() == value.to_bits());
                    if is_still { None } else { self.cells.set(id, value.into()) }
                }
                _ => break,
            };
            if let Outlook::Open { .. } = self.outlook {
                let open = value.is_some() || !batch.later(place, &leaf, next).stays_out(&steps);
                self.outlook.note(id, open, touched);
            }
            next += 1;
            if delta.is_some_and(|delta| !changed(delta)) {
                break;
            }
        }
        next - first
    }

    /// Reads one series again; says what that changes.
    ///
    /// - `held`: how many elements the stream holds.
    pub(super) fn touch(
        &mut self,
        expr: &Expr,
        at: Millis,
        series: SeriesView<'_>,
        options: &Options,
        held: usize,
    ) -> Result<Vec<Delta>, EvalError> {
        if !series.histograms.is_empty() {
            self.outlook.forget();
            return Err(EvalError::Histograms);
        }
        let mut scratch = core::mem::take(&mut self.scratch);
        let steps = self.steps.at(at, options)?;
        let (value, touched) = floated(&self.leaf(&steps, expr, at, options), series, &mut scratch);
        drop(steps);
        self.scratch = scratch;
        // Read at the next instant: then it is known what it may come to.
        self.outlook.note(series.id, true, touched);
        if touched > options.samples_max {
            return Err(EvalError::TooManySamples { limit: options.samples_max });
        }
        match (self.cells.of(series.id, series.labels), value) {
            (None, None) if !self.cells.kept().contains_key(&series.id) => Ok(Vec::new()),
            (Some(_), Some(value)) => Ok(Vec::from_iter(self.cells.set(series.id, value.into()))),
            (_, None) => Ok(self.cells.put(series.id, None)),
            (None, Some(value)) => {
                if !self.cells.kept().contains_key(&series.id) && held >= options.elements_max {
                    return Err(EvalError::TooManyElements { limit: options.elements_max });
                }
                let cell = self.cells.fresh(series.labels, value.into())?;
                Ok(self.cells.put(series.id, Some(cell)))
            }
        }
    }

    pub(super) fn output(&self) -> Vec<Element> {
        self.cells.elements().collect()
    }
}
