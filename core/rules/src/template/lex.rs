//! Cuts a template into tokens, as Go's `text/template/parse` does (Go 1.26, `lex.go`).
use super::quote;
use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    // From here on words with a meaning of their own: they print as `<word>` in errors.
    Dot,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

/// A token: where it starts in the text, and its text (or, of an error, the message).
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub start: usize,
    pub text: Cow<'a, str>,
}

impl Token<'_> {
    /// The token as Go's parser names it in errors.
    pub fn shown(&self) -> alloc::string::String {
        match self.kind {
            Kind::Eof => "EOF".into(),
            Kind::Error => self.text.clone().into_owned(),
            kind if kind as u8 >= Kind::Dot as u8 => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                format!("{}...", quote(&self.text.chars().take(10).collect::<alloc::string::String>()))
            }
            _ => quote(&self.text),
        }
    }
}

const TRIM: usize = 2; // The trim marker with its blank: "- " after "{{", " -" before "}}".

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

fn trims_left(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 2 && bytes[0] == b'-' && is_space(char::from(bytes[1]))
}

fn trims_right(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 2 && is_space(char::from(bytes[0])) && bytes[1] == b'-'
}

/// All tokens of `text`; the last is [`Kind::Eof`] or [`Kind::Error`].
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { text, start: 0, at: 0, out: Vec::new(), parens: 0 };
    if let Err(message) = lexer.run() {
        let start = lexer.start;
        lexer.out.push(Token { kind: Kind::Error, start, text: message });
    }
    lexer.out
}

struct Lexer<'a> {
    text: &'a str,
    /// Start of the token being read.
    start: usize,
    at: usize,
    out: Vec<Token<'a>>,
    /// Parentheses open in this action.
    parens: u32,
}

