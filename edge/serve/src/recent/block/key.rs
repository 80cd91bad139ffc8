//! Keys of series as they are read: labels as bytes, taken apart without making label sets of them.
use super::{BETWEEN, BlockError};
use faultline_model::Labels;
use std::cmp::Ordering;

/// Labels that most series have at most.
const LABELS: usize = 16;

/// The labels of a series' key.
pub fn labels_of(key: &[u8]) -> Result<Labels, BlockError> {
    labels(key).ok_or(BlockError::Damaged("a series has no labels that could be"))
}

/// The value of a label in a series' key; `""` where it is absent.
pub fn value_of<'k>(key: &'k [u8], name: &str) -> Result<&'k str, BlockError> {
    let mut parts = key.split(|byte| *byte == BETWEEN);
    while let (Some(found), Some(value)) = (parts.next(), parts.next()) {
        if found == name.as_bytes() {
            return std::str::from_utf8(value).map_err(|_| BlockError::Damaged("a series has no labels that could be"));
        }
    }
    Ok("")
}

/// Names and values of a series' key.
pub fn pairs_of(key: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    let mut parts = key.split(|byte| *byte == BETWEEN);
    std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
}

/// Whether a key is that of labels, as [`labels_of`] takes them.
pub fn is_key(key: &[u8]) -> bool {
    let (mut size, mut before) = (0, None);
    for (name, value) in pairs_of(key) {
        let is_text = std::str::from_utf8(name).is_ok() && std::str::from_utf8(value).is_ok();
        if !is_text || value.is_empty() || before.is_some_and(|before| before >= name) {
            return false;
        }
        (size, before) = (size + name.len() + value.len() + 2, Some(name));
    }
    size == key.len()
}

/// How two keys stand as their labels do: where one of them has an end of a text, it comes first.
pub fn in_label_order(a: &[u8], b: &[u8]) -> Ordering {
    // Neighbours have much in common: words first, then bytes.
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let same = 8 * words.take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same..], &b[same..]);
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((&BETWEEN, _)) => Ordering::Less,
        Some((_, &BETWEEN)) => Ordering::Greater,
        Some((a, b)) => a.cmp(b),
        None => a.len().cmp(&b.len()),
    }
}

/// Whether a series' key is that of these labels.
pub fn is_key_of(labels: &Labels, mut key: &[u8]) -> bool {
    let mut part = |text: &str| {
        let rest = key.strip_prefix(text.as_bytes()).and_then(|rest| rest.strip_prefix(&[BETWEEN]));
        rest.map(|rest| key = rest).is_some()
    };
    labels.iter().all(|(name, value)| part(name) && part(value)) && key.is_empty()
}

/// The labels that [`super::write::key`] wrote.
fn labels(key: &[u8]) -> Option<Labels> {
    let mut pairs = Vec::with_capacity(LABELS);
    let mut parts = key.split(|byte| *byte == BETWEEN);
    while let (Some(name), value) = (parts.next(), parts.next()) {
        match value {
            Some(value) => pairs.push((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?)),
            None if name.is_empty() => break,
            None => return None,
        }
    }
    Labels::from_sorted(&pairs)
}
