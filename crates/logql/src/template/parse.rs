//! A template's pieces as a tree.

use super::functions::{self, Function};
use super::lexer::{Piece, Tok, split};
use super::value::Value;

/// How deep blocks and parentheses may nest.
const MAX_DEPTH: usize = 64;

/// A part of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    /// With the names of the index and of the item.
    Range(Option<String>, Option<String>, Pipeline, Vec<Node>, Vec<Node>),
}

/// Commands, each of which gets the last one's value as its last argument.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// The variable that the value is kept in; nothing is written then. The flag says whether it is a new one.
    pub(super) variable: Option<(String, bool)>,
    pub(super) commands: Vec<Command>,
}

/// A function with its arguments, or a lone operand.
#[derive(Debug)]
pub(super) enum Command {
    Call(&'static Function, Vec<Operand>),
    Operand(Operand),
}

/// What stands for a value.
#[derive(Debug)]
pub(super) enum Operand {
    Literal(Value),
    Dot,
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`
    Variable(String, Vec<String>),
    /// `(…).a.b`
    Nested(Box<Pipeline>, Vec<String>),
    /// A function without arguments among the arguments of another.
    Call(&'static Function),
}

/// Reads a whole template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut parser = Parser { pieces: split(text)?.into_iter(), depth: 0 };
    let (nodes, end) = parser.block()?;
    match end {
        End::Text => Ok(nodes),
        End::Close => Err("unexpected {{end}}".into()),
        End::Else(_) => Err("unexpected {{else}}".into()),
    }
}

/// What ended a block.
enum End {
    Text,
    Close,
    /// With what follows the word.
    Else(Vec<Tok>),
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    depth: usize,
}

impl Parser {
    fn block(&mut self) -> Result<(Vec<Node>, End), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("template nests too deep: max_depth={MAX_DEPTH}"));
        }
        let mut nodes = Vec::new();
        let end = loop {
            let tokens = match self.pieces.next() {
                None => break End::Text,
                Some(Piece::Text(text)) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Some(Piece::Action(tokens)) => tokens,
            };
            let keyword = match tokens.first() {
                Some(Tok::Word(word)) => word.as_str(),
                _ => "",
            };
            match keyword {
                "end" => break End::Close,
                "else" => break End::Else(tokens[1..].to_vec()),
                "if" | "with" | "range" => nodes.push(self.control(keyword, &tokens[1..])?),
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(format!("{{{{{keyword}}}}} is not supported"));
                }
                _ => nodes.push(Node::Action(pipeline(&tokens)?)),
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn control(&mut self, keyword: &str, tokens: &[Tok]) -> Result<Node, String> {
        let (index, item, tokens) =
            if keyword == "range" { range_variables(tokens) } else { (None, None, tokens) };
        let condition = pipeline(tokens)?;
        let (body, end) = self.block()?;
        let otherwise = match end {
            End::Close => Vec::new(),
            End::Text => return Err(format!("unexpected EOF in {{{{{keyword}}}}}")),
            End::Else(rest) if rest.is_empty() => {
                let (otherwise, end) = self.block()?;
                if !matches!(end, End::Close) {
                    return Err("{{else}} is not closed by {{end}}".into());
                }
                otherwise
            }
            End::Else(rest) => match rest.first() {
                Some(Tok::Word(word)) if word == "if" || word == "with" => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(format!("template nests too deep: max_depth={MAX_DEPTH}"));
                    }
                    let node = self.control(word, &rest[1..])?;
                    self.depth -= 1;
                    vec![node]
                }
                _ => return Err("unexpected words after else".into()),
            },
        };
        Ok(match keyword {
            "if" => Node::If(condition, body, otherwise),
            "with" => Node::With(condition, body, otherwise),
            _ => Node::Range(index, item, condition, body, otherwise),
        })
    }
}

/// `$i, $x := …` or `$x := …`
fn range_variables(tokens: &[Tok]) -> (Option<String>, Option<String>, &[Tok]) {
    match tokens {
        [Tok::Variable(i), Tok::Sign(","), Tok::Variable(x), Tok::Sign(":="), rest @ ..] => {
            (Some(i.clone()), Some(x.clone()), rest)
        }
        [Tok::Variable(x), Tok::Sign(":="), rest @ ..] => (None, Some(x.clone()), rest),
        _ => (None, None, tokens),
    }
}

fn pipeline(tokens: &[Tok]) -> Result<Pipeline, String> {
    let (variable, tokens) = match tokens {
        [Tok::Variable(name), Tok::Sign(sign @ (":=" | "=")), rest @ ..] => {
            (Some((name.clone(), *sign == ":=")), rest)
        }
        _ => (None, tokens),
    };
    let mut at = 0;
    let commands = commands(tokens, &mut at, 0)?;
    if at < tokens.len() {
        return Err("unexpected ) in action".into());
    }
    Ok(Pipeline { variable, commands })
}

/// Commands up to the end or to a closing parenthesis, which is left.
fn commands(tokens: &[Tok], at: &mut usize, depth: usize) -> Result<Vec<Command>, String> {
    if depth > MAX_DEPTH {
        return Err(format!("template nests too deep: max_depth={MAX_DEPTH}"));
    }
    let mut commands = Vec::new();
    loop {
        let piped = !commands.is_empty();
        commands.push(command(tokens, at, depth, piped)?);
        if tokens.get(*at) != Some(&Tok::Sign("|")) {
            return Ok(commands);
        }
        *at += 1;
    }
}

fn command(tokens: &[Tok], at: &mut usize, depth: usize, piped: bool) -> Result<Command, String> {
    let first = operand(tokens, at, depth)?.ok_or("missing value for command")?;
    let mut arguments = Vec::new();
    while let Some(argument) = operand(tokens, at, depth)? {
        arguments.push(argument);
    }
    match first {
        Operand::Call(function) => {
            let count = arguments.len() + usize::from(piped);
            if count < function.least || count > function.most {
                return Err(format!(
                    "wrong number of args for {}: want {} got {count}",
                    function.name, function.least
                ));
            }
            Ok(Command::Call(function, arguments))
        }
        operand if arguments.is_empty() && !piped => Ok(Command::Operand(operand)),
        _ => Err("can't give argument to non-function".into()),
    }
}

fn operand(tokens: &[Tok], at: &mut usize, depth: usize) -> Result<Option<Operand>, String> {
    let Some(token) = tokens.get(*at) else { return Ok(None) };
    if matches!(token, Tok::Sign("|" | ")")) {
        return Ok(None);
    }
    *at += 1;
    Ok(Some(match token {
        Tok::Text(text) => Operand::Literal(Value::Text(text.clone())),
        Tok::Int(value) => Operand::Literal(Value::Int(*value)),
        Tok::Float(value) => Operand::Literal(Value::Float(*value)),
        Tok::Dot => Operand::Dot,
        Tok::Field(name, _) => {
            let mut path = vec![name.clone()];
            path.extend(fields(tokens, at));
            Operand::Field(path)
        }
        Tok::Variable(name) => Operand::Variable(name.clone(), fields(tokens, at)),
        Tok::Word(word) => match word.as_str() {
            "true" => Operand::Literal(Value::Bool(true)),
            "false" => Operand::Literal(Value::Bool(false)),
            "nil" => Operand::Literal(Value::Nil),
            name => {
                Operand::Call(functions::find(name).ok_or_else(|| format!("function {name:?} not defined"))?)
            }
        },
        Tok::Sign("(") => {
            let commands = commands(tokens, at, depth + 1)?;
            if tokens.get(*at) != Some(&Tok::Sign(")")) {
                return Err("unclosed left paren".into());
            }
            *at += 1;
            Operand::Nested(Box::new(Pipeline { variable: None, commands }), fields(tokens, at))
        }
        Tok::Sign(sign) => return Err(format!("unexpected {sign:?} in operand")),
    }))
}

/// `.a.b` right behind an operand.
fn fields(tokens: &[Tok], at: &mut usize) -> Vec<String> {
    let mut path = Vec::new();
    while let Some(Tok::Field(name, true)) = tokens.get(*at) {
        path.push(name.clone());
        *at += 1;
    }
    path
}

/// Adds the labels that the nodes read; false when they may read any.
pub(super) fn names(nodes: &[Node], out: &mut Vec<String>) -> bool {
    nodes.iter().all(|node| match node {
        Node::Text(_) => true,
        Node::Action(pipeline) => pipeline_names(pipeline, out),
        Node::If(condition, body, otherwise)
        | Node::With(condition, body, otherwise)
        | Node::Range(_, _, condition, body, otherwise) => {
            pipeline_names(condition, out) && names(body, out) && names(otherwise, out)
        }
    })
}

fn pipeline_names(pipeline: &Pipeline, out: &mut Vec<String>) -> bool {
    pipeline.commands.iter().all(|command| match command {
        Command::Call(_, operands) => operands.iter().all(|operand| operand_names(operand, out)),
        Command::Operand(operand) => operand_names(operand, out),
    })
}

fn operand_names(operand: &Operand, out: &mut Vec<String>) -> bool {
    match operand {
        Operand::Literal(_) | Operand::Call(_) => true,
        // The whole of the labels may be handed on.
        Operand::Dot => false,
        Operand::Field(path) => {
            out.extend(path.first().cloned());
            true
        }
        Operand::Variable(name, path) => {
            if name.is_empty() {
                out.extend(path.first().cloned());
            }
            !name.is_empty() || !path.is_empty()
        }
        Operand::Nested(pipeline, _) => pipeline_names(pipeline, out),
    }
}
