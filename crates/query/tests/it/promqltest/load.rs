//! What a script loads: series, the moments since when their samples count, and native histograms made of classic ones.

use model::Labels;

use super::classic;
use super::script::{Block, millis, word};
use super::series::{Sample, series, times};

/// A series to be written.
pub(crate) struct Loaded {
    pub(crate) labels: Labels,
    pub(crate) samples: Vec<Sample>,
    /// Since when the sample at a place counts, in milliseconds from it, where that is known.
    pub(crate) starts: Vec<Option<i64>>,
}

/// `load STEP` and the lines below it.
pub(crate) fn load(line: &str, body: &[&str]) -> Result<Block, String> {
    let mut rest = line;
    let is_native = word(&mut rest) == "load_with_nhcb";
    let step_ms = millis(rest.trim())?;
    let mut loaded: Vec<Loaded> = Vec::new();
    let mut default: Vec<Option<i64>> = Vec::new();
    let mut announced: Option<(Labels, Vec<Option<i64>>)> = None;
    for line in body {
        if let Some((metric, offsets)) = start_line(line) {
            if announced.is_some() {
                return Err(format!("start times before this line have no samples: {line}"));
            }
            let starts = start_times(offsets)?;
            if metric.is_empty() {
                default = starts;
            } else {
                announced = Some((series(metric)?.0, starts));
            }
            continue;
        }
        let (labels, samples) = series(line)?;
        let starts = match announced.take() {
            Some((metric, starts)) if metric == labels && starts.len() == samples.len() => starts,
            Some(_) => return Err(format!("start times of other samples are before this line: {line}")),
            None => default.iter().copied().cycle().take(samples.len()).collect(),
        };
        // Of two lines about the same labels, the later holds.
        loaded.retain(|other| other.labels != labels);
        loaded.push(Loaded { labels, samples, starts });
    }
    if announced.is_some() {
        return Err("start times without samples".to_owned());
    }
    if is_native {
        let more = classic::to_native(&loaded)?;
        loaded.extend(more);
    }
    Ok(Block::Load { step_ms, series: loaded })
}

/// Splits `metric{...}@st ...`; the metric may be missing.
fn start_line(line: &str) -> Option<(&str, &str)> {
    let (metric, offsets) = line.split_once(char::is_whitespace)?;
    Some((metric.strip_suffix("@st")?, offsets))
}

/// `-30s -1m-1mx2 _ *x3`: durations from the samples' own times; `*` is the one before again.
fn start_times(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut out: Vec<Option<i64>> = Vec::new();
    for item in text.split_whitespace() {
        let (values, count) = match item.split_once('x') {
            Some((values, count)) => (values, Some(times(count)?)),
            None => (item, None),
        };
        if values == "_" {
            let count = count.unwrap_or(1);
            if count == 0 {
                return Err(format!("not a number of gaps: {item}"));
            }
            out.extend(std::iter::repeat_n(None, count));
            continue;
        }
        let (mut value, step) = if values == "*" {
            (out.iter().rev().flatten().next().copied().unwrap_or(0), 0)
        } else {
            let step_at = values.rfind(['+', '-']).filter(|at| *at > 0);
            if step_at.is_some() && count.is_none() {
                return Err(format!("how many times: {item}"));
            }
            let (first, step) = values.split_at(step_at.unwrap_or(values.len()));
            (signed(first)?, if step.is_empty() { 0 } else { signed(step)? })
        };
        for _ in 0..=count.unwrap_or(0) {
            out.push(Some(value));
            value += step;
        }
    }
    Ok(out)
}

fn signed(text: &str) -> Result<i64, String> {
    match text.strip_prefix('-') {
        Some(text) => Ok(-millis(text)?),
        None => millis(text.strip_prefix('+').unwrap_or(text)),
    }
}
