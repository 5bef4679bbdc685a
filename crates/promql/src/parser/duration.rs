//! Durations and their arithmetic: `5m`, `300`, `(step() * 2)`, `max_of(step(), 1m)`.

use syntax::{Pratt, Span, SyntaxError};

use super::{Node, Parser};
use crate::ast::{At, BinaryOp, Duration, Expr, Extended, Moved, Subquery};
use crate::lexer::Tok;
use crate::typecheck;
use crate::value::ValueType;

impl Parser<'_> {
    /// `[...]`, `offset` and `@` behind an operand.
    pub(super) fn postfix(&mut self, mut node: Node) -> Result<Node, SyntaxError> {
        loop {
            let of = node.1;
            if self.cursor.eat(&Tok::LeftBracket) {
                node = self.brackets(node)?;
            } else if self.cursor.eat(&Tok::At) {
                let at = self.at_moment()?;
                let moved = moved_of(&mut node, "@", of)?;
                if moved.at.replace(at).is_some() {
                    return Err(SyntaxError::new(of, "@ <timestamp> may not be set multiple times"));
                }
            } else if self.at_word("offset") {
                self.cursor.bump();
                let offset = self.offset_duration()?;
                let moved = moved_of(&mut node, "offset", of)?;
                if moved.offset.replace(offset).is_some() {
                    return Err(SyntaxError::new(of, "offset may not be set multiple times"));
                }
            } else if let Some(extended) = self.extended() {
                if !self.features.extended_ranges {
                    let message = format!("{} modifier is experimental and not enabled", extended.as_str());
                    return Err(SyntaxError::new(of, message));
                }
                self.cursor.bump();
                extend(&mut node, extended, of)?;
            } else {
                return Ok(node);
            }
            node.1 = node.1.to(self.cursor.last_span());
        }
    }

    fn extended(&self) -> Option<Extended> {
        [Extended::Anchored, Extended::Smoothed].into_iter().find(|word| self.at_word(word.as_str()))
    }

    /// What follows `[`: a range, or a range and a step.
    fn brackets(&mut self, (expr, span): Node) -> Result<Node, SyntaxError> {
        let (bracket, at) = (self.cursor.last_span(), self.cursor.span());
        let range = self.duration(0, "subquery or range")?;
        positive(&range, at)?;
        if self.cursor.eat(&Tok::Colon) {
            let at = self.cursor.span();
            let step = if self.cursor.at(&Tok::RightBracket) {
                None
            } else {
                Some(self.duration(0, "subquery step")?)
            };
            if let Some(step) = &step {
                positive(step, at)?;
            }
            self.expect(Tok::RightBracket, "subquery selector", "\"]\"")?;
            if expr.value_type() != ValueType::Vector {
                let message =
                    format!("subquery is only allowed on instant vector, got {} instead", expr.value_type());
                return Err(SyntaxError::new(span, message));
            }
            let subquery = Subquery { expr, range, step, moved: Moved::default() };
            return Ok((Expr::Subquery(Box::new(subquery)), span));
        }
        self.expect(Tok::RightBracket, "subquery or range", "\":\" or \"]\"")?;
        let brackets = bracket.to(self.cursor.last_span());
        match expr {
            Expr::Selector(selector) if selector.moved.offset.is_some() => {
                Err(SyntaxError::new(brackets, "no offset modifiers allowed before range"))
            }
            Expr::Selector(selector) if selector.moved.at.is_some() => {
                Err(SyntaxError::new(brackets, "no @ modifiers allowed before range"))
            }
            Expr::Selector(selector) => Ok((Expr::Range(selector, range), span)),
            _ => Err(SyntaxError::new(brackets, "ranges only allowed for vector selectors")),
        }
    }

    fn at_moment(&mut self) -> Result<At, SyntaxError> {
        let span = self.cursor.span();
        for (word, at) in [("start", At::Start), ("end", At::End)] {
            if self.at_word(word) {
                self.cursor.bump();
                self.expect(Tok::LeftParen, "@", "\"(\"")?;
                self.expect(Tok::RightParen, "@", "\")\"")?;
                return Ok(at);
            }
        }
        let negative = self.cursor.at(&Tok::Sub);
        if negative || self.cursor.at(&Tok::Add) {
            self.cursor.bump();
        }
        let is_named = self.at_word("inf") || self.at_word("nan");
        if !matches!(self.cursor.peek(), Some(Tok::Number | Tok::Duration)) && !is_named {
            return Err(self.unexpected("@", "timestamp"));
        }
        let seconds = self.number_literal()? * if negative { -1.0 } else { 1.0 };
        let ms = (seconds * 1000.0).round();
        if !ms.is_finite() || ms.abs() >= 9.2e18 {
            let message =
                format!("timestamp out of bounds for @ modifier: {}", syntax::number::format_plain(seconds));
            return Err(SyntaxError::new(span, message));
        }
        #[expect(clippy::cast_possible_truncation, reason = "the bounds were checked")]
        Ok(At::Timestamp(ms as i64))
    }

    /// What follows `offset`: its signs hold stronger than any operator, which belongs to the selector.
    fn offset_duration(&mut self) -> Result<Duration, SyntaxError> {
        let mut negative = false;
        while matches!(self.cursor.peek(), Some(Tok::Add | Tok::Sub)) {
            negative ^= self.cursor.at(&Tok::Sub);
            self.cursor.bump();
        }
        let duration = self.duration_operand("offset")?;
        Ok(if negative { negated(duration) } else { duration })
    }

    /// A duration with its infix operators of at least a strength.
    fn duration(&mut self, min: u8, context: &str) -> Result<Duration, SyntaxError> {
        if !self.budget.enter() {
            return Err(self.too_complex());
        }
        let mut left = self.duration_operand(context)?;
        while let Some(op) = self.binary_op() {
            let (strength, right_min) = match op {
                BinaryOp::Add | BinaryOp::Sub => (1, 2),
                BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => (2, 3),
                BinaryOp::Pow => (3, 3),
                _ => break,
            };
            if strength < min {
                break;
            }
            if !self.budget.operator() {
                return Err(self.too_complex());
            }
            self.cursor.bump();
            let right = self.duration(right_min, context)?;
            left = Duration::Binary(op, Box::new(left), Box::new(right));
        }
        self.budget.leave();
        Ok(left)
    }

    fn duration_operand(&mut self, context: &str) -> Result<Duration, SyntaxError> {
        match self.cursor.peek() {
            Some(Tok::Number | Tok::Duration) => Ok(Duration::Seconds(self.number_literal()?)),
            Some(Tok::Add) => {
                self.cursor.bump();
                self.duration(3, context)
            }
            Some(Tok::Sub) => {
                self.cursor.bump();
                Ok(negated(self.duration(3, context)?))
            }
            Some(Tok::LeftParen) => {
                self.cursor.bump();
                let inner = self.duration(0, context)?;
                self.expect(Tok::RightParen, context, "\")\"")?;
                Ok(inner)
            }
            Some(Tok::Word) => self.duration_call(context),
            _ => Err(self.unexpected(context, "number, duration, step(), or range()")),
        }
    }

    fn duration_call(&mut self, context: &str) -> Result<Duration, SyntaxError> {
        let word = self.word().unwrap_or_default();
        if !matches!(word.as_str(), "step" | "range" | "min_of" | "max_of") {
            return Err(self.unexpected(context, "number, duration, step(), or range()"));
        }
        self.cursor.bump();
        self.expect(Tok::LeftParen, context, "\"(\"")?;
        let duration = match word.as_str() {
            "step" => Duration::Step,
            "range" => Duration::Range,
            _ => {
                let a = Box::new(self.duration(0, context)?);
                self.expect(Tok::Comma, context, "\",\"")?;
                let b = Box::new(self.duration(0, context)?);
                if word == "min_of" { Duration::Min(a, b) } else { Duration::Max(a, b) }
            }
        };
        self.expect(Tok::RightParen, context, "\")\"")?;
        Ok(duration)
    }
}

