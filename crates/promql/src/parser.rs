//! From tokens to the tree: precedence, parentheses, literals. Types are checked as soon as both sides are known.

mod aggregate;

mod call;

mod duration;

mod selector;

use model::Matcher;
use syntax::pratt::Budget;
use syntax::{Binding, Cursor, Pratt, Span, SyntaxError, number, string};

use crate::ast::{AggregateOp, Binary, BinaryOp, Cardinality, Expr, Fill, Matching, Place};
use crate::error::ParseError;
use crate::features::Features;
use crate::lexer::{self, Tok};
use crate::typecheck;

/// An expression and where it stands.
pub(crate) type Node = (Expr, Span);

/// Parses a query; experimental words are known where the features say so.
///
/// # Errors
/// The first thing that is wrong with the text, in Prometheus' words.
pub fn parse(query: &str, features: Features) -> Result<Expr, ParseError> {
    let mut late = None;
    let whole = |parser: &mut Parser<'_>| {
        let expr = parser.query()?;
        late = parser.late.take();
        Ok(expr)
    };
    let expr = run(query, features, whole).map_err(|error| ParseError::new(query, error))?;
    match late {
        Some(SyntaxError { message, span }) => Err(ParseError { position: None, span, message }),
        None => Ok(expr),
    }
}

/// Parses a selector without modifiers, as `match[]` of the API has it.
///
/// # Errors
/// When the text is no selector. One that matches everything is one: what may not ask for everything looks itself.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let alone = |parser: &mut Parser<'_>| {
        let (selector, _) = parser.any_selector()?;
        if !parser.cursor.is_at_end() {
            return Err(parser.unexpected("", ""));
        }
        Ok(selector.matchers)
    };
    run(text, Features::default(), alone).map_err(|error| ParseError::new(text, error))
}

fn run<T>(
    source: &str,
    features: Features,
    rule: impl FnOnce(&mut Parser<'_>) -> Result<T, SyntaxError>,
) -> Result<T, SyntaxError> {
    let tokens = lexer::lex(source)?;
    rule(&mut Parser { cursor: Cursor::new(source, tokens), budget: Budget::default(), features, late: None })
}

pub(crate) struct Parser<'s> {
    cursor: Cursor<'s, Tok>,
    budget: Budget,
    features: Features,
    /// What Prometheus would find only when it evaluates the query.
    late: Option<SyntaxError>,
}

impl<'s> Parser<'s> {
    fn query(&mut self) -> Result<Expr, SyntaxError> {
        if self.cursor.is_at_end() {
            return Err(SyntaxError::new(Span::at(0), "no expression found in input"));
        }
        let (expr, _) = self.expression(0)?;
        if !self.cursor.is_at_end() {
            return Err(self.unexpected("", ""));
        }
        Ok(expr)
    }

    /// The next token, if a word, in lower case.
    fn word(&self) -> Option<String> {
        matches!(self.cursor.peek(), Some(Tok::Word)).then(|| self.cursor.text().to_ascii_lowercase())
    }

    fn at_word(&self, word: &str) -> bool {
        matches!(self.cursor.peek(), Some(Tok::Word)) && self.cursor.text().eq_ignore_ascii_case(word)
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let at = self.at_word(word);
        if at {
            self.cursor.bump();
        }
        at
    }

    fn expect(&mut self, kind: Tok, context: &str, expected: &str) -> Result<(), SyntaxError> {
        if self.cursor.eat(&kind) { Ok(()) } else { Err(self.unexpected(context, expected)) }
    }

    /// What is said of a token that cannot stand where it does.
    fn unexpected(&self, context: &str, expected: &str) -> SyntaxError {
        let mut message = format!("unexpected {}", self.describe());
        if !context.is_empty() {
            message.push_str(&format!(" in {context}"));
        }
        if !expected.is_empty() {
            message.push_str(&format!(", expected {expected}"));
        }
        SyntaxError::new(self.cursor.span(), message)
    }

    fn describe(&self) -> String {
        let text = self.cursor.text();
        let quoted = || {
            if text.chars().count() > 10 {
                format!("{}...", string::quote(&text.chars().take(10).collect::<String>()))
            } else {
                string::quote(text)
            }
        };
        match self.cursor.peek() {
            None => "end of input".to_owned(),
            Some(Tok::Word) => describe_word(text),
            Some(Tok::Metric) => format!("metric identifier {}", string::quote(text)),
            Some(Tok::Number) => format!("number {}", quoted()),
            Some(Tok::Duration) => format!("duration {}", quoted()),
            Some(Tok::Text) => format!("string {}", quoted()),
            Some(
                Tok::Equal
                | Tok::NotEqual
                | Tok::MatchRegex
                | Tok::MatchNotRegex
                | Tok::Less
                | Tok::LessEqual
                | Tok::Greater
                | Tok::GreaterEqual
                | Tok::TrimUpper
                | Tok::TrimLower
                | Tok::Add
                | Tok::Sub
                | Tok::Mul
                | Tok::Div
                | Tok::Mod
                | Tok::Pow
                | Tok::At,
            ) => format!("<op:{text}>"),
            Some(_) => quoted(),
        }
    }

