//! Answers that are too large to be sent in one piece, compressed: what arrives is what arrives without compression.

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use model::log::{Entry, LogBatchBuilder};
use model::metric::{MetricBatchBuilder, SeriesInfo};
use model::{Batch, Labels};
use prost::Message;
use wire::decompress_body;
use wire::remote_read::{LabelMatcher, Query, ReadRequest, ResponseType};

use super::fixture::{Fixture, NOW_NS, NOW_S};

/// Lines, and samples of one series: their answers are larger than any piece of an answer.
const ITEMS: i64 = 10_000;

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    let mut lines = LogBatchBuilder::default();
    let stream = lines.stream(&Labels::from_pairs([("app", "shop")]));
    let mut samples = MetricBatchBuilder::default();
    let series = samples.series(&Labels::from_pairs([("__name__", "up")]), SeriesInfo::default());
    for i in 0..ITEMS {
        let (line, timestamp_ns) = (format!("order {i} was paid"), NOW_NS - (ITEMS - i) * 1_000_000);
        lines.entry(stream, Entry { timestamp_ns, line: &line, ..Entry::default() });
        samples.sample(series, NOW_S * 1_000 - (ITEMS - i) * 1_000, 0, i as f64 / 7.0);
    }
    fixture.write("one", Batch::Logs(lines.finish())).await;
    fixture.write("one", Batch::Metrics(samples.finish())).await;
    fixture
}

/// A remote read of everything, by chunks.
fn remote_read() -> Vec<u8> {
    let name =
        LabelMatcher { name: "__name__".to_owned(), value: "up".to_owned(), ..LabelMatcher::default() };
    let query = Query {
        start_timestamp_ms: (NOW_S - 20_000) * 1_000,
        end_timestamp_ms: NOW_S * 1_000,
        matchers: vec![name],
    };
    let accepted_response_types = vec![ResponseType::StreamedXorChunks as i32];
    let request = ReadRequest { queries: vec![query], accepted_response_types };
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap()
}

/// What a door is asked: its path, the headers, and the body of a `POST`.
type Question<'a> = (&'a Router, String, &'a [(&'a str, &'a str)], Vec<u8>);

/// What it answers, decompressed.
async fn body(fixture: &Fixture, (door, path, headers, sent): &Question<'_>, accepted: &str) -> Vec<u8> {
    let method = if sent.is_empty() { Method::GET } else { Method::POST };
    let mut request = Request::builder().method(method).uri(path).header("accept-encoding", accepted);
    for (name, value) in *headers {
        request = request.header(*name, *value);
    }
    let answer = fixture.send(door, Some("one"), request.body(Body::from(sent.clone())).unwrap()).await;
    assert_eq!((answer.status, answer.header("content-encoding")), (StatusCode::OK, accepted), "{path}");
    decompress_body(Some(accepted), answer.body.into(), 16 << 20).unwrap().to_vec()
}

#[tokio::test]
async fn a_large_answer_arrives_compressed_as_it_does_plain() {
    let fixture = fixture().await;
    let (end, start) = (NOW_S, NOW_S - 10_000);
    let range = |query: &str| format!("/api/v1/query_range?query={query}&start={start}&end={end}&step=1");
    let lines = format!("/loki/api/v1/query_range?query=%7Bapp%3D%22shop%22%7D&limit=5000&end={end}");
    let sql = b"select line, timestamp from logs order by 2".to_vec();
    let (metrics, logs) = (&fixture.prometheus, &fixture.loki);
    let questions: [Question<'_>; 6] = [
        (metrics, range("up/3"), &[], Vec::new()),
        (metrics, range("time()"), &[], Vec::new()),
        (metrics, "/api/v1/query?query=up[3h]".to_owned(), &[], Vec::new()),
        (logs, lines, &[], Vec::new()),
        (metrics, "/api/v1/sql".to_owned(), &[("content-type", "application/sql")], sql),
        (metrics, "/api/v1/read".to_owned(), &[("content-encoding", "snappy")], remote_read()),
    ];
    for question in &questions {
        let plain = body(&fixture, question, "").await;
        let path = &question.1;
        assert!(plain.len() > 64 << 10, "{path}: an answer of {} bytes is not large", plain.len());
        for accepted in ["gzip", "zstd"] {
            assert!(
                body(&fixture, question, accepted).await == plain,
                "{path}: another answer came by {accepted}"
            );
        }
    }
}
