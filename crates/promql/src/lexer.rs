//! From text to tokens, as Prometheus' lexer reads it: outside of braces, inside them, and inside the brackets of a range
//! other characters and words are known. The first thing that is no token ends the tokens with one that says so; what is
//! wrong with the tokens before it comes first, so the parser reports it only where it gets there.
//!
//! Not here: what a string or a number stands for, and which tokens may follow each other.

mod literal;

mod token;

use syntax::{Span, SyntaxError, Token, string};

pub(crate) use token::{Keyword, Special, Tok};

use crate::ast::BinaryOp;

/// The tokens of a text.
pub(crate) struct Lexed {
    /// The last is [`Tok::Error`] where the text has something that is no token.
    pub(crate) tokens: Vec<Token<Tok>>,
    /// What [`Tok::Error`] stands for.
    pub(crate) error: Option<SyntaxError>,
}

/// Splits a text into tokens.
pub(crate) fn lex(source: &str) -> Lexed {
    let mut lexer = Lexer::new(source);
    let error = loop {
        match lexer.next() {
            Ok(true) => {}
            Ok(false) => break None,
            Err(message) => break Some(SyntaxError::new(Span::new(lexer.start, lexer.at), message)),
        }
    };
    if let Some(error) = &error {
        lexer.tokens.push(Token { kind: Tok::Error, span: error.span });
    }
    Lexed { tokens: lexer.tokens, error }
}

/// Where the lexer stands, which decides what it knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Outside of braces; behind the first number of a bracket, too.
    Statement,
    /// Inside braces.
    Braces,
    /// Inside brackets, up to the first number.
    Brackets,
}

struct Lexer<'s> {
    source: &'s str,
    /// Where the token that is being read starts.
    start: usize,
    /// Up to where it is read.
    at: usize,
    state: State,
    /// How many parentheses are open.
    parens: usize,
    in_brackets: bool,
    /// Whether the bracket that is open had its colon.
    has_colon: bool,
    /// Whether a bracket had a number, this one or one before it.
    has_number: bool,
    tokens: Vec<Token<Tok>>,
}

/// Whether there may be more; or what is wrong between `start` and `at`.
type Step = Result<bool, String>;

impl<'s> Lexer<'s> {
    fn new(source: &'s str) -> Self {
        Self {
            source,
            start: 0,
            at: 0,
            state: State::Statement,
            parens: 0,
            in_brackets: false,
            has_colon: false,
            has_number: false,
            tokens: Vec::new(),
        }
    }

