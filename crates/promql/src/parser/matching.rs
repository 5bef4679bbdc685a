//! What stands between an operator and its right side: `bool`, `on (job) group_left (x)`, `fill (0)`; and lists of labels.

use syntax::{SyntaxError, string};

use super::{Context, Parser};
use crate::ast::{BinaryOp, Cardinality, Fill, Matching};
use crate::lexer::{Keyword, Tok};

const CONTEXT: &str = "grouping opts";

impl Parser<'_> {
    pub(super) fn at_keyword(&self, keyword: Keyword) -> bool {
        self.cursor.at(&Tok::Keyword(keyword))
    }

    fn eat_keyword(&mut self, keyword: Keyword) -> bool {
        self.cursor.eat(&Tok::Keyword(keyword))
    }

    /// Whether the operator has `bool`, and how the series of its sides pair.
    pub(super) fn matching(&mut self) -> Result<(bool, Matching), SyntaxError> {
        let bool_modifier = self.eat_keyword(Keyword::Bool);
        let mut matching = Matching { on: self.eat_keyword(Keyword::On), ..Matching::default() };
        if matching.on || self.eat_keyword(Keyword::Ignoring) {
            matching.labels = self.label_list()?;
            if self.eat_keyword(Keyword::GroupLeft) {
                matching.card = Cardinality::ManyToOne;
                matching.include = self.included()?;
            } else if self.eat_keyword(Keyword::GroupRight) {
                matching.card = Cardinality::OneToMany;
                matching.include = self.included()?;
            }
        }
        matching.fill = self.fill()?;
        Ok((bool_modifier, matching))
    }

    /// The labels of `group_left`, which may be left out where an operand follows.
    fn included(&mut self) -> Result<Vec<String>, SyntaxError> {
        let is_operand = self.is_at_operand() && !self.cursor.at(&Tok::LeftParen);
        if is_operand { Ok(Vec::new()) } else { self.label_list() }
    }

    /// `fill(x)`, or one of `fill_left(x)` and `fill_right(x)`, or both in any order.
    fn fill(&mut self) -> Result<Fill, SyntaxError> {
        if self.eat_keyword(Keyword::Fill) {
            let value = Some(self.fill_value()?);
            return Ok(Fill { left: value, right: value });
        }
        let mut fill = Fill::default();
        loop {
            if fill.left.is_none() && self.eat_keyword(Keyword::FillLeft) {
                fill.left = Some(self.fill_value()?);
            } else if fill.right.is_none() && self.eat_keyword(Keyword::FillRight) {
                fill.right = Some(self.fill_value()?);
            } else {
                return Ok(fill);
            }
        }
    }

    /// A number with or without a sign, between parentheses.
    fn fill_value(&mut self) -> Result<f64, SyntaxError> {
        self.expect(Tok::LeftParen)?;
        let is_negative = self.cursor.at(&Tok::Op(BinaryOp::Sub));
        if is_negative || self.cursor.at(&Tok::Op(BinaryOp::Add)) {
            self.cursor.bump();
        }
        if !matches!(self.cursor.peek(), Some(Tok::Number | Tok::Duration)) {
            return Err(self.unexpected());
        }
        let value = self.number_literal()?;
        self.expect(Tok::RightParen)?;
        Ok(if is_negative { -value } else { value })
    }

    /// Names of labels between parentheses; any word may be one.
    pub(super) fn label_list(&mut self) -> Result<Vec<String>, SyntaxError> {
        const OPEN: Context = (CONTEXT, "\"(\"");
        const NEXT: Context = (CONTEXT, "\",\" or \")\"");
        if !self.cursor.eat(&Tok::LeftParen) {
            return Err(self.unexpected_in(OPEN));
        }
        let mut labels = Vec::new();
        while !self.cursor.eat(&Tok::RightParen) {
            labels.push(self.label()?);
            if !self.cursor.at(&Tok::RightParen) && !self.cursor.eat(&Tok::Comma) {
                return Err(self.unexpected_in(NEXT));
            }
        }
        Ok(labels)
    }

    fn label(&mut self) -> Result<String, SyntaxError> {
        let span = self.cursor.span();
        let label = match self.cursor.peek() {
            Some(Tok::Text) => self.text_literal()?,
            Some(tok) if tok.is_label() => {
                let word = self.cursor.text().to_owned();
                self.cursor.bump();
                word
            }
            _ => return Err(self.unexpected_in((CONTEXT, "label"))),
        };
        if label.is_empty() || !string::is_text(&label) {
            let message = format!("invalid label name for grouping: {}", string::quote(&label));
            return Err(SyntaxError::new(span, message));
        }
        Ok(label)
    }
}
