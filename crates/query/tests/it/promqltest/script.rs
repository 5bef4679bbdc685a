//! The script format: `load STEP` with series, `clear`, `eval instant at T QUERY`, `eval range from A to B step S QUERY`,
//! then `expect` lines and the expected result, up to a blank line.

use model::Labels;
use model::histogram::NativeHistogram;
use model::metric::STALE_NAN_BITS;
use regex::Regex;

use super::histogram;

/// A sample of a sequence; none is a gap.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sample {
    Gap,
    Float(f64),
    Histogram(NativeHistogram),
    /// Since when the sample of this moment counts, in milliseconds from it.
    Start(i64),
}

pub(crate) type Series = (Labels, Vec<Sample>);

pub(crate) enum Block {
    Clear,
    /// `native` asks for histograms with custom bounds besides the classic series.
    Load {
        step_ms: i64,
        series: Vec<Series>,
        native: bool,
    },
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
    /// Each of these, and nothing that none of these is.
    These(Vec<Text>),
}

impl Said {
    fn add(&mut self, text: Text) {
        match self {
            Said::These(texts) => texts.push(text),
            _ => *self = Said::These(vec![text]),
        }
    }

    pub(crate) fn check(&self, what: &str, said: &[String]) -> Result<(), String> {
        let fits = match self {
            Said::Unchecked => true,
            Said::Nothing => said.is_empty(),
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
    pub(crate) warnings: Said,
    pub(crate) infos: Said,
    pub(crate) ordered: bool,
    pub(crate) string: Option<String>,
    /// Start and step of range vectors that an instant query gives.
    pub(crate) matrix: Option<(i64, i64)>,
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
            Some("load" | "load_with_nhcb") => load(line, &body),
            Some(word) if word.starts_with("eval") => eval(start + 1, line, &body),
            _ => Err(format!("what is this: {line}")),
        };
        blocks.push(block.map_err(|why| format!("{}: {why}", start + 1)));
    }
    blocks
}

fn millis(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = syntax::number::parse(text) {
        return Ok((seconds * 1000.0).round() as i64);
    }
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    syntax::duration::parse_prometheus_ms(text).map(|ms| ms * sign).map_err(|e| e.to_string())
}

fn load(line: &str, body: &[&str]) -> Result<Block, String> {
    let step_ms = millis(line.split_whitespace().nth(1).unwrap_or_default())?;
    let series = body.iter().map(|line| series(line)).collect::<Result<_, _>>()?;
    Ok(Block::Load { step_ms, series, native: line.starts_with("load_with_nhcb") })
}

/// Takes words off the front of a text.
fn word<'t>(rest: &mut &'t str) -> &'t str {
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
    let any = Said::These(vec![Text::Any]);
    match word(&mut rest) {
        "eval" => {}
        "eval_fail" => case.fails = Some(Text::Any),
        "eval_warn" => case.warnings = any,
        "eval_info" => case.infos = any,
        "eval_ordered" => case.ordered = true,
        other => return Err(format!("unknown command {other}")),
    }
    match word(&mut rest) {
        "instant" => {
            // Without a time it is the beginning.
            if rest.trim_start().starts_with("at ") {
                word(&mut rest);
                case.start_ms = millis(word(&mut rest))?;
            }
            case.end_ms = case.start_ms;
        }
        "range" => {
            expect_word(&mut rest, "from")?;
            case.start_ms = millis(word(&mut rest))?;
            expect_word(&mut rest, "to")?;
            case.end_ms = millis(word(&mut rest))?;
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
    let Some(expected) = line.strip_prefix("expect ") else {
        match syntax::number::parse(line) {
            Ok(scalar) => case.scalar = Some(scalar),
            Err(_) => case.series.push(series(line)?),
        }
        return Ok(());
    };
    let mut detail = expected;
    match word(&mut detail) {
        "fail" => case.fails = Some(Text::parse(detail)?),
        "warn" => case.warnings.add(Text::parse(detail)?),
        "no_warn" => case.warnings = Said::Nothing,
        "info" => case.infos.add(Text::parse(detail)?),
        "no_info" => case.infos = Said::Nothing,
        "ordered" => case.ordered = true,
        "string" => case.string = Some(syntax::string::unquote(detail.trim()).map_err(|e| e.to_string())?),
        "range" => {
            expect_word(&mut detail, "vector")?;
            expect_word(&mut detail, "from")?;
            let start_ms = millis(word(&mut detail))?;
            expect_word(&mut detail, "to")?;
            millis(word(&mut detail))?;
            expect_word(&mut detail, "step")?;
            case.matrix = Some((start_ms, millis(word(&mut detail))?));
        }
        other => return Err(format!("unknown expectation {other}")),
    }
    Ok(())
}

/// `name{label="value"} 1 2+1x3 _ stale {{...}}`.
fn series(line: &str) -> Result<Series, String> {
    let name_len = line.find(|c: char| c == '{' || c == '@' || c.is_whitespace()).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(name_len);
    let mut pairs = vec![("__name__".to_owned(), name.to_owned())];
    if let Some(inner) = rest.strip_prefix('{').filter(|inner| !inner.starts_with('{')) {
        rest = labels(inner, &mut pairs)?;
    }
    let starts = rest.strip_prefix("@st");
    Ok((
        Labels::from_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()).map(|(n, v)| (n, v))),
        starts.map_or_else(|| samples(rest), start_times)?,
    ))
}

