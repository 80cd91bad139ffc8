//! An expression's tree for programs that show it, and the selectors that stand in it.
//!
//! Source: Prometheus 3.15, `web/api/v1/translate_ast.go`.
use crate::expr::{
    Aggregate, At, Binary, Expr, Extent, Group, Kind, Length, LengthKind, LengthOp, Literal, Matching, Node, Selector,
    Subquery,
};
use crate::function::{Func, Signature};
use crate::{MatchOp, Matcher, Type};
use Tree::{Bool, List, Null, Object, Text, Whole};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// A value of JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// `null`
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Whole(i64),
    /// Any other.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// Named values.
    Object(Vec<(&'static str, Tree)>),
}

impl Expr {
    /// The tree as Prometheus' `/api/v1/parse_query` tells it.
    pub fn tree(&self) -> Tree {
        self.node(&self.root)
    }

    /// The matchers of each selector that stands in the text, in reading order, each with that of its metric's name where the name
    /// stands before the braces.
    pub fn written_matchers(&self) -> Vec<&[Matcher]> {
        let mut all = Vec::new();
        self.matchers_in(&self.root, &mut all);
        all
    }

    fn matchers_in<'e>(&'e self, node: &'e Node, all: &mut Vec<&'e [Matcher]>) {
        match &node.kind {
            Kind::Number(_) | Kind::Text(_) => {}
            Kind::Instant(index) | Kind::Range(index) => all.push(&self.selectors[*index].matchers),
            Kind::Subquery(it) => self.matchers_in(&it.of, all),
            Kind::Paren(of) | Kind::Unary { of, .. } => self.matchers_in(of, all),
            Kind::Binary(it) => [&it.left, &it.right].into_iter().for_each(|side| self.matchers_in(side, all)),
            Kind::Call { args, .. } => args.iter().for_each(|arg| self.matchers_in(arg, all)),
            Kind::Info(it) => {
                self.matchers_in(&it.of, all);
                all.extend(it.given.as_deref());
            }
            Kind::Aggregate(it) => {
                [Some(&it.of), it.parameter.as_ref()].into_iter().flatten().for_each(|of| self.matchers_in(of, all));
            }
        }
    }

    fn node(&self, node: &Node) -> Tree {
        match &node.kind {
            Kind::Number(number) => object("numberLiteral", vec![("val", decimal(*number))]),
            Kind::Text(text) => object("stringLiteral", vec![("val", Text(text.clone()))]),
            Kind::Instant(index) => selector(&self.selectors[*index]),
            Kind::Range(index) => range(&self.selectors[*index]),
            Kind::Subquery(it) => self.subquery(it),
            Kind::Paren(of) => object("parenExpr", vec![("expr", self.node(of))]),
            Kind::Unary { minus, of } => {
                object("unaryExpr", vec![("op", text(if *minus { "-" } else { "+" })), ("expr", self.node(of))])
            }
            Kind::Binary(it) => self.binary(it),
            Kind::Call { func, args } => call(func.signature(), args.iter().map(|arg| self.node(arg)).collect()),
            Kind::Info(it) => {
                let found = &self.selectors[it.selector];
                let given = it.given.as_deref().map(|given| labels_only(&in_order(given, found.outside.1)));
                let args = [Some(self.node(&it.of)), given].into_iter().flatten().collect();
                call(Func::Info.signature(), args)
            }
            Kind::Aggregate(it) => self.aggregate(it),
        }
    }

    fn subquery(&self, it: &Subquery) -> Tree {
        let computed = &it.computed;
        let fields = vec![
            ("expr", self.node(&it.of)),
            ("range", known(it.range, computed.range.as_deref())),
            ("rangeExpr", length(computed.range.as_deref())),
            ("offset", known(it.offset, computed.offset.as_deref())),
            ("offsetExpr", length(computed.offset.as_deref())),
            ("step", known(it.step.unwrap_or(0), computed.step.as_deref())),
            ("stepExpr", length(computed.step.as_deref())),
        ];
        object("subquery", [fields, at(it.at)].concat())
    }

    fn binary(&self, it: &Binary) -> Tree {
        let vectors = [&it.left, &it.right].into_iter().all(|side| side.result_type() == Type::Vector);
        let fields = vec![
            ("op", text(it.op.text())),
            ("lhs", self.node(&it.left)),
            ("rhs", self.node(&it.right)),
            ("matching", if vectors { matching(&it.matching, it.op.is_set()) } else { Null }),
            ("bool", Bool(it.bool)),
        ];
        object("binaryExpr", fields)
    }

    fn aggregate(&self, it: &Aggregate) -> Tree {
        let fields = vec![
            ("op", text(it.op.name())),
            ("expr", self.node(&it.of)),
            ("param", it.parameter.as_ref().map_or(Null, |parameter| self.node(parameter))),
            ("grouping", texts(&it.grouping.labels)),
            ("without", Bool(it.grouping.without)),
        ];
        object("aggregation", fields)
    }
}

