//! Text to tokens.
//!
//! PromQL's words depend on where they stand: within braces there are no keywords, within brackets no metric names.
//! The tokens end with `End`, or with `Error` at the first byte that belongs to none.
use crate::expr::BinOp;
use crate::function::AggOp;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    End,
    Error,
    Number,
    Duration,
    Text,
    /// A name that may be a metric, a label or a function.
    Name,
    /// A name with a colon in it, which only a metric may have.
    MetricName,
    Op(BinOp),
    Aggregation(AggOp),
    Keyword(Keyword),
    /// `=`, `=~` and `!~` stand within braces only; `!=` is [`BinOp::NotEqual`] everywhere.
    Assign,
    MatchRegex,
    NotMatchRegex,
    At,
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
}

/// Words with a meaning of their own in some places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Anchored,
    Bool,
    By,
    End,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    MaxOf,
    MinOf,
    Offset,
    On,
    Range,
    Smoothed,
    Start,
    Step,
    Without,
}

impl Keyword {
    fn of(word: &str) -> Option<Keyword> {
        const ALL: &[(&str, Keyword)] = &[
            ("anchored", Keyword::Anchored),
            ("bool", Keyword::Bool),
            ("by", Keyword::By),
            ("end", Keyword::End),
            ("fill", Keyword::Fill),
            ("fill_left", Keyword::FillLeft),
            ("fill_right", Keyword::FillRight),
            ("group_left", Keyword::GroupLeft),
            ("group_right", Keyword::GroupRight),
            ("ignoring", Keyword::Ignoring),
            ("max_of", Keyword::MaxOf),
            ("min_of", Keyword::MinOf),
            ("offset", Keyword::Offset),
            ("on", Keyword::On),
            ("range", Keyword::Range),
            ("smoothed", Keyword::Smoothed),
            ("start", Keyword::Start),
            ("step", Keyword::Step),
            ("without", Keyword::Without),
        ];
        ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, keyword)| *keyword)
    }

    /// Whether it can be a metric's name where one may stand.
    pub(crate) fn may_name_metric(self) -> bool {
        use Keyword::{Bool, GroupLeft, GroupRight, Ignoring, On};
        !matches!(self, Bool | GroupLeft | GroupRight | Ignoring | On)
    }

    /// Whether there is a function of that name.
    pub(crate) fn may_name_function(self) -> bool {
        use Keyword::{End, MaxOf, MinOf, Range, Start, Step};
        matches!(self, End | MaxOf | MinOf | Range | Start | Step)
    }

    /// Whether Prometheus describes it as a keyword in its errors.
    fn described(self) -> bool {
        !matches!(
            self,
            Keyword::End | Keyword::MaxOf | Keyword::MinOf | Keyword::Range | Keyword::Start | Keyword::Step
        )
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    /// The token as Prometheus describes it in its errors.
    pub(crate) fn describe(&self, text: &str) -> String {
        let word = &text[self.start..self.end];
        let cut = |word: &str| match word.char_indices().nth(10) {
            Some((end, _)) => format!("{:?}...", &word[..end]),
            None => format!("{word:?}"),
        };
        match self.kind {
            TokenKind::End => "end of input".into(),
            TokenKind::Name => format!("identifier {word:?}"),
            TokenKind::MetricName => format!("metric identifier {word:?}"),
            TokenKind::Number => format!("number {}", cut(word)),
            TokenKind::Duration => format!("duration {}", cut(word)),
            TokenKind::Text => format!("string {}", cut(word)),
            TokenKind::Op(_) | TokenKind::MatchRegex | TokenKind::NotMatchRegex | TokenKind::At => {
                format!("<op:{word}>")
            }
            TokenKind::Aggregation(_) => format!("<aggr:{word}>"),
            TokenKind::Keyword(keyword) if keyword.described() => format!("<{word}>"),
            _ => format!("{word:?}"),
        }
    }
}

/// The tokens of a text, and what is wrong where the last of them is `Error`.
pub(crate) struct Tokens {
    pub(crate) tokens: Vec<Token>,
    pub(crate) error: String,
}

