//! The numbers in tables: `f64` for speed, and [`Wide`] (an `f64` with a far larger exponent) where `f64` would lose small ones.
//!
//! All numbers here are non-negative. Sums and products of such numbers lose no precision (each step is right to one
//! rounding), so that the only danger is underflow: a product that becomes 0 although its factors are not. `f64` tables
//! therefore carry a *floor*, a bound below their smallest non-zero entry, and a multiplication that could underflow is
//! refused beforehand ([`Spread`]); the same work is then done again in `Wide`, slower and never refused.

use crate::tree::Tree;

/// An `f64` product could have underflowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread;

/// Lowest power of two that a table may reach: well above the smallest normal `f64`, 2^-1022.
pub(crate) const FLOOR_MIN: i64 = -1000;

/// A non-negative number in a table.
pub(crate) trait Weight: Copy + PartialOrd {
    const ZERO: Self;
    const ONE: Self;
    /// Whether products can underflow, so that floors must be watched.
    const NARROW: bool;

    fn new(value: f64) -> Self;
    /// The nearest `f64`; 0 below its range.
    fn value(self) -> f64;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// `self / other`, and 0 where `other` is 0: a case that cannot occur stays impossible.
    fn over(self, other: Self) -> Self;
    /// `ln(self)`.
    fn log_value(self) -> f64;
    /// `e` with `2^e <= self < 2^(e+1)`, for a non-zero number.
    fn exponent(self) -> i64;
    /// `self * 2^by`, exact where the result is normal.
    fn shift(self, by: i64) -> Self;
    /// A tree's stored numbers, where they are of this kind.
    fn stored(tree: &Tree) -> Option<&[Self]>;
}

impl Weight for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const NARROW: bool = true;

    fn new(value: f64) -> f64 {
        value
    }

    fn value(self) -> f64 {
        self
    }

    #[inline(always)]
    fn plus(self, other: f64) -> f64 {
        self + other
    }

    #[inline(always)]
    fn times(self, other: f64) -> f64 {
        self * other
    }

    #[inline(always)]
    fn over(self, other: f64) -> f64 {
        if other == 0.0 { 0.0 } else { self / other }
    }

    fn log_value(self) -> f64 {
        libm::log(self)
    }

    fn exponent(self) -> i64 {
        let biased = (self.to_bits() >> 52) as i64;
        if biased == 0 { i64::from(libm::ilogb(self)) } else { biased - 1023 }
    }

    fn shift(self, by: i64) -> f64 {
        // Past these bounds the result is 0 or infinite whatever the number.
        libm::scalbn(self, by.clamp(-3000, 3000) as i32)
    }

    fn stored(tree: &Tree) -> Option<&[f64]> {
        if tree.wide.is_empty() { Some(&tree.tables) } else { None }
    }
}

/// `mantissa * 2^exponent` with `1 <= mantissa < 2`, or mantissa 0: as precise as `f64` and, in practice, without limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wide {
    mantissa: f64,
    exponent: i64,
}

impl Wide {
    fn normal(value: f64, exponent: i64) -> Wide {
        if value == 0.0 {
            return Wide::ZERO;
        }
        let own = value.exponent();
        Wide { mantissa: value.shift(-own), exponent: exponent + own }
    }
}

impl PartialOrd for Wide {
    fn partial_cmp(&self, other: &Wide) -> Option<core::cmp::Ordering> {
        if self.mantissa == 0.0 || other.mantissa == 0.0 || self.exponent == other.exponent {
            return Some(self.mantissa.total_cmp(&other.mantissa));
        }
        Some(self.exponent.cmp(&other.exponent))
    }
}

impl Weight for Wide {
    const ZERO: Wide = Wide { mantissa: 0.0, exponent: 0 };
    const ONE: Wide = Wide { mantissa: 1.0, exponent: 0 };
    const NARROW: bool = false;

    fn new(value: f64) -> Wide {
        Wide::normal(value, 0)
    }

    fn value(self) -> f64 {
        self.mantissa.shift(self.exponent)
    }

