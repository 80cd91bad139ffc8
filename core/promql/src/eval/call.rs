//! Functions of whole vectors.
use super::histogram::{Question, Subject};
use super::leaf::check_extent;
use super::names::{check_unique, lose_names, marked, unmarked, without_metadata};
use super::{Evaluator, arith, histogram, pick, remarks};
use crate::expr::{Kind, Node};
use crate::function::Func;
use crate::range::seconds;
use crate::{Element, EvalError, MatchOp, Selector, pattern};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;
use faultline_model::labels::NAME;
use faultline_model::{Labels, LabelsBuilder, Millis, Number, float};

/// The text of a node of type text, which only a literal can be.
pub(crate) fn text(node: &Node) -> &str {
    match &node.bare().kind {
        Kind::Text(text) => text,
        _ => "",
    }
}

impl Evaluator<'_> {
    pub(super) fn call(&mut self, func: Func, args: &[Node], at: Millis) -> Result<Vec<Element>, EvalError> {
        let alone = |x: f64| vec![Element { labels: Labels::default(), value: x.into() }];
        Ok(match func {
            Func::VectorOf => alone(self.scalar(&args[0], at)?),
            Func::Absent => {
                let absent = self.vector(&args[0], at)?.is_empty();
                if absent { vec![absence(&args[0], self.selectors)] } else { Vec::new() }
            }
            Func::AbsentOverTime => {
                check_extent(&args[0], self.selectors, func)?;
                let mut absent = true;
                self.stretches(&args[0], at, |_, _| absent = false)?;
                if absent { vec![absence(&args[0], self.selectors)] } else { Vec::new() }
            }
            Func::Sort | Func::SortDesc => sorted(self.vector(&args[0], at)?, func == Func::SortDesc),
            Func::SortByLabel | Func::SortByLabelDesc => {
                let names: Vec<&str> = args[1..].iter().map(text).collect();
                pick::sorted_by_labels(self.vector(&args[0], at)?, &names, func == Func::SortByLabelDesc)
            }
            // Of what is no selector, nothing is known of where it started.
            Func::StartTimestamp => {
                self.vector(&args[0], at)?;
                Vec::new()
            }
            Func::LabelReplace => label_replace(self.vector(&args[0], at)?, &args[1..])?,
            Func::LabelJoin => label_join(self.vector(&args[0], at)?, &args[1..])?,
            Func::HistogramQuantile => {
                let q = self.scalar(&args[0], at)?;
                self.answers(&args[1], at, Question::Quantile(q), Some(&args[0]))?
            }
            Func::HistogramQuantiles => {
                let elements = self.vector(&args[0], at)?;
                let mut quantiles = Vec::with_capacity(args.len() - 2);
                for arg in &args[2..] {
                    let q = self.scalar(arg, at)?;
                    remarks::quantile(self.notes, q, arg.unwrapped().span);
                    quantiles.push(q);
                }
                let subject = Subject { at: args[0].unwrapped().span, when: at, named: self.delays_names };
                let mut groups = histogram::groups(elements, subject, self.notes);
                let mut found = Vec::new();
                for q in quantiles {
                    let value = open_metrics(q);
                    for mut element in histogram::answers(&mut groups, Question::Quantile(q), subject, self.notes) {
                        let labels = match self.delays_names {
                            true => marked(&element.labels),
                            false => without_metadata(&element.labels).unwrap_or(element.labels),
                        };
                        let mut builder = labels.to_builder();
                        builder.set(text(&args[1]), &value);
                        element.labels = builder.build();
                        found.push(element);
                    }
                }
                if !self.delays_names {
                    check_unique(found.iter().map(|element| &element.labels))?;
                }
                found
            }
            Func::HistogramFraction => {
                let (lower, upper) = (self.scalar(&args[0], at)?, self.scalar(&args[1], at)?);
                self.answers(&args[2], at, Question::Fraction(lower, upper), None)?
            }
            // A date function without an argument: of the evaluation's instant.
            func => match arith::map(func) {
                Some(map) if args.is_empty() => alone(map(libm::floor(seconds(at)))),
                _ => unreachable!("every other function is a step or reads a stretch"),
            },
        })
    }
}

impl Evaluator<'_> {
    /// What the histograms of a vector answer.
    ///
    /// - `quantile`: the argument that is asked for as a quantile.
    fn answers(
        &mut self,
        of: &Node,
        at: Millis,
        question: Question,
        quantile: Option<&Node>,
    ) -> Result<Vec<Element>, EvalError> {
        let elements = self.vector(of, at)?;
        if let (Question::Quantile(q), Some(quantile)) = (question, quantile) {
            remarks::quantile(self.notes, q, quantile.unwrapped().span);
        }
        let subject = Subject { at: of.unwrapped().span, when: at, named: self.delays_names };
        let mut groups = histogram::groups(elements, subject, self.notes);
        let mut found = histogram::answers(&mut groups, question, subject, self.notes);
        lose_names(&mut found, self.delays_names)?;
        Ok(found)
    }
}

