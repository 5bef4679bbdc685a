//! OTLP metrics to Prometheus series.
//!
//! Source: OpenTelemetry's "Prometheus and OpenMetrics Compatibility", section "OTLP Metric points to Prometheus".
//! Delta temporality is rejected, as Prometheus does by default.

use std::borrow::Cow;

use model::ingest::{Reason, Receipt};
use model::metric::{MetricType, STALE_NAN_BITS, SeriesInfo};
use model::tenant::Access;
use model::{Labels, labels::METRIC_NAME};
use wire::otlp::ExportMetricsServiceRequest;
use wire::otlp::common::{InstrumentationScope, KeyValue};
use wire::otlp::metrics::metric::Data;
use wire::otlp::metrics::number_data_point::Value as NumberValue;
use wire::otlp::metrics::{
    AggregationTemporality, DataPointFlags, ExponentialHistogramDataPoint, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, SummaryDataPoint,
};

use super::attributes;
use super::exemplars;
use super::histograms;
use super::names::{self, Suffix};
use super::resource::ResourceLabels;
use super::series::SeriesBatch;
use super::tenant::{Mapped, Tenants};
use crate::settings::OtlpMetricsSettings;

/// Maps a request to a batch per tenant.
pub(crate) fn map(
    request: &ExportMetricsServiceRequest,
    access: &Access,
    settings: &OtlpMetricsSettings,
) -> Mapped {
    let mut tenants: Tenants<'_, SeriesBatch> = Tenants::new(access);
    for resource in &request.resource_metrics {
        let Some((_, batch, receipt)) = tenants.of(resource.resource.as_ref(), || resource_points(resource))
        else {
            continue;
        };
        map_resource(resource, settings, batch, receipt);
    }
    let points = request.resource_metrics.iter().map(resource_points).sum();
    tenants.finish(points, SeriesBatch::finish)
}

fn resource_points(resource: &ResourceMetrics) -> usize {
    resource.scope_metrics.iter().flat_map(|scope| &scope.metrics).map(points).sum()
}

/// How many points a metric has; one without data counts as one.
fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
        None => 1,
    }
}

fn map_resource(
    resource: &ResourceMetrics,
    settings: &OtlpMetricsSettings,
    batch: &mut SeriesBatch,
    receipt: &mut Receipt,
) {
    let attributes = resource.resource.as_ref().map_or(&[][..], |r| &r.attributes);
    let labels = ResourceLabels::new(attributes, settings);
    let mut latest_ms = None;
    for scope in &resource.scope_metrics {
        let scope_labels = match &scope.scope {
            Some(of) if settings.promote_scope_metadata => scope_labels(of, &scope.schema_url, settings),
            _ => Vec::new(),
        };
        for metric in &scope.metrics {
            let mut family = Family {
                settings,
                resource: &labels,
                scope: &scope_labels,
                metric,
                name: String::new(),
                unit: names::unit(&metric.unit),
                metric_type: MetricType::Unknown,
                batch,
                receipt,
                latest_ms: &mut latest_ms,
            };
            family.map();
        }
    }
    if let (Some(timestamp_ms), Some(target)) = (latest_ms, labels.target_info()) {
        let help = "Target metadata";
        let info = SeriesInfo { metric_type: MetricType::Gauge, unit: "", help };
        let series = batch.series(target, info);
        batch.columns.sample(series, timestamp_ms, 0, 1.0);
    }
}

fn scope_labels(
    scope: &InstrumentationScope,
    schema_url: &str,
    settings: &OtlpMetricsSettings,
) -> Vec<(String, String)> {
    let fixed = [("name", scope.name.as_str()), ("version", &scope.version), ("schema_url", schema_url)];
    let mut labels: Vec<_> = fixed
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (format!("otel_scope_{name}"), value.to_owned()))
        .collect();
    labels.extend(scope.attributes.iter().map(|pair| {
        let name = format!("otel_scope_{}", pair.key);
        let name = names::attribute_label(&name, settings.translation_strategy).into_owned();
        (name, attributes::text(pair.value.as_ref()).into_owned())
    }));
    labels
}

pub(super) const fn ms(ns: u64) -> i64 {
    // A 64-bit number of nanoseconds is fewer than 2^44 milliseconds.
    (ns / 1_000_000).cast_signed()
}

const fn is_stale(flags: u32) -> bool {
    flags & DataPointFlags::NoRecordedValueMask as u32 != 0
}

fn marked(value: f64, flags: u32) -> f64 {
    if is_stale(flags) { f64::from_bits(STALE_NAN_BITS) } else { value }
}

