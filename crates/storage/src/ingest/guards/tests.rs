//! Series, streams and traces that are too many or too large.

use model::Labels;
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::trace::{SpanFields, TraceBatchBuilder};

use super::*;

fn whole(batch: Batch) -> Checked {
    Checked { batch, receipt: Receipt::default(), known: None, truncated: 0 }
}

fn reasons(checked: &Checked) -> Vec<(Reason, usize)> {
    checked.receipt.rejections.iter().map(|r| (r.reason, r.items)).collect()
}

fn samples(names: &[&str]) -> Batch {
    let mut builder = MetricBatchBuilder::default();
    for name in names {
        let series = builder.series(&Labels::from_pairs([("__name__", *name)]), SeriesInfo::default());
        builder.sample(series, 1, 0, 1.0);
        builder.sample(series, 2, 0, 1.0);
    }
    Batch::Metrics(builder.finish())
}

fn spans(ids: &[u8], name: &str) -> Batch {
    let mut builder = TraceBatchBuilder::default();
    for (number, id) in (1..).zip(ids) {
        builder.span(SpanFields { trace_id: [*id; 16], span_id: [number; 8], name, ..SpanFields::default() });
    }
    Batch::Traces(builder.finish())
}

#[test]
fn new_series_over_the_limit_are_left_out_and_those_that_are_there_go_on() {
    let mut limits = Limits::default();
    limits.metrics.intake.max_active = Some(2);
    let mut lately = Lately::begun(0, []);
    let first = guarded(whole(samples(&["a", "b"])), &limits, &mut lately).unwrap();
    assert!(reasons(&first).is_empty());
    let next = guarded(whole(samples(&["c", "a", "d"])), &limits, &mut lately).unwrap();
    assert_eq!(reasons(&next), [(Reason::TooManySeries, 4)]);
    assert!(next.receipt.summary().contains("the tenant writes 2 series already, which is its limit"));
    let Batch::Metrics(kept) = &next.batch else { panic!() };
    assert_eq!((kept.series.num_rows(), kept.samples.num_rows()), (1, 2));
    assert_eq!(kept.label_bytes().value(0), Labels::from_pairs([("__name__", "a")]).as_bytes());
}

#[test]
fn new_streams_over_the_limit_are_left_out() {
    let mut limits = Limits::default();
    limits.logs.intake.max_active = Some(1);
    let mut builder = LogBatchBuilder::default();
    for app in ["a", "b"] {
        let stream = builder.stream(&Labels::from_pairs([("app", app)]));
        builder.entry(stream, Entry { timestamp_ns: 1, line: app, ..Entry::default() });
    }
    let batch = whole(Batch::Logs(builder.finish()));
    let checked = guarded(batch, &limits, &mut Lately::begun(0, [])).unwrap();
    assert_eq!(reasons(&checked), [(Reason::TooManyStreams, 1)]);
    assert_eq!(checked.batch.items(), 1);
}

#[test]
fn traces_over_the_limits_are_left_out() {
    let mut limits = Limits::default();
    limits.traces.intake.max_active = Some(2);
    let mut lately = Lately::begun(0, []);
    let checked = guarded(whole(spans(&[1, 1, 2, 3, 1, 3], "s")), &limits, &mut lately).unwrap();
    assert_eq!(reasons(&checked), [(Reason::TooManyTraces, 2)]);
    assert_eq!(checked.batch.items(), 4);

    limits.traces.intake.max_active = None;
    limits.traces.max_trace_bytes = Some(5_000);
    let long = "x".repeat(2_000);
    let mut lately = Lately::begun(0, []);
    for (id, rejected) in [(1, 0), (1, 0), (1, 1), (2, 0)] {
        let checked = guarded(whole(spans(&[id], &long)), &limits, &mut lately).unwrap();
        assert_eq!(checked.receipt.rejected(), rejected, "{checked:?}", checked = checked.receipt);
        assert_eq!(
            reasons(&checked).first().map(|(reason, _)| *reason),
            (rejected > 0).then_some(Reason::TraceTooLarge)
        );
    }
}

#[test]
fn lines_count_with_their_structured_metadata() {
    let mut builder = LogBatchBuilder::default();
    let stream = builder.stream(&Labels::from_pairs([("app", "a")]));
    builder.entry(stream, Entry { timestamp_ns: 1, line: "12345", ..Entry::default() });
    builder.metadata("key", model::AttributeRef::String("value"));
    builder.entry(stream, Entry { timestamp_ns: 2, line: "123", ..Entry::default() });
    assert_eq!(amount(&Batch::Logs(builder.finish())).unwrap(), (16, "bytes"));
    assert_eq!(amount(&samples(&["a", "b"])).unwrap(), (4, "samples"));
}
