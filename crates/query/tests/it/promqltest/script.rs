//! The script format: `load STEP` with series, `clear`, `eval instant at T QUERY`, `eval range from A to B step S QUERY`,
//! then `expect` lines and the expected result, up to a blank line.

use regex::Regex;

use super::load::{self, Loaded};
use super::series::{Series, series};

pub(crate) enum Block {
    Clear,
    Load { step_ms: i64, series: Vec<Loaded> },
    Eval(Box<Case>),
}

/// What a message must be.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    Any,
    Exactly(String),
    Like(Regex),
}

impl Text {
    /// `msg: ...`, `regex: ...`, or nothing.
    fn parse(detail: &str) -> Result<Self, String> {
        let detail = detail.trim();
        if detail.is_empty() {
            return Ok(Text::Any);
        }
        match detail.split_once(':') {
            Some(("msg", text)) => Ok(Text::Exactly(text.trim().to_owned())),
            Some(("regex", text)) => Self::like(text),
            _ => Err(format!("neither msg nor regex: {detail}")),
        }
    }

    fn like(text: &str) -> Result<Self, String> {
        Regex::new(text.trim()).map(Text::Like).map_err(|error| error.to_string())
    }

    pub(crate) fn fits(&self, text: &str) -> bool {
        match self {
            Text::Any => true,
            Text::Exactly(wanted) => wanted == text,
            Text::Like(wanted) => wanted.is_match(text),
        }
    }
}

/// What is expected to be said beside the result.
#[derive(Clone, Debug, Default)]
pub(crate) enum Said {
    /// Whatever it is.
    #[default]
    Unchecked,
    Nothing,
    /// Something.
    Any,
    /// Each of these, and nothing that none of these is.
    These(Vec<Text>),
}

impl Said {
    fn add(&mut self, text: Text) -> Result<(), String> {
        match self {
            Said::Nothing => return Err("expected both something and nothing to be said".to_owned()),
            Said::These(texts) => texts.push(text),
            Said::Unchecked | Said::Any => *self = Said::These(vec![text]),
        }
        Ok(())
    }

    fn nothing(&mut self) -> Result<(), String> {
        if let Said::These(_) | Said::Any = self {
            return Err("expected both something and nothing to be said".to_owned());
        }
        *self = Said::Nothing;
        Ok(())
    }

    pub(crate) fn check(&self, what: &str, said: &[String]) -> Result<(), String> {
        let fits = match self {
            Said::Unchecked => true,
            Said::Nothing => said.is_empty(),
            Said::Any => !said.is_empty(),
            Said::These(texts) => {
                !said.is_empty()
                    && texts.iter().all(|wanted| said.iter().any(|said| wanted.fits(said)))
                    && said.iter().all(|said| texts.iter().any(|wanted| wanted.fits(said)))
            }
        };
        if fits { Ok(()) } else { Err(format!("expected {what}: {self:?}\n      have {said:?}")) }
    }
}

/// One query and what is expected of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    pub(crate) line: usize,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// None for an instant query.
    pub(crate) step_ms: Option<i64>,
    pub(crate) query: String,
    /// What the query fails with, where it must fail.
    pub(crate) fails: Option<Text>,
    /// Whether a line of its own says so.
    expects_fail: bool,
    pub(crate) warnings: Said,
    pub(crate) infos: Said,
    pub(crate) ordered: bool,
    pub(crate) string: Option<String>,
    /// Start, end and step of range vectors that an instant query gives.
    pub(crate) matrix: Option<(i64, i64, i64)>,
    pub(crate) scalar: Option<f64>,
    pub(crate) series: Vec<Series>,
}

/// The blocks of a script; what is not understood, with its line.
pub(crate) fn parse(text: &str) -> Vec<Result<Block, String>> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let (line, start) = (lines[at], at);
        at += 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut body = Vec::new();
        if line.starts_with("load") || line.starts_with("eval") {
            while at < lines.len() && !lines[at].is_empty() {
                body.extend(Some(lines[at]).filter(|inner| !inner.starts_with('#')));
                at += 1;
            }
        }
        let block = match line.split_whitespace().next() {
            Some("clear") => Ok(Block::Clear),
            Some("load" | "load_with_nhcb") => load::load(line, &body),
            Some(word) if word.starts_with("eval") => eval(start + 1, line, &body),
            _ => Err(format!("what is this: {line}")),
        };
        blocks.push(block.map_err(|why| format!("{}: {why}", start + 1)));
    }
    blocks
}