pub(crate) fn lex(text: &str) -> Tokens {
    let mut lexer = Lexer {
        text,
        at: 0,
        start: 0,
        parens: 0,
        in_braces: false,
        in_brackets: false,
        in_length: false,
        colon: false,
    };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        lexer.start = lexer.at;
        match lexer.token() {
            Ok(kind) => {
                tokens.push(Token { kind, start: lexer.start, end: lexer.at });
                if kind == TokenKind::End {
                    return Tokens { tokens, error: String::new() };
                }
            }
            Err(error) => {
                tokens.push(Token { kind: TokenKind::Error, start: lexer.start, end: text.len() });
                return Tokens { tokens, error };
            }
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    start: usize,
    parens: usize,
    in_braces: bool,
    in_brackets: bool,
    /// Whether no number has come yet since the bracket was opened.
    in_length: bool,
    colon: bool,
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    fn eat_while(&mut self, mut wanted: impl FnMut(char) -> bool) {
        let size = self.rest().find(|c| !wanted(c)).unwrap_or(self.rest().len());
        self.at += size;
    }

    /// Skips space and comments.
    fn skip_blank(&mut self) {
        loop {
            self.eat_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            if self.peek() != Some('#') {
                return;
            }
            self.eat_while(|c| c != '\n' && c != '\r');
        }
    }

    fn token(&mut self) -> Result<TokenKind, String> {
        let Some(c) = self.bump() else {
            return match () {
                () if self.in_length => Err("unexpected end of input in duration expression".into()),
                () if self.in_braces => Err("unexpected end of input inside braces".into()),
                () if self.parens > 0 => Err("unclosed left parenthesis".into()),
                () if self.in_brackets => Err("unclosed left bracket".into()),
                () => Ok(TokenKind::End),
            };
        };
        match c {
            ',' => Ok(TokenKind::Comma),
            '"' | '\'' | '`' if self.in_length => Err(format!("unexpected character in duration expression: {c:?}")),
            '"' | '\'' => self.quoted(c),
            '`' => self.raw(),
            _ if self.in_length && !"+-*/%^(),:]0123456789.".contains(c) && !is_alpha(c) => {
                Err(format!("unexpected character in duration expression: {c:?}"))
            }
            _ if self.in_braces => self.inside_braces(c),
            _ => self.outside_braces(c),
        }
    }

    fn inside_braces(&mut self, c: char) -> Result<TokenKind, String> {
        match c {
            c if is_alpha(c) => {
                self.eat_while(is_alphanumeric);
                Ok(TokenKind::Name)
            }
            '=' if self.eat('~') => Ok(TokenKind::MatchRegex),
            '=' => Ok(TokenKind::Assign),
            '!' if self.eat('~') => Ok(TokenKind::NotMatchRegex),
            '!' if self.eat('=') => Ok(TokenKind::Op(BinOp::NotEqual)),
            '!' => Err(format!("unexpected character after '!' inside braces: {}", self.shown())),
            '{' => Err("unexpected left brace '{'".into()),
            '}' => {
                self.in_braces = false;
                Ok(TokenKind::RightBrace)
            }
            c => Err(format!("unexpected character inside braces: {c:?}")),
        }
    }

    fn outside_braces(&mut self, c: char) -> Result<TokenKind, String> {
        let op = |op| Ok(TokenKind::Op(op));
        match c {
            '*' => op(BinOp::Mul),
            '/' => op(BinOp::Div),
            '%' => op(BinOp::Mod),
            '+' => op(BinOp::Add),
            '-' => op(BinOp::Sub),
            '^' => op(BinOp::Pow),
            '=' if self.eat('=') => op(BinOp::Equal),
            '=' if self.peek() == Some('~') => Err("unexpected character after '=': '~'".into()),
            '=' => Ok(TokenKind::Assign),
            '!' if self.eat('=') => op(BinOp::NotEqual),
            '!' => Err(format!("unexpected character after '!': {}", self.shown())),
            '<' if self.eat('=') => op(BinOp::LessEqual),
            '>' if self.eat('=') => op(BinOp::GreaterEqual),
            '<' if self.eat('/') => op(BinOp::TrimBelow),
            '>' if self.eat('/') => op(BinOp::TrimAbove),
            '<' => op(BinOp::Less),
            '>' => op(BinOp::Greater),
            '@' => Ok(TokenKind::At),
            '(' => {
                self.parens += 1;
                Ok(TokenKind::LeftParen)
            }
            ')' if self.parens == 0 => {
                self.start = self.at;
                Err("unexpected right parenthesis ')'".into())
            }
            ')' => {
                self.parens -= 1;
                Ok(TokenKind::RightParen)
            }
            '{' => {
                self.in_braces = true;
                Ok(TokenKind::LeftBrace)
            }
            '[' if self.in_brackets => Err("unexpected left bracket '['".into()),
            '[' => {
                (self.in_brackets, self.in_length, self.colon) = (true, true, false);
                Ok(TokenKind::LeftBracket)
            }
            ']' if !self.in_brackets => Err("unexpected right bracket ']'".into()),
            ']' => {
                (self.in_brackets, self.in_length) = (false, false);
                Ok(TokenKind::RightBracket)
            }
            ':' if self.in_length => {
                self.start = self.at;
                Err("unexpected colon before duration in duration expression".into())
            }
            ':' if self.in_brackets && self.colon => Err("unexpected colon ':'".into()),
            ':' if self.in_brackets => {
                self.colon = true;
                Ok(TokenKind::Colon)
            }
            c if c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|c| c.is_ascii_digit())) => {
                self.at = self.start;
                self.number_or_duration()
            }
            c if is_alpha(c) || c == ':' => self.word(c),
            c => Err(format!("unexpected character: {c:?}")),
        }
    }

    /// The next character as an error shows it.
    fn shown(&self) -> String {
        self.peek().map_or_else(|| "end of input".into(), |c| format!("{c:?}"))
    }

    fn word(&mut self, first: char) -> Result<TokenKind, String> {
        let in_brackets = self.in_brackets;
        self.eat_while(|c| is_alphanumeric(c) || (c == ':' && !in_brackets));
        let word = &self.text[self.start..self.at];
        if self.in_brackets {
            use Keyword::{MaxOf, MinOf, Range, Step};
            return match Keyword::of(word) {
                Some(keyword @ (MaxOf | MinOf | Range | Step)) => Ok(TokenKind::Keyword(keyword)),
                _ if self.in_length => Err(format!("unexpected character in duration expression: {first:?}")),
                _ => Err(format!("unexpected character: {first:?}, expected ':'")),
            };
        }
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        Ok(match () {
            () if word.contains(':') => TokenKind::MetricName,
            () if is("and") => TokenKind::Op(BinOp::And),
            () if is("or") => TokenKind::Op(BinOp::Or),
            () if is("unless") => TokenKind::Op(BinOp::Unless),
            () if is("atan2") => TokenKind::Op(BinOp::Atan2),
            () if is("inf") || is("nan") => TokenKind::Number,
            () => match (AggOp::of(word), Keyword::of(word)) {
                (Some(op), _) => TokenKind::Aggregation(op),
                // These were names before they were modifiers, and still are where no parenthesis follows.
                (_, Some(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                    if !self.rest().trim_start().starts_with('(') =>
                {
                    TokenKind::Name
                }
                (_, Some(keyword)) => TokenKind::Keyword(keyword),
                _ => TokenKind::Name,
            },
        })
    }

    fn quoted(&mut self, quote: char) -> Result<TokenKind, String> {
        loop {
            match self.bump() {
                None | Some('\n') => return Err("unterminated quoted string".into()),
                // What the escape means is for the parser; here only that a quote in it does not end the text.
                Some('\\') => match self.bump() {
                    None => return Err("escape sequence not terminated".into()),
                    Some('\n') => return Err("unknown escape sequence U+000A".into()),
                    Some(_) => {}
                },
                Some(c) if c == quote => return Ok(TokenKind::Text),
                Some(_) => {}
            }
        }
    }

    fn raw(&mut self) -> Result<TokenKind, String> {
        self.eat_while(|c| c != '`');
        if self.eat('`') { Ok(TokenKind::Text) } else { Err("unterminated raw string".into()) }
    }

    fn number_or_duration(&mut self) -> Result<TokenKind, String> {
        self.in_length = false;
        if self.number() {
            return Ok(TokenKind::Number);
        }
        let stopped = self.at;
        if self.duration() {
            return Ok(TokenKind::Duration);
        }
        let end = self.at.max(stopped);
        Err(format!("bad number or duration syntax: {:?}", &self.text[self.start..end]))
    }

    /// Whether no letter or digit follows.
    fn ends_here(&self) -> bool {
        !self.peek().is_some_and(is_alphanumeric)
    }

    fn number(&mut self) -> bool {
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            self.at += 2;
            self.eat_while(|c| c.is_ascii_hexdigit() || c == '_');
            return self.at > self.start + 2 && self.ends_here();
        }
        let digits = |c: char| c.is_ascii_digit() || c == '_';
        self.eat_while(digits);
        if self.eat('.') {
            self.eat_while(digits);
        }
        let mantissa_end = self.at;
        if self.eat('e') || self.eat('E') {
            let _ = self.eat('+') || self.eat('-');
            let exponent = self.at;
            self.eat_while(digits);
            if self.at == exponent {
                self.at = mantissa_end;
                return false;
            }
        }
        // A second dot is no operator of the language, so the number is malformed rather than two numbers.
        if self.peek() == Some('.') {
            self.at += 1;
            return false;
        }
        if self.ends_here() {
            return true;
        }
        self.at = mantissa_end;
        false
    }

    /// The rest of a duration, after its first digits: units and further numbers. The order of units is for the parser.
    fn duration(&mut self) -> bool {
        self.at = self.start;
        self.eat_while(|c| c.is_ascii_digit());
        loop {
            if !self.peek().is_some_and(|c| "smhdwy".contains(c)) {
                return false;
            }
            self.at += 1;
            let _ = self.eat('s');
            if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
                let ends = self.ends_here();
                // What follows and does not belong there is shown too.
                self.at += usize::from(!ends);
                return ends;
            }
            self.eat_while(|c| c.is_ascii_digit());
        }
    }
}
