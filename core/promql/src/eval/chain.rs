//! Operations that take one element to one element, fused: what a filter throws away never gets labels of its own.
use super::arith;
use crate::Annotations;
use crate::expr::{BinOp, Kind, Node, Span, Type};
use crate::function::Func;
use crate::histogram;
use crate::range::is_range_func;
use alloc::vec::Vec;
use faultline_model::{Histogram, Number, float};

/// What a chain of steps starts from.
#[derive(Clone, Copy)]
pub(crate) enum Base<'e> {
    /// The samples of an instant selector, and where it stands.
    Instant(usize, Span),
    /// Their times: `timestamp(selector)`.
    Stamp(usize),
    /// When they began to be counted: `start_timestamp(selector)`.
    Start(usize),
    /// A function of a stretch; `args` holds the range selector or subquery and the parameters.
    Range { func: Func, args: &'e [Node] },
    /// Any other vector.
    Node(&'e Node),
}

/// A vector as a base and what is done to each of its elements.
pub(crate) struct Chain<'e> {
    pub(crate) base: Base<'e>,
    pub(crate) steps: Vec<Template>,
}

/// A number that a step needs.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Fixed(f64),
    /// Depends on the instant or on series.
    Node(Node),
}

/// A step whose operands may still have to be evaluated.
#[derive(Clone, Debug)]
pub(crate) enum Template {
    Fixed(Step),
    Scalar {
        op: BinOp,
        bool: bool,
        scalar_left: bool,
        scalar: Operand,
        at: Span,
    },
    Clamp {
        least: Operand,
        most: Operand,
    },
    Round {
        to: Operand,
    },
    /// `timestamp()` of what is no selector: the evaluation's instant.
    Stamp,
}

/// What is done to one value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Negate,
    Map(fn(f64) -> f64),
    /// A number that a histogram is asked for. Floats have none.
    Measure(fn(&Histogram) -> f64),
    Arithmetic {
        op: BinOp,
        scalar: f64,
        scalar_left: bool,
        /// Where the operation stands.
        at: Span,
    },
    /// Keeps a value that compares so.
    Filter {
        op: BinOp,
        scalar: f64,
        scalar_left: bool,
        /// Where the operation stands.
        at: Span,
    },
    Clamp {
        least: f64,
        most: f64,
    },
    /// To the nearest multiple of the inverse of this.
    Round {
        inverse: f64,
    },
    Set(f64),
}

impl Step {
    /// The value after the step; `None` where a filter drops it.
    #[inline]
    pub(crate) fn apply(self, x: f64) -> Option<f64> {
        let sides = |scalar, scalar_left| if scalar_left { (scalar, x) } else { (x, scalar) };
        match self {
            Step::Negate => Some(-x),
            Step::Map(f) => Some(f(x)),
            Step::Measure(_) => None,
            Step::Arithmetic { op, .. } if op.trims() => None,
            Step::Arithmetic { op, scalar, scalar_left, .. } => {
                let (left, right) = sides(scalar, scalar_left);
                Some(arith::scalar(op, left, right))
            }
            Step::Filter { op, scalar, scalar_left, .. } => {
                let (left, right) = sides(scalar, scalar_left);
                arith::holds(op, left, right).then_some(x)
            }
            Step::Clamp { least, most } if most < least => None,
            Step::Clamp { least, most } => Some(arith::greater(least, arith::lesser(most, x))),
            Step::Round { inverse } => Some(float::floor(x * inverse + 0.5) / inverse),
            Step::Set(value) => Some(value),
        }
    }

    /// The value after the step; `None` where it is dropped: most of what is done to numbers means nothing of histograms.
    #[inline]
    pub(crate) fn apply_number(self, x: Number, notes: &mut Annotations) -> Option<Number> {
        match x {
            Number::Float(x) if !self.trims() => self.apply(x).map(Number::Float),
            x => self.apply_cold(x, notes),
        }
    }

    /// Whether it is defined for histograms alone and says so of floats.
    pub(crate) fn trims(self) -> bool {
        matches!(self, Step::Arithmetic { op, .. } if op.trims())
    }

    #[cold]
    fn apply_cold(self, x: Number, notes: &mut Annotations) -> Option<Number> {
        match (self, &x) {
            (Step::Arithmetic { op, scalar, scalar_left, at } | Step::Filter { op, scalar, scalar_left, at }, _) => {
                let scalar = Number::Float(scalar);
                let (left, right) = if scalar_left { (&scalar, &x) } else { (&x, &scalar) };
                arith::binary(op, left, right, at, notes).map(|(value, _)| value)
            }
            (Step::Negate, Number::Histogram(histogram)) => Some(histogram::mul(histogram, -1.0).into()),
            (Step::Measure(measure), Number::Histogram(histogram)) => Some(measure(histogram).into()),
            (Step::Set(value), _) => Some(value.into()),
            (_, Number::Float(x)) => self.apply(*x).map(Number::Float),
            (Step::Map(_) | Step::Clamp { .. } | Step::Round { .. }, Number::Histogram(_)) => None,
        }
    }

    /// Whether the result is no longer the metric that went in.
    pub(crate) fn drops_name(self) -> bool {
        !matches!(self, Step::Filter { .. }) && !self.trims()
    }
}

