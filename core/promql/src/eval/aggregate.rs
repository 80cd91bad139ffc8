//! Aggregations across series. No result depends on the order of its elements.
use super::call::{by_value, text};
use super::names::{is_mark, is_marked, marked};
use super::pick;
use crate::expr::{Aggregate, Grouping, Span};
use crate::function::AggOp;
use crate::histogram::{self, Incompatible};
use crate::range::{Subject, quantile, tell};
use crate::syntax::format_number;
use crate::{Annotations, Element, EvalError};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::labels::NAME;
use faultline_model::{ExactSum, Histogram, Labels, Number, float};

/// The labels of the group that an element belongs to.
pub(crate) fn group_key(grouping: &Grouping, labels: &Labels) -> Labels {
    let named = |name: &str| grouping.labels.iter().any(|l| l == name);
    match grouping.without {
        false if grouping.labels.is_empty() => Labels::default(),
        false => labels.filter(named),
        true => labels.filter(|name| name != NAME && !is_mark(name) && !named(name)),
    }
}

pub(super) fn aggregate(
    of: &Aggregate,
    at: Span,
    parameter: f64,
    elements: Vec<Element>,
    notes: &mut Annotations,
) -> Result<Vec<Element>, EvalError> {
    match of.op {
        AggOp::Topk | AggOp::Bottomk => return top(of, at, parameter, elements, notes),
        AggOp::Limitk => return limit(of, parameter, elements),
        AggOp::LimitRatio => return sample(parameter, elements),
        AggOp::CountValues => return Ok(count_values(of, elements)),
        _ => {}
    }
    let mut groups: BTreeMap<Labels, Members<'_>> = BTreeMap::new();
    for element in &elements {
        let members = groups.entry(group_key(&of.grouping, &element.labels)).or_default();
        members.marked |= is_marked(&element.labels);
        match &element.value {
            Number::Float(x) => members.floats.push(*x),
            Number::Histogram(histogram) => members.histograms.push((&element.labels, histogram)),
        }
    }
    let mut found = Vec::with_capacity(groups.len());
    for (labels, mut members) in groups {
        let value = match members.histograms.is_empty() {
            true => Some(Number::Float(fold(of.op, parameter, &mut members.floats))),
            false => mixed_value(of, parameter, &mut members, notes),
        };
        let labels = if members.marked { marked(&labels) } else { labels };
        found.extend(value.map(|value| Element { labels, value }));
    }
    Ok(found)
}

/// The elements of a group.
#[derive(Default)]
struct Members<'e> {
    /// Whether any of them is to lose its metric's name in the end.
    marked: bool,
    floats: Vec<f64>,
    histograms: Vec<(&'e Labels, &'e Arc<Histogram>)>,
}

/// The value of a group's numbers, of which there is at least one; may reorder them.
pub(super) fn fold(op: AggOp, parameter: f64, values: &mut [f64]) -> f64 {
    match op {
        AggOp::Quantile => quantile(parameter, values),
        AggOp::Stdvar => variance(values),
        AggOp::Stddev => float::sqrt(variance(values)),
        // As an accumulator has it: the least or the greatest rank, NaN only where there is nothing else.
        AggOp::Min => values.iter().map(|x| rank(*x)).min().map_or(float::NAN, unrank),
        AggOp::Max => {
            let ranks = values.iter().filter(|x| !x.is_nan()).map(|x| rank(*x));
            ranks.max().map_or(float::NAN, unrank)
        }
        op => {
            let mut accumulator = Accumulator::new(op);
            values.iter().for_each(|x| accumulator.add(*x));
            accumulator.value()
        }
    }
}

/// The aggregate of elements of which at least one is a histogram; `None` where it has none.
#[cold]
fn mixed_value(of: &Aggregate, parameter: f64, members: &mut Members<'_>, notes: &mut Annotations) -> Option<Number> {
    match of.op {
        AggOp::Count => Some(Number::Float((members.floats.len() + members.histograms.len()) as f64)),
        AggOp::Group => Some(Number::Float(1.0)),
        AggOp::Sum | AggOp::Avg if !members.floats.is_empty() => {
            notes.warn("encountered a mix of histograms and floats for aggregation", of.of.unwrapped().span);
            None
        }
        AggOp::Sum | AggOp::Avg => {
            members.histograms.sort_by_key(|(labels, _)| *labels);
            total(of.op, &members.histograms, of.of.unwrapped().span, notes)
        }
        op => {
            ignored(op, of.of.unwrapped().span, notes);
            let some = !members.floats.is_empty();
            some.then(|| Number::Float(fold(op, parameter, &mut members.floats)))
        }
    }
}