const fn float(count: u64) -> f64 {
    count as f64
}

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// One metric on its way into a batch.
struct Family<'a> {
    settings: &'a OtlpMetricsSettings,
    resource: &'a ResourceLabels,
    scope: &'a [(String, String)],
    metric: &'a Metric,
    name: String,
    unit: String,
    metric_type: MetricType,
    batch: &'a mut SeriesBatch,
    receipt: &'a mut Receipt,
    latest_ms: &'a mut Option<i64>,
}

impl<'a> Family<'a> {
    fn map(&mut self) {
        let metric = self.metric;
        let (metric_type, suffix, temporality) = match &metric.data {
            Some(Data::Gauge(_)) => (MetricType::Gauge, Suffix::Gauge, None),
            Some(Data::Sum(sum)) if sum.is_monotonic => {
                (MetricType::Counter, Suffix::Total, Some(sum.aggregation_temporality))
            }
            Some(Data::Sum(sum)) => (MetricType::Gauge, Suffix::Other, Some(sum.aggregation_temporality)),
            Some(Data::Histogram(data)) => {
                (MetricType::Histogram, Suffix::Other, Some(data.aggregation_temporality))
            }
            Some(Data::ExponentialHistogram(data)) => {
                (MetricType::Histogram, Suffix::Other, Some(data.aggregation_temporality))
            }
            Some(Data::Summary(_)) => (MetricType::Summary, Suffix::Other, None),
            None => {
                return self.reject(Reason::InvalidPoint, points(metric), "it has no data of a known kind");
            }
        };
        if temporality.is_some_and(|t| t != AggregationTemporality::Cumulative as i32) {
            let why = "its temporality is not cumulative, set the sender's temporality preference to cumulative \
                       or convert before sending";
            return self.reject(Reason::InvalidPoint, points(metric), why);
        }
        self.metric_type = metric_type;
        self.name =
            names::metric_name(&metric.name, &metric.unit, suffix, self.settings.translation_strategy);
        if self.name.is_empty() {
            return self.reject(Reason::InvalidLabels, points(metric), "nothing remains of its name");
        }
        match &metric.data {
            Some(Data::Gauge(data)) => data.data_points.iter().for_each(|p| self.number(p, 0)),
            Some(Data::Sum(data)) => {
                data.data_points.iter().for_each(|p| self.number(p, ms(p.start_time_unix_nano)));
            }
            Some(Data::Histogram(data)) => data.data_points.iter().for_each(|p| self.histogram(p)),
            Some(Data::ExponentialHistogram(data)) => {
                data.data_points.iter().for_each(|p| self.exponential(p));
            }
            Some(Data::Summary(data)) => data.data_points.iter().for_each(|p| self.summary(p)),
            None => {}
        }
    }

    fn reject(&mut self, reason: Reason, items: usize, why: &str) {
        let name = crate::bounds::shortened(&self.metric.name);
        self.receipt.reject(reason, items, || format!("metric=`{name}`: {why}"));
    }

    fn seen(&mut self, timestamp_ms: i64) {
        *self.latest_ms = Some(self.latest_ms.map_or(timestamp_ms, |latest| latest.max(timestamp_ms)));
    }

    fn number(&mut self, point: &NumberDataPoint, start_ms: i64) {
        let value = match point.value {
            Some(NumberValue::AsDouble(value)) => value,
            Some(NumberValue::AsInt(value)) => value as f64,
            None if is_stale(point.flags) => 0.0,
            None => return self.reject(Reason::InvalidPoint, 1, "a point has no value"),
        };
        let timestamp_ms = ms(point.time_unix_nano);
        let pairs = self.pairs(&point.attributes);
        let series = self.series(&pairs, "", None);
        self.batch.columns.sample(series, timestamp_ms, start_ms, marked(value, point.flags));
        for exemplar in &point.exemplars {
            exemplars::add(self.batch, series, exemplar, self.settings.translation_strategy);
        }
        self.seen(timestamp_ms);
    }

