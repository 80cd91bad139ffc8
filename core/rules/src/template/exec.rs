//! Runs a template's tree, as Go's `text/template` does (Go 1.26, `exec.go`), within bounds on steps, depth and output.
use super::functions::{Kind, Signature, call, signature};
use super::methods;
use super::parse::Trees;
use super::tree::{Command, List, Node, Operand, Pipe, Term, shown_template};
use super::value::{Value, bounded};
use super::{Context, DEPTH_MAX, STEPS_MAX, quote};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_model::Number;

/// Runs the tree named `name` over `dot`. The error is Go's message.
pub(super) fn execute(
    trees: &Trees,
    name: &str,
    text: &str,
    dot: Value,
    context: &mut Context<'_>,
) -> Result<String, String> {
    let variables = alloc::vec![("$".to_owned(), dot.clone())];
    let mut run = Run {
        trees,
        root: name,
        running: name,
        text,
        context,
        variables,
        out: String::new(),
        at: At::Nowhere,
        steps: 0,
        depth: 0,
    };
    let list = trees.get(name).expect("the root tree was parsed");
    run.list(&dot, list)?;
    Ok(run.out)
}

/// The part that runs: errors name it.
#[derive(Clone, Copy)]
enum At<'a> {
    Nowhere,
    Pipe(&'a Pipe),
    Command(&'a Command),
    Operand(&'a Operand),
    Template { start: usize, name: &'a str, pipe: Option<&'a Pipe> },
}

enum Flow {
    Next,
    Break,
    Continue,
}

/// What follows the function's name: operands, and the value of the stage before.
struct Given<'a> {
    operands: &'a [Operand],
    last: Option<Value>,
}

struct Run<'a, 'c, 'q> {
    trees: &'a Trees,
    root: &'a str,
    /// The (perhaps defined) template that runs.
    running: &'a str,
    text: &'a str,
    context: &'c mut Context<'q>,
    variables: Vec<(String, Value)>,
    out: String,
    at: At<'a>,
    steps: u32,
    depth: u32,
}

type Done<T> = Result<T, String>;

impl<'a> Run<'a, '_, '_> {
    fn error<T>(&self, message: impl AsRef<str>) -> Done<T> {
        let (start, shown) = match self.at {
            At::Nowhere => (0, String::new()),
            At::Pipe(pipe) => (pipe.start, pipe.to_string()),
            At::Command(command) => (command.start, command.to_string()),
            At::Operand(operand) => (operand.start, operand.to_string()),
            At::Template { start, name, pipe } => (start, shown_template(name, pipe)),
        };
        let before = &self.text[..start];
        let line = 1 + before.matches('\n').count();
        let column = start - before.rfind('\n').map_or(0, |i| i + 1);
        let (root, running) = (self.root, quote(self.running));
        Err(format!("template: {root}:{line}:{column}: executing {running} at <{shown}>: {}", message.as_ref()))
    }

    fn step(&mut self) -> Done<()> {
        self.steps += 1;
        if self.steps > STEPS_MAX { self.error(format!("more than {STEPS_MAX} steps")) } else { Ok(()) }
    }

