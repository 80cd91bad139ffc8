//! Float maths that gives the same bits on every machine: `+ - * /` and `sqrt` are exact by IEEE 754, the rest is `libm`.
use alloc::format;
use alloc::string::{String, ToString};
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

/// The shortest digits that read back as `x`, which is finite, as `d.ddde-X`; of two that are equally near those that end
/// even, as Go and C have it. Rust's own formatting takes the larger ones.
pub fn shortest(x: f64) -> String {
    let text = format!("{x:e}");
    let Some((end, last)) = odd_end(&text) else { return text };
    let mut other = text.clone();
    other.replace_range(end..end + 1, &(last - 1).to_string());
    if other.parse() == Ok(x) && is_halfway(x, &other[..=end]) { other } else { text }
}

/// The same without an exponent.
pub fn decimal(x: f64) -> String {
    let text = format!("{x}");
    if !may_be_halfway(x, &text) {
        return text;
    }
    // Zeros of a large whole number are no digits of the shortest form.
    let place = text.bytes().rposition(|c| (b'1'..=b'9').contains(&c));
    let (Some(place), Some((_, last))) = (place, odd_end(&format!("{x:e}"))) else { return text };
    let (digits, _) = text.split_at(place);
    let even = shortest(x) != format!("{x:e}");
    if even { format!("{digits}{}{}", last - 1, &text[place + 1..]) } else { text }
}

/// Whether `x` may lie exactly between its shortest text without an exponent and another of as many digits, so that [`decimal`] has to
/// look which of them it is: what is cheap to know of it.
pub fn may_be_halfway(x: f64, text: &str) -> bool {
    let (bits, exponent) = (x.to_bits() & ((1 << 52) - 1), (x.to_bits() >> 52 & 0x7ff) as i32);
    let mantissa = if exponent == 0 { bits } else { bits | 1 << 52 };
    // A number with so many binary places has as many decimal ones, and one more than the text where it lies between two.
    let places = 1075 - exponent.max(1) - mantissa.trailing_zeros() as i32;
    if places <= 0 || mantissa == 0 {
        // Whole numbers up to here are told exactly.
        return abs(x) >= (1_u64 << 53) as f64;
    }
    let told = text.find('.').map_or(0, |point| text.len() - point - 1);
    places == told as i32 + 1
}

/// Where the last digit before the exponent stands, and which it is, if it is odd.
fn odd_end(scientific: &str) -> Option<(usize, u8)> {
    let end = scientific.find('e')?.checked_sub(1)?;
    let last = scientific.as_bytes()[end].checked_sub(b'0').filter(|last| last % 2 == 1)?;
    Some((end, last))
}

/// Whether `x` lies exactly between these digits and the next larger ones: they and a 5 are all the digits that it has.
fn is_halfway(x: f64, digits: &str) -> bool {
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    // No float has more than 767 digits.
    let exact = |decimals: usize| format!("{x:.decimals$e}");
    let begins = |text: &str| {
        let text = text.split('e').next().unwrap_or_default();
        let mut rest = text.bytes().filter(u8::is_ascii_digit).skip(count);
        let same = text.bytes().filter(u8::is_ascii_digit).take(count).eq(digits.bytes().filter(u8::is_ascii_digit));
        same && rest.next() == Some(b'5') && rest.all(|c| c == b'0')
    };
    begins(&exact(count)) && begins(&exact(770))
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
    let scientific = shortest(x);
    let (mantissa, exponent) = scientific.split_once('e').expect("written with an exponent");
    let exponent: i32 = exponent.parse().expect("a number just written");
    if (-4..6).contains(&exponent) {
        return decimal(x);
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

    /// As Go 1.26's `FormatFloat(x, 'e', -1, 64)` and `FormatFloat(x, 'f', -1, 64)` print them: found where promtool printed an
    /// annotation's value, and among 400,000 drawn floats, of which 2,463 lie halfway and all print so.
    #[test]
    fn of_two_shortest_texts_the_even_one_is_printed() {
        for (x, scientific, plain) in [
            (-4_731_375_063_850_400.0 / 512.0, "-9.240966921582812e12", "-9240966921582.812"),
            (4_731_375_063_850_400.0 / 512.0, "9.240966921582812e12", "9240966921582.812"),
            (4_731_375_063_850_401.0 / 512.0, "9.240966921582814e12", "9240966921582.814"),
            (0.3, "3e-1", "0.3"),
            (5e-324, "5e-324", &(alloc::string::String::from("0.") + &"0".repeat(323) + "5")),
            (123_456_789_012_345_680_000.0, "1.2345678901234568e20", "123456789012345680000"),
            (0.0, "0e0", "0"),
            (7.0, "7e0", "7"),
            (0.1 + 0.2, "3.0000000000000004e-1", "0.30000000000000004"),
        ] {
            assert_eq!((&*shortest(x), &*decimal(x)), (scientific, plain));
        }
    }

    /// What is known cheaply never hides that a float lies halfway.
    #[test]
    fn both_forms_have_the_same_digits() {
        let digits = |text: &str| {
            let digits = text.split('e').next().expect("it has a first part").replace(['-', '.'], "");
            alloc::string::String::from(digits.trim_matches('0'))
        };
        let mut state = 1_u64;
        let mut halfway = 0;
        for i in 0..200_000_u64 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            // Some have few places, and many of these lie halfway.
            let x = match i % 4 {
                0 => f64::from_bits(state),
                1 => (state >> 10) as f64 / (1_u64 << (state & 15)) as f64,
                2 => (state >> 11) as f64 * (1_u64 << (state & 31)) as f64,
                _ => (state >> 40) as f64 / 300.0,
            };
            if x.is_finite() {
                assert_eq!(digits(&decimal(x)), digits(&shortest(x)), "{x:e}");
                halfway += u32::from(shortest(x) != format!("{x:e}"));
            }
        }
        assert!(halfway > 100, "{halfway}");
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
