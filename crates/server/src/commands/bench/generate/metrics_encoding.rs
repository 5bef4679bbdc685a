//! Samples as bodies of remote write 1.0 and 2.0 and of OTLP. Labels are encoded once per series, so that a sample costs
//! the generator little.

use std::collections::HashMap;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use wire::otlp::ExportMetricsServiceRequest;
use wire::otlp::common::{AnyValue, KeyValue, any_value};
use wire::otlp::metrics::metric::Data;
use wire::otlp::metrics::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, number_data_point,
};
use wire::otlp::resource::Resource;
use wire::remote_write::v1::Label;

use super::cluster::Pod;
use super::metrics::{BOUNDS, Instance, Shape, TEMPLATES, Template};
use super::{NS_PER_MS, Request, put_bytes, snappy};

/// How samples are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in super::super) enum Format {
    /// Remote write 1.0: every series spells out its labels.
    RemoteWrite1,
    /// Remote write 2.0: labels refer to a table of strings.
    RemoteWrite2,
    /// OTLP over HTTP in protobuf.
    Otlp,
}

impl Format {
    /// A series' labels in the form that [`Batch::push`] takes.
    pub(super) fn labels(self, pod: &Pod, template: &Template) -> Vec<u8> {
        let mut buffer = Vec::new();
        for (name, value) in labels(pod, template) {
            match self {
                Self::RemoteWrite1 => {
                    let label = Label { name: name.to_owned(), value: value.to_owned() };
                    put_bytes(&mut buffer, 1, &label.encode_to_vec());
                }
                Self::RemoteWrite2 => {
                    for text in [name, value] {
                        buffer.extend_from_slice(text.as_bytes());
                        buffer.push(0);
                    }
                }
                // OTLP's labels are the template's, and the resource's once a pod.
                Self::Otlp => {}
            }
        }
        buffer
    }
}

/// All labels of a series, sorted by name as senders sort them.
fn labels<'a>(pod: &'a Pod, template: &'a Template) -> Vec<(&'a str, &'a str)> {
    let mut labels = vec![
        ("__name__", template.name),
        ("cluster", "bench"),
        ("container", pod.service_name()),
        ("instance", &pod.ip),
        ("job", "kubernetes-pods"),
        ("namespace", pod.namespace()),
        ("node", &pod.node),
        ("pod", &pod.name),
        ("service", pod.service_name()),
    ];
    labels.extend(template.labels);
    labels.sort_unstable();
    labels
}

/// A request that is being filled.
#[derive(Debug)]
pub(super) struct Batch {
    format: Format,
    /// The series or resources so far.
    encoded: Vec<u8>,
    /// Remote write 2.0: the number of each string.
    symbols: HashMap<Vec<u8>, u32>,
    samples: usize,
}

impl Batch {
    pub(super) fn new(format: Format) -> Self {
        Self { format, encoded: Vec::new(), symbols: HashMap::new(), samples: 0 }
    }

    /// Samples in it so far, each bucket of a histogram counted.
    pub(super) const fn samples(&self) -> usize {
        self.samples
    }

    /// Adds what is held of a pod, which holds nothing afterwards.
    pub(super) fn push(&mut self, instance: &mut Instance) {
        let held = &mut instance.held;
        for (labels, samples) in instance.labels.iter().zip(&mut held.samples).filter(|(_, s)| !s.is_empty())
        {
            match self.format {
                Format::RemoteWrite1 => self.push_first(labels, samples),
                Format::RemoteWrite2 => self.push_second(labels, samples),
                Format::Otlp => {}
            }
            samples.clear();
        }
        self.samples += std::mem::take(&mut held.count);
    }

    fn push_first(&mut self, labels: &[u8], samples: &[u8]) {
        encode_key(1, WireType::LengthDelimited, &mut self.encoded);
        encode_varint((labels.len() + samples.len()) as u64, &mut self.encoded);
        self.encoded.extend_from_slice(labels);
        self.encoded.extend_from_slice(samples);
    }

    fn push_second(&mut self, labels: &[u8], samples: &[u8]) {
        let mut references = Vec::with_capacity(32);
        for text in labels.strip_suffix(&[0]).unwrap_or(labels).split(|byte| *byte == 0) {
            // Number 0 is the empty string.
            let next = self.symbols.len() as u32 + 1;
            let number = match self.symbols.get(text) {
                Some(number) => *number,
                None => *self.symbols.entry(text.to_vec()).or_insert(next),
            };
            encode_varint(u64::from(number), &mut references);
        }
        let mut series = Vec::with_capacity(references.len() + samples.len() + 4);
        put_bytes(&mut series, 1, &references);
        series.extend_from_slice(samples);
        put_bytes(&mut self.encoded, 5, &series);
    }