    fn deeper<T>(&mut self, what: impl FnOnce(&mut Self) -> Done<T>) -> Done<T> {
        if self.depth >= DEPTH_MAX {
            return self.error(format!("exceeded maximum template depth ({DEPTH_MAX})"));
        }
        self.depth += 1;
        let value = what(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn write(&mut self, text: &str) -> Done<()> {
        self.out.push_str(text);
        bounded(&self.out).or_else(|e| self.error(e))
    }

    // ---- nodes

    fn list(&mut self, dot: &Value, list: &'a List) -> Done<Flow> {
        for node in list {
            match self.node(dot, node)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, dot: &Value, node: &'a Node) -> Done<Flow> {
        self.step()?;
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.print(&value)?;
                }
            }
            Node::If { pipe, then, otherwise } => return self.branch(dot, pipe, then, otherwise, false),
            Node::With { pipe, then, otherwise } => return self.branch(dot, pipe, then, otherwise, true),
            Node::Range { pipe, body, otherwise } => return self.range(dot, pipe, body, otherwise),
            Node::Template { start, name, pipe } => self.template(dot, *start, name, pipe.as_ref())?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Value) -> Done<()> {
        if *value == Value::Nothing {
            return self.write("<no value>");
        }
        let mut out = core::mem::take(&mut self.out);
        let printed = value.print(&mut out);
        self.out = out;
        printed.or_else(|e| self.error(e))
    }

    fn branch(&mut self, dot: &Value, pipe: &'a Pipe, then: &'a List, otherwise: &'a List, with: bool) -> Done<Flow> {
        let mark = self.variables.len();
        let value = self.pipe(dot, pipe)?;
        let flow = self.deeper(|run| match (value.truth(), with) {
            (true, true) => run.list(&value, then),
            (true, false) => run.list(dot, then),
            (false, _) => run.list(dot, otherwise),
        })?;
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn range(&mut self, dot: &Value, pipe: &'a Pipe, body: &'a List, otherwise: &'a List) -> Done<Flow> {
        let mark = self.variables.len();
        let over = self.pipe(dot, pipe)?;
        let mut ran = false;
        let mut turn = |run: &mut Self, index: Value, element: Value| -> Done<bool> {
            ran = true;
            run.bind(pipe, &index, &element)?;
            let inner = run.variables.len();
            let flow = run.deeper(|run| run.list(&element, body))?;
            run.variables.truncate(inner);
            Ok(!matches!(flow, Flow::Break))
        };
        match &over {
            Value::Nothing => {}
            Value::Samples(samples) => {
                for (i, sample) in samples.iter().enumerate() {
                    if !turn(self, Value::Int(i as i64), Value::Sample(Rc::new(sample.clone())))? {
                        break;
                    }
                }
            }
            Value::Labels(labels) => {
                for (name, value) in labels.iter() {
                    if !turn(self, Value::text(name), Value::text(value))? {
                        break;
                    }
                }
            }
            Value::Map(map, _) => {
                for (key, value) in map.iter() {
                    if !turn(self, Value::text(key), value.clone())? {
                        break;
                    }
                }
            }
            Value::Int(count) if pipe.variables.len() > 1 => {
                return self.error(format!("can't use {count} to iterate over more than one variable"));
            }
            Value::Int(count) => {
                for i in 0..*count {
                    self.step()?;
                    if !turn(self, Value::Nothing, Value::Int(i))? {
                        break;
                    }
                }
            }
            other => {
                let mut shown = String::new();
                other.print(&mut shown).or_else(|e| self.error(e))?;
                return self.error(format!("range can't iterate over {shown}"));
            }
        }
        let flow = if ran { Flow::Next } else { self.deeper(|run| run.list(dot, otherwise))? };
        self.variables.truncate(mark);
        Ok(flow)
    }

    /// Gives a range's variables the index and the element of this turn; one variable gets the element.
    fn bind(&mut self, pipe: &Pipe, index: &Value, element: &Value) -> Done<()> {
        let values = match pipe.variables.len() {
            0 => return Ok(()),
            1 => [Some(element), None],
            _ => [Some(index), Some(element)],
        };
        if pipe.assigns {
            for (name, value) in pipe.variables.iter().zip(values.into_iter().flatten()) {
                self.assign(name, value.clone())?;
            }
        } else {
            let first = self.variables.len() - pipe.variables.len();
            for (slot, value) in self.variables[first..].iter_mut().zip(values.into_iter().flatten()) {
                slot.1 = value.clone();
            }
        }
        Ok(())
    }

    fn template(&mut self, dot: &Value, start: usize, name: &'a str, pipe: Option<&'a Pipe>) -> Done<()> {
        self.at = At::Template { start, name, pipe };
        let Some(list) = self.trees.get(name) else {
            return self.error(format!("template {} not defined", quote(name)));
        };
        let dot = match pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Nothing,
        };
        let own = alloc::vec![("$".to_owned(), dot.clone())];
        let outer = core::mem::replace(&mut self.variables, own);
        let running = core::mem::replace(&mut self.running, name);
        self.deeper(|run| run.list(&dot, list))?;
        self.running = running;
        self.variables = outer;
        Ok(())
    }

    // ---- pipelines

    fn assign(&mut self, name: &str, value: Value) -> Done<()> {
        // The parser takes the name of an assignment for known, as Go's does.
        match self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            Some(slot) => {
                slot.1 = value;
                Ok(())
            }
            None => self.error(format!("undefined variable: {name}")),
        }
    }