type Step = Result<(), Cow<'static, str>>;

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, set: &str) -> bool {
        let taken = self.peek().is_some_and(|c| set.contains(c));
        self.at += usize::from(taken); // The sets are ASCII.
        taken
    }

    fn accept_run(&mut self, set: &str) {
        while self.accept(set) {}
    }

    fn push(&mut self, kind: Kind) {
        self.out.push(Token { kind, start: self.start, text: Cow::Borrowed(&self.text[self.start..self.at]) });
        self.start = self.at;
    }

    fn run(&mut self) -> Step {
        while let Some(offset) = self.rest().find("{{") {
            self.text_before(self.at + offset);
            self.action()?;
        }
        self.at = self.text.len();
        if self.at > self.start {
            self.push(Kind::Text);
        }
        self.push(Kind::Eof);
        Ok(())
    }

    /// The text up to the delimiter at `delim`, without the blanks that `{{- ` takes away.
    fn text_before(&mut self, delim: usize) {
        let text = &self.text[self.start..delim];
        let kept = if trims_left(&self.text[delim + 2..]) { text.trim_end_matches(is_space) } else { text };
        self.at = self.start + kept.len();
        if !kept.is_empty() {
            self.push(Kind::Text);
        }
        self.at = delim;
        self.start = delim;
    }

    /// From `{{` to `}}`.
    fn action(&mut self) -> Step {
        self.at += 2;
        let marker = if trims_left(self.rest()) { TRIM } else { 0 };
        if self.text[self.at + marker..].starts_with("/*") {
            self.at += marker;
            self.start = self.at;
            return self.comment();
        }
        self.push(Kind::LeftDelim);
        self.at += marker;
        self.start = self.at;
        self.parens = 0;
        while !self.right_delim()? {
            self.inside()?;
        }
        Ok(())
    }

    /// Whether `}}` stands here, and whether it trims.
    fn at_right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if trims_right(rest) && rest[TRIM..].starts_with("}}") {
            return Some(true);
        }
        rest.starts_with("}}").then_some(false)
    }

    fn after_right_delim(&mut self, trims: bool) {
        if trims {
            self.at += self.rest().len() - self.rest().trim_start_matches(is_space).len();
        }
        self.start = self.at;
    }

    fn right_delim(&mut self) -> Result<bool, Cow<'static, str>> {
        let Some(trims) = self.at_right_delim() else { return Ok(false) };
        if self.parens > 0 {
            return Err("unclosed left paren".into());
        }
        if trims {
            self.at += TRIM;
            self.start = self.at;
        }
        self.at += 2;
        self.push(Kind::RightDelim);
        self.after_right_delim(trims);
        Ok(true)
    }

    fn comment(&mut self) -> Step {
        let Some(offset) = self.text[self.at + 2..].find("*/") else { return Err("unclosed comment".into()) };
        self.at += 2 + offset + 2;
        let Some(trims) = self.at_right_delim() else { return Err("comment ends before closing delimiter".into()) };
        self.at += if trims { TRIM + 2 } else { 2 };
        self.after_right_delim(trims);
        Ok(())
    }

    fn inside(&mut self) -> Step {
        let Some(c) = self.next() else { return Err("unclosed action".into()) };
        match c {
            c if is_space(c) => self.space(),
            '=' => self.push(Kind::Assign),
            ':' if self.next() == Some('=') => self.push(Kind::Declare),
            ':' => return Err("expected :=".into()),
            '|' => self.push(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string")?,
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant")?,
            '`' => {
                let end = self.rest().find('`').ok_or("unterminated raw quoted string")?;
                self.at += end + 1;
                self.push(Kind::RawString);
            }
            '$' => self.name(Kind::Variable)?,
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) && self.at < self.text.len() => {
                self.name(Kind::Field)?
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.at -= 1;
                self.number()?;
            }
            c if is_word(c) => self.identifier()?,
            '(' => {
                self.parens += 1;
                self.push(Kind::LeftParen);
            }
            ')' if self.parens == 0 => return Err("unexpected right paren".into()),
            ')' => {
                self.parens -= 1;
                self.push(Kind::RightParen);
            }
            c if c.is_ascii_graphic() => self.push(Kind::Char),
            c => return Err(format!("unrecognized character in action: {}", shown(c)).into()),
        }
        Ok(())
    }

    /// A run of blanks, the first of which is behind us. The last blank belongs to a trimming ` -}}`.
    fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
        let last = self.at - 1;
        let tail = &self.text[last..];
        if trims_right(tail) && tail[TRIM..].starts_with("}}") {
            self.at = last;
            if self.at == self.start {
                return;
            }
        }
        self.push(Kind::Space);
    }

    fn identifier(&mut self) -> Step {
        let word = self.word()?;
        let kind = match word {
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "nil" => Kind::Nil,
            "range" => Kind::Range,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.push(kind);
        Ok(())
    }

    /// `.name` or `$name`, the sign behind us; alone it is the dot or `$` itself.
    fn name(&mut self, kind: Kind) -> Step {
        if self.at_terminator() {
            self.push(if kind == Kind::Field { Kind::Dot } else { kind });
            return Ok(());
        }
        self.word()?;
        self.push(kind);
        Ok(())
    }

    fn word(&mut self) -> Result<&'a str, Cow<'static, str>> {
        while self.peek().is_some_and(is_word) {
            self.next();
        }
        if !self.at_terminator() {
            let c = self.peek().map_or("U+FFFFFFFFFFFFFFFF".into(), shown);
            return Err(format!("bad character {c}").into());
        }
        Ok(&self.text[self.start..self.at])
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.rest().starts_with("}}"),
        }
    }

    fn quoted(&mut self, end: char, kind: Kind, unterminated: &'static str) -> Step {
        loop {
            match self.next() {
                None | Some('\n') => return Err(unterminated.into()),
                Some('\\') if matches!(self.next(), None | Some('\n')) => return Err(unterminated.into()),
                Some(c) if c == end => break,
                Some(_) => {}
            }
        }
        self.push(kind);
        Ok(())
    }

    fn number(&mut self) -> Step {
        let mut whole = self.scan_number();
        let mut kind = Kind::Number;
        if whole && matches!(self.peek(), Some('+' | '-')) {
            whole = self.scan_number() && self.text[..self.at].ends_with('i');
            kind = Kind::Complex;
        }
        if !whole {
            return Err(format!("bad number syntax: {}", quote(&self.text[self.start..self.at])).into());
        }
        self.push(kind);
        Ok(())
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = match digits.len() {
            11 => self.accept("eE"),
            23 => self.accept("pP"),
            _ => false,
        };
        if exponent {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_word) {
            self.next();
            return false;
        }
        true
    }
}

/// A character as Go's `%#U` shows it.
fn shown(c: char) -> alloc::string::String {
    if c.is_control() || (c.is_whitespace() && c != ' ') {
        format!("U+{:04X}", u32::from(c))
    } else {
        format!("U+{:04X} '{c}'", u32::from(c))
    }
}
