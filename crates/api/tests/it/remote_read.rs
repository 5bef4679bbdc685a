//! Remote read, in both forms of its answer.

use axum::body::Body;
use http::Request;
use model::histogram::{NativeHistogram, Span};
use model::metric::{MetricBatchBuilder, STALE_NAN_BITS, SeriesInfo};
use model::{Batch, Labels};
use wire::Encoding;
use wire::remote_read::{
    ChunkEncoding, ChunkedReadResponse, LabelMatcher, MatcherType, Query, ReadRequest, ReadResponse,
    ResponseType,
};
use wire::remote_write::{Count, v1::Label};

use super::fixture::{Answer, Fixture, NOW_S};

const NOW_MS: i64 = NOW_S * 1_000;

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    let mut builder = MetricBatchBuilder::default();
    for pod in ["a", "b"] {
        let labels = Labels::from_pairs([("__name__", "up"), ("pod", pod)]);
        let series = builder.series(&labels, SeriesInfo::default());
        for i in 0..200_i64 {
            builder.sample(series, NOW_MS - 200_000 + i * 1_000, 0, i as f64);
        }
        builder.sample(series, NOW_MS, 0, f64::from_bits(STALE_NAN_BITS));
    }
    let histogram = NativeHistogram {
        count: 3.0,
        sum: 4.5,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        positive_counts: vec![3.0],
        ..NativeHistogram::default()
    };
    let labels = Labels::from_pairs([("__name__", "latency"), ("pod", "a")]);
    let series = builder.series(&labels, SeriesInfo::default());
    builder.histogram(series, NOW_MS - 5_000, 0, &histogram);
    fixture.write("one", Batch::Metrics(builder.finish())).await;
    fixture
}

async fn read(fixture: &Fixture, name: &str, types: &[ResponseType]) -> Answer {
    use prost::Message;
    let matcher = |name: &str, kind: MatcherType, value: &str| LabelMatcher {
        r#type: kind as i32,
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let query = Query {
        start_timestamp_ms: NOW_MS - 150_000,
        end_timestamp_ms: NOW_MS,
        matchers: vec![
            matcher("__name__", MatcherType::Equal, name),
            matcher("pod", MatcherType::Regex, "a|c"),
        ],
    };
    let request = ReadRequest {
        queries: vec![query],
        accepted_response_types: types.iter().map(|one| *one as i32).collect(),
    };
    let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap();
    let request = Request::post("/api/v1/read")
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy");
    fixture.send(&fixture.prometheus, Some("one"), request.body(Body::from(body)).unwrap()).await
}

fn label(name: &str, value: &str) -> Label {
    Label { name: name.to_owned(), value: value.to_owned() }
}

#[tokio::test]
async fn samples_come_as_they_were_written() {
    use prost::Message;
    let fixture = fixture().await;
    let answer = read(&fixture, "up", &[]).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/x-protobuf"));
    assert_eq!(answer.header("content-encoding"), "snappy");
    let body = wire::decompress(Encoding::SnappyBlock, answer.body.into(), 1 << 20).unwrap();
    let mut response = ReadResponse::decode(body).unwrap();
    assert_eq!(response.results.len(), 1);
    let series = response.results.remove(0).timeseries;
    assert_eq!(series.len(), 1, "pod b is not asked for");
    assert_eq!(series[0].labels, [label("__name__", "up"), label("pod", "a")]);
    let samples = &series[0].samples;
    assert_eq!((samples.len(), samples[0].timestamp, samples[0].value), (151, NOW_MS - 150_000, 50.0));
    assert_eq!(samples[150].value.to_bits(), STALE_NAN_BITS, "the marker is one of them");
    let latency = read(&fixture, "latency", &[ResponseType::Samples]).await;
    let body = wire::decompress(Encoding::SnappyBlock, latency.body.into(), 1 << 20).unwrap();
    let response = ReadResponse::decode(body).unwrap();
    let histogram = &response.results[0].timeseries[0].histograms[0];
    assert_eq!((histogram.count, histogram.timestamp), (Some(Count::Float(3.0)), NOW_MS - 5_000));
}

#[tokio::test]
async fn chunks_come_in_frames() {
    use prost::Message;
    let fixture = fixture().await;
    for (name, encoding, spans) in [
        ("up", ChunkEncoding::Xor, &[(-150_000, -31_000), (-30_000, 0)][..]),
        ("latency", ChunkEncoding::FloatHistogram, &[(-5_000, -5_000)][..]),
    ] {
        let answer = read(&fixture, name, &[ResponseType::StreamedXorChunks, ResponseType::Samples]).await;
        assert_eq!(
            answer.header("content-type"),
            "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
        );
        let mut frames = answer.body.as_slice();
        let length = prost::encoding::decode_varint(&mut frames).unwrap() as usize;
        assert_eq!(frames.len(), 4 + length, "one series is one frame");
        let message = ChunkedReadResponse::decode(&frames[4..]).unwrap();
        let series = &message.chunked_series[0];
        assert_eq!((message.query_index, &series.labels[0]), (0, &label("__name__", name)));
        let found: Vec<_> = series
            .chunks
            .iter()
            .map(|chunk| (chunk.min_time_ms - NOW_MS, chunk.max_time_ms - NOW_MS))
            .collect();
        assert_eq!(found, spans);
        assert!(series.chunks.iter().all(|chunk| chunk.r#type() == encoding));
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let fixture = fixture().await;
    let request = Request::post("/api/v1/read").body(Body::from("no snappy")).unwrap();
    let answer = fixture.send(&fixture.prometheus, Some("one"), request).await;
    assert_eq!(answer.status.as_u16(), 400, "{}", answer.text());
    let request = Request::post("/api/v1/read").body(Body::empty()).unwrap();
    assert_eq!(fixture.send(&fixture.prometheus, None, request).await.status.as_u16(), 401);
}
