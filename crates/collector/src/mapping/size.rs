//! How much memory a request takes once it is mapped, told before it is: rows carry what their resource, scope or
//! table of symbols says once, so that a small body may become a very large batch. Estimates, on the high side.

use prost::Message as _;
use wire::loki::{JsonPush, PushRequest};
use wire::otlp::common::{InstrumentationScope, KeyValue};
use wire::otlp::metrics::metric::Data;
use wire::otlp::metrics::{HistogramDataPoint, Metric, SummaryDataPoint};
use wire::otlp::{ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest};
use wire::remote_write::{v1, v2};

use super::families::Known;
use super::resource::is_identifying;
use crate::settings::{LogsSettings, OtlpMetricsSettings};

/// The fixed columns of a line and its level, in bytes.
const ENTRY_BYTES: usize = 128;

/// The fixed columns of a span, in bytes.
const SPAN_BYTES: usize = 256;

/// The fixed columns of a sample, in bytes.
const SAMPLE_BYTES: usize = 32;

/// A series' row and its place in the lookup, without its labels, in bytes.
const SERIES_BYTES: usize = 96;

/// Labels are held twice: as a row, and as the key of the lookup.
const COPIES_OF_LABELS: usize = 2;

fn scope_len(scope: Option<&InstrumentationScope>) -> usize {
    scope.map_or(0, prost::Message::encoded_len)
}

fn total(sizes: impl Iterator<Item = usize>) -> usize {
    sizes.fold(0, usize::saturating_add)
}

/// OTLP logs: each line carries the attributes of its resource that are no labels, and its scope's.
pub(crate) fn logs(request: &ExportLogsServiceRequest, settings: &LogsSettings) -> usize {
    total(request.resource_logs.iter().flat_map(|resource| {
        let attributes = resource.resource.as_ref().map_or(&[][..], |r| &r.attributes);
        let is_carried = |pair: &&KeyValue| !settings.index_resource_attributes.contains(&pair.key);
        let carried: usize = attributes.iter().filter(is_carried).map(KeyValue::encoded_len).sum();
        resource.scope_logs.iter().flat_map(move |scope| {
            let shared = ENTRY_BYTES + carried + scope_len(scope.scope.as_ref());
            scope.log_records.iter().map(move |record| shared + record.encoded_len())
        })
    }))
}

/// OTLP spans: each carries the attributes of its resource and of its scope.
pub(crate) fn traces(request: &ExportTraceServiceRequest) -> usize {
    total(request.resource_spans.iter().flat_map(|resource| {
        let carried = resource.resource.as_ref().map_or(0, prost::Message::encoded_len);
        resource.scope_spans.iter().flat_map(move |scope| {
            let shared = SPAN_BYTES + carried + scope_len(scope.scope.as_ref());
            scope.spans.iter().map(move |span| shared + span.encoded_len())
        })
    }))
}

/// OTLP metrics: each series carries identity, promoted attributes and help; a histogram is a series per bucket.
pub(crate) fn metrics(request: &ExportMetricsServiceRequest, settings: &OtlpMetricsSettings) -> usize {
    let promotes =
        settings.promote_all_resource_attributes || !settings.promote_resource_attributes.is_empty();
    total(request.resource_metrics.iter().flat_map(|resource| {
        let attributes = resource.resource.as_ref().map_or(&[][..], |r| &r.attributes);
        let is_carried = |pair: &&KeyValue| promotes || is_identifying(&pair.key);
        let carried: usize = attributes.iter().filter(is_carried).map(KeyValue::encoded_len).sum();
        resource.scope_metrics.iter().flat_map(move |scope| {
            let of_scope = if settings.promote_scope_metadata {
                scope_len(scope.scope.as_ref()) + scope.schema_url.len()
            } else {
                0
            };
            scope.metrics.iter().map(move |metric| metric_bytes(metric, carried + of_scope))
        })
    }))
}

