//! Label sets: sorted, unique names, one shared allocation each.
use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::ids::{HashSeed, SeriesKey};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

/// Bytes of a label set that is filtered without room of its own.
const FILTERED: usize = 512;

/// The label that holds the metric's name.
pub const NAME: &str = "__name__";

/// A label set: names unique and in byte order, no empty values (an empty value means an absent label, as in
/// Prometheus). Cloning is cheap. Orders as Prometheus orders label sets: pair by pair, name before value.
#[derive(Clone, Eq)]
pub struct Labels {
    // Per label: name size, name, value size, value; sizes as LEB128. One allocation keeps a million series small.
    packed: Arc<[u8]>,
}

impl Default for Labels {
    fn default() -> Self {
        Labels { packed: Arc::from([]) }
    }
}

impl Labels {
    /// Where they lie: two that are there at once and lie in one place are one and the same. Says nothing of others, and is no
    /// part of a state.
    #[inline]
    pub fn place(&self) -> usize {
        Arc::as_ptr(&self.packed).addr()
    }

    /// From pairs in any order. A later pair replaces an earlier one of the same name; empty values are left out.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Labels {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// From pairs whose names rise and whose values are not empty; nothing of others.
    pub fn from_sorted(pairs: &[(&str, &str)]) -> Option<Labels> {
        let good = pairs.is_sorted_by(|a, b| a.0 < b.0) && pairs.iter().all(|(_, value)| !value.is_empty());
        let mut packed = Vec::with_capacity(pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        for (name, value) in pairs {
            push(&mut packed, name);
            push(&mut packed, value);
        }
        good.then(|| Labels { packed: packed.into() })
    }

    /// Pairs in name order.
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter { left: self.pairs() }
    }

    /// Names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs().map(|(name, _)| text(name))
    }

    /// Pairs as bytes, which order as texts do: whoever compares them need not look whether they are text.
    fn pairs(&self) -> Pairs<'_> {
        Pairs { left: &self.packed }
    }

    /// The value of a label; `""` where it is absent.
    pub fn get(&self, name: &str) -> &str {
        for (n, value) in self.pairs() {
            match n.cmp(name.as_bytes()) {
                Ordering::Less => {}
                Ordering::Equal => return text(value),
                Ordering::Greater => break,
            }
        }
        ""
    }

    /// The metric's name; `""` where it has none.
    pub fn name(&self) -> &str {
        self.get(NAME)
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.pairs().count()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// Size in memory of the pairs, in bytes.
    pub fn size(&self) -> usize {
        self.packed.len()
    }

    /// Without the metric's name.
    pub fn without_name(&self) -> Labels {
        if self.get(NAME).is_empty() { self.clone() } else { self.filter(|name| name != NAME) }
    }

    /// Only the labels whose name `keep` accepts.
    pub fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Labels {
        let mut room = [0; FILTERED];
        let mut long = Vec::new();
        let packed = match room.get_mut(..self.packed.len()) {
            Some(room) => room,
            None => {
                long.resize(self.packed.len(), 0);
                &mut long[..]
            }
        };
        let (mut size, mut pairs) = (0, self.pairs());
        while !pairs.left.is_empty() {
            let before = pairs.left;
            if pairs.next().is_some_and(|(name, _)| keep(text(name))) {
                let pair = &before[..before.len() - pairs.left.len()];
                packed[size..size + pair.len()].copy_from_slice(pair);
                size += pair.len();
            }
        }
        Labels { packed: Arc::from(&packed[..size]) }
    }

    /// A builder that starts from these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { base: self.clone(), changes: Vec::new() }
    }

    /// Keyed hash of the whole set.
    pub fn key(&self, seed: HashSeed) -> SeriesKey {
        SeriesKey::of(&self.packed, seed)
    }
}

