//! Series with new samples, and what streams read of them: what many rules read of a series is read once.
use crate::SeriesView;
use crate::eval::{Extremes, Later, Leaf, Read};
use crate::expr::Extent;
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;
use faultline_model::{Millis, Sample};

/// Series that got samples, which do not change while this is there.
pub struct Batch<'s> {
    numbers: &'s [u32],
    view: &'s dyn Fn(u32) -> SeriesView<'s>,
    readings: Vec<Readings>,
    scratch: Vec<Sample>,
}

/// What was read of each of the series.
struct Readings {
    asked: Asked,
    all: Vec<Option<Reading>>,
    /// What they have in common, once anybody asked.
    common: Option<Option<Common>>,
}

/// What is common to all series of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    /// What bounds what is read of them.
    pub(super) extremes: Extremes,
    /// Samples that were touched, of all of them, and of one at most.
    pub(super) touched: u64,
    pub(super) touched_most: u64,
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("numbers", &self.numbers).finish_non_exhaustive()
    }
}

/// What tells readings of a series apart.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Asked {
    read: Read,
    start: Millis,
    end: Millis,
    extent: Extent,
}

/// What was read of a series of floats, before any step.
#[derive(Clone, Copy, Debug)]
struct Reading {
    value: Option<f64>,
    touched: u64,
    /// What will be read of it, where anybody asked.
    later: Option<Later>,
}

/// Which readings of a batch are meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(usize);

impl<'s> Batch<'s> {
    /// - `numbers`: of the series.
    /// - `view`: a series by its number.
    pub fn new(numbers: &'s [u32], view: &'s dyn Fn(u32) -> SeriesView<'s>) -> Batch<'s> {
        Batch { numbers, view, readings: Vec::new(), scratch: Vec::new() }
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The number of the `index`-th series.
    pub fn number(&self, index: usize) -> u32 {
        self.numbers[index]
    }

    /// The `index`-th series.
    pub fn view(&self, index: usize) -> SeriesView<'s> {
        (self.view)(self.numbers[index])
    }

    /// Whether a series is among them.
    pub(super) fn has(&self, number: u32) -> bool {
        self.numbers.contains(&number)
    }

    /// The least and the greatest number of a series; nothing where there is none.
    pub(super) fn span(&self) -> Option<RangeInclusive<u32>> {
        Some(*self.numbers.iter().min()?..=*self.numbers.iter().max()?)
    }

    /// Where what a leaf reads of the series is kept.
    pub(super) fn place(&mut self, leaf: &Leaf<'_>) -> Place {
        let asked = Asked { read: leaf.read, start: leaf.window.start, end: leaf.window.end, extent: leaf.extent };
        let known = self.readings.iter().position(|readings| readings.asked == asked);
        Place(known.unwrap_or_else(|| {
            self.readings.push(Readings { asked, all: alloc::vec![None; self.numbers.len()], common: None });
            self.readings.len() - 1
        }))
    }

    /// What a leaf reads of the `index`-th series, and how many samples that touched; nothing where that is no series of floats alone.
    #[inline]
    pub(super) fn read(&mut self, place: Place, leaf: &Leaf<'_>, index: usize) -> Option<(Option<f64>, u64)> {
        let known = &mut self.readings[place.0].all[index];
        if let Some(reading) = known {
            return Some((reading.value, reading.touched));
        }
        let (value, touched) = leaf.read_float((self.view)(self.numbers[index]), &mut self.scratch)?;
        *known = Some(Reading { value, touched, later: None });
        Some((value, touched))
    }

    /// What a leaf will read of the `index`-th series, which was read, until that has another sample.
    #[inline]
    pub(super) fn later(&mut self, place: Place, leaf: &Leaf<'_>, index: usize) -> Later {
        let known = self.readings[place.0].all[index].as_mut();
        let reading = known.expect("it was read before");
        *reading.later.get_or_insert_with(|| leaf.later((self.view)(self.numbers[index]), &mut self.scratch))
    }

    /// What is common to what a leaf reads of all series; nothing where something of one is not bounded.
    pub(super) fn common(&mut self, place: Place, leaf: &Leaf<'_>) -> Option<Common> {
        if let Some(known) = self.readings[place.0].common {
            return known;
        }
        let mut common = Common { extremes: Extremes::default(), touched: 0, touched_most: 0 };
        let found = (0..self.len()).all(|index| {
            let Some((value, touched)) = self.read(place, leaf, index) else { return false };
            common.touched += touched;
            common.touched_most = common.touched_most.max(touched);
            let later = self.later(place, leaf, index);
            common.extremes.add(value, later)
        });
        let found = found.then_some(common);
        self.readings[place.0].common = Some(found);
        found
    }
}
