//! The value of an expression at an instant.
mod aggregate;
pub(crate) mod arith;
mod buckets;
mod call;
mod chain;
mod columns;
mod delayed;
mod histogram;
mod info;
mod join;
mod leaf;
mod names;
mod outlook;
mod past;
mod pick;
mod query;
mod remarks;
mod stats;
mod subquery;
mod sweep;
mod swept;
mod totals;

pub(crate) use aggregate::{Accumulator, group_key};
pub(crate) use call::absent_labels;
pub(crate) use chain::{Base, Step, Template, fixed, lower};
pub(crate) use join::{Join, Pair, Said, signature};
pub(crate) use leaf::{Leaf, Read, check_extent};
pub(crate) use names::{is_metadata, without_metadata};
pub(crate) use outlook::{Extremes, Later, may_stay_out};
pub use past::{Column, evaluate_columns};
pub use query::{Range, evaluate_range};

use crate::bind::{self, Bounds};
use crate::expr::{Aggregate, Kind, Node, Span, Type};
use crate::function::{AggOp, Func};
use crate::range::seconds;
use crate::{Annotations, Element, EvalError, Expr, Options, Selector, Series, Source, Value};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use columns::Row;
use faultline_model::{Millis, Number, Sample, float};

/// The value of `expr` at `at`.
///
/// Vectors come in label order, except where the expression's outermost part sorts. Fails where Prometheus would, and
/// when the evaluation touches more samples than `options` allow.
pub fn evaluate(expr: &Expr, at: Millis, source: &dyn Source, options: &Options) -> Result<Value, EvalError> {
    evaluate_annotated(expr, at, source, options, &mut Annotations::muted())
}

/// As [`evaluate`], and adds warnings and infos.
pub fn evaluate_annotated(
    expr: &Expr,
    at: Millis,
    source: &dyn Source,
    options: &Options,
    notes: &mut Annotations,
) -> Result<Value, EvalError> {
    if let Some(wrong) = &expr.unbound {
        return Err(wrong.clone());
    }
    if expr.by_query {
        return evaluate_bound(&expr.bind(Bounds::instant(at))?, at, source, options, notes);
    }
    evaluate_bound(expr, at, source, options, notes)
}

/// The value of an expression in which nothing depends on the bounds of the query.
fn evaluate_bound(
    expr: &Expr,
    at: Millis,
    source: &dyn Source,
    options: &Options,
    notes: &mut Annotations,
) -> Result<Value, EvalError> {
    let mut evaluator = Evaluator::new(&expr.selectors, source, options, notes);
    let root = &expr.root;
    evaluator.know(expr);
    Ok(match root.result_type() {
        Type::Scalar => Value::Scalar(float::canonical(evaluator.scalar(root, at)?)),
        Type::Text => Value::Text(call::text(root).into()),
        Type::Matrix => Value::Matrix(evaluator.matrix(root, at)?),
        Type::Vector => {
            let mut elements = evaluator.vector(root, at)?;
            if expr.delays_names {
                elements.iter_mut().for_each(|element| element.labels = names::settled(&element.labels));
                names::check_unique(elements.iter().map(|element| &element.labels))?;
            }
            for element in &mut elements {
                if let Number::Float(x) = &mut element.value {
                    *x = float::canonical(*x);
                }
            }
            if !sorts(root) && !elements.is_sorted_by(|a, b| a.labels <= b.labels) {
                elements.sort_by(|a, b| a.labels.cmp(&b.labels));
            }
            Value::Vector(elements)
        }
    })
}

/// Whether the order of a vector's elements means something.
fn sorts(node: &Node) -> bool {
    match &node.bare().kind {
        Kind::Call { func, .. } => {
            matches!(func, Func::Sort | Func::SortDesc | Func::SortByLabel | Func::SortByLabelDesc)
        }
        Kind::Aggregate(aggregate) => matches!(aggregate.op, AggOp::Topk | AggOp::Bottomk),
        _ => false,
    }
}

