//! Reading answers whose fields may be missing, and texts that strangers wrote.
use crate::render::duration;
use faultline_model::Millis;
pub use faultline_sinks::stdout::visible;
use serde_json::Value;
use std::cmp::Ordering;

static NOTHING: Value = Value::Null;

/// A place in an answer, which may be empty: whatever is not there reads as nothing and never as an error.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a>(&'a Value);

impl<'a> Shape<'a> {
    /// The whole of an answer.
    pub fn of(value: &'a Value) -> Shape<'a> {
        Shape(value)
    }

    /// The field at a path such as `rules.refused`.
    pub fn at(self, path: &str) -> Shape<'a> {
        Shape(path.split('.').try_fold(self.0, |value, name| value.get(name)).unwrap_or(&NOTHING))
    }

    /// A copy of the value.
    pub fn owned(self) -> Value {
        self.0.clone()
    }

    /// Whether there is anything.
    pub fn is_there(self) -> bool {
        !self.0.is_null()
    }

    /// The text, harmless to a terminal; a number as its digits, anything else as `""`.
    pub fn text(self) -> String {
        match self.0 {
            Value::String(text) => visible(text),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        }
    }

    /// The text, or `other` where there is none.
    pub fn text_or(self, other: &str) -> String {
        let text = self.text();
        if text.is_empty() { other.to_string() } else { text }
    }

    /// True where it says so.
    pub fn flag(self) -> bool {
        self.0.as_bool().unwrap_or(false)
    }

    /// The number, if it is one.
    pub fn number(self) -> Option<f64> {
        self.0.as_f64()
    }

    /// The whole number, if it is one.
    pub fn whole(self) -> Option<i64> {
        self.0.as_i64()
    }

    /// A count from 0; 0 where there is none.
    pub fn count(self) -> u64 {
        self.0.as_u64().unwrap_or(0)
    }

    /// A count for people, `12,345`; `?` where the server does not say.
    pub fn figure(self) -> String {
        self.0.as_u64().map_or("?".to_string(), figure)
    }

    /// A count of things for people, `1 alert`, `2 alerts`, `? alerts`.
    pub fn things(self, one: &str) -> String {
        let plural = if self.0.as_u64() == Some(1) { "" } else { "s" };
        format!("{} {one}{plural}", self.figure())
    }

    /// A share of 0 to 1 for people, `93.8 %`; `?` where the server does not say.
    pub fn percent(self) -> String {
        self.number().map_or("?".to_string(), percent)
    }

    /// The items of a list.
    pub fn list(self) -> impl Iterator<Item = Shape<'a>> {
        self.0.as_array().into_iter().flatten().map(Shape)
    }

    /// The texts of a list.
    pub fn texts(self) -> Vec<String> {
        self.list().map(Shape::text).collect()
    }

    /// The fields of an object, in name order.
    pub fn fields(self) -> impl Iterator<Item = (String, Shape<'a>)> {
        self.0.as_object().into_iter().flatten().map(|(name, value)| (visible(name), Shape(value)))
    }

    /// The instant that a text of the API names, in ms since 1970.
    pub fn time(self) -> Option<i64> {
        Some(Millis::parse(self.0.as_str()?)?.0)
    }

    /// The instant for people, to the second: `2026-11-21 00:54:16`; `-` where there is none.
    pub fn moment(self) -> String {
        match self.time() {
            Some(ms) => moment(ms),
            None => self.text_or("-"),
        }
    }
}

