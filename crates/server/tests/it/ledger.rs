//! What writers of the three signals were told: which of their items were acknowledged, and which may or may not
//! have been taken. After a restart, what is there must fit.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::client::{Answer, Api, Client, array, labels, number};
use crate::telemetry::{loki_push, post_json, remote_write, series, span, text_attribute, traces};

/// Items in one request.
const BATCH: u64 = 20;
/// Items in one trace.
const TRACE: u64 = 200;
/// Series of one writer.
const LANES: u64 = 4;
/// Lines that one question returns at most.
const PAGE: usize = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Samples,
    Lines,
    Spans,
}

/// A writer's items are numbered from 0; each number is sent once, in one request.
pub(crate) struct Writer {
    pub(crate) kind: Kind,
    id: usize,
    /// The time of item 0 in milliseconds; item `i` is `i` milliseconds later.
    base_ms: i64,
    next: u64,
    acknowledged: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
}

impl Writer {
    /// A writer whose items have times in the last minutes.
    pub(crate) fn new(kind: Kind, id: usize, now_ms: i64) -> Self {
        let base_ms = now_ms - 1_200_000;
        Self { kind, id, base_ms, next: 0, acknowledged: BTreeSet::new(), unknown: BTreeSet::new() }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    fn time_ms(&self, item: u64) -> i64 {
        self.base_ms + i64::try_from(item).unwrap()
    }

    /// Sends until told to stop; gives itself back.
    pub(crate) async fn write(mut self, client: Client, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let items = self.next..self.next + BATCH;
            self.next = items.end;
            let answer = match self.kind {
                Kind::Samples => self.write_samples(&client, items.clone()).await,
                Kind::Lines => self.write_lines(&client, items.clone()).await,
                Kind::Spans => self.write_spans(&client, items.clone()).await,
            };
            match answer {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    assert!(!answer.text().contains("rejected"), "{}", answer.text());
                    self.acknowledged.extend(items);
                }
                // Refused or cut off: it may have been written all the same.
                _ => {
                    self.unknown.extend(items);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
        self
    }

    async fn write_samples(&self, client: &Client, items: Range<u64>) -> Result<Answer, reqwest::Error> {
        let (writer, mut lanes) = (self.id.to_string(), Vec::new());
        for lane in 0..LANES {
            let samples: Vec<(i64, f64)> = items
                .clone()
                .filter(|item| item % LANES == lane)
                .map(|item| (self.time_ms(item), item as f64))
                .collect();
            let lane = lane.to_string();
            let labels = [("__name__", "kill_samples"), ("lane", lane.as_str()), ("writer", writer.as_str())];
            lanes.push(series(&labels, &samples));
        }
        remote_write(client, lanes).await
    }

    async fn write_lines(&self, client: &Client, items: Range<u64>) -> Result<Answer, reqwest::Error> {
        let line = |item| (self.time_ms(item) * 1_000_000, format!("writer={} item={item} said", self.id));
        let lines: Vec<(i64, String)> = items.map(line).collect();
        loki_push(client, &json!({"app": "kill", "writer": self.id.to_string()}), &lines).await
    }

    async fn write_spans(&self, client: &Client, items: Range<u64>) -> Result<Answer, reqwest::Error> {
        let spans = items.map(|item| {
            let attributes = [json!({"key": "item", "value": {"intValue": item.to_string()}})];
            let (trace_id, span_id) = (self.trace_id(item), format!("{:016x}", item + 1));
            span(&trace_id, &span_id, "kill", self.time_ms(item) * 1_000_000, &attributes)
        });
        let body = traces(&[(vec![text_attribute("service.name", "kill")], spans.collect())]);
        let api = if self.id.is_multiple_of(2) { Api::OtlpHttp } else { Api::Tempo };
        post_json(client, api, "/v1/traces", &body).await
    }

    fn trace_id(&self, item: u64) -> String {
        format!("{:016x}{:016x}", self.id + 1, item / TRACE + 1)
    }

    /// Asks for everything and compares: all that was acknowledged is there, and nothing is there twice. Gives how
    /// many items there are.
    pub(crate) async fn verify(&self, client: &Client, when: &str) -> usize {
        let found = match self.kind {
            Kind::Samples => self.read_samples(client).await,
            Kind::Lines => self.read_lines(client).await,
            Kind::Spans => self.read_spans(client).await,
        };
        let what = format!("{:?} of writer {} {when}", self.kind, self.id);
        let doubled: Vec<_> = found.iter().filter(|(_, times)| **times > 1).take(20).collect();
        assert!(doubled.is_empty(), "doubled {what}: {doubled:?}");
        let lost: Vec<_> =
            self.acknowledged.iter().filter(|item| !found.contains_key(item)).take(20).collect();
        assert!(lost.is_empty(), "lost {what}: {lost:?} of {}", self.acknowledged.len());
        let sent = |item: &u64| self.acknowledged.contains(item) || self.unknown.contains(item);
        let invented: Vec<_> = found.keys().filter(|item| !sent(item)).take(20).collect();
        assert!(invented.is_empty(), "never sent {what}: {invented:?}");
        found.len()
    }

    async fn read_samples(&self, client: &Client) -> BTreeMap<u64, usize> {
        let mut found = BTreeMap::new();
        for series in array(&client.promql(&format!("kill_samples{{writer=\"{}\"}}[1h]", self.id)).await) {
            let lane = labels(&series["metric"])["lane"].clone();
            for value in array(&series["values"]) {
                let item = number(&value[1]) as u64;
                let time_ms = (value[0].as_f64().unwrap() * 1e3).round() as i64;
                assert_eq!((time_ms, (item % LANES).to_string()), (self.time_ms(item), lane.clone()));
                *found.entry(item).or_default() += 1;
            }
        }
        found
    }

    async fn read_lines(&self, client: &Client) -> BTreeMap<u64, usize> {
        let query = format!("{{app=\"kill\", writer=\"{}\"}}", self.id);
        let end = ((self.time_ms(self.next) + 1) * 1_000_000).to_string();
        let (mut found, mut start) = (BTreeMap::new(), self.base_ms * 1_000_000);
        loop {
            let from = start.to_string();
            let lines = client.lines_between(&query, &[("start", &from), ("end", &end)]).await;
            for line in &lines {
                let item = line.line.split("item=").nth(1).and_then(|rest| rest.split(' ').next());
                let item: u64 = item.unwrap().parse().unwrap();
                assert_eq!(line.timestamp_ns, self.time_ms(item) * 1_000_000);
                *found.entry(item).or_default() += 1;
            }
            if lines.len() < PAGE {
                return found;
            }
            start = lines.last().unwrap().timestamp_ns + 1;
        }
    }

    async fn read_spans(&self, client: &Client) -> BTreeMap<u64, usize> {
        let mut found = BTreeMap::new();
        for first in (0..self.next).step_by(usize::try_from(TRACE).unwrap()) {
            let Some(trace) = client.trace(&self.trace_id(first)).await else { continue };
            for span in trace.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans) {
                let id: [u8; 8] = span.span_id.as_slice().try_into().unwrap();
                let item = u64::from_be_bytes(id) - 1;
                let start_ns = u64::try_from(self.time_ms(item)).unwrap() * 1_000_000;
                assert_eq!((span.name.as_str(), span.start_time_unix_nano), ("kill", start_ns));
                *found.entry(item).or_default() += 1;
            }
        }
        found
    }
}
