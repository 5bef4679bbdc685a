//! What is rejected, with which reason and example, and that the rest stays.

use model::histogram::{NativeHistogram, Span};
use model::limits::KeepRule;
use model::log::{DETECTED_LEVEL, Entry, LogBatch, LogBatchBuilder};
use model::metric::{MetricBatch, MetricBatchBuilder, SeriesInfo};
use model::time::{NS_PER_MS, NS_PER_S};
use model::trace::{SpanFields, TraceBatchBuilder};
use model::{AttributeRef, Labels, Matcher};

use super::*;
use crate::head::{Head, Origin};
use crate::partition::HeadCharge;

const NOW_MS: i64 = 1_800_000_000_000;

fn limits() -> Limits {
    let mut limits = Limits::default();
    let labels = LabelLimits { max_names: 3, max_name_bytes: 8, max_value_bytes: 10 };
    (limits.metrics.labels, limits.logs.labels) = (labels, labels);
    for signal in Signal::ALL {
        limits.intake_mut(signal).reject_older_than_ns = Some(3_600 * NS_PER_S);
    }
    limits.logs.max_line_bytes = 20;
    limits.logs.max_metadata_pairs = 2;
    limits.logs.max_metadata_bytes = 30;
    limits
}

fn checked(batch: Batch) -> (Batch, Vec<(Reason, usize, String)>) {
    let checked = validate(batch, &limits(), TimestampNs(NOW_MS * NS_PER_MS), None).unwrap();
    let Checked { batch, receipt, .. } = checked;
    (batch, receipt.rejections.into_iter().map(|r| (r.reason, r.items, r.example)).collect())
}

fn metrics(batch: MetricBatch) -> (MetricBatch, Vec<(Reason, usize, String)>) {
    match checked(Batch::Metrics(batch)) {
        (Batch::Metrics(batch), rejections) => (batch, rejections),
        other => panic!("{other:?}"),
    }
}

