//! `tempo-overrides.yaml`, in Tempo's format with sections and in the earlier one without.

use model::Signal;

use super::{Key, Keys, Slot, Without, with};

pub(in crate::overrides) const KEYS: Keys = Keys {
    file: "tempo-overrides.yaml",
    signal: Signal::Traces,
    sections: &[
        "ingestion",
        "read",
        "compaction",
        "metrics_generator",
        "global",
        "storage",
        "cost_attribution",
    ],
    set: &SET,
    without: &WITHOUT,
};

const SET: [Key; 12] = [
    both(
        ["ingestion.rate_limit_bytes", "ingestion_rate_limit_bytes"],
        Slot::RateBytes(|l| &mut l.traces.intake.rate_per_s),
        "bytes a second",
    ),
    both(
        ["ingestion.burst_size_bytes", "ingestion_burst_size_bytes"],
        Slot::RateBytes(|l| &mut l.traces.intake.burst),
        "bytes at once; 1.5 times the rate",
    ),
    with(
        &["ingestion.max_traces_per_user", "max_traces_per_user"],
        both(
            ["ingestion.max_global_traces_per_user", "max_global_traces_per_user"],
            Slot::MaxActive(|l| &mut l.traces.intake.max_active),
            "traces written lately",
        ),
    ),
    both(
        ["ingestion.max_attribute_bytes", "ingestion_max_attribute_bytes"],
        Slot::Bytes(|l| &mut l.traces.max_attribute_bytes),
        "an attribute's value; longer text is cut",
    ),
    both(
        ["global.max_bytes_per_trace", "max_bytes_per_trace"],
        Slot::MaxBytes(|l| &mut l.traces.max_trace_bytes),
        "bytes of one trace while it is written",
    ),
    both(
        ["read.max_search_duration", "max_search_duration"],
        Slot::MaxDuration(|l| &mut l.traces.query.max_length_ns),
        "start to end of a search",
    ),
    both(
        ["read.max_search_lookback", "max_search_lookback"],
        Slot::MaxDuration(|l| &mut l.traces.query.max_lookback_ns),
        "older data is not seen",
    ),
    both(
        ["read.query_timeout", "query_timeout"],
        Slot::Time(|l| &mut l.traces.query.timeout_ns),
        "time of a search",
    ),
    both(
        ["read.max_concurrent_queries", "max_concurrent_queries"],
        Slot::MaxCount(|l| &mut l.traces.query.max_concurrent),
        "searches at once",
    ),
    both(
        ["read.max_query_bytes_read", "max_query_bytes_read"],
        Slot::MaxBytes(|l| &mut l.traces.query.max_bytes_read),
        "bytes a search reads",
    ),
    both(
        ["compaction.block_retention", "block_retention"],
        Slot::MaxDuration(|l| &mut l.retention.traces_ns),
        "spans are kept so long",
    ),
    both(
        ["compaction.retention_stream", "retention_stream"],
        Slot::KeepRules(Signal::Traces),
        "spans that are kept for other periods",
    ),
];

const fn both([name, flat]: [&'static str; 2], slot: Slot, about: &'static str) -> Key {
    Key { name, flat: Some(flat), further: &[], slot, about }
}

const WITHOUT: [Without; 6] = [
    Without {
        names: &[
            "ingestion.rate_strategy",
            "ingestion_rate_strategy",
            "ingestion.tenant_shard_size",
            "ingestion_tenant_shard_size",
            "ingestion.artificial_delay",
            "ingestion_artificial_delay",
            "ingestion.retry_info_enabled",
            "ingestion_retry_info_enabled",
        ],
        why: "traces are not split among processes, and writers over their rate are always told when to come back",
    },
    Without {
        names: &[
            "read.max_metrics_duration",
            "max_metrics_duration",
            "read.max_bytes_per_tag_values_query",
            "max_bytes_per_tag_values_query",
            "read.max_blocks_per_tag_values_query",
            "max_blocks_per_tag_values_query",
            "read.max_condition_groups_per_tag_query",
            "max_condition_groups_per_tag_query",
            "read.unsafe_query_hints",
            "unsafe_query_hints",
            "read.left_pad_trace_ids",
            "left_pad_trace_ids",
            "read.metrics_spanonly_fetch",
            "read.span_pruning_*",
            "read.engine_bytes_tracking",
        ],
        why: "queries are bounded by their memory and time, and trace ids are padded always",
    },
    Without {
        names: &[
            "compaction.compaction_window",
            "compaction_window",
            "compaction.compaction_disabled",
            "compaction_disabled",
        ],
        why: "segments of all tenants are merged in the same way",
    },
    Without {
        names: &["metrics_generator.*", "metrics_generator_*"],
        why: "no metrics are made of spans here",
    },
    Without { names: &["forwarders"], why: "spans are not sent on" },
    Without {
        names: &["storage.parquet_dedicated_columns", "parquet_dedicated_columns", "cost_attribution*"],
        why: "columns are the same for every tenant, and each tenant's use is counted as a whole",
    },
];
