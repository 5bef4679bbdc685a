//! What an operator may choose about the doors in. Data only: no clock, no store.

use crate::bounds;

/// All settings of this crate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Sizes.
    pub bodies: BodySettings,
    /// OTLP metrics to Prometheus series.
    pub otlp_metrics: OtlpMetricsSettings,
    /// OTLP and pushed logs to streams.
    pub logs: LogsSettings,
}

/// How large requests may be, in bytes: all of it follows from what they may hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodySettings {
    /// What all requests that are being worked on may hold: bodies, decoded and mapped.
    pub max_in_flight_bytes: usize,
}

impl BodySettings {
    /// What one request may hold, and all requests of one tenant together: others find some room.
    #[must_use]
    pub const fn max_request_bytes(&self) -> usize {
        self.max_in_flight_bytes / 4 * 3
    }

    /// One body as it arrives.
    #[must_use]
    pub fn max_body_bytes(&self) -> usize {
        bounds::MAX_BODY_BYTES.min(self.max_request_bytes() / 3)
    }

    /// One body after decompression; also the largest gRPC message.
    #[must_use]
    pub fn max_decoded_bytes(&self) -> usize {
        bounds::MAX_DECODED_BYTES.min(self.max_request_bytes() / 3)
    }
}

impl Default for BodySettings {
    fn default() -> Self {
        Self { max_in_flight_bytes: bounds::MAX_IN_FLIGHT_BYTES }
    }
}

/// How OTLP names become Prometheus names (`otlp.translation_strategy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TranslationStrategy {
    /// Letters, digits and `_` only; unit and type become suffixes.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Letters, digits and `_` only; no suffixes.
    UnderscoreEscapingWithoutSuffixes,
    /// Names as they are; unit and type become suffixes.
    NoUtf8EscapingWithSuffixes,
    /// Names as they are.
    NoTranslation,
}

impl TranslationStrategy {
    /// Whether characters outside Prometheus' classic alphabet become `_`.
    #[must_use]
    pub const fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    /// Whether unit and type become suffixes.
    #[must_use]
    pub const fn adds_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes)
    }
}

/// OTLP metrics to series; the keys are those of Prometheus' `otlp:` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtlpMetricsSettings {
    /// How names are translated.
    pub translation_strategy: TranslationStrategy,
    /// Resource attributes that every series of the resource carries as labels.
    pub promote_resource_attributes: Vec<String>,
    /// Whether all resource attributes are promoted, save the ignored ones.
    pub promote_all_resource_attributes: bool,
    /// Resource attributes that [`Self::promote_all_resource_attributes`] leaves out.
    pub ignore_resource_attributes: Vec<String>,
    /// Whether `target_info` repeats `service.name`, `service.namespace` and `service.instance.id`.
    pub keep_identifying_resource_attributes: bool,
    /// Whether the scope's name, version, schema URL and attributes become labels `otel_scope_*`.
    pub promote_scope_metadata: bool,
}

/// Lines to streams; the keys are those of Loki's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsSettings {
    /// Resource attributes that become labels of the stream; the others are structured metadata.
    pub index_resource_attributes: Vec<String>,
    /// Labels that may give `service_name` where the sender gives none, first match wins; empty adds none.
    pub discover_service_name: Vec<String>,
    /// Whether `detected_level` is added to the structured metadata.
    pub discover_log_levels: bool,
    /// Labels, structured metadata and fields of a line in which a level is looked for.
    pub log_level_fields: Vec<String>,
}

const INDEX_RESOURCE_ATTRIBUTES: [&str; 18] = [
    "cloud.availability_zone",
    "cloud.region",
    "container.name",
    "deployment.environment",
    "deployment.environment.name",
    "k8s.cluster.name",
    "k8s.container.name",
    "k8s.cronjob.name",
    "k8s.daemonset.name",
    "k8s.deployment.name",
    "k8s.job.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.replicaset.name",
    "k8s.statefulset.name",
    "service.instance.id",
    "service.name",
    "service.namespace",
];

const SERVICE_NAME_LABELS: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

const LEVEL_FIELDS: [&str; 8] =
    ["level", "detected_level", "severity", "severity_text", "severitytext", "lvl", "log.level", "log_level"];

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

impl Default for LogsSettings {
    fn default() -> Self {
        Self {
            index_resource_attributes: owned(&INDEX_RESOURCE_ATTRIBUTES),
            discover_service_name: owned(&SERVICE_NAME_LABELS),
            discover_log_levels: true,
            log_level_fields: owned(&LEVEL_FIELDS),
        }
    }
}
