//! `metrics-overrides.yaml`: the shape of Loki's file with limits of samples, named as Loki and Mimir name them.

use model::Signal;

use super::{Key, Keys, Slot, Without, key, with};

pub(in crate::overrides) const KEYS: Keys = Keys {
    file: "metrics-overrides.yaml",
    signal: Signal::Metrics,
    sections: &[],
    set: &SET,
    without: &WITHOUT,
};

const SET: [Key; 18] = [
    key("ingestion_rate", Slot::RateItems(|l| &mut l.metrics.intake.rate_per_s), "samples a second"),
    key(
        "ingestion_burst_size",
        Slot::RateItems(|l| &mut l.metrics.intake.burst),
        "samples at once; 1.5 times the rate",
    ),
    with(
        &["max_series_per_user"],
        key(
            "max_global_series_per_user",
            Slot::MaxActive(|l| &mut l.metrics.intake.max_active),
            "series written lately",
        ),
    ),
    key("max_label_names_per_series", Slot::Count(|l| &mut l.metrics.labels.max_names), "labels of a series"),
    key(
        "max_label_name_length",
        Slot::Bytes(|l| &mut l.metrics.labels.max_name_bytes),
        "length of a label's name",
    ),
    key(
        "max_label_value_length",
        Slot::Bytes(|l| &mut l.metrics.labels.max_value_bytes),
        "length of a label's value",
    ),
    key(
        "reject_old_samples_max_age",
        Slot::MaxDuration(|l| &mut l.metrics.intake.reject_older_than_ns),
        "age of a sample",
    ),
    key("reject_old_samples", Slot::RejectOld(Signal::Metrics), "older samples are rejected"),
    key(
        "creation_grace_period",
        Slot::Duration(|l| &mut l.metrics.intake.reject_ahead_ns),
        "ahead of the clock",
    ),
    key("max_query_samples", Slot::Count(|l| &mut l.metrics.max_query_samples), "samples that a query loads"),
    key("max_query_series", Slot::MaxCount(|l| &mut l.metrics.query.max_series), "series of an answer"),
    key(
        "max_query_length",
        Slot::MaxDuration(|l| &mut l.metrics.query.max_length_ns),
        "start to end of a query",
    ),
    key(
        "max_query_lookback",
        Slot::MaxDuration(|l| &mut l.metrics.query.max_lookback_ns),
        "older data is not seen",
    ),
    key("query_timeout", Slot::Time(|l| &mut l.metrics.query.timeout_ns), "time of a query"),
    key("max_query_parallelism", Slot::MaxCount(|l| &mut l.metrics.query.max_concurrent), "queries at once"),
    key(
        "max_query_bytes_read",
        Slot::MaxBytes(|l| &mut l.metrics.query.max_bytes_read),
        "bytes a query reads",
    ),
    key("retention_period", Slot::MaxDuration(|l| &mut l.retention.metrics_ns), "samples are kept so long"),
    key("retention_stream", Slot::KeepRules(Signal::Metrics), "series that are kept for other periods"),
];

const WITHOUT: [Without; 0] = [];
