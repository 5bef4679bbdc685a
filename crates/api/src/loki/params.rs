//! The parameters of Loki's routes, with its words for what is wrong with them.

use model::time::NS_PER_S;
use model::{Matcher, TimeRange};
use query::{Direction, LogRequest};

use crate::bounds::MAX_POINTS_PER_SERIES;
use crate::duration;
use crate::error::ApiError;
use crate::parameters::Parameters;

/// Lines that are answered where the client does not say.
const DEFAULT_LIMIT: usize = 100;

/// How far back a question looks where the client does not say.
const DEFAULT_SINCE_NS: i64 = 3_600 * NS_PER_S;

/// The longest time that a tail waits for lines.
const MAX_TAIL_DELAY_S: i64 = 5;

/// Without a step, a range is cut into about so many.
const DEFAULT_STEPS: i64 = 250;

/// A query with how it is to be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogQuestion {
    /// The text.
    pub(crate) query: String,
    /// Steps and bounds.
    pub(crate) request: LogRequest,
}

impl LogQuestion {
    /// Reads `query`: a metric of lines at one moment.
    ///
    /// # Errors
    /// When a parameter is not what it must be.
    pub(crate) fn instant(parameters: &Parameters, now_ns: i64) -> Result<Self, ApiError> {
        let time_ns = match parameters.get("time") {
            Some(text) => parse_timestamp(text).map_err(ApiError::Request)?,
            None => now_ns,
        };
        Self::new(parameters, time_ns, time_ns, None)
    }

