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
        Ok(())
    }
}
