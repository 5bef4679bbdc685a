//! The parameters of Prometheus' routes, with its words for what is wrong with them.

use std::num::{IntErrorKind, ParseIntError};

use model::time::NS_PER_MS;
use model::{Matcher, TimeRange};
use query::PromRequest;

use crate::bounds::MAX_POINTS_PER_SERIES;
use crate::duration;
use crate::error::ApiError;
use crate::parameters::Parameters;

/// The earliest and the latest moment as Go prints them: clients send them for "all of time".
const ALL_OF_TIME: [(&str, i64); 2] =
    [("-292273086-05-16T16:47:06Z", i64::MIN), ("292277025-08-18T07:12:54.999999999Z", i64::MAX)];

/// A query with how it is to be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PromQuestion {
    /// The text.
    pub(crate) query: String,
    /// Steps and bounds.
    pub(crate) request: PromRequest,
    /// Whether the answer is to tell what it cost.
    pub(crate) stats: Option<Stats>,
}

/// What an answer tells of its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stats {
    /// Times, and samples in all.
    Sums,
    /// The samples of each step too.
    All,
}

impl PromQuestion {
    /// Reads `query`: an evaluation at one moment.
    ///
    /// # Errors
    /// When a parameter is not what it must be.
    pub(crate) fn instant(parameters: &Parameters, now_ms: i64) -> Result<Self, ApiError> {
        let limit = limit(parameters)?;
        let time_ms = time(parameters, "time")?.unwrap_or(now_ms);
        Self::new(
            parameters,
            PromRequest {
                start_ms: time_ms,
                end_ms: time_ms,
                step_ms: None,
                timeout_ns: None,
                lookback_ms: None,
                limit,
                counts_samples: false,
            },
        )
    }

