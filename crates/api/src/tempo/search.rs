//! `search`: traces by a TraceQL query, or by tags and durations.

use axum::extract::{Request, State};
use axum::response::Response;
use query::QueryError;

use super::Tempo;
use super::encode::write_answer;
use super::params::{Sought, TraceQuestion};
use crate::error::ApiError;
use crate::parameters::Asked;
use crate::plain_error::PlainError;
use crate::reply;

/// `GET /api/search`.
pub(crate) async fn search(State(door): State<Tempo>, request: Request) -> Result<Response, PlainError> {
    let asked = Asked::read(request).await?;
    let TraceQuestion { sought, request } = TraceQuestion::read(&asked.parameters, door.clock.now().0)?;
    let answer = match &sought {
        Sought::Query(query) => door.engine.traceql_search(&asked.context, query, request).await,
        Sought::Tags(search) => door.engine.tag_search(&asked.context, search, request).await,
    };
    let answer = answer.map_err(|error| match error {
        QueryError::Parse(reason) => ApiError::Request(format!("invalid TraceQL query: {reason}")),
        other => other.into(),
    })?;
    let spans = answer.traces.iter().flat_map(|trace| &trace.span_sets).map(|set| set.spans.len()).sum();
    Ok(reply::json_of_query(spans, answer.held.clone(), move |json| write_answer(json, &answer)).await?)
}