fn negated(duration: Duration) -> Duration {
    match duration {
        Duration::Seconds(seconds) => Duration::Seconds(-seconds),
        other => Duration::Negative(Box::new(other)),
    }
}

fn positive(duration: &Duration, span: Span) -> Result<(), SyntaxError> {
    match duration {
        Duration::Seconds(seconds) if *seconds <= 0.0 || seconds.is_nan() => {
            Err(SyntaxError::new(span, "duration must be greater than 0"))
        }
        Duration::Seconds(seconds) if *seconds > 9e9 => Err(SyntaxError::new(span, "duration out of range")),
        _ => Ok(()),
    }
}

/// `anchored` stands behind ranges, `smoothed` behind ranges and instant selectors.
fn extend(node: &mut Node, extended: Extended, at: Span) -> Result<(), SyntaxError> {
    let word = extended.as_str();
    let moved = match (&mut node.0, extended) {
        (Expr::Range(selector, _), _) | (Expr::Selector(selector), Extended::Smoothed) => &mut selector.moved,
        (Expr::Selector(_), Extended::Anchored) => {
            let message = "anchored modifier can only be used with range vector selectors";
            return Err(SyntaxError::new(at, message));
        }
        (Expr::Subquery(_), _) => {
            return Err(SyntaxError::new(at, format!("{word} modifier is not supported for subqueries")));
        }
        _ => {
            let message = format!(
                "{word} modifier must be preceded by an instant vector selector or range vector selector"
            );
            return Err(SyntaxError::new(at, message));
        }
    };
    match moved.extended.replace(extended) {
        None => Ok(()),
        Some(first) if first == extended => {
            Err(SyntaxError::new(at, format!("{word} modifier may not be set multiple times")))
        }
        Some(_) => {
            Err(SyntaxError::new(at, "anchored and smoothed modifiers cannot be used at the same time"))
        }
    }
}

fn moved_of<'n>(node: &'n mut Node, what: &str, at: Span) -> Result<&'n mut Moved, SyntaxError> {
    typecheck::may_move(&node.0, what, at)?;
    match &mut node.0 {
        Expr::Selector(selector) | Expr::Range(selector, _) => Ok(&mut selector.moved),
        Expr::Subquery(subquery) => Ok(&mut subquery.moved),
        _ => Err(SyntaxError::new(at, format!("{what} modifier cannot stand here"))),
    }
}
