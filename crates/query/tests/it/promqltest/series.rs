//! A series as scripts write it: its labels, and what its samples are one after the other.

use model::Labels;
use model::histogram::NativeHistogram;
use model::metric::STALE_NAN_BITS;

use super::histogram;

/// A sample of a sequence; none is a gap.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sample {
    Gap,
    Float(f64),
    /// The second says whether what it has to say of resets was written.
    Histogram(NativeHistogram, bool),
}

pub(crate) type Series = (Labels, Vec<Sample>);

/// `name{label="value"} 1 2+1x3 _ stale {{...}}`.
pub(crate) fn series(line: &str) -> Result<Series, String> {
    let name_len = line.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(name_len);
    let mut pairs = vec![("__name__".to_owned(), name.to_owned())];
    if let Some(inner) = rest.strip_prefix('{').filter(|inner| !inner.starts_with('{')) {
        rest = labels(inner, &mut pairs)?;
    }
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty()).map(|(n, v)| (n, v));
    Ok((Labels::from_pairs(pairs), samples(rest)?))
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

pub(crate) fn times(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("not a number of times: {text}"))
}

fn histograms<'t>(text: &'t str, out: &mut Vec<Sample>) -> Result<&'t str, String> {
    let one = |text: &'t str| -> Result<(NativeHistogram, bool, &'t str), String> {
        let end = text.find("}}").ok_or("no end of a histogram")?;
        let (histogram, has_hint) = histogram::parse(&text[2..end])?;
        Ok((histogram, has_hint, &text[end + 2..]))
    };
    let (base, mut has_hint, mut rest) = one(text)?;
    let mut step = NativeHistogram::default();
    let mut sign = 0.0;
    if rest.starts_with(['+', '-']) {
        sign = if rest.starts_with('-') { -1.0 } else { 1.0 };
        (step, has_hint, rest) = one(&rest[1..])?;
        if step.schema < base.schema {
            return Err(format!("cannot merge from schema {} to {}", step.schema, base.schema));
        }
    }
    let mut count = 0;
    if let Some(repeat) = rest.strip_prefix('x') {
        let len = repeat.find(char::is_whitespace).unwrap_or(repeat.len());
        count = times(&repeat[..len])?;
        rest = &repeat[len..];
    } else if sign != 0.0 {
        return Err(format!("how many times: {text}"));
    }
    if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
        return Err(format!("what is this: {rest}"));
    }
    let mut factor = 0.0;
    for _ in 0..=count {
        out.push(Sample::Histogram(histogram::plus(&base, &step, factor), has_hint));
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
            if count.is_none() {
                return Err(format!("how many times: {item}"));
            }
            (number(&values[..at])?, number(&values[at..])?)
        }
    };
    for _ in 0..=count.unwrap_or(0) {
        out.push(Sample::Float(value));
        value += step;
    }
    Ok(())
}
