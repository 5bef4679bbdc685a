//! The parameters of Tempo's routes, with its words for what is wrong with them.

use model::TimeRange;
use model::time::NS_PER_S;
use query::{TagScope, TagSearch, TraceRequest};

use super::logfmt;
use crate::bounds::{MAX_SEARCH_LIMIT, MAX_SPANS_PER_SPAN_SET};
use crate::duration;
use crate::error::ApiError;
use crate::parameters::Parameters;

/// How far back a search looks where the client does not say: "recent data".
const DEFAULT_SINCE_NS: i64 = 3_600 * NS_PER_S;

/// Traces that are answered where the client does not say.
const DEFAULT_LIMIT: usize = 20;

/// Spans of a set that are answered where the client does not say.
const DEFAULT_SPANS_PER_SPAN_SET: usize = 3;

/// A trace's spans may lie this far outside of the range that the client gives for it.
const TRACE_MARGIN_NS: i64 = 3_600 * NS_PER_S;

/// Parameters of a search that are not tags.
const RESERVED: [&str; 8] = ["q", "tags", "minDuration", "maxDuration", "limit", "spss", "start", "end"];

/// What a search looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sought {
    /// A query of the language.
    Query(String),
    /// Tags and durations, as before there was a language.
    Tags(TagSearch),
}

/// A search with its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceQuestion {
    /// What it looks for.
    pub(crate) sought: Sought,
    /// Where, and how much of it is answered.
    pub(crate) request: TraceRequest,
}

impl TraceQuestion {
    /// Reads the parameters of `/api/search`.
    ///
    /// # Errors
    /// When a parameter is not what it must be, or `q` and `tags` are both there.
    pub(crate) fn read(parameters: &Parameters, now_ns: i64) -> Result<Self, ApiError> {
        let asked_range = asked_range(parameters)?;
        let sought = match (parameters.get("q"), parameters.get("tags")) {
            (Some(_), Some(_)) => {
                return Err(request("invalid request: can't specify tags and q in the same query"));
            }
            (Some(query), None) => Sought::Query(query.to_owned()),
            (None, tags) => Sought::Tags(tag_search(parameters, tags, asked_range.is_some())?),
        };
        let limit = positive(parameters, "limit")?.unwrap_or(DEFAULT_LIMIT);
        if limit > MAX_SEARCH_LIMIT {
            return Err(ApiError::Request(format!("limit {limit} exceeds max limit {MAX_SEARCH_LIMIT}")));
        }
        let spans_per_span_set = positive(parameters, "spss")?.unwrap_or(DEFAULT_SPANS_PER_SPAN_SET);
        if spans_per_span_set > MAX_SPANS_PER_SPAN_SET {
            return Err(ApiError::Request(format!(
                "spans per span set exceeds {MAX_SPANS_PER_SPAN_SET}. received {spans_per_span_set}"
            )));
        }
        let range = asked_range.unwrap_or_else(|| recent(now_ns));
        Ok(Self { sought, request: TraceRequest { range, limit, spans_per_span_set, timeout_ns: None } })
    }
}

