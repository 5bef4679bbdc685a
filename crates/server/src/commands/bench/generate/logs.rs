//! Log lines of a cluster's pods in the order of time, as bodies of Loki's push and of OTLP.

use std::collections::{HashMap, VecDeque};

use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wire::loki::{EntryAdapter, Timestamp};
use wire::otlp::ExportLogsServiceRequest;
use wire::otlp::common::{AnyValue, any_value};
use wire::otlp::logs::{LogRecord, ResourceLogs, ScopeLogs};
use wire::otlp::resource::Resource;

use super::cluster::{Pod, SERVICES};
use super::lines::{Line, LineWriter, Style};
use super::metrics_encoding::text;
use super::{Request, Source, Stretch, put_bytes, snappy};

/// Pods of each service; every pod is a stream.
const PODS_PER_SERVICE: usize = 5;

/// How lines are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in super::super) enum Format {
    /// Loki's push in protobuf and snappy.
    Loki,
    /// Loki's push in JSON.
    LokiJson,
    /// OTLP over HTTP in protobuf.
    Otlp,
}

/// How many lines are sent, for which time, and how.
#[derive(Clone, Debug)]
pub(in super::super) struct Plan {
    /// The seed of everything random.
    pub(in super::super) seed: u64,
    /// The stretch of time.
    pub(in super::super) stretch: Stretch,
    /// Lines in all.
    pub(in super::super) lines: u64,
    /// Lines in a request.
    pub(in super::super) batch: usize,
    /// Senders.
    pub(in super::super) lanes: usize,
    /// How requests are encoded.
    pub(in super::super) format: Format,
}

/// The lines of a request that is being filled, by stream.
#[derive(Debug, Default)]
struct Batch {
    streams: HashMap<usize, Vec<(i64, Line)>>,
    lines: usize,
}

/// Generates lines.
pub(in super::super) struct LogsSource {
    plan: Plan,
    random: StdRng,
    writer: LineWriter,
    pods: Vec<Pod>,
    batches: Vec<Batch>,
    next: u64,
    ready: VecDeque<Request>,
}

impl LogsSource {
    /// Prepares the cluster.
    pub(in super::super) fn new(plan: Plan) -> Self {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let pods = (0..SERVICES.len() * PODS_PER_SERVICE)
            .map(|n| Pod::new(n % SERVICES.len(), &mut random))
            .collect();
        let writer = LineWriter::new(&mut random);
        let batches = (0..plan.lanes).map(|_| Batch::default()).collect();
        Self { plan, random, writer, pods, batches, next: 0, ready: VecDeque::new() }
    }

    fn step(&mut self) {
        let at_ns = self.plan.stretch.moment_ns(self.next, self.plan.lines);
        self.next += 1;
        // Services in front write more than those behind them: the square draws towards the first pods of each.
        let service = (self.random.random::<f64>().powf(1.4) * SERVICES.len() as f64) as usize;
        let stream = service + SERVICES.len() * self.random.random_range(0..PODS_PER_SERVICE);
        let pod = &self.pods[stream];
        let line = self.writer.line(pod.service_name(), Style::of(service), at_ns, &mut self.random);
        let lane = stream % self.plan.lanes;
        let batch = &mut self.batches[lane];
        batch.streams.entry(stream).or_default().push((at_ns, line));
        batch.lines += 1;
        if batch.lines == self.plan.batch {
            self.finish(lane);
        }
    }

    fn finish(&mut self, lane: usize) {
        let batch = std::mem::take(&mut self.batches[lane]);
        let mut streams: Vec<_> = batch.streams.into_iter().collect();
        streams.sort_unstable_by_key(|(stream, _)| *stream);
        let streams = streams.into_iter().map(|(stream, lines)| (&self.pods[stream], lines)).collect();
        let body = match self.plan.format {
            Format::Loki => loki(streams),
            Format::LokiJson => loki_json(streams),
            Format::Otlp => otlp(streams),
        };
        self.ready.push_back(Request { body, items: batch.lines as u64, lane });
    }
}

impl Source for LogsSource {
    fn next(&mut self) -> Option<Request> {
        while self.ready.is_empty() && self.next < self.plan.lines {
            self.step();
        }
        if self.ready.is_empty() {
            for lane in 0..self.plan.lanes {
                if self.batches[lane].lines > 0 {
                    self.finish(lane);
                }
            }
        }
        self.ready.pop_front()
    }
}

type Streams<'a> = Vec<(&'a Pod, Vec<(i64, Line)>)>;

fn labels(pod: &Pod) -> [(&'static str, &str); 5] {
    [
        ("app", pod.service_name()),
        ("cluster", "bench"),
        ("container", pod.service_name()),
        ("namespace", pod.namespace()),
        ("pod", &pod.name),
    ]
}

fn loki(streams: Streams<'_>) -> bytes::Bytes {
    let mut body = Vec::new();
    for (pod, lines) in streams {
        let labels: Vec<String> =
            labels(pod).iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let mut stream = Vec::new();
        put_bytes(&mut stream, 1, format!("{{{}}}", labels.join(", ")).as_bytes());
        for (at_ns, line) in lines {
            let entry = EntryAdapter {
                timestamp: Some(Timestamp::from_nanoseconds(at_ns)),
                line: line.text.into_bytes().into(),
                ..EntryAdapter::default()
            };
            put_bytes(&mut stream, 2, &entry.encode_to_vec());
        }
        put_bytes(&mut body, 1, &stream);
    }
    snappy(&body)
}

fn loki_json(streams: Streams<'_>) -> bytes::Bytes {
    let streams: Vec<_> = streams
        .into_iter()
        .map(|(pod, lines)| {
            let labels: serde_json::Map<String, serde_json::Value> =
                labels(pod).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            let values: Vec<_> = lines.into_iter().map(|(at, line)| [at.to_string(), line.text]).collect();
            serde_json::json!({ "stream": labels, "values": values })
        })
        .collect();
    serde_json::json!({ "streams": streams }).to_string().into()
}

fn otlp(streams: Streams<'_>) -> bytes::Bytes {
    let resource_logs = streams.into_iter().map(|(pod, lines)| {
        let attributes = [
            ("service.name", pod.service_name()),
            ("service.namespace", pod.namespace()),
            ("k8s.namespace.name", pod.namespace()),
            ("k8s.pod.name", &pod.name),
        ];
        let attributes = attributes.map(|(name, value)| text(name, value)).to_vec();
        let log_records = lines.into_iter().map(|(at_ns, line)| LogRecord {
            time_unix_nano: at_ns as u64,
            observed_time_unix_nano: at_ns as u64,
            severity_number: line.level.number,
            severity_text: line.level.word.to_owned(),
            body: Some(AnyValue { value: Some(any_value::Value::StringValue(line.text)) }),
            trace_id: line.trace_id.to_vec(),
            ..LogRecord::default()
        });
        ResourceLogs {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_logs: vec![ScopeLogs { log_records: log_records.collect(), ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }
    });
    ExportLogsServiceRequest { resource_logs: resource_logs.collect() }.encode_to_vec().into()
}
