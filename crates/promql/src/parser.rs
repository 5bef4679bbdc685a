//! From tokens to the tree: precedence, parentheses, literals. Types are looked at on the way up, as each part becomes known,
//! but what is wrong with them is told only of a text whose syntax is right, and in the order in which Prometheus looks.

mod aggregate;

mod call;

mod duration;

mod matching;

mod modifier;

mod selector;

use model::Matcher;
use syntax::pratt::Budget;
use syntax::{Binding, Cursor, Pratt, Span, SyntaxError, number, string};

use crate::ast::{Binary, BinaryOp, Expr, Place};
use crate::error::ParseError;
use crate::features::Features;
use crate::lexer::{self, Special, Tok};
use crate::typecheck;

/// An expression, where it stands, and the first thing that is wrong with the types in it.
pub(crate) struct Node {
    pub(crate) expr: Expr,
    pub(crate) span: Span,
    pub(crate) fault: Option<SyntaxError>,
}

impl Node {
    fn new(expr: Expr, span: Span) -> Self {
        Self { expr, span, fault: None }
    }
}

/// Parses a query; experimental words are known where the features say so.
///
/// # Errors
/// The first thing that is wrong with the text, in Prometheus' words.
pub fn parse(query: &str, features: Features) -> Result<Expr, ParseError> {
    let whole = run(query, features, |parser| parser.query());
    let checked = whole.and_then(|node| node.fault.map_or(Ok(node.expr), Err));
    checked.map_err(|error| ParseError::new(query, error))
}

/// Parses a selector without modifiers, as `match[]` of the API has it.
///
/// # Errors
/// When the text is no selector. One that matches everything is one: what may not ask for everything looks itself.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let alone = |parser: &mut Parser<'_>| {
        let (selector, _) = parser.selector()?;
        parser.end()?;
        Ok(selector.matchers)
    };
    run(text, Features::default(), alone).map_err(|error| ParseError::new(text, error))
}

fn run<T>(
    source: &str,
    features: Features,
    rule: impl FnOnce(&mut Parser<'_>) -> Result<T, SyntaxError>,
) -> Result<T, SyntaxError> {
    let lexed = lexer::lex(source);
    rule(&mut Parser {
        cursor: Cursor::new(source, lexed.tokens),
        budget: Budget::default(),
        features,
        lexer_error: lexed.error,
        within: Vec::new(),
    })
}

/// Within what a token was not expected, and what was; empty where there is nothing to say.
type Context = (&'static str, &'static str);

pub(crate) struct Parser<'s> {
    cursor: Cursor<'s, Tok>,
    budget: Budget,
    features: Features,
    /// What is wrong with the text where its tokens end.
    lexer_error: Option<SyntaxError>,
    /// The constructs around the next token that give errors their words, the innermost last.
    within: Vec<Context>,
}

