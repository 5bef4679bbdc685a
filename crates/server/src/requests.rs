//! What every request leaves behind: a count, a duration, and for questions about a tenant a span. One that is refused leaves
//! none: whoever is refused a million times fills no disk.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::HeaderMap;
use model::Clock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use security::gateway::TENANT_HEADER;
use tracing::Instrument;

/// The labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    listener: &'static str,
    route: String,
    method: &'static str,
    code: u16,
}

/// The labels of a duration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    listener: &'static str,
    route: String,
}

/// The metrics of requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    in_flight: Gauge,
    clock: Arc<dyn Clock>,
}

const DURATION_BOUNDS_S: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

impl RequestMetrics {
    /// Registers the metrics.
    pub(crate) fn new(registry: &mut Registry, clock: Arc<dyn Clock>) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BOUNDS_S)),
            in_flight: Gauge::default(),
            clock,
        };
        registry.register(
            "stella_http_requests",
            "Requests that were answered, by listener, route, method and status code",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "stella_http_request_duration",
            "Time from the head of a request to the head of its reply",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register(
            "stella_http_requests_in_flight",
            "Requests that are being answered",
            metrics.in_flight.clone(),
        );
        metrics
    }

    /// Counts the requests of a router, and where `spans` says so makes a span of each that acts for a tenant.
    pub(crate) fn observe(&self, listener: &'static str, spans: bool, router: Router) -> Router {
        let observed = Observed { metrics: self.clone(), listener, spans };
        router.layer(from_fn_with_state(observed, observe))
    }
}

#[derive(Clone)]
struct Observed {
    metrics: RequestMetrics,
    listener: &'static str,
    spans: bool,
}

/// Counts down when the request ends, also when its client has gone.
struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn observe(State(observed): State<Observed>, request: Request, next: Next) -> Response {
    let metrics = &observed.metrics;
    metrics.in_flight.inc();
    let _in_flight = InFlight(metrics.in_flight.clone());
    let started_ns = metrics.clock.monotonic_ns();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let method = method_name(request.method());
    // The gateway has taken out what the request said of its tenant, and written the one that it may act for.
    let tenant = request.headers().get(TENANT_HEADER).filter(|_| observed.spans);
    let response = if let Some(tenant) = tenant.and_then(|tenant| tenant.to_str().ok()) {
        let span = request_span(observed.listener, method, &route, request.headers(), tenant);
        let response = next.run(request).instrument(span.clone()).await;
        span.record("http.response.status_code", response.status().as_u16());
        if response.status().is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        response
    } else {
        next.run(request).await
    };
    let elapsed_ns = metrics.clock.monotonic_ns().saturating_sub(started_ns);
    let code = response.status().as_u16();
    let labels = RouteLabels { listener: observed.listener, route: route.clone() };
    metrics.durations.get_or_create(&labels).observe(elapsed_ns as f64 / 1e9);
    let labels = RequestLabels { listener: observed.listener, route, method, code };
    metrics.requests.get_or_create(&labels).inc();
    response
}

/// The method's name; methods that nobody serves share one, so that clients cannot make series.
fn method_name(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn request_span(
    listener: &str,
    method: &str,
    route: &str,
    headers: &HeaderMap,
    tenant: &str,
) -> tracing::Span {
    let parent = trace_parent(headers);
    tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        otel.trace_id = parent.map(|(trace_id, _)| trace_id),
        otel.parent_id = parent.map(|(_, parent_id)| parent_id),
        listener,
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        tenant.id = tenant,
    )
}

/// The trace and span of a W3C `traceparent` header.
fn trace_parent(headers: &HeaderMap) -> Option<(&str, &str)> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (_version, trace_id, parent_id) = (parts.next()?, parts.next()?, parts.next()?);
    (trace_id.len() == 32 && parent_id.len() == 16).then_some((trace_id, parent_id))
}