impl PartialEq for Labels {
    /// Most that are compared are one and the same; `Arc` looks for that only where it knows the size.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.packed, &other.packed) || self.packed == other.packed
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.packed.hash(state);
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.packed, &other.packed) {
            return Ordering::Equal;
        }
        self.pairs().cmp(other.pairs())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Labels {
    /// Prometheus' text form, `name{label="value"}`, values escaped as in the exposition format.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().filter(|(name, _)| *name != NAME).enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{name}=\"")?;
            for c in value.chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    c => write!(f, "{c}")?,
                }
            }
            f.write_str("\"")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Pairs of a label set in name order.
#[derive(Clone, Debug)]
pub struct LabelsIter<'a> {
    left: Pairs<'a>,
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left.next().map(|(name, value)| (text(name), text(value)))
    }
}

#[derive(Clone, Debug)]
struct Pairs<'a> {
    left: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() { None } else { Some((pull(&mut self.left), pull(&mut self.left))) }
    }
}

fn push(packed: &mut Vec<u8>, text: &str) {
    let mut size = text.len();
    while size >= 0x80 {
        packed.push(size as u8 | 0x80);
        size >>= 7;
    }
    packed.push(size as u8);
    packed.extend_from_slice(text.as_bytes());
}

#[inline]
fn pull<'a>(left: &mut &'a [u8]) -> &'a [u8] {
    let (mut size, mut rest) = (usize::from(left[0]), &left[1..]);
    if size >= 0x80 {
        (size, rest) = long_size(left);
    }
    let (text, rest) = rest.split_at(size);
    *left = rest;
    text
}

/// A size in more than one byte, and what follows it.
#[cold]
fn long_size(left: &[u8]) -> (usize, &[u8]) {
    let last = left.iter().position(|byte| *byte < 0x80).expect("packed by `push`");
    let size = left[..=last].iter().rev().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
    (size, &left[last + 1..])
}

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).expect("packed from text")
}

/// Builds or edits a label set. What it starts from is copied once, when it is finished.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    base: Labels,
    /// What is different, each name once; an empty value takes a label away.
    changes: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Sets a label; an empty value takes it away.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.changes.iter_mut().find(|(n, _)| n == name) {
            Some((_, held)) => value.clone_into(held),
            None if self.base.get(name) == value => {}
            None => self.changes.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// The value set so far; `""` where there is none.
    pub fn get(&self, name: &str) -> &str {
        let changed = self.changes.iter().find(|(n, _)| n == name);
        changed.map_or_else(|| self.base.get(name), |(_, value)| value)
    }

    /// The finished set.
    pub fn build(mut self) -> Labels {
        if self.changes.is_empty() {
            return self.base;
        }
        self.changes.sort();
        let mut packed = Vec::with_capacity(
            self.base.size() + self.changes.iter().map(|(n, v)| n.len() + v.len() + 4).sum::<usize>(),
        );
        let mut held = self.base.iter().peekable();
        for (name, value) in &self.changes {
            while let Some((name, value)) = held.next_if(|(held, _)| *held < &**name) {
                push(&mut packed, name);
                push(&mut packed, value);
            }
            held.next_if(|(held, _)| *held == &**name);
            if !value.is_empty() {
                push(&mut packed, name);
                push(&mut packed, value);
            }
        }
        for (name, value) in held {
            push(&mut packed, name);
            push(&mut packed, value);
        }
        Labels { packed: packed.into() }
    }
}