fn logs(batch: LogBatch) -> (LogBatch, Vec<(Reason, usize, String)>) {
    match checked(Batch::Logs(batch)) {
        (Batch::Logs(batch), rejections) => (batch, rejections),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_batch_is_not_copied() {
    let mut builder = MetricBatchBuilder::default();
    let series = builder.series(&Labels::from_pairs([("__name__", "up")]), SeriesInfo::default());
    builder.sample(series, NOW_MS, 0, 1.0);
    let batch = builder.finish();
    let (kept, rejections) = metrics(batch.clone());
    assert!(rejections.is_empty());
    let values = |batch: &MetricBatch| batch.samples.column(3).to_data().buffers()[0].as_ptr();
    assert_eq!(values(&kept), values(&batch));
}

#[test]
fn label_sets_that_a_head_knows_must_still_meet_the_limits() {
    let mut builder = MetricBatchBuilder::default();
    let labels = Labels::from_pairs([("__name__", "up"), ("a", "1234567890")]);
    let series = builder.series(&labels, SeriesInfo::default());
    builder.sample(series, NOW_MS, 0, 1.0);
    let batch = Batch::Metrics(builder.finish());
    let head = Head::new(Signal::Metrics, Origin::Writers, HeadCharge::new(&Arc::default()));
    let now = TimestampNs(NOW_MS * NS_PER_MS);
    let first = validate(batch.clone(), &limits(), now, Some(head.series())).unwrap();
    assert!(first.known.as_ref().is_some_and(|known| !known.has(0)));
    head.append(&first.batch, first.known);
    let again = validate(batch.clone(), &limits(), now, Some(head.series())).unwrap();
    assert!(again.known.as_ref().is_some_and(|known| known.has(0)));
    head.append(&again.batch, again.known);
    assert_eq!(head.series().count(), 1);
    let mut stricter = limits();
    stricter.metrics.labels.max_value_bytes = 9;
    let refused = validate(batch, &stricter, now, Some(head.series())).unwrap();
    assert_eq!(refused.receipt.rejections[0].reason, Reason::LabelValueTooLong);
    assert!(refused.known.is_none());
}

#[test]
fn labels_of_series_are_checked() {
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: [(Pairs, Option<(Reason, &str)>); 7] = [
        (&[("__name__", "up"), ("a", "b")], None),
        (&[("a", "b")], Some((Reason::InvalidLabels, "no metric name in {a=\"b\"}"))),
        (&[("__name__", "up"), ("", "b")], Some((Reason::InvalidLabels, "has no name"))),
        (&[], Some((Reason::InvalidLabels, "no metric name"))),
        (
            &[("__name__", "up"), ("a", "1"), ("b", "1"), ("c", "1")],
            Some((Reason::TooManyLabels, "4 labels, at most 3 are allowed: up{")),
        ),
        (
            &[("__name__", "up"), ("muchtoolong", "1")],
            Some((Reason::LabelNameTooLong, "11 bytes, at most 8")),
        ),
        (
            &[("__name__", "up"), ("a", "12345678901")],
            Some((Reason::LabelValueTooLong, "label a has 11 bytes")),
        ),
    ];
    for (labels, expected) in cases {
        let mut builder = MetricBatchBuilder::default();
        let bad = builder.series(&Labels::from_pairs(labels.iter().copied()), SeriesInfo::default());
        let good = builder.series(&Labels::from_pairs([("__name__", "ok")]), SeriesInfo::default());
        builder.sample(bad, NOW_MS, 0, 1.0);
        builder.sample(good, NOW_MS, 0, 2.0);
        builder.sample(bad, NOW_MS + 1, 0, 3.0);
        builder.exemplar(bad, NOW_MS, 1.0, [("trace_id", "1")]);
        let (kept, rejections) = metrics(builder.finish());
        let Some((reason, text)) = expected else {
            assert!(rejections.is_empty(), "{rejections:?}");
            continue;
        };
        assert_eq!((rejections.len(), rejections[0].0, rejections[0].1), (1, reason, 3));
        assert!(rejections[0].2.contains(text), "{}", rejections[0].2);
        assert_eq!((kept.series.num_rows(), kept.items()), (1, 1));
        assert_eq!(kept.samples.column(0).as_ref(), &UInt32Array::from(vec![0]) as &dyn arrow::array::Array);
        assert_eq!(kept.label_bytes().value(0), Labels::from_pairs([("__name__", "ok")]).as_bytes());
    }
}

#[test]
fn time_and_histograms_are_checked_item_by_item() {
    let mut builder = MetricBatchBuilder::default();
    let up = builder.series(&Labels::from_pairs([("__name__", "up")]), SeriesInfo::default());
    let gone = builder.series(&Labels::from_pairs([("__name__", "gone")]), SeriesInfo::default());
    builder.sample(gone, NOW_MS - 3_600_001, 0, 1.0);
    builder.sample(up, NOW_MS - 3_600_000, 0, 1.0);
    builder.sample(up, NOW_MS + 600_000, 0, 1.0);
    builder.sample(up, NOW_MS + 600_001, 0, 1.0);
    builder.sample(7, NOW_MS, 0, 1.0);
    builder.histogram(up, NOW_MS, 0, &NativeHistogram::default());
    let bad = NativeHistogram {
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_counts: vec![1.0],
        ..NativeHistogram::default()
    };
    builder.histogram(up, NOW_MS, 0, &bad);
    let (kept, rejections) = metrics(builder.finish());
    let reasons: Vec<_> = rejections.iter().map(|(reason, items, _)| (*reason, *items)).collect();
    let all = [Reason::TooOld, Reason::TooFarAhead, Reason::InvalidPoint, Reason::InvalidHistogram];
    assert_eq!(reasons, all.map(|reason| (reason, 1)));
    assert!(rejections[0].2.starts_with("gone: timestamp_ns="), "{}", rejections[0].2);
    assert_eq!((kept.series.num_rows(), kept.samples.num_rows(), kept.histograms.num_rows()), (1, 2, 1));
}

#[test]
fn lines_and_their_metadata_are_checked() {
    let now_ns = NOW_MS * NS_PER_MS;
    let mut builder = LogBatchBuilder::default();
    let bad = builder.stream(&Labels::empty());
    let good = builder.stream(&Labels::from_pairs([("app", "x")]));
    let entry = |timestamp_ns: i64, line| Entry { timestamp_ns, line, ..Entry::default() };
    builder.entry(bad, entry(now_ns, "no labels"));
    builder.metadata("a", AttributeRef::Int(1));
    builder.metadata("b", AttributeRef::String("text"));
    builder.entry(good, entry(now_ns, "kept"));
    builder.entry(good, entry(now_ns, "123456789012345678901"));
    builder.entry(good, entry(now_ns - 3_600 * NS_PER_S - 1, "old"));
    for name in ["a", "b", "c"] {
        builder.metadata(name, AttributeRef::Bool(true));
    }
    builder.entry(good, entry(now_ns, "many"));
    builder.metadata("a", AttributeRef::String("123456789012345678901234567890"));
    builder.entry(good, entry(now_ns, "large"));
    let (kept, rejections) = logs(builder.finish());
    let reasons: Vec<_> = rejections.iter().map(|(reason, items, _)| (*reason, *items)).collect();
    let expected = [
        (Reason::InvalidLabels, 1),
        (Reason::LineTooLong, 1),
        (Reason::TooOld, 1),
        (Reason::MetadataTooLarge, 2),
    ];
    assert_eq!(reasons, expected);
    assert!(rejections[1].2.starts_with("{app=\"x\"}: a line has 21 bytes"), "{}", rejections[1].2);
    assert_eq!((kept.streams.num_rows(), kept.entries.num_rows()), (1, 1));
}

#[test]
fn long_lines_are_cut_where_the_tenant_wants_that() {
    let mut limits = limits();
    limits.logs.truncates_lines = true;
    limits.logs.truncation_mark = "[cut]".into();
    let mut builder = LogBatchBuilder::default();
    let stream = builder.stream(&Labels::from_pairs([("app", "x")]));
    let lines = ["short", "123456789012345678901", "12345678901234é789012"];
    for line in lines {
        builder.entry(stream, Entry { timestamp_ns: NOW_MS * NS_PER_MS, line, ..Entry::default() });
    }
    let now = TimestampNs(NOW_MS * NS_PER_MS);
    let checked = validate(Batch::Logs(builder.finish()), &limits, now, None).unwrap();
    assert_eq!((checked.receipt.rejected(), checked.truncated), (0, 2));
    let Batch::Logs(batch) = checked.batch else { panic!() };
    let texts: &arrow::array::StringArray = column(&batch.entries, 2);
    let texts: Vec<_> = texts.iter().flatten().collect();
    assert_eq!(texts, ["short", "123456789012345[cut]", "12345678901234[cut]"]);
}

#[test]
fn what_receivers_add_is_not_counted() {
    let stream = |builder: &mut LogBatchBuilder, own: usize| {
        let own = (0..own).map(|n| (format!("l{n}"), "x".to_owned()));
        let labels = own.chain([(SERVICE_NAME.to_owned(), "a service".to_owned())]);
        builder.stream(&Labels::from_pairs(labels))
    };
    let entry = Entry { timestamp_ns: NOW_MS * NS_PER_MS, line: "x", ..Entry::default() };
    for (labels, pairs, allows, reason) in [
        (3, 2, true, None),
        (0, 0, true, None),
        (3, 0, false, None),
        (4, 0, true, Some(Reason::TooManyLabels)),
        (1, 3, true, Some(Reason::MetadataTooLarge)),
        (1, 1, false, Some(Reason::MetadataNotAllowed)),
    ] {
        let mut builder = LogBatchBuilder::default();
        let stream = stream(&mut builder, labels);
        for n in 0..pairs {
            builder.metadata(&format!("k{n}"), AttributeRef::String("123456789012"));
        }
        builder.metadata(DETECTED_LEVEL, AttributeRef::String("information"));
        builder.entry(stream, entry);
        let mut limits = limits();
        limits.logs.allows_metadata = allows;
        let now = TimestampNs(NOW_MS * NS_PER_MS);
        let checked = validate(Batch::Logs(builder.finish()), &limits, now, None).unwrap();
        let found = checked.receipt.rejections.first().map(|rejection| rejection.reason);
        assert_eq!(found, reason, "{labels} {pairs} {allows}");
    }
}

#[test]
fn structured_metadata_may_be_forbidden() {
    let mut limits = limits();
    limits.logs.allows_metadata = false;
    let mut builder = LogBatchBuilder::default();
    let stream = builder.stream(&Labels::from_pairs([("app", "x")]));
    let entry = Entry { timestamp_ns: NOW_MS * NS_PER_MS, line: "x", ..Entry::default() };
    builder.entry(stream, entry);
    builder.metadata("a", AttributeRef::Bool(true));
    builder.entry(stream, entry);
    let now = TimestampNs(NOW_MS * NS_PER_MS);
    let checked = validate(Batch::Logs(builder.finish()), &limits, now, None).unwrap();
    assert_eq!(checked.batch.items(), 1);
    assert_eq!(checked.receipt.rejections[0].reason, Reason::MetadataNotAllowed);
}

#[test]
fn what_a_rule_of_its_own_has_outlived_is_not_taken() {
    let rule = |app: &str, of_everyone, priority, period_s: Option<i64>| KeepRule {
        matchers: vec![Matcher::equal("app", app)],
        of_everyone,
        priority,
        period_ns: period_s.map(|period_s| period_s * NS_PER_S),
    };
    let mut limits = Limits::default();
    for signal in Signal::ALL {
        *limits.keep_rules.of_mut(signal) = vec![
            rule("a", true, 9, Some(7_200)),
            rule("a", false, 1, Some(60)),
            rule("b", false, 1, Some(3_600)),
            rule("ever", false, 1, None),
        ];
    }
    limits.retention.logs_ns = Some(600 * NS_PER_S);
    limits.retention.metrics_ns = Some(600 * NS_PER_S);
    limits.retention.traces_ns = Some(600 * NS_PER_S);
    limits.keep_rules.traces.iter_mut().for_each(|rule| rule.matchers[0].name = "resource.app".into());
    let (mut lines, mut samples) = (LogBatchBuilder::default(), MetricBatchBuilder::default());
    let mut spans = TraceBatchBuilder::default();
    for app in ["a", "b", "ever", "other"] {
        let stream = lines.stream(&Labels::from_pairs([("app", app)]));
        let labels = Labels::from_pairs([("__name__", "up"), ("app", app)]);
        let series = samples.series(&labels, SeriesInfo::default());
        for (age_s, line) in [(30, "new"), (300, "old"), (1_800, "older"), (7_000, "oldest")] {
            let timestamp_ns = NOW_MS * NS_PER_MS - age_s * NS_PER_S;
            lines.entry(stream, Entry { timestamp_ns, line, ..Entry::default() });
            samples.sample(series, timestamp_ns / NS_PER_MS, 0, 1.0);
            let (trace_id, span_id) = ([1; 16], [1; 8]);
            spans.resource_attribute("app", AttributeRef::String(app));
            spans.span(SpanFields { trace_id, span_id, start_ns: timestamp_ns, ..SpanFields::default() });
        }
    }
    let now = TimestampNs(NOW_MS * NS_PER_MS);
    let spans = Batch::Traces(spans.finish());
    for batch in [Batch::Logs(lines.finish()), Batch::Metrics(samples.finish()), spans] {
        let checked = validate(batch, &limits, now, None).unwrap();
        // One of a, three of b, all of what is kept for ever, two of the rest.
        assert_eq!((checked.batch.items(), checked.receipt.rejected()), (10, 6));
        assert_eq!(checked.receipt.rejections[0].reason, Reason::TooOld);
    }
}

#[test]
fn ids_of_spans_are_checked_and_named() {
    let now_ns = NOW_MS * NS_PER_MS;
    let mut builder = TraceBatchBuilder::default();
    let span = |trace: u8, span: u8, start_ns: i64| SpanFields {
        trace_id: [trace; 16],
        span_id: [span; 8],
        name: "n",
        start_ns,
        ..SpanFields::default()
    };
    builder.span(span(0, 1, now_ns));
    builder.span(span(1, 0, now_ns));
    builder.span(span(0xab, 0xcd, now_ns + 601 * NS_PER_S));
    builder.span(span(2, 3, now_ns));
    let (Batch::Traces(kept), rejections) = checked(Batch::Traces(builder.finish())) else {
        panic!("the signal stays");
    };
    let reasons: Vec<_> = rejections.iter().map(|(reason, items, _)| (*reason, *items)).collect();
    assert_eq!(reasons, [(Reason::InvalidTraceId, 1), (Reason::InvalidSpanId, 1), (Reason::TooFarAhead, 1)]);
    let named = format!("trace {} span {}: timestamp_ns=", "ab".repeat(16), "cd".repeat(8));
    assert!(rejections[2].2.starts_with(&named), "{}", rejections[2].2);
    assert_eq!(kept.spans.num_rows(), 1);
}

#[test]
fn foreign_columns_are_a_fault_of_ours() {
    let batch = LogBatchBuilder::default().finish();
    let wrong = Batch::Traces(model::trace::TraceBatch { spans: batch.entries });
    let result = validate(wrong, &limits(), TimestampNs(0), None);
    assert!(matches!(result, Err(IngestError::Internal(_))));
}