impl Template {
    /// The step, with its operands evaluated by `scalar`.
    pub(crate) fn resolve<E>(
        &self,
        at_seconds: f64,
        mut scalar: impl FnMut(&Node) -> Result<f64, E>,
    ) -> Result<Step, E> {
        let mut value = |operand: &Operand| match operand {
            Operand::Fixed(x) => Ok(*x),
            Operand::Node(node) => scalar(node),
        };
        Ok(match self {
            Template::Fixed(step) => *step,
            Template::Scalar { op, bool, scalar_left, scalar, at } => {
                let (op, scalar, scalar_left, at) = (*op, value(scalar)?, *scalar_left, *at);
                if op.compares() && !bool {
                    Step::Filter { op, scalar, scalar_left, at }
                } else {
                    Step::Arithmetic { op, scalar, scalar_left, at }
                }
            }
            Template::Clamp { least, most } => Step::Clamp { least: value(least)?, most: value(most)? },
            Template::Round { to } => Step::Round { inverse: 1.0 / value(to)? },
            Template::Stamp => Step::Set(at_seconds),
        })
    }

    /// Whether it is the same at every instant.
    pub(crate) fn is_fixed(&self) -> bool {
        !matches!(self, Template::Stamp) && self.nodes().next().is_none()
    }

    /// Whether the result is no longer the metric that went in.
    pub(crate) fn drops_name(&self) -> bool {
        !matches!(self, Template::Scalar { op, bool: false, .. } if op.compares() || op.trims())
    }

    /// The nodes that have to be evaluated for it.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        let operands = match self {
            Template::Fixed(_) | Template::Stamp => [None, None],
            Template::Scalar { scalar, .. } => [Some(scalar), None],
            Template::Clamp { least, most } => [Some(least), Some(most)],
            Template::Round { to } => [Some(to), None],
        };
        operands.into_iter().flatten().filter_map(|operand| match operand {
            Operand::Fixed(_) => None,
            Operand::Node(node) => Some(node),
        })
    }
}

/// The functions that ask a histogram for a number.
fn measure(func: Func) -> Option<fn(&Histogram) -> f64> {
    Some(match func {
        Func::HistogramAvg => histogram::average,
        Func::HistogramCount => |histogram| histogram.count,
        Func::HistogramStddev => histogram::standard_deviation,
        Func::HistogramStdvar => histogram::variance,
        Func::HistogramSum => |histogram| histogram.sum,
        _ => return None,
    })
}

/// A number that is the same at every instant.
pub(crate) fn fixed(node: &Node) -> Option<f64> {
    match &node.kind {
        Kind::Number(x) => Some(x.value),
        Kind::Paren(of) => fixed(of),
        Kind::Unary { minus, of } => fixed(of).map(|x| if *minus { -x } else { x }),
        Kind::Binary(b) => Some(arith::scalar(b.op, fixed(&b.left)?, fixed(&b.right)?)),
        Kind::Call { func: Func::Pi, .. } => Some(core::f64::consts::PI),
        _ => None,
    }
}

fn operand(node: &Node) -> Operand {
    fixed(node).map_or_else(|| Operand::Node(node.clone()), Operand::Fixed)
}

/// Takes the operations on single elements off a vector.
pub(crate) fn lower(node: &Node) -> Chain<'_> {
    let node = node.bare();
    let base = |base| Chain { base, steps: Vec::new() };
    let (mut chain, step) = match &node.kind {
        Kind::Instant(index) => return base(Base::Instant(*index, node.span)),
        Kind::Unary { minus: true, of } => (lower(of), Template::Fixed(Step::Negate)),
        Kind::Binary(b) if !b.op.is_set() => {
            let (left, right) = (b.left.result_type(), b.right.result_type());
            let (vector, scalar, scalar_left) = match (left, right) {
                (Type::Vector, Type::Scalar) => (&b.left, &b.right, false),
                (Type::Scalar, Type::Vector) => (&b.right, &b.left, true),
                _ => return base(Base::Node(node)),
            };
            let scalar = operand(scalar);
            (lower(vector), Template::Scalar { op: b.op, bool: b.bool, scalar_left, scalar, at: node.span })
        }
        Kind::Call { func, args } => match (func, &args[..]) {
            (func, args) if is_range_func(*func) => return base(Base::Range { func: *func, args }),
            (Func::Timestamp, [of]) => match of.bare().kind {
                Kind::Instant(index) => return base(Base::Stamp(index)),
                _ => (lower(of), Template::Stamp),
            },
            (Func::StartTimestamp, [of]) => match of.bare().kind {
                Kind::Instant(index) => return base(Base::Start(index)),
                _ => return base(Base::Node(node)),
            },
            (Func::Clamp, [of, least, most]) => {
                (lower(of), Template::Clamp { least: operand(least), most: operand(most) })
            }
            (Func::ClampMin, [of, least]) => {
                (lower(of), Template::Clamp { least: operand(least), most: Operand::Fixed(f64::INFINITY) })
            }
            (Func::ClampMax, [of, most]) => {
                (lower(of), Template::Clamp { least: Operand::Fixed(f64::NEG_INFINITY), most: operand(most) })
            }
            (Func::Round, [of]) => (lower(of), Template::Round { to: Operand::Fixed(1.0) }),
            (Func::Round, [of, to]) => (lower(of), Template::Round { to: operand(to) }),
            (func, [of]) => match (arith::map(*func), measure(*func)) {
                (Some(map), _) => (lower(of), Template::Fixed(Step::Map(map))),
                (None, Some(measure)) => (lower(of), Template::Fixed(Step::Measure(measure))),
                (None, None) => return base(Base::Node(node)),
            },
            _ => return base(Base::Node(node)),
        },
        _ => return base(Base::Node(node)),
    };
    chain.steps.push(step);
    chain
}
