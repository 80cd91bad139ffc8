//! What depends on the bounds of a query: computed durations, `@ start()` and `@ end()`.
use crate::eval::arith;
use crate::expr::{At, Computed, Kind, Length, LengthKind, LengthOp, Literal, Node, Selector};
use crate::function::Func;
use crate::{EvalError, Expr};
use alloc::format;
use faultline_model::Millis;

/// The instants of a query: one, or one every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) start: Millis,
    pub(crate) end: Millis,
    /// In ms; 0 where there is one instant.
    pub(crate) step: i64,
}

impl Bounds {
    /// Of a query at one instant.
    pub(crate) fn instant(at: Millis) -> Bounds {
        Bounds { start: at, end: at, step: 0 }
    }

    fn range_ms(self) -> i64 {
        self.end.since(self.start)
    }
}

/// Whole milliseconds, cut; 0 of NaN.
pub(crate) fn millis(ms: f64) -> i64 {
    ms as i64
}

impl Expr {
    /// The expression of one query, in which nothing depends on the query's bounds any more but the functions that say them.
    ///
    /// Fails where a computed duration is none.
    pub(crate) fn bind(&self, bounds: Bounds) -> Result<Expr, EvalError> {
        let mut bound = Expr { unbound: None, ..self.clone() };
        for selector in &mut bound.selectors {
            let Selector { range, offset, at, computed, .. } = selector;
            lengths(computed, bounds, range, &mut None, offset)?;
            *at = at.map(|at| fixed(at, bounds));
        }
        walk(&mut bound.root, &mut |node| match &mut node.kind {
            Kind::Subquery(subquery) => {
                lengths(&subquery.computed, bounds, &mut subquery.range, &mut subquery.step, &mut subquery.offset)?;
                subquery.at = subquery.at.map(|at| fixed(at, bounds));
                Ok(())
            }
            Kind::Call { func, .. } => {
                if let Some(value) = said(*func, bounds) {
                    node.kind = Kind::Number(Literal { value, duration: false });
                }
                Ok(())
            }
            _ => Ok(()),
        })?;
        crate::syntax::note_reach(&mut bound);
        Ok(bound)
    }

    /// Whether anything in it depends on the bounds of the query.
    pub(crate) fn depends_on_bounds(&mut self) -> bool {
        let by_query = |computed: &Computed, at: Option<At>| {
            *computed != Computed::default() || matches!(at, Some(At::Start | At::End))
        };
        let none = Bounds::instant(Millis(0));
        let found = walk(&mut self.root, &mut |node| match &node.kind {
            Kind::Subquery(s) if by_query(&s.computed, s.at) => Err(()),
            Kind::Call { func, .. } if said(*func, none).is_some() => Err(()),
            _ => Ok(()),
        });
        found.is_err() || self.selectors.iter().any(|s| by_query(&s.computed, s.at))
    }

    /// Computes durations as at an instant, where there is no step and no range.
    pub(crate) fn bind_durations(&mut self) {
        let none = Bounds::instant(Millis(0));
        let mut wrong = None;
        for selector in &mut self.selectors {
            let Selector { range, offset, computed, .. } = selector;
            wrong = wrong.or(lengths(computed, none, range, &mut None, offset).err());
        }
        let result = walk(&mut self.root, &mut |node| match &mut node.kind {
            Kind::Subquery(s) => lengths(&s.computed, none, &mut s.range, &mut s.step, &mut s.offset),
            _ => Ok(()),
        });
        self.unbound = wrong.or(result.err());
    }
}

/// What `start()`, `end()`, `range()` and `step()` say.
pub(crate) fn said(func: Func, bounds: Bounds) -> Option<f64> {
    Some(match func {
        Func::Start => bounds.start.0 as f64 / 1000.0,
        Func::End => bounds.end.0 as f64 / 1000.0,
        Func::RangeOf => bounds.range_ms() as f64 / 1000.0,
        Func::StepOf if bounds.start == bounds.end => 0.0,
        Func::StepOf => bounds.step as f64 / 1000.0,
        _ => return None,
    })
}

