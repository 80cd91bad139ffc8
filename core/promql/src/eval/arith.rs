//! Operators and functions of single numbers.
use crate::Annotations;
use crate::expr::BinOp;
use crate::expr::Span;
use crate::function::Func;
use crate::histogram::{self, Incompatible, Outcome, Sum};
use crate::range::reconciled;
use alloc::format;
use faultline_model::time::{civil_from_days, days_from_civil};
use faultline_model::{Histogram, Number, float};

/// `left op right` of an arithmetic operator; of a comparison 1 or 0.
pub(crate) fn scalar(op: BinOp, left: f64, right: f64) -> f64 {
    match op {
        BinOp::Add => left + right,
        BinOp::Sub => left - right,
        BinOp::Mul => left * right,
        BinOp::Div => left / right,
        BinOp::Mod => float::fmod(left, right),
        BinOp::Pow => float::pow(left, right),
        BinOp::Atan2 => libm::atan2(left, right),
        op => f64::from(u8::from(holds(op, left, right))),
    }
}

/// The greater of two numbers: NaN if either is, unless the other is infinite.
pub(crate) fn greater(left: f64, right: f64) -> f64 {
    match () {
        () if left == f64::INFINITY || right == f64::INFINITY => f64::INFINITY,
        () if left.is_nan() || right.is_nan() => faultline_model::float::NAN,
        () => float::max(left, right),
    }
}

/// The lesser of two numbers: NaN if either is, unless the other is minus infinite.
pub(crate) fn lesser(left: f64, right: f64) -> f64 {
    -greater(-left, -right)
}

/// Whether `left op right` of a comparison; no NaN equals anything.
pub(crate) fn holds(op: BinOp, left: f64, right: f64) -> bool {
    match op {
        BinOp::Equal => left == right,
        BinOp::NotEqual => left != right,
        BinOp::Less => left < right,
        BinOp::LessEqual => left <= right,
        BinOp::Greater => left > right,
        BinOp::GreaterEqual => left >= right,
        _ => false,
    }
}

/// `left op right`, and whether a filter lets it through; nothing where the operator is not defined between the two.
pub(crate) fn binary(
    op: BinOp,
    left: &Number,
    right: &Number,
    at: Span,
    notes: &mut Annotations,
) -> Option<(Number, bool)> {
    match (left, right) {
        (Number::Float(left), Number::Float(right)) if op.compares() => {
            Some(((*left).into(), holds(op, *left, *right)))
        }
        (Number::Float(left), Number::Float(right)) if !op.trims() => Some((scalar(op, *left, *right).into(), true)),
        (Number::Float(left), Number::Histogram(right)) if op == BinOp::Mul => {
            Some((histogram::mul(right, *left).into(), true))
        }
        (Number::Histogram(left), Number::Float(right)) => {
            let value = match op {
                BinOp::Mul => histogram::mul(left, *right),
                BinOp::Div => histogram::div(left, *right),
                BinOp::TrimBelow | BinOp::TrimAbove => histogram::trim(left, *right, op == BinOp::TrimBelow),
                _ => return undefined(op, ("histogram", "float"), at, notes),
            };
            Some((value.into(), true))
        }
        (Number::Histogram(left), Number::Histogram(right)) => match op {
            BinOp::Add | BinOp::Sub => sum(op, left, right, at, notes).map(|sum| (sum.into(), true)),
            BinOp::Equal => Some((Number::Histogram(left.clone()), left.same_data(right))),
            BinOp::NotEqual => Some((Number::Histogram(left.clone()), !left.same_data(right))),
            _ => undefined(op, ("histogram", "histogram"), at, notes),
        },
        _ => undefined(op, (kind(left), kind(right)), at, notes),
    }
}

fn kind(number: &Number) -> &'static str {
    match number {
        Number::Float(_) => "float",
        Number::Histogram(_) => "histogram",
    }
}

fn undefined<T>(op: BinOp, (left, right): (&str, &str), at: Span, notes: &mut Annotations) -> Option<T> {
    let op = op.text();
    notes.info(format!("incompatible sample types encountered for binary operator {op:?}: {left} {op} {right}"), at);
    None
}

