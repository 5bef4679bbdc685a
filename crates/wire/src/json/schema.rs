//! What the JSON mapping must know of each message: names, numbers and kinds of its fields. One table
//! serves both directions. The messages themselves are prost's; a test holds the two together.
//!
//! Source: opentelemetry-proto 1.x, `opentelemetry/proto/**`, and `tempopb/tempo.proto` of Tempo.

/// A message: its name for errors, and its fields in the order in which JSON shows them.
pub(crate) struct Schema {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
}

/// A field of a message.
pub(crate) struct Field {
    /// The name in lowerCamelCase, as JSON writes it.
    pub(crate) name: &'static str,
    /// The number on the wire.
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) is_repeated: bool,
}

/// How a value looks on the wire and in JSON.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    String,
    /// Base64 in JSON.
    Bytes,
    /// A trace or span id: bytes on the wire; hex in OTLP's JSON, base64 in Tempo's.
    Id,
    Bool,
    Uint32,
    Int32,
    Sint32,
    Fixed32,
    Uint64,
    Int64,
    Fixed64,
    Sfixed64,
    Double,
    /// The names in the order of their numbers, from 0.
    Enum(&'static [&'static str]),
    Message(&'static Schema),
}

const fn one(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, is_repeated: false }
}

const fn many(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind, is_repeated: true }
}

const fn message(name: &'static str, fields: &'static [Field]) -> Schema {
    Schema { name, fields }
}

use Kind::{
    Bool, Bytes, Double, Enum, Fixed32, Fixed64, Id, Int32, Int64, Message, Sfixed64, Sint32, String, Uint32,
    Uint64,
};

// Common.

static ANY_VALUE: Schema = message(
    "AnyValue",
    &[
        one("stringValue", 1, String),
        one("boolValue", 2, Bool),
        one("intValue", 3, Int64),
        one("doubleValue", 4, Double),
        one("arrayValue", 5, Message(&ARRAY_VALUE)),
        one("kvlistValue", 6, Message(&KEY_VALUE_LIST)),
        one("bytesValue", 7, Bytes),
    ],
);
static ARRAY_VALUE: Schema = message("ArrayValue", &[many("values", 1, Message(&ANY_VALUE))]);
static KEY_VALUE_LIST: Schema = message("KeyValueList", &[many("values", 1, Message(&KEY_VALUE))]);
static KEY_VALUE: Schema =
    message("KeyValue", &[one("key", 1, String), one("value", 2, Message(&ANY_VALUE))]);
static SCOPE: Schema = message(
    "InstrumentationScope",
    &[
        one("name", 1, String),
        one("version", 2, String),
        many("attributes", 3, Message(&KEY_VALUE)),
        one("droppedAttributesCount", 4, Uint32),
    ],
);
static ENTITY_REF: Schema = message(
    "EntityRef",
    &[
        one("schemaUrl", 1, String),
        one("type", 2, String),
        many("idKeys", 3, String),
        many("descriptionKeys", 4, String),
    ],
);
static RESOURCE: Schema = message(
    "Resource",
    &[
        many("attributes", 1, Message(&KEY_VALUE)),
        one("droppedAttributesCount", 2, Uint32),
        many("entityRefs", 3, Message(&ENTITY_REF)),
    ],
);

// Logs.

const SEVERITIES: &[&str] = &[
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
];
static LOG_RECORD: Schema = message(
    "LogRecord",
    &[
        one("timeUnixNano", 1, Fixed64),
        one("observedTimeUnixNano", 11, Fixed64),
        one("severityNumber", 2, Enum(SEVERITIES)),
        one("severityText", 3, String),
        one("body", 5, Message(&ANY_VALUE)),
        many("attributes", 6, Message(&KEY_VALUE)),
        one("droppedAttributesCount", 7, Uint32),
        one("flags", 8, Fixed32),
        one("traceId", 9, Id),
        one("spanId", 10, Id),
        one("eventName", 12, String),
    ],
);
static SCOPE_LOGS: Schema = message(
    "ScopeLogs",
    &[
        one("scope", 1, Message(&SCOPE)),
        many("logRecords", 2, Message(&LOG_RECORD)),
        one("schemaUrl", 3, String),
    ],
);
static RESOURCE_LOGS: Schema = message(
    "ResourceLogs",
    &[
        one("resource", 1, Message(&RESOURCE)),
        many("scopeLogs", 2, Message(&SCOPE_LOGS)),
        one("schemaUrl", 3, String),
    ],
);
/// `opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest`.
pub(crate) static LOGS_REQUEST: Schema =
    message("ExportLogsServiceRequest", &[many("resourceLogs", 1, Message(&RESOURCE_LOGS))]);
static LOGS_PARTIAL: Schema = message(
    "ExportLogsPartialSuccess",
    &[one("rejectedLogRecords", 1, Int64), one("errorMessage", 2, String)],
);
/// `opentelemetry.proto.collector.logs.v1.ExportLogsServiceResponse`.
pub(crate) static LOGS_RESPONSE: Schema =
    message("ExportLogsServiceResponse", &[one("partialSuccess", 1, Message(&LOGS_PARTIAL))]);

