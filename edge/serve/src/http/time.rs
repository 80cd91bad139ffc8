//! Times as clients write them.
use faultline_model::Millis;

/// A time as Prometheus takes it: seconds since 1970 with decimals, or RFC 3339.
pub fn prometheus(text: &str) -> Option<Millis> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Some(Millis((seconds * 1000.0).round() as i64)),
        Ok(_) => None,
        Err(_) => Millis::parse(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_prometheus_reads_them() {
        assert_eq!(prometheus("1700000000.0504"), Some(Millis(1_700_000_000_050)));
        assert_eq!(prometheus("2026-11-21T00:54:16Z"), Some(Millis(1_795_222_456_000)));
        assert_eq!((prometheus("NaN"), prometheus("abc")), (None, None));
    }
}
