//! `http_requests_total{job="api"}` and `{"http.requests", job="api"}`.

use model::labels::METRIC_NAME;
use model::{MatchOp, Matcher};
use syntax::{Span, SyntaxError, string};

use super::{Node, Parser};
use crate::ast::{Expr, Moved, Place, Selector};
use crate::lexer::Tok;

const CONTEXT: &str = "label matching";

impl Parser<'_> {
    /// A selector without modifiers, which must not match everything.
    pub(super) fn selector(&mut self) -> Result<Node, SyntaxError> {
        let (selector, span) = self.any_selector()?;
        if selector.matchers.iter().all(Matcher::matches_empty) {
            let message = "vector selector must contain at least one non-empty matcher";
            return Err(SyntaxError::new(span, message));
        }
        Ok((Expr::Selector(selector), span))
    }

    /// A selector without modifiers, whatever it matches.
    pub(super) fn any_selector(&mut self) -> Result<(Selector, Span), SyntaxError> {
        let start = self.cursor.span();
        let place = Place(start.start);
        let mut selector = Selector { name: None, matchers: Vec::new(), moved: Moved::default(), place };
        if matches!(self.cursor.peek(), Some(Tok::Word | Tok::Metric)) {
            selector.name = Some(self.cursor.text().to_owned());
            self.cursor.bump();
        }
        let mut braced_name = None;
        if self.cursor.eat(&Tok::LeftBrace) {
            while !self.cursor.eat(&Tok::RightBrace) {
                self.matcher(&mut selector.matchers, &mut braced_name)?;
                if !self.cursor.at(&Tok::RightBrace) {
                    self.expect(Tok::Comma, CONTEXT, "\",\" or \"}\"")?;
                }
            }
        }
        let span = start.to(self.cursor.last_span());
        let named = selector.name.as_ref().or(braced_name.as_ref());
        let again = match (&selector.name, &braced_name) {
            (Some(_), Some(second)) => Some(second.as_str()),
            _ => None,
        };
        let equal_name = selector.matchers.iter().find(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal);
        let again = again.or(named.and(equal_name).map(|matcher| matcher.value.as_str()));
        if let (Some(first), Some(second)) = (named, again) {
            let message = format!(
                "metric name must not be set twice: {} or {}",
                string::quote(first),
                string::quote(second)
            );
            return Err(SyntaxError::new(span, message));
        }
        selector.name = selector.name.or(braced_name);
        if let Some(name) = &selector.name {
            selector.matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        Ok((selector, span))
    }

    fn matcher(&mut self, matchers: &mut Vec<Matcher>, name: &mut Option<String>) -> Result<(), SyntaxError> {
        let start = self.cursor.span();
        let quoted = self.cursor.at(&Tok::Text);
        let label = match self.cursor.peek() {
            Some(Tok::Text) => self.text_literal()?,
            Some(Tok::Word) => {
                let word = self.cursor.text().to_owned();
                self.cursor.bump();
                word
            }
            _ => return Err(self.unexpected(CONTEXT, "identifier or \"}\"")),
        };
        let op = match self.cursor.peek() {
            Some(Tok::Assign) => MatchOp::Equal,
            Some(Tok::NotEqual) => MatchOp::NotEqual,
            Some(Tok::MatchRegex) => MatchOp::Regex,
            Some(Tok::MatchNotRegex) => MatchOp::NotRegex,
            Some(Tok::Comma | Tok::RightBrace) if quoted => {
                if let Some(first) = name.replace(label.clone()) {
                    let message = format!(
                        "metric name must not be set twice: {} or {}",
                        string::quote(&first),
                        string::quote(&label)
                    );
                    return Err(SyntaxError::new(start, message));
                }
                return Ok(());
            }
            _ => return Err(self.unexpected(CONTEXT, "label matching operator")),
        };
        self.cursor.bump();
        if !self.cursor.at(&Tok::Text) {
            return Err(self.unexpected(CONTEXT, "string"));
        }
        let value = self.text_literal()?;
        let matcher = Matcher::new(&label, op, &value)
            .map_err(|error| SyntaxError::new(start.to(self.cursor.last_span()), error.to_string()))?;
        matchers.push(matcher);
        Ok(())
    }
}
