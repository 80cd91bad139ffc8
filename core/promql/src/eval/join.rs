//! Operators between two vectors: which elements belong together, and what comes of them.
use super::arith;
use super::names::{check_unique, is_mark, is_metadata, marked};
use crate::expr::{BinOp, Binary, Group, Literal, Matching, Span};
use crate::{Annotations, Element, EvalError};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::labels::NAME;
use faultline_model::{Labels, Number};

/// The labels by which elements of the two sides match.
pub(crate) fn signature(matching: &Matching, labels: &Labels) -> Labels {
    let named = |name: &str| matching.labels.iter().any(|l| l == name);
    match matching.on {
        true if matching.labels.is_empty() => Labels::default(),
        true => labels.filter(named),
        false => labels.filter(|name| name != NAME && !is_mark(name) && !named(name)),
    }
}

/// `and`, `or` and `unless`.
pub(super) fn combine(b: &Binary, mut left: Vec<Element>, right: Vec<Element>) -> Vec<Element> {
    let signatures = |elements: &[Element]| -> BTreeSet<Labels> {
        elements.iter().map(|e| signature(&b.matching, &e.labels)).collect()
    };
    match b.op {
        BinOp::Or => {
            let there = signatures(&left);
            left.extend(right.into_iter().filter(|e| !there.contains(&signature(&b.matching, &e.labels))));
        }
        op => {
            let there = signatures(&right);
            left.retain(|e| there.contains(&signature(&b.matching, &e.labels)) == (op == BinOp::And));
        }
    }
    left
}

/// Arithmetic and comparison between two vectors.
pub(super) fn join(
    b: &Binary,
    at: Span,
    left: Vec<Element>,
    right: Vec<Element>,
    delays_names: bool,
    notes: &mut Annotations,
) -> Result<Vec<Element>, EvalError> {
    if (left.is_empty() || right.is_empty()) && b.matching.fill.is_none() {
        return Ok(Vec::new());
    }
    let join = Join { op: b.op, bool: b.bool, matching: &b.matching, at, delays_names };
    let mut pairs: BTreeMap<Labels, Pair> = BTreeMap::new();
    for element in left {
        let labels = signature(&b.matching, &element.labels);
        pairs.entry(labels).or_default().left.push((element.labels, element.value));
    }
    for element in right {
        let labels = signature(&b.matching, &element.labels);
        pairs.entry(labels).or_default().right.push((element.labels, element.value));
    }
    let mut found = Vec::new();
    for (labels, pair) in &pairs {
        join.unique(labels, pair)?;
    }
    let mut said = Said { notes: notes.beside(), of: None };
    for (labels, pair) in &pairs {
        join.apply(labels, pair, &mut found, &mut said)?;
    }
    notes.merge(said.notes);
    if !delays_names && pairs.keys().any(|labels| join.loses_part_of(labels)) {
        check_unique(found.iter().map(|element| &element.labels))?;
    }
    Ok(found)
}

/// What is said of one of the elements that may be many: the last in label order of which there is anything to say, which is all
/// that Prometheus tells of one operation at one instant.
#[derive(Debug)]
pub(crate) struct Said {
    notes: Annotations,
    of: Option<Labels>,
}

impl Said {
    /// What nobody reads.
    pub(crate) fn muted() -> Said {
        Said { notes: Annotations::muted(), of: None }
    }

    fn say(&mut self, labels: &Labels, notes: Annotations) {
        if !notes.is_empty() && self.of.as_ref().is_none_or(|of| of < labels) {
            (self.notes, self.of) = (notes, Some(labels.clone()));
        }
    }
}

/// What a join does with the elements of one signature.
pub(crate) struct Join<'a> {
    pub(crate) op: BinOp,
    pub(crate) bool: bool,
    pub(crate) matching: &'a Matching,
    /// Where the operation stands.
    pub(crate) at: Span,
    /// Whether names that comparisons drop are dropped in the end only.
    pub(crate) delays_names: bool,
}

/// The elements of both sides that share a signature.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pair {
    pub(crate) left: Vec<(Labels, Number)>,
    pub(crate) right: Vec<(Labels, Number)>,
}

