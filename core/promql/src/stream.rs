//! The incremental form of an expression: one sample in, the changes of the result out.
use crate::{EvalError, Expr, NotIncremental, Options, SeriesView, Source};
use alloc::vec::Vec;
use faultline_model::{CodecError, Labels, Millis, Reader, Writer};

/// One change of a stream's result. A scalar result has empty labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which element of the result.
    pub labels: Labels,
    /// Its new value; `None` when it left the result.
    pub value: Option<f64>,
}

/// An expression kept up to date sample by sample.
///
/// Stream law: after `refresh` the result is bit-equal to `evaluate` at that instant. Between two of them it changes
/// only by `touch`; elements that were not touched keep the value of their last touch or of the last `refresh`.
#[derive(Clone, Debug)]
pub struct Stream {
    _private: (),
}

impl Stream {
    /// The stream of an expression, with an empty result.
    pub fn compile(expr: &Expr) -> Result<Stream, NotIncremental> {
        let _ = expr;
        Ok(Stream { _private: () })
    }

    /// Recomputes everything at a grid instant and appends what changed, in label order.
    ///
    /// On an error the result is what it was.
    pub fn refresh(
        &mut self,
        expr: &Expr,
        at: Millis,
        source: &dyn Source,
        options: &Options,
        out: &mut Vec<Change>,
    ) -> Result<(), EvalError> {
        let _ = (expr, at, source, options, out);
        Ok(())
    }

    /// Takes in a new sample of one series of selector `selector` and appends what changed.
    ///
    /// - `at`: not before the last `refresh` or `touch`.
    /// - `series`: the series with the new sample in it.
    pub fn touch(
        &mut self,
        expr: &Expr,
        at: Millis,
        selector: usize,
        series: SeriesView<'_>,
        options: &Options,
        out: &mut Vec<Change>,
    ) -> Result<(), EvalError> {
        let _ = (expr, at, selector, series, options, out);
        Ok(())
    }

    /// Writes the state as canonical bytes.
    pub fn write(&self, w: &mut Writer) {
        w.array(0);
    }

    /// Reads the state of a stream of `expr` back.
    pub fn read(expr: &Expr, r: &mut Reader<'_>) -> Result<Stream, CodecError> {
        let _ = expr;
        r.array_of(0)?;
        Ok(Stream { _private: () })
    }
}
