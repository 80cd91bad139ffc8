//! Functions of a stretch that holds histograms, alone or beside floats.
use super::{RangeFunc, Stretch, seconds};
use crate::Annotations;
use crate::expr::Span;
use crate::function::Func;
use alloc::format;
use alloc::sync::Arc;
use faultline_model::Number;

/// What annotations are about: the metric, by its name, and where in the text it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) metric: &'a str,
    pub(crate) at: Span,
}

impl RangeFunc {
    /// The function's value of a stretch with at least one histogram; `None` where it has none.
    #[cold]
    pub(crate) fn value_mixed(
        &self,
        stretch: Stretch<'_>,
        subject: Subject<'_>,
        notes: &mut Annotations,
    ) -> Option<Number> {
        let Stretch { floats, histograms, .. } = stretch;
        let first = histograms.first()?;
        let last = histograms.last()?;
        let first_is_float = floats.first().is_some_and(|s| s.time() < first.0);
        let last_is_float = floats.last().is_some_and(|s| s.time() > last.0);
        Some(match self.func {
            Func::CountOverTime => Number::Float((floats.len() + histograms.len()) as f64),
            Func::PresentOverTime => Number::Float(1.0),
            Func::FirstOverTime if first_is_float => Number::Float(floats[0].value()),
            Func::FirstOverTime => Number::Histogram(Arc::clone(first.1)),
            Func::LastOverTime if last_is_float => Number::Float(floats[floats.len() - 1].value()),
            Func::LastOverTime => Number::Histogram(Arc::clone(last.1)),
            Func::TsOfFirstOverTime if first_is_float => Number::Float(seconds(floats[0].time())),
            Func::TsOfFirstOverTime => Number::Float(seconds(first.0)),
            Func::TsOfLastOverTime if last_is_float => Number::Float(seconds(floats[floats.len() - 1].time())),
            Func::TsOfLastOverTime => Number::Float(seconds(last.0)),
            _ => {
                if !floats.is_empty() {
                    let metric = subject.metric;
                    let text = format!("encountered a mix of histograms and floats for metric name {metric:?}");
                    notes.warn(text, subject.at);
                }
                return None;
            }
        })
    }
}
