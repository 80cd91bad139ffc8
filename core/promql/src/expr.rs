//! A parsed expression: its tree and its selectors.
use crate::function::{AggOp, Func};
use crate::{EvalError, Matcher, Options};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
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

impl Type {
    /// Prometheus' word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::Scalar => "scalar",
            Type::Vector => "instant vector",
            Type::Matrix => "range vector",
            Type::Text => "string",
        }
    }

    /// Prometheus' other word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Type::Vector => "vector",
            Type::Matrix => "matrix",
            same => same.name(),
        }
    }
}

/// A parsed, type-checked expression. `Display` prints it in canonical form, which parses to an equal expression.
///
/// Equality takes no account of where in its text a part stood.
#[derive(Clone, Debug)]
pub struct Expr {
    pub(crate) root: Node,
    pub(crate) selectors: Vec<Selector>,
    /// Whether something in it depends on the bounds of the query.
    pub(crate) by_query: bool,
    /// What is wrong with its durations where they are computed, at an instant: there is no step and no range.
    pub(crate) unbound: Option<EvalError>,
    /// Whether annotations about histograms tell the metric's name, as Prometheus does where it drops names late.
    pub(crate) delays_names: bool,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Expr) -> bool {
        self.root == other.root && self.selectors == other.selectors
    }
}

impl Expr {
    /// The expression's selectors, numbered in reading order.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// What its value is.
    pub fn result_type(&self) -> Type {
        self.root.result_type()
    }

    /// Whether every label of its result is one of the series that it was made of: it has one selector, and nothing in it
    /// makes labels.
    pub fn only_drops_labels(&self) -> bool {
        let mut root = self.root.clone();
        let made = crate::bind::walk(&mut root, &mut |node| match &node.kind {
            Kind::Info(_)
            | Kind::Call { func: Func::LabelJoin | Func::LabelReplace | Func::HistogramQuantiles, .. } => Err(()),
            Kind::Aggregate(aggregate) if aggregate.op == AggOp::CountValues => Err(()),
            _ => Ok(()),
        });
        self.selectors.len() <= 1 && made.is_ok()
    }

    /// Whether it is nothing but a selector of present values.
    pub(crate) fn is_instant_selector(&self) -> bool {
        self.series_selector().is_some()
    }

    /// The selector that the expression is, where it is nothing else: no modifier, no parentheses.
    pub fn series_selector(&self) -> Option<&Selector> {
        let Kind::Instant(index) = self.root.kind else { return None };
        self.selectors.get(index).filter(|selector| selector.offset == 0 && selector.at.is_none())
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

impl At {
    /// The instant at which something with this modifier, evaluated at `at`, is read.
    pub(crate) fn resolve(modifier: Option<At>, at: Millis) -> Millis {
        match modifier {
            Some(At::Time(time)) => time,
            Some(At::Start | At::End) | None => at,
        }
    }
}

/// Which series an expression reads, and which stretch of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// All must hold. A matcher that gives the metric's name comes first.
    pub matchers: Vec<Matcher>,
    /// Length of the stretch in ms; 0 of an instant selector.
    pub range: i64,
    /// How far in the past it ends, in ms; negative for the future.
    pub offset: i64,
    /// The instant to read at instead of that of the evaluation.
    pub at: Option<At>,
    /// How much further back enclosing subqueries read, in ms; `i64::MAX` where one of them reads at a fixed instant.
    pub reach: i64,
    /// Whether what lies beyond the stretch's ends counts too.
    pub extent: Extent,
    /// Whether the metric's name stands outside the braces, and else which of those within them gives it.
    pub(crate) outside: Outside,
    /// What `range` and `offset` are computed from.
    pub(crate) computed: Computed,
}

/// How a selector is written, which is no part of what it means: any two are equal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outside(pub(crate) bool, pub(crate) usize);

impl PartialEq for Outside {
    fn eq(&self, _: &Outside) -> bool {
        true
    }
}

/// How a selector treats the ends of its stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// Only samples within count.
    #[default]
    Within,
    /// `anchored`: the newest sample at or before the start stands for the start.
    Anchored,
    /// `smoothed`: values at the ends are interpolated between the samples on either side of each.
    Smoothed,
}

/// The durations of a selector or a subquery that have to be computed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Computed {
    pub(crate) range: Option<Box<Length>>,
    pub(crate) step: Option<Box<Length>>,
    pub(crate) offset: Option<Box<Length>>,
}

