//! `read`: samples of series for other servers, as one message or as a stream of chunks.
//!
//! Source: "Remote Read API" of Prometheus 3.

use std::collections::VecDeque;
use std::convert::Infallible;

use ::query::{Held, RawAnswer, RawSeries};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use model::histogram::{NativeHistogram, ResetHint};
use model::{MatchOp, Matcher, TimeRange};
use wire::remote_read::{
    Chunk, ChunkedReadResponse, ChunkedSeries, FloatHistogramChunk, MatcherType, Query, QueryResult,
    ReadRequest, ReadResponse, ResponseType, XorChunk,
};
use wire::remote_write::v1::{Label, Sample, TimeSeries};
use wire::remote_write::{self, BucketSpan, Count, Histogram, ZeroCount};
use wire::{Encoding, decompress};

use super::Prometheus;
use crate::bounds::{MAX_FORM_BYTES, MAX_FRAME_BYTES, MAX_READ_QUERIES};
use crate::error::ApiError;
use crate::parameters::context;
use crate::plain_error::LineError;
use crate::reply;

const STREAMED: HeaderValue =
    HeaderValue::from_static("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
const SAMPLES: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// `POST /api/v1/read`.
pub(crate) async fn read(State(door): State<Prometheus>, request: Request) -> Result<Response, LineError> {
    let (parts, body) = request.into_parts();
    let context = context(&parts).map_err(ApiError::from)?;
    let asked = asked(body).await?;
    let mut answers = Vec::with_capacity(asked.queries.len());
    for query in &asked.queries {
        let range = TimeRange::from_ms(query.start_timestamp_ms, query.end_timestamp_ms);
        answers.push(door.engine.raw_series(&context, matchers(query)?, range).await?);
    }
    match asked.response_type() {
        ResponseType::Samples => samples(answers).await,
        ResponseType::StreamedXorChunks => Ok(streamed(answers)),
    }
}

async fn asked(body: Body) -> Result<ReadRequest, ApiError> {
    let too_large = |_| ApiError::Body { max_bytes: MAX_FORM_BYTES };
    let body = to_bytes(body, MAX_FORM_BYTES).await.map_err(too_large)?;
    let wrong = |error: wire::WireError| ApiError::Request(error.to_string());
    let body = decompress(Encoding::SnappyBlock, body, MAX_FORM_BYTES).map_err(wrong)?;
    let asked = ReadRequest::read(&body).map_err(wrong)?;
    if asked.queries.len() > MAX_READ_QUERIES {
        return Err(ApiError::Request(format!(
            "too many queries in one request: at most {MAX_READ_QUERIES}"
        )));
    }
    Ok(asked)
}

fn matchers(query: &Query) -> Result<Vec<Matcher>, ApiError> {
    let matchers = query.matchers.iter().map(|matcher| {
        let op = match matcher.r#type() {
            MatcherType::Equal => MatchOp::Equal,
            MatcherType::NotEqual => MatchOp::NotEqual,
            MatcherType::Regex => MatchOp::Regex,
            MatcherType::NotRegex => MatchOp::NotRegex,
        };
        let made = Matcher::new(&matcher.name, op, &matcher.value);
        made.map_err(|error| ApiError::Request(format!("invalid matcher: {error}")))
    });
    matchers.collect()
}

async fn samples(answers: Vec<RawAnswer>) -> Result<Response, LineError> {
    let items = answers.iter().flat_map(|answer| &answer.series).map(count).sum();
    let held: Vec<Held> = answers.iter().map(|answer| answer.held.clone()).collect();
    let body = reply::made(items, move || {
        let results = answers
            .into_iter()
            .map(|answer| QueryResult { timeseries: answer.series.iter().map(time_series).collect() });
        ReadResponse { results: results.collect() }.to_body()
    });
    let body = body.await?.map_err(ApiError::from)?;
    drop(held);
    let snappy = HeaderValue::from_static("snappy");
    Ok((StatusCode::OK, [(CONTENT_TYPE, SAMPLES), (CONTENT_ENCODING, snappy)], body).into_response())
}

fn count(series: &RawSeries) -> usize {
    series.values.len() + series.histograms.len()
}