fn metric_bytes(metric: &Metric, carried: usize) -> usize {
    let facts = metric.name.len() + metric.unit.len();
    let help = metric.description.len();
    let point = |attributes: &[KeyValue], series: usize, own: usize| {
        let labels = carried + facts + attributes.iter().map(KeyValue::encoded_len).sum::<usize>();
        let each = SERIES_BYTES + SAMPLE_BYTES + COPIES_OF_LABELS * labels + facts + help;
        series.saturating_mul(each).saturating_add(own)
    };
    let histogram = |p: &HistogramDataPoint| point(&p.attributes, p.bucket_counts.len() + 3, p.encoded_len());
    let summary = |p: &SummaryDataPoint| point(&p.attributes, p.quantile_values.len() + 2, p.encoded_len());
    match &metric.data {
        Some(Data::Gauge(data)) => {
            total(data.data_points.iter().map(|p| point(&p.attributes, 1, p.encoded_len())))
        }
        Some(Data::Sum(data)) => {
            total(data.data_points.iter().map(|p| point(&p.attributes, 1, p.encoded_len())))
        }
        Some(Data::ExponentialHistogram(data)) => {
            total(data.data_points.iter().map(|p| point(&p.attributes, 1, p.encoded_len())))
        }
        Some(Data::Histogram(data)) => total(data.data_points.iter().map(histogram)),
        Some(Data::Summary(data)) => total(data.data_points.iter().map(summary)),
        None => 0,
    }
}

/// Remote write 1.0: each series carries its family's help.
pub(crate) fn remote_write_v1(request: &v1::WriteRequest, known: &Known) -> usize {
    total(request.timeseries.iter().map(|of| {
        let labels: usize = of.labels.iter().map(|label| label.name.len() + label.value.len()).sum();
        let name = of.labels.iter().find(|label| label.name == model::labels::METRIC_NAME);
        let info = name.map(|label| known.info(&label.value)).unwrap_or_default();
        let histograms: usize = of.histograms.iter().map(prost::Message::encoded_len).sum();
        let exemplars: usize = of.exemplars.iter().map(prost::Message::encoded_len).sum();
        SERIES_BYTES
            + COPIES_OF_LABELS * labels
            + info.help.len()
            + info.unit.len()
            + SAMPLE_BYTES * (of.samples.len() + of.histograms.len() + of.exemplars.len())
            + histograms
            + exemplars
    }))
}

/// Remote write 2.0: each series carries the symbols that it refers to. References that point nowhere count nothing.
pub(crate) fn remote_write_v2(request: &v2::Request, known: &Known) -> usize {
    let symbol = |reference: u32| request.symbol(reference).map_or(0, str::len);
    let symbols = |references: &[u32]| total(references.iter().map(|reference| symbol(*reference)));
    total(request.timeseries.iter().map(|of| {
        let pairs = request.labels(&of.labels_refs).unwrap_or_default();
        let name = pairs.iter().find(|(name, _)| *name == model::labels::METRIC_NAME);
        let info = name.map(|(_, name)| known.info(name)).unwrap_or_default();
        let told = of.metadata.as_ref().map_or(0, |m| symbol(m.help_ref).saturating_add(symbol(m.unit_ref)));
        let exemplars = total(of.exemplars.iter().map(|exemplar| symbols(&exemplar.labels_refs)));
        let histograms: usize = of.histograms.iter().map(prost::Message::encoded_len).sum();
        symbols(&of.labels_refs)
            .saturating_mul(COPIES_OF_LABELS)
            .saturating_add(told.max(info.help.len() + info.unit.len()))
            .saturating_add(exemplars)
            .saturating_add(histograms)
            .saturating_add(SERIES_BYTES)
            .saturating_add(SAMPLE_BYTES * (of.samples.len() + of.histograms.len() + of.exemplars.len()))
    }))
}

/// A Loki push in protobuf: nothing is repeated, but short lines have their columns too.
pub(crate) fn push(request: &PushRequest) -> usize {
    let entries = request.streams.iter().flat_map(|stream| &stream.entries);
    total(entries.map(|entry| ENTRY_BYTES + entry.encoded_len()))
}

