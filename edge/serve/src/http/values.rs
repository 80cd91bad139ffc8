//! Values of queries in Prometheus' shapes, written straight as JSON: an answer may hold a million of them.
use super::number::{put_plain, put_seconds};
use faultline_model::histogram::Bucket;
use faultline_model::{Histogram, Labels, Millis, Number};
use faultline_promql::{Element, Series, Value};

/// Bytes of a point and of a label set, about.
const POINT: usize = 40;
const METRIC: usize = 150;

/// The data of an answer.
pub enum QueryData {
    /// A number.
    Scalar(Millis, f64),
    /// A text.
    Text(Millis, String),
    /// A value of each label set.
    Vector(Millis, Vec<Element>),
    /// Values over time of each label set, in label order.
    Matrix(Vec<Series>),
}

impl QueryData {
    /// A value at an instant.
    pub fn at(value: Value, at: Millis) -> QueryData {
        match value {
            Value::Scalar(value) => QueryData::Scalar(at, value),
            Value::Text(text) => QueryData::Text(at, text),
            Value::Vector(list) => QueryData::Vector(at, list),
            Value::Matrix(list) => QueryData::Matrix(list),
        }
    }

    /// The first `limit` label sets, and whether there are more.
    pub fn limited(mut self, limit: usize) -> (QueryData, bool) {
        let cut = match &mut self {
            QueryData::Scalar(..) | QueryData::Text(..) => false,
            QueryData::Vector(_, list) => {
                let cut = list.len() > limit;
                list.truncate(limit);
                cut
            }
            QueryData::Matrix(all) => {
                let cut = all.len() > limit;
                all.truncate(limit);
                cut
            }
        };
        (self, cut)
    }

    /// Appends `"resultType":...,"result":...`.
    pub fn put(&self, out: &mut Vec<u8>) {
        let kind = match self {
            QueryData::Scalar(..) => "scalar",
            QueryData::Text(..) => "string",
            QueryData::Vector(..) => "vector",
            QueryData::Matrix(_) => "matrix",
        };
        out.extend_from_slice(b"\"resultType\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"result\":");
        match self {
            QueryData::Scalar(at, value) => put_point(out, *at, |out| put_number(out, *value)),
            QueryData::Text(at, text) => put_point(out, *at, |out| put_text(out, text)),
            QueryData::Vector(at, list) => {
                out.reserve(list.len() * (METRIC + POINT));
                put_list(out, list, |out, element| put_element(out, *at, element));
            }
            QueryData::Matrix(all) => {
                out.reserve(all.iter().map(|series| METRIC + series.samples.len() * POINT).sum());
                put_list(out, all, put_series);
            }
        }
    }
}

fn put_element(out: &mut Vec<u8>, at: Millis, Element { labels, value }: &Element) {
    out.extend_from_slice(b"{\"metric\":");
    put_labels(out, labels);
    match value {
        Number::Float(x) => {
            out.extend_from_slice(b",\"value\":");
            put_point(out, at, |out| put_number(out, *x));
        }
        Number::Histogram(histogram) => {
            out.extend_from_slice(b",\"histogram\":");
            put_point(out, at, |out| put_histogram(out, histogram));
        }
    }
    out.push(b'}');
}

/// Numbers and histograms of a series stand apart, each left out where there is none.
fn put_series(out: &mut Vec<u8>, Series { labels, samples, .. }: &Series) {
    out.extend_from_slice(b"{\"metric\":");
    put_labels(out, labels);
    let floats = samples.iter().filter_map(|(at, value)| Some((*at, value.float()?)));
    if floats.clone().next().is_some() {
        out.extend_from_slice(b",\"values\":");
        put_list(out, floats, |out, (at, x)| put_point(out, at, |out| put_number(out, x)));
    }
    let histograms = samples.iter().filter_map(|(at, value)| Some((*at, value.histogram()?)));
    if histograms.clone().next().is_some() {
        out.extend_from_slice(b",\"histograms\":");
        put_list(out, histograms, |out, (at, histogram)| put_point(out, at, |out| put_histogram(out, histogram)));
    }
    out.push(b'}');
}

/// A histogram. Its buckets begin with which of their bounds belong to them: 0 the upper, 1 the lower, 2 neither, 3 both.
fn put_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    out.extend_from_slice(b"{\"count\":");
    put_number(out, histogram.count);
    out.extend_from_slice(b",\"sum\":");
    put_number(out, histogram.sum);
    if histogram.buckets().next().is_some() {
        out.extend_from_slice(b",\"buckets\":");
        put_list(out, histogram.buckets(), |out, bucket: Bucket| {
            let bounds = match (bucket.lower_inclusive, bucket.upper_inclusive) {
                (false, true) => b'0',
                (true, false) => b'1',
                (false, false) => b'2',
                (true, true) => b'3',
            };
            out.extend_from_slice(&[b'[', bounds]);
            for number in [bucket.lower, bucket.upper, bucket.count] {
                out.push(b',');
                put_number(out, number);
            }
            out.push(b']');
        });
    }
    out.push(b'}');
}

/// An instant in seconds, and a value.
fn put_point(out: &mut Vec<u8>, at: Millis, value: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'[');
    put_seconds(out, at);
    out.push(b',');
    value(out);
    out.push(b']');
}

/// A number as a text.
fn put_number(out: &mut Vec<u8>, x: f64) {
    out.push(b'"');
    put_plain(out, x);
    out.push(b'"');
}

/// Labels as an object.
pub fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_pairs(out, labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
}

/// The same of names and values that are bytes of texts.
pub fn put_pairs<'a>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    out.push(b'{');
    for (index, (name, value)) in pairs.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put_escaped(out, name);
        out.push(b':');
        put_escaped(out, value);
    }
    out.push(b'}');
}

/// A text, escaped.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_escaped(out, text.as_bytes());
}

/// The bytes of a text, escaped as `serde_json` does it.
fn put_escaped(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let is_plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
    out.reserve(text.len() + 2);
    out.push(b'"');
    // All are looked at, which goes many at a time: there is seldom one that is not plain.
    if text.iter().fold(true, |plain, byte| plain & is_plain(byte)) {
        out.extend_from_slice(text);
    } else {
        for byte in text {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
                0x08 => out.extend_from_slice(b"\\b"),
                b'\t' => out.extend_from_slice(b"\\t"),
                b'\n' => out.extend_from_slice(b"\\n"),
                0x0c => out.extend_from_slice(b"\\f"),
                b'\r' => out.extend_from_slice(b"\\r"),
                0..b' ' => {
                    out.extend_from_slice(b"\\u00");
                    out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                }
                _ => out.push(*byte),
            }
        }
    }
    out.push(b'"');
}

/// A list.
pub fn put_list<T>(out: &mut Vec<u8>, all: impl IntoIterator<Item = T>, mut put: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (index, one) in all.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put(out, one);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_serde_json_does_it() {
        let every: String = (0..0x180).filter_map(char::from_u32).collect();
        for text in [&every, "", "plain", "\"", "\u{0}x", "ä\u{10ffff}\n"] {
            let mut out = Vec::new();
            put_text(&mut out, text);
            assert_eq!(String::from_utf8(out).expect("a text"), serde_json::to_string(text).expect("a text"));
        }
    }
}
