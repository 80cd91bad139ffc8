//! Reads a template's tokens into a tree, with the errors of Go's `text/template/parse` (Go 1.26, `parse.go`).
use super::functions::is_function;
use super::lex::{Kind, Token, tokens};
use super::tree::{Command, List, Node, Operand, Pipe, Term};
use super::{NEST_MAX, quote, unquote};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A template and those that it defines, by name.
pub(super) type Trees = BTreeMap<String, List>;

/// Reads `text`. The error is Go's message, `template: NAME:LINE: what`.
pub(super) fn parse(name: &str, text: &str) -> Result<Trees, String> {
    let mut parser = Parser {
        name,
        text,
        tokens: tokens(text),
        at: 0,
        seen: 0,
        variables: alloc::vec!["$".to_owned()],
        ranges: 0,
        nesting: 0,
        action_line: 0,
        trees: Trees::new(),
    };
    let root = parser.root()?;
    parser.add(name, root)?;
    Ok(parser.trees)
}

/// What ends a list.
enum Stop {
    End,
    Else,
}

enum Item {
    Node(Node),
    Stop(Stop),
}

struct Parser<'a> {
    name: &'a str,
    text: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
    /// The furthest token looked at: errors name its line, as Go's do.
    seen: usize,
    variables: Vec<String>,
    /// `range` blocks open here.
    ranges: u32,
    nesting: u32,
    /// Line of the action being read, 0 outside.
    action_line: usize,
    trees: Trees,
}

type Read<T> = Result<T, String>;

impl<'a> Parser<'a> {
    // ---- tokens

