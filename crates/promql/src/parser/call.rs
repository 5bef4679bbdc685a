//! `rate(x[5m])`.

use syntax::{SyntaxError, string};

use super::{Node, Parser};
use crate::ast::Expr;
use crate::functions;
use crate::typecheck;

impl Parser<'_> {
    /// A call; the function's name is the next token.
    pub(super) fn call(&mut self) -> Result<Node, SyntaxError> {
        let (name, start) = (self.cursor.text(), self.cursor.span());
        let Some(function) = functions::lookup(name) else {
            let message = format!("unknown function with name {}", string::quote(name));
            return Err(SyntaxError::new(start, message));
        };
        self.cursor.bump();
        let args = self.arguments("function call")?;
        let span = start.to(self.cursor.last_span());
        typecheck::call(function, &args, span)?;
        Ok((Expr::Call(function, args.into_iter().map(|(arg, _)| arg).collect()), span))
    }
}