impl Join<'_> {
    /// Fails if the side that must have one element has several.
    pub(crate) fn unique(&self, signature: &Labels, pair: &Pair) -> Result<(), EvalError> {
        let (one, side) = match self.matching.group {
            Group::Right(_) => (&pair.left, "left"),
            Group::None | Group::Left(_) => (&pair.right, "right"),
        };
        if one.len() < 2 {
            return Ok(());
        }
        // The two that come first, whatever the order here.
        let mut named: Vec<&Labels> = one.iter().map(|(labels, _)| labels).collect();
        named.sort();
        let message = format!(
            "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];\
             many-to-many matching not allowed: matching labels must be unique on one side",
            braced(signature),
            braced(named[0]),
            braced(named[1]),
        );
        Err(EvalError::Matching { message })
    }

    /// Appends what comes of one signature; call [`Join::unique`] first.
    pub(crate) fn apply(
        &self,
        signature: &Labels,
        pair: &Pair,
        out: &mut Vec<Element>,
        said: &mut Said,
    ) -> Result<(), EvalError> {
        let swapped = matches!(self.matching.group, Group::Right(_));
        let (many, one) = if swapped { (&pair.right, &pair.left) } else { (&pair.left, &pair.right) };
        // As in Prometheus, `fill_right` stands for the side of one and `fill_left` for the side of many, even where
        // `group_right` has them the other way round.
        let filled = |fill: Option<Literal>| fill.map(|x| (signature.clone(), Number::Float(x.value)));
        let (mut one_filled, mut many_filled) = (None, None);
        if one.is_empty() && many.is_empty() {
            return Ok(());
        }
        if one.is_empty() {
            one_filled = filled(self.matching.fill.right);
        }
        if many.is_empty() {
            many_filled = filled(self.matching.fill.left);
        }
        let many = many_filled.as_ref().map_or(&many[..], core::slice::from_ref);
        let Some((one_labels, one_value)) = one.first().or(one_filled.as_ref()) else { return Ok(()) };
        let refused = |message: &str| Err(EvalError::Matching { message: message.into() });
        if self.matching.group == Group::None && many.len() > 1 {
            return refused(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            );
        }
        let mut results: BTreeSet<Labels> = BTreeSet::new();
        for (labels, value) in many {
            let (left, right) = if swapped { (one_value, value) } else { (value, one_value) };
            // A comparison lets the left value through.
            let mut notes = said.notes.beside();
            let found = arith::binary(self.op, left, right, self.at, &mut notes);
            said.say(labels, notes);
            let Some((value, kept)) = found else { continue };
            let value = if self.bool { Number::Float(f64::from(u8::from(kept))) } else { value };
            let emitted = kept || self.bool;
            if many.len() == 1 && !emitted {
                return Ok(());
            }
            let labels = self.labels(labels, one_labels);
            if many.len() > 1 && !results.insert(labels.clone()) {
                return refused("multiple matches for labels: grouping labels must ensure unique matches");
            }
            if emitted {
                out.push(Element { labels, value });
            }
        }
        Ok(())
    }

    /// What comes of two numbers; nothing where a comparison does not hold.
    #[inline]
    pub(super) fn number(&self, left: f64, right: f64) -> Option<f64> {
        match self.op.compares() && !self.bool {
            // A comparison lets the left value through.
            true => arith::holds(self.op, left, right).then_some(left),
            false => Some(arith::scalar(self.op, left, right)),
        }
    }

    /// Whether results have no longer the metric's name.
    pub(crate) fn drops_name(&self) -> bool {
        self.bool || !(self.op.compares() || self.op.trims())
    }

    /// Whether results of this signature may have the labels of those of another one, because names are part of it.
    pub(crate) fn loses_part_of(&self, signature: &Labels) -> bool {
        self.drops_name() && signature.iter().any(|(name, _)| is_metadata(name))
    }

    /// The labels of a result.
    pub(super) fn labels(&self, many: &Labels, one: &Labels) -> Labels {
        let delayed = self.delays_names && self.bool && self.op.compares();
        let drops_name = self.drops_name() && !delayed;
        let named = |name: &str| self.matching.labels.iter().any(|l| l == name);
        let kept = |name: &str| !(drops_name && is_metadata(name) || is_mark(name));
        let labels = match &self.matching.group {
            Group::None if self.matching.on => many.filter(|name| kept(name) && named(name)),
            Group::None => many.filter(|name| kept(name) && !named(name)),
            Group::Left(include) | Group::Right(include) if include.is_empty() => many.filter(kept),
            Group::Left(include) | Group::Right(include) => {
                let mut builder = many.filter(kept).to_builder();
                for name in include {
                    builder.set(name, one.get(name));
                }
                builder.build()
            }
        };
        if delayed { marked(&labels) } else { labels }
    }
}

/// Labels as Prometheus prints them in errors: the name as one of them.
pub(super) fn braced(labels: &Labels) -> String {
    let pairs: Vec<String> =
        labels.iter().filter(|(name, _)| !is_mark(name)).map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}
