//! `{a="b", c=~"d"}`.

use model::{MatchOp, Matcher};

use super::Parser;
use super::check::check_matchers;
use crate::ast::{LogExpr, Stage};
use crate::error::ParseError;

impl Parser<'_> {
    /// A selector with its pipeline.
    pub(super) fn log_expr(&mut self) -> Result<LogExpr, ParseError> {
        let matchers = self.selector()?;
        let stages = self.stages()?;
        if let Some(Stage::Unwrap(_)) = stages.iter().find(|s| matches!(s, Stage::Unwrap(_))) {
            return Err(self.unexpected(&["a range aggregation around unwrap"]));
        }
        Ok(LogExpr { matchers, stages })
    }

    /// A selector that narrows something.
    pub(super) fn selector(&mut self) -> Result<Vec<Matcher>, ParseError> {
        let matchers = self.matchers()?;
        check_matchers(&matchers)?;
        Ok(matchers)
    }

    /// Any selector.
    pub(super) fn matchers(&mut self) -> Result<Vec<Matcher>, ParseError> {
        self.expect("{")?;
        let mut matchers = Vec::new();
        while !self.eat("}") {
            if !matchers.is_empty() {
                if !self.eat(",") {
                    return Err(self.unexpected(&["}", ","]));
                }
                if self.eat("}") {
                    break;
                }
            }
            if self.word().is_none() {
                let expecting: &[&str] =
                    if matchers.is_empty() { &["IDENTIFIER", "}"] } else { &["IDENTIFIER"] };
                return Err(self.unexpected(expecting));
            }
            let name = self.name()?;
            let op = self.match_op().ok_or_else(|| self.unexpected(&["=", "=~", "!~", "!="]))?;
            self.cursor.bump();
            matchers.push(self.matcher(&name, op)?);
        }
        Ok(matchers)
    }

    /// The text of a matcher whose name and operator are taken.
    pub(super) fn matcher(&mut self, name: &str, op: MatchOp) -> Result<Matcher, ParseError> {
        let position = self.cursor.position();
        let text = self.text()?;
        Matcher::new(name, op, &text).map_err(|error| ParseError::At { position, message: error.to_string() })
    }

    /// The string operator that comes next, not taken.
    pub(super) fn match_op(&self) -> Option<MatchOp> {
        match self.sign_nth(0)? {
            "=" => Some(MatchOp::Equal),
            "!=" => Some(MatchOp::NotEqual),
            "=~" => Some(MatchOp::Regex),
            "!~" => Some(MatchOp::NotRegex),
            _ => None,
        }
    }
}