// Traces.

const SPAN_KINDS: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const STATUS_CODES: &[&str] = &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
static EVENT: Schema = message(
    "Event",
    &[
        one("timeUnixNano", 1, Fixed64),
        one("name", 2, String),
        many("attributes", 3, Message(&KEY_VALUE)),
        one("droppedAttributesCount", 4, Uint32),
    ],
);
static LINK: Schema = message(
    "Link",
    &[
        one("traceId", 1, Id),
        one("spanId", 2, Id),
        one("traceState", 3, String),
        many("attributes", 4, Message(&KEY_VALUE)),
        one("droppedAttributesCount", 5, Uint32),
        one("flags", 6, Fixed32),
    ],
);
static SPAN_STATUS: Schema =
    message("Status", &[one("message", 2, String), one("code", 3, Enum(STATUS_CODES))]);
static SPAN: Schema = message(
    "Span",
    &[
        one("traceId", 1, Id),
        one("spanId", 2, Id),
        one("traceState", 3, String),
        one("parentSpanId", 4, Id),
        one("flags", 16, Fixed32),
        one("name", 5, String),
        one("kind", 6, Enum(SPAN_KINDS)),
        one("startTimeUnixNano", 7, Fixed64),
        one("endTimeUnixNano", 8, Fixed64),
        many("attributes", 9, Message(&KEY_VALUE)),
        one("droppedAttributesCount", 10, Uint32),
        many("events", 11, Message(&EVENT)),
        one("droppedEventsCount", 12, Uint32),
        many("links", 13, Message(&LINK)),
        one("droppedLinksCount", 14, Uint32),
        one("status", 15, Message(&SPAN_STATUS)),
    ],
);
static SCOPE_SPANS: Schema = message(
    "ScopeSpans",
    &[one("scope", 1, Message(&SCOPE)), many("spans", 2, Message(&SPAN)), one("schemaUrl", 3, String)],
);
static RESOURCE_SPANS: Schema = message(
    "ResourceSpans",
    &[
        one("resource", 1, Message(&RESOURCE)),
        many("scopeSpans", 2, Message(&SCOPE_SPANS)),
        one("schemaUrl", 3, String),
    ],
);
/// `opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest`.
pub(crate) static TRACE_REQUEST: Schema =
    message("ExportTraceServiceRequest", &[many("resourceSpans", 1, Message(&RESOURCE_SPANS))]);
static TRACE_PARTIAL: Schema =
    message("ExportTracePartialSuccess", &[one("rejectedSpans", 1, Int64), one("errorMessage", 2, String)]);
/// `opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse`.
pub(crate) static TRACE_RESPONSE: Schema =
    message("ExportTraceServiceResponse", &[one("partialSuccess", 1, Message(&TRACE_PARTIAL))]);

// Metrics.