/// A duration as it is written: a literal, or arithmetic on such.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Length {
    pub(crate) kind: LengthKind,
    /// Whether parentheses stand around it.
    pub(crate) wrapped: bool,
    pub(crate) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LengthKind {
    /// In s.
    Literal(Literal),
    /// `step()`
    Step,
    /// `range()`
    Range,
    /// `-x` or `+x`
    Unary { minus: bool, of: Box<Length> },
    /// One of `+ - * / % ^`, `max_of(a, b)` or `min_of(a, b)`.
    Binary { op: LengthOp, left: Box<Length>, right: Box<Length> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LengthOp {
    Arithmetic(BinOp),
    Max,
    Min,
}

impl Selector {
    /// How long samples must be kept for this selector, in ms back from the evaluation's instant, together with the newest
    /// sample before that, which is all that an instant selector reads there; `None` for one that reads at a fixed instant,
    /// which no length covers.
    pub fn history_ms(&self) -> Option<i64> {
        if self.reach == i64::MAX || matches!(self.at, Some(At::Time(_))) {
            return None;
        }
        // What lies beyond the ends is looked for as far back as an instant selector looks.
        let beyond = if self.extent == Extent::Within { 0 } else { Options::default().lookback_ms };
        let length = self.range.saturating_add(beyond);
        Some(length.saturating_add(self.offset).saturating_add(self.reach).max(0))
    }

    /// The stretch that it reads at `at`, outside of any subquery: after the first instant, up to the second.
    pub fn stretch(&self, at: Millis, options: &Options) -> (Millis, Millis) {
        let to = At::resolve(self.at, at).plus(-self.offset);
        (to.plus(if self.range > 0 { -self.range } else { -options.lookback_ms }), to)
    }

    /// The metric that every selected series belongs to, where the selector fixes it.
    pub fn metric(&self) -> Option<&str> {
        let name = self.matchers.first()?;
        (name.is_metric() && !name.value.is_empty()).then_some(&*name.value)
    }
}

/// Bytes of the text that a part of an expression stood in. Any two are equal: positions are no part of a value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl PartialEq for Span {
    fn eq(&self, _: &Span) -> bool {
        true
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Span {
        // Texts are bounded far below 4 GiB by the parser.
        Span { start: range.start as u32, end: range.end as u32 }
    }
}

impl From<Span> for Range<usize> {
    fn from(span: Span) -> Range<usize> {
        span.start as usize..span.end as usize
    }
}

/// One node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// A number that equals itself even if it is NaN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Literal {
    pub(crate) value: f64,
    /// Whether it is written as a duration, whose seconds it then is.
    pub(crate) duration: bool,
}

impl PartialEq for Literal {
    fn eq(&self, other: &Literal) -> bool {
        self.value.to_bits() == other.value.to_bits()
    }
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Number(Literal),
    Text(String),
    /// An instant selector, by its number.
    Instant(usize),
    /// A range selector, by its number.
    Range(usize),
    Subquery(Box<Subquery>),
    Paren(Box<Node>),
    /// `-x`, or `+x`, which changes nothing.
    Unary {
        minus: bool,
        of: Box<Node>,
    },
    Binary(Box<Binary>),
    Call {
        func: Func,
        args: Vec<Node>,
    },
    Info(Box<Info>),
    Aggregate(Box<Aggregate>),
}

/// `of[range:step]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subquery {
    pub(crate) of: Node,
    /// In ms, `> 0`.
    pub(crate) range: i64,
    /// In ms, `> 0`; `None` for the default.
    pub(crate) step: Option<i64>,
    /// In ms; negative for the future.
    pub(crate) offset: i64,
    pub(crate) at: Option<At>,
    pub(crate) computed: Computed,
}

/// `info(of, {given})`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Info {
    pub(crate) of: Node,
    /// The selector of what is taken labels from.
    pub(crate) selector: usize,
    /// What stands in the second argument, if there is one.
    pub(crate) given: Option<Vec<Matcher>>,
}

/// An operator between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinOp {
    Or,
    And,
    Unless,
    Equal,
    NotEqual,
    LessEqual,
    Less,
    GreaterEqual,
    Greater,
    /// `</`: what lies below of a histogram.
    TrimBelow,
    /// `>/`: what lies above.
    TrimAbove,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Atan2,
    Pow,
}

