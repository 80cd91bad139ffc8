//! Steps on single elements, above something that is no selector.
use super::{Delta, timed};
use crate::eval::{Step, Template, apply, without_metadata};
use crate::{Annotations, Element, EvalError, Options};
use alloc::borrow::Cow;
use alloc::vec::Vec;
use faultline_model::labels::NAME;
use faultline_model::table::Kept;
use faultline_model::{Labels, Millis, Number};

/// Steps, resolved once where they do not depend on the instant.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    templates: Vec<Template>,
    fixed: Option<Vec<Step>>,
}

impl Steps {
    pub(super) fn new(templates: Vec<Template>) -> Steps {
        let fixed = templates.iter().all(|t| t.is_fixed()).then(|| {
            let resolved = templates.iter().map(|t| t.resolve(0.0, |_| Err(())));
            resolved.collect::<Result<_, ()>>().unwrap_or_default()
        });
        Steps { templates, fixed }
    }

    /// The steps, where they are the same at every instant.
    pub(super) fn fixed(&self) -> Option<&[Step]> {
        self.fixed.as_deref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    pub(super) fn drops_name(&self) -> bool {
        self.templates.iter().any(Template::drops_name)
    }

    /// The steps at an instant.
    pub(super) fn at(&self, at: Millis, options: &Options) -> Result<Cow<'_, [Step]>, EvalError> {
        if let Some(fixed) = &self.fixed {
            return Ok(Cow::Borrowed(fixed));
        }
        let seconds = crate::range::seconds(at);
        let resolved = self.templates.iter().map(|t| t.resolve(seconds, |node| timed(node, at, options)));
        Ok(Cow::Owned(resolved.collect::<Result<_, _>>()?))
    }
}

/// The labels of an element without the metric's name.
///
/// Fails where that takes `__type__` or `__unit__` away: elements that differ by these alone would become one.
pub(super) fn nameless(labels: &Labels) -> Result<Labels, EvalError> {
    match without_metadata(labels) {
        None => Ok(labels.clone()),
        Some(found) if found.len() + usize::from(!labels.get(NAME).is_empty()) == labels.len() => Ok(found),
        Some(_) => Err(loses_metadata()),
    }
}

/// Elements that differ by what is dropped would become one.
pub(super) fn loses_metadata() -> EvalError {
    let message = "a stream cannot drop the labels __type__ and __unit__: evaluate on the grid".into();
    EvalError::Parameter { message }
}

#[derive(Clone, Debug)]
pub(super) struct Map {
    steps: Steps,
    held: Kept<Labels, Number>,
}

impl Map {
    pub(super) fn new(steps: Steps) -> Map {
        Map { steps, held: Kept::default() }
    }

    /// Whether what it gives hangs on the instant beside its inputs.
    pub(super) fn is_timed(&self) -> bool {
        self.steps.fixed().is_none()
    }

    pub(super) fn drops_name(&self) -> bool {
        self.steps.drops_name()
    }

    /// The steps, where they are the same at every instant and throw something away.
    pub(super) fn filters(&self) -> Option<&[Step]> {
        self.steps.fixed().filter(|steps| steps.iter().any(|step| matches!(step, Step::Filter { .. })))
    }

    pub(super) fn feed(
        &mut self,
        deltas: &[Delta],
        at: Millis,
        options: &Options,
        out: &mut Vec<Delta>,
    ) -> Result<(), EvalError> {
        let steps = self.steps.at(at, options)?;
        let drops_name = self.steps.drops_name();
        let mut notes = Annotations::muted();
        for delta in deltas {
            let labels = if drops_name { nameless(&delta.labels)? } else { delta.labels.clone() };
            let new =
                delta.new.clone().and_then(|x| steps.iter().try_fold(x, |x, step| step.apply_number(x, &mut notes)));
            let Some(delta) = Delta::between(&labels, self.held.get(&labels).cloned(), new) else { continue };
            match &delta.new {
                Some(x) => self.held.insert(labels, x.clone()),
                None => self.held.remove(&labels),
            };
            out.push(delta);
        }
        Ok(())
    }

    pub(super) fn rebuild(&mut self, inputs: Vec<Element>, at: Millis, options: &Options) -> Result<(), EvalError> {
        let elements = apply(inputs, &self.steps.at(at, options)?, false, &mut Annotations::muted())?;
        self.held.replace(elements.into_iter().map(|e| (e.labels, e.value.canonical())).collect());
        Ok(())
    }

    pub(super) fn output(&self) -> Vec<Element> {
        self.held.iter().map(|(labels, value)| Element { labels: labels.clone(), value: value.clone() }).collect()
    }

    /// What it holds, which depends on when it was fed.
    pub(super) fn held(&self) -> &Kept<Labels, Number> {
        &self.held
    }

    pub(super) fn held_mut(&mut self) -> &mut Kept<Labels, Number> {
        &mut self.held
    }
}
