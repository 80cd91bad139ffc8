//! Tree to text, as Prometheus prints it.
use super::lex::{TokenKind, lex};
use super::literal::{format_number, write_duration, write_quoted, write_short};
use crate::expr::{
    Aggregate, At, BinOp, Binary, Expr, Extent, Group, Grouping, Kind, Length, LengthKind, LengthOp, Literal, Matching,
    Node, Subquery,
};
use crate::{Matcher, Selector};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter, Write};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Printer { selectors: &self.selectors, as_written: false }.node(&self.root, f)
    }
}

/// How a tree is printed.
#[derive(Clone, Copy)]
pub(super) struct Printer<'e> {
    pub(super) selectors: &'e [Selector],
    /// Whether a metric's name stands where it was written and matchers are sorted, as Prometheus prints them. If not, the
    /// name stands outside the braces where it can, and matchers keep the order in which `absent` looks at them.
    pub(super) as_written: bool,
}

impl Printer<'_> {
    pub(super) fn node(self, of: &Node, f: &mut impl Write) -> fmt::Result {
        match &of.kind {
            Kind::Number(number) => self::number(*number, f),
            Kind::Text(text) => write_quoted(f, text),
            Kind::Instant(index) => {
                let found = &self.selectors[*index];
                self.selector(found, f)?;
                at(found.at, f)?;
                extent(found.extent, f)?;
                offset(found.offset, found.computed.offset.as_deref(), f)
            }
            Kind::Range(index) => {
                let found = &self.selectors[*index];
                self.selector(found, f)?;
                f.write_str("[")?;
                length_or(found.range, found.computed.range.as_deref(), f)?;
                f.write_str("]")?;
                extent(found.extent, f)?;
                at(found.at, f)?;
                offset(found.offset, found.computed.offset.as_deref(), f)
            }
            Kind::Subquery(subquery) => {
                self.node(&subquery.of, f)?;
                times(subquery, f)
            }
            Kind::Paren(inner) => {
                f.write_str("(")?;
                self.node(inner, f)?;
                f.write_str(")")
            }
            Kind::Unary { minus, of } => {
                f.write_str(sign(*minus))?;
                self.node(of, f)
            }
            Kind::Binary(b) => {
                self.node(&b.left, f)?;
                f.write_str(" ")?;
                operator(b, f)?;
                f.write_str(" ")?;
                self.node(&b.right, f)
            }
            Kind::Call { func, args } => {
                f.write_str(func.signature().name)?;
                f.write_str("(")?;
                for (i, arg) in args.iter().enumerate() {
                    f.write_str(if i > 0 { ", " } else { "" })?;
                    self.node(arg, f)?;
                }
                f.write_str(")")
            }
            Kind::Info(info) => {
                f.write_str("info(")?;
                self.node(&info.of, f)?;
                if let Some(given) = &info.given {
                    f.write_str(", ")?;
                    self.given(given, f)?;
                }
                f.write_str(")")
            }
            Kind::Aggregate(of) => {
                aggregation(of, f)?;
                f.write_str("(")?;
                if let Some(parameter) = &of.parameter {
                    self.node(parameter, f)?;
                    f.write_str(", ")?;
                }
                self.node(&of.of, f)?;
                f.write_str(")")
            }
        }
    }

    fn selector(self, selector: &Selector, f: &mut impl Write) -> fmt::Result {
        let metric = selector.matchers.first().filter(|m| m.is_metric() && !m.value.is_empty());
        // Two matchers of the name stand in braces, as only there may they.
        let once = |m: &&Matcher| selector.matchers.iter().filter(|o| o.name == m.name).count() == 1;
        let outside = match self.as_written {
            true => metric.filter(|_| selector.outside.0),
            false => metric.filter(|m| stands_alone(&m.value)).filter(once),
        };
        if let Some(metric) = outside {
            f.write_str(&metric.value)?;
        }
        let inside = &selector.matchers[usize::from(outside.is_some())..];
        if inside.is_empty() { Ok(()) } else { self.given(inside, f) }
    }

    /// Matchers in braces.
    pub(super) fn given(self, matchers: &[Matcher], f: &mut impl Write) -> fmt::Result {
        let mut texts: Vec<String> = matchers.iter().map(|m| m.to_string()).collect();
        if self.as_written {
            texts.sort();
        }
        write!(f, "{{{}}}", texts.join(","))
    }
}

fn number(Literal { value, duration }: Literal, f: &mut impl Write) -> fmt::Result {
    if !duration {
        return f.write_str(&format_number(value));
    }
    // `1 / -0s` is not `1 / 0s`.
    if value == 0.0 && value.is_sign_negative() {
        f.write_str("-")?;
    }
    // Some thousandths come out a hair short of whole milliseconds: 1.001 does.
    write_duration(f, libm::round(value * 1000.0) as i64)
}

fn sign(minus: bool) -> &'static str {
    if minus { "-" } else { "+" }
}

