//! OTLP over gRPC: the three `Export` services.
//!
//! Source: "OpenTelemetry Protocol Specification" 1.x, section "OTLP/gRPC".

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use model::Signal;
use tonic::codec::CompressionEncoding::{Deflate, Gzip, Zstd};
use tonic::{Response, Status, async_trait};
use wire::otlp::collector_logs::logs_service_server::{LogsService, LogsServiceServer};
use wire::otlp::collector_metrics::metrics_service_server::{MetricsService, MetricsServiceServer};
use wire::otlp::collector_trace::trace_service_server::{TraceService, TraceServiceServer};
use wire::otlp::{
    ExportLogsServiceRequest, ExportLogsServiceResponse, ExportMetricsServiceRequest,
    ExportMetricsServiceResponse, ExportTraceServiceRequest, ExportTraceServiceResponse,
};

use super::body::{frame, run, take_mapped};
use super::budget::Held;
use super::otlp::{Export, Taken};
use super::shape::{self, Shape};
use super::{Collector, access, otlp_partial};
use crate::bounds::INLINE_DECODE_BYTES;
use crate::error::CollectorError;
use crate::metrics::OTLP_GRPC as DOOR;

/// The router of the three services.
pub(super) fn router(collector: &Collector) -> Router {
    let max_bytes = collector.settings().bodies.max_decoded_bytes();
    macro_rules! service {
        ($server:ident) => {
            [Gzip, Zstd, Deflate].into_iter().fold(
                $server::new(collector.clone()).max_decoding_message_size(max_bytes),
                |server, encoding| server.accept_compressed(encoding),
            )
        };
    }
    let mut services = tonic::service::Routes::builder();
    services
        .add_service(service!(MetricsServiceServer))
        .add_service(service!(LogsServiceServer))
        .add_service(service!(TraceServiceServer));
    let router = services.routes().into_axum_router();
    router.layer(from_fn_with_state(collector.clone(), checked))
}

/// Looks at a message before it is decoded, as the doors of HTTP do, and holds its bytes until it is answered.
async fn checked(
    State(collector): State<Collector>,
    request: Request,
    next: Next,
) -> axum::response::Response {
    let Some(shape) = shape_of(request.uri().path()) else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    let framed = match access(&parts.extensions) {
        Ok(access) => frame(collector.request(&access), &parts.headers, body, shape).await,
        Err(error) => Err(error),
    };
    match framed {
        Ok((frame, held)) => {
            let held = Arc::new(Mutex::new(held));
            parts.extensions.insert(Arc::clone(&held));
            let response = next.run(Request::from_parts(parts, Body::from(frame))).await;
            drop(held);
            response
        }
        Err(error) => {
            collector.done(DOOR, Some(&error));
            otlp_partial::grpc_status(&error).into_http()
        }
    }
}

fn shape_of(path: &str) -> Option<&'static Shape> {
    match path {
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(&shape::METRICS),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(&shape::LOGS),
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(&shape::TRACES),
        _ => None,
    }
}

async fn export(
    collector: &Collector,
    extensions: &tonic::Extensions,
    export: Export,
) -> Result<Taken, Status> {
    let signal = export.signal();
    let result = take(collector, extensions, signal, export).await;
    collector.done(DOOR, result.as_ref().err());
    result.map_err(|error| otlp_partial::grpc_status(&error))
}

async fn take(
    collector: &Collector,
    extensions: &tonic::Extensions,
    signal: Signal,
    export: Export,
) -> Result<Taken, CollectorError> {
    let access = access(extensions)?;
    let bytes = collector.mapped_bytes(&export);
    if let Some(held) = extensions.get::<Arc<Mutex<Held>>>() {
        take_mapped(&mut held.lock().unwrap_or_else(PoisonError::into_inner), bytes)?;
    }
    let mapped = if bytes <= INLINE_DECODE_BYTES {
        collector.map(&export, &access)
    } else {
        let mapper = collector.clone();
        run(move || Ok(mapper.map(&export, &access))).await?
    };
    collector.take(DOOR, signal, mapped).await
}

#[async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let taken = export(self, &extensions, Export::Metrics(message)).await?;
        Ok(Response::new(otlp_partial::metrics(&taken)))
    }
}

#[async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let taken = export(self, &extensions, Export::Logs(message)).await?;
        Ok(Response::new(otlp_partial::logs(&taken)))
    }
}

#[async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let taken = export(self, &extensions, Export::Traces(message)).await?;
        Ok(Response::new(otlp_partial::traces(&taken)))
    }
}
