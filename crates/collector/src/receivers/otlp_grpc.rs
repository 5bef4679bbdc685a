//! OTLP over gRPC: the three `Export` services.
//!
//! Source: "OpenTelemetry Protocol Specification" 1.x, section "OTLP/gRPC".

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::post;
use bytes::{Buf as _, Bytes};
use futures::future::BoxFuture;
use model::Signal;
use prost::Message;
use tonic::Status;
use tonic::codec::CompressionEncoding::{Deflate, Gzip, Zstd};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use wire::otlp::Format;

use super::body::{frame, run};
use super::budget::Held;
use super::otlp::{Export, Taken};
use super::shape::{self, Shape};
use super::{Collector, access, otlp_partial};
use crate::bounds::INLINE_DECODE_BYTES;
use crate::error::CollectorError;
use crate::metrics::OTLP_GRPC as DOOR;

const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The router of the three services.
pub(super) fn router(collector: &Collector) -> Router {
    macro_rules! service {
        ($signal:expr, $reply:expr) => {
            post(|State(collector): State<Collector>, request: Request| async move {
                serve(collector, $signal, $reply, request).await
            })
        };
    }
    let services = Router::new()
        .route(METRICS, service!(Signal::Metrics, otlp_partial::metrics))
        .route(LOGS, service!(Signal::Logs, otlp_partial::logs))
        .route(TRACES, service!(Signal::Traces, otlp_partial::traces))
        .with_state(collector.clone());
    let router = tonic::service::Routes::default().into_axum_router().merge(services);
    router.layer(from_fn_with_state(collector.clone(), checked))
}

/// Looks at a message before it is decoded, as the doors of HTTP do, and holds its bytes until it is answered.
async fn checked(State(collector): State<Collector>, request: Request, next: Next) -> Response {
    let Some(shape) = shape_of(request.uri().path()) else { return next.run(request).await };
    let (mut parts, body) = request.into_parts();
    let framed = match access(&parts.extensions) {
        Ok(access) => frame(collector.request(&access), &parts.headers, body, shape).await,
        Err(error) => Err(error),
    };
    match framed {
        Ok((frame, held)) => {
            parts.extensions.insert(Arc::new(Mutex::new(held)));
            next.run(Request::from_parts(parts, Body::from(frame))).await
        }
        Err(error) => {
            collector.done(DOOR, Some(&error));
            otlp_partial::grpc_status(&error).into_http()
        }
    }
}

/// What a message becomes before it is mapped; nothing where it is mapped from its bytes. None for other paths.
fn shape_of(path: &str) -> Option<Option<&'static Shape>> {
    match path {
        METRICS => Some(Some(&shape::METRICS)),
        LOGS | TRACES => Some(None),
        _ => None,
    }
}

async fn serve<R: Message + Default + 'static>(
    collector: Collector,
    signal: Signal,
    reply: fn(&Taken) -> R,
    request: Request,
) -> Response {
    let max_bytes = collector.settings().bodies.max_decoded_bytes();
    let grpc = Grpc::new(MessageBytes(PhantomData)).max_decoding_message_size(max_bytes);
    let mut grpc = [Gzip, Zstd, Deflate].into_iter().fold(grpc, Grpc::accept_compressed);
    let service = Service { collector, signal, reply };
    grpc.unary(service, request).await.map(Body::new)
}

/// Gives messages as their bytes, and writes replies of one type.
struct MessageBytes<R>(PhantomData<R>);

impl<R: Message + 'static> Codec for MessageBytes<R> {
    type Encode = R;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<R: Message> Encoder for MessageBytes<R> {
    type Item = R;
    type Error = Status;

    fn encode(&mut self, reply: R, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        reply.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<R> Decoder for MessageBytes<R> {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// One of the three services.
struct Service<R> {
    collector: Collector,
    signal: Signal,
    reply: fn(&Taken) -> R,
}

impl<R: Message + 'static> UnaryService<Bytes> for Service<R> {
    type Response = R;
    type Future = BoxFuture<'static, Result<tonic::Response<R>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (collector, signal, reply) = (self.collector.clone(), self.signal, self.reply);
        Box::pin(async move {
            let (_, extensions, message) = request.into_parts();
            let result = take(&collector, &extensions, signal, message).await;
            collector.done(DOOR, result.as_ref().err());
            let taken = result.map_err(|error| otlp_partial::grpc_status(&error))?;
            Ok(tonic::Response::new(reply(&taken)))
        })
    }
}

async fn take(
    collector: &Collector,
    extensions: &tonic::Extensions,
    signal: Signal,
    message: Bytes,
) -> Result<Taken, CollectorError> {
    let access = access(extensions)?;
    let held = extensions.get::<Arc<Mutex<Held>>>().cloned().unwrap_or_else(|| {
        // Every request comes through the middleware above, which holds its bytes already.
        Arc::new(Mutex::new(collector.request(&access)))
    });
    let is_small = message.len() <= INLINE_DECODE_BYTES;
    let (mapper, holder) = (collector.clone(), Arc::clone(&held));
    let work = move || {
        let export = Export::decode(signal, Format::Protobuf, &message)?;
        mapper.map(&export, &access, &mut holder.lock().unwrap_or_else(PoisonError::into_inner))
    };
    let mapped = if is_small { work()? } else { run(work).await? };
    let taken = collector.take(DOOR, signal, mapped).await?;
    drop(held);
    Ok(taken)
}
