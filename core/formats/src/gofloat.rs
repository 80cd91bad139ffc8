//! Numbers in the text that Go gives them: `le` bounds and attribute values must match Prometheus to the byte.
//!
//! `model`'s `float::shortest` gives the digits of Go's `strconv` with precision -1; only the exponent's form and the names of
//! infinities differ.
use alloc::string::String;
use faultline_model::float;

/// `strconv.FormatFloat(value, 'f', -1, 64)`.
pub(crate) fn append_plain(value: f64, out: &mut String) {
    if value == f64::INFINITY {
        out.push_str("+Inf");
    } else if value == f64::NEG_INFINITY {
        out.push_str("-Inf");
    } else {
        out.push_str(&float::decimal(value));
    }
}

/// As ECMAScript prints numbers: an exponent below 1e-6 and from 1e21 on (`pcommon.Value.AsString`).
pub(crate) fn append_es6(value: f64, out: &mut String) {
    let size = float::abs(value);
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let start = out.len();
        out.push_str(&float::shortest(value));
        if size > 1.0
            && let Some(at) = out[start..].find('e')
        {
            out.insert(start + at + 1, '+');
        }
    } else {
        out.push_str(&float::decimal(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_go_s() {
        // From Go 1.26: strconv.FormatFloat(x, 'f', -1, 64) and pcommon.NewValueDouble(x).AsString().
        for (value, plain, es6) in [
            (0.005, "0.005", "0.005"),
            (1.0, "1", "1"),
            (-0.0, "-0", "-0"),
            (1e21, "1000000000000000000000", "1e+21"),
            (123456789012345680000.0, "123456789012345680000", "123456789012345680000"),
            (1e-7, "0.0000001", "1e-7"),
            (1.5e-10, "0.00000000015", "1.5e-10"),
            (1e-6, "0.000001", "0.000001"),
            (2.5e300, &("25".parse::<String>().unwrap() + &"0".repeat(299)), "2.5e+300"),
            (f64::INFINITY, "+Inf", "Infinity"),
            (f64::NEG_INFINITY, "-Inf", "-Infinity"),
            (f64::NAN, "NaN", "NaN"),
            (0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"),
        ] {
            let (mut a, mut b) = (String::new(), String::new());
            append_plain(value, &mut a);
            append_es6(value, &mut b);
            assert_eq!((&*a, &*b), (plain, es6));
        }
    }
}
