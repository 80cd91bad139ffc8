//! Ranges, subqueries, offsets, `@`, `anchored` and `smoothed`: the parts of the grammar that say when.
use super::length::Place;
use super::lex::{Keyword, TokenKind};
use super::parse::{Parser, Wrong};
use crate::expr::{At, BinOp, Computed, Extent, Kind, Length, Node, Selector, Subquery};
use crate::{Feature, bind};
use alloc::boxed::Box;
use alloc::format;
use core::ops::Range;
use faultline_model::Millis;

/// The offset and the `@` of a selector or a subquery.
struct When<'a> {
    offset: &'a mut i64,
    computed: &'a mut Option<Box<Length>>,
    at: &'a mut Option<At>,
}

impl Parser<'_> {
    /// `[range]` or `[range:step]` after `node`.
    pub(super) fn brackets(&mut self, node: Node) -> Result<Kind, Wrong> {
        let open = self.bump();
        let place = Place { context: "subquery or range selector", expected: "number, duration, step(), or range()" };
        let range = self.positive_length(place)?;
        let range = fixed(range)?;
        if self.eat(TokenKind::Colon) {
            let expected = "number, duration, step(), range(), or \"]\"";
            let step = match self.kind() {
                TokenKind::RightBracket => None,
                _ => Some(fixed(self.positive_length(Place { context: "subquery selector", expected })?)?),
            };
            self.expect(TokenKind::RightBracket, "subquery selector", "\"]\"")?;
            let (range, computed_range) = range;
            let (step, computed_step) = step.map_or((None, None), |(step, computed)| (Some(step), computed));
            let computed = Computed { range: computed_range, step: computed_step, offset: None };
            return Ok(Kind::Subquery(Box::new(Subquery { of: node, range, step, offset: 0, at: None, computed })));
        }
        self.expect(TokenKind::RightBracket, "subquery or range", "\":\" or \"]\"")?;
        let selector = match node.kind {
            Kind::Instant(index) => Some((index, &mut self.selectors[index])),
            _ => None,
        };
        let message = match selector {
            Some((index, selector @ Selector { offset: 0, at: None, computed: Computed { offset: None, .. }, .. })) => {
                (selector.range, selector.computed.range) = range;
                return Ok(Kind::Range(index));
            }
            None => "ranges only allowed for vector selectors",
            Some((_, Selector { at: None, .. })) => "no offset modifiers allowed before range",
            Some(_) => "no @ modifiers allowed before range",
        };
        Err(Wrong::syntax(open.start..self.closed, message))
    }

    /// `offset 5m` after `node`.
    pub(super) fn offset(&mut self, node: &mut Node) -> Result<(), Wrong> {
        self.bump();
        let place = Place { context: "offset", expected: "number, duration, step(), or range()" };
        let length = self.offset_length(place)?;
        let span: Range<usize> = node.span.into();
        let (ms, computed) = fixed(length)?;
        let Some(when) = self.when(node) else {
            let allowed = "an instant vector selector or range vector selector or a subquery";
            return Err(Wrong::syntax(span, format!("offset modifier must be preceded by {allowed}")));
        };
        if *when.offset != 0 || when.computed.is_some() {
            return Err(Wrong::syntax(span, "offset may not be set multiple times"));
        }
        (*when.offset, *when.computed) = (ms, computed);
        Ok(())
    }

    /// `anchored` or `smoothed` after `node`.
    pub(super) fn extent(&mut self, node: &Node) -> Result<(), Wrong> {
        let anchored = self.bump().kind == TokenKind::Keyword(Keyword::Anchored);
        let (name, extent) = if anchored { ("anchored", Extent::Anchored) } else { ("smoothed", Extent::Smoothed) };
        let refused = |message| Err(Wrong::syntax(node.span, message));
        if !self.features.has(Feature::ExtendedRangeSelectors) {
            return refused(format!("{name} modifier is experimental and not enabled"));
        }
        match node.kind {
            Kind::Instant(index) | Kind::Range(index) => {
                let held = &mut self.selectors[index].extent;
                if *held != Extent::Within && *held != extent {
                    return refused("anchored and smoothed modifiers cannot be used together".into());
                }
                *held = extent;
                Ok(())
            }
            Kind::Subquery(_) => refused(format!("{name} modifier is not supported for subqueries")),
            _ => refused(format!("{name} modifier not implemented")),
        }
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
            return Err(Wrong::syntax(span, format!("@ modifier must be preceded by {allowed}")));
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
            let message = format!("timestamp out of bounds for @ modifier: {}", fixed_point(seconds));
            return Err(Wrong::syntax(span.clone(), message));
        }
        Ok(Millis(ms as i64))
    }

    fn when<'a>(&'a mut self, node: &'a mut Node) -> Option<When<'a>> {
        match &mut node.kind {
            Kind::Instant(index) | Kind::Range(index) => {
                let Selector { offset, at, computed, .. } = &mut self.selectors[*index];
                Some(When { offset, computed: &mut computed.offset, at })
            }
            Kind::Subquery(subquery) => {
                let Subquery { offset, at, computed, .. } = &mut **subquery;
                Some(When { offset, computed: &mut computed.offset, at })
            }
            _ => None,
        }
    }
}

/// A duration in ms, which is 0 as long as it has to be computed.
fn fixed(length: Length) -> Result<(i64, Option<Box<Length>>), Wrong> {
    let Some(seconds) = length.literal() else { return Ok((0, Some(Box::new(length)))) };
    // Prometheus counts nanoseconds, and cuts them to milliseconds where it compares times.
    let nanoseconds = libm::round(seconds * 1e9);
    let ms = bind::millis(nanoseconds / 1e6);
    if ms == 0 && nanoseconds != 0.0 {
        return Err(Wrong::unsupported(length.span, "durations below a millisecond are"));
    }
    Ok((ms, None))
}

/// A number as Go's `%f` prints it.
fn fixed_point(x: f64) -> alloc::string::String {
    match x {
        x if x.is_nan() => "NaN".into(),
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        x => format!("{x:.6}"),
    }
}
