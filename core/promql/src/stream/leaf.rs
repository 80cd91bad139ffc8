//! A selector, what is read of its series, and the steps on that.
use super::map::{Steps, nameless};
use super::{Change, Delta};
use crate::eval::{Leaf, Read, Step, group_key};
use crate::expr::Grouping;
use crate::{Annotations, Element, EvalError, Expr, Options, SeriesView, Source};
use alloc::collections::BTreeMap;
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
    cells: Kept<u32, Cell>,
    scratch: Vec<Sample>,
}

impl LeafOp {
    pub(super) fn new(selector: usize, read: Read, steps: Steps) -> LeafOp {
        let drops_name = read.drops_name() || steps.drops_name();
        LeafOp { selector, read, steps, drops_name, grouping: None, cells: Kept::default(), scratch: Vec::new() }
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

    /// Reads all series again: what they give, and how many samples that touched.
    pub(super) fn read_all(
        &self,
        expr: &Expr,
        at: Millis,
        source: &dyn Source,
        options: &Options,
        allowed: u64,
    ) -> Result<(Cells, u64), EvalError> {
        let steps = self.steps.at(at, options)?;
        let leaf = self.leaf(&steps, expr, at, options);
        let (mut found, mut touched, mut error) = (Vec::new(), 0_u64, None);
        let (mut scratch, mut notes) = (Vec::new(), Annotations::muted());
        source.select(self.selector, &expr.selectors[self.selector], &mut |series| {
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
            if let Some(value) = value {
                match self.cell(series.id, series.labels, value) {
                    Ok(cell) => found.push((series.id, cell)),
                    Err(e) => error = Some(e),
                }
            }
        });
        match error {
            Some(error) => Err(error),
            None => Ok((found.into_iter().collect(), touched)),
        }
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

    /// How many series, from the first on, can be read again without anything being changed by it.
    pub(super) fn pass_over<'v>(
        &mut self,
        expr: &Expr,
        at: Millis,
        series: &mut dyn Iterator<Item = SeriesView<'v>>,
        options: &Options,
    ) -> usize {
        let mut scratch = core::mem::take(&mut self.scratch);
        let mut passed = 0;
        if let Ok(steps) = self.steps.at(at, options) {
            let leaf = self.leaf(&steps, expr, at, options);
            for series in series {
                if !series.histograms.is_empty() {
                    break;
                }
                let (value, touched) = floated(&leaf, series, &mut scratch);
                if touched > options.samples_max || !self.is_same(series, value) {
                    break;
                }
                passed += 1;
            }
        }
        self.scratch = scratch;
        passed
    }

    /// Whether a series gives what it gave before.
    #[inline]
    fn is_same(&self, series: SeriesView<'_>, value: Option<f64>) -> bool {
        match (self.cells.get(&series.id), value) {
            (None, None) => true,
            (Some(cell), Some(value)) => {
                cell.value.float().is_some_and(|held| held.to_bits() == value.to_bits())
                    && cell.series == *series.labels
            }
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
            return Err(EvalError::Histograms);
        }
        let mut scratch = core::mem::take(&mut self.scratch);
        let steps = self.steps.at(at, options)?;
        let (value, touched) = floated(&self.leaf(&steps, expr, at, options), series, &mut scratch);
        drop(steps);
        self.scratch = scratch;
        if touched > options.samples_max {
            return Err(EvalError::TooManySamples { limit: options.samples_max });
        }
        if self.is_same(series, value) {
            return Ok(Vec::new());
        }
        let before = self.cells.get(&series.id);
        if before.is_none() && held >= options.elements_max {
            return Err(EvalError::TooManyElements { limit: options.elements_max });
        }
        let cell = value.map(|value| self.cell(series.id, series.labels, value.into())).transpose()?;
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
