//! Filling in a template.

use std::fmt::Write as _;

use super::functions::Context;
use super::parse::{Command, Node, Operand, Pipeline};
use super::value::Value;
use crate::pipeline::row::Row;

/// The longest text that a template may make, in bytes.
pub(super) const MAX_OUTPUT_BYTES: usize = 16 << 20;

/// Fills in a line and its labels.
pub(super) fn render(nodes: &[Node], line: &str, row: &Row) -> Result<String, String> {
    let mut scope =
        Scope { context: Context { line, timestamp_ns: row.timestamp_ns }, row, variables: Vec::new() };
    let mut out = String::new();
    scope.nodes(nodes, &Value::Labels, &mut out)?;
    Ok(out)
}

struct Scope<'a> {
    context: Context<'a>,
    row: &'a Row,
    variables: Vec<(String, Value)>,
}

impl Scope<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value, out: &mut String) -> Result<(), String> {
        let depth = self.variables.len();
        for node in nodes {
            if out.len() > MAX_OUTPUT_BYTES {
                return Err(format!("template makes too long a text: max_bytes={MAX_OUTPUT_BYTES}"));
            }
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Action(pipeline) => self.action(pipeline, dot, out)?,
                Node::If(condition, body, otherwise) => {
                    let holds = self.pipeline(condition, dot)?.is_true();
                    self.nodes(if holds { body } else { otherwise }, dot, out)?;
                }
                Node::With(condition, body, otherwise) => {
                    let value = self.pipeline(condition, dot)?;
                    let holds = value.is_true();
                    let (body, dot) = if holds { (body, &value) } else { (otherwise, dot) };
                    self.nodes(body, dot, out)?;
                }
                Node::Range(index, item, condition, body, otherwise) => {
                    let items = items(self.pipeline(condition, dot)?);
                    if items.is_empty() {
                        self.nodes(otherwise, dot, out)?;
                    }
                    for (key, value) in items {
                        let depth = self.variables.len();
                        self.variables.extend(index.clone().map(|name| (name, key)));
                        self.variables.extend(item.clone().map(|name| (name, value.clone())));
                        self.nodes(body, &value, out)?;
                        self.variables.truncate(depth);
                    }
                }
            }
        }
        self.variables.truncate(depth);
        Ok(())
    }

    fn action(&mut self, pipeline: &Pipeline, dot: &Value, out: &mut String) -> Result<(), String> {
        if let ([Command::Operand(Operand::Field(path))], Value::Labels, None) =
            (pipeline.commands.as_slice(), dot, &pipeline.variable)
            && let [name] = path.as_slice()
        {
            out.push_str(self.row.get(name).unwrap_or_default());
            return Ok(());
        }
        let value = self.pipeline(pipeline, dot)?;
        if pipeline.variable.is_none() {
            let _ = write!(out, "{value}");
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut last: Option<Value> = None;
        for command in &pipeline.commands {
            last = Some(match command {
                Command::Operand(operand) => self.operand(operand, dot)?,
                Command::Call(function, operands) => {
                    let mut arguments = Vec::with_capacity(operands.len() + 1);
                    for operand in operands {
                        arguments.push(self.operand(operand, dot)?);
                    }
                    arguments.extend(last.take());
                    (function.call)(&self.context, &arguments)
                        .map_err(|e| format!("{}: {e}", function.name))?
                }
            });
        }
        let value = last.unwrap_or(Value::Nil);
        if let Some((name, is_new)) = &pipeline.variable {
            let known = self.variables.iter_mut().rev().find(|(n, _)| n == name).filter(|_| !is_new);
            match known {
                Some((_, slot)) => *slot = value.clone(),
                None => self.variables.push((name.clone(), value.clone())),
            }
        }
        Ok(value)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        match operand {
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Dot => Ok(dot.clone()),
            Operand::Field(path) => self.descend(dot.clone(), path),
            Operand::Variable(name, path) if name.is_empty() => self.descend(Value::Labels, path),
            Operand::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone());
                self.descend(found.ok_or_else(|| format!("undefined variable \"${name}\""))?, path)
            }
            Operand::Nested(pipeline, path) => {
                let value = self.pipeline(pipeline, dot)?;
                self.descend(value, path)
            }
            Operand::Call(function) => {
                if function.least > 0 {
                    return Err(format!(
                        "wrong number of args for {}: want {} got 0",
                        function.name, function.least
                    ));
                }
                (function.call)(&self.context, &[])
            }
        }
    }

    fn descend(&self, value: Value, path: &[String]) -> Result<Value, String> {
        path.iter().try_fold(value, |value, name| match value {
            Value::Labels => Ok(Value::Text(self.row.get(name).unwrap_or_default().to_owned())),
            Value::Map(mut members) => Ok(members.remove(name).unwrap_or(Value::Nil)),
            Value::Nil => Ok(Value::Nil),
            _ => Err(format!("can't evaluate field {name} in a value that has no fields")),
        })
    }
}

fn items(value: Value) -> Vec<(Value, Value)> {
    match value {
        Value::List(items) => {
            let index = |i: usize| Value::Int(i64::try_from(i).unwrap_or(i64::MAX));
            items.into_iter().enumerate().map(|(i, item)| (index(i), item)).collect()
        }
        Value::Map(members) => members.into_iter().map(|(name, value)| (Value::Text(name), value)).collect(),
        _ => Vec::new(),
    }
}
