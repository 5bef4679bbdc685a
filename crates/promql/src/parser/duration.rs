//! Durations and their arithmetic: `5m`, `300`, `(step() * 2)`, `max_of(step(), 1m)`.

use syntax::{Pratt, Span, SyntaxError};

use super::Parser;
use crate::ast::{BinaryOp, Duration, Extent};
use crate::lexer::{Special, Tok};

/// The longest duration that 64 bits of nanoseconds have, in seconds.
const MAX_SECONDS: f64 = 9_223_372_036.854_776;

impl Parser<'_> {
    /// A duration of a range or a step; a literal must be more than nothing.
    pub(super) fn positive_duration(&mut self) -> Result<Duration, SyntaxError> {
        let (duration, span) = self.duration(0)?;
        match duration {
            Duration::Number(seconds) | Duration::Seconds(seconds) if seconds <= 0.0 => {
                Err(self.after_next(span, "duration must be greater than 0"))
            }
            duration => Ok(duration),
        }
    }

    /// What follows `offset`. A literal, a call or what a sign stands before end it: what comes then belongs to the selector.
    pub(super) fn offset_duration(&mut self) -> Result<Duration, SyntaxError> {
        let Some(Tok::Op(op @ (BinaryOp::Add | BinaryOp::Sub))) = self.cursor.peek().copied() else {
            return Ok(match self.cursor.peek() {
                Some(Tok::LeftParen) => self.duration(0)?.0,
                _ => self.duration_operand()?.0,
            });
        };
        let start = self.cursor.span();
        self.cursor.bump();
        let (mut is_negative, mut sign) = (op == BinaryOp::Sub, op);
        while let Some(next @ (BinaryOp::Add | BinaryOp::Sub)) = self.binary_op() {
            self.cursor.bump();
            is_negative ^= next == BinaryOp::Sub;
            sign = if is_negative { BinaryOp::Sub } else { BinaryOp::Add };
        }
        let (duration, span) = self.duration_operand()?;
        Ok(signed(sign, duration, start.to(span)).0)
    }

    /// A duration with its infix operators of at least a strength.
    fn duration(&mut self, min: u8) -> Result<(Duration, Span), SyntaxError> {
        if !self.budget.enter() {
            return Err(self.too_complex());
        }
        let mut left = match self.cursor.peek() {
            Some(Tok::Op(op @ (BinaryOp::Add | BinaryOp::Sub))) => {
                let (op, sign) = (*op, self.cursor.span());
                self.cursor.bump();
                let (duration, span) = self.duration(3)?;
                signed(op, duration, sign.to(span))
            }
            _ => self.duration_operand()?,
        };
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
            let at = self.cursor.span();
            self.cursor.bump();
            let (right, span) = self.duration(right_min)?;
            let is_zero = matches!(right, Duration::Number(by) | Duration::Seconds(by) if by == 0.0);
            match op {
                BinaryOp::Div if is_zero => return Err(self.after_next(at, "division by zero")),
                BinaryOp::Mod if is_zero => return Err(self.after_next(at, "modulo by zero")),
                _ => {
                    let extent = between((&left.0, left.1), (&right, span));
                    let binary = Duration::Binary(op, Box::new(left.0), Box::new(right), extent);
                    left = (binary, left.1.to(span));
                }
            }
        }
        self.budget.leave();
        Ok(left)
    }

    fn duration_operand(&mut self) -> Result<(Duration, Span), SyntaxError> {
        let start = self.cursor.span();
        match self.cursor.peek().copied() {
            Some(tok @ (Tok::Number | Tok::Duration)) => {
                let seconds = self.number_literal()?;
                if seconds.abs() > MAX_SECONDS {
                    return Err(SyntaxError::new(start, "duration out of range"));
                }
                // What is no number is the longest time ahead there, by how it becomes an integer.
                let seconds = if seconds.is_nan() { -MAX_SECONDS } else { seconds };
                let is_number = tok == Tok::Number;
                Ok((if is_number { Duration::Number(seconds) } else { Duration::Seconds(seconds) }, start))
            }
            Some(Tok::LeftParen) => {
                self.cursor.bump();
                let (inner, span) = self.duration(0)?;
                self.expect(Tok::RightParen)?;
                let extent = inner.extent().unwrap_or(Extent { start: start.start, end: span.end });
                Ok((Duration::Paren(Box::new(inner), extent), start.to(self.cursor.last_span())))
            }
            Some(Tok::Special(
                special @ (Special::Step | Special::Range | Special::MinOf | Special::MaxOf),
            )) => {
                self.cursor.bump();
                self.expect(Tok::LeftParen)?;
                if matches!(special, Special::Step | Special::Range) {
                    self.expect(Tok::RightParen)?;
                    let span = start.to(self.cursor.last_span());
                    let of_query = if special == Special::Step { Duration::Step } else { Duration::Range };
                    return Ok((of_query(extent_of(span)), span));
                }
                let (a, a_span) = self.duration(0)?;
                self.expect(Tok::Comma)?;
                let (b, b_span) = self.duration(0)?;
                self.expect(Tok::RightParen)?;
                let extent = between((&a, a_span), (&b, b_span));
                let of_two = if special == Special::MinOf { Duration::Min } else { Duration::Max };
                Ok((of_two(Box::new(a), Box::new(b), extent), start.to(self.cursor.last_span())))
            }
            _ => Err(self.unexpected()),
        }
    }
}

const fn extent_of(span: Span) -> Extent {
    Extent { start: span.start, end: span.end }
}

/// From the beginning of one to the end of another; literals stand where they were read.
fn between((a, a_span): (&Duration, Span), (b, b_span): (&Duration, Span)) -> Extent {
    let start = a.extent().unwrap_or(extent_of(a_span)).start;
    Extent { start, end: b.extent().unwrap_or(extent_of(b_span)).end }
}

/// A duration behind a sign; `+` changes nothing.
fn signed(op: BinaryOp, duration: Duration, span: Span) -> (Duration, Span) {
    let signed = match (op, duration) {
        (BinaryOp::Sub, Duration::Number(seconds)) => Duration::Number(-seconds),
        (BinaryOp::Sub, Duration::Seconds(seconds)) => Duration::Seconds(-seconds),
        (BinaryOp::Sub, other) => {
            let end = other.extent().map_or(span.end, |extent| extent.end);
            Duration::Negative(Box::new(other), Extent { start: span.start, end })
        }
        (_, same) => same,
    };
    (signed, span)
}
