//! Sums, differences and means of histograms, whatever their resolutions, zero buckets and bounds.
use crate::range::Compensated;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use faultline_model::Histogram;
use faultline_model::histogram::{Buckets, ResetHint, coarser_index, upper_bound};

/// Histograms with bounds of their own and exponential ones have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incompatible;

/// What had to be done for a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// One term says that its counter began anew, another that its did not.
    pub(crate) collision: bool,
    /// Terms had different bounds of their own: those that they share were kept.
    pub(crate) reconciled: bool,
}

/// Buckets by rising index.
type Side = Vec<(i32, Compensated)>;

/// A compensated sum of histograms.
#[derive(Clone)]
pub(crate) struct Sum {
    hint: ResetHint,
    schema: i8,
    zero_threshold: f64,
    zero_count: Compensated,
    count: Compensated,
    sum: Compensated,
    positive: Side,
    negative: Side,
    bounds: Arc<[f64]>,
}

fn one(x: f64) -> Compensated {
    Compensated { sum: x, rest: 0.0 }
}

fn side(buckets: &Buckets) -> Side {
    buckets.iter().map(|(index, count)| (index, one(count))).collect()
}

impl Sum {
    /// Of one term.
    pub(crate) fn of(histogram: &Histogram) -> Sum {
        Sum {
            hint: histogram.hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count: one(histogram.zero_count),
            count: one(histogram.count),
            sum: one(histogram.sum),
            positive: side(&histogram.positive),
            negative: side(&histogram.negative),
            bounds: histogram.bounds.clone(),
        }
    }

    /// Adds a histogram.
    pub(crate) fn add(&mut self, other: &Histogram) -> Result<Outcome, Incompatible> {
        self.put(other, 1.0)
    }

    /// Takes a histogram away.
    pub(crate) fn sub(&mut self, other: &Histogram) -> Result<Outcome, Incompatible> {
        self.put(other, -1.0)
    }

    /// The rounded sum.
    pub(crate) fn value(self) -> Histogram {
        let buckets = |side: Side| Buckets::new(side.into_iter().map(|(index, count)| (index, count.value())));
        let histogram = Histogram {
            hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.value(),
            count: self.count.value(),
            sum: self.sum.value(),
            positive: buckets(self.positive),
            negative: buckets(self.negative),
            bounds: self.bounds,
        };
        histogram.canonical()
    }

    /// The value, as a gauge: what a difference is.
    pub(crate) fn gauge(self) -> Histogram {
        Histogram { hint: ResetHint::Gauge, ..self.value() }
    }

    fn each(&mut self, mut change: impl FnMut(&mut Compensated)) {
        [&mut self.zero_count, &mut self.count, &mut self.sum].into_iter().for_each(&mut change);
        self.positive.iter_mut().chain(&mut self.negative).for_each(|(_, count)| change(count));
    }

    fn scale(&mut self, scale: impl Fn(f64) -> f64) {
        self.each(|x| *x = Compensated { sum: scale(x.sum), rest: scale(x.rest) });
    }

    fn overflows(&self) -> bool {
        let counts = self.positive.iter().chain(&self.negative).map(|(_, count)| count);
        [&self.zero_count, &self.count, &self.sum].into_iter().chain(counts).any(|x| x.sum.is_infinite())
    }

    fn is_custom(&self) -> bool {
        self.schema == faultline_model::histogram::CUSTOM_SCHEMA
    }

