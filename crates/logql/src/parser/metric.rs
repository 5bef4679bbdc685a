//! Range and vector aggregations, functions, and how two sides of an operator match.

use syntax::Pratt;

use super::Parser;
use super::check::{check_range, check_vector};
use crate::ast::{
    Expr, Group, Grouping, LabelReplace, LogExpr, Matching, MetricExpr, RangeAggregation, RangeOp, Stage,
    VectorAggregation, VectorOp,
};
use crate::error::ParseError;
use crate::lexer::Tok;

impl Parser<'_> {
    /// An operand that answers with numbers.
    pub(super) fn metric_operand(&mut self) -> Result<MetricExpr, ParseError> {
        let Some(word) = self.word().map(str::to_ascii_lowercase) else {
            let is_number = matches!(self.cursor.peek(), Some(Tok::Number(_) | Tok::Sign("-" | "+")));
            return if is_number {
                self.number().map(MetricExpr::Literal)
            } else {
                Err(self.unexpected(&[]))
            };
        };
        if let Some(op) = RangeOp::from_word(&word) {
            self.cursor.bump();
            return self.range_aggregation(op);
        }
        if let Some(op) = VectorOp::from_word(&word) {
            self.cursor.bump();
            return self.vector_aggregation(op);
        }
        match word.as_str() {
            "vector" => {
                self.cursor.bump();
                self.expect("(")?;
                let value = self.number()?;
                self.expect(")")?;
                Ok(MetricExpr::ConstantVector(value))
            }
            "label_replace" => {
                self.cursor.bump();
                self.label_replace()
            }
            "inf" | "nan" => self.number().map(MetricExpr::Literal),
            _ => Err(self.unexpected(&[])),
        }
    }

    /// An expression that must answer with numbers.
    fn metric(&mut self) -> Result<MetricExpr, ParseError> {
        match self.expression(0)? {
            Expr::Metric(metric) => Ok(metric),
            Expr::Logs(_) => Err(self.unexpected(&["RANGE"])),
        }
    }

    fn range_aggregation(&mut self, op: RangeOp) -> Result<MetricExpr, ParseError> {
        self.expect("(")?;
        let has_param = matches!(self.cursor.peek(), Some(Tok::Number(_) | Tok::Sign("-" | "+")));
        let param = if has_param { Some(self.number()?) } else { None };
        if has_param {
            self.expect(",")?;
        }
        let (logs, range_ns, offset_ns) = self.log_range()?;
        self.expect(")")?;
        let grouping = self.grouping()?;
        let unwrapped = logs.stages.iter().any(|s| matches!(s, Stage::Unwrap(_)));
        check_range(op, unwrapped, param, grouping.as_ref())?;
        let range = RangeAggregation { op, param, logs, range_ns, offset_ns, grouping };
        Ok(MetricExpr::Range(Box::new(range)))
    }

    /// Lines with a window: `{…} | … [5m] offset 1m`, or with the window before the pipeline, or in parentheses.
    fn log_range(&mut self) -> Result<(LogExpr, i64, i64), ParseError> {
        let parenthesised = self.eat("(");
        if parenthesised && !self.budget.enter() {
            return Err(self.too_complex());
        }
        let mut window = None;
        let (matchers, mut stages);
        if parenthesised && self.at("(") {
            let (logs, range_ns, offset_ns) = self.log_range()?;
            (matchers, stages) = (logs.matchers, logs.stages);
            window = Some((range_ns, offset_ns));
        } else {
            matchers = self.selector()?;
            stages = Vec::new();
            if self.at("[") {
                window = Some(self.window()?);
            }
            stages.extend(self.stages()?);
        }
        if window.is_none() && self.at("[") {
            window = Some(self.window()?);
        }
        if parenthesised {
            self.expect(")")?;
            self.budget.leave();
        }
        if window.is_none() && self.at("[") {
            window = Some(self.window()?);
        }
        let Some((range_ns, offset_ns)) = window else { return Err(self.unexpected(&["RANGE"])) };
        Ok((LogExpr { matchers, stages }, range_ns, offset_ns))
    }

    fn window(&mut self) -> Result<(i64, i64), ParseError> {
        self.expect("[")?;
        let range_ns = self.duration()?;
        if range_ns <= 0 {
            return Err(self.error("the range must be longer than 0"));
        }
        self.expect("]")?;
        let offset_ns = if self.eat_word("offset") { self.duration()? } else { 0 };
        Ok((range_ns, offset_ns))
    }

    fn duration(&mut self) -> Result<i64, ParseError> {
        let negative = self.eat("-");
        let ns = match self.cursor.peek() {
            Some(Tok::Duration(ns)) => *ns,
            Some(Tok::Number(0.0)) => 0,
            _ => return Err(self.unexpected(&["DURATION"])),
        };
        self.cursor.bump();
        Ok(if negative { ns.saturating_neg() } else { ns })
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        let without = self.at_word("without");
        if !without && !self.at_word("by") {
            return Ok(None);
        }
        self.cursor.bump();
        Ok(Some(Grouping { without, labels: self.label_list()? }))
    }

    fn label_list(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect("(")?;
        let labels = if self.at(")") { Vec::new() } else { self.list(Self::name)? };
        self.expect(")")?;
        Ok(labels)
    }

    fn vector_aggregation(&mut self, op: VectorOp) -> Result<MetricExpr, ParseError> {
        let before = self.grouping()?;
        self.expect("(")?;
        let mark = self.cursor.mark();
        let mut param = None;
        if matches!(self.cursor.peek(), Some(Tok::Number(_) | Tok::Sign("-" | "+"))) {
            let number = self.number()?;
            if self.eat(",") {
                param = Some(number);
            } else {
                self.cursor.reset(mark);
            }
        }
        let expr = Box::new(self.metric()?);
        self.expect(")")?;
        let grouping = match before {
            Some(grouping) => Some(grouping),
            None => self.grouping()?,
        };
        let param = check_vector(op, param, grouping.as_ref())?;
        Ok(MetricExpr::Vector(VectorAggregation { op, param, grouping, expr }))
    }

    fn label_replace(&mut self) -> Result<MetricExpr, ParseError> {
        self.expect("(")?;
        let expr = self.metric()?;
        let mut texts = [const { String::new() }; 4];
        for text in &mut texts {
            self.expect(",")?;
            *text = self.text()?;
        }
        self.expect(")")?;
        let [to, replacement, from, regex] = texts;
        Ok(MetricExpr::LabelReplace(Box::new(LabelReplace { expr, to, replacement, from, regex })))
    }

    /// `on (…) group_left (…)`.
    pub(super) fn matching(&mut self) -> Result<Matching, ParseError> {
        let on = self.at_word("on");
        let labels = if on || self.at_word("ignoring") {
            self.cursor.bump();
            Some((on, self.label_list()?))
        } else {
            None
        };
        let left = self.at_word("group_left");
        let group = if labels.is_some() && (left || self.at_word("group_right")) {
            self.cursor.bump();
            let include = if self.at("(") { self.label_list()? } else { Vec::new() };
            Some(Group { left, include })
        } else {
            None
        };
        Ok(Matching { labels, group })
    }
}
