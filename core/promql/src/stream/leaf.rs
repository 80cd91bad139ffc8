//! A selector, what is read of its series, and the steps on that.
use super::batch::Batch;
use super::map::{Steps, nameless};
use super::{Change, Delta};
use crate::eval::{Leaf, Read, Step, group_key, may_stay_out};
use crate::expr::Grouping;
use crate::{Annotations, Element, EvalError, Expr, Options, Selector, SeriesView, Source};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use faultline_model::table::Kept;
use faultline_model::{Labels, Millis, Number, Sample, float};

/// What a leaf reads of a series of floats, every NaN with one bit pattern, and how many samples that touched.
#[inline]
fn floated(leaf: &Leaf<'_>, series: SeriesView<'_>, scratch: &mut Vec<Sample>) -> (Option<f64>, u64) {
    let (value, touched) = leaf.float(series, scratch).unwrap_or_else(|| {
        let (value, touched) = leaf.value(series, scratch, &mut Annotations::muted());
        (value.and_then(|value| value.float()), touched)
    });
    (value.map(float::canonical), touched)
}

/// One element that a series gives. Series that give none take no memory.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// Of the series: numbers of series are used again.
    pub(super) series: Labels,
    /// Of the element, or of the group that it goes into.
    pub(super) labels: Labels,
    pub(super) value: Number,
}

impl Cell {
    /// Whether this is what the series with these labels gives.
    #[inline]
    fn is_still(&self, series: &Labels, value: f64) -> bool {
        self.value.float().is_some_and(|held| held.to_bits() == value.to_bits()) && self.series == *series
    }
}

/// Gives a cell the labels of its group that others have already.
fn share(groups: &mut BTreeSet<Labels>, cell: &mut Cell) {
    match groups.get(&cell.labels) {
        Some(known) => cell.labels = known.clone(),
        None => {
            groups.insert(cell.labels.clone());
        }
    }
}

/// Elements by the number of their series.
pub(super) type Cells = BTreeMap<u32, Cell>;

#[derive(Clone, Debug)]
pub(super) struct LeafOp {
    selector: usize,
    read: Read,
    steps: Steps,
    drops_name: bool,
    /// What its elements go into, where that is an aggregation.
    grouping: Option<Grouping>,
    /// Groups of elements, so that elements of one share its labels: derived.
    groups: BTreeSet<Labels>,
    cells: Kept<u32, Cell>,
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
    pub(super) cells: Cells,
    outlook: Outlook,
    /// Samples that this touched, or would have, had all series been read: at most.
    pub(super) touched: u64,
}

impl LeafOp {
    pub(super) fn new(index: usize, selector: &Selector, read: Read, steps: Steps) -> LeafOp {
        let drops_name = read.drops_name() || steps.drops_name();
        let outlook = match steps.fixed() {
            Some(fixed) if may_stay_out(read, fixed, selector) => Outlook::Unread,
            _ => Outlook::All,
        };
        let (groups, cells, scratch) = (BTreeSet::new(), Kept::default(), Vec::new());
        LeafOp { selector: index, read, steps, drops_name, grouping: None, groups, cells, outlook, scratch }
    }

