//! A parsed expression.
use crate::Matcher;
use alloc::vec::Vec;
use faultline_model::Millis;

/// What an expression's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A number.
    Scalar,
    /// One number per label set.
    Vector,
    /// A stretch of each series.
    Matrix,
    /// A text.
    Text,
}

/// A parsed, type-checked expression. `Display` prints it in canonical form, which parses to an equal expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    selectors: Vec<Selector>,
}

impl Expr {
    /// The expression's selectors, numbered in reading order.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// What its value is.
    pub fn result_type(&self) -> Type {
        Type::Vector
    }
}

impl core::fmt::Display for Expr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("")
    }
}

/// The instant that an `@` modifier fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A given instant.
    Time(Millis),
    /// `@ start()`: the start of a range query; the instant itself for an evaluation at an instant.
    Start,
    /// `@ end()`: the end of a range query; the instant itself for an evaluation at an instant.
    End,
}

/// Which series an expression reads, and which stretch of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// All must hold; `__name__` is one of them where the selector names a metric.
    pub matchers: Vec<Matcher>,
    /// Length of the stretch in ms; 0 of an instant selector.
    pub range: i64,
    /// How far in the past it ends, in ms; negative for the future.
    pub offset: i64,
    /// The instant to read at instead of that of the evaluation.
    pub at: Option<At>,
    /// How much further back enclosing subqueries read, in ms.
    pub reach: i64,
}

impl Selector {
    /// How long samples must be kept for this selector, in ms back from the evaluation's instant; `None` for an `@` in
    /// the past, which no length covers.
    pub fn history_ms(&self, lookback_ms: i64) -> Option<i64> {
        match self.at {
            Some(At::Time(_)) => None,
            _ => {
                let own = if self.range > 0 { self.range } else { lookback_ms };
                Some(own.saturating_add(self.offset).saturating_add(self.reach).max(0))
            }
        }
    }
}
