//! Sums, resets and questions: expected values are worked out by hand from Prometheus 3.15's rules.
use super::*;
use crate::notation::{Entry, entries};
use alloc::vec::Vec;
use faultline_model::histogram::ResetHint;

fn histogram(text: &str) -> Histogram {
    match &entries(&alloc::format!("{{{{{text}}}}}")).expect(text)[..] {
        [Entry::Histogram { histogram, .. }] => Histogram::clone(histogram),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn sums_reconcile_what_differs() {
    for (what, a, b, expected) in [
        (
            "the same layout",
            "count:3 sum:4 buckets:[1 2]",
            "count:1 sum:1 buckets:[0 1]",
            "count:4 sum:5 buckets:[1 3]",
        ),
        (
            "a coarser schema",
            "schema:1 count:10 buckets:[1 2 3 4] offset:-1",
            "schema:0 count:3 buckets:[1 2] offset:0",
            "schema:0 count:13 buckets:[4 9] offset:0",
        ),
        (
            "a finer schema",
            "schema:0 count:3 buckets:[1 2] offset:0",
            "schema:1 count:10 buckets:[1 2 3 4] offset:-1",
            "schema:0 count:13 buckets:[4 9] offset:0",
        ),
        (
            "a wider zero bucket, which ends within a bucket",
            "count:10 z_bucket:1 z_bucket_w:0.5 buckets:[4 5] offset:1",
            "count:9 z_bucket:2 z_bucket_w:1.5 buckets:[7] offset:3",
            "count:19 z_bucket:7 z_bucket_w:2 buckets:[5 7] offset:2",
        ),
        (
            "other bounds",
            "schema:-53 count:10 custom_values:[1 2 5] buckets:[1 2 3 4]",
            "schema:-53 count:6 custom_values:[1 5 9] buckets:[1 1 2 2]",
            "schema:-53 count:16 custom_values:[1 5] buckets:[2 6 8]",
        ),
    ] {
        let mut sum = Sum::of(&histogram(a));
        sum.add(&histogram(b)).expect(what);
        assert_eq!(sum.value(), histogram(expected), "{what}");
        let mut difference = Sum::of(&histogram(expected));
        difference.sub(&histogram(b)).expect(what);
        // What was merged stays merged.
        assert_eq!((difference.clone().value().count, what), (histogram(a).count, what));
    }
    let custom = histogram("schema:-53 custom_values:[1] buckets:[1]");
    assert_eq!(Sum::of(&custom).add(&Histogram::default()), Err(Incompatible));
    assert_eq!(Sum::of(&Histogram::default()).sub(&custom), Err(Incompatible));
}

#[test]
fn hints_of_sums_say_what_all_terms_say() {
    let of = |hint| Histogram { hint, count: 1.0, ..Histogram::default() };
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    for (hints, expected, collision) in [
        (&[NotReset, NotReset][..], NotReset, false),
        (&[NotReset, Unknown], Unknown, false),
        (&[Unknown, Reset, NotReset], Unknown, true),
        (&[Reset, NotReset], Unknown, true),
        (&[Gauge, NotReset, Unknown], Gauge, false),
        (&[Reset, Gauge], Gauge, false),
    ] {
        let terms: Vec<Histogram> = hints.iter().map(|hint| of(*hint)).collect();
        let terms: Vec<&Histogram> = terms.iter().collect();
        let (total, outcome) = sum(&terms).expect("exponential");
        assert_eq!((total.hint, outcome.collision), (expected, collision), "{hints:?}");
    }
}

#[test]
fn means_do_not_overflow() {
    let huge = Histogram { count: 1e308, sum: 1e308, ..histogram("buckets:[1]") };
    let terms = [&huge; 5];
    let (mean, _) = mean(&terms).expect("exponential");
    assert!((mean.count / 1e308 - 1.0).abs() < 1e-12 && mean.positive == huge.positive, "{mean}");
    assert!(sum(&terms).expect("exponential").0.count.is_infinite());
}

#[test]
fn resets_are_found_in_every_part() {
    for (what, before, now, expected) in [
        ("nothing changed", "count:3 buckets:[1 2]", "count:3 buckets:[1 2]", false),
        ("it rose", "count:3 buckets:[1 2]", "count:5 buckets:[1 2 2]", false),
        ("a count fell", "count:3", "count:2", true),
        ("a bucket fell", "count:3 buckets:[1 2]", "count:3 buckets:[2 1]", true),
        ("a bucket is gone", "count:3 n_buckets:[1 2]", "count:4 n_buckets:[4]", true),
        ("the zero bucket fell", "count:3 z_bucket:2", "count:3 z_bucket:1", true),
        ("it became finer", "count:3 buckets:[3]", "schema:1 count:3 buckets:[0 3]", true),
        ("it became coarser", "schema:1 count:3 buckets:[1 1 1]", "count:3 buckets:[1 2]", false),
        ("it became coarser and fell", "schema:1 count:3 buckets:[1 1 1]", "count:3 buckets:[2 1]", true),
        ("a narrower zero bucket", "count:3 z_bucket_w:1", "count:3 z_bucket_w:0.5", true),
        ("a wider zero bucket", "count:3 buckets:[3]", "count:3 z_bucket_w:1 z_bucket:3", false),
        ("a wider one that ends within a bucket", "count:3 buckets:[3]", "count:3 z_bucket_w:0.75 z_bucket:3", true),
        (
            "other bounds",
            "schema:-53 count:3 custom_values:[1 2] buckets:[1 1 1]",
            "schema:-53 count:3 custom_values:[2] buckets:[2 1]",
            false,
        ),
        (
            "other bounds, less",
            "schema:-53 count:3 custom_values:[1 2] buckets:[1 1 1]",
            "schema:-53 count:3 custom_values:[2] buckets:[1 2]",
            true,
        ),
        ("another kind", "count:3", "schema:-53 count:3 custom_values:[2] buckets:[3]", true),
        ("it says so", "count:3", "count:4 counter_reset_hint:reset", true),
        ("it says not", "count:3", "count:2 counter_reset_hint:not_reset", false),
    ] {
        assert_eq!(is_reset(&histogram(before), &histogram(now)), expected, "{what}");
    }
}

#[test]
fn what_storage_keeps_of_hints() {
    let first = histogram("count:3 buckets:[1 2]");
    let more = histogram("count:5 buckets:[1 4]");
    let gauge = histogram("count:5 buckets:[1 4] counter_reset_hint:gauge");
    assert_eq!(stored_hint(None, &first), ResetHint::Unknown);
    assert_eq!(stored_hint(Some(&first), &more), ResetHint::NotReset);
    assert_eq!(stored_hint(Some(&more), &first), ResetHint::Unknown);
    assert_eq!(stored_hint(Some(&first), &gauge), ResetHint::Gauge);
    assert_eq!(stored_hint(Some(&gauge), &more), ResetHint::Unknown);
}

/// Division by zero and by less than zero, as in Go.
#[test]
fn scaling_keeps_what_it_can() {
    let some = histogram("count:4 sum:-2 z_bucket:1 z_bucket_w:0.1 buckets:[1 2]");
    let none = div(&some, 0.0);
    assert_eq!((none.count, none.sum, none.positive.len()), (f64::INFINITY, f64::NEG_INFINITY, 0));
    assert_eq!(
        div(&some, -2.0),
        histogram("count:-2 sum:1 z_bucket:-0.5 z_bucket_w:0.1 buckets:[-0.5 -1] counter_reset_hint:gauge")
    );
    assert_eq!(mul(&some, 0.0).positive.len(), 0);
}
