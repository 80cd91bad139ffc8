//! Histograms cut at a value: the operators `</` and `>/`.
use faultline_model::Histogram;
use faultline_model::float;
use faultline_model::histogram::{Bucket, Buckets};

/// Which observations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Below,
    Above,
}

/// The observations below `at`, or those above it. Buckets that `at` lies in are divided as quantiles divide them. Where anything is
/// cut off, count and sum are estimated anew from what is kept.
pub(crate) fn trim(histogram: &Histogram, at: f64, below: bool) -> Histogram {
    let keep = if below { Keep::Below } else { Keep::Above };
    let custom = histogram.is_custom();
    let mut all = Histogram { bounds: histogram.bounds.clone(), ..histogram.clone() };
    let (mut count, mut sum, mut cut) = (0.0, 0.0, false);
    let mut part = |bucket: Bucket, positive: bool| {
        let (kept, middle) = kept(bucket, at, keep, positive, custom);
        count += kept;
        sum += middle * kept;
        cut |= kept != bucket.count;
        kept
    };
    let positive = histogram.positive.iter().map(|(i, x)| (i, part(histogram.positive_bucket(i, x), true)));
    all.positive = Buckets::new(positive);
    let negative = histogram.negative.iter().map(|(i, x)| (i, part(histogram.negative_bucket(i, x), false)));
    all.negative = Buckets::new(negative);
    if histogram.zero_count > 0.0 {
        let (kept, middle) = zero_kept(histogram, at, keep);
        cut |= kept != histogram.zero_count;
        all.zero_count = kept;
        sum += middle * kept;
        count += kept;
    }
    if !cut {
        return histogram.clone();
    }
    Histogram { count, sum, ..all }.canonical()
}

/// How much of a bucket is kept, and where the middle of that is.
fn kept(b: Bucket, at: f64, keep: Keep, positive: bool, custom: bool) -> (f64, f64) {
    let (whole, divided) = match keep {
        Keep::Below => (b.upper <= at, b.lower < at),
        Keep::Above => (b.lower >= at, b.upper > at),
    };
    match (whole, divided) {
        (true, _) => (b.count, middle(b.lower, b.upper, positive, custom)),
        (false, true) => divide(b, at, keep, positive, custom),
        (false, false) => (0.0, 0.0),
    }
}

fn divide(b: Bucket, at: f64, keep: Keep, positive: bool, custom: bool) -> (f64, f64) {
    if b.lower == f64::NEG_INFINITY || b.upper == f64::INFINITY {
        return divide_infinite(b, at, keep);
    }
    let below = if at <= b.lower {
        0.0
    } else if at >= b.upper {
        b.count
    } else {
        b.count * super::measure::share_below(&b, at, custom)
    };
    match keep {
        Keep::Below => (below, middle(b.lower, at, positive, custom)),
        Keep::Above => (b.count - below, middle(at, b.upper, positive, custom)),
    }
}

/// Of an infinitely wide bucket nobody knows where its observations lie: it goes, unless it may be taken to begin at 0.
fn divide_infinite(b: Bucket, at: f64, keep: Keep) -> (f64, f64) {
    let finite = |x: f64| if x.is_infinite() { 0.0 } else { x };
    if b.lower == f64::NEG_INFINITY {
        let from_zero = b.upper > 0.0 && b.upper != f64::INFINITY;
        return match keep {
            Keep::Below if at >= b.upper => (b.count, 0.0),
            Keep::Below if at > 0.0 && from_zero => (b.count * at / b.upper, at / 2.0),
            Keep::Below if b.upper <= 0.0 => (b.count, at),
            Keep::Above if at <= b.lower => (b.count, 0.0),
            Keep::Above if at >= 0.0 && b.upper > at && b.upper != f64::INFINITY => {
                (b.count * (1.0 - at / b.upper), (at + b.upper) / 2.0)
            }
            Keep::Below | Keep::Above => (0.0, finite(b.upper)),
        };
    }
    match keep {
        Keep::Above if at >= b.lower => (b.count, at),
        Keep::Below | Keep::Above => (0.0, finite(b.lower)),
    }
}

fn zero_kept(histogram: &Histogram, at: f64, keep: Keep) -> (f64, f64) {
    let Bucket { mut lower, mut upper, count, .. } = histogram.zero_bucket();
    match (histogram.negative.is_empty(), histogram.positive.is_empty()) {
        (false, true) => upper = 0.0,
        (true, false) => lower = 0.0,
        _ => {}
    }
    let whole = (count, (lower + upper) / 2.0);
    match keep {
        Keep::Below if at <= lower => (0.0, 0.0),
        Keep::Below if at >= upper => whole,
        Keep::Below => (count * ((at - lower) / (upper - lower)), (lower + at) / 2.0),
        Keep::Above if at <= lower => whole,
        Keep::Above if at >= upper => (0.0, 0.0),
        Keep::Above => (count * ((upper - at) / (upper - lower)), (at + upper) / 2.0),
    }
}

/// Arithmetic for linear buckets, geometric for exponential ones; of an infinite stretch its finite end, or half of that.
fn middle(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => (lower + upper) / 2.0,
        (false, false) => {
            let mean = float::sqrt(float::abs(lower * upper));
            if positive { mean } else { -mean }
        }
    }
}
