//! Tokens to tree: precedence climbing over Prometheus' grammar.
use super::lex::{Keyword, Token, TokenKind, Tokens, lex};
use super::{DEPTH_MAX, TEXT_MAX, check, literal};
use crate::expr::{
    Aggregate, BinOp, Binary, Computed, Expr, Extent, Fill, Group, Grouping, Kind, Literal, Matching, Node, Outside,
    Selector,
};
use crate::function::{AggOp, Func, UNSUPPORTED};
use crate::{Feature, Features, MatchOp, Matcher, ParseError};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use faultline_model::labels::NAME;

/// Parses and type-checks an expression.
///
/// Fails with [`ParseError::Syntax`] where Prometheus without experimental features would refuse it, and with
/// [`ParseError::Unsupported`] where Prometheus would not but this crate cannot evaluate it. Texts above 256 KiB and trees
/// deeper than 250 are refused.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    parse_with(text, Features::NONE)
}

/// [`parse`] with some of the language's experimental parts.
pub fn parse_with(text: &str, features: Features) -> Result<Expr, ParseError> {
    let locate = |error: Wrong| error.locate(text);
    if text.len() > TEXT_MAX {
        return Err(locate(Wrong::syntax(0..0, format!("expression is longer than {TEXT_MAX} bytes"))));
    }
    let Tokens { tokens, error } = lex(text);
    let selectors = Vec::new();
    let mut parser = Parser { text, features, tokens, lex_error: error, at: 0, closed: 0, depth: 0, selectors };
    let (root, _) = parser.whole().map_err(locate)?;
    let delays_names = features.has(Feature::DelayedNameRemoval);
    let mut expr = Expr { root, selectors: parser.selectors, by_query: false, unbound: None, delays_names };
    check::check(&mut expr).map_err(locate)?;
    Ok(expr)
}

/// What is wrong and where, before line and column are known.
pub(super) struct Wrong {
    unsupported: bool,
    at: Range<usize>,
    message: String,
}

impl Wrong {
    pub(super) fn syntax(at: impl Into<Range<usize>>, message: impl Into<String>) -> Wrong {
        Wrong { unsupported: false, at: at.into(), message: message.into() }
    }

    pub(super) fn unsupported(at: impl Into<Range<usize>>, what: impl Into<String>) -> Wrong {
        Wrong { unsupported: true, at: at.into(), message: what.into() }
    }

    fn locate(self, text: &str) -> ParseError {
        let before = &text.as_bytes()[..self.at.start.min(text.len())];
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count() as u32;
        let column = 1 + before.iter().rev().take_while(|&&b| b != b'\n').count() as u32;
        let Wrong { unsupported, at, message } = self;
        match unsupported {
            true => ParseError::Unsupported { what: message, at, line, column },
            false => ParseError::Syntax { message, at, line, column },
        }
    }
}

/// A node and how deep its tree is.
type Parsed = Result<(Node, usize), Wrong>;

pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    pub(super) features: Features,
    tokens: Vec<Token>,
    lex_error: String,
    at: usize,
    /// End of the last token taken.
    pub(super) closed: usize,
    /// Depth of the recursion.
    depth: usize,
    pub(super) selectors: Vec<Selector>,
}

impl<'t> Parser<'t> {
    pub(super) fn peek(&self) -> Token {
        self.tokens[self.at]
    }

    pub(super) fn kind(&self) -> TokenKind {
        self.peek().kind
    }

    pub(super) fn kind_after(&self) -> TokenKind {
        self.tokens.get(self.at + 1).map_or(TokenKind::End, |token| token.kind)
    }

    pub(super) fn bump(&mut self) -> Token {
        let token = self.peek();
        if !matches!(token.kind, TokenKind::End | TokenKind::Error) {
            self.at += 1;
            self.closed = token.end;
        }
        token
    }

    pub(super) fn eat(&mut self, kind: TokenKind) -> bool {
        let found = self.kind() == kind;
        if found {
            self.bump();
        }
        found
    }

