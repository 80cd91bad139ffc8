//! Whether a counter of histograms began anew.
use super::sum::{Sum, rebound, shared};
use crate::range::Compensated;
use alloc::vec::Vec;
use faultline_model::Histogram;
use faultline_model::histogram::{Buckets, ResetHint, upper_bound};

/// Whether the counter began anew between two histograms: what the later one's hint says, or else whether anything in it is less
/// than before. A finer resolution or a narrower zero bucket come with a reset only.
pub(crate) fn is_reset(before: &Histogram, now: &Histogram) -> bool {
    match now.hint {
        ResetHint::Reset => true,
        ResetHint::NotReset => false,
        ResetHint::Unknown | ResetHint::Gauge => has_fallen(before, now),
    }
}

/// The hint of a histogram as Prometheus' storage keeps it: a gauge stays one; what goes on where the one before it left off, in the
/// same buckets, says so; of all others, the first among them, nothing is known.
pub fn stored_hint(before: Option<&Histogram>, now: &Histogram) -> ResetHint {
    if now.hint == ResetHint::Gauge {
        return ResetHint::Gauge;
    }
    let goes_on = |before: &&Histogram| {
        before.hint != ResetHint::Gauge
            && now.hint != ResetHint::Reset
            && now.schema == before.schema
            && now.zero_threshold == before.zero_threshold
            && now.bounds == before.bounds
            && !has_fallen(before, now)
    };
    if before.filter(goes_on).is_some() { ResetHint::NotReset } else { ResetHint::Unknown }
}

/// Whether anything is less than before, whatever the hints say.
fn has_fallen(before: &Histogram, now: &Histogram) -> bool {
    if now.count < before.count {
        return true;
    }
    if now.is_custom() {
        if !before.is_custom() {
            return true;
        }
        if now.bounds != before.bounds {
            let shared = shared(&now.bounds, &before.bounds);
            let bound = |h: &Histogram| {
                let single = h.positive.iter().map(|(index, sum)| (index, Compensated { sum, rest: 0.0 }));
                let side = rebound(single, &h.bounds, &shared);
                Buckets::new(side.into_iter().map(|(index, count)| (index, count.value())))
            };
            return falls(&bound(before), &bound(now));
        }
    }
    if now.schema > before.schema || now.zero_threshold < before.zero_threshold {
        return true;
    }
    if now.zero_threshold == before.zero_threshold {
        if now.zero_count < before.zero_count {
            return true;
        }
    } else {
        let (count, reach) = Sum::of(before).widened(now.zero_threshold);
        if reach != now.zero_threshold || now.zero_count < count.value() {
            return true;
        }
    }
    let steps = (before.schema - now.schema).unsigned_abs().into();
    [(&before.positive, &now.positive), (&before.negative, &now.negative)].into_iter().any(|(before, now_side)| {
        let coarser = if steps == 0 { None } else { Some(before.coarser(steps)) };
        let before = coarser.as_ref().unwrap_or(before);
        if now.is_custom() || now.zero_threshold == 0.0 {
            return falls(before, now_side);
        }
        let outside = |(index, _): &(i32, f64)| upper_bound(now.schema, *index, &[]) > now.zero_threshold;
        let kept = before.iter().filter(outside).collect::<Vec<(i32, f64)>>();
        falls(&Buckets::new(kept), now_side)
    })
}

/// Whether any bucket holds less than before, or is gone.
fn falls(before: &Buckets, now: &Buckets) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|(index, count)| {
        while now.peek().is_some_and(|(i, _)| *i < index) {
            now.next();
        }
        now.peek().is_none_or(|(i, x)| *i > index || *x < count)
    })
}
