//! The label index of what is in memory: posting lists by label name and value.
//!
//! Whoever reads takes what it needs a little at a time, and asks regular expressions in between, so that the writer
//! never waits for more than a page.
use super::matching::{Known, Plan};
use faultline_model::Labels;
use faultline_promql::Matcher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

/// Series or values handed out under one hold of the lock.
const PAGE: usize = 256;

/// Series by their labels.
#[derive(Default)]
pub struct Index {
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub struct Inner {
    by_labels: HashMap<Labels, u32>,
    /// The labels of each series; of none where the place is free.
    labels: Vec<Option<Labels>>,
    free: BTreeSet<u32>,
    names: BTreeMap<Arc<str>, BTreeMap<Arc<str>, BTreeSet<u32>>>,
    pairs: usize,
}

/// A series that matchers accept.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its labels.
    pub labels: Labels,
    /// Its place, for as long as it lives.
    pub place: u32,
}

impl Inner {
    /// Where a series is; with room for a new one it is entered, within `most`.
    pub fn intern(&mut self, labels: &Labels, most: usize) -> Option<u32> {
        if let Some(place) = self.by_labels.get(labels) {
            return Some(*place);
        }
        if self.by_labels.len() >= most {
            return None;
        }
        let place = self.free.pop_first().unwrap_or(self.labels.len() as u32);
        match self.labels.get_mut(place as usize) {
            Some(free) => *free = Some(labels.clone()),
            None => self.labels.push(Some(labels.clone())),
        }
        self.by_labels.insert(labels.clone(), place);
        for (name, value) in labels.iter() {
            // Looked up before it is entered: most names and values are there, and an entry would allocate its key.
            let values = match self.names.get_mut(name) {
                Some(values) => values,
                None => self.names.entry(name.into()).or_default(),
            };
            match values.get_mut(value) {
                Some(places) => {
                    places.insert(place);
                }
                None => {
                    values.insert(value.into(), BTreeSet::from([place]));
                    self.pairs += 1;
                }
            }
        }
        Some(place)
    }

    /// Forgets a series; its place may be given to another.
    pub fn remove(&mut self, place: u32) {
        let Some(labels) = self.labels[place as usize].take() else { return };
        self.by_labels.remove(&labels);
        self.free.insert(place);
        for (name, value) in labels.iter() {
            let values = self.names.get_mut(name).expect("entered under this name");
            let places = values.get_mut(value).expect("entered under this value");
            places.remove(&place);
            if places.is_empty() {
                values.remove(value);
                self.pairs -= 1;
            }
            if values.is_empty() {
                self.names.remove(name);
            }
        }
    }

    /// Whether a series that was found is still there.
    pub fn has(&self, found: &Found) -> bool {
        self.labels.get(found.place as usize).is_some_and(|labels| labels.as_ref() == Some(&found.labels))
    }

    /// Labels of the series at a place.
    pub fn labels(&self, place: u32) -> Option<&Labels> {
        self.labels.get(place as usize)?.as_ref()
    }

    fn list(&self, name: &str, value: &str) -> Option<&BTreeSet<u32>> {
        self.names.get(name)?.get(value)
    }

    fn found(&self, place: u32) -> Option<Found> {
        Some(Found { labels: self.labels.get(place as usize)?.clone()?, place })
    }
}

impl Index {
    /// For changes.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }

    /// The series that all matchers accept, in label order; nothing where they are more than `most`.
    pub fn find(&self, matchers: &[Matcher], most: usize) -> Option<Vec<Found>> {
        let plan = Plan::of(matchers, |name, value| self.lock().list(name, value).map_or(0, BTreeSet::len));
        let (mut known, mut found) = (Known::new(matchers), Vec::new());
        let mut take = |candidates: &mut Vec<Found>| {
            found.extend(candidates.drain(..).filter(|it: &Found| known.accept(&it.labels)));
            found.len() <= most
        };
        match plan {
            Plan::Value(name, value) => self.listed(name, value, &mut take),
            Plan::Values(matcher) => {
                for (value, _) in self.values(&matcher.name, |value| matcher.matches(value)) {
                    if !self.listed(&matcher.name, &value, &mut take) {
                        break;
                    }
                }
                true
            }
            Plan::All => self.all(&mut take),
        };
        if found.len() > most {
            return None;
        }
        found.sort_by(|a: &Found, b| a.labels.cmp(&b.labels));
        Some(found)
    }

