//! What a series holds at a time and an expression gives: a float or a histogram.
use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::float;
use crate::histogram::Histogram;
use alloc::sync::Arc;
use core::fmt;

/// A float or a histogram. Equality is to the bit.
#[derive(Clone, Debug)]
pub enum Number {
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(Arc<Histogram>),
}

impl Number {
    /// The float, where it is one.
    pub fn float(&self) -> Option<f64> {
        match self {
            Number::Float(x) => Some(*x),
            Number::Histogram(_) => None,
        }
    }

    /// The histogram, where it is one.
    pub fn histogram(&self) -> Option<&Arc<Histogram>> {
        match self {
            Number::Float(_) => None,
            Number::Histogram(histogram) => Some(histogram),
        }
    }

    /// The float, or 0 for a histogram: what Prometheus shows where there is room for a float only, as in an alert.
    pub fn float_or_zero(&self) -> f64 {
        self.float().unwrap_or(0.0)
    }

    /// The same with the one NaN. Histograms have it already.
    pub fn canonical(self) -> Number {
        match self {
            Number::Float(x) => Number::Float(float::canonical(x)),
            histogram => histogram,
        }
    }
}

impl From<f64> for Number {
    fn from(x: f64) -> Number {
        Number::Float(x)
    }
}

impl From<Histogram> for Number {
    fn from(histogram: Histogram) -> Number {
        Number::Histogram(Arc::new(histogram.canonical()))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        match (self, other) {
            (Number::Float(a), Number::Float(b)) => a.to_bits() == b.to_bits(),
            (Number::Histogram(a), Number::Histogram(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

/// As Go prints a float or Prometheus a histogram.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Float(x) => f.write_str(&float::general(*x)),
            Number::Histogram(histogram) => histogram.fmt(f),
        }
    }
}

/// A float as itself; a histogram as its array.
impl Canonical for Number {
    fn write(&self, w: &mut Writer) {
        match self {
            Number::Float(x) => w.float(*x),
            Number::Histogram(histogram) => histogram.write(w),
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        if r.is_array()? { Arc::read(r).map(Number::Histogram) } else { r.float().map(Number::Float) }
    }
}