    fn pipe(&mut self, dot: &Value, pipe: &'a Pipe) -> Done<Value> {
        self.at = At::Pipe(pipe);
        let value = self.deeper(|run| {
            let mut last = None;
            for command in &pipe.commands {
                last = Some(run.command(dot, command, last)?);
            }
            Ok(last.expect("the parser refuses empty pipelines"))
        })?;
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Value, command: &'a Command, last: Option<Value>) -> Done<Value> {
        self.step()?;
        let first = &command.operands[0];
        let given = Given { operands: &command.operands[1..], last };
        match &first.term {
            Term::Field(names) => {
                self.at = At::Operand(first);
                self.fields(dot, dot.clone(), names, At::Operand(first), given)
            }
            Term::Chain(inner, names) => self.chain(dot, first, inner, names, given),
            Term::Variable(names) => {
                self.at = At::Operand(first);
                let value = self.variable(&names[0])?;
                if names.len() == 1 {
                    self.refuse_arguments(first, &given)?;
                    return Ok(value);
                }
                self.fields(dot, value, &names[1..], At::Operand(first), given)
            }
            Term::Function(name) => {
                self.at = At::Operand(first);
                self.function(dot, name, At::Command(command), given)
            }
            Term::Pipe(pipe) => {
                self.refuse_arguments(first, &given)?;
                self.pipe(dot, pipe)
            }
            _ => {
                self.at = At::Operand(first);
                self.refuse_arguments(first, &given)?;
                self.literal(dot, first)
            }
        }
    }

    fn refuse_arguments(&self, first: &Operand, given: &Given<'_>) -> Done<()> {
        if given.operands.is_empty() && given.last.is_none() {
            return Ok(());
        }
        self.error(format!("can't give argument to non-function {first}"))
    }

    fn variable(&self, name: &str) -> Done<Value> {
        match self.variables.iter().rev().find(|(n, _)| n == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.error(format!("undefined variable: {name}")),
        }
    }

    fn literal(&self, dot: &Value, operand: &Operand) -> Done<Value> {
        match &operand.term {
            Term::Dot => Ok(dot.clone()),
            Term::Bool(value) => Ok(Value::Bool(*value)),
            Term::Int { value, .. } => Ok(Value::Int(*value)),
            Term::Float { value, .. } => Ok(Value::Float(*value)),
            Term::Str { value, .. } => Ok(Value::text(value)),
            Term::Overflow { text } => self.error(format!("{text} overflows int")),
            Term::Nil => self.error("nil is not a command"),
            _ => unreachable!("no literal"),
        }
    }

    fn chain(
        &mut self,
        dot: &Value,
        whole: &'a Operand,
        inner: &'a Operand,
        names: &'a [String],
        given: Given<'a>,
    ) -> Done<Value> {
        self.at = At::Operand(whole);
        let receiver = self.argument(dot, inner, Kind::Any)?;
        self.fields(dot, receiver, names, At::Operand(whole), given)
    }

    /// Walks `.a.b.c` from `receiver`; the last of them may be a method, which takes what is given.
    fn fields(
        &mut self,
        dot: &Value,
        receiver: Value,
        names: &'a [String],
        node: At<'a>,
        given: Given<'a>,
    ) -> Done<Value> {
        let (last, before) = names.split_last().expect("a field has a name");
        let mut receiver = receiver;
        for name in before {
            receiver = self.field(dot, &receiver, name, node, Given { operands: &[], last: None })?;
        }
        self.field(dot, &receiver, last, node, given)
    }

    fn field(&mut self, dot: &Value, receiver: &Value, name: &str, node: At<'a>, given: Given<'a>) -> Done<Value> {
        if let Some(signature) = methods::signature(receiver, name) {
            let args = self.arguments(dot, signature, given)?;
            return methods::call(receiver, name, &args).or_else(|e| {
                self.at = node;
                self.error(format!("error calling {name}: {e}"))
            });
        }
        let has_arguments = !given.operands.is_empty() || given.last.is_some();
        let value = match (receiver, name) {
            (Value::Nothing, _) => return Ok(Value::Nothing),
            (Value::Labels(labels), _) if !has_arguments => return Ok(Value::text(labels.get(name))),
            (Value::Map(map, _), _) if !has_arguments => return Ok(map.get(name).cloned().unwrap_or(Value::Nothing)),
            (Value::Labels(_) | Value::Map(..), _) => {
                return self.error(format!("{name} is not a method but has arguments"));
            }
            (Value::Data(data), "Labels") => Value::Labels(data.labels.clone()),
            (Value::Data(data), "ExternalLabels") => Value::Labels(data.external_labels.clone()),
            (Value::Data(data), "ExternalURL") => Value::text(&data.external_url),
            (Value::Data(data), "Value") => match &data.value {
                Number::Float(x) => Value::Float(*x),
                Number::Histogram(histogram) => Value::Histogram(histogram.clone()),
            },
            (Value::Sample(sample), "Labels") => Value::Labels(sample.labels.clone()),
            (Value::Sample(sample), "Value") => Value::Float(sample.value),
            (other, _) => return self.error(format!("can't evaluate field {name} in type {}", other.type_name())),
        };
        if has_arguments {
            return self.error(format!("{name} has arguments but cannot be invoked as function"));
        }
        Ok(value)
    }

