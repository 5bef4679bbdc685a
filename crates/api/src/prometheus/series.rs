//! `series`, `labels` and `label/<name>/values`: what there is to ask for.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use query::{Labelled, Limited};

use super::Prometheus;
use super::envelope::{PromError, write_success};
use super::params::{SeriesQuestion, unescape_name};
use super::query::TRUNCATED;
use crate::error::ApiError;
use crate::json::Json;
use crate::parameters::Asked;
use crate::reply;

/// `GET` and `POST /api/v1/series`.
pub(crate) async fn series(State(door): State<Prometheus>, request: Request) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    if asked.parameters.all("match[]").next().is_none() {
        return Err(ApiError::Request("no match[] parameter provided".into()).into());
    }
    // Here the parameter is named, elsewhere it is not.
    let question = SeriesQuestion::read(&asked.parameters).map_err(|error| match error {
        ApiError::Request(reason) => ApiError::parameter("match[]", reason),
        other => other,
    });
    let SeriesQuestion { sets, range, limit } = question?;
    let found = door.engine.label_sets(&asked.context, Labelled::Series, &sets, range, limit).await?;
    list(found, |json, labels| json.labels(&labels)).await
}

/// `GET` and `POST /api/v1/labels`.
pub(crate) async fn names(State(door): State<Prometheus>, request: Request) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let SeriesQuestion { sets, range, limit } = SeriesQuestion::read(&asked.parameters)?;
    let found = door.engine.label_names(&asked.context, Labelled::Series, &sets, range, limit).await?;
    list(found, |json, name| json.text(&name)).await
}

/// `GET /api/v1/label/<name>/values`.
pub(crate) async fn values(
    State(door): State<Prometheus>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let Path(name) = name.map_err(|error| ApiError::Request(error.body_text()))?;
    let name = unescape_name(&name);
    let SeriesQuestion { sets, range, limit } = SeriesQuestion::read(&asked.parameters)?;
    let found =
        door.engine.label_values(&asked.context, Labelled::Series, &name, &sets, range, limit).await?;
    list(found, |json, value| json.text(&value)).await
}

async fn list<T: Send + 'static>(
    found: Limited<Vec<T>>,
    each: impl FnMut(&mut Json, T) + Send + 'static,
) -> Result<Response, PromError> {
    let warnings = if found.truncated { vec![TRUNCATED.to_owned()] } else { Vec::new() };
    let response = reply::json_of(found.value.len(), move |json| {
        write_success(json, &warnings, &[], |json| json.list(found.value, each));
    });
    Ok(response.await?)
}
