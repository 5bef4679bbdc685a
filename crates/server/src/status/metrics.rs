//! The figures of tenants as metrics, of so many tenants and no more.

use std::fmt;

use model::{Signal, TenantId};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use storage::Usage;

use super::Status;
use super::activity::Lately;

/// Tenants that have metrics of their own, the first by name; an operator with more asks `/api/status`.
const MAX_TENANTS: usize = 1_000;

/// The figures of all tenants.
pub(crate) struct StatusMetrics(pub(crate) Status);

impl fmt::Debug for StatusMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatusMetrics")
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    tenant: String,
    signal: &'static str,
}

/// What is known of a tenant's signal, asked once for all figures.
struct Known {
    labels: Labels,
    lately: Lately,
    usage: Usage,
    active: Option<u64>,
    retention_ns: Option<i64>,
}

impl Known {
    /// What is known, where the tenant has data of the signal.
    fn of(status: &Status, tenant: &TenantId, signal: Signal) -> Option<Self> {
        let usage = status.storage.usage(tenant, signal).filter(|usage| usage.time.is_some())?;
        Some(Self {
            labels: Labels { tenant: tenant.as_str().to_owned(), signal: signal.as_str() },
            lately: status.activity.lately(tenant, signal),
            usage,
            // The ids of all spans would be looked at.
            active: (signal != Signal::Traces).then(|| status.storage.active(tenant, signal)),
            retention_ns: status.limits.limits(tenant).retention.of(signal),
        })
    }
}

/// A figure, where a tenant's signal has it.
type Figure = fn(&Known) -> Option<f64>;

const FIGURES: [(&str, &str, Figure); 8] = [
    ("last_write_timestamp_seconds", "When a tenant has written last", |known| {
        Some(known.lately.last_write_ns? as f64 / 1e9)
    }),
    ("last_query_timestamp_seconds", "When a tenant was asked about last", |known| {
        Some(known.lately.last_query_ns? as f64 / 1e9)
    }),
    ("ingested_bytes_last_hour", "Bytes that a tenant has written in the last hour", |known| {
        Some(known.lately.bytes[0] as f64)
    }),
    ("ingested_items_last_hour", "Items that a tenant has written in the last hour", |known| {
        Some(known.lately.items[0] as f64)
    }),
    ("stored_bytes", "Bytes of a tenant's segments in the store", |known| {
        Some(known.usage.stored_bytes as f64)
    }),
    ("oldest_data_timestamp_seconds", "The time of a tenant's oldest data", |known| {
        Some(known.usage.time?.start_ns as f64 / 1e9)
    }),
    ("active", "Series or streams that a tenant writes at present", |known| Some(known.active? as f64)),
    ("retention_seconds", "How long a tenant's data is kept; absent where for ever", |known| {
        Some(known.retention_ns? as f64 / 1e9)
    }),
];

impl Collector for StatusMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Self(status) = self;
        let mut tenants = status.storage.tenants();
        tenants.truncate(MAX_TENANTS);
        let signals = tenants.iter().flat_map(|tenant| Signal::ALL.map(|signal| (tenant, signal)));
        let known: Vec<Known> =
            signals.filter_map(|(tenant, signal)| Known::of(status, tenant, signal)).collect();
        for (name, help, figure) in FIGURES {
            let mut told = known.iter().filter_map(|known| Some((&known.labels, figure(known)?))).peekable();
            if told.peek().is_none() {
                continue;
            }
            let name = format!("stella_tenant_{name}");
            let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
            for (labels, value) in told {
                ConstGauge::new(value).encode(family.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}
