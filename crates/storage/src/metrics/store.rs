//! What is asked of a store of others, so that an operator sees the bill and whose it is.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use model::TenantId;
use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::bounds::MAX_METERED_TENANTS;

/// The label of tenants beyond [`MAX_METERED_TENANTS`]; no tenant can have this name.
const OTHERS: &str = "~others";

/// What a request asks for; a store's price list has about these lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Put,
    Get,
    Head,
    List,
    Delete,
    Copy,
    CreateMultipart,
    PutPart,
    CompleteMultipart,
    AbortMultipart,
    /// Not of the store itself: a token is fetched.
    Credentials,
}

impl Operation {
    const fn as_str(self) -> &'static str {
        match self {
            Operation::Put => "put",
            Operation::Get => "get",
            Operation::Head => "head",
            Operation::List => "list",
            Operation::Delete => "delete",
            Operation::Copy => "copy",
            Operation::CreateMultipart => "create_multipart",
            Operation::PutPart => "put_part",
            Operation::CompleteMultipart => "complete_multipart",
            Operation::AbortMultipart => "abort_multipart",
            Operation::Credentials => "credentials",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EncodeLabelValue for Operation {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.as_str().encode(encoder)
    }
}

/// The label of a tenant, or of those that have none of their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Payer {
    /// What belongs to no tenant.
    Nobody,
    Tenant(TenantId),
    Others,
}

impl EncodeLabelValue for Payer {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Payer::Nobody => "".encode(encoder),
            Payer::Tenant(tenant) => tenant.as_str().encode(encoder),
            Payer::Others => OTHERS.encode(encoder),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRequest {
    operation: Operation,
    tenant: Payer,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOperation {
    operation: Operation,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPayer {
    tenant: Payer,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFailure {
    operation: Operation,
    reason: &'static str,
}

/// The metrics of a store of others; a folder and memory leave them at nothing.
#[derive(Debug)]
pub(crate) struct StoreMetrics {
    requests: Family<ByRequest, Counter>,
    failures: Family<ByFailure, Counter>,
    retries: Family<ByOperation, Counter>,
    sent_bytes: Family<ByPayer, Counter>,
    received_bytes: Family<ByPayer, Counter>,
    seconds: Family<ByOperation, Histogram>,
    payers: Mutex<HashSet<TenantId>>,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            failures: Family::default(),
            retries: Family::default(),
            sent_bytes: Family::default(),
            received_bytes: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 17))),
            payers: Mutex::default(),
        }
    }
}

/// One request as it is counted.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    /// Whose object it is about.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) sent_bytes: u64,
    /// Of the reply's body, as its head announces them.
    pub(crate) received_bytes: u64,
    /// Until the head of the reply was there.
    pub(crate) elapsed: Duration,
}

impl StoreMetrics {
    pub(crate) fn count_request(&self, request: Request) {
        let Request { operation, tenant, sent_bytes, received_bytes, elapsed } = request;
        let tenant = self.payer(tenant);
        self.sent_bytes.get_or_create(&ByPayer { tenant: tenant.clone() }).inc_by(sent_bytes);
        self.received_bytes.get_or_create(&ByPayer { tenant: tenant.clone() }).inc_by(received_bytes);
        self.requests.get_or_create(&ByRequest { operation, tenant }).inc();
        self.seconds.get_or_create(&ByOperation { operation }).observe(elapsed.as_secs_f64());
    }

    pub(crate) fn count_failure(&self, operation: Operation, reason: &'static str) {
        self.failures.get_or_create(&ByFailure { operation, reason }).inc();
    }

    pub(crate) fn count_retry(&self, operation: Operation) {
        self.retries.get_or_create(&ByOperation { operation }).inc();
    }

    fn payer(&self, tenant: Option<TenantId>) -> Payer {
        let Some(tenant) = tenant else { return Payer::Nobody };
        let mut payers = self.payers.lock();
        if !payers.contains(&tenant) {
            if payers.len() >= MAX_METERED_TENANTS {
                return Payer::Others;
            }
            payers.insert(tenant.clone());
        }
        Payer::Tenant(tenant)
    }

    /// Puts the metrics into a registry.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("stella_store");
        r.register("requests", "Requests to the object store, retries included", self.requests.clone());
        r.register(
            "request_failures",
            "Requests to the object store that ended without an answer",
            self.failures.clone(),
        );
        r.register("retries", "Requests to the object store that repeat another", self.retries.clone());
        let sent = self.sent_bytes.clone();
        r.register_with_unit("sent", "Bytes sent to the object store", Unit::Bytes, sent);
        let received = self.received_bytes.clone();
        r.register_with_unit("received", "Bytes received from the object store", Unit::Bytes, received);
        r.register_with_unit(
            "request",
            "Time of a request to the object store, until the head of its reply",
            Unit::Seconds,
            self.seconds.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn requests_are_counted_by_tenant_up_to_a_bound() {
        let metrics = StoreMetrics::default();
        let count = |tenant: Option<&str>| {
            metrics.count_request(Request {
                operation: Operation::Get,
                tenant: tenant.map(|tenant| TenantId::parse(tenant).unwrap()),
                sent_bytes: 1,
                received_bytes: 2,
                elapsed: Duration::from_millis(1),
            });
        };
        count(None);
        for number in 0..MAX_METERED_TENANTS + 5 {
            count(Some(&format!("t{number}")));
        }
        count(Some("t0"));
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "stella_store_requests_total{operation=\"get\",tenant=\"t0\"} 2",
            "stella_store_requests_total{operation=\"get\",tenant=\"\"} 1",
            "stella_store_requests_total{operation=\"get\",tenant=\"~others\"} 5",
            "stella_store_received_bytes_total{tenant=\"~others\"} 10",
            "stella_store_request_seconds_count{operation=\"get\"}",
        ] {
            assert!(text.contains(line), "{line}");
        }
    }
}