fn fixed(at: At, bounds: Bounds) -> At {
    match at {
        At::Time(_) => at,
        At::Start => At::Time(bounds.start),
        At::End => At::Time(bounds.end),
    }
}

/// Visits every node, those above first.
pub(crate) fn walk<E>(node: &mut Node, visit: &mut dyn FnMut(&mut Node) -> Result<(), E>) -> Result<(), E> {
    visit(node)?;
    match &mut node.kind {
        Kind::Number(_) | Kind::Text(_) | Kind::Instant(_) | Kind::Range(_) => Ok(()),
        Kind::Subquery(subquery) => walk(&mut subquery.of, visit),
        Kind::Paren(of) | Kind::Unary { of, .. } => walk(of, visit),
        Kind::Binary(b) => walk(&mut b.left, visit).and_then(|()| walk(&mut b.right, visit)),
        Kind::Call { args, .. } => args.iter_mut().try_for_each(|arg| walk(arg, visit)),
        Kind::Info(info) => walk(&mut info.of, visit),
        Kind::Aggregate(aggregate) => {
            aggregate.parameter.iter_mut().try_for_each(|parameter| walk(parameter, visit))?;
            walk(&mut aggregate.of, visit)
        }
    }
}

/// Computes what is to be computed of a selector or a subquery.
fn lengths(
    computed: &Computed,
    bounds: Bounds,
    range: &mut i64,
    step: &mut Option<i64>,
    offset: &mut i64,
) -> Result<(), EvalError> {
    if let Some(length) = &computed.offset {
        *offset = length_ms(length, bounds, true)?;
    }
    if let Some(length) = &computed.step {
        *step = Some(length_ms(length, bounds, false)?);
    }
    if let Some(length) = &computed.range {
        *range = length_ms(length, bounds, false)?;
    }
    Ok(())
}

/// A duration in ms.
fn length_ms(length: &Length, bounds: Bounds, may_be_negative: bool) -> Result<i64, EvalError> {
    let x = seconds(length, bounds)?;
    if x.is_nan() || x.is_infinite() {
        return Err(refused(length, "duration is NaN or infinite"));
    }
    // What is cut to nothing is no stretch that could hold a sample.
    if !may_be_negative && millis(x * 1000.0) <= 0 {
        return Err(refused(length, "duration must be greater than 0"));
    }
    if libm::fabs(x) > (i64::MAX / 1_000_000_000) as f64 {
        return Err(refused(length, "duration is out of range"));
    }
    Ok(millis(x * 1000.0))
}

fn refused(length: &Length, what: &str) -> EvalError {
    EvalError::Parameter { message: format!("{}:{}: {what}", length.span.start, length.span.end) }
}

fn seconds(length: &Length, bounds: Bounds) -> Result<f64, EvalError> {
    use crate::expr::BinOp::{Div, Mod};
    let of = |length: &Length| seconds(length, bounds);
    Ok(match &length.kind {
        LengthKind::Literal(number) => number.value,
        LengthKind::Step => bounds.step as f64 / 1000.0,
        LengthKind::Range => bounds.range_ms() as f64 / 1000.0,
        LengthKind::Unary { minus, of: inner } => of(inner)? * if *minus { -1.0 } else { 1.0 },
        LengthKind::Binary { op, left, right } => {
            let (left, right) = (of(left)?, of(right)?);
            match op {
                LengthOp::Arithmetic(Div) if right == 0.0 => return Err(refused(length, "division by zero")),
                LengthOp::Arithmetic(Mod) if right == 0.0 => return Err(refused(length, "modulo by zero")),
                LengthOp::Arithmetic(op) => arith::scalar(*op, left, right),
                LengthOp::Max => arith::greater(left, right),
                LengthOp::Min => arith::lesser(left, right),
            }
        }
    })
}
