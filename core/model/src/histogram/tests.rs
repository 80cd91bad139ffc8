//! Histograms: their one spelling, what is refused, how they are printed.
use super::*;
use crate::codec::Canonical;
use alloc::string::ToString;
use alloc::vec::Vec;

fn buckets(all: &[(i32, f64)]) -> Buckets {
    Buckets::new(all.iter().copied())
}

fn example() -> Histogram {
    Histogram {
        hint: ResetHint::NotReset,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 2.0,
        count: 30.5,
        sum: -4.25,
        positive: buckets(&[(-3, 1.5), (-2, 4.0), (0, 0.0), (5, 7.0), (6, 1.0)]),
        negative: buckets(&[(1, 3.0), (4, 2.0)]),
        bounds: Arc::default(),
    }
}

fn custom() -> Histogram {
    let bounds: Arc<[f64]> = [1.0, 5.0, 10.0].into();
    let positive = buckets(&[(0, 3.0), (3, 1.0)]);
    Histogram { schema: CUSTOM_SCHEMA, count: 4.0, sum: 20.0, positive, bounds, ..Histogram::default() }
}

#[test]
fn buckets_have_one_spelling() {
    let some = buckets(&[(-3, 1.0), (-2, 0.0), (-1, 2.0), (0, f64::NAN), (7, 1.0)]);
    let span = |start, length| Span { start, length };
    assert_eq!(some.spans(), [span(-3, 1), span(-1, 2), span(7, 1)]);
    assert_eq!(some.len(), 4);
    let forth: Vec<i32> = some.iter().map(|(index, _)| index).collect();
    let mut back: Vec<i32> = some.iter_back().map(|(index, _)| index).collect();
    back.reverse();
    assert_eq!((&forth[..], back), (&[-3, -1, 0, 7][..], forth.clone()));
    let counts: Vec<u64> = some.iter_back().map(|(_, count)| count.to_bits()).collect();
    assert_eq!(counts, [1.0, float::NAN, 2.0, 1.0].map(f64::to_bits));
}

#[test]
fn coarser_buckets_hold_the_same() {
    // Of schema 1: (2^-2, 2^-1.5], (2^-1.5, 2^-1], (2^-0.5, 1], (1, 2^0.5], (2^0.5, 2].
    let fine = buckets(&[(-3, 1.0), (-2, 2.0), (0, 4.0), (1, 8.0), (2, 16.0)]);
    assert_eq!(fine.coarser(1), buckets(&[(-1, 3.0), (0, 4.0), (1, 24.0)]));
    assert_eq!(fine.coarser(5), buckets(&[(0, 7.0), (1, 24.0)]));
    assert_eq!(buckets(&[(1, 1.0), (2, -1.0), (3, 2.0)]).coarser(1), buckets(&[(2, 2.0)]), "what comes out empty goes");
    for schema in SCHEMA_MIN..=1 {
        let coarser = example().coarser(schema);
        let total = |h: &Histogram| h.positive.counts().iter().chain(h.negative.counts()).sum::<f64>();
        assert_eq!((coarser.schema, total(&coarser)), (schema, total(&example())));
    }
}

#[test]
fn bytes_are_canonical() {
    let gauge = Histogram { hint: ResetHint::Gauge, sum: f64::INFINITY, count: -3.0, ..example() };
    for histogram in [Histogram::default(), example(), custom(), gauge] {
        let bytes = histogram.to_bytes();
        assert_eq!(Histogram::from_bytes(&bytes).as_ref(), Ok(&histogram));
        for size in 0..bytes.len() {
            assert!(Histogram::from_bytes(&bytes[..size]).is_err(), "cut at {size}");
        }
        // A flip is refused or another histogram, with its own one spelling.
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            if let Ok(other) = Histogram::from_bytes(&flipped) {
                assert_eq!(other.to_bytes(), flipped, "bit {at}");
                assert_ne!(other, histogram, "bit {at}");
                let _ = (other.to_string(), other.validate(), other.buckets().count(), other.buckets_back().count());
            }
        }
    }
}

#[test]
fn what_nobody_may_send_is_refused() {
    type Change = fn(&mut Histogram);
    let exponential: [(Change, HistogramError); 6] = [
        (|h| h.schema = 9, HistogramError::Schema { schema: 9 }),
        (|h| h.count = -1.0, HistogramError::NegativeCount),
        (|h| h.negative = buckets(&[(1, -1.0)]), HistogramError::NegativeCount),
        (|h| h.zero_threshold = -0.5, HistogramError::ZeroThreshold),
        (|h| h.bounds = [1.0].into(), HistogramError::Mixed),
        (|h| h.positive = Buckets::new((0..BUCKETS_MAX as i32).map(|i| (i, 1.0))), HistogramError::TooManyBuckets),
    ];
    let bounded: [(Change, HistogramError); 5] = [
        (|h| h.zero_count = 1.0, HistogramError::Mixed),
        (|h| h.negative = buckets(&[(0, 1.0)]), HistogramError::Mixed),
        (|h| h.bounds = [1.0, 1.0, 2.0].into(), HistogramError::Bounds),
        (|h| h.bounds = [1.0, f64::INFINITY, f64::NAN].into(), HistogramError::Bounds),
        (|h| h.positive = buckets(&[(4, 1.0)]), HistogramError::Unbounded),
    ];
    for (start, changes) in [(example(), &exponential[..]), (custom(), &bounded)] {
        assert_eq!(start.validate(), Ok(()));
        for (change, expected) in changes {
            let mut histogram = start.clone();
            change(&mut histogram);
            assert_eq!(histogram.validate(), Err(*expected));
        }
    }
    let wide = Histogram { positive: Buckets::new((0..40_000).map(|i| (i, 1.0))), ..example() };
    assert_eq!(wide.bounded().map(|h| (h.schema, h.positive.len())), Ok((-1, 10_001)));
    let sparse = Histogram { positive: Buckets::new((0..40_000).map(|i| (i * 1024, 1.0))), ..example() };
    assert_eq!(sparse.bounded(), Err(HistogramError::TooManyBuckets));
}

/// What Prometheus 3.15 prints (`FloatHistogram.String`).
#[test]
fn it_prints_as_prometheus_does() {
    for (histogram, text) in [
        (Histogram::default(), "{count:0, sum:0}"),
        (
            example(),
            "{count:30.5, sum:-4.25, [-4,-2.82842712474619):2, [-1.414213562373095,-1):3, [-0.001,0.001]:2, \
             (0.25,0.35355339059327373]:1.5, (0.35355339059327373,0.5]:4, (4,5.65685424949238]:7, (5.65685424949238,8]:1}",
        ),
        (custom(), "{count:4, sum:20, [-Inf,1]:3, (10,+Inf]:1}"),
    ] {
        assert_eq!(histogram.to_string(), text);
    }
}

#[test]
fn no_bucket_reaches_into_the_zero_bucket() {
    let histogram = Histogram { zero_threshold: 0.3, ..example() };
    let bounds: Vec<(f64, f64)> = histogram.buckets().map(|b| (b.lower, b.upper)).collect();
    assert_eq!(bounds[2..4], [(-0.3, 0.3), (0.3, 0.35355339059327373)]);
    let mut back: Vec<(f64, f64)> = histogram.buckets_back().map(|b| (b.lower, b.upper)).collect();
    back.reverse();
    assert_eq!(back, bounds);
}