/// A Loki push in JSON, as [`push`].
pub(crate) fn json_push(request: &JsonPush) -> usize {
    let entries = request.streams.iter().flat_map(|stream| &stream.values);
    total(entries.map(|entry| {
        let metadata: usize = entry.structured_metadata.iter().map(|(n, v)| n.len() + v.len() + 32).sum();
        ENTRY_BYTES + entry.line.len() + metadata
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, RecordBatch};
    use model::ingest::Batch;
    use model::tenant::{Access, Caller};
    use model::{Limits, TenantContext, TenantId};
    use wire::loki::{EntryAdapter, StreamAdapter, Timestamp};
    use wire::otlp::logs::{LogRecord, ResourceLogs, ScopeLogs};
    use wire::otlp::trace::{ResourceSpans, ScopeSpans, Span};

    use super::super::{push as mapping_push, remote_write, traces as mapping_traces};
    use super::*;

    const ITEMS: usize = 2_000;

    fn held(batch: &Batch) -> usize {
        let tables: Vec<&RecordBatch> = match batch {
            Batch::Metrics(b) => vec![&b.series, &b.samples, &b.histograms, &b.exemplars],
            Batch::Logs(b) => vec![&b.streams, &b.entries],
            Batch::Traces(b) => vec![&b.spans],
        };
        let columns = tables.into_iter().flat_map(RecordBatch::columns);
        columns.map(|column| column.to_data().get_slice_memory_size().unwrap()).sum()
    }

    fn access() -> Access {
        let tenant = |_: &Caller, _: Option<&str>| {
            Ok(TenantContext::new(TenantId::parse("a").unwrap(), Arc::new(Limits::default())))
        };
        Access::new(Caller { asked: None }, Arc::new(tenant))
    }

    /// The smallest items are those whose columns weigh most against their bytes.
    #[test]
    fn the_smallest_items_take_no_more_than_is_said() {
        let span = Span { trace_id: vec![1; 16], span_id: vec![2; 8], ..Span::default() };
        let scope_spans = vec![ScopeSpans { spans: vec![span; ITEMS], ..ScopeSpans::default() }];
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
        };
        let mapped = mapping_traces::map(&request, &access());
        assert!(held(&mapped.batches[0].1) <= traces(&request), "{} spans", held(&mapped.batches[0].1));

        let settings = LogsSettings::default();
        let record = LogRecord { time_unix_nano: 1, ..LogRecord::default() };
        let scope_logs = vec![ScopeLogs { log_records: vec![record; ITEMS], ..ScopeLogs::default() }];
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }],
        };
        let mapped = super::super::logs::map(&request, &access(), &settings, 1);
        assert!(
            held(&mapped.batches[0].1) <= logs(&request, &settings),
            "{} logs",
            held(&mapped.batches[0].1)
        );

        let entry =
            EntryAdapter { timestamp: Some(Timestamp::from_nanoseconds(1)), ..EntryAdapter::default() };
        let stream = StreamAdapter { labels: "{a=\"b\"}".to_owned(), entries: vec![entry; ITEMS], hash: 0 };
        let request = PushRequest { streams: vec![stream] };
        let pushed = mapping_push::from_protobuf(&request, &settings);
        assert!(held(&pushed.batch) <= push(&request), "{} lines", held(&pushed.batch));

        let series = |number: usize| v1::TimeSeries {
            labels: vec![v1::Label { name: "__name__".to_owned(), value: number.to_string() }],
            samples: vec![v1::Sample::default()],
            ..v1::TimeSeries::default()
        };
        let request = v1::WriteRequest { timeseries: (0..ITEMS).map(series).collect(), metadata: Vec::new() };
        let known = Known::default();
        let written = remote_write::from_v1(&request, &known);
        assert!(held(&written.batch) <= remote_write_v1(&request, &known), "{} series", held(&written.batch));
    }
}
