//! The collector's ports beside OTLP: its metrics for scraping (9464), its health (13133), and what the process does at
//! this moment (1777). Profiles with stacks are not here: they are taken from outside, with `perf` for example.

use std::fmt::Write;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Query};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use model::time::NS_PER_S;
use model::{Clock, TimestampNs};
use security::gateway::Sight;
use serde::Deserialize;
use serde_json::json;
use storage::Storage;
use tokio_util::sync::CancellationToken;

use crate::exposition::Exposition;

/// The longest time that threads are watched for one answer.
const MAX_WATCH_S: u64 = 60;
/// Ticks of `/proc` per second: fixed on Linux.
const TICKS_PER_S: f64 = 100.0;

/// The port for scraping: `/metrics`, and a page that says so.
pub(crate) fn scrape(exposition: &Exposition) -> Router {
    let exposition = exposition.clone();
    let metrics = move |headers: HeaderMap, sight: Option<Extension<Sight>>| async move {
        exposition.response(&headers, sight.map(|Extension(sight)| sight)).await
    };
    let page = "stella, the collector: metrics are at /metrics, with a token that has the scope obs:read\n";
    Router::new().route("/metrics", get(metrics)).route("/", get(move || async move { page }))
}

/// The health of the process: whether it takes what is sent, since when it is there, and otherwise why not, with 503. While
/// the log is replayed it is healthy, as nothing is refused for that.
pub(crate) fn health(storage: &Storage, clock: &Arc<dyn Clock>, stop: &CancellationToken) -> Router {
    let (storage, clock, started) = (storage.clone(), Arc::clone(clock), clock.now());
    let stop = stop.clone();
    let answer = move || async move {
        let up_s = (clock.now().0 - started.0).max(0) / NS_PER_S;
        let reason = match storage.takes_writes() {
            _ if stop.is_cancelled() => Some("the server ends: requests under way are answered".to_owned()),
            taken => taken.err().map(|error| error.to_string()),
        };
        let (code, status) = match reason {
            None => (StatusCode::OK, "Server available"),
            Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "Server not available"),
        };
        let told = axum::Json(json!({
            "status": status,
            "reason": reason,
            "upSince": since(started),
            "uptime": format!("{up_s}s"),
            "replayed": storage.replay().done,
        }));
        (code, told)
    };
    Router::new().route("/", get(answer.clone())).route("/health/status", get(answer))
}

fn since(started: TimestampNs) -> String {
    jiff::Timestamp::from_nanosecond(started.0.into()).map(|moment| moment.to_string()).unwrap_or_default()
}

/// What the process does at this moment.
pub(crate) fn debug(storage: &Storage) -> Router {
    let index = "stella, at this moment:\n\
        /debug/threads?seconds=1   threads with the processor time that they take\n\
        /debug/memory              what holds memory\n\
        /debug/runtime             tasks and workers\n\
        Stacks are sampled from outside: perf record -g -p <pid>\n";
    let storage = storage.clone();
    let memory = move || async move {
        let used = storage.memory();
        axum::Json(json!({
            "heads_bytes": used.head_bytes,
            "merges_bytes": used.merge_bytes,
            "caches_bytes": used.cache_bytes,
            "log_bytes": used.log_bytes,
        }))
    };
    Router::new()
        .route("/", get(move || async move { index }))
        .route("/debug/pprof/", get(move || async move { index }))
        .route("/debug/memory", get(memory))
        .route("/debug/runtime", get(runtime))
        .route("/debug/threads", get(threads))
}

async fn runtime() -> Response {
    let metrics = tokio::runtime::Handle::current().metrics();
    axum::Json(json!({
        "workers": metrics.num_workers(),
        "alive_tasks": metrics.num_alive_tasks(),
        "waiting_tasks": metrics.global_queue_depth(),
    }))
    .into_response()
}

#[derive(Deserialize)]
struct Watch {
    #[serde(default)]
    seconds: u64,
}

/// The processor time of each thread over some seconds, the busiest first.
async fn threads(Query(watch): Query<Watch>) -> Response {
    let seconds = watch.seconds.clamp(1, MAX_WATCH_S);
    let before = thread_times();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let mut after: Vec<(String, String, f64)> = thread_times()
        .into_iter()
        .map(|(id, name, total)| {
            let began = before.iter().find(|(known, ..)| *known == id).map_or(0.0, |(.., began)| *began);
            (id, name, (total - began) / seconds as f64)
        })
        .collect();
    after.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
    let mut text = String::from("cores  thread  name\n");
    for (id, name, cores) in after {
        writeln!(text, "{cores:5.2}  {id}  {name}").expect("text is written to memory");
    }
    text.into_response()
}

/// Id, name and processor seconds of every thread.
fn thread_times() -> Vec<(String, String, f64)> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let time = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (head, rest) = stat.rsplit_once(')')?;
        let (id, name) = head.split_once(" (")?;
        let mut fields = rest.split_ascii_whitespace();
        let user: f64 = fields.nth(11)?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        Some((id.to_owned(), name.to_owned(), (user + system) / TICKS_PER_S))
    };
    tasks.flatten().filter_map(time).collect()
}
