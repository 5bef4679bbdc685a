//! What files say, in the originals' formats, and what of it has no effect.

use model::Signal;
use model::limits::Rate;
use model::time::NS_PER_S;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::super::keys::{FILES, logs, metrics, traces};
use super::*;

const MINUTE_NS: i64 = 60 * NS_PER_S;

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn limits(file: &File, name: &str) -> Limits {
    let mut limits = Limits::default();
    file.settings(Some(&tenant(name))).for_each(|setting| setting.apply(&mut limits));
    limits
}

fn warnings(file: &File) -> Vec<(u64, bool, &str)> {
    file.warnings.iter().map(|w| (w.problem.line, w.is_known, w.problem.message.as_str())).collect()
}

fn problems(keys: &'static Keys, text: &str) -> Vec<String> {
    File::parse(keys, text).err().unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn lokis_file() {
    let text = "overrides:
  \"*\":
    ingestion_rate_mb: 8
    retention_period: 30d
  \"acme\":
    ingestion_burst_size_mb: 1.5
    max_global_streams_per_user: 100
    reject_old_samples: true
    reject_old_samples_max_age: 2h
    creation_grace_period: 1m
    max_line_size: 4KB
    max_line_size_truncate: true
    max_line_size_truncate_identifier: \"...\"
    max_query_length: 30d1h
    max_entries_limit_per_query: 100
    retention_period: 90m
    per_stream_rate_limit: 3MB
    bloom_creation_enabled: true
    retention_strem: []
  globex:
    reject_old_samples: true
    max_query_series: 0
";
    let file = File::parse(&logs::KEYS, text).unwrap();
    let acme = limits(&file, "acme");
    assert_eq!(acme.logs.intake.rate(), Some(Rate { per_s: 8 << 20, burst: 3 << 19 }));
    assert_eq!(acme.logs.intake.max_active, Some(100));
    assert_eq!(acme.logs.intake.reject_older_than_ns, Some(120 * MINUTE_NS));
    assert_eq!(acme.logs.intake.reject_ahead_ns, MINUTE_NS);
    assert_eq!((acme.logs.max_line_bytes, acme.logs.truncates_lines), (4 << 10, true));
    assert_eq!(&*acme.logs.truncation_mark, "...");
    assert_eq!(acme.logs.query.max_length_ns, Some(721 * 60 * MINUTE_NS));
    assert_eq!(acme.logs.max_query_entries, 100);
    assert_eq!(acme.retention.of(Signal::Logs), Some(90 * MINUTE_NS));
    assert_eq!(acme.retention.of(Signal::Metrics), Limits::default().retention.of(Signal::Metrics));
    let globex = limits(&file, "globex");
    assert_eq!(globex.logs.intake.rate().unwrap().burst, 12 << 20, "one and a half times the rate");
    assert_eq!(globex.logs.intake.reject_older_than_ns, Some(7 * 24 * 60 * MINUTE_NS));
    assert_eq!(globex.logs.query.max_series, None);
    assert_eq!(globex.retention.of(Signal::Logs), Some(30 * 24 * 60 * MINUTE_NS));
    let warned = warnings(&file);
    assert_eq!(
        warned.iter().map(|(line, known, _)| (*line, *known)).collect::<Vec<_>>(),
        [(17, true), (18, true), (19, false)]
    );
    assert!(warned[0].2.starts_with("`per_stream_rate_limit` has no effect: "), "{warned:?}");
    assert_eq!(warned[2].2, "unknown key `retention_strem`");
}

#[test]
fn tempos_file_in_both_formats() {
    let nested = "overrides:
  acme:
    ingestion:
      rate_limit_bytes: 15000000
      burst_size_bytes: 20MB
      max_traces_per_user: 50
      artificial_delay: 1s
    global:
      max_bytes_per_trace: 5MB
    compaction:
      block_retention: 48h
    read:
      max_search_duration: 0s
    metrics_generator:
      processors: [service-graphs]
";
    let flat = "overrides:
  acme:
    ingestion_rate_limit_bytes: 15000000
    ingestion_burst_size_bytes: 20MB
    max_traces_per_user: 50
    ingestion_artificial_delay: 1s
    max_bytes_per_trace: 5MB
    block_retention: 48h
    max_search_duration: 0s
    metrics_generator_processors: [service-graphs]
    cost_attribution: { max_cardinality: 10 }
";
    let [nested, flat] = [nested, flat].map(|text| File::parse(&traces::KEYS, text).unwrap());
    let acme = limits(&nested, "acme");
    assert_eq!(acme, limits(&flat, "acme"));
    assert_eq!(acme.traces.intake.rate(), Some(Rate { per_s: 15_000_000, burst: 20 << 20 }));
    assert_eq!(acme.traces.max_trace_bytes, Some(5 << 20));
    assert_eq!(acme.traces.intake.max_active, Some(50));
    assert_eq!(acme.retention.traces_ns, Some(48 * 60 * MINUTE_NS));
    assert_eq!(acme.traces.query.max_length_ns, None);
    let lines =
        |file: &File| warnings(file).iter().map(|(line, known, _)| (*line, *known)).collect::<Vec<_>>();
    assert_eq!(lines(&nested), [(7, true), (15, true)]);
    assert_eq!(lines(&flat), [(6, true), (10, true), (11, true)], "the last is in both formats");
    let mixed = "overrides:\n  a:\n    block_retention: 1h\n    read: { max_search_duration: 1h }\n";
    let mixed = File::parse(&traces::KEYS, mixed).unwrap();
    assert!(warnings(&mixed)[0].2.contains("mixes"), "{:?}", warnings(&mixed));
}

#[test]
fn the_file_of_metrics() {
    let text =
        "overrides:\n  acme: { ingestion_rate: 1000, ingestion_burst_size: 5000, max_series_per_user: 10 }\n";
    let acme = limits(&File::parse(&metrics::KEYS, text).unwrap(), "acme");
    assert_eq!(acme.metrics.intake.rate(), Some(Rate { per_s: 1_000, burst: 5_000 }));
    assert_eq!(acme.metrics.intake.max_active, Some(10));
}

#[test]
fn of_two_limits_of_the_same_the_lower_holds_and_zero_is_none() {
    let streams = |text: &str| {
        let file = File::parse(&logs::KEYS, &format!("overrides:\n  a: {{ {text} }}\n")).unwrap();
        limits(&file, "a").logs.intake.max_active
    };
    let (local, global) = ("max_streams_per_user", "max_global_streams_per_user");
    assert_eq!(streams(&format!("{global}: 5000, {local}: 0")), Some(5_000));
    assert_eq!(streams(&format!("{local}: 70, {global}: 5000")), Some(70));
    assert_eq!(streams(&format!("{local}: 70, {global}: 0")), Some(70));
    assert_eq!(streams(&format!("{local}: 0")), None);
    let flat = "overrides:\n  a: { max_global_traces_per_user: 7, max_traces_per_user: 9 }\n";
    let file = File::parse(&traces::KEYS, flat).unwrap();
    assert_eq!(limits(&file, "a").traces.intake.max_active, Some(7));
    let none = "overrides:\n  a: { max_line_size: 0, max_label_names_per_series: 0 }\n";
    let limits = limits(&File::parse(&logs::KEYS, none).unwrap(), "a");
    assert_eq!((limits.logs.max_line_bytes, limits.logs.labels.max_names), (usize::MAX, usize::MAX));
    assert!(problems(&logs::KEYS, "overrides:\n  a: { query_timeout: 0s }\n")[0].contains("cannot be zero"));
}

#[test]
fn what_cannot_be_is_named_with_its_line() {
    let text = "overrides:
  a/b: {}
  acme:
    retention_period: 30 days
    max_line_size: -1
  globex: 7
";
    let problems = problems(&logs::KEYS, text);
    assert_eq!(problems.len(), 4, "{problems:?}");
    for (problem, words) in problems.iter().zip([
        ["line 2", "a/b"],
        ["line 4", "retention_period: \"30 days\" is no duration"],
        ["line 5", "max_line_size: -1 is no size"],
        ["line 6", "globex"],
    ]) {
        assert!(words.iter().all(|word| problem.contains(word)), "{problem}: {words:?}");
    }
    assert!(self::problems(&logs::KEYS, "overrides: [\n")[0].starts_with("line "));
    assert!(self::problems(&logs::KEYS, "- a\n")[0].contains("map with `overrides`"));
}

#[test]
fn empty_files_and_entries_set_nothing() {
    for text in ["", "\n", "overrides:\n", "overrides: {}\n", "overrides:\n  acme:\n"] {
        let file = File::parse(&logs::KEYS, text).unwrap();
        assert_eq!(limits(&file, "acme"), Limits::default(), "{text:?}");
        assert!(file.warnings.is_empty());
    }
    let file = File::parse(&logs::KEYS, "configs: {}\noverides: {}\n").unwrap();
    assert_eq!(warnings(&file).iter().map(|w| (w.0, w.1)).collect::<Vec<_>>(), [(1, true), (2, false)]);
}

/// The keys that the references of Loki and Tempo name.
const LOKI: &str = "ingestion_rate_strategy ingestion_rate_mb ingestion_burst_size_mb max_line_size \
    max_line_size_truncate max_line_size_truncate_identifier max_label_name_length max_label_value_length \
    max_label_names_per_series reject_old_samples reject_old_samples_max_age creation_grace_period \
    increment_duplicate_timestamp use_owned_stream_count max_streams_per_user max_global_streams_per_user \
    per_stream_rate_limit per_stream_rate_limit_burst shard_streams enforced_labels policy_enforced_labels \
    policy_stream_mapping policy_override_limits block_ingestion_until block_ingestion_status_code \
    block_ingestion_policy_until simulated_push_latency ingestion_partitions_tenant_shard_size \
    allow_structured_metadata max_structured_metadata_size max_structured_metadata_entries_count otlp_config \
    discover_service_name discover_log_levels log_level_fields log_level_from_json_max_depth \
    discover_generic_fields max_entries_limit_per_query max_query_series max_query_length max_query_range \
    max_query_lookback query_timeout max_query_parallelism tsdb_max_query_parallelism tsdb_max_bytes_per_shard \
    tsdb_sharding_strategy tsdb_precompute_chunks max_chunks_per_query max_streams_matchers_per_query \
    cardinality_limit max_concurrent_tail_requests max_query_bytes_read max_querier_bytes_read \
    split_queries_by_interval split_metadata_queries_by_interval split_recent_metadata_queries_by_interval \
    recent_metadata_query_window split_instant_metric_queries_by_interval split_ingester_queries_by_interval \
    min_sharding_lookback max_cache_freshness_per_query max_metadata_cache_freshness max_stats_cache_freshness \
    max_queriers_per_tenant max_query_capacity query_ready_index_num_days required_labels minimum_labels_number \
    blocked_queries volume_enabled volume_max_series shard_aggregations retention_period retention_stream \
    deletion_mode ruler_max_rules_per_rule_group ruler_remote_write_config pattern_rate_threshold \
    pattern_ingester_tokenizable_json_fields_append metric_aggregation_enabled pattern_persistence_enabled \
    bloom_creation_enabled dataobj_x index_gateway_x s3_sse_type debug_engine_x";

const TEMPO: &str = "ingestion.rate_strategy ingestion.rate_limit_bytes ingestion.burst_size_bytes \
    ingestion.max_traces_per_user ingestion.max_global_traces_per_user ingestion.tenant_shard_size \
    ingestion.max_attribute_bytes ingestion.artificial_delay ingestion.retry_info_enabled \
    read.max_bytes_per_tag_values_query read.max_blocks_per_tag_values_query read.max_condition_groups_per_tag_query \
    read.max_search_duration read.max_metrics_duration read.unsafe_query_hints read.left_pad_trace_ids \
    read.metrics_spanonly_fetch read.span_pruning_awareness read.span_pruning_enabled read.engine_bytes_tracking \
    compaction.block_retention compaction.compaction_window compaction.compaction_disabled \
    metrics_generator.ring_size metrics_generator.processor forwarders global.max_bytes_per_trace \
    storage.parquet_dedicated_columns cost_attribution.dimensions \
    ingestion_rate_strategy ingestion_rate_limit_bytes ingestion_burst_size_bytes ingestion_max_attribute_bytes \
    ingestion_tenant_shard_size ingestion_artificial_delay ingestion_retry_info_enabled max_traces_per_user \
    max_global_traces_per_user max_bytes_per_trace max_search_duration max_metrics_duration \
    max_bytes_per_tag_values_query max_blocks_per_tag_values_query max_condition_groups_per_tag_query \
    block_retention compaction_window compaction_disabled unsafe_query_hints left_pad_trace_ids \
    parquet_dedicated_columns cost_attribution metrics_generator_processors \
    metrics_generator_processor_span_metrics_dimensions";

#[test]
fn every_key_of_the_originals_is_honoured_or_known_to_have_no_effect() {
    for (keys, names) in [(&logs::KEYS, LOKI), (&traces::KEYS, TEMPO)] {
        for name in names.split_whitespace() {
            let is_known = keys.key(name).is_some() != keys.without(name).is_some();
            assert!(is_known, "{}: {name}", keys.file);
        }
    }
}

#[test]
fn no_two_keys_have_one_name() {
    for keys in FILES {
        let names: Vec<&str> = keys
            .set
            .iter()
            .flat_map(|key| [key.name].into_iter().chain(key.flat).chain(key.further.iter().copied()))
            .collect();
        let distinct: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), distinct.len(), "{}", keys.file);
    }
}

#[test]
fn damaged_files_are_named_and_never_panic() {
    let good = "overrides:\n  \"*\": { retention_period: 30d }\n  acme:\n    ingestion_rate_mb: 1.5\n    max_line_size: 4KB\n    \
                reject_old_samples: true\n    ingestion: { rate_limit_bytes: 15000000 }\n    read:\n      - x\n";
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..2_000 {
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..3) {
                0 => bytes[at] = random.random_range(0..=255),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, *b"{}[]:-&*!|>'\"\n #".choose(&mut random).unwrap()),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        for keys in FILES {
            if let Ok(file) = File::parse(keys, &text) {
                limits(&file, "acme");
            }
        }
    }
}
