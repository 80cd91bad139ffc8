//! Index from label to series: which series carry `name="value"`.
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use faultline_model::Labels;
use faultline_promql::{MatchOp, Matcher};

/// Series ids by label name and value. Derived from the rows: never written, built again on restore.
#[derive(Debug, Default)]
pub struct Postings {
    names: BTreeMap<Box<str>, BTreeMap<Box<str>, BTreeSet<u32>>>,
}

impl Postings {
    /// Enters a series under each of its labels.
    pub fn insert(&mut self, id: u32, labels: &Labels) {
        for (name, value) in labels.iter() {
            // Looked up before it is entered: most names and values are there, and an entry would allocate its key.
            let values = match self.names.get_mut(name) {
                Some(values) => values,
                None => self.names.entry(name.into()).or_default(),
            };
            match values.get_mut(value) {
                Some(ids) => ids.insert(id),
                None => values.entry(value.into()).or_default().insert(id),
            };
        }
    }

    /// Takes a series out.
    pub fn remove(&mut self, id: u32, labels: &Labels) {
        for (name, value) in labels.iter() {
            let values = self.names.get_mut(name).expect("entered under this name");
            let ids = values.get_mut(value).expect("entered under this value");
            ids.remove(&id);
            if ids.is_empty() {
                values.remove(value);
            }
            if values.is_empty() {
                self.names.remove(name);
            }
        }
    }

    /// A small superset of the series that the matchers accept, in id order; nothing where every series may be one.
    ///
    /// The caller still asks each matcher: this only narrows by the one matcher that narrows most.
    pub fn candidates(&self, matchers: &[Matcher]) -> Option<Vec<u32>> {
        let empty = BTreeSet::new();
        let mut best: Option<&BTreeSet<u32>> = None;
        for matcher in matchers.iter().filter(|m| m.op == MatchOp::Equal && !m.value.is_empty()) {
            let ids = self.names.get(&*matcher.name).and_then(|values| values.get(&*matcher.value)).unwrap_or(&empty);
            if best.is_none_or(|best| ids.len() < best.len()) {
                best = Some(ids);
            }
        }
        if let Some(ids) = best {
            return Some(ids.iter().copied().collect());
        }
        // A matcher that refuses the empty value refuses every series without the label: its values are all there is.
        let regex = matchers.iter().find(|m| m.op == MatchOp::Regex && !m.matches(""))?;
        let mut ids = BTreeSet::new();
        for (value, posting) in self.names.get(&*regex.name).into_iter().flatten() {
            if regex.matches(value) {
                ids.extend(posting);
            }
        }
        Some(ids.into_iter().collect())
    }
}
