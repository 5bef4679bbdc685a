//! OTLP's three requests as one, for what gRPC and HTTP share.

use bytes::Bytes;
use model::Signal;
use model::ingest::Receipt;
use model::tenant::Access;
use wire::WireError;
use wire::otlp::{
    self, ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest, Format,
};

use super::{Collector, shape};
use crate::error::CollectorError;
use crate::mapping::tenant::Mapped;
use crate::mapping::{logs, metrics, size, traces};
use crate::metrics::Door;

/// A request of any of the three signals.
pub(super) enum Export {
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
    Traces(ExportTraceServiceRequest),
}

impl Export {
    /// Decodes a decompressed body.
    pub(super) fn decode(signal: Signal, format: Format, body: &Bytes) -> Result<Self, WireError> {
        Ok(match signal {
            Signal::Metrics => Export::Metrics(otlp::decode_metrics(format, body)?),
            Signal::Logs => Export::Logs(otlp::decode_logs(format, body)?),
            Signal::Traces => Export::Traces(otlp::decode_traces(format, body)?),
        })
    }

    /// What a body takes once it is decoded, in bytes, about.
    pub(super) fn decoded_bytes(signal: Signal, format: Format, body: &[u8]) -> usize {
        let shape = match (format, signal) {
            (Format::Json, _) => return shape::json_bytes(body),
            (Format::Protobuf, Signal::Metrics) => &shape::METRICS,
            (Format::Protobuf, Signal::Logs) => &shape::LOGS,
            (Format::Protobuf, Signal::Traces) => &shape::TRACES,
        };
        shape::protobuf_bytes(body, shape)
    }

    pub(super) const fn signal(&self) -> Signal {
        match self {
            Export::Metrics(_) => Signal::Metrics,
            Export::Logs(_) => Signal::Logs,
            Export::Traces(_) => Signal::Traces,
        }
    }
}

/// A request mapped, and how many items it had.
pub(super) struct Taken {
    pub(super) receipt: Receipt,
    pub(super) items: usize,
}

impl Collector {
    /// How much memory a request takes once it is mapped, in bytes, about.
    pub(super) fn mapped_bytes(&self, export: &Export) -> usize {
        let settings = self.settings();
        match export {
            Export::Metrics(request) => size::metrics(request, &settings.otlp_metrics),
            Export::Logs(request) => size::logs(request, &settings.logs),
            Export::Traces(request) => size::traces(request),
        }
    }

    /// Maps a request to batches.
    pub(super) fn map(&self, export: &Export, access: &Access) -> Mapped {
        let settings = self.settings();
        match export {
            Export::Metrics(request) => metrics::map(request, access, &settings.otlp_metrics),
            Export::Logs(request) => {
                let now_ns = self.components().clock.now().0;
                logs::map(request, access, &settings.logs, now_ns)
            }
            Export::Traces(request) => traces::map(request, access),
        }
    }

    /// Writes what a request was mapped to.
    pub(super) async fn take(
        &self,
        door: Door,
        signal: Signal,
        mapped: Mapped,
    ) -> Result<Taken, CollectorError> {
        let items = mapped.items;
        let receipt = self.deliver(door, signal, mapped).await?;
        Ok(Taken { receipt, items })
    }
}
