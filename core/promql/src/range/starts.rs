//! Where counters began, as senders say it: a counter that began anew did so even if its value did not fall.
use faultline_model::{Millis, Sample};

/// When samples began to be counted, by their times, rising.
pub(crate) type Starts<'a> = &'a [(Millis, Millis)];

/// When the sample of a time began to be counted; 0 where that is not known.
pub(crate) fn of(starts: Starts<'_>, time: Millis) -> Millis {
    starts.binary_search_by_key(&time, |(time, _)| *time).map_or(Millis(0), |i| starts[i].1)
}

/// Whether the sample of a time counts from another start than the one before it.
///
/// Source: `isStartTimestampReset` of Prometheus 3.15. A start of 0 is unknown; one at or after its sample is invalid, or
/// OpenTelemetry's unknown start. A start at the sample before means deltas, if the start of that one is known too.
pub(super) fn restarted(starts: Starts<'_>, before: Millis, time: Millis) -> bool {
    let (before_start, start) = (of(starts, before), of(starts, time));
    if before_start == start || start.0 == 0 || start >= time || start < before {
        return false;
    }
    start > before || (before_start.0 != 0 && before_start < before)
}

/// Whether a sample says that it began to be counted before the one before it, which began at another time.
///
/// - `times`: those of the samples, rising.
pub(crate) fn overlap(starts: Starts<'_>, mut times: impl Iterator<Item = Millis>) -> bool {
    let Some(mut before) = times.next() else { return false };
    times.any(|time| {
        let (before_start, start) = (of(starts, before), of(starts, time));
        let overlaps = start.0 != 0 && start < before && start != before_start;
        before = time;
        overlaps
    })
}

/// Visits the value before each fall and each new start, in order of time.
pub(super) fn each_fall(points: &[Sample], starts: Starts<'_>, visit: &mut dyn FnMut(f64)) {
    for pair in points.windows(2) {
        if pair[1].value() < pair[0].value() || restarted(starts, pair[0].time(), pair[1].time()) {
            visit(pair[0].value());
        }
    }
}

/// When the counter of the first sample, of a time, began, if that is known and within the stretch.
pub(super) fn began(starts: Starts<'_>, first: Millis, start: Millis) -> Option<Millis> {
    let began = of(starts, first);
    (began.0 != 0 && began > start && began < first).then_some(began)
}
