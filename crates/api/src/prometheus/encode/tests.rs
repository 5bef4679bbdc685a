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
        let pieces = Piece::of(&value, 8);
        assert_eq!(pieces.len(), 1);
        let text = String::from_utf8(written(|json| pieces[0].write_result(json, &value))).unwrap();
        assert_eq!(text, expected);
    }
}

#[test]
fn pieces_are_the_whole_one_after_the_other() {
    let series = |i: i64| SeriesValues {
        labels: labels(&[("i", &i.to_string())]),
        points: (0..MIN_PIECE_SAMPLES as i64 / 2).map(|at| (at * 1_000, Point::Float(i as f64))).collect(),
    };
    let answer = PromAnswer { warnings: vec!["w".into()], ..scalar() };
    let answer = PromAnswer { value: Value::Matrix((0..7).map(series).collect()), ..answer };
    let text = |at_most: usize| {
        let pieces = Piece::of(&answer.value, at_most);
        let written =
            pieces.iter().map(|piece| written(|json| piece.write(json, &answer, Some(Stats::Sums))));
        (pieces.len(), written.collect::<Vec<_>>().concat())
    };
    let (one, whole) = text(1);
    assert_eq!(one, 1);
    assert_eq!(text(2), (2, whole.clone()));
    assert_eq!(text(100), (3, whole.clone()));
    let tree: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    assert_eq!(tree["data"]["result"].as_array().map(Vec::len), Some(7));
    assert_eq!(tree["warnings"], serde_json::json!(["w"]));
}

fn scalar() -> PromAnswer {
    PromAnswer {
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
    }
}

#[test]
fn what_it_cost_is_told_when_asked_for() {
    let answer = scalar();
    let text = |stats| {
        let pieces = Piece::of(&answer.value, 8);
        let text = String::from_utf8(written(|json| pieces[0].write(json, &answer, stats))).unwrap();
        let data =
            text.strip_prefix(r#"{"status":"success","data":"#).and_then(|text| text.strip_suffix('}'));
        data.unwrap().to_owned()
    };
    assert_eq!(text(None), r#"{"resultType":"scalar","result":[1,"1"]}"#);
    let timings = concat!(
        r#"{"resultType":"scalar","result":[1,"1"],"stats":{"timings":{"evalTotalTime":0.0015,"#,
        r#""resultSortTime":0,"queryPreparationTime":0.0005,"innerEvalTime":0.001,"execQueueTime":0.002,"execTotalTime":0.0035}"#,
    );
    let sums = r#""totalQueryableSamples":42,"peakSamples":7}}}"#;
    assert_eq!(text(Some(Stats::Sums)), format!("{timings},\"samples\":{{{sums}"));
    let per_step = r#""totalQueryableSamplesPerStep":[[1,40],[2,2]],"#;
    assert_eq!(text(Some(Stats::All)), format!("{timings},\"samples\":{{{per_step}{sums}"));
}
