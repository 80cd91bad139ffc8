//! Histograms in series: `{{schema:1 count:3 sum:5 buckets:[1 2]}}x4`.
use super::{Entry, NotationError, refused, signed, times};
use crate::histogram::Sum;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::Histogram;
use faultline_model::histogram::{BUCKETS_MAX, Buckets, HistogramError, ResetHint};

/// Appends what one item stands for: a histogram, repeated, or with another one added or taken away step by step.
pub(super) fn item(word: &str, all: &mut Vec<Entry>) -> Result<(), NotationError> {
    let (first, mut hint_given, rest) = histogram(word)?;
    let mut now = Arc::new(first);
    let Some(sign) = rest.chars().next() else {
        all.push(Entry::Histogram { histogram: now, hint_given });
        return Ok(());
    };
    let mut step = None;
    let count = if sign == 'x' {
        times(&rest[1..])?
    } else {
        let (other, given, rest) = match sign {
            '+' | '-' => histogram(&rest[1..])?,
            _ => return refused(format!("{rest:?} is not what may follow a histogram")),
        };
        hint_given = given;
        step = Some(other);
        match rest.strip_prefix('x') {
            Some(count) => times(count)?,
            None => return refused(format!("{word:?} does not say how often")),
        }
    };
    for i in 0..=count {
        if i > 0
            && let Some(step) = &step
        {
            if now.schema > step.schema {
                return refused(format!("cannot merge from schema {} to {}", step.schema, now.schema));
            }
            let mut sum = Sum::of(&now);
            let done = if sign == '+' { sum.add(step) } else { sum.sub(step) };
            if done.is_err() {
                return refused("histograms with and without custom buckets have no sum");
            }
            now = Arc::new(sum.value());
        }
        all.push(Entry::Histogram { histogram: Arc::clone(&now), hint_given });
    }
    Ok(())
}

/// A histogram, whether its hint is written, and what follows it.
fn histogram(text: &str) -> Result<(Histogram, bool, &str), NotationError> {
    let Some((inside, rest)) = text.strip_prefix("{{").and_then(|inside| inside.split_once("}}")) else {
        return refused(format!("{text:?} is not a histogram"));
    };
    let mut all = Histogram::default();
    let (mut buckets, mut n_buckets) = (Vec::new(), Vec::new());
    let (mut offset, mut n_offset) = (0, 0);
    let mut seen = Vec::new();
    let mut left = inside.trim();
    while !left.is_empty() {
        let Some((key, value)) = left.split_once(':') else {
            return refused(format!("{left:?} is not a part of a histogram"));
        };
        let end = match value.strip_prefix('[') {
            Some(list) => list.find(']').map(|end| end + 2),
            None => Some(value.find([' ', '\t']).unwrap_or(value.len())),
        };
        let Some(end) = end else { return refused(format!("{value:?} does not end")) };
        let (value, behind) = value.split_at(end);
        left = behind.trim_start();
        if seen.contains(&key) {
            return refused(format!("duplicate key {key:?} in histogram"));
        }
        seen.push(key);
        match key {
            "schema" => all.schema = whole(value)?.try_into().unwrap_or(i8::MAX),
            "sum" => all.sum = signed(value)?,
            "count" => all.count = signed(value)?,
            "z_bucket" => all.zero_count = signed(value)?,
            "z_bucket_w" => all.zero_threshold = signed(value)?,
            "custom_values" => all.bounds = list(value)?.into(),
            "buckets" => buckets = list(value)?,
            "offset" => offset = whole(value)?,
            "n_buckets" => n_buckets = list(value)?,
            "n_offset" => n_offset = whole(value)?,
            "counter_reset_hint" => all.hint = hint(value)?,
            _ => return refused(format!("{key:?} is no key of a histogram")),
        }
    }
    all.positive = side(&buckets, offset)?;
    all.negative = side(&n_buckets, n_offset)?;
    match all.validate() {
        // Results may well be negative.
        Ok(()) | Err(HistogramError::NegativeCount) => {
            Ok((all.canonical(), seen.contains(&"counter_reset_hint"), rest))
        }
        Err(error) => refused(format!("{text}: {error}")),
    }
}

fn whole(text: &str) -> Result<i32, NotationError> {
    text.parse().map_or_else(|_| refused(format!("{text:?} is not a whole number")), Ok)
}

fn list(text: &str) -> Result<Vec<f64>, NotationError> {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inside) => inside.split_whitespace().map(signed).collect(),
        None => refused(format!("{text:?} is not a list of numbers")),
    }
}

fn hint(text: &str) -> Result<ResetHint, NotationError> {
    Ok(match text {
        "unknown" => ResetHint::Unknown,
        "reset" => ResetHint::Reset,
        "not_reset" => ResetHint::NotReset,
        "gauge" => ResetHint::Gauge,
        _ => return refused(format!("{text:?} is no counter_reset_hint")),
    })
}

fn side(counts: &[f64], offset: i32) -> Result<Buckets, NotationError> {
    let reach = Buckets::INDEX_MAX - BUCKETS_MAX as i32;
    if counts.len() > BUCKETS_MAX || !(-reach..=reach).contains(&offset) {
        return refused("more buckets, or further away, than a histogram may have");
    }
    Ok(Buckets::new((offset..).zip(counts.iter().copied())))
}