type Fields = Vec<(&'static str, Tree)>;

fn object(kind: &str, fields: Fields) -> Tree {
    Object([vec![("type", text(kind))], fields].concat())
}

fn text(text: &str) -> Tree {
    Text(text.to_string())
}

fn texts(list: &[String]) -> Tree {
    List(list.iter().map(|it| text(it)).collect())
}

/// A number; whole ones without a point, as Go writes them.
fn number(value: f64) -> Tree {
    let whole = value as i64;
    if whole as f64 == value { Whole(whole) } else { Tree::Number(value) }
}

/// Digits without an exponent, as Go's `FormatFloat(value, 'f', -1, 64)`.
fn decimal(number: Literal) -> Tree {
    let value = number.value;
    Text(match value {
        f64::INFINITY => "+Inf".to_string(),
        f64::NEG_INFINITY => "-Inf".to_string(),
        _ => value.to_string(),
    })
}

/// A duration in ms; 0 where it is yet to be computed.
fn known(ms: i64, computed: Option<&Length>) -> Tree {
    Whole(if computed.is_some() { 0 } else { ms })
}

/// A selector of nothing but labels, as the second argument of `info`.
fn labels_only(matchers: &[&Matcher]) -> Tree {
    let fields = vec![("name", text("")), ("offset", Whole(0)), ("offsetExpr", Null), ("matchers", list(matchers))];
    object("vectorSelector", [fields, at(None), extent(Extent::Within)].concat())
}

fn selector(it: &Selector) -> Tree {
    let offset = it.computed.offset.as_deref();
    let fields = vec![
        ("name", name(it)),
        ("offset", known(it.offset, offset)),
        ("offsetExpr", length(offset)),
        ("matchers", list(&written(it))),
    ];
    object("vectorSelector", [fields, at(it.at), extent(it.extent)].concat())
}

fn range(it: &Selector) -> Tree {
    let computed = &it.computed;
    let fields = vec![
        ("name", name(it)),
        ("range", known(it.range, computed.range.as_deref())),
        ("rangeExpr", length(computed.range.as_deref())),
        ("offset", known(it.offset, computed.offset.as_deref())),
        ("offsetExpr", length(computed.offset.as_deref())),
        ("matchers", list(&written(it))),
    ];
    object("matrixSelector", [fields, at(it.at), extent(it.extent)].concat())
}

/// The metric's name where it stands before the braces.
fn name(it: &Selector) -> Tree {
    text(it.matchers.first().filter(|_| it.outside.0).map_or("", |name| &name.value))
}

/// Matchers in the order in which they are written; a name before the braces comes last, as in Prometheus.
fn written(it: &Selector) -> Vec<&Matcher> {
    in_order(&it.matchers, if it.outside.0 { it.matchers.len() - 1 } else { it.outside.1 })
}

/// The first one moved to `place`.
fn in_order(matchers: &[Matcher], place: usize) -> Vec<&Matcher> {
    let mut all: Vec<&Matcher> = matchers.iter().collect();
    if let Some(moved) = all.get_mut(..=place) {
        moved.rotate_left(1);
    }
    all
}

fn list(matchers: &[&Matcher]) -> Tree {
    let op = |op: MatchOp| match op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    let one =
        |it: &&Matcher| Object(vec![("name", text(&it.name)), ("value", text(&it.value)), ("type", text(op(it.op)))]);
    List(matchers.iter().map(one).collect())
}

fn at(modifier: Option<At>) -> Fields {
    let (time, word) = match modifier {
        None => (Null, Null),
        Some(At::Time(time)) => (Whole(time.0), Null),
        Some(At::Start) => (Null, text("start")),
        Some(At::End) => (Null, text("end")),
    };
    vec![("timestamp", time), ("startOrEnd", word)]
}

fn extent(extent: Extent) -> Fields {
    vec![("anchored", Bool(extent == Extent::Anchored)), ("smoothed", Bool(extent == Extent::Smoothed))]
}

fn length(it: Option<&Length>) -> Tree {
    let Some(it) = it else { return Null };
    let (op, left, right) = match &it.kind {
        LengthKind::Literal(number) => {
            return object("numberLiteral", vec![("val", decimal(*number)), ("duration", Bool(number.duration))]);
        }
        LengthKind::Step => ("step", None, None),
        LengthKind::Range => ("range", None, None),
        LengthKind::Unary { minus, of } => (if *minus { "-" } else { "+" }, None, Some(of)),
        LengthKind::Binary { op, left, right } => {
            let word = match op {
                LengthOp::Arithmetic(op) => op.text(),
                LengthOp::Max => "max_of",
                LengthOp::Min => "min_of",
            };
            (word, Some(left), Some(right))
        }
    };
    let side = |side: Option<&alloc::boxed::Box<Length>>| length(side.map(|side| &**side));
    let fields = vec![("op", text(op)), ("lhs", side(left)), ("rhs", side(right)), ("wrapped", Bool(it.wrapped))];
    object("durationExpr", fields)
}

fn matching(it: &Matching, set: bool) -> Tree {
    let (card, include) = match &it.group {
        Group::None if set => ("many-to-many", &[][..]),
        Group::None => ("one-to-one", &[][..]),
        Group::Left(labels) => ("many-to-one", &labels[..]),
        Group::Right(labels) => ("one-to-many", &labels[..]),
    };
    let fill = |value: Option<Literal>| value.map_or(Null, |literal| number(literal.value));
    Object(vec![
        ("card", text(card)),
        ("labels", texts(&it.labels)),
        ("on", Bool(it.on)),
        ("include", texts(include)),
        ("fillValues", Object(vec![("lhs", fill(it.fill.left)), ("rhs", fill(it.fill.right))])),
    ])
}

fn call(signature: &Signature, args: Vec<Tree>) -> Tree {
    let variadic = match signature.optional {
        None => 0,
        Some(usize::MAX) => -1,
        Some(more) => more as i64,
    };
    let function = vec![
        ("name", text(signature.name)),
        ("argTypes", List(signature.arguments.iter().map(|kind| text(kind.word())).collect())),
        ("variadic", Whole(variadic)),
        ("returnType", text(signature.result.word())),
    ];
    object("call", vec![("func", Object(function)), ("args", List(args))])
}