    pub(super) fn word(&self, token: Token) -> &'t str {
        &self.text[token.start..token.end]
    }

    /// The error for a next token that cannot stand here: the lexer's own where it is none at all.
    pub(super) fn unexpected(&self, context: &str, expected: &str) -> Wrong {
        let token = self.peek();
        if token.kind == TokenKind::Error {
            return Wrong::syntax(token.start..token.end, self.lex_error.clone());
        }
        let mut message = format!("unexpected {}", token.describe(self.text));
        if !context.is_empty() {
            message += &format!(" in {context}");
        }
        if !expected.is_empty() {
            message += &format!(", expected {expected}");
        }
        Wrong::syntax(token.start..token.end, message)
    }

    pub(super) fn expect(&mut self, kind: TokenKind, context: &str, expected: &str) -> Result<Token, Wrong> {
        if self.kind() == kind { Ok(self.bump()) } else { Err(self.unexpected(context, expected)) }
    }

    fn whole(&mut self) -> Parsed {
        if self.kind() == TokenKind::End {
            return Err(Wrong::syntax(0..0, "no expression found in input"));
        }
        let parsed = self.binary(0)?;
        if self.kind() == TokenKind::End { Ok(parsed) } else { Err(self.unexpected("", "")) }
    }

    /// A node one deeper than the deepest of its children.
    fn node(&self, kind: Kind, start: usize, deepest: usize) -> Parsed {
        let span = start..self.closed;
        if deepest >= DEPTH_MAX {
            return Err(Wrong::syntax(span, format!("expression is nested deeper than {DEPTH_MAX}")));
        }
        Ok((Node { kind, span: span.into() }, deepest + 1))
    }

    /// Runs a step of the descent, within its depth.
    pub(super) fn deeper<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Wrong>) -> Result<T, Wrong> {
        // Two steps, an operand and its operators, go into each level of the tree.
        if self.depth >= 2 * DEPTH_MAX {
            let token = self.peek();
            return Err(Wrong::syntax(token.start..token.end, format!("expression is nested deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        let parsed = step(self);
        self.depth -= 1;
        parsed
    }

    /// Operands joined by operators that bind at least as tightly as `least`.
    fn binary(&mut self, least: u8) -> Parsed {
        let start = self.peek().start;
        let (mut left, mut depth) = self.deeper(Self::unary)?;
        loop {
            let token = self.peek();
            let op = match token.kind {
                TokenKind::Op(op) if op.precedence() >= least => op,
                _ => return Ok((left, depth)),
            };
            self.bump();
            let (bool, matching) = self.modifiers()?;
            // Only `^` groups to the right.
            let least = op.precedence() + u8::from(op != BinOp::Pow);
            let (right, right_depth) = self.deeper(|p| p.binary(least))?;
            if !matching.fill.is_none() && !self.features.has(Feature::BinopFillModifiers) {
                let span = start..self.closed;
                return Err(Wrong::syntax(span, "binop fill modifiers are experimental and not enabled"));
            }
            let op_span = (token.start..token.end).into();
            let binary = Binary { op, op_span, bool, matching, left, right };
            (left, depth) = self.node(Kind::Binary(Box::new(binary)), start, depth.max(right_depth))?;
        }
    }

    /// `bool`, `on`, `ignoring`, `group_left` and `group_right` after an operator.
    fn modifiers(&mut self) -> Result<(bool, Matching), Wrong> {
        let keyword = |keyword| TokenKind::Keyword(keyword);
        let bool = self.eat(keyword(Keyword::Bool));
        let mut matching = Matching::default();
        if matches!(self.kind(), TokenKind::Keyword(Keyword::On | Keyword::Ignoring)) {
            matching.on = self.bump().kind == keyword(Keyword::On);
            matching.labels = self.labels()?;
            if let TokenKind::Keyword(group @ (Keyword::GroupLeft | Keyword::GroupRight)) = self.kind() {
                self.bump();
                let include = if self.kind() == TokenKind::LeftParen { self.labels()? } else { Vec::new() };
                matching.group = if group == Keyword::GroupLeft { Group::Left(include) } else { Group::Right(include) };
            }
        }
        matching.fill = self.fills()?;
        Ok((bool, matching))
    }

    /// `fill(x)`, or one or both of `fill_left(x)` and `fill_right(x)`.
    fn fills(&mut self) -> Result<Fill, Wrong> {
        let mut fill = Fill::default();
        if self.eat(TokenKind::Keyword(Keyword::Fill)) {
            let value = Some(self.fill_value()?);
            return Ok(Fill { left: value, right: value });
        }
        loop {
            let side = match self.kind() {
                TokenKind::Keyword(Keyword::FillLeft) if fill.left.is_none() => &mut fill.left,
                TokenKind::Keyword(Keyword::FillRight) if fill.right.is_none() => &mut fill.right,
                _ => return Ok(fill),
            };
            self.bump();
            *side = Some(self.fill_value()?);
        }
    }

    /// `(number)`
    fn fill_value(&mut self) -> Result<Literal, Wrong> {
        self.expect(TokenKind::LeftParen, "", "")?;
        let sign = match self.kind() {
            TokenKind::Op(BinOp::Sub) => -1.0,
            _ => 1.0,
        };
        if let TokenKind::Op(BinOp::Add | BinOp::Sub) = self.kind() {
            self.bump();
        }
        let token = self.peek();
        if !matches!(token.kind, TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected("", ""));
        }
        let value = self.number()? * sign;
        self.expect(TokenKind::RightParen, "", "")?;
        Ok(Literal { value: faultline_model::float::canonical(value), duration: token.kind == TokenKind::Duration })
    }

    fn unary(&mut self) -> Parsed {
        let token = self.peek();
        let minus = match token.kind {
            TokenKind::Op(BinOp::Sub) => true,
            TokenKind::Op(BinOp::Add) => false,
            _ => return self.postfix(),
        };
        self.bump();
        // A sign binds as `*` does, so only `^` comes before it.
        let (of, depth) = self.deeper(|p| p.binary(BinOp::Pow.precedence()))?;
        match of.kind {
            Kind::Number(Literal { value, duration }) => {
                let value = if minus { faultline_model::float::canonical(-value) } else { value };
                self.node(Kind::Number(Literal { value, duration }), token.start, 0)
            }
            _ => self.node(Kind::Unary { minus, of: Box::new(of) }, token.start, depth),
        }
    }

    /// An operand and the brackets, offsets and `@` after it.
    fn postfix(&mut self) -> Parsed {
        let start = self.peek().start;
        let (mut node, mut depth) = self.operand()?;
        loop {
            let token = self.peek();
            match token.kind {
                TokenKind::LeftBracket => {
                    let bracketed = self.brackets(node)?;
                    let deeper = if matches!(bracketed, Kind::Subquery(_)) { depth } else { 0 };
                    (node, depth) = self.node(bracketed, start, deeper)?;
                }
                TokenKind::Keyword(Keyword::Offset) => self.offset(&mut node)?,
                TokenKind::At => self.at_modifier(&mut node)?,
                TokenKind::Keyword(Keyword::Anchored | Keyword::Smoothed) => {
                    self.extent(&node)?;
                    continue;
                }
                _ => return Ok((node, depth)),
            }
            node.span = (start..self.closed).into();
        }
    }

    fn operand(&mut self) -> Parsed {
        let token = self.peek();
        let start = token.start;
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let value = self.number()?;
                let duration = token.kind == TokenKind::Duration;
                self.node(Kind::Number(Literal { value, duration }), start, 0)
            }
            TokenKind::Text => {
                let text = self.quoted()?;
                self.node(Kind::Text(text), start, 0)
            }
            TokenKind::LeftParen => {
                self.bump();
                let (of, depth) = self.deeper(|p| p.binary(0))?;
                self.expect(TokenKind::RightParen, "", "")?;
                self.node(Kind::Paren(Box::new(of)), start, depth)
            }
            TokenKind::Aggregation(op) if self.aggregates() => self.aggregation(op),
            TokenKind::Name if self.kind_after() == TokenKind::LeftParen => self.call(),
            TokenKind::Keyword(keyword) if keyword.may_name_function() && self.kind_after() == TokenKind::LeftParen => {
                self.call()
            }
            _ => {
                let selector = self.selector()?;
                self.node(selector, start, 0)
            }
        }
    }

    /// Whether the name of an aggregation stands for one here, and not for a metric.
    fn aggregates(&self) -> bool {
        matches!(self.kind_after(), TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without))
    }

    /// A number or a duration, which is its number of seconds.
    pub(super) fn number(&mut self) -> Result<f64, Wrong> {
        let token = self.bump();
        let (word, span) = (self.word(token), token.start..token.end);
        match token.kind {
            TokenKind::Duration => literal::duration(word).map(|ms| ms as f64 / 1000.0),
            _ => literal::number(word).ok_or_else(|| format!("error parsing number: {word:?}")),
        }
        .map_err(|message| Wrong::syntax(span, message))
    }

    pub(super) fn quoted(&mut self) -> Result<String, Wrong> {
        let token = self.bump();
        literal::unquote(self.word(token)).map_err(|message| Wrong::syntax(token.start..token.end, message))
    }

    fn aggregation(&mut self, op: AggOp) -> Parsed {
        let start = self.bump().start;
        let mut grouping = self.grouping()?;
        if self.kind() != TokenKind::LeftParen {
            return Err(self.unexpected("aggregation", ""));
        }
        let (mut args, depth) = self.arguments()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let span = start..self.closed;
        let expected = 1 + usize::from(op.parameter().is_some());
        if args.is_empty() {
            return Err(Wrong::syntax(span, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() && !self.features.has(Feature::ExperimentalFunctions) {
            let how = "is experimental and must be enabled with --enable-feature=promql-experimental-functions";
            return Err(Wrong::syntax(span, format!("{}() {how}", op.name())));
        }
        if args.len() != expected {
            let message = "wrong number of arguments for aggregate expression provided";
            return Err(Wrong::syntax(span, format!("{message}, expected {expected}, got {}", args.len())));
        }
        let of = args.pop().expect("one or two arguments");
        let aggregate = Aggregate { op, grouping: grouping.unwrap_or_default(), parameter: args.pop(), of };
        self.node(Kind::Aggregate(Box::new(aggregate)), start, depth)
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Wrong> {
        let without = match self.kind() {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.bump();
        Ok(Some(Grouping { without, labels: self.labels()? }))
    }

    /// `(label, "label", ...)`: every word may be a label.
    fn labels(&mut self) -> Result<Vec<String>, Wrong> {
        self.expect(TokenKind::LeftParen, "grouping opts", "\"(\"")?;
        let mut labels = Vec::new();
        while !self.eat(TokenKind::RightParen) {
            let token = self.peek();
            match token.kind {
                TokenKind::Text => labels.push(self.quoted()?),
                TokenKind::Name | TokenKind::MetricName | TokenKind::Keyword(_) | TokenKind::Aggregation(_) => {
                    self.bump();
                    labels.push(self.word(token).into());
                }
                TokenKind::Op(BinOp::And | BinOp::Or | BinOp::Unless | BinOp::Atan2) => {
                    self.bump();
                    labels.push(self.word(token).into());
                }
                _ => return Err(self.unexpected("grouping opts", "label")),
            }
            if labels.last().is_some_and(String::is_empty) {
                return Err(Wrong::syntax(token.start..token.end, "invalid label name for grouping: \"\""));
            }
            if self.kind() != TokenKind::RightParen {
                self.expect(TokenKind::Comma, "grouping opts", "\",\" or \")\"")?;
            }
        }
        Ok(labels)
    }

    fn call(&mut self) -> Parsed {
        let token = self.bump();
        let (name, span) = (self.word(token), token.start..token.end);
        let Some(func) = Func::of(name) else {
            return Err(match UNSUPPORTED.contains(&name) {
                true => Wrong::unsupported(span, format!("function {name}() is")),
                false => Wrong::syntax(span, format!("unknown function with name {name:?}")),
            });
        };
        let (args, depth) = self.arguments()?;
        if func.is_experimental() && !self.features.has(Feature::ExperimentalFunctions) {
            return Err(Wrong::syntax(span, format!("function {name:?} is not enabled")));
        }
        self.node(Kind::Call { func, args }, token.start, depth)
    }

    fn arguments(&mut self) -> Result<(Vec<Node>, usize), Wrong> {
        self.bump();
        let (mut args, mut deepest) = (Vec::new(), 0);
        while !self.eat(TokenKind::RightParen) {
            let (arg, depth) = self.deeper(|p| p.binary(0))?;
            args.push(arg);
            deepest = deepest.max(depth);
            let comma = self.peek();
            if self.eat(TokenKind::Comma) {
                if self.kind() == TokenKind::RightParen {
                    let message = "trailing commas not allowed in function call args";
                    return Err(Wrong::syntax(comma.start..comma.end, message));
                }
            } else if self.kind() != TokenKind::RightParen {
                return Err(self.unexpected("", ""));
            }
        }
        Ok((args, deepest))
    }

    /// `name`, `name{matchers}` or `{matchers}`.
    fn selector(&mut self) -> Result<Kind, Wrong> {
        let token = self.peek();
        let named = match token.kind {
            TokenKind::Name | TokenKind::MetricName | TokenKind::Aggregation(_) => true,
            TokenKind::Keyword(keyword) => keyword.may_name_metric(),
            TokenKind::Op(op) => op.is_set(),
            _ => false,
        };
        let mut matchers = Vec::new();
        if named {
            self.bump();
            matchers.extend(Matcher::new(NAME, MatchOp::Equal, self.word(token)));
        } else if token.kind != TokenKind::LeftBrace {
            return Err(self.unexpected("", ""));
        }
        if self.eat(TokenKind::LeftBrace) {
            self.matchers(&mut matchers)?;
        }
        if let Some(twice) = matchers.iter().skip(1).find(|m| named && m.name == NAME) {
            let message = format!("metric name must not be set twice: {:?} or {:?}", matchers[0].value, twice.value);
            return Err(Wrong::syntax(token.start..self.closed, message));
        }
        let mut outside = Outside(named, 0);
        if !named && let Some(place) = matchers.iter().position(Matcher::is_metric) {
            matchers[..=place].rotate_right(1);
            outside.1 = place;
        }
        let (extent, computed) = (Extent::Within, Computed::default());
        self.selectors.push(Selector { matchers, range: 0, offset: 0, at: None, reach: 0, extent, outside, computed });
        Ok(Kind::Instant(self.selectors.len() - 1))
    }

    /// What follows `{`, up to and including `}`.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<(), Wrong> {
        const CONTEXT: &str = "label matching";
        while !self.eat(TokenKind::RightBrace) {
            let token = self.peek();
            let name = match token.kind {
                TokenKind::Text => self.quoted()?,
                TokenKind::Name => {
                    self.bump();
                    self.word(token).into()
                }
                _ => return Err(self.unexpected(CONTEXT, "identifier or \"}\"")),
            };
            let op = match self.kind() {
                TokenKind::Assign => MatchOp::Equal,
                TokenKind::Op(BinOp::NotEqual) => MatchOp::NotEqual,
                TokenKind::MatchRegex => MatchOp::Regex,
                TokenKind::NotMatchRegex => MatchOp::NotRegex,
                TokenKind::Comma | TokenKind::RightBrace if token.kind == TokenKind::Text => {
                    matchers.extend(Matcher::new(NAME, MatchOp::Equal, &name));
                    self.after_matcher()?;
                    continue;
                }
                _ if token.kind == TokenKind::Text => return Err(self.unexpected(CONTEXT, "\",\" or \"}\"")),
                _ => return Err(self.unexpected(CONTEXT, "label matching operator")),
            };
            self.bump();
            if self.kind() != TokenKind::Text {
                return Err(self.unexpected(CONTEXT, "string"));
            }
            let value = self.quoted()?;
            let Some(matcher) = Matcher::new(&name, op, &value) else {
                let message = format!("invalid or too large regular expression {value:?}");
                return Err(Wrong::syntax(token.start..self.closed, message));
            };
            matchers.push(matcher);
            self.after_matcher()?;
        }
        Ok(())
    }

    fn after_matcher(&mut self) -> Result<(), Wrong> {
        match self.kind() {
            TokenKind::RightBrace => Ok(()),
            _ => self.expect(TokenKind::Comma, "label matching", "\",\" or \"}\"").map(|_| ()),
        }
    }
}
