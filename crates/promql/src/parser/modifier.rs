//! What stands behind an operand: `[5m]`, `[1h:5m]`, `offset 5m`, `@ end()`, `anchored` and `smoothed`.

use syntax::{Pratt, Span, SyntaxError};

use super::{Context, Node, Parser};
use crate::ast::{At, BinaryOp, Duration, Expr, Extended, Moved, Subquery};
use crate::lexer::{Keyword, Special, Tok};
use crate::typecheck;

/// What a duration may be, as errors say it.
const DURATION: &str = "number, duration, step(), or range()";

const RANGE: Context = ("subquery or range selector", DURATION);
const STEP: Context = ("subquery selector", "number, duration, step(), range(), or \"]\"");
const OFFSET: Context = ("offset", DURATION);
const AT: Context = ("@", "timestamp");

/// The last moment that can be asked for, either side of the epoch: what is beyond has no samples.
const MAX_AT_MS: f64 = 9.2e18;

impl Parser<'_> {
    /// The modifiers of an operand, in whatever order they come.
    pub(super) fn postfix(&mut self, mut node: Node) -> Result<Node, SyntaxError> {
        loop {
            let of = node.span;
            if self.cursor.eat(&Tok::LeftBracket) {
                node = self.brackets(node)?;
            } else if self.cursor.eat(&Tok::At) {
                self.within(AT, |parser| parser.at_moment(&mut node))?;
            } else if self.cursor.eat(&Tok::Keyword(Keyword::Offset)) {
                let offset = self.within(OFFSET, Self::offset_duration)?;
                move_back(&mut node, offset)?;
            } else if let Some(extended) = self.extended() {
                if !self.features.extended_ranges {
                    let message = format!("{} modifier is experimental and not enabled", extended.as_str());
                    return Err(SyntaxError::new(of, message));
                }
                self.cursor.bump();
                extend(&mut node, extended)?;
            } else {
                return Ok(node);
            }
            node.span = of.to(self.cursor.last_span());
        }
    }

    fn extended(&self) -> Option<Extended> {
        match self.cursor.peek() {
            Some(Tok::Keyword(Keyword::Anchored)) => Some(Extended::Anchored),
            Some(Tok::Keyword(Keyword::Smoothed)) => Some(Extended::Smoothed),
            _ => None,
        }
    }

    /// What follows `[`: a range, or a range and a step.
    fn brackets(&mut self, node: Node) -> Result<Node, SyntaxError> {
        let bracket = self.cursor.last_span();
        let range = self.within(RANGE, Self::positive_duration)?;
        if self.cursor.eat(&Tok::Colon) {
            // A chain of them is a deep tree.
            if !self.budget.operator() {
                return Err(self.too_complex());
            }
            let step = match self.cursor.at(&Tok::RightBracket) {
                true => None,
                false => Some(self.within(STEP, Self::positive_duration)?),
            };
            if !self.cursor.eat(&Tok::RightBracket) {
                return Err(self.unexpected_in((STEP.0, "\"]\"")));
            }
            let span = node.span;
            let fault = node.fault.or_else(|| typecheck::subquery(&node.expr, span));
            let subquery = Subquery { expr: node.expr, range, step, moved: Moved::default() };
            return Ok(Node { expr: Expr::Subquery(Box::new(subquery)), span, fault });
        }
        if !self.cursor.eat(&Tok::RightBracket) {
            return Err(self.unexpected_in(("subquery or range", "\":\" or \"]\"")));
        }
        let message = match node.expr {
            Expr::Selector(selector) => match &selector.moved {
                Moved { offset: Some(_), .. } => "no offset modifiers allowed before range",
                Moved { at: Some(_), .. } => "no @ modifiers allowed before range",
                _ => return Ok(Node { expr: Expr::Range(selector, range), ..node }),
            },
            _ => "ranges only allowed for vector selectors",
        };
        Err(SyntaxError::new(bracket.to(self.cursor.last_span()), message))
    }

    /// What follows `@`.
    fn at_moment(&mut self, node: &mut Node) -> Result<(), SyntaxError> {
        let of = node.span;
        for (special, at) in [(Special::Start, At::Start), (Special::End, At::End)] {
            if self.at_special(special) {
                self.cursor.bump();
                self.expect(Tok::LeftParen)?;
                self.expect(Tok::RightParen)?;
                return fix(node, at);
            }
        }
        let negative = self.cursor.at(&Tok::Op(BinaryOp::Sub));
        if negative || self.cursor.at(&Tok::Op(BinaryOp::Add)) {
            self.cursor.bump();
        }
        if !matches!(self.cursor.peek(), Some(Tok::Number | Tok::Duration)) {
            return Err(self.unexpected());
        }
        let seconds = self.number_literal()? * if negative { -1.0 } else { 1.0 };
        if seconds.is_nan() || seconds.abs() >= 9_223_372_036_854_775_808.0 {
            let shown = match seconds.is_finite() {
                true => format!("{seconds:.6}"),
                false => syntax::number::format_plain(seconds),
            };
            let message = format!("timestamp out of bounds for @ modifier: {shown}");
            return Err(SyntaxError::new(of, message));
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is clamped")]
        let ms = (seconds * 1000.0).round().clamp(-MAX_AT_MS, MAX_AT_MS) as i64;
        fix(node, At::Timestamp(ms))
    }
}

/// Gives a selector or subquery its moment.
fn fix(node: &mut Node, at: At) -> Result<(), SyntaxError> {
    let of = node.span;
    match moved_of(node, "@")?.at.replace(at) {
        None => Ok(()),
        Some(_) => Err(SyntaxError::new(of, "@ <timestamp> may not be set multiple times")),
    }
}

/// Moves a selector or subquery; what is moved by nothing may be moved again.
fn move_back(node: &mut Node, offset: Duration) -> Result<(), SyntaxError> {
    let of = node.span;
    let moved = moved_of(node, "offset")?;
    if moved.offset.is_some() {
        return Err(SyntaxError::new(of, "offset may not be set multiple times"));
    }
    let is_nothing = matches!(offset, Duration::Number(by) | Duration::Seconds(by) if by == 0.0);
    moved.offset = (!is_nothing).then_some(offset);
    Ok(())
}

fn moved_of<'n>(node: &'n mut Node, what: &str) -> Result<&'n mut Moved, SyntaxError> {
    match &mut node.expr {
        Expr::Selector(selector) | Expr::Range(selector, _) => Ok(&mut selector.moved),
        Expr::Subquery(subquery) => Ok(&mut subquery.moved),
        _ => {
            let message = format!(
                "{what} modifier must be preceded by an instant vector selector or range vector selector or a subquery"
            );
            Err(SyntaxError::new(node.span, message))
        }
    }
}

/// `anchored` and `smoothed` stand behind selectors.
fn extend(node: &mut Node, extended: Extended) -> Result<(), SyntaxError> {
    let at: Span = node.span;
    let word = extended.as_str();
    let message = match &mut node.expr {
        Expr::Selector(selector) | Expr::Range(selector, _) => {
            match selector.moved.extended.replace(extended) {
                Some(other) if other != extended => {
                    "anchored and smoothed modifiers cannot be used together".to_owned()
                }
                _ => return Ok(()),
            }
        }
        Expr::Subquery(_) => format!("{word} modifier is not supported for subqueries"),
        _ => format!("{word} modifier not implemented"),
    };
    Err(SyntaxError::new(at, message))
}