    /// Adds a scrape of a pod.
    pub(super) fn push_otlp(&mut self, instance: &Instance, at_ms: i64) {
        let (metrics, samples) = otlp_metrics(instance, at_ms);
        let pod = &instance.pod;
        let attributes = [
            ("service.name", pod.service_name()),
            ("service.namespace", pod.namespace()),
            ("service.instance.id", &pod.name),
            ("k8s.pod.name", &pod.name),
            ("k8s.node.name", &pod.node),
        ];
        let attributes = attributes.map(|(name, value)| text(name, value)).to_vec();
        let resource = ResourceMetrics {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![resource] };
        // Protobuf joins repeated fields of messages that follow each other.
        self.encoded.extend_from_slice(&request.encode_to_vec());
        self.samples += samples;
    }

    /// The request, and begins a new one.
    pub(super) fn take(&mut self, lane: usize) -> Request {
        let mut done = std::mem::replace(self, Self::new(self.format));
        self.encoded.reserve(done.encoded.len());
        let body = match done.format {
            Format::RemoteWrite1 => snappy(&done.encoded),
            Format::RemoteWrite2 => {
                let mut symbols: Vec<_> = done.symbols.into_iter().collect();
                symbols.sort_unstable_by_key(|(_, number)| *number);
                let mut body = Vec::with_capacity(done.encoded.len());
                put_bytes(&mut body, 4, &[]);
                for (text, _) in &symbols {
                    put_bytes(&mut body, 4, text);
                }
                body.append(&mut done.encoded);
                snappy(&body)
            }
            Format::Otlp => done.encoded.into(),
        };
        Request { body, items: done.samples as u64, lane }
    }
}

/// A sample as both versions of remote write encode it.
pub(super) fn sample(value: f64, at_ms: i64) -> Vec<u8> {
    wire::remote_write::v1::Sample { value, timestamp: at_ms }.encode_to_vec()
}

/// An attribute of OTLP.
pub(super) fn text(name: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.to_owned());
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// The metrics of a pod, and the samples that Prometheus' model makes of them.
fn otlp_metrics(instance: &Instance, at_ms: i64) -> (Vec<Metric>, usize) {
    let time_unix_nano = (at_ms * NS_PER_MS) as u64;
    let mut metrics: Vec<Metric> = Vec::new();
    let mut samples = 0;
    for (template, value) in TEMPLATES.iter().zip(&instance.values) {
        let is_counter = matches!(template.shape, Shape::Counter(_) | Shape::Seconds(_));
        if matches!(template.shape, Shape::Bucket(_) | Shape::Sum | Shape::Count) {
            continue;
        }
        samples += 1;
        let point = NumberDataPoint {
            attributes: template.labels.iter().map(|(name, value)| text(name, value)).collect(),
            time_unix_nano,
            value: Some(number_data_point::Value::AsDouble(*value)),
            ..NumberDataPoint::default()
        };
        let name = template.name.trim_end_matches("_total");
        match metrics.last_mut() {
            Some(Metric { name: last, data: Some(Data::Sum(sum)), .. }) if last == name => {
                sum.data_points.push(point);
                continue;
            }
            _ => {}
        }
        let data = if is_counter {
            let aggregation_temporality = AggregationTemporality::Cumulative.into();
            Data::Sum(Sum { data_points: vec![point], aggregation_temporality, is_monotonic: true })
        } else {
            Data::Gauge(Gauge { data_points: vec![point] })
        };
        metrics.push(Metric { name: name.to_owned(), data: Some(data), ..Metric::default() });
    }
    if let Some(point) = otlp_histogram(instance, time_unix_nano) {
        samples += BOUNDS.len() + 2;
        let aggregation_temporality = AggregationTemporality::Cumulative.into();
        let data = Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality });
        let name = "http_request_duration_seconds".to_owned();
        metrics.push(Metric { name, data: Some(data), ..Metric::default() });
    }
    (metrics, samples)
}

/// The pod's histogram; none where not all of its series were asked for.
fn otlp_histogram(instance: &Instance, time_unix_nano: u64) -> Option<HistogramDataPoint> {
    if instance.values.len() < TEMPLATES.len() {
        return None;
    }
    let mut point = HistogramDataPoint { time_unix_nano, ..HistogramDataPoint::default() };
    let mut below = 0.0;
    for (template, value) in TEMPLATES.iter().zip(&instance.values) {
        match template.shape {
            Shape::Bucket(_) => {
                point.bucket_counts.push((value - below) as u64);
                below = *value;
            }
            Shape::Sum => point.sum = Some(*value),
            Shape::Count => point.count = *value as u64,
            _ => {}
        }
    }
    point.explicit_bounds = BOUNDS.iter().filter_map(|bound| bound.parse().ok()).collect();
    point.explicit_bounds.retain(|bound: &f64| bound.is_finite());
    Some(point)
}
