//! A table over some variables, and how evidence cuts it down.
use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;

use crate::axes::{self, Axes};

/// A variable that is not observed, where a state index would stand.
pub(crate) const FREE: u32 = u32::MAX;

/// A table over some variables, row-major in the order of `scope`; a single number when there are none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factor<'a> {
    pub(crate) scope: Vec<u32>,
    pub(crate) table: Cow<'a, [f64]>,
}

impl<'a> Factor<'a> {
    /// The table over `scope` without the rows and columns that `observed` rules out; borrowed where it rules out nothing.
    pub(crate) fn cut(cards: &[u32], scope: Vec<u32>, stored: &'a [f64], observed: &[u32]) -> Factor<'a> {
        if scope.iter().all(|&v| observed[v as usize] == FREE) {
            return Factor { scope, table: Cow::Borrowed(stored) };
        }
        let (mut axes, mut left) = (Axes::new(), Vec::new());
        let (mut base, mut stride, mut size) = (0, 1, 1);
        for &v in scope.iter().rev() {
            let (card, state) = (cards[v as usize], observed[v as usize]);
            if state == FREE {
                axes.push(card, stride as u32);
                left.push(v);
                size *= card as usize;
            } else {
                base += stride * state as usize;
            }
            stride *= card as usize;
        }
        left.reverse();
        let mut table = vec![0.0; size];
        axes::gather(stored, base, &axes, &mut table, |value| value);
        Factor { scope: left, table: Cow::Owned(table) }
    }
}
