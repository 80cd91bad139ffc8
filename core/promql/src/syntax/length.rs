//! Durations and arithmetic on them, after `[`, `:` and `offset`.
use super::lex::{Keyword, TokenKind};
use super::literal::DURATION_MAX;
use super::parse::{Parser, Wrong};
use crate::Feature;
use crate::expr::{BinOp, Length, LengthKind, LengthOp, Literal};
use alloc::boxed::Box;
use core::ops::Range;

/// Where a duration stands, for the error when it is none.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) context: &'static str,
    pub(super) expected: &'static str,
}

impl Length {
    fn boxed(self) -> Box<Length> {
        Box::new(self)
    }

    /// The number of a bare literal, in s.
    pub(super) fn literal(&self) -> Option<f64> {
        match self.kind {
            LengthKind::Literal(number) => Some(number.value),
            _ => None,
        }
    }
}

fn new(kind: LengthKind, span: Range<usize>) -> Length {
    Length { kind, wrapped: false, span: span.into() }
}

/// Puts parentheses around a duration. A bare literal becomes arithmetic by that.
fn wrap(of: Length, span: Range<usize>) -> Length {
    match of.kind {
        LengthKind::Literal(_) => {
            Length { kind: LengthKind::Unary { minus: false, of: of.boxed() }, wrapped: true, span: span.into() }
        }
        _ => Length { wrapped: true, ..of },
    }
}

