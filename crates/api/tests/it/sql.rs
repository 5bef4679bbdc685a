//! SQL by HTTP: the forms of questions and answers, and errors.

use std::collections::BTreeSet;

use arrow::ipc::reader::StreamReader;
use axum::body::Body;
use http::Request;
use model::log::{Entry, LogBatchBuilder};
use model::time::NS_PER_S;
use model::{Batch, Labels};
use serde_json::{Value, json};

use super::fixture::{Answer, Fixture, NOW_NS};

async fn fixture(lines: i64) -> Fixture {
    let fixture = Fixture::new().await;
    for tenant in ["one", "two"] {
        let mut builder = LogBatchBuilder::default();
        let stream = builder.stream(&Labels::from_pairs([("app", tenant)]));
        for i in 0..lines {
            let line = format!("{tenant}, line \"{i}\"");
            builder.entry(
                stream,
                Entry { timestamp_ns: NOW_NS - i * NS_PER_S, line: &line, ..Entry::default() },
            );
        }
        fixture.write(tenant, Batch::Logs(builder.finish())).await;
    }
    fixture
}

async fn post(fixture: &Fixture, content_type: &str, body: &str, accept: &str) -> Answer {
    let request = Request::post("/api/v1/sql").header("content-type", content_type).header("accept", accept);
    let request = request.body(Body::from(body.to_owned())).unwrap();
    fixture.send(&fixture.prometheus, Some("one"), request).await
}

const NEWEST: &str = "select timestamp, line, labels from logs order by timestamp desc limit 1";

#[tokio::test]
async fn a_query_may_come_in_every_form() {
    let fixture = fixture(3).await;
    let expected = json!({"status": "success", "data": {
        "resultType": "table",
        "columns": [
            {"name": "timestamp", "type": "timestamp"},
            {"name": "line", "type": "text"},
            {"name": "labels", "type": "map"},
        ],
        "rows": [["2023-11-14T22:13:20Z", "one, line \"0\"", {"app": "one"}]],
    }});
    let form = format!("query={}", NEWEST.replace(' ', "+"));
    let object = json!({"query": NEWEST, "limit": 10, "timeout": "5s"}).to_string();
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", form.as_str()),
        ("application/sql", NEWEST),
        ("text/plain; charset=utf-8", NEWEST),
        ("application/json", &object),
    ] {
        let answer = post(&fixture, content_type, body, "*/*").await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, expected.clone()), "{content_type}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let answer = fixture.get(&fixture.prometheus, "one", &format!("/api/v1/sql?{form}")).await;
    assert_eq!(answer.json(), expected);
    let address = "/api/v1/sql?query=select+line+from+logs+order+by+line&limit=2&stats=all";
    let answer = fixture.get(&fixture.prometheus, "one", address).await.json();
    assert_eq!(answer["data"]["rows"], json!([["one, line \"0\""], ["one, line \"1\""]]));
    assert_eq!(answer["warnings"], json!(["results truncated due to limit"]));
    assert_eq!(answer["data"]["stats"]["rowsRead"], 3);
    let address = "/api/v1/sql?query=select+line+from+logs&start=1699999999&end=1699999999.5";
    let answer = fixture.get(&fixture.prometheus, "one", address).await.json();
    assert_eq!(answer["data"]["rows"], json!([["one, line \"1\""]]));
}

#[tokio::test]
async fn an_answer_comes_in_the_form_that_is_asked_for() {
    let fixture = fixture(2).await;
    let csv = "timestamp,line,labels\r\n2023-11-14T22:13:20Z,\"one, line \"\"0\"\"\",\"{\"\"app\"\":\"\"one\"\"}\"\r\n";
    let answer = post(&fixture, "application/sql", NEWEST, "text/html, text/csv;q=0.9").await;
    assert_eq!(answer.text(), csv);
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    let form = format!("query={}&format=csv", NEWEST.replace(' ', "+"));
    let answer = post(&fixture, "application/x-www-form-urlencoded", &form, "application/json").await;
    assert_eq!(answer.text(), csv);
    let answer = post(&fixture, "application/sql", NEWEST, "application/vnd.apache.arrow.stream").await;
    assert_eq!(answer.header("content-type"), "application/vnd.apache.arrow.stream");
    let batches: Vec<_> =
        StreamReader::try_new(answer.body.as_slice(), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
    let nothing = post(&fixture, "application/sql", "select 1 as a where false", "text/csv").await;
    assert_eq!(nothing.text(), "a\r\n");
}

#[tokio::test]
async fn a_large_answer_is_streamed_whole() {
    let fixture = fixture(20_000).await;
    let answer = post(&fixture, "application/sql", "select line, timestamp from logs", "*/*").await;
    assert!(answer.header("content-length").is_empty(), "it is not whole before it is sent");
    let json = answer.json();
    let rows: BTreeSet<&str> =
        json["data"]["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!(rows.len(), 20_000);
    assert!(rows.iter().all(|line| line.starts_with("one, ")));
    let answer = post(&fixture, "application/sql", "select line from logs", "text/csv").await;
    assert_eq!(answer.text().lines().count(), 20_001);
}

#[tokio::test]
async fn errors_have_prometheus_envelope() {
    let fixture = fixture(1).await;
    let cases: [(&str, u16, &str, &str); 7] = [
        ("", 400, "bad_data", "there is no query"),
        ("select nope from logs", 400, "bad_data", "select nope from logs\n       ^"),
        ("select 1; select 2", 400, "bad_data", "single SQL statement"),
        ("drop table logs", 400, "bad_data", "reads and does nothing else"),
        ("select * from 'file:///etc/passwd'", 400, "bad_data", "file:///etc/passwd"),
        ("select repeat('x', 100000000)", 422, "execution", "function=repeat"),
        ("select 1/(select count(*) from logs where line = 'no')", 422, "execution", "zero"),
    ];
    for (query, status, kind, part) in cases {
        let answer = post(&fixture, "application/sql", query, "text/csv").await;
        let json: Value = answer.json();
        assert_eq!((answer.status.as_u16(), &json["errorType"]), (status, &json!(kind)), "{query}: {json}");
        assert!(json["error"].as_str().unwrap().contains(part), "{query}: {}", json["error"]);
    }
    for (content_type, body) in
        [("application/json", "{"), ("application/json", "[1]"), ("application/sql", "x")]
    {
        assert_eq!(post(&fixture, content_type, body, "*/*").await.status.as_u16(), 400, "{body}");
    }
    let answer = fixture.get(&fixture.prometheus, "one", "/api/v1/sql?query=select+1&format=xml").await;
    assert!(answer.status == 400 && answer.text().contains("json, csv and arrow"), "{}", answer.text());
    let request = Request::get("/api/v1/sql?query=select+1").body(Body::empty()).unwrap();
    assert_eq!(fixture.send(&fixture.prometheus, None, request).await.status.as_u16(), 401);
}