impl BinOp {
    /// How tightly it binds, from 1.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            BinOp::Or => 1,
            BinOp::And | BinOp::Unless => 2,
            op if op.compares() || op.trims() => 3,
            BinOp::Add | BinOp::Sub => 4,
            BinOp::Pow => 6,
            _ => 5,
        }
    }

    pub(crate) fn compares(self) -> bool {
        use BinOp::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
        matches!(self, Equal | NotEqual | LessEqual | Less | GreaterEqual | Greater)
    }

    /// Whether it cuts a histogram at a number.
    pub(crate) fn trims(self) -> bool {
        matches!(self, BinOp::TrimBelow | BinOp::TrimAbove)
    }

    pub(crate) fn is_set(self) -> bool {
        matches!(self, BinOp::Or | BinOp::And | BinOp::Unless)
    }

    /// As it is written.
    pub(crate) fn text(self) -> &'static str {
        match self {
            BinOp::Or => "or",
            BinOp::And => "and",
            BinOp::Unless => "unless",
            BinOp::Equal => "==",
            BinOp::NotEqual => "!=",
            BinOp::LessEqual => "<=",
            BinOp::Less => "<",
            BinOp::GreaterEqual => ">=",
            BinOp::Greater => ">",
            BinOp::TrimBelow => "</",
            BinOp::TrimAbove => ">/",
            BinOp::Add => "+",
            BinOp::Sub => "-",
            BinOp::Mul => "*",
            BinOp::Div => "/",
            BinOp::Mod => "%",
            BinOp::Atan2 => "atan2",
            BinOp::Pow => "^",
        }
    }
}

/// Two operands and an operator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Binary {
    pub(crate) op: BinOp,
    pub(crate) op_span: Span,
    /// Whether a comparison gives 0 or 1 instead of filtering.
    pub(crate) bool: bool,
    pub(crate) matching: Matching,
    pub(crate) left: Node,
    pub(crate) right: Node,
}

/// Which elements of two vectors belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Matching {
    /// Whether `labels` are those that must be equal (`on`) or those that need not be (`ignoring`).
    pub(crate) on: bool,
    pub(crate) labels: Vec<String>,
    pub(crate) group: Group,
    pub(crate) fill: Fill,
}

/// What stands for an element that one side has and the other has not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Fill {
    pub(crate) left: Option<Literal>,
    pub(crate) right: Option<Literal>,
}

impl Fill {
    /// Whether nothing stands for any.
    pub(crate) fn is_none(self) -> bool {
        self.left.is_none() && self.right.is_none()
    }
}

/// Whether one element may match several.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Group {
    #[default]
    None,
    /// `group_left`: many on the left; these labels are taken from the right.
    Left(Vec<String>),
    /// `group_right`: many on the right; these labels are taken from the left.
    Right(Vec<String>),
}

/// An aggregation over groups of elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aggregate {
    pub(crate) op: AggOp,
    pub(crate) grouping: Grouping,
    pub(crate) parameter: Option<Node>,
    pub(crate) of: Node,
}

/// `by (labels)` or `without (labels)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Grouping {
    pub(crate) without: bool,
    pub(crate) labels: Vec<String>,
}

impl Node {
    /// What its value is.
    pub(crate) fn result_type(&self) -> Type {
        match &self.kind {
            Kind::Number(_) => Type::Scalar,
            Kind::Text(_) => Type::Text,
            Kind::Instant(_) | Kind::Aggregate(_) | Kind::Info(_) => Type::Vector,
            Kind::Range(_) | Kind::Subquery(_) => Type::Matrix,
            Kind::Paren(of) | Kind::Unary { of, .. } => of.result_type(),
            Kind::Binary(b) if b.left.result_type() == Type::Scalar && b.right.result_type() == Type::Scalar => {
                Type::Scalar
            }
            Kind::Binary(_) => Type::Vector,
            Kind::Call { func, .. } => func.signature().result,
        }
    }

    /// The node inside any parentheses: where an annotation says that an argument stands.
    pub(crate) fn unwrapped(&self) -> &Node {
        match &self.kind {
            Kind::Paren(of) => of.unwrapped(),
            _ => self,
        }
    }

    /// The node inside any parentheses and unary pluses, neither of which changes a value.
    pub(crate) fn bare(&self) -> &Node {
        match &self.kind {
            Kind::Paren(of) | Kind::Unary { minus: false, of } => of.bare(),
            _ => self,
        }
    }
}