/// The sum or mean of at least one histogram, given in label order; `None` where they do not go together.
pub(crate) fn total(
    op: AggOp,
    histograms: &[(&Labels, &Arc<Histogram>)],
    at: Span,
    notes: &mut Annotations,
) -> Option<Number> {
    let terms: Vec<&Histogram> = histograms.iter().map(|(_, histogram)| &***histogram).collect();
    let total = if op == AggOp::Avg { histogram::mean(&terms) } else { histogram::sum(&terms) };
    match total {
        Ok((total, outcome)) => {
            tell(outcome, at, notes);
            Some(total.into())
        }
        Err(Incompatible) => {
            let other = histograms.iter().find(|(_, h)| h.is_custom() != terms[0].is_custom());
            let metric = other.map_or("", |(labels, _)| labels.name());
            Subject { metric, at }.incompatible(notes);
            None
        }
    }
}

fn ignored(op: AggOp, at: Span, notes: &mut Annotations) {
    notes.info(format!("ignored histogram in {} aggregation", op.name()), at);
}

/// The aggregations that a stream keeps up to date: a value of the terms that are in, whatever came and went before.
#[derive(Clone, Debug)]
pub(crate) enum Accumulator {
    Count {
        count: u64,
    },
    Group {
        count: u64,
    },
    Sum {
        count: u64,
        sum: ExactSum,
    },
    /// The second sum is of the terms times 2^-64, for means of terms whose sum is out of range.
    Avg {
        count: u64,
        sum: ExactSum,
        scaled: ExactSum,
    },
    /// How often each value is in, by its order-preserving bits; NaN last.
    Min {
        terms: BTreeMap<u64, u64>,
    },
    Max {
        terms: BTreeMap<u64, u64>,
    },
}

const SCALE: f64 = 18_446_744_073_709_551_616.0;

impl Accumulator {
    /// Of no terms. `op` must be one of sum, avg, min, max, count and group.
    pub(crate) fn new(op: AggOp) -> Accumulator {
        match op {
            AggOp::Count => Accumulator::Count { count: 0 },
            AggOp::Group => Accumulator::Group { count: 0 },
            AggOp::Sum => Accumulator::Sum { count: 0, sum: ExactSum::default() },
            AggOp::Avg => Accumulator::Avg { count: 0, sum: ExactSum::default(), scaled: ExactSum::default() },
            AggOp::Min => Accumulator::Min { terms: BTreeMap::new() },
            AggOp::Max => Accumulator::Max { terms: BTreeMap::new() },
            _ => unreachable!("an aggregation that is not kept up to date"),
        }
    }

    pub(crate) fn add(&mut self, x: f64) {
        match self {
            Accumulator::Count { count } | Accumulator::Group { count } => *count += 1,
            Accumulator::Sum { count, sum } => {
                *count += 1;
                sum.add(x);
            }
            Accumulator::Avg { count, sum, scaled } => {
                *count += 1;
                sum.add(x);
                scaled.add(x / SCALE);
            }
            Accumulator::Min { terms } | Accumulator::Max { terms } => *terms.entry(rank(x)).or_default() += 1,
        }
    }

    /// Takes away a term that was added.
    pub(crate) fn sub(&mut self, x: f64) {
        match self {
            Accumulator::Count { count } | Accumulator::Group { count } => *count -= 1,
            Accumulator::Sum { count, sum } => {
                *count -= 1;
                sum.sub(x);
            }
            Accumulator::Avg { count, sum, scaled } => {
                *count -= 1;
                sum.sub(x);
                scaled.sub(x / SCALE);
            }
            Accumulator::Min { terms } | Accumulator::Max { terms } => {
                let count = terms.get_mut(&rank(x)).expect("only added terms are taken away");
                *count -= 1;
                if *count == 0 {
                    terms.remove(&rank(x));
                }
            }
        }
    }

    /// Whether no terms are in.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Accumulator::Count { count }
            | Accumulator::Group { count }
            | Accumulator::Sum { count, .. }
            | Accumulator::Avg { count, .. } => *count == 0,
            Accumulator::Min { terms } | Accumulator::Max { terms } => terms.is_empty(),
        }
    }

    /// The value of at least one term.
    pub(crate) fn value(&self) -> f64 {
        match self {
            Accumulator::Count { count } => *count as f64,
            Accumulator::Group { .. } => 1.0,
            Accumulator::Sum { sum, .. } => sum.value(),
            Accumulator::Avg { count, sum, scaled } => mean(*count, sum, scaled),
            Accumulator::Min { terms } => terms.keys().next().map_or(float::NAN, |rank| unrank(*rank)),
            // NaN only where there is nothing else.
            Accumulator::Max { terms } => {
                terms.keys().rev().find(|rank| **rank != NAN_RANK).map_or(float::NAN, |rank| unrank(*rank))
            }
        }
    }
}

