//! Float maths that gives the same bits on every machine: `+ - * /` and `sqrt` are exact by IEEE 754, the rest is `libm`.
use core::cmp::Ordering;

/// The one NaN.
pub const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// `x`, with every NaN replaced by [`NAN`].
pub fn canonical(x: f64) -> f64 {
    if x.is_nan() { NAN } else { x }
}

/// Total order for sorting: numbers by value, `-0 == 0` apart by sign, NaN last.
pub fn order(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.total_cmp(&b),
    }
}

/// The smaller; a NaN loses to a number.
pub fn min(a: f64, b: f64) -> f64 {
    if order(a, b) == Ordering::Greater { b } else { a }
}

/// The larger; a NaN loses to a number.
pub fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || (!b.is_nan() && order(a, b) == Ordering::Less) { b } else { a }
}

/// Natural logarithm.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}
/// e to the power `x`.
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}
/// `x` to the power `y`.
pub fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}
/// Square root.
pub fn sqrt(x: f64) -> f64 {
    libm::sqrt(x)
}
/// Remainder with the sign of `x`, as C's `fmod`.
pub fn fmod(x: f64, y: f64) -> f64 {
    libm::fmod(x, y)
}
/// Tangent of `x` radians.
pub fn tan(x: f64) -> f64 {
    libm::tan(x)
}
/// Largest whole number not above `x`.
pub fn floor(x: f64) -> f64 {
    libm::floor(x)
}
/// Smallest whole number not below `x`.
pub fn ceil(x: f64) -> f64 {
    libm::ceil(x)
}
/// Absolute value.
pub fn abs(x: f64) -> f64 {
    libm::fabs(x)
}
/// Base-2 logarithm.
pub fn log2(x: f64) -> f64 {
    libm::log2(x)
}
/// Base-10 logarithm.
pub fn log10(x: f64) -> f64 {
    libm::log10(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_never_wins() {
        for (a, b, low, high) in
            [(1.0, 2.0, 1.0, 2.0), (NAN, 2.0, 2.0, 2.0), (2.0, NAN, 2.0, 2.0), (-0.0, 0.0, -0.0, 0.0)]
        {
            assert_eq!(min(a, b).to_bits(), f64::to_bits(low));
            assert_eq!(max(a, b).to_bits(), f64::to_bits(high));
        }
        assert!(min(NAN, NAN).is_nan() && max(NAN, NAN).is_nan());
    }
}
