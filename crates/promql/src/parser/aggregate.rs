//! `sum by (job) (x)` and `topk(3, x) without (job)`.

use syntax::{Pratt, Span, SyntaxError};

use super::{Node, Parser};
use crate::ast::{Aggregate, AggregateOp, Expr, Grouping, Place};
use crate::lexer::{Keyword, Tok};
use crate::typecheck;

impl Parser<'_> {
    /// An aggregation; its operator is the next token.
    pub(super) fn aggregate(&mut self, op: AggregateOp) -> Result<Node, SyntaxError> {
        let start = self.cursor.span();
        self.cursor.bump();
        self.within(("aggregation", ""), |parser| {
            let mut grouping = parser.grouping()?;
            let args = parser.arguments()?;
            // Without labels so far, the next token had to be seen.
            let is_ahead = grouping.is_none();
            if is_ahead {
                grouping = parser.grouping()?;
            }
            let is_ahead = is_ahead && grouping.is_none();
            let span = start.to(parser.cursor.last_span());
            parser.joined(op, grouping.unwrap_or_default(), args, span).map_err(|message| match is_ahead {
                true => parser.after_next(span, message),
                false => SyntaxError::new(span, message),
            })
        })
    }

    fn joined(
        &self,
        op: AggregateOp,
        grouping: Grouping,
        args: Vec<Node>,
        span: Span,
    ) -> Result<Node, String> {
        let is_experimental = matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio);
        if args.is_empty() {
            return Err("no arguments for aggregate expression provided".to_owned());
        }
        if is_experimental && !self.features.experimental_functions {
            return Err(format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.as_str()
            ));
        }
        let (wanted, got) = (1 + usize::from(op.param().is_some()), args.len());
        let wrong = || {
            format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {got}"
            )
        };
        if got != wanted {
            return Err(wrong());
        }
        let mut args = args.into_iter().rev();
        let vector = args.next().ok_or_else(wrong)?;
        let param = args.next();
        let fault = typecheck::aggregate(op, &vector, param.as_ref());
        let param_place = param.as_ref().map_or_else(Place::default, |param| Place(param.span.start));
        let aggregate = Aggregate {
            op,
            param: param.map(|param| param.expr),
            expr: vector.expr,
            grouping,
            whole_place: Place(span.start),
            place: Place(vector.span.start),
            param_place,
        };
        Ok(Node { expr: Expr::Aggregate(Box::new(aggregate)), span, fault })
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, SyntaxError> {
        let without = self.at_keyword(Keyword::Without);
        if !without && !self.at_keyword(Keyword::By) {
            return Ok(None);
        }
        self.cursor.bump();
        Ok(Some(Grouping { without, labels: self.label_list()? }))
    }

    /// Expressions between parentheses.
    pub(super) fn arguments(&mut self) -> Result<Vec<Node>, SyntaxError> {
        self.expect(Tok::LeftParen)?;
        let mut args = Vec::new();
        if self.cursor.eat(&Tok::RightParen) {
            return Ok(args);
        }
        loop {
            args.push(self.expression(0)?);
            if self.cursor.eat(&Tok::RightParen) {
                return Ok(args);
            }
            self.expect(Tok::Comma)?;
            if !self.is_at_operand() {
                let message = "trailing commas not allowed in function call args";
                return Err(self.after_next(self.cursor.last_span(), message));
            }
        }
    }
}
