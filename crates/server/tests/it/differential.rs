//! Debian's Prometheus and the server hold the same samples and are asked the same: a few hundred queries of every kind.
//!
//! Debian's is of version 2.42. Where that and Prometheus 3 differ, 3 holds, and the test keeps away from it:
//! - windows and lookbacks are open on the left in 3: no sample lies on the border of a window here;
//! - a rate is extended at most to where its counter was zero even where the first sample is far from the border in 3:
//!   counters begin high, and have no gaps;
//! - the name goes with `atan2` in 3: it is taken away by an aggregation here;
//! - `holt_winters` and functions that came later than 2.42 are not asked for;
//! - sums and means of 3 lose no digits, those of 2.42 some: numbers are compared with a tolerance.

mod data;
mod queries;

use serde_json::Value;

use crate::client::{Api, Client, array, labels};
use crate::prometheus::{Prometheus, points};
use crate::server::{Stella, eventually, http_client};
use crate::telemetry::now_ms;
use data::{LENGTH_MS, written};

/// How far two numbers may be apart, as a share of the larger one, or of one.
const TOLERANCE: f64 = 1e-9;

fn is_close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0)
}

/// What is different between two answers.
fn difference(theirs: &Value, ours: &Value) -> Option<String> {
    if theirs["status"] != ours["status"] {
        return Some(format!("Prometheus: {theirs}\nStella: {ours}"));
    }
    if theirs["status"] == "error" {
        return (theirs["errorType"] != ours["errorType"]).then(|| format!("{theirs}\n{ours}"));
    }
    let (theirs, ours) = (&theirs["data"], &ours["data"]);
    if theirs["resultType"] != ours["resultType"] {
        return Some(format!("{} and {}", theirs["resultType"], ours["resultType"]));
    }
    if ["scalar", "string"].iter().any(|kind| theirs["resultType"] == *kind) {
        let is_same = theirs["result"][0] == ours["result"][0]
            && match (theirs["result"][1].as_str(), ours["result"][1].as_str()) {
                (Some(a), Some(b)) => {
                    a == b || a.parse().ok().zip(b.parse().ok()).is_some_and(|(a, b)| is_close(a, b))
                }
                _ => false,
            };
        return (!is_same).then(|| format!("{} and {}", theirs["result"], ours["result"]));
    }
    let (theirs, ours) = (points(&theirs["result"]), points(&ours["result"]));
    let names = |series: &[(String, Vec<(f64, f64)>)]| series.iter().map(|s| s.0.clone()).collect::<Vec<_>>();
    if names(&theirs) != names(&ours) {
        return Some(format!("series: {:?}\nand {:?}", names(&theirs), names(&ours)));
    }
    let differ = theirs.iter().zip(&ours).find(|((_, theirs), (_, ours))| {
        theirs.len() != ours.len() || theirs.iter().zip(ours).any(|(a, b)| a.0 != b.0 || !is_close(a.1, b.1))
    });
    differ.map(|((name, theirs), (_, ours))| format!("{name}\nPrometheus: {theirs:?}\nStella: {ours:?}"))
}

/// An answer, be it an error.
async fn answer(client: &Client, path: &str, parameters: &[(&str, String)]) -> Value {
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    serde_json::from_slice(&client.get(Api::Prometheus, path, &parameters).await.body).unwrap()
}

