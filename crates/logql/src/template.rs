//! The templates of `line_format` and `label_format`: a subset of Go's `text/template` with Loki's functions.
//!
//! What is not understood is refused when the query is parsed, with its name.

mod eval;
mod functions;
mod lexer;
mod parse;
mod time;
mod value;

use crate::pipeline::row::Row;
use parse::Node;

/// A template, ready to be filled in.
#[derive(Debug)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

impl Template {
    /// Reads a template; the error names what is not understood.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let nodes = parse::parse(text).map_err(|error| format!("invalid template: {error}"))?;
        Ok(Self { nodes })
    }

    /// Fills in a line and its labels; the error says which function failed.
    pub(crate) fn render(&self, line: &str, row: &Row) -> Result<String, String> {
        eval::render(&self.nodes, line, row)
    }

    /// Adds the labels that it reads; false when it may read any.
    pub(crate) fn names(&self, out: &mut Vec<String>) -> bool {
        parse::names(&self.nodes, out)
    }
}

#[cfg(test)]
mod tests;
