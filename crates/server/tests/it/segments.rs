//! Foreign readers open the segments: after an orderly end pyarrow and DuckDB find every row that was sent, in segments
//! as they were flushed and as they were merged.

use serde_json::{Value, json};
use wire::remote_write::v1::TimeSeries;

use crate::client::{Api, array};
use crate::server::{Place, Stella, eventually};
use crate::telemetry::{loki_push, now_ms, now_ns, remote_write, series};
use crate::tools::{python, python_aside};

const SERIES: usize = 40;
const SAMPLES: usize = 250;
const LINES: usize = 700;
const ITEMS: usize = 18;

async fn send(stella: &Stella) {
    let acme = stella.tenant("acme");
    let begin_ms = now_ms() - 3_600_000;
    let sent = (0..SERIES).map(|number| {
        let (shelf, scale) = (number.to_string(), if number % 2 == 0 { 1.0 } else { 0.1 });
        let samples: Vec<(i64, f64)> =
            (0..SAMPLES).map(|i| (begin_ms + 1_000 * i as i64, (number * i) as f64 * scale)).collect();
        series(&[("__name__", "stock"), ("shelf", shelf.as_str())], &samples)
    });
    assert_eq!(remote_write(&acme, sent.collect()).await.unwrap().status, 204);
    let begin_ns = now_ns() - 3_600_000_000_000;
    let lines: Vec<(i64, String)> =
        (0..LINES).map(|i| (begin_ns + i as i64, format!("level=info msg=\"order {i} paid\""))).collect();
    assert_eq!(loki_push(&acme, &json!({"app": "shop"}), &lines).await.unwrap().status, 204);

    let address = |api: Api| stella.address(api.listener()).unwrap();
    let arguments = [
        format!("--endpoint-grpc={}", address(Api::OtlpGrpc)),
        format!("--endpoint-http=http://{}", address(Api::OtlpHttp)),
        "--tenant=acme".into(),
        "--protocol=http".into(),
        "--run=segments".into(),
        format!("--count={ITEMS}"),
    ];
    python_aside("otel_send.py", arguments.into()).await;
}

fn rows(tables: &Value, table: &str) -> usize {
    let rows = &tables[table]["rows"];
    usize::try_from(rows.as_u64().unwrap_or_else(|| panic!("no table {table}: {tables}"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_readers_find_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    send(&stella).await;
    stella.stop().await;

    let objects = Place::chosen().objects(folder.path()).await;
    let tenant = objects.join("tenants/acme").display().to_string();
    let tables = python("segments_read.py", &[&tenant])["tables"].clone();
    // The SDK's own: a counter, an up-down counter, a gauge, four buckets with count and sum, one native histogram,
    // and target_info.
    let plain = 3 + 4 + 2 + 1;
    assert_eq!(rows(&tables, "metrics.series"), SERIES + plain + 1, "{tables}");
    assert_eq!(rows(&tables, "metrics.samples"), SERIES * SAMPLES + plain, "{tables}");
    assert_eq!(rows(&tables, "logs"), LINES + ITEMS, "{tables}");
    assert_eq!(rows(&tables, "traces"), ITEMS, "{tables}");
    let columns = |table: &str| array(&tables[table]["columns"]).to_vec();
    for (table, column) in
        [("logs", "line"), ("logs", "timestamp_ns"), ("traces", "trace_id"), ("traces", "name")]
    {
        assert!(columns(table).contains(&column.into()), "{table} has no column {column}: {tables}");
    }

    // And the server reads them too, once started again.
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let acme = stella.tenant("acme");
    let counted = acme.value("sum(count_over_time(stock[2h]))").await;
    assert_eq!(counted, (SERIES * SAMPLES) as f64);
    let begin = ((now_ms() / 1_000) - 7_200).to_string();
    let lines = acme.lines_between("{app=\"shop\"}", &[("start", begin.as_str())]).await;
    assert_eq!(lines.len(), LINES);
    stella.stop().await;
}

/// Flushes after which the segments of a day are merged.
const ROUNDS: usize = 8;

/// Samples of a round: whole numbers in steps, decimals, full mantissas, and what is no number of either kind.
fn round(number: usize, begin_ms: i64) -> Vec<TimeSeries> {
    let values = |series: usize| {
        let value = move |i: usize| match series % 4 {
            0 => (i * 4_096) as f64,
            1 => (i * series) as f64 / 100.0,
            2 => (i as f64 + 0.5).sqrt(),
            _ => -1e15 + i as f64,
        };
        (number * SAMPLES..(number + 1) * SAMPLES).map(value)
    };
    let times = (number * SAMPLES..).map(|i| begin_ms + 1_000 * i as i64);
    let of_series = |series: usize| {
        let samples: Vec<(i64, f64)> = times.clone().zip(values(series)).collect();
        series_of_shelf(series, &samples)
    };
    (0..SERIES).map(of_series).collect()
}

fn series_of_shelf(number: usize, samples: &[(i64, f64)]) -> TimeSeries {
    series(&[("__name__", "stock"), ("shelf", number.to_string().as_str())], samples)
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_readers_find_every_row_of_merged_segments() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let acme = stella.tenant("acme");
    // The noon of yesterday, so that all is of one day.
    let begin_ms = (now_ms().div_euclid(86_400_000) - 1) * 86_400_000 + 43_200_000;
    let mut total = 0.0;
    for number in 0..ROUNDS {
        let sent = round(number, begin_ms);
        total += sent.iter().flat_map(|series| &series.samples).map(|sample| sample.value).sum::<f64>();
        assert_eq!(remote_write(&acme, sent).await.unwrap().status, 204);
        let begin_ns = begin_ms * 1_000_000 + (number * LINES) as i64;
        let lines: Vec<(i64, String)> =
            (0..LINES).map(|i| (begin_ns + i as i64, format!("level=info order={number}-{i}"))).collect();
        assert_eq!(loki_push(&acme, &json!({"app": "shop"}), &lines).await.unwrap().status, 204);
        let flushed = acme.post(Api::Prometheus, "/flush", &[], Vec::new()).await.unwrap();
        assert_eq!(flushed.status, 204, "{}", flushed.text());
    }
    let objects = Place::chosen().objects(folder.path()).await;
    let tenant = objects.join("tenants/acme").display().to_string();
    let tables = eventually("merged segments of both signals", async || {
        Place::chosen().objects(folder.path()).await;
        let tables = python("segments_read.py", &[&tenant])["tables"].clone();
        ["metrics.samples", "logs"].iter().all(|table| tables[table]["level"] == 1).then_some(tables)
    })
    .await;
    stella.stop().await;

    let samples = ROUNDS * SERIES * SAMPLES;
    assert_eq!(rows(&tables, "metrics.series"), SERIES, "{tables}");
    assert_eq!(rows(&tables, "metrics.samples"), samples, "{tables}");
    assert_eq!(rows(&tables, "logs"), ROUNDS * LINES, "{tables}");
    assert_eq!(tables["metrics.samples"]["first_ms"], begin_ms);
    assert_eq!(tables["metrics.samples"]["last_ms"], begin_ms + 1_000 * (ROUNDS * SAMPLES - 1) as i64);
    let read = tables["metrics.samples"]["total"].as_f64().unwrap();
    assert!((read - total).abs() <= total.abs() * 1e-12, "{read} instead of {total}");
}