/// One evaluation: where samples come from and how many it may still touch.
pub(crate) struct Evaluator<'a> {
    selectors: &'a [Selector],
    source: &'a dyn Source,
    options: &'a Options,
    notes: &'a mut Annotations,
    /// Of each selector, whether its histograms are read without their buckets; empty where none is.
    stats_alone: Vec<bool>,
    /// Whether names are dropped in the end only; annotations about histograms tell them then.
    delays_names: bool,
    touched: u64,
    scratch: Vec<Sample>,
    /// Where the stretch stands that is being read.
    reading: Span,
    /// Whether nobody waits for the answer any more.
    cancelled: &'a dyn Fn() -> bool,
    /// Vectors that are at hand for all instants of a range, by [`sweep::key`].
    given: BTreeMap<usize, Vec<Row>>,
    /// Which of these instants it is.
    place: usize,
    /// Whether what is evaluated is so at more than one instant, or may be: order is lost then.
    in_range: bool,
}

impl<'a> Evaluator<'a> {
    pub(crate) fn new(
        selectors: &'a [Selector],
        source: &'a dyn Source,
        options: &'a Options,
        notes: &'a mut Annotations,
    ) -> Evaluator<'a> {
        let (given, cancelled) = (BTreeMap::new(), &|| false);
        Evaluator {
            selectors,
            source,
            options,
            notes,
            stats_alone: Vec::new(),
            delays_names: false,
            touched: 0,
            scratch: Vec::new(),
            reading: Span::default(),
            cancelled,
            given,
            place: 0,
            in_range: false,
        }
    }

    /// Finds out what must be known of a whole expression: among it, of which selectors nobody needs the buckets.
    fn know(&mut self, expr: &Expr) {
        self.stats_alone = stats::stats_alone(&expr.root, self.selectors.len());
        self.delays_names = expr.delays_names;
    }

    /// Whether the histograms of a selector are read without their buckets.
    fn reads_alone(&self, selector: usize) -> bool {
        self.stats_alone.get(selector).copied().unwrap_or_default()
    }

    /// Counts samples; fails above the limit.
    fn spend(&mut self, count: u64) -> Result<(), EvalError> {
        self.touched = self.touched.saturating_add(count);
        let limit = self.options.samples_max;
        if self.touched > limit { Err(EvalError::TooManySamples { limit }) } else { Ok(()) }
    }

    /// The value of a node of type scalar.
    pub(crate) fn scalar(&mut self, node: &Node, at: Millis) -> Result<f64, EvalError> {
        Ok(match &node.kind {
            Kind::Number(x) => x.value,
            Kind::Paren(of) => self.scalar(of, at)?,
            Kind::Unary { minus, of } => self.scalar(of, at)? * if *minus { -1.0 } else { 1.0 },
            Kind::Binary(b) => arith::scalar(b.op, self.scalar(&b.left, at)?, self.scalar(&b.right, at)?),
            Kind::Call { func: Func::Time, .. } => seconds(at),
            Kind::Call { func: Func::Pi, .. } => core::f64::consts::PI,
            Kind::Call { func: Func::MaxOf, args } => {
                arith::greater(self.scalar(&args[0], at)?, self.scalar(&args[1], at)?)
            }
            Kind::Call { func: Func::MinOf, args } => {
                arith::lesser(self.scalar(&args[0], at)?, self.scalar(&args[1], at)?)
            }
            Kind::Call { func: Func::ScalarOf, args } => {
                let elements = self.vector(&args[0], at)?;
                let mut floats = elements.iter().filter_map(|element| element.value.float());
                match (floats.next(), floats.next()) {
                    (Some(only), None) => only,
                    _ => float::NAN,
                }
            }
            Kind::Call { func, .. } => {
                bind::said(*func, Bounds::instant(at)).expect("every other scalar is a function of the query's bounds")
            }
            _ => unreachable!("checked to be a scalar"),
        })
    }

    /// The value of a node of type instant vector, in no order.
    pub(crate) fn vector(&mut self, node: &Node, at: Millis) -> Result<Vec<Element>, EvalError> {
        if let Some(rows) = self.given.get(&sweep::key(node)) {
            return Ok(columns::elements(rows, self.place));
        }
        let chain = lower(node);
        let mut steps = Vec::with_capacity(chain.steps.len());
        for template in &chain.steps {
            steps.push(template.resolve(seconds(at), |node| self.scalar(node, at))?);
        }
        match chain.base {
            Base::Node(node) => {
                let elements = self.whole_vector(node, at)?;
                apply(elements, &steps, self.delays_names, self.notes)
            }
            base => self.leaf(base, &steps, at),
        }
    }

    /// Notes parameters of an aggregation that are none.
    fn remark(&mut self, of: &Aggregate, parameters: &[f64]) {
        let remark = match of.op {
            AggOp::Quantile => remarks::quantile,
            AggOp::LimitRatio => remarks::ratio,
            _ => return,
        };
        let at = of.parameter.as_ref().map_or(Span::default(), |parameter| parameter.unwrapped().span);
        // Of many, those that are told of are the least and the greatest; of those that are no number, that there are any.
        let least = parameters.iter().copied().fold(f64::INFINITY, arith::lesser);
        let most = parameters.iter().copied().fold(f64::NEG_INFINITY, arith::greater);
        let nan = parameters.iter().copied().find(|x| x.is_nan());
        nan.into_iter().chain([most, least]).for_each(|parameter| remark(self.notes, parameter, at));
    }

    /// The value of a vector that is no chain of steps.
    fn whole_vector(&mut self, node: &Node, at: Millis) -> Result<Vec<Element>, EvalError> {
        match &node.kind {
            Kind::Binary(b) => {
                let left = self.vector(&b.left, at)?;
                let right = self.vector(&b.right, at)?;
                if b.op.is_set() {
                    Ok(join::combine(b, left, right))
                } else {
                    join::join(b, node.span, left, right, self.delays_names, self.notes)
                }
            }
            Kind::Aggregate(aggregate) => {
                let parameter = match &aggregate.parameter {
                    Some(parameter) if parameter.result_type() == Type::Scalar => self.scalar(parameter, at)?,
                    _ => 0.0,
                };
                let elements = self.vector(&aggregate.of, at)?;
                self.remark(aggregate, &[parameter]);
                aggregate::aggregate(aggregate, node.span, parameter, elements, self.notes)
            }
            Kind::Call { func, args } => {
                if self.in_range {
                    remarks::sorting(self.notes, *func, node.span);
                }
                self.call(*func, args, at)
            }
            Kind::Info(info) => self.info(info, at),
            _ => unreachable!("checked to be an instant vector"),
        }
    }

    /// The value of a node of type range vector.
    fn matrix(&mut self, node: &Node, at: Millis) -> Result<Vec<Series>, EvalError> {
        let mut found = Vec::new();
        self.stretches(node, at, |labels, stretch| {
            let floats = stretch.floats.iter().map(|s| (s.time(), Number::Float(s.value())));
            let histograms = stretch.histograms.iter().map(|(time, h)| (*time, Number::Histogram(Arc::clone(h))));
            let mut samples: Vec<(Millis, Number)> = floats.chain(histograms).collect();
            samples.sort_by_key(|(time, _)| *time);
            found.push(Series { labels: labels.clone(), samples });
        })?;
        Ok(found)
    }
}

/// Applies steps to elements.
///
/// - `delays_names`: whether names are dropped in the end only.
pub(crate) fn apply(
    elements: Vec<Element>,
    steps: &[Step],
    delays_names: bool,
    notes: &mut Annotations,
) -> Result<Vec<Element>, EvalError> {
    if steps.is_empty() {
        return Ok(elements);
    }
    let named = steps.iter().position(|step| step.drops_name()).unwrap_or(steps.len());
    let mut run = |elements: &mut Vec<Element>, steps: &[Step]| {
        elements.retain_mut(|element| {
            let before = core::mem::replace(&mut element.value, Number::Float(0.0));
            match steps.iter().try_fold(before, |x, step| step.apply_number(x, notes)) {
                Some(x) => {
                    element.value = x;
                    true
                }
                None => false,
            }
        });
    };
    let mut elements = elements;
    // Names go with the first step that changes what the value means, and must not be missed from there on, even by
    // elements that a later step throws away.
    let (before, after) = steps.split_at((named + 1).min(steps.len()));
    run(&mut elements, before);
    if named < steps.len() {
        names::lose_names(&mut elements, delays_names)?;
    }
    run(&mut elements, after);
    Ok(elements)
}
