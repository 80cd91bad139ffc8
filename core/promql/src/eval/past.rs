//! The values of an expression at instants of a past that is there as a whole: what rules are tried on.
use super::Evaluator;
use super::columns::Row;
use crate::bind::walk;
use crate::expr::{At, Kind};
use crate::{Annotations, EvalError, Expr, Extent, Options, Source, Type};
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::{Labels, Millis, Number, float};

/// The values of one label set at instants that its holder knows, by their places.
#[derive(Clone, Debug)]
pub struct Column(Row);

impl Column {
    /// What the values belong to.
    pub fn labels(&self) -> &Labels {
        &self.0.labels
    }

    /// The value at a place, if there is one; every NaN has one bit pattern.
    pub fn at(&self, place: usize) -> Option<Number> {
        self.0.at(place)
    }

    /// The same where it is no histogram.
    #[inline]
    pub fn float(&self, place: usize) -> Option<f64> {
        self.0.float(place)
    }

    /// Whether any value is a histogram.
    pub fn has_histograms(&self) -> bool {
        self.0.has_histograms()
    }
}

/// The values of a vector or scalar at every one of these instants, by label set, in label order; of a scalar one column
/// without labels.
///
/// - `instants`: rising, at any distances.
/// - `cancelled`: asked now and then; the evaluation stops where it says so.
///
/// The same as [`crate::evaluate`] at each instant, but that all together may touch `options.samples_max` samples, and that what
/// fails at one fails as a whole. Not for an expression that [`Expr::is_of_its_instant`] names.
pub fn evaluate_columns(
    expr: &Expr,
    instants: &[Millis],
    source: &dyn Source,
    options: &Options,
    cancelled: &dyn Fn() -> bool,
) -> Result<Vec<Column>, EvalError> {
    if instants.is_empty() {
        return Ok(Vec::new());
    }
    let mut notes = Annotations::muted();
    let mut evaluator = Evaluator {
        cancelled,
        in_range: instants.len() > 1,
        ..Evaluator::new(&expr.selectors, source, options, &mut notes)
    };
    evaluator.know(expr);
    if expr.result_type() == Type::Scalar {
        let mut row = Row::new(Labels::default(), instants.len());
        for (place, x) in evaluator.scalars(&expr.root, instants)?.into_iter().enumerate() {
            row.put(place, Number::Float(float::canonical(x)));
        }
        return Ok(vec![Column(row)]);
    }
    let rows = evaluator.columns(&expr.root, instants)?;
    Ok(evaluator.settled_rows(rows)?.into_iter().map(Column).collect())
}

impl Expr {
    /// Whether it must be evaluated at one instant after the other: what it is depends on the instant that is asked for, or
    /// it reads what comes after that instant, which is not there yet at the time.
    pub fn is_of_its_instant(&self) -> bool {
        let ahead = |offset: i64, at: Option<At>| offset < 0 || at.is_some();
        let mut root = self.root.clone();
        let found = walk(&mut root, &mut |node| match &node.kind {
            Kind::Subquery(subquery) if ahead(subquery.offset, subquery.at) => Err(()),
            _ => Ok(()),
        });
        let selectors = &self.selectors;
        !matches!(self.result_type(), Type::Scalar | Type::Vector)
            || self.by_query
            || self.unbound.is_some()
            || found.is_err()
            || selectors.iter().any(|it| ahead(it.offset, it.at) || it.extent == Extent::Smoothed)
    }
}