impl Canonical for Labels {
    fn write(&self, w: &mut Writer) {
        w.array(self.len() * 2);
        for (name, value) in self.iter() {
            w.text(name);
            w.text(value);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let count = r.array()?;
        let mut packed = Vec::new();
        let mut last = None;
        for _ in 0..count / 2 {
            let (name, value) = (r.text()?, r.text()?);
            if value.is_empty() || last.is_some_and(|last| last >= name) {
                return Err(r.invalid("label set"));
            }
            push(&mut packed, name);
            push(&mut packed, value);
            last = Some(name);
        }
        if count % 2 == 1 { Err(r.invalid("label set")) } else { Ok(Labels { packed: packed.into() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::string::ToString;

    #[test]
    fn sets_are_sorted_unique_and_without_empty_values() {
        let long = "x".repeat(300);
        let labels = Labels::new([("b", "2"), ("__name__", "up"), ("a", "1"), ("b", &long), ("c", "")]);
        assert_eq!(labels.iter().map(|(n, _)| n).collect::<Vec<_>>(), ["__name__", "a", "b"]);
        assert_eq!((labels.get("b"), labels.get("c"), labels.name()), (&*long, "", "up"));
        assert_eq!(Labels::from_bytes(&labels.to_bytes()), Ok(labels.clone()));
        assert_eq!(labels.without_name().len(), 2);
        assert_eq!(labels.to_builder().build(), labels);
        assert_eq!(Labels::from_sorted(&labels.iter().collect::<Vec<_>>()), Some(labels));
        assert_eq!(Labels::from_sorted(&[("a", "")]), None);
        assert_eq!(Labels::from_sorted(&[("b", "1"), ("a", "1")]), None);
    }

    /// Against a map: from any base, any changes.
    #[test]
    fn a_builder_holds_what_was_set_last() {
        for seed in 1..400_u64 {
            let mut state = seed;
            let mut draw = move |below: u64| {
                state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
                (state >> 33) % below
            };
            let (mut builder, mut wanted) = (LabelsBuilder::default(), BTreeMap::new());
            for _ in 0..draw(12) {
                let (name, value) = (alloc::format!("l{}", draw(6)), "v".repeat(draw(4) as usize * 60));
                builder.set(&name, &value);
                match value.is_empty() {
                    true => wanted.remove(&name),
                    false => wanted.insert(name, value),
                };
                if draw(5) == 0 {
                    builder = builder.build().to_builder();
                }
                (0..6).map(|i| alloc::format!("l{i}")).for_each(|name| {
                    assert_eq!(builder.get(&name), wanted.get(&name).map_or("", |value| value), "seed {seed}");
                });
            }
            let built = builder.build();
            assert!(built.iter().eq(wanted.iter().map(|(n, v)| (&**n, &**v))), "seed {seed}: {built}");
        }
    }

    #[test]
    fn order_is_pair_by_pair() {
        let of = |pairs: &[(&str, &str)]| Labels::new(pairs.iter().copied());
        assert!(of(&[("a", "1")]) < of(&[("a", "1"), ("b", "1")]));
        assert!(of(&[("a", "10")]) < of(&[("a", "9")]));
        assert!(of(&[("a", "z")]) < of(&[("b", "a")]));
        // Sizes do not order: texts do, and a pair's end comes before whatever follows.
        let (long, longer) = ("x".repeat(200), "x".repeat(20_000));
        assert!(of(&[("a", "x")]) < of(&[("a", &long)]) && of(&[("a", &long)]) < of(&[("a", &longer), ("b", "1")]));
        assert!(of(&[("ab", "1")]) > of(&[("a", &longer)]) && of(&[("a", "é")]) > of(&[("a", "z")]));
    }

    #[test]
    fn filters_keep_whole_pairs_whatever_their_size() {
        for size in [1, 100, 127, 128, 300, 600, 20_000] {
            let value = "v".repeat(size);
            let labels = Labels::new([("a", &*value), ("b", "1"), ("c", &value), ("d", "2")]);
            let found = labels.filter(|name| name == "b" || name == "c");
            assert_eq!(found, Labels::new([("b", "1"), ("c", &*value)]));
            assert_eq!(labels.filter(|_| true), labels);
            assert_eq!(labels.filter(|_| false), Labels::default());
            assert_eq!(labels.names().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
            assert_eq!((labels.get("c").len(), labels.len()), (size, 4));
        }
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(Labels::new([("__name__", "m"), ("q", "a\"\\\n")]).to_string(), r#"m{q="a\"\\\n"}"#);
    }

    #[test]
    fn bytes_out_of_order_are_refused() {
        let mut w = Writer::default();
        w.array(4);
        ["b", "1", "a", "1"].iter().for_each(|t| w.text(t));
        assert!(Labels::from_bytes(&w.into_bytes()).is_err());
    }
}
