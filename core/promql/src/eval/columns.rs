//! The values of many label sets at many instants: one column for each label set.
use super::chain::Step;
use super::names::{check_unique, without_metadata};
use crate::{Annotations, Element, EvalError};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::{Histogram, Labels, Number, float};

/// Bits that stand for no value: those of a stale marker, a signalling NaN, which no computation gives.
pub(super) const ABSENT: u64 = 0x7ff0_0000_0000_0002;

/// The values of one label set, one place per instant.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) labels: Labels,
    floats: Vec<f64>,
    /// By place, rising; no float stands there.
    histograms: Vec<(usize, Arc<Histogram>)>,
}

impl Row {
    pub(super) fn new(labels: Labels, size: usize) -> Row {
        Row { labels, floats: vec![f64::from_bits(ABSENT); size], histograms: Vec::new() }
    }

    /// Of values, every NaN of which has one bit pattern, or stands for none.
    pub(super) fn of_floats(labels: Labels, floats: &[f64]) -> Row {
        Row { labels, floats: floats.to_vec(), histograms: Vec::new() }
    }

    /// Puts a value at a place that is after all others that have one, or is that of the newest.
    pub(super) fn put(&mut self, place: usize, value: Number) {
        match value {
            Number::Float(x) => self.put_float(place, x),
            Number::Histogram(histogram) => self.histograms.push((place, histogram)),
        }
    }

    #[inline]
    pub(super) fn put_float(&mut self, place: usize, x: f64) {
        self.floats[place] = if x.is_nan() { float::NAN } else { x };
    }

    /// The float at a place, if one stands there.
    #[inline]
    pub(super) fn float(&self, place: usize) -> Option<f64> {
        let x = self.floats[place];
        (x.to_bits() != ABSENT).then_some(x)
    }

    /// Whether there is a float anywhere.
    pub(super) fn has_floats(&self) -> bool {
        self.floats.iter().any(|x| x.to_bits() != ABSENT)
    }

    /// The floats from a place on; [`ABSENT`] where there is none, and after the end.
    #[inline]
    pub(super) fn part<const N: usize>(&self, from: usize) -> [f64; N] {
        let rest = &self.floats[from..];
        match rest.first_chunk() {
            Some(whole) => *whole,
            None => core::array::from_fn(|i| rest.get(i).copied().unwrap_or(f64::from_bits(ABSENT))),
        }
    }

    pub(super) fn at(&self, place: usize) -> Option<Number> {
        if let Some(x) = self.float(place) {
            return Some(Number::Float(x));
        }
        let found = self.histograms.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        Some(Number::Histogram(Arc::clone(&self.histograms[found].1)))
    }

    pub(super) fn size(&self) -> usize {
        self.floats.len()
    }

    pub(super) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// Whether there is a value at a place.
    pub(super) fn has(&self, place: usize) -> bool {
        self.float(place).is_some() || self.histograms.binary_search_by_key(&place, |(place, _)| *place).is_ok()
    }

    /// Whether there is a value anywhere.
    pub(super) fn is_empty(&self) -> bool {
        self.histograms.is_empty() && !self.has_floats()
    }

    /// With what stands at the first place at every one.
    pub(super) fn repeated(mut self) -> Row {
        let first = self.floats[0];
        self.floats.fill(first);
        if let Some((_, histogram)) = self.histograms.first() {
            self.histograms = (0..self.floats.len()).map(|place| (place, Arc::clone(histogram))).collect();
        }
        self
    }

    /// Takes away what does not stand at a place where `keep` says so.
    pub(super) fn keep(&mut self, keep: impl Fn(usize) -> bool) {
        for (place, x) in self.floats.iter_mut().enumerate() {
            if !keep(place) {
                *x = f64::from_bits(ABSENT);
            }
        }
        self.histograms.retain(|(place, _)| keep(*place));
    }

    /// Applies steps to every value; `steps` gives those of a place.
    pub(super) fn apply<'s>(&mut self, steps: impl Fn(usize) -> &'s [Step], notes: &mut Annotations) {
        for (place, x) in self.floats.iter_mut().enumerate() {
            if x.to_bits() != ABSENT {
                let steps = steps(place);
                let found = match steps.iter().any(|step| step.trims()) {
                    false => steps.iter().try_fold(*x, |x, step| step.apply(x)),
                    true => {
                        let found = steps.iter().try_fold(Number::Float(*x), |x, step| step.apply_number(x, notes));
                        found.and_then(|x| x.float())
                    }
                };
                *x = found.map_or(f64::from_bits(ABSENT), |x| if x.is_nan() { float::NAN } else { x });
            }
        }
        if self.histograms.is_empty() {
            return;
        }
        for (place, histogram) in core::mem::take(&mut self.histograms) {
            let value = Number::Histogram(histogram);
            if let Some(value) = steps(place).iter().try_fold(value, |x, step| step.apply_number(x, notes)) {
                self.put(place, value);
            }
        }
    }

    /// Takes in the values of another row of the same labels. Fails where both have one.
    fn merge(&mut self, other: Row) -> Result<(), EvalError> {
        if (0..self.size()).any(|place| self.has(place) && other.has(place)) {
            return Err(EvalError::SameLabels { labels: self.labels.to_string() });
        }
        for (place, x) in other.floats.into_iter().enumerate().filter(|(_, x)| x.to_bits() != ABSENT) {
            self.floats[place] = x;
        }
        self.histograms.extend(other.histograms);
        self.histograms.sort_by_key(|(place, _)| *place);
        Ok(())
    }
}

/// The elements at a place.
pub(super) fn elements(rows: &[Row], place: usize) -> Vec<Element> {
    let found = rows.iter().filter_map(|row| Some(Element { labels: row.labels.clone(), value: row.at(place)? }));
    found.collect()
}

/// Makes rows of equal labels one, in label order. Fails where two have a value at the same place.
pub(super) fn merged(mut rows: Vec<Row>) -> Result<Vec<Row>, EvalError> {
    rows.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut found: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        match found.last_mut() {
            Some(last) if last.labels == row.labels => last.merge(row)?,
            _ => found.push(row),
        }
    }
    Ok(found)
}

/// The row without the metric's name.
pub(super) fn nameless(row: Row) -> Row {
    Row { labels: without_metadata(&row.labels).unwrap_or_else(|| row.labels.clone()), ..row }
}

/// Drops the metrics' names from what a function of stretches gave: no two rows may be one then, even at different instants.
pub(super) fn drop_names_of_stretches(rows: Vec<Row>) -> Result<Vec<Row>, EvalError> {
    let rows: Vec<Row> = rows.into_iter().map(nameless).collect();
    check_unique(rows.iter().map(|row| &row.labels))?;
    Ok(rows)
}

/// Drops the metrics' names from all rows; those that are one then are put together, where they have no instant in common.
pub(super) fn drop_names(rows: Vec<Row>) -> Result<Vec<Row>, EvalError> {
    let mut dropped = false;
    let nameless = |row: Row| match without_metadata(&row.labels) {
        Some(labels) => {
            dropped = true;
            Row { labels, ..row }
        }
        None => row,
    };
    let rows: Vec<Row> = rows.into_iter().map(nameless).collect();
    if dropped { merged(rows) } else { Ok(rows) }
}
