//! A clique's table while messages are multiplied into it, watched for underflow.
use alloc::vec::Vec;

use crate::axes::{self, Axes};
use crate::weight::{FLOOR_MIN, Spread, Weight, rescale};

/// Numbers scaled by a power of two: the true values are `values * 2^power`, the largest below 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message<W> {
    pub(crate) values: Vec<W>,
    pub(crate) power: i64,
    pub(crate) floor: i64,
}

impl<W: Weight> Message<W> {
    /// `None` when every value is 0.
    pub(crate) fn new(mut values: Vec<W>) -> Option<Message<W>> {
        let (power, floor) = rescale(&mut values)?;
        Some(Message { values, power, floor })
    }

    /// Whether the receiver's table comes out the same: it takes no notice of a single number.
    pub(crate) fn says_the_same(&self, other: &Message<W>) -> bool {
        let single = self.values.len() == 1 && other.values.len() == 1;
        single || (self.floor == other.floor && self.values == other.values)
    }
}

/// Multiplies `message` into `table`, whose smallest non-zero entry is at least `2^least`.
///
/// - Returns the power of two that the table had to be divided by to stay in range.
///
/// Fails with [`Spread`] when a product could underflow even so.
pub(crate) fn absorb<W: Weight>(
    table: &mut [W],
    least: &mut i64,
    axes: &Axes,
    message: &[W],
    message_floor: i64,
) -> Result<i64, Spread> {
    let mut power = 0;
    if W::NARROW && *least + message_floor < FLOOR_MIN {
        // The floor adds up worst cases; what the table really holds is often far from it.
        match rescale(table) {
            Some((by, found)) => (power, *least) = (by, found),
            None => *least = 0,
        }
        if *least + message_floor < FLOOR_MIN {
            return Err(Spread);
        }
    }
    axes::multiply(table, axes, message);
    *least += message_floor;
    Ok(power)
}