impl Parser<'_> {
    /// A duration after `[` or `:`, which must be positive where that is known already.
    pub(super) fn positive_length(&mut self, place: Place) -> Result<Length, Wrong> {
        let length = self.length(0, place)?;
        match length.literal() {
            Some(x) if x <= 0.0 => Err(Wrong::syntax(length.span, "duration must be greater than 0")),
            _ => Ok(length),
        }
    }

    /// A duration after `offset`: one operand, so that what follows it belongs to the selector's value; more only within
    /// parentheses or after them.
    pub(super) fn offset_length(&mut self, place: Place) -> Result<Length, Wrong> {
        let token = self.peek();
        let minus = match token.kind {
            TokenKind::Op(op @ (BinOp::Add | BinOp::Sub)) => op == BinOp::Sub,
            TokenKind::LeftParen => return self.length(0, place),
            _ => return self.length_operand(place),
        };
        if let TokenKind::Op(_) = self.kind_after() {
            // More than one operand only here, which is not printed as it is read without parentheses.
            let length = self.length(0, place)?;
            let wrapped =
                length.wrapped || matches!(length.kind, LengthKind::Binary { op: LengthOp::Arithmetic(_), .. });
            return Ok(Length { wrapped, ..length });
        }
        self.bump();
        let next = self.peek();
        match next.kind {
            TokenKind::LeftParen => {
                self.bump();
                let of = self.length(0, place)?;
                self.expect(TokenKind::RightParen, place.context, place.expected)?;
                let span = of.span.into();
                let of = wrap(of, span);
                Ok(if minus { self.negated(of, token.start) } else { of })
            }
            TokenKind::Keyword(Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf) => {
                let of = self.length_call(place)?;
                // What is refused is all of it, from its sign on.
                let span = token.start..self.closed;
                self.checked(match minus {
                    true => new(LengthKind::Unary { minus, of: of.boxed() }, span),
                    false => Length { span: span.into(), ..of },
                })
            }
            _ => {
                let of = self.length_operand(place)?;
                self.signed(minus, of, token.start)
            }
        }
    }

    /// Durations joined by operators that bind at least as tightly as `least`.
    fn length(&mut self, least: u8, place: Place) -> Result<Length, Wrong> {
        let mut left = self.deeper(|p| p.length_operand(place))?;
        loop {
            use BinOp::{Add, Div, Mod, Mul, Pow, Sub};
            let token = self.peek();
            let op = match token.kind {
                TokenKind::Op(op @ (Add | Sub | Mul | Div | Mod | Pow)) if op.precedence() >= least => op,
                _ => return Ok(left),
            };
            self.bump();
            let right = self.deeper(|p| p.length(op.precedence() + u8::from(op != Pow), place))?;
            self.computed(&left)?;
            if let (Div | Mod, Some(0.0)) = (op, right.literal()) {
                let message = if op == Div { "division by zero" } else { "modulo by zero" };
                return Err(Wrong::syntax(token.start..token.end, message));
            }
            let span = left.span.start as usize..right.span.end as usize;
            let op = LengthOp::Arithmetic(op);
            left = new(LengthKind::Binary { op, left: left.boxed(), right: right.boxed() }, span);
        }
    }

    fn length_operand(&mut self, place: Place) -> Result<Length, Wrong> {
        let token = self.peek();
        let start = token.start;
        match token.kind {
            TokenKind::Number | TokenKind::Duration => {
                let value = self.number()?;
                let number = Literal { value, duration: token.kind == TokenKind::Duration };
                in_range(new(LengthKind::Literal(number), start..token.end), start..token.end)
            }
            TokenKind::Op(op @ (BinOp::Add | BinOp::Sub)) => {
                self.bump();
                let of = self.deeper(|p| p.length(BinOp::Pow.precedence(), place))?;
                self.signed(op == BinOp::Sub, of, start)
            }
            TokenKind::LeftParen => {
                self.bump();
                let of = self.deeper(|p| p.length(0, place))?;
                self.expect(TokenKind::RightParen, place.context, place.expected)?;
                self.computed(&of)?;
                Ok(wrap(of, start..self.closed))
            }
            _ => {
                let length = self.length_call(place)?;
                self.checked(length)
            }
        }
    }

    /// `step()`, `range()`, `max_of(a, b)` or `min_of(a, b)`.
    fn length_call(&mut self, place: Place) -> Result<Length, Wrong> {
        let start = self.peek().start;
        match self.kind() {
            TokenKind::Keyword(keyword @ (Keyword::Step | Keyword::Range)) => {
                self.bump();
                self.expect(TokenKind::LeftParen, place.context, place.expected)?;
                self.expect(TokenKind::RightParen, place.context, place.expected)?;
                let kind = if keyword == Keyword::Step { LengthKind::Step } else { LengthKind::Range };
                Ok(new(kind, start..self.closed))
            }
            TokenKind::Keyword(keyword @ (Keyword::MaxOf | Keyword::MinOf)) => {
                self.bump();
                self.expect(TokenKind::LeftParen, place.context, place.expected)?;
                let left = self.deeper(|p| p.length(0, place))?.boxed();
                self.expect(TokenKind::Comma, place.context, place.expected)?;
                let right = self.deeper(|p| p.length(0, place))?.boxed();
                self.expect(TokenKind::RightParen, place.context, place.expected)?;
                let op = if keyword == Keyword::MaxOf { LengthOp::Max } else { LengthOp::Min };
                let span = left.span.start as usize..right.span.end as usize;
                Ok(new(LengthKind::Binary { op, left, right }, span))
            }
            _ => Err(self.unexpected(place.context, place.expected)),
        }
    }

    fn signed(&self, minus: bool, of: Length, start: usize) -> Result<Length, Wrong> {
        match of.kind {
            LengthKind::Literal(Literal { value, duration }) => {
                let value = if minus { -value } else { value };
                let span = start..of.span.end as usize;
                in_range(new(LengthKind::Literal(Literal { value, duration }), span), start..start + 1)
            }
            _ if minus => Ok(self.negated(of, start)),
            _ => Ok(of),
        }
    }

    fn negated(&self, of: Length, start: usize) -> Length {
        let span = start..of.span.end as usize;
        new(LengthKind::Unary { minus: true, of: of.boxed() }, span)
    }

    fn checked(&self, length: Length) -> Result<Length, Wrong> {
        self.computed(&length).map(|()| length)
    }

    /// Fails unless durations may be computed.
    fn computed(&self, at: &Length) -> Result<(), Wrong> {
        match self.features.has(Feature::DurationExpr) {
            true => Ok(()),
            false => Err(Wrong::syntax(at.span, "experimental duration expression is not enabled")),
        }
    }
}

/// Fails if a literal is longer than what nanoseconds in 64 bits can count.
fn in_range(length: Length, span: Range<usize>) -> Result<Length, Wrong> {
    match length.literal() {
        Some(x) if x.is_nan() || libm::fabs(x) > DURATION_MAX as f64 / 1000.0 => {
            Err(Wrong::syntax(span, "duration out of range"))
        }
        _ => Ok(length),
    }
}
