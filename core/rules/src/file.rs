//! Prometheus rule files: YAML into groups and rules, as strict as Prometheus 3 is.
//!
//! Source: `model/rulefmt/rulefmt.go` of Prometheus 3.15; the messages are its own, followed by what to do.
use crate::RuleError;
use crate::duration;
use crate::set::{Alerting, Group, Rule, RuleKind, RuleSet};
use crate::template::Template;
use crate::yaml::{self, Flaw, Key, Node, flaw};
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_model::{Evaluation, Labels, RuleFiles, labels};
use faultline_promql::{Features, ParseError};

/// Largest rule file, in bytes.
pub const FILE_SIZE_MAX: usize = 4 << 20;
/// Most rules of all files together; an empty group counts as one.
pub const RULES_MAX: usize = 10_000;
/// Most labels, and most annotations, of one rule.
pub const LABELS_MAX: usize = 128;
/// Interval of groups where neither they nor the set state one, in ms: Prometheus' own.
const INTERVAL_DEFAULT_MS: i64 = 60_000;

/// Reads a set of rule files.
///
/// Fails on a feature that there is not, and on the first thing in them that Prometheus would refuse, that is beyond a bound, or that `promql` does not
/// evaluate yet.
pub fn parse(files: &RuleFiles) -> Result<RuleSet, RuleError> {
    let features = Features::named(files.features.iter().map(|name| &**name));
    let features = features.map_err(|error| RuleError { file: String::new(), line: 0, reason: error.to_string() })?;
    let mut set = RuleSet {
        features,
        groups: Vec::new(),
        external_labels: Labels::new(files.external_labels.iter().map(|(n, v)| (n, v))),
        external_url: files.external_url.clone(),
    };
    let mut count = 0;
    for file in &files.files {
        let refuse = |Flaw { line, what }: Flaw| RuleError { file: file.name.clone(), line, reason: what };
        if file.text.len() > FILE_SIZE_MAX {
            let what = format!("file of {} bytes, more than {FILE_SIZE_MAX}: split it", file.text.len());
            return Err(refuse(Flaw { line: 0, what }));
        }
        if set.groups.iter().any(|g| g.file == file.name) {
            return Err(refuse(Flaw { line: 0, what: "two rule files have this name: rename one".into() }));
        }
        let mut reader = FileReader { file: &file.name, files, features, count: &mut count };
        set.groups.append(&mut reader.read(&file.text).map_err(refuse)?);
    }
    // A slip in such a name would page people.
    if let Some(name) = files.dry_run.iter().find(|name| set.groups.iter().all(|group| group.name != **name)) {
        let reason = format!("no rule file has a group {name:?}, which is to be tried only: mend rules.dry_run");
        return Err(RuleError { file: String::new(), line: 0, reason });
    }
    Ok(set)
}

struct FileReader<'a> {
    file: &'a str,
    files: &'a RuleFiles,
    features: Features,
    /// Rules so far, in all files.
    count: &'a mut usize,
}

/// The fields of a mapping, by name.
struct Fields {
    line: u64,
    pairs: Vec<(Key, Rc<Node>)>,
}

impl Fields {
    fn of(node: &Node, what: &str, known: &[&str]) -> Result<Fields, Flaw> {
        let pairs = node.map(what)?;
        if let Some((key, _)) = pairs.iter().find(|(key, _)| !known.contains(&&*key.text)) {
            let known = known.join(", ");
            return flaw(key.line, format!("field {} not found in {what}: the fields are {known}", key.text));
        }
        Ok(Fields { line: node.line, pairs })
    }

    fn get(&self, name: &str) -> Option<&Node> {
        self.pairs.iter().find(|(key, _)| key.text == name).map(|(_, node)| &**node)
    }

    fn line(&self, name: &str) -> u64 {
        self.get(name).map_or(self.line, |node| node.line)
    }

    fn text(&self, name: &str) -> Result<&str, Flaw> {
        self.get(name).map_or(Ok(""), |node| node.text(&format!("field {name}")))
    }

    /// A duration in ms; nothing where the field is absent or null.
    fn duration(&self, name: &str) -> Result<Option<i64>, Flaw> {
        let Some(node) = self.get(name).filter(|node| !node.is_null()) else { return Ok(None) };
        match duration::parse_ns(node.text(&format!("field {name}"))?) {
            Ok(ns) => Ok(Some(ns / 1_000_000)),
            Err(what) => flaw(node.line, format!("field {name}: {what}; write it like 30s, 5m or 1h30m")),
        }
    }

