//! Choosing and ordering elements by their labels.
use super::names::unmarked;
use crate::Element;
use alloc::vec::Vec;
use core::cmp::Ordering;
use faultline_model::Labels;

/// Where a label set lies among all, `0..1`: the same place wherever it is asked for.
///
/// Prometheus' place: the hash XXH64 of names and values in order, each after its size in one byte, or in 255 and three
/// bytes, low first.
pub(super) fn place(labels: &Labels) -> f64 {
    let mut bytes = Vec::new();
    for text in unmarked(labels).iter().flat_map(|(name, value)| [name, value]) {
        match u8::try_from(text.len()) {
            Ok(size) if size < u8::MAX => bytes.push(size),
            _ => {
                bytes.push(u8::MAX);
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    faultline_model::xxh64(&bytes) as f64 / u64::MAX as f64
}

/// `sort_by_label` and `sort_by_label_desc`: by the values of these labels in natural order, then by all labels.
pub(super) fn sorted_by_labels(mut elements: Vec<Element>, names: &[&str], descending: bool) -> Vec<Element> {
    elements.sort_by(|a, b| {
        let by_name = names.iter().map(|name| natural(a.labels.get(name), b.labels.get(name)));
        let order = by_name.fold(Ordering::Equal, Ordering::then).then_with(|| a.labels.cmp(&b.labels));
        if descending { order.reverse() } else { order }
    });
    elements
}

/// The order in which `a2` comes before `a10`: runs of digits count as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while !left.is_empty() && !right.is_empty() {
        let (one, other) = (run(left), run(right));
        // Larger numbers than these are compared as texts.
        let order = match (one.parse::<i64>(), other.parse::<i64>()) {
            (Ok(one), Ok(other)) => one.cmp(&other),
            _ => one.cmp(other),
        };
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (&left[one.len()..], &right[other.len()..]);
    }
    // `01` and `1` are one number, but two texts.
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// The digits or the other characters that a text begins with.
fn run(text: &str) -> &str {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against Go: `labels.FromStrings("__name__", "a", "l", "x").Hash()`.
    #[test]
    fn places_are_those_of_prometheus() {
        for (value, expected) in [
            ("x".into(), 0.584_561_853_387_764_2),
            ("yy".into(), 0.710_290_461_916_675_6),
            ("ab".repeat(20), 0.341_094_853_512_392_53),
            ("z".repeat(300), 0.246_512_263_925_609_63),
        ] {
            let labels = Labels::new([("__name__", "a"), ("l", &*value)]);
            assert_eq!(place(&labels).to_bits(), f64::to_bits(expected), "{value}");
        }
    }

    #[test]
    fn runs_of_digits_count_as_numbers() {
        let mut names = ["a10", "a2", "a", "b1", "a2b", "", "10", "9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["", "9", "10", "a", "a2", "a2b", "a10", "b1"]);
    }
}