fn tag_search(parameters: &Parameters, tags: Option<&str>, has_range: bool) -> Result<TagSearch, ApiError> {
    let tags = match tags {
        Some(line) => {
            logfmt::parse(line).map_err(|reason| ApiError::Request(format!("invalid tags: {reason}")))?
        }
        // The oldest form has each tag as a parameter of its own.
        None if !has_range => parameters
            .pairs()
            .filter(|(name, value)| !RESERVED.contains(name) && !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        None => Vec::new(),
    };
    let duration = |name: &str| match parameters.get(name) {
        Some(text) => duration::parse_go(text)
            .map(Some)
            .ok_or_else(|| ApiError::Request(format!("invalid {name}: time: invalid duration {text:?}"))),
        None => Ok(None),
    };
    let (min_duration_ns, max_duration_ns) = (duration("minDuration")?, duration("maxDuration")?);
    if let (Some(min), Some(max)) = (min_duration_ns, max_duration_ns)
        && min > max
    {
        return Err(request("invalid maxDuration: must be greater than minDuration"));
    }
    Ok(TagSearch { tags, min_duration_ns, max_duration_ns })
}

fn request(message: &str) -> ApiError {
    ApiError::Request(message.to_owned())
}

fn positive(parameters: &Parameters, name: &str) -> Result<Option<usize>, ApiError> {
    let Some(text) = parameters.get(name) else {
        return Ok(None);
    };
    let number: i64 = text.parse().map_err(|_| {
        ApiError::Request(format!("invalid {name}: strconv.Atoi: parsing {text:?}: invalid syntax"))
    })?;
    let number = usize::try_from(number).ok().filter(|number| *number > 0);
    let number =
        number.ok_or_else(|| ApiError::Request(format!("invalid {name}: must be a positive number")))?;
    Ok(Some(number))
}

fn seconds(parameters: &Parameters, name: &str) -> Result<i64, ApiError> {
    let Some(text) = parameters.get(name) else {
        return Ok(0);
    };
    let invalid =
        |what: &str| ApiError::Request(format!("invalid {name}: strconv.ParseInt: parsing {text:?}: {what}"));
    let seconds: i64 = text.parse().map_err(|_| invalid("invalid syntax"))?;
    u32::try_from(seconds).map(i64::from).map_err(|_| invalid("value out of range"))
}

/// The range of `start` and `end`, whole seconds; none where neither is there.
fn asked_range(parameters: &Parameters) -> Result<Option<TimeRange>, ApiError> {
    let (start, end) = (seconds(parameters, "start")?, seconds(parameters, "end")?);
    if start == 0 && end == 0 {
        return Ok(None);
    }
    if end <= start {
        return Err(ApiError::Request(format!(
            "http parameter start must be before end. received start={start} end={end}"
        )));
    }
    Ok(Some(TimeRange::new(start * NS_PER_S, end * NS_PER_S + NS_PER_S - 1)))
}

/// Up to now, and a second of clocks that go ahead.
fn recent(now_ns: i64) -> TimeRange {
    TimeRange::new(now_ns.saturating_sub(DEFAULT_SINCE_NS), now_ns.saturating_add(NS_PER_S))
}

/// Where to look for tags: the range that is asked for, or recent data.
///
/// # Errors
/// When `start` or `end` is not what it must be.
pub(crate) fn tag_range(parameters: &Parameters, now_ns: i64) -> Result<TimeRange, ApiError> {
    Ok(asked_range(parameters)?.unwrap_or_else(|| recent(now_ns)))
}

/// The most names or values that a question about tags wants; none and 0 mean no limit.
///
/// # Errors
/// When it is no number.
pub(crate) fn tag_limit(parameters: &Parameters) -> Result<Option<usize>, ApiError> {
    match parameters.get("limit") {
        Some("0") | None => Ok(None),
        Some(_) => positive(parameters, "limit"),
    }
}

/// The scope of a question about tags; none for all.
///
/// # Errors
/// When there is no such scope.
pub(crate) fn tag_scope(parameters: &Parameters) -> Result<Option<TagScope>, ApiError> {
    match parameters.get("scope") {
        None | Some("none") => Ok(None),
        Some(name) => {
            let scope = TagScope::parse(name);
            scope.map(Some).ok_or_else(|| ApiError::Request(format!("invalid scope: {name}")))
        }
    }
}

/// Where to look for a trace: everywhere, or in the range that the client gives, with a margin so that the trace
/// stays whole.
///
/// # Errors
/// When `start` or `end` is not what it must be.
pub(crate) fn trace_range(parameters: &Parameters) -> Result<TimeRange, ApiError> {
    Ok(asked_range(parameters)?.map_or(TimeRange::ALL, |range| {
        TimeRange::new(
            range.start_ns.saturating_sub(TRACE_MARGIN_NS),
            range.end_ns.saturating_add(TRACE_MARGIN_NS),
        )
    }))
}

/// A trace's id: up to 32 hexadecimal digits; what is missing are zeros at the front.
///
/// # Errors
/// Tempo's words for anything else.
pub(crate) fn trace_id(text: &str) -> Result<[u8; 16], ApiError> {
    if let Some((i, c)) = text.chars().enumerate().find(|(_, c)| !c.is_ascii_hexdigit()) {
        return Err(ApiError::Request(format!(
            "trace IDs can only contain hex characters: invalid character '{c}' at position {}",
            i + 1
        )));
    }
    if text.len() > 32 {
        return Err(request("trace IDs can't be larger than 128 bits"));
    }
    let mut id = [0; 16];
    hex::decode_to_slice(format!("{text:0>32}"), &mut id).expect("32 hexadecimal digits are 16 bytes");
    Ok(id)
}

#[cfg(test)]
mod tests;