    /// Reads `query_range`: an evaluation at each step of a range.
    ///
    /// # Errors
    /// When a parameter is not what it must be, or there would be more than 11,000 steps.
    pub(crate) fn range(parameters: &Parameters) -> Result<Self, ApiError> {
        let limit = limit(parameters)?;
        let moment = |name| parse_time(parameters.get(name).unwrap_or_default());
        let start_ms = moment("start").map_err(|reason| ApiError::parameter("start", reason))?;
        let end_ms = moment("end").map_err(|reason| ApiError::parameter("end", reason))?;
        if end_ms < start_ms {
            return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
        }
        let step_ns = duration::parse_parameter(parameters.get("step").unwrap_or_default())
            .map_err(|reason| ApiError::parameter("step", reason))?;
        if step_ns <= 0 {
            return Err(ApiError::parameter(
                "step",
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        let step_ms = (step_ns / NS_PER_MS).max(1);
        if end_ms.saturating_sub(start_ms) / step_ms > MAX_POINTS_PER_SERIES {
            return Err(ApiError::Request(
                "exceeded maximum resolution of 11,000 points per timeseries. \
                 Try decreasing the query resolution (?step=XX)"
                    .into(),
            ));
        }
        Self::new(
            parameters,
            PromRequest {
                start_ms,
                end_ms,
                step_ms: Some(step_ms),
                timeout_ns: None,
                lookback_ms: None,
                limit,
                counts_samples: false,
            },
        )
    }

    fn new(parameters: &Parameters, request: PromRequest) -> Result<Self, ApiError> {
        let timeout_ns = timeout(parameters)?;
        let stats = match parameters.get("stats") {
            None | Some("") => None,
            Some("all") => Some(Stats::All),
            Some(_) => Some(Stats::Sums),
        };
        let lookback_ns = parameters.get("lookback_delta").map(duration::parse_parameter).transpose();
        let lookback_ns = lookback_ns.map_err(|reason| {
            ApiError::Request(format!("error parsing lookback delta duration: {reason}"))
        })?;
        Ok(Self {
            query: parameters.get("query").unwrap_or_default().to_owned(),
            request: PromRequest {
                timeout_ns,
                lookback_ms: lookback_ns.map(|ns| ns / NS_PER_MS).filter(|ms| *ms > 0),
                counts_samples: stats.is_some(),
                ..request
            },
            stats,
        })
    }
}

/// Which series a question about names is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeriesQuestion {
    /// Series that match any of these; all series where there is none.
    pub(crate) sets: Vec<Vec<Matcher>>,
    /// Series with data in this range.
    pub(crate) range: TimeRange,
    /// The most names to answer with.
    pub(crate) limit: Option<usize>,
}

impl SeriesQuestion {
    /// Reads `match[]`, `start`, `end` and `limit`.
    ///
    /// # Errors
    /// When a parameter is not what it must be.
    pub(crate) fn read(parameters: &Parameters) -> Result<Self, ApiError> {
        let limit = limit(parameters)?;
        let start_ms = time(parameters, "start")?.unwrap_or(i64::MIN);
        let end_ms = time(parameters, "end")?.unwrap_or(i64::MAX);
        let mut sets = Vec::new();
        for text in parameters.all("match[]") {
            let matchers =
                query::parse_metric_selector(text).map_err(|error| ApiError::Request(error.to_string()))?;
            if matchers.iter().all(Matcher::matches_empty) {
                let reason = "match[] must contain at least one non-empty matcher";
                return Err(ApiError::Request(reason.to_owned()));
            }
            sets.push(matchers);
        }
        Ok(Self { sets, range: TimeRange::from_ms(start_ms, end_ms), limit })
    }
}

/// The `limit`; none and 0 mean no limit.
pub(crate) fn limit(parameters: &Parameters) -> Result<Option<usize>, ApiError> {
    let Some(text) = parameters.get("limit") else {
        return Ok(None);
    };
    let limit: i64 = text.parse().map_err(|error: ParseIntError| {
        let is_beyond = matches!(error.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow);
        let what = if is_beyond { "value out of range" } else { "invalid syntax" };
        ApiError::parameter("limit", format!("strconv.Atoi: parsing {text:?}: {what}"))
    })?;
    let limit =
        usize::try_from(limit).map_err(|_| ApiError::parameter("limit", "limit must be non-negative"))?;
    Ok((limit > 0).then_some(limit))
}

/// The `timeout` in nanoseconds, where there is one.
///
/// # Errors
/// When it is not what it must be.
pub(crate) fn timeout(parameters: &Parameters) -> Result<Option<i64>, ApiError> {
    let timeout_ns = parameters.get("timeout").map(duration::parse_parameter).transpose();
    timeout_ns.map_err(|reason| ApiError::parameter("timeout", reason))
}

/// A moment in milliseconds, where the parameter is there.
///
/// # Errors
/// When it is not what it must be.
pub(crate) fn time(parameters: &Parameters, name: &'static str) -> Result<Option<i64>, ApiError> {
    let parsed = parameters.get(name).filter(|text| !text.is_empty()).map(parse_time).transpose();
    parsed.map_err(|reason| ApiError::parameter(name, format!("Invalid time value for '{name}': {reason}")))
}

/// Milliseconds of a moment as Prometheus' API takes it: seconds as a float, rounded to milliseconds, or RFC 3339.
///
/// # Errors
/// When the text is neither; in Prometheus' words.
pub fn parse_time(text: &str) -> Result<i64, String> {
    let invalid = || format!("cannot parse {text:?} to a valid timestamp");
    if let Some(seconds) = seconds(text) {
        if !seconds.is_finite() {
            return Err(invalid());
        }
        let fraction_ms = (seconds.fract() * 1_000.0).round() as i64;
        return Ok((seconds.trunc() as i64).saturating_mul(1_000).saturating_add(fraction_ms));
    }
    if let Some((_, moment)) = ALL_OF_TIME.iter().find(|(name, _)| *name == text) {
        return Ok(*moment);
    }
    let moment: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
    Ok(i64::try_from(moment.as_nanosecond().div_euclid(i128::from(NS_PER_MS))).unwrap_or(i64::MAX))
}

/// A float; an underscore may stand between two of its digits.
fn seconds(text: &str) -> Option<f64> {
    let is_digit =
        |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit);
    let is_between = |(at, _)| is_digit(usize::checked_sub(at, 1)) && is_digit(Some(at + 1));
    text.match_indices('_').all(is_between).then(|| text.replace('_', "").parse().ok()).flatten()
}

/// A label's name as it stands in an address: `U__` opens a name whose other characters are escaped, `__` is an
/// underscore and `_2e_` the character of that number. What is not such a name stands for itself.
///
/// Source: Prometheus' "Escaping Schemes", `values`.
pub(crate) fn unescape_name(name: &str) -> String {
    unescaped(name).unwrap_or_else(|| name.to_owned())
}

fn unescaped(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?;
    let mut plain = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once('_') {
        plain.push_str(before);
        if let Some(after) = after.strip_prefix('_') {
            plain.push('_');
            rest = after;
            continue;
        }
        let (number, after) = after.split_once('_')?;
        if number.is_empty() || number.len() > 6 || !number.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        plain.push(char::from_u32(u32::from_str_radix(number, 16).ok()?)?);
        rest = after;
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests;
