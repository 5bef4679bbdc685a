//! `status/...`: what the process says of itself.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::ALLOW;
use http::{Method, StatusCode, Uri};
use model::time::NS_PER_S;

use super::Prometheus;
use super::envelope::{PromError, write_success};
use crate::build_info::PROMETHEUS_API_VERSION;
use crate::error::ApiError;
use crate::json::{Json, written};
use crate::parameters::Asked;
use crate::reply;

/// What the status routes say of the server, as the one who put it together knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerStatus {
    /// The configuration in force as YAML, without secrets.
    pub config_yaml: String,
    /// Settings by the names of Prometheus' flags, with their values.
    pub flags: Vec<(String, String)>,
    /// The folder that relative paths start from.
    pub working_directory: String,
    /// The machine's name.
    pub hostname: String,
    /// Processors that are used.
    pub cores: usize,
    /// The limit of memory, in bytes.
    pub memory_limit_bytes: u64,
    /// Whether `/-/reload` and `/-/quit` are open.
    pub lifecycle: bool,
}

/// `GET /api/v1/status/buildinfo`; asks for no tenant, because clients ask it before they know one.
pub(crate) async fn build_info(State(door): State<Prometheus>) -> Response {
    data(|json| door.build.write(json, PROMETHEUS_API_VERSION))
}

/// `GET /version`: the same without the envelope.
pub(crate) async fn version(State(door): State<Prometheus>) -> Response {
    reply::json(written(|json| door.build.write(json, PROMETHEUS_API_VERSION)))
}

/// `GET /api/v1/status/config`: the configuration in force.
pub(crate) async fn config(State(door): State<Prometheus>) -> Response {
    data(|json| json.text_object([("yaml", &door.status.config_yaml)]))
}

/// `GET /api/v1/status/flags`: settings by the names of Prometheus' flags.
pub(crate) async fn flags(State(door): State<Prometheus>) -> Response {
    data(|json| json.text_object(door.status.flags.iter().map(|(name, value)| (name, value))))
}

/// `GET /api/v1/status/runtimeinfo`: the process, and the caller's retention.
pub(crate) async fn runtime_info(
    State(door): State<Prometheus>,
    request: Request,
) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let retention = match asked.context.limits().retention.metrics_ns {
        Some(ns) => format!("{}s", ns / NS_PER_S),
        None => String::new(),
    };
    let damaged = door.engine.damaged_segments(&asked.context).await?;
    let moment =
        |ns: i64| jiff::Timestamp::from_nanosecond(ns.into()).map(|t| t.to_string()).unwrap_or_default();
    let started = moment(door.started.0);
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    Ok(data(|json| {
        let texts = [
            ("startTime", started.as_str()),
            ("CWD", &door.status.working_directory),
            ("hostname", &door.status.hostname),
            ("serverTime", &moment(door.clock.now().0)),
            ("lastConfigTime", &started),
            ("GOGC", ""),
            ("GODEBUG", ""),
            ("storageRetention", &retention),
        ];
        let numbers = [
            ("corruptionCount", damaged as u64),
            ("goroutineCount", tasks as u64),
            ("GOMAXPROCS", door.status.cores as u64),
            ("GOMEMLIMIT", door.status.memory_limit_bytes),
        ];
        // What is running was read when it started; a broken file of limits leaves what was read before.
        json.raw("{\"reloadConfigSuccess\":true");
        for (name, text) in texts {
            json.raw(",");
            json.text(name);
            json.raw(":");
            json.text(text);
        }
        for (name, number) in numbers {
            json.raw(",");
            json.text(name);
            json.raw(":");
            json.plain(number);
        }
        json.raw("}");
    }))
}

/// What a browser asks before it asks: every route of the API has the same answer. What is asked in another way than a
/// route is, is told so in Prometheus' words.
pub(crate) async fn options(request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS && request.uri().path().starts_with("/api/v1/") {
        return StatusCode::NO_CONTENT.into_response();
    }
    let answer = next.run(request).await;
    if answer.status() != StatusCode::METHOD_NOT_ALLOWED {
        return answer;
    }
    let allowed = answer.headers().get(ALLOW).cloned();
    let mut told = reply::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n".to_owned());
    told.headers_mut().extend(allowed.map(|allowed| (ALLOW, allowed)));
    told
}

/// Every other path of the API.
pub(crate) async fn not_found(uri: Uri) -> PromError {
    ApiError::NotFound(format!("no such route: path={:?}", uri.path())).into()
}

fn data(write: impl FnOnce(&mut Json)) -> Response {
    reply::json(written(|json| write_success(json, &[], &[], write)))
}