    fn put(&mut self, other: &Histogram, sign: f64) -> Result<Outcome, Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let collision = self.take_hint(other.hint);
        self.count.add(sign * other.count);
        self.sum.add(sign * other.sum);
        if self.is_custom() {
            let reconciled = self.bounds != other.bounds;
            if reconciled {
                let shared = shared(&self.bounds, &other.bounds);
                let mine = rebound(self.positive.iter().copied(), &self.bounds, &shared);
                let theirs = rebound(side(&other.positive).into_iter(), &other.bounds, &shared);
                (self.positive, self.bounds) = (mine, shared.into());
                merge(&mut self.positive, theirs.into_iter(), sign);
            } else {
                merge(&mut self.positive, other.positive.iter().map(|(index, x)| (index, one(x))), sign);
            }
            return Ok(Outcome { collision, reconciled });
        }
        self.put_zero(other, sign);
        if other.schema < self.schema {
            let steps = (self.schema - other.schema).unsigned_abs().into();
            (self.positive, self.negative) = (coarser(&self.positive, steps), coarser(&self.negative, steps));
            self.schema = other.schema;
        }
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let steps = (other.schema - schema).unsigned_abs().into();
        for (mine, theirs) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
            let outside = |(index, _): &(i32, Compensated)| upper_bound(schema, *index, &[]) > threshold;
            if steps == 0 {
                let theirs = theirs.iter().map(|(index, x)| (index, one(x)));
                merge(mine, theirs.skip_while(|bucket| !outside(bucket)), sign);
            } else {
                merge(mine, coarser(&side(theirs), steps).into_iter().skip_while(|bucket| !outside(bucket)), sign);
            }
        }
        Ok(Outcome { collision, reconciled: false })
    }

    /// Adds the zero bucket of another histogram: where one is wider, the other is widened until both are equally wide and
    /// end at no populated bucket's middle.
    fn put_zero(&mut self, other: &Histogram, sign: f64) {
        let (mut count, mut threshold) = (one(other.zero_count), other.zero_threshold);
        if threshold != self.zero_threshold {
            let other = Sum::of(other);
            while self.zero_threshold > threshold || threshold > self.zero_threshold {
                if self.zero_threshold > threshold {
                    (count, threshold) = other.widened(self.zero_threshold);
                }
                if threshold > self.zero_threshold {
                    (self.zero_count, self.zero_threshold) = self.widened(threshold);
                    self.trim_zero();
                }
            }
        }
        self.zero_count.add(sign * count.sum);
        self.zero_count.add(sign * count.rest);
    }

    /// What the zero bucket would hold if it reached at least as far as `reach`, and how far it then reaches: to the end of any
    /// populated bucket that it reaches into.
    pub(super) fn widened(&self, reach: f64) -> (Compensated, f64) {
        let mut reach = reach;
        loop {
            let mut count = self.zero_count;
            let mut further = reach;
            for side in [&self.positive, &self.negative] {
                for (index, within) in side {
                    if upper_bound(self.schema, index - 1, &[]) >= further {
                        break;
                    }
                    count.add(within.sum);
                    count.add(within.rest);
                    let end = upper_bound(self.schema, *index, &[]);
                    if end > further && within.sum != 0.0 {
                        further = end;
                    }
                }
            }
            if further == reach {
                return (count, reach);
            }
            reach = further;
        }
    }

    /// Drops the buckets that lie within the zero bucket.
    fn trim_zero(&mut self) {
        let (schema, reach) = (self.schema, self.zero_threshold);
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|(index, _)| upper_bound(schema, index - 1, &[]) >= reach);
        }
    }

    /// Takes in another term's hint; says whether the two contradict each other.
    fn take_hint(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, Unknown};
        match (self.hint, other) {
            (mine, other) if mine == other => false,
            (Gauge, _) | (_, Gauge) => {
                self.hint = Gauge;
                false
            }
            (mine, other) => {
                self.hint = Unknown;
                mine != Unknown && other != Unknown
            }
        }
    }
}

/// Adds `sign` times each of other buckets, by rising index.
fn merge(into: &mut Side, from: impl Iterator<Item = (i32, Compensated)>, sign: f64) {
    let mut missing: Side = Vec::new();
    let mut at = 0;
    for (index, Compensated { sum, rest }) in from {
        while into.get(at).is_some_and(|(i, _)| *i < index) {
            at += 1;
        }
        match into.get_mut(at) {
            Some((i, count)) if *i == index => {
                count.add(sign * sum);
                if rest != 0.0 {
                    count.add(sign * rest);
                }
            }
            _ => missing.push((index, Compensated { sum: sign * sum, rest: sign * rest })),
        }
    }
    if !missing.is_empty() {
        into.append(&mut missing);
        // No two have one index.
        into.sort_by_key(|(index, _)| *index);
    }
}

