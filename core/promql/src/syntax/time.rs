//! Ranges, subqueries, offsets and `@`: the parts of the grammar that say when.
use super::lex::{Keyword, TokenKind};
use super::literal::DURATION_MAX;
use super::parse::{Parser, Wrong};
use crate::expr::{At, BinOp, Kind, Node, Selector, Subquery};
use alloc::boxed::Box;
use core::ops::Range;
use faultline_model::Millis;

/// The offset and the `@` of a selector or a subquery.
struct When<'a> {
    offset: &'a mut i64,
    at: &'a mut Option<At>,
}

impl Parser<'_> {
    /// `[range]` or `[range:step]` after `node`.
    pub(super) fn brackets(&mut self, node: Node) -> Result<Kind, Wrong> {
        const CONTEXT: &str = "subquery or range selector";
        let open = self.bump();
        let range = self.length(CONTEXT, "number, duration, step(), or range()")?;
        if self.eat(TokenKind::Colon) {
            let step = match self.kind() {
                TokenKind::RightBracket => None,
                _ => Some(self.length("subquery selector", "number, duration, step(), range(), or \"]\"")?),
            };
            self.expect(TokenKind::RightBracket, "subquery selector", "\"]\"")?;
            return Ok(Kind::Subquery(Box::new(Subquery { of: node, range, step, offset: 0, at: None })));
        }
        self.expect(TokenKind::RightBracket, "subquery or range", "\":\" or \"]\"")?;
        let selector = match node.kind {
            Kind::Instant(index) => Some((index, &mut self.selectors[index])),
            _ => None,
        };
        let message = match selector {
            Some((index, selector @ Selector { offset: 0, at: None, .. })) => {
                selector.range = range;
                return Ok(Kind::Range(index));
            }
            None => "ranges only allowed for vector selectors",
            Some((_, Selector { at: None, .. })) => "no offset modifiers allowed before range",
            Some(_) => "no @ modifiers allowed before range",
        };
        Err(Wrong::syntax(open.start..self.closed, message))
    }

    /// A length of time in ms, `> 0`.
    fn length(&mut self, context: &str, expected: &str) -> Result<i64, Wrong> {
        let start = self.peek().start;
        let ms = self.time(context, expected)?;
        let span = start..self.closed;
        // Arithmetic between lengths is an experiment of Prometheus'.
        if let TokenKind::Op(_) | TokenKind::LeftParen = self.kind() {
            return Err(self.computed());
        }
        match ms {
            Some(ms) if ms > 0 => Ok(ms),
            Some(_) => Err(Wrong::syntax(span, "duration must be greater than 0")),
            None => Err(Wrong::unsupported(span, "durations below a millisecond are")),
        }
    }

    /// A number of seconds or a duration, in ms; `None` of one that is not 0 but rounds to it.
    fn time(&mut self, context: &str, expected: &str) -> Result<Option<i64>, Wrong> {
        let start = self.peek().start;
        let minus = match self.kind() {
            TokenKind::Op(op @ (BinOp::Add | BinOp::Sub)) => {
                self.bump();
                op == BinOp::Sub
            }
            _ => false,
        };
        match self.kind() {
            TokenKind::Number | TokenKind::Duration => {}
            TokenKind::LeftParen
            | TokenKind::Keyword(Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf) => {
                return Err(self.computed());
            }
            _ => return Err(self.unexpected(context, expected)),
        }
        let seconds = self.number()?;
        // Prometheus counts nanoseconds, and cuts them to milliseconds where it compares times.
        let nanoseconds = libm::round(seconds * 1e9);
        if nanoseconds.is_nan() || libm::fabs(nanoseconds) > DURATION_MAX as f64 * 1e6 {
            return Err(Wrong::syntax(start..self.closed, "duration out of range"));
        }
        let ms = nanoseconds as i64 / 1_000_000;
        let ms = if minus { -ms } else { ms };
        Ok((ms != 0 || nanoseconds == 0.0).then_some(ms))
    }

    fn computed(&self) -> Wrong {
        let token = self.peek();
        Wrong::unsupported(token.start..token.end, "duration expressions are")
    }

    /// `offset 5m` after `node`.
    pub(super) fn offset(&mut self, node: &mut Node) -> Result<(), Wrong> {
        self.bump();
        let start = self.peek().start;
        let time = self.time("offset", "number, duration, step(), or range()")?;
        let span: Range<usize> = node.span.into();
        let ms = time.ok_or_else(|| Wrong::unsupported(start..self.closed, "durations below a millisecond are"))?;
        let Some(when) = self.when(node) else {
            let allowed = "an instant vector selector or range vector selector or a subquery";
            return Err(Wrong::syntax(span, alloc::format!("offset modifier must be preceded by {allowed}")));
        };
        if *when.offset != 0 {
            return Err(Wrong::syntax(span, "offset may not be set multiple times"));
        }
        *when.offset = ms;
        Ok(())
    }

    /// `@ 1609746000`, `@ start()` or `@ end()` after `node`.
    pub(super) fn at_modifier(&mut self, node: &mut Node) -> Result<(), Wrong> {
        self.bump();
        let span: Range<usize> = node.span.into();
        let at = match self.kind() {
            TokenKind::Keyword(keyword @ (Keyword::Start | Keyword::End)) => {
                self.bump();
                self.expect(TokenKind::LeftParen, "@", "timestamp")?;
                self.expect(TokenKind::RightParen, "@", "timestamp")?;
                if keyword == Keyword::Start { At::Start } else { At::End }
            }
            _ => At::Time(self.timestamp(&span)?),
        };
        let Some(when) = self.when(node) else {
            let allowed = "an instant vector selector or range vector selector or a subquery";
            return Err(Wrong::syntax(span, alloc::format!("@ modifier must be preceded by {allowed}")));
        };
        if when.at.is_some() {
            return Err(Wrong::syntax(span, "@ <timestamp> may not be set multiple times"));
        }
        *when.at = Some(at);
        Ok(())
    }

    /// Signed seconds since 1970.
    fn timestamp(&mut self, span: &Range<usize>) -> Result<Millis, Wrong> {
        let minus = self.kind() == TokenKind::Op(BinOp::Sub);
        if let TokenKind::Op(BinOp::Add | BinOp::Sub) = self.kind() {
            self.bump();
        }
        if !matches!(self.kind(), TokenKind::Number | TokenKind::Duration) {
            return Err(self.unexpected("@", "timestamp"));
        }
        let seconds = self.number()? * if minus { -1.0 } else { 1.0 };
        let ms = libm::round(seconds * 1000.0);
        // Half of what 64 bits hold: sums with any offset stay within.
        if ms.is_nan() || libm::fabs(ms) >= (i64::MAX / 2) as f64 {
            let message = alloc::format!("timestamp out of bounds for @ modifier: {seconds}");
            return Err(Wrong::syntax(span.clone(), message));
        }
        Ok(Millis(ms as i64))
    }

    fn when<'a>(&'a mut self, node: &'a mut Node) -> Option<When<'a>> {
        match &mut node.kind {
            Kind::Instant(index) | Kind::Range(index) => {
                let Selector { offset, at, .. } = &mut self.selectors[*index];
                Some(When { offset, at })
            }
            Kind::Subquery(subquery) => Some(When { offset: &mut subquery.offset, at: &mut subquery.at }),
            _ => None,
        }
    }
}
