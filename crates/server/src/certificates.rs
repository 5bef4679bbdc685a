//! When certificates end, as a metric: read from what the listeners have in use when it is asked for.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use security::tls::ServerTls;

/// The certificates of the listeners.
#[derive(Debug)]
pub(crate) struct CertificateMetrics {
    pub(crate) listeners: Vec<Arc<ServerTls>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    listener: &'static str,
    subject: String,
}

/// A list of revoked certificates.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ListLabels {
    listener: &'static str,
    issuer: String,
}

impl CertificateMetrics {
    fn encode_lists(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let lists = self.listeners.iter().flat_map(|listener| {
            listener.lists().into_iter().map(|list| (listener.name(), list)).collect::<Vec<_>>()
        });
        let lists: Vec<_> = lists.collect();
        if lists.is_empty() {
            return Ok(());
        }
        let help = "When a CRL in use ends, and its authority has another one";
        let name = "tls_crl_next_update_timestamp_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (listener, list) in lists {
            let labels = ListLabels { listener, issuer: list.subject };
            ConstGauge::new(list.not_after_s as f64).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Collector for CertificateMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if self.listeners.is_empty() {
            return Ok(());
        }
        let help = "When a certificate in use ends: a listener's own, or that of an authority of clients";
        let mut family = encoder.encode_descriptor(
            "tls_certificate_expiry_timestamp_seconds",
            help,
            None,
            MetricType::Gauge,
        )?;
        for listener in &self.listeners {
            for expiry in listener.expiries() {
                let labels = Labels { listener: listener.name(), subject: expiry.subject };
                ConstGauge::new(expiry.not_after_s as f64).encode(family.encode_family(&labels)?)?;
            }
        }
        self.encode_lists(&mut encoder)
    }
}