const TEMPORALITIES: &[&str] = &[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
];
static EXEMPLAR: Schema = message(
    "Exemplar",
    &[
        many("filteredAttributes", 7, Message(&KEY_VALUE)),
        one("timeUnixNano", 2, Fixed64),
        one("asDouble", 3, Double),
        one("asInt", 6, Sfixed64),
        one("spanId", 4, Id),
        one("traceId", 5, Id),
    ],
);
static NUMBER_POINT: Schema = message(
    "NumberDataPoint",
    &[
        many("attributes", 7, Message(&KEY_VALUE)),
        one("startTimeUnixNano", 2, Fixed64),
        one("timeUnixNano", 3, Fixed64),
        one("asDouble", 4, Double),
        one("asInt", 6, Sfixed64),
        many("exemplars", 5, Message(&EXEMPLAR)),
        one("flags", 8, Uint32),
    ],
);
static HISTOGRAM_POINT: Schema = message(
    "HistogramDataPoint",
    &[
        many("attributes", 9, Message(&KEY_VALUE)),
        one("startTimeUnixNano", 2, Fixed64),
        one("timeUnixNano", 3, Fixed64),
        one("count", 4, Fixed64),
        one("sum", 5, Double),
        many("bucketCounts", 6, Fixed64),
        many("explicitBounds", 7, Double),
        many("exemplars", 8, Message(&EXEMPLAR)),
        one("flags", 10, Uint32),
        one("min", 11, Double),
        one("max", 12, Double),
    ],
);
static BUCKETS: Schema = message("Buckets", &[one("offset", 1, Sint32), many("bucketCounts", 2, Uint64)]);
static EXPONENTIAL_POINT: Schema = message(
    "ExponentialHistogramDataPoint",
    &[
        many("attributes", 1, Message(&KEY_VALUE)),
        one("startTimeUnixNano", 2, Fixed64),
        one("timeUnixNano", 3, Fixed64),
        one("count", 4, Fixed64),
        one("sum", 5, Double),
        one("scale", 6, Sint32),
        one("zeroCount", 7, Fixed64),
        one("positive", 8, Message(&BUCKETS)),
        one("negative", 9, Message(&BUCKETS)),
        one("flags", 10, Uint32),
        many("exemplars", 11, Message(&EXEMPLAR)),
        one("min", 12, Double),
        one("max", 13, Double),
        one("zeroThreshold", 14, Double),
    ],
);
static QUANTILE: Schema = message("ValueAtQuantile", &[one("quantile", 1, Double), one("value", 2, Double)]);
static SUMMARY_POINT: Schema = message(
    "SummaryDataPoint",
    &[
        many("attributes", 7, Message(&KEY_VALUE)),
        one("startTimeUnixNano", 2, Fixed64),
        one("timeUnixNano", 3, Fixed64),
        one("count", 4, Fixed64),
        one("sum", 5, Double),
        many("quantileValues", 6, Message(&QUANTILE)),
        one("flags", 8, Uint32),
    ],
);
static GAUGE: Schema = message("Gauge", &[many("dataPoints", 1, Message(&NUMBER_POINT))]);
static SUM: Schema = message(
    "Sum",
    &[
        many("dataPoints", 1, Message(&NUMBER_POINT)),
        one("aggregationTemporality", 2, Enum(TEMPORALITIES)),
        one("isMonotonic", 3, Bool),
    ],
);
static HISTOGRAM: Schema = message(
    "Histogram",
    &[
        many("dataPoints", 1, Message(&HISTOGRAM_POINT)),
        one("aggregationTemporality", 2, Enum(TEMPORALITIES)),
    ],
);
static EXPONENTIAL_HISTOGRAM: Schema = message(
    "ExponentialHistogram",
    &[
        many("dataPoints", 1, Message(&EXPONENTIAL_POINT)),
        one("aggregationTemporality", 2, Enum(TEMPORALITIES)),
    ],
);
static SUMMARY: Schema = message("Summary", &[many("dataPoints", 1, Message(&SUMMARY_POINT))]);
static METRIC: Schema = message(
    "Metric",
    &[
        one("name", 1, String),
        one("description", 2, String),
        one("unit", 3, String),
        one("gauge", 5, Message(&GAUGE)),
        one("sum", 7, Message(&SUM)),
        one("histogram", 9, Message(&HISTOGRAM)),
        one("exponentialHistogram", 10, Message(&EXPONENTIAL_HISTOGRAM)),
        one("summary", 11, Message(&SUMMARY)),
        many("metadata", 12, Message(&KEY_VALUE)),
    ],
);
static SCOPE_METRICS: Schema = message(
    "ScopeMetrics",
    &[one("scope", 1, Message(&SCOPE)), many("metrics", 2, Message(&METRIC)), one("schemaUrl", 3, String)],
);
static RESOURCE_METRICS: Schema = message(
    "ResourceMetrics",
    &[
        one("resource", 1, Message(&RESOURCE)),
        many("scopeMetrics", 2, Message(&SCOPE_METRICS)),
        one("schemaUrl", 3, String),
    ],
);
/// `opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest`.
pub(crate) static METRICS_REQUEST: Schema =
    message("ExportMetricsServiceRequest", &[many("resourceMetrics", 1, Message(&RESOURCE_METRICS))]);
static METRICS_PARTIAL: Schema = message(
    "ExportMetricsPartialSuccess",
    &[one("rejectedDataPoints", 1, Int64), one("errorMessage", 2, String)],
);
/// `opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceResponse`.
pub(crate) static METRICS_RESPONSE: Schema =
    message("ExportMetricsServiceResponse", &[one("partialSuccess", 1, Message(&METRICS_PARTIAL))]);

// Errors and Tempo's envelopes.

/// `google.rpc.Status`, without its details.
pub(crate) static RPC_STATUS: Schema = message("Status", &[one("code", 1, Int32), one("message", 2, String)]);
/// `tempopb.Trace` as the first version of Tempo's API names its field.
pub(crate) static TRACE_V1: Schema = message("Trace", &[many("batches", 1, Message(&RESOURCE_SPANS))]);
static TRACE_V2: Schema = message("Trace", &[many("resourceSpans", 1, Message(&RESOURCE_SPANS))]);
static TRACE_METRICS: Schema = message("TraceByIDMetrics", &[one("inspectedBytes", 1, Uint64)]);
/// `tempopb.TraceByIDResponse`, the answer of the second version of Tempo's API.
pub(crate) static TRACE_BY_ID_RESPONSE: Schema = message(
    "TraceByIDResponse",
    &[
        one("trace", 1, Message(&TRACE_V2)),
        one("metrics", 2, Message(&TRACE_METRICS)),
        one("status", 3, Enum(&["COMPLETE", "PARTIAL"])),
        one("message", 4, String),
    ],
);
