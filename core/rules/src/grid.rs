//! At which instants a group is evaluated: Prometheus' grid, each group's own.
use alloc::vec::Vec;
use faultline_model::Millis;
use xxhash_rust::xxh64::xxh64;

/// How far a group's instants lie behind the multiples of its interval, in ms.
///
/// Spreads groups over their interval, and equals Prometheus' choice where the file has the same name there.
/// Source: `Group.hash` and `Group.EvalTimestamp` of Prometheus 3.15 (`rules/group.go`), and the label set's bytes
/// of its default build (`model/labels/labels_stringlabels.go`).
pub(crate) fn offset_ms(file: &str, group: &str, interval_ms: i64) -> i64 {
    let mut bytes = Vec::with_capacity(file.len() + group.len() + 16);
    for text in ["file", file, "name", group] {
        match u8::try_from(text.len()) {
            Ok(size) if size < 255 => bytes.push(size),
            _ => {
                bytes.push(255);
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    // Prometheus counts in nanoseconds and cuts the instant to milliseconds when it evaluates. An interval of more
    // than 292 years does not fit into its nanoseconds; rule files cannot state one.
    let interval_ns = (interval_ms as u64).saturating_mul(1_000_000);
    (xxh64(&bytes, 0) % interval_ns / 1_000_000) as i64
}

/// The latest instant at or before `at`.
pub(crate) fn instant_at_or_before(at: Millis, offset_ms: i64, interval_ms: i64) -> Millis {
    let since = at.0.saturating_sub(offset_ms);
    Millis(since.saturating_sub(since.rem_euclid(interval_ms)).saturating_add(offset_ms))
}

/// The first instant after `at`.
pub(crate) fn instant_after(at: Millis, offset_ms: i64, interval_ms: i64) -> Millis {
    instant_at_or_before(at, offset_ms, interval_ms).plus(interval_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets as Prometheus 3.15 computes them (its own `labels` package, run once).
    #[test]
    fn offsets_are_those_of_prometheus() {
        let long = "d/".repeat(150);
        for (file, group, interval_ms, offset) in ORACLE {
            let file = if *file == "LONG" { &long } else { *file };
            assert_eq!(offset_ms(file, group, *interval_ms), *offset, "{file};{group}");
        }
    }

    const ORACLE: &[(&str, &str, i64, i64)] = &[
        ("rules.yml", "a", 60000, 46543),
        ("rules.yml", "b", 60000, 58582),
        ("/etc/prometheus/rules/node.yml", "node-exporter", 15000, 6061),
        ("", "x", 1000, 537),
        ("é.yml", "größe", 30000, 24835),
        ("LONG", "g", 60000, 7768),
        ("builtin.yml", "faultline-red", 1000, 700),
    ];

    #[test]
    fn instants_lie_on_the_grid() {
        for (at, before, after) in
            [(1000, 700, 1700), (1700, 1700, 2700), (1699, 700, 1700), (-5, -300, 700), (0, -300, 700)]
        {
            assert_eq!(instant_at_or_before(Millis(at), 700, 1000), Millis(before), "{at}");
            assert_eq!(instant_after(Millis(at), 700, 1000), Millis(after), "{at}");
        }
    }
}