/// An operator with its modifiers.
pub(super) fn operator(b: &Binary, f: &mut impl Write) -> fmt::Result {
    f.write_str(b.op.text())?;
    if b.bool {
        f.write_str(" bool")?;
    }
    let Matching { on, labels: named, group, fill } = &b.matching;
    if *on || !named.is_empty() || *group != Group::None {
        f.write_str(if *on { " on (" } else { " ignoring (" })?;
        labels(named, f)?;
        f.write_str(")")?;
    }
    let (side, include) = match group {
        Group::None => ("", None),
        Group::Left(include) => (" group_left (", Some(include)),
        Group::Right(include) => (" group_right (", Some(include)),
    };
    if let Some(include) = include {
        f.write_str(side)?;
        labels(include, f)?;
        f.write_str(")")?;
    }
    let mut one = |word: &str, x: f64| {
        write!(f, " {word} (")?;
        write_short(f, x)?;
        f.write_str(")")
    };
    match (fill.left, fill.right) {
        (Some(left), Some(right)) if left.value == right.value => one("fill", left.value),
        (left, right) => {
            left.map_or(Ok(()), |x| one("fill_left", x.value))?;
            right.map_or(Ok(()), |x| one("fill_right", x.value))
        }
    }
}

/// The name of an aggregation and its grouping.
pub(super) fn aggregation(of: &Aggregate, f: &mut impl Write) -> fmt::Result {
    f.write_str(of.op.name())?;
    let Grouping { without, labels: named } = &of.grouping;
    match (without, named.is_empty()) {
        (false, true) => return Ok(()),
        (false, false) => f.write_str(" by (")?,
        (true, _) => f.write_str(" without (")?,
    }
    labels(named, f)?;
    f.write_str(") ")
}

/// What stands after the expression of a subquery.
pub(super) fn times(subquery: &Subquery, f: &mut impl Write) -> fmt::Result {
    f.write_str("[")?;
    length_or(subquery.range, subquery.computed.range.as_deref(), f)?;
    f.write_str(":")?;
    match (subquery.step, subquery.computed.step.as_deref()) {
        (_, Some(length)) => self::length(length, f)?,
        (Some(step), None) => write_duration(f, step)?,
        (None, None) => {}
    }
    f.write_str("]")?;
    at(subquery.at, f)?;
    offset(subquery.offset, subquery.computed.offset.as_deref(), f)
}

fn length_or(ms: i64, computed: Option<&Length>, f: &mut impl Write) -> fmt::Result {
    match computed {
        Some(computed) => length(computed, f),
        None => write_duration(f, ms),
    }
}

fn length(of: &Length, f: &mut impl Write) -> fmt::Result {
    if of.wrapped {
        f.write_str("(")?;
    }
    match &of.kind {
        LengthKind::Literal(number) => self::number(*number, f)?,
        LengthKind::Step => f.write_str("step()")?,
        LengthKind::Range => f.write_str("range()")?,
        LengthKind::Unary { minus, of } => {
            f.write_str(if *minus { "-" } else { "" })?;
            length(of, f)?;
        }
        LengthKind::Binary { op: LengthOp::Arithmetic(op), left, right } => {
            length(left, f)?;
            write!(f, " {} ", BinOp::text(*op))?;
            length(right, f)?;
        }
        LengthKind::Binary { op, left, right } => {
            f.write_str(if *op == LengthOp::Max { "max_of(" } else { "min_of(" })?;
            length(left, f)?;
            f.write_str(", ")?;
            length(right, f)?;
            f.write_str(")")?;
        }
    }
    f.write_str(if of.wrapped { ")" } else { "" })
}

fn labels(names: &[String], f: &mut impl Write) -> fmt::Result {
    for (i, name) in names.iter().enumerate() {
        f.write_str(if i > 0 { ", " } else { "" })?;
        label(name, f)?;
    }
    Ok(())
}

fn label(name: &str, f: &mut impl Write) -> fmt::Result {
    if is_plain(name) && !name.contains(':') { f.write_str(name) } else { write_quoted(f, name) }
}

/// Whether a name is made of letters, digits, underscores and colons, and does not begin with a digit.
fn is_plain(name: &str) -> bool {
    let word = |c: char| c == '_' || c == ':' || c.is_ascii_alphanumeric();
    name.chars().all(word) && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a metric's name can stand outside braces: the lexer takes it for a name or for a word that may be one.
fn stands_alone(name: &str) -> bool {
    is_plain(name)
        && match lex(name).tokens[0].kind {
            TokenKind::Name | TokenKind::MetricName | TokenKind::Aggregation(_) => true,
            TokenKind::Keyword(keyword) => keyword.may_name_metric(),
            TokenKind::Op(op) => op.is_set(),
            _ => false,
        }
}

fn at(at: Option<At>, f: &mut impl Write) -> fmt::Result {
    match at {
        None => Ok(()),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
        Some(At::Time(time)) => {
            let (sign, ms) = (if time.0 < 0 { "-" } else { "" }, time.0.unsigned_abs());
            write!(f, " @ {sign}{}.{:03}", ms / 1000, ms % 1000)
        }
    }
}

fn extent(extent: Extent, f: &mut impl Write) -> fmt::Result {
    f.write_str(match extent {
        Extent::Within => "",
        Extent::Anchored => " anchored",
        Extent::Smoothed => " smoothed",
    })
}

fn offset(ms: i64, computed: Option<&Length>, f: &mut impl Write) -> fmt::Result {
    if ms != 0 || computed.is_some() {
        f.write_str(" offset ")?;
        length_or(ms, computed, f)?;
    }
    Ok(())
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        label(&self.name, f)?;
        f.write_str(self.op_text())?;
        write_quoted(f, &self.value)
    }
}
