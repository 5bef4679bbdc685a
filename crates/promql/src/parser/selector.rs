//! `http_requests_total{job="api"}` and `{"http.requests", job="api"}`, and texts.

use model::labels::METRIC_NAME;
use model::{MatchOp, Matcher};
use syntax::{Span, SyntaxError, string};

use super::{Node, Parser};
use crate::ast::{BinaryOp, Expr, Moved, Place, Selector};
use crate::lexer::Tok;
use crate::typecheck;

const CONTEXT: &str = "label matching";

impl Parser<'_> {
    /// The text of a string literal, which is the next token.
    pub(super) fn text_literal(&mut self) -> Result<String, SyntaxError> {
        let text = string::unquote_any(self.cursor.text()).map_err(|error| {
            let literal = string::quote(self.cursor.text());
            SyntaxError::new(self.cursor.span(), format!("error unquoting string {literal}: {error}"))
        })?;
        self.cursor.bump();
        Ok(text)
    }

    /// A selector without modifiers.
    pub(super) fn checked_selector(&mut self) -> Result<Node, SyntaxError> {
        let (selector, span) = self.selector()?;
        let fault = typecheck::selector(&selector, span);
        Ok(Node { expr: Expr::Selector(selector), span, fault })
    }

    /// A selector without modifiers, whatever it matches.
    pub(super) fn selector(&mut self) -> Result<(Selector, Span), SyntaxError> {
        let start = self.cursor.span();
        let place = Place(start.start);
        let mut selector = Selector { name: None, matchers: Vec::new(), moved: Moved::default(), place };
        if self.cursor.peek().is_some_and(|tok| tok.is_metric()) {
            selector.name = Some(self.cursor.text().to_owned());
            self.cursor.bump();
        } else if !self.cursor.at(&Tok::LeftBrace) {
            return Err(self.unexpected());
        }
        if self.cursor.eat(&Tok::LeftBrace) {
            while !self.cursor.eat(&Tok::RightBrace) {
                selector.matchers.push(self.matcher()?);
                if !self.cursor.at(&Tok::RightBrace) && !self.cursor.eat(&Tok::Comma) {
                    return Err(self.unexpected_in((CONTEXT, "\",\" or \"}\"")));
                }
            }
        }
        if let Some(name) = &selector.name {
            selector.matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        Ok((selector, start.to(self.cursor.last_span())))
    }

    /// `a="b"`, `"a.b"=~"c"`, or the metric's name as a text.
    fn matcher(&mut self) -> Result<Matcher, SyntaxError> {
        let start = self.cursor.span();
        let is_text = self.cursor.at(&Tok::Text);
        let label = match self.cursor.peek() {
            Some(Tok::Text) => self.text_literal()?,
            Some(Tok::Identifier) => {
                let word = self.cursor.text().to_owned();
                self.cursor.bump();
                word
            }
            _ => return Err(self.unexpected_in((CONTEXT, "identifier or \"}\""))),
        };
        let op = match self.cursor.peek() {
            Some(Tok::Assign) => MatchOp::Equal,
            Some(Tok::Op(BinaryOp::NotEqual)) => MatchOp::NotEqual,
            Some(Tok::MatchRegex) => MatchOp::Regex,
            Some(Tok::MatchNotRegex) => MatchOp::NotRegex,
            _ if is_text => return Ok(Matcher::equal(METRIC_NAME, &label)),
            _ => return Err(self.unexpected_in((CONTEXT, "label matching operator"))),
        };
        self.cursor.bump();
        if !self.cursor.at(&Tok::Text) {
            return Err(self.unexpected_in((CONTEXT, "string")));
        }
        let value = self.text_literal()?;
        if matches!(op, MatchOp::Regex | MatchOp::NotRegex) && !string::is_text(&value) {
            let message = format!("error parsing regexp: invalid UTF-8: `{}`", string::lossy(&value));
            return Err(SyntaxError::new(start.to(self.cursor.last_span()), message));
        }
        let made = Matcher::new(&label, op, &value);
        made.map_err(|error| SyntaxError::new(start.to(self.cursor.last_span()), error.to_string()))
    }
}