fn labels<'t>(inner: &'t str, pairs: &mut Vec<(String, String)>) -> Result<&'t str, String> {
    let mut rest = inner;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok(behind);
        }
        let literal = |text: &'t str| -> Result<(String, &'t str), String> {
            let len = syntax::string::literal_len(text).ok_or_else(|| format!("no string in {text}"))?;
            Ok((syntax::string::unquote(&text[..len]).map_err(|e| e.to_string())?, &text[len..]))
        };
        let name;
        if rest.starts_with(['"', '\'', '`']) {
            (name, rest) = literal(rest)?;
        } else {
            let len = rest.find([' ', '=']).ok_or_else(|| format!("no label in {rest}"))?;
            (name, rest) = (rest[..len].to_owned(), &rest[len..]);
        }
        match rest.trim_start().strip_prefix('=') {
            Some(behind) => {
                let value;
                (value, rest) = literal(behind.trim_start())?;
                pairs.push((name, value));
            }
            None => pairs.push(("__name__".to_owned(), name)),
        }
    }
}

/// `-30s -1m-1mx2 _`: durations from the samples' own times.
fn start_times(text: &str) -> Result<Vec<Sample>, String> {
    let mut out = Vec::new();
    for item in text.split_whitespace() {
        let (values, count) = match item.rsplit_once('x') {
            Some((values, count)) => (values, times(count)?),
            None => (item, 0),
        };
        if values == "_" {
            out.extend(std::iter::repeat_n(Sample::Gap, count.max(1)));
            continue;
        }
        let step_at = values.rfind(['+', '-']).filter(|at| *at > 0).unwrap_or(values.len());
        let (first, step) = values.split_at(step_at);
        let duration = |text: &str| millis(text.trim_start_matches('+'));
        let (mut value, step) = (duration(first)?, if step.is_empty() { 0 } else { duration(step)? });
        for _ in 0..=count {
            out.push(Sample::Start(value));
            value += step;
        }
    }
    Ok(out)
}

fn samples(text: &str) -> Result<Vec<Sample>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if rest.starts_with("{{") {
            rest = histograms(rest, &mut out)?.trim_start();
            continue;
        }
        let (item, behind) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
        rest = behind.trim_start();
        floats(item, &mut out)?;
    }
    Ok(out)
}

fn times(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("not a number of times: {text}"))
}

fn histograms<'t>(text: &'t str, out: &mut Vec<Sample>) -> Result<&'t str, String> {
    let one = |text: &'t str| -> Result<(NativeHistogram, &'t str), String> {
        let end = text.find("}}").ok_or("no end of a histogram")?;
        Ok((histogram::parse(&text[2..end])?, &text[end + 2..]))
    };
    let (base, mut rest) = one(text)?;
    let mut step = NativeHistogram::default();
    let mut sign = 0.0;
    if rest.starts_with(['+', '-']) && rest[1..].starts_with("{{") {
        sign = if rest.starts_with('-') { -1.0 } else { 1.0 };
        (step, rest) = one(&rest[1..])?;
    }
    let mut count = 0;
    if let Some(repeat) = rest.strip_prefix('x') {
        let len = repeat.find(char::is_whitespace).unwrap_or(repeat.len());
        count = times(&repeat[..len])?;
        rest = &repeat[len..];
    }
    let mut factor = 0.0;
    for _ in 0..=count {
        out.push(Sample::Histogram(histogram::plus(&base, &step, factor)));
        factor += sign;
    }
    Ok(rest)
}

fn floats(item: &str, out: &mut Vec<Sample>) -> Result<(), String> {
    let (values, count) = match item.rsplit_once('x') {
        Some((values, count)) => (values, Some(times(count)?)),
        _ => (item, None),
    };
    if values == "_" {
        out.extend(std::iter::repeat_n(Sample::Gap, count.unwrap_or(1)));
        return Ok(());
    }
    if values == "stale" {
        out.push(Sample::Float(f64::from_bits(STALE_NAN_BITS)));
        return Ok(());
    }
    let number = |text: &str| syntax::number::parse(text).map_err(|e| e.to_string());
    let (mut value, step) = match number(values) {
        Ok(value) => (value, 0.0),
        Err(error) => {
            // The sign of the step is the last that is neither the first character nor an exponent's.
            let at = values
                .char_indices()
                .rev()
                .find(|(i, c)| matches!(c, '+' | '-') && *i > 0 && !values[..*i].ends_with(['e', 'E']));
            let at = at.ok_or(error)?.0;
            (number(&values[..at])?, number(&values[at..])?)
        }
    };
    for _ in 0..=count.unwrap_or(0) {
        out.push(Sample::Float(value));
        value += step;
    }
    Ok(())
}
