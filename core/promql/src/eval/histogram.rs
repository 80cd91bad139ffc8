//! Functions of histograms of either kind: native ones, and classic ones, which are cumulative buckets, each a series with its
//! upper bound in the label `le`.
use crate::annotations::Repaired;
use crate::expr::Span;
use crate::histogram::{self, NotNumbers};
use crate::{Annotations, Element};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::{Histogram, Labels, Millis, Number, float};

/// One bucket: how many observations are at most `bound`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    pub(super) bound: f64,
    pub(super) count: f64,
}

/// What belongs to one set of labels: classic buckets, a native histogram, or both, which is a mistake.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    classic: Vec<Bucket>,
    native: Option<Arc<Histogram>>,
}

/// What a histogram, of either kind, is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Question {
    /// The value that this share of the observations does not exceed.
    Quantile(f64),
    /// The share of observations between two values.
    Fraction(f64, f64),
}

/// What annotations are about: where in the text the histograms stand, and when they were taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) at: Span,
    pub(super) when: Millis,
    /// Whether the metric is told.
    pub(super) named: bool,
}

impl Subject {
    /// A text with the metric that it is about, where that is told and known.
    fn named(self, text: &str, labels: &Labels) -> String {
        let metric = if self.named { labels.name() } else { "" };
        if metric.is_empty() { text.into() } else { format!("{text} for metric name {metric:?}") }
    }

    /// Warns of what should be a bucket and is none.
    pub(super) fn no_bound(self, labels: &Labels, notes: &mut Annotations) {
        let text = format!("bucket label \"le\" is missing or has a malformed value of {:?}", labels.get("le"));
        notes.warn(self.named(&text, labels), self.at);
    }

    /// Tells that counts had to be raised.
    pub(super) fn repaired(self, repair: Repair, labels: &Labels, notes: &mut Annotations) {
        let Repair { least, most, difference } = repair;
        let repaired = Repaired { times: (self.when, self.when), bounds: (least, most), difference, count: 1 };
        notes.repaired(self.named(REPAIRED, labels), self.at, repaired);
    }
}

/// The labels of the histogram that labels are of a bucket of, and the bucket's upper bound. Nothing of what is no bucket.
pub(super) fn bound_of(labels: &Labels) -> Option<(Labels, f64)> {
    let bound = labels.get("le").parse::<f64>().ok()?;
    Some((labels.filter(|name| name != "le"), bound))
}

/// The labels of the histogram that an element is, or is a bucket of; and the upper bound of that bucket. Nothing if it is neither.
pub(crate) fn histogram_of(element: &Element) -> Option<(Labels, Option<f64>)> {
    if element.value.histogram().is_some() {
        return Some((element.labels.clone(), None));
    }
    bound_of(&element.labels).map(|(labels, bound)| (labels, Some(bound)))
}

impl Group {
    /// Takes in an element, with the bound that [`histogram_of`] found.
    pub(crate) fn add(&mut self, value: &Number, bound: Option<f64>) {
        match (value, bound) {
            (Number::Histogram(histogram), _) => self.native = Some(Arc::clone(histogram)),
            (Number::Float(count), Some(bound)) => self.classic.push(Bucket { bound, count: *count }),
            (Number::Float(_), None) => {}
        }
    }

    /// The answer; nothing where classic buckets and a native histogram contradict each other. Buckets that had to be repaired for
    /// it are not repaired again for the next one.
    fn answer(
        &mut self,
        question: Question,
        labels: &Labels,
        subject: Subject,
        notes: &mut Annotations,
    ) -> Option<f64> {
        let Some(native) = &self.native else {
            let buckets = &mut self.classic;
            return Some(match question {
                Question::Quantile(q) => {
                    let (value, repair) = quantile(q, buckets);
                    if let Some(repair) = repair {
                        subject.repaired(repair, labels, notes);
                    }
                    value
                }
                Question::Fraction(lower, upper) => fraction(lower, upper, buckets),
            });
        };
        if !self.classic.is_empty() {
            let text = "vector contains a mix of classic and native histograms";
            notes.warn(subject.named(text, labels), subject.at);
            return None;
        }
        let (value, not_numbers) = match question {
            Question::Quantile(q) => histogram::quantile(q, native),
            Question::Fraction(lower, upper) => histogram::fraction(lower, upper, native),
        };
        let text = match (question, not_numbers) {
            (_, NotNumbers::None) => return Some(value),
            (Question::Quantile(_), NotNumbers::Answer) => {
                "input to histogram_quantile has NaN observations, result is NaN"
            }
            (Question::Quantile(_), NotNumbers::Skew) => {
                "input to histogram_quantile has NaN observations, result is skewed higher"
            }
            (Question::Fraction(..), _) => {
                "input to histogram_fraction has NaN observations, which are excluded from all fractions"
            }
        };
        notes.info(subject.named(text, labels), subject.at);
        Some(value)
    }
}

const REPAIRED: &str = "input to histogram_quantile needed to be fixed for monotonicity (see \
    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";