    /// Names and texts, with the lines of the values.
    fn texts(&self, name: &str) -> Result<Vec<(Key, Rc<Node>, String)>, Flaw> {
        let Some(node) = self.get(name) else { return Ok(Vec::new()) };
        let pairs = node.map(&format!("field {name}"))?;
        if pairs.len() > LABELS_MAX {
            return flaw(node.line, format!("more than {LABELS_MAX} {name}: take some out"));
        }
        let with_text = |(key, node): (Key, Rc<Node>)| {
            let text = node.text(&format!("{name} {:?}", key.text))?.to_owned();
            Ok((key, node, text))
        };
        pairs.into_iter().map(with_text).collect()
    }

    /// Labels, whose names are checked.
    fn labels(&self) -> Result<Vec<(Key, Rc<Node>, String)>, Flaw> {
        let labels = self.texts("labels")?;
        match labels.iter().find(|(key, ..)| key.text.is_empty() || key.text == labels::NAME) {
            Some((key, ..)) => flaw(key.line, format!("invalid label name: {}: choose another", key.text)),
            None => Ok(labels),
        }
    }
}

impl FileReader<'_> {
    fn read(&mut self, text: &str) -> Result<Vec<Group>, Flaw> {
        let Some(root) = yaml::load(text.strip_prefix('\u{feff}').unwrap_or(text))? else { return Ok(Vec::new()) };
        let root = Fields::of(&root, "the file", &["groups"])?;
        let mut groups: Vec<Group> = Vec::new();
        let mut names = BTreeSet::new();
        for node in root.get("groups").map_or(Ok(&[][..]), |node| node.list("field groups"))? {
            let group = self.group(node)?;
            if !names.insert(group.name.clone()) {
                let what = format!("groupname: {:?} is repeated in the same file: rename one of the two", group.name);
                return flaw(node.line, what);
            }
            groups.push(group);
        }
        Ok(groups)
    }

    fn count(&mut self, line: u64) -> Result<(), Flaw> {
        *self.count += 1;
        if *self.count > RULES_MAX {
            return flaw(line, format!("more than {RULES_MAX} rules in all files: take some out"));
        }
        Ok(())
    }

    fn group(&mut self, node: &Node) -> Result<Group, Flaw> {
        let known = ["name", "interval", "query_offset", "limit", "labels", "rules"];
        let fields = Fields::of(node, "a group", &known)?;
        let name = fields.text("name")?.to_owned();
        if name.is_empty() {
            return flaw(node.line, "Groupname must not be empty: give the group a name");
        }
        let default = if self.files.default_interval > 0 { self.files.default_interval } else { INTERVAL_DEFAULT_MS };
        let interval_ms = match fields.duration("interval")? {
            Some(ms) if ms > 0 => ms,
            _ => default,
        };
        let limit = match fields.text("limit")? {
            "" => 0,
            text => match text.replace('_', "").parse() {
                Ok(limit) => limit,
                Err(_) => return flaw(fields.line("limit"), format!("field limit: {text:?} is not a whole number")),
            },
        };
        let labels: BTreeMap<String, String> = fields.labels()?.into_iter().map(|(k, _, v)| (k.text, v)).collect();
        let mut rules = Vec::new();
        let nodes = fields.get("rules").map_or(Ok(&[][..]), |node| node.list("field rules"))?;
        for (i, node) in nodes.iter().enumerate() {
            self.count(node.line)?;
            rules.push(rule(node, &name, i + 1, &labels, self.features)?);
        }
        if rules.is_empty() {
            self.count(node.line)?;
        }
        Ok(Group {
            file: self.file.to_owned(),
            interval_ms,
            query_offset_ms: fields.duration("query_offset")?.unwrap_or(0),
            limit,
            evaluation: self.evaluation(&name),
            dry_run: self.files.dry_run.contains(&name),
            rules,
            name,
        })
    }

    /// As set for this group, else as for all. A setting for a group that no file has means nothing.
    fn evaluation(&self, group: &str) -> Evaluation {
        let own = self.files.groups.iter().find(|(name, _)| name == group);
        own.map_or(self.files.default_evaluation, |(_, evaluation)| *evaluation)
    }
}

