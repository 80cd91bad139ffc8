//! Floats as Prometheus prints them.

/// As values of a query's answer: an exponent below 1e-6 and from 1e21 on.
///
/// Source: Prometheus, `util/jsonutil/marshal.go`, `MarshalFloat`.
pub fn plain(value: f64) -> String {
    let size = value.abs();
    if size.is_finite() && size != 0.0 && !(1e-6..1e21).contains(&size) {
        return exponent(value);
    }
    special(value).map_or_else(|| faultline_model::float::decimal(value), Into::into)
}

/// As values of alerts: Go's `strconv.FormatFloat(value, 'e', -1, 64)`.
pub fn exponent(value: f64) -> String {
    if let Some(word) = special(value) {
        return word.into();
    }
    // Both print the shortest digits that read back; only the exponent differs: a sign and two digits at least.
    let text = faultline_model::float::shortest(value);
    let (digits, exponent) = text.split_once('e').expect("it is asked for");
    let (sign, size) = exponent.strip_prefix('-').map_or(('+', exponent), |size| ('-', size));
    format!("{digits}e{sign}{size:0>2}")
}

fn special(value: f64) -> Option<&'static str> {
    match value {
        f64::INFINITY => Some("+Inf"),
        f64::NEG_INFINITY => Some("-Inf"),
        _ if value.is_nan() => Some("NaN"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_prometheus() {
        // From Prometheus 3 (`vector(...)` by `/api/v1/query`) and Go 1.26.
        for (value, shown, in_alert) in [
            (1.0, "1", "1e+00"),
            (-0.0, "-0", "-0e+00"),
            (1e-7, "1e-07", "1e-07"),
            (-1.5e-300, "-1.5e-300", "-1.5e-300"),
            (0.000001, "0.000001", "1e-06"),
            (1e21, "1e+21", "1e+21"),
            (123456789012345680000.0, "123456789012345680000", "1.2345678901234568e+20"),
            (0.1 + 0.2, "0.30000000000000004", "3.0000000000000004e-01"),
            (f64::NAN, "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!((&*plain(value), &*exponent(value)), (shown, in_alert));
        }
    }
}