    /// The text of a string literal, which is the next token.
    fn text_literal(&mut self) -> Result<String, SyntaxError> {
        let text = match string::unquote(self.cursor.text()) {
            // It is refused at the end.
            Err(string::StringError::NotUtf8) if self.late.is_some() => String::new(),
            other => other.map_err(|error| SyntaxError::new(self.cursor.span(), error.to_string()))?,
        };
        self.cursor.bump();
        Ok(text)
    }

    /// The value of a number or duration literal, which is the next token.
    fn number_literal(&mut self) -> Result<f64, SyntaxError> {
        let (text, span) = (self.cursor.text(), self.cursor.span());
        let value = if self.cursor.at(&Tok::Duration) {
            let ms = syntax::duration::parse_prometheus_ms(text)
                .map_err(|error| SyntaxError::new(span, error.to_string()))?;
            #[expect(clippy::cast_precision_loss, reason = "durations of the language are floats of seconds")]
            let seconds = ms as f64 / 1000.0;
            seconds
        } else {
            let value = number::parse(text)
                .map_err(|_| SyntaxError::new(span, format!("error parsing number: \"{text}\"")))?;
            if value.is_infinite() && text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
                let reason = format!("strconv.ParseFloat: parsing \"{text}\": value out of range");
                return Err(SyntaxError::new(span, format!("error parsing number: {reason}")));
            }
            value
        };
        self.cursor.bump();
        Ok(value)
    }

    fn primary(&mut self) -> Result<Node, SyntaxError> {
        let start = self.cursor.span();
        match self.cursor.peek() {
            Some(Tok::LeftParen) => {
                self.cursor.bump();
                let (inner, _) = self.expression(0)?;
                self.expect(Tok::RightParen, "", "")?;
                Ok((Expr::Paren(Box::new(inner)), start.to(self.cursor.last_span())))
            }
            Some(Tok::Number | Tok::Duration) => Ok((Expr::Number(self.number_literal()?), start)),
            Some(Tok::Text) => Ok((Expr::Text(self.text_literal()?), start)),
            Some(Tok::LeftBrace | Tok::Metric) => self.selector(),
            Some(Tok::Word) => self.word_primary(),
            _ => Err(self.unexpected("", "")),
        }
    }

    fn word_primary(&mut self) -> Result<Node, SyntaxError> {
        let start = self.cursor.span();
        let word = self.word().unwrap_or_default();
        let next = self.cursor.peek_nth(1).copied();
        if let Some(op) = aggregate_op(&word) {
            let grouped = self.followed_by_word(&["by", "without"]);
            if next == Some(Tok::LeftParen) || grouped {
                return self.aggregate(op);
            }
        }
        if next == Some(Tok::LeftParen) {
            return self.call();
        }
        match word.as_str() {
            "inf" | "nan" if next != Some(Tok::LeftBrace) => {
                Ok((Expr::Number(self.number_literal()?), start))
            }
            "and" | "or" | "unless" | "atan2" | "bool" | "on" | "ignoring" | "group_left" | "group_right" => {
                Err(self.unexpected("", ""))
            }
            _ => self.selector(),
        }
    }

    fn followed_by_word(&mut self, words: &[&str]) -> bool {
        let mark = self.cursor.mark();
        self.cursor.bump();
        let found = self.word().is_some_and(|word| words.contains(&word.as_str()));
        self.cursor.reset(mark);
        found
    }

    fn binary_op(&self) -> Option<BinaryOp> {
        Some(match self.cursor.peek()? {
            Tok::Add => BinaryOp::Add,
            Tok::Sub => BinaryOp::Sub,
            Tok::Mul => BinaryOp::Mul,
            Tok::Div => BinaryOp::Div,
            Tok::Mod => BinaryOp::Mod,
            Tok::Pow => BinaryOp::Pow,
            Tok::Equal => BinaryOp::Equal,
            Tok::NotEqual => BinaryOp::NotEqual,
            Tok::Less => BinaryOp::Less,
            Tok::LessEqual => BinaryOp::LessEqual,
            Tok::Greater => BinaryOp::Greater,
            Tok::GreaterEqual => BinaryOp::GreaterEqual,
            Tok::TrimUpper => BinaryOp::TrimUpper,
            Tok::TrimLower => BinaryOp::TrimLower,
            Tok::Word => match self.word()?.as_str() {
                "and" => BinaryOp::And,
                "or" => BinaryOp::Or,
                "unless" => BinaryOp::Unless,
                "atan2" => BinaryOp::Atan2,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// `bool`, `on`, `ignoring`, `group_left`, `group_right` behind an operator.
    fn matching(&mut self) -> Result<(bool, Matching), SyntaxError> {
        let bool_modifier = self.eat_word("bool");
        let mut matching = Matching::default();
        let on = self.at_word("on");
        if on || self.at_word("ignoring") {
            self.cursor.bump();
            matching.on = on;
            matching.labels = self.label_list()?;
            if self.at_word("group_left") || self.at_word("group_right") {
                let left = self.eat_word("group_left");
                if !left {
                    self.cursor.bump();
                }
                matching.card = if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                if self.cursor.at(&Tok::LeftParen) {
                    matching.include = self.label_list()?;
                }
            }
        }
        matching.fill = self.fill()?;
        Ok((bool_modifier, matching))
    }

    /// `fill(x)`, or one of `fill_left(x)` and `fill_right(x)`, or both. The words may be names of metrics too.
    fn fill(&mut self) -> Result<Fill, SyntaxError> {
        let mut fill = Fill::default();
        while self.cursor.peek_nth(1) == Some(&Tok::LeftParen) {
            let span = self.cursor.span();
            let word = self.word().unwrap_or_default();
            let (left, right) = match word.as_str() {
                "fill" => (true, true),
                "fill_left" => (true, false),
                "fill_right" => (false, true),
                _ => break,
            };
            if !self.features.fill_modifiers {
                return Err(SyntaxError::new(span, "binop fill modifiers are experimental and not enabled"));
            }
            if (left && fill.left.is_some()) || (right && fill.right.is_some()) {
                return Err(SyntaxError::new(span, "fill value may not be set multiple times for one side"));
            }
            self.cursor.bump();
            let value = self.fill_value()?;
            fill.left = if left { Some(value) } else { fill.left };
            fill.right = if right { Some(value) } else { fill.right };
        }
        Ok(fill)
    }

    /// A number with or without a sign, between parentheses.
    fn fill_value(&mut self) -> Result<f64, SyntaxError> {
        const CONTEXT: &str = "fill modifier";
        self.expect(Tok::LeftParen, CONTEXT, "\"(\"")?;
        let is_negative = self.cursor.at(&Tok::Sub);
        if is_negative || self.cursor.at(&Tok::Add) {
            self.cursor.bump();
        }
        let is_word = self.word().is_some_and(|word| word == "inf" || word == "nan");
        if !is_word && !matches!(self.cursor.peek(), Some(Tok::Number | Tok::Duration)) {
            return Err(self.unexpected(CONTEXT, "number"));
        }
        let value = self.number_literal()?;
        self.expect(Tok::RightParen, CONTEXT, "\")\"")?;
        Ok(if is_negative { -value } else { value })
    }
}

fn describe_word(text: &str) -> String {
    let word = text.to_ascii_lowercase();
    if aggregate_op(&word).is_some() {
        return format!("<aggr:{text}>");
    }
    match word.as_str() {
        "and" | "or" | "unless" | "atan2" => format!("<op:{text}>"),
        "offset" | "by" | "without" | "on" | "ignoring" | "group_left" | "group_right" | "bool" => {
            format!("<{text}>")
        }
        _ => format!("identifier {}", string::quote(text)),
    }
}

fn aggregate_op(word: &str) -> Option<AggregateOp> {
    AggregateOp::ALL.into_iter().find(|op| op.as_str() == word)
}

impl Pratt for Parser<'_> {
    type Expr = Node;
    type Error = SyntaxError;

    fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }

    fn too_complex(&self) -> SyntaxError {
        SyntaxError::new(self.cursor.span(), "the query nests too deep or has too many operators")
    }

    fn operand(&mut self) -> Result<Node, SyntaxError> {
        let start = self.cursor.span();
        if matches!(self.cursor.peek(), Some(Tok::Add | Tok::Sub)) {
            let negative = self.cursor.at(&Tok::Sub);
            self.cursor.bump();
            // A sign holds weaker than `^` and stronger than all other operators.
            let (inner, span) = self.expression(POWER)?;
            typecheck::unary(&inner, start.to(span))?;
            let span = start.to(span);
            return Ok(match inner {
                Expr::Number(value) if negative => (Expr::Number(-value), span),
                Expr::Number(value) => (Expr::Number(value), span),
                inner => (Expr::Unary(negative, Box::new(inner)), span),
            });
        }
        let node = self.primary()?;
        self.postfix(node)
    }

    fn binding(&self) -> Option<Binding> {
        Some(match self.binary_op()? {
            BinaryOp::Or => Binding::left(1),
            BinaryOp::And | BinaryOp::Unless => Binding::left(2),
            BinaryOp::Add | BinaryOp::Sub => Binding::left(4),
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => Binding::left(5),
            BinaryOp::Pow => Binding::right(POWER),
            _ => Binding::left(3),
        })
    }

    fn infix(&mut self, left: Node, binding: Binding) -> Result<Node, SyntaxError> {
        let Some(op) = self.binary_op() else { return Ok(left) };
        let at = self.cursor.span();
        self.cursor.bump();
        let (bool_modifier, matching) = self.matching()?;
        let right = self.expression(binding.right_min())?;
        let span = left.1.to(right.1);
        let spans = typecheck::BinarySpans { lhs: left.1, op: at, rhs: right.1 };
        let place = Place(left.1.start);
        let binary = Binary { op, lhs: left.0, rhs: right.0, bool_modifier, matching, place };
        typecheck::binary(&binary, spans)?;
        Ok((Expr::Binary(Box::new(binary)), span))
    }
}

/// The strength of `^`.
const POWER: u8 = 6;

#[cfg(test)]
mod tests;
