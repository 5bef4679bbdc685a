//! `rate(x[5m])`.

use syntax::{Pratt, SyntaxError, string};

use super::{Node, Parser};
use crate::ast::{Expr, Place};
use crate::functions;
use crate::lexer::Tok;
use crate::typecheck;

impl Parser<'_> {
    /// A call; the function's name is the next token.
    pub(super) fn call(&mut self) -> Result<Node, SyntaxError> {
        let (name, start) = (self.cursor.text(), self.cursor.span());
        let Some(function) = functions::lookup(name) else {
            let message = format!("unknown function with name {}", string::quote(name));
            return Err(SyntaxError::new(start, message));
        };
        if function.is_experimental && !self.features.experimental_functions {
            let message = format!("function {} is not enabled", string::quote(name));
            return Err(SyntaxError::new(start, message));
        }
        self.cursor.bump();
        let args = match function.name {
            "info" => self.info_arguments()?,
            _ => self.arguments("function call")?,
        };
        let span = start.to(self.cursor.last_span());
        typecheck::call(function, &args, span)?;
        let places = args.iter().map(|(_, span)| Place(span.start)).collect();
        Ok((Expr::Call(function, args.into_iter().map(|(arg, _)| arg).collect(), places), span))
    }

    /// A vector, and conditions on labels in braces, which may hold for everything.
    fn info_arguments(&mut self) -> Result<Vec<Node>, SyntaxError> {
        const CONTEXT: &str = "function call";
        self.expect(Tok::LeftParen, CONTEXT, "")?;
        if self.cursor.eat(&Tok::RightParen) {
            return Ok(Vec::new());
        }
        let mut args = vec![self.expression(0)?];
        if self.cursor.eat(&Tok::Comma) {
            let at = self.cursor.span();
            if !self.cursor.at(&Tok::LeftBrace) {
                let message = "expected label selectors only, got another expression";
                return Err(SyntaxError::new(at, message));
            }
            let (selector, span) = self.any_selector()?;
            args.push((Expr::Selector(selector), span));
        }
        self.expect(Tok::RightParen, CONTEXT, "")?;
        Ok(args)
    }
}
