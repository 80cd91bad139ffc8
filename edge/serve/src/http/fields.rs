//! Fields of a posted JSON object, read so that everything wrong with them is told at once.
use super::answer::{FieldError, Problem};
use faultline_model::Millis;
use serde_json::{Map, Value};

/// A change may be announced this long before it takes effect, in ms.
const AHEAD_MS: i64 = 86_400_000;
/// 1971: an earlier time is a unit mixed up or a clock that was never set.
const EARLIEST: Millis = Millis(365 * 86_400_000);

/// A JSON object's fields as they are read one after the other, and what is wrong with them: all of it is told at once.
pub(super) struct Fields {
    fields: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// The fields of a body.
    pub fn read(body: &[u8]) -> Result<Fields, Problem> {
        let value = serde_json::from_slice::<Value>(body);
        let value = value.map_err(|error| Problem::bad("bad-json", format!("the body is not JSON: {error}")))?;
        let Value::Object(fields) = value else {
            return Err(Problem::bad("bad-json", "the body must be a JSON object"));
        };
        Ok(Fields { fields, errors: Vec::new() })
    }

    /// Whether nothing is wrong so far.
    pub fn is_well(&self) -> bool {
        self.errors.is_empty()
    }

    /// All that is wrong; `others` says so of fields that nobody read.
    pub fn finish(mut self, others: &str) -> Vec<FieldError> {
        for name in std::mem::take(&mut self.fields).into_iter().map(|(name, _)| name).take(10) {
            self.wrong(&name, others);
        }
        self.errors
    }

    /// Notes what is wrong with a field; an empty text in its place.
    pub fn wrong(&mut self, field: &str, detail: &str) -> String {
        let field = field.chars().take(64).collect();
        self.errors.push(FieldError { field, detail: detail.into() });
        String::new()
    }

    /// A text of at most `size` bytes without control characters; `None` where it is absent, null or wrong.
    pub fn text(&mut self, field: &str, size: usize) -> Option<String> {
        let why = match self.fields.remove(field) {
            None | Some(Value::Null) => return None,
            Some(Value::String(text)) if text.len() > size => format!("is longer than {size} bytes"),
            Some(Value::String(text)) if text.chars().any(char::is_control) => "has a control character in it".into(),
            Some(Value::String(text)) if text.trim().is_empty() => "is empty".into(),
            Some(Value::String(text)) => return Some(text),
            Some(_) => "must be a text".into(),
        };
        self.wrong(field, &why);
        None
    }

    /// The same of a field that must be there; `what` says what it is for.
    pub fn required(&mut self, field: &str, size: usize, what: &str) -> String {
        let errors = self.errors.len();
        match self.text(field, size) {
            Some(text) => text,
            None if self.errors.len() > errors => String::new(),
            None => self.wrong(field, &format!("is missing: {what}")),
        }
    }

    /// A time, `now` where it is absent.
    pub fn time(&mut self, field: &str, now: Millis) -> Millis {
        let time = match self.fields.remove(field) {
            None | Some(Value::Null) => return now,
            Some(Value::String(text)) => Millis::parse(&text),
            Some(Value::Number(number)) => number.as_i64().map(Millis),
            Some(_) => None,
        };
        match time {
            Some(time) if time < EARLIEST || time > now.plus(AHEAD_MS) => {
                self.wrong(field, "lies before 1971 or more than a day ahead");
            }
            Some(time) => return time,
            None => {
                self.wrong(field, "must be a time as RFC 3339 or a whole number of ms since 1970");
            }
        }
        now
    }
}