    /// Gives its elements the labels of their groups.
    pub(super) fn group_by(&mut self, grouping: &Grouping) {
        self.grouping = Some(grouping.clone());
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn cells(&self) -> &Kept<u32, Cell> {
        &self.cells
    }

    pub(super) fn cells_mut(&mut self) -> &mut Kept<u32, Cell> {
        &mut self.cells
    }

    fn leaf<'s>(&self, steps: &'s [Step], expr: &Expr, at: Millis, options: &Options) -> Leaf<'s> {
        Leaf::new(self.read, steps, &expr.selectors[self.selector], at, options.lookback_ms)
    }

    /// The cell of a series, with the labels that it has already where it is the same series.
    pub(super) fn cell(&self, id: u32, series: &Labels, value: Number) -> Result<Cell, EvalError> {
        let value = value.canonical();
        match self.cells.get(&id) {
            Some(cell) if cell.series == *series => Ok(Cell { value, ..cell.clone() }),
            _ => {
                let labels = if self.drops_name { nameless(series)? } else { series.clone() };
                let labels = self.grouping.as_ref().map_or_else(|| labels.clone(), |it| group_key(it, &labels));
                Ok(Cell { series: series.clone(), labels, value })
            }
        }
    }

    /// Series may have got samples that [`LeafOp::touch`] was not told of.
    pub(super) fn read_again(&mut self) {
        self.outlook.forget();
    }

    /// Samples that reading all series touches, at most; nothing where all have to be read to know.
    pub(super) fn spared(&self) -> Option<u64> {
        match &self.outlook {
            Outlook::Open { touched, .. } => Some(*touched),
            _ => None,
        }
    }

    /// Reads all series again that may give something else: what all of them give.
    pub(super) fn read_all(
        &self,
        expr: &Expr,
        at: Millis,
        source: &dyn Source,
        options: &Options,
        allowed: u64,
    ) -> Result<Fresh, EvalError> {
        let steps = self.steps.at(at, options)?;
        let leaf = self.leaf(&steps, expr, at, options);
        let (mut found, mut touched, mut error) = (Vec::new(), 0_u64, None);
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
            if let Some(value) = value {
                match self.cell(series.id, series.labels, value) {
                    Ok(cell) => found.push((series.id, cell)),
                    Err(e) => error = Some(e),
                }
            }
        };
        let selector = &expr.selectors[self.selector];
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
        Ok(Fresh { cells: found.into_iter().collect(), outlook, touched })
    }

    /// Takes in what was read of all series.
    pub(super) fn replace(&mut self, mut fresh: Fresh) {
        if self.grouping.is_some() {
            if self.groups.len() > fresh.cells.len() {
                self.groups.clear();
            }
            let is_new = |(id, _): &(&u32, &mut Cell)| !self.cells.contains_key(*id);
            for (_, cell) in fresh.cells.iter_mut().filter(is_new) {
                share(&mut self.groups, cell);
            }
        }
        self.cells.replace(fresh.cells);
        self.outlook = fresh.outlook;
    }

    /// Appends how other cells differ from those held.
    pub(super) fn changes(&self, now: &Cells, out: &mut Vec<Change>) {
        let same = |a: &Cell, b: &Cell| a.value == b.value && a.series == b.series;
        let mut differing: BTreeMap<&Labels, (Option<Number>, Option<Number>)> = BTreeMap::new();
        for (id, cell) in self.cells.iter() {
            if !now.get(id).is_some_and(|other| same(cell, other)) {
                differing.entry(&cell.labels).or_default().0 = Some(cell.value.clone());
            }
        }
        for (id, cell) in now {
            if !self.cells.get(id).is_some_and(|other| same(cell, other)) {
                differing.entry(&cell.labels).or_default().1 = Some(cell.value.clone());
            }
        }
        // A series may have come back under another number, with the same value.
        let deltas = differing.into_iter().filter_map(|(labels, (old, new))| Delta::between(labels, old, new));
        out.extend(deltas.map(|Delta { labels, new, .. }| Change { labels, value: new }));
    }

    /// How many series, from the `first` on, can be read again without anything being changed by it.
    pub(super) fn pass_over(
        &mut self,
        expr: &Expr,
        at: Millis,
        batch: &mut Batch<'_>,
        first: usize,
        options: &Options,
    ) -> usize {
        let mut outlook = core::mem::replace(&mut self.outlook, Outlook::All);
        let mut next = first;
        if let Ok(steps) = self.steps.at(at, options) {
            let leaf = self.leaf(&steps, expr, at, options);
            let place = batch.place(&leaf);
            while next < batch.len() {
                let Some(reading) = batch.read(place, &leaf, next) else { break };
                let value = reading.value.and_then(|x| steps.iter().try_fold(x, |x, step| step.apply(x)));
                let value = value.map(float::canonical);
                if reading.touched > options.samples_max || !self.is_same(batch, next, value) {
                    break;
                }
                if let Outlook::Open { .. } = outlook {
                    let open = value.is_some() || !batch.later(place, &leaf, next).stays_out(&steps);
                    outlook.note(batch.number(next), open, reading.touched);
                }
                next += 1;
            }
        }
        self.outlook = outlook;
        next - first
    }

    /// Whether a series of a batch gives what it gave before.
    #[inline]
    fn is_same(&self, batch: &Batch<'_>, index: usize, value: Option<f64>) -> bool {
        match (self.cells.get(&batch.number(index)), value) {
            (None, None) => true,
            (Some(cell), Some(value)) => cell.is_still(batch.view(index).labels, value),
            _ => false,
        }
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
        let before = self.cells.get(&series.id);
        match (before, value) {
            (None, None) => return Ok(Vec::new()),
            (Some(cell), Some(value)) if cell.series == *series.labels => {
                let (old, new) = (cell.value.clone(), Number::Float(value));
                let delta = Delta::between(&cell.labels, Some(old), Some(new.clone()));
                if delta.is_some()
                    && let Some(cell) = self.cells.get_mut(&series.id)
                {
                    cell.value = new;
                }
                return Ok(Vec::from_iter(delta));
            }
            _ => {}
        }
        if before.is_none() && held >= options.elements_max {
            return Err(EvalError::TooManyElements { limit: options.elements_max });
        }
        let mut cell = value.map(|value| self.cell(series.id, series.labels, value.into())).transpose()?;
        if self.grouping.is_some()
            && let Some(cell) = &mut cell
        {
            share(&mut self.groups, cell);
        }
        let before = match &cell {
            Some(cell) => self.cells.insert(series.id, cell.clone()),
            None => self.cells.remove(&series.id),
        };
        Ok(match (before, cell) {
            (Some(old), Some(new)) if old.labels == new.labels => {
                Vec::from_iter(Delta::between(&new.labels, Some(old.value), Some(new.value)))
            }
            (old, new) => {
                let gone = old.and_then(|cell| Delta::between(&cell.labels, Some(cell.value), None));
                let come = new.and_then(|cell| Delta::between(&cell.labels, None, Some(cell.value)));
                gone.into_iter().chain(come).collect()
            }
        })
    }

    pub(super) fn output(&self) -> Vec<Element> {
        self.cells.values().map(|cell| Element { labels: cell.labels.clone(), value: cell.value.clone() }).collect()
    }
}
