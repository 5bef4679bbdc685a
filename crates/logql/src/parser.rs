//! From text to tree. Operators by precedence climbing, the rest by descent; depth and operators are bounded.

mod check;
mod metric;
mod selector;
pub(crate) mod stage;

use model::Matcher;
use syntax::pratt::Budget;
use syntax::{Binding, Cursor, Pratt};

use crate::ast::{Binary, BinaryOp, Expr, MetricExpr};
use crate::error::ParseError;
use crate::lexer::{Tok, lex};

/// Reads a query.
///
/// # Errors
/// When the text is none, in Loki's words.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(query)?;
    let expr = parser.expression(0)?;
    if parser.cursor.is_at_end() { Ok(expr) } else { Err(parser.unexpected(&[])) }
}

/// Reads a stream selector, `{a="b"}`, that may match everything: for `match[]` and the routes about labels.
///
/// # Errors
/// When the text is none, in Loki's words.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(text)?;
    let matchers = parser.matchers()?;
    if parser.cursor.is_at_end() { Ok(matchers) } else { Err(parser.unexpected(&[])) }
}

struct Parser<'s> {
    cursor: Cursor<'s, Tok>,
    budget: Budget,
}

impl<'s> Parser<'s> {
    fn new(source: &'s str) -> Result<Self, ParseError> {
        Ok(Self { cursor: Cursor::new(source, lex(source)?), budget: Budget::default() })
    }

    /// An error at the next token.
    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::At { position: self.cursor.position(), message: message.into() }
    }

    /// The error that the next token is not what should come.
    fn unexpected(&self, expecting: &[&str]) -> ParseError {
        let found = self.cursor.peek().map_or("$end", Tok::describe);
        let expecting = match expecting {
            [] => String::new(),
            some => format!(", expecting {}", some.join(" or ")),
        };
        self.error(format!("syntax error: unexpected {found}{expecting}"))
    }

    fn at(&self, sign: &'static str) -> bool {
        self.cursor.at(&Tok::Sign(sign))
    }

    fn eat(&mut self, sign: &'static str) -> bool {
        self.cursor.eat(&Tok::Sign(sign))
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), ParseError> {
        if self.eat(sign) { Ok(()) } else { Err(self.unexpected(&[sign])) }
    }

    fn word(&self) -> Option<&str> {
        match self.cursor.peek() {
            Some(Tok::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn at_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let at = self.at_word(word);
        if at {
            self.cursor.bump();
        }
        at
    }

    fn sign_nth(&self, n: usize) -> Option<&'static str> {
        match self.cursor.peek_nth(n) {
            Some(Tok::Sign(sign)) => Some(sign),
            _ => None,
        }
    }

    fn name(&mut self) -> Result<String, ParseError> {
        let name = self.word().map(str::to_owned).ok_or_else(|| self.unexpected(&["IDENTIFIER"]))?;
        self.cursor.bump();
        Ok(name)
    }

    fn text(&mut self) -> Result<String, ParseError> {
        let Some(Tok::Text(text)) = self.cursor.peek() else { return Err(self.unexpected(&["STRING"])) };
        let text = text.clone();
        self.cursor.bump();
        Ok(text)
    }

    fn number(&mut self) -> Result<f64, ParseError> {
        let negative = self.at("-");
        if negative || self.at("+") {
            self.cursor.bump();
        }
        let value = match self.cursor.peek() {
            Some(Tok::Number(number)) => *number,
            Some(Tok::Word(word)) if word.eq_ignore_ascii_case("inf") => f64::INFINITY,
            Some(Tok::Word(word)) if word.eq_ignore_ascii_case("nan") => f64::NAN,
            _ => return Err(self.unexpected(&["NUMBER"])),
        };
        self.cursor.bump();
        Ok(if negative { -value } else { value })
    }

    /// Items between commas; at least one.
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let mut items = vec![item(self)?];
        while self.eat(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn binary_op(&self) -> Option<BinaryOp> {
        Some(match self.cursor.peek()? {
            Tok::Sign("+") => BinaryOp::Add,
            Tok::Sign("-") => BinaryOp::Sub,
            Tok::Sign("*") => BinaryOp::Mul,
            Tok::Sign("/") => BinaryOp::Div,
            Tok::Sign("%") => BinaryOp::Mod,
            Tok::Sign("^") => BinaryOp::Pow,
            Tok::Sign("==") => BinaryOp::Equal,
            Tok::Sign("!=") => BinaryOp::NotEqual,
            Tok::Sign(">") => BinaryOp::Greater,
            Tok::Sign(">=") => BinaryOp::GreaterEqual,
            Tok::Sign("<") => BinaryOp::Less,
            Tok::Sign("<=") => BinaryOp::LessEqual,
            Tok::Word(word) => match word.to_ascii_lowercase().as_str() {
                "and" => BinaryOp::And,
                "or" => BinaryOp::Or,
                "unless" => BinaryOp::Unless,
                _ => return None,
            },
            _ => return None,
        })
    }
}

impl Pratt for Parser<'_> {
    type Expr = Expr;
    type Error = ParseError;

    fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }

    fn too_complex(&self) -> ParseError {
        self.error("the query is too complex: fewer operators or less nesting is needed")
    }

    fn operand(&mut self) -> Result<Expr, ParseError> {
        if self.at("{") {
            return self.log_expr().map(Expr::Logs);
        }
        if self.eat("(") {
            let expr = self.expression(0)?;
            self.expect(")")?;
            return Ok(expr);
        }
        self.metric_operand().map(Expr::Metric)
    }

    fn binding(&self) -> Option<Binding> {
        let op = self.binary_op()?;
        let strength = op.precedence();
        Some(if op == BinaryOp::Pow { Binding::right(strength) } else { Binding::left(strength) })
    }

    fn infix(&mut self, left: Expr, binding: Binding) -> Result<Expr, ParseError> {
        let Some(op) = self.binary_op() else { return Err(self.unexpected(&[])) };
        self.cursor.bump();
        let return_bool = self.eat_word("bool");
        if return_bool && !op.is_comparison() {
            return Err(self.error(format!("syntax error: unexpected bool for operation ({})", op.as_str())));
        }
        let matching = self.matching()?;
        let right = self.expression(binding.right_min())?;
        let left = self.leg(left, "left", op)?;
        let right = self.leg(right, "right", op)?;
        let binary = Binary { op, return_bool, matching, left, right };
        Ok(Expr::Metric(MetricExpr::Binary(Box::new(binary))))
    }
}

impl Parser<'_> {
    /// A side of a binary operator: numbers, and for `and`, `or`, `unless` no bare number.
    fn leg(&self, expr: Expr, side: &str, op: BinaryOp) -> Result<MetricExpr, ParseError> {
        match expr {
            Expr::Logs(_) => Err(self.error(format!(
                "unexpected type for {side} leg of binary operation ({}): a log query has no numbers",
                op.as_str()
            ))),
            Expr::Metric(MetricExpr::Literal(number)) if op.is_set() => Err(self.error(format!(
                "unexpected literal for {side} leg of logical/set binary operation ({}): {number:?}",
                op.as_str()
            ))),
            Expr::Metric(metric) => Ok(metric),
        }
    }
}

#[cfg(test)]
mod tests;
