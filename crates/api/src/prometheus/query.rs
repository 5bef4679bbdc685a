//! `query` and `query_range`: PromQL at one moment and over a range.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use query::QueryError;

use super::Prometheus;
use super::encode::{Piece, samples};
use super::envelope::{PromError, write_success};
use super::params::PromQuestion;
use crate::bounds::MAX_ANSWER_PIECES;
use crate::error::ApiError;
use crate::json::{Json, written};
use crate::parameters::Asked;
use crate::reply;

/// Prometheus' warning where a list was cut.
pub(crate) const TRUNCATED: &str = "results truncated due to limit";

/// `GET` and `POST /api/v1/query`.
pub(crate) async fn instant(State(door): State<Prometheus>, request: Request) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let question = PromQuestion::instant(&asked.parameters, door.clock.now().to_ms().0)?;
    answer(&door, &asked, question).await
}

/// `GET` and `POST /api/v1/query_range`.
pub(crate) async fn range(State(door): State<Prometheus>, request: Request) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let question = PromQuestion::range(&asked.parameters)?;
    answer(&door, &asked, question).await
}

/// `GET` and `POST /api/v1/format_query`.
pub(crate) async fn format(State(door): State<Prometheus>, request: Request) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let query = asked.parameters.get("query").unwrap_or_default();
    let expr = ::query::parse_promql(query, door.engine.features());
    let expr = expr.map_err(|error| ApiError::parameter("query", error.to_string()))?;
    Ok(reply::json(written(|json| write_success(json, &[], &[], |json| json.text(&expr.pretty())))))
}

async fn answer(door: &Prometheus, asked: &Asked, question: PromQuestion) -> Result<Response, PromError> {
    let answer = door.engine.promql(&asked.context, &question.query, question.request).await;
    let mut answer = answer.map_err(|error| match error {
        QueryError::Parse(reason) => ApiError::parameter("query", reason),
        other => other.into(),
    })?;
    if question.request.limit.is_some_and(|limit| answer.value.limit(limit)) {
        answer.warnings.push(TRUNCATED.to_owned());
    }
    let (items, held) = (samples(&answer.value), answer.held.clone());
    let (answer, stats) = (Arc::new(answer), question.stats);
    let pieces = Piece::of(&answer.value, MAX_ANSWER_PIECES).into_iter().map(|piece| {
        let answer = Arc::clone(&answer);
        move |json: &mut Json| piece.write(json, &answer, stats)
    });
    Ok(reply::json_of_pieces(items, held, pieces).await?)
}