/// Groups elements to histograms. Those that are neither a native one nor a bucket of a classic one are left out, with a warning.
pub(super) fn groups(elements: Vec<Element>, subject: Subject, notes: &mut Annotations) -> BTreeMap<Labels, Group> {
    let mut groups: BTreeMap<Labels, Group> = BTreeMap::new();
    for element in elements {
        match histogram_of(&element) {
            Some((labels, bound)) => groups.entry(labels).or_default().add(&element.value, bound),
            None => subject.no_bound(&element.labels, notes),
        }
    }
    groups
}

/// The answers of all histograms to one question.
pub(super) fn answers(
    groups: &mut BTreeMap<Labels, Group>,
    question: Question,
    subject: Subject,
    notes: &mut Annotations,
) -> Vec<Element> {
    let answer = |(labels, group): (&Labels, &mut Group)| {
        let value = group.answer(question, labels, subject, notes)?;
        Some(Element { labels: labels.clone(), value: value.into() })
    };
    groups.iter_mut().filter_map(answer).collect()
}

/// Sorts buckets by bound and adds up those of one bound. Whether the last of them holds everything.
fn order(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| float::order(a.bound, b.bound));
    added_up(buckets)
}

/// The same of sorted ones.
fn added_up(buckets: &mut Vec<Bucket>) -> bool {
    buckets.dedup_by(|later, kept| {
        let same = later.bound == kept.bound;
        if same {
            kept.count += later.count;
        }
        same
    });
    buckets.last().is_some_and(|last| last.bound == f64::INFINITY)
}

/// Which counts had to be raised: those of the buckets between two bounds, by so much at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repair {
    least: f64,
    most: f64,
    difference: f64,
}

/// Takes back small differences, which are rounding, and then any fall of the counts; says what there was of these.
///
/// Source: `ensureMonotonicAndIgnoreSmallDeltas` of Prometheus 3.15, with its tolerance.
fn repair(buckets: &mut [Bucket]) -> Option<Repair> {
    const TOLERANCE: f64 = 1e-12;
    let mut before = buckets[0].count;
    let mut repaired: Option<Repair> = None;
    for bucket in &mut buckets[1..] {
        let count = bucket.count;
        let same = close(before, count, TOLERANCE);
        if count < before || same {
            bucket.count = before;
        } else {
            before = count;
        }
        if count < before && !same {
            // Bounds rise.
            let Repair { least, difference, .. } =
                repaired.unwrap_or(Repair { least: bucket.bound, most: bucket.bound, difference: 0.0 });
            let difference = float::max(difference, before - count);
            repaired = Some(Repair { least, most: bucket.bound, difference });
        }
    }
    repaired
}

/// Whether two numbers differ by less than their sum times `tolerance`.
fn close(a: f64, b: f64, tolerance: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let sum = float::abs(a) + float::abs(b);
    let difference = float::abs(a - b);
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / float::min(sum, f64::MAX) < tolerance
}

/// The quantile `q` of the observations, linear within a bucket; the lowest bucket begins at 0 if its bound is above.
///
/// NaN if there are no observations, fewer than two buckets or none that holds everything; infinite outside `0..=1`.
/// In the highest bucket: the bound of the one below. Also says where counts fell.
fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Repair>) {
    buckets.sort_by(|a, b| float::order(a.bound, b.bound));
    sorted_quantile(q, buckets)
}

/// The same of buckets sorted by their bounds.
pub(super) fn sorted_quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Repair>) {
    if q.is_nan() {
        return (float::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !added_up(buckets) {
        return (float::NAN, None);
    }
    let repaired = repair(buckets);
    (ordered_quantile(q, buckets), repaired)
}

/// The quantile of rising buckets, the last of which holds everything.
fn ordered_quantile(q: f64, buckets: &[Bucket]) -> f64 {
    let highest = buckets.len() - 1;
    let observations = buckets[highest].count;
    if highest == 0 || observations == 0.0 {
        return float::NAN;
    }
    let rank = q * observations;
    // A NaN reaches no rank.
    let falls_short = |bucket: &Bucket| bucket.count.is_nan() || rank.is_nan() || bucket.count < rank;
    let place = buckets[..highest].partition_point(falls_short);
    if place == highest {
        return buckets[highest - 1].bound;
    }
    let Bucket { bound, count } = buckets[place];
    if place == 0 {
        return if bound <= 0.0 { bound } else { bound * (rank / count) };
    }
    let below = buckets[place - 1];
    below.bound + (bound - below.bound) * ((rank - below.count) / (count - below.count))
}

/// The share of observations within `(lower, upper]`, linear within a bucket.
///
/// NaN if there are no observations or no bucket that holds everything, or a bound is NaN.
fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !order(buckets) {
        return float::NAN;
    }
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return float::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let lowest = if buckets[0].bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let rank = |value: f64| {
        let (mut below, mut count_below) = (lowest, 0.0);
        for bucket in buckets.iter() {
            if below >= value {
                return count_below;
            }
            if bucket.bound > value {
                // Nothing is known of where in an infinitely wide bucket its observations lie.
                return if below == f64::NEG_INFINITY {
                    bucket.count
                } else {
                    count_below + (bucket.count - count_below) * (value - below) / (bucket.bound - below)
                };
            }
            (below, count_below) = (bucket.bound, bucket.count);
        }
        total
    };
    let capped = |rank: f64| if rank > total { total } else { rank };
    (capped(rank(upper)) - capped(rank(lower))) / total
}