    fn listed(&self, name: &str, value: &str, take: &mut dyn FnMut(&mut Vec<Found>) -> bool) -> bool {
        let (mut from, mut page) = (0, Vec::with_capacity(PAGE));
        loop {
            let inner = self.lock();
            let Some(places) = inner.list(name, value) else { return true };
            page.extend(places.range(from..).take(PAGE).filter_map(|place| inner.found(*place)));
            drop(inner);
            let Some(last) = page.last().map(|it: &Found| it.place) else { return true };
            from = last + 1;
            if !take(&mut page) {
                return false;
            }
        }
    }

    fn all(&self, take: &mut dyn FnMut(&mut Vec<Found>) -> bool) -> bool {
        let (mut from, mut page) = (0, Vec::with_capacity(PAGE));
        loop {
            let inner = self.lock();
            let end = inner.labels.len().min(from + PAGE);
            page.extend((from..end).filter_map(|place| inner.found(place as u32)));
            let over = end == inner.labels.len();
            drop(inner);
            from = end;
            if !take(&mut page) {
                return false;
            }
            if over {
                return true;
            }
        }
    }

    /// The values of a label that are wanted, in order, and how many series each has.
    pub fn values(&self, name: &str, mut wanted: impl FnMut(&str) -> bool) -> Vec<(Arc<str>, usize)> {
        let (mut all, mut page) = (Vec::new(), Vec::with_capacity(PAGE));
        let mut after: Option<Arc<str>> = None;
        loop {
            let inner = self.lock();
            let Some(values) = inner.names.get(name) else { return all };
            let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let part = values.range::<str, _>((start, Bound::Unbounded)).take(PAGE);
            page.extend(part.map(|(value, places)| (value.clone(), places.len())));
            drop(inner);
            let Some((last, _)) = page.last() else { return all };
            after = Some(last.clone());
            all.extend(page.drain(..).filter(|(value, _)| wanted(value)));
        }
    }

    /// The names of all labels, in order, with the number of values of each.
    pub fn names(&self) -> Vec<(String, usize)> {
        self.lock().names.iter().map(|(name, values)| (name.to_string(), values.len())).collect()
    }

    /// How many series there are, and how many different pairs of name and value.
    pub fn size(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.by_labels.len(), inner.pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_promql::MatchOp;

    #[test]
    fn places_are_given_again_and_lists_follow() {
        let index = Index::default();
        let labels = |n: u32| Labels::new([("__name__", "m".to_owned()), ("n", n.to_string())]);
        let entered: Vec<_> = (0..600).map(|n| index.lock().intern(&labels(n), 600)).collect();
        assert_eq!(entered, (0..600).map(Some).collect::<Vec<_>>());
        assert_eq!(index.lock().intern(&labels(5), 600), Some(5));
        assert_eq!(index.lock().intern(&labels(600), 600), None);
        (100..500).for_each(|place| index.lock().remove(place));
        index.lock().remove(100);
        assert_eq!(index.lock().intern(&labels(900), 600), Some(100));
        let find = |op, value: &str| {
            let matcher = Matcher::new("n", op, value).unwrap();
            index.find(&[matcher], 600).unwrap().iter().map(|it| it.place).collect::<Vec<_>>()
        };
        assert_eq!((find(MatchOp::Equal, "900"), find(MatchOp::Equal, "101")), (vec![100], vec![]));
        assert_eq!((find(MatchOp::Regex, "9.0").len(), find(MatchOp::NotEqual, "1").len()), (1, 200));
        assert!(index.find(&[], 200).is_none() && index.find(&[], 201).is_some());
        assert_eq!((index.names().len(), index.size()), (2, (201, 202)));
    }
}
