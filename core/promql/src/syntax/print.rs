//! Tree to text: the canonical form.
use super::lex::{TokenKind, lex};
use super::literal::{write_duration, write_quoted};
use crate::expr::{At, Binary, Expr, Group, Grouping, Kind, Node, Number};
use crate::function::Func;
use crate::{Matcher, Selector};
use alloc::string::String;
use core::fmt::{self, Display, Formatter};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        node(&self.root, &self.selectors, f)
    }
}

fn node(of: &Node, selectors: &[Selector], f: &mut Formatter<'_>) -> fmt::Result {
    match &of.kind {
        Kind::Number(Number(x)) => number(*x, f),
        Kind::Text(text) => write_quoted(f, text),
        Kind::Instant(index) => {
            selector(&selectors[*index], f)?;
            when(selectors[*index].offset, selectors[*index].at, f)
        }
        Kind::Range(index) => {
            let found = &selectors[*index];
            selector(found, f)?;
            f.write_str("[")?;
            write_duration(f, found.range)?;
            f.write_str("]")?;
            when(found.offset, found.at, f)
        }
        Kind::Subquery(subquery) => {
            node(&subquery.of, selectors, f)?;
            f.write_str("[")?;
            write_duration(f, subquery.range)?;
            f.write_str(":")?;
            if let Some(step) = subquery.step {
                write_duration(f, step)?;
            }
            f.write_str("]")?;
            when(subquery.offset, subquery.at, f)
        }
        Kind::Paren(inner) => {
            f.write_str("(")?;
            node(inner, selectors, f)?;
            f.write_str(")")
        }
        Kind::Unary { minus, of } => {
            f.write_str(if *minus { "-" } else { "+" })?;
            node(of, selectors, f)
        }
        Kind::Binary(b) => binary(b, selectors, f),
        Kind::Call { func, args } => call(*func, args, selectors, f),
        Kind::Aggregate(aggregate) => {
            f.write_str(aggregate.op.name())?;
            grouping(&aggregate.grouping, f)?;
            f.write_str("(")?;
            if let Some(parameter) = &aggregate.parameter {
                node(parameter, selectors, f)?;
                f.write_str(", ")?;
            }
            node(&aggregate.of, selectors, f)?;
            f.write_str(")")
        }
    }
}

fn number(x: f64, f: &mut Formatter<'_>) -> fmt::Result {
    match x {
        x if x.is_nan() => f.write_str("NaN"),
        f64::INFINITY => f.write_str("Inf"),
        f64::NEG_INFINITY => f.write_str("-Inf"),
        // The exponent form for what would otherwise run to hundreds of digits.
        x if x != 0.0 && !(1e-6..1e21).contains(&libm::fabs(x)) => write!(f, "{x:e}"),
        x => write!(f, "{x}"),
    }
}

fn binary(b: &Binary, selectors: &[Selector], f: &mut Formatter<'_>) -> fmt::Result {
    node(&b.left, selectors, f)?;
    write!(f, " {}", b.op.text())?;
    if b.bool {
        f.write_str(" bool")?;
    }
    let matching = &b.matching;
    if matching.on || !matching.labels.is_empty() || matching.group != Group::None {
        f.write_str(if matching.on { " on (" } else { " ignoring (" })?;
        labels(&matching.labels, f)?;
        f.write_str(")")?;
    }
    let (side, include) = match &matching.group {
        Group::None => ("", None),
        Group::Left(include) => (" group_left (", Some(include)),
        Group::Right(include) => (" group_right (", Some(include)),
    };
    if let Some(include) = include {
        f.write_str(side)?;
        labels(include, f)?;
        f.write_str(")")?;
    }
    f.write_str(" ")?;
    node(&b.right, selectors, f)
}

fn call(func: Func, args: &[Node], selectors: &[Selector], f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str(func.signature().name)?;
    f.write_str("(")?;
    for (i, arg) in args.iter().enumerate() {
        f.write_str(if i > 0 { ", " } else { "" })?;
        node(arg, selectors, f)?;
    }
    f.write_str(")")
}

fn grouping(grouping: &Grouping, f: &mut Formatter<'_>) -> fmt::Result {
    match (grouping.without, grouping.labels.is_empty()) {
        (false, true) => return Ok(()),
        (false, false) => f.write_str(" by (")?,
        (true, _) => f.write_str(" without (")?,
    }
    labels(&grouping.labels, f)?;
    f.write_str(") ")
}

fn labels(names: &[String], f: &mut Formatter<'_>) -> fmt::Result {
    for (i, name) in names.iter().enumerate() {
        f.write_str(if i > 0 { ", " } else { "" })?;
        label(name, f)?;
    }
    Ok(())
}

fn label(name: &str, f: &mut Formatter<'_>) -> fmt::Result {
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

fn selector(selector: &Selector, f: &mut Formatter<'_>) -> fmt::Result {
    let metric = selector.matchers.first().filter(|m| m.is_metric() && !m.value.is_empty());
    // Two matchers of the name stand in braces, as only there may they.
    let outside =
        metric.filter(|m| stands_alone(&m.value) && selector.matchers.iter().filter(|o| o.name == m.name).count() == 1);
    if let Some(metric) = outside {
        f.write_str(&metric.value)?;
    }
    let inside = &selector.matchers[usize::from(outside.is_some())..];
    if inside.is_empty() {
        return Ok(());
    }
    f.write_str("{")?;
    for (i, matcher) in inside.iter().enumerate() {
        f.write_str(if i > 0 { ", " } else { "" })?;
        self::matcher(matcher, f)?;
    }
    f.write_str("}")
}

fn matcher(matcher: &Matcher, f: &mut Formatter<'_>) -> fmt::Result {
    label(&matcher.name, f)?;
    f.write_str(matcher.op_text())?;
    write_quoted(f, &matcher.value)
}

fn when(offset: i64, at: Option<At>, f: &mut Formatter<'_>) -> fmt::Result {
    match at {
        None => {}
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
        Some(At::Time(time)) => {
            let (sign, ms) = (if time.0 < 0 { "-" } else { "" }, time.0.unsigned_abs());
            write!(f, " @ {sign}{}.{:03}", ms / 1000, ms % 1000)?;
        }
    }
    if offset != 0 {
        f.write_str(" offset ")?;
        write_duration(f, offset)?;
    }
    Ok(())
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        matcher(self, f)
    }
}