fn mean(count: u64, sum: &ExactSum, scaled: &ExactSum) -> f64 {
    let total = sum.value();
    if total.is_infinite() { scaled.value() / count as f64 * SCALE } else { total / count as f64 }
}

const NAN_RANK: u64 = u64::MAX;

/// Bits that order as [`float::order`] does.
fn rank(x: f64) -> u64 {
    if x.is_nan() {
        return NAN_RANK;
    }
    let bits = x.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn unrank(rank: u64) -> f64 {
    match rank {
        NAN_RANK => float::NAN,
        rank if rank >> 63 == 1 => f64::from_bits(rank & !(1 << 63)),
        rank => f64::from_bits(!rank),
    }
}

/// Population variance: exact sums of the values, then of the squares of their distances from the mean.
fn variance(values: &[f64]) -> f64 {
    // Counted from one of the values, so that equal values have exactly no variance.
    let origin = values.iter().copied().fold(float::NAN, float::min);
    let (mut sum, mut scaled, mut squares) = (ExactSum::default(), ExactSum::default(), ExactSum::default());
    for x in values {
        sum.add(x - origin);
        scaled.add((x - origin) / SCALE);
    }
    let mean = mean(values.len() as u64, &sum, &scaled);
    for x in values {
        let distance = (x - origin) - mean;
        squares.add(distance * distance);
    }
    squares.value() / values.len() as f64
}

/// The parameter of `topk`, `bottomk` and `limitk`: how many elements of each group.
fn count_of(parameter: f64) -> Result<usize, EvalError> {
    let refused = |message| Err(EvalError::Parameter { message });
    if parameter.is_nan() {
        return refused("Parameter value is NaN".into());
    }
    if float::abs(parameter) >= 9_223_372_036_854_775_808.0 {
        let way = if parameter > 0.0 { "overflows" } else { "underflows" };
        return refused(format!("Scalar value {} {way} int64", format_number(parameter)));
    }
    Ok(if parameter < 1.0 { 0 } else { parameter as usize })
}

/// `topk` and `bottomk`: the elements themselves, best first, groups in label order.
fn top(
    of: &Aggregate,
    at: Span,
    parameter: f64,
    elements: Vec<Element>,
    notes: &mut Annotations,
) -> Result<Vec<Element>, EvalError> {
    let count = count_of(parameter)?;
    let mut groups: BTreeMap<Labels, Vec<Element>> = BTreeMap::new();
    for element in elements {
        if element.value.float().is_none() {
            ignored(of.op, at, notes);
            continue;
        }
        groups.entry(group_key(&of.grouping, &element.labels)).or_default().push(element);
    }
    let mut found = Vec::new();
    for mut group in groups.into_values() {
        group.sort_by(|a, b| by_value(a, b, of.op == AggOp::Topk));
        group.truncate(count);
        found.append(&mut group);
    }
    Ok(found)
}

/// `limitk`: the first elements of each group in label order.
fn limit(of: &Aggregate, parameter: f64, mut elements: Vec<Element>) -> Result<Vec<Element>, EvalError> {
    let count = count_of(parameter)?;
    elements.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut taken: BTreeMap<Labels, usize> = BTreeMap::new();
    elements.retain(|element| {
        let taken = taken.entry(group_key(&of.grouping, &element.labels)).or_default();
        *taken += 1;
        *taken <= count
    });
    Ok(elements)
}

/// `limit_ratio`: the elements whose labels fall into that part of all, the same ones whenever asked; of a negative ratio
/// the others.
fn sample(ratio: f64, mut elements: Vec<Element>) -> Result<Vec<Element>, EvalError> {
    if ratio.is_nan() {
        return Err(EvalError::Parameter { message: "Ratio value is NaN".into() });
    }
    let ratio = float::max(-1.0, float::min(1.0, ratio));
    elements.retain(|element| {
        let place = pick::place(&element.labels);
        if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio }
    });
    Ok(elements)
}

fn count_values(of: &Aggregate, elements: Vec<Element>) -> Vec<Element> {
    let label = of.parameter.as_ref().map_or("", text);
    let mut groups: BTreeMap<Labels, u64> = BTreeMap::new();
    for element in elements {
        // The value's label comes last, so that it is part of the key even if the grouping names it.
        let mut key = group_key(&of.grouping, &element.labels).to_builder();
        let dropped = of.grouping.without && of.grouping.labels.iter().any(|l| l == label);
        let value = match &element.value {
            _ if dropped => String::new(),
            Number::Float(x) => format_number(*x),
            Number::Histogram(histogram) => histogram.to_string(),
        };
        key.set(label, &value);
        *groups.entry(key.build()).or_default() += 1;
    }
    groups.into_iter().map(|(labels, count)| Element { labels, value: (count as f64).into() }).collect()
}