    fn histogram(&mut self, point: &HistogramDataPoint) {
        let (bounds, counts) = (&point.explicit_bounds, &point.bucket_counts);
        let fits = counts.is_empty() || counts.len() == bounds.len() + 1;
        if !fits || bounds.iter().any(|b| b.is_nan()) || !bounds.windows(2).all(|w| w[0] < w[1]) {
            return self.reject(Reason::InvalidHistogram, 1, "buckets and bounds do not fit together");
        }
        let (timestamp_ms, start_ms) = (ms(point.time_unix_nano), ms(point.start_time_unix_nano));
        let pairs = self.pairs(&point.attributes);
        let mut buckets = Vec::with_capacity(bounds.len() + 1);
        let mut below = 0_u64;
        for (bound, count) in bounds.iter().zip(counts) {
            below = below.saturating_add(*count);
            if !bound.is_finite() {
                continue;
            }
            let series = self.series(&pairs, "_bucket", Some(("le", &names::bound(*bound))));
            self.batch.columns.sample(series, timestamp_ms, start_ms, marked(float(below), point.flags));
            buckets.push((*bound, series));
        }
        let last = self.series(&pairs, "_bucket", Some(("le", &names::bound(f64::INFINITY))));
        let all = marked(float(point.count), point.flags);
        self.batch.columns.sample(last, timestamp_ms, start_ms, all);
        self.count_and_sum(&pairs, (timestamp_ms, start_ms), all, point.sum.map(|s| marked(s, point.flags)));
        for exemplar in &point.exemplars {
            let value = exemplars::value(exemplar).unwrap_or(f64::INFINITY);
            let series =
                buckets.iter().find(|(bound, _)| value <= *bound).map_or(last, |(_, series)| *series);
            exemplars::add(self.batch, series, exemplar, self.settings.translation_strategy);
        }
        self.seen(timestamp_ms);
    }

    fn exponential(&mut self, point: &ExponentialHistogramDataPoint) {
        let native = match is_stale(point.flags) {
            true => histograms::stale(),
            false => match histograms::exponential(point) {
                Ok(native) => native,
                Err(why) => return self.reject(Reason::InvalidHistogram, 1, &why),
            },
        };
        let (timestamp_ms, start_ms) = (ms(point.time_unix_nano), ms(point.start_time_unix_nano));
        let pairs = self.pairs(&point.attributes);
        let series = self.series(&pairs, "", None);
        self.batch.columns.histogram(series, timestamp_ms, start_ms, &native);
        for exemplar in &point.exemplars {
            exemplars::add(self.batch, series, exemplar, self.settings.translation_strategy);
        }
        self.seen(timestamp_ms);
    }

    fn summary(&mut self, point: &SummaryDataPoint) {
        let times = (ms(point.time_unix_nano), ms(point.start_time_unix_nano));
        let pairs = self.pairs(&point.attributes);
        let count = marked(float(point.count), point.flags);
        self.count_and_sum(&pairs, times, count, Some(marked(point.sum, point.flags)));
        for quantile in &point.quantile_values {
            let series = self.series(&pairs, "", Some(("quantile", &names::bound(quantile.quantile))));
            self.batch.columns.sample(series, times.0, times.1, marked(quantile.value, point.flags));
        }
        self.seen(times.0);
    }

    fn count_and_sum(&mut self, pairs: &Pairs<'a>, times: (i64, i64), count: f64, sum: Option<f64>) {
        let series = self.series(pairs, "_count", None);
        self.batch.columns.sample(series, times.0, times.1, count);
        if let Some(sum) = sum {
            let series = self.series(pairs, "_sum", None);
            self.batch.columns.sample(series, times.0, times.1, sum);
        }
    }

    /// The labels of a point besides its name: promoted ones give way to the point's own, the scope's and the
    /// resource's identity do not.
    fn pairs(&self, attributes: &[KeyValue]) -> Pairs<'a> {
        let strategy = self.settings.translation_strategy;
        let borrowed =
            |(name, value): &'a (String, String)| (Cow::Borrowed(name.as_str()), Cow::Borrowed(&**value));
        let mut pairs: Pairs<'a> = self.resource.promoted.iter().map(borrowed).collect();
        pairs.extend(
            super::resource::joined(attributes, strategy).map(|(n, v)| (Cow::Owned(n), Cow::Owned(v))),
        );
        pairs.extend(self.scope.iter().map(borrowed));
        pairs.extend(self.resource.identity.iter().map(borrowed));
        pairs
    }

    fn series(&mut self, pairs: &Pairs<'a>, suffix: &str, extra: Option<(&str, &str)>) -> u32 {
        let name = format!("{}{suffix}", self.name);
        let own = pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        let labels = Labels::from_pairs(own.chain(extra).chain([(METRIC_NAME, name.as_str())]));
        let info =
            SeriesInfo { metric_type: self.metric_type, unit: &self.unit, help: &self.metric.description };
        self.batch.series(labels, info)
    }
}
