//! What can be wrong with an expression, with its evaluation and with its compilation to a stream.
use alloc::string::String;
use core::ops::Range;

/// Why a text is not an expression that can be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The text is not PromQL: correct it.
    #[error("{line}:{column}: parse error: {message}")]
    Syntax {
        /// What is wrong, in Prometheus' words where it has them.
        message: String,
        /// Bytes of the text that it is about.
        at: Range<usize>,
        /// Line of the first byte, from 1.
        line: u32,
        /// Byte of the first byte within its line, from 1.
        column: u32,
    },
    /// The text is PromQL, but this part of the language is not evaluated yet: leave the rule out or write it differently.
    #[error("{line}:{column}: {what} not supported yet")]
    Unsupported {
        /// The part of the language, with its verb: `subqueries are`, `function info() is`.
        what: String,
        /// Bytes of the text that it is about.
        at: Range<usize>,
        /// Line of the first byte, from 1.
        line: u32,
        /// Byte of the first byte within its line, from 1.
        column: u32,
    },
}

impl ParseError {
    /// Bytes of the text that the error is about.
    pub fn at(&self) -> Range<usize> {
        match self {
            ParseError::Syntax { at, .. } | ParseError::Unsupported { at, .. } => at.clone(),
        }
    }
}

/// Why an expression has no value at an instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// One evaluation would touch more samples than allowed: narrow the selectors or shorten the ranges.
    #[error("expression touches more than {limit} samples in one evaluation")]
    TooManySamples {
        /// [`crate::Options::samples_max`].
        limit: u64,
    },
    /// A stream came upon histograms, which it does not follow: evaluate on the grid.
    #[error("a stream cannot read histograms: evaluate on the grid")]
    Histograms,
    /// Two elements of a result have equal labels, for instance once the metric's name is dropped.
    #[error("vector cannot contain metrics with the same labelset: {labels}")]
    SameLabels {
        /// The labels that occur twice.
        labels: String,
    },
    /// The sides of a vector-to-vector operation do not match one to one, or many to one where that was asked for.
    #[error("{message}")]
    Matching {
        /// Which labels and which rule, in Prometheus' words.
        message: String,
    },
    /// A parameter's value is not one that the function can work with.
    #[error("{message}")]
    Parameter {
        /// Which parameter and why.
        message: String,
    },
    /// Whoever asked does not wait for the answer any more.
    #[error("query was canceled in expression evaluation")]
    Cancelled,
    /// A stream would hold more state than allowed: narrow the selectors or let the rule run on the grid.
    #[error("stream holds more than {limit} elements")]
    TooManyElements {
        /// [`crate::Options::elements_max`].
        limit: usize,
    },
}

/// Why an expression cannot be evaluated sample by sample: evaluate it on the grid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} cannot be evaluated incrementally")]
pub struct NotIncremental {
    /// The part of the expression: `topk()`, `operator "and"`.
    pub why: String,
    /// Bytes of the expression's text.
    pub at: Range<usize>,
}