fn rule(
    node: &Node,
    group: &str,
    number: usize,
    group_labels: &BTreeMap<String, String>,
    features: Features,
) -> Result<Rule, Flaw> {
    let known = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];
    let fields = Fields::of(node, "a rule", &known)?;
    let (record, alert) = (fields.text("record")?, fields.text("alert")?);
    let name = if alert.is_empty() { record } else { alert };
    let named = |what: String| format!("group {group:?}, rule {number}, {name:?}: {what}");
    let refuse = |line: u64, what: String| flaw(line, named(what));
    match (record.is_empty(), alert.is_empty()) {
        (false, false) => {
            return refuse(node.line, "only one of 'record' and 'alert' must be set: take one out".into());
        }
        (true, true) => {
            return refuse(node.line, "one of 'record' or 'alert' must be set: name the rule by one of them".into());
        }
        _ => {}
    }
    let text = fields.text("expr")?.to_owned();
    if text.is_empty() {
        return refuse(fields.line("expr"), "field 'expr' must be set in rule".into());
    }
    let expr = match faultline_promql::parse_with(&text, features) {
        Ok(expr) => expr,
        Err(error) => {
            let (ParseError::Syntax { line, .. } | ParseError::Unsupported { line, .. }) = &error else {
                return refuse(fields.line("expr"), format!("could not parse expression: {error}"));
            };
            // The parser places a block's text on its first line, not on that of its `|`.
            let line = fields.line("expr") + u64::from(line.saturating_sub(1));
            return refuse(line, format!("could not parse expression: {error}"));
        }
    };
    let own = fields.labels()?;
    let mut labels = group_labels.clone();
    labels.extend(own.iter().map(|(key, _, value)| (key.text.clone(), value.clone())));
    let kind = if alert.is_empty() { recording(&fields, record) } else { alerting(&fields, alert, &labels) };
    Ok(Rule {
        name: name.into(),
        asks_absence: asks_absence(&text),
        text: text.into(),
        expr,
        labels: labels.into_iter().collect(),
        kind: kind.map_err(|Flaw { line, what }| Flaw { line, what: named(what) })?,
        line: node.line,
    })
}

fn recording(fields: &Fields, record: &str) -> Result<RuleKind, Flaw> {
    let line = fields.line("record");
    if fields.get("annotations").is_some_and(|node| node.map("").is_ok_and(|map| !map.is_empty())) {
        return flaw(line, "invalid field 'annotations' in recording rule: take it out");
    }
    for name in ["for", "keep_firing_for"] {
        if fields.duration(name)?.is_some_and(|ms| ms != 0) {
            return flaw(line, format!("invalid field '{name}' in recording rule: take it out"));
        }
    }
    if record.contains(['{', '}']) {
        let what = format!("braces present in the recording rule name; should it be in expr?: {record}");
        return flaw(line, what);
    }
    Ok(RuleKind::Record)
}

fn alerting(fields: &Fields, alert: &str, labels: &BTreeMap<String, String>) -> Result<RuleKind, Flaw> {
    let parse = |what: &str, name: &str, line: u64, text: &str| match Template::parse(alert, text) {
        Ok(template) => Ok(template),
        Err(error) => flaw(line, format!("{what} {name:?}: {error}")),
    };
    let mut annotated = Vec::new();
    for (key, node, text) in fields.texts("annotations")? {
        if key.text.is_empty() {
            return flaw(key.line, "invalid annotation name: : give it a name");
        }
        let template = parse("annotation", &key.text, node.line, &text)?;
        annotated.push(((key.text, text), template));
    }
    annotated.sort_by(|a, b| a.0.0.cmp(&b.0.0));
    let (annotations, templates): (Vec<_>, Vec<_>) = annotated.into_iter().unzip();
    let label_line = |name: &str| {
        let own = fields.get("labels").and_then(|node| node.map("").ok());
        own.and_then(|pairs| pairs.into_iter().find(|(key, _)| key.text == name))
            .map_or(fields.line, |(key, _)| key.line)
    };
    let labels = labels.iter().map(|(name, text)| Ok((name.clone(), parse("label", name, label_line(name), text)?)));
    Ok(RuleKind::Alert(Alerting {
        for_ms: fields.duration("for")?.unwrap_or(0),
        keep_firing_for_ms: fields.duration("keep_firing_for")?.unwrap_or(0),
        labels: labels.collect::<Result<_, Flaw>>()?,
        annotations: annotations.into(),
        templates,
    }))
}

/// Whether missing data can make an expression hold: it calls `absent` or `absent_over_time`, or has an `unless`. Told
/// by its words: none of them means anything else where it stands.
fn asks_absence(text: &str) -> bool {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let size = match c {
            '"' | '\'' | '`' => quoted_size(rest, c),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            c if c.is_alphabetic() || c == '_' => {
                let size = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
                let word = rest[..size].to_ascii_lowercase();
                let called = rest[size..].trim_start().starts_with('(');
                if word == "unless" || called && matches!(&*word, "absent" | "absent_over_time") {
                    return true;
                }
                size
            }
            c => c.len_utf8(),
        };
        rest = &rest[size..];
    }
    false
}

/// Size of the quoted text at the start of `text`, its quotes included.
fn quoted_size(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        if c == quote {
            return i + 1;
        }
        if c == '\\' && quote != '`' {
            chars.next();
        }
    }
    text.len()
}