    fn token(&mut self, at: usize) -> &Token<'a> {
        let at = at.min(self.tokens.len() - 1);
        self.seen = self.seen.max(at);
        &self.tokens[at]
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.token(self.at).clone();
        self.at += 1;
        token
    }

    fn peek(&mut self) -> &Token<'a> {
        self.token(self.at)
    }

    /// The kind of the next token that is not a blank; blanks before it are taken.
    fn peek_past_space(&mut self) -> Kind {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
        self.peek().kind
    }

    fn next_past_space(&mut self) -> Token<'a> {
        self.peek_past_space();
        self.next()
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text[..offset].matches('\n').count()
    }

    // ---- errors

    fn error<T>(&self, message: impl AsRef<str>) -> Read<T> {
        let line = self.line(self.tokens[self.seen].start);
        Err(format!("template: {}:{line}: {}", self.name, message.as_ref()))
    }

    fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Read<T> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {} in {context}", token.shown()));
        }
        let mut extra = String::new();
        if self.action_line != 0 && self.action_line != self.line(token.start) {
            extra = format!(" in action started at {}:{}", self.name, self.action_line);
            if token.text.ends_with(" action") {
                extra = extra[" in action".len()..].to_owned();
            }
        }
        self.error(format!("{}{extra}", token.shown()))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Read<Token<'a>> {
        let token = self.next_past_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    /// Bounds the parser's own recursion.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.nesting >= NEST_MAX {
            return self.error(format!("nested more than {NEST_MAX} deep"));
        }
        self.nesting += 1;
        let value = read(self)?;
        self.nesting -= 1;
        Ok(value)
    }

    // ---- lists and actions

    fn root(&mut self) -> Read<List> {
        let mut list = List::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let start = self.at;
                self.at += 1;
                if self.next_past_space().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.at = start;
            }
            match self.text_or_action()? {
                Item::Node(node) => list.push(node),
                Item::Stop(Stop::End) => return self.error("unexpected {{end}}"),
                Item::Stop(Stop::Else) => return self.error("unexpected {{else}}"),
            }
        }
        Ok(list)
    }

    fn definition(&mut self) -> Read<()> {
        let token = self.next_past_space();
        let name = self.template_name(&token, "define clause")?;
        self.expect(Kind::RightDelim, "define clause")?;
        let list = self.separate("define clause")?;
        self.add(&name, list)
    }

    /// A list with variables of its own, to its `{{end}}`.
    fn separate(&mut self, context: &str) -> Read<List> {
        let variables = core::mem::replace(&mut self.variables, alloc::vec!["$".to_owned()]);
        let ranges = core::mem::take(&mut self.ranges);
        let (list, stop) = self.list()?;
        self.variables = variables;
        self.ranges = ranges;
        match stop {
            Stop::End => Ok(list),
            Stop::Else => self.error(format!("unexpected {{{{else}}}} in {context}")),
        }
    }

    fn add(&mut self, name: &str, list: List) -> Read<()> {
        let blank = |list: &List| list.iter().all(|n| matches!(n, Node::Text(text) if text.trim().is_empty()));
        match self.trees.get(name) {
            Some(old) if !blank(old) && !blank(&list) => {
                self.error(format!("template: multiple definition of template {}", quote(name)))
            }
            Some(old) if !blank(old) => Ok(()),
            _ => {
                self.trees.insert(name.to_owned(), list);
                Ok(())
            }
        }
    }

    fn list(&mut self) -> Read<(List, Stop)> {
        self.nested(|p| {
            let mut list = List::new();
            while p.peek_past_space() != Kind::Eof {
                match p.text_or_action()? {
                    Item::Node(node) => list.push(node),
                    Item::Stop(stop) => return Ok((list, stop)),
                }
            }
            p.error("unexpected EOF")
        })
    }

    fn text_or_action(&mut self) -> Read<Item> {
        let token = self.next_past_space();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(token.text.into_owned()))),
            Kind::LeftDelim => {
                self.action_line = self.line(token.start);
                let item = self.action()?;
                self.action_line = 0;
                Ok(item)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Read<Item> {
        self.peek_past_space();
        let node = match self.peek().kind {
            Kind::Block => self.block()?,
            Kind::Break => self.jump("break", Node::Break)?,
            Kind::Continue => self.jump("continue", Node::Continue)?,
            Kind::Else => {
                self.at += 1;
                // `{{else if` and `{{else with`: the word stays for whoever opened the block.
                if !matches!(self.peek_past_space(), Kind::If | Kind::With) {
                    self.expect(Kind::RightDelim, "else")?;
                }
                return Ok(Item::Stop(Stop::Else));
            }
            Kind::End => {
                self.at += 1;
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Item::Stop(Stop::End));
            }
            Kind::If => self.branch("if")?,
            Kind::Range => self.branch("range")?,
            Kind::With => self.branch("with")?,
            Kind::Template => self.template()?,
            _ => Node::Action(self.pipeline("command", Kind::RightDelim)?),
        };
        Ok(Item::Node(node))
    }

    fn jump(&mut self, word: &str, node: Node) -> Read<Node> {
        self.at += 1;
        let token = self.next_past_space();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, &format!("{{{{{word}}}}}"));
        }
        if self.ranges == 0 {
            return self.error(format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    fn branch(&mut self, word: &'static str) -> Read<Node> {
        self.at += 1;
        let outer = self.variables.len();
        let pipe = self.pipeline(word, Kind::RightDelim)?;
        self.ranges += u32::from(word == "range");
        let (then, stop) = self.list()?;
        self.ranges -= u32::from(word == "range");
        let mut otherwise = List::new();
        if let Stop::Else = stop {
            let chained = match self.peek().kind {
                Kind::If => word == "if",
                Kind::With => word == "with",
                _ => false,
            };
            if chained {
                otherwise.push(self.nested(|p| p.branch(word))?);
            } else {
                let (list, stop) = self.list()?;
                otherwise = list;
                if let Stop::Else = stop {
                    return self.error("expected end; found {{else}}");
                }
            }
        }
        self.variables.truncate(outer);
        Ok(match word {
            "if" => Node::If { pipe, then, otherwise },
            "with" => Node::With { pipe, then, otherwise },
            _ => Node::Range { pipe, body: then, otherwise },
        })
    }

    fn block(&mut self) -> Read<Node> {
        self.at += 1;
        let token = self.next_past_space();
        let name = self.template_name(&token, "block clause")?;
        let pipe = self.pipeline("block clause", Kind::RightDelim)?;
        let list = self.separate("block clause")?;
        self.add(&name, list)?;
        Ok(Node::Template { start: token.start, name, pipe: Some(pipe) })
    }

    fn template(&mut self) -> Read<Node> {
        self.at += 1;
        let token = self.next_past_space();
        let name = self.template_name(&token, "template clause")?;
        let pipe = if self.peek_past_space() == Kind::RightDelim {
            self.at += 1;
            None
        } else {
            Some(self.pipeline("template clause", Kind::RightDelim)?)
        };
        Ok(Node::Template { start: token.start, name, pipe })
    }

    fn template_name(&mut self, token: &Token<'_>, context: &str) -> Read<String> {
        match token.kind {
            Kind::String | Kind::RawString => match unquote(&token.text) {
                Some(name) => Ok(name),
                None => self.error("invalid syntax"),
            },
            _ => self.unexpected(token, context),
        }
    }

    // ---- pipelines

    fn pipeline(&mut self, context: &'static str, end: Kind) -> Read<Pipe> {
        self.nested(|p| {
            p.peek_past_space();
            let start = p.peek().start;
            let mut pipe = Pipe { start, assigns: false, variables: Vec::new(), commands: Vec::new() };
            p.declarations(context, &mut pipe)?;
            loop {
                match p.peek_past_space() {
                    kind if kind == end => {
                        p.at += 1;
                        p.check(&pipe, context)?;
                        return Ok(pipe);
                    }
                    Kind::Bool
                    | Kind::CharConstant
                    | Kind::Complex
                    | Kind::Dot
                    | Kind::Field
                    | Kind::Identifier
                    | Kind::Number
                    | Kind::Nil
                    | Kind::RawString
                    | Kind::String
                    | Kind::Variable
                    | Kind::LeftParen => {
                        let command = p.command()?;
                        pipe.commands.push(command);
                    }
                    _ => {
                        let token = p.next();
                        return p.unexpected(&token, context);
                    }
                }
            }
        })
    }

    /// `$a :=`, `$a =` or, in a range, `$a, $b :=` before the commands.
    fn declarations(&mut self, context: &str, pipe: &mut Pipe) -> Read<()> {
        while self.peek_past_space() == Kind::Variable {
            let start = self.at;
            let name = self.next().text.into_owned();
            let kind = self.peek_past_space();
            match kind {
                Kind::Assign | Kind::Declare => {
                    self.at += 1;
                    pipe.assigns = kind == Kind::Assign;
                    pipe.variables.push(name.clone());
                    self.variables.push(name);
                    return Ok(());
                }
                Kind::Char if self.peek().text == "," => {
                    self.at += 1;
                    pipe.variables.push(name.clone());
                    self.variables.push(name);
                    if context != "range" || pipe.variables.len() >= 2 {
                        return self.error(format!("too many declarations in {context}"));
                    }
                    match self.peek_past_space() {
                        Kind::Variable | Kind::RightDelim | Kind::RightParen => {}
                        _ => return self.error("range can only initialize variables"),
                    }
                }
                _ => {
                    self.at = start;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn check(&self, pipe: &Pipe, context: &str) -> Read<()> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            if let Term::Bool(_)
            | Term::Dot
            | Term::Nil
            | Term::Int { .. }
            | Term::Overflow { .. }
            | Term::Float { .. }
            | Term::Str { .. } = command.operands[0].term
            {
                return self.error(format!("non executable command in pipeline stage {}", i + 1));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Read<Command> {
        self.peek_past_space();
        let mut command = Command { start: self.peek().start, operands: Vec::new() };
        loop {
            self.peek_past_space();
            if let Some(operand) = self.operand()? {
                command.operands.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.at -= 1,
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.operands.is_empty() { self.error("empty command") } else { Ok(command) }
    }

    fn operand(&mut self) -> Read<Option<Operand>> {
        let Some(first) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(first));
        }
        let start = self.peek().start;
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.next().text[1..].to_owned());
        }
        let term = match first.term {
            Term::Field(mut all) => {
                all.append(&mut names);
                Term::Field(all)
            }
            Term::Variable(mut all) => {
                all.append(&mut names);
                Term::Variable(all)
            }
            Term::Function(_) | Term::Pipe(_) | Term::Chain(..) => Term::Chain(Box::new(first), names),
            _ => return self.error(format!("unexpected . after term {}", quote(&first.to_string()))),
        };
        Ok(Some(Operand { start, term }))
    }

    fn term(&mut self) -> Read<Option<Operand>> {
        self.peek_past_space();
        let token = self.next();
        let text = &*token.text;
        let term = match token.kind {
            Kind::Identifier if is_function(text) => Term::Function(text.to_owned()),
            Kind::Identifier => return self.error(format!("function {} not defined", quote(text))),
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable if self.variables.iter().any(|v| v == text) => Term::Variable(alloc::vec![text.to_owned()]),
            Kind::Variable => return self.error(format!("undefined variable {}", quote(text))),
            Kind::Field => Term::Field(alloc::vec![text[1..].to_owned()]),
            Kind::Bool => Term::Bool(text == "true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => match number(text) {
                Ok(term) => term,
                Err(message) => return self.error(message),
            },
            Kind::LeftParen => Term::Pipe(Box::new(self.pipeline("parenthesized pipeline", Kind::RightParen)?)),
            Kind::String | Kind::RawString => match unquote(text) {
                Some(value) => Term::Str { quoted: text.to_owned(), value },
                None => return self.error("invalid syntax"),
            },
            _ => {
                self.at -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand { start: token.start, term }))
    }
}

/// A number as Go's templates read it: an `int` unless it is written as a float.
fn number(text: &str) -> Result<Term, String> {
    let shown = || text.to_owned();
    if text.starts_with('\'') {
        return match unquote(text).map(|c| (c.chars().next(), c.chars().count())) {
            Some((Some(c), 1)) => Ok(Term::Int { text: shown(), value: i64::from(u32::from(c)) }),
            _ => Err(format!("malformed character constant: {text}")),
        };
    }
    if text.ends_with('i') {
        return Err(format!("complex numbers are not supported: {text}"));
    }
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let plain: String = digits.chars().filter(|&c| c != '_').collect();
    let lower = plain.to_ascii_lowercase();
    let (radix, body) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|b| b.is_ascii_digit()) => (8, &lower[1..]),
        _ => (10, &*lower),
    };
    let signed = format!("{}{body}", if negative { "-" } else { "" });
    if let Ok(value) = i64::from_str_radix(&signed, radix) {
        return Ok(Term::Int { text: shown(), value });
    }
    if u64::from_str_radix(body, radix).is_ok() {
        return Ok(Term::Overflow { text: shown() });
    }
    let decimal = radix == 10 && body.bytes().any(|b| b.is_ascii_digit());
    match plain.parse::<f64>() {
        Ok(value) if decimal && value.is_finite() && lower.contains(['.', 'e']) => {
            let value = if negative { -value } else { value };
            Ok(Term::Float { text: shown(), value })
        }
        Ok(_) if decimal && !lower.contains(['.', 'e']) => Err(format!("integer overflow: {}", quote(text))),
        _ => Err(format!("illegal number syntax: {}", quote(text))),
    }
}
