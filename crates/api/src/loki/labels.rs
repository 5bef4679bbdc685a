//! `labels`, `label/<name>/values` and `series`: what there is to ask for.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;

use query::Labelled;

use super::Loki;
use super::params::StreamQuestion;
use crate::error::ApiError;
use crate::json::Json;
use crate::parameters::Asked;
use crate::plain_error::PlainError;
use crate::reply;

/// `GET` and `POST /loki/api/v1/labels`, also as `/label`.
pub(crate) async fn names(State(door): State<Loki>, request: Request) -> Result<Response, PlainError> {
    let asked = Asked::read(request).await?;
    let StreamQuestion { sets, range } =
        StreamQuestion::read(&asked.parameters, &["query"], door.clock.now().0)?;
    let found = door.engine.label_names(&asked.context, Labelled::Streams, &sets, range, None).await?.value;
    texts(found).await
}

/// `GET` and `POST /loki/api/v1/label/<name>/values`.
pub(crate) async fn values(
    State(door): State<Loki>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, PlainError> {
    let asked = Asked::read(request).await?;
    let Path(name) = name.map_err(|error| ApiError::Request(error.body_text()))?;
    let StreamQuestion { sets, range } =
        StreamQuestion::read(&asked.parameters, &["query"], door.clock.now().0)?;
    let found =
        door.engine.label_values(&asked.context, Labelled::Streams, &name, &sets, range, None).await?.value;
    texts(found).await
}

/// `GET` and `POST /loki/api/v1/series`.
pub(crate) async fn series(State(door): State<Loki>, request: Request) -> Result<Response, PlainError> {
    let asked = Asked::read(request).await?;
    let StreamQuestion { sets, range } =
        StreamQuestion::read(&asked.parameters, &["match[]", "match"], door.clock.now().0)?;
    let found = door.engine.label_sets(&asked.context, Labelled::Streams, &sets, range, None).await?.value;
    let response = reply::json_of(found.len(), move |json| {
        json.raw("{\"status\":\"success\",\"data\":");
        json.list(found, |json, labels| json.labels(&labels));
        json.raw("}");
    });
    Ok(response.await?)
}

async fn texts(found: Vec<String>) -> Result<Response, PlainError> {
    Ok(reply::json_of(found.len(), move |json| write_texts(json, &found)).await?)
}

/// A list of names; without a name there is no `data`.
fn write_texts(json: &mut Json, texts: &[String]) {
    json.raw("{\"status\":\"success\"");
    if !texts.is_empty() {
        json.raw(",\"data\":");
        json.texts(texts);
    }
    json.raw("}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::written;

    #[test]
    fn an_empty_list_has_no_data() {
        let text = |texts: &[String]| String::from_utf8(written(|json| write_texts(json, texts))).unwrap();
        assert_eq!(text(&[]), r#"{"status":"success"}"#);
        assert_eq!(text(&["a".into(), "b".into()]), r#"{"status":"success","data":["a","b"]}"#);
    }
}
