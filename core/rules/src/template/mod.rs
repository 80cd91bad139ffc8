//! Templates of labels and annotations: the part of Go's `text/template` that Prometheus alerts use.
//!
//! A template is parsed once, when its rule file is read, and expanded for each alert. Results and error messages are
//! those of Prometheus 3 (its own tests and a few hundred cases run through its expander are the oracle), within
//! bounds that Go does not have: length of text, steps, depth. Not there: `call`, `js`, complex numbers, native
//! histograms. A bare query result prints its samples instead of their addresses.
//! Further reading: <https://pkg.go.dev/text/template>, <https://prometheus.io/docs/prometheus/latest/configuration/template_reference/>.
mod exec;
mod functions;
mod lex;
mod methods;
mod number;
mod parse;
mod printf;
#[cfg(test)]
mod tests;
mod tree;
mod url;
mod value;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::{Labels, Millis, Number};
use value::{Data, Value};

/// Longest text that a template may make, in bytes: of its output and of each value on the way.
pub const TEXT_MAX: usize = 64 * 1024;
/// Most steps (nodes, commands, arguments) of one expansion.
pub const STEPS_MAX: u32 = 100_000;
/// Deepest nesting in a template's text.
const NEST_MAX: u32 = 60;
/// Deepest nesting while it runs: of blocks, parentheses and templates called by templates.
const DEPTH_MAX: u32 = 200;

/// What Prometheus writes before each template, so that `$labels` and `$value` work.
const PREFIX: &str =
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// A template of an alerting rule's label or annotation.
#[derive(Clone, Debug)]
pub struct Template {
    name: String,
    text: String,
    /// Empty where the text holds no action and is its own expansion.
    trees: parse::Trees,
}

impl PartialEq for Template {
    fn eq(&self, other: &Template) -> bool {
        (&self.name, &self.text) == (&other.name, &other.text)
    }
}

/// Answers a `query` of a template, in the order of the query's result.
pub type Query<'a> = dyn FnMut(&str) -> Result<Vec<(Labels, f64)>, String> + 'a;

/// What an expansion may look at, besides the alert itself.
pub struct Context<'a> {
    /// The instant of the evaluation.
    pub at: Millis,
    /// Labels added to every alert that leaves.
    pub external_labels: &'a Labels,
    /// Under which address users reach Faultline; may be empty.
    pub external_url: &'a str,
    /// Runs a query at that instant.
    pub query: &'a mut Query<'a>,
}

impl Template {
    /// Reads the template of a label or annotation of the alert `alert`. The error is Prometheus' message.
    pub fn parse(alert: &str, text: &str) -> Result<Template, String> {
        let name = format!("__alert_{alert}");
        if !text.contains("{{") {
            return Ok(Template { name, text: text.to_owned(), trees: parse::Trees::new() });
        }
        let text = format!("{PREFIX}{text}");
        let trees = parse::parse(&name, &text)?;
        Ok(Template { name, text, trees })
    }

    /// Whether the text is its own expansion.
    pub fn is_constant(&self) -> bool {
        self.trees.is_empty()
    }

    /// The text for one element of the rule's expression. A failure is a text too, `<error expanding template: ...>`,
    /// as in Prometheus: an alert with a broken annotation is better than none.
    pub fn expand(&self, labels: &Labels, value: &Number, context: &mut Context<'_>) -> String {
        if self.is_constant() {
            return self.text.clone();
        }
        let data = Data {
            labels: labels.clone(),
            external_labels: context.external_labels.clone(),
            external_url: context.external_url.to_owned(),
            value: value.clone(),
        };
        match exec::execute(&self.trees, &self.name, &self.text, Value::Data(Rc::new(data)), context) {
            Ok(text) => text,
            Err(error) => format!("<error expanding template: error executing template {}: {error}>", self.name),
        }
    }
}

/// Go's `strconv.Quote`.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() || (c.is_whitespace() && c != ' ') || c == '\u{feff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Go's `strconv.Unquote`, of a string in double quotes or backquotes or of a character; nothing where it is malformed.
fn unquote(text: &str) -> Option<String> {
    let end = text.chars().next()?;
    let inner = text.strip_prefix(end)?.strip_suffix(end)?;
    if end == '`' {
        return Some(inner.replace('\r', ""));
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        let plain = if c == '\\' {
            match escape(rest.next()?, end, &mut rest)? {
                Escape::Byte(byte) => {
                    bytes.push(byte);
                    continue;
                }
                Escape::Char(c) => c,
            }
        } else {
            c
        };
        bytes.extend(plain.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8(bytes).ok()
}

enum Escape {
    Byte(u8),
    Char(char),
}

/// What stands behind a backslash; `first` is its first character.
fn escape(first: char, end: char, rest: &mut core::str::Chars<'_>) -> Option<Escape> {
    let mut number = |before: &str, count: usize, radix: u32| -> Option<u32> {
        let digits: String = before.chars().chain(rest.by_ref().take(count)).collect();
        let whole = digits.len() == before.len() + count && digits.chars().all(|c| c.is_digit(radix));
        if whole { u32::from_str_radix(&digits, radix).ok() } else { None }
    };
    Some(match first {
        'a' => Escape::Char('\u{7}'),
        'b' => Escape::Char('\u{8}'),
        'f' => Escape::Char('\u{c}'),
        'n' => Escape::Char('\n'),
        'r' => Escape::Char('\r'),
        't' => Escape::Char('\t'),
        'v' => Escape::Char('\u{b}'),
        '\\' => Escape::Char('\\'),
        'x' => Escape::Byte(number("", 2, 16)? as u8),
        '0'..='7' => Escape::Byte(u8::try_from(number(first.encode_utf8(&mut [0; 4]), 2, 8)?).ok()?),
        'u' => Escape::Char(char::from_u32(number("", 4, 16)?)?),
        'U' => Escape::Char(char::from_u32(number("", 8, 16)?)?),
        c if c == end => Escape::Char(c),
        _ => return None,
    })
}