/// Buckets under other indices that rise with theirs, those of one index added up.
fn collected(buckets: impl Iterator<Item = (i32, Compensated)>) -> Side {
    let mut all: Side = Vec::new();
    for (index, count) in buckets {
        match all.last_mut() {
            Some((last, total)) if *last == index => {
                total.add(count.sum);
                total.add(count.rest);
            }
            _ => all.push((index, count)),
        }
    }
    all
}

fn coarser(side: &Side, steps: u32) -> Side {
    collected(side.iter().map(|(index, count)| (coarser_index(*index, steps), *count)))
}

/// The bounds that both have.
pub(super) fn shared(a: &[f64], b: &[f64]) -> Vec<f64> {
    let (mut i, mut j) = (0, 0);
    let mut all = Vec::new();
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match faultline_model::float::order(*x, *y) {
            Ordering::Less => i += 1,
            Ordering::Greater => j += 1,
            Ordering::Equal => {
                all.push(*x);
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    all
}

/// Buckets of some bounds as those of fewer.
pub(super) fn rebound(buckets: impl Iterator<Item = (i32, Compensated)>, from: &[f64], to: &[f64]) -> Side {
    collected(buckets.map(|(index, count)| {
        let end = upper_bound(faultline_model::histogram::CUSTOM_SCHEMA, index, from);
        // Rising bounds are bounded by those of one histogram.
        (to.partition_point(|bound| *bound < end) as i32, count)
    }))
}

/// What the hints of all terms say together, and whether any bounds were reconciled.
fn outcome(terms: &[&Histogram], reconciled: bool) -> Outcome {
    let says = |hint| terms.iter().any(|term| term.hint == hint);
    Outcome { collision: says(ResetHint::Reset) && says(ResetHint::NotReset), reconciled }
}

/// The sum of at least one term, in their order.
pub(crate) fn sum(terms: &[&Histogram]) -> Result<(Histogram, Outcome), Incompatible> {
    let (total, reconciled) = total(terms)?;
    Ok((total.value(), outcome(terms, reconciled)))
}

fn total(terms: &[&Histogram]) -> Result<(Sum, bool), Incompatible> {
    let mut total = Sum::of(terms[0]);
    let mut reconciled = false;
    for term in &terms[1..] {
        reconciled |= total.add(term)?.reconciled;
    }
    Ok((total, reconciled))
}

/// The mean of at least one term, in their order: of the sum, or step by step once the sum would overflow.
pub(crate) fn mean(terms: &[&Histogram]) -> Result<(Histogram, Outcome), Incompatible> {
    let (mut all, reconciled) = total(terms)?;
    let count = terms.len() as f64;
    if all.overflows() && terms.len() > 1 {
        return Ok((stepwise_mean(terms)?, outcome(terms, reconciled)));
    }
    all.scale(|x| x / count);
    Ok((all.value(), outcome(terms, reconciled)))
}

fn stepwise_mean(terms: &[&Histogram]) -> Result<Histogram, Incompatible> {
    let mut mean = Sum::of(terms[0]);
    let mut stepwise = false;
    for (i, term) in terms.iter().enumerate().skip(1) {
        let count = (i + 1) as f64;
        if !stepwise {
            let mut next = mean.clone();
            next.add(term)?;
            if !next.overflows() {
                mean = next;
                continue;
            }
            stepwise = true;
            mean.scale(|x| x / (count - 1.0));
        }
        mean.scale(|x| x * ((count - 1.0) / count));
        mean.add(&super::div(term, count))?;
    }
    Ok(mean.value())
}
