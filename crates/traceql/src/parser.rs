//! From words to the tree. `&&` and `||` hold equally strongly and lean left, as in Tempo.
//!
//! Types are not checked here.

mod field;

mod spanset;

mod scalar;

use syntax::pratt::Budget;
use syntax::{Cursor, Pratt};

use crate::ast::{
    Attribute, CompareOp, FieldExpr, Intrinsic, Query, ScalarExpr, ScalarFilter, SpansetExpr, Stage, Static,
};
use crate::error::ParseError;
use crate::lexer::{self, Tok};

/// What opens a stage of a metrics query.
const METRICS: [&str; 11] = [
    "rate",
    "count_over_time",
    "min_over_time",
    "max_over_time",
    "avg_over_time",
    "sum_over_time",
    "quantile_over_time",
    "histogram_over_time",
    "compare",
    "topk",
    "bottomk",
];

/// Parses a query, without checking its types.
pub(crate) fn parse(source: &str) -> Result<Query, ParseError> {
    let mut parser = Parser { cursor: Cursor::new(source, lexer::lex(source)?), budget: Budget::default() };
    let stages = parser.pipeline()?;
    let hints = parser.hints()?;
    if !parser.cursor.is_at_end() {
        return Err(parser.unexpected("the end of the query"));
    }
    Ok(Query { stages, hints })
}

/// The value that a word stands for.
pub(crate) fn static_word(word: &str) -> Option<Static> {
    Some(match word {
        "nil" => Static::Nil,
        "true" => Static::Bool(true),
        "false" => Static::Bool(false),
        "minInt" => Static::Int(i64::MIN),
        "maxInt" => Static::Int(i64::MAX),
        "unset" => Static::Status(0),
        "ok" => Static::Status(1),
        "error" => Static::Status(2),
        "unspecified" => Static::Kind(0),
        "internal" => Static::Kind(1),
        "server" => Static::Kind(2),
        "client" => Static::Kind(3),
        "producer" => Static::Kind(4),
        "consumer" => Static::Kind(5),
        _ => return None,
    })
}

/// The value that a word of the query stands for.
pub(crate) fn static_token(token: &Tok<'_>) -> Option<Static> {
    Some(match token {
        Tok::String(text) => Static::String(text.clone()),
        Tok::Int(number) => Static::Int(*number),
        Tok::Float(number) => Static::Float(*number),
        Tok::Duration(ns) => Static::Duration(*ns),
        Tok::Word(word) => static_word(word)?,
        Tok::Attribute(_) | Tok::Sign(_) => return None,
    })
}

/// The comparison that a sign stands for.
pub(crate) fn compare_sign(sign: &str) -> Option<CompareOp> {
    Some(match sign {
        "=" => CompareOp::Equal,
        "!=" => CompareOp::NotEqual,
        "<" => CompareOp::Less,
        "<=" => CompareOp::LessEqual,
        ">" => CompareOp::Greater,
        ">=" => CompareOp::GreaterEqual,
        "=~" => CompareOp::Regex,
        "!~" => CompareOp::NotRegex,
        _ => return None,
    })
}

/// The negative of a number; none where it is none.
fn negated(value: &Static) -> Option<Static> {
    Some(match value {
        Static::Int(v) => v.checked_neg().map_or(Static::Float(-(*v as f64)), Static::Int),
        Static::Float(v) => Static::Float(-v),
        Static::Duration(v) => Static::Duration(v.checked_neg()?),
        _ => return None,
    })
}

struct Parser<'s> {
    cursor: Cursor<'s, Tok<'s>>,
    budget: Budget,
}