fn labels(series: &RawSeries) -> Vec<Label> {
    let pairs = series.labels.iter();
    pairs.map(|(name, value)| Label { name: name.to_owned(), value: value.to_owned() }).collect()
}

fn time_series(series: &RawSeries) -> TimeSeries {
    let samples = series.timestamps_ms.iter().zip(&series.values);
    let histograms = series.histogram_timestamps_ms.iter().zip(&series.histograms);
    TimeSeries {
        labels: labels(series),
        samples: samples.map(|(at, value)| Sample { value: *value, timestamp: *at }).collect(),
        histograms: histograms.map(|(at, histogram)| written(*at, histogram)).collect(),
        ..TimeSeries::default()
    }
}

fn written(timestamp: i64, histogram: &NativeHistogram) -> Histogram {
    let spans = |spans: &[model::histogram::Span]| {
        spans.iter().map(|span| BucketSpan { offset: span.offset, length: span.length }).collect()
    };
    let hint = match histogram.reset_hint {
        ResetHint::Unknown => remote_write::ResetHint::Unknown,
        ResetHint::Reset => remote_write::ResetHint::Yes,
        ResetHint::NoReset => remote_write::ResetHint::No,
        ResetHint::Gauge => remote_write::ResetHint::Gauge,
    };
    Histogram {
        count: Some(Count::Float(histogram.count)),
        sum: histogram.sum,
        schema: i32::from(histogram.schema),
        zero_threshold: histogram.zero_threshold,
        zero_count: Some(ZeroCount::Float(histogram.zero_count)),
        negative_spans: spans(&histogram.negative_spans),
        negative_counts: histogram.negative_counts.clone(),
        positive_spans: spans(&histogram.positive_spans),
        positive_counts: histogram.positive_counts.clone(),
        reset_hint: hint as i32,
        timestamp,
        custom_values: histogram.custom_bounds.clone(),
        ..Histogram::default()
    }
}

/// What of the answers is not sent yet.
struct Rest {
    answers: VecDeque<(i64, std::vec::IntoIter<RawSeries>, Held)>,
    /// Chunks of the series that is being sent.
    series: Option<(Vec<Label>, VecDeque<Chunk>)>,
}

/// A frame for each series, or for each part of a large one, made when the reader has taken the one before.
fn streamed(answers: Vec<RawAnswer>) -> Response {
    let answers = answers.into_iter().zip(0..).map(|(answer, i)| (i, answer.series.into_iter(), answer.held));
    let rest = Rest { answers: answers.collect(), series: None };
    let frames = futures::stream::unfold(rest, |mut rest| async move {
        let frame = rest.next_frame()?;
        Some((Ok::<_, Infallible>(Bytes::from(frame)), rest))
    });
    ([(CONTENT_TYPE, STREAMED)], reply::streamed(frames)).into_response()
}

impl Rest {
    fn next_frame(&mut self) -> Option<Vec<u8>> {
        loop {
            let (query_index, series, _held) = self.answers.front_mut()?;
            let query_index = *query_index;
            if let Some((labels, chunks)) = &mut self.series {
                let (mut taken, mut bytes) = (Vec::new(), 0);
                while let Some(chunk) = chunks.pop_front() {
                    if !taken.is_empty() && bytes + chunk.data.len() > MAX_FRAME_BYTES {
                        chunks.push_front(chunk);
                        break;
                    }
                    bytes += chunk.data.len();
                    taken.push(chunk);
                }
                if !taken.is_empty() {
                    let series = ChunkedSeries { labels: labels.clone(), chunks: taken };
                    return Some(
                        ChunkedReadResponse { chunked_series: vec![series], query_index }.to_frame(),
                    );
                }
                self.series = None;
            }
            match series.next() {
                Some(series) => self.series = Some((labels(&series), chunks(&series))),
                None => drop(self.answers.pop_front()),
            }
        }
    }
}

/// The chunks of both kinds by time.
fn chunks(series: &RawSeries) -> VecDeque<Chunk> {
    let mut chunks = XorChunk::all(&series.timestamps_ms, &series.values);
    chunks.extend(FloatHistogramChunk::all(&series.histogram_timestamps_ms, &series.histograms));
    chunks.sort_by_key(|chunk| chunk.min_time_ms);
    chunks.into()
}