/// At most `places` characters of a text, the last of them `…` where something is left out.
pub fn shortened(text: &str, places: usize) -> String {
    if text.chars().count() <= places {
        return text.to_string();
    }
    let mut short: String = text.chars().take(places.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The first `most` names, and how many more there are.
pub fn listed(names: &[String], most: usize) -> String {
    let more = names.len().saturating_sub(most);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// A count with its thousands apart.
fn figure(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share with one decimal.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Bytes in the largest unit that leaves at least one.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let Some(first) = UNITS.iter().position(|_| bytes >= 1024).map(|_| bytes as f64 / 1024.0) else {
        return format!("{bytes} B");
    };
    let (mut value, mut unit) = (first, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// How far an instant lies from another: `2.5 s`, `-4 min 10 s`.
pub fn apart(ms: i64) -> String {
    let text = duration(ms.saturating_abs());
    if ms < 0 { format!("-{text}") } else { text }
}

/// How an instant lies to the onset: `2.5 s after the onset`.
pub fn against_onset(at: i64, onset: i64) -> String {
    let text = duration(at.saturating_sub(onset).saturating_abs());
    match at.cmp(&onset) {
        Ordering::Less => format!("{text} before the onset"),
        Ordering::Equal => "at the onset".to_string(),
        Ordering::Greater => format!("{text} after the onset"),
    }
}

/// An instant in UTC to the second.
pub fn moment(ms: i64) -> String {
    let text = Millis(ms).to_string();
    match text.split_once('.') {
        Some((seconds, _)) => seconds.replace('T', " "),
        None => text,
    }
}

/// The time of day in UTC, with milliseconds.
pub fn time_of_day(ms: i64) -> String {
    let text = Millis(ms).to_string();
    text.split_once('T').map_or(text.clone(), |(_, time)| time.trim_end_matches('Z').to_string())
}

/// The JSON of a text, indented: fields in their order and numbers as written.
pub fn pretty(json: &str) -> String {
    let (mut out, mut depth, mut text, mut escaped) = (String::with_capacity(json.len() * 2), 0_usize, false, false);
    let mut empty = false;
    for c in json.chars() {
        if text {
            out.push(c);
            text = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        let closes = matches!(c, '}' | ']');
        if c.is_ascii_whitespace() {
            continue;
        }
        depth -= usize::from(closes && depth > 0);
        if (closes && !empty) || (empty && !closes) {
            line(&mut out, depth);
        }
        out.push(c);
        empty = matches!(c, '{' | '[');
        depth += usize::from(empty);
        match c {
            ',' => line(&mut out, depth),
            ':' => out.push(' '),
            _ => text = c == '"',
        }
    }
    out.push('\n');
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
/// Bodies that other tests render, too.
pub mod tests {
    use super::*;
    use serde_json::json;

    /// A text without the colours that a terminal gets.
    pub fn plain(text: &str) -> String {
        let mut parts = text.split("\u{1b}[");
        let first = parts.next().unwrap_or_default().to_string();
        parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
    }

    /// Compares with a file in `src/client/golden`; `UPDATE=1` rewrites it.
    pub fn golden(name: &str, seen: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/client/golden").join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, seen).expect("the folder is there");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), seen, "UPDATE=1 rewrites {}", path.display());
    }

    /// The JSON of an answer in `edge/serve/tests/golden`: what the API really says.
    pub fn served(golden: &str) -> Value {
        let (_, body) = golden.split_once("\n\n").expect("an empty line before the body");
        serde_json::from_str(body).expect("JSON")
    }

    /// Calls `check` with `value` less each field in turn, and with each field made a thing of another kind.
    pub fn without_each_field(value: &Value, check: &mut dyn FnMut(&Value)) {
        fn paths(value: &Value, path: &str, all: &mut Vec<String>) {
            let inner: Vec<(String, &Value)> = match value {
                Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
                Value::Array(items) => {
                    items.iter().enumerate().map(|(place, value)| (place.to_string(), value)).collect()
                }
                _ => Vec::new(),
            };
            for (name, value) in inner {
                let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                paths(value, &path, all);
                all.push(path);
            }
        }
        let mut all = Vec::new();
        paths(value, "", &mut all);
        assert!(!all.is_empty());
        let others = [
            Value::Null,
            json!("text"),
            json!(-7),
            json!(1e300),
            json!(u64::MAX),
            json!([[]]),
            json!({"x": {}}),
            json!(true),
        ];
        for path in all {
            for other in &others {
                let mut changed = value.clone();
                *changed.pointer_mut(&path).expect("it is there") = other.clone();
                check(&changed);
            }
        }
    }

    #[test]
    fn what_is_not_there_reads_as_nothing() {
        let value = json!({"a": {"b": 3, "c": [1, "x", null]}, "t": "2026-11-21T00:54:16.050Z"});
        let shape = Shape::of(&value);
        assert_eq!((shape.at("a.b").count(), shape.at("a.b").figure()), (3, "3".to_string()));
        assert_eq!(shape.at("a.c").texts(), ["1", "x", ""]);
        assert_eq!(
            (shape.at("a.b").things("span"), shape.at("q").things("span")),
            ("3 spans".into(), "? spans".into())
        );
        for path in ["z", "a.z", "a.b.c.d", "t.x", ""] {
            let nothing = shape.at(path);
            assert!(!nothing.is_there() && nothing.list().next().is_none() && !nothing.flag(), "{path}");
            assert_eq!((nothing.text(), nothing.figure(), nothing.moment()), ("".into(), "?".into(), "-".into()));
        }
        assert_eq!(shape.at("t").moment(), "2026-11-21 00:54:16");
    }

    #[test]
    fn times_are_read_as_the_server_prints_them() {
        let value = json!({"at": "2026-11-21T00:54:16.050Z", "no": "2026-11-21"});
        assert_eq!(Shape::of(&value).at("at").time(), Some(1_795_222_456_050));
        assert_eq!(Shape::of(&value).at("no").time(), None);
        assert_eq!((time_of_day(1_795_222_456_050), apart(-2_500)), ("00:54:16.050".into(), "-2.5 s".into()));
        assert!(apart(i64::MIN).starts_with('-'));
    }

    #[test]
    fn figures_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(figure), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1023, 1024, 5 << 30].map(size), ["0 B", "1023 B", "1.0 KiB", "5.0 GiB"]);
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(listed(&["a".into(), "b".into(), "c".into()], 2), "a, b and 1 more");
    }

    #[test]
    fn json_is_indented_and_otherwise_left_alone() {
        let json = r#"{"z":1.50,"a":[],"b":{},"c":[1,"x,{\"]"],"d":{"e":null}}"#;
        let expected = "{\n  \"z\": 1.50,\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    \"x,{\\\"]\"\n  ],\n  \"d\": {\n    \"e\": null\n  }\n}\n";
        assert_eq!(pretty(json), expected);
        assert_eq!(pretty(expected), expected);
        let (before, after): (Value, Value) =
            (serde_json::from_str(json).unwrap(), serde_json::from_str(expected).unwrap());
        assert_eq!(before, after);
        assert_eq!(pretty("]]}"), "\n]\n]\n}\n");
    }
}
