//! A map within a row of a table: frozen with the row, it keeps what its entries were, one by one, as they change.
use alloc::collections::BTreeMap;
use core::ops::Deref;

/// Which state of a map is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// What it holds.
    Now,
    /// What it held when it was frozen.
    Frozen,
}

/// A map that can be written as it was when it was frozen. Freezing costs nothing; after it the first change of an entry
/// costs a copy of that entry, whatever the map holds beside.
#[derive(Debug)]
pub struct Kept<K, V> {
    map: BTreeMap<K, V>,
    was: Was<K, V>,
}

/// The value of an entry that may be changed.
#[derive(Debug)]
pub struct KeptEntry<'a, K, V> {
    key: &'a K,
    value: &'a mut V,
    was: &'a mut Was<K, V>,
}

/// What a map was.
#[derive(Debug)]
enum Was<K, V> {
    /// It is not frozen.
    Loose,
    /// What it is, but for these; nothing where there was no entry.
    Changed { len: usize, entries: BTreeMap<K, Option<V>> },
    /// Another map took its place.
    Whole(BTreeMap<K, V>),
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        BTreeMap::new().into()
    }
}

impl<K, V> From<BTreeMap<K, V>> for Kept<K, V> {
    fn from(map: BTreeMap<K, V>) -> Self {
        Kept { map, was: Was::Loose }
    }
}

/// A copy of what it holds now, not frozen.
impl<K: Clone, V: Clone> Clone for Kept<K, V> {
    fn clone(&self) -> Self {
        self.map.clone().into()
    }
}

impl<K, V> Deref for Kept<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &BTreeMap<K, V> {
        &self.map
    }
}

impl<K, V> Deref for KeptEntry<'_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        self.value
    }
}

impl<K: Clone + Ord, V: Clone> KeptEntry<'_, K, V> {
    /// The value for changing.
    pub fn to_mut(&mut self) -> &mut V {
        if let Was::Changed { entries, .. } = self.was
            && !entries.contains_key(self.key)
        {
            entries.insert(self.key.clone(), Some(self.value.clone()));
        }
        self.value
    }
}

impl<K: Clone + Ord, V: Clone> Kept<K, V> {
    /// Keeps what an entry is before its first change since the freeze.
    fn keep(&mut self, key: &K) {
        if let Was::Changed { entries, .. } = &mut self.was
            && !entries.contains_key(key)
        {
            entries.insert(key.clone(), self.map.get(key).cloned());
        }
    }

    /// Puts an entry in; returns the value before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.keep(&key);
        self.map.insert(key, value)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.keep(key);
        self.map.remove(key)
    }

    /// An entry's value, for changing.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.keep(key);
        self.map.get_mut(key)
    }

    /// Shows each entry, in order. Only those that [`KeptEntry::to_mut`] changes cost a copy after a freeze.
    pub fn each_mut(&mut self, visit: &mut dyn FnMut(&K, KeptEntry<'_, K, V>)) {
        for (key, value) in &mut self.map {
            visit(key, KeptEntry { key, value, was: &mut self.was });
        }
    }

    /// Puts another map in the place of what it holds.
    pub fn replace(&mut self, map: BTreeMap<K, V>) {
        let mut old = core::mem::replace(&mut self.map, map);
        if let Was::Changed { entries, .. } = &mut self.was {
            for (key, value) in core::mem::take(entries) {
                match value {
                    Some(value) => old.insert(key, value),
                    None => old.remove(&key),
                };
            }
            self.was = Was::Whole(old);
        }
    }

    /// From now on what it holds can be written, whatever becomes of it.
    pub fn freeze(&mut self) {
        self.was = Was::Changed { len: self.map.len(), entries: BTreeMap::new() };
    }

    /// Forgets what it held when it was frozen.
    pub fn thaw(&mut self) {
        self.was = Was::Loose;
    }

    /// How many entries it holds or held.
    pub fn len_at(&self, when: When) -> usize {
        match (when, &self.was) {
            (When::Now, _) | (_, Was::Loose) => self.map.len(),
            (_, Was::Changed { len, .. }) => *len,
            (_, Was::Whole(map)) => map.len(),
        }
    }

    /// Each entry that it holds or held, in order.
    pub fn each(&self, when: When, visit: &mut dyn FnMut(&K, &V)) {
        let entries = match (when, &self.was) {
            (When::Now, _) | (_, Was::Loose) => return self.map.iter().for_each(|(key, value)| visit(key, value)),
            (_, Was::Whole(map)) => return map.iter().for_each(|(key, value)| visit(key, value)),
            (_, Was::Changed { entries, .. }) => entries,
        };
        let mut changed = entries.iter().peekable();
        for (key, value) in &self.map {
            while let Some((gone, was)) = changed.next_if(|(changed, _)| *changed < key) {
                was.iter().for_each(|was| visit(gone, was));
            }
            match changed.next_if(|(changed, _)| *changed == key) {
                Some((_, was)) => was.iter().for_each(|was| visit(key, was)),
                None => visit(key, value),
            }
        }
        for (gone, was) in changed {
            was.iter().for_each(|was| visit(gone, was));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn at(map: &Kept<u64, u64>, when: When) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        map.each(when, &mut |key, value| all.push((*key, *value)));
        assert_eq!(all.len(), map.len_at(when));
        all
    }

    /// Against copies: of the map now, and of the map as it was at the freeze.
    #[test]
    fn a_frozen_map_is_what_it_was() {
        for seed in 1..500_u64 {
            let mut state = seed;
            let mut draw = move |below: u64| {
                state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
                (state >> 33) % below
            };
            let (mut map, mut now, mut then) = (Kept::default(), BTreeMap::new(), None);
            for step in 0..300 {
                let (key, value) = (draw(20), draw(1000));
                match draw(40) {
                    0 => {
                        let fresh: BTreeMap<u64, u64> = (0..draw(10)).map(|i| (i * 3, value)).collect();
                        map.replace(fresh.clone());
                        now = fresh;
                    }
                    1 => {
                        map.freeze();
                        then = Some(now.clone());
                    }
                    2 => {
                        map.thaw();
                        then = None;
                    }
                    3 => {
                        map.each_mut(&mut |key, mut it| {
                            if key % 2 == 1 {
                                *it.to_mut() += value;
                            }
                        });
                        now.iter_mut().filter(|(key, _)| *key % 2 == 1).for_each(|(_, it)| *it += value);
                    }
                    4..=15 => assert_eq!(map.remove(&key), now.remove(&key)),
                    16..=25 => {
                        let (mine, theirs) = (map.get_mut(&key), now.get_mut(&key));
                        assert_eq!(mine, theirs);
                        mine.into_iter().chain(theirs).for_each(|it| *it += 1);
                    }
                    _ => assert_eq!(map.insert(key, value), now.insert(key, value)),
                }
                assert_eq!(at(&map, When::Now), Vec::from_iter(now.clone()), "seed {seed}, step {step}");
                let wanted = then.as_ref().unwrap_or(&now).clone();
                assert_eq!(at(&map, When::Frozen), Vec::from_iter(wanted), "seed {seed}, step {step}: frozen");
            }
        }
    }
}
