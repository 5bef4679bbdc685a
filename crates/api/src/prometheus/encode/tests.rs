//! What the bodies of Prometheus' answers look like, to the letter.

use model::Labels;
use model::histogram::{NativeHistogram, Span};

use query::{Held, SampleStats};

use super::*;
use crate::json::written;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn histogram() -> Point {
    Point::Histogram(Box::new(NativeHistogram {
        schema: 0,
        zero_threshold: 0.5,
        zero_count: 1.0,
        count: 4.0,
        sum: 7.5,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        positive_counts: vec![3.0],
        ..NativeHistogram::default()
    }))
}

#[test]
fn every_type_has_its_shape() {
    let cases = [
        (Value::Matrix(vec![]), "[]"),
        (
            Value::Matrix(vec![SeriesValues {
                labels: labels(&[("__name__", "up"), ("job", "a")]),
                points: vec![(1_000, Point::Float(1.0)), (1_500, Point::Float(f64::NAN))],
            }]),
            r#"[{"metric":{"__name__":"up","job":"a"},"values":[[1,"1"],[1.5,"NaN"]]}]"#,
        ),
        (
            Value::Matrix(vec![SeriesValues {
                labels: Labels::empty(),
                points: vec![(1_000, Point::Float(0.5)), (2_000, histogram())],
            }]),
            concat!(
                r#"[{"metric":{},"values":[[1,"0.5"]],"histograms":[[2,{"count":"4","sum":"7.5","#,
                r#""buckets":[[3,"-0.5","0.5","1"],[0,"1","2","3"]]}]]}]"#
            ),
        ),
        (Value::Vector(vec![]), "[]"),
        (
            Value::Vector(vec![
                (labels(&[("a", "b")]), 1_700_000_000_123, Point::Float(f64::INFINITY)),
                (Labels::empty(), 0, histogram()),
            ]),
            concat!(
                r#"[{"metric":{"a":"b"},"value":[1700000000.123,"+Inf"]},"#,
                r#"{"metric":{},"histogram":[0,{"count":"4","sum":"7.5","#,
                r#""buckets":[[3,"-0.5","0.5","1"],[0,"1","2","3"]]}]}]"#
            ),
        ),
        (Value::Scalar(1_000, -0.25), r#"[1,"-0.25"]"#),
        (Value::String(1_000, "a \"b\"".into()), r#"[1,"a \"b\""]"#),
    ];
    for (value, expected) in cases {
        assert_eq!(String::from_utf8(written(|json| write_value(json, &value))).unwrap(), expected);
    }
}

#[test]
fn what_it_cost_is_told_when_asked_for() {
    let answer = PromAnswer {
        value: Value::Scalar(1_000, 1.0),
        warnings: vec![],
        infos: vec![],
        stats: QueryStats {
            exec_ns: 1_500_000,
            prepare_ns: 500_000,
            queue_ns: 2_000_000,
            ..QueryStats::default()
        },
        samples: Some(SampleStats { per_step: vec![(1_000, 40), (2_000, 2)], peak: 7 }),
        held: Held::default(),
    };
    let text = |stats| String::from_utf8(written(|json| write_answer(json, &answer, stats))).unwrap();
    assert_eq!(text(None), r#"{"resultType":"scalar","result":[1,"1"]}"#);
    let timings = concat!(
        r#"{"resultType":"scalar","result":[1,"1"],"stats":{"timings":{"evalTotalTime":0.0015,"#,
        r#""queryPreparationTime":0.0005,"innerEvalTime":0.001,"execQueueTime":0.002,"execTotalTime":0.0035}"#,
    );
    let sums = r#""totalQueryableSamples":42,"peakSamples":7}}}"#;
    assert_eq!(text(Some(Stats::Sums)), format!("{timings},\"samples\":{{{sums}"));
    let per_step = r#""totalQueryableSamplesPerStep":[[1,40],[2,2]],"#;
    assert_eq!(text(Some(Stats::All)), format!("{timings},\"samples\":{{{per_step}{sums}"));
}
