//! The figures of tenants as metrics, of so many tenants and no more.

use std::fmt;

use model::{Signal, TenantId};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Status;

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

/// A figure, where a tenant's signal has it.
type Figure = fn(&Status, &TenantId, Signal) -> Option<f64>;

const FIGURES: [(&str, &str, Figure); 8] = [
    ("last_write_timestamp_seconds", "When a tenant has written last", |status, tenant, signal| {
        Some(status.activity.lately(tenant, signal).last_write_ns? as f64 / 1e9)
    }),
    ("last_query_timestamp_seconds", "When a tenant was asked about last", |status, tenant, signal| {
        Some(status.activity.lately(tenant, signal).last_query_ns? as f64 / 1e9)
    }),
    (
        "ingested_bytes_last_hour",
        "Bytes that a tenant has written in the last hour",
        |status, tenant, signal| Some(status.activity.lately(tenant, signal).bytes[0] as f64),
    ),
    (
        "ingested_items_last_hour",
        "Items that a tenant has written in the last hour",
        |status, tenant, signal| Some(status.activity.lately(tenant, signal).items[0] as f64),
    ),
    ("stored_bytes", "Bytes of a tenant's segments in the store", |status, tenant, signal| {
        Some(status.storage.usage(tenant, signal)?.stored_bytes as f64)
    }),
    ("oldest_data_timestamp_seconds", "The time of a tenant's oldest data", |status, tenant, signal| {
        Some(status.storage.usage(tenant, signal)?.time?.start_ns as f64 / 1e9)
    }),
    ("active", "Series or streams that a tenant writes at present", |status, tenant, signal| {
        // The ids of all spans would be looked at.
        (signal != Signal::Traces).then(|| status.storage.active(tenant, signal) as f64)
    }),
    (
        "retention_seconds",
        "How long a tenant's data is kept; absent where for ever",
        |status, tenant, signal| Some(status.limits.limits(tenant).retention.of(signal)? as f64 / 1e9),
    ),
];

impl Collector for StatusMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Self(status) = self;
        let mut tenants = status.storage.tenants();
        tenants.truncate(MAX_TENANTS);
        for (name, help, figure) in FIGURES {
            let told: Vec<_> = tenants
                .iter()
                .flat_map(|tenant| Signal::ALL.map(|signal| (tenant, signal)))
                .filter(|(tenant, signal)| {
                    status.storage.usage(tenant, *signal).is_some_and(|u| u.time.is_some())
                })
                .filter_map(|(tenant, signal)| {
                    let labels = Labels { tenant: tenant.as_str().to_owned(), signal: signal.as_str() };
                    Some((labels, figure(status, tenant, signal)?))
                })
                .collect();
            if told.is_empty() {
                continue;
            }
            let name = format!("stella_tenant_{name}");
            let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
            for (labels, value) in told {
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
