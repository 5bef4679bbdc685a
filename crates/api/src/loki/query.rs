//! `query` and `query_range`: lines, and metrics of lines.

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::Loki;
use super::encode::{Encoding, items, write_answer};
use super::params::LogQuestion;
use crate::error::ApiError;
use crate::json::written;
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

/// `GET` and `POST /loki/api/v1/format_query`. What is wrong with a query stands in a JSON object here.
pub(crate) async fn format(request: Request) -> Result<Response, PlainError> {
    let asked = Asked::read(request).await?;
    let formatted = ::query::format_logql(asked.parameters.get("query").unwrap_or_default());
    let (status, code, name, text) = match formatted {
        Ok(formatted) => ("success", StatusCode::OK, "data", formatted),
        Err(error) => ("invalid-query", StatusCode::BAD_REQUEST, "error", error.to_string()),
    };
    let mut response = reply::json(written(|json| json.text_object([("status", status), (name, &text)])));
    *response.status_mut() = code;
    Ok(response)
}

async fn answer(door: &Loki, asked: &Asked, question: LogQuestion) -> Result<Response, PlainError> {
    let encoding = Encoding {
        categorize_labels: wants_categories(&asked.headers),
        direction: question.request.direction,
    };
    let answer = door.engine.logql(&asked.context, &question.query, question.request).await?;
    Ok(reply::json_of_query(items(&answer.value), answer.held.clone(), move |json| {
        write_answer(json, answer, encoding);
    })
    .await?)
}

/// Whether a client reads structured metadata and parsed labels apart from those of the stream.
pub(super) fn wants_categories(headers: &HeaderMap) -> bool {
    flags(headers).any(|flag| flag == "categorize-labels")
}

fn flags(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(ENCODING_FLAGS).into_iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}