/// A duration as it is written; times are durations since the epoch.
pub(crate) fn millis(text: &str) -> Result<i64, String> {
    syntax::duration::parse_prometheus_ms(text).map_err(|e| e.to_string())
}

/// Takes words off the front of a text.
pub(crate) fn word<'t>(rest: &mut &'t str) -> &'t str {
    let text = rest.trim_start();
    let (word, behind) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    *rest = behind;
    word
}

fn expect_word(rest: &mut &str, wanted: &str) -> Result<(), String> {
    let found = word(rest);
    if found == wanted { Ok(()) } else { Err(format!("expected {wanted:?}, found {found:?}")) }
}

fn eval(number: usize, line: &str, body: &[&str]) -> Result<Block, String> {
    let mut rest = line;
    let mut case = Case { line: number, ..Case::default() };
    match word(&mut rest) {
        "eval" => {}
        "eval_fail" => case.fails = Some(Text::Any),
        "eval_warn" => case.warnings = Said::Any,
        "eval_info" => case.infos = Said::Any,
        "eval_ordered" => case.ordered = true,
        other => return Err(format!("unknown command {other}")),
    }
    match word(&mut rest) {
        "instant" => {
            expect_word(&mut rest, "at")?;
            case.start_ms = millis(word(&mut rest))?;
            case.end_ms = case.start_ms;
        }
        "range" => {
            expect_word(&mut rest, "from")?;
            case.start_ms = millis(word(&mut rest))?;
            expect_word(&mut rest, "to")?;
            case.end_ms = millis(word(&mut rest))?;
            if case.end_ms < case.start_ms {
                return Err(format!("the end is before the start: {line}"));
            }
            expect_word(&mut rest, "step")?;
            case.step_ms = Some(millis(word(&mut rest))?);
        }
        other => return Err(format!("neither instant nor range: {other}")),
    }
    case.query = rest.trim().to_owned();
    for line in body {
        expectation(&mut case, line)?;
    }
    Ok(Block::Eval(Box::new(case)))
}

fn expectation(case: &mut Case, line: &str) -> Result<(), String> {
    if case.fails.is_some() {
        if let Some(text) = line.strip_prefix("expected_fail_message") {
            case.fails = Some(Text::Exactly(text.trim().to_owned()));
            return Ok(());
        }
        if let Some(text) = line.strip_prefix("expected_fail_regexp") {
            case.fails = Some(Text::like(text)?);
            return Ok(());
        }
    }
    let mut detail = line;
    if word(&mut detail) == "expect" {
        return expected(case, detail);
    }
    if let Ok(scalar) = syntax::number::parse(line) {
        case.scalar = Some(scalar);
        return Ok(());
    }
    let (labels, samples) = series(line)?;
    if samples.len() > 1 && case.step_ms.is_none() && case.matrix.is_none() {
        return Err(format!("an instant query gives one sample, or an expected range vector: {line}"));
    }
    // Of two lines about the same labels, the later holds.
    case.series.retain(|(other, _)| *other != labels);
    case.series.push((labels, samples));
    Ok(())
}

/// What follows `expect`.
fn expected(case: &mut Case, mut detail: &str) -> Result<(), String> {
    match word(&mut detail) {
        "fail" if case.expects_fail => return Err("more than one `expect fail`".to_owned()),
        "fail" => (case.fails, case.expects_fail) = (Some(Text::parse(detail)?), true),
        "warn" => case.warnings.add(Text::parse(detail)?)?,
        "no_warn" => case.warnings.nothing()?,
        "info" => case.infos.add(Text::parse(detail)?)?,
        "no_info" => case.infos.nothing()?,
        "ordered" => case.ordered = true,
        "string" => case.string = Some(syntax::string::unquote(detail.trim()).map_err(|e| e.to_string())?),
        "range" => {
            expect_word(&mut detail, "vector")?;
            expect_word(&mut detail, "from")?;
            let start_ms = millis(word(&mut detail))?;
            expect_word(&mut detail, "to")?;
            let end_ms = millis(word(&mut detail))?;
            expect_word(&mut detail, "step")?;
            case.matrix = Some((start_ms, end_ms, millis(word(&mut detail))?));
        }
        other => return Err(format!("unknown expectation {other}")),
    }
    Ok(())
}
