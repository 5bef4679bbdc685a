//! `loki-overrides.yaml`, as Loki's `limits_config` and runtime configuration have it.

use model::Signal;

use super::{Key, Keys, Slot, Without, key, with};

pub(in crate::overrides) const KEYS: Keys =
    Keys { file: "loki-overrides.yaml", signal: Signal::Logs, sections: &[], set: &SET, without: &WITHOUT };

const SET: [Key; 26] = [
    key(
        "ingestion_rate_mb",
        Slot::Megabytes(|l| &mut l.logs.intake.rate_per_s),
        "MB a second of lines and metadata",
    ),
    key(
        "ingestion_burst_size_mb",
        Slot::Megabytes(|l| &mut l.logs.intake.burst),
        "MB at once; 1.5 times the rate",
    ),
    with(
        &["max_streams_per_user"],
        key(
            "max_global_streams_per_user",
            Slot::MaxActive(|l| &mut l.logs.intake.max_active),
            "streams written lately",
        ),
    ),
    key("max_line_size", Slot::Bytes(|l| &mut l.logs.max_line_bytes), "length of a line"),
    key(
        "max_line_size_truncate",
        Slot::Flag(|l| &mut l.logs.truncates_lines),
        "longer lines are cut, not rejected",
    ),
    key(
        "max_line_size_truncate_identifier",
        Slot::Text(|l| &mut l.logs.truncation_mark),
        "the end of a cut line",
    ),
    key("max_label_names_per_series", Slot::Count(|l| &mut l.logs.labels.max_names), "labels of a stream"),
    key(
        "max_label_name_length",
        Slot::Bytes(|l| &mut l.logs.labels.max_name_bytes),
        "length of a label's name",
    ),
    key(
        "max_label_value_length",
        Slot::Bytes(|l| &mut l.logs.labels.max_value_bytes),
        "length of a label's value",
    ),
    key(
        "reject_old_samples_max_age",
        Slot::MaxDuration(|l| &mut l.logs.intake.reject_older_than_ns),
        "age of a line",
    ),
    key("reject_old_samples", Slot::RejectOld(Signal::Logs), "older lines are rejected"),
    key(
        "creation_grace_period",
        Slot::Duration(|l| &mut l.logs.intake.reject_ahead_ns),
        "ahead of the clock",
    ),
    key("allow_structured_metadata", Slot::Flag(|l| &mut l.logs.allows_metadata), "lines may have metadata"),
    key(
        "max_structured_metadata_size",
        Slot::Bytes(|l| &mut l.logs.max_metadata_bytes),
        "metadata of a line",
    ),
    key(
        "max_structured_metadata_entries_count",
        Slot::Count(|l| &mut l.logs.max_metadata_pairs),
        "pairs of metadata of a line",
    ),
    key("max_entries_limit_per_query", Slot::Count(|l| &mut l.logs.max_query_entries), "lines of an answer"),
    key("max_query_series", Slot::MaxCount(|l| &mut l.logs.query.max_series), "series of an answer"),
    key(
        "max_query_length",
        Slot::MaxDuration(|l| &mut l.logs.query.max_length_ns),
        "start to end of a query",
    ),
    key(
        "max_query_lookback",
        Slot::MaxDuration(|l| &mut l.logs.query.max_lookback_ns),
        "older data is not seen",
    ),
    key("query_timeout", Slot::Time(|l| &mut l.logs.query.timeout_ns), "time of a query"),
    key("max_query_parallelism", Slot::MaxCount(|l| &mut l.logs.query.max_concurrent), "queries at once"),
    with(
        &["max_querier_bytes_read"],
        key(
            "max_query_bytes_read",
            Slot::MaxBytes(|l| &mut l.logs.query.max_bytes_read),
            "bytes a query reads",
        ),
    ),
    key("max_concurrent_tail_requests", Slot::MaxCount(|l| &mut l.logs.max_tails), "tails at once"),
    key("deletion_mode", Slot::Deletions(|l| &mut l.logs.deletions), "lines are deleted on request"),
    key("retention_period", Slot::MaxDuration(|l| &mut l.retention.logs_ns), "lines are kept so long"),
    key("retention_stream", Slot::KeepRules(Signal::Logs), "streams that are kept for other periods"),
];

const WITHOUT: [Without; 10] = [
    Without {
        names: &["policy_*", "enforced_labels", "block_ingestion_policy_until"],
        why: "streams have no policies and no labels that they must have: the limits of the whole tenant are enforced",
    },
    Without {
        names: &["block_ingestion_*"],
        why: "nobody's lines are refused until a moment: take away the scope, or set ingestion_rate_mb",
    },
    Without {
        names: &[
            "ingestion_rate_strategy",
            "ingestion_partitions_tenant_shard_size",
            "use_owned_stream_count",
            "per_stream_rate_limit",
            "per_stream_rate_limit_burst",
            "shard_streams",
            "simulated_push_latency",
        ],
        why: "streams are not split among processes, the rate is the tenant's",
    },
    Without {
        names: &["increment_duplicate_timestamp"],
        why: "lines of one moment are all kept, identical ones once",
    },
    Without {
        names: &["otlp_config", "discover_*", "log_level_*"],
        why: "OTLP is mapped in the same way for every tenant",
    },
    Without {
        names: &[
            "max_query_range",
            "max_chunks_per_query",
            "max_streams_matchers_per_query",
            "cardinality_limit",
            "tsdb_*",
            "split_*",
            "recent_metadata_query_window",
            "min_sharding_lookback",
            "max_cache_freshness_per_query",
            "max_metadata_cache_freshness",
            "max_stats_cache_freshness",
            "max_queriers_per_tenant",
            "max_query_capacity",
            "query_ready_index_num_days",
            "shard_aggregations",
        ],
        why: "queries are not split among processes; their memory, time, bytes and number are bounded",
    },
    Without {
        names: &["required_labels", "minimum_labels_number", "blocked_queries"],
        why: "queries are not refused by their text",
    },
    Without { names: &["volume_*"], why: "there is no volume API here" },
    Without {
        names: &["ruler_*", "pattern_*", "metric_aggregation_enabled"],
        why: "there are no rules and patterns here",
    },
    Without {
        names: &["bloom_*", "dataobj_*", "index_gateway_*", "s3_sse_*", "debug_engine_*"],
        why: "it is about parts of Loki that are not here",
    },
];
