//! `sql`: SQL over the tenant's telemetry, answered as JSON, CSV or an Arrow stream, row by row as it is computed.
//!
//! Prometheus has no such route; parameters, envelope and errors are as those of its others. What SQL is and may read
//! is `query`'s.

mod cells;

mod encoder;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use model::TimeRange;
use query::{QueryError, SqlAnswer, SqlRequest};

use self::encoder::{Encoder, Format};
use super::Prometheus;
use super::envelope::PromError;
use super::params::{limit, time, timeout};
use crate::bounds::MAX_BUFFERED_ANSWER_BYTES;
use crate::error::{ApiError, log};
use crate::parameters::{Asked, Parameters};
use crate::reply;

/// `GET` and `POST /api/v1/sql`.
pub(crate) async fn sql(State(door): State<Prometheus>, request: Request) -> Result<Response, PromError> {
    let asked = Asked::read_or_text(request).await?;
    let format = format(&asked.parameters, &asked.headers)?;
    let request = question(&asked.parameters)?;
    let query = asked.parameters.get("query").unwrap_or_default();
    if query.trim().is_empty() {
        return Err(ApiError::parameter("query", "there is no query").into());
    }
    let answer = door.engine.sql(&asked.context, query, request).await.map_err(|error| match error {
        QueryError::Parse(reason) => ApiError::parameter("query", reason),
        other => other.into(),
    })?;
    let wants_stats = asked.parameters.get("stats").is_some();
    Ok(answered(answer, format, wants_stats).await?)
}

/// Reads `start`, `end`, `limit` and `timeout`.
fn question(parameters: &Parameters) -> Result<SqlRequest, ApiError> {
    let range = match (time(parameters, "start")?, time(parameters, "end")?) {
        (None, None) => TimeRange::ALL,
        (start_ms, end_ms) => TimeRange::from_ms(start_ms.unwrap_or(i64::MIN), end_ms.unwrap_or(i64::MAX)),
    };
    if range.end_ns < range.start_ns {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    Ok(SqlRequest { range, limit: limit(parameters)?, timeout_ns: timeout(parameters)? })
}

/// The form that the parameter `format` names, or the first that the header `Accept` names; JSON otherwise.
fn format(parameters: &Parameters, headers: &HeaderMap) -> Result<Format, ApiError> {
    if let Some(name) = parameters.get("format") {
        return Format::named(name).ok_or_else(|| {
            ApiError::parameter("format", format!("{name:?} is not one of json, csv and arrow"))
        });
    }
    let accepted = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let types = accepted.flat_map(|value| value.split(',')).map(|one| one.split(';').next().unwrap_or(one));
    Ok(types.filter_map(|one| Format::of_type(one.trim())).next().unwrap_or(Format::Json))
}

/// Where an answer stands on its way out.
struct Outgoing {
    answer: SqlAnswer,
    encoder: Encoder,
    is_over: bool,
}

impl Outgoing {
    /// The bytes that come next; none after the last.
    async fn next(mut self) -> Result<Option<(Vec<u8>, Self)>, ApiError> {
        if self.is_over {
            return Ok(None);
        }
        let Some(batch) = self.answer.next().await? else {
            self.is_over = true;
            let end = self.answer.end().unwrap_or_default();
            let bytes = self.encoder.end(&end)?;
            return Ok(Some((bytes, self)));
        };
        let Self { answer, mut encoder, is_over } = self;
        let (bytes, encoder) = reply::made(batch.num_rows() * batch.num_columns(), move || {
            encoder.batch(&batch).map(|bytes| (bytes, encoder))
        })
        .await??;
        Ok(Some((bytes, Self { answer, encoder, is_over })))
    }
}

/// The response: whole where the answer is small, so that an error is one; a stream otherwise, which breaks off where
/// an error comes.
async fn answered(answer: SqlAnswer, format: Format, wants_stats: bool) -> Result<Response, ApiError> {
    let (mut buffered, encoder) = Encoder::begin(format, answer.schema(), wants_stats)?;
    let mut outgoing = Outgoing { answer, encoder, is_over: false };
    let body = loop {
        match outgoing.next().await? {
            None => break Body::from(buffered),
            Some((bytes, rest)) => {
                buffered.extend_from_slice(&bytes);
                outgoing = rest;
            }
        }
        if outgoing.is_over {
            break Body::from(buffered);
        }
        if buffered.len() >= MAX_BUFFERED_ANSWER_BYTES {
            break reply::streamed(rest_of(buffered, outgoing));
        }
    };
    Ok(([(CONTENT_TYPE, format.content_type())], body).into_response())
}

fn rest_of(buffered: Vec<u8>, outgoing: Outgoing) -> impl Stream<Item = Result<Vec<u8>, ApiError>> {
    stream::try_unfold((Some(buffered), Some(outgoing)), |(buffered, outgoing)| async move {
        if let Some(buffered) = buffered {
            return Ok(Some((buffered, (None, outgoing))));
        }
        let Some(outgoing) = outgoing else { return Ok(None) };
        let next = outgoing.next().await.inspect_err(log)?;
        Ok(next.map(|(bytes, rest)| (bytes, (None, Some(rest)))))
    })
}