impl Parser<'_> {
    fn query(&mut self) -> Result<Node, SyntaxError> {
        if self.cursor.is_at_end() {
            return Err(SyntaxError::new(Span::at(0), "no expression found in input"));
        }
        let node = self.expression(0)?;
        self.end()?;
        Ok(node)
    }

    fn end(&mut self) -> Result<(), SyntaxError> {
        if self.cursor.is_at_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Whether the next token can begin an expression.
    fn is_at_operand(&self) -> bool {
        match self.cursor.peek() {
            Some(Tok::LeftParen | Tok::LeftBrace | Tok::Number | Tok::Duration | Tok::Text) => true,
            Some(Tok::Op(BinaryOp::Add | BinaryOp::Sub)) => true,
            tok => tok.is_some_and(|tok| tok.is_metric()),
        }
    }

    fn at_special(&self, special: Special) -> bool {
        self.cursor.at(&Tok::Special(special))
    }

    fn expect(&mut self, kind: Tok) -> Result<(), SyntaxError> {
        if self.cursor.eat(&kind) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Reads a part whose errors are told as of this context where they have none of their own.
    fn within<T>(
        &mut self,
        context: Context,
        rule: impl FnOnce(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        self.within.push(context);
        let part = rule(self)?;
        self.within.pop();
        Ok(part)
    }

    /// What is said of a token that cannot stand where it does.
    fn unexpected(&self) -> SyntaxError {
        self.unexpected_in(self.within.last().copied().unwrap_or_default())
    }

    fn unexpected_in(&self, (context, expected): Context) -> SyntaxError {
        if let (Some(Tok::Error), Some(error)) = (self.cursor.peek(), &self.lexer_error) {
            return error.clone();
        }
        let token =
            self.cursor.peek().map_or("end of input".to_owned(), |tok| tok.described(self.cursor.text()));
        let mut message = format!("unexpected {token}");
        if !context.is_empty() {
            message.push_str(&format!(" in {context}"));
        }
        if !expected.is_empty() {
            message.push_str(&format!(", expected {expected}"));
        }
        SyntaxError::new(self.cursor.span(), message)
    }

    /// An error of what was just read; what is no token comes first where the next one had to be seen for that.
    fn after_next(&self, span: Span, message: impl Into<String>) -> SyntaxError {
        match self.cursor.at(&Tok::Error) {
            true => self.unexpected(),
            false => SyntaxError::new(span, message),
        }
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
            number_of(text).map_err(|why| {
                let text = string::quote(text);
                let message = format!("error parsing number: strconv.ParseFloat: parsing {text}: {why}");
                SyntaxError::new(span, message)
            })?
        };
        self.cursor.bump();
        Ok(value)
    }

    /// The next token as a number.
    fn number_node(&mut self) -> Result<Node, SyntaxError> {
        let (span, is_duration) = (self.cursor.span(), self.cursor.at(&Tok::Duration));
        let value = self.number_literal()?;
        Ok(Node::new(if is_duration { Expr::Seconds(value) } else { Expr::Number(value) }, span))
    }

    fn primary(&mut self) -> Result<Node, SyntaxError> {
        let start = self.cursor.span();
        match self.cursor.peek().copied() {
            Some(Tok::LeftParen) => {
                self.cursor.bump();
                let inner = self.expression(0)?;
                self.expect(Tok::RightParen)?;
                let span = start.to(self.cursor.last_span());
                Ok(Node { expr: Expr::Paren(Box::new(inner.expr)), span, fault: inner.fault })
            }
            Some(Tok::Number | Tok::Duration) => self.number_node(),
            Some(Tok::Text) => Ok(Node::new(Expr::Text(self.text_literal()?), start)),
            Some(Tok::LeftBrace) => self.checked_selector(),
            Some(tok) if tok.is_metric() => self.word_primary(tok),
            _ => Err(self.unexpected()),
        }
    }

    /// Nearly every word may name a metric; what follows it tells.
    fn word_primary(&mut self, tok: Tok) -> Result<Node, SyntaxError> {
        use lexer::Keyword::{By, Without};
        match (tok, self.cursor.peek_nth(1).copied()) {
            (Tok::Aggregate(op), Some(Tok::LeftParen | Tok::Keyword(By | Without))) => self.aggregate(op),
            (Tok::Identifier | Tok::Special(_), Some(Tok::LeftParen)) => self.call(),
            _ => self.checked_selector(),
        }
    }

    fn binary_op(&self) -> Option<BinaryOp> {
        match self.cursor.peek()? {
            Tok::Op(op) => Some(*op),
            _ => None,
        }
    }
}

/// The value of a number as Go reads it: integers of 64 bits in the base that their prefix says, else a float.
fn number_of(text: &str) -> Result<f64, &'static str> {
    const INVALID: &str = "invalid syntax";
    let value = number::parse(text).map_err(|_| INVALID)?;
    let is_hex = text.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    if is_hex && value >= 9_223_372_036_854_775_808.0 {
        return Err(INVALID);
    }
    let is_written_out = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if value.is_infinite() && is_written_out { Err("value out of range") } else { Ok(value) }
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
        let Some(op @ (BinaryOp::Add | BinaryOp::Sub)) = self.binary_op() else {
            let node = self.primary()?;
            return self.postfix(node);
        };
        let negative = op == BinaryOp::Sub;
        self.cursor.bump();
        // A sign holds weaker than `^` and stronger than all other operators.
        let inner = self.expression(POWER)?;
        let span = start.to(inner.span);
        let expr = match inner.expr {
            Expr::Number(value) => Expr::Number(if negative { -value } else { value }),
            Expr::Seconds(value) => Expr::Seconds(if negative { -value } else { value }),
            expr => {
                let fault = inner.fault.or_else(|| typecheck::unary(&expr, span));
                return Ok(Node { expr: Expr::Unary(negative, Box::new(expr)), span, fault });
            }
        };
        Ok(Node::new(expr, span))
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
        if !matching.fill.is_none() && !self.features.fill_modifiers {
            let message = "binop fill modifiers are experimental and not enabled";
            return Err(self.after_next(left.span, message));
        }
        let span = left.span.to(right.span);
        let spans = typecheck::BinarySpans { lhs: left.span, op: at, rhs: right.span };
        let place = Place(left.span.start);
        let mut binary = Binary { op, lhs: left.expr, rhs: right.expr, bool_modifier, matching, place };
        let fault = left.fault.or(right.fault).or_else(|| typecheck::binary(&binary, spans));
        if !binary.is_between_vectors() {
            binary.matching = Default::default();
        }
        Ok(Node { expr: Expr::Binary(Box::new(binary)), span, fault })
    }
}

/// The strength of `^`.
const POWER: u8 = 6;

#[cfg(test)]
mod tests;
