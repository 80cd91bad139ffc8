//! Series with new samples, and what streams read of them: what many rules read of a series is read once.
use crate::SeriesView;
use crate::eval::{Later, Leaf, Read};
use alloc::vec::Vec;
use core::fmt;
use faultline_model::{Millis, Sample};

/// Series that got samples, which do not change while this is there.
pub struct Batch<'s> {
    numbers: &'s [u32],
    view: &'s dyn Fn(u32) -> SeriesView<'s>,
    /// What was read, by what was asked for, of each of the series.
    readings: Vec<(Asked, Vec<Option<Reading>>)>,
    scratch: Vec<Sample>,
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
}

/// What was read of a series of floats, before any step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) value: Option<f64>,
    pub(super) touched: u64,
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

    /// Where what a leaf reads of the series is kept.
    pub(super) fn place(&mut self, leaf: &Leaf<'_>) -> Place {
        let asked = Asked { read: leaf.read, start: leaf.window.start, end: leaf.window.end };
        let known = self.readings.iter().position(|(other, _)| *other == asked);
        Place(known.unwrap_or_else(|| {
            self.readings.push((asked, alloc::vec![None; self.numbers.len()]));
            self.readings.len() - 1
        }))
    }

    /// What a leaf reads of the `index`-th series; nothing where that is no series of floats alone.
    #[inline]
    pub(super) fn read(&mut self, place: Place, leaf: &Leaf<'_>, index: usize) -> Option<Reading> {
        let known = &mut self.readings[place.0].1[index];
        if known.is_none() {
            let (value, touched) = leaf.read_float((self.view)(self.numbers[index]), &mut self.scratch)?;
            *known = Some(Reading { value, touched, later: None });
        }
        *known
    }

    /// What a leaf will read of the `index`-th series, which was read, until that has another sample.
    #[inline]
    pub(super) fn later(&mut self, place: Place, leaf: &Leaf<'_>, index: usize) -> Later {
        let known = self.readings[place.0].1[index].as_mut();
        let reading = known.expect("it was read before");
        *reading.later.get_or_insert_with(|| leaf.later((self.view)(self.numbers[index]), &mut self.scratch))
    }
}
