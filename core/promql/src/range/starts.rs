//! Where counters began, as senders say it: a counter that began anew did so even if its value did not fall.
use faultline_model::{Millis, Sample};

/// Whether a sample counts from another start than the one before it.
///
/// Source: `isStartTimestampReset` of Prometheus 3.15. A start of 0 is unknown; one at or after its sample is invalid, or
/// OpenTelemetry's unknown start. A start at the sample before means deltas, if the start of that one is known too.
pub(super) fn restarted(before: Sample, before_start: Millis, sample: Sample, start: Millis) -> bool {
    if before_start == start || start.0 == 0 || start >= sample.time() || start < before.time() {
        return false;
    }
    start > before.time() || (before_start.0 != 0 && before_start < before.time())
}

/// Visits the value before each fall and each new start, in order of time.
pub(super) fn each_fall(points: &[Sample], starts: &[Millis], visit: &mut dyn FnMut(f64)) {
    for (pair, starts) in points.windows(2).zip(starts.windows(2)) {
        if pair[1].value() < pair[0].value() || restarted(pair[0], starts[0], pair[1], starts[1]) {
            visit(pair[0].value());
        }
    }
}

/// When the counter of the first sample began, if that is known and within the stretch.
pub(super) fn began(points: &[Sample], starts: &[Millis], start: Millis) -> Option<Millis> {
    let (first, began) = (points.first()?, *starts.first()?);
    (began.0 != 0 && began > start && began < first.time()).then_some(began)
}
