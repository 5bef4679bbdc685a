//! Routes about what there is none of: nothing is scraped, no rules are evaluated, and nobody is notified. Their parameters are
//! checked as Prometheus checks them.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::envelope::{PromError, write_success};
use super::{GET, Routes};
use crate::error::ApiError;
use crate::json::written;
use crate::parameters::Parameters;
use crate::reply;

/// Adds the routes.
pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .on(GET, "/api/v1/targets", targets)
        .on(GET, "/api/v1/targets/metadata", target_metadata)
        .on(GET, "/api/v1/targets/relabel_steps", relabel_steps)
        .on(GET, "/api/v1/scrape_pools", || of(r#"{"scrapePools":[]}"#))
        .on(GET, "/api/v1/scrape_pools/config", scrape_pool)
        .on(GET, "/api/v1/alertmanagers", || of(r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#))
        .on(GET, "/api/v1/alerts", || of(r#"{"alerts":[]}"#))
        .on(GET, "/api/v1/rules", rules)
        .on(GET, "/api/v1/notifications", || of("[]"))
        .on(GET, "/api/v1/notifications/live", notifications)
        .on(GET, "/api/v1/status/self_metrics", || of("[]"))
}

async fn of(none: &'static str) -> Response {
    answer(none)
}

fn answer(none: &str) -> Response {
    reply::json(written(|json| write_success(json, &[], &[], |json| json.raw(none))))
}

fn parameters(request: &Request) -> Parameters {
    Parameters::parse(request.uri().query().unwrap_or_default(), &[])
}

/// Where dropped targets are not asked for, they are not counted.
async fn targets(request: Request) -> Response {
    let parameters = parameters(&request);
    let state = parameters.get("state").map(str::to_lowercase);
    let counts = if matches!(state.as_deref(), None | Some("any" | "dropped")) { "{}" } else { "null" };
    answer(&format!(r#"{{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{counts}}}"#))
}

async fn target_metadata(request: Request) -> Result<Response, PromError> {
    let parameters = parameters(&request);
    if let Some(Err(_)) = parameters.get("limit").map(str::parse::<i64>) {
        return Err(ApiError::Request("limit must be a number".to_owned()).into());
    }
    if let Some(selector) = parameters.get("match_target") {
        query::parse_metric_selector(selector)
            .map_err(|error| ApiError::parameter("match_target", error.to_string()))?;
    }
    Ok(answer("[]"))
}

/// There is no pool whose rules could be tried.
async fn relabel_steps(request: Request) -> Result<Response, PromError> {
    let parameters = parameters(&request);
    let pool = pool(&parameters)?;
    let missing = || ApiError::Request("no labels parameter provided".to_owned());
    let labels = parameters.get("labels").ok_or_else(missing)?;
    serde_json::from_str::<std::collections::BTreeMap<String, String>>(labels)
        .map_err(|error| ApiError::Request(format!("error parsing labels: {error}")))?;
    Err(no_pool(pool).into())
}

async fn scrape_pool(request: Request) -> Result<Response, PromError> {
    let parameters = parameters(&request);
    Err(no_pool(pool(&parameters)?).into())
}

fn pool(parameters: &Parameters) -> Result<&str, ApiError> {
    let missing = || ApiError::Request("no scrapePool parameter provided".to_owned());
    parameters.get("scrapePool").ok_or_else(missing)
}

fn no_pool(pool: &str) -> ApiError {
    ApiError::Request(format!("error retrieving scrape config: scrape pool {pool:?} not found"))
}

async fn rules(request: Request) -> Result<Response, PromError> {
    match parameters(&request).get("type").map(str::to_lowercase).as_deref() {
        None | Some("alert" | "record") => Ok(answer(r#"{"groups":[]}"#)),
        Some(other) => Err(ApiError::parameter("type", format!("not supported value {other:?}")).into()),
    }
}

/// Whoever would listen is told not to come again, as where Prometheus takes no more listeners.
async fn notifications() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
