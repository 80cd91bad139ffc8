//! The PromQL language: parse, evaluate at an instant, compile to a stream.
#![no_std]
extern crate alloc;

mod error;
mod eval;
mod expr;
mod function;
mod matcher;
mod pattern;
mod range;
mod stream;
mod syntax;
mod value;

pub use error::{EvalError, NotIncremental, ParseError};
pub use eval::evaluate;
pub use expr::{At, Expr, Selector, Type};
pub use matcher::{MatchOp, Matcher};
pub use stream::{Change, Stream};
pub use syntax::parse;
pub use value::{Element, Options, Series, SeriesView, Source, Value};
