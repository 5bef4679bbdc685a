//! Expressions over one span.

use syntax::Pratt;
use syntax::pratt::{Binding, Budget};

use super::{Parser, compare_sign, field_token, negated, static_token};
use crate::ast::{ArithmeticOp, BinaryOp, FieldExpr, UnaryOp};
use crate::error::ParseError;

const LOGIC: Binding = Binding::left(1);
const COMPARE: Binding = Binding::left(2);
const SUM: Binding = Binding::left(3);
const PRODUCT: Binding = Binding::left(4);
const POWER: Binding = Binding::right(5);

/// The operator of a sign over values, and how strongly it holds.
fn operator(sign: &str) -> Option<(BinaryOp, Binding)> {
    Some(match sign {
        "&&" => (BinaryOp::And, LOGIC),
        "||" => (BinaryOp::Or, LOGIC),
        _ => match arithmetic(sign) {
            Some((op, binding)) => (BinaryOp::Arithmetic(op), binding),
            None => (BinaryOp::Compare(compare_sign(sign)?), COMPARE),
        },
    })
}

/// The calculation of a sign, and how strongly it holds.
pub(super) fn arithmetic(sign: &str) -> Option<(ArithmeticOp, Binding)> {
    Some(match sign {
        "+" => (ArithmeticOp::Add, SUM),
        "-" => (ArithmeticOp::Sub, SUM),
        "*" => (ArithmeticOp::Mul, PRODUCT),
        "/" => (ArithmeticOp::Div, PRODUCT),
        "%" => (ArithmeticOp::Mod, PRODUCT),
        "^" => (ArithmeticOp::Pow, POWER),
        _ => return None,
    })
}

pub(super) struct Fields<'p, 's>(pub(super) &'p mut Parser<'s>);

impl Pratt for Fields<'_, '_> {
    type Expr = FieldExpr;
    type Error = ParseError;

    fn budget(&mut self) -> &mut Budget {
        &mut self.0.budget
    }

    fn too_complex(&self) -> ParseError {
        self.0.too_complex()
    }

    fn operand(&mut self) -> Result<FieldExpr, ParseError> {
        let parser = &mut *self.0;
        if parser.eat("(") {
            let expr = self.expression(0)?;
            self.0.expect(")")?;
            return Ok(expr);
        }
        let op = match parser.sign() {
            Some("-") => Some(UnaryOp::Negate),
            Some("!") => Some(UnaryOp::Not),
            _ => None,
        };
        if let Some(op) = op {
            parser.cursor.bump();
            let expr = self.expression(PRODUCT.strength)?;
            return Ok(match &expr {
                FieldExpr::Static(value) if op == UnaryOp::Negate && negated(value).is_some() => {
                    FieldExpr::Static(negated(value).unwrap_or_else(|| value.clone()))
                }
                _ => FieldExpr::Unary { op, expr: Box::new(expr) },
            });
        }
        let token = parser.cursor.peek();
        let expr =
            token.and_then(|token| static_token(token).map(FieldExpr::Static).or_else(|| field_token(token)));
        let expr = expr.ok_or_else(|| parser.unexpected("a field or a value"))?;
        parser.cursor.bump();
        Ok(expr)
    }

    fn binding(&self) -> Option<Binding> {
        self.0.sign().and_then(operator).map(|(_, binding)| binding)
    }

    fn infix(&mut self, left: FieldExpr, binding: Binding) -> Result<FieldExpr, ParseError> {
        let op = self.0.sign().and_then(operator).map(|(op, _)| op);
        let op = op.ok_or_else(|| self.0.unexpected("an operator"))?;
        self.0.cursor.bump();
        let right = self.expression(binding.right_min())?;
        Ok(FieldExpr::Binary { op, lhs: Box::new(left), rhs: Box::new(right) })
    }
}
