//! `rate(x[5m])`.

use syntax::{SyntaxError, string};

use super::{Node, Parser};
use crate::ast::{Expr, Place};
use crate::functions;
use crate::typecheck;

impl Parser<'_> {
    /// A call; the function's name is the next token.
    pub(super) fn call(&mut self) -> Result<Node, SyntaxError> {
        let (name, start) = (self.cursor.text(), self.cursor.span());
        self.cursor.bump();
        let args = self.arguments()?;
        let span = start.to(self.cursor.last_span());
        let Some(function) = functions::lookup(name) else {
            let message = format!("unknown function with name {}", string::quote(name));
            return Err(SyntaxError::new(start, message));
        };
        if function.is_experimental && !self.features.experimental_functions {
            let message = format!("function {} is not enabled", string::quote(name));
            return Err(SyntaxError::new(start, message));
        }
        let fault = typecheck::call(function, &args, span);
        let places = args.iter().map(|arg| Place(arg.span.start)).collect();
        let expr = Expr::Call(function, args.into_iter().map(|arg| arg.expr).collect(), places);
        Ok(Node { expr, span, fault })
    }
}