impl<'s> Parser<'s> {
    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::syntax(self.cursor.source(), self.cursor.span(), message)
    }

    fn too_complex(&self) -> ParseError {
        self.error("query is too complex: it nests too deep or has too many operators")
    }

    fn unexpected(&self, expected: &str) -> ParseError {
        if self.cursor.is_at_end() {
            return self.error(format!("syntax error: unexpected end of the query, expecting {expected}"));
        }
        self.error(format!("syntax error: unexpected {}, expecting {expected}", self.cursor.text()))
    }

    fn sign(&self) -> Option<&'static str> {
        match self.cursor.peek() {
            Some(Tok::Sign(sign)) => Some(sign),
            _ => None,
        }
    }

    fn word(&self) -> Option<&'s str> {
        match self.cursor.peek() {
            Some(Tok::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn eat(&mut self, sign: &'static str) -> bool {
        self.cursor.eat(&Tok::Sign(sign))
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), ParseError> {
        if self.eat(sign) { Ok(()) } else { Err(self.unexpected(sign)) }
    }

    fn pipeline(&mut self) -> Result<Vec<Stage>, ParseError> {
        let mut stages = vec![self.stage()?];
        while self.eat("|") {
            stages.push(self.stage()?);
        }
        Ok(stages)
    }

    fn stage(&mut self) -> Result<Stage, ParseError> {
        match self.word() {
            Some(word @ ("by" | "coalesce" | "select")) => {
                self.cursor.bump();
                self.expect("(")?;
                let stage = match word {
                    "by" => Stage::By(self.field()?),
                    "select" => Stage::Select(self.fields()?),
                    _ => Stage::Coalesce,
                };
                self.expect(")")?;
                Ok(stage)
            }
            Some(word) if METRICS.contains(&word) => {
                Err(ParseError::Unsupported(format!("metrics queries ({word}())")))
            }
            _ if self.opens_spanset() => Ok(Stage::Spanset(self.spanset()?)),
            _ => Ok(Stage::Scalar(self.scalar_filter()?)),
        }
    }

    /// Whether what stands behind the parentheses, of which there may be none, selects spans.
    fn opens_spanset(&self) -> bool {
        let open = Tok::Sign("(");
        let mut behind = (0..).map_while(|n| self.cursor.peek_nth(n)).skip_while(|token| **token == open);
        match behind.next() {
            Some(Tok::Sign("{")) | None => true,
            Some(Tok::Word(word)) => matches!(*word, "by" | "coalesce" | "select"),
            _ => false,
        }
    }

    fn spanset(&mut self) -> Result<SpansetExpr, ParseError> {
        spanset::Spansets(self).expression(0)
    }

    fn field(&mut self) -> Result<FieldExpr, ParseError> {
        field::Fields(self).expression(0)
    }

    fn fields(&mut self) -> Result<Vec<FieldExpr>, ParseError> {
        let mut fields = Vec::new();
        loop {
            let place = self.unexpected("an attribute");
            match self.field()? {
                field @ (FieldExpr::Attribute(_) | FieldExpr::Intrinsic(_)) => fields.push(field),
                _ => return Err(place),
            }
            if !self.eat(",") {
                return Ok(fields);
            }
        }
    }

    fn scalar_filter(&mut self) -> Result<ScalarFilter, ParseError> {
        let lhs = self.scalar()?;
        let op = self.sign().and_then(compare_sign);
        let op = op.filter(|op| !matches!(op, CompareOp::Regex | CompareOp::NotRegex));
        if self.sign() == Some(")") {
            // Only the parentheses around a pipeline can end here: its last stage is to be compared as a whole.
            return Err(ParseError::Unsupported("comparisons of the aggregates of pipelines".into()));
        }
        let op = op.ok_or_else(|| self.unexpected("a comparison"))?;
        self.cursor.bump();
        Ok(ScalarFilter { op, lhs, rhs: self.scalar()? })
    }

    fn scalar(&mut self) -> Result<ScalarExpr, ParseError> {
        scalar::Scalars(self).expression(0)
    }

    fn hints(&mut self) -> Result<Vec<(String, Static)>, ParseError> {
        let mut hints = Vec::new();
        if self.word() != Some("with") {
            return Ok(hints);
        }
        self.cursor.bump();
        self.expect("(")?;
        loop {
            let name = self.word().ok_or_else(|| self.unexpected("the name of a hint"))?;
            self.cursor.bump();
            self.expect("=")?;
            let negative = self.eat("-");
            let value = self.cursor.peek().and_then(static_token);
            let value = if negative { value.as_ref().and_then(negated) } else { value };
            hints.push((name.to_owned(), value.ok_or_else(|| self.unexpected("a value"))?));
            self.cursor.bump();
            if !self.eat(",") {
                self.expect(")")?;
                return Ok(hints);
            }
        }
    }
}

/// The field that a word of the query names.
pub(crate) fn field_token(token: &Tok<'_>) -> Option<FieldExpr> {
    let attribute = |attribute: &Attribute| FieldExpr::Attribute(attribute.clone());
    match token {
        Tok::Attribute(name) => Some(attribute(name)),
        Tok::Word(word) => Intrinsic::from_name(word).map(FieldExpr::Intrinsic),
        _ => None,
    }
}
