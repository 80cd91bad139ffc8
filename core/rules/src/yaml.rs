//! YAML into a tree of nodes that know their lines, within bounds. Aliases share their node, so that they cost nothing.
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use saphyr_parser::{Event, Parser, ScalarStyle};

/// Most nodes of a document once its aliases are followed.
const NODES_MAX: u64 = 1_000_000;
/// Deepest nesting; rule files have seven levels.
const DEPTH_MAX: usize = 32;
/// Most fields of one mapping: each is compared with those before it.
const FIELDS_MAX: usize = 1000;
/// Most mappings merged into one by `<<`.
const MERGES_MAX: u32 = 16;

/// A value and the line on which it begins.
#[derive(Debug)]
pub(crate) struct Node {
    pub line: u64,
    pub value: Value,
    /// Nodes within, itself included, aliases followed.
    size: u64,
}

/// What a node holds.
#[derive(Debug)]
pub(crate) enum Value {
    /// A scalar: its text; whether it is null.
    Scalar {
        text: String,
        null: bool,
    },
    List(Vec<Rc<Node>>),
    /// Pairs in the file's order; keys are scalars and unique.
    Map(Vec<(Key, Rc<Node>)>),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub text: String,
    pub line: u64,
}

/// What is wrong, and on which line.
#[derive(Debug, PartialEq)]
pub(crate) struct Flaw {
    pub line: u64,
    pub what: String,
}

pub(crate) fn flaw<T>(line: u64, what: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw { line, what: what.into() })
}

/// A list or map being read.
enum Open {
    List(Vec<Rc<Node>>),
    Map(Vec<(Key, Rc<Node>)>, Option<Key>),
}

struct Frame {
    line: u64,
    anchor: usize,
    open: Open,
}

#[derive(Default)]
struct Loader {
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
}

/// The first document of `text`; nothing where there is none. Prometheus reads the first document only, too.
pub(crate) fn load(text: &str) -> Result<Option<Rc<Node>>, Flaw> {
    let mut loader = Loader::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let line = error.marker().line() as u64;
                return flaw(line, format!("not YAML: {}, in column {}", error.info(), error.marker().col() + 1));
            }
        };
        let line = span.start.line() as u64;
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tagged = tag.is_some_and(|tag| tag.suffix == "str");
                let plain = style == ScalarStyle::Plain && !tagged;
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = Value::Scalar { text: text.into_owned(), null };
                loader.take(line, anchor, value, 1)?;
            }
            Event::Alias(anchor) => match loader.anchors.get(&anchor).cloned() {
                Some(node) => loader.place(line, node)?,
                None => return flaw(line, "an alias stands inside the value that it names: write the value out"),
            },
            Event::SequenceStart(anchor, _) => loader.open(line, anchor, Open::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => loader.open(line, anchor, Open::Map(Vec::new(), None))?,
            Event::SequenceEnd | Event::MappingEnd => loader.close()?,
            Event::DocumentEnd => break,
            _ => {}
        }
    }
    Ok(loader.root)
}

impl Loader {
    fn open(&mut self, line: u64, anchor: usize, open: Open) -> Result<(), Flaw> {
        if self.stack.len() >= DEPTH_MAX {
            return flaw(line, format!("nested more than {DEPTH_MAX} deep: no rule file needs that"));
        }
        self.stack.push(Frame { line, anchor, open });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Flaw> {
        let Frame { line, anchor, open } = self.stack.pop().expect("the parser pairs starts and ends");
        let total = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(1, u64::saturating_add);
        match open {
            Open::List(items) => {
                let size = total(&mut items.iter().map(|n| n.size));
                self.take(line, anchor, Value::List(items), size)
            }
            Open::Map(pairs, _) => {
                let size = total(&mut pairs.iter().map(|(_, n)| n.size.saturating_add(1)));
                self.take(line, anchor, Value::Map(pairs), size)
            }
        }
    }

    fn take(&mut self, line: u64, anchor: usize, value: Value, size: u64) -> Result<(), Flaw> {
        if size > NODES_MAX {
            return flaw(line, format!("more than {NODES_MAX} values once aliases are followed: split the file"));
        }
        let node = Rc::new(Node { line, value, size });
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(line, node)
    }

    /// Puts a finished node where it belongs: as the root, an item, a key or a value.
    fn place(&mut self, line: u64, node: Rc<Node>) -> Result<(), Flaw> {
        match self.stack.last_mut().map(|frame| &mut frame.open) {
            None => self.root = Some(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map(pairs, None)) if pairs.len() >= FIELDS_MAX => {
                return flaw(line, format!("more than {FIELDS_MAX} fields in one mapping: no rule file needs that"));
            }
            Some(Open::Map(pairs, key @ None)) => match &node.value {
                Value::Scalar { text, .. } => {
                    if let Some((first, _)) = pairs.iter().find(|(k, _)| k.text == *text) {
                        let at = first.line;
                        return flaw(
                            line,
                            format!("field {text:?} is already set on line {at}: take one of the two out"),
                        );
                    }
                    *key = Some(Key { text: text.clone(), line });
                }
                _ => return flaw(line, "a key must be a plain word"),
            },
            Some(Open::Map(pairs, key)) => pairs.push((key.take().expect("just matched"), node)),
        }
        Ok(())
    }
}

impl Node {
    /// What the value is, for errors.
    fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar { null: true, .. } => "nothing",
            Value::Scalar { .. } => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// A scalar's text, `""` of null.
    pub fn text(&self, what: &str) -> Result<&str, Flaw> {
        match &self.value {
            Value::Scalar { null: true, .. } => Ok(""),
            Value::Scalar { text, .. } => Ok(text),
            _ => flaw(self.line, format!("{what} must be a text, not {}", self.kind())),
        }
    }

    /// Whether the value is null or left out.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Scalar { null: true, .. })
    }

    /// A list's items; none of null.
    pub fn list(&self, what: &str) -> Result<&[Rc<Node>], Flaw> {
        match &self.value {
            Value::List(items) => Ok(items),
            _ if self.is_null() => Ok(&[]),
            _ => flaw(self.line, format!("{what} must be a list, not {}: begin each item with a dash", self.kind())),
        }
    }

    /// A mapping's pairs, those merged by `<<` last and only where the mapping itself has no such key; none of null.
    pub fn map(&self, what: &str) -> Result<Vec<(Key, Rc<Node>)>, Flaw> {
        let (mut pairs, mut merges) = (Vec::new(), 0);
        self.collect(what, &mut pairs, &mut merges)?;
        Ok(pairs)
    }

    fn collect(&self, what: &str, out: &mut Vec<(Key, Rc<Node>)>, merges: &mut u32) -> Result<(), Flaw> {
        let own = match &self.value {
            Value::Map(pairs) => pairs,
            _ if self.is_null() => return Ok(()),
            _ => return flaw(self.line, format!("{what} must be a mapping of names to values, not {}", self.kind())),
        };
        for (key, node) in own.iter().filter(|(key, _)| key.text != "<<") {
            if !out.iter().any(|(k, _)| k.text == key.text) {
                out.push((key.clone(), node.clone()));
            }
        }
        for (_, node) in own.iter().filter(|(key, _)| key.text == "<<") {
            let list = core::slice::from_ref(node);
            let merged = if let Value::List(items) = &node.value { items } else { list };
            for node in merged {
                *merges += 1;
                if *merges > MERGES_MAX {
                    return flaw(
                        node.line,
                        format!("more than {MERGES_MAX} mappings merged into one: write the fields out"),
                    );
                }
                node.collect(what, out, merges)?;
            }
        }
        Ok(())
    }
}
