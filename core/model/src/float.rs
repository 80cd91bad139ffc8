//! Float maths that gives the same bits on every machine: `+ - * /` and `sqrt` are exact by IEEE 754, the rest is `libm`.
use alloc::format;
use alloc::string::String;
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
/// 2 to the power `x`.
pub fn exp2(x: f64) -> f64 {
    libm::exp2(x)
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

/// The shortest text that reads back as `x`, as Go's `%g` writes it: with an exponent below 1e-4 and from 1e6 on.
pub fn general(x: f64) -> String {
    if !x.is_finite() {
        return if x.is_nan() {
            "NaN".into()
        } else if x > 0.0 {
            "+Inf".into()
        } else {
            "-Inf".into()
        };
    }
    let scientific = format!("{x:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("written with an exponent");
    let exponent: i32 = exponent.parse().expect("a number just written");
    if (-4..6).contains(&exponent) {
        return format!("{x}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_go_prints_them() {
        for (x, text) in [
            (0.0, "0"),
            (-0.5, "-0.5"),
            (123_456.75, "123456.75"),
            (1e6, "1e+06"),
            (-123_456_789.0, "-1.23456789e+08"),
            (0.0001, "0.0001"),
            (0.000_012_5, "1.25e-05"),
            (1e300, "1e+300"),
            (NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(general(x), text);
        }
    }

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
