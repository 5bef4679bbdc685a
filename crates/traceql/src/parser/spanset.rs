//! Expressions that select spans.

use syntax::Pratt;
use syntax::pratt::{Binding, Budget};

use super::Parser;
use crate::ast::{FieldExpr, Relation, SpansetExpr, SpansetOp, Stage, Static, StructuralMode};
use crate::error::ParseError;

const LOGIC: Binding = Binding::left(1);
const STRUCTURE: Binding = Binding::left(2);

/// The operator of a sign between selections, and how strongly it holds.
fn operator(sign: &str) -> Option<(SpansetOp, Binding)> {
    match sign {
        "&&" => return Some((SpansetOp::And, LOGIC)),
        "||" => return Some((SpansetOp::Or, LOGIC)),
        _ => {}
    }
    let (mode, relation) = match sign.split_at_checked(1) {
        Some(("!", rest)) => (StructuralMode::Negated, rest),
        Some(("&", rest)) => (StructuralMode::Union, rest),
        _ => (StructuralMode::Right, sign),
    };
    let relation = match relation {
        ">" => Relation::Child,
        ">>" => Relation::Descendant,
        "<" => Relation::Parent,
        "<<" => Relation::Ancestor,
        "~" => Relation::Sibling,
        _ => return None,
    };
    Some((SpansetOp::Structural { relation, mode }, STRUCTURE))
}

pub(super) struct Spansets<'p, 's>(pub(super) &'p mut Parser<'s>);

impl Pratt for Spansets<'_, '_> {
    type Expr = SpansetExpr;
    type Error = ParseError;

    fn budget(&mut self) -> &mut Budget {
        &mut self.0.budget
    }

    fn too_complex(&self) -> ParseError {
        self.0.too_complex()
    }

    fn operand(&mut self) -> Result<SpansetExpr, ParseError> {
        let parser = &mut *self.0;
        if parser.eat("{") {
            if parser.eat("}") {
                return Ok(SpansetExpr::Filter(FieldExpr::Static(Static::Bool(true))));
            }
            let expr = parser.field()?;
            parser.expect("}")?;
            return Ok(SpansetExpr::Filter(expr));
        }
        if !parser.eat("(") {
            return Err(parser.unexpected("{ or ("));
        }
        if !parser.budget.enter() {
            return Err(parser.too_complex());
        }
        let mut stages = parser.pipeline()?;
        parser.budget.leave();
        parser.expect(")")?;
        Ok(match stages.pop() {
            Some(Stage::Spanset(expr)) if stages.is_empty() => expr,
            last => {
                stages.extend(last);
                SpansetExpr::Pipeline(stages)
            }
        })
    }

    fn binding(&self) -> Option<Binding> {
        self.0.sign().and_then(operator).map(|(_, binding)| binding)
    }

    fn infix(&mut self, left: SpansetExpr, binding: Binding) -> Result<SpansetExpr, ParseError> {
        let op = self.0.sign().and_then(operator).map(|(op, _)| op);
        let op = op.ok_or_else(|| self.0.unexpected("an operator"))?;
        self.0.cursor.bump();
        let right = self.expression(binding.right_min())?;
        Ok(SpansetExpr::Binary { op, lhs: Box::new(left), rhs: Box::new(right) })
    }
}