    /// Reads `query_range`: lines, or a metric of lines at each step of a range.
    ///
    /// # Errors
    /// When a parameter is not what it must be, or there would be more than 11,000 steps.
    pub(crate) fn range(parameters: &Parameters, now_ns: i64) -> Result<Self, ApiError> {
        let TimeRange { start_ns, end_ns } = bounds(parameters, now_ns)?;
        if end_ns < start_ns {
            return Err(request("end timestamp must not be before or equal to start time"));
        }
        let length_ns = end_ns.saturating_sub(start_ns);
        let step_ns = match parameters.get("step") {
            Some(text) => duration::parse_parameter(text).map_err(ApiError::Request)?,
            None => (length_ns / NS_PER_S / DEFAULT_STEPS).max(1) * NS_PER_S,
        };
        if step_ns <= 0 {
            return Err(request(
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        if length_ns / step_ns > MAX_POINTS_PER_SERIES {
            return Err(request(
                "exceeded maximum resolution of 11,000 points per time series. \
                 Try increasing the value of the step parameter",
            ));
        }
        let interval_ns = parameters.get("interval").map(duration::parse_parameter).transpose();
        match interval_ns.map_err(ApiError::Request)?.unwrap_or(0) {
            0 => Self::new(parameters, start_ns, end_ns, Some(step_ns)),
            interval_ns if interval_ns < 0 => Err(request("interval must be >= 0")),
            _ => Err(request("interval is not supported: leave it out, and ask with a limit")),
        }
    }

    fn new(
        parameters: &Parameters,
        start_ns: i64,
        end_ns: i64,
        step_ns: Option<i64>,
    ) -> Result<Self, ApiError> {
        let limit = limit(parameters)?;
        let direction = match parameters.get("direction") {
            Some(text) if text.eq_ignore_ascii_case("forward") => Direction::Forward,
            Some(text) if text.eq_ignore_ascii_case("backward") => Direction::Backward,
            Some(text) => return Err(ApiError::Request(format!("invalid direction '{text}'"))),
            None => Direction::Backward,
        };
        Ok(Self {
            query: parameters.get("query").unwrap_or_default().to_owned(),
            request: LogRequest { start_ns, end_ns, step_ns, limit, direction, timeout_ns: None },
        })
    }
}

/// What a tail is asked for with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailQuestion {
    /// The text.
    pub(crate) query: String,
    /// The first moment of the lines that were there before.
    pub(crate) start_ns: i64,
    /// How long lines are waited for before they are told.
    pub(crate) delay_ns: i64,
    /// How many lines that were there before are told at most, the last ones.
    pub(crate) limit: usize,
}

impl TailQuestion {
    /// Reads `query`, `start` (an hour ago), `delay_for` (0 to 5 seconds) and `limit` (100).
    ///
    /// # Errors
    /// When a parameter is not what it must be.
    pub(crate) fn read(parameters: &Parameters, now_ns: i64) -> Result<Self, ApiError> {
        let start_ns = match parameters.get("start") {
            Some(text) => parse_timestamp(text).map_err(ApiError::Request)?,
            None => now_ns.saturating_sub(DEFAULT_SINCE_NS),
        };
        let delay_s = parameters.get("delay_for").map(number).transpose()?.unwrap_or(0);
        if !(0..=MAX_TAIL_DELAY_S).contains(&delay_s) {
            return Err(request("delay_for can't be greater than 5, or less than 0"));
        }
        Ok(Self {
            query: parameters.get("query").unwrap_or_default().to_owned(),
            start_ns,
            delay_ns: delay_s * NS_PER_S,
            limit: limit(parameters)?,
        })
    }
}

/// How many lines are asked for.
fn limit(parameters: &Parameters) -> Result<usize, ApiError> {
    let limit = match parameters.get("limit") {
        Some(text) => number(text)?,
        None => DEFAULT_LIMIT as i64,
    };
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
    limit.ok_or_else(|| request("limit must be a positive value"))
}

fn request(message: &str) -> ApiError {
    ApiError::Request(message.to_owned())
}

fn number(text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| ApiError::Request(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))
}

/// The range of a question: `start` and `end`, or `since` before the end.
///
/// # Errors
/// When a parameter is not what it must be.
pub(crate) fn bounds(parameters: &Parameters, now_ns: i64) -> Result<TimeRange, ApiError> {
    let unreadable = |name: &str, reason: String| {
        ApiError::Request(format!("could not parse '{name}' parameter: {reason}"))
    };
    let since_ns = match parameters.get("since") {
        Some(text) => duration::parse_prometheus(text)
            .ok_or_else(|| unreadable("since", format!("not a valid duration string: {text:?}")))?,
        None => DEFAULT_SINCE_NS,
    };
    let moment = |name: &str, otherwise: i64| match parameters.get(name) {
        Some(text) => parse_timestamp(text).map_err(|reason| unreadable(name, reason)),
        None => Ok(otherwise),
    };
    let end_ns = moment("end", now_ns)?;
    // An end in the future does not move the start into it.
    let start_ns = moment("start", end_ns.min(now_ns).saturating_sub(since_ns))?;
    Ok(TimeRange::new(start_ns, end_ns))
}

/// Nanoseconds of a moment: a whole number of nanoseconds (of seconds where it has at most ten digits), seconds with
/// a fraction, or RFC 3339.
fn parse_timestamp(text: &str) -> Result<i64, String> {
    if text.contains('.')
        && let Some(seconds) = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite())
    {
        let fraction_ms = (seconds.fract() * 1_000.0).round() as i64;
        let whole_ns = (seconds.trunc() as i64).saturating_mul(NS_PER_S);
        return Ok(whole_ns.saturating_add(fraction_ms * (NS_PER_S / 1_000)));
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(if text.len() <= 10 { number.saturating_mul(NS_PER_S) } else { number });
    }
    let moment: Result<jiff::Timestamp, _> = text.parse();
    let moment = moment.map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))?;
    i64::try_from(moment.as_nanosecond()).map_err(|_| format!("time is out of range: {text:?}"))
}

/// Which streams a question about names is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamQuestion {
    /// Streams that match any of these; all streams where there is none.
    pub(crate) sets: Vec<Vec<Matcher>>,
    /// Streams with lines in this range.
    pub(crate) range: TimeRange,
}

impl StreamQuestion {
    /// Reads the selectors of the named parameters, and `start`, `end` and `since`.
    ///
    /// # Errors
    /// When a parameter is not what it must be.
    pub(crate) fn read(parameters: &Parameters, selectors: &[&str], now_ns: i64) -> Result<Self, ApiError> {
        let range = bounds(parameters, now_ns)?;
        let mut sets = Vec::new();
        for text in selectors.iter().flat_map(|name| parameters.all(name)).filter(|text| !text.is_empty()) {
            let matchers =
                query::parse_log_selector(text).map_err(|error| ApiError::Request(error.to_string()))?;
            // A set without a matcher asks for every stream, and so do all sets together.
            if !matchers.is_empty() {
                sets.push(matchers);
            }
        }
        Ok(Self { sets, range })
    }
}

#[cfg(test)]
mod tests;