/// A number as OpenMetrics writes it: never as a whole number.
fn open_metrics(x: f64) -> String {
    let text = float::general(x);
    if x.is_finite() && !text.contains(['e', '.']) { text + ".0" } else { text }
}

/// The element that stands for absence: with the labels that the selector fixes.
fn absence(of: &Node, selectors: &[Selector]) -> Element {
    Element { labels: absent_labels(of, selectors), value: Number::Float(1.0) }
}

/// The labels that a selector fixes, without the name; none of any other expression.
pub(crate) fn absent_labels(of: &Node, selectors: &[Selector]) -> Labels {
    let (Kind::Instant(index) | Kind::Range(index)) = of.bare().kind else { return Labels::default() };
    let mut builder = LabelsBuilder::default();
    let mut fixed: Vec<&str> = Vec::new();
    for matcher in selectors[index].matchers.iter().filter(|m| m.name != NAME) {
        // A label that occurs again, whatever the matcher, is not fixed after all.
        let first = matcher.op == MatchOp::Equal && !fixed.contains(&&*matcher.name);
        if first {
            fixed.push(&matcher.name);
        }
        builder.set(&matcher.name, if first { &matcher.value } else { "" });
    }
    builder.build()
}

/// By value, NaN last; equal values in label order. Histograms have no place in this order.
fn sorted(mut elements: Vec<Element>, descending: bool) -> Vec<Element> {
    elements.retain(|element| element.value.float().is_some());
    elements.sort_by(|a, b| by_value(a, b, descending));
    elements
}

/// The order of `sort`, `topk` and `bottomk`, of floats.
pub(super) fn by_value(a: &Element, b: &Element, descending: bool) -> Ordering {
    let (x, y) = (a.value.float_or_zero(), b.value.float_or_zero());
    let values = match (x.is_nan(), y.is_nan()) {
        (false, false) if descending => float::order(y, x),
        (false, false) => float::order(x, y),
        (x, y) => x.cmp(&y),
    };
    values.then_with(|| a.labels.cmp(&b.labels))
}

/// Labels with another value of one. A name that is set is kept.
fn with(labels: &Labels, name: &str, value: &str) -> Labels {
    let labels = if name == NAME { unmarked(labels) } else { labels.clone() };
    let mut builder = labels.to_builder();
    builder.set(name, value);
    builder.build()
}

/// `args`: destination, replacement, source, expression.
fn label_replace(mut elements: Vec<Element>, args: &[Node]) -> Result<Vec<Element>, EvalError> {
    let [to, replacement, from, expression] = args else { unreachable!("checked to be five arguments") };
    let refused = |message: String| EvalError::Parameter { message };
    let Some(regex) = pattern::anchored(text(expression)) else {
        return Err(refused(format!("invalid regular expression in label_replace(): {}", text(expression))));
    };
    if text(to).is_empty() {
        return Err(refused(format!("invalid destination label name in label_replace(): {}", text(to))));
    }
    for element in &mut elements {
        // Nothing is called nothing, not even a mark.
        let value = if text(from).is_empty() { "" } else { element.labels.get(text(from)) };
        if let Some(found) = regex.captures(value) {
            let mut value = String::new();
            found.expand(text(replacement), &mut value);
            element.labels = with(&element.labels, text(to), &value);
        }
    }
    check_unique(elements.iter().map(|e| &e.labels))?;
    Ok(elements)
}

/// `args`: destination, separator, sources.
fn label_join(mut elements: Vec<Element>, args: &[Node]) -> Result<Vec<Element>, EvalError> {
    let [to, separator, from @ ..] = args else { unreachable!("checked to be at least three arguments") };
    let refused = |message: &str| Err(EvalError::Parameter { message: message.into() });
    if from.iter().any(|name| text(name).is_empty()) {
        return refused("invalid source label name in label_join(): ");
    }
    if text(to).is_empty() {
        return refused("invalid destination label name in label_join(): ");
    }
    for element in &mut elements {
        let values: Vec<&str> = from.iter().map(|name| element.labels.get(text(name))).collect();
        let value = values.join(text(separator));
        element.labels = with(&element.labels, text(to), &value);
    }
    check_unique(elements.iter().map(|e| &e.labels))?;
    Ok(elements)
}
