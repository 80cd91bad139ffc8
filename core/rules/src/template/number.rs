//! Floats as Go's `strconv.FormatFloat` writes them. Digits of a precision are Rust's, which are correctly rounded like Go's.
use alloc::format;
use alloc::string::{String, ToString};
use faultline_model::float;

/// The shortest text that reads back as `value`, as `%v` prints it.
pub(super) fn shortest(value: f64) -> String {
    exact(value, 'g', None)
}

/// `value` by a verb: `e` and `E`, `f` and `F`, `g` and `G`; `precision` digits, or as few as tell the value.
pub(super) fn exact(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let text = match verb {
        'e' | 'E' => scientific(value, precision),
        'f' | 'F' => match precision {
            Some(digits) => format!("{value:.digits$}"),
            None => float::decimal(value),
        },
        _ => general(value, precision),
    };
    if verb.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text }
}

/// `d.ddde+XX`.
fn scientific(value: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(digits) => format!("{value:.digits$e}"),
        None => float::shortest(value),
    };
    let (mantissa, exponent) = text.split_once('e').expect("the format has an exponent");
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// The shorter of the two forms, without trailing zeros. Source: `%g` of Go's `strconv/ftoa.go`: scientific where the
/// exponent is below -4 or not below the precision, which is taken as 6 for the shortest form.
fn general(value: f64, precision: Option<usize>) -> String {
    let digits_max = precision.map(|p| p.max(1));
    let text = match digits_max {
        Some(digits) => format!("{value:.*e}", digits - 1),
        None => float::shortest(value),
    };
    let (mantissa, exponent) = text.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let count = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let limit = match digits_max {
        // `eprec` of Go: a number with fewer digits than the precision prints plainly as long as it is whole.
        Some(digits) if digits > count && count as i32 > exponent => count as i32,
        Some(digits) => digits as i32,
        None => 6,
    };
    if exponent < -4 || exponent >= limit {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:0>2}", exponent.unsigned_abs().to_string());
    }
    let decimals = (count as i32 - 1 - exponent).max(0) as usize;
    let rounded: f64 = format!("{mantissa}e{exponent}").parse().expect("a float was just printed");
    format!("{rounded:.decimals$}")
}
