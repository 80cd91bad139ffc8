//! Label sets: sorted, unique names, one shared allocation each.
use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::ids::{HashSeed, SeriesKey};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

/// The label that holds the metric's name.
pub const NAME: &str = "__name__";

/// A label set: names unique and in byte order, no empty values (an empty value means an absent label, as in
/// Prometheus). Cloning is cheap. Orders as Prometheus orders label sets: pair by pair, name before value.
#[derive(Clone, PartialEq, Eq, Hash)]
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
        LabelsIter { left: &self.packed }
    }

    /// The value of a label; `""` where it is absent.
    pub fn get(&self, name: &str) -> &str {
        for (n, value) in self.iter() {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return value,
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
        self.iter().count()
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
        let mut packed = Vec::with_capacity(self.packed.len());
        for (name, value) in self.iter().filter(|(name, _)| keep(name)) {
            push(&mut packed, name);
            push(&mut packed, value);
        }
        Labels { packed: packed.into() }
    }

    /// A builder that starts from these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// Keyed hash of the whole set.
    pub fn key(&self, seed: HashSeed) -> SeriesKey {
        SeriesKey::of(&self.packed, seed)
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
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
    left: &'a [u8],
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);

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

fn pull<'a>(left: &mut &'a [u8]) -> &'a str {
    let (mut size, mut shift) = (0, 0);
    loop {
        let byte = left[0];
        *left = &left[1..];
        size |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    let (text, rest) = left.split_at(size);
    *left = rest;
    core::str::from_utf8(text).expect("packed from text")
}

/// Builds or edits a label set.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Sets a label; an empty value takes it away.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match (self.pairs.iter().position(|(n, _)| n == name), value.is_empty()) {
            (Some(i), true) => {
                self.pairs.swap_remove(i);
            }
            (Some(i), false) => value.clone_into(&mut self.pairs[i].1),
            (None, true) => {}
            (None, false) => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// The value set so far; `""` where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The finished set.
    pub fn build(mut self) -> Labels {
        self.pairs.sort();
        let mut packed = Vec::with_capacity(self.pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum());
        for (name, value) in &self.pairs {
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

    #[test]
    fn order_is_pair_by_pair() {
        let of = |pairs: &[(&str, &str)]| Labels::new(pairs.iter().copied());
        assert!(of(&[("a", "1")]) < of(&[("a", "1"), ("b", "1")]));
        assert!(of(&[("a", "10")]) < of(&[("a", "9")]));
        assert!(of(&[("a", "z")]) < of(&[("b", "a")]));
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