    fn plus(self, other: Wide) -> Wide {
        let (large, small) = if self < other { (other, self) } else { (self, other) };
        if small.mantissa == 0.0 {
            return large;
        }
        Wide::normal(large.mantissa + small.mantissa.shift(small.exponent - large.exponent), large.exponent)
    }

    fn times(self, other: Wide) -> Wide {
        Wide::normal(self.mantissa * other.mantissa, self.exponent + other.exponent)
    }

    fn over(self, other: Wide) -> Wide {
        if other.mantissa == 0.0 {
            return Wide::ZERO;
        }
        Wide::normal(self.mantissa / other.mantissa, self.exponent - other.exponent)
    }

    fn log_value(self) -> f64 {
        libm::log(self.mantissa) + self.exponent as f64 * core::f64::consts::LN_2
    }

    fn exponent(self) -> i64 {
        self.exponent
    }

    fn shift(self, by: i64) -> Wide {
        Wide { exponent: self.exponent + by, ..self }
    }

    fn stored(tree: &Tree) -> Option<&[Wide]> {
        if tree.wide.is_empty() { None } else { Some(&tree.wide) }
    }
}

/// A lower bound on the exponent of the non-zero numbers among `values`; 0 when there are none.
pub(crate) fn floor<W: Weight>(values: &[W]) -> i64 {
    let mut least: Option<W> = None;
    for &value in values {
        if value > W::ZERO && least.is_none_or(|least| value < least) {
            least = Some(value);
        }
    }
    least.map_or(0, W::exponent)
}

/// Divides `values` by a power of two so that the largest lies in `[0.5, 1)`: exact.
///
/// Returns the power and the floor afterwards; `None` when every value is 0.
pub(crate) fn rescale<W: Weight>(values: &mut [W]) -> Option<(i64, i64)> {
    let mut most = W::ZERO;
    for &value in values.iter() {
        if value > most {
            most = value;
        }
    }
    if most <= W::ZERO {
        return None;
    }
    let power = most.exponent() + 1;
    if power.abs() <= -FLOOR_MIN {
        let unit = W::ONE.shift(-power);
        for value in values.iter_mut() {
            *value = value.times(unit);
        }
    } else {
        for value in values.iter_mut() {
            *value = value.shift(-power);
        }
    }
    Some((power, floor(values)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wide agrees with f64 bit for bit inside f64's range, so that the fallback changes no answer that was right.
    #[test]
    fn wide_equals_f64_in_range() {
        let numbers = [0.0, 1.0, 0.1, 0.3, 1e-9, 3.5, 7e20, 2e-150, 0.999_999];
        for &a in &numbers {
            for &b in &numbers {
                let (x, y) = (Wide::new(a), Wide::new(b));
                assert_eq!(x.times(y).value(), a * b);
                assert_eq!(x.plus(y).value(), a + b);
                assert_eq!(x.over(y).value(), a.over(b));
                assert_eq!(x < y, a < b);
            }
        }
    }

    #[test]
    fn wide_keeps_what_f64_loses() {
        let tiny = Wide::new(1e-300);
        let product = tiny.times(tiny).times(tiny);
        assert_eq!(1e-300_f64 * 1e-300, 0.0);
        assert!((product.log_value() - 3.0 * libm::log(1e-300)).abs() < 1e-9);
        assert!((product.over(tiny).over(tiny).value() / 1e-300 - 1.0).abs() < 1e-15);
        assert!(product < tiny && Wide::ZERO < product);
        assert_eq!(product.value(), 0.0);
    }

    #[test]
    fn rescaling_is_exact() {
        let mut values = [3e-200, 0.0, 1e-203];
        let (power, floor) = rescale(&mut values).expect("not all zero");
        assert!((0.5..1.0).contains(&values[0]));
        assert_eq!(values[0].shift(power), 3e-200);
        assert_eq!(values[2].shift(power), 1e-203);
        assert_eq!(floor, values[2].exponent());
        assert_eq!(rescale::<f64>(&mut [0.0, 0.0]), None);
        assert_eq!(5e-324_f64.exponent(), -1074);
    }
}
