//! `sum by (job) (x)` and `topk(3, x) without (job)`.

use syntax::{Pratt, SyntaxError, string};

use super::{Node, Parser};
use crate::ast::{Aggregate, AggregateOp, Expr, Grouping, Place};
use crate::lexer::Tok;
use crate::typecheck;
use crate::value::ValueType;

impl Parser<'_> {
    /// An aggregation; its operator is the next token.
    pub(super) fn aggregate(&mut self, op: AggregateOp) -> Result<Node, SyntaxError> {
        let start = self.cursor.span();
        self.cursor.bump();
        let mut grouping = self.grouping()?;
        if op == AggregateOp::CountValues {
            self.label_literal();
        }
        let mut args = self.arguments("aggregation")?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let span = start.to(self.cursor.last_span());
        if args.is_empty() {
            return Err(SyntaxError::new(span, "no arguments for aggregate expression provided"));
        }
        let wanted = 1 + usize::from(op.param().is_some());
        if args.len() != wanted {
            return Err(SyntaxError::new(
                span,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                    args.len()
                ),
            ));
        }
        let expr = args.pop();
        let param = args.pop();
        if let (Some(wanted), Some((param, at))) = (op.param(), &param) {
            typecheck::expect(param, *at, wanted, "aggregation parameter")?;
        }
        let Some((expr, at)) = expr else { return Err(self.unexpected("aggregation", "")) };
        typecheck::expect(&expr, at, ValueType::Vector, "aggregation expression")?;
        if matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio)
            && !self.features.experimental_functions
        {
            let message = format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            return Err(SyntaxError::new(span, message));
        }
        let (param, param_place) = match param {
            Some((param, at)) => (Some(param), Place(at.start)),
            None => (None, Place::default()),
        };
        let (grouping, place) = (grouping.unwrap_or_default(), Place(at.start));
        let whole_place = Place(span.start);
        let aggregate = Aggregate { op, param, expr, grouping, whole_place, place, param_place };
        Ok((Expr::Aggregate(Box::new(aggregate)), span))
    }

    /// Notes a label's name that is no text; where something else than a literal comes it is looked at later.
    fn label_literal(&mut self) {
        let mark = self.cursor.mark();
        let is_literal = self.cursor.eat(&Tok::LeftParen) && self.cursor.at(&Tok::Text);
        let (text, span) = (self.cursor.text(), self.cursor.span());
        self.cursor.reset(mark);
        if is_literal && string::unquote(text) == Err(string::StringError::NotUtf8) {
            self.late = Some(SyntaxError::new(span, format!("invalid label name {text}")));
        }
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, SyntaxError> {
        let without = self.at_word("without");
        if !without && !self.at_word("by") {
            return Ok(None);
        }
        self.cursor.bump();
        Ok(Some(Grouping { without, labels: self.label_list()? }))
    }

    /// Expressions between parentheses.
    pub(super) fn arguments(&mut self, context: &str) -> Result<Vec<Node>, SyntaxError> {
        self.expect(Tok::LeftParen, context, "")?;
        let mut args = Vec::new();
        while !self.cursor.eat(&Tok::RightParen) {
            args.push(self.expression(0)?);
            if self.cursor.at(&Tok::RightParen) {
                continue;
            }
            self.expect(Tok::Comma, context, "")?;
            if self.cursor.at(&Tok::RightParen) {
                return Err(SyntaxError::new(
                    self.cursor.last_span(),
                    "trailing commas not allowed in function call args",
                ));
            }
        }
        Ok(args)
    }

    /// Names of labels between parentheses; any word may be one.
    pub(super) fn label_list(&mut self) -> Result<Vec<String>, SyntaxError> {
        const CONTEXT: &str = "grouping opts";
        self.expect(Tok::LeftParen, CONTEXT, "\"(\"")?;
        let mut labels = Vec::new();
        while !self.cursor.eat(&Tok::RightParen) {
            match self.cursor.peek() {
                Some(Tok::Word) => {
                    labels.push(self.cursor.text().to_owned());
                    self.cursor.bump();
                }
                Some(Tok::Text) => {
                    let span = self.cursor.span();
                    let label = self.text_literal()?;
                    if label.is_empty() {
                        let message = format!("invalid label name for grouping: {}", string::quote(&label));
                        return Err(SyntaxError::new(span, message));
                    }
                    labels.push(label);
                }
                _ => return Err(self.unexpected(CONTEXT, "label")),
            }
            if !self.cursor.at(&Tok::RightParen) {
                self.expect(Tok::Comma, CONTEXT, "\",\" or \")\"")?;
            }
        }
        Ok(labels)
    }
}