    // ---- calls

    fn function(&mut self, dot: &Value, name: &str, node: At<'a>, given: Given<'a>) -> Done<Value> {
        let signature = signature(name).expect("the parser checked the function");
        if name == "and" || name == "or" {
            return self.short_circuit(dot, signature, given);
        }
        let args = self.arguments(dot, signature, given)?;
        call(name, &args, self.context).or_else(|e| {
            self.at = node;
            self.error(format!("error calling {name}: {e}"))
        })
    }

    fn check_count(&self, signature: &Signature, given: &Given<'_>) -> Done<()> {
        let count = given.operands.len() + usize::from(given.last.is_some());
        let (name, want) = (signature.name, signature.fixed.len());
        match signature.more {
            Some(_) if count < want => self
                .error(format!("wrong number of args for {name}: want at least {want} got {}", given.operands.len())),
            None if count != want => self.error(format!("wrong number of args for {name}: want {want} got {count}")),
            _ => Ok(()),
        }
    }

    fn short_circuit(&mut self, dot: &Value, signature: &Signature, given: Given<'a>) -> Done<Value> {
        self.check_count(signature, &given)?;
        let mut value = Value::Nothing;
        for operand in given.operands {
            value = self.argument(dot, operand, Kind::Reflected)?;
            if value.truth() == (signature.name == "or") {
                return Ok(value);
            }
        }
        Ok(given.last.unwrap_or(value))
    }

    fn arguments(&mut self, dot: &Value, signature: &Signature, given: Given<'a>) -> Done<Vec<Value>> {
        self.check_count(signature, &given)?;
        let kind = |i: usize| signature.fixed.get(i).copied().or(signature.more).expect("the count was checked");
        let mut args = Vec::with_capacity(given.operands.len() + 1);
        for (i, operand) in given.operands.iter().enumerate() {
            args.push(self.argument(dot, operand, kind(i))?);
        }
        if let Some(last) = given.last {
            args.push(self.checked(last, kind(given.operands.len()))?);
        }
        Ok(args)
    }

    /// The value, if the parameter accepts it.
    fn checked(&self, value: Value, kind: Kind) -> Done<Value> {
        let expected = match (kind, &value) {
            (Kind::Any | Kind::Reflected, _)
            | (Kind::Text, Value::Text(_))
            | (Kind::Samples, Value::Samples(_) | Value::Nothing)
            | (Kind::Sample, Value::Sample(_) | Value::Nothing) => return Ok(value),
            (Kind::Text, Value::Nothing) => return self.error("invalid value; expected string"),
            (Kind::Text, _) => "string",
            (Kind::Samples, _) => "template.queryResult",
            (Kind::Sample, _) => "*template.sample",
        };
        self.error(format!("wrong type for value; expected {expected}; got {}", value.type_name()))
    }

    fn argument(&mut self, dot: &Value, operand: &'a Operand, kind: Kind) -> Done<Value> {
        self.step()?;
        self.at = At::Operand(operand);
        let nothing = Given { operands: &[], last: None };
        let value = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Field(names) => self.fields(dot, dot.clone(), names, At::Operand(operand), nothing)?,
            Term::Variable(names) => {
                let value = self.variable(&names[0])?;
                if names.len() == 1 {
                    value
                } else {
                    self.fields(dot, value, &names[1..], At::Operand(operand), nothing)?
                }
            }
            Term::Pipe(pipe) => self.pipe(dot, pipe)?,
            Term::Function(name) => self.function(dot, name, At::Operand(operand), nothing)?,
            Term::Chain(inner, names) => self.chain(dot, operand, inner, names, nothing)?,
            Term::Nil if kind == Kind::Text => return self.error("cannot assign nil to string"),
            Term::Nil => Value::Nothing,
            _ => return self.literal_argument(dot, operand, kind),
        };
        self.checked(value, kind)
    }

    fn literal_argument(&mut self, dot: &Value, operand: &'a Operand, kind: Kind) -> Done<Value> {
        match (kind, &operand.term) {
            (Kind::Any | Kind::Reflected, _) | (Kind::Text, Term::Str { .. }) => self.literal(dot, operand),
            (Kind::Text, _) => self.error(format!("expected string; found {operand}")),
            (Kind::Samples, _) => self.error(format!("can't handle {operand} for arg of type template.queryResult")),
            (Kind::Sample, _) => self.error(format!("can't handle {operand} for arg of type *template.sample")),
        }
    }
}
