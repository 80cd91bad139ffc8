//! Floats as Prometheus prints them.
use faultline_model::Millis;
use serde_json::ser::{CompactFormatter, Formatter};

/// Whole numbers below this are floats of their own.
const WHOLE: f64 = (1_u64 << 53) as f64;

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

/// Appends what [`plain`] gives. Answers hold them by the hundred thousand.
pub fn put_plain(out: &mut Vec<u8>, value: f64) {
    let begun = out.len();
    // What is written to memory is written.
    let (mut writer, written) = (CompactFormatter, "memory takes all");
    if value.trunc() == value && value.abs() < WHOLE && (value != 0.0 || value.is_sign_positive()) {
        return writer.write_i64(out, value as i64).expect(written);
    }
    if value.is_finite() {
        writer.write_f64(out, value).expect(written);
        // The same digits, but for which of two that are as near: those are looked for where they are few.
        let text = std::str::from_utf8(&out[begun..]).expect("digits");
        if !text.contains('e') && !text.ends_with(".0") && !faultline_model::float::may_be_halfway(value, text) {
            return;
        }
        out.truncate(begun);
    }
    out.extend_from_slice(plain(value).as_bytes());
}

/// Appends an instant in seconds as Prometheus writes it, with three decimals or none.
pub fn put_seconds(out: &mut Vec<u8>, at: Millis) {
    let size = at.0.unsigned_abs();
    if at.0 < 0 {
        out.push(b'-');
    }
    CompactFormatter.write_u64(out, size / 1000).expect("memory takes all");
    let part = (size % 1000) as u16;
    if part > 0 {
        let digit = |unit: u16| b'0' + (part / unit % 10) as u8;
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
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

    /// Of any bits, of few digits, of binary fractions, which lie between two texts, and close to where the way of writing changes.
    #[test]
    fn what_is_put_is_what_is_printed() {
        let mut state = 1_u64;
        let mut draw = || {
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
            state ^ state >> 29
        };
        let check = |x: f64| {
            let mut out = Vec::new();
            put_plain(&mut out, x);
            assert_eq!(std::str::from_utf8(&out), Ok(&*plain(x)), "{:016x}", x.to_bits());
        };
        for _ in 0..300_000 {
            let (bits, short) = (draw(), draw());
            check(f64::from_bits(bits));
            check((short >> 40) as f64 / [1.0, 10.0, 100.0, 1e3, 1e5, 1e7][(short % 6) as usize]);
            check((bits >> 11) as f64 / f64::from_bits(((short % 120) + 1000) << 52));
            check(-((bits >> (short % 60)) as f64));
        }
        let edges =
            [0.0, -0.0, 1e-6, 1e-5, 1e15, 1e16, 1e17, 1e20, 1e21, 2e21, WHOLE, f64::MAX, f64::MIN_POSITIVE, 5e-324];
        for x in edges.into_iter().chain([f64::INFINITY, f64::NEG_INFINITY, f64::NAN]) {
            for near in [x, -x, x.next_up(), x.next_down()] {
                check(near);
            }
        }
    }

    #[test]
    fn instants_have_three_decimals_or_none() {
        for (ms, text) in [
            (0, "0"),
            (1, "0.001"),
            (-1, "-0.001"),
            (1500, "1.500"),
            (-62_000, "-62"),
            (1_790_000_000_020, "1790000000.020"),
        ] {
            let mut out = Vec::new();
            put_seconds(&mut out, Millis(ms));
            assert_eq!(std::str::from_utf8(&out), Ok(text));
        }
    }
}
