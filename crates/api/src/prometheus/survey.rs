//! `status/tsdb`, `status/tsdb/blocks` and `status/walreplay`: what there is, in Prometheus' words: a segment is a block,
//! and the series of the last hours are the head.

use axum::extract::{Request, State};
use axum::response::Response;
use model::TimeRange;
use model::time::{NS_PER_MS, NS_PER_S};
use query::{Cardinality, Counted, ReplayProgress, SegmentMeta};

use super::Prometheus;
use super::envelope::{PromError, write_success};
use crate::bounds::MAX_STATUS_LIMIT;
use crate::error::ApiError;
use crate::json::{Json, written};
use crate::parameters::Asked;
use crate::reply;

/// The time whose series count as active: what Prometheus' head holds at least.
const ACTIVE_NS: i64 = 2 * 3_600 * NS_PER_S;

/// Names in each list where no limit is asked for.
const DEFAULT_LIMIT: usize = 10;

/// `GET /api/v1/status/tsdb`: the caller's series of the last two hours, counted.
pub(crate) async fn tsdb(State(door): State<Prometheus>, request: Request) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let limit = match asked.parameters.get("limit").filter(|text| !text.is_empty()).map(str::parse::<usize>) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit @ 1..)) => limit,
        Some(_) => return Err(ApiError::Request("limit must be a positive number".to_owned()).into()),
    };
    if limit > MAX_STATUS_LIMIT {
        return Err(ApiError::Request(format!("limit must not exceed {MAX_STATUS_LIMIT}")).into());
    }
    let now_ns = door.clock.now().0;
    let range = TimeRange::new(now_ns - ACTIVE_NS, i64::MAX);
    let counted = door.engine.cardinality(&asked.context, range, limit).await?;
    Ok(data(|json| write_cardinality(json, &counted)))
}

/// `GET /api/v1/status/tsdb/blocks`: the segments of the caller's metrics.
pub(crate) async fn blocks(State(door): State<Prometheus>, request: Request) -> Result<Response, PromError> {
    let asked = Asked::read(request).await?;
    let segments = door.engine.metric_segments(&asked.context).await?;
    Ok(data(|json| {
        json.raw("{\"blocks\":");
        json.list(&segments, write_block);
        json.raw("}");
    }))
}

/// `GET /api/v1/status/walreplay`: asks for no tenant, as the log is the process'.
pub(crate) async fn wal_replay(State(door): State<Prometheus>) -> Response {
    let progress = door.engine.replay();
    data(|json| write_progress(json, progress))
}

fn data(write: impl FnOnce(&mut Json)) -> Response {
    reply::json(written(|json| write_success(json, &[], &[], write)))
}

fn write_progress(json: &mut Json, progress: ReplayProgress) {
    let state = match progress {
        ReplayProgress { done: true, .. } => "done",
        ReplayProgress { segments_done: 0, records: 0, .. } => "waiting",
        _ => "in progress",
    };
    json.raw("{\"min\":0,\"max\":");
    json.plain(progress.segments_total);
    json.raw(",\"current\":");
    json.plain(progress.segments_done);
    json.raw(",\"state\":");
    json.text(state);
    json.raw("}");
}

fn write_cardinality(json: &mut Json, counted: &Cardinality) {
    let (start_ms, end_ms) =
        counted.time.map_or((0, 0), |time| (time.start_ns / NS_PER_MS, time.end_ns / NS_PER_MS));
    json.raw("{\"headStats\":{\"numSeries\":");
    json.plain(counted.series);
    json.raw(",\"numLabelPairs\":");
    json.plain(counted.label_pairs);
    // Samples are not kept in chunks.
    json.raw(",\"chunkCount\":0,\"minTime\":");
    json.plain(start_ms);
    json.raw(",\"maxTime\":");
    json.plain(end_ms);
    json.raw("}");
    let lists: [(&str, &[Counted]); 4] = [
        ("seriesCountByMetricName", &counted.series_by_metric),
        ("labelValueCountByLabelName", &counted.values_by_label),
        ("memoryInBytesByLabelName", &counted.bytes_by_label),
        ("seriesCountByLabelValuePair", &counted.series_by_pair),
    ];
    for (name, list) in lists {
        json.raw(",");
        json.text(name);
        json.raw(":");
        json.list(list, |json, one| {
            json.raw("{\"name\":");
            json.text(&one.name);
            json.raw(",\"value\":");
            json.plain(one.value);
            json.raw("}");
        });
    }
    json.raw("}");
}

fn write_block(json: &mut Json, segment: &SegmentMeta) {
    let rows = |part| segment.part(part).map_or(0, |part| part.rows);
    json.raw("{\"ulid\":");
    json.text(&segment.id);
    json.raw(",\"minTime\":");
    json.plain(segment.start_ns / NS_PER_MS);
    json.raw(",\"maxTime\":");
    json.plain(segment.end_ns / NS_PER_MS);
    json.raw(",\"stats\":{\"numSamples\":");
    json.plain(rows("samples") + rows("histograms"));
    json.raw(",\"numFloatSamples\":");
    json.plain(rows("samples"));
    json.raw(",\"numHistogramSamples\":");
    json.plain(rows("histograms"));
    json.raw(",\"numSeries\":");
    json.plain(rows("series"));
    json.raw(",\"numChunks\":0},\"compaction\":{\"level\":");
    // Prometheus counts from one on.
    json.plain(segment.level + 1);
    json.raw(",\"sources\":");
    json.texts([&segment.id]);
    json.raw("},\"version\":1}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Json)) -> String {
        String::from_utf8(written(write)).unwrap()
    }

    #[test]
    fn a_replay_goes_from_waiting_to_done() {
        let at = |segments_done, records, done| {
            let progress = ReplayProgress {
                segments_total: 4,
                segments_done,
                records,
                done,
                ..ReplayProgress::default()
            };
            text(|json| write_progress(json, progress))
        };
        assert_eq!(at(0, 0, false), r#"{"min":0,"max":4,"current":0,"state":"waiting"}"#);
        assert_eq!(at(2, 7, false), r#"{"min":0,"max":4,"current":2,"state":"in progress"}"#);
        assert_eq!(at(4, 9, true), r#"{"min":0,"max":4,"current":4,"state":"done"}"#);
    }

    #[test]
    fn numbers_stand_under_prometheus_names() {
        let counted = Cardinality {
            series: 2,
            label_pairs: 3,
            time: Some(TimeRange::new(1_500_000_000, 2_000_000_000)),
            series_by_metric: vec![Counted { name: "up".into(), value: 2 }],
            ..Cardinality::default()
        };
        assert_eq!(
            text(|json| write_cardinality(json, &counted)),
            concat!(
                r#"{"headStats":{"numSeries":2,"numLabelPairs":3,"chunkCount":0,"minTime":1500,"maxTime":2000},"#,
                r#""seriesCountByMetricName":[{"name":"up","value":2}],"labelValueCountByLabelName":[],"#,
                r#""memoryInBytesByLabelName":[],"seriesCountByLabelValuePair":[]}"#
            )
        );
    }
}