/// Asks both at a moment and over a range; what is different.
async fn compare(prometheus: &Prometheus, client: &Client, query: &str, end_s: f64) -> Vec<String> {
    let instant = [("query", query.to_owned()), ("time", end_s.to_string())];
    let range = [
        ("query", query.to_owned()),
        ("start", (end_s - 1_500.0).to_string()),
        ("end", end_s.to_string()),
        ("step", "47".to_owned()),
    ];
    let mut differences = Vec::new();
    for (path, parameters) in [("/api/v1/query", &instant[..]), ("/api/v1/query_range", &range[..])] {
        let (theirs, ours) = tokio::join!(prometheus.get(path, parameters), answer(client, path, parameters));
        differences
            .extend(difference(&theirs, &ours).map(|difference| format!("{path} {query}\n{difference}")));
    }
    differences
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(&folder.path().join("stella"), &["--no-own-telemetry"]).await;
    let acme = stella.tenant("acme");
    let prometheus = Prometheus::receiver(folder.path()).await;
    // Whole minutes, and all of it in the past: what is not long ago is what both take.
    let start_ms = (now_ms() - LENGTH_MS) / 60_000 * 60_000 - 60_000;
    for (i, body) in written(start_ms).into_iter().enumerate() {
        for url in [prometheus.url("/api/v1/write"), acme.url(Api::Prometheus, "/api/v1/write")] {
            let request = http_client().post(url).body(body.clone());
            let request = request.header("Content-Type", "application/x-protobuf");
            let request = request.header("Content-Encoding", "snappy");
            let answer =
                acme.send(request.header("X-Prometheus-Remote-Write-Version", "0.1.0")).await.unwrap();
            assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text());
        }
        if i == 2 {
            // What follows lies in another segment, and the end in a head.
            let flushed = acme.post(Api::Prometheus, "/flush", &[], Vec::new()).await.unwrap();
            assert_eq!(flushed.status, 204, "{}", flushed.text());
        }
    }
    let end_s = (start_ms + LENGTH_MS) as f64 / 1e3 - 29.5;
    let all = [("query", "count({job=~\".+\"})".to_owned()), ("time", end_s.to_string())];
    eventually("Prometheus has what was written", async || {
        let counted = prometheus.get("/api/v1/query", &all).await;
        array(&counted["data"]["result"]).first().map(|_| ())
    })
    .await;

    let queries = queries::all();
    assert!(queries.len() > 300, "there are {} queries", queries.len());
    let mut differences = Vec::new();
    for query in &queries {
        differences.extend(compare(&prometheus, &acme, query, end_s).await);
    }
    differences.extend(compare_names(&prometheus, &acme, start_ms).await);
    assert!(differences.is_empty(), "{} differ\n{}", differences.len(), differences.join("\n\n"));
    stella.stop().await;
}

/// Names, values and series of all of the time, and of the whole matchers.
async fn compare_names(prometheus: &Prometheus, client: &Client, start_ms: i64) -> Vec<String> {
    let range = [
        ("start", (start_ms as f64 / 1e3).to_string()),
        ("end", ((start_ms + LENGTH_MS) as f64 / 1e3).to_string()),
    ];
    let matched = |matcher: &str| -> Vec<(&str, String)> {
        range.iter().cloned().chain([("match[]", matcher.to_owned())]).collect()
    };
    let mut differences = Vec::new();
    for (path, parameters) in [
        ("/api/v1/labels", range.to_vec()),
        ("/api/v1/labels", matched("latency_seconds_bucket")),
        ("/api/v1/label/__name__/values", range.to_vec()),
        ("/api/v1/label/instance/values", matched("{job=\"api\"}")),
        ("/api/v1/label/le/values", matched("{__name__=~\"latency.*\"}")),
        ("/api/v1/series", matched("{job=\"db\",instance!=\"a\"}")),
    ] {
        let (theirs, ours) =
            (prometheus.get(path, &parameters).await, answer(client, path, &parameters).await);
        let listed = |answer: &Value| {
            let mut texts: Vec<String> = array(&answer["data"])
                .iter()
                .map(|one| one.as_str().map_or_else(|| format!("{:?}", labels(one)), str::to_owned))
                .collect();
            texts.sort();
            texts
        };
        if listed(&theirs) != listed(&ours) || listed(&ours).is_empty() {
            differences.push(format!("{path} {parameters:?}\n{:?}\n{:?}", listed(&theirs), listed(&ours)));
        }
    }
    differences
}
