//! OTLP's three requests as one, for what gRPC and HTTP share.

use bytes::Bytes;
use model::Signal;
use model::ingest::Receipt;
use model::tenant::{Access, Refusal};
use wire::WireError;
use wire::otlp::{self, ExportMetricsServiceRequest, Format};

use super::{Collector, Held, Room, shape};
use crate::error::CollectorError;
use crate::mapping::tenant::Mapped;
use crate::mapping::{logs, metrics, size, traces};
use crate::metrics::Door;

/// A request of any of the three signals: metrics decoded, logs and traces as their bytes in protobuf.
pub(super) enum Export {
    Metrics(ExportMetricsServiceRequest),
    Logs(Bytes),
    Traces(Bytes),
}

impl Export {
    /// Decodes a decompressed body as far as that is done before it is mapped.
    pub(super) fn decode(signal: Signal, format: Format, body: &Bytes) -> Result<Self, WireError> {
        Ok(match signal {
            Signal::Metrics => Export::Metrics(otlp::decode_metrics(format, body)?),
            Signal::Logs => Export::Logs(otlp::logs_in_protobuf(format, body)?),
            Signal::Traces => Export::Traces(otlp::traces_in_protobuf(format, body)?),
        })
    }

    /// What a body takes once it is decoded, in bytes, about.
    pub(super) fn decoded_bytes(signal: Signal, format: Format, body: &[u8]) -> usize {
        match (format, signal) {
            (Format::Json, _) => shape::json_bytes(body),
            (Format::Protobuf, Signal::Metrics) => shape::protobuf_bytes(body, &shape::METRICS),
            // Nothing is made of them but batches, which ask for their own room.
            (Format::Protobuf, Signal::Logs | Signal::Traces) => 0,
        }
    }
}

/// A request mapped, and how many items it had.
pub(super) struct Taken {
    pub(super) receipt: Receipt,
    pub(super) items: usize,
}

impl Collector {
    /// Maps a request to batches, within the room that is held for them.
    pub(super) fn map(
        &self,
        export: &Export,
        access: &Access,
        held: &mut Held,
    ) -> Result<Mapped, CollectorError> {
        let settings = self.settings();
        let mut room = Room::new(held);
        let mapped = match export {
            Export::Metrics(request) => {
                room.take(size::metrics(request, &settings.otlp_metrics))?;
                metrics::map(request, access, &settings.otlp_metrics)
            }
            Export::Logs(body) => {
                let now_ns = self.components().clock.now().0;
                logs::map(otlp::logs_view(body), access, &settings.logs, now_ns, &mut room)?
            }
            Export::Traces(body) => traces::map(otlp::traces_view(body), access, &mut room)?,
        };
        // Nobody was asked for: what the request says of itself must be right all the same.
        if mapped.batches.is_empty() && mapped.refusal.is_none() {
            match access.context(None) {
                Ok(_) | Err(Refusal::TenantRequired) => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Ok(mapped)
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
