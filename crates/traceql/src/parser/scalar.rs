//! Expressions over a spanset: aggregates and what is calculated from them.

use syntax::Pratt;
use syntax::pratt::{Binding, Budget};

use super::field::arithmetic;
use super::{Parser, negated, static_token};
use crate::ast::{Aggregate, AggregateOp, ScalarExpr, Static};
use crate::error::ParseError;

pub(super) struct Scalars<'p, 's>(pub(super) &'p mut Parser<'s>);

impl Scalars<'_, '_> {
    fn aggregate(&mut self) -> Result<Option<Aggregate>, ParseError> {
        let parser = &mut *self.0;
        let op = match parser.word() {
            Some("count") => None,
            Some("avg") => Some(AggregateOp::Avg),
            Some("max") => Some(AggregateOp::Max),
            Some("min") => Some(AggregateOp::Min),
            Some("sum") => Some(AggregateOp::Sum),
            _ => return Ok(None),
        };
        parser.cursor.bump();
        parser.expect("(")?;
        let aggregate = match op {
            None => Aggregate::Count,
            Some(op) => Aggregate::Of(op, parser.field()?),
        };
        parser.expect(")")?;
        Ok(Some(aggregate))
    }
}

impl Pratt for Scalars<'_, '_> {
    type Expr = ScalarExpr;
    type Error = ParseError;

    fn budget(&mut self) -> &mut Budget {
        &mut self.0.budget
    }

    fn too_complex(&self) -> ParseError {
        self.0.too_complex()
    }

    fn operand(&mut self) -> Result<ScalarExpr, ParseError> {
        if self.0.eat("(") {
            let expr = self.expression(0)?;
            self.0.expect(")")?;
            return Ok(expr);
        }
        if let Some(aggregate) = self.aggregate()? {
            return Ok(ScalarExpr::Aggregate(aggregate));
        }
        let parser = &mut *self.0;
        let negative = parser.eat("-");
        let value = parser.cursor.peek().and_then(static_token);
        let value = if negative { value.as_ref().and_then(negated) } else { value };
        let is_number = |v: &Static| matches!(v, Static::Int(_) | Static::Float(_) | Static::Duration(_));
        let value = value.filter(is_number).ok_or_else(|| parser.unexpected("an aggregate or a number"))?;
        parser.cursor.bump();
        Ok(ScalarExpr::Static(value))
    }

    fn binding(&self) -> Option<Binding> {
        self.0.sign().and_then(arithmetic).map(|(_, binding)| binding)
    }

    fn infix(&mut self, left: ScalarExpr, binding: Binding) -> Result<ScalarExpr, ParseError> {
        let op = self.0.sign().and_then(arithmetic).map(|(op, _)| op);
        let op = op.ok_or_else(|| self.0.unexpected("an operator"))?;
        self.0.cursor.bump();
        let right = self.expression(binding.right_min())?;
        Ok(ScalarExpr::Binary { op, lhs: Box::new(left), rhs: Box::new(right) })
    }
}
