//! How much memory a request takes once it is mapped, told before it is: rows carry what their resource, scope or
//! table of symbols says once, so that a small body may become a very large batch. Estimates, on the high side.

use prost::Message as _;
use wire::loki::JsonPush;
use wire::otlp::common::{InstrumentationScope, KeyValue};
use wire::otlp::metrics::metric::Data;
use wire::otlp::metrics::{HistogramDataPoint, Metric, SummaryDataPoint};
use wire::otlp::{ExportMetricsServiceRequest, NestedView, ResourceView, ScopeView};

use super::resource::is_identifying;
use crate::error::CollectorError;
use crate::receivers::{Room, shape};
use crate::settings::OtlpMetricsSettings;

/// The fixed columns of a line and its level, in bytes.
pub(crate) const ENTRY_BYTES: usize = 128;

/// The fixed columns of a span, in bytes.
pub(crate) const SPAN_BYTES: usize = 256;

/// The columns of an attribute besides its texts, in bytes.
pub(crate) const ATTRIBUTE_BYTES: usize = 32;

/// The fixed columns of a sample, in bytes.
pub(crate) const SAMPLE_BYTES: usize = 32;

/// A series' row and its place in the lookup, without its labels, in bytes.
pub(crate) const SERIES_BYTES: usize = 96;

/// Labels are held twice: as a row, and as the key of the lookup.
pub(crate) const COPIES_OF_LABELS: usize = 2;

fn scope_len(scope: Option<&InstrumentationScope>) -> usize {
    scope.map_or(0, prost::Message::encoded_len)
}

fn total(sizes: impl Iterator<Item = usize>) -> usize {
    sizes.fold(0, usize::saturating_add)
}

/// Asks for what the resource takes while its items are mapped.
pub(crate) fn lend_resource(of: ResourceView<'_>, room: &mut Room<'_>) -> Result<(), CollectorError> {
    for bytes in of.resource_bytes() {
        room.lend(shape::protobuf_bytes(bytes?, &shape::RESOURCE))?;
    }
    Ok(())
}

/// Asks for what the scope takes while its items are mapped.
pub(crate) fn lend_scope(of: ScopeView<'_>, room: &mut Room<'_>) -> Result<(), CollectorError> {
    for bytes in of.scope_bytes() {
        room.lend(shape::protobuf_bytes(bytes?, &shape::SCOPE))?;
    }
    Ok(())
}

/// Asks for what a list or map takes while it is mapped.
pub(crate) fn lend_value(of: NestedView<'_>, room: &mut Room<'_>) -> Result<(), CollectorError> {
    room.lend(shape::protobuf_bytes(of.bytes(), &shape::ANY_ITEM))
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

/// A Loki push in JSON: nothing is repeated, but short lines have their columns too.
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
    use wire::loki::{EntryAdapter, LabelPairAdapter, PushRequest, PushView, StreamAdapter, Timestamp};
    use wire::otlp::common::KeyValue;
    use wire::otlp::logs::{LogRecord, ResourceLogs, ScopeLogs};
    use wire::otlp::trace::span::{Event, Link};
    use wire::otlp::trace::{ResourceSpans, ScopeSpans, Span};
    use wire::otlp::{self, ExportLogsServiceRequest, ExportTraceServiceRequest};

    use super::super::{logs, push as mapping_push, traces};
    use super::*;
    use crate::receivers::{Budget, Held};
    use crate::settings::{BodySettings, LogsSettings};

    const ITEMS: usize = 2_000;

    fn bytes(batch: &Batch) -> usize {
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
        Access::new(Caller::default(), Arc::new(tenant))
    }

    fn held() -> Held {
        Budget::new(&BodySettings::default()).request(None)
    }

    fn assert_asked_for(batch: &Batch, asked: usize) {
        assert!(bytes(batch) <= asked, "{} of {asked}", bytes(batch));
    }

    /// The smallest items are those whose columns weigh most against their bytes.
    #[test]
    fn the_smallest_items_take_no_more_than_is_asked_for() {
        let ids = |span: Span| Span { trace_id: vec![1; 16], span_id: vec![2; 8], ..span };
        let attributes = vec![KeyValue::default(); 5];
        let event = Event { attributes: attributes.clone(), ..Event::default() };
        let link = Link { trace_id: vec![1; 16], span_id: vec![2; 8], ..Link::default() };
        let full = Span {
            attributes: attributes.clone(),
            events: vec![event; 3],
            links: vec![link; 3],
            ..Span::default()
        };
        for span in [ids(Span::default()), ids(full)] {
            let scope_spans = vec![ScopeSpans { spans: vec![span; ITEMS], ..ScopeSpans::default() }];
            let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
            let body = prost::Message::encode_to_vec(&ExportTraceServiceRequest { resource_spans });
            let mut held = held();
            let mut room = Room::new(&mut held);
            let mapped = traces::map(otlp::traces_view(&body), &access(), &mut room).unwrap();
            assert_asked_for(&mapped.batches[0].1, room.bytes());
        }
        let settings = LogsSettings::default();
        for attributes in [Vec::new(), attributes] {
            let record = LogRecord { time_unix_nano: 1, attributes, ..LogRecord::default() };
            let scope_logs = vec![ScopeLogs { log_records: vec![record; ITEMS], ..ScopeLogs::default() }];
            let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
            let body = prost::Message::encode_to_vec(&ExportLogsServiceRequest { resource_logs });
            let mut held = held();
            let mut room = Room::new(&mut held);
            let mapped = logs::map(otlp::logs_view(&body), &access(), &settings, 1, &mut room).unwrap();
            assert_asked_for(&mapped.batches[0].1, room.bytes());
        }
        for structured_metadata in [Vec::new(), vec![LabelPairAdapter::default(); 5]] {
            let timestamp = Some(Timestamp::from_nanoseconds(1));
            let entry = EntryAdapter { timestamp, structured_metadata, ..EntryAdapter::default() };
            let stream =
                StreamAdapter { labels: "{a=\"b\"}".to_owned(), entries: vec![entry; ITEMS], hash: 0 };
            let body = prost::Message::encode_to_vec(&PushRequest { streams: vec![stream] });
            let mut held = held();
            let mut room = Room::new(&mut held);
            let pushed = mapping_push::from_protobuf(PushView::new(&body), &settings, &mut room).unwrap();
            assert_asked_for(&pushed.batch, room.bytes());
        }
    }
}
