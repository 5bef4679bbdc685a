//! `query` and `query_range`: lines, and metrics of lines.

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;

use super::Loki;
use super::encode::{Encoding, items, write_answer};
use super::params::LogQuestion;
use crate::error::ApiError;
use crate::parameters::Asked;
use crate::plain_error::PlainError;
use crate::reply;

/// The header in which clients say which forms of answers they read.
const ENCODING_FLAGS: &str = "x-loki-response-encoding-flags";

/// `GET` and `POST /loki/api/v1/query`.
pub(crate) async fn instant(State(door): State<Loki>, request: Request) -> Result<Response, PlainError> {
    let asked = Asked::read(request).await?;
    let question = LogQuestion::instant(&asked.parameters, door.clock.now().0)?;
    if query::is_log_query(&question.query) {
        return Err(ApiError::Request(
            "log queries are not supported as an instant query type, \
             please change your query to a range query type"
                .into(),
        )
        .into());
    }
    answer(&door, &asked, question).await
}

/// `GET` and `POST /loki/api/v1/query_range`.
pub(crate) async fn range(State(door): State<Loki>, request: Request) -> Result<Response, PlainError> {
    let asked = Asked::read(request).await?;
    let question = LogQuestion::range(&asked.parameters, door.clock.now().0)?;
    answer(&door, &asked, question).await
}

async fn answer(door: &Loki, asked: &Asked, question: LogQuestion) -> Result<Response, PlainError> {
    let encoding = Encoding {
        categorize_labels: flags(&asked.headers).any(|flag| flag == "categorize-labels"),
        direction: question.request.direction,
    };
    let answer = door.engine.logql(&asked.context, &question.query, question.request).await?;
    Ok(reply::json_of(items(&answer.value), move |json| write_answer(json, answer, encoding)).await?)
}

fn flags(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(ENCODING_FLAGS).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}