    fn peek(&self) -> Option<char> {
        self.source[self.at..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Takes the next character if it is one of these.
    fn eat(&mut self, is_one: impl Fn(char) -> bool) -> bool {
        let next = self.peek().filter(|c| is_one(*c));
        self.at += next.map_or(0, char::len_utf8);
        next.is_some()
    }

    fn eat_while(&mut self, is_one: impl Fn(char) -> bool + Copy) {
        while self.eat(is_one) {}
    }

    fn text(&self) -> &'s str {
        &self.source[self.start..self.at]
    }

    fn emit(&mut self, kind: Tok) -> Step {
        self.tokens.push(Token { kind, span: Span::new(self.start, self.at) });
        self.start = self.at;
        Ok(true)
    }

    /// The next token; false at the end.
    fn next(&mut self) -> Step {
        self.skip_blank();
        match self.state {
            State::Statement => self.statement(),
            State::Braces => self.inside_braces(),
            State::Brackets => self.inside_brackets(),
        }
    }

    /// Skips blanks, and comments where there may be some.
    fn skip_blank(&mut self) {
        loop {
            self.eat_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            if self.state == State::Brackets || self.peek() != Some('#') {
                break;
            }
            self.eat_while(|c| !matches!(c, '\n' | '\r'));
        }
        self.start = self.at;
    }

    fn statement(&mut self) -> Step {
        let Some(c) = self.bump() else {
            return match (self.parens, self.in_brackets) {
                (1.., _) => Err("unclosed left parenthesis".to_owned()),
                (0, true) => Err("unclosed left bracket".to_owned()),
                (0, false) => Ok(false),
            };
        };
        match c {
            ':' if self.in_brackets => self.colon_behind_number(),
            c if is_alpha(c) && self.in_brackets => match self.duration_word(c) {
                Some(special) => self.emit(Tok::Special(special)),
                None => Err(format!("unexpected character: {}, expected ':'", string::quote_char(c))),
            },
            c if is_alpha(c) || c == ':' => self.word(),
            '0'..='9' => self.number(),
            '.' if self.peek().is_some_and(|next| next.is_ascii_digit()) => self.number(),
            '"' | '\'' | '`' => self.string(c),
            '(' | ')' => self.paren(c),
            '{' => {
                self.state = State::Braces;
                self.emit(Tok::LeftBrace)
            }
            '[' if self.in_brackets => Err("unexpected left bracket '['".to_owned()),
            '[' => {
                (self.state, self.in_brackets, self.has_colon) = (State::Brackets, true, false);
                self.emit(Tok::LeftBracket)
            }
            ']' if !self.in_brackets => Err("unexpected right bracket ']'".to_owned()),
            ']' => self.right_bracket(),
            '@' => self.emit(Tok::At),
            '!' => match self.bump() {
                Some('=') => self.emit(Tok::Op(BinaryOp::NotEqual)),
                other => Err(format!("unexpected character after '!': {}", quote_or_end(other))),
            },
            _ => self.operator(c),
        }
    }

    /// The operators of one or two characters.
    fn operator(&mut self, c: char) -> Step {
        let kind = match (c, self.peek()) {
            ('=', Some('~')) => return Err("unexpected character after '=': '~'".to_owned()),
            ('=', Some('=')) => Tok::Op(BinaryOp::Equal),
            ('<', Some('=')) => Tok::Op(BinaryOp::LessEqual),
            ('<', Some('/')) => Tok::Op(BinaryOp::TrimUpper),
            ('>', Some('=')) => Tok::Op(BinaryOp::GreaterEqual),
            ('>', Some('/')) => Tok::Op(BinaryOp::TrimLower),
            ('=', _) => return self.emit(Tok::Assign),
            ('<', _) => return self.emit(Tok::Op(BinaryOp::Less)),
            ('>', _) => return self.emit(Tok::Op(BinaryOp::Greater)),
            (',', _) => return self.emit(Tok::Comma),
            _ => match arithmetic(c) {
                Some(op) => return self.emit(Tok::Op(op)),
                None => return Err(format!("unexpected character: {}", string::quote_char(c))),
            },
        };
        self.bump();
        self.emit(kind)
    }

    fn inside_braces(&mut self) -> Step {
        let Some(c) = self.bump() else { return Err("unexpected end of input inside braces".to_owned()) };
        match c {
            c if is_alpha(c) => {
                self.eat_while(is_alphanumeric);
                self.emit(Tok::Identifier)
            }
            '"' | '\'' | '`' => self.string(c),
            ',' => self.emit(Tok::Comma),
            '=' if self.eat(|next| next == '~') => self.emit(Tok::MatchRegex),
            '=' => self.emit(Tok::Assign),
            '!' => match self.bump() {
                Some('~') => self.emit(Tok::MatchNotRegex),
                Some('=') => self.emit(Tok::Op(BinaryOp::NotEqual)),
                other => {
                    Err(format!("unexpected character after '!' inside braces: {}", quote_or_end(other)))
                }
            },
            '}' => {
                self.state = State::Statement;
                self.emit(Tok::RightBrace)
            }
            '{' => Err("unexpected left brace '{'".to_owned()),
            _ => Err(format!("unexpected character inside braces: {}", string::quote_char(c))),
        }
    }

    fn inside_brackets(&mut self) -> Step {
        let Some(c) = self.bump() else {
            return Err("unexpected end of input in duration expression".to_owned());
        };
        let unknown = || format!("unexpected character in duration expression: {}", string::quote_char(c));
        match c {
            ']' => {
                self.has_colon = false;
                self.right_bracket()
            }
            ':' => self.colon_before_number(),
            '(' | ')' => self.paren(c),
            ',' => self.emit(Tok::Comma),
            c if is_alpha(c) => match self.duration_word(c) {
                Some(special) => self.emit(Tok::Special(special)),
                None => Err(unknown()),
            },
            c if c.is_ascii_digit()
                || (c == '.' && self.peek().is_some_and(|next| next.is_ascii_digit())) =>
            {
                (self.has_number, self.state) = (true, State::Statement);
                self.number()
            }
            _ => match arithmetic(c) {
                Some(op) => self.emit(Tok::Op(op)),
                None => Err(unknown()),
            },
        }
    }

    fn right_bracket(&mut self) -> Step {
        (self.in_brackets, self.state) = (false, State::Statement);
        self.emit(Tok::RightBracket)
    }

    fn colon_behind_number(&mut self) -> Step {
        if self.has_colon {
            return Err("unexpected colon ':'".to_owned());
        }
        self.has_colon = true;
        self.emit(Tok::Colon)
    }

    /// The errors stand behind the colon.
    fn colon_before_number(&mut self) -> Step {
        self.emit(Tok::Colon)?;
        let wrong = match (self.has_number, self.has_colon) {
            (false, _) => "unexpected colon before duration in duration expression",
            (true, true) => "unexpected repeated colon in duration expression",
            (true, false) => {
                self.has_colon = true;
                return Ok(true);
            }
        };
        self.tokens.pop();
        Err(wrong.to_owned())
    }

    /// The error of a parenthesis too many stands behind it.
    fn paren(&mut self, c: char) -> Step {
        if c == '(' {
            self.parens += 1;
            return self.emit(Tok::LeftParen);
        }
        if self.parens == 0 {
            self.start = self.at;
            return Err("unexpected right parenthesis ')'".to_owned());
        }
        self.parens -= 1;
        self.emit(Tok::RightParen)
    }

    /// A word, whose first character is taken. `fill` and its kin are names where no parenthesis follows them.
    fn word(&mut self) -> Step {
        self.eat_while(|c| is_alphanumeric(c) || c == ':');
        let word = self.text();
        match Tok::of_word(word) {
            Some(Tok::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.is_before_paren() =>
            {
                self.emit(Tok::Identifier)
            }
            Some(kind) => self.emit(kind),
            None if word.contains(':') => self.emit(Tok::MetricIdentifier),
            None => self.emit(Tok::Identifier),
        }
    }

    fn is_before_paren(&self) -> bool {
        self.source[self.at..].trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(')
    }

    /// The rest of a word that stands for a duration, if it is one.
    fn duration_word(&mut self, first: char) -> Option<Special> {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.eat_while(is_alpha);
        Special::of_duration(self.text())
    }
}

fn arithmetic(c: char) -> Option<BinaryOp> {
    Some(match c {
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Sub,
        '*' => BinaryOp::Mul,
        '/' => BinaryOp::Div,
        '%' => BinaryOp::Mod,
        '^' => BinaryOp::Pow,
        _ => return None,
    })
}

/// The character as Go quotes it; the end is a character that is none.
fn quote_or_end(c: Option<char>) -> String {
    string::quote_char(c.unwrap_or(char::REPLACEMENT_CHARACTER))
}

fn is_alpha(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_alphanumeric(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests;
