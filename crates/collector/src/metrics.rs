//! What the receivers tell of themselves, by the collector's names. The exposition adds `_total` to counters.

use model::Signal;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Which door it came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Door {
    /// The receiver's name: `otlp`, `prometheusremotewrite`, `loki`.
    pub(crate) receiver: &'static str,
    /// `grpc` or `http`.
    pub(crate) transport: &'static str,
}

/// OTLP over gRPC.
pub(crate) const OTLP_GRPC: Door = Door { receiver: "otlp", transport: "grpc" };
/// OTLP over HTTP, on every port.
pub(crate) const OTLP_HTTP: Door = Door { receiver: "otlp", transport: "http" };
/// Prometheus' remote write.
pub(crate) const REMOTE_WRITE: Door = Door { receiver: "prometheusremotewrite", transport: "http" };
/// Loki's push.
pub(crate) const LOKI_PUSH: Door = Door { receiver: "loki", transport: "http" };

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorOutcome {
    receiver: &'static str,
    transport: &'static str,
    outcome: &'static str,
}

/// What became of a whole request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered with success, perhaps partial.
    Success,
    /// Not taken: a refusal, a limit, or the store cannot write now.
    Refused,
    /// The request was broken, or we were.
    Failure,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Refused => "refused",
            Outcome::Failure => "failure",
        }
    }
}

type Counters = Family<Door, Counter>;

#[derive(Clone, Debug, Default)]
struct Items {
    accepted: Counters,
    refused: Counters,
    failed: Counters,
}

/// Counters of the receivers; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    metric_points: Items,
    log_records: Items,
    spans: Items,
    requests: Family<DoorOutcome, Counter>,
}

impl Metrics {
    /// Puts the counters into a registry, from zero.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let signals = [
            ("spans", &metrics.spans),
            ("metric_points", &metrics.metric_points),
            ("log_records", &metrics.log_records),
        ];
        for (noun, items) in signals {
            let states = [
                ("accepted", "were written", &items.accepted),
                (
                    "refused",
                    "were not written: invalid, over a limit, or of a tenant that was refused",
                    &items.refused,
                ),
                ("failed", "were not written because of a fault of the server", &items.failed),
            ];
            for (state, fate, family) in states {
                let help = format!("Number of {} that {fate}", noun.replace('_', " "));
                registry.register(format!("otelcol_receiver_{state}_{noun}"), help, family.clone());
            }
        }
        registry.register(
            "otelcol_receiver_requests",
            "Number of requests by what became of them",
            metrics.requests.clone(),
        );
        metrics.begin();
        metrics
    }

    /// Makes the series of every door, so that a rate is right from the first item on.
    fn begin(&self) {
        let doors: [(Door, &[Signal]); 4] = [
            (OTLP_GRPC, &Signal::ALL),
            (OTLP_HTTP, &Signal::ALL),
            (REMOTE_WRITE, &[Signal::Metrics]),
            (LOKI_PUSH, &[Signal::Logs]),
        ];
        for (door, signals) in doors {
            for signal in signals {
                let items = self.items(*signal);
                for family in [&items.accepted, &items.refused, &items.failed] {
                    drop(family.get_or_create(&door));
                }
            }
        }
    }

    pub(crate) fn request(&self, door: Door, outcome: Outcome) {
        let labels =
            DoorOutcome { receiver: door.receiver, transport: door.transport, outcome: outcome.as_str() };
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn accepted(&self, door: Door, signal: Signal, items: usize) {
        self.items(signal).accepted.get_or_create(&door).inc_by(items as u64);
    }

    pub(crate) fn refused(&self, door: Door, signal: Signal, items: usize) {
        self.items(signal).refused.get_or_create(&door).inc_by(items as u64);
    }

    pub(crate) fn failed(&self, door: Door, signal: Signal, items: usize) {
        self.items(signal).failed.get_or_create(&door).inc_by(items as u64);
    }

    const fn items(&self, signal: Signal) -> &Items {
        match signal {
            Signal::Metrics => &self.metric_points,
            Signal::Logs => &self.log_records,
            Signal::Traces => &self.spans,
        }
    }
}
