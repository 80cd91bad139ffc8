//! The PromQL language: parse, evaluate at an instant, compile to a stream.
//!
//! [`parse`] accepts what Prometheus 3 accepts, [`parse_with`] its experiments too. [`evaluate`] gives the value at one
//! instant, [`evaluate_range`] and [`evaluate_columns`] at many. A [`Stream`] keeps
//! that value up to date sample by sample, equal to `evaluate` to the bit at every `refresh`.
//!
//! ```
//! use faultline_model::{Labels, Millis, Number, Sample};
//! use faultline_promql::{Options, Selector, SeriesView, Source, Value, evaluate, parse};
//!
//! struct One(Labels, Vec<Sample>);
//! impl Source for One {
//!     fn select(&self, _: usize, _: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
//!         visit(SeriesView { id: 0, labels: &self.0, samples: &self.1, histograms: &[], starts: None, marks: None });
//!     }
//! }
//!
//! let errors = One(Labels::new([("__name__", "errors_total")]), (0..=6).map(|i| Sample::new(Millis(i * 10_000), i as f64 * 20.0)).collect());
//! let expr = parse("rate(errors_total[1m]) > 1")?;
//! let Ok(Value::Vector(found)) = evaluate(&expr, Millis(60_000), &errors, &Options::default()) else { panic!() };
//! assert_eq!((found.len(), &found[0].value), (1, &Number::Float(2.0)));
//! # Ok::<(), faultline_promql::ParseError>(())
//! ```
#![no_std]
extern crate alloc;

mod annotations;
mod bind;
mod error;
mod eval;
mod expr;
mod feature;
mod function;
mod histogram;
mod matcher;
pub mod notation;
mod parts;
mod pattern;
mod range;
mod stream;
mod syntax;
mod tree;
mod value;

pub use annotations::{Annotation, Annotations, Level};
pub use error::{EvalError, NotIncremental, ParseError};
pub use eval::{Column, Range, evaluate, evaluate_annotated, evaluate_columns, evaluate_range};
pub use expr::{At, Expr, Extent, Selector, Type};
pub use feature::{Feature, Features, UnknownFeature};
pub use histogram::stored_hint;
pub use matcher::{MatchOp, Matcher};
pub use parts::{PARTS_MAX, Part, Role};
pub use range::Marks;
pub use stream::{Aside, Batch, Change, Readings, Stream, StreamImage, Watch};
pub use syntax::{format_query, parse, parse_with};
pub use tree::Tree;
pub use value::{Element, Options, Series, SeriesView, Source, Value};
