//! The stages of a pipeline.

use model::{MatchOp, Matcher};
use syntax::Pratt;

use super::Parser;
use crate::ast::{
    CompareOp, Conversion, Extraction, LabelFilter, LabelFormat, LineFilter, LineOp, Logfmt, Needle,
    Selection, Stage, Unwrap,
};
use crate::error::ParseError;
use crate::lexer::Tok;

impl Parser<'_> {
    /// Stages as long as there are any.
    pub(super) fn stages(&mut self) -> Result<Vec<Stage>, ParseError> {
        let mut stages = Vec::new();
        loop {
            let position = self.cursor.position();
            let stage = if let Some(op) = self.line_op() {
                self.cursor.bump();
                Stage::LineFilter(LineFilter { op, needles: self.needles()? })
            } else if self.eat("|") {
                self.stage()?
            } else {
                return Ok(stages);
            };
            let unwrapped = stages.iter().any(|s| matches!(s, Stage::Unwrap(_)));
            if unwrapped && !matches!(stage, Stage::LabelFilter(_)) {
                let message = "syntax error: only label filters may follow unwrap".to_owned();
                return Err(ParseError::At { position, message });
            }
            stages.push(stage);
        }
    }

    fn line_op(&self) -> Option<LineOp> {
        Some(match self.sign_nth(0)? {
            "|=" => LineOp::Contains,
            "!=" => LineOp::NotContains,
            "|~" => LineOp::Regex,
            "!~" => LineOp::NotRegex,
            "|>" => LineOp::Pattern,
            "!>" => LineOp::NotPattern,
            _ => return None,
        })
    }

    fn needles(&mut self) -> Result<Vec<Needle>, ParseError> {
        let mut needles = vec![self.needle()?];
        while self.eat_word("or") {
            needles.push(self.needle()?);
        }
        Ok(needles)
    }

    fn needle(&mut self) -> Result<Needle, ParseError> {
        if self.at_word("ip") { self.ip().map(Needle::Ip) } else { self.text().map(Needle::Text) }
    }

    fn ip(&mut self) -> Result<String, ParseError> {
        self.cursor.bump();
        self.expect("(")?;
        let text = self.text()?;
        self.expect(")")?;
        Ok(text)
    }

    /// What stands behind `|`.
    fn stage(&mut self) -> Result<Stage, ParseError> {
        let is_compared = self
            .sign_nth(1)
            .is_some_and(|s| matches!(s, "=" | "==" | "!=" | "=~" | "!~" | ">" | ">=" | "<" | "<="));
        let is_compared = is_compared
            && !(self.word().is_some_and(stands_alone) && matches!(self.sign_nth(1), Some("!=" | "!~")));
        let word = if is_compared { None } else { self.word().map(str::to_owned) };
        let known = word.as_deref().unwrap_or_default();
        if !matches!(
            known,
            "json"
                | "logfmt"
                | "regexp"
                | "pattern"
                | "unpack"
                | "line_format"
                | "label_format"
                | "decolorize"
                | "drop"
                | "keep"
                | "unwrap"
        ) {
            return self.label_filter().map(Stage::LabelFilter);
        }
        self.cursor.bump();
        match known {
            "json" => self.extractions().map(Stage::Json),
            "logfmt" => self.logfmt().map(Stage::Logfmt),
            "regexp" => self.text().map(Stage::Regexp),
            "pattern" => self.text().map(Stage::Pattern),
            "unpack" => Ok(Stage::Unpack),
            "line_format" => self.text().map(Stage::LineFormat),
            "label_format" => self.list(Self::label_format).map(Stage::LabelFormat),
            "decolorize" => Ok(Stage::Decolorize),
            "drop" => self.list(Self::selection).map(Stage::Drop),
            "keep" => self.list(Self::selection).map(Stage::Keep),
            _ => self.unwrap().map(Stage::Unwrap),
        }
    }

    fn extractions(&mut self) -> Result<Vec<Extraction>, ParseError> {
        if self.word().is_none() {
            return Ok(Vec::new());
        }
        self.list(|parser| {
            let label = parser.name()?;
            let source = if parser.eat("=") { parser.text()? } else { label.clone() };
            Ok(Extraction { label, source })
        })
    }

    fn logfmt(&mut self) -> Result<Logfmt, ParseError> {
        let mut logfmt = Logfmt::default();
        while let Some(Tok::Flag(flag)) = self.cursor.peek() {
            match flag.as_str() {
                "strict" => logfmt.strict = true,
                "keep-empty" => logfmt.keep_empty = true,
                other => return Err(self.error(format!("unknown parser flag: --{other}"))),
            }
            self.cursor.bump();
        }
        logfmt.fields = self.extractions()?;
        Ok(logfmt)
    }

    fn label_format(&mut self) -> Result<LabelFormat, ParseError> {
        let to = self.name()?;
        self.expect("=")?;
        match self.cursor.peek() {
            Some(Tok::Word(_)) => Ok(LabelFormat::Rename { to, from: self.name()? }),
            Some(Tok::Text(_)) => Ok(LabelFormat::Template { to, template: self.text()? }),
            _ => Err(self.unexpected(&["IDENTIFIER", "STRING"])),
        }
    }

    fn selection(&mut self) -> Result<Selection, ParseError> {
        let name = self.name()?;
        match self.match_op() {
            Some(op) => {
                self.cursor.bump();
                self.matcher(&name, op).map(Selection::Matcher)
            }
            None => Ok(Selection::Name(name)),
        }
    }

    fn unwrap(&mut self) -> Result<Unwrap, ParseError> {
        let word = self.name()?;
        if !self.eat("(") {
            return Ok(Unwrap { label: word, conversion: Conversion::Number });
        }
        let conversion = match word.as_str() {
            "duration" | "duration_seconds" => Conversion::DurationSeconds,
            "bytes" => Conversion::Bytes,
            other => return Err(self.error(format!("unknown unwrap conversion: {other}"))),
        };
        let label = self.name()?;
        self.expect(")")?;
        Ok(Unwrap { label, conversion })
    }

    /// Conditions on labels: `and`, a comma and a space bind closer than `or`.
    fn label_filter(&mut self) -> Result<LabelFilter, ParseError> {
        if !self.budget.enter() {
            return Err(self.too_complex());
        }
        let mut left = self.label_filter_and()?;
        while self.eat_word("or") {
            self.count_operator()?;
            left = LabelFilter::Or(Box::new(left), Box::new(self.label_filter_and()?));
        }
        self.budget.leave();
        Ok(left)
    }

    fn count_operator(&mut self) -> Result<(), ParseError> {
        if self.budget.operator() { Ok(()) } else { Err(self.too_complex()) }
    }

    fn label_filter_and(&mut self) -> Result<LabelFilter, ParseError> {
        let mut left = self.condition()?;
        loop {
            let joined = self.eat_word("and") || self.eat(",");
            let is_next = self.at("(") || (self.word().is_some() && !self.at_word("or"));
            if !joined && !is_next {
                return Ok(left);
            }
            self.count_operator()?;
            left = LabelFilter::And(Box::new(left), Box::new(self.condition()?));
        }
    }

    fn condition(&mut self) -> Result<LabelFilter, ParseError> {
        if self.eat("(") {
            let inner = self.label_filter()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let name = self.name()?;
        let Some(sign) = self.sign_nth(0) else { return Err(self.unexpected(&[])) };
        let (text_op, compare) = match sign {
            "=" => (Some(MatchOp::Equal), Some(CompareOp::Equal)),
            "!=" => (Some(MatchOp::NotEqual), Some(CompareOp::NotEqual)),
            "=~" => (Some(MatchOp::Regex), None),
            "!~" => (Some(MatchOp::NotRegex), None),
            "==" => (None, Some(CompareOp::Equal)),
            ">" => (None, Some(CompareOp::Greater)),
            ">=" => (None, Some(CompareOp::GreaterEqual)),
            "<" => (None, Some(CompareOp::Less)),
            "<=" => (None, Some(CompareOp::LessEqual)),
            _ => return Err(self.unexpected(&[])),
        };
        self.cursor.bump();
        self.comparison(name, text_op, compare)
    }

    fn comparison(
        &mut self,
        name: String,
        text_op: Option<MatchOp>,
        compare: Option<CompareOp>,
    ) -> Result<LabelFilter, ParseError> {
        let is_ip = self.at_word("ip") && self.sign_nth(1) == Some("(");
        match (self.cursor.peek(), text_op, compare) {
            (Some(Tok::Text(_)), Some(op), _) => self.matcher(&name, op).map(LabelFilter::Text),
            (Some(Tok::Word(_)), Some(op @ (MatchOp::Equal | MatchOp::NotEqual)), _) if is_ip => {
                Ok(LabelFilter::Ip(name, op == MatchOp::NotEqual, self.ip()?))
            }
            (Some(Tok::Duration(ns)), _, Some(op)) => {
                let filter = LabelFilter::Duration(name, op, *ns);
                self.cursor.bump();
                Ok(filter)
            }
            (Some(Tok::Sign("-")), _, Some(op))
                if matches!(self.cursor.peek_nth(1), Some(Tok::Duration(_))) =>
            {
                self.cursor.bump();
                let Some(Tok::Duration(ns)) = self.cursor.peek() else { return Err(self.unexpected(&[])) };
                let filter = LabelFilter::Duration(name, op, ns.saturating_neg());
                self.cursor.bump();
                Ok(filter)
            }
            (Some(Tok::Bytes(bytes)), _, Some(op)) => {
                let filter = LabelFilter::Bytes(name, op, *bytes);
                self.cursor.bump();
                Ok(filter)
            }
            (Some(Tok::Number(_) | Tok::Sign("-" | "+")), _, Some(op)) => {
                Ok(LabelFilter::Number(name, op, self.number()?))
            }
            (_, Some(_), Some(_)) => Err(self.unexpected(&["BYTES", "STRING", "NUMBER", "DURATION"])),
            (_, Some(_), None) => Err(self.unexpected(&["STRING"])),
            _ => Err(self.unexpected(&["BYTES", "NUMBER", "DURATION"])),
        }
    }
}

/// Whether a word is a whole stage, so that `!=` behind it filters the line and not a label of that name.
pub(crate) fn stands_alone(word: &str) -> bool {
    matches!(word, "json" | "logfmt" | "unpack" | "decolorize")
}

/// Whether a matcher can only be met by a label that is there.
pub(super) fn needs_value(matcher: &Matcher) -> bool {
    !matcher.matches_empty()
}
