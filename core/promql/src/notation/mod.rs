//! Series as Prometheus' conformance scripts and promtool's unit tests write them: `up{job="a"} 0 1+1x3 _ stale {{schema:1 buckets:[2 3]}}`.
//!
//! Source: `series_description` of Prometheus 3.15's grammar. Format:
//! <https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/#series>
mod histogram;

use crate::MatchOp;
use crate::syntax::{number, parse};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::{Histogram, Labels};

/// Most entries of a series.
pub const ENTRIES_MAX: usize = 1_000_000;

/// What a series holds at a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Nothing.
    Missing,
    /// A stale marker.
    Stale,
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram {
        /// What it is.
        histogram: Arc<Histogram>,
        /// Whether its reset hint was written, and so is one that is asked for.
        hint_given: bool,
    },
}

/// Why a text is no series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotationError {
    message: String,
}

fn refused<T>(message: impl Into<String>) -> Result<T, NotationError> {
    Err(NotationError { message: message.into() })
}

/// The labels of a series and what it holds, step by step.
pub fn series(text: &str) -> Result<(Labels, Vec<Entry>), NotationError> {
    let (name, entries) = split(text);
    Ok((labels(name)?, self::entries(entries)?))
}

/// A label set, as in `up{job="a"}`.
pub fn labels(text: &str) -> Result<Labels, NotationError> {
    if text.trim() == "{}" {
        return Ok(Labels::default());
    }
    let expr = parse(text).map_err(|error| NotationError { message: format!("{text}: {error}") })?;
    match expr.selectors() {
        [only] if only.matchers.iter().all(|m| m.op == MatchOp::Equal) && expr.is_instant_selector() => {
            Ok(Labels::new(only.matchers.iter().map(|m| (&m.name, &m.value))))
        }
        _ => refused(format!("{text}: not the labels of a series")),
    }
}

/// Splits a series into its labels and the rest.
fn split(text: &str) -> (&str, &str) {
    let (mut quote, mut depth, mut escaped) = (None, 0, false);
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') => depth -= 1,
            (None, ' ' | '\t') if depth == 0 => {
                let rest = text[i..].trim_start();
                // Labels may stand behind the name at a distance; `{{` opens a histogram.
                if !rest.starts_with('{') || rest.starts_with("{{") {
                    return (&text[..i], rest);
                }
            }
            _ => {}
        }
    }
    (text, "")
}

/// What a series holds, step by step.
pub fn entries(text: &str) -> Result<Vec<Entry>, NotationError> {
    let mut all = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let mut depth = 0;
        let end = rest.char_indices().find(|(_, c)| {
            depth += i32::from(matches!(c, '{' | '[')) - i32::from(matches!(c, '}' | ']'));
            depth <= 0 && matches!(c, ' ' | '\t')
        });
        let (word, left) = rest.split_at(end.map_or(rest.len(), |(i, _)| i));
        rest = left.trim_start();
        item(word, &mut all)?;
        if all.len() > ENTRIES_MAX {
            return refused(format!("more than {ENTRIES_MAX} values"));
        }
    }
    Ok(all)
}

/// How often something is repeated: `x3` at the end of an item.
fn times(text: &str) -> Result<usize, NotationError> {
    let count = text.parse::<usize>().ok().filter(|count| *count <= ENTRIES_MAX);
    count.map_or_else(|| refused(format!("{text:?} is not how often a value is repeated")), Ok)
}

/// Appends what one item stands for.
fn item(word: &str, all: &mut Vec<Entry>) -> Result<(), NotationError> {
    if word.starts_with("{{") {
        return histogram::item(word, all);
    }
    let (value, repeats) = match word.rsplit_once('x') {
        // No number is hexadecimal here: `0x3` is four times 0.
        Some((value, count)) => (value, Some(times(count)?)),
        None => (word, None),
    };
    let count = repeats.unwrap_or(0);
    match value {
        "_" => all.extend(core::iter::repeat_n(Entry::Missing, repeats.unwrap_or(1))),
        // One more, for the step at 0.
        "stale" => all.extend(core::iter::repeat_n(Entry::Stale, count + 1)),
        value => {
            let signs = value.char_indices().skip(1);
            let sign = signs.filter(|(i, c)| matches!(c, '+' | '-') && !exponent(&value[..*i])).map(|(i, _)| i).last();
            let (first, step) = match sign {
                Some(at) if repeats.is_some() => (signed(&value[..at])?, signed(&value[at..])?),
                Some(_) => return refused(format!("{word:?} is not a value")),
                None => (signed(value)?, 0.0),
            };
            let mut x = first;
            for i in 0..=count {
                // As Prometheus does: by repeated addition.
                x += if i > 0 { step } else { 0.0 };
                all.push(Entry::Float(x));
            }
        }
    }
    Ok(())
}

/// Whether a sign behind this belongs to an exponent.
fn exponent(before: &str) -> bool {
    let before = before.trim_start_matches(['+', '-']);
    before.ends_with(['e', 'E']) && before.starts_with(|c: char| c.is_ascii_digit() || c == '.')
}

/// A number with or without a sign.
fn signed(text: &str) -> Result<f64, NotationError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    match number(digits) {
        Some(x) => Ok(if negative { -x } else { x }),
        None => refused(format!("{text:?} is not a number")),
    }
}

#[cfg(test)]
mod tests;