/// The sum or difference of two histograms.
fn sum(op: BinOp, left: &Histogram, right: &Histogram, at: Span, notes: &mut Annotations) -> Option<Histogram> {
    let mut sum = Sum::of(left);
    let (outcome, word) = match op {
        BinOp::Add => (sum.add(right), "addition"),
        _ => (sum.sub(right), "subtraction"),
    };
    match outcome {
        Err(Incompatible) => {
            notes.warn(format!("incompatible bucket layout encountered for binary operator {}", op.text()), at);
            None
        }
        Ok(Outcome { collision: true, .. }) => {
            notes.warn(format!("conflicting counter resets during histogram {word}"), at);
            None
        }
        Ok(outcome) => {
            if outcome.reconciled {
                reconciled(word, at, notes);
            }
            Some(if op == BinOp::Sub { sum.gauge() } else { sum.value() })
        }
    }
}

/// The functions of one number that need nothing else.
pub(crate) fn map(func: Func) -> Option<fn(f64) -> f64> {
    const PI: f64 = core::f64::consts::PI;
    Some(match func {
        Func::Abs => float::abs,
        Func::Ceil => float::ceil,
        Func::Floor => float::floor,
        Func::Exp => float::exp,
        Func::Ln => float::ln,
        Func::Log2 => float::log2,
        Func::Log10 => float::log10,
        Func::Sqrt => float::sqrt,
        Func::Sgn => |x| {
            if x < 0.0 {
                -1.0
            } else if x > 0.0 {
                1.0
            } else {
                x
            }
        },
        Func::Sin => libm::sin,
        Func::Cos => libm::cos,
        Func::Tan => float::tan,
        Func::Asin => libm::asin,
        Func::Acos => libm::acos,
        Func::Atan => libm::atan,
        Func::Sinh => libm::sinh,
        Func::Cosh => libm::cosh,
        Func::Tanh => libm::tanh,
        Func::Asinh => libm::asinh,
        // `libm::acosh` gives numbers for large negative ones.
        Func::Acosh => |x| if x < 1.0 { float::NAN } else { libm::acosh(x) },
        Func::Atanh => libm::atanh,
        Func::Rad => |x| x * PI / 180.0,
        Func::Deg => |x| x * 180.0 / PI,
        func => return date(func),
    })
}

/// The functions of a number of seconds since 1970.
fn date(func: Func) -> Option<fn(f64) -> f64> {
    Some(match func {
        Func::Year => |x| civil_from_days(clock(x).0).0 as f64,
        Func::Month => |x| f64::from(civil_from_days(clock(x).0).1),
        Func::DayOfMonth => |x| f64::from(civil_from_days(clock(x).0).2),
        Func::DayOfYear => |x| {
            let days = clock(x).0;
            (days - days_from_civil(civil_from_days(days).0, 1, 1) + 1) as f64
        },
        // 1970-01-01 was a Thursday; Sunday is 0.
        Func::DayOfWeek => |x| (clock(x).0 + 4).rem_euclid(7) as f64,
        Func::DaysInMonth => |x| {
            let (year, month, _) = civil_from_days(clock(x).0);
            let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            (days_from_civil(next_year, next, 1) - days_from_civil(year, month, 1)) as f64
        },
        Func::Hour => |x| (clock(x).1 / 3600) as f64,
        Func::Minute => |x| (clock(x).1 / 60 % 60) as f64,
        _ => return None,
    })
}

/// Days since 1970 of a number of seconds, and the seconds of that day.
///
/// As in Go on amd64, where Prometheus mostly runs: what no `i64` holds, NaN among it, is the least one; and what lies before
/// the year -292277022399 lies 2^64 seconds later.
fn clock(seconds: f64) -> (i64, i64) {
    /// 1 March of that year. Source: `absoluteToUnix` of Go's package `time`.
    const FIRST: i64 = -9_223_372_028_741_760_000;
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let whole = if (-LIMIT..LIMIT).contains(&seconds) { seconds as i64 } else { i64::MIN };
    let whole = i128::from(whole) + if whole < FIRST { 1 << 64 } else { 0 };
    // At most 2^64 seconds are few days.
    (whole.div_euclid(86_400) as i64, whole.rem_euclid(86_400) as i64)
}
